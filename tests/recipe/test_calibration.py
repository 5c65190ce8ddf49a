# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Bias, dark and noise of raw flats, against what they were made from."""

import copy

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.utils.exceptions import AstropyUserWarning
from ccdproc import Keyword

from ccdproc_echelle.combining import CombineSettings, combine_with_levels
from ccdproc_echelle.frames import open_frames, variance_array
from ccdproc_echelle.orders import EchelleOrderTable
from ccdproc_echelle.recipe.calibration import calibrate_frames
from ccdproc_echelle.recipe.calibration_masters import SharedNoise

SHAPE = (6, 8)


def frame(value, *, shape=SHAPE, sigma=None, mask=None, unit="adu", dtype=float, **header):
    """A frame of one value, or of an array; keywords with ``_`` for ``-`` go to the header."""
    data = np.broadcast_to(value, shape).astype(dtype)
    return CCDData(
        data,
        unit=unit,
        uncertainty=None if sigma is None else StdDevUncertainty(np.full(shape, float(sigma))),
        mask=mask,
        header=fits.Header({name.replace("_", "-"): value for name, value in header.items()}),
    )


def calibrated(flats, *, bias=None, dark=None, **options):
    """`calibrate_frames` of CCDData: the flats as CCDData, and the shared noise."""
    frames, shared = calibrate_frames(flats, bias=bias, dark=dark, **options)
    return [f.ccddata() for f in frames], shared


def at(hour, minute=0):
    return f"2024-03-01T{hour:02d}:{minute:02d}:00"


# ---------------------------------------------------------------------- what is subtracted


def test_nothing_to_subtract():
    (flat,), shared = calibrated([frame(1000)])
    assert (flat.data == 1000).all()
    assert flat.uncertainty is None
    assert shared is None


def test_bias_is_subtracted():
    (flat,), _ = calibrated([frame(1000)], bias=[frame(99), frame(101)])
    assert (flat.data == 900).all()
    assert flat.unit == u.adu


def test_dark_without_bias_is_subtracted_as_it_is():
    (flat,), _ = calibrated([frame(1000, EXPTIME=10)], dark=[frame(130, EXPTIME=10)])
    assert (flat.data == 870).all()


@pytest.mark.parametrize("times", [(10, 60), (60, 10), (10, 10), (1.5, 2)])
def test_dark_is_scaled_to_the_exposure_of_the_flat(times):
    flat_time, dark_time = times
    rate, bias = 3.0, 100.0
    flats = [frame(bias + 500 + rate * flat_time, EXPTIME=flat_time)]
    darks = [frame(bias + rate * dark_time, EXPTIME=dark_time)]
    (flat,), _ = calibrated(flats, bias=[frame(bias)], dark=darks)
    np.testing.assert_allclose(flat.data, 500, rtol=1e-12)


def test_each_flat_by_its_own_exposure_time():
    flats = [frame(100 + 500 + 3 * time, EXPTIME=time) for time in (1, 5, 20)]
    found, _ = calibrated(flats, bias=[frame(100)], dark=[frame(100 + 3 * 10, EXPTIME=10)])
    for flat in found:
        np.testing.assert_allclose(flat.data, 500, rtol=1e-12)


def test_median_of_dark_frames_leaves_a_cosmic_ray_out():
    darks = [frame(100) for _ in range(3)]
    darks[1].data[2, 3] = 5000
    (flat,), _ = calibrated([frame(1000)], dark=darks)
    assert (flat.data == 900).all()


def test_cosmic_ray_in_a_dark_is_clipped_where_the_noise_is_known():
    darks = [frame(value) for value in (98, 100, 102)]
    darks[1].data[2, 3] = 5000
    (flat,), _ = calibrated([frame(1000)], dark=darks, gain=1, read_noise=4)
    np.testing.assert_allclose(flat.data, 900, atol=1e-3)
    assert not np.any(flat.mask)


def test_masks_of_flat_and_dark_are_joined():
    flat_mask, dark_mask = np.zeros((2, *SHAPE), dtype=bool)
    flat_mask[0, 0], dark_mask[1, 1] = True, True
    (flat,), _ = calibrated([frame(1000, mask=flat_mask)], dark=[frame(100, mask=dark_mask)])
    np.testing.assert_array_equal(flat.mask, flat_mask | dark_mask)


