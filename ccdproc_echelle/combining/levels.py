# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Measure exposure levels: the brightness of a flat on its order centres."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from astropy.stats import SigmaClip
from astropy.table import QTable

from ccdproc_echelle._numeric.arguments import expect, is_whole
from ccdproc_echelle._warnings import warn
from ccdproc_echelle.combining.clipping.sigma import SigmaClipping
from ccdproc_echelle.combining.clipping.stack import StackCombiner
from ccdproc_echelle.combining.fitness import Survey, check_flats, gathered_and_surveyed
from ccdproc_echelle.combining.noise_check import doubt_about_noise, some_of
from ccdproc_echelle.combining.outliers import LEVEL_CLIP, NOTHING_LEFT, check_sigma_clip
from ccdproc_echelle.combining.pixels import Pixels, evenly_spread
from ccdproc_echelle.combining.ratios import Master, Ratios, ratios_to
from ccdproc_echelle.combining.size_of_noise import warn_of_size
from ccdproc_echelle.combining.statistics import STATISTICS, lost_scatter, mean, weighted
from ccdproc_echelle.frames import (
    Frame,
    inverse_variance_weights,
    open_frames,
    uncompressed,
)
from ccdproc_echelle.orders import EchelleOrderTable, check_window, checked_orders

__all__ = ["level_pixels", "measure_exposure_levels", "measure_levels"]

# Default combiner for the first master of `measure_exposure_levels`.
_FIRST_MASTER = StackCombiner(rejections=(SigmaClipping(low=5, high=5),))

# Orders with fewer pixels get no level of their own, as it and its scatter would be unreliable.
_FEWEST_PIXELS = 25


