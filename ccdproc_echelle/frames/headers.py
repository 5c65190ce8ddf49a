# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Information in headers about an exposure, as opposed to the file that contains it."""

import copy
import math
import re
from collections.abc import Iterable, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any

from astropy.io import fits
from astropy.time import Time
from ccdproc import Keyword

__all__ = [
    "EXPOSURE_KEY",
    "IMAGE_TYPE_OF_MASTER",
    "LONGEST_COMMENT",
    "exposure_time",
    "is_of_master_flat",
    "keyword_name",
    "n_combined",
    "number_of",
    "observation_time",
    "record_cards",
    "stated_date",
    "without_file_cards",
]

#: ``IMAGETYP`` of a master flat.
IMAGE_TYPE_OF_MASTER = "master flat"

#: Default header keyword of the exposure time.
EXPOSURE_KEY = "EXPTIME"

#: A FITS card has 80 characters; keyword, number and separators take up to 33 of them.
LONGEST_COMMENT = 47

# Keywords for the kind of a frame.
_KINDS = ("IMAGETYP", "OBSTYPE", "ESO PRO CATG")

# Keywords for the start of an exposure, as a number and as a date.
_DAYS = ("MJD-OBS", "MJD", "MJDATE")
_DATES = ("DATE-OBS", "DATE-BEG")

# Keywords for the time of day, used if the date has none.
_CLOCKS = (
    "UTC", "UT", "UTSTART", "UTC-OBS", "UT-OBS", "TIME-OBS", "UT-START", "UT-TIME", "UT-STR",
    "UTIME", "UTOPEN",
)
_CLOCK = re.compile(r"\d{1,2}:\d{1,2}(:\d{1,2}(\.\d*)?)?")

# Dates with slashes: year first, or as in FITS files before 1999, where it is the last.
_SLASHES = re.compile(r"(\d{4})/(\d\d)/(\d\d)"), re.compile(r"(\d\d)/(\d\d)/(\d\d)")

# Keywords that describe one HDU of one file: its layout, the scaling and range of its numbers, its
# name, its checksums, and its compression. They are wrong for anything derived from it.
_FILE_CARDS = re.compile(
    r"SIMPLE|XTENSION|BITPIX|NAXIS\d*|EXTEND|PCOUNT|GCOUNT|GROUPS|INHERIT|EXT(NAME|VER|LEVEL)"
    r"|BSCALE|BZERO|BLANK|DATA(MIN|MAX|SUM)|CHECKSUM"
    r"|Z(HECKSUM|DATASUM|IMAGE|TENSION|SIMPLE|EXTEND|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|TILE\d+)"
    r"|Z(CMPTYPE|NAME\d+|VAL\d+|QUANTIZ|DITHER0|BLANK|SCALE|ZERO|MASKCMP)"
)


def without_file_cards(header: MutableMapping) -> MutableMapping:
    """
    Remove cards that describe the file rather than the exposure.

    Parameters
    ----------
    header : dict-like
        The header of a frame.

    Returns
    -------
    dict-like
        A copy without checksums, layout, scaling, name and compression of the HDU.

    Examples
    --------
    >>> from ccdproc_echelle.frames import without_file_cards
    >>> without_file_cards({"OBJECT": "FLAT", "BZERO": 32768, "DATASUM": "123"})
    {'OBJECT': 'FLAT'}
    """
    header = copy.deepcopy(header)
    for key in {key for key in header if _FILE_CARDS.fullmatch(str(key).upper())}:
        del header[key]
    return header


def record_cards(header: MutableMapping, cards: Iterable[tuple[str, Any, str]]) -> None:
    """
    Write values into a header, with comments if it can hold them.

    Parameters
    ----------
    header : dict-like
        A `~astropy.io.fits.Header`, or a dictionary, which only gets the values.
    cards : iterable of (str, object, str)
        Keywords, values and comments. Comments are cut to what fits into a card with a number.

    Examples
    --------
    >>> from ccdproc_echelle.frames import record_cards
    >>> header = {}
    >>> record_cards(header, [("ORDWIDTH", 21.5, "[pix] median order width")])
    >>> header
    {'ORDWIDTH': 21.5}
    """
    for keyword, value, comment in cards:
        header[keyword] = value
        if isinstance(header, fits.Header):
            header.comments[keyword] = comment[:LONGEST_COMMENT]


def observation_time(header: Mapping) -> float | None:
    """
    Return the start of an exposure.

    Parameters
    ----------
    header : dict-like
        With ``MJD-OBS``, ``MJD``, ``MJDATE``, ``DATE-OBS`` or ``DATE-BEG``. If a date has no time
        of day, this is taken from a keyword such as ``UTC``, ``UT``, ``UTSTART`` or ``TIME-OBS``.

    Returns
    -------
    float or None
        MJD; `None` if it is not in the header.

    Examples
    --------
    >>> from ccdproc_echelle.frames import observation_time
    >>> observation_time({"DATE-OBS": "2024-03-01T12:00:00"})
    60370.5
    >>> observation_time({"DATE-OBS": "2024-03-01", "UT": "12:00:00"})
    60370.5
    """
    for keyword in _DAYS:
        time = number_of(header.get(keyword))
        if time is not None and time > 0:
            return time
    date = stated_date(header)[1]
    if not _CLOCK.search(date):
        clocks = (_CLOCK.search(str(header.get(name))) for name in _CLOCKS)
        clock = next((found[0] for found in clocks if found), "")
        date = f"{date}T{clock}" if clock else date
    for text in filter(None, (date, _in_utc(date))):  # astropy 6.0 warns of empty texts
        try:
            return float(Time(text).mjd)
        except ValueError:
            pass
    return None


