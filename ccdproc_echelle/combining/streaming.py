# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Stream sections of rows from the frames through the kernel, on any executor."""

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ccdproc_echelle._tasks import n_workers_of, results_of
from ccdproc_echelle.combining.clipping import StackCombiner, block_size
from ccdproc_echelle.combining.noting import Noted, ScaledStack, Watch
from ccdproc_echelle.combining.progress import Progress
from ccdproc_echelle.combining.scales import OrderScales
from ccdproc_echelle.frames import Frame, inverse_variance_weights, look_at

__all__ = ["CombinedImages", "RowTask", "stream"]

# A section of this many bytes is read efficiently and leaves work for every worker.
_SECTION_BYTES = 64e6


class CombinedImages(NamedTuple):
    """
    Combined images, or some rows of them.

    Attributes
    ----------
    value, variance : float array, shape (rows, columns)
        Combined value and its variance; NaN where no value remained.
    count : int array, shape (rows, columns)
        Number of frames that were used.
    rejected : bool array, shape (n_frames, rows, columns), or None
        Good values that were rejected; only if requested.
    noted : `Noted` or None
        What was recorded about the frames; only if requested.
    looks : list of tuple of bytes
        Results of `look_at` for each section of each frame.
    """

    value: np.ndarray
    variance: np.ndarray
    count: np.ndarray
    rejected: np.ndarray | None
    noted: Noted | None
    looks: list[tuple[bytes, ...]]


