# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The quality table as text."""

from typing import TYPE_CHECKING

import numpy as np
from astropy.table import QTable

from ccdproc_echelle.plotting.drawing import VERMILLION, check_columns, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_quality", "quality_lines"]

__doctest_requires__ = {"plot_*": ["matplotlib"]}

_TEXT_SIZE = 6  # points
_COLUMNS = [(0, "left"), (0.59, "right"), (0.62, "left"), (0.72, "left"), (1, "right")]


def plot_quality(quality: QTable, *, ax: "Axes | None" = None) -> "Axes":
    """
    Write the quality parameters as a table.

    Unknown (NaN) parameters are omitted. A verdict "fail" is bold and vermilion.

    Parameters
    ----------
    quality : `~astropy.table.QTable`
        Table returned by `~ccdproc_echelle.flat_quality`.
    ax : `~matplotlib.axes.Axes`, optional
        Axes on which to write. Default: those of a new figure.

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
    check_columns("quality", quality, {"name", "value", "unit", "lower", "upper", "verdict"})
    known = quality_lines(quality[np.isfinite(quality["value"])])
    lines = [("quantity", "value", "unit", "limits", "verdict")]
    lines += [(name.replace("_", " "), *rest) for name, *rest in known]
    ax = new_axes((5, 0.4 + 0.17 * len(lines))) if ax is None else ax
    ax.set_axis_off()
    for i, line in enumerate(lines):
        y = 1 - (i + 0.5 + 0.4 * (i > 0)) / (len(lines) + 0.4)
        failed = line[-1] == "fail"
        for (x, side), text in zip(_COLUMNS, line, strict=True):
            ax.text(
                x, y, text, transform=ax.transAxes, ha=side, va="center", fontsize=_TEXT_SIZE,
                in_layout=False,
                color=VERMILLION if failed else "black",
                fontweight="bold" if failed or i == 0 else "normal",
            )
    ax.axhline(1 - 1.1 / (len(lines) + 0.4), color="black", linewidth=0.6)
    ax.set(xlim=(0, 1), ylim=(0, 1))
    return ax


def quality_lines(quality: QTable) -> list[tuple[str, ...]]:
    """
    Format a quality table as text.

    Parameters
    ----------
    quality : `~astropy.table.QTable`
        Table returned by `~ccdproc_echelle.flat_quality`.

    Returns
    -------
    list of tuple of str
        Name, value to four digits, unit, limits and verdict of each row. Unknown values and limits
        that are not set are empty.

    Examples
    --------
    >>> from astropy.table import QTable
    >>> from ccdproc_echelle.plotting import quality_lines
    >>> quality_lines(QTable({"name": ["edge_rms_median"], "value": [0.123456], "unit": ["pix"],
    ...                       "lower": [float("nan")], "upper": [0.25], "verdict": ["pass"]}))
    [('edge_rms_median', '0.1235', 'pix', '≤ 0.25', 'pass')]
    """
    return [
        (
            str(row["name"]), f"{row['value']:.4g}" if np.isfinite(row["value"]) else "",
            str(row["unit"]), _limits_text(row["lower"], row["upper"]), str(row["verdict"]),
        )
        for row in quality
    ]


def _limits_text(lower: float, upper: float) -> str:
    if np.isfinite(lower) and np.isfinite(upper):
        return f"{lower:g} to {upper:g}"
    if np.isfinite(lower):
        return f"\N{GREATER-THAN OR EQUAL TO} {lower:g}"
    return f"\N{LESS-THAN OR EQUAL TO} {upper:g}" if np.isfinite(upper) else ""
