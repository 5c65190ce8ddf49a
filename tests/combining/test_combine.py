# Licensed under a 3-clause BSD style license - see LICENSE.rst
import multiprocessing
import sys
import tracemalloc
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import nullcontext

import ccdproc
import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData, InverseVariance, StdDevUncertainty, VarianceUncertainty
from astropy.stats import mad_std, sigma_clip
from astropy.utils.exceptions import AstropyUserWarning

from ccdproc_echelle.combining import levels as levels_module
from ccdproc_echelle.combining.combine import combine_frames, two_pass_flat_combine
from ccdproc_echelle.combining.levels import inner_order_scale, measure_exposure_levels
from ccdproc_echelle.frames import uncertainty_array, variance_array
from ccdproc_echelle.orders import EchelleOrderTable
from ccdproc_echelle.simulation import EchelleSimulation

SMALL = EchelleSimulation(shape=(256, 240), n_orders=5, seed=3).with_level_spread(0.35)
ORDERS = SMALL.truth.orders
CLIP_5 = {"sigma_clip": True, "sigma_clip_low_thresh": 5, "sigma_clip_high_thresh": 5}
UNCERTAINTIES = [StdDevUncertainty, VarianceUncertainty, InverseVariance]


def random_frames(n=6, shape=(20, 15), *, masked=0.0, uncertainty=None, seed=0):
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(n):
        data = rng.normal(1000, 30, shape).astype(np.float32)
        mask = rng.random(shape) < masked if masked else None
        sigma = None
        if uncertainty is not None:
            variances = rng.uniform(500, 1500, shape)
            sigma = uncertainty(uncertainty_array(variances, uncertainty))
        frames.append(CCDData(data, unit="adu", mask=mask, uncertainty=sigma))
    return frames


def assert_identical(found: CCDData, expected: CCDData):
    """Bit by bit."""
    assert found.data.tobytes() == expected.data.tobytes()
    assert found.mask.tobytes() == expected.mask.tobytes()
    assert type(found.uncertainty) is type(expected.uncertainty)
    assert found.uncertainty.array.tobytes() == expected.uncertainty.array.tobytes()
    assert found.unit == expected.unit


@pytest.fixture(scope="module")
def small_frames():
    return SMALL.with_cosmic_rays(100).with_bad_pixels(100).flats(5)


@pytest.fixture(scope="module")
def small_flat(small_frames):
    return two_pass_flat_combine(small_frames, ORDERS, **CLIP_5)


@pytest.fixture
def small_files(tmp_path):
    return SMALL.write(tmp_path, 4)[0]


# -------------------------------------------------------------------- against ccdproc.combine


@pytest.mark.parametrize("method", ["average", "median", "sum"])
@pytest.mark.parametrize("masked", [0, 0.2])
@pytest.mark.parametrize("scaled", [False, True])
def test_without_clipping_the_image_is_ccdprocs(method, masked, scaled):
    frames = random_frames(masked=masked)
    scale = np.linspace(0.7, 1.3, 6) if scaled else None
    found = combine_frames(frames, method=method, scale=scale)
    expected = ccdproc.combine(frames, method=method, scale=scale)
    good = ~found.mask
    np.testing.assert_allclose(found.data[good], expected.data[good], rtol=3e-7)
    np.testing.assert_array_equal(found.mask, np.ma.getmaskarray(np.ma.array(
        expected.data, mask=expected.mask)))
    assert found.unit == expected.unit


