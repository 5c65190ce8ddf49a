# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What every rejection has in common.

To add one, write a class and enter it in `CombineSettings`, in its tuple of rejections.
"""

from abc import ABC, abstractmethod

import numpy as np

__all__ = ["Rejection"]


class Rejection(ABC):
    """
    A rule by which values of a stack are rejected; `StackCombiner` takes any number of them.

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle.combining.clipping import Rejection, StackCombiner
    >>> class NegativeClipping(Rejection):
    ...     def rejects(self, values, good, variances):
    ...         return values < 0
    >>> stack = np.array([[1.0], [-9.0], [2.0]])
    >>> combiner = StackCombiner(rejections=(NegativeClipping(),))
    >>> combiner.combine(stack, np.isfinite(stack)).value
    array([1.5])
    """

    def may_reject(self, values: np.ndarray, variances: np.ndarray | None) -> np.ndarray:
        """
        Find the columns of a stack without gaps in which something might be rejected.

        This may err on the safe side, but must be much quicker than `rejects` to be of use: most
        columns have no outlier and are averaged without further ado. Columns with gaps are always
        looked at, so what is not good need not be told apart here.

        Parameters
        ----------
        values : float array, shape (n_frames, n_pixels)
            The stack.
        variances : float array, shape (n_frames, n_pixels), or None
            Variances of the values.

        Returns
        -------
        bool array, shape (n_pixels,)
            True at least where `rejects` finds something; all of them, unless a rejection knows
            better.
        """
        return np.ones(values.shape[1], dtype=bool)

    @abstractmethod
    def rejects(
        self, values: np.ndarray, good: np.ndarray, variances: np.ndarray | None
    ) -> np.ndarray:
        """
        Find the values to be rejected.

        Parameters
        ----------
        values : float array, shape (n_frames, n_pixels)
            The stack.
        good : bool array, shape (n_frames, n_pixels)
            The values that count: neither masked nor rejected by an earlier rejection.
        variances : float array, shape (n_frames, n_pixels), or None
            Variances of the values.

        Returns
        -------
        bool array, shape (n_frames, n_pixels)
            The good values that are rejected.
        """

    def inflation(self, *, known_variance: bool) -> float:
        """
        By how much the variance of the mean of what is left exceeds the plain formula.

        The plain formula divides the variance of the values by the number of those that are left.

        Parameters
        ----------
        known_variance : bool
            Whether the variance is known; else it is that of the values that are left.

        Returns
        -------
        float
            Factor; 1 unless a rejection knows better.
        """
        return 1.0
