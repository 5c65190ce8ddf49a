# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A number for each rectangular region of an image, such as the gain of each amplifier."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ccdproc_echelle.frames.sections import Box

__all__ = ["Regions", "check_tiling"]


@dataclass(frozen=True)
class Regions:
    """
    An image that is constant within rectangles, small however many pixels it has.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the image.
    boxes : sequence of `~ccdproc_echelle.frames.Box`
        The rectangles, which cover the image; where they reach beyond it, they are cut.
    values : sequence of float
        The number of each.

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
        Some rows of it.

        Parameters
        ----------
        rows : slice
            Which.

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
        Some of its pixels.

        Parameters
        ----------
        where : slice or tuple
            Rows, or slices or indices of rows and columns.
        dtype : `numpy.dtype`, optional
            Their type.

        Returns
        -------
        array
        """
        if isinstance(where, slice):
            return self.part(where).image(dtype)
        return self.image(dtype)[where]

    def image(self, dtype: np.dtype = float) -> np.ndarray:
        """
        All its pixels.

        Parameters
        ----------
        dtype : `numpy.dtype`, optional
            Their type.

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
    Raise unless rectangles cover an image, each pixel once.

    Parameters
    ----------
    boxes : sequence of `~ccdproc_echelle.frames.Box`
        The rectangles.
    names : sequence of str
        What messages call each.
    whole : `~ccdproc_echelle.frames.Box`
        What is to be covered.
    what : str
        What messages call all of them.

    Raises
    ------
    ValueError
        If they overlap or leave pixels out.
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