def test_unsigned_integers_do_not_wrap():
    flats = [frame(value, dtype=np.uint16) for value in (65535, 90)]
    (bright, faint), _ = calibrated(flats, dark=[frame(100, dtype=np.uint16)])
    assert (bright.data == 65435).all()
    assert (faint.data == -10).all()


def test_16_bit_frames_stay_in_single_precision(tmp_path):
    path = tmp_path / "flat.fits"
    frame(65535, dtype=np.uint16).write(path)
    frames, _ = calibrate_frames(
        open_frames(path), dark=open_frames([frame(100, dtype=np.uint16)]), gain=1, read_noise=3
    )
    assert frames[0].name == str(path)
    assert frames[0].dtype == np.float32
    assert (frames[0].ccddata().data == 65435).all()


def test_header_is_kept():
    (flat,), _ = calibrated([frame(1000, OBJECT="lamp")], bias=[frame(100, OBJECT="bias")])
    assert flat.header["OBJECT"] == "lamp"


def test_inputs_are_not_modified():
    flats = [frame(1000, EXPTIME=10, sigma=3, mask=np.zeros(SHAPE, dtype=bool))]
    bias, dark = [frame(100, mask=np.eye(*SHAPE, dtype=bool))], [frame(130, EXPTIME=5)]
    before = copy.deepcopy((flats, bias, dark))
    calibrated(flats, bias=bias, dark=dark, gain=1, read_noise=3)
    for (ccd,), (old,) in zip((flats, bias, dark), before, strict=True):
        np.testing.assert_array_equal(ccd.data, old.data)
        np.testing.assert_array_equal(ccd.mask, old.mask)
        assert ccd.header == old.header
        assert (ccd.uncertainty is None) == (old.uncertainty is None)
    np.testing.assert_array_equal(flats[0].uncertainty.array, before[0][0].uncertainty.array)


def test_integers_stay_integers_in_the_input():
    given = frame(1000, dtype=np.uint16)
    (flat,), _ = calibrated([given])
    assert given.data.dtype == np.uint16
    assert flat.data.dtype == np.float32


# ---------------------------------------------------------------------- nearest in time


def test_the_dark_group_nearest_in_time_is_taken():
    darks = [frame(100, DATE_OBS=at(2)), frame(102, DATE_OBS=at(2)),
             frame(200, DATE_OBS=at(10)), frame(204, DATE_OBS=at(10))]
    flats = [frame(1000, DATE_OBS=at(hour)) for hour in (0, 5, 7, 23)]
    found, _ = calibrated(flats, dark=darks)
    assert [flat.data[0, 0] for flat in found] == [899, 899, 798, 798]


def test_a_series_of_darks_is_averaged_and_the_nearest_series_taken():
    darks = [frame(value, DATE_OBS=at(hour, minute)) for value, hour, minute in
             ((100, 4, 0), (200, 4, 1), (600, 4, 2), (900, 9, 0))]
    (flat,), _ = calibrated([frame(1000, DATE_OBS=at(5))], dark=darks)
    assert (flat.data == 800).all()  # the median of three frames of unknown noise is 200
    (flat,), _ = calibrated([frame(1000, DATE_OBS=at(8))], dark=darks)
    assert (flat.data == 100).all()


@pytest.mark.parametrize("minute", range(0, 60, 7))
def test_equally_near_darks_are_averaged(minute):
    darks = [frame(100, DATE_OBS=at(4, minute)), frame(200, DATE_OBS=at(6, minute)),
             frame(900, DATE_OBS=at(9))]
    (flat,), _ = calibrated([frame(1000, DATE_OBS=at(5, minute))], dark=darks)
    assert (flat.data == 850).all()


@pytest.mark.filterwarnings("ignore:.* DATE-OBS = 'yesterday', which is not a date")
@pytest.mark.parametrize("where", ["flat", "one dark"])
def test_all_darks_where_a_time_is_unknown(where):
    times = [{"DATE_OBS": at(2)}, {"DATE_OBS": at(10)}]
    flat_time = {} if where == "flat" else {"DATE_OBS": at(2)}
    if where == "one dark":
        times[1] = {"DATE_OBS": "yesterday"}
    darks = [frame(value, **time) for value, time in zip((100, 200), times, strict=True)]
    (flat,), _ = calibrated([frame(1000, **flat_time)], dark=darks)
    assert (flat.data == 850).all()


