# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Simulated echelle flats with known truth, for tests, examples and benchmarks.

A frame is built from the truth, never the truth from a frame::

    frame_i = bias + dark + level_i * drift_i * color_i * (flat + pixel_response * scattered_light)
    flat    = blaze * slit_profile * pixel_response

in adu, then photon noise and read noise are drawn, cosmic rays are added and bad pixels are
overwritten. `EchelleSimulation` holds the parameters, `EchelleTruth` every term of the equation.

Everything is computed with the orders along the rows and transposed at the end when the orders
run along the columns, so that the two dispersion axes are exact transposes of each other.
"""

import os
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.time import Time

from ccdproc_echelle._numeric.gaussians import blurred_ramp
from ccdproc_echelle.frames import check_output, replacing
from ccdproc_echelle.orders import EchelleOrderTable

__all__ = ["EchelleSimulation", "EchelleTruth"]

# Each random layer draws from its own stream, named here. Append only: the place in the tuple
# is part of the seed.
_STREAMS = (
    "pixel response", "dead pixels", "dust", "level", "drift", "cosmic rays", "bad pixels",
    "flat photons", "flat read noise", "dark photons", "dark read noise",
    "bias photons", "bias read noise", "dead response", "color drift",
)

_FIRST_HOUR = {"flat": 0, "dark": 8, "bias": 16}  # of the night on which each kind is taken
_READOUT_TIME = 20.0  # seconds from the end of an exposure to the start of the next
_WINDOW = 10  # the truth is normalised in this one unless another is asked for
_MAX_RAW = np.iinfo(np.uint16).max


def _check(name, value, low=-np.inf, high=np.inf, *, integer=False):
    """Raise unless value is a finite number, or an integer, from low to high."""
    kinds = (int, np.integer) if integer else (int, float, np.integer, np.floating)
    number = isinstance(value, kinds) and not isinstance(value, bool)
    if not (number and np.isfinite(value) and low <= value <= high):
        kind = "an integer" if integer else "a finite number"
        raise ValueError(f"{name} is {value!r}, expected {kind} from {low:g} to {high:g}")


# ------------------------------------------------------------------ geometry and illumination


def _order_traces(shape, n_orders, *, width, gap, tilt, curvature, cut):
    """Centre and width of each order at each pixel, both (n_orders, n_pixels)."""
    n_rows, n_pixels = shape
    u = np.linspace(-1, 1, n_pixels)
    place = np.linspace(0, 1, n_orders) if n_orders > 1 or cut else np.array([0.5])
    place = place[:, np.newaxis]
    side = 2 * place - 1
    bend = n_rows * (tilt * (1 + 0.3 * side) * u + curvature * (1 + 0.2 * side) * (u**2 - 0.5))
    margin = 0.55 * width + gap
    first = (0.2 * width if cut else margin) - bend[0].min()
    last = n_rows - 1 - margin - bend[-1].max()
    # the spacing grows by half from the first pair of orders to the last one
    centers = first + (last - first) * (place + 0.2 * place * (place - 1)) + bend
    return centers, width * (1 + 0.05 * side + 0.03 * u)


def _blaze(n_orders, n_pixels, brightness_ratio):
    """Blaze of each order, (n_orders, n_pixels): the first order the brightest, its peak 1."""
    place = np.linspace(0, 1, n_orders)[:, np.newaxis]
    u = np.linspace(-1, 1, n_pixels)
    return brightness_ratio**-place * np.sinc(0.55 * (u - 0.3 * (place - 0.5))) ** 2


def _ramp_of_step(z, sigma):
    """Integral up to z of a step at 0 that is blurred by a Gaussian."""
    if sigma == 0:
        return np.maximum(z, 0)
    return sigma * blurred_ramp(z / sigma)


def _slit_image(n_rows, lower, upper, brightness, *, sigma, slope):
    """Orders as top-hats from lower to upper, blurred, integrated exactly over each pixel.

    Inputs are (n_orders, n_pixels). Twice integrated, a top-hat becomes a difference of ramps;
    the difference over the two sides of a pixel is the light that falls in it.
    """
    image = np.zeros((n_rows, lower.shape[1]))
    reach = 8 * sigma + 1
    for low, high, light in zip(lower, upper, brightness, strict=True):
        first = np.floor(low - reach).astype(int)
        rows = first + np.arange(int(np.max(high - low) + 2 * reach) + 3)[:, np.newaxis]
        sides = np.vstack([rows, rows[-1:] + 1]) - 0.5
        below = _ramp_of_step(sides - low, sigma) - _ramp_of_step(sides - high, sigma)
        profile = np.diff(below, axis=0)
        profile *= light * (1 + slope * (2 * rows - low - high) / (high - low))
        step, column = np.nonzero((rows >= 0) & (rows < n_rows))
        # far from the order the differences round to less than nothing
        image[rows[step, column], column] += np.maximum(profile, 0)[step, column]
    return image


def _plane_axes(shape):
    """Row and column coordinates, broadcastable, from -1 to 1 over the image."""
    rows, columns = (np.linspace(-1, 1, size) for size in shape)
    return rows[:, np.newaxis], columns


def _smooth_surface(shape):
    """A broad bump on a pedestal, as scattered light looks; normalised by the caller."""
    v, u = _plane_axes(shape)
    return 0.5 + np.exp(-(((v + 0.2) / 1.2) ** 2)) * np.exp(-(((u - 0.3) / 1.4) ** 2))


def _random_pixels(name, n, allowed, rng):
    """Bool image of n different pixels out of the allowed ones."""
    places = np.flatnonzero(allowed)
    if n > places.size:
        raise ValueError(f"{name} is {n}, expected at most {places.size}, the number of pixels")
    image = np.zeros(allowed.shape, dtype=bool)
    image.flat[rng.choice(places, n, replace=False, shuffle=False)] = True
    return image


# -------------------------------------------------------------------------------- the layers


@dataclass(frozen=True)
class _Noise:
    """Photon noise and read noise."""

    gain: float = 1.0
    read_noise: float = 4.0
    drawn: bool = True

    def __post_init__(self):
        _check("gain", self.gain, np.finfo(float).tiny)
        _check("read_noise", self.read_noise, 0)

    def sigma(self, counts):
        """The noise model: standard deviation in adu for counts above the bias."""
        return np.sqrt(np.maximum(counts, 0) * self.gain + self.read_noise**2) / self.gain

    def draw(self, counts, photon_rng, read_rng):
        """Observed counts above the bias from the expected ones."""
        if not self.drawn:
            return counts
        electrons = photon_rng.poisson(counts * self.gain)
        return (electrons + self.read_noise * read_rng.standard_normal(counts.shape)) / self.gain


@dataclass(frozen=True)
class _CosmicRays:
    """Straight tracks of up to `length` pixels, `amplitude` sigma above the signal."""

    n: int = 0
    amplitude: float = 50.0
    length: int = 1

    def __post_init__(self):
        _check("n", self.n, 0, integer=True)
        _check("amplitude", self.amplitude)
        _check("length", self.length, 1, integer=True)

    def hits(self, shape, rng):
        """Bool image of the pixels hit; a track that leaves the detector ends there."""
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
class _DeadPixels:
    """Pixels inside the orders with hardly any response."""

    n: int = 0
    max_response: float = 0.2

    def __post_init__(self):
        _check("n", self.n, 0, integer=True)
        _check("max_response", self.max_response, 0, 1)


@dataclass(frozen=True)
class _BadPixels:
    """Pixels that hold nonsense, other ones in each frame, and are masked there."""

    n: int = 0
    value: float = float(_MAX_RAW)

    def __post_init__(self):
        _check("n", self.n, 0, integer=True)


@dataclass(frozen=True)
class _Dust:
    """Round shadows centred inside the orders."""

    n: int = 0
    radius: float = 4.0
    depth: float = 0.25

    def __post_init__(self):
        _check("n", self.n, 0, integer=True)
        _check("radius", self.radius, 0)
        _check("depth", self.depth, 0, 1)

    def shadow(self, allowed, rng):
        """Transmission image: 1 - depth within the radius of a grain, 1 outside it."""
        image = np.ones(allowed.shape)
        rows, columns = np.ogrid[: allowed.shape[0], : allowed.shape[1]]
        reach = int(self.radius) + 2
        for center in np.argwhere(_random_pixels("dust", self.n, allowed, rng)):
            near = tuple(slice(max(c - reach, 0), c + reach + 1) for c in center)
            distance = np.hypot(rows[near[0]] - center[0], columns[:, near[1]] - center[1])
            grain = 1 - self.depth * np.clip(self.radius + 0.5 - distance, 0, 1)
            image[near] = np.minimum(image[near], grain)
        return image


# ---------------------------------------------------------------------------- the simulation


@dataclass(frozen=True, kw_only=True)
class EchelleSimulation:
    """
    Echelle flats, darks and biases with known truth.

    Immutable: each ``with_...`` method returns a new simulation, so they chain. Reproducible: the
    frames depend on the parameters alone, frame ``i`` does not depend on how many are asked for,
    and each layer draws from its own random stream. Layers that leave the light unchanged (bias,
    cosmic rays, bad pixels) therefore also leave the noise unchanged; where a layer changes the
    light, the photon noise of the whole frame is another draw.

    As constructed the frames have photon noise, read noise and a pixel response; everything else
    is switched on by a method.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the detector.
    n_orders : int
        Number of orders.
    dispersion_axis : int
        1 when the orders run along the image rows, 0 when along the columns. The transposed shape
        with the other axis gives the transposed frames, noise included.
    seed : int
        Seed of all random streams.
    first_order : int
        Number of the order at the lowest row (column); the numbers rise from there.
    order_width : float, optional
        Mean width of an order in pixels, between its half-maximum edges. It varies by some 8 %
        over the detector. By default 0.36 of the room there is for an order.
    smallest_gap : float, optional
        Pixels that must be left between the edges of neighbouring orders. By default six times
        ``psf_sigma`` and one more, so that the light of neighbours does not mix.
    psf_sigma : float
        Blur of the slit image, the standard deviation of a Gaussian in pixels.
    tilt, curvature : float
        Slope and bow of the orders from the middle to the ends, as a fraction of the
        cross-dispersion size of the detector.
    slit_slope : float
        Relative rise of the slit illumination from the middle of the slit to its upper end. The
        signal at an edge is half of what the illumination is there.
    cut_orders : bool
        Cut the first order by the border of the detector: where it comes closest its lower edge
        is 0.3 of the order width off the detector, its centre always on it.
    peak : float
        Signal in adu at the blaze peak of the brightest order, the first one, at mean level.
    brightness_ratio : float
        Brightness of the first order over that of the last one.
    pixel_response : float
        Standard deviation of the pixel response.
    exposure_time : float
        In seconds.
    noise, level_spread, drift, color_drift, scattered_light, dust, dead_pixels, bad_pixels, \
