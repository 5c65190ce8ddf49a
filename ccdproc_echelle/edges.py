# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Where the orders end: order edges measured on a flat, and the inter-order area masked."""

import warnings
from typing import NamedTuple

import numpy as np
from astropy import units as u
from astropy.nddata import CCDData, InverseVariance, StdDevUncertainty
from astropy.table import QTable
from astropy.utils.exceptions import AstropyUserWarning
from numpy.polynomial.chebyshev import chebvander, chebvander2d
from scipy.ndimage import uniform_filter1d
from scipy.special import ndtr, ndtri

from ccdproc_echelle.orders import EchelleOrderTable

__all__ = [
    "detect_order_edges",
    "fit_order_edges",
    "mask_interorder",
    "measure_order_edges",
    "poorly_measured",
]

# Light above the background, in units of the noise of one sample of a slice, for a measurement.
_MIN_SIGNAL_TO_NOISE = 10.0

# The plateau reaches this far from the middle of an order, in units of half its width. Further
# out a blur of a sixth of the width would be felt.
_PLATEAU = 0.6

# The next order begins where the light beyond an edge rises to this fraction of the plateau: it
# may be several times fainter.
_RISING = 0.2

# Slices that show no edges are tried again at this many times their width.
_WIDENINGS = (3, 9)

# Where nothing was measured the model counts for a tenth of a measurement: enough to hold the
# polynomial in a gap, too little to disturb it where there are measurements.
_MODEL_WEIGHT = 0.1

# What the smooth function of the place on the detector says of a width is uncertain by this much,
# in pixel; noisier measurements of a width yield to it.
_WIDTH_UNCERTAINTY = 0.25

# An edge measured in a smaller fraction of the slices is worth a warning.
_WELL_MEASURED = 0.75

# Residuals below a thousandth of a pixel are no outliers, however well the others fit.
_LEAST_SCATTER = 1e-3

# Orders narrower than this, and orders whose neighbours are nearer, in units of the standard
# deviation of the blur, have no plateau or no background of their own.
_RESOLVED = 8.0

# An order narrower than this, in pixel, has too few samples to see a slope of its plateau.
_NARROW = 12.0

# A slit narrower than this, in units of the blur, cannot be told from the blur.
_UNRESOLVED = 2.0

# How often the blurred slits, and with them what each gets of its neighbours' light, are improved.
_SLIT_ITERATIONS = 10

# What the model of a blurred slit may miss of the light, as a fraction of it; and by how much the
# slope of the illumination may vary about that of the whole frame.
_MODEL_ERROR = 0.003
_SLOPE_SCATTER = 0.01

# A model that leaves three times this fraction of the light, noise apart, or ends further than
# this from the half-maximum, in pixel, has failed.
_LARGEST_MISFIT = 0.03
_LARGEST_SHIFT = 2.0

_NOTHING_FOUND = (
    "no order edges found: in no order does the light of enough slices rise from a darker "
    "background to a plateau near the order centre, and fall again, on the detector"
)


def detect_order_edges(
    flat: CCDData,
    orders: EchelleOrderTable,
    *,
    threshold: float | tuple[float, float] = 0.5,
    slice_length: float | None = None,
    slice_width: int | None = None,
    degree: int = 4,
    order_degree: int = 2,
    sigma: float = 5.0,
    maxiters: int = 5,
) -> EchelleOrderTable:
    """
    Measure the order edges on a flat.

    Cross-dispersion slices are resampled along the curved order centres and combined by the
    median of ``slice_width`` dispersion pixels; slices too faint to show edges are tried again
    three and nine times as wide. On each side of each slice the edge is where the
    light falls through ``threshold`` times the step from the inter-order background to the
    plateau of the order, both measured locally. The edge positions relative to the order centre
    are fitted with a Chebyshev series, outliers clipped. The order centres are kept as given.

    A step blurred by a symmetric point-spread function and integrated over pixels keeps half its
    height exactly where the step was, so the default threshold is unbiased as long as the order
    has a plateau and the gap a background. A sloped plateau is extrapolated to either edge.

    Orders narrower than 8 standard deviations of the blur, or 12 pixel, and orders whose neighbours
    are nearer than 8 have neither. Unless another ``threshold`` is asked for, their edges are those
    of a slit that is blurred and lies between blurred neighbours: a model with two edges, height
    and background in each slice, and a single blur and slope of the slit illumination in the whole
    frame, fitted by least squares. The edges are the half-maxima of the slit before its blur.
    Where the slit is hardly wider than the blur, less than two standard deviations, the two cannot
    be told apart, and the half-maxima of the light stand.

    An edge that cannot be measured - outside the detector, masked, too faint - is placed at
    the order's width from its opposite edge; where that one is missing as well, symmetrically
    about the order centre, which is corrected by what was measured in the rest of the order. The
    widths are a smooth function of the position on the detector, fitted to all measured orders. The
    edges of noisy orders are drawn towards that width.

    Parameters
    ----------
    flat : `~astropy.nddata.CCDData` or array, shape (rows, columns)
        A flat frame, usually the master flat; any unit or level will do. Masked and non-finite
        pixels are ignored. The uncertainty, where there is one, gives the noise from which it is
        decided whether a slice is bright enough; else the scatter of the pixels within the slice.
    orders : `EchelleOrderTable`
        The order centres. They may be some pixels off, as long as they lie within the orders:
        slices are re-centred. Edges already in the table are replaced.
    threshold : float or tuple of float, optional
        Where on the rise from the background (0) to the plateau (1) the edge is. For a pair,
        eleven levels are tried from the first to the second, until both edges of a slice are found.
    slice_length : float, optional
        Cross-dispersion extent of a slice in pixel. It must reach into the inter-order area on
        both sides. Default: 1.5 times the distance to the neighbouring orders.
    slice_width : int, optional
        Dispersion pixels combined to one slice. Default: a hundredth of the dispersion axis,
        but from 5 to 25, and fewer on tiny frames.
    degree : int, optional
        Degree, along the dispersion axis, of the Chebyshev series fitted to the difference of edge
        and order centre; at least that of the centres themselves.
    order_degree : int, optional
        Degree, across the orders, of the smooth function that describes their widths.
    sigma : float, optional
        Points further than this many standard deviations (from the median absolute deviation) off
        a fit are clipped.
    maxiters : int, optional
        Largest number of clipping iterations.

    Returns
    -------
    `EchelleOrderTable`
        The same order centres with ``lower`` and ``upper`` edges. ``lower_rms`` and ``upper_rms``
        are the residuals of the measured points that were not clipped; NaN where an edge was not
        measured at all. ``lower_measured`` and ``upper_measured`` are the fractions of the slices,
        of those in which the edge is on the detector, in which it was measured.
        ``lower_measured_min``, ``lower_measured_max`` and likewise for ``upper`` are the first and
        last dispersion pixels with a measurement; beyond them the edge is extrapolated.

    Raises
    ------
    ValueError
        If a parameter is out of range, the frame is not 2-D, the order table is for another
        detector, the table has a single order and no ``slice_length`` is given, or no order has
        edges that can be measured.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        Names the orders with an edge that lies on the detector but could be measured in less than
        three quarters of the slices.

    See Also
    --------
    measure_order_edges : the points alone, for plots and quality control.
    fit_order_edges : the fit alone.
    mask_interorder

    Notes
    -----
    The method follows the edge detection of the SOXS pipeline (`soxspipe`_), whose ``soxs-mflat``
    settings correspond to the parameters as follows: ``slice-length-for-edge-detection`` is
    ``slice_length``, ``slice-width-for-edge-detection`` is ``slice_width``,
    ``min-percentage-threshold-for-edge-detection`` and
    ``max-percentage-threshold-for-edge-detection`` are the pair ``threshold`` (as fractions),
    ``disp-axis-deg`` is ``degree``, ``order-deg`` is ``order_degree``,
    ``poly-fitting-residual-clipping-sigma`` is ``sigma`` and ``poly-clipping-iteration-limit`` is
    ``maxiters``. Unlike there, the edges of each order are fitted on their own, so that the order
    degree only matters where an edge was not measured, or poorly. Both fits, that of each edge
    along its order and that of the widths over (order, pixel), are made robust by clipping.

    .. _soxspipe: https://soxspipe.readthedocs.io

    Examples
    --------
    >>> from ccdproc_echelle import EchelleOrderTable
    >>> from ccdproc_echelle.edges import detect_order_edges
    >>> import numpy as np
    >>> flat = np.zeros((60, 200))
    >>> flat[10:21], flat[35:46] = 1, 2
    >>> orders = EchelleOrderTable.from_polynomials(
    ...     [7, 8], [[14], [41]], shape=flat.shape, dispersion_axis=1)
    >>> edges = detect_order_edges(flat, orders)
    >>> print(edges.lower([100])[:, 0].round(3), edges.upper([100])[:, 0].round(3))
    [ 9.5 34.5] [20.5 45.5]
    """
    points = measure_order_edges(
        flat, orders, threshold=threshold, slice_length=slice_length, slice_width=slice_width,
        degree=degree, sigma=sigma, maxiters=maxiters,
    )
    orders = orders.on_detector(points.meta["shape"])
    return fit_order_edges(
        points, orders, degree=degree, order_degree=order_degree, sigma=sigma, maxiters=maxiters
    )


