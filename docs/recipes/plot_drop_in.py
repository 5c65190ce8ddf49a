# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Drop-in for a ccdproc script
============================

A script that combines flats with `ccdproc.combine`, in the style of the `CCD data reduction guide
<https://www.astropy.org/ccd-reduction-and-photometry-guide/>`_, needs only three of its lines
changed. You will see both versions run on the same simulated files: how well they measure the level
of the lamp, which cosmic rays stay in the flat, and whether their uncertainties are right.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import ccdproc as ccdp
import matplotlib.pyplot as plt
import numpy as np
from astropy import units as u
from astropy.stats import mad_std
from scipy.stats import norm

from ccdproc_echelle import (
    EchelleOrderTable,
    inner_order_scale,
    measure_exposure_levels,
    two_pass_flat_combine,
)
from ccdproc_echelle.simulation import EchelleSimulation

# sphinx_gallery_thumbnail_number = 2

# %%
# A night's flats
# ---------------
#
# Seven raw flats and three darks of an echelle with twelve orders. The lamp varies by 35 % from
# frame to frame; its illumination is tilted slightly, by up to 0.5 %, in a different direction each
# time; 2 % of the light is scattered; and each flat is hit by 200 cosmic rays. There is little
# light between the orders, so the median of a whole frame says little about the lamp.

GAIN, READ_NOISE = 1.5 * u.electron / u.adu, 4 * u.electron

simulation = (
    EchelleSimulation(shape=(1024, 1024), n_orders=12, seed=1)
    .with_noise(gain=GAIN.value, read_noise=READ_NOISE.value)
    .with_bias(300)
    .with_level_spread(0.35)
    .with_drift(0.005)
    .with_scattered_light(0.02)
    .with_cosmic_rays(200)
)
truth = simulation.truth
folder = TemporaryDirectory()
simulation.write(folder.name, n_flats=7, n_darks=3)
truth.orders.write(Path(folder.name, "orders.ecsv"))

# %%
# What both versions share
# ------------------------
#
# The dark, which includes the bias, is subtracted, and then each flat is given its photon and read
# noise. The order of the two matters: `ccdproc.subtract_dark` passes the uncertainty of the dark on
# to a flat that has none, and `ccdproc.create_deviation` replaces it with that of the flat. Without
# the second step, the flats would claim to be as precise as the dark.


def inv_median(data):
    return 1 / np.median(data)


frames = ccdp.ImageFileCollection(folder.name, glob_include="*_??.fits")
darks = frames.files_filtered(imagetyp="DARK", include_path=True)
dark = ccdp.combine(darks, method="median")
flats = []
for flat in frames.ccds(imagetyp="FLAT"):
    flat = ccdp.subtract_dark(flat, dark, exposure_time="EXPTIME", exposure_unit=u.s)
    flat = ccdp.create_deviation(flat, gain=GAIN, readnoise=READ_NOISE, disregard_nan=True)
    flats.append(flat)

# %%
# Before
# ------

before = ccdp.combine(
    flats, method="average", scale=inv_median,
    sigma_clip=True, sigma_clip_low_thresh=5, sigma_clip_high_thresh=5,
    sigma_clip_func=np.ma.median, sigma_clip_dev_func=mad_std,
)

# %%
# After
# -----
#
# The function has another name, and ``orders`` takes the place of ``scale``. All keywords keep
# their meaning, and a misspelt one is an error. Without ``sigma_clip_dev_func``, each value would
# be judged by its own uncertainty, which works even better for few frames.

orders = EchelleOrderTable.read(Path(folder.name, "orders.ecsv"))
after = two_pass_flat_combine(
    flats, orders, method="average",
    sigma_clip=True, sigma_clip_low_thresh=5, sigma_clip_high_thresh=5,
    sigma_clip_func=np.ma.median, sigma_clip_dev_func=mad_std,
)

# %%
# The exposure levels
# -------------------
#
# The first pass of the method can also be used with `ccdproc.combine`, as
# ``scale=inner_order_scale(orders, window=10)``; the levels used for ``after`` come from two
# passes. Both, and the medians, are compared with the true levels of the simulation, each set
# relative to its mean.

true_levels = truth.levels(len(flats))
measured = {
    "whole-frame median": [1 / inv_median(flat.data) for flat in flats],
    "inner-order pixels, pass 1": [1 / inner_order_scale(orders, window=10)(f) for f in flats],
    "ratio to first master, pass 2": measure_exposure_levels(flats, orders)["level"].value,
}
errors = {
    name: levels / np.mean(levels) / (true_levels / true_levels.mean()) - 1
    for name, levels in measured.items()
}
for name, error in errors.items():
    print(f"largest error, {name:30s} {np.abs(error).max():.1e}")

# %%
# Look at how the errors shrink. The median of the whole frame measures about a hundred counts of
# scattered light between the orders, in steps of one count. The mean of the inner-order pixels is
# dominated by the bright orders, and thus affected by the tilt of the illumination. Once the frames
# are divided by the first master, all orders count equally, and the error is a hundredth of the
# noise of a single pixel of the master.

