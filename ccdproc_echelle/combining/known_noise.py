# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Frames whose noise is known: from themselves, where nothing else tells it."""

import logging
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import NamedTuple

import numpy as np

from ccdproc_echelle._warnings import warn
from ccdproc_echelle.combining.fitness import Survey, gathered_and_surveyed
from ccdproc_echelle.combining.noise import MeasuredNoise, neighbours, noise_of_pixels
from ccdproc_echelle.combining.pixels import Pixels
from ccdproc_echelle.frames import Frame, with_noise
from ccdproc_echelle.orders import EchelleOrderTable

__all__ = ["NOISE_KEYWORDS", "KnownNoise", "known_noise", "noise_cards", "tell_noise"]

#: What a header tells of the noise that was measured.
NOISE_KEYWORDS = ("GAINMEAS", "GAINERR", "RONMEAS", "RONERR")

_log = logging.getLogger(__name__)


class KnownNoise(NamedTuple):
    """
    Frames with uncertainties from the noise that they show, whichever they had.

    Attributes
    ----------
    frames : list of `Frame`
        Without uncertainty where their noise cannot be measured.
    pixels : `Pixels`
        Those of them that were asked for.
    noise : `MeasuredNoise`
        Gain and read noise.
    """

    frames: list[Frame]
    pixels: Pixels
    noise: MeasuredNoise


def known_noise(
    frames: Sequence[Frame],
    orders: EchelleOrderTable,
    indices: np.ndarray,
    executor: Executor | None = None,
    *,
    with_drift: bool,
    survey: Survey | None = None,
) -> KnownNoise:
    """
    Measure the noise of frames, and gather other pixels of them in the same reading.

    Parameters
    ----------
    frames : sequence of `Frame`
        The frames, two or more.
    orders : `EchelleOrderTable`
        The order centres.
    indices : int array, shape (n_pixels,)
        Pixels to be gathered, as indices of the flattened image, ascending.
    executor : `concurrent.futures.Executor`, optional
        What reads the frames. Default: a thread for each core.
    with_drift : bool
        Whether a drift of the illumination is taken as noise.
    survey : `Survey`, optional
        What is looked at, and checked, in the same reading.

    Returns
    -------
    `KnownNoise`

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If the frames differ by something else than their noise.
    """
    bare = [frame.without_uncertainty() for frame in frames]
    chosen = neighbours(frames)
    places, inverse = np.unique(np.concatenate([indices, chosen]), return_inverse=True)
    pixels = gathered_and_surveyed(bare, places, executor, survey)
    found = pixels.selected(inverse[len(indices):])
    noise = noise_of_pixels(found, chosen, frames, orders)
    pixels = pixels.selected(inverse[: len(indices)])
    tell_noise(noise)
    if not noise.is_known:
        return KnownNoise(bare, pixels, noise)
    model = noise.model(with_drift=with_drift)
    known = [with_noise(frame, model) for frame in bare]
    return KnownNoise(known, pixels._replace(variance=model.variance(pixels.data)), noise)


def tell_noise(noise: MeasuredNoise) -> None:
    """
    Tell the noise in the log, and in a warning if the frames differ by something else.

    Parameters
    ----------
    noise : `MeasuredNoise`
        The noise, which the frames get as their uncertainty where it is known.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If variance against light is no straight line.
    """
    _log.info("the uncertainties of the frames are unknown; as measured, %s", noise)
    if noise.is_straight:
        return
    if noise.is_known:
        warn(f"{noise.doubt} The uncertainties are those of {noise}")
    else:
        warn(
            f"the noise of the frames cannot be measured: {noise.doubt} The uncertainty is that of "
            "their scatter, which few frames hardly know; ccdproc.create_deviation makes a "
            "better one"
        )


def noise_cards(noise: MeasuredNoise) -> list[tuple[str, float, str]]:
    """
    Header cards that tell the noise.

    Parameters
    ----------
    noise : `MeasuredNoise`
        The noise; without a card where it is not known.

    Returns
    -------
    list of (str, float, str)
        Keyword, value, and comment with the unit.
    """
    if not noise.is_known:
        return []
    values = (noise.gain, noise.gain_uncertainty, noise.read_noise, noise.read_noise_uncertainty)
    comments = ("gain measured", "its error", "read noise measured", "its error")
    return [
        (key, float(value.value), f"[{value.unit}] {comment}")
        for key, value, comment in zip(NOISE_KEYWORDS, values, comments, strict=True)
    ]
