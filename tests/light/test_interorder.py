# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Pixels used to measure scattered light."""

import numpy as np
import pytest

from ccdproc_echelle.light.interorder import OrderPixels
from ccdproc_echelle.simulation import EchelleSimulation


def brightness(sim):
    """Brightness of the orders, and their blaze in the middle of each stretch."""
    orders = sim.truth.orders
    pixels = OrderPixels(
        orders.lower(), orders.upper(), sim.shape[0], [(0, size) for size in sim.shape]
    )
    light = np.where(pixels.exist, sim.truth.flat[pixels.rows, pixels.columns], np.nan)
    return pixels.brightness(light), sim.truth.blaze[:, pixels.middle_columns]


@pytest.mark.parametrize(("n", "sigma", "pitch"), [(1, 0.9, 6), (1, 2.5, 6), (3, 1.5, 8)])
def test_brightness_of_fibres_does_not_depend_on_where_they_fall_on_the_pixels(n, sigma, pitch):
    sim = EchelleSimulation(shape=(200, 400), n_orders=5, pixel_response=0, smallest_gap=1)
    measured, blaze = brightness(sim.with_fibres(n, sigma=sigma, pitch=pitch))
    # A fibre is drawn with a constant peak; the widths of fibre and order vary alike.
    assert np.std(measured / blaze) < 0.02 * np.mean(measured / blaze)


@pytest.mark.parametrize("width", [5, 30])
def test_brightness_of_slits(width):
    sim = EchelleSimulation(shape=(400, 400), n_orders=6, pixel_response=0, order_width=width)
    measured, blaze = brightness(sim)
    assert np.std(measured / blaze) < 0.02 * np.mean(measured / blaze)
    assert 0.7 < np.mean(measured / blaze) < 1


def test_bad_pixels_and_stretches_without_light():
    lower, upper = np.full((1, 64), 9.5), np.full((1, 64), 15.5)
    pixels = OrderPixels(lower, upper, 30, ((0, 30), (0, lower.shape[1])))
    light = np.where(pixels.exist, 5.0, np.nan)
    light[0, 0, ::3] = np.nan  # unknown
    light[0, 1] = np.nan  # a stretch without any light
    light[0, 2, pixels.columns[0, 2] == 32] = 1e4  # a bad column
    np.testing.assert_allclose(pixels.brightness(light), 5)