@dataclass(frozen=True)
class RowTask:
    """
    Combine some rows of all frames. Small enough to be sent to another process.

    Parameters
    ----------
    frames : sequence of `Frame`
        These rows of the frames.
    scales : float array, shape (n_frames,), or `OrderScales`
        Factor of each frame, or of each of its pixels in these rows.
    weights : None, "inverse_variance", or float array, shape (n_frames, 1 or rows, 1 or columns)
        Weight of each frame or pixel.
    combiner : `StackCombiner`
        How the values are combined.
    dtype : `numpy.dtype`
        Floating-point type of the computation.
    want_rejected : bool
        Whether to return which values were rejected.
    watch : `Watch`, optional
        What to record about these rows.
    """

    frames: Sequence[Frame]
    scales: np.ndarray | OrderScales
    weights: np.ndarray | str | None
    combiner: StackCombiner
    dtype: np.dtype
    want_rejected: bool
    watch: Watch | None = None

    def run(self) -> CombinedImages:
        """
        Read the rows and combine them, in blocks that stay in the cache throughout.

        Returns
        -------
        `CombinedImages`
        """
        frames = [frame.load() for frame in self.frames]
        n_rows, n_columns = frames[0].shape
        result = _empty_images(
            frames, (n_rows, n_columns), self.dtype, self.want_rejected, self.watch
        )
        step = min(n_rows, max(1, block_size(len(frames)) // n_columns))
        room = self._empty_stack(frames, step * n_columns)
        for start in range(0, n_rows, step):
            rows = slice(start, min(start + step, n_rows))
            stack = self._stacked(frames, rows, room)
            weights = self._weights(rows, stack.variances, stack.good)
            found = self.combiner.combine(stack.values, stack.good, stack.variances, weights)
            result.value[rows] = found.value.reshape(-1, n_columns)
            result.variance[rows] = found.variance.reshape(-1, n_columns)
            result.count[rows] = found.count.reshape(-1, n_columns)
            if self.want_rejected:
                rejected = stack.good & ~found.kept
                result.rejected[:, rows] = rejected.reshape(len(frames), -1, n_columns)
            if self.watch is not None:
                result.noted.note(self.watch, rows, stack, found.kept)
        return result._replace(looks=[(look_at(frame),) for frame in frames])

    def _empty_stack(self, frames: Sequence[Frame], n_pixels: int) -> ScaledStack:
        """Room for a block, used for one after the other: new memory costs more than filling it."""
        values = np.empty((len(frames), n_pixels), dtype=self.dtype)
        known = all(frame.uncertainty_type is not None for frame in frames)
        return ScaledStack(
            values, np.empty(values.shape, dtype=bool), np.empty_like(values) if known else None,
            np.empty(n_pixels, dtype=bool),
        )

    def _stacked(self, frames: Sequence[Frame], rows: slice, room: ScaledStack) -> ScaledStack:
        n_pixels = (rows.stop - rows.start) * frames[0].shape[1]
        values, good, variances, saturated = (
            None if part is None else part[..., :n_pixels] for part in room
        )
        saturated[:] = False
        into = dict(casting="same_kind", dtype=self.dtype)
        with np.errstate(invalid="ignore", over="ignore"):
            for i, (frame, scale) in enumerate(zip(frames, self._scales(rows), strict=True)):
                section = frame.section(rows)
                np.multiply(section.data.ravel(), scale, out=values[i], **into)
                good[i] = section.good.ravel()
                if section.saturated is not None:
                    saturated |= section.saturated.ravel()
                if variances is not None:
                    variance = section.variance.ravel()
                    np.multiply(variance, scale**2, out=variances[i], **into)
        return ScaledStack(values, good, variances, saturated)

    def _scales(self, rows: slice) -> Iterable:
        if isinstance(self.scales, OrderScales):
            return self.scales.part(rows).images()
        return self.scales

    def _weights(self, rows: slice, variances, good) -> np.ndarray | None:
        if self.weights is None:
            return None
        if isinstance(self.weights, str):
            return inverse_variance_weights(self.frames, variances, good)
        rows = rows if self.weights.shape[1] > 1 else slice(None)
        return self.weights[:, rows].reshape(len(self.frames), -1)


def stream(
    frames: Sequence[Frame],
    scales: np.ndarray | OrderScales,
    combiner: StackCombiner,
    *,
    weights: np.ndarray | str | None,
    dtype: np.dtype,
    mem_limit: float,
    executor: Executor | None,
    progress: Progress,
    want_rejected: bool,
    watch: Watch | None,
) -> CombinedImages:
    """
    Combine frames in sections of rows.

    Every file is read once. The result does not depend on the executor, the number of its workers
    or the memory limit.

    Parameters
    ----------
    frames : sequence of `Frame`
        The frames.
    scales, combiner, weights, dtype, want_rejected, watch
        See `RowTask`.
    mem_limit : float
        Memory limit in bytes, not counting the result.
    executor : `concurrent.futures.Executor` or None
        Executor that does the work; `None` for one thread per core.
    progress : `Progress`
        Progress indicator, advanced by each section.

    Returns
    -------
    `CombinedImages`
    """
    sections = _row_sections(frames, dtype, mem_limit, n_workers_of(executor))
    scales = scales.astype(dtype)
    per_order = isinstance(scales, OrderScales)
    per_pixel = isinstance(weights, np.ndarray) and weights.shape[1] > 1
    tasks = [
        RowTask(
            [frame.part(rows) for frame in frames],
            scales.part(rows) if per_order else scales,
            weights[:, rows] if per_pixel else weights,
            combiner,
            dtype,
            want_rejected,
            None if watch is None else watch.part(rows),
        )
        for rows in sections
    ]
    result = _empty_images(frames, frames[0].shape, dtype, want_rejected, watch)
    with closing(results_of([task.run for task in tasks], executor)) as parts:
        shown = progress.counted(parts, len(tasks))
        for rows, part in zip(sections, shown, strict=True):
            for whole, piece in zip(result[:4], part[:4], strict=True):
                if whole is not None:
                    whole[..., rows, :] = piece
            if watch is not None:
                result.noted.take_over(part.noted, watch, rows)
            for look, more in zip(result.looks, part.looks, strict=True):
                look.extend(more)
    return result._replace(looks=[tuple(look) for look in result.looks])


def _empty_images(frames, shape, dtype: np.dtype, want_rejected: bool, watch) -> CombinedImages:
    n_frames, noted = len(frames), None
    if watch is not None:
        known = all(frame.uncertainty_type is not None for frame in frames)
        noted = Noted.nothing(watch, n_frames, dtype, known)
    return CombinedImages(
        value=np.empty(shape, dtype=dtype),
        variance=np.empty(shape, dtype=dtype),
        count=np.empty(shape, dtype=np.min_scalar_type(n_frames)),
        rejected=np.empty((n_frames, *shape), dtype=bool) if want_rejected else None,
        noted=noted,
        looks=[[] for _ in frames],
    )


def _row_sections(
    frames: Sequence[Frame], dtype: np.dtype, mem_limit: float, n_workers: int
) -> list[slice]:
    """
    Sections of rows that fit into memory: values, uncertainties and masks of all frames.

    If there are more of them than workers, every worker gets as many as the others.
    """
    n_rows, n_columns = frames[0].shape
    per_row = (len(frames) + 2) * n_columns * (2 * dtype.itemsize + 2)
    most = np.clip(min(mem_limit / n_workers, _SECTION_BYTES) // per_row, 1, n_rows)
    n_sections = int(np.ceil(n_rows / most))
    if n_sections > n_workers:
        n_sections += -n_sections % n_workers
    step = int(np.ceil(n_rows / n_sections))
    return [slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step)]
