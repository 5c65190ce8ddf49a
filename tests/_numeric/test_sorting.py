# Licensed under a 3-clause BSD style license - see LICENSE.rst
import itertools

import numpy as np
import pytest

from ccdproc_echelle._numeric import sorting


def sorted_by_network(columns):
    columns = columns.copy()
    for i, j in sorting._sorting_network(len(columns)):
        low, high = np.minimum(*columns[[i, j]]), np.maximum(*columns[[i, j]])
        columns[i], columns[j] = low, high
    return columns


@pytest.mark.parametrize("n", range(1, 11))
def test_the_network_sorts_all_zero_one_columns(n):
    # Knuth's 0-1 principle: it then sorts everything
    columns = np.array(list(itertools.product([0.0, 1.0], repeat=n))).T
    np.testing.assert_array_equal(sorted_by_network(columns), np.sort(columns, axis=0))


@pytest.mark.parametrize("n", [*range(1, 66), 70])
def test_median_of_rows_needs_no_more_than_its_part_of_the_network(n):
    columns = np.random.default_rng(n).normal(size=(n, 400)).astype(np.float32)
    # all steps of zeros and ones, in random order and in the worst one
    steps = (np.arange(n)[:, None] < np.arange(n + 1)).astype(np.float32)
    shuffled = np.random.default_rng(n).permuted(np.tile(steps, 5), axis=0)
    columns = np.hstack([columns, steps, steps[::-1], shuffled])
    before = columns.copy()
    np.testing.assert_array_equal(sorting.median_of_rows(columns), np.median(columns, axis=0))
    np.testing.assert_array_equal(columns, before)
