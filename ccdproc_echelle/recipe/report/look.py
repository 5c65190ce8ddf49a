# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Inspect a single file, as far as it can be read, whatever is wrong with it."""

import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import QTable, Table, vstack

from ccdproc_echelle._warnings import kept_warnings
from ccdproc_echelle.frames import list_frames
from ccdproc_echelle.orders import EchelleOrderTable
from ccdproc_echelle.recipe.report.cards import personal_values, technical_cards
from ccdproc_echelle.recipe.report.pixels import middle_lines, pixel_statistics

__all__ = ["FrameLook", "OrdersLook", "look_at_frame", "look_at_orders"]


@dataclass
class FrameLook:
    """
    Contents of a FITS file.

    Attributes
    ----------
    headers : list of str
        Type and technical cards of each HDU.
    statistics : list of dict
        Statistics of each image.
    lines : list of `~astropy.table.Table`
        The middle row and column of each 2-D image, with its ``hdu``.
    refused : str
        Reason why the package does not read the file, if it does not.
    remarks : list of str
        Other messages about the file, and the parts that cannot be read.
    personal : set of str
        What cards say about people, places and programmes.
    shape : tuple of int or None
        Shape of the first 2-D image.
    """

    headers: list[str] = field(default_factory=list)
    statistics: list[dict] = field(default_factory=list)
    lines: list[Table] = field(default_factory=list)
    refused: str = ""
    remarks: list[str] = field(default_factory=list)
    personal: set[str] = field(default_factory=set)
    shape: tuple[int, int] | None = None

    def cuts(self) -> Table | None:
        """The middle rows and columns in one table."""
        return vstack(self.lines, metadata_conflicts="silent") if self.lines else None


@dataclass
class OrdersLook:
    """
    Contents of an order table.

    Attributes
    ----------
    table : `~astropy.table.QTable` or None
        The numbers of the table; `None` if it cannot be read.
    remark : str
        Description of the table, or the reason why it cannot be read.
    """

    table: QTable | None
    remark: str


def look_at_frame(path: Path) -> FrameLook:
    """
    Read headers and numbers of a FITS file, as far as possible if it is damaged.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.

    Returns
    -------
    `FrameLook`
    """
    look = FrameLook()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of astropy; the package issues better ones
        _add_opinion(look, path)
        try:
            with fits.open(path, memmap=False) as hdus:
                for number, hdu in enumerate(hdus):
                    _add_hdu(look, number, hdu)
        except Exception as error:  # astropy may raise anything on a damaged file
            if str(error) not in look.refused:
                look.remarks.append(f"HDU {len(look.headers)} cannot be read: {error}")
    return look


def _add_opinion(look: FrameLook, path: Path) -> None:
    """Record what the package reports when it opens the file."""
    with kept_warnings() as messages:
        try:
            list_frames([path])
        except Exception as error:  # this is what the report is for
            look.refused = str(error)
    look.remarks += messages


def _add_hdu(look: FrameLook, number: int, hdu) -> None:
    cards, n_others = technical_cards(hdu.header)
    look.personal |= personal_values(hdu.header)
    title = f"HDU {number}: {type(hdu).__name__}, {len(cards)} cards, {n_others} others left out"
    look.headers.append("\n    ".join([title, *cards]))
    if hdu.is_image and hdu.shape:
        try:
            image = np.asarray(hdu.data)
        except Exception as error:  # as above
            look.remarks.append(f"pixels of HDU {number} cannot be read: {error}")
            return
        _add_image(look, number, image)


def _add_image(look: FrameLook, number: int, image: np.ndarray) -> None:
    shape = " x ".join(map(str, image.shape))
    about = {"hdu": number, "shape": shape, "dtype": image.dtype.name}
    look.statistics.append(about | pixel_statistics(image))
    if image.ndim == 2:
        look.shape = look.shape or image.shape
        lines = middle_lines(image)
        lines.add_column(number, name="hdu", index=0)
        look.lines.append(lines)


def look_at_orders(path: Path, format: str, shape: tuple[int, int] | None) -> OrdersLook:
    """
    Read the numbers of an order table, without anything else that it contains.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.
    format : str
        Format of the file.
    shape : tuple of int or None
        Shape of the frames, for formats that do not contain it.

    Returns
    -------
    `OrdersLook`
    """
    with kept_warnings() as messages:
        try:
            orders = _read_orders(path, format, shape)
        except Exception as error:  # as for a frame
            return OrdersLook(None, str(error))
    about = repr(orders).strip("<>").removeprefix("EchelleOrderTable: ")
    return OrdersLook(_numbers(orders), "; ".join([f"{format}: {about}", *messages]))


def _read_orders(path: Path, format: str, shape: tuple[int, int] | None) -> EchelleOrderTable:
    try:
        return EchelleOrderTable.read(path, format=format)
    except ValueError:
        if shape is None:
            raise
        return EchelleOrderTable.read(path, format=format, shape=shape)


def _numbers(orders: EchelleOrderTable) -> QTable:
    """Columns of numbers, and what is needed to read them again."""
    table = orders.table
    numbers = QTable({n: table[n] for n in table.colnames if table[n].dtype.kind in "biuf"})
    for column in numbers.itercols():
        column.info.description, column.info.meta = None, None
    numbers.meta = {
        "shape": orders.shape and list(orders.shape), "dispersion_axis": orders.dispersion_axis
    }
    return numbers
