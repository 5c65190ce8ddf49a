# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The layers of a simulation, each of which draws itself.

A frame is built in stages, in each of which every layer takes its turn (``|`` means "then")::

    blaze    = blaze of the grating and the lamp | blaze of each layer
    response = 1 | response of each layer
    light    = 0 | light of each layer
    counts   = (flat + response * light) | illumination of each layer | counts of each layer
    pedestal = 0 | pedestal of each layer
    frame    = (pedestal + noise drawn from counts) | observed of each layer

A layer is a class that implements the stages in which it acts. It is added by a ``with_...`` method
of `EchelleSimulation`; no other code needs to know about it.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ccdproc_echelle.simulation.checks import check
from ccdproc_echelle.simulation.geometry import plane_axes

__all__ = [
    "BadPixels", "Bias", "ColorDrift", "CosmicRays", "DarkCurrent", "DarkEnd", "DeadPixels",
    "Drift", "Dust", "FaintOrder", "Layer", "LevelSpread", "MAX_RAW", "PixelResponse",
    "ScatteredLight",
]

MAX_RAW = np.iinfo(np.uint16).max


class Layer:
    """
    Base class of layers, which does nothing at any stage.

    Each stage receives the current state and returns the new one as a new array; the input is not
    modified. Images have the orders along the rows. Subclasses are frozen dataclasses, so that
    simulations can be compared. The built-in layers come first, in the order of this module; added
    layers follow in the order in which they were added.
    """

    # Each random layer draws from its own streams, ``scene.rng(stream, index)``. The number is part
    # of the seed and must never change. 7 to 12 are used for the noise, 20 to 22 in ``flaws``; the
    # next free one is 15.
    streams: ClassVar[tuple[int, ...]] = ()

    def blaze(self, blaze, scene):
        """Light along each order in adu, (n_orders, n_pixels)."""
        return blaze

    def response(self, response, scene):
        """Pixel response, an image that is 1 on average."""
        return response

    def light(self, light, scene, mean_level):
        """
        Light in addition to that of the orders, before the pixel response, at mean exposure level.

        In adu, like ``mean_level``, the mean of the flat over the inner-order pixels.
        """
        return light

    def illumination(self, light, scene, exposure):
        """All light of one flat in adu; only called for flats."""
        return light

    def counts(self, counts, scene, exposure):
        """Expected counts of a flat, dark or bias above the pedestal, in adu."""
        return counts

    def pedestal(self, pedestal, scene):
        """Offset added to every frame without noise of its own, a number or an image in adu."""
        return pedestal

    def observed(self, data, counts, scene, exposure):
        """Frame in adu, with noise and pedestal; ``counts`` are the expected ones."""
        return data

    def mask(self, scene, exposure):
        """Bool image of the pixels masked in the frame, or None."""
        return None


def random_pixels(name, n, allowed, rng):
    """Bool image of n different pixels chosen from the allowed ones."""
    places = np.flatnonzero(allowed)
    if n > places.size:
        raise ValueError(f"{name} is {n}, expected at most {places.size}, the number of pixels")
    image = np.zeros(allowed.shape, dtype=bool)
    image.flat[rng.choice(places, n, replace=False, shuffle=False)] = True
    return image


# -------------------------------------------------------------------- the light along the orders


@dataclass(frozen=True)
class DarkEnd(Layer):
    """A lamp, or vignetting, that leaves the end of every order without light."""

    fraction: float = 0.0
    fade: float = 0.2

    def __post_init__(self):
        check("fraction", self.fraction, 0, 0.9)
        check("fade", self.fade, 0, 1)

    def blaze(self, blaze, scene):
        if self.fraction == 0:
            return blaze
        lit = 1 - self.fraction - np.linspace(0, 1, blaze.shape[1])
        return blaze * np.clip(lit / max(self.fade, 1e-9), 0, 1) ** 2


