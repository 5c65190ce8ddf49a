# Licensed under a 3-clause BSD style license - see LICENSE.rst
import gzip
import sys
import tempfile
import threading
import time
import tracemalloc
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.utils.exceptions import AstropyUserWarning

from ccdproc_echelle.combining import Progress, streaming
from ccdproc_echelle.combining.combine import combine_frames
from ccdproc_echelle.combining.two_pass import two_pass_flat_combine
from ccdproc_echelle.frames import FileFrame
from ccdproc_echelle.orders import EchelleOrderTable
from helpers.executors import SerialExecutor

SHAPE = (90, 70)
N_FRAMES = 5
LEVELS = np.array([0.7, 0.9, 1.0, 1.2, 1.35])
ORDERS = EchelleOrderTable.from_polynomials(
    [1, 2], [[25, 0.05], [65, 0.05]], shape=SHAPE, dispersion_axis=1
)
SETTINGS = {
    "scale": 1 / LEVELS,
    "sigma_clip": True,
    "sigma_clip_low_thresh": 4,
    "sigma_clip_high_thresh": 4,
}
TWO_PASSES = {"sigma_clip": True, "sigma_clip_high_thresh": 5, "diagnostics": True}
EXECUTORS = ["serial", "1 thread", "3 threads", "processes", "dask"]
MEMORY_LIMITS = [1e5, 1e6, 16e9]


class Recorder(Executor):
    """Hands the work on to another executor and remembers its futures."""

    def __init__(self, executor):
        self.executor = executor
        self.futures = []

    def submit(self, function, /, *args, **kwargs):
        self.futures.append(self.executor.submit(function, *args, **kwargs))
        return self.futures[-1]


def in_memory(uncertainty):
    """Frames of different brightness with outliers and pixels that are not finite."""
    rng = np.random.default_rng(1)
    frames = []
    for level in LEVELS:
        data = rng.normal(1000 * level, 30, SHAPE).astype(np.float32)
        data[rng.random(SHAPE) < 0.01] += 1000
        data[rng.random(SHAPE) < 0.01] = np.nan
        frame = CCDData(data, unit="adu")
        if uncertainty:
            frame.mask = rng.random(SHAPE) < 0.02
            frame.uncertainty = StdDevUncertainty(rng.uniform(25, 35, SHAPE).astype(np.float32))
        frames.append(frame)
    return frames


