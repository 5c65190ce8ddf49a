# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The kernel that combines a stack of pixels: sort, clip, average. Plain arrays only.

A stack has one row per frame and one column per pixel. Columns never mix and sums run over the
frames in their order, so a result depends neither on how the pixels are divided into stacks nor
on the machine's choice of summation. Sorting along the frames is done by a network of minima and
maxima of whole rows, which runs at the speed of the memory cache.

Most columns have no gap and no outlier. They are averaged at once; the others, which a test that
errs on the safe side finds, are gathered and treated one rejection after the other.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from astropy import stats
from scipy.special import ndtr

from ccdproc_echelle._numeric.medians import column_median, median_variance_factors
from ccdproc_echelle._numeric.sorting import middle_of_rows, sorted_rows
from ccdproc_echelle._numeric.spread import MAD_TO_SIGMA, mad_factors, mad_of_sorted
from ccdproc_echelle._numeric.sums import column_mean, column_sum, total_weight

__all__ = [
    "CombinedStack",
    "SigmaClipping",
    "StackCombiner",
    "block_size",
    "median_variance_factors",
]

# Values in a block: few enough for the cache, and enough for the work of a thread on them to take
# longer than to hand over from one thread to the other.
_BLOCK_VALUES = 1_310_720


# Columns of a block are gathered if they are less than this part of it.
_FEW = 0.3

_CENTERS = {
    "median": ("median", np.ma.median, np.median, np.nanmedian),
    "mean": ("mean", np.ma.mean, np.mean, np.nanmean),
}
_DEVIATIONS = {
    "std": ("std", np.ma.std, np.std, np.nanstd),
    "mad_std": ("mad_std", stats.mad_std),
    "uncertainty": ("uncertainty",),
}


class CombinedStack(NamedTuple):
    """
    What is left of a stack.

    Attributes
    ----------
    value : float array, shape (n_pixels,)
        Combined value; NaN where no frame was left.
    variance : float array, shape (n_pixels,)
        Its variance; NaN where it cannot be known.
    kept : bool array, shape (n_frames, n_pixels)
        Which values were used.
    count : int array, shape (n_pixels,)
        How many.
    """

    value: np.ndarray
    variance: np.ndarray
    kept: np.ndarray
    count: np.ndarray


