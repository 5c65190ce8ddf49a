# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Derive the noise of frames from the frames themselves, if it is not known otherwise."""

import logging
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import NamedTuple

import numpy as np

from ccdproc_echelle._warnings import warn
from ccdproc_echelle.combining.fitness import Survey, gathered_and_surveyed
from ccdproc_echelle.combining.noise import MeasuredNoise, PixelPairs, neighbours, noise_of_pairs
from ccdproc_echelle.combining.pixels import Pixels
from ccdproc_echelle.frames import Frame, with_noise
from ccdproc_echelle.orders import EchelleOrderTable

__all__ = ["NOISE_KEYWORDS", "KnownNoise", "known_noise", "noise_cards", "tell_noise"]

#: Header keywords for the measured noise.
NOISE_KEYWORDS = ("GAINMEAS", "GAINERR", "RONMEAS", "RONERR")

_log = logging.getLogger(__name__)


class KnownNoise(NamedTuple):
    """
    Frames with uncertainties derived from their measured noise, replacing any previous ones.

    Attributes
    ----------
    frames : list of `Frame`
        Frames without uncertainty if their noise cannot be measured.
    pixels : `Pixels`
        The requested pixels of these frames.
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
    Measure the noise of frames and gather other pixels in the same pass through the files.

    Parameters
    ----------
    frames : sequence of `Frame`
        The frames, at least two.
    orders : `EchelleOrderTable`
        The order centres.
    indices : int array, shape (n_pixels,)
        Pixels to gather, as indices into the flattened image, in ascending order.
    executor : `concurrent.futures.Executor`, optional
        Executor that reads the frames. Default: one thread per core.
    with_drift : bool
        Whether to treat a drift of the illumination as noise.
    survey : `Survey`, optional
        Survey to run in the same pass.

    Returns
    -------
    `KnownNoise`

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If the frames differ by more than their noise.
    """
    bare = [frame.without_uncertainty() for frame in frames]
    chosen = neighbours(frames)
    places, inverse = np.unique(np.concatenate([indices, chosen]), return_inverse=True)
    pixels = gathered_and_surveyed(bare, places, executor, survey)
    found = pixels.selected(inverse[len(indices):])
    noise = noise_of_pairs(PixelPairs(found, chosen), frames, orders)
    pixels = pixels.selected(inverse[: len(indices)])
    tell_noise(noise)
    if not noise.is_known:
        return KnownNoise(bare, pixels, noise)
    model = noise.model(with_drift=with_drift)
    known = [with_noise(frame, model) for frame in bare]
    return KnownNoise(known, pixels._replace(variance=model.variance(pixels.data)), noise)


def tell_noise(noise: MeasuredNoise) -> None:
    """
    Log the noise, and warn if the frames differ by more than noise.

    Parameters
    ----------
    noise : `MeasuredNoise`
        The measured noise, which becomes the uncertainty of the frames if it is known.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If the variance is not a linear function of the light.
    """
    _log.info("the uncertainties of the frames are unknown; as measured, %s", noise)
    if noise.is_straight:
        return
    if noise.is_known:
        warn(f"{noise.doubt} The uncertainties are those of {noise}")
    else:
        warn(
            f"the noise of the frames cannot be measured: {noise.doubt} The uncertainty is derived "
            "from the scatter of the frames, which is poorly determined for few frames; "
            "ccdproc.create_deviation gives a better one"
        )


def noise_cards(noise: MeasuredNoise) -> list[tuple[str, float, str]]:
    """
    Header cards that record the noise.

    Parameters
    ----------
    noise : `MeasuredNoise`
        The measured noise.

    Returns
    -------
    list of (str, float, str)
        Keyword, value, and comment with the unit. Unknown values have no card.
    """
    if not noise.is_known:
        return []
    values = (noise.gain, noise.gain_uncertainty, noise.read_noise, noise.read_noise_uncertainty)
    comments = ("gain measured", "its error", "read noise measured", "its error")
    return [
        (key, float(value.value), f"[{value.unit}] {comment}")
        for key, value, comment in zip(NOISE_KEYWORDS, values, comments, strict=True)
    ]
