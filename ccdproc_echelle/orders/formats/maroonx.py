# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Stripes of MAROON-X: the processed flats of its DRAGONS pipeline [1]_, in FITS.

The table HDU ``STRIPES_ID`` has a column for each order, named by its number. Its rows are the
coefficients, highest power first, of the first fibre, followed by those of the next one, and so on;
the image HDU ``STRIPES_FIBERS`` lists the numbers of these fibres, 1 to 5. A polynomial gives the
row as a function of the column of the processed flat, both counted from 0. Where an order is
missing in a fibre, the coefficients are NaN.

- Orders run along rows (``dispersion_axis=1``). The shape is that of the HDU ``SCI``, which has
  been trimmed of overscan: frames must be trimmed likewise.
- Each fibre of an order becomes a separate order, identified by the columns ``fibre`` and
  ``bundle``.
- The stripes have neither ends nor edges.

References
----------
.. [1] https://github.com/GeminiDRSoftware/MAROONXDR
"""

from pathlib import Path

import numpy as np
from astropy.io import fits

from ccdproc_echelle.orders.formats._tables import (
    fits_columns,
    fits_tables,
    unique_numbers,
    with_columns,
)
from ccdproc_echelle.orders.registry import register_format
from ccdproc_echelle.orders.table import EchelleOrderTable

__all__ = ["identify", "read"]

_TABLE, _FIBRES, _IMAGE = "STRIPES_ID", "STRIPES_FIBERS", "SCI"


def identify(path: Path) -> bool:
    """Whether the file has a table of stripes."""
    return _TABLE in fits_columns(path)


def read(path: Path, shape: tuple[int, int] | None, dispersion_axis: int | None):
    """
    Read the traces of all fibres.

    Parameters
    ----------
    path : `pathlib.Path`
        The file.
    shape, dispersion_axis : tuple of int and int, optional
        The shape is needed if the file has no HDU ``SCI``; otherwise both must agree with the file.

    Returns
    -------
    `EchelleOrderTable`
        Without edges, with the columns ``file_order``, ``bundle`` (the same) and ``fibre``. If
        there are several fibres, traces are numbered from 1 in the order of the file, order by
        order.

    Raises
    ------
    ValueError
        If the file lacks the fibre numbers or the shape, or its rows are not the coefficients of
        that many fibres.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If the order numbers of the file are replaced.
    """
    columns = fits_tables(path, _TABLE)[_TABLE][1]
    fibres, file_shape = _fibres_and_shape(path)
    shape = file_shape or shape
    if shape is None:
        raise ValueError(f"the file has no HDU {_IMAGE}: give shape=, that of the trimmed flats")
    numbers, fibre, coefficients = [], [], []
    for name, values in columns.items():
        stripes = _stripes(name, values, fibres)
        known = ~np.isnan(stripes).all(axis=1)
        coefficients += list(stripes[known, ::-1])
        fibre += fibres[known].tolist()
        numbers += [_order_number(name)] * int(known.sum())
    if not numbers:
        raise ValueError(f"HDU {_TABLE} has no coefficients")
    orders = EchelleOrderTable.from_polynomials(
        unique_numbers(numbers), coefficients, shape=shape, dispersion_axis=1
    )
    return with_columns(orders, file_order=numbers, bundle=numbers, fibre=fibre)


def _fibres_and_shape(path: Path) -> tuple[np.ndarray, tuple[int, int] | None]:
    """Fibre numbers, and the shape of the flat if the file has it."""
    with fits.open(path, memmap=False) as hdus:
        if _FIBRES not in hdus:
            raise ValueError(f"the file has no HDU {_FIBRES}; found {[hdu.name for hdu in hdus]}")
        fibres = np.asarray(hdus[_FIBRES].data)
        shape = hdus[_IMAGE].shape if _IMAGE in hdus else None
    if fibres.ndim != 1 or fibres.dtype.kind not in "iu" or len(fibres) == 0:
        raise ValueError(
            f"HDU {_FIBRES} holds {fibres.dtype} of shape {fibres.shape}, expected a list of "
            "integer fibre numbers"
        )
    return fibres, shape


def _stripes(name: str, values: np.ndarray, fibres: np.ndarray) -> np.ndarray:
    """The coefficients of each fibre, (n_fibres, n_coefficients)."""
    if values.dtype.kind not in "iuf" or values.ndim != 1 or len(values) % len(fibres):
        raise ValueError(
            f"HDU {_TABLE}, column {name}: {values.dtype} of shape {values.shape}, expected the "
            f"same number of coefficients for each of {len(fibres)} fibres"
        )
    return values.astype(float).reshape(len(fibres), -1)


def _order_number(name: str) -> int:
    digits = "".join(letter for letter in name if letter.isdecimal())
    if not digits or len(digits) > 6:
        raise ValueError(f"HDU {_TABLE}: column {name} is not named by an order number")
    return int(digits)


register_format("maroonx", identify=identify, read=read)
