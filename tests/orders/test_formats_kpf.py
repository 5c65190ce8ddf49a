# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Order traces of the KPF pipeline, written as it writes them."""

import numpy as np
import pytest
from astropy.utils.exceptions import AstropyUserWarning
from numpy.testing import assert_allclose, assert_array_equal

from ccdproc_echelle import EchelleOrderTable
from ccdproc_echelle.orders import FORMATS
from ccdproc_echelle.orders.formats import kpf

read = EchelleOrderTable.read

HEADER = "Chip,Fiber,Order,Coeff0,Coeff1,Coeff2,Coeff3,BottomEdge,TopEdge,X1,X2,PolyfitRMS,Status"
GREEN = """\
GREEN,SKY,0,22.75,-0.0085,4.9e-06,-1.9e-09,9.5,7.75,0.0,2082.0,0.633,partial
GREEN,SCI1,0,42.5,-0.0052,-7e-07,2.3e-12,8.25,7.5,0.0,4079.0,0.103,full
GREEN,SCI2,0,61.0,-0.0048,-8.8e-07,3.7e-11,8.125,8.375,0.0,4079.0,0.064,full
GREEN,SKY,1,110.0,-0.0049,-7.3e-07,1.9e-11,6.0,8.75,3.0,4079.0,0.045,full
"""
MISSING = "GREEN,CAL,1,,,,,,,,,,missing\n"
RED = "RED,SCI1,0,50.5,-0.003,1e-07,0.0,8.0,7.0,0.0,4079.0,0.04,full\n"
OLD = """\
,Coeff0,Coeff1,Coeff2,Coeff3,BottomEdge,TopEdge,X1,X2,Fiber,Order
0,11.0,0.0104,-5.2e-07,-2.4e-11,9.0978,9.0069,354,4079,SCI1,1
1,99.75,0.0097,-4.5e-07,-2.0e-11,9.3201,9.0291,206,4079,SCI1,2
"""
SHAPE = (4080, 4080)

several_traces = pytest.mark.filterwarnings("ignore:the order numbers in the file")


def written(path, text):
    path.write_text(text)
    return path


def green(path, text=GREEN):
    return written(path, f"{HEADER}\n{text}")


def truth(text):
    """Order centre, lower and upper edge of each line, term by term; NaN outside X1 to X2."""
    x, curves = np.arange(4080), []
    for line in text.splitlines():
        c0, c1, c2, c3, below, above, first, last = map(float, line.split(",")[3:11])
        center = np.where((x >= first) & (x <= last), c0 + c1 * x + c2 * x**2 + c3 * x**3, np.nan)
        curves.append([center, center - below, center + above])
    return np.swapaxes(curves, 0, 1)


def assert_curves(orders, expected):
    for name, curve in zip(("center", "lower", "upper"), expected, strict=True):
        assert_allclose(getattr(orders, name)(), curve, rtol=0, atol=1e-8)


def test_traces(tmp_path):
    path = green(tmp_path / "any.name")
    assert [key for key, f in FORMATS.items() if f.identify and f.identify(path)] \
        == ["kpf"]
    with pytest.warns(AstropyUserWarning, match="0 to 1, repeat or include 0: the 4 traces are"):
        orders = read(path, shape=SHAPE)
    assert orders.dispersion_axis == 1
    assert_array_equal(orders.order_numbers, [1, 2, 3, 4])
    assert_array_equal(orders.table["file_order"], [0, 0, 0, 1])
    assert_array_equal(orders.table["fiber"], ["SKY", "SCI1", "SCI2", "SKY"])
    assert_array_equal(orders.table["fibre"], [1, 2, 3, 1])
    assert_array_equal(orders.table["bundle"], [0, 0, 0, 1])
    assert_curves(orders, truth(GREEN))


@several_traces
def test_missing_traces_are_left_out(tmp_path):
    orders = read(green(tmp_path / "a.csv", GREEN + MISSING), shape=SHAPE)
    assert_curves(orders, truth(GREEN))


