# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Averages of the bias and dark frames nearest to each flat, and the noise that flats share."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from astropy.nddata import CCDData
from astropy.stats import mad_std

from ccdproc_echelle._numeric.medians import finite_median
from ccdproc_echelle._warnings import warn
from ccdproc_echelle.combining import combine_frames
from ccdproc_echelle.frames import (
    CalibratedFrame,
    Frame,
    NoiseModel,
    Plane,
    Subtraction,
    observation_time,
    variance_array,
)
from ccdproc_echelle.recipe.exposures import Exposures
from ccdproc_echelle.recipe.usable import check_usable

__all__ = ["CalibrationMasters", "SharedNoise", "nearest_series"]

# Calibration frames separated by less than this, in days, form a series.
_SERIES_GAP = 0.5 / 24

# Time differences, in days, that agree to within a tenth of a second are equal.
_SAME_TIME = 1e-6

# Number of standard deviations of a pixel by which a dark without its bias may be negative.
_SIGNIFICANT = 3

# Calibration frames have drifted if their levels differ by this many standard deviations of a
# pixel, which is looked for if clipping leaves no value in more than this fraction of the pixels.
_DRIFTED, _LOST = 5, 0.01

# Key of averaged calibration frames: "bias" or "dark", and their indices in the list.
_Key = tuple[str, tuple[int, ...]]


