# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Find peaks of a profile that stand out from the valleys beside them."""

import numpy as np

__all__ = ["between_flanks", "prominent_tops"]


def between_flanks(profile: np.ndarray, tops: np.ndarray) -> np.ndarray:
    """
    Midpoints between the flanks of peaks, at half their height above the valleys beside them.

    Parameters
    ----------
    profile : array, shape (n,)
        Finite values.
    tops : int array, shape (n_peaks,)
        Indices of the tops of the peaks, in ascending order. The flanks of a peak reach no further
        than to the tops of the others, even if these are lower.

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle._numeric.peaks import between_flanks
    >>> profile = np.array([0, 4, 4, 2, 3, 0, 0])
    >>> print(between_flanks(profile, [1]), between_flanks(profile, [1, 4]).round(2))
    [1.75] [1.62 3.83]
    """
    ends, middles = [0, *tops, len(profile) - 1], []
    for before, top, after in zip(ends, tops, ends[2:], strict=False):
        sides = profile[before : top + 1][::-1], profile[top : after + 1]
        base = max(side[: _first(side > side[0])].min() for side in sides)
        left, right = (_fall(side, 0.5 * (side[0] + base)) for side in sides)
        middles.append(top + 0.5 * (right - left))
    return np.array(middles)


def prominent_tops(profile: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """
    Indices of the tops of peaks, in the middle if they are flat, and their prominences.

    As `scipy.signal.find_peaks`, but scipy.signal takes longer to import than a flat to be traced.
    The ends of the profile are no peaks.

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
