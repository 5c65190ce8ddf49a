# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Two lamps in one flat
=====================

A deuterium lamp is bright in the blue orders, a halogen lamp in the red ones. `stitch_flats` makes
one master flat from both. You will see which lamp is used for which order, that the seam between
them is invisible, and what the scaling adds to the uncertainty. The frames are simulated, so the
truth is known.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap

from ccdproc_echelle import (
    detect_order_edges,
    mask_interorder,
    mask_low_sensitivity,
    stitch_flats,
    two_pass_flat_combine,
)
from ccdproc_echelle.plotting import plot_cross_section
from ccdproc_echelle.simulation import EchelleSimulation

BLUE, VERMILLION = "#0072B2", "#D55E00"

# %%
# A master flat of each lamp
# --------------------------
#
# There are eight orders, with the bluest at the bottom. The deuterium lamp (D2) is 200 times
# brighter in the first order than in the last, and the halogen lamp (QTH) the other way round.
# Slit, blaze, pixel response and dead pixels belong to the instrument, so they are the same for
# both. There are five frames of each lamp.


def lamp(ratio, *, brightest=25_000, seed=6, shape=(400, 400), n_orders=8):
    """A lamp whose first order is ratio times brighter than its last one."""
    simulation = EchelleSimulation(
        shape=shape, n_orders=n_orders, seed=seed, brightness_ratio=ratio,
        peak=brightest * min(ratio, 1), tilt=0.03, curvature=0.06,
    )
    simulation = simulation.with_noise(gain=1.5, read_noise=4).with_level_spread(0.1)
    return simulation.with_cosmic_rays(40).with_dead_pixels(20)


simulations = {"D2": lamp(200), "QTH": lamp(1 / 200)}
orders = simulations["D2"].truth.orders
clipping = dict(sigma_clip=True, sigma_clip_low_thresh=5, sigma_clip_high_thresh=5)
frames = {"D2": simulations["D2"].flats(5), "QTH": simulations["QTH"].flats(10)[5:]}
flats = {name: two_pass_flat_combine(frames[name], orders, **clipping) for name in frames}

# %%
# One flat
# --------
#
# Each flat has a mean of 1 over the inner-order pixels, so one must be scaled to the other where
# both have signal. By default, this is the order in which their ratio is known best. The
# inter-order area is left as observed until the flats are stitched.

flat, provenance = stitch_flats(flats, orders, provenance=True)
for n in (1, 2):
    name, served, factor, error = (flat.header[f"LAMP{x}{n:03d}"] for x in ("", "O", "F", "E"))
    print(f"{name:4s} orders {served}, factor {factor:.4f}, relative uncertainty {error:.1e}")

# %%
# The lamps are not mixed: each order has the light of a single lamp from end to end. An optimally
# weighted sum of both lamps would gain a fifth in signal-to-noise in the two orders beside the
# seam, and hardly anything elsewhere:


def signal_to_noise(image, order):
    inner = order.inner_mask(10)
    return np.median(image.data[inner] / image.uncertainty.array[inner])


numbers = orders.order_numbers
ratios = {name: [signal_to_noise(one, k) for k in orders] for name, one in flats.items()}
served = [signal_to_noise(flat, k) for k in orders]
print("order " + "".join(f"{k:>8d}" for k in numbers))
for name, values in [*ratios.items(), ("stitched", served)]:
    print(f"{name:8s}" + "".join(f"{value:8.0f}" for value in values))
best = np.hypot(*ratios.values())
print("gain, % " + "".join(f"{value:8.1f}" for value in 100 * (best / served - 1)))

# %%
# Look at where the two lamps cross in the upper left panel: this is where the flat changes from one
# lamp to the other. On the right, the provenance map shows which lamp each pixel comes from. The
# seam follows the curves of the orders, midway between two of them. Below, the cut through the
# stitched flat falls with the light of the first lamp and rises with that of the second.

