# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The kernel that combines a stack of pixels: sort, clip, average. Plain arrays only.

A stack has one row per frame and one column per pixel. Columns never mix and sums run over the
frames in order, so the result depends neither on how the pixels are divided into stacks nor on how
the machine orders a sum. Sorting along the frames uses a network of minima and maxima of whole
rows, which runs at the speed of the memory cache.

Most columns have neither gaps nor outliers, and are averaged at once. The others, found by a
conservative test, are gathered and passed through one rejection after the other.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ccdproc_echelle._numeric.medians import column_median, median_variance_factors
from ccdproc_echelle._numeric.sums import column_mean, column_sum, total_weight
from ccdproc_echelle.combining.clipping.rejection import Rejection

__all__ = ["CombinedStack", "StackCombiner", "block_size"]

# Number of values in a block: small enough for the cache, and large enough that the work of a
# thread on it takes longer than switching between threads.
_BLOCK_VALUES = 1_310_720


class CombinedStack(NamedTuple):
    """
    Result of combining a stack.

    Attributes
    ----------
    value : float array, shape (n_pixels,)
        Combined value; NaN where no frame remained.
    variance : float array, shape (n_pixels,)
        Its variance; NaN where unknown.
    kept : bool array, shape (n_frames, n_pixels)
        Values that were used.
    count : int array, shape (n_pixels,)
        Number of values that were used.
    """

    value: np.ndarray
    variance: np.ndarray
    kept: np.ndarray
    count: np.ndarray


@dataclass(frozen=True)
class StackCombiner:
    """
    Combine stacks: apply rejections, then average or take the median of what remains.

    Parameters
    ----------
    method : {"average", "median", "sum"}, optional
        How the remaining values are combined.
    rejections : tuple of `Rejection`, optional
        Rejections, applied in this order, each to the values that the previous ones left.
    uncertainty_function : callable, optional
        Replaces the sample standard deviation as the scatter of a stack. Called as
        ``f(masked_array, axis=0)``, with NaN for values that do not count; its result is divided by
        the square root of the number of values. Default: the input variances are propagated if
        there are any.

    Raises
    ------
    ValueError
        If the method is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle.combining.clipping import (
    ...     ExtremaClipping, SigmaClipping, StackCombiner)
    >>> stack = np.array([[1.0], [1.25], [1.0], [0.5], [90.0], [7.0]])
    >>> combiner = StackCombiner(rejections=(ExtremaClipping(), SigmaClipping(low=5, high=5)))
    >>> combined = combiner.combine(stack, np.isfinite(stack))
    >>> combined.kept.ravel()
    array([ True,  True,  True, False, False, False])
    """

    method: str = "average"
    rejections: tuple[Rejection, ...] = ()
    uncertainty_function: Callable | None = None

    def __post_init__(self):
        if self.method not in ("average", "median", "sum"):
            raise ValueError(
                f"method is {self.method!r}; expected 'average', 'median' or 'sum'"
            )

    def combine(
        self,
        values: np.ndarray,
        good: np.ndarray,
        variances: np.ndarray | None = None,
        weights: np.ndarray | None = None,
    ) -> CombinedStack:
        """
        Combine a stack in blocks that fit into the cache.

        Parameters
        ----------
        values : float array, shape (n_frames, n_pixels)
            The stack, scaled to a common level.
        good : bool array, shape (n_frames, n_pixels)
            Values that count; the others may hold anything.
        variances : float array, shape (n_frames, n_pixels), optional
            Variances of the values.
        weights : float array, shape (n_frames, 1) or (n_frames, n_pixels), optional
            Weights for an average or sum.

        Returns
        -------
        `CombinedStack`
        """
        n_frames, n_pixels = values.shape
        size = block_size(n_frames)
        if weights is not None:
            weights = np.broadcast_to(weights, values.shape)
        result = CombinedStack(
            value=np.empty(n_pixels, dtype=values.dtype),
            variance=np.empty(n_pixels, dtype=values.dtype),
            kept=np.ones(values.shape, dtype=bool),
            count=np.full(n_pixels, n_frames),
        )
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            for start in range(0, n_pixels, size):
                block = slice(start, start + size)
                stack = _Stack(values, good, variances, weights).columns(block)
                self._combine_block(stack, CombinedStack(*(part[..., block] for part in result)))
        return result

    def _combine_block(self, stack: "_Stack", result: CombinedStack) -> None:
        """
        Fill the result for all columns as if there were no problems, then redo those with some.
        """
        result.value[:], result.variance[:] = self._statistics(stack, None)
        columns = np.flatnonzero(self._disputed(stack))
        if len(columns):
            stack = stack.columns(columns)
            stack = stack.without_garbage(stack.good)
            kept = self._kept(stack)
            stack = stack.without_garbage(kept)
            result.value[columns], result.variance[columns] = self._statistics(stack, kept)
            result.kept[:, columns] = kept
            result.count[columns] = kept.sum(axis=0)

    def _disputed(self, stack: "_Stack") -> np.ndarray:
        """Columns with gaps, and those in which something might be rejected."""
        disputed = ~stack.good.all(axis=0)
        for rejection in self.rejections:
            disputed |= rejection.may_reject(stack.values, stack.variances)
        if stack.weights is not None:
            disputed |= (stack.weights == 0).any(axis=0)
        return disputed

    def _kept(self, stack: "_Stack") -> np.ndarray:
        """Values that are not rejected and have a non-zero weight."""
        if stack.weights is None:
            return self._left(stack)
        # Among equal extremes the one with the smallest weight goes first, wherever it is.
        order = np.argsort(stack.weights, axis=0, kind="stable")
        left = self._left(stack.arranged(order))
        kept = np.empty_like(left)
        np.put_along_axis(kept, order, left, axis=0)
        return kept & (stack.weights > 0)

    def _left(self, stack: "_Stack") -> np.ndarray:
        left = stack.good.copy()
        for rejection in self.rejections:
            left &= ~rejection.rejects(stack.values, left, stack.variances)
        return left

    def _statistics(self, stack: "_Stack", kept: np.ndarray | None) -> tuple:
        """Combined value and its variance; ``kept=None`` means that all values are kept."""
        used, unit = kept, 1
        if stack.weights is not None:
            used, unit = _relative(stack.weights if kept is None else kept * stack.weights)
        if self.method == "median":
            return column_median(stack.values, kept), self._variance_of_median(stack, kept)
        mean, variance = column_mean(stack.values, used), self._variance_of_mean(stack, kept, used)
        if self.method == "average":
            return mean, variance
        total = unit * total_weight(stack.values, used)
        return np.where(total > 0, mean * total, np.nan), variance * total**2

    def _variance_of_mean(self, stack, kept, used) -> np.ndarray:
        """Variance of the mean weighted by ``used``, to which the values in ``kept`` contribute."""
        if self.uncertainty_function is not None:
            return self._own_scatter(stack, kept)
        square = used if used is kept else used**2
        share = total_weight(stack.values, square) / total_weight(stack.values, used) ** 2
        if stack.variances is not None:
            variance = column_sum(stack.variances, square, stack.variances.dtype)
            variance = variance / total_weight(stack.values, used) ** 2
        else:
            variance = self._scatter(stack, kept) * share
        return variance * self._inflation(stack, kept)

    def _variance_of_median(self, stack, kept) -> np.ndarray:
        """Variance of the median of values that may differ in noise, for Gaussian noise."""
        if self.uncertainty_function is not None:
            return self._own_scatter(stack, kept)
        count = total_weight(stack.values, kept)
        factors = median_variance_factors(len(stack.values))[np.asarray(count, dtype=int)]
        inflation = self._inflation(stack, kept)
        if stack.variances is None:
            return inflation * factors * self._scatter(stack, kept) / count
        # What matters is the density at the centre, to which a noisy value contributes little.
        density = np.sqrt(stack.variances)
        np.divide(1, density, out=density)
        density = column_sum(density if kept is None else np.where(kept, density, 0))
        variance = factors * count / density**2
        few = count <= 2
        if np.any(few):
            variance = np.where(few, column_sum(stack.variances, kept) / count**2, variance)
        return variance * inflation

    def _own_scatter(self, stack, kept) -> np.ndarray:
        """
        Variance of the combined value according to a user-supplied function.

        The function gets a copy, since it may modify it, with NaN under the mask, since it may
        ignore the mask.
        """
        counts = np.ones(stack.values.shape, dtype=bool) if kept is None else kept
        values = np.ma.array(np.where(counts, stack.values, np.nan), mask=~counts)
        scatter = self.uncertainty_function(values, axis=0)
        scatter = np.ma.filled(np.ma.asarray(scatter, dtype=float), np.nan)
        if scatter.shape not in ((), values.shape[1:]) or (scatter < 0).any():
            raise ValueError(
                f"combine_uncertainty_function returned an array of shape {scatter.shape}, or "
                f"negative numbers, for values of shape {values.shape}; expected one number >= 0 "
                "for each pixel"
            )
        return scatter**2 / total_weight(stack.values, kept)

    def _scatter(self, stack, kept) -> np.ndarray:
        """Variance of the values in each column; NaN where it cannot be determined."""
        count = total_weight(stack.values, kept)
        squares = stack.values - column_mean(stack.values, kept)
        squares *= squares
        squares = column_sum(squares, kept, squares.dtype)
        return np.where(count > 1, squares / (count - 1), np.nan)

    def _inflation(self, stack, kept) -> np.ndarray | float:
        """Increase of the variance due to rejections."""
        count = len(stack.values) if kept is None else kept.sum(axis=0)
        known, of_median = stack.variances is not None, self.method == "median"
        return math.prod(
            one.inflation(count, known_variance=known, of_median=of_median)
            for one in self.rejections
        )


