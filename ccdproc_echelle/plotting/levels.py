# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Plot the exposure levels of the frames, pass by pass."""

from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np
from astropy import units as u
from astropy.table import QTable

from ccdproc_echelle.plotting.drawing import (
    BLUE,
    GREEN,
    ORANGE,
    VERMILLION,
    NothingToShowError,
    check_columns,
    draw_legend,
    new_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_levels"]

__doctest_requires__ = {"plot_*": ["matplotlib"]}

_PASS_COLORS = (ORANGE, BLUE, GREEN, VERMILLION)
_PASS_MARKERS = "osD^"
_MAX_NAMED_FRAMES = 12  # with more names an axis becomes unreadable
_MAX_NAME_LENGTH = 24


def plot_levels(levels: QTable, *, ax: "Axes | None" = None) -> "Axes":
    """
    Plot the exposure level of each frame, as measured in each pass.

    Levels are relative to the mean of the final pass, in per cent. The legend gives the rms
    difference between the levels of each earlier pass and the final ones. Error bars are one
    standard deviation.

    Parameters
    ----------
    levels : `~astropy.table.QTable`
        Table returned by `~ccdproc_echelle.measure_exposure_levels`: one row per frame with the
        columns ``frame``, ``pass_level`` and ``pass_uncertainty``, the latter two of shape
        (n_frames, n_passes).
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
        If a column is missing, or no frame has a level.

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
    ax = new_axes((8, 4.5)) if ax is None else ax
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
    draw_legend(ax, ncols=1)  # two columns would be wider than a panel of the summary
    return ax


def _levels_in_percent(levels: QTable) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Frame names; deviations from the mean final level and their errors, (n_frames, n_passes)."""
    check_columns("levels", levels, {"frame", "pass_level", "pass_uncertainty"})
    if len(levels) == 0:
        raise NothingToShowError("levels have no row, expected one for each frame")
    level, uncertainty = u.Quantity(levels["pass_level"]), u.Quantity(levels["pass_uncertainty"])
    if not np.isfinite(level[:, -1]).any():
        raise NothingToShowError("no frame has a level in the final pass")
    mean = np.nanmean(level[:, -1])
    names = [PurePath(str(name)).name.split(".fits")[0] for name in levels["frame"]]
    return names, (level / mean - 1).to_value(u.percent), (uncertainty / mean).to_value(u.percent)


def _pass_label(percent: np.ndarray, i: int) -> str:
    if i == percent.shape[1] - 1:
        return f"pass {i + 1} (final)"
    rms = np.sqrt(np.nanmean((percent[:, i] - percent[:, -1]) ** 2))
    return f"pass {i + 1} (differs by {rms:.2g} % rms)"


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
