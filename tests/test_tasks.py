# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tasks on an executor: their order, and how many of them are under way."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from ccdproc_echelle._tasks import results_of


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


@pytest.mark.parametrize("executor", [4, "threads"])
def test_what_is_no_executor_is_refused(executor):
    refusal = f"executor is {executor!r}, expected a concurrent.futures.Executor"
    with pytest.raises(TypeError, match=refusal):
        list(results_of([], executor))