def measure_order_edges(
    flat: CCDData,
    orders: EchelleOrderTable,
    *,
    threshold: float | tuple[float, float] = 0.5,
    slice_length: float | None = None,
    slice_width: int | None = None,
    degree: int = 4,
    sigma: float = 5.0,
    maxiters: int = 5,
) -> QTable:
    """
    Measure points on the order edges; the first half of `detect_order_edges`.

    Parameters
    ----------
    flat, orders, threshold, slice_length, slice_width, degree, sigma, maxiters
        As for `detect_order_edges`.

    Returns
    -------
    `~astropy.table.QTable`
        One row for each slice and edge, with the columns ``order`` (the order number), ``edge``
        ("lower" or "upper"), ``pixel`` (along the dispersion axis), ``position`` (across it; NaN
        where no edge was found), ``uncertainty`` (standard deviation from the noise of the slice
        alone) and ``used`` (False where no edge was found or the point is an outlier). The shape
        of the frame is in the ``meta``.

    Raises
    ------
    ValueError
        As for `detect_order_edges`.

    See Also
    --------
    fit_order_edges : the second half.

    Examples
    --------
    >>> from ccdproc_echelle import EchelleOrderTable
    >>> from ccdproc_echelle.edges import fit_order_edges, measure_order_edges
    >>> import numpy as np
    >>> flat = np.zeros((60, 200))
    >>> flat[10:21], flat[35:46] = 1, 2
    >>> orders = EchelleOrderTable.from_polynomials(
    ...     [7, 8], [[14], [41]], shape=flat.shape, dispersion_axis=1)
    >>> points = measure_order_edges(flat, orders)
    >>> points["position"][(points["order"] == 8) & (points["edge"] == "upper")].max()
    <Quantity 45.5 pix>
    >>> points["used"][:3] = False  # any point may be left out of the fit
    >>> edges = fit_order_edges(points, orders)
    """
    levels = _checked_levels(threshold)
    _check_options(slice_length, slice_width, degree, 0, sigma, maxiters)
    raster, noise = _as_rasters(flat, orders.dispersion_axis)
    shape = raster.shape if orders.dispersion_axis == 0 else raster.shape[::-1]
    orders = orders.on_detector(shape)
    centers = orders.center()
    outside = ~np.isfinite(centers).any(axis=1)
    if outside.any():
        raise ValueError(
            f"orders {orders.order_numbers[outside].tolist()} have no pixel on the detector"
        )
    lengths = _slice_lengths(centers, slice_length)
    columns = _slice_columns(centers.shape[1], slice_width, degree)
    slices, crossings = _measured_slices(raster, noise, centers, columns, lengths, levels)
    if not np.isfinite(crossings.edges).all(axis=0).any():
        raise ValueError(_NOTHING_FOUND)
    edges, errors = _edges_and_errors(slices, crossings, levels)
    pixels = columns.mean(axis=1)
    bases = _bases(orders, pixels, degree)
    used = _inliers(edges - orders.center(pixels), bases, (sigma, maxiters))
    if not used.all(axis=0).any():
        raise ValueError(_NOTHING_FOUND)
    side, order, place = (index.ravel() for index in np.indices(edges.shape))
    return QTable(
        {
            "order": orders.order_numbers[order],
            "edge": np.array(["lower", "upper"])[side],
            "pixel": pixels[place] * u.pix,
            "position": edges.ravel() * u.pix,
            "uncertainty": errors.ravel() * u.pix,
            "used": used.ravel(),
        },
        meta={"shape": shape},
    )

def fit_order_edges(
    points: QTable,
    orders: EchelleOrderTable,
    *,
    degree: int = 4,
    order_degree: int = 2,
    sigma: float = 5.0,
    maxiters: int = 5,
) -> EchelleOrderTable:
    """
    Fit the order edges to measured points; the second half of `detect_order_edges`.

    Parameters
    ----------
    points : `~astropy.table.QTable`
        Points as from `measure_order_edges`. Only those with ``used`` are fitted.
    orders, degree, order_degree, sigma, maxiters
        As for `detect_order_edges`, whose points these are.

    Returns
    -------
    `EchelleOrderTable`
        As from `detect_order_edges`.

    Raises
    ------
    ValueError
        If a parameter is out of range, the points are not those of these orders, the order table
        has no detector shape, or there is no slice with both edges.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        As `detect_order_edges`.
    """
    _check_options(None, None, degree, order_degree, sigma, maxiters)
    if orders.shape is None:
        raise ValueError("the order table has no detector shape; bind it with on_detector() first")
    pixels, edges = _gridded(points, orders.order_numbers)
    if not np.isfinite(edges).all(axis=0).any():
        raise ValueError(_NOTHING_FOUND)
    return _with_fitted_edges(orders, pixels, edges, (degree, order_degree), (sigma, maxiters))


def _gridded(points, order_numbers) -> tuple[np.ndarray, np.ndarray]:
    """Dispersion pixels, and the used positions at them, (2, n_orders, n_pixels)."""
    missing = {"order", "edge", "pixel", "position", "used"}.difference(points.colnames)
    if missing:
        raise ValueError(f"points has no column {sorted(missing)[0]!r}")
    unknown = set(np.asarray(points["order"]).tolist()).difference(order_numbers.tolist())
    if unknown:
        raise ValueError(f"points has orders {sorted(unknown)}, which are not in the order table")
    pixels, place = np.unique(u.Quantity(points["pixel"], u.pix).value, return_inverse=True)
    rank = np.argsort(order_numbers)
    order = rank[np.searchsorted(order_numbers, points["order"], sorter=rank)]
    side = (np.asarray(points["edge"]) == "upper").astype(int)
    edges = np.full((2, len(order_numbers), len(pixels)), np.nan)
    position = u.Quantity(points["position"], u.pix).value
    edges[side, order, place] = np.where(points["used"], position, np.nan)
    return pixels, edges

