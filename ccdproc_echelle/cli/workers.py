# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Workers for a command: processes on this machine, or a dask cluster."""

import argparse
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

from ccdproc_echelle._tasks import processes
from ccdproc_echelle.cli.messages import print_message

__all__ = ["add_workers", "executor_of"]

# Maximum time in seconds for a scheduler to answer.
_PATIENCE = 10


def add_workers(parser) -> None:
    """Options for the workers."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--jobs", type=_number_of_jobs, metavar="N",
        help="use N processes (default: one thread per core)")
    which.add_argument("--scheduler", metavar="ADDRESS",
        help="use the dask cluster of this scheduler, such as tcp://host:8786; its workers must "
        "see the files under the same names. If it does not answer, the work is done locally")


def _number_of_jobs(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive integer")
    return int(text)


@contextmanager
def executor_of(options) -> Iterator[Executor | None]:
    """The executor requested by the options; `None` stands for threads."""
    if options.jobs is not None:
        with processes(options.jobs) as executor:
            yield executor
    elif options.scheduler is not None:
        with _cluster(options.scheduler) as executor:
            yield executor
    else:
        yield None


@contextmanager
def _cluster(address: str) -> Iterator[Executor | None]:
    try:
        from distributed import Client  # optional
    except ImportError as error:
        raise ImportError(
            "--scheduler needs dask: python -m pip install 'ccdproc_echelle[dask]'"
        ) from error
    try:
        client = Client(address, timeout=_PATIENCE)
        client.wait_for_workers(1, timeout=_PATIENCE)
    except (OSError, ValueError, TimeoutError) as error:
        print_message("warning", f"the scheduler {address} does not answer ({error}): the work is "
                      "done on this machine")
        yield None
        return
    with client:
        yield client.get_executor()
