# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Exposure levels: how bright a flat is on its order centres."""

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, NamedTuple

import numpy as np
from astropy.nddata import CCDData
from astropy.stats import SigmaClip
from astropy.table import QTable
from numpy.typing import ArrayLike
from scipy.stats import chi2

from ccdproc_echelle._warnings import warn
from ccdproc_echelle.combining.clipping import (
    SigmaClipping,
    StackCombiner,
)
from ccdproc_echelle.frames import (
    Frame,
    inverse_variance_weights,
    open_frames,
    uncompressed,
)
from ccdproc_echelle.orders import EchelleOrderTable, checked_orders

__all__ = [
    "InnerOrderScale",
    "OneLevelTest",
    "inner_order_scale",
    "measure_exposure_levels",
    "measure_levels",
    "one_level_test",
    "with_common_errors",
]

# Cosmic rays and dead pixels; the brightness of the orders themselves spans less than this. About
# the mean, which of so many pixels is as good a centre as the median and found much faster.
_LEVEL_CLIP = SigmaClip(sigma=5, maxiters=10, cenfunc="mean")

# The first master of `measure_exposure_levels`, where no other is asked for.
_FIRST_MASTER = StackCombiner(sigma_clipping=SigmaClipping(low=5, high=5))

# Ratios are not taken of pixels below this fraction of the mean: there noise and the smallest
# offset of a frame's zero point, such as a drift of the bias, are large against the signal.
_FAINTEST = 0.1

# An order with fewer pixels has no level of its own: neither it nor its scatter were known well.
_FEWEST_PIXELS = 25

# One level per frame suffices unless orders differ more than by chance and more than this: bright
# lamps show differences that nobody needs to care about.
_SIGNIFICANT = 1e-3
_RELEVANT = 1e-3

# Frames may scatter by this factor more than their uncertainties say without a warning: their
# illumination may drift.
_TOLERATED = 5
_ENOUGH_PIXELS = 10_000

# Where uncertainties are far too small, no value agrees with the others: none is left in more than
# this fraction of the pixels.
_MOST_CLIPPED = 0.05

# Of the absolute value of a Gaussian with standard deviation 1.
_MEDIAN_OF_PULLS = 0.6745

_NOTHING_LEFT = "sigma_clip leaves no inner-order pixel"

# Inner-order pixels of all frames are held in memory. With many frames or a large detector an even
# part of them will do: 100 000 pixels give a level to 0.3 % of the noise of a single one.
_GATHERED_BYTES = 8_000_000
_BYTES_PER_PIXEL = 9  # single-precision value and variance, good or not

_ROWS_AT_ONCE = 256


class InnerOrderScale:
    """
    The scale of a frame: one over its exposure level. Made by `inner_order_scale`.

    Parameters
    ----------
    orders, window, sigma_clip, mask
        As `inner_order_scale`.
    """

    def __init__(self, orders, window, sigma_clip, mask):
        self.orders = orders
        self.window = window
        self.sigma_clip = sigma_clip
        self.mask = mask

    def __call__(self, frame: CCDData | np.ndarray) -> float:
        """
        Measure a frame.

        Parameters
        ----------
        frame : `~astropy.nddata.CCDData`, array or masked array, shape (rows, columns)
            The frame. Masked and non-finite pixels are ignored.

        Returns
        -------
        float
            The number that brings the level of the frame to 1.

        Raises
        ------
        ValueError
            If the frame does not fit to the order table or the mask, no inner-order pixel is
            good or left by the clipping, or the level is not positive.
        """
        data = np.ma.asarray(frame.data if isinstance(frame, CCDData) else frame)
        inner = self.orders.on_detector(data.shape).inner_mask(self.window)
        for mask in (self.mask, getattr(frame, "mask", None)):
            if mask is not None:
                _check_mask(mask, data.shape)
                inner &= ~np.asarray(mask, dtype=bool)
        values = np.asarray(data.data[inner], dtype=float)
        values = values[np.isfinite(values)]
        if len(values) == 0:
            raise ValueError(f"no good pixel within the window of {self.window} pixels")
        values = _unshared(self.sigma_clip)(values, masked=False)
        if len(values) == 0:
            raise ValueError(_NOTHING_LEFT)
        level = float(values.mean())
        if not level > 0:
            raise ValueError(f"the exposure level of the frame is {level}, expected > 0")
        return 1 / level


