# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Statistics of the ratios to a master: levels, one per frame, and their standard deviations."""

import numpy as np

from ccdproc_echelle.combining.pixels import Pixels

__all__ = ["STATISTICS", "lost_scatter", "mean", "weighted"]


def mean(ratios: Pixels, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Mean in which every pixel has the same weight."""
    return weighted(ratios, np.ones(ratios.data.shape[1]))


def weighted(ratios: Pixels, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean; errors from the variances of the ratios if known, else from their scatter."""
    levels = np.array([np.average(row, weights=weights) for row in ratios.data])
    squares = ratios.variance
    if squares is None:
        squares = (ratios.data - levels[:, None]) ** 2
    sigmas = np.sqrt((squares * weights**2).sum(axis=1, dtype=float)) / weights.sum()
    return levels, sigmas


def median(ratios: Pixels, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median, whose error, unlike that of the mean, is not dominated by the noisiest pixels."""
    _, sigmas = mean(ratios)
    gain = np.sqrt(weights).mean() * np.sqrt((1 / weights).mean())
    return np.median(ratios.data, axis=1).astype(float), sigmas * np.sqrt(np.pi / 2) / gain


def lost_scatter(n_frames: int) -> float:
    """Scatter lost because the master includes the frame's own noise; all of it for one frame."""
    return np.sqrt(n_frames / (n_frames - 1)) if n_frames > 1 else np.nan


#: By the names that users give.
STATISTICS = {"mean": mean, "weighted": weighted, "median": median}
