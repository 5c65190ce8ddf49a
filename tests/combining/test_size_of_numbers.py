# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Weights, units and the order of the frames are matters of taste: they change no uncertainty."""

import itertools

import numpy as np
import pytest
from astropy.nddata import CCDData, StdDevUncertainty

from ccdproc_echelle.combining import combine_frames, two_pass_flat_combine
from ccdproc_echelle.frames import open_frames
from ccdproc_echelle.simulation import EchelleSimulation

SMALL = EchelleSimulation(shape=(128, 140), n_orders=3, seed=10).with_level_spread(0.3)
ORDERS = SMALL.truth.orders
WEIGHTS = np.array([1.0, 2, 3, 4, 5, 6])


def assert_alike(found, expected, factor=1.0, *, rtol=1e-4, atol=0):
    """Same mask; value and standard deviation differ by a factor."""
    np.testing.assert_array_equal(found.mask, expected.mask)
    np.testing.assert_allclose(found.data / factor, expected.data, rtol=rtol, atol=atol)
    found, expected = found.uncertainty.array, expected.uncertainty.array
    assert np.mean(expected > 0) > 0.9  # NaN where a single value is left
    np.testing.assert_allclose(found / factor, expected, rtol=rtol, atol=atol)


def with_and_without_uncertainty(*keywords):
    """Pairs for a test, but for weights that need the uncertainties."""
    pairs = itertools.product((None, StdDevUncertainty), keywords)
    return [(kind, each) for kind, each in pairs if kind or "weights" not in each]


@pytest.mark.parametrize("size", [1e-300, 1e-25, 1e18, 1e22, 1e300])
@pytest.mark.parametrize("uncertainty", [None, StdDevUncertainty])
@pytest.mark.parametrize("per_pixel", [False, True])
def test_size_of_weights(random_frames, size, uncertainty, per_pixel):
    frames = random_frames(masked=0.1, uncertainty=uncertainty)
    weights = np.random.default_rng(1).uniform(1, 2, (6, 20, 15)) if per_pixel else WEIGHTS
    assert_alike(combine_frames(frames, weights=weights * size),
                 combine_frames(frames, weights=weights))


@pytest.mark.parametrize("uncertainty", [None, StdDevUncertainty])
def test_a_masked_frame_of_overwhelming_weight(random_frames, uncertainty):
    frames = random_frames(uncertainty=uncertainty)
    frames[0].mask = np.ones(frames[0].shape, dtype=bool)
    heavy = WEIGHTS * [1e30, 1, 1, 1, 1, 1]
    assert_alike(combine_frames(frames, weights=heavy), combine_frames(frames, weights=WEIGHTS))


@pytest.mark.parametrize("size", [1e-25, 1e22])
@pytest.mark.parametrize("uncertainty", [None, StdDevUncertainty])
def test_a_weighted_sum_is_as_large_as_its_weights(random_frames, size, uncertainty):
    frames = random_frames(uncertainty=uncertainty)
    found = combine_frames(frames, method="sum", weights=WEIGHTS * size)
    assert_alike(found, combine_frames(frames, method="sum", weights=WEIGHTS), size)
    expected = size * np.tensordot(WEIGHTS, [f.data.astype(float) for f in frames], axes=1)
    np.testing.assert_allclose(found.data, expected, rtol=1e-6)


@pytest.mark.parametrize("size", [1e-17, 1e-20, 1e-25, 1e12, 1e19])
@pytest.mark.parametrize(("uncertainty", "keywords"), with_and_without_uncertainty(
    {}, {"method": "median"}, {"method": "sum"}, {"weights": "inverse_variance"},
    {"sigma_clip": True, "sigma_clip_low_thresh": 1.5},
))
def test_size_of_the_unit(random_frames, size, uncertainty, keywords):
    frames = random_frames(uncertainty=uncertainty, masked=0.1)
    assert_alike(combine_frames([in_unit(frame, size) for frame in frames], **keywords),
                 combine_frames(frames, **keywords), size)


@pytest.mark.parametrize("size", [1e-17, 1e-20, 1e12])
@pytest.mark.parametrize("uncertainty", [True, False])
def test_size_of_the_unit_of_flats(tmp_path, size, uncertainty):
    flats = SMALL.flats(4, uncertainty=uncertainty)
    paths = [tmp_path / f"{i}.fits" for i in range(4)]
    for flat, path in zip(flats, paths, strict=True):
        in_unit(flat, size).write(path)
    keywords = {"sigma_clip": True, "sigma_clip_low_thresh": 5, "sigma_clip_high_thresh": 5}
    expected = two_pass_flat_combine(flats, ORDERS, **keywords)
    found = two_pass_flat_combine(paths, ORDERS, **keywords)
    assert_alike(found, expected, rtol=1e-3, atol=1e-6)
    assert found.header["LEVEL001"] == pytest.approx(size * expected.header["LEVEL001"], rel=1e-5)


def in_unit(frame, size):
    """The frame in single precision and in a unit in which all numbers are so much larger."""
    uncertainty = frame.uncertainty
    if uncertainty is not None:
        uncertainty = StdDevUncertainty((uncertainty.array * size).astype("f4"))
    data = (frame.data * size).astype("f4")
    return CCDData(data, unit="electron", mask=frame.mask, uncertainty=uncertainty)


@pytest.mark.parametrize("size", [1e-22, 1e22])
@pytest.mark.parametrize("uncertainty", [None, StdDevUncertainty])
def test_size_of_the_scale(random_frames, size, uncertainty):
    frames = random_frames(uncertainty=uncertainty)
    found = combine_frames(frames, scale=np.full(6, size))
    assert_alike(found, combine_frames(frames), size)


def test_only_numbers_out_of_range_need_double_precision(tmp_path):
    rng = np.random.default_rng(0)
    for size, expected in ((1, "f4"), (1e-6, "f4"), (1e9, "f4"), (1e-17, "f8"), (1e20, "f8")):
        ccd = CCDData((rng.normal(0, size, (40, 30))).astype("f4"), unit="adu")
        ccd.data[:, 3] = np.nan
        ccd.data[4] = 0
        path = tmp_path / f"{size}.fits"
        ccd.write(path)
        for (frame,) in (open_frames(ccd), open_frames(path)):
            assert frame.dtype == frame.load().dtype == frame.part(slice(4, 5)).dtype == expected


@pytest.mark.parametrize(("uncertainty", "keywords"), with_and_without_uncertainty(
    {"clip_extrema": True}, {"clip_extrema": True, "nlow": 0, "nhigh": 2},
    {"clip_extrema": True, "method": "median"}, {"clip_extrema": True, "method": "sum"},
    {"clip_extrema": True, "weights": "inverse_variance"},
    {"sigma_clip": True, "sigma_clip_high_thresh": 1},
))
def test_frames_in_another_order(random_frames, uncertainty, keywords):
    frames = random_frames(7, uncertainty=uncertainty, masked=0.1)
    for frame in frames:  # so that most pixels have ties
        frame.data = np.round(frame.data / 30) * 30
    expected = combine_frames(frames, **keywords)
    for order in ([6, 5, 4, 3, 2, 1, 0], [3, 6, 0, 2, 5, 1, 4]):
        found = combine_frames([frames[i] for i in order], **keywords)
        np.testing.assert_allclose(found.data, expected.data, rtol=1e-6)
        np.testing.assert_allclose(
            found.uncertainty.array, expected.uncertainty.array, rtol=1e-5, atol=1e-3
        )