def mask_interorder(
    flat: CCDData,
    orders: EchelleOrderTable,
    *,
    fill_value: float = 1.0,
    margin: float = 0,
    mask: bool = True,
) -> CCDData:
    """
    Set the inter-order area of a flat to a constant, so that dividing by it does nothing there.

    Parameters
    ----------
    flat : `~astropy.nddata.CCDData`, shape (rows, columns)
        The flat; it is not changed.
    orders : `EchelleOrderTable`
        The orders, with edges.
    fill_value : float, optional
        The value between the orders, in the unit of the flat.
    margin : float, optional
        Pixels by which both edges of each order are moved outwards; negative moves them inwards.
    mask : bool, optional
        Whether the inter-order area is masked as well.

    Returns
    -------
    `~astropy.nddata.CCDData`
        A copy with the same unit, header and WCS. Between the orders the uncertainty is that of an
        exact value: 0, or infinity for an `~astropy.nddata.InverseVariance`. Integer data become
        float.

    Raises
    ------
    TypeError
        If ``flat`` is not a `~astropy.nddata.CCDData`.
    ValueError
        If the order table has no edges or is for another detector, or ``fill_value`` is not finite.

    See Also
    --------
    detect_order_edges

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.nddata import CCDData
    >>> from ccdproc_echelle import EchelleOrderTable
    >>> from ccdproc_echelle.edges import mask_interorder
    >>> orders = EchelleOrderTable.from_polynomials(
    ...     [1], [[2]], lower=[[0.5]], upper=[[3.5]], shape=(5, 2), dispersion_axis=1)
    >>> flat = mask_interorder(CCDData(np.full((5, 2), 0.9), unit=""), orders)
    >>> flat.data[:, 0], flat.mask[:, 0]
    (array([1. , 0.9, 0.9, 0.9, 1. ]), array([ True, False, False, False,  True]))
    """
    if not isinstance(flat, CCDData):
        raise TypeError(f"flat is a {type(flat).__name__}, expected a CCDData")
    if not np.isfinite(fill_value):
        raise ValueError(f"fill_value is {fill_value!r}, expected a finite number")
    outside = orders.on_detector(flat.shape).order_map(margin) == 0
    result = flat.copy()
    if result.data.dtype.kind != "f":
        result.data = result.data.astype(float)
    result.data[outside] = fill_value
    if result.uncertainty is not None:
        exact = np.inf if isinstance(result.uncertainty, InverseVariance) else 0
        result.uncertainty.array[outside] = exact
    if mask:
        result.mask = outside if flat.mask is None else flat.mask | outside
    return result


# ---------------------------------------------------------------------- checks at the door


def _checked_levels(threshold) -> np.ndarray:
    """The levels to try, in order."""
    ends = np.atleast_1d(np.asarray(threshold, dtype=float))
    if ends.shape not in ((1,), (2,)) or not ((ends > 0) & (ends < 1)).all() or ends[0] > ends[-1]:
        raise ValueError(
            f"threshold is {threshold!r}, expected a number between 0 and 1 or a rising pair"
        )
    return ends if len(ends) == 1 else np.linspace(*ends, 11)


def _check_options(slice_length, slice_width, degree, order_degree, sigma, maxiters) -> None:
    for name, value, least in (
        ("slice_width", slice_width, 1),
        ("degree", degree, 0),
        ("order_degree", order_degree, 0),
        ("maxiters", maxiters, 0),
    ):
        if value is None and name == "slice_width":
            continue
        if not isinstance(value, (int, np.integer)) or value < least:
            raise ValueError(f"{name} is {value!r}, expected an integer of at least {least}")
    if slice_length is not None and not 4 <= slice_length < np.inf:
        raise ValueError(f"slice_length is {slice_length!r}, expected at least 4 pixels")
    if not sigma > 0:
        raise ValueError(f"sigma is {sigma!r}, expected a positive number")


