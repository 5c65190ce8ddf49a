# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Frames in FITS files, of which only the required rows are read."""

import re
import shutil
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, partial
from inspect import signature
from io import BytesIO
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import IO, Any, NamedTuple

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData, UnknownUncertainty, fits_ccddata_reader
from astropy.utils.data import get_readable_fileobj

from ccdproc_echelle._words import did_you_mean
from ccdproc_echelle.frames.headers import is_of_master_flat
from ccdproc_echelle.frames.legal import legal_header
from ccdproc_echelle.frames.scratch import scratch_folder
from ccdproc_echelle.frames.stored import StoredImage, stored_image
from ccdproc_echelle.frames.uncertainties import UNCERTAINTIES
from ccdproc_echelle.frames.views import Frame, MemoryFrame, Metadata, float_type

__all__ = ["READING_KEYWORDS", "FileFrame", "is_compressed", "may_be_fits", "uncompressed"]

# Keywords of CCDData.read that are not passed on to astropy.io.fits.open.
_CCDDATA_KEYWORDS = ("format", *islice(signature(fits_ccddata_reader).parameters, 1, None))[:-1]

# Keywords of astropy.io.fits.open, of which only some are in its signature. How the file is opened
# and saved, and whether raw integers remain unscaled, is not up to the user.
_OPENING_KEYWORDS = (
    *(set(signature(fits.open).parameters) - {"name", "mode", "save_backup", "kwargs"}),
    "character_as_bytes", "checksum", "disable_image_compression", "ignore_blank",
    "ignore_missing_end", "ignore_missing_simple", "output_verify", "uint",
)

# All keywords of CCDData.read; astropy itself silently ignores unknown ones.
READING_KEYWORDS = tuple(dict.fromkeys((*_CCDDATA_KEYWORDS, *sorted(_OPENING_KEYWORDS))))

# FITS files consist of blocks of this many bytes.
_FITS_BLOCK = 2880

# Warnings that astropy issues for each file it opens; this package issues its own, once for all
# files, or none for a BLANK of numbers that need none.
_SAID_BETTER = (
    "File may have been truncated", "The following header keyword is invalid",
    "non-ASCII characters are present in the FITS file header", "Invalid 'BLANK' keyword",
)

# Spellings of units that neither astropy nor CCDData knows.
_SPELLINGS = {
    "counts": u.count, "COUNTS": u.count, "Counts": u.count,
    "e-": u.electron, "e-/s": u.electron / u.s,
}

# HCOMPRESS is decompressed with a global state: two threads would get each other's pixels.
_HCOMPRESS = Lock()

# Cards that no longer apply to pixels that were unpacked.
_OF_STORAGE = ("BSCALE", "BZERO", "BLANK", "CHECKSUM", "DATASUM")

# Number of characters of a card.
_CARD = 80

# First bytes of ZIP archives, and of all compressed files: gzip, bzip2, xz and these.
_ZIP = b"PK\x03\x04"
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", _ZIP)


