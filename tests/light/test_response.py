# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from astropy.nddata import (
    CCDData,
    InverseVariance,
    StdDevUncertainty,
    UnknownUncertainty,
    VarianceUncertainty,
)
from astropy.utils.exceptions import AstropyUserWarning

from ccdproc_echelle.light.response import find_bad_response, mask_low_sensitivity, normalize_flat
from ccdproc_echelle.light.scattered_light import fit_scattered_light
from ccdproc_echelle.orders import EchelleOrderTable, mask_interorder
from ccdproc_echelle.orders.edges import detect_order_edges
from ccdproc_echelle.simulation import EchelleSimulation
from helpers.orders import centers_only

N_FRAMES = 5

# Orders from 1 to 0.08 in brightness; the dust dims by a quarter, the dead pixels respond < 0.2.
DAMAGED = (
    EchelleSimulation(shape=(512, 700), n_orders=6, brightness_ratio=12.5, seed=1)
    .with_level_spread(0.3).with_dead_pixels(1200).with_dust(30)
)
CLEAN = EchelleSimulation(shape=(300, 600), n_orders=4, seed=2)


def master_flat(simulation, n_frames=N_FRAMES):
    frames, levels = simulation.flats(n_frames), simulation.truth.levels(n_frames)
    data = np.mean([f.data / level for f, level in zip(frames, levels, strict=True)], axis=0)
    variance = np.mean(
        [(f.uncertainty.array / level) ** 2 for f, level in zip(frames, levels, strict=True)],
        axis=0,
    ) / n_frames
    return CCDData(data, unit="", uncertainty=StdDevUncertainty(np.sqrt(variance)))


def noiseless_flat(simulation):
    return CCDData(simulation.truth.flat.copy(), unit="")


def good_pixels(simulation):
    """In-order pixels that the flat can correct."""
    truth = simulation.truth
    return (truth.orders.order_map() > 0) & (truth.pixel_response > 0.65)


@pytest.fixture(scope="module")
def damaged_flat():
    return master_flat(DAMAGED)


# ------------------------------------------------------------------ detection and false alarms


@pytest.mark.parametrize("with_uncertainty", [True, False])
def test_dead_pixels_are_found_in_bright_and_faint_orders(damaged_flat, with_uncertainty):
    flat = damaged_flat.copy()
    if not with_uncertainty:
        flat.uncertainty = None
    truth = DAMAGED.truth
    found = mask_low_sensitivity(flat, truth.orders).mask
    order_map = truth.orders.order_map()
    for number in truth.orders.order_numbers:
        dead = truth.dead_pixels & (order_map == number)
        assert found[dead].mean() >= 0.99, f"order {number}"
    assert found[good_pixels(DAMAGED)].mean() < 1e-4
    assert not found[order_map == 0].any()


def test_the_dust_stays(damaged_flat):
    truth = DAMAGED.truth
    dust = good_pixels(DAMAGED) & (truth.pixel_response < 0.8)
    assert dust.sum() > 500
    assert not mask_low_sensitivity(damaged_flat, truth.orders).mask[dust].any()


@pytest.mark.parametrize("peak", [2000, 200, 20, 2])
@pytest.mark.parametrize("with_uncertainty", [True, False])
def test_noise_raises_no_false_alarm(peak, with_uncertainty):
    # down to 0.2 adu under a read noise of 4, where half of all values are negative
    simulation = EchelleSimulation(
        shape=(512, 700), n_orders=6, peak=peak, brightness_ratio=12.5, seed=3
    )
    flat = master_flat(simulation, 1)
    if not with_uncertainty:
        flat.uncertainty = None
    found = mask_low_sensitivity(flat, simulation.truth.orders).mask
    assert found[good_pixels(simulation)].mean() < 1e-4


def test_what_is_found_depends_on_the_noise():
    simulation = EchelleSimulation(shape=(256, 700), n_orders=3, brightness_ratio=1, seed=4)
    detected = []
    for peak in (20000, 500, 20):
        dim = EchelleSimulation(
            shape=(256, 700), n_orders=3, brightness_ratio=1, peak=peak, seed=4
        ).with_dead_pixels(500)
        found = mask_low_sensitivity(master_flat(dim, 1), simulation.truth.orders).mask
        detected.append(found[dim.truth.dead_pixels].mean())
    assert detected[0] == 1
    assert 0.8 < detected[1] < 1
    assert detected[2] == 0


