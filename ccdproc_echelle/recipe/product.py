# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The product: a master flat with everything that belongs to it, in memory or in a file."""

import base64
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.table import QTable, Table
from astropy.wcs import FITSFixedWarning

from ccdproc_echelle._words import counted
from ccdproc_echelle.frames import (
    check_fits_name,
    check_output,
    hdus_of,
    replacing,
    without_file_cards,
    write_fits,
)
from ccdproc_echelle.light import flag_cards
from ccdproc_echelle.orders import EchelleOrderTable
from ccdproc_echelle.plotting import plot_summary, quality_lines
from ccdproc_echelle.recipe.product_checks import (
    HOW_IT_WAS_MADE,
    TABLES,
    VERSION_CARD,
    check_file,
    check_parts,
)
from ccdproc_echelle.recipe.provenance import Provenance
from ccdproc_echelle.recipe.thumbnail import thumbnail

__all__ = ["MasterFlat", "checked_master"]


@dataclass(frozen=True, eq=False)
class MasterFlat:
    """
    A master flat with its orders, levels, flags, quality and provenance.

    Attributes
    ----------
    flat : `~astropy.nddata.CCDData`
        The dimensionless master flat with uncertainty and mask (True is bad).
    orders : `EchelleOrderTable`
        Order centres and edges.
    levels : `~astropy.table.QTable`
        Exposure level of each frame; see `measure_exposure_levels`.
    flags : int array, shape (rows, columns)
        Flags of each pixel: bits of `~ccdproc_echelle.FlatFlag`.
    quality : `~astropy.table.QTable`
        Quality parameters; see `flat_quality`.
    vetting : `~astropy.table.QTable`
        Result of the vetting of each frame before the combination: ``frame``, ``verdict`` (what is
        wrong with it; empty if nothing) and ``used``, and the columns of
        `~ccdproc_echelle.vet_frames`.
    provenance : `~ccdproc_echelle.recipe.Provenance` or None
        How it was made: parameters, versions, date and files. `None` if unknown, as for files
        written before provenance was recorded.

    See Also
    --------
    make_master_flat : Make a master flat from raw flats.

    Examples
    --------
    >>> from ccdproc_echelle import MasterFlat
    >>> master = MasterFlat.read("master.fits")  # doctest: +SKIP
    >>> science = ccdproc.flat_correct(science, master.flat, norm_value=1)  # doctest: +SKIP
    """

    flat: CCDData
    orders: EchelleOrderTable
    levels: QTable
    flags: np.ndarray
    quality: QTable
    vetting: QTable
    provenance: Provenance | None = None

    def write(self, path: str | os.PathLike, *, overwrite: bool = False) -> None:
        """
        Write everything to a single FITS file.

        ``CCDData.read`` opens it as the flat with mask and uncertainty. The extensions ``FLAGS``
        (whose header names every bit), ``ORDERS``, ``LEVELS``, ``QUALITY``, ``VETTING``,
        ``PROVENANCE`` and ``INPUTS`` hold the rest. Every extension has ``CHECKSUM`` and
        ``DATASUM``; ``FLATVERS`` is the version of this layout. If a master flat is made again from
        the same files, only ``PROVENANCE`` differs, which contains the date.

        Parameters
        ----------
        path : path-like
            The file to write.
        overwrite : bool, optional
            Whether to replace an existing file.

        Raises
        ------
        FileExistsError
            If the file exists and ``overwrite`` is false.
        ValueError
            If it is one of the input files, its name is not that of a FITS file, or the parts are
            inconsistent.
        """
        self._check()
        check_output(path, overwrite=overwrite, inputs=self._inputs())
        check_fits_name(path, "a master flat")
        hdus = hdus_of(self.flat)
        hdus[0].header.set(*VERSION_CARD)
        hdus.append(fits.ImageHDU(self.flags, fits.Header(flag_cards()), name="FLAGS"))
        hdus.append(_orders_hdu(self.orders))
        for name, table in self._tables().items():
            hdus.append(_table_hdu(table, name))
        with replacing(path, overwrite=overwrite) as temporary:
            write_fits(hdus, temporary)

    @classmethod
    def read(cls, path: str | os.PathLike) -> "MasterFlat":
        """
        Read a master flat written by `write`.

        Parameters
        ----------
        path : path-like
            The file to read.

        Returns
        -------
        `MasterFlat`

        Raises
        ------
        FileNotFoundError
            If the file does not exist.
        ValueError
            If it is not a FITS file, does not match its checksums, lacks one of the parts of a
            master flat, has inconsistent parts, or was written by a newer version of the package.
            The message names the extension. Files without checksums are accepted.
        """
        try:
            return cls._read(path)
        except (FileNotFoundError, MemoryError):
            raise
        except Exception as error:  # the reader may raise anything on a damaged file
            raise ValueError(f"cannot read {path} as a master flat: {error}") from error

    @classmethod
    def _read(cls, path: str | os.PathLike) -> "MasterFlat":
        with warnings.catch_warnings(), fits.open(path, memmap=False) as hdus:
            # The celestial WCS of a flat is irrelevant, and so are astropy's repairs of it.
            warnings.simplefilter("ignore", FITSFixedWarning)
            # The checks find missing bytes, whatever astropy says of them.
            warnings.filterwarnings("ignore", message="File may have been truncated")
            check_file(hdus)
            flags = hdus["FLAGS"].data
            orders = _read_from(hdus["ORDERS"], _orders_of)
            tables = {name.lower(): _read_from(hdus[name], _table_of) for name in TABLES}
            made = [_read_from(hdus[n], _table_of) for n in HOW_IT_WAS_MADE if n in hdus]
            flat = CCDData.read(path, format="fits")
        flat.header = without_file_cards(flat.header)
        flat.header.remove(VERSION_CARD[0], ignore_missing=True)
        provenance = Provenance(*made) if made else None
        master = cls(flat, orders, flags=flags, **tables, provenance=provenance)
        master._check()
        return replace(master, flags=flags.astype(np.int16))

    def _check(self) -> None:
        check_parts(self.flat, self.flags, self.orders, self._tables())

    def _tables(self) -> dict[str, QTable]:
        tables = {name: getattr(self, name.lower()) for name in TABLES}
        made = self.provenance
        return tables | ({"PROVENANCE": made.record, "INPUTS": made.inputs} if made else {})

    def _inputs(self) -> list[str]:
        """The files it was made from, including those that were left out."""
        files = [] if self.provenance is None else self.provenance.inputs["file"]
        return [*self.vetting["frame"], *files]

    def plot(self):
        """
        Draw the summary page: the flat with its orders, levels, noise and quality.

        Returns
        -------
        `~matplotlib.figure.Figure`
            An A4 page; use ``savefig`` to write it.

        Raises
        ------
        ImportError
            If matplotlib is not installed.

        See Also
        --------
        ccdproc_echelle.plotting.plot_summary : Contents of the page.
        """
        return plot_summary(self)

    def __repr__(self) -> str:
        rows, columns = self.flat.shape
        return (
            f"<MasterFlat: {counted(len(self.levels), 'frame')}, {rows} x {columns} pixels, "
            f"{counted(len(self.orders), 'order')}, quality {_verdict(self.quality)}>"
        )

    def _repr_html_(self) -> str:
        """Thumbnail and quality, for notebooks."""
        picture = base64.b64encode(thumbnail(self.flat.data)).decode()
        return (
            f"<p>{repr(self).strip('<>')}</p>"
            f'<img src="data:image/png;base64,{picture}" alt="master flat">'
            f"{_quality_html(self.quality)}"
        )


