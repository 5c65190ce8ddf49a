# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Checksums of FITS files: write them in every HDU, and use them to detect damage."""

import os
from typing import BinaryIO

import numpy as np
from astropy.io import fits
from astropy.utils.data import get_readable_fileobj

__all__ = ["check_sums", "write_fits"]

_ALL_BITS = 0xFFFFFFFF


def write_fits(hdus: fits.HDUList, path: str | os.PathLike) -> None:
    """
    Write a FITS file with ``CHECKSUM`` and ``DATASUM`` in every HDU.

    The comments of these cards do not contain the time, so that identical content gives an
    identical file.

    Parameters
    ----------
    hdus : `astropy.io.fits.HDUList`
        The HDUs to write; the cards are added to their headers.
    path : path-like
        Path of a file that does not exist yet.
    """
    hdus.update_extend()
    for hdu in hdus:
        hdu.add_datasum(when="checksum of the data")
        hdu.add_checksum(when="checksum of the HDU", override_datasum=True)
    hdus.writeto(path)


def check_sums(hdus: fits.HDUList) -> None:
    """
    Raise if an HDU of a file does not match its checksum; HDUs without a checksum are accepted.

    Parameters
    ----------
    hdus : `astropy.io.fits.HDUList`
        An open file.

    Raises
    ------
    ValueError
        If a checksum does not match; the message names the HDU.

    References
    ----------
    FITS Standard 4.0, section 4.4.2.7: the 32-bit words of an HDU with ``CHECKSUM`` add up to zero
    in ones' complement, which means that all bits are set.
    """
    with get_readable_fileobj(hdus.filename(), encoding="binary") as file:
        for number, hdu in enumerate(hdus):
            name = getattr(hdu, "name", "") or f"HDU {number}"
            try:
                damaged = _damaged_part(hdu, file)
            except Exception as error:  # astropy may raise anything on a damaged header
                raise ValueError(f"{name} is damaged: {error}") from error
            if damaged:
                raise ValueError(
                    f"{name} is damaged: its {damaged} does not match its checksum (when changing "
                    "it on purpose, write the file with checksum=True)"
                )


def _damaged_part(hdu, file: BinaryIO) -> str | None:
    """Part of an HDU that does not match its checksum: header or data."""
    place = hdu.fileinfo()
    file.seek(place["hdrLoc"])
    header = _sum(file.read(place["datLoc"] - place["hdrLoc"]))
    data = _sum(file.read(place["datSpan"]))
    if "CHECKSUM" not in hdu.header or _folded(header + data) == _ALL_BITS:
        return None
    return "header" if hdu.header.get("DATASUM") == str(data) else "content"


def _sum(content: bytes) -> int:
    words = np.frombuffer(content[: len(content) // 4 * 4], dtype=">u4")
    return _folded(int(words.sum(dtype=np.uint64)))


def _folded(total: int) -> int:
    """Add any carry beyond 32 bits at the other end."""
    while total > _ALL_BITS:
        total = (total & _ALL_BITS) + (total >> 32)
    return total
