# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Find and trace the orders on a flat, without a starting guess."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from astropy import units as u
from astropy.nddata import CCDData

from ccdproc_echelle._numeric.arguments import expect, is_finite, is_whole
from ccdproc_echelle._warnings import warn
from ccdproc_echelle.frames import completed_keywords
from ccdproc_echelle.orders.bad_rows import without_bad_rows
from ccdproc_echelle.orders.bands import Wanted, find_orders
from ccdproc_echelle.orders.borders import without_dark_borders
from ccdproc_echelle.orders.bundles import (
    check_numbers,
    group_size,
    grouped,
    warn_of_single_bundle,
)
from ccdproc_echelle.orders.centres import traces_of
from ccdproc_echelle.orders.fibres import fibre_traces
from ccdproc_echelle.orders.numbering import numbered
from ccdproc_echelle.orders.paths import paths_along
from ccdproc_echelle.orders.plausible import warn_of_filled_gaps
from ccdproc_echelle.orders.profiles import (
    median_slices,
    steadier_axis,
    usual_width,
    without_hot_columns,
)
from ccdproc_echelle.orders.saturation import with_masked_peaks
from ccdproc_echelle.orders.slices import as_raster, check_slices, checked_image
from ccdproc_echelle.orders.table import EchelleOrderTable

__all__ = ["check_trace_keywords", "trace_orders"]

# Largest RMS distance, in pixels, by which neighbouring centres leave a credible trace.
_WANDERING = 0.4

# Fewest slices for each coefficient of a trace; with fewer, it swings between them.
_SLICES_EACH = 3

# Smallest frame, or region of one, in pixels each way.
_LEAST_PIXELS = 20


