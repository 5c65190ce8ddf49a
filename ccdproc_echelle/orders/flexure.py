# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Measure flexure: the cross-dispersion shift of the orders on a flat or between two frames.

The frame is straightened: in about forty slices along the dispersion axis, the light is resampled
at fixed offsets from each order centre. The profiles of all orders and slices are first aligned
using the phase of their first harmonic, with the local order spacing as the period; then the
profile of each order is fitted with a model in which the shift is a parameter. Each fit is weighted
by its own residuals, with a floor, so that bright orders count more than noisy ones without
dominating.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from astropy.nddata import CCDData

from ccdproc_echelle._numeric.gaussians import blurred_step, gaussian
from ccdproc_echelle._numeric.medians import finite_median, median_noise
from ccdproc_echelle._numeric.spread import scatter_about_zero
from ccdproc_echelle._warnings import warn
from ccdproc_echelle.orders.bad_rows import bridge_bad_rows
from ccdproc_echelle.orders.borders import without_dark_borders
from ccdproc_echelle.orders.fibres import are_fibres, fit_fibres
from ccdproc_echelle.orders.slicers import band_offsets, number_of_bands, order_profiles
from ccdproc_echelle.orders.slices import as_raster, checked_image
from ccdproc_echelle.orders.table import EchelleOrderTable

__all__ = [
    "OrderShift",
    "WrongOrderTableError",
    "check_in_place",
    "frame_shift",
    "in_place",
    "measure_shift",
    "recenter",
    "recentre",
    "typical_width",
]

# Order centres that are off by more than this, in pixels, are moved. The coarse shift, good to a
# few tenths of a pixel, identifies most misplaced tables without a fit.
_TOLERATED_SHIFT = 1.0
_CLEARLY_IN_PLACE = 0.5

_N_SLICES = 40

# A profile is fitted out to this distance from its order centre, in units of the order spacing:
# into the nearer half of both neighbours, whose light spills into narrow gaps.
_REACH = 0.75

# Below this mean cosine of the phases, the orders of table and frame do not coincide. Unrelated
# orders give 0, a matching table more than 0.9.
_LEAST_MATCH = 0.85

# How much better a larger shift must match than a permitted one to be believed.
_CLEARLY_BETTER = 0.05

# A place is dark if the first harmonic of its profile is below this many times its noise. If fewer
# places than this fraction are lit, some shift or other always matches.
_LEAST_LIGHT, _LEAST_LIT = 5.0, 0.1

# Or if it is below this fraction of that of a neighbour, whose wings would be mistaken for the
# order; of the same order where that is brightest; or of a typical place, which leaves only the
# read-out pattern.
_LEAST_BESIDE, _LEAST_ALONG, _LEAST_TYPICAL = 0.1, 0.02, 0.01

# Initial standard deviation, in pixels, of the blur of the order edges.
_FIRST_BLUR = 0.9

# A fit has converged when a step is smaller than this, in pixels.
_TOLERANCE = 1e-3
_MAX_ITERATIONS = 30

# Systematic error, in pixels, of the fits to simulated spectrographs: a resampled order is not
# exactly a box blurred by a Gaussian.
_MODEL_ERROR = 4e-3

# Images with a standard deviation below this, in pixels, are fitted as Gaussians where boxes do not
# fit.
_NARROW = 1.5

# Likewise for the middles between bands, which are not fitted.
_BAND_ERROR = 0.05

# Fits that deviate from the others by more than this many standard deviations are outliers.
_SIGMA_CLIP = 5.0

# Median absolute deviation of normal values with standard deviation 1.
_MEDIAN_DEVIATION = 0.6745

_NO_ORDERS = (
    "the order table does not belong to this frame: the profiles at its order centres do not "
    "look like orders, and no shift could be fitted to them"
)


class WrongOrderTableError(ValueError):
    """The orders of a frame are not at, or near, their positions in an order table."""


@dataclass(frozen=True)
class OrderShift:
    """
    Offset of the orders along the cross-dispersion axis.

    Attributes
    ----------
    shift : float
        Number of pixels by which the orders lie higher on the frame than expected.
    uncertainty : float
        Standard deviation of the shift, from the agreement of the individual orders.
    match : float
        Mean cosine of the phase by which the individual orders deviate from the common shift: 1 if
        all agree, 0 if they are unrelated.
    """

    shift: float
    uncertainty: float
    match: float


