# Licensed under a 3-clause BSD style license - see LICENSE.rst
import tracemalloc

import ccdproc
import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData, InverseVariance, StdDevUncertainty, VarianceUncertainty
from astropy.stats import mad_std, sigma_clip
from astropy.utils.exceptions import AstropyUserWarning

from ccdproc_echelle.combining.combine import combine_frames
from ccdproc_echelle.combining.frame_scale import inner_order_scale
from ccdproc_echelle.combining.two_pass import two_pass_flat_combine
from ccdproc_echelle.frames import Readout, variance_array
from ccdproc_echelle.orders import EchelleOrderTable
from ccdproc_echelle.simulation import EchelleSimulation

SMALL = EchelleSimulation(shape=(256, 240), n_orders=5, seed=3).with_level_spread(0.35)
CLIP_5 = {"sigma_clip": True, "sigma_clip_low_thresh": 5, "sigma_clip_high_thresh": 5}
UNCERTAINTIES = [StdDevUncertainty, VarianceUncertainty, InverseVariance]


# -------------------------------------------------------------------- against ccdproc.combine


@pytest.mark.parametrize("method", ["average", "median", "sum"])
@pytest.mark.parametrize("masked", [0, 0.2])
@pytest.mark.parametrize("scaled", [False, True])
def test_without_clipping_the_image_is_ccdprocs(random_frames, method, masked, scaled):
    frames = random_frames(masked=masked)
    scale = np.linspace(0.7, 1.3, 6) if scaled else None
    found = combine_frames(frames, method=method, scale=scale)
    expected = ccdproc.combine(frames, method=method, scale=scale)
    good = ~found.mask
    np.testing.assert_allclose(found.data[good], expected.data[good], rtol=3e-7)
    np.testing.assert_array_equal(found.mask, np.ma.getmaskarray(np.ma.array(
        expected.data, mask=expected.mask)))
    assert found.unit == expected.unit


@pytest.mark.parametrize("seen_by", ["data", "ccd"])
def test_callable_scales(random_frames, assert_identical, seen_by):
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
def test_diagnostics_are_those_of_a_slow_evaluation(random_frames, uncertainty):
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


# ------------------------------------------------------------------------------------ weights


def with_gaps(random_frames, kind, n=5):
    """Frames whose masked pixels and pixels of unknown uncertainty must not be weighed."""
    frames = random_frames(n, masked=0.2, uncertainty=kind)
    rng = np.random.default_rng(5)
    for frame in frames:
        frame.uncertainty.array[frame.mask] = rng.choice([0, np.nan, 7], frame.mask.sum())
        frame.uncertainty.array[rng.random(frame.shape) < 0.05] = np.nan
    return frames


@pytest.mark.parametrize("kind", UNCERTAINTIES)
@pytest.mark.parametrize("clip", [{}, CLIP_5 | {"sigma_clip_high_thresh": 1.5}])
def test_inverse_variance_weights_against_a_loop(random_frames, kind, clip):
    frames, scale = with_gaps(random_frames, kind), np.linspace(0.9, 1.1, 5)
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


def test_inverse_variance_needs_uncertainties_above_zero(random_frames):
    orders = EchelleOrderTable.from_polynomials([1], [[10]], shape=(20, 15), dispersion_axis=1)
    frames = random_frames(3, uncertainty=StdDevUncertainty)
    frames[1].uncertainty.array[10, 4] = 0
    for combine, arguments in [(combine_frames, ()), (two_pass_flat_combine, (orders,))]:
        message = "weights is 'inverse_variance', but frame 1 has a pixel with uncertainty 0"
        with pytest.raises(ValueError, match=message):
            combine(frames, *arguments, weights="inverse_variance")


# -------------------------------------------------------------------------- against the truth


def test_a_frame_without_a_good_pixel_changes_only_the_number_of_frames(
    assert_identical, small_frames
):
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


def test_weights_of_each_pixel_follow_the_rows(random_frames):
    frames = random_frames(3, (50, 40))
    weights = np.random.default_rng(1).uniform(1, 2, (3, 50, 40))
    expected = np.average([f.data for f in frames], axis=0, weights=weights)
    combined = combine_frames(frames, weights=weights, mem_limit=1e4)
    np.testing.assert_allclose(combined.data, expected, rtol=1e-6)


def test_memory_stays_below_that_of_the_stack(tmp_path):
    n_frames, shape = 12, (400, 300)
    paths = [tmp_path / f"frame_{i}.fits" for i in range(n_frames)]
    data = np.arange(shape[0] * shape[1], dtype=np.uint16).reshape(shape)
    for i, path in enumerate(paths):
        fits.writeto(path, data + np.uint16(i), fits.Header([("BUNIT", "adu")]))
    combine_frames(paths[:2])  # whatever is imported or cached at the first call
    tracemalloc.start()
    combine_frames(paths, mem_limit=1e6)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < n_frames * data.size * 4


# -------------------------------------------------------------------------- masks and variances


def test_masks_are_kept(random_frames):
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


