# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Hostile input: a right answer or one clear error, and never a file that is half written.

A clear error is a ValueError, TypeError or OSError whose message names the culprit.
"""

import contextlib
import gzip
import io
import os
import re
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import (
    CCDData,
    StdDevUncertainty,
    UnknownUncertainty,
    VarianceUncertainty,
)
from astropy.utils.exceptions import AstropyUserWarning

from ccdproc_echelle import (
    EchelleOrderTable,
    MasterFlat,
    combine_frames,
    detect_order_edges,
    find_bad_response,
    fit_scattered_light,
    flat_quality,
    frame_shift,
    inner_order_scale,
    make_master_flat,
    mask_interorder,
    mask_low_sensitivity,
    measure_exposure_levels,
    measure_noise,
    measure_order_edges,
    measure_shift,
    normalize_flat,
    order_quality,
    recenter,
    stitch_flats,
    subtract_scattered_light,
    trace_orders,
    two_pass_flat_combine,
    vet_frames,
)
from ccdproc_echelle.cli import main
from ccdproc_echelle.frames import open_frames
from ccdproc_echelle.simulation import EchelleSimulation

SHAPE = (96, 128)
SIMULATION = EchelleSimulation(shape=SHAPE, n_orders=3, seed=5)
ORDERS = SIMULATION.truth.orders
NUMBERS, CENTERS = ORDERS.order_numbers, np.array(ORDERS.center())
FLATS = SIMULATION.flats(3)
DATA = FLATS[1].data
CLEAR = (ValueError, TypeError, OSError)

# What astropy has to say of a damaged file besides is of no interest here.
of_damaged_files = pytest.mark.filterwarnings("ignore")


def header(**cards):
    return fits.Header({"BUNIT": "adu"} | cards)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory: two good flats without uncertainty and an order table."""
    monkeypatch.chdir(tmp_path)
    for i in (0, 2):
        fits.writeto(f"good_{i}.fits", FLATS[i].data, header())
    ORDERS.write("orders.ecsv")
    return tmp_path


def contents(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def run(*arguments):
    """Exit status and standard error of the command line."""
    with contextlib.redirect_stderr(io.StringIO()) as stderr:
        with contextlib.redirect_stdout(io.StringIO()):
            status = main(list(arguments))
    return status, stderr.getvalue()


def assert_clear(call, culprit):
    with pytest.raises(CLEAR) as caught:
        call()
    assert re.search(culprit, str(caught.value)), str(caught.value)


# ---------------------------------------------------------------------- damaged and odd files


def image_bytes():
    file = io.BytesIO()
    fits.PrimaryHDU(DATA, header()).writeto(file)
    return file.getvalue()


def with_card(keyword, value):
    return re.sub(rf"{keyword:8}= +-?\d+".encode(), f"{keyword:8}= {value:>20}".encode(),
                  image_bytes())


def hdus_bytes(*hdus):
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(file)
    return file.getvalue()


def companion_bytes(hdu):
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(DATA, header()), hdu]).writeto(file)
    return file.getvalue()


def table_hdu(**keywords):
    return fits.BinTableHDU.from_columns([fits.Column("a", "D", array=[1.0])], **keywords)


BAD_FILES = {
    "empty file": lambda: b"",
    "text": lambda: b"no image at all\n" * 300,
    "any bytes": lambda: bytes(range(256)) * 30,
    "half a card": lambda: image_bytes()[:100],
    "header alone": lambda: image_bytes()[:2880],
    "half an image": lambda: image_bytes()[:20000],
    "last bytes lost": lambda: image_bytes()[:-2883],  # and the padding of the last block
    "negative axis": lambda: with_card("NAXIS1", "-128"),
    "axis is no number": lambda: with_card("NAXIS1", "xyz"),
    "enormous axis": lambda: with_card("NAXIS1", "9999999999999"),
    "shorter axis": lambda: with_card("NAXIS1", "12"),
    "unknown BITPIX": lambda: with_card("BITPIX", "17"),
    "no END": lambda: image_bytes().replace(b"END     ", b"ENT     "),
    "damaged gzip": lambda: b"\x1f\x8b" + bytes(range(256)) * 30,
    "truncated gzip": lambda: gzip.compress(image_bytes())[:3000],
    "no image": lambda: hdus_bytes(),
    "empty extension": lambda: hdus_bytes(fits.ImageHDU()),
    "a table": lambda: hdus_bytes(table_hdu()),
    "a cube": lambda: hdus_bytes(fits.ImageHDU(np.zeros((2, *SHAPE)), header())),
    "a line": lambda: hdus_bytes(fits.ImageHDU(np.zeros(128), header())),
    "one pixel": lambda: hdus_bytes(fits.ImageHDU(np.ones((1, 1)), header())),
    "one row": lambda: hdus_bytes(fits.ImageHDU(np.ones((1, 128)), header())),
    "unknown unit": lambda: hdus_bytes(fits.ImageHDU(DATA, header(BUNIT="parrots"))),
    "a number as unit": lambda: hdus_bytes(fits.ImageHDU(DATA, header(BUNIT=3))),
    "another unit": lambda: hdus_bytes(fits.ImageHDU(DATA, header(BUNIT="electron"))),
    "small mask": lambda: companion_bytes(fits.ImageHDU(np.zeros((5, 5), "u1"), name="MASK")),
    "mask is a table": lambda: companion_bytes(table_hdu(name="MASK")),
    "small uncertainty": lambda: companion_bytes(fits.ImageHDU(np.ones((5, 5)), name="UNCERT")),
    "empty uncertainty": lambda: companion_bytes(fits.ImageHDU(name="UNCERT")),
    "negative uncertainty": lambda: companion_bytes(fits.ImageHDU(-DATA * 0 - 1, name="UNCERT")),
    "unknown uncertainty": lambda: companion_bytes(
        fits.ImageHDU(DATA, fits.Header({"UTYPE": "FWHM"}), name="UNCERT")
    ),
}


