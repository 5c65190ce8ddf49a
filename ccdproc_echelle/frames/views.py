# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A common view of frames in memory or in files: rows of values, variances and good pixels."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData, InverseVariance, StdDevUncertainty, UnknownUncertainty

from ccdproc_echelle._warnings import warn
from ccdproc_echelle.frames.headers import is_of_master_flat
from ccdproc_echelle.frames.legal import legal_header
from ccdproc_echelle.frames.uncertainties import UNCERTAINTIES, uncertainty_array, variance_array

__all__ = [
    "Frame",
    "MemoryFrame",
    "Metadata",
    "Section",
    "check_alike",
    "check_real",
    "float_type",
    "inverse_variance_weights",
    "warn_of_missing_uncertainties",
]


# Typical values between these have variances within the range of single precision, 1e-38 to 3e38,
# with room for much brighter or fainter pixels.
_SMALLEST, _LARGEST = 1e-12, 1e12
_SAMPLE_ROWS = 8


class Section(NamedTuple):
    """
    Some rows or pixels of a frame.

    Attributes
    ----------
    data : float array
        Pixel values in the unit of the frame.
    good : bool array
        False if the pixel is masked, its value is not finite, or its variance is infinite.
    variance : float array or None
        Variances in the squared unit of the frame, NaN where unknown; `None` for frames without
        uncertainty.
    saturated : bool array or None
        True where the raw frame is saturated; such pixels are not good. `None` if no limit is
        known.
    """

    data: np.ndarray
    good: np.ndarray
    variance: np.ndarray | None
    saturated: np.ndarray | None = None


class Metadata(NamedTuple):
    """
    Metadata that a frame derived from another one takes over.

    Attributes
    ----------
    header, wcs, psf, flags
        As in `~astropy.nddata.CCDData`.
    kind : type
        `~astropy.nddata.CCDData`, or a user-defined subclass.
    """

    header: Any
    wcs: Any
    psf: Any = None
    flags: Any = None
    kind: type = CCDData


class Frame(ABC):
    """
    A frame of which any rows can be read.

    Attributes
    ----------
    name : str
        Name used in messages: the file name, or the position in the list.
    shape : tuple of int
        Rows and columns.
    unit : `~astropy.units.Unit`
        Unit of the data.
    dtype : `numpy.dtype`
        Floating-point type that represents the data and their squares without loss: float32 or
        float64.
    uncertainty_type : type or None
        Class of the uncertainty; `None` if there is none, or it is of unknown type.
    quantum : float
        Digitisation step: 1 for integers; 0 if unknown.
    """

    name: str
    shape: tuple[int, int]
    unit: u.UnitBase
    dtype: np.dtype
    uncertainty_type: type | None
    quantum: float

    @abstractmethod
    def part(self, rows: slice) -> "Frame":
        """
        Select some rows of the frame as a new frame, without reading or copying anything.

        Parameters
        ----------
        rows : slice
            The rows.

        Returns
        -------
        `Frame`
            A frame that is small when sent to another process.
        """

    @abstractmethod
    def load(self) -> "Frame":
        """
        Load the frame into memory.

        Returns
        -------
        `Frame`
            A frame whose ``section`` returns the values of any rows or pixels.

        Raises
        ------
        OSError
            If the file cannot be read to the end.
        """

    def section(self, where: slice | tuple) -> Section:
        """
        Return values, variances and good pixels of a part of a loaded frame.

        Parameters
        ----------
        where : slice or tuple
            Rows, or slices or indices of rows and columns.

        Returns
        -------
        `Section`

        Raises
        ------
        ValueError
            If an uncertainty is negative.
        """
        raise NotImplementedError(f"{self.name} is not loaded")

    @abstractmethod
    def without_uncertainty(self) -> "Frame":
        """
        Return the frame without its uncertainty; nothing is read or copied.

        Returns
        -------
        `Frame`
        """

    @property
    @abstractmethod
    def header(self) -> Any:
        """The complete header of the frame."""

    @property
    def as_read(self) -> "Frame":
        """The frame before any calibration."""
        return self

    @property
    @abstractmethod
    def source(self) -> Hashable:
        """Identity of the pixels: equal for two views of the same pixels."""

    @property
    def file(self) -> str | None:
        """Name of the file that holds the frame; `None` for a frame in memory."""
        return None

    @property
    def illegal_cards(self) -> list[str]:
        """Keywords of header cards that violate the FITS standard."""
        return []

    @abstractmethod
    def metadata(self) -> Metadata:
        """
        Return the metadata that a frame derived from this one takes over.

        Returns
        -------
        `Metadata`
        """

    def ccddata(self) -> CCDData:
        """
        Return the whole frame with its metadata.

        Returns
        -------
        `~astropy.nddata.CCDData`
            The object in memory or in the file; for derived frames, the pixels as they are
            computed, without a mask if all of them are good.
        """
        section = self.load().section(slice(None))
        uncertainty = None
        if section.variance is not None:
            kind = self.uncertainty_type
            uncertainty = kind(uncertainty_array(section.variance, kind))
        mask = None if section.good.all() else ~section.good
        header, wcs = self.metadata()[:2]
        return CCDData(
            section.data, unit=self.unit, mask=mask, uncertainty=uncertainty,
            header=header.copy(), wcs=wcs,
        )

    def unpacked(self, path: Path) -> "Frame":
        """
        Return a frame whose file allows any rows to be read.

        Parameters
        ----------
        path : `pathlib.Path`
            Path to which a compressed file is unpacked.

        Returns
        -------
        `Frame`
            The frame itself if it is not in a compressed file.
        """
        return self

    def _check(self) -> None:
        if len(self.shape) != 2 or min(self.shape) < 1:
            raise ValueError(f"{self.name} has shape {self.shape}, expected a 2-D image")


