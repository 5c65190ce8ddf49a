# Licensed under a 3-clause BSD style license - see LICENSE.rst
import subprocess
import sys
from io import BytesIO
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty, VarianceUncertainty
from astropy.table import QTable

pytest.importorskip("matplotlib", reason="figures need matplotlib")

from matplotlib.figure import Figure

from ccdproc_echelle.combining.combine import CombineDiagnostics
from ccdproc_echelle.light.flags import FlatFlag
from ccdproc_echelle.orders import EchelleOrderTable
from ccdproc_echelle.plotting import (
    plot_blaze,
    plot_cross_section,
    plot_edge_residuals,
    plot_flags,
    plot_levels,
    plot_orders,
    plot_pixel_response,
    plot_quality,
    plot_rejections,
    plot_signal_to_noise,
    plot_summary,
)
from ccdproc_echelle.simulation import EchelleSimulation

N_ORDERS = 5
ALONG_ROWS = EchelleSimulation(shape=(300, 400), n_orders=N_ORDERS, brightness_ratio=100)
ALONG_COLUMNS = EchelleSimulation(
    shape=(400, 300), n_orders=N_ORDERS, brightness_ratio=100, dispersion_axis=0
)
both_axes = pytest.mark.parametrize(
    "simulation", [ALONG_ROWS, ALONG_COLUMNS], ids=["rows", "columns"]
)


def flat_and_orders(simulation):
    return simulation.flats(1)[0], simulation.truth.orders


def without_edges(orders):
    table = orders.table
    table.remove_columns(["lower", "upper"])
    return EchelleOrderTable(table)


def some_levels(n_frames=3, n_passes=2):
    level = 1000 + 10.0 * np.arange(n_frames * n_passes).reshape(n_frames, n_passes)
    return QTable({
        "frame": [f"/night/flat_{i}.fits.gz" for i in range(n_frames)],
        "level": level[:, -1] * u.adu,
        "level_uncertainty": np.full(n_frames, 2) * u.adu,
        "pass_level": level * u.adu,
        "pass_uncertainty": np.full((n_frames, n_passes), 2) * u.adu,
    })


def some_master(simulation, orders=None, **header):
    """A master as the recipe leaves it: mean 1 on the inner-order pixels, 1 between the orders."""
    flat, all_orders = flat_and_orders(simulation)
    orders = orders or all_orders
    data = flat.data / flat.data[orders.inner_mask(10)].mean()
    data[orders.order_map() == 0] = 1.0
    flat = CCDData(data, unit="", header=header)
    return SimpleNamespace(flat=flat, orders=orders, levels=some_levels())


def labels_of(ax):
    return ax.get_legend_handles_labels()[1]


def lines_with_style_of(ax, label):
    """The lines that look like the one with this label: one for each order."""
    lines = [line for line in ax.lines if len(line.get_xdata())]
    first = next(line for line in lines if line.get_label() == label)
    return [line for line in lines if line.get_color() == first.get_color()]


def shown_image(ax):
    return ax.images[0].get_array()


def grey_levels(ax, signal):
    """From 0 (white) to 1 (black)."""
    return np.ma.filled(ax.images[0].norm(np.asarray(signal, dtype=float)), np.nan)


def extents(ax, texts):
    """Boxes of drawn texts: (n, 4) with left, bottom, right, top."""
    ax.figure.draw_without_rendering()
    return np.array([text.get_window_extent().extents for text in texts])


def overlapping(boxes):
    left, bottom, right, top = boxes.T
    along_x = (left[:, None] < right) & (left < right[:, None])
    along_y = (bottom[:, None] < top) & (bottom < top[:, None])
    return along_x & along_y & ~np.eye(len(boxes), dtype=bool)


def shrunk_to_ink(boxes):
    """Digits fill only part of the height of a text box, which has room for accents and tails."""
    height = boxes[:, 3] - boxes[:, 1]
    return boxes + np.column_stack([0 * height, 0.2 * height, 0 * height, -0.1 * height])


# ------------------------------------------------------------------ plot_orders


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


# ------------------------------------------------------------------ stretch and blank pixels


@pytest.mark.parametrize("pedestal", [0, 1000])
def test_all_orders_differ_visibly_from_the_background(pedestal):
    flat, orders = flat_and_orders(ALONG_ROWS)
    image = flat.data + pedestal
    order_map = orders.order_map()
    signals = [np.median(image[order_map == number]) for number in orders.order_numbers]
    background = np.median(image[order_map == 0])
    assert np.ptp(signals) > 30 * (min(signals) - background)

    shades = grey_levels(plot_orders(image, orders), [background, *sorted(signals)])

    assert shades[1] - shades[0] > 0.04
    assert (np.diff(shades) > 0.04).all()