def inner_order_scale(
    orders: EchelleOrderTable,
    *,
    window: float = 10,
    sigma_clip: SigmaClip = _LEVEL_CLIP,
    mask: ArrayLike | None = None,
) -> InnerOrderScale:
    """
    A ``scale`` for `ccdproc.combine` that looks at the order centres only.

    The level of a frame is the sigma-clipped mean of its inner-order pixels, those within
    ``window / 2`` of an order centre; the scale is one over the level. This is the first
    normalisation of the SOXS master-flat recipe; `two_pass_flat_combine` does both.

    Parameters
    ----------
    orders : `EchelleOrderTable`
        The order centres.
    window : float, optional
        Full width of the window on the order centre, in pixel along the cross-dispersion axis.
    sigma_clip : `~astropy.stats.SigmaClip`, optional
        How outliers are rejected before the mean is taken.
    mask : bool array, shape (rows, columns), optional
        Pixels to ignore in every frame (True is bad). `ccdproc.combine` hands the bare data to a
        scale function, without the frame's mask; known bad pixels must be given here.

    Returns
    -------
    callable
        Takes an array or `~astropy.nddata.CCDData` and returns ``1 / level`` as a float.

    Raises
    ------
    ValueError
        If ``window`` is not positive, the mask does not fit to the order table, or (from the
        callable) the frame does not fit, no pixel is good, or the level is not positive.

    References
    ----------
    SOXS pipeline documentation, recipe ``soxs-mflat``.

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle import EchelleOrderTable, inner_order_scale
    >>> orders = EchelleOrderTable.from_polynomials(
    ...     [1], [[50]], shape=(100, 80), dispersion_axis=1)
    >>> frame = np.full((100, 80), 10.0)
    >>> frame[40:61] = 500.0
    >>> inner_order_scale(orders, window=10)(frame)
    0.002
    """
    if not window > 0:
        raise ValueError(f"window is {window!r}, expected a positive number of pixels")
    if mask is not None and orders.shape is not None:
        _check_mask(mask, orders.shape)
    return InnerOrderScale(orders, window, sigma_clip, mask)


