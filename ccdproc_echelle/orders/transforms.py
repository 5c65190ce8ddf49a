# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Transform order tables for frames that are shifted, binned, cropped, flipped or transposed."""

from collections.abc import Sequence

import numpy as np
from astropy import units as u
from astropy.table import QTable

from ccdproc_echelle._numeric.medians import finite_median
from ccdproc_echelle._warnings import warn
from ccdproc_echelle.orders.checks import checked_shape
from ccdproc_echelle.orders.columns import (
    coefficients_of,
    copied,
    curves_in,
    range_of,
    ranges_in,
    set_range,
)
from ccdproc_echelle.orders.curves import ROUNDING, evaluate, rescaled
from ccdproc_echelle.orders.slices import places_of

__all__ = ["affine", "cropped", "flipped", "on_detector", "rebinned", "transposed"]

# Orders closer than this, in pixels, are considered the same order.
_SAME = 0.5


def on_detector(table: QTable, shape: tuple[int, int]) -> QTable:
    """The table for frames of the given shape; raises if it contradicts the table."""
    known, axis = table.meta["shape"], table.meta["dispersion_axis"]
    if known not in (None, shape):
        raise ValueError(
            f"the order table is for a detector of shape {known}, the frame has {shape}"
        )
    pixels = np.arange(shape[axis], dtype=float)[None]
    centers = evaluate(coefficients_of(table, "center"), *range_of(table).T, pixels)
    if not ((centers >= -0.5) & (centers <= shape[1 - axis] - 0.5)).any():
        raise ValueError(f"no order centre lies on a detector of shape {shape}")
    _check_apart(table, centers)
    if known is not None:
        return table
    last = range_of(table).max() - 0.5
    if last > shape[axis] - 1 + ROUNDING:
        warn(
            f"orders run to dispersion pixel {last:.0f}, but a detector of shape {shape} ends "
            f"at {shape[axis] - 1}; for a binned frame use rebinned() first"
        )
    table = copied(table)
    table.meta["shape"] = shape
    return table


def _check_apart(table: QTable, centers: np.ndarray) -> None:
    """Raise if an order is in the table twice, under two numbers."""
    rank = np.argsort(places_of(centers))
    apart = finite_median(np.abs(np.diff(centers[rank], axis=0)))
    twice = np.flatnonzero(apart < _SAME)
    if len(twice):
        pair = rank[twice[0] : twice[0] + 2]
        numbers = sorted(np.array(table["order"])[pair].tolist())
        shared = np.flatnonzero(np.isfinite(centers[pair]).all(axis=0))
        raise ValueError(
            f"in the order table, orders {numbers} have the same centre at dispersion pixels "
            f"{shared[0]} to {shared[-1]}, expected different orders: remove one of them, or if "
            "they are parts of one order, let the ranges of pixels not overlap"
        )


def affine(
    table: QTable,
    cross: tuple[float, float],
    dispersion: tuple[float, float],
    shape: tuple[int, int] | None,
) -> QTable:
    """The table after ``position -> factor * position + offset`` along both axes."""
    table = copied(table)
    factor, offset = cross
    for name in curves_in(table):
        coefficients = coefficients_of(table, name) * factor
        coefficients[:, 0] += offset
        table[name] = coefficients * u.pix
        if f"{name}_rms" in table.colnames:
            table[f"{name}_rms"] = table[f"{name}_rms"] * factor
    for name in ranges_in(table):
        set_range(table, name, dispersion[0] * range_of(table, name) + dispersion[1])
    table.meta["shape"] = shape
    return table if shape is None else _trimmed(table)


def rebinned(table: QTable, factors: np.ndarray) -> QTable:
    """The table after combining this many (rows, columns) into one."""
    axis = table.meta["dispersion_axis"]
    along, across = factors[axis], factors[1 - axis]
    return affine(
        table,
        cross=(1 / across, 0.5 / across - 0.5),
        dispersion=(1 / along, 0.5 / along - 0.5),
        shape=_binned_shape(table.meta["shape"], factors),
    )


