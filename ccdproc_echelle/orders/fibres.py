# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Fit Gaussians to the images of fibres in cross-dispersion slices.

The light of a fibre has neither a plateau nor an edge. Its position and width come from a Gaussian
on a constant background, fitted together with the Gaussians of its neighbours. One more parameter,
the kurtosis, distinguishes it from a narrow slit, which has less light in its wings.

All arrays have shape (n_orders, n_slices), with the samples of a slice along the last axis.
"""

from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.polynomial.chebyshev import chebvander

from ccdproc_echelle._numeric.medians import (
    finite_median,
    label_medians,
    median_noise,
    weighted_median,
)
from ccdproc_echelle._numeric.robust import clipped_fit
from ccdproc_echelle._numeric.spread import MAD_TO_SIGMA
from ccdproc_echelle.orders.slices import bridged, extract_slices, places_of, slice_columns

__all__ = [
    "FIBRE_LEVEL", "Fibres", "LEAST_KURTOSIS", "POSSIBLE_KURTOSIS", "are_fibres",
    "clear_kurtosis", "fibre_edges", "fibre_traces", "fit_fibres", "kurtosis_of",
]

# Where the light of a fibre ends, as a fraction of its peak: 99.76 % of a Gaussian lies inside,
# which leaves room for slightly stronger wings.
FIBRE_LEVEL = 0.01

# Kurtosis relative to a Gaussian: a slit 1.3 times as wide as its blur has -0.02, one twice as
# wide -0.08, one three times as wide -0.22; fibres have 0.00 +- 0.01, and secondary bands beside
# them lower theirs to -0.16. Above the first limit orders may be fibres, above the second they are
# more likely to be, and above the third they are, unless the pixels lower it.
POSSIBLE_KURTOSIS, LEAST_KURTOSIS, _CLEAR_KURTOSIS = -0.19, -0.12, -0.014

# Largest RMS misfit of a Gaussian to the light of a fibre, as a fraction of the peak. With the
# kurtosis free, half of it; crowded slits miss more.
_LARGEST_MISFIT = 0.03

# Fraction of the slices in which fibres must be seen.
_LEAST_SEEN = 0.2

# Largest number of steps of the fit; change of nine in ten backgrounds, as a fraction of the
# height, below which it has converged; and number of further steps for the kurtosis. Many steps are
# needed where fibres overlap: background and wings of the neighbours are hard to tell apart.
_ITERATIONS, _CONVERGED, _KURTOSIS_STEPS = 40, 1e-3, 4

# After this many steps fibres, however crowded, are within the largest misfit. Most slits are not,
# and on their light the fit would never converge.
_FIRST_STEPS = 6

# Distance from the middle of a fibre within which it is fitted, in standard deviations.
_REACH = 4.5

# The peak of a fibre must be visible, within this many standard deviations, for a measurement.
_TOP = 1.2

# Width in standard deviations of the bins used to find how far the light extends.
_BIN, _N_BINS = 0.25, 40

# Bins with less than this fraction of the samples of the fullest one are not used: few slices,
# often those with the least light, have so much room beside the order.
_SPARSE = 0.1

# The darkest bins beside a fibre, this fraction of them, are the background. Where the noise of the
# light exceeds this fraction of the level, the fall to the level cannot be located.
_DARKEST, _LARGEST_NOISE = 0.25, 0.25

# The two sides of a fibre are assumed to be alike if fewer orders than this show either of them.
_FEW_ORDERS = 3

# The background must be seen this far out, in units of where a Gaussian falls to the level.
_BEYOND = 1.2

# Variance of the blur by the pixels, and fourth cumulant: what they add to the kurtosis times the
# fourth power of the width.
_PIXEL, _PIXEL_CUMULANT = 1 / 12, -1 / 120

# Minimum light above the background for a measurement, in units of the noise of a sample.
_MIN_SIGNAL_TO_NOISE = 10.0

# Slices, per order and in total, that suffice to distinguish fibres from slits.
_ENOUGH_OF_EACH, _ENOUGH = 30, 600

_WIDTH_OF_HALF = 2 * np.sqrt(2 * np.log(2))


class Fibres(NamedTuple):
    """Gaussians, all (n_orders, n_slices); NaN where there is none."""

    center: np.ndarray
    sigma: np.ndarray
    height: np.ndarray
    background: np.ndarray
    kurtosis: np.ndarray  # the same for all; 0 unless it was fitted
    center_error: np.ndarray
    sigma_error: np.ndarray
    misfit: np.ndarray  # RMS residual of the model beyond the noise, in units of the height


class _Step(NamedTuple):
    """Normal equations of a step, with residuals and noise in units of the height."""

    inverse: np.ndarray
    slopes: np.ndarray
    residual: np.ndarray
    scatter: np.ndarray
    sigma: np.ndarray  # standard deviations of the fibres before the step
    use: np.ndarray  # samples that are fitted


def are_fibres(positions, profiles, noise, reach) -> bool:
    """
    Determine whether the orders are images of fibres rather than slits.

    Parameters
    ----------
    positions, profiles, noise : array, shape (n_orders, n_slices, n_samples)
        Cross-dispersion position, light and its standard deviation; NaN where there is none.
    reach : array, shape (n_orders,)
        Maximum distance of the brightest sample of an order from the middle of the slice.
    """
    return kurtosis_of(positions, profiles, noise, reach) > LEAST_KURTOSIS


def kurtosis_of(positions, profiles, noise, reach) -> float:
    """
    Kurtosis of the orders relative to a Gaussian; NaN if they do not resemble one at all.

    Parameters
    ----------
    positions, profiles, noise, reach
        See `are_fibres`.
    """
    n_orders, n_slices, _ = profiles.shape
    step = max(1, n_slices // max(_ENOUGH_OF_EACH, _ENOUGH // n_orders))
    parts = (part[:, ::step] for part in (positions, profiles, noise))
    fibres = fit_fibres(*parts, reach, with_kurtosis=True)
    seen = np.isfinite(fibres.center)
    if np.mean(seen) < _LEAST_SEEN:
        return np.nan
    bright = fibres.height >= np.median(fibres.height[seen])
    misfit = finite_median(fibres.misfit[None, bright])[0]
    return float(fibres.kurtosis[seen][0]) if misfit < 0.5 * _LARGEST_MISFIT else np.nan


def clear_kurtosis(sigma: float) -> float:
    """Kurtosis above which orders of this standard deviation, in pixels, are clearly fibres."""
    return _CLEAR_KURTOSIS + _PIXEL_CUMULANT / sigma**4


def fibre_edges(positions, profiles, smear, fibres: Fibres, level: float) -> tuple[np.ndarray, ...]:
    """
    Find where the light of fibres has fallen to a fraction of their height, with errors.

    The distance, in standard deviations of the Gaussian, is measured, since the wings of a fibre
    are only approximately Gaussian. The edges are those of the light before the pixels, and the
    resampling by the variance ``smear``, (n_orders, n_slices), blurred it. Overlapping neighbours
    share an edge midway between them. Both results have shape (2, n_orders, n_slices).
    """
    reach, reach_error = _reach_of_light(positions, profiles, fibres, level)[..., None, None]
    sharp = np.sqrt(np.maximum(fibres.sigma**2 - _PIXEL - smear, _PIXEL))
    outwards = np.array([-1, 1])[:, None, None]
    edges = fibres.center + sharp * reach * outwards
    by_width = reach * fibres.sigma_error * fibres.sigma / sharp
    errors = np.sqrt(fibres.center_error**2 + by_width**2 + (sharp * reach_error) ** 2)
    rank = _rank(fibres.center)
    midway = 0.5 * (np.stack(_beside(fibres.center, rank)) + fibres.center)
    shared = (edges - midway) * outwards > 0
    of_both = 0.5 * np.hypot(_beside(fibres.center_error, rank), fibres.center_error)
    return np.where(shared, midway, edges), np.where(shared, of_both, errors)


def _reach_of_light(positions, profiles, fibres, level) -> np.ndarray:
    """
    Standard deviations from the centre at which the light falls to a level, and error, (2, 2).

    Either has a value for the lower and one for the upper side: the median over the orders, that of
    both sides if few orders show how far their light extends, and that of a Gaussian if none does.
    """
    reach, errors = _reach_of_each(positions, profiles, fibres, level)
    if np.isfinite(reach).sum(axis=1).min() < _FEW_ORDERS:
        reach = reach.reshape(1, -1)
    typical = finite_median(reach)
    off = np.abs(reach - typical[:, None]).reshape(1, -1)
    scatter = np.fmax(MAD_TO_SIGMA * finite_median(off), finite_median(errors.reshape(1, -1)))
    error = np.nan_to_num(scatter) * median_noise(np.isfinite(reach).sum(axis=1))
    typical = np.nan_to_num(typical, nan=np.sqrt(-2 * np.log(level)))
    return np.broadcast_to([typical, error], (2, 2))


def _reach_of_each(positions, profiles, fibres, level) -> np.ndarray:
    """The same for each side of each order and its error, (2, 2, n_orders); NaN if not seen."""
    center, sigma, height, background = fibres[:4]
    rank = _rank(center)
    light = profiles - _light_of_neighbours(positions, np.stack(fibres[:5]), rank)
    away = (positions - center[..., None]) / sigma[..., None]
    excess = (light - background[..., None]) / height[..., None] - np.exp(-0.5 * away**2)
    reach = np.empty((2, 2, len(center)))
    for side, beside in enumerate(_beside(center, rank)):
        outward = away if side else -away
        room = np.nan_to_num(0.5 * np.abs(beside - center) / sigma, nan=np.inf)[..., None]
        label = np.floor(outward / _BIN)
        own = np.isfinite(excess) & (outward < room) & (label >= 0) & (label < _N_BINS)
        for order, used in enumerate(own):
            bins = label[order][used].astype(int)
            binned = label_medians(excess[order][used], bins, _N_BINS)
            number = np.bincount(bins, minlength=_N_BINS)
            binned[number < _SPARSE * number.max()] = np.nan
            reach[:, side, order] = _fall_of(binned, level)
    return reach


def _fall_of(excess: np.ndarray, level: float) -> tuple[float, float]:
    """
    Where light falls to a level going outwards, and the standard deviation of that.

    Bins of the light in excess of a Gaussian are given. NaN if it is too noisy or cut short.
    """
    places, gaussian = (np.arange(_N_BINS) + 0.5) * _BIN, np.sqrt(-2 * np.log(level))
    # Scattered light forms a background of its own further out.
    wing = np.isfinite(excess) & (places > 0.5 * gaussian) & (places < 2.6 * gaussian)
    if wing.sum() < 4 or places[wing].max() < _BEYOND * gaussian:
        return np.nan, np.nan
    places, excess = places[wing], excess[wing]
    noise, beyond = _noise(excess), excess[places > gaussian]
    n_darkest = min(len(beyond), max(1, round(_DARKEST * len(excess))))
    floor = sliding_window_view(beyond, n_darkest).mean(axis=1).min()
    light = (np.exp(-0.5 * places**2) + excess - floor) / (1 - floor)
    after = int(np.argmax(light <= level))
    if noise > _LARGEST_NOISE * level or after == 0:
        return np.nan, np.nan
    left, right = np.log(np.maximum(light[[after - 1, after]], 0.1 * level) / level)
    width = (places[after] - places[after - 1]) / (left - right)
    return places[after - 1] + width * left, width * noise / level


def _noise(light: np.ndarray) -> float:
    """Standard deviation of the noise of a smooth curve, from its second differences."""
    return float(np.median(np.abs(np.diff(light, 2))) * MAD_TO_SIGMA / np.sqrt(6))


def fibre_traces(raster: np.ndarray, traces: np.ndarray, degree: int) -> np.ndarray:
    """
    Move traces of fibres to the centres of their Gaussians, unbiased by neighbouring light.

    Parameters
    ----------
    raster : array, shape (n_pixels, n_cross)
        The light, NaN where there is none.
    traces : array, shape (n_traces, n_pixels)
        Cross-dispersion positions, good to a fraction of the width of a fibre.
    degree : int
        Degree of the polynomial correction.

    Returns
    -------
    array, shape (n_traces, n_pixels)
        The input traces if the light is not that of fibres, or if no two of them run side by side.
    """
    steps = np.diff(traces, axis=0)
    if not np.isfinite(steps).any():
        return traces
    columns = slice_columns(len(raster), None, degree)
    pixels, room = columns.mean(axis=1), np.nanmin(steps)
    slices = extract_slices(raster, None, traces, pixels, columns, int(np.ceil(2 * room)))
    positions = slices.origins[..., None] + np.arange(slices.profiles.shape[-1])
    shown = positions, slices.profiles, slices.noise, np.full(len(traces), room / 4)
    if not are_fibres(*shown):
        return traces
    fibres = fit_fibres(*shown)
    basis, every = (chebvander(2 * x / (len(raster) - 1) - 1, degree)
                    for x in (pixels, np.arange(len(raster))))
    moved = traces.copy()
    for trace, center in zip(moved, fibres.center, strict=True):
        off = center - trace[np.rint(pixels).astype(int)]
        if np.isfinite(off).sum() > 2 * degree:
            trace += every @ clipped_fit(basis, off, sigma=5, maxiters=5, least_scatter=1e-3)[0]
    return moved


def fit_fibres(positions, profiles, noise, reach, *, with_kurtosis=False) -> Fibres:
    """
    Fit Gaussians to slices.

    Parameters
    ----------
    positions, profiles, noise, reach
        See `are_fibres`.
    with_kurtosis : bool
        Whether the kurtosis, which all fibres have in common, is free in the last steps. If so,
        nothing is found if the light does not resemble Gaussians.
    """
    state = first = _first_state(positions, profiles, reach)
    light = positions, profiles, noise
    are_slits = False
    for number in range(1, _ITERATIONS + 1):
        before = state
        state, step = _improved(*light, state)
        if with_kurtosis and number == _FIRST_STEPS:
            are_slits = not finite_median(_misfit(step).reshape(1, -1))[0] < _LARGEST_MISFIT
        if are_slits or _converged(before, state):
            break
    for _ in range(_KURTOSIS_STEPS if with_kurtosis and not are_slits else 0):
        state, step = _improved(*light, state, with_kurtosis=True)
    variances, misfit = _variances(step), _misfit(step)
    center, sigma, height = state[:3]
    good = np.isfinite(center) & (misfit < 3 * _LARGEST_MISFIT) & (sigma > 0.3) & (not are_slits)
    good &= _shows_its_top(positions, profiles, center, sigma)
    peak_noise = finite_median(noise.reshape(-1, noise.shape[-1])).reshape(center.shape)
    good &= np.abs(center - first[0]) < 2 * np.maximum(sigma, 1)
    good &= height > _MIN_SIGNAL_TO_NOISE * peak_noise
    errors = np.sqrt(np.maximum(variances, 0))
    results = *state, errors[..., 0], errors[..., 1], misfit
    return Fibres(*(np.where(good, part, np.nan) for part in results))


def _shows_its_top(positions, profiles, center, sigma) -> np.ndarray:
    """Whether most samples of the peak of a fibre are available."""
    top = np.abs(positions - center[..., None]) < _TOP * np.maximum(sigma, 1)[..., None]
    return (top & np.isfinite(profiles)).sum(axis=-1) > 0.5 * top.sum(axis=-1)


def _first_state(positions, profiles, reach) -> np.ndarray:
    """Centre, standard deviation, height, background and kurtosis, from the half-maximum."""
    n_samples = profiles.shape[-1]
    index = np.arange(n_samples)
    middle = positions[..., n_samples // 2]
    room = _room(middle, _rank(middle))
    reach = np.maximum(np.fmin(reach[:, None], room / 4), 1)[..., None]
    near = np.abs(index - n_samples // 2) <= reach
    seen = np.isfinite(profiles)
    light = np.where(near & seen, profiles, -np.inf)
    top, peak = light.argmax(axis=-1)[..., None], light.max(axis=-1)
    around = np.abs(index - top) <= 2 * reach
    floor = np.where(around & seen, profiles, np.inf).min(axis=-1)
    peak, floor = (np.where(np.isfinite(end), end, np.nan) for end in (peak, floor))
    half = 0.5 * (peak + floor)[..., None]
    low = seen & (profiles < half)
    before = np.where(low & (index < top), index, -1).max(axis=-1)
    after = np.where(low & (index > top), index, n_samples).min(axis=-1)
    width = np.where((before >= 0) & (after < n_samples), after - before - 1.0, np.nan)
    typical = finite_median(width)
    sigma = np.broadcast_to(np.maximum(typical, 1.5)[:, None] / _WIDTH_OF_HALF, peak.shape)
    usable = np.isfinite(sigma) & (peak > floor)
    center = np.take_along_axis(positions, top, axis=-1)[..., 0]
    state = np.stack([center, sigma, peak - floor, floor, np.zeros_like(peak)])
    return np.where(usable, state, np.nan)


def _converged(before, after) -> bool:
    """Whether the backgrounds hardly change any more."""
    change = np.abs(after[3] - before[3]) / after[2]
    return not np.nanpercentile(np.append(change, 0), 90) > _CONVERGED


def _improved(positions, profiles, noise, state, *, with_kurtosis=False):
    """The state after one Gauss-Newton step, and the step."""
    center, sigma, height = (part[..., None] for part in state[:3])
    away = (positions - center) / sigma
    rank = _rank(state[0])
    light = profiles - _light_of_neighbours(positions, state, rank)
    room = _room(state[0], rank)[..., None]
    use = (np.abs(away) < np.minimum(_REACH, np.maximum(room / sigma, 2)))
    use &= np.isfinite(light + noise)
    enough = (use.sum(axis=-1) > 4) & np.isfinite(state).all(axis=0)
    use &= enough[..., None]
    model, slopes = _gaussians(np.where(use, away, 0), state)
    slopes = np.where(use[..., None], slopes, 0)
    residual = np.where(use, light - model, 0) / height
    scatter = np.where(use, noise, 0) / height
    slopes, by_kurtosis = slopes[..., :4], slopes[..., 4:]
    turned = slopes.swapaxes(-1, -2)
    inverse = np.linalg.inv(turned @ slopes + 1e-9 * np.eye(4))
    change = inverse @ (turned @ residual[..., None])
    kurtosis = 0.0
    if with_kurtosis:
        same = inverse @ (turned @ by_kurtosis)  # what the other parameters can do as well
        kurtosis = _common_kurtosis(by_kurtosis - slopes @ same, residual, state[2], enough)
        change = change - same * kurtosis
    step = _Step(inverse, slopes, residual, scatter, sigma, use)
    return _moved(state, change[..., 0], kurtosis, enough), step


def _variances(step: _Step) -> np.ndarray:
    """Variances of centre and standard deviation before a step."""
    noisy = step.slopes * step.scatter[..., None]
    covariance = step.inverse @ (noisy.swapaxes(-1, -2) @ noisy) @ step.inverse
    return np.einsum("...ii->...i", covariance)[..., :2] * step.sigma**2


def _misfit(step: _Step) -> np.ndarray:
    """RMS residual beyond the noise, in units of the height, before a step; NaN if none."""
    excess, number = (step.residual**2 - step.scatter**2).sum(axis=-1), step.use.sum(axis=-1)
    return np.sqrt(np.maximum(excess, 0) / np.where(number > 0, number, np.nan))


def _common_kurtosis(slopes, residual, height, usable) -> float:
    """
    Change of the kurtosis, from the brighter half of the slices.

    In a slice of overlapping fibres, with hardly more samples than parameters, it means little.
    """
    usable = usable & (height >= finite_median(np.where(usable, height, np.nan).reshape(1, -1))[0])
    slopes, residual = slopes[usable][..., 0], residual[usable]
    weights = (slopes**2).sum(axis=-1)
    changes = (slopes * residual).sum(axis=-1) / np.maximum(weights, 1e-9)
    return float(weighted_median(changes, weights)) if len(changes) else 0.0


def _moved(state, change, by_kurtosis, enough) -> np.ndarray:
    """The state after a step given in units of the standard deviation and the height."""
    center, sigma, height, background, kurtosis = state
    step = np.moveaxis(change, -1, 0)
    moved = np.stack([
        center + sigma * np.clip(step[0], -0.5, 0.5),
        sigma * np.exp(np.clip(step[1], -0.3, 0.3)),
        height * np.clip(1 + step[2], 0.5, 2),
        background + height * step[3],
        np.clip(kurtosis + by_kurtosis, -2, 2),
    ])
    return np.where(enough, moved, np.nan)


def _gaussians(away, state):
    """The light, and its derivatives in units of the standard deviation and the height."""
    height, background, kurtosis = (part[..., None] for part in state[2:])
    bell = np.exp(-0.5 * away**2)
    fourth = _fourth(away)
    form = 1 + kurtosis * fourth
    by_away = away * bell * (kurtosis * (away * away - 3) / 6 - form)
    slopes = np.stack(
        [-by_away, -away * by_away, bell * form, np.ones_like(bell), bell * fourth], axis=-1
    )
    return background + height * bell * form, slopes


def _fourth(away) -> np.ndarray:
    """What a kurtosis of 1 adds to a Gaussian, relative to it."""
    square = away * away
    return ((square - 6) * square + 3) / 24


def _light_of_neighbours(positions, state, rank) -> np.ndarray:
    """Light that the adjacent fibres on either side add to each sample."""
    light = np.zeros(positions.shape)
    for center, sigma, height, _, kurtosis in _beside(state, rank):
        away = (positions - center[..., None]) / np.where(sigma > 0, sigma, 1)[..., None]
        away = np.clip(away, -30, 30)
        form = 1 + kurtosis[..., None] * _fourth(away)
        light += np.nan_to_num(height[..., None] * form * np.exp(-0.5 * away**2))
    return light


def _rank(center) -> np.ndarray:
    """The orders from the lowest to the highest on the detector."""
    return np.argsort(places_of(center))


def _room(center, rank) -> np.ndarray:
    """Distance to the nearer neighbour; infinite where there is none."""
    return np.fmin(
        *(np.nan_to_num(np.abs(side - center), nan=np.inf) for side in _beside(center, rank))
    )


def _beside(values, rank) -> tuple[np.ndarray, np.ndarray]:
    """
    Values of the order below and the one above; NaN if there is none.

    An order does not exist beyond the slices in which it was measured.
    """
    known = bridged(values, beyond=False)
    below, above = np.full((2, *values.shape), np.nan)
    below[..., rank[1:], :] = known[..., rank[:-1], :]
    above[..., rank[:-1], :] = known[..., rank[1:], :]
    return below, above
