# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Scattered light."""

import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import CCDData, VarianceUncertainty
from astropy.utils.exceptions import AstropyUserWarning

from ccdproc_echelle.light.scattered_light import (
    fit_scattered_light,
    has_interorder_pixels,
    subtract_scattered_light,
)
from ccdproc_echelle.orders import EchelleOrderTable
from ccdproc_echelle.orders.edges import detect_order_edges
from ccdproc_echelle.simulation import EchelleSimulation


@pytest.fixture(scope="module")
def sim():
    return (
        EchelleSimulation(shape=(260, 320), n_orders=4, seed=3)
        .with_scattered_light(0.04).with_cosmic_rays(80).with_bad_pixels(40)
    )


@pytest.fixture(scope="module")
def flat(sim):
    return sim.flats(1)[0]


@pytest.fixture(scope="module")
def scattered(sim, flat):
    return fit_scattered_light(flat, sim.truth.orders)


def expected(sim):
    return sim.truth.levels(1)[0] * sim.truth.scattered_light


def relative_rms(scattered, sim):
    inside = sim.truth.orders.order_map() > 0
    true = expected(sim)[inside]
    return np.sqrt(np.mean((scattered.data[inside] - true) ** 2)) / true.mean()


@pytest.mark.parametrize("detected", [False, True])
def test_scattered_light_is_recovered_in_the_orders(sim, flat, detected):
    orders = detect_order_edges(flat, sim.truth.orders) if detected else sim.truth.orders
    assert relative_rms(fit_scattered_light(flat, orders), sim) < 0.02


@pytest.mark.parametrize("seed", [1, 3, 8, 17])
def test_random_spectrographs(seed):
    sim = EchelleSimulation.random(seed).with_scattered_light(0.03).with_cosmic_rays(1000)
    assert relative_rms(fit_scattered_light(sim.flats(1)[0], sim.truth.orders), sim) < 0.02


@pytest.mark.parametrize("seed", [200, 141])
def test_edges_that_are_off(seed):
    """Narrow gaps, in one beside an order that the border cuts: wings are no scattered light."""
    sim = EchelleSimulation.random(seed)
    flat = sim.flats(1)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyUserWarning)  # of the order that is cut
        orders = detect_order_edges(flat, sim.truth.orders)
    table = orders.table.copy()
    table["lower"][:, 0] += 0.15 * u.pix
    table["upper"][:, 0] -= 0.15 * u.pix
    assert relative_rms(fit_scattered_light(flat, EchelleOrderTable(table)), sim) < 0.2


def test_no_bias_at_the_border(sim, scattered):
    ratio = scattered.data / expected(sim)
    border = np.concatenate([ratio[:10].ravel(), ratio[-10:].ravel(), ratio[:, :10].ravel()])
    assert abs(border.mean() - 1) < 0.02
    assert np.abs(ratio - 1).max() < 0.1


def test_corrected_flat_has_honest_uncertainty(sim, flat):
    corrected = subtract_scattered_light(flat, sim.truth.orders)
    pulls = corrected.data - sim.truth.levels(1)[0] * sim.truth.flat
    pulls /= corrected.uncertainty.array
    used = (sim.truth.orders.order_map() > 0) & ~flat.mask & ~sim.truth.cosmic_rays(1)[0]
    assert pulls[used].std() == pytest.approx(1, abs=0.03)


def test_pixel_response_is_in_the_uncertainty():
    # hardly any noise: what is left is the response of the pixels to the scattered light
    sim = EchelleSimulation(shape=(260, 320), n_orders=4, pixel_response=0.02)
    sim = sim.with_scattered_light(0.04).with_noise(gain=1e4, read_noise=4.0)
    scattered = fit_scattered_light(sim.flats(1)[0], sim.truth.orders)
    ratio = np.median(scattered.uncertainty.array / scattered.data)
    assert ratio == pytest.approx(0.02, rel=0.1)


def test_any_scale_gives_the_same(sim, flat, scattered):
    scaled = flat.copy()
    scaled.data = flat.data * 1e-4
    scaled.uncertainty.array = flat.uncertainty.array * 1e-4
    found = fit_scattered_light(scaled, sim.truth.orders)
    np.testing.assert_allclose(found.data, 1e-4 * scattered.data, rtol=1e-3)
    np.testing.assert_allclose(
        found.uncertainty.array, 1e-4 * scattered.uncertainty.array, rtol=1e-2
    )


def test_transposed(sim, flat):
    turned = CCDData(flat.data.T, unit="adu", mask=flat.mask.T)
    plain = CCDData(flat.data, unit="adu", mask=flat.mask)
    a = fit_scattered_light(plain, sim.truth.orders)
    b = fit_scattered_light(turned, sim.truth.orders.transposed())
    np.testing.assert_array_equal(a.data, b.data.T)
    np.testing.assert_array_equal(a.uncertainty.array, b.uncertainty.array.T)


def test_masked_and_non_finite_pixels_do_not_matter(sim, flat, scattered):
    spoilt = flat.copy()
    spoilt.data[flat.mask] = np.nan
    found = fit_scattered_light(spoilt, sim.truth.orders)
    np.testing.assert_array_equal(found.data, scattered.data)