def test_faint_orders_of_a_master_are_seen_although_the_area_between_them_is_one():
    master = some_master(ALONG_ROWS)
    inside = master.orders.order_map() > 0
    faint = master.flat.data[master.orders.order_map() == master.orders.order_numbers[-1]]

    ax = plot_orders(master.flat, master.orders)

    np.testing.assert_array_equal(np.isfinite(np.ma.filled(shown_image(ax), np.nan)), inside)
    assert "masked or filled" in labels_of(ax)
    assert grey_levels(ax, np.median(faint)) > 0.04


def test_masked_pixels_are_blank():
    flat, orders = flat_and_orders(ALONG_ROWS)
    mask = np.zeros(flat.shape, dtype=bool)
    mask[40:50, 100:120] = True

    ax = plot_orders(CCDData(flat.data, unit="adu", mask=mask), orders)

    np.testing.assert_array_equal(np.isnan(np.ma.filled(shown_image(ax), np.nan)), mask)


def test_masked_pixels_do_not_set_the_stretch():
    flat, orders = flat_and_orders(ALONG_ROWS)
    mask = np.random.default_rng(0).random(flat.shape) < 0.05
    spoiled = np.where(mask, 1e9, flat.data)

    ax = plot_orders(np.ma.masked_array(spoiled, mask), orders)

    assert ax.images[0].norm.vmax < 1.1 * flat.data.max()


def test_light_between_the_orders_does_not_set_the_stretch():
    flat, orders = flat_and_orders(ALONG_ROWS)
    between = np.flatnonzero(orders.order_map() == 0)
    lit = flat.data.copy()
    lit.flat[between[::3]] = 1e9

    ax = plot_orders(lit, orders)

    assert ax.images[0].norm.vmax < flat.data.max()


def test_noise_between_the_orders_is_not_taken_for_a_constant():
    flat, orders = flat_and_orders(ALONG_ROWS)

    ax = plot_orders(np.round(flat.data), orders)

    assert np.isfinite(shown_image(ax)).all()
    assert "masked or filled" not in labels_of(ax)


def test_colour_bar_ticks_lie_within_the_stretch():
    ax = plot_orders(*flat_and_orders(ALONG_ROWS))

    norm, axis = ax.images[0].norm, ax.images[0].colorbar.ax.yaxis
    assert len(axis.get_majorticklocs()) >= 2
    for ticks in (axis.get_majorticklocs(), axis.get_minorticklocs()):
        assert ticks.min() >= norm.vmin and ticks.max() <= norm.vmax


# ------------------------------------------------------------------ order numbers


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


# ------------------------------------------------------------------ plot_cross_section


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


# ------------------------------------------------------------------ plot_levels


def drawn_levels(ax):
    """x, y and half length of the error bars, each (n_passes, n_frames)."""
    x, y, half = [], [], []
    for container in ax.containers:
        line, _, (bars,) = container
        x.append(line.get_xdata())
        y.append(line.get_ydata())
        half.append([
            0.5 * np.ptp(segment[:, 1]) if len(segment) else np.nan
            for segment in bars.get_segments()
        ])
    return np.array(x), np.array(y), np.array(half)


def test_levels_are_in_per_cent_of_the_mean_of_the_final_pass():
    levels = QTable({
        "frame": ["a", "b"],
        "pass_level": [[80, 90], [130, 110]] * u.adu,
        "pass_uncertainty": [[3, 1], [4, 2]] * u.adu,
    })

    ax = plot_levels(levels)

    x, y, half = drawn_levels(ax)
    np.testing.assert_allclose(y, [[-20, 30], [-10, 10]])
    np.testing.assert_allclose(half, [[3, 4], [1, 2]])
    np.testing.assert_array_equal(np.round(x), [[1, 2], [1, 2]])
    assert (x[0] < x[1]).all()
    assert ax.get_ylabel().endswith("(%)")


def test_legend_says_by_how_much_the_passes_differ():
    levels = some_levels(n_frames=2, n_passes=1)
    levels["pass_level"] = [[103, 100], [96, 100]] * u.adu
    levels["pass_uncertainty"] = np.ones((2, 2)) * u.adu

    labels = labels_of(plot_levels(levels))

    assert labels == ["pass 1 (differs by 3.5 % rms)", "pass 2 (final)"]


