# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The command ``ccdproc-echelle convert``: convert an order table to another format."""

import argparse

from ccdproc_echelle.cli.options import (
    add_command,
    add_order_format,
    add_output,
    add_written_format,
    read_orders,
    write_orders,
)
from ccdproc_echelle.frames import parse_slices
from ccdproc_echelle.orders import check_order_output

__all__ = ["add", "run"]


def add(commands) -> None:
    convert = add_command(
        commands, "convert", run,
        help="convert an order table to another format",
        description="Read an order table and write it in another format.",
        example="  ccdproc-echelle convert order_table.fits --shape 2048 2048 --output orders.ecsv"
        "\n  ccdproc-echelle convert orders.ecsv --to ds9 --output orders.reg"
        "\n  ccdproc-echelle convert raw.ecsv --crop '[51:2098,1:4096]' --output orders.ecsv",
    )
    option = convert.add_argument
    option("orders", metavar="FILE", help="order table")
    add_order_format(convert, "--from")
    option("--shape", type=int, nargs=2, metavar=("ROWS", "COLUMNS"),
        help="shape of the detector, if it is not in the order table")
    option("--detector", metavar="NAME", help="detector to read, if the file has several")
    option("--crop", metavar="SECTION", type=_section,
        help="section of the detector to keep, as in TRIMSEC: \"[x1:x2,y1:y2]\", 1-based and "
        "inclusive; for an order table of raw, untrimmed frames")
    add_output(convert, "order table to write")
    add_written_format(convert, "--to")


def _section(text: str) -> tuple[slice, slice]:
    """Rows and columns of a FITS section."""
    try:
        return parse_slices(text, "--crop")
    except ValueError as error:
        message = f"{text!r} is not a section, expected \"[x1:x2,y1:y2]\""
        raise argparse.ArgumentTypeError(message) from error


def run(options: argparse.Namespace) -> None:
    check_order_output(
        options.output, options.output_format, overwrite=options.overwrite,
        inputs=[options.orders],
    )
    orders = read_orders(options, options.shape, detector=options.detector)
    if options.crop is not None:
        orders = orders.cropped(options.crop)
    write_orders(orders, options)
