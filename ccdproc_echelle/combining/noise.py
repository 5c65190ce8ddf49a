# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Gain and read noise of a set of flats, from the flats themselves."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import QTable
from scipy.special import chdtrc

from ccdproc_echelle._warnings import warn
from ccdproc_echelle.combining.photon_transfer import StraightLine, scales_of, straight_line
from ccdproc_echelle.combining.pixels import Pixels, gather
from ccdproc_echelle.frames import Frame, NoiseModel, check_alike, open_frames, uncompressed
from ccdproc_echelle.orders import EchelleOrderTable, checked_orders

__all__ = ["MeasuredNoise", "measure_noise", "neighbours", "noise_of", "noise_of_pixels"]

# So many values tell the gain to half a percent; those of few frames come from more pixels.
_ENOUGH_VALUES = 400_000

# The levels are those of the brightest of the pixels, or those in this window on the orders.
_BRIGHTEST = 0.2
_WINDOW = 10

# Departures of this size are not those of a straight line, if they are no chance. Those of real
# detectors are up to 0.04.
_STRAIGHT = 0.1
_CHANCE = 1e-4

# Of the slope, neighbouring pixels share less than 0.01 in real detectors. An illumination that
# drifts by 3 % makes 0.04 to 0.5 where a frame has 20 000 electrons.
_MOST_SHARED = 0.03

# Of the offset they share less than 0.04, unless the zero points of the frames differ.
_MOST_SHARED_OFFSET = 0.5

# No photon transfer curve is better than this: neighbouring pixels share charge, levels drift.
_FLOOR = 0.01

# The noise of two frames is that of the others but for this part of it, unless one of them is a
# copy, an average of several frames, or was read out otherwise.
_SAME_PAIRS = 0.15

# A gain that is less well known says nothing of use.
_LEAST_KNOWN = 0.1

# An offset so many standard deviations below 0 means that counts are not those of light.
_SIGNIFICANT = 5


@dataclass(frozen=True, eq=False)
class MeasuredNoise:
    """
    Gain and read noise as the frames themselves have them.

    Attributes
    ----------
    gain, gain_uncertainty : `~astropy.units.Quantity`
        Electrons per unit of the data, and the standard deviation. NaN if unknown.
    read_noise, read_noise_uncertainty : `~astropy.units.Quantity`
        In electrons, all noise included that does not depend on the light: that of the
        digitisation as well.
    drift : float
        What part of the slope neighbouring pixels have in common: 0 for the noise of photons, more
        where the illumination drifts. The gain is that of the rest.
    departure : float
        Root mean square of the departures of the variance from the straight line, relative to
        it, beyond what chance makes.
    chi_square : float
        Reduced chi-square of the straight line.
    curve : `~astropy.table.QTable`
        The photon transfer curve: ``light`` (in the counts of an average frame), ``variance`` of
        the differences of the scaled frames, its ``uncertainty`` and the ``line``.
    n_pixels : int
        How many pixels were used.
    doubt : str
        What speaks against the straight line; empty if nothing does.
    is_known : bool
        Whether gain and read noise are known all the same.
    is_straight : bool
        False where variance against light is not the straight line of photons and read noise.
    """

    gain: u.Quantity
    gain_uncertainty: u.Quantity
    read_noise: u.Quantity
    read_noise_uncertainty: u.Quantity
    drift: float
    departure: float
    chi_square: float
    curve: QTable
    n_pixels: int
    doubt: str
    is_known: bool
    is_straight: bool

    def model(self, *, with_drift: bool = True) -> NoiseModel:
        """
        The noise of a frame.

        Parameters
        ----------
        with_drift : bool, optional
            Whether a drift of the illumination is taken as noise.

        Returns
        -------
        `~ccdproc_echelle.frames.NoiseModel`
            Its read noise is no smaller than it is known: no frame is without noise.
        """
        read_noise = max(self.read_noise, self.read_noise_uncertainty).value
        share = 1 - max(self.drift, 0.0) if with_drift else 1.0
        return NoiseModel(float(self.gain.value * share), float(read_noise * share))

    def __str__(self) -> str:
        if not self.is_known:
            return f"gain and read noise not known: {self.doubt}"
        return (
            f"gain {self.gain.value:.4g} +- {self.gain_uncertainty:.2g}, "
            f"read noise {self.read_noise.value:.3g} +- {self.read_noise_uncertainty:.2g}"
        )


