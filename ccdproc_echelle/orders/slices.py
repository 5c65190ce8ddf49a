# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Cross-dispersion slices that follow the curved orders of a flat.

The light of a few adjacent dispersion pixels is resampled along the order centre, so that the order
stands upright, and median combined. Each slice thus shows one order and its surroundings with
little noise. The standard deviation of that noise is known, and so is the amount of blur added by
the resampling.

After `as_rasters` has taken the frame apart, these are plain arrays with the cross-dispersion along
the last axis and NaN where there is no light.
"""

import os
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import ndtri

from ccdproc_echelle._numeric.medians import finite_median, median_noise, ranked_median
from ccdproc_echelle._tasks import ahead, results_of
from ccdproc_echelle.frames import check_real, variance_array

__all__ = [
    "Slices",
    "as_raster",
    "as_rasters",
    "bridged",
    "checked_image",
    "check_slices",
    "extract_slices",
    "places_of",
    "search_radii",
    "slice_columns",
    "slice_lengths",
    "take",
    "widened",
    "with_response_noise",
]


# Samples with more light than this, in units of their noise, are used to measure the pixel
# response.
_BRIGHT = 30.0

# The light of an order is looked for within this fraction of the distance to its nearest neighbour.
_NEAR = 0.375


class Slices(NamedTuple):
    """Cross-dispersion slices, one for each order and place along the dispersion."""

    profiles: np.ndarray  # light, (n_orders, n_slices, n_samples), NaN where there is none
    noise: np.ndarray  # its standard deviation, same shape
    scatter: np.ndarray  # same, from the differences between neighbouring pixels
    smear: np.ndarray  # variance added to the blur by resampling, (n_orders, n_slices)
    origins: np.ndarray  # cross-dispersion position of the first sample, (n_orders, n_slices)


def checked_image(flat, name: str) -> tuple[int, int]:
    """The shape of a flat, which must be an image of real numbers."""
    if isinstance(flat, (str, os.PathLike)):
        raise TypeError(f"{name} is the name of a file, expected a CCDData or an array: read it")
    data = np.asarray(flat if _is_bare(flat) else flat.data)
    if data.ndim == 0:
        raise TypeError(f"{name} is a {type(flat).__name__}, expected a CCDData or an array")
    if data.ndim != 2:
        raise ValueError(f"{name} has {data.ndim} dimensions, expected an image with 2")
    check_real(data, name)
    return data.shape


def as_rasters(
    flat, dispersion_axis: int, *, lines: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """
    Data and variance with the cross-dispersion along the last axis, NaN where not usable.

    ``lines`` selects dispersion pixels. Single precision is kept: it spares two planes, and what is
    interpolated in them is in double precision again.
    """
    data = flat if _is_bare(flat) else flat.data
    dtype = np.result_type(data, np.float32)
    uncertainty = None if _is_bare(flat) else getattr(flat, "uncertainty", None)
    if uncertainty is None or uncertainty.uncertainty_type == "unknown":
        return as_raster(flat, dispersion_axis, lines=lines, dtype=dtype), None
    with ahead(partial(as_raster, flat, dispersion_axis, lines=lines, dtype=dtype)) as light:
        array = np.array(_turned(uncertainty.array, dispersion_axis, lines), dtype=dtype, order="C")
        variance, raster = variance_array(array, type(uncertainty), out=array), light()
    if np.fmax.reduce(variance, axis=None, initial=0) == np.inf:
        unknown = np.isinf(variance)  # an infinite uncertainty is that of no information
        raster[unknown] = variance[unknown] = np.nan
    return raster, variance


def as_raster(
    flat, dispersion_axis: int, *, lines: np.ndarray | None = None, dtype: np.dtype = float
) -> np.ndarray:
    """The data of `as_rasters`, in double precision unless told otherwise."""
    if isinstance(flat, np.ma.MaskedArray):
        flat = flat.filled(np.nan) if flat.dtype.kind == "f" else flat.astype(float).filled(np.nan)
    data = np.asarray(flat if _is_bare(flat) else flat.data)
    raster = np.array(_turned(data, dispersion_axis, lines), dtype=dtype, order="C")
    raster[~np.isfinite(raster)] = np.nan
    mask = None if _is_bare(flat) else getattr(flat, "mask", None)
    if mask is not None:
        mask = np.broadcast_to(np.asarray(mask, dtype=bool), data.shape)
        raster[_turned(mask, dispersion_axis, lines)] = np.nan
    return raster


def _turned(image: np.ndarray, dispersion_axis: int, lines: np.ndarray | None) -> np.ndarray:
    """An image with the dispersion along the first axis, restricted to the selected lines."""
    if lines is not None:
        image = image.take(lines, axis=dispersion_axis)
    return image if dispersion_axis == 0 else image.T


def _is_bare(flat) -> bool:
    """Whether it is a bare array."""
    return isinstance(flat, np.ndarray) or not hasattr(flat, "data")


def slice_lengths(
    centers: np.ndarray, slice_length: float | None, edges: np.ndarray | None = None
) -> np.ndarray:
    """Cross-dispersion extent of the slices of each order; that of a single one from its edges."""
    if slice_length is not None:
        return np.full(len(centers), float(slice_length))
    if len(centers) > 1:
        return np.maximum(0.75 * sum(_distances_on_both_sides(centers)), 4.0)
    if edges is None:
        raise ValueError(
            "slice_length is needed (in edge_keywords, or --edge slice_length=PIXELS): the order "
            "table has a single order without edges, so it cannot be derived from the order "
            "spacing; twice the width of the order is a good value"
        )
    return np.maximum(2 * finite_median(edges[1] - edges[0]), 4.0)


def search_radii(centers: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """
    How far from its centre the light of each order is looked for, given the extents of the slices.

    Beside the wide gap between two groups, of slices or of fibres, the extent of a slice is no
    guide: it reaches into the others of its group.
    """
    radii = lengths / 6
    if len(centers) > 1:
        radii = np.minimum(radii, _NEAR * np.minimum(*_distances_on_both_sides(centers)))
    return np.maximum(radii, 1)


def _distances_on_both_sides(centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance of each order from its neighbours below and above; the only one counts twice."""
    rank = np.argsort(places_of(centers))
    steps = _distances(centers[rank])
    own = np.argsort(rank)
    return np.append(steps[0], steps)[own], np.append(steps, steps[-1])[own]


