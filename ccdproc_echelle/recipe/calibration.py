# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Calibrate raw flats: subtract bias and dark, and create the uncertainty."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from astropy import units as u
from astropy.modeling import Model
from astropy.nddata import CCDData
from astropy.table import QTable
from ccdproc import Keyword

from ccdproc_echelle._warnings import warn
from ccdproc_echelle.frames import (
    CalibratedFrame,
    Frame,
    NoiseModel,
    Readout,
    check_alike,
    check_one_readout,
    is_of_master_flat,
    observation_time,
    stated_date,
    warn_of_zero_points,
    with_added_variance,
    without_known_bad,
)
from ccdproc_echelle.recipe.calibration_masters import CalibrationMasters, SharedNoise
from ccdproc_echelle.recipe.exposures import Exposures

__all__ = ["Calibration", "calibrate_frames", "opened_as"]

# Errors in a list of frames; any others are more specific.
_OF_LISTS = (TypeError, ValueError, FileNotFoundError, IsADirectoryError)


class Calibration(NamedTuple):
    """
    Result of `calibrate_frames`.

    Attributes
    ----------
    flats : list of `~ccdproc_echelle.frames.CalibratedFrame`
        The calibrated flats. Their uncertainty does not include that of bias and dark.
    shared : `SharedNoise` or None
        The noise of bias and dark; `None` if it is not known.
    """

    flats: list[CalibratedFrame]
    shared: SharedNoise | None

    def selected(self, which: np.ndarray) -> "Calibration":
        """
        Select some of the flats.

        Parameters
        ----------
        which : bool array, shape (n_flats,)
            True for flats to keep.

        Returns
        -------
        `Calibration`
        """
        flats = [flat for flat, kept in zip(self.flats, which, strict=True) if kept]
        shared = self.shared
        if shared is not None:
            shared = SharedNoise(shared.variances, shared.coefficients[which])
        return Calibration(flats, shared)

    def with_shared_noise(
        self, flat: CCDData, levels: QTable, weights: np.ndarray | str | None
    ) -> CCDData:
        """
        Add the noise of bias and dark to the uncertainty of a combined flat.

        Parameters
        ----------
        flat : `~astropy.nddata.CCDData`
            The average of the flats, divided by their levels.
        levels : `~astropy.table.QTable`
            Levels returned by `~ccdproc_echelle.measure_exposure_levels`.
        weights : array, str or None
            Weights of the average. Weights by inverse variance are so similar that they are treated
            as equal.

        Returns
        -------
        `~astropy.nddata.CCDData`
            The same pixels with an updated uncertainty; the input flat if the noise is not known.
        """
        if self.shared is None:
            return flat
        weights = None if isinstance(weights, str) else weights
        added = self.shared.of_average(1 / levels["level"].value, weights)
        return with_added_variance(flat, added.astype(flat.data.dtype, copy=False))


