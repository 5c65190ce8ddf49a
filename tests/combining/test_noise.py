# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The noise that a set of flats shows, and what it is good for where no other is known."""

import re
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import CCDData, StdDevUncertainty, UnknownUncertainty
from astropy.utils.exceptions import AstropyUserWarning

from ccdproc_echelle import combine_frames, measure_noise, two_pass_flat_combine
from ccdproc_echelle.simulation import EchelleSimulation

GAIN, READ_NOISE = 1.7, 5.0
CLIP_5 = dict(sigma_clip=True, sigma_clip_low_thresh=5, sigma_clip_high_thresh=5)
SIMULATION = (
    EchelleSimulation(shape=(256, 300), n_orders=4, seed=7)
    .with_level_spread(0.3)
    .with_noise(gain=GAIN, read_noise=READ_NOISE)
)
ORDERS = SIMULATION.truth.orders
RAYS = 400e-6  # a pixel


def with_rays(frames, seed=0):
    """Copies hit by cosmic rays, and where."""
    rng, hits, result = np.random.default_rng(seed), [], []
    for frame in frames:
        hit = rng.random(frame.shape) < RAYS
        data = np.where(hit, frame.data + 500 + rng.exponential(3000, frame.shape), frame.data)
        result.append(CCDData(data, unit=frame.unit))
        hits.append(hit)
    return result, np.array(hits)


def pulls_of(flat, inside):
    """Errors over claimed uncertainties; the level of the master is that of its pixels."""
    truth = SIMULATION.truth.flat
    good = inside & ~flat.mask
    level = np.median(flat.data[good] / truth[good])
    assert (flat.uncertainty.array[~flat.mask] > 0).all()
    return (flat.data[good] - level * truth[good]) / flat.uncertainty.array[good]


# ------------------------------------------------------------------------- gain and read noise


@pytest.mark.parametrize("n_frames", [2, 3, 5, 10])
@pytest.mark.parametrize("orders", [None, ORDERS])
def test_gain_and_read_noise(n_frames, orders):
    frames, _ = with_rays(SIMULATION.flats(n_frames, uncertainty=False))
    noise = measure_noise(frames, orders)
    assert noise.is_known
    assert noise.is_straight
    assert noise.doubt == ""
    assert noise.gain.unit == u.electron / u.adu
    assert noise.gain.value == pytest.approx(GAIN, rel=0.03)
    assert noise.read_noise.value == pytest.approx(READ_NOISE, rel=0.05)
    assert abs(noise.gain.value - GAIN) < 3 * noise.gain_uncertainty.value
    assert abs(noise.read_noise.value - READ_NOISE) < 3 * noise.read_noise_uncertainty.value


def test_uncertainties_are_those_of_chance():
    pulls = []
    for seed in range(8):
        simulation = EchelleSimulation(shape=(128, 160), n_orders=3, seed=seed)
        frames = simulation.with_noise(gain=GAIN, read_noise=READ_NOISE).flats(3)
        noise = measure_noise(frames)
        pulls.append([
            (noise.gain.value - GAIN) / noise.gain_uncertainty.value,
            (noise.read_noise.value - READ_NOISE) / noise.read_noise_uncertainty.value,
        ])
    assert (np.abs(pulls) < 3.5).all()
    assert 0.4 < np.std(pulls) < 1.4


def test_integers_have_the_noise_of_their_digitisation():
    frames = SIMULATION.with_noise(gain=8, read_noise=4).flats(5, uncertainty=False)
    frames = [CCDData(np.round(frame.data).astype("i4"), unit="adu") for frame in frames]
    noise = measure_noise(frames)
    assert noise.gain.value == pytest.approx(8, rel=0.02)
    assert noise.read_noise.value == pytest.approx(np.hypot(4, 8 / np.sqrt(12)), rel=0.05)


