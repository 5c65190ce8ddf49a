# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Order tables of soxspipe [1]_, the pipeline of SOXS and X-shooter.

There are two forms. The CSV described in its documentation has one row per order with powers of the
pixel::

    order,degy,CENT_c0,CENT_c1,CENT_c2,CENT_c3

and in early releases also ``edgeup_c0``..., ``edgelow_c0``..., ``ymin`` and ``ymax``. The FITS file
written by current releases holds a single polynomial in order number and pixel for the whole
detector. HDU 1 has one row with the degrees ``degorder_cent`` and ``degy_cent`` and the
coefficients ``cent_ij`` of ``order**i * pixel**j``, and likewise for the edges, as
``degorder_edgeup``, ``degy_edgeup``, ``edgeup_cij`` and ``degorder_edgelow``... HDU 2 has one row
per order with ``order``, ``ymin`` and ``ymax``.

``degy`` means that positions x are a function of y: the orders run along columns
(``dispersion_axis=0``); ``degx`` means the opposite. The documentation does not state whether
pixels count from 0 or 1; the code uses them as array indices, hence from 0, and treats ``ymin`` to
``ymax`` as a half-open range: ``ymax`` is one past the last pixel. Pixels are those of the unbinned
detector, whose shape is not in the file.

References
----------
.. [1] Young, D. R. et al., soxspipe, https://soxspipe.readthedocs.io (page "Order Table"; the FITS
   form as read and written by release 0.17)
