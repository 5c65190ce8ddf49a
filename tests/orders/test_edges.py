# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Order edges against the truth of simulated flats, and the masking of the inter-order area."""

import re
import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import (
    CCDData,
    InverseVariance,
    StdDevUncertainty,
    UnknownUncertainty,
    VarianceUncertainty,
)
from astropy.utils.exceptions import AstropyUserWarning
from astropy.wcs import WCS
from scipy.special import ndtr

from ccdproc_echelle.orders import EchelleOrderTable, slits
from ccdproc_echelle.orders.edges import (
    detect_order_edges,
    fit_order_edges,
    measure_order_edges,
    poorly_measured,
)
from ccdproc_echelle.orders.masking import mask_interorder
from ccdproc_echelle.orders.slices import Slices
from ccdproc_echelle.simulation import EchelleSimulation
from ccdproc_echelle.simulation.geometry import slit_image


def edge_errors(found, truth):
    """Measured minus true edges: (2, n_orders, n_pixels)."""
    return np.stack([found.lower() - truth.lower(), found.upper() - truth.upper()])


def assert_edges(found, truth, *, rms=0.05, bias=0.02):
    """The limits hold for the median order; none is four times worse."""
    errors = edge_errors(found, truth)
    rms_of_order = np.sqrt(np.nanmean(errors**2, axis=2))
    bias_of_order = np.nanmean(errors, axis=2)
    assert (np.median(rms_of_order, axis=1) < rms).all()
    assert (np.abs(np.median(bias_of_order, axis=1)) < bias).all()
    assert rms_of_order.max() < 4 * rms


def hidden_centers(orders, amplitude):
    """The order table with centres that are integers and wander off by some pixels."""
    pixels = np.arange(orders.shape[orders.dispersion_axis])
    wander = amplitude * np.sin(pixels / 150 + np.arange(len(orders))[:, None])
    return EchelleOrderTable.from_traces(
        orders.order_numbers, np.rint(orders.center() + wander), shape=orders.shape,
        dispersion_axis=orders.dispersion_axis, degree=6,
    )


