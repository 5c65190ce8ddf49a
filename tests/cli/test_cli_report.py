# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``ccdproc-echelle report``: what is in the archive, what is not, and files that are damaged."""

import platform
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable, Table

from ccdproc_echelle.cli import main
from ccdproc_echelle.orders import EchelleOrderTable
from ccdproc_echelle.recipe import report_on
from helpers.command_line import FLATS, ORDERS, assert_one_line_and_nothing_left

LOOK = "Look inside before you send it"
WARNS = pytest.mark.filterwarnings("always::astropy.utils.exceptions.AstropyUserWarning")

# What headers hold that no report may: each value is found nowhere else.
PERSONAL = {
    "OBSERVER": "Xenia Quill", "PI-COI": "Yorick Vex", "HIERARCH ESO OBS PI-COI NAME": "VEXUNI",
    "OBJECT": "HD 987654", "TELESCOP": "Zugspitz 3m", "ORIGIN": "Quuxeum", "SITELAT": -29.2563,
    "HIERARCH ESO TEL GEOLON": -70.7345, "RA": 123.456789, "DEC": "-65:43:21", "AIRMASS": 1.7654,
    "HIERARCH ESO OBS PROG ID": "0109.Q-9876(Z)", "PROPID": "U123Q", "FILENAME": "quill_17.fits",
    "ARCFILE": "QUX.2031-12-24T03:04:05.678.fits", "DATE-OBS": "2031-12-24T03:04:05.678",
    "MJD-OBS": 63225.1278, "CRVAL1": 321.654321, "HOSTNAME": "quuxpc7", "CALPATH": "/home/quill/c",
    "COMMENT": "by Quill at Zugspitz", "HISTORY": "copied from /home/quill/night",
}
TECHNICAL = {
    "GAIN": 1.25, "RDNOISE": 3.5, "BUNIT": "adu", "EXPTIME": 7.5, "IMAGETYP": "FLAT", "FILTER": "R",
    "TRIMSEC": "[1:160,1:128]", "CCDSUM": "2 1", "INSTRUME": "Prism", "DETECTOR": "E2V-44",
    "ESO DET OUT1 CONAD": 0.8, "ESO DET CHIP RON": 4.5, "ESO DET WIN1 BINX": 2, "ESO DPR TYPE": "F",
}


@pytest.fixture
def personal_frame(working_folder):
    """``quill_17.fits``, whose header says who, where, when and for which programme."""
    header = fits.Header()
    for keyword, value in (PERSONAL | TECHNICAL).items():
        header[keyword if " " not in keyword else f"HIERARCH {keyword.removeprefix('HIERARCH ')}"] \
            = value
    header.comments["GAIN"] = "[e-/ADU] of Quill"
    fits.PrimaryHDU(np.arange(20480, dtype="f4").reshape(128, 160), header).writeto("quill_17.fits")
    return Path("quill_17.fits")


def report(*arguments) -> dict[str, str]:
    """The texts in the archive that the command writes."""
    assert main(["report", *map(str, arguments), "-o", "report.zip"]) == 0
    return unzipped("report.zip")


def unzipped(path) -> dict[str, str]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_what_is_printed_is_what_is_written(working_folder, capsys):
    contents = report(*FLATS, "orders.ecsv")
    printed, error = capsys.readouterr()
    assert error == ""
    first, *names, last = printed.splitlines()
    assert first == "wrote report.zip:" and last.startswith(LOOK)
    assert [name.strip() for name in names] == list(contents)
    assert contents.keys() == {
        "report.txt", "statistics.ecsv", "orders_01.ecsv",
        *(f"frame_0{i}{end}" for i in (1, 2, 3) for end in (".txt", "_cuts.ecsv")),
    }


def test_the_archive_has_a_name_of_its_own(working_folder):
    assert main(["report", "flat_01.fits"]) == 0
    assert "report.txt" in unzipped("ccdproc_echelle_report.zip")


def test_technical_cards_are_there_and_personal_ones_are_not(personal_frame):
    contents = report(personal_frame)
    text = contents["frame_01.txt"]
    for keyword, value in TECHNICAL.items():
        assert re.search(rf"^    {keyword} = {re.escape(repr(value))}( |$)", text, re.M), keyword
    assert "GAIN = 1.25 [e-/ADU]\n" in text
    everything = "\n".join([*contents, *contents.values()])
    for keyword, value in PERSONAL.items():
        assert str(value) not in everything, keyword
    for word in ("quill", "xenia", "vex", "zugspitz", "quux", "2031"):
        assert word not in everything.lower()
    assert f"{len(PERSONAL)} others left out" in text


def test_a_path_in_a_technical_card_is_shortened(working_folder):
    fits.setval("flat_01.fits", "FILTER", value="/home/quill/filters/red.dat")
    assert "FILTER = 'red.dat'" in report("flat_01.fits")["frame_01.txt"]


