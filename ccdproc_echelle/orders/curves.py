# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Chebyshev series along the orders, as plain arrays: evaluate, fit, change range."""

import numpy as np
from numpy.polynomial import Chebyshev
from numpy.polynomial.chebyshev import chebpts1, chebval, chebvander

from ccdproc_echelle._numeric.arguments import expect, is_whole

__all__ = ["ROUNDING", "evaluate", "finite_range", "fit_traces", "padded", "rescaled"]

# A range that ends at a pixel boundary must still end there after binning and unbinning.
ROUNDING = 1e-6


def evaluate(coefficients, low, high, pixels) -> np.ndarray:
    """
    Chebyshev series on [low, high], one per row; NaN outside. Pixels are 1-D, or one row each.
    """
    low, high = low[:, None], high[:, None]
    x = (2 * pixels - low - high) / (high - low)
    values = chebval(x, coefficients.T[:, :, None], tensor=False)
    valid = (pixels >= low - ROUNDING) & (pixels <= high + ROUNDING)
    return np.where(valid, values, np.nan)


def padded(coefficients: np.ndarray, length: int) -> np.ndarray:
    """Restore trailing zeros that NumPy trims on conversion; a column needs equal lengths."""
    return np.pad(coefficients, (0, length - len(coefficients)))


def rescaled(coefficients: np.ndarray, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """The same curve on another range; exact, since it remains a polynomial."""
    nodes = chebpts1(len(coefficients))
    pixels = new[0] + 0.5 * (nodes + 1) * (new[1] - new[0])
    values = chebval((2 * pixels - old[0] - old[1]) / (old[1] - old[0]), coefficients)
    # At these nodes, the polynomials are orthogonal.
    result = 2 / len(nodes) * values @ chebvander(nodes, len(nodes) - 1)
    result[0] /= 2
    return result


def finite_range(number: int, trace: np.ndarray) -> tuple[float, float]:
    finite = np.flatnonzero(np.isfinite(trace))
    if len(finite) == 0:
        raise ValueError(f"order {number} has no finite centre position")
    return finite[0] - 0.5, finite[-1] + 0.5


def fit_traces(name, numbers, traces, ranges, degree) -> tuple[np.ndarray, np.ndarray]:
    """Chebyshev coefficients and RMS residual of each sampled trace."""
    expect(is_whole(degree, least=0), "degree", degree, "an integer of at least 0")
    coefficients, residuals = [], []
    for number, trace, domain in zip(numbers, traces, ranges, strict=True):
        pixels = np.flatnonzero(np.isfinite(trace))
        if len(pixels) <= degree:
            raise ValueError(
                f"order {number} has {len(pixels)} finite {name} positions, expected at least "
                f"{degree + 1} for degree {degree}"
            )
        series = Chebyshev.fit(pixels, trace[pixels], degree, domain=domain)
        coefficients.append(series.coef)
        residuals.append(np.sqrt(np.mean((trace[pixels] - series(pixels)) ** 2)))
    return np.array(coefficients), np.array(residuals)
