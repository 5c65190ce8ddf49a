# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Which shift of an order table roughly matches a frame, if any does."""

from functools import partial

import numpy as np

from ccdproc_echelle._numeric.medians import finite_median
from ccdproc_echelle._tasks import ahead
from ccdproc_echelle.orders.profile_slices import (
    ProfileSlices,
    medians_of,
    profile_noise,
    profiles_at,
    samples_at,
)

__all__ = [
    "UnmatchedOrdersError", "WrongOrderTableError", "coarse_shift", "dark_places", "too_far",
]

# Below this mean cosine of the phases, the orders of table and frame do not coincide. Unrelated
# orders give 0, a matching table more than 0.9.
_LEAST_MATCH = 0.85

# Profiles this close to the order centre, in pixels, do not have to be measured again around it.
_CENTRED = 0.1

# How much better a larger shift must match than a permitted one to be believed.
_CLEARLY_BETTER = 0.05

# A place is dark if the first harmonic of its profile is below this many times its noise. If fewer
# places than this fraction are lit, some shift or other always matches.
_LEAST_LIGHT, _LEAST_LIT = 5.0, 0.1

# Or if it is below this fraction of that of a neighbour, whose wings would be mistaken for the
# order; of the same order where that is brightest; or of a typical place, which leaves only the
# read-out pattern and the slope of scattered light.
_LEAST_BESIDE, _LEAST_ALONG, _LEAST_TYPICAL = 0.1, 0.02, 0.03

# In fewer places than this fraction, a single order per spacing is no more than coincidence.
_LEAST_SINGLE = 0.3


class WrongOrderTableError(ValueError):
    """The orders of a frame are not at, or near, their positions in an order table."""


class UnmatchedOrdersError(WrongOrderTableError):
    """The orders of a frame do not match an order table at any shift."""


def coarse_shift(raster, slices, max_shift) -> tuple[float, float]:
    """Common shift from the table to the light, good to a fraction of a pixel, and its match."""
    slices = slices.thinned()
    smallest = np.nanmin(slices.spacing)
    reach = max(1.5 * smallest, max_shift)
    trials = np.linspace(-reach, reach, 2 * int(np.ceil(4 * reach)) + 1)
    samples = samples_at(raster, slices, 0.0)
    with ahead(partial(profile_noise, samples)) as measured_noise:
        centred, profiles = 0.0, medians_of(samples)
        noise = measured_noise()
    phases = _phases(profiles, slices, noise)
    scores = _score(phases, slices, trials)
    near = np.abs(trials) <= max_shift
    best = np.argmax(np.where(near, scores, -np.inf))
    if scores.max() > max(scores[best] + _CLEARLY_BETTER, _LEAST_MATCH):
        raise WrongOrderTableError(too_far(trials[np.argmax(scores)], max_shift))
    shift = trials[best]
    trials = np.linspace(-0.25, 0.25, 101) * smallest
    for _ in range(2):  # once recentred, profiles are symmetric about the order and not cut by it
        if abs(shift - centred) > _CENTRED:
            centred = shift
            phases = _phases(profiles_at(raster, slices, centred), slices, noise)
        scores = _score(phases, slices, trials)
        shift = centred + trials[np.argmax(scores)]
    if not scores.max() > _LEAST_MATCH:
        raise UnmatchedOrdersError(
            "the order table does not belong to this frame: at the best shift, "
            f"{shift:+.1f} pixels, the match of the orders is {scores.max():.2f} (1 if all match, "
            f"0 if none does), expected at least {_LEAST_MATCH}"
        )
    if abs(shift) > max_shift:
        raise WrongOrderTableError(too_far(shift, max_shift))
    return shift, scores.max()


def _phases(profiles: np.ndarray, slices: ProfileSlices, noise: np.ndarray) -> np.ndarray:
    """
    Phase of the first harmonic, with the order spacing as the period, on the unit circle.

    NaN where an order is cut, where there is no light, and where the second harmonic dominates: the
    gap of a slicer then resembles the one between orders. Where it dominates nearly everywhere,
    there are two orders per spacing, and such phases are 0.
    """
    first, second, usable, total = _harmonics(profiles, slices)
    single = np.abs(first) > 0.5 * np.abs(second)
    phases = np.where(single, first / np.where(single, np.abs(first), 1), 0)
    usable &= ~_dark(first, usable, noise * np.sqrt(total))
    if (usable & single).sum() > _LEAST_SINGLE * usable.sum():
        usable &= single
    return np.where(usable, phases, np.nan)


def dark_places(profiles: np.ndarray, slices: ProfileSlices, noise: np.ndarray) -> np.ndarray:
    """Which profiles, (n_orders, n_slices), show no light; none if too few of them do."""
    first, _, usable, total = _harmonics(profiles, slices)
    return _dark(first, usable, noise * np.sqrt(total))


def _dark(first: np.ndarray, usable: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Usable places whose first harmonic is not that of light, given its noise."""
    dark = _outshone(first, usable) | (np.abs(first) < _LEAST_LIGHT * noise)
    brightest = np.where(usable, np.abs(first), 0).max(axis=1, keepdims=True)
    dark |= np.abs(first) < _LEAST_ALONG * brightest
    typical = finite_median(np.abs(first[usable & ~dark]))
    dark |= np.abs(first) < _LEAST_TYPICAL * typical
    dark &= usable
    return dark & ((usable & ~dark).sum() > _LEAST_LIT * usable.sum())


def _harmonics(profiles: np.ndarray, slices: ProfileSlices) -> tuple[np.ndarray, ...]:
    """First and second harmonics, where defined, and the number of samples they are based on."""
    spacing = slices.spacing[..., None]
    # The samples at both ends belong to the period only in part.
    inside = np.nan_to_num(np.clip(0.5 * spacing - np.abs(slices.offsets) + 0.5, 0, 1))
    usable = (np.isfinite(profiles) | (inside == 0)).all(axis=-1) & (inside > 0).any(axis=-1)
    light = np.where(inside > 0, profiles, 0)
    total = inside.sum(axis=-1, keepdims=True)
    light = light - (inside * light).sum(axis=-1, keepdims=True) / np.maximum(total, 1)
    turns = np.exp(2j * np.pi * slices.offsets / np.where(spacing > 0, spacing, np.inf))
    light *= inside
    first, second = ((light * turn).sum(axis=-1) for turn in (turns, turns * turns))
    return first, second, usable, total[..., 0]


def _outshone(first: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Where a harmonic is no larger than what the wings of a neighbour would produce."""
    strength = np.pad(np.where(usable, np.abs(first), 0), ((1, 1), (0, 0)))
    return usable & (strength[1:-1] < _LEAST_BESIDE * np.maximum(strength[:-2], strength[2:]))


def _score(phases: np.ndarray, slices: ProfileSlices, trials: np.ndarray) -> np.ndarray:
    """Mean cosine of the phases that remain after each of these equally spaced trial shifts."""
    good = np.isfinite(phases)
    if not good.any():
        raise ValueError("no order has measurable light: all are masked or cut by the border")
    phases, spacing = phases[good], slices.spacing[good]
    first, step = (np.exp(-2j * np.pi * x / spacing) for x in (trials[0], trials[1] - trials[0]))
    phases, scores = phases * first, np.empty(len(trials))
    for i in range(len(trials)):
        scores[i] = phases.real.mean()
        phases *= step
    return scores


def too_far(shift: float, max_shift: float) -> str:
    return (
        f"the orders lie {shift:+.1f} pixels from their positions in the order table, more than "
        f"the largest shift of {max_shift:.1f}: beyond half the order spacing, orders "
        "are mistaken for their neighbours"
    )
