# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Frames as detectors write them, seen as the light alone: overscan subtracted, trimmed."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy import units as u
from astropy.nddata import CCDData

from ccdproc_echelle.frames.calibrated import NoiseModel
from ccdproc_echelle.frames.regions import Regions
from ccdproc_echelle.frames.sections import Box
from ccdproc_echelle.frames.views import Frame, Section

__all__ = ["SECTION_KEYWORDS", "AssembledFrame", "RawFrame", "Tile"]

#: Cards that no longer hold for a frame that was trimmed or assembled.
SECTION_KEYWORDS = (
    "BIASSEC", "TRIMSEC", "DATASEC", "CCDSEC", "DETSEC", "AMPSEC", "ORIGSEC",
)


class _DoneFrame(Frame):
    """Loaded rows with which everything is done."""

    def __init__(self, frame: Frame, values: Section):
        self.name, self.unit, self.dtype = frame.name, frame.unit, frame.dtype
        self.uncertainty_type = frame.uncertainty_type
        self.shape = values.data.shape
        self._values = values

    def section(self, where: Any) -> Section:
        data, good, variance, saturated = (None if a is None else a[where] for a in self._values)
        return Section(data, good.copy(), variance, saturated)

    def part(self, rows: slice) -> "_DoneFrame":
        return _DoneFrame(self, self.section(rows))

    def load(self) -> "_DoneFrame":
        return self

    def ccddata(self) -> CCDData:
        return self.pixels_as_ccddata()

    def metadata(self) -> tuple[dict, None]:
        return {}, None

    @property
    def header(self) -> dict:
        return {}


@dataclass(frozen=True, eq=False)
class RawFrame(Frame):
    """
    The light of a raw frame.

    Parameters
    ----------
    source : `Frame`
        The frame as it was written.
    light : `~ccdproc_echelle.frames.sections.Box`
        The part that is kept.
    zero : array, shape (rows, 1) or (1, columns), optional
        What is subtracted from each row or column of that part. Default: nothing.
    gain : float or `Regions`, optional
        By which it is then multiplied, so that it is in electrons. Default: the unit is kept.
    saturation : float or `Regions`, optional
        Values of this and above, as they were written, are bad.
    noise : `NoiseModel`, optional
        The noise of what is handed out, where it is known.
    overscan : `~ccdproc_echelle.frames.sections.Box`, optional
        Where ``zero`` was found.
    cards : dict, optional
        Header cards that tell what is done.
    """

    source: Frame
    light: Box
    zero: np.ndarray | None = None
    gain: float | Regions | None = None
    saturation: float | Regions | None = None
    noise: NoiseModel | None = None
    overscan: Box | None = None
    cards: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def shape(self) -> tuple[int, int]:
        return self.light.shape

    @property
    def full_shape(self) -> tuple[int, int]:
        """Rows and columns before anything was cut off."""
        return self.source.shape

    @property
    def unit(self) -> u.UnitBase:
        return self.source.unit if self.gain is None else u.electron

    @property
    def dtype(self) -> np.dtype:
        return self.source.dtype

    @property
    def uncertainty_type(self) -> type | None:
        return self.source.uncertainty_type

    @property
    def header(self) -> Any:
        return self.source.header

    def metadata(self) -> tuple[Any, Any]:
        header, wcs = self.source.metadata()
        if self.cards:
            header = header.copy()
            for keyword in SECTION_KEYWORDS:
                header.pop(keyword, None)
            header.update(self.cards)
        if wcs is not None and self.light != Box.whole(self.full_shape):
            wcs = wcs[tuple(self.light)]
        return header, wcs

    def part(self, rows: slice) -> "RawFrame":
        first, last, _ = rows.indices(self.shape[0])
        start = self.light.rows.start
        zero = self.zero
        if zero is not None and len(zero) == self.shape[0]:
            zero = zero[first:last]
        return replace(
            self,
            source=self.source.part(slice(start + first, start + last)),
            light=Box(slice(0, last - first), self.light.columns),
            zero=zero,
            overscan=None,
            gain=_rows_of(self.gain, rows),
            saturation=_rows_of(self.saturation, rows),
            noise=None if self.noise is None else self.noise.part(rows),
        )

    def load(self) -> Frame:
        loaded = self.source.load()
        if self._hands_out_the_source():
            return loaded
        data, good, variance, saturated = loaded.section(tuple(self.light))
        if self.saturation is not None:
            saturated = data >= _numbers(self.saturation, data.dtype)
            good &= ~saturated
        if self.zero is not None:
            data = data - self.zero.astype(data.dtype)
        if self.gain is not None:
            gain = _numbers(self.gain, data.dtype)
            data = data * gain
            variance = None if variance is None else variance * gain**2
        return _DoneFrame(self, Section(data, good, variance, saturated))

    def _hands_out_the_source(self) -> bool:
        nothing = self.zero is None and self.gain is None and self.saturation is None
        return nothing and self.light == Box.whole(self.full_shape)

    def ccddata(self) -> CCDData:
        return self.pixels_as_ccddata()

    def unpacked(self, path: Path) -> "RawFrame":
        return replace(self, source=self.source.unpacked(path))


