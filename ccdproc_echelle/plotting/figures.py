# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Figures: where the orders lie, what the flat is worth, and one page about a master flat.

Nothing else in the package imports matplotlib, and no figure goes through pyplot: each function
draws on the given axes, or on a new figure that belongs to the caller (``ax.figure.savefig``).
Colours are those of Okabe & Ito (2008), with line styles as a second cue; the image is grey, so
that lines stand out from it in print.
"""

from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from astropy import units as u
from astropy.nddata import CCDData, NDData
from astropy.table import QTable
from scipy.special import ndtr

from ccdproc_echelle.combining import CombineDiagnostics
from ccdproc_echelle.frames import standard_deviation
from ccdproc_echelle.light import FlatFlag
from ccdproc_echelle.orders import EchelleOrderTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


__all__ = [
    "plot_blaze",
    "plot_cross_section",
    "plot_edge_residuals",
    "plot_flags",
    "plot_levels",
    "plot_orders",
    "plot_pixel_response",
    "plot_quality",
    "plot_rejections",
    "plot_signal_to_noise",
    "plot_summary",
]

__doctest_requires__ = {"plot_*": ["matplotlib"]}

_ORANGE, _GREEN, _BLUE, _VERMILLION = "#E69F00", "#009E73", "#0072B2", "#D55E00"
_PASS_COLORS = (_ORANGE, _BLUE, _GREEN, _VERMILLION)
_PASS_MARKERS = "osD^"
_STYLES = {
    "center": {"color": _ORANGE, "linestyle": "--"},
    "lower": {"color": _BLUE, "linestyle": "-"},
    "upper": {"color": _VERMILLION, "linestyle": "-."},
}
_LABELS = {"center": "order centre", "lower": "lower edge", "upper": "upper edge"}
_AXIS_NAMES = ("row", "column")
_BLANK = "#d7ebf5"  # pale blue, which no value has

_LABEL_SIZE = 7  # points
_TABLE_SIZE = 6
_CUT_HALF_WIDTH = 2  # a cut is the median of five dispersion pixels
_CENTER_WIDTH = 5  # pixel; what counts as an order where its edges are not known
_MAX_NAMED_FRAMES = 12  # more names than this cannot be read below an axis
_MAX_NAME_LENGTH = 24
_BLOCK = 16  # pixel; a block of the rejection map, and a bin along an order
_N_BINS = 120  # of a histogram

# Flags of single pixels, which a page does not resolve, get markers; the others fill areas.
_MARKED_FLAGS = {
    FlatFlag.SATURATED: ("s", "#56B4E9"),
    FlatFlag.LOW_SENSITIVITY: ("o", _ORANGE),
    FlatFlag.DEAD: ("x", "black"),
    FlatFlag.HOT: ("^", _VERMILLION),
    FlatFlag.ALL_REJECTED: ("D", _GREEN),
    FlatFlag.NO_DATA: ("+", _BLUE),
}
_AREA_FLAGS = {
    FlatFlag.INTERORDER: "0.85",
    FlatFlag.EXTRAPOLATED_EDGE: "#F5E98A",
    FlatFlag.PARTLY_COVERED: "0.6",
    FlatFlag.OVERLAP: "#CC79A7",
}


def plot_orders(
    image: CCDData | np.ndarray,
    orders: EchelleOrderTable,
    *,
    window: float | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """
    Show an image with the orders drawn on it.

    The image is shown as it is stored, first row at the bottom, with an asinh stretch: linear up
    to the signal of the faintest order, logarithmic above it, so that orders a hundred times
    fainter than the brightest are seen. Signals inside the orders set the stretch. Pixels
    that are masked or not finite, and an inter-order area that was set to one constant, are left
    blank (pale blue).

    Parameters
    ----------
    image : `~astropy.nddata.CCDData` or array, shape (rows, columns)
        The image.
    orders : `~ccdproc_echelle.EchelleOrderTable`
        The orders. Centres are dashed; edges are drawn where they are known.
    window : float, optional
        Full width in pixel of the inner-order window, which is then filled in green.
    ax : `~matplotlib.axes.Axes`, optional
        Where to draw. Default: the axes of a new figure.

    Returns
    -------
    `~matplotlib.axes.Axes`

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the image is not two-dimensional or not of the order table's shape, has no positive
        signal in the orders, or ``window`` is not positive.

    Examples
    --------
    >>> from ccdproc_echelle.plotting import plot_orders
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> simulation = EchelleSimulation()
    >>> ax = plot_orders(simulation.flats(1)[0], simulation.truth.orders, window=10)
    >>> ax.get_xlabel()
    'dispersion axis: column (pixel)'
    """
    if window is not None and not window > 0:
        raise ValueError(f"window is {window!r}, expected a positive number of pixels")
    picture = _picture(image, orders)
    if ax is None:
        n_rows, n_columns = picture.values.shape
        ax = _new_axes((9, 1.3 + 7 * np.clip(n_rows / n_columns, 0.4, 2)))
    _draw_picture(ax, picture, window)
    return ax


def plot_levels(levels: QTable, *, ax: "Axes | None" = None) -> "Axes":
    """
    Show the exposure level of each frame, as measured in each pass.

    Levels are relative to the mean of the final pass, in per cent. The legend says by how much the
    levels of an earlier pass differ from the final ones. Error bars are one standard deviation.

    Parameters
    ----------
    levels : `~astropy.table.QTable`
        As `~ccdproc_echelle.measure_exposure_levels` returns it: one row per frame with columns
        ``frame``, ``pass_level`` and ``pass_uncertainty``, the latter two of shape (n_frames,
        n_passes).
    ax : `~matplotlib.axes.Axes`, optional
        Where to draw. Default: the axes of a new figure.

    Returns
    -------
    `~matplotlib.axes.Axes`

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If a column is missing, or there is no frame.

    Examples
    --------
    >>> from astropy import units as u
    >>> from astropy.table import QTable
    >>> from ccdproc_echelle.plotting import plot_levels
    >>> levels = QTable({"frame": ["flat_1.fits", "flat_2.fits"],
    ...                  "pass_level": [[990, 980], [1010, 1020]] * u.adu,
    ...                  "pass_uncertainty": [[2, 1], [2, 1]] * u.adu})
    >>> ax = plot_levels(levels)
    >>> ax.get_xlabel()
    'frame'
    """
    names, percent, errors = _levels_in_percent(levels)
    ax = _new_axes((8, 4.5)) if ax is None else ax
    n_frames, n_passes = percent.shape
    frames = np.arange(1, n_frames + 1)
    for i in range(n_passes):
        color = _PASS_COLORS[(i - n_passes + 2) % len(_PASS_COLORS)]
        ax.errorbar(
            frames + 0.16 * (i - (n_passes - 1) / 2), percent[:, i], errors[:, i],
            label=_pass_label(percent, i), color=color, linestyle="none", capsize=2, markersize=5,
            marker=_PASS_MARKERS[(i - n_passes + 1) % len(_PASS_MARKERS)],
            markerfacecolor=color if i == n_passes - 1 else "white",
        )
    ax.axhline(0, color="0.6", linewidth=0.8, zorder=0)
    ax.set(xlim=(0.5, n_frames + 0.5), ylabel="level \N{MINUS SIGN} mean (%)")
    _name_frames(ax, names)
    _draw_legend(ax, ncols=1)  # side by side they are wider than a panel of the summary
    return ax


def plot_cross_section(
    flat: CCDData | np.ndarray,
    orders: EchelleOrderTable,
    *,
    pixel: int | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """
    Show a cut through the orders along the cross-dispersion axis.

    The cut is the median of five dispersion pixels. The signal axis is scaled by asinh, as the
    image of `plot_orders`; pixels that are blank there are gaps here.

    Parameters
    ----------
    flat : `~astropy.nddata.CCDData` or array, shape (rows, columns)
        The image.
    orders : `~ccdproc_echelle.EchelleOrderTable`
        The orders. Each order is shaded between its edges, or where they are not known its
        centre is marked.
    pixel : int, optional
        Dispersion pixel of the cut. Default: the middle of the dispersion axis.
    ax : `~matplotlib.axes.Axes`, optional
        Where to draw. Default: the axes of a new figure.

    Returns
    -------
    `~matplotlib.axes.Axes`

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the image is not two-dimensional or not of the order table's shape, has no positive
        signal in the orders, or ``pixel`` is not on the detector.

    Examples
    --------
    >>> from ccdproc_echelle.plotting import plot_cross_section
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> simulation = EchelleSimulation()
    >>> ax = plot_cross_section(simulation.flats(1)[0], simulation.truth.orders, pixel=100)
    >>> ax.get_ylabel()
    'signal (adu)'
    """
    picture = _picture(flat, orders)
    n_pixels = picture.values.shape[orders.dispersion_axis]
    pixel = n_pixels // 2 if pixel is None else pixel
    if not 0 <= pixel < n_pixels or int(pixel) != pixel:
        raise ValueError(f"pixel is {pixel!r}, expected an integer from 0 to {n_pixels - 1}")
    ax = _new_axes((10, 4.5)) if ax is None else ax
    _draw_cut(ax, picture, int(pixel))
    return ax


def plot_edge_residuals(
    points: QTable, orders: EchelleOrderTable, *, ax: "Axes | None" = None
) -> "Axes":
    """
    Show how far the measured points lie from the fitted order edges.

    Points that were fitted are filled, rejected ones are grey crosses. The axis is symmetric and
    six robust standard deviations of the fitted points wide on each side; points beyond it
    are drawn at its ends. The legend has the rms of the fitted points.

    Parameters
    ----------
    points : `~astropy.table.QTable`
        As `~ccdproc_echelle.orders.edges.measure_order_edges` returns it.
    orders : `~ccdproc_echelle.EchelleOrderTable`
        The orders with the edges fitted to these points.
    ax : `~matplotlib.axes.Axes`, optional
        Where to draw. Default: the axes of a new figure.

    Returns
    -------
    `~matplotlib.axes.Axes`

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the orders have no edges, the points are of other orders, or none was used.

    Examples
    --------
    >>> from ccdproc_echelle.orders.edges import fit_order_edges, measure_order_edges
    >>> from ccdproc_echelle.plotting import plot_edge_residuals
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> simulation = EchelleSimulation(shape=(256, 256), n_orders=4)
    >>> orders, flat = simulation.truth.orders, simulation.flats(1)[0]
    >>> points = measure_order_edges(flat, orders)
    >>> ax = plot_edge_residuals(points, fit_order_edges(points, orders))
    >>> ax.get_ylabel()
    'measured edge − fit (pixel)'
    """
    residuals = _edge_residuals(points, orders)
    used = np.asarray(points["used"])
    if not np.isfinite(residuals[used]).any():
        raise ValueError("points have no used point, expected at least one")
    ax = _new_axes((9, 4)) if ax is None else ax
    limit = max(6 * 1.4826 * np.nanmedian(np.abs(residuals[used])), 0.01)
    shown = np.clip(residuals, -0.97 * limit, 0.97 * limit)
    pixels, edge = u.Quantity(points["pixel"], u.pix).value, np.asarray(points["edge"])
    for name, marker in (("lower", "o"), ("upper", "^")):
        here = used & (edge == name)
        rms = np.sqrt(np.nanmean(residuals[here] ** 2)) if here.any() else np.nan
        ax.plot(
            pixels[here], shown[here], marker, color=_STYLES[name]["color"], markersize=2.5,
            markeredgewidth=0, alpha=0.7, label=f"{_LABELS[name]} (rms {rms:.2g} pixel)",
        )
    rejected = ~used & np.isfinite(residuals)
    ax.plot(
        pixels[rejected], shown[rejected], "x", color="0.35", markersize=4,
        label=f"rejected ({rejected.sum()} of {np.isfinite(residuals).sum()})",
    )
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set(
        xlim=(-0.5, orders.shape[orders.dispersion_axis] - 0.5), ylim=(-limit, limit),
        xlabel=_axis_label(orders, orders.dispersion_axis),
        ylabel="measured edge − fit (pixel)",
    )
    _draw_legend(ax)
    return ax


def plot_blaze(table: QTable, *, ax: "Axes | None" = None) -> "Axes":
    """
    Show the blaze of each order, on a logarithmic axis.

    Parameters
    ----------
    table : `~astropy.table.QTable`
        The ``table`` of a `~ccdproc_echelle.light.response.NormalizedFlat`: columns ``order`` and
        ``blaze``. What is not positive is left out.
    ax : `~matplotlib.axes.Axes`, optional
        Where to draw. Default: the axes of a new figure.

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
    _check_columns("table", table, {"order", "blaze"})
    blaze = u.Quantity(table["blaze"])
    ax = _new_axes((9, 4.5)) if ax is None else ax
    pixels = np.arange(blaze.shape[1])
    _draw_order_curves(ax, np.asarray(table["order"]), pixels, blaze.value, "blaze")
    ax.set(
        xlim=(-0.5, len(pixels) - 0.5), xlabel="dispersion axis (pixel)",
        ylabel=_signal_label(blaze.unit).replace("signal", "blaze"),
    )
    return ax


