# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Sections as in FITS headers and ccdproc: ``[x1:x2,y1:y2]``, 1-based, inclusive."""

from collections.abc import Sequence
from typing import NamedTuple

from ccdproc.utils.slices import slice_from_string

__all__ = [
    "Box", "Place", "has_shape", "is_empty_section", "parse_place", "parse_section",
    "parse_slices", "reaches_beyond", "without_gaps",
]

# Values in headers that mean that there is no such section.
_EMPTY = ("", "[]", "[0:0,0:0]", "[0,0]", "UNKNOWN", "NONE", "N/A")


class Box(NamedTuple):
    """
    Rectangular part of an image.

    Attributes
    ----------
    rows, columns : slice
        0-based, with start and stop.
    """

    rows: slice
    columns: slice

    @classmethod
    def whole(cls, shape: tuple[int, int]) -> "Box":
        """The whole image of this shape."""
        return cls(*(slice(0, n) for n in shape))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return tuple(s.stop - s.start for s in self)

    def common(self, other: "Box") -> "Box | None":
        """Overlap of two boxes; `None` if there is none."""
        parts = [
            slice(max(a.start, b.start), min(a.stop, b.stop))
            for a, b in zip(self, other, strict=True)
        ]
        return Box(*parts) if all(part.start < part.stop for part in parts) else None

    def inside(self, outer: "Box") -> "Box":
        """The same pixels, relative to the corner of a box that contains them."""
        return Box(*(
            slice(s.start - o.start, s.stop - o.start) for s, o in zip(self, outer, strict=True)
        ))

    def __str__(self) -> str:
        return f"[{_text(self.columns)},{_text(self.rows)}]"


class Place(NamedTuple):
    """
    Position of a part of a detector.

    Attributes
    ----------
    box : `Box`
        Its rows and columns on the detector.
    flipped : tuple of bool
        Whether rows, and columns, are reversed.
    """

    box: Box
    flipped: tuple[bool, bool]


def parse_slices(text: str, source: str) -> tuple[slice, slice]:
    """
    Parse a FITS section, for an image of any size.

    Parameters
    ----------
    text : str
        ``[x1:x2,y1:y2]``; a ``*`` or ``:`` stands for all rows or columns.
    source : str
        Name used in error messages: file and card, or argument.

    Returns
    -------
    rows, columns : slice
        0-based slices. Their step is `None`, or -1 if the section runs backwards.

    Raises
    ------
    ValueError
        If the section cannot be parsed.

    Examples
    --------
    >>> from ccdproc_echelle.frames.sections import parse_slices
    >>> parse_slices("[3:10, *]", "trim")
    (slice(None, None, None), slice(2, 10, None))
    """
    try:
        slices = slice_from_string(text, fits_convention=True)
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            f"{source} is {text!r}, expected a FITS section [x1:x2,y1:y2]: {error}"
        ) from error
    if len(slices) != 2 or any(s.step not in (None, -1) for s in slices):
        raise ValueError(f"{source} is {text!r}, expected a FITS section [x1:x2,y1:y2]")
    return slices


def parse_section(text: str, shape: tuple[int, int], source: str) -> Box | None:
    """
    Parse a FITS section as a part of an image.

    Parameters
    ----------
    text : str
        ``[x1:x2,y1:y2]``; a ``*`` or ``:`` stands for all rows or columns.
    shape : tuple of int
        Rows and columns of the image.
    source : str
        Name used in error messages: file and card, or argument.

    Returns
    -------
    `Box` or None
        `None` if the section is empty, as it may be in headers.

    Raises
    ------
    ValueError
        If the section cannot be parsed, runs backwards, or does not lie within the image.

    Examples
    --------
    >>> from ccdproc_echelle.frames.sections import parse_section
    >>> print(parse_section("[3:10, *]", (5, 12), "trim"))
    [3:10,1:5]
    """
    if is_empty_section(text):
        return None
    slices = parse_slices(text, source)
    ends = [
        (s.start or 0, n if s.stop is None and s.step is None else s.stop)
        for s, n in zip(slices, shape, strict=True)
    ]
    if any(s.step is not None for s in slices):
        raise ValueError(f"{source} is {text!r}, expected a section in ascending order")
    if any(not 0 <= start < stop <= n for (start, stop), n in zip(ends, shape, strict=True)):
        raise ValueError(
            f"{source} is {text!r}, expected a section within the image of {shape[1]} columns and "
            f"{shape[0]} rows"
        )
    return Box(*(slice(*pair) for pair in ends))


