# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Dead, hot and masked detector rows along the orders: neither edges nor ends of orders."""

import numpy as np
import pytest
from astropy.nddata import CCDData
from scipy.special import ndtr

from ccdproc_echelle import detect_order_edges, trace_orders
from ccdproc_echelle.orders import bad_row_pixels, rough_order_edges
from ccdproc_echelle.orders.bad_rows import bad_rows, without_bad_rows
from ccdproc_echelle.simulation import EchelleSimulation

SIMULATION = EchelleSimulation(shape=(200, 300), n_orders=4, seed=2)
ORDERS = SIMULATION.truth.orders
ROW = int(np.median(ORDERS.center()[1]))


def flat_with(rows, kind, first=0):
    """A flat with bad rows from a dispersion pixel on, and which pixels are bad."""
    (flat,) = SIMULATION.flats(1)
    bad = np.zeros(flat.shape, dtype=bool)
    bad[rows, first:] = True
    if kind == "masked":
        flat.mask = bad
    elif kind == "hot":
        flat.data[bad] += 4 * np.median(flat.data[ROW])
    else:
        flat.data[bad] *= {"dead": 0.01, "low": 0.3}[kind]
    return flat, bad


@pytest.mark.parametrize("find", [detect_order_edges, rough_order_edges])
@pytest.mark.parametrize("kind", ["dead", "low", "hot", "masked"])
@pytest.mark.parametrize("rows", [[ROW - 4], [ROW + 3, ROW + 4], [ROW]])
def test_edges_are_not_at_bad_rows(rows, kind, find):
    found = find(flat_with(rows, kind, first=80)[0], ORDERS)
    off = [found.lower() - ORDERS.lower(), found.upper() - ORDERS.upper()]
    assert np.nanmax(np.abs(off)) < 0.2


@pytest.mark.parametrize("kind", ["dead", "low", "hot"])
@pytest.mark.parametrize("first", [0, 120])
def test_bad_rows_are_found(kind, first):
    flat, bad = flat_with([ROW - 4, ROW + 2, ROW + 3], kind, first)
    found = bad_row_pixels(flat, 1)
    inside = ORDERS.order_map(margin=-2) > 0
    assert found[bad & inside].mean() > 0.95
    assert found[~bad & inside].mean() < 5e-3  # it begins within a few pixels of where it was seen
    turned = CCDData(flat.data.T, unit="adu")
    np.testing.assert_array_equal(bad_row_pixels(turned, 0), found.T)


@pytest.mark.parametrize("seed", range(6))
def test_clean_flats_have_no_bad_rows(seed):
    simulation = EchelleSimulation.random(seed)
    (flat,) = simulation.flats(1)
    assert not bad_row_pixels(flat, simulation.truth.orders.dispersion_axis).any()


@pytest.mark.parametrize("width", [2, 3, 4])
@pytest.mark.parametrize("blur", [0.5, 0.7, 1.2])
@pytest.mark.parametrize("sign", [1, -1])
def test_straight_narrow_orders_and_gaps_are_no_bad_rows(width, blur, sign):
    rows = np.arange(60)
    light = sum(
        ndtr((rows - c + width / 2) / blur) - ndtr((rows - c - width / 2) / blur)
        for c in (10.0, 20.3, 30.5, 45.7)
    )
    sections = np.tile(3000 * (1 + sign * light / 1.01), (40, 1))
    assert not bad_rows(sections, 10).any()


def test_masked_rows_are_bridged_and_wide_gaps_are_not():
    sections = np.tile(np.arange(30.0), (8, 1))
    sections[:, 4:8] = sections[:, 12:17] = np.nan
    bridged = without_bad_rows(sections, 10)
    np.testing.assert_allclose(bridged[:, :12], np.tile(np.arange(12.0), (8, 1)))
    assert np.isnan(bridged[:, 12:17]).all()


@pytest.mark.parametrize("kind", ["dead", "hot", "masked"])
@pytest.mark.parametrize("rows", [[62], [40, 41, 59]])
def test_orders_are_followed_past_bad_rows(rows, kind):
    rng = np.random.default_rng(0)
    data = rng.poisson(100, (150, 400)).astype(float)
    for center in (50, 110):
        data[center - 15 : center + 16] += rng.poisson(5000, (31, 400))
    bad = np.zeros(data.shape, dtype=bool)
    bad[rows, 200:] = True
    data = data + 3000 * bad if kind == "hot" else data * ~bad if kind == "dead" else data
    orders = trace_orders(CCDData(data, unit="adu", mask=bad if kind == "masked" else None))
    np.testing.assert_allclose(orders.center(), [[50] * 400, [110] * 400], atol=0.2)


@pytest.mark.parametrize("kind", ["dead", "hot"])
@pytest.mark.parametrize("off", [-1, 0, 1])
def test_a_bad_row_beside_an_edge_is_bridged(off, kind):
    simulation = EchelleSimulation(
        shape=(200, 300), n_orders=3, seed=4, curvature=0.005, tilt=0.005, order_width=24.0
    )
    truth = simulation.truth.orders
    flat = simulation.flats(1)[0].data
    row = int(np.rint(np.median(truth.upper()[1]))) + off
    flat[row] = 0 if kind == "dead" else 60_000
    assert_close(detect_order_edges(flat, truth), truth, 0.3)


def test_two_hot_rows_with_a_good_one_between_them_are_found_beside_an_edge():
    flat, bad = flat_with([], "hot")
    row = int(np.ceil(ORDERS.upper()[1].max())) + 1
    bad[[row, row + 2]] = True
    flat.data[bad] = 65535
    assert bad_row_pixels(flat, 1)[bad].mean() > 0.95


def test_three_bad_rows_side_by_side_are_bridged():
    simulation = EchelleSimulation(shape=(200, 300), n_orders=3, seed=4, order_width=24.0)
    truth = simulation.truth.orders
    flat = simulation.flats(1)[0].data
    row = int(truth.center([150])[1, 0])
    flat[row : row + 3] *= 0.01
    assert_close(detect_order_edges(flat, truth), truth, 0.3)


def test_a_dead_row_in_a_wide_order_is_not_midway_between_two():
    simulation = EchelleSimulation(shape=(420, 300), n_orders=3, seed=4, order_width=105.0)
    truth = simulation.truth.orders
    flat = simulation.flats(1)[0].data
    flat[int(truth.lower([150])[1, 0]) + 8] = 0
    assert_close(detect_order_edges(flat, truth), truth, 0.3)


def assert_close(found, truth, limit):
    for name in ("lower", "upper"):
        assert np.abs(getattr(found, name)() - getattr(truth, name)()).max() < limit
