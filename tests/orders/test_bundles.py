# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Traces that belong together: fibres of a bundle, slices of an order."""

import numpy as np
import pytest
from astropy.utils.exceptions import AstropyUserWarning
from numpy.testing import assert_allclose, assert_array_equal

from ccdproc_echelle import EchelleOrderTable, trace_orders
from ccdproc_echelle.orders.bundles import bundled, group_size, grouped
from ccdproc_echelle.simulation import EchelleSimulation

# Five orders of three fibres; their distance falls from order to order.
MIDDLES = np.array([30.0, 95.0, 155.0, 210.0, 260.0])
OFFSETS = np.array([-6.0, 0.0, 6.0])


def traces(keep=slice(None)) -> np.ndarray:
    bend = np.linspace(-1, 1, 40) ** 2
    return (MIDDLES[:, None] + OFFSETS).ravel()[keep, None] + 4 * bend


def flat_of_bundles(offsets) -> np.ndarray:
    rows = np.arange(300)[:, None]
    u = np.linspace(-1, 1, 320)
    centers = np.array([30 + 66 * k + 5 * u - 8 * u**2 for k in range(4)])
    light = sum(np.exp(-0.5 * ((rows - c - o) / 1.5) ** 2) for c in centers for o in offsets)
    return np.random.default_rng(4).poisson(50 + 2e4 * light), centers


def test_members_are_counted_from_the_lowest():
    bundle, member = bundled(traces(), 3)
    assert_array_equal(bundle, np.repeat(np.arange(5), 3))
    assert_array_equal(member, np.tile(np.arange(3), 5))


@pytest.mark.parametrize("missing", [0, 2, 7, 14])
def test_a_bundle_that_lacks_a_member(missing):
    with pytest.warns(AstropyUserWarning, match="1 of 5 bundles, at position .* fewer than 3"):
        bundle, member = bundled(traces(np.arange(15) != missing), 3)
    assert_array_equal(bundle, np.delete(np.repeat(np.arange(5), 3), missing))
    assert_array_equal(member, np.delete(np.tile(np.arange(3), 5), missing))


@pytest.mark.filterwarnings("ignore:1 of 5 bundles")
@pytest.mark.parametrize("missing", [None, 0, 7, 14])
def test_the_middle_of_the_slices(missing):
    kept = traces(np.arange(15) != missing)
    middles, residuals, columns = grouped(kept, np.full(len(kept), 0.2), 1, 3, 1)
    assert_allclose(middles, traces(np.arange(1, 15, 3)), atol=1e-9)
    assert_allclose(residuals, 0.2)
    assert columns == {}


@pytest.mark.parametrize(
    ("steps", "size"),
    [
        ([16, 39, 16, 42, 17, 45, 17], 2),
        ([39, 16, 42, 17, 45, 17], 2),  # of the first pair, only one is on the detector
        ([10, 10, 32, 11, 11, 38, 11, 11], 3),
        ([16, 39, 16], 2),
        ([16, 20, 16], 1),  # could be anything
        ([24, 20, 23, 27], 1),
        ([20, 20, 41, 21, 21, 22, 22], 1),  # an order is missing
        ([20, 21, 22, 23, 24], 1),
        ([20], 1),
    ],
)
def test_size_of_groups_that_nobody_asked_for(steps, size):
    places = 10.0 + np.cumsum([0, *steps])
    assert group_size(places[:, None]) == size


@pytest.mark.parametrize("gap", [3.0, 8.0])
def test_pairs_of_slits_that_are_traced_as_orders_are_named(gap):
    sim = EchelleSimulation(shape=(310, 320), n_orders=5, order_width=32, seed=2)
    flat = sim.with_slicer(2, gap=gap).flats(1)[0]
    with pytest.warns(AstropyUserWarning, match=r"10 orders .* groups of 2.* n_slices=2"):
        trace_orders(flat)
    assert_allclose(trace_orders(flat, n_slices=2).center(), sim.truth.orders.center(), atol=0.1)


@pytest.mark.filterwarnings(
    "ignore:orders .* are much closer", "ignore:neighbouring orders", "ignore:orders .* touch"
)
def test_slices_seen_apart_in_some_orders_only_are_not_traced_twice():
    sim = EchelleSimulation(shape=(300, 200), n_orders=4, order_width=40, seed=1, psf_sigma=0.7)
    orders = trace_orders(sim.with_slicer(2, gap=1).flats(1)[0], dispersion_axis=1)
    assert np.diff(orders.center([100])[:, 0]).min() > 50


