# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Quality of many master flats as a function of time."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable, Table, vstack
from astropy.time import Time

from ccdproc_echelle.frames import observation_time, user_path
from ccdproc_echelle.recipe.limits import with_limits
from ccdproc_echelle.recipe.metrics import METRICS
from ccdproc_echelle.recipe.night.frames import setup_values
from ccdproc_echelle.recipe.night.setups import slug_of
from ccdproc_echelle.recipe.product import MasterFlat

__all__ = ["quality_trends"]

# Name of the master flats of a night, which are in the folders of their set-ups.
_IN_FOLDER = "master.fits"


def quality_trends(
    paths: Iterable[str | os.PathLike],
    *,
    limits: Mapping[str, Any] | str | os.PathLike | None = None,
) -> QTable:
    """
    Collect the quality of master flats in chronological order.

    Parameters
    ----------
    paths : iterable of path-like
        Master flats, and ``qc.ecsv`` tables of nights.
    limits : dict or path-like, optional
        Limits that replace those stored with the master flats; see `with_limits`.

    Returns
    -------
    `~astropy.table.QTable`
        One row for each quantity of each master flat: ``setup``, ``date`` (MJD; NaN if unknown),
        ``source`` (the file), and ``name``, ``value``, ``unit``, ``lower``, ``upper`` and
        ``verdict`` as in `flat_quality`. Unknown quantities have no row.

    Raises
    ------
    ValueError
        If a file is neither of these, or the limits are invalid.
    OSError
        If a file cannot be read.

    Examples
    --------
    >>> from ccdproc_echelle.recipe import quality_trends
    >>> quality_trends(["night1/qc.ecsv", "night2/qc.ecsv"])  # doctest: +SKIP
    """
    tables = [
        with_limits(table, limits) if limits is not None else table
        for path in map(user_path, paths) for table in _tables_of(path)
    ]
    if not tables:
        raise ValueError("no master flats given, expected at least one")
    found = vstack(tables)
    found = found[np.isfinite(found["value"])]
    return found[np.argsort(found["date"], kind="stable")]


def _tables_of(path: Path) -> list[QTable]:
    if path.suffix == ".ecsv":
        return list(_of_night(path))
    master = MasterFlat.read(path)
    header = master.flat.header
    name = path.parent.name if path.name == _IN_FOLDER else slug_of(setup_values(header))
    return [_placed(master.quality, name or path.stem, observation_time(header), path)]


def _of_night(path: Path):
    """The quality table of each set-up that has one."""
    table = Table.read(path, format="ascii.ecsv")
    missing = [name for name in ("setup", "date", *METRICS) if name not in table.colnames]
    if missing:
        raise ValueError(f"{path} has no column {missing[0]!r}, expected the qc.ecsv of a night")
    limits, units = (table.meta.get(name, {}) for name in ("limits", "units"))
    for row in table:
        setup, date = str(row["setup"]), str(row["date"])
        quality = QTable({
            "name": list(METRICS),
            "value": [float(row[name]) for name in METRICS],
            "unit": [metric.unit_for(units.get(setup)) for metric in METRICS.values()],
            "lower": np.full(len(METRICS), np.nan),
            "upper": np.full(len(METRICS), np.nan),
            "verdict": np.full(len(METRICS), "", dtype="U4"),
            "comment": [metric.comment for metric in METRICS.values()],
        })
        quality = quality[np.isfinite(quality["value"])]
        known = {name: pair for name, pair in limits.get(setup, {}).items()
                 if name in quality["name"]}
        time = Time(date).mjd if date and date != "--" else None
        yield _placed(with_limits(quality, known), setup, time, path)


def _placed(quality: QTable, setup: str, time: float | None, path: Path) -> QTable:
    columns = ("name", "value", "unit", "lower", "upper", "verdict", "comment")
    table = QTable(quality[columns], copy=True)
    table.meta.clear()
    for i, (name, value) in enumerate(
        (("setup", setup), ("date", np.nan if time is None else time), ("source", str(path)))
    ):
        table.add_column([value] * len(table), name=name, index=i)
    return table
