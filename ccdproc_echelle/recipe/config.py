# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Configuration files: keywords of the recipe and its input files, in TOML."""

import os
from typing import Any

from ccdproc_echelle.frames import user_path
from ccdproc_echelle.light import FlatFlag
from ccdproc_echelle.recipe.instruments import RECIPE_KEYWORDS, described, in_folder, toml_text

__all__ = ["read_config"]

_FILES = ("orders", "bias", "dark")
_KNOWN = (*_FILES, "instrument", "mem_limit", "mask_flags", *RECIPE_KEYWORDS)


def read_config(path: str | os.PathLike) -> dict[str, Any]:
    """
    Read a configuration.

    Its keys are keywords of `make_master_flat`, and ``hdu`` and ``unit``. File names are relative
    to the folder of the configuration; ``bias`` and ``dark`` may be patterns or lists of patterns.
    ``mask_flags`` is a list of flag names, and ``scattered_light = "none"`` stands for `None`,
    which TOML does not have.

    Parameters
    ----------
    path : str or path-like
        Name of the TOML file.

    Returns
    -------
    dict
        Keywords of `make_master_flat`; ``orders`` is the path of an order table.

    Raises
    ------
    ValueError, TypeError
        If the file is not valid TOML, a key or flag is unknown, or a value has the wrong type; the
        message names the file.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from ccdproc_echelle.recipe import read_config
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "flats.toml")
    ...     _ = path.write_text("window = 8\\nedge_keywords = {profile = 'fibre'}")
    ...     read_config(path)
    {'window': 8, 'edge_keywords': {'profile': 'fibre'}}
    """
    path = user_path(path)
    keywords = described(toml_text(path), path, _KNOWN)
    for key in _FILES:
        if key in keywords:
            keywords[key] = _in_folder(keywords[key], path, key)
    if "instrument" in keywords:
        found = in_folder(keywords["instrument"], path, "instrument")
        keywords["instrument"] = found if found.endswith(".toml") else keywords["instrument"]
    if "mask_flags" in keywords:
        keywords["mask_flags"] = _flags(keywords["mask_flags"], path)
    return keywords


def _in_folder(names: str | list[str], path: os.PathLike, key: str) -> str | list[str]:
    if key == "orders":
        return in_folder(names, path, key)
    if isinstance(names, str):
        names = [name.strip() for name in names.split(",")]
    if not (isinstance(names, list) and names):
        raise TypeError(f"{key} in {path} is {names!r}, expected file names or patterns")
    return [in_folder(name, path, key) for name in names]


def _flags(names: list[str], path: os.PathLike) -> FlatFlag:
    known = [flag.name for flag in FlatFlag]
    if not (isinstance(names, list) and all(name in known for name in names)):
        raise ValueError(f"mask_flags in {path} is {names!r}, expected a list of some of {known}")
    flags = FlatFlag(0)
    for name in names:
        flags |= FlatFlag[name]
    return flags
