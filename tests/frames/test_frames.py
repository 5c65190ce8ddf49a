# Licensed under a 3-clause BSD style license - see LICENSE.rst
import gzip
import logging
import os
import pickle
import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import (
    CCDData,
    InverseVariance,
    StdDevUncertainty,
    UnknownUncertainty,
    VarianceUncertainty,
)
from astropy.utils.exceptions import AstropyUserWarning
from ccdproc import ImageFileCollection

from ccdproc_echelle.frames import (
    inverse_variance_weights,
    open_frames,
    uncertainty_array,
    uncompressed,
    variance_array,
)

SHAPE = (12, 7)
UNCERTAINTIES = [StdDevUncertainty, VarianceUncertainty, InverseVariance]


def image(seed=0, dtype=np.float32):
    return np.random.default_rng(seed).uniform(100, 60000, SHAPE).astype(dtype)


def variances(seed=1):
    return np.random.default_rng(seed).uniform(1, 9, SHAPE).astype(np.float32)


def ccd_with_everything(kind=StdDevUncertainty):
    mask = np.zeros(SHAPE, dtype=bool)
    mask[3, 4] = True
    uncertainty = kind(uncertainty_array(variances(), kind))
    return CCDData(image(), unit="adu", mask=mask, uncertainty=uncertainty)


@pytest.fixture
def raw_files(tmp_path):
    """Three raw frames as a detector writes them: uint16 with BZERO, unit in the header."""
    paths = [tmp_path / f"raw_{i}.fits" for i in range(3)]
    for i, path in enumerate(paths):
        header = fits.Header([("BUNIT", "adu"), ("IMAGETYP", "FLAT")])
        fits.writeto(path, image(i, np.uint16), header)
    return paths


def section_of(frame, rows):
    """Some rows of a frame, read or cut."""
    return frame.part(rows).load().section(slice(None))


def assert_rows_are_those_of_ccddata(frame, expected: CCDData):
    """Every way to cut the rows gives the slices of the whole frame."""
    good = np.isfinite(expected.data)
    if expected.mask is not None:
        good &= ~expected.mask
    assert frame.shape == expected.shape
    assert frame.unit == expected.unit
    for rows in (slice(0, 12), slice(0, 5), slice(5, 11), slice(11, 12)):
        section = section_of(frame, rows)
        assert section.data.dtype == frame.dtype
        np.testing.assert_array_equal(section.data, expected.data[rows])
        np.testing.assert_array_equal(section.good, good[rows])
        if expected.uncertainty is None:
            assert section.variance is None
        else:
            variance = variance_array(
                expected.uncertainty.array, type(expected.uncertainty)
            )[rows]
            np.testing.assert_allclose(section.variance, variance, rtol=1e-6)


# ------------------------------------------------------------------------------ kinds of input


@pytest.mark.parametrize(
    "listed",
    [
        lambda paths: paths,
        lambda paths: tuple(str(path) for path in paths),
        lambda paths: np.array([str(path) for path in paths]),
        lambda paths: iter(paths),
        lambda paths: ",".join(str(path) for path in paths),
        lambda paths: " , ".join(str(path) for path in paths) + ",",
        lambda paths: ImageFileCollection(paths[0].parent, glob_include="raw_*.fits"),
        lambda paths: [paths[0], str(paths[1]), CCDData(image(2, np.uint16), unit="adu")],
    ],
    ids=["paths", "names", "array", "iterator", "string", "loose string", "collection", "mixed"],
)
def test_every_list_of_frames(raw_files, listed):
    frames = open_frames(listed(raw_files))
    assert len(frames) == 3
    for i, frame in enumerate(frames):
        np.testing.assert_array_equal(section_of(frame, slice(0, 12)).data, image(i, np.uint16))
        assert frame.unit == u.adu


def test_a_filtered_collection(raw_files):
    collection = ImageFileCollection(raw_files[0].parent).filter(imagetyp="flat")
    assert [frame.name for frame in open_frames(collection)] == [str(p) for p in raw_files]


@pytest.mark.parametrize("single", [str, lambda path: path, CCDData.read])
def test_a_single_frame_needs_no_list(raw_files, single):
    assert len(open_frames(single(raw_files[0]))) == 1


