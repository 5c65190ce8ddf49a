# Licensed under a 3-clause BSD style license - see LICENSE.rst
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import ccdproc
import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.stats import mad_std
from astropy.utils.exceptions import AstropyUserWarning

from ccdproc_echelle.combining import pixels as pixels_module
from ccdproc_echelle.combining.combine import combine_frames
from ccdproc_echelle.combining.levels import measure_exposure_levels
from ccdproc_echelle.combining.two_pass import two_pass_flat_combine
from ccdproc_echelle.orders import EchelleOrderTable
from ccdproc_echelle.simulation import EchelleSimulation
from helpers.orders import centers_only

SMALL = EchelleSimulation(shape=(256, 240), n_orders=5, seed=3).with_level_spread(0.35)
ORDERS = SMALL.truth.orders
CLIP_5 = {"sigma_clip": True, "sigma_clip_low_thresh": 5, "sigma_clip_high_thresh": 5}


# -------------------------------------------------------------------- against ccdproc.combine


def test_levels_given_to_ccdproc_as_scale_yield_the_same_flat(small_frames):
    levels = measure_exposure_levels(small_frames, ORDERS)["level"].value
    flat = two_pass_flat_combine(small_frames, ORDERS)
    # the first master is averaged here and clipped there: the levels differ in the 5th digit
    scale = 1 / np.array([flat.header[f"LEVEL{i:03d}"] for i in range(1, 6)])
    np.testing.assert_allclose(1 / scale, levels, rtol=1e-3)
    expected = ccdproc.combine(small_frames, scale=scale)
    np.testing.assert_allclose(flat.data, expected.data, rtol=3e-6, atol=1e-7)


# -------------------------------------------------------------------------------- diagnostics


def test_diagnostics_show_the_cosmic_rays_and_no_bad_pixel():
    simulation = SMALL.with_cosmic_rays(200, amplitude=100).with_bad_pixels(300)
    frames = simulation.flats(6)
    flat, found = two_pass_flat_combine(frames, ORDERS, diagnostics=True, **CLIP_5)
    masked = np.array([frame.mask for frame in frames])
    rays = simulation.truth.cosmic_rays(6) & ~masked
    bright = np.array([frame.data - truth for frame, truth in zip(
        frames, simulation.truth.noiseless_flats(6), strict=True)])
    bright = rays & (bright > 12 * np.array([frame.uncertainty.array for frame in frames]))
    assert bright.sum() > 500
    assert masked.any()
    assert found.rejected[bright].all()
    assert not found.rejected[masked].any()
    assert (found.rejected & ~rays).sum() < 20  # of 370 000 values beyond 5 sigma of a median
    np.testing.assert_array_equal(found.count, 6 - (masked | found.rejected).sum(axis=0))
    assert flat.shape == found.count.shape


def test_diagnostics_change_no_bit(assert_identical, small_frames, small_flat):
    flat, found = two_pass_flat_combine(small_frames, ORDERS, diagnostics=True, **CLIP_5)
    assert_identical(flat, small_flat)
    assert found.rejected.shape == (5, 256, 240)


# ------------------------------------------------------------------------------------ weights


def test_inverse_variance_weights_of_the_two_passes(small_frames):
    flat = two_pass_flat_combine(small_frames, ORDERS, weights="inverse_variance", **CLIP_5)
    scale = 1 / np.array([flat.header[f"LEVEL{i:03d}"] for i in range(1, 6)])
    expected = combine_frames(
        small_frames, scale=scale, weights="inverse_variance", **CLIP_5
    )
    np.testing.assert_allclose(flat.data, expected.data, rtol=1e-5, atol=1e-8)
    inside = ORDERS.order_map() > 0
    plain = two_pass_flat_combine(small_frames, ORDERS, **CLIP_5)
    assert (flat.uncertainty.array < plain.uncertainty.array)[inside].mean() > 0.95


