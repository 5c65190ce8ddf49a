# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
How long combining takes and how much memory it needs, compared with ccdproc and the minimum.

Run it in the environment whose speed you want to know::

    python benchmarks/combine.py            # all cases, ten minutes
    python benchmarks/combine.py --quick    # a small one, a minute

Each table compares, for the same frames and thresholds:

- the floor: ``np.add.reduce`` over the stack, or reading the files once with ``fits.getdata``;
- ``two_pass_flat_combine`` and ``combine_frames``;
- ``ccdproc.combine`` with the settings of the CCD data reduction guide, in one pass and in the two
  passes of the recipe; and two passes with its fastest settings that clip by the median and the
  median absolute deviation. ``inner_order_scale`` provides the levels.

The runs take turns, slow ones fewer times than fast ones. Peak memory is measured in a new process
for each run, in excess of what the process held before, including the frames.
"""

import argparse
import gc
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import astropy
import ccdproc
import numpy as np
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.table import Table
from astropy.wcs import FITSFixedWarning

from ccdproc_echelle import (
    EchelleOrderTable,
    combine_frames,
    inner_order_scale,
    two_pass_flat_combine,
)
from ccdproc_echelle.simulation import EchelleSimulation

_CLIP = {"sigma_clip": True, "sigma_clip_low_thresh": 5, "sigma_clip_high_thresh": 5}

# The guide's notebook means mad_std, but misspells the keyword: the default, np.ma.std, is used.
_GUIDE = {
    "sigma_clip_func": np.ma.median, "sigma_clip_dev_func": np.ma.std, "mem_limit": 350e6,
}

# Statistics that are named go to compiled code. Small chunks stay in the cache, but the files are
# read anew for each.
_FASTEST = {"sigma_clip_func": "median", "sigma_clip_dev_func": "mad_std", "dtype": np.float32}
_FASTEST_IN_MEMORY = _FASTEST | {"mem_limit": 30e6}
_FASTEST_FROM_FILES = _FASTEST | {"mem_limit": 300e6}

# Raw frames have one. Without, dark pixels hold so few integers that many have no deviation.
_BIAS = 300

_N_FAST = 5
_MB = 1e6


@dataclass(frozen=True)
class Case:
    """So many frames of one size, and how often a slow run is repeated."""

    n_frames: int
    size: int
    n_slow: int = 1

    @property
    def name(self) -> str:
        return f"{self.n_frames}x{self.size}x{self.size}"

    @property
    def simulation(self) -> EchelleSimulation:
        """Flats with outliers; an order each hundred rows."""
        shape = (self.size, self.size)
        simulation = EchelleSimulation(shape=shape, n_orders=self.size // 100)
        return simulation.with_level_spread(0.35).with_cosmic_rays(self.size**2 // 10_000)

    def frames(self) -> list[CCDData]:
        """Float32 with uncertainty and a mask that holds a pixel in a thousand."""
        simulation = self.simulation.with_bad_pixels(self.size**2 // 1000)
        return simulation.flats(self.n_frames)

    def halved(self) -> "Case":
        return Case(self.n_frames, self.size // 2)


@dataclass(frozen=True)
class Run:
    """What is measured, for frames in memory or files. ``combine`` takes frames and orders."""

    name: str
    combine: Callable[[Any, EchelleOrderTable], Any]
    is_slow: bool = False


_CASES = [Case(10, 2048, n_slow=2), Case(7, 4096), Case(40, 1024)]


# ------------------------------------------------------------------------ what is compared


def two_pass(frames: Any, orders: EchelleOrderTable, **settings: Any) -> CCDData:
    return two_pass_flat_combine(frames, orders, **_CLIP, **settings)


def single(frames: Any, orders: EchelleOrderTable) -> CCDData:
    return combine_frames(frames, scale=inner_order_scale(orders), **_CLIP)


def ccdproc_single(frames: Any, orders: EchelleOrderTable, **settings: Any) -> CCDData:
    return ccdproc.combine(frames, scale=inner_order_scale(orders), **_CLIP, **settings)


def ccdproc_two_pass(frames: Any, orders: EchelleOrderTable, **settings: Any) -> CCDData:
    """The recipe as one writes it with ccdproc."""
    scale = inner_order_scale(orders)
    first = ccdproc.combine(frames, scale=scale, **_CLIP, **settings)
    scales = []
    for frame in frames:
        ccd = frame if isinstance(frame, CCDData) else CCDData.read(frame)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = CCDData(ccd.data / first.data, unit=ccd.unit, mask=ccd.mask)
        scales.append(scale(ratio))
    return ccdproc.combine(frames, scale=scales, **_CLIP, **settings)


def add_reduce(stack: np.ndarray, _: EchelleOrderTable) -> np.ndarray:
    return np.add.reduce(stack)


def read_files(files: list[Path], _: EchelleOrderTable) -> None:
    for file in files:
        fits.getdata(file)


def runs_on(fastest: dict[str, Any]) -> list[Run]:
    """All runs but the floor."""
    return [
        Run("two_pass_flat_combine", two_pass),
        Run("combine_frames", single),
        Run("ccdproc, guide, one pass", partial(ccdproc_single, **_GUIDE), True),
        Run("ccdproc, guide, two passes", partial(ccdproc_two_pass, **_GUIDE), True),
        Run("ccdproc, fastest, two passes", partial(ccdproc_two_pass, **fastest), True),
    ]


# ------------------------------------------------------------------------ seconds and bytes


def seconds(calls: dict[Run, Callable[[], Any]], n_slow: int) -> dict[Run, list[float]]:
    """Times of each call; the calls take turns."""
    times = {run: [] for run in calls}
    for turn in range(_N_FAST):
        for run, call in calls.items():
            if turn < n_slow or not run.is_slow:
                gc.collect()
                start = time.perf_counter()
                call()
                times[run].append(time.perf_counter() - start)
    return times


def peak_bytes(combine: Callable, frames: list, orders: EchelleOrderTable) -> float:
    """Peak of memory above the baseline; NaN where the system does not tell it."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_peak_bytes_here, combine, frames, orders).result()