def test_names(raw_files):
    frames = open_frames([raw_files[0], CCDData(image(), unit="adu")])
    assert [frame.name for frame in frames] == [str(raw_files[0]), "frame 1"]


# ---------------------------------------------------------------------------- kinds of file


@pytest.mark.parametrize(
    ("stored", "computed"),
    [
        (np.uint8, np.float32), (np.int16, np.float32), (np.uint16, np.float32),
        (np.int32, np.float64), (np.uint32, np.float64), (np.float32, np.float32),
        (np.float64, np.float64),
    ],
)
def test_every_stored_type(tmp_path, stored, computed):
    path = tmp_path / "frame.fits"
    data = image(dtype=stored) if stored != np.int16 else image(dtype=np.uint16).astype(np.int16)
    fits.writeto(path, data, fits.Header([("BUNIT", "adu")]))
    (frame,) = open_frames(path)
    assert frame.dtype == computed
    assert_rows_are_those_of_ccddata(frame, CCDData.read(path))
    (in_memory,) = open_frames(CCDData(data, unit="adu"))
    assert in_memory.dtype == computed


def test_gzip(raw_files, tmp_path):
    path = tmp_path / "frame.fits.gz"
    with raw_files[0].open("rb") as plain, gzip.open(path, "wb") as packed:
        shutil.copyfileobj(plain, packed)
    (frame,) = open_frames(path)
    assert_rows_are_those_of_ccddata(frame, CCDData.read(raw_files[0]))
    with uncompressed([frame]) as (unpacked,):
        assert unpacked.name == frame.name
        assert unpacked.path.read_bytes() == raw_files[0].read_bytes()
        assert_rows_are_those_of_ccddata(unpacked, CCDData.read(raw_files[0]))
    assert not unpacked.path.exists()


def test_only_compressed_files_are_unpacked(raw_files):
    frames = [*open_frames(raw_files[0]), *open_frames(CCDData(image(), unit="adu"))]
    with uncompressed(frames) as same:
        assert all(a is b for a, b in zip(same, frames, strict=True))


@pytest.mark.parametrize("source", ["file", "memory"])
def test_parts_of_parts(raw_files, source):
    (frame,) = open_frames(raw_files[0] if source == "file" else CCDData.read(raw_files[0]))
    whole = CCDData.read(raw_files[0]).data
    part = frame.part(slice(2, 10))
    assert part.shape == (8, whole.shape[1])
    np.testing.assert_array_equal(part.part(slice(3, 5)).load().ccd.data, whole[5:7])


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_tile_compression(tmp_path, dtype):
    path = tmp_path / "frame.fits.fz"
    compression = "RICE_1" if dtype == np.uint16 else "GZIP_1"
    header = fits.Header([("BUNIT", "adu")])
    packed = fits.CompImageHDU(
        image(dtype=dtype), header, compression_type=compression, quantize_level=0
    )
    fits.HDUList([fits.PrimaryHDU(), packed]).writeto(path)
    (frame,) = open_frames(path)
    assert frame.dtype == np.float32
    assert_rows_are_those_of_ccddata(frame, CCDData(image(dtype=dtype), unit="adu"))
    # CCDData.read alone does not find it behind an empty primary HDU
    np.testing.assert_array_equal(frame.ccddata().data, image(dtype=dtype))
    assert open_frames(path, unit="electron")[0].ccddata().unit == u.electron


def test_a_tile_compressed_frame_is_unpacked_once(tmp_path):
    path = tmp_path / "frame.fits.fz"
    mask, sigma = image(1) > np.median(image(1)), np.abs(image(2)) + 1
    header = fits.Header([("BUNIT", "adu"), ("OBJECT", "lamp")])
    packed = fits.CompImageHDU(image(dtype=np.uint16), header)
    parts = [
        fits.ImageHDU(mask.astype("u1"), name="MASK"),
        fits.CompImageHDU(sigma, name="UNCERT", quantize_level=0, compression_type="GZIP_1"),
    ]
    fits.HDUList([fits.PrimaryHDU(), packed, *parts]).writeto(path)
    (frame,) = open_frames(path)
    expected = frame.ccddata()
    with uncompressed([frame]) as (unpacked,):
        path.unlink()
        assert_rows_are_those_of_ccddata(unpacked, expected)
        assert unpacked.header["OBJECT"] == "lamp"
        assert (unpacked.quantum, unpacked.dtype) == (frame.quantum, frame.dtype)
        assert unpacked.file == str(path)


