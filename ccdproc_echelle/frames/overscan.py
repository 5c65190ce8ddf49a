# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Zero point of each row or column of a frame, from pixels that are not exposed to light."""

import numpy as np
from astropy.modeling import Model
from astropy.modeling.fitting import LinearLSQFitter

from ccdproc_echelle.frames.gathering import row_blocks
from ccdproc_echelle.frames.sections import Box
from ccdproc_echelle.frames.views import Frame

__all__ = ["lies_beside", "measure_overscan", "overscan_level"]


def measure_overscan(
    frame: Frame, section: Box, light: Box, *, median: bool = True, model: "Model | None" = None
) -> np.ndarray:
    """
    Measure the zero point of a frame, to be subtracted from its light-sensitive part.

    Parameters
    ----------
    frame : `Frame`
        The raw frame, of which a few rows at a time are read.
    section : `~ccdproc_echelle.frames.Box`
        The overscan.
    light : `~ccdproc_echelle.frames.Box`
        The light-sensitive part.
    median : bool, optional
        Whether each row (or column) of the overscan is represented by its median or its mean.
    model : `~astropy.modeling.Model`, optional
        Model fitted along the overscan. Default: no model, its rows (or columns) are used directly.

    Returns
    -------
    array, shape (rows, 1) or (1, columns)
        One value for each row or column of the light-sensitive part. Beyond the ends of the
        overscan, the last value is used, or the mean of all if it lies beside none of them.

    Raises
    ------
    ValueError
        If all pixels of the overscan are masked.
    """
    axis = 1 if lies_beside(section, light) else 0
    level = overscan_level(_pixels(frame, section), axis=axis, median=median, model=model)
    if not np.isfinite(level).any():
        raise ValueError(f"{frame.name} has no good pixel in its overscan {section}")
    along, wanted = section[1 - axis], light[1 - axis]
    known = np.isfinite(level)
    if along.stop <= wanted.start or wanted.stop <= along.start:
        level[known] = level[known].mean()  # a corner of the image
    measured = np.arange(along.start, along.stop)[known]
    level = np.interp(np.arange(wanted.start, wanted.stop), measured, level[known])
    return level[:, np.newaxis] if axis == 1 else level[np.newaxis]


def overscan_level(
    pixels: np.ndarray, *, axis: int, median: bool = True, model: "Model | None" = None
) -> np.ndarray:
    """
    Compute the zero point along an overscan, as `ccdproc.subtract_overscan` does.

    Parameters
    ----------
    pixels : float array, shape (rows, columns)
        The overscan; NaN for bad pixels.
    axis : int
        Axis along which the pixels are averaged: 1 for a zero point of each row.
    median : bool, optional
        Whether to use the median or the mean.
    model : `~astropy.modeling.Model`, optional
        Model fitted to the averages by least squares, as a function of their index.

    Returns
    -------
    array
        One value for each row or column; NaN if all its pixels are bad.

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle.frames.overscan import overscan_level
    >>> overscan_level(np.array([[299.0, 300, 301], [301, 302, 306]]), axis=1)
    array([300., 302.])
    """
    bad = np.isnan(pixels).all(axis=axis, keepdims=True)
    average = np.nanmedian if median else np.nanmean
    level = average(np.where(bad, 0, pixels), axis=axis)
    known = ~bad.squeeze(axis)
    if model is not None and known.any():
        index = np.arange(len(level))
        level = LinearLSQFitter()(model, index[known], level[known])(index)
        return level
    return np.where(known, level, np.nan)


def lies_beside(section: Box, light: Box) -> bool:
    """Whether an overscan provides pixels for each row; otherwise for each column."""
    apart = [
        s.stop <= o.start or o.stop <= s.start for s, o in zip(section, light, strict=True)
    ]
    if apart[0] != apart[1]:
        return apart[1]
    return section.shape[1] <= section.shape[0]


def _pixels(frame: Frame, section: Box) -> np.ndarray:
    """Pixels of a section, NaN for bad ones."""
    parts = []
    for rows in row_blocks(section.rows.start, section.rows.stop, frame.shape[1]):
        found = frame.part(rows).load().section((slice(None), section.columns))
        parts.append(np.where(found.good, found.data.astype(float), np.nan))
    return np.concatenate(parts)
