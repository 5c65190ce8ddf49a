# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Photon transfer: the variance of the differences between frames as a function of their light.

Frames divided by their levels differ only by their noise, whatever is on the detector. If the
variance of a frame is ``offset + slope * counts``, the squared difference of two frames, divided by
the sum of their scales s1 and s2, is on average ``offset * (s1**2 + s2**2) / (s1 + s2) + slope *
light``: a straight line common to all pairs of frames. Plain arrays only.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

__all__ = ["StraightLine", "bins_of_neighbours", "scales_of", "straight_line"]

# Differences beyond this many standard deviations are outliers. For Gaussian noise this removes
# only 0.02 % of the variance.
_CLIP = 4.5
_MOST_ITERATIONS = 20

# A bin with this many pixels gives its variance to 6 %, even for two frames.
_PIXELS_OF_A_BIN = 500
_MOST_BINS = 64

# Fraction of a Gaussian within 1.645 standard deviations. This quantile is higher than the median,
# which is 0 for integers whose noise is less than a unit.
_QUANTILE, _AT_QUANTILE = 0.9, 1.645

# Differences below this fraction of the brightest light are due to single precision.
_ROUNDING = 1e-6


class StraightLine(NamedTuple):
    """
    Straight line through the variances of pixels as a function of their light.

    Attributes
    ----------
    offset, slope : float
        Variance of a frame without light, and the increase per count.
    covariance : float array, shape (2, 2)
        Their covariance, provided that the line is straight.
    light : float array, shape (n_bins,)
        Mean light of each bin, in counts of a frame with scale 1.
    variance, sigma, fitted : float array, shape (n_bins,)
        Variance of the differences in each bin, its standard deviation, and the fitted line.
    shared : float array, shape (2,)
        Part of offset and slope that neighbouring pixels share, from the same fit to the products
        of their differences. This is not noise of single pixels but a drift of the illumination.
    pairs : float array, shape (n_pairs,)
        Squared differences of each pair of frames relative to the line: 1 if both frames have the
        noise of the line. Pair i consists of frame i and the next one; the last pair consists of
        the last frame and the first.
    n_pixels : int
        Number of pixels used.
    """

    offset: float
    slope: float
    covariance: np.ndarray
    light: np.ndarray
    variance: np.ndarray
    sigma: np.ndarray
    fitted: np.ndarray
    shared: np.ndarray
    pairs: np.ndarray
    n_pixels: int


