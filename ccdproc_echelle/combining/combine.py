# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Combining frames: row sections stream through the kernel; the two-pass flat."""

import copy
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.table import QTable
from numpy.typing import ArrayLike, DTypeLike

from ccdproc_echelle._warnings import warn
from ccdproc_echelle.combining.clipping import SigmaClipping, StackCombiner
from ccdproc_echelle.combining.levels import InnerOrderScale, measure_levels, one_level_test
from ccdproc_echelle.combining.noting import Watch
from ccdproc_echelle.combining.progress import SILENT, Progress
from ccdproc_echelle.combining.scales import OrderScales, order_places
from ccdproc_echelle.combining.streaming import CombinedImages, stream
from ccdproc_echelle.frames import (
    READING_KEYWORDS,
    FileFrame,
    Frame,
    check_keywords,
    check_output,
    open_frames,
    replacing,
    uncertainty_array,
    uncompressed,
    warn_of_bare,
)
from ccdproc_echelle.orders import EchelleOrderTable, checked_orders

_ONE_STEP = {"combining": 1}

__all__ = [
    "CombineDiagnostics",
    "CombineSettings",
    "combine_frames",
    "combine_with_levels",
    "two_pass_flat_combine",
]

# What fits into a FITS card beside a keyword and a number.
_LONGEST_COMMENT = 47


