# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
No order table: trace the orders
================================

Everything in this package starts from an order table, which says where the order centres lie. If
you have none, `trace_orders` finds the orders on a flat, without a starting guess. You will see it
trace a simulated flat with the usual difficulties, how close it comes to the truth, how to number
the orders, and how to use the table on another night.

If you already have an order table, read it: :ref:`sphx_glr_generated_recipes_plot_order_tables.py`.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LogNorm

from ccdproc_echelle import (
    EchelleOrderTable,
    detect_order_edges,
    measure_shift,
    recenter,
    trace_orders,
)
from ccdproc_echelle.plotting import plot_orders
from ccdproc_echelle.simulation import EchelleSimulation

ORANGE, BLUE, VERMILLION = "#E69F00", "#0072B2", "#D55E00"

# %%
# The flat
# --------
#
# One bias-subtracted exposure with fourteen orders, which climb by 40 to 80 rows from left to
# right. At its blaze peak, each order has 59 % of the light of the one below it: the first has
# 20000 adu, the last 20, with a read noise of 2.7 adu. The slit is unevenly illuminated, 2 % of the
# light is scattered, there are 300 cosmic rays, and 60 pixels are dead. The lowest 26 rows are cut
# off, and with them part of the first order.

simulation = (
    EchelleSimulation(
        shape=(1050, 1024), n_orders=14, seed=4, tilt=0.03, slit_slope=0.1, brightness_ratio=1000
    )
    .with_noise(gain=1.5, read_noise=4)
    .with_scattered_light(0.02)
    .with_cosmic_rays(300)
    .with_dead_pixels(60)
)
first_night, second_night = simulation.flats(2)
cut = (slice(26, 1050), slice(None))
flat = first_night[cut]
truth = simulation.truth.orders.cropped(cut)

# %%
# Trace it
# --------
#
# The flat may be a raw frame or a combined one; its level and unit do not matter. A bias that was
# not subtracted does no harm either. The direction of the orders is determined as well.

orders = trace_orders(flat)
print(orders)
raised = flat.copy()
raised.data = raised.data + 300
difference = np.nanmax(np.abs(trace_orders(raised).center() - orders.center()))
print(f"with a bias of 300 adu left in, centres move by at most {difference:.1e} pixel")

# %%
# Look at the top and bottom of the picture. The last order can hardly be seen, yet it is traced
# from border to border. The first is drawn only where its centre is on the detector.

figure, ax = plt.subplots(figsize=(8, 7), layout="constrained")
plot_orders(flat, orders, ax=ax)
plt.show()

# %%
# How good is it?
# ---------------
#
# The order centre is midway between the half-maximum edges. That is the middle of the slit, however
# unevenly it is illuminated. Where one edge is off the detector, the centre is found from the width
# of the neighbouring orders. For each order, the table has ``center_rms``, the scatter of the
# measured positions about the fitted curve. When there is no truth to compare with, this is the
# number to look at.

error = orders.center() - truth.center()
rms = np.sqrt(np.nanmean(error**2, axis=1))
peak = (simulation.truth.blaze * simulation.truth.levels(1)[0]).max(axis=1)
on_detector = np.flatnonzero(truth.center()[0] >= -0.5)
followed = np.flatnonzero(np.isfinite(orders.center()[0]))
print(f"first order: centre on the detector from column {on_detector[0]}")
print(f"             followed from column              {followed[0]}")
print("order  peak (adu)  center_rms  true rms error (pixel)")
for number, light, scatter, value in zip(
    orders.order_numbers, peak, orders.table["center_rms"].value, rms, strict=True
):
    print(f"{number:5d}  {light:10.0f}  {scatter:10.3f}  {value:8.3f}")

# %%
# Look at the colours on the left: the large errors are those of the faint orders, in yellow, at the
# ends of the blaze. On the right, the error grows as the light fades, but stays far below the ten
# pixels of the usual inner-order window. ``center_rms`` is the scatter of single points, and a
# curve through a hundred of them is more accurate than that, as long as nothing else is wrong: the
# second order, next to the one that is cut, is off by 0.02 pixel, which its scatter does not
# reveal.

figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
norm, colors = LogNorm(peak.min(), peak.max()), plt.get_cmap("cividis_r")
for values, light in zip(error, peak, strict=True):
    axes[0].plot(values, color=colors(norm(light)), linewidth=1.2)
axes[0].axhline(0, color="0.6", linewidth=0.8, zorder=0)
axes[0].set(xlabel="column (pixel)", ylabel="traced \N{MINUS SIGN} true centre (pixel)")
figure.colorbar(
    plt.cm.ScalarMappable(norm, colors), ax=axes[0], label="signal at the blaze peak (adu)"
)
axes[1].plot(peak, orders.table["center_rms"], "s", color=ORANGE, label="center_rms, in the table")
axes[1].plot(peak, rms, "o", color=BLUE, label="rms error, from the truth")
axes[1].annotate(
    "cut by the border", (peak[0], rms[0]), xytext=(0, -58), textcoords="offset points",
    ha="right", arrowprops=dict(arrowstyle="-", color="0.4", shrinkB=4),
)
axes[1].set(
    xscale="log", yscale="log", xlabel="signal at the blaze peak (adu)",
    ylabel="order centre (pixel)", ylim=(0.002, None),
)
axes[1].legend(frameon=False)
plt.show()