@pytest.mark.parametrize("hdu", [2, "RED", ("RED", 1)])
def test_extensions_are_chosen_with_hdu(tmp_path, hdu):
    path = tmp_path / "frame.fits"
    blue, red = (
        fits.ImageHDU(image(i), fits.Header([("BUNIT", "adu")]), name=name)
        for i, name in enumerate(["BLUE", "RED"])
    )
    fits.HDUList([fits.PrimaryHDU(), blue, red]).writeto(path)
    (frame,) = open_frames(path, hdu=hdu)
    np.testing.assert_array_equal(section_of(frame, slice(0, 12)).data, image(1))
    np.testing.assert_array_equal(frame.ccddata().data, image(1))
    # an empty primary HDU: the first image
    with pytest.warns(AstropyUserWarning, match="1 BLUE, 2 RED, of which the first is used"):
        (frame,) = open_frames(path)
    np.testing.assert_array_equal(section_of(frame, slice(0, 12)).data, image(0))
    np.testing.assert_array_equal(frame.ccddata().data, image(0))


@pytest.mark.parametrize("kind", UNCERTAINTIES)
def test_masks_and_uncertainties_are_read(tmp_path, kind):
    path = tmp_path / "frame.fits"
    ccd = ccd_with_everything(kind)
    ccd.write(path)
    (frame,) = open_frames(path)
    assert frame.uncertainty_type is kind
    assert_rows_are_those_of_ccddata(frame, ccd)
    np.testing.assert_allclose(section_of(frame, slice(0, 12)).variance, variances(), rtol=1e-6)


def test_other_names_of_the_extensions(tmp_path):
    path = tmp_path / "frame.fits"
    ccd = ccd_with_everything(VarianceUncertainty)
    names = {"hdu_mask": "DQ", "hdu_uncertainty": "ERR", "key_uncertainty_type": "KIND"}
    ccd.write(path, **names)
    (frame,) = open_frames(path, **names)
    assert_rows_are_those_of_ccddata(frame, ccd)
    (frame,) = open_frames(path)
    assert frame.uncertainty_type is None
    assert section_of(frame, slice(0, 12)).good.all()


def test_extensions_can_be_ignored(tmp_path):
    path = tmp_path / "frame.fits"
    ccd_with_everything().write(path)
    (frame,) = open_frames(path, hdu_mask=None, hdu_uncertainty=None)
    assert frame.uncertainty_type is None
    assert section_of(frame, slice(0, 12)).good.all()


def test_a_file_frame_can_be_sent_to_another_process(raw_files):
    frame = pickle.loads(pickle.dumps(open_frames(raw_files)[1]))
    np.testing.assert_array_equal(section_of(frame, slice(2, 4)).data, image(1, np.uint16)[2:4])


# -------------------------------------------------------------------------------------- units


@pytest.mark.parametrize(
    ("written", "unit"),
    [("adu", u.adu), ("ADU", u.adu), (" adu", u.adu), ("ELECTRON", u.electron),
     ("electrons", u.electron), ("e-", u.electron), ("counts", u.count), ("DN", u.DN),
     ("electron / s", u.electron / u.s), ("e-/s", u.electron / u.s),
     ("", u.dimensionless_unscaled)],
)
def test_unit_of_the_header(tmp_path, written, unit):
    path = tmp_path / "frame.fits"
    fits.writeto(path, image(), fits.Header([("BUNIT", written)]))
    (frame,) = open_frames(path)
    assert frame.unit == unit
    assert frame.ccddata().unit == unit


@pytest.mark.parametrize("unit", ["electron", u.electron])
def test_unit_keyword_comes_first(raw_files, unit, caplog):
    with caplog.at_level(logging.WARNING):
        (frame,) = open_frames(raw_files[0], unit=unit)
        assert frame.unit == u.electron
        assert frame.ccddata().unit == u.electron


