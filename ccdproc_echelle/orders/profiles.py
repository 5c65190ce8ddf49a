# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
A flat as cross-dispersion profiles: medians over a few dispersion pixels, without hot columns.

For the tracer. The dispersion is along the first axis and the cross-dispersion along the last.
"""

from functools import partial

import numpy as np
from scipy.ndimage import (
    find_objects,
    label,
    maximum_filter1d,
    median_filter,
    minimum_filter1d,
    uniform_filter1d,
)

from ccdproc_echelle._numeric.medians import column_median
from ccdproc_echelle._numeric.spread import scatter_about_zero
from ccdproc_echelle._tasks import results_of
from ccdproc_echelle.orders.bad_rows import good_neighbours
from ccdproc_echelle.orders.slices import bridged

__all__ = ["median_slices", "steadier_axis", "usual_width", "without_hot_columns"]

# Slices whose medians are taken at a time: so few that they fit into the cache.
_AT_ONCE = 16

# Across narrow orders the light changes from one pixel to the next, across wide ones over a larger
# distance, over which a pattern of the columns changes no more than from one to the next.
_DISTANCES = (1, 4, 16)

# Largest width of a hot column in pixels.
_WIDEST_HOT = 3

# On both sides of the ridge of an order, the light continues to fall from the adjacent pixel to the
# next one, by at least this fraction of its height; beside a hot column it does not.
_FALLS_ON = 0.15

# At least this many narrow bands, if they outnumber the wide ones, are orders.
_SEVERAL = 4

# A hot column is bright in this fraction of the slices; the pixels of orders that are not straight
# typically in less than the second fraction.
_STRAIGHT, _MOVING = 0.8, 0.5


def steadier_axis(image: np.ndarray) -> int:
    """The axis along which an image changes less once noise is averaged out along it."""
    tasks = [partial(_change_across, raster) for raster in (image, image.T)]
    return int(np.argmax(list(results_of(tasks, None))))


def _change_across(raster: np.ndarray) -> float:
    """Largest mean change along the last axis, once noise is averaged out along the first one."""
    _, slices = median_slices(raster, None)
    return max(_mean_change(slices, distance) for distance in _DISTANCES)


def _mean_change(slices: np.ndarray, distance: int) -> float:
    steps = np.abs(slices[:, distance:] - slices[:, :-distance])
    steps = steps[np.isfinite(steps)]
    if len(steps) == 0:
        return 0.0
    return float(np.minimum(steps, np.percentile(steps, 98)).mean())  # hot columns are large steps


def median_slices(raster: np.ndarray, width: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Middle dispersion pixel and median of each slice, (n_slices,) and (n_slices, n_cross)."""
    n_pixels, n_cross = raster.shape
    width = usual_width(n_pixels) if width is None else width
    n_slices = n_pixels // width
    first = (n_pixels - n_slices * width) // 2
    blocks = raster[first : first + n_slices * width].reshape(n_slices, width, n_cross)
    slices = np.concatenate([
        _medians(blocks[k : k + _AT_ONCE]) for k in range(0, n_slices, _AT_ONCE)
    ])
    pixels = first + width * np.arange(n_slices) + 0.5 * (width - 1)
    return pixels, slices


def usual_width(n_pixels: int) -> int:
    """Dispersion pixels of a slice."""
    return max(1, min(int(np.clip(n_pixels // 250, 5, 15)), n_pixels // 20))


def _medians(blocks: np.ndarray) -> np.ndarray:
    """Medians of blocks (n_slices, width, n_cross) over their width."""
    values = blocks.swapaxes(0, 1).reshape(blocks.shape[1], -1)
    good = np.isfinite(values)
    medians = column_median(values, None if good.all() else good)
    return medians.reshape(len(blocks), -1)


def without_hot_columns(slices: np.ndarray) -> np.ndarray:
    """
    Set pixels to NaN where one or two cross-dispersion pixels stick out in slice after slice.

    Orders two pixels wide stick out as well. They are recognised by their number; a hot column
    among them by being straight where they are not.
    """
    filled = np.nan_to_num(bridged(slices))
    usual = median_filter(filled, size=(1, 5), mode="nearest")
    excess = filled - usual
    noise = _noise(excess)
    lowest = minimum_filter1d(usual, 15, axis=1)
    bright = excess > 0.5 * (usual - lowest) + 6 * noise
    bright &= ~_is_ridge(filled, bright)
    stuck = _stuck(bright)
    if _are_orders(stuck, usual - lowest, noise):
        stuck &= _straight_columns(bright, stuck)
    else:
        stuck &= ~_moving(stuck)
    return np.where(stuck, np.nan, slices)


def _noise(excess: np.ndarray) -> float:
    """Noise of the light above that nearby, from neighbouring slices; on slopes there is none."""
    steps = np.diff(excess, axis=0)
    steps = steps[steps != 0]
    return scatter_about_zero(steps) / np.sqrt(2) if len(steps) else 0.0


def _is_ridge(light: np.ndarray, bright: np.ndarray) -> np.ndarray:
    """Where bright pixels are the top of light that falls off on both sides."""
    beside = np.stack(good_neighbours(bright))
    beyond = beside + np.array([-1, 1])[:, None, None]
    beside, beyond = (
        np.take_along_axis(light[None], np.clip(index, 0, light.shape[1] - 1), axis=-1)
        for index in (beside, beyond)
    )
    fall = (beside - beyond).min(axis=0)
    return fall > _FALLS_ON * (light - beyond.max(axis=0))


def _stuck(bright: np.ndarray) -> np.ndarray:
    """Where pixels are bright in slice after slice."""
    reach = max(3, len(bright) // 10)
    often = uniform_filter1d(bright.astype(float), reach, axis=0, mode="nearest") > 0.5
    return maximum_filter1d(often, reach, axis=0) & bright


def _moving(stuck: np.ndarray) -> np.ndarray:
    """What continues in adjacent columns: the ridge of an order."""
    tracks, n_tracks = label(stuck, structure=np.ones((3, 3)))
    if n_tracks == 0:
        return stuck
    widths = [part[1].stop - part[1].start for part in find_objects(tracks)]
    return np.isin(tracks, 1 + np.flatnonzero(np.array(widths) > _WIDEST_HOT))


def _are_orders(narrow: np.ndarray, contrast: np.ndarray, noise: float) -> bool:
    """Whether there are more narrow bands than wide ones, and too many to be defects."""
    n_narrow = np.median(_n_runs(narrow))
    if n_narrow < _SEVERAL:
        return False
    top = maximum_filter1d(contrast, 15, axis=1)
    wide = (contrast > 0.5 * top) & (top > 6 * noise) & ~maximum_filter1d(narrow, 5, axis=1)
    return n_narrow > np.median(_n_runs(wide))


def _n_runs(marked: np.ndarray) -> np.ndarray:
    """Number of contiguous runs in each row."""
    padded = np.pad(marked, ((0, 0), (1, 0)))
    return (padded[:, 1:] & ~padded[:, :-1]).sum(axis=1)


def _straight_columns(bright: np.ndarray, bands: np.ndarray) -> np.ndarray:
    """Columns that are bright from end to end, if most bands are not; bool (n_cross,)."""
    share = bright.mean(axis=0)
    straight = share > _STRAIGHT
    bands_move = np.median(np.broadcast_to(share, bands.shape)[bands]) < _MOVING
    return straight & bands_move & (straight.sum() < 0.5 * np.median(_n_runs(bands)))
