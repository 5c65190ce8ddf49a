# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The command ``ccdproc-echelle``; this module imports nothing that takes time."""

import sys
from collections.abc import Callable, Sequence

__all__ = ["main"]


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
    try:
        return _commands()(arguments)
    except KeyboardInterrupt:
        print("ccdproc-echelle: interrupted", file=sys.stderr)
        return 130


def _commands() -> Callable[[Sequence[str] | None], int]:
    """What runs the commands; its import takes a second, which can be interrupted as well."""
    try:
        # First: an interrupt that hits its import from a compiled module would be any other error.
        import numpy  # noqa: F401

        from ccdproc_echelle.cli.commands import run
    except ImportError as error:
        # A compiled module that was interrupted reports it as a failure of its own.
        if isinstance(error.__cause__, KeyboardInterrupt):
            raise error.__cause__ from None
        raise
    return run
