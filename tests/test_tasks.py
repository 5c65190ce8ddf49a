# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tasks on an executor: their order, and how many of them are under way."""

import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event

import pytest
from astropy.utils.exceptions import AstropyUserWarning

from ccdproc_echelle._tasks import ahead, results_of
from ccdproc_echelle._warnings import warn


@pytest.mark.parametrize("n_workers", [None, 1, 3])
def test_results_come_in_the_order_of_the_tasks(n_workers):
    tasks = [partial(pow, i, 2) for i in range(50)]
    if n_workers is None:
        assert list(results_of(tasks, None)) == [i**2 for i in range(50)]
    else:
        with ThreadPoolExecutor(n_workers) as executor:
            assert list(results_of(tasks, executor)) == [i**2 for i in range(50)]


def test_tasks_are_made_as_workers_become_free():
    """What an order or a frame needs is not in memory for all of them at a time."""
    made = []

    def tasks():
        for i in range(50):
            made.append(i)
            yield partial(int, i)

    with ThreadPoolExecutor(2) as executor:
        for i in results_of(tasks(), executor):
            assert len(made) <= i + 4


def test_after_an_error_no_further_task_is_made():
    made = []

    def tasks():
        for i in range(50):
            made.append(i)
            yield partial(divmod, 1, 5 - i)

    with ThreadPoolExecutor(2) as executor, pytest.raises(ZeroDivisionError):
        list(results_of(tasks(), executor))
    assert len(made) <= 9


@pytest.mark.parametrize("executor", [4, "threads", ThreadPoolExecutor])
def test_what_is_no_executor_is_refused(executor):
    refusal = f"executor is {executor!r}, expected a concurrent.futures.Executor"
    with pytest.raises(TypeError, match=re.escape(refusal)):
        list(results_of([], executor))


def test_a_task_runs_ahead_while_something_else_is_done():
    started, finished = Event(), Event()

    def task():
        started.set()
        return finished.wait(10)

    with ahead(task) as result:
        assert started.wait(10)
        finished.set()
        assert result() is True
    assert result() is True


def test_warnings_of_a_task_that_runs_ahead_come_when_its_result_is_needed():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with ahead(partial(warn, "the lamp flickers")) as result:
            pass
    with pytest.warns(AstropyUserWarning, match="the lamp flickers") as caught:
        result()
    assert caught[0].filename == __file__


def test_errors_of_a_task_that_runs_ahead_come_when_its_result_is_needed():
    with ahead(partial(divmod, 1, 0)) as result:
        pass
    with pytest.raises(ZeroDivisionError):
        result()
    with pytest.raises(KeyError), ahead(partial(divmod, 1, 0)):
        raise KeyError


def test_the_filters_of_warnings_are_left_as_they_were():
    before = list(warnings.filters)
    ignore_all = partial(warnings.simplefilter, "ignore")
    list(results_of([ignore_all], None))
    assert warnings.filters == before
    with ahead(ignore_all):
        pass
    assert warnings.filters == before
