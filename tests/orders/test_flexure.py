# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Flexure: known shifts of simulated spectrographs, and tables that do not belong to the frame."""

from functools import cache

import numpy as np
import pytest
from astropy.nddata import CCDData
from numpy.testing import assert_allclose
from scipy.ndimage import shift as spline_shift
from scipy.special import ndtr

from ccdproc_echelle.orders import EchelleOrderTable
from ccdproc_echelle.orders.flexure import (
    OrderShift,
    frame_shift,
    measure_shift,
    recenter,
    recentre,
)
from ccdproc_echelle.simulation import EchelleSimulation
from helpers.orders import centers_only

# 5 to 28 orders, gaps from 3 pixels, both axes, cut orders, brightness ratios up to 80.
SPECTROGRAPHS = [0, 3, 8, 12, 19, 27, 29, 44]


def simulation(**kwargs) -> EchelleSimulation:
    return EchelleSimulation(**({"shape": (256, 300), "n_orders": 6, "tilt": 0.03} | kwargs))


@cache
def spectrograph(seed):
    """The orders of one of these, and a flat."""
    sim = EchelleSimulation.random(seed).with_cosmic_rays(200, length=5)
    return sim.truth.orders, sim.flats(1)[0]


def smallest_distance(orders) -> float:
    return np.nanmin(np.diff(orders.center(), axis=0))


def with_number(orders, n) -> EchelleOrderTable:
    """Another number of orders over the same room."""
    centers = orders.center()
    place = np.linspace(0, len(orders) - 1, n)
    traces = [[np.interp(p, np.arange(len(orders)), column) for column in centers.T]
              for p in place]
    return EchelleOrderTable.from_traces(
        np.arange(n) + 1, traces, shape=orders.shape, dispersion_axis=orders.dispersion_axis)


# ---------------------------------------------------------------------- of a table


@pytest.mark.parametrize("seed", SPECTROGRAPHS)
@pytest.mark.parametrize("fraction", [-0.4, 0.13])
def test_a_shifted_table_is_found_back(seed, fraction):
    orders, flat = spectrograph(seed)
    shift = fraction * smallest_distance(orders)
    with_edges = measure_shift(flat, orders.shifted(-shift))
    from_centers = measure_shift(flat, centers_only(orders, degree=2).shifted(-shift))
    assert abs(with_edges.shift - shift) < 0.02
    assert abs(from_centers.shift - shift) < 0.1
    for found in (with_edges, from_centers):
        assert abs(found.shift - shift) < 5 * found.uncertainty
        assert 0.99 < found.match <= 1


def test_recenter_moves_centres_and_edges():
    sim = simulation()
    truth, flat = sim.truth.orders, sim.flats(1)[0]
    found = recenter(flat, truth.shifted(4.3))
    for name in ("center", "lower", "upper"):
        assert_allclose(getattr(found, name)(), getattr(truth, name)(), atol=0.02)
    assert found.order_numbers.tolist() == truth.order_numbers.tolist()


def test_the_two_axes_are_the_same_problem():
    sim = simulation()
    orders, flat = sim.truth.orders.shifted(2.7), sim.flats(1)[0]
    turned = CCDData(flat.data.T, unit="adu")
    assert measure_shift(turned, orders.transposed()) == measure_shift(flat, orders)


def test_flipped_frames_have_the_opposite_shift():
    sim = simulation()
    orders, flat = sim.truth.orders.shifted(2.7), sim.flats(1)[0].data
    shift = measure_shift(flat, orders).shift
    assert_allclose(measure_shift(flat[::-1], orders.flipped(0)).shift, -shift, atol=2e-3)
    assert_allclose(measure_shift(flat[:, ::-1], orders.flipped(1)).shift, shift, atol=2e-3)


