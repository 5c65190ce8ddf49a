# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The steps of every combination, from the list of images to the file that is written."""

import copy
import os
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np
from astropy import units as u
from astropy.nddata import CCDData, StdDevUncertainty

from ccdproc_echelle.combining.noting import Watch
from ccdproc_echelle.combining.progress import Progress
from ccdproc_echelle.combining.scales import OrderScales
from ccdproc_echelle.combining.scatter import fill_zero_scatter
from ccdproc_echelle.combining.settings import CombineSettings
from ccdproc_echelle.combining.streaming import CombinedImages, stream
from ccdproc_echelle.frames import (
    FileFrame,
    Frame,
    check_output,
    open_frames,
    replacing,
    uncertainty_array,
    warn_of_missing_uncertainties,
)

__all__ = ["as_ccddata", "check_target", "opened", "streamed", "write"]


def check_target(output_file: str | os.PathLike | None, settings: CombineSettings) -> None:
    """Refuse an output file that exists and may not be replaced, before anything is read."""
    if output_file is not None:
        check_output(output_file, overwrite=settings.overwrite_output)


def opened(img_list: Any, reading: dict) -> list[Frame]:
    """The frames, with a warning if only some of them have uncertainties."""
    frames = open_frames(img_list, **reading)
    warn_of_missing_uncertainties(frames, "frames")
    return frames


def streamed(
    frames: Sequence[Frame],
    scales: np.ndarray | OrderScales,
    settings: CombineSettings,
    executor: Executor | None,
    progress: Progress,
    want_rejected: bool,
    watch: Watch | None = None,
) -> CombinedImages:
    """The frames, scaled and combined with these settings; of a scatter that is not 0."""
    dtype = settings.dtype or np.result_type(*(frame.dtype for frame in frames))
    images = stream(
        frames,
        scales,
        settings.combiner(),
        weights=settings.weights_of(frames),
        dtype=np.dtype(dtype),
        mem_limit=settings.mem_limit,
        executor=executor,
        progress=progress,
        want_rejected=want_rejected,
        watch=watch,
    )
    unknown = any(frame.uncertainty_type is None for frame in frames)
    if unknown and settings.combine_uncertainty_function is None:
        fill_zero_scatter(images, frames, scales)
    return images


def as_ccddata(frames: Sequence[Frame], combined: CombinedImages, unit: u.UnitBase) -> CCDData:
    """The combined frame, with the header and WCS of the first one."""
    header, wcs = frames[0].metadata()
    header = copy.deepcopy(header)
    header["NCOMBINE"] = len(frames)
    header["combined"] = True
    header["BUNIT"] = unit.to_string()
    types = {frame.uncertainty_type for frame in frames}
    kind = types.pop() if len(types) == 1 and None not in types else StdDevUncertainty
    return CCDData(
        combined.value,
        unit=unit,
        uncertainty=kind(uncertainty_array(combined.variance, kind)),
        mask=combined.count == 0,
        header=header,
        wcs=wcs,
    )


def write(ccd: CCDData, output_file: str | os.PathLike | None, settings: CombineSettings) -> None:
    """Write the combined frame, if a file is asked for, and make sure that it can be read."""
    if output_file is not None:
        with replacing(output_file, overwrite=settings.overwrite_output) as temporary:
            ccd.write(temporary, format="fits")
            # NumPy does not notice if a disk gets full in the last kilobytes of an array.
            FileFrame(temporary, {"unit": ccd.unit})
