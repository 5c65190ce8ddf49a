# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A small picture of a flat, without matplotlib."""

import struct
import zlib

import numpy as np

__all__ = ["thumbnail"]

# Longest side of the thumbnail in pixels.
_THUMBNAIL = 320


def thumbnail(image: np.ndarray) -> bytes:
    """
    Create a small image of a flat.

    The first row is at the bottom. The square root of the values is shown, so that faint orders are
    visible.

    Parameters
    ----------
    image : array, shape (rows, columns)
        The flat.

    Returns
    -------
    bytes
        A PNG file of at most 320 pixels per side.
    """
    step = -(-max(image.shape) // _THUMBNAIL)
    small = np.sqrt(np.maximum(np.nan_to_num(image[::step, ::step]), 0))[::-1]
    gray = (255 * np.clip(small / max(np.quantile(small, 0.99), 1e-6), 0, 1)).astype(np.uint8)
    rows, columns = gray.shape
    lines = np.hstack([np.zeros((rows, 1), dtype=np.uint8), gray]).tobytes()
    header = struct.pack(">2I5B", columns, rows, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