ORANGE, BLUE, VERMILLION = "#E69F00", "#0072B2", "#D55E00"

figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
number = np.arange(1, len(flats) + 1)
styles = zip(errors.items(), (VERMILLION, ORANGE, BLUE), "sod", strict=True)
for (name, error), color, marker in styles:
    ax.plot(number, 100 * np.abs(error), marker, color=color, label=name)
ax.set(yscale="log", xlabel="frame", ylabel="error of the exposure level (%)", ylim=(1e-4, 3))
ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False)
plt.show()

# %%
# The master flats
# ----------------
#
# The truth is what the seven frames would give without noise and cosmic rays. Flats may be
# normalised differently, so each is divided by its mean over the inner-order pixels.

inner = truth.orders.inner_mask(10)
inside = truth.orders.order_map() > 0
expected = np.mean(
    (truth.noiseless_flats(len(flats)) - simulation.bias) / true_levels[:, None, None], axis=0
)
expected /= expected[inner].mean()


def compare(flat):
    """Relative error of a flat, and its error in units of the uncertainty it claims."""
    mean = flat.data[inner].mean()
    error = flat.data / mean - expected
    return error / expected, error / (flat.uncertainty.array / mean)


hit = truth.cosmic_rays(len(flats)).any(axis=0) & inside
results = {
    "before: ccdproc.combine": compare(before),
    "after: two_pass_flat_combine": compare(after),
}
for name, (error, pull) in results.items():
    print(name)
    print(f"  rms error inside the orders       {100 * error[inside].std():.2f} %")
    print(f"  median error where a ray hit      {100 * np.median(error[hit]):+.2f} %")
    print(f"  of {hit.sum()} hits, left above 5 %       {(error[hit] > 0.05).sum()}")
    print(f"  error / uncertainty: rms, largest {pull[inside].std():.2f}, {pull[inside].max():.1f}")

# %%
# Look at the dark red pixels on the left, which are cosmic rays. `ccdproc.combine` rejects outliers
# before it scales the frames. As the lamp varies by 35 %, a cosmic ray has to stand out by far more
# than that to be rejected. Once they are scaled, the frames agree to within their noise, and cosmic
# rays stand out clearly.
#
# On the right, the errors are divided by the uncertainty that each master claims. They should
# follow the Gaussian, and those of the second version do. In the first version the uncertainty
# comes from the scatter of seven values, which is itself uncertain and often too small, hence the
# broad wings.

figure, axes = plt.subplots(1, 3, figsize=(10, 3.9), layout="constrained")
for ax, (name, (error, _)) in zip(axes, results.items(), strict=False):
    shown = np.where(inside, 100 * error, np.nan)
    image = ax.imshow(shown, vmin=-5, vmax=5, cmap="RdBu_r", origin="lower")
    ax.set(
        title=name, xlabel="column (pixel)", xlim=(640, 790), ylim=(560, 710), facecolor="0.75"
    )
axes[0].set_ylabel("row (pixel)")
figure.colorbar(image, ax=axes[:2], label="master / truth \N{MINUS SIGN} 1 (%)", extend="both")
bins = np.linspace(-10, 10, 81)
for (name, (_, pull)), color in zip(results.items(), (VERMILLION, BLUE), strict=True):
    axes[2].hist(pull[inside], bins, histtype="step", color=color, label=name.split(":")[0])
axes[2].plot(bins, inside.sum() * np.diff(bins)[0] * norm.pdf(bins), "k--", label="Gaussian")
axes[2].set(yscale="log", ylim=(0.5, 1e7), xlabel="error / uncertainty", ylabel="pixels")
axes[2].legend(frameon=False, loc="upper left")
plt.show()

# %%
# By themselves, wrong levels do little harm to the average: as long as the detector is illuminated
# in the same way in all frames, a wrong level only gives its frame a slightly wrong weight. Levels
# matter wherever frames are compared: in clipping, in estimating the scatter between them, and in
# following a lamp over time.
#
# Applying it
# -----------
#
# `ccdproc.flat_correct` divides by the mean of the whole flat unless told otherwise. For an echelle
# that mean is meaningless, as most of the detector is dark. A master flat made by this package is
# already normalised on its orders.

science = flats[0]
right = ccdp.flat_correct(science, after, norm_value=1)
scaled = ccdp.flat_correct(science, after)
print(f"mean of the whole flat: {after.data.mean():.3f}")
print(f"median of right / scaled: {np.median(right.data[inner] / scaled.data[inner]):.3f}")

folder.cleanup()

# %%
# What to try next
# ----------------
#
# Use your own files and your own order table (:doc:`/guide/order_tables`). :doc:`/ccd_guide` goes
# through the CCD guide keyword by keyword, and the :ref:`next recipe
# <sphx_glr_generated_recipes_plot_soxs_recipe.py>` shows what else can be done with the flats.
