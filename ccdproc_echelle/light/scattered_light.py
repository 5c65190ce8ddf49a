# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Scattered light: smooth light that is visible between the orders and hidden below them."""

from itertools import accumulate

import numpy as np
from astropy.nddata import CCDData, StdDevUncertainty

from ccdproc_echelle._warnings import warn
from ccdproc_echelle.frames import check_real, standard_deviation, without_file_cards
from ccdproc_echelle.light.interorder import LEAST_PIXELS, checked_margin, gaps, known_edges
from ccdproc_echelle.light.scattered_light_model import ScatteredLightModel
from ccdproc_echelle.light.scattered_sample import ScatteredLightSample, check_values
from ccdproc_echelle.light.stray_light import lit_rows_and_columns, outside
from ccdproc_echelle.light.surface import ScatteredLight
from ccdproc_echelle.orders import (
    EchelleOrderTable,
    checked_orders,
    warn_of_misplaced_edges,
)

__all__ = ["fit_scattered_light", "has_interorder_pixels", "subtract_scattered_light"]


def fit_scattered_light(
    frame: CCDData, orders: EchelleOrderTable, *, margin: float | None = None
) -> CCDData:
    """
    Fit the scattered light of a flat by a smooth surface through the inter-order pixels.

    The surface is a bicubic spline with a penalty on its roughness, whose strength is chosen by
    generalised cross-validation [1]_. The wings of the orders adjacent to a gap are fitted at the
    same time: the brightness of each order times a function of the distance from its edge, a sum of
    blurred steps and wings of fibres that is the same everywhere. The edges may also be off by a
    few tenths of a pixel, by an amount that varies along each order. No pixel is therefore assumed
    to be free of the wings, but pixels have less weight the closer they are to an order, and where
    the gaps are wide only their middles matter. Pixels hit by cosmic rays and hot pixels are
    rejected. So are bands of light that stand out from the surface, such as secondary orders,
    ghosts and orders that are not in the table, and unlit rows and columns at the border.

    Parameters
    ----------
    frame : `~astropy.nddata.CCDData`, shape (rows, columns)
        A flat or master flat from which bias and dark have been subtracted, in any unit. Masked and
        non-finite pixels are ignored.
    orders : `EchelleOrderTable`
        The orders, with edges.
    margin : float, optional
        Pixels closer to an order edge than this are not used. Default: 0.5 for fibres, which leave
        hardly any light beyond their edges, and 1 for other orders.

    Returns
    -------
    `~astropy.nddata.CCDData`
        The scattered light in every pixel, in the unit of the frame, without a mask. Its
        uncertainty has the type of that of the frame, or is a `~astropy.nddata.StdDevUncertainty`
        if the frame has none. It has two parts: the error of the surface, which neighbouring pixels
        share, and, if the frame has an uncertainty, the scatter of the pixel response times the
        surface, which they do not share. The latter is the scatter of the inter-order pixels in
        excess of their uncertainty.

    Raises
    ------
    TypeError
        If ``frame`` is not a `~astropy.nddata.CCDData` or its uncertainty is of an unknown type.
    ValueError
        If ``margin`` is negative, the orders have no edges or are for a detector of a different
        shape, or fewer than 100 usable pixels lie between the orders.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If the inter-order area is negative by more than its noise, for example because the
        subtracted bias was too high (the surface is then negative there as well); or if the surface
        had to be set to zero elsewhere, far from inter-order pixels; or if bands of other light,
        such as that of a ghost, lie on both sides of an order, within which they cannot be seen; or
        if the light beside an order does not fall off from its edges. If most edges are not where
        the light ends, as with those of another binning, only this is said.

    See Also
    --------
    subtract_scattered_light : Subtract the scattered light from a flat.
    has_interorder_pixels : Check whether there is enough room between the orders.

    Notes
    -----
    Light that extends further than about ten pixels from an order cannot be distinguished from
    scattered light, and is included in it. In gaps narrower than about 5 standard deviations of the
    blur, every pixel has light of the adjacent orders. The surface is then constrained by the wider
    gaps, the area beyond the outermost orders, and the model of the wings. Light of orders that are
    not in the table is treated as scattered light if it does not stand out from the surface.

    References
    ----------
    .. [1] P. H. C. Eilers & B. D. Marx 1996, Statistical Science 11, 89, "Flexible smoothing with
       B-splines and penalties".

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle import fit_scattered_light
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> sim = EchelleSimulation(shape=(256, 300), n_orders=4).with_scattered_light(0.05)
    >>> scattered = fit_scattered_light(sim.flats(1)[0], sim.truth.orders)
    >>> expected = sim.truth.scattered_light * sim.truth.levels(1)
    >>> bool(np.allclose(scattered.data, expected, rtol=0.05))
    True
    """
    return _image(_measured(frame, orders, margin), frame)


