# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Plot the quality of many master flats as a function of time."""

from typing import TYPE_CHECKING

import numpy as np
from astropy.table import QTable
from astropy.time import Time

from ccdproc_echelle.plotting.drawing import (
    BLUE,
    GREEN,
    ORANGE,
    VERMILLION,
    NothingToShowError,
    check_columns,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_trends"]

__doctest_requires__ = {"plot_*": ["matplotlib"]}

_N_COLUMNS = 3
_PANEL = (3.6, 1.9)  # inches
_COLORS = (BLUE, ORANGE, GREEN, "0.4")
_MARKERS = "os^Dv"  # one more than colours, so that combinations repeat late


def plot_trends(trends: QTable) -> "Figure":
    """
    Plot each quality parameter as a function of time, with its limits.

    Set-ups are distinguished by colour and marker. Values beyond their limits are marked by a
    vermilion cross. Limits are shown as dashed lines if all master flats share them.

    Parameters
    ----------
    trends : `~astropy.table.QTable`
        Table returned by `~ccdproc_echelle.recipe.quality_trends`.

    Returns
    -------
    `~matplotlib.figure.Figure`
        One panel for each known parameter.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If a column is missing, or no master flat has a date.

    Examples
    --------
    >>> from astropy.table import QTable
    >>> from ccdproc_echelle.plotting import plot_trends
    >>> figure = plot_trends(QTable({
    ...     "setup": ["red", "red"], "date": [60310.0, 60311.0], "name": 2 * ["order_width"],
    ...     "value": [21.5, 24.5], "unit": 2 * ["pix"], "lower": [20.0, 20.0],
    ...     "upper": [23.0, 23.0], "verdict": ["pass", "fail"]}))
    >>> [ax.get_title(loc="left") for ax in figure.axes]
    ['order width (pix)']
    """
    check_columns("trends", trends, {
        "setup", "date", "name", "value", "unit", "lower", "upper", "verdict"})
    trends = trends[np.isfinite(trends["date"])]
    if len(trends) == 0:
        raise NothingToShowError("no master flat has a date")
    names = list(dict.fromkeys(trends["name"].tolist()))
    n_rows = -(-len(names) // _N_COLUMNS)
    columns = min(_N_COLUMNS, len(names))
    figure = new_figure((columns * _PANEL[0], n_rows * _PANEL[1] + 0.5))
    setups = sorted(set(trends["setup"].tolist()))
    for i, name in enumerate(names):
        ax = figure.add_subplot(n_rows, columns, i + 1)
        _draw(ax, trends[trends["name"] == name], setups)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", frameon=False, fontsize="small")
    return figure


def _draw(ax, rows: QTable, setups: list[str]) -> None:
    name, unit = rows["name"][0].replace("_", " "), rows["unit"][0]
    ax.set_title(f"{name} ({unit})" if unit else name, fontsize="small", loc="left")
    for setup, (color, marker) in zip(setups, _styles(len(setups)), strict=True):
        some = rows[rows["setup"] == setup]
        ax.plot(_dates(some), some["value"], color=color, marker=marker, markersize=4,
                linewidth=0.6, label=setup)
    bad = rows[rows["verdict"] == "fail"]
    ax.plot(_dates(bad), bad["value"], "x", color=VERMILLION, markersize=9,
            label="beyond its limits")
    for end in ("lower", "upper"):
        limits = set(rows[end][np.isfinite(rows[end])].tolist())
        if len(limits) == 1:
            ax.axhline(limits.pop(), color="black", linestyle="--", linewidth=0.6)
    ax.tick_params(labelsize="x-small")
    for axis in (ax.xaxis, ax.yaxis):
        axis.get_offset_text().set_size("x-small")
    _mark_dates(ax)


def _styles(n: int) -> list[tuple[str, str]]:
    return [(_COLORS[i % len(_COLORS)], _MARKERS[i % len(_MARKERS)]) for i in range(n)]


def _dates(rows: QTable) -> list:
    return list(Time(rows["date"], format="mjd").to_datetime()) if len(rows) else []


def _mark_dates(ax) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=2, maxticks=5)  # with more, it warns of some ranges
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
