# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What the orders of a simulation are images of: a slit, fibres, or the slices of an image slicer.

Each class draws the image of all orders between their edges; it comes on by one ``with_...`` method
of `EchelleSimulation`.
"""

from dataclasses import dataclass

import numpy as np

from ccdproc_echelle._numeric.gaussians import blurred_step
from ccdproc_echelle.simulation.checks import check
from ccdproc_echelle.simulation.geometry import slit_image

__all__ = ["Fibres", "Slicer", "Slit"]

# Edges of a fibre in standard deviations: where its light has fallen to a hundredth.
_EDGE = np.sqrt(2 * np.log(100))


@dataclass(frozen=True)
class Slit:
    """One slit, at right angles to the dispersion or tilted."""

    tilt: float = 0.0  # dispersion pixels for each pixel across

    def __post_init__(self):
        check("tilt", self.tilt)

    def image(self, n_rows, lower, upper, brightness, *, sigma, slope):
        """
        Image of the orders, (n_rows, n_pixels).

        ``lower``, ``upper`` and ``brightness`` have shape (n_orders, n_pixels); ``sigma`` is the
        blur and ``slope`` the rise of the slit illumination.
        """
        return slit_image(n_rows, lower, upper, brightness, sigma=sigma, slope=slope,
                          tilt=self.tilt)


@dataclass(frozen=True)
class Slicer:
    """Slices with dark gaps between them."""

    n: int = 3
    gap: float = 3.0

    def __post_init__(self):
        check("n", self.n, 1, integer=True)
        check("gap", self.gap, 0)

    def image(self, n_rows, lower, upper, brightness, *, sigma, slope):
        """As of a `Slit`."""
        step = (upper - lower + self.gap) / self.n
        if (step <= self.gap).any():
            raise ValueError(
                f"gap: {self.n} slices with gaps of {self.gap} pixels do not fit in an order of "
                f"{(upper - lower).min():.1f}"
            )
        return sum(
            slit_image(n_rows, lower + k * step, lower + (k + 1) * step - self.gap, brightness,
                       sigma=sigma, slope=slope)
            for k in range(self.n)
        )


@dataclass(frozen=True)
class Fibres:
    """Fibres side by side, each a Gaussian; the edges are where the outermost ones end."""

    n: int = 1
    sigma: float = 1.5
    pitch: float = 6.0

    def __post_init__(self):
        check("n", self.n, 1, integer=True)
        for name in ("sigma", "pitch"):
            check(name, getattr(self, name), 0.1)

    @property
    def width(self) -> float:
        """From edge to edge, in pixel."""
        return (self.n - 1) * self.pitch + 2 * _EDGE * self.sigma

    def image(self, n_rows, lower, upper, brightness, *, sigma, slope):
        """As of a `Slit`; a fibre has neither blur nor slope of its own."""
        sides = np.arange(n_rows + 1)[:, np.newaxis] - 0.5
        scale, middle = (upper - lower) / self.width, 0.5 * (lower + upper)
        image = np.zeros((n_rows, lower.shape[1]))
        for offset in self.pitch * (np.arange(self.n) - (self.n - 1) / 2):
            for one, center, light in zip(scale, middle, brightness, strict=True):
                below = blurred_step((sides - center - one * offset) / (one * self.sigma))
                area = light * one * self.sigma * np.sqrt(2 * np.pi)
                image += area * np.diff(below, axis=0)
        return image
