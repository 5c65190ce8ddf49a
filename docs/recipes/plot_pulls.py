# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Can I believe the uncertainties?
================================

A pull is an error divided by the uncertainty claimed for it. If the claims are right, pulls follow
a Gaussian of width 1. You will see the pulls of combined frames, few and many, those of the final
master flat, and what you can test on your own frames, where nobody knows the truth.
"""

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
# Twenty flats from which bias and dark have been subtracted. The lamp varies by 30 %, and 60 cosmic
# rays hit each frame. The levels are measured once and given to all ways to combine, so that only
# the clipping and the uncertainty differ.

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
# Four ways to clip at five deviations:
#
# - the noise model: a deviation is the uncertainty that each value has. This is the default where
#   frames have uncertainties;
# - median and MAD of the values of the pixel, as `astropy.stats.mad_std` defines it, with the
#   uncertainties of the frames in the result;
# - frames without uncertainties: MAD with its factor for few values, and the result has an
#   uncertainty from the scatter of the values that are left;
# - `ccdproc.combine` with median and MAD, whose uncertainty is from the scatter as well. It clips
#   before it scales.
#
# In the table, the width of the pulls is that of a Gaussian with the same median absolute
# deviation, and the last column is the share of good values that the clipping rejects. With few
# frames the MAD is small by chance too often: it rejects 7 % of the good values of three frames.

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
# Look at the wings of the orange and red histograms for few frames. Where the uncertainty comes
# from the scatter of three values, it is often far too small by chance, more so as the clipping
# rejects a good value when the two others happen to be close to each other. With the noise model
# the pulls are Gaussian from three frames on. The outermost bins hold all that is beyond them.

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
# The whole recipe, from eight raw flats and three raw darks, with 3 % scattered light and a few
# dead pixels. The uncertainty now contains the noise of the darks, which is the same in all flats
# and does not average down.

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
# On your own frames there is no truth, but there are two halves. Reduce the odd and the even ones
# on their own. Their difference contains the noise of all flats, and half of it is the noise of the
# master, except for that of the darks, measured without any noise model:

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
# Chi-square is the mean of the squared difference in units of its uncertainty. It is 1 if the
# claims are right, within the square root of two over the number of pixels.
#
# What chi-square tells
# ---------------------
#
# Plotted against the signal it says what is wrong. Here are five nights; on the first all is as
# claimed. Frames are given their noise by `ccdproc.create_deviation`, which is where a wrong gain
# or read noise comes in.


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

# %%
# Look at where the lines leave 1. A wrong gain is the same factor at all bright pixels, a wrong
# read noise shows in the faint ones only. Illumination that changes from frame to frame grows with
# the signal, and on the right it shows as a slope across the detector, which neighbouring pixels
# share and noise does not. The last row of the table is the one that the halves do not see in the
# orders: a zero point that is wrong in all frames is wrong in both halves. They agree, and the
# master is off. Only in the faintest pixels is chi-square below 1, as the noise model takes the
# zero point for light.

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
# So chi-square of the halves tests the noise model and the steadiness of the light. It does not
# test what all frames have in common: zero point, dark, scattered light, and the difference between
# the light of the lamp and that of the sky. For these, look at the light between the orders, and
# compare nights.

# %%
# What to try next
# ----------------
#
# Split your own flats in two and make the same test; a chi-square far from 1 points to the gain,
# the read noise or a drifting lamp (:doc:`/guide/quality`). What the uncertainty contains is in
# :doc:`/method`; many more simulated spectrographs are in :doc:`/proof`.
