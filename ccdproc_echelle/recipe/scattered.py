# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Scattered light of a set of flats: measured on each, subtracted while their rows are read."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from astropy import units as u
from astropy.nddata import CCDData
from astropy.table import QTable

from ccdproc_echelle._tasks import ahead, results_of
from ccdproc_echelle._warnings import warn
from ccdproc_echelle._words import and_others
from ccdproc_echelle.combining import Pixels, Progress, with_common_errors
from ccdproc_echelle.frames import (
    CalibratedFrame,
    Section,
    gather_pixels,
    with_added_variance,
)
from ccdproc_echelle.light import (
    FrameSample,
    ScatteredLight,
    ScatteredLightModel,
    ScatteredLightSample,
    has_interorder_pixels,
    sample_scattered_light,
    subtract_scattered_light,
    sums_of,
    unlit_borders,
)
from ccdproc_echelle.orders import EchelleOrderTable, rough_order_edges
from ccdproc_echelle.recipe.calibration import Calibration

__all__ = ["ScatteredLightOfSet", "check_choice", "edges_and_scattered_light", "lit_part"]

_log = logging.getLogger(__name__)


def check_choice(scattered_light: str | None) -> None:
    """Raise if the choice is not valid."""
    if scattered_light not in ("frames", "master", None):
        raise ValueError(
            f"scattered_light is {scattered_light!r}, expected 'frames', 'master' or None"
        )


def edges_and_scattered_light(
    typical: CCDData,
    orders: EchelleOrderTable,
    edge_keywords: Mapping[str, Any],
    scattered_light: str | None,
) -> tuple[EchelleOrderTable, ScatteredLightSample | None, np.ndarray | None]:
    """
    Choose where the scattered light is measured, for which only a typical frame is needed.

    Parameters
    ----------
    typical : `~astropy.nddata.CCDData`, shape (rows, columns)
        A typical flat.
    orders : `~ccdproc_echelle.EchelleOrderTable`
        The order centres.
    edge_keywords : dict
        Keywords of `~ccdproc_echelle.detect_order_edges`.
    scattered_light : {"frames", "master"} or None
        From what the scattered light is subtracted.

    Returns
    -------
    orders : `~ccdproc_echelle.EchelleOrderTable`
        The orders with approximate edges.
    sample : `~ccdproc_echelle.light.ScatteredLightSample` or None
        The pixels in which it is measured; `None` unless it is subtracted from the frames, and if
        there is no room between the orders.
    unlit : bool array, shape (rows, columns), or None
        Borders of the detector without light; `None` if there are none.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If there is no room between the orders.
    """
    orders = rough_order_edges(typical, orders, **edge_keywords)
    if scattered_light != "frames" or not _is_room(orders):
        return orders, None, unlit_borders(typical, orders)
    sample = sample_scattered_light(typical, orders)
    return orders, sample, sample.unlit


def lit_part(flat: CCDData, unlit: np.ndarray | None) -> CCDData:
    """
    Mask borders without light, where the end of the light is no edge of an order.

    Parameters
    ----------
    flat : `~astropy.nddata.CCDData`, shape (rows, columns)
        A flat with a mask.
    unlit : bool array, of the same shape, or None
        The borders, as found by `edges_and_scattered_light`.

    Returns
    -------
    `~astropy.nddata.CCDData`
        The flat, without a header; data and uncertainty are not copied.
    """
    if unlit is None:
        return flat
    return CCDData(flat.data, flat.uncertainty, flat.mask | unlit, unit=flat.unit)


