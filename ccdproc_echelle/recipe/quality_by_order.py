# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Measure the quality of each order of a master flat."""

from functools import partial, reduce
from operator import or_

import numpy as np
from astropy import units as u
from astropy.nddata import CCDData
from astropy.table import QTable

from ccdproc_echelle._numeric.medians import label_medians
from ccdproc_echelle._tasks import ahead
from ccdproc_echelle.frames import variance_array
from ccdproc_echelle.light import FlatFlag, faint_fractions, usable_ranges
from ccdproc_echelle.recipe.chi_square import sound_pixels
from ccdproc_echelle.recipe.product import MasterFlat, checked_master

__all__ = ["FLAGGED", "order_quality", "quality_of_orders", "relative_uncertainty"]

#: Names of the numbers of flagged pixels, and their flags.
FLAGGED = {
    "low_sensitivity_pixels": FlatFlag.LOW_SENSITIVITY,
    "dead_pixels": FlatFlag.DEAD,
    "hot_pixels": FlatFlag.HOT,
}


def order_quality(master: MasterFlat, *, window: float = 10) -> QTable:
    """
    Measure the quality of each order of a master flat.

    Parameters
    ----------
    master : `MasterFlat`
        The master flat, with measured order edges.
    window : float, optional
        Full width of the window on the order centre, in pixels.

    Returns
    -------
    `~astropy.table.QTable`
        One row per order: ``order``; ``n_pixels``, the number of sound inner-order pixels; their
        median ``counts`` in a frame of median level and their median ``signal_to_noise`` in the
        master; ``width``, the median distance between the edges along the order, and
        ``width_scatter``, its standard deviation; ``dead_pixels``, ``low_sensitivity_pixels`` and
        ``hot_pixels``; ``faint_fraction``, the fraction of all its pixels that are too faint to
        divide by; and ``usable_min`` and ``usable_max``, the first and last dispersion pixel of the
        range in which at least half of the slit is usable, see
        `~ccdproc_echelle.light.usable_ranges`. NaN if an order has no pixels, or the flat has no
        uncertainty.

    Raises
    ------
    ValueError
        If the orders have no edges or ``window`` is not positive.

    Examples
    --------
    >>> from ccdproc_echelle import make_master_flat
    >>> from ccdproc_echelle import order_quality
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> simulation = EchelleSimulation(shape=(128, 160), n_orders=3).with_dead_pixels(9)
    >>> master = make_master_flat(simulation.flats(3), simulation.truth.orders)
    >>> order_quality(master)["counts"].round(-3)
    <Quantity [15000.,  5000.,  2000.] adu>
    """
    return quality_of_orders(master, sound_pixels(checked_master(master), window))


def quality_of_orders(master: MasterFlat, sound: np.ndarray) -> QTable:
    """
    Compute `order_quality` if the sound pixels are already known.

    Parameters
    ----------
    master : `MasterFlat`
        The master flat, with measured order edges.
    sound : int array
        Pixels to use, as found by `~ccdproc_echelle.recipe.chi_square.sound_pixels`.

    Returns
    -------
    `~astropy.table.QTable`
    """
    with ahead(partial(usable_ranges, master.flags, master.orders)) as ranges:
        table = _by_order(master, sound)
        table["usable_min"], table["usable_max"] = ranges().T * u.pix
    return table


def _by_order(master: MasterFlat, sound: np.ndarray) -> QTable:
    """All but the usable ranges."""
    orders, flags = master.orders, master.flags.ravel()
    order_of = orders.order_index().ravel()
    order, data = order_of[sound], master.flat.data.ravel()[sound]
    snr = 1 / relative_uncertainty(master.flat, sound)
    level = np.median(master.levels["level"])
    widths = orders.upper() - orders.lower()
    table = QTable({"order": orders.order_numbers})
    table["n_pixels"] = np.bincount(order, minlength=len(orders))
    table["counts"] = label_medians(data, order, len(orders)) * level
    table["signal_to_noise"] = label_medians(snr, order, len(orders))
    table["width"] = np.nanmedian(widths, axis=1) * u.pix
    table["width_scatter"] = np.nanstd(widths, axis=1) * u.pix
    flagged = np.flatnonzero(flags & int(reduce(or_, FLAGGED.values())))
    flagged = flagged[order_of[flagged] >= 0]
    for name, flag in FLAGGED.items():
        these = flagged[flags[flagged] & int(flag) != 0]
        table[name] = np.bincount(order_of[these], minlength=len(orders))
    table["faint_fraction"] = faint_fractions(master.flags, orders)
    return table


def relative_uncertainty(flat: CCDData, pixels: np.ndarray) -> np.ndarray:
    """Standard deviation over value, negative for negative values; NaN if unknown."""
    if flat.uncertainty is None:
        return np.full(len(pixels), np.nan)
    variance = variance_array(flat.uncertainty.array.take(pixels), type(flat.uncertainty))
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.sqrt(variance) / flat.data.take(pixels)
    relative[~(np.isfinite(variance) & (variance > 0))] = np.nan
    return relative
