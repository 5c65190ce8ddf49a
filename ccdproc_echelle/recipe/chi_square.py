# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Chi-square of the frames about their master: whether they differ by no more than their noise."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ccdproc_echelle.combining import Noted
from ccdproc_echelle.frames import Frame, gather_pixels
from ccdproc_echelle.light import UNUSABLE, FlatFlag
from ccdproc_echelle.recipe.product import MasterFlat

__all__ = [
    "chi_square_of_frames", "chi_square_of_noted", "reduced_chi_square", "sound_pixels",
]

# Pixels above this fraction of the mean are used: the uncertainty of fainter ones, derived
# from their own counts, correlates with their value.
_FAINTEST = 0.1

# This many pixels of each frame give chi-square to half a percent, even for two frames.
_ENOUGH_PIXELS = 100_000


def reduced_chi_square(values: ArrayLike, variances: ArrayLike, used: ArrayLike) -> float:
    """
    Compare the scatter of values about their mean in each pixel with their variances.

    Parameters
    ----------
    values, variances : float array, shape (n_frames, n_pixels)
        Values with independent errors, and their variances.
    used : bool array, shape (n_frames, n_pixels)
        Values to use; at least two per pixel.

    Returns
    -------
    float
        Sum of the squared differences from the mean of the pixel, each divided by its variance,
        relative to the expected sum: 1 if the variances are correct, 4 if the standard deviations
        are half of what they should be. NaN if nothing can be compared.

    Notes
    -----
    Each of n values contributes to their mean: the variance of the difference of value i is ``(1 -
    2 / n) * variances[i] + sum(variances) / n**2``. For equal variances, the expected sum is the
    number of degrees of freedom, n - 1 in each pixel.

    Examples
    --------
    >>> from ccdproc_echelle.recipe import reduced_chi_square
    >>> reduced_chi_square([[9.0], [11.0]], [[2.0], [2.0]], [[True], [True]])
    1.0
    """
    values, variances = np.asarray(values, dtype=float), np.asarray(variances, dtype=float)
    used = used & (variances > 0)
    used = used & (used.sum(axis=0) > 1)
    n = np.maximum(used.sum(axis=0), 1)
    weights = np.divide(1.0, variances, where=used, out=np.zeros(used.shape))
    mean = np.where(used, values, 0).sum(axis=0) / n
    squares = np.where(used, values - mean, 0) ** 2
    of_mean = np.where(used, variances, 0).sum(axis=0) / n**2
    expected = (used * (1 - 2 / n) + of_mean * weights).sum()
    return float((squares * weights).sum() / expected) if expected > 0 else np.nan


def chi_square_of_frames(
    frames: Sequence[Frame], master: MasterFlat, sound: np.ndarray, rejected: np.ndarray | None
) -> float:
    """
    Compute the reduced chi-square of frames from pixels that are read for this purpose.

    Parameters
    ----------
    frames : sequence of `~ccdproc_echelle.frames.Frame`
        The calibrated frames, in the order of the levels.
    master : `~ccdproc_echelle.MasterFlat`
        The master flat.
    sound : int array
        Pixels to use, as found by `sound_pixels`.
    rejected : bool array, shape (n_frames, rows, columns), or None
        Values that were rejected; `None` if unknown.

    Returns
    -------
    float
        NaN unless all frames have uncertainties.
    """
    if any(frame.uncertainty_type is None for frame in frames):
        return np.nan
    pixels = _bright(sound, master)
    pixels = pixels[:: len(pixels) // _ENOUGH_PIXELS + 1]
    where = np.unravel_index(pixels, master.flat.shape)
    scales = 1 / _levels_at(where, master)
    sections = [gather_pixels(frame, pixels) for frame in frames]
    used = np.array([section.good for section in sections]) & np.isfinite(scales)
    if rejected is not None:
        used &= ~rejected[(slice(None), *where)]
    return reduced_chi_square(
        np.array([section.data for section in sections]) * scales,
        np.array([section.variance for section in sections]) * scales**2,
        used,
    )


def chi_square_of_noted(noted: Noted, master: MasterFlat, sound: np.ndarray) -> float:
    """
    Compute the reduced chi-square of frames from the values recorded while they were combined.

    Parameters
    ----------
    noted : `~ccdproc_echelle.combining.Noted`
        What was recorded about the frames.
    master : `~ccdproc_echelle.MasterFlat`
        The master flat.
    sound : int array
        Pixels to use, as found by `sound_pixels`.

    Returns
    -------
    float
        NaN if the variances are not known.
    """
    if noted.variances is None:
        return np.nan
    chosen = np.zeros(master.flat.shape, dtype=bool)
    chosen.ravel()[_bright(sound, master)] = True
    counts = chosen.ravel()[noted.pixels]
    return reduced_chi_square(noted.values[:, counts], noted.variances[:, counts],
                              noted.used[:, counts])


def sound_pixels(master: MasterFlat, window: float) -> np.ndarray:
    """
    Inner-order pixels used to assess a flat: all except bad ones, however faint.

    Parameters
    ----------
    master : `MasterFlat`
        The master flat, with order edges.
    window : float
        Full width of the window on the order centre, in pixels.

    Returns
    -------
    int array
        Indices into the flattened image.
    """
    unsound = master.flags & int(UNUSABLE & ~FlatFlag.FAINT | FlatFlag.INTERORDER) != 0
    if master.flat.mask is not None:
        # Pixels masked only because they are faint are included.
        unsound |= master.flat.mask & (master.flags & int(FlatFlag.FAINT) == 0)
    sound = master.orders.inner_mask(window) & np.isfinite(master.flat.data) & ~unsound
    return np.flatnonzero(sound)


def _bright(sound: np.ndarray, master: MasterFlat) -> np.ndarray:
    """Sound pixels whose uncertainty does not correlate with their value."""
    data = master.flat.data.ravel()[sound]
    return sound[data > _FAINTEST * data.mean()] if len(sound) else sound


def _levels_at(where, master) -> np.ndarray:
    """The level by which each frame was divided: that of the frame, or those of its orders."""
    if not master.flat.header.get("PERORDER", False):
        return master.levels["level"].value[:, None]
    return master.levels["order_level"].value[:, master.orders.order_index()[where]]