@dataclass(frozen=True)
class ScatteredLightOfSet:
    """
    The scattered light of a set of flats, and from what it is subtracted.

    Attributes
    ----------
    choice : {"frames", "master"} or None
        Whether it is subtracted from each frame, from the master, or not at all.
    surfaces : list of `~ccdproc_echelle.light.ScatteredLight`
        The scattered light of each flat; empty unless it is subtracted from the frames, and if the
        orders leave no room to measure it.
    """

    choice: str | None
    surfaces: list[ScatteredLight]

    @classmethod
    def measured(
        cls,
        choice: str | None,
        sample: ScatteredLightSample | None,
        calibration: Calibration,
        progress: Progress,
        executor: Executor | None,
    ) -> "ScatteredLightOfSet":
        """
        Measure the scattered light of each flat if it is to be subtracted from the frames.

        Parameters
        ----------
        choice : {"frames", "master"} or None
            From what the scattered light is subtracted.
        sample : `~ccdproc_echelle.light.ScatteredLightSample` or None
            The pixels in which it is measured, from `edges_and_scattered_light`.
        calibration : `~ccdproc_echelle.recipe.calibration.Calibration`
            The flats, and the noise of bias and dark, which is no scatter of the pixel response.
        progress : `~ccdproc_echelle.combining.Progress`
            Progress indicator, advanced by each flat.
        executor : `concurrent.futures.Executor` or None
            Executor that reads the flats; `None` stands for one thread per core.

        Returns
        -------
        `ScatteredLightOfSet`

        Warns
        -----
        `~astropy.utils.exceptions.AstropyUserWarning`
            If the scattered light of a flat is negative.
        """
        if sample is None:
            return cls(choice, [])
        return cls(choice, _surfaces(sample, calibration, progress, executor))

    def subtracted_from(self, flats: Sequence[CalibratedFrame]) -> list[CalibratedFrame]:
        """
        Return the flats without their scattered light, if it was measured.

        The scatter of the pixel response times that light is left out of their noise, because it is
        the same in all flats and does not average down; `accounted_for` adds it to the master.

        Parameters
        ----------
        flats : sequence of `~ccdproc_echelle.frames.CalibratedFrame`
            The flats on which it was measured.

        Returns
        -------
        list of `~ccdproc_echelle.frames.CalibratedFrame`
        """
        if not self.surfaces:
            return list(flats)
        return [
            replace(flat, surface=replace(surface, response_scatter=0.0))
            for flat, surface in zip(flats, self.surfaces, strict=True)
        ]

    def accounted_for(
        self, flat: CCDData, levels: QTable, orders: EchelleOrderTable, window: float
    ) -> tuple[CCDData, float]:
        """
        Include the noise of the scattered light, and subtract it from the master if requested.

        Parameters
        ----------
        flat : `~astropy.nddata.CCDData`, shape (rows, columns)
            The master, combined from the flats without their scattered light.
        levels : `~astropy.table.QTable`
            Levels of the flats.
        orders : `~ccdproc_echelle.EchelleOrderTable`
            The orders, with edges.
        window : float
            Full width of the window on the order centre, in pixels.

        Returns
        -------
        flat : `~astropy.nddata.CCDData`
            The master, with a mean of 1 over the inner-order pixels. Its uncertainty includes that
            of the surfaces.
        fraction : float
            Mean fraction of the light on the order centres that was scattered light; NaN if there
            was no room to measure it.
        """
        if self.choice == "master":
            return _without_surface(flat, orders, window)
        if self.choice is None:
            return flat, 0.0
        if not self.surfaces:
            return flat, np.nan
        of_frames = self.surfaces, levels["level"].value
        with ahead(partial(_with_response_scatter, flat, *of_frames)) as noisier:
            fraction = _fraction(*of_frames, orders, window)
            return noisier(), fraction

    def with_errors(
        self, levels: QTable, flat: CCDData, orders: EchelleOrderTable, window: float
    ) -> QTable:
        """
        Include the errors of the surfaces in the uncertainties of the levels.

        Parameters
        ----------
        levels, flat, orders, window
            See `accounted_for`.

        Returns
        -------
        `~astropy.table.QTable`
        """
        if not self.surfaces:
            return levels
        return with_common_errors(levels, self._errors_of_sums, flat, orders, window=window)

    def _errors_of_sums(self, weights: np.ndarray) -> np.ndarray:
        return sums_of(self.surfaces, weights)[1]


