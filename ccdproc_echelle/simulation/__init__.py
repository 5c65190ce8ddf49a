# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Simulated echelle flats with known truth, for tests, examples and benchmarks."""

from ccdproc_echelle.simulation.layouts import LAYOUTS, RawLayout
from ccdproc_echelle.simulation.nights import SimulatedNight
from ccdproc_echelle.simulation.simulation import EchelleSimulation
from ccdproc_echelle.simulation.truth import EchelleTruth

__all__ = [
    "LAYOUTS",
    "EchelleSimulation",
    "EchelleTruth",
    "RawLayout",
    "SimulatedNight",
]
