# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Check that the light is continuous where amplifiers meet, as it is with their true gains."""

import numpy as np
from astropy.nddata import CCDData

from ccdproc_echelle._numeric.medians import finite_median
from ccdproc_echelle._numeric.spread import scatter_about_zero
from ccdproc_echelle._warnings import warn
from ccdproc_echelle.frames import AssembledFrame, Frame
from ccdproc_echelle.orders import EchelleOrderTable, rasters

__all__ = ["warn_of_steps"]

# Pixels used along each order on either side of a seam, and on either side of the order centre.
_REACH, _BESIDE = 16, 2

# Smallest step, as a fraction of the light and in standard deviations, and the smallest number of
# orders to derive these from.
_LEAST_STEP, _SIGNIFICANT, _FEWEST_ORDERS = 0.02, 5, 4


def warn_of_steps(frame: Frame, light: CCDData, orders: EchelleOrderTable) -> None:
    """
    Warn if the light of the orders steps where amplifiers with known gains meet.

    Only seams across the orders are checked; those along them may lie where there is no light.

    Parameters
    ----------
    frame : `~ccdproc_echelle.frames.Frame`
        A frame. One that was not assembled from amplifiers causes no warning.
    light : `~astropy.nddata.CCDData`, shape (rows, columns)
        A typical flat in electrons.
    orders : `~ccdproc_echelle.EchelleOrderTable`
        The order centres.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If there is such a step.
    """
    if not isinstance(frame, AssembledFrame) or frame.gain_is_unknown:
        return
    axis, along = orders.dispersion_axis, _light_along(light, orders)
    for seam in sorted({tile.box[axis].start for tile in frame.tiles} - {0}):
        steps = _steps(along, seam)
        if len(steps) < _FEWEST_ORDERS:
            continue
        step = np.median(steps)
        error = np.sqrt(np.pi / 2 / len(steps)) * scatter_about_zero(steps - step)
        if abs(step) > max(_LEAST_STEP, _SIGNIFICANT * error):
            place = f"{('row', 'column')[axis]} {seam + 1}"
            warn(
                f"the light of the orders steps by {step:+.0%} at {place}, where amplifiers meet: "
                "their gains are not those in the headers, or are one for all; give gain= and "
                "read_noise="
            )
            return


def _light_along(light: CCDData, orders: EchelleOrderTable) -> np.ndarray:
    """Light on the centre of each order, shape (n_orders, n_pixels); NaN where it is not known."""
    image = np.ma.masked_array(light.data, light.mask).filled(np.nan)
    image = image if orders.dispersion_axis == 1 else image.T
    beside = np.arange(-_BESIDE, _BESIDE + 1)[:, np.newaxis, np.newaxis]
    return finite_median(np.moveaxis(rasters.values_at(image, orders.center() + beside), 0, -1))


def _steps(light: np.ndarray, seam: int) -> np.ndarray:
    """Relative step of each order between straight lines through its light on either side."""
    if not _REACH <= seam <= light.shape[1] - _REACH:
        return np.array([])
    places = np.arange(_REACH) + 0.5  # from the seam on
    at_seam = np.linalg.pinv(np.vander(places, 2))[1]
    left = light[:, seam - _REACH : seam][:, ::-1] @ at_seam
    right = light[:, seam : seam + _REACH] @ at_seam
    lit = (left > 0) & (right > 0)
    return right[lit] / left[lit] - 1