# -------------------------------------------------------------------------- against the truth


def test_no_cosmic_ray_and_no_bad_pixel_survives():
    simulation = EchelleSimulation(shape=(512, 512), n_orders=6, seed=2).with_level_spread(0.35)
    simulation = simulation.with_cosmic_rays(500, length=8).with_bad_pixels(500)
    orders = simulation.truth.orders
    flat = two_pass_flat_combine(simulation.flats(7), orders, **CLIP_5)
    inside = orders.order_map() > 0
    pull = (flat.data - simulation.truth.flat)[inside] / flat.uncertainty.array[inside]
    assert not flat.mask[inside].any()
    assert np.abs(pull).max() < 6
    assert np.std(pull) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("method", ["average", "median"])
@pytest.mark.parametrize("uncertainty", [True, False])
def test_claimed_uncertainty_of_the_flat(method, uncertainty):
    frames = SMALL.flats(6, uncertainty=uncertainty)
    flat = two_pass_flat_combine(frames, ORDERS, method=method)
    inside = ORDERS.order_map() > 0
    error = (flat.data - SMALL.truth.flat)[inside]
    variance = flat.uncertainty.array[inside] ** 2
    # scatter of six frames is itself uncertain: compare mean squares, not single pixels
    ratio = np.mean(error**2) / np.mean(variance)
    assert np.sqrt(ratio) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("n_passes", [1, 2, 3])
@pytest.mark.parametrize("window", [6, 10])
def test_the_flat_is_normalised(n_passes, window):
    drifting = SMALL.with_drift(0.1).flats(3)
    flat = two_pass_flat_combine(drifting, ORDERS, window=window, n_passes=n_passes)
    inner = ORDERS.inner_mask(window)
    assert flat.unit == u.dimensionless_unscaled
    assert flat.data[inner].mean(dtype=float) == pytest.approx(1, abs=1e-6)
    assert flat.data.dtype == np.float32


