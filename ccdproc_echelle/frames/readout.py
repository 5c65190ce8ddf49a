# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Open raw frames: overscan, trim and amplifiers from headers or user input."""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from astropy import units as u
from astropy.modeling import Model
from ccdproc import Keyword

from ccdproc_echelle._warnings import warn
from ccdproc_echelle.frames.amplifiers import amplifier_frames, on_common_origin, place_of
from ccdproc_echelle.frames.calibrated import NoiseModel
from ccdproc_echelle.frames.files import FileFrame
from ccdproc_echelle.frames.header_numbers import given_number
from ccdproc_echelle.frames.headers import number_of
from ccdproc_echelle.frames.listing import list_frames
from ccdproc_echelle.frames.overscan import lies_beside, measure_overscan
from ccdproc_echelle.frames.raw import AssembledFrame, RawFrame, Tile
from ccdproc_echelle.frames.regions import Regions, check_tiling
from ccdproc_echelle.frames.sections import (
    Box,
    Place,
    has_shape,
    is_empty_section,
    parse_section,
    reaches_beyond,
    without_gaps,
)
from ccdproc_echelle.frames.views import Frame

__all__ = ["Readout", "check_one_readout", "warn_of_zero_points"]

_log = logging.getLogger(__name__)

# Gains that differ by a smaller fraction are equal.
_SAME_GAIN = 1e-3

# Header cards that give the position of an overscan, and the form of their values.
_OTHER_OVERSCAN = re.compile("BIAS_?SEC|BSEC|OSCAN|OVERSC")
_SECTION = re.compile(r"\[\s*\d+\s*:\s*\d+\s*,\s*\d+\s*:\s*\d+\s*\]")

# First and last column of the overscan of Subaru HDS, between its two amplifiers.
_OF_HDS = ("H_OSMIN1", "H_OSMAX1")


