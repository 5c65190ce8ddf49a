# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Raw frames of two amplifiers
============================

A CCD is read out through two amplifiers, each with its own gain and a zero point that drifts from
frame to frame. The files have one extension for each amplifier, including its overscan, and the
exposure time in the primary header. You will see the seam and the overscan in a raw frame, and a
master flat without a trace of either.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
from astropy.io import fits

from ccdproc_echelle import make_master_flat
from ccdproc_echelle.plotting import plot_orders
from ccdproc_echelle.simulation import EchelleSimulation, RawLayout

# %%
# The files
# ---------
#
# The simulation knows the truth, and writes files as a telescope would.

simulation = EchelleSimulation(shape=(400, 400), n_orders=6, seed=2).with_level_spread(0.3)
simulation = simulation.with_noise(gain=1.0, read_noise=5).with_bias(300)
layout = RawLayout(overscan=32, bias_drift=3, gains=(1.0, 1.5), extensions=True)
folder = TemporaryDirectory()
flats, darks, biases = simulation.write(Path(folder.name), 7, 3, 5, layout=layout)
with fits.open(flats[0]) as hdus:
    for hdu in hdus[1:]:
        cards = {card: hdu.header[card] for card in ("DETSEC", "DATASEC", "BIASSEC", "GAIN")}
        print(hdu.name, cards)
    halves = [hdu.data.astype(float) for hdu in hdus[1:]]

# %%
# Look at the overscan on the right of each image. The second amplifier was read from the opposite
# end, so its image is mirrored. It looks fainter because it has more electrons per adu.

figure, axes = plt.subplots(1, 2, figsize=(7, 5), sharey=True, layout="constrained")
for i, (ax, half) in enumerate(zip(axes, halves, strict=True), start=1):
    image = ax.imshow(half, origin="lower", vmin=300, vmax=6000, cmap="gray_r")
    ax.axvspan(199.5, 231.5, color="#0072B2", alpha=0.25, linewidth=0)
    ax.set(title=f"extension {i}", xlabel="column (pixel)")
    ax.text(215.5, 200, "overscan", rotation=90, ha="center", va="center", color="#0072B2")
axes[0].set_ylabel("row (pixel)")
figure.colorbar(image, ax=axes, label="signal (adu)", extend="both")
plt.show()

# %%
# The master flat
# ---------------
#
# The headers contain everything that is needed, including gains and sections, so no keyword has to
# be given.

orders = simulation.truth.orders
master = make_master_flat(flats, orders, bias=biases, dark=darks)
for card in ("AMPLIFS", "SUBOSCAN", "TRIMIM", "GAINCOR"):
    print(f"{card:8} {master.flat.header[card]}")

figure, ax = plt.subplots(figsize=(7, 5), layout="constrained")
plot_orders(master.flat, master.orders, ax=ax)
plt.show()

# %%
# Compared with the truth
# -----------------------
#
# Compare the levels, which are in electrons, the seam between the amplifiers, and the
# uncertainties:

truth = simulation.truth
levels = master.levels["level"].value / truth.levels(7)
inner = orders.inner_mask(10) & ~master.flat.mask
print(f"levels in {master.levels['level'].unit}: {np.ptp(levels) / levels.mean():.1e} off")
columns = np.arange(400)
left, right = (
    np.divide(*(image[inner & (abs(columns - middle) < 20)].sum()
                for image in (master.flat.data, truth.flat)))
    for middle in (179.5, 219.5)
)
print(f"seam: {100 * (left / right - 1):+.2f} %")
scale = master.flat.data[inner].mean() / truth.flat[inner].mean()
pulls = (master.flat.data - scale * truth.flat)[inner] / master.flat.uncertainty.array[inner]
print(f"pulls: {pulls.std():.3f}")

# %%
# Without the gains there would be a step of a third at the seam, and without the overscan the drift
# would affect faint orders more than bright ones.

folder.cleanup()

# %%
# What to try next
# ----------------
#
# Write the frames with another ``layout``, such as ``"eso"`` or ``"reference pixels"``, or describe
# your own instrument in a file: :doc:`/guide/raw_frames`. For a whole night of raw frames see
# :ref:`sphx_glr_generated_recipes_plot_night_on_dask.py`.