def trace_orders(
    flat: CCDData,
    *,
    dispersion_axis: int | None = None,
    first_order: int = 1,
    degree: int = 4,
    slice_width: int | None = None,
    n_orders: int | None = None,
    min_width: float | None = None,
    max_width: float | None = None,
    region: slice | tuple[slice, slice] | None = None,
    min_signal_to_noise: float = 6.0,
    n_fibres: int = 1,
    n_slices: int = 1,
) -> EchelleOrderTable:
    """
    Find the orders on a flat and trace their centres.

    No starting guess is needed. The frame is reduced to slices, medians of a few dispersion pixels.
    The flanks of the orders, followed from slice to slice wherever they are clear, give the slope
    of the orders as a smooth function of the position on the detector. Its integral curves are the
    paths that an order takes, or would take. Straightened along these paths, an order is a straight
    band on the frame. It is detected in the mean of many slices, however faint it is in each, and
    remains a single order even if it is interrupted. Anything that does not follow such a path,
    such as a ghost or a hot column, is smeared out. The paths are then corrected using the orders
    found, and the search is repeated.

    Candidate orders are compared with each other. Orders are about as wide as those that hold most
    of the light, and hold at least a tenth of the light of the orders on either side; the first and
    the last may be fainter. Any scatter of the profile between the orders (offset rows, readout
    ripples) is treated as noise, although it is the same in every slice. An order ends where it is
    brighter than the valleys beside it by less than ``min_signal_to_noise`` times the offsets of
    the rows. Unlit rows at the border of the detector, such as reference pixels, are excluded. Use
    ``n_orders``, ``min_width``, ``max_width`` and ``region`` to provide anything else that is known
    about the orders.

    The order centre is midway between the half-maximum edges rather than the centroid of the light:
    neither an uneven slit illumination nor the light of a neighbour moves it. Where one edge is off
    the detector, the centre follows from the width of the neighbouring orders.

    Parameters
    ----------
    flat : `~astropy.nddata.CCDData` or array, shape (rows, columns)
        A flat frame in any unit and at any level. Masked and non-finite pixels are ignored. The
        uncertainty is not needed: the noise is estimated from neighbouring slices.
    dispersion_axis : int, optional
        1 when orders run along image rows, 0 when along columns. Default: the axis along which the
        frame changes less.
    first_order : int, optional
        Order number of the lowest order; the others count up from it. If the regular spacing of the
        orders has a gap, the corresponding numbers are skipped.
    degree : int, optional
        Degree of the Chebyshev series fitted to each order centre.
    slice_width : int, optional
        Number of dispersion pixels combined into one slice. Default: 1/250 of the dispersion axis,
        limited to between 5 and 15, or as many as leave enough slices for the degree.
    n_orders : int, optional
        Maximum number of orders: those with the most light are kept.
    min_width, max_width : float, optional
        Minimum and maximum width of an order in pixels, between its half-maximum edges.
    region : slice or tuple of slice, optional
        Rows, or rows and columns, in which to search for orders, such as ``np.s_[100:900]`` or
        ``np.s_[:, 50:]``. The table is still for the whole detector; the orders end at the border
        of the region.
    min_signal_to_noise : float, optional
        Detection threshold: the light of an order must exceed the background by this many times the
        noise.
    n_fibres : int, optional
        Number of fibres in an order, each of which is traced separately. The table then has the
        columns ``fibre``, counted from 1 for the lowest, and ``bundle``, the order to which the
        fibres belong; ``order`` numbers the traces.
    n_slices : int, optional
        Number of slices, or fibres, that together form one order, whose centre is midway between
        the outermost ones. Pass the same number to `detect_order_edges`.

    Returns
    -------
    `EchelleOrderTable`
        Orders sorted by cross-dispersion position, lowest first. The valid range of an order is
        where it was followed and its centre is on the detector; ``center_rms`` is the residual of
        the measured centres.

    Raises
    ------
    ValueError
        If a parameter is out of range, the frame or its region is not 2-D or too small, there are
        fewer than three slices for each coefficient of a series, no orders are found, or the traces
        found do not form bundles of ``n_fibres`` or ``n_slices``.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If the spacing of the orders has a gap or alternates like that of slices or fibres, width or
        spacing change suddenly from one order to the next, fewer than ``n_orders`` orders are
        found, a bundle has fewer traces than the others, a single bundle fills the detector, orders
        touch, a band wider than the orders or light at the border of the detector belongs to no
        order found, or the centres of an order wander from its trace.

    See Also
    --------
    detect_order_edges : Measure the order edges on a flat.

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle import trace_orders
    >>> flat = np.random.default_rng(1).normal(0, 0.1, (60, 200))
    >>> flat[10:21] += 10
    >>> flat[35:46] += 20
    >>> orders = trace_orders(flat)
    >>> orders
    <EchelleOrderTable: 2 orders (1 to 2), shape (60, 200), dispersion_axis 1, no edges>
    >>> print(orders.center([100])[:, 0].round(1))
    [15. 40.]
    """
    _check_options(dispersion_axis, first_order, degree, slice_width, n_orders)
    _check_limits(min_width, max_width, min_signal_to_noise)
    check_numbers(n_fibres, n_slices)
    shape = checked_image(flat, "flat")
    searched = _searched(flat, _checked_region(region, shape), dispersion_axis)
    raster, dispersion_axis = searched.raster, searched.dispersion_axis
    warn_of_filled_gaps(raster)
    n_parts = n_fibres * n_slices
    wanted = Wanted(
        min_signal_to_noise, None if n_orders is None else n_orders * n_parts, min_width, max_width,
        searched.across.start, n_parts,
    )
    found, residuals = _traced(raster, wanted, degree, slice_width)
    if len(found) == 0:
        raise ValueError(
            "no orders found: the flat shows no bands of light along axis "
            f"{dispersion_axis}{_limits(min_width, max_width, min_signal_to_noise)}"
        )
    if n_fibres > 1:
        found = fibre_traces(raster, found, degree)
    if len(found) == n_parts > 1:
        warn_of_single_bundle(found, raster.shape[1])
    found = found + searched.across.start
    found, residuals, bundles = grouped(found, residuals, n_fibres, n_slices, first_order)
    _warn_of_missing(len(found) // n_fibres, n_orders)
    traces = np.full((len(found), shape[dispersion_axis]), np.nan)
    traces[:, searched.along] = found
    numbers = first_order + np.arange(len(traces))
    size = group_size(traces) if n_parts == 1 else 1
    if size > 1:
        _warn_of_groups(len(traces), size)
    elif n_fibres == 1:  # fibres are not evenly spaced; orders are, apart from gaps
        numbers = numbered(traces, first_order)
    table = EchelleOrderTable.from_traces(
        numbers, traces, shape=shape, dispersion_axis=dispersion_axis, degree=degree
    ).table
    rms, shared = residuals.T
    table["center_rms"] = rms * u.pix
    _warn_of_wandering(numbers[shared > _WANDERING].tolist())
    for name, values in bundles.items():
        table[name] = values
    return EchelleOrderTable(table)


def check_trace_keywords(keywords: Mapping[str, Any]) -> None:
    """
    Check keywords of `trace_orders` before there is a flat.

    Parameters
    ----------
    keywords : dict
        Keywords for `trace_orders`.

    Raises
    ------
    TypeError
        If a keyword is unknown; the message suggests the closest known name.
    ValueError
        If a value is out of range.
    """
    values = completed_keywords(trace_orders, keywords)
    values.pop("region")
    check_numbers(values.pop("n_fibres"), values.pop("n_slices"))
    _check_limits(*(values.pop(n) for n in ("min_width", "max_width", "min_signal_to_noise")))
    _check_options(**values)


class _Searched(NamedTuple):
    """The region of a frame in which to search, with the dispersion along axis 0 of the raster."""

    raster: np.ndarray
    dispersion_axis: int
    along: slice
    across: slice


def _searched(flat, region: tuple[slice, slice], dispersion_axis: int | None) -> _Searched:
    rows, columns = region
    raster = as_raster(flat, 0)[rows, columns]
    if min(raster.shape) < _LEAST_PIXELS:
        what = "flat" if raster.shape == np.shape(flat) else "region of the flat"
        raise ValueError(
            f"{what} has shape {raster.shape}, expected at least {_LEAST_PIXELS} pixels each way"
        )
    if dispersion_axis is None:
        dispersion_axis = steadier_axis(raster)
    if dispersion_axis == 0:
        return _Searched(raster, dispersion_axis, rows, columns)
    return _Searched(raster.T, dispersion_axis, columns, rows)


def _traced(raster, wanted, degree, slice_width) -> tuple[np.ndarray, np.ndarray]:
    """Order centres, (n_orders, n_pixels), and their residuals; the dispersion is along axis 0."""
    if slice_width is None:
        widest = len(raster) // (_SLICES_EACH * (degree + 1))
        slice_width = max(1, min(usual_width(len(raster)), widest))
    check_slices(len(raster), slice_width, degree, n_each=_SLICES_EACH)
    pixels, slices = median_slices(raster, slice_width)
    slices = with_masked_peaks(slices)
    slices = without_hot_columns(without_bad_rows(slices, pixels[1] - pixels[0]))
    paths = paths_along(pixels, slices)
    lit = slices
    if paths is not None:
        every = np.arange(len(slices))[:, None]
        lit = without_dark_borders(slices, every, paths[:, paths.shape[1] // 2])
    if lit is not slices:
        slices, paths = lit, paths_along(pixels, lit)
    found = None if paths is None else find_orders(pixels, slices, paths, wanted)
    if found is None:
        return np.empty((0, len(raster))), np.empty((0, 2))
    return traces_of(pixels, slices, *found, len(raster), degree, wanted.min_signal_to_noise)


def _limits(min_width, max_width, min_signal_to_noise) -> str:
    """What was required of the orders, for a message."""
    limits = f" that exceed {min_signal_to_noise:g} times the noise"
    for what, width in (("at least", min_width), ("at most", max_width)):
        limits += "" if width is None else f" and are {what} {width:g} pixels wide"
    return limits


def _warn_of_missing(n_found: int, n_orders: int | None) -> None:
    if n_orders is not None and n_found < n_orders:
        warn(
            f"{n_found} orders found, expected {n_orders}: check them, or lower min_signal_to_noise"
        )


def _warn_of_groups(n_traces: int, size: int) -> None:
    warn(
        f"the {n_traces} orders found form groups of {size}, with wider gaps between them: if each "
        f"group is one order, of {size} slits, slices or fibres, specify n_slices={size}, or "
        f"n_fibres={size} to trace each of them; if there are bands beside the orders, exclude "
        "them with min_width; otherwise check whether orders are missing"
    )


def _warn_of_wandering(numbers: list[int]) -> None:
    if numbers:
        warn(
            f"the measured centres of orders {numbers} wander from their traces by more than "
            f"{_WANDERING} pixels: the traces are doubtful; inspect them with plot_orders, or drop "
            "these orders"
        )


def _check_options(dispersion_axis, first_order, degree, slice_width, n_orders) -> None:
    if dispersion_axis not in (None, 0, 1):
        raise ValueError(f"dispersion_axis is {dispersion_axis!r}, expected 0, 1 or None")
    for name, value, least, optional in (
        ("first_order", first_order, 1, False), ("degree", degree, 0, False),
        ("slice_width", slice_width, 1, True), ("n_orders", n_orders, 1, True),
    ):
        if value is None and optional:
            continue
        expect(is_whole(value, least=least), name, value, f"an integer of at least {least}")


def _check_limits(min_width, max_width, min_signal_to_noise) -> None:
    for name, value in (
        ("min_width", min_width), ("max_width", max_width),
        ("min_signal_to_noise", min_signal_to_noise),
    ):
        if value is None and name != "min_signal_to_noise":
            continue
        expect(is_finite(value, above=0), name, value, "more than 0")
    if min_width is not None and max_width is not None and min_width >= max_width:
        raise ValueError(f"min_width is {min_width!r}, expected less than max_width, {max_width!r}")


def _checked_region(region, shape) -> tuple[slice, slice]:
    """The region as slices of rows and columns with explicit start and step 1."""
    parts = region if isinstance(region, tuple) else (region,)
    parts = [slice(None) if part is None else part for part in parts]
    if len(parts) > 2 or not all(isinstance(p, slice) and p.step in (None, 1) for p in parts):
        raise ValueError(
            f"region is {region!r}, expected a slice of rows, or of rows and columns, without steps"
        )
    parts += [slice(None)] * (2 - len(parts))
    return tuple(
        slice(*part.indices(size)[:2]) for part, size in zip(parts, shape, strict=True)
    )
