# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Record how a master flat was made: parameters, versions, date and files."""

import enum
import hashlib
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import cache, partial
from importlib.metadata import version
from typing import Any

import numpy as np
from astropy import units as u
from astropy.nddata import CCDData
from astropy.table import QTable
from astropy.time import Time
from ccdproc import Keyword

from ccdproc_echelle import __version__
from ccdproc_echelle._tasks import results_of
from ccdproc_echelle.combining import CombineSettings
from ccdproc_echelle.frames import Frame, exposure_time, observation_time, user_path
from ccdproc_echelle.orders import EchelleOrderTable

__all__ = [
    "OF_THE_RUN",
    "Provenance",
    "checksum_of_file",
    "checksum_of_values",
    "date_text",
    "provenance_of",
    "text_of",
]

_DEPENDENCIES = ("numpy", "scipy", "astropy", "ccdproc")

#: Arguments that only affect how the work is done: the result is bit-identical for any values.
OF_THE_RUN = ("executor", "mem_limit", "progress_bar", "overwrite_output")

# Arguments that are inputs, and are not described by their values.
_INPUTS = ("img_list", "bias", "dark", "orders", "bad_pixel_mask")

# Larger arrays are described by their shape and checksum.
_LONGEST_ARRAY = 100

# Values whose `str` is the same in every run.
_THEIR_OWN_TEXT = (str, int, float, os.PathLike, u.Quantity, u.UnitBase)


@dataclass(frozen=True, eq=False)
class Provenance:
    """
    Record of how a master flat was made; ``print`` shows all of it.

    Attributes
    ----------
    record : `~astropy.table.QTable`
        Text columns ``kind``, ``name`` and ``value``. Kind "run": the date (UTC) and how the work
        was done, which has no influence on the result. Kind "version": versions of this package,
        its dependencies and Python. Kind "parameter": every keyword, including defaults.
    inputs : `~astropy.table.QTable`
        The input files or objects in memory: ``role`` ("flat", "bias", "dark", "orders", "mask",
        "limits"), ``file``, ``checksum`` (SHA-256 of the file, as printed by ``sha256sum``, or of
        the values in memory; empty if the file no longer exists), ``exposure`` (s; NaN if unknown)
        and ``date`` (start of the exposure, UTC; empty if unknown).

    Examples
    --------
    >>> from ccdproc_echelle import make_master_flat
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> simulation = EchelleSimulation(shape=(128, 160), n_orders=3)
    >>> master = make_master_flat(simulation.flats(3), simulation.truth.orders, window=8)
    >>> master.provenance["window"], master.provenance["n_passes"]
    ('8', '2')
    >>> print(master.provenance.inputs["role", "file", "exposure", "date"])
     role     file   exposure           date
                        s
    ------ --------- -------- -----------------------
      flat   frame 0     10.0 2024-01-01T00:00:00.000
      flat   frame 1     10.0 2024-01-01T00:00:30.000
      flat   frame 2     10.0 2024-01-01T00:01:00.000
    orders in memory      nan
    """

    record: QTable
    inputs: QTable

    def __getitem__(self, name: str) -> str:
        """Value of a parameter, version of a package, or ``"date"``."""
        found = self.record["value"][self.record["name"] == name]
        if len(found) == 0:
            raise KeyError(f"{name!r} is not in the provenance; it has {list(self.record['name'])}")
        return str(found[0])

    def __str__(self) -> str:
        lines = [f"{row['kind']:9s}  {row['name']} = {row['value']}" for row in self.record]
        for row in self.inputs:
            about = [str(row["file"]), str(row["checksum"])]
            if np.isfinite(row["exposure"]):
                about.append(str(row["exposure"]))
            lines.append(f"{row['role']:9s}  {'  '.join([*about, str(row['date'])])}".rstrip())
        return "\n".join(lines)


def provenance_of(
    arguments: Mapping[str, Any],
    settings: CombineSettings,
    reading: Mapping[str, Any],
    frames: Mapping[str, Sequence[Frame] | None],
) -> Provenance:
    """
    Record how a master flat is made by a call.

    Parameters
    ----------
    arguments : dict
        All arguments of the function by name, as in ``locals()`` when it begins; those collected in
        ``keywords`` are given by the next two arguments.
    settings : `~ccdproc_echelle.combining.CombineSettings`
        How frames are combined.
    reading : dict
        Keywords of ``CCDData.read``.
    frames : dict
        The frames that are used, by their role.

    Returns
    -------
    `Provenance`
    """
    combining = {field.name: getattr(settings, field.name) for field in fields(settings)}
    parameters = {**arguments, **combining, **reading}
    parameters.pop("keywords")
    return Provenance(_record(parameters), _inputs(arguments, frames))


# ---------------------------------------------------------------------- parameters and versions