# ---------------------------------------------------------------------- words


def checked_master(master: MasterFlat) -> MasterFlat:
    """
    Check that an argument is a master flat.

    Parameters
    ----------
    master : object
        The argument.

    Returns
    -------
    `MasterFlat`
        The same object.

    Raises
    ------
    TypeError
        If it lacks a part of a master flat that its quality is measured on.
    """
    if not all(hasattr(master, name) for name in ("flat", "orders", "levels", "flags")):
        raise TypeError(f"master is a {type(master).__name__}, expected a MasterFlat")
    return master


def _verdict(quality: QTable) -> str:
    """Overall verdict; a master under construction has no quality yet."""
    verdicts = quality["verdict"].tolist() if len(quality) else []
    failed = verdicts.count("fail")
    if failed:
        return f"fail ({counted(failed, 'limit')})"
    return "pass" if "pass" in verdicts else "not judged"


def _quality_html(quality: QTable) -> str:
    """All rows, with significant digits only; astropy would omit the middle of a long table."""
    if len(quality) == 0:
        return ""
    shown = Table(
        rows=quality_lines(quality), names=("name", "value", "unit", "limits", "verdict")
    )
    shown["comment"] = quality["comment"]
    return "\n".join(shown.pformat(max_lines=-1, max_width=-1, show_unit=False, html=True))


# ---------------------------------------------------------------------- FITS extensions


def _orders_hdu(orders: EchelleOrderTable) -> fits.BinTableHDU:
    """The order table; its meta become keywords, since FITS cannot hold a tuple."""
    table = orders.table
    table.meta.clear()
    hdu = fits.table_to_hdu(table)
    hdu.name = "ORDERS"
    hdu.header["DETROWS"] = (orders.shape[0], "rows of the detector")
    hdu.header["DETCOLS"] = (orders.shape[1], "columns of the detector")
    hdu.header["DISPAXIS"] = (orders.dispersion_axis, "NumPy axis along which the orders run")
    return hdu


def _table_hdu(table: QTable, name: str) -> fits.BinTableHDU:
    """A table; units unknown to FITS, such as electron, are written anyway."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The unit .* could not be saved")
        hdu = fits.table_to_hdu(_with_ascii(table))
    hdu.name = name
    for column in hdu.columns:
        unit = getattr(table[column.name], "unit", None)
        if column.unit is None and unit is not None:
            column.unit = unit.to_string()
    return hdu


def _with_ascii(table: QTable) -> QTable:
    """The table with non-ASCII characters, as in file names, escaped: FITS holds only ASCII."""
    table = table.copy(copy_data=False)
    for name in table.colnames:
        if table[name].dtype.kind == "U":
            escaped = [str(text).encode("ascii", "backslashreplace") for text in table[name]]
            table[name] = np.array(escaped, dtype=bytes).astype(str)
    return table


def _read_from(hdu: fits.BinTableHDU, read: Callable) -> Any:
    """What an extension holds, or an error that names it."""
    try:
        return read(hdu)
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(f"{hdu.name}: {error}") from error


def _orders_of(hdu: fits.BinTableHDU) -> EchelleOrderTable:
    table = QTable.read(hdu, mask_invalid=False)
    header = hdu.header
    table.meta.clear()
    table.meta["shape"] = (header["DETROWS"], header["DETCOLS"])
    table.meta["dispersion_axis"] = header["DISPAXIS"]
    return EchelleOrderTable(table)


def _table_of(hdu: fits.BinTableHDU) -> QTable:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", u.UnitsWarning)
        table = QTable.read(hdu, mask_invalid=False)
    table.meta.clear()
    for name in table.colnames:
        unit = getattr(table[name], "unit", None)
        if isinstance(unit, u.UnrecognizedUnit):
            table[name] = u.Quantity(table[name].value, unit.to_string())
    return table
