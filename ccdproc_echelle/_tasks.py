# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tasks on any executor: their results in order, and nothing left behind after an error."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import closing, nullcontext
from itertools import islice
from typing import Any

__all__ = ["n_workers_of", "results_of"]


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
    """
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
            futures.extend(executor.submit(task) for task in islice(tasks, n_ahead - len(futures)))
            if not futures:
                return
            yield futures[0].result()
            futures.popleft()
    finally:
        wait([future for future in futures if not future.cancel()])
