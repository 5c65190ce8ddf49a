# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Where the orders lie, from a flat alone: order centres found and followed without a guess."""

import numpy as np
from astropy import units as u
from astropy.nddata import CCDData

from ccdproc_echelle.orders.bands import find_orders
from ccdproc_echelle.orders.centres import traces_of
from ccdproc_echelle.orders.profiles import median_slices, steadier_axis, without_hot_columns
from ccdproc_echelle.orders.slices import as_raster, checked_image
from ccdproc_echelle.orders.table import EchelleOrderTable

__all__ = ["trace_orders"]


def trace_orders(
    flat: CCDData,
    *,
    dispersion_axis: int | None = None,
    first_order: int = 1,
    degree: int = 4,
    slice_width: int | None = None,
    min_signal_to_noise: float = 6.0,
) -> EchelleOrderTable:
    """
    Find the orders on a flat and trace their centres.

    No starting guess is needed. The frame is reduced to slices, medians of a few dispersion
    pixels. The flanks of the orders, followed from slice to slice wherever they are clear, give
    the slope of the orders as a smooth function of the place on the detector. Its integral curves
    are the paths that an order takes, or would take: along them the frame is straightened, so that
    an order is a straight band. It is found in the mean of many slices, however faint it is in
    each, and is one order even where it is interrupted. What does not run along such a path - a
    ghost, a hot column - is smeared out. The paths are corrected by the orders found
    and the search is repeated.

    The order centre is the middle between the half-maximum edges, not the centroid of the light:
    neither an uneven slit illumination nor the light of a neighbour moves it. Where one edge
    is off the detector, the width of the neighbouring orders gives the centre.

    Parameters
    ----------
    flat : `~astropy.nddata.CCDData` or array, shape (rows, columns)
        A flat frame, any unit or level. Masked and non-finite pixels are ignored. The uncertainty
        is not needed: the noise is measured between neighbouring slices.
    dispersion_axis : int, optional
        1 when orders run along image rows, 0 when along columns. Default: the axis along which
        the frame changes less.
    first_order : int, optional
        Order number of the lowest order; the others count up from there.
    degree : int, optional
        Degree of the Chebyshev series of each order centre.
    slice_width : int, optional
        Dispersion pixels combined to one slice. Default: a 250th of the dispersion axis, but from
        5 to 15.
    min_signal_to_noise : float, optional
        An order is seen where its light exceeds the background so many times the noise.

    Returns
    -------
    `EchelleOrderTable`
        From the lowest cross-dispersion position up. The valid range of an order is where it was
        followed and its centre is on the detector; ``center_rms`` is the residual of the
        measured centres.

    Raises
    ------
    ValueError
        If a parameter is out of range, the frame is not 2-D or too small, or no orders are found.

    See Also
    --------
    detect_order_edges

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
    _check_options(dispersion_axis, first_order, degree, slice_width, min_signal_to_noise)
    checked_image(flat, "flat")
    raster = as_raster(flat, 0)
    if min(raster.shape) < 20:
        raise ValueError(f"flat has shape {raster.shape}, expected at least 20 pixels each way")
    if dispersion_axis is None:
        dispersion_axis = steadier_axis(raster)
    shape = raster.shape
    if dispersion_axis == 1:
        raster = np.ascontiguousarray(raster.T)
    pixels, slices = median_slices(raster, slice_width)
    slices = without_hot_columns(slices)
    found = find_orders(pixels, slices, min_signal_to_noise)
    if found is not None:
        traces, residuals = traces_of(
            pixels, slices, *found, len(raster), degree, min_signal_to_noise
        )
    if found is None or len(traces) == 0:
        raise ValueError(
            f"no orders found: the flat shows no bands of light along axis {dispersion_axis}"
        )
    table = EchelleOrderTable.from_traces(
        first_order + np.arange(len(traces)), traces, shape=shape,
        dispersion_axis=dispersion_axis, degree=degree,
    ).table
    table["center_rms"] = residuals * u.pix
    return EchelleOrderTable(table)


def _check_options(dispersion_axis, first_order, degree, slice_width, min_signal_to_noise) -> None:
    if dispersion_axis not in (None, 0, 1):
        raise ValueError(f"dispersion_axis is {dispersion_axis!r}, expected 0, 1 or None")
    for name, value, least in (
        ("first_order", first_order, 1), ("degree", degree, 0), ("slice_width", slice_width, 1)
    ):
        if value is None and name == "slice_width":
            continue
        if not isinstance(value, (int, np.integer)) or value < least:
            raise ValueError(f"{name} is {value!r}, expected an integer of at least {least}")
    if not 0 < min_signal_to_noise < np.inf:
        raise ValueError(f"min_signal_to_noise is {min_signal_to_noise!r}, expected more than 0")
