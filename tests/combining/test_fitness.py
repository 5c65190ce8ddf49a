# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What cannot be right is refused or warned of before levels are believed, and nothing else."""

import warnings

import numpy as np
import pytest
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.utils.exceptions import AstropyUserWarning

from ccdproc_echelle import (
    EchelleOrderTable,
    inner_order_scale,
    make_master_flat,
    measure_exposure_levels,
    two_pass_flat_combine,
)
from ccdproc_echelle.combining import check_flats
from ccdproc_echelle.frames import open_frames
from ccdproc_echelle.orders import WrongOrderTableError
from ccdproc_echelle.simulation import EchelleSimulation
from helpers.orders import centers_only

SIM = EchelleSimulation(
    shape=(180, 200), n_orders=4, order_width=16, seed=11).with_level_spread(0.4)
FLATS = SIM.flats(4)
ORDERS = SIM.truth.orders
N_RANDOM = 6


def changed(change, **header) -> list:
    return [
        CCDData(change(f.data), unit=f.unit, uncertainty=f.uncertainty, header=header)
        for f in FLATS
    ]


def stretched(orders, shape, axis) -> EchelleOrderTable:
    """The same orders on another detector or along the other axis of one."""
    centers = orders.center()
    pixels = np.linspace(0, centers.shape[1] - 1, shape[axis])
    centers = np.array([np.interp(pixels, np.flatnonzero(np.isfinite(c)), c[np.isfinite(c)])
                        for c in centers])
    centers *= shape[1 - axis] / orders.shape[1 - orders.dispersion_axis]
    return EchelleOrderTable.from_traces(
        orders.order_numbers, centers, shape=shape, dispersion_axis=axis)


@pytest.mark.parametrize("orders", [ORDERS, centers_only(ORDERS)])
def test_nothing_is_said_where_nothing_is_wrong(orders):
    two_pass_flat_combine(FLATS, orders)  # warnings are errors


@pytest.mark.parametrize("seed", range(N_RANDOM))
def test_random_spectrographs(seed):
    """Quiet with the table of these flats; refused are those of others and the other axis."""
    sim, other = EchelleSimulation.random(seed), EchelleSimulation.random(seed + N_RANDOM)
    frames = open_frames(sim.with_level_spread(0.3).flats(3))
    axis = sim.dispersion_axis
    check_flats(frames, sim.truth.orders, 10)
    for wrong in (stretched(other.truth.orders, sim.shape, axis),
                  stretched(sim.truth.orders, sim.shape, 1 - axis)):
        with pytest.raises(WrongOrderTableError, match="order"):
            check_flats(frames, wrong, 10)


@pytest.mark.parametrize("measure", [
    lambda orders, window=10: measure_exposure_levels(FLATS, orders, window=window),
    lambda orders, window=10: inner_order_scale(orders, window=window)(FLATS[0]),
])
def test_levels_alone(measure):
    measure(ORDERS)  # warnings are errors
    with pytest.raises(WrongOrderTableError, match="order table does not belong"):
        measure(stretched(ORDERS, SIM.shape, 0))
    with pytest.warns(AstropyUserWarning, match="window of 24 pixels is wider than the orders"):
        measure(ORDERS, 24)
    for window in ("10", None, np.inf, [10], True):
        with pytest.raises(ValueError, match="window is .*, expected a positive number of pix"):
            measure(ORDERS, window)


def test_a_bias_in_levels_alone():
    frames = changed(lambda data: data + np.float32(500))
    with pytest.warns(AstropyUserWarning, match=r"offset of about \d+ adu"):
        measure_exposure_levels(frames, ORDERS)


def test_a_wrong_order_table_leaves_no_output(tmp_path):
    wrong = stretched(ORDERS, SIM.shape, 0)
    with pytest.raises(WrongOrderTableError, match="order table does not belong"):
        two_pass_flat_combine(FLATS, wrong, tmp_path / "flat.fits")
    assert not list(tmp_path.iterdir())


def test_a_shifted_order_table():
    with pytest.warns(UserWarning, match=r"orders are -3\.\d+ pixels off .*recenter"):
        two_pass_flat_combine(FLATS, ORDERS.shifted(3.2), window=6)


@pytest.mark.parametrize("orders", [ORDERS, centers_only(ORDERS)])
def test_a_window_wider_than_the_orders(orders):
    too_wide = "window of 24 pixels is wider than the orders, which are 1[5-7]"
    with pytest.warns(UserWarning, match=too_wide):
        two_pass_flat_combine(FLATS, orders, window=24)


