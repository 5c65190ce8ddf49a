# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Check that bias and dark frames do not show the light of the orders, as flats would."""

from collections.abc import Sequence

import numpy as np
from astropy.nddata import CCDData

from ccdproc_echelle._numeric.medians import finite_median
from ccdproc_echelle._warnings import warn
from ccdproc_echelle.frames import CalibratedFrame
from ccdproc_echelle.orders import EchelleOrderTable

__all__ = ["warn_of_lit_calibrations"]

# Largest light of the orders, as a fraction of that of the flats. Lamp-off frames, which are given
# as darks, may show the thermal light of an infrared spectrograph.
_MOST_LIGHT = {"bias": 0.05, "dark": 0.5}

# Fraction of the pixels that are considered dark.
_DARKEST = 0.2

# Number of evenly spaced dispersion pixels that are enough.
_N_LINES = 200


def warn_of_lit_calibrations(
    flat: CalibratedFrame, kinds: Sequence[str], typical: CCDData, orders: EchelleOrderTable
) -> None:
    """
    Warn if what is subtracted from a flat shows the orders.

    Parameters
    ----------
    flat : `~ccdproc_echelle.frames.CalibratedFrame`
        A calibrated flat.
    kinds : sequence of str
        "bias" or "dark" for each of its subtractions.
    typical : `~astropy.nddata.CCDData`, shape (rows, columns)
        A typical flat, with bias and dark subtracted.
    orders : `~ccdproc_echelle.EchelleOrderTable`
        The order centres.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If there is such light.
    """
    if not kinds:
        return
    axis = orders.dispersion_axis
    step = max(1, typical.shape[axis] // _N_LINES)

    def some_lines(image: np.ndarray) -> np.ndarray:
        return (image if axis == 1 else image.T)[:, ::step]

    image = np.ma.masked_array(*map(some_lines, (typical.data, typical.mask))).filled(np.nan)
    bright = np.isfinite(image) & some_lines(orders.inner_mask(window=1))
    dark = image <= np.nanquantile(image, _DARKEST)
    light = finite_median(image[bright]) - finite_median(image[dark])
    for kind, subtraction in zip(kinds, flat.subtractions, strict=True):
        plane = some_lines(subtraction.plane.data)
        found = finite_median(plane[bright]) - finite_median(plane[dark])
        # Noise makes it negative: a pixel from which much was subtracted counts as dark.
        if found > _MOST_LIGHT[kind] * light > 0:
            warn(
                f"the {kind} frames show the orders, with {found / light:.0%} of the light that is "
                f"left in the flats: are there flats among them?"
            )
