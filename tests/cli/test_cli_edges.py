# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``ccdproc-echelle edges``: the edges it finds, and what it says of bad input."""

import numpy as np
import pytest
from astropy.nddata import CCDData

from ccdproc_echelle import EchelleOrderTable, detect_order_edges
from ccdproc_echelle.cli import main
from helpers.command_line import (
    ORDERS,
    SIMULATION,
    assert_one_line_and_nothing_left,
)


def test_edges(working_folder, capsys):
    flat = _without_dark("flat.fits")
    assert main(["edges", "flat.fits", "--orders", "orders.ecsv", "-o", "edges.ecsv"]) == 0
    assert "3 orders (11 to 13), dispersion axis 1, with edges\n" in capsys.readouterr().out
    expected = detect_order_edges(flat, EchelleOrderTable.read("orders.ecsv"))
    found = EchelleOrderTable.read("edges.ecsv")
    np.testing.assert_allclose(found.upper(), expected.upper(), atol=1e-9)


def _without_dark(name):
    dark = CCDData.read("dark_01.fits").data.astype(float)
    flat = CCDData(CCDData.read("flat_01.fits").data - dark, unit="adu")
    flat.write(name)
    return flat


def test_edges_at_another_threshold(working_folder):
    _without_dark("flat.fits")
    usual = ["edges", "flat.fits", "--orders", "orders.ecsv"]
    assert main([*usual, "-o", "half.ecsv"]) == 0
    assert main([*usual, "--threshold", "0.2", "-o", "fifth.ecsv"]) == 0
    half, fifth = EchelleOrderTable.read("half.ecsv"), EchelleOrderTable.read("fifth.ecsv")
    assert np.mean(fifth.upper() - half.upper()) > 0.1
    assert np.mean(fifth.lower() - half.lower()) < -0.1


@pytest.mark.parametrize(
    ("arguments", "culprits"),
    [
        (["edges", "nothing.fits", "--orders", "orders.ecsv", "-o", "out"], ["nothing.fits"]),
        (["edges", "flat_01.fits", "--orders", "nothing.ecsv", "-o", "out"], ["nothing.ecsv"]),
        (["edges", "flat_01.fits", "--orders", "orders.ecsv", "-o", "orders.ecsv"],
         ["orders.ecsv already exists"]),
        (["edges", "flat_01.fits", "--orders", "orders.ecsv", "-o", "out", "--threshold", "2"],
         ["threshold", "2"]),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(working_folder, capsys, arguments, culprits):
    assert_one_line_and_nothing_left(capsys, working_folder, arguments, culprits)


@pytest.mark.parametrize("layout", ["overscan", "mef"])
@pytest.mark.parametrize("command", ["trace", "edges"])
def test_raw_frames_are_read_as_by_the_command_flat(working_folder, command, layout):
    """Without overscan, and with the amplifiers of a detector side by side."""
    (flat,), *_ = SIMULATION.write(working_folder, 1, layout=layout, overwrite=True)
    orders = [] if command == "trace" else ["--orders", "orders.ecsv"]
    assert main([command, str(flat), *orders, "-o", "found.ecsv"]) == 0
    found = EchelleOrderTable.read("found.ecsv")
    assert found.shape == SIMULATION.shape
    np.testing.assert_allclose(found.center(), ORDERS.center(), atol=0.3)
    assert found.has_edges == (command == "edges")
