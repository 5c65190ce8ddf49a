# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
How long the whole recipe takes and how much memory it needs, compared with its engine and others.

Run it in the environment whose speed you want to know, on an otherwise idle machine::

    python benchmarks/recipe.py                      # all cases, half an hour
    python benchmarks/recipe.py --case 10x2048x2048  # one of them
    python benchmarks/recipe.py --quick              # a small one, two minutes

For the same raw flats and darks in 16-bit files, each table compares

- ``make_master_flat`` with default settings: with an order table, with traced orders, and with four
  frames only;
- ``two_pass_flat_combine`` on the same flats, the engine of the recipe;
- reading the flats once, the minimum;
- the same steps written with ccdproc: dark subtraction and two passes of ``ccdproc.combine`` with
  the settings of the CCD data reduction guide, scaled by ``inner_order_scale``;
- if installed, one pass of IRAF's ``imcombine`` (``x_images.e``) and of ``siril-cli`` over the raw
  flats, with sigma clipping.

Every run is a separate process, which tells the time and CPU time it took once the packages were
imported, and (on Linux) its peak memory in excess of that of a process that only imports them.
Other programs are timed from their start, by the operating system, and their memory is not known.
The runs take turns; of each the best times and the largest peak are shown.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from astropy.table import Table

from ccdproc_echelle import EchelleOrderTable
from ccdproc_echelle.simulation import EchelleSimulation

_N_DARKS = 5
_FEW = 4
_MB = 1e6

_CLIP = "sigma_clip=True, sigma_clip_low_thresh=5, sigma_clip_high_thresh=5"
_HEADER = """
import atexit, glob, json, pathlib, time, warnings
warnings.simplefilter("ignore")

def tell_cost():
    wall, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
    status, peak = pathlib.Path("/proc/self/status"), None
    if status.is_file():
        line, = (x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        peak = 1024 * int(line.split()[1])
    pathlib.Path("cost.json").write_text(json.dumps([wall, cpu, peak]))

import ccdproc
import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData
from ccdproc_echelle import (EchelleOrderTable, inner_order_scale, make_master_flat,
                             two_pass_flat_combine)
flats, darks = sorted(glob.glob("flat_*.fits")), sorted(glob.glob("dark_*.fits"))
orders = EchelleOrderTable.read("orders.ecsv")
noise = dict(gain=1, read_noise=4, mem_limit=200e6)
if __name__ == "__main__":
    atexit.register(tell_cost)
    start = time.perf_counter(), time.process_time()
"""
_GUIDE = (
    f"{_CLIP}, sigma_clip_func=np.ma.median, sigma_clip_dev_func=np.ma.std, mem_limit=350e6"
)

# What is run, by what it is called; each line of a script stands below ``if __name__ ...``.
_SCRIPTS = {
    "starting": "pass",
    "reading": "[np.asarray(fits.getdata(name)).sum() for name in flats]",
    "two_pass_flat_combine": f"two_pass_flat_combine(flats, orders, {_CLIP}, mem_limit=200e6)",
    "make_master_flat": "make_master_flat(flats, orders, dark=darks, **noise)",
    "make_master_flat, traced": "make_master_flat(flats, dark=darks, **noise)",
    "make_master_flat, few": f"make_master_flat(flats[:{_FEW}], orders, dark=darks, **noise)",
    "ccdproc": f"""dark = ccdproc.combine(darks, method="median", unit="adu")
    frames = [CCDData.read(name, unit="adu").subtract(dark) for name in flats]
    first = ccdproc.combine(frames, scale=inner_order_scale(orders), {_GUIDE})
    ratios = [np.mean((frame.data / first.data)[orders.inner_mask(10)]) for frame in frames]
    ccdproc.combine(frames, scale=[1 / ratio for ratio in ratios], {_GUIDE})""",
}
# All parameters, as a task that is run without the CL asks for those it is not given.
_IMCOMBINE = (
    "input=@flats.txt output=master_iraf.fits headers= bpmasks= rejmasks= nrejmasks= expmasks= "
    "sigmas= imcmb=$I logfile= combine=average reject=sigclip project=no outtype=real outlimits= "
    "offsets=none masktype=none maskvalue=0 blank=0 scale=median zero=none weight=none statsec= "
    "expname= lthreshold=INDEF hthreshold=INDEF nlow=1 nhigh=1 nkeep=1 mclip=yes lsigma=5 hsigma=5 "
    "rdnoise=0 gain=1 snoise=0 sigscale=0.1 pclip=-0.5 grow=0"
).split()
_IRAF = "/usr/lib/iraf/"
_SIRIL = """\
requires 1.0.0
convert seq
stack seq_ rej sigma 5 5 -norm=mul -out=master_siril
"""


