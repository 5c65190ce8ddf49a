# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Calibrate raw flats: subtract bias and dark, and create the uncertainty."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from astropy.modeling import Model
from astropy.nddata import CCDData
from astropy.stats import mad_std
from astropy.table import QTable
from ccdproc import Keyword

from ccdproc_echelle._numeric.medians import finite_median
from ccdproc_echelle._warnings import warn
from ccdproc_echelle._words import and_others
from ccdproc_echelle.combining import combine_frames
from ccdproc_echelle.frames import (
    EXPOSURE_KEY,
    CalibratedFrame,
    Frame,
    NoiseModel,
    Plane,
    Readout,
    Subtraction,
    check_alike,
    check_one_readout,
    exposure_time,
    is_of_master_flat,
    keyword_name,
    observation_time,
    stated_date,
    variance_array,
    warn_of_zero_points,
    with_added_variance,
    without_known_bad,
)

__all__ = ["SAME_EXPOSURE", "Calibration", "SharedNoise", "calibrate_frames", "nearest_series"]

# Calibration frames separated by less than this, in days, form a series.
_SERIES_GAP = 0.5 / 24

# Time differences, in days, that agree to within a tenth of a second are equal.
_SAME_TIME = 1e-6

# Number of standard deviations of a pixel by which a dark without its bias may be negative.
_SIGNIFICANT = 3

#: Exposure times that differ by a smaller fraction are equal.
SAME_EXPOSURE = 0.01


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
        return sum(
            (share**2).astype(np.result_type(variance, np.float32)) * variance
            for share, variance in zip(shares, self.variances, strict=True)
        )

    def of_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """
        Variance in some pixels of each flat.

        Parameters
        ----------
        pixels : int array, shape (n_pixels,)
            Indices into the flattened flat.

        Returns
        -------
        array, shape (n_flats, n_pixels)
        """
        return self.coefficients**2 @ [variance.ravel()[pixels] for variance in self.variances]


class Calibration(NamedTuple):
    """
    Result of `calibrate_frames`.

    Attributes
    ----------
    flats : list of `~ccdproc_echelle.frames.CalibratedFrame`
        The calibrated flats. Their uncertainty does not include that of bias and dark.
    shared : `SharedNoise` or None
        The noise of bias and dark; `None` if it is not known.
    """

    flats: list[CalibratedFrame]
    shared: SharedNoise | None

    def selected(self, which: np.ndarray) -> "Calibration":
        """
        Select some of the flats.

        Parameters
        ----------
        which : bool array, shape (n_flats,)
            True for flats to keep.

        Returns
        -------
        `Calibration`
        """
        flats = [flat for flat, kept in zip(self.flats, which, strict=True) if kept]
        shared = self.shared
        if shared is not None:
            shared = SharedNoise(shared.variances, shared.coefficients[which])
        return Calibration(flats, shared)

    def with_shared_noise(
        self, flat: CCDData, levels: QTable, weights: np.ndarray | str | None
    ) -> CCDData:
        """
        Add the noise of bias and dark to the uncertainty of a combined flat.

        Parameters
        ----------
        flat : `~astropy.nddata.CCDData`
            The average of the flats, divided by their levels.
        levels : `~astropy.table.QTable`
            Levels returned by `~ccdproc_echelle.measure_exposure_levels`.
        weights : optional
            Weights of the average. Weights by inverse variance are so similar that they are treated
            as equal.

        Returns
        -------
        `~astropy.nddata.CCDData`
            The same pixels with an updated uncertainty; the input flat if the noise is not known.
        """
        if self.shared is None:
            return flat
        weights = None if isinstance(weights, str) else weights
        added = self.shared.of_average(1 / levels["level"].value, weights)
        return with_added_variance(flat, added.astype(flat.data.dtype))


