# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Uncertainties that are a few times too small or too large are noticed; honest ones are not."""

import re
import warnings

import numpy as np
import pytest
from astropy.nddata import CCDData, InverseVariance, StdDevUncertainty, VarianceUncertainty
from astropy.utils.exceptions import AstropyUserWarning

from ccdproc_echelle import (
    combine_frames,
    make_master_flat,
    measure_exposure_levels,
    two_pass_flat_combine,
)
from ccdproc_echelle.combining.size_of_noise import factors_of_noise
from ccdproc_echelle.simulation import EchelleSimulation

SIM = EchelleSimulation(shape=(200, 220), n_orders=4, seed=5).with_level_spread(0.3)
ORDERS = SIM.truth.orders


def claimed(factor, n_frames, which=slice(None), kind=StdDevUncertainty):
    """Flats whose uncertainties, or those of some of them, are multiplied by a factor."""
    frames = SIM.flats(n_frames)
    for frame in frames[which]:
        sigma = StdDevUncertainty(frame.uncertainty.array * np.float32(factor))
        frame.uncertainty = sigma.represent_as(kind)
    return frames


def warnings_of(function, *args, **keywords) -> list[str]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        function(*args, **keywords)
    return [str(warning.message) for warning in found]


@pytest.mark.parametrize("function", [
    two_pass_flat_combine, measure_exposure_levels,
    lambda frames, orders: make_master_flat(frames, orders, scattered_light=None),
    lambda frames, orders: combine_frames(frames),
])
@pytest.mark.parametrize(("factor", "said"), [(1 / 3, "too small"), (1, ""), (3, "too large")])
def test_wherever_uncertainties_are_used(function, factor, said):
    found = warnings_of(function, claimed(factor, 4), ORDERS)
    assert len(found) == (factor != 1)
    if said:
        times = float(re.search(rf"of the frames are about ([\d.]+) times {said}", found[0])[1])
        assert times == pytest.approx(3, rel=0.15)


@pytest.mark.parametrize("n_frames", [2, 3, 7])
@pytest.mark.parametrize("kind", [VarianceUncertainty, InverseVariance])
def test_whatever_their_kind_and_number(kind, n_frames):
    with pytest.warns(AstropyUserWarning, match="about (2.[6-9]|3(.[0-4])?) times too small"):
        two_pass_flat_combine(claimed(1 / 3, n_frames, kind=kind), ORDERS)
    assert not warnings_of(two_pass_flat_combine, claimed(1, n_frames, kind=kind), ORDERS)


def test_a_single_frame_is_named():
    with pytest.warns(AstropyUserWarning, match="uncertainties of frame 2 are .* too large"):
        two_pass_flat_combine(claimed(4, 6, slice(2, 3)), ORDERS)


def test_an_illumination_that_drifts_is_not_noise():
    drifting = SIM.with_drift(0.03)
    assert not warnings_of(two_pass_flat_combine, drifting.flats(4), ORDERS)


def test_frames_whose_noise_was_given_are_only_compared_once():
    found = warnings_of(
        make_master_flat, claimed(1, 4), ORDERS, gain=9, read_noise=4, scattered_light=None)
    assert len(found) == 1
    assert "gain is 9" in found[0]


@pytest.mark.parametrize("n_frames", [2, 3, 10])
def test_factors(n_frames):
    rng = np.random.default_rng(n_frames)
    true = rng.uniform(1, 3, (n_frames, 1)) * np.ones(8000)
    values = 1000 + true * rng.standard_normal(true.shape)
    values[0, ::50] += 1e4  # cosmic rays
    variances = (true / 2.5) ** 2
    variances[:, ::40] = np.nan
    found, error = factors_of_noise(values, variances)
    np.testing.assert_allclose(found, 2.5, rtol=5 * error)
    assert error < 0.03


def test_too_few_values():
    frames = [CCDData(np.ones((1, 2)) * x, unit="adu",
                      uncertainty=StdDevUncertainty(np.full((1, 2), 0.5))) for x in (1.0, 2.0)]
    assert not warnings_of(combine_frames, frames)