def subtract_scattered_light(
    frame: CCDData, orders: EchelleOrderTable, *, margin: float | None = None
) -> CCDData:
    """
    Subtract the scattered light from a flat.

    Parameters
    ----------
    frame : `~astropy.nddata.CCDData`, shape (rows, columns)
        A flat or master flat from which bias and dark have been subtracted, in any unit. Masked and
        non-finite pixels are ignored.
    orders : `EchelleOrderTable`
        The orders, with edges.
    margin : float, optional
        Pixels closer to an order edge than this are not used to measure the scattered light; as in
        `fit_scattered_light`.

    Returns
    -------
    `~astropy.nddata.CCDData`
        A copy with the same mask, unit, header and WCS. The uncertainty of the surface is added to
        that of the frame; a frame without uncertainty does not get one.

    Raises
    ------
    TypeError, ValueError
        Under the same conditions as in `fit_scattered_light`.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        Under the same conditions as in `fit_scattered_light`.

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle import subtract_scattered_light
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> sim = EchelleSimulation(shape=(256, 300), n_orders=4).with_scattered_light(0.05)
    >>> flat, = sim.flats(1)
    >>> corrected = subtract_scattered_light(flat, sim.truth.orders)
    >>> between = sim.truth.orders.interorder_mask(margin=8)
    >>> bool(abs(corrected.data[between].mean()) < 0.1 * flat.data[between].mean())
    True
    """
    scattered = fit_scattered_light(frame, orders, margin=margin)
    difference = frame.subtract(scattered)
    result = frame.copy()
    result.header = without_file_cards(frame.header)
    dtype = frame.data.dtype if frame.data.dtype.kind == "f" else float
    result.data = difference.data.astype(dtype)
    if frame.uncertainty is not None:
        result.uncertainty = type(frame.uncertainty)(difference.uncertainty.array.astype(dtype))
    return result


def has_interorder_pixels(orders: EchelleOrderTable, *, margin: float | None = None) -> bool:
    """
    Check whether there is enough room between the orders to measure scattered light.

    Parameters
    ----------
    orders : `EchelleOrderTable`
        The orders, with edges and the shape of the detector.
    margin : float, optional
        Pixels closer to an order edge than this are not counted; as in `fit_scattered_light`.

    Returns
    -------
    bool
        True if at least 100 pixels are further than the margin from all orders.

    Raises
    ------
    ValueError
        If the edges or the detector shape are not known.

    Examples
    --------
    >>> from ccdproc_echelle import EchelleOrderTable
    >>> from ccdproc_echelle.light import has_interorder_pixels
    >>> orders = EchelleOrderTable.from_polynomials(
    ...     [1], [[20]], lower=[[10]], upper=[[30]], shape=(40, 200), dispersion_axis=1)
    >>> has_interorder_pixels(orders), has_interorder_pixels(orders, margin=10)
    (True, False)
    """
    margin = checked_margin(margin, orders)
    if orders.dispersion_axis == 0:
        orders = orders.transposed()
    lower, upper = known_edges(orders)
    counts = (len(pixels) for pixels in gaps(lower, upper, orders.shape[0], margin))
    return any(total >= LEAST_PIXELS for total in accumulate(counts))


# ---------------------------------------------------------------------- frames and arrays


def sample_scattered_light(
    frame: CCDData, orders: EchelleOrderTable, *, margin: float | None = None
) -> ScatteredLightSample:
    """
    Sample of a frame, or of a set of frames of which it is typical.

    Parameters
    ----------
    frame, orders, margin
        See `fit_scattered_light`.

    Returns
    -------
    `~ccdproc_echelle.light.ScatteredLightSample`
        The sample.

    Raises
    ------
    TypeError, ValueError
        Under the same conditions as in `fit_scattered_light`.
    """
    return _sample(frame, _usable(frame), orders, margin)


def _sample(frame, usable, orders, margin) -> ScatteredLightSample:
    margin = checked_margin(margin, checked_orders(orders))
    return ScatteredLightSample(frame.data, usable, orders.on_detector(frame.shape), margin)


def unlit_borders(frame: CCDData, orders: EchelleOrderTable) -> np.ndarray | None:
    """
    Find borders of the detector without light, such as reference pixels or covered rows.

    Parameters
    ----------
    frame : `~astropy.nddata.CCDData`, shape (rows, columns)
        A flat from which its scattered light has not been subtracted.
    orders : `EchelleOrderTable`
        The orders, with edges.

    Returns
    -------
    bool array, shape (rows, columns), or None
        True for the pixels of such borders; `None` if there are none.
    """
    usable, data = _usable(frame), frame.data
    if orders.dispersion_axis == 0:
        data, usable, orders = data.T, usable.T, orders.transposed()
    unlit = outside(lit_rows_and_columns(data, usable, *known_edges(orders)), data.shape)
    return unlit if unlit is None or data is frame.data else unlit.T


def _usable(frame) -> np.ndarray:
    if not isinstance(frame, CCDData):
        raise TypeError(f"frame is a {type(frame).__name__}, expected a CCDData")
    check_real(frame.data, "frame", "fiu")
    usable = np.isfinite(frame.data)
    if frame.mask is not None:
        usable &= ~np.asarray(frame.mask, bool)
    check_values(frame.data, usable)
    return usable


def _measured(frame, orders, margin) -> ScatteredLight:
    usable = _usable(frame)
    sample = _sample(frame, usable, orders, margin)
    sigma = standard_deviation(frame, "frame")
    values, good, sigma = (
        None if image is None else image.ravel()[sample.pixels]
        for image in (frame.data, usable, sigma)
    )
    model = ScatteredLightModel(sample)
    scattered = model.measure(sample.of_frame(values, good, sigma))
    if not warn_of_misplaced_edges(frame, orders.on_detector(frame.shape)):
        for remark in filter(None, (*model.remarks, scattered.remark)):
            warn(remark)
    return scattered


def _image(scattered: ScatteredLight, frame: CCDData) -> CCDData:
    """The scattered light in every pixel of its frame."""
    surface, error = scattered.rows()
    uncertainty = StdDevUncertainty(error)
    if frame.uncertainty is not None:
        uncertainty = uncertainty.represent_as(type(frame.uncertainty))
    return CCDData(surface, unit=frame.unit, uncertainty=uncertainty)
