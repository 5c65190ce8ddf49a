# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Master flats written, and their limits judged, by several commands."""

import numpy as np
from astropy.table import QTable

from ccdproc_echelle.frames import replacing
from ccdproc_echelle.recipe import MasterFlat

__all__ = ["broken_limits", "check_master_name", "write_product"]

_FITS = (".fits", ".fit", ".fts", ".fits.gz")


def check_master_name(output: str) -> None:
    """A slip of the pen is found before any work is done."""
    if not output.lower().endswith(_FITS):
        raise ValueError(
            f"--output is {output}, expected a file name that ends in one of {_FITS}: a master "
            "flat is a FITS file"
        )


def write_product(master: MasterFlat, output, plot, *, overwrite: bool) -> None:
    """The figure is drawn first: if that fails no file is written."""
    if plot is None:
        master.write(output, overwrite=overwrite)
        return
    figure = master.plot()
    with replacing(plot, overwrite=overwrite) as temporary:
        figure.savefig(temporary)
        master.write(output, overwrite=overwrite)


def broken_limits(quality: QTable) -> list[str]:
    """What to say of each quantity that is beyond its limits."""
    return [
        f"{row['name']} is {row['value']:.6g}, expected {_range(row['lower'], row['upper'])}"
        for row in quality[quality["verdict"] == "fail"]
    ]


def _range(lower: float, upper: float) -> str:
    if np.isnan(lower):
        return f"at most {upper:.6g}"
    if np.isnan(upper):
        return f"at least {lower:.6g}"
    return f"{lower:.6g} to {upper:.6g}"
