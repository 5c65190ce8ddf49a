# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Pixels between the orders, and those columns of a fit to them that are the same in all frames."""

import numpy as np
from numpy.polynomial.chebyshev import chebvander

from ccdproc_echelle.light.interorder import OrderPixels, Sample
from ccdproc_echelle.light.scattered_equations import Groups, Normal
from ccdproc_echelle.light.surface import SurfaceBasis

__all__ = ["Scene", "wanted"]

# Degree, along each order, of the polynomial by which an edge may be off.
_EDGE_DEGREE = 4


class Scene:
    """
    Pixels between the orders, and those columns of the fit that are always the same.

    ``lit`` are the rows and columns with light, as of `SurfaceBasis`.
    """

    def __init__(self, usable, lit, lower, upper, margin):
        n_rows, n_columns = usable.shape
        self.shape = usable.shape
        self.order_pixels = OrderPixels(lower, upper, n_rows, lit)
        self.basis = SurfaceBasis(usable.shape, lit)
        self.penalty = self.basis.penalty
        seen, part = np.zeros_like(usable), tuple(slice(*ends) for ends in lit)
        seen[part] = usable[part]
        sample = Sample.drawn(seen, lower, upper, margin)
        # Neighbours in a gap share the same non-zero functions; they are kept together.
        first = self.basis.at(sample.rows, sample.columns).indices[:: self.basis.n_local]
        self.sample = sample.take(np.lexsort((first, sample.gap)))
        self.smooth = self.basis.at(self.sample.rows, self.sample.columns)
        self._groups = Groups(
            self.sample.gap, self.smooth.indices.reshape(len(first), -1), self.basis.size
        )
        middle = self.order_pixels.middle_rows
        self._at_orders = self.basis.at(
            middle, np.broadcast_to(self.order_pixels.middle_columns, middle.shape)
        )
        self._along = chebvander(np.linspace(-1, 1, n_columns), _EDGE_DEGREE).T
        self._gap_and_column = self._groups.gap * n_columns + self.sample.columns

    @property
    def n_gaps(self) -> int:
        return self._groups.n_gaps

    @property
    def gap(self) -> np.ndarray:
        """The gap of each pixel of the sample, counted from 0 without empty ones."""
        return self._groups.gap

    def light(self, brightness, surface) -> np.ndarray:
        """Brightness of the orders below and above each pixel of the sample, (2, n)."""
        scattered = (self._at_orders @ surface).reshape(brightness.shape)
        light = self.order_pixels.along_orders(np.maximum(brightness - scattered, 0))
        return light[self.sample.order, self.sample.columns]

    def shifts(self, coefficients) -> np.ndarray:
        """Polynomials along the orders in each pixel of the sample, (2, n)."""
        curves = np.moveaxis(coefficients @ self._along, 1, 0).reshape(2, -1)
        return curves[:, self._gap_and_column]

    def pull_on_shifts(self, pulls) -> np.ndarray:
        """Gradient with respect to the shifts, from that of each pixel."""
        n_columns = self.shape[1]
        sums = np.array([
            np.bincount(self._gap_and_column, pull, self.n_gaps * n_columns) for pull in pulls
        ]).reshape(2, self.n_gaps, n_columns)
        return np.moveaxis(sums @ self._along.T, 0, 1)

    def normal(self, columns, slopes, values, weights) -> Normal:
        """Normal equations for the surface, these columns and the shifts of the edges."""
        along = self._along[:, self.sample.columns]
        shifts = (slopes[:, None] * along).reshape(-1, len(values))
        smooth = self.smooth.data.reshape(len(values), -1)
        design = np.concatenate([smooth, columns.T, values[:, None], shifts.T], axis=1)
        design *= np.sqrt(weights)[:, None]
        return self._groups.normal(design, len(shifts))


def wanted(scene, dispersion_axis) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    Pixels of a frame that are needed, and the positions of the sample and of the orders in these.
    """

    def flattened(rows, columns):
        if dispersion_axis == 1:
            return rows * scene.shape[1] + columns
        return columns * scene.shape[0] + rows

    of_sample = flattened(scene.sample.rows, scene.sample.columns)
    orders = scene.order_pixels
    of_orders = flattened(orders.rows, orders.columns)
    needed = np.zeros(scene.shape[0] * scene.shape[1], dtype=bool)
    needed[of_sample] = needed[of_orders[orders.exist]] = True
    pixels = np.flatnonzero(needed)
    place = np.empty(needed.shape, dtype=np.int32)
    place[pixels] = np.arange(len(pixels))
    return pixels, place[of_sample], np.where(orders.exist, place[of_orders], len(pixels))
