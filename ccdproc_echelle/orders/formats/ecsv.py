# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The native format: the order table as ECSV, astropy's text format for tables.

The format is lossless: coefficients and ranges are written with all their digits, and the header
contains the detector shape, the dispersion axis and everything else in ``table.meta``.
"""

import csv
from pathlib import Path

from astropy import units as u
from astropy.table import QTable

from ccdproc_echelle.orders.registry import register_format
from ccdproc_echelle.orders.table import EchelleOrderTable

__all__ = ["identify", "read", "write"]

_SIGNATURE = b"# %ECSV"


def identify(path: Path) -> bool:
    """Whether the file starts like an ECSV file."""
    with open(path, "rb") as file:
        return file.read(len(_SIGNATURE)) == _SIGNATURE


def read(path: Path, shape: tuple[int, int] | None, dispersion_axis: int | None):
    """
    Read a native order table, which contains its own shape and dispersion axis.

    Parameters
    ----------
    path : `pathlib.Path`
        The file.
    shape, dispersion_axis : tuple of int and int, optional
        Not needed. If given, must agree with the file.

    Returns
    -------
    `EchelleOrderTable`

    Raises
    ------
    ValueError
        If the file is not ECSV, lacks something that an order table needs, or has missing values.
    """
    table = QTable.read(path, format="ascii.ecsv")
    _check_no_number_is_missing(path, table)
    return EchelleOrderTable(table)


def _check_no_number_is_missing(path: Path, table: QTable) -> None:
    """Raise if a value is missing: astropy reads 0 for missing numbers with a unit."""
    text = path.read_text(encoding="utf-8").splitlines()
    lines = [line for line in text if line and not line.startswith("#")]
    names, *rows = csv.reader(lines, delimiter="," if "," in lines[0] else " ")
    for number, row in enumerate(rows, start=1):
        for name, cell in zip(names, row, strict=False):
            is_number = isinstance(table.columns.get(name), u.Quantity)
            if is_number and (cell == "" or "null" in cell):
                raise ValueError(f"row {number} has no value in column {name!r}")


def write(orders: EchelleOrderTable, path: Path) -> None:
    """
    Write a native order table.

    Parameters
    ----------
    orders : `EchelleOrderTable`
        The orders to write.
    path : `pathlib.Path`
        The file to write.
    """
    table = orders.table
    if orders.shape is not None:
        table.meta["shape"] = list(orders.shape)  # YAML has no tuples
    table.write(path, format="ascii.ecsv", overwrite=True)


register_format("ecsv", identify=identify, read=read, write=write, writes_fits=False)
