# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Find peaks of a profile that stand out from the valleys beside them."""

import numpy as np

__all__ = ["peaks"]


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


def _first(found: np.ndarray) -> int:
    """Index of the first True, or the length if there is none."""
    return int(np.argmax(found)) if found.any() else len(found)


def _fall(side: np.ndarray, level: float) -> float:
    """Distance at which one side first falls to a level, or to its end."""
    after = _first(side <= level)
    if after == len(side):
        return after - 1.0
    return after - (level - side[after]) / (side[after - 1] - side[after])
