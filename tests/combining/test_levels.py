# Licensed under a 3-clause BSD style license - see LICENSE.rst
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor

import ccdproc
import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import CCDData, InverseVariance, StdDevUncertainty, VarianceUncertainty
from astropy.stats import SigmaClip
from astropy.utils.exceptions import AstropyUserWarning
from scipy.stats import kstest

from ccdproc_echelle.combining import levels as levels_module
from ccdproc_echelle.combining.combine import two_pass_flat_combine
from ccdproc_echelle.combining.levels import (
    inner_order_scale,
    measure_exposure_levels,
    one_level_test,
    with_common_errors,
)
from ccdproc_echelle.frames import variance_array
from ccdproc_echelle.orders import EchelleOrderTable
from ccdproc_echelle.simulation import EchelleSimulation

SMALL = EchelleSimulation(shape=(256, 256), n_orders=5, seed=3).with_level_spread(0.35)
N_FRAMES = 7


def relative_error(levels, truth):
    """Largest error of the levels up to their common factor."""
    levels, truth = np.asarray(levels), np.asarray(truth)
    return np.abs(levels / levels.mean() / (truth / truth.mean()) - 1).max()


def one_order(shape=(40, 30), row=20):
    return EchelleOrderTable.from_polynomials([1], [[row]], shape=shape, dispersion_axis=1)


def constant_frames(levels, shape=(40, 30)):
    return [CCDData(np.full(shape, float(level)), unit="adu") for level in levels]


@pytest.fixture(scope="module")
def full_size():
    """Levels of seven 1024 x 1024 frames, and their truth, by amplitude of the drift."""
    measured = {}
    for drift in (0.0, 0.03):
        simulation = EchelleSimulation(seed=1).with_level_spread(0.35).with_drift(drift)
        table = measure_exposure_levels(simulation.flats(N_FRAMES), simulation.truth.orders)
        measured[drift] = table, simulation.truth.levels(N_FRAMES)
    return measured


@pytest.fixture(scope="module")
def small_frames():
    return SMALL.flats(5)


@pytest.mark.parametrize("n_pixels", [100, 1000, 10**9])
def test_levels_of_part_of_the_pixels(small_frames, monkeypatch, n_pixels):
    monkeypatch.setattr(levels_module, "_GATHERED_BYTES", 9 * 5 * n_pixels)
    table = measure_exposure_levels(small_frames, SMALL.truth.orders)
    inner = SMALL.truth.orders.inner_mask(10)
    assert table["n_pixels"][0] <= min(n_pixels, inner.sum())
    # relative to the first frame, as each choice of pixels has its own mean
    levels, truth = table["level"].value, SMALL.truth.levels(5)
    sigmas = table["level_uncertainty"].value / levels
    error = levels / levels[0] / (truth / truth[0]) - 1
    assert (np.abs(error[1:]) < 4 * np.hypot(sigmas[1:], sigmas[0])).all()
    assert sigmas.max() < 0.05 / np.sqrt(min(n_pixels, inner.sum()))


def test_thinned_pixels_are_spread_evenly():
    few = np.flatnonzero(SMALL.truth.orders.inner_mask(10))
    limit = levels_module._GATHERED_BYTES
    assert len(few) < limit // (9 * 5)
    np.testing.assert_array_equal(levels_module._evenly_spread(few, 5), few)
    places = levels_module._evenly_spread(np.arange(3000**2), 100)
    assert limit / 2 < 9 * 100 * len(places) <= limit
    assert len(np.unique(np.diff(places))) == 1


# -------------------------------------------------------------------------- against the truth


def test_second_pass_finds_the_level(full_size):
    table, truth = full_size[0.0]
    assert relative_error(table["level"].value, truth) < 1.5e-4


def test_second_pass_is_immune_to_drift(full_size):
    table, truth = full_size[0.03]
    first, second = (relative_error(levels, truth) for levels in table["pass_level"].value.T)
    assert second < 2e-3
    assert second < first / 2


def test_the_level_is_absolute(full_size):
    # in adu: the mean over the inner-order pixels of the frame without noise
    table, truth = full_size[0.0]
    np.testing.assert_allclose(table["level"].to_value("adu"), truth, rtol=5e-4)


