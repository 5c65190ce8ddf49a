# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Measure order edges on a flat."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from astropy.nddata import CCDData
from astropy.table import QTable

from ccdproc_echelle._numeric.medians import finite_median
from ccdproc_echelle._warnings import warn
from ccdproc_echelle.frames import completed_keywords
from ccdproc_echelle.orders.bad_rows import bridge_bad_rows, without_bridges
from ccdproc_echelle.orders.borders import without_dark_borders
from ccdproc_echelle.orders.crossings import (
    blur_variance,
    crossing_errors,
    measured_slices,
    shoulders,
)
from ccdproc_echelle.orders.edge_curves import inliers, order_bases, with_fitted_edges
from ccdproc_echelle.orders.edge_options import check_edge_options, checked_levels
from ccdproc_echelle.orders.edge_points import edge_points, gridded_points
from ccdproc_echelle.orders.fibres import FIBRE_LEVEL
from ccdproc_echelle.orders.plausible import (
    warn_of_cut_orders,
    warn_of_filled_gaps,
    warn_of_strange_edges,
)
from ccdproc_echelle.orders.profile_kinds import checked_profile, edges_of_fibres, split_into_bands
from ccdproc_echelle.orders.saturation import Hidden, without_hidden_peaks
from ccdproc_echelle.orders.slices import (
    as_rasters,
    check_slices,
    checked_image,
    slice_columns,
    slice_lengths,
)
from ccdproc_echelle.orders.slit_ends import bands_beside, uneven_ends
from ccdproc_echelle.orders.slits import fit_slits, is_blended
from ccdproc_echelle.orders.table import EchelleOrderTable, checked_orders

__all__ = [
    "check_edge_keywords",
    "detect_order_edges",
    "fit_order_edges",
    "measure_order_edges",
    "poorly_measured",
    "rough_order_edges",
]

# Warn if an edge was measured in a smaller fraction of the slices than this.
_WELL_MEASURED = 0.75

# A slit narrower than this, in units of the blur, cannot be distinguished from the blur.
_UNRESOLVED = 1.7

# Position of the edge of a slit on its rise.
_SLIT_LEVEL = np.array([0.5])

# Number of slices, and of dispersion pixels in each, that suffices for approximate edges.
_ROUGHLY, _FEW = 40, 7

_NOTHING_FOUND = (
    "no order edges found: no order shows, in enough slices, light that rises from a darker "
    "background to a plateau near the order centre and falls again on the detector"
)

_UNRESOLVABLE = (
    "have slit images hardly wider than their blur: the edges are the half-maxima of the light, "
    "which may lie a pixel or more outside those of the slit; specify profile='fibre' for edges "
    "that enclose all the light"
)

_STEPPED = (
    "have light beyond an edge that falls off in a second step: the slit is unevenly lit, or there "
    "is other light beside it; if the light belongs to the orders, specify a lower threshold, such "
    "as threshold=0.1"
)

_UNEVEN = (
    "have light that does not fall off at an end of the slit as its blur implies: a shadow there, "
    "such as that of dust on the slit, or a bright spot moves the edge by up to its own width; "
    "inspect it with plot_cross_section, and take the edges from a flat without it"
)

_BAND_BESIDE = (
    "have another band of light beside them, which counts as inter-order area: if it is another "
    "slice or fibre, trace the orders with n_slices or n_fibres, or add it to the order table"
)