def measure_shift(
    flat: CCDData, orders: EchelleOrderTable, *, max_shift: float | None = None
) -> OrderShift:
    """
    Measure the offset of the orders on a flat from an order table.

    Each order is fitted, together with its two neighbours, as a box blurred by a Gaussian on a
    background. Brightness, slope, width and blur are free, and the shift is that of the middle of
    the box from the middle between the edges in the table. If the table has no edges, the shift is
    measured from the order centre, which is then taken to be the middle of the light. Images of
    fibres, recognised by their profile, are fitted with Gaussians instead.

    Parameters
    ----------
    flat : `~astropy.nddata.CCDData` or array, shape (rows, columns)
        A flat frame in any unit and at any level. Masked and non-finite pixels are ignored. The
        uncertainty is not used: the noise is estimated from the fits.
    orders : `EchelleOrderTable`
        Order centres, preferably with edges.
    max_shift : float, optional
        Largest acceptable shift in pixels. Default: half the smallest spacing of neighbouring
        orders; beyond that an order may be mistaken for its neighbour.

    Returns
    -------
    `OrderShift`
        Add its ``shift`` to the order positions to obtain those on the flat.

    Raises
    ------
    ValueError
        If the flat is not 2-D or the table is for another detector; if ``max_shift`` is not
        positive; or if the table has a single order and no edges, so that the search range is
        undefined.
    WrongOrderTableError
        A subclass of `ValueError`, raised if the table does not match the flat: the orders do not
        coincide for any shift, or only for one larger than ``max_shift``.

    See Also
    --------
    recenter, frame_shift

    Examples
    --------
    >>> from ccdproc_echelle import measure_shift
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> simulation = EchelleSimulation(shape=(256, 300), n_orders=5)
    >>> flat, = simulation.flats(1)
    >>> shift = measure_shift(flat, simulation.truth.orders.shifted(-3.2))
    >>> print(f"{shift.shift:.1f} pixel")
    3.2 pixel
    """
    raster, slices = _raster_and_slices(flat, orders, "flat")
    max_shift = _checked_max_shift(max_shift, slices)
    coarse, match = _coarse_shift(raster, slices, max_shift)
    fine, uncertainty = _fine_shift(raster, slices, coarse)
    return _checked_shift(fine, uncertainty, match, max_shift)


def recenter(
    flat: CCDData, orders: EchelleOrderTable, *, max_shift: float | None = None
) -> EchelleOrderTable:
    """
    Move an order table to where the orders lie on a flat.

    Parameters
    ----------
    flat : `~astropy.nddata.CCDData` or array, shape (rows, columns)
        A flat frame in any unit and at any level.
    orders : `EchelleOrderTable`
        The table to move, preferably with edges.
    max_shift : float, optional
        Largest acceptable shift in pixels; see `measure_shift`.

    Returns
    -------
    `EchelleOrderTable`
        The table shifted along the cross-dispersion axis by the result of `measure_shift`.

    Raises
    ------
    ValueError
        Under the same conditions as in `measure_shift`.

    Examples
    --------
    >>> from ccdproc_echelle import recenter
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> simulation = EchelleSimulation(shape=(256, 300), n_orders=5)
    >>> flat, = simulation.flats(1)
    >>> orders = recenter(flat, simulation.truth.orders.shifted(-3.2))
    >>> error = orders.center() - simulation.truth.orders.center()
    >>> bool(abs(error).max() < 0.02)
    True
    """
    orders = orders.on_detector(np.shape(flat))
    return orders.shifted(measure_shift(flat, orders, max_shift=max_shift).shift)


recentre = recenter


