# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The simulation must be true to its own truth: everything else is tested against it."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from scipy import ndimage, stats

from ccdproc_echelle.simulation import EchelleSimulation

SMALL = {"shape": (130, 160), "n_orders": 3, "order_width": 16.0, "seed": 5}


@pytest.fixture
def sim():
    return EchelleSimulation(**SMALL)


@pytest.fixture
def rich():
    """All layers that change the light."""
    return (
        EchelleSimulation(**SMALL, slit_slope=0.1)
        .with_noise(gain=0.5, read_noise=3.0)
        .with_level_spread(0.35)
        .with_drift(0.03)
        .with_scattered_light(0.02)
        .with_dust(3)
        .with_dead_pixels(20)
        .with_bias(300.0)
        .with_dark_current(0.5)
    )


def images(frames):
    return np.stack([frame.data for frame in frames])


def expected_flats(sim, n, window=10):
    """The equation of the module, term by term from the public truth."""
    truth = sim.truth
    scale = truth.levels(1)[0] / truth.levels(1, window=window)[0]  # scattered light is for 10
    light = truth.normalized_flat(window) + truth.pixel_response * truth.scattered_light * scale
    dark = sim.dark_current * sim.exposure_time / sim.noise.gain
    levels = truth.levels(n, window=window)[:, np.newaxis, np.newaxis]
    return sim.bias + dark + levels * truth.drift(n) * light


# --------------------------------------------------------------------- frames against the truth


@pytest.mark.parametrize("dispersion_axis", [0, 1])
@pytest.mark.parametrize("window", [4, 10])
def test_noiseless_frames_follow_the_equation(rich, dispersion_axis, window):
    parameters = {**SMALL, "dispersion_axis": dispersion_axis, "shape": (130, 160)}
    if dispersion_axis == 0:
        parameters["shape"] = (160, 130)
    sim = EchelleSimulation(
        **parameters, level_spread=0.35, drift=0.03, scattered_light=0.02, dust=rich.dust,
        dead_pixels=rich.dead_pixels, bias=300.0, dark_current=0.5,
    )
    expected = expected_flats(sim, 3, window)
    np.testing.assert_allclose(sim.truth.noiseless_flats(3), expected, rtol=1e-12)
    np.testing.assert_allclose(images(sim.without_noise().flats(3)), expected, rtol=1e-6)


def test_noise_is_photon_and_read_noise_about_the_truth(rich):
    frames = images(rich.flats(30))
    expected = expected_flats(rich, 30)
    electrons = (expected - rich.bias) * 0.5
    pulls = (frames - expected) / (np.sqrt(electrons + 3.0**2) / 0.5)
    assert abs(pulls.mean()) < 0.01
    assert abs(pulls.std() - 1) < 0.01
    # photons are Poisson: the third moment of the pulls is 1 / sqrt(N), with no read noise
    photons = rich.with_noise(gain=1.0, read_noise=0.0).with_bias(0.0)
    frames, expected = images(photons.flats(30)), expected_flats(photons, 30)
    assert np.all(frames == np.rint(frames))
    skewness = np.mean(((frames - expected) / np.sqrt(expected)) ** 3 * np.sqrt(expected))
    assert skewness == pytest.approx(1, abs=0.2)


def test_mean_of_normalised_frames_is_the_flat(sim):
    sim = sim.with_level_spread(0.35)
    n = 50
    levels = sim.truth.levels(n)[:, np.newaxis, np.newaxis]
    mean = np.mean(images(sim.flats(n)) / levels, axis=0)
    variance = (sim.truth.flat * levels + 16) / levels**2
    pulls = (mean - sim.truth.flat) / (np.sqrt(variance.sum(axis=0)) / n)
    assert abs(pulls.mean()) < 0.03
    assert abs(pulls.std() - 1) < 0.02


