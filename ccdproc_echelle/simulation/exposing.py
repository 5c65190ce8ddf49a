# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Make one exposure: draw noise from the expected counts, and read out the detector."""

from datetime import datetime, timedelta

import numpy as np
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.time import Time

from ccdproc_echelle.simulation.layers import MAX_RAW

__all__ = ["digitised", "expose"]

_FIRST_HOUR = {"flat": 0, "dark": 8, "bias": 16}  # of the night at which each kind is taken
_READOUT_TIME = 20.0  # seconds from the end of an exposure to the start of the next


def expose(simulation, exposure, *, uncertainty=True, raw=False) -> CCDData:
    """Frame of an `EchelleSimulation`; see `EchelleSimulation.flats` for the keywords."""
    scene, noise, turned = simulation._scene, simulation.noise, simulation._turned
    counts, pedestal = simulation.truth._counts(exposure), simulation.truth._pedestal
    data = pedestal + noise.draw(counts, scene, exposure)
    for layer in simulation._layers:
        data = layer.observed(data, counts, scene, exposure)
    header = _header(exposure, noise)
    if raw:
        return CCDData(digitised(turned(data)), unit="adu", header=header)
    masks = [layer.mask(scene, exposure) for layer in simulation._layers]
    masks = [mask for mask in masks if mask is not None]
    mask = turned(np.logical_or.reduce(masks)) if masks else None
    sigma = None
    if uncertainty:
        sigma = StdDevUncertainty(turned(noise.sigma(data - pedestal)).astype(np.float32))
    data = turned(data).astype(np.float32)
    return CCDData(data, unit="adu", header=header, mask=mask, uncertainty=sigma)


def _header(exposure, noise):
    start = datetime(2024, 1, 1, _FIRST_HOUR[exposure.kind])
    start += exposure.index * timedelta(seconds=exposure.time + _READOUT_TIME)
    return fits.Header([
        ("INSTRUME", "EchelleSimulation", "simulated with ccdproc_echelle"),
        ("IMAGETYP", exposure.kind.upper(), "type of exposure"),
        ("FRAMENO", exposure.index + 1, "frame number, from 1"),
        ("DATE-OBS", start.isoformat(timespec="milliseconds"), "start of exposure"),
        ("MJD-OBS", Time(start).mjd, "[d] the same"),
        ("EXPTIME", exposure.time, "[s] exposure time"),
        ("GAIN", noise.gain, "[electron/adu] gain"),
        ("RDNOISE", noise.read_noise, "[electron] read noise"),
    ])


def digitised(data):
    """Digitise values with a 16-bit converter."""
    if not np.isfinite(data).all():
        raise ValueError("raw frames are integers and cannot hold bad pixels that are not finite")
    return np.clip(np.rint(data), 0, MAX_RAW).astype(np.uint16)
