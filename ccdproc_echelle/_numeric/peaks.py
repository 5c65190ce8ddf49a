# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Find peaks of a profile that stand out from the valleys beside them."""

import numpy as np

__all__ = ["peaks", "prominent_tops"]


def peaks(profile: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """
    Midpoints between the flanks of peaks, as indices, and their prominences.

    Parameters
    ----------
    profile : array, shape (n,)
        Finite values.
    least : float
        Minimum prominence. The prominence of a peak is its height above the higher of the two
        valleys that separate it from higher peaks, or from the ends.

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle._numeric.peaks import peaks
    >>> middles, prominences = peaks(np.array([0, 4, 4, 2, 3, 0, 0.1, 0]), 0.5)
    >>> print(middles.round(2), prominences)
    [1.75 3.83] [4. 1.]
    """
    middles, prominences = [], []
    rising = np.append(True, profile[1:] > profile[:-1])
    for top in np.flatnonzero(rising & np.append(profile[:-1] >= profile[1:], True)):
        sides = profile[top::-1], profile[top:]
        ends = [_first(side > side[0]) for side in sides]
        height = profile[top] - max(side[:end].min() for side, end in zip(sides, ends, strict=True))
        if height >= least and height > 0:
            left, right = (_fall(side, side[0] - 0.5 * height) for side in sides)
            middles.append(top + 0.5 * (right - left))
            prominences.append(height)
    return np.array(middles), np.array(prominences)


def prominent_tops(profile: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """
    Indices of the tops of peaks, in the middle if they are flat, and their prominences.

    As `scipy.signal.find_peaks`, but scipy.signal takes longer to import than a flat to be traced.
    In contrast to `peaks`, the ends of the profile are no peaks.

    Parameters
    ----------
    profile, least
        See `peaks`.

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle._numeric.peaks import prominent_tops
    >>> prominent_tops(np.array([0, 4, 4, 4, 2, 3, 0, 0.1]), 0.5)
    (array([2, 5]), array([4., 1.]))
    """
    first = np.flatnonzero(np.append(True, np.diff(profile) != 0))  # of equal values
    last = np.append(first[1:], len(profile)) - 1
    values = profile[first]
    inner = values[1:-1]
    top = 1 + np.flatnonzero((inner > values[:-2]) & (inner > values[2:]))
    heights, valleys = values[top], np.minimum.reduceat(values, np.append(0, top))
    bases = np.maximum(
        _lowest_before(heights, valleys[:-1]), _lowest_before(heights[::-1], valleys[:0:-1])[::-1]
    )
    prominences = heights - bases
    kept = prominences >= least
    return ((first + last) // 2)[top[kept]], prominences[kept]


def _lowest_before(heights: np.ndarray, valleys: np.ndarray) -> np.ndarray:
    """For each peak, the lowest of the valleys between it and the previous higher peak."""
    lowest, higher = [], []
    for height, low in zip(heights.tolist(), valleys.tolist(), strict=True):
        while higher and higher[-1][0] <= height:
            low = min(low, higher.pop()[1])
        higher.append((height, low))
        lowest.append(low)
    return np.array(lowest)


def _first(found: np.ndarray) -> int:
    """Index of the first True, or the length if there is none."""
    return int(np.argmax(found)) if found.any() else len(found)


def _fall(side: np.ndarray, level: float) -> float:
    """Distance at which one side first falls to a level, or to its end."""
    after = _first(side <= level)
    if after == len(side):
        return after - 1.0
    return after - (level - side[after]) / (side[after - 1] - side[after])
