# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Check whether the uncertainties of the frames account for their noise."""

from collections.abc import Sequence

import numpy as np

from ccdproc_echelle._numeric.spread import MAD_TO_SIGMA
from ccdproc_echelle.combining.pixels import MOST_UNKNOWN
from ccdproc_echelle.combining.size_of_noise import factors_of_noise
from ccdproc_echelle.frames import Frame

__all__ = ["doubt_about_noise", "some_of"]

# Frames may scatter by this factor more than their uncertainties without a warning, as their
# illumination may drift.
_TOLERATED = 5

# They scatter less if an error is common to all of them, but not by more than this factor, unless
# for example variances are mistaken for standard deviations. Frames without any scatter were made
# so.
_TOO_LARGE = 10
_NO_SCATTER = 1e-3

_ENOUGH_PIXELS = 10_000

# Neighbouring pixels that differ by less than this fraction show noise and hardly any shift.
_ALIKE = 0.05

# If uncertainties are far too small, no value agrees with the others and none remains in more than
# this fraction of the pixels.
_MOST_CLIPPED = 0.05

_ADVICE = (
    "do the uncertainties include the noise of the flats? A flat without uncertainty inherits that "
    "of the bias or dark that is subtracted from it: create its own with ccdproc.create_deviation, "
    "or pass gain and read_noise to make_master_flat"
)


def doubt_about_noise(
    frames: Sequence[Frame],
    values: np.ndarray,
    variances: np.ndarray | None,
    master: np.ndarray,
) -> str:
    """
    Evidence against the uncertainties of frames, if there is any.

    Parameters
    ----------
    frames : sequence of `Frame`
        The frames, used for their names.
    values : float array, shape (n_frames, n_pixels)
        Their pixel values, scaled to the level of the master, at pixels that all of them have:
        pairs of neighbours, one after the other.
    variances : float array, shape (n_frames, n_pixels), or None
        Their variances, if known; NaN where they are not.
    master : float array, shape (n_pixels,)
        The combined frame; NaN where no value remained.

    Returns
    -------
    str
        Empty if there is no evidence.
    """
    if variances is None or values.size == 0 or len(values) == 1:
        return ""
    for what, useless in (("NaN", np.isnan(variances)), ("0", variances == 0)):
        if useless.mean() > MOST_UNKNOWN:
            return f"most uncertainties are {what}"
        if (of_frames := useless.mean(axis=1) > MOST_UNKNOWN).any():
            names = ", ".join(frames[i].name for i in np.flatnonzero(of_frames))
            return f"most uncertainties of {names} are {what}"
    clipped = ~np.isfinite(master)
    if clipped.mean() > _MOST_CLIPPED:
        found = f"clipping leaves no frame in {clipped.mean():.0%} of the pixels"
        return f"{found}; {_ADVICE}"
    # A frame is part of the master, which follows 1/n of its deviation.
    expected = variances * (1 - 1 / len(values))
    known = (expected > 0) & ~clipped
    pulls = np.abs(values - master)[known] / np.sqrt(expected[known])
    # Half of the pulls of a Gaussian with standard deviation 1 are below 1 / MAD_TO_SIGMA.
    ratio = np.median(pulls) * MAD_TO_SIGMA if known.any() else 0
    if ratio <= _TOLERATED:
        ratio = max(ratio, _ratio_of_bright(values, variances, master))
    if ratio > _TOLERATED:
        found = f"the frames differ by {ratio:.2g} times what their uncertainties allow for"
        return f"{found}; {_ADVICE}"
    if _NO_SCATTER < ratio < 1 / _TOO_LARGE:
        found = f"the frames differ by only {ratio:.2g} times what their uncertainties allow for"
        return f"{found} (are they variances, or in another unit?)"
    return ""


def _ratio_of_bright(values: np.ndarray, variances: np.ndarray, master: np.ndarray) -> float:
    """
    True over claimed noise where the light is, which is in few pixels of an echelle frame.

    In the dark, the uncertainty of a bias is nearly that of the frame. Bright pixels show every
    drift of the illumination, so that only differences of neighbouring pixels count; on the flank
    of an order these change with every shift.
    """
    pairs = master[: len(master) // 2 * 2].reshape(-1, 2)
    alike = np.abs(np.diff(pairs, axis=1)[:, 0]) < _ALIKE * pairs.mean(axis=1)
    alike &= (pairs > np.nanmean(master)).all(axis=1)
    bright = np.flatnonzero(np.repeat(alike, 2))
    factors, _ = factors_of_noise(values[:, bright], variances[:, bright])
    return float(np.nan_to_num(np.median(factors)))


def some_of(indices: np.ndarray) -> np.ndarray:
    """
    Select evenly spaced pairs of neighbours, as many pixels as the checks need.

    Parameters
    ----------
    indices : int array, shape (n_pixels,)
        Indices of pixels, in ascending order.

    Returns
    -------
    int array, shape (n_chosen,)
    """
    if len(indices) < 2:
        return indices
    pairs = indices[: len(indices) // 2 * 2].reshape(-1, 2)
    return pairs[:: len(indices) // _ENOUGH_PIXELS + 1].ravel()