def stated_date(header: Mapping) -> tuple[str, str]:
    """
    Return the date of an exposure as it is written.

    Parameters
    ----------
    header : dict-like
        With ``DATE-OBS`` or ``DATE-BEG``.

    Returns
    -------
    keyword, date : str
        The date in ISO format if it has slashes; both empty if there is none.

    Examples
    --------
    >>> from ccdproc_echelle.frames import stated_date
    >>> stated_date({"DATE-OBS": "31/12/98"})
    ('DATE-OBS', '1998-12-31')
    """
    for keyword in _DATES:
        date = str(header.get(keyword) or "").strip()
        if date:
            year_first, year_last = _SLASHES
            date = year_first.sub(r"\1-\2-\3", date)
            return keyword, year_last.sub(r"19\3-\2-\1", date)
    return "", ""


def _in_utc(date: str) -> str:
    """A date that astropy does not read, such as one with a time zone, in UTC."""
    try:
        moment = datetime.fromisoformat(date)
    except ValueError:
        return date
    return (moment.astimezone(UTC) if moment.tzinfo else moment).replace(tzinfo=None).isoformat()


def exposure_time(header: Mapping, keyword: str | Keyword | None = None) -> float | None:
    """
    Return the exposure time.

    Parameters
    ----------
    header : dict-like
        The header.
    keyword : str or `ccdproc.Keyword`, optional
        Keyword of the exposure time. Default: ``EXPTIME``.

    Returns
    -------
    float or None
        Seconds; `None` if it is not in the header. Numbers stored as text are accepted.

    Examples
    --------
    >>> from ccdproc_echelle.frames import exposure_time
    >>> exposure_time({"EXPTIME": 30}), exposure_time({"ELAPTIME": "12.5"}, "ELAPTIME")
    (30.0, 12.5)
    """
    return number_of(header.get(keyword_name(keyword or EXPOSURE_KEY)))


def keyword_name(keyword: str | Keyword) -> str:
    """
    Return the name of a header keyword, given with or without ``HIERARCH``.

    Parameters
    ----------
    keyword : str or `ccdproc.Keyword`
        The keyword.

    Returns
    -------
    str

    Raises
    ------
    TypeError
        If the keyword is anything else.

    Examples
    --------
    >>> from ccdproc_echelle.frames import keyword_name
    >>> keyword_name("HIERARCH ESO DET DIT")
    'ESO DET DIT'
    """
    name = keyword.name if isinstance(keyword, Keyword) else keyword
    if not isinstance(name, str):
        raise TypeError(f"{keyword!r} is not a header keyword, expected its name")
    return name.strip().removeprefix("HIERARCH ").strip()


def number_of(value: Any) -> float | None:
    """
    Return a header value as a number, even if it is stored as text.

    Parameters
    ----------
    value : object
        The header value.

    Returns
    -------
    float or None
        `None` if the value is not a finite number.

    Examples
    --------
    >>> from ccdproc_echelle.frames import number_of
    >>> number_of(3), number_of(" 1.5 "), number_of("fast"), number_of(True)
    (3.0, 1.5, None, None)
    """
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def is_of_master_flat(header: Mapping) -> bool:
    """
    Whether a header is that of a master flat, of this package or another pipeline.

    Parameters
    ----------
    header : dict-like
        The header of a frame.

    Returns
    -------
    bool
        True by its ``FLATVERS``, ``IMAGETYP``, ``OBSTYPE`` or ``ESO PRO CATG``.

    Examples
    --------
    >>> from ccdproc_echelle.frames import is_of_master_flat
    >>> is_of_master_flat({"IMAGETYP": "Master Flat"}), is_of_master_flat({"IMAGETYP": "FLAT"})
    (True, False)
    """
    words = [str(header.get(keyword, "")).lower() for keyword in _KINDS]
    return "FLATVERS" in header or any("master" in word and "flat" in word for word in words)


def n_combined(header: Mapping) -> int:
    """
    Number of frames that were combined into one.

    Parameters
    ----------
    header : dict-like
        With ``NCOMBINE``, as written by this package and IRAF, or ``COMBINED``, as in the CCD data
        reduction guide.

    Returns
    -------
    int
        1 for a single exposure; 2 if the number is not known.

    Examples
    --------
    >>> from ccdproc_echelle.frames import n_combined
    >>> n_combined({"NCOMBINE": 7}), n_combined({"combined": True}), n_combined({})
    (7, 2, 1)
    """
    number = number_of(header.get("NCOMBINE"))
    if number is not None:
        return max(1, int(number))
    return 2 if header.get("COMBINED", header.get("combined")) is True else 1
