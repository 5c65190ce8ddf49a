# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Compare the orders traced by this package, by PyReduce and by IRAF with the truth.

Each scene is a flat whose orders are known: one simulation for each feature of real detectors, and
two real frames. For one of these, a pattern drawn by hand stands in for the truth. For the other,
the lab echelle, the middle of the light is measured: between the outermost half maxima, and as the
centroid, on a straight background. Its orders are not symmetric, so that the two differ, and a
tracer that is close to one of them is not necessarily better.

- `trace_orders` gets nothing but the frame.
- PyReduce (``mark_orders``) is tried with many settings. IRAF (``apfind``, ``aptrace``) gets the
  number of orders and their minimum separation, and is tried with several widths. The attempt
  closest to the truth counts for each.

PyReduce must be installed in the environment that runs this (``pip install pyreduce-astro``), and
``irafcl`` must be on the path (Debian: ``iraf``, ``iraf-noao``); a missing program is reported and
left out. The real frames are those in the folder ``CCDPROC_ECHELLE_DATA``::

    CCDPROC_ECHELLE_DATA=../shared/data python benchmarks/tracing.py

``--random N`` tests this package alone, including edges, on N spectrographs of
``EchelleSimulation.random(seed, flaws=True)``, and reports whether there was a warning whenever
something was off by more than a pixel. An order whose centre is nowhere on the detector may be
found or not; so may one more order beyond the last.
"""

import argparse
import itertools
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from astropy.io import fits
from astropy.table import Table
from scipy.ndimage import map_coordinates

from ccdproc_echelle import EchelleOrderTable, detect_order_edges, trace_orders
from ccdproc_echelle.simulation import EchelleSimulation
from ccdproc_echelle.simulation.flaws import PartialOrder

_BRIGHT = 0.05  # of its peak: where an order has light
_REACH, _BLOCK = 21, 20  # rows on either side of an order of the lab echelle; columns of a sample
_FARTHEST = 0.5  # of the width of an order: a trace farther from its centre is not its own

_IRAF_SCRIPT = """\
set imtype = "fits"
noao
twodspec
apextract
apextract.dispaxis = 1
apextract.database = "database"
apedit.width = {width}
apedit.radius = {width}
apedit.threshold = 0
apfind ("flat.fits", nfind={number}, minsep={least}, maxsep=100000, interactive=no, recenter=yes,
    resize=no, edit=no, nsum=10, line=INDEF)
aptrace ("flat.fits", interactive=no, find=no, recenter=no, resize=no, edit=no, trace=yes,
    fittrace=no, nsum=10, step=10, nlost=10, function="legendre", order=5, niterate=3)
