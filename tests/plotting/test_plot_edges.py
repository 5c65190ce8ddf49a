# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable

pytest.importorskip("matplotlib", reason="figures need matplotlib")

from ccdproc_echelle.plotting import plot_edge_residuals
from helpers.figures import ALONG_ROWS, N_ORDERS, both_axes, without_edges


def edge_points(orders, offset, used):
    """Points at two dispersion pixels, ``offset`` from the edges; order by order, lower first."""
    pixels = [50, 150]
    rows = [
        (number, edge, pixel, getattr(orders, edge)([pixel])[i, 0])
        for i, number in enumerate(orders.order_numbers)
        for edge in ("lower", "upper") for pixel in pixels
    ]
    number, edge, pixel, position = (np.array(column) for column in zip(*rows, strict=True))
    return QTable({
        "order": number, "edge": edge, "pixel": pixel * u.pix,
        "position": (position + offset) * u.pix, "used": used,
    })


@both_axes
def test_edge_residuals_are_measured_less_fit(simulation):
    orders = simulation.truth.orders
    offset = np.linspace(-0.2, 0.3, 4 * N_ORDERS)
    used = np.ones(len(offset), bool)
    used[[3, 8]] = False
    points = edge_points(orders, offset, used)

    ax = plot_edge_residuals(points, orders)

    for i, name in enumerate(("lower", "upper")):
        here = used & (points["edge"] == name)
        np.testing.assert_allclose(ax.lines[i].get_ydata(), offset[here])
        np.testing.assert_array_equal(ax.lines[i].get_xdata(), points["pixel"][here].value)
        rms = np.sqrt(np.mean(offset[here] ** 2))
        assert ax.lines[i].get_label() == f"{name} edge (rms {rms:.2g} pixel)"
    np.testing.assert_allclose(ax.lines[2].get_ydata(), offset[[3, 8]])
    assert ax.lines[2].get_label() == "rejected (2 of 20)"
    assert ax.get_ylabel().endswith("(pixel)")


def test_outlying_edge_point_is_drawn_at_the_end_of_the_axis():
    offset, used = np.tile([0.1, -0.1], 2 * N_ORDERS), np.ones(4 * N_ORDERS, bool)
    offset[5], used[5] = 50, False

    ax = plot_edge_residuals(edge_points(ALONG_ROWS.truth.orders, offset, used),
                             ALONG_ROWS.truth.orders)

    (drawn,) = ax.lines[2].get_ydata()
    assert 0.9 * ax.get_ylim()[1] < drawn < ax.get_ylim()[1] < 2


def test_edge_residuals_need_points_of_these_orders():
    orders = ALONG_ROWS.truth.orders
    points = edge_points(orders, 0.0, np.ones(4 * N_ORDERS, bool))

    with pytest.raises(ValueError, match=r"points has orders \[15\]"):
        plot_edge_residuals(points, orders.select(orders.order_numbers[:-1]))
    with pytest.raises(ValueError, match="no edges"):
        plot_edge_residuals(points, without_edges(orders))
    points["used"] = False
    with pytest.raises(ValueError, match="no point is marked as used"):
        plot_edge_residuals(points, orders)
