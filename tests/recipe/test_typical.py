# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from astropy.utils.exceptions import AstropyUserWarning

from ccdproc_echelle.combining import PixelPairs
from ccdproc_echelle.frames import open_frames
from ccdproc_echelle.recipe.typical import typical_frame
from ccdproc_echelle.simulation import EchelleSimulation

SIMULATION = EchelleSimulation(shape=(200, 240), n_orders=4, seed=5).with_noise(read_noise=20)


def typical_of(flats):
    frames = open_frames(flats)
    return typical_frame(frames, PixelPairs.gathered(frames).pixels, mem_limit=1e9)


def error(simulation, n_frames, flats=None):
    """RMS error of the typical frame in units of the noise of one frame, where there is light."""
    flats = simulation.flats(n_frames) if flats is None else flats
    typical = typical_of(flats)
    flat = simulation.truth.flat
    inside = simulation.truth.orders.inner_mask(10)
    scale = (typical.data * flat)[inside].sum() / (flat[inside] ** 2).sum()
    difference = typical.data - scale * flat
    noise = np.sqrt(scale * flat + 20**2)
    return np.sqrt(np.mean((difference / noise)[inside] ** 2))


@pytest.mark.parametrize("spread", [0.0, 0.5])
def test_it_has_the_noise_of_a_median_however_bright_the_frames(spread):
    # the median of 9 Gaussian values scatters by 0.41 of one
    assert error(SIMULATION.with_level_spread(spread), 9) == pytest.approx(0.41, abs=0.06)


def test_frames_without_light_or_hit_all_over_do_not_spoil_it():
    simulation = SIMULATION.with_level_spread(0.3)
    flats = simulation.flats(9)
    flats[2].data = flats[2].data * 0
    flats[4].data = np.roll(flats[4].data, 20, axis=0)
    flats[7].mask = np.ones(flats[7].shape, dtype=bool)
    assert error(simulation, 9, flats) < 0.6


def test_of_many_frames_the_15_of_typical_brightness_are_enough():
    simulation = SIMULATION.with_level_spread(0.3)
    flats = simulation.flats(20)
    for i in range(5):  # lamps that were off, and some that were too bright
        flats[i].data = flats[i].data * (0 if i < 3 else 20)
    frames, others = open_frames(flats), np.arange(20) >= 5
    pairs = PixelPairs.gathered(frames)
    typical = typical_frame(frames, pairs.pixels, mem_limit=1e9).data
    of_others = typical_frame(frames[5:], pairs.of_frames(others).pixels, mem_limit=1e9).data
    np.testing.assert_allclose(typical / typical.max(), of_others / of_others.max(), rtol=1e-5)


def test_dark_frames_are_hardly_scaled():
    darks = SIMULATION.darks(3)
    typical = typical_of(darks).data
    expected = np.median([dark.data for dark in darks], axis=0)
    np.testing.assert_allclose(typical, expected, rtol=0.1, atol=0.1)


def test_frames_of_zeros_are_left_as_they_are():
    flats = SIMULATION.flats(3)
    for flat in flats:
        flat.data[:] = 0
    assert (typical_of(flats).data == 0).all()


def test_frames_without_a_good_pixel_are_named():
    flats = SIMULATION.flats(3)
    for flat in flats:
        flat.mask = np.ones(flat.shape, dtype=bool)
    warned = pytest.warns(AstropyUserWarning, match="has no values")
    with warned, pytest.raises(ValueError, match="no pixel of frame 0 and 2 others is good"):
        typical_of(flats)
