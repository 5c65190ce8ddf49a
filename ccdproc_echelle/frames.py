# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""One view on every kind of input frame: file names, CCDData, ImageFileCollection."""

import difflib
import os
import shutil
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.nddata import (
    CCDData,
    InverseVariance,
    StdDevUncertainty,
    VarianceUncertainty,
)
from astropy.utils.data import get_readable_fileobj
from astropy.utils.exceptions import AstropyUserWarning
from astropy.wcs import FITSFixedWarning
from ccdproc import ImageFileCollection

__all__ = [
    "READING_KEYWORDS",
    "FileFrame",
    "Frame",
    "MemoryFrame",
    "Section",
    "check_alike",
    "check_keywords",
    "inverse_variance_weights",
    "list_frames",
    "open_frames",
    "standard_deviation",
    "uncertainty_array",
    "uncompressed",
    "variance_array",
    "warn_of_bare",
]

# Keywords of CCDData.read that it does not pass on to astropy.io.fits.open.
_CCDDATA_KEYWORDS = (
    "hdu", "unit", "hdu_uncertainty", "hdu_mask", "hdu_flags", "key_uncertainty_type",
    "hdu_psf", "format",
)

# All keywords of CCDData.read; astropy itself lets unknown ones pass in silence.
READING_KEYWORDS = (
    *_CCDDATA_KEYWORDS,
    "memmap", "lazy_load_hdus", "ignore_missing_simple", "ignore_missing_end", "ignore_blank",
    "uint", "character_as_bytes", "disable_image_compression", "output_verify", "checksum",
)

# First bytes of gzip, bzip2 and xz files.
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ")

_UNCERTAINTIES = (StdDevUncertainty, VarianceUncertainty, InverseVariance)


class Section(NamedTuple):
    """
    Some rows of a frame, or some of its pixels.

    Attributes
    ----------
    data : float array
        Pixel values in the frame's unit.
    good : bool array
        False where the pixel is masked or its value or variance is not finite.
    variance : float array or None
        Variances in the frame's squared unit; `None` for frames without uncertainty.
    """

    data: np.ndarray
    good: np.ndarray
    variance: np.ndarray | None


class Frame(ABC):
    """
    A frame of which any rows can be had.

    Attributes
    ----------
    name : str
        What messages call it: the file name, or its place in the list.
    shape : tuple of int
        Rows and columns.
    unit : `~astropy.units.Unit`
        Unit of the data.
    dtype : `numpy.dtype`
        Floating-point type that holds the data without loss: float32 or float64.
    uncertainty_type : type or None
        Class of its uncertainty.
    """

    name: str
    shape: tuple[int, int]
    unit: u.UnitBase
    dtype: np.dtype
    uncertainty_type: type | None

    @abstractmethod
    def part(self, rows: slice) -> "Frame":
        """
        Some rows of the frame as a frame; nothing is read or copied.

        Parameters
        ----------
        rows : slice
            Which rows.

        Returns
        -------
        `Frame`
            Small when sent to another process.
        """

    @abstractmethod
    def load(self) -> "MemoryFrame":
        """
        The frame in memory.

        Returns
        -------
        `MemoryFrame`

        Raises
        ------
        OSError
            If the file cannot be read to the end.
        """

    @abstractmethod
    def ccddata(self) -> CCDData:
        """
        The whole frame.

        Returns
        -------
        `~astropy.nddata.CCDData`
        """

    def _check(self) -> None:
        if len(self.shape) != 2 or min(self.shape) < 1:
            raise ValueError(f"{self.name} has shape {self.shape}, expected a 2-D image")