def test_any_unit_and_any_file(tmp_path):
    frames = SIMULATION.flats(3, uncertainty=False)
    expected = measure_noise(frames)
    for i, frame in enumerate(frames):
        frame.write(tmp_path / f"{i}.fits")
    from_files = measure_noise(sorted(map(str, tmp_path.glob("*.fits"))))
    assert from_files.gain == expected.gain
    assert from_files.read_noise == expected.read_noise
    scaled = measure_noise([CCDData(frame.data * 1e-17, unit="W") for frame in frames])
    assert scaled.gain.unit == u.electron / u.W
    assert scaled.gain.value == pytest.approx(expected.gain.value * 1e17, rel=1e-3)
    assert scaled.read_noise.value == pytest.approx(expected.read_noise.value, rel=1e-3)


def test_bad_pixels_do_not_matter():
    frames = SIMULATION.with_dead_pixels(300).flats(3, uncertainty=False)
    for frame in frames:
        frame.mask = np.zeros(frame.shape, dtype=bool)
        frame.mask[50:60] = True
        frame.data[50:60] = np.nan
    assert measure_noise(frames).gain.value == pytest.approx(GAIN, rel=0.03)


@pytest.mark.parametrize("drift", ["with_drift", "with_color_drift"])
@pytest.mark.parametrize("n_frames", [3, 5])
def test_a_drift_of_the_illumination_is_said_and_does_not_change_the_gain(drift, n_frames):
    frames = getattr(SIMULATION, drift)(0.03).flats(n_frames, uncertainty=False)
    with pytest.warns(AstropyUserWarning, match="in doubt: neighbouring pixels share .* drift"):
        noise = measure_noise(frames, ORDERS)
    assert not noise.is_straight
    assert noise.drift > 0.03
    assert noise.gain.value == pytest.approx(GAIN, rel=0.05)


@pytest.mark.parametrize(("frames", "found"), [
    (SIMULATION.with_bias(300).flats(3, raw=True), "was the bias not subtracted"),
    (SIMULATION.without_noise().flats(3), "too few"),
    ([frame[:30, :40] for frame in SIMULATION.flats(3)], "1200 good pixels are too few"),
    ([CCDData(frame.data - frame.data, unit="adu") for frame in SIMULATION.flats(2)], "no light"),
    ([CCDData(np.random.default_rng(i).normal(1e4, 80, (200, 200)), unit="adu")
      for i in range(3)], "too similar"),
])
def test_what_cannot_be_measured_is_said(frames, found):
    with pytest.warns(AstropyUserWarning, match=f"in doubt: .*{found}"):
        noise = measure_noise(frames)
    assert not noise.is_known
    assert "not known" in str(noise)


def test_one_frame_shows_no_noise():
    with pytest.raises(ValueError, match="frame 0 is the only frame"):
        measure_noise(SIMULATION.flats(1))


def test_a_real_detector(zyla):
    dark = np.mean([frame.data for frame in zyla("dark")], axis=0, dtype="f4")
    flats = [CCDData(frame.data - dark, unit="adu") for frame in zyla("flat")]
    noise = measure_noise(flats)
    assert noise.is_straight
    assert noise.gain.value == pytest.approx(0.462, rel=0.05)
    assert noise.read_noise.value == pytest.approx(3.07, rel=0.05)


# ----------------------------------------------------------------- where no uncertainty is known


@pytest.mark.parametrize("n_frames", [2, 3, 5, 7, 10])
@pytest.mark.parametrize("dtype", ["f4", "i4"])
def test_few_flats_claim_the_errors_they_have(n_frames, dtype):
    frames = SIMULATION.flats(n_frames, uncertainty=False)
    frames, hits = with_rays(frames, seed=n_frames)
    if dtype == "i4":
        frames = [CCDData(np.round(frame.data).astype(dtype), unit="adu") for frame in frames]
    flat, found = two_pass_flat_combine(frames, ORDERS, diagnostics=True, **CLIP_5)
    inside = ORDERS.order_map(margin=-3) > 0
    pulls = pulls_of(flat, inside)
    assert np.std(pulls) == pytest.approx(1, abs=0.05)
    assert (np.abs(pulls) > 5).mean() < 1e-3
    if n_frames > 2:
        assert np.abs(pulls_of(flat, inside & hits.any(axis=0))).max() < 6
        assert not flat.mask[inside].any()
    # Of two values either can be the ray.
    good = inside & ~hits.any(axis=0)
    assert found.rejected[:, good].mean() < 1e-4
    assert flat.header["GAINMEAS"] == pytest.approx(GAIN, rel=0.03)
    assert flat.header["RONMEAS"] == pytest.approx(READ_NOISE, rel=0.1)