def test_own_uncertainty_protects_a_pixel():
    flat, orders = noiseless_flat(CLEAN), CLEAN.truth.orders
    row, column = round(orders.center([300])[0, 0]), 300
    flat.data[row, column] *= 0.2
    sigma = 0.01 * flat.data
    flat.uncertainty = StdDevUncertainty(sigma)
    assert mask_low_sensitivity(flat, orders).mask[row, column]
    sigma[row, column] = 0.2 * flat.data[row, column] / 0.2
    flat.uncertainty = StdDevUncertainty(sigma)
    assert not mask_low_sensitivity(flat, orders).mask.any()
    assert mask_low_sensitivity(flat, orders, n_sigma=1).mask[row, column]


def test_threshold_divides():
    flat, orders = noiseless_flat(CLEAN), CLEAN.truth.orders
    row = round(orders.center([300])[0, 0])
    responses = [0.1, 0.3, 0.5, 0.7]
    flat.data[row, 300:304] *= responses
    for threshold in (0.2, 0.4, 0.6, 0.8):
        found = mask_low_sensitivity(flat, orders, threshold=threshold).mask[row, 300:304]
        np.testing.assert_array_equal(found, np.array(responses) < threshold)


# ------------------------------------------------------------------ what is no low sensitivity


@pytest.mark.parametrize(
    "options",
    [
        {"tilt": 0.0, "curvature": 0.0},
        {"tilt": 0.1, "curvature": 0.1, "n_orders": 3},
        {"order_width": 4.0},
        {"psf_sigma": 0.5},
        {"slit_slope": 0.6, "psf_sigma": 2.0},
        {"cut_orders": True},
    ],
)
@pytest.mark.parametrize("outwards", [0, 3])
def test_order_edges_are_not_flagged(options, outwards):
    # 3 pixels outside the half-maximum edge a pixel has a hundredth of the light and less, and
    # how much changes with the sub-pixel phase of the order
    simulation = EchelleSimulation(
        **{"shape": (300, 600), "n_orders": 4, "pixel_response": 0.01, "seed": 5} | options
    )
    orders = simulation.truth.orders
    orders = orders.with_edges(orders.lower() - outwards, orders.upper() + outwards)
    for flat in (noiseless_flat(simulation), master_flat(simulation, 1)):
        assert not mask_low_sensitivity(flat, orders, threshold=0.6).mask.any()


def test_no_signal_cannot_be_judged():
    orders = CLEAN.truth.orders
    noise = np.random.default_rng(0).normal(0, 1, CLEAN.shape)
    for data in (np.zeros(CLEAN.shape), -1 + 0.01 * noise, noise):
        flat = CCDData(data, unit="", uncertainty=StdDevUncertainty(np.ones(CLEAN.shape)))
        assert not mask_low_sensitivity(flat, orders).mask.any()


def test_noise_is_that_of_the_place_along_a_steep_blaze():
    # without uncertainty; from some 100 sigma per pixel at the one end to 2 at the other
    rng = np.random.default_rng(6)
    flat = noiseless_flat(CLEAN)
    flat.data *= np.geomspace(100, 2, flat.shape[1])
    flat.data += rng.normal(0, 1, flat.shape)
    inside = CLEAN.truth.orders.order_map() > 0
    assert mask_low_sensitivity(flat, CLEAN.truth.orders).mask[inside].mean() < 1e-4


# ------------------------------------------------------------------ clusters


def mark(flat, damage):
    flat.data[damage] *= 0.1
    return flat


def test_bad_columns_across_the_orders_and_at_their_ends():
    damage = np.zeros(CLEAN.shape, dtype=bool)
    damage[:, :3] = damage[:, 200:205] = damage[:, -4:] = True
    inside = CLEAN.truth.orders.order_map() > 0
    found = mask_low_sensitivity(mark(master_flat(CLEAN), damage), CLEAN.truth.orders).mask
    assert found[damage & inside].mean() > 0.99
    assert not found[~damage].any()


