# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The command ``ccdproc-echelle inspect``: show the quality of master flats and judge it."""

import argparse

import numpy as np
from astropy.table import QTable
from astropy.time import Time

from ccdproc_echelle.cli.options import add_command
from ccdproc_echelle.cli.products import broken_limits, check_plot
from ccdproc_echelle.frames import check_output, replacing
from ccdproc_echelle.plotting import plot_trends
from ccdproc_echelle.recipe import MasterFlat, quality_trends, with_limits

__all__ = ["add", "run"]


def add(commands) -> None:
    inspect = add_command(
        commands, "inspect", run,
        help="show and check the quality of master flats",
        description="Show the quality table of a master flat or, for several master flats or "
        "qc.ecsv files of nights, the range of each quantity. If a quantity is beyond its limits, "
        "the exit status is 1 and the quantity is named on standard error.",
        example="  ccdproc-echelle inspect master.fits --limits limits.yaml\n"
        "  ccdproc-echelle inspect reduced/*/qc.ecsv --plot trends.png\n\n"
        "where limits.yaml contains the lower and upper limits of quantities, such as\n"
        "  level_spread: [null, 0.5]\n  signal_to_noise_min: [100, null]",
    )
    option = inspect.add_argument
    option("masters", nargs="+", metavar="FILE",
        help="master flats (from the command flat) or qc.ecsv files (from night)")
    option("--limits", metavar="FILE",
        help="YAML file with limits that replace those in the master flat")
    option("--plot", metavar="FILE", help="figure of each quantity against time (PNG or PDF)")
    option("--overwrite", action="store_true", help="replace an existing figure")


def run(options: argparse.Namespace) -> None:
    if options.plot is not None:
        check_output(options.plot, overwrite=options.overwrite, inputs=options.masters)
        check_plot(options.plot)
    if len(options.masters) > 1 or options.masters[0].endswith(".ecsv") or options.plot:
        _inspect_many(options)
    else:
        _inspect_one(options)


def _inspect_one(options: argparse.Namespace) -> None:
    master, = options.masters
    quality = MasterFlat.read(master).quality
    if options.limits is not None:
        quality = with_limits(quality, options.limits)
    for row in quality:
        print(f"{row['name']:26}{row['value']:12.6g} {row['unit']:8}{row['verdict']:6}"
              f"{row['comment']}".rstrip())
    broken = broken_limits(quality)
    if broken:
        raise ValueError(f"{master}: {'; '.join(broken)}")


def _inspect_many(options: argparse.Namespace) -> None:
    trends = quality_trends(options.masters, limits=options.limits)
    for setup in dict.fromkeys(trends["setup"].tolist()):
        _print_ranges(setup, trends[trends["setup"] == setup])
    if options.plot is not None:
        with replacing(options.plot, overwrite=options.overwrite) as temporary:
            plot_trends(trends).savefig(temporary)
        print(f"wrote {options.plot}")
    bad = trends[trends["verdict"] == "fail"]
    broken = [
        f"{row['setup']} of {_day(row['date'])}: {text}"
        for row, text in zip(bad, broken_limits(bad), strict=True)
    ]
    if broken:
        raise ValueError(f"beyond its limits: {'; '.join(broken)}")


def _print_ranges(setup: str, rows: QTable) -> None:
    first, last = _day(rows["date"][0]), _day(rows["date"][-1])
    print(f"{setup}, {first} to {last}\n"
          f"  {'':26}{'n':>5}{'minimum':>12}{'median':>12}{'maximum':>12}{'last':>12}")
    for name in dict.fromkeys(rows["name"].tolist()):
        some = rows[rows["name"] == name]
        values = np.asarray(some["value"])
        numbers = (values.min(), np.median(values), values.max(), values[-1])
        n_bad = np.count_nonzero(some["verdict"] == "fail")
        print(f"  {name:26}{len(some):5d}" + "".join(f"{number:12.5g}" for number in numbers)
              + (f"  {n_bad} beyond limits" if n_bad else ""))


def _day(date: float) -> str:
    return Time(date, format="mjd").isot[:16] if np.isfinite(date) else "unknown date"
