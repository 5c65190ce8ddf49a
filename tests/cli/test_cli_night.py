# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``ccdproc-echelle night``: the plan, the exit status, and what is said of what goes wrong."""

import shutil
from argparse import Namespace

import numpy as np
import pytest
from astropy.io import fits

from ccdproc_echelle.cli import main
from ccdproc_echelle.cli.messages import print_message
from ccdproc_echelle.recipe import CONFIG_EXAMPLE
from ccdproc_echelle.simulation import EchelleSimulation

SIMULATION = EchelleSimulation(
    shape=(160, 128), n_orders=3, order_width=24, smallest_gap=10, seed=5
).with_bias(300)
CONFIG = 'scattered_light = "none"\nwindow = 6\n'


@pytest.fixture(scope="module")
def a_night(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a_night")
    SIMULATION.write(folder, 3, 0, 2)
    (folder.parent / "quick.toml").write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ccdproc_echelle.recipe.night.work._draw", lambda *ignored: None)
        patch.chdir(folder.parent)
        assert main(["night", str(folder), "-o", "reduced", "--config", "quick.toml"]) == 0
        yield folder


@pytest.fixture
def here(a_night, tmp_path, monkeypatch):
    """The working directory, with the raw night, its products, and a configuration."""
    shutil.copytree(a_night, tmp_path / "raw")
    shutil.copytree(a_night.parent / "reduced", tmp_path / "reduced")
    (tmp_path / "quick.toml").write_text(CONFIG)
    monkeypatch.setattr("ccdproc_echelle.recipe.night.work._draw", lambda *ignored: None)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments, output="reduced"):
    return main(["night", "raw", "-o", output, "--config", "quick.toml", *arguments])


def test_a_dry_run_shows_the_plan_and_writes_nothing(here, capsys):
    assert run("--dry-run", output="new") == 0
    said, error = capsys.readouterr()
    assert "flats  flat_01.fits to flat_03.fits (3)" in said and ": to do" in said
    assert error == "" and not (here / "new").exists()
    assert run("--dry-run") == 0
    assert ": up to date" in capsys.readouterr().out


def test_a_second_run_says_that_there_is_nothing_to_do(here, capsys):
    assert run() == 0
    assert "up to date, pass" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("gain = 'NONE'\nread_noise = 4", "gain is 'NONE'"),
        ("limits = 'limits.yaml'", "beyond its limits: frames_used is 3, expected at least 9"),
    ],
)
def test_what_needs_attention_is_named_last(here, capsys, config, said):
    (here / "limits.yaml").write_text("frames_used: [9, null]")
    (here / "quick.toml").write_text(CONFIG + config)
    assert run() == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("ccdproc-echelle: error: ") and said in error
    assert next(p.name for p in (here / "reduced").iterdir() if p.is_dir()) in error


def test_what_night_has_no_option_for_is_said_to_be_a_setting(tmp_path, capsys):
    (tmp_path / "raw").mkdir()
    primary = fits.PrimaryHDU(header=fits.Header({"IMAGETYP": "flat"}))
    ccds = [fits.ImageHDU(np.ones((8, 8)), name=name) for name in ("BLUE", "RED")]
    for i in (1, 2):
        fits.HDUList([primary, *ccds]).writeto(tmp_path / "raw" / f"f{i}.fits")
    assert main(["night", str(tmp_path / "raw"), "-o", str(tmp_path / "out")]) == 1
    assert "select one with hdu (in the file of --config) (ampl" in capsys.readouterr().err


