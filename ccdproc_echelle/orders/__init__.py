# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Order tables and their file formats, tracing, order edges and flexure."""

from ccdproc_echelle.orders import formats, rasters
from ccdproc_echelle.orders.bad_rows import bad_row_pixels
from ccdproc_echelle.orders.checks import check_window
from ccdproc_echelle.orders.coarse_shift import UnmatchedOrdersError, WrongOrderTableError
from ccdproc_echelle.orders.columns import CURVE_LABELS
from ccdproc_echelle.orders.edges import (
    check_edge_keywords,
    detect_order_edges,
    fit_order_edges,
    measure_order_edges,
    poorly_measured,
    rough_order_edges,
)
from ccdproc_echelle.orders.flexure import (
    OrderShift,
    check_in_place,
    frame_shift,
    in_place,
    measure_shift,
    recenter,
    recentre,
    typical_width,
)
from ccdproc_echelle.orders.masking import mask_interorder
from ccdproc_echelle.orders.misplaced import warn_of_misplaced_edges
from ccdproc_echelle.orders.plausible import width_jumps
from ccdproc_echelle.orders.registry import (
    FORMATS,
    OrderTableFormat,
    able_formats,
    check_order_output,
    format_of,
    register_format,
)
from ccdproc_echelle.orders.slices import places_of
from ccdproc_echelle.orders.table import EchelleOrderTable, checked_orders
from ccdproc_echelle.orders.tracing import check_trace_keywords, trace_orders

__all__ = [
    "check_edge_keywords",
    "check_order_output",
    "CURVE_LABELS",
    "FORMATS",
    "EchelleOrderTable",
    "OrderShift",
    "OrderTableFormat",
    "UnmatchedOrdersError",
    "WrongOrderTableError",
    "able_formats",
    "bad_row_pixels",
    "check_in_place",
    "check_trace_keywords",
    "check_window",
    "checked_orders",
    "detect_order_edges",
    "fit_order_edges",
    "format_of",
    "formats",
    "frame_shift",
    "in_place",
    "mask_interorder",
    "measure_order_edges",
    "measure_shift",
    "places_of",
    "poorly_measured",
    "rasters",
    "recenter",
    "recentre",
    "register_format",
    "rough_order_edges",
    "trace_orders",
    "typical_width",
    "warn_of_misplaced_edges",
    "width_jumps",
]
