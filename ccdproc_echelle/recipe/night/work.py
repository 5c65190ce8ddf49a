# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Reduce the set-ups of a night, each independent of the others."""

import importlib.util
import logging
import shutil
import threading
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ccdproc_echelle._tasks import awaited, n_workers_of, processes, submitted
from ccdproc_echelle._warnings import kept_warnings
from ccdproc_echelle._words import one_line
from ccdproc_echelle.frames import check_output, replacing
from ccdproc_echelle.recipe.master import make_master_flat
from ccdproc_echelle.recipe.night.plan import NightJob
from ccdproc_echelle.recipe.night.product import FILES, NightProduct, with_request
from ccdproc_echelle.recipe.product import MasterFlat

__all__ = ["NightResult", "remove_leftovers", "results_of_night"]

_PACKAGE_LOG = logging.getLogger("ccdproc_echelle")


@dataclass(frozen=True)
class NightResult:
    """
    Result for one set-up.

    Attributes
    ----------
    job : `NightJob`
        The job that was carried out.
    status : {"made", "up to date", "failed"}
        What was done.
    message : str
        Reason for a failure; otherwise empty.
    product : `NightProduct` or None
        The product; `None` if it failed.
    """

    job: NightJob
    status: str
    message: str
    product: NightProduct | None

    @property
    def verdict(self) -> str:
        """Overall verdict: "pass", "fail" or "not judged"; "failed" if there is no product."""
        if self.product is None:
            return "failed"
        verdicts = set(self.product.quality["verdict"].tolist())
        return next((word for word in ("fail", "pass") if word in verdicts), "not judged")


def results_of_night(
    jobs: Sequence[NightJob], executor: Executor | None
) -> Iterator[NightResult]:
    """
    Carry out the jobs that are not up to date.

    If there are at least as many set-ups as workers, each set-up is a task of the executor;
    otherwise the set-ups are reduced one by one and their frames are the tasks. Products that are
    up to date are not touched.

    Parameters
    ----------
    jobs : sequence of `NightJob`
        The set-ups.
    executor : `concurrent.futures.Executor` or None
        Executor that does the work; `None` stands for one thread per core.

    Yields
    ------
    `NightResult`
        Results, in the order of the jobs.
    """
    to_do = [job for job in jobs if job.product is None and not job.problem]
    as_tasks = executor is not None and len(to_do) >= n_workers_of(executor)
    waiting = {job.name: _submitted(job, executor) for job in to_do} if as_tasks else {}
    try:
        for job in jobs:
            if job.product is not None:
                yield NightResult(job, "up to date", "", job.product)
            elif job.problem:
                yield NightResult(job, "failed", job.problem, None)
            else:
                yield _done(job, waiting.get(job.name), executor)
    finally:
        for future in waiting.values():
            future.cancel()


def _submitted(job: NightJob, executor: Executor) -> Future:
    try:
        return submitted(partial(_reduce_alone, job), executor)
    except BrokenExecutor as error:
        future = Future()
        future.set_exception(error)
        return future


def _done(job: NightJob, future: Future | None, executor: Executor | None) -> NightResult:
    """A set-up whose workers were lost, perhaps because of another one, gets its own."""
    try:
        return reduce_setup(job, executor) if future is None else awaited(future, executor)
    except BrokenExecutor:
        with processes(1) as alone:
            try:
                return alone.submit(_reduce_alone, job).result()
            except BrokenExecutor:
                message = "the process that reduced it was killed, perhaps for lack of memory"
                return NightResult(job, "failed", message, None)
    except Exception as error:  # raised by a cluster that gave up on it
        return NightResult(job, "failed", f"its worker was lost: {one_line(error)}", None)


def _reduce_alone(job: NightJob) -> NightResult:
    """One of several set-ups on a machine: the other cores work on the others."""
    with ThreadPoolExecutor(1) as executor:
        return reduce_setup(job, executor)


