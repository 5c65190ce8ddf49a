# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
IRAF aperture databases [1]_, the files ``database/ap...`` of the apextract package.

A text file with one record per aperture, starting with ``begin aperture``. ``axis`` is the image
axis across the aperture (1 is x: the orders run along columns). The order centre is ``center`` plus
a curve along the other axis; the edges are at ``low`` and ``high`` relative to it, constant along
the order. Pixels count from 1. ``curve`` is the number of values that follow: the type (1
Chebyshev, 2 Legendre, 3 cubic spline, 4 linear spline), the order (number of coefficients of a
polynomial, or of pieces of a spline), the first and last pixel, and the coefficients.

The aperture number is used as the order number; ``beam`` is not read. The file does not contain the
detector shape. As in IRAF, a later record with the same words after ``begin`` replaces an earlier
one. If ``low`` and ``high`` are 0 in every record, the order table has no edges.

References
----------
.. [1] Valdes, F., *The IRAF APEXTRACT package*, and IRAF 2.17, https://iraf-community.github.io:
   apextract/apdb.x (records), xtools/dttext.x (text database), math/curfit (curves)
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.table import QTable
from numpy.polynomial import Chebyshev, Legendre
from numpy.polynomial.chebyshev import chebinterpolate

from ccdproc_echelle._warnings import warn
from ccdproc_echelle.orders.registry import register_format
from ccdproc_echelle.orders.table import EchelleOrderTable

__all__ = ["identify", "read", "write"]

_POLYNOMIALS = {1: Chebyshev, 2: Legendre}
_SPLINE_DEGREES = {3: 3, 4: 1}

# A spline is converted to the shortest Chebyshev series that is accurate to this, in pixels, up to
# this length.
_TOLERANCE = 1e-3
_HIGHEST_DEGREE = 100

# Edges whose distance changes along the order by more than this, in pixels, are not constant.
_EDGE_TOLERANCE = 0.5

# Number of positions along an order at which a curve is evaluated.
_N_SAMPLES = 2000

# A record begins within this many bytes of comments.
_HEAD = 65536

# IRAF's defaults. They only matter when background is subtracted.
_BACKGROUND = """\
\tbackground
\t\txmin -10.
\t\txmax 10.
\t\tfunction chebyshev
\t\torder 1
\t\tsample -10:-6,6:10
\t\tnaverage -3
\t\tniterate 0
\t\tlow_reject 3.
\t\thigh_reject 3.
\t\tgrow 0.
"""


def identify(path: Path) -> bool:
    """Whether a line starts with ``begin aperture``."""
    with open(path, "rb") as file:
        lines = file.read(_HEAD).splitlines()
    return any(line.split()[:2] == [b"begin", b"aperture"] for line in lines)


def read(path: Path, shape: tuple[int, int] | None, dispersion_axis: int | None):
    """
    Read an IRAF aperture database.

    Parameters
    ----------
    path : `pathlib.Path`
        The file.
    shape : tuple of int, optional
        Rows and columns of the detector, which the file does not contain. Not needed.
    dispersion_axis : int, optional
        Not needed. If given, must agree with the file.

    Returns
    -------
    `EchelleOrderTable`
        The valid range of an order is that of its curve plus half a pixel at either end.
        Polynomials are converted exactly; a spline becomes a Chebyshev series of sufficient degree.

    Raises
    ------
    ValueError
        If a record lacks a field or has an invalid one, or if the records do not describe different
        apertures of one image along one axis.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If a spline cannot be represented to within a thousandth of a pixel.
    """
    with open(path, encoding="utf-8", errors="replace") as file:
        apertures = [_aperture(record) for record in _records(file)]
    _check_same(apertures, "image", "axis")
    _check_unique(apertures)
    curves, misses = zip(*map(_series, apertures), strict=True)
    _warn_of_misses(apertures, curves, misses)
    centers = np.zeros((len(apertures), 1 + max(series.degree() for series in curves)))
    for row, series in zip(centers, curves, strict=True):
        row[: len(series.coef)] = series.coef
    table = QTable({"order": [aperture.number for aperture in apertures]})
    table["pixel_min"], table["pixel_max"] = np.transpose([s.domain for s in curves]) * u.pix
    table["center"] = centers * u.pix
    if any(aperture.low or aperture.high for aperture in apertures):
        _check_limits(apertures)
        for name, limit in (("lower", "low"), ("upper", "high")):
            edges = centers.copy()
            edges[:, 0] += [getattr(aperture, limit) for aperture in apertures]
            table[name] = edges * u.pix
    table.meta |= {"shape": None, "dispersion_axis": apertures[0].axis - 1}
    return EchelleOrderTable(table)