def test_beyond_the_sharp_end_of_an_order_nothing_is_judged():
    flat, orders = master_flat(CLEAN), CLEAN.truth.orders
    flat.data[:, :200] = np.random.default_rng(1).normal(0, 1e-3, (300, 200))
    row = round(orders.center()[1, 200])
    flat.data[row, 200:206] = 0
    dead, _, hot = find_bad_response(flat, orders)
    assert np.array_equal(np.argwhere(dead), [[row, x] for x in range(200, 206)])
    assert not hot.any()
    response = normalize_flat(flat, orders).pixel_response
    assert response.mask[:, 160:200].all()
    assert abs(np.ma.masked_array(response.data, response.mask)[:, 200:210].mean() - 1) < 0.01


def test_a_block_of_dead_columns_is_no_end_of_the_light():
    damage = np.zeros(CLEAN.shape, dtype=bool)
    damage[:, 300:324] = True
    inside = CLEAN.truth.orders.order_map() > 0
    found = mask_low_sensitivity(mark(master_flat(CLEAN), damage), CLEAN.truth.orders).mask
    assert found[damage & inside].mean() > 0.99


def test_bad_rows_along_slanted_orders():
    simulation = EchelleSimulation(
        shape=(300, 600), n_orders=4, tilt=0.04, curvature=0.0, seed=2
    )
    damage = np.zeros(simulation.shape, dtype=bool)
    damage[::15] = True
    inside = simulation.truth.orders.order_map() > 0
    found = mask_low_sensitivity(
        mark(master_flat(simulation), damage), simulation.truth.orders
    ).mask
    assert found[damage & inside].mean() > 0.99
    assert not found[~damage].any()


def test_clusters_of_dead_pixels():
    rows, columns = np.indices(CLEAN.shape)
    damage = (rows % 61 - 30) ** 2 + (columns % 79 - 40) ** 2 < 25
    inside = CLEAN.truth.orders.order_map() > 0
    assert (damage & inside).sum() > 500
    found = mask_low_sensitivity(mark(master_flat(CLEAN), damage), CLEAN.truth.orders).mask
    np.testing.assert_array_equal(found, damage & inside)


def test_length_is_what_bad_columns_may_nearly_half_fill():
    damage = np.zeros(CLEAN.shape, dtype=bool)
    damage[:, 200:220] = True
    flat, orders = mark(master_flat(CLEAN), damage), CLEAN.truth.orders
    inside = damage & (orders.order_map() > 0)
    assert mask_low_sensitivity(flat, orders, length=51).mask[inside].all()
    assert not mask_low_sensitivity(flat, orders, length=25).mask[inside].all()


# ------------------------------------------------------------------ the frame around it


def test_dispersion_axes_are_transposes(damaged_flat):
    orders = DAMAGED.truth.orders
    turned = CCDData(
        damaged_flat.data.T.copy(), unit="",
        uncertainty=StdDevUncertainty(damaged_flat.uncertainty.array.T.copy()),
    )
    found = mask_low_sensitivity(damaged_flat, orders).mask
    np.testing.assert_array_equal(mask_low_sensitivity(turned, orders.transposed()).mask, found.T)
    assert found.sum() > 1000


def test_scale_of_the_flat_is_irrelevant(damaged_flat):
    brighter = damaged_flat.multiply(3.7e4)
    orders = DAMAGED.truth.orders
    np.testing.assert_array_equal(
        mask_low_sensitivity(brighter, orders).mask, mask_low_sensitivity(damaged_flat, orders).mask
    )


def test_input_mask_is_kept_and_masked_values_do_not_count(damaged_flat):
    orders = DAMAGED.truth.orders
    found = mask_low_sensitivity(damaged_flat, orders).mask
    rng = np.random.default_rng(1)
    flat = damaged_flat.copy()
    flat.mask = rng.random(flat.shape) < 0.2
    flat.data[flat.mask] = rng.choice([np.nan, np.inf, 0.0, 1e30], flat.mask.sum())
    result = mask_low_sensitivity(flat, orders)
    np.testing.assert_array_equal(result.mask & flat.mask, flat.mask)
    np.testing.assert_array_equal(result.mask & ~flat.mask, found & ~flat.mask)