@of_damaged_files
@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_named(folder, name):
    Path("bad.fits").write_bytes(BAD_FILES[name]())
    before = contents(folder)
    # Of frames of which only some have uncertainties, these are not looked at.
    files = ["bad.fits"] if "uncertainty" in name else ["good_0.fits", "bad.fits", "good_2.fits"]
    calls = [
        lambda: combine_frames(files, "out.fits"),
        lambda: two_pass_flat_combine(files, ORDERS, "out.fits"),
        lambda: make_master_flat(files, ORDERS, scattered_light=None),
        lambda: MasterFlat.read("bad.fits"),
        lambda: EchelleOrderTable.read("bad.fits"),
        lambda: EchelleOrderTable.read("bad.fits", format="soxspipe"),
    ]
    if name in ("one pixel", "one row", "another unit"):  # which is not wrong in itself
        calls = calls[:3]
    for call in calls:
        # Values are looked at after the frames were loaded, in which they go by their number.
        assert_clear(call, "bad.fits|frame 0 has a negative uncertainty")
    status, message = run("flat", *files, "--orders", "orders.ecsv", "--scattered-light", "none",
                          "-o", "out.fits")
    assert status == 1 and "error: " in message
    assert "bad.fits" in message or "frame 0 has a negative uncertainty" in message
    assert contents(folder) == before


@pytest.mark.parametrize("make", [
    lambda path: None,
    lambda path: path.mkdir(),
    lambda path: path.symlink_to("nowhere"),
    lambda path: path.symlink_to(path.name),
    lambda path: path.symlink_to(os.devnull),
], ids=["missing", "folder", "link to nowhere", "link to itself", "device"])
def test_what_is_no_file_is_named(folder, make):
    make(Path("bad.fits"))
    before = contents(folder)
    assert_clear(lambda: combine_frames(["good_0.fits", "bad.fits"], "out.fits"), "bad.fits")
    assert_clear(lambda: make_master_flat(["good_0.fits"], ORDERS, dark="bad.fits"), "bad.fits")
    assert_clear(lambda: EchelleOrderTable.read("bad.fits"), "bad.fits")
    assert_clear(lambda: MasterFlat.read("bad.fits"), "bad.fits")
    for command in (["trace", "bad.fits"], ["edges", "bad.fits", "--orders", "orders.ecsv"],
                    ["convert", "bad.fits"]):
        status, message = run(*command, "-o", "out.ecsv")
        assert status == 1 and "bad.fits" in message
    assert contents(folder) == before


@pytest.mark.parametrize("name", ["with blanks.fits", "with, comma.fits", "Flüsse 平场.fits",
                                  "'quotes'.fits", "-dash.fits", "no_suffix", "link", "packed"])
def test_any_name_will_do(folder, name):
    path = Path(name)
    if name == "link":
        path.symlink_to("good_0.fits")
    elif name == "packed":
        path.write_bytes(gzip.compress(Path("good_0.fits").read_bytes()))
    else:
        path.write_bytes(Path("good_0.fits").read_bytes())
    expected = combine_frames(["good_0.fits", "good_2.fits"])
    combined = combine_frames([path, "good_2.fits"], folder / f"out {name}")
    np.testing.assert_array_equal(combined.data, expected.data)
    np.testing.assert_array_equal(CCDData.read(folder / f"out {name}").data, expected.data)


def test_a_master_of_files_with_any_name(folder):
    names = ["with blanks.fits", "Flüsse 平场.fits", "a\\b.fits"]
    for name, flat in zip(names, FLATS, strict=True):
        flat.write(name)
    master = make_master_flat([Path(name) for name in names], ORDERS, scattered_light=None)
    master.write("Ströme.fits")
    found = MasterFlat.read("Ströme.fits")
    np.testing.assert_array_equal(found.flat.data, master.flat.data)
    assert found.levels["frame"].tolist() == [
        "with blanks.fits", r"Fl\xfcsse \u5e73\u573a.fits", r"a\b.fits"
    ]
    assert master.levels["frame"].tolist() == names