cosmic_rays, bias, dark_current
        The layers; set by the methods of the same names.

    Raises
    ------
    ValueError
        If a parameter is outside its range or the orders do not fit on the detector.

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
    noise: _Noise = field(default=_Noise())
    level_spread: float = 0.0
    drift: float = 0.0
    color_drift: float = 0.0
    scattered_light: float = 0.0
    dust: _Dust = field(default=_Dust())
    dead_pixels: _DeadPixels = field(default=_DeadPixels())
    bad_pixels: _BadPixels = field(default=_BadPixels())
    cosmic_rays: _CosmicRays = field(default=_CosmicRays())
    bias: float = 0.0
    dark_current: float = 0.0

    def __post_init__(self):
        object.__setattr__(self, "shape", tuple(self.shape))
        if len(self.shape) != 2:
            raise ValueError(f"shape must be (rows, columns), found {self.shape}")
        for size in self.shape:
            _check("shape", size, 16, integer=True)
        _check("n_orders", self.n_orders, 1, integer=True)
        _check("dispersion_axis", self.dispersion_axis, 0, 1, integer=True)
        _check("seed", self.seed, 0, integer=True)
        _check("first_order", self.first_order, 1, integer=True)
        if self.order_width is not None:
            _check("order_width", self.order_width, 1)
        if self.smallest_gap is not None:
            _check("smallest_gap", self.smallest_gap, 0)
        _check("slit_slope", self.slit_slope, -0.9, 0.9)
        _check("brightness_ratio", self.brightness_ratio, 1e-6)
        _check("level_spread", self.level_spread, 0, 0.99)
        _check("drift", self.drift, 0, 0.45)
        _check("color_drift", self.color_drift, 0, 0.45)
        for name in ("tilt", "curvature", "bias"):
            _check(name, getattr(self, name))
        _check("pixel_response", self.pixel_response, 0, 0.1)
        for name in ("psf_sigma", "peak", "exposure_time", "scattered_light", "dark_current"):
            _check(name, getattr(self, name), 0)
        self._check_order_room()

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
        """From each order to the next one, or to the border of the detector."""
        centers, widths = self._traces()
        n_rows = self._row_shape[0]
        border = np.ones((1, centers.shape[1]))
        first_border = -np.inf if self.cut_orders else 0.0
        lower = np.vstack([centers - widths / 2, (n_rows - 1) * border])
        upper = np.vstack([first_border * border, centers + widths / 2])
        return lower - upper

    @classmethod
    def random(cls, seed: int) -> "EchelleSimulation":
        """
        A spectrograph drawn at random: what has to work, has to work with all of them.

        It has 5 to 60 orders, 4 to 60 pixels wide, along either axis, with gaps from 3 pixels on,
        straight or bent, the first one cut by the border or not, up to 8 % scattered light, and a
        faintest order down to a hundredth of the brightest.

        Parameters
        ----------
        seed : int
            Seed of the draw and of the simulation.

        Returns
        -------
        `EchelleSimulation`

        Examples
        --------
        >>> from ccdproc_echelle.simulation import EchelleSimulation
        >>> sim = EchelleSimulation.random(1)
        >>> 5 <= sim.n_orders <= 60
        True
        """
        rng = np.random.default_rng(seed)
        n_orders = int(np.exp(rng.uniform(np.log(5), np.log(61))))
        psf_sigma = rng.uniform(0.5, 1.3)
        gap = 3 + rng.exponential(6)
        widest = min(60, 1500 / n_orders / 1.3 - gap)
        width = np.exp(rng.uniform(np.log(4), np.log(max(4.5, widest))))
        n_pixels = int(rng.integers(500, 1000))
        tilt, curvature = rng.uniform(-0.03, 0.03, 2)
        parameters = dict(
            n_orders=n_orders, order_width=width, smallest_gap=3.0, psf_sigma=psf_sigma,
            tilt=tilt, curvature=curvature, cut_orders=bool(rng.integers(2)),
        )
        # Too much room at first, then what is more than the gap is taken away.
        n_rows = int(2 * n_orders * (width + gap)) + 100
        for _ in range(3):
            gaps = cls(shape=(n_rows, n_pixels), **parameters)._gaps()[1:-1]
            n_rows -= int((n_orders - 1) * (gaps.min() - gap))
        shape = (n_rows, n_pixels)
        axis = int(rng.integers(2))
        simulation = cls(
            shape=shape if axis == 1 else shape[::-1], dispersion_axis=axis, seed=seed,
            slit_slope=rng.uniform(-0.1, 0.1), peak=rng.uniform(10_000, 40_000),
            brightness_ratio=np.exp(rng.uniform(0, np.log(100))), **parameters,
        )
        return simulation.with_scattered_light(rng.uniform(0, 0.08))

    # ------------------------------------------------------------------------- the layers

    def with_noise(self, *, gain: float = 1.0, read_noise: float = 4.0) -> "EchelleSimulation":
        """
        Photon noise and read noise.

        Parameters
        ----------
        gain : float
            In electron per adu.
        read_noise : float
            Standard deviation in electron.
        """
        return replace(self, noise=_Noise(gain, read_noise))

    def without_noise(self) -> "EchelleSimulation":
        """Draw no noise; the uncertainties stay those of the noise model."""
        return replace(self, noise=replace(self.noise, drawn=False))

    def with_level_spread(self, spread: float) -> "EchelleSimulation":
        """
        Exposure levels that differ from flat to flat.

        Parameters
        ----------
        spread : float
            The levels are uniform within ``1 - spread`` to ``1 + spread`` times the mean level.
        """
        return replace(self, level_spread=spread)

    def with_drift(self, amplitude: float) -> "EchelleSimulation":
        """
        Cross-plane illumination drift: a plane through each flat, in a random direction.

        Parameters
        ----------
        amplitude : float
            The plane falls from ``1 + amplitude`` in one corner to ``1 - amplitude`` in the
            opposite one, less the offset that makes its mean over the inner-order pixels 1.
        """
        return replace(self, drift=amplitude)

    def with_color_drift(self, amplitude: float) -> "EchelleSimulation":
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

    def with_scattered_light(self, fraction: float) -> "EchelleSimulation":
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
    ) -> "EchelleSimulation":
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
        return replace(self, dust=_Dust(n, radius, depth))

    def with_dead_pixels(self, n: int, *, max_response: float = 0.2) -> "EchelleSimulation":
        """
        Pixels inside the orders that hardly respond; part of the pixel response, not masked.

        Parameters
        ----------
        n : int
            Number of pixels.
        max_response : float
            Their response is uniform between 0 and this.
        """
        return replace(self, dead_pixels=_DeadPixels(n, max_response))

    def with_bad_pixels(self, n: int, *, value: float = float(_MAX_RAW)) -> "EchelleSimulation":
        """
        Pixels that hold a wrong value and are masked, at other places in each flat.

        Parameters
        ----------
        n : int
            Number of pixels per frame.
        value : float
            What they hold, in adu; NaN is possible.
        """
        return replace(self, bad_pixels=_BadPixels(n, value))

    def with_cosmic_rays(
        self, n: int, *, amplitude: float = 50.0, length: int = 1
    ) -> "EchelleSimulation":
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
        return replace(self, cosmic_rays=_CosmicRays(n, amplitude, length))

    def with_bias(self, level: float) -> "EchelleSimulation":
        """
        A bias pedestal.

        Parameters
        ----------
        level : float
            In adu.
        """
        return replace(self, bias=level)

    def with_dark_current(self, rate: float) -> "EchelleSimulation":
        """
        A dark current in flats and darks.

        Parameters
        ----------
        rate : float
            In electron per second and pixel.
        """
        return replace(self, dark_current=rate)

    # ------------------------------------------------------------------------- the frames

    @cached_property
    def truth(self) -> "EchelleTruth":
        """`EchelleTruth`: every quantity the frames were made from."""
        return EchelleTruth(self)

    def flats(self, n: int, *, uncertainty: bool = True, raw: bool = False) -> list[CCDData]:
        """
        The first n flats.

        Parameters
        ----------
        n : int
            Number of frames.
        uncertainty : bool
            Whether the frames carry their noise model: photon noise and read noise as estimated
            from the counts that were observed.
        raw : bool
            Frames as a detector writes them: rounded uint16, no mask, no uncertainty.

        Returns
        -------
        list of `~astropy.nddata.CCDData`
            Float32 in adu. The mask holds the bad pixels of the frame; None when the simulation
            has none.
        """
        _check("n", n, 0, integer=True)
        return [self._flat(i, uncertainty=uncertainty, raw=raw) for i in range(n)]

    def darks(self, n: int, *, uncertainty: bool = True, raw: bool = False) -> list[CCDData]:
        """The first n darks, of the flats' exposure time; parameters as for `flats`."""
        _check("n", n, 0, integer=True)
        return [self._dark("dark", i, uncertainty=uncertainty, raw=raw) for i in range(n)]

    def biases(self, n: int, *, uncertainty: bool = True, raw: bool = False) -> list[CCDData]:
        """The first n biases; parameters as for `flats`."""
        _check("n", n, 0, integer=True)
        return [self._dark("bias", i, uncertainty=uncertainty, raw=raw) for i in range(n)]

    def write(
        self, folder: str | os.PathLike, n_flats: int, n_darks: int = 0, *, overwrite: bool = False
    ) -> tuple[list[Path], list[Path]]:
        """
        Write raw flats and darks as FITS files, one at a time.

        Parameters
        ----------
        folder : path-like
            An existing folder.
        n_flats, n_darks : int
            Numbers of frames.
        overwrite : bool
            Whether existing files may be replaced.

        Returns
        -------
        flats, darks : list of `~pathlib.Path`
            ``flat_01.fits``, ... and ``dark_01.fits``, ...

        Raises
        ------
        FileNotFoundError, FileExistsError
            If the folder does not exist, or a file does and ``overwrite`` is false; nothing has
            been written then.
        """
        paths = []
        for kind, n in (("flat", n_flats), ("dark", n_darks)):
            _check(f"n_{kind}s", n, 0, integer=True)
            names = [Path(folder) / f"{kind}_{i + 1:02d}.fits" for i in range(n)]
            paths.append([check_output(name, overwrite=overwrite) for name in names])
        flats, darks = paths
        for i, path in enumerate(flats):
            _write(self._flat(i, raw=True), path, overwrite)
        for i, path in enumerate(darks):
            _write(self._dark("dark", i, raw=True), path, overwrite)
        return flats, darks

    # ---------------------------------------------------------------------------- insides

    @property
    def _row_shape(self):
        """Shape of the detector turned so that the orders run along its rows."""
        return self.shape if self.dispersion_axis == 1 else self.shape[::-1]

    def _turned(self, image):
        """From orders along the rows to the detector."""
        return image if self.dispersion_axis == 1 else np.ascontiguousarray(image.T)

    def _rng(self, stream, index=0):
        key = (_STREAMS.index(stream), index)
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))

    @property
    def _needed_gap(self):
        return 6 * self.psf_sigma + 1 if self.smallest_gap is None else self.smallest_gap

    def _traces(self):
        width = self.order_width
        if width is None:
            width = 0.36 * self._row_shape[0] / self.n_orders
        return _order_traces(
            self._row_shape, self.n_orders, width=width, gap=self._needed_gap, tilt=self.tilt,
            curvature=self.curvature, cut=self.cut_orders,
        )

    @property
    def _dark_counts(self):
        return self.dark_current * self.exposure_time / self.noise.gain

    def _observed(self, kind, index, counts):
        photons, read_out = (self._rng(f"{kind} {s}", index) for s in ("photons", "read noise"))
        return self.bias + self.noise.draw(counts, photons, read_out)

    def _flat(self, index, *, uncertainty=True, raw=False):
        counts = self.truth._counts(index)
        data = self._observed("flat", index, counts)
        hit = self.truth._cosmic_ray_hits(index)
        data[hit] += self.cosmic_rays.amplitude * self.noise.sigma(counts[hit])
        bad = self.truth._bad_pixels(index)
        data[bad] = self.bad_pixels.value
        mask = bad if self.bad_pixels.n else None
        return self._frame("flat", index, data, mask=mask, uncertainty=uncertainty, raw=raw)

    def _dark(self, kind, index, *, uncertainty=True, raw=False):
        counts = np.full(self._row_shape, self._dark_counts if kind == "dark" else 0.0)
        data = self._observed(kind, index, counts)
        return self._frame(kind, index, data, uncertainty=uncertainty, raw=raw)

    def _frame(self, kind, index, data, *, mask=None, uncertainty, raw):
        header = self._header(kind, index)
        data = self._turned(data)
        if raw:
            return CCDData(_digitised(data), unit="adu", header=header)
        if mask is not None:
            mask = self._turned(mask)
        sigma = None
        if uncertainty:
            sigma = StdDevUncertainty(self.noise.sigma(data - self.bias).astype(np.float32))
        data = data.astype(np.float32)
        return CCDData(data, unit="adu", header=header, mask=mask, uncertainty=sigma)

    def _header(self, kind, index):
        exposure_time = 0.0 if kind == "bias" else self.exposure_time
        start = datetime(2024, 1, 1, _FIRST_HOUR[kind])
        start += index * timedelta(seconds=exposure_time + _READOUT_TIME)
        return fits.Header([
            ("INSTRUME", "EchelleSimulation", "simulated with ccdproc_echelle"),
            ("IMAGETYP", kind.upper(), "type of exposure"),
            ("FRAMENO", index + 1, "frame number, from 1"),
            ("DATE-OBS", start.isoformat(timespec="milliseconds"), "start of exposure"),
            ("MJD-OBS", Time(start).mjd, "[d] the same"),
            ("EXPTIME", exposure_time, "[s] exposure time"),
            ("GAIN", self.noise.gain, "[electron/adu] gain"),
            ("RDNOISE", self.noise.read_noise, "[electron] read noise"),
        ])


