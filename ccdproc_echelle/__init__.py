# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Master flats for echelle spectrographs: an extension of ccdproc."""

from ccdproc_echelle.background import fit_scattered_light, subtract_scattered_light
from ccdproc_echelle.combine import combine_frames, two_pass_flat_combine
from ccdproc_echelle.edges import (
    detect_order_edges,
    fit_order_edges,
    mask_interorder,
    measure_order_edges,
)
from ccdproc_echelle.flags import FlatFlag
from ccdproc_echelle.flexure import frame_shift, measure_shift, recentre
from ccdproc_echelle.levels import inner_order_scale, measure_exposure_levels, one_level_test
from ccdproc_echelle.master import make_master_flat
from ccdproc_echelle.orders import EchelleOrderTable
from ccdproc_echelle.product import MasterFlat
from ccdproc_echelle.quality import flat_quality, order_quality, with_limits
from ccdproc_echelle.response import (
    NormalizedFlat,
    find_bad_response,
    mask_low_sensitivity,
    normalize_flat,
)
from ccdproc_echelle.stitching import stitch_flats
from ccdproc_echelle.tracing import trace_orders
from ccdproc_echelle.vetting import accepted_frames, vet_frames, vet_setup

try:
    from ccdproc_echelle._version import version as __version__
except ImportError:  # a source tree that was never built or installed
    __version__ = "unknown"

__all__ = [
    "EchelleOrderTable",
    "FlatFlag",
    "MasterFlat",
    "NormalizedFlat",
    "accepted_frames",
    "combine_frames",
    "detect_order_edges",
    "find_bad_response",
    "fit_order_edges",
    "flat_quality",
    "fit_scattered_light",
    "frame_shift",
    "inner_order_scale",
    "make_master_flat",
    "mask_interorder",
    "mask_low_sensitivity",
    "measure_exposure_levels",
    "measure_order_edges",
    "measure_shift",
    "normalize_flat",
    "one_level_test",
    "order_quality",
    "recentre",
    "stitch_flats",
    "subtract_scattered_light",
    "trace_orders",
    "two_pass_flat_combine",
    "vet_frames",
    "vet_setup",
    "with_limits",
]