def test_what_has_weight_zero_only_is_masked(random_frames):
    frames = random_frames(3, (3, 4))
    frames[0].mask = frames[1].mask = np.zeros((3, 4), dtype=bool)
    frames[0].mask[1, 1] = True
    combined = combine_frames(frames, weights=[1, 1, 0])
    assert np.argwhere(combined.mask).tolist() == [[1, 1]]


@pytest.mark.parametrize("kind", UNCERTAINTIES)
def test_uncertainties_are_propagated_in_their_type(random_frames, kind):
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


def test_different_types_of_uncertainty_are_combined(random_frames):
    frames = random_frames(3, uncertainty=VarianceUncertainty)
    frames[1] = random_frames(1, uncertainty=InverseVariance, seed=1)[0]
    combined = combine_frames(frames)
    assert type(combined.uncertainty) is StdDevUncertainty
    expected = sum(
        variance_array(frame.uncertainty.array, type(frame.uncertainty)) for frame in frames
    ) / 9
    np.testing.assert_allclose(combined.uncertainty.array**2, expected, rtol=1e-5)


def test_without_uncertainties_the_scatter_is_taken(random_frames):
    frames = random_frames(6)
    combined = combine_frames(frames)
    assert type(combined.uncertainty) is StdDevUncertainty
    expected = np.std([f.data for f in frames], axis=0, ddof=1, dtype=float) / np.sqrt(6)
    np.testing.assert_allclose(combined.uncertainty.array, expected, rtol=1e-5)


@pytest.mark.parametrize("uncertainty", [None, StdDevUncertainty])
def test_combine_uncertainty_function(random_frames, uncertainty):
    frames = random_frames(6, uncertainty=uncertainty)
    combined = combine_frames(frames, combine_uncertainty_function=mad_std)
    expected = mad_std([f.data for f in frames], axis=0) / np.sqrt(6)
    np.testing.assert_allclose(combined.uncertainty.array, expected, rtol=1e-5)


def test_some_uncertainties_only(random_frames, assert_identical):
    frames = random_frames(4, uncertainty=StdDevUncertainty)
    frames[2].uncertainty = None
    with pytest.warns(AstropyUserWarning, match="no uncertainty in frame 2: those of the other"):
        combined = combine_frames(frames)
    for frame in frames:
        frame.uncertainty = None
    assert_identical(combined, combine_frames(frames))


@pytest.mark.parametrize(
    ("stored", "dtype", "expected"),
    [(np.uint16, None, np.float32), (np.int32, None, np.float64), (np.float32, None, np.float32),
     (np.float32, np.float64, np.float64), (np.float64, "float32", np.float32)],
)
def test_dtype(random_frames, stored, dtype, expected):
    frames = [CCDData(f.data.astype(stored), unit="adu") for f in random_frames(3)]
    combined = combine_frames(frames, dtype=dtype)
    assert combined.data.dtype == combined.uncertainty.array.dtype == expected
    mean = np.mean([f.data for f in frames], axis=0, dtype=float)
    np.testing.assert_allclose(combined.data, mean, rtol=1e-6)


# ---------------------------------------------------------------------------------- odd input


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
def test_scales_that_make_no_sense(random_frames, scale, message):
    with pytest.raises(ValueError, match=message):
        combine_frames(random_frames(3), scale=scale)


def test_of_several_images_in_a_file_the_first_is_taken_with_a_warning(tmp_path):
    """As ccdproc takes it; amplifiers are put together by the door for raw frames."""
    simulation = EchelleSimulation(shape=(64, 64), n_orders=2).with_bias(300)
    flats, *_ = simulation.write(tmp_path, 2, layout="mef")
    with pytest.warns(AstropyUserWarning, match="extensions 1 AMP1, 2 AMP2, of which the first"):
        assert combine_frames(flats).shape == (64, 64)  # half of the light, and its overscan
    combine_frames(flats, hdu=1)
    with pytest.raises(ValueError, match=r"hdu is \[1, 2\], expected a single HDU; .*Readout"):
        combine_frames(flats, hdu=[1, 2])
    assert combine_frames(Readout().open(flats)).unit == u.electron


def test_weights_of_nothing_are_refused():
    frames = [CCDData(np.ones((4, 5)), unit="adu") for _ in range(3)]
    with pytest.raises(ValueError, match="weights are all 0"):
        combine_frames(frames, weights=[0, 0, 0])


def test_a_result_without_any_value_is_told(random_frames):
    frames = random_frames(3)
    for frame in frames:
        frame.uncertainty = InverseVariance(np.zeros(frame.shape))  # by convention bad pixels
    with pytest.warns(AstropyUserWarning, match="of frame 0 and 2 others has no values: all are"):
        assert combine_frames(frames).mask.all()


def test_output_that_is_not_called_a_fits_file_is_refused(random_frames, tmp_path):
    for name in ("flat.png", "flat.ecsv"):
        with pytest.raises(ValueError, match=f"{name}: the result is a FITS file, expected a name"):
            combine_frames(random_frames(3), tmp_path / name)
    assert not list(tmp_path.iterdir())
