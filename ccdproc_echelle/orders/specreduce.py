# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Convert order centres to traces of specreduce, an optional dependency."""

from collections.abc import Callable

import numpy as np
from astropy.nddata import NDData

__all__ = ["frame_of", "specreduce_strips", "specreduce_traces"]

_OFF_DETECTOR = -1e6


def frame_of(image):
    """The image itself, as NDData or array, or the flat of a master flat."""
    flat = getattr(image, "flat", None)  # for an array this is an iterator
    image = flat if isinstance(flat, NDData) else image
    return image if isinstance(image, NDData) else np.asanyarray(image)


def specreduce_traces(centers: np.ndarray, dispersion_axis: int, image) -> list:
    """Traces for `EchelleOrderTable.to_specreduce`; centres are (n_orders, n_pixels)."""
    image = _along_rows(image, dispersion_axis)
    centers = np.ma.masked_invalid(centers)
    # specreduce drops the mask when it shifts a trace, but masks what is off the detector.
    centers.data[centers.mask] = _OFF_DETECTOR
    return [_tracing().ArrayTrace(image, center) for center in centers]


def specreduce_strips(
    centers: np.ndarray, lower: np.ndarray, upper: np.ndarray, dispersion_axis: int, image
) -> list:
    """Same for orders cut out and straightened; all positions are (n_orders, n_pixels)."""
    image = _along_rows(image, dispersion_axis)
    strips = [_strip(image, *order) for order in zip(centers, lower, upper, strict=True)]
    return [_tracing().FlatTrace(strip, strip.data.shape[0] // 2) for strip in strips]


def _tracing():
    try:
        import specreduce.tracing as tracing
    except ImportError as error:
        raise ImportError(
            "to_specreduce needs the package specreduce: pip install specreduce"
        ) from error
    return tracing


def _strip(image, center: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> NDData:
    """Pixels of an order, with its centre within half a pixel of the middle row, others masked."""
    reach = np.fmax(upper - center, center - lower)
    half = int(np.ceil(np.nanmax(reach, initial=1)))
    middle = np.rint(np.where(np.isfinite(reach), center, _OFF_DETECTOR)).astype(int)
    rows = middle + np.arange(-half, half + 1)[:, np.newaxis]
    inside = (rows >= np.fmax(lower, 0)) & (rows <= np.fmin(upper, image.data.shape[0] - 1))
    pixels = np.where(inside, rows, 0), np.arange(rows.shape[1])
    strip = _arranged(image, lambda plane: plane[pixels])
    if not isinstance(strip, NDData):
        return NDData(strip, unit="DN", mask=~inside)  # specreduce's unit for plain numbers
    strip.mask = ~inside if strip.mask is None else strip.mask | ~inside
    return strip


def _along_rows(image, dispersion_axis: int):
    return image if dispersion_axis == 1 else _arranged(image, np.transpose)


def _arranged(image, arrange: Callable):
    """The image with all of its planes rearranged."""
    if not isinstance(image, NDData):
        return arrange(image)
    mask, uncertainty = image.mask, image.uncertainty
    return NDData(
        arrange(image.data), unit=image.unit, meta=image.meta,
        mask=None if mask is None else arrange(np.broadcast_to(mask, image.data.shape)),
        uncertainty=uncertainty and type(uncertainty)(arrange(uncertainty.array)),
    )