def detect_order_edges(
    flat: CCDData,
    orders: EchelleOrderTable,
    *,
    threshold: float | tuple[float, float] | None = None,
    profile: str = "auto",
    n_slices: int = 1,
    slice_length: float | None = None,
    slice_width: int | None = None,
    degree: int = 4,
    order_degree: int = 2,
    sigma: float = 5.0,
    maxiters: int = 5,
) -> EchelleOrderTable:
    """
    Measure the order edges on a flat.

    An order is the image of a slit, of a fibre, or of several slices or fibres side by side. Which
    of these it is follows from its light unless ``profile`` is given; the result is logged and
    stored in the column ``profile`` of the returned table. The description below is for slits; see
    the Notes for fibres and slicers.

    Cross-dispersion slices are resampled along the curved order centres and median combined over
    ``slice_width`` dispersion pixels; slices too faint to show edges are retried with three and
    nine times that width. On each side of a slice, the edge is where the light falls through
    ``threshold`` times the step from the inter-order background to the plateau of the order, both
    measured locally. A Chebyshev series is fitted to the edge positions relative to the order
    centre, with outlier clipping. The order centres themselves are not changed.

    A step blurred by a symmetric point-spread function and integrated over pixels has half its
    height exactly where the step was, so the default threshold is unbiased as long as the order has
    a plateau and the gap shows the background. A sloped plateau is extrapolated to either edge.

    Orders narrower than 8 standard deviations of the blur, or 12 pixels, and orders whose
    neighbours are closer than 8 standard deviations have neither. Unless a different ``threshold``
    is requested, their edges are those of a blurred slit between blurred neighbours: a model with
    two edges, a height and a background in each slice, and a single blur and slope of the slit
    illumination for the whole frame, fitted by least squares. The edges are the half-maxima of the
    slit before blurring. Where the slit is barely wider than the blur (less than 1.7 standard
    deviations), the two cannot be separated, and the half-maxima of the light are used, with a
    warning.

    Detector rows along the orders that are masked, dead or hot are not mistaken for edges: up to
    three adjacent bad rows and four adjacent masked rows are bridged using the light of the rows
    beside them.

    An edge that cannot be measured (because it is off the detector, masked or too faint) is placed
    at the width of the order from the opposite edge. If that edge is missing as well, both are
    placed symmetrically about the order centre, corrected by what was measured in the rest of the
    order. The widths are a smooth function of the position on the detector, fitted to all measured
    orders. The edges of noisy orders are pulled towards that width.

    Parameters
    ----------
    flat : `~astropy.nddata.CCDData` or array, shape (rows, columns)
        A flat frame, usually the master flat, in any unit and at any level. Masked and non-finite
        pixels are ignored. The uncertainty, if there is one, is the noise used to decide whether a
        slice is bright enough; otherwise the scatter of the pixels within the slice is used.
    orders : `EchelleOrderTable`
        The order centres. They may be a few pixels off as long as they lie within the orders, since
        slices are re-centred. Edges already in the table are replaced.
    threshold : float or tuple of float, optional
        Position of the edge on the rise from the background (0) to the plateau (1), or to the peak
        of a fibre. If a pair is given, eleven levels from the first to the second are tried until
        both edges of a slice are found; for fibres only the first is used. Default: 0.5 for slits
        and 0.01 for fibres, whose edges then enclose at least 99 % of the light.
    profile : {"auto", "slit", "fibre", "slicer"}, optional
        What the orders are images of. "auto" determines this from the light.
    n_slices : int, optional
        Number of slices or fibres in each order. Default: with ``profile`` "auto" or "slicer" they
        are counted, provided that the table already has edges that enclose them.
    slice_length : float, optional
        Cross-dispersion extent of a slice in pixels. It must reach into the inter-order area on
        both sides. Default: 1.5 times the distance to the neighbouring orders, or twice the width
        of a single order, if it has edges.
    slice_width : int, optional
        Number of dispersion pixels combined into one slice. Default: a hundredth of the dispersion
        axis, limited to between 5 and 25, and fewer on very small frames.
    degree : int, optional
        Degree, along the dispersion axis, of the Chebyshev series fitted to the difference between
        edge and order centre; at least that of the order centres.
    order_degree : int, optional
        Degree, across the orders, of the smooth function that describes their widths.
    sigma : float, optional
        Clipping limit: points that deviate from a fit by more than this many standard deviations
        (estimated from the median absolute deviation) are rejected.
    maxiters : int, optional
        Maximum number of clipping iterations.

    Returns
    -------
    `EchelleOrderTable`
        The same order centres with ``lower`` and ``upper`` edges. ``lower_rms`` and ``upper_rms``
        are the residuals of the points that were not clipped, NaN where an edge was not measured at
        all. ``lower_measured`` and ``upper_measured`` are the fractions of slices in which the edge
        was measured, out of those in which it is on the detector. ``lower_measured_min`` and
        ``lower_measured_max`` (likewise for ``upper``) are the first and last dispersion pixels
        with a measurement; beyond them the edge is extrapolated. ``profile`` is "slit", "fibre" or
        "slicer".

    Raises
    ------
    ValueError
        If a parameter is out of range, the frame is not 2-D, the order table is for another
        detector, the table has a single order without edges and no ``slice_length`` is given, no
        order shows ``n_slices`` slices, or no order has measurable edges.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If an edge that lies on the detector could be measured in less than three quarters of the
        slices; if edges cross each other or those of a neighbour; if the width of an order differs
        from what the other orders suggest; or if an order ends where its light continues. The
        orders are named. Also if orders are saturated over most of their length, slits are hardly
        wider than their blur, lit in two steps or shaded at an end, if there are other bands of
        light between the orders, or if orders that are treated as images of fibres may be slits.

    See Also
    --------
    measure_order_edges : Measure the points only, for plots and quality control.
    fit_order_edges : Fit edges to measured points.
    mask_interorder : Mask the area between the edges.

    Notes
    -----
    The method follows the edge detection of the SOXS pipeline (`soxspipe`_). The settings of
    ``soxs-mflat`` correspond to the parameters here as follows: ``slice-length-for-edge-detection``
    is ``slice_length``, ``slice-width-for-edge-detection`` is ``slice_width``,
    ``min-percentage-threshold-for-edge-detection`` and
    ``max-percentage-threshold-for-edge-detection`` are the pair ``threshold`` (as fractions),
    ``disp-axis-deg`` is ``degree``, ``order-deg`` is ``order_degree``,
    ``poly-fitting-residual-clipping-sigma`` is ``sigma`` and ``poly-clipping-iteration-limit`` is
    ``maxiters``. Unlike in soxspipe, the edges of each order are fitted separately, so that the
    order degree only matters where an edge was not measured, or was measured poorly. Both fits,
    that of each edge along its order and that of the widths over (order, pixel), are made robust by
    clipping.

    Fibres: the light of each slice is fitted with a Gaussian alongside those of its neighbours. The
    kurtosis, which is also fitted, distinguishes fibres from slits, which have less light in their
    wings. The point where the light has fallen to the threshold is found from all orders, in units
    of the width of the Gaussian, from which the blur by the pixels is taken away. The edges of
    overlapping fibres meet in the middle.

    Slicers: each slice is treated as an order of its own, and the order ends where its outermost
    slices end. The gaps between slices belong to the order.

    .. _soxspipe: https://soxspipe.readthedocs.io

    Examples
    --------
    >>> from ccdproc_echelle import EchelleOrderTable
    >>> from ccdproc_echelle import detect_order_edges
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
        flat, orders, threshold=threshold, profile=profile, n_slices=n_slices,
        slice_length=slice_length, slice_width=slice_width, degree=degree, sigma=sigma,
        maxiters=maxiters,
    )
    orders = orders.on_detector(points.meta["shape"])
    orders = fit_order_edges(
        points, orders, degree=degree, order_degree=order_degree, sigma=sigma, maxiters=maxiters
    )
    warn_of_cut_orders(flat, orders)
    return orders


def measure_order_edges(
    flat: CCDData,
    orders: EchelleOrderTable,
    *,
    threshold: float | tuple[float, float] | None = None,
    profile: str = "auto",
    n_slices: int = 1,
    slice_length: float | None = None,
    slice_width: int | None = None,
    degree: int = 4,
    sigma: float = 5.0,
    maxiters: int = 5,
) -> QTable:
    """
    Measure points on the order edges, without fitting them.

    This is the first half of `detect_order_edges`.

    Parameters
    ----------
    flat : `~astropy.nddata.CCDData` or array, shape (rows, columns)
        A flat frame, usually the master flat. Masked and non-finite pixels are ignored.
    orders : `EchelleOrderTable`
        The order centres, which may be a few pixels off.
    threshold : float or tuple of float, optional
        Level of an edge, from 0 (background) to 1 (plateau or peak), or two levels as a range.
    profile : {"auto", "slit", "fibre", "slicer"}, optional
        What the orders are images of. "auto" determines this from the light.
    n_slices : int, optional
        Number of slices or fibres in each order.
    slice_length, slice_width : float and int, optional
        Extent of a slice across and along the dispersion, in pixels.
    degree : int, optional
        Degree along the dispersion of the series that identifies outliers.
    sigma, maxiters : float and int, optional
        Limit, in standard deviations, and maximum number of iterations for outlier clipping.

    Returns
    -------
    `~astropy.table.QTable`
        One row per slice and edge, with the columns ``order`` (order number), ``edge`` ("lower" or
        "upper"), ``pixel`` (along the dispersion axis), ``position`` (across it; NaN if no edge was
        found), ``uncertainty`` (standard deviation from the noise of the slice and the scatter of
        the pixel response) and ``used`` (False if no edge was found or the point is an outlier).
        The shape of the frame and the profile are stored in ``meta``.

    Raises
    ------
    ValueError
        Under the same conditions as in `detect_order_edges`.

    See Also
    --------
    detect_order_edges, fit_order_edges

    Examples
    --------
    >>> from ccdproc_echelle import EchelleOrderTable
    >>> from ccdproc_echelle import fit_order_edges, measure_order_edges
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
    levels, form = checked_levels(threshold), checked_profile(profile, n_slices)
    check_edge_options(slice_length, slice_width, degree, 0, sigma, maxiters)
    orders = checked_orders(orders).on_detector(checked_image(flat, "flat"))
    columns = _columns(orders, slice_width, degree)
    pixels, edges, errors, found, doubts = _measured(
        flat, orders, columns, slice_length, levels, form
    )
    for doubt in doubts:
        warn(doubt)
    bases = order_bases(orders, pixels, degree)
    used = inliers(edges - orders.center(pixels), bases, (sigma, maxiters))
    if not used.all(axis=0).any():
        raise ValueError(_NOTHING_FOUND)
    return edge_points(orders, pixels, edges, errors, used, found)