@dataclass(frozen=True)
class CombineSettings:
    """
    The keywords of `ccdproc.combine`, with its names and meaning.

    Unlike there, values are scaled before they are clipped, and all limits refer to scaled values.

    Parameters
    ----------
    method : {"average", "median", "sum"}, optional
        How frames are combined.
    weights : array, shape (n_frames,) or (n_frames, rows, columns), or str, optional
        Weights of an average or sum. ``"inverse_variance"``: one over the variance of each value.
        Beware of variances made from the counts themselves: a value too low by chance then claims
        to be precise, and the average comes out low by about one electron a frame.
    mem_limit : float, optional
        Bytes that may be used besides the result.
    clip_extrema : bool, optional
        Reject the ``nlow`` lowest and ``nhigh`` highest values of each pixel.
    nlow, nhigh : int, optional
        See ``clip_extrema``.
    minmax_clip : bool, optional
        Reject values below ``minmax_clip_min`` or above ``minmax_clip_max``.
    minmax_clip_min, minmax_clip_max : float, optional
        See ``minmax_clip``.
    sigma_clip : bool, optional
        Reject values that deviate from the others.
    sigma_clip_low_thresh, sigma_clip_high_thresh : float, optional
        By how many deviations; `None` for no limit.
    sigma_clip_func : callable or str, optional
        The centre: ``"median"`` (default), ``"mean"``, or a function such as `numpy.ma.median`.
    sigma_clip_dev_func : callable or str, optional
        The deviation: ``"uncertainty"`` (each value's own), ``"mad_std"``, ``"std"`` or a function
        such as `astropy.stats.mad_std`. Default: the uncertainties where all frames have them,
        else the median absolute deviation with its factor for small samples.
    dtype : `numpy.dtype`, optional
        Floating-point type of the computation and the result. Default: float32 where it holds
        the input exactly, else float64.
    combine_uncertainty_function : callable, optional
        Gives the scatter of a masked stack along ``axis=0``; the uncertainty is that divided by
        the root of the number of values. Default: the uncertainties of the frames are propagated
        if all have them, else the sample standard deviation is taken.
    overwrite_output : bool, optional
        Whether an existing output file may be replaced.
    """

    method: str = "average"
    weights: ArrayLike | str | None = None
    mem_limit: float = 16e9
    clip_extrema: bool = False
    nlow: int = 1
    nhigh: int = 1
    minmax_clip: bool = False
    minmax_clip_min: float | None = None
    minmax_clip_max: float | None = None
    sigma_clip: bool = False
    sigma_clip_low_thresh: float | None = 3
    sigma_clip_high_thresh: float | None = 3
    sigma_clip_func: str | Callable = "median"
    sigma_clip_dev_func: str | Callable | None = None
    dtype: DTypeLike | None = None
    combine_uncertainty_function: Callable | None = None
    overwrite_output: bool = False

    def __post_init__(self):
        if not self.mem_limit > 0:
            raise ValueError(f"mem_limit is {self.mem_limit!r}, expected a number of bytes > 0")
        if self.dtype is not None and np.dtype(self.dtype) not in (np.float32, np.float64):
            raise ValueError(f"dtype is {self.dtype!r}, expected float32 or float64")
        if self.weights is not None and self.method == "median":
            raise ValueError("weights are of no use to a median; expected method='average'")
        if isinstance(self.weights, str) and self.weights != "inverse_variance":
            raise ValueError(
                f"weights is {self.weights!r}, expected an array or 'inverse_variance'"
            )
        for name in ("nlow", "nhigh"):
            number = getattr(self, name)
            if number is not None and not (isinstance(number, (int, np.integer)) and number >= 0):
                raise ValueError(f"{name} is {number!r}, expected a number of frames")
        self.combiner()

    @classmethod
    def from_keywords(cls, keywords: dict[str, Any]) -> tuple["CombineSettings", dict[str, Any]]:
        """
        Sort keywords into settings and keywords of ``CCDData.read``.

        Parameters
        ----------
        keywords : dict
            Keywords of either kind.

        Returns
        -------
        settings : `CombineSettings`
            The settings.
        reading : dict
            The other keywords.

        Raises
        ------
        TypeError
            If a keyword is of neither kind; the message names the one that is most like it.

        Examples
        --------
        >>> from ccdproc_echelle.combining.combine import CombineSettings
        >>> CombineSettings.from_keywords({"signma_clip_dev_func": "mad_std"})
        Traceback (most recent call last):
        ...
        TypeError: unknown keyword 'signma_clip_dev_func'; did you mean 'sigma_clip_dev_func'?
        """
        known = [field.name for field in fields(cls)]
        check_keywords(keywords, [*known, *READING_KEYWORDS])
        settings = cls(**{name: value for name, value in keywords.items() if name in known})
        return settings, {n: value for n, value in keywords.items() if n not in known}

    def combiner(self) -> StackCombiner:
        """
        The kernel with these settings.

        Returns
        -------
        `~ccdproc_echelle.combining.clipping.StackCombiner`
        """
        clipping = SigmaClipping(
            low=_limit(self.sigma_clip_low_thresh, np.inf),
            high=_limit(self.sigma_clip_high_thresh, np.inf),
            center=self.sigma_clip_func,
            deviation=self.sigma_clip_dev_func,
        )
        limits = (_limit(self.minmax_clip_min, -np.inf), _limit(self.minmax_clip_max, np.inf))
        return StackCombiner(
            method=self.method,
            n_extreme=(self.nlow or 0, self.nhigh or 0) if self.clip_extrema else (0, 0),
            limits=limits if self.minmax_clip else (-np.inf, np.inf),
            sigma_clipping=clipping if self.sigma_clip else None,
            uncertainty_function=self.combine_uncertainty_function,
        )

    def weights_of(self, frames: Sequence[Frame]) -> np.ndarray | str | None:
        """
        The weights in a form that fits to the frames.

        Parameters
        ----------
        frames : sequence of `Frame`
            The frames.

        Returns
        -------
        array, shape (n_frames, 1, 1) or (n_frames, rows, columns), or "inverse_variance" or None

        Raises
        ------
        ValueError
            If they do not fit, or one is negative or not finite.
        """
        if self.weights is None:
            return None
        if isinstance(self.weights, str):
            _check_inverse_variance(frames)
            return self.weights
        weights = np.asarray(self.weights, dtype=float)
        expected = ((len(frames),), (len(frames), *frames[0].shape))
        if weights.shape not in expected:
            raise ValueError(
                f"weights have shape {weights.shape}, expected {expected[0]} or {expected[1]}"
            )
        if not (np.isfinite(weights) & (weights >= 0)).all():
            raise ValueError("weights must be finite and not negative")
        return weights.reshape(-1, 1, 1) if weights.ndim == 1 else weights


class CombineDiagnostics(NamedTuple):
    """
    What became of the values of each pixel.

    Attributes
    ----------
    count : int array, shape (rows, columns)
        How many frames were used.
    rejected : bool array, shape (n_frames, rows, columns)
        Which good values were rejected; masked and non-finite ones are not among them.
    """

    count: np.ndarray
    rejected: np.ndarray


