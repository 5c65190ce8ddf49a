# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What happens to the product when the process is killed, a worker dies or the disk is full.

This file is also a program: it reads tasks from its standard input and does each in a fork of its
own, which is hit by a signal at given moments. A moment is a number of calls and returns of
Python functions, so that it is the same one in every run.

What a killed process leaves is what the files are at that moment. So the process is halted at many
moments of one run, and only at the last is it killed indeed.
"""

import ast
import contextlib
import faulthandler
import functools
import gc
import gzip
import io
import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures import _base as futures_base
from concurrent.futures import thread as futures_thread
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from ccdproc import ImageFileCollection

import ccdproc_echelle
from ccdproc_echelle import EchelleOrderTable, MasterFlat, two_pass_flat_combine
from ccdproc_echelle.cli import main
from ccdproc_echelle.recipe import provenance
from ccdproc_echelle.simulation import EchelleSimulation

SIMULATION = (
    EchelleSimulation(shape=(80, 100), n_orders=3, seed=8)
    .with_bias(200)
    .with_level_spread(0.3)
    .with_cosmic_rays(10)
)
DONE, OS_ERROR, FAILED, INTERRUPTED = 0, 1, 2, 130
# An exception between two lines of these leaves a lock held for ever. The interpreter almost never
# delivers a signal there, while a profile function is called there as often as anywhere.
LOCKS = {module.__file__ for module in (threading, futures_base, futures_thread, logging)} | {
    "<frozen importlib._bootstrap>"
}
# Seconds until a task that hangs says where, and fails.
PATIENCE = 120
OLD = b"the old product"


# ------------------------------------------------------------------------ what runs in the forks


def combine(folder, output):
    orders = EchelleOrderTable.read(folder / "orders.ecsv")
    two_pass_flat_combine(sorted(folder.glob("flat_*.fits.gz")), orders, output, sigma_clip=True,
                          mem_limit=1e5, overwrite_output=True)
    return DONE


@functools.cache
def product(path):
    """A master flat that all forks have read already."""
    return MasterFlat.read(path)


def write(folder, output):
    product(folder / "product.fits").write(output, overwrite=True)
    return DONE


def command(folder, output):
    with patch.object(provenance, "_now", lambda: "2024-01-02T03:04:05Z"):
        return main([
            "flat", *map(str, sorted(folder.glob("flat_*.fits"))),
            "--dark", str(folder / "dark_01.fits"), "--orders", str(folder / "orders.ecsv"),
            "--gain", "1", "--read-noise", "4", "--scattered-light", "none",
            "--edge", "profile=slit", "--output", str(output), "--overwrite",
        ])


TASKS = {task.__name__: task for task in (combine, write, command)}
# The function that a task does most of its work in. All of them write in one called `replacing`.
WORK = {"combine": "uncompressed", "write": "write", "command": "make_master_flat"}


class Count:
    """A profile function: calls and returns from the first call of a function on."""

    def __init__(self, since):
        self.since, self.count, self.replacing = since, 0, 0

    def __call__(self, frame, event, argument):
        name = frame.f_code.co_name
        if self.count or name == self.since:
            self.count += 1
            if name == "replacing" and not self.replacing:
                self.replacing = self.count


def strike(since, moments, number):
    """
    A profile function that raises a signal at moments, which it counts as `Count` does.

    It is called a million times, and so a closure, which is faster than an object.
    """
    count, left = 0, sorted(set(moments), reverse=True)
    due = left.pop()

    def counting(frame, event, argument):
        nonlocal count, due
        count += 1
        if count == due:
            if number == signal.SIGINT and frame.f_code.co_filename in LOCKS:
                due += 1
                return
            if left:
                due = left.pop()
            else:
                sys.setprofile(None)
            signal.raise_signal(number)

    def waiting(frame, event, argument):
        if frame.f_code.co_name == since:
            sys.setprofile(counting)
            counting(frame, event, argument)

    return waiting


def run(name, folder, output, temporary, size_limit, profile=None):
    """The exit status of a task; how many moments it has goes to a file beside the output."""
    tempfile.tempdir = temporary
    if size_limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_limit, size_limit))
    sys.setprofile(profile)
    try:
        return TASKS[name](Path(folder), Path(output))
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError:
        return OS_ERROR
    finally:
        sys.setprofile(None)
        if isinstance(profile, Count):
            Path(temporary, "moments").write_text(f"{profile.replacing} {profile.count}")


def profile_of(since, moments, number):
    if since is None:
        return None
    return strike(since, moments, number) if moments else Count(since)


def run_here(*task):
    """A task in this process: what its first run loads and keeps is there for all forks."""
    with contextlib.redirect_stdout(io.StringIO()):
        status = run(*task)
    gc.collect()
    gc.freeze()
    return status


def serve():
    # A job in the background of a shell ignores interrupts, and hands that on.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        task, moments = ast.literal_eval(line)
        if moments is None:
            print(run_here(*task), flush=True)
            continue
        child = os.fork()
        if child == 0:
            status = FAILED
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            faulthandler.dump_traceback_later(PATIENCE, exit=True)
            try:
                status = run(*task, profile_of(*moments))
            finally:
                os._exit(status)
        status = os.waitpid(child, os.WUNTRACED)[1]
        while os.WIFSTOPPED(status):
            print("halted", flush=True)
            os.kill(child, int(sys.stdin.readline()))
            status = os.waitpid(child, os.WUNTRACED)[1]
        print(os.waitstatus_to_exitcode(status), flush=True)


# ---------------------------------------------------------------------------------- the nursery


class Nursery:
    """The other process, the folders it works in and what it should make of them."""

    def __init__(self, process, root):
        self.process = process
        self.folder, self.output, self.temporary = (
            root / name for name in ("input", "output", "temporary")
        )
        self.product = self.output / "master.fits"
        self.expected, self.counted = {}, {}
        for name in TASKS:
            self.clear()
            assert self.run(name, moments=None) == DONE
            self.expected[name] = self.product.read_bytes()
            self.check_nothing_is_left(self.expected[name])
        self.clear()

    def clear(self, old=None):
        for folder in (self.output, self.temporary):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        if old is not None:
            self.product.write_bytes(old)

    def tell(self, words):
        self.process.stdin.write(f"{words}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def start(self, name, *, size_limit=None, moments=(None, (), None)):
        task = (name, str(self.folder), str(self.product), str(self.temporary), size_limit)
        return self.tell(repr((task, moments)))

    def run(self, name, **keywords):
        """Exit status of a task, minus the number of the signal that killed it."""
        return int(self.start(name, **keywords))

    def halts(self, name, moments):
        """Where the task is halted, one moment after the other; at the last one it is killed."""
        said = self.start(name, moments=(WORK[name], moments, int(signal.SIGSTOP)))
        for moment in moments[:-1]:
            assert said == "halted"
            yield moment
            said = self.tell(int(signal.SIGCONT))
        assert said == "halted"
        assert int(self.tell(int(signal.SIGKILL))) == -signal.SIGKILL
        yield moments[-1]

    def moments(self, name, n, number):
        """n of all moments of a task, and n of those from the writing of the product on."""
        if name not in self.counted:
            assert self.run(name, moments=(WORK[name], (), None)) == DONE
            text = (self.temporary / "moments").read_text()
            self.counted[name] = [int(word) for word in text.split()]
        replacing, last = self.counted[name]
        rng = np.random.default_rng(number)
        return [*rng.integers(1, last, n).tolist(), *rng.integers(replacing, last, n).tolist()]

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


@pytest.mark.parametrize("old", [None, OLD], ids=["new", "old"])
@pytest.mark.parametrize("name", TASKS)
def test_a_kill_leaves_the_old_product_or_the_whole_new_one(nursery, name, old):
    expected = nursery.expected[name]
    moments = sorted(set(nursery.moments(name, 10, signal.SIGKILL)))
    nursery.clear(old)
    for _ in nursery.halts(name, moments):
        assert nursery.found() in (old, expected)
        # What it is working at is there, but nobody takes it for a product.
        names = {path.name for path in nursery.output.iterdir()} - {nursery.product.name}
        assert all(name.startswith(".writing_") for name in names)
    assert_works_again(nursery, name)


@pytest.mark.parametrize("name", TASKS)
def test_an_interrupt_leaves_the_old_product_or_the_whole_new_one(nursery, name):
    expected = nursery.expected[name]
    statuses = []
    for i, moment in enumerate(nursery.moments(name, 3, signal.SIGINT)):
        old = OLD if i % 2 else None
        nursery.clear(old)
        status = nursery.run(name, moments=(WORK[name], (moment,), int(signal.SIGINT)))
        statuses.append(status)
        product = nursery.found()
        assert product in (old, expected)
        # An interrupt that hits a function of numpy or the lock of a thread pool comes out as
        # another error, and some versions of astropy put it off until the file is closed.
        stopped = status in (INTERRUPTED, FAILED, OS_ERROR)
        assert stopped or (status, product) == (DONE, expected)
        nursery.check_nothing_is_left(product)
    assert sum(status in (FAILED, OS_ERROR) for status in statuses) <= 2
    assert_works_again(nursery, name)


@pytest.mark.parametrize("name", TASKS)
def test_a_termination_leaves_the_old_product_or_the_whole_new_one(nursery, name):
    for i, moment in enumerate(nursery.moments(name, 2, signal.SIGTERM)):
        old = OLD if i % 2 else None
        nursery.clear(old)
        status = nursery.run(name, moments=(WORK[name], (moment,), int(signal.SIGTERM)))
        assert status == -signal.SIGTERM
        assert nursery.found() in (old, nursery.expected[name])
        # A folder may stay that was made at this very moment, but nothing in it.
        for folder in (nursery.output, nursery.temporary):
            assert [p for p in folder.rglob("*") if p.is_file() and p != nursery.product] == []
    assert_works_again(nursery, name)


def assert_works_again(nursery, name):
    assert nursery.run(name) == DONE
    assert nursery.found() == nursery.expected[name]
    assert list(ImageFileCollection(nursery.output).files) == ["master.fits"]


# --------------------------------------------------------------------------------- a full disk


@pytest.mark.parametrize("name", TASKS)
def test_a_full_disk_leaves_the_old_product(nursery, name):
    expected = nursery.expected[name]
    rng = np.random.default_rng(len(expected))
    limits = [0, *rng.integers(1, len(expected), 2).tolist(), len(expected) - 1]
    for i, size_limit in enumerate(limits):
        old = OLD if i % 2 else None
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


# These flats still have their bias.
@pytest.mark.filterwarnings("ignore:the frames have an offset")
@pytest.mark.filterwarnings("ignore:the noise of the frames cannot")
@pytest.mark.parametrize("at", [1, 4])
def test_a_killed_worker_is_an_error_and_leaves_nothing(nursery, monkeypatch, forkserver, at):
    nursery.clear(OLD)
    monkeypatch.setattr(tempfile, "tempdir", str(nursery.temporary))
    orders = EchelleOrderTable.read(nursery.folder / "orders.ecsv")
    flats = sorted(nursery.folder.glob("flat_*.fits.gz"))
    options = {"sigma_clip": True, "mem_limit": 1e5, "overwrite_output": True}
    with ProcessPoolExecutor(1, mp_context=forkserver) as workers:
        executor = Murderer(workers, at)
        with pytest.raises(BrokenProcessPool, match="Murderer lost .* terminated abruptly"):
            two_pass_flat_combine(flats, orders, nursery.product, executor=executor, **options)
        assert executor.n_submitted >= at
    nursery.check_nothing_is_left(OLD)
    two_pass_flat_combine(flats, orders, nursery.product, **options)
    nursery.check_nothing_is_left(nursery.expected["combine"])


@pytest.mark.parametrize("at", [2, 6, 10])
def test_a_killed_worker_of_the_command_is_one_line(nursery, monkeypatch, capsys, forkserver, at):
    class Murderers(ProcessPoolExecutor):
        def __init__(self, n_jobs, *, mp_context, **options):
            assert mp_context.get_start_method() == "spawn"
            super().__init__(n_jobs, mp_context=forkserver, **options)

        def submit(self, function, /, *args, **kwargs):
            numbers.append(len(numbers) + 1)
            if numbers[-1] == at:
                function, args = signal.raise_signal, (signal.SIGKILL,)
            return super().submit(function, *args, **kwargs)

    numbers = []
    nursery.clear(OLD)
    monkeypatch.setattr(tempfile, "tempdir", str(nursery.temporary))
    monkeypatch.setattr("ccdproc_echelle._tasks.ProcessPoolExecutor", Murderers)
    assert main(["flat", *map(str, sorted(nursery.folder.glob("flat_*.fits.gz"))),
                 "--dark", str(nursery.folder / "dark_01.fits"), "--gain", "1",
                 "--orders", str(nursery.folder / "orders.ecsv"), "--read-noise", "4",
                 "--output", str(nursery.product), "--overwrite", "--jobs", "2"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("ccdproc-echelle: error: Murderers lost its workers")
    assert error.count("\n") == 1
    assert len(numbers) >= at
    nursery.check_nothing_is_left(OLD)


if __name__ == "__main__":
    serve()
