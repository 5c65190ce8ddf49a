# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
How the products of the whole recipe change when its input is changed in a known way.

Exactly means to the last bit; to rounding, to a few units of the last digit of single precision.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from astropy.nddata import CCDData

from ccdproc_echelle import (
    EchelleOrderTable,
    combine_frames,
    detect_order_edges,
    make_master_flat,
    measure_exposure_levels,
    trace_orders,
    two_pass_flat_combine,
)
from ccdproc_echelle.simulation import EchelleSimulation
from helpers.orders import centers_only

N_FRAMES = 4

# What has the unit of the frames, is an image, or has a value for each frame.
IN_ADU = {"combined", "combined sigma", "levels", "master levels"}
IMAGES = {"combined", "combined sigma", "flat", "flat sigma", "master", "master sigma", "mask",
          "flags"}
OF_FRAMES = {"levels", "master levels"}


class Inputs(NamedTuple):
    """What goes into the functions: calibrated flats, raw flats and darks, orders and gain."""

    flats: list[CCDData]
    raw: list[CCDData]
    darks: list[CCDData]
    orders: EchelleOrderTable
    gain: float = 1.0

    def changed(self, change):
        frames = [[change(frame) for frame in frames] for frames in self[:3]]
        return Inputs(*frames, *self[3:])


# What holds for flats holds also for those that still have their bias.
pytestmark = pytest.mark.filterwarnings("ignore:the frames have an offset")


@cache
def inputs(seed):
    simulation = (
        EchelleSimulation(shape=(96, 120), n_orders=3, seed=seed)
        .with_bias(200)
        .with_level_spread(0.3)
        .with_cosmic_rays(10)
        .with_dead_pixels(5)
        .with_scattered_light(0.02)
    )
    flats = simulation.flats(N_FRAMES)
    raw, darks = simulation.flats(N_FRAMES, raw=True), simulation.darks(2, raw=True)
    rng = np.random.default_rng(seed)
    for frame in flats + raw:
        frame.mask = rng.random(frame.shape) < 0.01
    return Inputs(flats, raw, darks, centers_only(simulation.truth.orders))


def outcome(inputs, **options):
    """Everything that the functions make of it."""
    flats, raw, darks, orders, gain = inputs
    combined = combine_frames(flats, method="median")
    flat = two_pass_flat_combine(flats, orders, sigma_clip=True, sigma_clip_low_thresh=5,
                                 sigma_clip_high_thresh=5, **options)
    edges = detect_order_edges(combined, orders)
    traced = trace_orders(combined, first_order=int(orders.order_numbers.min()))
    master = make_master_flat(raw, orders, dark=darks, gain=gain, read_noise=4, **options)
    return {
        "combined": combined.data,
        "combined sigma": combined.uncertainty.array,
        "levels": measure_exposure_levels(flats, orders)["level"].value,
        "flat": flat.data,
        "flat sigma": flat.uncertainty.array,
        "edges": by_number(edges),
        "traced": by_number(traced),
        **of_master(master),
    }


def of_master(master):
    return {
        "master": master.flat.data,
        "master sigma": master.flat.uncertainty.array,
        "mask": master.flat.mask,
        "flags": master.flags,
        "master levels": master.levels["level"].value,
        "master edges": by_number(master.orders),
    }


def by_number(orders):
    """Curves of the orders, lowest number first."""
    rank = np.argsort(orders.order_numbers)
    curves = [orders.center, orders.lower, orders.upper] if orders.has_edges else [orders.center]
    return np.array([curve()[rank] for curve in curves])


@cache
def expected(seed):
    return outcome(inputs(seed))


def assert_same(found, expected, *, rtol=0.0):
    assert found.keys() == expected.keys()
    for name in expected:
        assert found[name].dtype == expected[name].dtype, name
        rounding = 0 if found[name].dtype.kind in "bi" else rtol
        np.testing.assert_allclose(
            found[name], expected[name], rtol=rounding, atol=rounding, err_msg=name
        )


def scaled(frame, factor):
    result = CCDData(frame.data * np.float32(factor), unit=frame.unit, mask=frame.mask,
                     header=frame.header)
    if frame.uncertainty is not None:
        kind = type(frame.uncertainty)
        result.uncertainty = kind(frame.uncertainty.array * np.float32(factor))
    return result


