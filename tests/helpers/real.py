# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Real frames that several wings are tested on, each read once and not to be changed."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData

from ccdproc_echelle import EchelleOrderTable


@pytest.fixture(scope="session")
def zyla(data_dir):
    """Raw frames of one kind, "flat" or "dark"."""
    read = {}

    def frames(kind):
        if kind not in read:
            paths = sorted((data_dir / "zyla").glob(f"zyla_{kind}_0?.fits.gz"))
            read[kind] = [_locked(*fits.getdata(path, header=True)) for path in paths]
        return read[kind]

    return frames


def _locked(data, header):
    data.setflags(write=False)
    return CCDData(data, unit="adu", header=header)


@pytest.fixture(scope="session")
def zyla_flat(zyla):
    """The mean of the flats without that of the darks, in adu."""
    flat, dark = (
        np.mean([frame.data for frame in zyla(kind)], axis=0) for kind in ("flat", "dark")
    )
    flat -= dark
    flat.setflags(write=False)
    return flat


@pytest.fixture(scope="session")
def zyla_orders(data_dir, zyla):
    """The order centres that come with the frames."""
    return EchelleOrderTable.read(
        data_dir / "zyla" / "order_centres.txt",
        format="samples",
        shape=zyla("flat")[0].shape,
        dispersion_axis=1,
    )
