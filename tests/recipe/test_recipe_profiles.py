# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The recipe on orders that are no slits."""

import numpy as np
import pytest

from ccdproc_echelle import FlatFlag, MasterFlat, make_master_flat
from ccdproc_echelle.simulation import EchelleSimulation
from helpers.orders import centers_only

BASE = EchelleSimulation(shape=(300, 320), n_orders=5, order_width=27.0, seed=3)
SCENES = {
    "fibres": BASE.with_fibres(sigma=1.6),
    "bundles": BASE.with_fibres(3, sigma=1.4, pitch=6.0),
    "slices": BASE.with_slicer(3, gap=3.0),
}


def reduced(sim, **keywords) -> MasterFlat:
    sim = sim.with_scattered_light(0.03).with_level_spread(0.2)
    orders = centers_only(sim.truth.orders, degree=2)
    return make_master_flat(sim.flats(4), orders, gain=1, read_noise=4, window=4, **keywords)


def value(master, name) -> float:
    return float(master.quality["value"][master.quality["name"] == name][0])


@pytest.mark.parametrize("scene", SCENES)
def test_pulls_and_scattered_light(scene):
    sim = SCENES[scene]
    master = reduced(sim)
    inside = (master.flags & FlatFlag.INTERORDER) == 0
    truth = sim.truth.normalized_flat(4)
    pulls = (master.flat.data - truth)[inside] / master.flat.uncertainty.array[inside]
    assert abs(pulls.std() - 1) < 0.05
    inner = sim.truth.orders.inner_mask(4)
    surface = sim.with_scattered_light(0.03).truth.scattered_light[inner].mean()
    expected = surface / (surface + sim.truth.flat[inner].mean())
    assert value(master, "scattered_light_fraction") == pytest.approx(expected, rel=0.03)
    assert value(master, "inner_mean") == pytest.approx(1, abs=1e-3)
    assert value(master, "fibre_orders") == (5 if scene == "fibres" else 0)
    assert value(master, "sliced_orders") == (0 if scene == "fibres" else 5)
    if scene != "slices":  # which end at half their height
        assert truth[inside].sum() > 0.99 * truth.sum()


def test_a_margin_keeps_what_is_beyond_the_edges(tmp_path):
    plain, wide = (
        reduced(SCENES["fibres"], margin=margin, scattered_light=None) for margin in (0, 3)
    )
    kept = wide.orders.order_map(margin=3) > 0
    np.testing.assert_array_equal((wide.flags & FlatFlag.INTERORDER) == 0, kept)
    assert (wide.flat.data[~kept] == 1).all()
    beyond = kept & (wide.orders.order_map() == 0)
    assert np.mean(wide.flat.data[beyond] < 0.1) > 0.9
    assert value(wide, "unusable_fraction") == value(plain, "unusable_fraction")
    wide.write(tmp_path / "master.fits")
    assert set(MasterFlat.read(tmp_path / "master.fits").orders.table["profile"]) == {"fibre"}


def test_a_margin_that_is_no_number():
    with pytest.raises(ValueError, match="margin is nan"):
        reduced(BASE, margin=np.nan)


def test_the_profile_goes_through_edge_keywords():
    with pytest.raises(ValueError, match="profile is 'fiber'"):
        reduced(BASE, edge_keywords={"profile": "fiber"})


def test_the_noise_of_the_darks_is_counted_once():
    """It is between the orders as well, where it must not pass for scatter of the response."""
    sim = (
        EchelleSimulation(shape=(220, 300), n_orders=8, peak=5000, brightness_ratio=2,
                          smallest_gap=4, seed=1)
        .with_fibres(sigma=1.5).with_scattered_light(0.02).with_bias(300)
        .with_noise(gain=1, read_noise=12)
    )
    master = make_master_flat(sim.flats(5, raw=True), sim.truth.orders,
                              dark=sim.darks(2, raw=True), gain=1, read_noise=12)
    inside = (master.flags & FlatFlag.INTERORDER == 0) & ~master.flat.mask
    pulls = (master.flat.data - sim.truth.flat)[inside] / master.flat.uncertainty.array[inside]
    assert pulls.std() == pytest.approx(1, abs=0.05)
