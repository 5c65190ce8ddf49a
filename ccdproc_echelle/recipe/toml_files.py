# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""TOML files that hold keywords of the recipe: descriptions of instruments, configurations."""

import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ccdproc_echelle._hints import did_you_mean
from ccdproc_echelle.frames import user_path
from ccdproc_echelle.light import FlatFlag
from ccdproc_echelle.recipe.soxs_names import SOXS_NAMES, from_soxs_names
from ccdproc_echelle.recipe.values import check_values

__all__ = ["parsed", "recipe_keywords", "text_of"]

# Files are looked for in the folder of the file that names them; some may be patterns.
_PATTERNS = ("bias", "dark")
_PATHS = ("orders", "bad_pixel_mask", "limits", *_PATTERNS)


def text_of(path: Path) -> str:
    """
    The text of a TOML file.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If it is not text.
    OSError
        If it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a TOML file: {error}") from error


def parsed(text: str, source: str | os.PathLike) -> dict[str, Any]:
    """
    The tables of a TOML file.

    Parameters
    ----------
    text : str
        Its text.
    source : str or path-like
        The file, for messages.

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        If it is not TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{source} is not a TOML file: {error}") from error


def recipe_keywords(
    table: Mapping[str, Any], source: str | os.PathLike, known: Sequence[str]
) -> dict[str, Any]:
    """
    Turn a table into keywords of the recipe.

    Parameters of the SOXS recipe are accepted by their own names. ``mask_flags`` is a list of names
    of flags, and ``scattered_light = "none"`` stands for `None`, which TOML does not have.

    Parameters
    ----------
    table : dict
        Names and values.
    source : str or path-like
        The file, in whose folder the files that it names are looked for; or what messages call a
        table that is not from a file.
    known : sequence of str
        The keywords it may have.

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        If a keyword is unknown, or no flag has the name.
    TypeError
        If a value is of another kind than its keyword takes.

    Examples
    --------
    >>> from ccdproc_echelle.recipe.toml_files import recipe_keywords
    >>> table = {"window": 8, "scattered_light": "none", "disp-axis-deg": 5}
    >>> recipe_keywords(table, "flats.toml", ["window", "scattered_light", "edge_keywords"])
    {'edge_keywords': {'degree': 5}, 'window': 8, 'scattered_light': None}
    """
    for name in table:
        if name not in known and name not in SOXS_NAMES:
            hint = did_you_mean(name, [*known, *SOXS_NAMES])
            raise ValueError(f"unknown key {name!r} in {source}{hint}")
    check_values(table, f" in {source}")
    keywords = from_soxs_names(table)
    check_values(keywords, f" in {source}")
    if isinstance(source, os.PathLike):
        for name in _PATHS:
            if name in keywords:
                keywords[name] = _placed(keywords[name], name, source)
    if keywords.get("scattered_light") == "none":
        keywords["scattered_light"] = None
    if "mask_flags" in keywords:
        keywords["mask_flags"] = _flags(keywords["mask_flags"], source)
    return keywords


def _placed(value: Any, name: str, source: Path) -> Any:
    """The paths of the files that a keyword names."""
    if isinstance(value, Mapping):  # limits may stand in the file itself
        return value
    if isinstance(value, str) and name in _PATTERNS:
        value = [part.strip() for part in value.split(",")]
    names = value if isinstance(value, list) else [value]
    if not (names and all(isinstance(one, str) for one in names)):
        or_pattern = " or a pattern, or a list of them" if name in _PATTERNS else ""
        raise TypeError(
            f"{name} in {source} is {value!r}, expected the name of a file{or_pattern}"
        )
    paths = [str(source.parent / user_path(one)) for one in names]
    return paths if isinstance(value, list) else paths[0]


def _flags(names: Any, source: str | os.PathLike) -> FlatFlag:
    if isinstance(names, FlatFlag):
        return names
    known = [flag.name for flag in FlatFlag]
    if not (isinstance(names, list) and all(name in known for name in names)):
        raise ValueError(f"mask_flags in {source} is {names!r}, expected a list of some of {known}")
    flags = FlatFlag(0)
    for name in names:
        flags |= FlatFlag[name]
    return flags
