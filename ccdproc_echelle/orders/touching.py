# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Orders that touch, with no dark gap between them.

Their light is one band, as wide as two or three orders. All orders are images of the same slit, so
the outer edges of the band and the width of the other orders tell where each of them is.
"""

import numpy as np

from ccdproc_echelle._warnings import warn
from ccdproc_echelle.orders.neighbours import WIDTH_TOLERANCE

__all__ = ["split_touching", "warn_of_touching"]

# A band is this many orders side by side if its width is within these limits, in units of the width
# of an order.
_SIDE_BY_SIDE = {2: (1.8, 2.15), 3: (2.6, 3.2)}

# Most orders are seen by themselves: at most this fraction of the bands are several orders.
_MOST_BANDS = 0.3

# A wide band is not that of orders if each would have less than this fraction of the light of the
# fainter one of the bands beside it.
_LEAST_LIGHT = 0.03

# A wide band holds the light of orders if it is at least this fraction as bright as the nearest
# one found, in at least this fraction of the sections.
_LEAST_BRIGHTNESS, _LEAST_SHARE = 0.2, 0.25


def split_touching(bands, expected: np.ndarray):
    """
    Replace bands of light that are as wide as two or three orders by that many of equal width.

    Parameters
    ----------
    bands : named tuple of array, shape (n_bands,)
        In each section sorted by position, with the fields ``section``, ``center``, ``width``,
        ``cut``, ``light`` and ``split``; others are copied.
    expected : array, shape (n_bands,)
        Width of an order at the place of each band.

    Returns
    -------
    bands : named tuple of array
        ``split`` is True for those that replace a wider one.
    expected : array
        Their expected widths.
    """
    number = np.ones(len(expected), dtype=int)
    for n, (least, most) in _SIDE_BY_SIDE.items():
        alike = (bands.width > least * expected) & (bands.width < most * expected)
        bright = bands.light > n * _LEAST_LIGHT * _fainter_beside(bands)
        number[alike & bright & (bands.cut == 0)] = n
    if not 0 < (number > 1).sum() <= _MOST_BANDS * len(number):
        return bands, expected
    origin = np.repeat(np.arange(len(number)), number)
    rank = np.arange(len(origin)) - np.searchsorted(origin, origin)
    parts = type(bands)(*(part[origin] for part in bands))
    number, width = number[origin], expected[origin]
    split = number > 1
    spacing = (parts.width - width) / np.maximum(number - 1, 1)
    away = np.where(split, rank - (number - 1) / 2, 0) * spacing
    return parts._replace(
        center=parts.center + away, width=np.where(split, width, parts.width),
        light=parts.light / number, split=split,
    ), width


def _fainter_beside(bands) -> np.ndarray:
    """Light of the fainter one of the adjacent bands in the section; 0 if there are none."""
    apart = np.diff(bands.section) != 0
    below = np.append(np.inf, np.where(apart, np.inf, bands.light[:-1]))
    above = np.append(np.where(apart, np.inf, bands.light[1:]), np.inf)
    fainter = np.minimum(below, above)
    return np.where(np.isfinite(fainter), fainter, 0.0)


def warn_of_touching(bands, orders: list[dict], rows_of, n_sections: int) -> None:
    """
    Warn of orders that are not seen apart, and of wide bands of light that hold no order found.

    Parameters
    ----------
    bands : named tuple of array, shape (n_bands,)
        Bands of light before they were split.
    orders : list of dict
        Orders found; ``split`` is the fraction of sections in which they are part of a wider band.
    rows_of : callable
        Detector positions of labels in given sections.
    n_sections : int
        Number of sections of the dispersion axis.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If there are any.
    """
    touching = [order for order in orders if order["split"] > 0.5]
    if touching:
        rows = [np.median(rows_of(o["centers"], o["sections"])) for o in touching]
        warn(
            f"orders at positions {np.rint(rows).astype(int).tolist()} touch: their light is one "
            "band, which was divided according to the width of the other orders; inspect them with "
            "plot_orders, and measure the edges, which touch as well, on a flat with a shorter "
            "slit, or drop these orders"
        )
    labels, widths, levels = (
        np.array([value(order) for order in orders]) for value in (
            lambda o: o["label"], lambda o: o["width"], lambda o: o["light"] / o["width"])
    )
    nearest = np.abs(bands.center[:, None] - labels).argmin(axis=1)
    wide = bands.width > WIDTH_TOLERANCE * widths[nearest]
    wide &= bands.light / bands.width > _LEAST_BRIGHTNESS * levels[nearest]
    wide &= np.abs(bands.center[:, None] - labels).min(axis=1) > 0.5 * bands.width
    if len(np.unique(bands.section[wide])) >= _LEAST_SHARE * n_sections:
        rows = rows_of(bands.center[wide], bands.section[wide])
        warn(
            f"a band of light at position {np.median(rows):.0f}, {np.median(bands.width[wide]):.0f}"
            " pixels wide, is not traced: if it is that of orders that touch, or of an order and a "
            "band beside it, trace them on a flat with a shorter slit; otherwise exclude it with "
            "region or a mask"
        )
