# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.utils.exceptions import AstropyUserWarning

from ccdproc_echelle.combining.levels import measure_exposure_levels
from ccdproc_echelle.simulation import EchelleSimulation


@pytest.fixture(scope="module")
def faint():
    """A simulation of few photons."""
    simulation = EchelleSimulation(shape=(256, 256), n_orders=5, seed=0, peak=2000)
    return simulation.with_level_spread(0.35)


# The middle one of an odd number of values is never clipped.
@pytest.mark.parametrize(("n_frames", "sigma", "found"), [
    (5, 2.0, "differ by .* times what their uncertainties allow for"),
    (4, 0.02, "leaves no frame in .* of the pixels"),
])
def test_uncertainties_that_are_not_those_of_the_flats_are_noticed(faint, n_frames, sigma, found):
    frames, orders = faint.flats(7), faint.truth.orders
    # ccdproc.subtract_dark hands the uncertainty of the dark to a flat that has none.
    of_the_dark = [
        CCDData(frame.data, unit="adu", uncertainty=StdDevUncertainty(np.full(frame.shape, sigma)))
        for frame in frames[:n_frames]
    ]
    with pytest.warns(AstropyUserWarning, match=f"{found}.*create_deviation"):
        measure_exposure_levels(of_the_dark, orders)