def test_orders_listed_in_any_sequence_and_valid_in_part():
    sim = simulation()
    orders, flat = sim.truth.orders, sim.flats(1)[0]
    centers = orders.center()
    centers[0, :120] = centers[3, 200:] = np.nan
    partly = EchelleOrderTable.from_traces(
        orders.order_numbers[::-1], centers[::-1] + 1.7, shape=orders.shape, dispersion_axis=1,
        degree=2,
    )
    assert abs(measure_shift(flat, partly).shift + 1.7) < 0.02


def test_masked_and_wrong_pixels_do_not_matter():
    sim = simulation().with_bad_pixels(3000, value=6e4).with_cosmic_rays(500, length=8)
    orders, flat = sim.truth.orders.shifted(2.7), sim.flats(1)[0]
    found = measure_shift(flat, orders)
    assert abs(found.shift + 2.7) < 0.02
    holes = np.where(flat.mask, np.nan, flat.data)
    assert measure_shift(holes, orders) == found
    assert measure_shift(np.ma.MaskedArray(flat.data, flat.mask), orders) == found


def test_a_whole_order_masked():
    sim = simulation()
    orders, flat = sim.truth.orders, sim.flats(1)[0]
    flat.mask = orders.select(orders.order_numbers[2]).inner_mask(30)
    assert abs(measure_shift(flat, orders.shifted(-3)).shift - 3) < 0.02


def test_scattered_light_and_level_do_not_matter():
    orders = simulation().truth.orders.shifted(2.7)
    flat = simulation().with_scattered_light(0.08).with_bias(1000).flats(1)[0].data
    found = measure_shift(flat, orders)
    assert abs(found.shift + 2.7) < 0.02
    assert_allclose(measure_shift(1e-4 * flat, orders).shift, found.shift, atol=1e-3)


def test_part_of_the_orders_is_enough():
    sim = simulation()
    orders, flat = sim.truth.orders, sim.flats(1)[0]
    some = orders.select(orders.order_numbers[1:4]).shifted(-3)
    assert abs(measure_shift(flat, some).shift - 3) < 0.02
    single = orders.select(orders.order_numbers[2]).shifted(-3)
    assert abs(measure_shift(flat, single).shift - 3) < 0.02
    with pytest.raises(ValueError, match="single order and no edges"):
        measure_shift(flat, centers_only(single, degree=2))


def test_the_table_is_not_changed():
    sim = simulation()
    orders, flat = sim.truth.orders, sim.flats(1)[0]
    before, data = orders.center(), flat.data.copy()
    recenter(flat, orders)
    assert (orders.center() == before).all() and (flat.data == data).all()


# ---------------------------------------------------------------------- of another frame


@pytest.mark.parametrize("seed", SPECTROGRAPHS)
def test_shift_between_frames(seed):
    """Of the noiseless frame, moved by a spline, with its own noise, level and drift."""
    sim = EchelleSimulation.random(seed).with_drift(0.03)
    reference, orders = sim.with_cosmic_rays(100).flats(1)[0], sim.truth.orders
    rng = np.random.default_rng(seed)
    shift = rng.uniform(-3, 3)
    moved = [0, 0]
    moved[1 - sim.dispersion_axis] = shift
    counts = spline_shift(sim.truth.noiseless_flats(2)[1], moved, order=5, mode="nearest")
    frame = 0.7 * rng.poisson(np.maximum(counts, 0)) + rng.normal(0, 4, counts.shape)
    found = frame_shift(frame, reference, orders)
    assert abs(found.shift - shift) < 0.01
    assert found.match > 0.99
    back = frame_shift(reference, frame, orders)
    assert abs(back.shift + shift) < 0.01


def test_frames_may_be_shifted_against_the_table_together():
    sim = simulation()
    one, two = (frame.data for frame in sim.flats(2))
    found = frame_shift(np.roll(one, 5, axis=0), np.roll(two, 2, axis=0), sim.truth.orders)
    assert abs(found.shift - 3) < 0.01


def test_a_single_order_has_an_uncertainty_too():
    """The other two are cut by the borders."""
    sim = EchelleSimulation(shape=(160, 200), n_orders=3, seed=5)
    one, two = sim.flats(2)
    found = frame_shift(one, two, sim.truth.orders)
    assert abs(found.shift) / 3 < found.uncertainty < 0.01


