# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
How long the whole recipe takes beside that of the SOXS pipeline, on an idle and on a busy machine.

Both get the same ten simulated 2048x2048 flats, five lamp-off frames and order table. soxspipe is
installed in an environment of its own (it needs Python 3.12 or newer)::

    python3.12 -m venv soxspipe-env && soxspipe-env/bin/pip install soxspipe six
    python benchmarks/soxs_mflat.py --soxspipe soxspipe-env/bin/soxspipe

The times are those of whole processes, including their start, and the runs take turns: first alone,
then beside as many other busy processes as there are cores.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from astropy.io import fits

from ccdproc_echelle import EchelleOrderTable
from ccdproc_echelle.simulation import EchelleSimulation

_SIZE, _N_ORDERS, _N_FLATS, _N_OFF = 2048, 24, 10, 5
_GAIN, _READ_NOISE = 1, 4

# What soxspipe needs to know of a raw frame, apart from its kind and time.
_CARDS = {
    "INSTRUME": "SOXS", "OBJECT": "FLAT,LAMP", "EXPTIME": 10.0,
    "ESO SEQ ARM": "NIR", "ESO DPR CATG": "CALIB", "ESO DPR TYPE": "FLAT,LAMP",
    "ESO DET BINX": 1, "ESO DET BINY": 1, "ESO DET READ CURID": 1, "ESO DET READ CURNAME": "slow",
    "ESO DET OUT1 CONAD": float(_GAIN), "ESO DET OUT1 GAIN": float(_GAIN),
    "ESO DET CHIP RON": float(_READ_NOISE), "ESO INS NISE NAME": "SLIT1.0",
    "ESO INS TEMP217 VAL": 40.0, "ESO INS TEMP301 VAL": 1.0, "ESO OBS NAME": "flat",
    "ESO TPL NAME": "flat",
}
_CARDS_OF_TABLE = {
    "INSTRUME": "SOXS", "OBJECT": "LAMP,ORDERDEF", "ESO SEQ ARM": "NIR",
    "ESO PRO CATG": "ORDER_TAB_NIR", "ESO PRO TYPE": "REDUCED", "ESO PRO TECH": "ECHELLE,SLIT",
}
_OURS = f"""
import glob
from ccdproc_echelle import EchelleOrderTable, make_master_flat
if __name__ == "__main__":
    orders = EchelleOrderTable.read("orders.fits", format="soxspipe", shape=({_SIZE}, {_SIZE}))
    make_master_flat(
        sorted(glob.glob("on_*.fits")), orders, dark=sorted(glob.glob("off_*.fits")),
        gain={_GAIN}, read_noise={_READ_NOISE},
    )
"""


class _Cost(NamedTuple):
    wall: float
    cpu: float
    peak: float


def _write_frames(folder: Path) -> None:
    """Raw frames, order table and list of files, with the headers that soxspipe expects."""
    simulation = (
        EchelleSimulation(shape=(_SIZE, _SIZE), n_orders=_N_ORDERS, seed=1)
        .with_bias(300).with_scattered_light(0.03).with_level_spread(0.3)
        .with_cosmic_rays(400).with_dead_pixels(200)
    )
    listed = []
    frames = [("on", "ECHELLE,SLIT", simulation.flats(_N_FLATS, raw=True)),
              ("off", "IMAGE", simulation.darks(_N_OFF, raw=True))]
    for kind, technique, images in frames:
        for i, image in enumerate(images):
            path = folder / f"{kind}_{i:02d}.fits"
            counts = np.clip(np.rint(image.data), 0, 65535).astype(np.uint16)
            _write(fits.PrimaryHDU(counts), _CARDS | {"ESO DPR TECH": technique}, path, i)
            listed.append(f"{path} FLAT_NIR")
    orders = simulation.truth.orders
    centers = EchelleOrderTable.from_traces(
        orders.order_numbers, orders.center(), shape=orders.shape, dispersion_axis=1
    )
    path = folder / "orders.fits"
    centers.write(path, format="soxspipe")
    with fits.open(path, mode="update") as hdus:
        _add_cards(hdus[0].header, _CARDS_OF_TABLE, 0)
    (folder / "flats.sof").write_text("\n".join([*listed, f"{path} ORDER_TAB_NIR\n"]))


def _write(hdu: fits.PrimaryHDU, cards: dict, path: Path, i: int) -> None:
    _add_cards(hdu.header, cards, i)
    hdu.writeto(path)


def _add_cards(header: fits.Header, cards: dict, i: int) -> None:
    for name, value in cards.items():
        header[f"HIERARCH {name}" if name.startswith("ESO") else name] = value
    header["MJD-OBS"], header["DATE-OBS"] = 60600 + i / 1000, f"2024-10-17T00:{i:02d}:00.000"


def _commands(folder: Path, soxspipe: Path) -> dict[str, list[str]]:
    script = folder / "ours.py"
    script.write_text(_OURS)
    where = "import soxspipe; print(soxspipe.__path__[0])"
    python = str(soxspipe.parent / "python")
    package = subprocess.check_output([python, "-c", where], text=True, cwd=folder).strip()
    work = folder / "work"
    (work / "sessions" / "base").mkdir(parents=True)
    settings = folder / "settings.yaml"
    default = Path(package, "soxs_default_settings.yaml").read_text().splitlines()
    kept = [line for line in default if not line.startswith("workspace-root-dir")]
    settings.write_text("\n".join([*kept, f"workspace-root-dir: {work}\n"]))
    return {
        "make_master_flat": [sys.executable, str(script)],
        # -V: without its database of sessions, it cannot use several processes.
        "soxspipe mflat": [
            str(soxspipe), "-Vx", "mflat", str(folder / "flats.sof"), "-o", str(work),
            "-s", str(settings),
        ],
    }


def _cost(command: list[str], folder: Path) -> _Cost:
    start = time.monotonic()
    process = subprocess.Popen(
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    wall = time.monotonic() - start
    process.stdout.close()
    # soxspipe ends with an error after its work, if its own limits are not met.
    if status != 0 and "RECIPE PRODUCTS" not in said:
        raise RuntimeError(f"{command[0]} failed: {said[-2000:]}")
    return _Cost(wall, used.ru_utime + used.ru_stime, 1024 * used.ru_maxrss)


@contextmanager
def _busy(n_processes: int) -> Iterator[None]:
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"])
              for _ in range(n_processes)]
    try:
        yield
    finally:
        for process in others:
            process.kill()
            process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--soxspipe", type=Path, required=True, help="the command of soxspipe")
    parser.add_argument("--n-runs", type=int, default=3)
    options = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        _write_frames(folder)
        commands = _commands(folder, options.soxspipe.absolute())
        for n_busy in (0, os.cpu_count()):
            with _busy(n_busy):
                costs = {name: [] for name in commands}
                for _ in range(options.n_runs):
                    for name, command in commands.items():
                        costs[name].append(_cost(command, folder))
            print(f"beside {n_busy} busy processes on {os.cpu_count()} cores")
            for name, runs in costs.items():
                wall, cpu, peak = (median(values) for values in zip(*runs, strict=True))
                print(f"  {name:18s} {wall:6.1f} s  {cpu:6.1f} CPU s  {peak / 1e6:5.0f} MB")


if __name__ == "__main__":
    main()
