# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What the tests of all commands share: files to work on, and what an error looks like."""

import re
import shutil

import numpy as np
import pytest

from ccdproc_echelle.cli import main
from ccdproc_echelle.simulation import EchelleSimulation
from helpers.orders import centers_only

SIMULATION = (
    EchelleSimulation(shape=(128, 160), n_orders=3, seed=5).with_bias(200).with_level_spread(0.2)
)
ORDERS = SIMULATION.truth.orders
FLATS = [f"flat_0{i}.fits" for i in (1, 2, 3)]
USUAL = ["--orders", "orders.ecsv", "-o", "master.fits"]
QUICK = [*USUAL, "--scattered-light", "none", "--dark", "dark_01.fits", "dark_02.fits"]
ZERO = np.zeros(SIMULATION.shape, dtype=np.float32)


@pytest.fixture(scope="session")
def raw_files(tmp_path_factory):
    """A folder with three flats, two darks and two biases, and an order table."""
    folder = tmp_path_factory.mktemp("raw")
    SIMULATION.write(folder, 3, 2)
    for i, bias in enumerate(SIMULATION.biases(2, raw=True), start=1):
        bias.write(folder / f"bias_0{i}.fits")
    centers_only(ORDERS).write(folder / "orders.ecsv")
    return folder


@pytest.fixture
def working_folder(raw_files, tmp_path, monkeypatch):
    """The working directory, with copies of the raw files, for the test to change."""
    shutil.copytree(raw_files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_one_line_and_nothing_left(capsys, folder, arguments, culprits):
    """The command fails with one line on standard error, which names all culprits."""
    before = contents(folder)
    assert main(arguments) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert re.fullmatch(r"ccdproc-echelle: error: [^\n]+\n", output.err)
    assert "Traceback" not in output.err
    for culprit in culprits:
        assert culprit in output.err
    assert contents(folder) == before
