# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Whether frames are alike: their levels, shifts and shapes, measured on a few of their columns."""

from typing import NamedTuple

import numpy as np
from astropy.stats import mad_std

from ccdproc_echelle._numeric.medians import MEDIAN_OVER_MEAN, label_medians
from ccdproc_echelle._numeric.spread import MAD_TO_SIGMA
from ccdproc_echelle._warnings import warn
from ccdproc_echelle.combining.clipping import StackCombiner
from ccdproc_echelle.combining.thinned import ThinnedStack
from ccdproc_echelle.orders import EchelleOrderTable, frame_shift, rasters

__all__ = [
    "MAX_RESIDUAL", "MAX_SHIFT", "Compared", "InnerPixels", "compared", "inner_order_pixels",
    "turned_frames", "warn_of_unlike_frames",
]

#: A shift of more pixels than this blurs the edges of the orders in the master.
MAX_SHIFT = 0.3

#: Drifts of the illumination of 3 per cent in a frame add up to 6 per cent between two frames.
MAX_RESIDUAL = 0.1

# A drifting colour of the lamp, for which orders can be scaled separately, is no change of shape.
_OTHER_SHAPE = 0.2

# Most parts of an order in which a frame is compared with the others, and minimum pixels in a part.
# There are fewer parts if few columns are examined, since some pixels may be bad.
_N_PARTS = 8
_FEWEST_PIXELS = 25
_ENOUGH_PIXELS = 1.5 * _FEWEST_PIXELS

# Below this fraction of the mean, a drift of the zero point looks like a different shape.
_FAINTEST = 0.1

# The linear estimate of a shift is good to 0.02 pixels up to this shift.
_SMALL_SHIFT = 0.1

# A frame whose bright pixels are elsewhere has a correlation with the others below the first limit,
# while that of most frames is above the second. A few thousand pixels show it.
_UNLIKE, _ALIKE = 0.5, 0.9
_ROWS_TO_CORRELATE = 100

# It has light, though: at least this fraction of that of the others.
_LIT = 0.1

# Number of standard deviations by which a difference must exceed its limit.
_SIGNIFICANT = 5


class InnerPixels(NamedTuple):
    """
    The inner-order pixels of a thinned image.

    Attributes
    ----------
    where : tuple of int array, shape (n_pixels,)
        Their rows and columns.
    part : int array, shape (n_pixels,)
        The part of an order to which each belongs.
    """

    where: tuple[np.ndarray, np.ndarray]
    part: np.ndarray


class Compared(NamedTuple):
    """
    Frames compared with their median; each array has shape (n_frames,).

    Attributes
    ----------
    level : float array
        Relative to the median, whose mean over the inner-order pixels is 1.
    shift, shift_uncertainty : float array
        In pixels, positive if the orders lie at higher pixels; NaN if not known.
    residual : float array
        Relative deviation of parts of orders in excess of their noise; NaN if not known.
    """

    level: np.ndarray
    shift: np.ndarray
    shift_uncertainty: np.ndarray
    residual: np.ndarray


def inner_order_pixels(orders: EchelleOrderTable, window: float) -> InnerPixels:
    """
    Find the inner-order pixels of a thinned image.

    Parameters
    ----------
    orders : `EchelleOrderTable`
        The order centres, along the rows of this image.
    window : float
        Full width of the window on the order centre, in pixels.

    Returns
    -------
    `InnerPixels`

    Raises
    ------
    ValueError
        If there are none.
    """
    center = orders.center()
    n_orders, n_columns = center.shape
    rows, inside = rasters.window_rows(center, window, orders.shape[0])
    if not inside.any():
        raise ValueError("no order centre of the order table is on the detector")
    columns = np.arange(n_columns)[:, None]
    n_parts = int(np.clip(inside.sum() / n_orders / _ENOUGH_PIXELS, 1, _N_PARTS))
    part = np.arange(n_orders)[:, None, None] * n_parts + columns * n_parts // n_columns
    columns, part = (np.broadcast_to(a, rows.shape)[inside] for a in (columns, part))
    return InnerPixels((rows[inside].astype(int), columns), part)


def compared(
    stack: ThinnedStack,
    inner: InnerPixels,
    levels: np.ndarray,
    lit: np.ndarray,
    max_residual: float = MAX_RESIDUAL,
) -> Compared:
    """
    Compare frames with their median.

    Parameters
    ----------
    stack : `ThinnedStack`
        The frames.
    inner : `InnerPixels`
        The inner-order pixels.
    levels : float array, shape (n_frames,)
        Their levels, roughly.
    lit : bool array, shape (n_frames,)
        Frames with light, of which the median is made; at least one.
    max_residual : float, optional
        In frames with larger residuals, a small shift cannot be measured.

    Returns
    -------
    `Compared`
    """
    reference, known = _median_frame(stack, levels, lit)
    norm = reference[inner.where][known[inner.where]].mean()
    reference = reference / norm
    found = Compared(levels * norm, *np.full((3, len(levels)), np.nan))
    for i, (image, good) in enumerate(zip(stack.data, stack.good, strict=True)):
        good = good & known
        level, residual = _level_and_residual(image, good, reference, inner)
        shift = np.nan, np.nan
        if level > 0:
            shift = _small_shift(image / level, good, reference)
        alike = lit[i] and residual < max_residual
        if not (alike and abs(shift[0]) < _SMALL_SHIFT):
            images = [np.ma.masked_array(*pair) for pair in ((image, ~good), (reference, ~known))]
            # For a frame unlike the others, the estimate is meaningless.
            otherwise = shift if alike else (np.nan, np.nan)
            shift = _any_shift(*images, stack.orders) or otherwise
        found.level[i], found.residual[i] = level, residual
        found.shift[i], found.shift_uncertainty[i] = shift
    # A shifted frame has pulled the reference along a little.
    found.shift[:] -= np.nanmedian(found.shift[lit]) if np.isfinite(found.shift[lit]).any() else 0
    return found