@dataclass(frozen=True)
class SharedNoise:
    """
    Noise of bias and dark frames that several flats have in common.

    It is the same in every flat from which these frames were subtracted, so it does not average
    down like the noise of the flats, and it is of no use in identifying outliers.

    Parameters
    ----------
    variances : list of array, shape (rows, columns)
        Variance of each calibration frame.
    coefficients : array, shape (n_flats, n_calibrations)
        Number of times each calibration frame was subtracted from each flat.
    """

    variances: list[np.ndarray]
    coefficients: np.ndarray

    def of_average(self, scales: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """
        Variance that the shared noise adds to the average of scaled flats.

        Parameters
        ----------
        scales : array, shape (n_flats,)
            Factor by which each flat is multiplied.
        weights : array, shape (n_flats,) or (n_flats, rows, columns), optional
            Weights of the average.

        Returns
        -------
        array, shape (rows, columns)
        """
        weights = np.ones(len(scales)) if weights is None else np.asarray(weights, dtype=float)
        with np.errstate(invalid="ignore"):  # NaN where all weights are 0, as in the average
            weights = weights / weights.sum(axis=0)
        shares = np.tensordot(self.coefficients * scales[:, None], weights, axes=(0, 0))
        terms = (
            (share**2).astype(np.result_type(variance, np.float32)) * variance
            for share, variance in zip(shares, self.variances, strict=True)
        )
        return reduce(np.add, terms)

    def of_pixels(self, pixels: np.ndarray) -> Iterator[np.ndarray]:
        """
        Variance in some pixels, one flat after the other.

        Parameters
        ----------
        pixels : int array, shape (n_pixels,)
            Indices into the flattened flat.

        Yields
        ------
        array, shape (n_pixels,)
        """
        variances = [variance.ravel()[pixels] for variance in self.variances]
        for coefficients in self.coefficients:
            yield coefficients**2 @ variances


class CalibrationMasters:
    """Averages of the calibration frames that belong together, each computed once."""

    def __init__(
        self,
        bias: Sequence[Frame],
        dark: Sequence[Frame],
        noise: NoiseModel | None,
        exposures: Exposures,
        combining: Mapping,
    ):
        self._noise = noise
        self._exposures = exposures
        self._combining = combining
        self._frames = {"bias": bias, "dark": dark}
        self._headers = {
            kind: [frame.header for frame in frames] for kind, frames in self._frames.items()
        }
        self._planes: dict[_Key, Plane] = {}
        self._variances: dict[_Key, np.ndarray] = {}

    def subtracted_from(self, flat: Frame) -> tuple[list[Subtraction], dict[_Key, float]]:
        """What is subtracted from a flat, and how often each calibration frame is in total."""
        header = flat.header
        subtractions, counts = [], {}
        bias, dark = self._nearest("bias", header), self._nearest("dark", header)
        if bias:
            subtractions.append(Subtraction(self._planes[bias], 1.0, is_charge=False))
            counts[bias] = 1.0
        if dark:
            dark_header = self._first_header(dark)
            ratio = self._exposures.ratio(header, dark_header)
            # Without a bias the amount of charge in the dark is not known.
            subtractions.append(Subtraction(self._planes[dark], ratio, is_charge=bool(bias)))
            counts[dark] = ratio
            if bias:
                own_bias = self._nearest("bias", dark_header)
                counts[own_bias] = counts.get(own_bias, 0.0) - ratio
        return subtractions, counts

    def shared_noise(self, counts: Sequence[dict[_Key, float]]) -> SharedNoise | None:
        """Noise of all calibration frames that were subtracted."""
        if not self._planes:
            return None
        silent = [kind for kind, frames in self._frames.items() if frames and not self._known(kind)]
        if silent:
            warn(
                f"the {' and '.join(silent)} frames have no uncertainty: their noise is not "
                "included in the master; give gain and read_noise",
            )
        keys = [key for key in self._planes if key[0] not in silent]
        if not keys:
            return None
        return SharedNoise(
            variances=[self._variances[key] for key in keys],
            coefficients=np.array([[used.get(key, 0.0) for key in keys] for used in counts]),
        )

    def _nearest(self, kind: str, header: Mapping) -> _Key | None:
        """The calibration frames nearest in time, averaged."""
        if not self._frames[kind]:
            return None
        times = [observation_time(one) for one in self._headers[kind]]
        key = kind, nearest_series(times, observation_time(header))
        if key not in self._planes:
            self._exposures.check_one(kind, [self._headers[kind][i] for i in key[1]])
            average = self._average(key)
            if kind == "dark" and self._frames["bias"]:
                self._warn_of_missing_bias(key, average)
            bad = average.mask | ~np.isfinite(average.data)
            check_usable(bad, [self._frames[kind][i] for i in key[1]])
            self._planes[key] = Plane(average.data, bad if bad.any() else None)
            self._variances[key] = variance_array(
                average.uncertainty.array, type(average.uncertainty)
            )
        return key

    def _warn_of_missing_bias(self, key: _Key, dark: CCDData) -> None:
        """A dark is not negative once its bias is subtracted, except by noise."""
        first = self._frames["dark"][key[1][0]]
        bias = self._planes[self._nearest("bias", self._first_header(key))]
        level, zero = (float(finite_median(image.data.ravel())) for image in (dark, bias))
        if level < -zero / 2 and level < -_SIGNIFICANT * mad_std(dark.data, ignore_nan=True):
            warn(
                f"{first.name} is at {level:.4g} once the bias, {zero:.4g}, is subtracted, as if "
                "this had already been done: give darks that still contain their bias"
            )

    def _first_header(self, key: _Key) -> Mapping:
        kind, indices = key
        return self._headers[kind][indices[0]]

    def _known(self, kind: str) -> bool:
        """Whether the noise of the frames is known."""
        return self._noise is not None or all(
            frame.uncertainty_type is not None for frame in self._frames[kind]
        )

    def _average(self, key: _Key) -> CCDData:
        kind, indices = key
        bias = self._nearest("bias", self._first_header(key)) if kind == "dark" else None
        subtractions = [Subtraction(self._planes[bias], 1.0, is_charge=False)] if bias else []
        # A bias has read noise only; a dark also has that of its charge, which the bias reveals.
        frames = [
            CalibratedFrame(
                self._frames[kind][i], subtractions, self._noise, counts_photons=bool(bias)
            )
            for i in indices
        ]
        # Few frames of unknown noise cannot be clipped; the median rejects cosmic rays.
        method = "average" if len(frames) < 3 else "median"
        if self._known(kind):
            average = combine_frames(
                frames, sigma_clip=True, sigma_clip_low_thresh=5, sigma_clip_high_thresh=5,
                **self._combining,
            )
            if average.mask.mean() <= _LOST or not _warn_of_drift(kind, frames, method):
                return average
        return combine_frames(frames, method=method, **self._combining)


def _warn_of_drift(kind: str, frames: Sequence[CalibratedFrame], method: str) -> bool:
    """Whether the levels of the frames differ so much that clipping rejects all of them."""
    sections = (frame.without_uncertainty().load().section(slice(None)) for frame in frames)
    pixels = [section.data[section.good] for section in sections]
    if not all(map(len, pixels)):
        return False
    levels = [float(np.median(values)) for values in pixels]
    noise = min(mad_std(values) for values in pixels)
    low, high = np.argmin(levels), np.argmax(levels)
    drifts = levels[high] - levels[low] > _DRIFTED * noise
    if drifts:
        warn(
            f"the level of the {kind} frames differs by more than their noise, from "
            f"{levels[low]:.5g} ({frames[low].name}) to {levels[high]:.5g} ({frames[high].name}): "
            f"which of them is that of the flats is unknown, and their {method} is subtracted; "
            f"give {kind} frames taken close in time to the flats, or with an overscan"
        )
    return drifts


def nearest_series(times: Sequence[float | None], time: float | None) -> tuple[int, ...]:
    """
    Find the series of frames nearest to a time.

    Parameters
    ----------
    times : sequence of float or None
        MJD of each frame; frames separated by less than half an hour form a series.
    time : float or None
        MJD.

    Returns
    -------
    tuple of int
        Indices of the frames; of both series if two are equally near, and of all frames if a time
        is not known.

    Examples
    --------
    >>> from ccdproc_echelle.recipe.calibration_masters import nearest_series
    >>> nearest_series([60000.0, 60000.01, 60000.4], 60000.1)
    (0, 1)
    """
    if time is None or None in times:
        return tuple(range(len(times)))
    order = np.argsort(times, kind="stable")
    gaps = np.diff(np.take(times, order)) > _SERIES_GAP
    series = np.split(order, np.flatnonzero(gaps) + 1)
    distances = [np.abs(np.take(times, indices) - time).min() for indices in series]
    near = [p for p, d in zip(series, distances, strict=True) if d <= min(distances) + _SAME_TIME]
    return tuple(sorted(np.concatenate(near).tolist()))
