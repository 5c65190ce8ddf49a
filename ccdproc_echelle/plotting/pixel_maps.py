# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Maps of rejected values and of flags."""

from typing import TYPE_CHECKING

import numpy as np

from ccdproc_echelle.combining import CombineDiagnostics
from ccdproc_echelle.light import FlatFlag
from ccdproc_echelle.plotting.drawing import (
    BLUE,
    GREEN,
    ORANGE,
    VERMILLION,
    draw_legend,
    height_over_width,
    new_axes,
    show_pixels,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_flags", "plot_rejections"]

__doctest_requires__ = {"plot_*": ["matplotlib"]}

_BLOCK = 16  # pixels, on each side

# Single pixels are not visible on a page, so flags of single pixels get markers; others fill areas.
_MARKED_FLAGS = {
    FlatFlag.SATURATED: ("s", "#56B4E9"),
    FlatFlag.LOW_SENSITIVITY: ("o", ORANGE),
    FlatFlag.DEAD: ("x", "black"),
    FlatFlag.HOT: ("^", VERMILLION),
    FlatFlag.ALL_REJECTED: ("D", GREEN),
    FlatFlag.NO_DATA: ("+", BLUE),
}
_AREA_FLAGS = {
    FlatFlag.INTERORDER: "0.85",
    FlatFlag.EXTRAPOLATED_EDGE: "#F5E98A",
    FlatFlag.PARTLY_COVERED: "0.6",
    FlatFlag.OVERLAP: "#CC79A7",
    FlatFlag.FAINT: "#8C6BB1",
    FlatFlag.KNOWN_BAD: "#A6761D",
}


def plot_rejections(diagnostics: CombineDiagnostics, *, ax: "Axes | None" = None) -> "Axes":
    """
    Plot where values were rejected when the frames were combined.

    Since a single pixel is not visible on a page, each shade is the fraction of all values rejected
    in a block of 16 by 16 pixels (fewer at the border), on a square-root scale.

    Parameters
    ----------
    diagnostics : `~ccdproc_echelle.combining.CombineDiagnostics`
        Diagnostics returned by `~ccdproc_echelle.combine_frames` or
        `~ccdproc_echelle.two_pass_flat_combine`.
    ax : `~matplotlib.axes.Axes`, optional
        Axes on which to plot. Default: those of a new figure.

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
    >>> flats = EchelleSimulation(shape=(128, 160), n_orders=3).flats(3)
    >>> _, diagnostics = combine_frames(flats, sigma_clip=True, diagnostics=True)
    >>> ax = plot_rejections(diagnostics)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('column (pixel)', 'row (pixel)')
    """
    from matplotlib.colors import PowerNorm

    percent = 100 * _block_means(diagnostics.rejected.mean(axis=0), _BLOCK)
    shape = diagnostics.rejected.shape[1:]
    ax = new_axes((7, 1 + 5.5 * height_over_width(shape))) if ax is None else ax
    covered = _BLOCK * np.array(percent.shape) - 0.5
    ax.imshow(
        percent, norm=PowerNorm(0.5, 0, max(percent.max(), 0.1)), cmap="cividis_r",
        origin="lower", aspect="auto", extent=(-0.5, covered[1], -0.5, covered[0]),
        interpolation="nearest",
    )
    show_pixels(ax, shape)
    total = 100 * diagnostics.rejected.mean()
    ax.set_title(f"{total:.2g} % of all values rejected", fontsize="medium", loc="left")
    ax.figure.colorbar(ax.images[-1], ax=ax, label="rejected values in a block (%)")
    return ax


def _block_means(values: np.ndarray, size: int) -> np.ndarray:
    """Means of the finite values in blocks, smaller at the ends; NaN if there are none."""
    good = np.isfinite(values)
    sums = [
        np.add.reduceat(
            np.add.reduceat(image, np.arange(0, image.shape[0], size), axis=0),
            np.arange(0, image.shape[1], size), axis=1,
        )
        for image in (np.where(good, values, 0.0), good.astype(float))
    ]
    return np.divide(sums[0], sums[1], out=np.full(sums[0].shape, np.nan), where=sums[1] > 0)


def plot_flags(flags: np.ndarray, *, ax: "Axes | None" = None) -> "Axes":
    """
    Plot the flags of a master flat.

    Areas (inter-order, partly covered, overlap, edge not measured, faint, known bad) are shaded;
    single pixels (dead, hot, low sensitivity, saturated, without data) are shown by markers larger
    than a pixel. The legend gives the number of pixels with each flag.

    Parameters
    ----------
    flags : int array, shape (rows, columns)
        Bits of `~ccdproc_echelle.FlatFlag`.
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
        If ``flags`` is not a two-dimensional integer array.

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle import FlatFlag
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
    ax = new_axes((8, 1.6 + 6.5 * height_over_width(flags.shape))) if ax is None else ax
    _draw_flag_areas(ax, flags)
    for flag, (marker, color) in _MARKED_FLAGS.items():
        rows, columns = np.nonzero(flags & int(flag))
        if len(rows):
            # In a PDF, a million markers would be a million objects.
            ax.plot(
                columns, rows, marker, color=color, markersize=3.5, rasterized=True,
                label=_flag_label(flag, len(rows)), markerfacecolor="none", markeredgewidth=0.8,
            )
    show_pixels(ax, flags.shape)
    if ax.get_legend_handles_labels()[1]:
        draw_legend(ax, ncols=3)
    return ax


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


def _flag_label(flag: FlatFlag, n: int) -> str:
    return f"{flag.name.lower().replace('_', ' ')} ({n})"
