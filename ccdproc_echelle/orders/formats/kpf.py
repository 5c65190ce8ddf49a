# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Order traces of the KPF pipeline [1]_, in CSV.

One row per trace, with columns identified by name::

    Chip,Fiber,Order,Coeff0,Coeff1,Coeff2,Coeff3,BottomEdge,TopEdge,X1,X2,PolyfitRMS,Status

Older files lack ``Chip``, ``PolyfitRMS`` and ``Status`` and begin with a column of row numbers;
some also lack ``Fiber`` and ``Order``. ``Coeff0``, ``Coeff1``... (lowest power first) give the row
as a function of the column of the assembled image of a chip, both counted from 0. ``X1`` to ``X2``,
both inclusive, are the columns that were traced. The edges run parallel to the order centre,
``BottomEdge`` below and ``TopEdge`` above it. Orders run along rows (``dispersion_axis=1``). The
file does not contain the detector shape.

- **An order table is for a single detector.** If the file has both chips,
  `EchelleOrderTable.read` needs to be told which one to read.
- KPF has five fibres: an order has the traces SKY, SCI1, SCI2, SCI3 and CAL. Each becomes a
  separate order, identified by the columns ``fibre`` (1 to 5) and ``bundle``.
- Traces with the status "missing" have no coefficients and are skipped.

References
----------
.. [1] https://github.com/Keck-DataReductionPipelines/KPF-Pipeline
   (``kpfpipe/modules/masters/order_trace.py``; older: ``modules/order_trace/src/alg.py``)
"""

from pathlib import Path

import numpy as np

from ccdproc_echelle.orders.formats._rows import csv_columns, csv_rows, integer, number
from ccdproc_echelle.orders.formats._tables import one_detector, unique_numbers, with_columns
from ccdproc_echelle.orders.registry import register_format
from ccdproc_echelle.orders.table import EchelleOrderTable

__all__ = ["identify", "read"]

_FIBRES = ("SKY", "SCI1", "SCI2", "SCI3", "CAL")
_COLUMNS = {"coeff0", "bottomedge", "topedge", "x1", "x2"}


def identify(path: Path) -> bool:
    """Whether the first line has the column names of an order trace."""
    return csv_columns(path) >= _COLUMNS


def read(
    path: Path,
    shape: tuple[int, int] | None,
    dispersion_axis: int | None,
    *,
    detector: str | None = None,
):
    """
    Read the order traces of one chip.

    Parameters
    ----------
    path : `pathlib.Path`
        The file.
    shape, dispersion_axis : tuple of int and int, optional
        Not needed. If given, must agree with the frames.
    detector : str, optional
        The chip, ``"GREEN"`` or ``"RED"``. Default: the only one in the file.

    Returns
    -------
    `EchelleOrderTable`
        With edges and, if the file names them, with the columns ``file_order``, ``bundle`` (the
        same), ``fiber`` and ``fibre`` (its number, counted from 1). Traces are numbered from 1 in
        the order of the file, unless the file gives each a unique number.

    Raises
    ------
    ValueError
        If there are several chips and none was selected, or a column is missing or holds anything
        but finite numbers.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If the order numbers of the file are replaced.
    """
    rows = _traces(path, detector)
    center = np.array([[number(row, name) for name in _coefficients(row)] for row in rows])
    below, above = (_edge(rows, name) for name in ("bottomedge", "topedge"))
    named = "order" in rows[0]
    numbers = [integer(row, "order") for row in rows] if named else np.arange(len(rows)) + 1
    orders = EchelleOrderTable.from_polynomials(
        unique_numbers(numbers),
        center,
        lower=_moved(center, -below),
        upper=_moved(center, above),
        shape=None,
        dispersion_axis=1,
        pixel_range=[[number(row, name) for name in ("x1", "x2")] for row in rows],
    )
    if not named:
        return orders
    fibers = [row.get("fiber", "") for row in rows]
    return with_columns(
        orders, file_order=numbers, bundle=numbers, fiber=fibers, fibre=_fibre_numbers(fibers)
    )


def _fibre_numbers(names: list[str]) -> list[int]:
    """Fibre numbers from 1, in KPF's order of the fibres; unknown names follow."""
    known = list(dict.fromkeys([*_FIBRES, *names]))
    return [known.index(name) + 1 for name in names]


def _traces(path: Path, detector: str | None) -> list[dict]:
    """The rows of one chip that were measured."""
    rows = csv_rows(path)
    if "chip" in rows[0]:
        detector = one_detector(dict.fromkeys(row["chip"] for row in rows), detector)
        rows = [row for row in rows if row["chip"] == detector]
    elif detector is not None:
        raise ValueError(f"detector is {detector!r}, but the file has no column Chip")
    rows = [row for row in rows if row.get("status") != "missing"]
    if not rows:
        raise ValueError("all traces in the file have the status 'missing'")
    return rows


def _coefficients(row: dict) -> list[str]:
    """Names of the coefficient columns, from power 0 upwards without gaps."""
    n_powers = sum(_is_coefficient(name) for name in row)
    return [f"coeff{power}" for power in range(max(n_powers, 1))]


def _is_coefficient(name: str) -> bool:
    return name.startswith("coeff") and name[5:].isdecimal()


def _edge(rows: list[dict], name: str) -> np.ndarray:
    offsets = np.array([number(row, name) for row in rows])
    if (offsets < 0).any():
        row = rows[int(np.argmin(offsets))]
        raise ValueError(
            f"{row['where']}, column {name}: {offsets.min()}, expected a distance from the order "
            "centre, 0 or more"
        )
    return offsets


def _moved(powers: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The same curves, each moved along the cross-dispersion axis."""
    moved = powers.copy()
    moved[:, 0] += offsets
    return moved


register_format("kpf", identify=identify, read=read, several_detectors=True)
