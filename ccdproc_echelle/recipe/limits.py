# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Limits of the quality of a master flat: read, checked, and applied to a quality table."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from astropy.table import QTable

from ccdproc_echelle._words import meant_or_expected
from ccdproc_echelle.frames import user_path
from ccdproc_echelle.recipe.metrics import METRICS

__all__ = ["checked_limits", "limited", "verdict_on", "with_limits"]


def with_limits(quality: QTable, limits: Mapping[str, Any] | str | os.PathLike | None) -> QTable:
    """
    Apply different limits to a quality table.

    Parameters
    ----------
    quality : `~astropy.table.QTable`
        Table returned by `flat_quality`.
    limits : dict or path-like, optional
        Maps the name of a quantity to a pair ``(lower, upper)``, in the unit of the table, with
        `None` for no limit; or the name of a YAML file with lines such as ``level_spread: [null,
        0.5]``.

    Returns
    -------
    `~astropy.table.QTable`
        A copy with the given limits and the resulting verdicts; other rows are unchanged. A value
        equal to a limit passes. An unknown value fails, since it cannot be shown to be within the
        requested limits.

    Raises
    ------
    ValueError
        If a name is unknown (the message suggests the closest known name), or an entry is not a
        pair of numbers in ascending order.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> from ccdproc_echelle import with_limits
    >>> with_limits([], {"levelspread": (0, 1)})
    Traceback (most recent call last):
    ...
    ValueError: unknown quantity 'levelspread' in limits; did you mean 'level_spread'?
    """
    return limited(quality, checked_limits(limits))


def checked_limits(limits) -> dict[str, tuple[float, float]]:
    """
    Convert limits to pairs of numbers.

    Parameters
    ----------
    limits : dict, path-like or None
        See `with_limits`.

    Returns
    -------
    dict
        Lower and upper limit by name; NaN if there is none.

    Raises
    ------
    ValueError
        If a limit is malformed or for an unknown quantity.
    OSError
        If the file with limits cannot be read.
    """
    if limits is None:
        return {}
    source = "limits"
    if isinstance(limits, (str, os.PathLike)):
        source, limits = str(limits), _loaded(user_path(limits))
    if not isinstance(limits, Mapping):
        raise ValueError(
            f"{source} holds a {type(limits).__name__}, expected pairs (lower, upper) by name"
        )
    for name in limits:
        if name not in METRICS:
            raise ValueError(
                f"unknown quantity {name!r} in {source}{meant_or_expected(str(name), METRICS)}"
            )
    return {name: _pair(pair, f"{name} in {source}") for name, pair in limits.items()}


def limited(quality: QTable, limits: Mapping[str, tuple[float, float]]) -> QTable:
    """
    `with_limits` for limits that have been checked.

    Parameters
    ----------
    quality : `~astropy.table.QTable`
        The quality table.
    limits : dict
        Limits returned by `checked_limits`.

    Returns
    -------
    `~astropy.table.QTable`
    """
    result = quality.copy()
    names = list(result["name"])
    verdicts = [str(verdict) for verdict in result["verdict"]]
    for name, (lower, upper) in limits.items():
        row = names.index(name)
        result["lower"][row], result["upper"][row] = lower, upper
        verdicts[row] = verdict_on(result["value"][row], lower, upper)
    result["verdict"] = verdicts
    return result


def verdict_on(value: float, lower: float, upper: float) -> str:
    """
    Judge a value by its limits.

    Parameters
    ----------
    value : float
        The value; NaN is never within limits.
    lower, upper : float
        The limits; NaN is no limit.

    Returns
    -------
    str
        "pass", "fail", or "" if there is no limit.
    """
    if np.isnan(lower) and np.isnan(upper):
        return ""
    within = (np.isnan(lower) or value >= lower) and (np.isnan(upper) or value <= upper)
    return "pass" if within else "fail"


def _loaded(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a YAML file: {error}") from error


def _pair(pair: Any, name: str) -> tuple[float, float]:
    if not isinstance(pair, (list, tuple)) or len(pair) != 2:
        raise ValueError(f"{name} is {pair!r}, expected a pair (lower, upper)")
    lower, upper = (_limit(value, name) for value in pair)
    if lower > upper:
        raise ValueError(f"{name} is {pair!r}, expected lower <= upper")
    return lower, upper


def _limit(value: Any, name: str) -> float:
    """YAML reads 1e-3 as text."""
    if value is None:
        return np.nan
    try:
        number = np.nan if isinstance(value, (bool, np.bool_)) else float(value)
    except (TypeError, ValueError):
        number = np.nan
    if np.isnan(number):
        raise ValueError(f"{name} has the limit {value!r}, expected a number or None")
    return number
