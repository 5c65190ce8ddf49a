# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What the recipe needs of the machine, and that its result does not depend on it."""

import gzip
import multiprocessing
import tracemalloc
from collections import Counter
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor

import numpy as np
import pytest

from ccdproc_echelle import make_master_flat
from ccdproc_echelle.combining import Progress
from ccdproc_echelle.simulation import EchelleSimulation

SIMULATION = (
    EchelleSimulation(shape=(110, 140), n_orders=3, seed=11)
    .with_bias(300)
    .with_level_spread(0.3)
    .with_scattered_light(0.04)
    .with_cosmic_rays(10)
    .with_dead_pixels(4)
    .with_dark_current(2)
)
ORDERS = SIMULATION.truth.orders


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    paths = {}
    for kind, frames in (
        ("flat", SIMULATION.flats(5, raw=True)),
        ("dark", SIMULATION.darks(3, raw=True)),
        ("bias", SIMULATION.biases(3, raw=True)),
    ):
        paths[kind] = [folder / f"{kind}_{i}.fits" for i in range(len(frames))]
        for path, frame in zip(paths[kind], frames, strict=True):
            frame.write(path)
    return paths


def reduced(files, **keywords):
    return make_master_flat(
        files["flat"], ORDERS, bias=files["bias"], dark=files["dark"], gain=1, read_noise=4,
        saturation=60000, **keywords,
    )


@pytest.fixture(scope="module")
def master(files):
    return reduced(files)


def assert_same(one, other):
    np.testing.assert_array_equal(one.flat.data, other.flat.data)
    np.testing.assert_array_equal(one.flat.uncertainty.array, other.flat.uncertainty.array)
    np.testing.assert_array_equal(one.flags, other.flags)
    np.testing.assert_array_equal(one.orders.lower(), other.orders.lower())
    for name in ("level", "level_uncertainty"):
        np.testing.assert_array_equal(one.levels[name].value, other.levels[name].value)
    np.testing.assert_array_equal(one.quality["value"], other.quality["value"])


@pytest.mark.parametrize("keywords", [{"mem_limit": 3e5}, {"mem_limit": 1}])
def test_the_memory_limit_changes_no_bit(files, master, keywords):
    assert_same(master, reduced(files, **keywords))


@pytest.mark.parametrize("name", ["1 thread", "3 threads", "processes", "dask"])
def test_no_executor_changes_a_bit(files, master, executors, name):
    assert_same(master, reduced(files, executor=executors(name), mem_limit=1e6))


def test_files_and_frames_in_memory_are_the_same(files, master):
    in_memory = {
        "flat": SIMULATION.flats(5, raw=True),
        "dark": SIMULATION.darks(3, raw=True),
        "bias": SIMULATION.biases(3, raw=True),
    }
    assert_same(master, reduced(in_memory))


class InTurn(Executor):
    """Does each task when it is handed in, so that memory does not depend on the clock."""

    def __init__(self, n_threads=1):
        pass

    def submit(self, task, /, *args, **kwargs):
        future = Future()
        future.set_result(task(*args, **kwargs))
        return future


def test_peak_memory_does_not_grow_with_the_number_of_frames(files, tmp_path, monkeypatch):
    # Whether threads need their memory at the same time is a matter of chance.
    monkeypatch.setattr("ccdproc_echelle._tasks.ThreadPoolExecutor", InTurn)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    simulation = EchelleSimulation(shape=(400, 420), n_orders=4, seed=2).with_bias(300)
    simulation = simulation.with_scattered_light(0.03)
    paths = [tmp_path / f"flat_{i:02d}.fits" for i in range(6)]
    for path, frame in zip(paths, simulation.flats(6, raw=True), strict=True):
        frame.write(path)
    dark = simulation.darks(2, raw=True)

    def peak(n_frames):
        tracemalloc.start()
        make_master_flat(
            paths[:n_frames], simulation.truth.orders, dark=dark, gain=1, read_noise=4,
            mem_limit=2e6,
        )
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    plane, samples = 400 * 420 * 4, 45e6  # the model of the scattered light has a fixed size
    reduced(files)  # whatever is imported or kept at the first call
    few, many = peak(2), peak(6)
    # The rest grows: what is kept of each frame are single pixels.
    assert many - few < 4 * 0.6 * plane
    assert many < samples + 30 * plane


