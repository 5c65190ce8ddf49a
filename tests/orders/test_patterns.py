# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The row pattern of a detector, and orders that fade into it."""

import numpy as np
import pytest

from ccdproc_echelle import trace_orders
from ccdproc_echelle.orders.patterns import row_pattern
from ccdproc_echelle.simulation import EchelleSimulation

pixels, rows = np.arange(400), np.arange(120)
centers = np.array([20, 50, 80, 105])[:, None] + 0.01 * pixels
orders = [{"label": center, "width": 12.0} for center in (22, 52, 82, 107)]


def flat_of(light, *, noise, pattern, seed):
    """Slits 12 pixels wide, with the dispersion along axis 1."""
    rng = np.random.default_rng(seed)
    flat = rng.normal(0, noise, (120, 400)) + pattern * rng.normal(0, 1, (120, 1))
    away = np.abs(rows[:, None] - centers[:, None])
    return flat + (light / (1 + np.exp((away - 6) / 0.6))).sum(axis=0)


@pytest.mark.parametrize(("pattern", "least", "most"), [(0, 0, 0.5), (12, 9, 15)])
def test_the_pattern_is_measured_apart_from_the_noise(pattern, least, most):
    slices = flat_of(3000.0, noise=5, pattern=pattern, seed=1).T
    paths = rows + 0.01 * (pixels[:, None] - 200)
    assert least <= row_pattern(slices, paths, orders) <= most


def test_there_is_no_pattern_without_dark_rows():
    slices = flat_of(3000.0, noise=5, pattern=12, seed=1).T
    wide = [{**order, "width": 40.0} for order in orders]
    assert row_pattern(slices, rows + 0 * pixels[:, None], wide) == 0


@pytest.mark.parametrize("seed", [0, 1])
def test_a_trace_ends_where_the_pattern_is_as_bright_as_the_order(seed):
    light = 3000 * np.exp(-0.5 * ((pixels - 150) / 60) ** 2)
    found = trace_orders(flat_of(light, noise=3, pattern=12, seed=seed), dispersion_axis=1)
    off = np.abs(found.center() - centers)
    assert np.isfinite(off[:, light > 200]).all()
    assert np.isnan(off[:, light < 12]).all()
    assert np.nanmax(off) < 0.3


@pytest.mark.parametrize("axis", [0, 1])
def test_a_pattern_of_the_columns_is_not_taken_for_orders(axis):
    rng, wide = np.random.default_rng(5), np.array([85, 255, 425])  # few edges, so few steps
    light = 100 + 4000 * (np.abs(np.arange(512)[:, None] - wide) < 20).any(axis=1)[:, None]
    flat = rng.poisson(light + np.zeros((512, 512))) + rng.normal(0, 70, 512)
    found = trace_orders(flat if axis == 1 else flat.T)
    assert found.dispersion_axis == axis
    np.testing.assert_allclose(found.center([256])[:, 0], wide, atol=0.2)


def test_fibres_that_fade_are_not_followed_along_the_rows():
    simulation = EchelleSimulation.random(70137, flaws=True)
    flat = simulation.flats(1)[0]
    flat.mask = None
    found = trace_orders(flat, dispersion_axis=simulation.dispersion_axis)
    blaze = simulation.truth.blaze
    dark = blaze < 1e-3 * blaze.max(axis=1, keepdims=True)
    assert (np.isfinite(found.center()) & dark).sum(axis=1).max() < 0.05 * blaze.shape[1]