def test_a_date_that_cannot_be_read():
    flat, bias = frame(900, **{"DATE-OBS": "2024-01-01"}), frame(300, **{"DATE-OBS": "yesterday"})
    with pytest.warns(AstropyUserWarning, match="DATE-OBS = 'yesterday', which is not a date"):
        calibrated([flat], bias=[bias])


def test_mjd_obs_goes_before_date_obs():
    darks = [frame(100, MJD_OBS=60000.1, DATE_OBS=at(10)),
             frame(200, MJD_OBS=60000.9, DATE_OBS=at(2))]
    (flat,), _ = calibrated([frame(1000, MJD_OBS=60000.2, DATE_OBS=at(2))], dark=darks)
    assert (flat.data == 900).all()


def test_bias_nearest_to_the_dark_reveals_its_charge():
    # The bias drifts by 50 between evening and morning: flat and dark must each lose their own.
    bias = [frame(100, DATE_OBS=at(0)), frame(150, DATE_OBS=at(12))]
    darks = [frame(150 + 3 * 60, DATE_OBS=at(12), EXPTIME=60)]
    flats = [frame(100 + 500 + 3 * 10, DATE_OBS=at(0), EXPTIME=10)]
    (flat,), _ = calibrated(flats, bias=bias, dark=darks)
    np.testing.assert_allclose(flat.data, 500, rtol=1e-12)


# ---------------------------------------------------------------------- uncertainty


@pytest.mark.parametrize("unit", ["adu", "electron"])
def test_gain_and_read_noise_as_numbers_or_quantities(unit):
    gain = 2 * u.electron / u.Unit(unit)
    (plain,), _ = calibrated([frame(1000, unit=unit)], gain=2, read_noise=5)
    (with_units,), _ = calibrated(
        [frame(1000, unit=unit)], gain=gain, read_noise=5 * u.electron
    )
    expected = np.sqrt(1000 * 2 + 5**2) / 2
    np.testing.assert_allclose(plain.uncertainty.array, expected, rtol=1e-6)
    np.testing.assert_array_equal(with_units.uncertainty.array, plain.uncertainty.array)


def test_photon_noise_is_that_of_the_light_without_the_bias():
    (flat,), _ = calibrated([frame(1000)], bias=[frame(900)], gain=1, read_noise=0)
    np.testing.assert_allclose(flat.uncertainty.array, 10)


def test_photon_noise_is_also_that_of_the_dark_current():
    (flat,), _ = calibrated(
        [frame(2600)], bias=[frame(1000)], dark=[frame(1700)], gain=1, read_noise=0,
        scale_dark=False,
    )
    assert (flat.data == 900).all()
    np.testing.assert_allclose(flat.uncertainty.array, 40)


def test_without_a_bias_the_charge_of_the_dark_is_unknown():
    (flat,), _ = calibrated([frame(2600)], dark=[frame(1700)], gain=1, read_noise=0)
    np.testing.assert_allclose(flat.uncertainty.array, 30)


def test_negative_signal_has_read_noise():
    (flat,), _ = calibrated([frame(90)], dark=[frame(100)], gain=2, read_noise=6)
    assert (flat.data == -10).all()
    np.testing.assert_allclose(flat.uncertainty.array, 3)


def test_own_uncertainty_is_kept_without_gain_and_replaced_with():
    (kept,), _ = calibrated([frame(1000, sigma=7)])
    (replaced,), _ = calibrated([frame(1000, sigma=7)], gain=1, read_noise=0)
    assert (kept.uncertainty.array == 7).all()
    np.testing.assert_allclose(replaced.uncertainty.array, np.sqrt(1000))


@pytest.mark.parametrize(("signal", "gain", "read_noise"), [(0, 1.5, 6), (50, 0.5, 3), (2e4, 2, 4)])
def test_pulls_of_a_calibrated_flat(signal, gain, read_noise):
    rng = np.random.default_rng(1)
    shape = (300, 300)
    electrons = rng.poisson(signal * gain, shape) + rng.normal(0, read_noise, shape)
    raw = frame(300 + electrons / gain, shape=shape)
    (flat,), _ = calibrated(
        [raw], bias=[frame(300, shape=shape)], gain=gain, read_noise=read_noise
    )
    # The noise is estimated from the counts, so it goes along with them; its mean square is right.
    rms = np.sqrt(np.mean(flat.uncertainty.array**2))
    assert np.std(flat.data - signal) / rms == pytest.approx(1, abs=0.015 if signal else 0.07)


