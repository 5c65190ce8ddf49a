# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Headers as telescopes write them: cards FITS forbids, two HDUs, times under several names."""

import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.utils.exceptions import AstropyUserWarning
from ccdproc import ImageFileCollection, Keyword

from ccdproc_echelle.combining import combine_frames
from ccdproc_echelle.frames import (
    exposure_time,
    hdus_of,
    is_of_master_flat,
    keyword_name,
    legal_header,
    observation_time,
    open_frames,
    record_cards,
)


def write_with_card(path, card, value=0):
    """A file in whose header this card stands in place of another one."""
    header = fits.Header([("BUNIT", "adu"), ("OBJECT", "FLAT"), ("REPLACED", 1)])
    fits.PrimaryHDU(np.full((3, 4), value, "u2"), header).writeto(path)
    content = path.read_bytes()
    at = content.find(b"REPLACED=")
    path.write_bytes(content[:at] + card.encode("ascii").ljust(80) + content[at + 80:])
    return path


# ---------------------------------------------------------------------- cards FITS forbids


@pytest.mark.parametrize(("card", "keyword", "value"), [
    ("GAIN.SPE= 5", "GAIN.SPE", 5),
    ("P.I.    = 'X'", "P.I.", "X"),
    ("OBS TIME= 5", "OBS TIME", 5),
    ("IRAF-B/P= 16", "IRAF-B/P", 16),
    ("CONTINUE  5", "CONTINUE", None),
    ("BAD CARD WITHOUT A VALUE", "BAD CARD", None),
    ("OBJECT  = 'LAMP'", "OBJECT", "FLAT"),
])
def test_one_warning_names_the_card_and_the_product_is_legal(tmp_path, card, keyword, value):
    names = [write_with_card(tmp_path / f"flat_{i}.fits", card, i) for i in range(3)]
    with pytest.warns(AstropyUserWarning) as caught:
        combine_frames(names, tmp_path / "out.fits")
    (message,) = (str(warning.message) for warning in caught)
    assert f"flat_0.fits and 2 other frames: the header has cards that violate the FITS " \
        f"standard: {keyword};" in message
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(tmp_path / "out.fits") as hdus:
            hdus.verify("exception")
            header = hdus[0].header
            assert header["OBJECT"] == "FLAT"
            assert header.get(keyword) == value
            assert header.count("OBJECT") == 1


@pytest.mark.parametrize(("card", "value"), [
    ("OBSERVER= 'Fran\u00e7ois'", "Fran??ois"),
    ("OBSERVER= 'NUL\0\0'", "NUL"),
    ("OBSERVER=X", None),  # no value, by the standard
    ("HIERARCH ESO DET X", None),
])
@pytest.mark.parametrize("hdu", [0, 1])
def test_text_that_fits_forbids(tmp_path, card, value, hdu, recwarn):
    path = tmp_path / "flat.fits"
    image = np.ones((4, 4), dtype=np.float32)
    header = fits.Header([("BUNIT", "adu"), ("REPLACED", 1)])
    hdus = [fits.PrimaryHDU(image, header)]
    if hdu:
        hdus = [fits.PrimaryHDU(header=header), fits.ImageHDU(image)]
    fits.HDUList(hdus).writeto(path)
    raw = path.read_bytes()
    start = raw.index(b"REPLACED=")
    path.write_bytes(raw[:start] + card.encode().ljust(80) + raw[start + 80:])
    combine_frames([path], output_file=tmp_path / "out.fits")
    said = [str(one.message) for one in recwarn.list]
    assert len(said) == 1 and f"violate the FITS standard: {card[:8].strip('=')}" in said[0]
    with fits.open(tmp_path / "out.fits") as written:
        written.verify("exception")
        assert written[0].header.get("OBSERVER") == value
    assert len(recwarn) == 1


@pytest.mark.parametrize(("header", "is_master"), [
    ({"IMAGETYP": "master flat"}, True), ({"IMAGETYP": "FLAT MASTER"}, True),
    ({"ESO PRO CATG": "MASTER_DFLAT_BLUE"}, True), ({"OBSTYPE": "LAMPFLAT"}, False),
    ({"IMAGETYP": "master bias"}, False), ({"IMAGETYP": "FLAT"}, False), ({}, False),
])
def test_master_flats_of_other_pipelines(header, is_master):
    assert is_of_master_flat(header) == is_master


def test_legal_cards_stay_as_they_are():
    header = fits.Header([("OBJECT", "FLAT", "of a lamp"), ("HIERARCH ESO DET DIT", 1.5)])
    header["LONG"] = "word " * 40
    for text in ("one", "one", "two"):
        header["COMMENT"] = text
    legal, illegal = legal_header(header)
    assert illegal == []
    assert legal.tostring() == header.tostring()


def test_a_header_that_was_read_elsewhere(tmp_path, recwarn):
    """A CCDData with an illegal card in its header is written all the same."""
    path = write_with_card(tmp_path / "flat.fits", "GAIN.SPE= 5")
    frames = [CCDData(np.full((3, 4), value), unit="adu") for value in (1.0, 2.0)]
    frames[0].header = fits.getheader(path)
    combine_frames(frames, tmp_path / "out.fits")
    assert ["GAIN.SPE" in str(warning.message) for warning in recwarn] == [True]
    assert fits.getheader(tmp_path / "out.fits")["GAIN.SPE"] == 5


