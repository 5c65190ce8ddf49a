# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Frames from whatever a user hands in: file names, CCDData, ImageFileCollection."""

import difflib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

from astropy.nddata import CCDData
from ccdproc import ImageFileCollection

from ccdproc_echelle.frames.files import READING_KEYWORDS, FileFrame
from ccdproc_echelle.frames.paths import user_path
from ccdproc_echelle.frames.views import Frame, MemoryFrame, check_alike

__all__ = ["check_keywords", "completed_keywords", "list_frames", "open_frames"]


def open_frames(img_list: Any, **reading: Any) -> list[Frame]:
    """
    Frames from whatever `ccdproc.combine` accepts.

    Parameters
    ----------
    img_list : list, str, `numpy.ndarray` or `ccdproc.ImageFileCollection`
        File names, `~astropy.nddata.CCDData` objects or frames that are opened already; a
        string may hold several file names separated by commas.
    **reading
        Keywords of ``CCDData.read``.

    Returns
    -------
    list of `Frame`

    Raises
    ------
    ValueError
        If there is no frame, or frames differ in shape or unit.
    TypeError
        If an item is neither a file name nor a CCDData, or a keyword is unknown.
    FileNotFoundError, OSError
        If a file is missing or not a readable FITS file.
    """
    frames = list_frames(img_list, **reading)
    check_alike(frames)
    return frames


def list_frames(img_list: Any, **reading: Any) -> list[Frame]:
    """
    `open_frames` for frames that may differ in shape and unit.

    Parameters
    ----------
    img_list, **reading
        As for `open_frames`.

    Returns
    -------
    list of `Frame`

    Raises
    ------
    ValueError, TypeError, OSError
        As `open_frames`.
    """
    check_keywords(reading, READING_KEYWORDS)
    frames = [
        item if isinstance(item, Frame) else
        MemoryFrame(item, f"frame {i}") if isinstance(item, CCDData) else
        FileFrame(_as_path(item), reading)
        for i, item in enumerate(_listed(img_list))
    ]
    if not frames:
        raise ValueError("img_list holds no frames")
    return frames




def check_keywords(
    names: Iterable[str], known: Sequence[str], others: Sequence[str] = ()
) -> None:
    """
    Refuse unknown keywords, which ccdproc and astropy let pass in silence.

    Parameters
    ----------
    names : iterable of str
        Names of keywords.
    known : sequence of str
        The names that may occur.
    others : sequence of str, optional
        Names of arguments that may have been meant as well.

    Raises
    ------
    TypeError
        If a keyword is unknown; the message names the one that is most like it.

    Examples
    --------
    >>> from ccdproc_echelle.frames import READING_KEYWORDS, check_keywords
    >>> check_keywords(["hdu_mark"], READING_KEYWORDS)
    Traceback (most recent call last):
    ...
    TypeError: unknown keyword 'hdu_mark'; did you mean 'hdu_mask'?
    """
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, [*known, *others], n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"unknown keyword {name!r}{hint}")


def completed_keywords(function: Callable, keywords: Mapping[str, Any]) -> dict[str, Any]:
    """
    The keyword-only arguments of a function: those given, and the defaults of the others.

    Parameters
    ----------
    function : callable
        The function.
    keywords : dict
        What it is to be given.

    Returns
    -------
    dict
        A value for each of its keywords.

    Raises
    ------
    TypeError
        If a keyword is unknown; the message names the one that is most like it.

    Examples
    --------
    >>> from ccdproc_echelle.frames import completed_keywords
    >>> def clip(data, *, low=3, high=3): ...
    >>> completed_keywords(clip, {"high": 5})
    {'low': 3, 'high': 5}
    """
    defaults = {
        name: parameter.default
        for name, parameter in signature(function).parameters.items()
        if parameter.kind is Parameter.KEYWORD_ONLY
    }
    check_keywords(keywords, list(defaults))
    return defaults | dict(keywords)


def _listed(img_list: Any) -> list:
    if isinstance(img_list, ImageFileCollection):
        return list(img_list.files_filtered(include_path=True))
    if isinstance(img_list, str):
        return [name.strip() for name in img_list.split(",") if name.strip()]
    if isinstance(img_list, (CCDData, os.PathLike)):
        return [img_list]
    if isinstance(img_list, Iterable):
        return list(img_list)
    raise TypeError(
        f"img_list is a {type(img_list).__name__}; expected file names, CCDData objects or an "
        "ImageFileCollection"
    )


def _as_path(item: Any) -> Path:
    if isinstance(item, (str, os.PathLike)):
        return user_path(item)
    raise TypeError(
        f"img_list holds a {type(item).__name__}; expected file names or CCDData objects"
    )
