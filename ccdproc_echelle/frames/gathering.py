# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Read frames a few rows at a time, and gather single pixels from them."""

from collections.abc import Iterator

import numpy as np

from ccdproc_echelle.frames.views import Frame, Section

__all__ = ["gather_pixels", "row_blocks"]

# Large enough to outweigh the cost per block, and small compared with the result.
_PIXELS_AT_ONCE = 1_000_000


def row_blocks(start: int, stop: int, n_columns: int) -> Iterator[slice]:
    """
    Split the rows of a frame into blocks that are read one after the other.

    Parameters
    ----------
    start, stop : int
        First row, and one past the last.
    n_columns : int
        Number of columns of the frame.

    Yields
    ------
    slice
        Rows of a block.

    Examples
    --------
    >>> from ccdproc_echelle.frames.gathering import row_blocks
    >>> list(row_blocks(100, 1000, 2048))
    [slice(100, 588, None), slice(588, 1000, None)]
    """
    step = max(1, _PIXELS_AT_ONCE // n_columns)
    for first in range(start, stop, step):
        yield slice(first, min(first + step, stop))


def gather_pixels(frame: Frame, pixels: np.ndarray) -> Section:
    """
    Gather the values of some pixels of a frame, which is read once and never held in memory.

    Parameters
    ----------
    frame : `Frame`
        The frame.
    pixels : int array, shape (n_pixels,)
        Indices into the flattened image, in ascending order.

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
    for rows in row_blocks(0, n_rows, n_columns):
        start, stop = np.searchsorted(pixels, [rows.start * n_columns, rows.stop * n_columns])
        if start < stop:
            here = np.divmod(pixels[start:stop] - rows.start * n_columns, n_columns)
            parts.append(frame.part(rows).load().section(here))
    return Section(*(
        None if arrays[0] is None else np.concatenate(arrays)
        for arrays in zip(*parts, strict=True)
    ))