def measure_noise(
    frames: Any, orders: EchelleOrderTable | None = None, **reading: Any
) -> MeasuredNoise:
    """
    Measure gain and read noise of a set of flats, from the flats themselves.

    Flats of one set, divided by their levels, differ by nothing but their noise: dead pixels, pixel
    response and the orders themselves cancel. The variance of these differences against the light
    (photon transfer) is a straight line, whose slope is one over the gain and whose offset is the
    variance of the read noise. Two flats suffice, as all pixels have this line in common.

    Parameters
    ----------
    frames : list, str or `ccdproc.ImageFileCollection`
        Two or more flats, as ``img_list`` of `ccdproc.combine`, without bias. Their mask is
        respected, their uncertainty is not used. They may differ in level. An even part of their
        pixels is read.
    orders : `EchelleOrderTable`, optional
        The order centres, where the levels are measured. Default: in the brightest pixels.
    **reading
        Keywords of ``CCDData.read``.

    Returns
    -------
    `MeasuredNoise`
        Gain in electrons per unit of the frames, read noise in electrons. The uncertainties hold
        chance, the departure of the curve from a straight line, and 1 % at least.

    Raises
    ------
    TypeError
        If a keyword is unknown.
    ValueError
        If there are fewer than two frames, or frames and order table do not fit together.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If the noise cannot be told: the variance is no straight line (the illumination drifts, the
        bias was not subtracted, pixels are saturated), or there are too few pixels or too little
        range of light. ``doubt`` of the result says the same.

    References
    ----------
    Janesick 2007, Photon Transfer (SPIE Press).

    Examples
    --------
    >>> from ccdproc_echelle import measure_noise
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> simulation = EchelleSimulation(shape=(256, 256), n_orders=4)
    >>> simulation = simulation.with_noise(gain=2.0, read_noise=5.0)
    >>> noise = measure_noise(simulation.flats(3, uncertainty=False))
    >>> print(f"{noise.gain:.1f}, {noise.read_noise:.0f}")
    2.0 electron / adu, 5 electron
    """
    frames = open_frames(frames, **reading)
    if len(frames) < 2:
        raise ValueError(f"{frames[0].name} is the only frame; noise is measured on two or more")
    with uncompressed(frames) as frames:
        noise = noise_of(frames, orders)
    if noise.doubt:
        warn(f"gain and read noise are in doubt: {noise.doubt}")
    return noise


def noise_of(
    frames: Sequence[Frame],
    orders: EchelleOrderTable | None = None,
    executor: Executor | None = None,
) -> MeasuredNoise:
    """
    `measure_noise` for opened frames, two or more, without a warning.

    Parameters
    ----------
    frames : sequence of `Frame`
        The frames.
    orders : `EchelleOrderTable`, optional
        The order centres.
    executor : `concurrent.futures.Executor`, optional
        What reads the frames. Default: a thread for each core.

    Returns
    -------
    `MeasuredNoise`
    """
    check_alike(frames)
    chosen = neighbours(frames)
    pixels, _ = gather([frame.without_uncertainty() for frame in frames], chosen, executor)
    return noise_of_pixels(pixels, chosen, frames, orders)


