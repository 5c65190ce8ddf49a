# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Combining frames whose scales are known: `ccdproc.combine` in the right order."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any, NamedTuple

import numpy as np
from astropy.nddata import CCDData
from numpy.typing import ArrayLike

from ccdproc_echelle._warnings import warn
from ccdproc_echelle.combining.frame_scale import InnerOrderScale
from ccdproc_echelle.combining.noise_check import doubt_about_noise, some_of
from ccdproc_echelle.combining.noting import Watch
from ccdproc_echelle.combining.progress import SILENT, Progress, one_step
from ccdproc_echelle.combining.settings import CombineSettings
from ccdproc_echelle.combining.steps import as_ccddata, opened, streamed, write
from ccdproc_echelle.combining.streaming import CombinedImages
from ccdproc_echelle.frames import CalibratedFrame, Frame, uncompressed, warn_of_copies

__all__ = ["CombineDiagnostics", "combine_frames", "combine_with_scales"]


class CombineDiagnostics(NamedTuple):
    """
    What became of the values of each pixel.

    Attributes
    ----------
    count : int array, shape (rows, columns)
        How many frames were used.
    rejected : bool array, shape (n_frames, rows, columns)
        Which good values were rejected; masked and non-finite ones are not among them.
    """

    count: np.ndarray
    rejected: np.ndarray


def combine_frames(
    img_list: Any,
    output_file: str | os.PathLike | None = None,
    *,
    scale: ArrayLike | Callable | None = None,
    bad_pixel_mask: Any = None,
    executor: Executor | None = None,
    progress_bar: bool = False,
    diagnostics: bool = False,
    **keywords: Any,
) -> CCDData | tuple[CCDData, CombineDiagnostics]:
    """
    Combine frames: `ccdproc.combine` that scales before it clips and uses the uncertainties.

    Parameters
    ----------
    img_list : list, str or `ccdproc.ImageFileCollection`
        File names (a string may hold several, separated by commas) or
        `~astropy.nddata.CCDData` objects.
    output_file : path-like, optional
        FITS file to be written.
    scale : array, shape (n_frames,), or callable, optional
        Factor by which each frame is multiplied first. A callable gets the frame's data and
        returns its factor; `inner_order_scale` gets the mask as well.
    bad_pixel_mask : array, `~astropy.nddata.CCDData` or path-like, optional
        Pixels of the detector that are known to be bad: not zero (True) or masked, in an image of
        the shape of the frames. They are masked in every frame. Of a FITS file with several images
        the one in ``hdu`` is read.
    executor : `concurrent.futures.Executor`, optional
        What does the work. Default: threads. The result is the same whichever it is.
    progress_bar : bool, optional
        Show progress with tqdm.
    diagnostics : bool, optional
        Whether to return `CombineDiagnostics` as well.
    **keywords
        Those of `CombineSettings`, which are those of `ccdproc.combine`, and of
        ``CCDData.read`` (such as ``hdu`` and ``unit``).

    Returns
    -------
    `~astropy.nddata.CCDData`
        In the unit of the frames, with the header of the first frame and ``NCOMBINE`` and
        ``combined`` added. A pixel is masked (and NaN) where no frame has a good value. The
        uncertainty is of the frames' type and propagated if all have uncertainties; NaN where
        that of a value is. Else it is a `~astropy.nddata.StdDevUncertainty` from the scatter, NaN
        where fewer than two values were left; values that agree get the scatter of pixels as
        bright, and at least that of digitisation or rounding.
    `CombineDiagnostics`
        With ``diagnostics=True``: how many frames were used, and which lost which pixel.

    Raises
    ------
    TypeError
        If a keyword is unknown.
    ValueError
        If there is no frame, frames differ in shape or unit, ``bad_pixel_mask`` has another
        shape, a setting makes no sense, or the output is one of the input files, by whatever name
        or link.
    OSError
        If a file is missing or broken, or the output exists without ``overwrite_output``.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If a frame is a copy of another one: the same file or object, or the same pixels. It
        counts like any other.
        If only some frames have uncertainties, or these cannot be those of the frames: most are
        NaN, or the frames differ by far more. Then the scatter is taken.

    Notes
    -----
    The scatter of N values is known to one part in the root of ``2 * (N - 1)`` only: with three
    frames, 16 % of the pixels deviate by more than five times the uncertainty it claims, with five
    4 %, with ten 1 %; nor can two or three values tell which of them is a cosmic ray. Give few
    frames uncertainties (`ccdproc.create_deviation`), with the gain and read noise that
    `measure_noise` finds if no other are known; `two_pass_flat_combine` does so itself.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.nddata import CCDData
    >>> from ccdproc_echelle import combine_frames
    >>> frames = [CCDData(np.full((4, 4), level), unit="adu") for level in (1.0, 2.0, 4.0)]
    >>> float(combine_frames(frames, scale=[1, 0.5, 0.25]).data.mean())
    1.0
    """
    settings, reading = CombineSettings.from_keywords(keywords, combine_frames)
    frames = opened(img_list, reading, output_file, settings, bad_pixel_mask)
    settings.check_frames(frames)
    with uncompressed(frames) as frames, one_step(progress_bar) as progress:
        combined, images = combine_with_scales(
            frames, scale, settings,
            executor=executor, progress=progress, want_rejected=diagnostics,
        )
        warn_of_copies(frames, images.looks)
    write(combined, output_file, settings)
    found = CombineDiagnostics(images.count, images.rejected)
    return (combined, found) if diagnostics else combined


