# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Blaze, slit profile and pixel response of a master flat; low-sensitivity pixels."""

from numbers import Integral

import numpy as np
from astropy.nddata import CCDData, StdDevUncertainty
from scipy.ndimage import median_filter

from ccdproc_echelle.orders import EchelleOrderTable

__all__ = ["mask_low_sensitivity"]

# Of a Gaussian: 1 / norm.ppf(0.75), in the digits of astropy.stats.mad_std.
_MAD_TO_SIGMA = 1.482602218505602

# Where the slit profile falls from 1 to 0 within a pixel or two, a quarter of a pixel resolves it.
_SLIT_STEP = 0.25

# The slit profile changes far more slowly along the order than the blaze. Ten lengths are long
# enough for a slanted trace to leave a bad row of the detector, which then is a minority.
_LENGTHS_PER_STRETCH = 10


def mask_low_sensitivity(
    flat: CCDData,
    orders: EchelleOrderTable,
    *,
    threshold: float = 0.5,
    n_sigma: float = 2.5,
    length: int = 51,
) -> CCDData:
    """
    Mask the in-order pixels that respond much less than their surroundings along the order.

    The response of a pixel is its value divided by what its surroundings let expect: the blaze at
    its dispersion pixel times the slit profile at its distance from the nearer order edge. The
    blaze is the running median along the order of the pixels in the middle half of the slit. The
    slit profile is the median, over a stretch of ten ``length`` of the order, of the pixels at
    the same distance from the edge to a quarter of a pixel; so neither the curvature of an order
    nor its sub-pixel phase, on which the light in a pixel at the edge depends, lowers a response.

    A pixel is masked when ``max(response, 0) + n_sigma * sigma < threshold``: when its response is
    below the threshold by more than its noise explains. Where ``n_sigma * sigma`` exceeds the
    threshold, as in an order too faint to tell a dead pixel from a good one, none is masked. So,
    with the defaults, a good pixel is masked only when noise lowers it by 5 sigma or more, and
    one that dust dims by a quarter, which the flat corrects, by 3.75 sigma or more.

    Parameters
    ----------
    flat : `~astropy.nddata.CCDData`
        Master flat, of any unit and normalisation.
    orders : `EchelleOrderTable`
        The orders, with their edges.
    threshold : float, optional
        Response, between 0 and 1, below which a pixel is of low sensitivity.
    n_sigma : float, optional
        By how many sigma a response has to be below the threshold.
    length : int, optional
        Length along the order, in pixel, of the running median for the blaze. Bad pixels may fill
        nearly half of it. Longer than any cluster of bad pixels or bad columns, shorter than the
        features of the blaze.

    Returns
    -------
    `~astropy.nddata.CCDData`
        A copy of the flat whose mask has the low-sensitivity pixels added. The pixels found are
        those masked here and not in ``flat``. Data and uncertainty are unchanged.

    Raises
    ------
    TypeError
        If ``flat`` is not a `~astropy.nddata.CCDData` or its uncertainty is of an unknown type.
    ValueError
        If ``threshold`` is not between 0 and 1, ``n_sigma`` is not positive, ``length`` is not
        a positive integer, the orders have no edges or are for a detector of another shape.

    Notes
    -----
    Sigma, in units of the response, is the larger of the uncertainty of the pixel and the scatter
    (from the median absolute deviation) of the responses around it. The scatter is
    needed beside the uncertainty since a pixel that came out low by chance also has too low a
    photon noise, and that of few frames is often too small; without uncertainty it stands alone.
    Pixels that are masked or not finite do not enter the expectation. Where that is not positive,
    or no pixel in the middle half of the slit is on the detector, nothing can be judged or masked.

    The SOXS pipeline clips low-sensitivity pixels too [1]_, but at some sigma below the median of
    all orders at once, where the spread is that of the blaze and no dead pixel stands out.

    A bad row of the detector that lies within one slit position for most of a stretch, which
    takes an order as straight as that, looks like a dark line of the slit and is not found.

    References
    ----------
    .. [1] soxspipe documentation, recipe ``soxs_mflat``, parameter
       ``low-sensitivity-clipping-sigma``, https://soxspipe.readthedocs.io

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.nddata import CCDData
    >>> from ccdproc_echelle import EchelleOrderTable
    >>> from ccdproc_echelle.response import mask_low_sensitivity
    >>> orders = EchelleOrderTable.from_polynomials(
    ...     [7], [[10]], lower=[[4.5]], upper=[[15.5]], shape=(20, 200), dispersion_axis=1)
    >>> flat = CCDData(orders.coverage(), unit="")
    >>> flat.data[12, 50:53] = [0.1, 0.2, 0.75]
    >>> np.argwhere(mask_low_sensitivity(flat, orders).mask)
    array([[12, 50],
           [12, 51]])
    """
    _check_options(threshold, n_sigma, length)
    if not isinstance(flat, CCDData):
        raise TypeError(f"flat is a {type(flat).__name__}, expected a CCDData")
    orders = orders.on_detector(flat.shape)
    sigma = _standard_deviation(flat)
    masked = np.zeros(flat.shape, bool) if flat.mask is None else np.asarray(flat.mask, bool)
    usable = np.isfinite(flat.data) & ~masked
    if orders.dispersion_axis == 1:
        low = _low_pixels(flat.data, sigma, usable, orders, threshold, n_sigma, length)
    else:
        low = _low_pixels(
            flat.data.T, sigma.T, usable.T, orders.transposed(), threshold, n_sigma, length
        ).T
    result = flat.copy()
    result.mask = masked | low
    return result


