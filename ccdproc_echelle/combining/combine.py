# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Combine frames with known scales: `ccdproc.combine` with scaling before clipping."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any, NamedTuple

import numpy as np
from astropy import units as u
from astropy.nddata import CCDData
from numpy.typing import ArrayLike

from ccdproc_echelle._warnings import warn
from ccdproc_echelle._words import and_others
from ccdproc_echelle.combining.frame_scale import InnerOrderScale
from ccdproc_echelle.combining.noise_check import doubt_about_noise, some_of
from ccdproc_echelle.combining.noting import Watch
from ccdproc_echelle.combining.progress import SILENT, Progress, one_step
from ccdproc_echelle.combining.settings import CombineSettings
from ccdproc_echelle.combining.size_of_noise import warn_of_size
from ccdproc_echelle.combining.steps import as_ccddata, opened, streamed, write
from ccdproc_echelle.combining.streaming import CombinedImages
from ccdproc_echelle.frames import CalibratedFrame, Frame, uncompressed, warn_of_copies

__all__ = ["CombineDiagnostics", "combine_frames", "combine_with_scales"]


class CombineDiagnostics(NamedTuple):
    """
    Number of frames used, and rejected values, for each pixel.

    Attributes
    ----------
    count : int array, shape (rows, columns)
        Number of frames that were used.
    rejected : bool array, shape (n_frames, rows, columns)
        Good values that were rejected; masked and non-finite values are not included.
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
    Combine frames like `ccdproc.combine`, but scale before clipping and use the uncertainties.

    Parameters
    ----------
    img_list : list, str or `ccdproc.ImageFileCollection`
        Names of FITS files (a single string may hold several, separated by commas) or
        `~astropy.nddata.CCDData` objects.
    output_file : path-like, optional
        Name of the FITS file to write.
    scale : array, shape (n_frames,), or callable, optional
        Factor by which each frame is multiplied before anything else. A callable gets the data of
        the frame and returns its factor; `inner_order_scale` gets the mask as well.
    bad_pixel_mask : array, `~astropy.nddata.CCDData` or path-like, optional
        Known bad pixels of the detector: non-zero (True) or masked in an image with the shape of
        the frames. They are masked in every frame. If a FITS file has several images, the one in
        ``hdu`` is used.
    executor : `concurrent.futures.Executor`, optional
        Executor that does the work. Default: threads. The result does not depend on it.
    progress_bar : bool, optional
        Whether to show a progress bar (requires tqdm).
    diagnostics : bool, optional
        Whether to return `CombineDiagnostics` as well.
    **keywords
        Keywords of `CombineSettings`, which are those of `ccdproc.combine`, and of
        ``CCDData.read``, such as ``hdu`` and ``unit``.

    Returns
    -------
    `~astropy.nddata.CCDData`
        The combined frame, in the unit of the input frames. The header is that of the first frame,
        with ``NCOMBINE`` and ``combined`` added. Pixels without a good value in any frame are
        masked and NaN. If all frames have uncertainties, these are propagated, in the type that the
        frames have; NaN where the uncertainty of a value is NaN. Otherwise the uncertainty is a
        `~astropy.nddata.StdDevUncertainty` derived from the scatter of the frames, NaN where fewer
        than two values remained. Where the values agree exactly, the scatter of equally bright
        pixels is used, and at least that of digitisation or rounding.
    `CombineDiagnostics`
        Only if ``diagnostics=True``: the number of frames used and the rejected values.

    Raises
    ------
    TypeError
        If a keyword is unknown.
    ValueError
        If there are no frames, frames differ in shape or unit, ``bad_pixel_mask`` has a different
        shape, a setting is invalid, or the output is one of the input files, under whatever name or
        link.
    OSError
        If a file is missing or damaged, or the output exists and ``overwrite_output`` is not set.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If a frame is a copy of another one: the same file or object, or the same pixel values. It
        still counts as a frame. If only some frames have uncertainties, or the uncertainties are
        implausible: most are NaN, or the frames differ by far more. In both cases the scatter of
        the frames is used instead. If the uncertainties are a few times too small or too large;
        they are used all the same.

    Notes
    -----
    The scatter of N values is only known to one part in the square root of ``2 * (N - 1)``. With
    three frames, 16 % of the pixels deviate by more than five times the claimed uncertainty, with
    five frames 4 %, with ten frames 1 %; and two or three values do not reveal which of them is a
    cosmic ray. When combining few frames, give them uncertainties first
    (`ccdproc.create_deviation`), with the gain and read noise from `measure_noise` if no others are
    known. `two_pass_flat_combine` does this automatically.

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
    settings.check_executor(executor)
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
    Combine opened frames as `combine_frames` does, and also return the counts.

    Parameters
    ----------
    frames : sequence of `Frame`
        The frames, in memory or in uncompressed files.
    scale, executor
        See `combine_frames`.
    settings : `CombineSettings`
        How the frames are combined.
    progress : `Progress`, optional
        Progress indicator, advanced by each section that is combined.
    want_rejected
        See `stream`.

    Returns
    -------
    combined : `~astropy.nddata.CCDData`
        The combined frame.
    images : `CombinedImages`
        The combined images, with the number of frames used.
    """
    scales = _scales(scale, frames)
    frames, images = _trusted(frames, scales, settings, executor, progress, want_rejected)
    if not images.count.any():
        warn(
            f"the combination of {frames[0].name}{and_others(frames)} has no values: all are "
            "masked or rejected, or have no weight"
        )
    return as_ccddata(frames, images, frames[0].unit), images