def write(orders: EchelleOrderTable, path: Path) -> None:
    """
    Write an IRAF aperture database with Chebyshev curves.

    IRAF looks for the apertures of the image ``flat`` in the file ``database/apflat``; the name of
    the image is taken from the file name without ``ap``. Aperture and beam number are the order
    number, and the background fields have IRAF's defaults. A table without edges gives apertures of
    zero width (``low`` and ``high`` 0), which IRAF's ``apresize`` can set and which are read back
    as missing edges: any other width would be made up.

    Parameters
    ----------
    orders : `EchelleOrderTable`
        The orders to write.
    path : `pathlib.Path`
        The file to write.

    Raises
    ------
    ValueError
        If an order is not longer than one pixel.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If the distance of an edge from the order centre changes by more than half a pixel along the
        order. The mean is written.
    """
    table = orders.table
    first, last = (  # end pixels of the curves, counted from 1
        u.Quantity(table[name], u.pix).value + offset
        for name, offset in (("pixel_min", 1.5), ("pixel_max", 0.5))
    )
    if (first >= last).any():
        numbers = orders.order_numbers[first >= last].tolist()
        raise ValueError(f"orders {numbers} are no longer than one pixel, expected more")
    length = math.ceil(last.max()) if orders.shape is None else orders.shape[orders.dispersion_axis]
    image = path.name.removeprefix("ap") or path.name
    limits = _constant_edges(orders) if orders.has_edges else np.zeros((len(orders), 2))
    coefficients = u.Quantity(table["center"], u.pix).value
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write("# Written by ccdproc_echelle\n")
        for number, row, low, high, limit in zip(
            orders.order_numbers, coefficients, first, last, limits, strict=True
        ):
            series = Chebyshev(row, domain=(low - 0.5, high + 0.5)) + 1
            series = series.convert(kind=Chebyshev, domain=(low, high))
            file.write(_record(image, number, series, limit, length, orders.dispersion_axis))


# ---------------------------------------------------------------------- records


@dataclass(frozen=True)
class _Aperture:
    """A record as it is in the file; ``line`` is where it begins."""

    line: int
    image: str
    number: int
    axis: int
    center: float
    low: float
    high: float
    curve: list[float]
    curve_line: int


def _records(lines: Iterable[str]) -> list[list[tuple[int, list[str]]]]:
    """Line numbers and words of each aperture; the last one if a name is repeated."""
    records, record = {}, []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if words[:1] == ["begin"]:
            record = []
            if words[1:2] == ["aperture"]:
                records[tuple(words)] = record
        if words:
            record.append((number, words))
    if not records:
        raise ValueError("no line starts with 'begin aperture'")
    return list(records.values())


def _aperture(record: list[tuple[int, list[str]]]) -> _Aperture:
    axis = _integer(*_value(record, "axis"), "axis")
    if axis not in (1, 2):
        raise ValueError(f"line {_value(record, 'axis')[0]}: axis is {axis}, expected 1 or 2")
    center, low, high = (
        _number(*_value(record, name, axis), name) for name in ("center", "low", "high")
    )
    curve_line, word = _value(record, "curve")
    n_values = _integer(curve_line, word, "curve")
    following = [(line, words[0]) for line, words in record if line > curve_line]
    if not 0 <= n_values <= len(following):
        raise ValueError(
            f"line {curve_line}: curve is {n_values}, but {len(following)} values follow"
        )
    curve = [_number(line, word, "curve") for line, word in following[:n_values]]
    return _Aperture(
        line=record[0][0],
        image=_value(record, "image")[1],
        number=_integer(*_value(record, "aperture"), "aperture"),
        axis=axis,
        center=center,
        low=low,
        high=high,
        curve=curve,
        curve_line=curve_line,
    )


