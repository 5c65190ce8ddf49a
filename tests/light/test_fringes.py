# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Fringes are no defect, and hide none."""

import numpy as np
import pytest

from ccdproc_echelle.light import find_bad_response
from ccdproc_echelle.light.fringes import fringe_pattern
from ccdproc_echelle.simulation import EchelleSimulation


def waves(shape, amplitude, period, tilt):
    rows, columns = np.indices(shape)
    return 1 + amplitude * np.sin(2 * np.pi * (columns + tilt * rows) / period)


def test_a_wave_is_predicted_by_its_neighbours():
    excess = waves((30, 400), 0.2, 7.3, 0.4) - 1
    pattern = fringe_pattern(excess, np.ones(excess.shape, bool), np.zeros(400, int))
    np.testing.assert_allclose(pattern[2:-2, 4:-4], excess[2:-2, 4:-4], atol=5e-3)


def test_neighbours_are_those_on_the_detector():
    """In an order that climbs the pixels beside each other are rows apart."""
    lowest = np.arange(400) // 5
    excess = waves((120, 400), 0.2, 6, 1.0)[np.arange(30)[:, None] + lowest, np.arange(400)] - 1
    pattern = fringe_pattern(excess, np.ones(excess.shape, bool), lowest)
    np.testing.assert_allclose(pattern[3:-3, 4:-4], excess[3:-3, 4:-4], atol=5e-3)


def test_bad_pixels_have_the_pattern_of_their_neighbours():
    wave = waves((30, 400), 0.2, 7.3, 0.4) - 1
    bad = np.random.default_rng(1).random(wave.shape) < 0.02
    good = np.ones(wave.shape, dtype=bool)
    pattern = fringe_pattern(np.where(bad, -0.95, wave), good, np.zeros(400, int))
    inside = bad[3:-3, 4:-4]
    assert np.abs(pattern - wave)[3:-3, 4:-4][inside].max() < 0.06


def test_noise_has_no_pattern():
    noise = np.random.default_rng(2).normal(0, 0.05, (30, 400))
    assert fringe_pattern(noise, np.ones(noise.shape, bool), np.zeros(400, int)) is None
    nothing = np.zeros((30, 400))
    assert fringe_pattern(nothing, nothing == 0, np.zeros(400, int)) is None


@pytest.mark.parametrize("amplitude", [0.15, 0.3])
@pytest.mark.parametrize("period, tilt", [(6, 0.3), (9, -0.7), (20, 1.0)])
def test_dead_pixels_are_found_under_fringes(amplitude, period, tilt):
    simulation = EchelleSimulation(shape=(256, 300), n_orders=4, seed=3).with_dead_pixels(60)
    (flat,) = simulation.flats(1)
    fringes = waves(flat.shape, amplitude, period, tilt)
    flat.data *= fringes
    flat.uncertainty.array *= np.sqrt(fringes)
    bad = find_bad_response(flat, simulation.truth.orders)
    inside = simulation.truth.orders.order_map(margin=-2) > 0
    dead, found = simulation.truth.dead_pixels & inside, bad.dead | bad.low
    assert found[dead].mean() >= 0.95
    assert (found | bad.hot)[inside & ~dead].mean() <= 1e-4


@pytest.mark.parametrize("size", [4, 6, 8, 12])
def test_a_spot_of_low_pixels_is_no_fringe(size):
    simulation = EchelleSimulation(shape=(256, 300), n_orders=4, seed=2)
    (flat,) = simulation.flats(1)
    spot = np.zeros(flat.shape, bool)
    row = int(simulation.truth.orders.center([100])[1, 0]) - size // 2
    spot[row : row + size, 100 : 100 + size] = True
    flat.data[spot] *= 0.4
    bad = find_bad_response(flat, simulation.truth.orders)
    assert bad.low[spot].mean() > 0.95
    assert not (bad.low | bad.dead)[~spot].any()


@pytest.mark.parametrize("width", [1, 3])
def test_a_low_column_is_found_under_fringes(width):
    simulation = EchelleSimulation(shape=(256, 300), n_orders=4, seed=4)
    (flat,) = simulation.flats(1)
    flat.data *= waves(flat.shape, 0.15, 7, 0.5)
    flat.data[:, 120 : 120 + width] *= 0.3
    bad = find_bad_response(flat, simulation.truth.orders)
    inside = simulation.truth.orders.order_map(margin=-2) > 0
    column = np.zeros(flat.shape, dtype=bool)
    column[:, 120 : 120 + width] = True
    assert bad.low[column & inside].mean() > 0.95
    assert not (bad.low | bad.dead | bad.hot)[inside & ~column].any()
