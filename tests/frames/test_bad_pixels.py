# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Known bad pixels: which they are, and that they come from nowhere into a combination."""

import gzip

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.utils.exceptions import AstropyUserWarning

from ccdproc_echelle import combine_frames, inner_order_scale, two_pass_flat_combine
from ccdproc_echelle.frames import known_bad_pixels, open_frames, without_known_bad
from ccdproc_echelle.simulation import EchelleSimulation

SHAPE = (96, 128)
SIMULATION = EchelleSimulation(shape=SHAPE, n_orders=3).with_level_spread(0.3)
BAD = np.zeros(SHAPE, dtype=bool)
BAD[30:60, 50:56] = True
BAD[10] = True


def contaminated(junk=True):
    flats = SIMULATION.flats(4)
    rng = np.random.default_rng(1)
    for flat in flats if junk else ():
        flat.data[BAD] = rng.uniform(-1e4, 1e5, BAD.sum())
    return flats


def in_file(path, *hdus, name="bpm.fits"):
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path / name)
    return path / name


def image(mask=BAD, name=None):
    return fits.ImageHDU(mask.astype("u1"), name=name)


def compressed(folder):
    plain = in_file(folder, image())
    (folder / "bpm.fits.gz").write_bytes(gzip.compress(plain.read_bytes()))
    return folder / "bpm.fits.gz"


def of_ccddata(folder):
    CCDData(BAD.astype("f4"), unit="", mask=np.zeros_like(BAD)).write(folder / "bpm.fits")
    return str(folder / "bpm.fits")


@pytest.mark.parametrize("given", [
    lambda folder: BAD,
    lambda folder: BAD.tolist(),
    lambda folder: BAD * 1024,
    lambda folder: np.where(BAD, np.nan, 0.0),
    lambda folder: CCDData(BAD.astype("u1"), unit=""),
    lambda folder: CCDData(np.zeros(SHAPE), unit="adu", mask=BAD),
    lambda folder: in_file(folder, image()),
    lambda folder: in_file(folder, fits.CompImageHDU(BAD.astype("i2"))),
    of_ccddata,
    compressed,
], ids=[
    "array", "list", "number", "nan", "CCDData", "mask of CCDData", "extension", "tile-compressed",
    "file of CCDData", "gzip",
])
def test_a_mask_in_any_form(given, tmp_path):
    frames = open_frames(SIMULATION.flats(2))
    np.testing.assert_array_equal(known_bad_pixels(given(tmp_path), frames), BAD)


@pytest.mark.parametrize("hdu", [2, "RED", ("RED", 1)])
def test_of_several_detectors_that_of_the_frames_is_taken(hdu, tmp_path):
    path = in_file(tmp_path, image(~BAD, "BLUE"), image(BAD, "RED"))
    found = known_bad_pixels(path, open_frames(SIMULATION.flats(1)), hdu=hdu)
    np.testing.assert_array_equal(found, BAD)


def test_of_several_detectors_one_must_be_selected(tmp_path):
    path = in_file(tmp_path, image(~BAD, "BLUE"), image(BAD, "RED"))
    with pytest.warns(AstropyUserWarning) as caught:
        known_bad_pixels(path, open_frames(SIMULATION.flats(1)))
    assert "1 BLUE, 2 RED, of which the first is used" in str(caught[0].message)


def test_a_masked_array():
    given = np.ma.masked_array(np.zeros(SHAPE), mask=BAD)
    np.testing.assert_array_equal(known_bad_pixels(given, open_frames(SIMULATION.flats(1))), BAD)


def test_a_mask_without_bad_pixels_is_suspicious():
    with pytest.warns(AstropyUserWarning, match="bad_pixel_mask marks no pixel as bad"):
        known_bad_pixels(np.zeros(SHAPE), open_frames(SIMULATION.flats(1)))


@pytest.mark.parametrize(("given", "error", "message"), [
    (BAD[:5], ValueError, r"bad_pixel_mask has shape \(5, 128\), .* of frame 0, \(96, 128\)"),
    (BAD[0], ValueError, r"bad_pixel_mask has shape \(128,\), expected a 2-D image"),
    (np.ones(SHAPE), ValueError, "bad_pixel_mask marks every pixel as bad"),
    ({"rows": 3}, TypeError, "bad_pixel_mask is a dict, expected an array"),
    ("no_such.fits", FileNotFoundError, "no_such.fits"),
])
@pytest.mark.parametrize("combine", [
    combine_frames,
    lambda flats, **keywords: two_pass_flat_combine(flats, SIMULATION.truth.orders, **keywords),
])
def test_what_is_no_mask_of_these_frames(combine, given, error, message):
    with pytest.raises(error, match=message):
        combine(SIMULATION.flats(2), bad_pixel_mask=given)


