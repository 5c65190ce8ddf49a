# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The command line: what it prints, what it writes, and its exit status."""

import contextlib
import inspect
import io
import logging
import os
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData

import ccdproc_echelle
from ccdproc_echelle import (
    EchelleOrderTable,
    FlatFlag,
    MasterFlat,
    detect_order_edges,
    make_master_flat,
)
from ccdproc_echelle.cli import main
from ccdproc_echelle.light.flags import UNUSABLE
from ccdproc_echelle.recipe.quality import METRICS
from ccdproc_echelle.simulation import EchelleSimulation

ROOT = Path(ccdproc_echelle.__file__).parents[1]
# The warning of ccdproc 2.4 on import, see pyproject.toml, is not ours.
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore:The TestRunner"}

SIMULATION = (
    EchelleSimulation(shape=(128, 160), n_orders=3, seed=5).with_bias(200).with_level_spread(0.2)
)
ORDERS = SIMULATION.truth.orders


def without_bunit(path):
    with fits.open(path, mode="update") as hdus:
        del hdus[0].header["BUNIT"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory: three flats, two darks and two biases, an order table."""
    monkeypatch.chdir(tmp_path)
    SIMULATION.write(tmp_path, 3, 2)
    for i, bias in enumerate(SIMULATION.biases(2, raw=True), start=1):
        bias.write(f"bias_0{i}.fits")
    EchelleOrderTable.from_traces(
        ORDERS.order_numbers, ORDERS.center(), shape=ORDERS.shape, dispersion_axis=1
    ).write("orders.ecsv")
    return tmp_path


def flats():
    return [f"flat_0{i}.fits" for i in (1, 2, 3)]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ---------------------------------------------------------------------- usage


def test_module_is_the_command():
    result = subprocess.run(
        [sys.executable, "-m", "ccdproc_echelle", "--help"],
        capture_output=True, text=True, env=ENVIRONMENT, check=False,
    )
    assert result.returncode == 0
    assert result.stdout.startswith("usage: ccdproc-echelle")
    assert "flat" in result.stdout and "demo" in result.stdout
    assert result.stderr == ""


COMMANDS = ["flat", "trace", "edges", "convert", "inspect", "demo"]


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
        (["flat"], "FLAT"),
        (["flat", "a.fits", "--orders", "o.ecsv"], "--output"),
        (["flat", "a.fits", "--orders", "o", "-o", "m", "--window", "high"], "'high'"),
        (["flat", "a.fits", "--orders", "o", "-o", "m", "--dispersion-axis", "2"], "2"),
        (["flat", "a.fits", "--orders", "o", "-o", "m", "--colour"], "--colour"),
        (["flat", "a.fits", "-o", "m", "--orders", "o", "--orders-format", "soxpipe"], "soxpipe"),
        (["flat", "a.fits", "-o", "m", "--orders-format", "ecsv"], "--orders-format: only with"),
        (["flat", "a.fits", "-o", "m", "--dispersion-axis", "1"], "--dispersion-axis: only with"),
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
    ],
)
def test_wrong_usage_exits_with_2(capsys, arguments, culprit):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert "error:" in message and culprit in message


# ---------------------------------------------------------------------- flat


def test_flat(folder, capsys):
    status = main(["flat", *flats(), "--dark", "dark_01.fits", "dark_02.fits",
                   "--orders", "orders.ecsv", "--gain", "1", "--read-noise", "4",
                   "-o", "master.fits"])
    output = capsys.readouterr()
    assert status == 0
    assert output.err == ""
    expected = make_master_flat(
        flats(), EchelleOrderTable.read("orders.ecsv"), dark=["dark_01.fits", "dark_02.fits"],
        gain=1, read_noise=4,
    )
    master = MasterFlat.read("master.fits")
    np.testing.assert_array_equal(master.flat.data, expected.flat.data)
    np.testing.assert_array_equal(master.flat.uncertainty.array, expected.flat.uncertainty.array)
    np.testing.assert_array_equal(master.flags, expected.flags)
    assert "wrote master.fits" in output.out
    assert f"3 orders, {expected.flat.mask.sum()} pixels masked" in output.out


def test_flat_without_an_order_table(folder, capsys):
    assert main(["flat", *flats(), "--dark", "dark_01.fits", "-o", "master.fits"]) == 0
    orders = MasterFlat.read("master.fits").orders
    assert orders.order_numbers.tolist() == [1, 2, 3]
    np.testing.assert_allclose(orders.center(), ORDERS.center(), atol=0.2)


def test_printed_levels_are_relative_to_their_mean(folder, capsys):
    assert main(["flat", *flats(), "--dark", "dark_01.fits", "--orders", "orders.ecsv",
                 "-o", "master.fits"]) == 0
    found = re.findall(r"^  (flat_0\d\.fits)  ([\d.]+) \+- [\d.]+$", capsys.readouterr().out, re.M)
    assert [name for name, _ in found] == flats()
    truth = SIMULATION.truth.levels(3)
    np.testing.assert_allclose(
        [float(level) for _, level in found], truth / truth.mean(), atol=2e-3
    )


def test_flat_with_all_options(folder, capsys):
    pytest.importorskip("matplotlib")
    ORDERS.write("soxspipe.fits", format="soxspipe")
    for path in folder.glob("*_0?.fits"):
        without_bunit(path)
    Path("master.fits").write_text("old")
    Path("summary.pdf").write_text("old")
    status = main(["flat", *flats(), "--orders", "soxspipe.fits", "--orders-format", "soxspipe",
                   "--dispersion-axis", "1", "--bias", "bias_01.fits", "bias_02.fits",
                   "--dark", "dark_01.fits", "dark_02.fits", "--gain", "1", "--read-noise", "4",
                   "--unit", "adu", "--hdu", "0", "--window", "6", "--mask-interorder",
                   "--output", "master.fits", "--plot", "summary.pdf", "--overwrite"])
    output = capsys.readouterr()
    assert (status, output.err) == (0, "")
    master = MasterFlat.read("master.fits")
    between = (master.flags & FlatFlag.INTERORDER) > 0
    assert between.any() and master.flat.mask[between].all()
    expected = make_master_flat(
        flats(), EchelleOrderTable.read("soxspipe.fits"), window=6, unit="adu",
        bias=["bias_01.fits", "bias_02.fits"], dark=["dark_01.fits", "dark_02.fits"],
        gain=1, read_noise=4,
    )
    np.testing.assert_array_equal(master.flat.data, expected.flat.data)
    assert Path("summary.pdf").read_bytes().startswith(b"%PDF")
    assert "wrote summary.pdf" in output.out


@pytest.mark.parametrize(
    ("arguments", "keywords"),
    [
        (["--scattered-light", "none"], {"scattered_light": None}),
        (["--scattered-light", "master"], {"scattered_light": "master"}),
        (["--per-order"], {"per_order": True}),
        (["--saturation", "1e4"], {"saturation": 1e4}),
        (["--saturation", "SATURATE"], {"saturation": "SATURATE"}),
        (["--gain", "GAIN", "--read-noise", "ESO DET OUT1 RON"],
         {"gain": "GAIN", "read_noise": "ESO DET OUT1 RON"}),
        (["--trim", "[1:160,1:128]", "--oscan", "none"],
         {"trim": "[1:160,1:128]", "oscan": False}),
        (["--reject", "drop"], {"reject": "drop"}),
        (["--limits", "limits.yaml"], {"limits": {"frames_used": (5, None)}}),
        (["--mask-interorder"], {"mask_flags": UNUSABLE | FlatFlag.INTERORDER}),
        ([], {}),
    ],
)
def test_options_of_flat_are_those_of_the_recipe(folder, monkeypatch, arguments, keywords):
    """What one option sets, beside what is set without any."""
    given = {}

    def record(img_list, orders, **keywords):
        given.update(keywords)
        raise ValueError("enough")

    Path("limits.yaml").write_text("frames_used: [5, null]")
    monkeypatch.setattr("ccdproc_echelle.cli.flat.make_master_flat", record)
    assert main(["flat", *flats(), *USUAL]) == 1
    usual = dict(given)
    assert main(["flat", *flats(), *USUAL, *arguments]) == 1
    keywords = keywords | ({"limits": "limits.yaml"} if "limits" in keywords else {})
    assert given == usual | keywords
    defaults = inspect.signature(make_master_flat).parameters
    assert all(
        value == defaults[name].default for name, value in usual.items() if name in defaults
    )


@pytest.mark.parametrize("shape", [(128, 160), (128, 192)])
def test_flat_of_raw_frames_with_overscan(folder, shape):
    """The order table is that of the light, or of the whole frame."""
    SIMULATION.write(folder, 3, 2, layout="overscan", overwrite=True)
    centers = np.pad(
        ORDERS.center(), ((0, 0), (0, shape[1] - 160)), mode="reflect", reflect_type="odd"
    )
    EchelleOrderTable.from_traces(
        ORDERS.order_numbers, centers, shape=shape, dispersion_axis=1
    ).write("orders.ecsv", overwrite=True)
    assert main(["flat", *flats(), "--dark", "dark_01.fits", *USUAL, "--scattered-light", "none",
                 "--gain", "GAIN", "--read-noise", "RDNOISE"]) == 0
    master = MasterFlat.read("master.fits")
    assert master.flat.shape == (128, 160)
    np.testing.assert_allclose(master.orders.center(), ORDERS.center(), atol=0.3)


def test_amplifiers_by_name(folder, capsys):
    SIMULATION.write(folder, 3, 2, layout="mef", overwrite=True)
    command = ["flat", *flats(), "--dark", "dark_01.fits", *USUAL, "--scattered-light", "none"]
    assert main([*command, "--hdu", "AMP1,2"]) == 0
    assert MasterFlat.read("master.fits").flat.header["AMPLIFS"] == 2
    assert main([*command, "--overwrite", "--hdu", "AMP1"]) == 1
    error = capsys.readouterr().err
    assert all(shape in error for shape in ("(128, 160)", "(128, 112)", "(128, 80)"))


def test_flat_tells_of_limits_that_are_broken(folder, capsys):
    Path("limits.yaml").write_text("frames_used: [5, null]")
    assert main(["flat", *flats(), "--dark", "dark_01.fits", *USUAL,
                 "--limits", "limits.yaml"]) == 0
    assert "beyond its limits: frames_used is 3, expected at least 5\n" in capsys.readouterr().out
    quality = MasterFlat.read("master.fits").quality
    assert quality["verdict"][quality["name"] == "frames_used"] == ["fail"]


def test_verbose_tells_the_steps(folder, capsys):
    logger = logging.getLogger("ccdproc_echelle")
    before = logger.level, list(logger.handlers)
    assert main(["flat", *flats(), "--dark", "dark_01.fits", *USUAL, "--verbose"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert "ccdproc-echelle: 3 orders" in lines
    assert all(line.startswith(("ccdproc-echelle: ", " ")) for line in lines)
    assert (logger.level, logger.handlers) == before


def test_flats_in_another_hdu(folder):
    for name in flats():
        data, header = fits.getdata(name), fits.getheader(name)
        fits.HDUList(
            [fits.PrimaryHDU(), fits.ImageHDU(np.zeros((2, 2))), fits.ImageHDU(data, header)]
        ).writeto(name, overwrite=True)
    assert main(["flat", *flats(), "--orders", "orders.ecsv", "--hdu", "2",
                 "-o", "master.fits"]) == 0
    assert MasterFlat.read("master.fits").flat.shape == SIMULATION.shape


def test_png(folder):
    pytest.importorskip("matplotlib")
    assert main(["flat", *flats(), "--dark", "dark_01.fits", "--orders", "orders.ecsv",
                 "-o", "master.fits", "--plot", "master.png"]) == 0
    assert Path("master.png").read_bytes().startswith(b"\x89PNG")


def test_order_table_that_knows_neither_shape_nor_axis(folder):
    np.savetxt("centres.txt", np.rint(ORDERS.center()).T, fmt="%d")
    assert main(["flat", *flats(), "--dark", "dark_01.fits", "--orders", "centres.txt",
                 "-o", "master.fits"]) == 0
    np.testing.assert_allclose(
        MasterFlat.read("master.fits").orders.lower(), ORDERS.lower(), atol=0.1
    )


# ---------------------------------------------------------------------- what goes wrong


def spoiled(name, data, **header):
    def make():
        fits.writeto(name, data, fits.Header(header), overwrite=True)
    return make


def truncated(name):
    def make():
        Path(name).write_bytes(Path(name).read_bytes()[:20000])
    return make


def text(name, words):
    return lambda: Path(name).write_text(words)


def order_table(name, **options):
    return lambda: EchelleSimulation(n_orders=3, **options).truth.orders.write(name)


ZERO = np.zeros((128, 160), dtype=np.float32)
USUAL = ["--orders", "orders.ecsv", "-o", "master.fits"]


@pytest.mark.parametrize(
    ("prepare", "arguments", "culprits"),
    [
        (None, ["nothing.fits", *USUAL], ["nothing.fits"]),
        (None, ["flat_01.fits", "nothing.fits", *USUAL], ["nothing.fits"]),
        (text("flat_02.fits", "hello"), [*flats(), *USUAL], ["flat_02.fits"]),
        (truncated("flat_03.fits"), [*flats(), *USUAL], ["flat_03.fits"]),
        (spoiled("flat_01.fits", ZERO), [*flats(), *USUAL], ["flat_01.fits", "BUNIT"]),
        (None, [*flats(), *USUAL, "--unit", "bogus"], ["bogus"]),
        (None, [*flats(), *USUAL, "--hdu", "9"], ["flat_01.fits", "9"]),
        (None, [*flats(), *USUAL, "--bias", "nothing.fits"], ["nothing.fits"]),
        (spoiled("dark_01.fits", np.ones((5, 7)), BUNIT="adu"),
         [*flats(), *USUAL, "--dark", "dark_01.fits"], ["dark_01.fits", "(5, 7)"]),
        (None, [*flats(), *USUAL, "--gain", "1"], ["read_noise"]),
        (None, [*flats(), *USUAL, "--gain", "0", "--read-noise", "4"], ["gain", "0"]),
        (None, [*flats(), *USUAL, "--gain", "high", "--read-noise", "4"],
         ["gain", "'high'", "flat_01.fits"]),
        (None, [*flats(), *USUAL, "--trim", "[1:300,1:128]"], ["trim", "flat_01.fits", "[1:300"]),
        (None, [*flats(), *USUAL, "--oscan", "1:30"], ["oscan", "flat_01.fits", "'1:30'"]),
        (spoiled("dark_01.fits", np.ones((128, 160)), BUNIT="adu", TRIMSEC="[1:99,1:99]"),
         [*flats(), *USUAL, "--dark", "dark_01.fits"], ["dark_01.fits", "TRIMSEC", "[1:99,1:99]"]),
        (None, [*flats(), *USUAL, "--gain", "nan", "--read-noise", "4"], ["gain", "nan"]),
        (None, [*flats(), *USUAL, "--window", "-1"], ["window", "-1"]),
        (None, [*flats(), "--orders", "nothing.ecsv", "-o", "master.fits"], ["nothing.ecsv"]),
        (text("bad.ecsv", "# %ECSV 1.0\n"), [*flats(), "--orders", "bad.ecsv", "-o", "master.fits"],
         ["bad.ecsv"]),
        (text("bad.txt", "1 2 3\n1 2\n"), [*flats(), "--orders", "bad.txt", "-o", "master.fits"],
         ["bad.txt", "line 2"]),
        (None, [*flats(), "--orders", "dark_01.fits", "-o", "master.fits"], ["dark_01.fits"]),
        (None, [*flats(), *USUAL, "--saturation", "-1"], ["saturation", "-1"]),
        (None, [*flats(), *USUAL, "--limits", "nothing.yaml"], ["nothing.yaml"]),
        (text("limits.yaml", "levelspread: [0, 1]"), [*flats(), *USUAL, "--limits", "limits.yaml"],
         ["'levelspread'", "'level_spread'", "limits.yaml"]),
        (None, [*flats(), *USUAL, "--dispersion-axis", "0"], ["orders.ecsv", "dispersion_axis"]),
        (order_table("other.ecsv", shape=(300, 160)),
         [*flats(), "--orders", "other.ecsv", "-o", "master.fits"],
         ["other.ecsv", "(300, 160)", "(128, 160)"]),
        (text("master.fits", "old"), [*flats(), *USUAL], ["master.fits exists"]),
        (None, [*flats(), "--orders", "orders.ecsv", "-o", "nowhere/master.fits"], ["nowhere"]),
        (None, [*flats(), "--orders", "orders.ecsv", "-o", "."], ["folder"]),
        (text("master.png", "old"), [*flats(), *USUAL, "--plot", "master.png"], ["master.png"]),
        (None, [*flats(), *USUAL, "--plot", "master.xyz"], ["master.xyz", "png"]),
        (None, [*flats(), *USUAL, "--plot", "master"], ["--plot is master,"]),
        (None, [*flats(), "--orders", "orders.ecsv", "-o", "m.png", "--plot", "./m.png"],
         ["same file", "m.png"]),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(folder, capsys, prepare, arguments, culprits):
    if any("--plot" in word for word in arguments):
        pytest.importorskip("matplotlib")
    if prepare is not None:
        prepare()
    before = contents(folder)
    status = main(["flat", *arguments])
    output = capsys.readouterr()
    assert status == 1
    assert output.out == ""
    assert re.fullmatch(r"ccdproc-echelle: error: [^\n]+\n", output.err)
    assert "Traceback" not in output.err
    for culprit in culprits:
        assert culprit in output.err
    assert contents(folder) == before


MISFITS = [
    (np.ones((5, 7)), "adu", ["(5, 7)", "(128, 160)"]),
    (ZERO, "electron", ["electron", "adu"]),
    (ZERO, "adu", ["level"]),
    (ZERO * np.nan, "adu", []),
]


@pytest.mark.filterwarnings("always::astropy.utils.exceptions.AstropyUserWarning")
@pytest.mark.parametrize(("data", "unit", "culprits"), MISFITS)
@pytest.mark.parametrize("reject", ["warn", "error"])
def test_frame_that_cannot_be_used_is_named(folder, capsys, data, unit, culprits, reject):
    spoiled("flat_02.fits", data, BUNIT=unit)()
    before = contents(folder)
    assert main(["flat", *flats(), *USUAL, "--reject", reject]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    *warned, error = output.err.splitlines()
    assert all(re.match("ccdproc-echelle: warning: flat_02.fits", line) for line in warned)
    assert reject == "warn" or not warned
    assert error.startswith("ccdproc-echelle: error: ")
    for culprit in ["flat_02.fits", *culprits]:
        assert culprit in error
    assert contents(folder) == before


@pytest.mark.filterwarnings("always::astropy.utils.exceptions.AstropyUserWarning")
@pytest.mark.parametrize(("data", "unit", "culprits"), MISFITS)
def test_frame_that_cannot_be_used_is_dropped(folder, capsys, data, unit, culprits):
    spoiled("flat_02.fits", data, BUNIT=unit)()
    assert main(["flat", *flats(), *USUAL, "--reject", "drop"]) == 0
    output = capsys.readouterr()
    assert re.search("warning: flat_02.fits .*", output.err)
    found = re.findall(r"^  (flat_0\d\.fits)  ", output.out, re.M)
    assert found == ["flat_01.fits", "flat_03.fits"]
    vetting = MasterFlat.read("master.fits").vetting
    assert len(vetting) == 3 and vetting["used"].sum() == 2


def interrupted(*args, **kwargs):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("where", "arguments"),
    [
        ("ccdproc_echelle.cli.flat.make_master_flat", ["flat", *flats(), *USUAL]),
        ("ccdproc_echelle.cli.trace.trace_orders", ["trace", "flat_01.fits", "-o", "traced.ecsv"]),
        ("ccdproc_echelle.cli.edges.detect_order_edges",
         ["edges", "flat_01.fits", "--orders", "orders.ecsv", "-o", "edges.ecsv"]),
        ("ccdproc_echelle.cli.options.EchelleOrderTable.read",
         ["convert", "orders.ecsv", "-o", "orders.reg", "--to", "ds9"]),
        ("ccdproc_echelle.cli.inspect.MasterFlat.read", ["inspect", "master.fits"]),
        ("ccdproc_echelle.cli.demo.EchelleSimulation.write", ["demo", "--folder", "."]),
    ],
)
def test_interrupt_says_so_and_leaves_nothing(folder, capsys, monkeypatch, where, arguments):
    monkeypatch.setattr(where, interrupted)
    before = contents(folder)
    assert main(arguments) == 130
    assert capsys.readouterr().err == "ccdproc-echelle: interrupted\n"
    assert contents(folder) == before


@pytest.mark.parametrize("plot", [[], ["--plot", "master.png"]])
def test_interrupt_while_writing_leaves_nothing(folder, capsys, monkeypatch, plot):
    def half(self, path, **kwargs):
        Path(path).write_text("half a file")
        raise KeyboardInterrupt

    if plot:
        pytest.importorskip("matplotlib")
    monkeypatch.setattr(fits.HDUList, "writeto", half)
    before = contents(folder)
    assert main(["flat", *flats(), "--dark", "dark_01.fits", *USUAL, *plot]) == 130
    assert capsys.readouterr().err == "ccdproc-echelle: interrupted\n"
    assert contents(folder) == before


def test_error_of_several_lines_is_joined(folder, capsys, monkeypatch):
    def fail(*args, **kwargs):
        raise ValueError("first\n  second")

    monkeypatch.setattr("ccdproc_echelle.cli.flat.make_master_flat", fail)
    assert main(["flat", *flats(), *USUAL]) == 1
    assert capsys.readouterr().err == "ccdproc-echelle: error: first second\n"


def test_mistake_in_the_program_is_not_hidden(folder, monkeypatch):
    def fail(*args, **kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr("ccdproc_echelle.cli.flat.make_master_flat", fail)
    with pytest.raises(ZeroDivisionError):
        main(["flat", *flats(), *USUAL])


def test_failing_figure_leaves_nothing(folder, capsys, monkeypatch):
    pytest.importorskip("matplotlib")

    def fail(self, path, **kwargs):
        Path(path).write_text("half a figure")
        raise OSError("disk full")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    before = contents(folder)
    assert main(["flat", *flats(), *USUAL, "--plot", "master.png"]) == 1
    assert "disk full" in capsys.readouterr().err
    assert contents(folder) == before


def test_failing_flat_leaves_nothing(folder, capsys, monkeypatch):
    pytest.importorskip("matplotlib")

    def fail(self, path, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(fits.HDUList, "writeto", fail)
    before = contents(folder)
    assert main(["flat", *flats(), *USUAL, "--plot", "master.png"]) == 1
    assert "disk full" in capsys.readouterr().err
    assert contents(folder) == before


def test_plot_without_matplotlib(folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    before = contents(folder)
    assert main(["flat", *flats(), *USUAL, "--plot", "master.png"]) == 1
    error = capsys.readouterr().err
    assert "--plot needs matplotlib" in error and "ccdproc_echelle[plot]" in error
    assert contents(folder) == before


def test_flat_does_not_need_matplotlib(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["flat", *flats(), *USUAL]) == 0


# ---------------------------------------------------------------------- warnings


@pytest.mark.filterwarnings("always::astropy.utils.exceptions.AstropyUserWarning")
def test_warning_is_one_line(folder, capsys):
    assert main(["flat", "flat_01.fits", "--dark", "dark_01.fits", *USUAL]) == 0
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.match("ccdproc-echelle: warning: flat_01.fits is the only frame", error)


def test_showing_of_warnings_is_left_as_it_was(folder, capsys):
    shown = warnings.showwarning
    assert main(["flat", "nothing.fits", *USUAL]) == 1
    assert warnings.showwarning is shown
    assert main(["flat", *flats(), *USUAL]) == 0
    assert warnings.showwarning is shown


# ---------------------------------------------------------------------- order tables


def test_trace(folder, capsys):
    assert main(["trace", "flat_01.fits", "-o", "traced.ecsv", "--first-order", "11"]) == 0
    assert capsys.readouterr() == (
        "3 orders (11 to 13), dispersion axis 1, no edges\nwrote traced.ecsv\n", ""
    )
    traced = EchelleOrderTable.read("traced.ecsv")
    assert traced.order_numbers.tolist() == [11, 12, 13]
    np.testing.assert_allclose(traced.center(), ORDERS.center(), atol=0.3)


def test_trace_along_columns_in_another_format(folder):
    flat = CCDData.read("flat_01.fits")
    CCDData(flat.data.T, unit="adu").write("turned.fits")
    assert main(["trace", "turned.fits", "--dispersion-axis", "0", "--format", "iraf",
                 "-o", "apturned"]) == 0
    traced = EchelleOrderTable.read("apturned", shape=(160, 128))
    assert traced.dispersion_axis == 0
    np.testing.assert_allclose(traced.center(), ORDERS.center(), atol=0.3)


def test_edges(folder, capsys):
    main(["flat", *flats(), "--dark", "dark_01.fits", *USUAL])
    capsys.readouterr()
    assert main(["edges", "master.fits", "--orders", "orders.ecsv", "-o", "edges.ecsv"]) == 0
    assert "3 orders (11 to 13), dispersion axis 1, with edges\n" in capsys.readouterr().out
    expected = detect_order_edges(
        MasterFlat.read("master.fits").flat, EchelleOrderTable.read("orders.ecsv")
    )
    found = EchelleOrderTable.read("edges.ecsv")
    np.testing.assert_allclose(found.upper(), expected.upper(), atol=1e-9)


def test_edges_at_another_threshold(folder):
    dark = CCDData.read("dark_01.fits").data.astype(float)
    flat = CCDData.read("flat_01.fits").data - dark
    CCDData(flat, unit="adu").write("flat.fits")
    usual = ["edges", "flat.fits", "--orders", "orders.ecsv"]
    assert main([*usual, "-o", "half.ecsv"]) == 0
    assert main([*usual, "--threshold", "0.2", "-o", "fifth.ecsv"]) == 0
    half, fifth = EchelleOrderTable.read("half.ecsv"), EchelleOrderTable.read("fifth.ecsv")
    assert np.mean(fifth.upper() - half.upper()) > 0.1
    assert np.mean(fifth.lower() - half.lower()) < -0.1


@pytest.mark.parametrize("name", ["ecsv", "soxspipe", "iraf", "samples"])
def test_convert_there_and_back(folder, name):
    assert main(["convert", "orders.ecsv", "--to", name, "-o", "other"]) == 0
    assert main(["convert", "other", "--from", name, "--shape", "128", "160",
                 "--dispersion-axis", "1", "-o", "back.ecsv"]) == 0
    back = EchelleOrderTable.read("back.ecsv")
    assert back.shape == (128, 160)
    np.testing.assert_allclose(back.center(), ORDERS.center(), atol=1e-3)


def test_convert_to_regions(folder, capsys):
    assert main(["convert", "orders.ecsv", "--to", "ds9", "-o", "orders.reg"]) == 0
    assert Path("orders.reg").read_text().startswith("# Region file")
    assert "wrote orders.reg" in capsys.readouterr().out


def test_convert_one_detector_of_two(folder):
    Path("kpf.csv").write_text(
        "Chip,Fiber,Order,Coeff0,Coeff1,BottomEdge,TopEdge,X1,X2\n"
        "GREEN,SCI1,1,20,0.1,3,3,0,90\nRED,SCI1,1,50,0.1,3,3,0,90\n"
    )
    assert main(["convert", "kpf.csv", "--detector", "RED", "-o", "red.ecsv"]) == 0
    np.testing.assert_allclose(EchelleOrderTable.read("red.ecsv").center([0.0]), [[50]])


@pytest.mark.parametrize(
    ("arguments", "culprits"),
    [
        (["trace", "nothing.fits", "-o", "out"], ["nothing.fits"]),
        (["trace", "zero.fits", "-o", "out"], ["order"]),
        (["trace", "flat_01.fits", "-o", "orders.ecsv"], ["orders.ecsv exists", "--overwrite"]),
        (["trace", "flat_01.fits", "-o", "no/out"], ["folder no does not exist"]),
        (["edges", "nothing.fits", "--orders", "orders.ecsv", "-o", "out"], ["nothing.fits"]),
        (["edges", "flat_01.fits", "--orders", "nothing.ecsv", "-o", "out"], ["nothing.ecsv"]),
        (["edges", "flat_01.fits", "--orders", "orders.ecsv", "-o", "orders.ecsv"],
         ["orders.ecsv exists"]),
        (["edges", "flat_01.fits", "--orders", "orders.ecsv", "-o", "out", "--threshold", "2"],
         ["threshold", "2"]),
        (["convert", "nothing.ecsv", "-o", "out"], ["nothing.ecsv"]),
        (["convert", "centres.txt", "-o", "out"], ["centres.txt", "dispersion_axis"]),
        (["convert", "centres.txt", "--from", "iraf", "-o", "out"], ["centres.txt", "'iraf'"]),
        (["convert", "orders.ecsv", "--shape", "9", "9", "-o", "out"], ["(128, 160)", "(9, 9)"]),
        (["convert", "orders.ecsv", "--detector", "RED", "-o", "out"], ["detector", "RED"]),
        (["convert", "orders.ecsv", "-o", "orders.ecsv"], ["orders.ecsv exists", "--overwrite"]),
        (["inspect", "nothing.fits"], ["nothing.fits"]),
        (["inspect", "flat_01.fits"], ["flat_01.fits", "FLAGS"]),
        (["inspect", "orders.ecsv"], ["orders.ecsv"]),
    ],
)
def test_other_bad_input_is_one_line_and_leaves_nothing(folder, capsys, arguments, culprits):
    fits.writeto("zero.fits", ZERO, fits.Header({"BUNIT": "adu"}))
    np.savetxt("centres.txt", ORDERS.center().T)
    before = contents(folder)
    assert main(arguments) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert re.fullmatch(r"ccdproc-echelle: error: [^\n]+\n", output.err)
    for culprit in culprits:
        assert culprit in output.err
    assert contents(folder) == before


# ---------------------------------------------------------------------- inspect


@pytest.fixture(scope="module")
def master_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("inspect") / "master.fits"
    make_master_flat(SIMULATION.flats(3), ORDERS, gain=1, read_noise=4).write(path)
    return path


def test_inspect_prints_the_quality(master_file, capsys):
    assert main(["inspect", str(master_file)]) == 0
    printed, error = capsys.readouterr()
    assert error == ""
    assert [line.split()[0] for line in printed.splitlines()] == list(METRICS)
    assert re.search(r"^frames_used +3 +frames combined$", printed, re.M)
    assert re.search(r"^inner_mean +1 +pass +mean of inner-order pixels$", printed, re.M)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ("frames_used: [5, null]", "frames_used is 3, expected at least 5"),
        ("frames_used: [null, 2]", "frames_used is 3, expected at most 2"),
        ("frames_used: [4, 5]", "frames_used is 3, expected 4 to 5"),
        ("frames_used: [4, 5]\ninner_mean: [2, null]",
         "frames_used is 3, expected 4 to 5; inner_mean is 1, expected at least 2"),
    ],
)
def test_inspect_names_the_limits_that_are_broken(master_file, tmp_path, capsys, limits, said):
    (tmp_path / "limits.yaml").write_text(limits)
    assert main(["inspect", str(master_file), "--limits", str(tmp_path / "limits.yaml")]) == 1
    printed, error = capsys.readouterr()
    assert error == f"ccdproc-echelle: error: {master_file}: {said}\n"
    assert re.search(r"^frames_used +3 +fail +frames combined$", printed, re.M)


@pytest.mark.parametrize(
    ("limits", "culprit"),
    [("levelspread: [0, 1]", "'level_spread'"), ("frames_used: 5", "frames_used"), (": [", "YAML")],
)
def test_inspect_with_limits_that_are_none(master_file, tmp_path, capsys, limits, culprit):
    (tmp_path / "limits.yaml").write_text(limits)
    assert main(["inspect", str(master_file), "--limits", str(tmp_path / "limits.yaml")]) == 1
    printed, error = capsys.readouterr()
    assert printed == "" and error.count("\n") == 1
    assert culprit in error and "limits.yaml" in error


# ---------------------------------------------------------------------- exit status of the process


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["flat", *flats(), "--dark", "dark_01.fits", *USUAL], 0),
        (["trace", "nothing.fits", "-o", "out"], 1),
        (["edges", "flat_01.fits", "-o", "out"], 2),
        (["convert", "orders.ecsv", "--to", "ds9", "-o", "orders.reg"], 0),
        (["inspect", "flat_01.fits"], 1),
        (["demo", "--folder", "no/such/folder"], 1),
    ],
)
def test_exit_status_of_the_process(folder, arguments, status):
    result = subprocess.run(
        [sys.executable, "-m", "ccdproc_echelle", *arguments],
        capture_output=True, text=True, env=ENVIRONMENT, check=False,
    )
    assert result.returncode == status
    assert "Traceback" not in result.stderr
    assert (result.stderr == "") == (status == 0)


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


# ---------------------------------------------------------------------- demo


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Folder and printed text of one run of the demo."""
    folder = tmp_path_factory.mktemp("demo") / "here"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main(["demo", "--folder", str(folder)]) == 0
    return folder, printed.getvalue()


def test_demo_writes_frames_orders_and_master(demo):
    folder, printed = demo
    names = {path.name for path in folder.iterdir()}
    expected = {f"flat_0{i}.fits" for i in range(1, 8)} | {f"dark_0{i}.fits" for i in range(1, 4)}
    assert names - {"master.png"} == expected | {"orders.ecsv", "master.fits"}
    assert f"wrote {folder / 'master.fits'}" in printed
    master = MasterFlat.read(folder / "master.fits")
    assert len(master.orders) == 12
    assert not EchelleOrderTable.read(folder / "orders.ecsv").has_edges
    assert CCDData.read(folder / "flat_01.fits").data.dtype.kind == "u"


def test_demo_levels_are_close_to_the_truth(demo):
    rows = re.findall(r"^ +(\d) +([\d.]+) +([\d.]+) +([+-][\d.]+)$", demo[1], re.M)
    found = np.array(rows, dtype=float)
    np.testing.assert_array_equal(found[:, 0], np.arange(1, 8))
    np.testing.assert_allclose(found[:, 1] - found[:, 2], found[:, 3], atol=2e-5)
    assert np.abs(found[:, 3]).max() < 1.5e-4
    np.testing.assert_allclose(found[:, 1:3].mean(axis=0), 1, atol=1e-5)
    assert np.ptp(found[:, 1]) > 0.3


def test_demo_edges_are_close_to_the_truth(demo):
    rows = re.findall(r"^ +(\d\d) +([+-][\d.]+) +([\d.]+) +([+-][\d.]+) +([\d.]+)$", demo[1], re.M)
    found = np.array(rows, dtype=float)
    assert len(found) == 12
    assert np.abs(found[:, [1, 3]]).max() < 0.04
    assert found[:, [2, 4]].max() < 0.08


def test_demo_finds_dead_pixels_and_right_uncertainties(demo):
    dead = re.search(r"dead pixels found: (\d+) of (\d+)", demo[1])
    assert int(dead[1]) >= 59 and int(dead[2]) == 60
    pulls = re.search(r"standard deviation ([\d.]+), largest ([\d.]+) of (\d+) pixels", demo[1])
    assert float(pulls[1]) == pytest.approx(1, abs=0.02)
    assert float(pulls[2]) < 6
    assert int(pulls[3]) > 1e5


def test_demo_draws_the_summary(demo):
    pytest.importorskip("matplotlib")
    assert (demo[0] / "master.png").read_bytes().startswith(b"\x89PNG")


def test_demo_without_matplotlib(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["demo", "--folder", str(tmp_path)]) == 0
    assert "no figure: matplotlib is not installed" in capsys.readouterr().out
    assert (tmp_path / "master.fits").exists()
    assert not (tmp_path / "master.png").exists()


def test_demo_does_not_overwrite(demo, capsys):
    folder, _ = demo
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert main(["demo", "--folder", str(folder)]) == 1
    assert "master.fits exists" in capsys.readouterr().err
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


@pytest.mark.parametrize("where", ["a_file", "no/such/folder"])
def test_demo_where_there_can_be_no_folder(tmp_path, monkeypatch, capsys, where):
    monkeypatch.chdir(tmp_path)
    Path("a_file").write_text("")
    assert main(["demo", "--folder", where]) == 1
    assert re.fullmatch(f"ccdproc-echelle: error: .*{where}.*\n", capsys.readouterr().err)
    assert [path.name for path in tmp_path.iterdir()] == ["a_file"]