def test_both_dispersion_axes(small_frames, small_flat):
    transposed = [
        CCDData(f.data.T, unit="adu", mask=f.mask.T,
                uncertainty=StdDevUncertainty(f.uncertainty.array.T))
        for f in small_frames
    ]
    flat = two_pass_flat_combine(transposed, ORDERS.transposed(), **CLIP_5)
    np.testing.assert_allclose(flat.data.T, small_flat.data, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(flat.uncertainty.array.T, small_flat.uncertainty.array, rtol=1e-6)


@pytest.mark.parametrize(
    "functions",
    [
        {"sigma_clip_func": np.ma.median, "sigma_clip_dev_func": mad_std},
        {"sigma_clip_func": "median", "sigma_clip_dev_func": "uncertainty"},
        {"sigma_clip_func": lambda x, axis: np.nanmedian(x, axis=axis),
         "sigma_clip_dev_func": mad_std},
    ],
    ids=["guide", "noise model", "own"],
)
def test_functions_of_the_users_script(functions):
    simulation = SMALL.with_cosmic_rays(150, amplitude=100)
    flat = two_pass_flat_combine(simulation.flats(7), ORDERS, **CLIP_5, **functions)
    hit = simulation.truth.cosmic_rays(7).any(axis=0) & (ORDERS.order_map() > 0)
    pull = (flat.data - simulation.truth.flat)[hit] / flat.uncertainty.array[hit]
    assert hit.sum() > 100
    assert np.abs(pull).max() < 6


def test_the_flat_is_normalised_though_the_levels_are_of_few_pixels(small_frames, monkeypatch):
    monkeypatch.setattr(pixels_module, "_GATHERED_BYTES", 5 * 9 * 400)
    flat = two_pass_flat_combine(small_frames, ORDERS, **CLIP_5)
    assert flat.data[ORDERS.inner_mask(10)].mean(dtype=float) == pytest.approx(1, abs=1e-6)
    truth = SMALL.truth.levels(5)
    levels = np.array([flat.header[f"LEVEL{i:03d}"] for i in range(1, 6)])
    np.testing.assert_allclose(levels, truth, rtol=0.01)


def test_a_pixel_that_lost_a_frame_takes_over_the_noise_of_the_levels():
    # 60 faint inner-order pixels give poor levels; another pixel is known far better
    orders = EchelleOrderTable.from_polynomials([1], [[5]], shape=(12, 30), dispersion_axis=1)
    rng, pulls = np.random.default_rng(6), []
    for _ in range(100):
        frames = []
        for lost in range(4):
            sigma = np.full((12, 30), 5.0)
            sigma[10] = 0.01
            data = 100 + sigma * rng.normal(size=sigma.shape)
            mask = np.zeros(sigma.shape, dtype=bool)
            mask[10, 3] = lost == 0
            mask[10, 4] = lost > 0
            frames.append(
                CCDData(data, unit="adu", mask=mask, uncertainty=StdDevUncertainty(sigma))
            )
        flat = two_pass_flat_combine(frames, orders, window=2)
        assert (flat.uncertainty.array[10, 3:5] > 20 * flat.uncertainty.array[10, 5]).all()
        # over a pixel that lost none, so that what is common to all pixels cancels
        ratio = flat.data[10, 3:5] / flat.data[10, 5]
        pulls.append((ratio - 1) / flat.uncertainty.array[10, 3:5])
    # 100 flats know their scatter to 7 %
    np.testing.assert_allclose(np.std(pulls, axis=0), 1, atol=0.15)


# ------------------------------------------------------------------------ streaming and workers


@pytest.mark.parametrize("mem_limit", [1, 1e5, 1e6])
def test_mem_limit_changes_no_bit(assert_identical, small_frames, small_flat, mem_limit):
    flat = two_pass_flat_combine(small_frames, ORDERS, mem_limit=mem_limit, **CLIP_5)
    assert_identical(flat, small_flat)


def test_threads_change_no_bit(assert_identical, small_frames, small_flat):
    with ThreadPoolExecutor(3) as executor:
        flat = two_pass_flat_combine(
            small_frames, ORDERS, executor=executor, mem_limit=1e6, **CLIP_5
        )
    assert_identical(flat, small_flat)


def test_processes_change_no_bit(assert_identical, small_files, executors):
    expected = two_pass_flat_combine(small_files, ORDERS, **CLIP_5)
    flat = two_pass_flat_combine(
        small_files, ORDERS, executor=executors("processes"), mem_limit=1e6, **CLIP_5
    )
    assert_identical(flat, expected)


def test_files_and_memory_give_the_same(assert_identical, small_files):
    frames = [CCDData.read(path) for path in small_files]
    assert_identical(
        two_pass_flat_combine(small_files, ORDERS), two_pass_flat_combine(frames, ORDERS)
    )


def test_compressed_files_give_the_same(assert_identical, small_files, tmp_path):
    packed = []
    for path in small_files:
        packed.append(tmp_path / f"{path.name}.gz")
        CCDData.read(path).write(packed[-1])
    expected = two_pass_flat_combine(small_files, ORDERS)
    for mem_limit in (1e6, 16e9):
        assert_identical(two_pass_flat_combine(packed, ORDERS, mem_limit=mem_limit), expected)


# -------------------------------------------------------------------------- masks and variances


def test_inputs_are_left_alone(small_frames):
    before = [frame.copy() for frame in small_frames]
    two_pass_flat_combine(small_frames, ORDERS, **CLIP_5, clip_extrema=True)
    for frame, old in zip(small_frames, before, strict=True):
        np.testing.assert_array_equal(frame.data, old.data)
        np.testing.assert_array_equal(frame.mask, old.mask)
        np.testing.assert_array_equal(frame.uncertainty.array, old.uncertainty.array)
        assert frame.header == old.header


def test_weights_of_the_two_passes(assert_identical, small_frames):
    weights = np.array([1.0, 2, 0, 1, 1])
    flat = two_pass_flat_combine(small_frames, ORDERS, weights=weights)
    images = np.broadcast_to(weights[:, None, None], (5, 256, 240))
    assert_identical(two_pass_flat_combine(small_frames, ORDERS, weights=images), flat)
    scale = 1 / np.array([flat.header[f"LEVEL{i:03d}"] for i in range(1, 6)])
    expected = combine_frames(small_frames, scale=scale, weights=weights)
    np.testing.assert_allclose(flat.data, expected.data, rtol=1e-6, atol=1e-8)


# --------------------------------------------------------------------------- header and output


def test_header_of_the_flat(small_files):
    flat = two_pass_flat_combine(small_files, ORDERS)
    levels = measure_exposure_levels(small_files, ORDERS)
    assert flat.header["INSTRUME"] == "EchelleSimulation"
    assert flat.header["NCOMBINE"] == 4
    assert flat.header["combined"] is True
    assert flat.header["BUNIT"] == ""
    for i, level in enumerate(levels["level"].value, start=1):
        assert flat.header[f"LEVEL{i:03d}"] == pytest.approx(level, rel=1e-3)
        assert flat.header.comments[f"LEVEL{i:03d}"] == f"[adu] flat_{i:02d}.fits"


@pytest.mark.parametrize("name", ["flât.fits", "flat_" + 90 * "x" + ".fits"])
def test_any_file_name_fits_into_the_header(small_files, tmp_path, name):
    odd = small_files[0].rename(tmp_path / name)
    flat = two_pass_flat_combine([odd, *small_files[1:]], ORDERS, tmp_path / "out.fits")
    comment = flat.header.comments["LEVEL001"]
    assert comment.startswith("[adu] fl")
    assert fits.getheader(tmp_path / "out.fits").comments["LEVEL001"] == comment


def test_a_thousand_levels():
    orders = EchelleOrderTable.from_polynomials([1], [[4]], shape=(9, 8), dispersion_axis=1)
    frames = [CCDData(np.full((9, 8), 1.0 + i), unit="adu") for i in range(1000)]
    flat = two_pass_flat_combine(frames, orders, window=2)
    assert flat.header["LEVE0001"] == pytest.approx(1)
    assert flat.header["LEVE1000"] == pytest.approx(1000)


def test_a_header_can_be_any_mapping(random_frames):
    frames = random_frames(3, (20, 15))
    frames[0].header = {"OBJECT": "lamp"}
    orders = EchelleOrderTable.from_polynomials([1], [[10]], shape=(20, 15), dispersion_axis=1)
    flat = two_pass_flat_combine(frames, orders)
    assert flat.header["OBJECT"] == "lamp"
    assert flat.header["LEVEL003"] == pytest.approx(1000, abs=20)


# ---------------------------------------------------------------------------------- odd input


@pytest.mark.parametrize("value", [0.0, np.nan])
@pytest.mark.parametrize("keywords", [
    {"weights": "inverse_variance"}, {"sigma_clip": True, "sigma_clip_dev_func": "uncertainty"},
])
def test_measured_noise_takes_the_place_of_unknown_uncertainties(value, keywords):
    frames = SMALL.flats(4)
    for frame in frames:
        frame.uncertainty = StdDevUncertainty(np.full(frame.shape, value))
    with pytest.warns(AstropyUserWarning, match="most uncertainties .* They are not used"):
        flat = two_pass_flat_combine(frames, ORDERS, **keywords)
    inside = ORDERS.order_map(margin=-3) > 0
    pulls = (flat.data - SMALL.truth.flat)[inside] / flat.uncertainty.array[inside]
    assert abs(pulls.std() - 1) < 0.05


@pytest.mark.parametrize("keywords", [
    {"weights": "inverse_variance"}, {"sigma_clip": True, "sigma_clip_dev_func": "uncertainty"},
])
@pytest.mark.filterwarnings("ignore:most uncertainties", "ignore:the noise of the frames cannot")
def test_uncertainties_that_cannot_be_had(keywords):
    orders = EchelleOrderTable.from_polynomials([1], [[20]], shape=(40, 30), dispersion_axis=1)
    frames = [CCDData(np.full((40, 30), x), unit="adu", uncertainty=StdDevUncertainty(
        np.zeros((40, 30)))) for x in (99.0, 100.0, 101.0)]
    with pytest.raises(ValueError, match="the frames have no uncertainties that can be used"):
        two_pass_flat_combine(frames, orders, **keywords)


@pytest.mark.parametrize("uncertainty", [True, False])
def test_one_frame_alone_works_with_a_warning(uncertainty):
    frames = SMALL.flats(1, uncertainty=uncertainty)
    with pytest.warns(AstropyUserWarning, match="frame 0 is the only frame: nothing can be"):
        flat = two_pass_flat_combine(frames, ORDERS, **CLIP_5)
    level = flat.header["LEVEL001"]
    np.testing.assert_allclose(flat.data, frames[0].data / level, rtol=1e-6)
    if uncertainty:
        expected = frames[0].uncertainty.array / level
        np.testing.assert_allclose(flat.uncertainty.array, expected, rtol=1e-6)
    else:
        assert np.isnan(flat.uncertainty.array).all()


def test_two_passes_take_no_scale(random_frames):
    with pytest.raises(TypeError, match="measures the scale itself; use combine_frames for scale="):
        two_pass_flat_combine(random_frames(2), ORDERS, scale=[1, 1])


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"n_passes": 0}, "n_passes is 0, expected a positive integer"),
        ({"statistic": "mode"}, "statistic is 'mode', expected one of"),
        ({"window": -1}, "window is -1, expected a positive number"),
        ({"method": "sum"}, "method is 'sum'; a flat needs 'average' or 'median'"),
    ],
)
def test_two_pass_settings_that_make_no_sense(small_frames, keywords, message):
    with pytest.raises(ValueError, match=message):
        two_pass_flat_combine(small_frames, ORDERS, **keywords)