def combine_frames(
    img_list: Any,
    output_file: str | os.PathLike | None = None,
    *,
    scale: ArrayLike | Callable | None = None,
    executor: Executor | None = None,
    progress_bar: bool = False,
    diagnostics: bool = False,
    **keywords: Any,
) -> CCDData | tuple[CCDData, CombineDiagnostics]:
    """
    Combine frames: `ccdproc.combine` that scales before it clips and uses the uncertainties.

    Parameters
    ----------
    img_list : list, str or `ccdproc.ImageFileCollection`
        File names (a string may hold several, separated by commas) or
        `~astropy.nddata.CCDData` objects.
    output_file : path-like, optional
        FITS file to be written.
    scale : array, shape (n_frames,), or callable, optional
        Factor by which each frame is multiplied first. A callable gets the frame's data and
        returns its factor; `inner_order_scale` gets the mask as well.
    executor : `concurrent.futures.Executor`, optional
        What does the work. Default: threads. The result is the same whichever it is.
    progress_bar : bool, optional
        Show progress with tqdm.
    diagnostics : bool, optional
        Whether to return `CombineDiagnostics` as well.
    **keywords
        Those of `CombineSettings`, which are those of `ccdproc.combine`, and of
        ``CCDData.read`` (such as ``hdu`` and ``unit``).

    Returns
    -------
    `~astropy.nddata.CCDData`
        In the unit of the frames, with the header of the first frame and ``NCOMBINE`` and
        ``combined`` added. A pixel is masked (and NaN) where no frame has a good value. The
        uncertainty is of the frames' type and propagated if all have uncertainties; else it is
        a `~astropy.nddata.StdDevUncertainty` from the scatter, NaN where fewer than two values
        were left.
    `CombineDiagnostics`
        With ``diagnostics=True``: how many frames were used, and which lost which pixel.

    Raises
    ------
    TypeError
        If a keyword is unknown.
    ValueError
        If there is no frame, frames differ in shape or unit, or a setting makes no sense.
    OSError
        If a file is missing or broken, or the output exists without ``overwrite_output``.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.nddata import CCDData
    >>> from ccdproc_echelle import combine_frames
    >>> frames = [CCDData(np.full((4, 4), level), unit="adu") for level in (1.0, 2.0, 4.0)]
    >>> float(combine_frames(frames, scale=[1, 0.5, 0.25]).data.mean())
    1.0
    """
    settings, reading = CombineSettings.from_keywords(keywords)
    _check_output(output_file, settings)
    frames = _opened(img_list, reading)
    _check_frames(frames, settings)
    with uncompressed(frames) as frames, Progress(_ONE_STEP, shown=progress_bar) as progress:
        progress.begin("combining")
        scales = _scales(scale, frames)
        images = _streamed(frames, scales, settings, executor, progress, want_rejected=diagnostics)
        combined = _as_ccddata(frames, images, frames[0].unit)
    _write(combined, output_file, settings)
    return (combined, CombineDiagnostics(images.count, images.rejected)) if diagnostics else combined


