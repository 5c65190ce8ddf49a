# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Identify the type of a frame, in the various spellings in use: flat, bias, dark or lamp-off."""

import re
from collections.abc import Mapping

from ccdproc_echelle.frames import is_of_master_flat
from ccdproc_echelle.recipe.setups import TYPE_KEYWORDS, words_of

__all__ = ["kind_of"]

# The title of a frame is the last resort.
_TITLE = "OBJECT"

# Regular expressions for the value, in the order in which they are tried.
_WORDS = {
    "product": r"master|product",
    "other": r"science|orderdef|wave|arc|comp|std|object$",
    "bias": r"bias|zero",
    "off": r"lamp *off|(flat|lamp).* off|off.*(flat|lamp)",
    "dark": r"dark",
    "flat": r"flat|quartz|\btun\b",
}


def kind_of(header: Mapping) -> tuple[str | None, str]:
    """
    Identify the type of a frame from its header.

    Parameters
    ----------
    header : dict-like
        With ``IMAGETYP``, ``ESO DPR TYPE``, ``OBSTYPE`` or similar, in any spelling.

    Returns
    -------
    kind : {"flat", "bias", "dark", "off"} or None
        Type of the frame. ``"off"`` is a frame without light that serves as the dark of flats;
        `None` means none of these.
    reason : str
        Reason if it is none of these; otherwise empty.

    Examples
    --------
    >>> from ccdproc_echelle.recipe.night import kind_of
    >>> [kind_of({"IMAGETYP": word})[0] for word in ("Flat Field", "Bias Frame", "DARK")]
    ['flat', 'bias', 'dark']
    >>> kind_of({"ESO DPR TYPE": "LAMP,FLAT", "LAMP": "off"})
    ('off', '')
    >>> kind_of({"IMAGETYP": "object"})
    (None, "IMAGETYP is 'object', neither flat, bias nor dark")
    """
    if is_of_master_flat(header):
        return None, "it is a master flat, not a raw frame"
    keyword = next((name for name in (*TYPE_KEYWORDS, _TITLE) if _value(header, name)), None)
    if keyword is None:
        return None, f"no keyword gives its type; expected one of {', '.join(TYPE_KEYWORDS)}"
    if _is_partly_lit(_value(header, keyword)):
        return None, f"{keyword} is {_value(header, keyword)!r}: only some of the fibres are lit"
    words = words_of(_value(header, keyword))
    kind = next((kind for kind, found in _WORDS.items() if re.search(found, words)), None)
    if kind == "product":
        return None, f"{keyword} is {_value(header, keyword)!r}: a product, not a raw frame"
    if kind in (None, "other"):
        return None, f"{keyword} is {_value(header, keyword)!r}, neither flat, bias nor dark"
    return ("off" if kind == "flat" and _lamp_is_off(header) else kind), ""


def _value(header: Mapping, keyword: str) -> str:
    return str(header.get(keyword, "")).strip()


def _is_partly_lit(value: str) -> bool:
    """Whether a lamp is on in one fibre only: LAMP,DARK,TUN of HARPS, FLAT,LAMP,OFF of ESPRESSO."""
    parts = [part.strip() for part in value.lower().split(",")]
    fibres = parts[1:] if parts[0] == "flat" else parts[:-1] if parts[-1] == "tun" else []
    return "lamp" in fibres and not {"dark", "off"}.isdisjoint(fibres)


def _lamp_is_off(header: Mapping) -> bool:
    """According to the lamp or, for X-shooter and SOXS, a flat of the closed spectrograph."""
    lamps = (_value(header, name).lower() for name in ("LAMP", "LAMPNAME", "LAMPSTAT"))
    closed = _value(header, "ESO DPR TECH").upper() == "IMAGE"
    return any(lamp in ("off", "none", "closed") for lamp in lamps) or closed