def plot_signal_to_noise(
    flat: CCDData, orders: EchelleOrderTable, *, window: float = 10, ax: "Axes | None" = None
) -> "Axes":
    """
    Show the signal-to-noise ratio of a pixel along each order, on a logarithmic axis.

    Each point is the median of the good inner-order pixels in 16 dispersion pixels.

    Parameters
    ----------
    flat : `~astropy.nddata.CCDData`, shape (rows, columns)
        The flat, with uncertainty. Masked pixels are left out.
    orders : `~ccdproc_echelle.EchelleOrderTable`
        The orders.
    window : float, optional
        Full width in pixel of the inner-order window.
    ax : `~matplotlib.axes.Axes`, optional
        Where to draw. Default: the axes of a new figure.

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
    >>> simulation = EchelleSimulation(shape=(256, 256), n_orders=4)
    >>> ax = plot_signal_to_noise(simulation.flats(1)[0], simulation.truth.orders)
    >>> ax.get_ylabel()
    'signal-to-noise per pixel'
    """
    if window is None or not window > 0:
        raise ValueError(f"window is {window!r}, expected a positive number of pixels")
    if getattr(flat, "uncertainty", None) is None:
        raise ValueError("flat has no uncertainty, expected one")
    orders = orders.on_detector(flat.shape)
    pixels, curves = _signal_to_noise(flat, orders, window)
    ax = _new_axes((9, 4.5)) if ax is None else ax
    _draw_order_curves(ax, orders.order_numbers, pixels, curves, "signal-to-noise ratio")
    ax.set(
        xlim=(-0.5, flat.shape[orders.dispersion_axis] - 0.5),
        xlabel=_axis_label(orders, orders.dispersion_axis), ylabel="signal-to-noise per pixel",
    )
    return ax


