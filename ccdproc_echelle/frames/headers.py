# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What headers say of an exposure, and headers that FITS does not allow."""

import copy
import math
import re
import warnings
from collections.abc import Mapping
from typing import Any

from astropy.io import fits
from astropy.io.fits.verify import VerifyError
from astropy.time import Time
from ccdproc import Keyword

__all__ = [
    "EXPOSURE_KEY", "exposure_time", "keyword_name", "legal_header", "number_of",
    "observation_time",
]

#: The header keyword of the exposure time, unless another one is named.
EXPOSURE_KEY = "EXPTIME"

# The time of day, where the date stands alone.
_CLOCKS = ("UTC", "UT", "UTSTART", "UTC-OBS", "UT-OBS", "TIME-OBS")

_LEGAL_KEYWORD = re.compile(r"[A-Z0-9_-]*\Z")


def observation_time(header: Mapping) -> float | None:
    """
    Start of an exposure.

    Parameters
    ----------
    header : dict-like
        With ``MJD-OBS``, ``MJD`` or ``DATE-OBS``; where the latter is a date alone, the time of day
        may stand in ``UTC``, ``UT``, ``UTSTART``, ``UTC-OBS``, ``UT-OBS`` or ``TIME-OBS``.

    Returns
    -------
    float or None
        MJD; `None` if the header does not tell.

    Examples
    --------
    >>> from ccdproc_echelle.frames import observation_time
    >>> observation_time({"DATE-OBS": "2024-03-01T12:00:00"})
    60370.5
    >>> observation_time({"DATE-OBS": "2024-03-01", "UT": "12:00:00"})
    60370.5
    """
    for keyword in ("MJD-OBS", "MJD"):
        time = number_of(header.get(keyword))
        if time is not None:
            return time
    date = str(header.get("DATE-OBS", "")).strip()
    if "T" not in date:
        clock = next((str(header[name]) for name in _CLOCKS if ":" in str(header.get(name))), "")
        date = f"{date}T{clock.strip()}" if clock else date
    try:
        return float(Time(date).mjd)
    except ValueError:
        return None


def exposure_time(header: Mapping, keyword: str | Keyword | None = None) -> float | None:
    """
    How long an exposure took.

    Parameters
    ----------
    header : dict-like
        The header.
    keyword : str or `ccdproc.Keyword`, optional
        Which of its keywords tells. Default: ``EXPTIME``.

    Returns
    -------
    float or None
        Seconds; `None` if the header does not tell. A number that is written as text counts.

    Examples
    --------
    >>> from ccdproc_echelle.frames import exposure_time
    >>> exposure_time({"EXPTIME": 30}), exposure_time({"ELAPTIME": "12.5"}, "ELAPTIME")
    (30.0, 12.5)
    """
    return number_of(header.get(keyword_name(keyword or EXPOSURE_KEY)))


def keyword_name(keyword: str | Keyword) -> str:
    """
    The name of a header keyword, with or without ``HIERARCH``.

    Parameters
    ----------
    keyword : str or `ccdproc.Keyword`
        The keyword.

    Returns
    -------
    str

    Examples
    --------
    >>> from ccdproc_echelle.frames import keyword_name
    >>> keyword_name("HIERARCH ESO DET DIT")
    'ESO DET DIT'
    """
    name = keyword.name if isinstance(keyword, Keyword) else keyword
    return name.strip().removeprefix("HIERARCH ").strip()


def number_of(value: Any) -> float | None:
    """
    A number in a header, also one that is written as text.

    Parameters
    ----------
    value : object
        What stands in the header.

    Returns
    -------
    float or None
        `None` for what is no finite number.

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


def legal_header(header: fits.Header) -> tuple[fits.Header, list[str]]:
    """
    A header that can be written, and what FITS does not allow in the one that was read.

    A card with an illegal keyword becomes a ``HIERARCH`` card of the same name. One that has no
    value, continues nothing, or repeats a keyword is left out.

    Parameters
    ----------
    header : `~astropy.io.fits.Header`
        As it was read.

    Returns
    -------
    legal : `~astropy.io.fits.Header`
        A copy; illegal keywords are found in it as before.
    illegal : list of str
        Keywords of the cards that were changed or left out.

    Examples
    --------
    >>> from astropy.io import fits
    >>> from ccdproc_echelle.frames import legal_header
    >>> legal, illegal = legal_header(fits.Header.fromstring("GAIN.SPE= 5".ljust(80)))
    >>> legal["GAIN.SPE"], illegal
    (5, ['GAIN.SPE'])
    """
    cards, illegal, seen = [], [], set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for card in header.cards:
            found, name = _legal_card(copy.copy(card))
            if found is not None and _is_repeated(found, seen):
                found, name = None, found.keyword
            if found is not None:
                cards.append(found)
            if name:
                illegal.append(name)
        return fits.Header(cards), list(dict.fromkeys(illegal))


def _legal_card(card: fits.Card) -> tuple[fits.Card | None, str]:
    """What becomes of a card, and its keyword where that is another one."""
    keyword = card.keyword
    try:
        card.verify("silentfix")
        image = str(card)
    except VerifyError:
        return _renamed(card)
    if image.startswith("HIERARCH ") or _LEGAL_KEYWORD.match(image[:8].rstrip()):
        return card, ""
    return None, keyword


def _renamed(card: fits.Card) -> tuple[fits.Card | None, str]:
    try:
        return fits.Card(f"HIERARCH {card.keyword}", card.value, card.comment), card.keyword
    except (VerifyError, ValueError):
        pass
    # astropy reads a CONTINUE card as a part of the one before it, whatever that is.
    image = getattr(card, "_image", None) or ""
    if image[80:].startswith("CONTINUE"):
        return fits.Card.fromstring(image[:80]), "CONTINUE"
    return None, card.keyword


def _is_repeated(card: fits.Card, seen: set[str]) -> bool:
    """Whether a card has the keyword of one before it, although it is no comment."""
    is_comment = card.keyword in ("", "COMMENT", "HISTORY")
    repeated = card.keyword in seen and not is_comment
    seen.add(card.keyword)
    return repeated
