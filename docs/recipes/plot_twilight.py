# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Twilight flats
==============

Nine flats of the twilight sky, which fades to a third of its brightness while they are taken. Stars
drift across the slit, and there are cosmic rays. You will see three ways to scale and clip the
frames, and what each of them leaves in the master: a star can be told from a brighter sky only once
the frames are scaled.
"""

import ccdproc as ccdp
import matplotlib.pyplot as plt
import numpy as np
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.stats import mad_std
from scipy.stats import theilslopes

from ccdproc_echelle import (
    combine_frames,
    measure_exposure_levels,
    subtract_scattered_light,
    two_pass_flat_combine,
)
from ccdproc_echelle.simulation import EchelleSimulation

ORANGE, BLUE, VERMILLION = "#E69F00", "#0072B2", "#D55E00"

# sphinx_gallery_thumbnail_number = 3

# %%
# The frames
# ----------
#
# The instrument is an `~ccdproc_echelle.simulation.EchelleSimulation` with ten orders, the first
# ten times brighter than the last. The sky is added by hand:
#
# - the level falls exponentially, to a third in eight minutes;
# - the gradient of the sky reverses as the Sun sinks: the illumination of the first frame rises by
#   1 % from the middle to the top of the detector, and that of the last frame falls by as much;
# - 1 % of the light is scattered, and the zero point of the detector is 4 adu above that of the
#   bias frames, which were taken that afternoon;
# - there is a bright star near the end of the slit in frame 4, and a faint one near its middle in
#   frame 7; they add 15 % and 3 % to the sky, in a streak along every order;
# - 60 cosmic rays hit each frame.
#
# Frame 1 was taken at 0 min, frame 9 at 8 min.

GAIN, READ_NOISE, N = 1.5, 4.0, 9  # electron per adu, electron, frames
ZERO_POINT = 4  # adu

instrument = EchelleSimulation(shape=(512, 512), n_orders=10, seed=3).with_scattered_light(0.01)
truth = instrument.truth
orders = truth.orders
inner, inside = orders.inner_mask(10), orders.order_map() > 0
shape = instrument.shape
minutes = np.arange(N, dtype=float)
true_levels = 10_000 * 3 ** (-minutes / minutes[-1])

rng = np.random.default_rng(1)
light = truth.flat + truth.pixel_response * truth.scattered_light
height = np.linspace(-1, 1, shape[0])[:, np.newaxis] * np.ones(shape)
height -= height[inner].mean()  # the mean illumination of the inner-order pixels is 1


def streak(amplitude, place):
    """What a star adds to the sky, where it is in the slit: 0 and 1 are its ends."""
    rows = np.arange(shape[0])[:, np.newaxis]
    trail = orders.lower() + place * (orders.upper() - orders.lower())
    return sum(amplitude * np.exp(-0.5 * ((rows - trail[k]) / 0.8) ** 2) for k in range(10))


stars = {3: streak(0.15, 0.15), 6: streak(0.03, 0.65)}
expected, frames, hits = [], [], []
for i, level in enumerate(true_levels):
    illumination = 1 + 0.01 * (1 - 2 * minutes[i] / minutes[-1]) * height
    expected.append(level * light * illumination + ZERO_POINT)
    counts = expected[i] + level * light * stars.get(i, 0)
    data = rng.poisson(counts * GAIN) / GAIN + rng.normal(0, READ_NOISE / GAIN, shape)
    hits.append(np.zeros(shape, dtype=bool))
    hits[i].flat[rng.choice(data.size, 60, replace=False)] = True
    data[hits[i]] += rng.uniform(300, 3000, 60)
    sigma = np.sqrt(np.maximum(data, 0) / GAIN + (READ_NOISE / GAIN) ** 2)
    frames.append(CCDData(data, unit="adu", uncertainty=StdDevUncertainty(sigma)))

# %%
# The levels
# ----------
#
# There are three ways to measure them: the median of the whole frame, which many scripts use; the
# mean of the inner-order pixels, which is the first pass; and the ratio to the first master, which
# is the second pass. ``measure_exposure_levels`` does both passes.


def inv_median(data):
    return 1 / np.median(data)


def relative(values):
    return values / values.mean()


def three_levels(frames):
    table = measure_exposure_levels(frames, orders)
    return {
        "whole-frame median": np.array([1 / inv_median(frame.data) for frame in frames]),
        "inner-order pixels, pass 1": table["pass_level"].value[:, 0],
        "ratio to first master, pass 2": table["level"].value,
    }, (table["level_uncertainty"] / table["level"]).value


levels, sigma = three_levels(frames)
print("first frame / last frame, truth    3")
for name, found in levels.items():
    print(f"  {name:32s} {found[0] / found[-1]:.4f}")
print(f"uncertainty of a level in pass 2   {100 * sigma.min():.4f} to {100 * sigma.max():.4f} %")

# %%
# The median of the whole frame is that of the few counts between the orders. There the zero point
# is a large part of the signal and does not fade with the sky, and because the values are skewed,
# noise shifts their median. The mean of the inner-order pixels is dominated by the bright orders,
# and thus affected by the gradient of the sky. In the second pass all orders count equally and the
# gradient averages out; what remains is the effect of the zero point. If the light between the
# orders is subtracted from each frame, as ``make_master_flat`` does by default, the zero point goes
# with it, and little is left for the median to measure. Two frames are enough to show this:

two = [subtract_scattered_light(frame, orders) for frame in (frames[0], frames[-1])]
print("the same, scattered light subtracted")
for name, found in three_levels(two)[0].items():
    print(f"  {name:32s} {found[0] / found[-1]:.4f}")

# %%
# Look at the right panel, which shows what can be seen without knowing the truth. As the sky should
# fade smoothly, a robust straight line is fitted to the logarithm of the levels; the axis is
# logarithmic above 0.1 %. Frame 7 is far above the line because its star lies within the window.
# The star of frame 4 lies outside, and only its wing reaches into the window. The slight curvature
# of the others is caused by the zero point. The error bars, which are those of the second pass,
# include nothing but the noise of the pixels, so a level that is off by many of them tells you that
# something else is going on.

styles = dict(zip(levels, zip((VERMILLION, ORANGE, BLUE), "sod", strict=True), strict=True))
figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for name, (color, marker) in styles.items():
    found = levels[name]
    axes[0].plot(minutes, found / found[0], marker, color=color, label=name)
    line = theilslopes(np.log(found), minutes)
    trend = np.exp(line.intercept + line.slope * minutes)
    error = sigma if name.endswith("2") else None
    axes[1].errorbar(
        minutes, 100 * (found / trend - 1), None if error is None else 100 * error, fmt=marker,
        color=color, capsize=3,
    )
axes[0].plot(minutes, true_levels / true_levels[0], color="0.6", zorder=0, label="truth")
axes[0].set(
    yscale="log", xlabel="time (min)", ylabel="level / level of the first frame",
    yticks=(0.3, 0.4, 0.6, 1), yticklabels=("0.3", "0.4", "0.6", "1"),
)
axes[0].minorticks_off()
axes[0].legend(frameon=False)
axes[1].axhline(0, color="0.6", linewidth=0.8, zorder=0)
axes[1].set_yscale("symlog", linthresh=0.1, linscale=2)
axes[1].set(
    xlabel="time (min)", ylabel="level / smooth fading \N{MINUS SIGN} 1 (%)", ylim=(-0.03, 2),
    yticks=(0, 0.05, 0.1, 0.5, 1), yticklabels=(0, 0.05, 0.1, 0.5, 1),
)
axes[1].minorticks_off()
plt.show()

# %%
# One pixel
# ---------
#
# To find the star in frame 4, its value must be compared with those of the same pixel in the other
# frames. The limits are five deviations on either side of the median.

row, column = np.unravel_index(np.argmax(np.where(inside, stars[3] * truth.flat, 0)), shape)
values = np.array([frame.data[row, column] for frame in frames])
noise = np.array([frame.uncertainty.array[row, column] for frame in frames])

figure, axes = plt.subplots(1, 3, figsize=(10, 3.8), layout="constrained")
scales = {
    "as it is": np.ones(N),
    "scaled by whole-frame median": 1 / relative(levels["whole-frame median"]),
    "scaled by level, pass 2": 1 / relative(levels["ratio to first master, pass 2"]),
}
number = np.arange(1, N + 1)
for i, (ax, (name, scale)) in enumerate(zip(axes, scales.items(), strict=True)):
    scaled, error = values * scale / 1000, noise * scale / 1000
    middle = np.median(scaled)
    ax.errorbar(number, scaled, error, fmt="o", color=BLUE, markersize=5)
    ax.plot(number[3], scaled[3], "o", color=VERMILLION, markersize=7, label="star", zorder=3)
    limit = 5 * (mad_std(scaled) * np.ones(N) if i == 0 else error)
    label = "limits: median/MAD" if i == 0 else "limits: noise model"
    ax.fill_between(
        number, middle - limit, middle + limit, step="mid", color="0.88", label=label, zorder=0
    )
    ax.set(title=name, xlabel="frame", xticks=number, ylim=(0, 80) if i == 0 else (18.8, 26))
    ax.legend(frameon=False, loc="upper right")
axes[0].set_ylabel("value (1000 adu)")
plt.show()

# %%
# Look at the widths of the grey bands. On the left, the fading makes the band so wide that the star
# is hidden in it: this is how `ccdproc.combine` clips, as it rejects outliers before it scales. In
# the middle the frames are scaled, but by wrong levels. The values still fade, and the first and
# last frames, which are good, fall outside the band of their own noise. On the right only the star
# is outside; the gradient of the sky, which no level can remove, is small compared with the limits.
#
# The master flats
# ----------------
#
# The truth is what the nine frames would give without noise, stars and cosmic rays.

clipping = dict(sigma_clip=True, sigma_clip_low_thresh=5, sigma_clip_high_thresh=5)
before = ccdp.combine(
    frames, scale=inv_median, sigma_clip_func=np.ma.median, sigma_clip_dev_func=mad_std, **clipping
)
scaled, lost = combine_frames(frames, scale=inv_median, diagnostics=True, **clipping)
after, lost_after = two_pass_flat_combine(frames, orders, diagnostics=True, **clipping)

hits, good = np.array(hits), np.array([inside & ~hit for hit in hits])
for i, star in stars.items():
    good[i] &= star < 0.001
for name, diagnostics in (("whole-frame median", lost), ("two passes", lost_after)):
    share = diagnostics.rejected[good].mean()
    print(f"good values rejected, {name:20s} {100 * share:.4f} %")

true_flat = np.mean([e / level for e, level in zip(expected, true_levels, strict=True)], axis=0)
true_flat /= true_flat[inner].mean()
clean = inside & ~hits.any(axis=0) & (sum(stars.values()) < 0.001)
bright, faint = inside & (stars[3] > 0.1), inside & (stars[6] > 0.02)
hit = inside & hits.any(axis=0)
masters = {
    "ccdproc.combine, whole-frame median": before,
    "combine_frames, whole-frame median": scaled,
    "two_pass_flat_combine": after,
}
ratios = {name: flat.data / np.mean(flat.data[inner]) / true_flat for name, flat in masters.items()}
print(f"left in the master, in %               bright star  faint star  {hit.sum()} ray pixels")
for name, ratio in ratios.items():
    left = [100 * (np.median(ratio[where]) - 1) for where in (bright, faint, hit)]
    print(f"{name:38s} {left[0]:+11.2f} {left[1]:+11.2f} {left[2]:+14.2f}")

# %%
# Look at the streak in the left panel, where the star and most of the cosmic rays remain. In the
# middle they are gone, and with them one in eight good values, from different frames in each pixel.
# As the frames are wrongly scaled, the pixels are then averages over different levels, and the
# master scatters by nearly twice as much. On the right there is only noise.

figure, axes = plt.subplots(1, 3, figsize=(10, 3.8), sharey=True, layout="constrained")
for ax, (name, ratio) in zip(axes, ratios.items(), strict=True):
    image = ax.imshow(
        np.where(inside, 100 * (ratio - 1), np.nan), vmin=-3, vmax=3, cmap="RdBu_r", origin="lower",
        interpolation="nearest",
    )
    scatter = 100 * mad_std(ratio[clean])
    title = name.replace(", ", "\n") + ("\n" if "," not in name else "")
    ax.set(
        title=title, xlabel="column (pixel)", xticks=(200, 250, 300), xlim=(200, 320),
        ylim=(150, 270), facecolor="0.75",
    )
    print(f"scatter of master / truth, {name:38s} {scatter:.2f} %")
axes[0].set_ylabel("row (pixel)")
figure.colorbar(image, ax=axes, label="master / truth \N{MINUS SIGN} 1 (%)", extend="both")
plt.show()

# %%
# The faint star
# --------------
#
# A star of 3 % is within five deviations nearly everywhere. About a ninth of its light remains in
# all three masters. But the levels have shown which frame it is in, and the other eight make a
# master without it. A median removes less of the star and makes every pixel noisier.

kept = np.arange(N) != 6
masters = {
    "all frames, average": after,
    "all frames, median": two_pass_flat_combine(frames, orders, method="median", **clipping),
    "without frame 7, average": two_pass_flat_combine(
        [frame for frame, keep in zip(frames, kept, strict=True) if keep], orders, **clipping
    ),
}
for name, flat in masters.items():
    ratio = flat.data / true_flat
    noise = np.median(flat.uncertainty.array[clean] / true_flat[clean])
    print(
        f"{name:26s} left of the star {100 * (np.median(ratio[faint]) - 1):+.2f} %, "
        f"median uncertainty {100 * noise:.2f} %"
    )

# %%
# What to try next
# ----------------
#
# Make the faint star brighter, and see how bright it must be for the clipping to remove it. Flats
# of a lamp are treated in the same way in :ref:`sphx_glr_generated_recipes_plot_drop_in.py`;
# :doc:`/guide/levels` explains the levels, and :ref:`sphx_glr_generated_recipes_plot_pulls.py`
# tests the uncertainties.
