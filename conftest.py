# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What every test shares: the header, the plot backend, reproducible examples, the real data."""

import gc
import os
from pathlib import Path

import pytest
from hypothesis import settings
from pytest_astropy_header.display import PYTEST_HEADER_MODULES, TESTED_VERSIONS

import ccdproc_echelle

collect_ignore_glob = ["docs/*.py"]

# Fixtures that several tests share; not in files named conftest.py, as pytest 7 knows only one.
pytest_plugins = ["helpers.combining", "helpers.command_line", "helpers.executors", "helpers.real"]

os.environ.setdefault("MPLBACKEND", "Agg")

# Tests that run side by side would fight for the cores. For the workers, which start after this.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# The same examples in every run; `pytest --hypothesis-profile=explore` looks for new ones.
settings.register_profile("reproducible", derandomize=True, deadline=None, max_examples=25)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile("reproducible")

# Also in the reason of every test that is skipped for want of real data.
_DATA_VARIABLE = "CCDPROC_ECHELLE_DATA"


def pytest_configure(config):
    config.option.astropy_header = True
    PYTEST_HEADER_MODULES.clear()
    for name in ("numpy", "scipy", "astropy", "ccdproc", "reproject", "matplotlib", "tqdm"):
        PYTEST_HEADER_MODULES[name] = name
    TESTED_VERSIONS["ccdproc_echelle"] = ccdproc_echelle.__version__


def pytest_collection_finish():
    # All that was imported and collected stays: no use in walking through it again and again.
    gc.collect()
    gc.freeze()


def pytest_report_header():
    return f"ccdproc_echelle from {Path(ccdproc_echelle.__file__).parent}"


def pytest_terminal_summary(terminalreporter):
    skipped = terminalreporter.getreports("skipped")
    n_skipped = sum(_DATA_VARIABLE in str(report.longrepr) for report in skipped)
    if n_skipped:
        terminalreporter.section("real data", yellow=True)
        terminalreporter.line(
            f"{n_skipped} tests on real data were SKIPPED: the folder was not found. "
            f"Set {_DATA_VARIABLE} to it."
        )


@pytest.fixture(autouse=True)
def _surroundings_of_examples(request, monkeypatch):
    """
    Examples write their files, under the plain names a reader would use, to an empty folder.

    The figures of a night, which take longer than all the rest of it, have a test of their own.
    """
    if isinstance(request.node, pytest.DoctestItem):
        from ccdproc_echelle.recipe.night import work  # late, as it takes all of the package

        monkeypatch.chdir(request.getfixturevalue("tmp_path"))
        monkeypatch.setattr(work, "_draw", lambda *ignored: None)


@pytest.fixture(scope="session")
def data_dir(pytestconfig) -> Path:
    """Folder with real frames and order tables; a test that asks for it is skipped without."""
    default = pytestconfig.rootpath.parent / "shared" / "data"
    folder = Path(os.environ.get(_DATA_VARIABLE, default))
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is not a folder; set {_DATA_VARIABLE}")
    return folder
