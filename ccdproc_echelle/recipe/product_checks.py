# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Check that a master flat is complete, as a file and part by part."""

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.table import QTable

from ccdproc_echelle.frames import UNCERTAINTIES, check_sums
from ccdproc_echelle.light import UNUSABLE, FlatFlag
from ccdproc_echelle.orders import EchelleOrderTable

__all__ = ["HOW_IT_WAS_MADE", "TABLES", "VERSION_CARD", "check_file", "check_parts"]

# Version of the file layout; a later version may have a different meaning.
VERSION_CARD = ("FLATVERS", 1, "version of the layout of this master flat")

# The tables of a master flat, and the columns that each must have.
TABLES = {
    "LEVELS": ("frame", "level", "level_uncertainty"),
    "QUALITY": ("name", "value", "unit", "lower", "upper", "verdict", "comment"),
    "VETTING": ("frame", "verdict", "used"),
}

# The tables of its provenance, which older files lack.
HOW_IT_WAS_MADE = {
    "PROVENANCE": ("kind", "name", "value"),
    "INPUTS": ("role", "file", "checksum", "exposure", "date"),
}


# The inter-order area is 1, apart from rounding due to compression.
_ROUNDING = 0.01

# Largest fraction of the inter-order pixels according to FLAGS that may be in an order according to
# ORDERS, or vice versa.
_MOVED = 0.01


def check_file(hdus: fits.HDUList) -> None:
    """
    Raise if a file is damaged, incomplete, or of an unknown version.

    Parameters
    ----------
    hdus : `astropy.io.fits.HDUList`
        The file of a master flat, with no data accessed yet.

    Raises
    ------
    ValueError
        If the file is not valid; the message names the extension.
    """
    keyword, known, _ = VERSION_CARD
    found = hdus[0].header.get(keyword, known)
    if found != known:
        raise ValueError(
            f"its {keyword} is {found!r}, expected {known}: a file from a newer version of "
            "ccdproc_echelle needs that version"
        )
    missing = [name for name in ("MASK", "UNCERT", "FLAGS", "ORDERS", *TABLES) if name not in hdus]
    if set(missing) - {"MASK"}:
        raise ValueError(f"it has no extension {', '.join(missing)}")
    lost = [name for name in HOW_IT_WAS_MADE if name not in hdus]
    if len(lost) == 1:
        raise ValueError(f"it has no extension {lost[0]}")
    for keyword in ("DETROWS", "DETCOLS", "DISPAXIS"):
        if keyword not in hdus["ORDERS"].header:
            raise ValueError(f"ORDERS has no keyword {keyword}")
    for name in ("ORDERS", *TABLES, *HOW_IT_WAS_MADE):
        if name in hdus and not isinstance(hdus[name], fits.BinTableHDU):
            raise ValueError(f"{name} is an image, expected a table")
    check_sums(hdus)
    if hdus[0].header["NAXIS"] == 0:
        raise ValueError("PRIMARY holds no image, expected the flat")
    _check_shapes(hdus)
    _check_uncertainty_type(hdus)


def check_parts(
    flat: CCDData, flags: np.ndarray, orders: EchelleOrderTable, tables: dict[str, QTable]
) -> None:
    """
    Raise if the parts of a master flat are inconsistent.

    Parameters
    ----------
    flat : `~astropy.nddata.CCDData`
        The flat with its mask and uncertainty.
    flags : array
        Bits of `~ccdproc_echelle.FlatFlag`.
    orders : `~ccdproc_echelle.EchelleOrderTable`
        The orders, with edges.
    tables : dict
        The tables, by the names of their extensions.

    Raises
    ------
    ValueError
        If they are inconsistent; the message names the extension.
    """
    for name, found in (("FLAGS", flags.shape), ("ORDERS", orders.shape)):
        if found != flat.shape:
            raise ValueError(f"{name} is for shape {found}, but the flat has {flat.shape}")
    _check_flags(flags)
    _check_planes(flat, flags)
    for name, table in tables.items():
        columns = (TABLES | HOW_IT_WAS_MADE)[name]
        missing = [column for column in columns if column not in table.colnames]
        if missing:
            raise ValueError(f"{name} has no column {missing[0]!r}; found {table.colnames}")
        if len(table) == 0:
            raise ValueError(f"{name} has no rows, expected at least one")
    _check_values(flat, flags)
    _check_levels(flat, tables["LEVELS"])
    if "PROVENANCE" in tables:
        _check_parameters(flat, flags, orders, tables["PROVENANCE"])


def _check_shapes(hdus: fits.HDUList) -> None:
    expected = hdus[0].shape
    for name in ("MASK", "UNCERT", "FLAGS"):
        found = getattr(hdus[name], "shape", "of a table") if name in hdus else expected
        if found != expected:
            raise ValueError(f"{name} has shape {found}, expected that of the flat, {expected}")


