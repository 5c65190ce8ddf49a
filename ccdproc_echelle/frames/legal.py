# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Headers that violate the FITS standard, which can be read but not written."""

import copy
import re
import warnings

from astropy.io import fits
from astropy.io.fits.verify import VerifyError
from astropy.nddata import CCDData

from ccdproc_echelle._warnings import warn

__all__ = ["hdus_of", "legal_header", "printable"]

_LEGAL_KEYWORD = re.compile(r"[A-Z0-9_-]*\Z")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")

# Keywords of cards that hold text rather than a value.
_COMMENTARY = ("", "COMMENT", "HISTORY")


def legal_header(header: fits.Header) -> tuple[fits.Header, list[str]]:
    """
    Make a header legal, and list the cards that violate the FITS standard.

    A card with an illegal keyword becomes a ``HIERARCH`` card of the same name, and characters that
    cannot be printed become blanks. Cards without a value, ``CONTINUE`` cards that continue
    nothing, and repeated keywords are dropped.

    Parameters
    ----------
    header : `~astropy.io.fits.Header`
        The header as it was read.

    Returns
    -------
    legal : `~astropy.io.fits.Header`
        A copy; illegal keywords can be accessed as before.
    illegal : list of str
        Keywords of the cards that were changed or dropped.

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
            card, cleaned = _printable_card(card)
            found, name = _legal_card(copy.copy(card))
            name = name or cleaned
            if found is not None and _is_repeated(found, seen):
                found, name = None, found.keyword
            if found is not None:
                cards.append(found)
            if name:
                illegal.append(name)
        return fits.Header(cards), list(dict.fromkeys(illegal))


def hdus_of(ccd: CCDData) -> fits.HDUList:
    """
    HDUs of a frame, whose metadata may be a dictionary of any content.

    Parameters
    ----------
    ccd : `~astropy.nddata.CCDData`
        The frame.

    Returns
    -------
    `astropy.io.fits.HDUList`

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If the metadata have entries that a FITS header cannot hold; these are left out.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.nddata import CCDData
    >>> from ccdproc_echelle.frames import hdus_of
    >>> hdus_of(CCDData(np.ones((2, 3)), unit="adu", meta={"LAMP": "QTH"}))[0].header["LAMP"]
    'QTH'
    """
    if isinstance(ccd.header, fits.Header):
        return ccd.to_hdu()
    ccd = copy.copy(ccd)
    # Not a dictionary: astropy cannot write one that has a number under a long keyword.
    metadata, ccd.header, missing = ccd.header, fits.Header(), []
    for key, value in metadata.items():
        text = printable(value) if isinstance(value, str) else value
        if _is_card(key, text):
            with warnings.catch_warnings(action="ignore"):
                ccd.header[key] = text
        else:
            missing.append(str(key))
    if missing:
        warn(
            f"entries of the metadata are not written, since a FITS header cannot hold them: "
            f"{', '.join(missing)}"
        )
    return ccd.to_hdu()


def _is_card(key: str, value: object) -> bool:
    with warnings.catch_warnings(action="ignore"):
        try:
            return bool(str(fits.Header({key: value})))
        except Exception:  # astropy may raise anything, depending on the value
            return False


def printable(text: str) -> str:
    """
    Text with question marks for all characters that a FITS header cannot hold.

    Parameters
    ----------
    text : str
        The text, such as the name of a file.

    Returns
    -------
    str

    Examples
    --------
    >>> from ccdproc_echelle.frames import printable
    >>> printable("flat\\t1.fits")
    'flat?1.fits'
    """
    return _UNPRINTABLE.sub("?", text)


def _printable_card(card: fits.Card) -> tuple[fits.Card, str]:
    """The card in printable characters, and its keyword if it had others."""
    image = getattr(card, "_image", None) or ""
    if not _UNPRINTABLE.search(image):
        return card, ""
    card = fits.Card.fromstring(_UNPRINTABLE.sub(" ", image))
    return card, card.keyword


def _legal_card(card: fits.Card) -> tuple[fits.Card | None, str]:
    """The card to write, and its keyword if that was changed."""
    keyword = card.keyword
    try:
        card.verify("silentfix")
        image = str(card)
    except VerifyError:
        return _renamed(card)
    name, is_long = image[:8].rstrip(), image.startswith("HIERARCH ")
    has_value = "=" in image if is_long else image[8:10] == "= "
    if name in _COMMENTARY or (has_value and (is_long or _LEGAL_KEYWORD.match(name))):
        return card, ""
    return None, keyword


def _renamed(card: fits.Card) -> tuple[fits.Card | None, str]:
    try:
        return fits.Card(f"HIERARCH {card.keyword}", card.value, card.comment), card.keyword
    except (VerifyError, ValueError):
        pass
    # astropy treats a CONTINUE card as part of the one before it, whatever that is.
    image = getattr(card, "_image", None) or ""
    if image[80:].startswith("CONTINUE"):
        return fits.Card.fromstring(image[:80]), "CONTINUE"
    return None, card.keyword


def _is_repeated(card: fits.Card, seen: set[str]) -> bool:
    """Whether a card repeats the keyword of an earlier one, and is not a comment."""
    is_comment = card.keyword in _COMMENTARY
    repeated = card.keyword in seen and not is_comment
    seen.add(card.keyword)
    return repeated
