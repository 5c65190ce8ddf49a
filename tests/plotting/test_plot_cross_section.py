# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="figures need matplotlib")

from ccdproc_echelle.orders import EchelleOrderTable
from ccdproc_echelle.plotting import plot_cross_section
from helpers.figures import (
    ALONG_ROWS,
    both_axes,
    flat_and_orders,
    labels_of,
    some_master,
    without_edges,
)


@both_axes
def test_cut_is_the_median_of_five_dispersion_pixels(simulation):
    flat, orders = flat_and_orders(simulation)
    image = flat.data if simulation.dispersion_axis == 1 else flat.data.T

    ax = plot_cross_section(flat, orders, pixel=100)

    np.testing.assert_allclose(ax.lines[0].get_ydata(), np.median(image[:, 98:103], axis=1))
    kind = "columns" if simulation.dispersion_axis == 1 else "rows"
    assert f"median of {kind} 98 to 102" in labels_of(ax)


def test_cut_is_in_the_middle_by_default_and_ends_at_the_border():
    flat, orders = flat_and_orders(ALONG_ROWS)

    assert "median of columns 198 to 202" in labels_of(plot_cross_section(flat, orders))
    assert "median of columns 0 to 2" in labels_of(plot_cross_section(flat, orders, pixel=0))
    assert "median of columns 397 to 399" in labels_of(plot_cross_section(flat, orders, pixel=399))


@both_axes
def test_cut_marks_the_edges(simulation):
    flat, orders = flat_and_orders(simulation)

    ax = plot_cross_section(flat, orders, pixel=100)

    marks = {marks.get_label(): marks for marks in ax.collections}
    for label, edges in (("lower edge", orders.lower([100])), ("upper edge", orders.upper([100]))):
        positions = [segment[0, 0] for segment in marks[label].get_segments()]
        np.testing.assert_allclose(positions, edges[:, 0])
    assert [text.get_text() for text in ax.texts] == [str(n) for n in orders.order_numbers]
    shades = np.array([patch.get_extents().extents for patch in ax.patches])
    x, _ = ax.transData.inverted().transform(shades[:, :2]).T
    np.testing.assert_allclose(x, orders.lower([100])[:, 0])


def test_cut_marks_centres_where_edges_are_unknown():
    flat, orders = flat_and_orders(ALONG_ROWS)

    ax = plot_cross_section(flat, without_edges(orders), pixel=100)

    (marks,) = ax.collections
    positions = [segment[0, 0] for segment in marks.get_segments()]
    np.testing.assert_allclose(positions, orders.center([100])[:, 0])
    assert len(ax.patches) == 0


@both_axes
def test_cut_axes_have_units(simulation):
    ax = plot_cross_section(*flat_and_orders(simulation))

    name = "row" if simulation.dispersion_axis == 1 else "column"
    assert ax.get_xlabel() == f"cross-dispersion axis: {name} (pixel)"
    assert ax.get_ylabel() == "signal (adu)"
    assert ax.get_xlim() == (-0.5, 299.5)


def test_faintest_order_stands_out_in_the_cut():
    flat, orders = flat_and_orders(ALONG_ROWS)
    ax = plot_cross_section(flat, orders)
    cut = ax.lines[0].get_ydata()
    peak = cut[int(orders.center([200])[-1, 0])]
    background = np.median(cut[orders.order_map()[:, 200] == 0])

    heights = ax.transData.transform([[0, background], [0, peak], [0, cut.max()]])[:, 1]

    assert heights[1] - heights[0] > 0.1 * ax.get_window_extent().height
    assert heights[2] < ax.get_window_extent().y1


def test_cut_has_gaps_between_the_orders_of_a_master():
    master = some_master(ALONG_ROWS)

    cut = plot_cross_section(master.flat, master.orders, pixel=100).lines[0].get_ydata()

    few = master.orders.order_map()[:, 98:103]
    np.testing.assert_array_equal(np.isnan(cut), (few == 0).all(axis=1))


def test_cut_through_orders_that_end_before_it():
    flat, orders = flat_and_orders(ALONG_ROWS)
    orders = EchelleOrderTable.from_polynomials(
        [7, 8], [[50], [150]], lower=[[40], [140]], upper=[[60], [160]],
        pixel_range=[[0, 99], [0, 399]], shape=flat.shape, dispersion_axis=1,
    )

    ax = plot_cross_section(flat, orders, pixel=200)

    assert [text.get_text() for text in ax.texts] == ["8"]


@pytest.mark.parametrize("pixel", [-1, 400, 1.5])
def test_pixel_must_be_on_the_detector(pixel):
    with pytest.raises(ValueError, match=f"pixel is {pixel}, expected an integer from 0 to 399"):
        plot_cross_section(*flat_and_orders(ALONG_ROWS), pixel=pixel)