def rough_order_edges(
    flat: CCDData,
    orders: EchelleOrderTable,
    *,
    threshold: float | tuple[float, float] | None = None,
    profile: str = "auto",
    n_slices: int = 1,
    slice_length: float | None = None,
    slice_width: int | None = None,
    degree: int = 4,
    order_degree: int = 2,
    sigma: float = 5.0,
    maxiters: int = 5,
) -> EchelleOrderTable:
    """
    Measure approximate order edges, using only about forty slices.

    For purposes that tolerate edges that are off by a tenth of a pixel.

    Parameters
    ----------
    flat, orders, threshold, profile, n_slices, slice_length, slice_width, degree
        See `detect_order_edges`.
    order_degree, sigma, maxiters
        See `detect_order_edges`.

    Returns
    -------
    `EchelleOrderTable`
        As returned by `detect_order_edges`, without its warnings about single orders.

    Raises
    ------
    ValueError
        Under the same conditions as in `detect_order_edges`.
    """
    levels, form = checked_levels(threshold), checked_profile(profile, n_slices)
    clip = sigma, maxiters
    check_edge_options(slice_length, slice_width, degree, order_degree, sigma, maxiters)
    orders = checked_orders(orders).on_detector(checked_image(flat, "flat"))
    columns = _columns(orders, slice_width, degree)
    columns = columns[:: max(1, len(columns) // _ROUGHLY), :: max(1, columns.shape[1] // _FEW)]
    pixels, edges, errors, found, _ = _measured(
        flat, orders, columns, slice_length, levels, form, columns.ravel()
    )
    used = inliers(edges - orders.center(pixels), order_bases(orders, pixels, degree), clip)
    if not used.all(axis=0).any():
        raise ValueError(_NOTHING_FOUND)
    edges = np.where(used, edges, np.nan)
    return with_fitted_edges(
        orders, pixels, edges, errors, (degree, order_degree), clip, found
    )[0]


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
    Fit order edges to measured points.

    This is the second half of `detect_order_edges`.

    Parameters
    ----------
    points : `~astropy.table.QTable`
        Points returned by `measure_order_edges`. Only those with ``used`` set are fitted.
    orders : `EchelleOrderTable`
        The order table for which the points were measured.
    degree, order_degree : int, optional
        Degrees of the edges along the dispersion, and of the order widths across the orders.
    sigma, maxiters : float and int, optional
        Limit, in standard deviations, and maximum number of iterations for outlier clipping.

    Returns
    -------
    `EchelleOrderTable`
        As returned by `detect_order_edges`.

    Raises
    ------
    ValueError
        If a parameter is out of range, the points do not belong to these orders, the order table
        has no detector shape, or no slice has both edges.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        As in `detect_order_edges`, except that orders whose light continues are not reported.

    Examples
    --------
    Exclude points at the end of the detector from the fit:

    >>> import numpy as np
    >>> from ccdproc_echelle import fit_order_edges, measure_order_edges
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> sim = EchelleSimulation(shape=(200, 240), n_orders=3, seed=1)
    >>> points = measure_order_edges(sim.flats(1)[0], sim.truth.orders)
    >>> points["used"] &= points["pixel"].value < 220
    >>> orders = fit_order_edges(points, sim.truth.orders)
    >>> bool(np.allclose(orders.upper(), sim.truth.orders.upper(), atol=0.1))
    True
    """
    check_edge_options(None, None, degree, order_degree, sigma, maxiters)
    if orders.shape is None:
        raise ValueError("the order table has no detector shape; call on_detector(shape) first")
    pixels, edges, errors = gridded_points(points, orders.order_numbers)
    if not np.isfinite(edges).all(axis=0).any():
        raise ValueError(_NOTHING_FOUND)
    found = points.meta.get("profile", "slit")
    orders, shared = with_fitted_edges(
        orders, pixels, edges, errors, (degree, order_degree), (sigma, maxiters), found
    )
    _warn_of_unmeasured(orders)
    warn_of_strange_edges(orders, shared)
    return orders


def check_edge_keywords(keywords: Mapping[str, Any]) -> None:
    """
    Check keywords of `detect_order_edges` before there is a flat.

    Parameters
    ----------
    keywords : dict
        Keywords for `detect_order_edges`.

    Raises
    ------
    TypeError
        If a keyword is unknown; the message suggests the closest known name.
    ValueError
        If a value is out of range.
    """
    values = completed_keywords(detect_order_edges, keywords)
    checked_levels(values.pop("threshold"))
    checked_profile(values.pop("profile"), values.pop("n_slices"))
    check_edge_options(**values)


def poorly_measured(orders: EchelleOrderTable) -> np.ndarray:
    """
    Find orders with a poorly measured edge, which is inferred from the order centres and other
    orders where it was not measured.

    Parameters
    ----------
    orders : `EchelleOrderTable`
        Orders returned by `detect_order_edges`.

    Returns
    -------
    bool array, shape (n_orders,)
        True if less than three quarters of an edge that is on the detector was measured.

    Raises
    ------
    ValueError
        If the table does not record how much of each edge was measured.
    """
    table = orders.table
    if "lower_measured" not in table.colnames:
        raise ValueError(
            "the order table does not record which edges were measured; run detect_order_edges "
            "first"
        )
    fractions = np.stack([table["lower_measured"], table["upper_measured"]])
    return (fractions < _WELL_MEASURED).any(axis=0)


def _columns(orders, slice_width, degree) -> np.ndarray:
    n_pixels = orders.shape[orders.dispersion_axis]
    if slice_width is not None:
        check_slices(n_pixels, slice_width, degree, n_each=1)
    return slice_columns(n_pixels, slice_width, degree)


def _checked_centers(orders) -> np.ndarray:
    centers = orders.center()
    outside = ~np.isfinite(centers).any(axis=1)
    if outside.any():
        raise ValueError(
            f"orders {orders.order_numbers[outside].tolist()} have no pixel on the detector"
        )
    return centers


# ---------------------------------------------------------------------- measured points


def _measured(flat, orders, columns, slice_length, levels, form, lines=None):
    """
    Dispersion pixels of the slices, edges in them, and their errors, (2, n_orders, n_slices).

    Also returns what the orders are images of, and a list of doubts about single orders. With
    ``lines``, only these dispersion pixels are used, placed side by side.
    """
    centers, here = _checked_centers(orders), columns
    given = np.stack([orders.lower(), orders.upper()]) if orders.has_edges else None
    lengths = slice_lengths(centers, slice_length, given)
    raster, variance = as_rasters(flat, orders.dispersion_axis, lines=lines)
    if lines is None:
        warn_of_filled_gaps(raster)
    else:
        centers, here = centers[:, lines], np.searchsorted(lines, columns)
        given = None if given is None else given[..., lines]
    step = orders.shape[orders.dispersion_axis] / len(columns)
    bad = bridge_bad_rows(raster, variance, here, step, centers)
    raster, hidden = without_hidden_peaks(raster, centers)
    raster = without_dark_borders(raster, here, _course(centers, here))
    centers, n_slices = split_into_bands(raster, centers, lengths, given, form)
    if n_slices > 1:
        lengths = slice_lengths(centers, None)
    slices, crossings = measured_slices(
        raster, variance, centers, here, lengths, _SLIT_LEVEL if levels is None else levels
    )
    edges, errors, of_fibres, uncertain = _edges_and_errors(
        slices, crossings, lengths, bad, levels, form, n_slices > 1
    )
    if not np.isfinite(edges).all(axis=0).any():
        raise ValueError(_NOTHING_FOUND + _at_level(hidden))
    edges, errors = (  # an order ends where its outermost slices end
        np.stack([lower[::n_slices], upper[n_slices - 1 :: n_slices]])
        for lower, upper in (edges, errors)
    )
    doubts = [
        f"orders {orders.order_numbers[which].tolist()} {what}" for what, which in (
            (what, bands.reshape(-1, n_slices).any(axis=1)) for what, bands in uncertain.items()
        ) if which.any()
    ]
    doubts += _saturated(orders, columns, edges, hidden)
    return columns.mean(axis=1), edges, errors, form.found(n_slices, of_fibres), doubts


def _course(centers, columns) -> np.ndarray:
    """Centre of the longest order in each slice; NaN where it is off the detector."""
    longest = centers[np.isfinite(centers).sum(axis=1).argmax()]
    return longest[columns[:, columns.shape[1] // 2]]


def _edges_and_errors(slices, crossings, lengths, bad, levels, form, in_bundles):
    """
    Cross-dispersion position of the edges and its standard deviation; NaN if not found.

    Also returns whether these are edges of fibres, and doubts about slits, (n_orders,) each.
    """
    blur = blur_variance(slices, crossings)
    edges = crossings.edges + slices.origins
    blended = is_blended(edges, np.sqrt(blur))
    certain = form.name == "fibre"
    if certain or (form.name != "slit" and blended.any()):
        level = FIBRE_LEVEL if levels is None else levels[0]
        seen = slices._replace(profiles=without_bridges(slices.profiles, slices.origins, bad))
        found = edges_of_fibres(seen, lengths, level, certain=certain, in_bundles=in_bundles)
        if found is not None:
            return *found, True, {}
    levels = _SLIT_LEVEL if levels is None else levels
    errors = crossing_errors(slices, crossings, blur, levels[0])
    stepped, at_half = shoulders(slices, crossings, blur, lengths), (levels == 0.5).all()
    uncertain = {
        _STEPPED: stepped,
        _BAND_BESIDE: bands_beside(slices, crossings, blur) & ~stepped,
    }
    if at_half:
        uncertain[_UNEVEN] = uneven_ends(slices, crossings, blended) & ~stepped
    if blended.any() and at_half:
        fitted, fitted_errors, blur = fit_slits(slices, crossings, edges, blended, blur)
        widths = finite_median(fitted[1] - fitted[0])
        resolved = widths > _UNRESOLVED * np.sqrt(blur)
        uncertain[_UNRESOLVABLE] = blended & np.isfinite(widths) & ~resolved
        blended &= resolved
        edges[:, blended], errors[:, blended] = fitted[:, blended], fitted_errors[:, blended]
    return edges, np.where(np.isfinite(edges), errors, np.nan), False, uncertain


def _saturated(orders, columns, edges, hidden: Hidden) -> list[str]:
    """The doubt about orders most of which is hidden; none if there are none."""
    middles = columns[:, columns.shape[1] // 2]
    on_detector = np.isfinite(orders.center(middles)).sum(axis=1)
    few = np.isfinite(edges).all(axis=0).sum(axis=1) < _WELL_MEASURED * on_detector
    numbers = orders.order_numbers[few & (hidden.fractions > 1 - _WELL_MEASURED)]
    if not len(numbers):
        return []
    return [
        f"the light of orders {numbers.tolist()} is hidden over most of their length"
        f"{_at_level(hidden)}: their edges are inferred from the rest of it and from the other "
        "orders; use flats with shorter exposures"
    ]


def _at_level(hidden: Hidden) -> str:
    return "" if hidden.level is None else f", saturated at {hidden.level:.6g}"


def _warn_of_unmeasured(orders) -> None:
    poor = poorly_measured(orders)
    if poor.any():
        warn(
            f"edges of orders {orders.order_numbers[poor].tolist()} could be measured in less "
            f"than {_WELL_MEASURED:.0%} of the slices; elsewhere they are inferred from the order "
            "centres and the widths of the other orders, and are uncertain",
        )
