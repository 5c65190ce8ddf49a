# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Keep order tables consistent with trimmed frames."""

from ccdproc_echelle.frames import AssembledFrame, RawFrame
from ccdproc_echelle.orders import EchelleOrderTable, checked_orders

__all__ = ["on_trimmed"]


def on_trimmed(
    orders: EchelleOrderTable, frame: RawFrame | AssembledFrame
) -> EchelleOrderTable:
    """
    Return the order table for the trimmed part of a frame.

    Parameters
    ----------
    orders : `EchelleOrderTable`
        Order table for the trimmed frame or for the full frame.
    frame : `~ccdproc_echelle.frames.RawFrame` or `~ccdproc_echelle.frames.AssembledFrame`
        The frame.

    Returns
    -------
    `EchelleOrderTable`
        Order table for the trimmed frame; orders of which nothing is left are dropped.

    Raises
    ------
    TypeError
        If ``orders`` is not an order table.
    ValueError
        If it is for a different shape, or no order is left.
    """
    shape = checked_orders(orders).shape
    if shape is None or shape == frame.shape or frame.full_shape == frame.shape:
        return orders.on_detector(frame.shape)
    if shape == frame.full_shape:
        return orders.cropped(tuple(frame.light))
    raise ValueError(
        f"order table is for shape {shape}, but {frame.name} has shape {frame.full_shape}, trimmed "
        f"{frame.shape}; expected one of these"
    )
