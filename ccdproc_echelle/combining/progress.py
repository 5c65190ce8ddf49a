# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Progress of a job with several steps, shown as a single bar."""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ccdproc_echelle._warnings import warn

__all__ = ["SILENT", "Progress", "one_step"]


_log = logging.getLogger(__name__)


class Progress:
    """
    Progress bar for a whole job. A context manager that closes the bar on exit.

    The duration of each step is logged.

    Parameters
    ----------
    steps : dict
        Approximate fraction of the time that each step takes, by name of the step.
    shown : bool
        Whether to show a bar. This requires tqdm; without it there is a warning instead.

    Examples
    --------
    >>> from ccdproc_echelle.combining import Progress
    >>> with Progress({"reading": 1, "combining": 3}, shown=False) as progress:
    ...     progress.begin("reading")
    ...     numbers = list(progress.counted([1, 2, 3], 3))
    ...
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
        Announce the start of a step.

        Parameters
        ----------
        name : str
            Name of the step, a key of ``steps``.
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
        Yield the items, counting each as a part of the current step.

        Parameters
        ----------
        items : iterable
            The items processed by the step.
        n : int
            Number of items.

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
    """Progress of a job that consists of a single combination."""
    progress = Progress(_ONE_STEP, shown=shown)
    progress.begin("combining")
    return progress
