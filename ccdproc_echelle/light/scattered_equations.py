# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Normal equations for a smooth surface, shapes of wings, and shifts of the edges of each gap."""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from ccdproc_echelle._numeric.roots import inverse_root, slab_product

__all__ = ["Factor", "Groups", "Normal", "State", "cross_validated"]

# Strengths of the penalty to try, relative to the weight of the pixels.
_STRENGTHS = 10.0 ** np.arange(-2.25, 3.1, 0.75)


class State(NamedTuple):
    """Unknowns of the fit, their changes, or a gradient."""

    surface: np.ndarray  # coefficients
    shapes: np.ndarray  # amplitudes of the chosen ones
    shifts: np.ndarray  # of the edges: (n_gaps, 2, n_polynomials)

    def moved(self, change: "State") -> "State":
        return State(*(a + b for a, b in zip(self, change, strict=True)))

    def dot(self, other: "State") -> float:
        return sum(float(np.vdot(a, b)) for a, b in zip(self, other, strict=True))


class Normal(NamedTuple):
    """
    Normal equations, with those for the shifts of the edges kept separate.

    The last column is that of the values, so that matrix, right-hand side and the sum of squares
    are combined in one.
    """

    matrix: np.ndarray  # of the surface, further columns and the values: (m, m)
    mixed: np.ndarray  # between these and the shifts of each gap: (n_gaps, m, n_shifts)
    own: np.ndarray  # of the shifts of each gap: (n_gaps, n_shifts, n_shifts)

    def transformed(self, n_same: int, mixture: np.ndarray) -> "Normal":
        """Equations for the first columns and for mixtures of the others."""
        same, others = slice(n_same), slice(n_same, None)
        mixed = self.matrix[same, others] @ mixture
        matrix = np.block([
            [self.matrix[same, same], mixed],
            [mixed.T, mixture.T @ self.matrix[others, others] @ mixture],
        ])
        shifts = np.concatenate([self.mixed[:, same], mixture.T @ self.mixed[:, others]], axis=1)
        return Normal(matrix, shifts, self.own)

    def without_shifts(self) -> tuple[np.ndarray, np.ndarray]:
        """Matrix after eliminating the shifts, and the dependence of the shifts on the rest."""
        following = np.linalg.inv(self.own) @ self.mixed.swapaxes(1, 2)
        return self.matrix - (self.mixed @ following).sum(axis=0), following


class Groups:
    """
    Pixels of one gap and one cell of the knots, whose products are summed as a small dense matrix.

    Parameters
    ----------
    gap : array, shape (n,)
        The gap of each pixel, ascending.
    which : array, shape (n, 16)
        Functions of each pixel, equal within a group.
    size : int
        Total number of functions.
    """

    def __init__(self, gap, which, size):
        self._size, n_local = size, which.shape[1]
        changes = (np.diff(gap, prepend=-1) != 0) | (np.diff(which[:, 0], prepend=-1) != 0)
        starts = np.flatnonzero(changes)
        self._sections = [
            slice(*ends) for ends in zip(starts, np.append(starts[1:], len(gap)), strict=True)
        ]
        _, self._first, of_group = np.unique(gap[starts], return_index=True, return_inverse=True)
        self.n_gaps = len(self._first)
        self.gap = np.repeat(of_group, np.diff(starts, append=len(gap)))
        which = which[starts]
        # Maps from sums over groups to the functions, and to those of each gap.
        n_terms = which.size
        ones, terms = np.ones(n_terms), np.arange(n_terms)
        self._into = csr_array((ones, (which.ravel(), terms)), shape=(size, n_terms))
        of_gap = (of_group[:, None] * size + which).ravel()
        self._into_gaps = csr_array((ones, (of_gap, terms)), shape=(self.n_gaps * size, n_terms))
        which = which.astype(np.intp)
        self._pairs = (which[:, :, None] * size + which[:, None, :]).ravel()
        self._n_local = n_local

    def normal(self, design: np.ndarray, n_shifts: int) -> Normal:
        """
        Normal equations of a weighted design.

        Its columns are the local functions, further common ones, and those that each gap has for
        itself.
        """
        n, last, size = self._n_local, design.shape[1] - n_shifts, self._size
        products = np.array([design[section].T @ design[section] for section in self._sections])
        matrix = np.empty((size + last - n,) * 2)
        local = products[:, :n, :n].ravel()
        matrix[:size, :size] = np.bincount(self._pairs, local, size**2).reshape(size, size)
        matrix[:size, size:] = self._into @ products[:, :n, n:last].reshape(-1, last - n)
        matrix[size:, :size] = matrix[:size, size:].T
        matrix[size:, size:] = products[:, n:last, n:last].sum(axis=0)
        shifts = self._into_gaps @ products[:, :n, last:].reshape(-1, n_shifts)
        others = np.add.reduceat(products[:, n:last, last:], self._first)
        mixed = np.concatenate([shifts.reshape(self.n_gaps, size, n_shifts), others], axis=1)
        own = np.add.reduceat(products[:, last:, last:], self._first) + np.eye(n_shifts)
        return Normal(matrix, mixed, own)


