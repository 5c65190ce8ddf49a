# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The base class of all rejections.

To add a rejection, write a subclass and add it to the tuple of rejections in `CombineSettings`.
"""

from abc import ABC, abstractmethod

import numpy as np

__all__ = ["Rejection"]


class Rejection(ABC):
    """
    Rule by which values of a stack are rejected; `StackCombiner` takes any number of them.

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle.combining.clipping import Rejection, StackCombiner
    >>> class NegativeClipping(Rejection):
    ...     def rejects(self, values, good, variances):
    ...         return values < 0
    ...
    >>> stack = np.array([[1.0], [-9.0], [2.0]])
    >>> combiner = StackCombiner(rejections=(NegativeClipping(),))
    >>> combiner.combine(stack, np.isfinite(stack)).value
    array([1.5])
    """

    def may_reject(self, values: np.ndarray, variances: np.ndarray | None) -> np.ndarray:
        """
        Find the columns of a stack without gaps in which something might be rejected.

        False positives are allowed, but the test must be much faster than `rejects` to be useful:
        most columns have no outlier and can be averaged right away. Columns with gaps are always
        examined, so there is no need to consider bad values here.

        Parameters
        ----------
        values : float array, shape (n_frames, n_pixels)
            The stack.
        variances : float array, shape (n_frames, n_pixels), or None
            Variances of the values.

        Returns
        -------
        bool array, shape (n_pixels,)
            True at least where `rejects` finds something. The default implementation returns True
            for all columns.
        """
        return np.ones(values.shape[1], dtype=bool)

    @abstractmethod
    def rejects(
        self, values: np.ndarray, good: np.ndarray, variances: np.ndarray | None
    ) -> np.ndarray:
        """
        Find the values to reject.

        Parameters
        ----------
        values : float array, shape (n_frames, n_pixels)
            The stack.
        good : bool array, shape (n_frames, n_pixels)
            Values that count: neither masked nor rejected by an earlier rejection.
        variances : float array, shape (n_frames, n_pixels), or None
            Variances of the values.

        Returns
        -------
        bool array, shape (n_frames, n_pixels)
            The good values to reject.
        """

    def inflation(
        self, count: np.ndarray | int, *, known_variance: bool, of_median: bool = False
    ) -> np.ndarray | float:
        """
        Factor by which the variance of the mean of the remaining values exceeds the simple formula.

        The simple formula divides the variance of the values by the number of remaining values.

        Parameters
        ----------
        count : int array or int
            Number of remaining values.
        known_variance : bool
            Whether the variance is known; otherwise it is that of the remaining values.
        of_median : bool, optional
            Whether it is the median instead of the mean, for which the simple formula includes the
            factor of a median.

        Returns
        -------
        float array or float
            The factor. The default implementation returns 1.
        """
        return 1.0
