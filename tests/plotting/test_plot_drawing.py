# Licensed under a 3-clause BSD style license - see LICENSE.rst
import subprocess
import sys

import pytest

pytest.importorskip("matplotlib", reason="figures need matplotlib")

from matplotlib.figure import Figure

from ccdproc_echelle.plotting import plot_cross_section, plot_levels, plot_orders, plot_summary
from helpers.figures import ALONG_ROWS, flat_and_orders, some_levels, some_master


@pytest.mark.parametrize("draw", [
    lambda ax: plot_orders(*flat_and_orders(ALONG_ROWS), window=8, ax=ax),
    lambda ax: plot_cross_section(*flat_and_orders(ALONG_ROWS), ax=ax),
    lambda ax: plot_levels(some_levels(), ax=ax),
], ids=["orders", "cross_section", "levels"])
def test_given_axes_are_drawn_on_and_returned(draw):
    first, second = Figure().subplots(1, 2)

    assert draw(second) is second
    assert second.has_data() and not first.has_data()


def test_pyplot_knows_nothing_of_our_figures():
    from matplotlib import pyplot

    before = pyplot.get_fignums()

    plot_orders(*flat_and_orders(ALONG_ROWS))
    plot_cross_section(*flat_and_orders(ALONG_ROWS))
    plot_levels(some_levels())
    plot_summary(some_master(ALONG_ROWS))

    assert pyplot.get_fignums() == before


def test_package_is_imported_without_matplotlib_and_says_how_to_get_it():
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import numpy, ccdproc_echelle.plotting as plotting\n"
        "from ccdproc_echelle.simulation import EchelleSimulation as Simulation\n"
        "simulation = Simulation(shape=(60, 60), n_orders=2)\n"
        "try:\n"
        "    plotting.plot_orders(simulation.truth.flat, simulation.truth.orders)\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout == "figures need matplotlib: pip install ccdproc_echelle[plot]\n"
