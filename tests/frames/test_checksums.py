# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Checksums that others verify, and damage that they find."""

import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from ccdproc_echelle.frames import check_sums, has_damaged_data, write_fits


@pytest.fixture(params=["file.fits", "file.fits.gz"])
def path(request, tmp_path):
    rng = np.random.default_rng(3)
    table = fits.table_to_hdu(Table({"a": ["x", "yz"], "b": [1.5, np.nan]}))
    table.name = "TABLE"
    hdus = [fits.PrimaryHDU(rng.normal(size=(7, 9))), table, fits.ImageHDU(name="EMPTY")]
    write_fits(fits.HDUList(hdus), tmp_path / request.param)
    return tmp_path / request.param


def test_astropy_verifies_the_sums_of_every_hdu(path):
    with warnings.catch_warnings(), fits.open(path, checksum=True) as hdus:
        warnings.simplefilter("error")
        assert [hdu.verify_checksum() for hdu in hdus] == [1, 1, 1]
        assert [hdu.verify_datasum() for hdu in hdus] == [1, 1, 1]
        check_sums(hdus)


def test_every_bit_counts(tmp_path):
    path, damaged = tmp_path / "file.fits", tmp_path / "damaged.fits"
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(np.arange(6.0), name="IMAGE")]
    write_fits(fits.HDUList(hdus), path)
    content = np.fromfile(path, "u1")
    rng = np.random.default_rng(1)
    first = path.read_bytes().rindex(b"END   ") + 3  # cards before it are parsed
    places = rng.integers(first, len(content), 40)
    for place in places.tolist():
        changed = content.copy()
        changed[place] ^= 1 << rng.integers(7)
        changed.tofile(damaged)
        with fits.open(damaged) as hdus, pytest.raises(ValueError, match="IMAGE is damaged"):
            check_sums(hdus)


@pytest.mark.parametrize("part", ["header", "content"])
def test_the_message_tells_what_was_changed(path, part):
    with fits.open(path) as hdus:
        hdus = fits.HDUList([hdu.copy() for hdu in hdus])
    if part == "header":
        hdus["TABLE"].header["NEW"] = 1
    else:
        hdus["TABLE"].data["b"][0] = 7
    hdus.writeto(path, overwrite=True)
    message = f"TABLE is .* its {part} does not match"
    with fits.open(path) as hdus, pytest.raises(ValueError, match=message):
        check_sums(hdus)


def test_files_without_sums_pass(tmp_path):
    fits.writeto(tmp_path / "bare.fits", np.ones(5))
    with fits.open(tmp_path / "bare.fits") as hdus:
        check_sums(hdus)


def test_the_same_content_is_the_same_file(tmp_path, monkeypatch):
    for name, now in (("a", "2001-01-01T00:00:00"), ("b", "2002-01-01T00:00:00")):
        monkeypatch.setattr(fits.PrimaryHDU, "_get_timestamp", lambda self, now=now: now)
        write_fits(fits.HDUList([fits.PrimaryHDU(np.ones(5))]), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("make", [fits.ImageHDU, fits.CompImageHDU])
def test_data_are_damaged_but_an_edited_header_is_not(tmp_path, make):
    path = tmp_path / "file.fits"
    image = make(np.arange(999, dtype="u2").reshape(27, 37), name="IMAGE")
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(path, checksum=True)
    assert not has_damaged_data(path)
    with fits.open(path, "update", checksum=False, disable_image_compression=True) as hdus:
        hdus[1].header["OBJECT"] = "FLAT"
        place = hdus[1].fileinfo()["datLoc"]
    assert not has_damaged_data(path)
    content = bytearray(path.read_bytes())
    content[place + 9] ^= 4
    path.write_bytes(content)
    assert has_damaged_data(path)


def test_compressed_images_remain_readable_for_all_threads(tmp_path):
    path = tmp_path / "file.fits"
    fits.CompImageHDU(np.arange(99, dtype="u2").reshape(9, 11)).writeto(path, checksum=True)

    def pixel(_):
        damaged = has_damaged_data(path)
        return damaged or fits.getdata(path, 1)[1, 0]

    with ThreadPoolExecutor(8) as executor:
        assert set(executor.map(pixel, range(80))) == {11}


def test_data_without_a_sum_are_accepted(tmp_path):
    for name, datasum in (("none.fits", None), ("blank.fits", ""), ("text.fits", "unknown")):
        header = fits.Header() if datasum is None else fits.Header({"DATASUM": datasum})
        fits.writeto(tmp_path / name, np.arange(12.0).reshape(3, 4), header)
        assert not has_damaged_data(tmp_path / name)
