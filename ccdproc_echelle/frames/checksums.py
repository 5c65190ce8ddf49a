# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Checksums of FITS files: write them in every HDU, and use them to detect damage."""

import os
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from astropy.io import fits
from astropy.utils.data import get_readable_fileobj

__all__ = ["check_sums", "has_damaged_data", "write_fits"]

_ALL_BITS = 0xFFFFFFFF

# Number of bytes that are added up at a time: few enough to stay in the cache of the processor.
_PIECE = 1 << 20


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


def has_damaged_data(path: Path) -> bool:
    """
    Whether the data of any HDU do not match their ``DATASUM``; those without one are accepted.

    Unlike ``CHECKSUM``, it remains valid if somebody edits the header.

    Parameters
    ----------
    path : `~pathlib.Path`
        A FITS file that is not compressed as a whole; compressed files have checksums of their own,
        which are verified when they are read.

    Returns
    -------
    bool
    """
    with warnings.catch_warnings(action="ignore"):  # about cards that violate the standard
        with fits.open(path, memmap=False) as hdus, path.open("rb") as file:
            return any(_differs_from_datasum(hdu.fileinfo(), file) for hdu in hdus)


def _differs_from_datasum(place: dict, file: BinaryIO) -> bool:
    # As stored: that of a compressed image in astropy is about its pixels. astropy can leave the
    # compression alone, but version 6.0 then does so in all threads.
    file.seek(place["hdrLoc"])
    stated = str(fits.Header.fromfile(file).get("DATASUM", "")).strip()
    return stated.isdigit() and int(stated) != _sum_of(file, place["datLoc"], place["datSpan"])


def _damaged_part(hdu, file: BinaryIO) -> str | None:
    """Part of an HDU that does not match its checksum: header or data."""
    place = hdu.fileinfo()
    header = _sum_of(file, place["hdrLoc"], place["datLoc"] - place["hdrLoc"])
    data = _sum_of(file, place["datLoc"], place["datSpan"])
    if "CHECKSUM" not in hdu.header or _folded(header + data) == _ALL_BITS:
        return None
    return "header" if hdu.header.get("DATASUM") == str(data) else "content"


def _sum_of(file: BinaryIO, start: int, length: int) -> int:
    file.seek(start)
    pieces = (file.read(min(_PIECE, length - done)) for done in range(0, length, _PIECE))
    return _folded(sum(_sum(piece) for piece in pieces))


def _sum(content: bytes) -> int:
    words = np.frombuffer(content + bytes(-len(content) % 4), dtype=">u4")
    return int(words.sum(dtype=np.uint64))


def _folded(total: int) -> int:
    """Add any carry beyond 32 bits at the other end."""
    while total > _ALL_BITS:
        total = (total & _ALL_BITS) + (total >> 32)
    return total