def two_pass_flat_combine(
    img_list: Any,
    orders: EchelleOrderTable,
    output_file: str | os.PathLike | None = None,
    *,
    window: float = 10,
    n_passes: int = 2,
    statistic: str = "mean",
    per_order: bool | str = False,
    executor: Executor | None = None,
    progress_bar: bool = False,
    diagnostics: bool = False,
    **keywords: Any,
) -> CCDData | tuple[CCDData, CombineDiagnostics]:
    """
    Combine echelle flats whose exposure levels are measured on the order centres, twice.

    The frames are normalised by their mean on the order centres and combined; every original
    frame is divided by this first master, its level measured again; the frames, normalised by
    the new levels, are combined to the master. The first master is made at the inner-order
    pixels only, as only these enter the levels.

    Parameters
    ----------
    img_list : list, str or `ccdproc.ImageFileCollection`
        File names (a string may hold several, separated by commas) or
        `~astropy.nddata.CCDData` objects: flats without bias and dark.
    orders : `EchelleOrderTable`
        The order centres.
    output_file : path-like, optional
        FITS file to be written.
    window : float, optional
        Full width of the window on the order centre, in pixel along the cross-dispersion axis.
    n_passes : int, optional
        How often the levels are measured.
    statistic : {"mean", "weighted", "median"}, optional
        What is taken of the ratios to the first master; see `measure_exposure_levels`.
    per_order : {False, True, "auto"}, optional
        Whether each order of a frame is normalised by its own level, for a lamp whose colour
        drifts; ``"auto"``: if `one_level_test` says that one level per frame does not suffice.
        The scale is that of the order between its edges, or within the window if these are not
        known, and is interpolated linearly from there to the next order. Orders too faint to have
        a level are taken along by their neighbours. The master has the mean colour of the frames.
    executor : `concurrent.futures.Executor`, optional
        What does the work. Default: threads. The result is the same whichever it is.
    progress_bar : bool, optional
        Show progress with tqdm.
    diagnostics : bool, optional
        Whether to return `CombineDiagnostics` as well.
    **keywords
        Those of `CombineSettings`, which are those of `ccdproc.combine` but ``scale``, and of
        ``CCDData.read`` (such as ``hdu`` and ``unit``).

    Returns
    -------
    `~astropy.nddata.CCDData`
        The master flat: dimensionless, with mean 1 over the inner-order pixels. Mask and
        uncertainty as from `combine_frames`. The header is that of the first frame, with
        ``NCOMBINE``, ``combined`` and the level of each frame (``LEVEL001`` and so on, in
        the unit of the frames), and if ``per_order`` is not False ``PERORDER``, whether orders
        have scales of their own. Errors of the levels cancel in
        the normalisation but for pixels that lost a frame, whose uncertainty contains them.
    `CombineDiagnostics`
        With ``diagnostics=True``: how many frames were used, and which lost which pixel.

    Raises
    ------
    TypeError
        If a keyword is unknown.
    ValueError
        If there is no frame, frames differ in shape or unit, the order table does not fit to
        them, no inner-order pixel is good in all frames, a level is not positive, or no order
        has a level with ``per_order=True``.
    OSError
        If a file is missing or broken, or the output exists without ``overwrite_output``.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If there is only one frame, only some have uncertainties, or the frames differ by far more
        than their uncertainties let expect.

    References
    ----------
    SOXS pipeline documentation, recipe ``soxs-mflat``.

    Examples
    --------
    >>> from ccdproc_echelle import two_pass_flat_combine
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> simulation = EchelleSimulation(shape=(128, 128), n_orders=3)
    >>> flat = two_pass_flat_combine(simulation.flats(3), simulation.truth.orders,
    ...                              sigma_clip=True, sigma_clip_low_thresh=5,
    ...                              sigma_clip_high_thresh=5)
    >>> flat.unit, flat.header["NCOMBINE"]
    (Unit(dimensionless), 3)
    """
    if "scale" in keywords:
        raise TypeError(
            "two_pass_flat_combine measures the scale itself; combine_frames takes scale="
        )
    settings, reading = CombineSettings.from_keywords(keywords)
    _check_output(output_file, settings)
    frames = _opened(img_list, reading)
    with uncompressed(frames) as frames, Progress(_ONE_STEP, shown=progress_bar) as progress:
        progress.begin("combining")
        flat, _, images = combine_with_levels(
            frames,
            orders,
            settings,
            window=window,
            n_passes=n_passes,
            statistic=statistic,
            per_order=per_order,
            executor=executor,
            progress=progress,
            want_rejected=diagnostics,
        )
    _write(flat, output_file, settings)
    return (flat, CombineDiagnostics(images.count, images.rejected)) if diagnostics else flat


