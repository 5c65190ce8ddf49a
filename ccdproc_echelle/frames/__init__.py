# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Input and output: frames that are read in rows from any input, and files written atomically."""

from ccdproc_echelle.frames.amplifiers import warn_of_other_images
from ccdproc_echelle.frames.bad_pixels import (
    MaskedFrame,
    known_bad_pixels,
    without_known_bad,
)
from ccdproc_echelle.frames.calibrated import (
    CalibratedFrame,
    NoiseModel,
    Plane,
    Subtraction,
    with_noise,
)
from ccdproc_echelle.frames.checksums import check_sums, has_damaged_data, write_fits
from ccdproc_echelle.frames.copies import check_roles, look_at, twins_of, warn_of_copies
from ccdproc_echelle.frames.derived import DerivedFrame
from ccdproc_echelle.frames.files import (
    READING_KEYWORDS,
    FileFrame,
    is_compressed,
    may_be_fits,
    uncompressed,
)
from ccdproc_echelle.frames.gathering import gather_pixels
from ccdproc_echelle.frames.headers import (
    EXPOSURE_KEY,
    IMAGE_TYPE_OF_MASTER,
    LONGEST_COMMENT,
    exposure_time,
    is_of_master_flat,
    keyword_name,
    n_combined,
    number_of,
    observation_time,
    record_cards,
    stated_date,
    without_file_cards,
)
from ccdproc_echelle.frames.legal import hdus_of, legal_header, printable
from ccdproc_echelle.frames.listing import (
    check_keywords,
    completed_keywords,
    list_frames,
    matching_paths,
    open_frames,
)
from ccdproc_echelle.frames.output import (
    FITS_ENDINGS,
    FOREIGN_ENDINGS,
    TEXT_ENDINGS,
    check_fits_name,
    check_output,
    replacing,
)
from ccdproc_echelle.frames.paths import user_path
from ccdproc_echelle.frames.raw import AssembledFrame, RawFrame, Tile
from ccdproc_echelle.frames.readout import Readout, check_one_readout, warn_of_zero_points
from ccdproc_echelle.frames.regions import Regions
from ccdproc_echelle.frames.sections import (
    Box,
    Place,
    parse_place,
    parse_slices,
    without_gaps,
)
from ccdproc_echelle.frames.uncertainties import (
    UNCERTAINTIES,
    standard_deviation,
    uncertainty_array,
    variance_array,
    with_added_variance,
)
from ccdproc_echelle.frames.views import (
    Frame,
    MemoryFrame,
    Metadata,
    Section,
    check_alike,
    check_real,
    inverse_variance_weights,
    warn_of_missing_uncertainties,
)

__all__ = [
    "EXPOSURE_KEY",
    "FITS_ENDINGS",
    "FOREIGN_ENDINGS",
    "IMAGE_TYPE_OF_MASTER",
    "LONGEST_COMMENT",
    "READING_KEYWORDS",
    "TEXT_ENDINGS",
    "AssembledFrame",
    "Box",
    "UNCERTAINTIES",
    "CalibratedFrame",
    "DerivedFrame",
    "FileFrame",
    "Frame",
    "MaskedFrame",
    "MemoryFrame",
    "Metadata",
    "NoiseModel",
    "Place",
    "Plane",
    "RawFrame",
    "Readout",
    "Regions",
    "Section",
    "Tile",
    "Subtraction",
    "check_alike",
    "check_keywords",
    "check_real",
    "check_one_readout",
    "check_fits_name",
    "check_output",
    "check_roles",
    "check_sums",
    "completed_keywords",
    "exposure_time",
    "gather_pixels",
    "hdus_of",
    "inverse_variance_weights",
    "keyword_name",
    "n_combined",
    "legal_header",
    "has_damaged_data",
    "is_compressed",
    "is_of_master_flat",
    "known_bad_pixels",
    "list_frames",
    "look_at",
    "matching_paths",
    "may_be_fits",
    "number_of",
    "observation_time",
    "open_frames",
    "parse_place",
    "parse_slices",
    "printable",
    "record_cards",
    "replacing",
    "standard_deviation",
    "stated_date",
    "twins_of",
    "uncertainty_array",
    "uncompressed",
    "user_path",
    "variance_array",
    "with_added_variance",
    "warn_of_copies",
    "warn_of_missing_uncertainties",
    "warn_of_other_images",
    "warn_of_zero_points",
    "with_noise",
    "without_file_cards",
    "without_gaps",
    "without_known_bad",
    "write_fits",
]
