# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Raw frames, presented as their light-sensitive part: overscan subtracted, trimmed."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy import units as u
from astropy.nddata import CCDData

from ccdproc_echelle.frames.calibrated import NoiseModel
from ccdproc_echelle.frames.derived import DerivedFrame
from ccdproc_echelle.frames.files import FileFrame
from ccdproc_echelle.frames.regions import Regions
from ccdproc_echelle.frames.sections import Box
from ccdproc_echelle.frames.views import Frame, Metadata, Section

__all__ = ["SECTION_KEYWORDS", "AssembledFrame", "RawFrame", "Tile"]

#: Cards that are no longer valid for a frame that was trimmed or assembled.
SECTION_KEYWORDS = (
    "BIASSEC", "TRIMSEC", "DATASEC", "CCDSEC", "DETSEC", "AMPSEC", "ORIGSEC",
)


@dataclass(frozen=True, eq=False)
class RawFrame(DerivedFrame):
    """
    The light-sensitive part of a raw frame.

    Parameters
    ----------
    raw : `Frame`
        The frame as it was written.
    light : `~ccdproc_echelle.frames.Box`
        The part that is kept.
    zero : array, shape (rows, 1) or (1, columns), optional
        Zero point subtracted from each row or column of that part. Default: nothing.
    gain : float or `Regions`, optional
        Factor that then converts the data to electrons. Default: keep the unit.
    saturation : float or `Regions`, optional
        Raw values at or above this are bad.
    noise : `NoiseModel`, optional
        Noise model of the resulting data, if known.
    overscan : `~ccdproc_echelle.frames.Box`, optional
        Section in which ``zero`` was measured.
    cards : dict, optional
        Header cards that record the processing.
    """

    light: Box
    zero: np.ndarray | None = None
    gain: float | Regions | None = None
    saturation: float | Regions | None = None
    noise: NoiseModel | None = None
    overscan: Box | None = None
    cards: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int]:
        return self.light.shape

    @property
    def full_shape(self) -> tuple[int, int]:
        """Rows and columns before trimming."""
        return self.raw.shape

    @property
    def unit(self) -> u.UnitBase:
        return self.raw.unit if self.gain is None else u.electron

    @property
    def header(self) -> Any:
        return _without_sections(self.raw.header) if self.cards else self.raw.header

    @property
    def as_read(self) -> "RawFrame":
        return self

    @property
    def quantum(self) -> float:
        gain = 1.0 if self.gain is None else self.gain
        return self.raw.quantum * (max(gain.values) if isinstance(gain, Regions) else gain)

    def metadata(self) -> Metadata:
        header, wcs, psf, flags, ccd_class = self.raw.metadata()
        if self.cards:
            header = _without_sections(header)
            header.update(self.cards)
        if wcs is not None and self.light != Box.whole(self.full_shape):
            wcs = wcs[(slice(None),) * (wcs.naxis - 2) + tuple(self.light)]
            flags = None
        return Metadata(header, wcs, psf, flags, ccd_class)

    def part(self, rows: slice) -> "RawFrame":
        first, last, _ = rows.indices(self.shape[0])
        start = self.light.rows.start
        zero = self.zero
        if zero is not None and len(zero) == self.shape[0]:
            zero = zero[first:last]
        return replace(
            self,
            raw=self.raw.part(slice(start + first, start + last)),
            light=Box(slice(0, last - first), self.light.columns),
            zero=zero,
            overscan=None,
            gain=_rows_of(self.gain, rows),
            saturation=_rows_of(self.saturation, rows),
            noise=None if self.noise is None else self.noise.part(rows),
        )

    def section(self, where: slice | tuple) -> Section:
        data, good, variance, saturated = self.raw.section(self._in_source(where))
        if self.saturation is not None:
            saturated = data >= _numbers(self.saturation, where, data.dtype)
            good &= ~saturated
        if self.zero is not None:
            data = data - np.broadcast_to(self.zero, self.shape)[where].astype(data.dtype)
        if self.gain is not None:
            gain = _numbers(self.gain, where, data.dtype)
            data = data * gain if self.zero is None else np.multiply(data, gain, out=data)
            variance = None if variance is None else variance * gain**2
        return Section(data, good, variance, saturated)

    def _in_source(self, where: slice | tuple) -> slice | tuple:
        if self.light == Box.whole(self.full_shape):
            return where
        where = where if isinstance(where, tuple) else (where, slice(None))
        return tuple(_moved(index, span) for index, span in zip(where, self.light, strict=True))


