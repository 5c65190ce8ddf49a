# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Configuration files: keywords of the recipe and its input files, in TOML."""

import os
from inspect import signature
from typing import Any

from ccdproc_echelle.combining import CombineSettings
from ccdproc_echelle.frames import READING_KEYWORDS, user_path
from ccdproc_echelle.recipe.master import make_master_flat
from ccdproc_echelle.recipe.toml_files import parsed, recipe_keywords, text_of

__all__ = ["config_keywords", "read_config"]

# What only a call can specify: the frames themselves, who does the work, and who watches it.
_OF_CALL = ("img_list", "executor", "progress_bar")


def config_keywords() -> list[str]:
    """
    Return the keywords that a configuration may have.

    Returns
    -------
    list of str
        Keywords of `make_master_flat`, including those for combining and reading the frames.
    """
    own = (name for name in signature(make_master_flat).parameters if name != "keywords")
    known = dict.fromkeys((*own, *CombineSettings.__dataclass_fields__, *READING_KEYWORDS))
    return [name for name in known if name not in _OF_CALL]


def read_config(path: str | os.PathLike) -> dict[str, Any]:
    """
    Read a configuration.

    Its keys are keywords of `make_master_flat`. File names are relative
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
    keywords = recipe_keywords(parsed(text_of(path), path), path, config_keywords())
    for name in ("orders", "instrument"):
        if not isinstance(keywords.get(name, ""), str):
            raise TypeError(f"{name} in {path} is {keywords[name]!r}, expected a file name")
    if keywords.get("instrument", "").endswith(".toml"):
        keywords["instrument"] = str(path.parent / user_path(keywords["instrument"]))
    return keywords
