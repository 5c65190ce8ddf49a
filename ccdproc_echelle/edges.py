# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Where the orders end: order edges measured on a flat, and the inter-order area masked."""

import warnings

import numpy as np
from astropy import units as u
from astropy.nddata import CCDData, InverseVariance, StdDevUncertainty
from astropy.utils.exceptions import AstropyUserWarning
from numpy.polynomial.chebyshev import chebvander, chebvander2d
from scipy.ndimage import uniform_filter1d

from ccdproc_echelle.orders import EchelleOrderTable

__all__ = ["detect_order_edges", "mask_interorder", "poorly_measured"]

# Light above the background, in units of the noise of one sample of a slice, for a measurement.
_MIN_SIGNAL_TO_NOISE = 10.0

# The plateau reaches this far from the middle of an order, in units of half its width. Further
# out a blur of a sixth of the width would be felt.
_PLATEAU = 0.6

# Slices are tried at this many times their width until they show edges.
_WIDENINGS = (1, 3, 9)

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

# Standard deviation of the median of many values, relative to that of their mean.
_MEDIAN_NOISE = 1.253

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
    is wide enough (some 5 standard deviations of the blur) to have a plateau. A sloped plateau is
    extrapolated to either edge. Where orders nearly touch, the background is the level of the
    valley between them, and the edges lean inwards.

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
    degree only matters where an edge was not measured, or poorly.

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
    levels = _checked_levels(threshold)
    _check_options(slice_length, slice_width, degree, order_degree, sigma, maxiters)
    raster, noise = _as_rasters(flat, orders.dispersion_axis)
    orders = orders.on_detector(raster.shape if orders.dispersion_axis == 0 else raster.shape[::-1])
    centers = orders.center()
    outside = ~np.isfinite(centers).any(axis=1)
    if outside.any():
        raise ValueError(
            f"orders {orders.order_numbers[outside].tolist()} have no pixel on the detector"
        )
    lengths = _slice_lengths(centers, slice_length)
    columns = _slice_columns(centers.shape[1], slice_width, degree)
    edges = _edges_of_slices(raster, noise, centers, columns, lengths, levels)
    return _with_fitted_edges(
        orders, columns.mean(axis=1), edges, raster.shape[1], (degree, order_degree),
        (sigma, maxiters),
    )


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


def _edges_of_slices(raster, noise, centers, columns, lengths, levels) -> np.ndarray:
    """
    Cross-dispersion position of both edges, (2, n_orders, n_slices), NaN where not found.

    Where a slice shows no edges, mostly for lack of light, a wider one about the same pixel is
    tried.
    """
    edges = np.full((2, len(centers), len(columns)), np.nan)
    for widening in _WIDENINGS:
        missing = np.isnan(edges).any(axis=0)
        if missing.any():
            rows, places = (np.flatnonzero(missing.any(axis=axis)) for axis in (1, 0))
            wide = _widened(columns[places], widening, len(raster))
            slices = _extract_slices(raster, noise, centers[rows], wide, lengths[rows])
            found = _measure_edges(*slices, lengths[rows], levels)
            block = np.ix_((0, 1), rows, places)
            edges[block] = np.where(np.isnan(edges[block]), found, edges[block])
    return edges


def _widened(columns: np.ndarray, factor: int, n_pixels: int) -> np.ndarray:
    """Slices around the same pixels, wider by a factor; less so near the end of the detector."""
    extra = (factor - 1) * columns.shape[1] // 2
    room = np.minimum(columns[:, 0], n_pixels - 1 - columns[:, -1])[:, None]
    offsets = np.arange(-extra, columns.shape[1] + extra)
    wide = columns[:, :1] + offsets
    outside = (offsets < -room) | (offsets >= columns.shape[1] + room)
    return np.where(outside, -1, wide)


