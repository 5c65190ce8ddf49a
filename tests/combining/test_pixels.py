# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest

from ccdproc_echelle.combining import pixels as pixels_module
from ccdproc_echelle.combining.levels import measure_exposure_levels
from ccdproc_echelle.orders import EchelleOrderTable
from ccdproc_echelle.simulation import EchelleSimulation

SMALL = EchelleSimulation(shape=(256, 256), n_orders=5, seed=3).with_level_spread(0.35)


@pytest.fixture(scope="module")
def small_frames():
    return SMALL.flats(5)


@pytest.mark.parametrize("n_pixels", [100, 1000, 10**9])
def test_levels_of_part_of_the_pixels(small_frames, monkeypatch, n_pixels):
    monkeypatch.setattr(pixels_module, "_GATHERED_BYTES", 9 * 5 * n_pixels)
    table = measure_exposure_levels(small_frames, SMALL.truth.orders)
    inner = SMALL.truth.orders.inner_mask(10)
    assert table["n_pixels"][0] <= min(n_pixels, inner.sum())
    # relative to the first frame, as each choice of pixels has its own mean
    levels, truth = table["level"].value, SMALL.truth.levels(5)
    sigmas = table["level_uncertainty"].value / levels
    error = levels / levels[0] / (truth / truth[0]) - 1
    assert (np.abs(error[1:]) < 4 * np.hypot(sigmas[1:], sigmas[0])).all()
    assert sigmas.max() < 0.05 / np.sqrt(min(n_pixels, inner.sum()))


def test_thinned_pixels_are_spread_evenly():
    few = np.flatnonzero(SMALL.truth.orders.inner_mask(10))
    limit = pixels_module._GATHERED_BYTES
    assert len(few) < limit // (9 * 5)
    np.testing.assert_array_equal(pixels_module.evenly_spread(few, 5), few)
    indices = pixels_module.evenly_spread(np.arange(3000**2), 100)
    assert limit / 2 < 9 * 100 * len(indices) <= limit
    assert len(np.unique(np.diff(indices))) == 1


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("window", [5, 30])  # in the wider window orders meet and cross
def test_the_nearest_order_is_one_in_whose_window_the_pixel_lies(turned, window):
    orders = EchelleOrderTable.from_polynomials(
        [7, 8, 9], [[20, 0.3], [60, 0], [41, 0]], shape=(80, 120), dispersion_axis=1,
        pixel_range=[[0, 119], [10, 90], [0, 119]],
    )
    orders = orders.transposed() if turned else orders
    inner = orders.inner_mask(window)
    nearest = orders.inner_index(window)[inner]
    along, across = np.nonzero(inner)[:: 1 if turned else -1]
    away = np.abs(across - orders.center()[:, along])
    np.testing.assert_array_equal(nearest, np.nanargmin(away, axis=0))
    windows = np.array([one.inner_mask(window)[inner] for one in orders])
    assert windows[nearest, np.arange(len(nearest))].all()
    assert set(nearest) == {0, 1, 2}