def calibrate_frames(
    flats: Any,
    *,
    bias: Any = None,
    dark: Any = None,
    gain: Any = None,
    read_noise: Any = None,
    saturation: Any = None,
    oscan: str | Mapping[str, str] | bool | None = None,
    trim: str | bool | None = None,
    oscan_median: bool = True,
    oscan_model: "Model | None" = None,
    exposure_key: str | Keyword | None = None,
    scale_dark: bool = True,
    noise: NoiseModel | None = None,
    known_bad: np.ndarray | None = None,
    mem_limit: float = 16e9,
    executor: Executor | None = None,
    **reading: Any,
) -> Calibration:
    """
    Subtract bias and dark from flats and create their uncertainty.

    Calibration frames separated by less than half an hour (according to ``MJD-OBS`` or
    ``DATE-OBS``) form a series. The series nearest in time to a flat is averaged and used, or both
    if two are equally near. Frames with unknown times form a single series. If there is a bias, the
    nearest bias is subtracted from the darks, which are then scaled to the exposure time of the
    flat. Otherwise the dark still contains the bias and is subtracted without scaling, which is
    also correct for lamp-off frames.

    Parameters
    ----------
    flats : list, str or `ccdproc.ImageFileCollection`
        Raw flats: names of FITS files or `~astropy.nddata.CCDData` objects, as for
        `ccdproc.combine`.
    bias, dark : list, str or `ccdproc.ImageFileCollection`, optional
        Bias and dark (or lamp-off) frames.
    gain : float, `~astropy.units.Quantity`, str, `ccdproc.Keyword` or dict, optional
        Electrons per unit of the data: a number, the name of a header keyword, or a dict that maps
        the FITS section of each amplifier to one of these, in which case the frames are converted
        to electrons.
    read_noise : float, `~astropy.units.Quantity`, str, `ccdproc.Keyword` or dict, optional
        Read noise in electrons, given like ``gain``. Together with ``gain`` it defines the
        uncertainty of each flat, from photon and read noise, replacing any that it has. The photon
        noise includes everything above the bias, dark current as well; without a bias frame it
        includes only the light, since the amount of charge in the dark is not known.
    saturation : float, `~astropy.units.Quantity`, str, `ccdproc.Keyword` or dict, optional
        Saturation level, given like ``gain``: raw values at or above it are masked.
    oscan : str, dict or False, optional
        FITS section of the overscan for all frames, or a dict that maps the light-sensitive section
        of each amplifier to its overscan section; False for none. Default: from each header.
    trim : str or False, optional
        FITS section of the part to keep; False for all. Default: from each header.
    oscan_median : bool, optional
        Whether each row (or column) of the overscan is represented by its median or its mean.
    oscan_model : `~astropy.modeling.Model`, optional
        Model fitted along the overscan. Default: no fit.
    exposure_key : str or `ccdproc.Keyword`, optional
        Header keyword of the exposure time in seconds; numbers stored as text are accepted.
        Default: ``EXPTIME``.
    scale_dark : bool, optional
        Whether to scale darks if there is a bias. Counts per second are never scaled.
    noise : `~ccdproc_echelle.frames.NoiseModel`, optional
        Noise of the frames if ``gain`` and ``read_noise`` are not given.
    known_bad : bool array, shape (rows, columns), optional
        Known bad pixels (True), which are masked in every flat.
    mem_limit : float, optional
        Memory limit in bytes for averaging the bias and dark frames.
    executor : `concurrent.futures.Executor`, optional
        Executor that averages them. Default: one thread per core.
    **reading
        Passed to ``CCDData.read``, for frames in files.

    Returns
    -------
    `Calibration`
        Only bias and dark frames have been read at this point: the rows of a flat are calibrated
        when they are needed.

    Raises
    ------
    ValueError
        If a calibration frame differs from the flats in shape, unit or sections, darks of one
        series differ in exposure time, or frames cannot be read as specified by
        `~ccdproc_echelle.frames.Readout`.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If dark and flat differ in exposure time and there is no bias, so that the dark cannot be
        scaled; if the dark should be scaled and an exposure time is unknown (it is then subtracted
        without scaling); if a date cannot be read; if a dark seems to lack its bias; or if the
        overscan of the flats is subtracted while bias or dark still have their zero point.
    """
    readout = Readout(
        oscan=oscan, trim=trim, oscan_median=oscan_median, oscan_model=oscan_model,
        gain=gain, read_noise=read_noise, saturation=saturation,
    )
    flats, bias, dark = (
        _opened(kind, frames, readout, reading)
        for kind, frames in (("flats", flats), ("bias", bias), ("dark", dark))
    )
    check_one_readout([*flats, *bias, *dark])
    warn_of_zero_points(flats, [*bias, *dark])
    noise = flats[0].noise or noise
    for kind, frames in (("bias", bias), ("dark", dark)):
        _check_fit(kind, frames, flats[0])
    if bias or dark:
        _warn_of_unknown_dates([*flats, *bias, *dark])
    scale_dark = scale_dark and not _is_rate(flats[0].unit)
    exposures = Exposures(exposure_key, scale=scale_dark and bool(bias))
    if scale_dark:
        exposures.check(flats, dark)
    combining = dict(mem_limit=mem_limit, executor=executor)
    masters = CalibrationMasters(bias, dark, noise, exposures, combining)
    calibrated, coefficients = [], []
    for flat in without_known_bad(flats, known_bad):
        subtractions, counts = masters.subtracted_from(flat)
        calibrated.append(CalibratedFrame(flat, subtractions, noise))
        coefficients.append(counts)
    if calibrated[0].uncertainty_type is None:
        return Calibration(calibrated, None)
    return Calibration(calibrated, masters.shared_noise(coefficients))


