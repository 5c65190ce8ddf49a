# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Gather the inner-order pixels of all frames in one pass through the files."""

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from contextlib import closing
from functools import partial
from typing import NamedTuple

import numpy as np

from ccdproc_echelle._tasks import results_of
from ccdproc_echelle.frames import Frame, Section, gather_pixels

__all__ = ["MOST_UNKNOWN", "Pixels", "collected", "evenly_spread", "gather"]

#: If more than this fraction of the uncertainties of a frame is unknown (NaN), they are not used.
MOST_UNKNOWN = 0.5

# Inner-order pixels of all frames are held in memory. With many frames or a large detector, an
# evenly spaced subset is enough: 100 000 pixels give a level to 0.3 % of the noise of a single
# pixel.
_GATHERED_BYTES = 8_000_000
_BYTES_PER_PIXEL = 9  # single-precision value and variance, good or not

_NOTHING = np.empty(0, dtype=int)


class Pixels(NamedTuple):
    """
    Some pixels of all frames, one row per frame.

    Attributes
    ----------
    data : float array, shape (n_frames, n_pixels)
        The values.
    good : bool array, shape (n_frames, n_pixels)
        Which values are good.
    variance : float array, shape (n_frames, n_pixels), or None
        Their variances; `None` unless they are known for all frames.
    """

    data: np.ndarray
    good: np.ndarray
    variance: np.ndarray | None

    def over(self, master: np.ndarray) -> "Pixels":
        """The pixels divided by a master, which has one value per pixel."""
        variance = None if self.variance is None else self.variance / master**2
        return Pixels(self.data / master, self.good, variance)

    def of_known_noise(self) -> "Pixels":
        """
        Exclude values of unknown noise, unless most of a frame are: then its noise is unknown.
        """
        if self.variance is None:
            return self
        unknown = ~(self.variance > 0)
        if unknown.mean(axis=-1).max() > MOST_UNKNOWN:
            return self._replace(variance=None)
        return self._replace(good=self.good & ~unknown)

    def selected(self, which: np.ndarray) -> "Pixels":
        """Some of the pixels, selected by index."""
        return Pixels(*(None if part is None else part.take(which, axis=1) for part in self))


def evenly_spread(indices: np.ndarray, n_frames: int) -> np.ndarray:
    """Indices, thinned evenly if the pixels of all frames would take up too much memory."""
    most = max(1, _GATHERED_BYTES // (n_frames * _BYTES_PER_PIXEL))
    return indices[:: -(-len(indices) // most) or 1]


def gather(
    frames: Sequence[Frame],
    indices: np.ndarray,
    executor: Executor | None = None,
    *,
    more: np.ndarray = _NOTHING,
) -> tuple[Pixels, list[Section]]:
    """
    Pixels of all frames at these indices into the flattened image, in ascending order.

    In the same pass, more pixels.
    """
    both, extra = _ascending(np.concatenate([indices, more])), []
    tasks = [partial(gather_pixels, frame, both) for frame in frames]

    def without_more(sections):
        for section in sections:
            if len(more):
                extra.append(_taken(section, np.searchsorted(both, more)))
                section = _taken(section, np.searchsorted(both, indices))
            yield section

    with closing(results_of(tasks, executor)) as sections:
        return collected(frames, len(indices), without_more(sections)), extra


def collected(frames: Sequence[Frame], n_pixels: int, sections: Iterable[Section]) -> Pixels:
    """
    Collect what is read of each frame, one section at a time; variances if all frames have them.
    """
    data = np.empty((len(frames), n_pixels), np.result_type(*(f.dtype for f in frames)))
    known = all(frame.uncertainty_type is not None for frame in frames)
    pixels = Pixels(data, np.empty(data.shape, bool), np.empty_like(data) if known else None)
    for i, section in enumerate(sections):
        pixels.data[i], pixels.good[i] = section.data, section.good
        if known:
            pixels.variance[i] = section.variance
    return pixels


def _ascending(numbers: np.ndarray) -> np.ndarray:
    """
    The different ones among numbers that ascend in a few stretches.

    Such numbers are sorted much faster than `numpy.unique` looks them up.
    """
    numbers = np.sort(numbers, kind="stable")
    return numbers[np.diff(numbers, prepend=-1) > 0]


def _taken(section: Section, which: np.ndarray) -> Section:
    return Section(*(None if part is None else part.take(which) for part in section))