def frame_shift(
    frame: CCDData,
    reference: CCDData,
    orders: EchelleOrderTable,
    *,
    max_shift: float | None = None,
) -> OrderShift:
    """
    Measure the offset between the orders on two flats.

    The profile of each order on the reference is scaled, moved and added to a sloped background to
    fit that on the frame. This does not require edges, and works for profiles of any form.

    Parameters
    ----------
    frame, reference : `~astropy.nddata.CCDData` or array, shape (rows, columns)
        Two flats in any unit and at any level. Masked and non-finite pixels and the uncertainties
        are ignored.
    orders : `EchelleOrderTable`
        Order centres. They may be off by a few pixels, as long as they are off on both frames.
    max_shift : float, optional
        Largest acceptable shift in pixels. Default: half the smallest spacing of neighbouring
        orders.

    Returns
    -------
    `OrderShift`
        ``shift`` is positive if the orders lie at higher pixels on the frame than on the reference.

    Raises
    ------
    ValueError
        Under the same conditions as in `measure_shift`, for either frame.

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle import frame_shift
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> simulation = EchelleSimulation(shape=(256, 300), n_orders=5)
    >>> one, two = simulation.flats(2)
    >>> shift = frame_shift(np.roll(one.data, 2, axis=0), two, simulation.truth.orders)
    >>> print(f"{shift.shift:.1f} pixel")
    2.0 pixel
    """
    if np.shape(frame) != np.shape(reference):
        raise ValueError(
            f"the frame has shape {np.shape(frame)}, the reference {np.shape(reference)}; "
            "expected the same"
        )
    raster, slices = _raster_and_slices(frame, orders, "frame")
    rasters = [raster, _raster_and_slices(reference, orders, "reference")[0]]
    max_shift = _checked_max_shift(max_shift, slices)
    found = [_coarse_shift(raster, slices, max_shift) for raster in rasters]
    (start, match), (origin, reference_match) = found
    fine, uncertainty = _fit_reference(*rasters, slices, origin, start - origin)
    return _checked_shift(fine, uncertainty, min(match, reference_match), max_shift)


def in_place(orders: EchelleOrderTable, flat: CCDData) -> EchelleOrderTable:
    """
    Shift an order table to the orders on a flat, if necessary.

    Parameters
    ----------
    orders : `EchelleOrderTable`
        The order centres.
    flat : `~astropy.nddata.CCDData`
        A flat.

    Returns
    -------
    `EchelleOrderTable`
        Shifted if the orders are off by a pixel or more.

    Raises
    ------
    WrongOrderTableError
        If the table does not match the flat.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If the table is shifted, or if the shift cannot be determined.
    """
    orders = orders.on_detector(flat.shape)
    try:
        shift = _intolerable_shift(flat, orders)
    except WrongOrderTableError:
        raise
    except ValueError as error:
        warn(f"could not determine whether the order centres are in place: {error}")
        return orders
    if shift == 0:
        return orders
    warn(f"the orders are {shift:+.2f} pixels off the order table, which has been shifted")
    return orders.shifted(shift)


def check_in_place(orders: EchelleOrderTable, flat: CCDData) -> None:
    """
    Check that an order table matches a flat, without changing the table; see also `in_place`.

    Parameters
    ----------
    orders : `EchelleOrderTable`
        The order centres, on the detector of the flat.
    flat : `~astropy.nddata.CCDData` or array, shape (rows, columns)
        A flat.

    Raises
    ------
    WrongOrderTableError
        If the table does not match the flat.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If the orders are off by a pixel or more.
    """
    try:
        shift = _intolerable_shift(flat, orders)
    except WrongOrderTableError:
        raise
    except ValueError:
        return  # a single order, or none of them complete: the match cannot be judged
    if shift:
        warn(f"the orders are {shift:+.2f} pixels off the order table: move it with recenter")


def typical_width(flat: CCDData, orders: EchelleOrderTable) -> float:
    """
    Median width of the orders in pixels, between the edges if the table has them.

    Parameters
    ----------
    flat : `~astropy.nddata.CCDData` or array, shape (rows, columns)
        A flat on which the orders are where the table has them.
    orders : `EchelleOrderTable`
        The order centres.

    Returns
    -------
    float
        Without edges, the width of a box with the same area and height as the light. Infinite if it
        cannot be measured.
    """
    if orders.has_edges:
        return float(np.nanmedian(orders.upper() - orders.lower()))
    if len(orders) == 1:
        return np.inf
    raster, slices = _raster_and_slices(flat, orders, "flat")
    widths = _equivalent_widths(_profiles(raster, slices, 0.0), slices)[:, 1]
    return float(np.nanmedian(widths)) if np.isfinite(widths).any() else np.inf


