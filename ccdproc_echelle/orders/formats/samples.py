# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Sampled order centres as plain text: one line per dispersion pixel, one column per order.

Values are separated by blanks, tabs or commas. They are 0-based cross-dispersion positions, or
``nan`` where an order was not traced; lines that start with ``#`` are comments. Use this format for
orders that were traced by a script or by hand; `numpy.savetxt` writes it from an array of centres.
The file contains neither order numbers (they become 1, 2, ... from left to right) nor edges.
"""

import re
from pathlib import Path

import numpy as np

from ccdproc_echelle.orders.registry import register_format
from ccdproc_echelle.orders.table import EchelleOrderTable

__all__ = ["identify", "read", "write"]

# A line in which commas can only be decimal ones.
_DECIMAL_COMMAS = re.compile(r"[-+]?\d+,\d+(\s+[-+]?\d+,\d+)+")


def identify(path: Path) -> bool:
    """Whether the first line that is not a comment contains only numbers."""
    try:
        with open(path, encoding="utf-8-sig") as file:
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
        Rows and columns of the detector. If not given, the shape remains unknown.
    dispersion_axis : int, optional
        Default: the axis of ``shape`` whose length is the number of lines in the file.

    Returns
    -------
    `EchelleOrderTable`
        Centres fitted with degree 4, as in `EchelleOrderTable.from_traces`.

    Raises
    ------
    ValueError
        If a line has the wrong number of values or something that is not a number, or if the number
        of lines does not determine the dispersion axis, or contradicts it.
    """
    with open(path, encoding="utf-8-sig") as file:
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
        The orders to write; the format holds neither their numbers nor their edges.
    path : `pathlib.Path`
        The file to write.

    Raises
    ------
    ValueError
        If the detector shape is unknown.
    """
    np.savetxt(path, orders.center().T, fmt="%.6f")


def _hint(path: Path) -> str:
    """Suggest what the file may be instead."""
    with open(path, encoding="utf-8-sig") as file:
        if "," not in next(_data_lines(file))[1]:
            return ""
    return (
        ". If it is meant to be a CSV table of polynomials, its first line must have the column "
        "names; there is no such header"
    )


def _data_lines(file):
    """Line numbers and lines, without comments."""
    for number, line in enumerate(file, start=1):
        if not line.startswith("#"):
            yield number, line


def _numbers(line: str) -> list[float]:
    if _DECIMAL_COMMAS.fullmatch(line.strip()):
        raise ValueError(f"{line.strip()[:40]!r} has decimal commas, expected decimal points")
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
    """The dispersion axis, whose length must equal the number of lines."""
    if shape is None:
        if dispersion_axis is None:
            raise ValueError(
                "the format does not record the direction of the orders: give dispersion_axis (1 "
                "along rows, 0 along columns), shape (rows, columns), or both"
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
            f"the file has {n_lines} lines, and both axes of shape {shape} have that many pixels: "
            "give dispersion_axis (1 for orders along rows, 0 along columns)"
        )
    return fitting[0]


register_format("samples", identify=identify, read=read, write=write, writes_fits=False)