def test_uncertainty_is_the_noise_model_of_observed_counts(rich):
    frame = rich.flats(1)[0]
    electrons = np.maximum(frame.data.astype(float) - 300, 0) * 0.5
    np.testing.assert_allclose(
        frame.uncertainty.array, np.sqrt(electrons + 9) / 0.5, rtol=1e-4
    )
    assert frame.uncertainty.uncertainty_type == "std"
    frames = rich.flats(10)
    expected = rich.truth.noiseless_flats(10)
    bright = expected > 1300
    sigmas = np.stack([frame.uncertainty.array for frame in frames])
    pulls = (images(frames) - expected)[bright] / sigmas[bright]
    assert abs(pulls.std() - 1) < 0.01


def test_frames_are_float32_ccddata_in_adu(sim):
    frame = sim.flats(1)[0]
    assert isinstance(frame, CCDData)
    assert frame.unit == "adu"
    assert frame.data.dtype == frame.uncertainty.array.dtype == np.float32
    assert frame.mask is None
    assert sim.flats(1, uncertainty=False)[0].uncertainty is None
    assert sim.flats(0) == []


# ------------------------------------------------------------------------------- order geometry


def test_pixels_hold_the_integral_of_a_blurred_top_hat():
    sim = EchelleSimulation(**SMALL, psf_sigma=1.3, pixel_response=0.0)
    lower, upper = sim.truth.orders.lower()[1, 40], sim.truth.orders.upper()[1, 40]
    n_sub = 200
    rows = (np.arange(130 * n_sub) + 0.5) / n_sub - 0.5
    blurred = stats.norm.cdf(rows, lower, 1.3) - stats.norm.cdf(rows, upper, 1.3)
    brute = blurred.reshape(130, n_sub).mean(axis=1)
    near = slice(int(lower) - 8, int(upper) + 9)
    np.testing.assert_allclose(sim.truth.slit_profile[near, 40], brute[near], atol=1e-6)


def test_without_blur_the_slit_profile_is_the_coverage():
    sim = EchelleSimulation(**SMALL, psf_sigma=0.0, tilt=0.0, curvature=0.0)
    np.testing.assert_allclose(sim.truth.slit_profile, sim.truth.orders.coverage(), atol=1e-3)


def test_half_maximum_is_at_the_true_edges():
    sim = EchelleSimulation(**SMALL, psf_sigma=2.0, pixel_response=0.0).without_noise()
    image = sim.flats(1)[0].data / sim.truth.levels(1)[0]
    columns = np.arange(image.shape[1])
    orders = sim.truth.orders
    for edges in (orders.lower(), orders.upper()):
        for edge, blaze in zip(edges, sim.truth.blaze, strict=True):
            below = np.floor(edge).astype(int)
            left, right = image[below, columns] / blaze, image[below + 1, columns] / blaze
            crossing = below + (0.5 - left) / (right - left)
            np.testing.assert_allclose(crossing, edge, atol=5e-3)


def test_illumination_along_the_slit():
    sim = EchelleSimulation(**SMALL, slit_slope=0.2)
    orders = sim.truth.orders
    lower, upper = orders.lower()[0, 80], orders.upper()[0, 80]
    rows = np.arange(int(lower) + 5, int(upper) - 4)
    expected = 1 + 0.2 * (2 * rows - lower - upper) / (upper - lower)
    np.testing.assert_allclose(sim.truth.slit_profile[rows, 80], expected, rtol=1e-4)


def test_flat_is_the_product_of_its_parts(rich):
    truth = rich.truth
    numbers = truth.orders.order_map()
    rows, columns = np.nonzero(numbers)
    blaze = truth.blaze[numbers[rows, columns] - rich.first_order, columns]
    profile, response = truth.slit_profile[rows, columns], truth.pixel_response[rows, columns]
    np.testing.assert_allclose(truth.flat[rows, columns], blaze * profile * response, rtol=1e-6)


