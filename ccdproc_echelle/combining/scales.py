# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Scales of frames with one factor per order, interpolated between the orders."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ccdproc_echelle.orders import EchelleOrderTable

__all__ = ["OrderScales", "order_places"]

# Largest fraction of the way to the next order centre over which a scale is constant, however wide
# the orders.
_LARGEST_REACH = 0.45


@dataclass(frozen=True)
class OrderScales:
    """
    Scales of frames in each order, interpolated between the orders.

    Parameters
    ----------
    values : float array, shape (n_frames, n_orders)
        Factor of each frame in each order, orders sorted along the cross-dispersion axis.
    places : float array, shape (rows, columns)
        Position of each pixel between the orders: 1.25 is a quarter of the way from the second
        order to the third; see `order_places`.
    """

    values: np.ndarray
    places: np.ndarray

    def astype(self, dtype: np.dtype) -> "OrderScales":
        """
        Convert the scales to another type.

        Parameters
        ----------
        dtype : `numpy.dtype`
            The type.

        Returns
        -------
        `OrderScales`
        """
        return replace(self, values=self.values.astype(dtype), places=self.places.astype(dtype))

    def part(self, rows: slice) -> "OrderScales":
        """
        Return the scales of some rows.

        Parameters
        ----------
        rows : slice
            The rows.

        Returns
        -------
        `OrderScales`
        """
        return replace(self, places=self.places[rows])

    def images(self) -> Iterator[np.ndarray]:
        """
        Yield the scale of each pixel, frame by frame.

        Yields
        ------
        float array, shape (rows * columns,)
        """
        below = np.floor(self.places.ravel())
        index, beyond = below.astype(np.intp), self.places.ravel() - below
        rises = np.diff(self.values, axis=1, append=self.values[:, -1:])
        for value, rise in zip(self.values, rises, strict=True):
            yield value.take(index) + beyond * rise.take(index)


def order_places(orders: EchelleOrderTable, window: float) -> np.ndarray:
    """
    Position of each pixel between the orders, along the cross-dispersion axis.

    It is the index of the order between its edges if these are known, otherwise within ``window /
    2`` of its centre, and rises linearly from there to the next order. It is constant beyond the
    first and last order. Where an order is not valid, it is continued at the position where its
    range ends, so that there are no steps.

    Parameters
    ----------
    orders : `EchelleOrderTable`
        The orders, sorted along the cross-dispersion axis.
    window : float
        Full width of the window on the order centre, in pixels.

    Returns
    -------
    float array, shape of the detector

    Examples
    --------
    >>> from ccdproc_echelle import EchelleOrderTable
    >>> from ccdproc_echelle.combining.scales import order_places
    >>> orders = EchelleOrderTable.from_polynomials(
    ...     [1, 2], [[2], [8]], shape=(11, 3), dispersion_axis=1)
    >>> order_places(orders, window=2)[:, 0]
    array([0.  , 0.  , 0.  , 0.  , 0.25, 0.5 , 0.75, 1.  , 1.  , 1.  , 1.  ])
    """
    center = _continued(orders.center())
    low, high = center - window / 2, center + window / 2
    if orders.has_edges:
        low, high = _continued(orders.lower()), _continued(orders.upper())
    reach = _LARGEST_REACH * np.diff(center, axis=0)
    low[1:] = np.maximum(low[1:], center[1:] - reach)
    high[:-1] = np.minimum(high[:-1], center[:-1] + reach)
    knots = np.stack([low, high], axis=1).reshape(-1, center.shape[1])
    # Where orders cross, the later one yields.
    knots = np.maximum.accumulate(knots, axis=0)
    index = np.repeat(np.arange(len(orders)), 2)
    rows = np.arange(orders.shape[1 - orders.dispersion_axis])
    places = np.array([np.interp(rows, column, index) for column in knots.T])
    return places if orders.dispersion_axis == 0 else np.ascontiguousarray(places.T)


def _continued(curves: np.ndarray) -> np.ndarray:
    """Curves (n_orders, n_pixels), continued at the position where their valid range ends."""
    pixels = np.arange(curves.shape[1])
    return np.array([np.interp(pixels, pixels[ok], curve[ok])
                     for curve, ok in zip(curves, np.isfinite(curves), strict=True)])
