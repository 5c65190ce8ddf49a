# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A master flat that cannot be divided by everywhere says where."""

import numpy as np
import pytest
from astropy.utils.exceptions import AstropyUserWarning

from ccdproc_echelle import FlatFlag, MasterFlat, make_master_flat, order_quality
from ccdproc_echelle.light import UNUSABLE
from ccdproc_echelle.recipe import flat_quality
from ccdproc_echelle.simulation import EchelleSimulation

SIMULATION = EchelleSimulation(shape=(256, 300), n_orders=5, seed=5, peak=9000)
DARK_END = SIMULATION.with_dark_end(0.2, fade=0.05)
FAINT, INTERORDER = int(FlatFlag.FAINT), int(FlatFlag.INTERORDER)


def made(simulation, **options):
    return make_master_flat(
        simulation.flats(4), simulation.truth.orders, scattered_light=None, **options
    )


def row_of(master, name):
    return master.quality[list(master.quality["name"]).index(name)]


@pytest.fixture(scope="module")
def fine():
    return made(SIMULATION)


@pytest.fixture(scope="module")
def dark_end():
    return made(DARK_END)


def test_nothing_that_is_left_is_below_its_noise(dark_end):
    in_order = dark_end.flags & INTERORDER == 0
    value, sigma = dark_end.flat.data, dark_end.flat.uncertainty.array
    left = in_order & ~dark_end.flat.mask
    assert (value[left] >= 3 * sigma[left]).all() and (value[left] > 0).all()
    faint = dark_end.flags & FAINT != 0
    np.testing.assert_array_equal(faint, in_order & ((value <= 0) | (value < 3 * sigma)))
    assert dark_end.flat.mask[faint].all()


def test_pixels_with_light_stay(dark_end):
    bright = DARK_END.truth.flat > 20 * dark_end.flat.uncertainty.array
    assert (dark_end.flags[bright] & FAINT == 0).all()


def test_each_order_ends_where_its_light_does(dark_end):
    table = order_quality(dark_end)
    assert (table["usable_min"].value == 0).all()
    assert np.abs(table["usable_max"].value - 0.8 * 299).max() < 8
    np.testing.assert_allclose(table["faint_fraction"], 0.2, atol=0.03)


def test_faint_pixels_are_counted(dark_end):
    flags = dark_end.flags[dark_end.flags & INTERORDER == 0]
    assert row_of(dark_end, "faint_fraction")["value"] == (flags & FAINT != 0).mean()
    assert row_of(dark_end, "unusable_fraction")["value"] > 0.15
    worst = order_quality(dark_end)["faint_fraction"].max()
    assert row_of(dark_end, "faint_fraction_max")["value"] == worst


def test_a_dark_order_fails_and_is_named():
    simulation = SIMULATION.with_faint_order(13, factor=0)
    with pytest.warns(AstropyUserWarning) as said:
        master = made(simulation)
    assert [w for w in said if "orders [13] have too little light" in str(w.message)]
    assert row_of(master, "faint_fraction_max")["verdict"] == "fail"
    row = order_quality(master)[2]
    assert row["faint_fraction"] > 0.98
    assert np.isnan(row["usable_min"]) and np.isnan(row["usable_max"])
    # Its brightness is not that of the few pixels that noise has lifted.
    assert abs(row["signal_to_noise"]) < 0.5
    assert (order_quality(master)["faint_fraction"][[0, 1, 3, 4]] < 0.01).all()


def test_most_of_a_flat_in_the_dark_has_no_relative_uncertainty(dark_end):
    dark = dark_end.flat.copy()
    dark.data = -dark.data
    parts = (dark_end.orders, dark_end.levels, dark_end.flags, dark_end.quality, dark_end.vetting)
    quality = flat_quality(MasterFlat(dark, *parts))
    row = quality[list(quality["name"]).index("relative_uncertainty")]
    assert (row["value"], row["verdict"]) == (np.inf, "fail")


def test_the_user_chooses_what_is_faint(fine, dark_end):
    strict = made(SIMULATION, min_signal_to_noise=25)
    in_order = fine.flags & INTERORDER == 0
    expected = in_order & (fine.flat.data < 25 * fine.flat.uncertainty.array)
    assert expected.any()
    np.testing.assert_array_equal(strict.flags & FAINT != 0, expected)
    unmasked = made(DARK_END, mask_flags=UNUSABLE & ~FlatFlag.FAINT)
    np.testing.assert_array_equal(unmasked.flags, dark_end.flags)
    assert not unmasked.flat.mask[dark_end.flags & int(UNUSABLE) == FAINT].any()


def test_a_flat_with_light_everywhere_is_what_it_was(fine):
    assert not (fine.flags & FAINT).any()
    without = made(SIMULATION, min_signal_to_noise=0)
    np.testing.assert_array_equal(without.flags, fine.flags)
    np.testing.assert_array_equal(without.flat.mask, fine.flat.mask)


def test_a_ratio_that_makes_no_sense_is_refused_before_any_work():
    with pytest.raises(ValueError, match="min_signal_to_noise is -1"):
        make_master_flat(["no_such_file.fits"], min_signal_to_noise=-1)


def test_the_product_keeps_the_flag(dark_end, tmp_path):
    dark_end.write(tmp_path / "master.fits")
    again = MasterFlat.read(tmp_path / "master.fits")
    np.testing.assert_array_equal(again.flags, dark_end.flags)
    np.testing.assert_array_equal(order_quality(again)["usable_max"],
                                  order_quality(dark_end)["usable_max"])
