# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Orders that cannot be as they were found are named in a warning."""

import numpy as np
import pytest
from astropy.nddata import CCDData
from astropy.utils.exceptions import AstropyUserWarning

from ccdproc_echelle import EchelleOrderTable, detect_order_edges, mask_interorder, trace_orders
from ccdproc_echelle.orders import width_jumps
from ccdproc_echelle.orders.plausible import warn_of_strange_edges
from ccdproc_echelle.simulation import EchelleSimulation
from helpers.orders import centers_only

SIMULATION = EchelleSimulation(shape=(256, 300), n_orders=6, seed=5)
ORDERS = SIMULATION.truth.orders
CENTERS = ORDERS.center()


def table(centers, **edges):
    return EchelleOrderTable.from_traces(
        np.arange(1, len(centers) + 1), centers, shape=(256, 300), dispersion_axis=1, **edges
    )


def test_good_edges_are_not_warned_about():
    (flat,) = SIMULATION.flats(1)
    detect_order_edges(flat, table(CENTERS))


@pytest.mark.parametrize("k", [0, 3, 5])
def test_order_half_in_the_dark(k):
    (flat,) = SIMULATION.flats(1)
    rows = np.arange(256)[:, None]
    flat.data *= np.where((rows > CENTERS[k] - 1) & (rows < CENTERS[k] + 12), 0.01, 1)
    with pytest.warns(AstropyUserWarning, match=rf"orders \[{k + 1}\] are doubtful: the width"):
        detect_order_edges(flat, table(CENTERS))


@pytest.mark.parametrize("first, last", [(0, 150), (100, 300), (60, 270)])
def test_order_that_ends_where_its_light_goes_on(first, last):
    (flat,) = SIMULATION.flats(1)
    centers = CENTERS.copy()
    centers[2, :first] = centers[2, last:] = np.nan
    with pytest.warns(AstropyUserWarning, match=r"orders \[3\] end in the order table while their"):
        detect_order_edges(flat, table(centers))


def test_order_that_ends_with_its_light():
    (flat,) = SIMULATION.flats(1)
    centers = CENTERS.copy()
    centers[:, 200:] = np.nan
    flat.data[:, 200:] *= 0.01
    detect_order_edges(flat, table(centers))


def test_edges_that_cross():
    lower, upper = CENTERS - 8, CENTERS + 8
    lower[1, 200:], upper[3] = CENTERS[1, 200:] + 9, CENTERS[3] + 40
    with pytest.warns(AstropyUserWarning, match="in orders .2. the lower edge deviates by up to"):
        orders = table(CENTERS, lower=lower, upper=upper)
    with pytest.warns(AstropyUserWarning) as caught:
        warn_of_strange_edges(orders, np.zeros(len(orders)))
    messages = [str(warning.message) for warning in caught]
    assert "orders [2] are doubtful: the lower edge lies above the upper one" in messages[0]
    assert "orders [4, 5] are doubtful: the edges reach into the neighbouring" in messages[1]


@pytest.mark.filterwarnings("ignore:edges of orders .* could be measured")
def test_an_order_that_widens_unlike_the_others():
    simulation = EchelleSimulation.random(54008, flaws=True)  # its last orders fade at one end
    flat, orders = simulation.flats(1)[0], centers_only(simulation.truth.orders)
    flat.mask = None
    with pytest.warns(AstropyUserWarning, match=r"orders \[24, 25\] are doubtful: the distance"):
        detect_order_edges(flat, orders)


def test_width_jumps():
    width = np.linspace(14, 20, 6)[:, None]
    smooth = table(CENTERS, lower=CENTERS - width / 2, upper=CENTERS + width / 2)
    np.testing.assert_allclose(width_jumps(smooth), 0, atol=0.03)
    width[4] *= 0.6
    jump = table(CENTERS, lower=CENTERS - width / 2, upper=CENTERS + width / 2)
    np.testing.assert_allclose(width_jumps(jump), [0, 0, 0, 0, -0.4, 0], atol=0.05)
    assert np.isnan(width_jumps(smooth.select([1, 2]))).all()


def with_edges(lower, upper):
    return table(0.5 * (lower + upper), lower=lower, upper=upper)