def measure_exposure_levels(
    frames: Any,
    orders: EchelleOrderTable,
    *,
    window: float = 10,
    n_passes: int = 2,
    statistic: str = "mean",
    sigma_clip: SigmaClip = _LEVEL_CLIP,
    per_order: bool = False,
    **reading: Any,
) -> QTable:
    """
    Exposure levels of flats, as the two-pass method of the SOXS pipeline finds them.

    The first pass takes the sigma-clipped mean of the inner-order pixels of each frame. Each
    further pass combines the frames, divided by their levels, into a first master at these
    pixels, divides the original frames by it and takes the mean of the ratio: now every order
    counts alike, however bright it is; only pixels below a tenth of the mean are left out. A pixel
    that is masked or clipped in one frame is left out in all, as different sets of pixels bias
    the levels.

    Parameters
    ----------
    frames : list, str or `ccdproc.ImageFileCollection`
        As ``img_list`` of `ccdproc.combine`: file names or `~astropy.nddata.CCDData`.
    orders : `EchelleOrderTable`
        The order centres.
    window : float, optional
        Full width of the window on the order centre, in pixel along the cross-dispersion axis.
    n_passes : int, optional
        1: inner-order mean only; 2: the SOXS method; more: iterated further.
    statistic : {"mean", "weighted", "median"}, optional
        What is taken of the ratios after the first pass. ``"weighted"`` weighs by their
        inverse variance (by brightness, if there are no uncertainties): least noise, but it
        follows the bright orders if the illumination of the frames differs across the detector.
    sigma_clip : `~astropy.stats.SigmaClip`, optional
        How outliers are rejected in each pass.
    per_order : bool, optional
        Whether to measure the level of each order as well: the colour of a lamp may drift. It is
        what the frame has in its inner-order pixels over what the master of the last pass has
        there, scaled so that over the frames the mean of order level to level is 1 in each
        order. `one_level_test` tells whether orders differ.
    **reading
        Keywords of ``CCDData.read``.

    Returns
    -------
    `~astropy.table.QTable`
        One row per frame: ``frame`` (name), ``level`` and ``level_uncertainty`` after the last
        pass (unit of the frames: a frame is its level times the master, whose mean over the
        inner-order pixels is 1), ``pass_level`` and ``pass_uncertainty`` after each pass,
        shape ``(n_passes,)``, ``n_pixels`` used and ``n_clipped`` in the last pass. Standard
        deviations come from the uncertainties of the frames if they have any, else from the
        scatter of the pixels (which in pass 1 is that of the orders' brightness and far too
        large); of one frame alone this is NaN after further passes. With ``per_order=True`` also
        ``order_level`` and ``order_level_uncertainty``, shape ``(n_orders,)``, orders as in the
        order table: a frame is its order level times the master in that order. NaN for orders of
        which fewer than 25 pixels are good in all frames and above a tenth of the mean.

    Raises
    ------
    TypeError
        If a keyword is unknown.
    ValueError
        If there is no frame, frames or order table do not fit together, no inner-order pixel is
        good in all frames or left by the clipping, or a level is not positive.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If the frames differ by far more than their uncertainties let expect.

    References
    ----------
    SOXS pipeline documentation, recipe ``soxs-mflat``.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.nddata import CCDData
    >>> from ccdproc_echelle import EchelleOrderTable, measure_exposure_levels
    >>> orders = EchelleOrderTable.from_polynomials(
    ...     [1], [[50]], shape=(100, 80), dispersion_axis=1)
    >>> frames = [CCDData(np.full((100, 80), x), unit="adu") for x in (90.0, 110.0)]
    >>> measure_exposure_levels(frames, orders)["level"]
    <Quantity [ 90., 110.] adu>
    """
    frames = open_frames(frames, **reading)
    orders = checked_orders(orders).on_detector(frames[0].shape)
    with uncompressed(frames) as frames:
        return measure_levels(
            frames,
            orders,
            window=window,
            n_passes=n_passes,
            statistic=statistic,
            sigma_clip=sigma_clip,
            per_order=per_order,
            combiner=_FIRST_MASTER,
        )