@dataclass(frozen=True, eq=False)
class MemoryFrame(Frame):
    """
    A `Frame` in memory, which is not copied.

    Parameters
    ----------
    ccd : `~astropy.nddata.CCDData`
        The frame.
    name : str
        Name used in messages.
    dtype : `numpy.dtype`, optional
        Type of the values. Default: derived from the data.

    Raises
    ------
    ValueError
        If the data are not a 2-D image of real numbers, mask or uncertainty have a different shape,
        or the uncertainty is of an unknown type.
    """

    ccd: CCDData
    name: str
    dtype: np.dtype | None = None

    def __post_init__(self):
        self._check()
        check_real(self.ccd.data, self.name)
        for part in ("mask", "uncertainty"):
            value = getattr(self.ccd, part)
            shape = np.shape(value.array if part == "uncertainty" and value is not None else value)
            expected = (self.shape,) if part == "uncertainty" else ((), self.shape)
            if value is not None and shape not in expected:
                raise ValueError(f"{part} of {self.name} has shape {shape}, expected {self.shape}")
        if self.dtype is None:
            object.__setattr__(self, "dtype", float_type(self.ccd.data.dtype, self.ccd.data))
        kind = self.uncertainty_type
        if kind is not None and not issubclass(kind, UNCERTAINTIES):
            raise ValueError(
                f"{self.name} has uncertainties of type {kind.__name__}; expected one of "
                f"{[known.__name__ for known in UNCERTAINTIES]}"
            )

    @property
    def shape(self) -> tuple[int, int]:
        return self.ccd.data.shape

    @property
    def unit(self) -> u.UnitBase:
        return self.ccd.unit

    @property
    def uncertainty_type(self) -> type | None:
        kind = type(self.ccd.uncertainty)
        return None if kind in (type(None), UnknownUncertainty) else kind

    @property
    def quantum(self) -> float:
        return 1.0 if self.ccd.data.dtype.kind in "iu" else 0.0

    def part(self, rows: slice) -> "MemoryFrame":
        mask, kind, uncertainty = self.ccd.mask, self.uncertainty_type, None
        if mask is not None and np.ndim(mask):
            mask = mask[rows]
        if kind is not None:
            whole = self.ccd.uncertainty
            uncertainty = kind(whole.array[rows], unit=whole.unit, copy=False)
        part = CCDData(self.ccd.data[rows], unit=self.unit, mask=mask, uncertainty=uncertainty)
        return MemoryFrame(part, self.name, self.dtype)

    def load(self) -> "MemoryFrame":
        return self

    def without_uncertainty(self) -> "MemoryFrame":
        ccd = self.ccd
        bare = CCDData(ccd.data, unit=ccd.unit, mask=ccd.mask, header=ccd.header, wcs=ccd.wcs)
        return MemoryFrame(bare, self.name)

    def section(self, where: slice | tuple) -> Section:
        ccd = self.ccd
        data = np.asarray(ccd.data[where], dtype=self.dtype)
        good = np.isfinite(data) if ccd.data.dtype.kind == "f" else np.ones(data.shape, dtype=bool)
        if ccd.mask is not None:
            good &= ~np.asarray(ccd.mask[where] if np.ndim(ccd.mask) else ccd.mask, dtype=bool)
        if self.uncertainty_type is None:
            return Section(data, good, None)
        variance = self._variance(np.asarray(ccd.uncertainty.array[where], dtype=self.dtype))
        good &= ~np.isinf(variance)
        return Section(data, good, variance)

    def _variance(self, uncertainty: np.ndarray) -> np.ndarray:
        if uncertainty.size and np.fmin.reduce(uncertainty, axis=None) < 0:
            found = np.nanmin(uncertainty)
            raise ValueError(f"{self.name} has a negative uncertainty, {found}; expected >= 0")
        if self._unit_factor == 1:
            return variance_array(uncertainty, self.uncertainty_type)
        # Numbers in a different unit may have any size.
        return variance_array(uncertainty.astype(float), self.uncertainty_type) * self._unit_factor

    @cached_property
    def _unit_factor(self) -> float:
        """Factor from the unit of the variances to the squared unit of the frame."""
        unit, kind = self.ccd.uncertainty.unit, self.uncertainty_type
        if unit is None:
            return 1.0
        if issubclass(kind, StdDevUncertainty):
            unit = unit**2
        elif issubclass(kind, InverseVariance):
            unit = unit**-1
        return float(unit.to(self.unit**2))

    def ccddata(self) -> CCDData:
        return self.ccd

    def metadata(self) -> Metadata:
        ccd = self.ccd
        return Metadata(self._legal_header[0], ccd.wcs, ccd.psf, ccd.flags, type(ccd))

    @property
    def header(self) -> Any:
        return self.ccd.header

    @property
    def illegal_cards(self) -> list[str]:
        return self._legal_header[1]

    @cached_property
    def _legal_header(self) -> tuple[Any, list[str]]:
        header = self.ccd.header
        return legal_header(header) if isinstance(header, fits.Header) else (header, [])

    @property
    def source(self) -> int:
        return id(self.ccd.data)