def calibrate_frames(
    flats: Any,
    *,
    bias: Any = None,
    dark: Any = None,
    gain: Any = None,
    read_noise: Any = None,
    saturation: Any = None,
    oscan: str | Mapping[str, str] | bool | None = None,
    trim: str | bool | None = None,
    oscan_median: bool = True,
    oscan_model: "Model | None" = None,
    exposure_key: str | Keyword | None = None,
    scale_dark: bool = True,
    noise: NoiseModel | None = None,
    known_bad: np.ndarray | None = None,
    mem_limit: float = 16e9,
    executor: Executor | None = None,
    **reading: Any,
) -> Calibration:
    """
    Subtract bias and dark from flats and create their uncertainty.

    Calibration frames separated by less than half an hour (according to ``MJD-OBS`` or
    ``DATE-OBS``) form a series. The series nearest in time to a flat is averaged and used, or both
    if two are equally near. Frames with unknown times form a single series. If there is a bias, the
    nearest bias is subtracted from the darks, which are then scaled to the exposure time of the
    flat. Otherwise the dark still contains the bias and is subtracted without scaling, which is
    also correct for lamp-off frames.

    Parameters
    ----------
    flats : list, str or `ccdproc.ImageFileCollection`
        Raw flats: names of FITS files or `~astropy.nddata.CCDData` objects, as for
        `ccdproc.combine`.
    bias, dark : list, str or `ccdproc.ImageFileCollection`, optional
        Bias and dark (or lamp-off) frames.
    gain : float, `~astropy.units.Quantity`, str, `ccdproc.Keyword` or dict, optional
        Electrons per unit of the data: a number, the name of a header keyword, or a dict that maps
        the FITS section of each amplifier to one of these, in which case the frames are converted
        to electrons.
    read_noise : float, `~astropy.units.Quantity`, str, `ccdproc.Keyword` or dict, optional
        Read noise in electrons, given like ``gain``. Together with ``gain`` it defines the
        uncertainty of each flat, from photon and read noise, replacing any that it has. The photon
        noise includes everything above the bias, dark current as well; without a bias frame it
        includes only the light, since the amount of charge in the dark is not known.
    saturation : float, `~astropy.units.Quantity`, str, `ccdproc.Keyword` or dict, optional
        Saturation level, given like ``gain``: raw values at or above it are masked.
    oscan : str, dict or False, optional
        FITS section of the overscan for all frames, or a dict that maps the section of the light of
        each amplifier to that of its overscan; False for none. Default: from each header.
    trim : str or False, optional
        FITS section of the part to keep; False for all. Default: from each header.
    oscan_median : bool, optional
        Whether each row (or column) of the overscan is represented by its median or its mean.
    oscan_model : `~astropy.modeling.Model`, optional
        Model fitted along the overscan. Default: no fit.
    exposure_key : str or `ccdproc.Keyword`, optional
        Header keyword of the exposure time in seconds; numbers stored as text are accepted.
        Default: ``EXPTIME``.
    scale_dark : bool, optional
        Whether to scale darks if there is a bias.
    noise : `~ccdproc_echelle.frames.NoiseModel`, optional
        Noise of the frames if ``gain`` and ``read_noise`` are not given.
    known_bad : bool array, shape (rows, columns), optional
        Known bad pixels (True), which are masked in every flat.
    mem_limit : float, optional
        Memory limit in bytes for averaging the bias and dark frames.
    executor : `concurrent.futures.Executor`, optional
        Executor that averages them. Default: one thread per core.
    **reading
        Passed to ``CCDData.read``, for frames in files.

    Returns
    -------
    `Calibration`
        Only bias and dark frames have been read at this point: the rows of a flat are calibrated
        when they are needed.

    Raises
    ------
    ValueError
        If a calibration frame differs from the flats in shape, unit or sections, darks of one
        series differ in exposure time, or frames cannot be read as specified by
        `~ccdproc_echelle.frames.Readout`.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If dark and flat differ in exposure time and there is no bias, so that the dark cannot be
        scaled; if the dark should be scaled and an exposure time is unknown (it is then subtracted
        without scaling); if a date cannot be read; if a dark seems to lack its bias; or if the
        overscan of the flats is subtracted while bias or dark still have their zero point.
    """
    readout = Readout(
        oscan=oscan, trim=trim, oscan_median=oscan_median, oscan_model=oscan_model,
        gain=gain, read_noise=read_noise, saturation=saturation,
    )
    flats, bias, dark = (
        _opened(kind, frames, readout, reading)
        for kind, frames in (("flats", flats), ("bias", bias), ("dark", dark))
    )
    check_one_readout([*flats, *bias, *dark])
    warn_of_zero_points(flats, [*bias, *dark])
    noise = flats[0].noise or noise
    for kind, frames in (("bias", bias), ("dark", dark)):
        _check_fit(kind, frames, flats[0])
    if bias or dark:
        _warn_of_unknown_dates([*flats, *bias, *dark])
    exposures = _Exposures(exposure_key, scale=scale_dark and bool(bias))
    if scale_dark:
        exposures.check(flats, dark)
    masters = _Masters(bias, dark, noise, exposures, dict(mem_limit=mem_limit, executor=executor))
    calibrated, coefficients = [], []
    for flat in without_known_bad(flats, known_bad):
        subtractions, counts = masters.subtracted_from(flat)
        calibrated.append(CalibratedFrame(flat, subtractions, noise))
        coefficients.append(counts)
    if calibrated[0].uncertainty_type is None:
        return Calibration(calibrated, None)
    return Calibration(calibrated, masters.shared_noise(coefficients))


# ---------------------------------------------------------------------- checks at the door


def opened_as(
    kind: str, frames: Any, readout: Readout, reading: Mapping[str, Any]
) -> list[Frame] | None:
    """
    Open raw frames of one kind.

    Parameters
    ----------
    kind : str
        Name used in messages.
    frames : list, str, `ccdproc.ImageFileCollection` or None
        The frames.
    readout : `~ccdproc_echelle.frames.Readout`
        How the frames were read out.
    reading : dict
        Keywords of ``CCDData.read``.

    Returns
    -------
    list of `~ccdproc_echelle.frames.Frame` or None
        `None` if ``frames`` is `None`.

    Raises
    ------
    ValueError
        If there are no frames, or under the same conditions as in
        `~ccdproc_echelle.frames.Readout.open`.
    """
    if frames is None:
        return None
    if isinstance(frames, Iterator):
        frames = list(frames)
    if isinstance(frames, (str, Sequence)) and len(frames) == 0:
        raise ValueError(f"{kind} is {frames!r}, which has no frames; expected some, or None")
    return readout.open(frames, **reading)