@pytest.mark.parametrize(
    "keywords",
    [
        {"weights": np.array([1.0, 2, 3, 4, 5, 6])},
        {"weights": np.array([1.0, 2, 3, 4, 5, 6]), "method": "sum"},
        {"weights": np.random.default_rng(1).uniform(1, 2, (6, 20, 15))},
        {"minmax_clip": True, "minmax_clip_min": 970, "minmax_clip_max": 1050},
        {"minmax_clip": True, "minmax_clip_max": 1010, "method": "median"},
        {"clip_extrema": True},
        {"clip_extrema": True, "nlow": 0, "nhigh": 2, "method": "median"},
        {"clip_extrema": True, "nlow": None, "nhigh": 1},
        {"sigma_clip": True, "sigma_clip_low_thresh": 1.2, "sigma_clip_high_thresh": 1.1,
         "sigma_clip_func": np.ma.median, "sigma_clip_dev_func": mad_std},
        {"sigma_clip": True, "sigma_clip_low_thresh": None, "sigma_clip_high_thresh": 1.4,
         "sigma_clip_func": np.ma.mean, "sigma_clip_dev_func": np.ma.std},
    ],
)
def test_keywords_mean_what_they_mean_to_ccdproc(keywords):
    frames = random_frames()
    found = combine_frames(frames, **keywords)
    expected = ccdproc.combine(frames, **keywords)
    good = ~found.mask
    np.testing.assert_allclose(found.data[good], expected.data[good], rtol=3e-7)
    if expected.mask is not None:
        np.testing.assert_array_equal(found.mask, expected.mask)
    plain = combine_frames(frames, method=keywords.get("method", "average"))
    assert (found.data != plain.data).any()


def test_levels_given_to_ccdproc_as_scale_yield_the_same_flat(small_frames):
    levels = measure_exposure_levels(small_frames, ORDERS)["level"].value
    flat = two_pass_flat_combine(small_frames, ORDERS)
    # the first master is averaged here and clipped there: the levels differ in the 5th digit
    scale = 1 / np.array([flat.header[f"LEVEL{i:03d}"] for i in range(1, 6)])
    np.testing.assert_allclose(1 / scale, levels, rtol=1e-3)
    expected = ccdproc.combine(small_frames, scale=scale)
    np.testing.assert_allclose(flat.data, expected.data, rtol=3e-6, atol=1e-7)


@pytest.mark.parametrize("seen_by", ["data", "ccd"])
def test_callable_scales(seen_by):
    frames = random_frames(5, (40, 30), masked=0.1)
    orders = EchelleOrderTable.from_polynomials([1], [[20]], shape=(40, 30), dispersion_axis=1)
    if seen_by == "data":
        def scale(data):
            assert isinstance(data, np.ndarray)
            return 1 / data.mean()
        factors = [1 / frame.data.mean() for frame in frames]
    else:
        scale = inner_order_scale(orders)
        factors = [scale(frame) for frame in frames]
        assert factors != [scale(frame.data) for frame in frames]
    assert_identical(combine_frames(frames, scale=scale), combine_frames(frames, scale=factors))


def test_a_cosmic_ray_in_the_faintest_frame_is_clipped():
    # before scaling the frames differ by far more than the cosmic ray
    rng = np.random.default_rng(2)
    levels = np.array([8000.0, 10000, 12000, 9000, 2500])
    frames = [CCDData(rng.normal(level, np.sqrt(level), (30, 30)), unit="adu") for level in levels]
    frames[-1].data[10, 10] += 30 * np.sqrt(2500)
    clipping = CLIP_5 | {"sigma_clip_func": np.ma.median, "sigma_clip_dev_func": mad_std}
    theirs = ccdproc.combine(frames, scale=1 / levels, **clipping)
    mine = combine_frames(frames, scale=1 / levels, **clipping)
    assert theirs.data[10, 10] > 1.1
    assert mine.data[10, 10] == pytest.approx(1, abs=0.03)


def test_a_ray_on_every_pixel_of_the_faintest_of_five_frames_is_clipped():
    rng = np.random.default_rng(3)
    levels = np.array([8000.0, 10000, 12000, 9000, 2500])
    frames = []
    for level in levels:
        data = rng.normal(level, np.sqrt(level), (40, 40))
        sigma = StdDevUncertainty(np.full(data.shape, np.sqrt(level)))
        frames.append(CCDData(data, unit="adu", uncertainty=sigma))
    frames[-1].data[:] += 30 * np.sqrt(2500)
    by_mad = {"sigma_clip_func": np.ma.median, "sigma_clip_dev_func": mad_std}
    for functions in ({}, by_mad):
        combined, found = combine_frames(
            frames, scale=1 / levels, diagnostics=True, **CLIP_5, **functions
        )
        assert found.rejected[-1].all()
        pull = (combined.data - 1) / combined.uncertainty.array
        assert np.abs(pull).max() < 6
    theirs = ccdproc.combine(frames, scale=1 / levels, **CLIP_5, **by_mad)
    assert np.median(theirs.data) > 1.1


