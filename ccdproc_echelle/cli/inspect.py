# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The command ``ccdproc-echelle inspect``: show the quality of a master flat and judge it."""

import argparse

from ccdproc_echelle.cli.options import add_command
from ccdproc_echelle.cli.products import broken_limits
from ccdproc_echelle.recipe import MasterFlat, with_limits

__all__ = ["add", "run"]


def add(commands) -> None:
    inspect = add_command(
        commands, "inspect", run,
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


def run(options: argparse.Namespace) -> None:
    quality = MasterFlat.read(options.master).quality
    if options.limits is not None:
        quality = with_limits(quality, options.limits)
    for row in quality:
        print(f"{row['name']:26}{row['value']:12.6g} {row['unit']:8}{row['verdict']:6}"
              f"{row['comment']}".rstrip())
    broken = broken_limits(quality)
    if broken:
        raise ValueError(f"{options.master}: {'; '.join(broken)}")
