# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Fringes: predict each pixel from those around it, beyond blaze and slit profile.

Fringes are waves with a slowly changing period, and a wave is a linear function of its neighbours
on both sides. The coefficients are determined by least squares in each stretch of an order, so that
the period need not be known. In a flat without fringes there is no such function: its pixels are
independent.

Plain arrays of shape (n_rows, n_pixels): the pixels of an order, straightened by whole rows.
"""

import numpy as np
from scipy.ndimage import binary_opening

__all__ = ["fringe_pattern"]

# Neighbours of a pixel: distance in dispersion pixels and in rows.
_REACH, _ROWS = 3, 1

# One of each pair of opposite neighbours, as (rows, dispersion pixels).
_NEIGHBOURS = [(0, k) for k in range(1, _REACH + 1)] + [
    (row, k) for row in range(1, _ROWS + 1) for k in range(-_REACH, _REACH + 1)
]

# A larger excess is that of a bad pixel, or of a spot of them. If this many pixels of a column have
# one, and of each of several adjacent columns, the blaze is not known there, for example where the
# light ends within a few pixels. Fewer columns are bad ones.
_LARGEST_EXCESS, _MOST_BAD, _SEVERAL = 0.5, 0.3, 4

# There are fringes if they make up this fraction of the variance; number of values needed to see
# it.
_LEAST_PART, _ENOUGH = 0.3, 4000

# Number of dispersion pixels over which the period of fringes hardly changes.
_STRETCH = 500

# Number of times that bad neighbours are replaced by the values predicted for them.
_ROUNDS = 3


def fringe_pattern(excess: np.ndarray, good: np.ndarray, lowest: np.ndarray) -> np.ndarray | None:
    """
    Fringe pattern as a fraction of the light, or None if there are no fringes.

    ``excess`` is the relative excess of each pixel over blaze times slit profile, ``good`` is True
    where it is known, and ``lowest`` is the detector row of the first row in each column. The
    pattern is NaN in columns where the blaze is not known.
    """
    known, good = good, good & (np.abs(excess) < _LARGEST_EXCESS)
    excess = np.where(good, excess, 0)
    every = np.arange(excess.shape[1])
    some = every[:: max(1, good.sum() // _ENOUGH)]
    if not _predicted_part(excess, good, lowest, some) > _LEAST_PART:
        return None
    filled, pattern = excess, np.zeros_like(excess)
    for _ in range(_ROUNDS):
        for columns in np.array_split(every, max(1, len(every) // _STRETCH)):
            neighbours = _neighbours(filled, lowest, columns)
            coefficients = _coefficients(neighbours, excess[:, columns], good[:, columns])
            pattern[:, columns] = _predicted(neighbours, coefficients)
        filled = np.where(good, excess, pattern)
    return np.where(_blind(known, good), np.nan, pattern)


def _blind(known: np.ndarray, good: np.ndarray) -> np.ndarray:
    """Columns, several in a row, in which many of the known pixels are not good."""
    n_bad = np.count_nonzero(known & ~good, axis=0)
    blind = n_bad > _MOST_BAD * np.maximum(known.sum(axis=0), 1)
    blind = binary_opening(np.pad(blind, _SEVERAL, constant_values=True), np.ones(_SEVERAL))
    return blind[_SEVERAL:-_SEVERAL]


def _predicted_part(excess, good, lowest, columns) -> float:
    """Fraction of the variance in some columns that the neighbours predict."""
    neighbours = _neighbours(excess, lowest, columns)
    values, good = excess[:, columns], good[:, columns]
    left = values - _predicted(neighbours, _coefficients(neighbours, values, good))
    total = (values[good] ** 2).sum()
    return 1 - (left[good] ** 2).sum() / total if total > 0 else 0.0


def _neighbours(values: np.ndarray, lowest: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Sums of opposite neighbours on the detector, (n_neighbours, n_rows, n_columns); 0 if none."""
    n_rows, n_pixels = values.shape
    padded = np.pad(values, ((1, 1), (_REACH, _REACH)))
    places = np.array([_NEIGHBOURS, np.negative(_NEIGHBOURS)])  # (2, n_neighbours, 2)
    there = columns + places[..., 1:]
    higher = lowest[columns] - lowest[np.clip(there, 0, n_pixels - 1)] + places[..., :1]
    rows = np.arange(1, n_rows + 1)[:, None] + higher[..., None, :]
    found = padded[np.clip(rows, 0, n_rows + 1), there[..., None, :] + _REACH]
    return found[0] + found[1]


def _coefficients(neighbours: np.ndarray, values: np.ndarray, good: np.ndarray) -> np.ndarray:
    """Least-squares weights of the neighbours."""
    design = neighbours[:, good]
    # A single wave is predicted as well by some of the neighbours as by others.
    return np.linalg.pinv(design @ design.T, rcond=1e-6, hermitian=True) @ (design @ values[good])


def _predicted(neighbours: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    return np.tensordot(coefficients, neighbours, axes=1)