def one_slit(position, width, *, sigma=1.0, height=100.0, background=0.0, shape=(60, 200)):
    """A straight order: a top-hat blurred by a Gaussian, sampled finely, averaged over pixels."""
    n_fine = 201
    rows = np.arange(shape[0])[:, None] + (np.arange(n_fine) - n_fine // 2) / n_fine
    lower, upper = position - width / 2, position + width / 2
    light = (ndtr((rows - lower) / sigma) - ndtr((rows - upper) / sigma)).mean(axis=1)
    return background + height * np.broadcast_to(light[:, None], shape)


def one_order(position, shape=(60, 200)):
    return EchelleOrderTable.from_polynomials([5], [[position]], shape=shape, dispersion_axis=1)


# ---------------------------------------------------------------------- accuracy


@pytest.mark.parametrize("dispersion_axis", [0, 1])
def test_edges_agree_with_truth(dispersion_axis):
    sim = EchelleSimulation(dispersion_axis=dispersion_axis, shape=(640, 600), n_orders=8)
    assert_edges(detect_order_edges(sim.flats(1)[0], sim.truth.orders), sim.truth.orders)


def test_full_size_statistics():
    sim = EchelleSimulation().with_scattered_light(0.03).with_dust(40)
    found = detect_order_edges(sim.flats(1)[0], sim.truth.orders)
    assert_edges(found, sim.truth.orders, rms=0.02, bias=0.01)


def test_transposed_frame_gives_the_same_edges():
    sim = EchelleSimulation(shape=(400, 300), n_orders=5)
    flat = sim.flats(1)[0]
    along_rows = detect_order_edges(flat, sim.truth.orders)
    turned = CCDData(flat.data.T, unit=flat.unit, uncertainty=StdDevUncertainty(
        flat.uncertainty.array.T))
    along_columns = detect_order_edges(turned, sim.truth.orders.transposed())
    np.testing.assert_array_equal(along_columns.lower(), along_rows.lower())
    np.testing.assert_array_equal(along_columns.upper(), along_rows.upper())


@pytest.mark.parametrize("slope", [-0.2, 0.1])
def test_sloped_plateau_does_not_bias(slope):
    sim = EchelleSimulation(shape=(512, 600), n_orders=6, slit_slope=slope).without_noise()
    assert_edges(detect_order_edges(sim.flats(1)[0], sim.truth.orders), sim.truth.orders, bias=0.01)


def test_slit_structure_does_not_bias():
    sim = EchelleSimulation(shape=(512, 600), n_orders=6).without_noise()
    flat, truth = sim.flats(1)[0].data, sim.truth.orders
    wave = 1 + 0.03 * np.sin(np.arange(512) * 0.9)[:, None]
    assert_edges(detect_order_edges(flat * wave, truth), truth)


@pytest.mark.parametrize("n_pixels", [24, 30, 36])
def test_slices_of_a_single_pixel(n_pixels):
    sim = EchelleSimulation(shape=(60, n_pixels), n_orders=2, seed=1)
    with warnings.catch_warnings(action="error"):
        found = detect_order_edges(sim.flats(1)[0], sim.truth.orders)
    assert np.nanmax(np.abs(edge_errors(found, sim.truth.orders))) < 0.09


@pytest.mark.parametrize(
    ("width", "sigma", "rms"), [(4.0, 0.6, 0.04), (8.0, 1.0, 0.03), (60.0, 1.5, 0.02)]
)
def test_narrow_and_wide_orders(width, sigma, rms):
    n_orders = int(512 // (2.2 * width + 14))
    sim = EchelleSimulation(
        shape=(512, 400), n_orders=n_orders, order_width=width, psf_sigma=sigma,
    )
    assert_edges(detect_order_edges(sim.flats(1)[0], sim.truth.orders), sim.truth.orders, rms=rms)


@pytest.mark.parametrize("position", [29.0, 29.25, 29.5, 29.8])
def test_pixel_phase_of_a_straight_order(position):
    flat = one_slit(position, 20.0, background=7.0)
    found = detect_order_edges(flat, one_order(30), slice_length=50)
    np.testing.assert_allclose(found.lower(), position - 10, atol=0.02)
    np.testing.assert_allclose(found.upper(), position + 10, atol=0.02)


def test_threshold_moves_the_edges_as_the_blur_says():
    flat = one_slit(29.3, 20.0, sigma=2.0)
    found = detect_order_edges(flat, one_order(30), slice_length=50, threshold=ndtr(-1.0))
    blur = np.hypot(2.0, 12**-0.5)
    np.testing.assert_allclose(found.lower(), 19.3 - blur, atol=0.1)
    np.testing.assert_allclose(found.upper(), 39.3 + blur, atol=0.1)


def test_threshold_pair_takes_the_first_level_that_is_found():
    flat, order = one_slit(29.3, 20.0, sigma=2.0), one_order(30)
    single = detect_order_edges(flat, order, slice_length=50, threshold=0.2)
    pair = detect_order_edges(flat, order, slice_length=50, threshold=(0.2, 0.5))
    np.testing.assert_array_equal(pair.lower(), single.lower())


def test_crude_centers_are_recentred_but_kept():
    sim = EchelleSimulation(shape=(640, 600), n_orders=8)
    crude = hidden_centers(sim.truth.orders, 5)
    found = detect_order_edges(sim.flats(1)[0], crude)
    assert_edges(found, sim.truth.orders)
    np.testing.assert_array_equal(found.center(), crude.center())
    np.testing.assert_array_equal(found.order_numbers, crude.order_numbers)


def test_neighbours_that_nearly_touch():
    shape = (100, 200)
    flat = sum(one_slit(place, 20.0, shape=shape) for place in (25.0, 49.0, 73.0))
    orders = EchelleOrderTable.from_polynomials(
        [1, 2, 3], [[25], [49], [73]], shape=shape, dispersion_axis=1)
    found = detect_order_edges(flat, orders)
    np.testing.assert_allclose(found.lower([100])[:, 0], [15, 39, 63], atol=0.15)
    np.testing.assert_allclose(found.upper([100])[:, 0], [35, 59, 83], atol=0.15)


def test_order_missing_from_the_table_does_no_harm():
    sim = EchelleSimulation(shape=(640, 600), n_orders=8)
    numbers = np.delete(sim.truth.orders.order_numbers, [0, 3])
    truth = sim.truth.orders.select(numbers)
    assert_edges(detect_order_edges(sim.flats(1)[0], truth), truth)


# ---------------------------------------------------------------------- what is not to be seen


@pytest.mark.parametrize("flipped", [False, True])
def test_order_cut_by_the_detector(flipped):
    sim = EchelleSimulation(shape=(512, 600), n_orders=6, cut_orders=True)
    flat, truth = sim.flats(1)[0].data, sim.truth.orders
    assert truth.lower().min() < -3
    if flipped:  # the order leaves at the other border
        flat = flat[::-1]
        truth = EchelleOrderTable.from_traces(
            truth.order_numbers, 511 - truth.center(), lower=511 - truth.upper(),
            upper=511 - truth.lower(), shape=truth.shape, dispersion_axis=1)
    assert_edges(detect_order_edges(flat, truth), truth)


def test_order_of_which_one_edge_is_never_seen():
    sim = EchelleSimulation(shape=(512, 600), n_orders=6)
    flat, truth = sim.flats(1)[0], sim.truth.orders
    row = int(truth.lower()[0].max()) + 8
    part = slice(row, None), slice(None)
    found = detect_order_edges(flat.data[part], truth.cropped(part))
    assert np.isnan(found.table["lower_rms"][0])
    assert_edges(found, truth.cropped(part), rms=0.1, bias=0.03)


def test_faint_order_is_named_and_placed_by_its_neighbours():
    sim = EchelleSimulation(shape=(512, 600), n_orders=6)
    flat, truth = sim.flats(1)[0], sim.truth.orders
    dark = np.abs(np.arange(512)[:, None] - truth.center()[3]) < 30
    data = np.where(dark, np.random.default_rng(0).normal(0, 4, flat.shape), flat.data)
    with pytest.warns(AstropyUserWarning, match=rf"orders \[{truth.order_numbers[3]}\] could"):
        found = detect_order_edges(data, truth)
    assert_edges(found, truth, rms=0.1, bias=0.05)
    assert np.isnan(found.table["upper_rms"][3])


def test_steep_blaze_and_faint_orders():
    sim = EchelleSimulation(brightness_ratio=300, peak=5000)
    found = detect_order_edges(sim.flats(1)[0], sim.truth.orders)
    assert_edges(found, sim.truth.orders)


# ---------------------------------------------------------------------- bad pixels


def test_cosmic_rays_hot_pixels_and_masked_columns_do_not_matter():
    sim = EchelleSimulation(shape=(512, 600), n_orders=6)
    clean = detect_order_edges(sim.flats(1)[0], sim.truth.orders)
    flat = sim.with_cosmic_rays(300, amplitude=500).with_bad_pixels(600).flats(1)[0]
    flat.data[:, 100:110] = 1e6
    flat.mask[:, 100:110] = True
    flat.data[:, 300] = np.nan
    flat.data[250:252, :40] = np.inf
    found = detect_order_edges(flat, sim.truth.orders)
    assert_edges(found, sim.truth.orders)
    np.testing.assert_allclose(found.upper(), clean.upper(), atol=0.03)


def test_long_masked_stretch_is_bridged():
    sim = EchelleSimulation(shape=(512, 600), n_orders=6)
    flat = sim.flats(1)[0]
    flat.mask = np.zeros(flat.shape, dtype=bool)
    flat.mask[:, 400:520] = True
    assert_edges(detect_order_edges(flat, sim.truth.orders), sim.truth.orders)


@pytest.mark.parametrize("kind", [CCDData, np.ma.MaskedArray, np.ndarray])
def test_kinds_of_input_agree(kind):
    sim = EchelleSimulation(shape=(300, 300), n_orders=4)
    data = sim.flats(1, uncertainty=False)[0].data
    bad = np.zeros(data.shape, dtype=bool)
    bad[:, 50] = True
    flat = {
        CCDData: CCDData(np.where(bad, 1e9, data), mask=bad, unit="adu"),
        np.ma.MaskedArray: np.ma.MaskedArray(data, bad),
        np.ndarray: np.where(bad, np.nan, data),
    }[kind]
    found = detect_order_edges(flat, sim.truth.orders)
    expected = detect_order_edges(np.where(bad, np.nan, data), sim.truth.orders)
    np.testing.assert_array_equal(found.lower(), expected.lower())


def test_uncertainty_decides_what_is_bright_enough():
    sim = EchelleSimulation(shape=(300, 300), n_orders=4)
    flat = sim.flats(1)[0]
    flat.uncertainty = VarianceUncertainty(flat.uncertainty.array**2)
    assert_edges(detect_order_edges(flat, sim.truth.orders), sim.truth.orders)
    flat.uncertainty.array *= 1e8
    with pytest.raises(ValueError, match="no order edges found"):
        detect_order_edges(flat, sim.truth.orders)


def test_input_is_not_changed():
    sim = EchelleSimulation(shape=(300, 300), n_orders=4).with_bad_pixels(20)
    flat = sim.flats(1)[0]
    before = flat.copy()
    detect_order_edges(flat, sim.truth.orders)
    np.testing.assert_array_equal(flat.data, before.data)
    np.testing.assert_array_equal(flat.mask, before.mask)


# ---------------------------------------------------------------------- the residuals


def test_rms_is_the_scatter_of_the_measured_points():
    """The edges of the frame jump up and down by half a pixel from slice to slice."""
    flat = np.zeros((60, 400))
    shift = np.repeat(np.arange(40) % 2, 10)
    rows = np.arange(60)[:, None]
    flat[(rows >= 20 + shift) & (rows < 40 + shift)] = 1.0
    found = detect_order_edges(
        flat, one_order(30, flat.shape), slice_length=50, slice_width=10, degree=1)
    np.testing.assert_allclose(found.table["lower_rms"].value, 0.5, atol=0.01)
    np.testing.assert_allclose(found.table["upper_rms"].value, 0.5, atol=0.01)


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize("value", [0.0, 3.0, np.nan])
def test_frame_without_orders_is_refused(value):
    sim = EchelleSimulation(shape=(300, 300), n_orders=4)
    with pytest.raises(ValueError, match="no order edges found"):
        detect_order_edges(np.full((300, 300), value), sim.truth.orders)


def test_pure_noise_is_refused():
    sim = EchelleSimulation(shape=(300, 300), n_orders=4)
    noise = np.random.default_rng(1).normal(100, 5, (300, 300))
    with pytest.raises(ValueError, match="no order edges found"):
        detect_order_edges(noise, sim.truth.orders)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 0}, "threshold is 0"),
        ({"threshold": 1.5}, "threshold is 1.5"),
        ({"threshold": (0.6, 0.4)}, "rising pair"),
        ({"slice_length": 2}, "slice_length is 2"),
        ({"slice_width": 0}, "slice_width is 0"),
        ({"degree": -1}, "degree is -1"),
        ({"order_degree": 1.5}, "order_degree is 1.5"),
        ({"sigma": 0}, "sigma is 0"),
        ({"maxiters": -1}, "maxiters is -1"),
    ],
)
def test_bad_options_are_named(options, message):
    sim = EchelleSimulation(shape=(300, 300), n_orders=4)
    with pytest.raises(ValueError, match=message):
        detect_order_edges(sim.truth.flat, sim.truth.orders, **options)