# -------------------------------------------------------------------------------- diagnostics


@pytest.mark.parametrize("uncertainty", [None, StdDevUncertainty])
def test_diagnostics_are_those_of_a_slow_evaluation(uncertainty):
    rng = np.random.default_rng(4)
    frames = random_frames(7, masked=0.2, uncertainty=uncertainty)
    for frame in frames:
        frame.data[rng.random(frame.shape) < 0.1] += 500
        frame.data[rng.random(frame.shape) < 0.05] = np.nan
        frame.data[rng.random(frame.shape) < 0.05] = -np.inf
    scale = np.linspace(0.9, 1.1, 7)
    deviation = {"sigma_clip_dev_func": mad_std} if uncertainty is None else {}
    combined, found = combine_frames(
        frames, scale=scale, sigma_clip=True, sigma_clip_low_thresh=4, sigma_clip_high_thresh=3,
        diagnostics=True, **deviation,
    )
    values = np.array([f.data * np.float32(s) for f, s in zip(frames, scale, strict=True)])
    good = np.isfinite(values) & ~np.array([frame.mask for frame in frames])
    values = np.ma.array(values, mask=~good)
    if uncertainty is None:
        clipped = sigma_clip(
            values, sigma_lower=4, sigma_upper=3, maxiters=1, cenfunc="median", stdfunc="mad_std",
            axis=0,
        )
        expected = np.ma.getmaskarray(clipped) & good
    else:
        sigmas = np.array([f.uncertainty.array * s for f, s in zip(frames, scale, strict=True)])
        deviations = values - np.ma.median(values, axis=0)
        expected = ((deviations < -4 * sigmas) | (deviations > 3 * sigmas)).filled(False)
    assert 50 < expected.sum() < good.sum() / 2
    np.testing.assert_array_equal(found.rejected, expected)
    np.testing.assert_array_equal(found.count, (good & ~expected).sum(axis=0))
    np.testing.assert_array_equal(combined.mask, found.count == 0)


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


def test_diagnostics_change_no_bit(small_frames, small_flat):
    flat, found = two_pass_flat_combine(small_frames, ORDERS, diagnostics=True, **CLIP_5)
    assert_identical(flat, small_flat)
    assert found.rejected.shape == (5, 256, 240)


# ------------------------------------------------------------------------------------ weights


def with_gaps(kind, n=5):
    """Frames whose masked pixels and pixels of unknown uncertainty must not be weighed."""
    frames = random_frames(n, masked=0.2, uncertainty=kind)
    rng = np.random.default_rng(5)
    for frame in frames:
        frame.uncertainty.array[frame.mask] = rng.choice([0, np.nan, 7], frame.mask.sum())
        frame.uncertainty.array[rng.random(frame.shape) < 0.05] = np.nan
    return frames


@pytest.mark.parametrize("kind", UNCERTAINTIES)
@pytest.mark.parametrize("clip", [{}, CLIP_5 | {"sigma_clip_high_thresh": 1.5}])
def test_inverse_variance_weights_against_a_loop(kind, clip):
    frames, scale = with_gaps(kind), np.linspace(0.9, 1.1, 5)
    combined, found = combine_frames(
        frames, scale=scale, weights="inverse_variance", diagnostics=True, **clip
    )
    expected, variance = np.full((2, *combined.shape), np.nan)
    for pixel in np.ndindex(*combined.shape):
        values, weights = [], []
        for i, frame in enumerate(frames):
            sigma2 = variance_array(frame.uncertainty.array[pixel], kind) * scale[i] ** 2
            if np.isfinite(sigma2) and not frame.mask[pixel] and not found.rejected[i][pixel]:
                values.append(frame.data[pixel] * scale[i])
                weights.append(1 / sigma2)
        if values:
            expected[pixel] = np.average(values, weights=weights)
            variance[pixel] = 1 / np.sum(weights)
    np.testing.assert_array_equal(combined.mask, np.isnan(expected))
    np.testing.assert_allclose(combined.data, expected, rtol=1e-6)
    if not clip:
        found = variance_array(combined.uncertainty.array, kind)
        np.testing.assert_allclose(found, variance, rtol=1e-5)


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


