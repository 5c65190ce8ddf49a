# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tracing where detectors are not ideal: patterns, narrow orders, dark borders, gaps, corners."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning
from scipy.special import erf

from ccdproc_echelle import EchelleOrderTable, detect_order_edges, trace_orders
from ccdproc_echelle.orders.numbering import numbered
from ccdproc_echelle.simulation import EchelleSimulation


def assert_traced(found, centers, limit=0.1):
    """As many orders, each of them near the true one, RMS."""
    assert len(found) == len(centers)
    assert np.sqrt(np.nanmean((found.center() - centers) ** 2, axis=1)).max() < limit


# ---------------------------------------------------------------------- patterns


@pytest.mark.parametrize("width", [40, 12])
@pytest.mark.parametrize(
    "pattern",
    [{"ripple": 10}, {"ripple": 40, "period": 13}, {"rows": 6}, {"rows": 100}, {"columns": 50}],
)
def test_patterns_of_the_readout_are_no_orders(width, pattern):
    sim = EchelleSimulation(
        shape=(400, 400), n_orders=4, order_width=width, peak=10_000, brightness_ratio=2, seed=2
    )
    flat = sim.with_fixed_pattern(**pattern).flats(1)[0]
    assert_traced(trace_orders(flat), sim.truth.orders.center(), limit=0.25)


def test_faint_orders_stand_above_a_faint_pattern():
    sim = EchelleSimulation(shape=(400, 400), n_orders=14, brightness_ratio=50, seed=1)
    assert_traced(
        trace_orders(sim.with_fixed_pattern(rows=3).flats(1)[0]), sim.truth.orders.center()
    )


# ---------------------------------------------------------------------- narrow orders


def narrow(n_orders, *, step, bend, ratio=100):
    """Orders two pixels wide, and their centres."""
    rows, u, rng = np.arange(160)[:, None], np.linspace(-1, 1, 600), np.random.default_rng(2)
    places = 14 + np.cumsum(np.linspace(step, 1.5 * step, n_orders))
    centers = places[:, None] + bend * u**2
    light = 20_000 * np.geomspace(1, 1 / ratio, n_orders)
    image = 30 + sum(
        a * np.sinc(0.6 * u) ** 2 * (erf((rows - c + 1) / 0.8) - erf((rows - c - 1) / 0.8))
        for a, c in zip(light, centers, strict=True)
    )
    return rng.poisson(image) + rng.normal(0, 4, image.shape), centers


@pytest.mark.parametrize("n_orders, step", [(24, 4), (8, 11)])
@pytest.mark.parametrize("bend", [0.5, -8])
def test_orders_two_pixels_wide_are_no_hot_columns(n_orders, step, bend):
    image, centers = narrow(n_orders, step=step, bend=bend)
    assert_traced(trace_orders(image, dispersion_axis=1), centers, limit=0.15)


def test_orders_two_pixels_wide_that_hardly_leave_a_row():
    rows, u = np.arange(160)[:, None], np.linspace(-1, 1, 300)
    centers = np.arange(15, 145, 5)[:, None] + 0.3 * u
    light = sum(erf((rows - c + 1) / 0.7) - erf((rows - c - 1) / 0.7) for c in centers)
    image = np.random.default_rng(3).poisson(50 + 4000 * light)
    assert_traced(trace_orders(image, dispersion_axis=1), centers, limit=0.15)


def test_a_hot_row_among_narrow_orders():
    image, centers = narrow(20, step=4, bend=-10)
    image[75] = 40_000
    assert_traced(trace_orders(image, dispersion_axis=1), centers, limit=0.15)


def test_real_orders_two_pixels_wide(data_dir):
    flat = fits.getdata(data_dir / "dv435" / "ccd_flat1.fits.gz").astype(float)
    pattern = (np.loadtxt(data_dir / "dv435" / "pattern.txt").T + 0.5) / 8 - 0.5
    found = trace_orders(flat)
    assert found.order_numbers.tolist() == list(range(1, 29))
    assert np.nanmedian(np.abs(found.center() - pattern), axis=1).max() < 0.3


# The faintest orders are too faint in places. Where few pixels show an order, its model diverges.
@pytest.mark.filterwarnings("ignore:edges of orders")
def test_edges_of_real_orders_two_pixels_wide(data_dir):
    flat, dark = (
        fits.getdata(data_dir / "dv435" / f"ccd_{name}.fits.gz").astype(float)
        for name in ("flat1", "bkg")
    )
    found = detect_order_edges(flat - dark, trace_orders(flat - dark), profile="slit")
    widths = np.nanmedian(found.upper() - found.lower(), axis=1)
    assert widths.min() > 1 and widths.max() < 2


