# Licensed under a 3-clause BSD style license - see LICENSE.rst
from itertools import pairwise

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import CCDData

pytest.importorskip("matplotlib", reason="figures need matplotlib")

from ccdproc_echelle.orders import EchelleOrderTable
from ccdproc_echelle.plotting import plot_orders
from ccdproc_echelle.plotting.drawing import new_axes
from helpers.figures import (
    ALONG_COLUMNS,
    ALONG_ROWS,
    N_ORDERS,
    both_axes,
    extents,
    flat_and_orders,
    grey_levels,
    labels_of,
    lines_with_style_of,
    overlapping,
    shown_image,
    shrunk_to_ink,
    without_edges,
)


@both_axes
def test_image_is_shown_as_stored(simulation):
    flat, orders = flat_and_orders(simulation)

    ax = plot_orders(flat, orders)

    n_rows, n_columns = flat.shape
    assert ax.get_xlim() == (-0.5, n_columns - 0.5)
    assert ax.get_ylim() == (-0.5, n_rows - 0.5)
    assert ax.images[0].origin == "lower"
    np.testing.assert_array_equal(shown_image(ax), flat.data)


@both_axes
@pytest.mark.parametrize(
    "label, method", [("order centre", "center"), ("lower edge", "lower"), ("upper edge", "upper")]
)
def test_curves_lie_where_the_order_table_says(simulation, label, method):
    flat, orders = flat_and_orders(simulation)
    positions = getattr(orders, method)()

    lines = lines_with_style_of(plot_orders(flat, orders), label)

    assert len(lines) == N_ORDERS
    for line, expected in zip(lines, positions, strict=True):
        x, y = line.get_data()
        along, across = (x, y) if orders.dispersion_axis == 1 else (y, x)
        np.testing.assert_array_equal(along, np.arange(len(expected)))
        np.testing.assert_array_equal(across, expected)


def test_curves_differ_in_colour_and_in_line_style():
    flat, orders = flat_and_orders(ALONG_ROWS)

    ax = plot_orders(flat, orders)

    names = ("order centre", "lower edge", "upper edge")
    first = [lines_with_style_of(ax, name)[0] for name in names]
    assert len({line.get_color() for line in first}) == 3
    assert len({line.get_linestyle() for line in first}) == 3


def test_orders_without_edges_have_only_centres():
    flat, orders = flat_and_orders(ALONG_ROWS)

    ax = plot_orders(flat, without_edges(orders))

    assert labels_of(ax) == ["order centre"]
    assert len(ax.lines) == N_ORDERS


@both_axes
def test_window_is_filled_around_the_centres(simulation):
    flat, orders = flat_and_orders(simulation)
    axis = 1 if simulation.dispersion_axis == 1 else 0

    ax = plot_orders(flat, orders, window=10)

    assert "inner-order window, 10 pixel" in labels_of(ax)
    assert len(ax.collections) == N_ORDERS
    for filled, center in zip(ax.collections, orders.center(), strict=True):
        across = filled.get_paths()[0].vertices[:, axis]
        assert across.min() == pytest.approx(center.min() - 5)
        assert across.max() == pytest.approx(center.max() + 5)


@pytest.mark.parametrize("n_orders, height, labels", [
    (6, 5, ["order centre", "lower edge", "upper edge"]),
    (30, 5, ["order centre", "lower edge", "upper edge"]),
    (30, 3, ["lower edge", "upper edge"]),
])
def test_centres_are_left_out_where_they_would_hide_the_light(n_orders, height, labels):
    middles = 10 + 20 * np.arange(n_orders)[:, np.newaxis]
    orders = EchelleOrderTable.from_polynomials(
        np.arange(n_orders) + 1, middles, lower=middles - 6, upper=middles + 6,
        shape=(20 * n_orders, 50), dispersion_axis=1,
    )
    ax = new_axes((6, height))
    image = 1 + np.random.default_rng(1).random(orders.shape)
    plot_orders(image, orders, ax=ax)
    assert ax.get_legend_handles_labels()[1] == labels


def test_no_window_unless_asked_for():
    ax = plot_orders(*flat_and_orders(ALONG_ROWS))

    assert len(ax.collections) == 0


def test_axes_say_what_they_are_and_in_which_unit():
    by_rows = plot_orders(*flat_and_orders(ALONG_ROWS))
    by_columns = plot_orders(*flat_and_orders(ALONG_COLUMNS))

    assert by_rows.get_xlabel() == "dispersion axis: column (pixel)"
    assert by_rows.get_ylabel() == "cross-dispersion axis: row (pixel)"
    assert by_columns.get_xlabel() == "cross-dispersion axis: column (pixel)"
    assert by_columns.get_ylabel() == "dispersion axis: row (pixel)"


