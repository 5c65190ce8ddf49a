# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A realistic night: several set-ups, their calibrations, and some unusable files."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from astropy import units as u
from astropy.time import Time

from ccdproc_echelle.frames import check_output, replacing
from ccdproc_echelle.simulation.checks import check
from ccdproc_echelle.simulation.layouts import RawLayout

__all__ = ["SimulatedNight", "write_night"]

_BEGIN = Time("2024-01-01T20:00:00")
_FROM_FRAME_TO_FRAME = 40 * u.s

# Fraction of a truncated file that remains.
_WRITTEN = 0.6

# Light of the blue filter, relative to the red one.
_BLUE_LIGHT = 0.5


@dataclass(frozen=True)
class SimulatedNight:
    """
    Contents of a night written by `EchelleSimulation.write_night`.

    Attributes
    ----------
    setups : dict
        The simulation of each set-up by filter and binning, such as ``"red 2x2"``; its ``truth`` is
        that of the flats.
    flats : dict
        Paths of the usable flats of each set-up.
    left_out : dict
        Reason for each file that is not usable.
    """

    setups: dict[str, Any]
    flats: dict[str, list[Path]]
    left_out: dict[Path, str]


def write_night(
    simulation, folder, *, n_flats: int, n_biases: int, layout: RawLayout, overwrite: bool
) -> SimulatedNight:
    """Implementation of `EchelleSimulation.write_night` for a simulation."""
    check("n_flats", n_flats, 2, integer=True)
    check("n_biases", n_biases, 1, integer=True)
    setups = _setups(simulation)
    writer = _Writer(Path(folder), layout, overwrite)
    plan = list(_frames(setups, n_flats, n_biases))
    paths = [writer.path(i, what) for i, (what, *_) in enumerate(plan)]
    note = check_output(Path(folder) / "observing_log.txt", overwrite=overwrite)
    flats, left_out = {name: [] for name in setups}, {}
    for i, (path, frame) in enumerate(zip(paths, plan, strict=True)):
        what, name, kind, index, cards = frame
        writer.write(path, i, setups.get(name, simulation), name, kind, index, cards)
        if what == "truncated":
            path.write_bytes(path.read_bytes()[:int(_WRITTEN * path.stat().st_size)])
        if what == "flat":
            flats[name].append(path)
        elif what in _USELESS:
            left_out[path] = _USELESS[what]
    note.write_text("Clouds from 2 h on.\n", encoding="utf-8")
    return SimulatedNight(setups, flats, left_out | {note: "no frame"})


_USELESS = {
    "lampfailed": "a flat without light", "other": "of another instrument",
    "truncated": "a file that ends too early", "science": "a science frame",
}


def _setups(simulation) -> dict[str, Any]:
    """Two filters, and the first of them on a binned detector."""
    rows, columns = simulation.shape
    width, gap = simulation.order_width, simulation.smallest_gap
    binned = replace(
        simulation,
        shape=(rows // 2, columns // 2),
        order_width=None if width is None else width / 2,
        smallest_gap=None if gap is None else gap / 2,
        psf_sigma=simulation.psf_sigma / 2,
        seed=simulation.seed + 2,
    )
    blue = replace(simulation, peak=_BLUE_LIGHT * simulation.peak, seed=simulation.seed + 1)
    return {"red 1x1": simulation, "blue 1x1": blue, "red 2x2": binned}


def _frames(setups, n_flats: int, n_biases: int):
    """Type, set-up, kind of exposure, index and cards of each frame."""
    for name in setups:
        for i in range(n_flats):
            yield "flat", name, "flat", i, {}
    yield "lampfailed", "blue 1x1", "dark", 0, {"IMAGETYP": "Flat Field"}
    yield "truncated", "red 1x1", "flat", n_flats, {}
    yield "other", "red 1x1", "flat", n_flats + 1, {"INSTRUME": "imager"}
    yield "science", "red 1x1", "flat", n_flats + 2, {"IMAGETYP": "object"}
    for i in range(n_biases):
        yield "lampoff", "red 1x1", "dark", i + 1, {"IMAGETYP": "Lamp Off"}
    for name in ("red 1x1", "red 2x2"):
        for i in range(n_biases):
            yield "bias", name, "bias", i, {"IMAGETYP": "Bias Frame"}


@dataclass(frozen=True)
class _Writer:
    folder: Path
    layout: RawLayout
    overwrite: bool

    def path(self, number: int, what: str) -> Path:
        name = f"night_{number + 1:03d}{self.layout.suffix}"
        return check_output(self.folder / name, overwrite=self.overwrite)

    def write(self, path: Path, number: int, simulation, name, kind, index, cards) -> None:
        colour, binning = name.split()
        start = _BEGIN + number * _FROM_FRAME_TO_FRAME
        factor = int(binning[0])
        named = {self.layout.keywords.get(key, key): value for key, value in cards.items()}
        own = replace(self.layout, binning=(factor, factor), cards={
            **self.layout.cards, "FILTER": colour, "CCDSUM": binning.replace("x", " "),
            "DATE-OBS": start.isot, "MJD-OBS": start.mjd, **named,
        })
        hdus = own.read_out(simulation, simulation._exposure(kind, index))
        with replacing(path, overwrite=self.overwrite) as temporary:
            hdus.writeto(temporary)