def test_other_detector_and_other_dimensions_are_refused():
    orders = EchelleSimulation(shape=(300, 300), n_orders=4).truth.orders
    with pytest.raises(ValueError, match=r"\(300, 300\).*\(200, 300\)"):
        detect_order_edges(np.ones((200, 300)), orders)
    with pytest.raises(ValueError, match="3 dimensions"):
        detect_order_edges(np.ones((2, 300, 300)), orders)


def test_single_order_needs_a_slice_length():
    with pytest.raises(ValueError, match="slice_length is needed"):
        detect_order_edges(one_slit(30, 20), one_order(30))


def test_known_edges_of_a_single_order_tell_the_slice_length():
    known = detect_order_edges(one_slit(30, 20), one_order(30), slice_length=50)
    again = detect_order_edges(one_slit(31, 20), known)
    np.testing.assert_allclose(again.lower(), 31 - 10, atol=0.05)
    np.testing.assert_allclose(again.upper(), 31 + 10, atol=0.05)


# ---------------------------------------------------------------------- real data


def test_real_flats(zyla_flat, zyla_orders):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = detect_order_edges(zyla_flat, zyla_orders)
    # only the bluest orders, which are dark at both ends, may be flagged
    assert all(re.search(r"orders \[(27, )?28, 29\]", str(w.message)) for w in caught)
    rms = np.stack([found.table[f"{side}_rms"].value for side in ("lower", "upper")])
    assert (rms[:, :12] < 0.08).all()
    assert (rms[:, :22] < 0.4).all()
    # the slit is one and the same: widths vary smoothly from order to order
    widths = (found.upper() - found.lower())[:, 400:2000]
    assert np.abs(np.diff(widths[:20], axis=0)).max() < 0.25
    assert (np.abs(widths - 26.6) < 1.6).all()