logout
"""


# ---------------------------------------------------------------------- scenes


@dataclass(frozen=True)
class Scene:
    """A flat with its orders along the rows, and their true centres, NaN without light."""

    name: str
    flat: np.ndarray
    centers: np.ndarray
    width: float
    others: np.ndarray | None = None  # light that is no order, but may be found

    @property
    def spacing(self) -> float:
        middles = np.sort(np.nanmedian(self.centers, axis=1))
        return float(np.diff(middles).min()) if len(middles) > 1 else float(len(self.flat))


def simulated(name: str, simulation: EchelleSimulation, others=None) -> Scene:
    """Scene of a simulation; each fibre and each slice has a trace of its own."""
    orders, profile = simulation.truth.orders, simulation.order_profile
    lower, upper, centers = orders.lower(), orders.upper(), orders.center()
    number, width = getattr(profile, "n", 1), float(np.median(upper - lower))
    part = np.arange(number)[:, None, None]
    if hasattr(profile, "pitch"):
        scale = (upper - lower) / profile.width
        centers = centers + scale * (part - (number - 1) / 2) * profile.pitch
        width = 2.4 * profile.sigma
    elif number > 1:
        step = (upper - lower + profile.gap) / number
        centers = lower + part * step + (step - profile.gap) / 2
        width = float(np.median(step)) - profile.gap
    blaze = simulation.truth.blaze
    lit = blaze > _BRIGHT * blaze.max(axis=1, keepdims=True)
    centers = np.where(lit, centers, np.nan).reshape(-1, orders.shape[1])
    on_detector = (centers > 4) & (centers < orders.shape[0] - 5)
    return Scene(name, simulation.flats(1)[0].data, np.where(on_detector, centers, np.nan), width,
                 others)


def simulated_scenes() -> Iterator[Scene]:
    """One scene for each thing that real detectors have."""
    plain = EchelleSimulation(shape=(600, 700), n_orders=12, seed=3, order_width=14)
    narrow = EchelleSimulation(shape=(300, 700), n_orders=30, seed=3, order_width=2,
                               smallest_gap=3, psf_sigma=0.7)
    few = EchelleSimulation(shape=(900, 700), n_orders=5, seed=3, order_width=120)
    roomy = EchelleSimulation(shape=(800, 700), n_orders=8, seed=3, order_width=30)
    bands = plain.truth.orders.center() + 22
    partial = plain.truth.orders.center()[-1:] + 40
    for name, simulation, others in (
        ("plain", plain, None),
        ("160:1 in brightness", EchelleSimulation(
            shape=(600, 700), n_orders=12, seed=3, order_width=14, brightness_ratio=160), None),
        ("orders of 2 px", narrow, None),
        ("orders of 120 px", few, None),
        ("row and column pattern", plain.with_fixed_pattern(rows=12, columns=6, ripple=8), None),
        ("bias steps", plain.with_bias_step(rows=15, columns=-10), None),
        ("reference pixels", plain.with_dark_border(4), None),
        ("dead lines", plain.with_bad_lines(rows=(155, 300, 301), columns=(200,)), None),
        ("hot lines", plain.with_bad_lines(rows=(155, 300), columns=(200,), value=6e4), None),
        ("partial order", plain.with_partial_order(40, 14), partial),
        ("short orders", plain.with_short_orders({14: (50, 250), 17: (400, 690)}), None),
        ("dark end", plain.with_dark_end(0.3), None),
        ("vignetting", plain.with_vignetting(0.9), None),
        ("fibres", plain.with_fibres(sigma=1.5), None),
        ("bundles of 3 fibres", plain.with_fibres(3, sigma=1.2, pitch=7), None),
        ("slicer of 3", roomy.with_slicer(3, gap=3), None),
        ("tilted slit", plain.with_tilted_slit(0.3), None),
        ("secondary bands", plain.with_secondary_bands(22, 3, fraction=0.1), bands),
        ("fringes", plain.with_fringes(0.15), None),
        ("ghosts", plain.with_ghosts(3), None),
    ):
        yield simulated(name, simulation, others)


def real_scenes(folder: Path) -> Iterator[Scene]:
    """The real frames; those not there are said to be missing."""
    for name, scenes in (("dv435", _dv435), ("lab echelle", _lab_echelle)):
        try:
            yield from scenes(name, folder)
        except FileNotFoundError as error:
            print(f"{name} is left out: {error}")


def _dv435(name: str, folder: Path) -> Iterator[Scene]:
    flat = fits.getdata(folder / "dv435/ccd_flat1.fits.gz").astype(float)
    pattern = np.loadtxt(folder / "dv435/pattern.txt")
    yield Scene(name, flat, (pattern.T + 0.5) / 8 - 0.5, 2.0)


def _lab_echelle(name: str, folder: Path) -> Iterator[Scene]:
    flat, dark = (
        fits.getdata(folder / f"zyla/zyla_{kind}_01.fits.gz").astype(float)
        for kind in ("flat", "dark")
    )
    # PyReduce made this table: it says where to look, and is no truth.
    orders = EchelleOrderTable.read(folder / "order_tables/pyreduce_zyla.npz", shape=flat.shape)
    measured = np.array([_middles(flat - dark, center) for center in orders.center()])
    for kind, centers in zip(("half maxima", "centroid"), measured.swapaxes(0, 1), strict=True):
        yield Scene(f"{name}, {kind}", flat, centers, 20.0)


def _middles(light: np.ndarray, rough: np.ndarray) -> np.ndarray:
    """
    Middle between the half maxima of an order, and its centroid, shape (2, n_columns).

    NaN where not measured; the rough trace if that is everywhere, as on an order that is cut.
    """
    offsets, found = np.arange(-_REACH, _REACH + 1.0), np.full((2, len(rough)), np.nan)
    for first in range(0, len(rough) - _BLOCK + 1, _BLOCK):
        columns = np.arange(first, first + _BLOCK)
        places = rough[columns, None] + offsets
        if not (places.min() > 0 and places.max() < len(light) - 1):
            continue
        samples = map_coordinates(light, [places, columns[:, None] + 0 * places], order=1)
        off = _middles_of_profile(offsets, np.median(samples, axis=0))
        found[:, first + _BLOCK // 2] = rough[first + _BLOCK // 2] + off
    return found if np.isfinite(found).any() else np.stack([rough, rough])


def _middles_of_profile(offsets: np.ndarray, profile: np.ndarray) -> tuple[float, float]:
    """Middle between the half maxima, and centroid, between the minima on both sides."""
    low, high = profile[:_REACH].argmin(), _REACH + profile[_REACH:].argmin()
    at, light = offsets[low : high + 1], profile[low : high + 1]
    light = light - np.interp(at, at[[0, -1]], light[[0, -1]])
    half = np.percentile(light, 80) / 2
    first, last = np.flatnonzero(light > half)[[0, -1]]
    edges = (np.interp(half, light[k : k + 2], at[k : k + 2]) if k == first - 1
             else np.interp(half, light[k : k + 2][::-1], at[k : k + 2][::-1])
             for k in (first - 1, last))
    return float(np.mean(list(edges))), float((at * light).sum() / light.sum())


# ---------------------------------------------------------------------- tracers


def ours(scene: Scene) -> Iterator[np.ndarray]:
    """Centres found by this package, told nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield trace_orders(scene.flat, dispersion_axis=1).center()


