# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The first master at the inner-order pixels, and the ratios of the frames to it."""

from typing import NamedTuple

import numpy as np
from astropy.stats import SigmaClip

from ccdproc_echelle.combining.outliers import unshared
from ccdproc_echelle.combining.pixels import Pixels

__all__ = ["FAINTEST", "Master", "Ratios", "ratios_to"]

#: Ratios are not taken of pixels below this fraction of the mean: there noise and the smallest
#: offset of a frame's zero point, such as a drift of the bias, are large against the signal.
FAINTEST = 0.1


class Master(NamedTuple):
    """The first master at the inner-order pixels, and its variance per frame, if known."""

    value: np.ndarray
    noise: np.ndarray | None

    def weights(self, indices: np.ndarray) -> np.ndarray:
        """
        Inverse variance of the ratios to some pixels of the master, the same for all frames.

        It is taken from all frames together: the variance of a single noisy pixel goes along
        with its value, and weights by it would bias the level.
        """
        value = self.value[indices]
        if self.noise is None:
            return value
        with np.errstate(divide="ignore"):
            return value**2 / self.noise[indices]


class Ratios(NamedTuple):
    """
    Ratios of the frames to the master, at pixels that are an outlier in no frame.

    Attributes
    ----------
    pixels : `Pixels`
        The ratios.
    indices : int array, shape (n_pixels,)
        Where they were taken, among the pixels gathered.
    n_clipped : int array, shape (n_frames,)
        How many outliers each frame had.
    """

    pixels: Pixels
    indices: np.ndarray
    n_clipped: np.ndarray


def ratios_to(
    master: Master, pixels: Pixels, common: np.ndarray, sigma_clip: SigmaClip
) -> Ratios:
    """Ratios of the pixels that all frames have in common, if bright enough."""
    usable = np.flatnonzero(common & (master.value > FAINTEST))
    ratios = pixels.selected(usable).over(master.value[usable])
    sigma_clip = unshared(sigma_clip)
    clipped = np.array([np.ma.getmaskarray(sigma_clip(row)) for row in ratios.data])
    kept = np.flatnonzero(~clipped.any(axis=0))
    return Ratios(ratios.selected(kept), usable[kept], clipped.sum(axis=1))
