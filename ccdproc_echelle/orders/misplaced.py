# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Check that the edges of an order table are where the light of a flat ends."""

import numpy as np
from astropy.nddata import CCDData

from ccdproc_echelle._numeric.medians import finite_median
from ccdproc_echelle._warnings import warn
from ccdproc_echelle.orders.plausible import filler_of
from ccdproc_echelle.orders.slices import as_raster
from ccdproc_echelle.orders.table import EchelleOrderTable

__all__ = ["warn_of_misplaced_edges"]

# Places along the orders, and pixels at each, where their light is compared with given edges, up to
# twice the width of the order away, or up to the next order if that is nearer than this.
_PLACES, _PIXELS, _FARTHEST = 20, 5, 50

# Edges may lie inside or outside the half-maximum of the light by this many pixels, and by these
# fractions of its width: further outside for fibres, whose light at a fifth of the maximum is wider
# than at four fifths by more than the last factor.
_SLACK, _INSIDE, _OUTSIDE, _OF_FIBRES, _ROUND = 2.0, 0.1, 0.3, 1.0, 1.7

# Beside an order with edges to be seen there is less than this fraction of its light; and typical
# values, from 0 to 1 in each cut through it, are below and above these. Those of noise are not.
_EVEN, _DARK, _LIT = 0.5, 0.25, 0.8


def warn_of_misplaced_edges(flat: CCDData, orders: EchelleOrderTable) -> bool:
    """
    Warn if most edges are not where the light of the orders ends, and tell whether it is so.

    They may be those of another binning, read-out window or spectrograph.

    Parameters
    ----------
    flat : `~astropy.nddata.CCDData` or array, shape (rows, columns)
        A flat. Of an inter-order area that is masked or set to a constant, nothing is seen.
    orders : `EchelleOrderTable`
        Orders with edges.

    Returns
    -------
    bool

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If more than half of the orders whose light can be seen are affected.
    """
    off = np.array([_edges_off(*profile) for profile in _profiles(flat, orders)]).reshape(-1, 2)
    seen = np.isfinite(off).all(axis=1)
    wrong = seen & (off != 0).any(axis=1)
    misplaced = bool(wrong.sum() > 0.5 * max(seen.sum(), 1))
    if misplaced:
        lower, upper = np.median(off[wrong], axis=0)
        warn(
            f"the edges of orders {orders.order_numbers[wrong].tolist()} are not where their light "
            f"ends on the flat, which is about {lower:+.0f} pixels from the lower and {upper:+.0f} "
            "pixels from the upper edges: is the table for another binning or set-up? Measure the "
            "edges on this flat with detect_order_edges"
        )
    return misplaced


def _profiles(flat, orders: EchelleOrderTable):
    """
    For each order, offsets from the middle of its edges, the light at these, half its width, and
    the room up to midway between it and the nearest other order.
    """
    n_pixels = orders.shape[orders.dispersion_axis]
    starts = np.linspace(0, max(n_pixels - _PIXELS, 0), _PLACES).astype(int)
    lines = np.minimum(starts[:, None] + np.arange(_PIXELS), n_pixels - 1)
    light = as_raster(flat, orders.dispersion_axis, lines=lines.ravel())
    light[light == filler_of(light)] = np.nan
    light = finite_median(light.reshape(*lines.shape, -1).swapaxes(1, 2))
    lower, upper = orders.lower(lines[:, 0]), orders.upper(lines[:, 0])
    middles, widths = 0.5 * (lower + upper), upper - lower
    for middle, width in zip(middles, finite_median(widths), strict=True):
        others = np.abs(middles - middle)
        room = np.where(others > 0, others, np.inf).min(axis=0) / 2
        width = np.nan_to_num(width)  # 0 if an order is short and nowhere looked at
        reach = np.ceil(max(2 * width, min(finite_median(room[None])[0], _FARTHEST)))
        offsets = np.arange(-reach, reach + 1)
        cuts = _interpolated(light, middle[:, None] + offsets)
        cuts = np.where(np.abs(offsets) > room[:, None], np.nan, cuts)
        yield offsets, _typical(cuts), width / 2, finite_median(room[None])[0]


def _interpolated(lines: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Values between the pixels of each line, (n_lines, n_positions); NaN beyond its ends."""
    last = lines.shape[1] - 1
    inside = (positions >= 0) & (positions <= last)
    positions = np.where(inside, positions, 0)
    below = np.minimum(positions.astype(int), last - 1)
    here, above = (np.take_along_axis(lines, below + k, axis=1) for k in (0, 1))
    return np.where(inside, here + (positions - below) * (above - here), np.nan)


def _typical(cuts: np.ndarray) -> np.ndarray:
    """Median of the brighter half of some cuts through an order, from 0 to 1; NaN where unknown."""
    known = np.isfinite(cuts)
    low, high = (
        end(np.where(known, cuts, filler), axis=1, keepdims=True)
        for end, filler in ((np.min, np.inf), (np.max, -np.inf))
    )
    height = np.where(known.any(axis=1, keepdims=True) & (low < _EVEN * high), high - low, 0)
    bright = (height > 0) & (height >= np.median(height))
    return finite_median(np.where(bright, (cuts - low) / np.where(bright, height, 1), np.nan).T)


def _edges_off(offsets, light, half: float, room: float) -> tuple[float, float]:
    """
    Distance of the half-maxima of the light from the edges; 0 if the edges are plausible.

    NaN if there is no light, or it is not in the same place all along the order.
    """
    known = np.flatnonzero(np.isfinite(light))
    if not (light[known] > _LIT).any() or not (light[known] < _DARK).any():
        return np.nan, np.nan
    ends, limits = _ends(offsets, light, 0.5), np.array([-offsets[known[0]], offsets[known[-1]]])
    outwards = ends - half  # of the light, from the edges
    wide, narrow = (_ends(offsets, light, level).sum() for level in (0.2, 0.8))
    outside = _OF_FIBRES if wide > _ROUND * narrow else _OUTSIDE
    width = ends.sum()
    wrong = (outwards > _SLACK + _INSIDE * width) | (-outwards > _SLACK + outside * width)
    wrong &= (ends < limits) | (limits > room - 1.5)  # not cut by the border of the detector
    lower, upper = np.where(wrong, outwards * [-1, 1], 0)
    return lower, upper


def _ends(offsets, light, level: float) -> np.ndarray:
    """Distances from the middle, down and up, at which the light has fallen to a level."""
    ends = []
    for outwards, along in ((-1, slice(None, None, -1)), (1, slice(None))):
        places, values = outwards * offsets[along], light[along]
        last = np.flatnonzero(values > level)[-1]
        inside, beyond = values[last], values[last + 1] if last + 1 < len(values) else np.nan
        fall = (inside - level) / (inside - beyond)
        ends.append(places[last] + (fall if np.isfinite(fall) else 0.5))
    return np.array(ends)
