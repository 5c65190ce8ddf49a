# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Input and output: any input as frames that hand out rows, and files that are written whole."""

from ccdproc_echelle.frames.files import READING_KEYWORDS, FileFrame, uncompressed
from ccdproc_echelle.frames.listing import check_keywords, list_frames, open_frames
from ccdproc_echelle.frames.output import check_output, replacing
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
    warn_of_bare,
)

__all__ = [
    "READING_KEYWORDS",
    "FileFrame",
    "Frame",
    "MemoryFrame",
    "Section",
    "check_alike",
    "check_keywords",
    "check_output",
    "inverse_variance_weights",
    "list_frames",
    "open_frames",
    "replacing",
    "standard_deviation",
    "uncertainty_array",
    "uncompressed",
    "variance_array",
    "warn_of_bare",
]
