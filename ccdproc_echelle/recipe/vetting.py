# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Vetting by pixels: find frames that do not belong to a set of flats, and the reason.

Every frame is compared with the majority, the median of all frames that have light. Any single
frame may therefore be the bad one, including the first.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from astropy import units as u
from astropy.table import QTable

from ccdproc_echelle._numeric.arguments import expect, is_finite
from ccdproc_echelle._numeric.medians import finite_median
from ccdproc_echelle.combining import (
    MAX_RESIDUAL,
    MAX_SHIFT,
    InnerPixels,
    ThinnedStack,
    compared,
    inner_order_pixels,
    thinned,
)
from ccdproc_echelle.frames import Frame, open_frames, twins_of
from ccdproc_echelle.orders import EchelleOrderTable, checked_orders

__all__ = ["COPY", "verdict_on_copy", "vet_frames"]

# A subset of evenly spaced pixels along the dispersion axis is enough; `frame_shift` uses twice as
# many.
_LEAST_COLUMNS = 100

# For all frames together; with very many frames, fewer columns of each are used.
_THINNED_PIXELS = 8_000_000

#: Start of the verdict on a frame that is in the list twice.
COPY = "a copy of"

# Number of standard deviations by which a difference must exceed its limit.
_SIGNIFICANT = 5

# For a typical inner-order pixel: flats have about a hundred, frames without light about 0.
_LEAST_SIGNAL_TO_NOISE = 1


def vet_frames(
    frames: Any,
    orders: EchelleOrderTable,
    *,
    window: float = 10,
    max_masked: float = 0.5,
    min_level: float = 0.2,
    max_shift: float = MAX_SHIFT,
    max_residual: float = MAX_RESIDUAL,
    **reading: Any,
) -> QTable:
    """
    Find frames that are saturated, shifted, without light, of a different shape, or copies.

    Each frame is compared with the median of the frames, divided by their levels: at the
    inner-order pixels for level and shape, and at the flanks of the orders for the shift. Frames
    without light, saturated frames and copies do not contribute to the median. Faults of a minority
    of the frames are found; of two frames, each deviates by half of the difference between them.

    Parameters
    ----------
    frames : list, str or `ccdproc.ImageFileCollection`
        Flats from which bias and dark have been subtracted, with saturated pixels masked, as for
        `ccdproc.combine`.
    orders : `EchelleOrderTable`
        The order centres.
    window : float, optional
        Full width of the window on the order centre, in pixels along the cross-dispersion axis.
    max_masked : float, optional
        Maximum fraction of the inner-order pixels that may be masked or not finite.
    min_level : float, optional
        Minimum level, as a fraction of the median of all frames. With the default, exposure times
        may be a factor of five shorter than the typical one.
    max_shift : float, optional
        Maximum shift across the dispersion, in pixels, to be exceeded by five standard deviations.
    max_residual : float, optional
        Maximum relative deviation of a part of an order (an eighth of it) from the other frames.
        The default allows for drifts of the illumination: 3 per cent in a frame add up to 6 per
        cent between two. Parts fainter than a tenth of the mean are ignored.
    **reading
        Passed to ``CCDData.read``.

    Returns
    -------
    `~astropy.table.QTable`
        One row per frame: ``frame`` (name), ``level`` (in the unit of the frames, accurate to about
        a per cent), ``masked_fraction``, ``shift`` and ``shift_uncertainty`` (positive if the
        orders lie at higher pixels), ``residual`` (largest relative deviation of a part of an
        order, minus five standard deviations) and ``verdict``, which is empty or states what is
        wrong. Values that cannot be measured are NaN.

    Raises
    ------
    ValueError
        If there are no frames, the frames and the order table do not match, no order centre is on
        the detector, or a limit is not positive.

    See Also
    --------
    vet_setup, accepted_frames, ccdproc_echelle.frame_shift

    References
    ----------
    Small shifts are derived from the slope of the light: Lucas & Kanade 1981, Proc. IJCAI, 674.

    Examples
    --------
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> from ccdproc_echelle import vet_frames
    >>> simulation = EchelleSimulation(shape=(256, 300), n_orders=5)
    >>> flats = simulation.flats(4)
    >>> flats[0].data *= 0.01
    >>> table = vet_frames(flats, simulation.truth.orders)
    >>> table["verdict"].tolist()
    ['lamp off or failing: the level is 0.01 of the typical one', '', '', '']
    """
    frames = open_frames(frames, argument="frames", **reading)
    limits = _Limits(max_masked, min_level, max_shift, max_residual)
    _check(dict(limits._asdict(), window=window))
    orders = checked_orders(orders).on_detector(frames[0].shape)
    stack = thinned(frames, orders, _n_columns(frames, orders))
    inner = inner_order_pixels(stack.orders, window)
    masked = 1 - stack.good[:, *inner.where].mean(axis=1)
    usable = masked <= max_masked
    twins = _twins_of_usable(frames, usable)
    levels, noise = _first_levels(stack, inner, usable)
    darkness = _darkness(levels, noise, usable, min_level)
    lit = usable & (darkness == "") & np.array([twin is None for twin in twins])
    found = _Measured.nothing(masked, levels)
    if lit.any():
        found = _Measured(masked, *compared(stack, inner, levels, lit, max_residual))
    return QTable({
        "frame": [frame.name for frame in frames],
        "level": found.level * frames[0].unit,
        "masked_fraction": masked,
        "shift": found.shift * u.pix,
        "shift_uncertainty": found.shift_uncertainty * u.pix,
        "residual": found.residual,
        "verdict": [
            _verdict(_Measured(*values), dark, limits) if twin is None
            else verdict_on_copy(frames[twin])
            for twin, dark, *values in zip(twins, darkness, *found, strict=True)
        ],
    })


