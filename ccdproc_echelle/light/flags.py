# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Meaning of the bits in the flags image of a master flat."""

from enum import IntFlag

__all__ = ["UNUSABLE", "FlatFlag", "flag_cards"]


class FlatFlag(IntFlag):
    """
    Flags of the pixels of a master flat. A pixel without any of these has flags 0.

    The members are integers, as expected by `astropy.nddata.bitmask`. NumPy promotes them to its
    default integer type, so an image of flags should have a signed type.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.nddata.bitmask import bitfield_to_boolean_mask
    >>> from ccdproc_echelle import FlatFlag
    >>> flags = np.zeros(4, dtype=np.int16)
    >>> flags[0] |= FlatFlag.INTERORDER
    >>> flags[2:] |= FlatFlag.LOW_SENSITIVITY
    >>> flags[3] |= FlatFlag.NO_DATA
    >>> flags
    array([1, 0, 2, 6], dtype=int16)
    >>> bitfield_to_boolean_mask(flags, ignore_flags=FlatFlag.INTERORDER)
    array([False, False,  True,  True])
    >>> FlatFlag(6)
    <FlatFlag.LOW_SENSITIVITY|NO_DATA: 6>
    """

    #: Between the orders.
    INTERORDER = 1
    #: The response is below that of the surroundings.
    LOW_SENSITIVITY = 2
    #: Bad in all input frames, for a reason other than ``KNOWN_BAD``.
    NO_DATA = 4
    #: In an order, where its edge could not be measured.
    EXTRAPOLATED_EDGE = 8
    #: An edge of an order runs through the pixel.
    PARTLY_COVERED = 16
    #: There is hardly any response.
    DEAD = 32
    #: The response is above that of the surroundings. This says nothing about the dark current.
    HOT = 64
    #: Clipped in all frames in which it was good.
    ALL_REJECTED = 128
    #: Saturated in at least one input frame.
    SATURATED = 256
    #: In two orders at once.
    OVERLAP = 512
    #: In an order, but not above zero, or not above its own noise.
    FAINT = 1024
    #: Marked as bad in ``bad_pixel_mask``, and not used in any frame.
    KNOWN_BAD = 2048


# Dividing by pixels with any of these flags is not possible.
UNUSABLE = (
    FlatFlag.LOW_SENSITIVITY
    | FlatFlag.NO_DATA
    | FlatFlag.DEAD
    | FlatFlag.HOT
    | FlatFlag.ALL_REJECTED
    | FlatFlag.FAINT
    | FlatFlag.KNOWN_BAD
)

_MEANINGS = {
    FlatFlag.INTERORDER: "between the orders",
    FlatFlag.LOW_SENSITIVITY: "responds less than its surroundings",
    FlatFlag.NO_DATA: "bad in all input frames",
    FlatFlag.EXTRAPOLATED_EDGE: "edge of the order not measured here",
    FlatFlag.PARTLY_COVERED: "an edge of an order runs through it",
    FlatFlag.DEAD: "hardly responds",
    FlatFlag.HOT: "responds more than its surroundings",
    FlatFlag.ALL_REJECTED: "clipped in all frames where it was good",
    FlatFlag.SATURATED: "saturated in at least one input frame",
    FlatFlag.OVERLAP: "in two orders at once",
    FlatFlag.FAINT: "too faint to divide by",
    FlatFlag.KNOWN_BAD: "marked as bad in the bad-pixel mask",
}


def flag_cards() -> list[tuple[str, str, str]]:
    """
    FITS header cards that describe the meaning of each bit.

    Returns
    -------
    list of (str, str, str)
        Keyword ``BITn`` for the bit of value ``2**n``, name of the flag, comment.

    Examples
    --------
    >>> from astropy.io import fits
    >>> from ccdproc_echelle.light import flag_cards
    >>> header = fits.Header(flag_cards())
    >>> header["BIT1"], header.comments["BIT1"]
    ('LOW_SENSITIVITY', 'responds less than its surroundings')
    """
    return [
        (f"BIT{flag.bit_length() - 1}", flag.name, meaning) for flag, meaning in _MEANINGS.items()
    ]
