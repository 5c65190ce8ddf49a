# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``ccdproc-echelle trace``: the orders it finds, and what it says of bad input."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData

from ccdproc_echelle import EchelleOrderTable
from ccdproc_echelle.cli import main
from helpers.command_line import ORDERS, ZERO, assert_one_line_and_nothing_left


def test_trace(working_folder, capsys):
    assert main(["trace", "flat_01.fits", "-o", "traced.ecsv", "--first-order", "11"]) == 0
    assert capsys.readouterr() == (
        "3 orders (11 to 13), dispersion axis 1, no edges\nwrote traced.ecsv\n", ""
    )
    traced = EchelleOrderTable.read("traced.ecsv")
    assert traced.order_numbers.tolist() == [11, 12, 13]
    np.testing.assert_allclose(traced.center(), ORDERS.center(), atol=0.3)


def test_trace_along_columns_in_another_format(working_folder):
    flat = CCDData.read("flat_01.fits")
    CCDData(flat.data.T, unit="adu").write("turned.fits")
    assert main(["trace", "turned.fits", "--dispersion-axis", "0", "--format", "iraf",
                 "-o", "apturned"]) == 0
    traced = EchelleOrderTable.read("apturned", shape=(160, 128))
    assert traced.dispersion_axis == 0
    np.testing.assert_allclose(traced.center(), ORDERS.center(), atol=0.3)


def test_trace_the_last_image_of_a_file(working_folder):
    flat = CCDData.read("flat_01.fits").data
    dark = fits.ImageHDU(np.zeros_like(flat), name="DARK")
    fits.HDUList([fits.PrimaryHDU(), dark, fits.ImageHDU(flat, name="FLAT")]).writeto("two.fits")
    assert main(["trace", "two.fits", "--hdu", "-1", "-o", "traced.ecsv"]) == 0
    assert len(EchelleOrderTable.read("traced.ecsv")) == 3


@pytest.mark.parametrize(
    ("arguments", "culprits"),
    [
        (["trace", "nothing.fits", "-o", "out"], ["nothing.fits"]),
        (["trace", "flat_*.fits", "-o", "out"], ["files match flat_*.fits", "a single one"]),
        (["trace", "flat_01.fits", "-o", "orders.png"], ["orders.png", "another kind of file"]),
        (["trace", "flat_01.fits", "-o", "orders.reg"], ["orders.reg", "--format", "'ds9'"]),
        (["trace", "flat_01.fits", "-o", "out.fits.fz"], ["out.fits.fz", "FITS file", "--format"]),
        (["trace", "zero.fits", "-o", "out"], ["order"]),
        (["trace", "flat_01.fits", "-o", "orders.ecsv"], ["already exists", "--overwrite"]),
        (["trace", "flat_01.fits", "-o", "no/out"], ["folder no does not exist"]),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(working_folder, capsys, arguments, culprits):
    fits.writeto("zero.fits", ZERO, fits.Header({"BUNIT": "adu"}))
    assert_one_line_and_nothing_left(capsys, working_folder, arguments, culprits)


def test_what_is_known_of_the_orders(working_folder, capsys):
    assert main(["trace", "flat_01.fits", "-o", "two.ecsv", "--n-orders", "2",
                 "--min-width", "3", "--max-width", "60", "--min-signal-to-noise", "8"]) == 0
    assert capsys.readouterr().out.startswith("2 orders (1 to 2)")
    assert main(["trace", "flat_01.fits", "-o", "none.ecsv", "--max-width", "2"]) == 1
    assert "no orders found" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["trace", "edges"])
def test_a_table_of_text_is_not_called_fits(working_folder, capsys, monkeypatch, command):
    """Which is said before any work."""
    monkeypatch.setattr("ccdproc_echelle.cli.options.Readout", None)
    orders = [] if command == "trace" else ["--orders", "orders.ecsv"]
    arguments = [command, "flat_01.fits", *orders, "-o", "found.fits"]
    assert_one_line_and_nothing_left(capsys, working_folder, arguments, ["found.fits", "--format"])
