# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Temporary folders that are removed after use, even if the process is terminated."""

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

__all__ = ["scratch_folder"]

# The folders in use, and the process that made each: a fork must not remove those of its parent.
_in_use: dict[str, int] = {}


@contextmanager
def scratch_folder(**where) -> Iterator[Path]:
    """
    Context manager that yields a temporary folder, removed at the end, after errors and after
    SIGTERM.

    By default SIGTERM, with which batch systems end a job, kills a process immediately, and large
    files would be left behind. A handler installed by somebody else is not replaced, and threads
    other than the main one cannot install any.

    Parameters
    ----------
    **where
        Keywords of `tempfile.TemporaryDirectory`: ``dir`` and ``prefix``.

    Yields
    ------
    `pathlib.Path`
        The folder.
    """
    with _tidy_termination():
        folder = TemporaryDirectory(**where)
        _in_use[folder.name] = os.getpid()
        try:
            with folder as name:
                yield Path(name)
        finally:
            del _in_use[folder.name]


@contextmanager
def _tidy_termination() -> Iterator[None]:
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _remove_and_end)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) == _remove_and_end:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _remove_and_end(number: int, frame) -> None:
    """Tidy up, then end the process as the signal would have done."""
    for name, process in list(_in_use.items()):
        if process == os.getpid():
            shutil.rmtree(name, ignore_errors=True)
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
