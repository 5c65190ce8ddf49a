# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Scattered light of a set of flats: measured on each, subtracted while their rows are read."""

import logging
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import replace
from functools import partial

import numpy as np
from astropy import units as u
from astropy.nddata import CCDData
from astropy.table import QTable

from ccdproc_echelle._tasks import results_of
from ccdproc_echelle._warnings import warn
from ccdproc_echelle.combining import Pixels, Progress, with_common_errors
from ccdproc_echelle.frames import (
    CalibratedFrame,
    Section,
    gather_pixels,
    with_added_variance,
)
from ccdproc_echelle.light import (
    ScatteredLight,
    ScatteredLightModel,
    has_interorder_pixels,
    model_scattered_light,
    subtract_scattered_light,
    sums_of,
)
from ccdproc_echelle.orders import EchelleOrderTable

__all__ = [
    "check_choice",
    "lost_fraction",
    "master_without_surface",
    "scattered_surfaces",
    "with_response_scatter",
    "with_surface_errors",
    "without_surfaces",
]

_log = logging.getLogger(__name__)


def check_choice(scattered_light: str | None) -> None:
    """Raise if the choice is not valid."""
    if scattered_light not in ("frames", "master", None):
        raise ValueError(
            f"scattered_light is {scattered_light!r}, expected 'frames', 'master' or None"
        )


def scattered_surfaces(
    flats: Sequence[CalibratedFrame],
    orders: EchelleOrderTable,
    typical: CCDData,
    progress: Progress,
    executor: Executor | None,
) -> list[ScatteredLight]:
    """Scattered light of each flat; an empty list if the orders leave no room to measure it."""
    if not _is_room(orders):
        return []
    model = model_scattered_light(typical, orders)
    reading = [partial(gather_pixels, flat, model.pixels) for flat in flats]
    with closing(results_of(reading, executor)) as gathered:
        # The model is too large to send to other machines for work that a thread does as fast.
        fits = (
            partial(_measured, flat.name, pixels, model)
            for flat, pixels in zip(flats, gathered, strict=True)
        )
        surfaces = list(progress.counted(results_of(fits, None), len(flats)))
    for remark in dict.fromkeys(surface.remark for surface in surfaces if surface.remark):
        warn(remark)
    return surfaces


def _measured(name: str, pixels: Section, model: ScatteredLightModel) -> ScatteredLight:
    pixels = Pixels(pixels.data, pixels.good, pixels.variance).of_known_noise()
    sigma = None if pixels.variance is None else np.sqrt(pixels.variance)
    try:
        return model.measure(pixels.data, pixels.good, sigma)
    except ValueError as error:
        raise ValueError(f"scattered light of {name}: {error}") from error


def without_surfaces(flats: Sequence[CalibratedFrame], surfaces: Sequence) -> list[CalibratedFrame]:
    """
    The flats minus their scattered light, if it was measured.

    The scatter of the pixel response times that light is left out of their noise, because it is the
    same in all flats and does not average down; `with_response_scatter` adds it to the master.
    """
    if not surfaces:
        return list(flats)
    return [
        replace(flat, surface=replace(surface, response_scatter=0.0))
        for flat, surface in zip(flats, surfaces, strict=True)
    ]


def with_response_scatter(flat: CCDData, surfaces: Sequence, levels: QTable) -> CCDData:
    """Add the scatter of the response, times the scattered light, to the noise of the master."""
    if flat.uncertainty is None or not any(surface.response_scatter for surface in surfaces):
        return flat
    scatter = np.mean([
        surface.response_scatter * surface.coefficients / level
        for surface, level in zip(surfaces, levels["level"].value, strict=True)
    ], axis=0)
    light = replace(surfaces[0], coefficients=scatter).light(dtype=flat.data.dtype)
    return with_added_variance(flat, light**2)


def with_surface_errors(
    levels: QTable, surfaces: Sequence, flat: CCDData, orders: EchelleOrderTable, window: float
) -> QTable:
    """The levels, with the errors of the surfaces included in their uncertainties."""
    if not surfaces:
        return levels

    def errors_of(weights: np.ndarray) -> np.ndarray:
        return sums_of(surfaces, weights)[1]

    return with_common_errors(levels, errors_of, flat, orders, window=window)


def lost_fraction(
    scattered_light: str | None,
    surfaces: Sequence,
    levels: QTable,
    orders: EchelleOrderTable,
    window: float,
) -> float:
    """Mean fraction of the light on the order centres that was scattered light."""
    if scattered_light is None:
        return 0.0
    if not surfaces:
        return np.nan
    inner = orders.inner_mask(window)
    scattered = sums_of(surfaces, inner)[0] / np.count_nonzero(inner)
    # A flat is its level times the master, whose mean there is 1.
    fraction = float(np.mean(scattered / (scattered + levels["level"].value)))
    _log.info("scattered light %.2f %% of the light on the order centres", 100 * fraction)
    return fraction


def master_without_surface(
    flat: CCDData, orders: EchelleOrderTable, window: float
) -> tuple[CCDData, float]:
    """
    Subtract the scattered light from a master, and normalise it to mean 1 over the inner-order
    pixels.

    Also returns the fraction of the light there that was scattered; NaN if there was no room to
    measure it.
    """
    if not _is_room(orders):
        return flat, np.nan
    inner = orders.inner_mask(window) & ~flat.mask
    darker = subtract_scattered_light(flat, orders)
    before, mean = (np.mean(image.data[inner], dtype=float) for image in (flat, darker))
    result = darker.divide(mean * u.dimensionless_unscaled, handle_meta="first_found")
    result.data = result.data.astype(flat.data.dtype)
    return result, float(1 - mean / before)


def _is_room(orders: EchelleOrderTable) -> bool:
    if has_interorder_pixels(orders):
        return True
    warn("no room between the orders: the scattered light is not subtracted")
    return False
