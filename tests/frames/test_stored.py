# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Rows read from where they lie are those that astropy gives."""

import warnings

import numpy as np
import pytest
from astropy.io import fits

from ccdproc_echelle.frames import open_frames
from ccdproc_echelle.frames.stored import stored_image

TYPES = ["u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "frame.fits"


@pytest.mark.parametrize("hdu", [0, 1])
@pytest.mark.parametrize("dtype", TYPES)
def test_rows_are_those_of_astropy(path, dtype, hdu):
    limits = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else np.finfo("f4")
    values = np.random.default_rng(1).uniform(limits.min / 2, limits.max / 2, (7, 5)).astype(dtype)
    values[2, :2] = limits.min, limits.max
    image = fits.PrimaryHDU(values) if hdu == 0 else fits.ImageHDU(values)
    fits.HDUList([image] if hdu == 0 else [fits.PrimaryHDU(np.ones(3)), image]).writeto(path)
    with fits.open(path) as hdus:
        stored, expected = stored_image(hdus[hdu]), hdus[hdu].section[2:5]
    found = stored.read(path, range(2, 5))
    assert found.dtype.newbyteorder("=") == expected.dtype.newbyteorder("=") == dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("cards", "why"),
    [({"BSCALE": 2.0}, "scaled"), ({"BZERO": 100}, "moved"), ({"BLANK": -1}, "blank")],
)
def test_what_astropy_has_to_work_out_is_left_to_it(path, cards, why):
    fits.PrimaryHDU(np.arange(12, dtype="i2").reshape(3, 4)).writeto(path)
    with fits.open(path, mode="update", do_not_scale_image_data=True) as hdus:
        hdus[0].header.update(cards)
    with fits.open(path) as hdus:
        assert stored_image(hdus[0]) is None, why


def test_blank_means_nothing_for_floating_point_numbers(path):
    with warnings.catch_warnings(action="ignore"):
        fits.writeto(path, np.ones((3, 4), "f4"), fits.Header({"BUNIT": "adu", "BLANK": -1}))
    frame, = open_frames(path)  # the warning of astropy for each reading would be an error
    assert frame.layout.stored
    np.testing.assert_array_equal(frame.ccddata().data, 1)


def test_compressed_images_are_left_to_astropy(path):
    fits.CompImageHDU(np.ones((9, 9), dtype="i2")).writeto(path)
    with fits.open(path) as hdus:
        assert stored_image(hdus[1]) is None


def test_a_file_that_has_become_shorter(path):
    fits.PrimaryHDU(np.ones((2880, 10), dtype="u2")).writeto(path)
    with fits.open(path) as hdus:
        stored = stored_image(hdus[0])
    with path.open("r+b") as file:
        file.truncate(stored.start + 100)
    np.testing.assert_array_equal(stored.read(path, range(5)), 1)
    with pytest.raises(OSError, match=f"ends after {stored.start + 100} bytes, expected"):
        stored.read(path, range(4, 9))
