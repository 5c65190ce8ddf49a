# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Plot the blaze of each order, and the response of the pixels."""

from typing import TYPE_CHECKING

import numpy as np
from astropy import units as u
from astropy.nddata import CCDData
from astropy.stats import mad_std
from astropy.table import QTable
from scipy.special import ndtr

from ccdproc_echelle.frames import standard_deviation
from ccdproc_echelle.plotting.drawing import (
    BLUE,
    check_columns,
    draw_legend,
    draw_order_curves,
    new_axes,
    signal_label,
)
from ccdproc_echelle.plotting.images import unmasked

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_blaze", "plot_pixel_response"]

__doctest_requires__ = {"plot_*": ["matplotlib"]}

_N_BINS = 120  # of a histogram


def plot_blaze(table: QTable, *, ax: "Axes | None" = None) -> "Axes":
    """
    Plot the blaze of each order on a logarithmic axis.

    Parameters
    ----------
    table : `~astropy.table.QTable`
        The ``table`` of a `~ccdproc_echelle.NormalizedFlat`, with the columns ``order`` and
        ``blaze``. Values that are not positive are omitted.
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
        If a column is missing, or no blaze is positive.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.table import QTable
    >>> from ccdproc_echelle.plotting import plot_blaze
    >>> ax = plot_blaze(QTable({"order": [5, 6], "blaze": np.ones((2, 100))}))
    >>> ax.get_ylabel()
    'blaze (relative)'
    """
    check_columns("table", table, {"order", "blaze"})
    blaze = u.Quantity(table["blaze"])
    ax = new_axes((9, 4.5)) if ax is None else ax
    pixels = np.arange(blaze.shape[1])
    draw_order_curves(ax, np.asarray(table["order"]), pixels, blaze.value, "blaze")
    ax.set(
        xlim=(-0.5, len(pixels) - 0.5), xlabel="dispersion axis (pixel)",
        ylabel=signal_label(blaze.unit).replace("signal", "blaze"),
    )
    return ax


def plot_pixel_response(response: CCDData, *, ax: "Axes | None" = None) -> "Axes":
    """
    Plot the histogram of the pixel responses, and the distribution expected from noise alone.

    The expected distribution assumes a response of 1 and the uncertainty of each pixel. Any
    additional width is due to the pixel response; outliers are dead and hot pixels. The axis of
    pixel numbers is logarithmic. Responses beyond the limits are included in the first and last
    bin.

    Parameters
    ----------
    response : `~astropy.nddata.CCDData`
        The ``pixel_response`` of a `~ccdproc_echelle.NormalizedFlat`. Masked pixels are omitted. If
        there is no uncertainty, the expected distribution is not drawn.
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
        If no pixel is good.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.nddata import CCDData, StdDevUncertainty
    >>> from ccdproc_echelle.plotting import plot_pixel_response
    >>> sigma = StdDevUncertainty(np.full((50, 50), 0.01))
    >>> response = np.random.default_rng(1).normal(1, 0.01, (50, 50))
    >>> ax = plot_pixel_response(CCDData(response, unit="", uncertainty=sigma))
    >>> [line.get_label() for line in ax.lines]
    ['expected from noise (rms 1 %)']
    """
    values, sigma = _good_values(response)
    if values.size == 0:
        raise ValueError("response has no good pixel")
    scatter = mad_std(values)
    half = np.clip(12 * scatter, 0.02, 1)
    bins = np.linspace(1 - half, 1 + half, _N_BINS + 1)
    ax = new_axes((7, 4.5)) if ax is None else ax
    numbers, _, _ = ax.hist(
        np.clip(values, bins[0], bins[-1]), bins, color="0.75",
        label=f"measured (robust rms {100 * scatter:.2g} %)",
    )
    if sigma is not None:
        rms = 100 * np.median(sigma)
        ax.plot(
            0.5 * (bins[1:] + bins[:-1]), _expected_numbers(bins, sigma), color=BLUE,
            label=f"expected from noise (rms {rms:.2g} %)",
        )
    ax.set(
        yscale="log", xlim=(bins[0], bins[-1]), ylim=(0.5, 2 * numbers.max()),
        xlabel="pixel response (relative)",
        ylabel=f"number of pixels per bin of {100 * (bins[1] - bins[0]):.2g} %",
    )
    draw_legend(ax)
    return ax


def _good_values(response: CCDData) -> tuple[np.ndarray, np.ndarray | None]:
    """Values and standard deviations of good pixels."""
    values = unmasked(response)
    good = np.isfinite(values)
    sigma = standard_deviation(response, "response")
    if sigma is None:
        return values[good], None
    good &= np.isfinite(sigma) & (sigma > 0)
    return values[good], sigma[good]


def _expected_numbers(bins: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Number of normal deviates around 1, with these sigmas, expected in each bin."""
    # 500 quantiles of sigma represent millions of pixels.
    typical = np.quantile(sigma, (np.arange(500) + 0.5) / 500)
    below = ndtr((bins - 1) / typical[:, None])
    below[:, 0], below[:, -1] = 0, 1
    return len(sigma) * np.diff(below, axis=1).mean(axis=0)
