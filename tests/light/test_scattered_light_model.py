# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Scattered light of a set: one model, from which each frame is measured."""

import pickle
import warnings
from dataclasses import replace

import numpy as np
import pytest
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.utils.exceptions import AstropyUserWarning

from ccdproc_echelle._numeric.roots import inverse_root
from ccdproc_echelle.frames import CalibratedFrame, MemoryFrame, standard_deviation
from ccdproc_echelle.light import (
    ScatteredLightModel,
    ScatteredLightSample,
    fit_scattered_light,
    sample_scattered_light,
    sums_of,
)
from ccdproc_echelle.light.scattered_noise import noise_variance
from ccdproc_echelle.orders import detect_order_edges
from ccdproc_echelle.simulation import EchelleSimulation

N_FRAMES = 5


@pytest.fixture(scope="module")
def sim():
    return (
        EchelleSimulation(shape=(400, 500), n_orders=6, seed=3).with_scattered_light(0.04)
        .with_cosmic_rays(200).with_level_spread(0.35).with_drift(0.03)
    )


@pytest.fixture(scope="module")
def flats(sim):
    return sim.flats(N_FRAMES)


@pytest.fixture(scope="module")
def typical(flats):
    return CCDData(np.median([flat.data for flat in flats], axis=0), unit="adu")


@pytest.fixture(scope="module")
def sample(sim, typical):
    return sample_scattered_light(typical, sim.truth.orders)


@pytest.fixture(scope="module")
def model(sample):
    return ScatteredLightModel(sample)


def taken(sample, frame, mask=False):
    uncertainty = standard_deviation(frame, "frame")
    values, sigma = (
        None if image is None else image.ravel()[sample.pixels]
        for image in (frame.data, uncertainty)
    )
    good = np.isfinite(values) & ~np.broadcast_to(mask, frame.shape).ravel()[sample.pixels]
    return sample.of_frame(values, good, sigma)


@pytest.fixture(scope="module")
def measured(sample, model):
    return lambda frame, mask=False: model.measure(taken(sample, frame, mask))


@pytest.fixture(scope="module")
def scattered(measured, flats):
    return [measured(flat) for flat in flats]


@pytest.fixture(scope="module")
def own_fits(sim, flats):
    return [fit_scattered_light(flat, sim.truth.orders) for flat in flats]


def error_of_sum(light, weights):
    return sums_of([light], weights)[1][0]


def expected(sim, index):
    light = sim.truth.levels(N_FRAMES)[index] * sim.truth.drift(N_FRAMES)[index]
    return light * sim.truth.scattered_light


def without_response(scattered):
    return scattered.noise * scattered.shape_error.image()


def test_pixels_are_few_and_ascending(sample, sim):
    assert (np.diff(sample.pixels) > 0).all()
    assert 0 <= sample.pixels[0] and sample.pixels[-1] < np.prod(sim.shape)


def test_frames_agree_with_their_own_fits_and_the_truth(sim, own_fits, scattered):
    inside = sim.truth.orders.order_map() > 0
    for i, (own_fit, light) in enumerate(zip(own_fits, scattered, strict=True)):
        surface, _ = light.rows()
        error, true = without_response(light)[inside], expected(sim, i)[inside]
        own = own_fit.data[inside]
        assert np.sqrt(np.mean(((surface[inside] - own) / error) ** 2)) < 1
        assert np.sqrt(np.mean(((surface[inside] - true) / error) ** 2)) < 1.3
        assert np.sqrt(np.mean((surface[inside] / true - 1) ** 2)) < 0.01
        assert light.remark == ""


def test_the_model_of_a_frame_is_its_own_fit(sim, flats, own_fits):
    sample = sample_scattered_light(flats[0], sim.truth.orders)
    light = ScatteredLightModel(sample).measure(taken(sample, flats[0]))
    own = own_fits[0]
    surface, error = light.rows()
    np.testing.assert_array_equal(surface, own.data)
    np.testing.assert_array_equal(error, own.uncertainty.array)
    assert light.noise == pytest.approx(1, abs=0.01)