# ---------------------------------------------------------------------- pixels of all frames


class _Limits(NamedTuple):
    max_masked: float
    min_level: float
    max_shift: float
    max_residual: float


def _check(options: dict[str, float]) -> None:
    for name, value in options.items():
        expect(is_finite(value, above=0), name, value, "a positive number")


def _n_columns(frames: Sequence[Frame], orders: EchelleOrderTable) -> int:
    n_cross = frames[0].shape[1 - orders.dispersion_axis]
    return min(_LEAST_COLUMNS, _THINNED_PIXELS // (len(frames) * n_cross))


def _first_levels(stack: ThinnedStack, inner: InnerPixels, usable) -> tuple:
    """
    Median of the inner-order pixels of each frame, and of their standard deviations, if known.

    Pixels that are good in all usable frames are used, if there are any; otherwise the levels of
    frames with different masks could not be compared.
    """
    good = stack.good[:, *inner.where]
    common = good[usable].all(axis=0)
    levels, noise = np.full(len(good), np.nan), np.zeros(len(good))
    for i, image in enumerate(stack.data):
        chosen = good[i] & common if (good[i] & common).any() else good[i]
        if chosen.any():
            levels[i] = np.median(image[inner.where][chosen])
            if stack.variance is not None:
                variance = finite_median(stack.variance[i][inner.where][chosen])
                noise[i] = np.sqrt(np.nan_to_num(variance))
    return levels, noise


def _darkness(levels, noise, usable, min_level: float) -> np.ndarray:
    """Why a frame has no light or too little; empty if it has enough."""
    typical = np.median(levels[usable]) if usable.any() else np.nan
    reasons = []
    for level, sigma in zip(levels, noise, strict=True):
        reason = ""
        if level <= 0:
            reason = f"the level is {level:.3g}, expected > 0"
        elif level < min_level * typical:
            reason = f"the level is {level / typical:.2g} of the typical one"
        elif level < _LEAST_SIGNAL_TO_NOISE * sigma:
            reason = f"the signal-to-noise ratio of a pixel is {level / sigma:.2g}"
        reasons.append(f"lamp off or failing: {reason}" if reason else "")
    return np.array(reasons, dtype=object)


# ---------------------------------------------------------------------- comparison with the others


class _Measured(NamedTuple):
    """Measurements of each frame, as arrays; or of one frame."""

    masked: np.ndarray
    level: np.ndarray
    shift: np.ndarray
    shift_uncertainty: np.ndarray
    residual: np.ndarray

    @classmethod
    def nothing(cls, masked: np.ndarray, levels: np.ndarray) -> "_Measured":
        return cls(masked, levels, *np.full((3, len(levels)), np.nan))


# ---------------------------------------------------------------------- verdict


def _twins_of_usable(frames: Sequence[Frame], usable: np.ndarray) -> list[int | None]:
    """Like `twins_of`, but a frame is not a copy of one that is unusable anyway."""
    twins, places = [None] * len(frames), np.flatnonzero(usable)
    for place, twin in zip(places, twins_of([frames[i] for i in places]), strict=True):
        twins[place] = None if twin is None else int(places[twin])
    return twins


def verdict_on_copy(twin: Frame) -> str:
    """
    Verdict on a copy of a frame.

    Parameters
    ----------
    twin : `~ccdproc_echelle.frames.Frame`
        The other frame.

    Returns
    -------
    str
    """
    return (
        f"{COPY} {twin.name}: counting it as an independent measurement makes the uncertainty "
        "too small"
    )


def _verdict(frame: _Measured, darkness: str, limits: _Limits) -> str:
    """What is wrong with a frame: the cause if one fault leads to another."""
    if frame.masked > limits.max_masked:
        return f"saturated: {100 * frame.masked:.0f} % of the inner-order pixels are masked"
    if abs(frame.shift) > limits.max_shift + _SIGNIFICANT * frame.shift_uncertainty:
        return (
            f"shifted: its orders lie {frame.shift:+.2f} pixels from those of the others, "
            f"expected at most {limits.max_shift:g}"
        )
    if darkness:
        return darkness
    if frame.residual > limits.max_residual:
        return (
            f"of another shape: parts of its orders differ by {100 * frame.residual:.0f} % "
            f"from those of the others, expected at most {100 * limits.max_residual:g} %"
        )
    return ""
