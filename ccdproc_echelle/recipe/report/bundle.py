# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The files of a report, and the archive in which they are sent."""

import os
import platform
import warnings
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable, Mapping
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from io import StringIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from astropy.table import Table

from ccdproc_echelle import __version__
from ccdproc_echelle._warnings import warn
from ccdproc_echelle.frames import check_output, matching_paths, replacing, user_path
from ccdproc_echelle.orders import format_of
from ccdproc_echelle.recipe.report.look import (
    FrameLook,
    OrdersLook,
    look_at_frame,
    look_at_orders,
)
from ccdproc_echelle.recipe.report.text import anonymous_text, names_of_this_machine

__all__ = ["report_on", "write_report"]

_PACKAGES = (
    "numpy", "scipy", "astropy", "ccdproc", "matplotlib", "tqdm", "distributed", "specreduce",
)


def write_report(
    files: Iterable[str | os.PathLike],
    output: str | os.PathLike,
    *,
    log: str | os.PathLike | None = None,
    overwrite: bool = False,
) -> list[str]:
    """
    Write an archive with what a bug report needs to know about frames and order tables.

    Parameters
    ----------
    files, log
        See `report_on`.
    output : path-like
        The archive (zip) to write.
    overwrite : bool, optional
        Whether to replace an existing archive.

    Returns
    -------
    list of str
        Names of the files in the archive.

    Raises
    ------
    ValueError
        If the name does not end in ``.zip``, the archive is one of the files, or under the same
        conditions as in `report_on`.
    OSError
        If the archive cannot be written, or under the same conditions as in `report_on`.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        Under the same conditions as in `report_on`.

    Examples
    --------
    >>> import tempfile
    >>> from ccdproc_echelle.recipe import write_report
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     flats, _ = EchelleSimulation(shape=(64, 64), n_orders=2).write(folder, 1)
    ...     write_report(flats, f"{folder}/report.zip")
    ['report.txt', 'frame_01.txt', 'frame_01_cuts.ecsv', 'statistics.ecsv']
    """
    paths = _listed(files)
    inputs = paths if log is None else [*paths, user_path(log)]
    path = check_output(output, overwrite=overwrite, inputs=inputs)
    if path.suffix.lower() != ".zip":
        raise ValueError(f"the output is {path}, expected a file name that ends in .zip")
    contents = report_on(paths, log=log)
    with replacing(path, overwrite=overwrite) as temporary, ZipFile(temporary, "w") as archive:
        for name, text in contents.items():
            archive.writestr(ZipInfo(name), text, ZIP_DEFLATED)  # without a date
    return list(contents)


def report_on(
    files: Iterable[str | os.PathLike], *, log: str | os.PathLike | None = None
) -> dict[str, str]:
    """
    Collect what a bug report needs to know, without names of people, places and programmes.

    Parameters
    ----------
    files : iterable of path-like
        Frames (FITS) and order tables (in any readable format); patterns are allowed. Files that
        are not order tables are treated as frames.
    log : path-like, optional
        Text file with the output of a failed run.

    Returns
    -------
    dict
        The text of each file of the report by name: ``report.txt`` with versions and a description
        of each file; for each frame the technical cards of its headers, and the row and column
        through the middle of its images; ``statistics.ecsv`` for all images; the numbers of order
        tables; and the log without folders. Files are renamed to ``frame_01.fits`` and so on.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        If a file does not exist, or is a folder.
    ValueError
        If no file is given, or the log is not text.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If files cannot be read; they are named, and what is known about them is in the report.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from ccdproc_echelle.recipe import report_on
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     flats, _ = EchelleSimulation(shape=(64, 64), n_orders=2).write(folder, 1)
    ...     log = Path(folder) / "log.txt"
    ...     _ = log.write_text(f"error: {flats[0]} is too dark")
    ...     contents = report_on(flats, log=log)
    ...
    >>> contents["log.txt"]
    'error: frame_01.fits is too dark'
    """
    paths = _listed(files)
    log_text = None if log is None else _text_of(user_path(log))
    frames, tables = _looks(paths)
    _warn_of_damage(frames, tables)
    names = _new_names(frames, tables)
    secrets = names_of_this_machine().union(*(look.personal for look in frames.values()))
    clean = partial(anonymous_text, names=_all_names(names), secrets=secrets)
    contents = {"report.txt": clean(_overview(names, frames, tables))}
    for path, look in frames.items():
        contents |= _files_of_frame(Path(names[path]).stem, look, clean)
    contents |= _statistics(names, frames)
    contents |= {
        names[path]: _ecsv(look.table) for path, look in tables.items() if look.table is not None
    }
    return contents if log_text is None else contents | {"log.txt": clean(log_text)}


