# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The command line as a whole: usage, messages, exit status."""

import os
import re
import runpy
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import ccdproc_echelle
from ccdproc_echelle.cli import main
from helpers.command_line import FLATS, QUICK, USUAL, contents

ROOT = Path(ccdproc_echelle.__file__).parents[1]
# The warning of ccdproc 2.4 on import, see pyproject.toml, is not ours.
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore:The TestRunner"}

COMMANDS = ["flat", "trace", "edges", "convert", "inspect", "instruments", "report", "demo"]

# ---------------------------------------------------------------------- usage


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help(capsys, command):
    with pytest.raises(SystemExit) as stop:
        main([*command, "--help"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith(" ".join(["usage: ccdproc-echelle", *command]))
    assert "exit status:\n  0 done; 1 " in printed
    for name in command:
        assert f"example:\n  ccdproc-echelle {name}" in printed


@pytest.mark.parametrize("command", COMMANDS)
def test_documentation_names_every_option(capsys, pytestconfig, command):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}
    page = pytestconfig.rootpath / "docs" / "guide" / "command_line.rst"
    page = page.read_text(encoding="utf-8")
    common, *sections = re.split(r"^``([a-z]+)``\n=+\n", page, flags=re.M)
    section = dict(zip(sections[::2], sections[1::2], strict=True))[command]
    assert options <= set(re.findall(r"--[a-z-]+", common + section))


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"{ccdproc_echelle.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        ([], "COMMAND"),
        (["polish"], "polish"),
        (["flat", "-o", "m.fits"], "FLAT"),
        (["flat", "-o", "m.fits", "--dark", "a.fits", "b.fits"], "put the flats first"),
        (["flat", "a.fits", "--orders", "o.ecsv"], "--output"),
        (["flat", "a.fits", "--orders", "o", "-o", "m", "--window", "high"], "'high'"),
        (["flat", "a.fits", "--orders", "o", "-o", "m", "--dispersion-axis", "2"], "2"),
        (["flat", "a.fits", "--orders", "o", "-o", "m", "--colour"], "--colour"),
        (["flat", "a.fits", "-o", "m", "--orders", "o", "--orders-format", "soxpipe"], "soxpipe"),
        (["flat", "a.fits", "-o", "m", "--orders-format", "ecsv"], "format: can only be used"),
        (["flat", "a.fits", "-o", "m", "--dispersion-axis", "1"], "axis: can only be used"),
        (["flat", "a.fits", "-o", "m", "--reject", "maybe"], "maybe"),
        (["flat", "a.fits", "-o", "m", "--scattered-light", "maybe"], "maybe"),
        (["trace", "a.fits"], "--output"),
        (["trace", "a.fits", "-o", "o", "--first-order", "one"], "'one'"),
        (["trace", "a.fits", "-o", "o", "--format", "kpf"], "kpf"),
        (["edges", "a.fits", "-o", "o"], "--orders"),
        (["convert", "a.ecsv", "-o", "o", "--to", "sox"], "sox"),
        (["convert", "a.reg", "-o", "o", "--from", "ds9"], "ds9"),
        (["convert", "a.ecsv", "-o", "o", "--shape", "5"], "--shape"),
        (["inspect"], "FILE"),
        (["report", "-o", "r.zip"], "FILE"),
    ],
)
def test_wrong_usage_exits_with_2(capsys, arguments, culprit):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert "error:" in message and culprit in message


# ---------------------------------------------------------------------- messages