def test_frames_that_do_not_fit(random_frames, small_frames):
    with pytest.raises(ValueError, match="img_list holds no frames"):
        two_pass_flat_combine([], ORDERS)
    with pytest.raises(ValueError, match="frame 1 has shape"):
        two_pass_flat_combine([small_frames[0], *random_frames(1)], ORDERS)
    with pytest.raises(ValueError, match=r"detector of shape \(256, 240\), the frame has"):
        two_pass_flat_combine(random_frames(2), ORDERS)


def test_levels_must_be_positive(small_frames):
    dark = CCDData(np.zeros(SMALL.shape), unit="adu", uncertainty=StdDevUncertainty(
        np.ones(SMALL.shape)))
    with pytest.raises(ValueError, match=r"exposure level of frame 5 is 0\.0, expected > 0"):
        two_pass_flat_combine([*small_frames, dark], ORDERS)


def test_the_first_bad_file_is_named_and_nothing_is_written(small_files, tmp_path):
    output = tmp_path / "out.fits"
    (tmp_path / "broken.fits").write_bytes(small_files[0].read_bytes()[:50_000])
    for name, error in [("nowhere.fits", FileNotFoundError), ("broken.fits", OSError)]:
        with pytest.raises(error, match=name.replace(".", r"\.")):
            two_pass_flat_combine([*small_files, tmp_path / name], ORDERS, output)
    assert not output.exists()