def _listed(files: Iterable[str | os.PathLike]) -> list[Path]:
    paths = list(dict.fromkeys(path for item in files for path in matching_paths(item)))
    if not paths:
        raise ValueError("no file is given, expected frames or order tables")
    for path in paths:
        _check_is_file(path)
    return paths


def _check_is_file(path: Path) -> None:
    if not path.is_file():
        kind = "not a regular file" if path.exists() else "no such file"
        raise FileNotFoundError(f"{kind}: {path}")


def _text_of(path: Path) -> str:
    _check_is_file(path)
    content = path.read_bytes()
    is_wide = content.startswith((BOM_UTF16_LE, BOM_UTF16_BE))  # as written by PowerShell
    text = content.decode("utf-16" if is_wide else "utf-8", errors="replace")
    if "\0" in text:
        raise ValueError(f"the log {path} is not text")
    return text


def _looks(paths: Iterable[Path]) -> tuple[dict[Path, FrameLook], dict[Path, OrdersLook]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about damage, which is reported separately
        formats = {path: format_of(path) for path in paths}
    frames = {path: look_at_frame(path) for path, form in formats.items() if form is None}
    shape = next((look.shape for look in frames.values() if look.shape), None)
    tables = {path: look_at_orders(path, form, shape) for path, form in formats.items() if form}
    return frames, tables


def _new_names(frames: Iterable[Path], tables: Iterable[Path]) -> dict[Path, str]:
    names = {path: f"frame_{number:02d}.fits" for number, path in enumerate(frames, start=1)}
    return names | {
        path: f"orders_{number:02d}.ecsv" for number, path in enumerate(tables, start=1)
    }


def _all_names(names: Mapping[Path, str]) -> dict[str, str]:
    """Names that a log may use for the files; if two share a name, it refers to the first."""
    short = {path.name: name for path, name in reversed(names.items()) if path.suffix}
    return short | {
        str(way): name for path, name in names.items() for way in (path, path.resolve())
    }


def _warn_of_damage(frames: Mapping[Path, FrameLook], tables: Mapping[Path, OrdersLook]) -> None:
    refused = [look.refused for look in frames.values() if look.refused]
    refused += [look.remark for look in tables.values() if look.table is None]
    for message in refused:
        warn(f"{message}; the report contains what could be read of it")


def _overview(
    names: Mapping[Path, str],
    frames: Mapping[Path, FrameLook],
    tables: Mapping[Path, OrdersLook],
) -> str:
    lines = ["versions", *(f"    {name} {number}" for name, number in _versions().items()), ""]
    for path, look in frames.items():
        lines += [names[path], f"    {path.stat().st_size} bytes"]
        lines += [f"    HDU {row['hdu']}: {row['shape']} pixels, {row['dtype']}"
                  for row in look.statistics]
        lines += [f"    {remark}" for remark in (look.refused, *look.remarks) if remark]
    for path, look in tables.items():
        lines += [names[path], f"    {look.remark}"]
    return "\n".join([*lines, ""])


def _versions() -> dict[str, str]:
    versions = {
        "ccdproc_echelle": __version__,
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "system": f"{platform.system()} {platform.machine()}",
    }
    return versions | {name: _version(name) for name in _PACKAGES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _files_of_frame(name: str, look: FrameLook, clean) -> dict[str, str]:
    contents = {f"{name}.txt": clean("\n\n".join([*look.headers, ""]))}
    cuts = look.cuts()
    if cuts is not None:
        contents[f"{name}_cuts.ecsv"] = _ecsv(cuts)
    return contents


def _statistics(names: Mapping[Path, str], frames: Mapping[Path, FrameLook]) -> dict[str, str]:
    rows = [
        {"frame": names[path]} | row for path, look in frames.items() for row in look.statistics
    ]
    return {"statistics.ecsv": _ecsv(Table(rows=rows))} if rows else {}


def _ecsv(table: Table) -> str:
    file = StringIO()
    table.write(file, format="ascii.ecsv")
    return file.getvalue()