# ---------------------------------------------------------------------- shared noise


def test_shared_noise_of_one_dark():
    flats = [frame(1000) for _ in range(4)]
    _, shared = calibrated(flats, dark=[frame(100)], gain=2, read_noise=6)
    np.testing.assert_allclose(shared.coefficients, np.ones((4, 1)))
    np.testing.assert_allclose(shared.variances[0], 9, rtol=1e-6)
    np.testing.assert_allclose(shared.of_average(np.full(4, 0.1)), 9 * 0.1**2, rtol=1e-6)


def test_shared_noise_of_several_darks_averages_down():
    _, shared = calibrated([frame(1000)], dark=[frame(100) for _ in range(5)], gain=1, read_noise=6)
    np.testing.assert_allclose(shared.of_average(np.ones(1)), 36 / 5, rtol=1e-4)


def test_shared_noise_of_two_dark_groups_counts_each_for_its_flats():
    flats = [frame(1000, DATE_OBS=at(hour)) for hour in (0, 1, 9)]
    darks = [frame(100, DATE_OBS=at(hour)) for hour in (0, 0, 10)]
    _, shared = calibrated(flats, dark=darks, gain=1, read_noise=6)
    # Two thirds of the average share the pair of darks, one third has the single one.
    expected = (2 / 3) ** 2 * 36 / 2 + (1 / 3) ** 2 * 36
    np.testing.assert_allclose(shared.of_average(np.ones(3)), expected, rtol=1e-6)


def test_shared_noise_of_bias_and_scaled_dark():
    bias, read_noise = [frame(100), frame(100)], 6
    darks = [frame(100 + 80, EXPTIME=40)]
    _, shared = calibrated(
        [frame(1000, EXPTIME=10)], bias=bias, dark=darks, gain=1, read_noise=read_noise
    )
    # flat - bias - (dark - bias) / 4: three quarters of the bias, a quarter of the dark.
    expected = 0.75**2 * 36 / 2 + 0.25**2 * (36 + 80)
    np.testing.assert_allclose(shared.of_average(np.ones(1)), expected, rtol=1e-6)


def test_shared_noise_with_scales_and_weights():
    rng = np.random.default_rng(2)
    variances = list(rng.uniform(1, 5, (3, 4, 5)))
    coefficients = rng.uniform(-1, 1, (6, 3))
    scales, weights = rng.uniform(0.5, 2, 6), rng.uniform(0, 1, 6)
    found = SharedNoise(variances, coefficients).of_average(scales, weights)
    expected = np.zeros((4, 5))
    for k, variance in enumerate(variances):
        share = sum(w * c[k] * s for w, c, s in zip(weights, coefficients, scales, strict=True))
        expected += (share / sum(weights)) ** 2 * variance
    np.testing.assert_allclose(found, expected)


def test_shared_noise_with_an_image_of_weights_for_each_flat():
    rng = np.random.default_rng(3)
    shared = SharedNoise(list(rng.uniform(1, 5, (2, 4, 5))), rng.uniform(-1, 1, (6, 2)))
    scales, weights = rng.uniform(0.5, 2, 6), rng.uniform(0.1, 1, (6, 4, 5))
    found = shared.of_average(scales, weights)
    for pixel in np.ndindex(4, 5):
        expected = shared.of_average(scales, weights[(slice(None), *pixel)])[pixel]
        np.testing.assert_allclose(found[pixel], expected)


def test_own_uncertainties_of_the_darks_are_used_without_gain():
    _, shared = calibrated([frame(1000, sigma=9)], dark=[frame(100, sigma=4) for _ in range(2)])
    np.testing.assert_allclose(shared.of_average(np.ones(1)), 4**2 / 2)


def test_shared_noise_is_not_in_the_flats():
    (flat,), _ = calibrated([frame(1000, sigma=9)], dark=[frame(100, sigma=400)])
    assert (flat.uncertainty.array == 9).all()


