# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Some columns of all frames, in which the orders can be looked at fast."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ccdproc_echelle.frames import Frame, Section
from ccdproc_echelle.orders import EchelleOrderTable

__all__ = ["ThinnedStack", "stacked", "thinned", "thinning"]


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


def thinning(
    shape: tuple[int, int], orders: EchelleOrderTable, n_columns: int
) -> tuple[tuple[slice, slice], EchelleOrderTable]:
    """
    Every k-th column, k odd: the middle of each column of a detector binned by k.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the detector.
    orders : `EchelleOrderTable`
        The order table, on this detector.
    n_columns : int
        How many places along the dispersion axis, or somewhat more.

    Returns
    -------
    slices : tuple of slice
        Which pixels of an image are left.
    orders : `EchelleOrderTable`
        The order table of these.
    """
    axis = orders.dispersion_axis
    n_pixels = shape[axis]
    step = max(1, n_pixels // n_columns if n_columns > 0 else n_pixels)
    step -= 1 - step % 2
    slices, factors = [slice(0, n, 1) for n in shape], [1, 1]
    slices[axis] = slice(step // 2, step // 2 + n_pixels // step * step, step)
    factors[axis] = step
    return tuple(slices), orders.rebinned(tuple(factors))


def thinned(frames: Sequence[Frame], orders: EchelleOrderTable, n_columns: int) -> ThinnedStack:
    """
    Frames as a `ThinnedStack`, which are read whole, one after the other.

    Parameters
    ----------
    frames : sequence of `Frame`
        The frames.
    orders, n_columns
        As for ``thinning``.

    Returns
    -------
    `ThinnedStack`
    """
    slices, orders = thinning(frames[0].shape, orders, n_columns)
    return stacked([frame.load().section(slices) for frame in frames], orders)


def stacked(sections: Sequence[Section], orders: EchelleOrderTable) -> ThinnedStack:
    """
    What ``thinning`` left of some frames as a `ThinnedStack`.

    Parameters
    ----------
    sections : sequence of `Section`
        Of each frame.
    orders : `EchelleOrderTable`
        The order table of these pixels.

    Returns
    -------
    `ThinnedStack`
    """
    def turned(image):
        return image if orders.dispersion_axis == 1 else image.T

    return ThinnedStack(
        data=np.array([turned(section.data) for section in sections]),
        good=np.array([turned(section.good) for section in sections]),
        variance=[None if s.variance is None else turned(s.variance) for s in sections],
        orders=orders if orders.dispersion_axis == 1 else orders.transposed(),
    )
