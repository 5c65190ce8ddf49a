# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Convert order centres to traces of specreduce, an optional dependency."""

import numpy as np
from astropy.nddata import NDData

__all__ = ["specreduce_traces"]

_OFF_DETECTOR = -1e6


def specreduce_traces(centers: np.ndarray, dispersion_axis: int, image) -> list:
    """Traces for `EchelleOrderTable.to_specreduce`; centres are (n_orders, n_pixels)."""
    try:
        from specreduce.tracing import ArrayTrace
    except ImportError as error:
        raise ImportError(
            "to_specreduce needs the package specreduce: pip install specreduce"
        ) from error
    if dispersion_axis == 0:
        image = _transposed(image)
    centers = np.ma.masked_invalid(centers)
    # specreduce drops the mask when it shifts a trace, but masks what is off the detector.
    centers.data[centers.mask] = _OFF_DETECTOR
    return [ArrayTrace(image, center) for center in centers]


def _transposed(image):
    if not isinstance(image, NDData):
        return np.transpose(image)
    uncertainty = image.uncertainty
    return NDData(
        image.data.T, unit=image.unit, meta=image.meta,
        mask=None if image.mask is None else np.transpose(image.mask),
        uncertainty=None if uncertainty is None else type(uncertainty)(uncertainty.array.T),
    )
