# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Can I believe the uncertainties?
================================

A pull is an error divided by its claimed uncertainty. If the claims are right, pulls follow a
Gaussian of width 1. You will see the pulls of a few and of many combined frames, those of the final
master flat, and what you can test on your own frames, for which the truth is unknown.
"""

import warnings

import ccdproc as ccdp
import matplotlib.pyplot as plt
import numpy as np
from astropy import units as u
from astropy.nddata import CCDData
from astropy.stats import mad_std
from scipy.stats import norm

from ccdproc_echelle import (
    combine_frames,
    make_master_flat,
    measure_exposure_levels,
    two_pass_flat_combine,
)
from ccdproc_echelle.simulation import EchelleSimulation

ORANGE, BLUE, VERMILLION, GREEN = "#E69F00", "#0072B2", "#D55E00", "#009E73"

# %%
# Frames with known truth
# -----------------------
#
# Twenty flats with bias and dark subtracted. The lamp varies by 30 %, and 60 cosmic rays hit each
# frame. The levels are measured once and used throughout, so that the ways to combine frames differ
# only in clipping and uncertainty.

GAIN, READ_NOISE = 1.5, 4.0  # electron per adu, electron

simulation = (
    EchelleSimulation(shape=(320, 320), n_orders=6, seed=4)
    .with_noise(gain=GAIN, read_noise=READ_NOISE)
    .with_level_spread(0.3)
    .with_cosmic_rays(60)
)
truth = simulation.truth
orders = truth.orders
inside = orders.order_map() > 0
frames = simulation.flats(20)
bare = [CCDData(frame.data, unit=frame.unit) for frame in frames]
scale = 1 / measure_exposure_levels(frames, orders)["level"].value
good = inside & ~truth.cosmic_rays(len(frames))

# %%
# Four ways to combine, all clipping at five deviations:
#
# - with the noise model, the deviation is the uncertainty of each value. This is the default for
#   frames with uncertainties;
# - with the MAD of the values of a pixel about their median, as `astropy.stats.mad_std` defines it.
#   The uncertainty of the result is propagated from the frames;
# - for frames without uncertainties, with the MAD corrected for small numbers. The uncertainty
#   comes from the scatter of the kept values;
# - `ccdproc.combine` with median and MAD, whose uncertainty also comes from the scatter. It clips
#   before it scales.
#
# In the table, the width of the pulls is that of a Gaussian with the same median absolute
# deviation, and the last column is the fraction of good values that were rejected. For few frames
# the MAD is often too small by chance: with three frames, it rejects 7 % of the good values.

clipping = dict(sigma_clip=True, sigma_clip_low_thresh=5, sigma_clip_high_thresh=5)
mad = dict(sigma_clip_func=np.ma.median, sigma_clip_dev_func=mad_std)
ways = {
    "noise model": (combine_frames, frames, {}),
    "median/MAD": (combine_frames, frames, mad),
    "no uncertainties": (combine_frames, bare, {}),
    "ccdproc.combine": (ccdp.combine, frames, mad),
}


def pulls(flat, true_flat=truth.flat):
    """Error / uncertainty of the in-order pixels; infinite where none at all is claimed."""
    with np.errstate(divide="ignore"):
        return ((flat.data - true_flat) / flat.uncertainty.array)[inside]


found = {}
for method in ("average", "median"):
    print(f"{method:20s} {'N':>5s} {'width':>8s} {'beyond 5 sigma':>16s} {'good lost':>12s}")
    for n in (3, 5, 10, 20):
        for name, (combine, stack, keywords) in ways.items():
            if combine is combine_frames:
                keywords = {**keywords, "diagnostics": True}
            flat = combine(stack[:n], scale=scale[:n], method=method, **clipping, **keywords)
            lost = ""
            if combine is combine_frames:
                flat, diagnostics = flat
                lost = f"{100 * diagnostics.rejected[good[:n]].mean():.3f} %"
            found[method, n, name] = pull = pulls(flat)
            beyond = 100 * (np.abs(pull) > 5).mean()
            print(f"  {name:18s} {n:5d} {mad_std(pull):8.3f} {beyond:14.2f} % {lost:>12s}")

# %%
# Look at the wings of the orange and red histograms for few frames. An uncertainty from the scatter
# of three values is often far too small by chance, the more so as clipping rejects a good value
# when the other two happen to be close to each other. With the noise model, the pulls are Gaussian
# even for three frames. The outermost bins include everything beyond them.

colors = {"noise model": BLUE, "no uncertainties": ORANGE, "ccdproc.combine": VERMILLION}
bins = np.linspace(-12, 12, 97)
numbers = (3, 5, 10, 20)
figure, axes = plt.subplots(2, 4, figsize=(10, 5.4), sharex=True, sharey=True, layout="constrained")
for row, method in zip(axes, ("average", "median"), strict=True):
    for ax, n in zip(row, numbers, strict=True):
        for name, color in colors.items():
            pull = np.clip(found[method, n, name], -11.9, 11.9)
            ax.hist(pull, bins, histtype="step", color=color, label=name, linewidth=1.2)
        ax.plot(bins, inside.sum() * np.diff(bins)[0] * norm.pdf(bins), "k--", label="Gaussian")
        ax.set(title=f"{method} of {n}", yscale="log", ylim=(0.6, 8000))
    row[0].set_ylabel("pixels in orders")
for ax in axes[1]:
    ax.set_xlabel("error / uncertainty")
figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
plt.show()

# %%
# The final master flat
# ---------------------
#
# This is the whole recipe, from eight raw flats and three raw darks with 3 % scattered light and a
# few dead pixels. The uncertainty now includes the noise of the darks, which is the same in all
# flats and does not average down.

night = simulation.with_bias(300).with_scattered_light(0.03).with_dead_pixels(20)
raw, darks = night.flats(8, raw=True), night.darks(3, raw=True)
noise = dict(gain=GAIN, read_noise=READ_NOISE)
master = make_master_flat(raw, orders, dark=darks, scattered_light="master", **noise)
claimed = master.flat.uncertainty.array
usable = inside & ~master.flat.mask & (claimed > 0)
true_flat = night.truth.flat / night.truth.flat[orders.inner_mask(10)].mean()
pull = (master.flat.data - true_flat)[usable] / claimed[usable]
print(
    f"error / uncertainty: mean {pull.mean():+.3f}, standard deviation {pull.std():.3f}, "
    f"largest {np.abs(pull).max():.1f} of {pull.size} pixels"
)

# %%
# Two halves of your frames
# -------------------------
#
# For your own frames there is no truth, but there are two halves. Reduce the odd and the even
# frames separately. The difference contains the noise of all flats, and half of it is the noise of
# the master, except for that of the darks, measured without any noise model:

halves = [
    make_master_flat(raw[i::2], orders, dark=darks, scattered_light="master", **noise).flat
    for i in (0, 1)
]
for half in halves:
    usable &= ~half.mask & (half.uncertainty.array > 0)
one, other = (half.data[usable] for half in halves)
sigma = np.hypot(*(half.uncertainty.array[usable] for half in halves))
print(f"noise of the master from the halves  {np.sqrt(np.mean((one - other) ** 2)) / 2:.5f}")
print(f"claimed by the master                {np.sqrt(np.mean(claimed[usable] ** 2)):.5f}")
print(f"chi-square of the halves, per pixel  {np.mean(((one - other) / sigma) ** 2):.3f}")

# %%
# Chi-square is the mean of the squared difference in units of its uncertainty. If the claims are
# right it is 1, to within the square root of two over the number of pixels.
#
# What chi-square tells you
# -------------------------
#
# Plotted against the signal, it tells you what is wrong. Here are five nights; on the first,
# everything is as claimed. The frames get their uncertainties from `ccdproc.create_deviation`,
# which is where a wrong gain or read noise comes in.


def frames_of(simulation, gain=GAIN, read_noise=READ_NOISE, zero_point=0.0):
    """Eight flats with the noise that this gain and read noise make."""
    flats = simulation.flats(8, uncertainty=False)
    return [
        ccdp.create_deviation(
            CCDData(flat.data + zero_point, unit="adu"), gain=gain * u.electron / u.adu,
            readnoise=read_noise * u.electron, disregard_nan=True,
        )
        for flat in flats
    ]


nights = {
    "all as claimed": frames_of(simulation),
    "gain 30 % too high": frames_of(simulation, gain=1.3 * GAIN),
    "read noise half of the true one": frames_of(simulation, read_noise=READ_NOISE / 2),
    "illumination tilted by up to 2 %": frames_of(simulation.with_drift(0.02)),
    "zero point 20 adu too high": frames_of(simulation, zero_point=20),
}
bins = np.geomspace(5, 30_000, 13)
middle = np.sqrt(bins[1:] * bins[:-1])
mean_level = 1 / scale[:8].mean()
curves, differences = {}, {}
print(f"{'chi-square of the pixels in orders':36s} halves   truth")
for name, flats in nights.items():
    with warnings.catch_warnings(record=True) as caught:
        one, other = (two_pass_flat_combine(flats[i::2], orders, **clipping) for i in (0, 1))
        both = two_pass_flat_combine(flats, orders, **clipping)
    difference = one.data - other.data
    square = (difference / np.hypot(one.uncertainty.array, other.uncertainty.array)) ** 2
    differences[name] = 200 * difference / (one.data + other.data)
    counts = np.histogram(mean_level * both.data, bins)[0]
    sums = np.histogram(mean_level * both.data, bins, weights=square)[0]
    known = counts > 30
    curves[name] = middle[known], (sums / np.maximum(counts, 1))[known], counts[known]
    print(f"  {name:34s} {square[inside].mean():6.3f}  {np.mean(pulls(both) ** 2):6.3f}")
    if caught:
        print(f"    warning: {caught[-1].message}")

# %%
# Look at where the lines depart from 1. A wrong gain gives the same factor for all bright pixels,
# while a wrong read noise shows only in the faint ones. The effect of a changing illumination grows
# with the signal; in the images on the right it is a slope across the detector, which neighbouring
# pixels share, unlike noise. The halves cannot reveal the case in the last row of the table: a zero
# point that is wrong in all frames is wrong in both halves, which agree, while the master is off.
# (The warning comes from another check: such an offset does not scale with the levels of the
# frames.) Only in the faintest pixels is chi-square below 1, as the noise model mistakes the zero
# point for light.

figure, axes = plt.subplots(
    1, 3, figsize=(10.5, 3.8), width_ratios=(1.4, 1, 1), layout="constrained"
)
styles = zip(curves.items(), ("black", VERMILLION, ORANGE, BLUE, GREEN), "osd^v", strict=True)
for (name, (signal, chi_square, n)), color, marker in styles:
    axes[0].errorbar(
        signal, chi_square, np.sqrt(2 / n) * chi_square, color=color, marker=marker, markersize=4,
        linewidth=1, label=name,
    )
axes[0].axhline(1, color="0.6", linewidth=0.8, zorder=0)
axes[0].set(
    xscale="log", ylim=(0, 3.1), xlabel="signal at the mean level (adu)",
    ylabel="chi-square of the halves",
)
axes[0].legend(frameon=False, loc="upper left")
for ax, name in zip(axes[1:], ("all as claimed", "illumination tilted by up to 2 %"), strict=True):
    blocks = np.where(inside, differences[name], np.nan).reshape(40, 8, 40, 8)
    enough = np.isfinite(blocks).sum(axis=(1, 3)) > 20
    mean = np.nanmean(np.where(enough[:, None, :, None], blocks, 0), axis=(1, 3))
    image = ax.imshow(
        np.where(enough, mean, np.nan), vmin=-1.5, vmax=1.5, cmap="RdBu_r", origin="lower",
        extent=(-0.5, 319.5, -0.5, 319.5), interpolation="nearest",
    )
    ax.set(title=name.split(" by")[0], xlabel="column (pixel)", facecolor="0.75")
axes[1].set_ylabel("row (pixel)")
figure.colorbar(
    image, ax=axes[1:], label="difference of the halves (%)", extend="both", shrink=0.8
)
plt.show()

# %%
# So the chi-square of the halves tests the noise model and the stability of the light. It does not
# test what all frames have in common: the zero point, the dark, the scattered light, and the
# difference between lamp light and sky light. For these, look at the light between the orders, and
# compare nights.

# %%
# What to try next
# ----------------
#
# Split your own flats in two and run the same test. A chi-square far from 1 points to the gain, the
# read noise or a drifting lamp (:doc:`/guide/quality`). :doc:`/method` says what the uncertainty
# includes, and :doc:`/proof` tests it on many more simulated spectrographs.
