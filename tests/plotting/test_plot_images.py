# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from astropy.nddata import CCDData

pytest.importorskip("matplotlib", reason="figures need matplotlib")

from ccdproc_echelle.plotting import plot_cross_section, plot_orders
from helpers.figures import (
    ALONG_ROWS,
    flat_and_orders,
    grey_levels,
    labels_of,
    shown_image,
    some_master,
)


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


def test_anything_but_an_image_and_its_orders():
    with pytest.raises(TypeError, match="image is a str, expected a CCDData or an array"):
        plot_orders("flat.fits", flat_and_orders(ALONG_ROWS)[1])
    with pytest.raises(TypeError, match="orders is a str, expected an EchelleOrderTable"):
        plot_orders(np.ones((5, 6)), "orders.ecsv")


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
