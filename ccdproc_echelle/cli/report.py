# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The command ``ccdproc-echelle report``: collect what a bug report needs."""

import argparse

from ccdproc_echelle.cli.options import add_command
from ccdproc_echelle.recipe import write_report

__all__ = ["add", "run"]


def add(commands) -> None:
    report = add_command(
        commands, "report", run,
        help="collect what a bug report needs, without names and places",
        description="Write a small zip archive to attach to a bug report: technical header cards, "
        "shapes and simple statistics of frames, the numbers in order tables, versions, and the "
        "log of a failed run. Names of people, places, programmes, targets and folders, "
        "coordinates and dates are left out. Look inside before you send it.",
        example="  ccdproc-echelle report flat_*.fits orders.ecsv --log log.txt\n\n"
        "where log.txt is the output of the failed run:\n"
        "  ccdproc-echelle flat flat_*.fits --verbose -o master.fits 2> log.txt",
    )
    option = report.add_argument
    option("files", nargs="+", metavar="FILE", help="frames (FITS) and order tables")
    option("--log", metavar="FILE", help="output of the failed run")
    option("-o", "--output", metavar="FILE", default="ccdproc_echelle_report.zip",
        help="archive to write (default: %(default)s)")
    option("--overwrite", action="store_true", help="replace an existing archive")


def run(options: argparse.Namespace) -> None:
    written = write_report(
        options.files, options.output, log=options.log, overwrite=options.overwrite
    )
    print(f"wrote {options.output}:")
    for name in written:
        print(f"  {name}")
    print("Look inside before you send it: no program can know everything that identifies you.")