class Factor:
    """Factor of a normal matrix, without its last column, the values."""

    def __init__(self, normal: Normal, penalty: np.ndarray, strength: float):
        self.strength = strength
        matrix, following = normal.without_shifts()
        # Contiguous, as in a pickled copy: the last bit of a product may depend on the strides.
        matrix, self._following = matrix[:-1, :-1], following[:, :, :-1].copy()
        self._own = normal.own
        matrix = matrix + strength * _padded(penalty, len(matrix)) + _ridge(matrix)
        self._root = inverse_root(matrix)

    def solve(self, gradient: State) -> State:
        """Unknowns that satisfy the normal equations with this right-hand side."""
        n_gaps, n_shifts = len(self._own), self._own.shape[1]
        apart = gradient.shifts.reshape(n_gaps, n_shifts)
        others = np.concatenate([gradient.surface, gradient.shapes])
        others = others - np.tensordot(apart, self._following, 2)
        others = self._root.T @ (self._root @ others)
        shifts = np.linalg.solve(self._own, apart[..., None])[..., 0] - self._following @ others
        surface, shapes = np.split(others, [len(gradient.surface)])
        return State(surface, shapes, shifts.reshape(gradient.shifts.shape))

    def covariance(self, n_smooth: int) -> np.ndarray:
        """Covariance of the coefficients of the surface."""
        root = self._root[:, :n_smooth]
        return slab_product(root.T, root)


def _padded(penalty, size) -> np.ndarray:
    return np.pad(penalty, (0, size - len(penalty)))


def _ridge(normal) -> np.ndarray:
    """
    A ridge so small that it only matters where there is no constraint.

    The brightness of an order without light has none, and rounding may make it negative.
    """
    weights = np.diag(normal)
    return np.diag(np.maximum(1e-9 * weights, 1e-16 * weights.max() + np.finfo(float).tiny))


def cross_validated(normal, right, penalty, total, n) -> tuple[np.ndarray, float]:
    """Solution with the smoothness from generalised cross-validation, and the penalty strength."""
    n_smooth = len(penalty)
    scale = np.trace(normal[:n_smooth, :n_smooth]) / np.trace(penalty)
    padded, ridge = csr_array(_padded(penalty, len(normal))), _ridge(normal)
    best = None
    for strength in scale * _STRENGTHS:
        root = inverse_root(normal + strength * padded + ridge)
        solution = root.T @ (root @ right)
        squares = total - 2 * solution @ right + solution @ normal @ solution
        trace = len(normal) - strength * ((padded @ root.T) * root.T).sum()
        score = max(squares, 0) / (n - trace) ** 2
        if best is None or score < best[0]:
            best = score, solution, strength
    return best[1], best[2]
