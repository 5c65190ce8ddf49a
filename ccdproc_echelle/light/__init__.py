# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Components of the light of a flat: scattered light, blaze, slit profile, pixel response."""

from ccdproc_echelle.light.faint import (
    check_min_signal_to_noise,
    faint_fractions,
    faint_pixels,
    usable_ranges,
)
from ccdproc_echelle.light.flags import UNUSABLE, FlatFlag, flag_cards
from ccdproc_echelle.light.response import (
    BadResponse,
    NormalizedFlat,
    check_sensitivity_keywords,
    find_bad_response,
    mask_low_sensitivity,
    normalize_flat,
)
from ccdproc_echelle.light.scattered_light import (
    fit_scattered_light,
    has_interorder_pixels,
    sample_scattered_light,
    subtract_scattered_light,
    unlit_borders,
)
from ccdproc_echelle.light.scattered_light_model import ScatteredLightModel
from ccdproc_echelle.light.scattered_sample import FrameSample, ScatteredLightSample
from ccdproc_echelle.light.stitching import stitch_flats
from ccdproc_echelle.light.surface import ScatteredLight, sums_of

__all__ = [
    "check_min_signal_to_noise",
    "check_sensitivity_keywords",
    "UNUSABLE",
    "BadResponse",
    "FlatFlag",
    "FrameSample",
    "NormalizedFlat",
    "ScatteredLight",
    "ScatteredLightModel",
    "ScatteredLightSample",
    "faint_fractions",
    "faint_pixels",
    "find_bad_response",
    "fit_scattered_light",
    "flag_cards",
    "has_interorder_pixels",
    "mask_low_sensitivity",
    "normalize_flat",
    "sample_scattered_light",
    "stitch_flats",
    "subtract_scattered_light",
    "sums_of",
    "unlit_borders",
    "usable_ranges",
]