def plot_pixel_response(response: CCDData, *, ax: "Axes | None" = None) -> "Axes":
    """
    Show the histogram of the pixel responses, and what their noise alone lets expect.

    What is expected is a response of 1 with the uncertainty of each pixel. What is wider is the
    pixel response itself; what is far out are dead and hot pixels. The axis of numbers is
    logarithmic; responses beyond the limits count in the first and last bin.

    Parameters
    ----------
    response : `~astropy.nddata.CCDData`
        The ``pixel_response`` of a `~ccdproc_echelle.light.response.NormalizedFlat`. Masked pixels are
        left out. Without uncertainty the expectation is not drawn.
    ax : `~matplotlib.axes.Axes`, optional
        Where to draw. Default: the axes of a new figure.

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
    ['expected of the noise (rms 1 %)']
    """
    values, sigma = _good_values(response)
    if values.size == 0:
        raise ValueError("response has no good pixel")
    scatter = 1.4826 * np.median(np.abs(values - np.median(values)))
    half = np.clip(12 * scatter, 0.02, 1)
    bins = np.linspace(1 - half, 1 + half, _N_BINS + 1)
    ax = _new_axes((7, 4.5)) if ax is None else ax
    numbers, _, _ = ax.hist(
        np.clip(values, bins[0], bins[-1]), bins, color="0.75",
        label=f"measured (robust rms {100 * scatter:.2g} %)",
    )
    if sigma is not None:
        rms = 100 * np.median(sigma)
        ax.plot(
            0.5 * (bins[1:] + bins[:-1]), _expected_numbers(bins, sigma), color=_BLUE,
            label=f"expected of the noise (rms {rms:.2g} %)",
        )
    ax.set(
        yscale="log", xlim=(bins[0], bins[-1]), ylim=(0.5, 2 * numbers.max()),
        xlabel="pixel response (relative)",
        ylabel=f"number of pixels per bin of {100 * (bins[1] - bins[0]):.2g} %",
    )
    _draw_legend(ax)
    return ax


def plot_rejections(diagnostics: CombineDiagnostics, *, ax: "Axes | None" = None) -> "Axes":
    """
    Show where values were rejected when the frames were combined.

    A single pixel cannot be seen on a page, so each shade is the part of all values rejected in
    a block of 16 by 16 pixels (fewer at the end), on a square-root scale.

    Parameters
    ----------
    diagnostics : `~ccdproc_echelle.combining.combine.CombineDiagnostics`
        What became of the values of each pixel.
    ax : `~matplotlib.axes.Axes`, optional
        Where to draw. Default: the axes of a new figure.

    Returns
    -------
    `~matplotlib.axes.Axes`

    Raises
    ------
    ImportError
        If matplotlib is not installed.

    Examples
    --------
    >>> from ccdproc_echelle import combine_frames
    >>> from ccdproc_echelle.plotting import plot_rejections
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> flats = EchelleSimulation(shape=(256, 256), n_orders=4).flats(3)
    >>> _, diagnostics = combine_frames(flats, sigma_clip=True, diagnostics=True)
    >>> ax = plot_rejections(diagnostics)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('column (pixel)', 'row (pixel)')
    """
    from matplotlib.colors import PowerNorm

    percent = 100 * _block_means(diagnostics.rejected.mean(axis=0), _BLOCK)
    n_rows, n_columns = diagnostics.rejected.shape[1:]
    ax = _new_axes((7, 1 + 5.5 * np.clip(n_rows / n_columns, 0.4, 2))) if ax is None else ax
    covered = _BLOCK * np.array(percent.shape) - 0.5
    ax.imshow(
        percent, norm=PowerNorm(0.5, 0, max(percent.max(), 0.1)), cmap="cividis_r",
        origin="lower", aspect="auto", extent=(-0.5, covered[1], -0.5, covered[0]),
        interpolation="nearest",
    )
    ax.set(
        xlim=(-0.5, n_columns - 0.5), ylim=(-0.5, n_rows - 0.5),
        xlabel="column (pixel)", ylabel="row (pixel)",
    )
    total = 100 * diagnostics.rejected.mean()
    ax.set_title(f"{total:.2g} % of all values rejected", fontsize="medium", loc="left")
    ax.figure.colorbar(ax.images[-1], ax=ax, label="rejected values in a block (%)")
    return ax