def measure_levels(
    frames: Sequence[Frame],
    orders: EchelleOrderTable,
    *,
    window: float,
    n_passes: int,
    statistic: str,
    combiner: StackCombiner,
    sigma_clip: SigmaClip = _LEVEL_CLIP,
    per_order: bool = False,
    weights: np.ndarray | str | None = None,
) -> QTable:
    """
    `measure_exposure_levels` for opened frames and any way to combine the first master.

    Parameters
    ----------
    frames : sequence of `Frame`
        The frames.
    orders : `EchelleOrderTable`
        The order centres, on the detector of the frames.
    window, n_passes, statistic, sigma_clip, per_order
        As `measure_exposure_levels`.
    combiner : `StackCombiner`
        Makes the first master.
    weights : optional
        Weights of the combiner: array, shape (n_frames, 1, 1) or (n_frames, rows, columns), or
        ``"inverse_variance"``.

    Returns
    -------
    `~astropy.table.QTable`
        As `measure_exposure_levels`.
    """
    if not isinstance(n_passes, (int, np.integer)) or n_passes < 1:
        raise ValueError(f"n_passes is {n_passes!r}, expected a positive integer")
    if statistic not in _STATISTICS:
        raise ValueError(f"statistic is {statistic!r}, expected one of {list(_STATISTICS)}")
    places = _evenly_spread(np.flatnonzero(orders.inner_mask(window)), len(frames))
    pixels = _gather(frames, places)
    common = pixels.good.all(axis=0)
    if not common.any():
        raise ValueError(_why_no_pixel(frames, pixels.good, window))
    if isinstance(weights, np.ndarray):
        weights = weights.reshape(len(frames), -1)
        weights = weights if weights.shape[1] == 1 else weights[:, places]

    master = _Master(np.ones(len(places), dtype=pixels.data.dtype), None)
    passes = []
    for number in range(n_passes):
        usable, ratios, clipped = _ratios(pixels, common, master, sigma_clip)
        used = np.flatnonzero(~clipped.any(axis=0))
        if len(used) == 0:
            raise ValueError(_NOTHING_LEFT)
        if number == 0:
            levels, sigmas = _mean(ratios.selected(used), None)
        else:
            weights_of_ratios = master.weights(usable)[used] if statistic != "mean" else None
            levels, sigmas = _STATISTICS[statistic](ratios.selected(used), weights_of_ratios)
            if pixels.variance is None:
                sigmas = sigmas * _lost_scatter(len(frames))
        _check_levels(frames, levels)
        master, norm = _combined(frames, pixels, levels, combiner, weights)
        passes.append((levels * norm, sigmas * norm))
    table = _as_table(frames, passes, len(used), clipped.sum(axis=1))
    levels = passes[-1][0][:, None]
    if per_order:
        order = orders.inner_index(window).take(places)
        found = _order_levels(pixels, common, master, sigma_clip, order, len(orders))
        # The master has the mean colour of the frames, whichever were clipped in it.
        found /= (found[0] / levels).mean(axis=0)
        table["order_level"], table["order_level_uncertainty"] = found * frames[0].unit
        levels = found[0].take(order, axis=1)
    _check_noise(frames, pixels, common, levels, master.value)
    return table


def with_common_errors(
    levels: QTable,
    errors_of: Callable[[np.ndarray], np.ndarray],
    flat: CCDData,
    orders: EchelleOrderTable,
    *,
    window: float,
) -> QTable:
    """
    Levels whose uncertainties hold errors that the pixels of a frame have in common.

    The uncertainty of a level is that of so many independent pixels. A smooth surface that was
    subtracted from a frame is wrong in neighbouring pixels alike.

    Parameters
    ----------
    levels : `~astropy.table.QTable`
        From `measure_levels`, with the statistic ``"mean"``.
    errors_of : callable
        From weights, shape (rows, columns), to the standard deviations of the sums over the surface
        of each frame with these weights, shape (n_frames,).
    flat : `~astropy.nddata.CCDData`
        The master flat.
    orders : `EchelleOrderTable`
        The order centres, on the detector of the flat.
    window : float
        Width of the window of the inner-order pixels.

    Returns
    -------
    `~astropy.table.QTable`
        A copy with other ``level_uncertainty`` and, if there is one, ``order_level_uncertainty``.
        ``pass_uncertainty`` remains that of the noise.
    """
    levels, unit = levels.copy(), levels["level"].unit
    order = orders.inner_index(window)
    used = (order >= 0) & ~flat.mask & (flat.data > _FAINTEST)
    master = np.where(used, flat.data, 1)
    errors = errors_of(used / master / np.count_nonzero(used))
    levels["level_uncertainty"] = np.hypot(levels["level_uncertainty"], errors * unit)
    if "order_level" in levels.colnames:
        chosen = [used & (order == i) for i in range(len(orders))]
        errors = [errors_of(here / max(master[here].sum(dtype=float), 1)) for here in chosen]
        levels["order_level_uncertainty"] = np.hypot(
            levels["order_level_uncertainty"], np.transpose(errors) * unit
        )
    return levels


class OneLevelTest(NamedTuple):
    """
    Whether one level per frame suffices. Made by `one_level_test`.

    Attributes
    ----------
    chi2 : float
        Sum of squares of the differences, in units of their standard deviations.
    dof : int
        Degrees of freedom: 0 with a single frame or order.
    p_value : float
        How probable so large differences are by chance; NaN without a degree of freedom.
    excess : float
        Relative differences between the orders of a frame that noise does not explain, root mean
        square; NaN without a degree of freedom.
    """

    chi2: float
    dof: int
    p_value: float
    excess: float

    @property
    def suffices(self) -> bool:
        """False if differences are both significant and relevant: each above 0.001."""
        return not (self.p_value < _SIGNIFICANT and self.excess > _RELEVANT)


