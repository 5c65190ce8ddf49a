# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest

from ccdproc_echelle._numeric import medians
from ccdproc_echelle._numeric.medians import finite_median, label_medians, ranked_median


def with_gaps(shape, dtype=float):
    rng = np.random.default_rng(1)
    values = rng.normal(size=shape).astype(dtype)
    values[rng.random(shape) < 0.3] = np.nan
    return values


@pytest.mark.parametrize("dtype", [np.float32, float])
@pytest.mark.parametrize("shape", [(7,), (6, 9), (3, 5, 8)])
def test_median_of_the_finite_values_is_that_of_numpy(shape, dtype):
    values = with_gaps(shape, dtype)
    np.testing.assert_array_equal(finite_median(values), np.nanmedian(values, axis=-1))
    assert finite_median(values).dtype == dtype


def test_infinite_values_do_not_count():
    values = np.array([[np.inf, 1, -np.inf, 3], [np.nan, np.inf, -np.inf, np.inf]])
    np.testing.assert_array_equal(finite_median(values), [2, np.nan])


def test_median_of_nothing_is_nan():
    assert np.isnan(finite_median(np.empty(0)))
    assert np.isnan(finite_median(np.empty((3, 0)))).all()


def test_ranked_values_are_the_good_ones_in_order():
    values, good = np.array([[4.0, 1, 9, 2]]), np.array([[True, True, False, True]])
    median, ranked, count = ranked_median(values, good)
    assert (median, count) == (2, 3)
    np.testing.assert_array_equal(ranked, [[1, 2, 4, np.nan]])


@pytest.mark.parametrize("n_labels", [1, 5, 300])
def test_medians_by_label(n_labels):
    values = with_gaps(2000)
    labels = np.random.default_rng(2).integers(0, n_labels, values.size)
    labels[labels == 2] = 3
    medians = label_medians(values, labels, n_labels)
    assert len(medians) == n_labels
    for label, median in enumerate(medians):
        known = values[(labels == label) & np.isfinite(values)]
        np.testing.assert_equal(median, np.median(known) if len(known) else np.nan)


@pytest.mark.parametrize("n", [25, 26, 40, 61, 100])
def test_large_samples_follow_the_asymptotic_series(n):
    exact = n * medians._median_variance(n)
    assert medians.median_variance_factors(n)[n] == pytest.approx(exact, rel=2e-4)


def test_noise_of_a_median_is_measured_on_gaussian_samples():
    rng = np.random.default_rng(1)
    for n in (1, 2, 5, 40):
        scatter = np.std(np.median(rng.normal(size=(20_000, n)), axis=1))
        assert medians.median_noise(np.array([n]))[0] == pytest.approx(scatter, rel=0.02)