@dataclass(frozen=True)
class FaintOrder(Layer):
    """One order that is fainter than given by the blaze function."""

    order_number: int | None = None
    factor: float = 1e-3

    def __post_init__(self):
        check("factor", self.factor, 0, 1)

    def blaze(self, blaze, scene):
        here = scene.orders.order_numbers == self.order_number
        return np.where(here[:, np.newaxis], self.factor * blaze, blaze)


# --------------------------------------------------------------------------- the pixel response


@dataclass(frozen=True)
class PixelResponse(Layer):
    """Pixel-to-pixel scatter of the response."""

    scatter: float = 0.01
    streams = (0,)

    def __post_init__(self):
        check("pixel_response", self.scatter, 0, 0.1)

    def response(self, response, scene):
        scatter = scene.rng(self.streams[0]).standard_normal(scene.shape)
        return response * (1 + self.scatter * scatter)


@dataclass(frozen=True)
class Dust(Layer):
    """Round shadows centred inside the orders."""

    n: int = 0
    radius: float = 4.0
    depth: float = 0.25
    streams = (2,)

    def __post_init__(self):
        check("n", self.n, 0, integer=True)
        check("radius", self.radius, 0)
        check("depth", self.depth, 0, 1)

    def response(self, response, scene):
        return response * self.shadow(scene)

    def shadow(self, scene):
        """Transmission image: 1 - depth within the radius of a grain, 1 outside it."""
        centers = random_pixels("dust", self.n, scene.inside, scene.rng(self.streams[0]))
        image = np.ones(scene.shape)
        rows, columns = np.ogrid[: scene.shape[0], : scene.shape[1]]
        reach = int(self.radius) + 2
        for center in np.argwhere(centers):
            near = tuple(slice(max(c - reach, 0), c + reach + 1) for c in center)
            distance = np.hypot(rows[near[0]] - center[0], columns[:, near[1]] - center[1])
            grain = 1 - self.depth * np.clip(self.radius + 0.5 - distance, 0, 1)
            image[near] = np.minimum(image[near], grain)
        return image


@dataclass(frozen=True)
class DeadPixels(Layer):
    """Pixels inside the orders with hardly any response."""

    n: int = 0
    max_response: float = 0.2
    streams = (1, 13)  # of their places, of their responses

    def __post_init__(self):
        check("n", self.n, 0, integer=True)
        check("max_response", self.max_response, 0, 1)

    def response(self, response, scene):
        response = response.copy()
        dead_response = scene.rng(self.streams[1]).random(self.n)
        response[self.places(scene)] = self.max_response * dead_response
        return response

    def places(self, scene):
        """Bool image of the dead pixels."""
        return random_pixels("dead_pixels", self.n, scene.inside, scene.rng(self.streams[0]))


# -------------------------------------------------------------------------------- the light


@dataclass(frozen=True)
class ScatteredLight(Layer):
    """A broad bump on a pedestal, with a given mean over the inner-order pixels."""

    fraction: float = 0.0

    def __post_init__(self):
        check("scattered_light", self.fraction, 0)

    def light(self, light, scene, mean_level):
        if self.fraction == 0:
            return light
        v, u = plane_axes(scene.shape)
        surface = 0.5 + np.exp(-(((v + 0.2) / 1.2) ** 2)) * np.exp(-(((u - 0.3) / 1.4) ** 2))
        return light + self.fraction * mean_level * surface / surface[scene.inner].mean()


@dataclass(frozen=True)
class LevelSpread(Layer):
    """Exposure levels that differ from flat to flat."""

    spread: float = 0.0
    streams = (3,)

    def __post_init__(self):
        check("level_spread", self.spread, 0, 0.99)

    def illumination(self, light, scene, exposure):
        return light * self.level(scene, exposure)

    def level(self, scene, exposure):
        """Relative exposure level of a flat."""
        rng = scene.rng(self.streams[0], exposure.index)
        return rng.uniform(1 - self.spread, 1 + self.spread)


