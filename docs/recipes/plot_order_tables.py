# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Order tables of IRAF, PyReduce and soxspipe
===========================================

If you have reduced an echelle before, you have an order table: an aperture database of IRAF, the
traces of PyReduce, the order table of soxspipe. `EchelleOrderTable` reads them as they are. You
will see a small file of each kind, written for the same simulated flat, read back, compared with
the truth, and adapted to frames that are binned or trimmed.

:doc:`/guide/order_tables` lists the formats and what each of them holds. Without any table, see
:ref:`sphx_glr_generated_recipes_plot_tracing.py`.
"""

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
from astropy.nddata import block_reduce

from ccdproc_echelle import (
    EchelleOrderTable,
    detect_order_edges,
    measure_shift,
    trace_orders,
)
from ccdproc_echelle.simulation import EchelleSimulation

ORANGE, BLUE, VERMILLION = "#E69F00", "#0072B2", "#D55E00"

# %%
# A flat, and three files
# -----------------------
#
# Twelve orders along the rows, traced on the flat. soxspipe and IRAF files are written by
# `EchelleOrderTable.write`. soxspipe keeps one polynomial in order number and pixel for the whole
# detector; IRAF keeps a curve for each aperture, and two numbers, ``low`` and ``high``, for its
# edges. Neither holds all that was traced, and warnings say what is lost.
#
# PyReduce keeps a polynomial for each order, highest power first, fitted to the pixels that it
# assigns to the order, and a column range whose second number is one past the last column. Its file
# is a NumPy archive, which is made here in that way, from the pixels brighter than half of the
# brightest one near them.

simulation = EchelleSimulation(shape=(700, 800), n_orders=12, seed=2, tilt=0.03, first_order=71)
flat = simulation.flats(1)[0]
orders = detect_order_edges(flat, trace_orders(flat, first_order=71))

temporary = TemporaryDirectory()
folder = Path(temporary.name)
with warnings.catch_warnings(record=True) as losses:
    warnings.simplefilter("always")
    orders.write(folder / "soxspipe.fits", format="soxspipe")
    orders.write(folder / "apflat", format="iraf")
for loss in losses:
    print(fill(str(loss.message), 95, subsequent_indent="    "))

order_map = orders.order_map(margin=4)
powers = []
for number in orders.order_numbers:
    near = order_map == number
    light = np.where(near, flat.data, 0)
    rows, columns = np.nonzero(light > 0.5 * light.max(axis=0))
    powers.append(np.polyfit(columns, rows, 4))
column_range = np.tile([0, flat.shape[1]], (len(powers), 1))
np.savez(folder / "pyreduce.npz", orders=powers, column_range=column_range)

# %%
# Read them
# ---------
#
# The format is found from the content; ``format=`` names it where that matters. None of the three
# files holds the shape of the detector, so give ``shape=``. They do say along which axis the orders
# run. PyReduce has no order numbers and no edges: its orders are counted from 1.

tables = {
    name: EchelleOrderTable.read(folder / name, shape=flat.shape)
    for name in ("soxspipe.fits", "apflat", "pyreduce.npz")
}
for name, table in tables.items():
    print(f"{name:14s}{table}")

# %%
# PyReduce turns frames so that orders run along rows, and its table belongs to frames turned like
# that. For frames as they come from the detector, turn the table: ``transposed()`` and
# ``flipped(axis)`` do so.
#
# A text file of sampled centres, one line for each dispersion pixel, is the format for anyone who
# has no other. It does not even hold the axis, which follows from the shape, as the file has as
# many lines as the detector has columns; for a square detector, give ``dispersion_axis=``.

np.savetxt(folder / "centres.txt", orders.center().T, fmt="%.2f")
print(EchelleOrderTable.read(folder / "centres.txt", shape=flat.shape))
try:
    EchelleOrderTable.read(folder / "centres.txt", shape=(800, 800))
except ValueError as error:
    print(str(error).replace(str(folder), "..."))
print(EchelleOrderTable.read(folder / "centres.txt", shape=(800, 800), dispersion_axis=1))

# %%
# Order numbers are changed in the table itself.

content = tables["pyreduce.npz"].table
content["order"] = orders.order_numbers
tables["pyreduce.npz"] = EchelleOrderTable(content)

# %%
# Look at how the three lie on top of each other, and at the edges: those of IRAF keep their
# distance from the centre. The orders become wider to the right, by 1.3 pixels from one end to the
# other, and the edges of soxspipe follow.

STYLES = {
    "soxspipe.fits": (BLUE, "-", "soxspipe"),
    "apflat": (VERMILLION, "--", "IRAF"),
    "pyreduce.npz": (ORANGE, ":", "PyReduce"),
}
figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.3), layout="constrained", width_ratios=(1.2, 1))
for ax in axes:
    image = ax.imshow(
        flat.data, vmin=0, vmax=16000, cmap="gray_r", origin="lower", aspect="auto",
        interpolation="nearest",
    )
    for name, (color, style, label) in STYLES.items():
        table = tables[name]
        drawn = [table.center()]
        if table.has_edges:
            drawn += [table.lower(), table.upper()]
        for curves in drawn:
            ax.plot(curves.T, color=color, linestyle=style, linewidth=1.8)
        ax.plot([], [], color=color, linestyle=style, linewidth=1.8, label=label)
    ax.set(xlabel="column (pixel)", xlim=(0, 799), ylim=(0, 699))
axes[0].set_ylabel("row (pixel)")
axes[0].legend(ncols=3, loc="upper center", bbox_to_anchor=(0.5, 1.12), frameon=False)
top = orders.upper([799]).min()
axes[1].set(xlim=(770.5, 799.5), ylim=(top - 34, top + 6), title="right end of the lowest order")
figure.colorbar(image, ax=axes, label="signal (adu)", extend="max")
plt.show()

# %%
# How they differ
# ---------------
#
# All are compared with the table that was traced. The last column is the error of the traced table
# itself, compared with the truth of the simulation.

differences = {}
for name, table in tables.items():
    for curve in ("center", "lower", "upper") if table.has_edges else ("center",):
        offset = getattr(table, curve)() - getattr(orders, curve)()
        differences[name, curve] = offset
        error = getattr(orders, curve)() - getattr(simulation.truth.orders, curve)()
        print(
            f"{name:14s}{curve:7s} largest difference {np.nanmax(np.abs(offset)):.4f} pixel"
            f"   ({np.nanmax(np.abs(error)):.4f})"
        )

# %%
# Look at the scales. The centres of IRAF are what was written; the single polynomial of soxspipe
# misses them by a hundredth of a pixel, less than the error of the tracing. Those of the PyReduce
# file come from whole pixels and are good to a tenth, which is plenty for the inner-order window.
# The constant edges of IRAF are off by a third of a pixel at the ends: measure edges again on the
# flat, with `detect_order_edges`, before they are used.

figure, axes = plt.subplots(1, 3, figsize=(10, 3.6), layout="constrained")
panels = (
    ("centres", [("soxspipe.fits", "center"), ("apflat", "center")]),
    ("centres", [("pyreduce.npz", "center")]),
    ("edges", [("apflat", "lower"), ("apflat", "upper"), ("soxspipe.fits", "lower")]),
)
for ax, (title, keys) in zip(axes, panels, strict=True):
    for name, curve in keys:
        color, style, label = STYLES[name]
        if (name, curve) == ("apflat", "upper"):
            style = "-"
        ax.plot(differences[name, curve].T, style, color=color, linewidth=0.9)
        text = label if title == "centres" else f"{label}, {curve}"
        ax.plot([], [], style, color=color, label=text)
    ax.axhline(0, color="0.6", linewidth=0.8, zorder=0)
    ax.set(title=title, xlabel="column (pixel)", ylabel="difference (pixel)")
    ax.margins(y=0.25)
    ax.legend(frameon=False, fontsize="small")
plt.show()

# %%
# Where pixels begin to count
# ---------------------------
#
# IRAF and DS9 count pixels from 1, NumPy from 0, and so does an `EchelleOrderTable`, for which the
# centre of the first pixel is 0. The readers convert. ``center`` in an IRAF record is a point on
# the order, here in column 400 and row 24.4, both counted from 1.

record = (folder / "apflat").read_text().splitlines()
print(*record[1:6], sep="\n")
print(f"order 71 at column 399: row {tables['apflat'].center([399])[0, 0]:.3f}")

# %%
# Subtract 1, in both directions, from numbers that you read off in DS9. Whether this was forgotten
# can be measured: `measure_shift` compares a table with a flat.

for name, table in {**tables, "one too high": orders.shifted(1)}.items():
    measured = measure_shift(flat, table)
    print(f"{name:14s}shift {measured.shift:+.3f} +- {measured.uncertainty:.3f} pixel")

# %%
# Binned and trimmed frames
# -------------------------
#
# A table belongs to a detector shape; for a frame of another shape it is refused, before anything
# is computed.

table = tables["soxspipe.fits"]
binned = block_reduce(flat.data, (2, 1), func=np.mean)
try:
    measure_shift(binned, table)
except ValueError as error:
    print(error)

# %%
# ``rebinned`` takes the binning factors of rows and columns. Tables of soxspipe are for unbinned
# frames, whatever frames they come from. The centre of the first binned pixel is at 0 again, so
# positions are not just divided by two: ``rebinned`` takes care of that half pixel.

rebinned = table.rebinned((2, 1))
print(rebinned)
shift = measure_shift(binned, rebinned)
print(f"shift {shift.shift:+.3f} +- {shift.uncertainty:.3f} pixel")

# %%
# ``cropped`` takes the slices by which the frame is cut, for example when `ccdproc.trim_image`
# removes the overscan. Orders of which nothing is left are dropped.

part = (slice(100, 600), slice(50, 750))
cropped = table.cropped(part)
print(cropped)
shift = measure_shift(flat.data[part], cropped)
print(f"shift {shift.shift:+.3f} +- {shift.uncertainty:.3f} pixel")

# %%
# On to other programs
# --------------------
#
# A table read from one format can be written in another: the native ECSV for this package, regions
# to be laid over a frame in DS9 (``ds9 flat.fits -regions orders.reg``). The command
# ``ccdproc-echelle convert`` does the same without a script, see :doc:`/guide/command_line`.

table.write(folder / "orders.ecsv")
table.write(folder / "orders.reg", format="ds9")
print(EchelleOrderTable.read(folder / "orders.ecsv"))
for line in (folder / "orders.reg").read_text().splitlines()[:4]:
    print(line[:78])

temporary.cleanup()

# %%
# What to try next
# ----------------
#
# Read your own table and draw it on a flat with `~ccdproc_echelle.plotting.plot_orders`: if it is
# off, `recenter` moves it. For a format that is missing, :ref:`own_format` shows how to add one.