def interrupted(*args, **kwargs):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("where", "arguments"),
    [
        ("ccdproc_echelle.cli.flat.make_master_flat", ["flat", *FLATS, *USUAL]),
        ("ccdproc_echelle.cli.trace.trace_orders", ["trace", "flat_01.fits", "-o", "traced.ecsv"]),
        ("ccdproc_echelle.cli.edges.detect_order_edges",
         ["edges", "flat_01.fits", "--orders", "orders.ecsv", "-o", "edges.ecsv"]),
        ("ccdproc_echelle.cli.options.EchelleOrderTable.read",
         ["convert", "orders.ecsv", "-o", "orders.reg", "--to", "ds9"]),
        ("ccdproc_echelle.cli.inspect.MasterFlat.read", ["inspect", "master.fits"]),
        ("ccdproc_echelle.recipe.report.bundle.look_at_frame", ["report", "flat_01.fits"]),
        ("ccdproc_echelle.cli.demo.EchelleSimulation.write", ["demo", "--folder", "."]),
    ],
)
def test_interrupt_says_so_and_leaves_nothing(
    working_folder, capsys, monkeypatch, where, arguments
):
    monkeypatch.setattr(where, interrupted)
    before = contents(working_folder)
    assert main(arguments) == 130
    assert capsys.readouterr().err == "ccdproc-echelle: interrupted\n"
    assert contents(working_folder) == before


def test_error_of_several_lines_is_joined(working_folder, capsys, monkeypatch):
    def fail(*args, **kwargs):
        raise ValueError("first\n  second")

    monkeypatch.setattr("ccdproc_echelle.cli.flat.make_master_flat", fail)
    assert main(["flat", *FLATS, *USUAL]) == 1
    assert capsys.readouterr().err == "ccdproc-echelle: error: first second\n"


def test_mistake_in_the_program_is_not_hidden(working_folder, monkeypatch):
    def fail(*args, **kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr("ccdproc_echelle.cli.flat.make_master_flat", fail)
    with pytest.raises(ZeroDivisionError):
        main(["flat", *FLATS, *USUAL])


@pytest.mark.filterwarnings("always::astropy.utils.exceptions.AstropyUserWarning")
def test_warning_is_one_line(working_folder, capsys):
    assert main(["flat", "flat_01.fits", "--dark", "dark_01.fits", *QUICK]) == 0
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.match("ccdproc-echelle: warning: flat_01.fits is the only frame", error)


def test_showing_of_warnings_is_left_as_it_was(working_folder, capsys):
    shown = warnings.showwarning
    assert main(["flat", "nothing.fits", *USUAL]) == 1
    assert warnings.showwarning is shown
    assert main(["flat", *FLATS, *QUICK]) == 0
    assert warnings.showwarning is shown


# ---------------------------------------------------------------------- the process


def run_as_module(arguments):
    """Exit status of ``python -m ccdproc_echelle``, without a process of its own."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as stop:
        patch.setattr(sys, "argv", ["ccdproc-echelle", *arguments])
        runpy.run_module("ccdproc_echelle", run_name="__main__")
    return stop.value.code


def test_module_is_the_command(capfd):
    assert run_as_module(["--help"]) == 0
    output, error = capfd.readouterr()
    assert output.startswith("usage: ccdproc-echelle")
    assert "flat" in output and "demo" in output
    assert error == ""


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["flat", *FLATS, "--dark", "dark_01.fits", *QUICK], 0),
        (["trace", "nothing.fits", "-o", "out"], 1),
        (["edges", "flat_01.fits", "-o", "out"], 2),
        (["convert", "orders.ecsv", "--to", "ds9", "-o", "orders.reg"], 0),
        (["inspect", "flat_01.fits"], 1),
        (["demo", "--folder", "no/such/folder"], 1),
    ],
)
def test_exit_status_of_the_module(working_folder, capfd, arguments, status):
    assert run_as_module(arguments) == status
    error = capfd.readouterr().err
    assert "Traceback" not in error
    assert (error == "") == (status == 0)


def test_a_process_that_is_done(working_folder):
    result = subprocess.run(
        [sys.executable, "-m", "ccdproc_echelle", "flat", *FLATS, "--dark", "dark_01.fits", *QUICK],
        capture_output=True, text=True, env=ENVIRONMENT, check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert "wrote master.fits" in result.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal")
def test_interrupted_process(tmp_path):
    code = (  # a job in the background of a shell ignores interrupts, and hands that on
        "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "runpy.run_module('ccdproc_echelle', run_name='__main__')"
    )
    with subprocess.Popen(
        [sys.executable, "-u", "-c", code, "demo", "--folder", str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT,
    ) as process:
        assert process.stdout.readline().startswith("simulating")
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (130, "ccdproc-echelle: interrupted\n")
    assert not (tmp_path / "master.fits").exists()