@pytest.mark.parametrize(
    ("number", "message"),
    [(2, "do not form bundles of 2"), (4, "expected 4"), (16, "do not form bundles of 16")],
)
def test_bundles_of_another_number(number, message):
    with pytest.raises(ValueError, match=message):
        bundled(traces(), number)


def test_the_narrowest_gap_between_orders_resembles_the_widest_one_within_them():
    steps = np.array([18.5, 18.5, 22.8, 18.8, 18.8, 26.0, 19.2, 19.2, 32.4, 20.4, 20.4, 46.6])
    places = np.append(20, 20 + np.cumsum(steps))[:, None] + np.zeros(30)
    with pytest.warns(AstropyUserWarning, match="1 of 5 bundles, at position 302, have fewer than"):
        bundle, member = bundled(places, 3)
    assert_array_equal(bundle, np.arange(13) // 3)
    assert_array_equal(member[:12], np.tile([0, 1, 2], 4))


def test_evenly_spaced_traces_are_no_bundles():
    even = np.arange(12.0)[:, None] * 20 + np.zeros(30)
    with pytest.raises(ValueError, match="12 traces found do not form bundles of 3.*exclude"):
        bundled(even, 3)


@pytest.mark.parametrize("n", [2, 3])
def test_fibres_are_traced_and_named(n, tmp_path):
    offsets = 6.0 * (np.arange(n) - (n - 1) / 2)
    flat, centers = flat_of_bundles(offsets)
    orders = trace_orders(flat, n_fibres=n, first_order=70)
    wanted = (centers[:, None] + offsets[:, None]).reshape(4 * n, -1)
    assert_allclose(orders.center([160])[:, 0], wanted[:, 160], atol=0.1)
    assert_array_equal(orders.table["fibre"], np.tile(np.arange(1, n + 1), 4))
    assert_array_equal(orders.table["bundle"], np.repeat(70 + np.arange(4), n))
    orders.write(tmp_path / "orders.ecsv")
    for other in (
        orders.shifted(1), orders.rebinned(2), orders.cropped(np.s_[:, 20:200]),
        orders.transposed(), orders.flipped(1), orders.select(orders.order_numbers[::-1])
        .select(orders.order_numbers), orders.with_edges(wanted - 2, wanted + 2, degree=2),
        EchelleOrderTable.read(tmp_path / "orders.ecsv"),
    ):
        assert_array_equal(other.table["fibre"], orders.table["fibre"])
        assert_array_equal(other.table["bundle"], orders.table["bundle"])


def test_slices_are_one_order():
    flat, centers = flat_of_bundles(OFFSETS)
    orders = trace_orders(flat, n_slices=3)
    assert_allclose(orders.center([160])[:, 0], centers[:, 160], atol=0.3)
    assert "fibre" not in orders.table.colnames


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"n_fibres": 0}, "n_fibres is 0"),
        ({"n_slices": 1.5}, "n_slices is 1.5"),
        ({"n_fibres": 2, "n_slices": 3}, "expected at most one of them"),
    ],
)
def test_numbers_that_cannot_be(keywords, message):
    with pytest.raises(ValueError, match=message):
        trace_orders(np.zeros((50, 50)), **keywords)


def test_fibres_whose_light_hardly_falls_between_them_are_followed():
    rows, u = np.arange(130)[:, None], np.linspace(-1, 1, 400)
    true = np.array([20 + 25 * k + o + 2 * u - 3 * u**2 for k in range(4) for o in (-2.2, 2.2)])
    light = 50 + 15_000 * sum(np.exp(-0.5 * ((rows - c) / 1.2) ** 2) for c in true)
    flat = np.random.default_rng(5).poisson(light)
    assert_allclose(trace_orders(flat, n_fibres=2).center(), true, atol=0.1)


def test_orders_whose_slices_are_not_seen_apart_are_not_one_bundle():
    flat = np.random.default_rng(6).normal(0, 1, (130, 200))
    flat[20:50] += 100
    flat[80:110] += 100
    with pytest.warns(AstropyUserWarning, match="2 traces found fill the detector"):
        trace_orders(flat, n_slices=2)


def test_traces_that_nowhere_run_side_by_side_are_no_bundle():
    flat = np.random.default_rng(7).normal(0, 1, (120, 400))
    flat[30:42, :150] += 100
    flat[70:82, 250:] += 100
    with pytest.raises(ValueError, match="nowhere run side by side"):
        trace_orders(flat, n_slices=2, dispersion_axis=1)
    assert len(trace_orders(flat, n_fibres=2, dispersion_axis=1)) == 2
