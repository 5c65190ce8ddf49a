# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The typical frame of a set, on which orders are searched and single frames are compared."""

from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import closing
from functools import partial

import numpy as np
from astropy.nddata import CCDData

from ccdproc_echelle._tasks import results_of
from ccdproc_echelle.combining import CombineSettings, combine_with_scales
from ccdproc_echelle.frames import Frame, gather_pixels

__all__ = ["typical_frame"]

# Number of evenly spaced pixels per frame, and the fraction of the brightest ones, used to measure
# its brightness.
_N_PIXELS = 50_000
_BRIGHTEST = 0.1

# A frame fainter than this fraction of the others has no light that could be scaled.
_FAINTEST = 0.01

# This many frames are enough: those whose brightness is closest to that of the others.
_MOST = 15


def typical_frame(
    flats: Sequence[Frame], mem_limit: float, executor: Executor | None = None
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
    mem_limit : float
        Memory limit in bytes, not counting the result.
    executor : `concurrent.futures.Executor`, optional
        Executor that does the work. Default: one thread per core.

    Returns
    -------
    `~astropy.nddata.CCDData`
        In the unit of the flats, with the brightness of most of them.
    """
    settings = CombineSettings(method="median", mem_limit=mem_limit)
    scales = _scales(flats, executor)
    used = np.sort(np.argsort(np.abs(np.log(scales)), kind="stable")[:_MOST])
    scales = np.nan_to_num(scales[used], nan=1.0)
    return combine_with_scales([flats[i] for i in used], scales, settings, executor=executor)[0]


def _scales(flats: Sequence[Frame], executor: Executor | None) -> np.ndarray:
    """
    One over the brightness of each frame relative to most frames; NaN for frames without light.
    """
    n_pixels = int(np.prod(flats[0].shape))
    # An odd step, so that the pixels do not fall into a few columns of a detector.
    step = max(1, n_pixels // _N_PIXELS) | 1
    tasks = [partial(gather_pixels, flat, np.arange(0, n_pixels, step)) for flat in flats]
    with closing(results_of(tasks, executor)) as sections:
        light = np.array([np.where(s.good, s.data, 0) for s in sections], dtype=float)
    typical = np.median(light, axis=0)
    bright = typical >= np.quantile(typical, 1 - _BRIGHTEST)
    levels = np.median(light[:, bright], axis=1)
    lit = levels > _FAINTEST * max(np.median(levels), 0)
    lit &= levels > 0
    scales = np.full(len(flats), np.nan)
    if lit.any():
        scales[lit] = np.median(levels[lit]) / levels[lit]
    return scales
