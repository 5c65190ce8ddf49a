# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Flats into one flat: levels, clipping, and the combination in sections of rows."""

from ccdproc_echelle.combining.clipping import (
    CombinedStack,
    SigmaClipping,
    StackCombiner,
    block_size,
)
from ccdproc_echelle.combining.combine import (
    CombineDiagnostics,
    CombineSettings,
    combine_frames,
    combine_with_levels,
    two_pass_flat_combine,
)
from ccdproc_echelle.combining.levels import (
    InnerOrderScale,
    OneLevelTest,
    inner_order_scale,
    measure_exposure_levels,
    measure_levels,
    one_level_test,
    with_common_errors,
)
from ccdproc_echelle.combining.scales import OrderScales, order_places
from ccdproc_echelle.combining.streaming import CombinedImages, RowTask, stream

__all__ = [
    "CombineDiagnostics",
    "CombineSettings",
    "CombinedImages",
    "CombinedStack",
    "InnerOrderScale",
    "OneLevelTest",
    "OrderScales",
    "RowTask",
    "SigmaClipping",
    "StackCombiner",
    "block_size",
    "combine_frames",
    "combine_with_levels",
    "inner_order_scale",
    "measure_exposure_levels",
    "measure_levels",
    "one_level_test",
    "order_places",
    "stream",
    "two_pass_flat_combine",
    "with_common_errors",
]