@dataclass(frozen=True)
class SigmaClipping:
    """
    Rejection of values that deviate from the others in their stack.

    Parameters
    ----------
    low, high : float, optional
        How many deviations below and above the centre are tolerated.
    center : {"median", "mean"} or callable, optional
        Centre of the stack. The usual NumPy functions are recognised; any other callable is
        handed to `astropy.stats.sigma_clip`.
    deviation : None, {"mad_std", "std", "uncertainty"} or callable, optional
        Unit of the thresholds. ``"uncertainty"``: the standard deviation of each value itself.
        ``"mad_std"`` and ``"std"``: as astropy defines them. `None`: ``"uncertainty"`` for stacks
        with variances, else the median absolute deviation from the median with the factor that
        makes it unbiased for the number of frames.
    max_iterations : int, optional
        How often centre and deviation are found anew without the values rejected so far.

    Raises
    ------
    ValueError
        If a threshold is not positive or a name is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle.combining.clipping import SigmaClipping
    >>> stack = np.array([[1.0], [1.1], [0.9], [1.0], [7.0]])
    >>> SigmaClipping(low=5, high=5).rejects(stack, np.isfinite(stack), None).ravel()
    array([False, False, False, False,  True])
    """

    low: float = 3
    high: float = 3
    center: str | Callable = "median"
    deviation: str | Callable | None = None
    max_iterations: int = 1

    def __post_init__(self):
        for name in ("low", "high"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} clipping threshold is {getattr(self, name)!r}; "
                                 "expected a positive number")
        object.__setattr__(self, "center", _recognised("center", self.center, _CENTERS))
        if self.deviation is not None:
            known = _recognised("deviation", self.deviation, _DEVIATIONS)
            object.__setattr__(self, "deviation", known)

    def may_reject(self, values: np.ndarray, variances: np.ndarray | None) -> np.ndarray:
        """
        Find the columns of a stack without gaps in which something might be rejected.

        Parameters
        ----------
        values : float array, shape (n_frames, n_pixels)
            The stack.
        variances : float array, shape (n_frames, n_pixels), or None
            Variances of the values.

        Returns
        -------
        bool array, shape (n_pixels,)
            True at least where `rejects` finds something.
        """
        if callable(self.center) or callable(self.deviation):
            return np.ones(values.shape[1], dtype=bool)
        if self._by_uncertainty(variances):
            return self._may_reject_by_uncertainty(values, variances)
        if self.center == "median" and self.deviation in (None, "mad_std"):
            rows = sorted_rows(values)
            center = middle_of_rows(rows)
            width = mad_of_sorted(rows, center) * self._mad_factor(values, None)
            low, high = self._limits(center, width)
            return (rows[0] < low) | (rows[-1] > high)
        low, high = self._bounds(values, None, None)
        return ((values < low) | (values > high)).any(axis=0)

    def _may_reject_by_uncertainty(self, values, variances) -> np.ndarray:
        """
        Where the whole range of the values is within the smallest limit, nothing deviates more.

        Only the other columns need their centre, if these are few.
        """
        # The lower of both thresholds, less some rounding, spares a root and a comparison.
        threshold = values.dtype.type((1 - 1e-5) * min(self.low, self.high) ** 2)
        span = values.max(axis=0) - values.min(axis=0)
        doubtful = ~(span * span <= threshold * variances.min(axis=0))
        columns = np.flatnonzero(doubtful)
        if len(columns) < _FEW * len(doubtful):
            values, variances = values.take(columns, axis=1), variances.take(columns, axis=1)
        deviations = values - _CENTER_FUNCTIONS[self.center](values, None)
        deviations *= deviations
        found = ~(deviations <= variances * threshold).all(axis=0)
        if len(found) == len(doubtful):
            return found
        doubtful[columns] = found
        return doubtful

    def rejects(
        self, values: np.ndarray, good: np.ndarray, variances: np.ndarray | None
    ) -> np.ndarray:
        """
        Find the values to be rejected.

        Parameters
        ----------
        values : float array, shape (n_frames, n_pixels)
            The stack.
        good : bool array, shape (n_frames, n_pixels)
            The values that count.
        variances : float array, shape (n_frames, n_pixels), or None
            Variances of the values.

        Returns
        -------
        bool array, shape (n_frames, n_pixels)
            The good values that deviate too much.
        """
        if callable(self.center) or callable(self.deviation):
            return good & self._outliers_by_astropy(values, good)
        rejected = self._outliers(values, good, variances)
        for _ in range(self.max_iterations - 1):
            hit = np.flatnonzero(rejected.any(axis=0))
            if len(hit) == 0:
                break
            left = good[:, hit] & ~rejected[:, hit]
            new = self._outliers(
                values[:, hit], left, None if variances is None else variances[:, hit]
            )
            if not new.any():
                break
            rejected[:, hit] |= new
        return rejected

    def _outliers(self, values, good, variances) -> np.ndarray:
        low, high = self._bounds(values, good, variances)
        return good & ((values < low) | (values > high))

    def _by_uncertainty(self, variances) -> bool:
        return self.deviation == "uncertainty" or (
            self.deviation is None and variances is not None
        )

    def _bounds(self, values, good, variances) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest value that is no outlier; ``good=None`` means all are good."""
        center = _CENTER_FUNCTIONS[self.center](values, good)
        if self._by_uncertainty(variances):
            width = np.sqrt(variances)
        elif self.deviation == "std":
            mean = center if self.center == "mean" else column_mean(values, good)
            width = np.sqrt(column_mean((values - mean) ** 2, good))
        else:
            middle = center if self.center == "median" else column_median(values, good)
            width = column_median(np.abs(values - middle), good) * self._mad_factor(values, good)
        return self._limits(center, width)

    def _limits(self, center, width) -> tuple[np.ndarray, np.ndarray]:
        low, high = center.dtype.type(self.low), center.dtype.type(self.high)
        with np.errstate(invalid="ignore"):  # no limit and no width: nothing is rejected
            return center - low * width, center + high * width

    def _mad_factor(self, values, good) -> np.ndarray:
        if self.deviation == "mad_std":
            return values.dtype.type(MAD_TO_SIGMA)
        factors = mad_factors(len(values)).astype(values.dtype)
        return factors[len(values) if good is None else good.sum(axis=0)]

    def inflation(self, *, known_variance: bool) -> float:
        """
        By how much the variance of a clipped mean of Gaussian values exceeds the plain formula.

        The plain formula divides the variance of the values by the number of those that are left.
        It is too low as a value is kept or rejected by its distance from a centre that is itself
        uncertain; and, where the variance is taken from the values left, as the wings are gone.

        Parameters
        ----------
        known_variance : bool
            Whether the variance is known; else it is that of the values that are left.

        Returns
        -------
        float
            Factor, for many values. 1.027 for a known variance and 3 sigma on both sides.

        References
        ----------
        The influence function of a mean with hard rejection; Hampel et al. 1986, *Robust
        Statistics*, chapter 2.

        Examples
        --------
        >>> from ccdproc_echelle.combining.clipping import SigmaClipping
        >>> round(SigmaClipping(low=3, high=3).inflation(known_variance=True), 4)
        1.0272
        """
        return _inflation(self.low, self.high, self.center == "mean", known_variance)

    def _outliers_by_astropy(self, values, good) -> np.ndarray:
        clipped = stats.sigma_clip(
            np.ma.array(values, mask=~good),
            sigma_lower=self.low,
            sigma_upper=self.high,
            maxiters=self.max_iterations,
            cenfunc=self.center,
            stdfunc=self.deviation or "mad_std",
            axis=0,
        )
        return np.ma.getmaskarray(clipped)


@dataclass(frozen=True)
class StackCombiner:
    """
    What is done with a stack: rejections, then the average or median of what is left.

    Parameters
    ----------
    method : {"average", "median", "sum"}, optional
        How the values that are left are combined.
    n_extreme : tuple of int, optional
        How many of the lowest and of the highest values are rejected first.
    limits : tuple of float, optional
        Values below the first or above the second are rejected next.
    sigma_clipping : `SigmaClipping`, optional
        The last rejection.
    uncertainty_function : callable, optional
        Replaces the sample standard deviation as the scatter of a stack:
        ``f(masked_array, axis=0)``. It is divided by the root of the number of values.
        Without it the input variances are propagated where there are any.
    """

    method: str = "average"
    n_extreme: tuple[int, int] = (0, 0)
    limits: tuple[float, float] = (-np.inf, np.inf)
    sigma_clipping: SigmaClipping | None = None
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
        Combine a stack, in blocks that fit into the cache.

        Parameters
        ----------
        values : float array, shape (n_frames, n_pixels)
            The stack, scaled to a common level.
        good : bool array, shape (n_frames, n_pixels)
            The values that count; the others may hold anything.
        variances : float array, shape (n_frames, n_pixels), optional
            Variances of the values.
        weights : float array, shape (n_frames, 1) or (n_frames, n_pixels), optional
            Weights of an average or sum.

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
        """Fill in the result: all columns as if nothing were amiss, then those where it is."""
        result.value[:], result.variance[:] = self._statistics(stack, None)
        columns = np.flatnonzero(self._disputed(stack))
        if len(columns):
            stack = stack.columns(columns).without_garbage()
            kept = self._kept(stack)
            result.value[columns], result.variance[columns] = self._statistics(stack, kept)
            result.kept[:, columns] = kept
            result.count[columns] = kept.sum(axis=0)

    def _disputed(self, stack: "_Stack") -> np.ndarray:
        """Columns with gaps, and all in which something might be rejected."""
        disputed = ~stack.good.all(axis=0)
        if any(self.n_extreme):
            disputed[:] = True
        if np.isfinite(self.limits).any():
            low, high = self.limits
            disputed |= ~((stack.values >= low) & (stack.values <= high)).all(axis=0)
        if self.sigma_clipping is not None:
            disputed |= self.sigma_clipping.may_reject(stack.values, stack.variances)
        if stack.weights is not None:
            disputed |= (stack.weights == 0).any(axis=0)
        return disputed

    def _kept(self, stack: "_Stack") -> np.ndarray:
        """The values that no rejection takes."""
        kept = stack.good.copy()
        if any(self.n_extreme):
            kept &= ~_extremes(stack.values, kept, *self.n_extreme)
        if np.isfinite(self.limits).any():
            kept &= (stack.values >= self.limits[0]) & (stack.values <= self.limits[1])
        if self.sigma_clipping is not None:
            kept &= ~self.sigma_clipping.rejects(stack.values, kept, stack.variances)
        if stack.weights is not None:
            kept &= stack.weights > 0
        return kept

    def _statistics(self, stack: "_Stack", kept: np.ndarray | None) -> tuple:
        """Combined value and its variance; ``kept=None`` means that all are kept."""
        used = kept
        if stack.weights is not None:
            used = stack.weights if kept is None else kept * stack.weights
        if self.method == "median":
            return column_median(stack.values, kept), self._variance_of_median(stack, kept)
        mean, variance = column_mean(stack.values, used), self._variance_of_mean(stack, kept, used)
        if self.method == "average":
            return mean, variance
        total = total_weight(stack.values, used)
        return np.where(total > 0, mean * total, np.nan), variance * total**2

    def _variance_of_mean(self, stack, kept, used) -> np.ndarray:
        """Of the mean weighted by ``used``, in which the values ``kept`` count."""
        if self.uncertainty_function is not None:
            return self._scatter(stack, kept) / total_weight(stack.values, kept)
        square = used if used is kept else used**2
        share = total_weight(stack.values, square) / total_weight(stack.values, used) ** 2
        if stack.variances is not None:
            variance = column_sum(stack.variances, square, stack.variances.dtype)
            variance = variance / total_weight(stack.values, used) ** 2
        else:
            variance = self._scatter(stack, kept) * share
        return variance * self._inflation(stack, kept)

    def _variance_of_median(self, stack, kept) -> np.ndarray:
        """Of the median of values that may differ in noise, for Gaussian noise."""
        count = total_weight(stack.values, kept)
        factors = median_variance_factors(len(stack.values))[np.asarray(count, dtype=int)]
        if self.uncertainty_function is not None or stack.variances is None:
            return factors * self._scatter(stack, kept) / count
        plain = column_sum(stack.variances, kept) / count**2
        # The density at the centre counts, to which a noisy value contributes little.
        density = 1 / np.sqrt(stack.variances)
        density = column_sum(density if kept is None else np.where(kept, density, 0))
        return np.where(count > 2, factors * count / density**2, plain)

    def _scatter(self, stack, kept) -> np.ndarray:
        """Variance of the values in each column, NaN where it cannot be told."""
        if self.uncertainty_function is not None:
            values = np.ma.array(stack.values, mask=False if kept is None else ~kept)
            scatter = self.uncertainty_function(values, axis=0)
            return np.ma.filled(np.ma.asarray(scatter, dtype=float), np.nan) ** 2
        count = total_weight(stack.values, kept)
        squares = stack.values - column_mean(stack.values, kept)
        squares *= squares
        squares = column_sum(squares, kept, squares.dtype)
        return np.where(count > 1, squares / (count - 1), np.nan)

    def _inflation(self, stack, kept) -> np.ndarray | float:
        """What clipping adds to the variance; one or two values cannot be clipped."""
        if self.sigma_clipping is None:
            return 1.0
        factor = self.sigma_clipping.inflation(known_variance=stack.variances is not None)
        return np.where(total_weight(stack.values, kept) > 2, factor, 1.0)


class _Stack(NamedTuple):
    """The arrays of a stack, all of shape (n_frames, n_pixels) or None."""

    values: np.ndarray
    good: np.ndarray
    variances: np.ndarray | None
    weights: np.ndarray | None

    def columns(self, which: slice | np.ndarray) -> "_Stack":
        if isinstance(which, slice):
            return _Stack(*(None if part is None else part[:, which] for part in self))
        return _Stack(*(None if part is None else part.take(which, axis=1) for part in self))

    def without_garbage(self) -> "_Stack":
        """Values that do not count set to 0, so that they can be multiplied with 0."""
        variances = None if self.variances is None else np.where(self.good, self.variances, 0)
        return self._replace(values=np.where(self.good, self.values, 0), variances=variances)


def block_size(n_frames: int) -> int:
    """
    Number of pixels that are best combined at a time.

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


