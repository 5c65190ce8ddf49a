# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Configurations: keywords of the recipe and the files it is made from, in a TOML file."""

import os
from typing import Any

from ccdproc_echelle._hints import did_you_mean
from ccdproc_echelle.frames import user_path
from ccdproc_echelle.light import FlatFlag
from ccdproc_echelle.recipe.instruments import RECIPE_KEYWORDS, described, in_folder

__all__ = ["read_config"]

_FILES = ("orders", "bias", "dark")
_KNOWN = (*_FILES, "instrument", "mem_limit", "mask_flags", *RECIPE_KEYWORDS)


def read_config(path: str | os.PathLike) -> dict[str, Any]:
    """
    Read a configuration.

    Its keys are keywords of `make_master_flat`; ``hdu`` and ``unit`` are allowed as well. The
    files that it names are looked for in its folder; ``bias`` and ``dark`` may be patterns or lists
    of them. ``mask_flags`` is a list of names of flags, and ``scattered_light = "none"`` stands for
    `None`, which TOML does not have.

    Parameters
    ----------
    path : str or path-like
        A TOML file.

    Returns
    -------
    dict
        Keywords of `make_master_flat`, where ``orders`` is the path of an order table.

    Raises
    ------
    ValueError
        If the file is not TOML, has an unknown key, or no flag has the name; the message names the
        file.
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
    keywords = described(path.read_text(encoding="utf-8"), path)
    for key in keywords:
        if key not in _KNOWN:
            raise ValueError(f"unknown key {key!r} in {path}{did_you_mean(key, _KNOWN)}")
    for key in _FILES:
        if key in keywords:
            keywords[key] = _in_folder(keywords[key], path)
    if str(keywords.get("instrument", "")).endswith(".toml"):
        keywords["instrument"] = in_folder(keywords["instrument"], path)
    if "mask_flags" in keywords:
        keywords["mask_flags"] = _flags(keywords["mask_flags"], path)
    return keywords


def _in_folder(names: str | list[str], path: os.PathLike) -> str | list[str]:
    if isinstance(names, list):
        return [in_folder(name, path) for name in names]
    return in_folder(names, path)


def _flags(names: list[str], path: os.PathLike) -> FlatFlag:
    known = [flag.name for flag in FlatFlag]
    if not (isinstance(names, list) and set(names) <= set(known)):
        raise ValueError(f"mask_flags in {path} is {names!r}, expected a list of some of {known}")
    flags = FlatFlag(0)
    for name in names:
        flags |= FlatFlag[name]
    return flags
