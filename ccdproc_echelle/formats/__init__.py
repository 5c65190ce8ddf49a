# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Files of order tables: the native one and those of other programs.

======== ======================================= ==== ===== ============== =====================
name     program                                 read write carries shape? carries the axis?
======== ======================================= ==== ===== ============== =====================
ecsv     this package: the table as it is        yes  yes   yes            yes
soxspipe soxspipe (SOXS, X-shooter): FITS, CSV   yes  FITS  no             yes
iraf     IRAF apextract: database/ap... files    yes  yes   no             yes
pyreduce PyReduce: npz archive, FITS traces      yes  no    no             yes
pypeit   PypeIt: Slits_*.fits.gz                 yes  no    yes            yes
cr2res   cr2res (CRIRES+): TRACE_WAVE            yes  no    yes            yes
kpf      KPF pipeline: order trace CSV           yes  no    no             yes
samples  any: a text file of sampled centres     yes  yes   no             no, found from shape
ds9      SAOImage DS9: regions to look at        no   yes   no             no
======== ======================================= ==== ===== ============== =====================

A format is a module with ``identify(path)``, which looks at the content of a file and never
raises; where it can be read, ``read(path, shape, dispersion_axis)``, which raises a `ValueError`
that names the line, column or keyword; where it can be written, ``write(orders, path)``. Paths,
overwriting and what the user says of shape and axis are dealt with here.
"""

import difflib
import inspect
import os
from pathlib import Path
from types import ModuleType

from ccdproc_echelle.files import replacing
from ccdproc_echelle.formats import (
    cr2res,
    ds9,
    ecsv,
    iraf,
    kpf,
    pypeit,
    pyreduce,
    samples,
    soxspipe,
)
from ccdproc_echelle.orders import EchelleOrderTable, _checked_axis, _checked_shape

__all__ = ["FORMATS", "read", "write"]

# Asked in this order whether a file is theirs: the least particular last.
FORMATS = {
    "ecsv": ecsv,
    "soxspipe": soxspipe,
    "iraf": iraf,
    "pyreduce": pyreduce,
    "pypeit": pypeit,
    "cr2res": cr2res,
    "kpf": kpf,
    "samples": samples,
    "ds9": ds9,
}


def read(
    path: str | os.PathLike,
    *,
    format: str | None = None,
    shape: tuple[int, int] | None = None,
    dispersion_axis: int | None = None,
    detector: str | None = None,
) -> EchelleOrderTable:
    """
    Read an order table; the implementation of `EchelleOrderTable.read`, which see.

    Parameters
    ----------
    path : path-like
        The file.
    format : str, optional
        A key of ``FORMATS``. Default: found from the content of the file.
    shape : tuple of int, optional
        Rows and columns of the detector, for formats that do not carry them.
    dispersion_axis : int, optional
        1 when orders run along image rows, 0 when along columns, for formats that do not carry
        it.
    detector : str, optional
        Which detector's orders, for files that hold those of several (cr2res, KPF).

    Returns
    -------
    `EchelleOrderTable`

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the format is unknown or cannot be read, the content is malformed, it contradicts
        ``shape`` or ``dispersion_axis``, or holds several detectors and none was named.

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
    shape = _checked_shape(shape)
    axis = None if dispersion_axis is None else _checked_axis(dispersion_axis)
    name = _identified(path) if format is None else format
    module = _module(name, "read")
    chosen = {} if detector is None else {"detector": detector}
    if chosen and "detector" not in inspect.signature(module.read).parameters:
        raise ValueError(f"detector is {detector!r}, but {name!r} files are for a single one")
    try:
        orders = module.read(path, shape, axis, **chosen)
    except Exception as error:  # a damaged file makes its reader raise anything
        raise ValueError(f"cannot read {path} as {name!r} order table: {error}") from error
    return _agreeing(orders, path, shape, axis)


def write(
    orders: EchelleOrderTable,
    path: str | os.PathLike,
    *,
    format: str | None = None,
    overwrite: bool = False,
) -> None:
    """
    Write an order table; the implementation of `EchelleOrderTable.write`, which see.

    Parameters
    ----------
    orders : `EchelleOrderTable`
        The orders.
    path : path-like
        The file.
    format : str, optional
        A key of ``FORMATS``. Default: ``"ecsv"``, whatever the name of the file.
    overwrite : bool, optional
        Whether an existing file may be replaced.

    Raises
    ------
    FileExistsError
        If the file exists and ``overwrite`` is false.
    ValueError
        If the format is unknown or cannot be written, or cannot hold these orders.

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
    module = _module("ecsv" if format is None else format, "write")
    with replacing(path, overwrite=overwrite) as temporary:
        module.write(orders, temporary)


def _module(name: str, action: str) -> ModuleType:
    """The module of a format that can be read or written, whichever is the action."""
    able = _able(action)
    if name in able:
        return FORMATS[name]
    near = difflib.get_close_matches(str(name).lower(), able, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(
        f"format is {name!r}, expected one that can be {_PARTICIPLES[action]}: {able}{hint}"
    )


def _able(action: str) -> list[str]:
    """Names of the formats that can be read or written."""
    return [name for name, module in FORMATS.items() if hasattr(module, action)]


_PARTICIPLES = {"read": "read", "write": "written"}


def _checked_input(path: str | os.PathLike) -> Path:
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"order table {path} does not exist")
    if path.is_dir():
        raise ValueError(f"{path} is a folder, expected an order-table file")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty, expected an order table")
    return path


def _identified(path: Path) -> str:
    for name, module in FORMATS.items():
        if module.identify(path):
            return name
    raise ValueError(
        f"{path} is in none of the known order-table formats {_able('read')}; if it is, name the "
        "format to learn what is wrong with it"
    )


def _agreeing(orders, path, shape, axis) -> EchelleOrderTable:
    """The table, with the user's shape where the file has none; what both say must be equal."""
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
