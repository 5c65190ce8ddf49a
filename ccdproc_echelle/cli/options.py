# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Options that several commands share, and their meaning."""

import argparse
import textwrap
import tomllib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ccdproc_echelle.frames import AssembledFrame, RawFrame, Readout
from ccdproc_echelle.orders import EchelleOrderTable, able_formats
from ccdproc_echelle.recipe import Instrument

__all__ = [
    "EXIT_STATUS",
    "add_command",
    "add_dispersion_axis",
    "add_instrument",
    "add_order_format",
    "add_output",
    "add_raw",
    "add_reading",
    "add_tracing",
    "add_written_format",
    "assignment",
    "given",
    "opened_frame",
    "read_orders",
    "read_orders_of",
    "raw_keywords",
    "reading_keywords",
    "tracing_keywords",
    "write_orders",
]

EXIT_STATUS = """\
exit status:
  0 done; 1 unsuitable data or files, quality beyond its limits (inspect and night only), or a
  figure that could not be drawn (one line on standard error gives the reason); 2 wrong usage;
  130 interrupted"""

_READABLE, _WRITABLE = sorted(able_formats("read")), sorted(able_formats("write"))

_OF_FILES = ("hdu", "unit")
_SECTIONS = ("oscan", "trim")


def add_command(
    commands, name: str, run: Callable, *, help: str, description: str, example: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=help,
        description=textwrap.fill(description, 79, break_on_hyphens=False),
        epilog=f"example:\n{example}\n\n{EXIT_STATUS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--verbose", action="store_true", help="log each step on standard error")
    parser.set_defaults(run=run, wrong_usage=parser.error)
    return parser


def add_reading(parser) -> None:
    parser.add_argument("--unit", help="unit of the frames, if they have no BUNIT keyword")
    parser.add_argument("--hdu", type=_extension,
        help="HDU of the image in the FITS files, by number or name (default: 0); several, such as "
        "1,2, are the amplifiers of one detector")
    parser.add_argument("--oscan", type=_section, metavar="SECTION",
        help="FITS section of the overscan, 'none' for none (default: BIASSEC of each header)")
    parser.add_argument("--trim", type=_section, metavar="SECTION",
        help="FITS section to keep, 'none' for all (default: TRIMSEC or DATASEC)")


def add_instrument(parser) -> None:
    parser.add_argument("--instrument", metavar="NAME",
        help="instrument (see the command instruments) or TOML file with keywords that are used "
        "unless an option overrides them")


def opened_frame(
    options: argparse.Namespace, path: str, *, shape_only: bool = False
) -> tuple[RawFrame | AssembledFrame, int | None]:
    """A raw frame, read as specified by options and instrument, and its dispersion axis."""
    told = {}
    if options.instrument is not None:
        told.update(Instrument.read(options.instrument).keywords)
    told |= given(options, (*_OF_FILES, *_SECTIONS, "dispersion_axis"))
    if shape_only and not isinstance(told.get("oscan"), Mapping):
        told["oscan"] = False
    readout = Readout(**{name: told[name] for name in _SECTIONS if name in told})
    frames = readout.open([path], **{name: told[name] for name in _OF_FILES if name in told})
    if len(frames) > 1:
        raise ValueError(f"{len(frames)} files match {path}, expected a single one")
    return frames[0], told.get("dispersion_axis")


def add_raw(parser) -> None:
    """Options that describe how raw frames were read out."""
    option = parser.add_argument
    option("--gain", type=_number_or_name, metavar="G",
        help="electrons per unit of the data, or the header keyword for it")
    option("--read-noise", type=_number_or_name, metavar="E",
        help="read noise in electrons, or the header keyword for it")
    option("--saturation", type=_number_or_name, metavar="VALUE",
        help="raw values at or above this are saturated; a number, or the header keyword for it")


def raw_keywords(options: argparse.Namespace) -> dict:
    return given(options, ("gain", "read_noise", "saturation", *_SECTIONS))


