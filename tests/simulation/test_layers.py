# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Each layer draws itself: a new one is one class and one method."""

import pickle
from dataclasses import dataclass, replace

import numpy as np
import pytest

from ccdproc_echelle.simulation import EchelleSimulation, layers
from ccdproc_echelle.simulation.layers import Layer
from ccdproc_echelle.simulation.noise import NOISE_STREAMS

SMALL = {"shape": (130, 160), "n_orders": 3, "order_width": 16.0, "seed": 5}


@dataclass(frozen=True)
class Glow(Layer):
    """Acts at every stage, each time on a column of its own."""

    strength: float = 0.5
    streams = (15,)

    def response(self, response, scene):
        return response * self.column(10, scene)

    def light(self, light, scene, mean_level):
        return light + mean_level * (self.column(20, scene) - 1)

    def illumination(self, light, scene, exposure):
        return light * self.column(30, scene)

    def counts(self, counts, scene, exposure):
        drawn = scene.rng(self.streams[0], exposure.index).uniform()
        return counts + exposure.time * drawn * (self.column(40, scene) - 1)

    def pedestal(self, pedestal, scene):
        return pedestal + 100 * (self.column(50, scene) - 1)

    def observed(self, data, counts, scene, exposure):
        return data * self.column(60, scene)

    def mask(self, scene, exposure):
        return self.column(70, scene) > 1

    def column(self, place, scene):
        image = np.ones(scene.shape)
        image[:, place] += self.strength
        return image


class GlowingSimulation(EchelleSimulation):
    def with_glow(self, strength):
        return self.with_layer(Glow(strength))


@pytest.fixture(params=[0, 1])
def sim(request):
    shape = (130, 160) if request.param else (160, 130)
    return GlowingSimulation(**{**SMALL, "shape": shape}, dispersion_axis=request.param)


def along_rows(sim, image):
    return image if sim.dispersion_axis == 1 else np.moveaxis(image, -1, -2)


def test_a_new_layer_is_one_class_and_one_method(sim):
    sim = sim.without_noise()
    glowing = sim.with_glow(0.5)
    plain, glow = sim.truth, glowing.truth
    before, after = (along_rows(s, s.flats(1)[0].data.astype(float)) for s in (sim, glowing))
    # Each stage in its own column, and the others as they were.
    expected = {
        10: 1.5 * before[:, 10],
        20: before[:, 20] + 0.5 * glow.levels(1)[0] * along_rows(sim, plain.pixel_response)[:, 20],
        30: 1.5 * before[:, 30],
        40: before[:, 40] + 10 * 0.5 * drawn(15, 0),
        50: before[:, 50] + 50,
        60: 1.5 * before[:, 60],
    }
    for column in range(before.shape[1]):
        np.testing.assert_allclose(
            after[:, column], expected.get(column, before[:, column]), rtol=1e-6, atol=1e-3,
        )
    ratio = along_rows(sim, glow.pixel_response / plain.pixel_response)
    assert np.array_equal(np.flatnonzero((ratio != 1).any(axis=0)), [10])
    assert np.array_equal(np.flatnonzero(along_rows(sim, glow.scattered_light).any(axis=0)), [20])
    noiseless = along_rows(sim, glow.noiseless_flats(1))[0]
    elsewhere = np.arange(before.shape[1]) != 60  # what is read out is not expected
    np.testing.assert_allclose(noiseless[:, elsewhere], after[:, elsewhere], rtol=1e-6)


def drawn(stream, index):
    key = np.random.SeedSequence(SMALL["seed"], spawn_key=(stream, index))
    return np.random.default_rng(key).uniform()


def test_a_new_layer_acts_on_darks_and_biases(sim):
    glowing = sim.without_noise().with_glow(0.5)
    dark, bias = (along_rows(sim, f.data) for f in glowing.darks(2)[1:] + glowing.biases(1))
    np.testing.assert_allclose(dark[:, 40], 10 * 0.5 * drawn(15, 1), rtol=1e-6)
    np.testing.assert_allclose(bias[:, 50], 50)
    assert not np.delete(dark, [40, 50], axis=1).any()
    assert not np.delete(bias, 50, axis=1).any()


