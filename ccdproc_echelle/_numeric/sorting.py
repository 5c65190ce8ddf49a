# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Sorting networks: the columns of a few rows are sorted in parallel."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

__all__ = ["median_of_rows", "middle_of_rows", "sorted_rows"]

# For more frames than this, NumPy's own sort is faster than the network.
_LARGEST_NETWORK = 64


def median_of_rows(values: np.ndarray) -> np.ndarray:
    """Median of each column; the input is not modified."""
    return middle_of_rows(_arranged(values, _median_network))


def sorted_rows(values: np.ndarray) -> list[np.ndarray] | np.ndarray:
    """The values of each column in ascending order; the input is not modified."""
    return _arranged(values, _sorting_network)


def middle_of_rows(rows: list[np.ndarray] | np.ndarray) -> np.ndarray:
    n = len(rows)
    if n % 2:
        return rows[n // 2].copy()
    return (rows[n // 2 - 1] + rows[n // 2]) / 2


def _arranged(values: np.ndarray, network: Callable) -> list[np.ndarray] | np.ndarray:
    """Rows after applying a network for their number, or completely sorted if there are many."""
    n = len(values)
    if n > _LARGEST_NETWORK:
        return np.sort(values, axis=0)
    rows, spare = list(values.copy()), np.empty_like(values[0])
    for i, j in network(n):
        low, high = rows[i], rows[j]
        np.minimum(low, high, out=spare)
        np.maximum(low, high, out=high)
        rows[i], spare = spare, low
    return rows


@lru_cache
def _sorting_network(n: int) -> tuple[tuple[int, int], ...]:
    """Comparators of Batcher's odd-even merge sort for any number of rows (Knuth, 5.2.2 M)."""
    comparators = []
    p = 1 << max(n - 1, 0).bit_length() >> 1
    while p > 0:
        q, r, d = 1 << max(n - 1, 0).bit_length() >> 1, 0, p
        while True:
            comparators += [(i, i + d) for i in range(n - d) if i & p == r]
            if q == p:
                break
            d, q, r = q - p, q >> 1, p
        p >>= 1
    return tuple(comparators)


@lru_cache
def _median_network(n: int) -> tuple[tuple[int, int], ...]:
    """The comparators of the sorting network on which the middle rows depend."""
    needed, comparators = {(n - 1) // 2, n // 2}, []
    for pair in reversed(_sorting_network(n)):
        if needed.intersection(pair):
            needed.update(pair)
            comparators.append(pair)
    return tuple(reversed(comparators))
