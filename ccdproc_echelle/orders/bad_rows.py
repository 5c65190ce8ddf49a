# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Detector rows along the orders whose response differs from that of their neighbours, or is zero.

The image of a slit never drops from full light to nothing within one pixel, in a straight line
along a detector row, with light again on the far side. Where that happens there are bad rows, up
to three side by side. Left in place they would be mistaken for the edge of an order, or for an
order.

Once a frame has been turned into a raster, everything here works on plain arrays of shape
(n_sections, n_cross): each section of the dispersion axis is the median of a few dispersion pixels,
NaN where all of them are masked.
"""

import numpy as np
from astropy.nddata import CCDData
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import binary_propagation, maximum_filter1d, uniform_filter1d

from ccdproc_echelle._numeric.medians import column_median
from ccdproc_echelle.orders.slices import as_raster, slice_columns

__all__ = [
    "bad_row_pixels", "bad_rows", "bridge_bad_rows", "good_neighbours", "without_bad_rows",
    "without_bridges",
]

# Widest group of adjacent rows recognised as bad, and widest gap of masked or bad rows bridged.
_LARGEST_RUN, _LARGEST_GAP = 3, 4

# A row is bad if it differs from its neighbours by this fraction of the local light and by this
# many times the noise, and if it accounts for nearly all of the change across the rows around it:
# a blurred edge, or an order a few pixels wide, changes over more rows.
_LEAST_STEP, _LEAST_SIGNIFICANCE, _SHARP = 0.25, 6.0, 0.85

# A bad row is followed for as long as it differs by more than this fraction of the light.
_FOLLOWED = 0.15

# An over-bright row is distinguished from an order by the light on both sides of it, at least this
# fraction of its own.
_LEAST_LIGHT_BESIDE = 0.05

# Or less light, as the geometric mean of both sides, if the row is sharper than any image formed by
# the optics can be. This must hold in at least this fraction of the sections, since an order does
# not run along a single row.
_LEAST_SECTIONS = 0.2

# Near an edge, a bad row shows as an interruption of the falling light: the row has less than this
# fraction of the light inwards of it and half of that outwards, where the light falls on.
_INTERRUPTED = 0.2

# If more than this fraction of a frame (and more than a few rows) looks bad, the "bad rows" are
# orders two pixels wide, or the gaps between them.
_MOST, _SOME = 0.02, 4

# Among narrow orders, a row is bad if it is bad in this fraction of the sections while the orders
# move: their pixels are typically bright in less than the second fraction.
_NEARLY_EVERYWHERE, _MOVING = 0.8, 0.5

# This many narrow bright rows in a section, at least this fraction of its peak, are orders.
_MANY, _RELEVANT = 8, 0.05

# A row counts as midway between two orders within this distance of the middle: an eighth of the
# spacing, but within these limits.
_MIDWAY = 2, 4

# Minimum dispersion pixels over which a row must be bad, and over which its noise is measured.
_LENGTH, _NOISE_LENGTH = 50, 200

# Mean absolute difference of two normal values with standard deviation 1, 2 / sqrt(pi).
_MEAN_DIFFERENCE = 1.128

# Number of dispersion pixels of a section used for its median.
_ENOUGH = 5


def bad_row_pixels(flat: CCDData, dispersion_axis: int) -> np.ndarray:
    """
    Find the pixels of detector rows along the orders that differ sharply from adjacent rows.

    Parameters
    ----------
    flat : `~astropy.nddata.CCDData` or array, shape (rows, columns)
        A flat. Masked and non-finite pixels are never reported.
    dispersion_axis : int
        1 when orders run along image rows, 0 when along columns.

    Returns
    -------
    bool array, shape (rows, columns)
    """
    n_pixels = np.shape(flat)[dispersion_axis]
    columns = slice_columns(n_pixels, None, 4)
    some = columns[:, :: max(1, columns.shape[1] // _ENOUGH)]
    raster = as_raster(flat, dispersion_axis, lines=some.ravel())
    sections = _medians(raster, np.arange(some.size).reshape(some.shape))
    bad = bad_rows(sections, columns.shape[1])
    nearest = np.clip(np.arange(n_pixels) - columns[0, 0], 0, columns.size - 1) // columns.shape[1]
    pixels, rows = np.zeros(np.shape(flat), dtype=bool), np.flatnonzero(bad.any(axis=0))
    turned = pixels if dispersion_axis == 0 else pixels.T
    turned[:, rows] = bad[nearest][:, rows]
    return pixels


def without_bad_rows(sections: np.ndarray, width: float) -> np.ndarray:
    """
    Bridge bad rows and narrow gaps in sections ``width`` dispersion pixels wide.

    If there are many bands as narrow as a bad row, they are the orders. Then only a few rows are
    bridged, which are bad nearly everywhere while the orders move on.
    """
    bad = bad_rows(sections, width)
    bands = _narrow_bands(sections)
    if bands.sum(axis=1).mean() > _MANY:
        straight = bad.mean(axis=0) > _NEARLY_EVERYWHERE
        move = np.median(np.broadcast_to(bands.mean(axis=0), bands.shape)[bands]) < _MOVING
        bad &= straight & move & (straight.sum() <= _SOME)
    return _bridged(sections, bad | np.isnan(sections))[0]


def _narrow_bands(sections: np.ndarray) -> np.ndarray:
    """Which rows, but for the outermost two, are twice as bright as those two pixels off."""
    light = sections - np.nanmin(sections, axis=1, keepdims=True, initial=np.inf)
    relevant = light > _RELEVANT * np.nanmax(light, axis=1, keepdims=True, initial=0)
    narrow = light[:, 2:-2] > 2 * np.fmax(light[:, :-4], light[:, 4:])
    return narrow & relevant[:, 2:-2]


def bridge_bad_rows(raster, variance, columns, width, centers) -> np.ndarray:
    """
    Bridge the bad rows along the orders in a raster (n_pixels, n_cross) and its variance, in place.

    Returns which rows are bad, (n_sections, n_cross).

    ``columns`` are the dispersion pixels of each section, ``width`` pixels apart, and ``centers``
    the order centres at each line of the raster. Midway between two orders, one or two dark rows
    may be the entire gap.
    """
    sections = _medians(raster, columns)
    bad = bad_rows(sections, width)
    section, row = bad.nonzero()
    here = np.sort(centers[:, columns[section, columns.shape[1] // 2]], axis=0)
    lower, upper = here[:-1], here[1:]
    midway = np.abs(row - 0.5 * (lower + upper)) < np.clip((upper - lower) / 8, *_MIDWAY)
    dark = sections < _bridged(sections, bad | np.isnan(sections))[0]
    bad[section, row] = ~(midway.any(axis=0) & dark[section, row])
    bad |= np.isnan(sections)
    if bad.any():
        for image in (raster, variance):
            if image is not None:
                _bridge(image, columns, bad)
    return bad


def without_bridges(profiles: np.ndarray, origins: np.ndarray, bad: np.ndarray) -> np.ndarray:
    """
    Slices with NaN where the light is that of bridged rows and of the rows next to them.

    A bridge is straight. It distorts anything curved that is not much wider than itself.

    Parameters
    ----------
    profiles : array, shape (n_orders, n_slices, n_samples)
        Slices of the sections in which rows are bad.
    origins : array, shape (n_orders, n_slices)
        Row of the first sample.
    bad : bool array, shape (n_slices, n_cross)
    """
    near = np.pad(maximum_filter1d(bad, 3, axis=1), [(0, 0), (1, 1)])
    rows = np.nan_to_num(origins)[..., None].astype(int) + np.arange(profiles.shape[-1])
    rows = np.clip(rows + 1, 0, near.shape[1] - 1)
    return np.where(near[np.arange(len(bad))[:, None], rows], np.nan, profiles)


def bad_rows(sections: np.ndarray, width: float) -> np.ndarray:
    """Where rows differ sharply from adjacent rows; masked samples are not included."""
    filled, known = _bridged(sections, np.isnan(sections))
    if min(filled.shape) < 6:
        return np.zeros(filled.shape, dtype=bool)
    length = int(np.clip(round(_LENGTH / width), 3, len(filled)))
    floor = np.where(known, filled, np.inf).min(axis=1, keepdims=True)
    light = np.where(known, filled - np.where(np.isfinite(floor), floor, 0), 0)
    noise = _noise(light, int(np.clip(_NOISE_LENGTH / width, 3, len(light))))
    smooth = uniform_filter1d(light, length, axis=0, mode="nearest")
    bad = np.zeros(filled.shape, dtype=bool)
    for run in range(1, _LARGEST_RUN + 1):
        bad |= _runs(smooth, noise / np.sqrt(length), run)
        for way in (1, -1):
            bad[:, ::way] |= _interruptions(
                smooth[:, ::way], noise[:, ::way] / np.sqrt(length), run
            )
    bad &= known
    rows = np.flatnonzero(bad.any(axis=0))
    if len(rows):
        bad = _followed(light, noise, bad, rows) & known
    return bad if bad.mean() <= max(_MOST, _SOME / bad.shape[1]) else np.zeros_like(bad)


def _medians(raster: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Medians of sections of a raster, from a few of their dispersion pixels."""
    some = columns[:, :: max(1, columns.shape[1] // _ENOUGH)].T
    values = raster[some].reshape(len(some), -1)
    good = np.isfinite(values)
    medians = column_median(values, None if good.all() else good)
    return medians.reshape(len(columns), raster.shape[1])


def _noise(light: np.ndarray, length: int) -> np.ndarray:
    """Noise of the sections, from the differences between neighbouring ones."""
    steps = np.abs(np.diff(light, axis=0, append=light[-2:-1])) / _MEAN_DIFFERENCE
    return uniform_filter1d(steps, length, axis=0, mode="nearest")


def _runs(light: np.ndarray, noise: np.ndarray, run: int) -> np.ndarray:
    """Runs of bad rows of the given length."""
    n = light.shape[1] - run - 3
    beside = [light[:, k : k + n] for k in (1, run + 2)]
    within = [light[:, 2 + k : 2 + k + n] for k in range(run)]
    lowest, highest = np.minimum(*beside), np.maximum(*beside)
    step = np.maximum(lowest - np.maximum.reduce(within), np.minimum.reduce(within) - highest)
    section, first = np.nonzero(step > _LEAST_STEP * np.abs(highest))
    window = first + np.arange(run + 4)[:, None]
    sigma = noise[section, window[1:-1]].max(axis=0)
    step, lowest, window = step[section, first], lowest[section, first], light[section, window]
    brightest = window[2 : 2 + run].max(axis=0)
    sharp = (step > _SHARP * np.ptp(window, axis=0)) & (step > _LEAST_SIGNIFICANCE * sigma)
    beside = (lowest > _LEAST_LIGHT_BESIDE * brightest) & (lowest > _LEAST_SIGNIFICANCE * sigma)
    product = window[[1, 2 + run]].clip(min=0).prod(axis=0)
    alone = sharp & (product < (_LEAST_LIGHT_BESIDE * brightest) ** 2)
    index = np.flatnonzero(alone)
    wide = [_opened(light, section[index], first[index] + k) for k in (0, run + 3)]
    alone[index] = np.maximum(*wide) < _LEAST_STEP * brightest[index]
    found, alone = (
        _marked(light.shape, section[which], first[which], run) for which in (sharp & beside, alone)
    )
    return found | (alone & (alone.mean(axis=0) > _LEAST_SECTIONS))


def _opened(light: np.ndarray, section: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Light at some rows of the sections, without runs of bright rows as narrow as bad ones."""
    near = row + np.arange(-_LARGEST_RUN, _LARGEST_RUN + 1)[:, None]
    near = light[section, np.clip(near, 0, light.shape[1] - 1)]
    return sliding_window_view(near, _LARGEST_RUN + 1, axis=0).min(axis=-1).max(axis=0)


def _interruptions(light: np.ndarray, noise: np.ndarray, run: int) -> np.ndarray:
    """Runs of dark rows of the given length within light that falls from row to row."""
    n = light.shape[1] - run - 3
    farther, inwards, outwards, beyond = (light[:, k : k + n] for k in (0, 1, run + 2, run + 3))
    section, first = np.nonzero(light[:, 2 : 2 + n] < _INTERRUPTED * inwards)
    falling = beyond[section, first] < 0.7 * outwards[section, first]
    section, first = section[falling], first[falling]
    farther, inwards, outwards = (
        side[section, first] for side in (farther, inwards, outwards)
    )
    within = light[section, first + 2 + np.arange(run)[:, None]].max(axis=0)
    found = (within < _INTERRUPTED * inwards) & (within < 0.5 * outwards)
    found &= (outwards < inwards) & (inwards > 0.5 * farther)
    found &= outwards > _LEAST_LIGHT_BESIDE * inwards
    found &= outwards - within > _LEAST_SIGNIFICANCE * noise[section, first + run + 2]
    marked = _marked(light.shape, section[found], first[found], run)
    return marked & (marked.mean(axis=0) > _LEAST_SECTIONS / 2)


def _marked(shape, section, first, run: int) -> np.ndarray:
    """Bool sections, True in runs that start two samples after the given first samples."""
    marked = np.zeros(shape, dtype=bool)
    for k in range(run):
        marked[section, first + 2 + k] = True
    return marked


def _followed(light, noise, bad, rows) -> np.ndarray:
    """Bad rows, followed along the dispersion for as long as they differ from the bridging line."""
    everywhere = np.zeros(bad.shape, dtype=bool)
    everywhere[:, rows] = True
    level = _bridged(light, everywhere)[0][:, rows]
    off = light[:, rows] - level
    same = np.sign(off) == np.sign(np.where(bad[:, rows], off, 0).sum(axis=0))
    clear = np.abs(off) > np.maximum(_FOLLOWED * level, 3 * noise[:, rows])
    along = np.array([[0, 1, 0]] * 3, dtype=bool)
    seeds = bad[:, rows]
    bad = bad.copy()
    bad[:, rows] = binary_propagation(seeds, along, mask=seeds | (same & clear))
    return bad


def _bridged(sections: np.ndarray, gaps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sections with narrow gaps filled by linear interpolation, and where there is a value."""
    below, above = good_neighbours(gaps)
    narrow = gaps & (above - below - 1 <= _LARGEST_GAP)
    section, row = np.nonzero(narrow)
    filled = np.where(gaps, np.nan, sections)
    below, above = below[section, row], above[section, row]
    part = (row - below) / (above - below)
    filled[section, row] = (1 - part) * sections[section, below] + part * sections[section, above]
    return filled, ~gaps | narrow


def good_neighbours(bad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index of the nearest good sample on either side of each; out of range if there is none."""
    index = np.arange(bad.shape[1])
    far = 2 * bad.shape[1]
    below = np.maximum.accumulate(np.where(bad, -far, index), axis=1)
    above = np.minimum.accumulate(np.where(bad, far, index)[:, ::-1], axis=1)[:, ::-1]
    return below, above


def _bridge(raster: np.ndarray, columns: np.ndarray, bad: np.ndarray) -> None:
    """Bridge the bad rows of sections with these columns in a raster (n_pixels, n_cross)."""
    below, above = good_neighbours(bad)
    section, row = np.nonzero(bad & (above - below - 1 <= _LARGEST_GAP))
    if len(row):
        here, below, above = columns[section].T, below[section, row], above[section, row]
        part = (row - below) / (above - below)
        raster[here, row] = (1 - part) * raster[here, below] + part * raster[here, above]
