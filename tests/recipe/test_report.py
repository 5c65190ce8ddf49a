# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Which cards a report keeps, and what becomes of text."""

import pytest
from astropy.io import fits

from ccdproc_echelle.recipe import METRICS, SETUP_KEYWORDS, Instrument, instrument_names
from ccdproc_echelle.recipe.report.cards import technical_cards
from ccdproc_echelle.recipe.report.text import anonymous_text


def asked_for_by_instruments() -> set[str]:
    """Every keyword that a description of an instrument names."""
    found = set()
    for name in instrument_names():
        keywords = Instrument.read(name).keywords
        found |= set(keywords.get("setup_keywords", ()))
        found |= {keywords.get(key) for key in ("gain", "read_noise", "saturation", "exposure_key")}
    return {keyword for keyword in found if isinstance(keyword, str)}


def test_the_cards_that_the_package_reads_are_kept():
    asked = {
        *SETUP_KEYWORDS, *asked_for_by_instruments(), *(m.keyword for m in METRICS.values()),
        "BIASSEC", "TRIMSEC", "DATASEC", "CCDSEC", "DETSEC", "AMPSEC", "ORIGSEC", "BUNIT",
        "EXPTIME", "RDNOISE", "IMAGETYP", "OBSTYPE", "OBS-TYPE", "EXPTYPE", "FRAMETYP", "KOAIMTYP",
        "LAMPSTAT", "ESO DPR TYPE", "ESO DPR TECH", "ESO DET OUT1 PRSCX", "ESO DET OUT1 NY",
    }
    header = fits.Header([fits.Card(f"HIERARCH {k}" if " " in k else k, 1) for k in sorted(asked)])
    cards, n_others = technical_cards(header)
    assert n_others == 0, asked - {card.partition(" = ")[0] for card in cards}


@pytest.mark.parametrize(
    "keyword",
    ["OBSERVER", "PI", "AUTHOR", "PROPID", "PROGID", "OBJECT", "TARGNAME", "TELESCOP", "ORIGIN",
     "OBSERVAT", "SITENAME", "SITELONG", "LATITUDE", "RA", "DEC", "CRVAL1", "DATE", "DATE-OBS",
     "UT", "FILENAME", "ORIGFILE", "ARCFILE", "FILEPATH", "HOST", "USER", "COMMENT", "HISTORY",
     "DATASUM", "HIERARCH ESO OBS NAME", "HIERARCH ESO OBS PROG ID", "HIERARCH ESO TEL GEOLAT",
     "HIERARCH ESO DET EXP NAME", "HIERARCH ESO DET FRAM UTC", "HIERARCH ESO DET CHIP DATE",
     "HIERARCH MY GAIN BY JANE"],
)
def test_all_others_are_left_out(keyword):
    assert technical_cards(fits.Header([(keyword, "text")])) == ([], 1)


@pytest.mark.parametrize(
    ("comment", "unit"),
    [("[e-/ADU] gain", " [e-/ADU]"), ("gain (electrons/adu)", " [electrons/adu]"),
     ("electrons per count, by Jane", " [electrons per count]"), ("[s] exposure", " [s]"),
     ("[Jane] 2024", ""), ("set by s/w of Jane", ""), ("", "")],
)
def test_of_a_comment_only_the_unit_is_kept(comment, unit):
    cards, _ = technical_cards(fits.Header([("GAIN", 2, comment)]))
    assert cards == [f"GAIN = 2{unit}"]


def test_cards_that_fits_does_not_allow():
    text = "".join(card.ljust(80) for card in ("GAIN.SPE= 5", "OBSERVER= Jane Doe", "RDNOISE = 'a"))
    cards, n_others = technical_cards(fits.Header.fromstring(text))
    assert cards[0] == "GAIN.SPE = 5"
    assert not any("Jane" in card for card in cards) and n_others >= 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("read /home/jane/a.fits", "read a.fits"),
        ("read '/home/jane doe/a.fits' now", "read 'a.fits' now"),
        ("read /home/jane doe/b c/a.fits now", "read a.fits now"),
        ("read jane/night/a.fits.gz, b.fits", "read a.fits.gz, b.fits"),
        ("~/jane/orders.ecsv ~jane/x.py", "orders.ecsv x.py"),
        ("cd /home/jane.doe; ls /home/jane", "cd <folder>; ls <folder>"),
        ("C:\\Users\\Jane\\a.fits and D:/raw/", "a.fits and <folder>"),
        ("flat /data/jane --dark x/d.fits", "flat <folder> --dark d.fits"),
        ("flat ~/jane /data/doe/a.fits", "flat <folder> a.fits"),
        ("jane@host.org ssh://host:22/x 192.168.1.17", "<address> <address> <address>"),
        ("electron/s, 1/2, 3 / 4, FLAT/LAMP", "electron/s, 1/2, 3 / 4, FLAT/LAMP"),
        ("it isn't in x/y.txt, doesn't", "it isn't in y.txt, doesn't"),
        ("version 1.2.3, 10 % of 1.5", "version 1.2.3, 10 % of 1.5"),
    ],
)
def test_paths_are_names_and_addresses_are_none(text, expected):
    assert anonymous_text(text, {}) == expected


def test_the_longest_name_is_replaced_and_no_part_of_a_word():
    names = {"a.fits": "frame_01.fits", "/x y/a.fits": "frame_02.fits"}
    text = "/x y/a.fits, a.fits, data.fits, a.fits-old, /z/a.fits."
    assert anonymous_text(text, names) == (
        "frame_02.fits, frame_01.fits, data.fits, a.fits-old, frame_01.fits."
    )


def test_a_name_that_is_put_in_is_not_replaced_again():
    names = {"frame_02.fits": "frame_01.fits", "frame_01.fits": "frame_02.fits"}
    assert anonymous_text("frame_01.fits, frame_02.fits", names) == "frame_02.fits, frame_01.fits"


@pytest.mark.parametrize("part", ["a.b/", "a", "/a b", "=/a", "'/", "1.2.3.", "a@", "a://"])
def test_long_lines_take_no_longer_than_short_ones(part):
    """A pattern that tries every part with every other would take hours."""
    anonymous_text(part * (200_000 // len(part)), {"a.fits": "frame_01.fits"}, ["jane"])


def test_secrets_are_words():
    secrets = ["jane", "root", "ab", "Flat"]
    assert anonymous_text("Jane's janeway, jane, root, ab, a flat", {}, secrets) == (
        "<name>'s janeway, <name>, root, ab, a flat"
    )