@dataclass(frozen=True, eq=False)
class FileFrame(Frame):
    """
    A `Frame` in a FITS file, of which only the required rows are read.

    Parameters
    ----------
    path : path-like
        The file.
    reading : dict
        Keywords of ``CCDData.read``: ``hdu``, ``unit``, ``hdu_mask``, ``hdu_uncertainty``,
        ``key_uncertainty_type``, and those of `astropy.io.fits.open`.
    name : str, optional
        Name used in messages. Default: the path.
    span : tuple of int, optional
        First row, and one past the last row, of the part of the image to use. Default: all rows.
    layout : object, optional
        Information about the file, if it has been opened before.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    OSError
        If the file is not a FITS file.
    ValueError
        If the HDU has no 2-D image (or cube of one plane), or its ``BUNIT`` is not a valid unit and
        none is given. Without ``BUNIT`` the unit is adu.
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
            kind = "not a regular file" if self.path.exists() else "no such file"
            raise FileNotFoundError(f"{kind}: {self.path}")
        with _naming(self.name), _without_chatter(), self._open() as hdus:
            lacks_padding = _check_length(hdus, self.path)
            try:
                layout = _layout(hdus, self.path, self.reading, lacks_padding)
            except Exception as error:
                if not is_of_master_flat(hdus[0].header):
                    raise
                raise ValueError(f"{self.name} is a master flat: {error}") from error
            # The header is needed next, and must not require opening the file again.
            self.__dict__["_legal_header"] = _legal_header(hdus, layout.hdu, self.path)
            return layout

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
        """Header of the image, including inherited cards of the primary header, made legal."""
        return self._legal_header[0]

    @property
    def illegal_cards(self) -> list[str]:
        return self._legal_header[1]

    @cached_property
    def _legal_header(self) -> tuple[fits.Header, list[str]]:
        with _naming(self.name), self._open() as hdus:
            return _legal_header(hdus, self.layout.hdu, self.path)

    def __getstate__(self) -> dict:
        """Other processes do not need the header to read pixels."""
        return {key: value for key, value in vars(self).items() if key != "_legal_header"}

    @property
    def quantum(self) -> float:
        return self.layout.quantum

    def images(self) -> dict[int, fits.Header]:
        """
        Headers of all 2-D images in the file.

        Returns
        -------
        dict
            Headers by HDU number.
        """
        with _naming(self.name), _without_chatter(), self._open() as hdus:
            return {
                i: h.header for i, h in enumerate(hdus)
                if h.is_image and len(_without_single_planes(h.shape)) == 2
            }

    def part(self, rows: slice) -> "FileFrame":
        chosen = self._rows[rows]
        return replace(self, span=(chosen.start, chosen.stop))

    def load(self) -> MemoryFrame:
        return self.load_together([self])[0]

    @staticmethod
    def load_together(frames: Sequence["FileFrame"]) -> list[MemoryFrame]:
        """
        Load frames of the same file into memory, opening the file at most once.

        Parameters
        ----------
        frames : sequence of `FileFrame`
            Extensions of the same file.

        Returns
        -------
        list of `MemoryFrame`

        Raises
        ------
        OSError
            If the file cannot be read to the end.
        """
        if len({frame.path for frame in frames}) > 1:  # each was unpacked to a file of its own
            return [frame.load() for frame in frames]
        with _naming(frames[0].name):
            if all(frame.layout.stored for frame in frames) and not is_compressed(frames[0].path):
                return [frame._read(frame._stored_rows) for frame in frames]
            with frames[0]._open() as hdus:
                return [frame._read(partial(frame._section, hdus)) for frame in frames]

    def _stored_rows(self, hdu: int | str) -> np.ndarray:
        return self.layout.stored[hdu].read(self.path, self._rows)

    def _section(self, hdus: fits.HDUList, hdu: int | str) -> np.ndarray:
        serial = getattr(hdus[hdu], "compression_type", None) == "HCOMPRESS_1"
        rows = slice(self._rows.start, self._rows.stop)
        planes = (0,) * (len(hdus[hdu].shape) - len(self.layout.shape))
        with _HCOMPRESS if serial else nullcontext():
            return hdus[hdu].section[(*planes, rows)]

    def _read(self, rows_of: Callable[[int | str], np.ndarray]) -> MemoryFrame:
        layout = self.layout
        data = rows_of(layout.hdu)
        mask = None if layout.mask is None else rows_of(layout.mask) != 0
        uncertainty = None
        if layout.uncertainty_type is not None:
            array = rows_of(layout.uncertainty)
            uncertainty = layout.uncertainty_type(array, copy=False)
        ccd = CCDData(data, unit=layout.unit, mask=mask, uncertainty=uncertainty)
        return MemoryFrame(ccd, self.name, self.dtype)

    @property
    def file(self) -> str:
        return self.name  # that of the compressed file, too, if this one is unpacked

    @property
    def source(self) -> tuple:
        found = self.path.stat()  # of the file itself, even if it is reached by links
        return found.st_dev, found.st_ino, self.layout.hdu, self.span

    def without_uncertainty(self) -> "FileFrame":
        return replace(self, layout=self.layout._replace(uncertainty=None, uncertainty_type=None))

    def unpacked(self, path: Path) -> "FileFrame":
        frame = self
        if is_compressed(self.path):
            with _naming(self.name), _decompressed(self.path) as packed:
                if not path.exists():  # it may, if another extension of the file is needed
                    with path.open("wb") as file:
                        shutil.copyfileobj(packed, file)
            frame = replace(self, path=path)
        if not self.layout.tiled:
            return frame
        return frame._without_tiles(path.with_stem(f"{path.stem}_{self.layout.hdu}"))

    def _without_tiles(self, path: Path) -> "FileFrame":
        """The frame in a file of its own, in which its images are not tile-compressed."""
        layout = self.layout
        parts = [name for name in (layout.hdu, layout.mask, layout.uncertainty) if name is not None]
        if not path.exists():
            with _naming(self.name), _without_chatter(), self._open() as hdus:
                images = [fits.ImageHDU(self._section(hdus, part)) for part in parts]
            images[0].header.extend(_without_storage(self.header), unique=True)
            fits.HDUList([fits.PrimaryHDU(), *images]).writeto(path)
        places = dict(zip(parts, range(1, 4), strict=False))
        layout = layout._replace(
            hdu=1, mask=places.get(layout.mask), uncertainty=places.get(layout.uncertainty)
        )
        with fits.open(path) as hdus:
            layout = layout._replace(stored=_stored_images(hdus, *places.values()))
        return replace(self, path=path, layout=layout)

    def ccddata(self) -> CCDData:
        ccd = self.load().ccddata()
        ccd.header, ccd.wcs, ccd.psf, ccd.flags, _ = self.metadata()
        return ccd

    def metadata(self) -> Metadata:
        # CCDData only removes the WCS from a header when it reads a file.
        with _naming(self.name), warnings.catch_warnings():
            # The celestial WCS of a flat is irrelevant, and so are astropy's repairs of it.
            warnings.simplefilter("ignore")
            # A single pixel stands for the image, which would be read as well.
            image = fits.PrimaryHDU(np.zeros((1, 1), dtype=np.uint8), self.header)
            stated = image.header.get("BUNIT")
            # astropy 6.0 reports any unit given in addition, even an identical one; no version
            # reads a card without a value
            if "BUNIT" in image.header:
                image.header["BUNIT"] = ""
            file = BytesIO(image.header.tostring().encode("ascii") + bytes(_FITS_BLOCK))
            ccd = CCDData.read(file, format="fits", unit=self.unit)
            ccd.header["NAXIS2"], ccd.header["NAXIS1"] = self.shape
            if ccd.wcs is not None:
                # A WCS may have more axes than the image.
                ccd.wcs.pixel_shape = (*self.shape[::-1], *[1] * ccd.wcs.naxis)[: ccd.wcs.naxis]
            if stated is None:
                ccd.header.pop("BUNIT", None)
            else:
                ccd.header["BUNIT"] = stated
            psf, flags = self._psf_and_flags() if self.layout.has_more else (None, None)
        return Metadata(ccd.header, ccd.wcs, psf, flags, CCDData)

    def _psf_and_flags(self) -> tuple[Any, Any]:
        keywords = {"format": "fits", "unit": self.unit} | self.reading
        ccd = CCDData.read(self.path, **keywords | {"hdu": self.layout.hdu})
        return ccd.psf, ccd.flags

    def _open(self) -> fits.HDUList:
        # Scaled integers (BZERO) cannot be memory-mapped, and sections do not need a map.
        return fits.open(self.path, **{"memmap": False} | _opening(self.reading))


@contextmanager
def uncompressed(frames: Sequence[Frame]) -> Iterator[list[Frame]]:
    """
    Context manager that yields the same frames, with compressed files unpacked to a temporary
    folder.

    Rows in the middle of a compressed file cannot be read without unpacking everything before them,
    nor those of a tile-compressed image (``.fz``) without reading the table of all tiles.

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
    """Location of the parts of a frame in its file."""

    hdu: int
    mask: int | str | None
    uncertainty: int | str | None
    shape: tuple[int, int]
    unit: u.UnitBase
    dtype: np.dtype
    uncertainty_type: type | None
    quantum: float
    lacks_unit: bool
    lacks_padding: bool
    has_more: bool
    tiled: bool
    stored: dict[int | str, StoredImage]


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Make sure that errors raised while a file is read name the file."""
    try:
        yield
    except Exception as error:
        if name in str(error):
            raise
        kind = ValueError if isinstance(error, ValueError) else OSError
        raise kind(f"{name} cannot be read: {error}") from error


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Leave out what astropy says of each file, and this package once for all files."""
    with warnings.catch_warnings():
        for message in _SAID_BETTER:
            warnings.filterwarnings("ignore", message=message)
        yield


