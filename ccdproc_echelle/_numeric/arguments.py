# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Check numbers that are given as arguments, in one way everywhere."""

from typing import Any

import numpy as np

__all__ = ["expect", "is_finite", "is_number", "is_whole"]


def expect(good: bool, name: str, value: Any, expected: str) -> None:
    """
    Raise if an argument is not as expected.

    Parameters
    ----------
    good : bool
        Whether it is.
    name : str
        The argument.
    value : object
        Its value.
    expected : str
        What is expected.

    Raises
    ------
    ValueError
        If it is not good; the message names the argument, its value and what was expected.

    Examples
    --------
    >>> from ccdproc_echelle._numeric.arguments import expect, is_number
    >>> expect(is_number("wide"), "window", "wide", "a number of pixels")
    Traceback (most recent call last):
    ...
    ValueError: window is 'wide', expected a number of pixels
    """
    if not good:
        bare = ", without a unit" if hasattr(value, "unit") else ""
        raise ValueError(f"{name} is {value!r}, expected {expected}{bare}")


def is_number(value: Any) -> bool:
    """
    Whether a value is a single real number; truth values, text and quantities are none.

    Parameters
    ----------
    value : object
        The value.

    Returns
    -------
    bool

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle._numeric.arguments import is_number
    >>> is_number(np.float32(2)), is_number(np.inf), is_number(True), is_number([2])
    (True, True, False, False)
    """
    bare = not hasattr(value, "unit") and not isinstance(value, np.ma.MaskedArray)
    return bare and np.ndim(value) == 0 and np.asarray(value).dtype.kind in "fiu"


def is_finite(
    value: Any, *, above: float = -np.inf, below: float = np.inf, least: float = -np.inf
) -> bool:
    """
    Whether a value is a single finite real number within limits.

    Parameters
    ----------
    value : object
        The value.
    above, below : float, optional
        Limits that are excluded themselves.
    least : float, optional
        The smallest that is allowed.

    Returns
    -------
    bool

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle._numeric.arguments import is_finite
    >>> is_finite(2), is_finite(np.nan), is_finite(0, above=0), is_finite(True)
    (True, False, False, False)
    """
    return is_number(value) and bool(above < value < below and value >= least)


def is_whole(value: Any, *, least: int) -> bool:
    """
    Whether a value is an integer; truth values are none.

    Parameters
    ----------
    value : object
        The value.
    least : int
        The smallest that is allowed.

    Returns
    -------
    bool

    Examples
    --------
    >>> from ccdproc_echelle._numeric.arguments import is_whole
    >>> is_whole(3, least=1), is_whole(3.0, least=1), is_whole(True, least=1)
    (True, False, False)
    """
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= least
