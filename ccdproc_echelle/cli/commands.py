# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The command ``ccdproc-echelle``."""

import argparse
import importlib.util
import logging
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from astropy.nddata import CCDData
from astropy.table import QTable

import ccdproc_echelle
from ccdproc_echelle.frames import check_output, open_frames, replacing
from ccdproc_echelle.light import UNUSABLE, FlatFlag
from ccdproc_echelle.orders import EchelleOrderTable, able_formats, detect_order_edges, trace_orders
from ccdproc_echelle.recipe import MasterFlat, make_master_flat, with_limits
from ccdproc_echelle.simulation import EchelleSimulation

__all__ = ["main"]

_EXIT_STATUS = """\
exit status:
  0 done; 1 data, files or limits do not allow it, one line on standard error says why;
  2 the command was not understood; 130 interrupted"""

_FLAT_EXAMPLE = """\
  ccdproc-echelle flat flat_*.fits --dark dark_*.fits --orders orders.ecsv \\
      --gain 1.2 --read-noise 4 --output master.fits --plot master.png"""

_READABLE, _WRITABLE = able_formats("read"), able_formats("write")


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
        Exit status: 0 done, 1 data, files or limits do not allow it (one line on standard error
        says why), 130 interrupted. Wrong usage exits with status 2.
    """
    options = _parser().parse_args(arguments)
    with warnings.catch_warnings(), _log_on_stderr(options.verbose):
        warnings.showwarning = _show_warning
        try:
            options.run(options)
        except (ValueError, TypeError, OSError, ImportError) as error:
            _print_message("error", str(error).replace("overwrite=True", "--overwrite"))
            return 1
        except KeyboardInterrupt:
            return 130
    return 0


# ---------------------------------------------------------------------- what can be said


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ccdproc-echelle",
        description="Master flats for echelle spectrographs.",
        epilog=_EXIT_STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=ccdproc_echelle.__version__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in (_add_flat, _add_trace, _add_edges, _add_convert, _add_inspect, _add_demo):
        add(commands)
    return parser


def _add_command(
    commands, name: str, run: Callable, *, help: str, description: str, example: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=help,
        description=textwrap.fill(description, 79, break_on_hyphens=False),
        epilog=f"example:\n{example}\n\n{_EXIT_STATUS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--verbose", action="store_true", help="tell each step on standard error")
    parser.set_defaults(run=run, wrong_usage=parser.error)
    return parser


def _add_flat(commands) -> None:
    flat = _add_command(
        commands, "flat", _flat,
        help="make a master flat from raw flats",
        description="Make a master flat from raw flats: look at each frame, subtract bias, dark "
        "and scattered light, combine in two passes, find the order edges, set the inter-order "
        "area to 1, mask pixels that cannot be used, and measure the quality.",
        example=_FLAT_EXAMPLE,
    )
    add = flat.add_argument
    add("flats", nargs="+", metavar="FLAT", help="raw flats (FITS)")
    add("--orders", metavar="FILE", help="order table (default: the orders are traced)")
    _add_order_format(flat, "--orders-format")
    add("--bias", nargs="+", default=None, metavar="FILE", help="bias frames")
    add("--dark", nargs="+", default=None, metavar="FILE", help="dark or lamp-off frames")
    add("--gain", type=float, metavar="G", help="electrons per unit of the data")
    add("--read-noise", type=float, metavar="E", help="read noise in electrons")
    add("--saturation", type=float, metavar="VALUE",
        help="raw values from this one on are saturated, in the unit of the data")
    _add_reading(flat)
    add("--window", type=float, default=10, metavar="PIXELS",
        help="width of the window on the order centres (default: 10)")
    add("--scattered-light", choices=("frames", "master", "none"), default="frames",
        help="what the scattered light is subtracted from (default: %(default)s)")
    add("--per-order", action="store_true", help="an exposure level for each order of a frame")
    add("--reject", choices=("warn", "drop", "error"), default="warn",
        help="what becomes of frames that do not fit to the others (default: %(default)s)")
    add("--mask-interorder", action="store_true", help="mask the inter-order area as well")
    add("--limits", metavar="FILE", help="limits of the quality (YAML, see inspect)")
    add("--progress", action="store_true", help="show the progress of the combination (tqdm)")
    _add_output(flat, "master flat to be written (FITS)")
    add("--plot", metavar="FILE", help="summary figure to be written (PNG or PDF)")


def _add_trace(commands) -> None:
    trace = _add_command(
        commands, "trace", _trace,
        help="find the orders in a flat",
        description="Find the orders in a flat, free of bias and dark, and write their centres "
        "as an order table.",
        example="  ccdproc-echelle trace flat.fits --first-order 84 --output orders.ecsv",
    )
    trace.add_argument("flat", metavar="FLAT", help="a flat, the brighter the better (FITS)")
    _add_dispersion_axis(trace, "default: found from the flat")
    trace.add_argument("--first-order", type=int, default=1, metavar="M",
        help="number of the lowest order on the detector; the others count from it (default: 1)")
    _add_reading(trace)
    _add_output(trace, "order table to be written")
    _add_written_format(trace, "--format")


def _add_edges(commands) -> None:
    edges = _add_command(
        commands, "edges", _edges,
        help="find the order edges in a flat",
        description="Find the lower and upper edges of orders whose centres are known, in a flat "
        "free of bias and dark or in a master flat.",
        example="  ccdproc-echelle edges flat.fits --orders orders.ecsv --output edges.ecsv",
    )
    add = edges.add_argument
    add("flat", metavar="FLAT", help="a flat (FITS)")
    add("--orders", metavar="FILE", required=True, help="order table")
    _add_order_format(edges, "--orders-format")
    add("--threshold", type=float, default=0.5, metavar="FRACTION",
        help="an edge is where the flat falls to this fraction of the order (default: 0.5)")
    _add_reading(edges)
    _add_output(edges, "order table with edges to be written")
    _add_written_format(edges, "--format")


def _add_convert(commands) -> None:
    convert = _add_command(
        commands, "convert", _convert,
        help="convert an order table to another format",
        description="Read an order table and write it in another format.",
        example="  ccdproc-echelle convert order_table.fits --shape 2048 2048 --output orders.ecsv"
        "\n  ccdproc-echelle convert orders.ecsv --to ds9 --output orders.reg",
    )
    add = convert.add_argument
    add("orders", metavar="FILE", help="order table")
    _add_order_format(convert, "--from")
    add("--shape", type=int, nargs=2, metavar=("ROWS", "COLUMNS"),
        help="shape of the detector, if the order table does not tell")
    add("--detector", metavar="NAME", help="which detector, if the file is for several")
    _add_output(convert, "order table to be written")
    _add_written_format(convert, "--to")


def _add_inspect(commands) -> None:
    inspect = _add_command(
        commands, "inspect", _inspect,
        help="show the quality of a master flat and judge it",
        description="Show the quality table of a master flat. If a quantity is beyond its limits "
        "the exit status is 1, and the message on standard error names it.",
        example="  ccdproc-echelle inspect master.fits --limits limits.yaml\n\n"
        "where limits.yaml holds the lower and the upper limit of quantities, such as\n"
        "  level_spread: [null, 0.5]\n  signal_to_noise_min: [100, null]",
    )
    inspect.add_argument("master", metavar="FILE", help="master flat, as written by flat")
    inspect.add_argument("--limits", metavar="FILE",
        help="YAML file of limits that replace those in the master flat")


def _add_demo(commands) -> None:
    demo = _add_command(
        commands, "demo", _demo,
        help="simulate raw flats, reduce them and compare with the truth",
        description="Simulate raw flats and darks of an echelle spectrograph, make a master flat "
        "from them and compare levels, edges and bad pixels with the truth.",
        example="  ccdproc-echelle demo --folder echelle_demo",
    )
    demo.add_argument(
        "--folder", default="echelle_demo", help="where to write (default: %(default)s)"
    )
    demo.add_argument("--overwrite", action="store_true", help="replace existing files")


def _add_reading(parser) -> None:
    parser.add_argument("--unit", help="unit of the frames, if they have no BUNIT keyword")
    parser.add_argument("--hdu", type=int, default=0,
        help="HDU of the image in the FITS files (default: 0)")


def _add_order_format(parser, flag: str) -> None:
    parser.add_argument(flag, dest="orders_format", choices=_READABLE, metavar="NAME",
        help=f"its format: {', '.join(_READABLE)} (default: found from its content)")
    _add_dispersion_axis(parser, "if the order table does not tell")


def _add_dispersion_axis(parser, when: str) -> None:
    parser.add_argument("--dispersion-axis", type=int, choices=(0, 1),
        help=f"1 when orders run along rows, 0 along columns; {when}")


def _add_written_format(parser, flag: str) -> None:
    parser.add_argument(flag, dest="output_format", choices=_WRITABLE, default="ecsv",
        metavar="NAME", help=f"its format: {', '.join(_WRITABLE)} (default: ecsv)")


def _add_output(parser, what: str) -> None:
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help=what)
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")


# ---------------------------------------------------------------------- flat


def _flat(options: argparse.Namespace) -> None:
    if options.orders is None:
        for name in ("orders_format", "dispersion_axis"):
            if getattr(options, name) is not None:
                options.wrong_usage(f"argument --{name.replace('_', '-')}: only with --orders")
    outputs = [Path(path) for path in (options.output, options.plot) if path is not None]
    for path in outputs:
        check_output(path, overwrite=options.overwrite)
    if options.plot is not None:
        _check_plot(options.plot, options.output)
    reading = _reading(options)
    orders = None
    if options.orders is not None:
        orders = _read_orders(options, open_frames(options.flats[:1], **reading)[0].shape)
    master = make_master_flat(
        options.flats,
        orders,
        bias=options.bias,
        dark=options.dark,
        gain=options.gain,
        read_noise=options.read_noise,
        saturation=options.saturation,
        scattered_light=None if options.scattered_light == "none" else options.scattered_light,
        per_order=options.per_order,
        progress_bar=options.progress,
        reject=options.reject,
        limits=options.limits,
        window=options.window,
        mask_flags=UNUSABLE | FlatFlag.INTERORDER if options.mask_interorder else UNUSABLE,
        **reading,
    )
    _write(master, options.output, options.plot, overwrite=options.overwrite)
    _print_levels(master)
    print(f"{len(master.orders)} orders, {master.flat.mask.sum()} pixels masked")
    for broken in _broken_limits(master.quality):
        print(f"beyond its limits: {broken}")
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


# ---------------------------------------------------------------------- order tables


def _trace(options: argparse.Namespace) -> None:
    check_output(options.output, overwrite=options.overwrite)
    orders = trace_orders(
        _read_flat(options),
        dispersion_axis=options.dispersion_axis,
        first_order=options.first_order,
    )
    _write_orders(orders, options)


def _edges(options: argparse.Namespace) -> None:
    check_output(options.output, overwrite=options.overwrite)
    flat = _read_flat(options)
    orders = _read_orders(options, flat.shape)
    _write_orders(detect_order_edges(flat, orders, threshold=options.threshold), options)


def _convert(options: argparse.Namespace) -> None:
    check_output(options.output, overwrite=options.overwrite)
    orders = _read_orders(options, options.shape, detector=options.detector)
    _write_orders(orders, options)


def _reading(options: argparse.Namespace) -> dict:
    return {"hdu": options.hdu} | ({} if options.unit is None else {"unit": options.unit})


def _read_flat(options: argparse.Namespace) -> CCDData:
    return open_frames([options.flat], **_reading(options))[0].ccddata()


def _read_orders(options: argparse.Namespace, shape, **chosen) -> EchelleOrderTable:
    return EchelleOrderTable.read(
        options.orders,
        format=options.orders_format,
        shape=shape,
        dispersion_axis=options.dispersion_axis,
        **chosen,
    )


def _write_orders(orders: EchelleOrderTable, options: argparse.Namespace) -> None:
    orders.write(options.output, format=options.output_format, overwrite=options.overwrite)
    numbers = orders.order_numbers
    print(
        f"{len(orders)} orders ({numbers[0]} to {numbers[-1]}), "
        f"dispersion axis {orders.dispersion_axis}, {'with' if orders.has_edges else 'no'} edges"
    )
    print(f"wrote {options.output}")


# ---------------------------------------------------------------------- inspect


def _inspect(options: argparse.Namespace) -> None:
    quality = MasterFlat.read(options.master).quality
    if options.limits is not None:
        quality = with_limits(quality, options.limits)
    for row in quality:
        print(f"{row['name']:26}{row['value']:12.6g} {row['unit']:8}{row['verdict']:6}"
              f"{row['comment']}".rstrip())
    broken = _broken_limits(quality)
    if broken:
        raise ValueError(f"{options.master}: {'; '.join(broken)}")


def _broken_limits(quality: QTable) -> list[str]:
    """What to say of each quantity that is beyond its limits."""
    return [
        f"{row['name']} is {row['value']:.6g}, expected {_range(row['lower'], row['upper'])}"
        for row in quality[quality["verdict"] == "fail"]
    ]


def _range(lower: float, upper: float) -> str:
    if np.isnan(lower):
        return f"at most {upper:.6g}"
    if np.isnan(upper):
        return f"at least {lower:.6g}"
    return f"{lower:.6g} to {upper:.6g}"


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


@contextmanager
def _log_on_stderr(wanted: bool) -> Iterator[None]:
    """The package's log, and no other; the logger is left as it was."""
    if not wanted:
        yield
        return
    logger = logging.getLogger("ccdproc_echelle")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("ccdproc-echelle: %(message)s"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    _print_message("warning", message)


def _print_message(kind: str, message: Warning | Exception | str) -> None:
    """One line, whatever the message is made of."""
    print(f"ccdproc-echelle: {kind}: {' '.join(str(message).split())}", file=sys.stderr)