@dataclass(frozen=True, eq=False)
class MemoryFrame(Frame):
    """
    A frame in memory, which is not copied.

    Parameters
    ----------
    ccd : `~astropy.nddata.CCDData`
        The frame.
    name : str
        What messages call it.

    Raises
    ------
    ValueError
        If it is not a 2-D image of real numbers, mask or uncertainty do not fit to it, or the
        uncertainty is of an unknown type.
    """

    ccd: CCDData
    name: str

    def __post_init__(self):
        self._check()
        if self.ccd.data.dtype.kind not in "fiub":
            raise ValueError(f"{self.name} holds {self.ccd.data.dtype}, expected real numbers")
        for part in ("mask", "uncertainty"):
            value = getattr(self.ccd, part)
            shape = np.shape(value.array if part == "uncertainty" and value is not None else value)
            expected = (self.shape,) if part == "uncertainty" else ((), self.shape)
            if value is not None and shape not in expected:
                raise ValueError(f"{part} of {self.name} has shape {shape}, expected {self.shape}")
        kind = self.uncertainty_type
        if kind is not None and not issubclass(kind, _UNCERTAINTIES):
            raise ValueError(
                f"{self.name} has uncertainties of type {kind.__name__}; expected one of "
                f"{[known.__name__ for known in _UNCERTAINTIES]}"
            )

    @property
    def shape(self) -> tuple[int, int]:
        return self.ccd.data.shape

    @property
    def unit(self) -> u.UnitBase:
        return self.ccd.unit

    @property
    def dtype(self) -> np.dtype:
        return _float_type(self.ccd.data.dtype)

    @property
    def uncertainty_type(self) -> type | None:
        return None if self.ccd.uncertainty is None else type(self.ccd.uncertainty)

    def part(self, rows: slice) -> "MemoryFrame":
        mask, uncertainty = self.ccd.mask, self.ccd.uncertainty
        if mask is not None and np.ndim(mask):
            mask = mask[rows]
        if uncertainty is not None:
            kind, unit = type(uncertainty), uncertainty.unit
            uncertainty = kind(uncertainty.array[rows], unit=unit, copy=False)
        part = CCDData(self.ccd.data[rows], unit=self.unit, mask=mask, uncertainty=uncertainty)
        return MemoryFrame(part, self.name)

    def load(self) -> "MemoryFrame":
        return self

    def section(self, where: slice | tuple[np.ndarray, np.ndarray]) -> Section:
        """
        The values of some pixels and what they are worth.

        Parameters
        ----------
        where : slice or tuple of array
            Rows, or the indices of single pixels.

        Returns
        -------
        `Section`

        Raises
        ------
        ValueError
            If an uncertainty is negative.
        """
        ccd = self.ccd
        data = np.asarray(ccd.data[where], dtype=self.dtype)
        good = np.isfinite(data)
        if ccd.mask is not None:
            good &= ~np.asarray(ccd.mask[where] if np.ndim(ccd.mask) else ccd.mask, dtype=bool)
        if ccd.uncertainty is None:
            return Section(data, good, None)
        variance = self._variance(np.asarray(ccd.uncertainty.array[where], dtype=self.dtype))
        good &= np.isfinite(variance)
        return Section(data, good, variance)

    def _variance(self, uncertainty: np.ndarray) -> np.ndarray:
        if uncertainty.size and np.fmin.reduce(uncertainty, axis=None) < 0:
            found = np.nanmin(uncertainty)
            raise ValueError(f"{self.name} has a negative uncertainty, {found}; expected >= 0")
        variance = variance_array(uncertainty, self.uncertainty_type)
        return variance if self._unit_factor == 1 else variance * self._unit_factor

    @cached_property
    def _unit_factor(self) -> np.floating:
        """From the unit of the variances to the squared unit of the frame."""
        unit, kind = self.ccd.uncertainty.unit, self.uncertainty_type
        if unit is None:
            return self.dtype.type(1)
        if issubclass(kind, StdDevUncertainty):
            unit = unit**2
        elif issubclass(kind, InverseVariance):
            unit = 1 / unit
        return self.dtype.type(unit.to(self.unit**2))

    def ccddata(self) -> CCDData:
        return self.ccd


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
                return _layout(hdus, self.path, self.reading)

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
        return MemoryFrame(ccd, self.name)

    def ccddata(self) -> CCDData:
        unit = {} if self.layout.unit_as_stated else {"unit": self.unit}
        # Where the first image is asked for, CCDData passes over tile-compressed ones.
        hdu = {"hdu": self.layout.hdu} if self.layout.tile_compressed else {}
        with _naming(self.name), warnings.catch_warnings():
            # The celestial WCS of a flat is of no interest, still less what was mended in it.
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


def open_frames(img_list: Any, **reading: Any) -> list[Frame]:
    """
    Frames from whatever `ccdproc.combine` accepts.

    Parameters
    ----------
    img_list : list, str, `numpy.ndarray` or `ccdproc.ImageFileCollection`
        File names, `~astropy.nddata.CCDData` objects or frames that are opened already; a
        string may hold several file names separated by commas.
    **reading
        Keywords of ``CCDData.read``.

    Returns
    -------
    list of `Frame`

    Raises
    ------
    ValueError
        If there is no frame, or frames differ in shape or unit.
    TypeError
        If an item is neither a file name nor a CCDData, or a keyword is unknown.
    FileNotFoundError, OSError
        If a file is missing or not a readable FITS file.
    """
    frames = list_frames(img_list, **reading)
    check_alike(frames)
    return frames


