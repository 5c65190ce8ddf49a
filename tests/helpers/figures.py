# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Flats, masters and tables to draw, and what was drawn."""

from types import SimpleNamespace

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import CCDData
from astropy.table import QTable

from ccdproc_echelle.orders import EchelleOrderTable
from ccdproc_echelle.simulation import EchelleSimulation

N_ORDERS = 5
ALONG_ROWS = EchelleSimulation(shape=(300, 400), n_orders=N_ORDERS, brightness_ratio=100)
ALONG_COLUMNS = EchelleSimulation(
    shape=(400, 300), n_orders=N_ORDERS, brightness_ratio=100, dispersion_axis=0
)
both_axes = pytest.mark.parametrize(
    "simulation", [ALONG_ROWS, ALONG_COLUMNS], ids=["rows", "columns"]
)


def flat_and_orders(simulation):
    return simulation.flats(1)[0], simulation.truth.orders


def without_edges(orders):
    table = orders.table
    table.remove_columns(["lower", "upper"])
    return EchelleOrderTable(table)


def some_levels(n_frames=3, n_passes=2):
    level = 1000 + 10.0 * np.arange(n_frames * n_passes).reshape(n_frames, n_passes)
    return QTable({
        "frame": [f"/night/flat_{i}.fits.gz" for i in range(n_frames)],
        "level": level[:, -1] * u.adu,
        "level_uncertainty": np.full(n_frames, 2) * u.adu,
        "pass_level": level * u.adu,
        "pass_uncertainty": np.full((n_frames, n_passes), 2) * u.adu,
    })


def some_master(simulation, orders=None, **header):
    """A master as the recipe leaves it: mean 1 on the inner-order pixels, 1 between the orders."""
    flat, all_orders = flat_and_orders(simulation)
    orders = orders or all_orders
    data = flat.data / flat.data[orders.inner_mask(10)].mean()
    data[orders.order_map() == 0] = 1.0
    flat = CCDData(data, unit="", header=header)
    return SimpleNamespace(flat=flat, orders=orders, levels=some_levels())


def labels_of(ax):
    return ax.get_legend_handles_labels()[1]


def lines_with_style_of(ax, label):
    """The lines that look like the one with this label: one for each order."""
    lines = [line for line in ax.lines if len(line.get_xdata())]
    first = next(line for line in lines if line.get_label() == label)
    return [line for line in lines if line.get_color() == first.get_color()]


def shown_image(ax):
    return ax.images[0].get_array()


def grey_levels(ax, signal):
    """From 0 (white) to 1 (black)."""
    return np.ma.filled(ax.images[0].norm(np.asarray(signal, dtype=float)), np.nan)


def extents(ax, texts):
    """Boxes of drawn texts: (n, 4) with left, bottom, right, top."""
    ax.figure.draw_without_rendering()
    return np.array([text.get_window_extent().extents for text in texts])


def overlapping(boxes):
    left, bottom, right, top = boxes.T
    along_x = (left[:, None] < right) & (left < right[:, None])
    along_y = (bottom[:, None] < top) & (bottom < top[:, None])
    return along_x & along_y & ~np.eye(len(boxes), dtype=bool)


def shrunk_to_ink(boxes):
    """Digits fill only part of the height of a text box, which has room for accents and tails."""
    height = boxes[:, 3] - boxes[:, 1]
    return boxes + np.column_stack([0 * height, 0.2 * height, 0 * height, -0.1 * height])


def some_quality():
    return QTable({
        "name": ["edge_rms_max", "level_trend", "inner_mean", "frames_used"],
        "value": [0.5, np.nan, 1.2, 3], "unit": ["pix", "1 / h", "", ""],
        "lower": [np.nan, np.nan, 0.99, 2], "upper": [np.nan, np.nan, 1.01, np.nan],
        "verdict": ["", "", "fail", "pass"],
    })
