# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest

from ccdproc_echelle.combining.scales import OrderScales, order_places
from ccdproc_echelle.orders import EchelleOrderTable
from ccdproc_echelle.simulation import EchelleSimulation
from helpers.orders import centers_only

ORDERS = EchelleSimulation(shape=(200, 150), n_orders=5, seed=2).truth.orders
BARE = centers_only(ORDERS)


def test_places_within_the_orders_are_their_indices():
    places = order_places(ORDERS, window=4)
    order_map = ORDERS.order_map()
    for index, number in enumerate(ORDERS.order_numbers):
        assert (places[order_map == number] == index).all()
    inner = BARE.inner_mask(6)
    np.testing.assert_array_equal(order_places(BARE, window=6)[inner] % 1, 0)


@pytest.mark.parametrize("orders", [ORDERS, BARE])
def test_places_rise_linearly_between_the_orders(orders):
    places = order_places(orders, window=4)
    rises = np.diff(places, axis=0)
    assert rises.min() >= 0
    assert rises.max() < 0.12  # there are no steps: the gaps are wider than 10 pixels
    between = (places % 1 > 0.2) & (places % 1 < 0.8)
    np.testing.assert_allclose(np.diff(places, 2, axis=0)[between[1:-1]], 0, atol=1e-12)


def test_places_of_transposed_orders():
    expected = np.ascontiguousarray(order_places(ORDERS, 4).T)
    found = order_places(ORDERS.transposed(), 4)
    assert found.tobytes() == expected.tobytes()


def test_orders_go_on_where_their_range_ends():
    orders = EchelleOrderTable.from_polynomials(
        [1, 2], [[20], [60]], shape=(80, 50), dispersion_axis=1,
        pixel_range=[[0, 49], [10, 30]],
    )
    places = order_places(orders, 10)
    assert (places == places[:, [20]]).all()


def test_places_of_crossing_orders_are_finite_and_in_order():
    orders = EchelleOrderTable.from_polynomials(
        [1, 2], [[20, 0.5], [30, 0]], shape=(60, 50), dispersion_axis=1
    )
    places = order_places(orders, 10)
    assert places.min() == 0 and places.max() == 1
    assert (np.diff(places, axis=0) >= 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_images_are_interpolated(dtype):
    rng = np.random.default_rng(0)
    values, places = rng.uniform(0.5, 2, (3, 5)), order_places(ORDERS, 4)
    scales = OrderScales(values, places).astype(np.dtype(dtype))
    for image, value in zip(scales.images(), values, strict=True):
        assert image.dtype == dtype
        expected = np.interp(places.ravel(), np.arange(5), value)
        np.testing.assert_allclose(image, expected, rtol=100 * np.finfo(dtype).eps)
    rows = slice(20, 33)
    part = [image.reshape(-1, 150) for image in scales.part(rows).images()]
    whole = [image.reshape(200, 150)[rows] for image in scales.images()]
    np.testing.assert_array_equal(part, whole)


def test_a_single_order_has_its_scale_everywhere():
    scales = OrderScales(np.array([[2.0], [3.0]]), order_places(ORDERS.select(13), 4))
    assert [set(image) for image in scales.images()] == [{2.0}, {3.0}]
