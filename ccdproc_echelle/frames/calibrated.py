# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Raw frames seen as calibrated ones, whose rows are computed when they are asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from astropy.nddata import StdDevUncertainty

from ccdproc_echelle.frames.derived import DerivedFrame
from ccdproc_echelle.frames.regions import Regions
from ccdproc_echelle.frames.views import Frame, Metadata, Section

__all__ = ["CalibratedFrame", "NoiseModel", "Plane", "Subtraction", "with_noise"]


class NoiseModel(NamedTuple):
    """
    What makes the uncertainty of a raw frame.

    Attributes
    ----------
    gain : float
        Electrons per unit of the data.
    read_noise : float or `~ccdproc_echelle.frames.Regions`
        Read noise in electrons, of the frame or of each amplifier.
    """

    gain: float
    read_noise: float | Regions

    def part(self, rows: slice) -> "NoiseModel":
        """That of some rows of the frame."""
        if isinstance(self.read_noise, Regions):
            return self._replace(read_noise=self.read_noise.part(rows))
        return self

    def variance(self, charge: np.ndarray, where: Any = slice(None)) -> np.ndarray:
        """
        Of photon and read noise where this charge, in the unit of the data, was collected.

        ``where`` tells which pixels these are.
        """
        read_noise = self.read_noise
        if isinstance(read_noise, Regions):
            read_noise = read_noise.at(where, charge.dtype)
        of_reading = np.asarray((read_noise / self.gain) ** 2, dtype=charge.dtype)
        return np.fmax(charge, 0) / charge.dtype.type(self.gain) + of_reading


@dataclass(frozen=True, eq=False)
class Plane:
    """
    An image that several frames have in common, or some of its rows.

    Parameters
    ----------
    data : array, shape (rows, columns)
        Its values.
    mask : bool array, shape (rows, columns), or None
        True where it is bad.
    """

    data: np.ndarray
    mask: np.ndarray | None = None
    _last: dict = field(default_factory=dict, init=False, repr=False)

    def part(self, rows: slice) -> "Plane":
        """
        Some of the rows, for all frames the same object: another process is sent it once.

        Parameters
        ----------
        rows : slice
            Which rows.

        Returns
        -------
        `Plane`
        """
        key = rows.start, rows.stop
        found = self._last.get(key)
        if found is None:
            found = Plane(self.data[rows], None if self.mask is None else self.mask[rows])
            self._last.clear()
            self._last[key] = found
        return found

    def __reduce__(self):
        return Plane, (self.data, self.mask)


class Subtraction(NamedTuple):
    """
    A plane that is subtracted from a frame.

    Attributes
    ----------
    plane : `Plane`
        The plane.
    factor : float
        How often.
    is_charge : bool
        Whether its charge, such as a dark current, was collected in the pixels and makes noise;
        that of a bias was not.
    """

    plane: Plane
    factor: float
    is_charge: bool


@dataclass(frozen=True, eq=False)
class CalibratedFrame(DerivedFrame):
    """
    A raw frame as a calibrated one: bias and dark subtracted, scattered light too, its noise known.

    Parameters
    ----------
    raw : `Frame`
        The raw frame.
    subtractions : sequence of `Subtraction`
        What is subtracted, one after the other; those of charge last.
    noise : `NoiseModel`, optional
        Makes the uncertainty. Default: that of the raw frame.
    counts_photons : bool, optional
        Whether the charge is known and makes noise; else there is read noise only.
    surface : optional
        Scattered light: ``surface.rows_with_variance(slice, dtype)`` gives rows and variances.
    first_row : int, optional
        Which row of the surface is the first of this part of the frame.
    """

    subtractions: Sequence[Subtraction] = ()
    noise: NoiseModel | None = None
    counts_photons: bool = True
    surface: Any = None
    first_row: int = 0

    @property
    def uncertainty_type(self) -> type | None:
        return self.raw.uncertainty_type if self.noise is None else StdDevUncertainty

    def part(self, rows: slice) -> "CalibratedFrame":
        return replace(
            self,
            raw=self.raw.part(rows),
            subtractions=[s._replace(plane=s.plane.part(rows)) for s in self.subtractions],
            noise=None if self.noise is None else self.noise.part(rows),
            first_row=self.first_row + rows.indices(self.shape[0])[0],
        )

    def section(self, where: slice | tuple) -> Section:
        data, good, variance, saturated = self.raw.section(where)
        charge = data
        for plane, factor, is_charge in self.subtractions:
            if factor == 1:
                data = data - plane.data[where]
            else:
                data = data - data.dtype.type(factor) * plane.data[where]
            if plane.mask is not None:
                good &= ~plane.mask[where]
            if not is_charge:
                charge = data
        good &= np.isfinite(data)
        if self.noise is not None:
            charge = charge if self.counts_photons else np.zeros_like(data)
            variance = self.noise.variance(charge, where)
        if self.surface is not None:
            data, variance = self._without_surface(data, variance, where)
        return Section(data, good, variance, saturated)

    def without_uncertainty(self) -> "CalibratedFrame":
        return replace(self, raw=self.raw.without_uncertainty(), noise=None)

    def _without_surface(self, data, variance, where) -> tuple[np.ndarray, np.ndarray | None]:
        if isinstance(where, slice):
            first, last, _ = where.indices(self.shape[0])
            rows, inside = slice(first, last), slice(None)
        else:
            first = int(np.min(where[0], initial=0))
            rows, inside = slice(first, int(np.max(where[0], initial=0)) + 1), None
        rows = slice(rows.start + self.first_row, rows.stop + self.first_row)
        surface, of_surface = self.surface.rows_with_variance(rows, data.dtype)
        if inside is None:
            inside = where[0] - first, where[1]
        data = data - surface[inside]
        if variance is not None:
            variance = variance + of_surface[inside]
        return data, variance

    def metadata(self) -> Metadata:
        return Metadata(*self.raw.metadata()[:2])  # the rest is that of a raw frame


def with_noise(frame: Frame, noise: NoiseModel) -> CalibratedFrame:
    """
    A frame with the uncertainty that this noise makes, whichever it had.

    Parameters
    ----------
    frame : `Frame`
        The frame.
    noise : `NoiseModel`
        Its gain and read noise.

    Returns
    -------
    `CalibratedFrame`
    """
    if isinstance(frame, CalibratedFrame):
        return replace(frame, noise=noise)
    return CalibratedFrame(frame, noise=noise)
