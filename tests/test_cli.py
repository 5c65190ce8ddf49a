# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The command line: what it prints, what it writes, and its exit status."""

import contextlib
import io
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData

import ccdproc_echelle
from ccdproc_echelle import EchelleOrderTable, FlatFlag, MasterFlat, make_master_flat
from ccdproc_echelle.cli import main
from ccdproc_echelle.simulation import EchelleSimulation

ROOT = Path(ccdproc_echelle.__file__).parents[1]

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
        capture_output=True, text=True, cwd=ROOT, check=False,
    )
    assert result.returncode == 0
    assert result.stdout.startswith("usage: ccdproc-echelle")
    assert "flat" in result.stdout and "demo" in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize("command", [[], ["flat"], ["demo"]])
def test_help(capsys, command):
    with pytest.raises(SystemExit) as stop:
        main([*command, "--help"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith(" ".join(["usage: ccdproc-echelle", *command]))


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
        (["flat", "a.fits", "--orders", "o", "-o", "m", "--gain", "high"], "'high'"),
        (["flat", "a.fits", "--orders", "o", "-o", "m", "--dispersion-axis", "2"], "2"),
        (["flat", "a.fits", "--orders", "o", "-o", "m", "--colour"], "--colour"),
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
        (spoiled("flat_02.fits", np.ones((5, 7)), BUNIT="adu"), [*flats(), *USUAL],
         ["flat_02.fits", "(5, 7)", "(128, 160)"]),
        (spoiled("flat_02.fits", ZERO, BUNIT="electron"), [*flats(), *USUAL],
         ["flat_02.fits", "electron", "adu"]),
        (spoiled("flat_02.fits", ZERO, BUNIT="adu"), [*flats(), *USUAL],
         ["flat_02.fits", "level", "0"]),
        (spoiled("flat_02.fits", ZERO * np.nan, BUNIT="adu"), [*flats(), *USUAL], ["flat_02.fits"]),
        (spoiled("flat_01.fits", ZERO), [*flats(), *USUAL], ["flat_01.fits", "BUNIT"]),
        (None, [*flats(), *USUAL, "--unit", "bogus"], ["bogus"]),
        (None, [*flats(), *USUAL, "--hdu", "9"], ["flat_01.fits", "9"]),
        (None, [*flats(), *USUAL, "--bias", "nothing.fits"], ["nothing.fits"]),
        (spoiled("dark_01.fits", np.ones((5, 7)), BUNIT="adu"),
         [*flats(), *USUAL, "--dark", "dark_01.fits"], ["dark_01.fits", "(5, 7)"]),
        (None, [*flats(), *USUAL, "--gain", "1"], ["read_noise"]),
        (None, [*flats(), *USUAL, "--gain", "0", "--read-noise", "4"], ["gain", "0"]),
        (None, [*flats(), *USUAL, "--gain", "nan", "--read-noise", "4"], ["gain", "nan"]),
        (None, [*flats(), *USUAL, "--window", "-1"], ["window", "-1"]),
        (None, [*flats(), "--orders", "nothing.ecsv", "-o", "master.fits"], ["nothing.ecsv"]),
        (text("bad.ecsv", "# %ECSV 1.0\n"), [*flats(), "--orders", "bad.ecsv", "-o", "master.fits"],
         ["bad.ecsv"]),
        (text("bad.txt", "1 2 3\n1 2\n"), [*flats(), "--orders", "bad.txt", "-o", "master.fits"],
         ["bad.txt", "line 2"]),
        (None, [*flats(), "--orders", "dark_01.fits", "-o", "master.fits"], ["dark_01.fits"]),
        (None, [*flats(), *USUAL, "--orders-format", "soxpipe"], ["soxpipe", "'soxspipe'"]),
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


def test_error_of_several_lines_is_joined(folder, capsys, monkeypatch):
    def fail(*args, **kwargs):
        raise ValueError("first\n  second")

    monkeypatch.setattr("ccdproc_echelle.cli.make_master_flat", fail)
    assert main(["flat", *flats(), *USUAL]) == 1
    assert capsys.readouterr().err == "ccdproc-echelle: error: first second\n"


def test_mistake_in_the_program_is_not_hidden(folder, monkeypatch):
    def fail(*args, **kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr("ccdproc_echelle.cli.make_master_flat", fail)
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