# ---------------------------------------------------------------------------- scales per order


COLORED = SMALL.with_color_drift(0.025)


def order_sums(image):
    order_map = ORDERS.order_map()
    return np.array([image[order_map == m].sum() for m in ORDERS.order_numbers])


@pytest.fixture(scope="module")
def colored_frames():
    return COLORED.flats(5)


@pytest.mark.parametrize("settings", [CLIP_5, {}, {"method": "median"}])
@pytest.mark.parametrize("per_order", [True, "auto"])
def test_orders_have_the_mean_colour_of_the_frames(colored_frames, per_order, settings):
    flat = two_pass_flat_combine(colored_frames, ORDERS, per_order=per_order, **settings)
    truth = COLORED.truth.flat * COLORED.truth.color(5).mean(axis=0)
    truth /= truth[ORDERS.inner_mask(10)].mean()
    np.testing.assert_allclose(order_sums(flat.data) / order_sums(truth), 1, atol=1e-3)
    np.testing.assert_allclose(flat.data[ORDERS.inner_mask(10)].mean(), 1, rtol=1e-5)
    assert flat.header["PERORDER"] is True


@pytest.mark.parametrize("edges", [True, False])
def test_frames_over_the_scaled_master_have_no_pattern(edges):
    frames = COLORED.without_noise().flats(5)
    orders = ORDERS if edges else centers_only(ORDERS)
    levels = measure_exposure_levels(frames, orders, per_order=True)
    pattern = {}
    for per_order in (False, True):
        flat = two_pass_flat_combine(frames, orders, per_order=per_order)
        scale = levels["order_level"] if per_order else levels["level"][:, None]
        sums = np.array([order_sums(frame.data) for frame in frames])
        pattern[per_order] = sums / (scale.value * order_sums(flat.data))
    assert np.abs(pattern[False] - 1).max() > 1e-2
    np.testing.assert_allclose(pattern[True], 1, atol=1e-4)


