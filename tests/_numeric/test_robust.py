# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from numpy.polynomial.chebyshev import chebvander

from ccdproc_echelle._numeric.robust import clipped_fit, soft_fit, weighted_fit
from ccdproc_echelle._numeric.spread import scatter_about_zero

X = np.linspace(-1, 1, 200)
BASIS = chebvander(X, 2)
TRUE = np.array([3.0, -1.0, 0.5])


def noisy(sigma=0.1, n_off=0):
    rng = np.random.default_rng(3)
    values = BASIS @ TRUE + rng.normal(0, sigma, len(X))
    off = rng.choice(len(X), n_off, replace=False)
    values[off] += 50
    return values, off


def test_weights_count_as_repeated_values():
    values, _ = noisy()
    weights = np.random.default_rng(4).integers(0, 4, len(X)).astype(float)
    times = weights.astype(int)
    expected = np.linalg.lstsq(BASIS.repeat(times, axis=0), values.repeat(times), rcond=None)[0]
    values[weights == 0] = np.nan
    np.testing.assert_allclose(weighted_fit(BASIS, values, weights), expected, rtol=1e-10)


@pytest.mark.parametrize("n_values", [3, 300, 20_000])
def test_many_values_are_fitted_like_few_and_what_they_leave_open_is_small(n_values):
    """By the singular values of the whole matrix; the last column is a copy of the first."""
    x = np.linspace(-1, 1, n_values)
    basis = np.column_stack([chebvander(x, 7), np.ones(n_values)])
    values = np.random.default_rng(6).normal(size=n_values)
    expected = np.linalg.lstsq(basis, values, rcond=None)[0]
    found = weighted_fit(basis, values, np.ones(n_values))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("n_off", [0, 10])
def test_outliers_are_clipped(n_off):
    values, off = noisy(n_off=n_off)
    values[7] = np.nan
    found, used = clipped_fit(BASIS, values, sigma=5, maxiters=20, least_scatter=1e-3)
    assert set(np.flatnonzero(~used)) == {7, *off}
    np.testing.assert_allclose(found, TRUE, atol=0.05)


def test_outliers_have_little_weight():
    values, _ = noisy(n_off=30)
    np.testing.assert_allclose(soft_fit(BASIS, values, least_scatter=1e-4), TRUE, atol=0.05)


def test_scatter_of_gaussian_residuals():
    residuals = np.random.default_rng(5).normal(0, 2, 100_000)
    assert scatter_about_zero(residuals) == pytest.approx(2, rel=0.02)


def test_an_outlier_at_the_end_of_a_short_range_is_found():
    x = np.linspace(-1, 1, 15)
    values = np.random.default_rng(1).normal(0, 0.05, 15)
    values[0] = 3.0
    _, used = clipped_fit(chebvander(x, 4), values, sigma=5, maxiters=5, least_scatter=1e-3)
    assert used.tolist() == [False] + 14 * [True]


def test_good_values_are_clipped_as_rarely_at_the_ends_as_elsewhere():
    basis, rng = chebvander(np.linspace(-1, 1, 15), 4), np.random.default_rng(2)
    used = [
        clipped_fit(basis, rng.normal(0, 1, 15), sigma=5, maxiters=5, least_scatter=1e-3)[1]
        for _ in range(1000)
    ]
    assert np.mean(used, axis=0).min() > 0.97


def test_a_value_that_alone_determines_a_term_is_kept():
    basis = np.array([[1.0, 0], [1, 0], [1, 0], [1, 1]])
    values = np.array([0.1, 0, -0.1, 50])
    coefficients, used = clipped_fit(basis, values, sigma=5, maxiters=5, least_scatter=1e-3)
    assert used.all()
    np.testing.assert_allclose(coefficients, [0, 50], atol=1e-12)
