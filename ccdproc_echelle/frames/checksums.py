# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Checksums of FITS files: every HDU that is written has its own, and damage is found by them."""

import os
from typing import BinaryIO

import numpy as np
from astropy.io import fits
from astropy.utils.data import get_readable_fileobj

__all__ = ["check_sums", "write_fits"]

_ALL_BITS = 0xFFFFFFFF


def write_fits(hdus: fits.HDUList, path: str | os.PathLike) -> None:
    """
    Write a FITS file of which every HDU has a ``CHECKSUM`` and a ``DATASUM`` of its own.

    The comments of these cards do not tell the time, so that the same content is the same file.

    Parameters
    ----------
    hdus : `astropy.io.fits.HDUList`
        What to write; the cards are added to its headers.
    path : path-like
        A file that does not exist.
    """
    hdus.update_extend()
    for hdu in hdus:
        hdu.add_datasum(when="checksum of the data")
        hdu.add_checksum(when="checksum of the HDU", override_datasum=True)
    hdus.writeto(path)


def check_sums(hdus: fits.HDUList) -> None:
    """
    Refuse a file one of whose HDUs is not what its checksum says; HDUs without one pass.

    Parameters
    ----------
    hdus : `astropy.io.fits.HDUList`
        A file that is open.

    Raises
    ------
    ValueError
        If a sum is wrong; the message names the HDU.

    References
    ----------
    FITS Standard 4.0, section 4.4.2.7: the 32-bit words of an HDU with ``CHECKSUM`` add up to
    zero in ones' complement, which is to say that all bits are set.
    """
    with get_readable_fileobj(hdus.filename(), encoding="binary") as file:
        for number, hdu in enumerate(hdus):
            name = getattr(hdu, "name", "") or f"HDU {number}"
            try:
                damaged = _damaged_part(hdu, file)
            except Exception as error:  # a damaged header makes astropy raise anything
                raise ValueError(f"{name} is damaged: {error}") from error
            if damaged:
                raise ValueError(
                    f"{name} is damaged: its {damaged} is not that of its checksum (whoever "
                    "changes it on purpose writes the file with checksum=True)"
                )


def _damaged_part(hdu, file: BinaryIO) -> str | None:
    """Which part of an HDU does not agree with its checksum: header or data."""
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
    """What is carried beyond 32 bits is added at the other end."""
    while total > _ALL_BITS:
        total = (total & _ALL_BITS) + (total >> 32)
    return total
