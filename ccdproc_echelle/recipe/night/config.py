# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The configuration of a night: keywords of all set-ups, and of those whose names match."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from inspect import signature
from typing import Any

from ccdproc_echelle._warnings import warn
from ccdproc_echelle.combining import CombineSettings
from ccdproc_echelle.frames import READING_KEYWORDS, user_path
from ccdproc_echelle.recipe.master import make_master_flat
from ccdproc_echelle.recipe.toml_files import parsed, recipe_keywords, text_of

__all__ = ["CONFIG_EXAMPLE", "NightConfig"]

# What a night says itself, set-up by set-up.
_OF_THE_NIGHT = ("img_list", "bias", "dark", "executor", "progress_bar", "orders", "instrument")

# The table of tables by set-up.
_SETUPS = "setup"

#: A configuration that says nothing, to be edited.
CONFIG_EXAMPLE = """\
# What ccdproc-echelle night is told about the set-ups of a night: any keyword of
# make_master_flat (https://toml.io). Take the # away where something is to be said. Without, the
# values of the instrument (--instrument) hold, and then the defaults that are shown here.

# reject = "drop"                # "warn": keep frames that do not belong; "error": fail
# gain = "GAIN"                  # electrons per unit of the data: a number or a header keyword
# read_noise = "RDNOISE"         # electrons: a number or a header keyword
# saturation = 60000             # raw values from this one on do not count
# exposure_key = "EXPTIME"       # header keyword of the exposure time
# setup_keywords = ["FOCUS"]     # further header keywords that tell set-ups apart
# bad_pixel_mask = "bad.fits"    # names of files are meant from where this file lies
# orders = "orders.ecsv"         # order table, or a master flat; without, orders are traced
# limits = "limits.yaml"         # what the quality must be, see the command inspect

# window = 10                    # pixels about the order centres that tell the level
# n_passes = 2
# scattered_light = "frames"     # "master": faster; "none"
# sigma_clip_low_thresh = 5
# sigma_clip_high_thresh = 5
# min_signal_to_noise = 3
# margin = 0
# mem_limit = 16e9               # bytes, for each worker

# [trace_keywords]               # of trace_orders
# n_orders = 12

# [edge_keywords]                # of detect_order_edges
# degree = 4

# Parameters of the SOXS recipe are known by their own names:
# centre-order-window = 10
# stacked-clipping-sigma = 5

# For some set-ups other values. The name of a table is that of a set-up, as --dry-run prints it; *
# stands for anything. Where several match, the later ones win.

# [setup."*-2x2-*"]
# window = 6
# scattered_light = "master"
"""


@dataclass(frozen=True)
class NightConfig:
    """
    Keywords of the set-ups of a night.

    Parameters
    ----------
    common : dict
        Of all set-ups: keywords of `make_master_flat`, and ``orders``.
    setups : dict
        For patterns of names, such as ``"*-2x2-*"``, what is different.

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
        A configuration from a TOML file, or a dict of the same contents.

        Parameters
        ----------
        config : path-like, dict, `NightConfig` or None
            Keywords at the top level are of all set-ups, tables ``[setup."PATTERN"]`` of those
            whose names match. Parameters of the SOXS recipe are taken by their own names.

        Returns
        -------
        `NightConfig`

        Raises
        ------
        ValueError
            If it is no TOML, or a key is unknown; the message names the file.
        OSError
            If it cannot be read.
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
        known = _known()
        return cls(
            recipe_keywords(tables, source, known),
            {name: recipe_keywords(one, source, known) for name, one in setups.items()},
        )

    def of(self, name: str) -> dict[str, Any]:
        """
        The keywords of a set-up.

        Parameters
        ----------
        name : str
            Its name.

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
        Warn of tables for set-ups that there are not.

        Parameters
        ----------
        names : iterable of str
            Those of all set-ups.
        """
        names = list(names)
        for pattern in self.setups:
            if not any(fnmatchcase(name, pattern) for name in names):
                warn(
                    f"no set-up matches {pattern!r} of the configuration; there are "
                    f"{', '.join(names)}"
                )


def _known() -> list[str]:
    recipe = [name for name in signature(make_master_flat).parameters if name != "keywords"]
    combining = [*CombineSettings.__dataclass_fields__]
    known = dict.fromkeys((*recipe, *combining, *READING_KEYWORDS))
    return [*(name for name in known if name not in _OF_THE_NIGHT), "orders"]