def test_no_unit(tmp_path, caplog):
    path = tmp_path / "frame.fits"
    fits.writeto(path, image())
    with caplog.at_level("INFO", logger="ccdproc_echelle"):
        (frame,) = open_frames(path)
    assert frame.unit == frame.ccddata().unit == u.adu
    assert "frame.fits taken to be in adu: no BUNIT" in caplog.text
    (frame,) = open_frames(path, unit="electron")
    assert frame.unit == frame.ccddata().unit == u.electron


def test_integers_with_a_blank_unit_are_adu(tmp_path):
    path = tmp_path / "frame.fits"
    fits.writeto(path, image().astype("u2"), fits.Header([("BUNIT", "  ")]))
    (frame,) = open_frames(path)
    assert frame.unit == frame.ccddata().unit == u.adu


def test_unit_card_without_a_value(tmp_path):
    path = tmp_path / "frame.fits"
    fits.writeto(path, image(), fits.Header([("BUNIT", None), ("OBJECT", "lamp")]))
    (frame,) = open_frames(path)
    ccd = frame.ccddata()
    assert frame.unit == ccd.unit == u.adu
    assert "BUNIT" not in ccd.header
    assert ccd.header["OBJECT"] == "lamp"


@pytest.mark.parametrize("hdu", [0, 1, "SCI"])
def test_unit_in_the_primary_header(tmp_path, hdu):
    path = tmp_path / "frame.fits"
    primary = fits.PrimaryHDU(header=fits.Header([("BUNIT", "electron")]))
    fits.HDUList([primary, fits.ImageHDU(image(), name="SCI")]).writeto(path)
    (frame,) = open_frames(path, hdu=hdu)
    assert frame.unit == frame.ccddata().unit == u.electron


def test_unknown_unit(tmp_path):
    path = tmp_path / "frame.fits"
    fits.writeto(path, image(), fits.Header([("BUNIT", "blurbs")]))
    with pytest.raises(ValueError, match=r"frame\.fits has BUNIT = 'blurbs'.*; give unit="):
        open_frames(path)


@pytest.mark.parametrize(
    ("kind", "unit"),
    [(StdDevUncertainty, u.electron), (VarianceUncertainty, u.electron**2),
     (InverseVariance, u.electron**-2)],
)
def test_uncertainty_in_another_unit(kind, unit):
    kilo = CCDData(image(), unit=1000 * u.electron)
    kilo.uncertainty = kind(uncertainty_array(variances(), kind) * 1.0, unit=unit)
    (frame,) = open_frames(kilo)
    np.testing.assert_allclose(
        section_of(frame, slice(0, 12)).variance, variances() * 1e-6, rtol=1e-6
    )


def test_uncertainty_in_a_unit_that_is_larger_by_far():
    tiny = CCDData(image(), unit=1e-17 * u.Jy)
    tiny.uncertainty = StdDevUncertainty((np.sqrt(variances()) * 1e-20).astype("f4"), unit=u.Jy)
    (frame,) = open_frames(tiny)
    np.testing.assert_allclose(
        section_of(frame, slice(0, 12)).variance, variances() * 1e-6, rtol=1e-5
    )


def test_uncertainty_without_a_unit_is_in_that_of_the_frame():
    ccd = CCDData(image(), unit=u.electron, uncertainty=VarianceUncertainty(variances()))
    ccd.uncertainty.unit = None
    (frame,) = open_frames(ccd)
    np.testing.assert_array_equal(frame.section(slice(None)).variance, variances())


# ------------------------------------------------------------------------------ in memory


@pytest.mark.parametrize("kind", UNCERTAINTIES)
def test_frames_in_memory(kind):
    ccd = ccd_with_everything(kind)
    (frame,) = open_frames([ccd])
    assert frame.uncertainty_type is kind
    assert_rows_are_those_of_ccddata(frame, ccd)
    assert frame.ccddata() is ccd


def test_frames_in_memory_are_not_copied():
    ccd = ccd_with_everything(VarianceUncertainty)
    section = section_of(open_frames([ccd])[0], slice(2, 9))
    assert np.shares_memory(section.data, ccd.data)