def test_older_files(tmp_path):
    path = written(tmp_path / "a.csv", OLD)
    assert kpf.identify(path)
    orders = read(path, shape=SHAPE)
    assert_array_equal(orders.order_numbers, [1, 2])
    assert_array_equal(orders.table["fiber"], ["SCI1", "SCI1"])
    x = np.arange(4080)
    expected = np.where(x >= 206, 99.75 + 0.0097 * x - 4.5e-07 * x**2 - 2e-11 * x**3, np.nan)
    assert_allclose(orders.center()[1], expected, rtol=0, atol=1e-8)
    assert_allclose(orders.lower()[1], expected - 9.3201, rtol=0, atol=1e-8)
    assert_allclose(orders.upper()[1], expected + 9.0291, rtol=0, atol=1e-8)


def test_files_without_names_of_orders(tmp_path):
    text = "\n".join(line.rsplit(",", 2)[0] for line in OLD.splitlines())
    orders = read(written(tmp_path / "a.csv", text), shape=SHAPE)
    assert_array_equal(orders.order_numbers, [1, 2])
    assert "fiber" not in orders.table.colnames


def test_any_degree(tmp_path):
    text = "Coeff0,Coeff1,BottomEdge,TopEdge,X1,X2\n10,0.5,2,3,0,20\n"
    orders = read(written(tmp_path / "a.csv", text), shape=(40, 21))
    assert_allclose(orders.center([0, 20]), [[10, 20]])


@several_traces
def test_one_of_several_chips(tmp_path):
    path = green(tmp_path / "a.csv", GREEN + RED)
    with pytest.raises(ValueError, match=r"several detectors, \['GREEN', 'RED'\].*"
                       r"select one with detector='GREEN'"):
        read(path)
    for chip, text in (("GREEN", GREEN), ("RED", RED)):
        orders = EchelleOrderTable.read(path, detector=chip).on_detector(SHAPE)
        assert_curves(orders, truth(text))
    with pytest.raises(ValueError, match=r"detector is 'BLUE', expected one of \['GREEN', 'RED'\]"):
        EchelleOrderTable.read(path, detector="BLUE")
    with pytest.raises(ValueError, match="detector is 'RED', but the file has no column Chip"):
        EchelleOrderTable.read(written(tmp_path / "b.csv", OLD), detector="RED")


@pytest.mark.parametrize("old, new, message", [
    ("Coeff0", "C0", "line 2 has no column coeff0"),
    ("Coeff2", "C2", "line 2 has no column coeff2"),
    ("BottomEdge", "Bottom", "line 2 has no column bottomedge"),
    ("TopEdge", "Top", "line 2 has no column topedge"),
    ("X2", "XX", "line 2 has no column x2"),
    ("42.5", "nan", "line 3, column coeff0: nan, expected a finite number"),
    ("42.5", "", "line 3, column coeff0: '' is not a number"),
    ("61.0", "sixty", "line 4, column coeff0: 'sixty' is not a number"),
    ("SCI2,0", "SCI2,0.5", "line 4, column order: 0.5, expected an integer"),
    ("8.25", "-8.25", "line 3, column bottomedge: -8.25, expected a distance"),
    (",full", "", "line 3 has 12 values, expected 13"),
    ("0.0,4079.0", "4079.0,0.0", "empty pixel range"),
])
@several_traces
def test_malformed_files(old, new, message, tmp_path):
    path = written(tmp_path / "a.csv", f"{HEADER}\n{GREEN}".replace(old, new))
    with pytest.raises(ValueError, match=rf"a\.csv as .*'kpf'.*{message}"):
        read(path, format="kpf")


@pytest.mark.parametrize("text, message", [("", "no orders"), (MISSING, "status 'missing'")])
def test_files_without_traces(text, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read(green(tmp_path / "a.csv", text))


def test_a_hostile_number_of_coefficients_is_a_missing_column(tmp_path):
    path = tmp_path / "hostile.csv"
    path.write_text(
        ",Coeff0,Coeff1,Coeff99999999999,BottomEdge,TopEdge,X1,X2\n0,20.0,0.05,0.0,6.0,6.5,0,99\n"
    )
    with pytest.raises(ValueError, match="(?i)coeff2"):
        EchelleOrderTable.read(path, format="kpf")


def test_a_file_without_its_header(tmp_path):
    with pytest.raises(ValueError, match="line 1 has numbers, such as 0, expected a header"):
        read(written(tmp_path / "a.csv", GREEN), format="kpf")
