# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Vetting by header: find frames taken with a different set-up from the others."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from astropy.io.fits.card import Undefined
from astropy.table import QTable
from ccdproc import Keyword

from ccdproc_echelle._warnings import warn
from ccdproc_echelle._words import and_others, counted
from ccdproc_echelle.frames import Frame, is_of_master_flat, keyword_name, list_frames, n_combined

__all__ = [
    "NOT_RAW", "READOUT_KEYWORDS", "SETUP_KEYWORDS", "TYPE_KEYWORDS", "comparable", "own_keywords",
    "type_of", "vet_setup", "warn_of_other_readout", "words_of",
]

#: Header keywords in which the flats of a set must agree: instrument and arm, binning, slit, lamp,
#: filter and disperser, read-out mode and gain.
SETUP_KEYWORDS = (
    "INSTRUME", "DETECTOR", "ESO SEQ ARM",
    "CCDSUM", "CCDBIN1", "CCDBIN2", "XBINNING", "YBINNING", "BINNING",
    "ESO DET WIN1 BINX", "ESO DET WIN1 BINY", "ESO DET BINX", "ESO DET BINY",
    "SLIT", "SLITNAME", "SLITMSKN", "DECKER", "DECKNAME",
    "ESO INS SLIT1 NAME", "ESO INS SLIT2 NAME", "ESO INS SLIT3 NAME",
    "ESO INS OPTI3 NAME", "ESO INS OPTI4 NAME", "ESO INS OPTI5 NAME", "LAMPFILT",
    "ESO INS GRAT1 WLEN", "ESO INS GRAT2 WLEN",
    "LAMP", "LAMPNAME", "FILTER", "FILTER2", "GRATING", "GRATNAME", "ECHNAME", "ECHANGL",
    "XDISPERS", "GRISM", "DISPERSR", "OBSMODE", "INSTMODE", "ESO INS MODE", "FILTER1", "FIL1NAME",
    "READMODE", "RDMODE", "READSPD", "ESO DET READ MODE", "ESO DET READ SPEED",
    "ESO DET READ CURNAME", "GAIN", "EGAIN", "ESO DET OUT1 CONAD",
)
#: Set-up keywords that describe the read-out of the detector: bias and dark must agree in these.
READOUT_KEYWORDS = (
    "shape", "INSTRUME", "DETECTOR", "ESO SEQ ARM",
    "CCDSUM", "CCDBIN1", "CCDBIN2", "XBINNING", "YBINNING", "BINNING",
    "ESO DET WIN1 BINX", "ESO DET WIN1 BINY", "ESO DET BINX", "ESO DET BINY",
    "READMODE", "RDMODE", "READSPD", "ESO DET READ MODE", "ESO DET READ SPEED",
    "ESO DET READ CURNAME", "GAIN", "EGAIN", "ESO DET OUT1 CONAD",
)
#: Header keywords for the type of a frame, most specific first.
TYPE_KEYWORDS = (
    "ESO DPR TYPE", "IMAGETYP", "IMTYPE", "OBSTYPE", "OBS-TYPE", "EXPTYPE", "FRAMETYP", "DATA-TYP",
    "OBJTYPE", "KOAIMTYP",
)

# Measured numbers in headers, such as a gain or a slit width, need to agree to this many digits.
_DIGITS = 3
#: End of the verdict on a frame that is not a raw frame.
NOT_RAW = ", not a raw one"


