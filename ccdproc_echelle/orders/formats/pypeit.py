# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Slit edges of PypeIt [1]_ [2]_: the calibration files ``Slits_*.fits.gz``.

The table HDU ``SLITS`` has one row per slit or order, with the edges sampled at every spectral
pixel in ``left_init`` and ``right_init`` and, once a flat field has adjusted them, in
``left_tweak`` and ``right_tweak``. The latter are preferred if present, as in PypeIt. ``ech_order``
is the order number; for instruments without cross-dispersion the slit's ``spat_id`` is used
instead. ``specmin`` and ``specmax`` bound the spectral pixels of an order, both exclusive. The
keywords ``NSPEC`` and ``NSPAT`` give the shape.

- **Frames must be oriented as in PypeIt**: trimmed of overscan, with the spectral axis along
  columns (``dispersion_axis=0``), flipped if the instrument requires it, and with the binning of
  the calibration. For a frame that is only transposed use `EchelleOrderTable.transposed`.
- Positions are pixel indices, counted from 0. The order centre is midway between the edges.
- Slits masked by PypeIt are read as well: the mask may mean, for example, that a wavelength
  calibration failed, not that there is no light.

References
----------
.. [1] Prochaska, J. X. et al. 2020, JOSS 5, 2308
.. [2] https://pypeit.readthedocs.io (page "Slits"; class ``SlitTraceSet``)
"""

from pathlib import Path

import numpy as np
from astropy.io import fits

from ccdproc_echelle._warnings import warn
from ccdproc_echelle.orders.building import table_from_traces
from ccdproc_echelle.orders.columns import CURVE_LABELS
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

_TABLE = "SLITS"
_WHERE = f"HDU {_TABLE}"

# PypeIt fits edges with lower degrees, but adjusts them to flats with free offsets.
_DEGREE = 9

# Largest deviation of the fit, in pixels, that causes no warning.
_TOLERANCE = 0.1


def identify(path: Path) -> bool:
    """Whether the file has a table of left and right slit edges."""
    return {"left_init", "right_init"} <= fits_columns(path).get(_TABLE, set())


def read(path: Path, shape: tuple[int, int] | None, dispersion_axis: int | None):
    """
    Read slit edges of PypeIt and fit them.

    Parameters
    ----------
    path : `pathlib.Path`
        The file.
    shape, dispersion_axis : tuple of int and int, optional
        Not needed. If given, must agree with the frames as PypeIt orients them.

    Returns
    -------
    `EchelleOrderTable`
        With edges, as Chebyshev series of degree 9. The column ``file_order`` holds the order or
        slit numbers of the file.

    Raises
    ------
    ValueError
        If a column or keyword is missing, has the wrong shape or holds anything but finite numbers,
        or the spectral range of an order is empty.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If a series misses an edge by more than 0.1 pixels, or the order numbers of the file are
        replaced.
    """
    header, table = fits_tables(path, _TABLE)[_TABLE]
    left, right = _edges(table)
    shape = _keyword(header, "NSPEC"), _keyword(header, "NSPAT")
    if left.shape[1] != shape[0]:
        raise ValueError(
            f"{_WHERE} has edges at {left.shape[1]} spectral pixels, expected NSPEC = {shape[0]}"
        )
    outside = ~_within_range(table, left.shape)
    left[outside], right[outside] = np.nan, np.nan
    name = "ech_order" if "ech_order" in table else "spat_id"
    numbers = column(table, name, _WHERE).astype(int)
    traces = {"center": 0.5 * (left + right), "lower": left, "upper": right}
    orders = EchelleOrderTable(table_from_traces(
        unique_numbers(numbers), traces["center"], left, right, _DEGREE, shape, 0
    ))
    _warn_of_misses(orders, traces)
    return with_columns(orders, file_order=numbers)


def _edges(table: dict) -> tuple[np.ndarray, np.ndarray]:
    """Left and right edges, shape (n_orders, n_pixels)."""
    kind = "tweak" if {"left_tweak", "right_tweak"} <= table.keys() else "init"
    left, right = (column(table, f"{side}_{kind}", _WHERE, ndim=2) for side in ("left", "right"))
    if left.shape != right.shape:
        raise ValueError(
            f"{_WHERE}, column right_{kind} has shape {right.shape}, expected {left.shape} as "
            f"left_{kind}"
        )
    return left, right


def _keyword(header: fits.Header, name: str) -> int:
    if not isinstance(header.get(name), int):
        raise ValueError(f"{_WHERE}, keyword {name} is {header.get(name)!r}, expected an integer")
    return header[name]


def _within_range(table: dict, shape: tuple[int, int]) -> np.ndarray:
    """Where an order has light; the bounds may be missing or infinite."""
    pixels = np.arange(shape[1])
    low, high = (
        np.asarray(table.get(name, np.full(shape[0], default)), dtype=float)[:, None]
        for name, default in (("specmin", -np.inf), ("specmax", np.inf))
    )
    return (pixels > low) & (pixels < high)


def _warn_of_misses(orders: EchelleOrderTable, traces: dict[str, np.ndarray]) -> None:
    for name, trace in traces.items():
        misses = np.nanmax(np.abs(getattr(orders, name)() - trace), axis=1)
        if misses.max() > _TOLERANCE:
            warn(
                f"in order {orders.order_numbers[misses.argmax()]} the series of degree {_DEGREE} "
                f"misses the {CURVE_LABELS[name]} by up to {misses.max():.2g} pixels",
            )


register_format("pypeit", identify=identify, read=read)
