# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Single pixels of frames, gathered some rows at a time."""

import numpy as np

from ccdproc_echelle.frames.views import Frame, Section

__all__ = ["gather_pixels"]

# Enough for a file to be opened seldom, and little beside the result.
_PIXELS_AT_ONCE = 4_200_000


def gather_pixels(frame: Frame, pixels: np.ndarray) -> Section:
    """
    The values of some pixels of a frame, which is read once and never held.

    Parameters
    ----------
    frame : `Frame`
        The frame.
    pixels : int array, shape (n_pixels,)
        Indices of the flattened image, ascending.

    Returns
    -------
    `Section`
        Arrays of shape (n_pixels,).

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.nddata import CCDData
    >>> from ccdproc_echelle.frames import gather_pixels, open_frames
    >>> frame, = open_frames(CCDData(np.arange(12.0).reshape(3, 4), unit="adu"))
    >>> gather_pixels(frame, np.array([1, 10])).data
    array([ 1., 10.])
    """
    n_rows, n_columns = frame.shape
    if len(pixels) == 0:
        nothing = np.empty(0, dtype=int)
        return frame.part(slice(0, 1)).load().section((nothing, nothing))
    parts = []
    step = max(1, _PIXELS_AT_ONCE // n_columns)
    for first in range(0, n_rows, step):
        rows = slice(first, min(first + step, n_rows))
        start, stop = np.searchsorted(pixels, [rows.start * n_columns, rows.stop * n_columns])
        if start < stop:
            here = np.divmod(pixels[start:stop] - first * n_columns, n_columns)
            parts.append(frame.part(rows).load().section(here))
    return Section(*(
        None if arrays[0] is None else np.concatenate(arrays)
        for arrays in zip(*parts, strict=True)
    ))
