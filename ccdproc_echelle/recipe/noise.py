# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Noise of the set: measured on the flats, and compared with what is known of the detector."""

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np

from ccdproc_echelle._warnings import kept_warnings, warn
from ccdproc_echelle.combining import MeasuredNoise, PixelPairs, noise_of_pairs, tell_noise
from ccdproc_echelle.frames import CalibratedFrame, NoiseModel, Regions
from ccdproc_echelle.orders import EchelleOrderTable
from ccdproc_echelle.recipe.calibration import Calibration, calibrate_frames

__all__ = ["with_noise_of_set"]

# Gains that differ by more than this factor are not those of the same detector: charge sharing
# between neighbours, light near saturation and similar effects amount to up to 0.1. The same holds
# for read noise, to which patterns and dark current contribute.
_SAME_GAIN = 1.2
_SAME_READ_NOISE = 1.5

# A difference of this many standard deviations is not due to chance.
_SIGNIFICANT = 5


def with_noise_of_set(
    calibration: Calibration,
    orders: EchelleOrderTable,
    sound: np.ndarray,
    pairs: PixelPairs,
    *,
    per_order: bool | str,
    executor: Executor | None,
    **calibrating: Any,
) -> tuple[Calibration, MeasuredNoise | None]:
    """
    Provide calibrated flats with their noise, measured if it is not known otherwise.

    Parameters
    ----------
    calibration : `~ccdproc_echelle.recipe.Calibration`
        The flats.
    orders : `~ccdproc_echelle.EchelleOrderTable`
        The order centres.
    sound : bool array, shape (n_flats,)
        Flats without any fault, whose noise is that of the detector.
    pairs : `~ccdproc_echelle.combining.PixelPairs`
        The pixels from which the noise of the flats is measured.
    per_order : bool or str
        Whether orders are scaled separately, so that a drift of the illumination is not noise.
    executor : `concurrent.futures.Executor` or None
        Executor that reads the frames.
    **calibrating
        Keywords of `calibrate_frames` other than gain and read noise.

    Returns
    -------
    calibration : `~ccdproc_echelle.recipe.Calibration`
        As if gain and read noise had been given, if the flats had no uncertainty and these could be
        measured.
    noise : `~ccdproc_echelle.combining.MeasuredNoise` or None
        The measured noise; `None` if there is only one sound flat.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If the given gain or read noise disagrees with the flats, or if flats without uncertainty
        differ by something other than noise.
    """
    flats = calibration.flats
    if np.count_nonzero(sound) < 2:
        return calibration, None
    noise = noise_of_pairs(
        pairs.of_frames(sound), calibration.selected(sound).flats, orders
    )
    if flats[0].noise is not None and noise.is_known:
        _compare(noise, flats)
    if not noise.is_known or all(flat.uncertainty_type is not None for flat in flats):
        return calibration, noise
    tell_noise(noise)
    model = noise.model(with_drift=not per_order)
    raw = [flat.raw for flat in flats]
    with kept_warnings():  # which have been issued when the flats were calibrated before
        known = calibrate_frames(raw, noise=model, executor=executor, **calibrating)
    return known, noise


def _compare(noise: MeasuredNoise, flats: Sequence[CalibratedFrame]) -> None:
    """Warn if the measured gain or read noise disagrees with the given values."""
    given = flats[0].noise
    gain, gain_error = noise.gain.value, noise.gain_uncertainty.value
    found = None
    if _differ(gain, given.gain, gain_error, _SAME_GAIN):
        found = f"gain is {given.gain:g}"
    elif _read_noise_differs(noise, given, flats):
        found = f"read_noise is {given.read_noise:g}"
    if found:
        warn(
            f"{found}, but the noise of the flats themselves gives {noise}; if the given value "
            "does not apply to these frames, uncertainties and clipping are wrong. Gain is in "
            "electrons per unit of the data, read noise in electrons",
        )


def _read_noise_differs(noise: MeasuredNoise, given: NoiseModel, flats) -> bool:
    """Whether there is less or more noise without light than is possible."""
    if isinstance(given.read_noise, Regions):
        return False  # a single number cannot describe several amplifiers
    found, error = noise.read_noise.value, noise.read_noise_uncertainty.value
    digitised = np.hypot(given.read_noise, given.gain * flats[0].quantum / np.sqrt(12))
    expected = given.read_noise if found < given.read_noise else digitised
    if found > expected and flats[0].subtractions:
        return False  # a dark current contributes noise as well
    return _differ(found, expected, error, _SAME_READ_NOISE)


def _differ(found: float, given: float, error: float, factor: float) -> bool:
    apart = max(found, given) > factor * min(found, given)
    return bool(apart and abs(found - given) > _SIGNIFICANT * error)