def places_of(centers: np.ndarray) -> np.ndarray:
    """
    Typical position of each order relative to the longest one, where both are on the detector.

    The mean position of an order that only crosses a corner would be misleading.

    Parameters
    ----------
    centers : array, shape (n_orders, n_pixels)
        Cross-dispersion position of the order centres; NaN where an order is not defined.

    Returns
    -------
    array, shape (n_orders,)
        In pixels; it ascends with the position of the orders.
    """
    longest = centers[np.isfinite(centers).sum(axis=1).argmax()]
    places = finite_median(centers - longest)
    alone = np.isnan(places)
    if alone.any():
        places[alone] = finite_median(centers[alone]) - finite_median(longest)
    return places


def _distances(centers: np.ndarray) -> np.ndarray:
    """
    Spacing of neighbouring orders, (n_orders - 1,), measured where both are on the detector.

    If two orders are never on the detector together, the spacing of their neighbours is used.
    """
    steps = finite_median(np.diff(centers, axis=0))
    if not np.isfinite(steps).any():
        steps = np.diff(finite_median(centers))
    return bridged(np.abs(steps)[None])[0]


def slice_columns(n_pixels: int, slice_width: int | None, degree: int) -> np.ndarray:
    """Dispersion pixels of each slice, shape (n_slices, slice_width)."""
    if slice_width is None:
        slice_width = np.clip(n_pixels // 100, 5, 25)
        slice_width = max(1, min(slice_width, n_pixels // (4 * (degree + 1))))
    slice_width = min(slice_width, n_pixels)
    n_slices = n_pixels // slice_width
    first = (n_pixels - n_slices * slice_width) // 2
    return first + np.arange(n_slices * slice_width).reshape(n_slices, slice_width)


def check_slices(n_pixels: int, slice_width: int, degree: int, *, n_each: int) -> None:
    """Raise if there are fewer than ``n_each`` slices for each coefficient of a series."""
    n_slices, needed = n_pixels // slice_width, n_each * (degree + 1)
    if n_slices < needed:
        raise ValueError(
            f"{n_pixels} dispersion pixels make {n_slices} slices of {slice_width}, expected at "
            f"least {needed} for a series of degree {degree}: lower slice_width or degree"
        )


def widened(columns: np.ndarray, factor: int, n_pixels: int) -> np.ndarray:
    """Slices around the same pixels, wider by a factor, or less near the end of the detector."""
    extra = (factor - 1) * columns.shape[1] // 2
    room = np.minimum(columns[:, 0], n_pixels - 1 - columns[:, -1])[:, None]
    offsets = np.arange(-extra, columns.shape[1] + extra)
    wide = columns[:, :1] + offsets
    outside = (offsets < -room) | (offsets >= columns.shape[1] + room)
    return np.where(outside, -1, wide)


def extract_slices(raster, variance, centers, pixels, columns, reach) -> Slices:
    """Slices at the given dispersion pixels, extending to ``reach`` on either side."""
    tasks = [
        partial(_slices_of, center, raster, variance, pixels, columns, reach) for center in centers
    ]
    return Slices(*(np.array(parts) for parts in zip(*results_of(tasks, None), strict=True)))


def _slices_of(center, raster, variance, pixels, columns, reach) -> Slices:
    n_samples = 2 * reach + 1
    middle = np.interp(pixels, np.arange(len(center)), center)
    origin = np.rint(middle) - reach
    traces = np.where(columns >= 0, center[columns], np.nan)
    starts = origin[:, None] + np.round(traces - middle[:, None], 3)
    values = _resample(raster, columns, starts, n_samples)
    profile, sigma = _median_and_noise(values)
    scatter = sigma
    if variance is not None:
        scatter = _scatter_of_median(values)
        sigma = _noise_of_median(_resample(variance, columns, starts, n_samples))
    used = np.isfinite(starts)
    fraction = np.where(used, starts - np.floor(starts), 0)
    smear = (fraction * (1 - fraction)).sum(axis=1) / np.maximum(used.sum(axis=1), 1)
    return Slices(profile, sigma, scatter, smear, origin)


def with_response_noise(slices: Slices) -> Slices:
    """
    Slices whose noise includes the pixel response, which the uncertainty of a frame does not.

    It is the scatter of the pixels of bright slices in excess of their noise: the same fraction of
    the light everywhere.
    """
    bright = (slices.profiles > _BRIGHT * slices.noise) & np.isfinite(slices.scatter)
    if not bright.any():
        return slices
    scatter, noise, light = (
        part[bright] for part in (slices.scatter, slices.noise, slices.profiles)
    )
    fraction = np.sqrt(max(np.nanmedian((scatter**2 - noise**2) / light**2), 0))
    return slices._replace(noise=np.hypot(slices.noise, fraction * slices.profiles))


def _resample(raster, columns, starts, n_samples: int) -> np.ndarray:
    """
    Values at ``starts + 0, 1, 2 ...``, interpolated linearly between pixels.

    Shape (n_slices, n_samples, slice_width).
    """
    whole = np.floor(np.nan_to_num(starts, nan=-1e9)).astype(int)
    fraction = (starts - whole)[..., None]
    values = _runs(raster, columns, whole, n_samples + 1)
    here = values[..., :-1]
    between = np.diff(values)
    between *= fraction
    between += here
    exact = fraction[..., 0] == 0  # where the next pixel, which may be bad, has no part in it
    between[exact] = here[exact]
    return between.swapaxes(1, 2)


def _runs(raster, lines, first, length: int) -> np.ndarray:
    """``length`` values from ``first`` on in each of these lines of a raster; NaN outside."""
    n_cross = raster.shape[1]
    inside = (first >= 0) & (first + length <= n_cross)
    values = np.empty((*first.shape, length), raster.dtype)
    if inside.any():
        values[inside] = sliding_window_view(raster, length, axis=1)[lines[inside], first[inside]]
    places = first[~inside][:, None] + np.arange(length)
    exist = (places >= 0) & (places < n_cross)
    found = raster[lines[~inside][:, None], np.where(exist, places, 0)]
    values[~inside] = np.where(exist, found, np.nan)
    return values


def _median_and_noise(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median along the last axis, and its standard deviation from the quartiles."""
    median, ranked, count = ranked_median(values, np.isfinite(values))
    last = np.maximum(count - 1, 0)
    spread = take(ranked, last - last // 4) - take(ranked, last // 4)
    expected = -2 * ndtri((last // 4 + 0.625) / (last + 1.25))  # for normal values, by rank
    spread = spread / np.maximum(expected, 0.1)
    return median, spread * median_noise(count)


def _scatter_of_median(values: np.ndarray) -> np.ndarray:
    """
    Standard deviation of the median along the last axis, from neighbours; NaN if there are none.
    """
    squares = np.diff(values, axis=-1) ** 2 / 2
    known = np.isfinite(squares)
    count = known.sum(axis=-1)
    mean = np.where(known, squares, 0).sum(axis=-1) / np.where(count > 0, count, np.nan)
    return median_noise(count + 1) * np.sqrt(mean)


def _noise_of_median(variances: np.ndarray) -> np.ndarray:
    """Standard deviation of the median along the last axis."""
    usable = np.isfinite(variances)
    count = np.maximum(usable.sum(axis=-1), 1)
    mean = np.where(usable, variances, 0).sum(axis=-1) / count
    return median_noise(count) * np.sqrt(mean)


# ---------------------------------------------------------------------- arrays with gaps


def bridged(values: np.ndarray, *, beyond: bool = True) -> np.ndarray:
    """
    Replace NaN by linear interpolation along the last axis; rows of only NaN are kept.

    With ``beyond``, the outermost values are extended to the ends.
    """
    values, end = values.copy(), None if beyond else np.nan
    rows, places = values.reshape(-1, values.shape[-1]), np.arange(values.shape[-1])
    for k in np.flatnonzero(np.isnan(rows).any(axis=1)):
        known = np.isfinite(rows[k])
        if known.any():
            rows[k, ~known] = np.interp(
                places[~known], places[known], rows[k, known], left=end, right=end
            )
    return values


def take(profiles: np.ndarray, index: np.ndarray) -> np.ndarray:
    return np.take_along_axis(profiles, index[..., None], axis=-1)[..., 0]
