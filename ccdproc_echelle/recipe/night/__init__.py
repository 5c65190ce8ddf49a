# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Reduce a night: read frames, sort them into set-ups, plan, reduce, and show the result.

The modules, in that order: ``kinds``, ``frames``, ``setups``, ``config``, ``tables``, ``plan``,
``product``, ``work``, ``page``, ``reduce``.
"""

from ccdproc_echelle.recipe.night.config import CONFIG_EXAMPLE, NightConfig
from ccdproc_echelle.recipe.night.frames import NightFrame, read_frames
from ccdproc_echelle.recipe.night.kinds import kind_of
from ccdproc_echelle.recipe.night.plan import NightJob, NightPlan, plan_night
from ccdproc_echelle.recipe.night.product import NightProduct
from ccdproc_echelle.recipe.night.reduce import carry_out, reduce_night
from ccdproc_echelle.recipe.night.setups import NightSetup, disagreement, sorted_into_setups
from ccdproc_echelle.recipe.night.work import NightResult

__all__ = [
    "CONFIG_EXAMPLE",
    "NightConfig",
    "NightFrame",
    "NightJob",
    "NightPlan",
    "NightProduct",
    "NightResult",
    "NightSetup",
    "carry_out",
    "disagreement",
    "kind_of",
    "plan_night",
    "read_frames",
    "reduce_night",
    "sorted_into_setups",
]
