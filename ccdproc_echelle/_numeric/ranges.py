# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Find the part of a row that stands out."""

import numpy as np

__all__ = ["best_range", "lit_range"]

# The score is the signal-to-noise ratio minus the first number, limited to the second: a sample
# that is bright by chance in the dark does not extend a range, nor does a single gap end it.
_LEAST_LIGHT, _ENOUGH_LIGHT = 1.5, 6.0


def best_range(scores: np.ndarray) -> tuple[int, int] | None:
    """
    First and last index of the contiguous part with the largest sum; None if no value is above
    zero.

    It bridges values below zero if more is gained beyond them, and does not begin or end with
    zeros.

    Parameters
    ----------
    scores : array, shape (n,)
        Positive for samples that belong to the part.

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle._numeric.ranges import best_range
    >>> best_range(np.array([-1, 2, 2, -1, 3, 0, -9, 1]))
    (1, 4)
    """
    total = np.concatenate([[0], np.cumsum(scores)])
    lowest = np.minimum.accumulate(total[:-1])
    last = int(np.argmax(total[1:] - lowest))
    if not total[last + 1] > lowest[last]:
        return None
    return int(np.flatnonzero(total[: last + 1] == lowest[last])[-1]), last


def lit_range(signal_to_noise: np.ndarray) -> tuple[int, int] | None:
    """
    First and last index of the part that has light, with gaps bridged; None if there is none.

    Parameters
    ----------
    signal_to_noise : array, shape (n,)
        Signal-to-noise ratio of each sample; NaN if unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle._numeric.ranges import lit_range
    >>> lit_range(np.array([9, 9, np.nan, -1, 9, 9, 1, 0, -1, 2, 0]))
    (0, 5)
    """
    scores = np.clip(signal_to_noise, -_ENOUGH_LIGHT, _ENOUGH_LIGHT) - _LEAST_LIGHT
    return best_range(np.nan_to_num(scores))
