# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Plain sampled order centres: one line per dispersion pixel, one column per order.

Text, separated by blanks, tabs or commas, with 0-based cross-dispersion positions and ``nan`` where
an order was not traced; lines that start with ``#`` are comments. This is what a script writes when
it has traced orders by hand, and what `numpy.savetxt` makes of an array of centres. The file holds
neither order numbers (they become 1, 2, ... from left to right) nor edges.
"""

from pathlib import Path

import numpy as np

from ccdproc_echelle.orders.registry import register_format
from ccdproc_echelle.orders.table import EchelleOrderTable

__all__ = ["identify", "read", "write"]


def identify(path: Path) -> bool:
    """Whether the first line that is not a comment holds nothing but numbers."""
    try:
        with open(path, encoding="utf-8") as file:
            _, line = next(_data_lines(file))
            _numbers(line)
    except (ValueError, StopIteration):
        return False
    return True


def read(path: Path, shape: tuple[int, int] | None, dispersion_axis: int | None):
    """
    Read sampled order centres and fit them.

    Parameters
    ----------
    path : `pathlib.Path`
        The file.
    shape : tuple of int, optional
        Rows and columns of the detector. Stays unknown when not given.
    dispersion_axis : int, optional
        Default: the axis of ``shape`` that has as many pixels as the file has lines.

    Returns
    -------
    `EchelleOrderTable`
        Centres of degree 4, as `EchelleOrderTable.from_traces` fits them.

    Raises
    ------
    ValueError
        If a line has a wrong number of values or one that is not a number, or the number of
        lines does not tell, or contradicts, the dispersion axis.
    """
    with open(path, encoding="utf-8") as file:
        centers = _table_of_numbers(file)
    try:
        axis = _axis_of(len(centers), shape, dispersion_axis)
    except ValueError as error:
        raise ValueError(f"{error}{_hint(path)}") from error
    numbers = np.arange(centers.shape[1]) + 1
    return EchelleOrderTable.from_traces(numbers, centers.T, shape=shape, dispersion_axis=axis)


def write(orders: EchelleOrderTable, path: Path) -> None:
    """
    Write the order centres at every dispersion pixel, to a millionth of a pixel.

    Parameters
    ----------
    orders : `EchelleOrderTable`
        The orders; their numbers and edges have no place in this format.
    path : `pathlib.Path`
        The file.

    Raises
    ------
    ValueError
        If the detector shape is unknown.
    """
    np.savetxt(path, orders.center().T, fmt="%.6f")


def _hint(path: Path) -> str:
    """What the file may be instead."""
    with open(path, encoding="utf-8") as file:
        if "," not in next(_data_lines(file))[1]:
            return ""
    return (
        ". If it is a CSV table of polynomials, its first line must name the columns: there is no "
        "such header"
    )


def _data_lines(file):
    """Line numbers and lines, without comments."""
    for number, line in enumerate(file, start=1):
        if not line.startswith("#"):
            yield number, line


def _numbers(line: str) -> list[float]:
    values = []
    for column, word in enumerate(line.replace(",", " ").split(), start=1):
        try:
            values.append(float(word))
        except ValueError as error:
            raise ValueError(f"column {column}: {word!r} is not a number") from error
    if not values:
        raise ValueError("no values, expected one for each order")
    return values


def _table_of_numbers(file) -> np.ndarray:
    lines = list(_data_lines(file))
    while lines and not lines[-1][1].strip():
        lines.pop()
    rows = []
    for number, line in lines:
        try:
            rows.append(_numbers(line))
        except ValueError as error:
            raise ValueError(f"line {number}, {error}") from error
        if len(rows[-1]) != len(rows[0]):
            raise ValueError(
                f"line {number} has {len(rows[-1])} values, expected {len(rows[0])} as in the "
                "first line"
            )
    if not rows:
        raise ValueError("the file has no values")
    return np.array(rows)


def _axis_of(n_lines: int, shape: tuple[int, int] | None, dispersion_axis: int | None) -> int:
    """The dispersion axis, which must be as long as the file has lines."""
    if shape is None:
        if dispersion_axis is None:
            raise ValueError(
                "the format does not say how the orders run: give dispersion_axis (1 along rows, "
                "0 along columns), shape (rows, columns), or both"
            )
        return dispersion_axis
    candidates = (0, 1) if dispersion_axis is None else (dispersion_axis,)
    fitting = [axis for axis in candidates if shape[axis] == n_lines]
    if not fitting:
        lengths = " or ".join(str(shape[axis]) for axis in candidates)
        raise ValueError(
            f"the file has {n_lines} lines, expected {lengths}, one for each pixel along the "
            f"dispersion axis of a detector of shape {shape}"
        )
    if len(fitting) == 2:
        raise ValueError(
            f"the file has {n_lines} lines and both axes of shape {shape} have as many pixels: "
            "give dispersion_axis (1 for orders along rows, 0 along columns)"
        )
    return fitting[0]


register_format("samples", identify=identify, read=read, write=write)