def test_frames_in_memory_are_not_changed():
    ccd = ccd_with_everything()
    ccd.data[0, 0] = np.nan
    before = ccd.copy()
    section_of(open_frames([ccd])[0], slice(0, 12))
    np.testing.assert_array_equal(ccd.data, before.data)
    np.testing.assert_array_equal(ccd.mask, before.mask)
    np.testing.assert_array_equal(ccd.uncertainty.array, before.uncertainty.array)


def test_what_is_not_finite_is_not_good_but_for_an_unknown_uncertainty():
    ccd = ccd_with_everything()
    ccd.data[0, :2] = np.nan, np.inf
    ccd.uncertainty.array[1, :2] = np.nan, np.inf
    good = section_of(open_frames([ccd])[0], slice(0, 12)).good
    assert np.argwhere(~good).tolist() == [[0, 0], [0, 1], [1, 1], [3, 4]]


def test_inverse_variance_zero_is_not_good():
    ccd = CCDData(image(), unit="adu", uncertainty=InverseVariance(1 / variances()))
    ccd.uncertainty.array[5, 5] = 0
    good = section_of(open_frames([ccd])[0], slice(0, 12)).good
    assert np.argwhere(~good).tolist() == [[5, 5]]


@pytest.mark.parametrize("kind", UNCERTAINTIES)
def test_variance_and_uncertainty_arrays_are_inverse_functions(kind):
    array = uncertainty_array(np.array([4.0, 0.25]), kind)
    np.testing.assert_array_equal(variance_array(np.asarray(array), kind), [4, 0.25])
    expected = {StdDevUncertainty: [2, 0.5], VarianceUncertainty: [4, 0.25],
                InverseVariance: [0.25, 4]}
    np.testing.assert_array_equal(array, expected[kind])


# ---------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("nothing", [[], "", " , ", ()])
def test_no_frames(nothing):
    with pytest.raises(ValueError, match="img_list holds no frames"):
        open_frames(nothing)


def test_a_collection_of_nothing(tmp_path):
    with pytest.warns(AstropyUserWarning, match="no FITS files"):
        nothing = ImageFileCollection(tmp_path)
    with pytest.raises(ValueError, match="img_list holds no frames"):
        open_frames(nothing)


@pytest.mark.parametrize(
    ("img_list", "message"),
    [
        (None, "img_list is a NoneType; expected file names, CCDData"),
        (3, "img_list is a int; expected file names, CCDData"),
        ([3], "img_list holds a int; expected file names or CCDData"),
        (np.ones((4, 4)), "img_list holds a ndarray; expected file names or CCDData"),
    ],
)
def test_neither_names_nor_frames(img_list, message):
    with pytest.raises(TypeError, match=message):
        open_frames(img_list)


def test_different_shapes(raw_files):
    odd = CCDData(np.ones((12, 8)), unit="adu")
    message = r"frame 1 has shape \(12, 8\), but .*raw_0\.fits has \(12, 7\)"
    with pytest.raises(ValueError, match=message):
        open_frames([raw_files[0], odd])


@pytest.mark.parametrize("unit, named", [("electron", "electron"), ("", "dimensionless")])
def test_different_units(raw_files, unit, named):
    odd = CCDData(image(), unit=unit)
    with pytest.raises(ValueError, match=rf"frame 1 has unit {named}, but .*raw_0\.fits has adu"):
        open_frames([raw_files[0], odd])


def test_a_master_flat_among_raw_frames_is_told_as_such(raw_files):
    header = {"NCOMBINE": 5, "IMAGETYP": "master flat"}
    master = CCDData(image(), unit="adu", header=header)
    with pytest.warns(AstropyUserWarning, match="^frame 1 is a master flat, unlike the rest"):
        open_frames([raw_files[0], master])
    flat = CCDData(image(), unit="", header=header)
    message = "frame 1, which is a master flat, has unit dimensionless"
    with pytest.raises(ValueError, match=message), pytest.warns(AstropyUserWarning):
        open_frames([raw_files[0], flat])


def test_combined_frames_of_both_kinds_are_one_warning(raw_files):
    master = CCDData(image(), unit="adu", header={"NCOMBINE": 5, "IMAGETYP": "master flat"})
    combined = CCDData(image(), unit="adu", meta={"combined": True})
    with pytest.warns(AstropyUserWarning) as told:
        open_frames([raw_files[0], master, combined])
    assert len(told) == 1
    assert "frame 1 is a master flat and frame 2 is combined" in str(told[0].message)


