# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Output of a command on standard error: warnings, errors and, if requested, the log."""

import argparse
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
    ", or an ImageFileCollection": "",
}

# Keywords that a configuration can set if a command has no option for them.
_CONFIGURED = (
    "unit", "hdu", "exposure_key", "scale_dark", "reject", "gain", "oscan", "trim", "read_noise",
)


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


def warning_printer(options: argparse.Namespace) -> Callable:
    """A function that shows each warning as one line, and only once."""
    shown = set()

    def show(message, category, filename, lineno, file=None, line=None) -> None:
        if str(message) not in shown:
            shown.add(str(message))
            print_message("warning", message, options)

    return show


def print_message(
    kind: str, message: Warning | Exception | str, options: argparse.Namespace | None = None
) -> None:
    """Print the message as a single line, in terms of the options of the command."""
    text = one_line(message)
    for keyword, option in _OPTIONS.items():
        text = text.replace(keyword, _worded(keyword, option, options))
    print(f"ccdproc-echelle: {kind}: {text}", file=sys.stderr)


def _worded(keyword: str, option: str, options: argparse.Namespace | None) -> str:
    """The option of the command, or else what to write into its configuration."""
    name, _, value = keyword.partition("=")
    if hasattr(options, name) or name not in _CONFIGURED or not hasattr(options, "config"):
        return option
    setting = f"{name} = {value.replace('False', 'false')}" if value else name
    return f"{setting} (in the file of --config)"
