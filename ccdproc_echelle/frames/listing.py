# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Open frames from any user input: file names, CCDData, ImageFileCollection."""

import glob
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

from astropy.nddata import CCDData
from ccdproc import ImageFileCollection

from ccdproc_echelle._warnings import warn
from ccdproc_echelle._words import and_others, meant_or_expected
from ccdproc_echelle.frames.amplifiers import warn_of_other_images
from ccdproc_echelle.frames.files import READING_KEYWORDS, FileFrame
from ccdproc_echelle.frames.headers import is_of_master_flat, n_combined
from ccdproc_echelle.frames.paths import user_path
from ccdproc_echelle.frames.views import Frame, MemoryFrame, check_alike

__all__ = [
    "check_keywords", "completed_keywords", "list_frames", "matching_paths", "open_frames",
]

# Characters that make a file name a pattern.
_WILDCARDS = set("*?[")

_log = logging.getLogger(__name__)


def open_frames(img_list: Any, *, argument: str = "img_list", **reading: Any) -> list[Frame]:
    """
    Open frames from any input that `ccdproc.combine` accepts.

    Parameters
    ----------
    img_list : list, str, `numpy.ndarray` or `ccdproc.ImageFileCollection`
        File names, `~astropy.nddata.CCDData` objects or frames that are already open. File names
        may be patterns such as ``"night/flat_*.fits"``; a string may hold several, separated by
        commas. For a collection the extension ``ext`` of each file is read, unless ``hdu`` is
        given.
    argument : str, optional
        Name of the user's argument, used in messages.
    **reading
        Passed to ``CCDData.read``.

    Returns
    -------
    list of `Frame`

    Raises
    ------
    ValueError
        If there are no frames, or frames differ in shape or unit.
    TypeError
        If an item is neither a file name nor a CCDData, or a keyword is unknown.
    FileNotFoundError, OSError
        If a file does not exist, is a folder or not a readable FITS file, or no file matches a
        pattern.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If headers have cards that violate the FITS standard. Cards with an illegal keyword become
        ``HIERARCH`` cards; those that have no value or repeat a keyword are dropped. Also if only
        some of the frames are combined from others, or the first is one of several images of its
        file.
    """
    frames = list_frames(img_list, argument=argument, **reading)
    opened = _opened_here(frames, img_list)
    _warn_of_combined(frames, opened)
    for first in opened[:1]:
        warn_of_other_images(first)
    check_alike(frames)
    return frames


def list_frames(
    img_list: Any, *, kind: str = "", argument: str = "img_list", **reading: Any
) -> list[Frame]:
    """
    Open frames that may differ in shape and unit; otherwise like `open_frames`.

    Parameters
    ----------
    img_list
        See `open_frames`.
    kind : str, optional
        What the frames are, such as "bias", used in the names of frames in memory.
    argument, **reading
        See `open_frames`.

    Returns
    -------
    list of `Frame`

    Raises
    ------
    ValueError, TypeError, OSError
        Under the same conditions as in `open_frames`.
    """
    check_keywords(reading, READING_KEYWORDS)
    if isinstance(img_list, ImageFileCollection) and img_list.ext:
        reading = {"hdu": img_list.ext} | reading
    frames = [
        item if isinstance(item, Frame) else
        MemoryFrame(item, f"{kind} frame {i}".lstrip()) if isinstance(item, CCDData) else
        FileFrame(item, reading)
        for i, item in enumerate(_listed(img_list, argument))
    ]
    if not frames:
        raise ValueError(f"{argument} holds no frames")
    opened = _opened_here(frames, img_list)
    files = [frame for frame in opened if isinstance(frame, FileFrame)]
    _tell_of_units(files)
    _warn_of_missing_padding(files)
    _warn_of_illegal_cards(opened)
    return frames


def _opened_here(frames: Sequence[Frame], img_list: Any) -> list[Frame]:
    """Frames that were not open before; of the others everything has been said."""
    given = img_list if isinstance(img_list, Sequence) else ()
    return [frame for frame in frames if not any(frame is item for item in given)]


def _warn_of_combined(frames: Sequence[Frame], opened: Sequence[Frame]) -> None:
    combined = [frame for frame in opened if n_combined(frame.header) > 1]
    masters = [frame for frame in combined if is_of_master_flat(frame.header)]
    if not 0 < len(combined) < len(frames):
        return
    others = [frame for frame in combined if frame not in masters]
    remarks = []
    for some, one, several in (
        (masters, "a master flat", "master flats"),
        (others, *["combined from other frames (COMBINED or NCOMBINE in the header)"] * 2),
    ):
        if some:
            names = ", ".join(frame.name for frame in some)
            remarks.append(f"{names} {f'is {one}' if len(some) == 1 else f'are {several}'}")
    warn(f"{' and '.join(remarks)}, unlike the rest: leave combined frames out")