figure, panels = plt.subplot_mosaic(
    [["noise", "map"], ["cut", "cut"]], figsize=(10, 7.5), layout="constrained"
)
for (name, values), color, marker in zip(ratios.items(), (BLUE, VERMILLION), "os", strict=True):
    panels["noise"].plot(numbers, values, marker, color=color, label=name)
panels["noise"].plot(numbers, served, color="0.75", linewidth=4, zorder=0, label="stitched")
panels["noise"].set(
    yscale="log", xlabel="order number", ylabel="signal-to-noise ratio of a pixel", xticks=numbers,
    yticks=(25, 50, 100, 200, 400), yticklabels=(25, 50, 100, 200, 400),
)
panels["noise"].minorticks_off()
panels["noise"].legend(frameon=False, loc="lower center")
image = panels["map"].imshow(
    provenance, vmin=0.5, vmax=2.5, cmap=ListedColormap([BLUE, VERMILLION]), origin="lower",
    alpha=0.6,
)
for low, high in zip(orders.lower(), orders.upper(), strict=True):
    panels["map"].plot(low, color="black", linewidth=0.8)
    panels["map"].plot(high, color="black", linewidth=0.8)
bar = figure.colorbar(image, ax=panels["map"], ticks=(1, 2), shrink=0.6)
bar.ax.set_yticklabels(flats)
panels["map"].set(xlabel="column (pixel)", ylabel="row (pixel)", title="provenance")
plot_cross_section(flat, orders, ax=panels["cut"])
plt.show()

# %%
# Is the seam visible?
# --------------------
#
# A science frame with the same spectrum in all orders is divided by the stitched flat, and by one
# made by hand: the same two flats as they are, each with a mean of 1, joined along a straight row.

science = lamp(1).flats(11)[10]
row = np.arange(400)[:, np.newaxis]
seam = np.argmax(provenance == 2, axis=0)  # its row at each column
straight = np.where(row < seam.mean(), flats["D2"].data, flats["QTH"].data)
truth = lamp(1).truth
good = (orders.order_map() > 0) & ~truth.dead_pixels & ~truth.cosmic_rays(11)[10]
inner = {k: one.inner_mask(10) & good for k, one in zip(numbers, orders, strict=True)}


def spectra(flat):
    """Mean over the inner-order pixels at each column, relative to the middle of the order."""
    ratio = science.data / flat
    found = {k: np.nanmean(np.where(inner[k], ratio, np.nan), axis=0) for k in numbers}
    return {k: spectrum / np.median(spectrum[100:200]) for k, spectrum in found.items()}


by_hand, stitched = spectra(straight), spectra(flat.data)

# %%
# Look at order 14, which the straight row cuts: at its right end the frame is divided by the other
# lamp, and the spectrum rises to nearly twice its value. In the stitched flat, each order comes
# from one lamp from end to end, and all spectra are flat, including those on either side of the
# seam.

figure, axes = plt.subplots(1, 2, figsize=(10, 4.4), sharex=True, sharey=True, layout="constrained")
titles = ("by hand, straight seam", "stitch_flats")
for ax, found, title in zip(axes, (by_hand, stitched), titles, strict=True):
    for k, spectrum in found.items():
        color = BLUE if k <= 14 else VERMILLION
        ax.plot(spectrum + 0.3 * (k - 11), color=color, linewidth=0.7)
        ax.text(405, 1 + 0.3 * (k - 11), f"{k}", va="center")
    ax.set(title=title, xlabel="column (pixel)", xlim=(-10, 435))
axes[0].set_ylabel("science frame / flat, relative\n(orders shifted by 0.3)")
plt.show()

# %%
# What the seam adds to the uncertainty
# -------------------------------------
#
# The ratio of the lamps has an error, which is common to all pixels of a lamp. It is included in
# the uncertainty of each pixel and is also given separately in the header. As the stitched flat has
# a mean of 1, one lamp is too bright if the other is too faint, and the error of their ratio is the
# sum of the two. Here the ratio is measured in each of the orders in turn, with ``overlap``, and
# compared with the true one.

