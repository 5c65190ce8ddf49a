# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
A night on a dask cluster
=========================

A night holds flats of several set-ups: two positions of the cross-disperser, two slits, two
binnings. Here they are sorted by their headers and reduced on a `dask
<https://distributed.dask.org>`_ cluster, each set-up a job of its own. The result is the same to
the last bit as without the cluster.
"""

import warnings
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import ccdproc as ccdp
import matplotlib.pyplot as plt
import numpy as np
from astropy import units as u
from astropy.nddata import CCDData
from astropy.table import QTable, unique
from astropy.time import Time
from distributed import Client, LocalCluster

from ccdproc_echelle import EchelleOrderTable, make_master_flat, two_pass_flat_combine
from ccdproc_echelle.simulation import EchelleSimulation

COLORS = ("#0072B2", "#E69F00", "#D55E00", "#009E73")
GAIN, READ_NOISE, BIAS = 1.5 * u.electron / u.adu, 4 * u.electron, 300

# sphinx_gallery_thumbnail_number = 2

# %%
# The night
# ---------
#
# Flats were taken in the evening and in the morning, four of each set-up, and darks for each
# binning. Each time the lamp brightens by 5 % while it warms up, and in the morning it is 7 %
# fainter. Two things went wrong in the morning: one flat of the short slit was read out in another
# mode, and during one of the binned flats the lamp was off.

camera = dict(order_width=26, smallest_gap=7, shape=(600, 600), brightness_ratio=4, seed=1)
long_slit = EchelleSimulation(n_orders=8, first_order=30, **camera)
other_orders = EchelleSimulation(n_orders=10, first_order=38, **camera)
short_slit = EchelleSimulation(n_orders=8, **camera | dict(order_width=16, smallest_gap=12.5))
half = dict(order_width=13, smallest_gap=3.5, shape=(300, 300), psf_sigma=0.5)
binned = EchelleSimulation(n_orders=8, **camera | half)
# Cross-disperser, slit and binning: the truth, and the exposure level in adu with a warm lamp.
setups = {
    ("red", "long", "1 1"): (long_slit.truth, 9000),
    ("blue", "long", "1 1"): (other_orders.truth, 5000),
    ("red", "short", "1 1"): (short_slit.truth, 8000),
    ("red", "long", "2 2"): (binned.truth, 12000),
}
begin = {"evening": Time("2024-01-01T20:00:00"), "morning": Time("2024-01-02T07:00:00")}
full_light = {"evening": 1, "morning": 0.93}
rng = np.random.default_rng(1)
folder = TemporaryDirectory()


def lamp(minutes, part):
    """Light of the lamp, some minutes after it was switched on."""
    return full_light[part] * (1 - 0.05 * np.exp(-minutes / 10))


def expose(kind, setup, time, light, read_mode="slow"):
    """Write a raw frame."""
    truth, level = setups[setup]
    electrons = rng.poisson(light * level * truth.flat * GAIN.value)
    electrons = electrons + READ_NOISE.value * rng.standard_normal(truth.flat.shape)
    raw = np.rint(BIAS + electrons / GAIN.value).astype(np.uint16)
    header = {"IMAGETYP": kind, "EXPTIME": 10.0, "READMODE": read_mode}
    header |= dict(zip(("GRISM", "DECKER", "CCDSUM"), setup, strict=True))
    header |= {"DATE-OBS": time.isot, "MJD-OBS": time.mjd}
    path = Path(folder.name, f"{kind.lower()}_{time.strftime('%H%M%S')}.fits")
    CCDData(raw, unit="adu", meta=header).write(path)


for part, start in begin.items():
    for i in range(16):
        minutes = 1.5 * i
        off = (part, i) == ("morning", 14)
        expose(
            "FLAT", list(setups)[i // 4], start + minutes * u.min,
            0 if off else lamp(minutes, part),
            "fast" if (part, i) == ("morning", 9) else "slow",
        )
for i in range(6):
    setup = list(setups)[0 if i < 3 else 3]
    expose("DARK", setup, begin["morning"] + (30 + i) * u.min, 0)

# %%
# One order table serves each position of the cross-disperser. The slit is no part of it, as the
# edges are found on the flats, and ``rebinned`` turns it into that of a binned detector.

tables = {
    name: EchelleOrderTable.from_traces(
        orders.order_numbers, orders.center(), shape=orders.shape, dispersion_axis=1
    )
    for name, orders in (("red", long_slit.truth.orders), ("blue", other_orders.truth.orders))
}

# %%
# Sorted by headers
# -----------------
#
# `ccdproc.ImageFileCollection` reads the headers, and three keywords tell the set-ups apart. If
# one were forgotten, ``make_master_flat`` would notice: it compares all keywords that commonly
# describe a set-up.

night = ccdp.ImageFileCollection(folder.name)
keywords = ["grism", "decker", "ccdsum"]
found = unique(night.filter(imagetyp="FLAT").summary, keywords)[keywords]


def job_of(setup):
    """Flats, order table and darks of one set-up."""
    flats = night.files_filtered(include_path=True, imagetyp="FLAT", **setup)
    darks = night.files_filtered(include_path=True, imagetyp="DARK", ccdsum=setup["ccdsum"])
    binning = int(setup["ccdsum"][0])
    return list(flats), tables[setup["grism"]].rebinned(binning), list(darks)


def label(grism, decker, ccdsum):
    """Name of a set-up, for people."""
    return f"{grism}, {decker} slit, {ccdsum.replace(' ', 'x')}"


jobs = {}
for row in found:
    setup = dict(zip(keywords, row, strict=True))
    name = label(**setup)
    jobs[name] = job_of(setup)
    print(f"{name}: {len(jobs[name][0])} flats, {len(jobs[name][2])} darks")

# %%
# On the cluster
# --------------
#
# ``get_executor`` makes the cluster a `concurrent.futures.Executor`. A set-up is one job: the
# function and the names of its files are sent, the product comes back. ``reject="drop"`` leaves
# frames out that do not belong to the others.
#
# The jobs can also be smaller. With ``executor``, `two_pass_flat_combine` sends sections of rows,
# which helps where one set has many frames. Frames as small as these would be one section each;
# ``mem_limit`` makes it several.
#
# Both workers are threads of this process, as ``processes=False`` says, so that the page runs as it
# is. Without it they are processes, which import the script once more: then put its work below
# ``if __name__ == "__main__":``. For a cluster that is running already,
# ``Client("tcp://scheduler:8786")`` takes the place of both lines. ``local`` switches
# dask's dashboard off and keeps its status pages on this machine; by default the whole network may
# read them. More about executors is in :doc:`/guide/scaling`.

warnings.filterwarnings("ignore", ".*does not belong to the set")  # it is said below


def reduce_setup(flats, orders, darks):
    """Master flat of one set-up."""
    return make_master_flat(
        flats, orders, dark=darks, gain=GAIN, read_noise=READ_NOISE, reject="drop",
        scattered_light="master",
    )


flats, orders, darks = jobs["blue, long slit, 1x1"]
dark = ccdp.combine(darks, method="average")
frames = [
    ccdp.subtract_dark(CCDData.read(flat), dark, exposure_time="EXPTIME", exposure_unit=u.s)
    for flat in flats
]
frames = [
    ccdp.create_deviation(frame, gain=GAIN, readnoise=READ_NOISE, disregard_nan=True)
    for frame in frames
]
combine = partial(two_pass_flat_combine, frames, orders, mem_limit=20e6, sigma_clip=True)

local = dict(
    dashboard_address="127.0.0.1:0", worker_dashboard_address="127.0.0.1:0",
    scheduler_kwargs={"dashboard": False},
)
with (
    LocalCluster(n_workers=2, threads_per_worker=1, processes=False, **local) as cluster,
    Client(cluster) as client,
):
    executor = client.get_executor()
    futures = {name: executor.submit(reduce_setup, *job) for name, job in jobs.items()}
    masters = {name: future.result() for name, future in futures.items()}
    combined = combine(executor=executor)

# %%
# Two frames were left out, and the product says why.

for name, master in masters.items():
    for row in master.vetting[~master.vetting["used"]]:
        print(f"{name}, {Path(row['frame']).name}: {row['verdict']}")

# %%
# The same to the last bit
# ------------------------
#
# All of it once more, without the cluster.


def same(flat, other):
    """Whether two flats agree in each bit of value, uncertainty and mask."""
    pairs = zip(
        (flat.data, flat.uncertainty.array, flat.mask),
        (other.data, other.uncertainty.array, other.mask),
        strict=True,
    )
    return all(a.tobytes() == b.tobytes() for a, b in pairs)


for name, files in jobs.items():
    here, there = reduce_setup(*files), masters[name]
    equal_levels = np.array_equal(here.levels["level"], there.levels["level"])
    print(f"{name}: flat {same(here.flat, there.flat)}, levels {equal_levels}")
print(f"in sections of rows: flat {same(combine(), combined)}")

# %%
# The lamp over the night
# -----------------------
#
# The exposure levels are a by-product of each master flat. With the times of the frames they are
# the history of the lamp.

times = {Path(row["file"]).name: row["mjd-obs"] for row in night.summary}
history = QTable(names=("set-up", "frames", "evening", "morning", "change"),
                 dtype=("U20", int, float, float, float))
curves = {}
for name, master in masters.items():
    mjd = np.array([times[Path(frame).name] for frame in master.levels["frame"]])
    level = master.levels["level"].value
    curves[name] = mjd, level
    late = mjd > begin["morning"].mjd - 0.01
    means = level[~late].mean(), level[late].mean()
    history.add_row((name, len(level), *means, 100 * (means[1] / means[0] - 1)))
for column, form in (("evening", ".1f"), ("morning", ".1f"), ("change", "+.2f")):
    history[column].info.format = form
history["evening"].unit = history["morning"].unit = u.adu
history["change"].unit = u.percent
print(history)

# %%
# Look at the points of all set-ups: divided by the level that a warm lamp gives in their set-up,
# they follow one curve, the true light of the lamp, though they come from other orders, another
# slit and another binning. The two that are missing in the morning are the frames left out.

figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), sharey=True, layout="constrained")
order_of_setups = [label(*setup) for setup in setups]
largest = 0
for ax, (part, start) in zip(axes, begin.items(), strict=True):
    grid = np.linspace(-0.5, 24, 200)
    ax.plot(grid, lamp(grid, part), "k--", linewidth=1, label="true light of the lamp")
    styles = zip(order_of_setups, setups.values(), COLORS, "osD^", strict=True)
    for name, (_, warm), color, marker in styles:
        mjd, level = curves[name]
        minutes = (mjd - start.mjd) * 1440
        near = np.abs(minutes) < 60
        ax.plot(minutes[near], level[near] / warm, marker, color=color, label=name)
        error = level[near] / warm / lamp(minutes[near], part) - 1
        largest = max(largest, np.abs(error).max())
    ax.set(title=f"{part}, {start.strftime('%H:%M')}", xlabel="time since the first flat (min)")
axes[0].set_ylabel("level / level with a warm lamp")
axes[1].legend(frameon=False, fontsize="small")
print(f"largest error of a level: {largest:.1e}")
plt.show()

# %%
# Look at the axes and the orders: the other position of the cross-disperser has more orders, the
# short slit has narrower ones at the same places, and the binned flat shows the orders of the
# first on a quarter of its pixels.

figure, axes = plt.subplots(2, 2, figsize=(8, 7.2), layout="constrained")
for ax, name in zip(axes.flat, order_of_setups, strict=True):
    master = masters[name]
    shown = np.where(master.orders.order_map() > 0, master.flat.data, np.nan)
    image = ax.imshow(shown, vmin=0, vmax=2.2, cmap="gray", origin="lower")
    ax.set(title=name, facecolor="#d7ebf5")
for ax in axes[:, 0]:
    ax.set_ylabel("row (pixel)")
for ax in axes[1]:
    ax.set_xlabel("column (pixel)")
figure.colorbar(image, ax=axes, label="master flat", extend="max", shrink=0.6)
plt.show()

folder.cleanup()
