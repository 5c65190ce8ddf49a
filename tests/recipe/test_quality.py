# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Each quantity against the truth of a simulation or an independent computation; limits; cards."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, InverseVariance, StdDevUncertainty
from astropy.table import QTable

from ccdproc_echelle import make_master_flat
from ccdproc_echelle.combining import CombineDiagnostics, CombineSettings, combine_with_levels
from ccdproc_echelle.frames import open_frames
from ccdproc_echelle.light.flags import FlatFlag
from ccdproc_echelle.light.response import find_bad_response
from ccdproc_echelle.orders.edges import detect_order_edges
from ccdproc_echelle.recipe import (
    METRICS,
    flat_quality,
    order_quality,
    quality_cards,
    reduced_chi_square,
    with_limits,
)
from ccdproc_echelle.simulation import EchelleSimulation

N_FRAMES, N_DEAD, N_COSMIC = 7, 40, 300
GAIN, READ_NOISE = 1.5, 4.0
SIMULATION = (
    EchelleSimulation(shape=(400, 500), n_orders=5, seed=3)
    .with_noise(gain=GAIN, read_noise=READ_NOISE)
    .with_level_spread(0.35)
    .with_cosmic_rays(N_COSMIC)
    .with_dead_pixels(N_DEAD)
)


def reduced(simulation=SIMULATION, *, scale_of_sigma=1.0, per_order=False):
    """A master flat, the frames it was made of and what was clipped in them."""
    flats = simulation.flats(N_FRAMES)
    for flat in flats:
        flat.uncertainty = StdDevUncertainty(flat.uncertainty.array * scale_of_sigma)
    frames = open_frames(flats)
    settings = CombineSettings(
        sigma_clip=True, sigma_clip_low_thresh=5 / scale_of_sigma,
        sigma_clip_high_thresh=5 / scale_of_sigma,
    )
    flat, levels, images = combine_with_levels(
        frames, simulation.truth.orders, settings, window=10, n_passes=2, per_order=per_order,
        want_rejected=True,
    )
    flat.header["GAINMEAS"], flat.header["RONMEAS"] = GAIN, READ_NOISE  # as the recipe does
    orders = detect_order_edges(flat, simulation.truth.orders)
    flags = np.zeros(flat.shape, dtype=np.int16)
    flags[orders.interorder_mask()] |= FlatFlag.INTERORDER
    kinds = (FlatFlag.DEAD, FlatFlag.LOW_SENSITIVITY, FlatFlag.HOT)
    for bad, flag in zip(find_bad_response(flat, orders), kinds, strict=True):
        flags[bad] |= flag
    master = SimpleNamespace(flat=flat, orders=orders, levels=levels, flags=flags)
    return master, frames, CombineDiagnostics(images.count, images.rejected)


def changed(master, **parts):
    return SimpleNamespace(**(vars(master) | parts))


def values_of(table):
    return dict(zip(table["name"], table["value"], strict=True))


def verdict_of(table, name):
    return str(table["verdict"][list(table["name"]).index(name)])


@pytest.fixture(scope="module")
def product():
    return reduced()


@pytest.fixture(scope="module")
def master(product):
    return product[0]


@pytest.fixture(scope="module")
def quality(product):
    master, frames, diagnostics = product
    times = 60310 + np.arange(N_FRAMES) / 24
    return flat_quality(
        master, frames=frames, diagnostics=diagnostics, times=list(times), n_refused=2,
        scattered_light=0.03,
    )


@pytest.fixture(scope="module")
def values(quality):
    return values_of(quality)


@pytest.fixture(scope="module")
def usable():
    """The true inner-order pixels that are not dead."""
    truth = SIMULATION.truth
    return truth.orders.inner_mask(10) & ~truth.dead_pixels


# ---------------------------------------------------------------------- against the truth


def test_all_quantities_are_known_and_pass(quality):
    assert list(quality["name"]) == list(METRICS)
    assert np.isfinite(quality["value"]).all()
    assert "fail" not in quality["verdict"]
    limited = np.isfinite(quality["lower"]) | np.isfinite(quality["upper"])
    np.testing.assert_array_equal(quality["verdict"] == "pass", limited)


def test_what_the_caller_knows_is_taken_over(values):
    assert values["frames_used"] == N_FRAMES
    assert values["frames_refused"] == 2
    assert values["scattered_light_fraction"] == 0.03


