# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Frames whose noise is known: from themselves, where nothing else tells it."""

import logging
from collections.abc import Sequence
from concurrent.futures import Executor

from ccdproc_echelle._warnings import warn
from ccdproc_echelle.combining.noise import MeasuredNoise, noise_of
from ccdproc_echelle.frames import Frame, with_noise
from ccdproc_echelle.orders import EchelleOrderTable

__all__ = ["noise_cards", "with_measured_noise"]

_log = logging.getLogger(__name__)


def with_measured_noise(
    frames: Sequence[Frame],
    orders: EchelleOrderTable,
    executor: Executor | None = None,
    *,
    with_drift: bool = True,
) -> tuple[list[Frame], MeasuredNoise | None]:
    """
    Frames with uncertainties from the noise they have themselves, whichever they had.

    Parameters
    ----------
    frames : sequence of `Frame`
        The frames.
    orders : `EchelleOrderTable`
        The order centres.
    executor : `concurrent.futures.Executor`, optional
        What reads the frames. Default: a thread for each core.
    with_drift : bool, optional
        Whether a drift of the illumination is taken as noise.

    Returns
    -------
    frames : list of `Frame`
        Without uncertainty where their noise cannot be measured.
    noise : `MeasuredNoise` or None
        Their noise; `None` for a single frame.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If the noise cannot be measured, or is in doubt.
    """
    bare = [frame.without_uncertainty() for frame in frames]
    if len(frames) == 1:
        return bare, None
    noise = noise_of(bare, orders, executor)
    _log.info("the frames have no uncertainties of their own; as measured, %s", noise)
    if not noise.is_known:
        warn(
            f"the noise of the frames is not known and cannot be measured: {noise.doubt}; the "
            "uncertainty is that of their scatter, which few frames know badly; give them "
            "uncertainties, with ccdproc.create_deviation"
        )
        return bare, noise
    if noise.doubt:
        warn(f"{noise.doubt} Noise as measured from the frames: {noise}")
    model = noise.model(with_drift=with_drift)
    return [with_noise(frame, model) for frame in frames], noise


def noise_cards(noise: MeasuredNoise) -> dict[str, tuple[float, str]]:
    """
    Header cards that tell the noise.

    Parameters
    ----------
    noise : `MeasuredNoise`
        The noise; without a card where it is not known.

    Returns
    -------
    dict
        From keyword to value and comment.
    """
    if not noise.is_known:
        return {}
    return {
        "GAINMEAS": (float(noise.gain.value), f"[{noise.gain.unit}] gain from the frames"),
        "GAINERR": (float(noise.gain_uncertainty.value), f"[{noise.gain.unit}] its error"),
        "RONMEAS": (float(noise.read_noise.value), "[electron] read noise from the frames"),
        "RONERR": (float(noise.read_noise_uncertainty.value), "[electron] its error"),
    }
