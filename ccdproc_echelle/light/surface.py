# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
A smooth surface over the detector and its error, of which any rows can be computed.

Matrices with a row per pixel have a few elements in each row and are kept sparse: with dense
products this thin, the threads of BLAS would mostly wait for each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import DTypeLike
from scipy.interpolate import BSpline
from scipy.sparse import csr_array

__all__ = ["ScatteredLight", "SurfaceBasis", "SurfaceError", "sums_of"]

# Intervals between the knots of the surface along each axis; the penalty makes it smoother.
_INTERVALS = 8

# Number of cubic splines that are non-zero at any position.
_SUPPORT = 4

# Steps of the grid on which the error of the surface, which is itself smooth, is computed.
_ERROR_STEPS = 32

# Rows of weights that are summed at once.
_ROWS_AT_ONCE = 256

_EVERYWHERE = slice(None)

# Number of sections kept: as many as threads may be working on, each for all frames in turn.
_KEPT_SECTIONS = 16


@dataclass(frozen=True)
class SurfaceBasis:
    """
    Bicubic B-splines over a detector.

    Attributes
    ----------
    shape : tuple of int
        Rows and columns.
    lit : tuple of (int, int)
        First lit row and the one after the last, and the same for the columns. No light falls on
        the borders outside.
    """

    shape: tuple[int, int]
    lit: tuple[tuple[int, int], tuple[int, int]]

    n_along_axis = _INTERVALS + _SUPPORT - 1
    n_local = _SUPPORT**2

    @property
    def size(self) -> int:
        """Number of functions."""
        return self.n_along_axis**2

    @property
    def penalty(self) -> np.ndarray:
        """Matrix of the squared second differences of the coefficients along both axes."""
        one = np.eye(self.n_along_axis)
        differences = np.diff(one, 2, axis=0)
        along_one_axis = differences.T @ differences
        return np.kron(along_one_axis, one) + np.kron(one, along_one_axis)

    def one_axis(self, axis: int, positions) -> csr_array:
        """The functions along one axis at some positions, with four elements per row."""
        size = self.shape[axis]
        knots = np.arange(-3, _INTERVALS + _SUPPORT) * (size / _INTERVALS) - 0.5
        positions = np.ravel(positions).astype(float)
        # SciPy compares positions with the range, one after the other, unless it may extrapolate.
        return BSpline.design_matrix(positions, knots, _SUPPORT - 1, extrapolate=True)

    def everywhere(self, axis: int) -> csr_array:
        """The functions along one axis in all pixels, 0 in unlit ones; read-only."""
        return _everywhere(self, axis)

    def at(self, rows, columns) -> csr_array:
        """
        Design matrix for scattered positions.

        Each row holds the ``n_local`` functions that are non-zero there, in ascending order.
        """
        values, first = [], []
        for axis, positions in enumerate((rows, columns)):
            design = self.one_axis(axis, positions)
            values.append(design.data.reshape(-1, _SUPPORT))
            first.append(design.indices[::_SUPPORT].astype(np.int32))
        near = np.arange(_SUPPORT, dtype=np.int32)
        steps = (near[:, None] * self.n_along_axis + near).ravel()
        which = (first[0] * self.n_along_axis + first[1])[:, None] + steps
        values = values[0][:, :, None] * values[1][:, None, :]
        starts = np.arange(len(which) + 1, dtype=np.int32) * self.n_local
        return csr_array((values.ravel(), which.ravel(), starts), shape=(len(which), self.size))

    def on_grid(self, coefficients: np.ndarray, rows, columns) -> np.ndarray:
        """The surface at the intersections of these rows and columns."""
        across, along = (
            self.one_axis(axis, positions) for axis, positions in enumerate((rows, columns))
        )
        square = coefficients.reshape(self.n_along_axis, -1)
        return across @ np.ascontiguousarray((along @ square.T).T)

    def sums(self, weights: np.ndarray) -> np.ndarray:
        """Weighted sum of each function over the pixels."""
        across, along = (self.everywhere(axis) for axis in range(2))
        # A product makes a copy of its weights in double precision.
        starts = range(0, self.shape[0], _ROWS_AT_ONCE)
        pieces = (slice(start, start + _ROWS_AT_ONCE) for start in starts)
        sums = sum(across[rows].T @ weights[rows] for rows in pieces)
        return (along.T @ sums.T).T.ravel()


@lru_cache(maxsize=8)
def _everywhere(basis: SurfaceBasis, axis: int) -> csr_array:
    pixels, (first, stop) = np.arange(basis.shape[axis]), basis.lit[axis]
    functions = basis.one_axis(axis, pixels)
    functions.data[np.repeat((pixels < first) | (pixels >= stop), _SUPPORT)] = 0
    return functions


@lru_cache(maxsize=_KEPT_SECTIONS)
def _design_of_rows(basis: SurfaceBasis, start, stop, dtype: np.dtype) -> csr_array:
    return basis.everywhere(0)[start:stop].astype(dtype)


