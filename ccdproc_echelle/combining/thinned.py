# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Some columns of all frames, in which the orders can be looked at fast."""

from collections.abc import Sequence
from contextlib import closing
from functools import partial
from typing import NamedTuple

import numpy as np

from ccdproc_echelle._tasks import results_of
from ccdproc_echelle.combining.pixels import Pixels, collected
from ccdproc_echelle.frames import Frame, Section
from ccdproc_echelle.orders import EchelleOrderTable

__all__ = ["ThinnedStack", "stacked", "thinned", "thinned_indices", "thinning"]


class ThinnedStack(NamedTuple):
    """
    Some columns of all frames, turned so that orders run along rows, and their order table.

    Attributes
    ----------
    data : float array, shape (n_frames, rows, columns)
        The values.
    good : bool array, shape (n_frames, rows, columns)
        Which of them are good.
    variance : float array, shape (n_frames, rows, columns), or None
        Their variances; `None` unless those of all frames are known.
    orders : `EchelleOrderTable`
        The order table of these columns.
    """

    data: np.ndarray
    good: np.ndarray
    variance: np.ndarray | None
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
    Frames as a `ThinnedStack`, of which nothing else is held.

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
    shape = frames[0].shape
    slices, orders = thinning(shape, orders, n_columns)
    tasks = [partial(_flat_section, frame, slices) for frame in frames]
    n_pixels = np.prod(_thin_shape(shape, slices))
    with closing(results_of(tasks, None)) as sections:
        return stacked(collected(frames, n_pixels, sections), shape, slices, orders)


def _thin_shape(shape: tuple[int, int], slices: tuple[slice, slice]) -> list[int]:
    return [len(range(n)[part]) for n, part in zip(shape, slices, strict=True)]


def _flat_section(frame: Frame, slices: tuple[slice, slice]) -> Section:
    section = frame.load().section(slices)
    return Section(*(None if part is None else part.ravel() for part in section))


def thinned_indices(shape: tuple[int, int], slices: tuple[slice, slice]) -> np.ndarray:
    """
    Which pixels of a flattened image ``thinning`` leaves.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the detector.
    slices : tuple of slice
        From ``thinning``.

    Returns
    -------
    int array, shape (n_pixels,)
        Ascending.
    """
    rows, columns = (np.arange(n)[part] for n, part in zip(shape, slices, strict=True))
    return (rows[:, None] * shape[1] + columns).ravel()


def stacked(
    pixels: Pixels, shape: tuple[int, int], slices: tuple[slice, slice], orders: EchelleOrderTable
) -> ThinnedStack:
    """
    What ``thinning`` left of some frames as a `ThinnedStack`.

    Parameters
    ----------
    pixels : `Pixels`
        Those at ``thinned_indices``.
    shape : tuple of int
        Rows and columns of the detector.
    slices, orders
        From ``thinning``.

    Returns
    -------
    `ThinnedStack`
    """
    def turned(values):
        images = values.reshape(-1, *_thin_shape(shape, slices))
        return images if orders.dispersion_axis == 1 else images.swapaxes(1, 2)

    return ThinnedStack(
        *(None if values is None else turned(values) for values in pixels),
        orders=orders if orders.dispersion_axis == 1 else orders.transposed(),
    )
