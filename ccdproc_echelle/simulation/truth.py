# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The quantities from which frames are made: every term of their equation."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ccdproc_echelle.orders import EchelleOrderTable
from ccdproc_echelle.simulation.checks import check
from ccdproc_echelle.simulation.geometry import blaze_functions
from ccdproc_echelle.simulation.layers import ColorDrift, Drift, LevelSpread
from ccdproc_echelle.simulation.scene import WINDOW

__all__ = ["EchelleTruth"]


@dataclass(frozen=True)
class EchelleTruth:
    """
    The quantities from which the frames of an `EchelleSimulation` are made.

    ``frame_i = bias + dark + level_i * drift_i * color_i * (flat + pixel_response *
    scattered_light)``, to which noise, cosmic rays and bad pixels are added. Quantities of the
    instrument are read-only attributes, computed once; those of each frame are methods that take
    the number of frames.

    Normalisation: the mean of `flat` over the inner-order pixels of a 10-pixel window is 1,
    excluding dead pixels; `levels` are in adu and correspond to it. For measurements with a
    different window, use `normalized_flat` and `levels` with that window.

    Parameters
    ----------
    simulation : `EchelleSimulation`
        The simulation; its truth is available as ``simulation.truth``.
    """

    simulation: Any  # an `EchelleSimulation`, whose module imports this one

    # The public images are the private ones oriented like the detector; in the private ones the
    # orders run along the rows.

    @cached_property
    def orders(self) -> EchelleOrderTable:
        """Order centres and half-maximum edges."""
        orders = self.simulation._scene.orders
        return orders if self.simulation.dispersion_axis == 1 else orders.transposed()

    @cached_property
    def flat(self) -> np.ndarray:
        """Dimensionless master flat of a perfect reduction, without scattered light."""
        return _locked(self.normalized_flat(WINDOW))

    @cached_property
    def blaze(self) -> np.ndarray:
        """Blaze of each order, in units of `flat`, shape (n_orders, n_pixels)."""
        return _locked(self._blaze / self._mean_level(WINDOW))

    @cached_property
    def slit_profile(self) -> np.ndarray:
        """Image of the slit illumination: 1 at the order centres, 0 between the orders."""
        return self._public(self._slit_image(np.ones_like(self._blaze)))

    @cached_property
    def pixel_response(self) -> np.ndarray:
        """Image of the pixel response, including dust and dead pixels; 1 on average elsewhere."""
        return self._public(self._response)

    @cached_property
    def dead_pixels(self) -> np.ndarray:
        """Bool image of the dead pixels."""
        return self._public(self._dead)

    @cached_property
    def scattered_light(self) -> np.ndarray:
        """Image of the scattered light before the pixel response, in units of `flat`."""
        return self._public(self._diffuse_light / self._mean_level(WINDOW))

    def normalized_flat(self, window: float) -> np.ndarray:
        """
        `flat`, normalised over the inner-order pixels of a different window.

        Parameters
        ----------
        window : float
            Full width of the inner-order window in pixels.
        """
        return self.simulation._turned(self._flat / self._mean_level(window))

    def levels(self, n: int, *, window: float = WINDOW) -> np.ndarray:
        """
        Exposure level of each of the first n flats, in adu.

        Parameters
        ----------
        n : int
            Number of frames.
        window : float
            Window of the `normalized_flat` to which the levels correspond.
        """
        check("n", n, 0, integer=True)
        sim, spread = self.simulation, LevelSpread(self.simulation.level_spread)
        exposures = [sim._exposure("flat", i) for i in range(n)]
        relative = [spread.level(sim._scene, exposure) for exposure in exposures]
        return np.array(relative) * self._mean_level(window)

    def drift(self, n: int) -> np.ndarray:
        """Illumination across the detector of each of the first n flats, (n, rows, columns)."""
        return self._stack(Drift(self.simulation.drift).plane, n)

    def color(self, n: int) -> np.ndarray:
        """Relative level of the orders of each of the first n flats, (n, rows, columns)."""
        return self._stack(ColorDrift(self.simulation.color_drift).color, n)

    def cosmic_rays(self, n: int) -> np.ndarray:
        """Pixels hit by cosmic rays in each of the first n flats, bool (n, rows, columns)."""
        return self._stack(self.simulation.cosmic_rays.hits, n)

    def bad_pixels(self, n: int) -> np.ndarray:
        """Masked bad pixels of each of the first n flats, bool (n, rows, columns)."""
        return self._stack(self.simulation.bad_pixels.places, n)

    def noiseless_flats(self, n: int) -> np.ndarray:
        """Expected values of the first n flats in adu, without cosmic rays and bad pixels."""
        return self._stack(lambda scene, exposure: self._pedestal + self._counts(exposure), n)

    # ---------------------------------------------------------------------------- insides

    def _public(self, image):
        return _locked(self.simulation._turned(image))

    def _stack(self, image, n):
        check("n", n, 1, integer=True)
        sim = self.simulation
        exposures = [sim._exposure("flat", i) for i in range(n)]
        return np.stack([sim._turned(image(sim._scene, exposure)) for exposure in exposures])

    @cached_property
    def _blaze(self):
        sim = self.simulation
        blaze = sim.peak * blaze_functions(sim.n_orders, sim._row_shape[1], sim.brightness_ratio)
        for layer in sim._layers:
            blaze = layer.blaze(blaze, sim._scene)
        return blaze

    def _slit_image(self, brightness):
        sim, orders = self.simulation, self.simulation._scene.orders
        return sim.order_profile.image(
            sim._row_shape[0], orders.lower(), orders.upper(), brightness,
            sigma=sim.psf_sigma, slope=sim.slit_slope,
        )

    @cached_property
    def _dead(self):
        return self.simulation.dead_pixels.places(self.simulation._scene)

    def _mean_level(self, window):
        """Mean of the flat in adu over the inner-order pixels that are not dead."""
        inner = self.simulation._scene.orders.inner_mask(window)
        return self._flat[inner & ~self._dead].mean()

    # The stages of the frame equation, one after the other; see the module of the layers.

    @cached_property
    def _response(self):
        response = np.ones(self.simulation._row_shape)
        for layer in self.simulation._layers:
            response = layer.response(response, self.simulation._scene)
        return response

    @cached_property
    def _flat(self):
        """The flat in adu at mean level."""
        return self._slit_image(self._blaze) * self._response

    @cached_property
    def _diffuse_light(self):
        """Light in addition to that of the orders, in adu at mean level."""
        light, mean_level = np.zeros(self.simulation._row_shape), self._mean_level(WINDOW)
        for layer in self.simulation._layers:
            light = layer.light(light, self.simulation._scene, mean_level)
        return light

    @cached_property
    def _light(self):
        """All light in adu at mean level."""
        return _locked(self._flat + self._response * self._diffuse_light)

    def _illuminated(self, exposure):
        """The light of a flat in adu."""
        light = self._light
        for layer in self.simulation._layers:
            light = layer.illumination(light, self.simulation._scene, exposure)
        return light

    def _counts(self, exposure):
        """Expected counts of a frame above the pedestal."""
        is_flat = exposure.kind == "flat"
        counts = self._illuminated(exposure) if is_flat else np.zeros(self.simulation._row_shape)
        for layer in self.simulation._layers:
            counts = layer.counts(counts, self.simulation._scene, exposure)
        return counts

    @cached_property
    def _pedestal(self):
        """Offset added to every frame, a number or an image."""
        pedestal = 0.0
        for layer in self.simulation._layers:
            pedestal = layer.pedestal(pedestal, self.simulation._scene)
        return pedestal


def _locked(array):
    array.setflags(write=False)
    return array