def _recognised(name: str, value: str | Callable, known: dict) -> str | Callable:
    """The standard name of a statistic, or the callable itself."""
    for standard, spellings in known.items():
        if any(value is spelling or (isinstance(value, str) and value == spelling)
               for spelling in spellings):
            return standard
    if not callable(value):
        raise ValueError(f"clipping {name} is {value!r}; expected {list(known)} or a callable")
    return value


# ---------------------------------------------------------------------- sums and sorted rows


def _extremes(values: np.ndarray, good: np.ndarray, n_low: int, n_high: int) -> np.ndarray:
    """The lowest and the highest good values of each column."""
    rank = np.empty(values.shape, dtype=int)
    order = np.argsort(np.where(good, values, np.inf), axis=0, kind="stable")
    np.put_along_axis(rank, order, np.arange(len(values))[:, None], axis=0)
    return good & ((rank < n_low) | (rank >= good.sum(axis=0) - n_high))


# ---------------------------------------------------------------------- small numbers of frames


@lru_cache
def _inflation(low: float, high: float, about_mean: bool, known_variance: bool) -> float:
    """See `SigmaClipping.inflation`."""
    ends = np.array([low, high])
    density = np.exp(-0.5 * ends**2) / np.sqrt(2 * np.pi)
    kept = ndtr(ends).sum() - 1
    mean = (density[0] - density[1]) / kept  # of the values left, about the true centre
    ends = np.where(np.isfinite(ends), ends, 0)
    border = ((ends + [mean, -mean]) * density).sum()
    square = kept - (ends * density).sum() - kept * mean**2  # of the values left, about their mean
    if about_mean:
        variance = square + 2 * border * square + border**2
    else:
        distance = np.sqrt(2 / np.pi) - density.sum() - mean * (ndtr(high) - ndtr(low))
        root = np.sqrt(np.pi / 2)
        variance = square + 2 * border * root * distance + (border * root) ** 2
    return float(variance / kept if known_variance else variance / square)


_CENTER_FUNCTIONS = {"median": column_median, "mean": column_mean}