def test_inverse_variance_needs_uncertainties_above_zero():
    orders = EchelleOrderTable.from_polynomials([1], [[10]], shape=(20, 15), dispersion_axis=1)
    frames = random_frames(3, uncertainty=StdDevUncertainty)
    frames[1].uncertainty.array[10, 4] = 0
    for combine, arguments in [(combine_frames, ()), (two_pass_flat_combine, (orders,))]:
        message = "weights is 'inverse_variance', but frame 1 has a pixel of uncertainty 0"
        with pytest.raises(ValueError, match=message):
            combine(frames, *arguments, weights="inverse_variance")


# -------------------------------------------------------------------------- against the truth


def test_no_cosmic_ray_and_no_bad_pixel_survives():
    simulation = EchelleSimulation(seed=2).with_level_spread(0.35)
    simulation = simulation.with_cosmic_rays(1000, length=8).with_bad_pixels(1000)
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
    monkeypatch.setattr(levels_module, "_GATHERED_BYTES", 5 * 9 * 400)
    flat = two_pass_flat_combine(small_frames, ORDERS, **CLIP_5)
    assert flat.data[ORDERS.inner_mask(10)].mean(dtype=float) == pytest.approx(1, abs=1e-6)
    truth = SMALL.truth.levels(5)
    levels = np.array([flat.header[f"LEVEL{i:03d}"] for i in range(1, 6)])
    np.testing.assert_allclose(levels, truth, rtol=0.01)


def test_a_pixel_that_lost_a_frame_takes_over_the_noise_of_the_levels():
    # 60 faint inner-order pixels give poor levels; another pixel is known far better
    orders = EchelleOrderTable.from_polynomials([1], [[5]], shape=(12, 30), dispersion_axis=1)
    rng, pulls = np.random.default_rng(6), []
    for _ in range(200):
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
    # 200 flats know their scatter to 5 %
    np.testing.assert_allclose(np.std(pulls, axis=0), 1, atol=0.15)


def test_a_frame_without_a_good_pixel_changes_only_the_number_of_frames(small_frames):
    empty = CCDData(
        np.full(SMALL.shape, 7.0, dtype=small_frames[0].data.dtype), unit="adu",
        mask=np.ones(SMALL.shape, dtype=bool),
        uncertainty=StdDevUncertainty(np.zeros(SMALL.shape, dtype=small_frames[0].data.dtype)),
    )
    for method in ("average", "median"):
        expected = combine_frames(small_frames, method=method, **CLIP_5)
        found = combine_frames([*small_frames, empty], method=method, **CLIP_5)
        assert_identical(found, expected)
        assert found.header["NCOMBINE"] == expected.header["NCOMBINE"] + 1
        expected.header["NCOMBINE"] += 1
        assert found.header == expected.header


@pytest.mark.parametrize("method", ["average", "median"])
def test_a_transposed_stack_gives_the_transposed_image(small_frames, method):
    def transposed(frame):
        return CCDData(frame.data.T, unit="adu", mask=frame.mask.T,
                       uncertainty=StdDevUncertainty(frame.uncertainty.array.T))

    expected, there = combine_frames(small_frames, method=method, diagnostics=True, **CLIP_5)
    found, here = combine_frames(
        [transposed(frame) for frame in small_frames], method=method, diagnostics=True, **CLIP_5
    )
    np.testing.assert_array_equal(found.data, expected.data.T)
    np.testing.assert_array_equal(found.uncertainty.array, expected.uncertainty.array.T)
    np.testing.assert_array_equal(here.rejected, there.rejected.swapaxes(1, 2))


# ------------------------------------------------------------------------ streaming and workers


@pytest.mark.parametrize("mem_limit", [1, 1e5, 1e6])
def test_mem_limit_changes_no_bit(small_frames, small_flat, mem_limit):
    flat = two_pass_flat_combine(small_frames, ORDERS, mem_limit=mem_limit, **CLIP_5)
    assert_identical(flat, small_flat)


def test_weights_of_each_pixel_follow_the_rows():
    frames = random_frames(3, (50, 40))
    weights = np.random.default_rng(1).uniform(1, 2, (3, 50, 40))
    expected = np.average([f.data for f in frames], axis=0, weights=weights)
    combined = combine_frames(frames, weights=weights, mem_limit=1e4)
    np.testing.assert_allclose(combined.data, expected, rtol=1e-6)


