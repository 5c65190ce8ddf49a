# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Configuration of a night: keywords for all set-ups, and for those with matching names."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from inspect import signature
from typing import Any

from ccdproc_echelle._warnings import warn
from ccdproc_echelle.frames import check_keywords, user_path
from ccdproc_echelle.recipe.config import config_keywords
from ccdproc_echelle.recipe.master import make_master_flat
from ccdproc_echelle.recipe.request import checked_request
from ccdproc_echelle.recipe.toml_files import parsed, recipe_keywords, text_of

__all__ = ["CONFIG_EXAMPLE", "NightConfig", "check_night_keywords"]

# Keywords that a night sets itself for each set-up.
_OF_THE_NIGHT = ("bias", "dark", "instrument")

# Name of the table that holds one table per set-up.
_SETUPS = "setup"

#: An empty configuration to start from.
CONFIG_EXAMPLE = """\
# Configuration for ccdproc-echelle night: any keyword of make_master_flat, in TOML
# (https://toml.io). Remove the # to set a value. Anything not set here is taken from the
# instrument (--instrument) or has the default value shown.

# reject = "drop"                # "warn": keep frames that do not belong; "error": fail
# gain = "GAIN"                  # electrons per unit of the data: a number or a header keyword
# read_noise = "RDNOISE"         # electrons: a number or a header keyword
# saturation = 60000             # raw values at or above this are masked
# exposure_key = "EXPTIME"       # header keyword of the exposure time
# setup_keywords = ["FOCUS"]     # further header keywords that distinguish set-ups
# bad_pixel_mask = "bad.fits"    # file names are relative to the folder of this file
# orders = "orders.ecsv"         # order table, or a master flat; default: trace the orders
# limits = "limits.yaml"         # limits of the quality, see the command inspect

# window = 10                    # full width in pixels of the window used for the levels
# n_passes = 2
# scattered_light = "frames"     # "master": faster; "none"
# sigma_clip_low_thresh = 5
# sigma_clip_high_thresh = 5
# min_signal_to_noise = 3
# margin = 0
# mem_limit = 16e9               # bytes, for each worker

# [trace_keywords]               # keywords of trace_orders
# n_orders = 12

# [edge_keywords]                # keywords of detect_order_edges
# degree = 4

# Parameters of the SOXS recipe can be given by their own names:
# centre-order-window = 10
# stacked-clipping-sigma = 5

# Different values for some set-ups. Each table has the name of a set-up, as printed by --dry-run;
# * matches anything. If several tables match, later ones take precedence.

# [setup."*-2x2-*"]
# window = 6
# scattered_light = "master"
"""


def check_night_keywords(keywords: Mapping[str, Any]) -> None:
    """
    Check keywords for all set-ups before any frame is read.

    Parameters
    ----------
    keywords : dict
        Keywords of `make_master_flat`.

    Raises
    ------
    TypeError, ValueError, OSError
        If a keyword is unknown, is one that a night sets itself, or has an invalid value.
    """
    for name in _OF_THE_NIGHT:
        if name in keywords:
            raise TypeError(f"{name} is found by the headers of the frames, and cannot be given")
    check_keywords(keywords, [*config_keywords(), "progress_bar"])
    own = {name: one.default for name, one in signature(make_master_flat).parameters.items()}
    others = {name: value for name, value in keywords.items() if name not in own}
    checked_request(own | dict(keywords) | {"keywords": others}, None, make_master_flat)


@dataclass(frozen=True)
class NightConfig:
    """
    Keywords for the set-ups of a night.

    Parameters
    ----------
    common : dict
        For all set-ups: keywords of `make_master_flat`, including ``orders``.
    setups : dict
        Different values for set-ups whose names match a pattern such as ``"*-2x2-*"``.

    Examples
    --------
    >>> from ccdproc_echelle.recipe.night import NightConfig
    >>> config = NightConfig({"window": 10}, {"*-2x2-*": {"window": 6}})
    >>> config.of("spec-r-2x2-1f3c"), config.of("spec-r-1x1-09ad")
    ({'window': 6}, {'window': 10})
    """

    common: Mapping[str, Any] = field(default_factory=dict)
    setups: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, config: "str | os.PathLike | Mapping | NightConfig | None") -> "NightConfig":
        """
        Read a configuration from a TOML file or a dict with the same contents.

        Parameters
        ----------
        config : path-like, dict, `NightConfig` or None
            Top-level keywords apply to all set-ups, tables ``[setup."PATTERN"]`` to those with
            matching names. Parameters of the SOXS recipe can be given by their own names.

        Returns
        -------
        `NightConfig`

        Raises
        ------
        ValueError
            If the file is not valid TOML, or a key is unknown; the message names the file.
        OSError
            If the file cannot be read.
        """
        if config is None or isinstance(config, cls):
            return config or cls()
        if isinstance(config, Mapping):
            return cls._of(dict(config), "config")
        path = user_path(config)
        return cls._of(parsed(text_of(path), path), path)

    @classmethod
    def _of(cls, tables: dict[str, Any], source) -> "NightConfig":
        setups = tables.pop(_SETUPS, {})
        tables_of = setups.values() if isinstance(setups, Mapping) else [setups]
        if not all(isinstance(table, Mapping) for table in tables_of):
            raise ValueError(f'{_SETUPS} in {source} is {setups!r}, expected tables [setup."NAME"]')
        known = [name for name in config_keywords() if name not in _OF_THE_NIGHT]
        return cls(
            recipe_keywords(tables, source, known),
            {name: recipe_keywords(one, source, known) for name, one in setups.items()},
        )

    def of(self, name: str) -> dict[str, Any]:
        """
        Return the keywords of a set-up.

        Parameters
        ----------
        name : str
            Name of the set-up.

        Returns
        -------
        dict
        """
        found = dict(self.common)
        for pattern, keywords in self.setups.items():
            if fnmatchcase(name, pattern):
                found |= keywords
        return found

    def warn_of_unmatched(self, names: Iterable[str]) -> None:
        """
        Warn of tables that match no set-up.

        Parameters
        ----------
        names : iterable of str
            Names of all set-ups.
        """
        names = list(names)
        for pattern in self.setups:
            if not any(fnmatchcase(name, pattern) for name in names):
                warn(
                    f"no set-up matches {pattern!r} of the configuration; the set-ups are "
                    f"{', '.join(names)}"
                )