def test_masks_of_layers_add_up(sim):
    both = sim.with_bad_pixels(20).with_glow(0.5)
    expected = along_rows(sim, sim.with_bad_pixels(20).truth.bad_pixels(1)[0]).copy()
    expected[:, 70] = True
    assert np.array_equal(along_rows(sim, both.flats(1)[0].mask), expected)
    assert both.darks(1)[0].mask.sum() == 130
    assert sim.darks(1)[0].mask is None


def test_uncertainty_knows_what_a_layer_adds_below_all_counts(sim):
    frame = sim.with_glow(0.5).biases(1)[0]
    data, sigma = (along_rows(sim, a)[:, 50] for a in (frame.data, frame.uncertainty.array))
    np.testing.assert_allclose(sigma, np.sqrt(np.maximum(data - 50, 0) + 16), rtol=1e-5)


def test_the_noise_is_the_same_with_a_layer_that_leaves_the_light_alone(sim):
    @dataclass(frozen=True)
    class Nothing(Layer):
        pass

    assert np.array_equal(sim.with_layer(Nothing()).flats(1)[0].data, sim.flats(1)[0].data)


def test_simulations_with_further_layers_are_compared_replaced_and_pickled(sim):
    glowing = sim.with_glow(0.5)
    assert glowing == sim.with_glow(0.25).with_glow(0.5) != sim
    assert glowing != sim.with_glow(0.25)
    assert glowing.layers == (Glow(0.5),) and sim.layers == ()
    assert hash(glowing) == hash(replace(glowing, layers=[Glow(0.5)]))
    assert replace(glowing, seed=6).layers == glowing.layers
    rich = EchelleSimulation(**SMALL).with_dust(2).with_cosmic_rays(5).with_bad_pixels(3)
    rich.flats(1)
    again = pickle.loads(pickle.dumps(rich))
    assert again == rich and again.truth == rich.truth
    assert np.array_equal(again.flats(2)[1].data, rich.flats(2)[1].data)


def test_streams_of_the_layers_are_what_they_were():
    """Part of the seed: another number is another frame."""
    streams = {name: getattr(layers, name).streams for name in layers.__all__ if name != "MAX_RAW"}
    assert {name: numbers for name, numbers in streams.items() if numbers} == {
        "PixelResponse": (0,), "DeadPixels": (1, 13), "Dust": (2,), "LevelSpread": (3,),
        "Drift": (4,), "CosmicRays": (5,), "BadPixels": (6,), "ColorDrift": (14,),
    }
    assert NOISE_STREAMS == {"flat": (7, 8), "dark": (9, 10), "bias": (11, 12)}


@pytest.mark.parametrize("taken", [0, 8, 13])
def test_no_two_layers_share_a_stream(taken):
    class Greedy(Layer):
        streams = (taken,)

    sim = EchelleSimulation(**SMALL)
    with pytest.raises(ValueError, match=f"^layers: Greedy draws from stream {taken}, which is"):
        sim.with_layer(Greedy())
    with pytest.raises(TypeError, match=r"^layers: expected layers, found 3"):
        sim.with_layer(3)


@pytest.mark.parametrize("axis", [0, 1])
def test_the_end_of_every_order_is_dark(axis):
    shape = (130, 160) if axis == 1 else (160, 130)
    sim = EchelleSimulation(**{**SMALL, "shape": shape}, dispersion_axis=axis)
    dark = sim.with_dark_end(0.3, fade=0.1)
    ratio = dark.truth.noiseless_flats(1)[0] / np.maximum(sim.truth.noiseless_flats(1)[0], 1e-9)
    ratio = ratio if axis == 1 else ratio.T
    inner = sim.truth.orders.inner_mask(5)
    inner = inner if axis == 1 else inner.T
    np.testing.assert_allclose(ratio[:, :95][inner[:, :95]], 1)
    assert (ratio[:, 112:] == 0).all()
    assert sim.with_dark_end(0).truth.blaze.tobytes() == sim.truth.blaze.tobytes()


def test_one_order_is_faint():
    sim = EchelleSimulation(**SMALL)
    faint = sim.with_faint_order(12, factor=0.001)
    ratio = faint.truth._blaze / sim.truth._blaze
    np.testing.assert_allclose(ratio, [[1], [0.001], [1]] * np.ones((1, 160)))
    with pytest.raises(ValueError, match="order_number is 99, expected an integer from 11 to 13"):
        sim.with_faint_order(99)
