# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Stripes of MAROON-X, written as its pipeline lays them out."""

import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_allclose, assert_array_equal

from ccdproc_echelle import EchelleOrderTable
from ccdproc_echelle.orders import FORMATS

SHAPE = (407, 395)
FIBRES = [2, 3, 5]
# of fibre 2, 3 and 5, the highest power first
STRIPES = {
    "91": [1e-5, 0.01, 40, 1.1e-5, 0.011, 52, 1.2e-5, 0.012, 64],
    "92": [-2e-5, 0.02, 140, np.nan, np.nan, np.nan, -2.2e-5, 0.022, 164],
}

pytestmark = pytest.mark.filterwarnings("ignore:the order numbers in the file")


def written(path, *, stripes=STRIPES, fibres=FIBRES, image=True):
    hdus = [fits.PrimaryHDU()]
    if image:
        hdus.append(fits.ImageHDU(np.zeros(SHAPE, np.float32), name="SCI"))
    columns = [fits.Column(name, "D", array=values) for name, values in stripes.items()]
    hdus.append(fits.BinTableHDU.from_columns(columns, name="STRIPES_ID"))
    if fibres is not None:
        hdus.append(fits.ImageHDU(np.array(fibres), name="STRIPES_FIBERS"))
    fits.HDUList(hdus).writeto(path)
    return path


def test_stripes(tmp_path):
    path = written(tmp_path / "flat.fits")
    assert [key for key, f in FORMATS.items() if f.identify and f.identify(path)] == ["maroonx"]
    orders = EchelleOrderTable.read(path)
    assert orders.shape == SHAPE and orders.dispersion_axis == 1 and not orders.has_edges
    assert_array_equal(orders.table["fibre"], [2, 3, 5, 2, 5])
    assert_array_equal(orders.table["bundle"], [91, 91, 91, 92, 92])
    x = np.arange(SHAPE[1])
    assert_allclose(orders.center()[1], 52 + 0.011 * x + 1.1e-5 * x**2, atol=1e-9)
    assert_allclose(orders.center()[4], 164 + 0.022 * x - 2.2e-5 * x**2, atol=1e-9)


def test_one_fibre_keeps_the_order_numbers(tmp_path):
    stripes = {name: values[:3] for name, values in STRIPES.items()}
    orders = EchelleOrderTable.read(written(tmp_path / "a.fits", stripes=stripes, fibres=[5]))
    assert_array_equal(orders.order_numbers, [91, 92])


def test_shape_is_asked_for(tmp_path):
    path = written(tmp_path / "a.fits", image=False)
    with pytest.raises(ValueError, match="no HDU SCI: give shape="):
        EchelleOrderTable.read(path)
    assert EchelleOrderTable.read(path, shape=SHAPE).shape == SHAPE


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(fibres=None), "no HDU STRIPES_FIBERS"),
        (dict(fibres=[1, 2]), "same number of coefficients for each of 2 fibres"),
        (dict(fibres=[1.0, 2.0, 3.0]), "expected a list of integer fibre numbers"),
        (dict(stripes={"first": [1.0, 2, 3]}), "not named by an order number"),
        (dict(stripes={"91": [np.nan] * 3}), "has no coefficients"),
    ],
)
def test_other_files(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        EchelleOrderTable.read(written(tmp_path / "a.fits", **changes))
