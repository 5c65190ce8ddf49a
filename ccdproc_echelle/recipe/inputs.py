# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The inputs of the recipe: frames, order table and known bad pixels, opened and consistent."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.table import QTable

from ccdproc_echelle._warnings import warn
from ccdproc_echelle._words import and_others
from ccdproc_echelle.frames import (
    AssembledFrame,
    RawFrame,
    check_roles,
    has_damaged_data,
    is_compressed,
    known_bad_pixels,
    warn_of_missing_uncertainties,
)
from ccdproc_echelle.orders import EchelleOrderTable
from ccdproc_echelle.recipe.acceptance import of_one_setup, without_copies
from ccdproc_echelle.recipe.calibration import opened_as
from ccdproc_echelle.recipe.request import Request
from ccdproc_echelle.recipe.setups import warn_of_other_readout
from ccdproc_echelle.recipe.trimming import on_trimmed

__all__ = ["Inputs", "opened_inputs"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """
    What a master flat is made from.

    Attributes
    ----------
    flats : list of `~ccdproc_echelle.frames.RawFrame` or `~ccdproc_echelle.frames.AssembledFrame`
        The raw flats that belong to one set-up.
    setup : `~astropy.table.QTable`
        Verdict on the headers of all flats, including those that are left out.
    orders : `~ccdproc_echelle.EchelleOrderTable` or None
        The order table for the trimmed frames; `None` if the orders are to be traced.
    bias, dark : list of the same, or None
        The calibration frames.
    known_bad : bool array, shape (rows, columns), or None
        Known bad pixels of the trimmed frames.
    """

    flats: list[RawFrame | AssembledFrame]
    setup: QTable
    orders: EchelleOrderTable | None
    bias: list[RawFrame | AssembledFrame] | None
    dark: list[RawFrame | AssembledFrame] | None
    known_bad: np.ndarray | None

    @property
    def subtracted(self) -> list[str]:
        """The kinds of calibration frames that there are, in the order of their subtraction."""
        return [kind for kind in ("bias", "dark") if getattr(self, kind)]


def opened_inputs(request: Request) -> Inputs:
    """
    Open the inputs of the recipe, of which only headers, overscans and bad pixels are read.

    Parameters
    ----------
    request : `Request`
        The checked options.

    Returns
    -------
    `Inputs`

    Raises
    ------
    TypeError, ValueError, OSError
        If an input cannot be read, the flats do not belong together, or something else does not
        match them.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If the data of a file do not match their ``DATASUM``.
    """
    told, hdu = request.arguments, request.reading.get("hdu", 0)
    opened = request.readout.open(told["img_list"], **request.reading)
    flats, setup = of_one_setup(opened, told["reject"], told["setup_keywords"])
    orders = None if told["orders"] is None else on_trimmed(told["orders"], flats[0])
    _check_fit(request, flats, orders)
    if flats[0].noise is None:
        warn_of_missing_uncertainties(flats, "flats")
    _log.info("%d frames of shape %s", len(flats), flats[0].shape)
    known_bad = known_bad_pixels(told["bad_pixel_mask"], flats, hdu=hdu)
    bias, dark = (
        without_copies(
            opened_as(kind, told[kind], request.readout, request.reading), told["reject"]
        )
        for kind in ("bias", "dark")
    )
    for kind, frames in (("bias", bias), ("dark", dark)):
        warn_of_other_readout(kind, frames or (), flats)
    check_roles({"flat": flats, "bias": bias, "dark": dark})
    _warn_of_damage([*flats, *(bias or ()), *(dark or ())])
    return Inputs(
        flats=flats, setup=setup, orders=orders, bias=bias, dark=dark, known_bad=known_bad
    )


def _check_fit(request: Request, flats, orders: EchelleOrderTable | None) -> None:
    """Raise if weights, clipping or window do not suit the flats, before their pixels are read."""
    settings = request.settings
    # Weights by inverse variance need an uncertainty, which flats of known noise will get.
    if not (flats[0].noise is not None and isinstance(settings.weights, str)):
        settings.weights_of(flats)
    if orders is not None:
        orders.inner_mask(request.arguments["window"])
    settings.check_number(len(flats))


def _warn_of_damage(frames: list[RawFrame | AssembledFrame]) -> None:
    """Astropy compares no sums unless it is told to; all files of a night take a per cent more."""
    paths = dict.fromkeys(Path(frame.file) for frame in frames if frame.file)
    damaged = [path for path in paths if not is_compressed(path) and has_damaged_data(path)]
    if damaged:
        warn(
            f"{damaged[0]}{and_others(damaged, 'other files')}: the data do not match DATASUM in "
            "the header: they are damaged, or were changed by a program that left the card as it "
            "was; compare them with the original"
        )
