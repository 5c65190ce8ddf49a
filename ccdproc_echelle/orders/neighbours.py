# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Warn where neighbouring orders are too unlike each other.

Width and spacing change little from one order to the next. Where they do not, something else was
traced: a secondary band beside an order, such as a second fibre, or an order and its band as one.
"""

import numpy as np

from ccdproc_echelle._warnings import warn

__all__ = ["WIDTH_TOLERANCE", "warn_of_uneven_spacing", "warn_of_uneven_widths"]

# The width of an order lies within this factor of the width its neighbours suggest.
WIDTH_TOLERANCE = 1.6

# Largest factor by which width and spacing change from one order to the next. Even short and
# partial orders change by less than 1.10 and 1.17.
_WIDTH_STEP, _SPACING_STEP = 1.2, 1.35

# The same where the spacing changes in the same direction from the order before, or to the one
# after: those of the lowest orders do so by up to 1.49, as in GNIRS. Bands between orders make it
# larger and smaller in turn.
_STEADY_STEP = 1.6

# Widths of less than this difference, in pixels, may scatter by as much.
_LEAST_DIFFERENCE = 1.0

_ADVICE = (
    "bands beside the orders may have been traced, alone or as part of an order; inspect the table "
    "with plot_orders, exclude such bands with min_width, n_orders, region or a mask, or drop "
    "their rows"
)


def warn_of_uneven_widths(orders: list[dict], rows_of) -> None:
    """
    Warn of orders whose widths differ from that of the next one.

    Parameters
    ----------
    orders : list of dict
        Orders in the sequence of their positions; ``seen_width`` is NaN where it was not measured.
    rows_of : callable
        Detector positions of labels in given sections.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If there are any.
    """
    orders = [order for order in orders if np.isfinite(order["seen_width"])]
    widths = np.array([order["seen_width"] for order in orders])
    apart = np.abs(np.diff(widths)) > _LEAST_DIFFERENCE
    uneven = np.flatnonzero(apart & _steps(widths, _WIDTH_STEP))
    if len(uneven):
        unlike = [orders[k] for k in np.union1d(uneven, uneven + 1)]
        rows = [np.median(rows_of(o["centers"], o["sections"])) for o in unlike]
        warn(
            f"neighbouring orders differ in width: at positions {_rounded(rows)} they are "
            f"{_rounded([order['seen_width'] for order in unlike])} pixels wide; {_ADVICE}"
        )


def warn_of_uneven_spacing(spacings: np.ndarray, numbers: np.ndarray) -> None:
    """
    Warn of orders that are much closer to one neighbour than to the other.

    Parameters
    ----------
    spacings : array, shape (n_orders - 1,)
        Distances between neighbours, per order number.
    numbers : int array, shape (n_orders,)
        Order numbers.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If there are any.
    """
    rising = np.sign(np.diff(spacings)) * ~_steps(spacings, _STEADY_STEP)
    rising = np.pad(rising, 1)
    steady = (rising[1:-1] == rising[:-2]) | (rising[1:-1] == rising[2:])
    uneven = np.flatnonzero(_steps(spacings, np.where(steady, _STEADY_STEP, _SPACING_STEP)))
    if len(uneven):
        warn(
            f"orders {numbers[uneven + 1].tolist()} are much closer to one neighbour than to the "
            f"other: an order may be missing, or {_ADVICE}"
        )


def _steps(values: np.ndarray, factor: float | np.ndarray) -> np.ndarray:
    """Where values change by more than a factor, or sign, (n_values - 1,); not at NaN."""
    logs = np.log(np.maximum(values, np.finfo(float).tiny))  # traces that cross are too close
    return np.abs(np.diff(logs)) > np.log(factor)


def _rounded(values: list[float]) -> list[int]:
    return np.rint(values).astype(int).tolist()
