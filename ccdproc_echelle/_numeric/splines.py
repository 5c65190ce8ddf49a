# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Cubic B-splines as polynomials between their knots, which are fast to evaluate."""

import numpy as np
from scipy.interpolate import BSpline

__all__ = ["CubicSplines"]

_DEGREE = 3


class CubicSplines:
    """
    The cubic B-splines between ``breaks``, with the outer knots repeated.

    Between two breaks four of them are non-zero, each a polynomial in the position from -1 to 1
    within that piece.
    """

    def __init__(self, breaks: np.ndarray):
        self.knots = np.pad(breaks, _DEGREE, mode="edge")
        self.n = len(breaks) + _DEGREE - 1
        self._breaks = breaks
        self._middle, self._half = 0.5 * (breaks[1:] + breaks[:-1]), 0.5 * np.diff(breaks)
        inside = np.array([-0.9, -0.3, 0.3, 0.9])
        places = self._middle[:, None] + self._half[:, None] * inside
        values = BSpline.design_matrix(places.ravel(), self.knots, _DEGREE).data
        values = values.reshape(-1, len(inside), _DEGREE + 1)
        # (n_pieces, power, spline)
        self.polynomials = np.linalg.inv(np.vander(inside, increasing=True)) @ values

    def locate(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The piece that contains each place, and the position in it."""
        piece = np.searchsorted(self._breaks[1:-1], x, side="right")
        return piece, (x - self._middle[piece]) / self._half[piece]

    def values(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The piece that contains each place, and the four splines there, in a new last axis."""
        piece, position = self.locate(x)
        powers = position[..., None] ** np.arange(_DEGREE + 1)
        return piece, (powers[..., None] * self.polynomials[piece]).sum(axis=-2)

    def design(self, x: np.ndarray) -> np.ndarray:
        """All splines at each place, (n_places, n)."""
        piece, values = self.values(x)
        design = np.zeros((len(x), self.n))
        np.put_along_axis(design, piece[:, None] + np.arange(_DEGREE + 1), values, axis=1)
        return design

    def second_differences(self) -> np.ndarray:
        """Second differences of the coefficients, scaled by their spacing; 0 for straight lines."""
        sites = np.convolve(self.knots[1:-1], np.full(_DEGREE, 1 / _DEGREE), mode="valid")
        slopes = np.diff(np.eye(self.n), axis=0) / np.diff(sites)[:, None] * np.diff(sites).mean()
        return np.diff(slopes, axis=0)