def _intolerable_shift(flat: CCDData, orders: EchelleOrderTable) -> float:
    """Offset of the orders of the flat from the table; 0 if it is within the tolerance."""
    if abs(_roughly(flat, orders)) < _CLEARLY_IN_PLACE:
        return 0.0
    shift = measure_shift(flat, orders).shift
    return shift if abs(shift) >= _TOLERATED_SHIFT else 0.0


def _roughly(flat: CCDData, orders: EchelleOrderTable) -> float:
    """The coarse shift from which `measure_shift` starts."""
    raster, slices = _raster_and_slices(flat, orders, "flat")
    return _coarse_shift(raster, slices, _checked_max_shift(None, slices))[0]


# ---------------------------------------------------------------------- checks at the door


def _checked_max_shift(max_shift: float | None, slices: "_Slices") -> float:
    if max_shift is None:
        return 0.5 * np.nanmin(slices.spacing)
    if not 0 < max_shift < np.inf:
        raise ValueError(f"max_shift is {max_shift!r}, expected a positive number of pixels")
    return float(max_shift)


def _checked_shift(shift, uncertainty, match, max_shift) -> OrderShift:
    if abs(shift) > max_shift:
        raise WrongOrderTableError(_too_far(shift, max_shift))
    return OrderShift(float(shift), float(uncertainty), float(match))


def _too_far(shift: float, max_shift: float) -> str:
    return (
        f"the orders lie {shift:+.1f} pixels from their positions in the order table, more than "
        f"the largest shift of {max_shift:.1f}: beyond half the order spacing, orders "
        "are mistaken for their neighbours"
    )


# ---------------------------------------------------------------------- straightening


class _Slices(NamedTuple):
    """
    Where to look for the orders, sorted by position.

    ``columns`` has shape (n_slices, width). ``center`` (n_orders, n_slices, width) is the origin of
    the offsets, ``spacing`` (n_orders, n_slices) the distance to the nearest order, and ``boxes``
    (2, n_orders, 3, n_slices) the middle and width, as offsets, of the order below, the order
    itself and the one above; NaN if there is none or the table has no edges.
    """

    columns: np.ndarray
    center: np.ndarray
    spacing: np.ndarray
    boxes: np.ndarray

    @property
    def offsets(self) -> np.ndarray:
        reach = int(np.ceil(_REACH * np.nanmax(self.spacing)))
        return np.arange(-reach, reach + 1.0)

    def thinned(self) -> "_Slices":
        """The slices with every second column only."""
        return self._replace(columns=self.columns[:, ::2], center=self.center[..., ::2])


