# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Are errors as small as the claimed uncertainties say? Random set-ups, compared with the truth.

Each set-up is a randomly drawn spectrograph and detector, with flats of different levels, cosmic
rays and dead pixels. Its raw frames go through ``make_master_flat`` twice: first with the true
order centres as the order table, then without a table. In the second run the orders are traced, and
scattered light is subtracted from the master instead of from each frame, which is faster. The
output is percentiles over the set-ups::

    python benchmarks/proof.py --n 200 --workers 2

With ``--flaws`` the spectrographs have the flaws of real ones: fibres, slices, patterns, bad lines,
short and dark orders and so on. With ``--unknown-noise`` gain and read noise are not given, and
`make_master_flat` measures them on the frames.

A pull is an error in units of its claimed uncertainty. If the claims are right, the pulls of a
set-up have a root mean square of 1. A larger value means that the claim is too optimistic, a
smaller one that it is too pessimistic.
"""

import argparse
import itertools
import os
import sys
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import numpy as np
from astropy.nddata import CCDData
from astropy.table import Table

from ccdproc_echelle import (
    EchelleOrderTable,
    FlatFlag,
    MasterFlat,
    make_master_flat,
    measure_order_edges,
    two_pass_flat_combine,
)
from ccdproc_echelle.frames import open_frames
from ccdproc_echelle.recipe import calibrate_frames
from ccdproc_echelle.simulation import EchelleSimulation
from ccdproc_echelle.simulation.flaws import BadLines, DarkBorder, PartialOrder, SecondaryBands

_WINDOW = 10
_LARGEST = 300_000  # pixels of a detector; larger ones are left out to save time
_FULL_WELL = 60_000  # adu; values above are saturated
_PERCENTILES = (5, 25, 50, 75, 95, 100)

# Rows of the printed table: name of the measurement, number of digits and meaning.
_ROWS = {
    "level pulls": (2, "RMS pull of the relative levels"),
    "level error (1e-6)": (0, "RMS error of the relative levels"),
    "pixel pulls": (3, "RMS pull of the in-order pixels of the master"),
    "pixel pulls, robust": (3, "the same, from the median absolute deviation"),
    "pixel pulls, mean": (3, "the same, mean: 0 without bias"),
    "pixels beyond 5 sigma (1e-6)": (0, "the same, fraction"),
    "edge pulls": (2, "spread of the measured points, from the median absolute deviation"),
    "edge pulls, even response": (2, "the same, divided by the true pixel response"),
    "edge error (px)": (4, "RMS error of the fitted edges where measured"),
    "edge bias (px)": (4, "the same, median, outwards positive"),
    "bad pixels missed (%)": (1, "dead pixels inside an order that are not masked"),
    "bad pixels false (1e-6)": (1, "masked in-order pixels that are not dead, fraction"),
    "orders missed": (0, "true orders not found"),
    "orders false": (0, "found orders where there is no band of light"),
}


# ---------------------------------------------------------------------- set-ups


@dataclass(frozen=True)
class Setup:
    """A simulation and how many frames are taken of it."""

    simulation: EchelleSimulation
    n_flats: int
    n_darks: int

    @classmethod
    def random(cls, seed: int, *, flaws: bool = False) -> "Setup":
        """Spectrograph, detector and observing run drawn at random."""
        simulation = EchelleSimulation.random(seed, flaws=flaws)
        rng = np.random.default_rng([seed, 1])
        n_pixels = np.prod(simulation.shape)
        simulation = (
            simulation.with_noise(gain=rng.uniform(0.5, 3), read_noise=rng.uniform(2, 10))
            .with_bias(rng.uniform(200, 1000))
            .with_dark_current(rng.uniform(0, 2))
            .with_level_spread(rng.uniform(0, 0.35))
            .with_cosmic_rays(
                int(n_pixels * rng.uniform(0, 3e-4)), amplitude=rng.uniform(20, 200), length=6
            )
            .with_dead_pixels(int(n_pixels * rng.uniform(0, 2e-4)))
        )
        n_flats, n_darks = rng.integers(3, 10, 2)
        return cls(simulation, int(n_flats), int(n_darks))

    def frames(self, *, unknown_noise: bool = False) -> dict:
        """Raw frames and the detector's numbers, as keywords of `make_master_flat`."""
        noise = self.simulation.noise
        known = {} if unknown_noise else dict(gain=noise.gain, read_noise=noise.read_noise)
        return dict(
            img_list=self.simulation.flats(self.n_flats, raw=True),
            dark=self.simulation.darks(self.n_darks, raw=True),
            saturation=_FULL_WELL,
            **known,
        )

    @property
    def n_slices(self) -> int:
        """Slices or fibres of an order, which have to be told."""
        return getattr(self.simulation.order_profile, "n", 1)


