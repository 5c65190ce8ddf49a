# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Plot a cut through the orders along the cross-dispersion axis."""

from typing import TYPE_CHECKING

import numpy as np
from astropy.nddata import CCDData

from ccdproc_echelle._numeric.arguments import expect, is_whole
from ccdproc_echelle.orders import CURVE_LABELS, EchelleOrderTable
from ccdproc_echelle.plotting.drawing import (
    AXIS_NAMES,
    CURVE_STYLES,
    axis_label,
    draw_legend,
    draw_order_numbers,
    line_width,
    new_axes,
    set_asinh_ticks,
    signal_label,
)
from ccdproc_echelle.plotting.images import CENTER_WIDTH, Picture, along_rows, picture_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "CUT_HALF_WIDTH",
    "cut_through",
    "draw_cut",
    "order_spans",
    "pixels_around",
    "plot_cross_section",
]

__doctest_requires__ = {"plot_*": ["matplotlib"]}

CUT_HALF_WIDTH = 2  # a cut is the median of five dispersion pixels


def plot_cross_section(
    flat: CCDData | np.ndarray,
    orders: EchelleOrderTable,
    *,
    pixel: int | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """
    Plot a cut through the orders along the cross-dispersion axis.

    The cut is the median of five dispersion pixels. The signal axis has an asinh scale, like the
    image of `plot_orders`; pixels that are blank there are gaps here.

    Parameters
    ----------
    flat : `~astropy.nddata.CCDData` or array, shape (rows, columns)
        The image.
    orders : `~ccdproc_echelle.EchelleOrderTable`
        The orders. Each order is shaded between its edges; if the edges are not known, its centre
        is marked.
    pixel : int, optional
        Dispersion pixel of the cut. Default: the middle of the dispersion axis.
    ax : `~matplotlib.axes.Axes`, optional
        Axes on which to plot. Default: those of a new figure.

    Returns
    -------
    `~matplotlib.axes.Axes`

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the image is not two-dimensional, its shape differs from that of the order table, it has
        no positive signal in the orders, or ``pixel`` is not on the detector.

    Examples
    --------
    >>> from ccdproc_echelle.plotting import plot_cross_section
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> simulation = EchelleSimulation(shape=(128, 160), n_orders=3)
    >>> ax = plot_cross_section(simulation.flats(1)[0], simulation.truth.orders, pixel=100)
    >>> ax.get_ylabel()
    'signal (adu)'
    """
    picture = picture_of(flat, orders)
    n_pixels = picture.values.shape[orders.dispersion_axis]
    pixel = n_pixels // 2 if pixel is None else pixel
    good = is_whole(pixel, least=0) and pixel < n_pixels
    expect(good, "pixel", pixel, f"an integer from 0 to {n_pixels - 1}")
    ax = new_axes((10, 4.5)) if ax is None else ax
    draw_cut(ax, picture, int(pixel))
    return ax


def pixels_around(picture: Picture, pixel: int) -> range:
    """The dispersion pixels over which the median of a cut is taken."""
    n_pixels = picture.values.shape[picture.orders.dispersion_axis]
    return range(max(0, pixel - CUT_HALF_WIDTH), min(n_pixels, pixel + CUT_HALF_WIDTH + 1))


def cut_through(picture: Picture, pixels: range) -> np.ndarray:
    """Median signal of a few dispersion pixels; NaN where all of them are blank."""
    few = along_rows(picture.values, picture.orders)[:, pixels[0] : pixels[-1] + 1]
    return np.ma.median(np.ma.masked_invalid(few), axis=1).filled(np.nan)


def order_spans(orders: EchelleOrderTable, pixel: int) -> np.ndarray:
    """Lower and upper limit of each order at one dispersion pixel, (n_orders, 2)."""
    if orders.has_edges:
        return np.hstack([orders.lower([pixel]), orders.upper([pixel])])
    return orders.center([pixel]) + 0.5 * CENTER_WIDTH * np.array([-1, 1])


def draw_cut(ax, picture: Picture, pixel: int) -> None:
    """Draw the cut at one dispersion pixel, and mark the orders in it."""
    orders, stretch = picture.orders, picture.stretch
    pixels = pixels_around(picture, pixel)
    cut = cut_through(picture, pixels)
    ax.plot(
        cut, color="black", linewidth=0.9, drawstyle="steps-mid",
        label=f"median of {AXIS_NAMES[orders.dispersion_axis]}s {pixels[0]} to {pixels[-1]}",
    )
    bottom, top = stretch["vmin"] - 0.5 * stretch["linear_width"], 1.5 * stretch["vmax"]
    ax.set_yscale("asinh", linear_width=stretch["linear_width"])
    set_asinh_ticks(ax.yaxis, linear_width=stretch["linear_width"], vmin=bottom, vmax=top)
    ax.set(
        xlim=(-0.5, len(cut) - 0.5), xlabel=axis_label(orders, 1 - orders.dispersion_axis),
        ylim=(bottom, top), ylabel=signal_label(picture.unit),
    )
    _mark_orders(ax, orders, pixel)
    draw_legend(ax, raised=True)


def _mark_orders(ax, orders: EchelleOrderTable, pixel: int) -> None:
    """Shade the orders along the x axis, with their edges (or else centres) and numbers."""
    spans = order_spans(orders, pixel)
    middles = spans.mean(axis=1)
    here = (middles > ax.get_xlim()[0]) & (middles < ax.get_xlim()[1])
    curves = {"lower": spans[here, 0], "upper": spans[here, 1]}
    for name, positions in curves.items() if orders.has_edges else [("center", middles[here])]:
        ax.vlines(
            positions, 0, 1, transform=ax.get_xaxis_transform(), label=CURVE_LABELS[name],
            linewidth=line_width(ax, orders, "x"), zorder=1, **CURVE_STYLES[name],
        )
    for low, high in spans[here] if orders.has_edges else ():
        ax.axvspan(low, high, color="0.92", zorder=0)
    tops = np.column_stack([middles[here], np.full(here.sum(), ax.get_ylim()[1])])
    draw_order_numbers(ax, orders.order_numbers[here], tops, right=False, above=True)