def plot_flags(flags: np.ndarray, *, ax: "Axes | None" = None) -> "Axes":
    """
    Show the flags of a master flat.

    Areas (inter-order, partly covered, overlap, edge not measured) are shaded; single pixels
    (dead, hot, low sensitivity, saturated, without data) have markers, larger than
    they are. The legend counts the pixels of each flag.

    Parameters
    ----------
    flags : int array, shape (rows, columns)
        Bits of `~ccdproc_echelle.light.flags.FlatFlag`.
    ax : `~matplotlib.axes.Axes`, optional
        Where to draw. Default: the axes of a new figure.

    Returns
    -------
    `~matplotlib.axes.Axes`

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If flags are not a two-dimensional integer array.

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle.light.flags import FlatFlag
    >>> from ccdproc_echelle.plotting import plot_flags
    >>> flags = np.zeros((50, 80), dtype=np.int16)
    >>> flags[:20] |= FlatFlag.INTERORDER
    >>> flags[30, 7] |= FlatFlag.DEAD
    >>> [text.get_text() for text in plot_flags(flags).get_legend().get_texts()]
    ['interorder (1600)', 'dead (1)']
    """
    flags = np.asarray(flags)
    if flags.ndim != 2 or flags.dtype.kind not in "iu":
        raise ValueError(
            f"flags are of type {flags.dtype} with {flags.ndim} dimensions, "
            "expected integers with 2"
        )
    n_rows, n_columns = flags.shape
    ax = _new_axes((8, 1.6 + 6.5 * np.clip(n_rows / n_columns, 0.4, 2))) if ax is None else ax
    _draw_flag_areas(ax, flags)
    for flag, (marker, color) in _MARKED_FLAGS.items():
        rows, columns = np.nonzero(flags & int(flag))
        if len(rows):
            # In a PDF, a million markers would be a million objects.
            ax.plot(
                columns, rows, marker, color=color, markersize=3.5, rasterized=True,
                label=_flag_label(flag, len(rows)), markerfacecolor="none", markeredgewidth=0.8,
            )
    ax.set(
        xlim=(-0.5, n_columns - 0.5), ylim=(-0.5, n_rows - 0.5),
        xlabel="column (pixel)", ylabel="row (pixel)",
    )
    if ax.get_legend_handles_labels()[1]:
        _draw_legend(ax, ncols=3)
    return ax


def plot_quality(quality: QTable, *, ax: "Axes | None" = None) -> "Axes":
    """
    Write the quality numbers as a table.

    Numbers that are not known (NaN) are left out. A verdict "fail" is bold and vermillion.

    Parameters
    ----------
    quality : `~astropy.table.QTable`
        As `~ccdproc_echelle.recipe.quality.flat_quality` returns it.
    ax : `~matplotlib.axes.Axes`, optional
        Where to write. Default: the axes of a new figure.

    Returns
    -------
    `~matplotlib.axes.Axes`

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If a column is missing.

    Examples
    --------
    >>> from astropy.table import QTable
    >>> from ccdproc_echelle.plotting import plot_quality
    >>> ax = plot_quality(QTable({"name": ["order_width"], "value": [21.5], "unit": ["pix"],
    ...                           "lower": [20.0], "upper": [float("nan")], "verdict": ["pass"]}))
    >>> [text.get_text() for text in ax.texts][5:]
    ['order width', '21.5', 'pix', '≥ 20', 'pass']
    """
    _check_columns("quality", quality, {"name", "value", "unit", "lower", "upper", "verdict"})
    lines = [("quantity", "value", "unit", "limits", "verdict"), *_quality_lines(quality)]
    ax = _new_axes((5, 0.4 + 0.17 * len(lines))) if ax is None else ax
    ax.set_axis_off()
    for i, line in enumerate(lines):
        y = 1 - (i + 0.5 + 0.4 * (i > 0)) / (len(lines) + 0.4)
        failed = line[-1] == "fail"
        for (x, side), text in zip(_QUALITY_COLUMNS, line, strict=True):
            ax.text(
                x, y, text, transform=ax.transAxes, ha=side, va="center", fontsize=_TABLE_SIZE,
                in_layout=False,
                color=_VERMILLION if failed else "black",
                fontweight="bold" if failed or i == 0 else "normal",
            )
    ax.axhline(1 - 1.1 / (len(lines) + 0.4), color="black", linewidth=0.6)
    ax.set(xlim=(0, 1), ylim=(0, 1))
    return ax


def plot_summary(master) -> "Figure":
    """
    One page about a master flat.

    The flat with its orders; the brightest, a middle and the faintest order pixel by pixel around
    the middle of the dispersion axis, each with its own linear grey scale; the cut through the
    orders there; the exposure levels of the frames; the signal-to-noise ratio along the orders,
    if the flat has an uncertainty; and the quality numbers, if the master has them.

    Parameters
    ----------
    master : `~ccdproc_echelle.MasterFlat`
        The master flat.

    Returns
    -------
    `~matplotlib.figure.Figure`
        A page of A4 size; ``savefig`` writes it.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        As `plot_orders` and `plot_levels`.
    """
    picture = _picture(master.flat, master.orders)
    quality = getattr(master, "quality", None)
    has_noise = master.flat.uncertainty is not None
    figure = _new_figure((8.3, 11.7))
    figure.suptitle(_title(master.flat.header))
    axes = figure.subplot_mosaic(
        _summary_panels(has_noise, quality is not None), height_ratios=(2.0, 0.9, 0.9, 2.7)
    )
    middle = picture.values.shape[picture.orders.dispersion_axis] // 2
    _draw_picture(axes["orders"], picture, window=None)
    _draw_cut(axes["cut"], picture, middle)
    plot_levels(master.levels, ax=axes["levels"])
    if has_noise:
        plot_signal_to_noise(master.flat, master.orders, ax=axes["noise"])
    if quality is not None:
        plot_quality(quality, ax=axes["quality"])
    chosen = _three_orders(picture, middle)
    for i in range(3):
        if i < len(chosen):
            _draw_zoom(axes[f"zoom {i}"], picture, middle, *chosen[i])
        else:
            axes[f"zoom {i}"].remove()
    for ax in figure.axes:
        _use_small_text(ax)
    return figure