def test_masked_values_do_not_count_even_as_the_majority():
    flat, orders = noiseless_flat(CLEAN), CLEAN.truth.orders
    flat.mask = np.random.default_rng(3).random(flat.shape) < 0.6
    flat.data[flat.mask] *= 10
    row, column = round(orders.center([300])[0, 0]), 300
    flat.mask[row, column] = False
    flat.data[row, column] = 0.1
    new = mask_low_sensitivity(flat, orders).mask & ~flat.mask
    assert np.argwhere(new).tolist() == [[row, column]]


def test_only_the_mask_changes(damaged_flat):
    flat = damaged_flat.copy()
    flat.data[5, 5] = np.nan
    flat.header["OBJECT"] = "flat"
    before = flat.copy()
    result = mask_low_sensitivity(flat, DAMAGED.truth.orders)
    for other in (result, flat):
        np.testing.assert_array_equal(other.data, before.data)
        np.testing.assert_array_equal(other.uncertainty.array, before.uncertainty.array)
    assert flat.mask is None and result.mask.dtype == bool
    assert result.unit == flat.unit and result.header["OBJECT"] == "flat"
    assert not np.shares_memory(result.data, flat.data)


def test_variance_is_understood(damaged_flat):
    flat = damaged_flat.copy()
    flat.uncertainty = damaged_flat.uncertainty.represent_as(VarianceUncertainty)
    orders = DAMAGED.truth.orders
    np.testing.assert_array_equal(
        mask_low_sensitivity(flat, orders).mask, mask_low_sensitivity(damaged_flat, orders).mask
    )


def test_an_inverse_variance_of_zero_is_that_of_no_information():
    flat, orders = noiseless_flat(CLEAN), CLEAN.truth.orders
    weights = np.full(flat.shape, 1e4)
    weights[100:110, 200:210] = 0
    flat.uncertainty = InverseVariance(weights)
    response = normalize_flat(flat, orders).pixel_response
    np.testing.assert_array_equal(
        np.isinf(response.uncertainty.array), (weights == 0) & ~response.mask
    )
    assert detect_order_edges(flat, orders).has_edges


def test_a_negative_uncertainty_is_refused():
    flat = noiseless_flat(CLEAN)
    flat.uncertainty = VarianceUncertainty(np.full(flat.shape, -1.0))
    with pytest.raises(ValueError, match="flat has a negative uncertainty, -1.0; expected >= 0"):
        normalize_flat(flat, CLEAN.truth.orders)


def test_orders_that_are_short_masked_or_without_middle():
    # an order of 20 pixels, one that is masked, one whose middle is off the detector
    columns = np.arange(200)
    centers = np.array([[20.0], [60.0], [96.0]]) + 0 * columns
    centers[0, (columns < 50) | (columns >= 70)] = np.nan
    orders = EchelleOrderTable.from_traces(
        [1, 2, 3], centers, shape=(92, 200), dispersion_axis=1, degree=1,
        lower=centers - 8.2, upper=centers + 8.2,
    )
    flat = CCDData(np.ones((92, 200)), unit="", mask=np.zeros((92, 200), dtype=bool))
    flat.mask[45:75] = True
    flat.data[20, 60] = flat.data[90, 60] = 0.1
    found = mask_low_sensitivity(flat, orders).mask & ~flat.mask
    assert np.argwhere(found).tolist() == [[20, 60], [90, 60]]


# ------------------------------------------------------------------ a real flat


def test_dead_pixels_put_into_a_real_flat(zyla_flat, zyla_orders):
    # no pixel of these orders is dim by itself: all there is to find is what the test puts in
    flat = CCDData(zyla_flat.copy(), unit="adu")
    orders = detect_order_edges(flat, zyla_orders.select(range(1, 16)))  # the bright ones
    order_map = orders.order_map()
    places = np.flatnonzero(order_map)
    dead = np.zeros(flat.shape, dtype=bool)
    dead.flat[np.random.default_rng(4).choice(places, 1000, replace=False)] = True
    flat.data[dead] *= 0.1
    found = mask_low_sensitivity(flat, orders).mask
    assert found[dead].mean() >= 0.99
    assert found[~dead & (order_map > 0)].mean() < 1e-5


