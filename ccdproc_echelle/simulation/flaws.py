# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Layers for features of real detectors and spectrographs that ideal ones lack.

Each is added by a ``with_...`` method of `EchelleSimulation`. As for all layers, images have the
orders along the rows: a "row" of these layers runs along the dispersion axis.
"""

from dataclasses import dataclass

import numpy as np

from ccdproc_echelle.simulation.checks import check
from ccdproc_echelle.simulation.geometry import blaze_functions, plane_axes, slit_image
from ccdproc_echelle.simulation.layers import Layer

__all__ = [
    "BadLines", "BiasStep", "DarkBorder", "FixedPattern", "Fringes", "Ghosts", "PartialOrder",
    "SecondaryBands", "ShortOrders", "Vignetting",
]


@dataclass(frozen=True)
class FixedPattern(Layer):
    """Offsets of rows and columns, and a ripple across the rows, the same in every frame."""

    rows: float = 0.0
    columns: float = 0.0
    ripple: float = 0.0
    period: float = 8.0
    streams = (20, 21)

    def __post_init__(self):
        for name in ("rows", "columns", "ripple"):
            check(name, getattr(self, name), 0)
        check("period", self.period, 2)

    def pedestal(self, pedestal, scene):
        n_rows, n_columns = scene.shape
        rows = self.rows * scene.rng(self.streams[0]).standard_normal((n_rows, 1))
        columns = self.columns * scene.rng(self.streams[1]).standard_normal(n_columns)
        wave = np.sin(2 * np.pi * np.arange(n_rows)[:, np.newaxis] / self.period)
        return pedestal + rows + columns + self.ripple * wave


@dataclass(frozen=True)
class BiasStep(Layer):
    """Amplifiers with different bias: steps in the middle of the rows, and of the columns."""

    rows: float = 0.0
    columns: float = 0.0

    def __post_init__(self):
        check("rows", self.rows)
        check("columns", self.columns)

    def pedestal(self, pedestal, scene):
        v, u = plane_axes(scene.shape)
        return pedestal + self.rows * (v > 0) + self.columns * (u > 0)


@dataclass(frozen=True)
class DarkBorder(Layer):
    """First and last rows without light: reference pixels."""

    n: int = 4

    def __post_init__(self):
        check("n", self.n, 0, integer=True)

    def counts(self, counts, scene, exposure):
        row = np.arange(scene.shape[0])[:, np.newaxis]
        return np.where((row < self.n) | (row >= scene.shape[0] - self.n), 0, counts)


@dataclass(frozen=True)
class BadLines(Layer):
    """Whole rows and columns with a single value: dead or hot."""

    rows: tuple[int, ...] = ()
    columns: tuple[int, ...] = ()
    value: float = 0.0

    def observed(self, data, counts, scene, exposure):
        data = data.copy()
        data[list(self.rows)] = self.value
        data[:, list(self.columns)] = self.value
        return data


@dataclass(frozen=True)
class ShortOrders(Layer):
    """Orders with light only between two dispersion pixels: (number, first, last)."""

    ranges: tuple[tuple[int, int, int], ...] = ()

    def blaze(self, blaze, scene):
        blaze, pixel = blaze.copy(), np.arange(blaze.shape[1])
        for number, first, last in self.ranges:
            here = scene.orders.order_numbers == number
            blaze[here] = np.where((pixel >= first) & (pixel <= last), blaze[here], 0)
        return blaze


@dataclass(frozen=True)
class Vignetting(Layer):
    """Light that decreases from the middle of the detector to its corners."""

    strength: float

    def __post_init__(self):
        check("strength", self.strength, 0, 1)

    def blaze(self, blaze, scene):
        v, u = plane_axes(scene.shape)
        radius = (2 * scene.orders.center() / (scene.shape[0] - 1) - 1) ** 2 + u**2
        return blaze * np.clip(1 - self.strength * radius / 2, 0, 1)


@dataclass(frozen=True)
class Fringes(Layer):
    """Interference in the detector: waves of the pixel response, the same in every frame."""

    amplitude: float
    period: float = 9.0
    slope: float = 0.3

    def __post_init__(self):
        check("amplitude", self.amplitude, 0, 0.9)
        check("period", self.period, 2)
        check("slope", self.slope)

    def response(self, response, scene):
        row, column = np.ogrid[: scene.shape[0], : scene.shape[1]]
        phase = 2 * np.pi * (column + self.slope * row) / self.period
        return response * (1 + self.amplitude * np.sin(phase))


@dataclass(frozen=True)
class Ghosts(Layer):
    """Bands of light that run across the orders at any angle."""

    n: int = 1
    width: float = 10.0
    fraction: float = 0.02
    streams = (22,)

    def __post_init__(self):
        check("n", self.n, 0, integer=True)
        check("width", self.width, 0)
        check("fraction", self.fraction, 0)

    def light(self, light, scene, mean_level):
        rng, (n_rows, n_columns) = scene.rng(self.streams[0]), scene.shape
        middle, slope = rng.uniform(0, n_rows, (self.n, 1)), rng.uniform(-1, 1, (self.n, 1))
        centers = middle + slope * (np.arange(n_columns) - n_columns / 2)
        return light + _bands(centers, self.width, self.fraction * mean_level, scene.shape)


@dataclass(frozen=True)
class SecondaryBands(Layer):
    """A band next to each order: a second fibre, or an order of another grating."""

    offset: float
    width: float
    fraction: float = 0.5

    def __post_init__(self):
        check("width", self.width, 0)
        check("fraction", self.fraction, 0)

    def light(self, light, scene, mean_level):
        centers = scene.orders.center() + self.offset
        return light + _bands(centers, self.width, self.fraction * mean_level, scene.shape)


@dataclass(frozen=True)
class PartialOrder(Layer):
    """One more order above the last one, which is only partly on the detector, if at all."""

    distance: float
    width: float
    fraction: float = 1.0

    def __post_init__(self):
        check("width", self.width, 0)
        check("fraction", self.fraction, 0)

    def light(self, light, scene, mean_level):
        centers = scene.orders.center()[-1:] + self.distance
        return light + _bands(centers, self.width, self.fraction * mean_level, scene.shape)


def _bands(centers, width, level, shape):
    """Bands of light of a given width, with the blaze of the orders."""
    blaze = level * blaze_functions(*centers.shape, 1.0)
    return slit_image(shape[0], centers - width / 2, centers + width / 2, blaze, sigma=1.0, slope=0)
