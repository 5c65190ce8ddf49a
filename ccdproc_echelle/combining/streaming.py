# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Sections of rows stream from the frames through the kernel, on any executor."""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import closing, nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ccdproc_echelle._warnings import warn
from ccdproc_echelle.combining.clipping import StackCombiner, block_size
from ccdproc_echelle.combining.scales import OrderScales
from ccdproc_echelle.frames import Frame, MemoryFrame, inverse_variance_weights

__all__ = ["CombinedImages", "RowTask", "stream"]

# A section of this many bytes is read fast and leaves work for every worker.
_SECTION_BYTES = 64e6


class CombinedImages(NamedTuple):
    """
    Images, or the same rows of them.

    Attributes
    ----------
    value, variance : float array, shape (rows, columns)
        Combined value and its variance; NaN where nothing was left.
    count : int array, shape (rows, columns)
        How many frames were used.
    rejected : bool array, shape (n_frames, rows, columns), or None
        Good values that were rejected; only if asked for.
    """

    value: np.ndarray
    variance: np.ndarray
    count: np.ndarray
    rejected: np.ndarray | None


@dataclass(frozen=True)
class RowTask:
    """
    Some rows of all frames to be combined. Small enough to be sent to another process.

    Parameters
    ----------
    frames : sequence of `Frame`
        These rows of the frames.
    scales : float array, shape (n_frames,), or `OrderScales`
        Factor of each frame, or of each of its pixels in these rows.
    weights : None, "inverse_variance", or float array, shape (n_frames, 1 or rows, 1 or columns)
        Weight of each frame or pixel.
    combiner : `StackCombiner`
        What is done with them.
    dtype : `numpy.dtype`
        In which type.
    want_rejected : bool
        Whether to tell which values were rejected.
    """

    frames: Sequence[Frame]
    scales: np.ndarray | OrderScales
    weights: np.ndarray | str | None
    combiner: StackCombiner
    dtype: np.dtype
    want_rejected: bool

    def run(self) -> CombinedImages:
        """
        Read the rows and combine them, in blocks that stay in the cache from start to end.

        Returns
        -------
        `CombinedImages`
        """
        frames = [frame.load() for frame in self.frames]
        n_rows, n_columns = frames[0].shape
        result = _empty_images((n_rows, n_columns), len(frames), self.dtype, self.want_rejected)
        step = max(1, block_size(len(frames)) // n_columns)
        for start in range(0, n_rows, step):
            rows = slice(start, min(start + step, n_rows))
            values, good, variances = self._stacked(frames, rows)
            weights = self._weights(rows, variances, good)
            stack = self.combiner.combine(values, good, variances, weights)
            result.value[rows] = stack.value.reshape(-1, n_columns)
            result.variance[rows] = stack.variance.reshape(-1, n_columns)
            result.count[rows] = stack.count.reshape(-1, n_columns)
            if self.want_rejected:
                result.rejected[:, rows] = (good & ~stack.kept).reshape(len(frames), -1, n_columns)
        return result

    def _stacked(self, frames: Sequence[MemoryFrame], rows: slice) -> tuple:
        """Scaled values, which of them are good, and their variances, one row per frame."""
        n_pixels = (rows.stop - rows.start) * frames[0].shape[1]
        values = np.empty((len(frames), n_pixels), dtype=self.dtype)
        good = np.empty(values.shape, dtype=bool)
        known = all(frame.uncertainty_type is not None for frame in frames)
        variances = np.empty_like(values) if known else None
        with np.errstate(invalid="ignore", over="ignore"):
            for i, (frame, scale) in enumerate(zip(frames, self._scales(rows), strict=True)):
                section = frame.section(rows)
                np.multiply(section.data.ravel(), scale, out=values[i], casting="same_kind")
                good[i] = section.good.ravel()
                if known:
                    variance = section.variance.ravel()
                    np.multiply(variance, scale**2, out=variances[i], casting="same_kind")
        return values, good, variances

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
    executor: Executor | None = None,
    progress_bar: bool = False,
    want_rejected: bool = False,
) -> CombinedImages:
    """
    Combine frames in sections of rows.

    Every file is read once. The result does not depend on the executor, the number of its workers
    or the memory limit.

    Parameters
    ----------
    frames : sequence of `Frame`
        The frames.
    scales, combiner, weights, dtype, want_rejected
        As `RowTask`.
    mem_limit : float
        Bytes that may be used besides the result.
    executor : `concurrent.futures.Executor`, optional
        What does the work. Default: a thread for each core.
    progress_bar : bool, optional
        Show progress with tqdm.

    Returns
    -------
    `CombinedImages`
    """
    n_workers = getattr(executor, "_max_workers", None) or os.cpu_count() or 1
    sections = _row_sections(frames, dtype, mem_limit / n_workers)
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
        )
        for rows in sections
    ]
    result = _empty_images(frames[0].shape, len(frames), dtype, want_rejected)
    with nullcontext(executor) if executor else ThreadPoolExecutor(n_workers) as workers:
        with closing(_results(tasks, workers)) as parts:
            shown = _progress(parts, len(tasks), progress_bar)
            for rows, part in zip(sections, shown, strict=True):
                for whole, piece in zip(result, part, strict=True):
                    if whole is not None:
                        whole[..., rows, :] = piece
    return result


def _empty_images(shape, n_frames: int, dtype: np.dtype, want_rejected: bool) -> CombinedImages:
    return CombinedImages(
        value=np.empty(shape, dtype=dtype),
        variance=np.empty(shape, dtype=dtype),
        count=np.empty(shape, dtype=np.min_scalar_type(n_frames)),
        rejected=np.empty((n_frames, *shape), dtype=bool) if want_rejected else None,
    )


def _row_sections(frames: Sequence[Frame], dtype: np.dtype, mem_limit: float) -> list[slice]:
    """As many rows as may be in memory at a time: values, uncertainties and masks of all frames."""
    n_rows, n_columns = frames[0].shape
    per_row = (len(frames) + 2) * n_columns * (2 * dtype.itemsize + 2)
    step = int(np.clip(min(mem_limit, _SECTION_BYTES) // per_row, 1, n_rows))
    return [slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step)]


def _results(tasks: Sequence[RowTask], executor: Executor) -> Iterator[CombinedImages]:
    """
    Results of all tasks in their order, none of which is kept.

    After an error no task is left waiting or running: those that run read files, which may be
    temporary ones.
    """
    futures: deque[Future] = deque()
    try:
        for task in tasks:
            futures.append(executor.submit(task.run))
        while futures:
            yield futures[0].result()
            futures.popleft()
    finally:
        wait([future for future in futures if not future.cancel()])


def _progress(parts: Iterator, n_parts: int, progress_bar: bool) -> Iterable[CombinedImages]:
    if not progress_bar:
        return parts
    try:
        from tqdm.auto import tqdm
    except ImportError:
        warn("no progress bar: tqdm is not installed")
        return parts
    return tqdm(parts, total=n_parts, desc="combining", unit="section")
