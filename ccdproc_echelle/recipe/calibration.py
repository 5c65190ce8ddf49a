# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""From raw flats to flats: bias and dark subtracted, uncertainty created."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import ccdproc
import numpy as np
from astropy import units as u
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.time import Time

from ccdproc_echelle._warnings import warn
from ccdproc_echelle.combining import combine_frames
from ccdproc_echelle.frames import Frame, MemoryFrame

__all__ = ["Detrended", "SharedNoise", "detrend", "observation_time"]

# Calibration frames less than this apart, in days, belong to one series.
_SERIES_GAP = 0.5 / 24

# Distances in time, in days, that differ by less than a tenth of a second are equal.
_SAME_TIME = 1e-6

# Exposure times that differ by a smaller fraction are equal.
_SAME_EXPOSURE = 0.01


@dataclass(frozen=True)
class SharedNoise:
    """
    The noise of bias and dark frames that several flats have in common.

    It is the same in every flat it was subtracted from, so it does not average down as theirs
    does, and it does not tell a good value from an outlier.

    Parameters
    ----------
    variances : list of array, shape (rows, columns)
        Variance of each calibration frame.
    coefficients : array, shape (n_flats, n_calibrations)
        How often it was subtracted from each flat.
    """

    variances: list[np.ndarray]
    coefficients: np.ndarray

    def of_average(self, scales: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """
        The variance it adds to the average of scaled flats.

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
        return sum(share**2 * var for share, var in zip(shares, self.variances, strict=True))


class Detrended(NamedTuple):
    """
    What `detrend` makes.

    Attributes
    ----------
    flats : list of `Frame`
        In memory, with the names they had. Their uncertainty is their own: that of bias and dark
        is not in it. Saturated pixels are masked.
    shared : `SharedNoise` or None
        The noise of bias and dark; `None` where it is not known.
    saturated : bool array, shape (n_flats, rows, columns)
        Where each flat was saturated.
    """

    flats: list[Frame]
    shared: SharedNoise | None
    saturated: np.ndarray

    def only(self, which: np.ndarray) -> "Detrended":
        """
        Some of the flats.

        Parameters
        ----------
        which : bool array, shape (n_flats,)
            True for those that are kept.

        Returns
        -------
        `Detrended`
        """
        flats = [flat for flat, kept in zip(self.flats, which, strict=True) if kept]
        shared = self.shared
        if shared is not None:
            shared = SharedNoise(shared.variances, shared.coefficients[which])
        return Detrended(flats, shared, self.saturated[which])


def detrend(
    flats: Sequence[Frame],
    *,
    bias: Sequence[Frame] = (),
    dark: Sequence[Frame] = (),
    gain: float | u.Quantity | None = None,
    read_noise: float | u.Quantity | None = None,
    saturation: float | u.Quantity | None = None,
) -> Detrended:
    """
    Subtract bias and dark from flats and create their uncertainty.

    Calibration frames less than half an hour apart (by ``MJD-OBS`` or ``DATE-OBS``) are a series;
    the series nearest in time to a flat is averaged and taken, or both that are equally near.
    Frames of unknown time are one series. With a bias, darks lose the one
    nearest to them and are scaled to the exposure time of the flat (``EXPTIME``); without, a dark
    carries the bias as well and is subtracted as it is, which is also right for lamp-off frames.

    Parameters
    ----------
    flats : sequence of `Frame`
        Raw flats.
    bias, dark : sequence of `Frame`, optional
        Bias and dark (or lamp-off) frames.
    gain : float or `~astropy.units.Quantity`, optional
        Electrons per unit of the data.
    read_noise : float or `~astropy.units.Quantity`, optional
        Read noise in electrons. With ``gain`` it makes the uncertainty of each flat from its
        photon and read noise, replacing any it had. The photon noise is that of what is above
        the bias, dark current and all; without a bias frame only that of the light, as nobody
        knows how much of the dark is charge.
    saturation : float or `~astropy.units.Quantity`, optional
        Raw values of this and above are masked.

    Returns
    -------
    `Detrended`

    Raises
    ------
    ValueError
        If a calibration frame differs in shape or unit from the flats, darks of one series
        differ in exposure time, only one of ``gain`` and ``read_noise`` is given, or one of them is
        not positive or of another unit, as ``saturation`` must not be either.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If dark and flat differ in exposure time and there is no bias to scale the dark.
    """
    noise = _checked_noise(gain, read_noise, flats[0].unit)
    limit = _checked_saturation(saturation, flats[0].unit)
    for kind, frames in (("bias", bias), ("dark", dark)):
        _check_fit(kind, frames, flats[0])
    masters = _Masters(bias, dark, noise)
    detrended, subtracted = [], []
    saturated = np.zeros((len(flats), *flats[0].shape), dtype=bool)
    for frame, too_bright in zip(flats, saturated, strict=True):
        raw = frame.ccddata()
        too_bright[:] = raw.data >= limit
        flat, charge, coefficients = masters.subtracted_from(raw, frame.name, frame.dtype)
        if too_bright.any():
            flat.mask = too_bright if flat.mask is None else flat.mask | too_bright
        if noise is not None:
            flat.uncertainty = noise.uncertainty(charge, flat.data.dtype)
        detrended.append(MemoryFrame(flat, frame.name))
        subtracted.append(coefficients)
    if all(frame.uncertainty_type is None for frame in detrended):
        return Detrended(detrended, None, saturated)
    return Detrended(detrended, masters.shared_noise(subtracted), saturated)


# ---------------------------------------------------------------------- noise


class _Noise(NamedTuple):
    """Gain and read noise with their units."""

    gain: u.Quantity
    read_noise: u.Quantity

    def uncertainty(self, charge: np.ndarray, dtype: np.dtype) -> StdDevUncertainty:
        """Photon and read noise of a frame with that charge, in the unit of the data."""
        gain, read_noise = self.gain.value, self.read_noise.value
        variance = np.fmax(charge, 0) / gain + (read_noise / gain) ** 2
        return StdDevUncertainty(np.sqrt(variance).astype(dtype))


def _checked_noise(gain, read_noise, unit: u.UnitBase) -> _Noise | None:
    if (gain is None) != (read_noise is None):
        missing = "gain" if gain is None else "read_noise"
        raise ValueError(f"{missing} is missing: an uncertainty needs both gain and read_noise")
    if gain is None:
        return None
    noise = _Noise(
        _number("gain", gain, u.electron / unit), _number("read_noise", read_noise, u.electron)
    )
    if not noise.gain.value > 0:
        raise ValueError(f"gain is {gain}, expected a positive number")
    if not noise.read_noise.value >= 0:
        raise ValueError(f"read_noise is {read_noise}, expected a number that is not negative")
    return noise


def _checked_saturation(saturation, unit: u.UnitBase) -> float:
    if saturation is None:
        return np.inf
    limit = _number("saturation", saturation, unit).value
    if not limit > 0:
        raise ValueError(f"saturation is {saturation}, expected a positive number")
    return limit


def _number(name: str, value, unit: u.UnitBase) -> u.Quantity:
    try:
        number = u.Quantity(value, unit, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is {value!r}, expected a number in {unit}") from error
    if number.shape != () or not np.isfinite(number.value):
        raise ValueError(f"{name} is {value}, expected one finite number")
    return number


def _check_fit(kind: str, frames: Sequence[Frame], flat: Frame) -> None:
    for frame in frames:
        for quality in ("shape", "unit"):
            found, expected = getattr(frame, quality), getattr(flat, quality)
            if found != expected:
                raise ValueError(
                    f"{kind} {frame.name} has {quality} {found}, the flats have {expected}"
                )


# ---------------------------------------------------------------------- calibration frames

# Which calibration frames were averaged: "bias" or "dark", and their places in the list.
_Key = tuple[str, tuple[int, ...]]


class _Masters:
    """Averages of the calibration frames that belong together, each made once."""

    def __init__(self, bias: Sequence[Frame], dark: Sequence[Frame], noise: _Noise | None):
        self._noise = noise
        self._frames = {
            kind: [frame.ccddata() for frame in frames]
            for kind, frames in (("bias", bias), ("dark", dark))
        }
        self._made: dict[_Key, CCDData] = {}

    def subtracted_from(
        self, raw: CCDData, name: str, dtype: np.dtype
    ) -> tuple[CCDData, np.ndarray, dict[_Key, float]]:
        """
        A flat without bias and dark, its charge, and how often each calibration was subtracted.

        The charge is that of light and dark current: both make noise. Without a bias, nobody knows
        how much of the dark is charge.
        """
        flat = raw.copy()
        flat.data = raw.data.astype(dtype)
        coefficients = {}
        bias, dark = self._nearest("bias", raw.header), self._nearest("dark", raw.header)
        if bias:
            flat = ccdproc.subtract_bias(flat, _exact(self._made[bias]))
            coefficients[bias] = 1.0
        charge = flat.data
        if dark:
            master = _exact(self._made[dark])
            ratio = _exposure_ratio(name, raw, master, scale=bool(bias))
            coefficients[dark] = ratio
            if bias:
                own_bias = self._nearest("bias", master.header)
                master = ccdproc.subtract_bias(master, _exact(self._made[own_bias]))
                coefficients[own_bias] = coefficients.get(own_bias, 0.0) - ratio
            flat = ccdproc.subtract_dark(
                flat, master, data_exposure=ratio * u.s, dark_exposure=1 * u.s, scale=True
            )
        flat.data = flat.data.astype(dtype)
        return flat, charge if bias else flat.data, coefficients

    def shared_noise(self, subtracted: Sequence[dict[_Key, float]]) -> SharedNoise | None:
        """The noise of all calibration frames that were subtracted."""
        if not self._made:
            return None
        silent = [kind for kind, frames in self._frames.items() if frames and not self._known(kind)]
        if silent:
            warn(
                f"the {' and '.join(silent)} frames have no uncertainty: their noise is missing "
                "in the master; give gain and read_noise",
            )
        keys = [key for key in self._made if key[0] not in silent]
        if not keys:
            return None
        return SharedNoise(
            variances=[self._made[key].uncertainty.array.astype(float) ** 2 for key in keys],
            coefficients=np.array([[used.get(key, 0.0) for key in keys] for used in subtracted]),
        )

    def _nearest(self, kind: str, header: Any) -> _Key | None:
        """The calibration frames nearest in time, averaged."""
        frames = self._frames[kind]
        if not frames:
            return None
        times = [observation_time(frame.header) for frame in frames]
        key = kind, _nearest(times, observation_time(header))
        if key not in self._made:
            nearest = [frames[i] for i in key[1]]
            _check_one_exposure_time(kind, nearest)
            self._made[key] = self._average(kind, nearest)
        return key

    def _known(self, kind: str) -> bool:
        """Whether the noise of the frames is known."""
        return self._noise is not None or all(f.uncertainty is not None for f in self._frames[kind])

    def _average(self, kind: str, frames: list[CCDData]) -> CCDData:
        if self._noise is not None:
            frames = [self._with_noise(kind, frame) for frame in frames]
        if self._known(kind):
            return combine_frames(
                frames, sigma_clip=True, sigma_clip_low_thresh=5, sigma_clip_high_thresh=5
            )
        # Few frames of unknown noise cannot be clipped; the median leaves cosmic rays out.
        return combine_frames(frames, method="average" if len(frames) < 3 else "median")

    def _with_noise(self, kind: str, frame: CCDData) -> CCDData:
        """A bias has read noise only; a dark also that of its charge, which the bias reveals."""
        charge = np.zeros(frame.shape)
        bias = self._nearest("bias", frame.header) if kind == "dark" else None
        if bias:
            charge = frame.data - self._made[bias].data
        noisy = frame.copy()
        noisy.uncertainty = self._noise.uncertainty(charge, np.float32)
        return noisy


def _exact(ccd: CCDData) -> CCDData:
    """The frame without its noise, which the flats share and must not count as their own."""
    return CCDData(ccd.data, unit=ccd.unit, mask=ccd.mask, header=ccd.header)


def _check_one_exposure_time(kind: str, frames: Sequence[CCDData]) -> None:
    """Only what was exposed alike can be averaged."""
    times = [frame.header.get("EXPTIME") for frame in frames]
    known = [time for time in times if isinstance(time, (int, float))]
    if known and not np.allclose(known, known[0], rtol=_SAME_EXPOSURE, atol=0):
        raise ValueError(
            f"{kind} frames of one series were exposed for "
            f"{sorted(set(known))} s; expected one exposure time"
        )


def observation_time(header: Any) -> float | None:
    """
    Start of an exposure.

    Parameters
    ----------
    header : dict-like
        With ``MJD-OBS`` or ``DATE-OBS``.

    Returns
    -------
    float or None
        MJD; `None` if it is not told.
    """
    for keyword in ("MJD-OBS", "DATE-OBS"):
        value = header.get(keyword)
        if value is not None:
            try:
                return float(value) if keyword == "MJD-OBS" else Time(value).mjd
            except ValueError:
                continue
    return None


def _nearest(times: Sequence[float | None], time: float | None) -> tuple[int, ...]:
    """Places of the series of times nearest to a time; all where that cannot be told."""
    if time is None or None in times:
        return tuple(range(len(times)))
    order = np.argsort(times, kind="stable")
    gaps = np.diff(np.take(times, order)) > _SERIES_GAP
    series = np.split(order, np.flatnonzero(gaps) + 1)
    distances = [np.abs(np.take(times, places) - time).min() for places in series]
    near = [p for p, d in zip(series, distances, strict=True) if d <= min(distances) + _SAME_TIME]
    return tuple(sorted(np.concatenate(near).tolist()))


def _exposure_ratio(name: str, flat: CCDData, dark: CCDData, *, scale: bool) -> float:
    """By what a dark is multiplied to fit to a flat."""
    times = [ccd.header.get("EXPTIME") for ccd in (flat, dark)]
    if not all(isinstance(time, (int, float)) and time > 0 for time in times):
        return 1.0
    if scale:
        return times[0] / times[1]
    if not np.isclose(*times, rtol=_SAME_EXPOSURE, atol=0):
        warn(
            f"{name} was exposed for {times[0]} s, its dark for {times[1]} s; without a bias the "
            "dark cannot be scaled and is subtracted as it is",
        )
    return 1.0