@dataclass(frozen=True)
class Case:
    """So many frames of one size, and how often each run is repeated."""

    n_frames: int
    size: int
    n_orders: int
    n_runs: int = 3

    @property
    def name(self) -> str:
        return f"{self.n_frames}x{self.size}x{self.size}"

    def write(self, folder: Path) -> None:
        """Raw flats and darks, and the table of their order centres."""
        simulation = (
            EchelleSimulation(shape=(self.size, self.size), n_orders=self.n_orders, seed=1)
            .with_bias(300)
            .with_scattered_light(0.03)
            .with_level_spread(0.3)
            .with_cosmic_rays(self.size**2 // 10_000)
            .with_dead_pixels(self.size**2 // 20_000)
        )
        simulation.write(folder, self.n_frames, _N_DARKS)
        truth = simulation.truth.orders
        EchelleOrderTable.from_traces(
            truth.order_numbers, truth.center(), shape=truth.shape, dispersion_axis=1
        ).write(folder / "orders.ecsv")


_CASES = [
    Case(10, 1024, 12), Case(10, 2048, 24), Case(10, 2048, 60), Case(7, 4096, 40, 2),
    Case(40, 2048, 24, 2),
]
_QUICK = Case(5, 512, 8)


@dataclass(frozen=True)
class Cost:
    """Of one process."""

    wall: float
    cpu: float
    peak: float


def _cost(command: list[str], folder: Path) -> Cost:
    for pattern in ("cost.json", "master_*", "siril/master_*", "siril/seq_*"):
        for path in folder.glob(pattern):
            path.unlink()
    start = time.monotonic()
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL, env={"iraf": _IRAF} | os.environ | {"HOME": str(folder)},
    )
    _, status, used = os.wait4(process.pid, 0)
    wall = time.monotonic() - start
    error = process.stderr.read().decode(errors="replace")
    process.stderr.close()
    if status != 0:
        raise RuntimeError(f"{command[:1]} failed: {error[-1000:]}")
    told = folder / "cost.json"
    if told.exists():
        return Cost(*np.array(json.loads(told.read_text()), dtype=float))
    return Cost(wall, used.ru_utime + used.ru_stime, np.nan)


def _commands(case: Case, folder: Path) -> Iterator[tuple[str, list[str]]]:
    for i, (name, script) in enumerate(_SCRIPTS.items()):
        path = folder / f"run_{i}.py"
        path.write_text(f"{_HEADER}    {script}\n")
        yield name, [sys.executable, str(path)]
    flats = sorted(folder.glob("flat_*.fits"))
    imcombine = shutil.which("x_images.e", path=os.environ["PATH"] + f":{_IRAF}bin")
    if imcombine:
        (folder / "flats.txt").write_text("".join(f"{path.name}\n" for path in flats))
        yield "IRAF imcombine", [imcombine, "imcombine", *_IMCOMBINE]
    if shutil.which("siril-cli"):
        inside = folder / "siril"
        inside.mkdir()
        for path in flats:
            (inside / path.name).symlink_to(path)
        (inside / "stack.ssf").write_text(_SIRIL)
        yield "siril", ["siril-cli", "-d", str(inside), "-s", str(inside / "stack.ssf")]


def _measured(case: Case, commands: dict[str, list[str]], folder: Path) -> dict[str, Cost]:
    costs = {name: [] for name in commands}
    for _ in range(case.n_runs):
        for name, command in commands.items():
            costs[name].append(_cost(command, folder))
    return {
        name: Cost(*(best(getattr(cost, field) for cost in runs)
                     for field, best in (("wall", min), ("cpu", min), ("peak", max))))
        for name, runs in costs.items()
    }


def _report(case: Case, costs: dict[str, Cost], show: Callable[[str], None]) -> None:
    engine = costs["two_pass_flat_combine"]
    table = Table(names=("run", "seconds", "CPU s", "peak MB", "engine = 1"),
                  dtype=(str, float, float, float, float))
    for name, cost in costs.items():
        peak = (cost.peak - costs["starting"].peak) / _MB
        if name != "starting":
            table.add_row((name, cost.wall, cost.cpu, peak, cost.wall / engine.wall))
    for column in table.colnames[1:]:
        table[column].format = ".2f" if column != "peak MB" else ".0f"
    show(f"\n{case.name}, {case.n_orders} orders, 16-bit files; planes of "
         f"{case.size**2 * 4 / _MB:.0f} MB\n")
    show("\n".join(table.pformat(max_lines=-1, max_width=-1)))


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the whole recipe and its parts.")
    parser.add_argument("--case", choices=[case.name for case in _CASES], action="append")
    parser.add_argument("--quick", action="store_true", help="one small case")
    options = parser.parse_args()
    chosen = [case for case in _CASES if options.case is None or case.name in options.case]
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
          f"OPENBLAS_NUM_THREADS {os.environ.get('OPENBLAS_NUM_THREADS', 'unset')}")
    for case in [_QUICK] if options.quick else chosen:
        with TemporaryDirectory() as folder:
            case.write(Path(folder))
            commands = dict(_commands(case, Path(folder)))
            _report(case, _measured(case, commands, Path(folder)), print)


if __name__ == "__main__":
    main()