def pyreduce(scene: Scene) -> Iterator[np.ndarray]:
    """Centres found by PyReduce, with many settings."""
    from pyreduce.trace_orders import mark_orders

    columns = np.arange(scene.flat.shape[1])
    for size, noise, (opening, closing) in itertools.product(
        (None, scene.spacing), (None, 3, 50), (((2, 2), (5, 5)), ((1, 1), (1, 5)))
    ):
        try:
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
                found, ranges = mark_orders(
                    scene.flat, min_cluster=300, min_width=0.1, noise=noise, border_width=0,
                    filter_size=None if size is None else int(size), opening_shape=opening,
                    closing_shape=closing, manual=False, plot=False,
                )
        except Exception:  # a setting that fails is not the best one
            continue
        yield np.array([
            np.where((columns >= first) & (columns < last), np.polyval(powers, columns), np.nan)
            for powers, (first, last) in zip(found, ranges, strict=True)
        ]).reshape(-1, len(columns))


def iraf(scene: Scene) -> Iterator[np.ndarray]:
    """Centres found by IRAF, told how many there are."""
    for width in (scene.width, 1.5 * scene.width, 5.0):
        with TemporaryDirectory() as home:
            folder = Path(home)
            fits.writeto(folder / "flat.fits", scene.flat.astype(np.float32))
            (folder / "uparm").mkdir()
            (folder / "login.cl").write_text(
                f'set home = "{home}/"\nset uparm = "home$uparm/"\nset imdir = "home$"\nkeep\n'
            )
            (folder / "run.cl").write_text(_IRAF_SCRIPT.format(
                width=max(width, 3), number=len(scene.centers), least=0.6 * scene.spacing
            ))
            subprocess.run(
                ["irafcl", "-e", "-f", "run.cl"], cwd=folder, env=os.environ | {"HOME": home},
                stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=False,
            )
            database = folder / "database" / "apflat"
            if database.exists():
                # No shape: IRAF may find an order twice, which a table of a detector refuses.
                orders = EchelleOrderTable.read(database, format="iraf")
                yield orders.center(np.arange(scene.flat.shape[1]))


