# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Record information about the frames while they are read, so that none is read twice."""

from typing import NamedTuple

import numpy as np

__all__ = ["Noted", "ScaledStack", "Watch"]


class ScaledStack(NamedTuple):
    """Some rows of all frames, one row per frame, and where any frame is saturated."""

    values: np.ndarray
    good: np.ndarray
    variances: np.ndarray | None
    saturated: np.ndarray


class Watch(NamedTuple):
    """
    What to record about the frames, or some of their rows, while they are read.

    Attributes
    ----------
    inside : bool array, shape (rows, columns)
        Pixels in which rejected values are counted.
    pixels : int array, shape (n_pixels,)
        Indices into the flattened image, in ascending order, of pixels whose values are all kept.
    """

    inside: np.ndarray
    pixels: np.ndarray

    def part(self, rows: slice) -> "Watch":
        """The part of the watch that covers some rows."""
        first = rows.start * self.inside.shape[1]
        return Watch(self.inside[rows], self.pixels[self.columns(rows)] - first)

    def columns(self, rows: slice) -> slice:
        """Which of the pixels lie in some rows."""
        ends = np.array([rows.start, rows.stop]) * self.inside.shape[1]
        return slice(*np.searchsorted(self.pixels, ends))


class Noted(NamedTuple):
    """
    What was recorded about the frames, or some of their rows, while they were read.

    Attributes
    ----------
    has_data : bool array, shape (rows, columns)
        Where at least one frame was good.
    saturated : bool array, shape (rows, columns)
        Where at least one frame was saturated.
    n_rejected : int array, shape (n_frames,)
        Number of good values of each frame that were rejected in the watched pixels.
    pixels : int array, shape (n_pixels,)
        Indices of the pixels whose values were all kept.
    values, variances : float array, shape (n_frames, n_pixels)
        Scaled values of these pixels, and their variances; `None` if these are not known.
    good : bool array, shape (n_frames, n_pixels)
        Which of the values were good.
    used : bool array, shape (n_frames, n_pixels)
        Which of the good values were not rejected.
    """

    has_data: np.ndarray
    saturated: np.ndarray
    n_rejected: np.ndarray
    pixels: np.ndarray
    values: np.ndarray
    variances: np.ndarray | None
    good: np.ndarray
    used: np.ndarray

    @classmethod
    def nothing(cls, watch: Watch, n_frames: int, dtype: np.dtype, has_variances: bool) -> "Noted":
        """An empty record, to be filled while the frames are read."""
        shape = n_frames, len(watch.pixels)
        return cls(
            has_data=np.zeros(watch.inside.shape, dtype=bool),
            saturated=np.zeros(watch.inside.shape, dtype=bool),
            n_rejected=np.zeros(n_frames, dtype=int),
            pixels=watch.pixels,
            values=np.empty(shape, dtype=dtype),
            variances=np.empty(shape, dtype=dtype) if has_variances else None,
            good=np.empty(shape, dtype=bool),
            used=np.empty(shape, dtype=bool),
        )

    def note(self, watch: Watch, rows: slice, stack: ScaledStack, kept: np.ndarray) -> None:
        """Record what a stack of these rows shows."""
        here, columns = watch.part(rows), watch.columns(rows)
        self.has_data[rows] = stack.good.any(axis=0).reshape(here.inside.shape)
        self.saturated[rows] = stack.saturated.reshape(here.inside.shape)
        disputed = np.flatnonzero(here.inside.ravel() & ~kept.all(axis=0))
        rejected = stack.good.take(disputed, axis=1) & ~kept.take(disputed, axis=1)
        self.n_rejected[:] += rejected.sum(axis=1)
        self.values[:, columns] = stack.values.take(here.pixels, axis=1)
        self.good[:, columns] = stack.good.take(here.pixels, axis=1)
        self.used[:, columns] = kept.take(here.pixels, axis=1)
        if self.variances is not None:
            self.variances[:, columns] = stack.variances.take(here.pixels, axis=1)

    def take_over(self, part: "Noted", watch: Watch, rows: slice) -> None:
        """Insert what was recorded for some rows."""
        columns = watch.columns(rows)
        self.has_data[rows], self.saturated[rows] = part.has_data, part.saturated
        self.n_rejected[:] += part.n_rejected
        self.values[:, columns] = part.values
        self.good[:, columns], self.used[:, columns] = part.good, part.used
        if self.variances is not None:
            self.variances[:, columns] = part.variances
