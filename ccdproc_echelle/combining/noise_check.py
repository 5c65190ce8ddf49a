# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Whether the uncertainties of the frames hold their noise."""

import numpy as np

from ccdproc_echelle._numeric.spread import MAD_TO_SIGMA
from ccdproc_echelle._warnings import warn
from ccdproc_echelle.combining.pixels import Pixels

__all__ = ["warn_of_missing_noise"]

# Frames may scatter by this factor more than their uncertainties say without a warning: their
# illumination may drift.
_TOLERATED = 5
_ENOUGH_PIXELS = 10_000

# Where uncertainties are far too small, no value agrees with the others: none is left in more than
# this fraction of the pixels.
_MOST_CLIPPED = 0.05


def warn_of_missing_noise(
    pixels: Pixels, common: np.ndarray, levels: np.ndarray, master: np.ndarray
) -> None:
    """
    Warn of uncertainties that are far too small for the differences between the frames.

    Levels have shape (n_frames, 1) or (n_frames, n_pixels); only pixels that all frames have in
    common are looked at.
    """
    if pixels.variance is None or len(pixels.data) == 1:
        return
    chosen = np.flatnonzero(common)
    chosen = chosen[:: len(chosen) // _ENOUGH_PIXELS + 1]
    scales = 1 / (levels[:, chosen] if levels.shape[1] > 1 else levels)
    found = _verdict(pixels.selected(chosen), scales, master[chosen])
    if found:
        warn(
            f"{found}; do the uncertainties hold the noise of the flats? A flat without "
            "uncertainty takes over that of the dark that is subtracted from it: make it with "
            "ccdproc.create_deviation, or give gain and read_noise to make_master_flat",
        )


def _verdict(pixels: Pixels, scales: np.ndarray, master: np.ndarray) -> str | None:
    """What is wrong with the uncertainties, if anything."""
    clipped = ~np.isfinite(master)
    if clipped.mean() > _MOST_CLIPPED:
        return f"clipping leaves no frame in {clipped.mean():.0%} of the inner-order pixels"
    # A frame is part of the master, which follows 1/n of its deviation.
    expected = pixels.variance * scales**2 * (1 - 1 / len(pixels.data))
    known = (expected > 0) & ~clipped
    pulls = np.abs(pixels.data * scales - master)[known] / np.sqrt(expected[known])
    # Half of the pulls of a Gaussian with standard deviation 1 are below 1 / MAD_TO_SIGMA.
    ratio = np.median(pulls) * MAD_TO_SIGMA if known.any() else 0
    if ratio > _TOLERATED:
        return f"the frames differ by {ratio:.2g} times what their uncertainties allow for"
    return None
