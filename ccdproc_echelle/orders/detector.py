# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Orders on the pixels of a detector: which of them belong to which order, and how much."""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import ArrayLike

from ccdproc_echelle.orders import rasters

__all__ = ["OrdersOnDetector"]


class OrdersOnDetector(ABC):
    """What can be said of the pixels of a detector, once the curves of its orders are known."""

    shape: tuple[int, int] | None
    dispersion_axis: int
    order_numbers: np.ndarray

    def __init__(self):
        self._index = None  # `order_index`, once it was asked for: orders do not change

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
        """Where each order begins and ends, (n_orders, 2)."""

    def _known_shape(self) -> tuple[int, int]:
        if self.shape is None:
            raise ValueError(
                "the detector shape of this order table is unknown: give shape= when it is read "
                "or built, or use on_detector(shape)"
            )
        return self.shape

    def inner_mask(self, window: float) -> np.ndarray:
        """
        The inner-order pixels: those within ``window / 2`` of an order centre.

        Parameters
        ----------
        window : float
            Full width, in pixel along the cross-dispersion axis.

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
        return self._to_image(rasters.between(*self._window(window), self._n_cross()))

    def inner_index(self, window: float) -> np.ndarray:
        """
        To which row of the table each inner-order pixel belongs.

        These are the pixels of `inner_mask`; where the windows of orders overlap, a pixel belongs
        to the order whose centre is nearest.

        Parameters
        ----------
        window : float
            Full width, in pixel along the cross-dispersion axis.

        Returns
        -------
        int16 array, shape of the detector
            Row of the table, from 0 on; -1 on other pixels.

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
        """The limits of the inner-order pixels: where this is defined."""
        if not window > 0:
            raise ValueError(f"window is {window!r}, expected a positive number of pixels")
        centers = self.center()
        return centers - window / 2, centers + window / 2

    def order_map(self, margin: float = 0) -> np.ndarray:
        """
        Which order each pixel belongs to.

        A pixel belongs to an order when its centre lies between the edges. Where orders overlap
        it belongs to the one whose centre is nearest.

        Parameters
        ----------
        margin : float, optional
            Pixels by which both edges are moved outwards; negative moves them inwards.

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
        To which row of the table each pixel belongs, as `order_map` says by order number.

        Parameters
        ----------
        margin : float, optional
            Pixels by which both edges are moved outwards; negative moves them inwards.

        Returns
        -------
        int16 array, shape of the detector
            Row of the table, from 0 on; -1 between the orders.

        Raises
        ------
        ValueError
            If the edges or the detector shape are not known.
        """
        if margin == 0 and self._index is not None:
            return self._index.copy()
        lower, upper = self.lower() - margin, self.upper() + margin
        index = self._to_image(
            rasters.nearest_order(lower, upper, self.center(), self._n_cross())
        )
        if margin == 0:
            self._index = index.copy()
        return index

    def interorder_mask(self, margin: float = 0) -> np.ndarray:
        """
        The inter-order area: the pixels that belong to no order.

        A pixel is between the orders when its centre is, however much of its area an order
        covers: these are the pixels where `order_map` is 0. Those with any light of an order
        in them are left out by a ``margin`` of a pixel and the width of the blur, or by
        ``coverage() == 0``.

        Parameters
        ----------
        margin : float, optional
            Pixels by which both edges are moved outwards; negative moves them inwards.

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
        The pixels that more than one order covers.

        `order_map` gives them to the order whose centre is nearest.

        Parameters
        ----------
        margin : float, optional
            Pixels by which both edges are moved outwards; negative moves them inwards.

        Returns
        -------
        bool array, shape of the detector
            True where the pixel centre lies between the edges of two orders or more.

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
        lower, upper = self.lower() - margin, self.upper() + margin
        return self._to_image(rasters.number_of_orders(lower, upper, self._n_cross()) > 1)

    def coverage(self) -> np.ndarray:
        """
        The fraction of each pixel's area that lies inside an order.

        Exact to a thousandth, however steep or bent the edges are. A pixel in which an order begins
        or ends is covered from or to there; where orders overlap, areas add up to at most 1.

        Returns
        -------
        float array, shape of the detector
            From 0 (between orders) to 1 (inside).

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
        """Cross-dispersion and dispersion length of the detector."""
        shape = self._known_shape()
        return shape[1 - self.dispersion_axis], shape[self.dispersion_axis]

    def _n_cross(self) -> int:
        return self._raster_shape()[0]

    def _to_image(self, raster: np.ndarray) -> np.ndarray:
        """A raster with rows along the cross-dispersion axis, as an image."""
        return raster if self.dispersion_axis == 1 else np.ascontiguousarray(raster.T)
