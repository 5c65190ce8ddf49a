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

import numpy as np
from astropy.nddata import CCDData

from ccdproc_echelle._numeric.arguments import expect, is_finite
from ccdproc_echelle._warnings import warn
from ccdproc_echelle.orders.coarse_shift import WrongOrderTableError, coarse_shift, too_far
from ccdproc_echelle.orders.profile_slices import ProfileSlices, profiles_at, raster_and_slices
from ccdproc_echelle.orders.shift_fits import (
    TOLERATED_SHIFT,
    equivalent_widths,
    fine_shift,
    shift_from_reference,
)
from ccdproc_echelle.orders.slices import checked_image
from ccdproc_echelle.orders.table import EchelleOrderTable, checked_orders

__all__ = [
    "OrderShift",
    "check_in_place",
    "frame_shift",
    "in_place",
    "measure_shift",
    "recenter",
    "recentre",
    "typical_width",
]

# The coarse shift, good to a few tenths of a pixel, identifies most misplaced tables without a fit.
_CLEARLY_IN_PLACE = 0.5


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
    raster, slices = raster_and_slices(flat, orders, "flat")
    max_shift = _checked_max_shift(max_shift, slices)
    coarse, match = coarse_shift(raster, slices, max_shift)
    fine, uncertainty = fine_shift(raster, slices, coarse)
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
    orders = checked_orders(orders).on_detector(checked_image(flat, "flat"))
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
    shape, expected = checked_image(frame, "frame"), checked_image(reference, "reference")
    if shape != expected:
        raise ValueError(
            f"the frame has shape {shape}, the reference {expected}; expected the same"
        )
    raster, slices = raster_and_slices(frame, orders, "frame")
    rasters = [raster, raster_and_slices(reference, orders, "reference")[0]]
    max_shift = _checked_max_shift(max_shift, slices)
    found = [coarse_shift(raster, slices, max_shift) for raster in rasters]
    (start, match), (origin, reference_match) = found
    fine, uncertainty = shift_from_reference(*rasters, slices, origin, start - origin)
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
    raster, slices = raster_and_slices(flat, orders, "flat")
    widths = equivalent_widths(profiles_at(raster, slices, 0.0), slices)[:, 1]
    return float(np.nanmedian(widths)) if np.isfinite(widths).any() else np.inf


def _intolerable_shift(flat: CCDData, orders: EchelleOrderTable) -> float:
    """Offset of the orders of the flat from the table; 0 if it is within the tolerance."""
    if abs(_roughly(flat, orders)) < _CLEARLY_IN_PLACE:
        return 0.0
    shift = measure_shift(flat, orders).shift
    return shift if abs(shift) >= TOLERATED_SHIFT else 0.0


def _roughly(flat: CCDData, orders: EchelleOrderTable) -> float:
    """The coarse shift from which `measure_shift` starts."""
    raster, slices = raster_and_slices(flat, orders, "flat")
    return coarse_shift(raster, slices, _checked_max_shift(None, slices))[0]


# ---------------------------------------------------------------------- checks at the door


def _checked_max_shift(max_shift: float | None, slices: ProfileSlices) -> float:
    if max_shift is None:
        return 0.5 * np.nanmin(slices.spacing)
    expect(is_finite(max_shift, above=0), "max_shift", max_shift, "a positive number of pixels")
    return float(max_shift)


def _checked_shift(shift, uncertainty, match, max_shift) -> OrderShift:
    if abs(shift) > max_shift:
        raise WrongOrderTableError(too_far(shift, max_shift))
    return OrderShift(float(shift), float(uncertainty), float(match))
