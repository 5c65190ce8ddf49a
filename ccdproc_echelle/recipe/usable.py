# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Refuse frames that have no good pixel at all."""

from collections.abc import Sequence

import numpy as np

from ccdproc_echelle._words import and_others
from ccdproc_echelle.frames import Frame

__all__ = ["check_usable"]


def check_usable(bad: np.ndarray, frames: Sequence[Frame]) -> None:
    """
    Raise if all pixels of combined frames are bad.

    Parameters
    ----------
    bad : bool array
        The bad pixels of the combination.
    frames : sequence of `~ccdproc_echelle.frames.Frame`
        The frames that were combined, which the message names.

    Raises
    ------
    ValueError
        If no pixel is good.
    """
    if np.all(bad):
        raise ValueError(
            f"no pixel of {frames[0].name}{and_others(frames)} is good: all are masked, saturated "
            "or not a number; check saturation and bad_pixel_mask"
        )
