# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Checks that every order table must pass: its shape, axis and columns are consistent."""

import numpy as np
from astropy.table import QTable
from numpy.typing import ArrayLike

from ccdproc_echelle._numeric.arguments import expect, is_finite
from ccdproc_echelle.orders.columns import coefficients_of, curves_in, range_of
from ccdproc_echelle.orders.curves import evaluate

__all__ = [
    "check_columns", "check_orders", "check_window", "checked_axis", "checked_shape",
    "one_row_per_order",
]


def check_columns(table: QTable) -> None:
    """Raise if a required column is missing."""
    for name in ("order", "pixel_min", "pixel_max", "center"):
        if name not in table.colnames:
            raise ValueError(f"order table has no column {name!r}; found {table.colnames}")
    if ("lower" in table.colnames) != ("upper" in table.colnames):
        raise ValueError("order table has one edge; expected both lower and upper, or neither")


def check_orders(table: QTable) -> None:
    """Raise if order numbers, coefficients or ranges are invalid."""
    _check_numbers(table)
    _check_coefficients(table)


def _check_numbers(table: QTable) -> None:
    given = np.asarray(table["order"])
    if len(given) == 0:
        raise ValueError("order table is empty; expected at least one order")
    try:
        with np.errstate(invalid="ignore"):
            numbers = given.astype(int)
    except (TypeError, ValueError, OverflowError):
        numbers = None
    if numbers is None or given.dtype.kind in "SU" or (numbers != given).any():
        raise ValueError(f"order numbers are {given.tolist()}, expected integers")
    if len(set(numbers.tolist())) != len(numbers):
        raise ValueError(f"order numbers must be unique; found {numbers.tolist()}")
    if 0 in numbers:
        raise ValueError("order number 0 is reserved for the inter-order area")


def _check_coefficients(table: QTable) -> None:
    for name in curves_in(table):
        if table[name].ndim != 2:
            raise ValueError(
                f"column {name!r} has shape {table[name].shape}, expected one row of coefficients "
                "per order"
            )
    low, high = range_of(table).T
    coefficients = np.hstack([coefficients_of(table, name) for name in curves_in(table)])
    bad = ~(np.isfinite(coefficients).all(axis=1) & np.isfinite(low) & np.isfinite(high))
    bad |= ~(low < high)
    if "lower" in table.colnames and not bad.any():
        middle = 0.5 * (low + high)[:, None]
        lower, upper = (
            evaluate(coefficients_of(table, name), low, high, middle)[:, 0]
            for name in ("lower", "upper")
        )
        bad |= ~(lower < upper)
    if bad.any():
        numbers = np.asarray(table["order"])[bad].tolist()
        raise ValueError(
            f"orders {numbers} have coefficients or a pixel range that are not "
            "finite, an empty pixel range, or an upper edge not above the lower edge"
        )


def checked_shape(shape) -> tuple[int, int] | None:
    if shape is None:
        return None
    shape = tuple(shape)
    if len(shape) != 2 or any(int(n) != n or n < 1 for n in shape):
        raise ValueError(f"shape is {shape}, expected two positive integers (rows, columns)")
    return int(shape[0]), int(shape[1])


def checked_axis(axis) -> int:
    if isinstance(axis, bool) or axis not in (0, 1):
        raise ValueError(
            f"dispersion_axis is {axis!r}, expected 1 (orders along rows) or 0 (along columns)"
        )
    return int(axis)


def check_window(window: float) -> None:
    """
    Check a window on the order centres.

    Parameters
    ----------
    window : float
        Its full width in pixels.

    Raises
    ------
    ValueError
        If it is not a positive, finite number.
    """
    expect(is_finite(window, above=0), "window", window, "a positive number of pixels")


def one_row_per_order(name: str, values: ArrayLike, numbers: np.ndarray) -> np.ndarray:
    try:
        values = np.ma.asanyarray(values).astype(float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is not a table of numbers with rows of one length") from error
    if values.ndim != 2 or len(values) != len(numbers):
        raise ValueError(
            f"{name} has shape {values.shape}, expected one row for each of {len(numbers)} orders"
        )
    if len(numbers) == 0:
        raise ValueError("order_numbers is empty; expected at least one order")
    return values
