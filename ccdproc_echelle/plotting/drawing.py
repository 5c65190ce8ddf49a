# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Shared by the figures: new axes, colours, labels, ticks, legends, and curves of the orders."""

from typing import TYPE_CHECKING

import numpy as np
from astropy import units as u
from astropy.table import QTable, Table

from ccdproc_echelle.orders import EchelleOrderTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "AXIS_NAMES",
    "BLUE",
    "CURVE_STYLES",
    "GREEN",
    "LABEL_SIZE",
    "ORANGE",
    "VERMILLION",
    "NothingToShowError",
    "axis_label",
    "check_columns",
    "draw_legend",
    "draw_order_curves",
    "draw_order_numbers",
    "height_over_width",
    "line_width",
    "new_axes",
    "new_figure",
    "set_asinh_ticks",
    "show_pixels",
    "signal_label",
]

# From Okabe & Ito (2008), distinguishable by colour-blind readers.
ORANGE, GREEN, BLUE, VERMILLION = "#E69F00", "#009E73", "#0072B2", "#D55E00"
CURVE_STYLES = {
    "center": {"color": ORANGE, "linestyle": "--"},
    "lower": {"color": BLUE, "linestyle": "-"},
    "upper": {"color": VERMILLION, "linestyle": "-."},
}
AXIS_NAMES = ("row", "column")
LABEL_SIZE = 7  # points


class NothingToShowError(ValueError):
    """The input is valid, but contains nothing that can be plotted."""


# ---------------------------------------------------------------------- new figures


def new_figure(size: tuple[float, float]) -> "Figure":
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "figures need matplotlib: pip install ccdproc_echelle[plot]"
        ) from error
    return Figure(figsize=size, dpi=150, layout="constrained")


def new_axes(size: tuple[float, float]) -> "Axes":
    return new_figure(size).add_subplot()


def height_over_width(shape: tuple[int, int]) -> float:
    """Aspect ratio of an image with square pixels, limited to what fits on a page."""
    return float(np.clip(shape[0] / shape[1], 0.4, 2))


# ---------------------------------------------------------------------- checks and words


def check_columns(name: str, table: QTable, needed: set[str]) -> None:
    if not isinstance(table, Table):
        raise TypeError(f"{name} is a {type(table).__name__}, expected a table")
    missing = needed - set(table.colnames)
    if missing:
        raise ValueError(f"{name} has no column {sorted(missing)}; found {table.colnames}")


def axis_label(orders: EchelleOrderTable, axis: int) -> str:
    kind = "dispersion" if axis == orders.dispersion_axis else "cross-dispersion"
    return f"{kind} axis: {AXIS_NAMES[axis]} (pixel)"


def signal_label(unit: u.UnitBase | None) -> str:
    if unit is None:
        return "signal"
    return "signal (relative)" if unit == u.dimensionless_unscaled else f"signal ({unit})"


# ---------------------------------------------------------------------- axes


def show_pixels(ax, shape: tuple[int, int]) -> None:
    """Set the axes to show exactly the pixels of an image."""
    n_rows, n_columns = shape
    ax.set(
        xlim=(-0.5, n_columns - 0.5), ylim=(-0.5, n_rows - 0.5),
        xlabel="column (pixel)", ylabel="row (pixel)",
    )


def line_width(ax, orders: EchelleOrderTable, across: str) -> float:
    """Line width in points; thinner if many orders share the axis, so that lines hide nothing."""
    width, height = ax.get_window_extent().size * 72 / ax.figure.dpi
    return float(np.clip((width if across == "x" else height) / len(orders) / 15, 0.25, 0.8))


def set_asinh_ticks(axis, *, linear_width: float, vmin: float, vmax: float) -> None:
    """Ticks at 0 and at powers of ten; if these are too few, also at 2 and 5 times them."""
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


def _set_log_ticks(axis, *, decades: float) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1,) if decades > 2 else (1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


# ---------------------------------------------------------------------- labels, legends, curves


def draw_order_numbers(ax, numbers, positions: np.ndarray, *, right, above) -> None:
    """Write numbers to the right of positions, above them, or both, where there is room."""
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=2, foreground="white")]
    step = _label_step(ax, numbers, positions)
    right, above = (np.broadcast_to(side, len(numbers))[::step] for side in (right, above))
    for i, (number, position) in enumerate(zip(numbers[::step], positions[::step], strict=True)):
        ax.annotate(
            str(number), position, (2 * right[i], 2 * above[i]), textcoords="offset points",
            ha="left" if right[i] else "center", va="bottom" if above[i] else "center",
            fontsize=LABEL_SIZE, path_effects=halo,
        )


def _label_step(ax, numbers, positions: np.ndarray) -> int:
    """Label each first, second, third... position, so that labels do not overlap."""
    points = ax.transData.transform(positions) * 72 / ax.figure.dpi
    longest = max((len(str(number)) for number in numbers), default=0)
    size = LABEL_SIZE * np.array([0.7 * longest + 0.3, 1.15])
    for step in range(1, len(points)):
        distance = np.abs(points[::step, None] - points[None, ::step])
        if (distance < size).all(axis=-1).sum() == len(distance):
            return step
    return max(1, len(points))


def draw_legend(ax, *, raised: bool = False, ncols: int = 5) -> None:
    """Place a legend above the axes, where it hides nothing; raised above order numbers."""
    from matplotlib.transforms import offset_copy

    up = 1.5 * LABEL_SIZE if raised else 0
    ax.legend(
        loc="lower left", bbox_to_anchor=(0, 1), frameon=False, fontsize="small", ncols=ncols,
        bbox_transform=offset_copy(ax.transAxes, ax.figure, y=up, units="points"),
        borderaxespad=0.1, columnspacing=1.5,
    )


def draw_order_curves(ax, numbers, pixels, curves, what: str) -> None:
    """Draw positive curves of the orders on a logarithmic axis, coloured by order number."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    positive = np.where(curves > 0, curves, np.nan)
    if not np.isfinite(positive).any():
        raise NothingToShowError(f"no order has a positive {what}")
    # The light end of the colour map would be invisible on white paper.
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