def test_levels(values):
    levels = SIMULATION.truth.levels(N_FRAMES)
    spread = (levels.max() - levels.min()) / levels.mean()
    assert values["level_spread"] == pytest.approx(spread, rel=1e-3)
    assert values["level_median"] == pytest.approx(np.sort(levels)[N_FRAMES // 2], rel=3e-3)
    slope = np.polyfit(np.arange(N_FRAMES), levels / levels.mean(), 1)[0]
    assert values["level_trend"] == pytest.approx(slope, abs=1e-3 * spread)


def test_a_lamp_that_fades_has_its_trend(master):
    levels = QTable({"level": np.array([1.03, 1.0, 0.99, 0.98]) * master.levels["level"].unit})
    fading = changed(master, levels=levels)
    hours = np.array([0, 1, 1.5, 1.5])
    trend = values_of(flat_quality(fading, times=list(60310 + hours / 24)))["level_trend"]
    assert trend == pytest.approx(np.polyfit(hours, [1.03, 1.0, 0.99, 0.98], 1)[0], rel=1e-6)


@pytest.mark.parametrize("times", [None, [60310.0] * N_FRAMES, [*range(N_FRAMES - 1), None]])
def test_without_times_there_is_no_trend(master, times):
    assert np.isnan(values_of(flat_quality(master, times=times))["level_trend"])


def test_flux_percentiles_are_those_of_a_median_frame(values, usable):
    truth = SIMULATION.truth
    median = np.argsort(truth.levels(N_FRAMES))[N_FRAMES // 2]
    frame = truth.noiseless_flats(N_FRAMES)[median][usable]
    for percent in (10, 50, 90):
        expected = np.sort(frame)[round(percent / 100 * (len(frame) - 1))]
        assert values[f"order_flux_{percent}"] == pytest.approx(expected, rel=3e-3)


def true_signal_to_noise():
    """Of the average of the frames divided by their levels, from the noise model alone."""
    truth = SIMULATION.truth
    levels = truth.levels(N_FRAMES)[:, None, None]
    signal = truth.noiseless_flats(N_FRAMES) / levels
    variance = (signal * levels / GAIN + (READ_NOISE / GAIN) ** 2) / levels**2
    return signal.mean(axis=0) / np.sqrt(variance.sum(axis=0) / N_FRAMES**2)


def test_counts_and_signal_to_noise_of_each_order(master, usable):
    truth = SIMULATION.truth
    table = order_quality(master)
    level = np.median(truth.levels(N_FRAMES))
    snr, order_map = true_signal_to_noise(), truth.orders.order_map()
    for row in table:
        here = usable & (order_map == row["order"])
        assert row["counts"].value == pytest.approx(np.median(truth.flat[here]) * level, rel=5e-3)
        assert row["signal_to_noise"] == pytest.approx(np.median(snr[here]), rel=5e-3)
        assert abs(row["n_pixels"] - here.sum()) <= 2
    assert table["counts"].unit == "adu"


def test_extremes_over_the_orders_are_in_the_table(values, master):
    table = order_quality(master)
    for name in ("counts", "signal_to_noise"):
        column = sorted(table[name].value)
        found = [values[f"{name}_{which}"] for which in ("min", "median", "max")]
        assert found == [column[0], column[2], column[-1]]


def test_relative_uncertainty(values, usable):
    expected = np.median(1 / true_signal_to_noise()[usable])
    assert values["relative_uncertainty"] == pytest.approx(expected, rel=5e-3)


def test_mean_and_scatter_of_inner_order_pixels(values, usable):
    flat = SIMULATION.truth.flat[usable]
    # The master has mean 1 with the dead pixels, which are left out here.
    assert values["inner_mean"] == pytest.approx(flat.mean(), abs=2e-3)
    assert values["inner_rms"] == pytest.approx(flat.std(), rel=5e-3)


def test_bad_pixels_are_counted(values, master):
    n_bad = values["dead_pixels"] + values["low_sensitivity_pixels"]
    assert abs(n_bad - N_DEAD) <= 1
    assert values["dead_pixels"] > 0.9 * N_DEAD
    assert values["hot_pixels"] == 0
    n_in_order = (master.orders.order_map() > 0).sum()
    assert values["unusable_fraction"] == pytest.approx(n_bad / n_in_order)
    table = order_quality(master)
    for name in ("dead_pixels", "low_sensitivity_pixels", "hot_pixels"):
        assert table[name].sum() == values[name]


def test_bad_pixels_are_counted_in_their_order_whatever_the_numbers(master):
    backwards = master.orders.select(master.orders.order_numbers[::-1])
    table, other = order_quality(master), order_quality(changed(master, orders=backwards))
    for name in ("order", "n_pixels", "counts", "dead_pixels"):
        np.testing.assert_array_equal(table[name], other[name][::-1])


def test_saturated_fraction(master):
    flags = master.flags.copy()
    in_order = np.flatnonzero(master.orders.order_map().ravel())
    flags.flat[in_order[::50]] |= FlatFlag.SATURATED
    flags[master.orders.order_map() == 0] |= FlatFlag.SATURATED
    found = values_of(flat_quality(changed(master, flags=flags)))
    assert found["saturated_fraction"] == pytest.approx(0.02, rel=1e-3)
    assert found["unusable_fraction"] == values_of(flat_quality(master))["unusable_fraction"]


def test_clipped_fraction_is_that_of_the_worst_frame(values):
    hits = SIMULATION.truth.cosmic_rays(N_FRAMES)
    inside = SIMULATION.truth.orders.order_map() > 0
    worst = max((hit & inside).sum() for hit in hits) / inside.sum()
    assert values["clipped_fraction"] == pytest.approx(worst, rel=0.1)


def test_edges_and_widths(values, master):
    truth = SIMULATION.truth.orders
    widths = np.nanmedian(truth.upper() - truth.lower(), axis=1)
    assert values["order_width"] == pytest.approx(np.median(widths), abs=0.02)
    assert values["order_width_scatter"] == pytest.approx(np.std(widths), abs=0.02)
    np.testing.assert_allclose(order_quality(master)["width"].value, widths, atol=0.03)
    rms = sorted([*master.orders.table["lower_rms"].value, *master.orders.table["upper_rms"].value])
    assert values["edge_rms_max"] == rms[-1]
    assert values["edge_rms_median"] == pytest.approx((rms[4] + rms[5]) / 2)
    measured = master.orders.table["lower_measured", "upper_measured"]
    assert values["edge_measured_min"] == min(min(row) for row in measured.as_array())


def test_width_scatter_is_that_along_the_order(master):
    widths = master.orders.upper() - master.orders.lower()
    expected = [np.std(width[np.isfinite(width)]) for width in widths]
    np.testing.assert_allclose(order_quality(master)["width_scatter"].value, expected)


def test_window_chooses_the_pixels(master):
    ratio = order_quality(master, window=5)["n_pixels"] / order_quality(master)["n_pixels"]
    np.testing.assert_allclose(ratio, 0.5, atol=0.01)


# ---------------------------------------------------------------------- chi-square


def slow_chi_square(values, variances, used):
    total = expected = 0.0
    for value, variance, good in zip(values.T, variances.T, used.T, strict=True):
        value, variance = value[good], variance[good]
        n = len(value)
        if n < 2:
            continue
        for i in range(n):
            shares = np.full(n, -1 / n)
            shares[i] += 1
            total += (value[i] - value.mean()) ** 2 / variance[i]
            expected += (shares**2 * variance).sum() / variance[i]
    return total / expected


def test_chi_square_agrees_with_a_slow_one():
    rng = np.random.default_rng(1)
    variances = rng.uniform(0.5, 9, (4, 50))
    values = rng.normal(size=(4, 50)) * np.sqrt(variances)
    used = rng.random((4, 50)) < 0.6
    values[~used] = np.nan
    expected = slow_chi_square(values, variances, used)
    assert reduced_chi_square(values, variances, used) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("n_frames", [2, 3, 10])
def test_chi_square_is_one_for_right_variances_however_different(n_frames):
    rng = np.random.default_rng(n_frames)
    variances = rng.uniform(0.2, 5, (n_frames, 1)) * np.ones(50000)
    values = rng.normal(size=variances.shape) * np.sqrt(variances)
    used = np.ones(variances.shape, dtype=bool)
    assert reduced_chi_square(values, variances, used) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("used", [[[True], [False]], [[False], [False]]])
def test_chi_square_of_single_values_is_not_known(used):
    assert np.isnan(reduced_chi_square([[1.0], [2.0]], [[1.0], [1.0]], used))


@pytest.mark.filterwarnings("ignore:the uncertainties of the frames are about")
@pytest.mark.parametrize(("scale", "expected"), [(1.0, 1.0), (0.5, 4.0), (2.0, 0.25)])
def test_chi_square_of_frames_tells_wrong_uncertainties(scale, expected):
    master, frames, diagnostics = reduced(scale_of_sigma=scale)
    found = values_of(flat_quality(master, frames=frames, diagnostics=diagnostics))
    assert found["reduced_chi_square"] == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("seed", range(3))
def test_chi_square_of_faint_frames(seed):
    simulation = EchelleSimulation(
        shape=(300, 400), n_orders=4, peak=1000, brightness_ratio=3, seed=seed
    )
    master, frames, diagnostics = reduced(simulation)
    found = values_of(flat_quality(master, frames=frames, diagnostics=diagnostics))
    assert found["reduced_chi_square"] == pytest.approx(1, abs=0.02)


def test_chi_square_shows_wrong_levels(product):
    master, frames, diagnostics = product
    levels = master.levels.copy()
    levels["level"] *= 1 + 0.02 * (-1) ** np.arange(N_FRAMES)
    found = values_of(flat_quality(changed(master, levels=levels), frames=frames,
                                   diagnostics=diagnostics))
    assert found["reduced_chi_square"] > 2


def test_chi_square_takes_the_levels_of_the_orders_where_they_were_used():
    master, frames, diagnostics = reduced(SIMULATION.with_color_drift(0.05), per_order=True)
    kind = {"frames": frames, "diagnostics": diagnostics}
    assert values_of(flat_quality(master, **kind))["reduced_chi_square"] == (
        pytest.approx(1, abs=0.02))
    master.flat.header["PERORDER"] = False
    assert values_of(flat_quality(master, **kind))["reduced_chi_square"] > 3


def test_without_diagnostics_cosmic_rays_are_in_chi_square(product):
    master, frames, _ = product
    found = values_of(flat_quality(master, frames=frames))
    assert found["reduced_chi_square"] > 1.2
    assert np.isnan(found["clipped_fraction"])


# ---------------------------------------------------------------------- what is not known


def test_without_frames_and_uncertainty_the_rest_is_known(master):
    bare = copy.copy(master.flat)
    bare.uncertainty = None
    quality = flat_quality(changed(master, flat=bare))
    unknown = set(quality["name"][np.isnan(quality["value"])])
    assert unknown == {
        "frames_refused", "level_trend", "signal_to_noise_min", "signal_to_noise_median",
        "signal_to_noise_max", "relative_uncertainty", "reduced_chi_square", "clipped_fraction",
        "scattered_light_fraction",
    }
    assert all(verdict_of(quality, name) == "" for name in unknown)


def test_edges_that_were_not_measured_have_no_residual(master):
    found = values_of(flat_quality(changed(master, orders=SIMULATION.truth.orders)))
    assert np.isnan(found["edge_measured_min"])
    assert found["order_width"] > 0


def test_kind_of_uncertainty_does_not_matter(master, values):
    flat = master.flat.copy()
    flat.uncertainty = InverseVariance(flat.uncertainty.array.astype(float) ** -2)
    found = values_of(flat_quality(changed(master, flat=flat)))
    for name in ("signal_to_noise_min", "relative_uncertainty"):
        assert found[name] == pytest.approx(values[name], rel=1e-5)


def test_order_without_a_usable_pixel_is_not_known_and_disturbs_no_other(master):
    flags = master.flags.copy()
    number = master.orders.order_numbers[2]
    flags[master.orders.order_map() == number] |= FlatFlag.NO_DATA
    table, before = order_quality(changed(master, flags=flags)), order_quality(master)
    assert table["n_pixels"][2] == 0
    assert np.isnan(table["counts"][2]) and np.isnan(table["signal_to_noise"][2])
    others = [0, 1, 3, 4]
    np.testing.assert_array_equal(table["counts"][others], before["counts"][others])


def test_master_without_a_usable_pixel_has_no_flux(master):
    flags = master.flags | np.int16(FlatFlag.NO_DATA)
    found = values_of(flat_quality(changed(master, flags=flags)))
    assert np.isnan([found["order_flux_50"], found["inner_mean"], found["counts_max"]]).all()
    assert found["unusable_fraction"] == 1


def test_a_window_wider_than_the_orders_is_no_fault_of_the_master(master):
    width = np.median(order_quality(master)["width"].value)
    for window, verdict in ((width + 0.5, "pass"), (width + 2, "")):
        quality = flat_quality(master, window=window)
        assert verdict_of(quality, "inner_mean") == verdict
        assert np.isnan(values_of(quality)["inner_mean"]) == (verdict == "")


def test_things_of_another_number_of_frames_are_refused(product):
    master, frames, diagnostics = product
    with pytest.raises(ValueError, match="frames has length 2, expected that of levels, 7"):
        flat_quality(master, frames=frames[:2])
    with pytest.raises(ValueError, match="frames are .*, expected the order of the levels"):
        flat_quality(master, frames=frames[::-1])
    for other, message in (
        (lambda f: CCDData(np.pad(f.data, 4), unit=f.unit), "has shape .* expected these"),
        (lambda f: CCDData(f.data, unit="electron"), "has unit electron, .* expected these"),
    ):
        with pytest.raises(ValueError, match=message):
            flat_quality(master, frames=[other(frame.ccddata()) for frame in frames])
    with pytest.raises(ValueError, match="times has length 1"):
        flat_quality(master, times=[60310.0])
    short = diagnostics._replace(rejected=diagnostics.rejected[:3])
    with pytest.raises(ValueError, match="diagnostics has length 3"):
        flat_quality(master, diagnostics=short)


# ---------------------------------------------------------------------- limits


def test_limits_given_replace_the_defaults(master):
    quality = flat_quality(master, limits={"level_spread": (None, 0.1), "inner_mean": (1.5, None)})
    assert verdict_of(quality, "level_spread") == "fail"
    assert verdict_of(quality, "inner_mean") == "fail"
    assert verdict_of(quality, "edge_rms_median") == "pass"
    row = quality[list(METRICS).index("inner_mean")]
    assert row["lower"] == 1.5 and np.isnan(row["upper"])


def test_limits_can_be_taken_away(quality):
    assert verdict_of(with_limits(quality, {"inner_mean": (None, None)}), "inner_mean") == ""


@pytest.mark.parametrize(("limits", "verdict"), [
    ((7, 7), "pass"), ((None, 7), "pass"), ((7.5, None), "fail"), ((None, 6), "fail"),
])
def test_a_value_on_the_limit_passes(quality, limits, verdict):
    assert verdict_of(with_limits(quality, {"frames_used": limits}), "frames_used") == verdict


def test_limit_asked_for_a_value_that_is_not_known_fails(master):
    quality = flat_quality(master, limits={"reduced_chi_square": (0.9, 1.1)})
    assert verdict_of(quality, "reduced_chi_square") == "fail"


def test_judging_again_changes_only_the_rows_named(quality):
    before = with_limits(quality, {"frames_used": (9, None)})
    after = with_limits(before, {"inner_rms": (0, 10)})
    assert verdict_of(after, "frames_used") == "fail"
    assert verdict_of(after, "inner_rms") == "pass"
    assert verdict_of(before, "inner_rms") == ""


def test_limits_from_a_file(tmp_path, quality):
    path = tmp_path / "limits.yaml"
    # with the mark of Windows editors
    path.write_text("\ufefflevel_spread: [null, 1e-3]\nframes_used: [5, 20]\n", encoding="utf-8")
    judged = with_limits(quality, path)
    assert verdict_of(judged, "level_spread") == "fail"
    assert verdict_of(judged, "frames_used") == "pass"
    assert with_limits(quality, str(path))["upper"][1:5].tolist()[2] == 1e-3


@pytest.mark.parametrize(("text", "message"), [
    ("level_sprea: [0, 1]", "unknown quantity 'level_sprea'.*did you mean 'level_spread'"),
    ("level_spread: 3", "level_spread in .*limits.yaml is 3, expected a pair"),
    ("level_spread: [1]", r"level_spread .* is \[1\], expected a pair"),
    ("level_spread: [2, 1]", "level_spread .* expected lower <= upper"),
    ("level_spread: [low, 1]", "level_spread .* the limit 'low', expected a number"),
    ("level_spread: [true, 1]", "level_spread .* the limit True, expected a number"),
    ("level_spread: [.nan, 1]", "level_spread .* the limit nan, expected a number"),
    ("level_spread: [0, [1]]", r"level_spread .* the limit \[1\], expected a number"),
    ("- level_spread", "limits.yaml holds a list, expected pairs"),
    ("level_spread: [0, 1", "limits.yaml is not a YAML file"),
    ("", "limits.yaml holds a NoneType"),
    ("1: [0, 1]", "unknown quantity 1 in"),
    ("a: !!python/object/apply:os.getcwd []", "is not a YAML file"),
])
def test_malformed_files_are_refused_by_name(tmp_path, quality, text, message):
    path = tmp_path / "limits.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        with_limits(quality, path)


def test_missing_file_is_named(tmp_path, quality):
    with pytest.raises(FileNotFoundError, match="no_such.yaml"):
        with_limits(quality, tmp_path / "no_such.yaml")


# ---------------------------------------------------------------------- FITS


def test_cards_are_valid_and_hold_the_values(quality):
    cards = quality_cards(quality)
    header = fits.Header(cards)
    text = fits.Header.fromstring(header.tostring())
    assert len(header) == len(METRICS)
    for card in header.cards:
        card.verify("exception")
        assert len(card.image) == 80
    for row in quality:
        assert len(row["keyword"]) <= 8
        assert text[row["keyword"]] == pytest.approx(row["value"], rel=1e-12)
        assert row["comment"] in text.comments[row["keyword"]]
    assert text.comments["ORDEXP50"].startswith("[adu] ")
    assert isinstance(text["NDEAD"], int)


def test_keywords_are_unique():
    assert len({metric.keyword for metric in METRICS.values()}) == len(METRICS)


def test_what_is_not_known_has_no_card(master):
    keywords = [card[0] for card in quality_cards(flat_quality(master))]
    assert "CHI2RED" not in keywords
    assert "ORDEXP50" in keywords


def test_table_survives_fits(tmp_path, quality):
    path = tmp_path / "quality.fits"
    quality.write(path)
    again = QTable.read(path, mask_invalid=False)
    for name in quality.colnames:
        np.testing.assert_array_equal(again[name], quality[name])
    judged = with_limits(again, {"frames_used": (9, None)})
    assert verdict_of(judged, "frames_used") == "fail"
    assert verdict_of(judged, "level_median") == ""


def test_master_flat_of_the_recipe_has_a_quality():
    simulation = EchelleSimulation(shape=(256, 300), n_orders=4, seed=2, dispersion_axis=0)
    simulation = simulation.with_level_spread(0.2)
    flats = simulation.flats(4)
    master = make_master_flat(flats, simulation.truth.orders)
    quality = flat_quality(master, frames=open_frames(flats))
    assert "fail" not in quality["verdict"]
    assert values_of(quality)["reduced_chi_square"] == pytest.approx(1, abs=0.03)


def test_quality_takes_files_and_ccddata(tmp_path):
    simulation = EchelleSimulation(shape=(200, 220), n_orders=3, seed=13)
    flats = simulation.flats(3)
    paths = [tmp_path / f"flat_{i}.fits" for i in range(3)]
    for flat, path in zip(flats, paths, strict=True):
        flat.write(path)
    master = make_master_flat(flats, simulation.truth.orders, scattered_light=None)
    expected = values_of(flat_quality(master, frames=open_frames(flats)))
    assert np.isfinite(expected["reduced_chi_square"])
    for given in (flats, paths):
        np.testing.assert_equal(values_of(flat_quality(master, frames=given)), expected)


def test_a_flat_without_a_mask_has_no_masked_pixel(master):
    bare, clean = master.flat.copy(), master.flat.copy()
    bare.mask, clean.mask = None, np.zeros(bare.shape, dtype=bool)
    found, expected = (order_quality(changed(master, flat=flat)) for flat in (bare, clean))
    for name in expected.colnames:
        np.testing.assert_array_equal(found[name], expected[name])


def test_edges_of_which_is_not_known_how_much_was_measured(master):
    values = values_of(flat_quality(changed(master, orders=SIMULATION.truth.orders)))
    truth = SIMULATION.truth.orders
    widths = np.nanmedian(truth.upper() - truth.lower(), axis=1)
    assert values["order_width"] == pytest.approx(np.median(widths))
    assert values["edge_rms_max"] < 1e-9  # those of the truth
    assert np.isnan(values["edge_measured_min"])