class _Widths(NamedTuple):
    """Cards for the number of pixels before, after, and in the light, along one axis."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    light: str


# For columns and rows: of ESO; of Keck (PREPIX or PRECOL); of Lick.
_WIDTHS = (
    _Widths(
        before=("ESO DET OUT1 PRSCX", "PREPIX", "PRECOL"),
        after=("ESO DET OUT1 OVSCX", "POSTPIX", "COVER"),
        light="ESO DET OUT1 NX",
    ),
    _Widths(
        before=("ESO DET OUT1 PRSCY", "PRELINE"),
        after=("ESO DET OUT1 OVSCY", "POSTLINE", "ROVER"),
        light="ESO DET OUT1 NY",
    ),
)

# Larger tolerance, since read noise may be measured for each frame.
_SAME_READ_NOISE = 0.1


@dataclass(frozen=True, kw_only=True)
class Readout:
    """
    How to read raw frames; the same for flats, bias and darks.

    Parameters
    ----------
    oscan : str, dict or False, optional
        FITS section of the overscan, False for none. For amplifiers in one image with an overscan
        each, a dict that maps the light-sensitive section of each to its overscan section;
        everything else is left out. Default: ``BIASSEC`` of each header.
    trim : str or False, optional
        FITS section of the part to keep, False for all. Default: ``TRIMSEC``, or ``DATASEC``.
    oscan_median : bool, optional
        Whether each row (or column) of the overscan is represented by its median or its mean.
    oscan_model : `~astropy.modeling.Model`, optional
        Model fitted along the overscan. Default: use the overscan without a fit.
    gain, read_noise, saturation : float, Quantity, str, `ccdproc.Keyword` or dict, optional
        A number, the name of a header keyword, or a dict of these for FITS sections. In electrons
        per unit of the data, electrons, and units of the data, respectively.

    Raises
    ------
    TypeError, ValueError
        If one of them has a wrong type, or the model is not linear.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.nddata import CCDData
    >>> from ccdproc_echelle.frames import Readout
    >>> raw = CCDData(np.full((4, 8), 300), unit="adu",
    ...               header={"TRIMSEC": "[1:6,1:4]", "BIASSEC": "[7:8,1:4]"})
    >>> frame, = Readout().open([raw])
    >>> frame.shape, float(frame.ccddata().data.max())
    ((4, 6), 0.0)
    """

    oscan: str | Mapping[str, str] | bool | None = None
    trim: str | bool | None = None
    oscan_median: bool = True
    oscan_model: "Model | None" = None
    gain: Any = None
    read_noise: Any = None
    saturation: Any = None

    def __post_init__(self):
        for name in ("oscan", "trim"):
            value = getattr(self, name)
            if name == "oscan" and isinstance(value, Mapping):
                _check_amplifiers(value, self.trim)
            elif not (value is None or value is False or isinstance(value, str)):
                raise TypeError(
                    f"{name} is a {type(value).__name__}, expected a FITS section, False or None"
                )
        model = self.oscan_model
        if model is not None and not isinstance(model, Model):
            raise TypeError(f"oscan_model is a {type(model).__name__}, expected an astropy model")
        if model is not None and not (model.linear and model.n_inputs == 1):
            raise ValueError(
                f"oscan_model is a {type(model).__name__}, expected a model of one variable that "
                "is linear in its parameters, such as Chebyshev1D"
            )

    def open(
        self, img_list: Any, *, kind: str = "", **reading: Any
    ) -> list[RawFrame | AssembledFrame]:
        """
        Open raw frames as their light-sensitive parts.

        Only the headers of each file are read, and the overscan if there is one.

        Parameters
        ----------
        img_list : list, str or `ccdproc.ImageFileCollection`
            Raw frames, as for `ccdproc.combine`; frames opened by this method before are returned
            unchanged.
        kind : str, optional
            What the frames are, such as "bias", used in the names of frames in memory.
        **reading
            Passed to ``CCDData.read``; ``hdu`` may be a list of extensions, the amplifiers of one
            detector.

        Returns
        -------
        list of `RawFrame` or `AssembledFrame`

        Raises
        ------
        ValueError
            If only one of ``gain`` and ``read_noise`` is given, a section cannot be parsed or lies
            outside its frame, frames of the same shape have different sections, amplifiers overlap
            or leave gaps, or a header lacks a number.
        TypeError, OSError
            Under the same conditions as in `list_frames`.
        """
        if (self.gain is None) != (self.read_noise is None):
            missing = "gain" if self.gain is None else "read_noise"
            raise ValueError(
                f"{missing} is missing: an uncertainty requires both gain and read_noise"
            )
        extensions = reading.get("hdu") if isinstance(reading.get("hdu"), list) else None
        if extensions is not None:
            reading = reading | {"hdu": _first_of(extensions)}
        frames = list_frames(img_list, kind=kind, **reading)
        if all(isinstance(frame, (RawFrame, AssembledFrame)) for frame in frames):
            return frames
        frames = [self._opened(frame, extensions) for frame in frames]
        check_one_readout(frames)
        self._warn_of_unknown_gains(frames)
        self._warn_of_another_size(frames)
        self._warn_of_untold_places(frames[0])
        self._warn_of_other_overscans(frames[0])
        _log_what_is_done(frames)
        frames = [self._with_overscan(frame) for frame in frames]
        self._warn_of_overscan_in_frame(frames)
        return frames

    def _warn_of_unknown_gains(self, frames: Sequence[RawFrame | AssembledFrame]) -> None:
        unknown = [f for f in frames if isinstance(f, AssembledFrame) and f.gain_is_unknown]
        if unknown and self.gain is None:
            warn(
                f"the amplifiers of {unknown[0].name} have no GAIN: the master has a step where "
                "two gains meet; give gain= and read_noise="
            )
        elif unknown:
            gains = {str(tile.frame.raw.header.get("GAIN")) for tile in unknown[0].tiles}
            if len(gains) > 1:
                warn(
                    f"gain is {self.gain}, but the amplifiers of {unknown[0].name} have GAIN "
                    f"{', '.join(sorted(gains))}: the master has a step where two gains meet; "
                    "use gain='GAIN', or omit gain, to convert them to electrons"
                )

    def _warn_of_another_size(self, frames: Sequence[RawFrame | AssembledFrame]) -> None:
        """A section beyond the frame may belong to a detector that was cut to just this section."""
        for frame in frames if self.trim is None else ():
            if isinstance(frame, AssembledFrame):
                continue
            card, text = _first_section(frame.raw.header, ("TRIMSEC", "DATASEC"))
            if text and _is_of_another_size(text, frame.full_shape, f"{card} of {frame.name}"):
                rows, columns = frame.full_shape
                warn(
                    f"{card} of {frame.name} is {text}, which neither lies within its {columns} "
                    f"columns and {rows} rows nor has this size, as it would for a trimmed frame: "
                    "nothing is trimmed and no overscan is subtracted; specify trim= and oscan= "
                    "(False for none)"
                )
                return

    def _warn_of_untold_places(self, frame: RawFrame | AssembledFrame) -> None:
        """Some headers give the widths of prescan and overscan, but no sections."""
        header = frame.header
        known = any(_first_section(header, (c,))[1] for c in ("BIASSEC", "TRIMSEC", "DATASEC"))
        given = self.trim is not None or self.oscan is not None
        if known or given or frame.cards or _is_processed(header):
            return
        for widths, n in zip(_WIDTHS, frame.full_shape[::-1], strict=True):
            found = {c: number_of(header.get(c)) for c in (*widths.before, *widths.after)}
            found = {card: number for card, number in found.items() if number}
            before, after = (
                sum(found.get(card, 0) for card in cards) for cards in (widths.before, widths.after)
            )
            light = number_of(header.get(widths.light)) or 0
            if found and light + before + after <= n:
                warn(
                    f"{frame.name} has {before:g} pixels of prescan and {after:g} of overscan "
                    f"({', '.join(found)}), but no BIASSEC and TRIMSEC that give their "
                    "positions: they are treated as light; give oscan= and trim= (False if they "
                    "were cut off)"
                )
                return

    def _warn_of_other_overscans(self, frame: RawFrame | AssembledFrame) -> None:
        """Warn of overscans with names other than ``BIASSEC``, as those of several amplifiers."""
        header = frame.header
        done = self.oscan is not None or any(part.overscan is not None for part in _parts(frame))
        if done or _is_processed(header):
            return
        _, light = _first_section(header, ("TRIMSEC", "DATASEC"))
        if light and reaches_beyond(light, frame.full_shape, frame.name):
            return  # they were cut off
        cards = [
            f"{key} {value}" for key, value in header.items()
            if key != "BIASSEC" and _OTHER_OVERSCAN.search(str(key).upper())
            and _SECTION.fullmatch(str(value).strip())
            and not reaches_beyond(value, frame.full_shape, f"{key} of {frame.name}")
        ]
        first, last = (number_of(header.get(card)) or 0 for card in _OF_HDS)
        if 0 < first <= last <= frame.full_shape[1]:
            cards.append(f"{_OF_HDS[0]} {first:g}, {_OF_HDS[1]} {last:g}")
        if cards:
            warn(
                f"{frame.name} has {', '.join(cards)}, but no BIASSEC: no overscan is subtracted; "
                "give oscan= and trim= (False for none)"
            )

    def _warn_of_overscan_in_frame(self, frames: Sequence[RawFrame | AssembledFrame]) -> None:
        for part in (part for frame in frames for part in _parts(frame)):
            if part.overscan is None or not part.overscan.common(part.light):
                continue
            where = f"the overscan {part.overscan} of {part.name}"
            if part.light != Box.whole(part.full_shape):
                warn(
                    f"{where} overlaps the part that is kept, {part.light}: it may be exposed to "
                    "light; check oscan= and trim="
                )
            elif self.trim is None:
                warn(
                    f"{where} is subtracted but not cut off, since no TRIMSEC or DATASEC gives "
                    "the part exposed to light: give trim= (False to keep everything)"
                )
            return

    # ------------------------------------------------------------------ one frame

    def _opened(self, frame: Frame, extensions) -> RawFrame | AssembledFrame:
        if isinstance(frame, (RawFrame, AssembledFrame)):
            return frame
        parts = amplifier_frames(frame, extensions) if isinstance(frame, FileFrame) else [frame]
        if len(parts) > 1:
            return self._assembled(parts)
        if isinstance(self.oscan, Mapping):
            return self._divided(parts[0])
        header = parts[0].header
        light, overscan = self._sections(header, parts[0])
        return self._raw(parts[0], header, light, overscan)

    def _raw(self, frame, header, light: Box, overscan: Box | None, *, amplifier=False) -> RawFrame:
        """A raw frame whose overscan has a known position but is not yet measured."""
        numbers = self._numbers(header, frame, light, amplifier)
        cards = {}
        if overscan is not None:
            cards["SUBOSCAN"] = self._overscan_text(overscan, light)
        if light != Box.whole(frame.shape):
            cards["TRIMIM"] = str(light)
        if numbers["gain"] is not None:
            cards["GAINCOR"] = "to electrons"
        return RawFrame(frame, light, **numbers, overscan=overscan, cards=cards)

    def _overscan_text(self, overscan: Box, light: Box) -> str:
        kind = "median" if self.oscan_median else "mean"
        model = "" if self.oscan_model is None else f", {type(self.oscan_model).__name__}"
        lines = "rows" if lies_beside(overscan, light) else "columns"
        return f"{overscan} {kind} of {lines}{model}"

    def _with_overscan(self, frame):
        """The frame with its overscan measured."""
        if isinstance(frame, AssembledFrame):
            tiles = (t._replace(frame=self._with_overscan(t.frame)) for t in frame.tiles)
            return replace(frame, tiles=tuple(tiles))
        if frame.overscan is None or frame.zero is not None:
            return frame
        zero = measure_overscan(
            frame.raw, frame.overscan, frame.light,
            median=self.oscan_median, model=self.oscan_model,
        )
        return replace(frame, zero=zero)

    # ------------------------------------------------------------------ sections

    def _sections(self, header: Mapping, frame: Frame) -> tuple[Box, Box | None]:
        """The part to keep, and the overscan."""
        whole = Box.whole(frame.shape)
        if isinstance(self.trim, str):
            light = _given_section("trim", self.trim, frame)
            return light, self._overscan(header, frame, cut_off=False)
        card, text = _first_section(header, ("TRIMSEC", "DATASEC"))
        if text is None or (self.trim is False and self.oscan is not None):
            return whole, self._overscan(header, frame, cut_off=False)
        source = f"{card} of {frame.name}"
        with _naming_a_remedy():
            trimmed = reaches_beyond(text, frame.shape, source)
            light = whole if trimmed else parse_section(text, frame.shape, source)
            if light == whole and not trimmed and card == "TRIMSEC":
                light = self._light_by_datasec(header, frame) or whole
            cut_off = trimmed or (light == whole and _is_beyond("BIASSEC", header, frame))
        light = whole if self.trim is False else light
        return light, self._overscan(header, frame, cut_off=cut_off)

    def _light_by_datasec(self, header: Mapping, frame: Frame) -> Box | None:
        """``DATASEC``, if ``TRIMSEC`` is uninformative because it covers the whole frame."""
        _, text = _first_section(header, ("DATASEC",))
        source = f"DATASEC of {frame.name}"
        if text is None or reaches_beyond(text, frame.shape, source):
            return None
        return parse_section(text, frame.shape, source)

    def _overscan(self, header, frame, *, cut_off: bool) -> Box | None:
        """The overscan, unless it has already been cut off."""
        whole = Box.whole(frame.shape)
        if isinstance(self.oscan, str):
            found = _given_section("oscan", self.oscan, frame)
            if found == whole:
                raise ValueError(
                    f"oscan is {self.oscan!r}, which is the whole image of {frame.name}, expected "
                    "the part that is not exposed to light"
                )
            return found
        card, text = _first_section(header, ("BIASSEC",))
        if self.oscan is False or text is None or cut_off:
            return None
        with _naming_a_remedy():
            found = parse_section(text, frame.shape, f"{card} of {frame.name}")
        return None if found == whole else found  # a card that was never filled in

    # ------------------------------------------------------------------ numbers

    def _numbers(self, header, frame: Frame, light: Box, amplifier: bool) -> dict[str, Any]:
        """Gain to apply, saturation and noise."""
        def number(name, unit, **limits):
            value = getattr(self, name)
            if value is None:
                return None
            if isinstance(value, Mapping):
                if amplifier:
                    raise ValueError(
                        f"{name} has sections, but the amplifiers of {frame.name} are extensions; "
                        "expected a number or a header keyword"
                    )
                return _regions(name, value, unit, header, frame, light, **limits)
            return given_number(name, value, unit, header, frame.name, **limits)

        gain = number("gain", u.electron / frame.unit)
        read_noise = number("read_noise", u.electron, may_be_zero=True)
        named = isinstance(self.gain, (str, Keyword))
        applied = gain if isinstance(self.gain, Mapping) or (amplifier and named) else None
        noise = None
        if gain is not None and read_noise is not None:
            noise = NoiseModel(gain if applied is None else 1.0, read_noise)
        return dict(gain=applied, saturation=number("saturation", frame.unit), noise=noise)

    # ------------------------------------------------------------------ amplifiers

    def _divided(self, frame: Frame) -> AssembledFrame:
        """A frame whose amplifiers are parts of one image, with an overscan each."""
        lights, overscans = (
            [_given_section("oscan", text, frame) for text in texts]
            for texts in (self.oscan, self.oscan.values())
        )
        boxes = without_gaps(lights, f"oscan for {frame.name}")
        places = [Place(box, (False, False)) for box in boxes]
        places = on_common_origin(places, list(self.oscan))
        parts = [
            self._raw(frame, frame.header, *boxes)
            for boxes in zip(lights, overscans, strict=True)
        ]
        return _put_together(map(Tile, parts, *zip(*places, strict=True)))

    def _assembled(self, frames: Sequence[FileFrame]) -> AssembledFrame:
        if isinstance(self.oscan, Mapping):
            raise ValueError(
                f"oscan has sections, but the amplifiers of {frames[0].name} are extensions; "
                "expected a FITS section, False or None"
            )
        headers = [frame.header for frame in frames]
        names = [f"{f.name} HDU {f.layout.hdu}" for f in frames]
        how = self._with_gains_of(headers)
        tiles = []
        for frame, header, name in zip(frames, headers, names, strict=True):
            place = place_of(header, name)
            named = replace(frame, name=name)
            light, overscan = how._amplifier_sections(header, named, place.box.shape)
            raw = how._raw(named, header, light, overscan, amplifier=True)
            raw = replace(raw, raw=frame)
            tiles.append((raw, place))
        _check_one_unit(frames, names)
        places = on_common_origin([place for _, place in tiles], names)
        return _put_together(
            Tile(raw, *place) for (raw, _), place in zip(tiles, places, strict=True)
        )

    def _with_gains_of(self, headers: Sequence[Mapping]) -> "Readout":
        """
        Use the gain and read noise of the amplifiers, unless these are given.

        If one amplifier has the keyword in its header, all must have it.
        """
        if self.gain is not None:
            return self
        keywords = {"gain": "GAIN", "read_noise": "RDNOISE"}
        known = {k: c for k, c in keywords.items() if any(c in header for header in headers)}
        return replace(self, **known) if "gain" in known else self

    def _amplifier_sections(self, header, frame, shape) -> tuple[Box, Box | None]:
        """The part to keep is the one that has the size of its position on the detector."""
        light, overscan = self._sections(header, frame)
        if self.trim is None and light.shape != shape:
            _, text = _first_section(header, ("DATASEC",))
            data = text and parse_section(text, frame.shape, f"DATASEC of {frame.name}")
            light = data or light
        if light.shape != shape:
            raise ValueError(
                f"{frame.name} has {light.shape[0]} rows and {light.shape[1]} columns of light in "
                f"{light}, but DETSEC or CCDSEC has {shape[0]} and {shape[1]}; expected the same"
            )
        return light, overscan


def _check_amplifiers(sections: Mapping, trim: Any) -> None:
    if not (sections and all(isinstance(t, str) for pair in sections.items() for t in pair)):
        raise TypeError(
            f"oscan is {sections!r}, expected pairs of FITS sections: for each "
            "amplifier the part exposed to light, and its overscan"
        )
    if trim is not None:
        raise ValueError(f"trim is {trim!r}, but oscan already gives the part to keep")


def _put_together(tiles: Iterable[Tile]) -> AssembledFrame:
    tiles = tuple(sorted(tiles, key=lambda tile: (tile.box.rows.start, tile.box.columns.start)))
    shape = tuple(max(tile.box[i].stop for tile in tiles) for i in (0, 1))
    cards = {"AMPLIFS": len(tiles)} | tiles[0].frame.cards
    return AssembledFrame(tiles, shape, _noise_of(tiles, shape), cards)


def _check_one_unit(frames: Sequence[Frame], names: Sequence[str]) -> None:
    for frame, name in zip(frames, names, strict=True):
        if frame.unit != frames[0].unit:
            raise ValueError(
                f"{name} has unit {frame.unit}, but {names[0]} {frames[0].unit}; expected one unit "
                "for all amplifiers"
            )


def check_one_readout(frames: Sequence[RawFrame | AssembledFrame]) -> None:
    """
    Raise if frames of the same shape have different sections or gains.

    Parameters
    ----------
    frames : sequence of `RawFrame` or `AssembledFrame`
        The frames.

    Raises
    ------
    ValueError
        If sections or gains differ.
    """
    first = {}
    for frame in frames:
        for i, part in enumerate(_parts(frame)):
            other = first.setdefault((i, frame.full_shape, part.full_shape), part)
            _check_one_readout(part, other)


def _check_one_readout(frame: RawFrame, other: RawFrame) -> None:
    for card in sorted({*frame.cards, *other.cards}):
        found, expected = frame.cards.get(card), other.cards.get(card)
        if found != expected:
            raise ValueError(
                f"sections differ: {frame.name} has {_READ[card]} {found}, but {other.name} "
                f"{expected}"
            )
    if frame.noise is None or other.noise is None:
        return
    for what, tolerance in (("gain", _SAME_GAIN), ("read_noise", _SAME_READ_NOISE)):
        numbers = [getattr(f.noise, what) for f in (frame, other)]
        found, expected = (n.values if isinstance(n, Regions) else (n,) for n in numbers)
        if not np.allclose(found, expected, rtol=tolerance, atol=0):
            raise ValueError(
                f"{frame.name} has {what} {_listed(found)}, but {other.name} {_listed(expected)}; "
                "expected the same for all frames, as a number or in all headers"
            )


def _listed(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


def _parts(frame: RawFrame | AssembledFrame) -> list[RawFrame]:
    """The amplifiers of a frame, or the frame itself."""
    return [t.frame for t in frame.tiles] if isinstance(frame, AssembledFrame) else [frame]


def warn_of_zero_points(
    flats: Sequence[RawFrame | AssembledFrame], others: Sequence[RawFrame | AssembledFrame]
) -> None:
    """
    Warn if the zero point was subtracted from flats with the overscan, but not from bias or dark.

    Parameters
    ----------
    flats, others : sequence of `RawFrame` or `AssembledFrame`
        The flats, and the bias and dark frames.
    """
    zero = _parts(flats[0])[0].zero
    for frame in others if zero is not None else ():
        if _parts(frame)[0].zero is None:
            middle = frame.shape[0] // 2
            values = frame.part(slice(middle, middle + 1)).load().section(slice(None)).data
            found, expected = np.nanmedian(values), np.median(zero)
            if found > expected / 2:
                warn(
                    f"{frame.name} has a zero point of {found:.4g}, while that of the flats, "
                    f"{expected:.4g}, was subtracted with their overscan: subtract the overscan "
                    "of this frame as well, or give oscan=False"
                )
                return


_READ = {
    "SUBOSCAN": "the overscan (BIASSEC)", "TRIMIM": "the light (TRIMSEC, DATASEC)",
    "GAINCOR": "the gain",
}


def _log_what_is_done(frames: Sequence[RawFrame | AssembledFrame]) -> None:
    done = Counter("; ".join(f"{k} {v}" for k, v in frame.cards.items()) for frame in frames)
    for what, n in done.items():
        if what:
            _log.info("%d frames: %s", n, what)


def _is_processed(header: Mapping) -> bool:
    """Whether the overscan was subtracted or cut off by ccdproc or this package."""
    return any(card in header for card in ("TRIMIM", "SUBOSCAN"))


def _first_of(extensions: Sequence[int | str]) -> int | str:
    if not extensions:
        raise ValueError("hdu is an empty list, expected the extensions of the amplifiers")
    return extensions[0]


def _first_section(header: Mapping, cards: Sequence[str]) -> tuple[str, str] | tuple[None, None]:
    """Name and value of the first of these cards that is not empty."""
    for card in cards:
        text = str(header.get(card) or "").strip()
        if not is_empty_section(text):
            return card, text
    return None, None


@contextmanager
def _naming_a_remedy() -> Iterator[None]:
    """Make sure that errors about a section in a header say what can be given instead."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{error}; give oscan= and trim= (False for none)") from error


