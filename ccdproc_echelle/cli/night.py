# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The command ``ccdproc-echelle night``: all master flats of a night."""

import argparse
import sys
from pathlib import Path

from ccdproc_echelle._words import counted
from ccdproc_echelle.cli.messages import print_message
from ccdproc_echelle.cli.options import add_command
from ccdproc_echelle.cli.products import broken_limits
from ccdproc_echelle.cli.workers import add_workers, executor_of
from ccdproc_echelle.frames import replacing
from ccdproc_echelle.recipe import CONFIG_EXAMPLE, NightResult, carry_out, plan_night

__all__ = ["add", "run"]

_EXAMPLE = """\
  ccdproc-echelle night raw/2024-01-01 -o reduced/2024-01-01 --dry-run
  ccdproc-echelle night raw/2024-01-01 -o reduced/2024-01-01 --instrument soxs-vis --jobs 4
  ccdproc-echelle night --write-config night.toml"""


def add(commands) -> None:
    night = add_command(
        commands, "night", run,
        help="make all master flats of a night",
        description="Sort the raw frames in a folder into set-ups by their headers, find bias, "
        "darks and order table for each, and make a master flat of each. Products that are up to "
        "date are not made again, so that an interrupted run can be continued. OUT/index.html "
        "shows the results, OUT/qc.ecsv has one row per set-up. The exit status is 1 if a set-up "
        "failed or is beyond its limits.",
        example=_EXAMPLE,
    )
    option = night.add_argument
    option("folder", nargs="?", metavar="FOLDER", help="folder with the raw frames (FITS)")
    option("-o", "--output", metavar="OUT",
        help="output folder, with a subfolder for each set-up; created if necessary")
    option("--dry-run", action="store_true", help="show the plan without carrying it out")
    option("--instrument", metavar="NAME",
        help="instrument (see the command instruments) or TOML file that describes it")
    option("--orders", nargs="+", metavar="FILE",
        help="order tables, or master flats of another night, each used for the set-ups that it "
        "matches (default: trace the orders)")
    option("--config", metavar="FILE",
        help="further settings, for all set-ups or some of them (TOML, see --write-config)")
    option("--write-config", metavar="FILE", nargs="?", const="night.toml",
        help="write an example configuration to edit, and do nothing else (default: "
        "night.toml)")
    add_workers(night)


def run(options: argparse.Namespace) -> int:
    if options.write_config is not None:
        with replacing(options.write_config) as temporary:
            temporary.write_text(CONFIG_EXAMPLE, encoding="utf-8")
        print(f"wrote {options.write_config}")
        return 0
    if options.folder is None:
        options.wrong_usage("no FOLDER; --orders takes all file names after it: put FOLDER first")
    if options.output is None:
        options.wrong_usage("the following arguments are required: -o/--output")
    plan = plan_night(
        options.folder, options.output, instrument=options.instrument, orders=options.orders,
        config=options.config,
    )
    print(plan, flush=True)
    if options.dry_run:
        return 0
    results: list[NightResult] = []
    print()
    with executor_of(options) as executor:
        carry_out(plan, executor=executor, tell=lambda result: _tell(result, results))
    print(f"wrote {Path(options.output) / 'qc.ecsv'} and {Path(options.output) / 'index.html'}")
    sys.stdout.flush()
    return _named_last(results, options)


def _tell(result: NightResult, results: list[NightResult]) -> None:
    """Print one line as soon as a set-up is finished."""
    results.append(result)
    about = result.status if result.status == "failed" else f"{result.status}, {result.verdict}"
    if result.status == "made" and result.product.warnings:
        warned = counted(len(result.product.warnings), "warning")
        about += f", {warned} in {result.job.folder / 'log.txt'}"
    if result.product is not None:
        vetting = result.product.vetting
        for row in vetting[~vetting["used"]]:
            about += f"\n  left out {Path(row['frame']).name}: {row['verdict']}"
    print(f"{result.job.name}: {about}", flush=True)


def _named_last(results: list[NightResult], options: argparse.Namespace) -> int:
    """Print what needs attention on standard error, and return the exit status."""
    for result in results:
        if result.verdict == "failed":
            print_message("error", f"{result.job.name}: {result.message}", options)
        elif result.verdict == "fail":
            broken = "; ".join(broken_limits(result.product.quality))
            print_message("error", f"{result.job.name}: beyond its limits: {broken}")
    return int(any(result.verdict in ("failed", "fail") for result in results))
