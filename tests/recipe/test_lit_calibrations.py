# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Flats that are given as bias or dark frames are noticed by their light."""

import pytest
from astropy.utils.exceptions import AstropyUserWarning

from ccdproc_echelle import make_master_flat
from ccdproc_echelle.simulation import EchelleSimulation

SIMULATION = (
    EchelleSimulation(shape=(160, 256), n_orders=3, seed=3).with_level_spread(0.3).with_bias(300)
)


@pytest.mark.parametrize("kind", ["bias", "dark"])
def test_a_flat_among_the_calibrations(kind):
    *flats, intruder = SIMULATION.flats(5, raw=True)
    intruder.data = 300 + (intruder.data - 300.0) / 2
    with pytest.warns(AstropyUserWarning) as caught:
        make_master_flat(
            flats, SIMULATION.truth.orders, gain=1, read_noise=2, scattered_light=None,
            **{kind: [intruder]},
        )
    said = [str(one.message) for one in caught if "show the orders" in str(one.message)]
    assert len(said) == 1
    assert f"the {kind} frames show the orders" in said[0]


def test_nothing_is_said_of_true_calibrations():
    simulation = SIMULATION.with_dark_current(5)
    make_master_flat(
        simulation.flats(4, raw=True), simulation.truth.orders, bias=simulation.biases(3, raw=True),
        dark=simulation.darks(3, raw=True), gain=1, read_noise=2, scattered_light=None,
    )
