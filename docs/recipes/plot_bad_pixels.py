# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Bad and low-sensitivity pixels
==============================

A dead pixel in a bright order can have a higher value than a good one in a faint order, so no
single threshold finds the bad pixels of an echelle flat. Here each pixel is compared with the value
expected at that place in its own order. You will see dead, low, hot and saturated pixels flagged in
simulated flats, how many are found, missed and wrongly flagged, and how well a threshold, sigma
clipping and `ccdproc.ccdmask` do on the same flat.
"""

import warnings

import ccdproc as ccdp
import matplotlib.pyplot as plt
import numpy as np
from astropy import units as u
from astropy.nddata.bitmask import bitfield_to_boolean_mask
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch

from ccdproc_echelle import (
    FlatFlag,
    find_bad_response,
    make_master_flat,
    mask_low_sensitivity,
    normalize_flat,
    two_pass_flat_combine,
)
from ccdproc_echelle.light import UNUSABLE
from ccdproc_echelle.simulation import EchelleSimulation

ORANGE, BLUE, VERMILLION, PURPLE = "#E69F00", "#0072B2", "#D55E00", "#CC79A7"

# %%
# The frames
# ----------
#
# Seven raw flats and five biases. The first of six orders is a hundred times brighter than the
# last; at its blaze peak, the brightest exposures leave the linear range of the detector, which
# ends at 60000 adu. In the orders, 300 pixels have a response below 0.45: they count as dead if it
# is below 0.2, and as low otherwise. Another 150 pixels are hot and collect 1000 to 30000 adu in
# each exposure. Twenty dust grains absorb a quarter of the light. The pixels under them are not
# bad, as the flat corrects for the dust.

GAIN, READ_NOISE, BIAS, SATURATION = 1.5, 4, 300, 60000

simulation = (
    EchelleSimulation(shape=(512, 1024), n_orders=6, seed=5, peak=50000, brightness_ratio=100)
    .with_noise(gain=GAIN, read_noise=READ_NOISE)
    .with_bias(BIAS)
    .with_level_spread(0.3)
    .with_cosmic_rays(150)
    .with_dust(20, depth=0.25)
    .with_dead_pixels(300, max_response=0.45)
)
truth = simulation.truth
flats = simulation.flats(7, raw=True)
biases = simulation.biases(5, raw=True)

rng = np.random.default_rng(1)
inside = truth.orders.order_map() > 0
hot = np.zeros(simulation.shape, bool)
hot.flat[rng.choice(np.flatnonzero(inside & ~truth.dead_pixels), 150, replace=False)] = True
hot_signal = rng.uniform(1000, 30000, hot.sum())
for flat in flats:
    flat.data = flat.data.astype(float)
    flat.data[hot] += rng.poisson(hot_signal * GAIN) / GAIN
    flat.data = np.minimum(flat.data, 65535).round().astype(np.uint16)

dead = truth.dead_pixels & (truth.pixel_response < 0.2)
low = truth.dead_pixels & ~dead
bad = dead | low | hot
print(f"true: {dead.sum()} dead, {low.sum()} low, {hot.sum()} hot; {inside.sum()} pixels in orders")

# %%
# Flags
# -----
#
# `make_master_flat` gives each pixel a set of flags, the bits of `FlatFlag`. All it knows about the
# detector is the gain, the read noise and the saturation level. The simulation has no scattered
# light, so none is subtracted.

master = make_master_flat(
    flats, truth.orders, bias=biases, gain=GAIN, read_noise=READ_NOISE, saturation=SATURATION,
    scattered_light=None,
)
flags, orders = master.flags, master.orders

print("  bit  name               pixels  masks the pixel")
for flag in FlatFlag:
    pixels = (flags & flag > 0).sum()
    print(f"{flag.value:5d}  {flag.name:17s}  {pixels:6d}  {'yes' if flag & UNUSABLE else 'no'}")

# %%
# A pixel may have several flags. Those marked "yes" make up ``UNUSABLE``: such a pixel cannot be
# divided by, so it is masked in the master flat. The others are for information. A saturated pixel
# is left out of the frames in which it is saturated. If it is good in another frame, the master has
# a good value there; if it is good in none, it is flagged NO_DATA as well. A partly covered pixel
# has the edge of an order running through it: its value is right, but depends on exactly where the
# slit ends. The inter-order area is 1.
#
# To mask other flags, use the keyword ``mask_flags`` of `make_master_flat`, or make the mask later
# with astropy's tools for bit fields.

strict = bitfield_to_boolean_mask(flags, ignore_flags=FlatFlag.INTERORDER | FlatFlag.SATURATED)
print(f"masked: {master.flat.mask.sum()} pixels")
print(f"masked with all flags but INTERORDER and SATURATED: {strict.sum()} pixels")

# %%
# Look at the pixel response on the left, which is the flat divided by blaze and slit profile (see
# `normalize_flat`), and at the flags on the right. The discs are dust grains. They are dimmed by a
# quarter and not flagged, but a low pixel inside one of them is. The upper panels show the blaze
# peak of the brightest order, where the brightest exposures are saturated, and the lower panels an
# order that is sixteen times fainter. The bright pixel at the upper left of the first panel is not
# flagged, because it glows too weakly to count as hot.

ZOOMS = (
    dict(xlim=(484.5, 544.5), ylim=(3.5, 44.5)),
    dict(xlim=(403.5, 463.5), ylim=(247.5, 288.5)),
)
KINDS = {
    FlatFlag.DEAD: VERMILLION,
    FlatFlag.LOW_SENSITIVITY: ORANGE,
    FlatFlag.HOT: PURPLE,
    FlatFlag.SATURATED: "#56B4E9",
    FlatFlag.PARTLY_COVERED: "#999999",
}
BETWEEN, GOOD = "#CCCCCC", "#F5F5F5"

colored = np.full((*flags.shape, 3), to_rgb(GOOD))
colored[flags & FlatFlag.INTERORDER > 0] = to_rgb(BETWEEN)
for flag in reversed(KINDS):
    colored[flags & flag > 0] = to_rgb(KINDS[flag])
response = normalize_flat(master.flat, orders).pixel_response.data
shown = np.where(flags & FlatFlag.INTERORDER, np.nan, response)

figure, axes = plt.subplots(2, 2, figsize=(9, 7.2), layout="constrained")
for row, zoom in zip(axes, ZOOMS, strict=True):
    image = row[0].imshow(shown, vmin=0.4, vmax=1.6, cmap="gray", origin="lower")
    row[0].set_facecolor(BETWEEN)
    row[1].imshow(colored, origin="lower", interpolation="nearest")
    row[0].set_ylabel("row (pixel)")
    for ax in row:
        ax.set(**zoom)
for ax in axes[1]:
    ax.set_xlabel("column (pixel)")
figure.colorbar(
    image, ax=axes[:, 0], label="pixel response", extend="both", location="top", aspect=30
)
patches = [Patch(color=color, label=flag.name) for flag, color in KINDS.items()]
patches += [Patch(color=BETWEEN, label="INTERORDER"), Patch(fc=GOOD, ec="0.6", label="no flag")]
figure.legend(handles=patches, loc="outside lower center", ncols=4, frameon=False)
plt.show()

# %%
# Found, missed, false
# --------------------


def count(name, found):
    """Print how many bad pixels in the orders are found, and how many good ones are called bad."""
    print(
        f"{name:32s} {(found & dead).sum():5d} {(found & low).sum():5d} {(found & hot).sum():5d}"
        f" {(bad & ~found).sum():7d} {(found & inside & ~bad).sum():7d}"
    )


HEAD = f"{'':32s} {'dead':>5s} {'low':>5s} {'hot':>5s} {'missed':>7s} {'false':>7s}"
print(HEAD)
count("in truth", bad)
for flag in (FlatFlag.DEAD, FlatFlag.LOW_SENSITIVITY, FlatFlag.HOT):
    count(f"flag {flag.name}", flags & flag > 0)
count("mask of the master flat", master.flat.mask)

glow = np.zeros(simulation.shape)
glow[hot] = hot_signal / truth.levels(7).mean() / truth.flat[hot]
missed = hot & ~master.flat.mask
print(f"hot pixels not masked: {missed.sum()}, their response at most {1 + glow[missed].max():.2f}")

# %%
# A pixel counts as hot if its response exceeds 1.5 by 2.5 times the noise. A weaker glow in a
# bright order does not reach that, but a dark of the same exposure time shows it and removes it.
#
# Step by step
# ------------
#
# This also works on a flat that was made elsewhere, as long as there is an order table with edges.
# `find_bad_response` returns an image for each kind of bad pixel, and `mask_low_sensitivity` adds
# the first two of them to the mask. Both examine the pixel response of `normalize_flat`, which
# divides the flat by its blaze and its slit profile, and both require the response to be beyond the
# threshold by 2.5 times its noise.

bias = ccdp.combine(biases)
calibrated = []
for flat in flats:
    flat = ccdp.subtract_bias(flat, bias)
    flat = ccdp.create_deviation(
        flat, gain=GAIN * u.electron / u.adu, readnoise=READ_NOISE * u.electron,
        disregard_nan=True,
    )
    calibrated.append(flat)
plain = two_pass_flat_combine(
    calibrated, orders, sigma_clip=True, sigma_clip_low_thresh=5, sigma_clip_high_thresh=5
)
found = find_bad_response(plain, orders)
checked = mask_low_sensitivity(plain, orders)
print("dead, low, hot:", *(int(kind.sum()) for kind in found))
print("added to the mask:", int((checked.mask & ~plain.mask).sum()))

# %%
# Other methods
# -------------
#
# Three others are applied to the same combined flat, with its inter-order area as observed: a
# threshold at half the mean of the inner-order pixels, or at a tenth of it; sigma clipping of all
# in-order pixels at once; and `ccdproc.ccdmask`, the successor of the IRAF task, with its default
# of 9 sigma and with 30. As `ccdproc.ccdmask` is documented for the ratio of two flats with
# different levels, it is also applied to that of the faintest to the brightest flat.

values = plain.data[inside]
levels = master.levels["level"].value
with warnings.catch_warnings():
    warnings.simplefilter("ignore", RuntimeWarning)  # between the orders 0 is divided by 0
    ratio = calibrated[np.argmin(levels)].data / calibrated[np.argmax(levels)].data
ratio[~np.isfinite(ratio)] = 0
clip = np.median(values) - 3 * values.std()
rivals = {
    "below 0.5": plain.data < 0.5,
    "below 0.1": plain.data < 0.1,
    f"below median - 3 sigma = {clip:.1f}": plain.data < clip,
    "ccdmask": ccdp.ccdmask(plain.data),
    "ccdmask, 30 sigma": ccdp.ccdmask(plain.data, lsigma=30, hsigma=30),
    "ccdmask of a ratio of flats": ccdp.ccdmask(ratio),
}
print(HEAD)
for name, mask in rivals.items():
    count(name, mask)
count("find_bad_response", found.dead | found.low | found.hot)

# %%
# A threshold rejects whole orders and still misses dead pixels in the bright ones. The spread of
# all in-order pixels is dominated by the blaze and the different brightness of the orders, so
# nothing is three sigma below the median. `ccdproc.ccdmask` finds the bad pixels, but its running
# median knows nothing of the order edges, where thousands of good pixels are lost; a higher limit
# saves most of these and misses a few bad ones. In the ratio of two flats the edges are gone, but
# so are most of the dead pixels: one with a tenth of the response has it in both flats. What
# remains are pixels that do not respond in proportion to the light, such as hot pixels. That is
# what the task was made for.
#
# Look at the left panel: good pixels lie on the diagonal, over three decades. The horizontal line,
# a threshold, cuts through them. The inclined line, half of the expected value, has them on one
# side and the dead and low pixels on the other. The right panel shows the pixels that
# `ccdproc.ccdmask` considers bad: the false ones are along the order edges and the rim of the dust
# grain.

parts = normalize_flat(plain, orders)
expected = parts.blaze.data * parts.slit_profile.data
judged = inside & ~parts.blaze.mask & (plain.data > 0)
good = judged & ~bad
figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.6), layout="constrained")
some = np.flatnonzero(good)[::20]
axes[0].plot(
    expected.flat[some], plain.data.flat[some], ".", color="0.6", markersize=1.5,
    label="good (1 of 20)", rasterized=True,
)
for name, kind, color, marker in (
    ("hot", hot, PURPLE, "^"), ("low", low, ORANGE, "s"), ("dead", dead, VERMILLION, "o")
):
    kind = kind & judged
    axes[0].plot(expected[kind], plain.data[kind], marker, color=color, markersize=3, label=name)
ends = np.array([0.003, 8])
axes[0].plot(ends, ends / 2, color=BLUE, label="half of what is expected")
axes[0].axhline(0.1, color="black", linestyle="--", linewidth=1, label="threshold 0.1")
axes[0].set(
    xscale="log", yscale="log", xlim=ends, ylim=(1e-5, 20), xlabel="expected: blaze × slit profile",
    ylabel="value in the combined flat",
)
axes[0].legend(frameon=False, markerscale=1.5, fontsize="small", loc="lower right")
mask = rivals["ccdmask"]
colored = np.full((*mask.shape, 3), to_rgb(GOOD))
colored[~inside] = to_rgb(BETWEEN)
for where, color in ((mask & inside & ~bad, ORANGE), (mask & bad, BLUE)):
    colored[where] = to_rgb(color)
axes[1].imshow(colored, origin="lower", interpolation="nearest")
axes[1].set(title="ccdmask", xlabel="column (pixel)", ylabel="row (pixel)", **ZOOMS[0])
axes[1].legend(
    handles=[Patch(color=ORANGE, label="good, called bad"), Patch(color=BLUE, label="bad, found")],
    loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, frameon=False,
)
plt.show()

# %%
# In a science frame
# ------------------
#
# When a frame is divided by the flat, the mask of the flat is added to that of the frame.

science = ccdp.flat_correct(calibrated[0], master.flat, norm_value=1)
print(f"masked in the science frame: {science.mask.sum()} pixels")

# %%
# What to try next
# ----------------
#
# Make the lamp fainter (``peak``): in an order too faint to tell dead pixels from good ones, none
# are found. The quality table of the master flat counts dead, hot and low-sensitivity pixels, and
# can set limits on their number (:doc:`/guide/quality`).
