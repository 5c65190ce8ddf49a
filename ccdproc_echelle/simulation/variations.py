# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a simulation can be given, one ``with_...`` method each: copies that differ by it."""

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
    """The methods of `EchelleSimulation` that return another one."""

    def with_noise(self, *, gain: float = 1.0, read_noise: float = 4.0) -> Self:
        """
        Photon noise and read noise.

        Parameters
        ----------
        gain : float
            In electron per adu.
        read_noise : float
            Standard deviation in electron.
        """
        return replace(self, noise=Noise(gain, read_noise))

    def without_noise(self) -> Self:
        """Draw no noise; the uncertainties stay those of the noise model."""
        return replace(self, noise=replace(self.noise, drawn=False))

    def with_dark_end(self, fraction: float, *, fade: float = 0.2) -> Self:
        """
        A lamp, or vignetting, that leaves the end of every order without light.

        Parameters
        ----------
        fraction : float
            Part of the dispersion axis without light, at its high end.
        fade : float
            Part of the dispersion axis over which the light falls, as a parabola, to nothing.
        """
        return replace(self, dark_end=DarkEnd(fraction, fade))

    def with_faint_order(
        self, order_number: int, *, factor: float = 1e-3
    ) -> Self:
        """
        One order with hardly any light, or none.

        Parameters
        ----------
        order_number : int
            Which one.
        factor : float
            What is left of its light.

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
        Exposure levels that differ from flat to flat.

        Parameters
        ----------
        spread : float
            The levels are uniform within ``1 - spread`` to ``1 + spread`` times the mean level.
        """
        return replace(self, level_spread=spread)

    def with_drift(self, amplitude: float) -> Self:
        """
        Cross-plane illumination drift: a plane through each flat, in a random direction.

        Parameters
        ----------
        amplitude : float
            The plane falls from ``1 + amplitude`` in one corner to ``1 - amplitude`` in the
            opposite one, less the offset that makes its mean over the inner-order pixels 1.
        """
        return replace(self, drift=amplitude)

    def with_color_drift(self, amplitude: float) -> Self:
        """
        A lamp whose colour differs from flat to flat: each order has its own level.

        Parameters
        ----------
        amplitude : float
            The level falls or rises from ``1 - x`` in the first order to ``1 + x`` in the last
            one, less the offset that makes its mean over the inner-order pixels 1; ``x`` is
            uniform within ``-amplitude`` to ``amplitude``.
        """
        return replace(self, color_drift=amplitude)

    def with_scattered_light(self, fraction: float) -> Self:
        """
        A smooth surface of scattered light.

        Parameters
        ----------
        fraction : float
            Mean of the scattered light over the mean of the flat, both over the inner-order
            pixels.
        """
        return replace(self, scattered_light=fraction)

    def with_dust(
        self, n: int, *, radius: float = 4.0, depth: float = 0.25
    ) -> Self:
        """
        Round shadows centred at random inside the orders; part of the pixel response.

        Parameters
        ----------
        n : int
            Number of grains.
        radius : float
            In pixels.
        depth : float
            Fraction of the light that a grain takes.
        """
        return replace(self, dust=Dust(n, radius, depth))

    def with_dead_pixels(self, n: int, *, max_response: float = 0.2) -> Self:
        """
        Pixels inside the orders that hardly respond; part of the pixel response, not masked.

        Parameters
        ----------
        n : int
            Number of pixels.
        max_response : float
            Their response is uniform between 0 and this.
        """
        return replace(self, dead_pixels=DeadPixels(n, max_response))

    def with_bad_pixels(self, n: int, *, value: float = float(MAX_RAW)) -> Self:
        """
        Pixels that hold a wrong value and are masked, at other places in each flat.

        Parameters
        ----------
        n : int
            Number of pixels per frame.
        value : float
            What they hold, in adu; NaN is possible.
        """
        return replace(self, bad_pixels=BadPixels(n, value))

    def with_cosmic_rays(
        self, n: int, *, amplitude: float = 50.0, length: int = 1
    ) -> Self:
        """
        Cosmic rays at random places of each flat.

        Parameters
        ----------
        n : int
            Number per frame.
        amplitude : float
            What each pixel that is hit gains, in standard deviations of its own noise.
        length : int
            Each is a straight track of 1 to ``length`` pixels.
        """
        return replace(self, cosmic_rays=CosmicRays(n, amplitude, length))

    def with_bias(self, level: float) -> Self:
        """
        A bias pedestal.

        Parameters
        ----------
        level : float
            In adu.
        """
        return replace(self, bias=level)

    def with_dark_current(self, rate: float) -> Self:
        """
        A dark current in flats and darks.

        Parameters
        ----------
        rate : float
            In electron per second and pixel.
        """
        return replace(self, dark_current=rate)

    def with_fibres(
        self, n: int = 1, *, sigma: float = 1.5, pitch: float = 6.0
    ) -> Self:
        """
        Orders that are images of fibres, Gaussians, instead of that of a slit.

        This sets ``order_width``: the edges are where the light of the outermost fibres has fallen
        to a hundredth of its height. ``psf_sigma`` and ``slit_slope`` have no effect.

        Parameters
        ----------
        n : int
            Fibres of each order.
        sigma : float
            Standard deviation of the image of a fibre, in pixels.
        pitch : float
            Distance of the fibres in pixels.
        """
        profile = Fibres(n, sigma, pitch)
        return replace(self, order_profile=profile, order_width=profile.width)

    def with_slicer(self, n: int = 3, *, gap: float = 3.0) -> Self:
        """
        Orders that are the slices of an image slicer; the edges are those of the outermost ones.

        Parameters
        ----------
        n : int
            Slices of each order.
        gap : float
            Dark pixels between two slices.
        """
        return replace(self, order_profile=Slicer(n, gap))

    def with_tilted_slit(self, tilt: float) -> Self:
        """
        A slit that is not at right angles to the dispersion.

        Parameters
        ----------
        tilt : float
            Dispersion pixels by which its image moves for each pixel across.
        """
        return replace(self, order_profile=Slit(tilt))

    def with_fixed_pattern(
        self, *, rows: float = 0.0, columns: float = 0.0, ripple: float = 0.0, period: float = 8.0
    ) -> Self:
        """
        A pattern of the readout, the same in every frame.

        Parameters
        ----------
        rows, columns : float
            Standard deviation, in adu, of what whole lines of pixels along the dispersion, and
            across it, are off.
        ripple, period : float
            Amplitude, in adu, and period, in pixels, of a wave across the dispersion.
        """
        return self.with_layer(FixedPattern(rows, columns, ripple, period))

    def with_bias_step(self, *, rows: float = 0.0, columns: float = 0.0) -> Self:
        """
        Amplifiers whose biases differ.

        Parameters
        ----------
        rows, columns : float
            By how much, in adu, the bias is higher in the upper half of the detector, and in the
            half of higher dispersion pixels.
        """
        return self.with_layer(BiasStep(rows, columns))

    def with_dark_border(self, n: int = 4) -> Self:
        """
        Reference pixels: lines along the dispersion, at both borders, without light.

        Parameters
        ----------
        n : int
            Number of lines at each border.
        """
        return self.with_layer(DarkBorder(n))

    def with_bad_lines(
        self, *, rows: tuple = (), columns: tuple = (), value: float = 0.0
    ) -> Self:
        """
        Dead or hot lines of pixels, not masked.

        Parameters
        ----------
        rows, columns : tuple of int
            Lines along the dispersion, and across it.
        value : float
            What their pixels hold, in adu.
        """
        return self.with_layer(BadLines(tuple(rows), tuple(columns), value))

    def with_short_orders(self, ranges: dict) -> Self:
        """
        Orders with light in a part of their length only.

        Parameters
        ----------
        ranges : dict of int to tuple of int
            First and last dispersion pixel with light, by order number.
        """
        return self.with_layer(ShortOrders(tuple((m, *ends) for m, ends in ranges.items())))

    def with_vignetting(self, strength: float) -> Self:
        """
        Light that falls from the middle of the detector to its corners.

        Parameters
        ----------
        strength : float
            Part of the light that is lost in the corners.
        """
        return self.with_layer(Vignetting(strength))

    def with_fringes(
        self, amplitude: float = 0.15, *, period: float = 9.0, slope: float = 0.3
    ) -> Self:
        """
        Fringes; part of the pixel response.

        Parameters
        ----------
        amplitude : float
            Relative.
        period : float
            In dispersion pixels.
        slope : float
            Dispersion pixels by which they move for each pixel across.
        """
        return self.with_layer(Fringes(amplitude, period, slope))

    def with_ghosts(
        self, n: int = 1, *, width: float = 10.0, fraction: float = 0.02
    ) -> Self:
        """
        Reflections: bands of light at random places that run across the orders.

        Parameters
        ----------
        n : int
            Number of bands.
        width : float
            In pixels.
        fraction : float
            Their peak in units of the mean of the flat over the inner-order pixels.
        """
        return self.with_layer(Ghosts(n, width, fraction))

    def with_secondary_bands(
        self, offset: float, width: float, *, fraction: float = 0.5
    ) -> Self:
        """
        A band of light beside each order.

        Parameters
        ----------
        offset, width : float
            Distance from the order centre, and width, in pixels.
        fraction : float
            Its blaze peak in units of the mean of the flat over the inner-order pixels.
        """
        return self.with_layer(SecondaryBands(offset, width, fraction))

    def with_partial_order(
        self, distance: float, width: float, *, fraction: float = 1.0
    ) -> Self:
        """
        One more order above the last one; the border of the detector cuts it where it comes.

        The truth does not list it.

        Parameters
        ----------
        distance, width : float
            Distance from the centre of the last order, and width, in pixels.
        fraction : float
            Its blaze peak in units of the mean of the flat over the inner-order pixels.
        """
        return self.with_layer(PartialOrder(distance, width, fraction))

    def with_layer(self, layer: Layer) -> Self:
        """
        One more layer.

        Parameters
        ----------
        layer : ``ccdproc_echelle.simulation.layers.Layer``
            It acts after the others at each stage of the frame equation. It takes the place of an
            earlier one of its class.
        """
        others = tuple(other for other in self.layers if type(other) is not type(layer))
        return replace(self, layers=(*others, layer))