def one_level_test(levels: QTable) -> OneLevelTest:
    """
    Test whether one level per frame suffices, or orders need their own.

    The logarithms of the order levels are compared with the sum of a number for each frame, its
    level, and one for each order, which takes up the noise that all frames have in common, that
    of the master. Both are fitted by least squares, so chi-square has
    ``(n_frames - 1) * (n_orders - 1)`` degrees of freedom. Orders without a level play no part.

    Parameters
    ----------
    levels : `~astropy.table.QTable`
        From `measure_exposure_levels` with ``per_order=True``.

    Returns
    -------
    `OneLevelTest`
        Significance and size of the differences, and ``suffices``.

    Raises
    ------
    ValueError
        If the table has no order levels.

    References
    ----------
    The two-way layout without interaction: Scheffe 1959, The Analysis of Variance, chapter 4.

    Examples
    --------
    >>> from ccdproc_echelle import measure_exposure_levels
    >>> from ccdproc_echelle.combining.levels import one_level_test
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> simulation = EchelleSimulation(shape=(128, 128), n_orders=3).with_color_drift(0.05)
    >>> levels = measure_exposure_levels(
    ...     simulation.flats(4), simulation.truth.orders, per_order=True)
    >>> one_level_test(levels).suffices
    False
    """
    if "order_level" not in levels.colnames:
        raise ValueError("levels have no column order_level; measure them with per_order=True")
    values = levels["order_level"].value
    sigmas = levels["order_level_uncertainty"].value / values
    known = (np.isfinite(sigmas) & (sigmas > 0)).all(axis=0)
    dof = int((len(values) - 1) * max(0, known.sum() - 1))
    if dof == 0:
        return OneLevelTest(0.0, 0, np.nan, np.nan)
    weights = sigmas[:, known] ** -2
    total = float((weights * _without_main_effects(np.log(values[:, known]), weights) ** 2).sum())
    excess = np.sqrt(max(0.0, total / dof - 1) / weights.mean())
    return OneLevelTest(total, dof, float(chi2.sf(total, dof)), float(excess))


# ---------------------------------------------------------------------- inner-order pixels


class _Pixels(NamedTuple):
    """Pixels of all frames, one row per frame. Those meant are named by their indices."""

    data: np.ndarray
    good: np.ndarray
    variance: np.ndarray | None

    def over(self, master: np.ndarray, usable: np.ndarray) -> "_Pixels":
        """Usable pixels divided by the master."""
        master = master[usable]
        pixels = self.selected(usable)
        variance = None if pixels.variance is None else pixels.variance / master**2
        return _Pixels(pixels.data / master, pixels.good, variance)

    def selected(self, which: np.ndarray) -> "_Pixels":
        return _Pixels(*(None if part is None else part.take(which, axis=1) for part in self))


class _Master(NamedTuple):
    """The first master at the inner-order pixels, and its variance per frame, if known."""

    value: np.ndarray
    noise: np.ndarray | None

    def weights(self, usable: np.ndarray) -> np.ndarray:
        """
        Inverse variance of the ratios to the master, the same for all frames.

        It is taken from all frames together: the variance of a single noisy pixel goes along
        with its value, and weights by it would bias the level.
        """
        value = self.value[usable]
        if self.noise is None:
            return value
        with np.errstate(divide="ignore"):
            return value**2 / self.noise[usable]