def _value(record, name: str, position: int = 1) -> tuple[int, str]:
    """Line number and word of a field."""
    for line, words in record:
        if words[0] == name:
            if len(words) <= position:
                raise ValueError(
                    f"line {line}: {name} has {len(words) - 1} values, expected {position}"
                )
            return line, words[position]
    raise ValueError(f"line {record[0][0]}: the record that begins here has no {name!r}")


def _number(line: int, word: str, name: str) -> float:
    try:
        value = float(word)
    except ValueError as error:
        raise ValueError(f"line {line}, {name}: {word!r} is not a number") from error
    if not math.isfinite(value):
        raise ValueError(f"line {line}, {name}: {word!r}, expected a finite number")
    return value


def _integer(line: int, word: str, name: str) -> int:
    value = _number(line, word, name)
    if value != int(value):
        raise ValueError(f"line {line}, {name}: {word!r}, expected an integer")
    return int(value)


def _check_same(apertures: list[_Aperture], *names: str) -> None:
    first = apertures[0]
    for name in names:
        for aperture in apertures:
            if getattr(aperture, name) != getattr(first, name):
                raise ValueError(
                    f"the aperture that begins at line {aperture.line} has {name} "
                    f"{getattr(aperture, name)}, expected {getattr(first, name)} as at line "
                    f"{first.line}"
                )


def _check_unique(apertures: list[_Aperture]) -> None:
    lines = {}
    for aperture in apertures:
        if aperture.number in lines:
            raise ValueError(
                f"line {aperture.line}: aperture {aperture.number} is also at line "
                f"{lines[aperture.number]}, with another centre; expected each number once"
            )
        lines[aperture.number] = aperture.line


def _check_limits(apertures: list[_Aperture]) -> None:
    for aperture in apertures:
        if not aperture.low < aperture.high:
            raise ValueError(
                f"the aperture that begins at line {aperture.line} has low {aperture.low} and "
                f"high {aperture.high}, expected low below high"
            )


# ---------------------------------------------------------------------- curves


def _series(aperture: _Aperture) -> tuple[Chebyshev, float]:
    """The order centre, 0-based, on its valid range, and its largest deviation from the curve."""
    where, values = f"line {aperture.curve_line}", aperture.curve
    if len(values) < 4:
        raise ValueError(f"{where}: curve has {len(values)} values, expected at least 5")
    kind, order, low, high, *coefficients = values
    if kind not in _POLYNOMIALS and kind not in _SPLINE_DEGREES:
        raise ValueError(
            f"{where}: the curve is of type {kind:g}, expected 1 (Chebyshev), 2 (Legendre), "
            "3 (cubic spline) or 4 (linear spline)"
        )
    if not (order >= 1 and order == int(order) and low < high):
        raise ValueError(
            f"{where}: the curve has order {order:g} from pixel {low:g} to {high:g}, expected an "
            "integer of at least 1 and an increasing range"
        )
    n_expected = int(order) + _SPLINE_DEGREES.get(kind, 0)
    if len(coefficients) != n_expected:
        raise ValueError(
            f"{where}: the curve has {len(coefficients)} coefficients, expected {n_expected} for "
            f"type {kind:g} and order {order:g}"
        )
    domain = (low - 1.5, high - 0.5)  # plus half a pixel at either end
    if kind in _POLYNOMIALS:
        polynomial = _POLYNOMIALS[kind](coefficients, domain=(low - 1, high - 1))
        series, miss = polynomial.convert(kind=Chebyshev, domain=domain), 0.0
    else:
        spline = _spline(coefficients, _SPLINE_DEGREES[kind], low - 1, high - 1)
        series, miss = _approximated(spline, domain)
    return series + (aperture.center - 1), miss


def _spline(coefficients: list[float], degree: int, low: float, high: float) -> Callable:
    """Pieces of equal length; the B-splines of IRAF sum to ``degree!`` instead of 1."""
    from scipy.interpolate import BSpline  # slow to import (0.25 s), needed for few tables

    n_pieces = len(coefficients) - degree
    step = (high - low) / n_pieces
    knots = low + step * np.arange(-degree, n_pieces + degree + 1)
    return BSpline(knots, math.factorial(degree) * np.array(coefficients), degree)