def true_ratio(simulations, orders, number):
    """Of QTH to D2 in an order, each with mean 1 over the inner-order pixels, as measured."""
    everywhere, order = orders.inner_mask(10), orders.select([number]).inner_mask(10)
    d2, qth = (
        sim.truth.flat[order].mean() / sim.truth.flat[everywhere].mean()
        for sim in simulations.values()
    )
    return qth / d2


def compare(header, true):
    """Relative error of the ratio of the factors, and its claimed uncertainty."""
    error = header["LAMPF001"] / header["LAMPF002"] / true - 1
    return error, header["LAMPE001"] + header["LAMPE002"]


compared = [
    compare(stitch_flats(flats, orders, overlap=k).header, true_ratio(simulations, orders, k))
    for k in numbers
]
# %%
# One set of frames is a single draw. Thirty small sets with three orders, each with a different
# seed, show whether the claim is right. Thirty draws measure this to 13 %, and slightly less than 1
# is expected: the noise of the overlap order is also in the mean by which each flat was divided, so
# part of it cancels.

pulls = []
for seed in range(30):
    small = {
        name: lamp(ratio, seed=seed, shape=(96, 96), n_orders=3).with_cosmic_rays(2)
        for name, ratio in (("D2", 20), ("QTH", 1 / 20))
    }
    table = small["D2"].truth.orders
    drawn = {"D2": small["D2"].flats(3), "QTH": small["QTH"].flats(6)[3:]}
    both = {name: two_pass_flat_combine(drawn[name], table, **clipping) for name in drawn}
    header = stitch_flats(both, table, overlap=12).header
    error, claim = compare(header, true_ratio(small, table, 12))
    pulls.append(error / claim)
print(f"error / uncertainty of {len(pulls)} ratios: rms {np.sqrt(np.mean(np.square(pulls))):.2f}")

# %%
# Look at the size of the error bars: they are smallest in the middle, where both lamps have signal
# and where the default overlap order is. The rest of the uncertainty is that of the pixels, and the
# pulls of the stitched flat are as they should be for both lamps.

figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
error, claim = 100 * np.transpose(compared)
ax.errorbar(numbers, error, claim, fmt="o", color=BLUE, capsize=3)
ax.axhline(0, color="0.6", linewidth=0.8, zorder=0)
ax.set(xlabel="overlap order", ylabel="error of the ratio of the lamps (%)", xticks=numbers)
plt.show()

everywhere = orders.inner_mask(10)
true = [sim.truth.flat / sim.truth.flat[everywhere].mean() for sim in simulations.values()]
expected = np.where(provenance == 1, true[0], true[1] / true_ratio(simulations, orders, 14))
expected /= expected[everywhere].mean()
for n, name in enumerate(flats, start=1):
    here = good & (provenance == n)
    pull = (flat.data - expected)[here] / flat.uncertainty.array[here]
    print(f"{name:4s} error / uncertainty: mean {pull.mean():+.3f}, spread {pull.std():.3f}")

# %%
# The rest of the recipe
# ----------------------
#
# The edges are measured on the stitched flat, in which each order is as bright as possible. Dead
# pixels, which are the same for both lamps, are found there too. Finally, the inter-order area is
# set to 1.

orders = detect_order_edges(flat, orders)
checked = mask_low_sensitivity(flat, orders)
final = mask_interorder(checked, orders, mask=False)
dead = simulations["D2"].truth.dead_pixels
print(f"dead pixels found: {(final.mask & dead).sum()} of {dead.sum()}")

# %%
# What to try next
# ----------------
#
# Add a third lamp to the dict. The ratio of two lamps is a single number, but the spectra of real
# lamps also differ within an order, and the flat contains the spectrum of the lamp used for that
# order. So calibrate the flux with a standard star divided by the same flat. :doc:`/guide/edges`
# says more about edges and the inter-order area, and
# :ref:`sphx_glr_generated_recipes_plot_pulls.py` about uncertainties.