def test_combined_frame_among_single_ones_is_warned_of_once(raw_files):
    combined = CCDData(image(), unit="adu", meta={"combined": True})
    with pytest.warns(AstropyUserWarning, match="^frame 1 is combined from other frames"):
        frames = open_frames([raw_files[0], combined])
    open_frames(frames)
    open_frames([combined, combined])


@pytest.mark.parametrize("shape", [(5,), (2, 5, 5), (0, 5)])
def test_not_an_image(shape):
    with pytest.raises(ValueError, match=r"frame 0 has shape .*, expected a 2-D image"):
        open_frames([CCDData(np.ones(shape), unit="adu")])


def test_a_cube_in_a_file(tmp_path):
    path = tmp_path / "cube.fits"
    fits.writeto(path, np.ones((2, 5, 5)), fits.Header([("BUNIT", "adu")]))
    with pytest.raises(ValueError, match=r"cube\.fits has shape \(2, 5, 5\), expected a 2-D"):
        open_frames(path)


@pytest.mark.parametrize(
    ("scaled", "compressed"), [(False, False), (True, False), (False, True)]
)
def test_a_cube_of_one_plane_is_an_image(tmp_path, scaled, compressed):
    path, plane = tmp_path / "camera.fits", 2 * np.arange(20, dtype="i2").reshape(4, 5)
    hdu = fits.PrimaryHDU(plane[np.newaxis])
    hdu.header["BUNIT"] = "adu"
    if scaled:
        hdu.scale("int16", bscale=2)
    if compressed:
        hdu = fits.CompImageHDU(plane[np.newaxis], hdu.header)
    fits.HDUList([fits.PrimaryHDU(), hdu] if compressed else [hdu]).writeto(path)
    (frame,) = open_frames(path)
    ccd = frame.ccddata()
    assert frame.shape == ccd.shape == (4, 5)
    assert "NAXIS3" not in ccd.header
    np.testing.assert_array_equal(ccd.data, plane)
    np.testing.assert_array_equal(section_of(frame, slice(1, 3)).data, plane[1:3])
    with uncompressed([frame]) as (unpacked,):
        np.testing.assert_array_equal(section_of(unpacked, slice(1, 3)).data, plane[1:3])


def test_complex_data():
    with pytest.raises(ValueError, match="frame 0 holds complex64, expected real numbers"):
        open_frames([CCDData(image() * 1j, unit="adu")])


@pytest.mark.parametrize("in_memory", [True, False])
def test_negative_uncertainty(tmp_path, in_memory):
    ccd = ccd_with_everything()
    ccd.uncertainty.array[2, 2] = -4
    path = tmp_path / "frame.fits"
    ccd.write(path)
    (frame,) = open_frames(ccd if in_memory else path)
    section_of(frame, slice(4, 8))
    with pytest.raises(ValueError, match=r"has a negative uncertainty, -4\.0; expected >= 0"):
        section_of(frame, slice(0, 4))


def test_unknown_uncertainty_counts_as_none():
    ccd = CCDData(image(), unit="adu", uncertainty=UnknownUncertainty(-image()))
    (frame,) = open_frames(ccd)
    assert frame.uncertainty_type is None
    section = section_of(frame, slice(0, 4))
    assert section.variance is None and section.good.all()


class MysteriousUncertainty(UnknownUncertainty):
    """One of which nothing is known here."""


def test_uncertainty_of_another_class():
    ccd = CCDData(image(), unit="adu", uncertainty=MysteriousUncertainty(image()))
    with pytest.raises(ValueError, match="frame 0 has uncertainties of type MysteriousUncertain"):
        open_frames([ccd])


@pytest.mark.parametrize("value", [3.0, None, np.ones((12, 1))])
def test_an_uncertainty_that_is_not_an_image(value):
    ccd = CCDData(image(), unit="adu")
    ccd.uncertainty = StdDevUncertainty(value)
    with pytest.raises(ValueError, match=r"uncertainty of frame 0 has shape .*, expected"):
        open_frames([ccd])


