# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``ccdproc-echelle demo``: what it writes, and its comparison with the truth."""

import contextlib
import io
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.nddata import CCDData

from ccdproc_echelle import EchelleOrderTable, MasterFlat
from ccdproc_echelle.cli import main

MODULE = "ccdproc_echelle.cli.demo"


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


def test_demo_without_matplotlib(demo, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    master = MasterFlat.read(demo[0] / "master.fits")
    monkeypatch.setattr(f"{MODULE}.make_master_flat", lambda *args, **keywords: master)
    monkeypatch.setattr(f"{MODULE}.EchelleSimulation.write", lambda *args, **keywords: ([], []))
    assert main(["demo", "--folder", str(tmp_path)]) == 0
    assert "no figure: matplotlib is not installed" in capsys.readouterr().out
    assert (tmp_path / "master.fits").exists()
    assert not (tmp_path / "master.png").exists()


def test_demo_does_not_overwrite(demo, capsys):
    folder, _ = demo
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert main(["demo", "--folder", str(folder)]) == 1
    assert "master.fits already exists" in capsys.readouterr().err
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


@pytest.mark.parametrize("where", ["a_file", "no/such/folder"])
def test_demo_where_there_can_be_no_folder(tmp_path, monkeypatch, capsys, where):
    monkeypatch.chdir(tmp_path)
    Path("a_file").write_text("")
    assert main(["demo", "--folder", where]) == 1
    assert re.fullmatch(f"ccdproc-echelle: error: .*{where}.*\n", capsys.readouterr().err)
    assert [path.name for path in tmp_path.iterdir()] == ["a_file"]


@pytest.mark.parametrize(("options", "work", "folder"), [
    ([], "_reduce", "echelle_demo"), (["--night"], "_write_night", "echelle_night"),
])
def test_a_night_is_not_written_among_the_frames_of_the_demo(monkeypatch, options, work, folder):
    given = []
    monkeypatch.setattr(f"{MODULE}.{work}", lambda *arguments: given.append(arguments) or 0)
    assert main(["demo", *options]) == 0
    assert given == [(Path(folder), False)]


def test_a_night_to_try_the_command_night_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--night", "--folder", "raw"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert main(line.split()[1:]) == 0
    said = capsys.readouterr().out
    assert said.startswith("3 set-ups in raw") and "it is truncated" in said
