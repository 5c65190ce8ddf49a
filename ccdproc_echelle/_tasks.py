# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Run tasks on any executor: results in order, and nothing left behind after an error."""

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
from contextlib import closing, contextmanager, nullcontext
from itertools import islice
from multiprocessing import connection
from typing import Any

from ccdproc_echelle._warnings import filters_restored, kept_warnings, warn

__all__ = [
    "ahead", "awaited", "is_executor", "n_workers_of", "processes", "results_of", "submitted",
]

# After this many seconds without a result, check whether the executor still accepts tasks.
_PATIENCE = 5.0


def is_executor(value: Any) -> bool:
    """
    Whether tasks can be submitted to an object.

    Parameters
    ----------
    value : object
        The object, such as a `concurrent.futures.Executor`.

    Returns
    -------
    bool
    """
    return hasattr(value, "submit") and not isinstance(value, type)


def n_workers_of(executor: Executor | None) -> int:
    """
    Number of tasks that run at a time.

    Parameters
    ----------
    executor : `concurrent.futures.Executor` or None
        `None` stands for one thread per core.

    Returns
    -------
    int
    """
    return getattr(executor, "_max_workers", None) or os.cpu_count() or 1


def results_of(
    tasks: Iterable[Callable[[], Any]], executor: Executor | None, *, n_busy: int = 0
) -> Iterator[Any]:
    """
    Yield the results of all tasks in order, without keeping them.

    After an error no task is left waiting or running, since running tasks may be reading temporary
    files.

    Parameters
    ----------
    tasks : iterable of callables
        Called without arguments. They must be picklable for processes and clusters.
    executor : `concurrent.futures.Executor` or None
        Executor that calls them; `None` stands for one thread per core.
    n_busy : int, optional
        Number of cores that get no thread because they are busy with something else; only if
        ``executor`` is None.

    Yields
    ------
    object

    Raises
    ------
    TypeError
        If ``executor`` is not an executor.
    BrokenExecutor
        If the executor does not accept tasks any more because its workers were killed or it was
        shut down.

    Notes
    -----
    Tasks are taken from the iterable as workers become free, so that neither they nor their results
    accumulate.
    """
    if not (executor is None or is_executor(executor)):
        raise TypeError(
            f"executor is {executor!r}, expected a concurrent.futures.Executor, or an object with "
            "its methods"
        )
    n_threads = max(1, n_workers_of(None) - n_busy)
    pool = nullcontext(executor) if executor else ThreadPoolExecutor(n_threads)
    n_ahead = 2 * n_workers_of(executor)
    with (
        filters_restored(),
        pool as workers,
        closing(_results(iter(tasks), workers, n_ahead)) as results,
    ):
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


@contextmanager
def ahead(task: Callable[[], Any]) -> Iterator[Callable[[], Any]]:
    """
    Context manager that runs a task in a thread while its body does something else.

    Parameters
    ----------
    task : callable
        Called without arguments.

    Yields
    ------
    callable
        Waits for the task and returns its result. Warnings of the task are issued then, and its
        error is raised, as if the task was called there.
    """
    with filters_restored(), ThreadPoolExecutor(1) as thread:
        future = thread.submit(_with_warnings, task)

        def result():
            value, messages = future.result()
            for message in messages:
                warn(message)
            return value

        yield result


def _with_warnings(task: Callable[[], Any]) -> tuple[Any, list[str]]:
    with kept_warnings() as messages:
        return task(), messages


def submitted(task: Callable[[], Any], executor: Executor) -> Future:
    """
    Submit a task to an executor.

    Parameters
    ----------
    task : callable
        Called without arguments.
    executor : `concurrent.futures.Executor`
        Executor that calls it.

    Returns
    -------
    `concurrent.futures.Future`

    Raises
    ------
    BrokenExecutor
        If the executor does not accept tasks.
    """
    try:
        return executor.submit(task)
    except Exception:  # raised by the task, if the executor runs it immediately
        _check(executor)
        raise


def awaited(future: Future, executor: Executor) -> Any:
    """
    Wait for the result of a task, unless its executor is gone, which a closed dask client never
    reports.

    Parameters
    ----------
    future : `concurrent.futures.Future`
        Future of the task.
    executor : `concurrent.futures.Executor`
        Executor of the task.

    Returns
    -------
    object

    Raises
    ------
    BrokenExecutor
        If the executor has lost the task.
    """
    while True:
        try:
            return future.result(_PATIENCE)
        except (BrokenExecutor, CancelledError) as error:
            raise _loss(executor, error) from error
        except TimeoutError:
            if future.done():  # just now, or the error was raised by the task
                return future.result()
            _check(executor)


def processes(number: int) -> ProcessPoolExecutor:
    """
    Processes that are spawned, and end with the process that started them even if it is killed.

    A fork would copy the threads of its parent in an undefined state.

    Parameters
    ----------
    number : int
        Number of processes.

    Returns
    -------
    `concurrent.futures.ProcessPoolExecutor`
    """
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(number, mp_context=context, initializer=_end_with_parent)
    # All start together: a process that starts while another is lost would be waited for forever.
    executor._safe_to_dynamically_spawn_children = False
    return executor


def _end_with_parent() -> None:
    def wait_for_it():
        connection.wait([multiprocessing.parent_process().sentinel])
        os._exit(1)

    threading.Thread(target=wait_for_it, daemon=True).start()


def _check(executor: Executor) -> None:
    """Check that it accepts a task; the time is used since dask would not repeat the same task."""
    try:
        executor.submit(float, time.monotonic())
    except Exception as error:
        raise _loss(executor, error) from error


def _loss(executor: Executor, error: Exception) -> BrokenExecutor:
    kind = type(error) if isinstance(error, BrokenExecutor) else BrokenExecutor
    reason = str(error) or type(error).__name__
    return kind(f"{type(executor).__name__} lost its workers or was shut down: {reason}")
