# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Information passed to a layer: the instrument it belongs to, and the exposure it acts on."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ccdproc_echelle.orders import EchelleOrderTable
from ccdproc_echelle.simulation.geometry import plane_axes
from ccdproc_echelle.simulation.noise import Noise

__all__ = ["WINDOW", "Exposure", "Scene"]

WINDOW = 10  # default window over which the truth is normalised


class Exposure(NamedTuple):
    """One frame: its kind (flat, dark or bias), its index among them, and its time in seconds."""

    kind: str
    index: int
    time: float


@dataclass(frozen=True, eq=False)
class Scene:
    """The instrument, oriented so that its orders run along the rows."""

    orders: EchelleOrderTable
    noise: Noise
    seed: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.orders.shape

    def rng(self, stream: int, index: int = 0) -> np.random.Generator:
        """Random numbers of a stream; the index is that of the frame if each has its own."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(stream, index)))

    @cached_property
    def inside(self) -> np.ndarray:
        """Pixels inside the orders."""
        return self.orders.order_map() > 0

    @cached_property
    def inner(self) -> np.ndarray:
        """Inner-order pixels of the window over which the truth is normalised."""
        return self.orders.inner_mask(WINDOW)

    @cached_property
    def plane(self) -> list[np.ndarray]:
        """Row and column from -1 to 1, broadcastable, minus their means over the inner orders."""
        return [
            x - np.broadcast_to(x, self.shape)[self.inner].mean() for x in plane_axes(self.shape)
        ]

    @cached_property
    def order_side(self) -> np.ndarray:
        """Nearest order from -1 to 1, minus the mean over the inner-order pixels."""
        centers = self.orders.center()
        row = np.arange(self.shape[0])[:, np.newaxis]
        nearest = sum((row > middle for middle in (centers[1:] + centers[:-1]) / 2), 0 * row)
        side = np.linspace(-1, 1, len(centers))[np.broadcast_to(nearest, self.shape)]
        return side - side[self.inner].mean()
