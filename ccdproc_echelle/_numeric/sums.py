# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Sums and means over the frames of a stack, one after the other, in double precision."""

import numpy as np
from numpy.typing import DTypeLike

__all__ = ["column_mean", "column_sum", "total_weight"]


def column_sum(
    rows: np.ndarray, weights: np.ndarray | None = None, dtype: DTypeLike = float
) -> np.ndarray:
    """
    Sum over the frames, one after the other, in double precision unless ``dtype`` is given.

    Single precision is accurate enough for sums of squares, and faster.
    """
    terms = iter(rows) if weights is None else map(np.multiply, rows, weights)
    total = next(terms).astype(dtype)
    for term in terms:
        total += term
    return total.astype(float, copy=False)


def total_weight(values: np.ndarray, weights: np.ndarray | None) -> np.ndarray | int:
    """Sum of the weights of a stack of values; None stands for weights of 1."""
    return len(values) if weights is None else column_sum(weights)


def column_mean(values: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return (column_sum(values, weights) / total_weight(values, weights)).astype(values.dtype)
