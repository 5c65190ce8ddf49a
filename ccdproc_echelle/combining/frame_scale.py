# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Scale of a single frame (one over its level), for use with `ccdproc.combine`."""

import numpy as np
from astropy.nddata import CCDData
from astropy.stats import SigmaClip
from numpy.typing import ArrayLike

from ccdproc_echelle.combining.fitness import check_image
from ccdproc_echelle.combining.outliers import (
    LEVEL_CLIP,
    NOTHING_LEFT,
    check_sigma_clip,
    unshared,
)
from ccdproc_echelle.frames import check_real
from ccdproc_echelle.orders import EchelleOrderTable, check_window, checked_orders

__all__ = ["InnerOrderScale", "inner_order_scale"]


class InnerOrderScale:
    """
    Scale of a frame: one over its exposure level. Created by `inner_order_scale`.

    Parameters
    ----------
    orders, window, sigma_clip, mask
        See `inner_order_scale`.
    """

    def __init__(self, orders, window, sigma_clip, mask):
        self.orders = orders
        self.window = window
        self.sigma_clip = sigma_clip
        self.mask = mask

    def __call__(self, frame: CCDData | np.ndarray) -> float:
        """
        Measure the scale of a frame.

        Parameters
        ----------
        frame : `~astropy.nddata.CCDData`, array or masked array, shape (rows, columns)
            The frame. Masked and non-finite pixels are ignored.

        Returns
        -------
        float
            The factor that brings the level of the frame to 1.

        Raises
        ------
        ValueError
            If the frame does not match the order table or the mask, no inner-order pixel is good or
            survives the clipping, or the level is not positive.

        Warns
        -----
        `~astropy.utils.exceptions.AstropyUserWarning`
            If the orders are a pixel or more off the table, an order has no light, or the window is
            wider than the orders.
        """
        data = np.ma.asarray(frame.data if isinstance(frame, CCDData) else frame)
        check_real(data, "the frame")
        orders = self.orders.on_detector(data.shape)
        inner = orders.inner_mask(self.window)
        for mask in (self.mask, getattr(frame, "mask", None)):
            if mask is not None:
                _check_mask(mask, data.shape)
                mask = np.broadcast_to(np.asarray(mask, dtype=bool), data.shape)
                inner &= ~mask
                data = np.ma.masked_array(data, mask)
        check_image(data, orders, self.window)
        values = np.asarray(data.data[inner], dtype=float)
        values = values[np.isfinite(values)]
        if len(values) == 0:
            raise ValueError(f"no good pixel within the window of {self.window} pixels")
        values = unshared(self.sigma_clip)(values, masked=False)
        if len(values) == 0:
            raise ValueError(NOTHING_LEFT)
        level = float(values.mean())
        if not level > 0:
            raise ValueError(f"the exposure level of the frame is {level}, expected > 0")
        return 1 / level


def inner_order_scale(
    orders: EchelleOrderTable,
    *,
    window: float = 10,
    sigma_clip: SigmaClip = LEVEL_CLIP,
    mask: ArrayLike | None = None,
) -> InnerOrderScale:
    """
    Create a ``scale`` function for `ccdproc.combine` that only uses the order centres.

    The level of a frame is the sigma-clipped mean of its inner-order pixels, those within ``window
    / 2`` of an order centre; the scale is one over the level. This is the first normalisation of
    the SOXS master-flat recipe; `two_pass_flat_combine` performs both.

    Parameters
    ----------
    orders : `EchelleOrderTable`
        The order centres.
    window : float, optional
        Full width of the window on the order centre, in pixels along the cross-dispersion axis.
    sigma_clip : `~astropy.stats.SigmaClip`, optional
        How outliers are rejected before the mean is computed. Default: beyond 5 standard deviations
        from the mean, in at most 10 iterations.
    mask : bool array, shape (rows, columns), optional
        Pixels to ignore in every frame (True is bad). `ccdproc.combine` passes the bare data to a
        scale function, without the mask of the frame, so known bad pixels must be given here.

    Returns
    -------
    callable
        Function that takes an array or `~astropy.nddata.CCDData` and returns ``1 / level`` as a
        float.

    Raises
    ------
    TypeError
        If ``sigma_clip`` cannot be called.
    ValueError
        If ``window`` is not positive, the mask does not match the order table, or (when called) the
        frame does not match, no pixel is good, or the level is not positive.

    References
    ----------
    SOXS pipeline documentation, recipe ``soxs-mflat``.

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle import EchelleOrderTable, inner_order_scale
    >>> orders = EchelleOrderTable.from_polynomials(
    ...     [1], [[50]], shape=(100, 80), dispersion_axis=1)
    >>> frame = np.full((100, 80), 10.0)
    >>> frame[40:61] = 500.0
    >>> inner_order_scale(orders, window=10)(frame)
    0.002
    """
    check_window(window)
    check_sigma_clip(sigma_clip)
    checked_orders(orders)
    if mask is not None and orders.shape is not None:
        _check_mask(mask, orders.shape)
    return InnerOrderScale(orders, window, sigma_clip, mask)


def _check_mask(mask: ArrayLike, shape: tuple[int, int]) -> None:
    if np.asarray(mask).dtype.kind not in "biuf":
        raise TypeError(f"mask is a {type(mask).__name__}, expected an array of True and False")
    if np.shape(mask) not in ((), shape):
        raise ValueError(f"mask has shape {np.shape(mask)}, expected {shape}")
