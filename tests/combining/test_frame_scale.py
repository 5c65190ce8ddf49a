# Licensed under a 3-clause BSD style license - see LICENSE.rst
import pickle

import ccdproc
import numpy as np
import pytest
from astropy.nddata import CCDData
from astropy.stats import SigmaClip

from ccdproc_echelle.combining.frame_scale import inner_order_scale
from ccdproc_echelle.combining.levels import measure_exposure_levels
from ccdproc_echelle.orders import EchelleOrderTable, WrongOrderTableError
from ccdproc_echelle.simulation import EchelleSimulation

SMALL = EchelleSimulation(shape=(256, 256), n_orders=5, seed=3).with_level_spread(0.35)


def one_order(shape=(40, 30), row=20):
    return EchelleOrderTable.from_polynomials([1], [[row]], shape=shape, dispersion_axis=1)


@pytest.fixture(scope="module")
def small_frames():
    return SMALL.flats(5)


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
    with pytest.raises(TypeError, match="mask is a str, expected an array of True and False"):
        inner_order_scale(one_order(), mask="mask.fits")
    scale = inner_order_scale(one_order())
    with pytest.raises(ValueError, match="no good pixel within the window of 10 pixels"):
        scale(np.full((40, 30), np.nan))
    for level in (0.0, -1.0):
        with pytest.raises(ValueError, match=f"exposure level of the frame is {level}, expected"):
            scale(np.full((40, 30), level))


@pytest.mark.parametrize("layer", ["nothing else", "scattered light"])
def test_second_pass_written_with_ccdproc(layer):
    simulation = SMALL if layer == "nothing else" else SMALL.with_scattered_light(0.01)
    frames, scale = simulation.flats(6), inner_order_scale(SMALL.truth.orders)
    first = ccdproc.combine(frames, scale=scale)
    levels = []
    for frame in frames:
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = frame.data / first.data  # between the orders noise of either sign
        levels.append(1 / scale(ratio))
    truth = simulation.truth.levels(6)
    np.testing.assert_allclose(levels / np.mean(levels), truth / truth.mean(), rtol=2e-3)


def test_noise_between_the_orders_hides_no_wrong_table():
    frames = SMALL.flats(6)
    ratio = frames[0].data / np.median([frame.data for frame in frames], axis=0)
    orders = EchelleOrderTable.from_polynomials(
        [1, 2, 3], [[50], [105], [201]], shape=ratio.shape, dispersion_axis=1
    )
    with pytest.raises(WrongOrderTableError):
        inner_order_scale(orders)(ratio)


@pytest.mark.parametrize("sigma_clip", [True, None, 5])
def test_sigma_clip_is_no_switch(sigma_clip):
    orders, said = SMALL.truth.orders, f"sigma_clip is {sigma_clip}, expected .*SigmaClip"
    with pytest.raises(TypeError, match=said):
        inner_order_scale(orders, sigma_clip=sigma_clip)
    with pytest.raises(TypeError, match=said):
        measure_exposure_levels("no_such_file.fits", orders, sigma_clip=sigma_clip)
