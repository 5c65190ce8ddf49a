# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Find a pedestal by its noise: light has photon noise, a bias has none."""

from typing import NamedTuple

import numpy as np

from ccdproc_echelle._numeric.spread import MAD_NOISE, MAD_TO_SIGMA
from ccdproc_echelle.combining.thinned import ThinnedStack

__all__ = ["Pedestal", "pedestal_of"]

# Variance over light between the orders, relative to that on them. It is 1 or, with read noise,
# more; something other than noise that differs from frame to frame makes it a little less.
_LEAST_NOISE = 0.6

# How many standard deviations below, and of how much of the light, a pedestal must be.
_SIGNIFICANT = 5
_RELEVANT = 0.005

_FEWEST_PIXELS = 50


class Pedestal(NamedTuple):
    """
    A constant below the light of all frames.

    Attributes
    ----------
    least : float
        Its value, or less than it if there is read noise, in the unit of the frames.
    light : float
        What the frames have between the orders.
    """

    least: float
    light: float


class _Light(NamedTuple):
    """Typical light of some pixels, their variance over their light, and their number."""

    light: float
    noise: float
    number: int


def pedestal_of(stack: ThinnedStack, levels: np.ndarray) -> Pedestal | None:
    """
    The pedestal of frames whose light has less noise between the orders than that on them.

    The noise is that of the differences of neighbouring pixels between consecutive frames, in which
    the orders themselves, the pixel response and drifts of the illumination cancel.

    Parameters
    ----------
    stack : `ThinnedStack`
        The frames.
    levels : float array, shape (n_frames,)
        Their levels, above 0.

    Returns
    -------
    `Pedestal` or None
        `None` if there is none, or it cannot be told.
    """
    centers = stack.orders.center()
    centers = centers[np.argsort(np.nanmedian(centers, axis=1))]
    if len(levels) < 2 or len(centers) < 2:
        return None
    scaled = stack.data * (levels.mean() / levels).astype(stack.data.dtype)[:, None, None]
    bright, dark = (
        _light_at(scaled, stack.good, rows, brightest=brightest)
        for rows, brightest in ((centers, True), (0.5 * (centers[1:] + centers[:-1]), False))
    )
    if bright is None or dark is None or not dark.light < bright.light:
        return None
    ratio = dark.noise / bright.noise
    error = 2 * MAD_NOISE * ratio * np.sqrt(1 / dark.number + 1 / bright.number)
    if not ratio < min(_LEAST_NOISE, 1 - _SIGNIFICANT * error):
        return None
    # Where the straight line through both is zero.
    least = dark.light * (1 - ratio) / (1 - ratio * dark.light / bright.light)
    return Pedestal(least, dark.light) if least > _RELEVANT * bright.light else None


def _light_at(scaled, good, rows, *, brightest: bool) -> _Light | None:
    """Light and noise in these rows of each column; in their brighter half if asked for."""
    usable = (rows >= 0) & (rows <= scaled.shape[1] - 2)
    rows = np.where(usable, rows, 0).astype(int)
    columns = np.broadcast_to(np.arange(rows.shape[1]), rows.shape)
    usable &= good[:, rows, columns].all(axis=0) & good[:, rows + 1, columns].all(axis=0)
    rows, columns = rows[usable], columns[usable]
    first, second = scaled[:, rows, columns], scaled[:, rows + 1, columns]
    light = 0.5 * np.median(first + second, axis=0)
    chosen = light > 0
    if brightest and chosen.any():
        chosen &= light >= np.median(light[chosen])
    if np.count_nonzero(chosen) < _FEWEST_PIXELS:
        return None
    light = light[chosen]
    # Differences of two pixels of two frames.
    apart = np.diff((first - second)[:, chosen], axis=0) / (2 * np.sqrt(light))
    noise = (MAD_TO_SIGMA * np.median(np.abs(apart))) ** 2
    return _Light(float(np.median(light)), float(noise), apart.size) if noise > 0 else None