def neighbours(frames: Sequence[Frame]) -> np.ndarray:
    """
    The pixels that tell the noise: neighbours, two by two, evenly spread over the detector.

    Parameters
    ----------
    frames : sequence of `Frame`
        The frames.

    Returns
    -------
    int array, shape (n_pixels,)
        Indices of the flattened image.
    """
    n_pixels = int(np.prod(frames[0].shape))
    step = max(2, 2 * n_pixels * len(frames) // _ENOUGH_VALUES)
    # An odd step, so that they do not stay in a few columns of a detector.
    step = step if step == 2 else step | 1
    return (np.arange(0, n_pixels - 1, step)[:, None] + [0, 1]).ravel()


def noise_of_pixels(
    pixels: Pixels,
    chosen: np.ndarray,
    frames: Sequence[Frame],
    orders: EchelleOrderTable | None = None,
) -> MeasuredNoise:
    """
    `noise_of` from pixels that were gathered.

    Parameters
    ----------
    pixels : `Pixels`
        The pixels of all frames.
    chosen : int array, shape (n_pixels,)
        Which they are; see `neighbours`.
    frames : sequence of `Frame`
        The frames, of which nothing is read.
    orders : `EchelleOrderTable`, optional
        The order centres.

    Returns
    -------
    `MeasuredNoise`
    """
    good = np.repeat(pixels.good.all(axis=0).reshape(-1, 2).all(axis=1), 2)
    values, unit = pixels.data[:, good].astype(float), frames[0].unit
    if values.shape[1] == 0:
        return _unknown(unit, "no pixel is good in all frames")
    scales = scales_of(values[:, _bright(values, chosen[good], orders, frames[0].shape)])
    dark = ~(np.isfinite(scales) & (scales > 0))
    if dark.any():
        return _unknown(unit, f"{frames[int(np.argmax(dark))].name} has no light")
    line = straight_line(values, scales)
    if line is None:
        return _unknown(unit, f"{values.shape[1]} good pixels are too few, or show no noise at all")
    return _measured(line, unit, [frame.name for frame in frames])


def _bright(values, chosen, orders, shape) -> np.ndarray:
    """The pixels that tell the levels."""
    light, among = np.median(values, axis=0), np.arange(values.shape[1])
    if orders is not None:
        inner = checked_orders(orders).on_detector(shape).inner_mask(_WINDOW).ravel()[chosen]
        among = np.flatnonzero(inner) if inner.any() else among
    return among[light[among] >= np.quantile(light[among], 1 - _BRIGHTEST)]


def _measured(line: StraightLine, unit: u.UnitBase, names: Sequence[str]) -> MeasuredNoise:
    """Gain and read noise by a straight line, with what speaks against it."""
    off = line.variance / line.fitted - 1
    of_chance = line.sigma / line.fitted
    departure = float(np.sqrt(max(0.0, np.mean(off**2 - of_chance**2))))
    dof = len(off) - 2
    total = float(np.sum((off / of_chance) ** 2))
    errors = np.sqrt(np.diag(line.covariance) * max(1.0, total / dof))
    floor = np.hypot(departure, _FLOOR)
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = 1 / (line.slope - line.shared[1])
    # What is shared is known as well as the slope.
    gain_error = abs(gain) * np.hypot(np.sqrt(2) * errors[1] * abs(gain), floor)
    read_noise, read_noise_error = _read_noise(
        line.offset, errors[0], gain, gain_error / abs(gain)
    )
    return MeasuredNoise(
        gain * u.electron / unit,
        gain_error * u.electron / unit,
        read_noise * u.electron,
        read_noise_error * u.electron,
        line.shared[1] / line.slope,
        departure,
        total / dof,
        _curve(line, unit),
        line.n_pixels,
        *_doubt(line, errors, departure, float(chdtrc(dof, total)), names),
    )


def _read_noise(offset, error, gain, gain_error) -> tuple[float, float]:
    """In electrons, with its standard deviation; an offset below its error is one of 0 to that."""
    root = np.sqrt(max(offset, 0.0))
    error = np.sqrt(max(offset, 0.0) + error) - root if offset < error else error / (2 * root)
    return abs(gain) * root, abs(gain) * np.hypot(error, root * gain_error)


def _doubt(
    line: StraightLine, errors: np.ndarray, departure: float, chance: float, names: Sequence[str]
) -> tuple[str, bool, bool]:
    """What speaks against a straight line; whether gain and read noise are known; if it is one."""
    own = line.slope - line.shared[1]
    of_chance = np.sqrt(2 * line.covariance[1, 1])
    share = min(line.shared[1] / line.slope, 1.0)
    # Where nearly all is shared, the rest is no noise either.
    if share > 1 - _LEAST_KNOWN and line.shared[1] > _SIGNIFICANT * of_chance:
        found = f"neighbouring pixels share {share:.0%} of what the frames differ by"
        return f"{found}; do all frames show the same?", False, False
    if not of_chance < _LEAST_KNOWN * own:
        light = f"{line.light.min():.3g} to {line.light.max():.3g}"
        found = f"{line.n_pixels} pixels with light from {light} are too few or too much alike"
        return found, False, True
    if line.offset < -_SIGNIFICANT * errors[0]:
        found = "the variance would be 0 where there is still light; was the bias not subtracted?"
        return found, False, False
    if line.shared[0] > max(_MOST_SHARED_OFFSET * line.offset, _SIGNIFICANT * errors[0]):
        found = "without light, the frames differ by a constant"
        return f"{found}; was the bias not subtracted?", False, False
    if line.shared[1] > max(_MOST_SHARED * line.slope, _SIGNIFICANT * errors[1]):
        found = f"neighbouring pixels share {share:.0%} of what the frames differ by"
        return f"{found}; does the illumination drift?", True, False
    unlike = _unlike(line, names)
    if unlike:
        return unlike, False, False
    if departure > _STRAIGHT and chance < _CHANCE:
        found = f"variance against light departs from a straight line by {departure:.0%}"
        return f"{found}; was the bias not subtracted, are pixels saturated?", False, False
    return "", True, True


def _unlike(line: StraightLine, names: Sequence[str]) -> str:
    """The pair of frames whose noise is least like that of the others; empty if it is."""
    pairs = line.pairs / np.median(line.pairs)
    i = int(np.argmax(np.abs(pairs - 1)))
    if not abs(pairs[i] - 1) > max(_SAME_PAIRS, _SIGNIFICANT * np.sqrt(2 / line.n_pixels)):
        return ""
    return (
        f"{names[i]} and {names[(i + 1) % len(names)]} differ by {np.sqrt(pairs[i]):.2g} times "
        "what other frames do; is one a copy, an average, shifted or read out otherwise?"
    )


def _curve(line: StraightLine, unit: u.UnitBase) -> QTable:
    parts = [line.light * unit, *(v * unit**2 for v in (line.variance, line.sigma, line.fitted))]
    return QTable(parts, names=["light", "variance", "uncertainty", "line"])


def _unknown(unit: u.UnitBase, doubt: str) -> MeasuredNoise:
    gain, noise = np.nan * u.electron / unit, np.nan * u.electron
    curve = QTable(names=["light", "variance", "uncertainty", "line"])
    goodness = [np.nan] * 3
    return MeasuredNoise(gain, gain, noise, noise, *goodness, curve, 0, doubt, False, True)
