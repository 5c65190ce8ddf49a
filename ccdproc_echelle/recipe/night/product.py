# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Summary of a reduced set-up, read from its master flat alone."""

import os
from dataclasses import dataclass
from pathlib import Path

from astropy.table import QTable, vstack

from ccdproc_echelle.recipe.product import MasterFlat
from ccdproc_echelle.recipe.provenance import Provenance
from ccdproc_echelle.recipe.thumbnail import thumbnail

__all__ = ["FILES", "NightProduct", "with_request"]

#: Files of a set-up. The master flat is written last: if it exists, so do the others.
FILES = {
    "orders": "orders.ecsv", "summary": "summary.png", "log": "log.txt", "master": "master.fits",
}

# Additional entries in the provenance of the master flat of a night.
_OF_NIGHT = "night"
_REQUEST = "request"
_WARNING = "warning"


@dataclass(frozen=True)
class NightProduct:
    """
    Summary of a master flat of a night.

    Attributes
    ----------
    request : str
        Checksum of everything that it depends on; empty if it was not made by a night.
    made : str
        Date on which it was made (UTC).
    dates : frozenset of str
        Dates of the flats, as far as they are known.
    quality, vetting : `~astropy.table.QTable`
        Tables of the master flat.
    warnings : tuple of str
        Warnings issued while it was made.
    n_orders : int
        Number of orders.
    thumbnail : bytes
        A small image (PNG).
    """

    request: str
    made: str
    dates: frozenset[str]
    quality: QTable
    vetting: QTable
    warnings: tuple[str, ...]
    n_orders: int
    thumbnail: bytes

    @classmethod
    def of(cls, master: MasterFlat) -> "NightProduct":
        """
        Summarise a master flat.

        Parameters
        ----------
        master : `MasterFlat`
            A master flat made by a night, or any other one.

        Returns
        -------
        `NightProduct`
        """
        record = master.provenance.record
        of_night = record[record["kind"] == _OF_NIGHT]
        request = [str(v) for n, v in of_night["name", "value"].iterrows() if n == _REQUEST]
        warned = [str(v) for n, v in of_night["name", "value"].iterrows() if n == _WARNING]
        inputs = master.provenance.inputs
        dates = inputs["date"][inputs["role"] == "flat"].tolist()
        return cls(
            request=request[0] if request else "",
            made=master.provenance["date"],
            dates=frozenset(filter(None, dates)),
            quality=master.quality,
            vetting=master.vetting["frame", "verdict", "used"],
            warnings=tuple(warned),
            n_orders=len(master.orders),
            thumbnail=thumbnail(master.flat.data),
        )

    @classmethod
    def found_in(cls, folder: str | os.PathLike) -> "NightProduct | None":
        """
        Find the product in the folder of a set-up.

        Parameters
        ----------
        folder : path-like
            Folder of the set-up.

        Returns
        -------
        `NightProduct` or None
            `None` if there is no product, or it is incomplete.
        """
        folder = Path(folder)
        if not all((folder / FILES[name]).is_file() for name in ("orders", "log", "master")):
            return None
        try:
            master = MasterFlat.read(folder / FILES["master"])
        except (ValueError, OSError):  # damaged: it will be made again
            return None
        return None if master.provenance is None else cls.of(master)


def with_request(provenance: Provenance, request: str, warned: list[str]) -> Provenance:
    """
    Add the entries of a night to the provenance of a master flat.

    Parameters
    ----------
    provenance : `~ccdproc_echelle.recipe.Provenance`
        Provenance from `make_master_flat`.
    request : str
        Checksum of everything that the product depends on.
    warned : list of str
        Warnings issued.

    Returns
    -------
    `~ccdproc_echelle.recipe.Provenance`
    """
    rows = [(_OF_NIGHT, _REQUEST, request), *((_OF_NIGHT, _WARNING, text) for text in warned)]
    added = QTable(rows=rows, names=provenance.record.colnames)
    return Provenance(vstack([provenance.record, added]), provenance.inputs)
