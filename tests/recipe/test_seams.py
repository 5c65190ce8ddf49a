# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Light that jumps where two amplifiers meet tells that their gains are wrong."""

import re
import warnings

import pytest
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

from ccdproc_echelle import make_master_flat
from ccdproc_echelle.simulation import EchelleSimulation

SIMULATION = (
    EchelleSimulation(shape=(256, 256), n_orders=5, seed=3)
    .with_level_spread(0.3).with_bias(300).with_noise(gain=1.0, read_noise=5)
)


def written(folder, *, gains):
    """Flats and biases of two amplifiers, of gains 1.0 and 1.5, whose headers say something."""
    flats, _, biases = SIMULATION.write(folder, 3, 0, 3, layout="mef")
    for name in [*flats, *biases]:
        for hdu, gain in enumerate(gains, start=1):
            fits.setval(name, "GAIN", value=gain, ext=hdu)
    return flats, biases


@pytest.mark.parametrize(("gains", "step"), [
    ((1.0, 1 / 1.5), "-5[5-7]%"),  # the inverse
    ((1.5, 1.0), "-5[5-7]%"),  # exchanged
    ((1.2, 1.2), "-3[2-4]%"),  # one for all
])
def test_wrong_gains_are_warned_of(tmp_path, gains, step):
    flats, biases = written(tmp_path, gains=gains)
    with pytest.warns(AstropyUserWarning) as caught:
        make_master_flat(flats, SIMULATION.truth.orders, bias=biases, scattered_light=None)
    said = [str(one.message) for one in caught if "amplifiers meet" in str(one.message)]
    assert len(said) == 1
    assert re.search(f"jumps by {step} at column 129", said[0])


@pytest.mark.parametrize("change", [
    lambda simulation: simulation,
    lambda simulation: simulation.with_fringes(0.15),
    lambda simulation: simulation.with_dust(20),
], ids=["plain", "fringes", "dust"])
def test_nothing_is_said_of_true_gains(tmp_path, change):
    simulation = change(SIMULATION)
    flats, _, biases = simulation.write(tmp_path, 3, 0, 3, layout="mef")
    make_master_flat(flats, simulation.truth.orders, bias=biases, scattered_light=None)


def with_two_gains(frames):
    """Frames whose right half has gain 1.5 and another zero point."""
    for frame in frames:
        frame.data = frame.data.astype("f4")
        frame.data[:, 128:] = (frame.data[:, 128:] - 300) / 1.5 + 420
    return frames


@pytest.mark.parametrize(("gain", "cause"), [
    ({"[1:128,*]": 1.5, "[129:256,*]": 1.0}, "jumps by -5[5-7]%.*where the sections of gain meet"),
    ({"[*,1:128]": 1.0, "[*,129:256]": 1.5}, "jumps by -3[2-4]%.*the middle of the detector"),
    (1.0, "jumps by -3[2-4]% at column 129, the middle of the detector"),
])
def test_amplifiers_in_one_image(gain, cause):
    flats, biases = (
        with_two_gains(frames)
        for frames in (SIMULATION.flats(3, raw=True), SIMULATION.biases(3, raw=True))
    )
    with pytest.warns(AstropyUserWarning) as caught:
        make_master_flat(
            flats, SIMULATION.truth.orders, bias=biases, gain=gain, read_noise=5,
            scattered_light=None,
        )
    said = [str(one.message) for one in caught if "of the orders jumps" in str(one.message)]
    assert len(said) == 1
    assert re.search(cause, said[0])


@pytest.mark.parametrize("first", [120, 126, 130])
def test_dead_columns_near_the_middle_are_no_seam(first):
    frames = SIMULATION.flats(3)
    for frame in frames:
        frame.data[:, first : first + 3] *= 0.1
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make_master_flat(frames, SIMULATION.truth.orders, scattered_light=None)
    assert not [one for one in caught if "jumps" in str(one.message)]
