# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Reject values that deviate from the others in their column."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from astropy import stats
from scipy.special import ndtr

from ccdproc_echelle._numeric.gaussians import gaussian
from ccdproc_echelle._numeric.medians import column_median
from ccdproc_echelle._numeric.sorting import middle_of_rows, sorted_rows
from ccdproc_echelle._numeric.spread import MAD_TO_SIGMA, mad_factors, mad_of_sorted
from ccdproc_echelle._numeric.sums import column_mean
from ccdproc_echelle.combining.clipping.rejection import Rejection

__all__ = ["SigmaClipping"]

# Columns of a block are gathered into a smaller stack if fewer than this fraction is needed.
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
_CENTER_FUNCTIONS = {"median": column_median, "mean": column_mean}


@dataclass(frozen=True)
class SigmaClipping(Rejection):
    """
    Reject values that deviate from the others in their stack.

    Parameters
    ----------
    low, high : float, optional
        Number of deviations below and above the centre beyond which a value is rejected.
    center : {"median", "mean"} or callable, optional
        Centre of the stack. The usual NumPy functions are recognised; any other callable is passed
        to `astropy.stats.sigma_clip`.
    deviation : None, {"mad_std", "std", "uncertainty"} or callable, optional
        Unit of the thresholds. ``"uncertainty"``: the standard deviation of each value.
        ``"mad_std"`` and ``"std"``: as defined by astropy. `None`: ``"uncertainty"`` for stacks
        with variances, otherwise the median absolute deviation from the median, multiplied by the
        factor that makes it unbiased for the number of frames.
    max_iterations : int, optional
        Maximum number of times that centre and deviation are recomputed without the values rejected
        so far.

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
                raise ValueError(
                    f"sigma_clip_{name}_thresh is {getattr(self, name)!r}, expected a positive "
                    "number"
                )
        object.__setattr__(self, "center", _recognised("center", self.center, _CENTERS))
        if self.deviation is not None:
            known = _recognised("deviation", self.deviation, _DEVIATIONS)
            object.__setattr__(self, "deviation", known)

    def may_reject(self, values: np.ndarray, variances: np.ndarray | None) -> np.ndarray:
        """
        Find the columns of a stack without gaps in which something might be rejected.

        Parameters
        ----------
        values, variances
            See `Rejection.may_reject`.

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
        Nothing is rejected where the whole range of the values is within the smallest limit.

        Only the remaining columns need their centre, provided they are few.
        """
        # Using the lower of the two thresholds, reduced for rounding, saves a root and a
        # comparison.
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
        Find the values to reject.

        Parameters
        ----------
        values, good, variances
            See `Rejection.rejects`.

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
        if self.deviation == "uncertainty" and variances is None:
            raise ValueError(
                "sigma_clip_dev_func is 'uncertainty', but the frames have no uncertainties that "
                "can be used"
            )
        return self.deviation == "uncertainty" or (
            self.deviation is None and variances is not None
        )

    def _bounds(self, values, good, variances) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest values that are not outliers; ``good=None`` means all are good."""
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
        with np.errstate(invalid="ignore"):  # infinite limit times zero width: nothing is rejected
            return center - low * width, center + high * width

    def _mad_factor(self, values, good) -> np.ndarray:
        if self.deviation == "mad_std":
            return values.dtype.type(MAD_TO_SIGMA)
        factors = mad_factors(len(values)).astype(values.dtype)
        return factors[len(values) if good is None else good.sum(axis=0)]

    def inflation(
        self, count: np.ndarray | int, *, known_variance: bool, of_median: bool = False
    ) -> np.ndarray | float:
        """
        Factor by which the variance of a clipped mean of Gaussian values exceeds the simple
        formula.

        The simple formula divides the variance of the values by the number of remaining values. It
        is too low because values are kept or rejected by their distance from a centre that is
        itself uncertain and, if the variance is that of the remaining values, because the wings are
        missing.

        Parameters
        ----------
        count, known_variance, of_median
            See `Rejection.inflation`.

        Returns
        -------
        float array or float
            The factor in the limit of many values: 1.027 for a known variance and 3 sigma on both
            sides; 1 for a median, and for one or two values, which cannot be outliers.

        References
        ----------
        Influence function of a mean with hard rejection; Hampel et al. 1986, *Robust Statistics*,
        chapter 2.

        Examples
        --------
        >>> from ccdproc_echelle.combining.clipping import SigmaClipping
        >>> float(SigmaClipping(low=3, high=3).inflation(10, known_variance=True).round(4))
        1.0272
        """
        if of_median:
            return 1.0
        factor = _inflation(self.low, self.high, self.center == "mean", known_variance)
        return np.where(np.greater(count, 2), factor, 1.0)[()]

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


def _recognised(name: str, value: str | Callable, known: dict) -> str | Callable:
    """The standard name of a statistic, or the callable itself."""
    for standard, spellings in known.items():
        if any(value is spelling or (isinstance(value, str) and value == spelling)
               for spelling in spellings):
            return standard
    if not callable(value):
        raise ValueError(f"clipping {name} is {value!r}; expected {list(known)} or a callable")
    return value


@lru_cache
def _inflation(low: float, high: float, about_mean: bool, known_variance: bool) -> float:
    """See `SigmaClipping.inflation`."""
    ends = np.array([low, high])
    density = gaussian(ends)
    kept = ndtr(ends).sum() - 1
    mean = (density[0] - density[1]) / kept  # of the remaining values, about the true centre
    ends = np.where(np.isfinite(ends), ends, 0)
    border = ((ends + [mean, -mean]) * density).sum()
    square = kept - (ends * density).sum() - kept * mean**2  # of the remaining, about their mean
    if about_mean:
        variance = square + 2 * border * square + border**2
    else:
        distance = np.sqrt(2 / np.pi) - density.sum() - mean * (ndtr(high) - ndtr(low))
        root = np.sqrt(np.pi / 2)
        variance = square + 2 * border * root * distance + (border * root) ** 2
    return float(variance / kept if known_variance else variance / square)