def test_orders_are_apart_and_their_spacing_grows():
    orders = EchelleSimulation().truth.orders
    assert orders.order_numbers.tolist() == list(range(11, 23))
    assert orders.lower().min() > 0
    assert orders.upper().max() < 1023
    assert np.all(orders.lower()[1:] - orders.upper()[:-1] > 7)
    assert np.all(np.diff(orders.center(), n=2, axis=0) > 0)
    np.testing.assert_allclose(orders.center(), 0.5 * (orders.lower() + orders.upper()))


def test_order_width_is_the_mean_width():
    orders = EchelleSimulation(**SMALL).truth.orders
    assert np.mean(orders.upper() - orders.lower()) == pytest.approx(16, rel=1e-3)


@pytest.mark.parametrize("shape, n_orders", [((1024, 1024), 12), ((200, 300), 4)])
def test_cut_orders(shape, n_orders):
    orders = EchelleSimulation(shape=shape, n_orders=n_orders, cut_orders=True).truth.orders
    assert orders.lower()[0].min() < -2
    assert orders.center()[0].min() > 0
    assert orders.lower()[1].min() > 0
    assert orders.upper().max() < shape[0] - 1


def test_single_order_lies_in_the_middle():
    center = EchelleSimulation(shape=(60, 80), n_orders=1, order_width=20).truth.orders.center()
    assert np.all(abs(center - 30) < 5)


def test_peak_and_brightness_ratio():
    truth = EchelleSimulation(peak=5000.0, brightness_ratio=45.0, pixel_response=0.0).truth
    peaks = truth.blaze.max(axis=1)
    assert peaks[0] / peaks[-1] == pytest.approx(45, rel=1e-4)
    assert truth.noiseless_flats(1).max() == pytest.approx(5000, rel=1e-4)


# --------------------------------------------------------------------------- levels and drift


@pytest.mark.parametrize("window", [4, 10, 14])
def test_flat_has_mean_one_over_live_inner_order_pixels(rich, window):
    flat = rich.truth.normalized_flat(window)
    inner = rich.truth.orders.inner_mask(window) & ~rich.truth.dead_pixels
    assert flat[inner].mean() == pytest.approx(1, abs=1e-12)


def test_levels_are_the_inner_order_means_of_the_frames(sim):
    sim = sim.without_noise().with_level_spread(0.35)
    inner = sim.truth.orders.inner_mask(10)
    levels = sim.truth.levels(7)
    np.testing.assert_allclose(
        [frame.data[inner].mean(dtype=float) for frame in sim.flats(7)], levels, rtol=1e-6
    )
    mean_level = EchelleSimulation(**SMALL).truth.levels(1)[0]
    relative = sim.truth.levels(500) / mean_level
    assert 0.65 <= relative.min() < 0.67
    assert 1.33 < relative.max() <= 1.35


def test_no_spread_means_equal_levels(sim):
    assert np.ptp(sim.truth.levels(5)) == 0


def test_drift_is_a_plane_of_given_amplitude_and_inner_order_mean_one(sim):
    drift = sim.with_drift(0.03).truth.drift(5)
    inner = sim.truth.orders.inner_mask(10)
    np.testing.assert_allclose(np.ptp(drift, axis=(1, 2)), 0.06, rtol=1e-10)
    np.testing.assert_allclose(drift[:, inner].mean(axis=1), 1, atol=1e-12)
    for axis in (1, 2):
        np.testing.assert_allclose(np.diff(drift, n=2, axis=axis), 0, atol=1e-12)
    assert np.all(sim.truth.drift(2) == 1)


def test_colour_drift_is_a_level_of_each_order(sim):
    colored = sim.with_color_drift(0.05)
    color, orders = colored.truth.color(5), sim.truth.orders
    np.testing.assert_allclose(color[:, orders.inner_mask(10)].mean(axis=1), 1, atol=1e-12)
    order_map = orders.order_map()
    levels = np.array([color[:, order_map == m].mean(axis=1) for m in orders.order_numbers]).T
    for m in orders.order_numbers:
        assert (np.ptp(color[:, order_map == m], axis=1) == 0).all()
    np.testing.assert_allclose(np.diff(levels, n=2, axis=1), 0, atol=1e-12)
    slopes = (levels[:, -1] - levels[:, 0]) / 2
    assert (np.abs(slopes) < 0.05).all() and len(set(slopes)) == 5
    frames = colored.without_noise().flats(5)
    plain = sim.without_noise().flats(5)
    np.testing.assert_allclose(images(frames), images(plain) * color, rtol=1e-6)
    assert np.all(sim.truth.color(2) == 1)


