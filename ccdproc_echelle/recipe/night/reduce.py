# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Reduce a night in one call: from raw frames of any number of set-ups to master flats."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable
from ccdproc import ImageFileCollection

from ccdproc_echelle._warnings import filters_restored
from ccdproc_echelle.frames import replacing
from ccdproc_echelle.recipe.instruments import Instrument
from ccdproc_echelle.recipe.metrics import METRICS
from ccdproc_echelle.recipe.night.config import NightConfig
from ccdproc_echelle.recipe.night.page import page_of_night
from ccdproc_echelle.recipe.night.plan import NightPlan, plan_night
from ccdproc_echelle.recipe.night.product import FILES
from ccdproc_echelle.recipe.night.work import NightResult, remove_leftovers, results_of_night

__all__ = ["carry_out", "reduce_night"]


def reduce_night(
    folder: str | os.PathLike | ImageFileCollection,
    output: str | os.PathLike,
    *,
    instrument: str | os.PathLike | Instrument | None = None,
    orders: Any = None,
    executor: Executor | None = None,
    config: str | os.PathLike | Mapping[str, Any] | NightConfig | None = None,
    **keywords: Any,
) -> QTable:
    """
    Make the master flats of a night, one for each set-up.

    Flats, biases, darks and lamp-off frames are identified by their headers; everything else,
    products of earlier runs, and files that cannot be read are left out. Flats belong to the same
    set-up if they agree in all keywords of `~ccdproc_echelle.recipe.SETUP_KEYWORDS` that they have.
    Bias and dark frames must agree with them in binning, read-out mode, gain and detector. Darks
    are those with the exposure time of the flats, preferably lamp-off frames; other darks are used
    only if there is a bias, so that they can be scaled. If there are several series, the one
    nearest in time is used. Flats that do not belong to their set, for example because a lamp
    failed, are left out (``reject="drop"``).

    If a set-up fails, the others are still reduced. A product is up to date, and left untouched, if
    its inputs (by their checksums), keywords and package version are those in its provenance, so
    that an interrupted run can be continued.

    Parameters
    ----------
    folder : path-like or `ccdproc.ImageFileCollection`
        Folder with raw frames; subfolders are not searched.
    output : path-like
        Folder for the products of this night, created if necessary. Only one run at a time can
        write to it.
    instrument : str, path-like or `Instrument`, optional
        Instrument description: one of `instrument_names`, or the path of a TOML file.
    orders : `EchelleOrderTable`, path-like, or a list of these, optional
        Order tables or master flats of another night. Master flats are matched to set-ups by their
        headers, tables by the shape of the frames, before or after binning. Default: trace the
        orders, with ``trace_keywords``.
    executor : `concurrent.futures.Executor`, optional
        Executor that does the work: processes, or a dask cluster whose workers see the same files.
        If there are at least as many set-ups as workers, each set-up is a task; otherwise each
        frame is. Default: one thread per core. The result is bit-identical in all cases.
    config : path-like or dict, optional
        A TOML file, or a dict with its contents: keywords of `make_master_flat` for all set-ups,
        and tables ``[setup."PATTERN"]`` for set-ups with matching names. Parameters of the SOXS
        recipe can be given by their own names.
    **keywords
        Keywords of `make_master_flat` for all set-ups; ``mem_limit`` applies to each worker. The
        configuration takes precedence.

    Returns
    -------
    `~astropy.table.QTable`
        One row per set-up: ``setup``, ``status`` ("made", "up to date" or "failed"), ``verdict``
        ("pass", "fail", "not judged" or "failed"), ``message``, ``date`` of the first flat,
        ``master`` (the file), and each quantity of `flat_quality`. The file ``qc.ecsv`` has the
        same table without ``status``.

    Raises
    ------
    ValueError
        If no two flats have the same set-up, the configuration has an unknown key, or a keyword has
        an invalid value.
    TypeError
        If a keyword is unknown, or has a value of the wrong type.
    OSError
        If the folder or the configuration cannot be read, or the output cannot be written, or it
        has master flats of another night.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If a table of the configuration matches no set-up. Warnings issued while a set-up is reduced
        are in its log and on the page.

    Notes
    -----
    The output folder contains a subfolder for each set-up, with ``master.fits``, ``orders.ecsv``,
    ``summary.png`` and ``log.txt``, the table ``qc.ecsv`` and the page ``index.html``.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from ccdproc_echelle import reduce_night
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> simulation = EchelleSimulation(shape=(128, 128), n_orders=3, seed=1).with_bias(300)
    >>> with TemporaryDirectory() as folder:
    ...     _ = simulation.write(folder, 3, 0, 2)
    ...     night = [reduce_night(folder, Path(folder) / "out", window=8) for _ in range(2)]
    ...
    >>> [table["status"].tolist() for table in night]
    [['made'], ['up to date']]
    """
    plan = plan_night(
        folder, output, instrument=instrument, orders=orders, config=config, **keywords
    )
    return carry_out(plan, executor=executor)


