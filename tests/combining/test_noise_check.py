# Licensed under a 3-clause BSD style license - see LICENSE.rst
import warnings

import numpy as np
import pytest
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.utils.exceptions import AstropyUserWarning
from ccdproc import subtract_bias

from ccdproc_echelle._numeric.spread import MAD_TO_SIGMA
from ccdproc_echelle.combining.combine import combine_frames
from ccdproc_echelle.combining.frame_scale import inner_order_scale
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


def test_shifts_of_the_frames_do_not_discredit_their_uncertainties():
    """Neighbours on the flank of an order see a shift, which is no noise."""
    rng, columns = np.random.default_rng(1), np.arange(300)
    centers = np.arange(20, 300, 40)[:, None]
    frames = []
    for shift in np.linspace(-1, 1, 5):
        light = 2e4 * np.exp(-0.5 * ((columns - centers - shift) / 1.5) ** 2).sum(axis=0) + 9
        data = rng.normal(light, np.sqrt(light), (200, 300))
        sigma = StdDevUncertainty(np.broadcast_to(np.sqrt(light), data.shape).copy())
        frames.append(CCDData(data, unit="electron", uncertainty=sigma))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        combine_frames(frames)
    assert not any("They are not used" in str(warning.message) for warning in caught)


def test_pixels_in_the_dark_do_not_vouch_for_those_in_the_light(faint):
    """As with a callable scale in a script written for `ccdproc.combine`."""
    frames, orders = faint.with_bias(300).flats(5, raw=True), faint.truth.orders
    dark = orders.order_map(margin=3) == 0
    bias = CCDData(
        np.full(dark.shape, 300.0), unit="adu",
        uncertainty=StdDevUncertainty(np.full(dark.shape, 2.0)),
    )
    inherited = [subtract_bias(frame, bias) for frame in frames]
    assert dark.mean() > 0.5
    with pytest.warns(AstropyUserWarning, match="differ by .* times .*They are not used"):
        flat = combine_frames(inherited, scale=inner_order_scale(orders))
    inside = orders.order_map(margin=-3) > 0
    truth = faint.truth.flat[inside]
    level = np.median(flat.data[inside] / truth)
    pulls = (flat.data[inside] - level * truth) / flat.uncertainty.array[inside]
    assert MAD_TO_SIGMA * np.median(np.abs(pulls)) == pytest.approx(1, abs=0.25)