def test_equal_frames_are_not_shifted():
    flat = simulation().flats(1)[0]
    found = frame_shift(flat, flat, simulation().truth.orders)
    assert abs(found.shift) < 1e-9 and found.uncertainty < 1e-6


# ---------------------------------------------------------------------- refused


@pytest.mark.parametrize("n", [5, 7, 9, 17])
def test_a_table_with_another_number_of_orders(n):
    sim = simulation(n_orders=8)
    table = with_number(sim.truth.orders, n)
    with pytest.raises(ValueError, match=r"does not belong to this frame.*match of the orders is"):
        measure_shift(sim.flats(1)[0], table)


def test_every_second_order():
    sim = simulation(n_orders=8)
    table = sim.truth.orders.select(sim.truth.orders.order_numbers[::2])
    with pytest.raises(ValueError, match="does not belong to this frame"):
        measure_shift(sim.flats(1)[0], table)


def test_a_table_with_another_spacing():
    sim = simulation(n_orders=8)
    centers = 128 + 1.15 * (sim.truth.orders.center() - 128)
    table = EchelleOrderTable.from_traces(
        sim.truth.orders.order_numbers, centers, shape=sim.shape, dispersion_axis=1)
    with pytest.raises(ValueError, match="does not belong to this frame"):
        measure_shift(sim.flats(1)[0], table)


@pytest.mark.parametrize("light", [0.0, 1.0])
def test_a_frame_without_orders(light):
    rows, columns = np.mgrid[:256, :300]
    frame = np.random.default_rng(1).normal(100, 5, rows.shape) + light * (rows + columns)
    refused = "does not belong to this frame|more than the largest shift"
    with pytest.raises(ValueError, match=refused):
        measure_shift(frame, simulation().truth.orders)
    with pytest.raises(ValueError, match=refused):
        frame_shift(simulation().flats(1)[0], frame, simulation().truth.orders)


def test_a_constant_frame():
    with pytest.raises(ValueError, match="does not belong to this frame"):
        measure_shift(np.ones((256, 300)), simulation().truth.orders)


def test_nothing_but_masked_pixels():
    with pytest.raises(ValueError, match="all are masked or cut"):
        measure_shift(np.full((256, 300), np.nan), simulation().truth.orders)


@pytest.mark.parametrize(("fraction", "sign"), [(-0.7, "-"), (0.7, "+")])
def test_a_shift_by_which_orders_are_mistaken_for_each_other(fraction, sign):
    sim = simulation(n_orders=8)
    orders = sim.truth.orders
    shift = fraction * smallest_distance(orders)
    with pytest.raises(ValueError, match=rf"orders lie [{sign}]1\d.*largest shift of"):
        measure_shift(sim.flats(1)[0], orders.shifted(-shift))


def test_max_shift():
    sim = simulation()
    flat, orders = sim.flats(1)[0], sim.truth.orders.shifted(-6)
    assert abs(measure_shift(flat, orders, max_shift=7).shift - 6) < 0.02
    for call in (measure_shift, recenter):
        with pytest.raises(ValueError, match=r"orders lie \+6.*largest shift of 4.0"):
            call(flat, orders, max_shift=4)
    far = sim.truth.orders.shifted(-0.8 * smallest_distance(sim.truth.orders))
    found = measure_shift(flat, far, max_shift=40)
    assert abs(found.shift - 0.8 * smallest_distance(sim.truth.orders)) < 0.02


@pytest.mark.parametrize("max_shift", [0, -1, np.nan, np.inf])
def test_bad_max_shift(max_shift):
    sim = simulation()
    with pytest.raises(ValueError, match="max_shift is"):
        measure_shift(sim.flats(1)[0], sim.truth.orders, max_shift=max_shift)