# ------------------------------------------------- each layer changes what it should, no more


def test_cosmic_rays_leave_everything_else_as_it_was(sim):
    struck = sim.with_cosmic_rays(30, amplitude=57.0)
    hits = struck.truth.cosmic_rays(3)
    assert np.all(np.abs(hits.sum(axis=(1, 2)) - 30) <= 2)  # two may strike the same pixel
    assert not np.array_equal(hits[0], hits[1])
    excess = images(struck.flats(3)) - images(sim.flats(3))
    assert np.all(excess[~hits] == 0)
    sigma = np.sqrt(sim.truth.noiseless_flats(3) + 16)
    np.testing.assert_allclose(excess[hits], 57 * sigma[hits], rtol=1e-3)


def test_cosmic_ray_tracks_are_connected(sim):
    for seed in range(20):
        track = sim.with_cosmic_rays(1, length=9)
        hits = EchelleSimulation(**{**SMALL, "seed": seed}, cosmic_rays=track.cosmic_rays)
        image = hits.truth.cosmic_rays(1)[0]
        assert 1 <= image.sum() <= 9
        assert ndimage.label(image, structure=np.ones((3, 3)))[1] == 1
    many = sim.with_cosmic_rays(100, length=9).truth.cosmic_rays(1)
    assert many.sum() > 300


def test_bad_pixels_are_masked_and_leave_everything_else_as_it_was(sim):
    frames = sim.with_bad_pixels(40).flats(2)
    masks = np.stack([frame.mask for frame in frames])
    assert np.array_equal(masks, sim.with_bad_pixels(40).truth.bad_pixels(2))
    assert masks.sum(axis=(1, 2)).tolist() == [40, 40]
    assert not np.array_equal(masks[0], masks[1])
    assert np.all(images(frames)[masks] == 65535)
    assert np.array_equal(images(frames)[~masks], images(sim.flats(2))[~masks])


def test_bad_pixels_can_be_nan(sim):
    frame = sim.with_bad_pixels(40, value=np.nan).flats(1)[0]
    assert np.array_equal(np.isnan(frame.data), frame.mask)


def test_bias_is_added_and_nothing_else(sim):
    plain, biased = sim.flats(1)[0], sim.with_bias(500.0).flats(1)[0]
    np.testing.assert_allclose(biased.data, plain.data + 500, rtol=1e-6)
    np.testing.assert_allclose(biased.uncertainty.array, plain.uncertainty.array, rtol=1e-6)


def test_dead_pixels_change_only_themselves(sim):
    sim = sim.without_noise()
    dying = sim.with_dead_pixels(25)
    dead = dying.truth.dead_pixels
    assert dead.sum() == 25
    assert np.all(dying.truth.orders.order_map()[dead] > 0)
    assert np.all(dying.truth.pixel_response[dead] <= 0.2)
    assert np.ptp(dying.truth.pixel_response[dead]) > 0.05
    before, after = sim.flats(1)[0].data, dying.flats(1)[0].data
    assert np.array_equal(before[~dead], after[~dead])
    assert np.all(after[dead] < 0.3 * before[dead])
    assert sim.with_dead_pixels(25, max_response=0.0).flats(1)[0].data[dead].max() == 0


