# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Warnings that point at the line of the user's script that caused them."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from types import FrameType

from astropy.utils.exceptions import AstropyUserWarning

__all__ = ["filters_restored", "kept_warnings", "warn"]

# Warnings do not point into this package, nor into ccdproc, which may have called it.
_PACKAGES = ("ccdproc_echelle", "ccdproc")

# List that receives the warnings of this thread; None if they are issued.
_kept: ContextVar[list[str] | None] = ContextVar("kept", default=None)


def warn(message: str) -> None:
    """
    Warn at the line outside the package, and outside ccdproc, from which it was called.

    Python shows each warning once per line: if the line were within the package, the warning of one
    call would hide those of all others.

    Parameters
    ----------
    message : str
        What is suspicious, and what to do about it.
    """
    if (kept := _kept.get()) is not None:
        kept.append(message)
        return
    frame, level = sys._getframe(1), 2
    while frame is not None and _is_ours(frame):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, AstropyUserWarning, stacklevel=level)


def _is_ours(frame: FrameType) -> bool:
    """Told by the module, as generated methods such as those of dataclasses are in no file."""
    return frame.f_globals.get("__name__", "").partition(".")[0] in _PACKAGES


@contextmanager
def kept_warnings() -> Iterator[list[str]]:
    """
    Context manager that collects the warnings of this thread instead of issuing them.

    Other threads are not affected, unlike with `warnings.catch_warnings`.

    Yields
    ------
    list of str
        The messages, added as they occur.

    Examples
    --------
    >>> from ccdproc_echelle._warnings import kept_warnings, warn
    >>> with kept_warnings() as messages:
    ...     warn("the lamp flickers; take the frame out")
    ...
    >>> messages
    ['the lamp flickers; take the frame out']
    """
    token = _kept.set([])
    try:
        yield _kept.get()
    finally:
        _kept.reset(token)


def filters_restored() -> AbstractContextManager:
    """
    Context manager that restores the filters of warnings after work in threads.

    In a thread, `warnings.catch_warnings` restores the filters that it found, which may be those of
    another thread that ignores all warnings.

    Returns
    -------
    context manager
        To be entered and left while these threads do nothing.
    """
    return warnings.catch_warnings()
