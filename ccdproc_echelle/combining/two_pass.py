# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Two-pass combination of flats, scaled by levels measured on the order centres."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np
from astropy import units as u
from astropy.nddata import CCDData
from astropy.table import QTable

from ccdproc_echelle._warnings import warn
from ccdproc_echelle.combining.combine import CombineDiagnostics
from ccdproc_echelle.combining.fitness import (
    Survey,
    refuse_frames_without_light,
    warn_of_lost_orders,
)
from ccdproc_echelle.combining.known_noise import known_noise, noise_cards
from ccdproc_echelle.combining.levels import check_n_passes, level_pixels, measure_levels
from ccdproc_echelle.combining.noise import MeasuredNoise
from ccdproc_echelle.combining.noting import Watch
from ccdproc_echelle.combining.one_level import one_level_test
from ccdproc_echelle.combining.progress import SILENT, Progress, one_step
from ccdproc_echelle.combining.scales import OrderScales, order_places
from ccdproc_echelle.combining.settings import CombineSettings
from ccdproc_echelle.combining.steps import as_ccddata, opened, streamed, write
from ccdproc_echelle.combining.streaming import CombinedImages
from ccdproc_echelle.frames import Frame, printable, record_cards, uncompressed, warn_of_copies
from ccdproc_echelle.orders import EchelleOrderTable, checked_orders

__all__ = ["check_two_passes", "combine_with_levels", "two_pass_flat_combine"]