@pytest.mark.parametrize("n_passes", [1, 2, 3, 6])
def test_passes_are_told_apart_and_the_final_one_always_looks_the_same(n_passes):
    ax = plot_levels(some_levels(n_frames=4, n_passes=n_passes))

    lines = [container[0] for container in ax.containers]
    assert len(lines) == n_passes
    is_open = [line.get_markerfacecolor() == "white" for line in lines]
    assert is_open == [True] * (n_passes - 1) + [False]
    looks = [(line.get_color(), line.get_marker()) for line in lines]
    assert len(set(looks[-4:])) == min(n_passes, 4)
    final = plot_levels(some_levels(n_frames=4, n_passes=2)).containers[-1][0]
    assert looks[-1] == (final.get_color(), final.get_marker())


def test_few_frames_are_named_many_are_numbered():
    few, many = plot_levels(some_levels(3)), plot_levels(some_levels(30))

    assert [tick.get_text() for tick in few.get_xticklabels()] == ["flat_0", "flat_1", "flat_2"]
    assert few.get_xlabel() == "frame"
    assert many.get_xlabel() == "frame number"
    assert many.get_xlim() == (0.5, 30.5)


def test_long_names_keep_their_end():
    levels = some_levels(2)
    levels["frame"] = ["SOXS.2024-06-01T12:00:00.0001.fits", "SOXS.2024-06-01T12:00:00.0002.fits"]

    first, second = (tick.get_text() for tick in plot_levels(levels).get_xticklabels())

    assert len(first) < 28
    assert first.endswith("12:00:00.0001") and second.endswith("12:00:00.0002")


def test_frame_without_level_is_left_out():
    levels = some_levels(3)
    levels["pass_level"][1] = np.nan * u.adu

    _, y, _ = drawn_levels(plot_levels(levels))

    np.testing.assert_array_equal(np.isnan(y), [[False, True, False]] * 2)
    assert y[1, [0, 2]].sum() == pytest.approx(0)


# ------------------------------------------------------------------ plot_summary


def zoom_titles(figure):
    return [ax.get_title() for ax in figure.axes if ": " in ax.get_title()]


@both_axes
def test_summary_zooms_on_the_brightest_a_middle_and_the_faintest_order(simulation):
    master = some_master(simulation)

    figure = plot_summary(master)

    assert zoom_titles(figure) == ["order 11: brightest", "order 13: middle", "order 15: faintest"]
    middle = master.orders.center([200])[:, 0]
    for ax, center in zip(
        [ax for ax in figure.axes if ": " in ax.get_title()], middle[[0, 2, 4]], strict=True
    ):
        along, across = ax.get_xlim(), ax.get_ylim()
        if simulation.dispersion_axis == 0:
            along, across = across, along
        assert np.mean(along) == pytest.approx(200)
        assert np.mean(across) == pytest.approx(center, abs=2)
        assert np.ptp(along) == pytest.approx(np.ptp(across)) and np.ptp(across) < 80
        assert len(lines_with_style_of(ax, "lower edge")) == N_ORDERS


def test_summary_does_not_zoom_on_an_order_without_a_good_pixel():
    master = some_master(ALONG_ROWS)
    master.flat.mask = master.orders.order_map() == 11

    figure = plot_summary(master)

    assert zoom_titles(figure) == ["order 12: brightest", "order 14: middle", "order 15: faintest"]


@pytest.mark.parametrize("numbers, titles", [
    ([12], ["order 12: brightest"]),
    ([14, 12], ["order 12: brightest", "order 14: faintest"]),
])
def test_summary_of_fewer_than_three_orders(numbers, titles):
    orders = ALONG_ROWS.truth.orders.select(numbers)

    assert zoom_titles(plot_summary(some_master(ALONG_ROWS, orders))) == titles


def test_summary_has_all_panels():
    figure = plot_summary(some_master(ALONG_ROWS))

    labels = {(ax.get_xlabel(), ax.get_ylabel()) for ax in figure.axes}
    assert ("dispersion axis: column (pixel)", "cross-dispersion axis: row (pixel)") in labels
    assert ("cross-dispersion axis: row (pixel)", "signal (relative)") in labels
    assert ("column (pixel)", "row (pixel)") in labels
    assert any(x == "frame" and y.endswith("(%)") for x, y in labels)


