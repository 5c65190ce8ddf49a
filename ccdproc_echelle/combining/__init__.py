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
from ccdproc_echelle.combining.noting import Noted, Watch
from ccdproc_echelle.combining.progress import SILENT, Progress
from ccdproc_echelle.combining.scales import OrderScales, order_places
from ccdproc_echelle.combining.streaming import CombinedImages, RowTask, stream
from ccdproc_echelle.combining.tasks import n_workers_of, results_of

__all__ = [
    "SILENT",
    "CombineDiagnostics",
    "CombineSettings",
    "CombinedImages",
    "CombinedStack",
    "InnerOrderScale",
    "Noted",
    "OneLevelTest",
    "OrderScales",
    "Progress",
    "RowTask",
    "SigmaClipping",
    "StackCombiner",
    "Watch",
    "block_size",
    "combine_frames",
    "combine_with_levels",
    "inner_order_scale",
    "measure_exposure_levels",
    "measure_levels",
    "n_workers_of",
    "one_level_test",
    "order_places",
    "results_of",
    "stream",
    "two_pass_flat_combine",
    "with_common_errors",
]