@pytest.mark.parametrize(("kind", "variance"), [
    ("std", DATA**2), ("var", DATA), ("VarianceUncertainty", DATA), (None, DATA**2),
])
def test_every_name_of_an_uncertainty(folder, kind, variance):
    cards = fits.Header({} if kind is None else {"UTYPE": kind})
    Path("frame.fits").write_bytes(companion_bytes(fits.ImageHDU(DATA, cards, name="UNCERT")))
    expected = CCDData(DATA, unit="adu", uncertainty=VarianceUncertainty(variance))
    levels = measure_exposure_levels(["frame.fits"] * 2, ORDERS)
    np.testing.assert_allclose(
        levels["level_uncertainty"], measure_exposure_levels([expected] * 2, ORDERS)[
            "level_uncertainty"]
    )
    whole = open_frames(["frame.fits"])[0].ccddata().uncertainty
    np.testing.assert_allclose(whole.represent_as(VarianceUncertainty).array, variance)


# ---------------------------------------------------------------------- number types and values


def changed(change, i=1):
    """The flats, the data of one of them changed."""
    flats = [flat.copy() for flat in FLATS]
    flats[i] = CCDData(change(DATA), unit="adu", uncertainty=flats[i].uncertainty)
    return flats


@pytest.mark.parametrize("dtype", ["i2", "i4", "i8", "u2", ">u2", ">f4", ">i4", "f2", "f8", "g"])
def test_every_number_type_is_combined_exactly(dtype):
    whole = np.clip(np.round(DATA), 0, 30000)
    stored = whole.astype(dtype)
    expected = combine_frames(changed(lambda data: stored.astype("f8")), dtype="f8")
    combined = combine_frames(changed(lambda data: stored), dtype="f8")
    np.testing.assert_allclose(combined.data, expected.data, rtol=1e-6)
    flat = two_pass_flat_combine(changed(lambda data: stored), ORDERS)
    assert np.mean(flat.data[ORDERS.inner_mask(10)]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("change", [
    lambda data: data.astype(complex),
    lambda data: data.astype(str),
    lambda data: data.astype("i8").astype("M8[s]"),
    lambda data: data[0],
    lambda data: data[None],
    lambda data: data[:0],
    lambda data: data[:1],
    lambda data: data[:1, :1],
    lambda data: data * 0,
    lambda data: -data,
    lambda data: data * np.nan,
    lambda data: np.full(SHAPE, np.inf),
    lambda data: np.full(SHAPE, -np.inf),
], ids=["complex", "text", "dates", "1-D", "3-D", "nothing", "one row", "one pixel", "zero",
        "negative", "NaN", "infinity", "minus infinity"])
def test_a_frame_that_is_no_flat_is_named(change):
    flats = [flat.copy() for flat in FLATS]
    flats[1] = CCDData(change(DATA), unit="adu")
    for flat in flats:
        flat.uncertainty = None
    assert_clear(lambda: two_pass_flat_combine(flats, ORDERS), "frame 1")
    assert_clear(
        lambda: make_master_flat(flats, ORDERS, scattered_light=None, reject="error"), "frame 1"
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_bad_value_is_left_out(bad):
    flats = changed(lambda data: np.where(np.arange(data.size).reshape(SHAPE) == 5000, bad, data))
    masked = changed(np.array)
    masked[1].mask = np.arange(DATA.size).reshape(SHAPE) == 5000
    np.testing.assert_array_equal(
        two_pass_flat_combine(flats, ORDERS).data, two_pass_flat_combine(masked, ORDERS).data
    )


@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_huge_and_tiny_values(factor):
    flats = [CCDData(flat.data.astype("f8") * factor, unit="adu") for flat in FLATS]
    expected = two_pass_flat_combine([CCDData(f.data, unit="adu") for f in FLATS], ORDERS)
    found = two_pass_flat_combine(flats, ORDERS)
    np.testing.assert_allclose(found.data, expected.data, rtol=1e-4, atol=1e-4)


def test_values_whose_squares_are_no_numbers():
    frame = CCDData(DATA.astype("f8") * 1e300, unit="adu")
    assert_clear(lambda: fit_scattered_light(frame, ORDERS), r"values of .*e\+30\d, expected")


def test_a_frame_all_masked():
    flats = [flat.copy() for flat in FLATS]
    flats[1].mask = np.ones(SHAPE, dtype=bool)
    expected = combine_frames([flats[0], flats[2]])
    np.testing.assert_allclose(combine_frames(flats).data, expected.data, rtol=1e-6)
    assert_clear(lambda: two_pass_flat_combine(flats, ORDERS), "frame 1")


def test_all_frames_masked():
    flats = [flat.copy() for flat in FLATS]
    for flat in flats:
        flat.mask = np.ones(SHAPE, dtype=bool)
    with pytest.warns(AstropyUserWarning, match="frame 0 and 2 others has no values"):
        combined = combine_frames(flats)
    assert combined.mask.all() and np.isnan(combined.data).all()
    assert_clear(lambda: two_pass_flat_combine(flats, ORDERS), "frame 0, frame 1, frame 2")


def test_object_arrays_are_refused_by_ccddata():
    assert_clear(lambda: CCDData(DATA.astype(object), unit="adu"), "array")
    assert_clear(lambda: combine_frames([DATA.astype(object)]), "img_list holds a ndarray")


@pytest.mark.parametrize("unit", ["electron", "", "m"])
def test_another_unit(unit):
    flats = [*FLATS[:2], CCDData(DATA, unit=unit)]
    assert_clear(lambda: combine_frames(flats), "frame 2 has unit|no uncertainty in")


# ---------------------------------------------------------------------- uncertainties


@pytest.mark.parametrize(("array", "culprit"), [
    (-np.ones(SHAPE), "frame 1 has a negative uncertainty"),
    (np.full(SHAPE, np.inf), "frame 1"),
    (np.ones((3, 3)), "uncertainty of frame 1 has shape"),
], ids=["negative", "infinite", "wrong shape"])
def test_bad_uncertainties(array, culprit):
    flats = [flat.copy() for flat in FLATS]
    flats[1].uncertainty = StdDevUncertainty(array)
    assert_clear(lambda: two_pass_flat_combine(flats, ORDERS), culprit)


def test_uncertainties_of_one_frame_that_are_not_known():
    flats = [flat.copy() for flat in FLATS]
    flats[1].uncertainty = StdDevUncertainty(np.full(SHAPE, np.nan))
    with pytest.warns(AstropyUserWarning, match="most uncertainties of frame 1 are NaN. They are"):
        combined = two_pass_flat_combine(flats, ORDERS)
    assert np.isfinite(combined.uncertainty.array[~combined.mask]).all()


def test_uncertainties_of_zero():
    flats = [CCDData(f.data, unit="adu", uncertainty=StdDevUncertainty(0 * f.data)) for f in FLATS]
    bare = [CCDData(flat.data, unit="adu") for flat in FLATS]
    with pytest.warns(AstropyUserWarning, match="most uncertainties are 0. They are not used"):
        combined = combine_frames(flats)
    expected = combine_frames(bare)
    np.testing.assert_array_equal(combined.data, expected.data)
    np.testing.assert_array_equal(combined.uncertainty.array, expected.uncertainty.array)
    assert_clear(lambda: combine_frames(flats, weights="inverse_variance"), "frame 0")


def test_uncertainties_of_unknown_type_in_one_frame():
    flats = [flat.copy() for flat in FLATS]
    flats[1].uncertainty = UnknownUncertainty(DATA)
    with pytest.warns(AstropyUserWarning, match="no uncertainty in frame 1: those of the other"):
        combined = combine_frames(flats)
    bare = combine_frames([CCDData(flat.data, unit="adu") for flat in FLATS])
    np.testing.assert_array_equal(combined.uncertainty.array, bare.uncertainty.array)


def test_uncertainties_of_unknown_type():
    flats = [CCDData(flat.data, unit="adu") for flat in FLATS]
    bare = combine_frames(flats)
    for flat in flats:
        flat.uncertainty = UnknownUncertainty(DATA)
    combined = combine_frames(flats)
    np.testing.assert_array_equal(combined.uncertainty.array, bare.uncertainty.array)


# ---------------------------------------------------------------------- order tables


def traces(numbers=NUMBERS, centers=CENTERS, **keywords):
    options = {"shape": SHAPE, "dispersion_axis": 1} | keywords
    return EchelleOrderTable.from_traces(numbers, centers, **options)


@pytest.mark.parametrize(("make", "culprit"), [
    (lambda: traces(centers=np.where(np.arange(3)[:, None] == 1, np.nan, CENTERS)), "order 12"),
    (lambda: traces([1, 1, 2]), "unique"),
    (lambda: traces([0, 1, 2]), "order number 0"),
    (lambda: traces([1.5, 2, 3]), "integers"),
    (lambda: traces([np.nan, 2, 3]), "integers"),
    (lambda: traces([1, 2]), "2 orders"),
    (lambda: traces([], np.zeros((0, 128))), "order_numbers is empty"),
    (lambda: traces(lower=ORDERS.upper(), upper=ORDERS.lower()), "upper edge not above"),
    (lambda: traces(lower=CENTERS - 3), "one edge"),
    (lambda: traces(dispersion_axis=0), "128 pixels"),
    (lambda: traces(dispersion_axis=2), "dispersion_axis is 2"),
    (lambda: traces(shape=(0, 128)), "shape"),
    (lambda: traces(shape=(3, *SHAPE)), "shape"),
    (lambda: traces(shape=(200, 128)), r"\(200, 128\), the frame has \(96, 128\)"),
    (lambda: traces(centers=CENTERS + 1e4), "no order centre"),
    (lambda: traces(centers=CENTERS - 1e4), "no order centre"),
    (lambda: traces(centers=CENTERS * 1e100), "no order centre"),
    (lambda: traces(degree=500), "degree 500"),
    (lambda: EchelleOrderTable.from_polynomials(
        [7], [[np.nan, 1]], shape=SHAPE, dispersion_axis=1), r"orders \[7\]"),
    (lambda: ORDERS.transposed(), r"the frame has \(96, 128\)"),
    (lambda: "orders.ecsv", "orders is a str"),
    (lambda: 5, "orders is a int"),
])
def test_an_order_table_that_cannot_be(make, culprit):
    assert_clear(lambda: two_pass_flat_combine(FLATS, make()), culprit)
    assert_clear(lambda: make_master_flat(FLATS, make()), culprit)
    assert_clear(lambda: measure_exposure_levels(FLATS, make()), culprit)
    assert_clear(lambda: detect_order_edges(FLATS[0], make()), culprit)


@pytest.mark.parametrize("make", [
    lambda: traces(NUMBERS[::-1], CENTERS[::-1]),
    lambda: traces(centers=np.where(np.arange(128) % 2, CENTERS, np.nan)),
    lambda: traces(centers=np.where(np.arange(128) == 3, np.inf, CENTERS)),
    lambda: traces(centers=np.ma.array(CENTERS, mask=np.arange(128) + 0 * CENTERS < 9)),
], ids=["other sequence", "every other pixel", "one infinite", "masked"])
def test_an_order_table_with_gaps_gives_the_same_flat(make):
    expected = two_pass_flat_combine(FLATS, ORDERS)
    found = two_pass_flat_combine(FLATS, make())
    ratio = found.data / expected.data
    assert ratio.std() < 3e-3 and ratio.mean() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("use", [
    lambda orders: two_pass_flat_combine(FLATS, orders),
    lambda orders: measure_exposure_levels(FLATS, orders),
    lambda orders: inner_order_scale(orders)(FLATS[0]),
    lambda orders: make_master_flat(FLATS, orders),
    lambda orders: detect_order_edges(FLATS[0], orders),
    lambda orders: fit_scattered_light(FLATS[0], orders),
], ids=["two passes", "levels", "scale", "recipe", "edges", "scattered light"])
def test_an_order_given_twice_is_named(use):
    orders = traces(centers=CENTERS[[0, 0, 1]])
    assert_clear(lambda: use(orders), r"order table, orders \[11, 12\] have the same centre")


def test_orders_that_cross_are_no_orders_of_the_flats():
    crossing = np.linspace(CENTERS[0, 0], CENTERS[2, -1], 128)
    orders = traces(centers=np.vstack([crossing, CENTERS[1:]]))
    assert_clear(
        lambda: make_master_flat(FLATS, orders), "the order table does not belong to this frame"
    )


# ---------------------------------------------------------------------- text of each format


@pytest.mark.parametrize(("old", "new", "culprit"), [
    ("12 -0.5", '12 ""', "row 2 has no value in column 'pixel_min'"),
    ("12 -0.5", "12 nan", r"orders \[12\]"),
    ("12 -0.5", '"" -0.5', "order number 0"),
    ("12 -0.5", '12 -0.5 ""', "inconsistent"),
    (r"(?<=12 -0.5 127.5 \[)[^,]+", "null", "row 2 has no value in column 'center'"),
    (r"(?<=12 -0.5 127.5 \[)[^,]+", "NaN", r"orders \[12\]"),
    (r"(?<=12 -0.5 127.5 )\S+", '""', "row 2 has no value in column 'center'"),
    ("dispersion_axis: 1", "dispersion_axis: 3", "dispersion_axis is 3"),
    (r"\[96, 128\]", "[96]", "shape is"),
])
def test_a_damaged_native_order_table_is_named(folder, old, new, culprit):
    text, n_changes = re.subn(old, new, Path("orders.ecsv").read_text(), count=1)
    assert n_changes == 1
    Path("bad.ecsv").write_text(text)
    assert_clear(lambda: EchelleOrderTable.read("bad.ecsv"), f"bad.ecsv.*{culprit}")


@pytest.mark.parametrize(("format", "text"), [
    ("ecsv", "# %ECSV 1.0\n"),
    ("ecsv", "# %ECSV 1.0\n# ---\n# datatype: 3\norder\n1\n"),
    ("iraf", "begin\taperture\n"),
    ("iraf", "begin\taperture x 1 a b\n\tcurve\t3\n"),
    ("kpf", ",Coeff0,Coeff1\n0,1\n"),
    ("kpf", ",Coeff0,Coeff1,BottomEdge,TopEdge,X1,X2\n0,nan,1,6,6,0,99\n"),
    ("samples", "1 2\n3\n"),
    ("samples", "1 2 x\n"),
    ("samples", "nan nan\n" * 128),
    ("samples", "1 2\n" * 7),
    ("soxspipe", "order,degy,CENT_c0\n1,x,y\n"),
    ("soxspipe", "order,degy,CENT_c0\n1,0,nan\n"),
    ("pyreduce", "PK\x03\x04"),
    ("pypeit", "SIMPLE  = T"),
    ("cr2res", "SIMPLE  = T"),
    ("ds9", "circle(1,1,1)"),
])
@of_damaged_files
def test_malformed_text_is_named(folder, format, text):
    Path("bad.txt").write_text(text)
    before = contents(folder)
    for name in (format, None):
        assert_clear(
            lambda name=name: EchelleOrderTable.read("bad.txt", format=name, shape=SHAPE),
            "bad.txt|format is 'ds9'",
        )
    status, message = run("convert", "bad.txt", "--shape", "96", "128", "-o", "out.ecsv")
    assert status == 1 and "bad.txt" in message
    status, message = run("flat", "good_0.fits", "--orders", "bad.txt", "-o", "out.fits")
    assert status == 1 and "bad.txt" in message
    assert contents(folder) == before


# ---------------------------------------------------------------------- outputs and resources


@pytest.mark.parametrize(("output", "error"), [
    ("missing/out.fits", FileNotFoundError),
    (".", IsADirectoryError),
    ("good_0.fits", FileExistsError),
    ("good_0.fits/out.fits", FileNotFoundError),
])
def test_where_nothing_can_be_written(folder, output, error):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for call in (
        lambda: combine_frames(FLATS, output),
        lambda: two_pass_flat_combine(FLATS, ORDERS, output),
        lambda: ORDERS.write(output),
    ):
        with pytest.raises(error, match=re.escape(output)):
            call()
    status, message = run("convert", "orders.ecsv", "-o", output)
    assert status == 1 and output in message
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.fixture
def raw(folder):
    """The working directory with every kind of input, and what was in them."""
    for path in SIMULATION.write(folder, 2, 1)[0]:
        Path(f"{path}.gz").write_bytes(gzip.compress(path.read_bytes()))
    Path("limits.yaml").write_text("frames_used: [1, null]\n")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def linked(name, link):
    """Another name of a file."""
    if link is None:
        return name
    link(name if link is os.link else Path(name).absolute(), "another.fits")
    return "another.fits"


@pytest.mark.parametrize("link", [None, os.symlink, os.link], ids=["path", "symbolic", "hard"])
@pytest.mark.parametrize("names", [["flat_01.fits", "flat_02.fits"],
                                   ["flat_01.fits.gz", "flat_02.fits.gz"]])
def test_no_function_replaces_its_input(raw, names, link):
    output = linked(names[1], link)
    for call in (
        lambda: combine_frames(names, output, overwrite_output=True),
        lambda: combine_frames(",".join(names), output, overwrite_output=True),
        lambda: two_pass_flat_combine(names, ORDERS, Path(output), overwrite_output=True),
        lambda: make_master_flat(names, ORDERS, scattered_light=None).write(
            output, overwrite=True),
    ):
        assert_clear(call, f"cannot write {output}: it is the input {names[1]}")
    assert {name: Path(name).read_bytes() for name in raw} == raw


@pytest.mark.parametrize("link", [None, os.symlink, os.link], ids=["path", "symbolic", "hard"])
@pytest.mark.parametrize("command, victims", [
    ("flat flat_01.fits flat_02.fits --dark dark_01.fits --bias good_0.fits --orders orders.ecsv "
     "--limits limits.yaml -o OUTPUT", 6),
    ("flat flat_01.fits flat_02.fits --dark dark_01.fits --bias good_0.fits --orders orders.ecsv "
     "--limits limits.yaml -o new.fits --plot OUTPUT", 6),
    ("trace flat_01.fits -o OUTPUT", 1),
    ("edges flat_01.fits --orders orders.ecsv -o OUTPUT", 2),
    ("convert orders.ecsv --to soxspipe -o OUTPUT", 1),
])
def test_no_command_replaces_its_input(raw, command, victims, link, monkeypatch):
    monkeypatch.setattr("ccdproc_echelle.cli.flat.make_master_flat", pytest.fail)
    inputs = [word for word in command.split() if word in raw]
    assert len(inputs) == victims
    for name in inputs:
        output = linked(name, link)
        words = [output if word == "OUTPUT" else word for word in command.split()]
        status, message = run(*words, "--overwrite")
        assert status == 1 and f"cannot write {output}: it is the input {name}" in message
        if link is not None:
            Path(output).unlink()
        assert {path.name: path.read_bytes() for path in Path().iterdir()} == raw


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="root may do everything")
def test_files_and_folders_without_permission(folder):
    Path("good_0.fits").chmod(0)
    assert_clear(lambda: combine_frames("good_0.fits"), "good_0.fits")
    folder.chmod(0o500)
    try:
        assert_clear(lambda: combine_frames(FLATS, "out.fits"), r"Permission denied")
    finally:
        folder.chmod(0o700)


LIMITED = """
import contextlib, io, os, resource
from ccdproc_echelle import *
os.chdir(folder)
resource.setrlimit(getattr(resource, limit), (value, value))
with contextlib.redirect_stdout(io.StringIO()) as printed:
    exec(code)
connection.send(printed.getvalue())
"""


@pytest.fixture
def limited(folder, forkserver):
    """Runs code under a limit of the system, and returns the lines that it prints."""
    pytest.importorskip("resource", reason="no limits on this system")

    def run(limit, value, code):
        ours, theirs = forkserver.Pipe(duplex=False)
        names = {"folder": folder, "limit": limit, "value": value, "code": code}
        process = forkserver.Process(target=exec, args=(LIMITED, names | {"connection": theirs}))
        process.start()
        theirs.close()
        printed = ours.recv()
        process.join()
        assert process.exitcode == 0
        return printed.splitlines()

    return run


def test_a_full_disk_leaves_the_old_file(folder, limited):
    calls = [
        "two_pass_flat_combine(names, orders, 'out.fits', overwrite_output=True)",
        "orders.write('out.fits', format='soxspipe', overwrite=True)",
        "make_master_flat(names, orders, scattered_light=None).write('out.fits', overwrite=True)",
    ]
    Path("out.fits").write_bytes(b"old")
    errors = limited("RLIMIT_FSIZE", 1000, (
        "names = ['good_0.fits', 'good_2.fits']\n"
        "orders = EchelleOrderTable.read('orders.ecsv')\n"
        f"for call in {calls}:\n"
        "    try:\n"
        "        eval(call)\n"
        "    except OSError as error:\n"
        "        print(error, '| left', sorted(os.listdir()), open('out.fits').read())\n"
    ))
    assert len(errors) == len(calls)
    for error in errors:
        message, left = error.rstrip().split(" | left ")
        assert "out.fits" in message
        assert left == f"{contents(folder)} old"


def test_hundreds_of_frames_and_few_open_files(folder, limited):
    orders = EchelleOrderTable.from_polynomials([1], [[8.0]], shape=(16, 20), dispersion_axis=1)
    orders.write("small.ecsv")
    fits.writeto("many.fits", np.ones((16, 20), dtype="f4"), header())
    head, rest = Path("many.fits").read_bytes()[:2880], bytes(2880 - 16 * 20 * 4)
    for i in range(300):
        data = np.full((16, 20), 1 + i, dtype=">f4").tobytes()
        Path(f"many_{i:04d}.fits").write_bytes(head + data + rest)
    (printed,) = limited("RLIMIT_NOFILE", 40, (
        "names = [f'many_{i:04d}.fits' for i in range(300)]\n"
        "orders = EchelleOrderTable.read('small.ecsv')\n"
        "print(combine_frames(names).data.mean(), two_pass_flat_combine(names, orders).data.std())"
    ))
    mean, scatter = printed.split()
    assert mean == "150.5"
    assert float(scatter) < 1e-6


# ---------------------------------------------------------------------- images and slices


@pytest.mark.parametrize("use", [
    trace_orders,
    lambda flat: detect_order_edges(flat, ORDERS),
    lambda flat: fit_scattered_light(flat, ORDERS),
    lambda flat: inner_order_scale(ORDERS)(flat),
    lambda flat: mask_interorder(flat, ORDERS),
    lambda flat: mask_low_sensitivity(flat, ORDERS),
    lambda flat: measure_shift(flat, ORDERS),
    lambda flat: two_pass_flat_combine([flat, flat], ORDERS),
], ids=["trace", "edges", "scattered light", "scale", "inter-order", "low", "shift", "two passes"])
@pytest.mark.parametrize("values", [DATA + 0j, DATA.astype(str)], ids=["complex", "text"])
def test_images_that_are_no_real_numbers(use, values):
    assert_clear(lambda: use(CCDData(values, unit="adu")), "holds .*, expected real numbers")


@pytest.mark.parametrize("use", [
    lambda **options: trace_orders(FLATS[0], **options),
    lambda **options: detect_order_edges(FLATS[0], ORDERS, **options),
], ids=["trace", "edges"])
@pytest.mark.parametrize(("options", "culprit"), [
    (dict(degree=2, slice_width=500), "128 dispersion pixels make 0 slices of 500"),
    (dict(degree=50, slice_width=5), "make 25 slices of 5, .* series of degree 50"),
])
def test_too_few_slices_for_a_series(use, options, culprit):
    assert_clear(lambda: use(**options), culprit)


@pytest.mark.parametrize("use", [
    lambda value: two_pass_flat_combine(FLATS, ORDERS, window=value),
    lambda value: two_pass_flat_combine(FLATS, ORDERS, n_passes=value),
    lambda value: inner_order_scale(ORDERS, window=value),
    lambda value: make_master_flat(FLATS, ORDERS, margin=value),
    lambda value: mask_interorder(FLATS[0], ORDERS, margin=value),
    lambda value: mask_interorder(FLATS[0], ORDERS, fill_value=value),
    lambda value: normalize_flat(FLATS[0], ORDERS, length=value),
    lambda value: detect_order_edges(FLATS[0], ORDERS, sigma=value),
    lambda value: trace_orders(FLATS[0], n_orders=value),
    lambda value: ORDERS.shifted(value),
    lambda value: ORDERS.rebinned(value),
    lambda value: make_master_flat(
        [CCDData(flat.data, unit="adu") for flat in FLATS], ORDERS, gain=1.0, read_noise=value
    ),
], ids=["window", "n_passes", "scale", "margin of the recipe", "margin", "fill_value", "length",
        "sigma", "n_orders", "delta", "factors", "read_noise"])
@pytest.mark.parametrize("value", [True, 3 * u.m, "3", [3, 3, 3]], ids=repr)
def test_what_is_no_plain_number_is_named(use, value):
    assert_clear(lambda: use(value), r"^(\w+ is |factors are ).*expected .*(number|integer)")


def test_numbers_of_pixels_have_no_unit():
    assert_clear(lambda: ORDERS.shifted(3 * u.pix), "delta is <Quantity 3. pix>.*without a unit")


@pytest.mark.parametrize("margin", [1e9, -1e9, -20])
def test_a_margin_that_leaves_nothing(margin):
    assert_clear(lambda: mask_interorder(FLATS[0], ORDERS, margin=margin), f"margin is {margin}")


def test_a_length_beyond_that_of_the_orders():
    found, same = (normalize_flat(FLATS[0], ORDERS, length=n) for n in (10**6, 10**3))
    np.testing.assert_array_equal(found.blaze.data, same.blaze.data)


def test_a_boolean_image_has_no_scattered_light():
    image = CCDData(DATA > 1000, unit="adu")
    assert_clear(lambda: fit_scattered_light(image, ORDERS), "frame holds bool, expected real")


@pytest.mark.parametrize("scale", [[1, 1, 1] * u.m, [1 * u.adu, 1 * u.adu, 1 * u.adu]])
def test_scales_have_no_unit(scale):
    assert_clear(lambda: combine_frames(FLATS, scale=scale), "scale is .*without a unit")
    percent = [100, 50, 200] * u.percent
    np.testing.assert_array_equal(
        combine_frames(FLATS, scale=percent).data, combine_frames(FLATS, scale=[1, 0.5, 2]).data
    )


def test_a_file_named_as_a_frame_in_memory(folder):
    Path("frame 0").write_text("no frame")
    master = make_master_flat(FLATS, ORDERS, scattered_light=None)
    assert master.provenance.inputs["file"][0] == "frame 0"


def test_parts_of_an_order_that_share_a_pixel():
    columns = np.arange(128)
    parts = np.where(columns <= 60, CENTERS[0], np.nan), np.where(columns >= 60, CENTERS[0], np.nan)
    assert_clear(
        lambda: two_pass_flat_combine(FLATS, traces(centers=np.vstack([*parts, CENTERS[1]]))),
        r"orders \[11, 12\] have the same centre at dispersion pixels 60 to 60",
    )


def test_a_degree_for_which_there_are_too_few_slices():
    trace_orders(FLATS[0], degree=6)
    assert_clear(lambda: trace_orders(FLATS[0], degree=50), "least 153 for a series of degree 50")


FLAT = EchelleSimulation(shape=(64, 80), n_orders=2).flats(1)[0]
TABLE = EchelleSimulation(shape=(64, 80), n_orders=2).truth.orders
OF_ONE_FLAT = (
    detect_order_edges, measure_order_edges, measure_shift, recenter, mask_interorder,
    mask_low_sensitivity, find_bad_response, normalize_flat, fit_scattered_light,
    subtract_scattered_light, lambda flat, orders: frame_shift(flat, FLAT, orders),
)


@pytest.mark.parametrize("function", OF_ONE_FLAT)
@pytest.mark.parametrize("flat", [None, "flat.fits", TABLE])
def test_anything_but_a_flat(function, flat):
    with pytest.raises(TypeError, match="^(flat|frame) is .* expected a CCDData"):
        function(flat, TABLE)


@pytest.mark.parametrize("function", [
    *OF_ONE_FLAT, *(lambda flat, orders, f=f: f([flat] * 2, orders) for f in (
        stitch_flats, vet_frames, two_pass_flat_combine, measure_exposure_levels))])
@pytest.mark.parametrize("orders", [None, "orders.ecsv", TABLE.table])
def test_anything_but_an_order_table(function, orders):
    with pytest.raises(TypeError, match="orders is a .*, expected an EchelleOrderTable"):
        function(FLAT, orders)


@pytest.mark.parametrize("function", [flat_quality, order_quality])
def test_anything_but_a_master_flat(function):
    with pytest.raises(TypeError, match="master is a CCDData, expected a MasterFlat"):
        function(FLAT)


@pytest.mark.parametrize("function", [
    lambda frames: stitch_flats(frames, TABLE), lambda frames: vet_frames(frames, TABLE),
    lambda frames: measure_exposure_levels(frames, TABLE), measure_noise,
])
def test_an_argument_is_called_as_it_is(function):
    with pytest.raises(TypeError, match="^(flats|frames) holds a ndarray; expected file names or"):
        function([FLAT.data])


def test_a_master_flat_among_flats_to_stitch():
    simulation = EchelleSimulation(shape=(128, 128), n_orders=3)
    master = make_master_flat(simulation.flats(2), simulation.truth.orders, scattered_light=None)
    with pytest.raises(TypeError, match="flats holds a MasterFlat; .* such as its .flat"):
        stitch_flats({"D2": master, "QTH": master}, TABLE)