def combine_with_levels(
    frames: Sequence[Frame],
    orders: EchelleOrderTable,
    settings: CombineSettings,
    *,
    window: float,
    n_passes: int,
    statistic: str = "mean",
    per_order: bool | str = False,
    executor: Executor | None = None,
    progress: Progress = SILENT,
    want_rejected: bool = False,
    watch: Watch | None = None,
) -> tuple[CCDData, QTable, CombinedImages]:
    """
    `two_pass_flat_combine` for opened frames, which also returns the levels and what was noted.

    Parameters
    ----------
    frames : sequence of `Frame`
        The frames, in memory or in files that are not compressed.
    orders, window, n_passes, statistic, per_order, executor
        As `two_pass_flat_combine`.
    progress : `Progress`, optional
        Counts the sections that are combined.
    want_rejected, watch
        As `stream`.
    settings : `CombineSettings`
        How frames are combined, in both passes.

    Returns
    -------
    flat : `~astropy.nddata.CCDData`
        The master flat.
    levels : `~astropy.table.QTable`
        As from `measure_exposure_levels`.
    images : `CombinedImages`
        What the flat was made of, with what was noted of the frames.
    """
    if settings.method == "sum":
        raise ValueError("method is 'sum'; a flat needs 'average' or 'median'")
    if per_order not in (False, True, "auto"):
        raise ValueError(f"per_order is {per_order!r}, expected False, True or 'auto'")
    _check_frames(frames, settings)
    if len(frames) == 1:
        warn(
            f"{frames[0].name} is the only frame: nothing can be clipped",
        )
    orders = checked_orders(orders).on_detector(frames[0].shape)
    levels = measure_levels(
        frames,
        orders,
        window=window,
        n_passes=n_passes,
        statistic=statistic,
        per_order=bool(per_order),
        combiner=settings.combiner(),
        weights=settings.weights_of(frames),
    )
    if per_order == "auto":
        per_order = not one_level_test(levels).suffices
    if per_order:
        scales, noise = _order_scales(levels, orders, window)
    else:
        scales, noise = _frame_scales(levels)
    images = _streamed(frames, scales, settings, executor, progress, want_rejected, watch)
    _normalize(images, levels, orders.inner_mask(window))
    _add_noise_of_levels(images, scales, noise, len(frames))
    flat = _as_ccddata(frames, images, u.dimensionless_unscaled)
    _record_levels(flat, levels, per_order)
    return flat, levels, images


def _streamed(
    frames, scales, settings, executor, progress, want_rejected, watch=None
) -> CombinedImages:
    dtype = settings.dtype or np.result_type(*(frame.dtype for frame in frames))
    return stream(
        frames,
        scales,
        settings.combiner(),
        weights=settings.weights_of(frames),
        dtype=np.dtype(dtype),
        mem_limit=settings.mem_limit,
        executor=executor,
        progress=progress,
        want_rejected=want_rejected,
        watch=watch,
    )


def _frame_scales(levels: QTable) -> tuple[np.ndarray, np.ndarray]:
    """Scales of the frames, and the mean variance of their logarithms."""
    noise = np.mean((levels["level_uncertainty"] / levels["level"]).value ** 2)
    return 1 / levels["level"].value, np.array([noise])


def _order_scales(
    levels: QTable, orders: EchelleOrderTable, window: float
) -> tuple[OrderScales, np.ndarray]:
    """The same for each order that has a level, from the lowest row or column to the highest."""
    known = np.flatnonzero(np.isfinite(levels["order_level"].value[0]))
    if len(known) == 0:
        raise ValueError("per_order is True, but no order has enough bright pixels for a level")
    known = known[np.argsort(np.nanmean(orders.center()[known], axis=1))]
    values = levels["order_level"].value[:, known]
    sigmas = levels["order_level_uncertainty"].value[:, known]
    places = order_places(orders.select(orders.order_numbers[known]), window)
    return OrderScales(1 / values, places), np.mean((sigmas / values) ** 2, axis=0)


def _normalize(images: CombinedImages, levels: QTable, inner: np.ndarray) -> None:
    """
    Bring the mean over all inner-order pixels to 1.

    The levels were measured on part of these pixels if there are many.
    """
    mean = np.nanmean(images.value.ravel().take(np.flatnonzero(inner)), dtype=float)
    for name in levels.colnames:
        if name.endswith(("level", "uncertainty")):
            levels[name] *= mean
    images.value[:] /= mean
    images.variance[:] /= mean**2


def _add_noise_of_levels(
    images: CombinedImages, scales: np.ndarray | OrderScales, noise: np.ndarray, n_frames: int
) -> None:
    """With a mean of 1, errors of the levels show only in pixels that lost a frame."""
    if not np.isfinite(noise).all():
        return
    value, variance, count = (part.ravel() for part in images[:3])
    short = np.flatnonzero(count != n_frames)
    short = short[count[short] > 0]
    if isinstance(scales, OrderScales):
        noise = np.interp(scales.places.ravel()[short], np.arange(len(noise)), noise)
    variance[short] += noise * (1 / count[short] - 1 / n_frames) * value[short] ** 2


