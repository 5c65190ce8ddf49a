# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``ccdproc-echelle flat``: what it prints and writes, and what it says of bad input."""

import inspect
import logging
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from ccdproc_echelle import EchelleOrderTable, FlatFlag, MasterFlat, make_master_flat
from ccdproc_echelle.cli import main
from ccdproc_echelle.light.flags import UNUSABLE
from ccdproc_echelle.simulation import EchelleSimulation
from helpers.command_line import (
    FLATS,
    ORDERS,
    QUICK,
    SIMULATION,
    USUAL,
    ZERO,
    assert_one_line_and_nothing_left,
    contents,
)


def without_bunit(path):
    with fits.open(path, mode="update") as hdus:
        del hdus[0].header["BUNIT"]


def test_flat(working_folder, capsys):
    status = main(["flat", *FLATS, "--dark", "dark_01.fits", "dark_02.fits",
                   "--orders", "orders.ecsv", "--gain", "1", "--read-noise", "4",
                   "-o", "master.fits"])
    output = capsys.readouterr()
    assert status == 0
    assert output.err == ""
    expected = make_master_flat(
        FLATS, EchelleOrderTable.read("orders.ecsv"), dark=["dark_01.fits", "dark_02.fits"],
        gain=1, read_noise=4,
    )
    master = MasterFlat.read("master.fits")
    np.testing.assert_array_equal(master.flat.data, expected.flat.data)
    np.testing.assert_array_equal(master.flat.uncertainty.array, expected.flat.uncertainty.array)
    np.testing.assert_array_equal(master.flags, expected.flags)
    assert "wrote master.fits" in output.out
    assert f"3 orders, {expected.flat.mask.sum()} pixels masked" in output.out


def test_flat_without_an_order_table(working_folder, capsys):
    assert main(["flat", *FLATS, "--dark", "dark_01.fits", "--scattered-light", "none",
                 "-o", "master.fits"]) == 0
    orders = MasterFlat.read("master.fits").orders
    assert orders.order_numbers.tolist() == [1, 2, 3]
    np.testing.assert_allclose(orders.center(), ORDERS.center(), atol=0.2)


def test_printed_levels_are_relative_to_their_mean(working_folder, capsys):
    assert main(["flat", *FLATS, "--dark", "dark_01.fits", *QUICK]) == 0
    found = re.findall(r"^  (flat_0\d\.fits)  ([\d.]+) \+- [\d.]+$", capsys.readouterr().out, re.M)
    assert [name for name, _ in found] == FLATS
    truth = SIMULATION.truth.levels(3)
    np.testing.assert_allclose(
        [float(level) for _, level in found], truth / truth.mean(), atol=2e-3
    )


@pytest.fixture
def empty_figure(monkeypatch):
    """What is in the figure does not matter, but it is written."""
    figure = pytest.importorskip("matplotlib.figure").Figure()
    monkeypatch.setattr(MasterFlat, "plot", lambda self: figure)


def test_flat_with_all_options(working_folder, capsys, empty_figure):
    ORDERS.write("soxspipe.fits", format="soxspipe")
    for path in working_folder.glob("*_0?.fits"):
        without_bunit(path)
    Path("master.fits").write_text("old")
    Path("summary.pdf").write_text("old")
    status = main(["flat", *FLATS, "--orders", "soxspipe.fits", "--orders-format", "soxspipe",
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
        FLATS, EchelleOrderTable.read("soxspipe.fits"), window=6, unit="adu",
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
        (["--passes", "3"], {"n_passes": 3}),
        (["--sigma-clip", "3", "4.5"],
         {"sigma_clip": True, "sigma_clip_low_thresh": 3, "sigma_clip_high_thresh": 4.5}),
        (["--no-sigma-clip"], {"sigma_clip": False}),
        (["--edge", "profile=fibre", "--edge", "threshold=[0.4, 0.6]"],
         {"edge_keywords": {"profile": "fibre", "threshold": [0.4, 0.6]}}),
        (["--sensitivity", "low=0.7"], {"sensitivity_keywords": {"low": 0.7}}),
        (["--mask-interorder"], {"mask_flags": UNUSABLE | FlatFlag.INTERORDER}),
        ([], {}),
    ],
)
def test_options_of_flat_are_those_of_the_recipe(working_folder, monkeypatch, arguments, keywords):
    """What one option sets, beside what is set without any."""
    given = {}

    def record(img_list, orders, **keywords):
        given.update(keywords)
        raise ValueError("enough")

    Path("limits.yaml").write_text("frames_used: [5, null]")
    monkeypatch.setattr("ccdproc_echelle.cli.flat.make_master_flat", record)
    assert main(["flat", *FLATS, *USUAL]) == 1
    usual = dict(given)
    assert main(["flat", *FLATS, *USUAL, *arguments]) == 1
    keywords = keywords | ({"limits": "limits.yaml"} if "limits" in keywords else {})
    assert given == usual | keywords
    defaults = inspect.signature(make_master_flat).parameters
    assert all(
        value == defaults[name].default for name, value in usual.items() if name in defaults
    )


