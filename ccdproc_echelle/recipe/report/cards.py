# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Select the header cards that describe detector and exposure; all others stay with the user."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from astropy.io import fits
from astropy.io.fits.verify import VerifyError

from ccdproc_echelle.recipe.metrics import METRICS
from ccdproc_echelle.recipe.setups import SETUP_KEYWORDS

__all__ = ["personal_values", "technical_cards"]

# Cards that are not listed are left out, so that no observatory's card for a name is forgotten.
_TECHNICAL = re.compile("|".join([
    # structure
    r"SIMPLE|XTENSION|BITPIX|NAXIS\d*|EXTEND|NEXTEND|PCOUNT|GCOUNT|GROUPS|INHERIT",
    r"EXT(NAME|VER|LEVEL)|BUNIT|BSCALE|BZERO|BLANK|DATA(MIN|MAX)|UTYPE",
    r"TFIELDS|T(TYPE|FORM|UNIT|DIM|NULL|SCAL|ZERO)\d+",
    # gain, read noise, saturation
    r"(CCD|DET|E)?GAIN\W?\w{0,4}|CONAD\d*|(RD|READ|RO|E)_?NOISE?\w{0,2}|RON\d*|SATUR\w*|SATLEVEL",
    # exposure
    r"T?EXP(TIME|OSURE)?|XPOSURE|(ELAP|TRUI|DARK|INT|I)TIME|N?DIT|N?COADDS?|N?SAMPLES?",
    # sections, amplifiers, binning
    r"(BIAS|TRIM|DATA|CCD|DET|AMP|ORIG)SEC\d*|(CCD|DET)SIZE|LT[VM]\d(_\d)?|N?AMPS?|AMP(NAME|ID|LIST)",
    r"(PRE|OVER)SCAN|(PRE|POST|OVR)(PIX|LINE)|NCCDS|CCDNAMP|CCDSUM|(CCD)?[XY]?BIN([XY12]|NING)?",
    # detector and its read-out
    r"INSTRUME|DETECTOR|DETNAM|CCDNAME|CHIP(NAME|ID)?|ARM|CAMERA",
    r"(READ|RD|SAMP|CCD|OBS)_?(MODE|SPD|SPEED|OUT)|NREADS|(CCD|DET|SET)-?_?TE?MP\w?",
    # filters, slit, lamp, dispersers
    r"(SCI)?FILT\w*|FIL\d?NAME|FWNAME|SLIT\w*|SLMSKNAM|DECK(ER|NAME)|FIBER\d*",
    r"(FLAT)?LAMP\w*|HALOGEN|SHUTTER",
    r"(GRAT|ECH|PRISM)(ING|NAME?|ANGL)|XDANGL|(ECHL|DISP)POS|X?DISPERSR?S?|GRISM",
    # image type
    r"(IMA?G?E?|OBS|EXP|FRAME?|KOAIM)-?TYPE?|DATA-TYP",
    # the same as hierarchical ESO cards
    r"ESO SEQ ARM|ESO DPR (CATG|TYPE|TECH)|ESO PRO CATG|ESO INS (MODE|PATH)",
    r"ESO INS (SLIT|FILT|OPTI|LAMP|GRAT|GRIS|NISE|VISE|QTH|DEUT|THAR)\d* (NAME|ID|ST|LEN|WID)",
    r"ESO DET\d? (\w+ )?(CONAD|GAIN|RON|N?DIT\d?|UIT\d?|REALDIT|N[XY]|BIN[XY]|STR[XY]|CLKIND)",
    r"ESO DET\d? (OUT\d+ )?(OUTPUTS|(PRSC|OVSC)[XY]|[XY]|INDEX)",
    r"ESO DET\d? (CHIP\d* (PSZ[XY]|[XY]|[XY]GAP)|CHIPS|NCORRS( NAME)?|EXPO TIME)",
    r"ESO DET\d? READ (MODE|SPEED|CLOCK|CURID|CURNAME)",
    # products of this package
    r"FLATVERS|SUBOSCAN|TRIMIM|GAINCOR|AMPLIFS",
    *map(re.escape, SETUP_KEYWORDS),
    *(metric.keyword for metric in METRICS.values()),
]))

