# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Checksums of FITS files: every HDU that is written has its own, and damage is found by them."""

import os

from astropy.io import fits

__all__ = ["check_sums", "write_fits"]


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
    Refuse a file one of whose HDUs is not what its checksums say; HDUs without them pass.

    Parameters
    ----------
    hdus : `astropy.io.fits.HDUList`
        A file that was just opened, no data of which was looked at.

    Raises
    ------
    ValueError
        If a sum is wrong; the message names the HDU.
    """
    for hdu in hdus:
        if _is_wrong(hdu, "DATASUM"):
            raise ValueError(f"{hdu.name} is damaged: its data do not agree with their DATASUM")
        if _is_wrong(hdu, "CHECKSUM"):
            raise ValueError(
                f"{hdu.name} is damaged, or its header was changed without a new checksum: it "
                "does not agree with its CHECKSUM"
            )


def _is_wrong(hdu, keyword: str) -> bool:
    verify = {"DATASUM": hdu.verify_datasum, "CHECKSUM": hdu.verify_checksum}[keyword]
    try:
        return verify() == 0  # 2 where there is no such card
    except Exception as error:  # a damaged header makes astropy raise anything
        raise ValueError(f"{hdu.name} is damaged: {error}") from error
