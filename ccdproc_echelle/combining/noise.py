# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Measure gain and read noise of a set of flats from the flats themselves."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from astropy import units as u
from astropy.table import QTable
from scipy.special import chdtrc

from ccdproc_echelle._warnings import warn
from ccdproc_echelle.combining.photon_transfer import StraightLine, scales_of, straight_line
from ccdproc_echelle.combining.pixels import Pixels, gather
from ccdproc_echelle.frames import (
    Frame,
    NoiseModel,
    check_alike,
    open_frames,
    uncompressed,
)
from ccdproc_echelle.orders import EchelleOrderTable, checked_orders

__all__ = ["MeasuredNoise", "PixelPairs", "measure_noise", "neighbours", "noise_of_pairs"]

# This many values give the gain to half a percent; with few frames, more pixels are needed.
_ENOUGH_VALUES = 400_000

# The levels are measured on the brightest pixels, or in this window on the orders.
_BRIGHTEST = 0.2
_WINDOW = 10

# Deviations from a straight line of this size are real unless they are due to chance. Those of real
# detectors are up to 0.04.
_STRAIGHT = 0.1
_CHANCE = 1e-4

# In real detectors neighbouring pixels share less than 0.01 of the slope. An illumination that
# drifts by 3 % gives 0.04 to 0.5 if a frame has 20 000 electrons.
_MOST_SHARED = 0.03

# They share less than 0.04 of the offset, unless the zero points of the frames differ.
_MOST_SHARED_OFFSET = 0.5

# No photon transfer curve is more accurate than this: neighbouring pixels share charge, levels
# drift.
_FLOOR = 0.01

# The noise of any two frames agrees with that of the others to this fraction, unless one of them is
# a copy, an average of several frames, or was read out differently.
_SAME_PAIRS = 0.15

# A gain with a larger relative error is of no use.
_LEAST_KNOWN = 0.1

# If the offset is this many standard deviations below 0, counts are not proportional to light.
_SIGNIFICANT = 5


