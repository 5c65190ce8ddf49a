# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Profiles of the orders of a simulation: a slit, fibres, or the slices of an image slicer.

Each class draws the image of all orders between their edges; it is selected by a ``with_...``
method of `EchelleSimulation`.
"""

from dataclasses import dataclass

import numpy as np

from ccdproc_echelle._numeric.gaussians import blurred_step
from ccdproc_echelle.simulation.checks import check
from ccdproc_echelle.simulation.geometry import slit_image

__all__ = ["Fibres", "Slicer", "Slit"]

# Distance of the edges of a fibre in standard deviations: where its light falls to one hundredth.
_EDGE = np.sqrt(2 * np.log(100))


@dataclass(frozen=True)
class Slit:
    """A single slit, perpendicular to the dispersion or tilted."""

    tilt: float = 0.0  # dispersion pixels for each pixel across

    def __post_init__(self):
        check("tilt", self.tilt)

    def image(self, n_rows, lower, upper, brightness, *, sigma, slope):
        """
        Image of the orders, (n_rows, n_pixels).

        ``lower``, ``upper`` and ``brightness`` have shape (n_orders, n_pixels); ``sigma`` is the
        blur and ``slope`` the gradient of the slit illumination.
        """
        return slit_image(n_rows, lower, upper, brightness, sigma=sigma, slope=slope,
                          tilt=self.tilt)


@dataclass(frozen=True)
class Slicer:
    """Slices separated by dark gaps."""

    n: int = 3
    gap: float = 3.0

    def __post_init__(self):
        check("n", self.n, 1, integer=True)
        check("gap", self.gap, 0)

    def image(self, n_rows, lower, upper, brightness, *, sigma, slope):
        """See `Slit.image`."""
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
    """Gaussian fibres side by side; the edges are where the light of the outermost ones ends."""

    n: int = 1
    sigma: float = 1.5
    pitch: float = 6.0

    def __post_init__(self):
        check("n", self.n, 1, integer=True)
        for name in ("sigma", "pitch"):
            check(name, getattr(self, name), 0.1)

    @property
    def width(self) -> float:
        """Distance between the edges in pixels."""
        return (self.n - 1) * self.pitch + 2 * _EDGE * self.sigma

    def image(self, n_rows, lower, upper, brightness, *, sigma, slope):
        """See `Slit.image`; a fibre has neither blur nor slope of its own."""
        sides = np.arange(n_rows + 1)[:, np.newaxis] - 0.5
        scale, middle = (upper - lower) / self.width, 0.5 * (lower + upper)
        image = np.zeros((n_rows, lower.shape[1]))
        for offset in self.pitch * (np.arange(self.n) - (self.n - 1) / 2):
            for one, center, light in zip(scale, middle, brightness, strict=True):
                below = blurred_step((sides - center - one * offset) / (one * self.sigma))
                area = light * one * self.sigma * np.sqrt(2 * np.pi)
                image += area * np.diff(below, axis=0)
        return image