def _surfaces(sample, calibration, progress, executor) -> list[ScatteredLight]:
    """Scattered light of each flat."""
    with ahead(partial(ScatteredLightModel, sample)) as prepared:
        frames = list(_sampled(sample, calibration, progress, executor))
        model = prepared()
    names = [flat.name for flat in calibration.flats]
    fits = (partial(_measured, *pair, model) for pair in zip(names, frames, strict=True))
    surfaces = list(results_of(fits, None))
    for remark in (*model.remarks, *_remarks(names, surfaces)):
        warn(remark)
    return surfaces


def _remarks(names: Sequence[str], surfaces: Sequence[ScatteredLight]) -> Iterator[str]:
    """One remark on the frames of negative scattered light, and one on those where it is cut."""
    for negative in (True, False):
        those = [
            (name, surface.remark) for name, surface in zip(names, surfaces, strict=True)
            if surface.remark and surface.negative == negative
        ]
        if those:
            name, remark = those[0]
            yield f"{name}{and_others(those)}: {remark}"


def _sampled(sample, calibration, progress, executor) -> Iterator[FrameSample]:
    """What is needed of each flat, taken while the model is built."""
    flats, shared = calibration
    shared = [0.0] * len(flats) if shared is None else shared.of_pixels(sample.pixels)
    reading = [partial(gather_pixels, flat, sample.pixels) for flat in flats]
    with closing(results_of(reading, executor, n_busy=1)) as gathered:
        # The sample is too large to send to other machines for work that a thread does as fast.
        taking = (
            partial(_taken, flat.name, pixels, variance, sample)
            for flat, pixels, variance in zip(flats, gathered, shared, strict=True)
        )
        yield from progress.counted(results_of(taking, None, n_busy=1), len(flats))


def _taken(
    name: str, pixels: Section, shared: np.ndarray | float, sample: ScatteredLightSample
) -> FrameSample:
    pixels = Pixels(pixels.data, pixels.good, pixels.variance).of_known_noise()
    sigma = None if pixels.variance is None else np.sqrt(pixels.variance + shared)
    with _named(name):
        return sample.of_frame(pixels.data, pixels.good, sigma)


def _measured(name: str, frame: FrameSample, model: ScatteredLightModel) -> ScatteredLight:
    with _named(name):
        return model.measure(frame)


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Add the name of the frame to an error."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"scattered light of {name}: {error}") from error


def _with_response_scatter(flat: CCDData, surfaces: Sequence, levels: np.ndarray) -> CCDData:
    """Add the scatter of the response, times the scattered light, to the noise of the master."""
    if flat.uncertainty is None or not any(surface.response_scatter for surface in surfaces):
        return flat
    scatter = np.mean([
        surface.response_scatter * surface.coefficients / level
        for surface, level in zip(surfaces, levels, strict=True)
    ], axis=0)
    light = replace(surfaces[0], coefficients=scatter).light(dtype=flat.data.dtype)
    return with_added_variance(flat, np.square(light, out=light))


def _fraction(surfaces: Sequence, levels: np.ndarray, orders, window: float) -> float:
    """Mean fraction of the light on the order centres that was scattered light."""
    inner = orders.inner_mask(window)
    scattered = sums_of(surfaces, inner)[0] / np.count_nonzero(inner)
    # A flat is its level times the master, whose mean there is 1.
    fraction = float(np.mean(scattered / (scattered + levels)))
    _log.info("scattered light %.2f %% of the light on the order centres", 100 * fraction)
    return fraction


def _without_surface(flat: CCDData, orders, window: float) -> tuple[CCDData, float]:
    """The master minus its scattered light, normalised again, and the fraction that was lost."""
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