def reduce_setup(job: NightJob, executor: Executor | None) -> NightResult:
    """
    Make and write the products of a set-up.

    Parameters
    ----------
    job : `NightJob`
        The job to carry out.
    executor : `concurrent.futures.Executor` or None
        Executor that does the work.

    Returns
    -------
    `NightResult`
        If the set-up failed, its message; the folder then has nothing new but the log.

    Raises
    ------
    BrokenExecutor
        If the executor has lost its workers.
    """
    with _logged() as lines, kept_warnings() as warned:
        try:
            job.folder.mkdir(parents=True, exist_ok=True)
            remove_leftovers(job.folder)
            for name in FILES.values():
                check_output(job.folder / name, overwrite=True, inputs=job.files)
            product = _make(job, executor, warned, lines)
            return NightResult(job, "made", "", product)
        except BrokenExecutor:
            raise
        except Exception as error:  # one set-up must never stop the others
            message = one_line(error)
            lines += [f"failed: {message}", "", traceback.format_exc()]
            _write_log(job, [*lines, *map("warning: {}".format, warned)])
            return NightResult(job, "failed", message, None)


def _make(job: NightJob, executor, warned: list[str], lines: list[str]) -> NightProduct:
    setup = job.setup
    paths = {
        role: [str(frame.path) for frame in getattr(setup, role)] or None
        for role in ("flats", "bias", "dark")
    }
    master = make_master_flat(
        paths["flats"], job.orders, bias=paths["bias"], dark=paths["dark"],
        instrument=job.instrument, executor=executor, **job.keywords,
    )
    master = replace(master, provenance=with_request(master.provenance, job.request, warned))
    with replacing(job.folder / FILES["orders"], overwrite=True) as temporary:
        master.orders.write(temporary, format="ecsv")
    _draw(master, job.folder / FILES["summary"], lines)
    _write_log(job, [*lines, *(f"warning: {text}" for text in warned), "", str(master.provenance)])
    master.write(job.folder / FILES["master"], overwrite=True)
    return NightProduct.of(master)


def _draw(master: MasterFlat, path: Path, lines: list[str]) -> None:
    """If the figure fails, this is logged; the master flat is not affected."""
    if importlib.util.find_spec("matplotlib") is None:
        lines.append("no summary: matplotlib is not installed")
        return
    try:
        with replacing(path, overwrite=True) as temporary:
            master.plot().savefig(temporary)
    except Exception as error:  # matplotlib and its dependencies may raise anything
        lines.append(f"no summary: {type(error).__name__}: {error}")


# ---------------------------------------------------------------------- log


class _Collector(logging.Handler):
    """What the package logs, by thread: each thread reduces a set-up of its own."""

    def __init__(self):
        super().__init__(logging.INFO)
        self.lines: dict[int, list[str]] = {}
        self._level = logging.NOTSET

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread in self.lines:
            self.lines[record.thread].append(record.getMessage())

    def begin(self, thread: int) -> list[str]:
        with self.lock:
            if not self.lines:
                self._level = _PACKAGE_LOG.level
                _PACKAGE_LOG.addHandler(self)
                _PACKAGE_LOG.setLevel(min(self._level or logging.INFO, logging.INFO))
            return self.lines.setdefault(thread, [])

    def end(self, thread: int) -> None:
        with self.lock:
            del self.lines[thread]
            if not self.lines:
                _PACKAGE_LOG.removeHandler(self)
                _PACKAGE_LOG.setLevel(self._level)


_collector = _Collector()


@contextmanager
def _logged() -> Iterator[list[str]]:
    """What is logged in this thread; the state of the logger is restored afterwards."""
    thread = threading.get_ident()
    try:
        yield _collector.begin(thread)
    finally:
        _collector.end(thread)


def _write_log(job: NightJob, lines: Sequence[str]) -> None:
    text = "\n".join([f"set-up {job.name}", *job.setup.notes, *lines, ""])
    try:
        with replacing(job.folder / FILES["log"], overwrite=True) as temporary:
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError:  # the folder cannot be written to; this is already the reported error
        if "failed" not in text:
            raise


def remove_leftovers(folder: Path) -> None:
    """
    Remove files of a run that was killed while writing.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Where it was writing.
    """
    for path in folder.glob(".writing_*"):
        shutil.rmtree(path, ignore_errors=True)