class Tile(NamedTuple):
    """
    One amplifier of a detector.

    Attributes
    ----------
    frame : `RawFrame`
        Its light.
    box : `~ccdproc_echelle.frames.sections.Box`
        Where it lies on the detector.
    flipped : tuple of bool
        Whether its rows, and columns, run backwards there.
    """

    frame: RawFrame
    box: Box
    flipped: tuple[bool, bool]

    def part(self, rows: slice) -> "Tile | None":
        """What lies in some rows of the detector, counted from the first of these."""
        here = self.box.common(Box(rows, self.box.columns))
        if here is None:
            return None
        own = here.inside(self.box).rows
        if self.flipped[0]:
            n_rows = self.box.shape[0]
            own = slice(n_rows - own.stop, n_rows - own.start)
        moved = slice(here.rows.start - rows.start, here.rows.stop - rows.start)
        return Tile(self.frame.part(own), Box(moved, here.columns), self.flipped)

    def turned(self, image: np.ndarray) -> np.ndarray:
        """An image of the amplifier as it lies on the detector."""
        return image[tuple(slice(None, None, -1 if flip else None) for flip in self.flipped)]


@dataclass(frozen=True, eq=False)
class AssembledFrame(Frame):
    """
    A frame whose amplifiers were written one by one.

    Parameters
    ----------
    tiles : sequence of `Tile`
        They cover it, each pixel once.
    shape : tuple of int
        Rows and columns.
    noise : `NoiseModel`, optional
        The noise of what is handed out, where it is known.
    cards : dict, optional
        Header cards that tell what is done.
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
        """Nothing is cut off what was assembled."""
        return self.shape

    @property
    def gain_is_unknown(self) -> bool:
        """Whether its amplifiers were not brought to electrons."""
        return any(tile.frame.gain is None for tile in self.tiles)

    @property
    def light(self) -> Box:
        """All of it."""
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
        return self._first.header

    def metadata(self) -> tuple[Any, None]:
        """That of the first amplifier, whose place on the sky is not that of the frame."""
        header = self._first.metadata()[0].copy()
        for keyword in (*SECTION_KEYWORDS, "EXTNAME", "EXTVER"):
            header.pop(keyword, None)
        header.update(self.cards)
        return header, None

    def part(self, rows: slice) -> "AssembledFrame":
        first, last, _ = rows.indices(self.shape[0])
        tiles = [tile.part(slice(first, last)) for tile in self.tiles]
        return replace(
            self,
            tiles=tuple(tile for tile in tiles if tile is not None),
            shape=(last - first, self.shape[1]),
            noise=None if self.noise is None else self.noise.part(rows),
        )

    def load(self) -> Frame:
        known = self.uncertainty_type is not None
        data = np.empty(self.shape, dtype=self.dtype)
        good, saturated = np.empty(self.shape, dtype=bool), np.zeros(self.shape, dtype=bool)
        variance = np.empty_like(data) if known else None
        for tile in self.tiles:
            found, where = tile.frame.load().section(slice(None)), tuple(tile.box)
            data[where], good[where] = tile.turned(found.data), tile.turned(found.good)
            if known:
                variance[where] = tile.turned(found.variance)
            if found.saturated is not None:
                saturated[where] = tile.turned(found.saturated)
        watched = any(tile.frame.saturation is not None for tile in self.tiles)
        return _DoneFrame(self, Section(data, good, variance, saturated if watched else None))

    def ccddata(self) -> CCDData:
        return self.pixels_as_ccddata()

    def unpacked(self, path: Path) -> "AssembledFrame":
        tiles = (tile._replace(frame=tile.frame.unpacked(path)) for tile in self.tiles)
        return replace(self, tiles=tuple(tiles))


def _rows_of(number: float | Regions | None, rows: slice) -> float | Regions | None:
    return number.part(rows) if isinstance(number, Regions) else number


def _numbers(number: float | Regions, dtype: np.dtype) -> np.ndarray:
    """To be broadcast against an image."""
    return number.image(dtype) if isinstance(number, Regions) else dtype.type(number)