def small_seeds(largest: int = _LARGEST, *, flaws: bool = False) -> Iterator[int]:
    """Seeds of the spectrographs whose detector has no more pixels than that."""
    for seed in itertools.count():
        if np.prod(EchelleSimulation.random(seed, flaws=flaws).shape) <= largest:
            yield seed


def centers_only(orders: EchelleOrderTable) -> EchelleOrderTable:
    """The order table as a user has it: order centres, no edges."""
    return EchelleOrderTable.from_traces(
        orders.order_numbers, orders.center(), shape=orders.shape,
        dispersion_axis=orders.dispersion_axis,
    )


# ---------------------------------------------------------------------- comparisons with truth


def spread(values: np.ndarray) -> float:
    """Standard deviation from the median absolute deviation."""
    values = values[np.isfinite(values)]
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def level_errors(master: MasterFlat, setup: Setup) -> tuple[np.ndarray, np.ndarray]:
    """Relative errors of the levels, less what they have in common, and their pulls."""
    truth = setup.simulation.truth.levels(setup.n_flats)
    ratios = master.levels["level"].value / truth
    weights = (master.levels["level_uncertainty"].value / truth) ** -2
    common = np.average(ratios, weights=weights)
    # The common factor follows each frame a little.
    sigmas = np.sqrt(1 / weights - 1 / weights.sum())
    return ratios / common - 1, (ratios - common) / sigmas


def pixel_pulls(master: MasterFlat, simulation: EchelleSimulation) -> np.ndarray:
    """Pulls of the in-order pixels; truth has the same mean over the same inner-order pixels."""
    orders = true_ones(master.orders, simulation.truth.orders)
    inside = (orders.order_map() > 0) & ~master.flat.mask
    inner = inside & orders.inner_mask(_WINDOW)  # narrow orders do not fill the window
    scale = master.flat.data[inner].mean(dtype=float) / simulation.truth.flat[inner].mean()
    errors = master.flat.data[inside] - scale * simulation.truth.flat[inside]
    return errors / master.flat.uncertainty.array[inside]


def edge_pulls(flat: CCDData, setup: Setup) -> np.ndarray:
    """Pulls of the measured points of the edges that are on the detector."""
    simulation = setup.simulation
    truth = simulation.truth.orders
    points = measure_order_edges(flat, centers_only(truth), n_slices=setup.n_slices)
    row = np.searchsorted(truth.order_numbers, points["order"])
    pixels, column = np.unique(points["pixel"].value, return_inverse=True)
    lower, upper = truth.lower(pixels)[row, column], truth.upper(pixels)[row, column]
    expected = np.where(points["edge"] == "lower", lower, upper)
    n_cross = simulation.shape[1 - simulation.dispersion_axis]
    seen = points["used"] & (expected > 0) & (expected < n_cross - 1)
    pulls = (points["position"].value - expected) / points["uncertainty"].value
    return pulls[seen & np.isfinite(pulls)]


def combined_flat(orders: EchelleOrderTable, img_list: list, dark: list, **noise) -> CCDData:
    """The master with its light between the orders, as edges are measured on it."""
    calibration = calibrate_frames(open_frames(img_list), dark=open_frames(dark), **noise)
    return two_pass_flat_combine(
        calibration.flats, orders, window=_WINDOW, sigma_clip=True,
        sigma_clip_low_thresh=5, sigma_clip_high_thresh=5,
    )


def with_even_response(flat: CCDData, simulation: EchelleSimulation) -> CCDData:
    """The flat of a detector whose pixels all respond alike."""
    response = np.maximum(simulation.truth.pixel_response, 0.01)  # a dead pixel is an outlier still
    result = flat.copy()
    result.data = (flat.data / response).astype(flat.data.dtype)
    result.uncertainty.array = (flat.uncertainty.array / response).astype(flat.data.dtype)
    return result


def matched(found: EchelleOrderTable, truth: EchelleOrderTable) -> np.ndarray:
    """For each true order the row of the found one whose centre lies in it, else -1."""
    centers, rows = found.center(), []
    for lower, upper in zip(truth.lower(), truth.upper(), strict=True):
        inside = ((centers > lower) & (centers < upper)).sum(axis=1)
        own = inside > 0.5 * np.isfinite(centers).sum(axis=1)
        rows.append(np.where(own, inside, 0).argmax() if own.any() else -1)
    return np.array(rows)