def _digitised(data):
    if not np.isfinite(data).all():
        raise ValueError("raw frames are integers and cannot hold bad pixels that are not finite")
    return np.clip(np.rint(data), 0, _MAX_RAW).astype(np.uint16)


def _write(frame, path, overwrite):
    with replacing(path, overwrite=overwrite) as temporary:
        frame.write(temporary, format="fits")


# --------------------------------------------------------------------------------- the truth


@dataclass(frozen=True)
class EchelleTruth:
    """
    What the frames of an `EchelleSimulation` were made from.

    ``frame_i = bias + dark + level_i * drift_i * color_i * (flat + pixel_response *
    scattered_light)``, to which noise, cosmic rays and bad pixels come. Quantities of the
    instrument are attributes, computed once, read-only; those of each frame are methods of the
    number of frames.

    Normalisation: the mean of `flat` over the inner-order pixels of a 10-pixel window is 1, dead
    pixels left out; `levels` are in adu and belong to it. Give both `normalized_flat` and
    `levels` another window where another one is measured.

    Parameters
    ----------
    simulation : EchelleSimulation
        The simulation, which hands out its truth as ``simulation.truth``.
    """

    simulation: EchelleSimulation

    # The public images are the private ones turned to the detector; in the private ones the
    # orders run along the rows.

    @cached_property
    def orders(self) -> EchelleOrderTable:
        """Order centres and half-maximum edges."""
        along_rows = self.simulation.dispersion_axis == 1
        return self._orders if along_rows else self._orders.transposed()

    @cached_property
    def flat(self) -> np.ndarray:
        """Dimensionless master flat that a perfect reduction finds, without scattered light."""
        return _locked(self.normalized_flat(_WINDOW))

    @cached_property
    def blaze(self) -> np.ndarray:
        """Blaze of each order in units of `flat`, shape (n_orders, n_pixels)."""
        return _locked(self._blaze / self._mean_level(_WINDOW))

    @cached_property
    def slit_profile(self) -> np.ndarray:
        """Image of the slit illumination: 1 at the order centres, 0 between the orders."""
        return self._public(self._slit_image(np.ones_like(self._blaze)))

    @cached_property
    def pixel_response(self) -> np.ndarray:
        """Image of the pixel response, dust and dead pixels included; elsewhere 1 on average."""
        return self._public(self._response)

    @cached_property
    def dead_pixels(self) -> np.ndarray:
        """Bool image of the dead pixels."""
        return self._public(self._dead)

    @cached_property
    def scattered_light(self) -> np.ndarray:
        """Image of the scattered light before the pixel response, in units of `flat`."""
        return self._public(self._scattered_light / self._mean_level(_WINDOW))

    def normalized_flat(self, window: float) -> np.ndarray:
        """
        `flat`, normalised over other inner-order pixels.

        Parameters
        ----------
        window : float
            Full width of the inner-order window in pixels.
        """
        return self.simulation._turned(self._flat / self._mean_level(window))

    def levels(self, n: int, *, window: float = _WINDOW) -> np.ndarray:
        """
        Exposure level of each of the first n flats, in adu.

        Parameters
        ----------
        n : int
            Number of frames.
        window : float
            That of the `normalized_flat` which the levels multiply.
        """
        _check("n", n, 0, integer=True)
        return np.array([self._relative_level(i) for i in range(n)]) * self._mean_level(window)

    def drift(self, n: int) -> np.ndarray:
        """Cross-plane illumination of each of the first n flats, (n, rows, columns)."""
        return self._stack(self._drift, n)

    def color(self, n: int) -> np.ndarray:
        """Relative level of the orders of each of the first n flats, (n, rows, columns)."""
        return self._stack(self._color, n)

    def cosmic_rays(self, n: int) -> np.ndarray:
        """Pixels of each of the first n flats that cosmic rays hit, bool (n, rows, columns)."""
        return self._stack(self._cosmic_ray_hits, n)

    def bad_pixels(self, n: int) -> np.ndarray:
        """Masked bad pixels of each of the first n flats, bool (n, rows, columns)."""
        return self._stack(self._bad_pixels, n)

    def noiseless_flats(self, n: int) -> np.ndarray:
        """Expectation of the first n flats in adu, without cosmic rays and bad pixels."""
        return self.simulation.bias + self._stack(self._counts, n)

    # ---------------------------------------------------------------------------- insides

    def _public(self, image):
        return _locked(self.simulation._turned(image))

    def _stack(self, image, n):
        _check("n", n, 1, integer=True)
        return np.stack([self.simulation._turned(image(i)) for i in range(n)])

    @cached_property
    def _orders(self):
        sim = self.simulation
        centers, widths = sim._traces()
        return EchelleOrderTable.from_traces(
            sim.first_order + np.arange(sim.n_orders), centers, shape=sim._row_shape,
            dispersion_axis=1, degree=2, lower=centers - widths / 2, upper=centers + widths / 2,
        )

    @cached_property
    def _inside(self):
        return self._orders.order_map() > 0

    @cached_property
    def _blaze(self):
        sim = self.simulation
        return sim.peak * _blaze(sim.n_orders, sim._row_shape[1], sim.brightness_ratio)

    def _slit_image(self, brightness):
        sim = self.simulation
        return _slit_image(
            sim._row_shape[0], self._orders.lower(), self._orders.upper(), brightness,
            sigma=sim.psf_sigma, slope=sim.slit_slope,
        )

    @cached_property
    def _dead(self):
        sim = self.simulation
        rng = sim._rng("dead pixels")
        return _random_pixels("dead_pixels", sim.dead_pixels.n, self._inside, rng)

    @cached_property
    def _response(self):
        sim = self.simulation
        scatter = sim._rng("pixel response").standard_normal(sim._row_shape)
        response = 1 + sim.pixel_response * scatter
        response *= sim.dust.shadow(self._inside, sim._rng("dust"))
        dead_response = sim._rng("dead response").random(sim.dead_pixels.n)
        response[self._dead] = sim.dead_pixels.max_response * dead_response
        return response

    @cached_property
    def _flat(self):
        """The flat in adu at mean level."""
        return self._slit_image(self._blaze) * self._response

    @cached_property
    def _scattered_light(self):
        """The scattered light in adu at mean level."""
        surface = _smooth_surface(self.simulation._row_shape)
        mean = surface[self._orders.inner_mask(_WINDOW)].mean()
        return self.simulation.scattered_light * self._mean_level(_WINDOW) * surface / mean

    @cached_property
    def _light(self):
        """All light in adu at mean level."""
        return self._flat + self._response * self._scattered_light

    def _mean_level(self, window):
        """Mean of the flat in adu over the inner-order pixels that are not dead."""
        return self._flat[self._orders.inner_mask(window) & ~self._dead].mean()

    def _relative_level(self, index):
        spread = self.simulation.level_spread
        return self.simulation._rng("level", index).uniform(1 - spread, 1 + spread)

    @cached_property
    def _inner_middle(self):
        """Mean of each plane coordinate over the inner-order pixels."""
        inner = self._orders.inner_mask(_WINDOW)
        return [np.broadcast_to(x, inner.shape)[inner].mean() for x in _plane_axes(inner.shape)]

    def _drift(self, index):
        sim = self.simulation
        angle = sim._rng("drift", index).uniform(0, 2 * np.pi)
        direction = np.array([np.sin(angle), np.cos(angle)])
        direction *= sim.drift / np.abs(direction).sum()
        across, along = (
            slope * (x - middle)
            for slope, x, middle in zip(
                direction, _plane_axes(sim._row_shape), self._inner_middle, strict=True
            )
        )
        return 1 + across + along

    @cached_property
    def _order_side(self):
        """From -1 to 1 the nearest order, less the mean over the inner-order pixels."""
        centers = self._orders.center()
        row = np.arange(self.simulation._row_shape[0])[:, np.newaxis]
        nearest = sum((row > middle for middle in (centers[1:] + centers[:-1]) / 2), 0 * row)
        side = np.linspace(-1, 1, len(centers))[np.broadcast_to(nearest, self._flat.shape)]
        return side - side[self._orders.inner_mask(_WINDOW)].mean()

    def _color(self, index):
        sim = self.simulation
        slope = sim._rng("color drift", index).uniform(-sim.color_drift, sim.color_drift)
        return 1 + slope * self._order_side

    def _counts(self, index):
        """Expected counts of a flat above the bias."""
        light = self._relative_level(index) * self._light
        return light * self._drift(index) * self._color(index) + self.simulation._dark_counts

    def _cosmic_ray_hits(self, index):
        sim = self.simulation
        return sim.cosmic_rays.hits(sim._row_shape, sim._rng("cosmic rays", index))

    def _bad_pixels(self, index):
        sim = self.simulation
        anywhere = np.ones(sim._row_shape, dtype=bool)
        return _random_pixels(
            "bad_pixels", sim.bad_pixels.n, anywhere, sim._rng("bad pixels", index)
        )


def _locked(array):
    array.setflags(write=False)
    return array