def transposed(frame):
    result = CCDData(frame.data.T, unit=frame.unit, mask=frame.mask.T if frame.mask is not None
                     else None, header=frame.header)
    if frame.uncertainty is not None:
        result.uncertainty = type(frame.uncertainty)(frame.uncertainty.array.T)
    return result


def masked(frame):
    result = frame.copy()
    result.mask = np.ones(frame.shape, dtype=bool)
    return result


def in_unit_of(factor, products):
    return {name: value * value.dtype.type(factor) if name in IN_ADU else value
            for name, value in products.items()}


@pytest.mark.parametrize(("seed", "places"), [(0, (2, 0, 3, 1)), (1, (1, 3, 2, 0))])
def test_the_order_of_the_frames_does_not_matter_to_rounding(seed, places):
    flats, raw, *rest = inputs(seed)
    found = outcome(Inputs([flats[i] for i in places], [raw[i] for i in places], *rest))
    assert_same(found, {
        name: value[list(places)] if name in OF_FRAMES else value
        for name, value in expected(seed).items()
    }, rtol=1e-6)


@pytest.mark.parametrize(("seed", "exponent"), [(0, -6), (1, 5)])
def test_a_power_of_two_is_taken_over_exactly(seed, exponent):
    factor = 2.0**exponent
    changed = inputs(seed).changed(lambda frame: scaled(frame, factor))
    found = outcome(changed._replace(gain=1 / factor))
    assert_same(found, in_unit_of(factor, expected(seed)))


@pytest.mark.parametrize(("seed", "factor"), [(0, 0.0537), (1, 18.3)])
def test_any_other_factor_is_taken_over_to_rounding(seed, factor):
    factor = float(np.float32(factor))
    changed = inputs(seed).changed(lambda frame: scaled(frame, factor))
    found = in_unit_of(1 / factor, outcome(changed._replace(gain=1 / factor)))
    assert_same(found, expected(seed), rtol=1e-5)


@pytest.mark.parametrize(("seed", "mem_limit"), [(0, 1), (1, 150_000)])
def test_the_memory_limit_changes_no_bit(seed, mem_limit):
    assert_same(outcome(inputs(seed), mem_limit=mem_limit), expected(seed))


@pytest.mark.parametrize("seed", [0, 1])
def test_transposing_everything_transposes_the_images_exactly(seed):
    changed = inputs(seed).changed(transposed)
    found = outcome(changed._replace(orders=changed.orders.transposed()))
    assert_same(
        {name: value.T if name in IMAGES else value for name, value in found.items()},
        expected(seed),
    )


@pytest.mark.parametrize(("seed", "place", "as_nan"), [(0, 0, True), (1, N_FRAMES, False)])
def test_a_frame_without_a_good_pixel_is_refused_or_dropped(seed, place, as_nan):
    flats, raw, darks, orders, _ = inputs(seed)
    blind = scaled(raw[0], np.nan) if as_nan else masked(raw[0])
    raw = raw[:place] + [blind] + raw[place:]
    with pytest.warns(match=f"frame {place}"):
        master = make_master_flat(raw, orders, dark=darks, gain=1, read_noise=4, reject="drop")
    assert master.vetting["used"].tolist() == [i != place for i in range(N_FRAMES + 1)]
    found = of_master(master)
    assert_same(found, {name: expected(seed)[name] for name in found})
    for refuse in (two_pass_flat_combine, measure_exposure_levels):
        with pytest.raises(ValueError, match=f"frame {place}"):
            refuse(flats[:place] + [masked(flats[0])] + flats[place:], orders)


@pytest.mark.parametrize(("seed", "first", "rows"), [(0, 997, (2, 0, 1)), (1, 1, (1, 2, 0))])
def test_numbers_and_rows_of_the_order_table_are_mere_names(seed, first, rows):
    orders = inputs(seed).orders
    renamed = EchelleOrderTable.from_traces(
        np.arange(3)[list(rows)] + first, orders.center()[list(rows)], shape=orders.shape,
        dispersion_axis=1,
    )
    found = outcome(inputs(seed)._replace(orders=renamed))
    curves = {name for name in found if name.endswith("edges")}
    assert_same({name: found[name] for name in found.keys() - curves},
                {name: expected(seed)[name] for name in found.keys() - curves})
    for name in curves:  # the rows enter the fit of the edges in their order
        np.testing.assert_allclose(found[name], expected(seed)[name], rtol=1e-9, err_msg=name)
