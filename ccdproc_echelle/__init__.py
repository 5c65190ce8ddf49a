# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Master flats for echelle spectrographs: an extension of ccdproc."""

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:  # for type checkers and editors; at run time names are resolved by __getattr__
    from ccdproc_echelle.combining import (
        combine_frames,
        inner_order_scale,
        measure_exposure_levels,
        measure_noise,
        one_level_test,
        two_pass_flat_combine,
    )
    from ccdproc_echelle.light import (
        FlatFlag,
        NormalizedFlat,
        find_bad_response,
        fit_scattered_light,
        mask_low_sensitivity,
        normalize_flat,
        stitch_flats,
        subtract_scattered_light,
    )
    from ccdproc_echelle.orders import (
        EchelleOrderTable,
        detect_order_edges,
        fit_order_edges,
        frame_shift,
        mask_interorder,
        measure_order_edges,
        measure_shift,
        recenter,
        trace_orders,
    )
    from ccdproc_echelle.orders import (
        recentre as recentre,  # alternative spelling
    )
    from ccdproc_echelle.recipe import (
        Instrument,
        MasterFlat,
        accepted_frames,
        flat_quality,
        instrument_names,
        make_master_flat,
        order_quality,
        reduce_night,
        vet_frames,
        vet_setup,
        with_limits,
    )

try:
    from ccdproc_echelle._version import version as __version__
except ImportError:  # a source tree that was never built or installed
    __version__ = "unknown"

__all__ = [
    "EchelleOrderTable",
    "FlatFlag",
    "Instrument",
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
    "instrument_names",
    "make_master_flat",
    "mask_interorder",
    "mask_low_sensitivity",
    "measure_exposure_levels",
    "measure_noise",
    "measure_order_edges",
    "measure_shift",
    "normalize_flat",
    "one_level_test",
    "order_quality",
    "recenter",
    "reduce_night",
    "stitch_flats",
    "subtract_scattered_light",
    "trace_orders",
    "two_pass_flat_combine",
    "vet_frames",
    "vet_setup",
    "with_limits",
]


def __dir__():
    return sorted(__all__)


# The wings, in the order in which they import each other.
_WINGS = ("frames", "orders", "combining", "light", "recipe")


def __getattr__(name):
    """A public name or a wing, imported on first access."""
    if name in _WINGS:
        return import_module(f"{__name__}.{name}")
    if name in __all__ or name == "recentre":
        for wing in map(__getattr__, _WINGS):
            if name in wing.__all__:
                return getattr(wing, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