def check_alike(frames: Sequence[Frame]) -> None:
    """
    Raise unless frames agree in shape and unit.

    Parameters
    ----------
    frames : sequence of `Frame`
        The frames.

    Raises
    ------
    ValueError
        If they do not.
    """
    first = frames[0]
    for frame in frames[1:]:
        for quality in ("shape", "unit"):
            found, expected = getattr(frame, quality), getattr(first, quality)
            if found != expected:
                master = ", which is a master flat," if is_of_master_flat(frame.header) else ""
                raise ValueError(
                    f"{frame.name}{master} has {quality} {str(found) or 'dimensionless'}, but "
                    f"{first.name} has {str(expected) or 'dimensionless'}"
                )


def warn_of_missing_uncertainties(frames: Sequence[Frame], kind: str) -> None:
    """
    Warn if only some frames have an uncertainty, so that none of them is used.

    Parameters
    ----------
    frames : sequence of `Frame`
        The frames.
    kind : str
        Name of the frames used in messages, in the plural.
    """
    bare = [frame.name for frame in frames if frame.uncertainty_type is None]
    if 0 < len(bare) < len(frames):
        warn(f"no uncertainty in {', '.join(bare)}: those of the other {kind} are not used")


def check_real(values: np.ndarray, name: str, kinds: str = "fiub") -> None:
    """
    Check that an image holds real numbers.

    Parameters
    ----------
    values : array
        The image.
    name : str
        Name used in the message.
    kinds : str, optional
        The kinds of type allowed, as in ``numpy.dtype.kind``. Default: numbers and truth values.

    Raises
    ------
    ValueError
        If it holds complex numbers, text or objects.

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle.frames import check_real
    >>> check_real(np.array([1j]), "flat")
    Traceback (most recent call last):
    ...
    ValueError: flat holds complex128, expected real numbers
    """
    if values.dtype.kind not in kinds:
        raise ValueError(f"{name} holds {values.dtype}, expected real numbers")


def inverse_variance_weights(
    frames: Sequence[Frame], variances: np.ndarray | None, good: np.ndarray
) -> np.ndarray:
    """
    Compute inverse variances of good values; 0 for other values and where the variance is unknown.

    Where no variance is known, the good values have equal weights.

    Parameters
    ----------
    frames : sequence of `Frame`
        The frames to which the values belong.
    variances : float array, shape (n_frames, n_pixels), or None
        Variances of the values.
    good : bool array, shape (n_frames, n_pixels)
        Values that count.

    Returns
    -------
    float array, shape (n_frames, n_pixels)

    Raises
    ------
    ValueError
        If there are no variances, or a good value has zero uncertainty, so that its weight would be
        infinite.
    """
    if variances is None:
        raise ValueError(
            "weights is 'inverse_variance', but the frames have no uncertainties that can be used"
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = np.where(good & ~np.isnan(variances), 1 / variances, 0)
    unknown = ~weights.any(axis=0)
    weights[:, unknown] = (good & np.isnan(variances))[:, unknown]
    for frame, infinite in zip(frames, np.isinf(weights).any(axis=1), strict=True):
        if infinite:
            raise ValueError(
                f"weights is 'inverse_variance', but {frame.name} has a pixel with uncertainty 0 "
                "that is not masked; expected > 0"
            )
    return weights


def float_type(dtype: np.dtype, image: Any) -> np.dtype:
    """
    Floating-point type for an image: single precision if possible, otherwise double.

    Single precision represents 16-bit integers exactly. Double precision is also used for floats,
    such as fluxes in SI units, whose variances exceed the range of single precision. This is judged
    from some rows of the image, or of the section of an image in a file.
    """
    if not np.can_cast(dtype, np.float32):
        return np.dtype("f8")
    if dtype.kind == "f":
        step = max(1, image.shape[0] // _SAMPLE_ROWS)
        sample = np.abs([image[row] for row in range(0, image.shape[0], step)], dtype=float)
        sample = sample[np.isfinite(sample) & (sample > 0)]
        if sample.size and not _SMALLEST < np.median(sample) < _LARGEST:
            return np.dtype("f8")
    return np.dtype("f4")