def test_a_file_of_another_shape_is_named(tmp_path):
    path = in_file(tmp_path, image(BAD[:, :9]))
    with pytest.raises(ValueError, match=rf"{path} has shape \(96, 9\), .* \(96, 128\)"):
        combine_frames(SIMULATION.flats(2), bad_pixel_mask=path)


def test_what_is_no_fits_file_is_named(tmp_path):
    path = tmp_path / "bpm.fits"
    path.write_text("column 5\n")
    with pytest.raises(OSError, match=str(path)):
        combine_frames(SIMULATION.flats(2), bad_pixel_mask=path)


def test_an_inverted_mask_is_suspicious():
    with pytest.warns(AstropyUserWarning, match="9.% of the pixels as bad: is it inverted"):
        combine_frames(SIMULATION.flats(2), bad_pixel_mask=~BAD)


@pytest.mark.parametrize("scale", [None, inner_order_scale(SIMULATION.truth.orders)])
def test_bad_pixels_do_not_enter_a_combination(scale):
    found, expected = (
        combine_frames(contaminated(junk), scale=scale, sigma_clip=True, bad_pixel_mask=BAD)
        for junk in (True, False)
    )
    np.testing.assert_array_equal(found.mask, BAD)
    np.testing.assert_array_equal(found.data, expected.data)
    np.testing.assert_array_equal(found.uncertainty.array, expected.uncertainty.array)


def test_bad_pixels_do_not_enter_levels():
    found, expected = (
        two_pass_flat_combine(contaminated(junk), SIMULATION.truth.orders, bad_pixel_mask=BAD)
        for junk in (True, False)
    )
    np.testing.assert_array_equal(found.data, expected.data)
    np.testing.assert_array_equal(found.mask, BAD)
    assert found.header["LEVEL001"] == expected.header["LEVEL001"]


@pytest.mark.parametrize("executor", ["serial", "processes"])
@pytest.mark.parametrize("mem_limit", [16e9, 1e5])
def test_whoever_works_within_whatever_memory(executors, executor, mem_limit, tmp_path):
    flats = contaminated()
    files = [tmp_path / f"{i}.fits" for i in range(4)]
    for flat, path in zip(flats, files, strict=True):
        flat.write(path)
    orders = SIMULATION.truth.orders
    found = two_pass_flat_combine(
        files, orders, bad_pixel_mask=in_file(tmp_path, image()),
        executor=executors(executor), mem_limit=mem_limit,
    )
    expected = two_pass_flat_combine(flats, orders, bad_pixel_mask=BAD)
    np.testing.assert_array_equal(found.data, expected.data)
    np.testing.assert_array_equal(found.mask, BAD)


def test_masks_of_frames_remain_and_frames_are_not_changed():
    flats = contaminated()
    own = np.zeros(SHAPE, dtype=bool)
    own[3, 4] = True
    flats[0].mask = own
    before = flats[0].copy()
    frame = without_known_bad(open_frames(flats[:1]), BAD)[0]
    np.testing.assert_array_equal(frame.ccddata().mask, BAD | own)
    np.testing.assert_array_equal(frame.load().section(slice(None)).good, ~(BAD | own))
    np.testing.assert_array_equal(flats[0].mask, before.mask)
    np.testing.assert_array_equal(flats[0].data, before.data)


def test_copies_are_found_behind_a_mask():
    flats = contaminated()
    with pytest.warns(AstropyUserWarning, match="frame 4 is a copy of frame 1"):
        combine_frames([*flats, flats[1].copy()], bad_pixel_mask=BAD)


def test_the_mask_is_never_the_output(tmp_path):
    path = in_file(tmp_path, image())
    before = path.read_bytes()
    with pytest.raises(ValueError, match="bpm.fits: it is the input"):
        combine_frames(SIMULATION.flats(2), path, bad_pixel_mask=path, overwrite_output=True)
    assert path.read_bytes() == before
