# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Slit edges of PypeIt, written as it writes them."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.utils.exceptions import AstropyUserWarning
from numpy.testing import assert_allclose, assert_array_equal

from ccdproc_echelle import EchelleOrderTable
from ccdproc_echelle.orders import FORMATS

read = EchelleOrderTable.read

N_SPEC, N_SPAT = 300, 150
PIXELS = np.arange(N_SPEC)
# No edge goes through the centre of a pixel.
CENTERS = np.array([[30.137], [70.291], [110.413]]) + 0.0311 * PIXELS + 1e-4 * (PIXELS - 150) ** 2
HALF_WIDTHS = np.array([[8.0], [9.0], [10.0]]) + 2e-3 * PIXELS


def slits_file(path, *, leave_out=(), keywords=None, name="SLITS", **columns):
    """
    A table SLITS; arrays of PypeIt are (n_spec, n_slits), and transposed when they are written.
    """
    left, right = (CENTERS - HALF_WIDTHS).T, (CENTERS + HALF_WIDTHS).T
    content = {
        "spat_id": np.array([30, 70, 110]),
        "maskdef_id": np.array([-99, -99, -99]),
        "ech_order": np.array([15, 14, 13]),
        "left_init": left,
        "right_init": right,
        "center": 0.5 * (left + right),
        "mask_init": np.zeros(3, dtype=np.int16),
        "mask": np.array([0, 8, 0], dtype=np.int16),
        "specmin": np.full(3, -np.inf),
        "specmax": np.full(3, np.inf),
    } | columns
    table = fits.table_to_hdu(
        Table({key: np.asarray(value).T for key, value in content.items() if key not in leave_out})
    )
    table.name = name
    header = {"PYPELINE": "Echelle", "NSPEC": N_SPEC, "NSPAT": N_SPAT, "NSLITS": 3, "PAD": 0}
    table.header.update({k: v for k, v in (header | (keywords or {})).items() if v is not None})
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path)
    return path


@pytest.mark.parametrize("name", ["Slits_A_1_DET01.fits.gz", "Slits_A_1_DET01.fits", "unnamed"])
def test_edges(name, tmp_path):
    path = slits_file(tmp_path / name)
    assert [key for key, f in FORMATS.items() if f.identify and f.identify(path)] \
        == ["pypeit"]
    orders = read(path)
    assert orders.shape == (N_SPEC, N_SPAT)
    assert orders.dispersion_axis == 0
    assert_array_equal(orders.order_numbers, [15, 14, 13])
    assert_allclose(orders.center(), CENTERS, rtol=0, atol=1e-9)
    assert_allclose(orders.lower(), CENTERS - HALF_WIDTHS, rtol=0, atol=1e-9)
    assert_allclose(orders.upper(), CENTERS + HALF_WIDTHS, rtol=0, atol=1e-9)


def test_the_order_map_is_the_slit_image(tmp_path):
    """PypeIt's own rule: a pixel is in a slit when its index lies between the edges."""
    image = np.zeros((N_SPEC, N_SPAT), dtype=int)
    on_an_edge = np.zeros(image.shape, dtype=bool)  # where rounding decides
    for number, center, half in zip([15, 14, 13], CENTERS, HALF_WIDTHS, strict=True):
        for row in range(N_SPEC):
            for spat in range(N_SPAT):
                if center[row] - half[row] < spat < center[row] + half[row]:
                    image[row, spat] = number
                on_an_edge[row, spat] |= abs(abs(spat - center[row]) - half[row]) < 1e-9
    assert on_an_edge.sum() < 10
    order_map = read(slits_file(tmp_path / "a.fits")).order_map()
    assert_array_equal(order_map[~on_an_edge], image[~on_an_edge])


def test_tweaked_edges_are_preferred(tmp_path):
    tweaked = {"left_tweak": (CENTERS - 6).T, "right_tweak": (CENTERS + 4).T}
    orders = read(slits_file(tmp_path / "a.fits", **tweaked))
    assert_allclose(orders.lower(), CENTERS - 6, rtol=0, atol=1e-9)
    assert_allclose(orders.upper(), CENTERS + 4, rtol=0, atol=1e-9)
    assert_allclose(orders.center(), CENTERS - 1, rtol=0, atol=1e-9)


