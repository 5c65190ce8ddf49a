# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Read rows of an image in a FITS file from the location found by astropy."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from astropy.io import fits

__all__ = ["StoredImage", "stored_image"]

_STORED = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}


class StoredImage(NamedTuple):
    """
    Location of the pixels of an image in its file.

    Parameters
    ----------
    start : int
        Offset of the first pixel in bytes.
    dtype : dtype
        Type of the stored values.
    width : int
        Number of pixels per row.
    unsigned : bool
        Whether these are unsigned integers, which FITS stores with an offset of half their range.
    """

    start: int
    dtype: np.dtype
    width: int
    unsigned: bool

    def read(self, path: Path, rows: range) -> np.ndarray:
        """
        Read some rows, with the same result as the ``section`` of the HDU.

        Parameters
        ----------
        path : path-like
            The file.
        rows : range
            The rows to read.

        Returns
        -------
        array, shape (n_rows, width)

        Raises
        ------
        OSError
            If the file has been truncated.
        """
        bytes_of_a_row = self.width * self.dtype.itemsize
        start = self.start + rows.start * bytes_of_a_row
        pixels = np.fromfile(path, self.dtype, len(rows) * self.width, offset=start)
        if pixels.size != len(rows) * self.width:
            found, expected = start + pixels.nbytes, start + len(rows) * bytes_of_a_row
            raise OSError(f"the file ends after {found} bytes, expected {expected} or more")
        if self.unsigned:
            native = pixels.view(self.dtype.newbyteorder("="))
            native[...] = pixels  # several times as fast as byteswap, and releases the GIL
            pixels = native.view(f"u{self.dtype.itemsize}")
            pixels ^= 1 << (8 * self.dtype.itemsize - 1)
        return pixels.reshape(len(rows), self.width)


def stored_image(hdu: fits.PrimaryHDU | fits.ImageHDU | fits.CompImageHDU) -> StoredImage | None:
    """
    Find the location of the pixels of an image, if they can be read without any conversion.

    Parameters
    ----------
    hdu : HDU
        HDU of an open file.

    Returns
    -------
    `StoredImage` or None
        None for images that are compressed, scaled, or have ``BLANK`` pixels.
    """
    header = hdu.header
    dtype = np.dtype(_STORED[header["BITPIX"]])
    has_blanks = "BLANK" in header and dtype.kind != "f"  # to which it does not apply
    if isinstance(hdu, fits.CompImageHDU) or has_blanks or header.get("BSCALE", 1) != 1:
        return None
    zero = header.get("BZERO", 0)
    unsigned = dtype.kind == "i" and zero == 1 << (8 * dtype.itemsize - 1)
    if zero != 0 and not unsigned:
        return None
    return StoredImage(hdu.fileinfo()["datLoc"], dtype, hdu.shape[-1], unsigned)
