# Licensed under a 3-clause BSD style license - see LICENSE.rst
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import CCDData, InverseVariance, StdDevUncertainty, VarianceUncertainty
from astropy.stats import SigmaClip
from astropy.utils.exceptions import AstropyUserWarning

from ccdproc_echelle.combining.frame_scale import inner_order_scale
from ccdproc_echelle.combining.levels import measure_exposure_levels
from ccdproc_echelle.combining.one_level import one_level_test
from ccdproc_echelle.combining.two_pass import two_pass_flat_combine
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
        simulation = EchelleSimulation(shape=(128, 160), n_orders=3, seed=seed, peak=2000)
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
    def levels(flats, orders):
        return measure_exposure_levels(flats, orders)["level"].value.tolist()

    simulations = [EchelleSimulation(shape=(200, 200), n_orders=4, seed=i) for i in range(4)]
    sets = [simulation.flats(4) for simulation in simulations]
    orders = [simulation.truth.orders for simulation in simulations]
    one_by_one = [levels(*each) for each in zip(sets, orders, strict=True)]
    with ThreadPoolExecutor(4) as threads:
        at_once = list(threads.map(levels, 3 * sets, 3 * orders))
    assert at_once == 3 * one_by_one


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
    with pytest.warns(AstropyUserWarning, match="most uncertainties are 0"):
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
    with pytest.raises(ValueError, match="^frames holds no frames"):
        measure_exposure_levels([], one_order())


# ---------------------------------------------------------------------------- levels per order


@pytest.mark.parametrize("n_passes", [1, 2, 3])
def test_levels_of_orders_are_those_of_the_lamp(order_levels, true_colors, n_passes):
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


def test_over_the_frames_the_mean_of_order_level_to_level_is_one(order_levels):
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


def test_levels_of_orders_of_transposed_frames(order_levels, small_frames):
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