@pytest.mark.parametrize("header, title", [
    ({}, "master flat"),
    ({"NCOMBINE": 7}, "master flat of 7 frames"),
    ({"NCOMBINE": 7, "INSTRUME": "SOXS", "OBJECT": "FLAT"}, "SOXS, FLAT, master flat of 7 frames"),
])
def test_summary_title_comes_from_the_header(header, title):
    assert plot_summary(some_master(ALONG_ROWS, **header)).get_suptitle() == title


@both_axes
def test_nothing_on_the_summary_overlaps_or_is_cut_off(simulation):
    figure = plot_summary(some_master(simulation, NCOMBINE=7))
    figure.draw_without_rendering()

    boxes = np.array([ax.get_tightbbox().extents for ax in figure.axes])

    width, height = figure.bbox.size
    assert (boxes >= -1).all()
    assert (boxes[:, 2] <= width + 1).all() and (boxes[:, 3] <= height + 1).all()
    assert not overlapping(boxes).any()


@pytest.mark.parametrize("format, start", [("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_summary_can_be_saved(format, start):
    file = BytesIO()

    plot_summary(some_master(ALONG_ROWS)).savefig(file, format=format)

    assert file.getvalue().startswith(start)


# ------------------------------------------------------------------ edges, blaze, response, flags


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

    with pytest.raises(ValueError, match=r"points are of orders \[15\]"):
        plot_edge_residuals(points, orders.select(orders.order_numbers[:-1]))
    with pytest.raises(ValueError, match="no edges"):
        plot_edge_residuals(points, without_edges(orders))
    points["used"] = False
    with pytest.raises(ValueError, match="no used point"):
        plot_edge_residuals(points, orders)


def test_blaze_of_each_order_is_on_a_logarithmic_axis():
    blaze = np.array([[1.0, 2, 3, 4], [0.01, np.nan, 0.02, -1]])

    ax = plot_blaze(QTable({"order": [7, 9], "blaze": blaze * u.adu}))

    assert [line.get_label() for line in ax.lines] == ["7", "9"]
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), blaze[0])
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), [0.01, np.nan, 0.02, np.nan])
    assert ax.get_yscale() == "log" and ax.get_ylabel() == "blaze (adu)"
    assert ax.lines[0].get_color() != ax.lines[1].get_color()
    with pytest.raises(ValueError, match="no order has a positive blaze"):
        plot_blaze(QTable({"order": [7], "blaze": -np.ones((1, 5))}))


@both_axes
@pytest.mark.parametrize("kind, power", [(StdDevUncertainty, 1), (VarianceUncertainty, 2)])
def test_signal_to_noise_is_that_of_the_inner_order_pixels(simulation, kind, power):
    orders = simulation.truth.orders
    order_map = orders.order_map()
    data = np.where(order_map > 0, 10.0 * order_map, 1e6)
    flat = CCDData(data, unit="", uncertainty=kind(np.full(data.shape, 2.0**power)))
    flat.mask = np.random.default_rng(1).random(data.shape) < 0.1
    flat.data[flat.mask] = 1e9

    ax = plot_signal_to_noise(flat, orders)

    assert len(ax.lines) == N_ORDERS
    for line, number in zip(ax.lines, orders.order_numbers, strict=True):
        np.testing.assert_allclose(line.get_ydata(), 5.0 * number)
        np.testing.assert_allclose(line.get_xdata()[:2], [7.5, 23.5])
    assert ax.get_xlim() == (-0.5, 399.5)


def test_signal_to_noise_needs_an_uncertainty_and_a_window():
    flat, orders = flat_and_orders(ALONG_ROWS)

    with pytest.raises(ValueError, match="window is 0"):
        plot_signal_to_noise(flat, orders, window=0)
    flat.uncertainty = None
    with pytest.raises(ValueError, match="no uncertainty"):
        plot_signal_to_noise(flat, orders)


def test_pixel_responses_of_noise_alone_are_as_expected():
    rng = np.random.default_rng(3)
    sigma = rng.uniform(0.005, 0.03, (300, 300))
    response = CCDData(rng.normal(1, sigma), unit="", uncertainty=StdDevUncertainty(sigma))
    response.mask = np.zeros(sigma.shape, bool)
    response.mask[:100], response.data[:100] = True, 0.5

    ax = plot_pixel_response(response)

    measured = np.array([patch.get_height() for patch in ax.patches])
    expected = ax.lines[0].get_ydata()
    assert measured.sum() == 200 * 300
    np.testing.assert_allclose(expected.sum(), 200 * 300)
    assert (np.abs(measured - expected) < 5 * np.sqrt(expected) + 2).all()
    assert ax.get_xlabel() == "pixel response (relative)" and ax.get_yscale() == "log"