def _extract_slices(raster, noise, centers, columns, lengths):
    """
    Slices of all orders and their noise, shape (n_orders, n_slices, n_samples), NaN where there
    is no light to be had, and the cross-dispersion position of each first sample.
    """
    reach = int(np.ceil(lengths.max() / 2))
    away = np.abs(np.arange(-reach, reach + 1))
    variance = None if noise is None else noise**2
    profiles, sigmas, origins = [], [], []
    for center, length in zip(centers, lengths, strict=True):
        inside = columns >= 0
        traces = center[columns]
        middle = np.where(inside, traces, 0).sum(axis=1) / inside.sum(axis=1)
        origin = np.rint(middle) - reach
        shifts = np.where(inside, np.round(traces - middle[:, None], 3), np.nan)
        values = _resample(raster, columns, origin[:, None] + shifts, len(away))
        profile, sigma = _median_and_noise(values)
        if variance is not None:
            variances = _resample(variance, columns, origin[:, None] + shifts, len(away))
            sigma = _noise_of_median(variances)
        profile[:, away > length / 2] = np.nan
        profiles.append(profile)
        sigmas.append(sigma)
        origins.append(origin)
    return np.array(profiles), np.array(sigmas), np.array(origins)


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
    spread = (_take(ranked, last - last // 4) - _take(ranked, last // 4)) / 1.349
    return median, _MEDIAN_NOISE * spread / np.sqrt(np.maximum(count, 1))


def _noise_of_median(variances: np.ndarray) -> np.ndarray:
    """Standard deviation of the median along the last axis."""
    usable = np.isfinite(variances)
    count = np.maximum(usable.sum(axis=-1), 1)
    return _MEDIAN_NOISE * np.sqrt(np.where(usable, variances, 0).sum(axis=-1)) / count


# ---------------------------------------------------------------------- levels and crossings
#
# From here on the two sides of a slice are one problem: the lower side is mirrored, so that an
# edge is always a fall of the light to the right. Arrays are (2, n_slices, n_samples) or
# (2, n_slices), lower side first; positions are indices along the last axis.


def _measure_edges(profiles, sigmas, origins, lengths, levels):
    """Cross-dispersion position of both edges, (2, n_orders, n_slices), NaN where not found."""
    n_orders, n_slices, n_samples = profiles.shape
    reach = np.repeat(lengths / 2, n_slices)
    profiles = profiles.reshape(-1, n_samples)
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
    noise = _median_between(sigmas.reshape(-1, n_samples), (middle - half)[1], (middle + half)[1])
    edges[~(step > _MIN_SIGNAL_TO_NOISE * noise)] = np.nan
    return _mirrored_back(edges, n_samples).reshape(2, n_orders, n_slices) + origins


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
    usable = np.isfinite(peak) & np.isfinite(floor)
    level = 0.5 * (np.where(usable, peak, np.nan) + np.where(usable, floor, np.nan))
    return _first_fall(smooth, start, level)


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
    widths = np.array([np.median(w[np.isfinite(w)]) if np.isfinite(w).any() else np.nan
                       for w in upper - lower])
    known = np.isfinite(widths)
    if known.any():
        places = np.arange(n_orders)
        widths = np.interp(places, places[known], widths[known])
    half = 0.5 * widths[:, None]
    middle = np.where(np.isnan(upper), lower + half, upper - half)
    middle = np.where(np.isfinite(lower + upper), 0.5 * (lower + upper), middle).ravel()
    return _mirrored_back(np.stack([middle, middle]), n_samples), np.repeat(half, len(lower[0]))


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
    level = 0.5 * (plateau + dark.min(axis=-1))
    rising = beyond & (index > dark.argmin(axis=-1)[..., None]) & (smooth > level[..., None])
    last = np.where(beyond, index, -1).max(axis=-1)
    end = np.where(rising.any(axis=-1), rising.argmax(axis=-1), last)
    end = np.where(beyond.any(axis=-1), end, np.nan)
    third = (end - edge) / 3
    background = _median_between(sides, edge + third, end - third)
    cut = ~rising.any(axis=-1) & (last < len(index) // 2 + np.floor(reach))
    return np.where(cut, np.fmin(background, background[::-1]), background)


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
    edges = 0.5 * sum(_interpolated(relative, k, np.full(k.shape, level)) for k in (first, final))
    return np.where(below.any(axis=-1) & above.any(axis=-1), edges, np.nan)


# ---------------------------------------------------------------------- fits


def _with_fitted_edges(orders, pixels, edges, n_cross, degrees, clip) -> EchelleOrderTable:
    """The order table with edges fitted to the positions measured at the slices."""
    degree, order_degree = degrees
    table = orders.table
    given = np.atleast_2d(u.Quantity(table["center"], u.pix).value)
    ends = (u.Quantity(table[name], u.pix).value for name in ("pixel_min", "pixel_max"))
    low, high = (end[:, None] for end in ends)
    degree = max(degree, given.shape[1] - 1)  # to undo any wiggle of the given centres
    bases = chebvander((2 * pixels - low - high) / (high - low), degree)
    centers = orders.center(pixels)
    offsets = _without_outliers(edges - centers, bases, clip)
    measured = np.isfinite(offsets)
    if not measured.all(axis=0).any():
        raise ValueError(_NOTHING_FOUND)
    filled, weights = _filled(offsets, centers, bases, pixels, n_cross, order_degree, clip)
    for side, name in enumerate(("lower", "upper")):
        coefficients = np.array([
            _least_squares(*order) for order in zip(bases, filled[side], weights, strict=True)
        ])
        residuals = offsets[side] - np.einsum("osk,ok->os", bases, coefficients)
        table[name] = _sum_of_series(given, coefficients) * u.pix
        table[f"{name}_rms"] = _rms(residuals) * u.pix
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


def _without_outliers(offsets, bases, clip) -> np.ndarray:
    """Offsets with outliers, and edges with too few points to tell them, set to NaN."""
    used = np.zeros(offsets.shape, dtype=bool)
    n_slices, n_terms = bases.shape[1:]
    for edge in np.argwhere(np.isfinite(offsets).sum(axis=2) > max(n_terms, n_slices // 10)):
        side, order = edge
        used[side, order] = _robust_fit(bases[order], offsets[side, order], clip)[1]
    return np.where(used, offsets, np.nan)


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
            stacklevel=4,
        )
