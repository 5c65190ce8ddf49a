# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Outliers among the inner-order pixels of a frame: cosmic rays and dead pixels."""

from copy import copy

from astropy.stats import SigmaClip

__all__ = ["LEVEL_CLIP", "NOTHING_LEFT", "unshared"]

#: How they are rejected, where nothing else is asked for. The brightness of the orders themselves
#: spans less than this. About the mean, which of so many pixels is as good a centre as the median
#: and found much faster.
LEVEL_CLIP = SigmaClip(sigma=5, maxiters=10, cenfunc="mean")

#: The message of the error if all pixels are outliers.
NOTHING_LEFT = "sigma_clip leaves no inner-order pixel"


def unshared(sigma_clip: SigmaClip) -> SigmaClip:
    """A copy: the original keeps the limits of its last call, and other threads may use it."""
    return copy(sigma_clip)