def test_orders_without_a_pixel_on_the_detector_change_nothing():
    # one beyond the last column, one above the last row
    orders = EchelleOrderTable.from_polynomials(
        [1, 2, 3], [[20], [60], [200]], lower=[[12], [52], [192]], upper=[[28], [68], [208]],
        shape=(92, 200), dispersion_axis=1, pixel_range=[[0, 199], [250, 300], [0, 199]],
    )
    flat = CCDData(np.ones(orders.shape), unit="")
    flat.data[20, 60] = 0.1
    parts, alone = normalize_flat(flat, orders), normalize_flat(flat, orders.select([1]))
    np.testing.assert_array_equal(parts.pixel_response.data, alone.pixel_response.data)
    np.testing.assert_array_equal(parts.pixel_response.mask, alone.pixel_response.mask)
    assert np.isfinite(parts.table["blaze"][0]).all() and np.isnan(parts.table["blaze"][1:]).all()
    assert np.argwhere(find_bad_response(flat, orders).dead).tolist() == [[20, 60]]


# ------------------------------------------------------------------ errors


def test_orders_need_edges_and_the_right_shape(damaged_flat):
    orders = DAMAGED.truth.orders
    with pytest.raises(ValueError, match="no edges"):
        mask_low_sensitivity(damaged_flat, centers_only(orders))
    with pytest.raises(ValueError, match=r"\(512, 700\).*\(300, 600\)"):
        mask_low_sensitivity(noiseless_flat(CLEAN), orders)


@pytest.mark.parametrize(
    "function", [normalize_flat, find_bad_response, mask_low_sensitivity, fit_scattered_light]
)
def test_a_table_of_another_set_up(function):
    simulation = EchelleSimulation(shape=(200, 200), n_orders=4, seed=5)
    with pytest.warns(AstropyUserWarning) as caught:
        function(simulation.flats(1)[0], simulation.truth.orders.transposed())
    assert len(caught) == 1
    assert "is the table for another binning or set-up?" in str(caught[0].message)


def test_a_master_flat_with_constant_inter_order_area_is_accepted():
    flat, orders = noiseless_flat(CLEAN), CLEAN.truth.orders
    normalize_flat(mask_interorder(flat, orders, mask=False), orders)


@pytest.mark.parametrize(
    "options",
    [{"threshold": value} for value in (0, 1, -0.5, 50, np.nan)]
    + [{"n_sigma": value} for value in (-1, 0, np.inf, np.nan)]
    + [{"length": value} for value in (0, -3, 10.5)],
)
def test_options_out_of_range(damaged_flat, options):
    (name, value), = options.items()
    with pytest.raises(ValueError, match=f"{name} is .*{value}"):
        mask_low_sensitivity(damaged_flat, DAMAGED.truth.orders, **options)


def test_input_of_the_wrong_type(damaged_flat):
    orders = DAMAGED.truth.orders
    with pytest.raises(TypeError, match="flat is a ndarray, expected a CCDData"):
        mask_low_sensitivity(damaged_flat.data, orders)
    bare = CCDData(damaged_flat.data, unit="")
    unknown = CCDData(
        damaged_flat.data, unit="", uncertainty=UnknownUncertainty(damaged_flat.data)
    )
    np.testing.assert_array_equal(
        mask_low_sensitivity(unknown, orders).mask, mask_low_sensitivity(bare, orders).mask
    )


# ------------------------------------------------------------------ blaze, profile and response


@pytest.fixture(scope="module")
def parts(damaged_flat):
    return normalize_flat(damaged_flat, DAMAGED.truth.orders)


def test_parts_are_shown_in_one_line(parts):
    assert repr(parts) == "<NormalizedFlat: 512 x 700 pixels, 6 orders>"