@pytest.fixture(scope="module")
def twenty_stacks():
    """Frames, orders and true levels of twenty simulations."""
    stacks = []
    for seed in range(20):
        simulation = EchelleSimulation(shape=(256, 256), n_orders=5, seed=seed, peak=2000)
        simulation = simulation.with_level_spread(0.35)
        frames, levels = simulation.flats(N_FRAMES), simulation.truth.levels(N_FRAMES)
        stacks.append((frames, simulation.truth.orders, levels))
    return stacks


@pytest.mark.parametrize("uncertainty", [True, False])
@pytest.mark.parametrize("statistic", ["mean", "weighted", "median"])
def test_claimed_uncertainty_is_the_true_error(twenty_stacks, statistic, uncertainty):
    pulls = []
    for frames, orders, truth in twenty_stacks:
        if not uncertainty:
            frames = [CCDData(frame.data, unit="adu") for frame in frames]
        table = measure_exposure_levels(frames, orders, statistic=statistic)
        ratio = table["level"].value / truth
        sigma = table["level_uncertainty"].value / truth
        # errors of relative levels: without what all frames have in common
        pulls.append((ratio - ratio.mean()) / sigma * np.sqrt(N_FRAMES / (N_FRAMES - 1)))
    # 120 degrees of freedom know their scatter to 6.5 %
    assert np.std(pulls) == pytest.approx(1, abs=0.17)


@pytest.mark.parametrize("n_frames", [2, 3, 7])
def test_the_scatter_claims_what_the_noise_model_claims(n_frames):
    simulation = EchelleSimulation(shape=(256, 256), n_orders=5, seed=1, peak=2000)
    model, scatter = (
        measure_exposure_levels(
            simulation.flats(n_frames, uncertainty=uncertainty), simulation.truth.orders
        )["level_uncertainty"].value
        for uncertainty in (True, False)
    )
    np.testing.assert_allclose(scatter, model, rtol=0.05)


def test_one_frame_has_no_scatter():
    table = measure_exposure_levels(SMALL.flats(1, uncertainty=False), SMALL.truth.orders)
    assert np.isnan(table["level_uncertainty"].value).all()
    table = measure_exposure_levels(SMALL.flats(1), SMALL.truth.orders)
    assert (table["level_uncertainty"].value > 0).all()


def test_weights_reduce_the_noise():
    sigmas, errors = {}, {}
    simulation = EchelleSimulation(
        shape=(256, 256), n_orders=5, peak=500, brightness_ratio=8, seed=5
    ).with_level_spread(0.35)
    frames, truth = simulation.flats(N_FRAMES), simulation.truth.levels(N_FRAMES)
    for statistic in ("mean", "weighted"):
        table = measure_exposure_levels(frames, simulation.truth.orders, statistic=statistic)
        sigmas[statistic] = (table["level_uncertainty"] / table["level"]).value.mean()
        errors[statistic] = relative_error(table["level"].value, truth)
    assert sigmas["weighted"] < 0.8 * sigmas["mean"]
    assert errors["weighted"] < errors["mean"]


@pytest.mark.parametrize("kind", [VarianceUncertainty, InverseVariance])
def test_every_type_of_uncertainty(small_frames, kind):
    expected = measure_exposure_levels(small_frames, SMALL.truth.orders)
    frames = [frame.copy() for frame in small_frames]
    for frame in frames:
        variance = variance_array(frame.uncertainty.array, type(frame.uncertainty)).astype(float)
        frame.uncertainty = kind(variance if kind is VarianceUncertainty else 1 / variance)
    found = measure_exposure_levels(frames, SMALL.truth.orders)
    for name in ("level", "level_uncertainty"):
        np.testing.assert_allclose(found[name].value, expected[name].value, rtol=1e-5)


def test_both_dispersion_axes(small_frames):
    transposed = [
        CCDData(f.data.T, unit="adu", uncertainty=StdDevUncertainty(f.uncertainty.array.T))
        for f in small_frames
    ]
    along_rows = measure_exposure_levels(small_frames, SMALL.truth.orders)
    along_columns = measure_exposure_levels(transposed, SMALL.truth.orders.transposed())
    for name in ("level", "level_uncertainty"):
        np.testing.assert_allclose(
            along_columns[name].value, along_rows[name].value, rtol=1e-6
        )