@dataclass(frozen=True, eq=False)
class MeasuredNoise:
    """
    Gain and read noise measured on the frames themselves.

    Attributes
    ----------
    gain, gain_uncertainty : `~astropy.units.Quantity`
        Electrons per unit of the data, and its standard deviation. NaN if unknown.
    read_noise, read_noise_uncertainty : `~astropy.units.Quantity`
        In electrons, including all noise that does not depend on the light, such as digitisation
        noise.
    drift : float
        Fraction of the slope that neighbouring pixels share: 0 for photon noise, larger if the
        illumination drifts. The gain is derived from the rest.
    departure : float
        RMS deviation of the variance from the straight line, relative to the line, in excess of
        what chance would produce.
    chi_square : float
        Reduced chi-square of the straight line.
    curve : `~astropy.table.QTable`
        The photon transfer curve: ``light`` (in counts of an average frame), ``variance`` of the
        differences of the scaled frames, its ``uncertainty`` and the ``line``.
    n_pixels : int
        Number of pixels used.
    doubt : str
        Evidence against the straight line; empty if there is none.
    is_known : bool
        Whether gain and read noise are known nevertheless.
    is_straight : bool
        False if the variance as a function of light is not the straight line expected from photon
        and read noise.
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
        Return the noise model of a frame.

        Parameters
        ----------
        with_drift : bool, optional
            Whether to treat a drift of the illumination as noise.

        Returns
        -------
        `~ccdproc_echelle.frames.NoiseModel`
            The read noise is at least as large as its uncertainty, since no frame is free of noise.
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
    Measure the gain and read noise of a set of flats from the flats themselves.

    Flats of one set, divided by their levels, differ only by their noise: dead pixels, pixel
    response and the orders themselves cancel. As a function of the light, the variance of these
    differences is a straight line (the photon transfer curve), whose slope is one over the gain and
    whose offset is the variance of the read noise. Two flats are enough, since all pixels share the
    same line.

    Parameters
    ----------
    frames : list, str or `ccdproc.ImageFileCollection`
        Two or more bias-subtracted flats: names of FITS files or `~astropy.nddata.CCDData` objects,
        like ``img_list`` of `ccdproc.combine`. Masks are respected, uncertainties are not used. The
        levels of the flats may differ. Only an evenly spaced subset of the pixels is read.
    orders : `EchelleOrderTable`, optional
        Order centres, on which the levels are measured. Default: use the brightest pixels.
    **reading
        Passed to ``CCDData.read``.

    Returns
    -------
    `MeasuredNoise`
        Gain in electrons per unit of the frames, and read noise in electrons. The uncertainties
        include chance, the deviation of the curve from a straight line, and at least 1 %.

    Raises
    ------
    TypeError
        If a keyword is unknown.
    ValueError
        If there are fewer than two frames, or the frames and the order table do not match.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If the noise cannot be determined: the variance is not a straight line (the illumination
        drifts, the bias was not subtracted, or pixels are saturated), there are too few pixels, or
        the range of light is too small. The attribute ``doubt`` of the result has the same
        information.

    References
    ----------
    Janesick 2007, *Photon Transfer* (SPIE Press).

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
    frames = open_frames(frames, argument="frames", **reading)
    if len(frames) < 2:
        raise ValueError(f"{frames[0].name} is the only frame; measuring noise takes at least two")
    with uncompressed(frames) as frames:
        noise = noise_of_pairs(PixelPairs.gathered(frames), frames, orders)
    if noise.doubt:
        warn(f"gain and read noise are in doubt: {noise.doubt}")
    return noise


class PixelPairs(NamedTuple):
    """
    Pairs of neighbouring pixels of all frames, from which the noise is measured.

    Attributes
    ----------
    pixels : `Pixels`
        The pixels of all frames.
    indices : int array, shape (n_pixels,)
        Their indices into the flattened image.
    """

    pixels: Pixels
    indices: np.ndarray

    @classmethod
    def gathered(cls, frames: Sequence[Frame], executor: Executor | None = None) -> "PixelPairs":
        """
        Gather the pixels of frames of the same shape and unit.

        Parameters
        ----------
        frames : sequence of `Frame`
            The frames. Their uncertainties are not read.
        executor : `concurrent.futures.Executor`, optional
            Executor that reads the frames. Default: one thread per core.

        Returns
        -------
        `PixelPairs`
        """
        check_alike(frames)
        indices = neighbours(frames)
        bare = [frame.without_uncertainty() for frame in frames]
        return cls(gather(bare, indices, executor)[0], indices)

    def of_frames(self, which: np.ndarray) -> "PixelPairs":
        """The pairs of some of the frames."""
        data, good, _ = self.pixels
        return PixelPairs(Pixels(data[which], good[which], None), self.indices)


def neighbours(frames: Sequence[Frame]) -> np.ndarray:
    """
    Pixels used to measure the noise: pairs of neighbours, spread evenly over the detector.

    Parameters
    ----------
    frames : sequence of `Frame`
        The frames.

    Returns
    -------
    int array, shape (n_pixels,)
        Indices into the flattened image.
    """
    n_pixels = int(np.prod(frames[0].shape))
    step = max(2, 2 * n_pixels * len(frames) // _ENOUGH_VALUES)
    # An odd step, so that the pairs do not fall into a few columns of a detector.
    step = step if step == 2 else step | 1
    return (np.arange(0, n_pixels - 1, step)[:, None] + [0, 1]).ravel()


def noise_of_pairs(
    pairs: PixelPairs, frames: Sequence[Frame], orders: EchelleOrderTable | None = None
) -> MeasuredNoise:
    """
    `measure_noise` for pixels that have already been gathered, without warnings.

    Parameters
    ----------
    pairs : `PixelPairs`
        The pixels of all frames.
    frames : sequence of `Frame`
        The frames; nothing is read from them.
    orders : `EchelleOrderTable`, optional
        The order centres.

    Returns
    -------
    `MeasuredNoise`
    """
    pixels, chosen = pairs
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
    """The pixels on which the levels are measured."""
    light, among = np.median(values, axis=0), np.arange(values.shape[1])
    if orders is not None:
        inner = checked_orders(orders).on_detector(shape).inner_mask(_WINDOW).ravel()[chosen]
        among = np.flatnonzero(inner) if inner.any() else among
    return among[light[among] >= np.quantile(light[among], 1 - _BRIGHTEST)]


def _measured(line: StraightLine, unit: u.UnitBase, names: Sequence[str]) -> MeasuredNoise:
    """Gain and read noise from a straight line, with any evidence against it."""
    off = line.variance / line.fitted - 1
    of_chance = line.sigma / line.fitted
    departure = float(np.sqrt(max(0.0, np.mean(off**2 - of_chance**2))))
    dof = len(off) - 2
    total = float(np.sum((off / of_chance) ** 2))
    errors = np.sqrt(np.diag(line.covariance) * max(1.0, total / dof))
    floor = np.hypot(departure, _FLOOR)
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = 1 / (line.slope - line.shared[1])
    # The shared part is known as accurately as the slope.
    gain_error = abs(gain) * np.hypot(np.sqrt(2) * errors[1] * abs(gain), floor)
    read_noise, read_noise_error = _read_noise(
        line.offset, errors[0], gain, gain_error / abs(gain)
    )
    doubt = _doubt(line, errors, departure, float(chdtrc(dof, total)), names)
    return MeasuredNoise(
        gain=gain * u.electron / unit,
        gain_uncertainty=gain_error * u.electron / unit,
        read_noise=read_noise * u.electron,
        read_noise_uncertainty=read_noise_error * u.electron,
        drift=line.shared[1] / line.slope,
        departure=departure,
        chi_square=total / dof,
        curve=_curve(line, unit),
        n_pixels=line.n_pixels,
        **doubt._asdict(),
    )


def _read_noise(offset, error, gain, gain_error) -> tuple[float, float]:
    """
    Read noise in electrons with its standard deviation; an offset below its error counts as 0.
    """
    root = np.sqrt(max(offset, 0.0))
    error = np.sqrt(max(offset, 0.0) + error) - root if offset < error else error / (2 * root)
    return abs(gain) * root, abs(gain) * np.hypot(error, root * gain_error)


class _Doubt(NamedTuple):
    """What `MeasuredNoise` says about the straight line."""

    doubt: str
    is_known: bool = False
    is_straight: bool = False


def _doubt(
    line: StraightLine, errors: np.ndarray, departure: float, chance: float, names: Sequence[str]
) -> _Doubt:
    """The most important evidence against a straight line; the doubt is empty if there is none."""
    return (
        _doubt_about_slope(line)
        or _doubt_about_offset(line, errors)
        or _doubt_about_drift(line, errors)
        or _doubt_about_frames(line, names)
        or _doubt_about_straightness(departure, chance)
        or _Doubt("", is_known=True, is_straight=True)
    )


def _doubt_about_slope(line: StraightLine) -> _Doubt | None:
    own = line.slope - line.shared[1]
    of_chance = np.sqrt(2 * line.covariance[1, 1])
    # If nearly everything is shared, the rest is not noise either.
    if _share(line) > 1 - _LEAST_KNOWN and line.shared[1] > _SIGNIFICANT * of_chance:
        return _Doubt(f"{_sharing(line)}; do all frames show the same light?")
    if of_chance < _LEAST_KNOWN * own:
        return None
    light = f"{line.light.min():.3g} to {line.light.max():.3g}"
    found = f"{line.n_pixels} pixels with light from {light} are too few or too similar"
    return _Doubt(found, is_straight=True)


def _doubt_about_offset(line: StraightLine, errors: np.ndarray) -> _Doubt | None:
    if line.offset < -_SIGNIFICANT * errors[0]:
        return _Doubt(
            "the variance would be 0 where there is still light; was the bias not subtracted?"
        )
    if line.shared[0] > max(_MOST_SHARED_OFFSET * line.offset, _SIGNIFICANT * errors[0]):
        return _Doubt(
            "without light, the frames differ by a constant; was the bias not subtracted?"
        )
    return None


def _doubt_about_drift(line: StraightLine, errors: np.ndarray) -> _Doubt | None:
    if line.shared[1] > max(_MOST_SHARED * line.slope, _SIGNIFICANT * errors[1]):
        return _Doubt(f"{_sharing(line)}; does the illumination drift?", is_known=True)
    return None


def _doubt_about_frames(line: StraightLine, names: Sequence[str]) -> _Doubt | None:
    """Doubt because of the pair of frames whose noise differs most from that of the others."""
    pairs = line.pairs / np.median(line.pairs)
    i = int(np.argmax(np.abs(pairs - 1)))
    if not abs(pairs[i] - 1) > max(_SAME_PAIRS, _SIGNIFICANT * np.sqrt(2 / line.n_pixels)):
        return None
    return _Doubt(
        f"{names[i]} and {names[(i + 1) % len(names)]} differ by {np.sqrt(pairs[i]):.2g} times "
        "as much as other frames do; is one of them a copy, an average, shifted, or read out "
        "differently?"
    )


def _doubt_about_straightness(departure: float, chance: float) -> _Doubt | None:
    if departure > _STRAIGHT and chance < _CHANCE:
        return _Doubt(
            f"the variance deviates from a linear function of the light by {departure:.0%}; was "
            "the bias not subtracted, or are pixels saturated?"
        )
    return None


def _share(line: StraightLine) -> float:
    """Fraction of the slope that neighbouring pixels share."""
    return min(line.shared[1] / line.slope, 1.0)


def _sharing(line: StraightLine) -> str:
    return f"neighbouring pixels share {_share(line):.0%} of the differences between the frames"


def _curve(line: StraightLine, unit: u.UnitBase) -> QTable:
    parts = [line.light * unit, *(v * unit**2 for v in (line.variance, line.sigma, line.fitted))]
    return QTable(parts, names=["light", "variance", "uncertainty", "line"])


def _unknown(unit: u.UnitBase, doubt: str) -> MeasuredNoise:
    gain, noise = np.nan * u.electron / unit, np.nan * u.electron
    curve = QTable(names=["light", "variance", "uncertainty", "line"])
    return MeasuredNoise(
        gain=gain,
        gain_uncertainty=gain,
        read_noise=noise,
        read_noise_uncertainty=noise,
        drift=np.nan,
        departure=np.nan,
        chi_square=np.nan,
        curve=curve,
        n_pixels=0,
        doubt=doubt,
        is_known=False,
        is_straight=True,
    )
