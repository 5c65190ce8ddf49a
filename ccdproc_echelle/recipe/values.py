# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Types of the values of recipe keywords, in a call or in a TOML file."""

from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np

from ccdproc_echelle._numeric.arguments import is_number
from ccdproc_echelle._tasks import is_executor

__all__ = ["check_values"]


def _is_switch(value: Any) -> bool:
    return isinstance(value, (bool, np.bool_, Integral))


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


# Expected type, its test, and the keywords of that type. Others are checked where they are used.
_KINDS = (
    ("a number", is_number, (
        "window", "margin", "n_passes", "min_signal_to_noise", "mem_limit", "nlow", "nhigh",
        "minmax_clip_min", "minmax_clip_max", "sigma_clip_low_thresh", "sigma_clip_high_thresh",
    )),
    ("True or False", _is_switch, (
        "scale_dark", "check_table", "oscan_median", "sigma_clip", "clip_extrema", "minmax_clip",
    )),
    ("keywords with their values", _is_table, (
        "trace_keywords", "edge_keywords", "sensitivity_keywords",
    )),
    ("a function", callable, ("combine_uncertainty_function",)),
    ("an executor", is_executor, ("executor",)),
)


def check_values(keywords: Mapping[str, Any], where: str = "") -> None:
    """
    Raise if a value has the wrong type; `None` is always accepted.

    Parameters
    ----------
    keywords : dict
        Keywords of `make_master_flat`.
    where : str, optional
        Where the values are given, such as ``" in flats.toml"``.

    Raises
    ------
    TypeError
        If a value has the wrong type for its keyword.

    Examples
    --------
    >>> from ccdproc_echelle.recipe import check_values
    >>> check_values({"window": "wide"}, " in flats.toml")
    Traceback (most recent call last):
    ...
    TypeError: window in flats.toml is 'wide', expected a number
    """
    for expected, is_such, names in _KINDS:
        for name in names:
            value = keywords.get(name)
            if value is not None and not is_such(value):
                raise TypeError(f"{name}{where} is {value!r}, expected {expected}")
