# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Methods ``with_...`` of a simulation, each of which returns a modified copy."""

from dataclasses import replace
from typing import Self

from ccdproc_echelle.simulation.checks import check
from ccdproc_echelle.simulation.flaws import (
    BadLines,
    BiasStep,
    DarkBorder,
    FixedPattern,
    Fringes,
    Ghosts,
    PartialOrder,
    SecondaryBands,
    ShortOrders,
    Vignetting,
)
from ccdproc_echelle.simulation.layers import (
    MAX_RAW,
    BadPixels,
    CosmicRays,
    DarkEnd,
    DeadPixels,
    Dust,
    FaintOrder,
    Layer,
)
from ccdproc_echelle.simulation.noise import Noise
from ccdproc_echelle.simulation.profiles import Fibres, Slicer, Slit

__all__ = ["Variations"]


class Variations:
    """Methods of `EchelleSimulation` that return a modified copy."""

    def with_noise(self, *, gain: float = 1.0, read_noise: float = 4.0) -> Self:
        """
        Set the photon noise and read noise.

        Parameters
        ----------
        gain : float
            Gain in electrons per adu.
        read_noise : float
            Standard deviation in electrons.
        """
        return replace(self, noise=Noise(gain, read_noise))

    def without_noise(self) -> Self:
        """Switch off the noise; the uncertainties are still those of the noise model."""
        return replace(self, noise=replace(self.noise, drawn=False))

    def with_dark_end(self, fraction: float, *, fade: float = 0.2) -> Self:
        """
        Add a lamp, or vignetting, that leaves the end of every order without light.

        Parameters
        ----------
        fraction : float
            Fraction of the dispersion axis without light, at its high end.
        fade : float
            Fraction of the dispersion axis over which the light falls to zero, as a parabola.
        """
        return replace(self, dark_end=DarkEnd(fraction, fade))

    def with_faint_order(self, order_number: int, *, factor: float = 1e-3) -> Self:
        """
        Make one order very faint or completely dark.

        Parameters
        ----------
        order_number : int
            The order.
        factor : float
            Fraction of its light that remains.

        Raises
        ------
        ValueError
            If there is no such order.
        """
        check("order_number", order_number, self.first_order, self.first_order + self.n_orders - 1,
              integer=True)
        return replace(self, faint_order=FaintOrder(order_number, factor))

    def with_level_spread(self, spread: float) -> Self:
        """
        Vary the exposure level from flat to flat.

        Parameters
        ----------
        spread : float
            Levels are uniformly distributed from ``1 - spread`` to ``1 + spread`` times the mean
            level.
        """
        return replace(self, level_spread=spread)

    def with_drift(self, amplitude: float) -> Self:
        """
        Add an illumination drift: a plane that multiplies each flat, in a random direction.

        Parameters
        ----------
        amplitude : float
            The plane falls from ``1 + amplitude`` in one corner to ``1 - amplitude`` in the
            opposite one, minus the offset that makes its mean over the inner-order pixels 1.
        """
        return replace(self, drift=amplitude)

    def with_color_drift(self, amplitude: float) -> Self:
        """
        Vary the colour of the lamp from flat to flat, so that each order has its own level.

        Parameters
        ----------
        amplitude : float
            The level varies from ``1 - x`` in the first order to ``1 + x`` in the last one, minus
            the offset that makes its mean over the inner-order pixels 1; ``x`` is uniformly
            distributed from ``-amplitude`` to ``amplitude``.
        """
        return replace(self, color_drift=amplitude)

    def with_scattered_light(self, fraction: float) -> Self:
        """
        Add a smooth surface of scattered light.

        Parameters
        ----------
        fraction : float
            Mean of the scattered light relative to the mean of the flat, both over the inner-order
            pixels.
        """
        return replace(self, scattered_light=fraction)

    def with_dust(self, n: int, *, radius: float = 4.0, depth: float = 0.25) -> Self:
        """
        Add round shadows at random positions inside the orders; part of the pixel response.

        Parameters
        ----------
        n : int
            Number of grains.
        radius : float
            Radius in pixels.
        depth : float
            Fraction of the light that a grain absorbs.
        """
        return replace(self, dust=Dust(n, radius, depth))

    def with_dead_pixels(self, n: int, *, max_response: float = 0.2) -> Self:
        """
        Add pixels inside the orders that hardly respond; part of the pixel response, not masked.

        Parameters
        ----------
        n : int
            Number of pixels.
        max_response : float
            Their response is uniformly distributed between 0 and this.
        """
        return replace(self, dead_pixels=DeadPixels(n, max_response))

    def with_bad_pixels(self, n: int, *, value: float = float(MAX_RAW)) -> Self:
        """
        Add pixels with a wrong value that are masked, at different positions in each flat.

        Parameters
        ----------
        n : int
            Number of pixels per frame.
        value : float
            Their value in adu; NaN is possible.
        """
        return replace(self, bad_pixels=BadPixels(n, value))

    def with_cosmic_rays(self, n: int, *, amplitude: float = 50.0, length: int = 1) -> Self:
        """
        Add cosmic rays at random positions of each flat.

        Parameters
        ----------
        n : int
            Number of cosmic rays per frame.
        amplitude : float
            Signal added to each affected pixel, in standard deviations of its own noise.
        length : int
            Each cosmic ray is a straight track of 1 to ``length`` pixels.
        """
        return replace(self, cosmic_rays=CosmicRays(n, amplitude, length))

    def with_bias(self, level: float) -> Self:
        """
        Add a bias level.

        Parameters
        ----------
        level : float
            Level in adu.
        """
        return replace(self, bias=level)

    def with_dark_current(self, rate: float) -> Self:
        """
        Add a dark current in flats and darks.

        Parameters
        ----------
        rate : float
            Rate in electrons per second and pixel.
        """
        return replace(self, dark_current=rate)

    def with_fibres(self, n: int = 1, *, sigma: float = 1.5, pitch: float = 6.0) -> Self:
        """
        Make the orders images of Gaussian fibres instead of a slit.

        This sets ``order_width``: the edges are where the light of the outermost fibres has fallen
        to a hundredth of its peak. ``psf_sigma`` and ``slit_slope`` have no effect.

        Parameters
        ----------
        n : int
            Number of fibres in each order.
        sigma : float
            Standard deviation of the image of a fibre, in pixels.
        pitch : float
            Distance between fibres in pixels.
        """
        profile = Fibres(n, sigma, pitch)
        return replace(self, order_profile=profile, order_width=profile.width)

    def with_slicer(self, n: int = 3, *, gap: float = 3.0) -> Self:
        """
        Make the orders the slices of an image slicer; the edges are those of the outermost slices.

        Parameters
        ----------
        n : int
            Number of slices in each order.
        gap : float
            Number of dark pixels between two slices.
        """
        return replace(self, order_profile=Slicer(n, gap))

    def with_tilted_slit(self, tilt: float) -> Self:
        """
        Tilt the slit with respect to the cross-dispersion direction.

        Parameters
        ----------
        tilt : float
            Shift of its image in dispersion pixels per pixel across.
        """
        return replace(self, order_profile=Slit(tilt))

    def with_fixed_pattern(
        self, *, rows: float = 0.0, columns: float = 0.0, ripple: float = 0.0, period: float = 8.0
    ) -> Self:
        """
        Add a read-out pattern that is the same in every frame.

        Parameters
        ----------
        rows, columns : float
            Standard deviation, in adu, of the offsets of lines of pixels along the dispersion, and
            across it.
        ripple, period : float
            Amplitude, in adu, and period, in pixels, of a wave across the dispersion.
        """
        return self.with_layer(FixedPattern(rows, columns, ripple, period))

    def with_bias_step(self, *, rows: float = 0.0, columns: float = 0.0) -> Self:
        """
        Add steps between amplifiers with different bias levels.

        Parameters
        ----------
        rows, columns : float
            Difference in adu by which the bias is higher in the upper half of the detector, and in
            the half of higher dispersion pixels.
        """
        return self.with_layer(BiasStep(rows, columns))

    def with_dark_border(self, n: int = 4) -> Self:
        """
        Add reference pixels: lines along the dispersion, at both borders, without light.

        Parameters
        ----------
        n : int
            Number of lines at each border.
        """
        return self.with_layer(DarkBorder(n))

    def with_bad_lines(self, *, rows: tuple = (), columns: tuple = (), value: float = 0.0) -> Self:
        """
        Add dead or hot lines of pixels, which are not masked.

        Parameters
        ----------
        rows, columns : tuple of int
            Lines along the dispersion, and across it.
        value : float
            Value of their pixels in adu.
        """
        return self.with_layer(BadLines(tuple(rows), tuple(columns), value))

    def with_short_orders(self, ranges: dict) -> Self:
        """
        Restrict the light of some orders to a part of their length.

        Parameters
        ----------
        ranges : dict of int to tuple of int
            First and last dispersion pixel with light, by order number.
        """
        return self.with_layer(ShortOrders(tuple((m, *ends) for m, ends in ranges.items())))

    def with_vignetting(self, strength: float) -> Self:
        """
        Add vignetting: light that decreases from the middle of the detector to its corners.

        Parameters
        ----------
        strength : float
            Fraction of the light that is lost in the corners.
        """
        return self.with_layer(Vignetting(strength))

    def with_fringes(
        self, amplitude: float = 0.15, *, period: float = 9.0, slope: float = 0.3
    ) -> Self:
        """
        Add fringes; part of the pixel response.

        Parameters
        ----------
        amplitude : float
            Relative amplitude.
        period : float
            Period in dispersion pixels.
        slope : float
            Shift in dispersion pixels per pixel across.
        """
        return self.with_layer(Fringes(amplitude, period, slope))

    def with_ghosts(self, n: int = 1, *, width: float = 10.0, fraction: float = 0.02) -> Self:
        """
        Add reflections: bands of light at random positions that run across the orders.

        Parameters
        ----------
        n : int
            Number of bands.
        width : float
            Width in pixels.
        fraction : float
            Their peak in units of the mean of the flat over the inner-order pixels.
        """
        return self.with_layer(Ghosts(n, width, fraction))

    def with_secondary_bands(self, offset: float, width: float, *, fraction: float = 0.5) -> Self:
        """
        Add a band of light next to each order.

        Parameters
        ----------
        offset, width : float
            Distance from the order centre and width, in pixels.
        fraction : float
            Its blaze peak in units of the mean of the flat over the inner-order pixels.
        """
        return self.with_layer(SecondaryBands(offset, width, fraction))

    def with_partial_order(self, distance: float, width: float, *, fraction: float = 1.0) -> Self:
        """
        Add an order above the last one, which the border of the detector may cut.

        It is not listed in the truth.

        Parameters
        ----------
        distance, width : float
            Distance from the centre of the last order and width, in pixels.
        fraction : float
            Its blaze peak in units of the mean of the flat over the inner-order pixels.
        """
        return self.with_layer(PartialOrder(distance, width, fraction))

    def with_layer(self, layer: Layer) -> Self:
        """
        Add a user-defined layer.

        Parameters
        ----------
        layer : ``ccdproc_echelle.simulation.layers.Layer``
            The layer, which acts after the others at each stage of the frame equation. It replaces
            any earlier layer of the same class.
        """
        others = tuple(other for other in self.layers if type(other) is not type(layer))
        return replace(self, layers=(*others, layer))
