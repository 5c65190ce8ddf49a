# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Instruments: keywords of the recipe that go with a detector, in a TOML file of their own."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import wraps
from importlib.resources import files
from typing import Any

from ccdproc_echelle._hints import did_you_mean
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

# How frames are read, and keywords of the recipe but for frames, orders, and how the work is done.
_OF_FILES = ("hdu", "unit")
_OF_RECIPE = (
    "gain", "read_noise", "saturation", "bad_pixel_mask", "oscan", "trim", "oscan_median",
    "exposure_key", "scale_dark", "setup_keywords", "scattered_light", "per_order", "reject",
    "limits", "window", "n_passes", "edge_keywords", "sensitivity_keywords", "min_signal_to_noise",
    "trace_keywords", "margin", "check_table",
)
# What no file can hold, or is not of the instrument.
_OF_CALL = {"mem_limit", "combine_uncertainty_function", "overwrite_output", "array_package"}
_OF_COMBINATION = tuple(n.name for n in fields(CombineSettings) if n.name not in _OF_CALL)
RECIPE_KEYWORDS = (*_OF_FILES, *_OF_RECIPE, *_OF_COMBINATION)

# What a description may tell.
_KNOWN = ("dispersion_axis", *RECIPE_KEYWORDS)


@dataclass(frozen=True)
class Instrument:
    """
    What the recipe has to know of an instrument: the contents of a description.

    Parameters
    ----------
    name : str
        Its name: that of the file without ``.toml``.
    keywords : dict
        Keywords of `make_master_flat`, and ``hdu``, ``unit`` and ``dispersion_axis``.
    facts : dict
        What else is known. Nothing here uses it.
    text : str
        The description as it was read, with its comments.

    See Also
    --------
    instrument_names : those that come with the package.

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
        Read a description.

        Its top-level keys are ``keywords``; a table ``[facts]`` is for readers. Files that it names
        (``bad_pixel_mask``, ``limits``) are looked for in its folder.

        Parameters
        ----------
        name : str or path-like
            One of `instrument_names`, or a file whose name ends in ``.toml``.

        Returns
        -------
        `Instrument`

        Raises
        ------
        ValueError, TypeError
            If no instrument has this name, or the file is not TOML, has an unknown key, or a value
            of the wrong kind; the message names the file.
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
    The instruments whose descriptions come with the package.

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
    Let the description of an instrument complete the keywords of a function.

    Parameters
    ----------
    function : callable
        A function with the keyword ``instrument``. Of the description's keywords it gets those
        that its caller did not give, and as ``instrument`` an `Instrument` or `None`.

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
            f"no instrument is called {name!r}{did_you_mean(name.lower(), known)}; expected one of "
            f"{known} or a file whose name ends in {_SUFFIX}"
        )


def _check_keywords(keywords: Mapping[str, Any], source) -> None:
    axis = keywords.get("dispersion_axis")
    if not (axis is None or (type(axis) is int and axis in (0, 1))):
        raise ValueError(f"dispersion_axis in {source} is {axis!r}, expected 0 or 1")
    names = keywords.get("setup_keywords", [])
    if not isinstance(names, list):
        raise ValueError(f"setup_keywords in {source} is {names!r}, expected a list of keywords")
