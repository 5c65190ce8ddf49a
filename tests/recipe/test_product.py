# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The product as it shows itself: in a line, in a notebook, on a page."""

import re
from dataclasses import replace
from functools import cache
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.table import QTable

from ccdproc_echelle import (
    FlatFlag,
    MasterFlat,
    combine_frames,
    make_master_flat,
    mask_interorder,
    mask_low_sensitivity,
    subtract_scattered_light,
    two_pass_flat_combine,
    with_limits,
)
from ccdproc_echelle.simulation import EchelleSimulation

SIMULATION = EchelleSimulation(shape=(128, 144), n_orders=3)


@pytest.fixture(scope="module")
def master():
    return make_master_flat(SIMULATION.flats(3), SIMULATION.truth.orders)


def quality_rows(master):
    """The cells of the quality table in the page for notebooks, row by row."""
    html = master._repr_html_()
    return [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(<td>.*?)</tr>", html)]


# ---------------------------------------------------------------------- in a line


def test_repr_is_one_line(master):
    expected = "<MasterFlat: 3 frames, 128 x 144 pixels, 3 orders, quality pass>"
    assert repr(master) == str(master) == expected


@pytest.mark.parametrize("limits, verdict", [
    ({"frames_used": (5, None)}, "fail (1 limit)"),
    ({"frames_used": (5, None), "order_width": (None, 1)}, "fail (2 limits)"),
])
def test_repr_counts_the_limits_that_fail(master, limits, verdict):
    judged = replace(master, quality=with_limits(master.quality, limits))
    assert repr(judged).endswith(f", quality {verdict}>")


def test_repr_of_a_master_that_nobody_judged(master):
    unlimited = master.quality.copy()
    unlimited["verdict"] = ""
    for quality in (QTable(), unlimited):
        assert repr(replace(master, quality=quality)).endswith(", quality not judged>")


def test_repr_of_one_frame_and_one_order(master):
    one = replace(master, levels=master.levels[:1], orders=next(iter(master.orders)))
    assert "1 frame, 128 x 144 pixels, 1 order, " in repr(one)


def test_a_master_read_from_a_file_looks_the_same(master, tmp_path):
    master.write(tmp_path / "master.fits")
    found = MasterFlat.read(tmp_path / "master.fits")
    assert repr(found) == repr(master)
    assert quality_rows(found) == quality_rows(master)


# ---------------------------------------------------------------------- in a file


@pytest.fixture(scope="module")
def with_bad_pixels():
    return make_master_flat(
        SIMULATION.with_dead_pixels(9).flats(3), SIMULATION.truth.orders, scattered_light=None
    )


@cache
def written(master) -> bytes:
    with TemporaryDirectory() as folder:
        master.write(Path(folder, "master.fits"))
        return Path(folder, "master.fits").read_bytes()


def rewritten(master, folder, change, **keywords):
    """The file of a master, changed by another program that writes checksums of its own."""
    with fits.open(BytesIO(written(master))) as hdus:
        change(hdus)
        hdus.writeto(folder / "changed.fits", **{"checksum": True} | keywords)
    return folder / "changed.fits"


def without(name):
    return lambda hdus: hdus.pop(hdus.index_of(name))


def with_data(name, data):
    def change(hdus):
        hdus[name].data = data(hdus[name].data)

    return change


def with_rows(name, n_rows):
    def change(hdus):
        hdu = hdus[name]
        hdus[name] = fits.BinTableHDU(hdu.data[:n_rows], hdu.header, name=name)

    return change


def as_image(name):
    def change(hdus):
        hdus[name] = fits.ImageHDU(np.zeros((3, 3)), name=name)

    return change


def with_card(name, keyword, value):
    return lambda hdus: hdus[name].header.set(keyword, value)


def with_cell(name, column, value):
    def change(hdus):
        hdus[name].data[column][1, ...] = value

    return change


def without_column(name, column):
    def change(hdus):
        columns = [one for one in hdus[name].columns if one.name != column]
        hdus[name] = fits.BinTableHDU.from_columns(columns, name=name)

    return change


@pytest.mark.parametrize(("change", "culprit"), [
    (without("MASK"), "no extension MASK, but 9 pixels are bad according to FLAGS"),
    (without("UNCERT"), "no extension UNCERT"),
    (without("FLAGS"), "no extension FLAGS"),
    (without("VETTING"), "no extension VETTING"),
    (without("PROVENANCE"), "no extension PROVENANCE"),
    (without("INPUTS"), "no extension INPUTS"),
    (with_data("PRIMARY", lambda data: None), "PRIMARY holds no image"),
    (with_data("PRIMARY", lambda data: data[:5].copy()), r"expected .* flat, \(5, 144\)"),

    (with_data("MASK", lambda data: data[:5, :5].copy()), r"MASK has shape \(5, 5\)"),
    (with_data("UNCERT", lambda data: data[:5, :5].copy()), r"UNCERT has shape \(5, 5\)"),
    (with_data("FLAGS", lambda data: data[:5, :5].copy()), r"FLAGS has shape \(5, 5\)"),
    (with_card("ORDERS", "DETROWS", 200), r"ORDERS is for shape \(200"),
    (with_data("FLAGS", lambda data: data.astype("f4")), "FLAGS holds .*f4"),
    (with_data("FLAGS", lambda data: data.astype("i4") | 2**20), r"bits \[20\].* newer version"),
    (with_data("FLAGS", lambda data: data | 2**14),
     r"FLAGS has undefined bits \[14\].* newer version"),
    (with_data("FLAGS", lambda data: data | -(2**15)), r"FLAGS has undefined bits \[15\]"),
    (with_data("UNCERT", lambda data: -data), "UNCERT has .* negative values, expected none"),
    (with_data("PRIMARY", lambda data: data * np.nan), "PRIMARY has .* not finite and have no fl"),
    (with_card("UNCERT", "UTYPE", "Guess"), "UNCERT has UTYPE = 'Guess'"),
    (with_card("PRIMARY", "FLATVERS", 2), "FLATVERS is 2, expected 1: .* newer version"),
    (with_rows("ORDERS", 0), "ORDERS: order table is empty"),
    (with_rows("LEVELS", 0), "LEVELS has no rows"),
    (with_rows("QUALITY", 0), "QUALITY has no rows"),
    (with_rows("VETTING", 0), "VETTING has no rows"),
    (with_rows("INPUTS", 0), "INPUTS has no rows"),
    (without_column("PROVENANCE", "value"), "PROVENANCE has no column 'value'"),
    (without_column("LEVELS", "level"), "LEVELS has no column 'level'"),
    (with_cell("ORDERS", "center", np.nan), r"ORDERS: orders \[.*\] have coefficients"),
    (with_cell("ORDERS", "pixel_max", np.nan), r"ORDERS: orders \[.*\] have coefficients"),
    (with_card("ORDERS", "DISPAXIS", 2), "ORDERS: dispersion_axis is 2"),
    (with_data("PRIMARY", lambda data: 2 * data), "PRIMARY is not 1 in .* pixels that are between"),
    (with_data("PRIMARY", lambda data: data[::-1].copy()), "PRIMARY is not 1 in .* pixels"),
    (with_data("PRIMARY", lambda data: np.where(data == 1, data, 0)), "PRIMARY has .* above zero"),
    (with_card("PRIMARY", "BUNIT", "adu"), "PRIMARY has BUNIT adu"),
    (with_data("UNCERT", np.zeros_like), "UNCERT is 0 in all pixels of the orders"),
    (with_data("UNCERT", lambda data: data * np.nan), "UNCERT is NaN in all pixels of the orders"),
    (with_data("UNCERT", lambda data: data + np.inf), "UNCERT has .* infinite values"),
    (as_image("LEVELS"), "LEVELS is an image, expected a table"),
    (as_image("PROVENANCE"), "PROVENANCE is an image, expected a table"),
    (with_data("MASK", np.zeros_like), "MASK lacks 9 pixels that are bad according to FLAGS"),
    (with_data("MASK", lambda data: 1 - data), "MASK lacks 9 pixels"),
    (with_rows("LEVELS", 2), "LEVELS has 2 rows, expected those of 3 frames"),
    (with_cell("LEVELS", "level", np.nan), "LEVELS has 1 levels that are not positive numbers"),
    (with_rows("ORDERS", 2), "ORDERS and FLAGS are inconsistent"),
    (with_data("FLAGS", np.zeros_like), "PRIMARY has .* not above zero and have no flag"),
])
def test_a_file_that_is_not_whole_is_refused(with_bad_pixels, tmp_path, change, culprit):
    path = rewritten(with_bad_pixels, tmp_path, change)
    with pytest.raises(ValueError, match=f"cannot read {path} as a master flat: .*{culprit}"):
        MasterFlat.read(path)


@pytest.mark.parametrize("checksum", [False, True])
def test_a_file_that_is_whole_is_read_whoever_wrote_it(with_bad_pixels, tmp_path, checksum):
    path = rewritten(with_bad_pixels, tmp_path, lambda hdus: None, checksum=checksum)
    fits.setval(path, "OBJECT", value="lamp")
    found = MasterFlat.read(path)
    np.testing.assert_array_equal(found.flat.mask, with_bad_pixels.flat.mask)
    np.testing.assert_array_equal(found.flags, with_bad_pixels.flags)
    assert found.flat.header["OBJECT"] == "lamp"


def test_a_mask_may_be_missing_where_nothing_is_bad(master, tmp_path):
    clean = replace(master, flags=master.flags & FlatFlag.INTERORDER)
    found = MasterFlat.read(rewritten(clean, tmp_path, without("MASK")))
    assert found.flat.mask is None


@pytest.mark.parametrize("name", ["PRIMARY", "MASK", "UNCERT", "FLAGS", "ORDERS", "LEVELS",
                                  "QUALITY", "VETTING", "PROVENANCE", "INPUTS"])
def test_one_bit_that_is_not_as_it_was_names_its_extension(master, tmp_path, name):
    path = tmp_path / "master.fits"
    master.write(path)
    with fits.open(path) as hdus:
        place = hdus[name].fileinfo()["datLoc"] + hdus[name].size // 3
    content = np.fromfile(path, "u1")
    content[place] ^= 16
    content.tofile(path)
    with pytest.raises(ValueError, match=f"{name} is damaged: its content"):
        MasterFlat.read(path)


def test_what_could_not_be_read_is_not_written(master, tmp_path):
    bare = CCDData(master.flat.data, unit="")
    for parts, culprit in (({"flat": bare}, "UNCERT"), ({"levels": master.levels[:0]}, "LEVELS"),
                           ({"flags": master.flags | 2**14}, "FLAGS")):
        with pytest.raises(ValueError, match=culprit):
            replace(master, **parts).write(tmp_path / "master.fits")
    assert list(tmp_path.iterdir()) == []


def test_reading_and_writing_again_is_the_same_file(master, tmp_path):
    master.write(tmp_path / "a.fits")
    MasterFlat.read(tmp_path / "a.fits").write(tmp_path / "b.fits")
    assert (tmp_path / "a.fits").read_bytes() == (tmp_path / "b.fits").read_bytes()


# ---------------------------------------------------------------------- cards of the raw file


STALE = ("CHECKSUM", "DATASUM", "BZERO", "BSCALE", "BLANK", "DATAMAX", "EXTNAME", "INHERIT")


@pytest.fixture(params=["primary", "extension", "tile-compressed"])
def raw_flats(tmp_path, request):
    """Raw integers whose header says much of their file."""
    paths = []
    for i, flat in enumerate(SIMULATION.flats(3)):
        data = np.maximum(flat.data, 0).astype("u2")
        header = fits.Header({"BUNIT": "adu", "OBJECT": "lamp", "DATAMAX": 9})
        if request.param == "primary":
            hdus = [fits.PrimaryHDU(data, header)]
        else:
            kind = fits.ImageHDU if request.param == "extension" else fits.CompImageHDU
            header["INHERIT"] = True
            hdus = [fits.PrimaryHDU(), kind(data, header, name="MASK_OF_IT")]
        paths.append(tmp_path / f"raw_{i}.fits")
        fits.HDUList(hdus).writeto(paths[-1], checksum=True)
    return paths


def as_read(path):
    """In memory; CCDData passes over images that are tile-compressed."""
    with fits.open(path) as hdus:
        return CCDData.read(path, hdu=len(hdus) - 1)


# These flats still have their bias.
@pytest.mark.filterwarnings("ignore:the noise of the frames cannot be measured")
@pytest.mark.filterwarnings("ignore:the frames have an offset")
@pytest.mark.parametrize("make", [
    lambda raw, orders: combine_frames(raw),
    lambda raw, orders: combine_frames([as_read(path) for path in raw]),
    lambda raw, orders: two_pass_flat_combine(raw, orders),
    lambda raw, orders: make_master_flat(raw, orders, scattered_light=None).flat,
    lambda raw, orders: mask_interorder(as_read(raw[0]), orders),
    lambda raw, orders: mask_low_sensitivity(as_read(raw[0]), orders),
    lambda raw, orders: subtract_scattered_light(as_read(raw[0]), orders),
])
def test_what_a_header_says_of_the_raw_file_stays_there(raw_flats, tmp_path, make):
    ccd = make(raw_flats, SIMULATION.truth.orders)
    assert ccd.header["OBJECT"] == "lamp"
    assert [key for key in STALE if key in ccd.header] == []
    ccd.write(tmp_path / "out.fits")
    with fits.open(tmp_path / "out.fits", checksum=True) as hdus:
        assert hdus[0].name == "PRIMARY" and hdus[0].shape == ccd.shape


def test_a_combined_file_has_checksums(raw_flats, tmp_path):
    combine_frames(raw_flats, tmp_path / "out.fits")
    with fits.open(tmp_path / "out.fits", checksum=True) as hdus:
        assert [hdu.verify_checksum() for hdu in hdus] == [1] * len(hdus)


# ---------------------------------------------------------------------- in a notebook


def test_html_begins_with_the_line(master):
    assert master._repr_html_().startswith(f"<p>{repr(master)[1:-1]}</p><img ")


def test_html_has_all_rows_of_the_quality(master):
    assert [row[0] for row in quality_rows(master)] == list(master.quality["name"])


def test_html_has_numbers_of_four_digits(master):
    for row, (_, value, *_) in zip(master.quality, quality_rows(master), strict=True):
        if np.isfinite(row["value"]):
            assert float(value) == pytest.approx(row["value"], rel=5e-4)
            assert len(re.sub(r"e.*|^-?[0.]*|\.", "", value)) <= 4
        else:
            assert value == ""


def test_html_leaves_limits_empty_that_are_not_set(master):
    limits = {row[0]: row[3] for row in quality_rows(master)}
    assert limits["level_median"] == ""
    assert limits["edge_rms_median"] == "≤ 0.25"
    assert limits["inner_mean"] == "0.9 to 1.1"
    assert not any("nan" in cell for row in quality_rows(master) for cell in row)


def test_html_of_a_master_without_quality_ends_with_the_picture(master):
    html = replace(master, quality=QTable())._repr_html_()
    assert html.endswith('alt="master flat">')


# ---------------------------------------------------------------------- on a page


def test_plot_is_the_summary_page(master):
    pytest.importorskip("matplotlib", reason="figures need matplotlib")
    figure = master.plot()
    assert figure.get_suptitle().endswith("master flat of 3 frames")
    texts = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert "inner mean" in texts


@pytest.mark.parametrize("name", [
    "master.png", "master.TXT", "master.npz", "master.zip", "master.fits.Z",
])
def test_it_is_not_written_to_the_name_of_another_kind_of_file(master, tmp_path, name):
    with pytest.raises(ValueError, match=f"cannot write .*{name}: a master flat is a FITS file"):
        master.write(tmp_path / name)
    assert not list(tmp_path.iterdir())
