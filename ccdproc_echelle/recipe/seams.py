# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Check that the light is continuous where amplifiers meet, as it is with their true gains."""

from collections.abc import Iterable, Mapping

import numpy as np
from astropy.nddata import CCDData

from ccdproc_echelle._numeric.medians import finite_median
from ccdproc_echelle._numeric.spread import scatter_about_zero
from ccdproc_echelle._warnings import warn
from ccdproc_echelle.frames import AssembledFrame, Box, Frame, RawFrame, Regions
from ccdproc_echelle.orders import EchelleOrderTable, rasters

__all__ = ["warn_of_steps"]

# Pixels used along each order on either side of a seam, and on either side of the order centre.
_REACH, _BESIDE = 16, 2

# Smallest step, as a fraction of the light and in standard deviations, and the smallest number of
# orders to derive these from. Close by, where no seam is, steps are smaller than it by this factor,
# unless the light changes along the centre of orders that climb through their slices.
_LEAST_STEP, _SIGNIFICANT, _FEWEST_ORDERS = 0.02, 5, 4
_LARGER = 3


def warn_of_steps(frame: Frame, light: CCDData, orders: EchelleOrderTable) -> None:
    """
    Warn if the light of the orders jumps where amplifiers meet.

    These places follow from the extensions or gain sections of the frame; otherwise they are the
    middle, where most detectors with several amplifiers are divided. Only seams across the orders
    are checked; those along them may lie where there is no light.

    Parameters
    ----------
    frame : `~ccdproc_echelle.frames.Frame`
        A frame. One assembled from amplifiers of unknown gain, of which a warning was given
        before, causes none.
    light : `~astropy.nddata.CCDData`, shape (rows, columns)
        A typical flat.
    orders : `~ccdproc_echelle.EchelleOrderTable`
        The order centres.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If there is such a step.
    """
    axis, along = orders.dispersion_axis, _light_along(light, orders)
    for seam, cause in _seams(frame, axis).items():
        steps = _steps(along, seam)
        if len(steps) < _FEWEST_ORDERS:
            continue
        step = np.median(steps)
        error = np.sqrt(np.pi / 2 / len(steps)) * scatter_about_zero(steps - step)
        beside = (_steps(along, seam + away) for away in (-_REACH, _REACH))
        usual = max((abs(np.median(some)) for some in beside if len(some)), default=0)
        if abs(step) > max(_LEAST_STEP, _SIGNIFICANT * error, _LARGER * usual):
            place = f"{('row', 'column')[axis]} {seam + 1}"
            warn(f"the light of the orders jumps by {step:+.0%} at {place}, {cause}")
            return


def _seams(frame: Frame, axis: int) -> Mapping[int, str]:
    """Pixels at which another amplifier may begin, and the cause of a step there."""
    if isinstance(frame, AssembledFrame):
        boxes = [] if frame.gain_is_unknown else [tile.box for tile in frame.tiles]
        return _starts(boxes, axis, (
            "where amplifiers meet: their gains differ from those in the headers, or a single gain "
            "was used for all; give gain= and read_noise="
        ))
    middle = {frame.shape[axis] // 2: (
        "the middle of the detector: if amplifiers meet there, give the gain of each, such as "
        "gain={'[1:1024,*]': 1.0, '[1025:2048,*]': 1.5}, and read_noise="
    )}
    if not (isinstance(frame, RawFrame) and isinstance(frame.gain, Regions)):
        return middle
    cause = "where the sections of gain meet: check the sections and their gains"
    return middle | _starts(frame.gain.boxes, axis, cause)


def _starts(boxes: Iterable[Box], axis: int, cause: str) -> Mapping[int, str]:
    return {start: cause for start in sorted({box[axis].start for box in boxes} - {0})}


def _light_along(light: CCDData, orders: EchelleOrderTable) -> np.ndarray:
    """Light on the centre of each order, shape (n_orders, n_pixels); NaN where it is not known."""
    image = np.ma.masked_array(light.data, light.mask).filled(np.nan)
    image = image if orders.dispersion_axis == 1 else image.T
    beside = np.arange(-_BESIDE, _BESIDE + 1)[:, np.newaxis, np.newaxis]
    return finite_median(np.moveaxis(rasters.values_at(image, orders.center() + beside), 0, -1))


def _steps(light: np.ndarray, seam: int) -> np.ndarray:
    """
    Relative step of each order between straight lines through its light on either side.

    The lines go through the medians of the nearer and the farther half, as columns may be bad.
    """
    if not _REACH <= seam <= light.shape[1] - _REACH:
        return np.array([])
    sides = light[:, seam - _REACH : seam][:, ::-1], light[:, seam : seam + _REACH]
    halves = finite_median(np.reshape(sides, (2, len(light), 2, _REACH // 2)))
    left, right = 1.5 * halves[..., 0] - 0.5 * halves[..., 1]
    lit = (left > 0) & (right > 0)
    return right[lit] / left[lit] - 1
