# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Profiles of orders: the light resampled at fixed offsets from the order centres.

The frame is straightened in about forty slices along the dispersion axis.
"""

from typing import NamedTuple

import numpy as np

from ccdproc_echelle._numeric.medians import finite_median, median_noise
from ccdproc_echelle._numeric.spread import MAD_TO_SIGMA
from ccdproc_echelle.orders.bad_rows import bridge_bad_rows
from ccdproc_echelle.orders.borders import without_dark_borders
from ccdproc_echelle.orders.slices import as_raster, checked_image, places_of
from ccdproc_echelle.orders.table import EchelleOrderTable, checked_orders

__all__ = [
    "REACH",
    "ProfileSlices",
    "medians_of",
    "profile_noise",
    "profiles_at",
    "raster_and_slices",
    "samples_at",
    "with_neighbours",
]

_N_SLICES = 40

#: A profile is fitted out to this distance from its order centre, in units of the order spacing:
#: into the nearer half of both neighbours, whose light spills into narrow gaps.
REACH = 0.75


class ProfileSlices(NamedTuple):
    """
    Where to look for the orders, sorted by position.

    ``columns`` has shape (n_slices, width). ``center`` (n_orders, n_slices, width) is the origin of
    the offsets, ``spacing`` (n_orders, n_slices) the distance to the nearest order, and ``boxes``
    (2, n_orders, 3, n_slices) the middle and width, as offsets, of the order below, the order
    itself and the one above; NaN if there is none or the table has no edges.
    """

    columns: np.ndarray
    center: np.ndarray
    spacing: np.ndarray
    boxes: np.ndarray

    @property
    def offsets(self) -> np.ndarray:
        reach = int(np.ceil(REACH * np.nanmax(self.spacing)))
        return np.arange(-reach, reach + 1.0)

    def thinned(self) -> "ProfileSlices":
        """The slices with every second column only."""
        return self._replace(columns=self.columns[:, ::2], center=self.center[..., ::2])


def raster_and_slices(
    image, orders: EchelleOrderTable, name: str
) -> tuple[np.ndarray, ProfileSlices]:
    """The slice columns with the cross-dispersion along the rows, and the slices in them."""
    slices = _slices(checked_orders(orders).on_detector(checked_image(image, name)))
    columns = slices.columns.ravel()
    raster = as_raster(image, orders.dispersion_axis, lines=columns)
    centers, here = orders.center(columns), np.arange(len(columns)).reshape(slices.columns.shape)
    step = orders.shape[orders.dispersion_axis] / len(here)
    bridge_bad_rows(raster, None, here, step, centers)
    raster = without_dark_borders(raster, here, centers[:, here[:, 0]][len(centers) // 2])
    return raster.T, slices._replace(columns=here)


def _slices(orders: EchelleOrderTable) -> ProfileSlices:
    centers = orders.center()
    n_pixels = centers.shape[1]
    width = min(n_pixels, int(np.clip(n_pixels // 100, 5, 11)))
    n_slices = min(_N_SLICES, n_pixels // width)
    middles = (np.arange(n_slices) + 0.5) * n_pixels / n_slices
    columns = (middles[:, None] - width / 2).astype(int) + np.arange(width)

    rank = np.argsort(places_of(centers))
    center = centers[rank][:, columns]
    origin = center[..., width // 2]
    middle, extent = origin, np.full(origin.shape, np.nan)
    if orders.has_edges:
        lower, upper = (edge[rank][:, columns[:, width // 2]]
                        for edge in (orders.lower(), orders.upper()))
        middle, extent = 0.5 * (lower + upper), upper - lower
    nothing = np.full((1, n_slices), np.nan)
    steps = np.vstack([nothing, np.diff(origin, axis=0), nothing])
    spacing = np.fmin(steps[:-1], steps[1:])
    spacing[~(spacing > 0)] = np.nan  # orders that touch or cross carry no information there
    if len(orders) == 1:
        if not orders.has_edges:
            raise ValueError("the order table has a single order and no edges, expected more")
        spacing = 2 * extent
    middles, extents = (with_neighbours(values) for values in (middle, extent))
    return ProfileSlices(columns, center, spacing, np.stack([middles - origin[:, None], extents]))


def with_neighbours(values: np.ndarray) -> np.ndarray:
    """(n_orders, n_slices) to (n_orders, 3, n_slices): the order below, itself, the one above."""
    padded = np.pad(values, ((1, 1), (0, 0)), constant_values=np.nan)
    return np.stack([padded[:-2], values, padded[2:]], axis=1)


def profiles_at(raster: np.ndarray, slices: ProfileSlices, shift: float) -> np.ndarray:
    """
    Light at the offsets from the shifted order centres, shape (n_orders, n_slices, n_offsets).

    The median over the columns of a slice ignores cosmic rays.
    """
    return medians_of(samples_at(raster, slices, shift))


def medians_of(samples: np.ndarray) -> np.ndarray:
    """Medians of the samples of each profile."""
    return finite_median(np.moveaxis(samples, 2, -1))


def samples_at(raster: np.ndarray, slices: ProfileSlices, shift: float) -> np.ndarray:
    """Samples of which profiles are the medians, (n_orders, n_slices, width, n_offsets)."""
    offsets, raster = slices.offsets, raster.T
    samples = np.empty((*slices.center.shape, len(offsets)), dtype=np.result_type(raster, float))
    for of_order, center in zip(samples, slices.center, strict=True):  # what fits into the cache
        of_order[:] = _interpolated(raster, slices.columns, (center + shift)[..., None] + offsets)
    return samples


def _interpolated(raster: np.ndarray, lines: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Values at positions (..., width, n) in lines (..., width) of a raster; NaN outside."""
    below = np.floor(np.nan_to_num(positions, nan=-9))
    outside = (below < 0) | (below >= raster.shape[1] - 1)
    below[outside] = 0
    here = lines[..., None] * raster.shape[1] + below.astype(int)
    values = raster.take(here)
    values += (positions - below) * (raster.take(here + 1) - values)
    values[outside] = np.nan
    return values


def profile_noise(samples: np.ndarray) -> np.ndarray:
    """Noise of a sample of each profile, (n_orders, n_slices), from column to column."""
    steps = np.abs(np.diff(samples, axis=2)).reshape(*samples.shape[:2], -1)
    of_one = MAD_TO_SIGMA * finite_median(steps) / np.sqrt(2)
    return of_one * median_noise(np.array(samples.shape[2]))
