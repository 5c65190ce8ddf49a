# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Assign detector pixels to orders, and compute the fraction of each pixel that orders cover."""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import ArrayLike

from ccdproc_echelle._numeric.arguments import expect, is_finite
from ccdproc_echelle.orders import rasters
from ccdproc_echelle.orders.checks import check_window

__all__ = ["OrdersOnDetector"]


class OrdersOnDetector(ABC):
    """Pixel masks and maps of a detector, given the curves of its orders."""

    shape: tuple[int, int] | None
    dispersion_axis: int
    order_numbers: np.ndarray

    def __init__(self):
        # `order_index` and the last `inner_mask`, once computed: orders do not change.
        self._index = self._inner = self._inner_window = None

    @abstractmethod
    def center(self, pixels: ArrayLike | None = None) -> np.ndarray:
        """Cross-dispersion position of the order centres, (n_orders, n_pixels)."""

    @abstractmethod
    def lower(self, pixels: ArrayLike | None = None) -> np.ndarray:
        """Cross-dispersion position of the lower order edges."""

    @abstractmethod
    def upper(self, pixels: ArrayLike | None = None) -> np.ndarray:
        """Cross-dispersion position of the upper order edges."""

    @abstractmethod
    def _pixel_range(self) -> np.ndarray:
        """Start and end of each order along the dispersion, (n_orders, 2)."""

    def _known_shape(self) -> tuple[int, int]:
        if self.shape is None:
            raise ValueError(
                "the detector shape of this order table is unknown: pass shape= when reading or "
                "building it, or call on_detector(shape)"
            )
        return self.shape

    def inner_mask(self, window: float) -> np.ndarray:
        """
        Mask of the inner-order pixels, those within ``window / 2`` of an order centre.

        Parameters
        ----------
        window : float
            Full width in pixels along the cross-dispersion axis.

        Returns
        -------
        bool array, shape of the detector
            True on inner-order pixels.

        Raises
        ------
        ValueError
            If ``window`` is not positive or the detector shape is unknown.

        Examples
        --------
        >>> from ccdproc_echelle import EchelleOrderTable
        >>> orders = EchelleOrderTable.from_polynomials(
        ...     [1], [[2.2]], shape=(5, 3), dispersion_axis=1)
        >>> orders.inner_mask(2).astype(int)
        array([[0, 0, 0],
               [0, 0, 0],
               [1, 1, 1],
               [1, 1, 1],
               [0, 0, 0]])
        """
        if self._inner is None or window != self._inner_window:
            limits = self._window(window)
            self._inner = self._to_image(rasters.between(*limits, self._n_cross()))
            self._inner_window = window
        return self._inner.copy()

    def inner_index(self, window: float) -> np.ndarray:
        """
        Row of the table to which each inner-order pixel belongs.

        The inner-order pixels are those of `inner_mask`. Where the windows of several orders
        overlap, a pixel belongs to the order with the nearest centre.

        Parameters
        ----------
        window : float
            Full width in pixels along the cross-dispersion axis.

        Returns
        -------
        int16 array, shape of the detector
            Row of the table, counted from 0; -1 on all other pixels.

        Raises
        ------
        ValueError
            If ``window`` is not positive or the detector shape is unknown.

        Examples
        --------
        >>> from ccdproc_echelle import EchelleOrderTable
        >>> orders = EchelleOrderTable.from_polynomials(
        ...     [11, 12], [[1], [4.4]], shape=(7, 2), dispersion_axis=1)
        >>> orders.inner_index(4)[:, 0]
        array([0, 0, 0, 1, 1, 1, 1], dtype=int16)
        """
        low, high = self._window(window)
        return self._to_image(rasters.nearest_order(low, high, self.center(), self._n_cross()))

    def _window(self, window: float) -> tuple[np.ndarray, np.ndarray]:
        """Limits of the inner-order pixels; the single place where they are defined."""
        check_window(window)
        centers = self.center()
        return centers - window / 2, centers + window / 2

    def order_map(self, margin: float = 0) -> np.ndarray:
        """
        Map of the order number to which each pixel belongs.

        A pixel belongs to an order if its centre lies between the edges. Where orders overlap, it
        belongs to the order with the nearest centre.

        Parameters
        ----------
        margin : float, optional
            Number of pixels by which both edges are moved outwards (inwards if negative).

        Returns
        -------
        int array, shape of the detector
            Order number; 0 between the orders.

        Raises
        ------
        ValueError
            If the edges or the detector shape are not known.
        """
        index = self.order_index(margin)
        return np.append(self.order_numbers, 0)[index]

    def order_index(self, margin: float = 0) -> np.ndarray:
        """
        Row of the table to which each pixel belongs; `order_map` gives the order number instead.

        Parameters
        ----------
        margin : float, optional
            Number of pixels by which both edges are moved outwards (inwards if negative).

        Returns
        -------
        int16 array, shape of the detector
            Row of the table, counted from 0; -1 between the orders.

        Raises
        ------
        ValueError
            If the edges or the detector shape are not known.
        """
        if margin == 0 and self._index is not None:
            return self._index.copy()
        lower, upper = self._edges(margin)
        index = self._to_image(
            rasters.nearest_order(lower, upper, self.center(), self._n_cross())
        )
        if margin == 0:
            self._index = index.copy()
        return index

    def _edges(self, margin: float) -> tuple[np.ndarray, np.ndarray]:
        """The edges, moved outwards."""
        n = self._n_cross()
        in_range = is_finite(margin, above=-n, below=n)
        expect(in_range, "margin", margin, f"a number of pixels between -{n} and {n}")
        return self.lower() - margin, self.upper() + margin

    def interorder_mask(self, margin: float = 0) -> np.ndarray:
        """
        Mask of the inter-order area, the pixels that belong to no order.

        A pixel lies between the orders if its centre does, however much of its area an order
        covers: these are the pixels where `order_map` is 0. To exclude pixels that contain any
        light of an order, use a ``margin`` of one pixel plus the width of the blur, or ``coverage()
        == 0``.

        Parameters
        ----------
        margin : float, optional
            Number of pixels by which both edges are moved outwards (inwards if negative).

        Returns
        -------
        bool array, shape of the detector
            True between the orders.

        Raises
        ------
        ValueError
            If the edges or the detector shape are not known.

        Examples
        --------
        >>> from ccdproc_echelle import EchelleOrderTable
        >>> orders = EchelleOrderTable.from_polynomials(
        ...     [1], [[2]], lower=[[0.75]], upper=[[3.1]], shape=(5, 2), dispersion_axis=1)
        >>> orders.interorder_mask()[:, 0]
        array([ True, False, False, False,  True])
        """
        return self.order_index(margin) < 0

    def overlap_mask(self, margin: float = 0) -> np.ndarray:
        """
        Mask of the pixels covered by more than one order.

        `order_map` assigns these to the order with the nearest centre.

        Parameters
        ----------
        margin : float, optional
            Number of pixels by which both edges are moved outwards (inwards if negative).

        Returns
        -------
        bool array, shape of the detector
            True where the pixel centre lies between the edges of at least two orders.

        Raises
        ------
        ValueError
            If the edges or the detector shape are not known.

        Examples
        --------
        >>> from ccdproc_echelle import EchelleOrderTable
        >>> orders = EchelleOrderTable.from_polynomials(
        ...     [1, 2], [[1], [4]], lower=[[0], [2]], upper=[[2], [6]],
        ...     shape=(7, 2), dispersion_axis=1)
        >>> orders.overlap_mask()[:, 0]
        array([False, False,  True, False, False, False, False])
        """
        lower, upper = self._edges(margin)
        return self._to_image(rasters.number_of_orders(lower, upper, self._n_cross()) > 1)

    def edge_mask(self) -> np.ndarray:
        """
        Mask of the pixels through which an edge of an order runs, or one of its ends.

        Where no other order covers the rest, these are the pixels with a `coverage` between 0 and
        1.

        Returns
        -------
        bool array, shape of the detector
            True on the edges.

        Raises
        ------
        ValueError
            If the edges or the detector shape are not known.

        Examples
        --------
        >>> from ccdproc_echelle import EchelleOrderTable
        >>> orders = EchelleOrderTable.from_polynomials(
        ...     [1], [[2]], lower=[[0.5]], upper=[[3.1]], shape=(5, 2), dispersion_axis=1)
        >>> orders.edge_mask()[:, 0]
        array([False, False, False,  True, False])
        """
        return self._to_image(rasters.crossed_by_edges(
            self.lower, self.upper, self._pixel_range(), *self._raster_shape()
        ))

    def coverage(self) -> np.ndarray:
        """
        Fraction of the area of each pixel that lies inside an order.

        Accurate to a thousandth, however steep or curved the edges. A pixel in which an order
        begins or ends counts only from, or up to, that point; where orders overlap, their areas add
        up to at most 1.

        Returns
        -------
        float array, shape of the detector
            From 0 (between the orders) to 1 (inside an order).

        Raises
        ------
        ValueError
            If the edges or the detector shape are not known.

        Examples
        --------
        >>> from ccdproc_echelle import EchelleOrderTable
        >>> orders = EchelleOrderTable.from_polynomials(
        ...     [1], [[2]], lower=[[0.75]], upper=[[3.1]], shape=(5, 2), dispersion_axis=1)
        >>> orders.coverage().round(3)
        array([[0.  , 0.  ],
               [0.75, 0.75],
               [1.  , 1.  ],
               [0.6 , 0.6 ],
               [0.  , 0.  ]])
        """
        n_cross, n_pixels = self._raster_shape()
        return self._to_image(
            rasters.coverage(self.lower, self.upper, self._pixel_range(), n_cross, n_pixels)
        )

    def _raster_shape(self) -> tuple[int, int]:
        """Length of the detector in cross-dispersion and in dispersion."""
        shape = self._known_shape()
        return shape[1 - self.dispersion_axis], shape[self.dispersion_axis]

    def _n_cross(self) -> int:
        return self._raster_shape()[0]

    def _to_image(self, raster: np.ndarray) -> np.ndarray:
        """Turn a raster, whose rows run along the cross-dispersion axis, into an image."""
        return raster if self.dispersion_axis == 1 else np.ascontiguousarray(raster.T)
