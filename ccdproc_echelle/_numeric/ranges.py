# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The part of a row that stands out."""

import numpy as np

__all__ = ["best_range"]


def best_range(scores: np.ndarray) -> tuple[int, int] | None:
    """
    First and last index of the contiguous part with the largest sum; None if none is above zero.

    It bridges what is below zero where more is gained behind it, and has no zeros at its ends.

    Parameters
    ----------
    scores : array, shape (n,)
        Above zero for what belongs to the part.

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
