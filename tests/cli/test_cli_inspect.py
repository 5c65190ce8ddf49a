# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``ccdproc-echelle inspect``: the quality it prints, and the limits that are broken."""

import re

import pytest

from ccdproc_echelle import make_master_flat
from ccdproc_echelle.cli import main
from ccdproc_echelle.recipe import METRICS
from helpers.command_line import ORDERS, SIMULATION, assert_one_line_and_nothing_left


@pytest.fixture(scope="module")
def master_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("inspect") / "master.fits"
    make_master_flat(
        SIMULATION.flats(3, raw=True), ORDERS, dark=SIMULATION.darks(2, raw=True), gain=1,
        read_noise=4, scattered_light=None,
    ).write(path)
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


@pytest.mark.parametrize(
    ("arguments", "culprits"),
    [
        (["inspect", "nothing.fits"], ["error: no such file or directory: nothing.fits"]),
        (["inspect", "flat_01.fits"], ["flat_01.fits", "FLAGS"]),
        (["inspect", "orders.ecsv"], ["orders.ecsv"]),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(working_folder, capsys, arguments, culprits):
    assert_one_line_and_nothing_left(capsys, working_folder, arguments, culprits)
