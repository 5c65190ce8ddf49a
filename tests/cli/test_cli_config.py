# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``ccdproc-echelle flat --config``: what a configuration says, and what wins over it."""

from pathlib import Path

import numpy as np
import pytest

from ccdproc_echelle import EchelleOrderTable, FlatFlag, MasterFlat, make_master_flat
from ccdproc_echelle.cli import main
from ccdproc_echelle.recipe import read_config
from helpers.command_line import FLATS, assert_one_line_and_nothing_left

CONFIG = """\
orders = "orders.ecsv"
dark = "dark_*.fits"
scattered_light = "none"
gain = 1
read_noise = 4
window = 6
edge_keywords = {degree = 3, sigma = 4.0}
mask_flags = ["DEAD", "FAINT"]
"""


def written(text):
    Path("settings").mkdir()
    for name in ("orders.ecsv", "dark_01.fits", "dark_02.fits"):
        Path(name).rename(Path("settings", name))
    Path("settings/flats.toml").write_text(text)
    return "settings/flats.toml"


@pytest.fixture
def said(monkeypatch):
    """What the command makes of its arguments."""
    given = {}

    def record(img_list, orders, **keywords):
        given.update(keywords, orders=orders)
        raise ValueError("enough")

    monkeypatch.setattr("ccdproc_echelle.cli.flat.make_master_flat", record)
    return given


def test_a_configuration_makes_the_master_flat(working_folder):
    """Its files are meant from its own folder."""
    config = written(CONFIG)
    assert main(["flat", *FLATS, "--config", config, "-o", "master.fits"]) == 0
    expected = make_master_flat(
        FLATS, EchelleOrderTable.read("settings/orders.ecsv"), dark="settings/dark_*.fits",
        scattered_light=None, gain=1, read_noise=4, window=6,
        edge_keywords={"degree": 3, "sigma": 4.0}, mask_flags=FlatFlag.DEAD | FlatFlag.FAINT,
    )
    found = MasterFlat.read("master.fits")
    np.testing.assert_array_equal(found.flat.data, expected.flat.data)
    np.testing.assert_array_equal(found.flat.mask, expected.flat.mask)


def test_parameters_of_the_soxs_recipe_have_their_own_names(working_folder, said):
    Path("flats.toml").write_text("centre-order-window = 8\ndisp-axis-deg = 5\nmargin = 1")
    assert main(["flat", *FLATS, "--config", "flats.toml", "-o", "master.fits"]) == 1
    assert (said["window"], said["edge_keywords"], said["margin"]) == (8, {"degree": 5}, 1)


def test_options_win_over_the_configuration_and_it_over_the_instrument(working_folder, said):
    Path("here.toml").write_text("window = 12\ngain = 3\nread_noise = 9\nmargin = 2.0\n")
    config = written(CONFIG + "instrument = '../here.toml'\n")
    assert main(["flat", *FLATS, "--config", config, "--gain", "2", "--edge", "sigma=6.0",
                 "--dark", "settings/dark_01.fits", "-o", "master.fits"]) == 1
    assert said["instrument"].endswith("here.toml")
    assert (said["gain"], said["read_noise"], said["window"]) == (2, 4, 6)
    assert "margin" not in said  # which the recipe takes from the instrument
    assert said["dark"] == ["settings/dark_01.fits"]
    assert said["edge_keywords"] == {"degree": 3, "sigma": 6.0}


def test_an_order_table_wins_over_how_orders_are_traced(working_folder, said):
    Path("here.toml").write_text("trace_keywords = {n_orders = 2}\n")
    for option in ("--config", "--instrument"):
        arguments = ["flat", *FLATS, option, "here.toml", "--orders", "orders.ecsv"]
        main([*arguments, "-o", "master.fits"])
        assert len(said["orders"]) == 3 and "trace_keywords" not in said


