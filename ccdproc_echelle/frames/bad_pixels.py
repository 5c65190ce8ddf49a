# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Known bad pixels of a detector: read them, and mask them in frames."""

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.nddata import CCDData

from ccdproc_echelle._warnings import warn
from ccdproc_echelle.frames.amplifiers import warn_of_other_images
from ccdproc_echelle.frames.calibrated import Plane
from ccdproc_echelle.frames.derived import DerivedFrame
from ccdproc_echelle.frames.files import FileFrame
from ccdproc_echelle.frames.paths import user_path
from ccdproc_echelle.frames.raw import RawFrame
from ccdproc_echelle.frames.views import Frame, MemoryFrame, Section

__all__ = ["MaskedFrame", "known_bad_pixels", "without_known_bad"]

_KEYWORD = "bad_pixel_mask"

# Extensions that CCDData writes in addition to an image.
_OF_CCDDATA = ("MASK", "UNCERT")

# Maximum fraction of bad pixels; a larger one suggests a map in which 1 is good.
_SUSPICIOUS = 0.5


@dataclass(frozen=True, eq=False)
class MaskedFrame(DerivedFrame):
    """
    A frame with known bad pixels; its values are not changed.

    Parameters
    ----------
    raw : `Frame`
        The frame.
    bad : `Plane`
        Plane whose data are True for bad pixels.
    """

    bad: Plane

    def part(self, rows: slice) -> "MaskedFrame":
        return MaskedFrame(self.raw.part(rows), self.bad.part(rows))

    def section(self, where: slice | tuple) -> Section:
        section = self.raw.section(where)
        return section._replace(good=section.good & ~self.bad.data[where])

    def ccddata(self) -> CCDData:
        ccd = self.raw.ccddata().copy()
        ccd.mask = self.bad.data.copy() if ccd.mask is None else ccd.mask | self.bad.data
        return ccd


def known_bad_pixels(
    bad_pixel_mask: Any, frames: Sequence[Frame], *, hdu: Any = 0
) -> np.ndarray | None:
    """
    Read the known bad pixels of frames.

    Parameters
    ----------
    bad_pixel_mask : array, `~astropy.nddata.CCDData`, path-like or None
        Non-zero or masked pixels are bad. If a FITS file has several images, the one in ``hdu`` is
        used.
    frames : sequence of `Frame`
        The frames, all of the same shape.
    hdu : int, str or tuple, optional
        The HDU that contains the frames in their files.

    Returns
    -------
    bool array, shape (rows, columns), or None
        True is bad; `None` if no mask was given.

    Raises
    ------
    TypeError
        If ``bad_pixel_mask`` is none of these types.
    ValueError
        If its shape differs from that of the frames, trimmed or not, or it marks every pixel as
        bad.
    FileNotFoundError, OSError
        If the file does not exist or is not a FITS file.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If none, or more than half, of the pixels are bad, or if the file has several images and
        ``hdu`` does not select one.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.nddata import CCDData
    >>> from ccdproc_echelle.frames import known_bad_pixels, open_frames
    >>> frames = open_frames([CCDData(np.ones((2, 3)), unit="adu")])
    >>> known_bad_pixels([[0, 1, 0], [0, 0, 0]], frames)
    array([[False,  True, False],
           [False, False, False]])
    """
    if bad_pixel_mask is None:
        return None
    mask = _opened(bad_pixel_mask, 0 if isinstance(hdu, list) else hdu)
    warn_of_other_images(mask)
    kept = _kept_part(mask, frames[0])
    section = mask.load().section(slice(None))
    bad = ((section.data != 0) | ~section.good)[kept]
    if bad.all():
        raise ValueError(f"{mask.name} marks every pixel as bad, expected 0 or False for good ones")
    if not bad.any():
        warn(f"{mask.name} marks no pixel as bad: is it the right image in the file?")
    if bad.mean() > _SUSPICIOUS:
        warn(
            f"{mask.name} marks {bad.mean():.0%} of the pixels as bad: is it inverted? True, or "
            "any number except 0, is bad"
        )
    return bad


def without_known_bad(frames: Sequence[Frame], bad: np.ndarray | None) -> list[Frame]:
    """
    Mask known bad pixels in frames.

    Parameters
    ----------
    frames : sequence of `Frame`
        The frames.
    bad : bool array, shape (rows, columns), or None
        True for bad pixels, as returned by `known_bad_pixels`.

    Returns
    -------
    list of `Frame`

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.nddata import CCDData
    >>> from ccdproc_echelle.frames import open_frames, without_known_bad
    >>> frames = open_frames([CCDData(np.ones((1, 3)), unit="adu")])
    >>> frame, = without_known_bad(frames, np.array([[False, True, False]]))
    >>> frame.load().section(slice(None)).good
    array([[ True, False,  True]])
    """
    if bad is None:
        return list(frames)
    plane = Plane(bad)  # common to all frames, and sent to other processes only once
    return [MaskedFrame(frame, plane) for frame in frames]


def _opened(given: Any, hdu: Any) -> Frame:
    if isinstance(given, (str, os.PathLike)):
        path = user_path(given)
        return FileFrame(path, {"unit": "", "hdu": _image_of(path, hdu)}, f"{_KEYWORD} {path}")
    if not isinstance(given, CCDData):
        array = np.ma.filled(given, 1) if np.ma.isMaskedArray(given) else np.asarray(given)
        if array.dtype.kind not in "fiub":
            raise TypeError(
                f"{_KEYWORD} is a {type(given).__name__}, expected an array of numbers, a CCDData "
                "object or the name of a FITS file"
            )
        given = CCDData(array, unit="")
    return MemoryFrame(given, _KEYWORD)


def _image_of(path: Path, hdu: Any) -> Any:
    """HDU of the mask in its file: the same as for the frames, if there is a choice."""
    try:
        with warnings.catch_warnings(action="ignore"), fits.open(path) as hdus:
            images = [
                i for i, one in enumerate(hdus)
                if one.is_image and one.shape and one.name not in _OF_CCDDATA
            ]
    except OSError:
        return hdu  # reading the file will give a better error message
    return images[0] if len(images) == 1 else hdu


def _kept_part(mask: Frame, frame: Frame) -> tuple[slice, slice]:
    """Part of a mask that matches the trimmed frames, if the mask is not trimmed yet."""
    if mask.shape == frame.shape:
        return slice(None), slice(None)
    if isinstance(frame, RawFrame) and mask.shape == frame.full_shape:
        return tuple(frame.light)
    untrimmed = frame.full_shape if isinstance(frame, RawFrame) else frame.shape
    whole = f" or, untrimmed, {untrimmed}" if untrimmed != frame.shape else ""
    raise ValueError(
        f"{mask.name} has shape {mask.shape}, expected that of {frame.name}, {frame.shape}{whole}"
    )
