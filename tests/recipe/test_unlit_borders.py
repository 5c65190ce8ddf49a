# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A master flat of a detector whose borders have no light, beside or below the outermost orders."""

from dataclasses import replace

import numpy as np
import pytest

from ccdproc_echelle import FlatFlag, make_master_flat
from ccdproc_echelle.simulation import EchelleSimulation

PLAIN = EchelleSimulation(
    shape=(70, 300), n_orders=5, seed=2, order_width=6, smallest_gap=4, psf_sigma=0.7, tilt=0.015,
    brightness_ratio=10,
).with_scattered_light(0.05).with_noise(gain=1, read_noise=4)


@pytest.fixture(scope="module", params=[(1, 4), (0, 4), (1, 6)])
def made(request):
    axis, depth = request.param
    simulation = PLAIN.with_dark_border(depth)
    if axis == 0:
        simulation = replace(simulation, shape=(300, 70), dispersion_axis=0)
    lines = np.arange(70)
    unlit = np.broadcast_to((lines < depth)[:, None] | (lines >= 70 - depth)[:, None], (70, 300))
    master = make_master_flat(
        simulation.flats(3), simulation.truth.orders, gain=1, read_noise=4
    )
    return master, simulation.truth, unlit if axis == 1 else unlit.T


@pytest.mark.filterwarnings("ignore:edges of orders")
def test_pixels_agree_with_truth_within_their_uncertainty(made):
    master, truth, unlit = made
    lit = (master.orders.order_map() > 0) & ~unlit
    assert not master.flat.mask[lit].any()
    value, expected = master.flat.data[lit], truth.flat[lit]
    pulls = value - expected * np.median(value / expected)
    pulls /= master.flat.uncertainty.array[lit]
    assert np.sqrt(np.mean(pulls**2)) == pytest.approx(1, abs=0.05)


@pytest.mark.filterwarnings("ignore:edges of orders")
def test_edges_agree_with_truth(made):
    master, truth, _ = made
    np.testing.assert_allclose(master.orders.upper(), truth.orders.upper(), atol=0.05)


@pytest.mark.filterwarnings("ignore:edges of orders")
def test_unlit_pixels_of_an_order_are_masked(made):
    master, _, unlit = made
    inside = unlit & (master.orders.order_map() > 0)
    assert master.flat.mask[inside].all()
    assert (master.flags[inside] & FlatFlag.FAINT > 0).all()
