# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The command ``ccdproc-echelle``."""

import argparse
import importlib.util
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import ccdproc_echelle
from ccdproc_echelle.files import check_output, replacing
from ccdproc_echelle.frames import open_frames
from ccdproc_echelle.master import MasterFlat, make_master_flat
from ccdproc_echelle.orders import EchelleOrderTable
from ccdproc_echelle.simulation import EchelleSimulation

__all__ = ["main"]

_FLAT_EXAMPLE = """\
example:
  ccdproc-echelle flat flat_*.fits --dark dark_*.fits --orders orders.ecsv \\
      --gain 1.2 --read-noise 4 --output master.fits --plot master.png
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Arguments. Default: those of the process.

    Returns
    -------
    int
        Exit status: 0 done, 1 the data or files do not allow it (one line on standard error says
        why). Wrong usage exits with status 2.
    """
    options = _parser().parse_args(arguments)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            options.run(options)
        except (ValueError, TypeError, OSError, ImportError) as error:
            _print_message("error", str(error).replace("overwrite=True", "--overwrite"))
            return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ccdproc-echelle", description="Master flats for echelle spectrographs."
    )
    parser.add_argument("--version", action="version", version=ccdproc_echelle.__version__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_flat(commands)
    _add_demo(commands)
    return parser


def _add_flat(commands) -> None:
    flat = commands.add_parser(
        "flat",
        help="make a master flat from raw flats",
        description="Make a master flat from raw flats: subtract bias and dark, combine in two "
        "passes, find the order edges, set the inter-order area to 1, mask low-sensitivity pixels.",
        epilog=_FLAT_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = flat.add_argument
    add("flats", nargs="+", metavar="FLAT", help="raw flats (FITS)")
    add("--orders", metavar="FILE", help="order table (default: the orders are traced)")
    add("--orders-format", metavar="NAME", help="its format (default: found from its content)")
    add("--dispersion-axis", type=int, choices=(0, 1),
        help="1 when orders run along rows, 0 along columns, if the order table does not tell")
    add("--bias", nargs="+", default=None, metavar="FILE", help="bias frames")
    add("--dark", nargs="+", default=None, metavar="FILE", help="dark or lamp-off frames")
    add("--gain", type=float, metavar="G", help="electrons per unit of the data")
    add("--read-noise", type=float, metavar="E", help="read noise in electrons")
    add("--unit", help="unit of the frames, if they have no BUNIT keyword")
    add("--hdu", type=int, default=0, help="HDU of the image in the FITS files (default: 0)")
    add("--window", type=float, default=10, metavar="PIXELS",
        help="width of the window on the order centres (default: 10)")
    add("--mask-interorder", action="store_true", help="mask the inter-order area as well")
    add("-o", "--output", required=True, metavar="FILE", help="master flat to be written (FITS)")
    add("--plot", metavar="FILE", help="summary figure to be written (PNG or PDF)")
    add("--overwrite", action="store_true", help="replace existing files")
    flat.set_defaults(run=_flat)


def _add_demo(commands) -> None:
    demo = commands.add_parser(
        "demo",
        help="simulate raw flats, reduce them and compare with the truth",
        description="Simulate raw flats and darks of an echelle spectrograph, make a master flat "
        "from them and compare levels, edges and bad pixels with the truth.",
    )
    demo.add_argument(
        "--folder", default="echelle_demo", help="where to write (default: %(default)s)"
    )
    demo.add_argument("--overwrite", action="store_true", help="replace existing files")
    demo.set_defaults(run=_demo)


# ---------------------------------------------------------------------- flat


def _flat(options: argparse.Namespace) -> None:
    outputs = [Path(path) for path in (options.output, options.plot) if path is not None]
    for path in outputs:
        check_output(path, overwrite=options.overwrite)
    if options.plot is not None:
        _check_plot(options.plot, options.output)
    reading = {"hdu": options.hdu} | ({} if options.unit is None else {"unit": options.unit})
    orders = None
    if options.orders is not None:
        orders = EchelleOrderTable.read(
            options.orders,
            format=options.orders_format,
            shape=open_frames(options.flats[:1], **reading)[0].shape,
            dispersion_axis=options.dispersion_axis,
        )
    master = make_master_flat(
        options.flats,
        orders,
        bias=options.bias,
        dark=options.dark,
        gain=options.gain,
        read_noise=options.read_noise,
        window=options.window,
        interorder=options.mask_interorder,
        **reading,
    )
    _write(master, options.output, options.plot, overwrite=options.overwrite)
    _print_levels(master)
    print(f"{len(master.orders)} orders, {master.flat.mask.sum()} pixels masked")
    for path in outputs:
        print(f"wrote {path}")


def _write(master: MasterFlat, output, plot, *, overwrite: bool) -> None:
    """The figure is drawn first: if that fails no file is written."""
    if plot is None:
        master.write(output, overwrite=overwrite)
        return
    from ccdproc_echelle.plotting import plot_summary  # matplotlib is optional

    figure = plot_summary(master)
    with replacing(plot, overwrite=overwrite) as temporary:
        figure.savefig(temporary)
        master.write(output, overwrite=overwrite)


def _check_plot(plot: str, output: str) -> None:
    """Whether there can be a figure in this file."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError(
            "--plot needs matplotlib: python -m pip install 'ccdproc_echelle[plot]'"
        )
    from matplotlib.figure import Figure  # optional

    known = sorted(Figure().canvas.get_supported_filetypes())
    if Path(plot).suffix.lower().removeprefix(".") not in known:
        raise ValueError(f"--plot is {plot}, expected a file name that ends in one of {known}")
    if Path(plot).resolve() == Path(output).resolve():
        raise ValueError(f"--plot and --output are the same file, {plot}")


def _print_levels(master: MasterFlat) -> None:
    levels = master.levels
    mean = levels["level"].mean()
    print(f"exposure levels, mean {mean:.6g}:")
    for row in levels:
        relative = float(row["level"] / mean)
        sigma = float(row["level_uncertainty"] / mean)
        print(f"  {Path(row['frame']).name}  {relative:.5f} +- {sigma:.5f}")


# ---------------------------------------------------------------------- demo

_N_FLATS = 7
_N_DARKS = 3
_GAIN, _READ_NOISE = 1.5, 4.0


def _demo(options: argparse.Namespace) -> None:
    folder = Path(options.folder)
    simulation = (
        EchelleSimulation(shape=(1024, 1024), n_orders=12, seed=1)
        .with_noise(gain=_GAIN, read_noise=_READ_NOISE)
        .with_bias(300)
        .with_level_spread(0.35)
        .with_drift(0.005)
        .with_cosmic_rays(100)
        .with_dead_pixels(60)
        .with_dust(5)
    )
    master_path = folder / "master.fits"
    plot_path = folder / "master.png" if importlib.util.find_spec("matplotlib") else None
    folder.mkdir(exist_ok=True)
    check_output(master_path, overwrite=options.overwrite)
    print(f"simulating {_N_FLATS} flats and {_N_DARKS} darks of 1024 x 1024 pixels in {folder}")
    flats, darks = simulation.write(folder, _N_FLATS, _N_DARKS, overwrite=options.overwrite)
    orders_path = folder / "orders.ecsv"
    centers = EchelleOrderTable.from_traces(
        simulation.truth.orders.order_numbers, simulation.truth.orders.center(),
        shape=(1024, 1024), dispersion_axis=1,
    )
    centers.write(orders_path, overwrite=options.overwrite)
    master = make_master_flat(flats, centers, dark=darks, gain=_GAIN, read_noise=_READ_NOISE)
    _write(master, master_path, plot_path, overwrite=options.overwrite)
    _compare(master, simulation)
    for path in (master_path, plot_path):
        if path is not None:
            print(f"wrote {path}")
    if plot_path is None:
        print("no figure: matplotlib is not installed")


def _compare(master: MasterFlat, simulation: EchelleSimulation) -> None:
    """Print measured against true levels, edges, dead pixels and uncertainties."""
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
    # The illumination of each frame is tilted: the truth is the mean of what they would be
    # without noise.
    frames = truth.noiseless_flats(_N_FLATS) - simulation.bias
    flat = np.mean(frames / truth.levels(_N_FLATS)[:, None, None], axis=0)
    difference = master.flat.data[inside] - flat[inside]
    pulls = difference / master.flat.uncertainty.array[inside]
    print(
        f"(master - truth) / uncertainty: standard deviation {pulls.std():.3f}, "
        f"largest {np.abs(pulls).max():.2f} of {pulls.size} pixels"
    )


# ---------------------------------------------------------------------- messages


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    _print_message("warning", message)


def _print_message(kind: str, message: Warning | Exception | str) -> None:
    """One line, whatever the message is made of."""
    print(f"ccdproc-echelle: {kind}: {' '.join(str(message).split())}", file=sys.stderr)
