# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Pixels of a set of flats in which scattered light is measured, and their values in a frame."""

from typing import NamedTuple

import numpy as np

from ccdproc_echelle.light.interorder import LEAST_PIXELS, numbers_and_edges, profiles_of
from ccdproc_echelle.light.scattered_scene import Scene, wanted
from ccdproc_echelle.light.stray_light import lit_rows_and_columns, outside
from ccdproc_echelle.orders import EchelleOrderTable

__all__ = ["FrameSample", "ScatteredLightSample", "check_values"]

# Largest value whose fourth power can be represented.
_LARGEST_VALUE = 1e75


class FrameSample(NamedTuple):
    """
    What is needed of a frame to measure its scattered light; from `ScatteredLightSample.of_frame`.

    Attributes
    ----------
    values : array, shape (n_pixels,)
        Values between the orders; 0 where they are not good.
    good : bool array, shape (n_pixels,)
        Which of the values are good.
    sigma : array, shape (n_pixels,), or None
        Standard deviations of the values; `None` if they are not known.
    brightness : array
        Brightness of each order in each stretch.
    """

    values: np.ndarray
    good: np.ndarray
    sigma: np.ndarray | None
    brightness: np.ndarray

    def divided_by(self, level: float) -> "FrameSample":
        """The sample of the frame divided by its level."""
        sigma = None if self.sigma is None else self.sigma / level
        return FrameSample(self.values / level, self.good, sigma, self.brightness / level)

    def without(self, pixels: np.ndarray) -> "FrameSample":
        """The frame without some pixels of the sample."""
        good = self.good & ~pixels
        if np.count_nonzero(good) < LEAST_PIXELS:
            raise ValueError(
                f"{np.count_nonzero(good)} pixels between the orders are good, expected at least "
                f"{LEAST_PIXELS} to measure scattered light"
            )
        return self._replace(good=good)


class ScatteredLightSample:
    """
    The pixels of a set of flats that are needed to measure scattered light.

    Between the orders a random sample is enough; the brightness of the orders tells how bright
    their wings are.

    Parameters
    ----------
    data : array, shape (rows, columns)
        A typical frame, such as the median of the set, with bias and dark subtracted.
    usable : bool array, of the same shape
        False where ``data`` is bad.
    orders : `EchelleOrderTable`
        The orders, with edges, on this detector.
    margin : float, optional
        Pixels closer to an order edge than this are not used.

    Attributes
    ----------
    pixels : int array
        The pixels, as ascending indices into the flattened frame.
    typical : `~ccdproc_echelle.light.FrameSample`
        The typical frame in these pixels.
    scene : object
        Where the pixels lie, with the orders along the rows.
    dispersion_axis : {0, 1}
        Axis of the frame along which the orders run.
    order_numbers : int array, shape (n_orders,)
        Order numbers of the orders with edges, from the lowest row up.
    profiles : set of str
        The profiles as which the edges of the orders were measured, if that is known.

    Raises
    ------
    ValueError
        If fewer than 100 usable pixels lie between the orders, or values are too large to be
        squared.
    """

    def __init__(
        self,
        data: np.ndarray,
        usable: np.ndarray,
        orders: EchelleOrderTable,
        margin: float = 1.0,
    ):
        self.dispersion_axis, self.profiles = orders.dispersion_axis, profiles_of(orders)
        if orders.dispersion_axis == 0:
            data, usable, orders = data.T, usable.T, orders.transposed()
        self.order_numbers, lower, upper = numbers_and_edges(orders)
        lit = lit_rows_and_columns(data, usable, lower, upper)
        self.scene = Scene(usable, lit, lower, upper, margin)
        self.pixels, self._between, self._in_orders = wanted(self.scene, self.dispersion_axis)
        self.typical = self.of_frame(*(
            (image if self.dispersion_axis == 1 else image.T).ravel()[self.pixels]
            for image in (data, usable)
        ))

    @property
    def unlit(self) -> np.ndarray | None:
        """The borders of the detector without light, as in `unlit_borders`."""
        unlit = outside(self.scene.basis.lit, self.scene.shape)
        return unlit if unlit is None or self.dispersion_axis == 1 else unlit.T

    def of_frame(
        self, values: np.ndarray, good: np.ndarray, sigma: np.ndarray | None = None
    ) -> FrameSample:
        """
        Take from a frame what is needed to measure its scattered light.

        Parameters
        ----------
        values : array
            Values of the frame at ``pixels``.
        good : bool array
            Which of the values are good.
        sigma : array, optional
            Standard deviations of the values.

        Returns
        -------
        `~ccdproc_echelle.light.FrameSample`

        Raises
        ------
        ValueError
            If values are too large to be squared.
        """
        check_values(values, good)
        light = np.append(np.where(good, values, np.nan).astype(float), np.nan)
        good = good[self._between]
        return FrameSample(
            np.where(good, light[self._between], 0),
            good,
            None if sigma is None else sigma[self._between],
            self.scene.order_pixels.brightness(light[self._in_orders]),
        )


def check_values(values: np.ndarray, good: np.ndarray) -> None:
    """Raise if powers of the values would overflow."""
    ends = (end(values, where=good, initial=0) for end in (np.max, np.min))
    largest = max(abs(float(value)) for value in ends)
    if largest > _LARGEST_VALUE:
        raise ValueError(f"frame has values of {largest:.3g}, expected at most {_LARGEST_VALUE:g}")
