# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Plot the signal-to-noise ratio along the orders."""

from typing import TYPE_CHECKING

import numpy as np
from astropy.nddata import CCDData
from scipy import ndimage

from ccdproc_echelle.frames import standard_deviation
from ccdproc_echelle.orders import EchelleOrderTable, check_window
from ccdproc_echelle.plotting.drawing import axis_label, draw_order_curves, new_axes
from ccdproc_echelle.plotting.images import along_rows, unmasked

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_signal_to_noise"]

__doctest_requires__ = {"plot_*": ["matplotlib"]}

_BIN = 16  # dispersion pixels


def plot_signal_to_noise(
    flat: CCDData, orders: EchelleOrderTable, *, window: float = 10, ax: "Axes | None" = None
) -> "Axes":
    """
    Plot the signal-to-noise ratio per pixel along each order on a logarithmic axis.

    Each point is the median over the good inner-order pixels in 16 dispersion pixels; see
    `~ccdproc_echelle.EchelleOrderTable.inner_mask`.

    Parameters
    ----------
    flat : `~astropy.nddata.CCDData`, shape (rows, columns)
        The flat, with uncertainty. Masked pixels are omitted.
    orders : `~ccdproc_echelle.EchelleOrderTable`
        The orders.
    window : float, optional
        Full width in pixels of the inner-order window.
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
        If the flat has no uncertainty, ``window`` is not positive, or no pixel has a positive
        signal-to-noise ratio.

    Examples
    --------
    >>> from astropy.nddata import StdDevUncertainty
    >>> from ccdproc_echelle.plotting import plot_signal_to_noise
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> simulation = EchelleSimulation(shape=(128, 160), n_orders=3)
    >>> ax = plot_signal_to_noise(simulation.flats(1)[0], simulation.truth.orders)
    >>> ax.get_ylabel()
    'signal-to-noise per pixel'
    """
    check_window(window)
    if getattr(flat, "uncertainty", None) is None:
        raise ValueError("flat has no uncertainty, expected one")
    orders = orders.on_detector(flat.shape)
    pixels, curves = _signal_to_noise(flat, orders, window)
    ax = new_axes((9, 4.5)) if ax is None else ax
    draw_order_curves(ax, orders.order_numbers, pixels, curves, "signal-to-noise ratio")
    ax.set(
        xlim=(-0.5, flat.shape[orders.dispersion_axis] - 0.5),
        xlabel=axis_label(orders, orders.dispersion_axis), ylabel="signal-to-noise per pixel",
    )
    return ax


def _signal_to_noise(flat, orders, window) -> tuple[np.ndarray, np.ndarray]:
    """Bin centres and median signal-to-noise ratio of each order there, (n_orders, n_bins)."""
    sigma = standard_deviation(flat, "flat")
    ratio = np.divide(unmasked(flat), sigma, out=np.full(flat.shape, np.nan), where=sigma > 0)
    ratio = along_rows(ratio, orders)
    index = along_rows(orders.inner_index(window), orders)
    good = (index >= 0) & np.isfinite(ratio)
    starts = np.arange(0, ratio.shape[1], _BIN)
    curves = np.full((len(orders), len(starts)), np.nan)
    for i, start in enumerate(starts):
        part = np.s_[:, start : start + _BIN]
        values, order = ratio[part][good[part]], index[part][good[part]]
        if len(values):
            seen = np.unique(order)
            curves[seen, i] = ndimage.median(values, order, seen)
    return starts + 0.5 * (np.minimum(_BIN, ratio.shape[1] - starts) - 1), curves