# ---------------------------------------------------------------------- borders, partial orders


def cut_orders(n_dark):
    """The top one of five orders runs off the detector, whose border is dark."""
    rows, u, rng = np.arange(300)[:, None], np.linspace(-1, 1, 200), np.random.default_rng(1)
    centers = np.array([283 - 58 * k - 25 * u**2 for k in range(4, -1, -1)])
    light = 50 + 1000 * sum(
        erf((rows - c + 25) / 1.5) - erf((rows - c - 25) / 1.5) for c in centers
    )
    image = rng.poisson(light).astype(float)
    image[:n_dark] = rng.normal(5, 2, (n_dark, 200))
    image[300 - n_dark :] = rng.normal(5, 2, (n_dark, 200))
    return image, centers


@pytest.mark.parametrize("n_dark", [0, 4, 8])
@pytest.mark.parametrize("level", [0, 500])
def test_reference_pixels_are_no_edge(n_dark, level):
    image, centers = cut_orders(n_dark)
    found = detect_order_edges(image + level, trace_orders(image + level))
    assert_traced(found, centers, limit=0.15)
    assert np.abs(found.lower() - centers + 25).max() < 0.3
    assert np.abs(found.upper()[:-1] - centers[:-1] - 25).max() < 0.3


# Edges of the order in the corner are extrapolated, and warned about.
@pytest.mark.filterwarnings("ignore:edges of orders")
def test_an_order_in_the_corner_leaves_its_neighbour_alone():
    rows, u = np.arange(400)[:, None], np.linspace(-1, 1, 400)
    centers = np.array([392 - 58 * k - 41 * (u + 0.5) ** 2 for k in (4, 3, 2, 1, 0, -1)])
    light = 50 + 1000 * sum(
        erf((rows - c + 25) / 1.8) - erf((rows - c - 25) / 1.8) for c in centers
    )
    orders = EchelleOrderTable.from_traces(
        range(1, 7), np.where((centers < 399.5) & (centers > -0.5), centers, np.nan),
        shape=(400, 400), dispersion_axis=1,
    )
    image = np.random.default_rng(1).poisson(light).astype(float)
    found = detect_order_edges(image, orders.shifted(3))
    assert (found.table["lower_measured"][3:5] > 0.9).all()
    off = np.abs(found.lower()[1:5] - (centers - 25)[1:5])
    assert np.nanmax(np.where((centers - 25)[1:5] > 5, off, np.nan)) < 0.3


# ---------------------------------------------------------------------- what the user knows


def beside():
    """Orders with a narrower band beside each."""
    sim = EchelleSimulation(
        shape=(400, 500), n_orders=6, order_width=20, brightness_ratio=2, smallest_gap=30,
        curvature=0.01, seed=3,
    )
    return sim, sim.with_secondary_bands(24, 10).flats(1)[0]


def test_number_and_widths_choose_the_orders():
    sim, flat = beside()
    centers = sim.truth.orders.center()
    assert_traced(trace_orders(flat, n_orders=6), centers)
    assert_traced(trace_orders(flat, min_width=15), centers)
    assert_traced(trace_orders(flat, max_width=15), centers + 24, limit=0.3)
    bright = trace_orders(flat, n_orders=3)
    assert_traced(bright, centers[:3])