def tracers() -> dict[str, Callable]:
    """This package and those of its peers that are here."""
    found = {"ccdproc_echelle": ours}
    if find_spec("pyreduce"):
        found["PyReduce"] = pyreduce
    else:
        print("PyReduce is left out: it is not installed here")
    if shutil.which("irafcl"):
        found["IRAF"] = iraf
    else:
        print("IRAF is left out: no irafcl on the path")
    return found


# ---------------------------------------------------------------------- scores


@dataclass(frozen=True, order=True)
class Score:
    """What became of the orders of a scene; the best is the least."""

    wrong: int
    rms: float
    found: int
    missed: int
    invented: int

    def __str__(self) -> str:
        return f"{self.found:3d} {self.missed:3d} {self.invented:3d} {self.rms:6.3f}"


def score(found: np.ndarray, scene: Scene) -> Score:
    """Centres found beside the true ones; the RMS is the median of those of the orders."""
    rows, off = _nearest(found, scene.centers)
    own = off < max(_FARTHEST * scene.width, 1)
    taken = {int(row) for row in rows[own]}
    others = [row for row in range(len(found)) if row not in taken]
    if scene.others is not None and others:
        beside = _nearest(scene.others, found[others])[1]
        others = [row for row, away in zip(others, beside, strict=True) if away > scene.width]
    rms = [
        np.sqrt(np.nanmean((found[row] - center) ** 2))
        for row, center in zip(rows[own], scene.centers[own], strict=True)
    ]
    missed = len(own) - len(taken)
    return Score(missed + len(others), float(np.median(rms)) if rms else np.inf, len(taken), missed,
                 len(others))