def test_dust_dims_round_spots(sim):
    sim = sim.without_noise()
    dusty = sim.with_dust(2, radius=3.0, depth=0.25)
    ratio = dusty.truth.pixel_response / sim.truth.pixel_response
    shadow = ratio < 1
    assert ratio.min() == pytest.approx(0.75)
    assert ratio.max() == 1
    assert ndimage.label(shadow)[1] == 2
    assert np.sum(1 - ratio) == pytest.approx(2 * 0.25 * np.pi * 3.0**2, rel=0.02)
    before, after = sim.flats(1)[0].data, dusty.flats(1)[0].data
    assert np.array_equal(before[~shadow], after[~shadow])


def test_pixel_response_scatter(sim):
    response = EchelleSimulation(**SMALL, pixel_response=0.02).truth.pixel_response
    assert response.std() == pytest.approx(0.02, rel=0.03)
    assert response.mean() == pytest.approx(1, abs=1e-3)
    assert np.all(EchelleSimulation(**SMALL, pixel_response=0.0).truth.pixel_response == 1)


def test_scattered_light_is_a_smooth_surface_of_the_given_fraction(sim):
    lit = sim.without_noise().with_scattered_light(0.05)
    surface = lit.truth.scattered_light
    inner = lit.truth.orders.inner_mask(10)
    assert surface[inner].mean() == pytest.approx(0.05 * lit.truth.flat[inner].mean())
    assert surface.min() > 0
    assert np.abs(np.diff(surface, n=2, axis=0)).max() < 1e-3 * surface.mean()
    added = (lit.flats(1)[0].data - sim.without_noise().flats(1)[0].data) / lit.truth.levels(1)[0]
    np.testing.assert_allclose(added, surface * lit.truth.pixel_response, atol=1e-6)
    assert not sim.truth.scattered_light.any()


def test_random_layers_do_not_disturb_each_other(sim, rich):
    busy = rich.with_cosmic_rays(10).with_bad_pixels(10)
    spread = sim.with_level_spread(0.35).truth.levels(3)
    assert np.allclose(busy.truth.levels(3) / spread, busy.truth.levels(1)[0] / spread[0])
    assert np.array_equal(busy.truth.drift(2), sim.with_drift(0.03).truth.drift(2))
    assert np.array_equal(busy.truth.dead_pixels, sim.with_dead_pixels(20).truth.dead_pixels)
    assert np.array_equal(busy.truth.cosmic_rays(2), sim.with_cosmic_rays(10).truth.cosmic_rays(2))
    assert np.array_equal(busy.truth.bad_pixels(2), sim.with_bad_pixels(10).truth.bad_pixels(2))


# --------------------------------------------------------------- reproducible and immutable


def test_same_parameters_same_frames(rich):
    rich = rich.with_cosmic_rays(10).with_bad_pixels(10)
    again = EchelleSimulation(**{name: getattr(rich, name) for name in rich.__dataclass_fields__})
    assert again == rich
    for one, other in zip(rich.flats(2), again.flats(2), strict=True):
        assert np.array_equal(one.data, other.data)
        assert np.array_equal(one.mask, other.mask)


def test_frames_do_not_depend_on_their_number(rich):
    assert np.array_equal(images(rich.flats(2)), images(rich.flats(4))[:2])
    assert np.array_equal(rich.truth.levels(2), rich.truth.levels(9)[:2])


def test_noise_differs_between_frames_seeds_and_kinds(sim):
    other = EchelleSimulation(**{**SMALL, "seed": 6})
    flats = images(sim.flats(2) + other.flats(1))
    flats -= np.concatenate([sim.truth.noiseless_flats(2), other.truth.noiseless_flats(1)])
    noises = np.concatenate([flats, images(sim.darks(2) + sim.biases(2))]).reshape(7, -1)
    correlation = np.corrcoef(noises) - np.eye(7)
    assert np.abs(correlation).max() < 0.035  # 5 sigma for this many pixels


def test_simulation_is_immutable(sim):
    with pytest.raises(FrozenInstanceError):
        sim.seed = 1
    noisier = sim.with_noise(gain=2.0, read_noise=9.0)
    assert (sim.noise.gain, noisier.noise.gain) == (1.0, 2.0)
    with pytest.raises(ValueError, match="read-only"):
        sim.truth.flat[0, 0] = 1
    sim.flats(1)[0].data[:] = 0
    assert sim.flats(1)[0].data.max() > 1000