def test_threads_change_no_bit(small_frames, small_flat):
    with ThreadPoolExecutor(3) as executor:
        flat = two_pass_flat_combine(
            small_frames, ORDERS, executor=executor, mem_limit=1e6, **CLIP_5
        )
    assert_identical(flat, small_flat)


def test_processes_change_no_bit(small_files):
    expected = two_pass_flat_combine(small_files, ORDERS, **CLIP_5)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        flat = two_pass_flat_combine(
            small_files, ORDERS, executor=executor, mem_limit=1e6, **CLIP_5
        )
    assert_identical(flat, expected)


def test_files_and_memory_give_the_same(small_files):
    frames = [CCDData.read(path) for path in small_files]
    assert_identical(
        two_pass_flat_combine(small_files, ORDERS), two_pass_flat_combine(frames, ORDERS)
    )


def test_compressed_files_give_the_same(small_files, tmp_path):
    packed = []
    for path in small_files:
        packed.append(tmp_path / f"{path.name}.gz")
        CCDData.read(path).write(packed[-1])
    expected = two_pass_flat_combine(small_files, ORDERS)
    for mem_limit in (1e6, 16e9):
        assert_identical(two_pass_flat_combine(packed, ORDERS, mem_limit=mem_limit), expected)


def test_memory_stays_below_that_of_the_stack(tmp_path):
    n_frames, shape = 20, (1000, 500)
    paths = [tmp_path / f"frame_{i}.fits" for i in range(n_frames)]
    data = np.arange(shape[0] * shape[1], dtype=np.uint16).reshape(shape)
    for path in paths:
        fits.writeto(path, data, fits.Header([("BUNIT", "adu")]))
    combine_frames(paths[:2])  # whatever is imported or cached at the first call
    tracemalloc.start()
    combine_frames(paths, mem_limit=5e6)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < n_frames * data.size * 4


# -------------------------------------------------------------------------- masks and variances


def test_masks_are_kept():
    frames = random_frames(4, (3, 4), masked=0)
    for frame in frames:
        frame.mask = np.zeros(frame.shape, dtype=bool)
        frame.mask[0, 0] = True
    frames[0].mask[1, 1] = True
    frames[0].data[1, 1] = 1e9
    frames[1].data[1, 1] = np.nan
    frames[2].data[2, 2] = np.inf
    combined = combine_frames(frames)
    assert np.argwhere(combined.mask).tolist() == [[0, 0]]
    assert np.isnan(combined.data[0, 0])
    expected = np.mean([frames[2].data[1, 1], frames[3].data[1, 1]])
    assert combined.data[1, 1] == pytest.approx(expected, rel=1e-6)
    expected = np.mean([frames[i].data[2, 2] for i in (0, 1, 3)])
    assert combined.data[2, 2] == pytest.approx(expected, rel=1e-6)


def test_what_has_weight_zero_only_is_masked():
    frames = random_frames(3, (3, 4))
    frames[0].mask = frames[1].mask = np.zeros((3, 4), dtype=bool)
    frames[0].mask[1, 1] = True
    combined = combine_frames(frames, weights=[1, 1, 0])
    assert np.argwhere(combined.mask).tolist() == [[1, 1]]


@pytest.mark.parametrize("kind", UNCERTAINTIES)
def test_uncertainties_are_propagated_in_their_type(kind):
    frames = random_frames(5, uncertainty=kind)
    scale = np.linspace(0.5, 1.5, 5)
    combined = combine_frames(frames, scale=scale)
    assert type(combined.uncertainty) is kind
    expected = sum(
        s**2 * variance_array(f.uncertainty.array, type(f.uncertainty))
        for s, f in zip(scale, frames, strict=True)
    ) / 25
    found = variance_array(combined.uncertainty.array, kind)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_different_types_of_uncertainty_are_combined():
    frames = random_frames(3, uncertainty=VarianceUncertainty)
    frames[1] = random_frames(1, uncertainty=InverseVariance)[0]
    combined = combine_frames(frames)
    assert type(combined.uncertainty) is StdDevUncertainty
    expected = sum(
        variance_array(frame.uncertainty.array, type(frame.uncertainty)) for frame in frames
    ) / 9
    np.testing.assert_allclose(combined.uncertainty.array**2, expected, rtol=1e-5)