# ---------------------------------------------------------------------- mask_interorder


@pytest.fixture
def flat_and_orders():
    sim = EchelleSimulation(shape=(120, 100), n_orders=2)
    flat = CCDData(
        sim.truth.flat, unit="", uncertainty=StdDevUncertainty(np.full(sim.shape, 0.1)),
        meta={"OBJECT": "flat"}, wcs=WCS(naxis=2),
    )
    return flat, sim.truth.orders


@pytest.mark.parametrize("margin", [0, 2, -1.5])
def test_interorder_area_is_filled(flat_and_orders, margin):
    flat, orders = flat_and_orders
    flat.mask = np.zeros(flat.shape, dtype=bool)
    flat.mask[0], flat.mask[int(orders.center()[0, 0]), 0] = True, True
    before = flat.copy()
    result = mask_interorder(flat, orders, margin=margin, fill_value=2.5)
    outside = orders.order_map(margin) == 0
    assert outside.any() and not outside.all()
    np.testing.assert_array_equal(result.data, np.where(outside, 2.5, before.data))
    np.testing.assert_array_equal(result.uncertainty.array, np.where(outside, 0, 0.1))
    np.testing.assert_array_equal(result.mask, outside | before.mask)
    assert (result.unit, dict(result.meta)) == (before.unit, dict(before.meta))
    assert result.wcs is not None
    for name in ("data", "mask"):  # the input is as it was
        np.testing.assert_array_equal(getattr(flat, name), getattr(before, name))
    np.testing.assert_array_equal(flat.uncertainty.array, before.uncertainty.array)


