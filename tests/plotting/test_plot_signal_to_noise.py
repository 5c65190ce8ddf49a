# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from astropy.nddata import CCDData, StdDevUncertainty, VarianceUncertainty

pytest.importorskip("matplotlib", reason="figures need matplotlib")

from ccdproc_echelle.orders import EchelleOrderTable
from ccdproc_echelle.plotting import plot_signal_to_noise
from helpers.figures import ALONG_ROWS, N_ORDERS, both_axes, flat_and_orders


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


def bin_medians(ratio, inner):
    """The median of the good inner-order pixels in 16 columns, bin by bin."""
    medians = []
    for start in range(0, ratio.shape[1], 16):
        part = slice(start, start + 16)
        values = ratio[:, part][inner[:, part] & np.isfinite(ratio[:, part])]
        medians.append(np.median(values) if len(values) else np.nan)
    return medians


def noisy_flat(shape):
    """A flat without any smooth light, so that each pixel counts; masked and unknown in places."""
    rng = np.random.default_rng(4)
    data, sigma = rng.uniform(1, 100, shape), rng.uniform(0.5, 2, shape)
    mask = rng.random(shape) < 0.1
    sigma[rng.random(shape) < 0.05] = 0
    ratio = np.full(shape, np.nan)
    good = ~mask & (sigma > 0)
    ratio[good] = data[good] / sigma[good]
    return CCDData(data, unit="", mask=mask, uncertainty=StdDevUncertainty(sigma)), ratio


@both_axes
@pytest.mark.parametrize("window", [10, 7, 3.4])
def test_signal_to_noise_takes_exactly_the_pixels_of_the_inner_mask(simulation, window):
    orders = simulation.truth.orders
    flat, ratio = noisy_flat(orders.shape)

    ax = plot_signal_to_noise(flat, orders, window=window)

    for line, order in zip(ax.lines, orders, strict=True):
        inner = order.inner_mask(window)
        turned = (ratio, inner) if simulation.dispersion_axis == 1 else (ratio.T, inner.T)
        np.testing.assert_array_equal(line.get_ydata(), bin_medians(*turned))


def test_signal_to_noise_of_orders_that_end_or_leave_the_detector():
    orders = EchelleOrderTable.from_polynomials(
        [7, 8, 9], [[15, 0], [1.2, 0], [45, 0.2]], pixel_range=[[0, 40], [0, 99], [0, 99]],
        shape=(60, 100), dispersion_axis=1,
    )
    flat, ratio = noisy_flat(orders.shape)

    ax = plot_signal_to_noise(flat, orders)

    for line, order in zip(ax.lines, orders, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), bin_medians(ratio, order.inner_mask(10)))
    assert np.isnan(ax.lines[0].get_ydata()).any() and np.isnan(ax.lines[2].get_ydata()).any()
    np.testing.assert_array_equal(ax.lines[0].get_xdata()[-2:], [87.5, 97.5])


def test_pixel_in_two_windows_counts_for_the_nearest_order():
    orders = EchelleOrderTable.from_polynomials(
        [7, 8], [[20.2], [24.4]], shape=(50, 32), dispersion_axis=1
    )
    rows = np.repeat(np.arange(50.0)[:, None], 32, axis=1)
    flat = CCDData(rows, unit="", uncertainty=StdDevUncertainty(np.ones(rows.shape)))

    lower, upper = plot_signal_to_noise(flat, orders).lines

    np.testing.assert_array_equal(lower.get_ydata(), 19)  # rows 16 to 22
    np.testing.assert_array_equal(upper.get_ydata(), 26)  # rows 23 to 29
