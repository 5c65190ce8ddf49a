# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What headers say of an exposure, and what only of the file it was in."""

import copy
import re
from collections.abc import Mapping, MutableMapping

from astropy.time import Time

__all__ = [
    "IMAGE_TYPE_OF_MASTER",
    "exposure_time",
    "is_of_master_flat",
    "observation_time",
    "without_file_cards",
]

#: ``IMAGETYP`` of a master flat.
IMAGE_TYPE_OF_MASTER = "master flat"

# Keywords that describe one HDU of one file: its layout, the scaling and range of its numbers, its
# name, its checksums, and how it was compressed. They are wrong for whatever is made from it.
_FILE_CARDS = re.compile(
    r"SIMPLE|XTENSION|BITPIX|NAXIS\d*|EXTEND|PCOUNT|GCOUNT|GROUPS|INHERIT|EXT(NAME|VER|LEVEL)"
    r"|BSCALE|BZERO|BLANK|DATA(MIN|MAX|SUM)|CHECKSUM"
    r"|Z(HECKSUM|DATASUM|IMAGE|TENSION|SIMPLE|EXTEND|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|TILE\d+)"
    r"|Z(CMPTYPE|NAME\d+|VAL\d+|QUANTIZ|DITHER0|BLANK|SCALE|ZERO|MASKCMP)"
)


def without_file_cards(header: MutableMapping) -> MutableMapping:
    """
    What a header says of the exposure, and not of the file it was in.

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


def observation_time(header: Mapping) -> float | None:
    """
    Start of an exposure.

    Parameters
    ----------
    header : dict-like
        With ``MJD-OBS`` or ``DATE-OBS``.

    Returns
    -------
    float or None
        MJD; `None` if the header does not tell.

    Examples
    --------
    >>> from ccdproc_echelle.frames import observation_time
    >>> observation_time({"DATE-OBS": "2024-03-01T12:00:00"})
    60370.5
    """
    for keyword in ("MJD-OBS", "DATE-OBS"):
        value = header.get(keyword)
        if value is not None:
            try:
                return float(value) if keyword == "MJD-OBS" else float(Time(value).mjd)
            except ValueError:
                continue
    return None


def exposure_time(header: Mapping) -> float | None:
    """
    How long an exposure took.

    Parameters
    ----------
    header : dict-like
        With ``EXPTIME``.

    Returns
    -------
    float or None
        Seconds; `None` if the header does not tell.

    Examples
    --------
    >>> from ccdproc_echelle.frames import exposure_time
    >>> exposure_time({"EXPTIME": 30})
    30.0
    """
    time = header.get("EXPTIME")
    return float(time) if isinstance(time, (int, float)) else None


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
        True by its ``FLATVERS``, ``IMAGETYP`` or ``ESO PRO CATG``.

    Examples
    --------
    >>> from ccdproc_echelle.frames import is_of_master_flat
    >>> is_of_master_flat({"IMAGETYP": "Master Flat"}), is_of_master_flat({"IMAGETYP": "FLAT"})
    (True, False)
    """
    words = (str(header.get(keyword, "")).lower() for keyword in ("IMAGETYP", "ESO PRO CATG"))
    return "FLATVERS" in header or any(
        re.sub("[^a-z]", "", word).startswith("masterflat") for word in words
    )