def test_pull_of_a_master_whose_flats_share_one_noisy_dark():
    """Many sets of flats of a uniform source: only with the shared term is the pull 1."""
    signal, read_noise, shape = 1000.0, 30.0, (40, 50)
    levels = np.array([0.7, 0.9, 1.0, 1.1, 1.3])
    orders = EchelleOrderTable.from_polynomials([1], [[19.5]], shape=shape, dispersion_axis=1)
    rng = np.random.default_rng(4)

    def raw(light):
        return frame(
            200 + rng.poisson(light, shape) + rng.normal(0, read_noise, shape), shape=shape
        )

    own_pulls, pulls = [], []
    for _ in range(60):
        frames, shared = calibrate_frames(
            open_frames([raw(signal * level) for level in levels]),
            dark=open_frames([raw(0)]), gain=1, read_noise=read_noise,
        )
        master, table, _ = combine_with_levels(
            frames, orders, CombineSettings(), window=39, n_passes=2
        )
        variance = variance_array(master.uncertainty.array, type(master.uncertainty))
        added = shared.of_average(1 / table["level"].value)
        own_pulls.append((master.data - 1) / np.sqrt(variance))
        pulls.append((master.data - 1) / np.sqrt(variance + added))
    assert np.std(pulls) == pytest.approx(1, abs=0.03)
    assert np.std(own_pulls) > 1.5


# ---------------------------------------------------------------------- errors and warnings


@pytest.mark.parametrize("kind", ["bias", "dark"])
def test_calibration_frame_of_another_shape(kind):
    with pytest.raises(ValueError, match=rf"{kind} frame 0 has shape \(6, 9\).*\(6, 8\)"):
        calibrated([frame(1000)], **{kind: [frame(100, shape=(6, 9))]})


@pytest.mark.parametrize("kind", ["bias", "dark"])
def test_calibration_frame_of_another_unit(kind):
    with pytest.raises(ValueError, match=f"{kind} frame 0 has unit electron.* adu"):
        calibrated([frame(1000)], **{kind: [frame(100, unit="electron")]})


def test_calibration_file_is_named(tmp_path):
    path = tmp_path / "dark_of_another_camera.fits"
    frame(100, shape=(3, 3)).write(path)
    with pytest.raises(ValueError, match=r"another_camera\.fits has shape .* the dark is"):
        calibrated([frame(1000)], dark=[path])


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        ({"gain": 1}, "read_noise is missing"),
        ({"read_noise": 1}, "gain is missing"),
        ({"gain": 0, "read_noise": 1}, "gain is 0, expected a positive"),
        ({"gain": -2.5, "read_noise": 1}, "gain is -2.5"),
        ({"gain": np.nan, "read_noise": 1}, "gain is nan"),
        ({"gain": np.inf, "read_noise": 1}, "gain is inf"),
        ({"gain": 1, "read_noise": -3}, "read_noise is -3"),
        ({"gain": 1, "read_noise": np.nan}, "read_noise is nan"),
        ({"gain": 1 * u.adu, "read_noise": 1}, "gain is .*, expected .* electron / adu"),
        ({"gain": 1, "read_noise": 3 * u.adu}, "read_noise is .*, expected .* electron"),
        ({"gain": [1, 2], "read_noise": 3}, r"gain is \[1, 2\], expected a single"),
        ({"gain": "low", "read_noise": 3}, "gain is 'low', expected a number"),
    ],
)
def test_wrong_gain_or_read_noise(noise, message):
    with pytest.raises(ValueError, match=message):
        calibrated([frame(1000)], **noise)


def test_dark_of_another_exposure_time_without_bias_warns():
    flats, darks = [frame(1000, EXPTIME=10)], [frame(130, EXPTIME=60)]
    with pytest.warns(AstropyUserWarning, match="flats were exposed for 10 s, the dark for 60 s"):
        (flat,), _ = calibrated(flats, dark=darks)
    assert (flat.data == 870).all()


def test_a_dark_that_cannot_be_scaled_warns():
    flats, darks = [frame(1000, ELAPTIME=10)], [frame(130, ELAPTIME=60)]
    with pytest.warns(AstropyUserWarning, match="exposure time of frame 0.* under EXPTIME"):
        (flat,), _ = calibrated(flats, bias=[frame(100)], dark=darks)
    assert (flat.data == 870).all()


