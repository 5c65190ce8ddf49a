# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
How fast and how lean the combine is, side by side with ccdproc and with the floor.

``python benchmarks/combine.py`` prints a table in reStructuredText. All commands of a case take
turns in one process, so that a machine that is now fast, now slow treats them alike; memory is
measured in a process of its own each, which needs Linux. What is compared:

- ours: `two_pass_flat_combine` and, as a single pass, `combine_frames`, clipping at 5 sigma;
- guide: the same recipe with `ccdproc.combine` and the settings of the CCD data reduction guide,
  whose misspelt keyword leaves the standard deviation as the measure of deviation;
- fastest: the same with the fastest settings of `ccdproc.combine` for a median and its absolute
  deviation;
- floor: `numpy.add.reduce` over the stack, or reading the files once with astropy.
"""

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import ccdproc
import numpy as np
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty

from ccdproc_echelle import combine_frames, inner_order_scale, two_pass_flat_combine
from ccdproc_echelle.simulation import EchelleSimulation

CASES = {"10x2048": (10, 2048, 20), "7x4096": (7, 4096, 40), "40x1024": (40, 1024, 12)}
OURS = {"sigma_clip": True, "sigma_clip_low_thresh": 5, "sigma_clip_high_thresh": 5}
GUIDE = OURS | {
    "sigma_clip_func": np.ma.median, "sigma_clip_dev_func": np.ma.std, "mem_limit": 350e6
}
FASTEST = OURS | {"sigma_clip_func": "median", "sigma_clip_dev_func": "mad_std"}


def main() -> None:
    """Run the cases that are asked for and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--case", choices=CASES, action="append", help="default: all")
    parser.add_argument("--repeats", type=int, default=3, help="of each command (default: 3)")
    parser.add_argument("--no-memory", action="store_true", help="measure time only")
    options = parser.parse_args()
    for case in options.case or CASES:
        with tempfile.TemporaryDirectory() as folder:
            measure(case, Path(folder), options.repeats, memory=not options.no_memory)


def measure(case: str, folder: Path, repeats: int, *, memory: bool) -> None:
    """Print the tables of one case."""
    n_frames, size, n_orders = CASES[case]
    simulation = EchelleSimulation(shape=(size, size), n_orders=n_orders, seed=1)
    simulation = simulation.with_level_spread(0.35).with_cosmic_rays(50)
    orders = simulation.truth.orders
    time_in_memory(case, simulation, n_frames, repeats)
    paths = [str(path) for path in simulation.with_bias(300).write(folder, n_frames)[0]]
    time_from_files(case, paths, orders, repeats)
    if memory:
        print_memory(case, paths, orders)


def time_in_memory(case: str, simulation: EchelleSimulation, n_frames: int, repeats: int) -> None:
    """Detrended flats with masks and uncertainties."""
    orders = simulation.truth.orders
    frames = in_memory(simulation, n_frames)
    stack = np.array([frame.data for frame in frames])
    check_agreement(frames, orders)
    print_table(f"{case}, float32 with masks and uncertainties in memory", timed({
        "ours, two passes": lambda: two_pass_flat_combine(frames, orders, **OURS),
        "ours, one pass": lambda: combine_frames(frames, scale=inner(orders), **OURS),
        "ccdproc guide, two passes": lambda: two_pass_ccdproc(frames, orders, GUIDE),
        "ccdproc fastest, two passes": lambda: two_pass_ccdproc(frames, orders, FASTEST),
        "floor: numpy.add.reduce": lambda: np.add.reduce(stack, axis=0),
    }, repeats))


def time_from_files(case: str, paths: list[str], orders, repeats: int) -> None:
    """Raw flats, from the page cache."""
    print_table(f"{case}, uint16 FITS files", timed({
        "ours, two passes": lambda: two_pass_flat_combine(paths, orders, **OURS),
        "ours, one pass": lambda: combine_frames(paths, scale=inner(orders), **OURS),
        "ccdproc guide, one pass": lambda: ccdproc.combine(paths, scale=inner(orders), **GUIDE),
        "floor: reading with astropy": lambda: [fits.getdata(path) for path in paths],
    }, repeats))