def test_without_uncertainties_the_scatter_is_taken():
    frames = random_frames(6)
    combined = combine_frames(frames)
    assert type(combined.uncertainty) is StdDevUncertainty
    expected = np.std([f.data for f in frames], axis=0, ddof=1, dtype=float) / np.sqrt(6)
    np.testing.assert_allclose(combined.uncertainty.array, expected, rtol=1e-5)


@pytest.mark.parametrize("uncertainty", [None, StdDevUncertainty])
def test_combine_uncertainty_function(uncertainty):
    frames = random_frames(6, uncertainty=uncertainty)
    combined = combine_frames(frames, combine_uncertainty_function=mad_std)
    expected = mad_std([f.data for f in frames], axis=0) / np.sqrt(6)
    np.testing.assert_allclose(combined.uncertainty.array, expected, rtol=1e-5)


def test_some_uncertainties_only():
    frames = random_frames(4, uncertainty=StdDevUncertainty)
    frames[2].uncertainty = None
    with pytest.warns(AstropyUserWarning, match="no uncertainty in frame 2: those of the other"):
        combined = combine_frames(frames)
    for frame in frames:
        frame.uncertainty = None
    assert_identical(combined, combine_frames(frames))


def test_inputs_are_left_alone(small_frames):
    before = [frame.copy() for frame in small_frames]
    two_pass_flat_combine(small_frames, ORDERS, **CLIP_5, clip_extrema=True)
    for frame, old in zip(small_frames, before, strict=True):
        np.testing.assert_array_equal(frame.data, old.data)
        np.testing.assert_array_equal(frame.mask, old.mask)
        np.testing.assert_array_equal(frame.uncertainty.array, old.uncertainty.array)
        assert frame.header == old.header


@pytest.mark.parametrize(
    ("stored", "dtype", "expected"),
    [(np.uint16, None, np.float32), (np.int32, None, np.float64), (np.float32, None, np.float32),
     (np.float32, np.float64, np.float64), (np.float64, "float32", np.float32)],
)
def test_dtype(stored, dtype, expected):
    frames = [CCDData(f.data.astype(stored), unit="adu") for f in random_frames(3)]
    combined = combine_frames(frames, dtype=dtype)
    assert combined.data.dtype == combined.uncertainty.array.dtype == expected
    mean = np.mean([f.data for f in frames], axis=0, dtype=float)
    np.testing.assert_allclose(combined.data, mean, rtol=1e-6)


def test_weights_of_the_two_passes(small_frames):
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


def test_header_of_combined_frames(small_files):
    combined = combine_frames(small_files)
    assert combined.unit == u.adu
    assert combined.header["BUNIT"] == "adu"
    assert combined.header["NCOMBINE"] == 4
    assert "LEVEL001" not in combined.header


def test_the_wcs_is_that_of_the_first_frame(tmp_path):
    header = fits.Header([
        ("BUNIT", "adu"), ("CTYPE1", "LINEAR"), ("CTYPE2", "LINEAR"), ("CRVAL1", 7.0),
        ("CRPIX1", 1.0), ("CDELT1", 2.0), ("CRVAL2", 1.0), ("CRPIX2", 1.0), ("CDELT2", 1.0),
    ])
    fits.writeto(tmp_path / "frame.fits", np.ones((5, 4)), header)
    combined = combine_frames([tmp_path / "frame.fits"] * 2)
    assert combined.wcs.wcs_pix2world([[1, 0]], 0).tolist() == [[9, 1]]


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


def test_a_header_can_be_any_mapping():
    frames = random_frames(3, (20, 15))
    frames[0].header = {"OBJECT": "lamp"}
    orders = EchelleOrderTable.from_polynomials([1], [[10]], shape=(20, 15), dispersion_axis=1)
    flat = two_pass_flat_combine(frames, orders)
    assert flat.header["OBJECT"] == "lamp"
    assert flat.header["LEVEL003"] == pytest.approx(1000, abs=20)