# ---------------------------------------------------------------------- two HDUs


@pytest.fixture
def two_detectors(tmp_path):
    for i in range(2):
        primary = fits.PrimaryHDU(header=fits.Header([("EXPTIME", 30), ("GAIN", 1)]))
        blue, red = (
            fits.ImageHDU(np.full((3, 4), value), fits.Header([("GAIN", 2)]), name=name)
            for name, value in (("BLUE", 1.0), ("RED", 2.0 + i))
        )
        fits.HDUList([primary, blue, red]).writeto(tmp_path / f"flat_{i}.fits")
    return tmp_path


@pytest.mark.parametrize("hdu", [2, "RED", ("RED", 1)])
def test_the_primary_header_lies_under_that_of_the_extension(two_detectors, hdu):
    (frame,) = open_frames(two_detectors / "flat_0.fits", hdu=hdu)
    for header in (frame.header, frame.metadata()[0], frame.ccddata().header):
        assert (header["EXPTIME"], header["GAIN"], header["EXTNAME"]) == (30, 2, "RED")
    assert (frame.ccddata().data == 2).all()


@pytest.mark.parametrize("ext", [2, "RED"])
def test_a_collection_means_its_extension(two_detectors, ext):
    collection = ImageFileCollection(two_detectors, ext=ext)
    assert combine_frames(collection).data.tolist() == np.full((3, 4), 2.5).tolist()
    assert combine_frames(collection, hdu="BLUE").data.tolist() == np.ones((3, 4)).tolist()


# ---------------------------------------------------------------------- times


@pytest.mark.parametrize("header", [
    {"MJD-OBS": 60370.5}, {"MJD-OBS": "60370.5"}, {"MJD": 60370.5},
    {"DATE-OBS": "2024-03-01T12:00:00"}, {"DATE-OBS": "2024-03-01", "UTC": "12:00:00.0"},
    {"DATE-OBS": "2024-03-01", "UT": " 12:00:00"}, {"DATE-OBS": "2024-03-01 12:00:00"},
    {"DATE-OBS": "2024-03-01T14:00:00+02:00"}, {"DATE-OBS": "2024-03-01T12:00:00Z"},
    {"DATE-OBS": "2024/03/01", "UT-TIME": "12:00:00"}, {"DATE-BEG": "20240301T120000"},
    {"MJD-OBS": 0.0, "DATE-OBS": "2024-03-01", "UTIME": "12:00:00.00 UT"}, {"MJDATE": 60370.5},
])
def test_observation_time(header):
    assert observation_time(header) == 60370.5


def test_date_before_1999():
    assert observation_time({"DATE-OBS": "30/12/98", "UT": "12:00:00"}) == 51177.5


@pytest.mark.parametrize("header", [{}, {"DATE-OBS": "yesterday"}, {"MJD-OBS": "nan"}])
def test_unknown_observation_time(header):
    assert observation_time(header) is None


@pytest.mark.parametrize(("value", "expected"), [
    (30, 30.0), ("30", 30.0), (" 2.5 ", 2.5), ("long", None), ("", None), (True, None),
    (float("nan"), None),
])
def test_exposure_time(value, expected):
    assert exposure_time({"EXPTIME": value}) == expected
    assert exposure_time({"ESO DET DIT": value}, "HIERARCH ESO DET DIT") == expected


def test_name_of_a_keyword():
    assert keyword_name(Keyword("HIERARCH ESO DET DIT")) == "ESO DET DIT"


# ---------------------------------------------------------------------- cards that are written


def test_cards_are_written_with_their_comments():
    header = fits.Header([("GAIN", 2.0, "as it was")])
    record_cards(header, [("GAIN", 1.5, "[electron / adu] gain"), ("LONG", 1 / 3, "word " * 40)])
    assert header["GAIN"] == 1.5
    assert header.comments["GAIN"] == "[electron / adu] gain"
    for card in header.cards:
        card.verify("exception")
        assert len(card.image) == 80


def test_a_dictionary_gets_values_alone():
    header = {"GAIN": 2.0}
    record_cards(header, [("GAIN", 1.5, "[electron / adu] gain")])
    assert header == {"GAIN": 1.5}


def test_metadata_that_a_header_cannot_hold_are_left_out():
    meta = {"LAMP": "QTH", "nested": {"a": 1}, "TEMP": np.nan, "WHO": "M\u00fcller", "N": None,
            "TEMPERATURE": 3}
    ccd = CCDData(np.ones((2, 3)), unit="adu", meta=meta)
    with pytest.warns(AstropyUserWarning, match="cannot hold them: nested, TEMP$"):
        header = hdus_of(ccd)[0].header
    assert (header["LAMP"], header["WHO"], header["N"]) == ("QTH", "M?ller", None)
    assert header["TEMPERATURE"] == 3
    assert ccd.header == meta
