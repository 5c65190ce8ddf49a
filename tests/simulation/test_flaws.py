# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Layers for what real detectors have: each does what it says, and is off by default."""

import numpy as np
import pytest

from ccdproc_echelle.simulation import EchelleSimulation

SIM = EchelleSimulation(shape=(130, 160), n_orders=3, order_width=16.0, seed=5)
BEFORE = SIM.truth.noiseless_flats(1)[0]


def difference(simulation):
    return simulation.truth.noiseless_flats(1)[0] - BEFORE


def test_pattern_is_the_same_along_the_dispersion_and_in_every_frame():
    sim = SIM.with_fixed_pattern(rows=3, ripple=5, period=10)
    pattern = difference(sim)
    np.testing.assert_allclose(pattern, pattern[:, :1] * np.ones(160), atol=1e-9)
    wave = 5 * np.sin(2 * np.pi * np.arange(130) / 10)
    assert np.std(pattern[:, 0] - wave) == pytest.approx(3, rel=0.2)
    first, second = sim.truth.noiseless_flats(2)
    np.testing.assert_array_equal(first, second)
    assert np.std(difference(SIM.with_fixed_pattern(columns=2))[0]) == pytest.approx(2, rel=0.2)


def test_border_is_dark_and_has_read_noise():
    sim = SIM.with_dark_border(4)
    frame = sim.truth.noiseless_flats(1)[0]
    assert (frame[:4] == 0).all() and (frame[-4:] == 0).all()
    np.testing.assert_array_equal(frame[4:-4], BEFORE[4:-4])
    assert sim.flats(1)[0].data[:4].std() == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize("axis", [0, 1])
def test_bad_lines_run_with_the_orders(axis):
    shape = (130, 160) if axis == 1 else (160, 130)
    sim = EchelleSimulation(shape=shape, n_orders=3, order_width=16.0, dispersion_axis=axis)
    data = sim.with_bad_lines(rows=(50,), columns=(7, 9), value=9e4).flats(1)[0].data
    data = data if axis == 1 else data.T
    assert (data[50] == 9e4).all() and (data[:, [7, 9]] == 9e4).all()
    assert (data == 9e4).sum() == 160 + 2 * 129


def test_short_orders():
    ratio = SIM.with_short_orders({12: (40, 99)}).truth._blaze / SIM.truth._blaze
    inside = (np.arange(160) >= 40) & (np.arange(160) < 100)
    np.testing.assert_allclose(ratio, [np.ones(160), inside, np.ones(160)])


def test_bands_beside_the_orders_and_beyond_them():
    peak = SIM.truth.normalized_flat(10)
    mean = BEFORE.max() / peak.max()
    beside = difference(SIM.with_secondary_bands(16, 4, fraction=0.5))
    middle = SIM.truth.orders.center([80])[:, 0]
    assert beside[np.rint(middle + 16).astype(int), 80].min() > 0.4 * mean
    assert np.abs(beside[np.rint(middle).astype(int), 80]).max() < 1e-3 * mean
    partial = difference(SIM.with_partial_order(20, 16))
    assert partial[-1].max() > 0.5 * mean
    assert np.abs(partial[: int(middle[-1])]).max() < 1e-3 * mean


def test_a_tilted_slit_moves_the_light_along_the_dispersion():
    sim = SIM.with_short_orders({12: (40, 99)})
    tilted = sim.with_tilted_slit(0.5).truth.noiseless_flats(1)[0]
    straight = sim.truth.noiseless_flats(1)[0]
    middle = int(np.rint(SIM.truth.orders.center([40])[1, 0]))
    for up in (-6, 0, 6):
        shift = (tilted - straight)[middle + up, 25:55].sum() / straight[middle, 60]
        assert shift == pytest.approx(-0.5 * up, abs=0.6)


def test_bias_steps_are_in_the_middle():
    step = difference(SIM.with_bias_step(rows=5, columns=-2))
    assert step[0, 0] == pytest.approx(0) and step[-1, -1] == pytest.approx(3)
    assert step[-1, 0] == pytest.approx(5) and step[0, -1] == pytest.approx(-2)


def test_vignetting_darkens_the_corners():
    ratio = SIM.with_vignetting(0.6).truth._blaze / SIM.truth._blaze
    assert ratio[1, 80] > 0.95 and 0.5 < ratio[0, 0] < 0.75
    assert (np.diff(ratio[:, :60], axis=1) > 0).all()


def test_fringes_are_part_of_the_pixel_response():
    fringes = SIM.with_fringes(0.15, period=8, slope=0).truth.pixel_response
    wave = 1 + 0.15 * np.sin(2 * np.pi * np.arange(160) / 8)
    np.testing.assert_allclose(fringes, SIM.truth.pixel_response * wave)


def test_ghosts_run_across_the_orders():
    ghosts = difference(SIM.with_ghosts(2, width=6, fraction=0.02))
    mean = BEFORE.max() / SIM.truth.normalized_flat(10).max()
    assert 0.01 < ghosts.max() / mean < 0.05
    assert (ghosts > 0.005 * mean).any(axis=0).mean() > 0.9


@pytest.mark.parametrize("seed", range(40, 52))
def test_spectrographs_with_flaws(seed):
    sim = EchelleSimulation.random(seed, flaws=True)
    assert sim == EchelleSimulation.random(seed, flaws=True)
    assert 5 <= sim.n_orders <= 60 and 2 <= sim.order_width <= 250


def test_every_flaw_is_drawn():
    drawn = {
        type(layer) for seed in range(60)
        for layer in EchelleSimulation.random(seed, flaws=True).layers
    }
    assert len(drawn) == 10
