# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Reject a fixed number of the lowest and highest values."""

from dataclasses import dataclass

import numpy as np

from ccdproc_echelle._numeric.medians import median_variance_factors
from ccdproc_echelle._numeric.trimmed import (
    trimmed_mean_variance,
    trimmed_median_variance,
    trimmed_scatter,
)
from ccdproc_echelle.combining.clipping.rejection import Rejection

__all__ = ["ExtremaClipping"]


@dataclass(frozen=True)
class ExtremaClipping(Rejection):
    """
    Reject the lowest and the highest values of each column.

    Parameters
    ----------
    n_low, n_high : int, optional
        Number of lowest and highest values to reject. Among equal values, the one with the smallest
        variance counts as the lowest; if the variances are equal too, the one with the smallest
        weight.

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle.combining.clipping import ExtremaClipping
    >>> stack = np.array([[3.0], [1.0], [4.0], [1.0], [5.0]])
    >>> ExtremaClipping(n_low=1, n_high=2).rejects(stack, np.isfinite(stack), None).ravel()
    array([False,  True,  True, False,  True])
    """

    n_low: int = 1
    n_high: int = 1

    def may_reject(self, values: np.ndarray, variances: np.ndarray | None) -> np.ndarray:
        """
        Find the columns in which something might be rejected: all, unless both numbers are 0.

        Parameters
        ----------
        values, variances
            See `Rejection.may_reject`.

        Returns
        -------
        bool array, shape (n_pixels,)
        """
        return np.full(values.shape[1], bool(self.n_low or self.n_high))

    def rejects(
        self, values: np.ndarray, good: np.ndarray, variances: np.ndarray | None
    ) -> np.ndarray:
        """
        Find the values to reject.

        Parameters
        ----------
        values, good, variances
            See `Rejection.rejects`.

        Returns
        -------
        bool array, shape (n_frames, n_pixels)
            The lowest and highest good values of each column.
        """
        rank = np.empty(values.shape, dtype=int)
        order = _order(np.where(good, values, np.inf), variances)
        np.put_along_axis(rank, order, np.arange(len(values))[:, None], axis=0)
        return good & ((rank < self.n_low) | (rank >= good.sum(axis=0) - self.n_high))

    def inflation(
        self, count: np.ndarray | int, *, known_variance: bool, of_median: bool = False
    ) -> np.ndarray | float:
        """
        Factor by which the variance of what remains of Gaussian values exceeds the simple formula.

        The rejected values still count: they limit how far the others can be off. And the scatter
        of the remaining values is less than that of all.

        Parameters
        ----------
        count, known_variance, of_median
            See `Rejection.inflation`.

        Returns
        -------
        float array or float
            The factor; 1 if no value or, with an unknown variance, a single one remains.

        References
        ----------
        Winsorised variance of a trimmed mean: Tukey & McLaughlin 1963, Sankhya A 25, 331.

        Examples
        --------
        >>> from ccdproc_echelle.combining.clipping import ExtremaClipping
        >>> float(ExtremaClipping(1, 1).inflation(8, known_variance=True).round(3))
        0.848
        """
        found = np.flatnonzero(np.bincount(np.ravel(count), minlength=1))
        factors = np.ones(found.max(initial=0) + 1)
        for n in found[found >= (1 if known_variance else 2)].tolist():
            factors[n] = _inflation(n, self.n_low, self.n_high, known_variance, of_median)
        return factors[count]


def _order(values: np.ndarray, variances: np.ndarray | None) -> np.ndarray:
    """Order from lowest to highest in each column, independent of the order of the frames."""
    if variances is None:
        return np.argsort(values, axis=0, kind="stable")
    return np.lexsort((variances, values), axis=0)


def _inflation(
    n_kept: int, n_low: int, n_high: int, known_variance: bool, of_median: bool
) -> float:
    """See `ExtremaClipping.inflation`."""
    trimmed = n_kept, n_low, n_high
    variance, factor = trimmed_mean_variance(*trimmed), 1.0
    if of_median:
        variance, factor = trimmed_median_variance(*trimmed), median_variance_factors(n_kept)[-1]
    return n_kept * variance / (factor * (1.0 if known_variance else trimmed_scatter(*trimmed)))