def reaches_beyond(text: str, shape: tuple[int, int], source: str) -> bool:
    """Whether a section extends beyond an image, and thus belongs to a larger one."""
    if is_empty_section(text):
        return False
    return any(
        max(s.start or 0, (s.stop or 1) - 1) >= n
        for s, n in zip(parse_slices(text, source), shape, strict=True)
    )


def has_shape(text: str, shape: tuple[int, int], source: str) -> bool:
    """Whether a section, wherever it is, has as many rows and columns as an image."""
    def length(s, n):
        if s.step is None:
            return n if s.stop is None else s.stop - (s.start or 0)
        return s.start - (-1 if s.stop is None else s.stop)

    return all(
        length(s, n) == n for s, n in zip(parse_slices(text, source), shape, strict=True)
    )


def parse_place(text: str, binning: tuple[int, int], source: str) -> Place:
    """
    Parse the position of the pixels of an amplifier on its detector.

    Parameters
    ----------
    text : str
        ``[x1:x2,y1:y2]`` in unbinned pixels; in descending order if the amplifier is mirrored.
    binning : tuple of int
        Unbinned rows and columns per pixel.
    source : str
        Name used in error messages.

    Returns
    -------
    `Place`
        Position in binned pixels.

    Raises
    ------
    ValueError
        If the section cannot be parsed, or contains no pixels.

    Examples
    --------
    >>> from ccdproc_echelle.frames.sections import parse_place
    >>> place = parse_place("[2048:1025,1:512]", (1, 2), "DETSEC")
    >>> print(place.box, place.flipped)
    [513:1024,1:512] (False, True)
    """
    slices = parse_slices(text, source)
    if any(s.start is None or (s.stop is None and s.step is None) for s in slices):
        raise ValueError(f"{source} is {text!r}, expected a section [x1:x2,y1:y2]")
    flipped = tuple(s.step is not None for s in slices)
    spans = []
    for s, factor in zip(slices, binning, strict=True):
        low, high = s.start, s.stop
        if s.step is not None:
            low, high = (0 if s.stop is None else s.stop + 1), s.start + 1
        spans.append(slice(low // factor, -(-high // factor)))
    if any(span.stop <= span.start for span in spans):
        raise ValueError(f"{source} is {text!r}, expected a section that is not empty")
    return Place(Box(*spans), flipped)


def without_gaps(boxes: Sequence[Box], source: str) -> list[Box]:
    """
    Move the boxes of a grid together.

    Parameters
    ----------
    boxes : sequence of `Box`
        The boxes.
    source : str
        Name used in error messages.

    Returns
    -------
    list of `Box`
        The same boxes, without the rows and columns that lie between them and before the first.

    Raises
    ------
    ValueError
        If some of their rows, or of their columns, are the same, but not all.

    Examples
    --------
    >>> from ccdproc_echelle.frames.sections import Box, without_gaps
    >>> rows = slice(0, 3)
    >>> print(*without_gaps([Box(rows, slice(2, 6)), Box(rows, slice(9, 11))], "oscan"))
    [1:4,1:3] [5:6,1:3]
    """
    moved = (_together([box[axis] for box in boxes], source) for axis in (0, 1))
    return [Box(*spans) for spans in zip(*moved, strict=True)]


def _together(spans: Sequence[slice], source: str) -> list[slice]:
    places, end, last = {}, 0, 0
    for start, stop in sorted({(span.start, span.stop) for span in spans}):
        if start < last:
            raise ValueError(
                f"{source} has sections that overlap in part, up to pixel {last} and from "
                f"{start + 1} on; expected a grid of sections"
            )
        places[start, stop] = slice(end, end + stop - start)
        end, last = end + stop - start, stop
    return [places[span.start, span.stop] for span in spans]


def is_empty_section(text: str) -> bool:
    """Whether this header value means that there is no such section."""
    return text.replace(" ", "").upper() in _EMPTY


def _text(part: slice) -> str:
    return f"{part.start + 1}:{part.stop}"