def _evenly_spread(places: np.ndarray, n_frames: int) -> np.ndarray:
    """Places, thinned evenly if the pixels of all frames there would take too much memory."""
    most = max(1, _GATHERED_BYTES // (n_frames * _BYTES_PER_PIXEL))
    return places[:: -(-len(places) // most) or 1]


def _gather(frames: Sequence[Frame], places: np.ndarray) -> _Pixels:
    """
    The pixels of all frames at places in the flattened image, in ascending order.

    Each file is read once, some rows at a time.
    """
    n_rows, n_columns = frames[0].shape
    dtype = np.result_type(*(frame.dtype for frame in frames))
    data = np.empty((len(frames), len(places)), dtype=dtype)
    good = np.empty(data.shape, dtype=bool)
    known = all(frame.uncertainty_type is not None for frame in frames)
    variance = np.empty_like(data) if known else None
    for first in range(0, n_rows, _ROWS_AT_ONCE):
        rows = slice(first, min(first + _ROWS_AT_ONCE, n_rows))
        start, stop = np.searchsorted(places, [rows.start * n_columns, rows.stop * n_columns])
        here = np.divmod(places[start:stop] - first * n_columns, n_columns)
        for i, frame in enumerate(frames if start < stop else ()):
            section = frame.part(rows).load().section(here)
            data[i, start:stop], good[i, start:stop] = section.data, section.good
            if known:
                variance[i, start:stop] = section.variance
    return _Pixels(data, good, variance)


def _combined(frames, pixels, levels, combiner, weights) -> tuple[_Master, float]:
    """The master at the inner-order pixels with mean 1, and the mean it had."""
    scales = (1 / levels).astype(pixels.data.dtype)[:, None]
    variances = None if pixels.variance is None else pixels.variance * scales**2
    if isinstance(weights, str):
        weights = inverse_variance_weights(frames, variances, pixels.good)
    stack = combiner.combine(pixels.data * scales, pixels.good, variances, weights)
    if not stack.kept.any():
        raise ValueError(
            "clipping leaves no inner-order pixel; its limits refer to frames with a level of 1"
        )
    norm = float(np.nanmean(stack.value, dtype=float))
    noise = None
    if variances is not None:
        noise = np.mean(variances, axis=0, dtype=float) / norm**2
    return _Master(stack.value / norm, noise), norm


def _ratios(pixels: _Pixels, common, master: _Master, sigma_clip) -> tuple:
    """Indices of the pixels bright enough, their ratios to the master, and which are outliers."""
    usable = np.flatnonzero(common & (master.value > _FAINTEST))
    ratios = pixels.over(master.value, usable)
    sigma_clip = _unshared(sigma_clip)
    clipped = np.array([np.ma.getmaskarray(sigma_clip(row)) for row in ratios.data])
    return usable, ratios, clipped


def _unshared(sigma_clip: SigmaClip) -> SigmaClip:
    """A copy: the original keeps the limits of its last call, and other threads may use it."""
    return copy(sigma_clip)


# ---------------------------------------------------------------------- orders


def _order_levels(
    pixels: _Pixels, common, master: _Master, sigma_clip, order: np.ndarray, n_orders: int
) -> np.ndarray:
    """
    Levels and their standard deviations, shape (2, n_frames, n_orders).

    Ratios are weighted by the master: that is the sum of a frame over the sum of the master, which
    is not biased by the noise of either.
    """
    usable, ratios, clipped = _ratios(pixels, common, master, sigma_clip)
    order = np.where(clipped.any(axis=0), -1, order[usable])
    found = np.full((2, len(pixels.data), n_orders), np.nan)
    for i in range(n_orders):
        chosen = np.flatnonzero(order == i)
        if len(chosen) >= _FEWEST_PIXELS:
            found[:, :, i] = _weighted(ratios.selected(chosen), master.value[usable[chosen]])
    if pixels.variance is None:
        found[1] *= _lost_scatter(len(pixels.data))
    found[:, :, ~(found[0] > 0).all(axis=0)] = np.nan
    return found


def _without_main_effects(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Values less a number for each row and one for each column, fitted by least squares."""
    rows, columns = weights.sum(axis=1), weights.sum(axis=0)
    shares = weights / columns
    # Columns are eliminated. The sum of all rows' numbers is free, which lstsq does not mind.
    normal = np.diag(rows) - shares @ weights.T
    right = (weights * values).sum(axis=1) - shares @ (weights * values).sum(axis=0)
    values = values - np.linalg.lstsq(normal, right, rcond=None)[0][:, None]
    return values - (shares * values).sum(axis=0)


# ---------------------------------------------------------------------- statistics


def _mean(ratios: _Pixels, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    return _weighted(ratios, np.ones(ratios.data.shape[1]))


def _weighted(ratios: _Pixels, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    levels = np.array([np.average(row, weights=weights) for row in ratios.data])
    squares = ratios.variance
    if squares is None:
        squares = (ratios.data - levels[:, None]) ** 2
    sigmas = np.sqrt((squares * weights**2).sum(axis=1, dtype=float)) / weights.sum()
    return levels, sigmas


def _median(ratios: _Pixels, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The noisiest pixels dominate the error of the mean, but not that of the median."""
    _, sigmas = _mean(ratios, None)
    gain = np.sqrt(weights).mean() * np.sqrt((1 / weights).mean())
    return np.median(ratios.data, axis=1).astype(float), sigmas * np.sqrt(np.pi / 2) / gain


def _lost_scatter(n_frames: int) -> float:
    """A frame scatters less about a master that holds its own noise; one frame, not at all."""
    return np.sqrt(n_frames / (n_frames - 1)) if n_frames > 1 else np.nan


_STATISTICS = {"mean": _mean, "weighted": _weighted, "median": _median}


# ---------------------------------------------------------------------- checks and result


def _check_mask(mask: ArrayLike, shape: tuple[int, int]) -> None:
    if np.shape(mask) not in ((), shape):
        raise ValueError(f"mask has shape {np.shape(mask)}, expected {shape}")


def _why_no_pixel(frames, good, window) -> str:
    empty = [frame.name for frame, row in zip(frames, good, strict=True) if not row.any()]
    where = f"in {', '.join(empty)}" if empty else "in all frames together"
    return f"no good pixel within the window of {window} pixels {where}"


def _check_levels(frames, levels) -> None:
    for frame, level in zip(frames, levels, strict=True):
        if not (np.isfinite(level) and level > 0):
            raise ValueError(f"the exposure level of {frame.name} is {level}, expected > 0")


def _check_noise(frames, pixels: _Pixels, common, levels: np.ndarray, master: np.ndarray) -> None:
    """Warn of uncertainties that are far too small for the differences between the frames."""
    if pixels.variance is None or len(frames) == 1:
        return
    chosen = np.flatnonzero(common)
    chosen = chosen[:: len(chosen) // _ENOUGH_PIXELS + 1]
    pixels, master = pixels.selected(chosen), master[chosen]
    scales = 1 / (levels[:, chosen] if levels.shape[1] > 1 else levels)
    # A frame is part of the master, which takes 1/n of its deviation along.
    expected = pixels.variance * scales**2 * (1 - 1 / len(frames))
    clipped = ~np.isfinite(master)
    known = (expected > 0) & ~clipped
    pulls = np.abs(pixels.data * scales - master)[known] / np.sqrt(expected[known])
    ratio = np.median(pulls) / _MEDIAN_OF_PULLS if known.any() else 0
    if clipped.mean() > _MOST_CLIPPED:
        found = f"clipping leaves no frame in {clipped.mean():.0%} of the inner-order pixels"
    elif ratio > _TOLERATED:
        found = f"the frames differ by {ratio:.2g} times what their uncertainties let expect"
    else:
        return
    warn(
        f"{found}; do the uncertainties hold the noise of the flats? A flat without uncertainty "
        "takes over that of the dark that is subtracted from it: make it with "
        "ccdproc.create_deviation, or give gain and read_noise to make_master_flat",
    )


def _as_table(frames, passes, n_used, n_clipped) -> QTable:
    unit = frames[0].unit
    table = QTable()
    table["frame"] = [frame.name for frame in frames]
    table["level"], table["level_uncertainty"] = passes[-1] * unit
    table["pass_level"] = np.array([levels for levels, _ in passes]).T * unit
    table["pass_uncertainty"] = np.array([sigmas for _, sigmas in passes]).T * unit
    table["n_pixels"] = n_used
    table["n_clipped"] = n_clipped
    return table
