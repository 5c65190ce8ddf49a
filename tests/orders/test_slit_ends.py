# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Light that is not that of an evenly lit slit: dust on it, bright spots, and bands beside it."""

import numpy as np
import pytest
from astropy.utils.exceptions import AstropyUserWarning

from ccdproc_echelle import EchelleOrderTable, detect_order_edges
from ccdproc_echelle.simulation import EchelleSimulation
from ccdproc_echelle.simulation.geometry import slit_image

N_ROWS, BLAZE = 300, 20_000 * np.sinc(np.linspace(-0.75, 0.75, 300)) ** 2
CENTERS = 30 + 48 * np.arange(6)[:, None] + np.linspace(0, 4, 300)
ORDERS = EchelleOrderTable.from_traces(
    np.arange(1, 7), CENTERS, shape=(N_ROWS, 300), dispersion_axis=1)


def flat_of(*bands):
    """Orders that consist of bands, each with the offsets of its ends and its brightness."""
    light = sum(
        slit_image(N_ROWS, CENTERS + low, CENTERS + high, fraction * BLAZE[None].repeat(6, axis=0),
                   sigma=1.0, slope=0.0)
        for low, high, fraction in bands
    )
    rng = np.random.default_rng(1)
    return rng.poisson(100 + light * rng.normal(1, 0.01, light.shape)).astype(float)


@pytest.mark.parametrize("fraction", [0.3, 0.7, 1.5, 2.0])
def test_shadows_and_spots_at_an_end_of_the_slit_are_named(fraction):
    for rest, end in (((-10, 6), (6, 10)), ((-5, 10), (-10, -5))):
        flat = flat_of((*rest, 1.0), (*end, fraction))
        with pytest.warns(AstropyUserWarning, match=r"orders \[1, 2, 3, 4, 5, 6\] have light that"):
            detect_order_edges(flat, ORDERS)


@pytest.mark.parametrize("gap", [4, 8])
def test_second_slices_that_are_not_in_the_table_are_named(gap):
    flat = flat_of((-6, 6, 1.0), (6 + gap, 18 + gap, 0.7))
    with pytest.warns(AstropyUserWarning, match=r"orders \[1, 2, 3, 4, 5, 6\] have another band"):
        edges = detect_order_edges(flat, ORDERS)
    assert np.abs(edges.upper() - CENTERS - 6).max() < 0.2


@pytest.mark.parametrize("threshold", [0.2, 0.8, (0.2, 0.4)])
def test_nothing_is_said_of_edges_at_another_level(threshold):
    sim = EchelleSimulation(shape=(300, 320), n_orders=5, seed=3)
    detect_order_edges(sim.flats(1)[0], sim.truth.orders, threshold=threshold)


@pytest.mark.parametrize("slope", [-0.4, 0.4])
def test_nothing_is_said_of_a_slit_that_is_lit_from_one_side(slope):
    sim = EchelleSimulation(shape=(300, 320), n_orders=5, slit_slope=slope, seed=3)
    detect_order_edges(sim.flats(1)[0], sim.truth.orders)


def test_nothing_is_said_of_a_single_order_that_is_not_in_the_table():
    sim = EchelleSimulation(shape=(300, 320), n_orders=6, seed=3)
    detect_order_edges(sim.flats(1)[0], sim.truth.orders.select([11, 12, 14, 15, 16]))
