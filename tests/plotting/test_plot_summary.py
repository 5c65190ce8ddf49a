# Licensed under a 3-clause BSD style license - see LICENSE.rst
from io import BytesIO

import numpy as np
import pytest
from astropy.nddata import StdDevUncertainty
from astropy.table import QTable
from astropy.utils.exceptions import AstropyUserWarning

pytest.importorskip("matplotlib", reason="figures need matplotlib")

from ccdproc_echelle import make_master_flat
from ccdproc_echelle.plotting import plot_summary
from ccdproc_echelle.simulation import EchelleSimulation
from helpers.figures import (
    ALONG_ROWS,
    N_ORDERS,
    both_axes,
    lines_with_style_of,
    overlapping,
    shown_image,
    some_master,
    some_quality,
)


@pytest.fixture(scope="module")
def plain_summary():
    """The summary of a master with orders along the rows, for tests that only look at it."""
    return plot_summary(some_master(ALONG_ROWS))


def zoom_titles(figure):
    return [ax.get_title() for ax in figure.axes if ": " in ax.get_title()]


def assert_pixels_in_their_places(ax, data):
    """A zoom shows a small part of the image: all that is seen of it."""
    left, right, bottom, top = ax.images[0].get_extent()
    x, y = ax.get_xlim(), ax.get_ylim()
    assert left <= x[0] < x[1] <= right and bottom <= y[0] < y[1] <= top
    shown = shown_image(ax)
    assert shown.shape == (top - bottom, right - left) and shown.size < 90**2
    part = data[int(bottom + 0.5) :, int(left + 0.5) :][: shown.shape[0], : shown.shape[1]]
    np.testing.assert_array_equal(shown.compressed(), part[~shown.mask])


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
        assert_pixels_in_their_places(ax, master.flat.data)


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


def test_summary_has_all_panels(plain_summary):
    labels = {(ax.get_xlabel(), ax.get_ylabel()) for ax in plain_summary.axes}
    assert ("dispersion axis: column (pixel)", "cross-dispersion axis: row (pixel)") in labels
    assert ("cross-dispersion axis: row (pixel)", "signal (relative)") in labels
    assert ("column (pixel)", "row (pixel)") in labels
    assert any(x == "frame" and y.endswith("(%)") for x, y in labels)


def test_summary_has_a_title_without_a_header(plain_summary):
    assert plain_summary.get_suptitle() == "master flat"


@pytest.mark.parametrize("header, title", [
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
def test_summary_can_be_saved(plain_summary, format, start):
    file = BytesIO()

    plain_summary.savefig(file, format=format)

    assert file.getvalue().startswith(start)


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


# ------------------------------------------------------------------ nothing to show


def notes_of(figure):
    """The texts of panels without axes, lines joined."""
    return [
        " ".join(text.get_text().split())
        for ax in figure.axes if not ax.axison and len(ax.texts) == 1 for text in ax.texts
    ]


def complete_master(simulation):
    master = some_master(simulation)
    master.flat.uncertainty = StdDevUncertainty(np.full(master.flat.shape, 0.01))
    master.quality = some_quality()
    return master


def unknown_quality():
    quality = some_quality()
    quality["value"] = np.nan
    return quality


def test_a_complete_summary_has_no_note():
    assert notes_of(plot_summary(complete_master(ALONG_ROWS))) == []


@pytest.mark.parametrize("quality", [None, QTable(), unknown_quality()])
def test_summary_without_quality_says_so(quality):
    master = complete_master(ALONG_ROWS)
    master.quality = quality

    assert notes_of(plot_summary(master)) == ["no quality number is known"]


def test_summary_of_one_flat_without_uncertainty_is_drawn_and_says_so():
    simulation = EchelleSimulation(shape=(128, 160), n_orders=2, seed=1)
    with pytest.warns(AstropyUserWarning) as caught:
        master = make_master_flat(simulation.flats(1, uncertainty=False), simulation.truth.orders)
    assert any("is the only frame" in str(warning.message) for warning in caught)

    assert "no order has a positive signal-to-noise ratio" in notes_of(plot_summary(master))


def test_summary_without_uncertainty_says_so():
    master = complete_master(ALONG_ROWS)
    master.flat.uncertainty = None

    assert notes_of(plot_summary(master)) == ["the flat has no uncertainty"]


def test_summary_without_signal_to_noise_says_so():
    master = complete_master(ALONG_ROWS)
    master.flat.uncertainty.array[:] = 0

    assert notes_of(plot_summary(master)) == ["no order has a positive signal-to-noise ratio"]


def test_summary_without_levels_says_so():
    master = complete_master(ALONG_ROWS)
    unknown = master.levels.copy()
    unknown["pass_level"][:, -1] *= np.nan

    for levels in (master.levels[:0], unknown):
        master.levels = levels
        (note,) = notes_of(plot_summary(master))
        assert note.startswith(("levels have no row", "no frame has a level"))


def test_summary_without_a_good_pixel_to_zoom_on_says_so():
    master = complete_master(ALONG_ROWS)
    master.flat.mask = np.zeros(master.flat.shape, bool)
    master.flat.mask[:, 190:211] = True

    figure = plot_summary(master)

    assert zoom_titles(figure) == []
    assert set(notes_of(figure)) == {
        "no order has a good pixel in the middle of the dispersion axis"
    }


@both_axes
def test_summary_of_a_dark_flat_says_so_within_the_page(simulation):
    master = complete_master(simulation)
    master.flat.data[:] = 0

    figure = plot_summary(master)
    figure.draw_without_rendering()

    notes = notes_of(figure)
    assert notes.count("image has no good pixel with a positive signal inside the orders") == 5
    assert notes[-1] == "no order has a positive signal-to-noise ratio"
    boxes = np.array([ax.get_tightbbox().extents for ax in figure.axes])
    assert (boxes >= -1).all() and (boxes[:, 2:] <= np.array(figure.bbox.size) + 1).all()
    assert not overlapping(boxes).any()


def test_summary_of_a_flat_of_another_shape_is_an_error():
    master = complete_master(ALONG_ROWS)
    master.orders = ALONG_ROWS.truth.orders.cropped(np.s_[:, :-1])

    with pytest.raises(ValueError, match="the order table is for a detector of shape"):
        plot_summary(master)
