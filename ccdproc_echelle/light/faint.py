# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Find where a flat is too faint to divide by, and the usable range of each order."""

import numpy as np
from astropy.nddata import CCDData

from ccdproc_echelle._numeric.arguments import expect, is_finite
from ccdproc_echelle._numeric.ranges import best_range
from ccdproc_echelle.frames import standard_deviation
from ccdproc_echelle.light.flags import UNUSABLE, FlatFlag
from ccdproc_echelle.orders import EchelleOrderTable

__all__ = ["check_min_signal_to_noise", "faint_fractions", "faint_pixels", "usable_ranges"]


def check_min_signal_to_noise(value: float) -> None:
    """
    Raise if the minimum signal-to-noise ratio is invalid.

    Parameters
    ----------
    value : float
        Argument of `faint_pixels`.

    Raises
    ------
    ValueError
        If it is not a finite number of at least 0.
    """
    good = is_finite(value, least=0)
    expect(good, "min_signal_to_noise", value, "a number of at least 0")


def faint_pixels(
    flat: CCDData,
    orders: EchelleOrderTable,
    *,
    min_signal_to_noise: float = 3,
    margin: float = 0,
) -> np.ndarray:
    """
    Find the in-order pixels that are too faint to divide by.

    Parameters
    ----------
    flat : `~astropy.nddata.CCDData`, shape (rows, columns)
        Master flat, in any unit and with any normalisation.
    orders : `~ccdproc_echelle.EchelleOrderTable`
        The orders, with edges.
    min_signal_to_noise : float, optional
        A value below this many times its uncertainty is too faint. Values that are not above zero
        are always too faint; where the uncertainty is not known, only these are.
    margin : float, optional
        Number of pixels by which both edges of each order are moved outwards.

    Returns
    -------
    bool array, shape (rows, columns)
        True for faint pixels. Pixels that are masked or not finite in the flat are not included.

    Raises
    ------
    TypeError
        If the uncertainty of the flat is of an unknown type.
    ValueError
        If ``min_signal_to_noise`` is negative, or the orders have no edges or are for a detector of
        a different shape.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.nddata import CCDData, StdDevUncertainty
    >>> from ccdproc_echelle import EchelleOrderTable
    >>> from ccdproc_echelle.light import faint_pixels
    >>> orders = EchelleOrderTable.from_polynomials(
    ...     [7], [[1]], lower=[[0.5]], upper=[[1.5]], shape=(3, 5), dispersion_axis=1)
    >>> light = np.tile([1, 0.5, 0.2, 0, -0.1], (3, 1))
    >>> flat = CCDData(light, unit="", uncertainty=StdDevUncertainty(np.full((3, 5), 0.1)))
    >>> faint_pixels(flat, orders)[1]
    array([False, False,  True,  True,  True])
    """
    check_min_signal_to_noise(min_signal_to_noise)
    inside = orders.on_detector(flat.shape).order_index(margin) >= 0
    faint = flat.data <= 0
    sigma = standard_deviation(flat, "flat")
    if sigma is not None:
        faint |= flat.data < min_signal_to_noise * sigma
    faint &= inside & np.isfinite(flat.data)
    return faint if flat.mask is None else faint & ~flat.mask


def faint_fractions(flags: np.ndarray, orders: EchelleOrderTable) -> np.ndarray:
    """
    Compute the fraction of pixels of each order that are too faint.

    Parameters
    ----------
    flags : int array, shape (rows, columns)
        Bits of `~ccdproc_echelle.FlatFlag`.
    orders : `~ccdproc_echelle.EchelleOrderTable`
        The orders, with edges.

    Returns
    -------
    float array, shape (n_orders,)
        NaN for orders without pixels.

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle import EchelleOrderTable, FlatFlag
    >>> from ccdproc_echelle.light import faint_fractions
    >>> orders = EchelleOrderTable.from_polynomials(
    ...     [7], [[1]], lower=[[0.5]], upper=[[1.5]], shape=(3, 100), dispersion_axis=1)
    >>> flags = np.zeros((3, 100), dtype=np.int16)
    >>> flags[:, 80:] |= FlatFlag.FAINT
    >>> faint_fractions(flags, orders)
    array([0.2])
    """
    order_of, is_faint = orders.order_index(), flags & int(FlatFlag.FAINT) != 0
    size, faint = (
        np.bincount(rows[rows >= 0], minlength=len(orders))
        for rows in (order_of, order_of[is_faint])
    )
    return np.divide(faint, size, out=np.full(len(orders), np.nan), where=size > 0)


def usable_ranges(flags: np.ndarray, orders: EchelleOrderTable) -> np.ndarray:
    """
    Find the range of each order, along the dispersion, in which at least half of the slit is
    usable.

    It is the range in which the usable pixels outnumber the unusable ones by the largest number. It
    therefore bridges gaps that are shorter than the usable parts on both sides, and is not extended
    by a few pixels that are bright by chance in the dark.

    Parameters
    ----------
    flags : int array, shape (rows, columns)
        Bits of `~ccdproc_echelle.FlatFlag`; those in ``UNUSABLE`` are considered.
    orders : `~ccdproc_echelle.EchelleOrderTable`
        The orders, with edges.

    Returns
    -------
    float array, shape (n_orders, 2)
        First and last dispersion pixel, 0-based; NaN for an order without usable pixels.

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle import EchelleOrderTable, FlatFlag
    >>> from ccdproc_echelle.light import usable_ranges
    >>> orders = EchelleOrderTable.from_polynomials(
    ...     [7], [[1]], lower=[[0.5]], upper=[[1.5]], shape=(3, 100), dispersion_axis=1)
    >>> flags = np.zeros((3, 100), dtype=np.int16)
    >>> flags[:, 80:] |= FlatFlag.FAINT
    >>> flags[:, [40, 95]] ^= FlatFlag.FAINT  # a bad column, and a lucky one in the dark
    >>> usable_ranges(flags, orders)
    array([[ 0., 79.]])
    """
    order_of = orders.order_index()
    pixel = np.broadcast_to(np.indices(flags.shape, sparse=True)[orders.dispersion_axis],
                            flags.shape)
    inside = order_of >= 0
    shape = len(orders), flags.shape[orders.dispersion_axis]
    scores = np.bincount(
        np.ravel_multi_index((order_of[inside], pixel[inside]), shape),
        np.where(flags[inside] & int(UNUSABLE), -1, 1), minlength=shape[0] * shape[1],
    ).reshape(shape)
    return np.array([best_range(row) or (np.nan, np.nan) for row in scores], dtype=float)
