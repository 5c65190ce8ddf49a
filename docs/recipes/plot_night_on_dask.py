# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
A night on a dask cluster
=========================

A night's frames include flats of several set-ups, their biases and darks, and frames that are of no
use. You will see a single call sort them by their headers and reduce them on a `dask
<https://distributed.dask.org>`_ cluster, each set-up as a separate task. The result is the same to
the last bit as without the cluster. You need dask: ``python -m pip install ".[all,dask]"``.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
from distributed import Client, LocalCluster

from ccdproc_echelle import MasterFlat, reduce_night
from ccdproc_echelle.recipe import plan_night
from ccdproc_echelle.simulation import EchelleSimulation

# sphinx_gallery_thumbnail_number = 1

# %%
# The night
# ---------
#
# There are flats through two filters, and through one of them with a binned detector; biases for
# both binnings; and lamp-off frames. The lamp failed during one of the flats, one file is
# truncated, one frame is from another instrument, and one is a science frame.

folder = TemporaryDirectory()
raw, reduced = Path(folder.name, "raw"), Path(folder.name, "reduced")
raw.mkdir()
simulation = (
    EchelleSimulation(shape=(300, 300), n_orders=5, order_width=26, smallest_gap=8, seed=1)
    .with_noise(gain=1.5, read_noise=4)
    .with_bias(300)
    .with_level_spread(0.2)
    .with_dead_pixels(20)
)
night = simulation.write_night(raw)
print(len(list(raw.iterdir())), "files")

# %%
# The plan
# --------
#
# Look at the last lines, which say what is left out and why. The flat without light has a header
# like any other; it will be found when the set-up is reduced. Gain and read noise are in the
# headers, and the window is narrow enough for the binned orders.

keywords = dict(
    gain="GAIN", read_noise="RDNOISE", scattered_light=None,
    config={"setup": {"*2x2*": {"window": 6}}},
)
print(str(plan_night(raw, reduced, **keywords)).replace(str(raw), "raw"))

# %%
# On the cluster
# --------------
#
# ``get_executor`` turns the cluster into a `concurrent.futures.Executor`. On the command line, use
# ``ccdproc-echelle night raw -o reduced --scheduler tcp://scheduler:8786``.
#
# Because of ``processes=False``, both workers are threads of this process, so that the script runs
# as it is. Without it they are processes, which import the script again, so put its work under ``if
# __name__ == "__main__":``. If a cluster is already running, ``Client("tcp://scheduler:8786")``
# replaces both lines. ``local`` switches off dask's dashboard and keeps its status pages on this
# machine; by default, the whole network can read them. :doc:`/guide/scaling` says more about
# executors.

local = dict(
    dashboard_address="127.0.0.1:0", worker_dashboard_address="127.0.0.1:0",
    scheduler_kwargs={"dashboard": False},
)
with (
    LocalCluster(n_workers=2, threads_per_worker=1, processes=False, **local) as cluster,
    Client(cluster) as client,
):
    table = reduce_night(raw, reduced, executor=client.get_executor(), **keywords)
print(table["setup", "status", "verdict", "frames_used", "frames_refused"])

# %%
# Each set-up and its truth
# -------------------------
#
# Here are the three master flats, and their differences from the truth in units of their
# uncertainty. If the uncertainties are right, the standard deviation is 1. The binned flat shows
# the same orders as the first, with a quarter of the pixels.

figure, axes = plt.subplots(1, 3, figsize=(10, 3.6), layout="constrained")
for ax, (name, truth) in zip(axes, ((n, s.truth) for n, s in night.setups.items()), strict=True):
    colour, binning = name.split()
    row = next(row for row in table if f"{binning}-{colour}" in row["setup"])
    master = MasterFlat.read(reduced / row["master"])
    inside = truth.orders.inner_mask(6) & ~master.flat.mask
    scale = master.flat.data[inside].mean() / truth.flat[inside].mean()
    pulls = (master.flat.data - scale * truth.flat)[inside] / master.flat.uncertainty.array[inside]
    print(f"{name}: mean {pulls.mean():+.3f}, standard deviation {pulls.std():.3f}")
    shown = np.where(master.orders.order_map() > 0, master.flat.data, np.nan)
    image = ax.imshow(shown, vmin=0, vmax=2.5, cmap="gray", origin="lower")
    ax.set(title=name, xlabel="column (pixel)", facecolor="#d7ebf5")
axes[0].set_ylabel("row (pixel)")
figure.colorbar(image, ax=axes, label="master flat", extend="max", shrink=0.8)
plt.show()

# %%
# The frame without light was left out, and the product says why.

for path in sorted(reduced.glob("*/master.fits")):
    vetting = MasterFlat.read(path).vetting
    for row in vetting[~vetting["used"]]:
        print(f"{path.parent.name}, {Path(row['frame']).name}: {row['verdict']}")

# %%
# The same to the last bit
# ------------------------
#
# Everything is done again without the cluster, in another folder, and then once more in the first
# folder, where nothing is left to do.

again = Path(folder.name, "again")
reduce_night(raw, again, **keywords)
for path in sorted(reduced.glob("*/master.fits")):
    one, other = (MasterFlat.read(p).flat for p in (path, again / path.relative_to(reduced)))
    same = one.data.tobytes() == other.data.tobytes()
    same &= one.uncertainty.array.tobytes() == other.uncertainty.array.tobytes()
    print(f"{path.parent.name}: {same}")
print(reduce_night(raw, reduced, **keywords)["status"].tolist())

# %%
# ``reduced/index.html`` shows all set-ups on one page, and ``reduced/qc.ecsv`` has one row for
# each.

print(*sorted(path.relative_to(reduced).as_posix() for path in reduced.rglob("*.*")), sep="\n")
folder.cleanup()

# %%
# What to try next
# ----------------
#
# Simulate a larger night with ``ccdproc-echelle demo --night``, or run `reduce_night` on one of
# your own: :doc:`/guide/night`. :doc:`/guide/scaling` describes other ways to use many cores.
