# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What happens to the product when the process is killed, a worker dies or the disk is full.

This file is also a program: it reads tasks from its standard input and does each in a fork of its
own, which is hit by a signal at a given moment. A moment is a number of calls and returns of
Python functions, so that it is the same one in every run.
"""

import ast
import gzip
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from ccdproc import ImageFileCollection

import ccdproc_echelle
from ccdproc_echelle import EchelleOrderTable, MasterFlat, two_pass_flat_combine
from ccdproc_echelle.cli import main
from ccdproc_echelle.simulation import EchelleSimulation

SIMULATION = (
    EchelleSimulation(shape=(96, 120), n_orders=3, seed=8)
    .with_bias(200)
    .with_level_spread(0.3)
    .with_cosmic_rays(10)
)
DONE, OS_ERROR, FAILED, INTERRUPTED = 0, 1, 2, 130
OLD = b"the old product"


# ------------------------------------------------------------------------ what runs in the forks


def combine(folder, output):
    orders = EchelleOrderTable.read(folder / "orders.ecsv")
    two_pass_flat_combine(sorted(folder.glob("flat_*.fits.gz")), orders, output, sigma_clip=True,
                          mem_limit=1e5, overwrite_output=True)
    return DONE


def write(folder, output):
    MasterFlat.read(folder / "product.fits").write(output, overwrite=True)
    return DONE


def command(folder, output):
    return main(["flat", *map(str, sorted(folder.glob("flat_*.fits"))),
                 "--dark", str(folder / "dark_01.fits"), "--orders", str(folder / "orders.ecsv"),
                 "--gain", "1", "--read-noise", "4", "--output", str(output), "--overwrite"])


TASKS = {task.__name__: task for task in (combine, write, command)}


class Moments:
    """Counts calls and returns from the first call of a function on, and strikes at one."""

    def __init__(self, since, moment, number):
        self.since, self.moment, self.number = since, moment, number
        self.count = 0

    def __call__(self, frame, event, argument):
        if self.count or frame.f_code.co_name == self.since:
            self.count += 1
            if self.count == self.moment:
                sys.setprofile(None)
                signal.raise_signal(self.number)


def run(name, folder, output, temporary, size_limit, moments):
    """The exit status of a task; the number of its moments goes to a file beside the output."""
    tempfile.tempdir = temporary
    if size_limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_limit, size_limit))
    sys.setprofile(moments if moments.since else None)
    try:
        return TASKS[name](Path(folder), Path(output))
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError:
        return OS_ERROR
    finally:
        sys.setprofile(None)
        if moments.since and moments.moment is None:
            Path(temporary, "moments").write_text(str(moments.count))


def serve():
    # A job in the background of a shell ignores interrupts, and hands that on.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        task, moments = ast.literal_eval(line)
        child = os.fork()
        if child == 0:
            status = FAILED
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            try:
                status = run(*task, Moments(*moments))
            finally:
                os._exit(status)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


# ---------------------------------------------------------------------------------- the nursery


class Nursery:
    """The other process, the folders it works in and what it should make of them."""

    def __init__(self, process, root):
        self.process = process
        self.folder, self.output, self.temporary = (
            root / name for name in ("input", "output", "temporary")
        )
        self.product = self.output / "master.fits"
        self.expected = {}
        for name in TASKS:
            self.clear()
            assert self.run(name) == DONE
            self.expected[name] = self.product.read_bytes()
            self.check_nothing_is_left(self.expected[name])
        self.clear()

    def clear(self, old=None):
        for folder in (self.output, self.temporary):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        if old is not None:
            self.product.write_bytes(old)

    def run(self, name, *, size_limit=None, moment=(None, None, None)):
        """Exit status of a task, minus the number of the signal that killed it."""
        task = (name, str(self.folder), str(self.product), str(self.temporary), size_limit)
        self.process.stdin.write(f"{(task, moment)!r}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def n_moments(self, name, since):
        assert self.run(name, moment=(since, None, None)) == DONE
        return int((self.temporary / "moments").read_text())

    def found(self):
        return self.product.read_bytes() if self.product.exists() else None

    def check_nothing_is_left(self, product):
        assert self.found() == product
        names = [] if product is None else [self.product.name]
        assert [path.name for path in self.output.iterdir()] == names
        assert [path.name for path in self.temporary.glob("ccdproc_echelle_*")] == []


@pytest.fixture(scope="module")
def nursery(tmp_path_factory):
    root = tmp_path_factory.mktemp("faults")
    folder = root / "input"
    folder.mkdir()
    flats, _ = SIMULATION.write(folder, 3, 1)
    for path in flats:
        Path(f"{path}.gz").write_bytes(gzip.compress(Path(path).read_bytes(), 1))
    SIMULATION.truth.orders.write(folder / "orders.ecsv")
    assert command(folder, folder / "product.fits") == DONE
    package = Path(ccdproc_echelle.__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(package), "OPENBLAS_NUM_THREADS": "1"}
    with (root / "stderr").open("w") as stderr, subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr,
        text=True, env=environment,
    ) as process:
        assert process.stdout.readline() == "ready\n"
        yield Nursery(process, root)
        process.stdin.close()


# ------------------------------------------------------------------------------ killed processes


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("name, since", [
    ("combine", "uncompressed"),
    ("combine", "replacing"),
    ("write", "write"),
    ("write", "replacing"),
    ("command", "make_master_flat"),
    ("command", "replacing"),
])
def test_a_signal_leaves_the_old_product_or_the_whole_new_one(nursery, name, since, number):
    rng = np.random.default_rng(number)
    expected, n_moments = nursery.expected[name], nursery.n_moments(name, since)
    statuses = []
    for i, moment in enumerate(rng.integers(1, n_moments, 5).tolist()):
        old = OLD if i % 2 else None
        nursery.clear(old)
        status = nursery.run(name, moment=(since, moment, int(number)))
        statuses.append(status)
        product = nursery.found()
        assert product in (old, expected)
        if number == signal.SIGKILL:
            assert status == -number
            # What it was working at stays, but nobody takes it for a product.
            names = {path.name for path in nursery.output.iterdir()} - {nursery.product.name}
            assert all(name.startswith(".writing_") for name in names)
        elif number == signal.SIGTERM:
            assert status == -number
            # A folder may stay that was made at this very moment, but nothing in it.
            for folder in (nursery.output, nursery.temporary):
                assert [p for p in folder.rglob("*") if p.is_file() and p != nursery.product] == []
        else:
            # An interrupt that hits a function of numpy or the lock of a thread pool comes out as
            # another error, and some versions of astropy put it off until the file is closed.
            stopped = status in (INTERRUPTED, FAILED, OS_ERROR)
            assert stopped or (status, product) == (DONE, expected)
            nursery.check_nothing_is_left(product)
    assert sum(status in (FAILED, OS_ERROR) for status in statuses) <= 1
    assert nursery.run(name) == DONE
    assert nursery.found() == expected
    assert list(ImageFileCollection(nursery.output).files) == ["master.fits"]


# --------------------------------------------------------------------------------- a full disk


@pytest.mark.parametrize("old", [None, OLD], ids=["new", "old"])
@pytest.mark.parametrize("name", TASKS)
def test_a_full_disk_leaves_the_old_product(nursery, name, old):
    expected = nursery.expected[name]
    rng = np.random.default_rng(len(expected))
    for size_limit in [0, *rng.integers(1, len(expected), 2).tolist(), len(expected) - 1]:
        nursery.clear(old)
        assert nursery.run(name, size_limit=size_limit) == OS_ERROR
        nursery.check_nothing_is_left(old)
    assert nursery.run(name, size_limit=len(expected)) == DONE
    nursery.check_nothing_is_left(expected)


# --------------------------------------------------------------------------- a worker is killed


class Murderer(Executor):
    """Hands the work on to another executor; one of the tasks kills the process that does it."""

    def __init__(self, executor, at):
        self.executor, self.at, self.n_submitted = executor, at, 0

    def submit(self, function, /, *args, **kwargs):
        self.n_submitted += 1
        if self.n_submitted == self.at:
            function, args = signal.raise_signal, (signal.SIGKILL,)
        return self.executor.submit(function, *args, **kwargs)


@pytest.mark.parametrize("at", [1, 4])
def test_a_killed_worker_is_an_error_and_leaves_nothing(nursery, monkeypatch, at):
    nursery.clear(OLD)
    monkeypatch.setattr(tempfile, "tempdir", str(nursery.temporary))
    orders = EchelleOrderTable.read(nursery.folder / "orders.ecsv")
    flats = sorted(nursery.folder.glob("flat_*.fits.gz"))
    options = {"sigma_clip": True, "mem_limit": 1e5, "overwrite_output": True}
    # Workers are made afresh: forks would inherit whatever other tests have opened.
    context = get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as workers:
        executor = Murderer(workers, at)
        with pytest.raises(BrokenProcessPool, match="terminated abruptly"):
            two_pass_flat_combine(flats, orders, nursery.product, executor=executor, **options)
        assert executor.n_submitted >= at
    nursery.check_nothing_is_left(OLD)
    two_pass_flat_combine(flats, orders, nursery.product, **options)
    nursery.check_nothing_is_left(nursery.expected["combine"])


if __name__ == "__main__":
    serve()