# ---------------------------------------------------------------------- checks at the door


def opened_as(
    kind: str, frames: Any, readout: Readout, reading: Mapping[str, Any]
) -> list[Frame] | None:
    """
    Open raw frames of one kind.

    Parameters
    ----------
    kind : str
        Name used in messages.
    frames : list, str, `ccdproc.ImageFileCollection` or None
        The frames.
    readout : `~ccdproc_echelle.frames.Readout`
        How the frames were read out.
    reading : dict
        Keywords of ``CCDData.read``.

    Returns
    -------
    list of `~ccdproc_echelle.frames.Frame` or None
        `None` if ``frames`` is `None`.

    Raises
    ------
    ValueError
        If there are no frames, or under the same conditions as in
        `~ccdproc_echelle.frames.Readout.open`.
    """
    if frames is None:
        return None
    if isinstance(frames, Iterator):
        frames = list(frames)
    if isinstance(frames, (str, Sequence)) and len(frames) == 0:
        raise ValueError(f"{kind} is {frames!r}, which has no frames; expected frames or None")
    with _naming(kind):
        # Frames of which nothing else is said are flats.
        return readout.open(frames, kind="" if kind == "flats" else kind, **reading)


@contextmanager
def _naming(kind: str) -> Iterator[None]:
    """Make sure that errors in the list of frames name the argument that holds it."""
    try:
        yield
    except (TypeError, ValueError, OSError) as error:
        text = str(error).replace("img_list", kind)
        is_named = text.startswith((f"{kind} ", f"{kind}:"))  # and not a file such as bias_1.fits
        if (is_named and text == str(error)) or type(error) not in _OF_LISTS:
            raise
        raise type(error)(text if is_named else f"{kind}: {text}") from error


def _opened(kind: str, frames: Any, readout: Readout, reading: Mapping[str, Any]) -> list[Frame]:
    frames = opened_as(kind, frames, readout, reading)
    if frames is None:
        return []
    check_alike(frames)
    return frames


def _check_fit(kind: str, frames: Sequence[Frame], flat: Frame) -> None:
    for frame in frames:
        if is_of_master_flat(frame.header):
            raise ValueError(f"{frame.name} is a master flat, expected a {kind} frame")
        for quality in ("shape", "unit"):
            found, expected = getattr(frame, quality), getattr(flat, quality)
            if found != expected:
                raise ValueError(
                    f"{frame.name} has {quality} {str(found) or 'dimensionless'}, but the flats, "
                    f"from which the {kind} is subtracted, have {str(expected) or 'dimensionless'}"
                )


def _is_rate(unit: u.UnitBase) -> bool:
    """Whether values are counts per time, which are the same for any exposure time."""
    parts = unit.decompose()
    return dict(zip(parts.bases, parts.powers, strict=True)).get(u.s, 0) < 0


def _warn_of_unknown_dates(frames: Sequence[Frame]) -> None:
    for frame in frames:
        keyword, date = stated_date(frame.header)
        if keyword and observation_time(frame.header) is None:
            warn(
                f"{frame.name} has {keyword} = {date!r}, which is not a date: bias and dark are "
                "averaged over all frames, not over those nearest in time"
            )
            return