def test_mask_can_be_left_alone(flat_and_orders):
    flat, orders = flat_and_orders
    assert mask_interorder(flat, orders, mask=False).mask is None
    assert mask_interorder(flat, orders).mask.sum() == (orders.order_map() == 0).sum()


@pytest.mark.parametrize(
    ("kind", "exact"),
    [(StdDevUncertainty, 0), (VarianceUncertainty, 0), (UnknownUncertainty, 0),
     (InverseVariance, np.inf)],
)
def test_filled_pixels_have_no_uncertainty(flat_and_orders, kind, exact):
    flat, orders = flat_and_orders
    flat.uncertainty = kind(np.full(flat.shape, 4.0))
    result = mask_interorder(flat, orders)
    assert type(result.uncertainty) is kind
    outside = orders.order_map() == 0
    np.testing.assert_array_equal(result.uncertainty.array, np.where(outside, exact, 4.0))


def test_integer_data_become_float(flat_and_orders):
    _, orders = flat_and_orders
    flat = CCDData(np.full(orders.shape, 700, dtype=np.uint16), unit="adu")
    result = mask_interorder(flat, orders, fill_value=0.5)
    np.testing.assert_array_equal(result.data, np.where(orders.order_map() == 0, 0.5, 700.0))
    assert flat.data.dtype == np.uint16


def test_float32_stays(flat_and_orders):
    flat, orders = flat_and_orders
    flat = CCDData(flat.data.astype(np.float32), unit="")
    assert mask_interorder(flat, orders).data.dtype == np.float32


def test_mask_interorder_refusals(flat_and_orders):
    flat, orders = flat_and_orders
    without_edges = EchelleOrderTable.from_polynomials(
        [1, 2], [[30], [80]], shape=flat.shape, dispersion_axis=1)
    with pytest.raises(ValueError, match="no edges"):
        mask_interorder(flat, without_edges)
    with pytest.raises(ValueError, match=r"\(120, 100\).*\(60, 100\)"):
        mask_interorder(CCDData(flat.data[:60], unit=""), orders)
    with pytest.raises(ValueError, match="fill_value is nan"):
        mask_interorder(flat, orders, fill_value=np.nan)
    with pytest.raises(TypeError, match="ndarray"):
        mask_interorder(flat.data, orders)


