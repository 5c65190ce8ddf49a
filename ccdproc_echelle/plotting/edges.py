# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Plot the residuals of measured edge points from the fitted edges."""

from typing import TYPE_CHECKING

import numpy as np
from astropy import units as u
from astropy.table import QTable

from ccdproc_echelle._numeric.spread import MAD_TO_SIGMA
from ccdproc_echelle.orders import CURVE_LABELS, EchelleOrderTable
from ccdproc_echelle.plotting.drawing import (
    CURVE_STYLES,
    axis_label,
    check_columns,
    draw_legend,
    new_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_edge_residuals"]

__doctest_requires__ = {"plot_*": ["matplotlib"]}


def plot_edge_residuals(
    points: QTable, orders: EchelleOrderTable, *, ax: "Axes | None" = None
) -> "Axes":
    """
    Plot the residuals of the measured points from the fitted order edges.

    Points that were fitted are filled, rejected ones are grey crosses. The residual axis is
    symmetric and extends to six robust standard deviations of the fitted points on each side;
    points beyond it are drawn at its ends. The legend gives the rms of the fitted points.

    Parameters
    ----------
    points : `~astropy.table.QTable`
        Points returned by `~ccdproc_echelle.measure_order_edges`.
    orders : `~ccdproc_echelle.EchelleOrderTable`
        The orders with the edges fitted to these points.
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
        If the orders have no edges, the points belong to other orders, or none was used.

    Examples
    --------
    >>> from ccdproc_echelle import fit_order_edges, measure_order_edges
    >>> from ccdproc_echelle.plotting import plot_edge_residuals
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> simulation = EchelleSimulation(shape=(128, 160), n_orders=3)
    >>> orders, flat = simulation.truth.orders, simulation.flats(1)[0]
    >>> points = measure_order_edges(flat, orders)
    >>> ax = plot_edge_residuals(points, fit_order_edges(points, orders))
    >>> ax.get_ylabel()
    'measured edge − fit (pixel)'
    """
    residuals = _edge_residuals(points, orders)
    used = np.asarray(points["used"])
    if not np.isfinite(residuals[used]).any():
        raise ValueError("no point is marked as used, expected at least one")
    ax = new_axes((9, 4)) if ax is None else ax
    limit = max(6 * MAD_TO_SIGMA * np.nanmedian(np.abs(residuals[used])), 0.01)
    shown = np.clip(residuals, -0.97 * limit, 0.97 * limit)
    pixels, edge = u.Quantity(points["pixel"], u.pix).value, np.asarray(points["edge"])
    for name, marker in (("lower", "o"), ("upper", "^")):
        here = used & (edge == name)
        rms = np.sqrt(np.nanmean(residuals[here] ** 2)) if here.any() else np.nan
        ax.plot(
            pixels[here], shown[here], marker, color=CURVE_STYLES[name]["color"], markersize=2.5,
            markeredgewidth=0, alpha=0.7, label=f"{CURVE_LABELS[name]} (rms {rms:.2g} pixel)",
        )
    rejected = ~used & np.isfinite(residuals)
    ax.plot(
        pixels[rejected], shown[rejected], "x", color="0.35", markersize=4,
        label=f"rejected ({rejected.sum()} of {np.isfinite(residuals).sum()})",
    )
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set(
        xlim=(-0.5, orders.shape[orders.dispersion_axis] - 0.5), ylim=(-limit, limit),
        xlabel=axis_label(orders, orders.dispersion_axis),
        ylabel="measured edge − fit (pixel)",
    )
    draw_legend(ax)
    return ax


def _edge_residuals(points: QTable, orders: EchelleOrderTable) -> np.ndarray:
    """Measured position minus that of the fitted edge, in pixels."""
    check_columns("points", points, {"order", "edge", "pixel", "position", "used"})
    if not orders.has_edges:
        raise ValueError("the order table has no edges, expected those fitted to the points")
    unknown = set(np.asarray(points["order"]).tolist()) - set(orders.order_numbers.tolist())
    if unknown:
        raise ValueError(f"points has orders {sorted(unknown)}, which are not in the order table")
    pixels, columns = np.unique(u.Quantity(points["pixel"], u.pix).value, return_inverse=True)
    rows = (np.asarray(points["order"])[:, None] == orders.order_numbers).argmax(axis=1)
    fits = np.where(
        np.asarray(points["edge"]) == "lower",
        orders.lower(pixels)[rows, columns], orders.upper(pixels)[rows, columns],
    )
    return u.Quantity(points["position"], u.pix).value - fits