@pytest.mark.parametrize("kind", UNCERTAINTIES)
def test_output_file(tmp_path, kind):
    frames = random_frames(4, (20, 15), masked=0.5, uncertainty=kind)
    orders = EchelleOrderTable.from_polynomials([1], [[10]], shape=(20, 15), dispersion_axis=1)
    flat = two_pass_flat_combine(frames, orders, tmp_path / "flat.fits", window=20)
    assert flat.mask.any()
    back = CCDData.read(tmp_path / "flat.fits")
    np.testing.assert_array_equal(back.data, flat.data)
    np.testing.assert_array_equal(back.mask, flat.mask)
    np.testing.assert_array_equal(back.uncertainty.array, flat.uncertainty.array)
    assert type(back.uncertainty) is kind
    assert back.unit == u.dimensionless_unscaled
    assert [path.name for path in tmp_path.iterdir()] == ["flat.fits"]


@pytest.mark.parametrize("from_files", [True, False])
def test_the_unit_of_the_inputs_is_not_that_of_the_flat(tmp_path, small_files, from_files):
    frames = small_files if from_files else [
        CCDData(f.data, unit="adu", header=fits.Header([("BUNIT", "adu")])) for f in SMALL.flats(2)
    ]
    two_pass_flat_combine(frames, ORDERS, tmp_path / "master.fits")
    assert fits.getheader(tmp_path / "master.fits")["BUNIT"] == ""
    # and the master can be an input again
    again = combine_frames([tmp_path / "master.fits"] * 2, unit=None)
    assert again.unit == u.dimensionless_unscaled


def test_output_of_raw_integers_is_in_floating_point(tmp_path):
    paths = [tmp_path / f"raw_{i}.fits" for i in range(3)]
    for path in paths:
        data = np.full((6, 5), 40001, np.uint16)
        fits.writeto(path, data, fits.Header([("BUNIT", "adu")]))
    combined = combine_frames(paths, tmp_path / "out.fits", scale=[0.5, 0.5, 0.5])
    header = fits.getheader(tmp_path / "out.fits")
    assert header["BITPIX"] == -32
    assert "BZERO" not in header
    np.testing.assert_array_equal(CCDData.read(tmp_path / "out.fits").data, combined.data)
    assert combined.data[0, 0] == 20000.5


@pytest.mark.parametrize("combine", [combine_frames, two_pass_flat_combine])
def test_an_existing_output_is_refused_before_anything_is_read(tmp_path, combine):
    path = tmp_path / "flat.fits"
    path.write_text("precious")
    arguments = (["missing.fits"], ORDERS) if combine is two_pass_flat_combine else (["x.fits"],)
    with pytest.raises(FileExistsError, match=r"flat\.fits exists"):
        combine(*arguments, output_file=path)
    assert path.read_text() == "precious"


def test_an_existing_output_is_replaced_on_demand(tmp_path):
    path = tmp_path / "flat.fits"
    path.write_text("old")
    combined = combine_frames(random_frames(3), path, overwrite_output=True)
    np.testing.assert_array_equal(CCDData.read(path).data, combined.data)


