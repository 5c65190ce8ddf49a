# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Some columns of all frames, in which the orders can be looked at fast."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ccdproc_echelle.frames import Frame
from ccdproc_echelle.orders import EchelleOrderTable

__all__ = ["ThinnedStack", "thinned"]


class ThinnedStack(NamedTuple):
    """
    Some columns of all frames, turned so that orders run along rows, and their order table.

    Attributes
    ----------
    data : float array, shape (n_frames, rows, columns)
        The values.
    good : bool array, shape (n_frames, rows, columns)
        Which of them are good.
    variance : list of array, shape (rows, columns), or None
        Their variances, frame by frame; `None` where they are not known.
    orders : `EchelleOrderTable`
        The order table of these columns.
    """

    data: np.ndarray
    good: np.ndarray
    variance: list[np.ndarray | None]
    orders: EchelleOrderTable


def thinned(frames: Sequence[Frame], orders: EchelleOrderTable, n_columns: int) -> ThinnedStack:
    """
    Every k-th column of frames, k odd: the middle of each column of a detector binned by k.

    Parameters
    ----------
    frames : sequence of `Frame`
        The frames.
    orders : `EchelleOrderTable`
        The order table, on their detector.
    n_columns : int
        How many places along the dispersion axis, or somewhat more.

    Returns
    -------
    `ThinnedStack`
    """
    axis = orders.dispersion_axis
    n_pixels = frames[0].shape[axis]
    step = max(1, n_pixels // n_columns if n_columns > 0 else n_pixels)
    step -= 1 - step % 2
    thinning = [slice(None), slice(None)]
    thinning[axis] = slice(step // 2, step // 2 + n_pixels // step * step, step)
    sections = [frame.load().section(tuple(thinning)) for frame in frames]
    factors = [1, 1]
    factors[axis] = step
    orders = orders.rebinned(tuple(factors))

    def turned(image):
        return image if axis == 1 else image.T

    return ThinnedStack(
        data=np.array([turned(section.data) for section in sections]),
        good=np.array([turned(section.good) for section in sections]),
        variance=[None if s.variance is None else turned(s.variance) for s in sections],
        orders=orders if axis == 1 else orders.transposed(),
    )