def test_the_noise_is_the_same_to_the_last_bit(assert_identical, forkserver):
    frames = SIMULATION.flats(3, uncertainty=False)
    expected = two_pass_flat_combine(frames, ORDERS, **CLIP_5)
    with ProcessPoolExecutor(2, mp_context=forkserver) as executor:
        found = two_pass_flat_combine(frames, ORDERS, executor=executor, mem_limit=1e5, **CLIP_5)
    assert_identical(found, expected)
    assert found.header["GAINMEAS"] == expected.header["GAINMEAS"]


def test_uncertainties_of_the_dark_give_way_to_the_noise_measured():
    frames = SIMULATION.flats(4)
    expected = two_pass_flat_combine(frames, ORDERS, **CLIP_5)
    for frame in frames:
        frame.uncertainty = StdDevUncertainty(np.full(frame.shape, 0.02))
    with pytest.warns(AstropyUserWarning, match="create_deviation.*They are not used"):
        flat = two_pass_flat_combine(frames, ORDERS, **CLIP_5)
    inside = ORDERS.order_map(margin=-3) > 0
    assert not flat.mask.any()
    ratio = flat.uncertainty.array[inside] / expected.uncertainty.array[inside]
    assert np.median(ratio) == pytest.approx(1, abs=0.03)


def test_where_the_noise_cannot_be_measured_it_is_the_scatter():
    frames = SIMULATION.with_bias(300).flats(5, raw=True, uncertainty=False)
    with pytest.warns(AstropyUserWarning) as caught:
        flat = two_pass_flat_combine(frames, ORDERS)
    said = " ".join(str(warning.message) for warning in caught)
    assert re.search("an offset of about 300 adu.*cannot be measured: .*bias.* scatter", said)
    assert "GAINMEAS" not in flat.header
    scatter = np.std([frame.data / level for frame, level in zip(
        frames, [flat.header[f"LEVEL{i:03d}"] for i in range(1, 6)], strict=True
    )], axis=0, ddof=1) / np.sqrt(5)
    inside = ORDERS.order_map() > 0
    np.testing.assert_allclose(flat.uncertainty.array[inside], scatter[inside], rtol=0.02)


# -------------------------------------------------------------------------------- combine_frames


def copies(n=3, shape=(40, 50), mean=5000, sigma=70, seed=0, **keywords):
    rng = np.random.default_rng(seed)
    return [CCDData(rng.normal(mean, sigma, shape), unit="adu", **keywords) for _ in range(n)]


def test_uncertainties_of_another_origin_are_not_used():
    frames = copies(6, uncertainty=StdDevUncertainty(np.full((40, 50), 1.0)))
    with pytest.warns(AstropyUserWarning, match="uncertainties.* They are not used"):
        combined = combine_frames(frames, **CLIP_5)
    assert combined.mask.mean() < 0.01
    assert np.median(combined.uncertainty.array) == pytest.approx(70 / np.sqrt(6), rel=0.15)


def test_true_uncertainties_are_used_whatever_the_levels():
    frames = copies(4)
    for i, frame in enumerate(frames):
        frame.data *= 1 + 0.3 * i
        frame.uncertainty = StdDevUncertainty(np.full(frame.shape, 70 * (1 + 0.3 * i)))
    combined = combine_frames(frames)
    expected = 70 * np.sqrt(np.sum((1 + 0.3 * np.arange(4)) ** 2)) / 4
    np.testing.assert_allclose(combined.uncertainty.array, expected, rtol=1e-6)


