# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What is known to be bad has no influence on the master flat, and a flag of its own."""

import numpy as np
import pytest
from astropy.io import fits

from ccdproc_echelle import FlatFlag, MasterFlat, make_master_flat
from ccdproc_echelle.simulation import EchelleSimulation

SHAPE = (200, 220)
SIMULATION = (
    EchelleSimulation(shape=SHAPE, n_orders=3, seed=7)
    .with_level_spread(0.3).with_bias(300).with_scattered_light(0.05)
)
BAD = np.zeros(SHAPE, dtype=bool)
BAD[80:130, 100:120] = True  # across an order
BAD[:, 60:63] = True
BAD[3:9] = True  # between the orders


def reduced(frames, orders=None, **keywords):
    flats, darks = frames
    return make_master_flat(flats, orders, dark=darks, gain=1, read_noise=4, **keywords)


def raw(junk):
    flats, darks = SIMULATION.flats(4, raw=True), SIMULATION.darks(3, raw=True)
    rng = np.random.default_rng(7)
    for frame in [*flats, *darks] if junk else ():
        frame.data[BAD] = rng.integers(0, 60000, BAD.sum())
    return flats, darks


@pytest.fixture(scope="module")
def plain_master():
    """A master whose scattered light stays, as it takes long."""
    return reduced(
        raw(junk=True), SIMULATION.truth.orders, scattered_light=None, bad_pixel_mask=BAD
    )


@pytest.mark.parametrize(("orders", "scattered_light"), [
    (None, "frames"), (SIMULATION.truth.orders, "master"), (SIMULATION.truth.orders, None),
])
def test_bad_pixels_have_no_influence_and_levels_are_right(orders, scattered_light):
    found, expected = (
        reduced(raw(junk), orders, scattered_light=scattered_light, bad_pixel_mask=BAD)
        for junk in (True, False)
    )
    np.testing.assert_array_equal(found.flat.data, expected.flat.data)
    np.testing.assert_array_equal(found.flat.mask, expected.flat.mask)
    np.testing.assert_array_equal(found.flat.uncertainty.array, expected.flat.uncertainty.array)
    np.testing.assert_array_equal(found.flags, expected.flags)
    assert (found.levels["level"] == expected.levels["level"]).all()
    for part in ("center", "lower", "upper"):
        assert (found.orders.table[part] == expected.orders.table[part]).all()
    np.testing.assert_array_equal(found.quality["value"], expected.quality["value"])
    ratio = found.levels["level"].value / SIMULATION.truth.levels(4)
    assert np.ptp(ratio) / ratio.mean() < 1e-3


def test_bad_pixels_have_a_flag_of_their_own_that_masks(tmp_path):
    path = tmp_path / "bpm.fits"
    fits.writeto(path, BAD.astype("u1"))
    orders = SIMULATION.truth.orders
    master = reduced(raw(junk=True), orders, bad_pixel_mask=path, scattered_light=None)
    known, no_data = (
        master.flags & int(flag) != 0 for flag in (FlatFlag.KNOWN_BAD, FlatFlag.NO_DATA)
    )
    np.testing.assert_array_equal(known, BAD)
    assert not no_data[BAD].any()
    assert master.flat.mask[BAD].all()
    master.write(tmp_path / "master.fits")
    np.testing.assert_array_equal(MasterFlat.read(tmp_path / "master.fits").flags, master.flags)


def test_frames_and_mask_differ_in_shape():
    with pytest.raises(ValueError, match=r"bad_pixel_mask has shape \(5, 220\), .*\(200, 220\)"):
        reduced(raw(junk=False), bad_pixel_mask=BAD[:5])


@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_whoever_works_within_whatever_memory(plain_master, executors, executor):
    found = reduced(
        raw(junk=True), SIMULATION.truth.orders, scattered_light=None, bad_pixel_mask=BAD,
        executor=executors(executor), mem_limit=1e5,
    )
    np.testing.assert_array_equal(found.flat.data, plain_master.flat.data)
    np.testing.assert_array_equal(found.flags, plain_master.flags)
