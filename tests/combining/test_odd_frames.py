# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""One frame that is not like the others: what that does to noise and levels of the set is said."""

import numpy as np
import pytest
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.utils.exceptions import AstropyUserWarning

from ccdproc_echelle import measure_noise, two_pass_flat_combine
from ccdproc_echelle.simulation import EchelleSimulation

SIMULATION = (
    EchelleSimulation(shape=(256, 260), n_orders=4, order_width=22, seed=31)
    .with_level_spread(0.4)
    .with_noise(gain=1.7, read_noise=5)
)
ORDERS = SIMULATION.truth.orders


def with_odd(change, *, which=1, n=5, uncertainty=False):
    """Flats of which one is changed."""
    frames = SIMULATION.flats(n, uncertainty=uncertainty)
    frames[which] = CCDData(
        change(frames[which].data.copy()), unit="adu", uncertainty=frames[which].uncertainty
    )
    return frames


# ---------------------------------------------------------------------------------------- noise


@pytest.mark.parametrize("change", [
    lambda data: SIMULATION.flats(1, uncertainty=False)[0].data,  # a copy of the first frame
    lambda data: np.mean([f.data for f in SIMULATION.flats(9, uncertainty=False)[5:]], axis=0),
    lambda data: 2 * data,
], ids=["copy", "average", "another gain"])
def test_noise_that_one_frame_does_not_share(change):
    advice = "frame .* and frame .* differ by .* one of them a copy"
    with pytest.warns(AstropyUserWarning, match=advice):
        noise = measure_noise(with_odd(change), ORDERS)
    assert not noise.is_known


@pytest.mark.parametrize("change", [
    lambda data: data[::-1],
    lambda data: np.minimum(data, 0.3 * data.max()),
], ids=["upside down", "saturated"])
def test_a_frame_of_another_scene_is_no_noise(change):
    with pytest.warns(AstropyUserWarning, match="do all frames show the same light"):
        noise = measure_noise(with_odd(change))
    assert not noise.is_known


def test_uncertainties_that_one_frame_does_not_know():
    frames = SIMULATION.flats(5)
    frames[0].uncertainty = StdDevUncertainty(np.full(frames[0].shape, np.nan))
    with pytest.warns(AstropyUserWarning, match="most uncertainties of frame 0 are NaN"):
        flat = two_pass_flat_combine(frames, ORDERS)
    inside = ORDERS.order_map(margin=-3) > 0
    error = flat.data[inside] - SIMULATION.truth.flat[inside]
    assert np.std(error / flat.uncertainty.array[inside]) == pytest.approx(1, abs=0.05)


# --------------------------------------------------------------------------------------- levels


def test_a_frame_of_a_lamp_that_was_off():
    dark = np.random.default_rng(0).normal(1, 3, ORDERS.shape)
    frames = with_odd(lambda data: dark, uncertainty=True)
    with pytest.raises(ValueError, match="frame 1 has no light"):
        two_pass_flat_combine(frames, ORDERS)


@pytest.mark.parametrize("turn", [
    lambda data: data[::-1], lambda data: data[::-1, ::-1], lambda data: data.T[:256],
], ids=["upside down", "turned", "transposed"])
@pytest.mark.parametrize("which", [0, 2])
def test_a_frame_turned_the_other_way_is_named(turn, which):
    def change(data):
        return np.pad(turn(data), ((0, 0), (0, 260 - turn(data).shape[1])), mode="edge")

    with pytest.warns(AstropyUserWarning) as caught:
        two_pass_flat_combine(with_odd(change, which=which), ORDERS)
    said = [str(warning.message) for warning in caught]
    assert said[0].startswith(f"the orders of frame {which} are elsewhere than those of the other")
    assert not any("offset" in message or "table" in message for message in said)


def test_variances_that_are_called_standard_deviations():
    frames = SIMULATION.flats(4)
    for frame in frames:
        frame.uncertainty = StdDevUncertainty(frame.uncertainty.array**2)
    with pytest.warns(AstropyUserWarning, match="differ by only 0.0.*are they variances"):
        flat = two_pass_flat_combine(frames, ORDERS)
    inside = ORDERS.order_map(margin=-3) > 0
    error = flat.data[inside] - SIMULATION.truth.flat[inside]
    assert np.std(error / flat.uncertainty.array[inside]) == pytest.approx(1, abs=0.05)
