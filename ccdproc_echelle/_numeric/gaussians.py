# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A Gaussian and its integrals: profiles of a line, of an edge, and of a blurred ramp."""

import numpy as np
from scipy.special import ndtr

__all__ = ["blurred_ramp", "blurred_step", "gaussian"]


def gaussian(x: np.ndarray) -> np.ndarray:
    """
    Density of the normal distribution.

    Parameters
    ----------
    x : array-like
        Distance from the centre in standard deviations.

    Examples
    --------
    >>> from ccdproc_echelle._numeric.gaussians import gaussian
    >>> print(f"{gaussian(0.0):.6f}")
    0.398942
    """
    return np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi)


def blurred_step(x: np.ndarray) -> np.ndarray:
    """
    Step at 0 from 0 to 1, blurred by a Gaussian: the integral of `gaussian` up to x.

    Parameters
    ----------
    x : array-like
        Distance from the step in standard deviations of the blur.

    Examples
    --------
    >>> from ccdproc_echelle._numeric.gaussians import blurred_step
    >>> print(blurred_step(0.0))
    0.5
    """
    return ndtr(x)


def blurred_ramp(x: np.ndarray) -> np.ndarray:
    """
    Ramp that rises from 0, blurred by a Gaussian: the integral of `blurred_step` up to x.

    Parameters
    ----------
    x : array-like
        Distance from the foot of the ramp in standard deviations of the blur, like the result.

    Examples
    --------
    >>> from ccdproc_echelle._numeric.gaussians import blurred_ramp
    >>> print(f"{blurred_ramp(0.0):.6f} {blurred_ramp(9.0):.6f}")
    0.398942 9.000000
    """
    return x * blurred_step(x) + gaussian(x)