def _trusted(
    frames: Sequence[Frame], scales: np.ndarray, settings: CombineSettings, *how: Any
) -> tuple[Sequence[Frame], CombinedImages]:
    """The frames, stripped of implausible uncertainties, and the combined images."""
    # The uncertainties of calibrated frames were computed for them, not inherited.
    made = any(isinstance(frame, CalibratedFrame) for frame in frames)
    if made or len(frames) == 1 or any(frame.uncertainty_type is None for frame in frames):
        return frames, streamed(frames, scales, settings, *how)
    shape = frames[0].shape
    watch = Watch(np.broadcast_to(False, shape), some_of(np.arange(np.prod(shape))))
    images = streamed(frames, scales, settings, *how, watch)
    by_limits = settings.minmax_clip or settings.weights is not None
    doubt = _doubt(frames, images, by_limits=by_limits)
    if not doubt:
        return frames, images
    warn(f"{doubt}. They are not used; the uncertainty is derived from the scatter of the frames")
    bare = [frame.without_uncertainty() for frame in frames]
    settings.check_frames(bare)
    return bare, streamed(bare, scales, settings, *how)


def _doubt(frames: Sequence[Frame], images: CombinedImages, *, by_limits: bool) -> str:
    """
    Evidence against the uncertainties, with a warning if only their size is wrong.

    Pixels may also be empty because of limits or weights.
    """
    noted = images.noted
    common = noted.good.all(axis=0)
    if by_limits:
        common &= np.isfinite(images.value.ravel()[noted.pixels])
    pairs = common[: len(common) // 2 * 2].reshape(-1, 2).all(axis=1)
    common = np.flatnonzero(np.repeat(pairs, 2))
    master = images.value.ravel()[noted.pixels[common]]
    values, variances = noted.values.take(common, axis=1), noted.variances.take(common, axis=1)
    # Frames that are combined without scaling may differ in level.
    left = np.isfinite(master)
    square = np.square(master[left], dtype=float).sum()
    if square > 0:
        scales = square / (values[:, left] @ master[left].astype(float))[:, None]
        values, variances = values * scales, variances * scales**2
    doubt = doubt_about_noise(frames, values, variances, master)
    if not doubt:
        warn_of_size(frames, values, variances)
    return doubt


def _scales(scale: ArrayLike | Callable | None, frames: Sequence[Frame]) -> np.ndarray:
    """One finite positive factor per frame."""
    if scale is None:
        return np.ones(len(frames))
    if isinstance(scale, InnerOrderScale):
        scale = [scale(frame.ccddata()) for frame in frames]
    elif callable(scale):
        scale = [scale(frame.ccddata().data) for frame in frames]
    try:
        scales = u.Quantity(scale, dtype=float).to_value(u.dimensionless_unscaled)
    except u.UnitConversionError:
        raise ValueError(
            f"scale is {scale!r}, expected numbers without a unit, such as its .value"
        ) from None
    except (TypeError, ValueError):
        raise TypeError(
            f"scale is {scale!r}, expected numbers or a function of the data"
        ) from None
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