def combine_with_scales(
    frames: Sequence[Frame],
    scale: ArrayLike | Callable | None,
    settings: CombineSettings,
    *,
    executor: Executor | None = None,
    progress: Progress = SILENT,
    want_rejected: bool = False,
) -> tuple[CCDData, CombinedImages]:
    """
    `combine_frames` for opened frames, which also returns what was counted.

    Parameters
    ----------
    frames : sequence of `Frame`
        The frames, in memory or in files that are not compressed.
    scale, executor
        As `combine_frames`.
    settings : `CombineSettings`
        How frames are combined.
    progress : `Progress`, optional
        Counts the sections that are combined.
    want_rejected
        As `stream`.

    Returns
    -------
    combined : `~astropy.nddata.CCDData`
        The combined frame.
    images : `CombinedImages`
        What it was made of.
    """
    scales = _scales(scale, frames)
    frames, images = _trusted(frames, scales, settings, executor, progress, want_rejected)
    return as_ccddata(frames, images, frames[0].unit), images


def _trusted(
    frames: Sequence[Frame], scales: np.ndarray, settings: CombineSettings, *how: Any
) -> tuple[Sequence[Frame], CombinedImages]:
    """The frames, without uncertainties that cannot be theirs, and what they combine to."""
    # The uncertainties of calibrated frames were made for them, not handed on.
    made = any(isinstance(frame, CalibratedFrame) for frame in frames)
    if made or len(frames) == 1 or any(frame.uncertainty_type is None for frame in frames):
        return frames, streamed(frames, scales, settings, *how)
    shape = frames[0].shape
    watch = Watch(np.broadcast_to(False, shape), some_of(np.arange(np.prod(shape))))
    images = streamed(frames, scales, settings, *how, watch)
    doubt = _doubt(images, by_limits=settings.minmax_clip or settings.weights is not None)
    if not doubt:
        return frames, images
    warn(f"{doubt}. They are not used; the uncertainty is that of the scatter of the frames")
    bare = [frame.without_uncertainty() for frame in frames]
    settings.check_frames(bare)
    return bare, streamed(bare, scales, settings, *how)


def _doubt(images: CombinedImages, *, by_limits: bool) -> str:
    """What speaks against the uncertainties; pixels may be empty by limits or weights as well."""
    noted = images.noted
    common = noted.good.all(axis=0)
    if by_limits:
        common &= np.isfinite(images.value.ravel()[noted.pixels])
    common = np.flatnonzero(common)
    master = images.value.ravel()[noted.pixels[common]]
    values, variances = noted.values.take(common, axis=1), noted.variances.take(common, axis=1)
    # Frames that are combined as they are may differ in level.
    left = np.isfinite(master)
    square = np.square(master[left], dtype=float).sum()
    if square > 0:
        scales = square / (values[:, left] @ master[left].astype(float))[:, None]
        values, variances = values * scales, variances * scales**2
    return doubt_about_noise(values, variances, master)


def _scales(scale: ArrayLike | Callable | None, frames: Sequence[Frame]) -> np.ndarray:
    """One finite positive factor for each frame."""
    if scale is None:
        return np.ones(len(frames))
    if isinstance(scale, InnerOrderScale):
        scale = [scale(frame.ccddata()) for frame in frames]
    elif callable(scale):
        scale = [scale(frame.ccddata().data) for frame in frames]
    scales = np.asarray(scale, dtype=float)
    if scales.size != len(frames):
        raise ValueError(
            f"scale has shape {scales.shape}, expected one number for each of "
            f"{len(frames)} frames"
        )
    scales = scales.ravel()
    for frame, factor in zip(frames, scales, strict=True):
        if not (np.isfinite(factor) and factor > 0):
            raise ValueError(f"the scale of {frame.name} is {factor}, expected a number > 0")
    return scales
