# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Penalised least squares in which unknowns interact only with neighbours, like spline coefficients.

Neither the solution nor its variance requires the full inverse of the normal matrix, whose cost
grows with the cube of the number of unknowns: its blocks on and next to the diagonal follow from
the last one backwards. They are small, so that BLAS does not start threads for them.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

__all__ = ["BlockBand", "Penalty", "block_band", "restricted_likelihood_fit"]

# Number of sites that interact: the cubic B-splines that are non-zero at the same position.
_SPAN = 4

# Smaller blocks would be more numerous, and each costs some calls of NumPy.
_BLOCK_SIZE = 15

# In units of the mean of the diagonal. The ridge determines what the data leave undetermined, such
# as the slope through a single place. A stronger penalty than this changes no fit, but loses
# digits.
_RIDGE, _STRONGEST = 1e-7, 1e4

# A strength within a factor of two is good enough, since fits hardly depend on it.
_FACTOR, _MAX_STEPS = 2, 8


class BlockBand:
    """
    Symmetric matrices of ``n_sites`` sites in a row, each of which interacts with the next three.

    Each site has ``n_each`` unknowns. A matrix is stored as its blocks on the diagonal and those to
    the right of them, shape ``(2, n_blocks, size, size)``; the last block is padded.
    """

    def __init__(self, n_sites: int, n_each: int = 1):
        per_block = max(_SPAN - 1, round(_BLOCK_SIZE / n_each))
        self._n, self._size = n_sites * n_each, per_block * n_each
        self._n_blocks = -(-n_sites // per_block)
        self._shape = 2, self._n_blocks, self._size, self._size
        sites = np.arange(n_sites - _SPAN + 1)[:, None] + np.arange(_SPAN)
        unknowns = sites[..., None] * n_each + np.arange(n_each)
        row, column = np.broadcast_arrays(unknowns[..., None, None], unknowns[:, None, None])
        left = row // self._size > column // self._size
        self._kept = ~left
        self._places = self._place(np.where(left, column, row), np.where(left, row, column))
        everything = np.arange(self._n_blocks * self._size)
        self._unit, self._filling = np.zeros((2, *self._shape))
        self._unit.flat[self._place(everything, everything)] = 1
        rest = everything[self._n :]
        self._filling.flat[self._place(rest, rest)] = 1

    def _place(self, row, column) -> np.ndarray:
        """Position of a matrix element in the blocks."""
        block = row // self._size
        right = column // self._size - block
        return np.ravel_multi_index(
            (right, block, row % self._size, column % self._size), self._shape
        )

    def summed(self, parts: np.ndarray) -> np.ndarray:
        """Sum of contributions of each four adjacent sites, ``(n, 4, n_each, 4, n_each)``."""
        parts = np.where(self._kept, parts, 0)
        blocks = np.bincount(self._places.ravel(), parts.ravel(), np.prod(self._shape))
        return blocks.reshape(self._shape)

    def parts(self, matrix: np.ndarray) -> np.ndarray:
        """Parts of the matrix for each four adjacent sites, ``(n, 4, n_each, 4, n_each)``."""
        return matrix.ravel()[self._places]

    def blocks(self, matrix: np.ndarray) -> np.ndarray:
        """Blocks of a matrix that is given in full."""
        rest = self._n_blocks * self._size - self._n
        matrix = np.pad(matrix, (0, rest)).reshape(self._shape[1:3] * 2)
        blocks, i = np.zeros(self._shape), np.arange(self._n_blocks)
        blocks[0] = matrix[i, :, i]
        blocks[1, :-1] = matrix[i[:-1], :, i[1:]]
        return blocks

    def trace_of_product(self, a: np.ndarray, b: np.ndarray) -> float:
        return float((a[0] * b[0]).sum() + 2 * (a[1] * b[1]).sum())

    def mean_diagonal(self, matrix: np.ndarray) -> float:
        return self.trace_of_product(self._unit, matrix) / self._n

    def with_ridge(self, matrix: np.ndarray, ridge: float) -> np.ndarray:
        return matrix + ridge * self._unit

    def solve(self, matrix: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Solution of the equations, and blocks of the inverse."""
        diagonal, beside = matrix + self._filling
        solution = np.zeros(self._n_blocks * self._size)
        solution[: self._n] = right
        solution = solution.reshape(self._n_blocks, self._size)
        inverse, factors = np.zeros(self._shape), np.empty_like(beside)
        for i in range(self._n_blocks):
            if i > 0:
                diagonal[i] -= beside[i - 1].T @ factors[i - 1]
                solution[i] -= factors[i - 1].T @ solution[i - 1]
            inverse[0, i] = np.linalg.inv(diagonal[i])
            factors[i] = inverse[0, i] @ beside[i]
        solution = (inverse[0] @ solution[..., None])[..., 0]
        for i in range(self._n_blocks - 2, -1, -1):
            solution[i] -= factors[i] @ solution[i + 1]
            inverse[1, i] = -factors[i] @ inverse[0, i + 1]
            inverse[0, i] -= inverse[1, i] @ factors[i].T
        return solution.ravel()[: self._n], inverse


block_band = lru_cache(maxsize=64)(BlockBand)


@dataclass(frozen=True, eq=False)
class Penalty:
    """
    Penalty on the sum of the squares of differences between coefficients.

    The differences are the Kronecker product of those between the sites and those between the
    unknowns of each; the whole matrix would be large.
    """

    of_sites: np.ndarray  # (n, n_sites)
    of_each: np.ndarray  # (m, n_each)
    blocks: np.ndarray  # of the square of the whole
    eigenvalues: np.ndarray  # in a basis that all penalties of a fit have in common

    def roughness(self, coefficients: np.ndarray) -> float:
        square = coefficients.reshape(self.of_sites.shape[1], -1)
        return np.sum((self.of_sites @ square @ self.of_each.T) ** 2)


def restricted_likelihood_fit(band, gram, right, penalties, strength):
    """
    Coefficients, blocks of their covariance, and updated strengths of the penalties.

    Method of Fellner and Schall: each strength becomes the remaining degrees of freedom divided by
    the roughness of the solution.
    """
    size = band.mean_diagonal(gram)
    gram = band.with_ridge(gram, _RIDGE * size + 1e-30)
    eigenvalues = np.stack([penalty.eigenvalues for penalty in penalties])
    for _ in range(_MAX_STEPS):
        matrix = gram + sum(s * p.blocks for s, p in zip(strength, penalties, strict=True))
        coefficients, covariance = band.solve(matrix, right)
        total = strength @ eigenvalues
        free = np.divide(eigenvalues, total, out=np.zeros_like(eigenvalues), where=total > 0)
        taken = [band.trace_of_product(covariance, p.blocks) for p in penalties]
        roughness = [penalty.roughness(coefficients) for penalty in penalties]
        freedom = strength * (free.sum(axis=1) - taken)
        before, strength = strength, np.maximum(freedom, 1e-3) / np.maximum(roughness, 1e-12)
        strength = np.minimum(strength, _STRONGEST * size + 1e-30)
        if np.all(np.abs(np.log(strength / before)) < np.log(_FACTOR)):
            break
    return coefficients, covariance, strength