def test_what_happens_to_unit_uncertainty_mask_and_header(sim, flat):
    frame = flat.copy()
    frame.uncertainty = VarianceUncertainty(flat.uncertainty.array**2)
    scattered = fit_scattered_light(frame, sim.truth.orders)
    assert scattered.unit == frame.unit and scattered.mask is None
    assert isinstance(scattered.uncertainty, VarianceUncertainty)
    corrected = subtract_scattered_light(frame, sim.truth.orders)
    assert corrected.header == frame.header
    np.testing.assert_array_equal(corrected.mask, frame.mask)
    np.testing.assert_allclose(corrected.data, frame.data - scattered.data, rtol=1e-5)
    np.testing.assert_allclose(
        corrected.uncertainty.array,
        frame.uncertainty.array + scattered.uncertainty.array, rtol=1e-5,
    )
    frame.uncertainty = None
    assert subtract_scattered_light(frame, sim.truth.orders).uncertainty is None


def test_without_scattered_light_none_is_found_and_nothing_is_negative():
    sim = EchelleSimulation(shape=(260, 320), n_orders=4)
    scattered = fit_scattered_light(sim.flats(1)[0], sim.truth.orders)
    assert scattered.data.min() >= 0
    assert scattered.data.max() < 2  # adu; a single pixel has 4 of read noise


def test_negative_interorder_area_is_reported(sim):
    frame = sim.flats(1)[0]
    frame.data -= 2 * expected(sim).max()
    with pytest.warns(AstropyUserWarning, match="inter-order area is negative"):
        scattered = fit_scattered_light(frame, sim.truth.orders)
    assert scattered.data.max() < 0


def test_negative_extrapolation_is_cut_and_reported():
    """Rows that see scattered light, ever less of it, and rows that are masked."""
    shape = (300, 300)
    orders = EchelleOrderTable.from_polynomials(
        [1, 2], [[60], [110]], lower=[[45], [95]], upper=[[75], [125]], shape=shape,
        dispersion_axis=1)
    rows = np.mgrid[:300, :300][0]
    data = 200.0 - rows + np.random.default_rng(1).normal(0, 2, shape)
    data[orders.order_map() > 0] += 3000
    frame = CCDData(data, unit="adu", mask=rows > 150)
    with pytest.warns(AstropyUserWarning, match="was negative, down to -.* in 3.* extrapolated"):
        scattered = fit_scattered_light(frame, orders)
    np.testing.assert_allclose(scattered.data[:150], (200.0 - rows)[:150], atol=1)
    assert scattered.data.min() == 0 and (scattered.data[220:] == 0).all()


def test_a_frame_of_zeros_has_no_scattered_light(sim):
    frame = CCDData(np.zeros(sim.shape), unit="adu")
    frame.uncertainty = VarianceUncertainty(np.full(sim.shape, 4.0))
    scattered = fit_scattered_light(frame, sim.truth.orders)
    assert (scattered.data == 0).all()
    assert (scattered.uncertainty.array > 0).all() and scattered.uncertainty.array.max() < 4


def test_too_few_pixels():
    orders = EchelleOrderTable.from_polynomials(
        [1], [[20]], lower=[[0.5]], upper=[[39]], shape=(40, 200), dispersion_axis=1)
    assert not has_interorder_pixels(orders)
    with pytest.raises(ValueError, match=r"^0 usable pixels are further than 1.0 .* at least 100"):
        fit_scattered_light(CCDData(np.ones((40, 200)), unit="adu"), orders)


def test_bad_input(sim, flat):
    orders = sim.truth.orders
    with pytest.raises(TypeError, match="frame is a ndarray, expected a CCDData"):
        fit_scattered_light(flat.data, orders)
    with pytest.raises(ValueError, match="margin is -1, expected"):
        fit_scattered_light(flat, orders, margin=-1)
    with pytest.raises(ValueError, match="shape"):
        fit_scattered_light(CCDData(np.ones((5, 5)), unit="adu"), orders)
    bare = EchelleOrderTable.from_polynomials(
        [1], [[20]], shape=flat.shape, dispersion_axis=1)
    with pytest.raises(ValueError, match="detect_order_edges"):
        fit_scattered_light(flat, bare)


@pytest.mark.parametrize(("n_rows", "n_orders", "sigma"), [
    (192, 26, 0.9), (262, 22, 1.5), (260, 13, 2.5),
])
def test_fibres_whose_wings_nearly_touch(n_rows, n_orders, sigma):
    """The narrowest gaps are a pixel wide: the wings there are no scattered light."""
    sim = EchelleSimulation(
        shape=(n_rows, 400), n_orders=n_orders, smallest_gap=0, brightness_ratio=5,
        pixel_response=0, seed=2,
    ).with_fibres(sigma=sigma).with_scattered_light(0.06)
    true = sim.truth.scattered_light
    light = sim.truth.flat + true
    noise = np.random.default_rng(2).normal(scale=3e-4 * np.sqrt(1 + light / 0.06))
    flat = CCDData(light + noise, unit="")
    orders = detect_order_edges(flat, sim.truth.orders, profile="fibre")
    scattered = fit_scattered_light(flat, orders)
    inside = orders.order_map() > 0
    error = (scattered.data - true)[inside]
    assert np.sqrt(np.mean(error**2)) < 0.02 * 0.06
    assert np.sqrt(np.mean((error / scattered.uncertainty.array[inside]) ** 2)) < 1.3


def test_gaps_beside_fibres_are_used_from_half_a_pixel_on():
    orders = EchelleOrderTable.from_polynomials(
        [1, 2], [[10], [21]], lower=[[-1], [16.6]], upper=[[15.4], [40]], shape=(40, 200),
        dispersion_axis=1)
    assert not has_interorder_pixels(orders)
    table = orders.table
    table["profile"] = "fibre"
    assert has_interorder_pixels(EchelleOrderTable(table))