def test_lost_workers_end_with_one_error_and_leave_nothing(files, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        process_pool_is_up = executor.submit(int)
        process_pool_is_up.result()
        for process in executor._processes.values():
            process.kill()
        with pytest.raises(BrokenExecutor, match="ProcessPoolExecutor lost its workers"):
            reduced(files, executor=executor)
    assert list(tmp_path.iterdir()) == []


class Closing(Executor):
    """Hands the work on to a client of dask, which is closed after a number of tasks."""

    def __init__(self, client, at):
        self.client, self.executor, self.at = client, client.get_executor(), at

    def submit(self, function, /, *args, **kwargs):
        future = self.executor.submit(function, *args, **kwargs)
        self.at -= 1
        if self.at == 0:
            self.client.close()
        return future


@pytest.mark.parametrize("at", [3, 14])
def test_a_client_that_is_closed_ends_with_one_error(files, tmp_path, monkeypatch, at):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr("ccdproc_echelle._tasks._PATIENCE", 0.1)
    packed, temporary = tmp_path / "packed", tmp_path / "temporary"
    packed.mkdir(), temporary.mkdir()
    compressed = files | {"flat": [packed / f"{path.name}.gz" for path in files["flat"]]}
    for path, target in zip(files["flat"], compressed["flat"], strict=True):
        target.write_bytes(gzip.compress(path.read_bytes(), 1))
    cluster = distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None,
        local_directory=str(tmp_path / "dask"),
    )
    with cluster, distributed.Client(cluster) as client:
        monkeypatch.setattr("tempfile.tempdir", str(temporary))
        executor = Closing(client, at)
        with pytest.raises(BrokenExecutor, match="Closing lost its workers or was shut down: "):
            reduced(compressed, executor=executor, mem_limit=1e6)
    assert executor.at <= 0
    assert list(temporary.iterdir()) == []


def test_progress_is_told_step_by_step(files, capsys):
    pytest.importorskip("tqdm")
    reduced(files, progress_bar=True)
    shown = capsys.readouterr().err
    steps = ["bias and dark", "typical frame", "orders", "vetting", "scattered light",
             "levels and combination", "order edges", "bad pixels", "quality"]
    places = [shown.index(step) for step in steps]
    assert places == sorted(places)
    assert "5 of 5" in shown
    assert "100%" in shown


def test_the_bar_is_never_silent_for_long(files, monkeypatch):
    """It shows each frame or section of the long steps; no other takes over an eighth."""

    class Recorder:
        n, step = 0, None

        def set_description(self, step, refresh):
            self.step = step

        def refresh(self):
            shown.append((self.step, self.n))

        def set_postfix_str(self, text, refresh):
            pass

        def close(self):
            pass

    shown = []
    monkeypatch.setattr("ccdproc_echelle.combining.progress._bar", Recorder)
    reduced(files, progress_bar=True, mem_limit=2e6)
    updates = Counter(step for step, _ in shown)
    assert len(updates) == 9
    assert updates["scattered light"] == 1 + len(files["flat"])
    assert updates["levels and combination"] > 2
    places = np.array([0, *(place for _, place in shown)])
    assert np.diff(places).max() <= 12.5
    assert places[-1] == 100


def test_steps_are_timed_in_the_log(files, caplog):
    with caplog.at_level("INFO", logger="ccdproc_echelle"):
        reduced(files)
    assert any(message.startswith("scattered light: ") for message in caplog.messages)
    assert any(message.startswith("quality: ") for message in caplog.messages)


def test_progress_never_goes_back():
    moves = []

    class Recorded(Progress):
        def _move(self, to):
            moves.append(to)

    progress = Recorded({"one": 1, "two": 3}, shown=False)
    progress._bar = type("Bar", (), {
        "set_description": lambda *a, **k: None, "set_postfix_str": lambda *a, **k: None,
        "close": lambda self: None,
    })()
    with progress:
        progress.begin("one")
        assert list(progress.counted("abc", 3)) == ["a", "b", "c"]
        progress.begin("two")
        list(progress.counted("ab", 2))
    assert moves == sorted(moves)
    assert moves[0] == 0 and moves[-1] == 100 and 25 in moves