def test_any_rows_are_those_of_the_whole_image(scattered):
    for images in zip(scattered[0].rows(), scattered[0].rows(slice(37, 90)), strict=True):
        np.testing.assert_allclose(images[1], images[0][37:90], rtol=1e-12)


@pytest.mark.parametrize("axis", [0, 1])
def test_single_pixels_are_those_of_the_whole_image(scattered, axis):
    coefficients = scattered[0].coefficients.copy()
    coefficients[:40] -= coefficients.max()  # so that it is cut at zero somewhere
    light = replace(scattered[0], dispersion_axis=axis, coefficients=coefficients)
    rows, columns = np.random.default_rng(5).integers(light.shape, size=(500, 2)).T
    images = light.rows_with_variance()
    assert (images[0] == 0).any()
    for values, image in zip(light.at(rows, columns), images, strict=True):
        np.testing.assert_allclose(values, image[rows, columns], rtol=1e-12, atol=1e-12)


def test_rows_where_the_orders_run_along_columns(sim, flats, scattered):
    turned = ScatteredLightSample(
        np.median([flat.data.T for flat in flats], axis=0), np.ones(sim.shape[::-1], bool),
        sim.truth.orders.transposed(),
    )
    uncertainty = StdDevUncertainty(flats[0].uncertainty.array.T)
    frame = CCDData(flats[0].data.T, unit="adu", uncertainty=uncertainty)
    light = ScatteredLightModel(turned).measure(taken(turned, frame))
    assert light.shape == sim.shape[::-1]
    for image, other in zip(light.rows(slice(20, 60)), scattered[0].rows(), strict=True):
        assert image.flags.c_contiguous
        np.testing.assert_allclose(image, other.T[20:60], rtol=1e-10)
    weights = np.random.default_rng(1).uniform(size=sim.shape)
    assert error_of_sum(light, weights.T) == pytest.approx(error_of_sum(scattered[0], weights))


def test_the_error_of_a_sum_is_that_of_its_covariance(scattered):
    weights = np.zeros(scattered[0].shape)
    weights[200, 250] = 2.0
    single = 2 * without_response(scattered[0])[200, 250]
    assert error_of_sum(scattered[0], weights) == pytest.approx(single, rel=0.02)
    sums = scattered[0].shape_error.basis.sums(weights)
    assert error_of_sum(scattered[0], weights) ** 2 == pytest.approx(
        sums @ scattered[0].covariance @ sums)


def test_model_and_result_can_be_pickled(flats, sample, model, scattered):
    copy = pickle.loads(pickle.dumps(scattered[0]))
    assert len(pickle.dumps(scattered[0])) < 200_000
    other = pickle.loads(pickle.dumps(model)).measure(taken(sample, flats[0]))
    for images in zip(scattered[0].rows(), copy.rows(), other.rows(), strict=True):
        np.testing.assert_array_equal(images[1], images[0])
        np.testing.assert_array_equal(images[2], images[0])


@pytest.mark.parametrize("level", [0.03, 0.3, 4.0])
def test_frames_may_differ_in_level(sim, typical, measured, level):
    noise = np.random.default_rng(2).normal(0, 3, sim.shape)
    frame = CCDData(level * typical.data + noise, unit="adu")
    surface, error = measured(frame).rows()
    own = fit_scattered_light(frame, sim.truth.orders)
    inside = sim.truth.orders.order_map() > 0
    pulls = (surface - own.data)[inside] / error[inside]
    assert np.sqrt(np.mean(pulls**2)) < 1


def test_masked_pixels_do_not_matter(sim, flats, measured, scattered):
    """Some here and there, and so many at one place that the frame needs its own factor."""
    rows, columns = np.indices(sim.shape)
    for mask in (np.random.default_rng(3).random(sim.shape) < 0.03, (rows < 90) & (columns < 90)):
        spoilt = flats[0].copy()
        spoilt.data = np.where(mask, np.nan, flats[0].data)
        light = measured(spoilt)
        away = (sim.truth.orders.order_map() > 0) & ~mask
        pulls = (light.rows()[0] - scattered[0].rows()[0])[away] / without_response(light)[away]
        assert np.sqrt(np.mean(pulls**2)) < 0.5
    assert without_response(light)[20, 20] > 2 * without_response(scattered[0])[20, 20]


