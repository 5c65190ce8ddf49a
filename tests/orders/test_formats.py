# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Files of order tables: what is written is read again, and bad files are refused by name."""

import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable, Table
from astropy.utils.exceptions import AstropyUserWarning
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from ccdproc_echelle import EchelleOrderTable
from ccdproc_echelle.orders import FORMATS, able_formats, register_format

read = EchelleOrderTable.read


# ---------------------------------------------------------------------- order tables to write


def spectrograph(seed) -> EchelleOrderTable:
    """Orders whose position, slope and width change smoothly, as a spectrograph makes them."""
    rng = np.random.default_rng(seed)
    axis, n_orders = int(rng.integers(2)), int(rng.integers(1, 13))
    shape = (int(rng.integers(300, 600)), int(rng.integers(300, 600)))
    n_cross, n_pixels = shape[1 - axis], shape[axis]
    numbers = int(rng.integers(1, 100)) + np.arange(n_orders)
    k = np.arange(n_orders) / n_orders
    p = 2 * np.arange(n_pixels) / n_pixels - 1
    centers = n_cross * (0.1 + 0.6 * k + 0.2 * k**2)[:, None]
    centers = centers + 20 * (1 + 0.3 * k)[:, None] * p + 15 * (1 - 0.2 * k)[:, None] * p**2
    half = 8 + 3 * k[:, None] + rng.uniform(-1, 1) * p
    first = rng.integers(0, n_pixels // 3, (n_orders, 1))
    last = rng.integers(n_pixels // 2, n_pixels, (n_orders, 1))
    pixels = np.arange(n_pixels)
    centers[(pixels < first) | (pixels > last)] = np.nan
    edges = {"lower": centers - half, "upper": centers + 0.9 * half}
    return EchelleOrderTable.from_traces(
        numbers, centers, shape=shape, dispersion_axis=axis, degree=int(rng.integers(2, 6)),
        **(edges if rng.integers(2) else {}),
    )


spectrographs = st.integers(0, 10**6).map(spectrograph)


def simple_orders(**kwargs) -> EchelleOrderTable:
    kwargs = {"shape": (80, 50), "dispersion_axis": 1} | kwargs
    return EchelleOrderTable.from_polynomials([4, 5], [[20, 0.1], [60, 0.1]], **kwargs)


def through_file(orders, format, **kwargs) -> EchelleOrderTable:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "orders"
        orders.write(path, format=format)
        return read(path, **kwargs)


def assert_same_curves(orders, expected, atol):
    assert orders.has_edges == expected.has_edges
    assert_array_equal(orders.order_numbers, expected.order_numbers)
    assert orders.dispersion_axis == expected.dispersion_axis
    for name in ("center", "lower", "upper") if expected.has_edges else ("center",):
        assert_allclose(getattr(orders, name)(), getattr(expected, name)(), atol=atol, rtol=0)


# ---------------------------------------------------------------------- every format

READABLE = able_formats("read")
WRITABLE = able_formats("write")
WRITE_ONLY = sorted(set(WRITABLE) - set(READABLE))


def test_a_format_can_be_read_or_written():
    assert set(READABLE) | set(WRITABLE) == set(FORMATS)


@pytest.mark.parametrize("name", WRITABLE)
def test_files_are_known_by_their_content(name, tmp_path):
    path = tmp_path / "no_telling_name.dat"
    simple_orders().write(path, format=name)
    known = [key for key, f in FORMATS.items() if f.identify and f.identify(path)]
    assert known == ([name] if name in READABLE else [])


@pytest.mark.parametrize("name", WRITE_ONLY)
def test_formats_that_are_only_written(name, tmp_path):
    path = tmp_path / "orders"
    simple_orders().write(path, format=name)
    with pytest.raises(ValueError, match=f"format is '{name}', expected one that can be read"):
        read(path, format=name)
    with pytest.raises(ValueError, match="in none of the known order-table formats") as caught:
        read(path)
    assert f"'{name}'" not in str(caught.value)


def test_a_master_flat_is_no_order_table_but_has_one(tmp_path):
    path = tmp_path / "master.fits"
    fits.writeto(path, np.ones((4, 5)), fits.Header({"FLATVERS": "0.1"}))
    with pytest.raises(ValueError, match=r"is a master flat, .* MasterFlat.read\(path\).orders"):
        read(path)


def test_formats_that_are_only_read(tmp_path, monkeypatch):
    monkeypatch.delitem(FORMATS, "clay", raising=False)  # also when the test is over
    register_format("clay", read=lambda path, shape, dispersion_axis: simple_orders())
    monkeypatch.setitem(FORMATS, "clay", FORMATS.pop("clay"))
    with pytest.raises(ValueError, match="format is 'clay', expected one that can be written"):
        simple_orders().write(tmp_path / "orders", format="clay")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", WRITABLE)
def test_existing_files_are_not_replaced_unasked(name, tmp_path):
    path = tmp_path / "orders"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        simple_orders().write(path, format=name)
    assert path.read_text() == "mine"
    simple_orders().write(path, format=name, overwrite=True)
    assert path.read_bytes() != b"mine"
    assert name in WRITE_ONLY or len(read(path, shape=(80, 50))) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["orders"]


@pytest.mark.parametrize("name", WRITABLE)
def test_files_are_the_same_bytes_every_time(name, tmp_path):
    path, content = tmp_path / "orders", []
    for _ in range(2):
        simple_orders().write(path, format=name, overwrite=True)
        content.append(path.read_bytes())
    assert content[0] == content[1]


def test_unknown_formats_get_a_hint(tmp_path):
    simple_orders().write(tmp_path / "orders")
    for name in ("soxpipe", "SOXSPIPE"):
        with pytest.raises(ValueError, match=f"format is '{name}'.*did you mean 'soxspipe'"):
            read(tmp_path / "orders", format=name)
        with pytest.raises(ValueError, match=f"format is '{name}'.*did you mean 'soxspipe'"):
            simple_orders().write(tmp_path / "new", format=name)
    with pytest.raises(ValueError, match=r"format is 7, expected one .*'ecsv'"):
        read(tmp_path / "orders", format=7)


def test_what_is_not_a_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.ecsv"):
        read(tmp_path / "nothing.ecsv")
    with pytest.raises(ValueError, match="is a folder"):
        read(tmp_path)
    (tmp_path / "empty.fits").touch()
    with pytest.raises(ValueError, match=r"empty\.fits is empty"):
        read(tmp_path / "empty.fits")


@pytest.mark.parametrize("content", [
    np.random.default_rng(1).bytes(5000),
    b"SIMPLE  =                    T" + bytes(3000),
    b"# %ECSV",
    b"\x00",
    b"\n\n\n",
    b"some prose that is no order table\n",
    b"order,wavelength\n1,2\n",
])
@pytest.mark.parametrize("name", [None, *READABLE])
@pytest.mark.filterwarnings("ignore")
def test_garbage(content, name, tmp_path):
    path = tmp_path / "garbage.dat"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"garbage\.dat"):
        read(path, format=name, shape=(80, 50), dispersion_axis=1)


@pytest.mark.parametrize("name", ["ecsv", "soxspipe", "iraf"])
def test_a_truncated_file(name, tmp_path):
    path = tmp_path / "orders"
    simple_orders().write(path, format=name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=f"cannot read {path} as .* format '{name}'") as caught:
        read(path, format=name)
    assert caught.value.__cause__ is not None


def test_given_shape_and_axis_must_agree_with_the_file(tmp_path):
    path = tmp_path / "orders"
    simple_orders().write(path)
    assert read(path, shape=(80, 50), dispersion_axis=1).shape == (80, 50)
    with pytest.raises(ValueError, match=r"shape \(80, 50\), but shape=\(50, 80\)"):
        read(path, shape=(50, 80))
    with pytest.raises(ValueError, match="dispersion_axis 1, but dispersion_axis=0"):
        read(path, dispersion_axis=0)
    with pytest.raises(ValueError, match=r"shape is \(80,\), expected two"):
        read(path, shape=(80,))
    with pytest.raises(ValueError, match="dispersion_axis is 'x', expected 1"):
        read(path, dispersion_axis="x")


def test_given_shape_fills_what_the_file_does_not_carry(tmp_path):
    path = tmp_path / "orders"
    simple_orders(shape=None, pixel_range=(0, 49)).write(path)
    assert read(path).shape is None
    assert read(path, shape=(80, 50)).shape == (80, 50)
    with pytest.raises(ValueError, match="no order centre lies on"):
        read(path, shape=(10, 50))
    with pytest.warns(AstropyUserWarning, match="dispersion pixel 49"):
        read(path, shape=(80, 25))


# ---------------------------------------------------------------------- ecsv


@given(spectrographs, st.booleans())
def test_ecsv_loses_nothing(orders, has_shape):
    source = orders.table
    if not has_shape:
        source.meta["shape"] = None
    source.meta["comments"] = ["made for a test"]
    source["center"].info.format = ".1f"
    found = through_file(EchelleOrderTable(source), None).table
    assert found.colnames == source.colnames
    assert found.meta == source.meta
    for name in source.colnames:
        assert found[name].shape == source[name].shape
        assert found[name].dtype == source[name].dtype
        assert found[name].unit == source[name].unit
        assert np.asarray(found[name]).tobytes() == np.asarray(source[name]).tobytes()


def test_ecsv_of_constant_positions():
    orders = EchelleOrderTable.from_polynomials([7], [[3.25]], shape=(9, 9), dispersion_axis=0)
    assert_array_equal(through_file(orders, "ecsv").center(), np.full((1, 9), 3.25))


def test_ecsv_of_something_else(tmp_path):
    QTable({"wavelength": [1.0]}).write(tmp_path / "lines.ecsv", format="ascii.ecsv")
    with pytest.raises(ValueError, match=r"lines\.ecsv.*no column 'order'; found \['wavelength'\]"):
        read(tmp_path / "lines.ecsv")


def test_ecsv_with_bad_values(tmp_path):
    path = tmp_path / "orders.ecsv"
    simple_orders().write(path)
    text = path.read_text()
    path.write_text(text.replace("\n4 ", "\n5 "))
    with pytest.raises(ValueError, match=r"orders\.ecsv.*unique; found \[5, 5\]"):
        read(path)
    path.write_text(text.replace("\n4 ", "\nfour "))
    with pytest.raises(ValueError, match=r"orders\.ecsv.*order"):
        read(path)


# ---------------------------------------------------------------------- soxspipe: FITS


def soxspipe_fits(path, letter="y", edges=True, extra=None, **changes):
    """
    A table as soxspipe writes it: a curved order of number m at 600 - 30 m + 0.1 p + 0.01 m p
    - 1e-4 p**2, edges 7 below and 9 above. Pixels 2 to 99 of 11, 0 to 49 of 12.
    """
    cent = {(0, 0): 600, (1, 0): -30, (0, 1): 0.1, (1, 1): 0.01, (0, 2): -1e-4}
    row = {"degorder_cent": 1, f"deg{letter}_cent": 2}
    row |= {f"cent_{i}{j}": cent.get((i, j), 0.0) for i in range(2) for j in range(3)}
    row |= {"degorder_std": 1, f"deg{letter}_std": 2}
    row |= {f"std_{i}{j}": 1.5 for i in range(2) for j in range(3)}
    for curve, offset in (("edgelow", -7), ("edgeup", 9)) if edges else ():
        cent[0, 0] = 600 + offset
        row |= {f"degorder_{curve}": 1, f"deg{letter}_{curve}": 2}
        row |= {f"{curve}_c{i}{j}": cent.get((i, j), 0.0) for i in range(2) for j in range(3)}
    row = {name: value for name, value in (row | changes).items() if value is not None}
    other = "x" if letter == "y" else "y"
    extent = {
        "order": [11.0, 12.0], f"{letter}min": [2.0, 0.0], f"{letter}max": [100.0, 49.2],
        f"{other}min": [1.0, 1.0], f"{other}max": [2.0, 2.0],
    } | (extra or {})
    tables = [Table({name: [value] for name, value in row.items()}), Table(extent)]
    fits.HDUList([fits.PrimaryHDU(), *map(fits.table_to_hdu, tables)]).writeto(path)
    return path


@pytest.mark.parametrize(("letter", "axis", "shape"), [("y", 0, (100, 400)), ("x", 1, (400, 100))])
def test_soxspipe_fits_as_documented(letter, axis, shape, tmp_path):
    path = soxspipe_fits(tmp_path / "orders.fits", letter)
    orders = read(path)
    assert orders.shape is None and orders.dispersion_axis == axis
    assert orders.order_numbers.tolist() == [11, 12]
    orders = read(path, shape=shape)
    for row, m in enumerate((11, 12)):
        for p in range(100):
            center = 600 - 30 * m + 0.1 * p + 0.01 * m * p - 1e-4 * p**2
            inside = 2 <= p <= 99 if m == 11 else p <= 49
            found = [curve()[row, p] for curve in (orders.lower, orders.center, orders.upper)]
            expected = [center - 7, center, center + 9] if inside else [np.nan] * 3
            assert_allclose(found, expected, atol=1e-9)


def test_soxspipe_fits_of_order_centres_only(tmp_path):
    assert not read(soxspipe_fits(tmp_path / "orders.fits", edges=False)).has_edges


def evaluated_as_soxspipe_does(path):
    """Its reader: coefficients by column order, pixels from floor(min) up to ceil(max)."""
    row, extent = fits.getdata(path, 1), fits.getdata(path, 2)
    letter = "y" if "degy_cent" in row.names else "x"
    curves = {}
    for curve in ("cent", "edgelow", "edgeup"):
        values = [float(row[name][0]) for name in row.names if f"{curve}_" in name]
        if not values:
            continue
        degrees = [int(row[f"deg{name}_{curve}"][0]) for name in ("order", letter)]
        for order, low, high in zip(
            extent["order"], extent[f"{letter}min"], extent[f"{letter}max"], strict=True
        ):
            pixels = np.arange(np.floor(low), np.ceil(high))
            position, coefficients = np.zeros(len(pixels)), iter(values)
            for i in range(degrees[0] + 1):
                for j in range(degrees[1] + 1):
                    position += next(coefficients) * float(order) ** i * pixels**j
            assert next(coefficients, None) is None
            curves[curve, int(order)] = pixels, position
    return curves


@given(spectrographs)
def test_soxspipe_fits_round_trip(orders):
    again = through_file(orders, "soxspipe", shape=orders.shape)
    assert_same_curves(again, orders, atol=1e-3)


@given(spectrographs)
def test_soxspipe_would_find_the_orders_where_they_are(orders):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "orders.fits"
        orders.write(path, format="soxspipe")
        curves = evaluated_as_soxspipe_does(path)
    names = {"cent": "center", "edgelow": "lower", "edgeup": "upper"}
    assert len(curves) == len(orders) * (3 if orders.has_edges else 1)
    for (curve, number), (pixels, positions) in curves.items():
        order = orders.select(number)
        assert_array_equal(pixels, np.flatnonzero(np.isfinite(order.center()[0])))
        expected = getattr(order, names[curve])(pixels)[0]
        assert_allclose(positions, expected, atol=1e-3, rtol=0)


def test_soxspipe_fits_is_written_in_the_order_in_which_it_is_read(tmp_path):
    path = tmp_path / "orders.fits"
    orders = simple_orders(lower=[[14, 0.1], [54, 0.1]], upper=[[26, 0.1], [66, 0.1]])
    orders.write(path, format="soxspipe")
    powers = ["00", "01", "10", "11"]
    expected = ["degorder_cent", "degx_cent", *(f"cent_{p}" for p in powers)]
    for curve in ("edgelow", "edgeup"):
        expected += [f"degorder_{curve}", f"degx_{curve}", *(f"{curve}_c{p}" for p in powers)]
    assert fits.getdata(path, 1).names == expected
    assert fits.getdata(path, 2).names == ["order", "xmin", "xmax", "ymin", "ymax"]
    assert_allclose(fits.getdata(path, 2).tolist(), [(4, 0, 50, 20, 24.9), (5, 0, 50, 60, 64.9)])


def test_soxspipe_fits_at_high_order_numbers():
    """One polynomial for 73 orders of numbers around 125 on a large detector."""
    numbers, pixels = np.arange(89, 162), np.arange(0, 4096, dtype=float)
    m, p = (numbers[:, None] - 125) / 36, pixels / 2048 - 1
    centers = 2000 + 1800 * m + 200 * m**2 + 40 * m**3
    centers = centers + 60 * p * (1 + 0.1 * m) - 90 * p**2 + 8 * p**4
    orders = EchelleOrderTable.from_traces(
        numbers, centers, shape=(4096, 4096), dispersion_axis=1, degree=5)
    again = through_file(orders, "soxspipe", shape=(4096, 4096))
    assert_same_curves(again, orders, atol=1e-3)


def irregular_orders(scatter):
    rng = np.random.default_rng(2)
    positions = np.arange(20) * 40 + scatter * rng.uniform(-1, 1, 20)
    return EchelleOrderTable.from_polynomials(
        np.arange(20) + 1, positions[:, None] + 20, shape=(900, 50), dispersion_axis=1)


def test_soxspipe_fits_of_orders_that_are_no_polynomial():
    missed = r"in order \d+ .* misses the order centre by "
    with pytest.warns(AstropyUserWarning, match=missed + r"0\.\d+ pixel"):
        again = through_file(irregular_orders(0.1), "soxspipe", shape=(900, 50))
    assert_same_curves(again, irregular_orders(0.1), atol=0.1)
    with pytest.raises(ValueError, match=missed + r"\d.* pixels, expected at most"):
        through_file(irregular_orders(10), "soxspipe")


def test_soxspipe_fits_of_an_order_between_two_pixels():
    narrow = simple_orders(shape=None, pixel_range=[(0, 49), (11, 11)]).rebinned(4)
    with pytest.raises(ValueError, match=r"orders \[5\] do not cover a whole pixel"):
        through_file(narrow, "soxspipe")


@pytest.mark.parametrize(("changes", "message"), [
    ({"cent_11": None}, "HDU 1, row 1 has no column cent_11"),
    ({"cent_11": np.nan}, "HDU 1, row 1, column cent_11: nan"),
    ({"cent_11": "abc"}, "HDU 1, row 1, column cent_11: 'abc' is not a number"),
    ({"degy_cent": None}, "has no column degy_cent or degx_cent"),
    ({"degy_cent": 1.5}, "column degy_cent: 1.5, expected an integer"),
    ({"degorder_cent": -1}, "column degorder_cent: -1, expected 0 or more"),
    ({"degy_edgeup": None}, "no column degy_edgeup"),
    ({"degorder_edgeup": None}, "order table has one edge"),
    ({"extra": {"order": [11.5, 12]}}, "HDU 2, row 1, column order: 11.5, expected an integer"),
    ({"extra": {"order": [11, 11]}}, r"unique; found \[11, 11\]"),
    ({"extra": {"ymin": ["a", "b"]}}, "HDU 2, row 1, column ymin: 'a' is not a number"),
    ({"extra": {"ymax": [100.0, np.nan]}}, "HDU 2, row 2, column ymax: nan"),
    ({"extra": {"ymax": [0.0, 50.0]}}, r"orders \[11\].*empty pixel range"),
    ({"letter": "x", "degx_cent": None, "degy_cent": 2}, "no column degy_edgelow"),
])
def test_malformed_soxspipe_fits(changes, message, tmp_path):
    path = soxspipe_fits(tmp_path / "orders.fits", **changes)
    with pytest.raises(ValueError, match=rf"orders\.fits as .*'soxspipe'.*{message}"):
        read(path)


def test_soxspipe_fits_without_ranges_or_with_more_polynomials(tmp_path):
    polynomials = fits.getdata(soxspipe_fits(tmp_path / "good.fits"), 1)
    fits.BinTableHDU(polynomials).writeto(tmp_path / "orders.fits")
    with pytest.raises(ValueError, match="2 HDUs, expected 3"):
        read(tmp_path / "orders.fits")
    two = fits.BinTableHDU(np.concatenate([polynomials, polynomials]))
    with fits.open(tmp_path / "good.fits") as hdus:
        fits.HDUList([hdus[0], two, hdus[2]]).writeto(tmp_path / "two.fits")
    with pytest.raises(ValueError, match="HDU 1 has 2 rows, expected 1"):
        read(tmp_path / "two.fits")


def test_other_fits_files_are_not_order_tables(tmp_path):
    fits.PrimaryHDU(np.zeros((4, 4))).writeto(tmp_path / "image.fits")
    Table({"flux": [1.0]}).write(tmp_path / "table.fits")
    for name in ("image.fits", "table.fits"):
        with pytest.raises(ValueError, match=f"{name} is in none of the known"):
            read(tmp_path / name)


def test_nothing_is_said_of_an_archive_that_is_not_fits(tmp_path):
    np.savez(tmp_path / "archive.npz", flux=np.ones(3))
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        with pytest.raises(ValueError, match="in none of the known"):
            read(tmp_path / "archive.npz")
    assert found == []


# ---------------------------------------------------------------------- soxspipe: CSV


# from the page "Order Table" of its documentation
DOCUMENTED = """\
order,degy,CENT_c0,CENT_c1,CENT_c2,CENT_c3
11,3,787.9616,0.387875383,-0.000175467653,7.67345562e-10
12,3,714.084224,0.392816612,-0.000177468713,1.24058095e-09
"""

EARLY = """\
order,degy_cent,cent_c0,cent_c1,cent_c2,ymin,ymax,degy_edgeup,edgeup_c0,degy_edgelow,edgelow_c0
11,1,100,0.1,,5,50,0,120,0,80
12,2,200,0.1,0.01,0,40,0,260,0,180
"""


def written(tmp_path, text, name="orders.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(("text", "format"), [(EARLY, "soxspipe"), ("1 5\n" * 300, "samples")])
def test_text_that_starts_with_the_mark_of_windows_editors(tmp_path, text, format):
    marked, plain = written(tmp_path, "\ufeff" + text), written(tmp_path, text, "plain.csv")
    given = {"shape": (300, 300), "dispersion_axis": 0}
    for as_format in (None, format):
        assert_array_equal(
            read(marked, format=as_format, **given).center(), read(plain, **given).center())


def test_soxspipe_csv_as_documented(tmp_path):
    orders = read(written(tmp_path, DOCUMENTED), shape=(2048, 1024))
    assert orders.order_numbers.tolist() == [11, 12]
    assert (orders.shape, orders.dispersion_axis) == ((2048, 1024), 0)
    y = np.arange(2048.0)
    expected = [
        787.9616 + 0.387875383 * y - 0.000175467653 * y**2 + 7.67345562e-10 * y**3,
        714.084224 + 0.392816612 * y - 0.000177468713 * y**2 + 1.24058095e-09 * y**3,
    ]
    assert_allclose(orders.center(), expected, rtol=0, atol=1e-9)


def test_soxspipe_csv_along_rows(tmp_path):
    path = written(tmp_path, DOCUMENTED.replace("degy", "degx"))
    assert read(path, shape=(1024, 2048)).dispersion_axis == 1


def test_soxspipe_csv_of_early_releases(tmp_path):
    orders = read(written(tmp_path, EARLY))
    assert orders.shape is None
    assert_allclose(orders.center([4, 5, 39, 40]), [[np.nan, 100.5, 103.9, 104],
                                                   [200.56, 200.75, 219.11, np.nan]])
    assert_allclose(orders.lower([10]), [[80], [180]])
    assert_allclose(orders.upper([10]), [[120], [260]])


def test_soxspipe_csv_needs_the_shape(tmp_path):
    with pytest.raises(ValueError, match=r"orders\.csv.*give the shape"):
        read(written(tmp_path, DOCUMENTED))


@pytest.mark.parametrize(("old", "new", "message"), [
    ("787.9616", "abc", "line 2, column cent_c0: 'abc' is not a number"),
    ("714.084224", "", "line 3, column cent_c0: '' is not a number"),
    ("714.084224", "inf", "line 3, column cent_c0: inf"),
    (",1.24058095e-09", "", "line 3 has 5 values, expected 6"),
    ("CENT_c3", "CENT_c4", "line 2 has no column cent_c3"),
    ("degy", "degree", "no column degy or degy_cent or degx"),
    ("11,3", "11,4", "line 2 has no column cent_c4"),
    ("11,3", "11,-1", "line 2, column degy: -1, expected 0 or more"),
    ("11,3", "11.5,3", "line 2, column order: 11.5, expected an integer"),
    ("11,3", "12,3", "unique"),
    (DOCUMENTED[DOCUMENTED.index("\n") :], "\n", "no orders"),
])
def test_malformed_soxspipe_csv(old, new, message, tmp_path):
    assert DOCUMENTED.count(old) == 1
    path = written(tmp_path, DOCUMENTED.replace(old, new))
    with pytest.raises(ValueError, match=rf"orders\.csv as .*'soxspipe'.*{message}"):
        read(path, shape=(2048, 1024))


# ---------------------------------------------------------------------- samples


@given(spectrographs)
def test_samples_round_trip(orders):
    assume(orders.table["center"].shape[1] <= 5)  # it is read with degree 4
    again = through_file(
        orders, "samples", shape=orders.shape, dispersion_axis=orders.dispersion_axis)
    assert again.order_numbers.tolist() == list(range(1, len(orders) + 1))
    assert_allclose(again.center(), orders.center(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("separator", [" ", "\t", ",", ", "])
def test_samples_with_any_separator(separator, tmp_path):
    lines = ["# two orders", *(separator.join(["nan" if k < 2 else "7.5", str(k)])
                               for k in range(12)), ""]
    orders = read(written(tmp_path, "\n".join(lines)), shape=(20, 12))
    assert orders.dispersion_axis == 1
    assert_allclose(orders.center()[0], [np.nan] * 2 + [7.5] * 10, atol=1e-9)
    assert_allclose(orders.center()[1], np.arange(12), atol=1e-9)


SAMPLES = "5 15\n" * 12


def test_samples_find_their_axis_from_the_shape(tmp_path):
    path = written(tmp_path, SAMPLES)
    assert read(path, shape=(20, 12)).dispersion_axis == 1
    assert read(path, shape=(12, 20)).dispersion_axis == 0
    assert read(path, shape=(20, 12), dispersion_axis=1).shape == (20, 12)
    assert read(path, dispersion_axis=0).shape is None
    for kwargs, message in [
        ({"shape": (12, 12)}, r"12 lines, and both axes.*give dispersion_axis"),
        ({"shape": (20, 30)}, r"12 lines, expected 20 or 30"),
        ({"shape": (20, 12), "dispersion_axis": 0}, r"12 lines, expected 20"),
        ({}, r"give dispersion_axis"),
    ]:
        with pytest.raises(ValueError, match=rf"orders\.csv.*{message}"):
            read(path, **kwargs)


@pytest.mark.parametrize(("text", "message"), [
    ("5 15\n5 x\n", "line 2, column 2: 'x' is not a number"),
    ("# comment\n5 15\n5\n", "line 3 has 1 values, expected 2"),
    ("5 15\n\n5 15\n", "line 2, no values"),
    ("5,15\n5,,15,1\n", "line 2 has 3 values, expected 2"),
    ("nan 5\n" * 12, "order 1 has no finite centre"),
    ("# nothing\n", "no values"),
    ("5,5 15,5\n" * 12, "line 1, '5,5 15,5' has decimal commas"),
])
def test_malformed_samples(text, message, tmp_path):
    with pytest.raises(ValueError, match=rf"orders\.csv as .*'samples'.*{message}"):
        read(written(tmp_path, text), format="samples", dispersion_axis=1)


def test_samples_cannot_be_written_without_a_detector():
    with pytest.raises(ValueError, match="detector shape of this order table is unknown"):
        through_file(simple_orders(shape=None, pixel_range=(0, 49)), "samples")


def test_real_samples(data_dir):
    path = data_dir / "zyla" / "order_centres.txt"
    orders = read(path, shape=(2160, 2560))
    assert len(orders) == 29 and orders.dispersion_axis == 1
    assert np.abs(orders.center().T - np.loadtxt(path)).max() < 1
    # what is left is the rounding to integers, not a curve that the degree cannot follow
    assert_allclose(orders.table["center_rms"].to_value("pix"), 12**-0.5, atol=0.03)


def test_a_detector_cannot_be_chosen_where_there_is_one(tmp_path):
    simple_orders().write(tmp_path / "orders")
    with pytest.raises(ValueError, match="detector is 'RED', but 'ecsv' files are for a single"):
        read(tmp_path / "orders", detector="RED")


def test_orders_that_are_not_on_the_detector_are_refused_by_name(tmp_path):
    simple_orders(shape=None, pixel_range=(0, 49)).write(tmp_path / "far.ecsv")
    with pytest.raises(ValueError, match=r"far\.ecsv: no order centre lies on a detector"):
        read(tmp_path / "far.ecsv", shape=(10, 50))


def test_csv_without_header(tmp_path):
    path = tmp_path / "orders.csv"
    path.write_text("11,2,30.5,0.01,1e-5\n12,2,60.5,0.01,1e-5\n")
    with pytest.raises(ValueError, match="its first line must have the column names"):
        EchelleOrderTable.read(path, shape=(200, 300))
    with pytest.raises(ValueError, match="line 1 has numbers, such as 11, expected a header"):
        EchelleOrderTable.read(path, format="soxspipe", shape=(200, 300))