def true_ones(found: EchelleOrderTable, truth: EchelleOrderTable) -> EchelleOrderTable:
    """The found orders without those whose light is not part of the true flat."""
    rows = matched(found, truth)
    return found.select(found.order_numbers[np.unique(rows[rows >= 0])])


def n_false(found: EchelleOrderTable, simulation: EchelleSimulation) -> int:
    """Number of found orders that follow neither an order nor another band of light."""
    truth, centers = simulation.truth.orders, found.center()
    own = set(matched(found, truth))
    width = np.median(truth.upper() - truth.lower())
    bands = [
        truth.center()[-1:] + layer.distance if isinstance(layer, PartialOrder)
        else truth.center() + layer.offset
        for layer in simulation.layers if isinstance(layer, (PartialOrder, SecondaryBands))
    ]
    others = np.concatenate(bands) if bands else np.empty((0, centers.shape[1]))
    return sum(
        row not in own and not (np.nanmedian(np.abs(others - center), axis=1) < width / 2).any()
        for row, center in enumerate(centers)
    )


def edge_errors(found: EchelleOrderTable, truth: EchelleOrderTable) -> np.ndarray:
    """Outward errors of the fitted edges within the range where they were measured."""
    rows = matched(found, truth)
    n_pixels, n_cross = (truth.shape[axis] for axis in (truth.dispersion_axis,
                                                       1 - truth.dispersion_axis))
    pixels = np.arange(n_pixels)
    errors = []
    for edge, outwards in (("lower", -1), ("upper", 1)):
        first, last = (
            found.table[f"{edge}_measured_{end}"].value[rows, None] for end in ("min", "max")
        )
        expected = getattr(truth, edge)()
        error = outwards * (getattr(found, edge)()[rows] - expected)
        seen = (pixels >= first) & (pixels <= last) & (rows >= 0)[:, None]
        errors.append(error[seen & (expected > 0) & (expected < n_cross - 1)])
    errors = np.concatenate(errors)
    return errors[np.isfinite(errors)]


def bad_pixels(master: MasterFlat, simulation: EchelleSimulation) -> tuple[float, float]:
    """
    Fraction of the dead pixels not masked, and of the in-order pixels masked in vain.

    Dead pixels where a found order has ended count as missed only if there is still light.
    """
    truth = simulation.truth
    inside = true_ones(master.orders, truth.orders).order_map() > 0
    dead = truth.dead_pixels & (truth.orders.coverage() == 1) & (inside | lit(simulation))
    flawed = truth.dead_pixels | bad_lines(simulation) | (master.flags & FlatFlag.FAINT > 0)
    false = master.flat.mask & ~flawed & inside
    missed = (dead & ~master.flat.mask).sum() / dead.sum() if dead.any() else np.nan
    return float(missed), float(false.sum() / inside.sum())


def lit(simulation: EchelleSimulation) -> np.ndarray:
    """Pixels where an order has at least a hundredth of its brightest light."""
    truth = simulation.truth
    bright = truth.blaze > 0.01 * truth.blaze.max(axis=1, keepdims=True)
    index = truth.orders.order_index()
    turned = index.T if simulation.dispersion_axis == 0 else index
    image = (turned >= 0) & bright[turned, np.arange(bright.shape[1])]
    return image.T if simulation.dispersion_axis == 0 else image


def bad_lines(simulation: EchelleSimulation) -> np.ndarray:
    """Pixels of dead, hot and unlit lines."""
    turned = simulation.dispersion_axis == 0
    lines = np.zeros(simulation.shape[::-1] if turned else simulation.shape, dtype=bool)
    for layer in simulation.layers:
        if isinstance(layer, BadLines):
            lines[list(layer.rows)] = lines[:, list(layer.columns)] = True
        if isinstance(layer, DarkBorder):
            lines[: layer.n] = lines[len(lines) - layer.n :] = True
    return lines.T if turned else lines


