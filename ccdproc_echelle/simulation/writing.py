# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Write raw frames as FITS files, one at a time."""

from pathlib import Path

from ccdproc_echelle.frames import check_output, replacing
from ccdproc_echelle.simulation.checks import check
from ccdproc_echelle.simulation.exposing import expose

__all__ = ["write_frames"]


def write_frames(simulation, folder, numbers, layout, *, overwrite) -> list[list[Path]]:
    """Write raw frames of each kind, given their numbers; fails before the first is written."""
    paths, suffix = {}, ".fits" if layout is None else layout.suffix
    for kind, n in numbers.items():
        check(f"n_{kind}s", n, 0, integer=True)
        names = [Path(folder) / f"{kind}_{i + 1:02d}{suffix}" for i in range(n)]
        paths[kind] = [check_output(name, overwrite=overwrite) for name in names]
    for kind, names in paths.items():
        for i, path in enumerate(names):
            exposure = simulation._exposure(kind, i)
            if layout is None:
                hdus = expose(simulation, exposure, raw=True).to_hdu()
            else:
                hdus = layout.read_out(simulation, exposure)
            with replacing(path, overwrite=overwrite) as temporary:
                hdus.writeto(temporary)
    return list(paths.values())