def test_the_log_has_no_names(personal_frame, working_folder, monkeypatch):
    monkeypatch.setattr(platform, "node", lambda: "quuxpc7.example.org")
    Path("log.txt").write_text(
        f"quill@quuxpc7:~/night$ ccdproc-echelle flat {personal_frame.resolve()} flat_01.fits\n"
        "  File \"/home/quill/venv/lib/python3.11/site-packages/astropy/io/fits/file.py\", line 7\n"
        "  File '/home/Xenia Quill/my reduction.py', line 3\n"
        "ValueError: quill_17.fits of HD 987654 has electron/s, seen by xenia quill on quuxpc7\n"
        "night/sub/dark_01.fits, C:\\Users\\quill\\b.fits, ../out/ and /data/quill; tcp://10.1.2.3:8786"
    )
    assert report("flat_01.fits", personal_frame, "--log", "log.txt")["log.txt"] == (
        "<address>:<folder> ccdproc-echelle flat frame_02.fits frame_01.fits\n"
        "  File \"astropy/io/fits/file.py\", line 7\n"
        "  File 'reduction.py', line 3\n"
        "ValueError: frame_02.fits of <name> has electron/s, seen by <name> on <name>\n"
        "dark_01.fits, b.fits, <folder> and <folder>; <address>"
    )


def test_a_log_in_the_encoding_of_windows(working_folder):
    Path("log.txt").write_text("ValueError: flat_01.fits ist dunkel über alles", encoding="utf-16")
    text = report("flat_01.fits", "--log", "log.txt")["log.txt"]
    assert text == "ValueError: frame_01.fits ist dunkel über alles"


def test_statistics_and_lines_are_those_of_the_frame(personal_frame):
    image = fits.getdata(personal_frame)
    contents = report(personal_frame)
    row, = Table.read(contents["statistics.ecsv"], format="ascii.ecsv")
    assert (row["frame"], row["shape"], row["dtype"]) == ("frame_01.fits", "128 x 160", "float32")
    assert (row["pixels"], row["not_finite"], row["zero"]) == (image.size, 0, 1)
    assert (row["p0"], row["p100"]) == (image.min(), image.max())
    np.testing.assert_allclose(row["mean"], image.mean(dtype=float))
    np.testing.assert_allclose(row["p50"], np.median(image))
    cuts = Table.read(contents["frame_01_cuts.ecsv"], format="ascii.ecsv")
    np.testing.assert_array_equal(cuts["value"][cuts["line"] == "row"], image[64])
    np.testing.assert_array_equal(cuts["value"][cuts["line"] == "column"], image[:, 80])


def test_all_extensions_are_told_of(working_folder):
    hdus = fits.HDUList([
        fits.PrimaryHDU(),
        fits.CompImageHDU(np.arange(600, dtype="i2").reshape(20, 30), name="SCI"),
        fits.ImageHDU(np.full((4, 5), np.nan)), fits.ImageHDU(np.zeros((2, 3, 4))),
        fits.BinTableHDU.from_columns([fits.Column("secret", "6A", array=["Quuxer"])]),
    ])
    hdus.writeto("several.fits")
    contents = report("several.fits")
    statistics = Table.read(contents["statistics.ecsv"], format="ascii.ecsv")
    assert statistics["hdu"].tolist() == [1, 2, 3]
    assert statistics["shape"].tolist() == ["20 x 30", "4 x 5", "2 x 3 x 4"]
    assert statistics["not_finite"].tolist() == [0, 20, 0]
    assert re.findall(r"^HDU (\d)", contents["frame_01.txt"], re.M) == list("01234")
    assert "Quuxer" not in "".join(contents.values())


@pytest.mark.parametrize("format", ["ecsv", "soxspipe", "iraf"])
def test_order_tables_are_written_as_ecsv(working_folder, format):
    name = "quill_orders"
    ORDERS.write(name, format=format)
    contents = report("flat_01.fits", name)
    Path("again.ecsv").write_text(contents["orders_01.ecsv"])
    again = EchelleOrderTable.read("again.ecsv", shape=ORDERS.shape)
    np.testing.assert_allclose(again.center(), ORDERS.center(), atol=0.01)
    assert f"orders_01.ecsv\n    {format}: 3 orders" in contents["report.txt"]
    assert "quill" not in "".join(contents.values())


def test_an_order_table_keeps_its_numbers_only(working_folder):
    table = ORDERS.table
    table.meta |= {"shape": list(ORDERS.shape), "author": "Quill"}
    table["note"] = ["seen by Quill"] * 3
    table["center"].info.description = "by Quill"
    table.write("quill.ecsv", format="ascii.ecsv")
    text = report("quill.ecsv")["orders_01.ecsv"]
    assert "Quill" not in text and "note" not in text
    found = QTable.read(text, format="ascii.ecsv")
    np.testing.assert_array_equal(found["center"].value, table["center"].value)


def test_a_user_without_a_name(working_folder, monkeypatch):
    def fail():
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr("getpass.getuser", fail)
    assert "report.txt" in report("flat_01.fits")