def carry_out(
    plan: NightPlan,
    *,
    executor: Executor | None = None,
    tell: Callable[[NightResult], None] | None = None,
) -> QTable:
    """
    Carry out a plan made by `plan_night`.

    Parameters
    ----------
    plan : `NightPlan`
        The plan.
    executor : `concurrent.futures.Executor`, optional
        Executor that does the work; see `reduce_night`.
    tell : callable, optional
        Called with the `NightResult` of each set-up when it is finished.

    Returns
    -------
    `~astropy.table.QTable`
        The table described in `reduce_night`.

    Raises
    ------
    OSError
        If the output cannot be written.
    """
    _check_writable(plan.output)
    results = []
    with filters_restored():
        for result in results_of_night(plan.jobs, executor):
            if tell is not None:
                tell(result)
            results.append(result)
    table = _quality_of_night(results)
    kept = table.copy()
    kept.remove_columns(["status"])
    text = StringIO()
    kept.write(text, format="ascii.ecsv")
    _write_if_new(plan.output / "qc.ecsv", text.getvalue())
    _write_if_new(plan.output / "index.html", page_of_night(plan, results))
    return table


def _check_writable(folder: Path) -> None:
    """Check before any work, and remove what a killed run has left behind."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"cannot write to {folder}: it is a file, expected a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder)
    except OSError as error:
        raise type(error)(f"cannot create the folder {folder}: {error.strerror}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"cannot write to {folder}: no permission")


def _write_if_new(path: Path, text: str) -> None:
    content = text.encode(errors="backslashreplace")  # names of files may have any bytes
    if path.is_file() and path.read_bytes() == content:
        return
    with replacing(path, overwrite=True) as temporary:
        temporary.write_bytes(content)


def _quality_of_night(results: Sequence[NightResult]) -> QTable:
    """One row per set-up; limits and units of levels, which may differ, in the metadata."""
    columns = {
        "setup": [one.job.name for one in results],
        "status": [one.status for one in results],
        "verdict": [one.verdict for one in results],
        "message": [one.message for one in results],
        "date": [one.job.setup.date for one in results],
        "master": [f"{one.job.folder.name}/{FILES['master']}" if one.product else ""
                   for one in results],
    }
    values = [_values(result) for result in results]
    columns |= {name: [one.get(name, np.nan) for one in values] for name in METRICS}
    made = [one for one in results if one.product]
    limits = {one.job.name: _limits(one) for one in made}
    units = {one.job.name: _unit_of_levels(one) for one in made}
    return QTable(columns, meta={"limits": limits, "units": units})


def _values(result: NightResult) -> dict[str, float]:
    if result.product is None:
        return {}
    quality = result.product.quality
    return dict(zip(quality["name"].tolist(), quality["value"].tolist(), strict=True))


def _unit_of_levels(result: NightResult) -> str:
    quality = result.product.quality
    return str(quality["unit"][quality["name"] == "level_median"][0])


def _limits(result: NightResult) -> dict[str, list[float | None]]:
    """Lower and upper limit of each quantity that has limits."""
    return {
        str(row["name"]): [None if np.isnan(row[end]) else float(row[end])
                           for end in ("lower", "upper")]
        for row in result.product.quality
        if not (np.isnan(row["lower"]) and np.isnan(row["upper"]))
    }