def test_turned_detector_gives_transposed_frames(rich):
    rich = rich.with_cosmic_rays(10, length=5).with_bad_pixels(10)
    parameters = {name: getattr(rich, name) for name in rich.__dataclass_fields__}
    turned = EchelleSimulation(**{**parameters, "shape": (160, 130), "dispersion_axis": 0})
    for row_frame, column_frame in zip(rich.flats(2), turned.flats(2), strict=True):
        assert np.array_equal(row_frame.data, column_frame.data.T)
        assert np.array_equal(row_frame.mask, column_frame.mask.T)
        assert np.array_equal(row_frame.uncertainty.array, column_frame.uncertainty.array.T)
        assert column_frame.data.flags.c_contiguous
    for name in ("flat", "slit_profile", "pixel_response", "dead_pixels", "scattered_light"):
        assert np.array_equal(getattr(rich.truth, name), getattr(turned.truth, name).T), name
    for name in ("drift", "cosmic_rays", "bad_pixels", "noiseless_flats"):
        one, other = getattr(rich.truth, name)(2), getattr(turned.truth, name)(2)
        assert np.array_equal(one, other.transpose(0, 2, 1)), name
    orders = turned.truth.orders
    assert (orders.shape, orders.dispersion_axis) == ((160, 130), 0)
    assert np.array_equal(orders.inner_mask(10).T, rich.truth.orders.inner_mask(10))


# ------------------------------------------------------------- headers, darks, raw frames, files


def test_headers(sim):
    first, second = sim.with_noise(gain=0.5, read_noise=3.0).flats(2)
    assert first.header["IMAGETYP"] == "FLAT"
    assert first.header["DATE-OBS"] == "2024-01-01T00:00:00.000"
    assert second.header["DATE-OBS"] == "2024-01-01T00:00:30.000"
    assert (first.header["FRAMENO"], second.header["FRAMENO"]) == (1, 2)
    assert (first.header["GAIN"], first.header["RDNOISE"]) == (0.5, 3.0)
    assert first.header["EXPTIME"] == 10.0
    dark, bias = sim.darks(1)[0].header, sim.biases(1)[0].header
    assert (dark["IMAGETYP"], dark["EXPTIME"]) == ("DARK", 10.0)
    assert (bias["IMAGETYP"], bias["EXPTIME"]) == ("BIAS", 0.0)


def test_darks_and_biases(sim):
    sim = sim.with_noise(gain=2.0, read_noise=6.0).with_bias(100.0).with_dark_current(3.0)
    darks, biases = images(sim.darks(5)), images(sim.biases(5))
    assert darks.mean() == pytest.approx(100 + 3 * 10 / 2, abs=0.05)
    assert darks.std() == pytest.approx(np.sqrt(30 + 36) / 2, rel=0.01)
    assert biases.mean() == pytest.approx(100, abs=0.05)
    assert biases.std() == pytest.approx(3, rel=0.01)


def test_raw_frames_are_rounded(rich):
    raw = rich.flats(1, raw=True)[0]
    assert raw.data.dtype == np.uint16
    assert raw.mask is None and raw.uncertainty is None
    np.testing.assert_allclose(raw.data, rich.flats(1)[0].data, rtol=0, atol=0.501)
    bright = rich.with_bias(70000.0).flats(1, raw=True)[0]
    assert np.all(bright.data == 65535)


def test_raw_frames_cannot_hold_nan(sim):
    with pytest.raises(ValueError, match="raw frames are integers"):
        sim.with_bad_pixels(1, value=np.nan).flats(1, raw=True)


