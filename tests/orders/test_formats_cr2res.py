# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Trace tables of cr2res, written as it writes them."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning
from numpy.testing import assert_allclose, assert_array_equal

from ccdproc_echelle import EchelleOrderTable
from ccdproc_echelle.orders import FORMATS

read = EchelleOrderTable.read

# Lowest power first, from pixel 1 on. A trace in a corner gets a straight line.
ALL = np.array([[86.6, 0.017, -5e-6], [287.4, 0.016, -4e-6], [2020.0, 0.01, 0.0]])
UPPER, LOWER = ALL + [70.0, 1e-4, 1e-8], ALL - [70.0, 2e-4, 0.0]


def trace_table(name="CHIP1.INT1", *, order=(2, 3, 4), trace=(1, 1, 1), leave_out=(),
                n_rows=3, **polynomials):
    """The table of one detector."""
    polynomials = {"All": ALL, "Upper": UPPER, "Lower": LOWER} | polynomials
    columns = [
        fits.Column(key, f"{np.shape(value)[1]}D", array=value[:n_rows])
        for key, value in polynomials.items()
    ]
    columns += [
        fits.Column("Order", "1J", array=np.array(order)[:n_rows]),
        fits.Column("TraceNb", "1J", array=np.array(trace)[:n_rows]),
        fits.Column("Wavelength", "2D", unit="nm", array=np.full((3, 2), np.nan)[:n_rows]),
        fits.Column("SlitFraction", "3D", array=np.full((3, 3), -1.0)[:n_rows]),
    ]
    columns = [column for column in columns if column.name not in leave_out]
    return fits.BinTableHDU.from_columns(columns, name=name)


def written(path, *tables):
    fits.HDUList([fits.PrimaryHDU(), *tables]).writeto(path)
    return path


def truth(powers):
    """Rows from 0 at every column from 0, term by term."""
    x = np.arange(2048) + 1.0
    return np.array([sum(c * x**k for k, c in enumerate(row)) - 1 for row in powers])


def test_traces(tmp_path):
    empty = [trace_table(f"CHIP{n}.INT1", n_rows=0) for n in (2, 3)]
    path = written(tmp_path / "cr2res_util_trace_tw.fits", trace_table(), *empty)
    assert [key for key, f in FORMATS.items() if f.identify and f.identify(path)] \
        == ["cr2res"]
    orders = read(path)
    assert orders.shape == (2048, 2048)
    assert orders.dispersion_axis == 1
    assert_array_equal(orders.order_numbers, [2, 3, 4])
    assert_array_equal(orders.table["trace"], [1, 1, 1])
    assert_allclose(orders.center(), truth(ALL), rtol=0, atol=1e-9)
    assert_allclose(orders.lower(), truth(LOWER), rtol=0, atol=1e-9)
    assert_allclose(orders.upper(), truth(UPPER), rtol=0, atol=1e-9)


def test_the_first_pixel_counts_as_one(tmp_path):
    flat = np.array([[100.0], [200.0], [300.0]])
    path = written(tmp_path / "a.fits", trace_table(All=flat, Lower=flat - 5, Upper=flat + 5))
    assert_allclose(read(path).center([0])[:, 0], [99, 199, 299])


def test_several_traces_in_an_order(tmp_path):
    path = written(tmp_path / "a.fits", trace_table(order=(2, 2, 3), trace=(1, 2, 1)))
    with pytest.warns(AstropyUserWarning, match="2 to 3, repeat.*3 traces are numbered from 1"):
        orders = read(path)
    assert_array_equal(orders.order_numbers, [1, 2, 3])
    assert_array_equal(orders.table["file_order"], [2, 2, 3])
    assert_array_equal(orders.table["trace"], [1, 2, 1])
    assert_allclose(orders.center(), truth(ALL), rtol=0, atol=1e-9)


def test_order_number_0(tmp_path):
    path = written(tmp_path / "a.fits", trace_table(order=(-1, 0, 1)))
    with pytest.warns(AstropyUserWarning, match="-1 to 1, repeat or include 0"):
        orders = read(path)
    assert_array_equal(orders.table["file_order"], [-1, 0, 1])


def test_one_of_several_detectors(tmp_path):
    path = written(tmp_path / "a.fits", trace_table(),
                   trace_table("CHIP2.INT1", All=ALL + [[5.0, 0, 0]]))
    with pytest.raises(ValueError, match=r"several detectors, \['CHIP1.INT1', 'CHIP2.INT1'\].*"
                       r"select one with detector='CHIP1.INT1'"):
        read(path)
    orders = EchelleOrderTable.read(path, detector="CHIP2.INT1")
    assert_allclose(orders.center(), truth(ALL) + 5, rtol=0, atol=1e-9)
    with pytest.raises(ValueError, match=r"detector is 'CHIP3.INT1', expected one of \['CHIP1"):
        EchelleOrderTable.read(path, detector="CHIP3.INT1")


@pytest.mark.parametrize("kwargs, message", [
    ({"leave_out": ["All"]}, r"no table HDU has a column All.*found HDUs \['CHIP1.INT1'\]"),
    ({"leave_out": ["Upper"]}, "HDU CHIP1.INT1 has no column Upper"),
    ({"leave_out": ["Lower"]}, "HDU CHIP1.INT1 has no column Lower"),
    ({"leave_out": ["Order"]}, "HDU CHIP1.INT1 has no column Order"),
    ({"leave_out": ["TraceNb"]}, "HDU CHIP1.INT1 has no column TraceNb"),
    ({"n_rows": 0}, "no table HDU has a column All with traces"),
    ({"All": ALL * [[1], [1], [np.nan]]}, r"column All: rows \[3\] are not finite"),
    ({"Upper": LOWER, "Lower": UPPER}, "upper edge not above the lower"),
])
def test_malformed_files(kwargs, message, tmp_path):
    path = written(tmp_path / "a.fits", trace_table(**kwargs))
    with pytest.raises(ValueError, match=rf"a\.fits as .*'cr2res'.*{message}"):
        read(path, format="cr2res")


def test_no_table_at_all(tmp_path):
    path = written(tmp_path / "a.fits", fits.ImageHDU(np.zeros((4, 4)), name="CHIP1.INT1"))
    with pytest.raises(ValueError, match=r"no table HDU has a column All.*found HDUs \[\]"):
        read(path, format="cr2res")


def test_a_chip_is_found_by_its_name(tmp_path):
    path = written(tmp_path / "tw.fits", *(trace_table(f"CHIP{n}.INT1") for n in (1, 2, 3)))
    assert_array_equal(read(path, detector="CHIP2").center(),
                       read(path, detector="CHIP2.INT1").center())
    for unknown in ("CHIP", "CHIP4", "INT1"):
        with pytest.raises(ValueError, match="expected one of .*'CHIP1.INT1'"):
            read(path, detector=unknown)