def in_memory(simulation: EchelleSimulation, n_frames: int) -> list[CCDData]:
    """Frames with uncertainties and, in one of a thousand pixels, a mask."""
    rng = np.random.default_rng(0)
    return [
        CCDData(
            frame.data,
            unit="adu",
            mask=rng.random(frame.shape) < 1e-3,
            uncertainty=StdDevUncertainty(frame.uncertainty.array.astype(np.float32)),
        )
        for frame in simulation.flats(n_frames)
    ]


def inner(orders):
    """The scale of the first pass."""
    return inner_order_scale(orders)


def two_pass_ccdproc(frames: list, orders, settings: dict) -> CCDData:
    """The two-pass recipe as it is written with ccdproc alone."""
    first = ccdproc.combine(frames, scale=inner(orders), **settings)
    mask = orders.inner_mask(10) & ~first.mask
    scale = [1 / np.mean(frame.data[mask] / first.data[mask]) for frame in frames]
    return ccdproc.combine(frames, scale=np.array(scale), **settings)


def check_agreement(frames: list, orders) -> None:
    """Without clipping the same scales give the same image."""
    bare = [CCDData(frame.data, unit="adu", mask=frame.mask) for frame in frames[:3]]
    ours = two_pass_flat_combine(bare, orders)
    scale = np.array([1 / ours.header[f"LEVEL{i:03d}"] for i in (1, 2, 3)])
    theirs = ccdproc.combine(bare, scale=scale)
    good = ~ours.mask
    difference = np.abs(ours.data - theirs.data)[good] / (np.abs(theirs.data)[good] + 1e-2)
    assert difference.max() < 1e-6, difference.max()


def timed(commands: dict[str, Callable], repeats: int) -> dict[str, list[float]]:
    """Seconds of each command, after one run that does not count; the commands take turns."""
    seconds = {name: [] for name in commands}
    for turn in range(repeats + 1):
        for name, command in commands.items():
            start = time.perf_counter()
            command()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def print_table(title: str, seconds: dict[str, list[float]]) -> None:
    """Least and median time of each command, and the ratio of the median to ours and the floor."""
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ours, floor = (list(medians.values())[i] for i in (0, -1))
    print(f"\n.. list-table:: {title}\n   :header-rows: 1\n")
    print_row("command", "least (s)", "median (s)", "over ours", "over the floor")
    for name, values in seconds.items():
        middle = medians[name]
        print_row(name, f"{min(values):.3f}", f"{middle:.3f}", f"{middle / ours:.2f}",
                  f"{middle / floor:.1f}")


def print_row(*cells: str) -> None:
    """One row of a list-table."""
    for i, cell in enumerate(cells):
        print(f"   {'*' if i == 0 else ' '} - {cell}")


def print_memory(case: str, paths: list[str], orders) -> None:
    """Peak memory of ours with a limit of 200 MB, and of ccdproc with the guide's settings."""
    print(f"\n.. list-table:: {case}, uint16 FITS files: peak memory over the baseline"
          "\n   :header-rows: 1\n")
    print_row("command", "MB")
    for name in ("ours, two passes, mem_limit=200e6", "ccdproc guide, one pass"):
        context = multiprocessing.get_context("spawn")
        with context.Pool(1) as pool:
            print_row(name, f"{pool.apply(peak_memory, (name, paths, orders)) / 1e6:.0f}")


def peak_memory(name: str, paths: list[str], orders) -> float:
    """By how many bytes a command raises the peak of this fresh process."""
    small = EchelleSimulation(shape=(64, 64), n_orders=2)
    two_pass_flat_combine(small.flats(3), small.truth.orders, **OURS)  # what imports late is in
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = status("VmRSS")
    if name.startswith("ours"):
        two_pass_flat_combine(paths, orders, mem_limit=200e6, **OURS)
    else:
        ccdproc.combine(paths, scale=inner(orders), **GUIDE)
    return status("VmHWM") - before


def status(name: str) -> float:
    """A number of bytes that Linux knows of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return 1024 * float(line.split()[1])
    raise KeyError(name)


if __name__ == "__main__":
    main()
