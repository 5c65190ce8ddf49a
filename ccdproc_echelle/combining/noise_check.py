# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Whether the uncertainties of the frames hold their noise."""

import numpy as np

from ccdproc_echelle._numeric.spread import MAD_TO_SIGMA
from ccdproc_echelle.combining.pixels import MOST_UNKNOWN

__all__ = ["doubt_about_noise", "some_of"]

# Frames may scatter by this factor more than their uncertainties say without a warning: their
# illumination may drift.
_TOLERATED = 5

# They scatter less where an error is common to all of them, but not by more than this factor, as
# where variances are taken for standard deviations. Frames that do not scatter at all were made so.
_TOO_LARGE = 10
_NO_SCATTER = 1e-3

_ENOUGH_PIXELS = 10_000

# Where uncertainties are far too small, no value agrees with the others: none is left in more than
# this fraction of the pixels.
_MOST_CLIPPED = 0.05

_ADVICE = (
    "do the uncertainties hold the noise of the flats? A flat without uncertainty takes over that "
    "of the bias or dark that is subtracted from it: make it with ccdproc.create_deviation, or "
    "give gain and read_noise to make_master_flat"
)


def doubt_about_noise(
    values: np.ndarray, variances: np.ndarray | None, master: np.ndarray
) -> str:
    """
    What speaks against the uncertainties of frames, if anything.

    Parameters
    ----------
    values : float array, shape (n_frames, n_pixels)
        The frames, brought to the scale of the master, at pixels that all of them have.
    variances : float array, shape (n_frames, n_pixels), or None
        Their variances, if known; NaN where they are not.
    master : float array, shape (n_pixels,)
        What the frames were combined to; NaN where none was left.

    Returns
    -------
    str
        Empty if nothing does.
    """
    if variances is None or values.size == 0 or len(values) == 1:
        return ""
    if np.isnan(variances).mean() > MOST_UNKNOWN:
        return "most uncertainties are NaN"
    if (variances == 0).mean() > MOST_UNKNOWN:
        return "most uncertainties are 0"
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
    if ratio > _TOLERATED:
        found = f"the frames differ by {ratio:.2g} times what their uncertainties allow for"
        return f"{found}; {_ADVICE}"
    if _NO_SCATTER < ratio < 1 / _TOO_LARGE:
        found = f"the frames differ by only {ratio:.2g} times what their uncertainties allow for"
        return f"{found}; are these variances, or of another unit?"
    return ""


def some_of(indices: np.ndarray) -> np.ndarray:
    """
    Evenly spread ones of these pixels, as many as the check needs.

    Parameters
    ----------
    indices : int array, shape (n_pixels,)
        Indices of pixels.

    Returns
    -------
    int array, shape (n_chosen,)
    """
    return indices[:: len(indices) // _ENOUGH_PIXELS + 1]
