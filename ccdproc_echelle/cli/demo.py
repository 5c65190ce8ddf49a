# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The command ``ccdproc-echelle demo``: simulate raw flats, reduce them, compare with truth."""

import argparse
import importlib.util
from pathlib import Path

import numpy as np

from ccdproc_echelle.cli.options import add_command
from ccdproc_echelle.cli.products import write_product
from ccdproc_echelle.frames import check_output
from ccdproc_echelle.orders import EchelleOrderTable
from ccdproc_echelle.recipe import MasterFlat, make_master_flat
from ccdproc_echelle.simulation import EchelleSimulation

__all__ = ["add", "run"]

_N_FLATS = 7
_N_DARKS = 3
_GAIN, _READ_NOISE = 1.5, 4.0


def add(commands) -> None:
    demo = add_command(
        commands, "demo", run,
        help="simulate raw flats, reduce them and compare with the truth",
        description="Simulate raw flats and darks of an echelle spectrograph, including overscan, "
        "make a master flat from them and compare levels, edges and bad pixels with the truth.",
        example="  ccdproc-echelle demo --folder echelle_demo",
    )
    demo.add_argument(
        "--folder", help="output folder (default: echelle_demo, or echelle_night with --night)"
    )
    demo.add_argument("--night", action="store_true",
        help="write the raw frames of a night with three set-ups instead, for the command night")
    demo.add_argument("--overwrite", action="store_true", help="replace existing files")


def run(options: argparse.Namespace) -> int:
    work, folder = (_write_night, "echelle_night") if options.night else (_reduce, "echelle_demo")
    return work(Path(folder if options.folder is None else options.folder), options.overwrite)


def _write_night(folder: Path, overwrite: bool) -> int:
    folder.mkdir(exist_ok=True)
    night = _simulation(512, 8).write_night(folder, overwrite=overwrite)
    print(f"wrote a night of {len(night.setups)} set-ups to {folder}; try\n"
          f"  ccdproc-echelle night {folder} -o {folder}/reduced --dry-run")
    return 0


def _simulation(size: int, n_orders: int) -> EchelleSimulation:
    return (
        EchelleSimulation(shape=(size, size), n_orders=n_orders, seed=1)
        .with_noise(gain=_GAIN, read_noise=_READ_NOISE)
        .with_bias(300)
        .with_level_spread(0.35)
        .with_drift(0.005)
        .with_cosmic_rays(100)
        .with_dead_pixels(60)
        .with_dust(5)
    )


def _reduce(folder: Path, overwrite: bool) -> int:
    simulation = _simulation(1024, 12)
    master_path = folder / "master.fits"
    plot_path = folder / "master.png" if importlib.util.find_spec("matplotlib") else None
    folder.mkdir(exist_ok=True)
    check_output(master_path, overwrite=overwrite)
    print(f"simulating {_N_FLATS} flats and {_N_DARKS} darks of 1024 x 1024 pixels in {folder}")
    flats, darks = simulation.write(
        folder, _N_FLATS, _N_DARKS, layout="overscan", overwrite=overwrite
    )
    orders_path = folder / "orders.ecsv"
    centers = EchelleOrderTable.from_traces(
        simulation.truth.orders.order_numbers, simulation.truth.orders.center(),
        shape=(1024, 1024), dispersion_axis=1,
    )
    centers.write(orders_path, overwrite=overwrite)
    master = make_master_flat(flats, centers, dark=darks, gain="GAIN", read_noise="RDNOISE")
    written = write_product(master, master_path, plot_path, overwrite=overwrite)
    _compare(master, simulation)
    for path in written:
        print(f"wrote {path}")
    if plot_path is None:
        print("no figure: matplotlib is not installed")
    return 0 if plot_path is None or plot_path in written else 1


def _compare(master: MasterFlat, simulation: EchelleSimulation) -> None:
    """Print measured and true levels, edges, dead pixels and uncertainties."""
    truth = simulation.truth
    measured, true = master.levels["level"].value, truth.levels(_N_FLATS)
    measured, true = measured / measured.mean(), true / true.mean()
    print("relative exposure level of each frame")
    print("  frame  measured      true  difference")
    for i, (a, b) in enumerate(zip(measured, true, strict=True), start=1):
        print(f"  {i:5d}  {a:8.5f}  {b:8.5f}  {a - b:+10.5f}")

    print("order edges, measured minus true (pixel)")
    print("  order   lower    rms   upper    rms")
    for order in master.orders:
        expected = truth.orders.select(order.order_numbers)
        differences = (order.lower() - expected.lower(), order.upper() - expected.upper())
        columns = [f"{np.nanmean(d):+7.3f}{np.sqrt(np.nanmean(d**2)):7.3f}" for d in differences]
        print(f"  {order.order_numbers[0]:5d} {' '.join(columns)}")

    inside = (master.orders.order_map() > 0) & ~master.flat.mask
    found = (truth.dead_pixels & master.flat.mask).sum()
    print(f"dead pixels found: {found} of {truth.dead_pixels.sum()}")
    # The illumination of each frame is tilted: the truth is the mean of the frames as they would be
    # without noise.
    frames = truth.noiseless_flats(_N_FLATS) - simulation.bias
    flat = np.mean(frames / truth.levels(_N_FLATS)[:, None, None], axis=0)
    difference = master.flat.data[inside] - flat[inside]
    pulls = difference / master.flat.uncertainty.array[inside]
    print(
        f"(master - truth) / uncertainty: standard deviation {pulls.std():.3f}, "
        f"largest {np.abs(pulls).max():.2f} of {pulls.size} pixels"
    )
