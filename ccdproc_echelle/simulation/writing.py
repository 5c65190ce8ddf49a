# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A night on disk: raw frames as FITS files, one at a time."""

from pathlib import Path

from ccdproc_echelle.frames import check_output, replacing
from ccdproc_echelle.simulation.checks import check
from ccdproc_echelle.simulation.exposing import expose

__all__ = ["write_frames"]


def write_frames(simulation, folder, numbers, *, overwrite) -> list[list[Path]]:
    """Raw frames of each kind; numbers holds how many. Refused before the first is written."""
    paths = {}
    for kind, n in numbers.items():
        check(f"n_{kind}s", n, 0, integer=True)
        names = [Path(folder) / f"{kind}_{i + 1:02d}.fits" for i in range(n)]
        paths[kind] = [check_output(name, overwrite=overwrite) for name in names]
    for kind, names in paths.items():
        for i, path in enumerate(names):
            frame = expose(simulation, simulation._exposure(kind, i), raw=True)
            with replacing(path, overwrite=overwrite) as temporary:
                frame.write(temporary, format="fits")
    return list(paths.values())