def _opened(kind: str, frames: Any, readout: Readout, reading: Mapping[str, Any]) -> list[Frame]:
    frames = opened_as(kind, frames, readout, reading)
    if frames is None:
        return []
    check_alike(frames)
    return frames


def _check_fit(kind: str, frames: Sequence[Frame], flat: Frame) -> None:
    for frame in frames:
        if is_of_master_flat(frame.header):
            raise ValueError(f"{kind} {frame.name} is a master flat, expected a {kind} frame")
        for quality in ("shape", "unit"):
            found, expected = getattr(frame, quality), getattr(flat, quality)
            if found != expected:
                raise ValueError(
                    f"{kind} {frame.name} has {quality} {found}, the flats have {expected}"
                )


def _warn_of_unknown_dates(frames: Sequence[Frame]) -> None:
    for frame in frames:
        keyword, date = stated_date(frame.header)
        if keyword and observation_time(frame.header) is None:
            warn(
                f"{frame.name} has {keyword} = {date!r}, which is not a date: bias and dark are "
                "averaged over all frames, not over those nearest in time"
            )
            return


# ---------------------------------------------------------------------- calibration frames

# Key of averaged calibration frames: "bias" or "dark", and their indices in the list.
_Key = tuple[str, tuple[int, ...]]


class _Masters:
    """Averages of the calibration frames that belong together, each computed once."""

    def __init__(
        self,
        bias: Sequence[Frame],
        dark: Sequence[Frame],
        noise: NoiseModel | None,
        exposures: "_Exposures",
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
            self._planes[key] = Plane(average.data, average.mask if average.mask.any() else None)
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
                "the bias had been subtracted before: give darks that still have their bias"
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
        if self._known(kind):
            return combine_frames(
                frames, sigma_clip=True, sigma_clip_low_thresh=5, sigma_clip_high_thresh=5,
                **self._combining,
            )
        # Few frames of unknown noise cannot be clipped; the median rejects cosmic rays.
        method = "average" if len(frames) < 3 else "median"
        return combine_frames(frames, method=method, **self._combining)


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
    >>> from ccdproc_echelle.recipe.calibration import nearest_series
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


# ---------------------------------------------------------------------- exposure times


class _Exposures:
    """
    Exposure times of flats and darks, and the scaling derived from them.

    Parameters
    ----------
    keyword : str, `ccdproc.Keyword` or None
        Header keyword of the exposure time.
    scale : bool
        Whether to scale darks.
    """

    def __init__(self, keyword: str | Keyword | None, *, scale: bool):
        self._keyword = keyword_name(keyword or EXPOSURE_KEY)
        self._given = keyword is not None
        self._scale = scale

    def _time(self, header: Mapping) -> float | None:
        time = exposure_time(header, self._keyword)
        return time if time is not None and time > 0 else None

    def check(self, flats: Sequence[Frame], darks: Sequence[Frame]) -> None:
        """Warn of darks that cannot be scaled to the exposure time of the flats."""
        if not darks:
            return
        times = [[self._time(frame.header) for frame in frames] for frames in (flats, darks)]
        unknown = [
            frame.name for frame, time in zip((*flats, *darks), chain(*times), strict=True)
            if time is None
        ]
        one_kind = any(times[0]) != any(times[1])  # which cannot be compared with the other
        if unknown and (self._scale or self._given or one_kind):
            warn(
                f"the exposure time of {unknown[0]}{and_others(unknown)} is unknown (no positive "
                f"number in the header under {self._keyword}): the dark is subtracted without "
                "scaling; give its keyword as exposure_key=, or scale_dark=False if dark and flats "
                "have the same exposure time",
            )
        of_flats, of_darks = (sorted(set(known) - {None}) for known in times)
        if not self._scale and not all(
            any(np.isclose(flat, dark, rtol=SAME_EXPOSURE, atol=0) for dark in of_darks)
            for flat in of_flats if of_darks
        ):
            warn(
                f"the flats were exposed for {_seconds(of_flats)} s, the dark for "
                f"{_seconds(of_darks)} s; the dark is subtracted without scaling, as scaling "
                "requires a bias",
            )

    def check_one(self, kind: str, headers: Sequence[Mapping]) -> None:
        """Only frames with the same exposure time can be averaged."""
        known = [time for time in map(self._time, headers) if time is not None]
        if known and not np.allclose(known, known[0], rtol=SAME_EXPOSURE, atol=0):
            raise ValueError(
                f"{kind} frames of one series were exposed for [{_seconds(sorted(set(known)))}] s; "
                "expected a single exposure time"
            )

    def ratio(self, flat: Mapping, dark: Mapping) -> float:
        """Factor that scales a dark to the exposure time of a flat."""
        times = self._time(flat), self._time(dark)
        return times[0] / times[1] if self._scale and None not in times else 1.0


def _seconds(times: Sequence[float]) -> str:
    return ", ".join(f"{time:g}" for time in times)