"""

import math
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.table import Table
from numpy.polynomial import Chebyshev, Polynomial
from numpy.polynomial.chebyshev import chebvander2d
from numpy.polynomial.polynomial import polyvander

from ccdproc_echelle._warnings import warn
from ccdproc_echelle.frames import may_be_fits
from ccdproc_echelle.orders.columns import CURVE_LABELS
from ccdproc_echelle.orders.formats._rows import csv_columns, csv_rows, integer, number
from ccdproc_echelle.orders.registry import register_format
from ccdproc_echelle.orders.table import EchelleOrderTable

__all__ = ["identify", "read", "write"]

# Names in the file, with the image axis and the curves they stand for.
_AXES = {"y": 0, "x": 1}
_CURVES = {"cent": "center", "edgelow": "lower", "edgeup": "upper"}

# Largest deviation, in pixels, that causes no warning, and largest one that is accepted at all.
_TOLERANCE = 1e-3
_LIMIT = 0.5

# Beyond this degree the column names, with one digit per power, would be ambiguous.
_HIGHEST_DEGREE = 9

# Number of positions per order in the fit: several times the highest degree.
_N_SAMPLES = 64

# A range that ends on a pixel must still contain it after arithmetic.
_ROUNDING = 1e-6


def identify(path: Path) -> bool:
    """Whether the file has the columns of a soxspipe order table, as FITS or as CSV."""
    if may_be_fits(path):
        return "degorder_cent" in _first_table_columns(path)
    return csv_columns(path) >= {"order", "cent_c0"}


def read(path: Path, shape: tuple[int, int] | None, dispersion_axis: int | None):
    """
    Read a soxspipe order table, FITS or CSV.

    Parameters
    ----------
    path : `pathlib.Path`
        The file.
    shape : tuple of int, optional
        Rows and columns of the unbinned detector, which neither form contains. The CSV form needs
        them for the range of pixels, unless it has ``ymin`` and ``ymax``.
    dispersion_axis : int, optional
        Not needed. If given, must agree with the file.

    Returns
    -------
    `EchelleOrderTable`

    Raises
    ------
    ValueError
        If a column is missing or holds anything but numbers, or the pixel range is unknown.
    """
    return _read_fits(path) if may_be_fits(path) else _read_csv(path, shape)


def write(orders: EchelleOrderTable, path: Path) -> None:
    """
    Write a soxspipe order table as FITS.

    The curves of all orders become one polynomial in order number and pixel for each of centre,
    lower edge and upper edge. The pixel degree is that of the table; the order degree is the
    smallest that reproduces every curve to within a thousandth of a pixel. The fit is made in a
    scaled Chebyshev basis and then converted to powers; its accuracy is judged by the positions
    computed from the powers. The profile width ``std_ij`` is not part of an order table and is not
    written; soxspipe needs it only for frames that are binned along the dispersion axis.

    Parameters
    ----------
    orders : `EchelleOrderTable`
        The orders to write.
    path : `pathlib.Path`
        The file to write.

    Raises
    ------
    ValueError
        If an order covers no whole pixel, or a single polynomial misses an order by more than half
        a pixel. A smaller deviation, above a thousandth of a pixel, causes a warning.
    """
    letter, other = ("y", "x") if orders.dispersion_axis == 0 else ("x", "y")
    ranges = _whole_pixels(orders)
    columns = {}
    for curve, name in _CURVES.items():
        if name == "center" or orders.has_edges:
            columns |= _polynomial_columns(curve, letter, _one_polynomial(orders, name, ranges))
    centers = orders.center(np.arange(ranges.min(), ranges.max()))
    extent = {
        "order": orders.order_numbers,
        f"{letter}min": ranges[:, 0],
        f"{letter}max": ranges[:, 1],
        f"{other}min": np.nanmin(centers, axis=1),
        f"{other}max": np.nanmax(centers, axis=1),
    }
    hdus = [fits.table_to_hdu(Table(content)) for content in (columns, extent)]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)


# ---------------------------------------------------------------------- FITS


def _first_table_columns(path: Path) -> list[str]:
    try:
        with fits.open(path) as hdus:
            return [name.lower() for name in hdus[1].columns.names]
    except Exception:  # astropy may raise anything on a damaged file
        return []


def _read_fits(path: Path) -> EchelleOrderTable:
    polynomials, orders = _fits_rows(path)
    if len(polynomials) != 1:
        raise ValueError(f"HDU 1 has {len(polynomials)} rows, expected 1")
    values = polynomials[0]
    letter = _axis_letter(values, "_cent")
    numbers = [integer(row, "order") for row in orders]
    curves = {}
    for curve, name in _CURVES.items():
        if curve == "cent" or f"degorder_{curve}" in values:
            powers = _global_powers(values, curve, letter)
            curves[name] = polyvander(numbers, len(powers) - 1) @ powers
    return EchelleOrderTable.from_polynomials(
        numbers,
        curves.pop("center"),
        **curves,
        shape=None,
        dispersion_axis=_AXES[letter],
        pixel_range=[_pixel_range(row, letter) for row in orders],
    )


def _fits_rows(path: Path) -> list[list[dict]]:
    """Rows of HDUs 1 and 2 as dictionaries with lower-case names, and their origin."""
    with fits.open(path, memmap=False) as hdus:
        if len(hdus) < 3:
            raise ValueError(f"the file has {len(hdus)} HDUs, expected 3")
        return [
            [
                {"where": f"HDU {hdu}, row {index}"}
                | {name.lower(): row[name] for name in hdus[hdu].columns.names}
                for index, row in enumerate(hdus[hdu].data, start=1)
            ]
            for hdu in (1, 2)
        ]


def _global_powers(values: dict, curve: str, letter: str) -> np.ndarray:
    """Coefficients, shape (powers of the order number, powers of the pixel)."""
    order_degree = _degree(values, f"degorder_{curve}")
    pixel_degree = _degree(values, f"deg{letter}_{curve}")
    return np.array([
        [number(values, _column(curve, i, j)) for j in range(pixel_degree + 1)]
        for i in range(order_degree + 1)
    ])


def _polynomial_columns(curve: str, letter: str, powers: np.ndarray) -> dict:
    """Names and values, in the order in which soxspipe expects them."""
    order_degree, pixel_degree = np.array(powers.shape) - 1
    columns = {f"degorder_{curve}": [order_degree], f"deg{letter}_{curve}": [pixel_degree]}
    for (i, j), value in np.ndenumerate(powers):
        columns[_column(curve, i, j)] = [value]
    return columns


def _column(curve: str, i: int, j: int) -> str:
    return f"{curve}_{i}{j}" if curve == "cent" else f"{curve}_c{i}{j}"


# ---------------------------------------------------------------------- CSV


def _read_csv(path: Path, shape: tuple[int, int] | None) -> EchelleOrderTable:
    rows = csv_rows(path)
    letter = _axis_letter(rows[0], "", "_cent")
    has_range = f"{letter}min" in rows[0]
    if not has_range and shape is None:
        raise ValueError(
            "the CSV form does not record at which pixels the orders begin and end: give the shape "
            "(rows, columns) of the unbinned detector"
        )
    curves = {
        name: _csv_powers(rows, curve, letter)
        for curve, name in _CURVES.items()
        if curve == "cent" or f"{curve}_c0" in rows[0]
    }
    return EchelleOrderTable.from_polynomials(
        [integer(row, "order") for row in rows],
        curves.pop("center"),
        **curves,
        shape=None if has_range else shape,
        dispersion_axis=_AXES[letter],
        pixel_range=[_pixel_range(row, letter) for row in rows] if has_range else None,
    )


def _csv_powers(rows: list[dict], curve: str, letter: str) -> np.ndarray:
    """Coefficients, one row per order; zeros where an order has a lower degree than others."""
    own = f"deg{letter}_{curve}"
    degrees = [_degree(row, own if own in row else f"deg{letter}") for row in rows]
    powers = np.zeros((len(rows), max(degrees) + 1))
    for values, row, degree in zip(powers, rows, degrees, strict=True):
        values[: degree + 1] = [number(row, f"{curve}_c{j}") for j in range(degree + 1)]
    return powers


# ---------------------------------------------------------------------- values of both


def _axis_letter(row: dict, *suffixes: str) -> str:
    """Whether the polynomials are functions of y or of x."""
    names = {f"deg{letter}{suffix}": letter for letter in _AXES for suffix in suffixes}
    for name, letter in names.items():
        if name in row:
            return letter
    raise ValueError(f"{row['where']} has no column {' or '.join(names)}")


def _degree(row: dict, name: str) -> int:
    value = integer(row, name)
    if value < 0:
        raise ValueError(f"{row['where']}, column {name}: {value}, expected 0 or more")
    return value


def _pixel_range(row: dict, letter: str) -> tuple[int, int]:
    """First and last pixel; the file has one past the last."""
    low, high = number(row, f"{letter}min"), number(row, f"{letter}max")
    return math.floor(low), math.ceil(high) - 1


# ---------------------------------------------------------------------- one polynomial for all


def _whole_pixels(orders: EchelleOrderTable) -> np.ndarray:
    """First pixel of each order and one past the last, shape (n_orders, 2)."""
    table = orders.table
    low, high = (u.Quantity(table[name], u.pix).value for name in ("pixel_min", "pixel_max"))
    first, end = np.ceil(low - _ROUNDING), np.floor(high + _ROUNDING) + 1
    if (first >= end).any():
        numbers = orders.order_numbers[first >= end].tolist()
        raise ValueError(f"orders {numbers} do not cover a whole pixel")
    return np.stack([first, end], axis=1).astype(int)


def _one_polynomial(orders: EchelleOrderTable, name: str, ranges: np.ndarray) -> np.ndarray:
    """The powers of order number and pixel that reproduce all curves of this name."""
    numbers, pixels = orders.order_numbers, np.arange(ranges.min(), ranges.max())
    positions = getattr(orders, name)(pixels)
    pixel_degree = min(orders.table[name].shape[1] - 1, _HIGHEST_DEGREE)
    samples = _samples(orders, name, ranges)
    best, best_misses = None, np.array([np.inf])
    for order_degree in range(min(len(orders), _HIGHEST_DEGREE + 1)):
        powers = _fitted_powers(*samples, (order_degree, pixel_degree))
        misses = np.nanmax(np.abs(_evaluated(powers, numbers, pixels) - positions), axis=1)
        if misses.max() < best_misses.max():
            best, best_misses = powers, misses
        if best_misses.max() < _TOLERANCE:
            return best
    message = (
        "a soxspipe order table holds a single polynomial in order number and pixel; in order "
        f"{numbers[best_misses.argmax()]} the best one misses the {CURVE_LABELS[name]} by "
        f"{best_misses.max():.2g} pixels"
    )
    if best_misses.max() > _LIMIT:
        raise ValueError(f"{message}, expected at most {_LIMIT}")
    warn(message)
    return best


def _samples(orders, name: str, ranges: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Order numbers, pixels and positions, with the same number of samples for every order."""
    pixels = np.linspace(ranges[:, 0], ranges[:, 1] - 1, _N_SAMPLES, axis=1)
    positions = getattr(orders, name)(pixels)
    return np.repeat(orders.order_numbers, _N_SAMPLES), pixels.ravel(), positions.ravel()