def scales_of(values: np.ndarray) -> np.ndarray:
    """
    Factors that bring frames to a common level, the mean of all frames.

    Parameters
    ----------
    values : float array, shape (n_frames, n_pixels)
        Bright pixels of the frames.

    Returns
    -------
    float array, shape (n_frames,)
        NaN, infinite or negative for frames without light.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        reference = np.median(values, axis=0)
        for _ in range(2):
            levels = np.median(values / reference, axis=1)
            reference = (values / levels[:, None]).mean(axis=0)
        return levels.mean() / levels


def bins_of_neighbours(light: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    Sort pixels by the light of their neighbours, and find where their bins start.

    If pixels were sorted by their own light, their own noise would put them into the wrong bins,
    and the line would be too flat.

    Parameters
    ----------
    light : float array, shape (n_pixels,)
        Pixels 0 and 1, 2 and 3, and so on are neighbours.

    Returns
    -------
    order : int array, shape (n_pixels,)
        Indices of the sorted pixels.
    starts : int array, shape (n_bins,)
        Index of the first pixel of each bin in this order. Bins have equal size; there are none if
        there are too few pixels for a line.
    """
    order = np.argsort(light.reshape(-1, 2)[:, ::-1].ravel(), kind="stable")
    n_bins = min(_MOST_BINS, len(light) // _PIXELS_OF_A_BIN)
    return order, np.linspace(0, len(light), n_bins, endpoint=False).astype(int)


def straight_line(values: np.ndarray, scales: np.ndarray) -> StraightLine | None:
    """
    Fit a straight line to the variance as a function of light.

    Parameters
    ----------
    values : float array, shape (n_frames, n_pixels)
        Pixels that are good in all frames; 0 and 1, 2 and 3, and so on are neighbours.
    scales : float array, shape (n_frames,)
        Factors that bring the frames to a common level.

    Returns
    -------
    `StraightLine` or None
        `None` if there are too few pixels, or they show no noise.
    """
    scaled = values * scales[:, None]
    light = scaled.mean(axis=0)
    order, starts = bins_of_neighbours(light)
    if len(starts) < 3:
        return None
    differences = _Differences.of(scaled, scales, light, order, starts)
    first = differences.rough_line()
    return None if first is None else differences.line(*first)


@dataclass(frozen=True)
class _Differences:
    """
    Squared differences of pairs of frames, divided by the sum of their scales, sorted into bins.

    Each frame is in two pairs, which preserves all but a third of the information in the frames.
    """

    squares: np.ndarray
    products: np.ndarray  # of the differences of neighbours
    offsets: np.ndarray  # contribution of a unit offset to the squares of each pair
    light: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, scaled, scales, light, order, starts) -> "_Differences":
        n = len(scaled)
        first = np.arange(n if n > 2 else 1)
        second = (first + 1) % n
        s, t = scales[first], scales[second]
        apart = (scaled[first] - scaled[second]) / np.sqrt(s + t)[:, None]
        products = np.repeat(apart[:, ::2] * apart[:, 1::2], 2, axis=1)
        return cls(
            (apart**2).take(order, axis=1), products.take(order, axis=1),
            (s**2 + t**2) / (s + t), light[order], starts,
        )

    def rough_line(self) -> tuple[np.ndarray, float] | None:
        """Offset and slope from a high quantile of each bin, and a lower limit of the variances."""
        sections = np.split(self.squares, self.starts[1:], axis=1)
        variance = np.array([np.quantile(s, _QUANTILE) for s in sections]) / _AT_QUANTILE**2
        known = variance > (_ROUNDING * np.abs(self.light).max()) ** 2
        if np.count_nonzero(known) < 3:
            return None
        light = np.array([np.median(s) for s in np.split(self.light, self.starts[1:])])
        fit, _ = self._fit(light[known], variance[known])
        return fit @ variance[known], 0.1 * variance[known].min()

    def line(self, line: np.ndarray, least: float) -> StraightLine:
        """The straight line through the bins, without outliers far from the given line."""
        kept = None
        for _ in range(_MOST_ITERATIONS):
            expected = np.maximum(line[0] * self.offsets[:, None] + line[1] * self.light, least)
            last, kept = kept, self._near(_CLIP**2 * expected)
            light, variance, sigma = self._bins(kept, expected)
            fit, covariance = self._fit(light, sigma)
            line = fit @ variance
            if last is not None and (kept == last).all():
                break
        fitted = line[0] * self.offsets.mean() + line[1] * light
        shared = fit @ self._means(self.products.mean(axis=0), kept)
        pairs = np.mean(self.squares / expected, axis=1, where=kept)
        return StraightLine(
            *line, covariance, light, variance, sigma, fitted, shared, pairs, int(kept.sum())
        )

    def _near(self, limit) -> np.ndarray:
        """
        Pixels where neither they nor their neighbours deviate by more than this in any pair.

        A bin that would lose all its pixels keeps them: they are not outliers, but off the line.
        """
        near = ((self.squares <= limit) & (np.abs(self.products) <= limit)).all(axis=0)
        sizes = np.diff(self.starts, append=len(near))
        return near | np.repeat(~np.logical_or.reduceat(near, self.starts), sizes)

    def _bins(self, kept, expected) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean light and variance of each bin, and the standard deviation of the latter."""
        n_pairs = len(self.squares)
        # The squares of two pairs that share a frame are correlated by a quarter.
        independent = self._count(kept) * (1 if n_pairs == 1 else n_pairs / 1.5)
        sigma = np.sqrt(2 * self._means((expected**2).mean(axis=0), kept) / independent)
        return self._means(self.light, kept), self._means(self.squares.mean(axis=0), kept), sigma

    def _means(self, values, kept) -> np.ndarray:
        return np.add.reduceat(np.where(kept, values, 0), self.starts) / self._count(kept)

    def _count(self, kept) -> np.ndarray:
        return np.maximum(np.add.reduceat(kept, self.starts, dtype=int), 1)

    def _fit(self, light, sigma) -> tuple[np.ndarray, np.ndarray]:
        """Matrix that turns the values of the bins into offset and slope, and the covariance."""
        units = np.array([self.offsets.mean(), np.abs(light).max()])
        basis = np.array([np.ones(len(light)), light / units[1]]) / sigma
        fit = np.linalg.pinv(basis.T) / units[:, None]
        return fit / sigma, fit @ fit.T