def turned_frames(stack: ThinnedStack) -> np.ndarray:
    """
    Find frames that have light, but in other pixels than most frames.

    Parameters
    ----------
    stack : `ThinnedStack`
        All frames.

    Returns
    -------
    bool array, shape (n_frames,)
        True for such frames; there are none among fewer than three.
    """
    rows = slice(None, None, max(1, stack.data.shape[1] // _ROWS_TO_CORRELATE))
    good = stack.good[:, rows].all(axis=0)
    values = stack.data[:, rows][:, good].astype(float)
    turned = np.zeros(len(values), bool)
    if len(values) < 3 or values.shape[1] < 2:
        return turned
    light = values.mean(axis=1)
    lit = light > _LIT * np.median(light)
    if np.count_nonzero(lit) < 3:
        return turned
    some = values[lit] / light[lit, None]
    with np.errstate(divide="ignore", invalid="ignore"):  # of an evenly lit frame
        likeness = np.nan_to_num(np.corrcoef(some, np.median(some, axis=0))[-1, :-1])
    if np.median(likeness) > _ALIKE:
        turned[lit] = likeness < _UNLIKE
    return turned


def warn_of_unlike_frames(
    stack: ThinnedStack, window: float, levels: np.ndarray, names: list[str]
) -> None:
    """
    Warn of frames whose orders lie elsewhere, or look different from, those of most frames.

    Parameters
    ----------
    stack : `ThinnedStack`
        All frames.
    window : float
        Full width of the window on the order centre, in pixels.
    levels : float array, shape (n_frames,)
        Their levels; frames whose level is not above 0 are not compared.
    names : list of str
        Their names.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If there are any, which names them.
    """
    lit = levels > 0
    if np.count_nonzero(lit) < 2:
        return
    found = compared(stack, inner_order_pixels(stack.orders, window), levels, lit)
    shifted = lit & (np.abs(found.shift) > MAX_SHIFT + _SIGNIFICANT * found.shift_uncertainty)
    if shifted.any():
        them = ", ".join(f"{names[i]} by {found.shift[i]:+.2g}" for i in np.flatnonzero(shifted))
        warn(
            f"the orders of some frames are shifted relative to those of the others: {them} "
            "pixels; leave these frames out, as they blur the edges of the orders"
        )
    other = lit & ~shifted & (found.residual > _OTHER_SHAPE)
    if other.any():
        them = ", ".join(
            f"{names[i]} by {found.residual[i]:.0%}" for i in np.flatnonzero(other)
        )
        warn(
            f"parts of the orders of some frames differ from those of the others: {them}; are they "
            "saturated there, or taken with another lamp or set-up? Leave them out, or mask these "
            "pixels"
        )


def _level_and_residual(image, good, reference, inner: InnerPixels) -> tuple[float, float]:
    """Level of a frame, and the deviation of parts of orders from it in excess of their noise."""
    light = reference[inner.where]
    chosen = good[inner.where] & (light > _FAINTEST)
    if not chosen.any():
        return np.nan, np.nan
    ratios, part = image[inner.where][chosen] / light[chosen], inner.part[chosen]
    level = float(np.median(ratios))
    n_parts = int(inner.part.max()) + 1
    count = np.bincount(part, minlength=n_parts)
    medians = label_medians(ratios, part, n_parts)
    spread = MAD_TO_SIGMA * label_medians(np.abs(ratios - medians[part]), part, n_parts)
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = np.abs(medians - level) - _SIGNIFICANT * MEDIAN_OVER_MEAN * spread / np.sqrt(count)
    excess = excess[count >= _FEWEST_PIXELS]
    if not (len(excess) and level > 0):
        return level, np.nan
    return level, max(0.0, float(excess.max()) / level)


def _median_frame(
    stack: ThinnedStack, levels: np.ndarray, lit: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Median of the frames with light, divided by their levels, and where it is defined."""
    scales = (1 / levels[lit]).astype(stack.data.dtype)
    n_lit, shape = len(scales), stack.data.shape[1:]
    values = stack.data[lit].reshape(n_lit, -1)
    values *= scales[:, None]
    good = stack.good[lit].reshape(n_lit, -1)
    median = StackCombiner(method="median").combine(values, good).value.reshape(shape)
    known = np.isfinite(median)
    return np.where(known, median, 0), known


def _small_shift(
    image: np.ndarray, good: np.ndarray, reference: np.ndarray
) -> tuple[float, float]:
    """
    Shift derived from the change of the light on the flanks, and its uncertainty.

    The median over the columns, since a cosmic ray spoils a whole one. To first order in the shift.
    """
    slope = np.where(good, np.gradient(reference, axis=0), 0)
    change = np.where(good, image - reference, 0)
    weights = (slope**2).sum(axis=0)
    shifts = -(slope * change).sum(axis=0)[weights > 0] / weights[weights > 0]
    if len(shifts) == 0:
        return np.nan, np.nan
    return float(np.median(shifts)), float(_median_error(shifts))


def _any_shift(
    image: np.ma.MaskedArray, reference: np.ma.MaskedArray, orders: EchelleOrderTable
) -> tuple[float, float] | None:
    """Shift from `frame_shift`, slower but valid for large shifts; `None` if it finds no orders."""
    try:
        found = frame_shift(image, reference, orders)
    except ValueError:
        return None
    return found.shift, found.uncertainty


def _median_error(values: np.ndarray) -> float:
    """Standard deviation of the median of values."""
    return MEDIAN_OVER_MEAN * mad_std(values) / np.sqrt(len(values))