class Tile(NamedTuple):
    """
    One amplifier of a detector.

    Attributes
    ----------
    frame : `RawFrame`
        Its light-sensitive part.
    box : `~ccdproc_echelle.frames.Box`
        Its position on the detector.
    flipped : tuple of bool
        Whether its rows, and columns, are reversed on the detector.
    """

    frame: RawFrame
    box: Box
    flipped: tuple[bool, bool]

    def meeting(self, rows: slice) -> tuple[slice, slice] | None:
        """Which of its rows lie within some rows of the detector, and where in these."""
        start = max(self.box.rows.start, rows.start)
        stop = min(self.box.rows.stop, rows.stop)
        if start >= stop:
            return None
        own = slice(start - self.box.rows.start, stop - self.box.rows.start)
        if self.flipped[0]:
            n_rows = self.box.shape[0]
            own = slice(n_rows - own.stop, n_rows - own.start)
        return own, slice(start - rows.start, stop - rows.start)

    def part(self, rows: slice) -> "Tile | None":
        """Part within some rows of the detector, counted from the first of these."""
        meeting = self.meeting(rows)
        if meeting is None:
            return None
        own, placed = meeting
        return Tile(self.frame.part(own), Box(placed, self.box.columns), self.flipped)

    def contains(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Which pixels of the detector belong to this amplifier."""
        y, x = self.box
        return (rows >= y.start) & (rows < y.stop) & (columns >= x.start) & (columns < x.stop)

    def own(self, *indices: np.ndarray) -> tuple[np.ndarray, ...]:
        """Convert rows and columns of the detector to those of the amplifier."""
        return tuple(
            span.stop - 1 - index if flipped else index - span.start
            for index, span, flipped in zip(indices, self.box, self.flipped, strict=True)
        )

    def turned(self, image: np.ndarray) -> np.ndarray:
        """Orient an image of the amplifier as on the detector."""
        return image[tuple(slice(None, None, -1 if flip else None) for flip in self.flipped)]


@dataclass(frozen=True, eq=False)
class AssembledFrame(Frame):
    """
    A `Frame` assembled from amplifiers that were written separately.

    Parameters
    ----------
    tiles : sequence of `Tile`
        Tiles that cover the frame, each pixel once.
    shape : tuple of int
        Rows and columns.
    noise : `NoiseModel`, optional
        Noise model of the resulting data, if known.
    cards : dict, optional
        Header cards that record the processing.
    """

    tiles: tuple[Tile, ...]
    shape: tuple[int, int]
    noise: NoiseModel | None = None
    cards: Mapping[str, Any] = field(default_factory=dict)

    @property
    def _first(self) -> RawFrame:
        return self.tiles[0].frame

    @property
    def name(self) -> str:
        return self._first.name

    @property
    def full_shape(self) -> tuple[int, int]:
        """Same as ``shape``: an assembled frame is not trimmed further."""
        return self.shape

    @property
    def gain_is_unknown(self) -> bool:
        """Whether amplifiers with an image of their own were not converted to electrons."""
        images = {tile.frame.source for tile in self.tiles}
        return len(images) > 1 and any(tile.frame.gain is None for tile in self.tiles)

    @property
    def light(self) -> Box:
        """The whole frame."""
        return Box.whole(self.shape)

    @property
    def unit(self) -> u.UnitBase:
        return self._first.unit

    @property
    def dtype(self) -> np.dtype:
        return np.result_type(*(tile.frame.dtype for tile in self.tiles))

    @property
    def uncertainty_type(self) -> type | None:
        kinds = {tile.frame.uncertainty_type for tile in self.tiles}
        return kinds.pop() if len(kinds) == 1 else None

    @property
    def header(self) -> Any:
        return _without_sections(self._first.header)

    @property
    def file(self) -> str | None:
        return self._first.file

    @property
    def illegal_cards(self) -> list[str]:
        return list(dict.fromkeys(c for tile in self.tiles for c in tile.frame.illegal_cards))

    @property
    def source(self) -> Hashable:
        return tuple(tile.frame.source for tile in self.tiles)

    @property
    def quantum(self) -> float:
        return max(tile.frame.quantum for tile in self.tiles)

    def without_uncertainty(self) -> "AssembledFrame":
        tiles = (tile._replace(frame=tile.frame.without_uncertainty()) for tile in self.tiles)
        return replace(self, tiles=tuple(tiles))

    def metadata(self) -> Metadata:
        """Metadata of the first amplifier, whose WCS is not valid for the frame."""
        header = _without_sections(self._first.metadata()[0])
        for keyword in ("EXTNAME", "EXTVER"):
            header.pop(keyword, None)
        header.update(self.cards)
        return Metadata(header, None, None, None, CCDData)

    def part(self, rows: slice) -> "AssembledFrame":
        first, last, _ = rows.indices(self.shape[0])
        tiles = [tile.part(slice(first, last)) for tile in self.tiles]
        return replace(
            self,
            tiles=tuple(tile for tile in tiles if tile is not None),
            shape=(last - first, self.shape[1]),
            noise=None if self.noise is None else self.noise.part(rows),
        )

    def load(self) -> "AssembledFrame":
        sources = [tile.frame.raw for tile in self.tiles]
        if isinstance(sources[0], FileFrame):
            sources = FileFrame.load_together(sources)
        tiles = (
            tile._replace(frame=replace(tile.frame, raw=source))
            for tile, source in zip(self.tiles, sources, strict=True)
        )
        return replace(self, tiles=tuple(tiles))

    def section(self, where: slice | tuple) -> Section:
        if isinstance(where, slice):
            return self._rows(slice(*where.indices(self.shape[0])[:2]))
        if all(isinstance(index, np.ndarray) for index in where):
            return self._single(*where)
        whole = self._rows(slice(0, self.shape[0]))
        return Section(*(None if image is None else image[where] for image in whole))

    def _empty(self, shape: tuple[int, ...]) -> Section:
        known = self.uncertainty_type is not None
        watched = any(tile.frame.saturation is not None for tile in self.tiles)
        return Section(
            data=np.empty(shape, dtype=self.dtype),
            good=np.empty(shape, dtype=bool),
            variance=np.empty(shape, dtype=self.dtype) if known else None,
            saturated=np.empty(shape, dtype=bool) if watched else None,
        )

    def _single(self, rows: np.ndarray, columns: np.ndarray) -> Section:
        """Single pixels, from the amplifiers to which they belong."""
        values = self._empty(rows.shape)
        for tile in self.tiles:
            inside = tile.contains(rows, columns)
            found = tile.frame.section(tile.own(rows[inside], columns[inside]))
            for value, part in zip(values, found, strict=True):
                if value is not None:
                    value[inside] = part
        return values

    def _rows(self, rows: slice) -> Section:
        images = self._empty((rows.stop - rows.start, self.shape[1]))
        for tile in self.tiles:
            meeting = tile.meeting(rows)
            if meeting is None:
                continue
            own, placed = meeting
            for image, found in zip(images, tile.frame.section(own), strict=True):
                if image is not None:
                    image[placed, tile.box.columns] = tile.turned(found)
        return images

    def unpacked(self, path: Path) -> "AssembledFrame":
        tiles = (tile._replace(frame=tile.frame.unpacked(path)) for tile in self.tiles)
        return replace(self, tiles=tuple(tiles))


def _without_sections(header: Any) -> Any:
    """A copy without the cards that only apply to the frame as it was written."""
    header = header.copy()
    for keyword in SECTION_KEYWORDS:
        header.pop(keyword, None)
    return header


def _rows_of(number: float | Regions | None, rows: slice) -> float | Regions | None:
    return number.part(rows) if isinstance(number, Regions) else number


def _numbers(number: float | Regions, where: slice | tuple, dtype: np.dtype) -> np.ndarray:
    """Values at some pixels, or a single value for all."""
    return number.at(where, dtype) if isinstance(number, Regions) else dtype.type(number)


def _moved(index: slice | np.ndarray, span: slice) -> slice | np.ndarray:
    """Convert an index into a span of a longer axis to an index into that axis."""
    if isinstance(index, slice):
        start, stop, step = index.indices(span.stop - span.start)
        return slice(start + span.start, stop + span.start, step)
    return index + span.start
