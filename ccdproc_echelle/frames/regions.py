# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""One number for each rectangular region of an image, such as the gain of each amplifier."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ccdproc_echelle.frames.sections import Box

__all__ = ["Regions", "check_tiling"]


@dataclass(frozen=True)
class Regions:
    """
    An image that is constant within rectangles, and small whatever its number of pixels.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the image.
    boxes : sequence of `~ccdproc_echelle.frames.Box`
        Rectangles that cover the image; they are cut at its borders.
    values : sequence of float
        The value in each rectangle.

    Examples
    --------
    >>> from ccdproc_echelle.frames import Regions
    >>> from ccdproc_echelle.frames.sections import Box
    >>> halves = Box(slice(0, 2), slice(0, 2)), Box(slice(0, 2), slice(2, 3))
    >>> Regions((2, 3), halves, (1.0, 1.5)).image()
    array([[1. , 1. , 1.5],
           [1. , 1. , 1.5]])
    """

    shape: tuple[int, int]
    boxes: tuple[Box, ...]
    values: tuple[float, ...]

    def part(self, rows: slice) -> "Regions":
        """
        Select some of its rows.

        Parameters
        ----------
        rows : slice
            The rows.

        Returns
        -------
        `Regions`
        """
        first, last, _ = rows.indices(self.shape[0])
        moved = tuple(
            Box(slice(max(0, b.rows.start - first), max(0, b.rows.stop - first)), b.columns)
            for b in self.boxes
        )
        return replace(self, shape=(last - first, self.shape[1]), boxes=moved)

    def at(self, where: slice | tuple, dtype: np.dtype = float) -> np.ndarray:
        """
        Return the values of some of its pixels.

        Parameters
        ----------
        where : slice or tuple
            Rows, or slices or indices of rows and columns.
        dtype : `numpy.dtype`, optional
            Type of the values.

        Returns
        -------
        array
        """
        if isinstance(where, slice):
            return self.part(where).image(dtype)
        return self.image(dtype)[where]

    def image(self, dtype: np.dtype = float) -> np.ndarray:
        """
        Return the values of all its pixels.

        Parameters
        ----------
        dtype : `numpy.dtype`, optional
            Type of the values.

        Returns
        -------
        array, shape (rows, columns)
        """
        image = np.empty(self.shape, dtype=dtype)
        for box, value in zip(self.boxes, self.values, strict=True):
            image[tuple(box)] = value
        return image


def check_tiling(boxes: Sequence[Box], names: Sequence[str], whole: Box, what: str) -> None:
    """
    Raise unless rectangles cover an image, each pixel exactly once.

    Parameters
    ----------
    boxes : sequence of `~ccdproc_echelle.frames.Box`
        The rectangles.
    names : sequence of str
        Name of each rectangle, used in messages.
    whole : `~ccdproc_echelle.frames.Box`
        Area to be covered.
    what : str
        Name of the whole, used in messages.

    Raises
    ------
    ValueError
        If they overlap or leave gaps.
    """
    covered = 0
    for i, box in enumerate(boxes):
        here = box.common(whole)
        covered += 0 if here is None else here.shape[0] * here.shape[1]
        for j in range(i):
            if boxes[j].common(box):
                raise ValueError(f"{what}: {names[j]} and {names[i]} overlap")
    missing = whole.shape[0] * whole.shape[1] - covered
    if missing:
        raise ValueError(
            f"{what}: {', '.join(names)} leave out {missing} pixels of {whole}; expected sections "
            "that cover it"
        )
