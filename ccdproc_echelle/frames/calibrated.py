# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Calibrated views of raw frames, whose rows are computed on demand."""

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
    Noise model for the uncertainty of a raw frame.

    Attributes
    ----------
    gain : float
        Electrons per unit of the data.
    read_noise : float or `~ccdproc_echelle.frames.Regions`
        Read noise in electrons, for the frame or for each amplifier.
    """

    gain: float
    read_noise: float | Regions

    def part(self, rows: slice) -> "NoiseModel":
        """Noise model of some rows of the frame."""
        if isinstance(self.read_noise, Regions):
            return self._replace(read_noise=self.read_noise.part(rows))
        return self

    def variance(self, charge: np.ndarray, where: Any = slice(None)) -> np.ndarray:
        """
        Variance of photon and read noise for this charge, in the unit of the data.

        ``where`` selects the pixels.
        """
        read_noise = self.read_noise
        if isinstance(read_noise, Regions):
            read_noise = read_noise.at(where, charge.dtype)
        of_reading = np.asarray((read_noise / self.gain) ** 2, dtype=charge.dtype)
        variance = np.fmax(charge, 0)  # in place from here on, as this is done for every pixel
        variance *= charge.dtype.type(1 / self.gain)
        variance += of_reading
        return variance


@dataclass(frozen=True, eq=False)
class Plane:
    """
    An image, or some of its rows, that several frames have in common.

    Parameters
    ----------
    data : array, shape (rows, columns)
        Pixel values.
    mask : bool array, shape (rows, columns), or None
        True for bad pixels, and at least for those that are not finite.
    """

    data: np.ndarray
    mask: np.ndarray | None = None
    _last: dict = field(default_factory=dict, init=False, repr=False)

    def part(self, rows: slice) -> "Plane":
        """
        Select some of the rows. All frames share the same object, which is sent to another process
        only once.

        Parameters
        ----------
        rows : slice
            The rows.

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
    A plane that is subtracted from a frame, scaled by a factor.

    Attributes
    ----------
    plane : `Plane`
        The plane.
    factor : float
        Factor by which the plane is multiplied.
    is_charge : bool
        Whether the plane is charge collected in the pixels, such as a dark current, and thus
        contributes noise, unlike a bias.
    """

    plane: Plane
    factor: float
    is_charge: bool


@dataclass(frozen=True, eq=False)
class CalibratedFrame(DerivedFrame):
    """
    Calibrated view of a raw frame: bias, dark and scattered light subtracted, with known noise.

    Parameters
    ----------
    raw : `Frame`
        The raw frame.
    subtractions : sequence of `Subtraction`
        Planes subtracted one after the other; those of charge last.
    noise : `NoiseModel`, optional
        Noise model for the uncertainty. Default: keep that of the raw frame.
    counts_photons : bool, optional
        Whether the charge is known and contributes noise; otherwise there is only read noise.
    surface : object, optional
        Scattered light: ``surface.rows_with_variance(slice, dtype)`` returns rows and variances,
        ``surface.at(rows, columns, dtype)`` those of single pixels.
    first_row : int, optional
        Row of the surface that corresponds to the first row of this part of the frame.
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
            rows = slice(first + self.first_row, last + self.first_row)
            surface, of_surface = self.surface.rows_with_variance(rows, data.dtype)
        else:
            rows, columns = where
            surface, of_surface = self.surface.at(rows + self.first_row, columns, data.dtype)
        data = np.subtract(data, surface, out=surface)
        if variance is not None:
            variance = np.add(variance, of_surface, out=of_surface)
        return data, variance

    def metadata(self) -> Metadata:
        return Metadata(*self.raw.metadata()[:2])  # the rest is valid for the raw frame only


def with_noise(frame: Frame, noise: NoiseModel) -> CalibratedFrame:
    """
    Give a frame the uncertainty defined by a noise model, replacing any that it has.

    Parameters
    ----------
    frame : `Frame`
        The frame.
    noise : `NoiseModel`
        Gain and read noise.

    Returns
    -------
    `CalibratedFrame`
    """
    if isinstance(frame, CalibratedFrame):
        return replace(frame, noise=noise)
    return CalibratedFrame(frame, noise=noise)
