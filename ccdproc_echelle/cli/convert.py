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
from ccdproc_echelle.frames import check_output

__all__ = ["add", "run"]


def add(commands) -> None:
    convert = add_command(
        commands, "convert", run,
        help="convert an order table to another format",
        description="Read an order table and write it in another format.",
        example="  ccdproc-echelle convert order_table.fits --shape 2048 2048 --output orders.ecsv"
        "\n  ccdproc-echelle convert orders.ecsv --to ds9 --output orders.reg",
    )
    option = convert.add_argument
    option("orders", metavar="FILE", help="order table")
    add_order_format(convert, "--from")
    option("--shape", type=int, nargs=2, metavar=("ROWS", "COLUMNS"),
        help="shape of the detector, if the order table does not tell")
    option("--detector", metavar="NAME", help="which detector, if the file is for several")
    add_output(convert, "order table to be written")
    add_written_format(convert, "--to")


def run(options: argparse.Namespace) -> None:
    check_output(options.output, overwrite=options.overwrite, inputs=[options.orders])
    orders = read_orders(options, options.shape, detector=options.detector)
    write_orders(orders, options)
