# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Frames in FITS files, of which only the wanted rows are read."""

import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from inspect import signature
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData, fits_ccddata_reader
from astropy.utils.data import get_readable_fileobj
from astropy.wcs import FITSFixedWarning

from ccdproc_echelle.frames.headers import is_of_master_flat
from ccdproc_echelle.frames.scratch import scratch_folder
from ccdproc_echelle.frames.uncertainties import UNCERTAINTIES
from ccdproc_echelle.frames.views import Frame, MemoryFrame, float_type

__all__ = ["READING_KEYWORDS", "FileFrame", "uncompressed"]

# Keywords of CCDData.read that it does not pass on to astropy.io.fits.open.
_CCDDATA_KEYWORDS = ("format", *islice(signature(fits_ccddata_reader).parameters, 1, None))[:-1]

# Those of astropy.io.fits.open: it names only some of them in its signature. How the file is opened
# and saved is not for users to say, nor that raw integers remain unscaled.
_OPENING_KEYWORDS = (
    *(set(signature(fits.open).parameters) - {"name", "mode", "save_backup", "kwargs"}),
    "character_as_bytes", "checksum", "disable_image_compression", "ignore_blank",
    "ignore_missing_end", "ignore_missing_simple", "output_verify", "uint",
)

# All keywords of CCDData.read; astropy itself lets unknown ones pass in silence.
READING_KEYWORDS = tuple(dict.fromkeys((*_CCDDATA_KEYWORDS, *sorted(_OPENING_KEYWORDS))))

# First bytes of gzip, bzip2 and xz files.
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ")


@dataclass(frozen=True, eq=False)
class FileFrame(Frame):
    """
    A frame in a FITS file, of which only the wanted rows are read.

    Parameters
    ----------
    path : path-like
        The file.
    reading : dict
        Keywords of ``CCDData.read``: ``hdu``, ``unit``, ``hdu_mask``, ``hdu_uncertainty``,
        ``key_uncertainty_type``, and those of `astropy.io.fits.open`.
    name : str, optional
        What messages call it. Default: the path.
    span : tuple of int, optional
        First row, and first row no more, of the part of the image that is meant. Default: all.
    layout : optional
        What an earlier look into the file has found.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    OSError
        If it is not a FITS file.
    ValueError
        If it has no 2-D image there, or no unit is known.
    """

    path: Path
    reading: dict[str, Any]
    name: str = ""
    span: tuple[int, int] | None = None
    layout: "_Layout | None" = None

    def __post_init__(self):
        object.__setattr__(self, "name", self.name or str(self.path))
        if self.layout is None:
            object.__setattr__(self, "layout", self._look())
        self._check()

    def _look(self) -> "_Layout":
        if not self.path.is_file():
            raise FileNotFoundError(f"no such file: {self.path}")
        with _naming(self.name), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="File may have been truncated")
            with self._open() as hdus:
                _check_length(hdus, self.path)
                try:
                    return _layout(hdus, self.path, self.reading)
                except Exception as error:
                    if not is_of_master_flat(hdus[0].header):
                        raise
                    raise ValueError(f"{self.name} is a master flat: {error}") from error

    @property
    def shape(self) -> tuple[int, int]:
        return (len(self._rows), *self.layout.shape[1:])

    @property
    def _rows(self) -> range:
        return range(*(self.span or (0, self.layout.shape[0])))

    @property
    def unit(self) -> u.UnitBase:
        return self.layout.unit

    @property
    def dtype(self) -> np.dtype:
        return self.layout.dtype

    @property
    def uncertainty_type(self) -> type | None:
        return self.layout.uncertainty_type

    @property
    def header(self) -> fits.Header:
        """The primary header, and over it that of the image where this is an extension."""
        with _naming(self.name), self._open() as hdus:
            header = hdus[0].header.copy()
            if self.layout.hdu:
                header.update(hdus[self.layout.hdu].header)
        return header

    def part(self, rows: slice) -> "FileFrame":
        chosen = self._rows[rows]
        return replace(self, span=(chosen.start, chosen.stop))

    def load(self) -> MemoryFrame:
        layout, rows = self.layout, slice(self._rows.start, self._rows.stop)
        with _naming(self.name), self._open() as hdus:
            data = hdus[layout.hdu].section[rows]
            mask = None if layout.mask is None else hdus[layout.mask].section[rows] != 0
            uncertainty = None
            if layout.uncertainty is not None:
                array = hdus[layout.uncertainty].section[rows]
                uncertainty = layout.uncertainty_type(array, copy=False)
        ccd = CCDData(data, unit=layout.unit, mask=mask, uncertainty=uncertainty)
        return MemoryFrame(ccd, self.name, self.dtype)

    @property
    def source(self) -> tuple:
        found = self.path.stat()  # of the file itself, whatever links lead to it
        return found.st_dev, found.st_ino, self.layout.hdu, self.span

    def unpacked(self, path: Path) -> "FileFrame":
        if not _is_compressed(self.path):
            return self
        with _naming(self.name), get_readable_fileobj(self.path, encoding="binary") as packed:
            with path.open("wb") as file:
                shutil.copyfileobj(packed, file)
        return replace(self, path=path)

    def ccddata(self) -> CCDData:
        unit = {} if self.layout.unit_as_stated else {"unit": self.unit}
        # Where the first image is asked for, CCDData passes over tile-compressed ones.
        hdu = {"hdu": self.layout.hdu} if self.layout.tile_compressed else {}
        with _naming(self.name), warnings.catch_warnings():
            # The celestial WCS of a flat is of no interest, nor is what astropy repairs in it.
            warnings.simplefilter("ignore", FITSFixedWarning)
            ccd = CCDData.read(self.path, **{"format": "fits"} | unit | self.reading | hdu)
        if ccd.uncertainty is not None and type(ccd.uncertainty) is not self.uncertainty_type:
            # CCDData knows the names of the classes, but not "var" or "ivar".
            ccd.uncertainty = self.uncertainty_type(ccd.uncertainty.array)
        return ccd

    def _open(self) -> fits.HDUList:
        # Scaled integers (BZERO) cannot be memory-mapped, and sections need no map.
        options = {key: self.reading[key] for key in self.reading if key not in _CCDDATA_KEYWORDS}
        return fits.open(self.path, **{"memmap": False} | options)


