# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
A real echelle in the laboratory
================================

Three flats and three darks of a laboratory echelle spectrometer with an sCMOS camera, which has
2160 rows and 2560 columns, with 29 orders along the rows. The orders were marked by hand in whole
pixels, some pixels off, and the faintest is more than a hundred times fainter than the brightest.
You will see how well the method works on real frames, and where it does not.

The script looks for the frames in the folder that the environment variable
``CCDPROC_ECHELLE_DATA`` names:

- ``zyla/zyla_flat_0?.fits.gz`` and ``zyla/zyla_dark_0?.fits.gz``, uint16 in adu;
- ``zyla/order_centres.txt``, one line for each column with the row of every order centre.

Without them, it says so and reduces a small simulation instead, in which the marks are three pixels
off, there are cosmic rays, and half a count is missing from the first flat.
"""

import os
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
from astropy.nddata import CCDData
from astropy.stats import mad_std
from astropy.wcs import FITSFixedWarning
from scipy import ndimage
from scipy.stats import norm

from ccdproc_echelle import EchelleOrderTable, FlatFlag, make_master_flat, recenter
from ccdproc_echelle.plotting import plot_cross_section, plot_levels, plot_orders
from ccdproc_echelle.simulation import EchelleSimulation

warnings.simplefilter("ignore", FITSFixedWarning)  # real headers have DATE-OBS without MJD-OBS

# %%
# The files
# ---------
#
# Gain and read noise are not in the headers. They were measured by photon transfer, from the
# variance of the difference of two flats as a function of their mean.

GAIN, READ_NOISE = 0.462, 3.07  # electron per adu, electron


def simulate(folder):
    """Write a small simulation in place of the real frames."""
    simulation = EchelleSimulation(
        shape=(1080, 1280), n_orders=15, seed=1, peak=4500, brightness_ratio=100
    )
    simulation = simulation.with_noise(gain=GAIN, read_noise=READ_NOISE).with_bias(120)
    simulation = simulation.with_scattered_light(0.02).with_cosmic_rays(100)
    flats, darks = simulation.write(folder, n_flats=3, n_darks=3)
    first = CCDData.read(flats[0])
    first.data = first.data - 0.5  # the zero point has drifted
    first.write(flats[0], overwrite=True)
    centers = folder / "order_centres.txt"
    simulation.truth.orders.shifted(3).write(centers, format="samples")
    return flats, darks, centers


folder = Path(os.environ.get("CCDPROC_ECHELLE_DATA", "no folder given"), "zyla")
temporary = TemporaryDirectory()
if folder.is_dir():
    flats = sorted(folder.glob("zyla_flat_0?.fits.gz"))
    darks = sorted(folder.glob("zyla_dark_0?.fits.gz"))
    centers = folder / "order_centres.txt"
    print(f"{len(flats)} flats and {len(darks)} darks of the laboratory echelle")
else:
    flats, darks, centers = simulate(Path(temporary.name))
    print(
        "No real frames: CCDPROC_ECHELLE_DATA does not name their folder.\n"
        "All that follows shows a SIMULATION in their place."
    )

# %%
# The master flat
# ---------------
#
# `recenter` moves the marked orders to where they are on a flat, and then one call does the rest.
# The darks have the exposure time of the flats and include the bias, so they are subtracted as they
# are.
#
# By default, scattered light would be subtracted from each frame. Here ``scattered_light="master"``
# subtracts it once, from the master, because the frames are then compared with each other to a
# thousandth, and three fitted surfaces would not agree that well.
#
# The edges of the faintest orders cannot be measured everywhere. Where they cannot, they are
# inferred from the measured parts and from the neighbouring orders, and a warning names them.
# Another warning names the orders that are too faint to divide by. A third one concerns the
# scattered light: the slit of this spectrograph has soft ends and its image faint wings, so that
# the light beside most orders does not fall off from their edges like that of a blurred slit.

for said in (  # the warnings just mentioned
    "edges of orders", "orders .* have too little light", "the light beside orders",
):
    warnings.filterwarnings("ignore", said)

first = CCDData.read(flats[0])
marked = EchelleOrderTable.read(centers, format="samples", shape=first.shape, dispersion_axis=1)
orders = recenter(first, marked)
print(f"the orders are moved by {np.nanmedian(orders.center() - marked.center()):+.1f} pixels")
master = make_master_flat(
    flats, orders, dark=darks, gain=GAIN, read_noise=READ_NOISE, scattered_light="master"
)
quality = dict(zip(master.quality["name"], master.quality["value"], strict=True))
print(f"scattered light: {100 * quality['scattered_light_fraction']:.1f} % of that on the orders")

# %%
# Look at the edges, in the image and in the cut: they follow both sides of the light although the
# marked centres are not in the middle, and they continue smoothly where an order fades or leaves
# the detector. The inter-order area is blank because it is set to 1.

figure, ax = plt.subplots(figsize=(9, 7), layout="constrained")
plot_orders(master.flat, master.orders, ax=ax)
plt.show()

# %%

figure, ax = plt.subplots(figsize=(9, 4), layout="constrained")
plot_cross_section(master.flat, master.orders, ax=ax)
plt.show()

# %%
# The levels, and the offset they reveal
# --------------------------------------
#
# The lamp is stable to a thousandth, and both passes measure its level far better than that. Yet
# the two differ by more than their errors. To see why, compare each frame with the mean of all,
# order by order, and also beside each order, between four and twenty pixels outside its edges.


def counts(path):
    return CCDData.read(path).data.astype(float)


dark = np.mean([counts(path) for path in darks], axis=0)
frames = [counts(path) - dark for path in flats]
levels = master.levels["level"].value
mean_frame = np.mean([frame / level for frame, level in zip(frames, levels, strict=True)], axis=0)
order_map = np.where(master.flat.mask, 0, master.orders.order_map())
beside_map = np.where(master.orders.order_map(margin=4) > 0, 0, master.orders.order_map(margin=20))


def mean_of_each_order(image, numbers):
    return ndimage.mean(image, numbers, master.orders.order_numbers)


brightness = mean_of_each_order(mean_frame, order_map)
ratios = [mean_of_each_order(frame, order_map) / brightness for frame in frames]
offsets = [
    mean_of_each_order(frame - level * mean_frame, beside_map)
    for frame, level in zip(frames, levels, strict=True)
]

# %%
# Look at the right panel. The first frame is fainter than the mean in the faintest orders (by up to
# two per cent in the real frames) but not in the bright ones: half a count is missing everywhere,
# including between the orders. The dashed lines show the effect of the offset measured beside each
# order; nothing is fitted. The zero point of the camera drifts from frame to frame, and the darks
# do not follow it. The second pass counts all orders equally and is slightly affected; this is why
# it leaves out pixels below a tenth of the mean.

figure, axes = plt.subplots(1, 2, figsize=(9.5, 4), layout="constrained")
plot_levels(master.levels, ax=axes[0])
rank = np.argsort(brightness)
for i, color in enumerate(("#0072B2", "#E69F00", "#009E73")):
    name = flats[i].name.split(".")[0]
    axes[1].plot(
        brightness, 100 * (ratios[i] / levels[i] - 1), "osd"[i], color=color, markersize=5,
        label=f"{name}, offset {offsets[i].mean():+.2f} adu",
    )
    axes[1].plot(
        brightness[rank], (100 * offsets[i] / levels[i] / brightness)[rank], "--", color=color,
        linewidth=1,
    )
axes[1].set(
    xscale="log", xlabel="mean of the order / level",
    ylabel="frame / mean of all frames \N{MINUS SIGN} 1 (%)",
)
axes[1].legend(frameon=False)
plt.show()

# %%
# Is the noise understood?
# ------------------------
#
# The uncertainty of the master depends on gain and read noise. If these are right, two frames, each
# divided by its level, differ by no more than their noise.


def variance(frame):
    return np.maximum(frame, 0) / GAIN + (READ_NOISE / GAIN) ** 2


inside = order_map > 0
difference = frames[1] / levels[1] - frames[2] / levels[2]
noise = np.sqrt(sum(variance(frames[i]) / levels[i] ** 2 for i in (1, 2)))
pull = (difference / noise)[inside]
print(f"difference / noise: standard deviation {pull.std():.3f}, robust {mad_std(pull):.3f}")
print(f"{(np.abs(pull) > 6).sum()} of {pull.size} pixels differ by more than 6 sigma")
low = (master.flags & FlatFlag.LOW_SENSITIVITY) > 0
print(f"{low.sum()} pixels of low sensitivity")

# %%
# Look at the wings. The Gaussian of width 1 matches the core, with nothing adjusted. Beyond it are
# a few pixels that were hit by cosmic rays, or that flicker, as sCMOS pixels do. These are what the
# clipping is for. The outermost bins include everything beyond them.

figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
bins = np.linspace(-12, 12, 97)
ax.hist(np.clip(pull, -12, 12), bins, histtype="step", color="#0072B2", label="two flats")
ax.plot(bins, pull.size * np.diff(bins)[0] * norm.pdf(bins), "k--", label="Gaussian of width 1")
ax.set(yscale="log", ylim=(0.5, 1e6), xlabel="difference / noise", ylabel="pixels in orders")
ax.legend(frameon=False)
plt.show()

temporary.cleanup()

# %%
# What to try next
# ----------------
#
# Use your own frames instead: three flats, three darks and a table of order centres are enough.
# :doc:`/guide/quality` explains the numbers, and :doc:`/limits` what to look out for.
