# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Input and output: any input as frames that hand out rows, and files that are written whole."""

from ccdproc_echelle.frames.calibrated import CalibratedFrame, NoiseModel, Plane, Subtraction
from ccdproc_echelle.frames.files import READING_KEYWORDS, FileFrame, uncompressed
from ccdproc_echelle.frames.gathering import gather_pixels
from ccdproc_echelle.frames.headers import exposure_time, observation_time
from ccdproc_echelle.frames.listing import (
    check_keywords,
    completed_keywords,
    list_frames,
    open_frames,
)
from ccdproc_echelle.frames.output import check_output, replacing
from ccdproc_echelle.frames.raw import AssembledFrame, RawFrame, Tile
from ccdproc_echelle.frames.readout import Readout, check_one_readout, warn_of_zero_points
from ccdproc_echelle.frames.regions import Regions
from ccdproc_echelle.frames.sections import Box
from ccdproc_echelle.frames.uncertainties import (
    standard_deviation,
    uncertainty_array,
    variance_array,
)
from ccdproc_echelle.frames.views import (
    Frame,
    MemoryFrame,
    Section,
    check_alike,
    inverse_variance_weights,
    warn_of_missing_uncertainties,
)

__all__ = [
    "READING_KEYWORDS",
    "AssembledFrame",
    "Box",
    "CalibratedFrame",
    "FileFrame",
    "Frame",
    "MemoryFrame",
    "NoiseModel",
    "Plane",
    "RawFrame",
    "Readout",
    "Regions",
    "Section",
    "Tile",
    "Subtraction",
    "check_alike",
    "check_keywords",
    "check_one_readout",
    "check_output",
    "completed_keywords",
    "exposure_time",
    "gather_pixels",
    "inverse_variance_weights",
    "list_frames",
    "observation_time",
    "open_frames",
    "replacing",
    "standard_deviation",
    "uncertainty_array",
    "uncompressed",
    "variance_array",
    "warn_of_missing_uncertainties",
    "warn_of_zero_points",
]
