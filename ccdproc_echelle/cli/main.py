# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The command ``ccdproc-echelle``. This module must be fast to import."""

import sys
from collections.abc import Callable, Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Command-line arguments. Default: those of the process.

    Returns
    -------
    int
        Exit status: 0 for success; 1 for unsuitable data or files, quality beyond its limits (of
        the commands ``inspect`` and ``night``), or a failed figure (one line on standard error
        gives the reason); 130 if interrupted. Wrong usage exits with status 2.
    """
    try:
        return _commands()(arguments)
    except KeyboardInterrupt:
        print("ccdproc-echelle: interrupted", file=sys.stderr)
        return 130


def _commands() -> Callable[[Sequence[str] | None], int]:
    """The function that runs commands; its import takes a second and can be interrupted as well."""
    try:
        # Import it first: an interrupt during its import from a compiled module looks like any
        # error.
        import numpy  # noqa: F401

        from ccdproc_echelle.cli.commands import run
    except ImportError as error:
        # An interrupted compiled module may report a failure of its own instead.
        if isinstance(error.__cause__, KeyboardInterrupt):
            raise error.__cause__ from None
        raise
    return run
