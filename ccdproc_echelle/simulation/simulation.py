# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Simulated echelle flats with known truth, for tests, examples and benchmarks.

A frame is built from the truth, and never the truth from a frame::

    frame_i = bias + dark + level_i * drift_i * color_i * (flat + pixel_response * scattered_light)
    flat    = blaze * slit_profile * pixel_response

in adu. Photon noise and read noise are then drawn, cosmic rays are added and bad pixels are
overwritten. `EchelleSimulation` holds the parameters, `EchelleTruth` every term of the equation.

Everything is computed with the orders along the rows, and transposed at the end if the orders run
along the columns, so that the two dispersion axes are exact transposes of each other.

Each layer draws itself: to add one, write a class in ``layers`` or ``flaws``, and a ``with_...``
method in ``variations``.
"""

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from astropy.nddata import CCDData

from ccdproc_echelle.orders import EchelleOrderTable
from ccdproc_echelle.simulation.checks import check
from ccdproc_echelle.simulation.drawing import random_simulation
from ccdproc_echelle.simulation.exposing import expose
from ccdproc_echelle.simulation.geometry import order_traces
from ccdproc_echelle.simulation.layers import (
    BadPixels,
    Bias,
    ColorDrift,
    CosmicRays,
    DarkCurrent,
    DarkEnd,
    DeadPixels,
    Drift,
    Dust,
    FaintOrder,
    Layer,
    LevelSpread,
    PixelResponse,
    ScatteredLight,
)
from ccdproc_echelle.simulation.layouts import RawLayout, layout_named
from ccdproc_echelle.simulation.nights import SimulatedNight, write_night
from ccdproc_echelle.simulation.noise import NOISE_STREAMS, Noise
from ccdproc_echelle.simulation.profiles import Fibres, Slicer, Slit
from ccdproc_echelle.simulation.scene import Exposure, Scene
from ccdproc_echelle.simulation.truth import EchelleTruth
from ccdproc_echelle.simulation.variations import Variations
from ccdproc_echelle.simulation.writing import write_frames

__all__ = ["EchelleSimulation"]


@dataclass(frozen=True, kw_only=True)
class EchelleSimulation(Variations):
    """
    Echelle flats, darks and biases with known truth.

    Simulations are immutable: each ``with_...`` method returns a new simulation, so calls can be
    chained. They are also reproducible: the frames depend only on the parameters, frame ``i`` does
    not depend on how many frames are requested, and each layer draws from its own random stream.
    Layers that do not change the light (bias, cosmic rays, bad pixels) therefore do not change the
    noise either; if a layer changes the light, the photon noise of the whole frame is drawn anew.

    By default the frames have photon noise, read noise and a pixel response; everything else is
    enabled by a method.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the detector.
    n_orders : int
        Number of orders.
    dispersion_axis : int
        1 when orders run along image rows, 0 when along columns. The transposed shape with the
        other axis gives the transposed frames, including noise.
    seed : int
        Seed of all random streams.
    first_order : int
        Number of the order at the lowest row (column); numbers increase from there.
    order_width : float, optional
        Mean width of an order in pixels, between its half-maximum edges. It varies by about 8 %
        over the detector. Default: 0.36 of the space available to an order.
    smallest_gap : float, optional
        Minimum number of pixels between the edges of neighbouring orders. Default: six times
        ``psf_sigma`` plus one, so that the light of neighbours does not mix.
    psf_sigma : float
        Blur of the slit image: standard deviation of a Gaussian, in pixels.
    tilt, curvature : float
        Slope and bow of the orders from the middle to the ends, as fractions of the
        cross-dispersion size of the detector.
    slit_slope : float
        Relative increase of the slit illumination from the middle of the slit to its upper end. The
        signal at an edge is half of the illumination there.
    cut_orders : bool
        Whether the first order is cut by the border of the detector. Its lower edge is then at most
        0.3 of the order width off the detector, its centre always on it.
    peak : float
        Signal in adu at the blaze peak of the brightest order (the first one) at mean level.
    brightness_ratio : float
        Brightness of the first order relative to the last one.
    pixel_response : float
        Standard deviation of the pixel response.
    exposure_time : float
        Exposure time in seconds.
    noise, dark_end, faint_order, level_spread, drift, color_drift, scattered_light, dust, \