@pytest.mark.parametrize("shape", [(128, 160), (128, 192)])
def test_flat_of_raw_frames_with_overscan(working_folder, shape):
    """The order table is that of the light, or of the whole frame."""
    SIMULATION.write(working_folder, 3, 2, layout="overscan", overwrite=True)
    centers = np.pad(
        ORDERS.center(), ((0, 0), (0, shape[1] - 160)), mode="reflect", reflect_type="odd"
    )
    EchelleOrderTable.from_traces(
        ORDERS.order_numbers, centers, shape=shape, dispersion_axis=1
    ).write("orders.ecsv", overwrite=True)
    assert main(["flat", *FLATS, *QUICK, "--gain", "GAIN", "--read-noise", "RDNOISE"]) == 0
    master = MasterFlat.read("master.fits")
    assert master.flat.shape == (128, 160)
    np.testing.assert_allclose(master.orders.center(), ORDERS.center(), atol=0.3)


def test_amplifiers_by_name(working_folder, capsys):
    SIMULATION.write(working_folder, 3, 2, layout="mef", overwrite=True)
    assert main(["flat", *FLATS, *QUICK, "--hdu", "AMP1,2"]) == 0
    assert MasterFlat.read("master.fits").flat.header["AMPLIFS"] == 2
    assert main(["flat", *FLATS, *QUICK, "--overwrite", "--hdu", "AMP1"]) == 1
    error = capsys.readouterr().err
    assert all(shape in error for shape in ("(128, 160)", "(128, 112)", "(128, 80)"))


def test_flat_tells_of_limits_that_are_broken(working_folder, capsys):
    Path("limits.yaml").write_text("frames_used: [5, null]")
    assert main(["flat", *FLATS, "--dark", "dark_01.fits", *QUICK,
                 "--limits", "limits.yaml"]) == 0
    assert "beyond its limits: frames_used is 3, expected at least 5\n" in capsys.readouterr().out
    quality = MasterFlat.read("master.fits").quality
    assert quality["verdict"][quality["name"] == "frames_used"] == ["fail"]


