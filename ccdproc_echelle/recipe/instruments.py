# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Instrument descriptions: keywords of the recipe for a detector, in TOML files."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import wraps
from importlib.resources import files
from typing import Any

from ccdproc_echelle._words import did_you_mean
from ccdproc_echelle.combining import CombineSettings
from ccdproc_echelle.frames import user_path
from ccdproc_echelle.recipe.toml_files import parsed, recipe_keywords, text_of

__all__ = [
    "RECIPE_KEYWORDS",
    "Instrument",
    "instrument_names",
    "with_instrument",
]

_SHIPPED = files(__package__) / "descriptions"
_SUFFIX = ".toml"

# How frames are read, and keywords of the recipe except frames, orders, and how the work is done.
_OF_FILES = ("hdu", "unit")
_OF_RECIPE = (
    "gain", "read_noise", "saturation", "bad_pixel_mask", "oscan", "trim", "oscan_median",
    "exposure_key", "scale_dark", "setup_keywords", "scattered_light", "per_order", "reject",
    "limits", "window", "n_passes", "edge_keywords", "sensitivity_keywords", "min_signal_to_noise",
    "trace_keywords", "margin", "check_table",
)
# Cannot be stored in a file, or are not specific to the instrument.
_OF_CALL = {"mem_limit", "combine_uncertainty_function", "overwrite_output", "array_package"}
_OF_COMBINATION = tuple(n.name for n in fields(CombineSettings) if n.name not in _OF_CALL)
RECIPE_KEYWORDS = (*_OF_FILES, *_OF_RECIPE, *_OF_COMBINATION)

# Keys allowed in a description.
_KNOWN = ("dispersion_axis", *RECIPE_KEYWORDS)


@dataclass(frozen=True)
class Instrument:
    """
    Settings of the recipe for an instrument, read from a description file.

    Parameters
    ----------
    name : str
        Name of the instrument: the file name without ``.toml``.
    keywords : dict
        Keywords of `make_master_flat`, and ``hdu``, ``unit`` and ``dispersion_axis``.
    facts : dict
        Other facts about the instrument, for information only.
    text : str
        The text of the description, including comments.

    See Also
    --------
    instrument_names : List the instruments that come with the package.

    Examples
    --------
    >>> from ccdproc_echelle import Instrument
    >>> instrument = Instrument.read("soxs-nir")
    >>> instrument.keywords["trim"], instrument.facts["slit_length_arcsec"]
    ('[5:2044,5:2044]', 12)
    """

    name: str
    keywords: Mapping[str, Any]
    facts: Mapping[str, Any] = field(default_factory=dict)
    text: str = field(default="", repr=False)

    @classmethod
    def read(cls, name: str | os.PathLike) -> "Instrument":
        """
        Read an instrument description.

        Its top-level keys are ``keywords``; the table ``[facts]`` is for information only. File
        names in it (``bad_pixel_mask``, ``limits``) are relative to its folder.

        Parameters
        ----------
        name : str or path-like
            One of `instrument_names`, or the path of a file that ends in ``.toml``.

        Returns
        -------
        `Instrument`

        Raises
        ------
        ValueError, TypeError
            If there is no instrument of this name, or the file is not valid TOML, has an unknown
            key, or a value of the wrong type; the message names the file.
        OSError
            If the file cannot be read.

        Examples
        --------
        >>> from ccdproc_echelle import Instrument
        >>> Instrument.read("xshooter-vis").keywords["gain"]
        'ESO DET OUT1 CONAD'
        """
        path = user_path(name)
        if path.suffix.lower() == _SUFFIX:
            return cls._parsed(path.stem, text_of(path), path)
        _check_name(os.fspath(name))
        shipped = _SHIPPED / f"{name}{_SUFFIX}"
        return cls._parsed(str(name), shipped.read_text(encoding="utf-8"), shipped)

    @classmethod
    def _parsed(cls, name: str, text: str, source) -> "Instrument":
        tables = parsed(text, source)
        facts = tables.pop("facts", {})
        keywords = recipe_keywords(tables, source, _KNOWN)
        if not isinstance(facts, dict):
            raise ValueError(f"facts in {source} is {facts!r}, expected a table [facts]")
        _check_keywords(keywords, source)
        return cls(name, keywords, facts, text)


def instrument_names() -> list[str]:
    """
    List the instruments whose descriptions come with the package.

    Returns
    -------
    list of str
        Names that `Instrument.read` and ``instrument=`` of `make_master_flat` accept.

    Examples
    --------
    >>> from ccdproc_echelle import instrument_names
    >>> "soxs-vis" in instrument_names()
    True
    """
    names = (entry.name for entry in _SHIPPED.iterdir())
    return sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX))


def with_instrument(function: Callable) -> Callable:
    """
    Decorate a function so that an instrument description supplies missing keywords.

    A function cannot tell whether a keyword was given or has its default value; its wrapper can.

    Parameters
    ----------
    function : callable
        A function with the keyword ``instrument``. It gets those keywords of the description that
        its caller did not give, and ``instrument`` as an `Instrument` or `None`.

    Returns
    -------
    callable
    """

    @wraps(function)
    def completed(*args, **keywords):
        instrument = keywords.get("instrument")
        if instrument is None:
            return function(*args, **keywords)
        if not isinstance(instrument, Instrument):
            instrument = Instrument.read(instrument)
        told = {n: value for n, value in instrument.keywords.items() if n != "dispersion_axis"}
        return function(*args, **(told | keywords | {"instrument": instrument}))

    return completed


def _check_name(name: str) -> None:
    known = instrument_names()
    if name not in known:
        raise ValueError(
            f"there is no instrument {name!r}{did_you_mean(name.lower(), known)}; expected one of "
            f"{known} or a file name that ends in {_SUFFIX}"
        )


def _check_keywords(keywords: Mapping[str, Any], source) -> None:
    axis = keywords.get("dispersion_axis")
    if not (axis is None or (type(axis) is int and axis in (0, 1))):
        raise ValueError(f"dispersion_axis in {source} is {axis!r}, expected 0 or 1")
    names = keywords.get("setup_keywords", [])
    if not isinstance(names, list):
        raise ValueError(f"setup_keywords in {source} is {names!r}, expected a list of keywords")