def test_values_have_equal_weights_where_no_variance_is_known():
    frames = open_frames([CCDData(np.ones((1, 3)), unit="adu")] * 2)
    variances = np.array([[np.nan, np.nan, 4.0], [np.nan, np.nan, np.nan]])
    good = np.array([[True, True, True], [True, False, True]])
    weights = inverse_variance_weights(frames, variances, good)
    np.testing.assert_array_equal(weights, [[1, 1, 0.25], [1, 0, 0]])


def test_inverse_variance_weights():
    frames = open_frames([CCDData(np.ones((1, 3)), unit="adu") for _ in range(2)])
    variances = np.array([[4, 0, np.nan], [0.5, 1, 2]])
    good = np.array([[True, False, False], [True, True, True]])
    weights = inverse_variance_weights(frames, variances, good)
    np.testing.assert_array_equal(weights, [[0.25, 0, 0], [2, 1, 0.5]])
    exact = "frame 0 has a pixel with uncertainty 0 that is not masked"
    with pytest.raises(ValueError, match=exact):
        inverse_variance_weights(frames, variances, np.ones((2, 3), dtype=bool))


def test_missing_file(raw_files, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such file: .*nowhere\.fits"):
        open_frames([raw_files[0], tmp_path / "nowhere.fits"])


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(IsADirectoryError, match=f"{tmp_path} is a folder; expected files"):
        open_frames([tmp_path])


def test_brackets_in_the_name_of_a_folder_are_no_pattern(tmp_path):
    folder = tmp_path / "night [1] \u00e9" / "raw"
    folder.mkdir(parents=True)
    for name in ("b.fits", "a.fits"):
        fits.writeto(folder / name, image(), fits.Header([("BUNIT", "adu")]))
    assert [f.path.name for f in open_frames(folder / "[ab]*.fits")] == ["a.fits", "b.fits"]


def test_patterns_are_the_files_that_match(tmp_path):
    for name in ("flat_b.fits", "flat_a.fits", "dark.fits"):
        fits.writeto(tmp_path / name, image(), fits.Header([("BUNIT", "adu")]))
    frames = open_frames(f"{tmp_path}/flat_*.fits, {tmp_path}/dark.fits")
    assert [Path(frame.name).name for frame in frames] == [
        "flat_a.fits", "flat_b.fits", "dark.fits"]
    (tmp_path / "flat_[1].fits").write_bytes((tmp_path / "dark.fits").read_bytes())
    assert len(open_frames(tmp_path / "flat_[1].fits")) == 1  # a file of just this name
    with pytest.raises(FileNotFoundError, match=r"no file matches .*/flatt_\*"):
        open_frames(f"{tmp_path}/flatt_*")


@pytest.mark.parametrize("content", [b"", b"not a FITS file", b"SIMPLE  =" + 3000 * b" "])
def test_not_a_fits_file(tmp_path, content):
    path = tmp_path / "frame.fits"
    path.write_bytes(content)
    with pytest.raises(OSError, match=r"frame\.fits cannot be read"):
        open_frames([path])


def test_truncated_file(tmp_path):
    path = tmp_path / "frame.fits"
    fits.writeto(path, np.ones((300, 300), np.float32), fits.Header([("BUNIT", "adu")]))
    path.write_bytes(path.read_bytes()[:200_000])
    message = r"frame\.fits is truncated: it has 200000 bytes, expected 362880"
    with pytest.raises(OSError, match=message):
        open_frames([path])


def test_a_file_may_lack_the_padding_of_its_last_block(tmp_path):
    path = tmp_path / "frame.fits"
    data = np.random.default_rng(0).integers(0, 60000, (300, 301)).astype(np.uint16)
    fits.writeto(path, data, fits.Header([("BUNIT", "adu")]))
    path.write_bytes(path.read_bytes()[: 2880 + data.nbytes])
    with pytest.warns(AstropyUserWarning, match=r"frame\.fits: .* all pixels are there, but check"):
        frame, = open_frames([path])
    np.testing.assert_array_equal(frame.load().section(slice(None)).data, data)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(OSError, match=r"frame\.fits is truncated"):
        open_frames([path])


def test_a_file_that_is_not_simple(tmp_path):
    path = tmp_path / "frame.fits"
    fits.writeto(path, image())
    true = b"=" + b"T".rjust(21)
    path.write_bytes(path.read_bytes().replace(true, true.replace(b"T", b"F"), 1))
    with pytest.raises(OSError, match=r"frame\.fits is not a standard FITS file: its first card"):
        open_frames([path])


def test_truncated_extension(tmp_path):
    path = tmp_path / "frame.fits"
    ccd_with_everything().write(path)
    path.write_bytes(path.read_bytes()[:-2880])
    with pytest.raises(OSError, match=r"frame\.fits is truncated"):
        open_frames([path])


def test_zip_archive(raw_files, tmp_path):
    path = tmp_path / "frame.fits.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(raw_files[0], "frame.fits")
    (frame,) = open_frames(path)
    assert_rows_are_those_of_ccddata(frame, CCDData.read(raw_files[0]))
    with uncompressed([frame]) as (unpacked,):
        assert unpacked.path.read_bytes() == raw_files[0].read_bytes()


def test_threads_do_not_mix_up_what_hcompress_has_packed(tmp_path):
    images = np.random.default_rng(0).normal(1000, 30, (4, 200, 300)).astype("i4")
    paths = [tmp_path / f"{i}.fits.fz" for i in range(len(images))]
    for path, pixels in zip(paths, images, strict=True):
        packed = fits.CompImageHDU(pixels, compression_type="HCOMPRESS_1")
        fits.HDUList([fits.PrimaryHDU(), packed]).writeto(path)
    frames = open_frames(paths)
    with ThreadPoolExecutor(4) as executor:
        for _ in range(5):
            found = list(executor.map(lambda frame: frame.load().section(slice(None)).data, frames))
            np.testing.assert_array_equal(found, images)


def test_truncated_gzip(tmp_path):
    path = tmp_path / "frame.fits.gz"
    data = np.random.default_rng(0).normal(size=(300, 300))
    fits.writeto(path, data, fits.Header([("BUNIT", "adu")]))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(OSError, match=r"frame\.fits\.gz cannot be read"):
        section_of(open_frames([path])[0], slice(0, 300))


def test_no_image(tmp_path):
    path = tmp_path / "frame.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU()]).writeto(path)
    with pytest.raises(ValueError, match=r"frame\.fits has no image in HDU 0"):
        open_frames(path)


def test_no_such_hdu(raw_files):
    with pytest.raises(ValueError, match=r"raw_0\.fits has no HDU 4, only 1"):
        open_frames(raw_files[0], hdu=4)
    with pytest.raises(OSError, match=r"raw_0\.fits cannot be read: .*'SCI' not found"):
        open_frames(raw_files[0], hdu="SCI")


def test_what_is_no_regular_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.fits")
    with pytest.raises(FileNotFoundError, match=r"not a regular file: .*pipe\.fits"):
        open_frames(tmp_path / "pipe.fits")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("decompress_in_memory", True), ("use_fsspec", False), ("fsspec_kwargs", None),
        ("cache", False), ("memmap", False), ("lazy_load_hdus", True), ("uint", True),
        ("checksum", False), ("ignore_missing_end", True), ("ignore_missing_simple", True),
        ("ignore_blank", True), ("disable_image_compression", False),
        ("character_as_bytes", False), ("hdu", 0), ("unit", "adu"), ("hdu_mask", "MASK"),
        ("hdu_uncertainty", "UNCERT"), ("hdu_flags", None), ("hdu_psf", None),
        ("key_uncertainty_type", "UTYPE"), ("format", "fits"),
    ],
)
def test_every_keyword_of_reading_is_known(tmp_path, name, value):
    path = tmp_path / "flat.fits"
    CCDData(np.arange(12, dtype=np.uint16).reshape(3, 4), unit="adu").write(path)
    frame, = open_frames(path, **{name: value})
    data = np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(frame.load().section(slice(1, 3)).data, data[1:])
    np.testing.assert_array_equal(frame.ccddata().data, data)


@pytest.mark.parametrize(
    "name", ["do_not_scale_image_data", "mode", "name", "save_backup", "memap"]
)
def test_what_is_no_keyword_of_reading_is_refused(tmp_path, name):
    with pytest.raises(TypeError, match=f"unknown keyword '{name}'"):
        open_frames(tmp_path / "flat.fits", **{name: True})
