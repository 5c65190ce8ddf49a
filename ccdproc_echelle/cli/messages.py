# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Output of a command on standard error: warnings, errors and, if requested, the log."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ccdproc_echelle._words import one_line

__all__ = ["log_on_stderr", "print_message", "warning_printer"]

# Messages name keywords of functions; these are the corresponding options.
_OPTIONS = {
    "overwrite=True": "--overwrite",
    "give format=": "give --format (of convert: --to)",
    "unit=": "--unit",
    "hdu=": "--hdu",
    "exposure_key=": "--exposure-key",
    "scale_dark=False": "--no-scale-dark",
    "reject='drop'": "--reject drop",
    "gain='GAIN'": "--gain GAIN",
    "oscan=False": "--oscan none",
    "trim=False": "--trim none",
    "oscan=": "--oscan",
    "trim=": "--trim",
    "read_noise=": "--read-noise",
    "gain=": "--gain",
}


@contextmanager
def log_on_stderr(wanted: bool) -> Iterator[None]:
    """Show the log of this package only; the state of the logger is restored afterwards."""
    if not wanted:
        yield
        return
    logger = logging.getLogger("ccdproc_echelle")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("ccdproc-echelle: %(message)s"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


def warning_printer() -> Callable:
    """A function that shows each warning as one line, and only once."""
    shown = set()

    def show(message, category, filename, lineno, file=None, line=None) -> None:
        if str(message) not in shown:
            shown.add(str(message))
            print_message("warning", message)

    return show


def print_message(kind: str, message: Warning | Exception | str) -> None:
    """Print the message as a single line."""
    text = one_line(message)
    for keyword, option in _OPTIONS.items():
        text = text.replace(keyword, option)
    print(f"ccdproc-echelle: {kind}: {text}", file=sys.stderr)
