# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Pixels used to measure scattered light: between the orders, and on the orders for brightness."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ccdproc_echelle._numeric.arguments import expect, is_finite
from ccdproc_echelle._numeric.medians import finite_median
from ccdproc_echelle.orders import EchelleOrderTable

__all__ = [
    "LEAST_PIXELS", "OrderPixels", "Sample", "are_fibres", "checked_margin", "gaps", "known_edges",
    "numbers_and_edges", "profiles_of",
]

# Fewer pixels than this between the orders do not constrain a surface.
LEAST_PIXELS = 100

# This many randomly drawn pixels determine a smooth surface far better than the noise of a pixel.
_MOST_PIXELS = 30_000

# Number of columns combined to measure the brightness of an order; every n-th of them is used.
_STRETCH, _EVERY = 16, 2

# Wider orders are sampled with every second row, or fewer, to about this number of rows.
_MOST_ROWS = 24


def are_fibres(orders: EchelleOrderTable) -> bool:
    """Whether the edges were measured as those of fibres."""
    return "fibre" in profiles_of(orders)


def profiles_of(orders: EchelleOrderTable) -> set[str]:
    """The profiles as which the edges were measured, if that is known."""
    return set(orders.table["profile"]) if "profile" in orders.table.colnames else set()


def checked_margin(margin: float | None, orders: EchelleOrderTable) -> float:
    """The margin in pixels, by default smaller for fibres: there is little light at their edges."""
    if margin is None:
        return 0.5 if are_fibres(orders) else 1.0
    good = is_finite(margin, least=0)
    expect(good, "margin", margin, "a number of pixels of at least 0")
    return margin


def known_edges(orders: EchelleOrderTable) -> tuple[np.ndarray, np.ndarray]:
    """
    Edges, sorted from the lowest order up, extended in a straight line beyond their valid range.

    It is not known whether there is light beyond the range, so these pixels are better not used.
    """
    return numbers_and_edges(orders)[1:]


