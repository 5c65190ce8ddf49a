# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from scipy.interpolate import BSpline

from ccdproc_echelle._numeric.penalised import BlockBand, Penalty, restricted_likelihood_fit
from ccdproc_echelle._numeric.splines import CubicSplines

SHAPES = [(4, 1), (7, 1), (85, 1), (9, 5), (36, 5), (4, 4), (20, 30)]


def random_parts(n_sites, n_each, seed=1):
    """Positive definite matrices of each four neighbours."""
    size = 4 * n_each
    factors = np.random.default_rng(seed).normal(size=(n_sites - 3, size, size))
    return (factors @ factors.swapaxes(1, 2)).reshape(-1, 4, n_each, 4, n_each)


def dense(parts):
    n_sites, n_each = len(parts) + 3, parts.shape[2]
    matrix = np.zeros((n_sites, n_each, n_sites, n_each))
    for i, part in enumerate(parts):
        matrix[i : i + 4, :, i : i + 4] += part
    return matrix.reshape(n_sites * n_each, -1)


@pytest.mark.parametrize("shape", SHAPES)
def test_solution_and_inverse_are_those_of_the_whole_matrix(shape):
    band, parts = BlockBand(*shape), random_parts(*shape)
    matrix = dense(parts)
    right = np.random.default_rng(2).normal(size=len(matrix))
    solution, inverse = band.solve(band.summed(parts), right)
    np.testing.assert_allclose(matrix @ solution, right, atol=1e-8)
    whole = np.linalg.inv(matrix).reshape(*shape, *shape)
    for i, part in enumerate(band.parts(inverse)):
        expected = whole[i : i + 4, :, i : i + 4]
        np.testing.assert_allclose(part, expected, atol=1e-8 * abs(whole).max())


@pytest.mark.parametrize("shape", SHAPES)
def test_blocks_of_a_whole_matrix_are_those_of_its_parts(shape):
    band, a, b = BlockBand(*shape), random_parts(*shape), random_parts(*shape, seed=3)
    np.testing.assert_allclose(band.blocks(dense(a)), band.summed(a), atol=1e-12)
    product = band.trace_of_product(band.summed(a), band.summed(b))
    assert product == pytest.approx(np.trace(dense(a) @ dense(b)))
    mean = np.mean(np.diag(dense(a)))
    assert band.mean_diagonal(band.summed(a)) == pytest.approx(mean)


def test_splines_are_those_of_scipy():
    breaks = np.array([0, 0.5, 1, 3, 3.5, 7])
    splines, x = CubicSplines(breaks), np.linspace(0, 7, 101)
    expected = BSpline.design_matrix(x, splines.knots, 3).toarray()
    np.testing.assert_allclose(splines.design(x), expected, atol=1e-14)


def test_a_straight_line_is_not_rough():
    splines = CubicSplines(np.array([0, 0.5, 1, 3, 3.5, 7]))
    x = np.linspace(0, 7, 101)
    line = np.linalg.lstsq(splines.design(x), 2 + 3 * x, rcond=None)[0]
    np.testing.assert_allclose(splines.second_differences() @ line, 0, atol=1e-12)


def smooth_fit(y, sigma, strength):
    splines = CubicSplines(np.linspace(0, 1, 41))
    design = splines.design(np.linspace(0, 1, len(y)))
    differences, band = splines.second_differences(), BlockBand(splines.n)
    square = differences.T @ differences
    eigenvalues = np.append([0, 0], np.linalg.eigvalsh(square)[2:])
    penalty = Penalty(differences, np.eye(1), band.blocks(square), eigenvalues)
    coefficients, covariance, strength = restricted_likelihood_fit(
        band, band.blocks(design.T @ design) / sigma**2, design.T @ y / sigma**2, [penalty],
        np.array([strength]),
    )
    return design @ coefficients, strength[0]


@pytest.mark.parametrize("start", [1e-2, 1e3, 1e8])
def test_smoothness_is_found_from_far_away(start):
    rng, x, sigma = np.random.default_rng(4), np.linspace(0, 1, 2000), 0.1
    truth = np.sin(9 * x)
    fit, strength = smooth_fit(truth + rng.normal(0, sigma, len(x)), sigma, start)
    best = smooth_fit(truth + rng.normal(0, sigma, len(x)), sigma, strength)[1]
    assert 1 / 4 < strength / best < 4
    assert np.std(fit - truth) < 0.02


def test_what_is_straight_becomes_a_straight_line():
    rng, x = np.random.default_rng(5), np.linspace(0, 1, 2000)
    y = 1 + x + rng.normal(0, 0.1, len(x))
    fit, _ = smooth_fit(y, 0.1, 1e3)
    np.testing.assert_allclose(fit, np.polyval(np.polyfit(x, y, 1), x), atol=5e-3)
