# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The start of the command line: what comes before the first of its own lines of work."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import ccdproc_echelle

ROOT = Path(ccdproc_echelle.__file__).parents[1]
# As the script of the installed command and as `python -m`.
STARTS = {
    "script": ["-c", "import sys; from ccdproc_echelle.cli import main; sys.exit(main())"],
    "module": ["-m", "ccdproc_echelle"],
}


def started(folder, *arguments):
    """The end of a process that finds the modules in a folder before all others."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=environment, check=False
    )


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("package", ["numpy", "ccdproc"])
def test_interrupt_of_an_import_is_one_line(tmp_path, package, start):
    """The stand-in of a package, the first that is imported or the last, interrupts it."""
    (tmp_path / f"{package}.py").write_text(
        "import signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "signal.raise_signal(signal.SIGINT)\n"
    )
    result = started(tmp_path, *STARTS[start], "--help")
    assert (result.returncode, result.stdout) == (130, "")
    assert result.stderr == "ccdproc-echelle: interrupted\n"


def test_interrupt_that_comes_out_as_a_failure_of_the_import(tmp_path):
    """As pybind11 makes it of an interrupt that hits a compiled module."""
    (tmp_path / "numpy.py").write_text(
        "try:\n"
        "    raise KeyboardInterrupt\n"
        "except KeyboardInterrupt as error:\n"
        "    raise ImportError('initialization failed') from error\n"
    )
    result = started(tmp_path, *STARTS["module"], "--help")
    assert (result.returncode, result.stderr) == (130, "ccdproc-echelle: interrupted\n")


def test_a_failure_of_the_import_is_shown(tmp_path):
    (tmp_path / "numpy.py").write_text("raise ImportError('no such library')\n")
    result = started(tmp_path, *STARTS["module"], "--help")
    assert result.returncode == 1
    assert result.stderr.endswith("ImportError: no such library\n")


@pytest.mark.parametrize("module", ["ccdproc_echelle", "ccdproc_echelle.cli"])
def test_nothing_that_takes_time_comes_before_the_command(tmp_path, module):
    code = (
        f"import sys, {module}\n"
        "print({name.split('.')[0] for name in sys.modules} & {'numpy', 'scipy', 'astropy'})"
    )
    result = started(tmp_path, "-c", code)
    assert (result.stdout, result.stderr) == ("set()\n", "")


def test_names_are_there_when_asked_for(tmp_path):
    code = (
        "import ccdproc_echelle as package\n"
        "assert package.EchelleOrderTable is package.orders.EchelleOrderTable\n"
        "assert package.recentre is package.recenter\n"
        "from ccdproc_echelle import *\n"
        "assert MasterFlat is package.recipe.MasterFlat\n"
    )
    result = started(tmp_path, "-W", "ignore:The TestRunner", "-c", code)
    assert (result.returncode, result.stderr) == (0, "")


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="'ccdproc_echelle' has no attribute 'EchelleTable'"):
        _ = ccdproc_echelle.EchelleTable
    with pytest.raises(ImportError, match="cannot import name 'EchelleTable'"):
        from ccdproc_echelle import EchelleTable  # noqa: F401
