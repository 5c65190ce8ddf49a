# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Orders that are images of fibres, or of the slices of an image slicer."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from ccdproc_echelle.simulation import EchelleSimulation

SIM = EchelleSimulation(shape=(200, 220), n_orders=3, order_width=25.0, pixel_response=0, seed=5)


def test_a_fibre_is_a_gaussian_that_ends_at_a_hundredth():
    sim = SIM.with_fibres(sigma=2.0)
    center, upper = (curve[1, 100] for curve in
                     (sim.truth.orders.center(), sim.truth.orders.upper()))
    rows = np.arange(200)
    column = sim.truth.flat[:, 100] / sim.truth.blaze[1, 100]
    near = np.abs(rows - center) < 12
    sigma = 2.0 * (upper - center) / (2.0 * np.sqrt(2 * np.log(100)))
    assert_allclose(column[near], np.exp(-0.5 * ((rows - center)[near] / sigma) ** 2), atol=0.03)


@pytest.mark.parametrize("n", [2, 5])
def test_fibres_lie_side_by_side(n):
    sim = SIM.with_fibres(n, sigma=1.2, pitch=7.0)
    column = sim.truth.slit_profile[:, 110]
    peaks = np.flatnonzero((column[1:-1] > column[:-2]) & (column[1:-1] > column[2:])
                           & (column[1:-1] > 0.5)) + 1
    assert len(peaks) == 3 * n
    assert_allclose(np.diff(peaks.reshape(3, n), axis=1).mean(), 7.0, atol=0.5)


def test_slices_have_dark_gaps():
    sim = SIM.with_slicer(3, gap=4.0)
    lower, upper = (edge[1, 110] for edge in (sim.truth.orders.lower(), sim.truth.orders.upper()))
    column = sim.truth.slit_profile[int(lower) - 8 : int(upper) + 9, 110]
    assert np.count_nonzero(np.diff(column > 0.5)) == 6
    total = column.sum()
    assert_allclose(total, upper - lower - 8, rtol=1e-6)


def test_one_slice_is_a_slit():
    assert_array_equal(SIM.with_slicer(1, gap=0).truth.flat, SIM.truth.flat)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: SIM.with_fibres(0), "n is 0"),
        (lambda: SIM.with_fibres(sigma=0), "sigma is 0"),
        (lambda: SIM.with_slicer(9, gap=3.0).truth.flat, "9 slices with gaps of 3.0"),
    ],
)
def test_what_cannot_be(change, message):
    with pytest.raises(ValueError, match=message):
        change()
