# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Shifts of single frames with respect to the others, measured on a few of their columns."""

import numpy as np
from astropy.stats import mad_std

from ccdproc_echelle._warnings import warn
from ccdproc_echelle.combining.clipping import StackCombiner
from ccdproc_echelle.combining.thinned import ThinnedStack
from ccdproc_echelle.orders import EchelleOrderTable, frame_shift

__all__ = [
    "LARGEST_SHIFT", "SMALL_SHIFT", "any_shift", "median_error", "median_frame", "small_shift",
    "warn_of_shifted_frames",
]

#: A shift of more pixels than this blurs the edges of the orders in the master.
LARGEST_SHIFT = 0.3

#: The linear estimate of a shift is good to 0.02 pixels up to this shift.
SMALL_SHIFT = 0.1

# Number of standard deviations by which a shift must exceed its limit.
_SIGNIFICANT = 5

_MEDIAN_NOISE = np.sqrt(np.pi / 2)  # noise of the median relative to that of the mean


def warn_of_shifted_frames(stack: ThinnedStack, levels: np.ndarray, names: list[str]) -> None:
    """
    Warn of frames whose orders lie elsewhere than those of most frames.

    Parameters
    ----------
    stack : `ThinnedStack`
        All frames.
    levels : float array, shape (n_frames,)
        Their levels; frames whose level is not above 0 are not compared.
    names : list of str
        Their names.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If there are any, which names them and their shifts.
    """
    lit = levels > 0
    if np.count_nonzero(lit) < 2:
        return
    reference, known = median_frame(stack, levels, lit)
    shifts, errors = np.full((2, len(levels)), np.nan)
    for i in np.flatnonzero(lit):
        good = stack.good[i] & known
        found = small_shift(stack.data[i] / levels[i], good, reference)
        if not abs(found[0]) < SMALL_SHIFT:
            images = [
                np.ma.masked_array(*pair)
                for pair in ((stack.data[i], ~good), (reference, ~known))
            ]
            found = any_shift(*images, stack.orders) or (np.nan, np.nan)
        shifts[i], errors[i] = found
    if not np.isfinite(shifts).any():
        return
    # A shifted frame has pulled the reference along a little.
    shifts -= np.nanmedian(shifts)
    far = np.flatnonzero(np.abs(shifts) > LARGEST_SHIFT + _SIGNIFICANT * errors)
    if len(far):
        found = ", ".join(f"{names[i]} by {shifts[i]:+.2g}" for i in far)
        warn(
            f"the orders of some frames are shifted against those of the others: {found} pixels; "
            "they blur the edges of the orders, so leave them out"
        )


def median_frame(
    stack: ThinnedStack, levels: np.ndarray, lit: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """
    Median of the frames with light, divided by their levels.

    Parameters
    ----------
    stack : `ThinnedStack`
        The frames.
    levels : float array, shape (n_frames,)
        Their levels.
    lit : bool array, shape (n_frames,)
        Which of them have light.

    Returns
    -------
    median : float array, shape (rows, columns)
        0 where it is not known.
    known : bool array, shape (rows, columns)
        Where any frame is good.
    """
    scales = (1 / levels[lit]).astype(stack.data.dtype)
    n_lit, shape = len(scales), stack.data.shape[1:]
    values = stack.data[lit].reshape(n_lit, -1)
    values *= scales[:, None]
    good = stack.good[lit].reshape(n_lit, -1)
    median = StackCombiner(method="median").combine(values, good).value.reshape(shape)
    known = np.isfinite(median)
    return np.where(known, median, 0), known


def small_shift(
    image: np.ndarray, good: np.ndarray, reference: np.ndarray
) -> tuple[float, float]:
    """
    Shift derived from the change of the light on the flanks.

    The median over the columns, since a cosmic ray spoils a whole one. To first order in the shift.

    Parameters
    ----------
    image, reference : float array, shape (rows, columns)
        A frame and the one with which it is compared, at the same level.
    good : bool array, shape (rows, columns)
        Where both are known.

    Returns
    -------
    shift, uncertainty : float
        In pixels; NaN if there is no light.
    """
    slope = np.where(good, np.gradient(reference, axis=0), 0)
    change = np.where(good, image - reference, 0)
    weights = (slope**2).sum(axis=0)
    shifts = -(slope * change).sum(axis=0)[weights > 0] / weights[weights > 0]
    if len(shifts) == 0:
        return np.nan, np.nan
    return float(np.median(shifts)), float(median_error(shifts))


def any_shift(
    image: np.ma.MaskedArray, reference: np.ma.MaskedArray, orders: EchelleOrderTable
) -> tuple[float, float] | None:
    """
    Shift from `frame_shift`, slower but valid for large shifts.

    Parameters
    ----------
    image, reference : masked array, shape (rows, columns)
        A frame and the one with which it is compared.
    orders : `EchelleOrderTable`
        The order centres.

    Returns
    -------
    shift, uncertainty : float
        In pixels; `None` instead if no orders are found.
    """
    try:
        found = frame_shift(image, reference, orders)
    except ValueError:
        return None
    return found.shift, found.uncertainty


def median_error(values: np.ndarray) -> float:
    """Standard deviation of the median of values."""
    return _MEDIAN_NOISE * mad_std(values) / np.sqrt(len(values))