def test_write(tmp_path, rich):
    flats, darks = rich.write(tmp_path, 2, 1)
    names = ["dark_01.fits", "flat_01.fits", "flat_02.fits"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert sorted(path.name for path in flats + darks) == names
    for path, frame in zip(flats + darks, rich.flats(2, raw=True) + rich.darks(1, raw=True),
                           strict=True):
        with fits.open(path) as hdus:
            assert len(hdus) == 1
            assert hdus[0].header["BITPIX"] == 16
            assert hdus[0].header["BUNIT"] == "adu"
            assert hdus[0].header["IMAGETYP"] == frame.header["IMAGETYP"]
            assert np.array_equal(hdus[0].data, frame.data)


def test_write_refuses_before_it_starts(tmp_path, sim):
    sim.write(tmp_path, 0, 1)
    with pytest.raises(FileExistsError, match=r"dark_01\.fits"):
        sim.write(tmp_path, 2, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["dark_01.fits"]
    flats, _ = sim.write(tmp_path, 1, 1, overwrite=True)
    assert flats[0].exists()
    with pytest.raises(FileNotFoundError):
        sim.write(tmp_path / "nowhere", 1)


# ------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    "name, value",
    [
        ("shape", (100,)), ("shape", (100, 2)), ("shape", (100.0, 100)), ("n_orders", 0),
        ("n_orders", 2.5), ("dispersion_axis", 2), ("dispersion_axis", True), ("seed", -1),
        ("first_order", 0), ("order_width", 0.5), ("order_width", 40.0), ("n_orders", 40),
        ("psf_sigma", -1.0), ("tilt", np.nan), ("curvature", "big"), ("slit_slope", 1.0),
        ("peak", -1.0), ("peak", np.inf), ("brightness_ratio", 0.0), ("pixel_response", 0.5),
        ("exposure_time", -1.0),
    ],
)
def test_bad_parameters_are_named(name, value):
    expected = "order_width" if (name, value) == ("n_orders", 40) else name
    with pytest.raises(ValueError, match=f"^{expected}"):
        EchelleSimulation(**{**SMALL, name: value})


@pytest.mark.parametrize(
    "method, arguments, keywords, name",
    [
        ("with_noise", (), {"gain": 0.0}, "gain"),
        ("with_noise", (), {"read_noise": -1.0}, "read_noise"),
        ("with_level_spread", (1.0,), {}, "level_spread"),
        ("with_drift", (-0.1,), {}, "drift"),
        ("with_color_drift", (-0.1,), {}, "color_drift"),
        ("with_scattered_light", (-0.1,), {}, "scattered_light"),
        ("with_dust", (-1,), {}, "n"),
        ("with_dust", (1,), {"radius": -1.0}, "radius"),
        ("with_dust", (1,), {"depth": 1.5}, "depth"),
        ("with_dead_pixels", (1.5,), {}, "n"),
        ("with_dead_pixels", (1,), {"max_response": 2.0}, "max_response"),
        ("with_bad_pixels", (-1,), {}, "n"),
        ("with_cosmic_rays", (-1,), {}, "n"),
        ("with_cosmic_rays", (1,), {"length": 0}, "length"),
        ("with_cosmic_rays", (1,), {"amplitude": np.nan}, "amplitude"),
        ("with_bias", (np.nan,), {}, "bias"),
        ("with_dark_current", (-1.0,), {}, "dark_current"),
    ],
)
def test_bad_layers_are_named(sim, method, arguments, keywords, name):
    with pytest.raises(ValueError, match=f"^{name} is"):
        getattr(sim, method)(*arguments, **keywords)


@pytest.mark.parametrize("method", ["flats", "darks", "biases"])
def test_number_of_frames_is_checked(sim, method):
    with pytest.raises(ValueError, match=r"^n is -1"):
        getattr(sim, method)(-1)
    with pytest.raises(ValueError, match=r"^n is 0"):
        sim.truth.drift(0)


def test_more_dead_pixels_than_pixels(sim):
    with pytest.raises(ValueError, match=r"^dead_pixels is 100000"):
        sim.with_dead_pixels(100000).flats(1)