def test_the_measured_part_of_each_edge_is_told():
    flat = np.zeros((120, 400))
    flat[20:41], flat[70:91] = 1, 1
    flat[70:91, 150:] = 0  # the light of the second order ends early
    orders = EchelleOrderTable.from_polynomials(
        [1, 2], [[30], [80]], shape=flat.shape, dispersion_axis=1
    )
    with pytest.warns(AstropyUserWarning, match=r"orders \[2\]"):
        edges = detect_order_edges(flat, orders)
    for name in ("lower_measured", "upper_measured"):
        np.testing.assert_allclose(edges.table[name], [1, 150 / 400], atol=0.03)
    np.testing.assert_array_equal(poorly_measured(edges), [False, True])
    with pytest.raises(ValueError, match="does not record"):
        poorly_measured(orders)


# ---------------------------------------------------------------------- measured points


def points_and_truth(sim, **options):
    """The measured points of a flat as (2, n_orders, n_pixels), and the true edges there."""
    points = measure_order_edges(sim.flats(1)[0], sim.truth.orders, **options)
    pixels = np.unique(points["pixel"].value)
    truth = np.stack([sim.truth.orders.lower(pixels), sim.truth.orders.upper(pixels)])
    position, uncertainty = (
        points[name].value.reshape(truth.shape) for name in ("position", "uncertainty")
    )
    return points, position, uncertainty, truth


@pytest.mark.parametrize("options", [
    {},
    {"order_width": 50},
    {"order_width": 14, "n_orders": 9, "psf_sigma": 0.7},
    {"shape": (280, 600), "n_orders": 10, "order_width": 5, "psf_sigma": 1.1},
    {"shape": (280, 600), "n_orders": 10, "order_width": 17, "psf_sigma": 1.2, "smallest_gap": 3},
    {"brightness_ratio": 100},
])
def test_uncertainty_of_the_points_is_their_scatter(options):
    """Pulls have a standard deviation of 1: the slit fit, and the half-maximum of wide orders."""
    sim = EchelleSimulation(**{"shape": (400, 600), "n_orders": 5, "pixel_response": 0, **options})
    _, position, uncertainty, truth = points_and_truth(sim)
    pulls = (position - truth) / uncertainty
    assert np.isfinite(pulls).mean() > 0.95
    assert abs(np.nanstd(pulls) - 1) < 0.1
    assert abs(np.nanmean(pulls)) < 0.15


def test_uncertainty_of_the_points_holds_the_pixel_response():
    """So bright that the noise is nothing: what is left is that pixels respond by 1 %."""
    sim = EchelleSimulation(shape=(400, 600), n_orders=5, pixel_response=0.01)
    _, position, uncertainty, truth = points_and_truth(sim.with_noise(gain=1e3))
    pulls = (position - truth) / uncertainty
    assert abs(1.4826 * np.nanmedian(np.abs(pulls)) - 1) < 0.15


def test_uncertainty_from_the_scatter_alone():
    sim = EchelleSimulation(shape=(400, 600), n_orders=5, pixel_response=0)
    orders = sim.truth.orders
    given, estimated = (
        measure_order_edges(sim.flats(1, uncertainty=u)[0], orders)["uncertainty"].value
        for u in (True, False)
    )
    assert np.nanmedian(estimated / given) == pytest.approx(1, abs=0.1)


def test_detection_is_measurement_and_fit():
    sim = EchelleSimulation(shape=(400, 500), n_orders=5).with_dust(30)
    flat, orders = sim.flats(1)[0], sim.truth.orders
    points = measure_order_edges(flat, orders)
    assert len(points) == 2 * 5 * len(np.unique(points["pixel"]))
    assert points["position"].unit == points["uncertainty"].unit == points["pixel"].unit == u.pix
    edges, expected = fit_order_edges(points, orders), detect_order_edges(flat, orders)
    for name in expected.table.colnames:
        np.testing.assert_array_equal(edges.table[name], expected.table[name])
    points = points[np.random.default_rng(0).permutation(len(points))]
    np.testing.assert_array_equal(fit_order_edges(points, orders).lower(), edges.lower())


