# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Order tables of IRAF, PyReduce and soxspipe
===========================================

If you have reduced echelle spectra before, you have an order table: an IRAF aperture database,
PyReduce traces or a soxspipe order table. `EchelleOrderTable` reads them as they are. You will see
a small file of each kind written for the same simulated flat, read back, compared with the truth,
and adapted to binned or trimmed frames.

:doc:`/guide/order_tables` lists the formats and what each contains. If you have no table, see
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
# The flat has twelve orders along its rows, which are traced first. `EchelleOrderTable.write`
# writes the soxspipe and IRAF files. soxspipe describes the whole detector by one polynomial in
# order number and pixel; IRAF has a curve for each aperture, and two numbers, ``low`` and ``high``,
# for its edges. Neither can hold everything that was traced, and warnings say what is lost.
#
# PyReduce has a polynomial for each order, highest power first, fitted to the pixels that it
# assigns to the order, and a column range that ends one past the last column. Its file is a NumPy
# archive. Here one is made in the same way, from the pixels that are more than half as bright as
# the brightest pixel near them.

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
# The format is recognised from the content; ``format=`` names it if need be. None of the three
# files contains the shape of the detector, so give ``shape=``. They do say along which axis the
# orders run. PyReduce has neither order numbers nor edges, so its orders are counted from 1.

tables = {
    name: EchelleOrderTable.read(folder / name, shape=flat.shape)
    for name in ("soxspipe.fits", "apflat", "pyreduce.npz")
}
for name, table in tables.items():
    print(f"{name:14s}{table}")

# %%
# PyReduce rotates frames so that orders run along rows, and its table is for frames in that
# orientation. If yours are still as they came from the detector, turn the table instead, with
# ``transposed()`` and ``flipped(axis)``.
#
# If you have none of these, use a text file of sampled centres with one line for each dispersion
# pixel. It does not even contain the axis, which follows from the shape, as the file has as many
# lines as the detector has columns. For a square detector, give ``dispersion_axis=``.

np.savetxt(folder / "centres.txt", orders.center().T, fmt="%.2f")
print(EchelleOrderTable.read(folder / "centres.txt", shape=flat.shape))
try:
    EchelleOrderTable.read(folder / "centres.txt", shape=(800, 800))
except ValueError as error:
    print(str(error).replace(str(folder), "..."))
print(EchelleOrderTable.read(folder / "centres.txt", shape=(800, 800), dispersion_axis=1))

# %%
# To change order numbers, edit the table itself.

content = tables["pyreduce.npz"].table
content["order"] = orders.order_numbers
tables["pyreduce.npz"] = EchelleOrderTable(content)

# %%
# Look at how the three centres lie on top of each other, and then at the edges. The orders become
# wider to the right, by 1.3 pixels from one end to the other. The edges of soxspipe follow this;
# those of IRAF keep a constant distance from the centre.

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
# All are compared with the traced table. The last column is the error of the traced table itself,
# compared with the truth of the simulation.

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
# Look at the scales. The centres read from IRAF are the ones that were written; the single
# polynomial of soxspipe misses them by a hundredth of a pixel, less than the error of the tracing.
# Those of the PyReduce file are fitted to whole pixels and are good to a tenth, which is ample for
# the inner-order window. The constant edges of IRAF are off by a third of a pixel at the ends:
# before using them, measure the edges again on the flat with `detect_order_edges`.

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
# Counting from 0 or from 1
# -------------------------
#
# IRAF and DS9 count pixels from 1. NumPy counts from 0, and so does an `EchelleOrderTable`, in
# which the centre of the first pixel is 0. The readers convert. In an IRAF record, ``center`` is a
# point on the order, here at column 400 and row 24.4, both counted from 1.

record = (folder / "apflat").read_text().splitlines()
print(*record[1:6], sep="\n")
print(f"order 71 at column 399: row {tables['apflat'].center([399])[0, 0]:.3f}")

# %%
# Subtract 1, in both directions, from positions that you read off in DS9. If you are not sure
# whether this was done, measure it: `measure_shift` compares a table with a flat.

for name, table in {**tables, "one too high": orders.shifted(1)}.items():
    measured = measure_shift(flat, table)
    print(f"{name:14s}shift {measured.shift:+.3f} +- {measured.uncertainty:.3f} pixel")

# %%
# Binned and trimmed frames
# -------------------------
#
# A table is for one detector shape. It is refused for a frame of another shape, before anything is
# computed.

table = tables["soxspipe.fits"]
binned = block_reduce(flat.data, (2, 1), func=np.mean)
try:
    measure_shift(binned, table)
except ValueError as error:
    print(error)

# %%
# ``rebinned`` takes the binning factors of rows and columns. soxspipe tables are for unbinned
# frames, even if they were made from binned ones. As the centre of the first binned pixel is at 0
# again, positions cannot just be divided by two; ``rebinned`` takes care of the fraction of a
# pixel.

rebinned = table.rebinned((2, 1))
print(rebinned)
shift = measure_shift(binned, rebinned)
print(f"shift {shift.shift:+.3f} +- {shift.uncertainty:.3f} pixel")

# %%
# ``cropped`` takes the slices with which the frame is cut, for example when `ccdproc.trim_image`
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
# A table read from one format can be written in another: ECSV for this package, or regions to
# display over a frame in DS9 (``ds9 flat.fits -regions orders.reg``). The command ``ccdproc-echelle
# convert`` does the same without a script; see :doc:`/guide/command_line`.

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
# Read your own table and plot it over a flat with `~ccdproc_echelle.plotting.plot_orders`. If it is
# off, `recenter` moves it. If your format is missing, :ref:`own_format` shows how to add it.
