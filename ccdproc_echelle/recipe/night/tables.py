# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Find the order table for a set-up among those given."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits

from ccdproc_echelle.frames import (
    READING_KEYWORDS,
    Readout,
    is_of_master_flat,
    observation_time,
    user_path,
)
from ccdproc_echelle.orders import EchelleOrderTable
from ccdproc_echelle.recipe.night.frames import setup_values
from ccdproc_echelle.recipe.night.setups import NightSetup, disagreement
from ccdproc_echelle.recipe.product import MasterFlat

__all__ = ["orders_of_setup"]

# Header keywords for the binning, columns first, as "2 2", "2x2" or two separate values.
_BINNINGS = (
    ("CCDSUM",), ("BINNING",), ("CCDBIN1", "CCDBIN2"), ("XBINNING", "YBINNING"),
    ("ESO DET WIN1 BINX", "ESO DET WIN1 BINY"), ("ESO DET BINX", "ESO DET BINY"),
)


class _Found(NamedTuple):
    """A matching table, its origin, and the date of its flats."""

    orders: EchelleOrderTable
    source: str
    time: float | None


def orders_of_setup(
    setup: NightSetup, given: Any, keywords: Mapping[str, Any]
) -> tuple[EchelleOrderTable | None, str]:
    """
    Find the order table that matches a set-up, and its origin.

    A master flat matches if its header agrees with the set-up; if there are several, the nearest in
    time is used. Other order tables match if they are for the shape of the frames, or for that of
    the unbinned detector, in which case they are binned. Master flats take precedence.

    Parameters
    ----------
    setup : `NightSetup`
        The set-up, of which the first flat is opened.
    given : `EchelleOrderTable`, path-like, or a list of these, or None
        The available tables; a path may be that of a master flat.
    keywords : dict
        Keywords of `make_master_flat` that specify how frames are read and trimmed.

    Returns
    -------
    orders : `EchelleOrderTable` or None
        `None` if no table matches: the orders are to be traced.
    source : str
        File of the table, or the reason why there is none.

    Raises
    ------
    ValueError
        If several tables match, or one cannot be read.
    OSError
        If a file does not exist.
    """
    if given is None:
        return None, "traced"
    given = given if isinstance(given, (list, tuple)) else [given]
    shapes = _shapes(setup, keywords)
    paths = [one for one in given if not isinstance(one, EchelleOrderTable)]
    masters = [found for found in (_of_master(p, setup, shapes) for p in paths) if found]
    if masters:
        times = [flat.time for flat in setup.flats if flat.time is not None]
        best = min(masters, key=lambda one: abs((one.time or 0) - (np.mean(times) if times else 0)))
        return best.orders, best.source
    tables = [one for one in given if not (one in paths and _is_master(one))]
    fitting = [found for found in (_fitting(t, setup, shapes, keywords) for t in tables) if found]
    if len(fitting) > 1:
        raise ValueError(
            f"several order tables fit: {', '.join(one.source for one in fitting)}; specify in "
            "the configuration which one belongs to the set-up"
        )
    if not fitting:
        return None, f"traced: none of the {len(given)} order tables is for this set-up"
    return fitting[0].orders, fitting[0].source


def _shapes(setup: NightSetup, keywords: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Shapes of the trimmed frames and of the full ones."""
    reading = {name: keywords[name] for name in READING_KEYWORDS if name in keywords}
    oscan = keywords.get("oscan")
    oscan = oscan if isinstance(oscan, Mapping) else False  # no need to measure it
    readout = Readout(oscan=oscan, trim=keywords.get("trim"))
    frame, = readout.open([setup.flats[0].path], **reading)
    return [frame.shape, frame.full_shape]


def _is_master(path: str | os.PathLike) -> bool:
    try:
        return is_of_master_flat(fits.getheader(user_path(path)))
    except FileNotFoundError:
        raise
    except OSError:  # not FITS, like most order tables
        return False


def _of_master(path, setup: NightSetup, shapes: Sequence) -> _Found | None:
    if not _is_master(path):
        return None
    header = fits.getheader(user_path(path))
    if disagreement(setup_values(header), {n: v for n, v in setup.values.items() if n != "shape"}):
        return None
    orders = MasterFlat.read(user_path(path)).orders
    return _Found(orders, str(path), observation_time(header)) if orders.shape in shapes else None


def _fitting(table, setup: NightSetup, shapes: Sequence, keywords) -> _Found | None:
    source = "in memory" if isinstance(table, EchelleOrderTable) else str(table)
    factors = _binning(setup.values)
    for shape in shapes:
        for binned in dict.fromkeys(((1, 1), factors)):
            wanted = tuple(n * factor for n, factor in zip(shape, binned, strict=True))
            orders = _read(table, wanted, keywords)
            if orders.shape == wanted:
                return _Found(orders if binned == (1, 1) else orders.rebinned(binned), source, None)
    return None


def _read(table, shape: tuple[int, int], keywords: Mapping[str, Any]) -> EchelleOrderTable:
    """A table as given or read from a file, with one of these shapes if the file has none."""
    if isinstance(table, EchelleOrderTable):
        return table
    path, axis = Path(table), keywords.get("dispersion_axis")
    try:
        return EchelleOrderTable.read(path, dispersion_axis=axis)
    except ValueError:
        return EchelleOrderTable.read(path, shape=shape, dispersion_axis=axis)


def _binning(values: Mapping[str, str]) -> tuple[int, int]:
    """Number of detector rows and columns per pixel."""
    for names in _BINNINGS:
        text = " ".join(values[name] for name in names if name in values)
        numbers = [int(word) for word in text.replace("x", " ").replace(",", " ").split()
                   if word.isdigit()]
        if len(numbers) == 2:
            return numbers[1], numbers[0]
    return 1, 1
