# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Something beside an order that is traced is never traced in silence."""

import warnings
from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import pytest

from ccdproc_echelle import trace_orders
from ccdproc_echelle.orders.neighbours import warn_of_uneven_spacing
from ccdproc_echelle.orders.touching import split_touching, warn_of_touching
from ccdproc_echelle.simulation import EchelleSimulation


def four_orders():
    return EchelleSimulation(shape=(256, 256), n_orders=4, seed=1)  # 22 to 24 pixels wide


def messages(flat, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        orders = trace_orders(flat, **options)
    return orders, " ".join(str(warning.message) for warning in caught)


@pytest.mark.parametrize("width", [8, 10, 12, 14, 16, 18, 20])
@pytest.mark.parametrize("gap", [1.5, 3, 6])
def test_bands_beside_the_orders_are_left_out_or_noticed(width, gap):
    sim = four_orders()
    flat = sim.with_secondary_bands(0.5 * (23 + width) + gap, width).flats(1)[0]
    orders, told = messages(flat)
    true = sim.truth.orders.center()
    same = len(orders) == 4 and np.nanmax(np.abs(orders.center() - true)) < 1
    assert same or "bands beside the orders" in told


def test_a_few_such_bands_are_named():
    _, told = messages(four_orders().with_secondary_bands(25, 14).flats(1)[0])
    assert "at positions [21, 46, 80] they are [22, 14, 23] pixels wide" in told
    assert "orders [2, 3] are much closer to one neighbour than to the other" in told


def test_the_advice_helps():
    sim = four_orders()
    orders, told = messages(sim.with_secondary_bands(25, 14).flats(1)[0], min_width=18)
    assert np.nanmax(np.abs(orders.center() - sim.truth.orders.center())) < 0.3
    assert told == ""


@pytest.mark.parametrize("width, told", [(25, 0), (34, 1)])
def test_a_band_too_wide_to_be_traced_is_noticed(width, told):
    section = np.arange(8)
    bands = SimpleNamespace(section=section, center=np.full(8, 90.0), width=np.full(8, width),
                            light=np.full(8, 100.0 * width))
    orders = [{"label": at, "width": 20, "light": 2000, "split": 0} for at in (30, 150)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_touching(bands, orders, lambda labels, sections: labels, len(section))
    assert len(caught) == told
    assert all("34 pixels wide, is not traced" in str(warning.message) for warning in caught)


@pytest.mark.parametrize("light, n_parts", [(100, 2), (1, 0)])
def test_a_band_too_faint_for_orders_is_not_divided(light, n_parts):
    bands = namedtuple("Bands", "section center width cut light split")(
        section=np.repeat([0, 1], 4), center=np.tile([20.0, 40, 65, 90], 2), cut=np.zeros(8),
        width=np.array([10.0, 10, 20, 10, 10, 10, 10, 10]), split=np.zeros(8, dtype=bool),
        light=np.array([50.0, 50, light, 50, 50, 50, 50, 50]),
    )
    divided, _ = split_touching(bands, np.full(8, 10.0))
    assert divided.split.sum() == n_parts


@pytest.mark.parametrize("seed", range(4))
def test_orders_alone_are_not_warned_about(seed):
    sim = EchelleSimulation(
        shape=(300, 256), n_orders=4 + seed, seed=seed, order_width=12, brightness_ratio=30
    )
    assert messages(sim.flats(1)[0])[1] == ""


@pytest.mark.parametrize("spacings, uneven", [
    ([50, 55, 60], []), ([60, 25, 44, 78], [5, 6, 7]), ([60, np.nan, 25], []), ([40], []),
    ([78, 72, 70, 76, 113], []), ([169, 232, 325], []),  # GNIRS, orders 8 to 3 and 6 to 3
    ([30, 29, 30, 39, 28], [8]),
])
def test_spacing_changes_slowly(spacings, uneven):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_uneven_spacing(np.array(spacings), np.arange(4, 5 + len(spacings)))
    told = [str(warning.message) for warning in caught]
    assert len(told) == bool(uneven)
    assert all(f"orders {uneven} are much closer" in one for one in told)


def test_traces_that_cross_are_much_too_close():
    spacings = np.array([20.0, 21.0, -2.0, 21.0, 20.0])
    with pytest.warns(match=r"orders \[3, 4\] are much closer to one neighbour"):
        warn_of_uneven_spacing(spacings, np.arange(1, 7))