@dataclass(frozen=True)
class SurfaceError:
    """
    Error of a fitted surface, which neighbouring pixels share.

    Attributes
    ----------
    basis : `SurfaceBasis`
        The functions of which the surface consists.
    covariance : array, shape (n, n)
        Covariance of their coefficients.
    """

    basis: SurfaceBasis
    covariance: np.ndarray

    @cached_property
    def _at_nodes(self) -> np.ndarray:
        """Standard deviation on a grid, between whose nodes it is interpolated."""
        n = self.basis.n_along_axis
        rows, columns = (
            self.basis.one_axis(axis, _nodes(size)).toarray()
            for axis, size in enumerate(self.basis.shape)
        )
        # One axis after the other: products of functions along the columns, then along the rows.
        covariance = self.covariance.reshape(n, n, n, n).transpose(0, 2, 1, 3).reshape(n * n, -1)
        along = (columns[:, :, None] * columns[:, None, :]).reshape(len(columns), -1)
        across = (rows[:, :, None] * rows[:, None, :]).reshape(len(rows), -1)
        return np.sqrt(np.maximum(across @ covariance @ along.T, 0))

    def nodes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows and columns of the grid, and the standard deviation there."""
        return *(_nodes(size) for size in self.basis.shape), self._at_nodes

    def image(self) -> np.ndarray:
        """Standard deviation of the surface over the detector."""
        size = self.basis.shape[0]
        return csr_array(_between_nodes(np.arange(size), size)) @ self.along_rows

    @cached_property
    def along_rows(self) -> np.ndarray:
        """Standard deviation between the nodes of each row of nodes, (n_nodes, columns)."""
        between = csr_array(_between_nodes(np.arange(self.basis.shape[1]), self.basis.shape[1]))
        return np.ascontiguousarray((between @ self._at_nodes.T).T)

    def variance(self, rows: slice, columns: slice, dtype: np.dtype) -> np.ndarray:
        """Squared section of the image, cached for the next frame of the set; read-only."""
        key = rows.start, rows.stop, columns.start, columns.stop, dtype
        found = self._sections.get(key)
        if found is None:
            size = self.basis.shape[0]
            between = csr_array(_between_nodes(np.arange(size)[rows], size).astype(dtype))
            found = between @ self.along_rows[:, columns].astype(dtype)
            found *= found
            if len(self._sections) >= _KEPT_SECTIONS:
                self._sections.clear()
            self._sections[key] = found
        return found

    @cached_property
    def _sections(self) -> dict:
        return {}

    def __getstate__(self) -> dict:
        return _fields_of(self)

    def at(self, rows, columns) -> np.ndarray:
        """Standard deviation of the surface in some pixels."""
        steps = rows * (_ERROR_STEPS / max(self.basis.shape[0] - 1, 1))
        node = np.minimum(steps.astype(np.intp), _ERROR_STEPS - 1)
        below = self.along_rows[node, columns]
        return below + (steps - node) * (self.along_rows[node + 1, columns] - below)


def _fields_of(instance: object) -> dict:
    """The fields of a dataclass, without cached values, which are quickly recomputed."""
    return {field.name: getattr(instance, field.name) for field in fields(instance)}


def _nodes(size: int) -> np.ndarray:
    return np.linspace(0, size - 1, _ERROR_STEPS + 1)


def _between_nodes(positions, size: int) -> np.ndarray:
    """Weights of the nodes at each position, for linear interpolation."""
    steps = np.asarray(positions) * (_ERROR_STEPS / max(size - 1, 1))
    return np.maximum(1 - np.abs(steps[:, None] - np.arange(_ERROR_STEPS + 1)), 0)


@dataclass(frozen=True)
class ScatteredLight:
    """
    Scattered light of a frame, in a compact form: any rows are two small matrix products.

    Created by `ScatteredLightModel.measure`.

    Attributes
    ----------
    coefficients : array
        Coefficients of the surface, in the unit of the frame.
    shape_error : object
        Error of the surface up to a factor; frames of a set share it.
    noise : float
        The factor: standard deviations are this many times those of ``shape_error``.
    response_scatter : float
        Standard deviation of the pixel response: scatter of the inter-order pixels in excess of
        their uncertainty, as a fraction of the surface; 0 if the frame has no uncertainty.
    negative : bool
        Whether the surface may be negative. If not, it is clipped at zero.
    remark : str
        Warning for the user; empty if there is none.
    dispersion_axis : int
        0 if the surface is that of the transposed frame.
    """

    coefficients: np.ndarray
    shape_error: SurfaceError
    noise: float
    response_scatter: float
    negative: bool
    remark: str
    dispersion_axis: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the frame."""
        shape = self.shape_error.basis.shape
        return shape if self.dispersion_axis == 1 else shape[::-1]

    @property
    def covariance(self) -> np.ndarray:
        """Covariance of the coefficients."""
        return self.noise**2 * self.shape_error.covariance

    def rows(self, section: slice = _EVERYWHERE) -> tuple[np.ndarray, np.ndarray]:
        """
        Compute some rows of the surface and of its standard deviation.

        Parameters
        ----------
        section : slice, optional
            Rows of the frame. Default: all.

        Returns
        -------
        surface, error : arrays, shape (rows, columns)
            In the unit of the frame. The error combines that of the fit, which neighbouring pixels
            share, and the scatter of the pixel response, which they do not share.
        """
        surface, variance = self.rows_with_variance(section)
        return surface, np.sqrt(variance)

    def rows_with_variance(
        self, section: slice = _EVERYWHERE, dtype: DTypeLike = float
    ) -> tuple[np.ndarray, np.ndarray]:
        """
        Compute some rows of the surface and of its variance.

        Parameters
        ----------
        section : slice, optional
            Rows of the frame. Default: all.
        dtype : `numpy.dtype`, optional
            Type of the result.

        Returns
        -------
        surface, variance : arrays, shape (rows, columns)
            As in `rows`, with the errors squared.
        """
        turned, dtype = self.dispersion_axis == 0, np.dtype(dtype)
        rows, columns = (_EVERYWHERE, section) if turned else (section, _EVERYWHERE)
        surface = self._light(rows, columns, dtype)
        variance = self.shape_error.variance(rows, columns, dtype) * dtype.type(self.noise**2)
        if self.response_scatter > 0:
            scatter = surface * dtype.type(self.response_scatter)
            scatter *= scatter
            variance += scatter
        if turned:
            return np.ascontiguousarray(surface.T), np.ascontiguousarray(variance.T)
        return surface, variance

    def at(self, rows, columns, dtype: DTypeLike = float) -> tuple[np.ndarray, np.ndarray]:
        """
        Compute the surface and its variance in some pixels.

        Parameters
        ----------
        rows, columns : int arrays, shape (n_pixels,)
            The pixels.
        dtype : `numpy.dtype`, optional
            Type of the result.

        Returns
        -------
        surface, variance : arrays, shape (n_pixels,)
            As in `rows_with_variance`.
        """
        if self.dispersion_axis == 0:
            rows, columns = columns, rows
        design = self.shape_error.basis.everywhere(0)
        factors = design.data.reshape(-1, _SUPPORT)[rows]
        first = design.indices[::_SUPPORT][rows]
        surface = sum(factors[:, k] * self._profiles[first + k, columns] for k in range(_SUPPORT))
        if not self.negative:
            np.maximum(surface, 0, out=surface)
        deviation = self.noise * self.shape_error.at(rows, columns)
        variance = deviation**2 + (self.response_scatter * surface) ** 2
        return surface.astype(dtype), variance.astype(dtype)

    def light(self, section: slice = _EVERYWHERE, dtype: DTypeLike = float) -> np.ndarray:
        """
        Some rows of the surface alone.

        Parameters
        ----------
        section, dtype
            As for `rows_with_variance`.

        Returns
        -------
        array, shape (rows, columns)
        """
        if self.dispersion_axis == 0:
            return np.ascontiguousarray(self._light(_EVERYWHERE, section, np.dtype(dtype)).T)
        return self._light(section, _EVERYWHERE, np.dtype(dtype))

    def _light(self, rows: slice, columns: slice, dtype: np.dtype) -> np.ndarray:
        """The surface with the orders along the rows."""
        design = _design_of_rows(self.shape_error.basis, rows.start, rows.stop, dtype)
        surface = design @ self._profiles[:, columns].astype(dtype)
        return surface if self.negative else np.maximum(surface, 0, out=surface)

    @cached_property
    def _profiles(self) -> np.ndarray:
        """The functions across the orders, each summed along the orders; (n, n_pixels)."""
        basis = self.shape_error.basis
        square = self.coefficients.reshape(basis.n_along_axis, -1)
        return np.ascontiguousarray((basis.everywhere(1) @ square.T).T)

    def __getstate__(self) -> dict:
        return _fields_of(self)


def sums_of(
    surfaces: Sequence[ScatteredLight], weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """
    Weighted sums over the pixels of the surfaces of a set of frames.

    Parameters
    ----------
    surfaces : sequence of `ScatteredLight`
        Surfaces measured with the same model.
    weights : array, shape (rows, columns)
        The weight of each pixel.

    Returns
    -------
    sums, errors : arrays, shape (n_frames,)
        In the unit of the frames times that of the weights. The standard deviations do not include
        the scatter of the pixel response, which hardly affects a sum.
    """
    first = surfaces[0]
    of_basis = first.shape_error.basis.sums(
        weights if first.dispersion_axis == 1 else weights.T
    )
    sums = np.array([surface.coefficients @ of_basis for surface in surfaces])
    variances = np.array([of_basis @ surface.covariance @ of_basis for surface in surfaces])
    return sums, np.sqrt(np.maximum(variances, 0))