def assignment(text: str) -> tuple[str, Any]:
    """KEYWORD=VALUE: the value is parsed as TOML, or else taken as text."""
    name, equal, value = text.partition("=")
    if not (name and equal):
        raise argparse.ArgumentTypeError(f"{text!r} is not KEYWORD=VALUE")
    try:
        return name.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name.strip(), value.strip()


def _number_or_name(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _section(text: str) -> str | bool:
    return False if text.lower() == "none" else text


def _extension(text: str) -> int | str | list[int | str]:
    """A number or name, or several, separated by commas."""
    found = [int(part) if part.removeprefix("-").isdigit() else part for part in text.split(",")]
    return found if len(found) > 1 else found[0]


def add_order_format(parser, flag: str) -> None:
    parser.add_argument(flag, dest="orders_format", choices=_READABLE, metavar="NAME",
        help=f"format of the order table to read: {', '.join(_READABLE)} (default: identified from "
        "its content)")
    add_dispersion_axis(parser, "needed only if the order table does not have it")


def add_dispersion_axis(parser, when: str) -> None:
    parser.add_argument("--dispersion-axis", type=int, choices=(0, 1),
        help=f"1 when orders run along rows, 0 along columns; {when}")


def add_written_format(parser, flag: str) -> None:
    parser.add_argument(flag, dest="output_format", choices=_WRITABLE,
        metavar="NAME",
        help=f"format of the order table to write: {', '.join(_WRITABLE)} (default: ecsv)")


def add_output(parser, what: str) -> None:
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help=what)
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")


def add_tracing(parser, *, signal_to_noise: str) -> None:
    """What the user knows about the orders; the name of one option differs between commands."""
    parser.add_argument("--n-orders", type=int, metavar="N",
        help="maximum number of orders: those with the most light are kept")
    for name, word in (("min", "minimum"), ("max", "maximum")):
        parser.add_argument(f"--{name}-width", type=float, metavar="PIXELS",
            help=f"{word} width of an order")
    parser.add_argument(signal_to_noise, dest="trace_signal_to_noise", type=float,
        metavar="RATIO", help="the light of an order must exceed the background by this many times "
        "the noise (default: 6)")


def tracing_keywords(options: argparse.Namespace) -> dict:
    """The keywords of `trace_orders` that were given."""
    told = given(options, ("n_orders", "min_width", "max_width"))
    if options.trace_signal_to_noise is not None:
        told["min_signal_to_noise"] = options.trace_signal_to_noise
    return told


def reading_keywords(options: argparse.Namespace) -> dict:
    return given(options, _OF_FILES)


def given(options: argparse.Namespace, names: Iterable[str]) -> dict:
    """Options given by the user; the rest is left to the instrument, or to the functions."""
    found = {name: getattr(options, name, None) for name in names}
    return {name: value for name, value in found.items() if value is not None}


def read_orders(options: argparse.Namespace, shape, **chosen) -> EchelleOrderTable:
    return EchelleOrderTable.read(
        options.orders,
        format=options.orders_format,
        shape=shape,
        **({"dispersion_axis": options.dispersion_axis} | chosen),
    )


def read_orders_of(
    options: argparse.Namespace, frame: RawFrame | AssembledFrame, axis: int | None
) -> EchelleOrderTable:
    """The order table for a frame; if it has no shape, it is for the trimmed frame."""
    try:
        return read_orders(options, frame.shape, dispersion_axis=axis)
    except ValueError:
        if frame.full_shape == frame.shape:
            raise
        return read_orders(options, None, dispersion_axis=axis)


def write_orders(orders: EchelleOrderTable, options: argparse.Namespace) -> None:
    orders.write(options.output, format=options.output_format, overwrite=options.overwrite)
    numbers = orders.order_numbers
    print(
        f"{len(orders)} orders ({numbers[0]} to {numbers[-1]}), "
        f"dispersion axis {orders.dispersion_axis}, {'with' if orders.has_edges else 'no'} edges"
    )
    print(f"wrote {options.output}")