def _approximated(curve: Callable, domain: tuple[float, float]) -> tuple[Chebyshev, float]:
    """
    The shortest Chebyshev series that approximates a curve, and its largest error.

    Interpolation at Chebyshev points is well conditioned at any degree, and the error of a
    truncated series is at most the sum of the dropped coefficients.
    """
    middle, half = 0.5 * (domain[0] + domain[1]), 0.5 * (domain[1] - domain[0])
    coefficients = chebinterpolate(lambda x: curve(middle + half * x), 2 * _HIGHEST_DEGREE)
    dropped = np.cumsum(np.abs(coefficients[::-1]))[::-1] - np.abs(coefficients)
    degree = min(np.argmax(dropped < _TOLERANCE / 2), _HIGHEST_DEGREE)
    series = Chebyshev(coefficients[: degree + 1], domain=domain)
    pixels = np.linspace(*domain, _N_SAMPLES)
    return series, np.abs(series(pixels) - curve(pixels)).max()


def _warn_of_misses(apertures: list[_Aperture], curves, misses) -> None:
    worst = np.argmax(misses)
    if misses[worst] > _TOLERANCE:
        n_missed = np.sum(np.array(misses) > _TOLERANCE)
        warn(
            f"{n_missed} of {len(apertures)} apertures have a spline with kinks that a Chebyshev "
            f"series cannot follow; in the worst case, a series of degree {curves[worst].degree()} "
            f"misses aperture {apertures[worst].number} (line {apertures[worst].line}) by "
            f"{misses[worst]:.2g} pixels",
        )


# ---------------------------------------------------------------------- what is written


def _constant_edges(orders: EchelleOrderTable) -> np.ndarray:
    """Mean distances of lower and upper edge from the order centre, shape (n_orders, 2)."""
    ends = (u.Quantity(orders.table[name], u.pix).value for name in ("pixel_min", "pixel_max"))
    pixels = np.linspace(*ends, _N_SAMPLES, axis=1)
    distances = np.stack([orders.lower(pixels), orders.upper(pixels)]) - orders.center(pixels)
    changes = np.ptp(distances, axis=2).max(axis=0)
    if changes.max() > _EDGE_TOLERANCE:
        numbers = orders.order_numbers[changes > _EDGE_TOLERANCE].tolist()
        warn(
            "an IRAF aperture has a constant width along the order: the mean is written for "
            f"orders {numbers}, whose edges change by up to {changes.max():.2g} pixels",
        )
    return distances.mean(axis=2).T


def _record(
    image: str, number: int, series: Chebyshev, limits: np.ndarray, length: int, axis: int
) -> str:
    """One aperture; as in IRAF, the limits along the dispersion are those of the detector."""
    middle = round(series.domain.mean())
    center = float(series(middle))
    centers, low, high = (
        _pair(cross, along, axis)
        for cross, along in zip(
            (center, *limits), (middle, 1 - middle, length - middle), strict=True
        )
    )
    (first, last), coefficients = series.domain, series.coef
    values = [1, len(coefficients), first, last, coefficients[0] - center, *coefficients[1:]]
    return (
        f"begin\taperture {image} {number} {centers}\n"
        f"\timage\t{image}\n"
        f"\taperture\t{number}\n"
        f"\tbeam\t{number}\n"
        f"\tcenter\t{centers}\n"
        f"\tlow\t{low}\n"
        f"\thigh\t{high}\n"
        f"{_BACKGROUND}"
        f"\taxis\t{axis + 1}\n"
        f"\tcurve\t{len(values)}\n" + "".join(f"\t\t{value:.12g}\n" for value in values) + "\n"
    )


def _pair(cross: float, along: float, dispersion_axis: int) -> str:
    x, y = (along, cross) if dispersion_axis == 1 else (cross, along)
    return f"{x:.12g} {y:.12g}"


register_format("iraf", identify=identify, read=read, write=write, writes_fits=False)