def test_rejected_points_are_kept_and_marked():
    """A bright speck fills the gap beside an order for a few slices."""
    flat = np.zeros((120, 500))
    flat[20:51], flat[70:101] = 1, 1
    flat[51:56, 200:220] = 1
    orders = EchelleOrderTable.from_polynomials(
        [1, 2], [[35], [85]], shape=flat.shape, dispersion_axis=1)
    points = measure_order_edges(flat, orders, slice_width=5)
    moved = ((points["order"] == 1) & (points["edge"] == "upper")
             & (points["pixel"].value > 199) & (points["pixel"].value < 220))
    assert moved.sum() == 4
    np.testing.assert_array_equal(points["used"], ~moved)
    np.testing.assert_allclose(points["position"][moved].value, 55.5, atol=0.01)
    np.testing.assert_allclose(fit_order_edges(points, orders).upper()[0], 50.5, atol=0.01)


def test_points_taken_out_by_hand_are_not_fitted():
    sim = EchelleSimulation(shape=(300, 300), n_orders=4)
    points = measure_order_edges(sim.flats(1)[0], sim.truth.orders)
    points["position"][7] += 50 * u.pix
    points["used"][7] = False
    assert_edges(fit_order_edges(points, sim.truth.orders), sim.truth.orders)


def test_bad_points_are_refused():
    sim = EchelleSimulation(shape=(300, 300), n_orders=4)
    orders = sim.truth.orders
    points = measure_order_edges(sim.flats(1)[0], orders)
    with pytest.raises(ValueError, match="no column 'used'"):
        fit_order_edges(points["order", "edge", "pixel", "position"], orders)
    with pytest.raises(ValueError, match=r"orders \[11\]"):
        fit_order_edges(points, orders.select(orders.order_numbers[1:]))
    points["used"] = False
    with pytest.raises(ValueError, match="no order edges found"):
        fit_order_edges(points, orders)


# ---------------------------------------------------------------------- no plateau, no background


@pytest.mark.parametrize(
    "seed",
    [2, 12, 15, 37, 38, 44, 47, 52],  # narrow; wide with faint neighbours; touching; cut; 60:1
)
def test_spectrographs_drawn_at_random(seed):
    sim = EchelleSimulation.random(seed)
    truth = sim.truth.orders
    found = detect_order_edges(sim.flats(1)[0], truth)
    expected = np.stack([truth.lower(), truth.upper()])
    errors = edge_errors(found, truth)
    n_cross = sim.shape[1 - sim.dispersion_axis]
    errors[(expected < 0) | (expected > n_cross - 1)] = np.nan
    seen = np.isfinite(errors).any(axis=2)
    rms = np.sqrt(np.nanmean(errors[seen] ** 2, axis=1))
    assert np.median(rms) < 0.02
    assert rms.max() < 0.1
    for side in (0, 1):
        assert abs(np.median(np.nanmean(errors[side, seen[side]], axis=1))) < 0.02


@pytest.mark.parametrize("width", [5.0, 19.0])
@pytest.mark.parametrize("slope", [0.0, 0.4])
def test_slits_that_need_the_model(width, slope):
    """Without noise: 5 pixels are no plateau, and 3 pixels no gap, for a blur of 1.2."""
    sim = EchelleSimulation(
        shape=(260, 300), n_orders=9, order_width=width, psf_sigma=1.2, smallest_gap=3.0,
        slit_slope=slope, pixel_response=0,
    ).without_noise()
    assert_edges(detect_order_edges(sim.flats(1)[0], sim.truth.orders), sim.truth.orders, rms=0.02)


def test_touching_order_missing_from_the_table():
    sim = EchelleSimulation(
        shape=(290, 300), n_orders=10, order_width=19, psf_sigma=1.2, smallest_gap=3.0)
    truth = sim.truth.orders.select(np.delete(sim.truth.orders.order_numbers, [3, 7]))
    assert_edges(detect_order_edges(sim.flats(1)[0], truth), truth)


def test_light_without_a_slit_keeps_its_half_maxima():
    """Light that is said to be that of a slit, but is a Gaussian, has no other edge."""
    rows, blur = np.arange(200)[:, None], 1.8
    centers = 25 + 30 * np.arange(6)
    flat = sum(np.exp(-0.5 * ((rows - c - 0.2) / blur) ** 2) for c in centers)
    orders = EchelleOrderTable.from_polynomials(
        np.arange(1, 7), centers[:, None], shape=(200, 300), dispersion_axis=1)
    flat = 1e4 * np.broadcast_to(flat, (200, 300))
    found = detect_order_edges(flat, orders, profile="slit")
    half = blur * np.sqrt(2 * np.log(2))
    np.testing.assert_allclose(found.upper([150])[:, 0], centers + 0.2 + half, atol=0.15)
    np.testing.assert_allclose(found.lower([150])[:, 0], centers + 0.2 - half, atol=0.15)