@pytest.mark.parametrize("bias", [500, -500])
def test_a_bias(bias):
    frames = changed(lambda data: data + np.float32(bias))
    with pytest.warns(UserWarning, match="offset of about .*bias") as found:
        two_pass_flat_combine(frames, ORDERS)
    offset = float(str(found[0].message).split("about ")[1].split()[0])
    assert offset == pytest.approx(bias, rel=0.1)


def test_the_recipe_warns_too():
    frames = changed(lambda data: data + np.float32(200))
    with pytest.warns(UserWarning, match="bias"):
        make_master_flat(frames, ORDERS, scattered_light=None)


def test_an_order_that_is_masked_in_all_frames():
    number = int(ORDERS.order_numbers[1])
    frames = [f.copy() for f in FLATS]
    for frame in frames:
        frame.mask = ORDERS.order_map(margin=3) == number
    with pytest.warns(UserWarning, match=f"window of order {number}: it is masked"):
        two_pass_flat_combine(frames, ORDERS)
    frames[2].mask = None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        two_pass_flat_combine(frames, ORDERS)


@pytest.mark.parametrize(("header", "left"), [
    ({"BIASSEC": "[181:200,1:180]"}, True),
    ({"BIASSEC": "[1:20,1:180]", "TRIMSEC": "[21:200,1:180]"}, True),
    ({"BIASSEC": "[201:220,1:180]"}, False),  # cut off
    ({"BIASSEC": "[1:20,1:180]", "TRIMSEC": "[21:220,1:180]"}, False),
    ({"BIASSEC": "[1:20,1:180]", "trimim": "ccd=<CCDData>"}, False),
    ({"BIASSEC": "none"}, False),
])
def test_overscan(header, left):
    frames = changed(lambda data: data, **header)
    if not left:
        two_pass_flat_combine(frames, ORDERS)
        return
    with pytest.warns(UserWarning, match="frame 0 still has its overscan, BIASSEC .*trim_image"):
        two_pass_flat_combine(frames, ORDERS)


@pytest.mark.parametrize(("header", "left"), [
    ({"DATASEC": "[1:150,1:180]"}, True),
    ({"TRIMSEC": "[5:196,5:176]"}, True),  # reference pixels all around
    ({"TRIMSEC": "[1:200,1:180]"}, False),
    ({"DATASEC": "[21:220,1:180]"}, False),  # cut off
    ({"DATASEC": "[1:150,1:180]", "TRIMIM": "ccd=<CCDData>"}, False),
    ({"TRIMSEC": "none"}, False),
])
def test_pixels_that_are_not_exposed_to_light(header, left):
    frames = changed(lambda data: data, **header)
    if not left:
        two_pass_flat_combine(frames, ORDERS)
        return
    card, = header
    with pytest.warns(UserWarning, match=f"frame 0 has pixels outside {card} .*trim_image"):
        two_pass_flat_combine(frames, ORDERS)


def test_an_order_too_many_in_the_table():
    centers = ORDERS.center()
    centers = np.vstack([centers, centers[1:3].mean(axis=0)])
    table = EchelleOrderTable.from_traces(
        range(1, len(centers) + 1), centers, shape=ORDERS.shape, dispersion_axis=1)
    with pytest.warns(AstropyUserWarning, match=f"order {len(centers)} of the table has no light"):
        two_pass_flat_combine(FLATS, table)


def test_a_faint_order_across_a_corner_is_no_dark_one():
    rows, rng = np.arange(200)[:, None], np.random.default_rng(1)
    centers = np.array([[125], [155], [185], [225]]) - 0.001 * np.arange(400) ** 2
    light = sum(
        level * (np.abs(rows - center) < 5)
        for center, level in zip(centers, (9000, 9000, 9000, 100), strict=True)
    )
    noise = StdDevUncertainty(np.full((200, 400), 5.0))
    flats = [
        CCDData(rng.normal(level * (light + 100), 5), noise, unit="adu") for level in (1, 1.1, 0.9)
    ]
    # The median of the last is less than that of the one before it.
    orders = EchelleOrderTable.from_traces(
        range(1, 5), np.where(centers > 189, np.nan, centers), shape=(200, 400), dispersion_axis=1
    )
    two_pass_flat_combine(flats, orders)  # warnings are errors


def test_a_faint_order_is_no_dark_one():
    sim = SIM.with_faint_order(int(ORDERS.order_numbers[1]))
    two_pass_flat_combine(sim.flats(4), sim.truth.orders)  # warnings are errors