def two_pass_flat_combine(
    img_list: Any,
    orders: EchelleOrderTable,
    output_file: str | os.PathLike | None = None,
    *,
    window: float = 10,
    n_passes: int = 2,
    statistic: str = "mean",
    per_order: bool | str = False,
    bad_pixel_mask: Any = None,
    executor: Executor | None = None,
    progress_bar: bool = False,
    diagnostics: bool = False,
    **keywords: Any,
) -> CCDData | tuple[CCDData, CombineDiagnostics]:
    """
    Combine echelle flats using exposure levels measured on the order centres, in two passes.

    The frames are normalised by their mean on the order centres and combined into a first master.
    Every original frame is divided by this master and its level is measured again. The frames,
    normalised by the new levels, are then combined into the master flat. The first master is
    computed at the inner-order pixels only, since only these are used for the levels.

    Parameters
    ----------
    img_list : list, str or `ccdproc.ImageFileCollection`
        Names of FITS files (a single string may hold several, separated by commas) or
        `~astropy.nddata.CCDData` objects: flats from which bias and dark have been subtracted.
    orders : `EchelleOrderTable`
        The order centres.
    output_file : path-like, optional
        Name of the FITS file to write.
    window : float, optional
        Full width of the window on the order centre, in pixels along the cross-dispersion axis.
    n_passes : int, optional
        Number of times the levels are measured: 1 for the mean on the order centres only, 2 for the
        SOXS method, more to iterate further.
    statistic : {"mean", "weighted", "median"}, optional
        Statistic of the ratios to the first master that is used as the level. ``"weighted"``
        weights by the inverse variance; see `measure_exposure_levels`.
    per_order : {False, True, "auto"}, optional
        Whether to normalise each order of a frame by its own level, for a lamp whose colour drifts.
        If ``"auto"``, this is done if `one_level_test` shows that one level per frame does not
        suffice. The scale applies between the edges of an order, or within the window if the edges
        are not known, and is interpolated linearly from there to the next order. Orders too faint
        to have a level follow their neighbours. The master has the mean colour of the frames.
    bad_pixel_mask : array, `~astropy.nddata.CCDData` or path-like, optional
        Known bad pixels of the detector: non-zero (True) or masked in an image with the shape of
        the frames. They are excluded from the levels and masked in the master. If a FITS file has
        several images, the one in ``hdu`` is used.
    executor : `concurrent.futures.Executor`, optional
        Executor that does the work. Default: threads. The result does not depend on it.
    progress_bar : bool, optional
        Whether to show a progress bar (requires tqdm).
    diagnostics : bool, optional
        Whether to return `CombineDiagnostics` as well.
    **keywords
        Keywords of `CombineSettings`, which are those of `ccdproc.combine` except ``scale``, and of
        ``CCDData.read``, such as ``hdu`` and ``unit``.

    Returns
    -------
    `~astropy.nddata.CCDData`
        The master flat: dimensionless, with a mean of 1 over the inner-order pixels. Mask and
        uncertainty are as in `combine_frames`, except that frames without uncertainties get those
        of their own measured noise, if it can be measured (`measure_noise`; ``GAINMEAS`` and
        ``RONMEAS`` in the header). The header is that of the first frame with ``NCOMBINE``,
        ``combined`` and the level of each frame (``LEVEL001`` and so on, in the unit of the frames)
        and, unless ``per_order`` is False, with ``PERORDER``, which tells whether orders were
        scaled separately. Errors of the levels cancel in the normalisation, except in pixels where
        a frame is missing; the uncertainty of these pixels includes them.
    `CombineDiagnostics`
        Only if ``diagnostics=True``: the number of frames used and the rejected values.

    Raises
    ------
    TypeError
        If a keyword is unknown.
    ValueError
        If there are no frames, frames differ in shape or unit, ``bad_pixel_mask`` has a different
        shape, the order table does not match the frames, no inner-order pixel is good in all
        frames, a level is not positive or below 1/1000 of that of the brightest frame, no order has
        a level with ``per_order=True``, or the output is one of the input files, under whatever
        name or link. If the orders are not at, or near, their positions in the table, the error is
        a `WrongOrderTableError`.
    OSError
        If a file is missing or damaged, or the output exists and ``overwrite_output`` is not set.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If there is only one frame, a frame is a copy of another one, or only some frames have
        uncertainties; if the frames differ by far more than their uncertainties allow (their
        measured noise is then used instead), by a few times more or less (the uncertainties are
        used), or by something other than noise; if the orders are a pixel or more off the table, or
        shifted in some frames; if an order has no light or no good pixel, the window is wider than
        the orders, or the frames still contain a bias or their overscan.

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
            "two_pass_flat_combine measures the scale itself; use combine_frames for scale="
        )
    settings, reading = CombineSettings.from_keywords(keywords, two_pass_flat_combine)
    settings.check_executor(executor)
    frames = opened(img_list, reading, output_file, settings, bad_pixel_mask)
    with uncompressed(frames) as frames, one_step(progress_bar) as progress:
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
            surveyed=True,
        )
        warn_of_copies(frames, images.looks)
    write(flat, output_file, settings)
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
    surveyed: bool = False,
) -> tuple[CCDData, QTable, CombinedImages]:
    """
    `two_pass_flat_combine` for opened frames; also returns the levels and the recorded information.

    Parameters
    ----------
    frames : sequence of `Frame`
        The frames, in memory or in uncompressed files.
    orders, window, n_passes, statistic, per_order, executor
        See `two_pass_flat_combine`.
    settings : `CombineSettings`
        How frames are combined, in both passes.
    progress : `Progress`, optional
        Progress indicator, advanced by each section that is combined.
    want_rejected, watch
        See `stream`.
    surveyed : bool, optional
        Whether to check that flats, orders and window are consistent, as `check_flats` does.

    Returns
    -------
    flat : `~astropy.nddata.CCDData`
        The master flat.
    levels : `~astropy.table.QTable`
        As returned by `measure_exposure_levels`.
    images : `CombinedImages`
        The combined images, with what was recorded about the frames.
    """
    check_two_passes(settings, n_passes, per_order)
    settings.check_frames(frames)
    if len(frames) == 1:
        warn(f"{frames[0].name} is the only frame: nothing can be clipped")
    orders = checked_orders(orders).on_detector(frames[0].shape)
    frames, levels, noise = _measured(
        frames,
        orders,
        window=window,
        n_passes=n_passes,
        statistic=statistic,
        per_order=bool(per_order),
        combiner=settings.combiner(),
        weights=settings.weights_of(frames),
        executor=executor,
        survey=Survey.planned(frames, orders, window) if surveyed else None,
    )
    if per_order == "auto":
        per_order = not one_level_test(levels).suffices
    scales, noise_of_scales = (
        _order_scales(levels, orders, window) if per_order else _frame_scales(levels)
    )
    images = streamed(frames, scales, settings, executor, progress, want_rejected, watch)
    _normalize(images, levels, orders.inner_mask(window))
    _add_noise_of_levels(images, scales, noise_of_scales, len(frames))
    flat = as_ccddata(frames, images, u.dimensionless_unscaled)
    warn_of_lost_orders(flat.mask, orders, window)
    record_cards(flat.header, _level_cards(levels, per_order))
    if noise is not None:
        record_cards(flat.header, noise_cards(noise))
    return flat, levels, images


def _measured(
    frames: Sequence[Frame],
    orders: EchelleOrderTable,
    *,
    executor: Executor | None,
    per_order: bool,
    survey: Survey | None,
    **how: Any,
) -> tuple[Sequence[Frame], QTable, MeasuredNoise | None]:
    """The levels of frames, which first get uncertainties if theirs are missing or implausible."""
    how |= dict(executor=executor, per_order=per_order)
    if len(frames) == 1 or all(frame.uncertainty_type is not None for frame in frames):
        levels, doubt = measure_levels(frames, orders, **how, survey=survey)
        refuse_frames_without_light(levels)
        if not doubt:
            return frames, levels, None
        warn(f"{doubt}. They are not used")
        survey = None
    indices = level_pixels(orders, how["window"], len(frames))
    known = known_noise(
        frames, orders, indices, executor, with_drift=not per_order, survey=survey
    )
    levels, _ = measure_levels(known.frames, orders, **how, gathered=known.pixels)
    refuse_frames_without_light(levels)
    return known.frames, levels, known.noise


def check_two_passes(settings: CombineSettings, n_passes: int, per_order: bool | str) -> None:
    """
    Raise if the settings cannot be used for a combination in passes.

    Parameters
    ----------
    settings : `CombineSettings`
        How frames are combined.
    n_passes, per_order
        See `two_pass_flat_combine`.

    Raises
    ------
    ValueError
        If one of them is invalid.
    """
    check_n_passes(n_passes)
    if settings.method == "sum":
        raise ValueError("method is 'sum'; a flat needs 'average' or 'median'")
    if per_order not in (False, True, "auto"):
        raise ValueError(f"per_order is {per_order!r}, expected False, True or 'auto'")


def _frame_scales(levels: QTable) -> tuple[np.ndarray, np.ndarray]:
    """Scales of the frames, and the mean variance of their logarithms."""
    noise = np.mean((levels["level_uncertainty"] / levels["level"]).value ** 2)
    return 1 / levels["level"].value, np.array([noise])


def _order_scales(
    levels: QTable, orders: EchelleOrderTable, window: float
) -> tuple[OrderScales, np.ndarray]:
    """As `_frame_scales`, for each order that has a level, from lowest to highest row or column."""
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
    Normalise the mean over all inner-order pixels to 1.

    If there are many of these pixels, the levels were measured on a subset.
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
    """With a mean of 1, errors of the levels only show in pixels where a frame is missing."""
    if not np.isfinite(noise).all():
        return
    value, variance, count = (part.ravel() for part in images[:3])
    short = np.flatnonzero(count != n_frames)
    short = short[count[short] > 0]
    if isinstance(scales, OrderScales):
        noise = np.interp(scales.places.ravel()[short], np.arange(len(noise)), noise)
    variance[short] += noise * (1 / count[short] - 1 / n_frames) * value[short] ** 2


def _level_cards(levels: QTable, per_order: bool) -> Iterator[tuple[str, Any, str]]:
    """The level of each frame: LEVEL001 and so on, within eight characters."""
    if "order_level" in levels.colnames:
        yield "PERORDER", per_order, ""
    digits = max(3, len(str(len(levels))))
    for i, row in enumerate(levels, start=1):
        key = f"{'LEVEL'[: 8 - digits]}{i:0{digits}d}"
        comment = f"[{row['level'].unit}] {os.path.basename(row['frame'])}"
        yield key, float(row["level"].value), printable(comment)
