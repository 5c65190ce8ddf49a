# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Warnings that point at the line of the user's script that led to them."""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from astropy.utils.exceptions import AstropyUserWarning

__all__ = ["kept_warnings", "warn"]

_PACKAGE = str(Path(__file__).parent) + os.sep

# Where the warnings of this thread go; None: to its user.
_kept: ContextVar[list[str] | None] = ContextVar("kept", default=None)


def warn(message: str, category: type[Warning] = AstropyUserWarning) -> None:
    """
    Warn at the line outside the package from which it was called.

    Python shows each warning once per line: at a line within the package, that of one call would
    hide those of all others.

    Parameters
    ----------
    message : str
        What is suspicious, and what to do about it.
    category : type, optional
        Kind of warning.
    """
    if (kept := _kept.get()) is not None:
        kept.append(message)
        return
    frame, level = sys._getframe(1), 2
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


@contextmanager
def kept_warnings() -> Iterator[list[str]]:
    """
    Context manager: what would be warned of in this thread is kept for a log.

    Other threads are not concerned, unlike with `warnings.catch_warnings`.

    Yields
    ------
    list of str
        The messages, filled as they come.

    Examples
    --------
    >>> from ccdproc_echelle._warnings import kept_warnings, warn
    >>> with kept_warnings() as messages:
    ...     warn("the lamp flickers; take the frame out")
    >>> messages
    ['the lamp flickers; take the frame out']
    """
    token = _kept.set([])
    try:
        yield _kept.get()
    finally:
        _kept.reset(token)