def _is_beyond(card: str, header: Mapping, frame: Frame) -> bool:
    _, text = _first_section(header, (card,))
    return text is not None and reaches_beyond(text, frame.shape, f"{card} of {frame.name}")


def _is_of_another_size(text: str, shape: tuple[int, int], source: str) -> bool:
    return reaches_beyond(text, shape, source) and not has_shape(text, shape, source)


def _given_section(name: str, text: str, frame: Frame) -> Box:
    source = f"{name} for {frame.name}"
    if not isinstance(text, str):
        raise TypeError(f"{source} is {text!r}, expected a FITS section [x1:x2,y1:y2]")
    found = parse_section(text, frame.shape, source)
    if found is None:
        raise ValueError(f"{source} is {text!r}, expected a section that is not empty")
    return found


def _regions(name, values: Mapping, unit, header, frame: Frame, light: Box, **limits) -> Any:
    """The number of each section of a frame, in raw coordinates; or that of all its light."""
    boxes = [_given_section(f"section of {name}", text, frame) for text in values]
    check_tiling(boxes, list(values), light, f"{name} for {frame.name}")
    numbers = [
        given_number(f"{name} of {text}", value, unit, header, frame.name, **limits)
        for text, value in values.items()
    ]
    kept = [
        (box.common(light).inside(light), number)
        for box, number in zip(boxes, numbers, strict=True) if box.common(light)
    ]
    if len(kept) == 1:
        return kept[0][1]
    return Regions(light.shape, *(tuple(column) for column in zip(*kept, strict=True)))


def _noise_of(tiles: Sequence[Tile], shape: tuple[int, int]) -> NoiseModel | None:
    models = [tile.frame.noise for tile in tiles]
    if None in models:
        return None
    read_noise = tuple(model.read_noise for model in models)
    for tile, number in zip(tiles, read_noise, strict=True):
        if isinstance(number, Regions):
            raise ValueError(
                f"read_noise has several sections in {tile.frame.light} of {tile.frame.name}, "
                "expected one for each amplifier"
            )
    if len(set(read_noise)) == 1:
        return models[0]
    return NoiseModel(models[0].gain, Regions(shape, tuple(t.box for t in tiles), read_noise))
