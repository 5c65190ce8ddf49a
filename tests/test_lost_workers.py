# Licensed under a 3-clause BSD style license - see LICENSE.rst
import time
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from functools import partial

import pytest

from ccdproc_echelle import _tasks as tasks
from ccdproc_echelle._tasks import results_of


class Silent(Executor):
    """Takes two tasks, does none of them and says nothing: a client of dask that was closed."""

    def __init__(self):
        self.futures = []

    def submit(self, function, /, *args, **kwargs):
        if len(self.futures) == 2:
            raise OSError("the client is closed")
        self.futures.append(Future())
        return self.futures[-1]


def test_an_executor_that_is_gone_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(tasks, "_PATIENCE", 0.01)
    executor = Silent()
    with pytest.raises(BrokenExecutor, match="Silent lost its workers .*: the client is closed"):
        list(results_of([int, int], executor))
    assert all(future.cancelled() for future in executor.futures)


def test_a_task_may_take_its_time(monkeypatch):
    monkeypatch.setattr(tasks, "_PATIENCE", 0.01)
    with ThreadPoolExecutor(1) as executor:
        results = results_of([partial(time.sleep, 0.1), partial(int, 7)], executor)
        assert list(results) == [None, 7]


def test_an_executor_that_was_shut_down_is_named():
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(BrokenExecutor, match="ThreadPoolExecutor .* was shut down: cannot sched"):
        list(results_of([int], executor))


@pytest.mark.parametrize("kind", [RuntimeError, TimeoutError])
def test_the_error_of_a_task_is_its_own(kind):
    with ThreadPoolExecutor(1) as executor:
        with pytest.raises(kind, match="^mine$") as info:
            list(results_of([partial(raised, kind("mine"))], executor))
    assert info.type is kind


def raised(error):
    raise error