def test_cosmic_rays_and_bad_pixels_leave_the_levels_alone():
    dirty = SMALL.with_cosmic_rays(300, amplitude=100).with_bad_pixels(200, value=np.nan)
    table = measure_exposure_levels(dirty.flats(5), dirty.truth.orders)
    assert relative_error(table["level"].value, dirty.truth.levels(5)) < 6e-4
    assert (table["n_clipped"] > 0).all()


# ----------------------------------------------------------------------------------- the table


def test_columns(small_frames):
    table = measure_exposure_levels(small_frames, SMALL.truth.orders, n_passes=3)
    assert table["frame"].tolist() == [f"frame {i}" for i in range(5)]
    assert table["pass_level"].shape == table["pass_uncertainty"].shape == (5, 3)
    for column in ("level", "level_uncertainty", "pass_level", "pass_uncertainty"):
        assert table[column].unit == u.adu
    np.testing.assert_array_equal(table["level"], table["pass_level"][:, -1])
    np.testing.assert_array_equal(table["level_uncertainty"], table["pass_uncertainty"][:, -1])
    n_inner = SMALL.truth.orders.inner_mask(10).sum()
    assert (table["n_pixels"] <= n_inner).all()
    assert (table["n_pixels"] > 0.8 * n_inner).all()


def test_one_pass_is_the_mean_of_the_inner_order_pixels():
    inner = one_order().inner_mask(6)
    frames = constant_frames([100, 300])
    for frame in frames:
        frame.data[inner] += np.linspace(-10, 10, inner.sum())
        frame.data[~inner] = 1e6
    table = measure_exposure_levels(frames, one_order(), window=6, n_passes=1)
    np.testing.assert_allclose(table["level"].value, [100, 300], rtol=1e-6)
    assert table["pass_level"].shape == (2, 1)
    assert table["n_pixels"].tolist() == [inner.sum()] * 2


def test_further_passes_converge(small_frames):
    levels = measure_exposure_levels(small_frames, SMALL.truth.orders, n_passes=5)["pass_level"]
    steps = np.abs(np.diff(levels.value, axis=1) / levels.value[:, 1:]).max(axis=0)
    assert steps[-1] < 1e-6
    assert steps[-1] < steps[0]


def test_a_level_times_the_master_is_the_frame():
    # frames that are exact multiples of one image
    image = np.random.default_rng(0).uniform(0.8, 1.2, (40, 30))
    frames = [CCDData(level * image, unit="electron") for level in (50, 80, 200)]
    table = measure_exposure_levels(frames, one_order())
    mean = image[one_order().inner_mask(10)].mean()
    np.testing.assert_allclose(table["level"].value, mean * np.array([50, 80, 200]), rtol=1e-10)
    assert table["level"].unit == u.electron


def test_files_and_reading_keywords(tmp_path):
    paths, _ = SMALL.write(tmp_path, 3)
    frames = [CCDData(f.data.astype(float), unit="electron") for f in SMALL.flats(3, raw=True)]
    expected = measure_exposure_levels(frames, SMALL.truth.orders)
    found = measure_exposure_levels(paths, SMALL.truth.orders, unit="electron")
    assert found["frame"].tolist() == [str(path) for path in paths]
    assert found["level"].unit == u.electron
    np.testing.assert_allclose(found["level"].value, expected["level"].value, rtol=1e-6)


# --------------------------------------------------------------------- masks, NaN, pixel sets


