# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tasks on any executor: their results in order, and nothing left behind after an error."""

import multiprocessing
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from contextlib import closing, nullcontext
from functools import partial
from itertools import islice
from multiprocessing import connection
from typing import Any

__all__ = ["awaited", "in_pieces", "n_workers_of", "processes", "results_of", "submitted"]

# After so many seconds without a result the executor is asked whether it still takes tasks.
_PATIENCE = 5.0


def n_workers_of(executor: Executor | None) -> int:
    """
    How many tasks run at a time.

    Parameters
    ----------
    executor : `concurrent.futures.Executor` or None
        `None` stands for a thread for each core.

    Returns
    -------
    int
    """
    return getattr(executor, "_max_workers", None) or os.cpu_count() or 1


def results_of(tasks: Iterable[Callable[[], Any]], executor: Executor | None) -> Iterator[Any]:
    """
    Results of all tasks in their order, none of which is kept.

    After an error no task is left waiting or running: those that run read files, which may be
    temporary ones.

    Parameters
    ----------
    tasks : iterable of callables
        Called without arguments. For processes and clusters they must be picklable.
    executor : `concurrent.futures.Executor` or None
        What calls them; `None` stands for a thread for each core.

    Notes
    -----
    Tasks are taken from the iterable as workers become free, so that neither they nor their results
    pile up.

    Yields
    ------
    object

    Raises
    ------
    TypeError
        If the executor is none.
    BrokenExecutor
        If the executor takes no more tasks, as its workers were killed or it was shut down.
    """
    if not (executor is None or hasattr(executor, "submit")):
        raise TypeError(
            f"executor is {executor!r}, expected one of concurrent.futures or with its methods"
        )
    pool = nullcontext(executor) if executor else ThreadPoolExecutor(n_workers_of(None))
    n_ahead = 2 * n_workers_of(executor)
    with pool as workers, closing(_results(iter(tasks), workers, n_ahead)) as results:
        yield from results


def _results(
    tasks: Iterator[Callable[[], Any]], executor: Executor, n_ahead: int
) -> Iterator[Any]:
    futures: deque[Future] = deque()
    try:
        while True:
            for task in islice(tasks, n_ahead - len(futures)):
                futures.append(submitted(task, executor))
            if not futures:
                return
            yield awaited(futures[0], executor)
            futures.popleft()
    finally:
        wait([future for future in futures if not future.cancel()])


def in_pieces(do: Callable[[slice], None], length: int, size: int) -> None:
    """
    Do something to all of an array, piece by piece, with a thread for each core.

    Parameters
    ----------
    do : callable
        Called with the slice of each piece; what it does must not depend on other pieces.
    length : int
        Of the axis that is cut into pieces.
    size : int
        Of a piece.
    """
    pieces = (slice(first, min(first + size, length)) for first in range(0, length, size))
    for _ in results_of((partial(do, piece) for piece in pieces), None):
        pass


def submitted(task: Callable[[], Any], executor: Executor) -> Future:
    """
    A task handed to an executor.

    Parameters
    ----------
    task : callable
        Called without arguments.
    executor : `concurrent.futures.Executor`
        What calls it.

    Returns
    -------
    `concurrent.futures.Future`

    Raises
    ------
    BrokenExecutor
        If the executor takes no tasks.
    """
    try:
        return executor.submit(task)
    except Exception:  # the task's own, if the executor does it at once
        _check(executor)
        raise


def awaited(future: Future, executor: Executor) -> Any:
    """
    The result of a task, unless its executor is gone: a closed one of dask never says so.

    Parameters
    ----------
    future : `concurrent.futures.Future`
        Of the task.
    executor : `concurrent.futures.Executor`
        Which has it.

    Returns
    -------
    object

    Raises
    ------
    BrokenExecutor
        If the executor has lost it.
    """
    while True:
        try:
            return future.result(_PATIENCE)
        except (BrokenExecutor, CancelledError) as error:
            raise _loss(executor, error) from error
        except TimeoutError:
            if future.done():  # just now, or the error is the task's own
                return future.result()
            _check(executor)


def processes(number: int) -> ProcessPoolExecutor:
    """
    Processes that start afresh, and end with the one that started them, also if it is killed.

    A fork would copy the threads of its parent half way.

    Parameters
    ----------
    number : int
        How many.

    Returns
    -------
    `concurrent.futures.ProcessPoolExecutor`
    """
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(number, mp_context=context, initializer=_end_with_parent)
    # All start together: one that starts while another is lost would be waited for for ever.
    executor._safe_to_dynamically_spawn_children = False
    return executor


def _end_with_parent() -> None:
    def wait_for_it():
        connection.wait([multiprocessing.parent_process().sentinel])
        os._exit(1)

    threading.Thread(target=wait_for_it, daemon=True).start()


def _check(executor: Executor) -> None:
    """Whether it takes a task; the time, as dask would not do the same task a second time."""
    try:
        executor.submit(float, time.monotonic())
    except Exception as error:
        raise _loss(executor, error) from error


def _loss(executor: Executor, error: Exception) -> BrokenExecutor:
    kind = type(error) if isinstance(error, BrokenExecutor) else BrokenExecutor
    reason = str(error) or type(error).__name__
    return kind(f"{type(executor).__name__} lost its workers or was shut down: {reason}")