@pytest.mark.parametrize("axis", [0, 1])
def test_table_of_a_region_is_that_of_the_whole_detector(axis):
    sim = EchelleSimulation(shape=(300, 400), n_orders=6, seed=2)
    flat, centers = sim.flats(1)[0].data, sim.truth.orders.center()
    low = int(0.5 * (centers[1] + centers[2]).mean())
    region = np.s_[low:, 50:350]
    if axis == 0:
        flat, region = flat.T, region[::-1]
    found = trace_orders(flat, region=region)
    assert found.shape == flat.shape and found.dispersion_axis == axis
    assert_traced(found, centers[2:])
    assert np.isfinite(found.center()).any(axis=0).nonzero()[0][[0, -1]].tolist() == [50, 349]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"n_orders": 0}, "n_orders is 0, expected an integer of at least 1"),
        ({"min_width": -1}, "min_width is -1, expected more than 0"),
        ({"min_width": 9, "max_width": 8}, "min_width is 9, expected less than max_width, 8"),
        ({"region": np.s_[::2]}, "region is slice.*expected a slice of rows"),
        ({"region": 5}, "region is 5, expected a slice of rows"),
        ({"region": np.s_[:10]}, r"^region of the flat has shape \(10, 400\), expected"),
        ({"min_width": 8, "min_signal_to_noise": 9}, "9 times the noise and are at least 8 pixels"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        trace_orders(np.zeros((300, 400)), **options)


def test_fewer_orders_than_expected():
    flat = EchelleSimulation(shape=(200, 300), n_orders=3, seed=2).flats(1)[0]
    with pytest.warns(AstropyUserWarning, match="^3 orders found, expected 5"):
        trace_orders(flat, n_orders=5)


# ---------------------------------------------------------------------- holes in the spacing


def test_a_missing_order_keeps_its_number():
    sim = EchelleSimulation(shape=(500, 400), n_orders=10, seed=2).with_faint_order(15, factor=0)
    with pytest.warns(AstropyUserWarning, match="order 75 between orders 74 and 76 may be missing"):
        found = trace_orders(sim.flats(1)[0], first_order=71)
    assert found.order_numbers.tolist() == [71, 72, 73, 74, 76, 77, 78, 79, 80]


def places(spacings):
    return np.repeat(np.cumsum([10, *spacings])[:, None], 9, axis=1).astype(float)


def test_two_missing_orders():
    with pytest.warns(AstropyUserWarning, match=r"orders \[4, 5\] between orders 3 and 6"):
        numbers = numbered(places([10, 10, 32, 11, 11, 12, 12]), 1)
    assert numbers.tolist() == [1, 2, 3, 6, 7, 8, 9, 10]


@pytest.mark.filterwarnings("ignore:orders .* are much closer to one")
@pytest.mark.parametrize(
    "spacings",
    [np.linspace(10, 40, 12), [10, 20, 10], [10, 25] * 5, [10, 11, 12, 18, 13, 14, 15, 16]],
)
def test_spacings_that_are_no_hole(spacings):
    assert numbered(places(spacings), 1).tolist() == list(range(1, len(spacings) + 2))


def test_orders_beyond_a_single_bright_one():
    simulation = EchelleSimulation(shape=(400, 400), n_orders=9, seed=2, brightness_ratio=4)
    truth = simulation.truth
    lower, upper = (edge[4] for edge in (truth.orders.lower(), truth.orders.upper()))
    rows = np.arange(400)[:, None]
    flat = simulation.flats(1)[0].data
    flat = np.where((rows > lower - 5) & (rows < upper + 5), 40 * flat, flat)
    found = trace_orders(flat)
    assert_traced(found, truth.orders.center())


@pytest.mark.parametrize("seed", [
    50082,  # the path beyond the light lies hundreds of pixels off
    51079,  # centres of a pattern and of ghosts are found in the dark
    53038,  # an order that is hardly seen at its dark end is no row of the detector
    54006,  # the feet of orders 4 pixels wide are no pattern of the detector
    41037,  # faint light that leaves the path of a fibre is no other fibre
])
def test_orders_that_fade_are_found_and_followed(seed):
    simulation = EchelleSimulation.random(seed, flaws=True)
    true, blaze = simulation.truth.orders, simulation.truth.blaze
    flat = simulation.flats(1)[0]
    flat.mask = None
    orders = trace_orders(
        flat,
        dispersion_axis=simulation.dispersion_axis,
        n_slices=getattr(simulation.order_profile, "n", 1),
    )
    assert len(orders) == len(true)
    off = np.abs(orders.center() - true.center())
    assert np.nanmax(off[blaze > 0.03 * blaze.max(axis=1, keepdims=True)]) < 1


def test_a_short_order_beside_one_that_the_border_cuts():
    rows, columns = np.mgrid[:240, :500]
    away = rows - 0.07 * columns
    flat = np.random.default_rng(0).normal(10, 3, rows.shape)
    for place, last in ((-2, 500), (50, 250), (102, 500), (154, 500)):
        flat += 1000 * (np.abs(away - place) < 20) * (columns < last)
    assert len(trace_orders(flat)) == 4


def test_an_order_left_out_at_the_border_is_pointed_out():
    simulation = EchelleSimulation.random(54078, flaws=True)
    flat = simulation.flats(1)[0]
    flat.mask = None
    with pytest.warns(AstropyUserWarning, match="position 5, beyond the first order found"):
        orders = trace_orders(flat, dispersion_axis=simulation.dispersion_axis)
    assert len(orders) == simulation.n_orders - 1
