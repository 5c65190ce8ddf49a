# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Convert between standard deviations, variances and inverse variances."""

import copy

import numpy as np
from astropy.nddata import (
    CCDData,
    InverseVariance,
    StdDevUncertainty,
    UnknownUncertainty,
    VarianceUncertainty,
)

__all__ = [
    "UNCERTAINTIES",
    "standard_deviation",
    "uncertainty_array",
    "variance_array",
    "with_added_variance",
]

UNCERTAINTIES = (StdDevUncertainty, VarianceUncertainty, InverseVariance)


def variance_array(
    array: np.ndarray, uncertainty_type: type, *, out: np.ndarray | None = None
) -> np.ndarray:
    """
    Convert the array of an uncertainty of this type to variances.

    Parameters
    ----------
    array : array
        Standard deviations, variances or inverse variances.
    uncertainty_type : type
        `~astropy.nddata.StdDevUncertainty`, `~astropy.nddata.VarianceUncertainty` or
        `~astropy.nddata.InverseVariance`.
    out : array, optional
        Output array for variances that have to be computed; may be ``array`` itself.

    Returns
    -------
    array
        Variances.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.nddata import InverseVariance
    >>> from ccdproc_echelle.frames import variance_array
    >>> variance_array(np.array([0.25]), InverseVariance)
    array([4.])
    """
    if issubclass(uncertainty_type, StdDevUncertainty):
        return np.multiply(array, array, out=out)
    if issubclass(uncertainty_type, InverseVariance):
        with np.errstate(divide="ignore", over="ignore"):
            return np.divide(1, array, out=out)
    return array


def uncertainty_array(
    variance: np.ndarray, uncertainty_type: type, out: np.ndarray | None = None
) -> np.ndarray:
    """
    Convert variances to the array of an uncertainty of this type.

    Parameters
    ----------
    variance : array
        Variances.
    uncertainty_type : type
        `~astropy.nddata.StdDevUncertainty`, `~astropy.nddata.VarianceUncertainty` or
        `~astropy.nddata.InverseVariance`.
    out : array, optional
        Output array for what has to be computed; may be ``variance`` itself.

    Returns
    -------
    array
        Standard deviations, variances or inverse variances.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.nddata import InverseVariance
    >>> from ccdproc_echelle.frames import uncertainty_array
    >>> uncertainty_array(np.array([4.0]), InverseVariance)
    array([0.25])
    """
    if issubclass(uncertainty_type, StdDevUncertainty):
        return np.sqrt(variance, out=out)
    if issubclass(uncertainty_type, InverseVariance):
        with np.errstate(divide="ignore"):
            return np.divide(1, variance, out=out)
    return variance


def with_added_variance(ccd: CCDData, variance: np.ndarray) -> CCDData:
    """
    Add a variance to the uncertainty of a frame, which keeps its type.

    Parameters
    ----------
    ccd : `~astropy.nddata.CCDData`, shape (rows, columns)
        A frame with an uncertainty.
    variance : array, shape (rows, columns)
        The variance to add.

    Returns
    -------
    `~astropy.nddata.CCDData`
        A frame that shares everything but its uncertainty with the input.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.nddata import CCDData, StdDevUncertainty
    >>> from ccdproc_echelle.frames import with_added_variance
    >>> frame = CCDData([5.0], unit="adu", uncertainty=StdDevUncertainty([3.0]))
    >>> with_added_variance(frame, np.array([16.0])).uncertainty.array
    array([5.])
    """
    kind = type(ccd.uncertainty)
    array = ccd.uncertainty.array
    total = np.array(array, dtype=np.result_type(array, variance))  # the only new plane
    total = variance_array(total, kind, out=total)
    total += variance
    result = copy.copy(ccd)
    result.uncertainty = kind(uncertainty_array(total, kind, out=total), copy=False)
    return result


def standard_deviation(ccd: CCDData, name: str) -> np.ndarray | None:
    """
    Return the uncertainty of a frame as a standard deviation.

    Parameters
    ----------
    ccd : `~astropy.nddata.CCDData`
        The frame.
    name : str
        Name of the frame used in messages.

    Returns
    -------
    array, shape (rows, columns), or None
        The array of the frame itself if it holds a standard deviation, not a copy. `None` if the
        frame has no uncertainty, or one of unknown type.

    Raises
    ------
    TypeError
        If the uncertainty cannot be converted to a standard deviation.
    ValueError
        If it is negative anywhere.
    """
    if ccd.uncertainty is None or isinstance(ccd.uncertainty, UnknownUncertainty):
        return None
    array = np.asarray(ccd.uncertainty.array)
    if array.size and np.fmin.reduce(array, axis=None) < 0:
        raise ValueError(
            f"{name} has a negative uncertainty, {np.nanmin(array)}; expected >= 0"
        )
    if isinstance(ccd.uncertainty, StdDevUncertainty):
        return array  # represent_as would copy it twice
    try:
        with np.errstate(divide="ignore"):  # an inverse variance of 0 is that of no information
            return ccd.uncertainty.represent_as(StdDevUncertainty).array
    except TypeError as error:
        raise TypeError(
            f"the uncertainty of {name} is of type {type(ccd.uncertainty).__name__}, "
            "expected a type that converts to a standard deviation"
        ) from error
