# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The typical frame of a set, on which orders are searched and single frames are compared."""

from collections.abc import Sequence
from concurrent.futures import Executor

import numpy as np
from astropy.nddata import CCDData

from ccdproc_echelle.combining import CombineSettings, Pixels, combine_with_scales
from ccdproc_echelle.frames import Frame
from ccdproc_echelle.recipe.usable import check_usable

__all__ = ["typical_frame"]

# Fraction of the pixels, the brightest ones, used to measure the brightness of a frame.
_BRIGHTEST = 0.1

# A frame fainter than this fraction of the others has no light that could be scaled.
_FAINTEST = 0.01

# This many frames are enough: those whose brightness is closest to that of the others.
_MOST = 15


def typical_frame(
    flats: Sequence[Frame], pixels: Pixels, mem_limit: float, executor: Executor | None = None
) -> CCDData:
    """
    Median of a set of flats that are first scaled to a similar brightness.

    Without the scaling, the median of flats of different brightness would be the same single flat
    in most pixels, with all its noise and faults. Of many flats, the 15 closest to the typical
    brightness are used.

    Parameters
    ----------
    flats : sequence of `~ccdproc_echelle.frames.Frame`
        Calibrated flats; some of them may not belong to the set.
    pixels : `~ccdproc_echelle.combining.Pixels`
        Pixels of all flats, spread over the detector.
    mem_limit : float
        Memory limit in bytes, not counting the result.
    executor : `concurrent.futures.Executor`, optional
        Executor that does the work. Default: one thread per core.

    Returns
    -------
    `~astropy.nddata.CCDData`
        In the unit of the flats, with the brightness of most of them.

    Raises
    ------
    ValueError
        If no pixel is good.
    """
    settings = CombineSettings(method="median", mem_limit=mem_limit)
    scales = _scales(pixels)
    used = np.sort(np.argsort(np.abs(np.log(scales)), kind="stable")[:_MOST])
    scales = np.nan_to_num(scales[used], nan=1.0)
    used = [flats[i] for i in used]
    typical, _ = combine_with_scales(used, scales, settings, executor=executor)
    check_usable(typical.mask, used)
    return typical


def _scales(pixels: Pixels) -> np.ndarray:
    """
    One over the brightness of each frame relative to most frames; NaN for frames without light.
    """
    light = np.where(pixels.good, pixels.data, 0).astype(float)
    typical = np.median(light, axis=0)
    bright = typical >= np.quantile(typical, 1 - _BRIGHTEST)
    levels = np.median(light[:, bright], axis=1)
    lit = levels > _FAINTEST * max(np.median(levels), 0)
    lit &= levels > 0
    scales = np.full(len(levels), np.nan)
    if lit.any():
        scales[lit] = np.median(levels[lit]) / levels[lit]
    return scales
