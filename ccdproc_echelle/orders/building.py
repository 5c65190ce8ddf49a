# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Build order tables from polynomials or from positions sampled along the orders."""

import numpy as np
from astropy import units as u
from astropy.table import QTable
from numpy.polynomial import Chebyshev, Polynomial
from numpy.typing import ArrayLike

from ccdproc_echelle._numeric.spread import scatter_about_zero
from ccdproc_echelle._warnings import warn
from ccdproc_echelle.orders.checks import checked_axis, checked_shape, one_row_per_order
from ccdproc_echelle.orders.columns import CURVE_LABELS, CURVES, range_of, set_range
from ccdproc_echelle.orders.curves import evaluate, finite_range, fit_traces, padded

__all__ = ["fitted_edges", "table_from_polynomials", "table_from_traces", "warn_of_low_degree"]

# A polynomial misses a trace if it is off by this many pixels on average over a stretch of it.
_MISSED, _N_STRETCHES = 0.5, 40


def table_from_polynomials(
    order_numbers: ArrayLike,
    coefficients: ArrayLike,
    lower: ArrayLike | None,
    upper: ArrayLike | None,
    pixel_range: ArrayLike | None,
    shape: tuple[int, int] | None,
    dispersion_axis: int,
) -> QTable:
    """Build the table of `EchelleOrderTable.from_polynomials`."""
    numbers = np.atleast_1d(np.asarray(order_numbers))
    shape, axis = checked_shape(shape), checked_axis(dispersion_axis)
    if pixel_range is None:
        if shape is None:
            raise ValueError("pixel_range is needed when the detector shape is unknown")
        pixel_range = (0, shape[axis] - 1)
    ranges = np.broadcast_to(np.asarray(pixel_range, dtype=float), (len(numbers), 2))
    ranges = ranges + (-0.5, 0.5)
    curves = {
        name: _series(name, one_row_per_order(name, powers, numbers), numbers, ranges)
        for name, powers in zip(CURVES, (coefficients, lower, upper), strict=True)
        if powers is not None
    }
    return _table(numbers, ranges, curves, {}, shape, axis)


def _series(name: str, powers: np.ndarray, numbers: np.ndarray, ranges: np.ndarray) -> np.ndarray:
    """Chebyshev coefficients of polynomials, each on the range of its order."""
    usable = np.isfinite(powers).all(axis=1) & np.isfinite(ranges).all(axis=1)
    usable &= ranges[:, 0] < ranges[:, 1]
    if not usable.all():
        raise ValueError(
            f"orders {numbers[~usable].tolist()} have {name} coefficients or a pixel "
            "range that are not finite, or an empty pixel range"
        )
    return np.array([
        padded(Polynomial(row).convert(kind=Chebyshev, domain=domain).coef, len(row))
        for row, domain in zip(powers, ranges, strict=True)
    ])


def table_from_traces(
    order_numbers: ArrayLike,
    centers: ArrayLike,
    lower: ArrayLike | None,
    upper: ArrayLike | None,
    degree: int,
    shape: tuple[int, int] | None,
    dispersion_axis: int,
) -> QTable:
    """Build the table of `EchelleOrderTable.from_traces`."""
    numbers = np.atleast_1d(np.asarray(order_numbers))
    shape, axis = checked_shape(shape), checked_axis(dispersion_axis)
    traces = {
        name: np.ma.filled(np.ma.asarray(one_row_per_order(name, value, numbers)), np.nan)
        for name, value in zip(CURVES, (centers, lower, upper), strict=True)
        if value is not None
    }
    n_pixels = shape[axis] if shape else traces["center"].shape[1]
    for name, trace in traces.items():
        if trace.shape[1] != n_pixels:
            raise ValueError(
                f"{name} traces have {trace.shape[1]} pixels along the dispersion axis, "
                f"expected {n_pixels}"
            )
    ranges = np.array([
        finite_range(number, trace)
        for number, trace in zip(numbers, traces["center"], strict=True)
    ])
    curves, residuals = {}, {}
    for name, trace in traces.items():
        curves[name], residuals[name] = fit_traces(name, numbers, trace, ranges, degree)
    return _table(numbers, ranges, curves, residuals, shape, axis)


def warn_of_low_degree(table: QTable, traces: dict[str, ArrayLike]) -> None:
    """Warn of traces that their series do not follow; position noise alone does not trigger it."""
    numbers, ranges = np.array(table["order"], dtype=int), range_of(table)
    for name, trace in traces.items():
        trace = np.ma.filled(np.ma.asarray(one_row_per_order(name, trace, numbers)), np.nan)
        coefficients = np.atleast_2d(u.Quantity(table[name], u.pix).value)
        fitted = evaluate(coefficients, *ranges.T, np.arange(trace.shape[1]))
        worst = np.array([_systematic(row) for row in trace - fitted])
        # For positions far off any detector, rounding alone exceeds the limit.
        missed = worst > np.maximum(_MISSED, 1e-9 * np.nanmax(np.abs(trace), initial=0))
        if missed.any():
            warn(
                f"in orders {numbers[missed].tolist()} the {CURVE_LABELS[name]} deviates by up to "
                f"{worst.max():.1f} pixels from a series of degree {coefficients.shape[1] - 1}: "
                "use a higher degree, or check the positions"
            )


def _systematic(residuals: np.ndarray) -> float:
    """Largest mean of many neighbouring residuals, if it exceeds what their noise can explain."""
    known = residuals[np.isfinite(residuals)]
    starts = np.linspace(0, len(known), min(_N_STRETCHES, len(known)) + 1).astype(int)
    length = np.diff(starts)
    means = np.abs(np.add.reduceat(known, starts[:-1])) / length
    noise = scatter_about_zero(np.diff(known)) / np.sqrt(2 * length) if len(known) > 1 else 0
    return float(np.max(means * (means > 5 * noise)))


def fitted_edges(table: QTable, valid: np.ndarray, edges: dict[str, ArrayLike], degree: int):
    """
    Fit edges to positions at every dispersion pixel, where these are valid.

    Any record of how previous edges were measured is dropped along with them.
    """
    numbers = np.array(table["order"], dtype=int)
    for name, trace in edges.items():
        trace = one_row_per_order(name, trace, numbers)
        if trace.shape[1] != valid.shape[1]:
            raise ValueError(f"{name} has {trace.shape[1]} pixels, expected {valid.shape[1]}")
        trace = np.where(valid, trace, np.nan)
        coefficients, rms = fit_traces(name, numbers, trace, range_of(table), degree)
        table[name], table[f"{name}_rms"] = coefficients * u.pix, rms * u.pix
    table.remove_columns([name for name in table.colnames if "_measured" in name])
    return table


def _table(numbers, ranges, curves, residuals, shape, axis) -> QTable:
    table = QTable()
    table["order"] = numbers
    set_range(table, "pixel", ranges)
    for name, coefficients in curves.items():
        table[name] = coefficients * u.pix
    for name, rms in residuals.items():
        table[f"{name}_rms"] = rms * u.pix
    table.meta["shape"], table.meta["dispersion_axis"] = shape, axis
    return table
