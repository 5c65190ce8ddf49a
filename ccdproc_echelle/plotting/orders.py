# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Plot the orders on an image."""

from typing import TYPE_CHECKING

import numpy as np
from astropy.nddata import CCDData

from ccdproc_echelle.orders import CURVE_LABELS, EchelleOrderTable, check_window
from ccdproc_echelle.plotting.drawing import (
    CURVE_STYLES,
    GREEN,
    axis_label,
    draw_legend,
    draw_order_numbers,
    height_over_width,
    line_width,
    new_axes,
    set_asinh_ticks,
)
from ccdproc_echelle.plotting.images import (
    BLANK,
    Picture,
    as_xy,
    draw_colorbar,
    draw_image,
    picture_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_curves", "draw_picture", "plot_orders"]

__doctest_requires__ = {"plot_*": ["matplotlib"]}

_CROWDED = 0.6  # points: lines are thinner than this if an order has less than nine points of room


def plot_orders(
    image: CCDData | np.ndarray,
    orders: EchelleOrderTable,
    *,
    window: float | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """
    Plot an image with the orders drawn on it.

    The image is shown as it is stored, first row at the bottom, with an asinh stretch: linear up to
    the signal of the faintest order and logarithmic above it, so that orders a hundred times
    fainter than the brightest are visible. The stretch is determined by the signal inside the
    orders. Pixels that are masked or not finite, and an inter-order area that was set to a
    constant, are left blank (pale blue).

    Parameters
    ----------
    image : `~astropy.nddata.CCDData` or array, shape (rows, columns)
        The image.
    orders : `~ccdproc_echelle.EchelleOrderTable`
        The orders. Edges are drawn if they are known. Centres are dashed; they are omitted if
        orders are crowded, unless there are no edges.
    window : float, optional
        Full width in pixels of the inner-order window, which is then filled in green.
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
        no positive signal in the orders, or ``window`` is not positive.

    Examples
    --------
    >>> from ccdproc_echelle.plotting import plot_orders
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> simulation = EchelleSimulation(shape=(128, 160), n_orders=3)
    >>> ax = plot_orders(simulation.flats(1)[0], simulation.truth.orders, window=10)
    >>> ax.get_xlabel()
    'dispersion axis: column (pixel)'
    """
    if window is not None:
        check_window(window)
    picture = picture_of(image, orders)
    if ax is None:
        ax = new_axes((9, 1.3 + 7 * height_over_width(picture.values.shape)))
    draw_picture(ax, picture, window)
    return ax


def draw_picture(ax, picture: Picture, window: float | None) -> None:
    """Draw the image with its colour bar, the orders and their numbers."""
    from matplotlib.colors import AsinhNorm

    orders = picture.orders
    draw_image(ax, picture, AsinhNorm(**picture.stretch))
    ax.set(xlabel=axis_label(orders, 1), ylabel=axis_label(orders, 0))
    colorbar = draw_colorbar(ax, picture, gap=20 if orders.dispersion_axis == 1 else 6)
    set_asinh_ticks(colorbar.ax.yaxis, **picture.stretch)
    if window is not None:
        _fill_window(ax, orders, window)
    draw_curves(ax, orders, line_width(ax, orders, "xy"[orders.dispersion_axis]))
    if not np.isfinite(picture.values).all():
        ax.plot([], [], "s", color=BLANK, label="masked or filled")
    _draw_order_ends(ax, orders)
    draw_legend(ax, raised=True)


def draw_curves(ax, orders: EchelleOrderTable, linewidth: float) -> None:
    """Draw the order edges if they are known, and the centres unless these would hide the light."""
    pixels = np.arange(orders.shape[orders.dispersion_axis])
    crowded = linewidth < _CROWDED
    edges = ("lower", "upper") if orders.has_edges else ()
    for name in edges if edges and crowded else ("center", *edges):
        curves = getattr(orders, name)().T
        lines = ax.plot(*as_xy(orders, pixels, curves), linewidth=linewidth, **CURVE_STYLES[name])
        lines[0].set_label(CURVE_LABELS[name])


def _fill_window(ax, orders: EchelleOrderTable, window: float) -> None:
    pixels = np.arange(orders.shape[orders.dispersion_axis])
    fill = ax.fill_between if orders.dispersion_axis == 1 else ax.fill_betweenx
    label = f"inner-order window, {window:g} pixel"
    for center in orders.center():
        fill(
            pixels, center - window / 2, center + window / 2, label=label, color=GREEN,
            alpha=0.4, linewidth=0,
        )
        label = None


def _draw_order_ends(ax, orders: EchelleOrderTable) -> None:
    """Write the order numbers where the orders end or leave the detector, right or top."""
    centers = orders.center()
    n_cross = orders.shape[1 - orders.dispersion_axis]
    centers[(centers < -0.5) | (centers > n_cross - 0.5)] = np.nan
    seen = np.flatnonzero(np.isfinite(centers).any(axis=1))
    last = centers.shape[1] - 1 - np.argmax(np.isfinite(centers[seen, ::-1]), axis=1)
    ends = np.column_stack(as_xy(orders, last, centers[seen, last]))
    at_side = last == centers.shape[1] - 1
    draw_order_numbers(
        ax, orders.order_numbers[seen], ends,
        right=~at_side | (orders.dispersion_axis == 1),
        above=~at_side | (orders.dispersion_axis == 0),
    )
