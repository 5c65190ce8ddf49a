# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Fit blurred slits to cross-dispersion slices of narrow or touching orders.

Where blurring leaves an order without a plateau, or a gap without visible background, the slice is
fitted with a physical model: a slit with a sloped illumination, blurred, next to others. The pixel
(variance 1/12) and the resampling are part of the blur. The state of a slit consists of its lower
edge, upper edge, height, deviation of its slope from that of the frame, background and gradient of
the background; blur (variance) and slope are common to the frame.

All functions work on plain arrays; the last axis of states holds these six values.
"""

import numpy as np

from ccdproc_echelle._numeric.gaussians import blurred_step, gaussian
from ccdproc_echelle._numeric.medians import finite_median
from ccdproc_echelle.orders.crossings import RISING
from ccdproc_echelle.orders.slices import Slices, bridged

__all__ = ["fit_slits", "is_blended"]

# Orders narrower than this, and orders whose neighbours are closer than this, in units of the
# standard deviation of the blur, have no plateau or no background of their own.
_RESOLVED = 8.0

# An order narrower than this, in pixels, has too few samples to measure a slope of its plateau.
_NARROW = 12.0

# Least and largest number of iterations for the blurred slits and the light that each receives from
# its neighbours, and change of nine in ten edges, in pixels, below which they have converged. Many
# are needed where gaps are hardly wider than the blur: the light there may be background or wings.
_SLIT_ITERATIONS, _MOST_ITERATIONS, _CONVERGED = 10, 150, 5e-4

# Largest fraction of the light that the model of a blurred slit may miss; and by how much the slope
# of the illumination may vary about that of the whole frame. The background changes across an order
# by about this fraction of its light; where the detector ends next to an edge this is not known.
_MODEL_ERROR = 0.003
_SLOPE_SCATTER = 0.01
_GRADIENT_SCATTER = 0.1

# A model has failed if it misses three times this fraction of the light, apart from noise, or ends
# further than this from the half-maximum, in pixels.
_LARGEST_MISFIT = 0.03
_LARGEST_SHIFT = 2.0

# A slit has diverged, and starts again with an even illumination, if its model misses the light, or
# changes with its state, by more than this, in units of its height.
_DIVERGED = 1e12


def is_blended(edges: np.ndarray, blur: float) -> np.ndarray:
    """Orders that are too narrow, or too close to a neighbour, for the half-maximum to be valid."""
    lower, upper = (finite_median(side) for side in _parallel(edges))
    rank = np.argsort(lower + upper)
    close = lower[rank][1:] - upper[rank][:-1] < _RESOLVED * blur
    blended = upper - lower < max(_RESOLVED * blur, _NARROW)
    blended[rank[1:]] |= close
    blended[rank[:-1]] |= close
    return blended


def _parallel(edges: np.ndarray) -> np.ndarray:
    """
    Edges with gaps filled, (2, n_orders, n_slices), as if all orders ran parallel.

    An order that only crosses a corner of the detector is not at its mean position.
    """
    middle = edges.mean(axis=0)
    path = bridged(middle[np.isfinite(middle).sum(axis=1).argmax()][None])
    return bridged(edges - path) + path


def fit_slits(slices, crossings, edges, blended, blur):
    """Edges of the blended orders, their standard deviations, and the variance of the blur."""
    states = _first_states(crossings, edges)
    chosen = blended[:, None] & np.isfinite(states).all(axis=-1) & (states[..., 2] > 0)
    parts = Slices(*(a[chosen] for a in slices))
    frame = np.array([blur, 0.0])
    for iteration in range(1, _MOST_ITERATIONS + 1):
        neighbours, before = _neighbours(states, frame[1])[:, chosen], states[chosen]
        improved, frame, errors, failed = _improved(parts, before, neighbours, frame)
        given_up = failed & (iteration > _SLIT_ITERATIONS)
        states[chosen] = np.where(given_up[:, None], before, improved)
        change = np.abs(improved - before)[~failed, :2]
        if iteration >= _SLIT_ITERATIONS and _have_converged(change):
            break
    found, start = states[chosen][:, :2].T, edges[:, chosen]
    failed |= (np.abs(found - start) > _LARGEST_SHIFT).any(axis=0)
    results = np.full((2, *edges.shape), np.nan)
    results[:, :, chosen] = np.where(failed | np.isnan(start), np.nan, (found, errors.T))
    return *results, frame[0]


def _have_converged(change: np.ndarray) -> bool:
    return not change.size or np.quantile(change, 0.9) < _CONVERGED


def _first_states(crossings, edges) -> np.ndarray:
    """Initial states for the fit; a missing edge is placed at the width of the order."""
    lower, upper = edges
    widths = bridged(finite_median(upper - lower))[:, None]
    lower, upper = (np.where(np.isnan(lower), upper - widths, lower),
                    np.where(np.isnan(upper), lower + widths, upper))
    plateau, background = (
        np.where(np.isnan(a), a[::-1], a).mean(axis=0)
        for a in (crossings.plateaus, crossings.backgrounds)
    )
    zero = np.zeros_like(lower)
    return np.stack([lower, upper, plateau - background, zero, background, zero], axis=-1)


def _neighbours(states, slope) -> np.ndarray:
    """
    Upper edge of the neighbour below and its light there, and lower edge of the one above and its
    light.

    Shape (4, n_orders, n_slices). A missing neighbour is far away and has no light, as is a
    neighbour beyond the slices in which it was seen; any light that it has there is recognised by
    its rise.
    """
    lower, upper, height, tilt = np.moveaxis(states, -1, 0)[:4]
    lower, upper = _parallel(np.stack([lower, upper]))
    height, tilt = bridged(np.stack([height, tilt]), beyond=False)
    seen = np.isfinite(height + tilt)
    result = np.zeros((4, *lower.shape))
    result[0], result[2] = -np.inf, np.inf
    known = np.flatnonzero(np.isfinite(lower + upper).all(axis=1) & seen.any(axis=1))
    rank = known[np.argsort(np.median(lower + upper, axis=1)[known])]
    below, above = rank[:-1], rank[1:]
    lower, upper = np.where(seen, lower, np.inf), np.where(seen, upper, -np.inf)
    height, tilt = np.where(seen, (height, tilt), 0)
    result[:2, above] = upper[below], (height * (1 + slope + tilt))[below]
    result[2:, below] = lower[above], (height * (1 - slope - tilt))[above]
    return result


def _improved(slices, states, neighbours, frame):
    """
    One Gauss-Newton step; shapes (n_slits, ...).

    Returns the states, blur and slope of the frame, the standard deviations of the edges, and which
    slits do not describe the slices.
    """
    reach = 5 * np.sqrt(frame[0]) + 2
    rows, light, noise = _fit_window(slices, states, reach)
    usable = np.isfinite(light + noise) & _is_own(rows, light, states, neighbours, reach)
    units, wings = np.ones_like(states), neighbours.copy()  # all light in units of the height
    height = np.where(states[:, 2:3] == 0, 1, states[:, 2:3])  # a slit may lose all its light
    units[:, [2, 4, 5]] = height
    wings[1::2] /= height[:, 0]
    light, noise = (np.where(usable, a, 0) / height for a in (light, noise))
    states = states / units
    model, slopes = _blurred_slits(rows, states, frame, slices.smear, wings)
    residuals, slopes = (light - model) * usable, slopes * usable[..., None]
    with np.errstate(over="ignore"):  # of a slit that has diverged
        misfit, variance = (
            np.square(a).sum(axis=1) / np.maximum(usable.sum(axis=1), 1) for a in (residuals, noise)
        )
    failed = misfit > 9 * (variance + _LARGEST_MISFIT**2)
    lost = ~(misfit + np.abs(slopes).sum(axis=(1, 2)) < _DIVERGED)
    failed |= lost
    slopes[lost], residuals[lost], variance[lost] = 0, 0, 1
    weights = 1 / (variance + _MODEL_ERROR**2)
    change, step, inverse = _solved(slopes, residuals, weights, states, ~failed)
    change[:, :2] = np.clip(change[:, :2], -0.5, 0.5)
    states = states + change
    states[:, 1] = np.maximum(states[:, 1], states[:, 0] + 0.5)
    frame = np.clip(frame + np.clip(step, -0.3, 0.3), [1 / 24, -0.5], [np.inf, 0.5])
    noisy = slopes[..., :6] * (noise * weights[:, None])[..., None]
    covariances = inverse @ (noisy.swapaxes(1, 2) @ noisy) @ inverse
    variances = np.einsum("sii->si", covariances)[:, :2]
    failed |= (variances < 0).any(axis=1)  # from rounding, if the slit is poorly constrained
    errors = np.sqrt(np.maximum(variances, 0))
    return states * units, frame, errors, failed


def _solved(slopes, residuals, weights, states, good):
    """
    Solve the normal equations for the change of the states and of the frame's two parameters.

    The states are eliminated slit by slit, the sum over all good slits is solved for the two frame
    parameters, and these are substituted back. Also returns the inverse matrices of the slits.
    """
    prior = np.full((len(states), 6), 1e-9)
    prior[:, 3] = _SLOPE_SCATTER**-2
    prior[:, 5] = ((states[:, 1] - states[:, 0]) / _GRADIENT_SCATTER) ** 2
    weighted = (slopes * weights[:, None, None]).swapaxes(1, 2)
    normal, right = weighted @ slopes, weighted @ residuals[..., None]
    right[:, [3, 5], 0] -= (prior * states)[:, [3, 5]]
    inverse = np.linalg.inv(normal[:, :6, :6] + prior[..., None] * np.eye(6))
    mixed = normal[:, :6, 6:]
    carried = mixed.swapaxes(1, 2) @ inverse
    matrix = (normal[:, 6:, 6:] - carried @ mixed)[good].sum(axis=0)
    vector = (right[:, 6:] - carried @ right[:, :6])[good].sum(axis=0)
    step = np.linalg.lstsq(matrix, vector, rcond=None)[0]
    return (inverse @ (right[:, :6] - mixed @ step))[..., 0], step[:, 0], inverse


def _fit_window(slices, states, reach):
    """Cross-dispersion positions, light and noise of the samples from edge to edge and beyond."""
    n_samples = slices.profiles.shape[1]
    first = np.floor(states[:, :1] - slices.origins[:, None] - reach)
    length = np.ceil((states[:, 1] - states[:, 0]).max() + 2 * reach) + 1
    index = (first + np.arange(length)).astype(int)
    inside = (index >= 0) & (index < n_samples)
    light, noise = (
        np.where(inside, np.take_along_axis(a, np.where(inside, index, 0), axis=1), np.nan)
        for a in (slices.profiles, slices.noise)
    )
    return index + slices.origins[:, None], light, noise


def _is_own(rows, light, states, neighbours, reach) -> np.ndarray:
    """
    Whether samples are near an edge of the slit, and not beyond those of its neighbours.

    The light of an order that is missing from the table is recognised by its rise.
    """
    near = (np.abs(rows[..., None] - states[:, None, :2]) < reach).any(axis=-1)
    for side, edge, outwards in ((0, neighbours[0], -1), (1, neighbours[2], 1)):
        distance = outwards * (rows - states[:, side, None])
        beyond = (distance > 0) & np.isfinite(light)
        dark = np.where(beyond, light, np.inf)
        darkest = np.take_along_axis(distance, dark.argmin(axis=1)[:, None], axis=1)
        level = dark.min(axis=1)[:, None] + RISING * states[:, 2, None]
        risen = (beyond & (distance > darkest) & (light > level)).any(axis=1)
        room = outwards * (edge - states[:, side])
        end = np.where(risen & (room > reach), darkest[:, 0], room + 0.5)
        near &= distance <= end[:, None]
    return near


def _blurred_slits(rows, states, frame, smear, neighbours):
    """
    Light of the slits, and its derivatives by the state and by the blur and slope of the frame.
    """
    lower, upper, height, tilt, background, gradient = states.T[..., None]
    sigma = np.sqrt(frame[0] + smear)[:, None]
    rise, fall = (rows - lower) / sigma, (rows - upper) / sigma
    slit = blurred_step(rise) - blurred_step(fall)
    width, away = upper - lower, rows - 0.5 * (lower + upper)
    along = 2 * away / width
    tilt = tilt + frame[1]
    form = 1 + tilt * along
    top = height * form
    light = background + gradient * away + top * slit
    at_lower, at_upper = gaussian(rise), gaussian(fall)
    widening = top * (fall * at_upper - rise * at_lower)
    for edge, wing, outwards in ((*neighbours[:2], -1), (*neighbours[2:], 1)):
        inside = np.clip(outwards * (rows - edge[:, None]) / sigma, -40, 40)
        light += wing[:, None] * blurred_step(inside)
        widening -= wing[:, None] * inside * gaussian(inside)
    bend = slit * tilt * height / width
    by_tilt = height * along * slit
    slopes = [
        bend * (along - 1) - top * at_lower / sigma,
        top * at_upper / sigma - bend * (along + 1),
        form * slit,
        by_tilt,
        np.ones_like(slit),
        away,
        widening / (2 * sigma**2),
        by_tilt,
    ]
    return light, np.stack(slopes, axis=-1)