def _check_uncertainty_type(hdus: fits.HDUList) -> None:
    """CCDData treats unknown types as standard deviations."""
    known = [kind.__name__ for kind in UNCERTAINTIES]
    found = hdus["UNCERT"].header.get("UTYPE")
    if found not in known:
        raise ValueError(f"UNCERT has UTYPE = {found!r}, expected one of {known}")


def _check_flags(flags: np.ndarray) -> None:
    if flags.dtype.kind not in "iu":
        raise ValueError(f"FLAGS holds {flags.dtype}, expected integers")
    unknown = np.bitwise_or.reduce(flags, axis=None) & ~sum(FlatFlag)
    if unknown:
        bits = [bit for bit in range(8 * flags.itemsize) if int(unknown) >> bit & 1]
        raise ValueError(
            f"FLAGS has undefined bits {bits}; a file from a newer version of "
            "ccdproc_echelle needs that version"
        )


def _check_planes(flat: CCDData, flags: np.ndarray) -> None:
    if flat.uncertainty is None:
        raise ValueError("it has no extension UNCERT, the uncertainty of the flat")
    if flat.uncertainty.array.shape != flat.shape:
        raise ValueError(f"UNCERT has shape {flat.uncertainty.array.shape}, expected {flat.shape}")
    n_bad = np.count_nonzero(flags & UNUSABLE)
    if flat.mask is None and n_bad:
        raise ValueError(f"it has no extension MASK, but {n_bad} pixels are bad according to FLAGS")
    n_negative = np.count_nonzero(flat.uncertainty.array < 0)
    if n_negative:
        raise ValueError(f"UNCERT has {n_negative} negative values, expected none")
    n_infinite = np.count_nonzero(np.isinf(flat.uncertainty.array[flags == 0]))
    if n_infinite:
        raise ValueError(f"UNCERT has {n_infinite} infinite values that have no flag")
    n_unknown = np.count_nonzero(~np.isfinite(flat.data) & (flags == 0))
    if n_unknown:
        raise ValueError(f"PRIMARY has {n_unknown} values that are not finite and have no flag")


def _check_values(flat: CCDData, flags: np.ndarray) -> None:
    """Check the flat against FLAGS: 1 between the orders, values to divide by inside them."""
    if flat.unit != u.dimensionless_unscaled:
        raise ValueError(f"PRIMARY has BUNIT {flat.unit}, expected a flat without a unit")
    between, usable = flags & FlatFlag.INTERORDER > 0, flags & (FlatFlag.INTERORDER | UNUSABLE) == 0
    n_other = np.count_nonzero(~(np.abs(flat.data[between] - 1) < _ROUNDING))
    if n_other:
        raise ValueError(
            f"PRIMARY is not 1 in {n_other} pixels that are between the orders according to FLAGS"
        )
    n_dark = np.count_nonzero(flat.data[usable] <= 0)
    if n_dark:
        raise ValueError(f"PRIMARY has {n_dark} values that are not above zero and have no flag")
    if usable.any() and not flat.uncertainty.array[usable].any():
        raise ValueError("UNCERT is 0 in all pixels of the orders, expected > 0")
    # The scatter of a single frame is not known.
    several = flat.header.get("NCOMBINE", 1) > 1
    if usable.any() and several and np.isnan(flat.uncertainty.array[usable]).all():
        raise ValueError("UNCERT is NaN in all pixels of the orders, expected numbers")


def _check_levels(flat: CCDData, levels: QTable) -> None:
    n_wrong = np.count_nonzero(~(levels["level"].value > 0))
    if n_wrong:
        raise ValueError(f"LEVELS has {n_wrong} levels that are not positive numbers")
    n_frames = flat.header.get("NCOMBINE", len(levels))
    if n_frames != len(levels):
        raise ValueError(f"LEVELS has {len(levels)} rows, expected those of {n_frames} frames")


def _check_parameters(
    flat: CCDData, flags: np.ndarray, orders: EchelleOrderTable, record: QTable
) -> None:
    """Check that mask and orders are those implied by the flags and the parameters of the run."""
    told = {row["name"]: str(row["value"]) for row in record if row["kind"] == "parameter"}
    names = told.get("mask_flags", "").split("|")
    masking = sum(FlatFlag[name] for name in names if name in FlatFlag.__members__)
    n_lost = 0 if flat.mask is None else np.count_nonzero((flags & masking > 0) & ~flat.mask)
    if n_lost:
        raise ValueError(f"MASK lacks {n_lost} pixels that are bad according to FLAGS")
    between = orders.order_index(float(told.get("margin", 0))) < 0
    n_moved = np.count_nonzero(between != (flags & FlatFlag.INTERORDER > 0))
    if n_moved > _MOVED * between.size:
        raise ValueError(
            f"ORDERS and FLAGS are inconsistent: {n_moved} pixels are in an order according to "
            "one and between the orders according to the other"
        )
