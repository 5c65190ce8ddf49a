# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The command ``ccdproc-echelle``: which commands there are, and how they end."""

import argparse
import sys
import warnings
from collections.abc import Sequence

import ccdproc_echelle
from ccdproc_echelle.cli import convert, demo, edges, flat, inspect, trace
from ccdproc_echelle.cli.messages import log_on_stderr, print_message, show_warning
from ccdproc_echelle.cli.options import EXIT_STATUS

__all__ = ["main"]

_COMMANDS = (flat, trace, edges, convert, inspect, demo)


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Arguments. Default: those of the process.

    Returns
    -------
    int
        Exit status: 0 done, 1 data, files or limits do not allow it, or the figure failed (one line
        on standard error says why), 130 interrupted. Wrong usage exits with status 2.
    """
    options = _parser().parse_args(arguments)
    with warnings.catch_warnings(), log_on_stderr(options.verbose):
        warnings.showwarning = show_warning
        try:
            return options.run(options) or 0
        except (ValueError, TypeError, OSError, ImportError) as error:
            print_message("error", str(error).replace("overwrite=True", "--overwrite"))
            return 1
        except KeyboardInterrupt:
            print("ccdproc-echelle: interrupted", file=sys.stderr)
            return 130


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