def test_frames_of_other_shapes():
    sim = simulation()
    flat, orders = sim.flats(1)[0], sim.truth.orders
    with pytest.raises(ValueError, match="flat has 1 dimensions"):
        measure_shift(np.ones(30), orders)
    with pytest.raises(ValueError, match=r"detector of shape \(256, 300\)"):
        recenter(flat.data[:200], orders)
    with pytest.raises(ValueError, match=r"reference \(200, 300\)"):
        frame_shift(flat, flat.data[:200], orders)


def test_the_result_cannot_be_changed():
    with pytest.raises(AttributeError):
        OrderShift(1.0, 0.1, 1.0).shift = 2.0


def test_fibres_too_close_for_the_fit_of_a_box():
    places = 5 + 4.0 * np.arange(12)
    light = np.exp(-0.5 * (np.arange(60)[:, None] - places) ** 2).sum(axis=1)
    orders = EchelleOrderTable.from_polynomials(
        np.arange(12) + 1, places[:, None], shape=(60, 200), dispersion_axis=1)
    flat = np.repeat(light[:, None], 200, axis=1)
    assert abs(measure_shift(flat, orders.shifted(-0.7)).shift - 0.7) < 0.02
    assert abs(frame_shift(flat, flat, orders).shift) < 1e-3


def test_orders_too_close_for_any_fit():
    places = 5 + 4.0 * np.arange(12)
    light = np.clip(2 - np.abs(np.arange(60)[:, None] - places), 0, 1).sum(axis=1)
    orders = EchelleOrderTable.from_polynomials(
        np.arange(12) + 1, places[:, None], shape=(60, 200), dispersion_axis=1)
    flat = np.repeat(light[:, None], 200, axis=1)
    with pytest.raises(ValueError, match="no order could be fitted"):
        measure_shift(flat, orders)


def test_british_spelling_is_the_same_function():
    assert recentre is recenter


@pytest.mark.parametrize("dimmed", ["dark order", "dark end"])
def test_a_table_belongs_to_a_frame_in_which_some_orders_are_dark(dimmed):
    simulation = EchelleSimulation(shape=(256, 256), n_orders=4, seed=5)
    orders = simulation.truth.orders
    if dimmed == "dark end":
        simulation = simulation.with_dark_end(0.4)
    else:
        simulation = simulation.with_faint_order(13, factor=0)
    flat = simulation.flats(1)[0]
    assert abs(measure_shift(flat, orders.shifted(-3)).shift - 3) < 0.1
    with pytest.raises(ValueError, match="does not belong to this frame|more than the"):
        measure_shift(flat, EchelleSimulation(shape=(256, 256), n_orders=7).truth.orders)


@pytest.mark.parametrize("dark", [[2, 3], [0, 4, 5], [1, 3, 5]])
@pytest.mark.parametrize("off", [0, 0.8, 10])
def test_wings_of_bright_orders_in_dark_ones_have_no_vote(dark, off):
    rng, rows = np.random.default_rng(4), np.arange(256)[:, None]
    bright = np.ones(6)
    bright[dark] = 0
    centers = np.array([30 + 38 * k + 3 * np.linspace(-1, 1, 300) ** 2 for k in range(6)])
    wings = [1 / (1 + (np.abs(rows - center) / 11) ** 6) for center in centers]
    flat = rng.poisson(20000 * np.tensordot(bright, wings, axes=1) + 5)
    table = EchelleOrderTable.from_traces(
        np.arange(1, 7), centers - off, shape=flat.shape, dispersion_axis=1)
    assert measure_shift(flat, table).shift == pytest.approx(off, abs=0.1)