@pytest.mark.parametrize(("options", "said"), [
    (Namespace(gain=1, hdu=0), "use --gain GAIN, --oscan none, select with --hdu, or --overwrite"),
    (Namespace(config=None), "use gain = 'GAIN' (in the file of --config), "
     "oscan = false (in the file of --config), select with hdu (in the file of --config), or "
     "--overwrite"),
])
def test_messages_are_in_terms_of_the_command(options, said, capsys):
    message = "use gain='GAIN', oscan=False, select with hdu=, or overwrite=True"
    print_message("warning", message, options)
    assert capsys.readouterr().err == f"ccdproc-echelle: warning: {said}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no FOLDER"), (["raw"], "-o/--output"), (["-o", "out"], "no FOLDER"),
        (["raw", "-o", "o", "--jobs", "0"], "argument --jobs: '0' is not a positive integer"),
        (["raw", "-o", "o", "--jobs", "2", "--scheduler", "tcp://127.0.0.1:1"], "not allowed"),
    ],
)
def test_usage(here, arguments, said, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["night", *arguments])
    error = capsys.readouterr().err
    assert "usage:" in error and said in error


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        (["nowhere", "-o", "out"], "nowhere is not a folder"),
        (["raw", "-o", "out", "--config", "wrong.toml"], "did you mean 'window'?"),
        (["raw", "-o", "out", "--instrument", "sox"], "there is no instrument 'sox'"),
        (["raw", "-o", "quick.toml"], "quick.toml: it is a file"),
    ],
)
def test_what_ends_everything_is_said_in_one_line_before_any_work(here, capsys, arguments, culprit):
    (here / "wrong.toml").write_text("windw = 3")
    assert main(["night", *arguments]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and culprit in error
    assert not (here / "out").exists()


def test_a_scheduler_that_does_not_answer_ends_nothing(here, capsys, monkeypatch):
    pytest.importorskip("distributed", reason="distributed is not installed")
    monkeypatch.setattr("ccdproc_echelle.cli.workers._PATIENCE", 1)
    assert run("--scheduler", "tcp://127.0.0.1:1") == 0
    error = capsys.readouterr().err
    assert "warning: the scheduler tcp://127.0.0.1:1 does not answer" in error
    assert "the work is done on this machine" in error


def test_an_example_of_a_configuration_is_written_once(here, capsys):
    assert main(["night", "--write-config"]) == 0
    assert (here / "night.toml").read_text() == CONFIG_EXAMPLE
    assert main(["night", "--write-config"]) == 1
    assert "night.toml already exists" in capsys.readouterr().err
    assert main(["night", "raw", "-o", "new", "--config", "night.toml", "--dry-run"]) == 0


# ---------------------------------------------------------------------- trends


@pytest.fixture
def two_nights(here):
    """Master flats of two nights, the second one fainter."""
    master = next((here / "reduced").glob("*/master.fits"))
    shutil.copytree(here / "reduced", here / "later")
    later = here / "later" / master.parent.name / "master.fits"
    with fits.open(later) as hdus:
        hdus[0].header["MJD-OBS"] += 1
        row = np.flatnonzero(hdus["QUALITY"].data["name"] == "level_median")
        hdus["QUALITY"].data["value"][row] /= 2
        hdus.writeto(later, overwrite=True, checksum=True)
    return [str(master), str(later)]


def test_inspect_of_several_names_what_left_its_range(two_nights, here, capsys):
    assert main(["inspect", *two_nights]) == 0
    said = capsys.readouterr().out
    assert "2024-01-01T00:00 to 2024-01-02T00:00" in said
    (here / "limits.yaml").write_text("level_median: [4000, null]")
    assert main(["inspect", *two_nights, "--limits", "limits.yaml"]) == 1
    error = capsys.readouterr().err
    assert "of 2024-01-02T00:00: level_median is" in error and "2024-01-01" not in error


def test_inspect_of_the_tables_of_nights(here, capsys):
    tables = ["reduced/qc.ecsv", "reduced/qc.ecsv"]
    assert main(["inspect", *tables]) == 0
    line = next(x for x in capsys.readouterr().out.splitlines() if "frames_used" in x)
    assert line.split()[1:] == ["2", "3", "3", "3", "3"]


def test_inspect_draws_the_trends(two_nights, here, capsys):
    pytest.importorskip("matplotlib", reason="figures need matplotlib")
    assert main(["inspect", *two_nights, "--plot", "trends.png"]) == 0
    assert (here / "trends.png").read_bytes().startswith(b"\x89PNG")
    assert main(["inspect", *two_nights, "--plot", "trends.png"]) == 1
    assert "already exists" in capsys.readouterr().err


def test_inspect_of_another_table(here, capsys):
    (here / "other.ecsv").write_text("# %ECSV 1.0\n# ---\n# datatype:\n"
                                     "# - {name: a, datatype: int64}\na\n1\n")
    assert main(["inspect", "other.ecsv"]) == 1
    assert "other.ecsv has no column 'setup', expected the qc.ecsv" in capsys.readouterr().err
