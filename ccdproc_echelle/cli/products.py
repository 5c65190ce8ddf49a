# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Write master flats and check their limits, for several commands."""

import importlib.util
from pathlib import Path

import numpy as np
from astropy.table import QTable

from ccdproc_echelle.cli.messages import print_message
from ccdproc_echelle.frames import FITS_ENDINGS, replacing
from ccdproc_echelle.recipe import MasterFlat

__all__ = ["broken_limits", "check_master_name", "check_plot", "write_product"]


def check_master_name(output: str) -> None:
    """Catch a wrong file name before any work is done."""
    if not output.lower().endswith(FITS_ENDINGS):
        raise ValueError(
            f"--output is {output}, expected a file name that ends in one of {FITS_ENDINGS}: a "
            "master flat is a FITS file"
        )


def check_plot(plot: str) -> None:
    """Check that a figure can be written to this file."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError(
            "--plot needs matplotlib: python -m pip install 'ccdproc_echelle[plot]'"
        )
    from matplotlib.figure import Figure  # optional

    known = sorted(Figure().canvas.get_supported_filetypes())
    if Path(plot).suffix.lower().removeprefix(".") not in known:
        raise ValueError(f"--plot is {plot}, expected a file name that ends in one of {known}")


def write_product(master: MasterFlat, output, plot, *, overwrite: bool) -> list[Path]:
    """
    Write the master flat, then its figure, and return the files written.

    If the figure fails, this causes a warning; the master flat is not affected.
    """
    master.write(output, overwrite=overwrite)
    if plot is None:
        return [Path(output)]
    try:
        with replacing(plot, overwrite=overwrite) as temporary:
            master.plot().savefig(temporary)
    except Exception as error:  # matplotlib and its dependencies may raise anything
        print_message(
            "warning",
            f"the figure {plot} was not written: {type(error).__name__}: {error}; the master flat "
            f"{output} is complete",
        )
        return [Path(output)]
    return [Path(output), Path(plot)]


def broken_limits(quality: QTable) -> list[str]:
    """Describe each quantity that is beyond its limits."""
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