dead_pixels, bad_pixels, cosmic_rays, bias, dark_current, order_profile
        The layers, set by the methods of the same names.
    layers : tuple
        Further layers, in the order in which they act; see `with_layer`.

    Raises
    ------
    ValueError
        If a parameter is out of range, or the orders do not fit on the detector.

    Examples
    --------
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> sim = EchelleSimulation(shape=(256, 300), n_orders=4, seed=1)
    >>> sim = sim.with_level_spread(0.35).with_drift(0.03).with_cosmic_rays(20)
    >>> frames = sim.flats(3)
    >>> frames[0].unit, frames[0].shape, frames[0].header["IMAGETYP"]
    (Unit("adu"), (256, 300), 'FLAT')
    >>> sim.truth.orders.order_numbers.tolist()
    [11, 12, 13, 14]
    >>> inner = sim.truth.orders.inner_mask(10)
    >>> print(f"{sim.truth.flat[inner].mean():.6f}")
    1.000000
    """

    shape: tuple[int, int] = (1024, 1024)
    n_orders: int = 12
    dispersion_axis: int = 1
    seed: int = 0
    first_order: int = 11
    order_width: float | None = None
    smallest_gap: float | None = None
    psf_sigma: float = 1.0
    tilt: float = 0.01
    curvature: float = 0.02
    slit_slope: float = 0.0
    cut_orders: bool = False
    peak: float = 20000.0
    brightness_ratio: float = 10.0
    pixel_response: float = 0.01
    exposure_time: float = 10.0
    noise: Noise = field(default=Noise())
    dark_end: DarkEnd = field(default=DarkEnd())
    faint_order: FaintOrder = field(default=FaintOrder())
    level_spread: float = 0.0
    drift: float = 0.0
    color_drift: float = 0.0
    scattered_light: float = 0.0
    dust: Dust = field(default=Dust())
    dead_pixels: DeadPixels = field(default=DeadPixels())
    bad_pixels: BadPixels = field(default=BadPixels())
    cosmic_rays: CosmicRays = field(default=CosmicRays())
    bias: float = 0.0
    dark_current: float = 0.0
    order_profile: Slit | Slicer | Fibres = field(default=Slit())
    layers: tuple[Layer, ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "shape", tuple(self.shape))
        object.__setattr__(self, "layers", tuple(self.layers))
        if len(self.shape) != 2:
            raise ValueError(f"shape must be (rows, columns), found {self.shape}")
        for size in self.shape:
            check("shape", size, 16, integer=True)
        check("n_orders", self.n_orders, 1, integer=True)
        check("dispersion_axis", self.dispersion_axis, 0, 1, integer=True)
        check("seed", self.seed, 0, integer=True)
        check("first_order", self.first_order, 1, integer=True)
        if self.order_width is not None:
            check("order_width", self.order_width, 1)
        if self.smallest_gap is not None:
            check("smallest_gap", self.smallest_gap, 0)
        check("slit_slope", self.slit_slope, -0.9, 0.9)
        check("brightness_ratio", self.brightness_ratio, 1e-6)
        for name in ("tilt", "curvature"):
            check(name, getattr(self, name))
        for name in ("psf_sigma", "peak", "exposure_time"):
            check(name, getattr(self, name), 0)
        self._check_layers()
        self._check_order_room()

    def _check_layers(self):
        streams = [stream for pair in NOISE_STREAMS.values() for stream in pair]
        for layer in self._layers:
            if not isinstance(layer, Layer):
                raise TypeError(f"layers: expected layers, found {layer!r}")
            for stream in layer.streams:
                if stream in streams:
                    name = type(layer).__name__
                    raise ValueError(f"layers: {name} draws from stream {stream}, which is taken")
                streams.append(stream)

    def _check_order_room(self):
        gap = self._gaps().min()
        if gap < self._needed_gap:
            width = self._traces()[1].mean()
            raise ValueError(
                f"order_width: {self.n_orders} orders of {width:.1f} pixels do not fit on "
                f"{self._row_shape[0]}; the gaps are {gap:.1f}, expected at least "
                f"{self._needed_gap:.1f}"
            )

    def _gaps(self):
        """Gap from each order to the next one, or to the border of the detector."""
        centers, widths = self._traces()
        n_rows = self._row_shape[0]
        border = np.ones((1, centers.shape[1]))
        first_border = -np.inf if self.cut_orders else 0.0
        lower = np.vstack([centers - widths / 2, (n_rows - 1) * border])
        upper = np.vstack([first_border * border, centers + widths / 2])
        return lower - upper

    @classmethod
    def random(cls, seed: int, *, flaws: bool = False) -> "EchelleSimulation":
        """
        Create a random spectrograph, for testing that something works with all of them.

        It has 5 to 60 orders, 4 to 60 pixels wide, along either axis, with gaps of at least 3
        pixels, straight or curved; the first order may be cut by the border. There is up to 8 %
        scattered light, and the faintest order may be a hundred times fainter than the brightest
        one.

        Parameters
        ----------
        seed : int
            Seed of the random parameters and of the simulation.
        flaws : bool
            If True, draw a realistic spectrograph and detector instead: orders of 2 to 150 pixels,
            or fibres, bundles, slices or a tilted slit, and some of the other layers: row and
            column patterns, reference pixels, dead and hot lines, partial and short orders, dark
            ends, vignetting, secondary bands, fringes, ghosts and bias steps.

        Returns
        -------
        `EchelleSimulation`

        Examples
        --------
        >>> from ccdproc_echelle.simulation import EchelleSimulation
        >>> sim = EchelleSimulation.random(1)
        >>> 5 <= sim.n_orders <= 60
        True
        >>> [type(layer).__name__ for layer in EchelleSimulation.random(0, flaws=True).layers]
        ['Ghosts']
        """
        return random_simulation(cls, seed, flaws=flaws)

    # ------------------------------------------------------------------------- the frames

    @cached_property
    def truth(self) -> "EchelleTruth":
        """`EchelleTruth` of the simulation: every quantity from which the frames are made."""
        return EchelleTruth(self)

    def flats(self, n: int, *, uncertainty: bool = True, raw: bool = False) -> list[CCDData]:
        """
        Simulate the first n flats.

        Parameters
        ----------
        n : int
            Number of frames.
        uncertainty : bool
            Whether the frames have an uncertainty: photon noise and read noise estimated from the
            observed counts.
        raw : bool
            Whether to return frames as a detector writes them: rounded uint16, without mask and
            uncertainty.

        Returns
        -------
        list of `~astropy.nddata.CCDData`
            Float32 in adu. The mask contains the bad pixels of the frame; it is None if the
            simulation has none.
        """
        return self._frames("flat", n, uncertainty=uncertainty, raw=raw)

    def darks(self, n: int, *, uncertainty: bool = True, raw: bool = False) -> list[CCDData]:
        """Simulate the first n darks, with the exposure time of the flats; see `flats`."""
        return self._frames("dark", n, uncertainty=uncertainty, raw=raw)

    def biases(self, n: int, *, uncertainty: bool = True, raw: bool = False) -> list[CCDData]:
        """Simulate the first n biases; see `flats` for the parameters."""
        return self._frames("bias", n, uncertainty=uncertainty, raw=raw)

    def write(
        self,
        folder: str | os.PathLike,
        n_flats: int,
        n_darks: int = 0,
        n_biases: int | None = None,
        *,
        layout: RawLayout | str | None = None,
        overwrite: bool = False,
    ) -> tuple[list[Path], ...]:
        """
        Write raw flats, darks and biases as FITS files, one at a time.

        Parameters
        ----------
        folder : path-like
            An existing folder.
        n_flats, n_darks, n_biases : int
            Number of frames of each kind.
        layout : `RawLayout` or str, optional
            Read-out of the detector and layout of the files, or the name of one of ``LAYOUTS``.
            Default: a single image in the primary HDU, without overscan.
        overwrite : bool
            Whether to replace existing files.

        Returns
        -------
        flats, darks, biases : list of `~pathlib.Path`
            ``flat_01.fits``, ..., ``dark_01.fits``, ... and ``bias_01.fits``, ...; the last list
            only if ``n_biases`` is given.

        Raises
        ------
        FileNotFoundError, FileExistsError
            If the folder does not exist, or a file exists and ``overwrite`` is false; nothing is
            written in that case.
        ValueError
            If there is no layout of this name.

        Examples
        --------
        >>> from tempfile import TemporaryDirectory
        >>> from astropy.io import fits
        >>> from ccdproc_echelle.simulation import EchelleSimulation
        >>> simulation = EchelleSimulation(shape=(256, 256), n_orders=4).with_bias(300)
        >>> with TemporaryDirectory() as folder:
        ...     flats, darks = simulation.write(folder, 2, layout="mef")
        ...     header = fits.getheader(flats[0], "AMP2")
        ...
        >>> header["DETSEC"], header["BIASSEC"], header["GAIN"]
        ('[256:129,1:256]', '[129:160,1:256]', 1.5)
        """
        layout = None if layout is None else layout_named(layout)
        numbers = {"flat": n_flats, "dark": n_darks}
        if n_biases is not None:
            numbers["bias"] = n_biases
        return tuple(write_frames(self, folder, numbers, layout, overwrite=overwrite))

    def write_night(
        self,
        folder: str | os.PathLike,
        *,
        n_flats: int = 4,
        n_biases: int = 3,
        layout: RawLayout | str = "overscan",
        overwrite: bool = False,
    ) -> SimulatedNight:
        """
        Write a realistic night with several set-ups as FITS files, including unusable files.

        There are flats with two filters and of a binned detector, biases of both binnings, and
        lamp-off frames. In addition there are a flat with a failed lamp, one of another instrument,
        a science frame, a truncated file and a text file. Only the headers tell which is which.

        Parameters
        ----------
        folder : path-like
            An existing folder.
        n_flats : int
            Number of good flats of each set-up.
        n_biases : int
            Number of biases of each binning, and of lamp-off frames.
        layout : `RawLayout` or str
            Read-out of the detector and layout of the files.
        overwrite : bool
            Whether to replace existing files.

        Returns
        -------
        `~ccdproc_echelle.simulation.SimulatedNight`
            The truth and the flats of each set-up, and the unusable files.

        Raises
        ------
        FileNotFoundError, FileExistsError
            If the folder does not exist, or a file exists and ``overwrite`` is false; nothing is
            written in that case.
        ValueError
            If there is no layout of this name, or a number is too small.

        Examples
        --------
        >>> from tempfile import TemporaryDirectory
        >>> from ccdproc_echelle.simulation import EchelleSimulation
        >>> simulation = EchelleSimulation(shape=(128, 128), n_orders=3).with_bias(300)
        >>> with TemporaryDirectory() as folder:
        ...     night = simulation.write_night(folder, n_flats=2)
        ...
        >>> [path.name for path in night.flats["red 2x2"]]
        ['night_005.fits', 'night_006.fits']
        """
        return write_night(
            self, folder, n_flats=n_flats, n_biases=n_biases, layout=layout_named(layout),
            overwrite=overwrite,
        )

    # ---------------------------------------------------------------------------- insides

    @property
    def _row_shape(self):
        """Shape of the detector when oriented so that the orders run along its rows."""
        return self.shape if self.dispersion_axis == 1 else self.shape[::-1]

    def _turned(self, image):
        """Orient an image with the orders along the rows like the detector."""
        return image if self.dispersion_axis == 1 else np.ascontiguousarray(image.T)

    @property
    def _needed_gap(self):
        return 6 * self.psf_sigma + 1 if self.smallest_gap is None else self.smallest_gap

    def _traces(self):
        width = self.order_width
        if width is None:
            width = 0.36 * self._row_shape[0] / self.n_orders
        return order_traces(
            self._row_shape, self.n_orders, width=width, gap=self._needed_gap, tilt=self.tilt,
            curvature=self.curvature, cut=self.cut_orders,
        )

    @cached_property
    def _scene(self):
        centers, widths = self._traces()
        orders = EchelleOrderTable.from_traces(
            self.first_order + np.arange(self.n_orders), centers, shape=self._row_shape,
            dispersion_axis=1, degree=2, lower=centers - widths / 2, upper=centers + widths / 2,
        )
        return Scene(orders, self.noise, self.seed)

    @cached_property
    def _layers(self):
        """All layers, in the order in which they act at each stage."""
        return (
            self.dark_end, self.faint_order,
            PixelResponse(self.pixel_response), self.dust, self.dead_pixels,
            ScatteredLight(self.scattered_light),
            LevelSpread(self.level_spread), Drift(self.drift), ColorDrift(self.color_drift),
            DarkCurrent(self.dark_current), Bias(self.bias),
            self.cosmic_rays, self.bad_pixels, *self.layers,
        )

    def _exposure(self, kind, index):
        return Exposure(kind, index, 0.0 if kind == "bias" else self.exposure_time)

    def _frames(self, kind, n, **how):
        check("n", n, 0, integer=True)
        return [expose(self, self._exposure(kind, i), **how) for i in range(n)]
