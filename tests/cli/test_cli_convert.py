# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``ccdproc-echelle convert``: from format to format, and what it says of bad input."""

from pathlib import Path

import numpy as np
import pytest

from ccdproc_echelle import EchelleOrderTable
from ccdproc_echelle.cli import main
from helpers.command_line import ORDERS, assert_one_line_and_nothing_left


@pytest.mark.parametrize("name", ["ecsv", "soxspipe", "iraf", "samples"])
def test_convert_there_and_back(working_folder, name):
    assert main(["convert", "orders.ecsv", "--to", name, "-o", "other"]) == 0
    assert main(["convert", "other", "--from", name, "--shape", "128", "160",
                 "--dispersion-axis", "1", "-o", "back.ecsv"]) == 0
    back = EchelleOrderTable.read("back.ecsv")
    assert back.shape == (128, 160)
    np.testing.assert_allclose(back.center(), ORDERS.center(), atol=1e-3)


def test_convert_to_regions(working_folder, capsys):
    assert main(["convert", "orders.ecsv", "--to", "ds9", "-o", "orders.reg"]) == 0
    assert Path("orders.reg").read_text().startswith("# Region file")
    assert "wrote orders.reg" in capsys.readouterr().out


def test_convert_one_detector_of_two(working_folder):
    Path("kpf.csv").write_text(
        "Chip,Fiber,Order,Coeff0,Coeff1,BottomEdge,TopEdge,X1,X2\n"
        "GREEN,SCI1,1,20,0.1,3,3,0,90\nRED,SCI1,1,50,0.1,3,3,0,90\n"
    )
    assert main(["convert", "kpf.csv", "--detector", "RED", "-o", "red.ecsv"]) == 0
    np.testing.assert_allclose(EchelleOrderTable.read("red.ecsv").center([0.0]), [[50]])


def test_convert_of_an_untrimmed_detector(working_folder):
    assert main(["convert", "orders.ecsv", "--crop", "[11:150, 6:120]", "-o", "cut.ecsv"]) == 0
    cut = EchelleOrderTable.read("cut.ecsv")
    assert cut.shape == (115, 140)
    np.testing.assert_allclose(cut.center(), ORDERS.center()[:, 10:150] - 5, atol=1e-9)


def test_a_section_that_is_none(working_folder, capsys):
    with pytest.raises(SystemExit):
        main(["convert", "orders.ecsv", "--crop", "11:150", "-o", "cut.ecsv"])
    assert "'11:150' is not a section" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "culprits"),
    [
        (["convert", "nothing.ecsv", "-o", "out"], ["nothing.ecsv"]),
        (["convert", "centres.txt", "-o", "out"], ["centres.txt", "dispersion_axis"]),
        (["convert", "centres.txt", "--from", "iraf", "-o", "out"], ["centres.txt", "'iraf'"]),
        (["convert", "orders.ecsv", "--shape", "9", "9", "-o", "out"], ["(128, 160)", "(9, 9)"]),
        (["convert", "orders.ecsv", "--detector", "RED", "-o", "out"], ["detector", "RED"]),
        (["convert", "orders.ecsv", "--crop", "[1:9,200:300]", "-o", "out"], ["slices"]),
        (["convert", "orders.ecsv", "-o", "orders.ecsv"], ["already exists", "--overwrite"]),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(working_folder, capsys, arguments, culprits):
    np.savetxt("centres.txt", ORDERS.center().T)
    assert_one_line_and_nothing_left(capsys, working_folder, arguments, culprits)
