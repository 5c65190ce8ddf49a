# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Means of straightened profiles over sections of the dispersion axis, and their lower envelope."""

import numpy as np
from scipy.ndimage import minimum_filter1d, uniform_filter1d

from ccdproc_echelle.orders.slices import bridged

__all__ = ["lower_envelope", "means_of", "section_means", "section_starts"]


def section_means(straight: np.ndarray, n: int, widening: int = 1):
    """
    Mean of the slices in each section and its noise, (n_sections, n_paths), and where they start.

    The noise is estimated from neighbouring slices. Paths that are off the detector or masked in
    half of a section are NaN.
    """
    starts = section_starts(len(straight), n)
    good = np.isfinite(straight)
    total = _sums(np.where(good, straight, 0), starts, widening)
    count = _sums(good.astype(float), starts, widening)
    steps = np.diff(straight, axis=0, append=straight[-2:-1]) ** 2 / 2
    known = np.isfinite(steps)
    scatter = _sums(np.where(known, steps, 0), starts, widening)
    n_steps = _sums(known.astype(float), starts, widening)
    scatter, n_steps = (uniform_filter1d(a, 9, axis=1) for a in (scatter, n_steps))
    variance = np.maximum(scatter, 0) / np.maximum(n_steps, 1e-3)
    mean = total / np.maximum(count, 1)
    mean[count <= 0.5 * count.max(axis=1, keepdims=True)] = np.nan
    return mean, np.sqrt(variance / np.maximum(count, 1)), starts


def section_starts(n_slices: int, n: int) -> np.ndarray:
    return np.linspace(0, n_slices, min(n, n_slices) + 1).astype(int)


def means_of(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Mean of the rows of each section."""
    return _sums(values, starts, 1) / np.diff(starts)[:, None]


def _sums(values: np.ndarray, starts: np.ndarray, widening: int) -> np.ndarray:
    """Sums of the rows of each section, each section widened to both sides."""
    sums = np.add.reduceat(values, starts[:-1], axis=0)
    if widening == 1:
        return sums
    running = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(sums, axis=0)])
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
