# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The first master at the inner-order pixels, and ratios of the frames to it."""

from typing import NamedTuple

import numpy as np
from astropy.stats import SigmaClip

from ccdproc_echelle.combining.outliers import unshared
from ccdproc_echelle.combining.pixels import Pixels

__all__ = ["FAINTEST", "Master", "Ratios", "ratios_to"]

#: Pixels below this fraction of the mean are not used for ratios: noise and the smallest offset of
#: a frame's zero point, such as a drift of the bias, are large there compared with the signal.
FAINTEST = 0.1


class Master(NamedTuple):
    """The first master at the inner-order pixels, and its variance per frame, if known."""

    value: np.ndarray
    noise: np.ndarray | None

    def weights(self, indices: np.ndarray) -> np.ndarray:
        """
        Inverse variance of the ratios to some pixels of the master, the same for all frames.

        It is derived from all frames together: the variance of a single noisy pixel correlates with
        its value, and weighting by it would bias the level.
        """
        value = self.value[indices]
        if self.noise is None:
            return value
        with np.errstate(divide="ignore"):
            return value**2 / self.noise[indices]


class Ratios(NamedTuple):
    """
    Ratios of the frames to the master, at pixels that are not outliers in any frame.

    Attributes
    ----------
    pixels : `Pixels`
        The ratios.
    indices : int array, shape (n_pixels,)
        Their positions among the gathered pixels.
    n_clipped : int array, shape (n_frames,)
        Number of outliers in each frame.
    """

    pixels: Pixels
    indices: np.ndarray
    n_clipped: np.ndarray


def ratios_to(
    master: Master, pixels: Pixels, common: np.ndarray, sigma_clip: SigmaClip
) -> Ratios:
    """Ratios at the pixels that all frames have in common and that are bright enough."""
    usable = np.flatnonzero(common & (master.value > FAINTEST))
    ratios = pixels.selected(usable).over(master.value[usable])
    sigma_clip = unshared(sigma_clip)
    clipped = np.array([np.ma.getmaskarray(sigma_clip(row)) for row in ratios.data])
    kept = np.flatnonzero(~clipped.any(axis=0))
    return Ratios(ratios.selected(kept), usable[kept], clipped.sum(axis=1))