MISPLACED = {
    "half as wide": (0.25, -0.25),
    "twice as wide": (-0.5, 0.5),
    "shifted by a third": (0.35, 0.35),
    "between the orders": (1.2, 1.2),
}


@pytest.mark.parametrize("kind", MISPLACED)
def test_edges_that_are_not_those_of_the_flat(kind):
    (flat,), lower, upper = SIMULATION.flats(1), ORDERS.lower(), ORDERS.upper()
    lower, upper = (edge + part * (upper - lower)
                    for edge, part in zip((lower, upper), MISPLACED[kind], strict=True))
    with pytest.warns(AstropyUserWarning, match="edges of orders .* not where their light ends"):
        mask_interorder(flat, with_edges(lower, upper))


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_edges_of_another_binning(factor):
    (flat,) = SIMULATION.flats(1)
    with pytest.warns(AstropyUserWarning, match="another binning or set-up"):
        mask_interorder(flat, with_edges(factor * ORDERS.lower(), factor * ORDERS.upper()))


@pytest.mark.parametrize(
    "sim",
    [
        SIMULATION,
        SIMULATION.with_fibres(sigma=2.0),
        SIMULATION.with_fibres(3, sigma=1.3, pitch=6.0),
        EchelleSimulation(shape=(300, 320), n_orders=5, order_width=27.0).with_slicer(3),
        EchelleSimulation(shape=(256, 300), n_orders=6, order_width=4.0, cut_orders=True),
    ],
)
def test_edges_of_the_flat_and_slightly_narrower_ones_are_accepted(sim):
    (flat,), orders = sim.flats(1), sim.truth.orders
    mask_interorder(flat, orders)
    mask_interorder(flat, orders, margin=-2)
    mask_interorder(mask_interorder(flat, orders), orders)
    mask_interorder(mask_interorder(flat, orders, mask=False), orders)


def test_edges_on_noise_alone_are_accepted():
    noise = np.random.default_rng(0).normal(0, 1, (256, 300))
    for level in (0, 100):
        mask_interorder(CCDData(noise + level, unit=""), ORDERS)


@pytest.mark.filterwarnings(
    "ignore:gap in the spacing", "ignore:the .* orders", "ignore:neighbouring orders differ",
    "ignore:orders .* are much closer to one",
)
def test_flats_whose_gaps_were_filled_are_named():
    flat = SIMULATION.flats(1)[0].data
    flat = np.where(ORDERS.order_map() > 0, flat / np.median(flat[ORDERS.inner_mask(4)]), 1.0)
    with pytest.warns(AstropyUserWarning, match="% of the pixels of the flat have the value 1: "):
        trace_orders(flat)


def test_background_that_was_cut_at_zero_is_no_filled_gap():
    flat = SIMULATION.flats(1)[0].data
    trace_orders(np.maximum(flat - 50, 0))


def test_slits_whose_light_falls_in_two_steps_are_named():
    (flat,), rows = SIMULATION.flats(1), np.arange(256)[:, None]
    for lower, upper in zip(ORDERS.lower(), ORDERS.upper(), strict=True):
        dim = (rows > lower + 0.65 * (upper - lower)) & (rows < upper + 4)
        flat.data[dim] *= 0.35
    with pytest.warns(AstropyUserWarning, match="beyond an edge that falls off in a second step"):
        detect_order_edges(flat, table(CENTERS))


def test_edges_of_an_order_that_is_listed_twice():
    (flat,), shift = SIMULATION.flats(1), np.array([[0], [0], [0], [4], [0], [0], [0]])
    rows = [0, 1, 2, 2, 3, 4, 5]
    lower, upper = ORDERS.lower()[rows] + shift, ORDERS.upper()[rows] + shift
    mask_interorder(flat, with_edges(lower, upper))


def test_edges_of_orders_of_a_few_pixels():
    (flat,), centers = SIMULATION.flats(1), CENTERS.copy()
    centers[2, 14:] = centers[2, :6] = np.nan
    short = table(centers, lower=ORDERS.lower() + 0 * centers, upper=ORDERS.upper() + 0 * centers)
    mask_interorder(flat, short)
