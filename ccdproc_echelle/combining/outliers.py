# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Reject outliers among the inner-order pixels of a frame: cosmic rays and dead pixels."""

from copy import copy

from astropy.stats import SigmaClip

__all__ = ["LEVEL_CLIP", "NOTHING_LEFT", "check_sigma_clip", "unshared"]

#: Default rejection of outliers. The brightness range of the orders themselves lies within these
#: limits. The centre is the mean, which for this many pixels is as good as the median and much
#: faster.
LEVEL_CLIP = SigmaClip(sigma=5, maxiters=10, cenfunc="mean")

#: Error message if all pixels are outliers.
NOTHING_LEFT = "sigma_clip leaves no inner-order pixel"


def check_sigma_clip(sigma_clip: object) -> None:
    """Raise unless it can reject outliers; `ccdproc.combine` has a switch of the same name."""
    if not callable(sigma_clip):
        raise TypeError(f"sigma_clip is {sigma_clip!r}, expected an astropy.stats.SigmaClip")


def unshared(sigma_clip: SigmaClip) -> SigmaClip:
    """A copy: the original stores the limits of its last call, and other threads may use it."""
    return copy(sigma_clip)