def list_frames(img_list: Any, **reading: Any) -> list[Frame]:
    """
    `open_frames` for frames that may differ in shape and unit.

    Parameters
    ----------
    img_list, **reading
        As for `open_frames`.

    Returns
    -------
    list of `Frame`

    Raises
    ------
    ValueError, TypeError, OSError
        As `open_frames`.
    """
    check_keywords(reading, READING_KEYWORDS)
    frames = [
        item if isinstance(item, Frame) else
        MemoryFrame(item, f"frame {i}") if isinstance(item, CCDData) else
        FileFrame(_as_path(item), reading)
        for i, item in enumerate(_listed(img_list))
    ]
    if not frames:
        raise ValueError("img_list holds no frames")
    return frames


def check_alike(frames: Sequence[Frame]) -> None:
    """
    Raise unless frames are alike in shape and unit.

    Parameters
    ----------
    frames : sequence of `Frame`
        The frames.

    Raises
    ------
    ValueError
        If they are not.
    """
    first = frames[0]
    for frame in frames[1:]:
        for quality in ("shape", "unit"):
            found, expected = getattr(frame, quality), getattr(first, quality)
            if found != expected:
                raise ValueError(
                    f"{frame.name} has {quality} {found}, but {first.name} has {expected}"
                )


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
    with TemporaryDirectory(prefix="ccdproc_echelle_") as folder:
        yield [
            _unpacked(frame, Path(folder) / f"{i}.fits")
            if isinstance(frame, FileFrame) and _is_compressed(frame.path)
            else frame
            for i, frame in enumerate(frames)
        ]


def check_keywords(names: Iterable[str], known: Sequence[str]) -> None:
    """
    Refuse unknown keywords, which ccdproc and astropy let pass in silence.

    Parameters
    ----------
    names : iterable of str
        Names of keywords.
    known : sequence of str
        The names that may occur.

    Raises
    ------
    TypeError
        If a keyword is unknown; the message names the one that is most like it.

    Examples
    --------
    >>> from ccdproc_echelle.frames import READING_KEYWORDS, check_keywords
    >>> check_keywords(["hdu_mark"], READING_KEYWORDS)
    Traceback (most recent call last):
    ...
    TypeError: unknown keyword 'hdu_mark'; did you mean 'hdu_mask'?
    """
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"unknown keyword {name!r}{hint}")


def variance_array(array: np.ndarray, uncertainty_type: type) -> np.ndarray:
    """
    The variances that an uncertainty of this type means by its array.

    Parameters
    ----------
    array : array
        Standard deviations, variances or inverse variances.
    uncertainty_type : type
        `~astropy.nddata.StdDevUncertainty`, `~astropy.nddata.VarianceUncertainty` or
        `~astropy.nddata.InverseVariance`.

    Returns
    -------
    array
        Variances.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.nddata import InverseVariance
    >>> from ccdproc_echelle.frames import variance_array
    >>> variance_array(np.array([0.25]), InverseVariance)
    array([4.])
    """
    if issubclass(uncertainty_type, StdDevUncertainty):
        return array**2
    if issubclass(uncertainty_type, InverseVariance):
        with np.errstate(divide="ignore", over="ignore"):
            return 1 / array
    return array


def warn_of_bare(frames: Sequence[Frame], kind: str) -> None:
    """
    Warn if some frames have an uncertainty and others do not, so that none can be used.

    Parameters
    ----------
    frames : sequence of `Frame`
        The frames.
    kind : str
        What messages call them, in the plural.
    """
    bare = [frame.name for frame in frames if frame.uncertainty_type is None]
    if 0 < len(bare) < len(frames):
        warnings.warn(
            f"no uncertainty in {', '.join(bare)}: those of the other {kind} are not used",
            AstropyUserWarning,
            stacklevel=4,
        )


def standard_deviation(ccd: CCDData, name: str) -> np.ndarray | None:
    """
    The uncertainty of a frame as a standard deviation.

    Parameters
    ----------
    ccd : `~astropy.nddata.CCDData`
        The frame.
    name : str
        What messages call it.

    Returns
    -------
    array, shape (rows, columns), or None
        `None` where the frame has no uncertainty.

    Raises
    ------
    TypeError
        If the uncertainty is of an unknown type.
    """
    if ccd.uncertainty is None:
        return None
    try:
        return ccd.uncertainty.represent_as(StdDevUncertainty).array
    except TypeError as error:
        raise TypeError(
            f"the uncertainty of {name} is of type {type(ccd.uncertainty).__name__}, "
            "expected one that converts to a standard deviation"
        ) from error


