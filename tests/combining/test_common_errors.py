# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from astropy.nddata import CCDData

from ccdproc_echelle.combining.common_errors import with_common_errors
from ccdproc_echelle.combining.levels import measure_exposure_levels
from ccdproc_echelle.simulation import EchelleSimulation

SMALL = EchelleSimulation(shape=(256, 256), n_orders=5, seed=3).with_level_spread(0.35)


@pytest.fixture(scope="module")
def small_frames():
    return SMALL.flats(5)


def test_errors_that_the_pixels_of_a_frame_have_in_common(small_frames):
    """A surface that may be wrong by 3 adu everywhere, the other way for another frame."""
    orders = SMALL.truth.orders
    levels = measure_exposure_levels(small_frames, orders, per_order=True)
    flat = CCDData(SMALL.truth.flat, unit="", mask=np.zeros(SMALL.shape, dtype=bool))
    flat.mask[:, :60] = True
    sigmas = np.array([3, 0, 0, 0, 6])
    found = with_common_errors(
        levels, lambda weights: sigmas * weights.sum(), flat, orders, window=10
    )
    inner = [one.inner_mask(10) & ~flat.mask for one in orders]
    of_orders = np.array([1 / flat.data[where].mean() for where in inner])
    of_frame = (1 / flat.data[np.any(inner, axis=0)]).mean()
    for name, added in (("level", of_frame), ("order_level", of_orders)):
        before, after = (table[f"{name}_uncertainty"].value for table in (levels, found))
        np.testing.assert_array_equal(after[1:4], before[1:4])
        np.testing.assert_allclose(after[0], np.hypot(before[0], 3 * added), rtol=1e-9)
        np.testing.assert_allclose(after[4], np.hypot(before[4], 6 * added), rtol=1e-9)
        np.testing.assert_array_equal(found[name], levels[name])