def test_pixel_response_without_uncertainty_or_pixels():
    response = CCDData(1 + 0.01 * np.arange(-8, 8).reshape(4, 4), unit="")

    assert len(plot_pixel_response(response).lines) == 0
    response.mask = np.ones((4, 4), bool)
    with pytest.raises(ValueError, match="no good pixel"):
        plot_pixel_response(response)


def test_rejections_are_counted_in_blocks():
    rejected = np.zeros((2, 40, 50), bool)
    rejected[0, :16, 16:32] = True
    rejected[:, 32:, 48:] = True

    ax = plot_rejections(CombineDiagnostics(2 - rejected.sum(axis=0), rejected))

    np.testing.assert_allclose(shown_image(ax), [[0, 50, 0, 0], [0, 0, 0, 0], [0, 0, 0, 100]])
    assert ax.get_xlim() == (-0.5, 49.5) and ax.get_ylim() == (-0.5, 39.5)
    assert ax.images[0].get_extent() == [-0.5, 63.5, -0.5, 47.5]
    assert ax.get_title(loc="left") == "7.2 % of all values rejected"


def test_flags_are_areas_or_markers():
    flags = np.zeros((30, 40), dtype=np.int16)
    flags[:10] |= FlatFlag.INTERORDER
    flags[20, 5] |= FlatFlag.DEAD
    flags[21, 6] |= FlatFlag.HOT | FlatFlag.SATURATED

    ax = plot_flags(flags)

    assert sorted(labels_of(ax)) == ["dead (1)", "hot (1)", "interorder (400)", "saturated (1)"]
    np.testing.assert_array_equal(shown_image(ax) > 0, flags & 1 > 0)
    marks = {line.get_label(): line for line in ax.lines}
    assert marks["dead (1)"].get_xydata().tolist() == [[5, 20]]
    assert marks["hot (1)"].get_xydata().tolist() == [[6, 21]]
    assert marks["hot (1)"].get_marker() != marks["saturated (1)"].get_marker()


@pytest.mark.parametrize("flag", FlatFlag)
def test_every_flag_is_shown(flag):
    assert labels_of(plot_flags(np.full((4, 5), int(flag))))[0].endswith(" (20)")


def test_no_flag_at_all_needs_no_legend():
    ax = plot_flags(np.zeros((30, 40), dtype=np.int16))

    assert labels_of(ax) == [] and ax.get_legend() is None
    assert ax.get_xlim() == (-0.5, 39.5) and ax.get_ylim() == (-0.5, 29.5)


@pytest.mark.parametrize("flags", [np.zeros((3, 3)), np.zeros(3, int)])
def test_flags_are_integers_in_two_dimensions(flags):
    with pytest.raises(ValueError, match="expected integers with 2"):
        plot_flags(flags)


def some_quality():
    return QTable({
        "name": ["edge_rms_max", "level_trend", "inner_mean", "frames_used"],
        "value": [0.5, np.nan, 1.2, 3], "unit": ["pix", "1 / h", "", ""],
        "lower": [np.nan, np.nan, 0.99, 2], "upper": [np.nan, np.nan, 1.01, np.nan],
        "verdict": ["", "", "fail", "pass"],
    })


def test_quality_is_a_table_of_what_is_known():
    ax = plot_quality(some_quality())

    words = np.reshape([text.get_text() for text in ax.texts], (-1, 5)).tolist()
    assert words == [
        ["quantity", "value", "unit", "limits", "verdict"],
        ["edge rms max", "0.5", "pix", "", ""],
        ["inner mean", "1.2", "", "0.99 to 1.01", "fail"],
        ["frames used", "3", "", "\N{GREATER-THAN OR EQUAL TO} 2", "pass"],
    ]
    bold = [text.get_text() for text in ax.texts[5:] if text.get_fontweight() == "bold"]
    assert bold == words[2]


@both_axes
def test_summary_with_noise_and_quality(simulation):
    master = some_master(simulation, NCOMBINE=7)
    master.flat.uncertainty = StdDevUncertainty(np.full(master.flat.shape, 0.01))
    master.quality = some_quality()

    figure = plot_summary(master)
    figure.draw_without_rendering()

    assert any(ax.get_ylabel() == "signal-to-noise per pixel" for ax in figure.axes)
    assert any(text.get_text() == "edge rms max" for ax in figure.axes for text in ax.texts)
    boxes = np.array([ax.get_tightbbox().extents for ax in figure.axes])
    assert (boxes >= -1).all() and (boxes[:, 2:] <= np.array(figure.bbox.size) + 1).all()
    assert not overlapping(boxes).any()