def test_scaled_frames_agree_pixel_by_pixel():
    frames = COLORED.without_noise().flats(5)
    inside = ORDERS.order_map() > 0
    scatter = {}
    for per_order in (False, True):
        for frame in frames:
            frame.uncertainty = None
        flat = two_pass_flat_combine(frames, ORDERS, per_order=per_order)
        scatter[per_order] = (flat.uncertainty.array[inside] / flat.data[inside]).max()
    assert scatter[False] > 4e-3
    assert scatter[True] < 1e-5


def test_auto_without_a_drift_is_one_level_per_frame(assert_identical, small_frames, small_flat):
    flat = two_pass_flat_combine(small_frames, ORDERS, per_order="auto", **CLIP_5)
    assert_identical(flat, small_flat)
    assert flat.header["PERORDER"] is False
    assert "PERORDER" not in small_flat.header
    assert flat.header["LEVEL001"] == small_flat.header["LEVEL001"]


def test_scales_per_order_on_both_dispersion_axes(colored_frames):
    flat = two_pass_flat_combine(colored_frames, ORDERS, per_order=True, **CLIP_5)
    turned = [
        CCDData(frame.data.T, unit=frame.unit,
                uncertainty=StdDevUncertainty(frame.uncertainty.array.T))
        for frame in colored_frames
    ]
    found = two_pass_flat_combine(turned, ORDERS.transposed(), per_order=True, **CLIP_5)
    np.testing.assert_allclose(found.data.T, flat.data, rtol=1e-5, atol=1e-6)


