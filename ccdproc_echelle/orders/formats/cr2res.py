# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Trace tables of cr2res [1]_, the CRIRES+ pipeline: the ``TRACE_WAVE`` products.

A table HDU for each detector, ``CHIP1.INT1`` to ``CHIP3.INT1``, has one row per trace, with
polynomials in the columns ``All`` (order centre), ``Lower`` and ``Upper`` (edges), and the columns
``Order`` and ``TraceNb``. The polynomials, lowest power first, give the row as a function of the
column, both counted from 1, on a detector of 2048 by 2048 pixels. Orders run along rows
(``dispersion_axis=1``).

- **An order table is for a single detector.** If the file has traces on several,
  `EchelleOrderTable.read` needs to be told which one to read.
- With the decker in the beam an order has several traces. Each becomes a separate order.
- The edges are fits through the centres of the outermost illuminated pixels.
- The polynomials are valid over the whole detector; the file has no column range.

References
----------
.. [1] https://github.com/ivh/cr2rep (``cr2res_trace.c``, ``cr2res_utils.c`` and ``cr2res_dfs.h``)
"""

from math import comb
from pathlib import Path

import numpy as np

from ccdproc_echelle.orders.formats._tables import (
    column,
    fits_columns,
    fits_tables,
    one_detector,
    unique_numbers,
    with_columns,
)
from ccdproc_echelle.orders.registry import register_format
from ccdproc_echelle.orders.table import EchelleOrderTable

__all__ = ["identify", "read"]

_SHAPE = (2048, 2048)
_COLUMNS = {"all", "lower", "upper", "order", "tracenb"}


def identify(path: Path) -> bool:
    """Whether the file has a table of traces."""
    return any(_COLUMNS <= names for names in fits_columns(path).values())


def read(
    path: Path,
    shape: tuple[int, int] | None,
    dispersion_axis: int | None,
    *,
    detector: str | None = None,
):
    """
    Read the traces of one detector.

    Parameters
    ----------
    path : `pathlib.Path`
        The file.
    shape, dispersion_axis : tuple of int and int, optional
        Not needed. If given, must agree with the file.
    detector : str, optional
        Name of the HDU, such as ``"CHIP2.INT1"``, or of the chip, such as ``"CHIP2"``, if it has a
        single HDU. Default: the only detector with traces.

    Returns
    -------
    `EchelleOrderTable`
        With edges, and with the columns ``file_order`` and ``trace``: the ``Order`` and ``TraceNb``
        of the file. If an order has several traces, they are numbered from 1 in the order of the
        file.

    Raises
    ------
    ValueError
        If several detectors have traces and none was selected, or a column is missing, has the
        wrong shape or holds anything but finite numbers.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If the order numbers of the file are replaced.
    """
    tables = {name: table for name, (_, table) in fits_tables(path).items()}
    found = [name for name, table in tables.items() if "all" in table and len(table["all"])]
    if not found:
        raise ValueError(f"no table HDU has a column All with traces; found HDUs {list(tables)}")
    detector = one_detector(found, _named_in_full(found, detector))
    table, where = tables[detector], f"HDU {detector}"
    center, lower, upper = (
        _from_0(column(table, name, where, ndim=2)) for name in ("All", "Lower", "Upper")
    )
    numbers, traces = (column(table, name, where).astype(int) for name in ("Order", "TraceNb"))
    orders = EchelleOrderTable.from_polynomials(
        unique_numbers(numbers), center, lower=lower, upper=upper, shape=_SHAPE, dispersion_axis=1
    )
    return with_columns(orders, file_order=numbers, trace=traces)


def _named_in_full(found: list[str], detector: str | None) -> str | None:
    """The HDU of a chip if only the chip is named: an exact match, or all that start with it."""
    of_chip = [name for name in found if name.startswith(f"{detector}.")]
    return of_chip[0] if len(of_chip) == 1 and detector not in found else detector


def _from_0(powers: np.ndarray) -> np.ndarray:
    """Convert polynomials between pixels counted from 1 to pixels counted from 0."""
    n = powers.shape[1]
    shifted = powers @ np.array([[comb(j, k) for k in range(n)] for j in range(n)], dtype=float)
    shifted[:, 0] -= 1
    return shifted


register_format("cr2res", identify=identify, read=read, several_detectors=True)
