# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Registry of the formats of order tables: formats register themselves, and files are matched to them.

Paths, overwriting, and the shape and axis given by the user are handled here, so that a format only
needs to know its own files.
"""

import os
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from astropy.io import fits
from astropy.utils.data import get_readable_fileobj

from ccdproc_echelle._words import did_you_mean
from ccdproc_echelle.frames import (
    FITS_ENDINGS,
    FOREIGN_ENDINGS,
    TEXT_ENDINGS,
    check_output,
    is_compressed,
    replacing,
    user_path,
)
from ccdproc_echelle.orders.checks import checked_axis, checked_shape

__all__ = [
    "FORMATS", "OrderTableFormat", "check_order_output", "format_of", "read_orders",
    "register_format", "write_orders",
]

# Names of FITS files and of compressed files.
_OF_FITS = (*FITS_ENDINGS, ".fz")
_PACKED = (".gz", ".bz2", ".xz", ".zip")


@dataclass(frozen=True)
class OrderTableFormat:
    """
    Format of order tables, created by `register_format`.

    Attributes
    ----------
    name : str
        Name of the format, as given by users.
    identify, read, write : callable or None
        See `register_format`.
    several_detectors : bool
        Whether a file can hold the orders of several detectors.
    writes_fits : bool or None
        Whether it writes FITS files or uncompressed text; `None` if that is not known beforehand.
    """

    name: str
    identify: Callable | None
    read: Callable | None
    write: Callable | None
    several_detectors: bool
    writes_fits: bool | None


FORMATS: dict[str, OrderTableFormat] = {}


def register_format(
    name: str,
    *,
    identify: Callable | None = None,
    read: Callable | None = None,
    write: Callable | None = None,
    several_detectors: bool = False,
    writes_fits: bool | None = None,
) -> None:
    """
    Register a format of order tables for `EchelleOrderTable.read` and `EchelleOrderTable.write`.

    Any package can register its own formats, preferably when it is imported. To identify a file,
    formats are tried starting with the one registered last, so that user-defined formats take
    precedence over those of this package.

    Parameters
    ----------
    name : str
        Name of the format: the ``format`` argument of `EchelleOrderTable.read`.
    identify : callable, optional
        ``identify(path)`` tells from the content of a file whether it is in this format. It should
        read little and never raise. Without it, the format is used only when it is named
        explicitly.
    read : callable, optional
        ``read(path, shape, dispersion_axis)`` returns an `EchelleOrderTable`. Shape and axis are
        those given by the user, or `None`; they are needed only if the file does not contain them,
        and the caller checks that they agree with the file. For an invalid file it should raise a
        `ValueError` that names the line, column or keyword.
    write : callable, optional
        ``write(orders, path)`` writes a file that does not exist yet.
    several_detectors : bool, optional
        Whether a file can hold the orders of several detectors; ``read`` then takes the keyword
        ``detector``, a name or `None`.
    writes_fits : bool, optional
        Whether ``write`` writes a FITS file (True) or uncompressed text (False), so that a file
        name that does not suit is refused before any work. Default: see what has been written.

    Raises
    ------
    ValueError
        If the name is already registered, or neither ``read`` nor ``write`` is given.

    Examples
    --------
    A format with one line per order, containing the order number and the row:

    >>> import tempfile
    >>> from pathlib import Path
    >>> from ccdproc_echelle import EchelleOrderTable
    >>> from ccdproc_echelle.orders import FORMATS, register_format
    >>> def read(path, shape, dispersion_axis):
    ...     lines = [line.split() for line in path.read_text().splitlines()]
    ...     return EchelleOrderTable.from_polynomials(
    ...         [int(number) for number, _ in lines], [[float(row)] for _, row in lines],
    ...         shape=shape, dispersion_axis=1)
    ...
    >>> register_format("rows", read=read)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "orders.txt"
    ...     _ = path.write_text("81 20\\n82 30\\n")
    ...     EchelleOrderTable.read(path, format="rows", shape=(40, 50))
    ...
    <EchelleOrderTable: 2 orders (81 to 82), shape (40, 50), dispersion_axis 1, no edges>
    >>> del FORMATS["rows"]
    """
    if name in FORMATS:
        raise ValueError(f"an order-table format {name!r} is already registered")
    if read is None and write is None:
        raise ValueError(f"order-table format {name!r} has neither read nor write")
    FORMATS[name] = OrderTableFormat(name, identify, read, write, several_detectors, writes_fits)


def read_orders(
    path: str | os.PathLike,
    *,
    format: str | None = None,
    shape: tuple[int, int] | None = None,
    dispersion_axis: int | None = None,
    detector: str | None = None,
):
    """
    Read an order table. This is the implementation of `EchelleOrderTable.read`.

    Parameters
    ----------
    path : path-like
        The file to read.
    format : str, optional
        A key of ``FORMATS``. Default: identified from the content of the file.
    shape : tuple of int, optional
        Rows and columns of the detector, for formats that do not contain them.
    dispersion_axis : int, optional
        1 when orders run along image rows, 0 when along columns, for formats that do not contain
        it.
    detector : str, optional
        Detector whose orders are read, for files with several detectors (cr2res, KPF).

    Returns
    -------
    `EchelleOrderTable`

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the format is unknown or cannot be read, if the content is malformed or contradicts
        ``shape`` or ``dispersion_axis``, or if it has several detectors and none was selected.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from ccdproc_echelle import EchelleOrderTable
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "centres.txt"
    ...     _ = path.write_text("10 30\\n" * 50)  # two orders at 50 dispersion pixels
    ...     EchelleOrderTable.read(path, shape=(40, 50))
    <EchelleOrderTable: 2 orders (1 to 2), shape (40, 50), dispersion_axis 1, no edges>
    """
    path = _checked_input(path)
    shape = checked_shape(shape)
    axis = None if dispersion_axis is None else checked_axis(dispersion_axis)
    name = _identified(path) if format is None else format
    chosen = {} if detector is None else {"detector": detector}
    known = _format(name, "read")
    if chosen and not known.several_detectors:
        raise ValueError(f"detector is {detector!r}, but {name!r} files are for a single detector")
    try:
        orders = known.read(path, shape, axis, **chosen)
    except Exception as error:  # readers may raise anything on a damaged file
        raise ValueError(
            f"cannot read {path} as an order table in format {name!r}: {error}"
        ) from error
    return _agreeing(orders, path, shape, axis)


def write_orders(
    orders,
    path: str | os.PathLike,
    *,
    format: str | None = None,
    overwrite: bool = False,
) -> None:
    """
    Write an order table. This is the implementation of `EchelleOrderTable.write`.

    Parameters
    ----------
    orders : `EchelleOrderTable`
        The orders to write.
    path : path-like
        The file to write.
    format : str, optional
        A key of ``FORMATS``. Default: ``"ecsv"``.
    overwrite : bool, optional
        Whether to replace an existing file.

    Raises
    ------
    FileExistsError
        If the file exists and ``overwrite`` is false.
    ValueError
        If the format is unknown or cannot be written, if it cannot hold these orders, or if the
        file has the name of a FITS file and the format is text, or the other way round.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from ccdproc_echelle import EchelleOrderTable
    >>> orders = EchelleOrderTable.from_polynomials(
    ...     [10, 11], [[20, 0.1], [60, 0.1]], shape=(100, 120), dispersion_axis=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "orders.fits"
    ...     orders.write(path, format="soxspipe")
    ...     EchelleOrderTable.read(path)
    <EchelleOrderTable: 2 orders (10 to 11), shape None, dispersion_axis 0, no edges>
    """
    known = check_order_output(path, format, overwrite=overwrite)
    with replacing(path, overwrite=overwrite) as temporary:
        known.write(orders, temporary)
        if known.writes_fits is None:
            with get_readable_fileobj(temporary, encoding="binary") as content:
                is_fits = content.read(6) == b"SIMPLE"
            _check_name(path, known.name, is_fits, is_packed=is_compressed(temporary))


def _check_name(
    path: str | os.PathLike, format: str, is_fits: bool, *, is_packed: bool = False
) -> None:
    """Raise if the name of a file says that it is FITS and it is not, or the other way round."""
    name = os.fspath(path).lower()
    if is_fits:
        wrong = name.endswith((*TEXT_ENDINGS, *FOREIGN_ENDINGS))
    else:
        wrong = name.endswith(_OF_FITS)
        wrong |= name.endswith(_PACKED) and not is_packed
    if wrong:
        kind = "a FITS file" if is_fits else "a text file that is not compressed"
        raise ValueError(
            f"cannot write {path}: the format {format!r} is {kind}, which needs another name; "
            "change the name or give format="
        )


def check_order_output(
    path: str | os.PathLike,
    format: str | None = None,
    *,
    overwrite: bool = False,
    inputs: Iterable[str | os.PathLike] = (),
) -> OrderTableFormat:
    """
    Check that an order table can be written, before any work is done.

    Parameters
    ----------
    path, format, overwrite
        See `EchelleOrderTable.write`.
    inputs : iterable of path-like, optional
        Input files from which the table is made; these are never overwritten.

    Returns
    -------
    `OrderTableFormat`
        The format in which it will be written.

    Raises
    ------
    ValueError, OSError
        If the table cannot be written.
    """
    check_output(path, overwrite=overwrite, inputs=inputs)
    name = os.fspath(path).lower()
    if format is None and name.endswith((*_OF_FITS, *FOREIGN_ENDINGS)):
        kind = "another kind of" if name.endswith(FOREIGN_ENDINGS) else "a FITS"
        raise ValueError(
            f"{path} has the name of {kind} file, but the native format of order tables is text "
            "(.ecsv); give format=, for example 'soxspipe', which is FITS"
        )
    if format is None and name.endswith(".reg"):
        raise ValueError(
            f"{path} has the name of a file of DS9 regions, but the native format of order tables "
            "is ECSV (.ecsv); change the name or give format=, which is 'ds9' for such a file"
        )
    known = _format("ecsv" if format is None else format, "write")
    if known.writes_fits is not None:
        _check_name(path, known.name, known.writes_fits)
    return known


def format_of(path: str | os.PathLike) -> str | None:
    """
    Identify the format of an order table from the content of its file.

    Parameters
    ----------
    path : path-like
        The file to read.

    Returns
    -------
    str or None
        A key of ``FORMATS``; `None` if the file is not a known order table.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from ccdproc_echelle.orders import format_of
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "centres.txt"
    ...     _ = path.write_text("10 30\\n" * 50)
    ...     format_of(path)
    'samples'
    """
    path = user_path(path)
    with warnings.catch_warnings(action="ignore"):  # of astropy, about files that are not FITS
        for name, known in reversed(FORMATS.items()):
            if known.identify is not None and known.identify(path):
                return name
    return None


def _format(name: str, action: str) -> OrderTableFormat:
    """The format of this name, provided it supports the action, reading or writing."""
    able = able_formats(action)
    if name in able:
        return FORMATS[name]
    raise ValueError(
        f"format is {name!r}, expected one that can be {_PARTICIPLES[action]}: {able}"
        f"{did_you_mean(str(name).lower(), able)}"
    )


def able_formats(action: str) -> list[str]:
    """Names of the formats that support the action, ``"read"`` or ``"write"``."""
    return [name for name, known in FORMATS.items() if getattr(known, action) is not None]


_PARTICIPLES = {"read": "read", "write": "written"}


def _checked_input(path: str | os.PathLike) -> Path:
    path = user_path(path)
    if not path.exists():
        raise FileNotFoundError(f"order table {path} does not exist")
    if path.is_dir():
        raise ValueError(f"{path} is a folder, expected an order-table file")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty, expected an order table")
    return path


def _identified(path: Path) -> str:
    name = format_of(path)
    if name is not None:
        return name
    if _is_master_flat(path):
        raise ValueError(
            f"{path} is a master flat, expected an order table: save that of the master flat, in "
            "Python with MasterFlat.read(path).orders.write(...)"
        )
    raise ValueError(
        f"{path} is in none of the known order-table formats {able_formats('read')}; if it "
        "should be, specify the format to see what is wrong with it"
    )


def _is_master_flat(path: Path) -> bool:
    try:
        with warnings.catch_warnings(action="ignore"):
            header = fits.getheader(path)
    except Exception:  # of a file that is not FITS: astropy may take it for an archive
        return False
    return "FLATVERS" in header


def _agreeing(orders, path, shape, axis):
    """The table, completed with the user's shape; raises if the file contradicts the user."""
    for name, given, found in (
        ("dispersion_axis", axis, orders.dispersion_axis),
        ("shape", shape, orders.shape),
    ):
        if None not in (given, found) and given != found:
            raise ValueError(f"{path} is for {name} {found}, but {name}={given} was given")
    if shape is None:
        return orders
    try:
        return orders.on_detector(shape)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
