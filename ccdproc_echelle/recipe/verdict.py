# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Assess a master flat: its quality, from what was recorded while the frames were read."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from astropy.table import QTable

from ccdproc_echelle._tasks import ahead
from ccdproc_echelle._warnings import warn
from ccdproc_echelle.combining import Noted, Watch
from ccdproc_echelle.frames import Frame, observation_time, record_cards
from ccdproc_echelle.orders import EchelleOrderTable
from ccdproc_echelle.recipe.chi_square import chi_square_of_noted, sound_pixels
from ccdproc_echelle.recipe.metrics import METRICS, quality_cards
from ccdproc_echelle.recipe.product import MasterFlat
from ccdproc_echelle.recipe.quality import quality_table
from ccdproc_echelle.recipe.quality_by_order import quality_of_orders

__all__ = ["judged", "watched"]

# This many values of all frames together give chi-square to half a percent.
_ENOUGH_VALUES = 200_000


def watched(orders: EchelleOrderTable, window: float, n_frames: int) -> Watch:
    """
    What to record about the frames, so that the quality does not require reading them again.

    Parameters
    ----------
    orders : `~ccdproc_echelle.EchelleOrderTable`
        The orders, with edges.
    window : float
        Full width of the window on the order centre, in pixels.
    n_frames : int
        Number of frames.

    Returns
    -------
    `~ccdproc_echelle.combining.Watch`
    """
    inside = orders.order_index() >= 0
    pixels = np.flatnonzero(orders.inner_mask(window) & inside)
    return Watch(inside, pixels[:: len(pixels) * n_frames // _ENOUGH_VALUES + 1])


def judged(
    master: MasterFlat,
    flats: Sequence[Frame],
    noted: Noted,
    *,
    window: float,
    n_refused: int,
    scattered_light: float,
    limits: Mapping[str, tuple[float, float]],
) -> MasterFlat:
    """
    Add the quality to a master, including its header.

    Parameters
    ----------
    master : `~ccdproc_echelle.MasterFlat`
        The master, without quality.
    flats : sequence of `~ccdproc_echelle.frames.Frame`
        The frames; only their headers are read.
    noted : `~ccdproc_echelle.combining.Noted`
        What was recorded about them, as specified by `watched`.
    window, n_refused, scattered_light, limits
        See `quality_table`.

    Returns
    -------
    `~ccdproc_echelle.MasterFlat`

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If most of an order is too faint to divide by.
    """
    in_order = np.count_nonzero(master.orders.order_index() >= 0)
    sound = sound_pixels(master, window)
    with ahead(partial(chi_square_of_noted, noted, master, sound)) as chi_square:
        by_order = quality_of_orders(master, sound)
    _warn_of_dark_orders(by_order)
    quality = quality_table(
        master,
        by_order,
        window=window,
        sound=sound,
        chi_square=chi_square(),
        clipped_fraction=noted.n_rejected.max() / max(1, in_order),
        times=[observation_time(frame.header) for frame in flats],
        n_refused=n_refused,
        scattered_light=scattered_light,
        limits=limits,
    )
    record_cards(master.flat.header, quality_cards(quality))
    return replace(master, quality=quality)


def _warn_of_dark_orders(by_order: QTable) -> None:
    most = METRICS["faint_fraction_max"].upper
    dark = by_order["faint_fraction"] > most
    if dark.any():
        warn(
            f"orders {by_order['order'][dark].tolist()} have too little light to divide "
            f"by: more than {most:.0%} of their pixels have the flag FAINT; expose longer or more "
            "often, add a lamp that is bright there (stitch_flats), or remove these orders from "
            "the order table"
        )


