# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The command ``ccdproc-echelle instruments``: list instrument descriptions, or show one."""

import argparse

from ccdproc_echelle.cli.options import add_command
from ccdproc_echelle.recipe import Instrument, instrument_names

__all__ = ["add", "run"]


def add(commands) -> None:
    instruments = add_command(
        commands, "instruments", run,
        help="list the known instruments, or show the description of one",
        description="List the instruments that --instrument knows by name, or show the "
        "description of one, to be copied and edited.",
        example="  ccdproc-echelle instruments xshooter-vis > mine.toml\n"
        "  ccdproc-echelle flat flat_*.fits --instrument mine.toml --output master.fits",
    )
    instruments.add_argument("name", nargs="?", metavar="NAME",
        help="instrument to show, or TOML file to check and show")


def run(options: argparse.Namespace) -> None:
    if options.name is None:
        print("\n".join(instrument_names()))
    else:
        print(Instrument.read(options.name).text, end="")
