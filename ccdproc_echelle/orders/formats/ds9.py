# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Region files for SAOImage DS9 [1]_, to display order centres and edges on top of a frame.

Each curve is one ``segment`` region (an open polyline) in image coordinates, which count from 1,
with one colour per kind of curve and the order number in the middle of the order centre. The files
cannot be read back: a polyline that was moved by hand is no longer an order.

References
----------
.. [1] SAOImage DS9 Reference Manual, Regions, https://ds9.si.edu/doc/ref/region.html
"""

from pathlib import Path

import numpy as np
from astropy import units as u

from ccdproc_echelle.orders.registry import register_format
from ccdproc_echelle.orders.table import EchelleOrderTable

__all__ = ["write"]

_COLORS = {"center": "green", "lower": "cyan", "upper": "magenta"}

# Longest piece of a polyline, in dispersion pixels: even for an order that bends by a tenth of its
# length over 1000 pixels, the polyline deviates by no more than a few hundredths of a pixel.
_STEP = 16


def write(orders: EchelleOrderTable, path: Path) -> None:
    """
    Write DS9 regions.

    Parameters
    ----------
    orders : `EchelleOrderTable`
        The orders to write.
    path : `pathlib.Path`
        The file to write.
    """
    lines = ["# Region file format: DS9 version 4.1", "global width=1", "image"]
    for order in orders:
        pixels = _vertices(order)
        for name, color in _COLORS.items():
            if name == "center" or order.has_edges:
                points = _points(order, name, pixels)
                lines.append(f"# segment({points}) color={color}")
        middle = _points(order, "center", pixels[len(pixels) // 2, None])
        lines.append(
            f"# text({middle}) color={_COLORS['center']} text={{{order.order_numbers[0]}}}"
        )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _vertices(order: EchelleOrderTable) -> np.ndarray:
    """Dispersion pixels from one end of the valid range to the other."""
    low, high = (u.Quantity(order.table[f"pixel_{end}"], u.pix).value[0] for end in ("min", "max"))
    return np.linspace(low, high, 2 + int((high - low) / _STEP))


def _points(order: EchelleOrderTable, name: str, pixels: np.ndarray) -> str:
    """``x1,y1,x2,y2,...`` to a thousandth of a pixel."""
    positions = getattr(order, name)(pixels)[0]
    columns = (pixels, positions) if order.dispersion_axis == 1 else (positions, pixels)
    return ",".join(f"{value:.3f}" for value in np.transpose(columns).ravel() + 1)


register_format("ds9", write=write, writes_fits=False)