def compared(master: MasterFlat, setup: Setup) -> dict[str, float]:
    """All comparisons of a master with the truth."""
    simulation = setup.simulation
    errors, of_levels = level_errors(master, setup)
    pulls = pixel_pulls(master, simulation)
    of_edges = edge_errors(master.orders, simulation.truth.orders)
    missed, false = bad_pixels(master, simulation)
    rows = matched(master.orders, simulation.truth.orders)
    return {
        "level pulls": float(np.sqrt(np.mean(of_levels**2))),
        "level error (1e-6)": 1e6 * float(np.sqrt(np.mean(errors**2))),
        "pixel pulls": float(np.sqrt(np.mean(pulls**2))),
        "pixel pulls, robust": spread(pulls),
        "pixel pulls, mean": float(np.mean(pulls)),
        "pixels beyond 5 sigma (1e-6)": 1e6 * float(np.mean(np.abs(pulls) > 5)),
        "edge error (px)": float(np.sqrt(np.mean(of_edges**2))),
        "edge bias (px)": float(np.median(of_edges)),
        "bad pixels missed (%)": 100 * missed,
        "bad pixels false (1e-6)": 1e6 * false,
        "orders missed": int((rows < 0).sum()),
        "orders false": n_false(master.orders, simulation),
    }


def measure(setup: Setup, *, unknown_noise: bool = False) -> dict[str, dict[str, float]]:
    """What came of one set-up, with the order table given and traced."""
    truth = setup.simulation.truth.orders
    frames = setup.frames(unknown_noise=unknown_noise)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        slices = dict(n_slices=setup.n_slices)
        given = make_master_flat(orders=centers_only(truth), edge_keywords=slices, **frames)
        traced = make_master_flat(
            scattered_light="master", edge_keywords=slices, trace_keywords=slices, **frames
        )
        flat = combined_flat(truth, **frames)
        even = with_even_response(flat, setup.simulation)
        of_edges = [spread(edge_pulls(image, setup)) for image in (flat, even)]
    points = dict(zip(("edge pulls", "edge pulls, even response"), of_edges, strict=True))
    return {"given": compared(given, setup) | points, "traced": compared(traced, setup)}


# ---------------------------------------------------------------------- the table


def outcome(
    seed: int, *, flaws: bool = False, unknown_noise: bool = False
) -> dict[str, dict[str, float]] | str:
    """`measure`, or why a set-up could not be reduced."""
    try:
        return measure(Setup.random(seed, flaws=flaws), unknown_noise=unknown_noise)
    except Exception as error:  # one broken set-up must not hide the others
        return f"{type(error).__name__}: {error}"


def percentiles(results: list[dict[str, float]]) -> Table:
    """Percentiles over the set-ups of each measurement."""
    rows = []
    for name, (digits, _) in _ROWS.items():
        values = np.array([result[name] for result in results if name in result], dtype=float)
        values = values[np.isfinite(values)]
        if len(values):
            numbers = np.percentile(values, _PERCENTILES)
            rows.append((name, *(f"{number:.{digits}f}" for number in numbers)))
    names = ["quantity", *(f"{p} %" for p in _PERCENTILES[:-1]), "largest"]
    return Table(rows=rows, names=names)


def report(outcomes: dict[int, dict | str], seconds: float) -> None:
    """Print the tables, and which set-ups could not be reduced."""
    results = [result for result in outcomes.values() if not isinstance(result, str)]
    print(f"{len(results)} of {len(outcomes)} set-ups reduced, in {seconds:.0f} s\n")
    for kind, title in (("given", "Order centres given"), ("traced", "Orders traced")):
        print(f"{title}\n{'-' * len(title)}\n")
        percentiles([result[kind] for result in results]).write(sys.stdout, format="ascii.rst")
        print()
    for seed, result in outcomes.items():
        if isinstance(result, str):
            print(f"seed {seed}: {result}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare reduced random set-ups with the truth.")
    parser.add_argument("--n", type=int, default=200, help="number of set-ups")
    parser.add_argument("--flaws", action="store_true", help="add the flaws of real ones")
    parser.add_argument("--unknown-noise", action="store_true",
                        help="give neither gain nor read noise")
    parser.add_argument("--workers", type=int, default=2, help="number of processes")
    args = parser.parse_args()

    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # for the workers, which start after this
    start = time.monotonic()
    seeds = list(itertools.islice(small_seeds(flaws=args.flaws), args.n))
    with ProcessPoolExecutor(args.workers, mp_context=get_context("spawn")) as pool:
        reduce = partial(outcome, flaws=args.flaws, unknown_noise=args.unknown_noise)
        results = pool.map(reduce, seeds)
        outcomes = dict(zip(seeds, results, strict=True))
    report(outcomes, time.monotonic() - start)


if __name__ == "__main__":
    main()
