# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Find copies of a frame in a list of frames, since these are not independent measurements."""

from collections.abc import Hashable, Mapping, Sequence
from hashlib import blake2b

import numpy as np

from ccdproc_echelle._warnings import warn
from ccdproc_echelle.frames.gathering import row_blocks
from ccdproc_echelle.frames.views import Frame

__all__ = ["check_roles", "look_at", "twins_of", "warn_of_copies"]

# Frames in which this many rows in the middle are equal are compared as a whole.
_FIRST_ROWS = 4

# With noise, neighbouring pixels differ about as often as the same pixels of two frames. If fewer
# do, as in a frame with a single value, two exposures may be equal by chance.
_LEAST_CHANGES = 100


def look_at(frame: Frame) -> bytes:
    """
    Digest of a few rows in the middle, before calibration, which distinguishes most frames.

    Parameters
    ----------
    frame : `Frame`
        A frame, or some rows of it.

    Returns
    -------
    bytes
        Equal for equal frames, and hardly ever for different ones.
    """
    first = max(0, frame.shape[0] // 2 - _FIRST_ROWS // 2)
    rows = _values(frame.as_read.part(slice(first, first + _FIRST_ROWS)))
    return blake2b(np.ascontiguousarray(rows, dtype="f4"), digest_size=16).digest()


def twins_of(
    frames: Sequence[Frame], looks: Sequence[Hashable] | None = None
) -> list[int | None]:
    """
    Find frames that are copies of others: the same exposure twice.

    Copies are the same object or file, under whatever name or link, or equal in all pixels before
    calibration. Only frames with equal digests are read as a whole.

    Parameters
    ----------
    frames : sequence of `Frame`
        Frames of the same shape; compressed files should be unpacked first.
    looks : sequence, optional
        Results of `look_at` for each frame, or for each part of it, if they are already known.

    Returns
    -------
    list of int or None
        For each frame, the index of the first frame of which it is a copy; `None` if it is not a
        copy.

    Examples
    --------
    >>> from ccdproc_echelle.frames import open_frames, twins_of
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> flats = EchelleSimulation(shape=(64, 64), n_orders=2).flats(2)
    >>> twins_of(open_frames([*flats, flats[0].copy()]))
    [None, None, 0]
    """
    raw = [frame.as_read for frame in frames]
    sources = [frame.source for frame in raw]
    looks = [look_at(frame) for frame in raw] if looks is None else looks
    twins = []
    for i, frame in enumerate(raw):
        alike = (
            j for j in range(i)
            if twins[j] is None and (
                sources[j] == sources[i] or (looks[j] == looks[i] and _equal(raw[j], frame))
            )
        )
        twins.append(next(alike, None))
    return twins


def warn_of_copies(frames: Sequence[Frame], looks: Sequence[Hashable]) -> None:
    """
    Warn if frames to be combined are copies of others.

    Parameters
    ----------
    frames, looks
        See `twins_of`.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If there are copies; each copy and the original are named.
    """
    pairs = [
        f"{frame.name} is a copy of {frames[twin].name}"
        for frame, twin in zip(frames, twins_of(frames, looks), strict=True) if twin is not None
    ]
    if pairs:
        warn(
            f"{', '.join(pairs)}: counted as independent measurements, copies make the "
            "uncertainty too small and outvote other frames in the clipping; leave them out",
        )


def check_roles(frames: Mapping[str, Sequence[Frame] | None]) -> None:
    """
    Raise if a frame is given in two roles, for example as flat and as bias.

    Parameters
    ----------
    frames : dict
        Frames of each role.

    Raises
    ------
    ValueError
        If a frame has two roles; the message names it.

    Examples
    --------
    >>> from ccdproc_echelle.frames import check_roles, open_frames
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> flats = open_frames(EchelleSimulation(shape=(64, 64), n_orders=2).flats(2))
    >>> check_roles({"flat": flats, "bias": flats[1:]})
    Traceback (most recent call last):
    ...
    ValueError: frame 1 is given as flat and as bias, expected only one role
    """
    roles: dict[Hashable, str] = {}
    for role, members in frames.items():
        for frame in members or ():
            other = roles.setdefault(frame.source, role)
            if other != role:
                raise ValueError(
                    f"{frame.name} is given as {other} and as {role}, expected only one role"
                )


def _equal(one: Frame, other: Frame) -> bool:
    """Whether frames have equal pixels, with enough different values to rule out chance."""
    n_changes = 0
    for rows in row_blocks(0, *one.shape):
        values = _values(one.part(rows))
        if not np.array_equal(values, _values(other.part(rows)), equal_nan=True):
            return False
        values = np.nan_to_num(values)  # a value that is not there is no change
        n_changes += np.count_nonzero(values[:, 1:] != values[:, :-1])
    return n_changes >= _LEAST_CHANGES


def _values(frame: Frame) -> np.ndarray:
    return frame.load().section(slice(None)).data