def _opening(reading: dict) -> dict:
    """The keywords for `astropy.io.fits.open`."""
    return {key: value for key, value in reading.items() if key not in _CCDDATA_KEYWORDS}


def _without_storage(header: fits.Header) -> fits.Header:
    """A copy without the cards that say how the pixels are stored."""
    header = header.copy()
    for keyword in _OF_STORAGE:
        header.remove(keyword, ignore_missing=True)
    return header


def _legal_header(hdus: fits.HDUList, hdu: int, path: Path) -> tuple[fits.Header, list[str]]:
    header = hdus[hdu].header.copy()
    if hdu:
        header.extend(hdus[0].header, unique=True)
    header, illegal = legal_header(header)
    foreign = [card for i in sorted({0, hdu}) for card in _foreign_cards(hdus[i], path)]
    return header, list(dict.fromkeys([*illegal, *foreign]))


def _foreign_cards(hdu: fits.ImageHDU, path: Path) -> list[str]:
    """Keywords of cards that are not in ASCII, which astropy reads as question marks."""
    if is_compressed(path):
        return []
    about = hdu.fileinfo()
    with path.open("rb") as file:
        file.seek(about["hdrLoc"])
        header = file.read(about["datLoc"] - about["hdrLoc"])
    if header.isascii():
        return []
    cards = (header[i : i + _CARD] for i in range(0, len(header), _CARD))
    names = (card[:8].decode("latin-1") for card in cards if not card.isascii())
    return [re.sub(r"[^\x20-\x7e]", "?", name).strip().upper() for name in names]


