# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from astropy import stats

from ccdproc_echelle._numeric import sorting, spread


@pytest.mark.parametrize("n", [*range(1, 20), 64, 65, 70])
@pytest.mark.parametrize("ties", [False, True])
def test_mad_of_sorted_rows_is_the_mad(n, ties):
    columns = np.random.default_rng(n).normal(scale=2, size=(n, 400))
    columns = columns.round() if ties else columns
    rows = sorting.sorted_rows(columns)
    np.testing.assert_array_equal(np.array(rows), np.sort(columns, axis=0))
    mad = spread.mad_of_sorted(rows, np.median(columns, axis=0))
    np.testing.assert_array_equal(mad, mad_of_each_column(columns))


def mad_of_each_column(columns):
    return np.median(np.abs(columns - np.median(columns, axis=0)), axis=0)


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8, 11, 20, 41])
def test_mad_factor_makes_the_mad_unbiased(n):
    samples = np.random.default_rng(n).normal(size=(100_000, n))
    mad = stats.median_absolute_deviation(samples, axis=1).mean()
    assert spread.mad_factors(n)[n] * mad == pytest.approx(1, abs=0.006)