@pytest.mark.parametrize("how", ["mask", "nan", "inf", "uncertainty"])
def test_a_pixel_bad_in_one_frame_is_left_out_in_all(how):
    # the left half is ten times brighter: with their own pixel sets frames would differ by 80 %
    frames = constant_frames([1.0, 1.0, 1.0])
    for frame in frames:
        frame.data[:, :15] *= 10
        frame.uncertainty = StdDevUncertainty(np.ones(frame.shape))
        frame.mask = np.zeros(frame.shape, dtype=bool)
    left = np.s_[:, :15]
    if how == "mask":
        frames[1].mask[left] = True
    elif how == "uncertainty":
        frames[1].uncertainty.array[left] = np.nan
    else:
        frames[1].data[left] = float(how)
    table = measure_exposure_levels(frames, one_order(), n_passes=1)
    np.testing.assert_allclose(table["level"].value, table["level"].value[0], rtol=1e-12)
    assert (table["n_pixels"] == one_order().inner_mask(10).sum() // 2).all()


def test_a_pixel_clipped_in_one_frame_is_left_out_in_all():
    frames = constant_frames([10, 20, 10, 10, 20])
    rng = np.random.default_rng(1)
    for frame in frames:
        frame.data += rng.normal(0, 0.1, frame.shape)
    frames[0].data[20, 5:8] = 1000
    table = measure_exposure_levels(frames, one_order())
    assert table["n_clipped"].tolist() == [3, 0, 0, 0, 0]
    assert (table["n_pixels"] == one_order().inner_mask(10).sum() - 3).all()
    np.testing.assert_allclose(table["level"].value, [10, 20, 10, 10, 20], rtol=2e-3)


def test_sigma_clip_is_passed_on():
    frames = constant_frames([10.0, 20.0])
    for frame in frames:
        frame.data += np.random.default_rng(1).normal(0, 1, frame.shape)
    loose, tight = (
        measure_exposure_levels(frames, one_order(), sigma_clip=SigmaClip(sigma))
        for sigma in (10, 1)
    )
    assert (loose["n_clipped"] == 0).all()
    assert (tight["n_clipped"] > 0).all()


@pytest.mark.parametrize("measure", [
    measure_exposure_levels,
    lambda flats, orders, **settings: inner_order_scale(orders, **settings)(flats[0]),
])
def test_the_given_sigma_clip_is_left_as_it_was(small_frames, measure):
    sigma_clip = SigmaClip(4)
    before = dict(vars(sigma_clip))
    measure(small_frames, SMALL.truth.orders, sigma_clip=sigma_clip)
    assert vars(sigma_clip) == before


@pytest.fixture
def restless_threads():
    """Threads take turns 500 times as often, so that what they share by mistake is seen."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(interval / 500)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("restless_threads")
def test_sets_measured_at_once_by_threads():
    def levels(simulation):
        table = measure_exposure_levels(simulation.flats(4), simulation.truth.orders)
        return table["level"].value.tolist()

    simulations = [EchelleSimulation(shape=(200, 200), n_orders=4, seed=i) for i in range(4)]
    one_by_one = [levels(simulation) for simulation in simulations]
    with ThreadPoolExecutor(4) as threads:
        at_once = list(threads.map(levels, 5 * simulations))
    assert at_once == 5 * one_by_one


def test_faint_pixels_are_left_out_of_the_ratio():
    frames = constant_frames([100.0, 200.0])
    for frame in frames:
        frame.data[:, :10] = 1.0  # an offset that does not follow the level
    table = measure_exposure_levels(frames, one_order(), sigma_clip=SigmaClip(100))
    assert table["level"][1].value / table["level"][0].value == pytest.approx(2, rel=1e-6)
    assert (table["n_pixels"] == one_order().inner_mask(10).sum() * 2 // 3).all()


# ---------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("level", [0.0, -5.0])
def test_levels_must_be_positive(level):
    message = f"the exposure level of frame 1 is {level}, expected > 0"
    with pytest.raises(ValueError, match=message):
        measure_exposure_levels(constant_frames([1.0, level]), one_order())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_frame_without_a_finite_pixel(value):
    message = "no good pixel within the window of 10 pixels in frame 1"
    with pytest.raises(ValueError, match=message):
        measure_exposure_levels(constant_frames([1.0, value]), one_order())


def test_no_pixel_good_in_all_frames():
    frames = constant_frames([1.0, 1.0])
    frames[0].mask = np.zeros(frames[0].shape, dtype=bool)
    frames[0].mask[:, ::2] = True
    frames[1].mask = ~frames[0].mask
    with pytest.raises(ValueError, match="no good pixel .* in all frames together"):
        measure_exposure_levels(frames, one_order())


def test_a_window_between_the_pixels():
    with pytest.raises(ValueError, match=r"no good pixel within the window of 0\.1 pixels"):
        measure_exposure_levels(constant_frames([1.0]), one_order(row=20.4), window=0.1)


@pytest.mark.parametrize("window", [0, -3, np.nan])
def test_windows_must_be_positive(window):
    with pytest.raises(ValueError, match=f"window is {window}, expected a positive number"):
        measure_exposure_levels(constant_frames([1.0]), one_order(), window=window)
    with pytest.raises(ValueError, match=f"window is {window}, expected a positive number"):
        inner_order_scale(one_order(), window=window)


@pytest.mark.parametrize("n_passes", [0, -1, 1.5, "2", None])
def test_passes_must_be_counted(n_passes):
    with pytest.raises(ValueError, match=f"n_passes is {n_passes!r}, expected a positive integer"):
        measure_exposure_levels(constant_frames([1.0]), one_order(), n_passes=n_passes)


def test_unknown_statistic():
    message = r"statistic is 'mode', expected one of \['mean', 'weighted', 'median'\]"
    with pytest.raises(ValueError, match=message):
        measure_exposure_levels(constant_frames([1.0]), one_order(), statistic="mode")


def test_unknown_keyword():
    with pytest.raises(TypeError, match="unknown keyword 'windw'"):
        measure_exposure_levels(constant_frames([1.0]), one_order(), windw=8)
    with pytest.raises(TypeError, match="unknown keyword 'untt'; did you mean 'unit'"):
        measure_exposure_levels(constant_frames([1.0]), one_order(), untt="adu")


def test_clipping_that_leaves_nothing():
    frames = constant_frames([100.0, 200.0])
    settings = {"minmax_clip": True, "minmax_clip_min": 50}
    with pytest.raises(ValueError, match="clipping leaves no inner-order pixel; its limits"):
        two_pass_flat_combine(frames, one_order(), **settings)


def test_a_sigma_clip_that_leaves_nothing():
    frames = constant_frames([100.0, 100.0, 100.0])
    for i, frame in enumerate(frames):
        frame.data[:, i::3] += 10
    with pytest.raises(ValueError, match="sigma_clip leaves no inner-order pixel"):
        measure_exposure_levels(frames, one_order(), sigma_clip=SigmaClip(1, cenfunc="mean"))
    scale = inner_order_scale(one_order(), sigma_clip=SigmaClip(0.1, cenfunc="mean"))
    with pytest.raises(ValueError, match="sigma_clip leaves no inner-order pixel"):
        scale(frames[0])


def test_uncertainties_of_zero():
    frames = constant_frames([100.0, 200.0])
    for frame in frames:
        frame.uncertainty = StdDevUncertainty(np.zeros(frame.shape))
    table = measure_exposure_levels(frames, one_order())
    assert table["level"].value.tolist() == [100, 200]
    assert table["level_uncertainty"].value.tolist() == [0, 0]


def test_an_order_table_of_another_detector():
    frames = constant_frames([1.0], shape=(40, 31))
    with pytest.raises(ValueError, match=r"shape \(40, 30\), the frame has \(40, 31\)"):
        measure_exposure_levels(frames, one_order())
    with pytest.raises(ValueError, match=r"shape \(40, 30\), the frame has \(40, 31\)"):
        inner_order_scale(one_order())(frames[0])


def test_no_frames():
    with pytest.raises(ValueError, match="img_list holds no frames"):
        measure_exposure_levels([], one_order())


# --------------------------------------------------------------------------- inner_order_scale


def test_scale_is_one_over_the_inner_order_mean(small_frames):
    inner = SMALL.truth.orders.inner_mask(8)
    scale = inner_order_scale(SMALL.truth.orders, window=8)
    for frame in small_frames:
        expected = 1 / frame.data[inner].mean(dtype=float)
        assert scale(frame) == scale(frame.data) == pytest.approx(expected, rel=1e-9)
        assert isinstance(scale(frame), float)


def test_scale_with_ccdproc_combine(small_frames):
    scale = inner_order_scale(SMALL.truth.orders, window=10)
    combined = ccdproc.combine(small_frames, scale=scale, method="average")
    expected = np.mean([scale(f) * f.data.astype(float) for f in small_frames], axis=0)
    np.testing.assert_allclose(combined.data, expected, rtol=1e-5, atol=1e-9)
    inner = SMALL.truth.orders.inner_mask(10)
    assert combined.data[inner].mean() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    "masked",
    [
        lambda data, mask: CCDData(data, unit="adu", mask=mask),
        lambda data, mask: np.ma.array(data, mask=mask),
        lambda data, mask: CCDData(np.where(mask, np.nan, data), unit="adu"),
        lambda data, mask: np.where(mask, np.inf, data),
    ],
    ids=["CCDData", "masked array", "NaN", "infinite"],
)
def test_scale_ignores_masked_pixels(masked):
    data = np.full((40, 30), 50.0)
    mask = np.zeros(data.shape, dtype=bool)
    mask[:, 10:20] = True
    data[mask] = 70.0  # too many to be clipped
    assert inner_order_scale(one_order())(masked(data, mask)) == 0.02
    assert inner_order_scale(one_order(), mask=mask)(data) == 0.02
    assert inner_order_scale(one_order())(data) < 0.019


def test_masks_of_scale_and_frame_add_up():
    frame = CCDData(np.full((40, 30), 50.0), unit="adu", mask=np.zeros((40, 30), dtype=bool))
    frame.data[:, :10], frame.data[:, 20:] = 70.0, 90.0
    frame.mask[:, :10] = True
    static = np.zeros((40, 30), dtype=bool)
    static[:, 20:] = True
    before = static.copy()
    assert inner_order_scale(one_order(), mask=static)(frame) == 0.02
    np.testing.assert_array_equal(static, before)
    assert not frame.mask[:, 10:].any()


def test_scale_clips_outliers():
    data = np.full((40, 30), 50.0) + np.random.default_rng(0).normal(0, 1, (40, 30))
    clean = inner_order_scale(one_order())(data)
    data[20, 3:6] = 60000
    assert inner_order_scale(one_order())(data) == pytest.approx(clean, rel=1e-3)
    never = inner_order_scale(one_order(), sigma_clip=SigmaClip(1e9))
    assert never(data) < 0.8 * clean


def test_scale_of_a_table_without_shape():
    orders = EchelleOrderTable.from_polynomials(
        [1], [[20]], shape=None, dispersion_axis=1, pixel_range=(0, 29)
    )
    scale = inner_order_scale(orders, mask=np.zeros((40, 30), dtype=bool))
    assert scale(np.full((40, 30), 4.0)) == 0.25
    with pytest.raises(ValueError, match=r"mask has shape \(40, 30\), expected \(50, 30\)"):
        scale(np.full((50, 30), 4.0))


def test_scale_can_be_pickled(small_frames):
    scale = inner_order_scale(SMALL.truth.orders, window=7, mask=np.zeros((256, 256), bool))
    copy = pickle.loads(pickle.dumps(scale))
    assert copy(small_frames[0]) == scale(small_frames[0])


def test_scale_errors():
    with pytest.raises(ValueError, match=r"mask has shape \(3, 3\), expected \(40, 30\)"):
        inner_order_scale(one_order(), mask=np.zeros((3, 3), dtype=bool))
    scale = inner_order_scale(one_order())
    with pytest.raises(ValueError, match="no good pixel within the window of 10 pixels"):
        scale(np.full((40, 30), np.nan))
    for level in (0.0, -1.0):
        with pytest.raises(ValueError, match=f"exposure level of the frame is {level}, expected"):
            scale(np.full((40, 30), level))


# The middle one of an odd number of values is never clipped.
@pytest.mark.parametrize(("n_frames", "sigma", "found"), [
    (5, 2.0, "differ by .* times what"),
    (4, 0.02, "leaves no frame in .* of the inner-order pixels"),
])
def test_uncertainties_that_are_not_those_of_the_flats_are_noticed(
    twenty_stacks, n_frames, sigma, found
):
    frames, orders, _ = twenty_stacks[0]
    # ccdproc.subtract_dark hands the uncertainty of the dark to a flat that has none.
    of_the_dark = [
        CCDData(frame.data, unit="adu", uncertainty=StdDevUncertainty(np.full(frame.shape, sigma)))
        for frame in frames[:n_frames]
    ]
    with pytest.warns(AstropyUserWarning, match=f"{found}.*create_deviation"):
        measure_exposure_levels(of_the_dark, orders)


# ---------------------------------------------------------------------------- levels per order


def order_levels(simulation, n=5, *, uncertainty=True, **keywords):
    flats = simulation.flats(n, uncertainty=uncertainty)
    return measure_exposure_levels(flats, simulation.truth.orders, per_order=True, **keywords)


def true_colors(simulation, n):
    """Relative level of each order, with mean 1 over the frames, (n_frames, n_orders)."""
    color, orders = simulation.truth.color(n), simulation.truth.orders
    columns = [[orders.select(m).inner_mask(1)] for m in orders.order_numbers]
    values = np.array([color[:, inner[0]].mean(axis=1) for inner in columns]).T
    return values / values.mean(axis=0)


@pytest.mark.parametrize("n_passes", [1, 2, 3])
def test_levels_of_orders_are_those_of_the_lamp(n_passes):
    simulation = SMALL.with_color_drift(0.025)
    levels = order_levels(simulation, n_passes=n_passes)
    truth = simulation.truth.levels(5)[:, None] * true_colors(simulation, 5)
    ratio = levels["order_level"].value / truth
    # Each frame has its level and each order its mean, which are not looked at here.
    ratio = ratio / ratio.mean(axis=1, keepdims=True)
    ratio = ratio / ratio.mean(axis=0)
    sigmas = (levels["order_level_uncertainty"] / levels["order_level"]).value
    assert (np.abs(ratio - 1) < 4.5 * sigmas).all()
    assert sigmas.max() < 2e-3
    assert levels["order_level"].unit == u.adu


def test_over_the_frames_the_mean_of_order_level_to_level_is_one():
    levels = order_levels(SMALL.with_color_drift(0.1))
    ratio = (levels["order_level"] / levels["level"][:, None]).value
    assert np.ptp(ratio) > 0.01
    np.testing.assert_allclose(ratio.mean(axis=0), 1, rtol=1e-12)


def test_levels_of_orders_change_nothing_else(small_frames):
    plain = measure_exposure_levels(small_frames, SMALL.truth.orders)
    found = measure_exposure_levels(small_frames, SMALL.truth.orders, per_order=True)
    assert set(found.colnames) - set(plain.colnames) == {"order_level", "order_level_uncertainty"}
    for name in plain.colnames:
        assert (found[name] == plain[name]).all()


def test_levels_of_orders_of_transposed_frames(small_frames):
    simulation = SMALL.with_color_drift(0.025)
    turned = EchelleSimulation(shape=(256, 256), n_orders=5, seed=3, dispersion_axis=0)
    turned = turned.with_level_spread(0.35).with_color_drift(0.025)
    for name in ("order_level", "order_level_uncertainty"):
        np.testing.assert_allclose(
            order_levels(turned)[name].value, order_levels(simulation)[name].value, rtol=1e-5
        )


def test_masked_pixels_do_not_enter_the_levels_of_orders(small_frames):
    expected = measure_exposure_levels(small_frames, SMALL.truth.orders, per_order=True)
    frames = [frame.copy() for frame in small_frames]
    frames[1].mask = np.zeros(frames[1].shape, dtype=bool)
    frames[1].mask[:, 100:150] = True
    frames[1].data[:, 100:150] = 1e5
    found = measure_exposure_levels(frames, SMALL.truth.orders, per_order=True)
    ratio = (found["order_level"] / expected["order_level"]).value
    np.testing.assert_allclose(ratio / ratio.mean(), 1, atol=2e-3)


def test_errors_that_the_pixels_of_a_frame_have_in_common(small_frames):
    """A surface that may be wrong by 3 adu everywhere, the other way for another frame."""
    orders = SMALL.truth.orders
    levels = measure_exposure_levels(small_frames, orders, per_order=True)
    flat = CCDData(SMALL.truth.flat, unit="", mask=np.zeros(SMALL.shape, dtype=bool))
    flat.mask[:, :60] = True
    sigmas = np.array([3, 0, 0, 0, 6])
    found = with_common_errors(
        levels, lambda weights: sigmas * weights.sum(), flat, orders, window=10
    )
    inner = [one.inner_mask(10) & ~flat.mask for one in orders]
    of_orders = np.array([1 / flat.data[where].mean() for where in inner])
    of_frame = (1 / flat.data[np.any(inner, axis=0)]).mean()
    for name, added in (("level", of_frame), ("order_level", of_orders)):
        before, after = (table[f"{name}_uncertainty"].value for table in (levels, found))
        np.testing.assert_array_equal(after[1:4], before[1:4])
        np.testing.assert_allclose(after[0], np.hypot(before[0], 3 * added), rtol=1e-9)
        np.testing.assert_allclose(after[4], np.hypot(before[4], 6 * added), rtol=1e-9)
        np.testing.assert_array_equal(found[name], levels[name])


@pytest.mark.parametrize("how", ["masked", "faint"])
def test_orders_of_too_few_pixels_have_no_level(small_frames, how):
    orders = SMALL.truth.orders
    last = orders.select(orders.order_numbers[-1]).inner_mask(20)
    frames = [frame.copy() for frame in small_frames]
    if how == "masked":
        frames[2].mask = last
    else:
        for frame in frames:
            frame.data[last] *= 0.1
    table = measure_exposure_levels(frames, orders, per_order=True)
    assert np.isfinite(table["order_level"][:, :-1]).all()
    assert np.isnan(table["order_level"][:, -1]).all()
    test = one_level_test(table)
    assert test.dof == 4 * 3
    assert test.suffices


# 50 stacks: by chance p < 0.05 happens more than eight times in 0.1 % of such tests.
@pytest.mark.parametrize("uncertainty", [True, False])
def test_false_alarms_are_as_rare_as_the_significance_says(uncertainty):
    p_values = []
    for seed in range(50):
        simulation = EchelleSimulation(shape=(128, 128), n_orders=4, seed=seed)
        simulation = simulation.with_level_spread(0.35)
        test = one_level_test(order_levels(simulation, 4, uncertainty=uncertainty))
        assert test.dof == 9
        assert test.suffices
        p_values.append(test.p_value)
    assert np.sum(np.array(p_values) < 0.05) <= 8
    assert kstest(p_values, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("seed", range(5))
def test_a_drift_of_the_colour_is_detected_and_its_size_measured(seed):
    simulation = EchelleSimulation(shape=(256, 256), n_orders=5, seed=seed)
    simulation = simulation.with_level_spread(0.35).with_color_drift(0.025)
    test = one_level_test(order_levels(simulation))
    colors = np.log(true_colors(simulation, 5))
    colors -= colors.mean(axis=1, keepdims=True)
    expected = np.sqrt((colors**2).sum() / test.dof)
    assert test.p_value < 1e-9
    assert expected > 1e-3
    # orders weigh by their precision, so the slope counts a little less
    assert 0.6 * expected < test.excess < 1.2 * expected
    assert not test.suffices


def test_a_significant_difference_need_not_be_relevant():
    simulation = EchelleSimulation(seed=1).with_color_drift(0.001)
    test = one_level_test(order_levels(simulation))
    assert test.p_value < 1e-6
    assert test.excess < 1e-3
    assert test.suffices


def test_chi_square_is_that_of_a_fit_of_all_numbers_at_once():
    table = order_levels(SMALL.with_color_drift(0.025))
    values = np.log(table["order_level"].value)
    sigmas = (table["order_level_uncertainty"] / table["order_level"]).value
    frame, order = (index.ravel() for index in np.indices(values.shape))
    design = np.hstack([frame[:, None] == np.arange(5), order[:, None] == np.arange(5)])
    scaled = design / sigmas.reshape(-1, 1)
    target = (values / sigmas).ravel()
    fit = np.linalg.lstsq(scaled, target, rcond=None)[0]
    expected = ((target - scaled @ fit) ** 2).sum()
    np.testing.assert_allclose(one_level_test(table).chi2, expected, rtol=1e-6)


@pytest.mark.parametrize("n_frames, n_orders", [(1, 3), (4, 1), (1, 1)])
def test_nothing_to_compare(n_frames, n_orders):
    simulation = EchelleSimulation(shape=(128, 128), n_orders=n_orders)
    table = order_levels(simulation, n_frames)
    assert table["order_level"].shape == (n_frames, n_orders)
    assert (table["order_level"] > 0 * u.adu).all()
    test = one_level_test(table)
    assert test.dof == 0 and np.isnan(test.p_value) and test.suffices


def test_levels_without_those_of_the_orders(small_frames):
    table = measure_exposure_levels(small_frames, SMALL.truth.orders)
    with pytest.raises(ValueError, match="no column order_level; measure them with per_order=True"):
        one_level_test(table)
