# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What headers say of an exposure: when it was taken, and how long it took."""

from collections.abc import Mapping

from astropy.time import Time

__all__ = ["exposure_time", "observation_time"]


def observation_time(header: Mapping) -> float | None:
    """
    Start of an exposure.

    Parameters
    ----------
    header : dict-like
        With ``MJD-OBS`` or ``DATE-OBS``.

    Returns
    -------
    float or None
        MJD; `None` if the header does not tell.

    Examples
    --------
    >>> from ccdproc_echelle.frames import observation_time
    >>> observation_time({"DATE-OBS": "2024-03-01T12:00:00"})
    60370.5
    """
    for keyword in ("MJD-OBS", "DATE-OBS"):
        value = header.get(keyword)
        if value is not None:
            try:
                return float(value) if keyword == "MJD-OBS" else float(Time(value).mjd)
            except ValueError:
                continue
    return None


def exposure_time(header: Mapping) -> float | None:
    """
    How long an exposure took.

    Parameters
    ----------
    header : dict-like
        With ``EXPTIME``.

    Returns
    -------
    float or None
        Seconds; `None` if the header does not tell.

    Examples
    --------
    >>> from ccdproc_echelle.frames import exposure_time
    >>> exposure_time({"EXPTIME": 30})
    30.0
    """
    time = header.get("EXPTIME")
    return float(time) if isinstance(time, (int, float)) else None