@pytest.mark.parametrize("unit, label", [
    ("adu", "signal (adu)"), ("electron", "signal (electron)"), ("", "signal (relative)"),
])
def test_colour_bar_has_the_unit_of_the_image(unit, label):
    flat, orders = flat_and_orders(ALONG_ROWS)

    ax = plot_orders(CCDData(flat.data, unit=unit), orders)

    assert ax.images[0].colorbar.ax.get_ylabel() == label


def test_plain_array_has_no_unit():
    flat, orders = flat_and_orders(ALONG_ROWS)

    ax = plot_orders(flat.data, orders)

    assert ax.images[0].colorbar.ax.get_ylabel() == "signal"


@pytest.mark.parametrize("window", [0, -3, np.nan])
def test_window_must_be_positive(window):
    with pytest.raises(ValueError, match=r"window is .*, expected a positive number of pixels"):
        plot_orders(*flat_and_orders(ALONG_ROWS), window=window)


@both_axes
def test_each_order_has_its_number_at_its_end(simulation):
    flat, orders = flat_and_orders(simulation)

    texts = plot_orders(flat, orders).texts

    assert [text.get_text() for text in texts] == [str(n) for n in orders.order_numbers]
    ends = [text.xy if simulation.dispersion_axis == 1 else text.xy[::-1] for text in texts]
    np.testing.assert_array_equal([end[0] for end in ends], 399)
    np.testing.assert_allclose([end[1] for end in ends], orders.center([399])[:, 0])


def dense_orders(n_orders, dispersion_axis):
    """Bowed orders with three-digit numbers; the first ones leave the detector at the side."""
    pixels = np.arange(400)
    centers = np.linspace(5, 290, n_orders)[:, None] - 2e-4 * (pixels - 150.0) ** 2
    orders = EchelleOrderTable.from_traces(
        100 + np.arange(n_orders), centers, shape=(300, 400), dispersion_axis=1,
        lower=centers - 1, upper=centers + 1,
    )
    return orders if dispersion_axis == 1 else orders.transposed()


@pytest.mark.parametrize("dispersion_axis", [0, 1])
@pytest.mark.parametrize("n_orders, at_least", [(10, 10), (40, 20), (120, 20)])
def test_order_numbers_do_not_overlap(n_orders, at_least, dispersion_axis):
    orders = dense_orders(n_orders, dispersion_axis)

    ax = plot_orders(1 + orders.coverage(), orders)

    assert len(ax.texts) >= at_least
    assert not overlapping(shrunk_to_ink(extents(ax, ax.texts))).any()


@pytest.mark.parametrize("dispersion_axis", [0, 1])
def test_order_that_leaves_the_detector_is_numbered_where_it_leaves(dispersion_axis):
    orders = dense_orders(10, dispersion_axis)
    visible = np.flatnonzero(orders.center()[0] >= -0.5)
    end = (visible[-1], orders.center()[0, visible[-1]])
    end = end if dispersion_axis == 1 else end[::-1]

    ax = plot_orders(1 + orders.coverage(), orders)

    assert visible[-1] < 399
    assert ax.texts[0].xy == end
    (box,) = extents(ax, ax.texts[:1])
    assert (box[:2] > ax.transData.transform(end)).all()


@both_axes
def test_legend_is_clear_of_the_order_numbers_and_of_the_axes(simulation):
    ax = plot_orders(*flat_and_orders(simulation), window=10)

    boxes = extents(ax, [ax.get_legend(), *ax.texts])

    assert not overlapping(boxes)[0].any()
    assert boxes[0, 1] >= ax.get_window_extent().y1


def test_order_off_the_detector_has_no_number():
    _, orders = flat_and_orders(ALONG_ROWS)
    moved = orders.table
    moved["center"][0, 0] -= 1000 * u.pix
    moved["lower"][0, 0] -= 1000 * u.pix
    moved["upper"][0, 0] -= 1000 * u.pix

    ax = plot_orders(ALONG_ROWS.truth.flat, EchelleOrderTable(moved))

    assert [text.get_text() for text in ax.texts] == [str(n) for n in orders.order_numbers[1:]]


def test_real_orders_are_all_seen(zyla_flat, zyla_orders):
    flat, orders = zyla_flat, zyla_orders

    ax = plot_orders(flat, orders, window=10)

    columns = slice(1200, 1400)
    rows = orders.center([1300])[:, 0].astype(int)
    signals = [np.median(flat[row - 3 : row + 4, columns]) for row in rows]
    between = [
        np.median(flat[(low + high) // 2 - 3 : (low + high) // 2 + 4, columns])
        for low, high in pairwise(rows)
    ]
    assert (grey_levels(ax, signals[:-1]) - grey_levels(ax, between) > 0.04).all()
    assert len(ax.texts) == 29