def _check_options(threshold, n_sigma, length) -> None:
    if not 0 < threshold < 1:
        raise ValueError(f"threshold is {threshold!r}, expected a number between 0 and 1")
    if not 0 < n_sigma < np.inf:
        raise ValueError(f"n_sigma is {n_sigma!r}, expected a positive number")
    if not isinstance(length, Integral) or length < 1:
        raise ValueError(f"length is {length!r}, expected a positive integer")


def _standard_deviation(flat: CCDData) -> np.ndarray:
    """The uncertainty as standard deviation; 0 where there is none."""
    if flat.uncertainty is None:
        return np.zeros(flat.shape)
    try:
        return flat.uncertainty.represent_as(StdDevUncertainty).array
    except TypeError as error:
        raise TypeError(
            f"the uncertainty of flat is of type {type(flat.uncertainty).__name__}, "
            "expected one that converts to a standard deviation"
        ) from error


# ---------------------------------------------------------------------- orders along the rows


def _low_pixels(data, sigma, usable, orders, threshold, n_sigma, length) -> np.ndarray:
    """Bool image of the low-sensitivity pixels."""
    order_map = orders.order_map()
    low = np.zeros(data.shape, bool)
    for number, lower, upper in zip(
        orders.order_numbers, orders.lower(), orders.upper(), strict=True
    ):
        rows, columns = np.nonzero((order_map == number) & usable)
        place, inner = _slit_places(rows - lower[columns], upper[columns] - rows)
        values = data[rows, columns].astype(float)
        expected = _expectation(values, columns, place, inner, length)
        lit = expected > 0  # False for NaN
        rows, columns, expected = rows[lit], columns[lit], expected[lit]
        response = values[lit] / expected
        noise = np.fmax(
            sigma[rows, columns] / expected, _scatter(response, columns, place[lit], length)
        )
        low[rows, columns] = np.maximum(response, 0) + n_sigma * noise < threshold
    return low


def _slit_places(above, below) -> tuple[np.ndarray, np.ndarray]:
    """
    Where in the slit pixels are that lie this far above the lower and below the upper edge.

    An integer label of the distance from the nearer edge, which keeps places near an edge
    together where the width of the order changes; and whether it is in the middle half.
    """
    place = np.where(above < below, above // _SLIT_STEP, -1 - below // _SLIT_STEP).astype(int)
    inner = np.abs(above - below) <= 0.5 * (above + below)
    return place, inner


def _expectation(values, columns, place, inner, length) -> np.ndarray:
    """Blaze times slit profile at the pixels of one order; NaN where there is no blaze."""
    expected = np.full(len(values), np.nan)
    if inner.any():
        blaze = _blaze(values[inner], columns[inner], columns.max() + 1, length)[columns]
        lit = blaze > 0
        stretch = _parts(columns[lit], _LENGTHS_PER_STRETCH * length)
        profile = _local_median(values[lit] / blaze[lit], stretch, place[lit])
        expected[lit] = blaze[lit] * profile
    return expected


def _blaze(values, columns, n_columns, length) -> np.ndarray:
    """Running median of the inner pixels in each column; NaN outside the columns that have any."""
    blaze = np.full(n_columns, np.nan)
    blaze[columns] = _local_median(values, columns)
    known = np.flatnonzero(np.isfinite(blaze))
    every = np.arange(known[0], known[-1] + 1)
    blaze[every] = median_filter(np.interp(every, known, blaze[known]), length, mode="reflect")
    return blaze


def _scatter(response, columns, place, length) -> np.ndarray:
    """
    Standard deviation of the response around each pixel, from the median absolute deviation.

    The larger of that over the whole slit nearby, which knows the brightness there, and that at
    its place in the slit along the stretch, which knows how well the profile is known there.
    """
    deviation = np.abs(response - 1)
    nearby = _local_median(deviation, _parts(columns, length))
    same_place = _local_median(deviation, _parts(columns, _LENGTHS_PER_STRETCH * length), place)
    return _MAD_TO_SIGMA * np.maximum(nearby, same_place)


def _parts(columns, length) -> np.ndarray:
    """Label of the part in which each column lies: equal parts, none shorter if it can be."""
    if len(columns) == 0:
        return columns
    span = np.ptp(columns) + 1
    return (columns - columns.min()) * max(1, span // length) // span


def _local_median(values, *labels) -> np.ndarray:
    """For each value the median of the values that have the same labels."""
    if len(values) == 0:
        return values
    rank = np.lexsort((values, *labels))
    changes = np.any([np.diff(label[rank]) != 0 for label in labels], axis=0)
    start = np.concatenate(([0], np.flatnonzero(changes) + 1))
    count = np.diff(np.append(start, len(values)))
    middle = values[rank[start + (count - 1) // 2]] + values[rank[start + count // 2]]
    medians = np.empty(len(values))
    medians[rank] = np.repeat(0.5 * middle, count)
    return medians
