# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Scattered light of detectors with bands of other light, or borders without any."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from astropy.utils.exceptions import AstropyUserWarning

from ccdproc_echelle import detect_order_edges, fit_scattered_light
from ccdproc_echelle.light.interorder import Sample
from ccdproc_echelle.light.stray_light import lit_rows_and_columns, stray_pixels
from ccdproc_echelle.simulation import EchelleSimulation

PLAIN = EchelleSimulation(
    shape=(240, 280), n_orders=6, seed=2, order_width=18, tilt=0.02, brightness_ratio=20
).with_scattered_light(0.03)

FLAWED = {
    "border without light": PLAIN.with_dark_border(4),
    "wide border without light": PLAIN.with_dark_border(9),
    "secondary bands": PLAIN.with_secondary_bands(16, 4, fraction=0.1),
    "order not in the table": PLAIN.with_partial_order(30, 18, fraction=0.3),
    "ghosts": PLAIN.with_ghosts(2, width=8, fraction=0.01),
}


FIBRES = EchelleSimulation(
    shape=(240, 280), n_orders=8, seed=2, smallest_gap=9, tilt=0.02, brightness_ratio=5
).with_fibres(sigma=1.7).with_scattered_light(0.02)


def error(simulation, orders, plain=PLAIN):
    """RMS error of the scattered light on the order centres, relative to its smooth part there."""
    scattered = fit_scattered_light(simulation.flats(1)[0], orders).data
    smooth = plain.truth.scattered_light * plain.truth.levels(1)
    return np.sqrt(np.mean((scattered / smooth - 1)[orders.inner_mask(10)] ** 2))


@pytest.mark.parametrize("simulation", FLAWED.values(), ids=FLAWED)
def test_light_that_is_not_smooth_is_left_out(simulation):
    assert error(simulation, simulation.truth.orders) < 0.03


@pytest.mark.filterwarnings("ignore:light on both sides", "ignore:the light beside orders")
@pytest.mark.parametrize("fraction", [0.1, 0.2])
def test_bands_beside_fibres_are_no_wings_of_the_fibres(fraction):
    simulation = FIBRES.with_secondary_bands(8.4, 2, fraction=fraction)
    orders = detect_order_edges(FIBRES.flats(1)[0], FIBRES.truth.orders, profile="fibre")
    assert error(simulation, orders, FIBRES) < 0.12


@pytest.mark.parametrize("fraction", [0, 0.03, 0.1])
def test_bands_in_narrow_gaps_are_reported(fraction):
    plain = EchelleSimulation(
        shape=(60, 600), n_orders=5, seed=1, order_width=4, smallest_gap=5, psf_sigma=1.1,
        tilt=0.004, brightness_ratio=5,
    ).with_scattered_light(0.02)
    orders = plain.truth.orders
    flawed = plain.with_secondary_bands(-4.5, 1.1, fraction=fraction)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit_scattered_light(flawed.flats(1)[0], orders)
    texts = [str(warning.message) for warning in caught]
    assert any("does not fall off from their edges" in text for text in texts) == (fraction > 0)


def test_edges_are_not_doubted_where_orders_are_dark():
    plain = EchelleSimulation(shape=(256, 256), n_orders=4, seed=2).with_dark_end(0.15)
    fit_scattered_light(plain.flats(1)[0], plain.truth.orders)  # without a warning


@pytest.mark.filterwarnings("ignore:the light beside orders", "ignore:light on both sides")
def test_the_brightness_of_an_order_without_light_is_no_error_of_the_algebra():
    simulation = EchelleSimulation.random(172, flaws=True)
    fit_scattered_light(simulation.flats(1)[0], simulation.truth.orders)


@pytest.mark.parametrize("axis", [0, 1])
def test_orders_crossed_by_a_ghost_are_named(axis):
    plain = PLAIN if axis == 1 else replace(PLAIN, shape=(280, 240), dispersion_axis=0)
    ghosts = plain.with_ghosts(2, width=30, fraction=0.03)
    with pytest.warns(AstropyUserWarning, match=r"light on both sides of orders \[\d.*ghost"):
        fit_scattered_light(ghosts.flats(1)[0], ghosts.truth.orders)


def test_several_shapes_of_wings_do_not_make_the_light_in_narrow_gaps_negative():
    simulation = EchelleSimulation.random(79, flaws=True).with_noise(gain=10, read_noise=1)
    orders = simulation.truth.orders.shifted(0.06)
    assert error(simulation, orders, simulation) < 0.3


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("depth", [0, 1, 4, 9])
def test_borders_without_light_are_not_used(depth, axis):
    """Rows along the orders, and columns across them."""
    image = PLAIN.flats(1)[0].data
    expected = [(0, size) for size in image.shape]
    expected[axis] = depth, image.shape[axis] - depth
    turned = image.swapaxes(0, axis)
    turned[:depth] = turned[len(turned) - depth :] = 0
    everywhere = np.ones(image.shape, dtype=bool)
    orders = PLAIN.truth.orders
    lit = lit_rows_and_columns(image, everywhere, orders.lower(), orders.upper())
    assert lit == tuple(expected)


def test_bands_are_found_among_noise_and_cosmic_rays():
    wide = replace(PLAIN, shape=(240, 400))
    orders, rng = wide.truth.orders, np.random.default_rng(1)
    sample = Sample.drawn(np.ones(wide.shape, dtype=bool), orders.lower(), orders.upper(), 1)
    residuals = rng.normal(size=len(sample.rows))
    residuals[rng.random(len(residuals)) < 0.01] = 100
    noise, nothing = np.ones(len(residuals)), np.zeros(len(residuals))
    assert not stray_pixels(sample, residuals, noise, nothing, 400).any()
    band = (sample.columns > 100) & (sample.columns < 150)
    found = stray_pixels(sample, residuals + 2 * band, noise, nothing, 400)
    assert found[band].mean() > 0.95
    assert found[~band].mean() < 0.05