def _binned_shape(shape: tuple[int, int] | None, factors: np.ndarray) -> tuple[int, int] | None:
    """Shape of the binned detector, counting whole pixels only."""
    if shape is None:
        return None
    return checked_shape(
        int(n / f + ROUNDING) for n, f in zip(shape, factors.tolist(), strict=True)
    )


def cropped(table: QTable, slices: tuple[slice, slice]) -> QTable:
    """The table for a section of the detector, whose shape must be known."""
    shape, axis = table.meta["shape"], table.meta["dispersion_axis"]
    kinds = [type(s) for s in slices] if isinstance(slices, Sequence) else []
    if kinds != [slice, slice]:
        raise TypeError(
            f"slices is {slices!r}, expected a slice of rows and one of columns, such as "
            "np.s_[10:90, :]"
        )
    bounds = [s.indices(n) for s, n in zip(slices, shape, strict=True)]
    if any(step != 1 or stop <= start for start, stop, step in bounds):
        raise ValueError(f"slices are {slices}, expected two that are not empty, with step 1")
    starts = [start for start, _, _ in bounds]
    return affine(
        table,
        cross=(1.0, -starts[1 - axis]),
        dispersion=(1.0, -starts[axis]),
        shape=tuple(stop - start for start, stop, _ in bounds),
    )


def transposed(table: QTable) -> QTable:
    """The table for the transposed image."""
    table = copied(table)
    table.meta["shape"] = table.meta["shape"] and table.meta["shape"][::-1]
    table.meta["dispersion_axis"] = 1 - table.meta["dispersion_axis"]
    return table


def flipped(table: QTable, axis: int) -> QTable:
    """The table for the image flipped along one axis of the detector, whose shape must be known."""
    last = table.meta["shape"][axis] - 1
    table = copied(table)
    if axis == table.meta["dispersion_axis"]:
        for name in ranges_in(table):
            set_range(table, name, last - range_of(table, name)[:, ::-1])
        for name in curves_in(table):
            table[name][:, 1::2] *= -1  # odd Chebyshev polynomials are odd functions
        return table
    for name in curves_in(table):
        table[name] *= -1
        table[name][:, 0] += last * u.pix
    return _with_edges_swapped(table)


def _with_edges_swapped(table: QTable) -> QTable:
    """The table with all columns of the lower edge renamed to the upper edge and vice versa."""
    other = {"lower": "upper", "upper": "lower"}
    names = []
    for name in table.colnames:
        edge, underscore, rest = name.partition("_")
        swapped = other.get(edge, edge) + underscore + rest
        names.append(swapped if swapped in table.colnames else name)
    return QTable([table[name] for name in names], names=table.colnames, meta=table.meta)


def _trimmed(table: QTable) -> QTable:
    """Cut all ranges to the detector and drop orders that do not touch it."""
    shape, axis = table.meta["shape"], table.meta["dispersion_axis"]
    n_cross, n_pixels = shape[1 - axis], shape[axis]
    old = range_of(table)
    new = np.clip(old, -0.5, n_pixels - 0.5)
    keep = new[:, 0] < new[:, 1]
    outer = ("lower", "upper") if "lower" in table.colnames else ("center", "center")
    low, high = (
        evaluate(coefficients_of(table, name), *old.T, np.arange(n_pixels, dtype=float)[None])
        for name in outer
    )
    keep &= ((high > -0.5) & (low < n_cross - 0.5)).any(axis=1)
    if not keep.any():
        raise ValueError(f"no order is left on a detector of shape {shape}")
    for name in curves_in(table):
        table[name] = np.array([
            row if np.array_equal(a, b) or not kept else rescaled(row, a, b)
            for row, a, b, kept in zip(coefficients_of(table, name), old, new, keep, strict=True)
        ]) * u.pix
    for name in ranges_in(table):
        set_range(table, name, _overlap(range_of(table, name), new))
    return table[keep]


def _overlap(ranges: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """The part of each range, (n_orders, 2), within the limits of its row; NaN if there is none."""
    low, high = limits[:, :1], limits[:, 1:]
    apart = (ranges[:, 1:] < low) | (ranges[:, :1] > high)
    return np.where(apart, np.nan, np.clip(ranges, low, high))
