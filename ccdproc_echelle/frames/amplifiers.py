# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Find the extensions that are amplifiers of one detector, and their position on it."""

from collections.abc import Mapping, Sequence

from ccdproc_echelle._warnings import warn
from ccdproc_echelle.frames.files import FileFrame
from ccdproc_echelle.frames.regions import check_tiling
from ccdproc_echelle.frames.sections import Box, Place, parse_place
from ccdproc_echelle.frames.views import Frame

__all__ = ["amplifier_frames", "on_common_origin", "place_of", "warn_of_other_images"]

_PLACES = ("DETSEC", "CCDSEC")

# Extensions with these names belong to an image and are not a separate detector.
_COMPANIONS = ("MASK", "UNCERT", "ERR", "ERROR", "VAR", "DQ", "QUAL", "FLAGS")


def amplifier_frames(
    frame: FileFrame, extensions: Sequence[int | str] | None
) -> list[FileFrame]:
    """
    Find the amplifiers that make up a frame.

    Parameters
    ----------
    frame : `FileFrame`
        The opened frame.
    extensions : sequence of int or str, or None
        The extensions requested by the user, if there are several.

    Returns
    -------
    list of `FileFrame`
        The frame itself, unless several extensions were requested, or none was requested, the
        primary HDU is empty and several extensions specify their position on the detector.

    Raises
    ------
    ValueError
        If it is ambiguous which of several images to use.
    """
    if extensions is not None:
        return [_extension(frame, hdu) for hdu in extensions]
    images = _images_to_choose_from(frame)
    placed = [i for i, h in images.items() if any(h.get(card) for card in _PLACES)]
    if placed:
        # An extension without the card is not dropped silently: `place_of` raises an error.
        sizes = {_size(images[i]) for i in placed}
        return [_extension(frame, i) for i, h in images.items() if i in placed or _size(h) in sizes]
    if len(images) > 1:
        raise ValueError(
            f"{frame.name} holds several detectors, in the extensions {_listed(images)}; select "
            "one with hdu= (amplifiers of a single detector need DETSEC or CCDSEC)"
        )
    return [frame]


def warn_of_other_images(frame: Frame) -> None:
    """
    Warn if a frame is only the first of several images in its file.

    Parameters
    ----------
    frame : `Frame`
        The opened frame.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If there are other images, which may be amplifiers of the same detector, and none was
        selected.
    """
    images = _images_to_choose_from(frame) if isinstance(frame, FileFrame) else {}
    if len(images) > 1:
        warn(
            f"{frame.name} has images in the extensions {_listed(images)}, of which the first is "
            "used: select one with hdu=; make_master_flat and "
            "ccdproc_echelle.frames.Readout().open assemble amplifiers"
        )


def _images_to_choose_from(frame: FileFrame) -> dict[int, Mapping]:
    """Headers of the images in its file, unless one was selected or is the primary HDU."""
    if frame.reading.get("hdu", 0) != 0 or frame.layout.hdu == 0:
        return {}
    # An image may have no name, which is not that of a mask or uncertainty that does not exist.
    companions = {frame.layout.mask, frame.layout.uncertainty, *_COMPANIONS} - {None}
    return {i: h for i, h in frame.images().items() if h.get("EXTNAME") not in companions}


def _listed(images: Mapping[int, Mapping]) -> str:
    return ", ".join(f"{i} {h.get('EXTNAME', '')}".strip() for i, h in images.items())


def _extension(frame: FileFrame, hdu: int | str) -> FileFrame:
    return FileFrame(frame.path, frame.reading | {"hdu": hdu}, frame.name)


def _size(header: Mapping) -> tuple[int, int]:
    return header["NAXIS2"], header["NAXIS1"]


def place_of(header: Mapping, source: str) -> Place:
    """
    Position of an amplifier, in pixels as they were read out.

    Parameters
    ----------
    header : dict-like
        With ``DETSEC`` or ``CCDSEC``, and with ``CCDSUM`` if pixels are binned.
    source : str
        Name used in error messages.

    Returns
    -------
    `Place`

    Raises
    ------
    ValueError
        If there is no such card, or it cannot be parsed.
    """
    for card in _PLACES:
        if header.get(card):
            return parse_place(str(header[card]), _binning(header, source), f"{card} of {source}")
    raise ValueError(
        f"{source} has neither DETSEC nor CCDSEC, which give the position of the amplifier; "
        "select one extension with hdu="
    )


def _binning(header: Mapping, source: str) -> tuple[int, int]:
    """Rows and columns combined into one pixel."""
    text = str(header.get("CCDSUM", "1 1"))
    try:
        columns, rows = (int(number) for number in text.replace(",", " ").split())
    except ValueError:
        columns = rows = 0
    if min(columns, rows) < 1:
        raise ValueError(f"CCDSUM of {source} is {text!r}, expected two numbers, such as '1 1'")
    return rows, columns


def on_common_origin(places: Sequence[Place], names: Sequence[str]) -> list[Place]:
    """
    Shift the positions of amplifiers to their common corner.

    Parameters
    ----------
    places : sequence of `Place`
        Position of each amplifier.
    names : sequence of str
        Names used in messages.

    Returns
    -------
    list of `Place`

    Raises
    ------
    ValueError
        If they overlap or leave gaps.
    """
    whole = Box(*(
        slice(min(p.box[i].start for p in places), max(p.box[i].stop for p in places))
        for i in (0, 1)
    ))
    try:
        check_tiling([p.box for p in places], names, whole, "amplifiers")
    except ValueError as error:
        raise ValueError(
            f"{error}. If these are several detectors, select one with hdu="
        ) from error
    return [Place(place.box.inside(whole), place.flipped) for place in places]