# ---------------------------------------------------------------------- numbers


class _Picture(NamedTuple):
    values: np.ndarray  # NaN where blank
    unit: u.UnitBase | None
    orders: EchelleOrderTable
    stretch: dict[str, float]


def _picture(image, orders: EchelleOrderTable) -> _Picture:
    """All that a figure needs of an image."""
    values = _unmasked(image)
    orders = orders.on_detector(values.shape)
    inside = orders.order_map() > 0 if orders.has_edges else orders.inner_mask(_CENTER_WIDTH)
    values[_filled(values, inside)] = np.nan
    return _Picture(values, getattr(image, "unit", None), orders, _stretch(values, inside))


def _unmasked(image) -> np.ndarray:
    """The image as floats, NaN where masked."""
    data = image.data if isinstance(image, NDData) else np.ma.getdata(image)
    if data.ndim != 2:
        raise ValueError(f"image has {data.ndim} dimensions, expected 2")
    mask = getattr(image, "mask", None)
    return np.where(False if mask is None else mask, np.nan, np.asarray(data, dtype=float))


def _filled(values, inside) -> np.ndarray:
    """Inter-order pixels that were set to a constant: one value that most of them share."""
    outside = ~inside & np.isfinite(values)
    if not outside.any():
        return outside
    same = outside & (values == np.median(values[outside]))
    return same if 2 * same.sum() > outside.sum() else np.zeros_like(same)


def _stretch(values, inside) -> dict[str, float]:
    """Limits and linear range of an asinh stretch, from the signals inside the orders."""
    good = np.isfinite(values)
    signal, background = values[inside & good], values[~inside & good]
    faint, bright = np.percentile(signal, [5, 99.5]) if signal.size else (0, 0)
    if not bright > 0:
        raise ValueError("image has no good pixel with a positive signal inside the orders")
    base = np.clip(np.percentile(background, 1), 0, bright / 2) if background.size else 0.0
    linear_width = np.clip(faint - base, bright / 300, bright / 3)
    return {"linear_width": float(linear_width), "vmin": float(base), "vmax": float(bright)}


def _around(picture: _Picture, pixel: int) -> range:
    """The few dispersion pixels of which a cut is the median."""
    n_pixels = picture.values.shape[picture.orders.dispersion_axis]
    return range(max(0, pixel - _CUT_HALF_WIDTH), min(n_pixels, pixel + _CUT_HALF_WIDTH + 1))


def _cut(picture: _Picture, pixels: range) -> np.ndarray:
    """Median signal of a few dispersion pixels; NaN where all of them are blank."""
    values = picture.values if picture.orders.dispersion_axis == 1 else picture.values.T
    few = values[:, pixels[0] : pixels[-1] + 1]
    return np.ma.median(np.ma.masked_invalid(few), axis=1).filled(np.nan)


def _spans(orders: EchelleOrderTable, pixel: int) -> np.ndarray:
    """Lower and upper limit of each order at one dispersion pixel, (n_orders, 2)."""
    if orders.has_edges:
        return np.hstack([orders.lower([pixel]), orders.upper([pixel])])
    return orders.center([pixel]) + 0.5 * _CENTER_WIDTH * np.array([-1, 1])


