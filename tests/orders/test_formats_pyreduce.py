# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Order tables of PyReduce, written as it writes them."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning
from numpy.testing import assert_allclose, assert_array_equal

from ccdproc_echelle import EchelleOrderTable
from ccdproc_echelle.orders import FORMATS

read = EchelleOrderTable.read

# Highest power first; half-open ranges of columns.
POWERS = np.array([[2e-5, 0.02, 30.0], [1e-5, 0.03, 60.0], [-1e-5, 0.05, 95.0]])
RANGES = np.array([[5, 180], [0, 200], [20, 151]])
COLUMNS = np.arange(200)


def truth(powers=POWERS, ranges=RANGES):
    """Rows at every column, term by term; NaN outside the range."""
    rows = [sum(c * COLUMNS**k for k, c in enumerate(row[::-1])) for row in powers]
    inside = [(COLUMNS >= first) & (COLUMNS < end) for first, end in ranges]
    return np.where(inside, rows, np.nan)


def npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def fits_file(path, *, m=(60, 59, 58), group=("", "", ""), fiber_idx=(1, 1, 1), pos=POWERS,
              col_range=RANGES, height=(28.0, 31.0, np.nan), leave_out=(), name="TRACES"):
    """A table TRACES with the columns and types of PyReduce."""
    columns = [
        fits.Column(name="M", format="I", array=np.array(m)),
        fits.Column(name="GROUP", format="16A", array=np.array(group)),
        fits.Column(name="FIBER_IDX", format="I", array=np.array(fiber_idx)),
        fits.Column(name="POS", format=f"{np.shape(pos)[1]}D", array=np.array(pos)),
        fits.Column(name="COL_RANGE", format=f"{np.shape(col_range)[1]}J", array=col_range),
        fits.Column(name="HEIGHT", format="E", array=np.array(height)),
    ]
    table = fits.BinTableHDU.from_columns([c for c in columns if c.name not in leave_out],
                                          name=name)
    header = fits.Header([("E_FMTVER", 3)])
    fits.HDUList([fits.PrimaryHDU(header=header), table]).writeto(path)
    return path


# ---------------------------------------------------------------------- what is read


@pytest.mark.parametrize("key", ["orders", "traces"])
def test_archive(key, tmp_path):
    path = npz(tmp_path / "any.npz", **{key: POWERS, "column_range": RANGES})
    assert [name for name, f in FORMATS.items() if f.identify and f.identify(path)] \
        == ["pyreduce"]
    orders = read(path, shape=(120, 200))
    assert_array_equal(orders.order_numbers, [1, 2, 3])
    assert orders.dispersion_axis == 1
    assert not orders.has_edges
    assert_allclose(orders.center(), truth(), rtol=0, atol=1e-9)


def test_table(tmp_path):
    path = fits_file(tmp_path / "x.traces.fits")
    assert [name for name, f in FORMATS.items() if f.identify and f.identify(path)] \
        == ["pyreduce"]
    orders = read(path, shape=(120, 200))
    assert_array_equal(orders.order_numbers, [60, 59, 58])
    assert_array_equal(orders.table["fiber"], ["1", "1", "1"])
    assert_allclose(orders.center(), truth(), rtol=0, atol=1e-9)


def test_the_aperture_height_is_no_edge(tmp_path):
    assert not read(fits_file(tmp_path / "a.fits")).has_edges


def test_shape_is_unknown_and_the_axis_known(tmp_path):
    path = fits_file(tmp_path / "a.fits")
    assert read(path).shape is None
    with pytest.raises(ValueError, match="for dispersion_axis 1, but dispersion_axis=0"):
        read(path, dispersion_axis=0)


def test_unknown_order_numbers(tmp_path):
    orders = read(fits_file(tmp_path / "a.fits", m=(-1, -1, -1)))
    assert_array_equal(orders.order_numbers, [1, 2, 3])


def test_several_fibres_in_an_order(tmp_path):
    path = fits_file(tmp_path / "a.fits", m=(60, 60, 59), fiber_idx=(1, 2, 1))
    with pytest.warns(AstropyUserWarning, match="59 to 60, repeat.*3 traces are numbered from 1"):
        orders = read(path)
    assert_array_equal(orders.order_numbers, [1, 2, 3])
    assert_array_equal(orders.table["file_order"], [60, 60, 59])
    assert_array_equal(orders.table["fiber"], ["1", "2", "1"])