def test_exposure_times_that_differ_under_a_keyword_that_was_not_given():
    flats = [frame(1000, ELAPTIME=10)]
    said = "exposure time of frame 0.* is unknown.*exposure_key= .ELAPTIME differs"
    with pytest.warns(AstropyUserWarning, match=said):
        calibrated(flats, dark=[frame(130, ELAPTIME=60)])
    calibrated(flats, dark=[frame(130, ELAPTIME=10)])  # any warning is an error


def test_a_dark_in_counts_per_second_is_not_scaled():
    """Nor is there a warning of another exposure time."""
    flat, dark = (frame(*told, unit="electron/s", EXPTIME=t) for *told, t in ((100, 10), (3, 60)))
    (flat,), _ = calibrated([flat], dark=[dark])
    assert (flat.data == 97).all()


@pytest.mark.parametrize("key", ["ELAPTIME", Keyword("ELAPTIME"), "HIERARCH ELAPTIME"])
@pytest.mark.parametrize("kind", [float, str])
def test_exposure_time_under_another_keyword(key, kind):
    flats, darks = [frame(1000, ELAPTIME=kind(10))], [frame(160, ELAPTIME=kind(60))]
    (flat,), _ = calibrated(flats, bias=[frame(100)], dark=darks, exposure_key=key)
    np.testing.assert_allclose(flat.data, 890)


@pytest.mark.parametrize("kind", ["bias", "dark"])
def test_calibration_frames_without_a_good_pixel_are_named(kind):
    warned = pytest.warns(AstropyUserWarning, match="has no values")
    with warned, pytest.raises(ValueError, match=f"no pixel of {kind} frame 0 .*is good"):
        calibrated([frame(1000)], **{kind: [frame(np.nan), frame(np.nan)]})


def test_a_unit_of_flats_that_are_dimensionless_is_told():
    with pytest.raises(ValueError, match="has unit adu, but the flats.* have dimensionless"):
        calibrated([frame(9, unit="")], bias=[frame(9)])
    with pytest.raises(ValueError, match="gain is .*adu.*, expected a number without a unit"):
        gain = 2 * u.electron / u.adu
        calibrated([frame(9, unit="electron")], gain=gain, read_noise=3)


def test_an_empty_generator_is_named():
    with pytest.raises(ValueError, match=r"dark is \[\], which has no frames"):
        calibrated([frame(9)], dark=iter(()))


@pytest.mark.parametrize("times", [(10, None), (None, 10)])
def test_exposure_times_that_cannot_be_compared(times):
    flat, dark = (frame(9) if t is None else frame(9, EXPTIME=t) for t in times)
    name = "frame 0" if times[0] is None else "dark frame 0"
    with pytest.warns(AstropyUserWarning, match=f"the exposure time of {name} is unknown"):
        calibrated([flat], dark=[dark])


def test_an_exposure_key_that_no_frame_has():
    frames = [frame(9, EXPTIME=10)], [frame(9, EXPTIME=10)]
    with pytest.warns(AstropyUserWarning, match="unknown .* under EXPTME"):
        calibrated(frames[0], dark=frames[1], exposure_key="EXPTME")


def test_a_dark_whose_bias_was_subtracted_before():
    bias, dark = frame(300), frame(5, EXPTIME=10)
    with pytest.warns(AstropyUserWarning, match=r"frame 0 is at -295 .* the bias, 300,.* already"):
        calibrated([frame(900, EXPTIME=10)], bias=[bias], dark=[dark])


@pytest.mark.parametrize("kind", ["bias", "dark"])
@pytest.mark.parametrize("levels", [(300, 340), (300, 300, 350, 350)])
def test_calibration_frames_of_two_levels_are_averaged_instead_of_rejected(kind, levels):
    """Their clipping rejects all of them, in pixels that have nothing wrong with them."""
    rng = np.random.default_rng(1)
    frames = [frame(rng.normal(level, 4, (20, 30)), shape=(20, 30)) for level in levels]
    flats = [frame(1000, shape=(20, 30))]
    message = rf"the {kind} frames .* from .* \({kind} frame [01]\) to .*\({kind} frame [123]"
    with pytest.warns(AstropyUserWarning, match=message):
        (flat,), _ = calibrated(flats, **{kind: frames}, gain=1, read_noise=4)
    assert flat.mask is None
    assert abs(flat.data.mean() - 1000 + np.mean(levels)) < 1