def test_cosmic_rays_do_not_matter(sim, flats, measured, scattered):
    rng = np.random.default_rng(4)
    hit = flats[0].copy()
    where = rng.random(sim.shape) < 0.02
    hit.data = flats[0].data + where * rng.exponential(3000, sim.shape)
    light = measured(hit)
    pulls = (light.rows()[0] - scattered[0].rows()[0]) / without_response(scattered[0])
    assert np.sqrt(np.mean(pulls**2)) < 0.5


def test_light_that_no_other_frame_has_is_followed(sim, flats, measured):
    """A glow rougher than the surface of the set."""
    rows, columns = np.indices(sim.shape)
    glow = 300 * np.exp(-((rows - 350) ** 2 + (columns - 60) ** 2) / 3200)
    frame = flats[0].copy()
    frame.data = flats[0].data + glow
    inside = sim.truth.orders.order_map() > 0
    error = (measured(frame).rows()[0] - glow - expected(sim, 0))[inside]
    assert np.sqrt(np.mean(error**2)) < 0.01 * expected(sim, 0).mean()


def test_a_frame_without_light(sim, measured):
    noise = CCDData(np.random.default_rng(5).normal(0, 3, sim.shape), unit="adu")
    surface, error = measured(noise).rows()
    assert surface.min() >= 0 and surface.max() < 1
    assert 0 < error.min() and error.max() < 1


def test_what_is_wrong_with_a_frame_is_said(sim, flats, measured):
    dark = flats[0].copy()
    dark.data = flats[0].data - 1000.0
    assert "inter-order area is negative" in measured(dark).remark
    with pytest.raises(ValueError, match="^0 pixels between the orders are good, expected at le"):
        measured(flats[0], mask=True)
    huge = flats[0].copy()
    huge.data = np.full(sim.shape, 1e80)
    with pytest.raises(ValueError, match=r"values of 1e\+80, expected at most"):
        measured(huge)


def test_rows_of_a_frame_less_its_light(sim, flats, scattered):
    frame = CalibratedFrame(MemoryFrame(flats[0], "flat"), surface=scattered[0])
    section = frame.part(slice(50, 90)).load().section(slice(3, 20))
    surface, error = (image[53:70] for image in scattered[0].rows())
    np.testing.assert_allclose(section.data, flats[0].data[53:70] - surface, rtol=1e-5, atol=1e-3)
    own = flats[0].uncertainty.array[53:70]
    np.testing.assert_allclose(section.variance, own**2 + error**2, rtol=1e-5)


def test_a_matrix_without_a_root_is_refused():
    with pytest.raises(np.linalg.LinAlgError):
        inverse_root(-np.eye(200))


def test_saturated_frames_whose_orders_are_not_proportional():
    simulation = EchelleSimulation(shape=(256, 300), n_orders=6, brightness_ratio=30, peak=4e5,
                                   seed=1)
    typical, frame = (np.minimum(flat.data + 50, 20_000) for flat in simulation.flats(2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyUserWarning)  # of edges where the light is saturated
        orders = detect_order_edges(typical, simulation.truth.orders)
    sample = ScatteredLightSample(typical, np.isfinite(typical), orders)
    frame = taken(sample, CCDData(frame, unit="adu"))
    surface, _ = ScatteredLightModel(sample).measure(frame).rows(slice(0, 256))
    assert np.median(surface) == pytest.approx(50, rel=0.02)


def test_pixels_where_the_fit_falls_to_zero_do_not_outweigh_all_others():
    light = np.concatenate([np.zeros(10), np.linspace(1, 5, 990)])
    residuals = light * np.resize([1.0, -1.0], 1000)  # a line through them has no constant
    variance = noise_variance(
        residuals, light, np.zeros(1000), np.ones(1000, dtype=bool))
    assert variance.min() > 1e-3 * variance.mean()
