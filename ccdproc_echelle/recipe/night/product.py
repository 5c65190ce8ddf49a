# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a night knows of a set-up that it has reduced: read from the master flat alone."""

import os
from dataclasses import dataclass
from pathlib import Path

from astropy.table import QTable, vstack

from ccdproc_echelle.recipe.product import MasterFlat, thumbnail
from ccdproc_echelle.recipe.provenance import Provenance

__all__ = ["FILES", "NightProduct", "with_request"]

#: The files of a set-up. The master flat is written last: where it is, the others are as well.
FILES = {
    "orders": "orders.ecsv", "summary": "summary.png", "log": "log.txt", "master": "master.fits",
}

# What the provenance of a master flat of a night has besides.
_OF_NIGHT = "night"
_REQUEST = "request"
_WARNING = "warning"


@dataclass(frozen=True)
class NightProduct:
    """
    A master flat of a night in short.

    Attributes
    ----------
    request : str
        The checksum of all that it depends on; empty if it was not made by a night.
    made : str
        When it was made (UTC).
    quality, vetting : `~astropy.table.QTable`
        As of the master flat.
    warnings : tuple of str
        What was warned of while it was made.
    n_orders : int
        Number of orders.
    thumbnail : bytes
        A small picture (PNG).
    """

    request: str
    made: str
    quality: QTable
    vetting: QTable
    warnings: tuple[str, ...]
    n_orders: int
    thumbnail: bytes

    @classmethod
    def of(cls, master: MasterFlat) -> "NightProduct":
        """
        Of a master flat.

        Parameters
        ----------
        master : `MasterFlat`
            With the provenance of a night, or another one.

        Returns
        -------
        `NightProduct`
        """
        record = master.provenance.record
        of_night = record[record["kind"] == _OF_NIGHT]
        request = [str(v) for n, v in of_night["name", "value"].iterrows() if n == _REQUEST]
        warned = [str(v) for n, v in of_night["name", "value"].iterrows() if n == _WARNING]
        return cls(
            request=request[0] if request else "",
            made=master.provenance["date"],
            quality=master.quality,
            vetting=master.vetting["frame", "verdict", "used"],
            warnings=tuple(warned),
            n_orders=len(master.orders),
            thumbnail=thumbnail(master.flat.data),
        )

    @classmethod
    def found_in(cls, folder: str | os.PathLike) -> "NightProduct | None":
        """
        The product in the folder of a set-up.

        Parameters
        ----------
        folder : path-like
            The folder.

        Returns
        -------
        `NightProduct` or None
            `None` if there is none, or it is not whole.
        """
        folder = Path(folder)
        if not all((folder / FILES[name]).is_file() for name in ("orders", "log", "master")):
            return None
        try:
            master = MasterFlat.read(folder / FILES["master"])
        except (ValueError, OSError):  # damaged: it is made again
            return None
        return None if master.provenance is None else cls.of(master)


def with_request(provenance: Provenance, request: str, warned: list[str]) -> Provenance:
    """
    The provenance of a master flat that a night makes.

    Parameters
    ----------
    provenance : `~ccdproc_echelle.recipe.Provenance`
        As `make_master_flat` left it.
    request : str
        The checksum of all that the product depends on.
    warned : list of str
        What was warned of.

    Returns
    -------
    `~ccdproc_echelle.recipe.Provenance`
    """
    rows = [(_OF_NIGHT, _REQUEST, request), *((_OF_NIGHT, _WARNING, text) for text in warned)]
    added = QTable(rows=rows, names=provenance.record.colnames)
    return Provenance(vstack([provenance.record, added]), provenance.inputs)