# ---------------------------------------------------------------------- at the door


def _opened(img_list: Any, reading: dict) -> list[Frame]:
    frames = open_frames(img_list, **reading)
    warn_of_bare(frames, "frames")
    return frames


def _check_frames(frames: Sequence[Frame], settings: CombineSettings) -> None:
    """Refuse rejections that these frames do not allow."""
    if settings.sigma_clip and settings.sigma_clip_dev_func == "uncertainty":
        for frame in frames:
            if frame.uncertainty_type is None:
                raise ValueError(
                    f"sigma_clip_dev_func is 'uncertainty', but {frame.name} has no uncertainty"
                )
    n_rejected = (settings.nlow or 0) + (settings.nhigh or 0)
    if settings.clip_extrema and n_rejected >= len(frames):
        raise ValueError(
            f"nlow + nhigh is {n_rejected}, expected less than the number of frames, {len(frames)}"
        )


def _check_inverse_variance(frames: Sequence[Frame]) -> None:
    for frame in frames:
        if frame.uncertainty_type is None:
            raise ValueError(f"weights is 'inverse_variance', but {frame.name} has no uncertainty")


def _check_output(output_file: Any, settings: CombineSettings) -> None:
    if output_file is not None:
        check_output(output_file, overwrite=settings.overwrite_output)


def _limit(value: float | None, unlimited: float) -> float:
    return unlimited if value is None else value


def _scales(scale: ArrayLike | Callable | None, frames: Sequence[Frame]) -> np.ndarray:
    """One finite positive factor for each frame."""
    if scale is None:
        return np.ones(len(frames))
    if isinstance(scale, InnerOrderScale):
        scale = [scale(frame.ccddata()) for frame in frames]
    elif callable(scale):
        scale = [scale(frame.ccddata().data) for frame in frames]
    scales = np.asarray(scale, dtype=float)
    if scales.size != len(frames):
        raise ValueError(
            f"scale has shape {scales.shape}, expected one number for each of "
            f"{len(frames)} frames"
        )
    scales = scales.ravel()
    for frame, factor in zip(frames, scales, strict=True):
        if not (np.isfinite(factor) and factor > 0):
            raise ValueError(f"the scale of {frame.name} is {factor}, expected a number > 0")
    return scales


# ---------------------------------------------------------------------- result


def _as_ccddata(frames: Sequence[Frame], combined: CombinedImages, unit: u.UnitBase) -> CCDData:
    header, wcs = frames[0].metadata()
    header = copy.deepcopy(header)
    header["NCOMBINE"] = len(frames)
    header["combined"] = True
    header["BUNIT"] = unit.to_string()
    types = {frame.uncertainty_type for frame in frames}
    kind = types.pop() if len(types) == 1 and None not in types else StdDevUncertainty
    return CCDData(
        combined.value,
        unit=unit,
        uncertainty=kind(uncertainty_array(combined.variance, kind)),
        mask=combined.count == 0,
        header=header,
        wcs=wcs,
    )


def _record_levels(flat: CCDData, levels: QTable, per_order: bool) -> None:
    """The level of each frame in the header: LEVEL001 and on, in eight characters."""
    if "order_level" in levels.colnames:
        flat.header["PERORDER"] = per_order
    digits = max(3, len(str(len(levels))))
    for i, row in enumerate(levels, start=1):
        key = f"{'LEVEL'[: 8 - digits]}{i:0{digits}d}"
        flat.header[key] = float(row["level"].value)
        if isinstance(flat.header, fits.Header):
            comment = f"[{row['level'].unit}] {os.path.basename(row['frame'])}"
            comment = comment.encode("ascii", "replace").decode()
            flat.header.comments[key] = comment[:_LONGEST_COMMENT]


def _write(ccd: CCDData, output_file: Any, settings: CombineSettings) -> None:
    if output_file is not None:
        with replacing(output_file, overwrite=settings.overwrite_output) as temporary:
            ccd.write(temporary, format="fits")
            # NumPy does not notice if a disk gets full in the last kilobytes of an array.
            FileFrame(temporary, {"unit": ccd.unit})