def _nearest(found: np.ndarray, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each centre the row of the nearest trace, and the median distance from it."""
    if len(found) == 0:
        return np.zeros(len(centers), dtype=int), np.full(len(centers), np.inf)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        distances = np.array([np.nanmedian(np.abs(found - center), axis=1) for center in centers])
    distances = np.nan_to_num(distances, nan=np.inf)
    return distances.argmin(axis=1), distances.min(axis=1)


def best(tracer: Callable, scene: Scene) -> Score | str:
    """Score of the attempt that is nearest to the truth."""
    try:
        return min((score(found, scene) for found in tracer(scene)), default="failed")
    except Exception as error:  # one that fails must not hide the others
        return f"{type(error).__name__}: {error}"[:40]


def compare(scenes: Iterator[Scene]) -> None:
    """Print a row for each scene."""
    programs = tracers()
    print("\nfound, missed, invented, and median RMS of the centres in pixels\n")
    print(f"{'scene':24}{'orders':>7}  " + "  ".join(f"{name:20}" for name in programs))
    for scene in scenes:
        scores = [str(best(tracer, scene)) for tracer in programs.values()]
        row = "  ".join(f"{text:20}" for text in scores)
        print(f"{scene.name:24}{len(scene.centers):7d}  {row}", flush=True)


# ---------------------------------------------------------------------- random spectrographs


def attempt(seed: int) -> dict:
    """Orders and edges of a random spectrograph beside the truth."""
    simulation = EchelleSimulation.random(seed, flaws=True)
    truth, profile = simulation.truth.orders, simulation.order_profile
    frame = simulation.flats(1)[0]
    number = getattr(profile, "n", 1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        orders = trace_orders(
            frame, dispersion_axis=simulation.dispersion_axis, n_slices=number
        )
        orders = detect_order_edges(frame, orders, n_slices=number)
    blaze = simulation.truth.blaze
    lit = blaze > _BRIGHT * blaze.max(axis=1, keepdims=True)
    n_cross = truth.shape[1 - truth.dispersion_axis]
    curves = (np.where(_inside(curve, n_cross) & lit, curve, np.nan)
              for curve in (truth.center(), truth.lower(), truth.upper()))
    centers, *edges = curves
    rows, off = _nearest(orders.center(), np.where(lit, truth.center(), np.nan))
    widths = np.nanmedian(truth.upper() - truth.lower(), axis=1)
    own = off < _FARTHEST * widths
    resolved = profile.__class__.__name__ != "Slit" or widths.min() > 3 * simulation.psf_sigma
    errors = [
        np.concatenate([curve[rows[own]] - true[own] for curve, true in pairs])
        for pairs in (
            [(orders.center(), centers)],
            zip((orders.lower(), orders.upper()), edges, strict=True) if resolved else [],
        ) if pairs
    ]
    finite = [error[np.isfinite(error)] for error in errors]
    others = np.delete(orders.center(), rows[own], axis=0)
    for partial in (layer for layer in simulation.layers if isinstance(layer, PartialOrder)):
        beyond = truth.center()[-1:] + partial.distance  # light of an order, beyond the true ones
        if len(others):
            others = others[_nearest(beyond, others)[1] > _FARTHEST * partial.width]
    visible = np.isfinite(centers).any(axis=1)  # of those cut by the border, some are found
    return {
        "seed": seed, "orders": len(truth), "missed": int((visible & ~own).sum()),
        "invented": len(others),
        "rms": [float(np.sqrt(np.mean(error**2))) for error in finite],
        "worst": [float(np.abs(error).max()) for error in finite],
        "warned": len(caught) > 0,
    }


def _inside(curve: np.ndarray, n_cross: int) -> np.ndarray:
    return (curve > 6) & (curve < n_cross - 7)


def random_spectrographs(n: int, first: int) -> None:
    """Print what became of the orders of n of them."""
    results = []
    for seed in range(first, first + n):
        try:
            results.append(attempt(seed))
        except Exception as error:  # one that fails must not hide the others
            print(f"seed {seed}: {type(error).__name__}: {error}")
    for name in ("orders", "missed", "invented"):
        print(f"{name}: {sum(result[name] for result in results)}")
    for k, name in enumerate(("centres", "edges")):
        rms = [result["rms"][k] for result in results if len(result["rms"]) > k]
        worst = max(result["worst"][k] for result in results if len(result["rms"]) > k)
        print(f"{name}: RMS {np.median(rms):.3f} px in the median, {np.max(rms):.3f} in the worst "
              f"spectrograph; largest error {worst:.2f} px")
    bad = [r for r in results if max(r["worst"]) > 1 or r["missed"] or r["invented"]]
    table = Table(rows=[
        (r["seed"], r["missed"], r["invented"], f"{max(r['worst']):.2f}", r["warned"]) for r in bad
    ], names=("seed", "missed", "invented", "worst", "warned")) if bad else None
    if table:
        table.write(sys.stdout, format="ascii.rst")


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare traced orders with PyReduce and IRAF.")
    parser.add_argument("--random", type=int, help="use N random spectrographs instead")
    parser.add_argument("--first-seed", type=int, default=0, help="seed of the first of these")
    args = parser.parse_args()
    if args.random:
        random_spectrographs(args.random, args.first_seed)
        return
    folder = os.environ.get("CCDPROC_ECHELLE_DATA")
    if folder is None:
        print("the real frames are left out: CCDPROC_ECHELLE_DATA is not set")
    real = real_scenes(Path(folder)) if folder else ()
    compare(itertools.chain(real, simulated_scenes()))


if __name__ == "__main__":
    main()