def _check_length(hdus: fits.HDUList, path: Path) -> bool:
    """
    Check that a file does not end before its data do; compressed files fail when they are read.

    Returns whether the bytes that fill its last block are missing, without which it can be read.
    """
    if not hasattr(hdus[-1], "fileinfo"):
        raise OSError(f"{path} is not a standard FITS file: its first card is not SIMPLE = T")
    last, found = hdus[-1].fileinfo(), path.stat().st_size
    end = last["datLoc"] + last["datSpan"]
    if is_compressed(path) or found >= end:
        return False
    if found < last["datLoc"] + hdus[-1].size:
        raise OSError(f"{path} is truncated: it has {found} bytes, expected {end}")
    return True


def _layout(hdus: fits.HDUList, path: Path, reading: dict, lacks_padding: bool) -> _Layout:
    if isinstance(reading.get("hdu"), list):
        raise ValueError(
            f"hdu is {reading['hdu']}, expected a single HDU; make_master_flat and "
            "ccdproc_echelle.frames.Readout().open assemble the amplifiers of a detector"
        )
    hdu = _index_of(reading.get("hdu", 0), hdus, path)
    if hdu == 0 and not hdus[0].shape:
        hdu = next((i for i, h in enumerate(hdus) if h.is_image and h.shape), 0)
    if not hdus[hdu].is_image or not hdus[hdu].shape:
        raise ValueError(f"{path} has no image in HDU {reading.get('hdu', 0)!r}")
    header = hdus[hdu].header
    stated = _stated_unit(header, hdus[0].header)
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
    has_more = "hdu_flags" in reading or reading.get("hdu_psf", "PSFIMAGE") in hdus
    as_usual = not _opening(reading)
    return _Layout(
        hdu=hdu,
        mask=mask,
        uncertainty=uncertainty,
        shape=_without_single_planes(hdus[hdu].shape),
        unit=_unit(stated, path, reading.get("unit")),
        dtype=_stored_float_type(hdus[hdu]),
        uncertainty_type=uncertainty and _stored_uncertainty_type(
            hdus[uncertainty].header, path, reading.get("key_uncertainty_type", "UTYPE")
        ),
        has_more=has_more,
        lacks_unit=reading.get("unit") is None and stated is None,
        lacks_padding=lacks_padding,
        quantum=_stored_quantum(header),
        tiled=as_usual and not has_more and isinstance(hdus[hdu], fits.CompImageHDU),
        stored=_stored_images(hdus, hdu, mask, uncertainty) if as_usual else {},
    )


