# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Formats of order tables that another package brings along."""

import gzip

import pytest
from numpy.testing import assert_array_equal

from ccdproc_echelle import EchelleOrderTable
from ccdproc_echelle.orders import FORMATS, able_formats, check_order_output, register_format


@pytest.fixture(autouse=True)
def formats_as_before():
    before = dict(FORMATS)
    yield
    FORMATS.clear()
    FORMATS.update(before)


def orders_on_rows(**kwargs) -> EchelleOrderTable:
    kwargs = {"shape": (40, 50), "dispersion_axis": 1} | kwargs
    return EchelleOrderTable.from_polynomials([81, 82], [[20], [30]], **kwargs)


def identify(path) -> bool:
    return path.read_bytes().startswith(b"rows\n")


def read(path, shape, dispersion_axis) -> EchelleOrderTable:
    lines = [line.split() for line in path.read_text().splitlines()[1:]]
    return EchelleOrderTable.from_polynomials(
        [int(number) for number, _ in lines], [[float(row)] for _, row in lines],
        shape=shape, dispersion_axis=1,
    )


def write(orders, path) -> None:
    rows = zip(orders.order_numbers, orders.center([0])[:, 0], strict=True)
    path.write_text("rows\n" + "".join(f"{number} {row}\n" for number, row in rows))


def test_a_registered_format_is_written_and_found_by_its_content(tmp_path):
    register_format("rows", identify=identify, read=read, write=write)

    orders_on_rows().write(tmp_path / "orders.dat", format="rows")
    orders = EchelleOrderTable.read(tmp_path / "orders.dat", shape=(40, 50))

    assert (tmp_path / "orders.dat").read_text() == "rows\n81 20.0\n82 30.0\n"
    assert_array_equal(orders.order_numbers, [81, 82])
    assert_array_equal(orders.center([0, 49]), [[20, 20], [30, 30]])
    assert orders.shape == (40, 50)


def test_a_registered_format_is_asked_before_those_of_the_package(tmp_path):
    orders_on_rows().write(tmp_path / "orders.ecsv")
    register_format(
        "any", identify=lambda path: True, read=lambda *given: orders_on_rows().select([82]))

    assert EchelleOrderTable.read(tmp_path / "orders.ecsv").order_numbers.tolist() == [82]
    native = EchelleOrderTable.read(tmp_path / "orders.ecsv", format="ecsv")
    assert native.order_numbers.tolist() == [81, 82]


def test_without_identify_a_format_has_to_be_named(tmp_path):
    register_format("rows", read=read)
    path = tmp_path / "orders.txt"
    path.write_text("rows\n81 20\n")

    with pytest.raises(ValueError, match="none of the known order-table formats .*'rows'"):
        EchelleOrderTable.read(path)
    assert len(EchelleOrderTable.read(path, format="rows", shape=(40, 50))) == 1


def test_a_format_is_offered_only_for_what_it_can_do(tmp_path):
    register_format("rows", write=write)

    assert "rows" in able_formats("write")
    assert "rows" not in able_formats("read")
    with pytest.raises(ValueError, match="format is 'rows', expected one that can be read"):
        EchelleOrderTable.read(__file__, format="rows")


def test_the_user_and_the_file_must_agree(tmp_path):
    register_format("rows", identify=identify, read=lambda path, shape, axis: orders_on_rows())
    path = tmp_path / "orders.txt"
    path.write_text("rows\n")

    with pytest.raises(ValueError, match="is for shape"):
        EchelleOrderTable.read(path, shape=(41, 50))
    with pytest.raises(ValueError, match="is for dispersion_axis 1, but dispersion_axis=0"):
        EchelleOrderTable.read(path, dispersion_axis=0)


def test_what_a_reader_raises_names_the_file_and_the_format(tmp_path):
    register_format("rows", identify=identify, read=read)
    path = tmp_path / "orders.txt"
    path.write_text("rows\n81 high\n")

    with pytest.raises(ValueError, match=r"cannot read .*orders\.txt as .* .rows.*high"):
        EchelleOrderTable.read(path)


def test_a_format_of_several_detectors_is_told_which(tmp_path):
    path = tmp_path / "orders.txt"
    path.write_text("rows\n")
    chips = {"blue": orders_on_rows(), "red": orders_on_rows().select([81])}
    register_format(
        "chips", identify=identify, several_detectors=True,
        read=lambda path, shape, axis, *, detector=None: chips[detector])

    assert len(EchelleOrderTable.read(path, detector="red")) == 1
    register_format("rows", identify=identify, read=read)
    with pytest.raises(ValueError, match="detector is 'red', but 'rows' files are for a single"):
        EchelleOrderTable.read(path, detector="red")


def test_a_name_is_taken_once():
    with pytest.raises(ValueError, match="'ecsv' is already registered"):
        register_format("ecsv", read=read)
    register_format("rows", read=read)
    with pytest.raises(ValueError, match="'rows' is already registered"):
        register_format("rows", write=write)
    assert FORMATS["rows"].write is None


def test_a_format_without_reader_and_writer_is_refused():
    with pytest.raises(ValueError, match="'rows' has neither read nor write"):
        register_format("rows", identify=identify)
    assert "rows" not in FORMATS


def test_any_file_of_numbers_is_a_last_resort():
    """It is asked after all others, those of this package and those that are registered later."""
    assert next(iter(FORMATS)) == "samples"


@pytest.mark.parametrize("name", ["orders.fits", "orders.FIT", "orders.fits.gz"])
def test_a_text_file_is_not_called_a_fits_file(tmp_path, name):
    orders = EchelleOrderTable.from_polynomials([1], [[5]], shape=(9, 9), dispersion_axis=1)
    with pytest.raises(ValueError, match=r"orders\..* has the name of a FITS file.*; give format="):
        orders.write(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    orders.write(tmp_path / name, format="soxspipe")


@pytest.mark.parametrize(("format", "name"), [
    ("ecsv", "orders.fits"), ("iraf", "orders.fits.gz"), ("samples", "orders.fz"),
    ("ecsv", "orders.ecsv.gz"), (None, "orders.ecsv.bz2"), ("soxspipe", "orders.ecsv"),
    ("soxspipe", "orders.zip"), ("soxspipe", "orders.fits.Z"),
])
def test_a_named_format_does_not_go_into_a_file_of_another_kind(tmp_path, format, name):
    culprit = f"{name}: the format '{format or 'ecsv'}' is a "
    with pytest.raises(ValueError, match=culprit):
        check_order_output(tmp_path / name, format)  # before there are any orders
    with pytest.raises(ValueError, match=culprit):
        orders_on_rows().write(tmp_path / name, format=format)
    assert not list(tmp_path.iterdir())


def test_a_writer_may_compress_by_itself(tmp_path):
    def packed(orders, path):
        path.write_bytes(gzip.compress(b"rows\n"))

    register_format("packed rows", identify=lambda path: False, read=read, write=packed)
    orders_on_rows().write(tmp_path / "orders.txt.gz", format="packed rows")
    assert gzip.decompress((tmp_path / "orders.txt.gz").read_bytes()) == b"rows\n"


def test_fits_may_be_compressed(tmp_path):
    path = tmp_path / "orders.fits.gz"
    orders_on_rows().write(path, format="soxspipe")
    assert EchelleOrderTable.read(path, shape=(40, 50)).order_numbers.tolist() == [81, 82]