def _record(parameters: Mapping[str, Any]) -> QTable:
    texts = {
        name: "see INPUTS" if name in _INPUTS and value is not None else text_of(value)
        for name, value in parameters.items()
    }
    rows = [("run", "date", _now())]
    rows += [("run", name, texts.pop(name)) for name in OF_THE_RUN]
    rows += [("version", "ccdproc_echelle", __version__), *_kind("version", _versions())]
    rows += [("version", "python", platform.python_version()), *_kind("parameter", texts)]
    return QTable(rows=rows, names=("kind", "name", "value"))


@cache
def _versions() -> dict[str, str]:
    return {name: version(name) for name in _DEPENDENCIES}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _kind(kind: str, values: Mapping[str, str]) -> list[tuple[str, str, str]]:
    return [(kind, name, value) for name, value in values.items()]


def text_of(value: Any) -> str:
    """
    Describe a value as text that is the same in every run, without addresses in memory.

    Parameters
    ----------
    value : object
        A parameter.

    Returns
    -------
    str

    Examples
    --------
    >>> from ccdproc_echelle.recipe.provenance import text_of
    >>> text_of({"window": 10, "low": (0.5, None)})
    '{window: 10, low: [0.5, None]}'
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, enum.Flag):
        return str(value.name)
    if value is None or isinstance(value, _THEIR_OWN_TEXT):
        return str(value)
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{text_of(key)}: {text_of(one)}' for key, one in value.items())}}}"
    if isinstance(value, np.ndarray) and value.size > _LONGEST_ARRAY:
        return f"array of shape {value.shape}, {checksum_of_values(value)}"
    if isinstance(value, (list, tuple, np.ndarray)):
        return f"[{', '.join(text_of(one) for one in value)}]"
    if isinstance(value, Keyword):
        return value.name
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"


# ---------------------------------------------------------------------- inputs


def _inputs(
    arguments: Mapping[str, Any], frames: Mapping[str, Sequence[Frame] | None]
) -> QTable:
    key = arguments["exposure_key"]
    tasks = [
        partial(_row_of_frame, role, frame, key)
        for role, some in frames.items()
        for frame in some or ()
    ]
    rows = list(results_of(tasks, None))
    orders, limits = arguments["orders"], arguments["limits"]
    if orders is not None:
        rows.append(_row("orders", *_of_orders(orders)))
    if isinstance(limits, (str, os.PathLike)):
        rows.append(_row("limits", limits))
    if arguments["bad_pixel_mask"] is not None:
        rows.append(_row("mask", *_of_mask(arguments["bad_pixel_mask"])))
    table = QTable(rows=rows, names=("role", "file", "checksum", "exposure", "date"))
    table["exposure"] = table["exposure"] * u.s
    return table


def _row_of_frame(role: str, frame: Frame, exposure_key: str | Keyword | None) -> tuple:
    header = frame.header
    exposure, start = exposure_time(header, exposure_key), observation_time(header)
    date = date_text(start)
    exposure = np.nan if exposure is None else exposure
    if frame.file:
        return _row(role, frame.file, exposure=exposure, date=date)
    values = frame.as_read.load().section(slice(None)).data
    return _row(role, frame.name, [values], exposure=exposure, date=date)


def _row(
    role: str,
    name: str | os.PathLike,
    values: Iterable[np.ndarray] | None = None,
    *,
    exposure: float = np.nan,
    date: str = "",
) -> tuple:
    """Row of a file, or of values in memory with this name."""
    checksum = checksum_of_file(name) if values is None else checksum_of_values(*values)
    return role, str(name), checksum, float(exposure), date


def _of_orders(orders: EchelleOrderTable) -> tuple:
    if orders.source is not None:
        return (orders.source,)
    table = orders.table
    return "in memory", [np.asarray(table[name]) for name in table.colnames]


def _of_mask(mask: Any) -> tuple:
    if isinstance(mask, (str, os.PathLike)):
        return (mask,)
    return "in memory", [mask.data if isinstance(mask, CCDData) else np.asarray(mask)]


def date_text(start: float | None) -> str:
    """
    Write the start of an exposure as in ``inputs``.

    Parameters
    ----------
    start : float or None
        MJD.

    Returns
    -------
    str
        Empty if it is not known.
    """
    return "" if start is None else Time(start, format="mjd").isot


def checksum_of_file(name: str | os.PathLike) -> str:
    """
    Compute the SHA-256 of a file, as printed by ``sha256sum``.

    Parameters
    ----------
    name : path-like
        The file.

    Returns
    -------
    str
        Empty if it cannot be read.
    """
    try:
        with user_path(name).open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError:  # removed since it was read; the result made from it is still valid
        return ""


def checksum_of_values(*arrays: np.ndarray) -> str:
    """
    Compute the SHA-256 of numbers or text in memory.

    Parameters
    ----------
    *arrays : array
        The values.

    Returns
    -------
    str
    """
    digest = hashlib.sha256()
    for array in arrays:
        if array.dtype.hasobject:  # whose bytes are addresses
            array = array.astype(str)
        digest.update(np.ascontiguousarray(array).ravel().view("u1"))
    return f"sha256:{digest.hexdigest()}"
