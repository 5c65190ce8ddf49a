# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The list of commands, and how they end."""

import argparse
import sys
import warnings
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor
from io import TextIOWrapper

import ccdproc_echelle
from ccdproc_echelle.cli import (
    convert,
    demo,
    edges,
    flat,
    inspect,
    instruments,
    night,
    report,
    trace,
)
from ccdproc_echelle.cli.messages import log_on_stderr, print_message, warning_printer
from ccdproc_echelle.cli.options import EXIT_STATUS

__all__ = ["run"]

_COMMANDS = (flat, night, trace, edges, convert, inspect, instruments, report, demo)


def run(arguments: Sequence[str] | None) -> int:
    """Run the command given by these arguments; see `~ccdproc_echelle.cli.main`."""
    options = _parser().parse_args(arguments)
    if isinstance(sys.stdout, TextIOWrapper):  # names of files may have any bytes
        sys.stdout.reconfigure(errors="backslashreplace")
    with warnings.catch_warnings(), log_on_stderr(options.verbose):
        warnings.showwarning = warning_printer(options)
        try:
            return options.run(options) or 0
        except (ValueError, TypeError, OSError, ImportError, BrokenExecutor) as error:
            print_message("error", error, options)
            return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ccdproc-echelle",
        description="Master flats for echelle spectrographs.",
        epilog=EXIT_STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=ccdproc_echelle.__version__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add(commands)
    return parser
