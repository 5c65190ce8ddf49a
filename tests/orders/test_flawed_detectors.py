# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What lies beside an order, or on it, must not move its centre or its edges."""

import numpy as np
import pytest
from astropy.utils.exceptions import AstropyUserWarning

from ccdproc_echelle import EchelleOrderTable, detect_order_edges, trace_orders
from ccdproc_echelle.orders.borders import without_dark_borders
from ccdproc_echelle.orders.profiles import without_hot_columns
from ccdproc_echelle.simulation import EchelleSimulation

pixels = np.arange(400)


def flat_of(gaussians, shape=(120, 400)):
    """Orders along the rows, each a centre, a standard deviation and light along it."""
    rows = np.arange(shape[0])[:, None]
    noise = np.random.default_rng(1).normal(0, 1, shape)
    return noise + sum(
        light * np.exp(-0.5 * ((rows - center) / sigma) ** 2) for center, sigma, light in gaussians
    )


def test_the_ridge_of_a_straight_fibre_is_no_hot_column():
    slices = flat_of([(30.5 + 0 * pixels, 1.3, 1000.0), (70 + 0 * pixels, 9.0, 1000.0)]).T
    assert np.isfinite(without_hot_columns(slices)[:, 26:36]).all()


def test_a_neighbour_that_has_ended_does_not_move_an_edge():
    simulation = EchelleSimulation(
        shape=(300, 500), n_orders=6, seed=2, tilt=0.05, curvature=0.1
    ).with_fibres(2, sigma=1.4, pitch=8).with_short_orders({13: (0, 250)})
    truth = simulation.truth.orders
    ended = (truth.order_numbers == 13)[:, None] & (np.arange(500) > 250)
    orders = EchelleOrderTable.from_traces(
        truth.order_numbers, np.where(ended, np.nan, truth.center()), shape=truth.shape,
        dispersion_axis=truth.dispersion_axis,
    )
    found = detect_order_edges(simulation.flats(1)[0], orders, n_slices=2)
    off = (found.upper() - truth.upper())[truth.order_numbers == 12]
    assert np.ptp(off) < 0.25


def test_a_fibre_across_a_corner_is_beside_its_true_neighbour():
    centers = np.array([[155.0], [185.0], [215.0]]) - 0.0008 * pixels**2
    flat = flat_of([(center, 1.5, 9000.0) for center in centers], (200, 400))
    centers[centers > 189] = np.nan  # so that the median of the last is less than that before it
    orders = EchelleOrderTable.from_traces(
        [1, 2, 3], centers, shape=flat.shape, dispersion_axis=1
    )
    found = detect_order_edges(flat, orders, profile="fibre")
    assert np.nanmax(np.abs(found.upper() + found.lower() - 2 * centers)) < 0.3


def test_a_flank_does_not_hide_dark_border_rows():
    path = 11 + 0.005 * pixels
    rows = np.arange(80)
    light = 150 + 500 / (1 + np.exp(np.abs(rows - path[:, None]) - 6.5))
    light[:, :3] = 0
    lit = without_dark_borders(light, pixels[:, None], path)
    assert np.isnan(lit).all(axis=0).sum() == 3


def test_offsets_of_the_rows_do_not_hide_dark_border_rows():
    path = 30 + 0.005 * pixels
    offsets = np.random.default_rng(2).normal(0, 3, 80)
    offsets[:5] = [0, -8, 12, 41, 37]
    light = 150 + 500 * (np.abs(np.arange(80) - path[:, None]) < 9)
    light[:, :5] = 0
    lit = without_dark_borders(light + offsets, pixels[:, None], path)
    assert np.flatnonzero(np.isnan(lit).all(axis=0)).tolist() == [0, 1, 2, 3, 4]


def test_slits_hardly_wider_than_their_blur_may_be_fibres():
    simulation = EchelleSimulation(
        shape=(300, 400), n_orders=10, seed=1, order_width=2.1, psf_sigma=1.05
    )
    flat = simulation.flats(1)[0]
    with pytest.warns(AstropyUserWarning, match="specify profile='fibre' or profile='slit'"):
        detect_order_edges(flat, simulation.truth.orders)
    detect_order_edges(flat, simulation.truth.orders, profile="fibre")


def test_faint_bands_between_brighter_orders_are_none():
    orders = [(15 + 20 * k + 0.01 * pixels, 1.5, 20000.0) for k in range(5)]
    bands = [(25 + 20 * k + 0.01 * pixels, 1.5, 1200.0) for k in range(5)]
    assert len(trace_orders(flat_of(orders + bands), dispersion_axis=1)) == 5


def test_slices_of_orders_that_share_no_pixel():
    simulation = EchelleSimulation(
        shape=(400, 500), n_orders=5, seed=3, order_width=18
    ).with_slicer(2, gap=4).with_short_orders({13: (10, 200), 14: (300, 490)})
    orders = trace_orders(simulation.flats(1)[0], dispersion_axis=1, n_slices=2)
    assert len(orders) == 5


def test_an_order_beside_the_border_ends_where_its_light_ends():
    simulation = EchelleSimulation(
        shape=(200, 300), n_orders=5, seed=4, order_width=24, curvature=-0.02, cut_orders=True
    ).with_dark_end(0.4, fade=0.05)
    orders = trace_orders(simulation.flats(1)[0], dispersion_axis=1)
    lit = simulation.truth.blaze[0] > 1e-3 * simulation.truth.blaze[0].max()
    assert orders.table["pixel_max"][0].value == pytest.approx(np.flatnonzero(lit)[-1], abs=6)


def slit_images(centers, width=20, shape=(240, 240)):
    rows, pixel = np.mgrid[: shape[0], : shape[1]]
    light = sum(
        5000 / (1 + np.exp(3 * (np.abs(rows - center - 0.02 * pixel) - width / 2)))
        for center in centers
    )
    return np.random.default_rng(2).normal(light, 4)


@pytest.mark.filterwarnings("ignore:orders .* are much closer to one")
def test_orders_that_touch_are_told_apart_by_their_width_with_a_warning():
    centers = np.array([20, 50, 80, 110, 130, 160, 190, 220])
    with pytest.warns(AstropyUserWarning, match=r"orders at positions \[112, 132\] touch"):
        orders = trace_orders(slit_images(centers), dispersion_axis=1)
    np.testing.assert_allclose(orders.center([100])[:, 0], centers + 2, atol=0.5)


@pytest.mark.filterwarnings("ignore:orders .* are much closer to one")
def test_positions_of_a_region_are_those_of_the_detector():
    centers = np.array([50, 80, 110, 140, 160, 190, 220])
    with pytest.warns(AstropyUserWarning, match=r"orders at positions \[142, 162\] touch"):
        orders = trace_orders(slit_images(centers), dispersion_axis=1, region=np.s_[30:])
    np.testing.assert_allclose(orders.center([100])[:, 0], centers + 2, atol=0.5)


def test_a_band_of_many_orders_is_pointed_out():
    centers = [20, 40, 60, 80, 110, 140, 170, 200]
    with pytest.warns(AstropyUserWarning, match="a band of light at position .* is not traced"):
        trace_orders(slit_images(centers), dispersion_axis=1)
