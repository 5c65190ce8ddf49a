# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What is taken of ratios to a master: levels, one per frame, and their standard deviations."""

import numpy as np

from ccdproc_echelle.combining.pixels import Pixels

__all__ = ["STATISTICS", "lost_scatter", "mean", "weighted"]


def mean(ratios: Pixels, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Every pixel counts alike."""
    return weighted(ratios, np.ones(ratios.data.shape[1]))


def weighted(ratios: Pixels, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standard deviations are from the variances of the ratios if known, else their scatter."""
    levels = np.array([np.average(row, weights=weights) for row in ratios.data])
    squares = ratios.variance
    if squares is None:
        squares = (ratios.data - levels[:, None]) ** 2
    sigmas = np.sqrt((squares * weights**2).sum(axis=1, dtype=float)) / weights.sum()
    return levels, sigmas


def median(ratios: Pixels, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The noisiest pixels dominate the error of the mean, but not that of the median."""
    _, sigmas = mean(ratios)
    gain = np.sqrt(weights).mean() * np.sqrt((1 / weights).mean())
    return np.median(ratios.data, axis=1).astype(float), sigmas * np.sqrt(np.pi / 2) / gain


def lost_scatter(n_frames: int) -> float:
    """A frame scatters less about a master that holds its own noise; one frame, not at all."""
    return np.sqrt(n_frames / (n_frames - 1)) if n_frames > 1 else np.nan


#: By the names that users give them.
STATISTICS = {"mean": mean, "weighted": weighted, "median": median}
