# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A subset of the columns of all frames, for a quick look at the orders."""

from collections.abc import Sequence
from contextlib import closing
from functools import partial
from typing import NamedTuple

import numpy as np

from ccdproc_echelle._tasks import results_of
from ccdproc_echelle.combining.pixels import Pixels, collected
from ccdproc_echelle.frames import Frame, Section
from ccdproc_echelle.orders import EchelleOrderTable

__all__ = [
    "ThinnedStack", "stacked", "thinned", "thinned_indices", "thinned_section", "thinning",
]


class ThinnedStack(NamedTuple):
    """
    Some columns of all frames, oriented so that orders run along rows, and their order table.

    Attributes
    ----------
    data : float array, shape (n_frames, rows, columns)
        The values.
    good : bool array, shape (n_frames, rows, columns)
        Which values are good.
    variance : float array, shape (n_frames, rows, columns), or None
        Their variances; `None` unless they are known for all frames.
    orders : `EchelleOrderTable`
        The order table for these columns.
    """

    data: np.ndarray
    good: np.ndarray
    variance: np.ndarray | None
    orders: EchelleOrderTable


def thinning(
    shape: tuple[int, int], orders: EchelleOrderTable, n_columns: int
) -> tuple[tuple[slice, slice], EchelleOrderTable]:
    """
    Select every k-th column, k odd: the middle of each column of a detector binned by k.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the detector.
    orders : `EchelleOrderTable`
        The order table for this detector.
    n_columns : int
        Number of positions along the dispersion axis; the actual number may be somewhat larger.

    Returns
    -------
    slices : tuple of slice
        The pixels of an image that are kept.
    orders : `EchelleOrderTable`
        The order table for these pixels.
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
    Read frames into a `ThinnedStack`, without holding anything else in memory.

    Parameters
    ----------
    frames : sequence of `Frame`
        The frames.
    orders : `EchelleOrderTable`
        The order table for the detector of the frames.
    n_columns : int
        Number of positions along the dispersion axis; the actual number may be somewhat larger.

    Returns
    -------
    `ThinnedStack`
    """
    shape = frames[0].shape
    slices, orders = thinning(shape, orders, n_columns)
    tasks = [partial(thinned_section, frame, slices) for frame in frames]
    n_pixels = np.prod(_thin_shape(shape, slices))
    with closing(results_of(tasks, None)) as sections:
        return stacked(collected(frames, n_pixels, sections), shape, slices, orders)


def _thin_shape(shape: tuple[int, int], slices: tuple[slice, slice]) -> list[int]:
    return [len(range(n)[part]) for n, part in zip(shape, slices, strict=True)]


def thinned_section(frame: Frame, slices: tuple[slice, slice]) -> Section:
    """
    Read the pixels that ``thinning`` keeps of a frame.

    Parameters
    ----------
    frame : `Frame`
        The frame.
    slices : tuple of slice
        Slices returned by ``thinning``.

    Returns
    -------
    `Section`
        Flattened: the pixels at ``thinned_indices``.
    """
    section = frame.load().section(slices)
    return Section(*(None if part is None else part.ravel() for part in section))


def thinned_indices(shape: tuple[int, int], slices: tuple[slice, slice]) -> np.ndarray:
    """
    Indices of the pixels of a flattened image that ``thinning`` keeps.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the detector.
    slices : tuple of slice
        Slices returned by ``thinning``.

    Returns
    -------
    int array, shape (n_pixels,)
        Indices in ascending order.
    """
    rows, columns = (np.arange(n)[part] for n, part in zip(shape, slices, strict=True))
    return (rows[:, None] * shape[1] + columns).ravel()


def stacked(
    pixels: Pixels, shape: tuple[int, int], slices: tuple[slice, slice], orders: EchelleOrderTable
) -> ThinnedStack:
    """
    Turn the pixels that ``thinning`` keeps of some frames into a `ThinnedStack`.

    Parameters
    ----------
    pixels : `Pixels`
        The pixels at ``thinned_indices``.
    shape : tuple of int
        Rows and columns of the detector.
    slices, orders
        As returned by ``thinning``.

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