def vet_setup(
    frames: Any, *, keywords: Iterable[str] = SETUP_KEYWORDS, **reading: Any
) -> QTable:
    """
    Find frames taken with a different set-up, from shape, unit and headers alone.

    The set-up includes the type of the frame, which tells flats of the dome from those of the sky,
    and from bias and dark frames. The latter do not belong, even if they are in the majority.

    Other values of the majority are considered correct. If there is no most frequent value, as with
    two frames that differ, all frames get the same verdict, which lists the number of frames with
    each value. A master flat, and a combined frame among single exposures, also get a verdict.

    Parameters
    ----------
    frames : list, str or `ccdproc.ImageFileCollection`
        Raw flats, as for `ccdproc.combine`; only the headers of files are read.
    keywords : iterable of str, optional
        Header keywords that must agree, without ``HIERARCH``. Frames that lack a keyword are not
        compared by it. Fractional numbers that agree to three digits are equal.
    **reading
        Passed to ``CCDData.read``.

    Returns
    -------
    `~astropy.table.QTable`
        One row per frame: ``frame`` (name) and ``verdict``, which is empty or states what is wrong.

    See Also
    --------
    vet_frames, accepted_frames

    Examples
    --------
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> from ccdproc_echelle import vet_setup
    >>> flats = EchelleSimulation(shape=(256, 300), n_orders=5).flats(3)
    >>> flats[0].header["GAIN"] = 2.5
    >>> vet_setup(flats)["verdict"].tolist()
    ['another set-up: GAIN is 2.5, but 1 for the others', '', '']
    """
    keywords = own_keywords(keywords, "keywords")
    frames = list_frames(frames, argument="frames", **reading)
    headers = [frame.header for frame in frames]
    products = _products(headers)
    setups = [
        {} if product else _setup(frame, header, keywords)
        for frame, header, product in zip(frames, headers, products, strict=True)
    ]
    reasons = [[] for _ in frames]
    for name in ("shape", "unit", "type", *keywords):
        having = [i for i, setup in enumerate(setups) if name in setup]
        values = [setups[i][name] for i in having]
        usual = _commonest(_of_light(values) if name == "type" else values)
        for i, value in zip(having, values, strict=True):
            if usual is None:
                reasons[i].append(f"{name} is {_counted(values)}")
            elif value != usual:
                reasons[i].append(f"{name} is {value}, but {usual} for the others")
    verdicts = [
        product or ("another set-up: " + "; ".join(found) if found else "")
        for found, product in zip(reasons, products, strict=True)
    ]
    return QTable({"frame": [frame.name for frame in frames], "verdict": verdicts})


def own_keywords(
    keywords: Iterable[str | Keyword] | None, argument: str = "setup_keywords"
) -> list[str]:
    """
    Check the user's own set-up keywords.

    Parameters
    ----------
    keywords : iterable of str or `ccdproc.Keyword`, or None
        The keywords, with or without ``HIERARCH``.
    argument : str, optional
        Name of the argument, used in messages.

    Returns
    -------
    list of str
        Their names.

    Raises
    ------
    TypeError
        If it is a single string, or contains anything but keywords.

    Examples
    --------
    >>> from ccdproc_echelle.recipe.setups import own_keywords
    >>> own_keywords(["LAMPID", "HIERARCH ESO INS MODE"])
    ['LAMPID', 'ESO INS MODE']
    """
    if isinstance(keywords, str) or not isinstance(keywords, Iterable | None):
        raise TypeError(f"{argument} is {keywords!r}, expected a list of header keywords")
    return [keyword_name(keyword) for keyword in keywords or ()]


def warn_of_other_readout(kind: str, frames: Sequence[Frame], flats: Sequence[Frame]) -> None:
    """
    Warn if calibration frames were read out unlike the flats, going by their headers.

    Parameters
    ----------
    kind : str
        "bias" or "dark".
    frames, flats : sequence of `~ccdproc_echelle.frames.Frame`
        The calibration frames and the flats.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        Once, if any of the frames has a keyword with a value that none of the flats has.
    """
    names = READOUT_KEYWORDS[1:]  # frames of another shape are an error
    setups, expected = (
        [_values(frame.header, names) for frame in some] for some in (frames, flats)
    )
    found: dict[str, list[str]] = {}
    for name in names:
        usual = {setup[name]: None for setup in expected if name in setup}
        for frame, setup in zip(frames, setups, strict=True):
            if usual and setup.get(name) not in (None, *usual):
                difference = f"{name} is {setup[name]}, but {' or '.join(usual)} for the flats"
                found.setdefault(difference, []).append(frame.name)
    if found:
        reasons = (f"{some[0]}{and_others(some)}: {what}" for what, some in found.items())
        warn(
            f"the {kind} frames have a different set-up from the flats: {'; '.join(reasons)}; they "
            f"are used anyway: give {kind} frames that were read out like the flats"
        )


