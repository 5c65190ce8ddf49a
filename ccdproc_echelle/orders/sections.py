# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Means of straightened profiles over sections of the dispersion axis, and their lower envelope."""

import numpy as np
from scipy.ndimage import minimum_filter1d, uniform_filter1d

from ccdproc_echelle.orders.slices import bridged

__all__ = ["Sections", "lower_envelope", "means_of"]


class Sections:
    """
    Straightened profiles by section of the dispersion axis.

    Parameters
    ----------
    straight : array, shape (n_slices, n_paths)
        Slices along the paths; NaN off the detector and where masked.
    n : int
        Number of sections.

    Attributes
    ----------
    starts : array, shape (n_sections + 1,)
        First slice of each section, and the number of slices.
    """

    def __init__(self, straight: np.ndarray, n: int):
        self.starts = np.linspace(0, len(straight), min(n, len(straight)) + 1).astype(int)
        steps = np.diff(straight, axis=0, append=straight[-2:-1]) ** 2 / 2
        self._light = _sums_and_counts(straight, self.starts)
        self._scatter = _sums_and_counts(steps, self.starts)

    def means(self, widening: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """
        Mean of the slices in each section, widened by a factor, and its noise.

        Both have shape (n_sections, n_paths). The noise is estimated from neighbouring slices.
        Paths that are off the detector or masked in half of a section are NaN.
        """
        total, count = (_widened(sums, widening) for sums in self._light)
        scatter, n_steps = (
            uniform_filter1d(_widened(sums, widening), 9, axis=1) for sums in self._scatter
        )
        variance = np.maximum(scatter, 0) / np.maximum(n_steps, 1e-3)
        mean = total / np.maximum(count, 1)
        mean[count <= 0.5 * count.max(axis=1, keepdims=True)] = np.nan
        return mean, np.sqrt(variance / np.maximum(count, 1))


def means_of(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Mean of the rows of each section."""
    return np.add.reduceat(values, starts[:-1], axis=0) / np.diff(starts)[:, None]


def _sums_and_counts(values: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum and number of the finite rows of each section."""
    known = np.isfinite(values)
    finite = np.where(known, values, 0), known.astype(float)
    return tuple(np.add.reduceat(part, starts[:-1], axis=0) for part in finite)


def _widened(sums: np.ndarray, widening: int) -> np.ndarray:
    """Sums of sections that are each widened to both sides."""
    if widening == 1:
        return sums
    running = np.concatenate([np.zeros((1, sums.shape[1])), np.cumsum(sums, axis=0)])
    extra = (widening - 1) // 2
    index = np.arange(len(sums))
    return (running[np.minimum(index + 1 + extra, len(sums))]
            - running[np.maximum(index - extra, 0)])


def lower_envelope(profiles: np.ndarray, window: int) -> np.ndarray:
    """Lower envelope of profiles; NaN where the profiles are."""
    smooth = uniform_filter1d(np.nan_to_num(bridged(profiles)), 3, axis=1)
    smooth = np.where(np.isfinite(profiles), smooth, np.inf)
    lowest = minimum_filter1d(smooth, window, axis=1, mode="nearest")
    finite = np.isfinite(lowest)
    weight = uniform_filter1d(finite.astype(float), window, axis=1)
    level = uniform_filter1d(np.where(finite, lowest, 0), window, axis=1)
    return np.where(np.isfinite(profiles), level / np.maximum(weight, 1e-9), np.nan)
