# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Orders that consist of several bands: the slices of an image slicer, or the fibres of a bundle.

Each band is treated as an order of its own; the order ends where its outermost bands end.
"""

import numpy as np

from ccdproc_echelle._numeric.medians import finite_median
from ccdproc_echelle._numeric.peaks import between_flanks, prominent_tops
from ccdproc_echelle.orders.slices import extract_slices, slice_columns

__all__ = ["band_offsets", "looked_at", "number_of_bands", "order_profiles"]

# Number of places along an order at which its profile is measured, and pixels combined there.
_N_PLACES, _WIDTH = 16, 5

# A band stands out from the adjacent gaps by this fraction of the brightest one; the lower limit
# applies if the number of bands is known.
_PROMINENCE, _LEAST_PROMINENCE = 0.2, 0.04

# Orders have bands if at least this fraction of them shows the same number of bands, centred on the
# order and evenly spaced to within these fractions of their spacing.
_MOST_ORDERS, _OFF_CENTRE, _UNEVEN = 0.7, 0.35, 0.3


def looked_at(raster, centers, reach: int) -> np.ndarray:
    """
    Light in a few slices of each order, (n_orders, n_slices, 2 * reach + 1), for `order_profiles`.

    Parameters
    ----------
    raster : array, shape (n_pixels, n_cross)
        The light, NaN where there is none.
    centers : array, shape (n_orders, n_pixels)
        Order centres.
    reach : int
        Number of pixels on either side of a centre.
    """
    columns = slice_columns(len(raster), _WIDTH, 0)
    columns = columns[:: max(1, len(columns) // _N_PLACES)]
    return extract_slices(raster, None, centers, columns.mean(axis=1), columns, reach).profiles


def order_profiles(light: np.ndarray) -> np.ndarray:
    """
    Cross-dispersion profile of each order, from 0 to 1, (n_orders, n_samples).

    Parameters
    ----------
    light : array, shape (n_orders, n_slices, n_samples)
        Slices around the order centres, NaN where there is no light.
    """
    low, high = (end(np.where(np.isfinite(light), light, filler), axis=-1, keepdims=True)
                 for end, filler in ((np.min, np.inf), (np.max, -np.inf)))
    step = np.where(np.isfinite(high - low) & (high > low), high - low, np.nan)
    relative = (light - low) / step
    brightness = np.nan_to_num(step[..., 0])
    relative[brightness < np.median(brightness, axis=1, keepdims=True)] = np.nan
    return finite_median(relative.swapaxes(1, 2))


def number_of_bands(
    profiles: np.ndarray, limits: np.ndarray, *, off_centre: float = _OFF_CENTRE
) -> int:
    """
    Number of bands in the orders: 1 unless most orders have more, symmetric about the centre.

    Parameters
    ----------
    profiles : array, shape (n_orders, n_samples)
        Profiles returned by `order_profiles`.
    limits : array, shape (2, n_orders)
        Offsets from the centre between which an order lies.
    off_centre : float, optional
        Largest distance of the middle of the bands from the centre, as a fraction of their spacing.
    """
    orders = zip(profiles, limits.T, strict=True)
    found = [_middles(*_bands(*order, _PROMINENCE)[:2]) for order in orders]
    counts = np.array([len(bands) for bands in found])
    number = int(np.bincount(counts).argmax())
    if number < 2 or np.mean(counts == number) < _MOST_ORDERS:
        return 1
    bands = np.array([b for b in found if len(b) == number])
    steps = np.diff(bands, axis=1)
    pitch = steps.mean(axis=1)
    regular = np.ptp(steps, axis=1) < _UNEVEN * pitch
    regular &= np.abs(0.5 * (bands[:, 0] + bands[:, -1])) < off_centre * pitch
    return number if np.mean(regular) > _MOST_ORDERS else 1


def band_offsets(profiles: np.ndarray, limits: np.ndarray, number: int) -> np.ndarray:
    """
    Positions of the bands of each order relative to its centre, (n_orders, number).

    Orders that show a different number of bands, usually for lack of light, are given those of the
    others.

    Parameters
    ----------
    profiles, limits
        See `number_of_bands`.
    number : int
        Number of bands in an order.

    Raises
    ------
    ValueError
        If no order shows that many bands.
    """
    offsets = np.full((len(profiles), number), np.nan)
    for row, order in zip(offsets, zip(profiles, limits.T, strict=True), strict=True):
        profile, tops, prominences = _bands(*order, _LEAST_PROMINENCE)
        if len(tops) >= number:
            chosen = np.sort(tops[np.argsort(-prominences)[:number]])
            row[:] = between_flanks(profile, chosen) - len(profile) // 2
    if np.isnan(offsets).all():
        raise ValueError(
            f"no order shows {number} slices between its neighbours: n_slices is wrong for this "
            "flat, or the order centres are off"
        )
    typical = finite_median(offsets.T)
    width = np.ptp(offsets, axis=1)
    usual = np.abs(width - finite_median(width[None])[0]) < 0.3 * np.ptp(typical)
    return np.where(usual[:, None], offsets, typical)


def _middles(profile, tops) -> np.ndarray:
    """Offsets of bands, each of which is taken for the only one."""
    return np.array([between_flanks(profile, [top])[0] for top in tops]) - len(profile) // 2


def _bands(profile, limits, prominence) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Profile without gaps, and tops and prominences of the bands between two offsets."""
    profile = np.pad(np.nan_to_num(profile), 1)
    tops, prominences = prominent_tops(profile, prominence)
    places = _middles(profile, tops)
    inside = (places > limits[0]) & (places < limits[1])
    return profile, tops[inside], prominences[inside]
