# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Layouts of raw frames: overscan, amplifiers, extensions, names of keywords."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from astropy.io import fits

from ccdproc_echelle.frames import Box, parse_place, without_gaps
from ccdproc_echelle.simulation.checks import check
from ccdproc_echelle.simulation.exposing import digitised, expose
from ccdproc_echelle.simulation.scene import Exposure

__all__ = ["LAYOUTS", "RawLayout", "layout_named"]

# Random streams of the zero points and of the pixels without light; see `layers.Layer.streams`.
_STREAMS = {"flat": 101, "dark": 102, "bias": 103}

# Difference between the zero points of successive amplifiers, in adu.
_STEP = 15.0


@dataclass(frozen=True, kw_only=True)
class RawLayout:
    """
    Read-out of a detector and layout of its files.

    Parameters
    ----------
    overscan, prescan : int
        Number of columns without light after and before those with light: of the image, or of each
        amplifier if amplifiers are extensions.
    overscan_rows : int
        Number of rows without light above those with light.
    reference_pixels : int
        Width of a border without light around the image.
    bias_drift : float
        The zero point of each frame, and of each amplifier, is uniformly distributed within this
        range, in adu.
    amplifier_sections : dict
        For amplifiers in one image with an overscan each: a dict that maps the light-sensitive FITS
        section of each to its overscan section. Everything else has no light.
    gains : sequence of float, or of sequences, optional
        Electrons per adu of each amplifier. The amplifiers of a sequence lie side by side; further
        sequences lie above. Default: a single amplifier with the gain of the simulation.
    extensions : bool
        Whether each amplifier is an extension; otherwise all are in the primary HDU.
    mirrored : bool
        Whether every other amplifier is read from the opposite end; only with extensions.
    detectors : bool
        Whether the extensions are detectors side by side, rather than amplifiers of one: each has
        one of ``gains``, and an image of its own in which it sees the same light.
    binning : tuple of int
        Number of detector rows and columns per pixel, as counted by ``DETSEC``.
    sections : bool or sequence of str
        Whether headers contain ``BIASSEC``, ``TRIMSEC`` and ``DATASEC``, and those of extensions
        ``DETSEC`` and ``CCDSUM``; or the names of those that they contain.
    repeated : bool
        Whether extensions repeat the cards of the primary header.
    keywords : dict
        Keywords that are renamed, such as ``{"EXPTIME": "ELAPTIME"}``.
    cards : dict
        Additional cards.
    compressed : bool
        Whether images are tile-compressed (``.fits.fz``).

    Raises
    ------
    ValueError
        If a number is out of range, detectors are not in extensions, or amplifiers in one image are
        combined with extensions.

    Examples
    --------
    >>> from ccdproc_echelle.simulation import RawLayout
    >>> RawLayout(overscan=32, bias_drift=3, gains=(1.0, 1.5), extensions=True).n_amplifiers
    2
    """

    overscan: int = 0
    prescan: int = 0
    overscan_rows: int = 0
    reference_pixels: int = 0
    bias_drift: float = 0.0
    amplifier_sections: Mapping[str, str] = field(default_factory=dict)
    gains: tuple = ()
    extensions: bool = False
    mirrored: bool = True
    detectors: bool = False
    binning: tuple[int, int] = (1, 1)
    sections: bool | Sequence[str] = True
    repeated: bool = False
    keywords: Mapping[str, str] = field(default_factory=dict)
    cards: Mapping[str, object] = field(default_factory=dict)
    compressed: bool = False

    def __post_init__(self):
        for name in ("overscan", "prescan", "overscan_rows", "reference_pixels"):
            check(name, getattr(self, name), 0, integer=True)
        check("bias_drift", self.bias_drift, 0)
        for gain in np.ravel(self.gains).tolist():
            check("gains", gain, np.finfo(float).tiny)
        for number in self.binning:
            check("binning", number, 1, integer=True)
        if self.detectors and not self.extensions:
            raise ValueError("detectors is True, but extensions is False; expected both")
        if self.amplifier_sections and self.extensions:
            raise ValueError("amplifier_sections are parts of one image, but extensions is True")

    @property
    def n_amplifiers(self) -> int:
        """Number of amplifiers."""
        return max(1, np.size(self.gains))

    @property
    def suffix(self) -> str:
        """Extension of the file names."""
        return ".fits.fz" if self.compressed else ".fits"

    def read_out(self, simulation, exposure: Exposure) -> fits.HDUList:
        """
        Create the file of one exposure.

        Parameters
        ----------
        simulation : `EchelleSimulation`
            The simulation that is exposed.
        exposure : ``ccdproc_echelle.simulation.scene.Exposure``
            The frame to expose.

        Returns
        -------
        `~astropy.io.fits.HDUList`
        """
        noise, frame = simulation.noise, expose(simulation, exposure, uncertainty=False)
        pedestal = simulation._turned(simulation.truth._pedestal + np.zeros(simulation._row_shape))
        electrons = (frame.data.astype(float) - pedestal) * noise.gain
        key = (_STREAMS[exposure.kind], exposure.index)
        rng = np.random.default_rng(np.random.SeedSequence(simulation.seed, spawn_key=key))
        amplifiers = list(self._amplifiers(electrons.shape, noise.gain))
        zeros = self._zeros(len(amplifiers), rng)
        parts = [
            electrons[where] / gain + pedestal[where] + zero
            for (where, gain, _), zero in zip(amplifiers, zeros, strict=True)
        ]
        reader = _Reader(self, noise.read_noise if noise.drawn else 0.0, rng)
        header, dark = self._header(frame.header), pedestal.mean()
        if self.amplifier_sections:
            gains = [gain for _, gain, _ in amplifiers]
            image = reader.divided_image(*self._boxes, parts, dark + zeros, gains)
            return self._file(header, [image], None)
        if not self.extensions:
            image = np.empty_like(electrons)
            for (where, _, _), part in zip(amplifiers, parts, strict=True):
                image[where] = part
            header.update(self._sections_of(image.shape))
            image = reader.image(image, dark + zeros[-1], amplifiers[-1][1])
            return self._file(header, [image], None)
        images = [
            reader.image(part[:, ::-1] if flip else part, dark + zero, gain)
            for part, (_, gain, flip), zero in zip(parts, amplifiers, zeros, strict=True)
        ]
        headers = [
            self._amplifier_header(i, *one, noise.read_noise) for i, one in enumerate(amplifiers)
        ]
        return self._file(header, images, headers)

    def _zeros(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Offset of each zero point; they drift separately if each has an overscan."""
        apart = self.extensions or self.amplifier_sections
        drifts = self.bias_drift * rng.uniform(-1, 1, n if apart else 1)
        return drifts + _STEP * np.arange(n)

    def _amplifiers(self, shape: tuple[int, int], gain: float) -> Iterator[tuple]:
        """Part of the light and gain of each amplifier, and whether it is mirrored."""
        gains = np.atleast_2d(self.gains if np.size(self.gains) else gain)
        if self.detectors:
            whole = tuple(slice(0, n) for n in shape)
            yield from ((whole, gain, False) for gain in gains.ravel().tolist())
            return
        if self.amplifier_sections:
            boxes = without_gaps(self._boxes[0], "amplifier_sections")
            if _extent(boxes) != shape:
                raise ValueError(
                    f"amplifier_sections have light of shape {_extent(boxes)}, but the simulation "
                    f"has shape {shape}"
                )
            gains = np.broadcast_to(gains.ravel(), len(boxes)).tolist()
            yield from ((tuple(box), gain, False) for box, gain in zip(boxes, gains, strict=True))
            return
        rows, columns = (
            np.linspace(0, n, k + 1).round().astype(int)
            for n, k in zip(shape, gains.shape, strict=True)
        )
        for i, j in np.ndindex(*gains.shape):
            where = slice(rows[i], rows[i + 1]), slice(columns[j], columns[j + 1])
            yield where, float(gains[i, j]), (self.mirrored and j % 2 == 1)

    @property
    def _boxes(self) -> list[list[Box]]:
        """The light of each amplifier in one image, and its overscan."""
        return [
            [parse_place(text, (1, 1), "amplifier_sections").box for text in texts]
            for texts in (self.amplifier_sections, self.amplifier_sections.values())
        ]

    # ------------------------------------------------------------------ headers

    def _header(self, header: fits.Header) -> fits.Header:
        """The cards of an exposure under the names used in this layout."""
        result = fits.Header()
        for card in header.cards:
            _put(result, self.keywords.get(card.keyword, card.keyword), card.value)
        for name, value in self.cards.items():
            _put(result, name, value)
        if self.extensions:
            for name in ("GAIN", "RDNOISE"):
                result.pop(self.keywords.get(name, name), None)
        return result

    def _amplifier_header(self, index, where, gain, flip, read_noise) -> fits.Header:
        rows, columns = where
        shape = rows.stop - rows.start, columns.stop - columns.start
        own = fits.Header(list(self._sections_of(shape).items()))
        first = index * shape[1] if self.detectors else columns.start
        place = rows, slice(first, first + shape[1])
        y, x = ((s.start * n + 1, s.stop * n) for s, n in zip(place, self.binning, strict=True))
        x = x[::-1] if flip else x
        binning = f"{self.binning[1]} {self.binning[0]}"
        own.update(self._told(DETSEC=f"[{x[0]}:{x[1]},{y[0]}:{y[1]}]", CCDSUM=binning))
        for name, value in (("GAIN", gain), ("RDNOISE", read_noise)):
            _put(own, self.keywords.get(name, name), value)
        return own

    def _told(self, **cards: str) -> dict[str, str]:
        """The cards among these that the headers contain."""
        if isinstance(self.sections, bool):
            return cards if self.sections else {}
        return {name: value for name, value in cards.items() if name in self.sections}

    def _sections_of(self, shape: tuple[int, int]) -> dict[str, str]:
        border, (rows, columns) = self.reference_pixels, shape
        first = border + self.prescan
        light = f"[{first + 1}:{first + columns},{border + 1}:{border + rows}]"
        found = {"DATASEC": light, "TRIMSEC": light}
        end = border + rows + self.overscan_rows
        if self.overscan:
            found["BIASSEC"] = f"[{first + columns + 1}:{first + columns + self.overscan},1:{end}]"
        elif self.prescan:
            found["BIASSEC"] = f"[{border + 1}:{first},1:{end}]"
        elif self.overscan_rows:
            found["BIASSEC"] = f"[{first + 1}:{first + columns},{border + rows + 1}:{end}]"
        return self._told(**found)

    def _file(self, header, images, headers) -> fits.HDUList:
        if headers is None:
            header["BUNIT"] = "adu"
        if headers is None and not self.compressed:
            return fits.HDUList([fits.PrimaryHDU(images[0], header)])
        if headers is None:
            return fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(images[0], header)])
        hdus = fits.HDUList([fits.PrimaryHDU(header=header)])
        kind = fits.CompImageHDU if self.compressed else fits.ImageHDU
        for i, (image, own) in enumerate(zip(images, headers, strict=True), start=1):
            full = header.copy() if self.repeated else fits.Header()
            full.update(own)
            full["BUNIT"] = "adu"
            hdus.append(kind(image, full, name=f"{'CCD' if self.detectors else 'AMP'}{i}"))
        return hdus


def _extent(boxes: Sequence[Box]) -> tuple[int, int]:
    return tuple(max(box[axis].stop for box in boxes) for axis in (0, 1))


def _put(header: fits.Header, name: str, value) -> None:
    header[f"HIERARCH {name}" if len(name) > 8 else name] = value


@dataclass(frozen=True)
class _Reader:
    """Adds the pixels without light, and digitises the values."""

    layout: RawLayout
    read_noise: float
    rng: np.random.Generator

    def image(self, light: np.ndarray, zero: float, gain: float) -> np.ndarray:
        layout = self.layout
        rows, columns = light.shape
        border = layout.reference_pixels
        shape = (
            rows + layout.overscan_rows + 2 * border,
            columns + layout.prescan + layout.overscan + 2 * border,
        )
        image = zero + self.read_noise / gain * self.rng.standard_normal(shape)
        first = border + layout.prescan
        image[border:border + rows, first:first + columns] = light
        return digitised(image)

    def divided_image(self, lights, overscans, parts, zeros, gains) -> np.ndarray:
        image = np.full(_extent([*lights, *overscans]), zeros[0])
        for light, overscan, part, zero, gain in zip(
            lights, overscans, parts, zeros, gains, strict=True
        ):
            noise = self.rng.standard_normal(overscan.shape)
            image[tuple(overscan)] = zero + self.read_noise / gain * noise
            image[tuple(light)] = part
        return digitised(image)


_ESO = {
    "GAIN": "ESO DET OUT1 CONAD", "RDNOISE": "ESO DET OUT1 RON", "IMAGETYP": "ESO DPR TYPE",
}

#: Layouts by name.
LAYOUTS = {
    "overscan": RawLayout(overscan=32, bias_drift=3.0),
    "amplifiers": RawLayout(overscan=32, bias_drift=3.0, gains=(1.0, 1.5)),
    "mef": RawLayout(overscan=32, bias_drift=3.0, gains=(1.0, 1.5), extensions=True),
    "extension": RawLayout(extensions=True, sections=False),
    "fz": RawLayout(overscan=32, bias_drift=3.0, compressed=True),
    "reference pixels": RawLayout(reference_pixels=4, sections=False),
    "eso": RawLayout(
        prescan=10, overscan=48, bias_drift=3.0, sections=False, keywords=_ESO,
        cards={"ESO DET OUT1 PRSCX": 10, "ESO DET OUT1 OVSCX": 48, "ESO SEQ ARM": "VIS"},
    ),
}


def layout_named(layout: RawLayout | str) -> RawLayout:
    """A layout, given as such or by name."""
    if isinstance(layout, RawLayout):
        return layout
    if layout not in LAYOUTS:
        raise ValueError(f"layout is {layout!r}, expected a RawLayout or one of {list(LAYOUTS)}")
    return LAYOUTS[layout]