def _peak_bytes_here(combine, frames, orders) -> float:
    _quiet()
    gc.collect()
    try:
        Path("/proc/self/clear_refs").write_text("5")
        before = _memory("VmRSS")
        combine(frames, orders)
        return _memory("VmHWM") - before
    except OSError:
        return np.nan


def _memory(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def _quiet() -> None:
    """Silence what says nothing about speed: ccdproc's chunks, dates mended by astropy."""
    astropy.log.setLevel("WARNING")
    warnings.simplefilter("ignore", FITSFixedWarning)


# ------------------------------------------------------------------------ tables


def in_memory(case: Case) -> Table:
    """Seconds and peak memory for frames in memory."""
    frames, orders = case.frames(), case.simulation.truth.orders
    check_agreement(frames, orders)
    stack = np.stack([frame.data for frame in frames])
    runs = runs_on(_FASTEST_IN_MEMORY)
    calls = {Run("np.add.reduce", add_reduce): partial(np.add.reduce, stack)}
    calls |= {run: partial(run.combine, frames, orders) for run in runs}
    times = seconds(calls, case.n_slow)
    return as_table(times, {run: peak_bytes(run.combine, frames, orders) for run in runs})


def from_files(case: Case) -> Table:
    """Seconds and peak memory for raw uint16 files."""
    orders = case.simulation.truth.orders
    runs = [Run("fits.getdata of each file", read_files), *runs_on(_FASTEST_FROM_FILES)]
    with TemporaryDirectory() as folder:
        files, _ = case.simulation.with_bias(_BIAS).write(folder, case.n_frames)
        calls = {run: partial(run.combine, files, orders) for run in runs}
        times = seconds(calls, case.n_slow)
        return as_table(times, {run: peak_bytes(run.combine, files, orders) for run in runs})


def with_mem_limit(size: int, mem_limit: float, repeats: int) -> Table:
    """Peak memory of the two-pass combine for few and for many raw uint16 files."""
    table = Table(names=("frames", "mem_limit (MB)", "output (MB)", "peak (MB)"), dtype=[int] * 4)
    case = Case(40, size)
    orders = case.simulation.truth.orders
    combine = partial(two_pass, mem_limit=mem_limit)
    with TemporaryDirectory() as folder:
        files, _ = case.simulation.with_bias(_BIAS).write(folder, case.n_frames)
        flat = combine(files[:10], orders)
        output = flat.data.nbytes + flat.mask.nbytes + flat.uncertainty.array.nbytes
        for n in (10, 40):
            peak = max(peak_bytes(combine, files[:n], orders) for _ in range(repeats))
            table.add_row([n, *(round(x / _MB) for x in (mem_limit, output, peak))])
    return table


def as_table(times: dict[Run, list], peaks: dict[Run, float]) -> Table:
    """One row per run, the first the floor, the second the unit of the last ratio."""
    best = [min(values) for values in times.values()]
    return Table({
        "run": [run.name for run in times],
        "best (s)": [f"{value:.3f}" for value in best],
        "median (s)": [f"{median(values):.3f}" for values in times.values()],
        "repeats": [len(values) for values in times.values()],
        "/ floor": [f"{value / best[0]:.1f}" for value in best],
        "/ two-pass": [f"{value / best[1]:.2f}" for value in best],
        "peak (MB)": [f"{peaks[run] / _MB:.0f}" if run in peaks else r"\-" for run in times],
    })


def check_agreement(frames: list[CCDData], orders: EchelleOrderTable) -> None:
    """Without clipping, the two-pass flat must be what ccdproc makes with the same levels."""
    flat = two_pass_flat_combine(frames, orders)
    levels = [flat.header[f"LEVEL{i + 1:03d}"] for i in range(len(frames))]
    expected = ccdproc.combine(frames, scale=1 / np.array(levels))
    inside = orders.order_map() > 0
    difference = np.abs(flat.data[inside] / expected.data[inside] - 1).max()
    print(f"Largest relative difference to ccdproc without clipping: {difference:.1e}\n")
    if not difference < 10 * np.finfo(np.float32).eps:
        raise RuntimeError(f"the results differ by {difference:.1e}, expected rounding errors")


def show(title: str, table: Table) -> None:
    print(f"{title}\n{'-' * len(title)}\n")
    table.write(sys.stdout, format="ascii.rst")
    print(flush=True)


def machine() -> str:
    """Processor and versions, in a line."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    parts = [models[0] if models else platform.machine(), f"{os.cpu_count()} cores"]
    parts.append(f"Python {platform.python_version()}")
    for package in ("numpy", "astropy", "ccdproc", "bottleneck"):
        try:
            parts.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            parts.append(f"no {package}")
    return ", ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one case, at half its size")
    names = [case.name for case in _CASES]
    parser.add_argument("--case", choices=names, help="one case only")
    args = parser.parse_args()

    _quiet()
    cases = [case for case in _CASES if args.case in (None, case.name)]
    if args.quick:
        cases = [cases[0].halved()]
    print(f"{machine()}\n")
    for case in cases:
        show(f"{case.name}, float32 in memory", in_memory(case))
        show(f"{case.name}, uint16 files", from_files(case))
    limited = (1024, 50e6, 1) if args.quick else (2048, 200e6, 2)
    show("Two-pass combine of files with a memory limit", with_mem_limit(*limited))


if __name__ == "__main__":
    main()
