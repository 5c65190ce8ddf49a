# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The master-flat recipe, step by step
====================================

The method is that of the SOXS pipeline (`soxspipe <https://soxspipe.readthedocs.io>`_, recipe
``soxs_mflat``). You will see it one step at a time, each with a figure: levels from the order
centres, a first master, levels from the ratio to that master, the final master, order edges,
inter-order area and low-sensitivity pixels. The frames are simulated, so every step can be compared
with the truth. The last section does all of it in one call, ``make_master_flat``.
"""

import matplotlib.pyplot as plt
import numpy as np

from ccdproc_echelle import (
    EchelleOrderTable,
    combine_frames,
    detect_order_edges,
    inner_order_scale,
    make_master_flat,
    mask_interorder,
    mask_low_sensitivity,
    measure_exposure_levels,
    two_pass_flat_combine,
)
from ccdproc_echelle.plotting import plot_cross_section, plot_levels, plot_orders
from ccdproc_echelle.simulation import EchelleSimulation

ORANGE, BLUE, VERMILLION = "#E69F00", "#0072B2", "#D55E00"

# sphinx_gallery_thumbnail_number = 2

# %%
# The frames
# ----------
#
# Seven flats, with bias and dark subtracted and an uncertainty from photon and read noise. The
# first order is ten times brighter than the last. The lamp varies by 35 %, and the illumination of
# each frame is tilted across the detector by up to 3 %, in a different direction each time, as it
# would be if the lamp were warming up or a diffuser moved. There are also cosmic rays, dead pixels
# and five dust grains.

simulation = (
    EchelleSimulation(shape=(1024, 1024), n_orders=12, seed=1)
    .with_noise(gain=1.5, read_noise=4)
    .with_level_spread(0.35)
    .with_drift(0.03)
    .with_cosmic_rays(200)
    .with_dead_pixels(60)
    .with_dust(5)
)
truth = simulation.truth
frames = simulation.flats(7)

# %%
# Look at how little of the detector is illuminated, and how much fainter the last orders are than
# the first. The median of a whole frame is that of the dark area between the orders: it is the same
# in all three frames, although the lamp is nearly twice as bright in the last as in the first.

figure, axes = plt.subplots(1, 3, figsize=(9, 3.5), sharey=True, layout="constrained")
for ax, i in zip(axes, (2, 0, 4), strict=True):
    image = ax.imshow(frames[i].data, vmin=0, vmax=25000, cmap="gray_r", origin="lower")
    ax.set(title=f"frame {i}, median {np.median(frames[i].data):.0f} adu", xlabel="column (pixel)")
axes[0].set_ylabel("row (pixel)")
figure.colorbar(image, ax=axes, label="signal (adu)", shrink=0.8)
plt.show()

# %%
# The inner-order window
# ----------------------
#
# To begin with, only the order centres are needed, from a tracing program or the order table of a
# pipeline. Inner-order pixels lie in a curved window on the centres, ten pixels wide. There the
# slit is evenly illuminated, and a small shift of the spectrum has no effect.

centers = EchelleOrderTable.from_traces(
    truth.orders.order_numbers, truth.orders.center(),
    shape=simulation.shape, dispersion_axis=1,
)
inner = centers.inner_mask(10)
print(f"{inner.sum()} inner-order pixels, {100 * inner.mean():.1f} % of the detector")

# %%
# Look at the green band: it stays on the plateau of each order, away from the edges.

figure, ax = plt.subplots(figsize=(9, 4.5), layout="constrained")
plot_orders(frames[0], centers, window=10, ax=ax)
ax.set_ylim(0, 340)
plt.show()

# %%
# First pass
# ----------
#
# The level of a frame is the sigma-clipped mean of its inner-order pixels. Each frame is divided by
# its level.

scale = inner_order_scale(centers, window=10)
first_levels = np.array([1 / scale(frame) for frame in frames])

# %%
# Look at the lines, one for each frame. Divided by their levels, the frames agree to within a few
# per cent; what remains is noise and the tilt of the illumination.

figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
for i, frame in enumerate(frames):
    cut = np.median(frame.data[60:345, 400:405], axis=1)
    shade = str(0.8 * i / len(frames))
    axes[0].plot(np.arange(60, 345), cut, color=shade, linewidth=0.9, label=f"frame {i}")
    axes[1].plot(np.arange(60, 345), cut / first_levels[i], color=shade, linewidth=0.9)
axes[0].set(xlabel="row (pixel)", ylabel="signal in column 402 (adu)")
axes[1].set(xlabel="row (pixel)", ylabel="signal / level")
figure.legend(loc="outside upper center", ncols=len(frames), frameon=False)
plt.show()

# %%
# The first master
# ----------------
#
# The normalised frames are combined, and outliers are clipped after scaling. With ``n_passes=1``,
# ``two_pass_flat_combine`` ends here.
#
# Values are clipped in units of their uncertainties, which do not include the tilt. In the
# brightest orders, where the noise is half a per cent, the tilt makes good values differ by more
# than five sigma. The limit is therefore set to ten, which cosmic rays exceed by far.

clipping = dict(sigma_clip=True, sigma_clip_low_thresh=10, sigma_clip_high_thresh=10)
first_master = two_pass_flat_combine(frames, centers, n_passes=1, **clipping)

# %%
# Look at the heights of the orders: the first four contribute more to the mean than the other eight
# together.

figure, ax = plt.subplots(figsize=(10, 4), layout="constrained")
plot_cross_section(first_master, centers, ax=ax)
plt.show()

# %%
# The ratio of a frame to the first master
# ----------------------------------------
#
# Dividing a frame by the first master removes the blaze, the brightness of the orders and the pixel
# response. What remains is the level of the frame, and the difference between its illumination and
# that of the others.

ratios = [
    frame.data / level / first_master.data
    for frame, level in zip(frames, first_levels, strict=True)
]

# %%
# Look at the tilt: one frame is brighter on the right, the other at the top, by a few per cent. The
# first pass effectively weights pixels by their brightness. It was dominated by the bright orders
# at the bottom of the detector, and so was off by one per cent for the frame in the middle panel.
# In the histogram, the inner-order pixels of a frame span a factor of fifty before the division,
# and a few per cent after it.

shown_frames = (3, 6)
inside = truth.orders.order_map() > 0
figure, axes = plt.subplots(1, 3, figsize=(10, 3.9), layout="constrained")
for ax, i in zip(axes, shown_frames, strict=False):
    image = ax.imshow(
        np.where(inside, 100 * (ratios[i] - 1), np.nan),
        vmin=-4, vmax=4, cmap="RdBu_r", origin="lower", interpolation="nearest",
    )
    ax.set(title=f"frame {i} / first master", xlabel="column (pixel)", facecolor="0.75")
axes[0].set_ylabel("row (pixel)")
figure.colorbar(image, ax=axes[:2], label="ratio \N{MINUS SIGN} 1 (%)", extend="both")
i = shown_frames[0]
bins = np.geomspace(0.05, 5, 200)
axes[2].hist(
    frames[i].data[inner] / first_levels[i], bins, histtype="step", color=ORANGE,
    label=f"frame {i} / its mean",
)
axes[2].hist(
    ratios[i][inner], bins, histtype="step", color=BLUE, label=f"frame {i} / first master"
)
axes[2].set(
    xscale="log", yscale="log", ylim=(0.5, 3e6),
    xlabel="inner-order signal, relative", ylabel="pixels",
)
axes[2].legend(frameon=False, loc="upper left")
plt.show()

# %%
# Second pass
# -----------
#
# The level is measured again on the ratio, in which all pixels count equally. A pixel that is
# masked or clipped in one frame is left out in all. ``measure_exposure_levels`` does both passes,
# or more if asked.

levels = measure_exposure_levels(frames, centers, n_passes=4)
true_levels = truth.levels(len(frames))


def relative(values):
    return values / values.mean(axis=0)


passes = relative(levels["pass_level"].value)
errors = passes / relative(true_levels)[:, np.newaxis] - 1
for i, error in enumerate(np.abs(errors).max(axis=0), start=1):
    print(f"largest error of a relative level after pass {i}: {error:.1e}")

# %%
# Look at the right panel: the second pass removes nearly all of the error of the first. Further
# passes make no difference that matters, so two are the default.

figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.9), layout="constrained")
plot_levels(measure_exposure_levels(frames, centers), ax=axes[0])
axes[1].plot(range(1, 5), 100 * np.abs(errors).T, "-o", color="0.7", markersize=3)
axes[1].plot(range(1, 5), 100 * np.abs(errors).max(axis=0), "-o", color=BLUE, label="largest")
axes[1].plot([], [], "-o", color="0.7", markersize=3, label="each frame")
axes[1].set(
    yscale="log", xticks=range(1, 5), xlabel="pass", ylabel="error of the exposure level (%)"
)
axes[1].legend(frameon=False)
plt.show()

# %%
# The original frames are normalised by these levels and combined again. ``two_pass_flat_combine``
# does everything up to this point. Its levels differ slightly from those above, because it also
# makes the first master with a limit of ten sigma, while ``measure_exposure_levels`` uses five.

master = two_pass_flat_combine(frames, centers, **clipping)
by_hand = combine_frames(frames, scale=1 / levels["pass_level"].value[:, 1], **clipping)
difference = np.abs(master.data / by_hand.data - 1)[inside].max()
print(f"largest relative difference between the two: {difference:.1e}")

# %%
# Look at the two dark pixels in the frame: they are cosmic rays, and the master has none. On the
# right, the master is less noisy than a frame, and the tail of cosmic rays is gone. Errors are
# relative to the noiseless truth.

noiseless = truth.noiseless_flats(len(frames)) / true_levels[:, np.newaxis, np.newaxis]
i = 4
pairs = {
    f"frame {i} / its level": (frames[i].data / levels["level"][i].value, noiseless[i]),
    "master": (master.data, noiseless.mean(axis=0)),
}
figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
shown = inner & ~truth.dead_pixels
bins = np.geomspace(0.01, 200, 100)
for ax, (name, (data, true)), color in zip(axes, pairs.items(), (ORANGE, BLUE), strict=False):
    error = np.full(data.shape, np.nan)
    relative = data[inside] / data[inner].mean() * true[inner].mean()
    error[inside] = 100 * (relative / true[inside] - 1)
    image = ax.imshow(error, vmin=-5, vmax=5, cmap="RdBu_r", origin="lower")
    ax.set(title=name, xlabel="column (pixel)", xlim=(355, 445), ylim=(215, 270), facecolor="0.75")
    axes[2].hist(error[shown], bins, histtype="step", color=color, label=name)
axes[0].set_ylabel("row (pixel)")
figure.colorbar(image, ax=axes[:2], label="error (%)", extend="both", shrink=0.8)
axes[2].set(
    xscale="log", yscale="log", ylim=(0.5, 3e5), xlabel="positive error (%)",
    ylabel="inner-order pixels",
)
axes[2].legend(frameon=False, loc="upper left")
plt.show()

# %%
# Order edges
# -----------
#
# Slices across the order, resampled along its curved centre, show a plateau and a background. The
# edge is where the light falls through half of the step between them. That is where the image of
# the slit ends, whatever the blur, as long as the blur is symmetric and narrower than the slit.

orders = detect_order_edges(master, centers)

# %%
# Look at the right panel: all along the orders, the edges are within hundredths of a pixel of the
# truth.

figure, axes = plt.subplots(1, 2, figsize=(9.5, 4), layout="constrained")
plot_orders(master, orders, ax=axes[0])
axes[0].set(xlim=(300, 360), ylim=(74, 116))
for name, color in (("lower", BLUE), ("upper", VERMILLION)):
    offsets = getattr(orders, name)() - getattr(truth.orders, name)()
    axes[1].plot(offsets.T, color=color, linewidth=0.8, alpha=0.7)
    axes[1].plot([], [], color=color, label=f"{name} edge of each order")
    print(f"{name} edges, measured minus true: rms {np.sqrt(np.nanmean(offsets**2)):.3f} pixel")
axes[1].axhline(0, color="0.6", linewidth=0.8)
axes[1].set(
    ylim=(-0.05, 0.05), xlabel="column (pixel)", ylabel="measured \N{MINUS SIGN} true (pixel)"
)
axes[1].legend(frameon=False)
plt.show()

# %%
# The inter-order area
# --------------------
#
# Between the orders the flat is noise around zero, and dividing by it would ruin a frame there.
# Setting the flat to 1 leaves the frame as it is. The area can be masked as well.

filled = mask_interorder(master, orders, mask=False)

# %%
# The orders are shaded; look between them. Divided by the master as it is, a frame has meaningless
# values there; divided by the filled one, it keeps its own, which are nearly zero.

figure, axes = plt.subplots(2, 1, figsize=(9, 5.5), sharex=True, layout="constrained")
relative_frame = frames[0].data / levels["level"][0].value
names = ("divided by the master", "divided by the master with inter-order area 1")
for ax, flat, name in zip(axes, (master, filled), names, strict=True):
    ax.plot(relative_frame[:, 512] / flat.data[:, 512], color="black", linewidth=0.8)
    ax.set(title=name, ylabel="frame 0, column 512", xlim=(0, 1023), ylim=(-3, 5))
    for low, high in np.hstack([orders.lower([512]), orders.upper([512])]):
        ax.axvspan(low, high, color="0.9", zorder=0)
axes[1].set_xlabel("row (pixel)")
plt.show()

# %%
# Low-sensitivity pixels
# ----------------------
#
# The value expected of a pixel inside an order is the blaze at its column times the slit profile at
# its distance from the edge. A pixel with less than half of that, by more than its noise explains,
# joins the bad-pixel map. A dust grain that absorbs a quarter of the light does not, because the
# flat corrects for it.

checked = mask_low_sensitivity(master, orders)
dead = truth.dead_pixels
print(f"dead pixels found: {(checked.mask & dead).sum()} of {dead.sum()}")
print(f"other pixels masked: {(checked.mask & ~dead & inside).sum()}")

# %%
# Look at the pale disc: it is a dust grain, and is not masked. The circled pixels are masked, one
# of them right beside the grain.

figure, ax = plt.subplots(figsize=(9, 4.2), layout="constrained")
image = ax.imshow(master.data, vmin=0, vmax=3.2, cmap="gray_r", origin="lower")
rows, columns = np.nonzero(checked.mask)
ax.plot(columns, rows, "o", markersize=14, markerfacecolor="none", color=VERMILLION)
ax.set(xlim=(155, 215), ylim=(76, 106), xlabel="column (pixel)", ylabel="row (pixel)")
figure.colorbar(image, ax=ax, label="master flat")
plt.show()

# %%
# All in one call
# ---------------
#
# ``make_master_flat`` starts from raw frames, with bias and dark frames if there are any, and
# returns the flat, the orders, the levels and flags for each pixel. By default it also subtracts
# the scattered light from each frame. These frames have none, so this is switched off here.

product = make_master_flat(frames, centers, scattered_light=None, **clipping)
in_orders = product.orders.order_map() > 0
agree = np.array_equal(product.flat.data[in_orders], master.data[in_orders])
print(f"the same flat: {agree}; pixels masked: {product.flat.mask.sum()}")

# %%
# What to try next
# ----------------
#
# Change ``n_passes`` to 1 or 3 and look at the levels again, or leave out the order table and have
# the orders :ref:`traced <sphx_glr_generated_recipes_plot_tracing.py>`. :doc:`/soxs` compares each
# step with soxspipe, and :doc:`/method` has the formulas.