def test_no_file_is_an_error():
    with pytest.raises(ValueError, match="no file is given"):
        report_on([])


def test_versions_have_no_host(working_folder, monkeypatch):
    monkeypatch.setattr(platform, "node", lambda: "quuxpc7")
    text = report("flat_01.fits")["report.txt"]
    for name in ("ccdproc_echelle", "python", "numpy", "scipy", "astropy", "ccdproc"):
        assert re.search(rf"^    {name} \d", text, re.M), name
    assert "quuxpc7" not in text


# ---------------------------------------------------------------------- damage and misuse


@WARNS
def test_damaged_files_are_said_and_told_of(working_folder, capsys):
    whole = Path("flat_01.fits").read_bytes()
    Path("cut.fits").write_bytes(whole[: len(whole) // 2])
    Path("empty.fits").write_bytes(b"")
    Path("noise.fits").write_bytes(np.random.default_rng(1).bytes(6000))
    Path("bad.ecsv").write_text(Path("orders.ecsv").read_text()[:900])
    contents = report("cut.fits", "empty.fits", "noise.fits", "flat_01.fits", "bad.ecsv")
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 4 and "Traceback" not in error
    for name, line in zip(("cut", "empty", "noise", "bad"), error.splitlines(), strict=True):
        assert line.startswith("ccdproc-echelle: warning: ") and f"{name}." in line
    assert "frame_01.fits is truncated" in contents["report.txt"]
    assert "GAIN = " in contents["frame_01.txt"]
    assert "frame_04_cuts.ecsv" in contents and "frame_03_cuts.ecsv" not in contents
    assert "orders_01.ecsv" not in contents
    for name in ("cut.", "empty.", "noise.", "bad."):
        assert name not in "".join(contents.values())


@WARNS
def test_a_damaged_order_table_alone(working_folder, capsys):
    Path("bad.ecsv").write_text(Path("orders.ecsv").read_text()[:900])
    contents = report("bad.ecsv")
    assert list(contents) == ["report.txt"]
    assert "cannot read orders_01.ecsv as an order table in format 'ecsv'" in contents["report.txt"]
    assert capsys.readouterr().err.count("bad.ecsv") == 1


def test_what_cannot_be_read_on_is_told_of(working_folder, monkeypatch):
    def fail(header):
        raise KeyError("lost card")

    monkeypatch.setattr("ccdproc_echelle.recipe.report.look.technical_cards", fail)
    assert "HDU 0 cannot be read: 'lost card'" in report("flat_01.fits")["report.txt"]


@WARNS
def test_every_way_to_be_cut_off(working_folder, capsys):
    whole = Path("flat_01.fits").read_bytes()
    for length in (1, 79, 80, 2879, 2880, 2881, 5760, len(whole) - 2880):
        Path("cut.fits").write_bytes(whole[:length])
        assert main(["report", "cut.fits", "-o", "report.zip", "--overwrite"]) == 0
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "culprits"),
    [
        (["nothing.fits"], ["no such file", "nothing.fits"]),
        (["nothing_*.fits"], ["nothing_*.fits"]),
        (["."], ["folder"]),
        (["flat_01.fits", "--log", "nothing.txt"], ["no such file", "nothing.txt"]),
        (["flat_01.fits", "--log", "flat_02.fits"], ["flat_02.fits", "not text"]),
        (["flat_01.fits", "-o", "report.fits"], ["report.fits", ".zip"]),
        (["flat_01.fits", "-o", "flat_02.fits", "--overwrite"], ["flat_02.fits", ".zip"]),
        (["flat_01.fits", "-o", "flat_01.fits", "--overwrite"], ["flat_01.fits", "input"]),
        (["flat_01.fits", "-o", "no/report.zip"], ["no/report.zip"]),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(working_folder, capsys, arguments, culprits):
    assert_one_line_and_nothing_left(capsys, working_folder, ["report", *arguments], culprits)


def test_an_archive_is_replaced_only_where_that_is_said(working_folder, capsys):
    Path("report.zip").write_bytes(b"old")
    arguments = ["report", "flat_01.fits", "-o", "report.zip"]
    assert_one_line_and_nothing_left(
        capsys, working_folder, arguments, ["report.zip", "--overwrite"]
    )
    assert main([*arguments, "--overwrite"]) == 0
    assert "report.txt" in unzipped("report.zip")


def test_a_disk_that_fills_up_leaves_nothing(working_folder, capsys, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ccdproc_echelle.recipe.report.bundle.ZipFile.writestr", full)
    assert_one_line_and_nothing_left(
        capsys, working_folder, ["report", "flat_01.fits"], ["No space left"]
    )


def test_the_same_files_make_the_same_archive(working_folder):
    for name in ("first.zip", "second.zip"):
        assert main(["report", *FLATS, "-o", name]) == 0
    assert Path("first.zip").read_bytes() == Path("second.zip").read_bytes()