# %%
# Too few orders, or too many
# ---------------------------
#
# ``min_signal_to_noise`` says what counts as light. If you raise it, faint orders are left out; if
# you lower it too far, noise may be taken for orders. If too few orders are found in a flat,
# combine several and trace the result, as `make_master_flat` does when it is given no table.

for least in (3, 6, 50, 200):
    found = trace_orders(flat, min_signal_to_noise=least)
    print(f"min_signal_to_noise={least:3d}: {len(found):2d} of {len(truth)} orders")

# %%
# Number them
# -----------
#
# The orders are numbered from 1 upwards, by their position on the detector, or from
# ``first_order``. If the physical numbers decrease upwards, put them into the table. ``select``
# keeps the orders you name; here it leaves out the one that is cut and the faintest.

print(trace_orders(flat, first_order=61).order_numbers)

table = orders.table
table["order"] = 74 - np.arange(len(table))
numbered = EchelleOrderTable(table)
chosen = numbered.select(range(73, 61, -1))
print(numbered.order_numbers)
print(chosen)

# %%
# Order edges are measured on the flat, starting from the order centres. A combined flat is less
# noisy and has no cosmic rays, so this step is best done on the master (see :doc:`/guide/edges`).

with_edges = detect_order_edges(flat, chosen)
bounds = truth.select(range(12, 24))
for name in ("lower", "upper"):
    off = getattr(with_edges, name)() - getattr(bounds, name)()
    print(f"{name} edges: rms error {np.sqrt(np.nanmean(off**2)):.3f} pixel")

# %%
# Write it
# --------
#
# The native format is ECSV, a text file that loses nothing: it includes the shape, dispersion axis,
# valid ranges and residuals, and can be read back without further information.

with TemporaryDirectory() as folder:
    path = Path(folder, "orders.ecsv")
    with_edges.write(path)
    again = EchelleOrderTable.read(path)
print(again)
print("the same centres:", np.array_equal(again.center(), with_edges.center(), equal_nan=True))

# %%
# A table of another night
# ------------------------
#
# By the second night the spectrograph has moved, and all orders are three rows higher. (This is
# another exposure, cut off three rows further down.) `measure_shift` measures the offset of a flat
# from a table; ``match`` is 1 if all orders agree on it. `recenter` shifts the table by that
# offset. `make_master_flat` does so too, with a warning, if the offset is a pixel or more.

later = second_night[23:1047, :]
measured = measure_shift(later, with_edges)
print(f"shift {measured.shift:.3f} +- {measured.uncertainty:.3f} pixel, match {measured.match:.3f}")
moved = recenter(later, with_edges)
remaining = measure_shift(later, moved)
print(f"after recenter: {remaining.shift:.3f} +- {remaining.uncertainty:.3f} pixel")

# %%
# Look at the upper edges. Those of the old table run three pixels inside the light; those of the
# recentred table run where the light ends.

figure, axes = plt.subplots(1, 2, figsize=(9, 3.9), sharey=True, layout="constrained")
titles = ("table of the first night", "recentred")
for ax, shown, title in zip(axes, (with_edges, moved), titles, strict=True):
    image = ax.imshow(
        later.data, vmin=0, vmax=12000, cmap="gray_r", origin="lower", interpolation="nearest"
    )
    for name, color, style in (
        ("lower", BLUE, "-"), ("center", ORANGE, "--"), ("upper", VERMILLION, "-")
    ):
        curves = getattr(shown, name)()
        ax.plot(curves.T, color=color, linestyle=style, linewidth=1.6)
        ax.plot([], [], color=color, linestyle=style, label=name)
    ax.set(title=title, xlabel="column (pixel)", aspect="auto")
    ax.set(xticks=range(450, 540, 25), xlim=(440, 540), ylim=(88, 204))
axes[0].set_ylabel("row (pixel)")
axes[0].legend(loc="center", bbox_to_anchor=(0.5, 0.56), ncols=3, frameon=False)
figure.colorbar(image, ax=axes, label="signal of the second night (adu)", extend="max")
plt.show()

# %%
# When it is the wrong table
# --------------------------
#
# The orders of a flat all look alike, so a shift of more than half their spacing cannot be told
# from a smaller one towards the next order. And a table for another instrument fits nowhere. In
# both cases you get an error, not a result.

other = EchelleSimulation(shape=(1024, 1024), n_orders=9, tilt=-0.03).truth.orders
for wrong in (with_edges.shifted(-60), other):
    try:
        measure_shift(later, wrong)
    except ValueError as error:
        print(error)

# %%
# What to try next
# ----------------
#
# Trace one of your own flats and plot the result with `~ccdproc_echelle.plotting.plot_orders`. If
# an order is missing or spurious, tell `trace_orders` what you know: ``n_orders``, ``min_width``,
# ``max_width`` or ``region``. The table then goes into :ref:`a master flat
# <sphx_glr_generated_recipes_plot_soxs_recipe.py>`.
