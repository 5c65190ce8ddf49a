# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""From raw frames to a master flat with quality control; start reading at ``master``."""

from ccdproc_echelle.recipe.acceptance import accepted_frames
from ccdproc_echelle.recipe.calibration import Calibration, calibrate_frames
from ccdproc_echelle.recipe.calibration_masters import SharedNoise
from ccdproc_echelle.recipe.chi_square import reduced_chi_square
from ccdproc_echelle.recipe.config import read_config
from ccdproc_echelle.recipe.instruments import Instrument, instrument_names
from ccdproc_echelle.recipe.limits import checked_limits, with_limits
from ccdproc_echelle.recipe.master import make_master_flat
from ccdproc_echelle.recipe.metrics import METRICS, Metric, quality_cards
from ccdproc_echelle.recipe.night import (
    CONFIG_EXAMPLE,
    NightConfig,
    NightFrame,
    NightJob,
    NightPlan,
    NightProduct,
    NightResult,
    NightSetup,
    carry_out,
    plan_night,
    reduce_night,
)
from ccdproc_echelle.recipe.product import MasterFlat
from ccdproc_echelle.recipe.provenance import Provenance, provenance_of
from ccdproc_echelle.recipe.quality import flat_quality
from ccdproc_echelle.recipe.quality_by_order import order_quality
from ccdproc_echelle.recipe.report import report_on, write_report
from ccdproc_echelle.recipe.setups import SETUP_KEYWORDS, vet_setup
from ccdproc_echelle.recipe.soxs_names import SOXS_NAMES, from_soxs_names
from ccdproc_echelle.recipe.trends import quality_trends
from ccdproc_echelle.recipe.trimming import on_trimmed
from ccdproc_echelle.recipe.values import check_values
from ccdproc_echelle.recipe.vetting import vet_frames

__all__ = [
    "CONFIG_EXAMPLE",
    "METRICS",
    "SETUP_KEYWORDS",
    "SOXS_NAMES",
    "Calibration",
    "Instrument",
    "MasterFlat",
    "Metric",
    "NightConfig",
    "NightFrame",
    "NightJob",
    "NightPlan",
    "NightProduct",
    "NightResult",
    "NightSetup",
    "Provenance",
    "SharedNoise",
    "accepted_frames",
    "calibrate_frames",
    "carry_out",
    "check_values",
    "checked_limits",
    "flat_quality",
    "from_soxs_names",
    "instrument_names",
    "make_master_flat",
    "on_trimmed",
    "order_quality",
    "plan_night",
    "provenance_of",
    "quality_cards",
    "read_config",
    "quality_trends",
    "reduce_night",
    "reduced_chi_square",
    "report_on",
    "vet_frames",
    "vet_setup",
    "with_limits",
    "write_report",
]
