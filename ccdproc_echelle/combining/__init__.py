# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Combine flats: exposure levels, clipping, and combination in sections of rows."""

from ccdproc_echelle.combining.clipping import (
    CombinedStack,
    ExtremaClipping,
    MinMaxClipping,
    Rejection,
    SigmaClipping,
    StackCombiner,
    block_size,
)
from ccdproc_echelle.combining.combine import (
    CombineDiagnostics,
    combine_frames,
    combine_with_scales,
)
from ccdproc_echelle.combining.common_errors import with_common_errors
from ccdproc_echelle.combining.fitness import (
    Survey,
    check_flats,
    refuse_frames_without_light,
)
from ccdproc_echelle.combining.frame_scale import InnerOrderScale, inner_order_scale
from ccdproc_echelle.combining.known_noise import NOISE_KEYWORDS, noise_cards, tell_noise
from ccdproc_echelle.combining.levels import measure_exposure_levels, measure_levels
from ccdproc_echelle.combining.likeness import (
    MAX_RESIDUAL,
    MAX_SHIFT,
    Compared,
    InnerPixels,
    compared,
    inner_order_pixels,
)
from ccdproc_echelle.combining.noise import (
    MeasuredNoise,
    PixelPairs,
    measure_noise,
    noise_of_pairs,
)
from ccdproc_echelle.combining.noting import Noted, Watch
from ccdproc_echelle.combining.one_level import OneLevelTest, one_level_test
from ccdproc_echelle.combining.pixels import Pixels
from ccdproc_echelle.combining.progress import SILENT, Progress
from ccdproc_echelle.combining.scales import OrderScales, order_places
from ccdproc_echelle.combining.settings import CombineSettings
from ccdproc_echelle.combining.streaming import CombinedImages, RowTask, stream
from ccdproc_echelle.combining.thinned import ThinnedStack, thinned
from ccdproc_echelle.combining.two_pass import (
    check_two_passes,
    combine_with_levels,
    two_pass_flat_combine,
)

__all__ = [
    "MAX_RESIDUAL",
    "MAX_SHIFT",
    "Compared",
    "InnerPixels",
    "compared",
    "inner_order_pixels",
    "NOISE_KEYWORDS",
    "SILENT",
    "CombineDiagnostics",
    "CombineSettings",
    "CombinedImages",
    "CombinedStack",
    "ExtremaClipping",
    "InnerOrderScale",
    "MeasuredNoise",
    "MinMaxClipping",
    "Noted",
    "OneLevelTest",
    "OrderScales",
    "PixelPairs",
    "Pixels",
    "Progress",
    "Rejection",
    "RowTask",
    "SigmaClipping",
    "StackCombiner",
    "Survey",
    "ThinnedStack",
    "Watch",
    "block_size",
    "check_flats",
    "check_two_passes",
    "combine_frames",
    "combine_with_levels",
    "combine_with_scales",
    "inner_order_scale",
    "measure_exposure_levels",
    "measure_levels",
    "measure_noise",
    "noise_cards",
    "noise_of_pairs",
    "one_level_test",
    "order_places",
    "refuse_frames_without_light",
    "stream",
    "tell_noise",
    "thinned",
    "two_pass_flat_combine",
    "with_common_errors",
]
