# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Helpers for reading the tables of other programs: FITS columns, checks, order numbers."""

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from astropy.io import fits

from ccdproc_echelle._warnings import warn
from ccdproc_echelle.orders.table import EchelleOrderTable

__all__ = [
    "column",
    "fits_columns",
    "fits_tables",
    "one_detector",
    "unique_numbers",
    "with_columns",
]


def fits_columns(path: Path) -> dict[str, set[str]]:
    """Lower-case column names of each table HDU; empty if the file is not FITS or is damaged."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with fits.open(path) as hdus:
                return {
                    hdu.name: {name.lower() for name in hdu.columns.names}
                    for hdu in hdus
                    if isinstance(hdu, fits.BinTableHDU)
                }
    except Exception:  # astropy may raise anything on a damaged file
        return {}


def fits_tables(path: Path, *names: str) -> dict[str, tuple[fits.Header, dict]]:
    """Header and columns, by lower-case name, of the named table HDUs; by default of all."""
    with fits.open(path, memmap=False) as hdus:
        found = {hdu.name: hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU)}
        for name in names:
            if name not in found:
                raise ValueError(f"the file has no table HDU {name}; found {list(found)}")
        return {
            name: (
                found[name].header,
                {key.lower(): np.array(found[name].data[key]) for key in found[name].columns.names},
            )
            for name in names or found
        }


def column(table: Mapping, name: str, where: str, ndim: int = 1) -> np.ndarray:
    """A column as finite floats: one number (``ndim`` 1) or one row (2) per order."""
    if name.lower() not in table:
        raise ValueError(f"{where} has no column {name}; found {sorted(table)}")
    values = np.asarray(table[name.lower()])
    if values.dtype.kind not in "iuf":
        raise ValueError(f"{where}, column {name} is {values.dtype}, expected numbers")
    values = values.astype(float)
    if ndim == 2 and values.ndim == 1:
        values = values[:, None]  # FITS has no rows of length one
    if values.ndim != ndim or values.size == 0:
        expected = "a number" if ndim == 1 else "a row of numbers"
        raise ValueError(
            f"{where}, column {name} has shape {values.shape}, expected {expected} for each order"
        )
    finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    if not finite.all():
        rows = (np.flatnonzero(~finite) + 1).tolist()
        raise ValueError(f"{where}, column {name}: rows {rows} are not finite")
    return values


def one_detector(found: Iterable[str], wanted: str | None) -> str:
    """The detector to read, since an order table is for a single detector."""
    found = list(found)
    if wanted is None and len(found) == 1:
        return found[0]
    if wanted in found:
        return wanted
    if wanted is not None:
        raise ValueError(f"detector is {wanted!r}, expected one of {found}")
    raise ValueError(
        f"the file has traces for several detectors, {found}, but an order table is for a single "
        f"one: select one with detector={found[0]!r}, for example"
    )


def unique_numbers(numbers: Iterable[int]) -> np.ndarray:
    """
    The order numbers of the file, or 1, 2, ... if they do not identify the traces.

    Order numbers must be unique and not 0. With several fibres or slit positions one order has
    several traces, and some programs count from 0.
    """
    numbers = np.array(list(numbers), dtype=int)
    if len(set(numbers.tolist())) == len(numbers) and 0 not in numbers:
        return numbers
    warn(
        f"the order numbers in the file, {numbers.min()} to {numbers.max()}, repeat or include 0: "
        f"the {len(numbers)} traces are numbered from 1 in the order of the file; the column "
        "'file_order' has the original numbers",
    )
    return np.arange(len(numbers)) + 1


def with_columns(orders: EchelleOrderTable, **columns: Iterable) -> EchelleOrderTable:
    """The same orders with additional columns."""
    table = orders.table
    for name, values in columns.items():
        table[name] = values
    return EchelleOrderTable(table)