@pytest.mark.parametrize("kind", ["bias", "dark"])
def test_a_master_flat_is_neither_bias_nor_dark(kind):
    master = frame(1, IMAGETYP="master flat")
    with pytest.raises(ValueError, match=f"{kind} frame 0 is a master flat"):
        calibrated([frame(900)], **{kind: [master]})


def test_a_dark_is_not_scaled_if_so_told():
    flats, darks = [frame(1000, EXPTIME=10)], [frame(160, EXPTIME=60)]
    (flat,), _ = calibrated(flats, bias=[frame(100)], dark=darks, scale_dark=False)
    np.testing.assert_allclose(flat.data, 840)


def test_averaged_darks_must_have_one_exposure_time():
    darks = [frame(110, EXPTIME=10), frame(160, EXPTIME=60)]
    with pytest.raises(ValueError, match=r"dark frames .* exposed for \[10, 60\] s"):
        calibrated([frame(1000, EXPTIME=10)], bias=[frame(100)], dark=darks)


def test_dark_without_uncertainty_warns_where_flats_have_one():
    with pytest.warns(AstropyUserWarning, match="the dark frames have no uncertainty"):
        (flat,), shared = calibrated([frame(1000, sigma=5)], dark=[frame(100)])
    assert (flat.uncertainty.array == 5).all()
    assert shared is None


def test_bias_and_dark_without_uncertainty_are_both_named():
    with pytest.warns(AstropyUserWarning, match="the bias and dark frames have no uncertainty"):
        calibrated([frame(1000, sigma=5)], bias=[frame(90)], dark=[frame(100)], scale_dark=False)


def test_noise_of_the_bias_counts_where_only_the_dark_has_none():
    with pytest.warns(AstropyUserWarning, match="the dark frames have no uncertainty"):
        _, shared = calibrated(
            [frame(1000, sigma=5)], bias=[frame(90, sigma=2)], dark=[frame(100)], scale_dark=False
        )
    # Flat and dark have the same exposure time as far as is known: the bias cancels.
    np.testing.assert_allclose(shared.of_average(np.ones(1)), 0)


# ---------------------------------------------------------------------- saturation


def test_saturated_pixels_are_masked_in_their_frame():
    frames = [CCDData(np.full((4, 5), 1000.0), unit="adu") for _ in range(2)]
    frames[0].data[1, 2] = 4000
    frames[1].data[3, 3] = 5000
    frames[1].mask = np.zeros((4, 5), dtype=bool)
    frames[1].mask[0, 0] = True
    bias = CCDData(np.full((4, 5), 300.0), unit="adu")
    flats, _ = calibrate_frames(
        open_frames(frames), bias=open_frames([bias]), saturation=4000 * u.adu
    )
    saturated = [flat.load().section(slice(None)).saturated for flat in flats]
    masks = [flat.ccddata().mask for flat in flats]
    assert np.argwhere(masks[0]).tolist() == [[1, 2]]
    assert np.argwhere(masks[1]).tolist() == [[0, 0], [3, 3]]
    assert np.argwhere(saturated).tolist() == [[0, 1, 2], [1, 3, 3]]
    assert frames[1].mask.sum() == 1


@pytest.mark.parametrize("limit", [0, -5, np.nan, 3 * u.s, "high"])
def test_saturation_must_be_a_positive_number(limit):
    frames = open_frames([CCDData(np.ones((4, 5)), unit="adu")])
    with pytest.raises(ValueError, match="saturation is"):
        calibrate_frames(frames, saturation=limit)


@pytest.mark.parametrize("kind", ["bias", "dark"])
@pytest.mark.parametrize(("given", "error", "message"), [
    (5, TypeError, "{} is a int; expected file names"),
    ([b"x"], TypeError, "{} holds a bytes; expected file names"),
    ("no_such.fits", FileNotFoundError, "{}: no such file: no_such.fits"),
    ("no_such_*.fits", FileNotFoundError, "{}: no file matches no_such"),
    (".", IsADirectoryError, "{}: . is a folder"),
])
def test_errors_in_a_list_name_the_argument(kind, given, error, message):
    with pytest.raises(error, match=f"^{message.format(kind)}"):
        calibrate_frames([frame(100)], **{kind: given})