def _fitted_powers(numbers, pixels, positions, degrees: tuple[int, int]) -> np.ndarray:
    """Powers, from a least-squares fit of Chebyshev polynomials in scaled order and pixel."""
    (order, order_basis), (pixel, pixel_basis) = (
        _scaled(x, degree) for x, degree in zip((numbers, pixels), degrees, strict=True)
    )
    design = chebvander2d(order, pixel, degrees)
    series = np.linalg.lstsq(design, positions, rcond=None)[0].reshape(np.add(degrees, 1))
    return order_basis.T @ series @ pixel_basis


def _scaled(x: np.ndarray, degree: int) -> tuple[np.ndarray, np.ndarray]:
    """``x`` scaled to -1 to 1; and, in row k, the powers of x in the k-th Chebyshev polynomial."""
    middle, half = 0.5 * (x.max() + x.min()), 0.5 * np.ptp(x) or 1.0
    powers = np.zeros((degree + 1, degree + 1))
    for k in range(degree + 1):
        polynomial = Chebyshev.basis(k, domain=[middle - half, middle + half])
        powers[k, : k + 1] = polynomial.convert(kind=Polynomial).coef
    return (x - middle) / half, powers


def _evaluated(powers: np.ndarray, numbers: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Positions, shape (n_orders, n_pixels), summed over powers as soxspipe does."""
    order_degree, pixel_degree = np.array(powers.shape) - 1
    return polyvander(numbers, order_degree) @ powers @ polyvander(pixels, pixel_degree).T


register_format("soxspipe", identify=identify, read=read, write=write, writes_fits=True)