@contextmanager
def uncompressed(frames: Sequence[Frame]) -> Iterator[list[Frame]]:
    """
    Context manager: the same frames, compressed files unpacked to a temporary folder.

    Rows in the middle of a compressed file cannot be read without unpacking all before them.
    Tile-compressed FITS (``.fz``) needs no unpacking.

    Parameters
    ----------
    frames : sequence of `Frame`
        The frames.

    Yields
    ------
    list of `Frame`
    """
    with scratch_folder(prefix="ccdproc_echelle_") as folder:
        yield [frame.unpacked(folder / f"{i}.fits") for i, frame in enumerate(frames)]


class _Layout(NamedTuple):
    """Where the parts of a frame are in its file."""

    hdu: int
    mask: str | None
    uncertainty: str | None
    shape: tuple[int, int]
    unit: u.UnitBase
    dtype: np.dtype
    uncertainty_type: type | None
    unit_as_stated: bool
    tile_compressed: bool


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Whatever goes wrong while a file is read, the error names the file."""
    try:
        yield
    except Exception as error:
        if name in str(error):
            raise
        kind = ValueError if isinstance(error, ValueError) else OSError
        raise kind(f"{name} cannot be read: {error}") from error


def _check_length(hdus: fits.HDUList, path: Path) -> None:
    """Refuse a file that ends before its last HDU does; a compressed one fails when it is read."""
    last = hdus[-1].fileinfo()
    found, expected = path.stat().st_size, last["datLoc"] + last["datSpan"]
    if found < expected and not _is_compressed(path):
        raise OSError(f"{path} is truncated: it has {found} bytes, expected {expected}")


def _layout(hdus: fits.HDUList, path: Path, reading: dict) -> _Layout:
    hdu = hdus.index_of(reading.get("hdu", 0))
    if hdu >= len(hdus):
        raise ValueError(f"{path} has no HDU {hdu}, only {len(hdus)}")
    if hdu == 0 and not hdus[0].shape:
        hdu = next((i for i, h in enumerate(hdus) if h.is_image and h.shape), 0)
    if not hdus[hdu].is_image or not hdus[hdu].shape:
        raise ValueError(f"{path} has no image in HDU {reading.get('hdu', 0)!r}")
    header = hdus[hdu].header
    mask = reading.get("hdu_mask", "MASK")
    uncertainty = reading.get("hdu_uncertainty", "UNCERT")
    mask = mask if mask is not None and mask in hdus else None
    uncertainty = uncertainty if uncertainty is not None and uncertainty in hdus else None
    for name in (mask, uncertainty):
        if name is not None and getattr(hdus[name], "shape", ()) != hdus[hdu].shape:
            found = getattr(hdus[name], "shape", "of a table")
            raise ValueError(
                f"{path} has {name} of shape {found}, expected that of the image, {hdus[hdu].shape}"
            )
    return _Layout(
        hdu=hdu,
        mask=mask,
        uncertainty=uncertainty,
        shape=hdus[hdu].shape,
        unit=_unit(header, path, reading.get("unit")),
        dtype=_stored_float_type(hdus[hdu]),
        uncertainty_type=uncertainty and _stored_uncertainty_type(
            hdus[uncertainty].header, path, reading.get("key_uncertainty_type", "UTYPE")
        ),
        unit_as_stated="unit" in reading or _is_unit(header.get("BUNIT")),
        tile_compressed=isinstance(hdus[hdu], fits.CompImageHDU),
    )


def _unit(header: fits.Header, path: Path, unit: Any) -> u.UnitBase:
    unit = header.get("BUNIT") if unit is None else unit
    if unit is None:
        raise ValueError(f"{path} has no BUNIT keyword; give unit=")
    if _is_unit(unit):
        return u.Unit(CCDData.known_invalid_fits_unit_strings.get(unit, unit))
    return u.Unit(unit.lower())  # ADU and ELECTRON are common spellings


def _is_unit(text: Any) -> bool:
    """Whether CCDData.read takes it for a unit."""
    try:
        u.Unit(CCDData.known_invalid_fits_unit_strings.get(text, text))
    except (TypeError, ValueError):
        return False
    return True


def _stored_float_type(hdu: fits.ImageHDU | fits.CompImageHDU) -> np.dtype:
    integers = {8: "u1", 16: "i2"}
    bitpix = hdu.header.get("ZBITPIX", hdu.header["BITPIX"])
    stored = np.dtype(integers.get(bitpix, "f4" if bitpix == -32 else "f8"))
    return float_type(stored, hdu.section)


def _stored_uncertainty_type(header: fits.Header, path: Path, keyword: str) -> type:
    known = dict(zip(("std", "var", "ivar"), UNCERTAINTIES, strict=True))
    known |= {kind.__name__: kind for kind in UNCERTAINTIES}
    kind = header.get(keyword, "std")  # as CCDData.read takes it where it is not said
    if kind not in known:
        raise ValueError(f"{path} has {keyword} = {kind!r}, expected one of {sorted(known)}")
    return known[kind]


def _is_compressed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(6).startswith(_COMPRESSED)
