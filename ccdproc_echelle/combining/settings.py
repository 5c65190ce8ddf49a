# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The keywords of a combination, and their meaning for the frames at hand."""

import pickle
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, fields
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ccdproc_echelle._numeric.arguments import expect, is_number, is_whole
from ccdproc_echelle._warnings import warn
from ccdproc_echelle.combining.clipping.extrema import ExtremaClipping
from ccdproc_echelle.combining.clipping.minmax import MinMaxClipping
from ccdproc_echelle.combining.clipping.rejection import Rejection
from ccdproc_echelle.combining.clipping.sigma import SigmaClipping
from ccdproc_echelle.combining.clipping.stack import StackCombiner
from ccdproc_echelle.frames import READING_KEYWORDS, Frame, check_keywords

__all__ = ["CombineSettings"]

# Keywords that may be functions.
_FUNCTIONS = ("sigma_clip_func", "sigma_clip_dev_func", "combine_uncertainty_function")

# Keywords that have no effect unless a clipping is switched on.
_SWITCHED = {
    "clip_extrema": ("nlow", "nhigh"),
    "minmax_clip": ("minmax_clip_min", "minmax_clip_max"),
    "sigma_clip": ("sigma_clip_low_thresh", "sigma_clip_high_thresh"),
}


@dataclass(frozen=True)
class CombineSettings:
    """
    Keywords of `ccdproc.combine`, with the same names and meanings.

    Unlike in ccdproc, values are scaled before they are clipped, and all limits refer to scaled
    values.

    Parameters
    ----------
    method : {"average", "median", "sum"}, optional
        How frames are combined.
    weights : array, shape (n_frames,) or (n_frames, rows, columns), or str, optional
        Weights for an average or sum. ``"inverse_variance"`` uses one over the variance of each
        value. Beware of variances that were computed from the counts themselves: a value that is
        low by chance then appears more precise than it is, and the average is biased low by about
        one electron per frame.
    mem_limit : float, optional
        Memory limit in bytes, not counting the result.
    clip_extrema : bool, optional
        Whether to reject the ``nlow`` lowest and ``nhigh`` highest values of each pixel.
    nlow, nhigh : int, optional
        Number of lowest and highest values to reject if ``clip_extrema`` is set.
    minmax_clip : bool, optional
        Whether to reject values below ``minmax_clip_min`` or above ``minmax_clip_max``.
    minmax_clip_min, minmax_clip_max : float, optional
        Limits used if ``minmax_clip`` is set.
    sigma_clip : bool, optional
        Whether to reject values that deviate from the others.
    sigma_clip_low_thresh, sigma_clip_high_thresh : float, optional
        Number of deviations beyond which values are rejected; `None` for no limit.
    sigma_clip_func : callable or str, optional
        Centre of the values: ``"median"`` (default, also for `None`), ``"mean"``, or a function
        such as `numpy.ma.median`.
    sigma_clip_dev_func : callable or str, optional
        Deviation of the values: ``"uncertainty"`` (that of each value), ``"mad_std"``, ``"std"`` or
        a function such as `astropy.stats.mad_std`. Default: the uncertainties if all frames have
        them, otherwise the median absolute deviation, corrected for small samples.
    dtype : `numpy.dtype`, optional
        Floating-point type of the computation and the result. Default: float32 if it represents the
        input and its squares exactly, otherwise float64; always float64 for a weighted sum.
    combine_uncertainty_function : callable, optional
        Function that computes the scatter of a stack along ``axis=0``; the uncertainty is its
        result divided by the square root of the number of values, whatever the method. It gets a
        masked array with NaN for masked or rejected values. Default: the uncertainties of the
        frames are propagated if all have them, otherwise the sample standard deviation is used.
    overwrite_output : bool, optional
        Whether to replace an existing output file.
    array_package : module, optional
        For compatibility with scripts for newer versions of ccdproc. The result always has NumPy
        arrays; there is a warning if a different package is requested.
    """

    method: str = "average"
    weights: ArrayLike | str | None = None
    mem_limit: float = 16e9
    clip_extrema: bool = False
    nlow: int = 1
    nhigh: int = 1
    minmax_clip: bool = False
    minmax_clip_min: float | None = None
    minmax_clip_max: float | None = None
    sigma_clip: bool = False
    sigma_clip_low_thresh: float | None = 3
    sigma_clip_high_thresh: float | None = 3
    sigma_clip_func: str | Callable | None = "median"
    sigma_clip_dev_func: str | Callable | None = None
    dtype: DTypeLike | None = None
    combine_uncertainty_function: Callable | None = None
    overwrite_output: bool = False
    array_package: Any = None

    def __post_init__(self):
        self._check_kinds()
        if not self.mem_limit > 0:
            raise ValueError(f"mem_limit is {self.mem_limit!r}, expected a number of bytes > 0")
        if self.dtype is not None and np.dtype(self.dtype) not in (np.float32, np.float64):
            raise ValueError(f"dtype is {self.dtype!r}, expected float32 or float64")
        self._check_weights()
        self._check_clipping()
        package = self.array_package
        if package is not None and getattr(package, "ndarray", None) is not np.ndarray:
            name = getattr(package, "__name__", repr(package))
            warn(f"array_package is {name}, but the result has NumPy arrays")
        self.combiner()

    def _check_weights(self) -> None:
        if self.weights is not None and self.method == "median":
            raise ValueError("weights have no effect on a median; expected method='average'")
        if isinstance(self.weights, str) and self.weights != "inverse_variance":
            raise ValueError(
                f"weights is {self.weights!r}, expected an array or 'inverse_variance'"
            )

    def _check_clipping(self) -> None:
        for name in ("nlow", "nhigh"):
            number = getattr(self, name)
            good = number is None or is_whole(number, least=0)
            expect(good, name, number, "a number of frames")
        low, high = self._limits
        if not low <= high:
            raise ValueError(
                f"minmax_clip_min is {low!r} and minmax_clip_max {high!r}; expected a minimum that "
                "is not above the maximum"
            )

    def _check_kinds(self) -> None:
        """Raise if something is not a number, or not a function."""
        for name in ("mem_limit", *_SWITCHED["minmax_clip"], *_SWITCHED["sigma_clip"]):
            value = getattr(self, name)
            if not (is_number(value) or (value is None and name != "mem_limit")):
                raise TypeError(f"{name} is {value!r}, expected a number")
        function = self.combine_uncertainty_function
        if not (function is None or callable(function)):
            raise TypeError(
                f"combine_uncertainty_function is {function!r}, expected a function such as "
                "numpy.ma.std"
            )

    @classmethod
    def from_keywords(
        cls, keywords: dict[str, Any], function: Callable | None = None
    ) -> tuple["CombineSettings", dict[str, Any]]:
        """
        Sort keywords into settings and keywords of ``CCDData.read``.

        Parameters
        ----------
        keywords : dict
            Keywords of either kind.
        function : callable, optional
            Function to which the keywords were passed; an unknown keyword may be a misspelt
            argument of it.

        Returns
        -------
        settings : `CombineSettings`
            The settings.
        reading : dict
            The remaining keywords.

        Raises
        ------
        TypeError
            If a keyword is of neither kind; the message suggests the closest known name.

        Warns
        -----
        `~astropy.utils.exceptions.AstropyUserWarning`
            If a limit is given without the keyword that switches on its clipping.

        Examples
        --------
        >>> from ccdproc_echelle.combining.settings import CombineSettings
        >>> CombineSettings.from_keywords({"signma_clip_dev_func": "mad_std"})
        Traceback (most recent call last):
        ...
        TypeError: unknown keyword 'signma_clip_dev_func'; did you mean 'sigma_clip_dev_func'?
        """
        known = [field.name for field in fields(cls)]
        own = [] if function is None else list(signature(function).parameters)[:-1]
        check_keywords(keywords, [*known, *READING_KEYWORDS], own)
        settings = cls(**{name: value for name, value in keywords.items() if name in known})
        settings._warn_of_unused(keywords)
        return settings, {n: value for n, value in keywords.items() if n not in known}

    def _warn_of_unused(self, keywords: dict[str, Any]) -> None:
        for switch, names in _SWITCHED.items():
            given = [n for n in names if getattr(self, n) != getattr(type(self), n)]
            if given and switch not in keywords:
                warn(f"{given[0]} has no effect without {switch}=True")

    def combiner(self) -> StackCombiner:
        """
        Create the kernel with these settings.

        Returns
        -------
        `~ccdproc_echelle.combining.StackCombiner`
        """
        return StackCombiner(
            method=self.method,
            rejections=self._rejections(),
            uncertainty_function=self.combine_uncertainty_function,
        )

    @property
    def _limits(self) -> tuple[float, float]:
        """Smallest and largest values that ``minmax_clip`` keeps."""
        return _limit(self.minmax_clip_min, -np.inf), _limit(self.minmax_clip_max, np.inf)

    def _rejections(self) -> tuple[Rejection, ...]:
        """The requested rejections, in the order in which they are applied. Add new ones here."""
        low, high = self._limits
        below, above = self.sigma_clip_low_thresh, self.sigma_clip_high_thresh
        known = (
            (self.clip_extrema, ExtremaClipping(n_low=self.nlow or 0, n_high=self.nhigh or 0)),
            (self.minmax_clip, MinMaxClipping(low=low, high=high)),
            (self.sigma_clip, SigmaClipping(
                low=_limit(below, np.inf),
                high=_limit(above, np.inf),
                center=self.sigma_clip_func or "median",
                deviation=self.sigma_clip_dev_func,
            )),
        )
        return tuple(rejection for wanted, rejection in known if wanted)

    def check_frames(self, frames: Sequence[Frame]) -> None:
        """
        Raise if there are too few frames, or no uncertainties, for the requested rejections.

        Parameters
        ----------
        frames : sequence of `Frame`
            The frames.

        Raises
        ------
        ValueError
            If these settings are not suitable for the frames.
        """
        if self.sigma_clip and self.sigma_clip_dev_func == "uncertainty":
            _check_uncertainties(frames, "sigma_clip_dev_func is 'uncertainty'")
        self.check_number(len(frames))

    def check_number(self, n_frames: int) -> None:
        """
        Raise if the requested rejections would leave no frame.

        Parameters
        ----------
        n_frames : int
            Number of frames.

        Raises
        ------
        ValueError
            If there are too few frames.
        """
        n_rejected = (self.nlow or 0) + (self.nhigh or 0)
        if self.clip_extrema and n_rejected >= n_frames:
            raise ValueError(
                f"nlow + nhigh is {n_rejected}, expected less than the number of frames, {n_frames}"
            )

    def check_executor(self, executor: Executor | None) -> None:
        """
        Raise if one of the functions cannot be sent to the processes of an executor.

        Parameters
        ----------
        executor : `concurrent.futures.Executor` or None
            The executor. Only that of a process pool is checked; dask sends any function.

        Raises
        ------
        TypeError
            If one of them cannot be pickled.
        """
        for name in _FUNCTIONS if isinstance(executor, ProcessPoolExecutor) else ():
            function = getattr(self, name)
            try:
                pickle.dumps(function)
            except Exception as error:  # the type depends on the reason
                raise TypeError(
                    f"{name} is {function!r}, which cannot be sent to other processes; expected a "
                    "function that is defined with def at the top level of a module, or an "
                    "executor with threads"
                ) from error

    def weights_of(self, frames: Sequence[Frame]) -> np.ndarray | str | None:
        """
        Return the weights in a form that matches the frames.

        Parameters
        ----------
        frames : sequence of `Frame`
            The frames.

        Returns
        -------
        array, shape (n_frames, 1, 1) or (n_frames, rows, columns), or "inverse_variance" or None

        Raises
        ------
        ValueError
            If the shape does not match, or a weight is negative or not finite.
        """
        if self.weights is None:
            return None
        if isinstance(self.weights, str):
            _check_uncertainties(frames, "weights is 'inverse_variance'")
            return self.weights
        if np.ma.is_masked(self.weights):
            raise ValueError("weights are masked, expected a weight of 0 for values to leave out")
        weights = np.asarray(self.weights, dtype=float)
        expected = ((len(frames),), (len(frames), *frames[0].shape))
        if weights.shape not in expected:
            raise ValueError(
                f"weights have shape {weights.shape}, expected {expected[0]} or {expected[1]}"
            )
        if not (np.isfinite(weights) & (weights >= 0)).all():
            raise ValueError("weights must be finite and not negative")
        if not weights.any():
            raise ValueError("weights are all 0, expected a positive weight for at least one frame")
        return weights.reshape(-1, 1, 1) if weights.ndim == 1 else weights


def _check_uncertainties(frames: Sequence[Frame], why: str) -> None:
    for frame in frames:
        if frame.uncertainty_type is None:
            raise ValueError(f"{why}, but {frame.name} has no uncertainty")


def _limit(value: float | None, unlimited: float) -> float:
    return unlimited if value is None else value