def _tell_of_units(files: Sequence[FileFrame]) -> None:
    without = [frame for frame in files if frame.layout.lacks_unit]
    if without:
        others = and_others(without, "other frames")
        _log.info("%s%s taken to be in adu: no BUNIT", without[0].name, others)


def _warn_of_missing_padding(files: Sequence[FileFrame]) -> None:
    short = [frame for frame in files if frame.layout.lacks_padding]
    if short:
        warn(
            f"{short[0].name}{and_others(short, 'other frames')}: the file ends without the bytes "
            "that fill its last block, as if it had been cut off; all pixels are there, but check "
            "how it was copied"
        )


def _warn_of_illegal_cards(frames: Sequence[Frame]) -> None:
    guilty = [frame for frame in frames if frame.illegal_cards]
    if guilty:
        others = and_others(guilty, "other frames")
        cards = dict.fromkeys(card for frame in guilty for card in frame.illegal_cards)
        warn(
            f"{guilty[0].name}{others}: the header has cards that violate the FITS "
            f"standard: {', '.join(cards)}; they are kept as HIERARCH cards, or dropped if they "
            "have no value or repeat a keyword; characters other than ASCII are replaced"
        )


def check_keywords(
    names: Iterable[str], known: Sequence[str], others: Sequence[str] = ()
) -> None:
    """
    Raise on unknown keywords, which ccdproc and astropy silently ignore.

    Parameters
    ----------
    names : iterable of str
        Names to check.
    known : sequence of str
        Valid names.
    others : sequence of str, optional
        Names of other arguments that the user may have meant.

    Raises
    ------
    TypeError
        If a keyword is unknown; the message suggests the closest known name.

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
            hint = meant_or_expected(name, known, others)
            raise TypeError(f"unknown keyword {name!r}{hint}")


def completed_keywords(function: Callable, keywords: Mapping[str, Any]) -> dict[str, Any]:
    """
    Complete the keyword-only arguments of a function with its defaults.

    Parameters
    ----------
    function : callable
        The function.
    keywords : dict
        Keywords to pass to it.

    Returns
    -------
    dict
        A value for each of its keywords.

    Raises
    ------
    TypeError
        If a keyword is unknown; the message suggests the closest known name.

    Examples
    --------
    >>> from ccdproc_echelle.frames import completed_keywords
    >>> def clip(data, *, low=3, high=3): ...
    ...
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


def _listed(img_list: Any, argument: str) -> list:
    if isinstance(img_list, ImageFileCollection):
        return [Path(name) for name in img_list.files_filtered(include_path=True)]
    if isinstance(img_list, str):
        img_list = [name.strip() for name in img_list.split(",") if name.strip()]
    if isinstance(img_list, (CCDData, os.PathLike)):
        img_list = [img_list]
    if isinstance(img_list, Iterable):
        return [found for item in img_list for found in matching_paths(item, argument)]
    raise TypeError(
        f"{argument} is a {type(img_list).__name__}; expected file names, CCDData objects or an "
        "ImageFileCollection"
    )


def matching_paths(item: Any, argument: str = "img_list") -> list:
    """
    Find the files that a user means.

    Parameters
    ----------
    item : path-like, `~astropy.nddata.CCDData` or `Frame`
        The name of a file, or a pattern; anything else is returned unchanged.
    argument : str, optional
        Name of the user's argument, used in messages.

    Returns
    -------
    list
        Paths; those that match a pattern are sorted by name.

    Raises
    ------
    TypeError
        If the item has any other type.
    FileNotFoundError
        If no file matches the pattern.
    IsADirectoryError
        If the item is a folder.

    Examples
    --------
    >>> from ccdproc_echelle.frames import matching_paths
    >>> [str(path) for path in matching_paths("night/flat_01.fits")]
    ['night/flat_01.fits']
    """
    if isinstance(item, (CCDData, Frame)):
        return [item]
    if not isinstance(item, (str, os.PathLike)):
        hint = ", such as its .flat" if isinstance(getattr(item, "flat", None), CCDData) else ""
        raise TypeError(
            f"{argument} holds a {type(item).__name__}; expected file names or CCDData objects"
            f"{hint}"
        )
    path = user_path(item)
    if path.is_dir():
        raise IsADirectoryError(
            f'{path} is a folder; expected files, such as "{path}/flat_*.fits", or an '
            "ImageFileCollection"
        )
    if path.exists() or not _WILDCARDS & set(os.fspath(path)):
        return [path]
    # Brackets in the names of folders that exist are part of the name.
    folder = next(parent for parent in path.parents if parent.is_dir())
    names = glob.glob(os.fspath(path.relative_to(folder)), root_dir=folder)
    found = sorted(folder / name for name in names)
    if not found:
        raise FileNotFoundError(f"no file matches {path}")
    return found
