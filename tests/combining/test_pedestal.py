# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A bias that was not subtracted is found by its missing noise, also if all levels are equal."""

import numpy as np
import pytest
from astropy.nddata import CCDData
from astropy.utils.exceptions import AstropyUserWarning

from ccdproc_echelle import make_master_flat, two_pass_flat_combine
from ccdproc_echelle.simulation import EchelleSimulation

SIM = EchelleSimulation(shape=(200, 220), n_orders=4, seed=6)
ORDERS = SIM.truth.orders


def on_pedestal(pedestal, n_frames) -> list[CCDData]:
    return [
        CCDData(f.data + np.float32(pedestal), unit=f.unit, uncertainty=f.uncertainty)
        for f in SIM.flats(n_frames)
    ]


@pytest.mark.parametrize("n_frames", [2, 3, 12])
@pytest.mark.parametrize("function", [
    two_pass_flat_combine,
    lambda frames, orders: make_master_flat(frames, orders, scattered_light=None),
])
def test_equal_levels(function, n_frames):
    advice = "adu of it seems to be a bias; subtract bias"
    with pytest.warns(AstropyUserWarning, match=advice) as found:
        function(on_pedestal(800, n_frames), ORDERS)
    least = float(str(found[0].message).split("at least ")[1].split()[0])
    assert least == pytest.approx(800, rel=0.05)


@pytest.mark.parametrize("dark", [0, 30, 300])
def test_light_and_dark_current_have_their_noise(dark):
    rng = np.random.default_rng(dark)
    frames = [CCDData(f.data + rng.poisson(dark, f.shape).astype("f4"), unit=f.unit)
              for f in SIM.flats(4)]
    two_pass_flat_combine(frames, ORDERS)  # warnings are errors
