# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The steps of every combination, from the list of images to the output file."""

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
    check_fits_name,
    check_output,
    hdus_of,
    known_bad_pixels,
    open_frames,
    replacing,
    uncertainty_array,
    user_path,
    warn_of_missing_uncertainties,
    without_file_cards,
    without_known_bad,
    write_fits,
)

__all__ = ["as_ccddata", "opened", "streamed", "write"]


# Scales between this and its inverse keep normal values within the range of single precision.
_SMALLEST_SCALE = 1e-10


def _check_target(
    output_file: str | os.PathLike | None,
    settings: CombineSettings,
    inputs: Sequence[str | os.PathLike] = (),
) -> None:
    """Raise if the output file must not be replaced; inputs are never replaced."""
    if output_file is not None:
        check_output(output_file, **_replacement(settings), inputs=inputs)
        check_fits_name(output_file, "the result")


def opened(
    img_list: Any,
    reading: dict,
    output_file: str | os.PathLike | None,
    settings: CombineSettings,
    bad_pixel_mask: Any = None,
) -> list[Frame]:
    """Open the frames, check that none is the output, and warn if some files are missing."""
    _check_target(output_file, settings)
    frames = open_frames(img_list, **reading)
    inputs = [frame.file for frame in frames if frame.file]
    if isinstance(bad_pixel_mask, (str, os.PathLike)):
        inputs.append(user_path(bad_pixel_mask))
    _check_target(output_file, settings, inputs)
    warn_of_missing_uncertainties(frames, "frames")
    bad = known_bad_pixels(bad_pixel_mask, frames, hdu=reading.get("hdu", 0))
    return without_known_bad(frames, bad)


def streamed(
    frames: Sequence[Frame],
    scales: np.ndarray | OrderScales,
    settings: CombineSettings,
    executor: Executor | None,
    progress: Progress,
    want_rejected: bool,
    watch: Watch | None = None,
) -> CombinedImages:
    """Scale and combine the frames with these settings; zero scatter is replaced."""
    images = stream(
        frames,
        scales,
        settings.combiner(),
        weights=settings.weights_of(frames),
        dtype=_dtype(frames, scales, settings),
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


def _dtype(
    frames: Sequence[Frame], scales: np.ndarray | OrderScales, settings: CombineSettings
) -> np.dtype:
    """Single precision if it can represent the frames, the result, and the squares."""
    if settings.dtype is not None:
        return np.dtype(settings.dtype)
    factors = scales.values if isinstance(scales, OrderScales) else scales
    of_any_size = settings.method == "sum" and settings.weights is not None
    if of_any_size or factors.min() < _SMALLEST_SCALE or factors.max() > 1 / _SMALLEST_SCALE:
        return np.dtype(float)
    return np.result_type(*(frame.dtype for frame in frames))


def as_ccddata(frames: Sequence[Frame], combined: CombinedImages, unit: u.UnitBase) -> CCDData:
    """
    The combined frame, with the header and other attributes of the first frame.

    It takes over the images, whose variance is replaced by the uncertainty.
    """
    header, wcs, psf, flags, ccd_class = frames[0].metadata()
    header, psf, flags = without_file_cards(header), *copy.deepcopy((psf, flags))
    header["NCOMBINE"] = len(frames)
    header["combined"] = True
    header["BUNIT"] = unit.to_string()
    types = {frame.uncertainty_type for frame in frames}
    kind = types.pop() if len(types) == 1 and None not in types else StdDevUncertainty
    variance = combined.variance
    ccd = CCDData(
        combined.value,
        unit=unit,
        uncertainty=kind(uncertainty_array(variance, kind, out=variance), copy=False),
        mask=combined.count == 0,
        header=header,
        wcs=wcs,
        psf=psf,
        flags=flags,
    )
    return ccd if ccd_class is CCDData else ccd_class(ccd)


def write(ccd: CCDData, output_file: str | os.PathLike | None, settings: CombineSettings) -> None:
    """Write the combined frame if a file is requested, and check that it can be read."""
    if output_file is not None:
        with replacing(output_file, **_replacement(settings)) as temporary:
            write_fits(hdus_of(ccd), temporary)
            # NumPy does not notice a disk that fills up in the last kilobytes of an array.
            FileFrame(temporary, {"unit": ccd.unit})


def _replacement(settings: CombineSettings) -> dict[str, Any]:
    return {"overwrite": settings.overwrite_output, "keyword": "overwrite_output"}
