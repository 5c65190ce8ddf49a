# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Order tables of PyReduce [1]_ [2]_.

There are two forms. Older releases write a NumPy archive (``.npz``) with ``orders``, later renamed
to ``traces``, and ``column_range``. Newer ones write a FITS file, whose table ``TRACES`` has one
row per trace. The following columns are read: ``M`` (order number, -1 if unknown), ``GROUP``
(initially called ``FIBER``), ``FIBER_IDX``, ``POS`` and ``COL_RANGE``.

A trace is a polynomial, highest power first, that gives the row as a function of the column, both
counted from 0. The column range is half open: its second number is one past the last column.

- **Frames must be oriented as in PyReduce**: trimmed of overscan and rotated so that the orders run
  along rows (``dispersion_axis=1``); the transformation depends on the instrument. The file does
  not contain the detector shape.
- **There are no edges.** ``HEIGHT`` is the height of the extraction aperture, which PyReduce
  derives from the largest distance to a neighbouring trace, so that apertures touch or overlap. It
  does not tell where the light of an order ends, and is not read.
- If fibres were merged into groups, the file lists both the groups and the single fibres. Only the
  groups are read, with a warning.

Archives that hold Python objects are never loaded: these are pickles, which can run any code.

References
----------
.. [1] Piskunov, N., Wehrhahn, A. & Marquart, T. 2021, A&A 646, A32
.. [2] https://github.com/ivh/PyReduce (modules ``trace_model``, ``trace`` and ``clipnflip``)
"""

import zipfile
from pathlib import Path

import numpy as np

from ccdproc_echelle._warnings import warn
from ccdproc_echelle.orders.formats._tables import (
    column,
    fits_columns,
    fits_tables,
    unique_numbers,
    with_columns,
)
from ccdproc_echelle.orders.registry import register_format
from ccdproc_echelle.orders.table import EchelleOrderTable

__all__ = ["identify", "read"]

_TABLE = "TRACES"
_ZIP = b"PK\x03\x04"


def identify(path: Path) -> bool:
    """Whether the file is an archive or a FITS table with traces and their column ranges."""
    if not _is_zip(path):
        return {"pos", "col_range"} <= fits_columns(path).get(_TABLE, set())
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except Exception:  # zipfile may raise anything on a damaged archive
        return False
    return "column_range.npy" in names and not names.isdisjoint({"orders.npy", "traces.npy"})


def read(path: Path, shape: tuple[int, int] | None, dispersion_axis: int | None):
    """
    Read the traces that PyReduce found, ``.npz`` or FITS.

    Parameters
    ----------
    path : `pathlib.Path`
        The file.
    shape, dispersion_axis : tuple of int and int, optional
        Not needed. If given, must agree with the frames as PyReduce orients them.

    Returns
    -------
    `EchelleOrderTable`
        Without edges. Traces without an order number are numbered from 1 in the order of the file.
        FITS files also provide the columns ``file_order`` and ``fiber`` (the group, or the number
        of the fibre within its order).

    Raises
    ------
    ValueError
        If an array or column is missing, has the wrong shape or holds anything but finite numbers,
        or if the archive is damaged or holds Python objects.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If single fibres are skipped in favour of their groups, or the order numbers are replaced.
    """
    return _read_npz(path) if _is_zip(path) else _read_fits(path)


def _is_zip(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(len(_ZIP)) == _ZIP


def _read_npz(path: Path) -> EchelleOrderTable:
    try:
        # NumPy does not close a damaged file that it opened itself.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            name = "orders" if "orders" in archive.files else "traces"
            arrays = {key: archive[key] for key in (name, "column_range") if key in archive.files}
    except (zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"the archive is damaged: {error}") from error
    powers = column(arrays, name, "the archive", ndim=2)
    return _order_table(np.arange(len(powers)) + 1, powers, arrays, "column_range", "the archive")


def _read_fits(path: Path) -> EchelleOrderTable:
    _, table = fits_tables(path, _TABLE)[_TABLE]
    where = f"HDU {_TABLE}"
    powers, orders = column(table, "POS", where, ndim=2), column(table, "M", where).astype(int)
    rows, fibers = _groups_or_fibers(table, len(orders))
    orders = orders[rows]
    unknown = (orders < 0).any()
    numbers = np.arange(len(orders)) + 1 if unknown else unique_numbers(orders)
    ranges = {"col_range": column(table, "COL_RANGE", where, ndim=2)[rows]}
    found = _order_table(numbers, powers[rows], ranges, "COL_RANGE", where)
    return with_columns(found, file_order=orders, fiber=fibers[rows])


def _order_table(numbers, powers, table, name: str, where: str) -> EchelleOrderTable:
    ranges = column(table, name, where, ndim=2)
    if ranges.shape != (len(powers), 2):
        raise ValueError(
            f"{where}, column {name} has shape {ranges.shape}, expected {(len(powers), 2)}"
        )
    return EchelleOrderTable.from_polynomials(
        numbers,
        powers[:, ::-1],
        shape=None,
        dispersion_axis=1,
        pixel_range=ranges - (0, 1),
    )


def _groups_or_fibers(table: dict, n_traces: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to read, and the group or fibre of every row."""
    groups = table.get("group", table.get("fiber", np.full(n_traces, ""))).astype(str)
    groups = np.char.strip(groups)
    fibers = table.get("fiber_idx", np.full(n_traces, -1))
    grouped = ~np.isin(groups, ["", "0"])
    names = np.where(grouped, groups, np.where(fibers < 0, "", fibers.astype(str)))
    if not grouped.any() or grouped.all():
        return np.arange(n_traces), names
    warn(
        f"the file has {grouped.sum()} merged groups of fibres and {(~grouped).sum()} single "
        "fibres; only the groups are read",
    )
    return np.flatnonzero(grouped), names


register_format("pyreduce", identify=identify, read=read)