# ---------------------------------------------------------------------- where it was measured


def test_range_beyond_which_an_edge_is_extrapolated():
    sim = EchelleSimulation(shape=(512, 600), n_orders=6, cut_orders=True)
    flat, truth = sim.flats(1)[0], sim.truth.orders
    flat.mask = np.zeros(flat.shape, dtype=bool)
    flat.mask[:, 400:] = True
    with pytest.warns(AstropyUserWarning, match="could be measured in less"):
        table = detect_order_edges(flat, truth).table
    for name in ("lower", "upper"):
        np.testing.assert_allclose(table[f"{name}_measured_min"][1:].value, 0, atol=15)
        np.testing.assert_allclose(table[f"{name}_measured_max"][1:].value, 400, atol=26)
    # the lower edge of the cut order comes onto the detector only under the mask
    assert (truth.lower()[0, :400] < 0).all()
    assert np.isnan(table["lower_measured_min"][0]) and np.isnan(table["lower_measured_max"][0])


def test_points_are_not_fitted_without_a_detector():
    flat = np.zeros((60, 400))
    flat[20:41] = 1
    known, unknown = (
        EchelleOrderTable.from_polynomials(
            [1], [[30]], shape=shape, dispersion_axis=1, pixel_range=(0, 399)
        )
        for shape in (flat.shape, None)
    )
    points = measure_order_edges(flat, known, slice_length=40)
    assert np.isfinite(fit_order_edges(points, known).lower()).all()
    with pytest.raises(ValueError, match=r"no detector shape; call on_detector\(shape\)"):
        fit_order_edges(points, unknown)


def test_an_order_beyond_the_end_of_the_detector_is_named():
    flat = np.zeros((120, 400))
    flat[20:41], flat[70:91] = 1, 1
    orders = EchelleOrderTable.from_polynomials(
        [7, 8], [[30], [80]], shape=flat.shape, dispersion_axis=1,
        pixel_range=[[0, 399], [450, 500]],
    )
    with pytest.raises(ValueError, match=r"orders \[8\] have no pixel on the detector"):
        detect_order_edges(flat, orders)


def test_a_slit_that_has_lost_its_light_does_not_spoil_the_fit_of_the_others():
    light = np.zeros((2, 30))
    light[0, 10:20] = 1000
    noise, zero = np.ones((2, 30)), np.zeros(2)
    slices = Slices(light, noise, noise, zero, zero)
    states = np.array([[9.5, 19.5, 900.0, 0, 0, 0], [9.5, 19.5, 0, 0, 0, 0]])
    frame, alone = np.array([0.1, 0]), np.array([[-np.inf, 0, np.inf, 0]] * 2).T
    for _ in range(5):
        states, frame, errors, _ = slits._improved(slices, states, alone, frame)
    assert np.isfinite(states).all() and np.isfinite(frame).all() and np.isfinite(errors).all()
    assert states[0, :3] == pytest.approx([9.5, 19.5, 1000], rel=0.02)


@pytest.mark.parametrize(("gap", "blur"), [(3.0, 1.5), (4.0, 2.5)])
def test_gaps_hardly_wider_than_the_blur(gap, blur):
    u = np.linspace(-1, 1, 320)
    centers = np.array([40 + 55 * k + 4 * u - 8 * u**2 for k in range(4)])
    lower, upper = centers - 27.5 + gap / 2, centers + 27.5 - gap / 2
    light = slit_image(250, lower, upper, np.full((4, 320), 2e4), sigma=blur, slope=0)
    flat = np.random.default_rng(3).poisson(light)
    orders = EchelleOrderTable.from_traces(
        np.arange(1, 5), centers, shape=flat.shape, dispersion_axis=1)
    found = detect_order_edges(flat, orders, profile="slit")
    for edge, expected in ((found.lower(), lower), (found.upper(), upper)):
        assert np.abs(np.median(edge - expected, axis=1)).max() < 0.05
