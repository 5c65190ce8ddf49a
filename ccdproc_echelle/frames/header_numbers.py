# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Numbers that are given directly, or as the name of a header keyword."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from astropy import units as u
from ccdproc import Keyword

from ccdproc_echelle._words import did_you_mean
from ccdproc_echelle.frames.headers import keyword_name, number_of

__all__ = ["given_number"]


def given_number(
    name: str, value: Any, unit: u.UnitBase, header: Mapping, frame: str, *,
    may_be_zero: bool = False,
) -> float:
    """
    Evaluate a number that is given directly or in the header of a frame.

    Parameters
    ----------
    name : str
        Name used in messages.
    value : float, `~astropy.units.Quantity`, str or `ccdproc.Keyword`
        The number, or the name of a header keyword (with or without ``HIERARCH``).
    unit : `~astropy.units.Unit`
        Unit of the result; numbers without a unit are assumed to be in it.
    header : dict-like
        Header of the frame.
    frame : str
        Name of the frame used in messages.
    may_be_zero : bool, optional
        Whether 0 is allowed; negative numbers never are.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If it is not a single finite positive number in a compatible unit, or the header lacks the
        keyword.

    Examples
    --------
    >>> from astropy import units as u
    >>> from ccdproc_echelle.frames.header_numbers import given_number
    >>> given_number("gain", "GAIN", u.electron / u.adu, {"GAIN": "1.6"}, "flat.fits")
    1.6
    """
    source = name
    if isinstance(value, (str, Keyword)):
        keyword, value = _from_header(name, value, header, frame)
        source = f"{keyword} of {frame}, which {name} names,"
    is_switch = isinstance(value, (bool, np.bool_))
    try:
        number = u.Quantity(np.nan if is_switch else value, unit, dtype=float)
    except (TypeError, ValueError) as error:
        kind = f"in {unit}" if str(unit) else "without a unit, as for data in electrons"
        raise ValueError(f"{source} is {value!r}, expected a number {kind}") from error
    if number.shape != () or not np.isfinite(number.value):
        raise ValueError(f"{source} is {value}, expected a single finite number")
    if number.value < 0 or (number.value == 0 and not may_be_zero):
        kind = "a number that is not negative" if may_be_zero else "a positive number"
        raise ValueError(f"{source} is {value}, expected {kind}")
    return float(number.value)


def _from_header(name: str, keyword: str | Keyword, header: Mapping, frame: str) -> tuple:
    """Name and value of a header keyword."""
    unit = None
    if isinstance(keyword, Keyword):
        if keyword.value is not None:
            return keyword.name, keyword.value
        keyword, unit = keyword.name, keyword.unit
    key = keyword_name(keyword.upper())
    known = {str(k).upper(): k for k in header}
    if key not in known:
        raise ValueError(
            f"{name} is {keyword!r}, expected a number, or a keyword in the header of {frame}, "
            f"which has no keyword of that name{did_you_mean(key, known)}"
        )
    value = header[known[key]]
    number = number_of(value)
    if number is None:
        raise ValueError(f"{frame} has {key} = {value!r}, which {name} names; expected a number")
    return key, number if unit is None else u.Quantity(number, unit)