def test_groups_go_before_their_fibres(tmp_path):
    path = fits_file(tmp_path / "a.fits", m=(60, 60, 60), group=("A", "", ""),
                     fiber_idx=(-1, 1, 2))
    with pytest.warns(AstropyUserWarning, match="1 merged groups of fibres and 2 single fibres"):
        orders = read(path, shape=(120, 200))
    assert_array_equal(orders.order_numbers, [60])
    assert_array_equal(orders.table["fiber"], ["A"])
    assert_allclose(orders.center(), truth()[:1], rtol=0, atol=1e-9)


def test_constant_traces(tmp_path):
    orders = read(fits_file(tmp_path / "a.fits", pos=POWERS[:, 2:]), shape=(120, 200))
    assert_allclose(orders.center([100])[:, 0], [30, 60, 95])


def test_real_traces(data_dir):
    path = data_dir / "order_tables" / "pyreduce_zyla.npz"
    orders = read(path, shape=(2160, 2560))
    with np.load(path) as archive:
        powers, ranges = archive["orders"], archive["column_range"]
    assert len(orders) == 30
    columns = np.arange(2560)
    for center, row, (first, end) in zip(orders.center(), powers, ranges, strict=True):
        inside = (columns >= first) & (columns < end)
        assert_array_equal(np.isfinite(center), inside)
        assert np.abs(center - np.polyval(row, columns))[inside].max() < 1e-3


# ---------------------------------------------------------------------- what is refused


class _Trap:
    """Unpickling it leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("key", ["orders", "column_range"])
def test_pickles_are_never_loaded(key, tmp_path):
    trapped = np.array([_Trap(tmp_path / "sprung")], dtype=object)
    path = npz(tmp_path / "a.npz", **({"orders": POWERS, "column_range": RANGES} | {key: trapped}))
    with pytest.raises(ValueError, match=r"a\.npz as .*'pyreduce'.*allow_pickle=False"):
        read(path)
    assert not (tmp_path / "sprung").exists()


def test_other_pickles_in_the_archive_are_left_alone(tmp_path):
    trapped = np.array([_Trap(tmp_path / "sprung")], dtype=object)
    path = npz(tmp_path / "a.npz", orders=POWERS, column_range=RANGES, heights=trapped)
    assert len(read(path)) == 3
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("arrays, message", [
    ({"orders": POWERS}, "no column column_range; found .*orders"),
    ({"column_range": RANGES}, "no column traces"),
    ({"orders": POWERS[0, 0], "column_range": RANGES}, r"orders has shape \(\), expected a row"),
    ({"orders": POWERS[:0], "column_range": RANGES[:0]}, r"orders has shape \(0, 3\)"),
    ({"orders": POWERS, "column_range": RANGES[:2]}, r"has shape \(2, 2\), expected \(3, 2\)"),
    ({"orders": POWERS, "column_range": RANGES.T}, r"has shape \(2, 3\), expected \(3, 2\)"),
    ({"orders": POWERS * [[1], [np.nan], [np.inf]], "column_range": RANGES},
     r"orders: rows \[2, 3\] are not finite"),
    ({"orders": np.full((3, 2), "a"), "column_range": RANGES}, "orders is <U1, expected numbers"),
    ({"orders": POWERS, "column_range": RANGES[:, ::-1]}, r"orders \[1, 2, 3\].*empty"),
])
def test_malformed_archives(arrays, message, tmp_path):
    path = npz(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=rf"a\.npz as .*'pyreduce'.*{message}"):
        read(path, format="pyreduce")


def test_truncated_archive(tmp_path):
    path = npz(tmp_path / "a.npz", orders=POWERS, column_range=RANGES)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="none of the known"):
        read(path)
    with pytest.raises(ValueError, match=r"a\.npz as .*'pyreduce'.*the archive is damaged"):
        read(path, format="pyreduce")


@pytest.mark.parametrize("kwargs, message", [
    ({"name": "OTHER"}, r"no table HDU TRACES; found \['OTHER'\]"),
    ({"leave_out": ["M"]}, "HDU TRACES has no column M"),
    ({"leave_out": ["POS"]}, "HDU TRACES has no column POS"),
    ({"leave_out": ["COL_RANGE"]}, "HDU TRACES has no column COL_RANGE"),
    ({"pos": POWERS * [[1], [np.nan], [1]]}, r"column POS: rows \[2\] are not finite"),
    ({"col_range": np.zeros((3, 3), int)}, r"COL_RANGE has shape \(3, 3\), expected \(3, 2\)"),
])
def test_malformed_tables(kwargs, message, tmp_path):
    path = fits_file(tmp_path / "a.fits", **kwargs)
    with pytest.raises(ValueError, match=rf"a\.fits as .*'pyreduce'.*{message}"):
        read(path, format="pyreduce")