def test_product_of_the_parts_is_the_flat(damaged_flat, parts):
    inside = DAMAGED.truth.orders.order_map() > 0
    product = parts.blaze.data * parts.slit_profile.data * parts.pixel_response.data
    np.testing.assert_allclose(product[inside], damaged_flat.data[inside], rtol=1e-12)
    for part in (parts.blaze, parts.slit_profile, parts.pixel_response):
        np.testing.assert_array_equal(part.mask, ~inside)
        assert (part.data[~inside] == 1).all()


def test_error_of_the_response_is_the_photon_noise(damaged_flat, parts):
    good = good_pixels(DAMAGED)
    error = (parts.pixel_response.data - DAMAGED.truth.pixel_response)[good]
    expected = parts.blaze.data * parts.slit_profile.data
    photon_noise = (damaged_flat.uncertainty.array / expected)[good]
    assert np.sqrt(np.mean(error**2) / np.mean(photon_noise**2)) == pytest.approx(1, abs=0.05)
    order_map = DAMAGED.truth.orders.order_map()[good]
    pulls = error / parts.pixel_response.uncertainty.array[good]
    for number in DAMAGED.truth.orders.order_numbers:
        assert np.std(pulls[order_map == number]) == pytest.approx(1, abs=0.03)


def test_blaze_is_the_true_one(parts):
    ratio = parts.table["blaze"].value / DAMAGED.truth.blaze
    ratio /= ratio.mean()
    assert np.std(ratio) < 0.002


def test_parts_of_the_transposed_flat(damaged_flat, parts):
    turned = CCDData(damaged_flat.data.T.copy(), unit="adu")
    turned.uncertainty = StdDevUncertainty(damaged_flat.uncertainty.array.T.copy())
    other = normalize_flat(turned, DAMAGED.truth.orders.transposed())
    np.testing.assert_allclose(other.pixel_response.data.T, parts.pixel_response.data)
    assert other.blaze.unit == other.table["blaze"].unit == "adu"
    assert other.pixel_response.unit == ""


def test_masked_pixels_are_masked_in_the_response_alone(damaged_flat):
    flat = damaged_flat.copy()
    inside = DAMAGED.truth.orders.order_map() > 0
    flat.mask = np.random.default_rng(1).random(flat.shape) < 0.1
    flat.data[flat.mask] = 1e30
    parts = normalize_flat(flat, DAMAGED.truth.orders)
    np.testing.assert_array_equal(parts.pixel_response.mask, flat.mask | ~inside)
    np.testing.assert_array_equal(parts.blaze.mask, ~inside)
    ratio = parts.table["blaze"].value / DAMAGED.truth.blaze
    assert np.std(ratio / ratio.mean()) < 0.002


def test_kinds_of_bad_pixels():
    flat, orders = noiseless_flat(CLEAN), CLEAN.truth.orders
    row = round(orders.center([300])[0, 0])
    flat.data[row, 300:306] *= [0.1, 0.4, 0.7, 1.3, 1.8, 50]
    bad = find_bad_response(flat, orders)
    found = [np.argwhere(image)[:, 1].tolist() for image in bad]
    assert found == [[300], [301], [304, 305]]


@pytest.mark.parametrize("peak", [2000, 20, 2])
def test_noise_makes_no_pixel_hot(peak):
    simulation = EchelleSimulation(
        shape=(512, 700), n_orders=6, peak=peak, brightness_ratio=12.5, seed=3
    )
    bad = find_bad_response(master_flat(simulation, 1), simulation.truth.orders)
    assert bad.hot[good_pixels(simulation)].mean() < 1e-4


@pytest.mark.parametrize(
    "options", [{"dead": 0.6}, {"dead": 0}, {"low": 1}, {"hot": 1}, {"hot": np.nan}]
)
def test_thresholds_out_of_range(damaged_flat, options):
    (name, value), = options.items()
    with pytest.raises(ValueError, match=f"{name} is {value}"):
        find_bad_response(damaged_flat, DAMAGED.truth.orders, **options)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_flat_without_light_has_no_response(value):
    sim = EchelleSimulation(shape=(120, 140), n_orders=3, seed=1)
    flat = CCDData(np.full(sim.shape, value), unit="")
    with pytest.raises(ValueError, match="no light in any of the orders"):
        normalize_flat(flat, sim.truth.orders)