def _as_rasters(flat, dispersion_axis: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Data and noise with the cross-dispersion along the last axis, NaN where not usable."""
    if isinstance(flat, np.ma.MaskedArray):
        flat = flat.filled(np.nan) if flat.dtype.kind == "f" else flat.astype(float).filled(np.nan)
    bare = isinstance(flat, np.ndarray) or not hasattr(flat, "data")
    data = np.array(flat if bare else flat.data, dtype=float)
    if data.ndim != 2:
        raise ValueError(f"flat has {data.ndim} dimensions, expected an image with 2")
    mask = None if bare else getattr(flat, "mask", None)
    uncertainty = None if bare else getattr(flat, "uncertainty", None)
    data[~np.isfinite(data) | (False if mask is None else np.asarray(mask, dtype=bool))] = np.nan
    noise = None
    if uncertainty is not None and uncertainty.uncertainty_type != "unknown":
        noise = uncertainty.represent_as(StdDevUncertainty).array
    rasters = (a if a is None or dispersion_axis == 0 else a.T for a in (data, noise))
    return tuple(None if a is None else np.ascontiguousarray(a, dtype=float) for a in rasters)


# ---------------------------------------------------------------------- slices


def _slice_lengths(centers: np.ndarray, slice_length: float | None) -> np.ndarray:
    """Cross-dispersion extent of the slices of each order."""
    if slice_length is not None:
        return np.full(len(centers), float(slice_length))
    if len(centers) == 1:
        raise ValueError(
            "slice_length is needed: the order table has a single order, so there is no distance "
            "between orders to take it from"
        )
    typical = np.array([np.median(center[np.isfinite(center)]) for center in centers])
    rank = np.argsort(typical)
    steps = np.diff(typical[rank])
    spacing = np.empty(len(centers))
    spacing[rank] = 0.5 * (np.append(steps[0], steps) + np.append(steps, steps[-1]))
    return np.maximum(1.5 * spacing, 4.0)


def _slice_columns(n_pixels: int, slice_width: int | None, degree: int) -> np.ndarray:
    """Dispersion pixels of each slice, shape (n_slices, slice_width)."""
    if slice_width is None:
        slice_width = np.clip(n_pixels // 100, 5, 25)
        slice_width = max(1, min(slice_width, n_pixels // (4 * (degree + 1))))
    slice_width = min(slice_width, n_pixels)
    n_slices = n_pixels // slice_width
    first = (n_pixels - n_slices * slice_width) // 2
    return first + np.arange(n_slices * slice_width).reshape(n_slices, slice_width)


class _Slices(NamedTuple):
    """Cross-dispersion slices, one for each order and place along the dispersion."""

    profiles: np.ndarray  # light, (n_orders, n_slices, n_samples), NaN where there is none
    noise: np.ndarray  # its standard deviation, likewise
    smear: np.ndarray  # variance that the resampling added to the blur, (n_orders, n_slices)
    origins: np.ndarray  # cross-dispersion position of the first sample, (n_orders, n_slices)


class _Crossings(NamedTuple):
    """What was measured in the slices; all (2, n_orders, n_slices), the lower edges first."""

    edges: np.ndarray  # index along the slice, NaN where not found
    plateaus: np.ndarray  # light of the order at its edge
    backgrounds: np.ndarray  # light beyond the edge


def _measured_slices(raster, noise, centers, columns, lengths, levels):
    """
    Slices, and where the light falls through one of the levels.

    Where a slice shows no edges, mostly for lack of light, a wider one about the same pixel is
    tried.
    """
    pixels = columns.mean(axis=1)
    reach = int(np.ceil(lengths.max() / 2))

    def measure(rows, places, columns):
        slices = _extract_slices(raster, noise, centers[rows], pixels[places], columns, reach)
        slices.profiles[_is_beyond(lengths[rows], reach, len(places))] = np.nan
        return slices, _find_crossings(slices, lengths[rows], levels)

    slices, crossings = measure(np.arange(len(centers)), np.arange(len(columns)), columns)
    for widening in _WIDENINGS:
        missing = np.isnan(crossings.edges).any(axis=0)
        rows, places = (np.flatnonzero(missing.any(axis=axis)) for axis in (1, 0))
        if not len(rows):
            break
        wider, crossed = measure(rows, places, _widened(columns[places], widening, len(raster)))
        before = np.isfinite(crossings.edges).sum(axis=0)[np.ix_(rows, places)]
        better = np.isfinite(crossed.edges).sum(axis=0) > before
        row, place = (index[k] for index, k in zip((rows, places), better.nonzero(), strict=True))
        for ours, theirs in zip(slices, wider, strict=True):
            ours[row, place] = theirs[better]
        for ours, theirs in zip(crossings, crossed, strict=True):
            ours[:, row, place] = theirs[:, better]
    return slices, crossings


def _is_beyond(lengths, reach, n_slices) -> np.ndarray:
    """Which samples are too far from the order centre, (n_orders, n_slices, n_samples)."""
    away = np.abs(np.arange(-reach, reach + 1))
    beyond = away > lengths[:, None, None] / 2
    return np.broadcast_to(beyond, (len(lengths), n_slices, len(away)))


def _widened(columns: np.ndarray, factor: int, n_pixels: int) -> np.ndarray:
    """Slices around the same pixels, wider by a factor; less so near the end of the detector."""
    extra = (factor - 1) * columns.shape[1] // 2
    room = np.minimum(columns[:, 0], n_pixels - 1 - columns[:, -1])[:, None]
    offsets = np.arange(-extra, columns.shape[1] + extra)
    wide = columns[:, :1] + offsets
    outside = (offsets < -room) | (offsets >= columns.shape[1] + room)
    return np.where(outside, -1, wide)


def _extract_slices(raster, noise, centers, pixels, columns, reach) -> _Slices:
    """The slices about some dispersion pixels, as far as ``reach`` on either side."""
    n_samples = 2 * reach + 1
    variance = None if noise is None else noise**2
    slices = []
    for center in centers:
        middle = np.interp(pixels, np.arange(len(center)), center)
        origin = np.rint(middle) - reach
        traces = np.where(columns >= 0, center[columns], np.nan)
        starts = origin[:, None] + np.round(traces - middle[:, None], 3)
        profile, sigma = _median_and_noise(_resample(raster, columns, starts, n_samples))
        if variance is not None:
            sigma = _noise_of_median(_resample(variance, columns, starts, n_samples))
        used = np.isfinite(starts)
        fraction = np.where(used, starts - np.floor(starts), 0)
        smear = (fraction * (1 - fraction)).sum(axis=1) / np.maximum(used.sum(axis=1), 1)
        slices.append((profile, sigma, smear, origin))
    return _Slices(*(np.array(parts) for parts in zip(*slices, strict=True)))


def _resample(raster, columns, starts, n_samples: int) -> np.ndarray:
    """
    Values at ``starts + 0, 1, 2 ...``, linear between pixels.

    Shape (n_slices, n_samples, slice_width).
    """
    n_cross = raster.shape[1]
    whole = np.floor(np.nan_to_num(starts, nan=-1e9))
    fraction = (starts - whole)[..., None]
    rows = whole[..., None].astype(int) + np.arange(n_samples + 1)
    outside = (rows < 0) | (rows >= n_cross)
    values = raster[columns[..., None], np.where(outside, 0, rows)]
    values[outside] = np.nan
    here, above = values[..., :-1], values[..., 1:]
    values = np.where(fraction == 0, here, (1 - fraction) * here + fraction * above)
    return values.swapaxes(1, 2)


def _finite_median(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Median along the last axis without NaN, the sorted values, and how many are no NaN."""
    ranked = np.sort(values, axis=-1)
    count = np.isfinite(ranked).sum(axis=-1)
    low = _take(ranked, np.maximum(count - 1, 0) // 2)
    high = _take(ranked, np.minimum(count // 2, values.shape[-1] - 1))
    return np.where(count > 0, 0.5 * (low + high), np.nan), ranked, count


def _median_and_noise(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median along the last axis, and its standard deviation from the quartiles."""
    median, ranked, count = _finite_median(values)
    last = np.maximum(count - 1, 0)
    spread = _take(ranked, last - last // 4) - _take(ranked, last // 4)
    expected = -2 * ndtri((last // 4 + 0.625) / (last + 1.25))  # of normal values, by rank
    spread = spread / np.maximum(expected, 0.1)
    return median, spread * _noise_reduction(count)


def _noise_of_median(variances: np.ndarray) -> np.ndarray:
    """Standard deviation of the median along the last axis."""
    usable = np.isfinite(variances)
    count = np.maximum(usable.sum(axis=-1), 1)
    mean = np.where(usable, variances, 0).sum(axis=-1) / count
    return _noise_reduction(count) * np.sqrt(mean)


def _noise_reduction(count: np.ndarray) -> np.ndarray:
    """Standard deviation of the median of normal values, relative to that of one value."""
    return np.sqrt(np.pi / 2 / (np.maximum(count, 1) + np.pi / 2 - 1))


# ---------------------------------------------------------------------- levels and crossings
#
# From here on the two sides of a slice are one problem: the lower side is mirrored, so that an
# edge is always a fall of the light to the right. Arrays are (2, n_slices, n_samples) or
# (2, n_slices), lower side first; positions are indices along the last axis.


def _find_crossings(slices: _Slices, lengths, levels) -> _Crossings:
    """Where the light falls through the first of the levels at which both edges are found."""
    n_orders, n_slices, n_samples = slices.profiles.shape
    reach = np.repeat(lengths / 2, n_slices)
    profiles = slices.profiles.reshape(-1, n_samples)
    sides = np.stack([profiles[:, ::-1], profiles])
    smooth = _smoothed(sides, max(1, int(lengths.min() / 24)))
    edges = _rough_edges(smooth, reach)
    for _ in range(2):  # the levels depend, a little, on where the edges are
        middle, half = _middle_and_half(edges, n_orders, n_samples)
        plateau = _plateau_at_edge(sides, middle, half)
        background = _background(sides, smooth, middle + half, plateau, reach)
        step = plateau - background
        relative = (sides - background[..., None]) / np.where(step > 0, step, np.nan)[..., None]
        edges = np.full(middle.shape, np.nan)
        for level in levels:
            missing = np.isnan(edges).any(axis=0)
            edges[:, missing] = _crossings(relative[:, missing], middle[:, missing], level)
    noise = slices.noise.reshape(-1, n_samples)
    noise = _median_between(noise, (middle - half)[1], (middle + half)[1])
    edges[~(step > _MIN_SIGNAL_TO_NOISE * noise)] = np.nan
    edges = _mirrored_back(edges, n_samples)
    return _Crossings(*(a.reshape(2, n_orders, n_slices) for a in (edges, plateau, background)))


def _mirrored_back(edges: np.ndarray, n_samples: int) -> np.ndarray:
    return np.stack([n_samples - 1 - edges[0], edges[1]])


def _smoothed(profiles: np.ndarray, width: int) -> np.ndarray:
    """Running mean over the finite samples."""
    finite = np.isfinite(profiles)
    weight = uniform_filter1d(finite.astype(float), width, mode="constant")
    total = uniform_filter1d(np.where(finite, profiles, 0), width, mode="constant")
    return np.where(weight > 0.5 / width, total / np.maximum(weight, 0.5 / width), np.nan)


def _rough_edges(smooth: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Half-way falls from the brightest sample near the order centre to the faintest outside."""
    n_samples = smooth.shape[-1]
    index = np.arange(n_samples)
    near = np.abs(index - n_samples // 2) <= np.maximum(reach[:, None] / 3, 1)
    top = np.where(near & np.isfinite(smooth), smooth, -np.inf)
    start, peak = top.argmax(axis=-1), top.max(axis=-1)
    outside = (index >= start[..., None]) & np.isfinite(smooth)
    floor = np.where(outside, smooth, np.inf).min(axis=-1)
    # on the side where the detector ends first, the faintest sample may be on the plateau
    floor = np.where(_is_cut(smooth, reach), np.fmin(floor, floor[::-1]), floor)
    usable = np.isfinite(peak) & np.isfinite(floor)
    level = 0.5 * (np.where(usable, peak, np.nan) + np.where(usable, floor, np.nan))
    return _first_fall(smooth, start, level)


def _is_cut(profiles: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Where the detector ends before the slice does."""
    index = np.arange(profiles.shape[-1])
    last = np.where(np.isfinite(profiles), index, -1).max(axis=-1)
    return last < len(index) // 2 + np.floor(reach)


def _first_fall(profiles: np.ndarray, start: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Position right of ``start`` where the profile first falls to the level; NaN if nowhere."""
    index = np.arange(profiles.shape[-1])
    fallen = (index > start[..., None]) & (profiles <= level[..., None])
    first = fallen.argmax(axis=-1)
    return np.where(fallen.any(axis=-1), _interpolated(profiles, first - 1, level), np.nan)


def _interpolated(profiles: np.ndarray, before: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Where the line from sample ``before`` to the next one crosses the level."""
    before = np.clip(before, 0, profiles.shape[-1] - 2)
    left, right = (_take(profiles, before + step) for step in (0, 1))
    drop = np.where(left > right, left - right, np.nan)
    return before + (left - level) / drop


def _take(profiles: np.ndarray, index: np.ndarray) -> np.ndarray:
    return np.take_along_axis(profiles, index[..., None], axis=-1)[..., 0]


def _middle_and_half(rough: np.ndarray, n_orders: int, n_samples: int):
    """
    Middle of the order in each slice, and half its width, from rough edges.

    The width is the median of the order, or of the nearest orders where it has none. It gives the
    middle of a slice in which only one edge was seen.
    """
    lower, upper = _mirrored_back(rough, n_samples).reshape(2, n_orders, -1)
    half = 0.5 * _bridged(_row_medians(upper - lower))[:, None]
    middle = np.where(np.isnan(upper), lower + half, upper - half)
    middle = np.where(np.isfinite(lower + upper), 0.5 * (lower + upper), middle).ravel()
    return _mirrored_back(np.stack([middle, middle]), n_samples), np.repeat(half, len(lower[0]))


def _row_medians(values: np.ndarray) -> np.ndarray:
    """Median of the finite values of each row; NaN where there are none."""
    return _finite_median(values)[0]


def _bridged(values: np.ndarray) -> np.ndarray:
    """NaN replaced, along the last axis, by linear interpolation; rows of NaN stay."""
    values = values.copy()
    places = np.arange(values.shape[-1])
    for row in values.reshape(-1, len(places)):
        known = np.isfinite(row)
        if known.any():
            row[~known] = np.interp(places[~known], places[known], row[known])
    return values


def _median_between(profiles: np.ndarray, low: np.ndarray, high: np.ndarray, n: int = 15):
    """Median of n samples spread evenly from low to high; NaN where there are none."""
    usable = np.isfinite(low) & np.isfinite(high)
    low, high = np.where(usable, low, 0), np.where(usable, high, 0)
    places = np.rint(low[..., None] + (high - low)[..., None] * np.linspace(0, 1, n)).astype(int)
    inside = (places >= 0) & (places < profiles.shape[-1]) & usable[..., None]
    values = np.take_along_axis(profiles, np.where(inside, places, 0), axis=-1)
    return _finite_median(np.where(inside, values, np.nan))[0]


def _plateau_at_edge(sides: np.ndarray, middle: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Level of the plateau, extrapolated to the edge along the line through its two halves."""
    narrow = half < 4
    far = np.where(narrow, 0.5, 1) * _PLATEAU * half
    near = np.where(narrow, -far, far / 3)
    outer = _median_between(sides, middle + near, middle + far)
    inner = _median_between(sides, middle - far, middle - near)
    rise = np.where(narrow, 0, outer - inner)
    extrapolated = 0.5 * (outer + inner) + rise / (2 * _PLATEAU * 2 / 3)
    return np.where(np.isnan(extrapolated), np.where(np.isnan(outer), inner, outer), extrapolated)


def _background(sides, smooth, edge, plateau, reach) -> np.ndarray:
    """
    Level between the orders: the median of the middle third of the gap beyond each edge.

    The gap ends where the light rises again, or with the slice. Where the detector ends first, the
    gap may be too short to show the background, and the darker of the two sides is taken.
    """
    index = np.arange(sides.shape[-1])
    beyond = (index > edge[..., None]) & np.isfinite(smooth)
    dark = np.where(beyond, smooth, np.inf)
    darkest = dark.min(axis=-1)
    level = (1 - _RISING) * darkest + _RISING * plateau
    rising = beyond & (index > dark.argmin(axis=-1)[..., None]) & (smooth > level[..., None])
    # the valley before the next order may be filled, and another one beyond it darker
    climb = 0.5 * (plateau - np.where(np.isfinite(darkest), darkest, np.nan))
    rising |= beyond & (smooth > np.minimum.accumulate(dark, axis=-1) + climb[..., None])
    last = np.where(beyond, index, -1).max(axis=-1)
    end = np.where(rising.any(axis=-1), rising.argmax(axis=-1), last)
    end = np.where(beyond.any(axis=-1), end, np.nan)
    third = (end - edge) / 3
    background = _median_between(sides, edge + third, end - third)
    cut = ~rising.any(axis=-1) & _is_cut(smooth, reach)
    return np.where(cut, np.fmin(background, background[::-1]), background)


def _blurred_crossing(relative: np.ndarray, before: np.ndarray, level: float) -> np.ndarray:
    """Where the light falls through the level between two samples, as a blurred step does."""
    before = np.clip(before, 0, relative.shape[-1] - 2)
    left, right = (
        ndtri(np.clip(_take(relative, before + step), 0.001, 0.999)) for step in (0, 1)
    )
    return before + (left - ndtri(level)) / np.where(left > right, left - right, np.nan)


def _crossings(relative: np.ndarray, middle: np.ndarray, level: float) -> np.ndarray:
    """
    Where the light, as a fraction of the step, falls through the level; NaN where it does not.

    The fall goes from the last sample well above to the first sample well below the level. Noise
    can cross the level several times in between: the mean of the first and the last crossing is
    unbiased.
    """
    index = np.arange(relative.shape[-1])
    below = (index > middle[..., None]) & (relative <= 0.5 * level)
    end = below.argmax(axis=-1)
    until_end = index < end[..., None]
    above = until_end & (index >= np.floor(middle)[..., None]) & (relative >= 0.5 * (1 + level))
    start = len(index) - 1 - above[..., ::-1].argmax(axis=-1)
    fallen = (index > start[..., None]) & (relative <= level)
    not_yet = until_end & (relative > level)
    first = fallen.argmax(axis=-1) - 1
    final = len(index) - 1 - not_yet[..., ::-1].argmax(axis=-1)
    edges = 0.5 * (_blurred_crossing(relative, first, level)
                   + _blurred_crossing(relative, final, level))
    return np.where(below.any(axis=-1) & above.any(axis=-1), edges, np.nan)


# ---------------------------------------------------------------------- noise and blur


def _edges_and_errors(slices: _Slices, crossings: _Crossings, levels):
    """Cross-dispersion position of the edges and its standard deviation, NaN where not found."""
    blur = _blur_variance(slices, crossings)
    edges = crossings.edges + slices.origins
    errors = _crossing_errors(slices, crossings, blur, levels[0])
    blended = _blended(edges, np.sqrt(blur))
    if blended.any() and (levels == 0.5).all():
        fitted, fitted_errors, blur = _fit_slits(slices, crossings, edges, blended, blur)
        blended &= _row_medians(fitted[1] - fitted[0]) > _UNRESOLVED * np.sqrt(blur)
        edges[:, blended], errors[:, blended] = fitted[:, blended], fitted_errors[:, blended]
    return edges, np.where(np.isfinite(edges), errors, np.nan)


def _blur_variance(slices, crossings) -> float:
    """Variance of the blur of the frame, pixel included, from the steepness of the edges."""
    before = np.floor(np.nan_to_num(crossings.edges))
    step = crossings.plateaus - crossings.backgrounds
    fall = np.abs(_at(slices.profiles, before + 1) - _at(slices.profiles, before)) / step
    fall = np.clip(_row_medians(fall[np.isfinite(crossings.edges)][None])[0], 0.02, 0.98)
    # the steepest one-pixel fall of a step blurred by sigma is from -0.5 / sigma to 0.5 / sigma
    variance = (0.5 / ndtri(0.5 + fall / 2)) ** 2 - np.mean(slices.smear)
    return np.fmax(variance, 1 / 12)


def _at(samples: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Samples of each slice at a place for either side, rounded; places are (2, ...)."""
    index = np.clip(np.rint(np.nan_to_num(places)), 0, samples.shape[-1] - 1).astype(int)
    return np.stack([_take(samples, side) for side in index])


def _crossing_errors(slices, crossings, blur, level) -> np.ndarray:
    """
    Standard deviation of the crossings: noise over slope.

    The noise is that of the two samples about the crossing, both of two pixels by the resampling,
    and of the levels of plateau and background.
    """
    edges, smear = crossings.edges, slices.smear
    outwards = np.array([-1.0, 1.0])[:, None, None]
    width = edges[1] - edges[0]
    width = np.where(np.isnan(width), _bridged(_row_medians(width))[:, None], width)
    below = np.floor(edges)
    fraction = edges - below
    between = fraction * (1 - fraction)
    at_edge = ((1 - fraction) * _at(slices.noise, below) ** 2
               + fraction * _at(slices.noise, below + 1) ** 2)
    at_edge *= (1 - 2 * between) * (1 - 2 * smear) + 2 * between * smear
    # 1.75 and -0.75 times the medians of two fifths of the half width, as in _plateau_at_edge
    on_plateau = _at(slices.noise, edges - outwards * width / 4) ** 2
    on_plateau *= (1.75**2 + 0.75**2) * np.pi / 2 / np.maximum(0.2 * width, 1)
    # the median of two samples and more
    beyond = _at(slices.noise, edges + outwards * 4 * np.sqrt(blur)) ** 2 * np.pi / 4
    variance = at_edge + level**2 * on_plateau + (1 - level) ** 2 * beyond
    step = crossings.plateaus - crossings.backgrounds
    slope = step * np.exp(-0.5 * ndtri(level) ** 2) / np.sqrt(2 * np.pi * (blur + smear))
    return np.sqrt(variance) / np.where(slope > 0, slope, np.nan)


def _blended(edges: np.ndarray, blur: float) -> np.ndarray:
    """Which orders are too narrow, or too near to a neighbour, for their half-maximum."""
    lower, upper = (_row_medians(side) for side in edges)
    rank = np.argsort(lower + upper)
    close = lower[rank][1:] - upper[rank][:-1] < _RESOLVED * blur
    blended = upper - lower < max(_RESOLVED * blur, _NARROW)
    blended[rank[1:]] |= close
    blended[rank[:-1]] |= close
    return blended


# ---------------------------------------------------------------------- blurred slits
#
# Where an order has no plateau, or a gap no background, for the blur, the slice is fitted with what
# it is: a slit with a slope in its illumination, blurred, beside others. Pixel (variance 1/12) and
# resampling are parts of the blur. The state of a slit is its lower edge, upper edge, height,
# deviation of its slope from that of the frame, background and gradient of the background; blur
# (variance) and slope are those of the frame.


def _fit_slits(slices, crossings, edges, blended, blur):
    """Edges of the blended orders, their standard deviations, and the variance of the blur."""
    states = _first_states(crossings, edges)
    chosen = blended[:, None] & np.isfinite(states).all(axis=-1) & (states[..., 2] > 0)
    parts = _Slices(*(a[chosen] for a in slices))
    frame = np.array([blur, 0.0])
    for _ in range(_SLIT_ITERATIONS):
        neighbours = _neighbours(states, frame[1])[:, chosen]
        states[chosen], frame, errors, failed = _improved(parts, states[chosen], neighbours, frame)
    found, start = states[chosen][:, :2].T, edges[:, chosen]
    failed |= (np.abs(found - start) > _LARGEST_SHIFT).any(axis=0)
    results = np.full((2, *edges.shape), np.nan)
    results[:, :, chosen] = np.where(failed | np.isnan(start), np.nan, (found, errors.T))
    return *results, frame[0]


def _first_states(crossings, edges) -> np.ndarray:
    """States of the slits to start the fit from; a missing edge at the width of the order."""
    lower, upper = edges
    widths = _bridged(_row_medians(upper - lower))[:, None]
    lower, upper = (np.where(np.isnan(lower), upper - widths, lower),
                    np.where(np.isnan(upper), lower + widths, upper))
    plateau, background = (
        np.where(np.isnan(a), a[::-1], a).mean(axis=0)
        for a in (crossings.plateaus, crossings.backgrounds)
    )
    zero = np.zeros_like(lower)
    return np.stack([lower, upper, plateau - background, zero, background, zero], axis=-1)


def _neighbours(states, slope) -> np.ndarray:
    """
    Upper edge of the neighbour below and its light there, lower edge of the one above and its.

    Shape (4, n_orders, n_slices); without light, and far away, where there is none.
    """
    lower, upper, height, tilt = _bridged(np.moveaxis(states, -1, 0)[:4])
    result = np.zeros((4, *lower.shape))
    result[0], result[2] = -np.inf, np.inf
    known = np.flatnonzero(np.isfinite(lower + upper + height).all(axis=1))
    rank = known[np.argsort(np.median(lower + upper, axis=1)[known])]
    below, above = rank[:-1], rank[1:]
    result[:2, above] = upper[below], (height * (1 + slope + tilt))[below]
    result[2:, below] = lower[above], (height * (1 - slope - tilt))[above]
    return result


def _improved(slices, states, neighbours, frame):
    """
    One Gauss-Newton step; shapes (n_slits, ...).

    Returns the states, blur and slope of the frame, the standard deviations of the edges, and which
    slits are not what the slices show.
    """
    reach = 5 * np.sqrt(frame[0]) + 2
    rows, light, noise = _fit_window(slices, states, reach)
    usable = np.isfinite(light + noise) & _is_own(rows, light, states, neighbours, reach)
    units, wings = np.ones_like(states), neighbours.copy()  # all light in units of the height
    units[:, [2, 4, 5]] = states[:, 2:3]
    wings[1::2] /= states[:, 2]
    light, noise = (np.where(usable, a, 0) / states[:, 2:3] for a in (light, noise))
    states = states / units
    model, slopes = _blurred_slits(rows, states, frame, slices.smear, wings)
    residuals, slopes = (light - model) * usable, slopes * usable[..., None]
    misfit, variance = (
        np.square(a).sum(axis=1) / np.maximum(usable.sum(axis=1), 1) for a in (residuals, noise)
    )
    failed = misfit > 9 * (variance + _LARGEST_MISFIT**2)
    weights = 1 / (variance + _MODEL_ERROR**2)
    change, step, inverse = _solved(slopes, residuals, weights, states[:, 3], ~failed)
    change[:, :2] = np.clip(change[:, :2], -0.5, 0.5)
    states = states + change
    states[:, 1] = np.maximum(states[:, 1], states[:, 0] + 0.5)
    frame = np.clip(frame + np.clip(step, -0.3, 0.3), [1 / 24, -0.5], [np.inf, 0.5])
    noisy = slopes[..., :6] * (noise * weights[:, None])[..., None]
    covariances = inverse @ (noisy.swapaxes(1, 2) @ noisy) @ inverse
    errors = np.sqrt(np.einsum("sii->si", covariances)[:, :2])
    return states * units, frame, errors, failed


def _solved(slopes, residuals, weights, tilts, good):
    """
    Solution of the normal equations: change of the states and of the frame's two parameters.

    The states are eliminated slit by slit, the sum over all good slits is solved for the two, and
    these are put back. The inverse matrices of the slits are returned as well.
    """
    prior = np.diag([1e-9, 1e-9, 1e-9, _SLOPE_SCATTER**-2, 1e-9, 1e-9])
    weighted = (slopes * weights[:, None, None]).swapaxes(1, 2)
    normal, right = weighted @ slopes, weighted @ residuals[..., None]
    right[:, 3, 0] -= prior[3, 3] * tilts
    inverse, mixed = np.linalg.inv(normal[:, :6, :6] + prior), normal[:, :6, 6:]
    carried = mixed.swapaxes(1, 2) @ inverse
    matrix = (normal[:, 6:, 6:] - carried @ mixed)[good].sum(axis=0)
    vector = (right[:, 6:] - carried @ right[:, :6])[good].sum(axis=0)
    step = np.linalg.lstsq(matrix, vector, rcond=None)[0]
    return (inverse @ (right[:, :6] - mixed @ step))[..., 0], step[:, 0], inverse


def _fit_window(slices, states, reach):
    """Cross-dispersion positions, light and noise of the samples from edge to edge and beyond."""
    n_samples = slices.profiles.shape[1]
    first = np.floor(states[:, :1] - slices.origins[:, None] - reach)
    length = np.ceil((states[:, 1] - states[:, 0]).max() + 2 * reach) + 1
    index = (first + np.arange(length)).astype(int)
    inside = (index >= 0) & (index < n_samples)
    light, noise = (
        np.where(inside, np.take_along_axis(a, np.where(inside, index, 0), axis=1), np.nan)
        for a in (slices.profiles, slices.noise)
    )
    return index + slices.origins[:, None], light, noise


def _is_own(rows, light, states, neighbours, reach) -> np.ndarray:
    """
    Whether samples are near an edge of the slit, and not beyond those of its neighbours.

    The light of an order that is not in the table is recognised by its rise.
    """
    near = (np.abs(rows[..., None] - states[:, None, :2]) < reach).any(axis=-1)
    for side, edge, outwards in ((0, neighbours[0], -1), (1, neighbours[2], 1)):
        distance = outwards * (rows - states[:, side, None])
        beyond = (distance > 0) & np.isfinite(light)
        dark = np.where(beyond, light, np.inf)
        darkest = np.take_along_axis(distance, dark.argmin(axis=1)[:, None], axis=1)
        level = dark.min(axis=1)[:, None] + _RISING * states[:, 2, None]
        risen = (beyond & (distance > darkest) & (light > level)).any(axis=1)
        room = outwards * (edge - states[:, side])
        end = np.where(risen & (room > reach), darkest[:, 0], room + 0.5)
        near &= distance <= end[:, None]
    return near


def _blurred_slits(rows, states, frame, smear, neighbours):
    """Light of the slits, and its derivatives by the state and by blur and slope of the frame."""
    lower, upper, height, tilt, background, gradient = states.T[..., None]
    sigma = np.sqrt(frame[0] + smear)[:, None]
    rise, fall = (rows - lower) / sigma, (rows - upper) / sigma
    slit, width, away = ndtr(rise) - ndtr(fall), upper - lower, rows - 0.5 * (lower + upper)
    along = 2 * away / width
    tilt = tilt + frame[1]
    top = height * (1 + tilt * along)
    light = background + gradient * away + top * slit
    widening = top * (fall * _normal(fall) - rise * _normal(rise))
    for edge, wing, outwards in ((*neighbours[:2], -1), (*neighbours[2:], 1)):
        inside = np.clip(outwards * (rows - edge[:, None]) / sigma, -40, 40)
        light += wing[:, None] * ndtr(inside)
        widening -= wing[:, None] * inside * _normal(inside)
    bend = slit * tilt * height / width
    by_tilt = height * along * slit
    slopes = [
        bend * (along - 1) - top * _normal(rise) / sigma,
        top * _normal(fall) / sigma - bend * (along + 1),
        top / height * slit,
        by_tilt,
        np.ones_like(slit),
        away,
        widening / (2 * sigma**2),
        by_tilt,
    ]
    return light, np.stack(slopes, axis=-1)


def _normal(x: np.ndarray) -> np.ndarray:
    """Density of the normal distribution."""
    return np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi)


# ---------------------------------------------------------------------- fits


def _bases(orders, pixels, degree) -> np.ndarray:
    """Chebyshev series of each order at some pixels, (n_orders, n_pixels, n_terms)."""
    table = orders.table
    n_terms = np.atleast_2d(table["center"]).shape[1]
    low, high = (u.Quantity(table[n], u.pix).value[:, None] for n in ("pixel_min", "pixel_max"))
    degree = max(degree, n_terms - 1)  # to undo any wiggle of the given centres
    return chebvander((2 * pixels - low - high) / (high - low), degree)


def _with_fitted_edges(orders, pixels, edges, degrees, clip) -> EchelleOrderTable:
    """The order table with edges fitted to the positions measured at the slices."""
    degree, order_degree = degrees
    n_cross = orders.shape[1 - orders.dispersion_axis]
    table = orders.table
    given = np.atleast_2d(u.Quantity(table["center"], u.pix).value)
    bases = _bases(orders, pixels, degree)
    centers = orders.center(pixels)
    offsets = edges - centers
    measured = np.isfinite(offsets)
    filled, weights = _filled(offsets, centers, bases, pixels, n_cross, order_degree, clip)
    for side, name in enumerate(("lower", "upper")):
        coefficients = np.array([
            _least_squares(*order) for order in zip(bases, filled[side], weights, strict=True)
        ])
        residuals = offsets[side] - np.einsum("osk,ok->os", bases, coefficients)
        table[name] = _sum_of_series(given, coefficients) * u.pix
        table[f"{name}_rms"] = _rms(residuals) * u.pix
        first = np.where(measured[side], pixels, np.inf).min(axis=1)
        last = np.where(measured[side], pixels, -np.inf).max(axis=1)
        seen = np.isfinite(first)
        table[f"{name}_measured_min"] = np.where(seen, first, np.nan) * u.pix
        table[f"{name}_measured_max"] = np.where(seen, last, np.nan) * u.pix
    fractions = _measured_fractions(EchelleOrderTable(table), pixels, n_cross, measured)
    table["lower_measured"], table["upper_measured"] = fractions
    orders = EchelleOrderTable(table)
    _warn_of_unmeasured(orders)
    return orders


def _least_squares(basis, values, weights) -> np.ndarray:
    usable = weights > 0
    root = np.sqrt(weights[usable])
    return np.linalg.lstsq(basis[usable] * root[:, None], values[usable] * root, rcond=None)[0]


def _robust_fit(basis, values, clip) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of a least-squares fit without outliers, and which values were used."""
    sigma, maxiters = clip
    used = np.isfinite(values)
    coefficients = _least_squares(basis, values, used.astype(float))
    for _ in range(maxiters):
        residuals = np.abs(values - basis @ coefficients)
        scale = max(1.4826 * np.median(residuals[used]), _LEAST_SCATTER)
        kept = residuals <= sigma * scale
        if (kept == used).all():
            break
        used = kept
        coefficients = _least_squares(basis, values, used.astype(float))
    return coefficients, used


def _inliers(offsets, bases, clip) -> np.ndarray:
    """Where offsets are no outliers, nor of edges with too few points to tell them."""
    used = np.zeros(offsets.shape, dtype=bool)
    n_slices, n_terms = bases.shape[1:]
    for edge in np.argwhere(np.isfinite(offsets).sum(axis=2) > max(n_terms, n_slices // 10)):
        side, order = edge
        used[side, order] = _robust_fit(bases[order], offsets[side, order], clip)[1]
    return used


def _filled(offsets, centers, bases, pixels, n_cross, order_degree, clip):
    """
    Offsets of both edges in all slices, and their weights in the fit of the edges.

    A missing edge is placed at the width of the order from the other one; where both are missing,
    at half that width from the middle of the order. In a noisy order the measured edges are drawn
    towards this model, as far as it is the more precise of the two.
    """
    along = np.broadcast_to(2 * pixels / max(pixels[-1], 1) - 1, centers.shape)
    place = 2 * centers / n_cross - 1, along
    lower, upper = offsets
    widths = _smooth_surface(upper - lower, place, order_degree, clip)
    lower, upper = (np.where(np.isnan(lower), upper - widths, lower),
                    np.where(np.isnan(upper), lower + widths, upper))
    seen = np.isfinite(lower)
    middles = 0.5 * (lower + upper)
    default = _smooth_surface(middles, place, order_degree, clip)
    trust = np.full(seen.shape, _MODEL_WEIGHT)
    for order in np.flatnonzero(seen.any(axis=1)):
        known = seen[order]
        fit = bases[order] @ _least_squares(bases[order], middles[order], known.astype(float))
        default[order] = np.interp(pixels, pixels[known], fit[known])
        variance = 2 * np.mean((middles[order] - fit)[known] ** 2)
        trust[order, known] = variance / _WIDTH_UNCERTAINTY**2
    model = np.stack([default - widths / 2, default + widths / 2])
    measured = np.where(seen, np.stack([lower, upper]), 0)
    filled = (measured + trust * model) / (seen + trust)
    usable = np.isfinite(filled).all(axis=0)
    return np.nan_to_num(filled), (seen + trust) * usable


def _smooth_surface(values, place, order_degree, clip) -> np.ndarray:
    """
    Smooth function of the place on the detector, with a constant of its own for each order.

    Evaluated everywhere, but held within a tenth of the range of what it was fitted to: beyond that
    an extrapolation is not to be believed.
    """
    known = np.isfinite(values)
    degree = min(order_degree, known.any(axis=1).sum() - 1)
    basis = chebvander2d(*place, (degree, 2))
    coefficients, used = _robust_fit(basis[known], values[known], clip)
    surface = basis @ coefficients
    low, high = values[known][used].min(), values[known][used].max()
    margin = 0.1 * (high - low)
    for order in np.flatnonzero(known.any(axis=1)):
        surface[order] += np.median((values - surface)[order, known[order]])
    return np.clip(surface, low - margin, high + margin)


def _sum_of_series(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Coefficients, one series per row, of the sum of two series of any degrees."""
    total = np.zeros((len(first), max(first.shape[1], second.shape[1])))
    total[:, : first.shape[1]] += first
    total[:, : second.shape[1]] += second
    return total


def _rms(residuals: np.ndarray) -> np.ndarray:
    """Root mean square of the finite values of each row; NaN where there are none."""
    finite = np.isfinite(residuals)
    total = np.where(finite, residuals**2, 0).sum(axis=1)
    count = finite.sum(axis=1)
    return np.where(count > 0, np.sqrt(total / np.maximum(count, 1)), np.nan)


def _measured_fractions(orders, pixels, n_cross, measured) -> np.ndarray:
    """Which part of each edge that is on the detector was measured; NaN where none of it is."""
    lower, upper = orders.lower(pixels), orders.upper(pixels)
    room = 0.25 * (upper - lower)  # to fall to the background before the detector ends
    positions = np.stack([lower, upper])
    visible = (positions > room) & (positions < n_cross - 1 - room)
    with np.errstate(invalid="ignore"):
        return (measured & visible).sum(axis=2) / visible.sum(axis=2)


def poorly_measured(orders: EchelleOrderTable) -> np.ndarray:
    """
    The orders of which an edge rests on the order centres and other orders more than on the flat.

    Parameters
    ----------
    orders : `EchelleOrderTable`
        Orders as from `detect_order_edges`.

    Returns
    -------
    bool array, shape (n_orders,)
        True where less than three quarters of an edge that is on the detector was measured.

    Raises
    ------
    ValueError
        If the table does not say how much was measured.
    """
    table = orders.table
    if "lower_measured" not in table.colnames:
        raise ValueError("the order table does not say which edges were measured")
    fractions = np.stack([table["lower_measured"], table["upper_measured"]])
    return (fractions < _WELL_MEASURED).any(axis=0)


def _warn_of_unmeasured(orders) -> None:
    poor = poorly_measured(orders)
    if poor.any():
        warnings.warn(
            f"edges of orders {orders.order_numbers[poor].tolist()} could be measured in less "
            f"than {_WELL_MEASURED:.0%} of the slices; elsewhere they follow from the order "
            "centres and the widths of the other orders, and are uncertain",
            AstropyUserWarning,
            stacklevel=5,
        )
