# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Reject values beyond fixed limits."""

from dataclasses import dataclass

import numpy as np

from ccdproc_echelle.combining.clipping.rejection import Rejection

__all__ = ["MinMaxClipping"]


@dataclass(frozen=True)
class MinMaxClipping(Rejection):
    """
    Reject values below a minimum or above a maximum; a value equal to a limit is kept.

    Parameters
    ----------
    low, high : float, optional
        Lowest and highest values that are kept, on the common scale of the stack.

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle.combining.clipping import MinMaxClipping
    >>> stack = np.array([[0.0], [1.0], [2.0]])
    >>> MinMaxClipping(high=1).rejects(stack, np.isfinite(stack), None).ravel()
    array([False, False,  True])
    """

    low: float = -np.inf
    high: float = np.inf

    def may_reject(self, values: np.ndarray, variances: np.ndarray | None) -> np.ndarray:
        """
        Find the columns in which something is rejected.

        Parameters
        ----------
        values, variances
            See `Rejection.may_reject`.

        Returns
        -------
        bool array, shape (n_pixels,)
        """
        return self._beyond(values).any(axis=0)

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
            The good values beyond the limits.
        """
        return good & self._beyond(values)

    def _beyond(self, values: np.ndarray) -> np.ndarray:
        return (values < self.low) | (values > self.high)
