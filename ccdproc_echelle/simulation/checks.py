# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Check parameters where they are given."""

import numpy as np

__all__ = ["check"]


def check(name, value, low=-np.inf, high=np.inf, *, integer=False):
    """Raise unless value is a finite number, or an integer, from low to high."""
    kinds = (int, np.integer) if integer else (int, float, np.integer, np.floating)
    number = isinstance(value, kinds) and not isinstance(value, bool)
    if not (number and np.isfinite(value) and low <= value <= high):
        kind = "an integer" if integer else "a finite number"
        raise ValueError(f"{name} is {value!r}, expected {kind} from {low:g} to {high:g}")