def test_an_error_in_the_middle_leaves_nothing_on_disk(tmp_path):
    # the second file can be opened but not read to its end
    paths = [tmp_path / f"frame_{i}.fits.gz" for i in range(3)]
    for i, path in enumerate(paths):
        data = np.random.default_rng(i).normal(100, 1, (200, 200))
        fits.writeto(path, data, fits.Header([("BUNIT", "adu")]))
    content = paths[1].read_bytes()
    paths[1].write_bytes(content[: len(content) // 2])
    output = tmp_path / "output"
    output.mkdir()
    with pytest.raises(OSError, match=r"frame_1\.fits\.gz cannot be read"):
        combine_frames(paths, output / "out.fits")
    assert list(output.iterdir()) == []


def test_an_error_of_the_writer_leaves_nothing_on_disk(tmp_path, monkeypatch):
    def half(self, path, **keywords):
        path.write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(CCDData, "write", half)
    with pytest.raises(OSError, match="disk full"):
        combine_frames(random_frames(3), tmp_path / "out.fits")
    assert list(tmp_path.iterdir()) == []


# -------------------------------------------------------------------------------- progress bar


def test_progress_bar(capsys):
    pytest.importorskip("tqdm")
    frames = random_frames(3)
    combined = combine_frames(frames, progress_bar=True)
    assert "combining" in capsys.readouterr().err
    assert_identical(combined, combine_frames(frames))
    assert capsys.readouterr().err == ""


def test_progress_bar_without_tqdm(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.warns(AstropyUserWarning, match="no progress bar: tqdm is not installed"):
        combine_frames(random_frames(3), progress_bar=True)


# ---------------------------------------------------------------------------------- odd input


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


def test_unknown_keywords():
    for combine in (
        lambda **keywords: combine_frames(random_frames(2), **keywords),
        lambda **keywords: two_pass_flat_combine(random_frames(2), ORDERS, **keywords),
    ):
        message = "unknown keyword 'signma_clip_dev_func'; did you mean 'sigma_clip_dev_func'"
        with pytest.raises(TypeError, match=message):
            combine(signma_clip_dev_func=mad_std)
        with pytest.raises(TypeError, match=r"unknown keyword 'xyzzy'$"):
            combine(xyzzy=1)


def test_two_passes_take_no_scale():
    with pytest.raises(TypeError, match="measures the scale itself; combine_frames takes scale="):
        two_pass_flat_combine(random_frames(2), ORDERS, scale=[1, 1])


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"method": "mean"}, "method is 'mean'; expected 'average', 'median' or 'sum'"),
        ({"dtype": "int16"}, "dtype is 'int16', expected float32 or float64"),
        ({"mem_limit": 0}, "mem_limit is 0, expected a number of bytes > 0"),
        ({"weights": [1, 2]}, r"weights have shape \(2,\), expected \(3,\) or \(3, 20, 15\)"),
        ({"weights": [1, 2, -1]}, "weights must be finite and not negative"),
        ({"weights": [1, 2, np.nan]}, "weights must be finite and not negative"),
        ({"weights": [1, 2, 3], "method": "median"}, "weights are of no use to a median"),
        ({"weights": "variance"}, "weights is 'variance', expected an array or 'inverse_variance'"),
        ({"weights": "inverse_variance"},
         "weights is 'inverse_variance', but frame 0 has no uncertainty"),
        ({"nlow": -1}, "nlow is -1, expected a number of frames"),
        ({"nhigh": 1.5}, r"nhigh is 1\.5, expected a number of frames"),
        ({"clip_extrema": True, "nlow": 2}, "nlow [+] nhigh is 3, expected less than .* frames, 3"),
        ({"sigma_clip_low_thresh": -3}, "low clipping threshold is -3; expected a positive"),
        ({"sigma_clip_func": "mode"}, "clipping center is 'mode'; expected"),
        ({"sigma_clip": True, "sigma_clip_dev_func": "uncertainty"},
         "sigma_clip_dev_func is 'uncertainty', but frame 0 has no uncertainty"),
    ],
)
def test_settings_that_make_no_sense(keywords, message):
    orders = EchelleOrderTable.from_polynomials([1], [[10]], shape=(20, 15), dispersion_axis=1)
    with pytest.raises(ValueError, match=message):
        combine_frames(random_frames(3), **keywords)
    with pytest.raises(ValueError, match=message):
        two_pass_flat_combine(random_frames(3), orders, **keywords)


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        ([1, 2], r"scale has shape \(2,\), expected one number for each of 3 frames"),
        ([1, 0, 1], r"the scale of frame 1 is 0\.0, expected a number > 0"),
        ([1, 1, -2], r"the scale of frame 2 is -2\.0, expected a number > 0"),
        ([np.nan, 1, 1], "the scale of frame 0 is nan, expected a number > 0"),
        (lambda data: np.inf, "the scale of frame 0 is inf, expected a number > 0"),
        (lambda data: data, r"scale has shape \(3, 20, 15\), expected one number for each"),
    ],
)
def test_scales_that_make_no_sense(scale, message):
    with pytest.raises(ValueError, match=message):
        combine_frames(random_frames(3), scale=scale)


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


def test_frames_that_do_not_fit(small_frames):
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
    orders = ORDERS if edges else EchelleOrderTable.from_traces(
        ORDERS.order_numbers, ORDERS.center(), shape=ORDERS.shape, dispersion_axis=1
    )
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


def test_auto_without_a_drift_is_one_level_per_frame(small_frames, small_flat):
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
def test_scales_per_order_and_mem_limit(colored_frames, mem_limit):
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
    for _ in range(200):
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


def test_no_order_has_a_level():
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