# Cards whose values are searched for in a log and removed there; for people, each of their names.
_PEOPLE = re.compile(
    r"(.* )?(OBSERVER\w*|PI|\w*PI-?_?(NAME|COI)( NAME)?|\w*(AUTHOR|OPERATOR|OPER|USER|ASTRON)\w*)"
)
_PLACES = re.compile(
    r"(.* )?(\w*(OBSERVAT|TELESCOP|SITE|HOST|PROP|PROG|TARG)\w*( ID| NAME)?|OBJECT|ORIGIN)"
)

# A unit in a comment, as "[e-/ADU]" or "electrons per count".
_WORD = r"(?:e-?|el|electrons?|adu|dn|counts?|s|sec|seconds?|ms|pix|pixels?|um|mm|nm|arcsec|k|c)"
_UNIT = re.compile(
    rf"\[({_WORD}(?: ?[/*.^-]? ?{_WORD})*)\]|\b({_WORD} ?(?:/|per) ?{_WORD})\b", re.IGNORECASE
)


def technical_cards(header: fits.Header) -> tuple[list[str], int]:
    """
    Select the cards of a header that describe structure, detector, instrument and exposure.

    Parameters
    ----------
    header : `~astropy.io.fits.Header`
        The header as it was read.

    Returns
    -------
    cards : list of str
        Keyword, value, and the unit from the comment, but nothing else of the comment.
    n_others : int
        Number of the other cards.

    Examples
    --------
    >>> from astropy.io import fits
    >>> from ccdproc_echelle.recipe.report.cards import technical_cards
    >>> header = fits.Header()
    >>> header["OBSERVER"] = "Jane Doe"
    >>> header["GAIN"] = (1.5, "[e-/ADU] measured by Jane")
    >>> technical_cards(header)
    (['GAIN = 1.5 [e-/ADU]'], 1)
    """
    technical = [card for card in _readable(header.cards) if _TECHNICAL.fullmatch(card[0])]
    return [_line(*card) for card in technical], len(header.cards) - len(technical)


def personal_values(header: fits.Header) -> set[str]:
    """
    Collect what cards say about people, places, programmes and targets.

    Parameters
    ----------
    header : `~astropy.io.fits.Header`
        The header as it was read.

    Returns
    -------
    set of str
        The values, and the names of people one by one, except those that a technical card contains
        as well.

    Examples
    --------
    >>> from astropy.io import fits
    >>> from ccdproc_echelle.recipe.report.cards import personal_values
    >>> header = fits.Header({"OBSERVER": "J. Doe", "OBJECT": "flat", "IMAGETYP": "FLAT"})
    >>> sorted(personal_values(header))
    ['Doe', 'J', 'J. Doe']
    """
    texts = [
        (keyword, value.strip()) for keyword, value, _ in _readable(header.cards)
        if isinstance(value, str)
    ]
    people = [value for keyword, value in texts if _PEOPLE.fullmatch(keyword)]
    places = [value for keyword, value in texts if _PLACES.fullmatch(keyword)]
    names = [name for value in people for name in re.findall(r"\w+", value)]
    technical = {value.lower() for keyword, value in texts if _TECHNICAL.fullmatch(keyword)}
    return {value for value in people + places + names if value.lower() not in technical}


def _readable(cards: Iterable[fits.Card]) -> Iterator[tuple[str, Any, str]]:
    """Keyword, value and comment of the cards that have all of them."""
    for card in cards:
        try:
            yield card.keyword.upper(), card.value, card.comment
        except (VerifyError, ValueError):  # not a valid FITS card
            continue


def _line(keyword: str, value: Any, comment: str) -> str:
    found = _UNIT.search(comment)
    unit = f" [{found[1] or found[2]}]" if found else ""
    return f"{keyword} = {value!r}{unit}"
