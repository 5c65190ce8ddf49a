# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Orders whose peak is saturated, or masked because it is."""

import numpy as np
import pytest
from astropy.utils.exceptions import AstropyUserWarning
from numpy.testing import assert_allclose, assert_array_equal

from ccdproc_echelle import EchelleOrderTable, detect_order_edges, trace_orders
from ccdproc_echelle.orders.saturation import saturation_level
from ccdproc_echelle.simulation import EchelleSimulation
from helpers.orders import centers_only

SATURATED = "ignore:the light of orders .* is hidden over most of their length"
UNMEASURED = "ignore:edges of orders .* could be measured in less than"


def simulation(**kwargs) -> EchelleSimulation:
    given = {"shape": (300, 320), "n_orders": 5, "seed": 2, "brightness_ratio": 4}
    return EchelleSimulation(**(given | {"psf_sigma": 1.2} | kwargs))


FORMS = {
    "slit": simulation(),
    "sloped": simulation(slit_slope=0.3),
    "narrow": simulation(order_width=6.0),
    "fibre": simulation().with_fibres(sigma=2.0),
    "slicer": simulation(order_width=27.0).with_slicer(3),
    "columns": simulation(shape=(320, 300), dispersion_axis=0),
}


def cut_flat(sim, part, *, masked=False):
    """A flat that is saturated at a part of its brightest light, and that level."""
    flat = sim.flats(1)[0]
    level = part * np.percentile(flat.data, 99.9)
    flat.data = np.minimum(flat.data, level)
    if masked:
        flat.mask = flat.data >= level
    return flat, level


def worst(found, truth) -> float:
    """Largest median error of an edge."""
    off = [found.lower() - truth.lower(), found.upper() - truth.upper()]
    return np.abs(np.nanmedian(off, axis=2)).max()


@pytest.mark.filterwarnings(SATURATED, UNMEASURED)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("part", [0.9, 0.5])
def test_saturated_light_does_not_move_the_edges(form, part):
    sim = FORMS[form]
    flat, _ = cut_flat(sim, part)
    n_slices = 3 if form == "slicer" else 1
    found = detect_order_edges(flat, centers_only(sim.truth.orders), n_slices=n_slices)
    assert worst(found, sim.truth.orders) < 0.1


@pytest.mark.filterwarnings(UNMEASURED)
def test_orders_with_too_little_other_light_are_named():
    flat, level = cut_flat(FORMS["slit"], 0.25)
    message = rf"light of orders \[11, 12, 13, 14\] .* saturated at {level:.6g}: .* shorter"
    with pytest.warns(AstropyUserWarning, match=message):
        found = detect_order_edges(flat, centers_only(FORMS["slit"].truth.orders))
    assert worst(found, FORMS["slit"].truth.orders) < 0.5


@pytest.mark.filterwarnings(SATURATED, UNMEASURED)
def test_masked_peaks_do_not_move_the_edges():
    flat, _ = cut_flat(FORMS["slit"], 0.5, masked=True)
    found = detect_order_edges(flat, centers_only(FORMS["slit"].truth.orders))
    assert worst(found, FORMS["slit"].truth.orders) < 0.06


@pytest.mark.parametrize("form", ["slit", "narrow", "fibre"])
@pytest.mark.parametrize("masked", [False, True])
def test_saturated_orders_are_traced(form, masked):
    flat, _ = cut_flat(FORMS[form], 0.1, masked=masked)
    found, truth = trace_orders(flat), FORMS[form].truth.orders
    assert len(found) == len(truth)
    assert_allclose(np.nanmedian(found.center() - truth.center(), axis=1), 0, atol=0.15)


def test_a_frame_that_is_saturated_everywhere():
    flat, level = cut_flat(FORMS["slit"], 0.003)
    with pytest.raises(ValueError, match=f"no order edges found.*saturated at {level:.6g}"):
        detect_order_edges(flat, centers_only(FORMS["slit"].truth.orders))


def test_masked_rows_in_an_order_are_not_its_peak():
    sim = simulation(order_width=40.0, n_orders=4)
    flat = sim.flats(1)[0]
    orders = centers_only(sim.truth.orders)
    flat.mask = np.zeros(flat.shape, dtype=bool)
    row = int(np.nanmedian(orders.center()[1]))
    flat.mask[row - 4 : row + 5] = True
    assert worst(detect_order_edges(flat, orders), sim.truth.orders) < 0.03


@pytest.mark.parametrize("seed", range(42000, 42006))
def test_ordinary_flats_are_not_saturated(seed):
    sim = EchelleSimulation.random(seed)
    raster = sim.flats(1)[0].data
    assert saturation_level(raster if sim.dispersion_axis == 0 else raster.T) is None


def test_constant_light_without_noise_is_not_saturated():
    flat = np.zeros((60, 200))
    flat[10:21], flat[35:46] = 1, 2
    orders = EchelleOrderTable.from_polynomials(
        [7, 8], [[14], [41]], shape=flat.shape, dispersion_axis=1)
    assert_array_equal(detect_order_edges(flat, orders).lower([9])[:, 0].round(2), [9.5, 34.5])


@pytest.mark.parametrize("seed", range(4))
def test_much_evenly_bright_light_is_not_saturated(seed):
    light = np.full(3000, 3000.0)
    light[::10] = 1000
    assert saturation_level(np.random.default_rng(seed).poisson(light, (400, 3000)) * 1.0) is None
