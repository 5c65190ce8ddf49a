# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The command ``ccdproc-echelle edges``: find the order edges in a flat."""

import argparse

from ccdproc_echelle.cli.options import (
    add_command,
    add_instrument,
    add_order_format,
    add_output,
    add_reading,
    add_written_format,
    opened_frame,
    read_orders_of,
    write_orders,
)
from ccdproc_echelle.orders import check_order_output, detect_order_edges
from ccdproc_echelle.recipe import on_trimmed

__all__ = ["add", "run"]


def add(commands) -> None:
    edges = add_command(
        commands, "edges", run,
        help="find the order edges in a flat",
        description="Find the lower and upper edges of orders with known centres, in a master flat "
        "or in a flat from which bias and dark have been subtracted. Overscan and amplifiers are "
        "handled as by the command flat.",
        example="  ccdproc-echelle edges flat.fits --orders orders.ecsv --output edges.ecsv",
    )
    option = edges.add_argument
    option("flat", metavar="FLAT", help="a flat (FITS)")
    option("--orders", metavar="FILE", required=True, help="order table")
    add_order_format(edges, "--orders-format")
    option("--threshold", type=float, metavar="FRACTION",
        help="an edge is where the flat falls to this fraction of the order (default: 0.5, or "
        "0.01 for fibres)")
    option("--profile", choices=("auto", "slit", "fibre", "slicer"), default="auto",
        help="what the orders are images of (default: determined from the flat)")
    option("--n-slices", type=int, default=1, metavar="N", help="slices, or fibres, per order")
    add_instrument(edges)
    add_reading(edges)
    add_output(edges, "order table with edges to write")
    add_written_format(edges, "--format")


def run(options: argparse.Namespace) -> None:
    inputs = [path for path in (options.flat, options.orders, options.instrument) if path]
    check_order_output(
        options.output, options.output_format, overwrite=options.overwrite, inputs=inputs
    )
    frame, axis = opened_frame(options, options.flat)
    orders = on_trimmed(read_orders_of(options, frame, axis), frame)
    edges = detect_order_edges(
        frame.ccddata(), orders, threshold=options.threshold, profile=options.profile,
        n_slices=options.n_slices,
    )
    write_orders(edges, options)
