# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Flat-fielding a science frame
=============================

A stellar spectrum can be divided by the whole master flat, or by its pixel response alone. Both
remove what differs from pixel to pixel; the difference is whether the blaze is kept. You will see a
simulated star divided in both ways, extracted, and compared with its true spectrum. Another recipe
shows :ref:`step by step <sphx_glr_generated_recipes_plot_soxs_recipe.py>` how the master flat
itself is made.
"""

import ccdproc as ccdp
import matplotlib.pyplot as plt
import numpy as np
from astropy import units as u
from astropy.nddata import CCDData

from ccdproc_echelle import make_master_flat, normalize_flat, two_pass_flat_combine
from ccdproc_echelle.simulation import EchelleSimulation

ORANGE, BLUE, VERMILLION = "#E69F00", "#0072B2", "#D55E00"
GAIN, READ_NOISE = 1.5 * u.electron / u.adu, 4 * u.electron

# %%
# The flats
# ---------
#
# Five raw flats and five darks of a spectrograph with eight orders, numbers 30 to 37. The response
# of its pixels differs by 3 %, there are six dust grains on the detector, and the slit transmits 10
# % more light at its upper end than in the middle. ``make_master_flat`` makes the master flat, and
# ``normalize_flat`` separates it into blaze, slit profile and pixel response.

simulation = (
    EchelleSimulation(
        shape=(512, 1024), n_orders=8, first_order=30, order_width=30, seed=4,
        pixel_response=0.03, slit_slope=0.1, brightness_ratio=4,
    )
    .with_noise(gain=GAIN.value, read_noise=READ_NOISE.value)
    .with_bias(300)
    .with_level_spread(0.1)
    .with_dust(6)
)
truth = simulation.truth
master = make_master_flat(
    simulation.flats(5, raw=True), truth.orders, dark=simulation.darks(5, raw=True),
    gain=GAIN, read_noise=READ_NOISE,
)
parts = normalize_flat(master.flat, master.orders)

# %%
# Look at the fourth panel: neither blaze nor slit profile is left in it, only pixels and dust.
# Inside the orders, the master flat at the top is the product of the other three. Between the
# orders, where the panels are blank, all four are 1.

inside = master.orders.order_map() > 0
images = {
    "master flat": (master.flat, 0, 2.5),
    "blaze": (parts.blaze, 0, 2.5),
    "slit profile": (parts.slit_profile, 0.8, 1.2),
    "pixel response": (parts.pixel_response, 0.9, 1.1),
}
figure, axes = plt.subplots(
    4, 1, figsize=(8, 7.5), sharex=True, sharey=True, layout="constrained"
)
for ax, (name, (part, low, high)) in zip(axes, images.items(), strict=True):
    shown = np.where(inside, part.data, np.nan)
    image = ax.imshow(shown, vmin=low, vmax=high, cmap="gray", origin="lower", aspect="auto")
    ax.set(title=name, ylabel="row (pixel)", facecolor="#d7ebf5")
    figure.colorbar(image, ax=ax, label="relative", pad=0.01)
axes[-1].set(xlabel="column (pixel)", xlim=(0, 1023), ylim=(0, 260))
plt.show()

# %%
# The star
# --------
#
# The light of the star takes the same path through slit and spectrograph as that of the lamp, to
# the same pixels. But relative to the lamp, its spectrum rises towards the blue and has absorption
# lines: a strong one of hydrogen, two of sodium, three of magnesium and a forest of faint ones. And
# seeing makes it a band 7 pixels wide within each order, while the lamp fills the slit.


def star_over_lamp(wavelength):
    """Colour and absorption lines of the star; wavelength in nm."""
    rng = np.random.default_rng(1)
    center = [656.3, 589.0, 589.6, 516.7, 517.3, 518.4, *rng.uniform(510, 665, 300)]
    depth = [0.7, 0.8, 0.75, 0.7, 0.75, 0.8, *rng.uniform(0, 0.4, 300)]
    width = [0.5, 0.07, 0.07, 0.09, 0.09, 0.09, *np.full(300, 0.05)]
    lines = np.ones(wavelength.shape)
    for c, d, w in zip(center, depth, width, strict=True):
        lines *= 1 - d * np.exp(-0.5 * ((wavelength - c) / w) ** 2)
    return lines * (wavelength / 590) ** -3


order_map = truth.orders.order_map()
order_number = truth.orders.order_numbers[:, np.newaxis]
row, column = np.indices(simulation.shape, sparse=True)
wavelength = 19500 / order_number * (1 + 0.022 * (column / 512 - 1))
ratio, seeing = np.zeros((2, *simulation.shape))
for i, spectrum in enumerate(star_over_lamp(wavelength)):
    here = order_map == order_number[i]
    ratio += here * spectrum
    seeing += here * np.exp(-0.5 * ((row - truth.orders.center()[i] - 2) / 3) ** 2)

LEVEL = 6000  # adu
smooth_flat = truth.flat / truth.pixel_response
light = LEVEL * smooth_flat * ratio * seeing  # as pixels without differences would see it
rng = np.random.default_rng(5)
electrons = rng.poisson(light * truth.pixel_response * GAIN.value)
electrons = electrons + READ_NOISE.value * rng.standard_normal(simulation.shape)
star = CCDData(electrons / GAIN.value, unit="adu")
star = ccdp.create_deviation(star, gain=GAIN, readnoise=READ_NOISE, disregard_nan=True)

# %%
# Two ways to divide
# ------------------
#
# Each takes one call to `ccdproc.flat_correct`, which propagates the uncertainty of the flat into
# the result. Both flats are already normalised, so ``norm_value=1``.

frames = {
    "not divided": star,
    "divided by the pixel response": ccdp.flat_correct(star, parts.pixel_response, norm_value=1),
    "divided by the master flat": ccdp.flat_correct(star, master.flat, norm_value=1),
}
expected = dict(zip(frames, (light, light, LEVEL * ratio * seeing), strict=True))

# %%
# Look at the dust grain: it is gone from both divided frames, and so is the mottling of the pixel
# response. What remains is photon noise, which grows towards the edge of the band, where the star
# is faint.

near = (slice(20, 41), slice(760, 840))
figure, axes = plt.subplots(1, 3, figsize=(9.5, 3.4), sharey=True, layout="constrained")
for ax, (name, frame) in zip(axes, frames.items(), strict=True):
    error = np.where(seeing > 0.1, 100 * (frame.data / np.fmax(expected[name], 1e-9) - 1), np.nan)
    image = ax.imshow(
        error[near], vmin=-10, vmax=10, cmap="RdBu_r", origin="lower", aspect="auto",
        extent=(near[1].start - 0.5, near[1].stop - 0.5, near[0].start - 0.5, near[0].stop - 0.5),
    )
    ax.set(title=name, xlabel="column (pixel)", yticks=range(20, 41, 5), facecolor="0.75")
axes[0].set_ylabel("row (pixel)")
figure.colorbar(image, ax=axes, label="frame / expected \N{MINUS SIGN} 1 (%)", extend="both")
plt.show()

# %%
# Extraction
# ----------
#
# In each column, the pixels between the edges of an order are summed, and so are their variances.

of_order = master.orders.order_map() == master.orders.order_numbers[:, np.newaxis, np.newaxis]
spectra = {name: (frame.data * of_order).sum(axis=1) for name, frame in frames.items()}
sigmas = {
    name: np.sqrt((frame.uncertainty.array**2 * of_order).sum(axis=1))
    for name, frame in frames.items()
}
true_spectra = {name: (image * of_order).sum(axis=1) for name, image in expected.items()}

# %%
# Look at how the orders overlap. Divided by the pixel response, each keeps its blaze, and a line
# that falls in two orders has different counts in each. Divided by the master flat, the blaze is
# gone and neighbouring orders agree. What remains is the spectrum of the star relative to that of
# the lamp; to recover the colour of the star itself, you need a standard star.

figure, axes = plt.subplots(2, 1, figsize=(10, 5.5), sharex=True, layout="constrained")
for ax, name in zip(axes, list(frames)[1:], strict=True):
    for i, color in zip((4, 3, 2), (BLUE, ORANGE, VERMILLION), strict=True):
        ax.plot(
            wavelength[i], spectra[name][i] / 1000, color=color, linewidth=0.8,
            label=f"order {master.orders.order_numbers[i]}",
        )
    ax.set(title=name, ylabel="sum (1000 adu)", ylim=(0, None))
axes[0].legend(frameon=False, ncols=3, loc="lower center")
axes[1].set(xlabel="wavelength (nm)", xlim=(wavelength[4].min(), wavelength[2].max()))
plt.show()

# %%
# Is it photon noise?
# -------------------
#
# If there is nothing but the photon noise of star and flats and the read noise, the error of each
# spectrum divided by its propagated uncertainty has an rms of 1.

errors = {name: spectra[name] - true_spectra[name] for name in frames}
for name, error in errors.items():
    pull = (error / sigmas[name]).std()
    relative = 100 * (error / true_spectra[name]).std()
    print(f"{name:30s} rms error {relative:.2f} %, rms error / uncertainty {pull:.2f}")

# %%
# Look at the first panel: the error is far larger than the two black lines, which are plus and
# minus one standard deviation. It is the same in every exposure, so exposing for longer does not
# reduce it. In the other two panels the error scatters as the lines say, and it is the same in
# both, because dividing by the blaze changes signal and noise alike.

figure, axes = plt.subplots(3, 1, figsize=(10, 6), sharex=True, sharey=True, layout="constrained")
colors = (VERMILLION, ORANGE, BLUE)
for ax, (name, error), color in zip(axes, errors.items(), colors, strict=True):
    scale = 100 / true_spectra[name][3]
    ax.plot(column[0], error[3] * scale, color=color, linewidth=0.8)
    for sign in (-1, 1):
        ax.plot(column[0], sign * sigmas[name][3] * scale, color="black", linewidth=1)
    ax.set(title=name, ylabel="error (%)", ylim=(-4, 4))
axes[-1].set(xlabel=f"column (pixel), order {master.orders.order_numbers[3]}", xlim=(0, 1023))
plt.show()

# %%
# Which of the two
# ----------------
#
# Divided by the pixel response, a frame keeps its counts, so photon noise can still be computed
# from the values, as optimal extraction or a search for cosmic rays requires. The blaze can be
# divided out of the spectra later: ``parts.table`` has it as one curve for each order. The result
# is the same as with the master flat, except for the slit profile, which is 1.013 two rows from the
# middle of this slit.

later = spectra["divided by the pixel response"] / parts.table["blaze"].value
print(f"blaze divided out later / at once: {np.median(later / spectra[name]):.4f}")

# %%
# Divided by the master flat, a frame has a flat sky along the slit, and orders that agree. But
# pixels at the edges, where the flat is small, become noisy, and noise can no longer be computed
# from the values.
#
# A trap
# ------
#
# Without ``norm_value``, `ccdproc.flat_correct` divides the flat by the mean of all its pixels. In
# an echelle, most of these are between the orders. Below are two master flats from the same frames,
# the second with the inter-order area set to 1: the star then gets twice the counts, and both are
# wrong.

calibrated = simulation.flats(5)
for flat in calibrated:
    flat.data -= simulation.bias
plain = two_pass_flat_combine(calibrated, master.orders, sigma_clip=True)
for name, flat in (("as combined", plain), ("inter-order area 1", master.flat)):
    right = ccdp.flat_correct(star, flat, norm_value=1)
    trapped = ccdp.flat_correct(star, flat)
    factor = np.median((trapped.data / right.data)[seeing > 0.5])
    print(f"master flat {name:19s} star without norm_value / with it: {factor:.3f}")

# %%
# What to try next
# ----------------
#
# Extract the star with specreduce instead: the :doc:`/tutorial` ends with an order extracted along
# the traces of ``orders.to_specreduce(frame, straighten=True)``.
