# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Mask the inter-order area."""

import numpy as np
from astropy.nddata import CCDData, InverseVariance

from ccdproc_echelle._numeric.arguments import expect, is_finite
from ccdproc_echelle.frames import check_real, without_file_cards
from ccdproc_echelle.orders.misplaced import warn_of_misplaced_edges
from ccdproc_echelle.orders.table import EchelleOrderTable, checked_orders

__all__ = ["mask_interorder"]


def mask_interorder(
    flat: CCDData,
    orders: EchelleOrderTable,
    *,
    fill_value: float = 1.0,
    margin: float = 0,
    mask: bool = True,
) -> CCDData:
    """
    Set the inter-order area of a flat to a constant, so that dividing by the flat has no effect
    there.

    Parameters
    ----------
    flat : `~astropy.nddata.CCDData`, shape (rows, columns)
        The flat, which is not modified.
    orders : `EchelleOrderTable`
        The orders, which must have edges.
    fill_value : float, optional
        Value assigned between the orders, in the unit of the flat.
    margin : float, optional
        Number of pixels by which both edges of each order are moved outwards (inwards if negative).
    mask : bool, optional
        Whether to mask the inter-order area as well.

    Returns
    -------
    `~astropy.nddata.CCDData`
        A copy with the same unit, header and WCS. Between the orders the uncertainty is that of an
        exact value: 0, or infinity for an `~astropy.nddata.InverseVariance`. Integer data are
        converted to float.

    Raises
    ------
    TypeError
        If ``flat`` is not a `~astropy.nddata.CCDData`.
    ValueError
        If the order table has no edges or is for another detector, ``fill_value`` is not finite, or
        the ``margin`` leaves no pixel within the orders or exceeds the detector.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If most edges are not where the light of the flat ends, as with those of another binning.

    See Also
    --------
    detect_order_edges : Measure the order edges on a flat.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.nddata import CCDData
    >>> from ccdproc_echelle import EchelleOrderTable
    >>> from ccdproc_echelle import mask_interorder
    >>> orders = EchelleOrderTable.from_polynomials(
    ...     [1], [[2]], lower=[[0.5]], upper=[[3.5]], shape=(5, 2), dispersion_axis=1)
    >>> flat = mask_interorder(CCDData(np.full((5, 2), 0.9), unit=""), orders)
    >>> flat.data[:, 0], flat.mask[:, 0]
    (array([1. , 0.9, 0.9, 0.9, 1. ]), array([ True, False, False, False,  True]))
    """
    if not isinstance(flat, CCDData):
        raise TypeError(f"flat is a {type(flat).__name__}, expected a CCDData")
    check_real(flat.data, "flat")
    expect(is_finite(fill_value), "fill_value", fill_value, "a finite number")
    orders = checked_orders(orders).on_detector(flat.shape)
    outside = orders.interorder_mask(margin)
    expect(not outside.all(), "margin", margin, "one that leaves pixels within the orders")
    warn_of_misplaced_edges(flat, orders)
    result = flat.copy()
    result.header = without_file_cards(flat.header)
    if result.data.dtype.kind != "f":
        result.data = result.data.astype(float)
    result.data[outside] = fill_value
    if result.uncertainty is not None:
        exact = np.inf if isinstance(result.uncertainty, InverseVariance) else 0
        result.uncertainty.array[outside] = exact
    if mask:
        result.mask = outside if flat.mask is None else flat.mask | outside
    return result