def _raster_and_slices(image, orders: EchelleOrderTable, name: str) -> tuple[np.ndarray, _Slices]:
    """The slice columns with the cross-dispersion along the rows, and the slices in them."""
    slices = _slices(orders.on_detector(checked_image(image, name)))
    columns = slices.columns.ravel()
    raster = as_raster(image, orders.dispersion_axis, lines=columns)
    centers, here = orders.center(columns), np.arange(len(columns)).reshape(slices.columns.shape)
    step = orders.shape[orders.dispersion_axis] / len(here)
    bridge_bad_rows(raster, None, here, step, centers)
    raster = without_dark_borders(raster, here, centers[:, here[:, 0]][len(centers) // 2])
    return raster.T, slices._replace(columns=here)


def _slices(orders: EchelleOrderTable) -> _Slices:
    centers = orders.center()
    n_pixels = centers.shape[1]
    width = min(n_pixels, int(np.clip(n_pixels // 100, 5, 11)))
    n_slices = min(_N_SLICES, n_pixels // width)
    middles = (np.arange(n_slices) + 0.5) * n_pixels / n_slices
    columns = (middles[:, None] - width / 2).astype(int) + np.arange(width)

    rank = np.argsort(np.nan_to_num(finite_median(centers), nan=np.inf))
    center = centers[rank][:, columns]
    origin = center[..., width // 2]
    middle, extent = origin, np.full(origin.shape, np.nan)
    if orders.has_edges:
        lower, upper = (edge[rank][:, columns[:, width // 2]]
                        for edge in (orders.lower(), orders.upper()))
        middle, extent = 0.5 * (lower + upper), upper - lower
    nothing = np.full((1, n_slices), np.nan)
    steps = np.vstack([nothing, np.diff(origin, axis=0), nothing])
    spacing = np.fmin(steps[:-1], steps[1:])
    spacing[~(spacing > 0)] = np.nan  # orders that touch or cross carry no information there
    if len(orders) == 1:
        if not orders.has_edges:
            raise ValueError("the order table has a single order and no edges, expected more")
        spacing = 2 * extent
    middles, extents = (_with_neighbours(values) for values in (middle, extent))
    return _Slices(columns, center, spacing, np.stack([middles - origin[:, None], extents]))


def _with_neighbours(values: np.ndarray) -> np.ndarray:
    """(n_orders, n_slices) to (n_orders, 3, n_slices): the order below, itself, the one above."""
    padded = np.pad(values, ((1, 1), (0, 0)), constant_values=np.nan)
    return np.stack([padded[:-2], values, padded[2:]], axis=1)


def _profiles(raster: np.ndarray, slices: _Slices, shift: float) -> np.ndarray:
    """
    Light at the offsets from the shifted order centres, shape (n_orders, n_slices, n_offsets).

    The median over the columns of a slice ignores cosmic rays.
    """
    return _medians(_samples(raster, slices, shift))


def _medians(samples: np.ndarray) -> np.ndarray:
    """Medians of the samples of each profile."""
    return finite_median(np.moveaxis(samples, 2, -1))


def _samples(raster: np.ndarray, slices: _Slices, shift: float) -> np.ndarray:
    """Samples of which profiles are the medians, (n_orders, n_slices, width, n_offsets)."""
    fraction = (slices.center + shift)[..., None] + slices.offsets
    below = np.floor(np.nan_to_num(fraction, copy=False, nan=-9))
    fraction -= below
    outside = (below < 0) | (below >= len(raster) - 1)
    below[outside] = 0
    width = raster.shape[1]
    here = below.astype(int) * width + slices.columns[..., None]
    values, rise = raster.take(here), raster.take(here + width)
    rise -= values
    values += np.multiply(fraction, rise, out=rise)  # in place, as these arrays are large
    values[outside] = np.nan
    return values


# ---------------------------------------------------------------------- which shift roughly


def _coarse_shift(raster, slices, max_shift) -> tuple[float, float]:
    """Common shift from the table to the light, good to a fraction of a pixel, and its match."""
    slices = slices.thinned()
    smallest = np.nanmin(slices.spacing)
    reach = max(1.5 * smallest, max_shift)
    trials = np.linspace(-reach, reach, 2 * int(np.ceil(4 * reach)) + 1)
    samples = _samples(raster, slices, 0.0)
    noise = _profile_noise(samples)
    phases = _phases(_medians(samples), slices, noise)
    scores = _score(phases, slices, trials)
    near = np.abs(trials) <= max_shift
    best = np.argmax(np.where(near, scores, -np.inf))
    if scores.max() > max(scores[best] + _CLEARLY_BETTER, _LEAST_MATCH):
        raise WrongOrderTableError(_too_far(trials[np.argmax(scores)], max_shift))
    shift = trials[best]
    trials = np.linspace(-0.25, 0.25, 101) * smallest
    for _ in range(2):  # once recentred, profiles are symmetric about the order and not cut by it
        phases = _phases(_profiles(raster, slices, shift), slices, noise)
        scores = _score(phases, slices, trials)
        shift += trials[np.argmax(scores)]
    if not scores.max() > _LEAST_MATCH:
        raise WrongOrderTableError(
            "the order table does not belong to this frame: at the best shift, "
            f"{shift:+.1f} pixels, the orders match to {scores.max():.2f} (1 if all do, 0 if "
            f"none), expected at least {_LEAST_MATCH}"
        )
    if abs(shift) > max_shift:
        raise WrongOrderTableError(_too_far(shift, max_shift))
    return shift, scores.max()


def _profile_noise(samples: np.ndarray) -> np.ndarray:
    """Noise of a sample of each profile, (n_orders, n_slices), from column to column."""
    steps = np.abs(np.diff(samples, axis=2)).reshape(*samples.shape[:2], -1)
    of_one = finite_median(steps) / _MEDIAN_DEVIATION / np.sqrt(2)
    return of_one * median_noise(np.array(samples.shape[2]))


def _phases(profiles: np.ndarray, slices: _Slices, noise: np.ndarray) -> np.ndarray:
    """
    Phase of the first harmonic, with the order spacing as the period, on the unit circle.

    0 where the second harmonic dominates, since there are then two orders per spacing. NaN where an
    order is cut or there is no light.
    """
    first, second, usable, total = _harmonics(profiles, slices)
    single = np.abs(first) > 0.5 * np.abs(second)
    phases = np.where(single, first / np.where(single, np.abs(first), 1), 0)
    dark = _outshone(first, usable) | (np.abs(first) < _LEAST_LIGHT * noise * np.sqrt(total))
    brightest = np.where(usable, np.abs(first), 0).max(axis=1, keepdims=True)
    dark |= np.abs(first) < _LEAST_ALONG * brightest
    typical = finite_median(np.abs(first[usable & ~dark]))
    dark |= np.abs(first) < _LEAST_TYPICAL * typical
    if (usable & ~dark).sum() > _LEAST_LIT * usable.sum():
        usable &= ~dark
    return np.where(usable, phases, np.nan)


def _harmonics(profiles: np.ndarray, slices: _Slices) -> tuple[np.ndarray, ...]:
    """First and second harmonics, where defined, and the number of samples they are based on."""
    spacing = slices.spacing[..., None]
    # The samples at both ends belong to the period only in part.
    inside = np.nan_to_num(np.clip(0.5 * spacing - np.abs(slices.offsets) + 0.5, 0, 1))
    usable = (np.isfinite(profiles) | (inside == 0)).all(axis=-1) & (inside > 0).any(axis=-1)
    light = np.where(inside > 0, profiles, 0)
    total = inside.sum(axis=-1, keepdims=True)
    light = light - (inside * light).sum(axis=-1, keepdims=True) / np.maximum(total, 1)
    turns = np.exp(2j * np.pi * slices.offsets / np.where(spacing > 0, spacing, np.inf))
    first, second = ((inside * light * turns**n).sum(axis=-1) for n in (1, 2))
    return first, second, usable, total[..., 0]


def _outshone(first: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Where a harmonic is no larger than what the wings of a neighbour would produce."""
    strength = np.pad(np.where(usable, np.abs(first), 0), ((1, 1), (0, 0)))
    return usable & (strength[1:-1] < _LEAST_BESIDE * np.maximum(strength[:-2], strength[2:]))


def _score(phases: np.ndarray, slices: _Slices, trials: np.ndarray) -> np.ndarray:
    """Mean cosine of the phases that remain after each trial shift."""
    good = np.isfinite(phases)
    if not good.any():
        raise ValueError("no order has measurable light: all are masked or cut by the border")
    phases, spacing = phases[good], slices.spacing[good]
    return np.array([(phases * np.exp(-2j * np.pi * t / spacing)).real.mean() for t in trials])


# ---------------------------------------------------------------------- the shift by fits


def _fine_shift(raster, slices, shift) -> tuple[float, float]:
    """Shift of the light, starting from a good guess, and its uncertainty."""
    samples = _samples(raster, slices, shift)
    noise = _profile_noise(samples)[..., None]
    profiles = _medians(samples)
    noise = np.broadcast_to(noise, profiles.shape)
    found = _middles_of_bands(profiles, slices) or _fit_fibres(profiles, noise, slices)
    if not found:
        try:
            return _fit_boxes(raster, slices, shift)
        except ValueError:  # orders two pixels wide hardly resemble boxes
            found = _fit_fibres(profiles, noise, slices, narrow=True)
            if not found:
                raise
    return shift + found[0], np.hypot(found[1], _MODEL_ERROR)


def _middles_of_bands(profiles, slices) -> tuple[float, float] | None:
    """Shift of the middles of orders that consist of several bands; None for single bands."""
    profiles = order_profiles(profiles)
    spacing = finite_median(slices.spacing)
    middle, extent = (finite_median(part[:, 1]) for part in slices.boxes)
    half = np.where(np.isfinite(extent), extent, spacing) / 2
    limits = np.stack([middle - half, middle + half])
    known = np.isfinite(profiles).any(axis=1) & np.isfinite(limits).all(axis=0)
    number = number_of_bands(profiles[known], limits[:, known]) if known.any() else 1
    if number == 1:
        return None
    offsets = band_offsets(profiles[known], limits[:, known], number)
    shifts = 0.5 * (offsets[:, 0] + offsets[:, -1]) - middle[known]
    return _common(shifts[:, None], np.full((len(shifts), 1), _BAND_ERROR))


def _fit_fibres(profiles, noise, slices, *, narrow=False) -> tuple[float, float] | None:
    """
    Shift of the light from Gaussians and its uncertainty; None if the orders are not fibres.

    With ``narrow``, orders too narrow to be distinguished from fibres are treated as fibres.
    """
    origin = slices.center[..., slices.center.shape[2] // 2]
    shown = origin[..., None] + slices.offsets, profiles, noise, finite_median(slices.spacing) / 4
    if not narrow and not are_fibres(*shown):
        return None
    fibres = fit_fibres(*shown)
    if narrow and not np.nanmedian(np.append(fibres.sigma, np.inf)) < _NARROW:
        return None
    off, uncertainty = _common(
        fibres.center - origin - slices.boxes[0, :, 1], fibres.center_error
    )
    return None if narrow and abs(off) > _TOLERATED_SHIFT else (off, uncertainty)


def _fit_boxes(raster, slices, shift) -> tuple[float, float]:
    """Shift of the light from boxes, starting from a good guess, and its uncertainty."""
    profiles = _profiles(raster, slices, shift)
    first, _, usable, _ = _harmonics(profiles, slices)
    use = _fit_window(profiles, slices) & ~_outshone(first, usable)[..., None]
    middle, extent = slices.boxes
    free_width = not np.isfinite(extent).any()
    if free_width:
        extent = _equivalent_widths(profiles, slices)
    blur, start = _FIRST_BLUR, shift
    for _ in range(_MAX_ITERATIONS):
        design = _box_design(slices.offsets, middle + (shift - start), extent, blur, profiles, use)
        values, errors = _least_squares(design, profiles, use)
        step, uncertainty = _common(values[..., -3], errors[..., -3])
        shift += step
        if abs(step) < _TOLERANCE:
            brightness = values[..., 3]
            if not np.nanmedian(brightness) > 0:
                break
            return shift, np.hypot(uncertainty, _MODEL_ERROR)
        if free_width:
            wider = _with_neighbours(np.clip(values[..., -2], -1, 1))
            extent = np.maximum(extent + np.nan_to_num(wider), 1)
        blur = np.clip(blur + np.nanmedian(np.clip(values[..., -1], -0.5, 0.5)), 0.3, 5)
    raise ValueError(_NO_ORDERS)


def _fit_reference(raster, reference, slices, origin, shift) -> tuple[float, float]:
    """Shift of one frame against another, starting from a good guess, and its uncertainty."""
    template = _profiles(reference, slices, origin)
    slope = np.gradient(template, axis=-1)
    offsets = np.broadcast_to(slices.offsets, template.shape)
    design = np.stack([np.ones_like(template), offsets, template, -slope], axis=-1)
    for _ in range(_MAX_ITERATIONS):
        # The frame is resampled afresh, so that it is interpolated once, like the reference.
        profiles = _profiles(raster, slices, origin + shift)
        use = _fit_window(profiles + slope, slices)
        values, errors = _least_squares(design, profiles, use)
        brightness = np.where(values[..., 2] > 0, values[..., 2], np.nan)
        step, uncertainty = _common(values[..., 3] / brightness, errors[..., 3] / brightness)
        shift += step
        if abs(step) < _TOLERANCE:
            return shift, uncertainty
    raise ValueError(_NO_ORDERS)


def _fit_window(profiles: np.ndarray, slices: _Slices) -> np.ndarray:
    """Which samples of a profile are fitted; none where an order is cut."""
    within = np.abs(slices.offsets) <= _REACH * slices.spacing[..., None]
    core = np.abs(slices.offsets) <= 0.5 * slices.spacing[..., None]
    complete = (np.isfinite(profiles) | ~core).all(axis=-1, keepdims=True)
    return within & np.isfinite(profiles) & complete


def _equivalent_widths(profiles: np.ndarray, slices: _Slices) -> np.ndarray:
    """Width of a box of the same height and area, (n_orders, 3, n_slices), one for each order."""
    core = np.abs(slices.offsets) <= 0.5 * slices.spacing[..., None]
    light = np.where(core, profiles, np.nan)
    usable = (np.isfinite(light) | ~core).all(axis=-1) & core.any(axis=-1)
    light = np.where(core & usable[..., None], profiles, 0)
    low = np.where(core, light, np.inf).min(axis=-1, keepdims=True, initial=np.inf)
    high = np.where(core, light, -np.inf).max(axis=-1, keepdims=True, initial=-np.inf)
    with np.errstate(invalid="ignore", divide="ignore"):
        widths = (np.where(core, light - low, 0) / (high - low)).sum(axis=-1)
    widths[~usable] = np.nan
    typical = finite_median(widths)
    typical = np.where(np.isfinite(typical), typical, finite_median(typical[None]))
    return _with_neighbours(np.broadcast_to(typical[:, None], widths.shape))


def _box_design(offsets, middle, extent, blur, profiles, use) -> np.ndarray:
    """
    Model of the profiles: background, slope and three boxes, and the derivatives by their common
    tilt, shift, width and blur; shape (n_orders, n_slices, n_offsets, 9).
    """
    away = offsets - np.moveaxis(middle, 1, -1)[..., None]  # n_orders, n_slices, 3, n_offsets
    half = 0.5 * np.moveaxis(extent, 1, -1)[..., None]
    lower, upper = (away + half) / blur, (away - half) / blur
    boxes = blurred_step(lower) - blurred_step(upper)
    bells = [gaussian(lower) / blur, gaussian(upper) / blur]
    derivatives = [
        boxes * away / half, bells[1] - bells[0], 0.5 * (bells[0] + bells[1]),
        upper * bells[1] - lower * bells[0],
    ]
    boxes, *derivatives = (np.nan_to_num(a) for a in (boxes, *derivatives))
    constant = np.ones_like(boxes[:, :, 0])
    design = np.stack(
        [constant, constant * offsets / offsets[-1], *np.moveaxis(boxes, 2, 0)], axis=-1
    )
    light = _least_squares(design, profiles, use)[0][..., -3:]
    light = np.where(np.isfinite(light), light, 0)
    moved = [np.einsum("osk,oskn->osn", light, d) for d in derivatives]
    return np.concatenate([design, np.stack(moved, axis=-1)], axis=-1)


def _least_squares(design, profiles, use) -> tuple[np.ndarray, np.ndarray]:
    """Parameters of each profile and their standard deviations from the residuals, or NaN."""
    design = np.where(use[..., None], design, 0)
    data = np.where(use, profiles, 0)
    scale = np.sqrt((design**2).sum(axis=-2))
    usable = use.sum(axis=-1) > design.shape[-1]
    # A missing neighbour has an empty column: any value will do and has no effect.
    scale = np.where(scale > 0, scale, 1)
    design = design / scale[..., None, :]
    normal = np.swapaxes(design, -1, -2) @ design
    inverse = np.linalg.pinv(normal, rcond=1e-9, hermitian=True)
    values = (inverse @ (np.swapaxes(design, -1, -2) @ data[..., None]))[..., 0]
    residual = data - (design @ values[..., None])[..., 0]
    freedom = np.maximum(use.sum(axis=-1) - design.shape[-1], 1)
    variance = (residual**2).sum(axis=-1) / freedom
    errors = np.sqrt(variance[..., None] * np.diagonal(inverse, axis1=-2, axis2=-1))
    values, errors = values / scale, errors / scale
    return tuple(np.where(usable[..., None], a, np.nan) for a in (values, errors))


def _common(shifts: np.ndarray, errors: np.ndarray) -> tuple[float, float]:
    """Mean shift of all orders and slices without outliers, and its uncertainty."""
    good = np.isfinite(shifts) & np.isfinite(errors)
    if not good.any():
        raise ValueError("no order could be fitted: all are cut by the border or masked")
    center = np.median(shifts[good])
    spread = scatter_about_zero(shifts[good] - center) + 1e-9
    good &= np.abs(shifts - center) <= _SIGMA_CLIP * np.hypot(spread, np.nan_to_num(errors))
    weights = np.where(good, 1 / (np.nan_to_num(errors) ** 2 + spread**2), 0)
    shifts = np.where(good, shifts, 0)
    mean = (weights * shifts).sum() / weights.sum()
    # The slices of an order share its errors; the orders are the independent measurements.
    per_order = (weights * (shifts - mean)).sum(axis=1)
    return mean, np.sqrt((per_order**2).sum()) / weights.sum()