# ------------------------------------------------------------------ axes, pyplot, matplotlib


@pytest.mark.parametrize("draw", [
    lambda ax: plot_orders(*flat_and_orders(ALONG_ROWS), window=8, ax=ax),
    lambda ax: plot_cross_section(*flat_and_orders(ALONG_ROWS), ax=ax),
    lambda ax: plot_levels(some_levels(), ax=ax),
], ids=["orders", "cross_section", "levels"])
def test_given_axes_are_drawn_on_and_returned(draw):
    first, second = Figure().subplots(1, 2)

    assert draw(second) is second
    assert second.has_data() and not first.has_data()


def test_pyplot_knows_nothing_of_our_figures():
    from matplotlib import pyplot

    before = pyplot.get_fignums()

    plot_orders(*flat_and_orders(ALONG_ROWS))
    plot_cross_section(*flat_and_orders(ALONG_ROWS))
    plot_levels(some_levels())
    plot_summary(some_master(ALONG_ROWS))

    assert pyplot.get_fignums() == before


def test_package_is_imported_without_matplotlib_and_says_how_to_get_it():
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import numpy, ccdproc_echelle.plotting as plotting\n"
        "from ccdproc_echelle.simulation import EchelleSimulation as Simulation\n"
        "simulation = Simulation(shape=(60, 60), n_orders=2)\n"
        "try:\n"
        "    plotting.plot_orders(simulation.truth.flat, simulation.truth.orders)\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout == "figures need matplotlib: pip install ccdproc_echelle[plot]\n"


# ------------------------------------------------------------------ bad input


@pytest.mark.parametrize("plot", [plot_orders, plot_cross_section])
def test_bad_images_are_refused(plot):
    flat, orders = flat_and_orders(ALONG_ROWS)

    with pytest.raises(ValueError, match="image has 3 dimensions, expected 2"):
        plot(np.ones((2, 300, 400)), orders)
    with pytest.raises(ValueError, match=r"shape \(300, 400\), the frame has \(300, 399\)"):
        plot(flat.data[:, :-1], orders)
    for dark in (np.zeros(flat.shape), np.full(flat.shape, np.nan)):
        with pytest.raises(ValueError, match="no good pixel with a positive signal"):
            plot(dark, orders)


@pytest.mark.parametrize("window", [0, -3, np.nan])
def test_window_must_be_positive(window):
    with pytest.raises(ValueError, match=r"window is .*, expected a positive number of pixels"):
        plot_orders(*flat_and_orders(ALONG_ROWS), window=window)


@pytest.mark.parametrize("pixel", [-1, 400, 1.5])
def test_pixel_must_be_on_the_detector(pixel):
    with pytest.raises(ValueError, match=f"pixel is {pixel}, expected an integer from 0 to 399"):
        plot_cross_section(*flat_and_orders(ALONG_ROWS), pixel=pixel)


def test_bad_levels_are_refused():
    levels = some_levels()

    with pytest.raises(ValueError, match="no row"):
        plot_levels(levels[:0])
    levels.remove_column("pass_level")
    with pytest.raises(ValueError, match=r"no column \['pass_level'\]"):
        plot_levels(levels)


# ------------------------------------------------------------------ real data


def test_real_orders_are_all_seen(data_dir):
    folder = data_dir / "zyla"
    flat, dark = (
        fits.getdata(folder / f"zyla_{kind}_01.fits.gz").astype(float) for kind in ("flat", "dark")
    )
    centers = np.loadtxt(folder / "order_centres.txt").T
    orders = EchelleOrderTable.from_traces(
        1 + np.arange(len(centers)), centers, shape=flat.shape, dispersion_axis=1
    )

    ax = plot_orders(flat - dark, orders, window=10)

    columns = slice(1200, 1400)
    rows = orders.center([1300])[:, 0].astype(int)
    signals = [np.median((flat - dark)[row - 3 : row + 4, columns]) for row in rows]
    between = [
        np.median((flat - dark)[(low + high) // 2 - 3 : (low + high) // 2 + 4, columns])
        for low, high in pairwise(rows)
    ]
    assert (grey_levels(ax, signals[:-1]) - grey_levels(ax, between) > 0.04).all()
    assert len(ax.texts) == 29