def test_the_order_of_the_orders_in_the_table_does_not_matter(colored_frames):
    flat = two_pass_flat_combine(colored_frames, ORDERS, per_order=True)
    falling = EchelleOrderTable.from_traces(
        100 - ORDERS.order_numbers, ORDERS.center(), shape=ORDERS.shape, dispersion_axis=1,
        lower=ORDERS.lower(), upper=ORDERS.upper(),
    )
    found = two_pass_flat_combine(colored_frames, falling, per_order=True)
    np.testing.assert_allclose(found.data, flat.data, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mem_limit", [1, 1e5, 1e6])
def test_scales_per_order_and_mem_limit(assert_identical, colored_frames, mem_limit):
    expected = two_pass_flat_combine(colored_frames, ORDERS, per_order=True, **CLIP_5)
    found = two_pass_flat_combine(
        colored_frames, ORDERS, per_order=True, mem_limit=mem_limit, **CLIP_5
    )
    assert_identical(found, expected)


def test_an_order_without_a_level_is_taken_along(colored_frames):
    frames = [frame.copy() for frame in colored_frames]
    lost = ORDERS.select(ORDERS.order_numbers[2]).inner_mask(10)
    frames[0].mask = lost
    flat = two_pass_flat_combine(frames, ORDERS, per_order=True)
    truth = COLORED.truth.flat * COLORED.truth.color(5).mean(axis=0)
    ratio = order_sums(flat.data) / order_sums(truth)
    np.testing.assert_allclose(np.delete(ratio / ratio[0], 2), 1, atol=2e-3)
    assert np.isfinite(flat.data).all()


@pytest.mark.parametrize("n_frames, n_orders", [(1, 3), (4, 1)])
def test_scales_per_order_of_one_frame_or_one_order(n_frames, n_orders):
    simulation = EchelleSimulation(shape=(128, 128), n_orders=n_orders).with_level_spread(0.35)
    frames, orders = simulation.flats(n_frames), simulation.truth.orders
    expected_warning = (
        pytest.warns(AstropyUserWarning, match="only frame") if n_frames == 1 else nullcontext()
    )
    with expected_warning:
        expected = two_pass_flat_combine(frames, orders)
    with expected_warning:
        found = two_pass_flat_combine(frames, orders, per_order=True)
    np.testing.assert_allclose(found.data, expected.data, rtol=1e-4, atol=1e-5)


def test_a_pixel_that_lost_a_frame_takes_over_the_noise_of_its_orders_level():
    # 90 pixels of an order give poor levels, worse in the second order; others are known better
    orders = EchelleOrderTable.from_polynomials(
        [1, 2], [[5], [25]], shape=(30, 30), dispersion_axis=1
    )
    rng, pulls, sigmas = np.random.default_rng(6), [], []
    for _ in range(100):
        frames = []
        for lost in range(4):
            sigma = np.full((30, 30), 5.0)
            sigma[15:] = 15.0
            sigma[[1, 29]] = 0.01
            data = 100 + sigma * rng.normal(size=sigma.shape)
            mask = np.zeros(sigma.shape, dtype=bool)
            mask[:, 3] = lost == 0
            frames.append(
                CCDData(data, unit="adu", mask=mask, uncertainty=StdDevUncertainty(sigma))
            )
        flat = two_pass_flat_combine(frames, orders, window=2, per_order=True)
        ratio = flat.data[[1, 29], 3] / flat.data[[1, 29], 5]
        sigmas.append(flat.uncertainty.array[[1, 29], 3])
        pulls.append((ratio - 1) / sigmas[-1])
    np.testing.assert_allclose(np.std(pulls, axis=0), 1, atol=0.15)
    np.testing.assert_allclose(np.mean(sigmas, axis=0)[1] / np.mean(sigmas, axis=0)[0], 3, rtol=0.1)


def test_no_order_has_a_level(random_frames):
    frames = random_frames(shape=(20, 15))
    orders = EchelleOrderTable.from_polynomials([1], [[10]], shape=(20, 15), dispersion_axis=1)
    with pytest.raises(ValueError, match="no order has enough bright pixels"):
        two_pass_flat_combine(frames, orders, window=1, per_order=True)
    flat = two_pass_flat_combine(frames, orders, window=1, per_order="auto")
    assert flat.header["PERORDER"] is False


@pytest.mark.parametrize("per_order", ["yes", None, 2])
def test_per_order_is_checked(small_frames, per_order):
    with pytest.raises(ValueError, match=f"per_order is {per_order!r}, expected False, True"):
        two_pass_flat_combine(small_frames, ORDERS, per_order=per_order)
