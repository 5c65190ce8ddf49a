# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Frames of a night, described by their headers, each read once."""

import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ccdproc import ImageFileCollection

from ccdproc_echelle._tasks import results_of
from ccdproc_echelle._warnings import kept_warnings
from ccdproc_echelle._words import one_line
from ccdproc_echelle.frames import (
    READING_KEYWORDS,
    exposure_time,
    list_frames,
    may_be_fits,
    observation_time,
    user_path,
)
from ccdproc_echelle.recipe.night.kinds import kind_of
from ccdproc_echelle.recipe.setups import SETUP_KEYWORDS, comparable, type_of

__all__ = ["NightFrame", "is_product_of_night", "read_frames", "setup_values"]

# Files that a night writes next to the folders of its set-ups.
_OWN_FILES = ("qc.ecsv", "index.html")


@dataclass(frozen=True)
class NightFrame:
    """
    Raw frame of a night.

    Attributes
    ----------
    path : `~pathlib.Path`
        Path of the file.
    kind : {"flat", "bias", "dark", "off"}
        Type of the frame; "off" is a lamp-off frame.
    setup : dict
        Values of the set-up keywords, as text, the ``shape`` of the image, and the ``type`` that
        the header gives, which tells the flats of a dome from those of the sky.
    exposure : float or None
        Exposure time in seconds.
    time : float or None
        Start of the exposure as MJD.
    """

    path: Path
    kind: str
    setup: Mapping[str, str]
    exposure: float | None
    time: float | None


def read_frames(
    folder: str | os.PathLike | ImageFileCollection, keywords: Mapping[str, Any]
) -> tuple[list[NightFrame], list[tuple[Path, str]]]:
    """
    Find the raw frames in a folder, and the files that are left out, with the reason.

    Parameters
    ----------
    folder : path-like or `ccdproc.ImageFileCollection`
        Folder with raw frames; subfolders are not searched.
    keywords : dict
        Keywords of `make_master_flat`, of which those for reading files, ``exposure_key`` and
        ``setup_keywords`` are used.

    Returns
    -------
    frames : list of `NightFrame`
        The frames, sorted by name.
    left_out : list of (`~pathlib.Path`, str)
        Files that are not calibration frames or cannot be read, and the reason.

    Raises
    ------
    TypeError
        If it is neither a folder nor a collection.
    OSError
        If the folder does not exist.
    """
    names = tuple(dict.fromkeys((*SETUP_KEYWORDS, *keywords.get("setup_keywords", ()))))
    reading = {name: keywords[name] for name in READING_KEYWORDS if name in keywords}
    if isinstance(reading.get("hdu"), list):
        reading["hdu"] = next((one for one in reading["hdu"] if one != 0), 0)
    key = keywords.get("exposure_key")
    found = results_of((partial(_seen, path, names, reading, key) for path in _paths(folder)), None)
    frames, left_out = [], []
    # Not in each thread: they share the filters, which the first to finish would restore for all.
    with warnings.catch_warnings(action="ignore"):
        for one in found:
            (frames if isinstance(one, NightFrame) else left_out).append(one)
    return frames, left_out


def _paths(folder: str | os.PathLike | ImageFileCollection) -> list[Path]:
    if isinstance(folder, ImageFileCollection):
        return [Path(name) for name in folder.files_filtered(include_path=True)]
    if not isinstance(folder, (str, os.PathLike)):
        raise TypeError(
            f"folder is a {type(folder).__name__}, expected a folder or an ImageFileCollection"
        )
    folder = user_path(folder)
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder, expected one with raw frames")
    return sorted(path for path in folder.iterdir() if _may_be_raw(path))


def _may_be_raw(path: Path) -> bool:
    hidden = path.name.startswith(".")
    return path.is_file() and not hidden and not is_product_of_night(path)


def is_product_of_night(path: Path) -> bool:
    """
    Whether a file next to raw frames was written by a night: its quality table or its page.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.

    Returns
    -------
    bool
    """
    return path.name in _OWN_FILES and all((path.parent / name).exists() for name in _OWN_FILES)


def _seen(
    path: Path, names: tuple[str, ...], reading: Mapping[str, Any], exposure_key: Any
) -> NightFrame | tuple[Path, str]:
    """A frame, or its file and the reason why it is left out."""
    try:
        if not may_be_fits(path):
            return path, "it is not a FITS file"
        with kept_warnings():  # the recipe repeats them for the frames that it uses
            frame, = list_frames([path], **reading)
    except (ValueError, OSError) as error:
        return path, one_line(error).replace(f"{path} is ", "it is ")
    header = frame.header
    kind, reason = kind_of(header)
    if kind is None:
        return path, reason
    shape = {"shape": "x".join(map(str, frame.shape))}
    setup = setup_values(header, names) | shape | type_of(header)
    times = exposure_time(header, exposure_key), observation_time(header)
    return NightFrame(path, kind, setup, *times)


def setup_values(header: Mapping, names: Iterable[str] = SETUP_KEYWORDS) -> dict[str, str]:
    """
    Extract the set-up from a header.

    Parameters
    ----------
    header : dict-like
        Header of a raw frame or of a master flat.
    names : iterable of str
        The keywords to extract.

    Returns
    -------
    dict
        Values, as text, of those keywords that the header has.
    """
    return {name: comparable(header[name]) for name in names if name in header}
