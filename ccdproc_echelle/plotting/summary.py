# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Summary page of a master flat, composed of the other figures."""

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from ccdproc_echelle.plotting.cross_section import (
    CUT_HALF_WIDTH,
    cut_through,
    draw_cut,
    order_spans,
    pixels_around,
)
from ccdproc_echelle.plotting.drawing import LABEL_SIZE, NothingToShowError, new_figure
from ccdproc_echelle.plotting.images import (
    Picture,
    as_xy,
    draw_colorbar,
    draw_image,
    picture_of,
)
from ccdproc_echelle.plotting.levels import plot_levels
from ccdproc_echelle.plotting.orders import draw_curves, draw_picture
from ccdproc_echelle.plotting.quality import plot_quality
from ccdproc_echelle.plotting.signal_to_noise import plot_signal_to_noise

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_summary"]

_A4 = (8.3, 11.7)  # inches

# Layout by rows; each row is divided independently.
_ZOOMS = ["zoom 0", "zoom 1", "zoom 2"]
_PANELS = [["orders"], [[_ZOOMS]], ["cut"], [[["levels", "quality"], ["noise", "quality"]]]]
_HEIGHTS = (2.0, 0.9, 0.9, 2.7)

_NOTE_WIDTH = 40  # characters that fit into the smallest panel


def plot_summary(master) -> "Figure":
    """
    Plot a summary page of a master flat.

    It shows the flat with its orders; the brightest, a middle and the faintest order pixel by pixel
    around the middle of the dispersion axis, each with its own linear grey scale; the cut through
    the orders there; the exposure levels of the frames; the signal-to-noise ratio along the orders;
    and the quality parameters. Panels without anything to show say so.

    Parameters
    ----------
    master : `~ccdproc_echelle.MasterFlat`
        The master flat.

    Returns
    -------
    `~matplotlib.figure.Figure`
        An A4 page; use ``savefig`` to write it.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the shape of the flat differs from that of the order table, or a table lacks a column.

    Examples
    --------
    >>> from ccdproc_echelle import make_master_flat
    >>> from ccdproc_echelle.plotting import plot_summary
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> simulation = EchelleSimulation(shape=(128, 160), n_orders=3)
    >>> master = make_master_flat(simulation.flats(3), simulation.truth.orders)
    >>> plot_summary(master).get_suptitle()
    'EchelleSimulation, master flat of 3 frames'
    """
    figure = new_figure(_A4)
    figure.suptitle(_title(master.flat.header))
    axes = figure.subplot_mosaic(_PANELS, height_ratios=_HEIGHTS)
    _draw_images(axes, master)
    with _noted_if_empty(axes["levels"]):
        plot_levels(master.levels, ax=axes["levels"])
    with _noted_if_empty(axes["noise"]):
        if master.flat.uncertainty is None:
            raise NothingToShowError("the flat has no uncertainty")
        plot_signal_to_noise(master.flat, master.orders, ax=axes["noise"])
    with _noted_if_empty(axes["quality"]):
        plot_quality(_known_quality(master), ax=axes["quality"])
    for ax in figure.axes:
        _use_small_text(ax)
    return figure


def _draw_images(axes, master) -> None:
    """Draw the panels with pixels: the flat, the zooms and the cut."""
    zooms = [axes[name] for name in _ZOOMS]
    with _noted_if_empty(axes["orders"], axes["cut"], *zooms):
        picture = picture_of(master.flat, master.orders)
        middle = picture.values.shape[picture.orders.dispersion_axis] // 2
        draw_picture(axes["orders"], picture, window=None)
        draw_cut(axes["cut"], picture, middle)
        with _noted_if_empty(*zooms):
            _draw_zooms(zooms, picture, middle)


def _draw_zooms(zooms: list, picture: Picture, pixel: int) -> None:
    chosen = _three_orders(picture, pixel)
    if not chosen:
        raise NothingToShowError("no order has a good pixel in the middle of the dispersion axis")
    for ax, order in zip(zooms, chosen, strict=False):
        _draw_zoom(ax, picture, pixel, *order)
    for ax in zooms[len(chosen) :]:
        ax.remove()


def _known_quality(master):
    """The quality table, if it has any known value."""
    quality = getattr(master, "quality", None)
    if quality is None or len(quality) == 0 or not np.isfinite(quality["value"]).any():
        raise NothingToShowError("no quality number is known")
    return quality


@contextmanager
def _noted_if_empty(*panels) -> Iterator[None]:
    """If there is nothing to show, write a note on the panels instead of raising an error."""
    try:
        yield
    except NothingToShowError as nothing:
        for ax in panels:
            _write_note(ax, str(nothing))


def _write_note(ax, text: str) -> None:
    ax.set_axis_off()
    ax.text(
        0.5, 0.5, textwrap.fill(text, _NOTE_WIDTH), transform=ax.transAxes, ha="center",
        va="center", fontsize=LABEL_SIZE,
    )


def _title(header) -> str:
    parts = [str(header[key]) for key in ("INSTRUME", "OBJECT") if header.get(key)]
    n = header.get("NCOMBINE")
    parts.append("master flat" if n is None else f"master flat of {n} frames")
    return ", ".join(parts)


def _three_orders(picture: Picture, pixel: int) -> list[tuple[str, np.ndarray]]:
    """Titles and spans of the brightest, a middle and the faintest order at a dispersion pixel."""
    cut = cut_through(picture, pixels_around(picture, pixel))
    positions = np.arange(len(cut))
    found = []
    for number, span in zip(
        picture.orders.order_numbers, order_spans(picture.orders, pixel), strict=True
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


def _draw_zoom(ax, picture: Picture, pixel: int, title: str, span: np.ndarray) -> None:
    from matplotlib.colors import Normalize

    orders = picture.orders
    view = np.array([-1, 1]) * max(0.75 * np.ptp(span), 2 * CUT_HALF_WIDTH)
    along, across = pixel + view, span.mean() + view
    columns, rows = as_xy(orders, along, across)
    first = np.maximum(0, np.ceil([rows[0], columns[0]])).astype(int)
    shown = picture.values[first[0] : int(rows[1]) + 1, first[1] : int(columns[1]) + 1]
    seen = tuple(slice(max(0, int(low)), int(high) + 2) for low, high in (rows, columns))
    draw_image(ax, picture, Normalize(*np.nanpercentile(shown, [1, 99.5])), seen)
    draw_colorbar(ax, picture, gap=4)
    draw_curves(ax, orders, 1.5)
    ax.set(xlim=columns, ylim=rows)
    ax.locator_params(axis="x", nbins=2, steps=(1, 1.5, 2, 2.5, 3, 5, 10), integer=True)
    ax.locator_params(axis="y", integer=True)
    ax.set_title(title, fontsize="medium")


def _use_small_text(ax) -> None:
    """Text small enough for the panels of a page; colour bars are children of their axes."""
    ax.tick_params(which="both", labelsize=LABEL_SIZE)
    for text in (ax.xaxis.label, ax.yaxis.label, ax.title):
        text.set_fontsize(LABEL_SIZE + 1)
    for text in ax.get_legend().get_texts() if ax.get_legend() else ():
        text.set_fontsize(LABEL_SIZE)
    for child in ax.child_axes:
        _use_small_text(child)