def write(folder, kind):
    """Files with the frames; those with mask and uncertainty have an extension for each."""
    folder.mkdir()
    for i, frame in enumerate(in_memory(kind.startswith("mef"))):
        path = folder / f"frame_{i}.fits"
        if kind == "fz":
            packed = fits.CompImageHDU(
                frame.data, fits.Header([("BUNIT", "adu")]), compression_type="GZIP_1",
                quantize_level=0,
            )
            fits.HDUList([fits.PrimaryHDU(), packed]).writeto(path.with_suffix(".fits.fz"))
            continue
        frame.write(path)
        if kind.endswith("gz"):
            path.with_suffix(".fits.gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Every kind of input, those without and those with uncertainties."""
    root = tmp_path_factory.mktemp("frames")
    files = {kind: write(root / kind, kind) for kind in ("plain", "gz", "fz", "mef", "mef.gz")}
    return {"memory": in_memory(False), "memory with uncertainty": in_memory(True)} | files


def bits(combined, diagnostics):
    """All there is to compare."""
    return [
        array.tobytes()
        for array in (combined.data, combined.mask, combined.uncertainty.array,
                      diagnostics.count, diagnostics.rejected)
    ]


@pytest.fixture(scope="module")
def expected(sources):
    """The result for frames without and with uncertainties, in a single piece."""
    return {
        uncertainty: bits(*combine_frames(
            sources["memory with uncertainty" if uncertainty else "memory"],
            executor=SerialExecutor(), diagnostics=True, **SETTINGS,
        ))
        for uncertainty in (False, True)
    }

# -------------------------------------------------------------------------------- the same bits


@pytest.mark.parametrize("mem_limit", MEMORY_LIMITS)
@pytest.mark.parametrize("name", EXECUTORS)
def test_every_executor_source_and_memory_limit_gives_the_same_bits(
    sources, executors, expected, name, mem_limit
):
    executor = executors(name)
    for source, img_list in sources.items():
        found = combine_frames(
            img_list, executor=executor, mem_limit=mem_limit, diagnostics=True, **SETTINGS
        )
        uncertainty = source.startswith("mef") or source.endswith("uncertainty")
        assert bits(*found) == expected[uncertainty], source


@pytest.fixture(scope="module")
def two_pass_once(sources):
    """The result of two passes over a source, in a single piece."""

    @cache
    def once(source, per_order):
        return bits(*two_pass_flat_combine(
            sources[source], ORDERS, per_order=per_order, **TWO_PASSES
        ))

    return once


@pytest.mark.parametrize("name", EXECUTORS)
@pytest.mark.parametrize("source", ["mef.gz", "memory"])
@pytest.mark.parametrize("per_order", [False, True])
def test_two_passes_give_the_same_bits_on_every_executor(
    sources, executors, two_pass_once, name, source, per_order
):
    once = two_pass_once(source, per_order)
    found = two_pass_flat_combine(
        sources[source], ORDERS, executor=executors(name), mem_limit=1e5, per_order=per_order,
        **TWO_PASSES,
    )
    assert bits(*found) == once


@pytest.mark.parametrize(
    "keywords",
    [
        {"method": "median"},
        {"method": "sum", "weights": [1, 2, 3, 4, 0]},
        {"weights": np.random.default_rng(2).uniform(0, 1, (N_FRAMES, *SHAPE))},
        {"weights": "inverse_variance"},
        {"clip_extrema": True},
        {"minmax_clip": True, "minmax_clip_max": 1010},
        {"sigma_clip_func": np.ma.mean, "sigma_clip_dev_func": np.ma.std},
        {"combine_uncertainty_function": np.ma.std},
        {"dtype": np.float64},
    ],
    ids=lambda keywords: " ".join(keywords),
)
def test_every_setting_gives_the_same_bits(sources, executors, keywords):
    frames = sources["memory with uncertainty"]
    settings = SETTINGS | {"diagnostics": True} | keywords
    once = bits(*combine_frames(frames, executor=SerialExecutor(), **settings))
    for name, mem_limit in [("serial", 1), ("3 threads", 1e5), ("processes", 1e5)]:
        executor = executors(name)
        found = combine_frames(frames, executor=executor, mem_limit=mem_limit, **settings)
        assert bits(*found) == once


def test_small_memory_limits_make_many_sections(sources, monkeypatch):
    n_sections = []
    results = streaming.results_of
    monkeypatch.setattr(
        streaming, "results_of",
        lambda tasks, executor: n_sections.append(len(tasks)) or results(tasks, executor),
    )
    for mem_limit in (1, 1e5, 16e9):
        with ThreadPoolExecutor(2) as executor:
            combine_frames(sources["memory"], mem_limit=mem_limit, executor=executor)
    assert n_sections == [90, 10, 1]  # nine would not be the same number for both threads


# ---------------------------------------------------------------------------------- reading


@pytest.fixture
def loaded(monkeypatch):
    """Name and rows of every part of a file that is read."""
    calls = []
    load = FileFrame.load

    def recorded(self):
        calls.append((self.name, self._rows))
        return load(self)

    monkeypatch.setattr(FileFrame, "load", recorded)
    return calls


def times_read(calls, path):
    """How often each row of a file was read."""
    rows = np.zeros(SHAPE[0], dtype=int)
    for name, span in calls:
        if name == str(path):
            rows[span.start : span.stop] += 1
    return rows


@pytest.mark.parametrize("mem_limit", [1e5, 16e9])
@pytest.mark.parametrize("kind", ["plain", "mef.gz", "fz"])
def test_every_row_of_a_file_is_read_once(sources, loaded, kind, mem_limit):
    combine_frames(sources[kind], mem_limit=mem_limit, **SETTINGS)
    for path in sources[kind]:
        assert times_read(loaded, path).tolist() == [1] * SHAPE[0]


def test_levels_and_combination_read_every_row_once_each(sources, loaded):
    two_pass_flat_combine(sources["plain"], ORDERS, n_passes=4)
    for path in sources["plain"]:
        assert times_read(loaded, path).tolist() == [2] * SHAPE[0]
    assert len(loaded) == 2 * N_FRAMES


def test_compressed_files_are_unpacked_once(sources, monkeypatch):
    unpacked, opened = [], []
    unpack, open_file = FileFrame.unpacked, FileFrame._open

    def recorded_unpack(frame, path):
        unpacked.append(frame.name)
        return unpack(frame, path)

    def recorded_open(self):
        opened.append(self.path)
        return open_file(self)

    monkeypatch.setattr(FileFrame, "unpacked", recorded_unpack)
    monkeypatch.setattr(FileFrame, "_open", recorded_open)
    two_pass_flat_combine(sources["mef.gz"], ORDERS, mem_limit=1e5)
    names = [str(path) for path in sources["mef.gz"]]
    assert unpacked == names
    # the first look is taken at the file itself, all the rest at its copy
    assert [str(path) for path in opened if path.suffix == ".gz"] == names


# ------------------------------------------------------------------------------- interruptions


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Empty folders for temporary files and for the output."""
    for name in ("temporary", "output"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path / "temporary", tmp_path / "output"


def interrupted_load(monkeypatch, error, *, after):
    """Reading takes a while, and fails after so many parts."""
    load, lock, calls = FileFrame.load, threading.Lock(), []

    def slow(self):
        with lock:
            calls.append(self)
            if len(calls) > after:
                raise error
        time.sleep(0.03)
        return load(self)

    monkeypatch.setattr(FileFrame, "load", slow)


@pytest.mark.parametrize("error", [OSError("the disk is gone"), KeyboardInterrupt()],
                         ids=["error", "interrupt"])
@pytest.mark.parametrize("combine", [combine_frames, two_pass_flat_combine])
def test_an_interruption_leaves_nothing(sources, folders, monkeypatch, error, combine):
    temporary, output = folders
    orders = {"orders": ORDERS} if combine is two_pass_flat_combine else {}
    with monkeypatch.context() as patch, ThreadPoolExecutor(3) as threads:
        interrupted_load(patch, error, after=17)
        executor = Recorder(threads)
        with pytest.raises(type(error)):
            combine(sources["mef.gz"], output_file=output / "flat.fits", executor=executor,
                    mem_limit=1, **orders)
        n_gathered = N_FRAMES if orders else 0  # the pixels of the levels, frame by frame
        assert n_gathered < len(executor.futures) < SHAPE[0] + n_gathered  # no more were begun
        assert all(future.done() for future in executor.futures)
        assert list(temporary.iterdir()) == list(output.iterdir()) == []
    combine(sources["mef.gz"], output_file=output / "flat.fits", **orders)
    assert [path.name for path in output.iterdir()] == ["flat.fits"]
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("own_threads", [True, False])
def test_an_interrupt_while_waiting_leaves_nothing(sources, folders, monkeypatch, own_threads):
    temporary, output = folders

    def impatient(self, parts, n_parts):
        yield next(parts)
        raise KeyboardInterrupt

    before = threading.active_count()
    interrupted_load(monkeypatch, AssertionError, after=np.inf)
    monkeypatch.setattr(Progress, "counted", impatient)
    with ThreadPoolExecutor(2) as threads:
        executor = Recorder(threads)
        with pytest.raises(KeyboardInterrupt):
            combine_frames(sources["gz"], output / "out.fits", mem_limit=1,
                           executor=None if own_threads else executor)
        assert all(future.done() for future in executor.futures)
        assert len(executor.futures) < SHAPE[0]
        assert list(temporary.iterdir()) == list(output.iterdir()) == []
    assert threading.active_count() == before


def test_an_interrupt_while_submitting_leaves_nothing(sources, folders):
    temporary, _ = folders

    class Interrupted(Recorder):
        def submit(self, function, /, *args, **kwargs):
            if len(self.futures) == 20:
                raise KeyboardInterrupt
            return super().submit(function, *args, **kwargs)

    with ThreadPoolExecutor(1) as threads:
        executor = Interrupted(threads)
        with pytest.raises(KeyboardInterrupt):
            combine_frames(sources["gz"], mem_limit=1, executor=executor)
        assert all(future.done() for future in executor.futures)
        assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("name", ["processes", "dask"])
def test_an_error_on_a_worker_comes_back(sources, executors, expected, folders, name):
    temporary, output = folders
    executor = executors(name)
    frames = [frame.copy() for frame in sources["memory with uncertainty"]]
    frames[3].uncertainty.array[40, 7] = -1
    with pytest.raises(ValueError, match="frame 3 has a negative uncertainty, -1.0"):
        combine_frames(frames, output / "out.fits", executor=executor, mem_limit=1)
    assert list(temporary.iterdir()) == list(output.iterdir()) == []
    # and the executor is as good as before
    found = combine_frames(sources["mef"], executor=executor, diagnostics=True, **SETTINGS)
    assert bits(*found) == expected[True]


# -------------------------------------------------------------------------------------- memory


def test_peak_memory_does_not_grow_with_the_number_of_frames(tmp_path):
    shape, mem_limit = (300, 300), 1e6
    data = np.arange(shape[0] * shape[1], dtype=np.float32).reshape(shape)
    paths = [tmp_path / f"frame_{i}.fits" for i in range(16)]
    for i, path in enumerate(paths):
        fits.writeto(path, data + np.float32(i), fits.Header([("BUNIT", "adu")]))
    combine_frames(paths[:2])  # whatever is imported or cached at the first call
    peaks = []
    with ThreadPoolExecutor(2) as executor:
        for n_frames in (4, 16):
            tracemalloc.start()
            combine_frames(paths[:n_frames], mem_limit=mem_limit, executor=executor)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] - peaks[0] < mem_limit
    assert peaks[1] < 16 * data.nbytes


# -------------------------------------------------------------------------------- progress bar


def test_progress_bar(random_frames, assert_identical, capsys):
    pytest.importorskip("tqdm")
    frames = random_frames(3)
    combined = combine_frames(frames, progress_bar=True)
    assert "combining" in capsys.readouterr().err
    assert_identical(combined, combine_frames(frames))
    assert capsys.readouterr().err == ""


def test_progress_bar_without_tqdm(random_frames, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.warns(AstropyUserWarning, match="no progress bar: tqdm is not installed"):
        combine_frames(random_frames(3), progress_bar=True)
