# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Check whether the uncertainties of the frames have the right size."""

from collections.abc import Sequence

import numpy as np

from ccdproc_echelle._numeric.spread import MAD_NOISE, MAD_TO_SIGMA
from ccdproc_echelle._warnings import warn
from ccdproc_echelle.frames import CalibratedFrame, Frame

__all__ = ["factors_of_noise", "warn_of_size"]

# Uncertainties that are too small or too large by less than this are within the accuracy of gains
# and noise models. They may be larger than the scatter if an error, such as that of a dark, is
# common to all frames.
_TOO_SMALL = 1.5
_TOO_LARGE = 0.6

# Frames with hardly any scatter were made so, or are copies.
_NO_SCATTER = 0.05

# A factor is relevant if it deviates from 1 by this many of its standard deviations.
_SIGNIFICANT = 5
_FEWEST_PAIRS = 200


def warn_of_size(frames: Sequence[Frame], values: np.ndarray, variances: np.ndarray) -> None:
    """
    Warn of uncertainties that are too small or too large, by how much, and for which frames.

    Frames whose noise is known from gain and read noise are not checked; these have been compared
    with the frames themselves.

    Parameters
    ----------
    frames : sequence of `Frame`
        The frames.
    values, variances
        See `factors_of_noise`.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If the factor of any frame is not close to 1.
    """
    if any(isinstance(frame, CalibratedFrame) and frame.noise is not None for frame in frames):
        return
    factors, error = factors_of_noise(values, variances)
    off = np.abs(factors - 1) > _SIGNIFICANT * error * factors
    for size, wrong in (
        ("small", off & (factors > _TOO_SMALL)),
        ("large", off & (factors < _TOO_LARGE) & (factors > _NO_SCATTER)),
    ):
        if wrong.any():
            factor = np.median(factors[wrong])
            factor = factor if size == "small" else 1 / factor
            names = [frame.name for frame, found in zip(frames, wrong, strict=True) if found]
            whose, unless = "the frames", ""
            if len(names) < len(frames):
                whose = ", ".join(names)
                unless = ", unless these frames show something else"
            warn(
                f"the uncertainties of {whose} are about {factor:.2g} times too {size}{unless}, "
                "judging by the differences between neighbouring pixels; uncertainty and clipping "
                "of the result are off by the same factor; check gain and unit, or leave the "
                "uncertainties out and have the noise measured"
            )


def factors_of_noise(values: np.ndarray, variances: np.ndarray) -> tuple[np.ndarray, float]:
    """
    True over claimed standard deviation of each frame.

    Each frame is compared with the mean of all. The differences of neighbouring pixels are used, in
    which drifts of the illumination cancel, and their median, which outliers do not change.

    Parameters
    ----------
    values : float array, shape (n_frames, n_pixels)
        Pixel values, scaled to the same level: pairs of neighbours, one after the other.
    variances : float array, shape (n_frames, n_pixels)
        Their claimed variances; pairs in which one is unknown do not count.

    Returns
    -------
    factors : float array, shape (n_frames,)
        1 if the uncertainties are right, above 1 if they are too small; NaN if not known.
    error : float
        The relative standard deviation of these.
    """
    n_frames, even = len(values), values.shape[1] // 2 * 2
    values, variances = (values - values.mean(axis=0))[:, :even], variances[:, :even]
    known = (variances > 0).all(axis=0).reshape(-1, 2).all(axis=1)
    n_pairs = np.count_nonzero(known)
    if n_frames < 2 or n_pairs < _FEWEST_PAIRS:
        return np.full(n_frames, np.nan), np.nan
    expected = variances * (1 - 2 / n_frames) + variances.sum(axis=0) / n_frames**2
    apart = values[:, ::2] - values[:, 1::2]
    pulls = apart[:, known] / np.sqrt(expected[:, ::2] + expected[:, 1::2])[:, known]
    return MAD_TO_SIGMA * np.median(np.abs(pulls), axis=1), MAD_NOISE / np.sqrt(n_pairs)
