# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The command ``ccdproc-echelle trace``: find the orders in a flat."""

import argparse

from ccdproc_echelle.cli.options import (
    add_command,
    add_dispersion_axis,
    add_instrument,
    add_output,
    add_reading,
    add_tracing,
    add_written_format,
    opened_frame,
    tracing_keywords,
    write_orders,
)
from ccdproc_echelle.orders import check_order_output, trace_orders

__all__ = ["add", "run"]


def add(commands) -> None:
    trace = add_command(
        commands, "trace", run,
        help="find the orders in a flat",
        description="Find the orders in a flat and write their centres as an order table. Overscan "
        "and amplifiers are handled as by the command flat; bias and dark do not matter.",
        example="  ccdproc-echelle trace flat.fits --first-order 84 --output orders.ecsv",
    )
    trace.add_argument("flat", metavar="FLAT", help="a flat, as bright as possible (FITS)")
    add_dispersion_axis(trace, "default: determined from the flat")
    trace.add_argument("--first-order", type=int, default=1, metavar="M",
        help="number of the lowest order on the detector; the others count up from it (default: 1)")
    trace.add_argument("--n-fibres", type=int, default=1, metavar="N",
        help="number of fibres in an order, each of which is traced separately")
    trace.add_argument("--n-slices", type=int, default=1, metavar="N",
        help="number of slices, or fibres, that together form an order")
    add_tracing(trace, signal_to_noise="--min-signal-to-noise")
    add_instrument(trace)
    add_reading(trace)
    add_output(trace, "order table to write")
    add_written_format(trace, "--format")


def run(options: argparse.Namespace) -> None:
    inputs = [path for path in (options.flat, options.instrument) if path is not None]
    check_order_output(
        options.output, options.output_format, overwrite=options.overwrite, inputs=inputs
    )
    frame, axis = opened_frame(options, options.flat)
    orders = trace_orders(
        frame.ccddata(),
        dispersion_axis=axis,
        first_order=options.first_order,
        n_fibres=options.n_fibres,
        n_slices=options.n_slices,
        **tracing_keywords(options),
    )
    write_orders(orders, options)
