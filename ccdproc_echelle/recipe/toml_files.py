# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Read keywords of the recipe from TOML files: instrument descriptions and configurations."""

import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ccdproc_echelle._words import meant_or_expected
from ccdproc_echelle.frames import user_path
from ccdproc_echelle.light import FlatFlag
from ccdproc_echelle.recipe.soxs_names import SOXS_NAMES, from_soxs_names
from ccdproc_echelle.recipe.step_keywords import step_hint
from ccdproc_echelle.recipe.values import check_values

__all__ = ["parsed", "recipe_keywords", "text_of"]

# File names are relative to the folder of the TOML file; some may be patterns.
_PATTERNS = ("bias", "dark")
_PATHS = ("orders", "bad_pixel_mask", "limits", *_PATTERNS)


def text_of(path: Path) -> str:
    """
    Read the text of a TOML file.

    Parameters
    ----------
    path : `~pathlib.Path`
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
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a TOML file: {error}") from error


def parsed(text: str, source: str | os.PathLike) -> dict[str, Any]:
    """
    Parse the text of a TOML file.

    Parameters
    ----------
    text : str
        The text.
    source : str or path-like
        The file it comes from, for messages.

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        If the text is not valid TOML.
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

    Parameters of the SOXS recipe are accepted under their own names. ``mask_flags`` is a list of
    flag names, and ``scattered_light = "none"`` stands for `None`, which TOML does not have.

    Parameters
    ----------
    table : dict
        Names and values.
    source : str or path-like
        The file the table comes from, to whose folder file names are relative; or, for a table
        that is not from a file, its name in messages.
    known : sequence of str
        The keywords that are allowed.

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        If a keyword or a flag is unknown.
    TypeError
        If a value has the wrong type for its keyword.

    Examples
    --------
    >>> from ccdproc_echelle.recipe.toml_files import recipe_keywords
    >>> table = {"window": 8, "scattered_light": "none", "disp-axis-deg": 5}
    >>> recipe_keywords(table, "flats.toml", ["window", "scattered_light", "edge_keywords"])
    {'edge_keywords': {'degree': 5}, 'window': 8, 'scattered_light': None}
    """
    for name in table:
        if name not in known and name not in SOXS_NAMES:
            hint = step_hint(name) or meant_or_expected(name, known, SOXS_NAMES)
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
    """Paths of the files that a keyword names."""
    if isinstance(value, Mapping):  # limits may be given in the file itself
        return value
    if isinstance(value, str) and name in _PATTERNS:
        value = [part.strip() for part in value.split(",")]
    names = value if isinstance(value, list) else [value]
    if not (names and all(isinstance(one, str) for one in names)):
        expected = "file names or patterns" if name in _PATTERNS else "a file name"
        raise TypeError(f"{name} in {source} is {value!r}, expected {expected}")
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