class _Stack(NamedTuple):
    """Arrays of a stack, each of shape (n_frames, n_pixels) or None."""

    values: np.ndarray
    good: np.ndarray
    variances: np.ndarray | None
    weights: np.ndarray | None

    def columns(self, which: slice | np.ndarray) -> "_Stack":
        if isinstance(which, slice):
            return _Stack(*(None if part is None else part[:, which] for part in self))
        return _Stack(*(None if part is None else part.take(which, axis=1) for part in self))

    def arranged(self, order: np.ndarray) -> "_Stack":
        """The values of each column in a different order."""
        return _Stack(*(
            None if part is None else np.take_along_axis(part, order, axis=0) for part in self
        ))

    def without_garbage(self, kept: np.ndarray) -> "_Stack":
        """Set values that do not count to 0, so that they can be multiplied by 0."""
        variances = None if self.variances is None else np.where(kept, self.variances, 0)
        return self._replace(values=np.where(kept, self.values, 0), variances=variances)


def _relative(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    Weights relative to the largest in their column, to avoid overflow of squares; and the latter.
    """
    largest = weights.max(axis=0)
    largest[largest == 0] = 1
    return weights / largest, largest


def block_size(n_frames: int) -> int:
    """
    Number of pixels to combine at a time for the best speed.

    Parameters
    ----------
    n_frames : int
        Number of frames.

    Returns
    -------
    int

    Examples
    --------
    >>> from ccdproc_echelle.combining.clipping import block_size
    >>> block_size(10)
    131072
    """
    return max(1024, _BLOCK_VALUES // n_frames)