@dataclass(frozen=True)
class Drift(Layer):
    """A tilted plane that multiplies each flat, in a random direction."""

    amplitude: float = 0.0
    streams = (4,)

    def __post_init__(self):
        check("drift", self.amplitude, 0, 0.45)

    def illumination(self, light, scene, exposure):
        return light * self.plane(scene, exposure) if self.amplitude else light

    def plane(self, scene, exposure):
        """Image that multiplies the light of a flat."""
        angle = scene.rng(self.streams[0], exposure.index).uniform(0, 2 * np.pi)
        direction = np.array([np.sin(angle), np.cos(angle)])
        direction *= self.amplitude / np.abs(direction).sum()
        across, along = (slope * x for slope, x in zip(direction, scene.plane, strict=True))
        return 1 + across + along


@dataclass(frozen=True)
class ColorDrift(Layer):
    """A level of each order that differs from flat to flat."""

    amplitude: float = 0.0
    streams = (14,)

    def __post_init__(self):
        check("color_drift", self.amplitude, 0, 0.45)

    def illumination(self, light, scene, exposure):
        return light * self.color(scene, exposure) if self.amplitude else light

    def color(self, scene, exposure):
        """Image that multiplies the light of a flat."""
        rng = scene.rng(self.streams[0], exposure.index)
        return 1 + rng.uniform(-self.amplitude, self.amplitude) * scene.order_side


# ------------------------------------------------------------------ the counts and the pedestal


@dataclass(frozen=True)
class DarkCurrent(Layer):
    """Counts proportional to the exposure time, in electrons per second and pixel."""

    rate: float = 0.0

    def __post_init__(self):
        check("dark_current", self.rate, 0)

    def counts(self, counts, scene, exposure):
        return counts + self.rate * exposure.time / scene.noise.gain


@dataclass(frozen=True)
class Bias(Layer):
    """A constant level in adu in all frames."""

    level: float = 0.0

    def __post_init__(self):
        check("bias", self.level)

    def pedestal(self, pedestal, scene):
        return pedestal + self.level


# --------------------------------------------------------------------- what is read out of flats


@dataclass(frozen=True)
class CosmicRays(Layer):
    """Straight tracks of up to `length` pixels, `amplitude` sigma above the signal."""

    n: int = 0
    amplitude: float = 50.0
    length: int = 1
    streams = (5,)

    def __post_init__(self):
        check("n", self.n, 0, integer=True)
        check("amplitude", self.amplitude)
        check("length", self.length, 1, integer=True)

    def observed(self, data, counts, scene, exposure):
        if self.n == 0 or exposure.kind != "flat":
            return data
        hit = self.hits(scene, exposure)
        data = data.copy()
        data[hit] += self.amplitude * scene.noise.sigma(counts[hit])
        return data

    def hits(self, scene, exposure):
        """Bool image of the affected pixels; a track that leaves the detector ends there."""
        shape, rng = scene.shape, scene.rng(self.streams[0], exposure.index)
        row, column = (rng.integers(size, size=self.n) for size in shape)
        angle = rng.uniform(0, 2 * np.pi, self.n)
        step = np.arange(self.length)[:, np.newaxis]
        rows = row + np.rint(step * np.sin(angle)).astype(int)
        columns = column + np.rint(step * np.cos(angle)).astype(int)
        lit = step < rng.integers(1, self.length, self.n, endpoint=True)
        lit &= (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
        image = np.zeros(shape, dtype=bool)
        image[rows[lit], columns[lit]] = True
        return image


@dataclass(frozen=True)
class BadPixels(Layer):
    """Pixels with a wrong value, different ones in each flat, which are masked."""

    n: int = 0
    value: float = float(MAX_RAW)
    streams = (6,)

    def __post_init__(self):
        check("n", self.n, 0, integer=True)

    def observed(self, data, counts, scene, exposure):
        bad = self.mask(scene, exposure)
        return data if bad is None else np.where(bad, self.value, data)

    def mask(self, scene, exposure):
        return self.places(scene, exposure) if self.n and exposure.kind == "flat" else None

    def places(self, scene, exposure):
        """Bool image of the bad pixels."""
        anywhere = np.ones(scene.shape, dtype=bool)
        rng = scene.rng(self.streams[0], exposure.index)
        return random_pixels("bad_pixels", self.n, anywhere, rng)
