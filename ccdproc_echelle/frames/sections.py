# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Sections as FITS headers and ccdproc write them: ``[x1:x2,y1:y2]``, from 1, ends included."""

from typing import NamedTuple

from ccdproc.utils.slices import slice_from_string

__all__ = [
    "Box", "Place", "has_shape", "is_empty_section", "parse_place", "parse_section",
    "parse_slices", "reaches_beyond",
]

# How headers say that there is no such section.
_EMPTY = ("", "[]", "[0:0,0:0]", "[0,0]", "UNKNOWN", "NONE", "N/A")


class Box(NamedTuple):
    """
    A rectangular part of an image.

    Attributes
    ----------
    rows, columns : slice
        From 0 on, with start and stop.
    """

    rows: slice
    columns: slice

    @classmethod
    def whole(cls, shape: tuple[int, int]) -> "Box":
        """All of an image of this shape."""
        return cls(*(slice(0, n) for n in shape))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return tuple(s.stop - s.start for s in self)

    def common(self, other: "Box") -> "Box | None":
        """What two boxes have in common; `None` if that is nothing."""
        parts = [
            slice(max(a.start, b.start), min(a.stop, b.stop))
            for a, b in zip(self, other, strict=True)
        ]
        return Box(*parts) if all(part.start < part.stop for part in parts) else None

    def inside(self, outer: "Box") -> "Box":
        """The same pixels, counted from the corner of a box that contains them."""
        return Box(*(
            slice(s.start - o.start, s.stop - o.start) for s, o in zip(self, outer, strict=True)
        ))

    def __str__(self) -> str:
        return f"[{_text(self.columns)},{_text(self.rows)}]"


class Place(NamedTuple):
    """
    Where a part of a detector lies on it.

    Attributes
    ----------
    box : `Box`
        Its rows and columns there.
    flipped : tuple of bool
        Whether rows, and columns, run backwards.
    """

    box: Box
    flipped: tuple[bool, bool]


def parse_slices(text: str, source: str) -> tuple[slice, slice]:
    """
    What a FITS section says, of whatever image.

    Parameters
    ----------
    text : str
        ``[x1:x2,y1:y2]``; a ``*`` or ``:`` stands for all rows or columns.
    source : str
        What errors call it: file and card, or argument.

    Returns
    -------
    rows, columns : slice
        From 0 on. Their step is `None`, or -1 where the section runs backwards.

    Raises
    ------
    ValueError
        If it does not parse.

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
    The part of an image that a FITS section means.

    Parameters
    ----------
    text : str
        ``[x1:x2,y1:y2]``; a ``*`` or ``:`` stands for all rows or columns.
    shape : tuple of int
        Rows and columns of the image.
    source : str
        What errors call it: file and card, or argument.

    Returns
    -------
    `Box` or None
        `None` if the section is empty, as headers have them.

    Raises
    ------
    ValueError
        If it does not parse, runs backwards, or does not lie within the image.

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
        raise ValueError(f"{source} is {text!r}, expected a section that runs upwards")
    if any(not 0 <= start < stop <= n for (start, stop), n in zip(ends, shape, strict=True)):
        raise ValueError(
            f"{source} is {text!r}, expected a section within the image of {shape[1]} columns and "
            f"{shape[0]} rows"
        )
    return Box(*(slice(*pair) for pair in ends))


def reaches_beyond(text: str, shape: tuple[int, int], source: str) -> bool:
    """Whether a section ends beyond an image, so that it is that of a larger one."""
    if is_empty_section(text):
        return False
    return any(
        max(s.start or 0, (s.stop or 1) - 1) >= n
        for s, n in zip(parse_slices(text, source), shape, strict=True)
    )


def has_shape(text: str, shape: tuple[int, int], source: str) -> bool:
    """Whether a section, wherever it lies, has as many rows and columns as an image."""
    def length(s, n):
        if s.step is None:
            return n if s.stop is None else s.stop - (s.start or 0)
        return s.start - (-1 if s.stop is None else s.stop)

    return all(
        length(s, n) == n for s, n in zip(parse_slices(text, source), shape, strict=True)
    )


def parse_place(text: str, binning: tuple[int, int], source: str) -> Place:
    """
    Where the pixels of an amplifier lie on its detector.

    Parameters
    ----------
    text : str
        ``[x1:x2,y1:y2]`` in unbinned pixels; backwards where the amplifier is mirrored.
    binning : tuple of int
        Unbinned rows and columns of a pixel.
    source : str
        What errors call it.

    Returns
    -------
    `Place`
        In binned pixels.

    Raises
    ------
    ValueError
        If it does not parse, or names no pixels.

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


def is_empty_section(text: str) -> bool:
    """Whether a header says by this that there is no such section."""
    return text.replace(" ", "").upper() in _EMPTY


def _text(part: slice) -> str:
    return f"{part.start + 1}:{part.stop}"