def uncertainty_array(variance: np.ndarray, uncertainty_type: type) -> np.ndarray:
    """
    The array that an uncertainty of this type holds for these variances.

    Parameters
    ----------
    variance : array
        Variances.
    uncertainty_type : type
        `~astropy.nddata.StdDevUncertainty`, `~astropy.nddata.VarianceUncertainty` or
        `~astropy.nddata.InverseVariance`.

    Returns
    -------
    array
        Standard deviations, variances or inverse variances.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.nddata import InverseVariance
    >>> from ccdproc_echelle.frames import uncertainty_array
    >>> uncertainty_array(np.array([4.0]), InverseVariance)
    array([0.25])
    """
    if issubclass(uncertainty_type, StdDevUncertainty):
        return np.sqrt(variance)
    if issubclass(uncertainty_type, InverseVariance):
        with np.errstate(divide="ignore"):
            return 1 / variance
    return variance


def inverse_variance_weights(
    frames: Sequence[Frame], variances: np.ndarray, good: np.ndarray
) -> np.ndarray:
    """
    One over the variance of each good value, 0 for the others.

    Parameters
    ----------
    frames : sequence of `Frame`
        Whose values these are.
    variances : float array, shape (n_frames, n_pixels)
        Variances of the values.
    good : bool array, shape (n_frames, n_pixels)
        The values that count.

    Returns
    -------
    float array, shape (n_frames, n_pixels)

    Raises
    ------
    ValueError
        If a good value has no uncertainty at all, whose weight would be infinite.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = np.where(good, 1 / variances, 0)
    for frame, infinite in zip(frames, np.isinf(weights).any(axis=1), strict=True):
        if infinite:
            raise ValueError(
                f"weights is 'inverse_variance', but {frame.name} has a pixel of uncertainty 0 "
                "that is not masked; expected > 0"
            )
    return weights


# ---------------------------------------------------------------------- input lists


def _listed(img_list: Any) -> list:
    if isinstance(img_list, ImageFileCollection):
        return list(img_list.files_filtered(include_path=True))
    if isinstance(img_list, str):
        return [name.strip() for name in img_list.split(",") if name.strip()]
    if isinstance(img_list, (CCDData, os.PathLike)):
        return [img_list]
    if isinstance(img_list, Iterable):
        return list(img_list)
    raise TypeError(
        f"img_list is a {type(img_list).__name__}; expected file names, CCDData objects or an "
        "ImageFileCollection"
    )


def _as_path(item: Any) -> Path:
    if isinstance(item, (str, os.PathLike)):
        return Path(item)
    raise TypeError(
        f"img_list holds a {type(item).__name__}; expected file names or CCDData objects"
    )


# ---------------------------------------------------------------------- number types


def _float_type(dtype: np.dtype) -> np.dtype:
    """Single precision holds 16-bit integers exactly; whatever needs more gets double."""
    return np.dtype("f4") if np.can_cast(dtype, np.float32) else np.dtype("f8")


# ---------------------------------------------------------------------- FITS files



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


def _unpacked(frame: FileFrame, path: Path) -> FileFrame:
    with _naming(frame.name), get_readable_fileobj(frame.path, encoding="binary") as packed:
        with path.open("wb") as file:
            shutil.copyfileobj(packed, file)
    return replace(frame, path=path)


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
        dtype=_stored_float_type(header),
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


def _stored_float_type(header: fits.Header) -> np.dtype:
    integers = {8: "u1", 16: "i2"}
    bitpix = header.get("ZBITPIX", header["BITPIX"])
    stored = np.dtype(integers.get(bitpix, "f4" if bitpix == -32 else "f8"))
    return _float_type(stored)


def _stored_uncertainty_type(header: fits.Header, path: Path, keyword: str) -> type:
    known = dict(zip(("std", "var", "ivar"), _UNCERTAINTIES, strict=True))
    known |= {kind.__name__: kind for kind in _UNCERTAINTIES}
    kind = header.get(keyword, "std")  # as CCDData.read takes it where it is not said
    if kind not in known:
        raise ValueError(f"{path} has {keyword} = {kind!r}, expected one of {sorted(known)}")
    return known[kind]


def _is_compressed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(6).startswith(_COMPRESSED)
