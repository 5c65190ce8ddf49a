# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""How far a job of several steps has come, shown as one bar."""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ccdproc_echelle._warnings import warn

__all__ = ["SILENT", "Progress", "one_step"]


_log = logging.getLogger(__name__)


class Progress:
    """
    A bar for a whole job; a context manager, after which the bar is closed.

    How long each step took goes to the log.

    Parameters
    ----------
    steps : dict
        The part of the time that each step takes, roughly, by the name of the step.
    shown : bool
        Whether there is a bar, which needs tqdm; without tqdm there is a warning instead.

    Examples
    --------
    >>> from ccdproc_echelle.combining import Progress
    >>> with Progress({"reading": 1, "combining": 3}, shown=False) as progress:
    ...     progress.begin("reading")
    ...     numbers = list(progress.counted([1, 2, 3], 3))
    >>> numbers
    [1, 2, 3]
    """

    def __init__(self, steps: Mapping[str, float], *, shown: bool):
        self._ends, total = {}, sum(steps.values())
        done = 0.0
        for name, weight in steps.items():
            self._ends[name] = (done, done + 100 * weight / total)
            done = self._ends[name][1]
        self._bar = _bar() if shown else None
        self._range = (0.0, 100.0)
        self._step, self._since = None, 0.0

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error) -> None:
        self._log_step()
        if self._bar is not None:
            if error[0] is None:
                self._move(100.0)
            self._bar.close()

    def begin(self, name: str) -> None:
        """
        Say that a step begins.

        Parameters
        ----------
        name : str
            One of the steps.
        """
        self._log_step()
        self._step, self._since = name, time.monotonic()
        self._range = self._ends[name]
        if self._bar is not None:
            self._bar.set_description(name, refresh=False)
            self._bar.set_postfix_str("", refresh=False)
            self._move(self._range[0])

    def counted(self, items: Iterable, n: int) -> Iterator[Any]:
        """
        The items, counted one by one as parts of the present step.

        Parameters
        ----------
        items : iterable
            What the step does or has done.
        n : int
            How many there are.

        Yields
        ------
        object
            The items.
        """
        start, end = self._range
        for i, item in enumerate(items, start=1):
            if self._bar is not None:
                self._bar.set_postfix_str(f"{i} of {n}", refresh=False)
                self._move(start + (end - start) * i / n)
            yield item

    def _log_step(self) -> None:
        if self._step is not None:
            _log.info("%s: %.1f s", self._step, time.monotonic() - self._since)

    def _move(self, to: float) -> None:
        self._bar.n = to
        self._bar.refresh()


def _bar() -> Any:
    try:
        from tqdm.auto import tqdm
    except ImportError:
        warn("no progress bar: tqdm is not installed")
        return None
    return tqdm(total=100, bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed} {postfix}")


_ONE_STEP = {"combining": 1}

SILENT = Progress(_ONE_STEP, shown=False)


def one_step(shown: bool) -> Progress:
    """The progress of a job that is nothing but a combination."""
    progress = Progress(_ONE_STEP, shown=shown)
    progress.begin("combining")
    return progress