def test_how_files_are_read_is_taken_from_the_configuration(working_folder, said):
    config = written('orders = "orders.ecsv"\ntrim = "[1:160,1:128]"\nunit = "electron"\n')
    assert main(["flat", *FLATS, "--config", config, "-o", "master.fits"]) == 1
    assert (said["trim"], said["unit"]) == ("[1:160,1:128]", "electron")
    assert len(said["orders"]) == 3


@pytest.mark.parametrize(
    ("text", "culprits"),
    [
        ("windows = 6", ["flats.toml", "'windows'", "'window'"]),
        ("window = ", ["flats.toml", "not a TOML file"]),
        ('mask_flags = ["DAED"]', ["flats.toml", "mask_flags", "DAED", "DEAD"]),
        ('mask_flags = "DEAD"', ["flats.toml", "mask_flags", "expected a list"]),
        ('dark = "drak_*.fits"', ["drak_*.fits"]),
        ('orders = "order.ecsv"', ["order.ecsv"]),
        ("window = -3", ["window", "-3"]),
        ('window = "wide"', ["flats.toml", "window", "'wide'", "expected a number"]),
        ('scale_dark = "no"', ["flats.toml", "scale_dark", "'no'", "True or False"]),
        ("edge_keywords = 3", ["flats.toml", "edge_keywords", "3", "keywords"]),
        ("orders = 5", ["flats.toml", "orders", "5", "a file name"]),
        ("dark = []", ["flats.toml", "dark", "[]", "file names"]),
        ("dark = [1]", ["flats.toml", "dark", "1", "file names"]),
        ("instrument = 3", ["flats.toml", "instrument", "3"]),
        ("mask_flags = [['DEAD']]", ["flats.toml", "mask_flags", "expected a list"]),
        ("n_passes = 0", ["n_passes is 0"]),
        ("per_order = 'yes'", ["per_order is 'yes'"]),
        ("clip_extrema = true\nnhigh = 2", ["nlow + nhigh is 3", "number of frames, 3"]),
        ('executor = "threads"', ["flats.toml", "'executor'"]),
    ],
)
def test_bad_configurations_are_named(working_folder, capsys, text, culprits):
    Path("flats.toml").write_text(text)
    arguments = ["flat", *FLATS, "--config", "flats.toml", "-o", "master.fits"]
    assert_one_line_and_nothing_left(capsys, working_folder, arguments, culprits)


@pytest.mark.parametrize("option", ["--edge", "--sensitivity"])
def test_keywords_without_a_value_are_wrong_usage(working_folder, capsys, option):
    with pytest.raises(SystemExit) as stopped:
        main(["flat", *FLATS, option, "profile", "-o", "master.fits"])
    assert stopped.value.code == 2
    assert "'profile' is not KEYWORD=VALUE" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--first-order", "84"], ["--degree", "3"]])
def test_what_is_for_traced_orders_only(working_folder, capsys, said, option):
    assert main(["flat", *FLATS, *option, "-o", "master.fits"]) == 1
    (name, value), = said["trace_keywords"].items()
    assert [f"--{name.replace('_', '-')}", str(value)] == option
    with pytest.raises(SystemExit):
        main(["flat", *FLATS, *option, "--orders", "orders.ecsv", "-o", "master.fits"])
    assert "only be used without --orders" in capsys.readouterr().err


def test_every_key_is_one_of_the_recipe(tmp_path):
    path = tmp_path / "all.toml"
    path.write_text("n_passes = 1\nmethod = 'median'\nmem_limit = 1e9\nhdu = [1, 2]\n")
    assert read_config(path) == {"n_passes": 1, "method": "median", "mem_limit": 1e9, "hdu": [1, 2]}


def test_names_of_frames_may_stand_in_one_text(tmp_path):
    path = tmp_path / "names.toml"
    path.write_text('dark = "dark_1.fits, dark_2*.fits"')
    expected = [str(tmp_path / name) for name in ("dark_1.fits", "dark_2*.fits")]
    assert read_config(path) == {"dark": expected}