def test_the_spectral_range_excludes_its_bounds(tmp_path):
    orders = read(slits_file(tmp_path / "a.fits", specmin=[-np.inf, 20, 0],
                             specmax=[np.inf, 250, 300]))
    expected = [(0, 299), (21, 249), (1, 299)]
    for center, (first, last) in zip(orders.center(), expected, strict=True):
        assert_array_equal(np.flatnonzero(np.isfinite(center))[[0, -1]], [first, last])


def test_slit_numbers_where_there_are_no_orders(tmp_path):
    orders = read(slits_file(tmp_path / "a.fits", leave_out=["ech_order"]))
    assert_array_equal(orders.order_numbers, [30, 70, 110])


def test_repeated_order_numbers(tmp_path):
    path = slits_file(tmp_path / "a.fits", ech_order=[15, 15, 14])
    with pytest.warns(AstropyUserWarning, match="14 to 15, repeat"):
        orders = read(path)
    assert_array_equal(orders.order_numbers, [1, 2, 3])
    assert_array_equal(orders.table["file_order"], [15, 15, 14])


def test_one_slit(tmp_path):
    path = slits_file(tmp_path / "a.fits", spat_id=[30], maskdef_id=[-99], ech_order=[15],
                      left_init=CENTERS[:1].T - 8, right_init=CENTERS[:1].T + 8,
                      center=CENTERS[:1].T, mask_init=[0], mask=[0], specmin=[-1.0],
                      specmax=[300.0])
    assert_allclose(read(path).center(), CENTERS[:1], rtol=0, atol=1e-9)


def test_a_poor_fit_is_told(tmp_path):
    kinked = CENTERS - HALF_WIDTHS
    kinked[1, 150:] -= 2
    with pytest.warns(AstropyUserWarning) as record:
        read(slits_file(tmp_path / "a.fits", left_init=kinked.T))
    messages = [str(warning.message) for warning in record]
    assert len(messages) == 2
    assert "in order 14 the series of degree 9 misses the order centre by up to 0." in messages[0]
    assert "misses the lower edge by up to 0.98 pixel" in messages[1]


def test_contradicting_shape(tmp_path):
    with pytest.raises(ValueError, match=r"for shape \(300, 150\), but shape=\(150, 300\)"):
        read(slits_file(tmp_path / "a.fits"), shape=(150, 300))


EDGES = (CENTERS - HALF_WIDTHS).T


@pytest.mark.parametrize("kwargs, message", [
    ({"name": "OTHER"}, r"no table HDU SLITS; found \['OTHER'\]"),
    ({"leave_out": ["left_init"]}, "HDU SLITS has no column left_init"),
    ({"leave_out": ["right_init"]}, "HDU SLITS has no column right_init"),
    ({"leave_out": ["ech_order", "spat_id"]}, "HDU SLITS has no column spat_id"),
    ({"keywords": {"NSPEC": None}}, "keyword NSPEC is None, expected an integer"),
    ({"keywords": {"NSPAT": None}}, "keyword NSPAT is None, expected an integer"),
    ({"keywords": {"NSPEC": 301}}, "edges at 300 spectral pixels, expected NSPEC = 301"),
    ({"left_init": EDGES * [1, np.nan, 1]}, r"column left_init: rows \[2\] are not finite"),
    ({"left_init": EDGES[:200]}, r"right_init has shape \(3, 300\), expected \(3, 200\)"),
    ({"specmin": [400.0] * 3}, "order 15 has no finite centre"),
    ({"left_init": EDGES + 30}, r"orders \[15, 14, 13\].*upper edge not above the lower"),
])
def test_malformed_files(kwargs, message, tmp_path):
    path = slits_file(tmp_path / "a.fits", **kwargs)
    with pytest.raises(ValueError, match=rf"a\.fits as .*'pypeit'.*{message}"):
        read(path, format="pypeit")


@pytest.mark.filterwarnings("ignore:File may have been truncated")
def test_truncated_file(tmp_path):
    path = slits_file(tmp_path / "a.fits")
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(ValueError, match=r"a\.fits as .*'pypeit'"):
        read(path, format="pypeit")