@pytest.mark.parametrize("light", ["slit", "fibre"])
@pytest.mark.parametrize("off", [0, 1.7])
def test_most_places_may_be_dark(light, off):
    rng, rows, u = np.random.default_rng(8), np.arange(200)[:, None], np.linspace(-1, 1, 300)
    centers = np.array([25 + 30 * k + 3 * u**2 for k in range(6)])
    lit = np.abs(u - np.linspace(-0.6, 0.6, 6)[:, None]) < 0.22
    away = rows - centers[:, None]
    image = np.exp(-0.5 * (away / 2) ** 2) if light == "fibre" else 1 / (1 + (away / 8) ** 12)
    flat = rng.poisson(8000 * (lit[:, None] * image).sum(axis=0)) + rng.normal(0, 4, (200, 300))
    table = EchelleOrderTable.from_traces(
        np.arange(1, 7), centers - off, shape=flat.shape, dispersion_axis=1)
    assert measure_shift(flat, table).shift == pytest.approx(off, abs=0.1)


def test_orders_that_show_only_the_read_out_pattern_have_no_vote():
    dark = {number: (0, 60) for number in (11, 12, 13)}
    simulation = EchelleSimulation(shape=(200, 400), n_orders=5, seed=1, brightness_ratio=3)
    simulation = simulation.with_short_orders(dark).with_faint_order(15, factor=0)
    simulation = simulation.with_fixed_pattern(ripple=3, period=25)
    frames = [frame.data for frame in simulation.flats(3)]
    shift = measure_shift(np.median(frames, axis=0), simulation.truth.orders)
    assert abs(shift.shift) < 0.1


def test_dark_orders_on_sloping_scattered_light_have_no_vote():
    rng, rows = np.random.default_rng(4), np.arange(256)[:, None]
    centers = np.array([30 + 38 * k + 3 * np.linspace(-1, 1, 300) ** 2 for k in range(6)])
    wings = sum(1 / (1 + (np.abs(rows - center) / 11) ** 6) for center in centers[:3])
    flat = rng.poisson(20000 * wings + 17 * (260 - rows))
    table = EchelleOrderTable.from_traces(
        np.arange(1, 7), centers, shape=flat.shape, dispersion_axis=1)
    assert abs(measure_shift(flat, table).shift) < 0.5


def test_a_hot_row_midway_between_two_orders_is_no_order():
    simulation = EchelleSimulation(shape=(160, 400), n_orders=4, seed=1, tilt=0, curvature=0)
    simulation = simulation.with_dark_end(0.55).with_bad_lines(rows=(74,), value=65535)
    shift = measure_shift(simulation.flats(1)[0], simulation.truth.orders)
    assert abs(shift.shift) < 0.1


def test_gaps_between_slices_may_resemble_those_between_orders():
    simulation = EchelleSimulation(
        shape=(215, 300), n_orders=5, seed=1, order_width=31, smallest_gap=3, psf_sigma=0.6
    ).with_slicer(2, gap=3)
    flat, orders = simulation.flats(1)[0], centers_only(simulation.truth.orders)
    assert abs(measure_shift(flat, orders).shift) < 0.1
    half = 0.5 * np.median(np.diff(orders.center(), axis=0))
    with pytest.raises(ValueError, match="does not belong to this frame|more than the"):
        measure_shift(flat, orders.shifted(half), max_shift=4)


@pytest.mark.parametrize("off", [0, 1.5])
def test_slices_that_are_not_equally_bright(off):
    """The first harmonic of such an order is shifted; none of its slices may be lost for that."""
    rows, along = np.arange(420)[:, None], np.linspace(-1, 1, 400)
    centers = np.array([38 + 68 * k + 4 * along - 8 * along**2 for k in range(6)])
    starts = -23 + 10 * np.arange(5)
    light = sum(
        20000 * bright * (ndtr(rows - center - start) - ndtr(rows - center - start - 6))
        for center in centers
        for bright, start in zip((1, 0.9, 0.8, 0.7, 0.6), starts, strict=True)
    )
    orders = EchelleOrderTable.from_traces(
        range(1, 7), centers, shape=(420, 400), dispersion_axis=1,
        lower=centers - 23, upper=centers + 23,
    )
    flat = np.random.default_rng(0).poisson(light + 400)
    assert measure_shift(flat, orders.shifted(-off)).shift == pytest.approx(off, abs=0.1)