def measure_exposure_levels(
    frames: Any,
    orders: EchelleOrderTable,
    *,
    window: float = 10,
    n_passes: int = 2,
    statistic: str = "mean",
    sigma_clip: SigmaClip = LEVEL_CLIP,
    per_order: bool = False,
    **reading: Any,
) -> QTable:
    """
    Measure the exposure levels of flats with the two-pass method of the SOXS pipeline.

    The first pass computes the sigma-clipped mean of the inner-order pixels of each frame. Each
    further pass divides the frames by their levels, combines them into a first master at these
    pixels, divides the original frames by that master and computes the mean of the ratio. Every
    order then has the same weight regardless of its brightness; only pixels below a tenth of the
    mean are excluded. A pixel that is masked or clipped in one frame is excluded in all of them,
    since different sets of pixels would bias the levels.

    Parameters
    ----------
    frames : list, str or `ccdproc.ImageFileCollection`
        Names of FITS files or `~astropy.nddata.CCDData` objects, like ``img_list`` of
        `ccdproc.combine`.
    orders : `EchelleOrderTable`
        The order centres.
    window : float, optional
        Full width of the window on the order centre, in pixels along the cross-dispersion axis.
    n_passes : int, optional
        Number of passes. 1: mean of the inner-order pixels only; 2: the SOXS method; more: iterate
        further.
    statistic : {"mean", "weighted", "median"}, optional
        Statistic of the ratios used after the first pass. ``"weighted"`` weights by the inverse
        variance (by brightness if there are no uncertainties): it has the least noise, but follows
        the bright orders if the illumination of the frames differs across the detector.
    sigma_clip : `~astropy.stats.SigmaClip`, optional
        How outliers are rejected in each pass. Default: beyond 5 standard deviations from the mean,
        in at most 10 iterations.
    per_order : bool, optional
        Whether to measure the level of each order as well, since the colour of a lamp may drift.
        The level of an order is the ratio of the light of the frame in its inner-order pixels to
        that of the master of the last pass, normalised so that the ratio of order level to frame
        level averages to 1 over the frames in each order. `one_level_test` tells whether the orders
        differ.
    **reading
        Passed to ``CCDData.read``.

    Returns
    -------
    `~astropy.table.QTable`
        One row per frame: ``frame`` (name); ``level`` and ``level_uncertainty`` after the last
        pass, in the unit of the frames (a frame is its level times the master, whose mean over the
        inner-order pixels is 1); ``pass_level`` and ``pass_uncertainty`` after each pass, shape
        ``(n_passes,)``; and ``n_pixels`` used and ``n_clipped`` in the last pass. Standard
        deviations are propagated from the uncertainties of the frames if they have any. Otherwise
        they come from the scatter of the pixels, which in the first pass reflects the brightness of
        the orders and is far too large; for a single frame they are NaN after further passes. If
        ``per_order=True``, there are also ``order_level`` and ``order_level_uncertainty``, shape
        ``(n_orders,)``, in the order of the order table: a frame is its order level times the
        master in that order. These are NaN for orders with fewer than 25 pixels that are good in
        all frames and above a tenth of the mean.

    Raises
    ------
    TypeError
        If a keyword is unknown.
    ValueError
        If there are no frames, the frames or the order table do not match, no inner-order pixel is
        good in all frames or survives the clipping, or a level is not positive. If the orders are
        not at, or near, their positions in the table, the error is a `WrongOrderTableError`.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If the frames differ by more, or much less, than their uncertainties allow, or do not match
        each other, the order table or the window, as in `two_pass_flat_combine`.

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
    check_window(window)
    check_sigma_clip(sigma_clip)
    frames = open_frames(frames, argument="frames", **reading)
    orders = checked_orders(orders).on_detector(frames[0].shape)
    with uncompressed(frames) as frames:
        check_flats(frames, orders, window)
        table, doubt = measure_levels(
            frames,
            orders,
            window=window,
            n_passes=n_passes,
            statistic=statistic,
            sigma_clip=sigma_clip,
            per_order=per_order,
            combiner=_FIRST_MASTER,
        )
    if doubt:
        warn(doubt)
    return table


def level_pixels(orders: EchelleOrderTable, window: float, n_frames: int) -> np.ndarray:
    """
    Pixels used to measure the levels: those in the inner orders, or an even subset of them.

    Parameters
    ----------
    orders : `EchelleOrderTable`
        The order centres, on the detector of the frames.
    window : float
        Full width of the window on the order centre, in pixels.
    n_frames : int
        Number of frames for which these pixels are held in memory.

    Returns
    -------
    int array, shape (n_pixels,)
        Indices into the flattened image.
    """
    return evenly_spread(np.flatnonzero(orders.inner_mask(window)), n_frames)


def measure_levels(
    frames: Sequence[Frame],
    orders: EchelleOrderTable,
    *,
    window: float,
    n_passes: int,
    statistic: str,
    combiner: StackCombiner,
    sigma_clip: SigmaClip = LEVEL_CLIP,
    per_order: bool = False,
    weights: np.ndarray | str | None = None,
    executor: Executor | None = None,
    gathered: Pixels | None = None,
    survey: Survey | None = None,
) -> tuple[QTable, str]:
    """
    `measure_exposure_levels` for opened frames, with any combiner for the first master.

    Parameters
    ----------
    frames : sequence of `Frame`
        The frames.
    orders : `EchelleOrderTable`
        The order centres, on the detector of the frames.
    window, n_passes, statistic, sigma_clip, per_order
        See `measure_exposure_levels`.
    combiner : `StackCombiner`
        Combines the first master.
    weights : array, shape (n_frames, 1, 1) or (n_frames, rows, columns), or str, optional
        Weights of the combiner; the only string is ``"inverse_variance"``.
    executor : `concurrent.futures.Executor`, optional
        Executor that gathers the pixels. Default: one thread per core.
    gathered : `Pixels`, optional
        The pixels in which the levels are measured, if they are already in memory.
    survey : `Survey`, optional
        Survey to run in the same pass through the files.

    Returns
    -------
    table : `~astropy.table.QTable`
        As returned by `measure_exposure_levels`.
    doubt : str
        Evidence against the uncertainties of the frames; empty if there is none.
    """
    _check_request(n_passes, statistic)
    indices = level_pixels(orders, window, len(frames))
    if gathered is None:
        gathered = gathered_and_surveyed(frames, indices, executor, survey)
    pixels = gathered.of_known_noise()
    if gathered.variance is not None and pixels.variance is None:
        # There will be doubt: such levels are not used where uncertainties matter.
        combiner, weights = _FIRST_MASTER, None
    common = pixels.good.all(axis=0)
    if not common.any():
        raise ValueError(_why_no_pixel(frames, pixels.good, window))
    flats = _Flats(frames, pixels, common, sigma_clip, combiner, _weights_at(indices, weights))
    passes = [flats.first_pass()]
    for _ in range(n_passes - 1):
        passes.append(flats.further_pass(passes[-1].master, statistic))
    table, levels = _as_table(frames, passes), passes[-1].levels[:, None]
    if per_order:
        order = orders.inner_index(window).take(indices)
        found = flats.order_levels(passes[-1].master, order, len(orders))
        # The master has the mean colour of the frames, whichever of them were clipped in it.
        found /= (found[0] / levels).mean(axis=0)
        table["order_level"], table["order_level_uncertainty"] = found * frames[0].unit
        levels = found[0].take(order, axis=1)
    return table, _doubt(frames, gathered, common, levels, passes[-1].master.value)


def _doubt(
    frames: Sequence[Frame],
    pixels: Pixels,
    common: np.ndarray,
    levels: np.ndarray,
    master: np.ndarray,
) -> str:
    """
    Evidence against the uncertainties, with a warning if only their size is wrong.

    Levels have shape (n_frames, 1 or n_pixels).
    """
    if pixels.variance is None:
        return ""
    chosen = some_of(np.flatnonzero(common))
    scales = 1 / (levels[:, chosen] if levels.shape[1] > 1 else levels)
    data, _, variance = pixels.selected(chosen)
    values, variances = data * scales, variance * scales**2
    doubt = doubt_about_noise(frames, values, variances, master[chosen])
    if not doubt:
        warn_of_size(frames, values, variances)
    return doubt


class _Pass(NamedTuple):
    """Result of a pass: levels, their standard deviations, and the master made with them."""

    levels: np.ndarray
    sigmas: np.ndarray
    master: Master
    n_used: int
    n_clipped: np.ndarray


@dataclass(frozen=True)
class _Flats:
    """The inner-order pixels of a set of flats, and how to clip and combine them."""

    frames: Sequence[Frame]
    pixels: Pixels
    common: np.ndarray
    sigma_clip: SigmaClip
    combiner: StackCombiner
    weights: np.ndarray | str | None

    def first_pass(self) -> _Pass:
        """Levels as means of the pixels themselves."""
        data = self.pixels.data
        ratios = self._ratios(Master(np.ones(data.shape[1], dtype=data.dtype), None))
        return self._pass(ratios, *mean(ratios.pixels))

    def further_pass(self, master: Master, statistic: str) -> _Pass:
        """Levels from the ratios to the master of the previous pass."""
        ratios = self._ratios(master)
        weights = master.weights(ratios.indices) if statistic != "mean" else None
        levels, sigmas = STATISTICS[statistic](ratios.pixels, weights)
        if self.pixels.variance is None:
            sigmas = sigmas * lost_scatter(len(self.frames))
        return self._pass(ratios, levels, sigmas)

    def order_levels(self, master: Master, order: np.ndarray, n_orders: int) -> np.ndarray:
        """
        Levels and their standard deviations, shape (2, n_frames, n_orders).

        Ratios are weighted by the master, which gives the sum of a frame over the sum of the master
        and is not biased by the noise of either.
        """
        ratios = ratios_to(master, self.pixels, self.common, self.sigma_clip)
        found = np.full((2, len(self.frames), n_orders), np.nan)
        for i in range(n_orders):
            chosen = np.flatnonzero(order[ratios.indices] == i)
            if len(chosen) >= _FEWEST_PIXELS:
                weights = master.value[ratios.indices[chosen]]
                found[:, :, i] = weighted(ratios.pixels.selected(chosen), weights)
        if self.pixels.variance is None:
            found[1] *= lost_scatter(len(self.frames))
        found[:, :, ~(found[0] > 0).all(axis=0)] = np.nan
        return found

    def _ratios(self, master: Master) -> Ratios:
        ratios = ratios_to(master, self.pixels, self.common, self.sigma_clip)
        if len(ratios.indices) == 0:
            raise ValueError(NOTHING_LEFT)
        return ratios

    def _pass(self, ratios: Ratios, levels: np.ndarray, sigmas: np.ndarray) -> _Pass:
        _check_levels(self.frames, levels)
        master, norm = self._combined(levels)
        return _Pass(levels * norm, sigmas * norm, master, len(ratios.indices), ratios.n_clipped)

    def _combined(self, levels: np.ndarray) -> tuple[Master, float]:
        """The master at the inner-order pixels with mean 1, and its original mean."""
        pixels, weights = self.pixels, self.weights
        scales = (1 / levels).astype(pixels.data.dtype)[:, None]
        variances = None if pixels.variance is None else pixels.variance * scales**2
        if isinstance(weights, str):
            weights = inverse_variance_weights(self.frames, variances, pixels.good)
        stack = self.combiner.combine(pixels.data * scales, pixels.good, variances, weights)
        if not stack.kept.any():
            raise ValueError(
                "clipping leaves no inner-order pixel; its limits refer to frames with a level of 1"
            )
        norm = float(np.nanmean(stack.value, dtype=float))
        noise = None
        if variances is not None:
            noise = np.mean(variances, axis=0, dtype=float) / norm**2
        return Master(stack.value / norm, noise), norm


def _weights_at(
    indices: np.ndarray, weights: np.ndarray | str | None
) -> np.ndarray | str | None:
    """The weights of the pixels with these indices into the flattened image."""
    if not isinstance(weights, np.ndarray):
        return weights
    weights = weights.reshape(len(weights), -1)
    return weights if weights.shape[1] == 1 else weights[:, indices]


def _as_table(frames: Sequence[Frame], passes: list[_Pass]) -> QTable:
    last, unit = passes[-1], frames[0].unit
    table = QTable()
    table["frame"] = [frame.name for frame in frames]
    # As a single array, so that both are in double precision.
    table["level"], table["level_uncertainty"] = np.array([last.levels, last.sigmas]) * unit
    table["pass_level"] = np.array([one.levels for one in passes]).T * unit
    table["pass_uncertainty"] = np.array([one.sigmas for one in passes]).T * unit
    table["n_pixels"] = last.n_used
    table["n_clipped"] = last.n_clipped
    return table


def check_n_passes(n_passes: int) -> None:
    """Raise if the number of passes is invalid."""
    expect(is_whole(n_passes, least=1), "n_passes", n_passes, "a positive integer")


def _check_request(n_passes: int, statistic: str) -> None:
    check_n_passes(n_passes)
    if statistic not in STATISTICS:
        raise ValueError(f"statistic is {statistic!r}, expected one of {list(STATISTICS)}")


def _why_no_pixel(frames, good, window) -> str:
    empty = [frame.name for frame, row in zip(frames, good, strict=True) if not row.any()]
    where = f"in {', '.join(empty)}" if empty else "in all frames together"
    return f"no good pixel within the window of {window} pixels {where}"


def _check_levels(frames, levels) -> None:
    for frame, level in zip(frames, levels, strict=True):
        if not (np.isfinite(level) and level > 0):
            raise ValueError(f"the exposure level of {frame.name} is {level}, expected > 0")