def numbers_and_edges(orders: EchelleOrderTable) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Order numbers of the orders with `known_edges`, and these edges."""
    edges = np.stack([orders.lower(), orders.upper()])
    columns = np.arange(edges.shape[2])
    known = np.isfinite(edges).all(axis=0)
    some = known.any(axis=1)
    edges, known = edges[:, some], known[some]
    for one_order, valid in zip(edges.swapaxes(0, 1), known, strict=True):
        for edge in one_order:
            edge[:] = np.interp(columns, columns[valid], edge[valid])
    from_below = np.argsort(edges.mean(axis=(0, 2)))
    return orders.order_numbers[some][from_below], *edges[:, from_below]


def gaps(
    lower: np.ndarray, upper: np.ndarray, n_rows: int, margin: float
) -> Iterator[np.ndarray]:
    """Yield the pixels, as flat indices, in each gap between orders, lowest gap first."""
    floor = np.maximum.accumulate(upper, axis=0)  # where orders overlap, the highest edge counts
    bottom = np.vstack([np.full((1, lower.shape[1]), -1.0), floor + margin])
    top = np.vstack([lower - margin, np.full((1, lower.shape[1]), float(n_rows))])
    for low, high in zip(bottom, top, strict=True):
        first = int(np.clip(np.floor(low.min()), 0, n_rows))
        last = int(np.clip(np.ceil(high.max()) + 1, first, n_rows))
        positions = np.arange(first, last)[:, None]
        yield np.flatnonzero((positions > low) & (positions < high)) + first * len(low)


class Sample(NamedTuple):
    """Inter-order pixels with the adjacent order on each side and the distance to its edge."""

    rows: np.ndarray
    columns: np.ndarray
    gap: np.ndarray  # ascending
    order: np.ndarray  # (2, n): of the order below and above; arbitrary for infinite distances
    distance: np.ndarray  # (2, n)

    @classmethod
    def drawn(cls, usable: np.ndarray, lower, upper, margin: float) -> "Sample":
        """Usable pixels of all gaps; a random subset if there are many."""
        n_rows, n_columns = usable.shape
        found = [
            pixels[usable.take(pixels)].astype(np.int32)
            for pixels in gaps(lower, upper, n_rows, margin)
        ]
        ends = np.cumsum([len(pixels) for pixels in found])
        if ends[-1] < LEAST_PIXELS:
            raise ValueError(
                f"{ends[-1]} usable pixels are further than {margin} pixels from all orders, "
                f"expected at least {LEAST_PIXELS} to measure scattered light"
            )
        chosen = np.arange(ends[-1])
        if ends[-1] > _MOST_PIXELS:
            rng = np.random.default_rng(0)
            chosen = np.sort(rng.choice(ends[-1], _MOST_PIXELS, replace=False, shuffle=False))
        rows, columns = np.divmod(np.concatenate(found)[chosen].astype(np.intp), n_columns)
        gap = np.searchsorted(ends, chosen, side="right")
        below, above = np.maximum(gap - 1, 0), np.minimum(gap, len(lower) - 1)
        floor = np.maximum.accumulate(upper, axis=0)
        distance = np.stack([
            np.where(gap > 0, rows - floor[below, columns], np.inf),
            np.where(gap < len(lower), lower[above, columns] - rows, np.inf),
        ])
        return cls(rows, columns, gap, np.stack([below, above]), distance)

    def take(self, index: np.ndarray) -> "Sample":
        """Select some of the pixels."""
        return Sample(*(part[..., index] for part in self))


class OrderPixels:
    """
    Pixels used to measure the brightness of the orders, in stretches.

    They cover the full width of the order, since the light at any one place across a fibre depends
    on where it falls on the pixels.

    Attributes
    ----------
    rows, columns : int arrays, shape (n_orders, n_stretches, n_pixels)
        The pixels of each stretch.
    exist : bool array, of the same shape
        False where a stretch extends beyond the lit part of the detector, and outside the order.
    middle_rows : array, shape (n_orders, n_stretches)
        Row of the order in each stretch.
    middle_columns : array, shape (n_stretches,)
        Column of each stretch.
    """

    def __init__(
        self, lower: np.ndarray, upper: np.ndarray, n_rows: int,
        lit: tuple[tuple[int, int], tuple[int, int]],
    ):
        n_columns, (lit_rows, lit_columns) = lower.shape[1], lit
        starts = np.arange(0, n_columns, _STRETCH)
        self.n_columns = n_columns
        self.middle_columns = np.minimum(starts + _STRETCH // 2, n_columns - 1)
        middle = 0.5 * (lower + upper)
        between = np.interp(np.arange(n_columns), self.middle_columns, np.arange(len(starts)))
        self._between = between.astype(np.intp), between % 1
        self.middle_rows = np.clip(middle[:, self.middle_columns], 0, n_rows - 1)
        columns = starts[:, None] + np.arange(0, _STRETCH, _EVERY)
        inside = np.minimum(columns, n_columns - 1)
        rows, self._parts = _rows_across(lower[:, inside], upper[:, inside])
        exist = _within(rows, lit_rows) & _within(columns, lit_columns)[..., None]
        exist &= self._parts > 0
        columns = np.broadcast_to(inside.astype(np.int32)[..., None], rows.shape)
        self.rows, self.columns, self.exist = (
            part.reshape(len(lower), len(starts), -1)
            for part in (np.clip(rows, 0, n_rows - 1), columns, exist)
        )

    def brightness(self, light: np.ndarray) -> np.ndarray:
        """
        Mean across the order, and median of the columns of each stretch, (n_orders, n_stretches).

        ``light`` is that of the pixels, NaN where unknown. Stretches without any light are
        interpolated between their neighbours; orders without any light are dark.
        """
        light = light.reshape(self._parts.shape)
        parts = np.where(np.isfinite(light), self._parts, 0)
        total = parts.sum(axis=-1)
        light = (parts * np.nan_to_num(light)).sum(axis=-1)
        medians = finite_median(np.divide(light, total, out=np.full_like(total, np.nan),
                                          where=total > 0))
        for i in np.flatnonzero(np.isnan(medians).any(axis=1)):
            row, known = medians[i], np.isfinite(medians[i])
            row[:] = (
                np.interp(self.middle_columns, self.middle_columns[known], row[known])
                if known.any() else 0
            )
        return medians

    def along_orders(self, brightness: np.ndarray) -> np.ndarray:
        """Brightness in each column, (n_orders, n_columns)."""
        left, part = self._between
        below = brightness[:, left]
        return below + part * (brightness[:, np.minimum(left + 1, brightness.shape[1] - 1)] - below)


def _within(positions: np.ndarray, ends: tuple[int, int]) -> np.ndarray:
    return (positions >= ends[0]) & (positions < ends[1])


def _rows_across(lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows between two edges, along a new last axis, and the part of each that is between them."""
    width = float((upper - lower).max())
    step = int(np.ceil(width / _MOST_ROWS)) or 1
    steps = np.arange(0, width + 1, step, dtype=np.int32)
    rows = np.rint(lower).astype(np.int32)[..., None] + steps
    parts = np.minimum(rows + 0.5, upper[..., None]) - np.maximum(rows - 0.5, lower[..., None])
    return rows, np.clip(parts, 0, 1).astype(np.float32)
