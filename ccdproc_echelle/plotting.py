# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Figures: orders on the image, exposure levels, cross-dispersion cut, and one page with all of them.

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

from ccdproc_echelle.orders import EchelleOrderTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ccdproc_echelle.master import MasterFlat

__all__ = ["plot_cross_section", "plot_levels", "plot_orders", "plot_summary"]

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
_CUT_HALF_WIDTH = 2  # a cut is the median of five dispersion pixels
_CENTER_WIDTH = 5  # pixel; what counts as an order where its edges are not known
_MAX_NAMED_FRAMES = 12  # more names than this cannot be read below an axis
_MAX_NAME_LENGTH = 24


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
    _draw_legend(ax)
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


def plot_summary(master: "MasterFlat") -> "Figure":
    """
    One page about a master flat.

    The flat with its orders; the brightest, a middle and the faintest order pixel by pixel around
    the middle of the dispersion axis, each with its own linear grey scale; the exposure levels
    of the frames; and the cut through the orders at the middle of the dispersion axis.

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
    figure = _new_figure((8.3, 11.7))
    figure.suptitle(_title(master.flat.header))
    axes = figure.subplot_mosaic(
        [["orders"] * 3, ["zoom 0", "zoom 1", "zoom 2"], ["cut"] * 3, ["levels"] * 3],
        height_ratios=(2.6, 1, 1, 0.8),
    )
    middle = picture.values.shape[picture.orders.dispersion_axis] // 2
    _draw_picture(axes["orders"], picture, window=None)
    _draw_cut(axes["cut"], picture, middle)
    plot_levels(master.levels, ax=axes["levels"])
    chosen = _three_orders(picture, middle)
    for i in range(3):
        if i < len(chosen):
            _draw_zoom(axes[f"zoom {i}"], picture, middle, *chosen[i])
        else:
            axes[f"zoom {i}"].remove()
    return figure


# ---------------------------------------------------------------------- numbers


class _Picture(NamedTuple):
    values: np.ndarray  # NaN where blank
    unit: u.UnitBase | None
    orders: EchelleOrderTable
    stretch: dict[str, float]


def _picture(image, orders: EchelleOrderTable) -> _Picture:
    """All that a figure needs of an image."""
    data = image.data if isinstance(image, NDData) else np.ma.getdata(image)
    if data.ndim != 2:
        raise ValueError(f"image has {data.ndim} dimensions, expected 2")
    orders = orders.on_detector(data.shape)
    inside = orders.order_map() > 0 if orders.has_edges else orders.inner_mask(_CENTER_WIDTH)
    mask = getattr(image, "mask", None)
    values = np.where(False if mask is None else mask, np.nan, np.asarray(data, dtype=float))
    values[_filled(values, inside)] = np.nan
    return _Picture(values, getattr(image, "unit", None), orders, _stretch(values, inside))


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
    missing = {"frame", "pass_level", "pass_uncertainty"} - set(levels.colnames)
    if missing:
        raise ValueError(f"levels have no column {sorted(missing)}; found {levels.colnames}")
    if len(levels) == 0:
        raise ValueError("levels have no row, expected one for each frame")
    level, uncertainty = u.Quantity(levels["pass_level"]), u.Quantity(levels["pass_uncertainty"])
    mean = np.nanmean(level[:, -1])
    names = [PurePath(str(name)).name.split(".fits")[0] for name in levels["frame"]]
    return names, (level / mean - 1).to_value(u.percent), (uncertainty / mean).to_value(u.percent)


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


def _draw_legend(ax, *, raised: bool = False) -> None:
    """A legend above the axes, where it hides nothing; raised above order numbers."""
    from matplotlib.transforms import offset_copy

    up = 1.5 * _LABEL_SIZE if raised else 0
    ax.legend(
        loc="lower left", bbox_to_anchor=(0, 1), frameon=False, fontsize="small", ncols=5,
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