def comparable(value: Any) -> str:
    """
    Format a header value for comparison with that of another frame.

    Parameters
    ----------
    value : object
        The value.

    Returns
    -------
    str
        Fractional numbers, also as text, are rounded to three digits.

    Examples
    --------
    >>> from ccdproc_echelle.recipe.setups import comparable
    >>> comparable(2.0), comparable("1.2345"), comparable(" slow ")
    ('2', '1.23', 'slow')
    """
    if isinstance(value, str) and re.fullmatch(r"\s*[-+]?\d+\.\d*\s*", value):
        value = float(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else f"{value:.{_DIGITS}g}"
    return " ".join(str(value).split())


def type_of(header: Mapping) -> dict[str, str]:
    """
    Read the type of a frame from its header, such as that of a sky flat.

    Parameters
    ----------
    header : dict-like
        Header of a raw frame.

    Returns
    -------
    dict
        Its words in lower case as ``type``; empty if no keyword but the title of the frame gives
        its type.

    Examples
    --------
    >>> from ccdproc_echelle.recipe.setups import type_of
    >>> [type_of({"OBSTYPE": word})["type"] for word in ("SkyFlat", "Flat Field", "FLAT")]
    ['skyflat', 'flat', 'flat']
    """
    words = (words_of(str(header.get(name, ""))) for name in TYPE_KEYWORDS)
    own = re.sub(r" *\b(field|frame)\b", "", next(filter(None, words), ""))
    return {"type": own} if own else {}


def words_of(text: str) -> str:
    """
    Reduce a header value to its words.

    Parameters
    ----------
    text : str
        The value.

    Returns
    -------
    str
        Letters and single blanks, in lower case.

    Examples
    --------
    >>> from ccdproc_echelle.recipe.setups import words_of
    >>> words_of("LAMP,FLAT  2")
    'lamp flat'
    """
    return re.sub("[^a-z]+", " ", text.lower()).strip()


def _products(headers: Sequence[Mapping]) -> list[str]:
    """Verdict on each frame that is a product of raw frames; otherwise empty."""
    numbers = [n_combined(header) for header in headers]
    single = 1 in numbers  # otherwise the user has chosen combined frames
    return [
        f"it is a master flat{NOT_RAW}" if is_of_master_flat(header) else
        f"it is a combination of {n} frames, such as a master flat{NOT_RAW}" if single and n > 1
        else ""
        for header, n in zip(headers, numbers, strict=True)
    ]


def _setup(frame: Frame, header: Mapping, keywords: Sequence[str]) -> dict[str, Any]:
    about = {"shape": frame.shape, "unit": str(frame.unit) or "dimensionless"}
    return about | type_of(header) | _values(header, keywords)


def _values(header: Mapping, keywords: Iterable[str]) -> dict[str, str]:
    """The values of those keywords that have one."""
    values = {name: header[name] for name in keywords if name in header}
    return {
        name: comparable(value) for name, value in values.items()
        if not isinstance(value, Undefined | None) and str(value).strip()
    }


def _of_light(types: Sequence[str]) -> Sequence[str]:
    """Types other than bias and dark, which are no flats even if they are in the majority."""
    return [kind for kind in types if not re.search("bias|zero|dark", kind)] or types


def _counted(values: Sequence[Any]) -> str:
    """Each value, and the number of frames that have it."""
    return " or ".join(
        f"{value} ({counted(number, 'frame')})"
        for value, number in Counter(values).most_common()
    )


def _commonest(values: Sequence[Any]) -> Any:
    """The most frequent value; `None` if there are several."""
    ranked = Counter(values).most_common(2)
    tied = len(ranked) == 2 and ranked[0][1] == ranked[1][1]
    return ranked[0][0] if ranked and not tied else None
