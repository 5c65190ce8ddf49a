# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Stacks of pixels: rejection algorithms, one class each, and the combination of what remains."""

from ccdproc_echelle._numeric.medians import median_variance_factors
from ccdproc_echelle.combining.clipping.extrema import ExtremaClipping
from ccdproc_echelle.combining.clipping.minmax import MinMaxClipping
from ccdproc_echelle.combining.clipping.rejection import Rejection
from ccdproc_echelle.combining.clipping.sigma import SigmaClipping
from ccdproc_echelle.combining.clipping.stack import CombinedStack, StackCombiner, block_size

__all__ = [
    "CombinedStack",
    "ExtremaClipping",
    "MinMaxClipping",
    "Rejection",
    "SigmaClipping",
    "StackCombiner",
    "block_size",
    "median_variance_factors",
]