def test_pixels_beyond_the_limits_are_no_doubt():
    frames = copies(3)
    for frame in frames:
        frame.data[:20] = 5
        frame.uncertainty = StdDevUncertainty(np.full(frame.shape, 70.0))
    combined = combine_frames(frames, minmax_clip=True, minmax_clip_min=1000, **CLIP_5)
    assert combined.mask[:20].all()
    np.testing.assert_allclose(combined.uncertainty.array[20:], 70 / np.sqrt(3), rtol=1e-5)


def test_a_value_of_unknown_uncertainty_counts():
    frames = copies(3)
    for frame in frames:
        frame.uncertainty = StdDevUncertainty(np.full(frame.shape, 70.0))
    frames[1].uncertainty.array[7, 9] = np.nan
    combined = combine_frames(frames, **CLIP_5)
    assert not combined.mask.any()
    assert combined.data[7, 9] == pytest.approx(np.mean([frame.data[7, 9] for frame in frames]))
    assert np.argwhere(np.isnan(combined.uncertainty.array)).tolist() == [[7, 9]]


@pytest.mark.parametrize(("value", "found"), [(np.nan, "NaN"), (0.0, "0")])
def test_uncertainties_that_say_nothing_count_as_none(value, found):
    frames = copies(3, uncertainty=StdDevUncertainty(np.full((40, 50), value)))
    bare = [CCDData(frame.data, unit="adu") for frame in frames]
    with pytest.warns(AstropyUserWarning, match=f"most uncertainties are {found}"):
        combined = combine_frames(frames)
    expected = combine_frames(bare)
    np.testing.assert_array_equal(combined.uncertainty.array, expected.uncertainty.array)


@pytest.mark.parametrize("where", ["memory", "file"])
def test_unknown_uncertainties_count_as_none(where, tmp_path):
    frames = copies(3, uncertainty=UnknownUncertainty(np.full((40, 50), 1.0)))
    expected = combine_frames([CCDData(frame.data, unit="adu") for frame in frames])
    if where == "file":
        for i, frame in enumerate(frames):
            frame.uncertainty = StdDevUncertainty(frame.uncertainty.array)
            hdus = frame.to_hdu()
            hdus["UNCERT"].header["UTYPE"] = "UnknownUncertainty"
            hdus.writeto(tmp_path / f"{i}.fits")
        frames = sorted(map(str, tmp_path.glob("*.fits")))
    combined = combine_frames(frames)
    np.testing.assert_array_equal(combined.uncertainty.array, expected.uncertainty.array)


@pytest.mark.parametrize("n_frames", [2, 3])
def test_integers_that_agree_have_a_scatter(n_frames):
    rng = np.random.default_rng(3)
    frames = [CCDData(rng.normal(100, 2, (60, 60)).round().astype("u2"), unit="adu")
              for _ in range(n_frames)]
    sigma = combine_frames(frames).uncertainty.array
    agree = np.ptp([frame.data for frame in frames], axis=0) == 0
    assert agree.any()
    np.testing.assert_allclose(sigma[agree], 2 / np.sqrt(n_frames), rtol=0.2)


def test_integers_that_all_agree_have_the_noise_of_their_digitisation():
    frames = [CCDData(np.full((9, 9), 7, dtype="u2"), unit="adu") for _ in range(3)]
    sigma = combine_frames(frames, scale=[2, 2, 2]).uncertainty.array
    np.testing.assert_allclose(sigma, 2 / np.sqrt(12 * 3), rtol=1e-6)


@pytest.mark.parametrize(("value", "expected"), [(7.0, 7 * np.finfo(float).eps), (0.0, np.nan)])
def test_numbers_that_all_agree_have_the_noise_of_their_rounding(value, expected):
    frames = [CCDData(np.full((9, 9), value), unit="adu") for _ in range(3)]
    sigma = combine_frames(frames).uncertainty.array
    np.testing.assert_allclose(sigma, expected, rtol=1e-6)