def _without_single_planes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of an image that some cameras write as a cube of one plane."""
    n_planes = len(shape) - 2
    return shape[n_planes:] if n_planes > 0 and set(shape[:n_planes]) == {1} else shape


def _index_of(hdu: Any, hdus: fits.HDUList, path: Path) -> int:
    names = [one.name for one in hdus]
    try:
        index = hdus.index_of(hdu)
    except KeyError:
        hint = did_you_mean(str(hdu).upper(), names)
        raise LookupError(
            f"extension {hdu!r} not found among {names}{hint}. Select one by number or name, such "
            "as 1, 'SCI' or ('SCI', 2), or several with a list of these"
        ) from None
    if not -len(hdus) <= index < len(hdus):
        raise ValueError(f"{path} has no HDU {index}, only {len(hdus)}")
    return index % len(hdus)


def _stored_images(hdus: fits.HDUList, *names: int | str | None) -> dict[int | str, StoredImage]:
    """Location of these images; empty if one of them must be read by astropy."""
    images = {name: stored_image(hdus[name]) for name in names if name is not None}
    return {} if None in images.values() else images


def _stated_unit(header: fits.Header, primary: fits.Header) -> Any:
    """``BUNIT`` of an image, which may be that of the primary header; `None` if not stated."""
    stated = header.get("BUNIT", primary.get("BUNIT"))
    # CCDData writes a blank for a dimensionless image, but integers are counts.
    return None if str(stated).strip() == "" and _is_integer(header) else stated


def _unit(stated: Any, path: Path, unit: Any) -> u.UnitBase:
    """The unit given by the user, or else the one stated in the file; adu if there is none."""
    if unit is not None:
        try:
            return _as_unit(unit)
        except (TypeError, ValueError):
            raise ValueError(f"unit is {unit!r} for {path}, which is not a unit") from None
    if stated is None:
        return u.adu
    try:
        with warnings.catch_warnings(action="ignore"):  # about the spelling of units
            return _as_unit(stated)
    except (TypeError, ValueError):
        raise ValueError(
            f"{path} has BUNIT = {stated!r}, which is not a unit; give unit="
        ) from None


def _as_unit(unit: Any) -> u.UnitBase:
    known = (_SPELLINGS | CCDData.known_invalid_fits_unit_strings).get(unit, unit)
    if not isinstance(known, (str, u.UnitBase)):
        raise TypeError(f"unit is {unit!r}, expected a unit or its name")
    try:
        return u.Unit(known)
    except ValueError:
        return u.Unit(known.lower())  # ADU and ELECTRON are common spellings


def _stored_float_type(hdu: fits.ImageHDU | fits.CompImageHDU) -> np.dtype:
    integers = {8: "u1", 16: "i2"}
    bitpix = hdu.header.get("ZBITPIX", hdu.header["BITPIX"])
    stored = np.dtype(integers.get(bitpix, "f4" if bitpix == -32 else "f8"))
    return float_type(stored, hdu.section)


def _stored_quantum(header: fits.Header) -> float:
    return abs(float(header.get("BSCALE", 1))) if _is_integer(header) else 0.0


def _is_integer(header: fits.Header) -> bool:
    return header.get("ZBITPIX", header["BITPIX"]) > 0


def _stored_uncertainty_type(header: fits.Header, path: Path, keyword: str) -> type | None:
    known = dict(zip(("std", "var", "ivar"), UNCERTAINTIES, strict=True))
    known |= {kind.__name__: kind for kind in UNCERTAINTIES}
    kind = header.get(keyword, "std")  # the default of CCDData.read
    known |= dict.fromkeys(("unknown", UnknownUncertainty.__name__))
    if kind not in known:
        raise ValueError(f"{path} has {keyword} = {kind!r}, expected one of {sorted(known)}")
    return known[kind]


def may_be_fits(path: Path) -> bool:
    """
    Whether a file begins as a FITS file or a compressed one.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.

    Returns
    -------
    bool
    """
    return _begins_with(path, (b"SIMPLE  ", *_COMPRESSED))


def is_compressed(path: Path) -> bool:
    """
    Whether a file is compressed as a whole, going by its first bytes.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.

    Returns
    -------
    bool
    """
    return _begins_with(path, _COMPRESSED)


@contextmanager
def _decompressed(path: Path) -> Iterator[IO[bytes]]:
    """The content of a compressed file."""
    if not _begins_with(path, (_ZIP,)):
        with get_readable_fileobj(path, encoding="binary") as content:
            yield content
        return
    with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as content:
        yield content  # astropy has made sure that it is the only file


def _begins_with(path: Path, beginnings: tuple[bytes, ...]) -> bool:
    with path.open("rb") as file:
        return file.read(8).startswith(beginnings)