def _three_orders(picture: _Picture, pixel: int) -> list[tuple[str, np.ndarray]]:
    """Titles and spans of the brightest, a middle and the faintest order at a dispersion pixel."""
    cut = _cut(picture, _around(picture, pixel))
    positions = np.arange(len(cut))
    found = []
    for number, span in zip(
        picture.orders.order_numbers, _spans(picture.orders, pixel), strict=True
    ):
        inside = np.isfinite(cut) & (positions >= span[0]) & (positions <= span[1])
        if inside.any():
            found.append((np.median(cut[inside]), f"order {number}", span))
    found.sort(key=lambda order: order[0], reverse=True)
    places = {len(found) // 2: "middle", len(found) - 1: "faintest", 0: "brightest"}
    return [
        (f"{found[place][1]}: {places[place]}", found[place][2])
        for place in sorted(places) if found
    ]


def _levels_in_percent(levels: QTable) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Frame names; deviations from the mean final level and their errors, (n_frames, n_passes)."""
    _check_columns("levels", levels, {"frame", "pass_level", "pass_uncertainty"})
    if len(levels) == 0:
        raise ValueError("levels have no row, expected one for each frame")
    level, uncertainty = u.Quantity(levels["pass_level"]), u.Quantity(levels["pass_uncertainty"])
    mean = np.nanmean(level[:, -1])
    names = [PurePath(str(name)).name.split(".fits")[0] for name in levels["frame"]]
    return names, (level / mean - 1).to_value(u.percent), (uncertainty / mean).to_value(u.percent)


def _check_columns(name: str, table: QTable, needed: set[str]) -> None:
    missing = needed - set(table.colnames)
    if missing:
        raise ValueError(f"{name} has no column {sorted(missing)}; found {table.colnames}")


def _edge_residuals(points: QTable, orders: EchelleOrderTable) -> np.ndarray:
    """Measured position less that of the fitted edge, in pixel."""
    _check_columns("points", points, {"order", "edge", "pixel", "position", "used"})
    if not orders.has_edges:
        raise ValueError("the order table has no edges, expected those fitted to the points")
    unknown = set(np.asarray(points["order"]).tolist()) - set(orders.order_numbers.tolist())
    if unknown:
        raise ValueError(f"points are of orders {sorted(unknown)}, not in the order table")
    pixels, columns = np.unique(u.Quantity(points["pixel"], u.pix).value, return_inverse=True)
    rows = (np.asarray(points["order"])[:, None] == orders.order_numbers).argmax(axis=1)
    fits = np.where(
        np.asarray(points["edge"]) == "lower",
        orders.lower(pixels)[rows, columns], orders.upper(pixels)[rows, columns],
    )
    return u.Quantity(points["position"], u.pix).value - fits


def _signal_to_noise(flat, orders, window) -> tuple[np.ndarray, np.ndarray]:
    """Bin centres and median signal-to-noise ratio of each order there, (n_orders, n_bins)."""
    sigma = standard_deviation(flat, "flat")
    ratio = np.divide(_unmasked(flat), sigma, out=np.full(flat.shape, np.nan), where=sigma > 0)
    ratio = ratio if orders.dispersion_axis == 1 else ratio.T
    n_rows, n_pixels = ratio.shape
    offsets = np.arange(-np.floor(window / 2), np.floor(window / 2) + 1)
    centers = orders.center()
    rows = np.rint(np.where(np.isfinite(centers), centers, -n_rows))[..., None] + offsets
    inside = (rows >= 0) & (rows < n_rows)
    rows = np.where(inside, rows, 0).astype(int)
    values = np.where(inside, ratio[rows, np.arange(n_pixels)[:, None]], np.nan)
    starts = np.arange(0, n_pixels, _BLOCK)
    curves = np.full((len(orders), len(starts)), np.nan)
    for i, start in enumerate(starts):
        few = values[:, start : start + _BLOCK].reshape(len(orders), -1)
        seen = np.isfinite(few).any(axis=1)
        curves[seen, i] = np.nanmedian(few[seen], axis=1)
    return starts + 0.5 * (np.minimum(_BLOCK, n_pixels - starts) - 1), curves


def _good_values(response: CCDData) -> tuple[np.ndarray, np.ndarray | None]:
    """Values and standard deviations of the pixels that are good."""
    values = _unmasked(response)
    good = np.isfinite(values)
    sigma = standard_deviation(response, "response")
    if sigma is None:
        return values[good], None
    good &= np.isfinite(sigma) & (sigma > 0)
    return values[good], sigma[good]


def _expected_numbers(bins: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """How many of the normal deviates around 1 with these sigmas fall in each bin."""
    # 500 quantiles of sigma stand for millions of pixels.
    typical = np.quantile(sigma, (np.arange(500) + 0.5) / 500)
    below = ndtr((bins - 1) / typical[:, None])
    below[:, 0], below[:, -1] = 0, 1
    return len(sigma) * np.diff(below, axis=1).mean(axis=0)


def _block_means(values: np.ndarray, size: int) -> np.ndarray:
    """Means of the finite values in blocks; fewer values at the ends; NaN without any."""
    good = np.isfinite(values)
    sums = [
        np.add.reduceat(
            np.add.reduceat(image, np.arange(0, image.shape[0], size), axis=0),
            np.arange(0, image.shape[1], size), axis=1,
        )
        for image in (np.where(good, values, 0.0), good.astype(float))
    ]
    return np.divide(sums[0], sums[1], out=np.full(sums[0].shape, np.nan), where=sums[1] > 0)


# ---------------------------------------------------------------------- words


def _signal_label(unit: u.UnitBase | None) -> str:
    if unit is None:
        return "signal"
    return "signal (relative)" if unit == u.dimensionless_unscaled else f"signal ({unit})"


def _axis_label(orders: EchelleOrderTable, axis: int) -> str:
    kind = "dispersion" if axis == orders.dispersion_axis else "cross-dispersion"
    return f"{kind} axis: {_AXIS_NAMES[axis]} (pixel)"


def _pass_label(percent: np.ndarray, i: int) -> str:
    if i == percent.shape[1] - 1:
        return f"pass {i + 1} (final)"
    rms = np.sqrt(np.nanmean((percent[:, i] - percent[:, -1]) ** 2))
    return f"pass {i + 1} (differs by {rms:.2g} % rms)"


def _title(header) -> str:
    parts = [str(header[key]) for key in ("INSTRUME", "OBJECT") if header.get(key)]
    n = header.get("NCOMBINE")
    parts.append("master flat" if n is None else f"master flat of {n} frames")
    return ", ".join(parts)


_QUALITY_COLUMNS = [(0, "left"), (0.59, "right"), (0.62, "left"), (0.72, "left"), (1, "right")]


def _quality_lines(quality: QTable) -> list[tuple[str, ...]]:
    """What the table of quality numbers says, a line for each number that is known."""
    return [
        (
            str(row["name"]).replace("_", " "), f"{row['value']:.4g}", str(row["unit"]),
            _limits_text(row["lower"], row["upper"]), str(row["verdict"]),
        )
        for row in quality if np.isfinite(row["value"])
    ]


def _limits_text(lower: float, upper: float) -> str:
    if np.isfinite(lower) and np.isfinite(upper):
        return f"{lower:g} to {upper:g}"
    if np.isfinite(lower):
        return f"\N{GREATER-THAN OR EQUAL TO} {lower:g}"
    return f"\N{LESS-THAN OR EQUAL TO} {upper:g}" if np.isfinite(upper) else ""


def _flag_label(flag: FlatFlag, n: int) -> str:
    return f"{flag.name.lower().replace('_', ' ')} ({n})"


def _summary_panels(has_noise: bool, has_quality: bool) -> list[list]:
    """The panels of the page, row by row; rows within a row are divided on their own."""
    noise = "noise" if has_noise else "levels"
    below = [[name, "quality" if has_quality else name] for name in ("levels", noise)]
    return [["orders"], [[["zoom 0", "zoom 1", "zoom 2"]]], ["cut"], [below]]


# ---------------------------------------------------------------------- drawing


def _new_figure(size: tuple[float, float]) -> "Figure":
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "figures need matplotlib: pip install ccdproc_echelle[plot]"
        ) from error
    return Figure(figsize=size, dpi=150, layout="constrained")


def _new_axes(size: tuple[float, float]) -> "Axes":
    return _new_figure(size).add_subplot()


def _draw_picture(ax, picture: _Picture, window: float | None) -> None:
    from matplotlib.colors import AsinhNorm

    orders = picture.orders
    _draw_image(ax, picture, AsinhNorm(**picture.stretch))
    ax.set(xlabel=_axis_label(orders, 1), ylabel=_axis_label(orders, 0))
    colorbar = _draw_colorbar(ax, picture, gap=20 if orders.dispersion_axis == 1 else 6)
    _set_asinh_ticks(colorbar.ax.yaxis, **picture.stretch)
    if window is not None:
        _fill_window(ax, orders, window)
    _draw_curves(ax, orders, _line_width(ax, orders, "xy"[orders.dispersion_axis]))
    if not np.isfinite(picture.values).all():
        ax.plot([], [], "s", color=_BLANK, label="masked or filled")
    _draw_order_ends(ax, orders)
    _draw_legend(ax, raised=True)


def _draw_image(ax, picture: _Picture, norm) -> None:
    from matplotlib import colormaps

    grey = colormaps["gray_r"].with_extremes(bad=_BLANK)
    ax.imshow(picture.values, norm=norm, cmap=grey, origin="lower", aspect="auto")
    n_rows, n_columns = picture.values.shape
    ax.set(xlim=(-0.5, n_columns - 0.5), ylim=(-0.5, n_rows - 0.5))


def _draw_colorbar(ax, picture: _Picture, *, gap: float):
    """A colour bar as high as the image, whatever its aspect; the gap is in points."""
    from matplotlib.transforms import offset_copy

    beside = offset_copy(ax.transAxes, ax.figure, x=gap, units="points")
    return ax.figure.colorbar(
        ax.images[-1], cax=ax.inset_axes((1, 0, 0.03, 1), transform=beside), extend="max",
        extendfrac=0.03, label=_signal_label(picture.unit),
    )


def _set_asinh_ticks(axis, *, linear_width: float, vmin: float, vmax: float) -> None:
    """Ticks at 0 and at powers of ten; if these are too few, at 1, 2 and 5 times them."""
    low, high = max(linear_width, vmin), vmax
    powers = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    multiples = powers[:, np.newaxis] * np.arange(1, 10)
    steps = [1] if np.sum((powers >= low) & (powers <= high)) > 1 else [1, 2, 5]
    major, minor = (
        ticks[(ticks >= low) & (ticks <= high)]
        for ticks in (multiples[:, np.array(steps) - 1].ravel(), multiples.ravel())
    )
    major = np.concatenate([[0], major]) if vmin <= 0 else major
    axis.set_ticks(major, [f"{tick:g}" for tick in major])
    axis.set_ticks(minor, minor=True)


def _as_xy(orders: EchelleOrderTable, along, across) -> tuple:
    """Dispersion and cross-dispersion positions as x and y of the image."""
    return (along, across) if orders.dispersion_axis == 1 else (across, along)


def _draw_curves(ax, orders: EchelleOrderTable, linewidth: float) -> None:
    pixels = np.arange(orders.shape[orders.dispersion_axis])
    for name in ("center", "lower", "upper") if orders.has_edges else ("center",):
        curves = getattr(orders, name)().T
        lines = ax.plot(*_as_xy(orders, pixels, curves), linewidth=linewidth, **_STYLES[name])
        lines[0].set_label(_LABELS[name])


def _line_width(ax, orders: EchelleOrderTable, across: str) -> float:
    """In points; thinner where many orders share that axis, so that lines do not hide them."""
    width, height = ax.get_window_extent().size * 72 / ax.figure.dpi
    return float(np.clip((width if across == "x" else height) / len(orders) / 15, 0.25, 0.8))


def _fill_window(ax, orders: EchelleOrderTable, window: float) -> None:
    pixels = np.arange(orders.shape[orders.dispersion_axis])
    fill = ax.fill_between if orders.dispersion_axis == 1 else ax.fill_betweenx
    label = f"inner-order window, {window:g} pixel"
    for center in orders.center():
        fill(
            pixels, center - window / 2, center + window / 2, label=label, color=_GREEN,
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
    ends = np.column_stack(_as_xy(orders, last, centers[seen, last]))
    at_side = last == centers.shape[1] - 1
    _draw_order_numbers(
        ax, orders.order_numbers[seen], ends,
        right=~at_side | (orders.dispersion_axis == 1),
        above=~at_side | (orders.dispersion_axis == 0),
    )


def _draw_order_numbers(ax, numbers, positions: np.ndarray, *, right, above) -> None:
    """Write numbers to the right of positions, above them, or both, where there is room."""
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=2, foreground="white")]
    step = _label_step(ax, numbers, positions)
    right, above = (np.broadcast_to(side, len(numbers))[::step] for side in (right, above))
    for i, (number, position) in enumerate(zip(numbers[::step], positions[::step], strict=True)):
        ax.annotate(
            str(number), position, (2 * right[i], 2 * above[i]), textcoords="offset points",
            ha="left" if right[i] else "center", va="bottom" if above[i] else "center",
            fontsize=_LABEL_SIZE, path_effects=halo,
        )


def _label_step(ax, numbers, positions: np.ndarray) -> int:
    """Label each first, second, third.. position, so that no label touches another."""
    points = ax.transData.transform(positions) * 72 / ax.figure.dpi
    longest = max((len(str(number)) for number in numbers), default=0)
    size = _LABEL_SIZE * np.array([0.7 * longest + 0.3, 1.15])
    for step in range(1, len(points)):
        distance = np.abs(points[::step, None] - points[None, ::step])
        if (distance < size).all(axis=-1).sum() == len(distance):
            return step
    return max(1, len(points))


def _draw_legend(ax, *, raised: bool = False, ncols: int = 5) -> None:
    """A legend above the axes, where it hides nothing; raised above order numbers."""
    from matplotlib.transforms import offset_copy

    up = 1.5 * _LABEL_SIZE if raised else 0
    ax.legend(
        loc="lower left", bbox_to_anchor=(0, 1), frameon=False, fontsize="small", ncols=ncols,
        bbox_transform=offset_copy(ax.transAxes, ax.figure, y=up, units="points"),
        borderaxespad=0.1, columnspacing=1.5,
    )


def _name_frames(ax, names: list[str]) -> None:
    if len(names) > _MAX_NAMED_FRAMES:
        ax.set_xlabel("frame number")
        return
    names = [
        name if len(name) <= _MAX_NAME_LENGTH else "..." + name[-_MAX_NAME_LENGTH:]
        for name in names
    ]
    ax.set_xticks(
        np.arange(1, len(names) + 1), names, rotation=30, ha="right", rotation_mode="anchor",
        fontsize="small",
    )
    ax.set_xlabel("frame")


def _draw_cut(ax, picture: _Picture, pixel: int) -> None:
    orders, stretch = picture.orders, picture.stretch
    pixels = _around(picture, pixel)
    cut = _cut(picture, pixels)
    ax.plot(
        cut, color="black", linewidth=0.9, drawstyle="steps-mid",
        label=f"median of {_AXIS_NAMES[orders.dispersion_axis]}s {pixels[0]} to {pixels[-1]}",
    )
    bottom, top = stretch["vmin"] - 0.5 * stretch["linear_width"], 1.5 * stretch["vmax"]
    ax.set_yscale("asinh", linear_width=stretch["linear_width"])
    _set_asinh_ticks(ax.yaxis, linear_width=stretch["linear_width"], vmin=bottom, vmax=top)
    ax.set(
        xlim=(-0.5, len(cut) - 0.5), xlabel=_axis_label(orders, 1 - orders.dispersion_axis),
        ylim=(bottom, top), ylabel=_signal_label(picture.unit),
    )
    _mark_orders(ax, orders, pixel)
    _draw_legend(ax, raised=True)


def _mark_orders(ax, orders: EchelleOrderTable, pixel: int) -> None:
    """Shade the orders along the x axis, with their edges (or else centres) and numbers."""
    spans = _spans(orders, pixel)
    middles = spans.mean(axis=1)
    here = (middles > ax.get_xlim()[0]) & (middles < ax.get_xlim()[1])
    curves = {"lower": spans[here, 0], "upper": spans[here, 1]}
    for name, positions in curves.items() if orders.has_edges else [("center", middles[here])]:
        ax.vlines(
            positions, 0, 1, transform=ax.get_xaxis_transform(), label=_LABELS[name],
            linewidth=_line_width(ax, orders, "x"), zorder=1, **_STYLES[name],
        )
    for low, high in spans[here] if orders.has_edges else ():
        ax.axvspan(low, high, color="0.92", zorder=0)
    tops = np.column_stack([middles[here], np.full(here.sum(), ax.get_ylim()[1])])
    _draw_order_numbers(ax, orders.order_numbers[here], tops, right=False, above=True)


def _draw_order_curves(ax, numbers, pixels, curves, what: str) -> None:
    """Positive curves of the orders on a logarithmic axis, coloured by order number."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    positive = np.where(curves > 0, curves, np.nan)
    if not np.isfinite(positive).any():
        raise ValueError(f"no order has a positive {what}")
    # The light end of the map would not be seen on white paper.
    colors = colormaps["viridis"].resampled(256)
    norm = Normalize(numbers.min(), numbers.max() + 0.2 * max(np.ptp(numbers), 1))
    for number, curve in zip(numbers, positive, strict=True):
        ax.plot(pixels, curve, color=colors(norm(number)), linewidth=0.8, label=f"{number}")
    low, high = np.nanpercentile(positive, 0.5), np.nanmax(positive)
    ax.set(yscale="log", ylim=(0.7 * low, 1.3 * high))
    _set_log_ticks(ax.yaxis, decades=np.log10(high / low))
    bar = ax.figure.colorbar(ScalarMappable(norm, colors), ax=ax, label="order number", pad=0.01)
    bar.ax.set_ylim(numbers.min(), numbers.max() if len(numbers) > 1 else norm.vmax)
    bar.ax.locator_params(axis="y", integer=True, nbins=6)


def _set_log_ticks(axis, *, decades: float) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1,) if decades > 2 else (1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def _use_small_text(ax) -> None:
    """Text of a size that fits the panels of a page; colour bars are children of their axes."""
    ax.tick_params(which="both", labelsize=_LABEL_SIZE)
    for text in (ax.xaxis.label, ax.yaxis.label, ax.title):
        text.set_fontsize(_LABEL_SIZE + 1)
    for text in ax.get_legend().get_texts() if ax.get_legend() else ():
        text.set_fontsize(_LABEL_SIZE)
    for child in ax.child_axes:
        _use_small_text(child)


def _draw_flag_areas(ax, flags: np.ndarray) -> None:
    from matplotlib.colors import ListedColormap

    area = np.zeros(flags.shape, dtype=np.uint8)
    for i, (flag, color) in enumerate(_AREA_FLAGS.items(), start=1):
        here = flags & int(flag) != 0
        area[here] = i
        if here.any():
            label = _flag_label(flag, here.sum())
            ax.plot([], [], "s", color=color, markeredgecolor="0.4", label=label)
    ax.imshow(
        area, cmap=ListedColormap(["white", *_AREA_FLAGS.values()]), vmin=-0.5,
        vmax=len(_AREA_FLAGS) + 0.5, origin="lower", aspect="auto", interpolation="nearest",
    )


def _draw_zoom(ax, picture: _Picture, pixel: int, title: str, span: np.ndarray) -> None:
    from matplotlib.colors import Normalize

    orders = picture.orders
    view = np.array([-1, 1]) * max(0.75 * np.ptp(span), 2 * _CUT_HALF_WIDTH)
    along, across = pixel + view, span.mean() + view
    columns, rows = _as_xy(orders, along, across)
    first = np.maximum(0, np.ceil([rows[0], columns[0]])).astype(int)
    shown = picture.values[first[0] : int(rows[1]) + 1, first[1] : int(columns[1]) + 1]
    _draw_image(ax, picture, Normalize(*np.nanpercentile(shown, [1, 99.5])))
    _draw_colorbar(ax, picture, gap=4)
    _draw_curves(ax, orders, 1.5)
    ax.set(xlim=columns, ylim=rows, xlabel="column (pixel)", ylabel="row (pixel)")
    ax.locator_params(axis="x", nbins=2, steps=(1, 1.5, 2, 2.5, 3, 5, 10), integer=True)
    ax.locator_params(axis="y", integer=True)
    ax.set_title(title, fontsize="medium")