def test_verbose_tells_the_steps(working_folder, capsys):
    logger = logging.getLogger("ccdproc_echelle")
    before = logger.level, list(logger.handlers)
    assert main(["flat", *FLATS, "--dark", "dark_01.fits", *QUICK, "--verbose"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert "ccdproc-echelle: 3 orders" in lines
    assert all(line.startswith(("ccdproc-echelle: ", " ")) for line in lines)
    assert (logger.level, logger.handlers) == before


def test_flats_in_another_hdu(working_folder):
    for name in (*FLATS, "dark_01.fits", "dark_02.fits"):
        data, header = fits.getdata(name), fits.getheader(name)
        fits.HDUList(
            [fits.PrimaryHDU(), fits.ImageHDU(np.zeros((2, 2))), fits.ImageHDU(data, header)]
        ).writeto(name, overwrite=True)
    assert main(["flat", *FLATS, *QUICK, "--hdu", "2"]) == 0
    assert MasterFlat.read("master.fits").flat.shape == SIMULATION.shape


def test_png(working_folder):
    pytest.importorskip("matplotlib")
    assert main(["flat", *FLATS, *QUICK, "--plot", "master.png"]) == 0
    assert Path("master.png").read_bytes().startswith(b"\x89PNG")


def test_order_table_that_knows_neither_shape_nor_axis(working_folder):
    np.savetxt("centres.txt", np.rint(ORDERS.center()).T, fmt="%d")
    assert main(["flat", *FLATS, "--dark", "dark_01.fits", "--orders", "centres.txt",
                 "--scattered-light", "none", "-o", "master.fits"]) == 0
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


@pytest.mark.parametrize(
    ("prepare", "arguments", "culprits"),
    [
        (None, ["nothing.fits", *USUAL], ["nothing.fits"]),
        (None, ["flat_01.fits", "nothing.fits", *USUAL], ["nothing.fits"]),
        (text("flat_02.fits", "hello"), [*FLATS, *USUAL], ["flat_02.fits"]),
        (truncated("flat_03.fits"), [*FLATS, *USUAL], ["flat_03.fits"]),
        (spoiled("flat_01.fits", ZERO, BUNIT="blurbs"), [*FLATS, *USUAL],
         ["flat_01.fits", "BUNIT", "give --unit"]),
        (None, [*FLATS, *USUAL, "--unit", "bogus"], ["bogus"]),
        (None, [*FLATS, *USUAL, "--hdu", "9"], ["flat_01.fits", "9"]),
        (None, [*FLATS, *USUAL, "--bias", "nothing.fits"], ["nothing.fits"]),
        (spoiled("dark_01.fits", np.ones((5, 7)), BUNIT="adu"),
         [*FLATS, *USUAL, "--dark", "dark_01.fits"], ["dark_01.fits", "(5, 7)"]),
        (None, [*FLATS, *USUAL, "--gain", "1"], ["read_noise"]),
        (None, [*FLATS, *USUAL, "--gain", "0", "--read-noise", "4"], ["gain", "0"]),
        (None, [*FLATS, *USUAL, "--gain", "nan", "--read-noise", "4"], ["gain", "nan"]),
        (None, [*FLATS, *USUAL, "--gain", "high", "--read-noise", "4"],
         ["gain", "'high'", "flat_01.fits"]),
        (None, [*FLATS, *USUAL, "--trim", "[1:300,1:128]"], ["trim", "flat_01.fits", "[1:300"]),
        (None, [*FLATS, *USUAL, "--oscan", "1:30"], ["oscan", "flat_01.fits", "'1:30'"]),
        (spoiled("dark_01.fits", np.ones((128, 160)), BUNIT="adu", TRIMSEC="[1:99,1:99]"),
         [*FLATS, *USUAL, "--dark", "dark_01.fits"], ["dark_01.fits", "TRIMSEC", "[1:99,1:99]"]),
        (None, [*FLATS, *USUAL, "--window", "-1"], ["window", "-1"]),
        (None, [*FLATS, "--orders", "nothing.ecsv", "-o", "master.fits"], ["nothing.ecsv"]),
        (text("bad.ecsv", "# %ECSV 1.0\n"), [*FLATS, "--orders", "bad.ecsv", "-o", "master.fits"],
         ["bad.ecsv"]),
        (text("bad.txt", "1 2 3\n1 2\n"), [*FLATS, "--orders", "bad.txt", "-o", "master.fits"],
         ["bad.txt", "line 2"]),
        (None, [*FLATS, "--orders", "dark_01.fits", "-o", "master.fits"], ["dark_01.fits"]),
        (None, [*FLATS, *USUAL, "--saturation", "-1"], ["saturation", "-1"]),
        (None, [*FLATS, *USUAL, "--limits", "nothing.yaml"], ["nothing.yaml"]),
        (text("limits.yaml", "levelspread: [0, 1]"), [*FLATS, *USUAL, "--limits", "limits.yaml"],
         ["'levelspread'", "'level_spread'", "limits.yaml"]),
        (None, [*FLATS, *USUAL, "--dispersion-axis", "0"], ["orders.ecsv", "dispersion_axis"]),
        (order_table("other.ecsv", shape=(300, 160)),
         [*FLATS, "--orders", "other.ecsv", "-o", "master.fits"],
         ["other.ecsv", "(300, 160)", "(128, 160)"]),
        (text("master.fits", "old"), [*FLATS, *USUAL], ["master.fits already exists"]),
        (None, [*FLATS, "--orders", "orders.ecsv", "-o", "nowhere/master.fits"], ["nowhere"]),
        (None, [*FLATS, "--orders", "orders.ecsv", "-o", "."], ["folder"]),
        (text("master.png", "old"), [*FLATS, *USUAL, "--plot", "master.png"], ["master.png"]),
        (None, [*FLATS, *USUAL, "--plot", "master.xyz"], ["master.xyz", "png"]),
        (None, [*FLATS, *USUAL, "--plot", "master"], ["--plot is master,"]),
        (None, [*FLATS, "--orders", "orders.ecsv", "-o", "m.png", "--plot", "./m.png"],
         ["--output is m.png", "a master flat is a FITS file"]),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    working_folder, capsys, prepare, arguments, culprits
):
    if any("--plot" in word for word in arguments):
        pytest.importorskip("matplotlib")
    if prepare is not None:
        prepare()
    assert_one_line_and_nothing_left(capsys, working_folder, ["flat", *arguments], culprits)


MISFITS = [
    (np.ones((5, 7)), "adu", ["(5, 7)", "(128, 160)"]),
    (ZERO, "electron", ["electron", "adu"]),
    (ZERO, "adu", ["level"]),
    (ZERO * np.nan, "adu", []),
]


@pytest.mark.filterwarnings("always::astropy.utils.exceptions.AstropyUserWarning")
@pytest.mark.parametrize(("data", "unit", "culprits"), MISFITS)
@pytest.mark.parametrize("reject", ["warn", "error"])
def test_frame_that_cannot_be_used_is_named(working_folder, capsys, data, unit, culprits, reject):
    spoiled("flat_02.fits", data, BUNIT=unit, EXPTIME=fits.getval("flat_01.fits", "EXPTIME"))()
    before = contents(working_folder)
    assert main(["flat", *FLATS, *QUICK, "--reject", reject]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    *warned, error = output.err.splitlines()
    assert all(re.match("ccdproc-echelle: warning: flat_02.fits", line) for line in warned)
    assert reject == "warn" or not warned
    assert error.startswith("ccdproc-echelle: error: ")
    for culprit in ["flat_02.fits", *culprits]:
        assert culprit in error
    assert contents(working_folder) == before


@pytest.mark.filterwarnings("always::astropy.utils.exceptions.AstropyUserWarning")
@pytest.mark.parametrize(("data", "unit", "culprits"), MISFITS)
def test_frame_that_cannot_be_used_is_dropped(working_folder, capsys, data, unit, culprits):
    spoiled("flat_02.fits", data, BUNIT=unit)()
    assert main(["flat", *FLATS, *QUICK, "--reject", "drop"]) == 0
    output = capsys.readouterr()
    assert re.search("warning: flat_02.fits .*", output.err)
    found = re.findall(r"^  (flat_0\d\.fits)  ", output.out, re.M)
    assert found == ["flat_01.fits", "flat_03.fits"]
    vetting = MasterFlat.read("master.fits").vetting
    assert len(vetting) == 3 and vetting["used"].sum() == 2


@pytest.fixture
def quick_figure(monkeypatch):
    """What is in the figure does not matter."""
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(
        "matplotlib.figure.Figure.savefig", lambda self, path, **kwargs: Path(path).touch()
    )


@pytest.mark.parametrize("plot", [[], ["--plot", "master.png"]])
def test_interrupt_while_writing_leaves_nothing(
    working_folder, capsys, monkeypatch, quick_figure, plot
):
    def half(self, path, **kwargs):
        Path(path).write_text("half a file")
        raise KeyboardInterrupt

    monkeypatch.setattr(fits.HDUList, "writeto", half)
    before = contents(working_folder)
    assert main(["flat", *FLATS, "--dark", "dark_01.fits", *QUICK, *plot]) == 130
    assert capsys.readouterr().err == "ccdproc-echelle: interrupted\n"
    assert contents(working_folder) == before


@pytest.mark.parametrize("error", [OSError("disk full"), IndexError("no such colour")])
def test_failing_figure_does_not_cost_the_flat(
    working_folder, capsys, monkeypatch, empty_figure, error
):
    def fail(self, path, **kwargs):
        Path(path).write_text("half a figure")
        raise error

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    before = contents(working_folder)
    assert main(["flat", *FLATS, *QUICK, "--plot", "master.png"]) == 1
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert said.err.startswith("ccdproc-echelle: warning: the figure master.png was not written: ")
    assert str(error) in said.err
    assert said.out.count("wrote ") == 1
    written = Path(QUICK[QUICK.index("-o") + 1])
    assert set(contents(working_folder)) - set(before) == {str(written)}
    assert isinstance(MasterFlat.read(written), MasterFlat)


def test_failing_flat_leaves_nothing(working_folder, capsys, monkeypatch, quick_figure):
    def fail(self, path, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(fits.HDUList, "writeto", fail)
    before = contents(working_folder)
    assert main(["flat", *FLATS, *QUICK, "--plot", "master.png"]) == 1
    assert "disk full" in capsys.readouterr().err
    assert contents(working_folder) == before


def test_plot_without_matplotlib(working_folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    before = contents(working_folder)
    assert main(["flat", *FLATS, *QUICK, "--plot", "master.png"]) == 1
    error = capsys.readouterr().err
    assert "--plot needs matplotlib" in error and "ccdproc_echelle[plot]" in error
    assert contents(working_folder) == before


def test_flat_does_not_need_matplotlib(working_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["flat", *FLATS, *QUICK]) == 0


def test_flat_with_a_bad_pixel_mask(working_folder):
    bad = ZERO.astype("u1")
    bad[40:50, 60:64] = 1
    fits.writeto("bpm.fits", bad)
    assert main(["flat", *FLATS, "--dark", "dark_01.fits", "dark_02.fits", *QUICK,
                 "--bad-pixel-mask", "bpm.fits"]) == 0
    known = MasterFlat.read("master.fits").flags & int(FlatFlag.KNOWN_BAD) != 0
    np.testing.assert_array_equal(known, bad != 0)


def test_a_bad_pixel_mask_is_never_overwritten(working_folder, capsys):
    fits.writeto("bpm.fits", ZERO)
    before = contents(working_folder)
    status = main(["flat", *FLATS, "--orders", "orders.ecsv", "-o", "bpm.fits", "--overwrite",
                   "--bad-pixel-mask", "bpm.fits"])
    assert status != 0
    assert "it is the input bpm.fits" in capsys.readouterr().err
    assert contents(working_folder) == before


def test_flat_tells_the_files_it_was_made_of(working_folder):
    assert main(["flat", *FLATS, "--dark", "dark_01.fits", "dark_02.fits", *QUICK]) == 0
    inputs = MasterFlat.read("master.fits").provenance.inputs
    assert list(inputs["file"]) == [*FLATS, "dark_01.fits", "dark_02.fits", "orders.ecsv"]
    assert list(inputs["role"]) == ["flat"] * 3 + ["dark"] * 2 + ["orders"]


def test_a_master_among_the_raw_flats(working_folder, capsys):
    assert main(["flat", *FLATS, "--dark", "dark_01.fits", "dark_02.fits", *QUICK]) == 0
    capsys.readouterr()
    assert_one_line_and_nothing_left(
        capsys, working_folder,
        ["flat", *FLATS, "master.fits", "--orders", "orders.ecsv", "-o", "again.fits"],
        ["master.fits is a master flat"],
    )


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        (["flat_*.fits", "-o", "flat_02.fits"], "flat_02.fits"),
        ([*FLATS, "--dark", "dark_*.fits", "-o", "dark_02.fits"], "dark_02.fits"),
        ([*FLATS, "--instrument", "here.toml", "-o", "bad.fits"], "bad.fits"),
        ([*FLATS, "--config", "flats.toml", "-o", "dark_01.fits"], "dark_01.fits"),
    ],
)
def test_files_behind_patterns_and_settings_are_not_overwritten(
    working_folder, capsys, monkeypatch, arguments, culprit
):
    """Before any work: patterns that the shell has left, and what files of settings name."""
    monkeypatch.setattr("ccdproc_echelle.cli.flat.make_master_flat", None)
    Path("bad.fits").write_bytes(Path("dark_01.fits").read_bytes())
    Path("here.toml").write_text("bad_pixel_mask = 'bad.fits'")
    Path("flats.toml").write_text("dark = 'dark_*.fits'")
    arguments = ["flat", *arguments, "--overwrite"]
    assert_one_line_and_nothing_left(
        capsys, working_folder, arguments, [f"cannot write {culprit}: it is the input"]
    )


@pytest.mark.filterwarnings("default")
def test_messages_and_warnings_name_options(working_folder, capsys):
    """And not keywords of functions."""
    (flat,), *_ = SIMULATION.write(working_folder, 1, layout="overscan", overwrite=True)
    fits.setval(flat, "TRIMSEC", value="[1:400,1:128]")
    assert main(["flat", str(flat), "-o", "master.fits", "--hdu", "SCI"]) == 1
    main(["trace", str(flat), "-o", "found.ecsv"])
    said = capsys.readouterr().err
    assert "--trim and --oscan" in said and "trim=" not in said


def test_to_clip_and_not_to_clip_is_wrong_usage(working_folder, capsys):
    with pytest.raises(SystemExit):
        main(["flat", *FLATS, *USUAL, "--no-sigma-clip", "--sigma-clip", "3", "3"])
    assert "not allowed with" in capsys.readouterr().err


@pytest.mark.filterwarnings("always")
def test_a_warning_is_shown_once(working_folder, capsys):
    """Although frames are calibrated again with the noise that is measured on them."""
    given = ["--bias", "bias_01.fits", "--exposure-key", "NONE", "--quiet"]
    assert main(["flat", *FLATS, *QUICK, *given]) == 0
    said = capsys.readouterr().err
    assert said.count("no positive number in the header under NONE") == 1


def test_a_unit_that_is_none(working_folder, capsys):
    arguments = ["flat", *FLATS, *USUAL, "--unit", "furlongs"]
    assert_one_line_and_nothing_left(
        capsys, working_folder, arguments,
        ["unit is 'furlongs' for flat_01.fits, which is not a unit"],
    )
