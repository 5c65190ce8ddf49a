# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The whole recipe: raw flats in, master flat out; and the product it makes."""

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.table import QTable
from astropy.wcs import FITSFixedWarning

from ccdproc_echelle.combine import CombineSettings, combine_frames, combine_with_levels
from ccdproc_echelle.detrending import detrend
from ccdproc_echelle.edges import detect_order_edges, mask_interorder, poorly_measured
from ccdproc_echelle.files import replacing
from ccdproc_echelle.flags import FlatFlag, flag_cards
from ccdproc_echelle.frames import open_frames, uncertainty_array, variance_array
from ccdproc_echelle.orders import EchelleOrderTable
from ccdproc_echelle.response import mask_low_sensitivity
from ccdproc_echelle.tracing import trace_orders

__all__ = ["MasterFlat", "make_master_flat"]


@dataclass(frozen=True, eq=False)
class MasterFlat:
    """
    A master flat with all that belongs to it.

    Attributes
    ----------
    flat : `~astropy.nddata.CCDData`
        The dimensionless master flat with uncertainty and mask (True is bad).
    orders : `EchelleOrderTable`
        Order centres and edges.
    levels : `~astropy.table.QTable`
        Exposure level of each frame, as from `measure_exposure_levels`.
    flags : int array, shape (rows, columns)
        What is special about each pixel: bits of `~ccdproc_echelle.flags.FlatFlag`.
    """

    flat: CCDData
    orders: EchelleOrderTable
    levels: QTable
    flags: np.ndarray

    def write(self, path: str | os.PathLike, *, overwrite: bool = False) -> None:
        """
        Write everything to one FITS file.

        ``CCDData.read`` opens it as the flat with mask and uncertainty; the extensions ``FLAGS``
        (whose header names every bit), ``ORDERS`` and ``LEVELS`` hold the rest.

        Parameters
        ----------
        path : path-like
            The file.
        overwrite : bool, optional
            Whether an existing file may be replaced.

        Raises
        ------
        FileExistsError
            If the file exists and ``overwrite`` is false.
        """
        hdus = self.flat.to_hdu()
        hdus.append(fits.ImageHDU(self.flags, fits.Header(flag_cards()), name="FLAGS"))
        hdus.append(_orders_hdu(self.orders))
        hdus.append(_levels_hdu(self.levels))
        with replacing(path, overwrite=overwrite) as temporary:
            hdus.writeto(temporary)

    @classmethod
    def read(cls, path: str | os.PathLike) -> "MasterFlat":
        """
        Read what `write` wrote.

        Parameters
        ----------
        path : path-like
            The file.

        Returns
        -------
        `MasterFlat`

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it lacks one of the extensions of a master flat.
        """
        with warnings.catch_warnings(), fits.open(path, memmap=False) as hdus:
            # The celestial WCS of a flat is of no interest, still less what was mended in it.
            warnings.simplefilter("ignore", FITSFixedWarning)
            missing = [name for name in ("FLAGS", "ORDERS", "LEVELS") if name not in hdus]
            if missing:
                raise ValueError(f"{path} is no master flat: it has no extension {missing[0]}")
            flags = hdus["FLAGS"].data.astype(np.int16)
            orders, levels = _read_orders(hdus["ORDERS"]), QTable.read(hdus["LEVELS"])
            flat = CCDData.read(path, format="fits")
        levels.meta.clear()
        return cls(flat, orders, levels, flags)


def make_master_flat(
    img_list: Any,
    orders: EchelleOrderTable | None = None,
    *,
    bias: Any = None,
    dark: Any = None,
    gain: float | u.Quantity | None = None,
    read_noise: float | u.Quantity | None = None,
    window: float = 10,
    n_passes: int = 2,
    edge_keywords: Mapping[str, Any] | None = None,
    sensitivity_keywords: Mapping[str, Any] | None = None,
    interorder: bool = False,
    sigma_clip: bool = True,
    sigma_clip_low_thresh: float = 5,
    sigma_clip_high_thresh: float = 5,
    **keywords: Any,
) -> MasterFlat:
    """
    Make a master flat from raw flats: the SOXS recipe from start to end.

    Bias and dark are subtracted, orders traced if they are not given, the flats combined in two
    passes, the order edges found, the inter-order area set to 1, and low-sensitivity pixels masked.

    Parameters
    ----------
    img_list : list, str or `ccdproc.ImageFileCollection`
        Raw flats, as for `ccdproc.combine`.
    orders : `EchelleOrderTable`, optional
        The order centres; edges it has are replaced by those of the flat. Default: the orders
        that `trace_orders` finds in the median of the flats, numbered from 1.
    bias, dark : as ``img_list``, optional
        Bias and dark frames. Lamp-off frames are darks. The series nearest in time to each flat
        is taken; see `~ccdproc_echelle.detrending.detrend`.
    gain : float or `~astropy.units.Quantity`, optional
        Electrons per unit of the data.
    read_noise : float or `~astropy.units.Quantity`, optional
        Read noise in electrons. With ``gain``, it makes the uncertainty of the flats. Without,
        the flats keep theirs; if they have none, the scatter of the frames is taken.
    window, n_passes
        As `two_pass_flat_combine`.
    edge_keywords : dict, optional
        Keywords of `detect_order_edges`.
    sensitivity_keywords : dict, optional
        Keywords of `mask_low_sensitivity`.
    interorder : bool, optional
        Whether the inter-order area is masked. Without, it is 1 with no uncertainty and
        flagged, and science frames keep their background there.
    sigma_clip, sigma_clip_low_thresh, sigma_clip_high_thresh
        As `ccdproc.combine`, but on by default.
    **keywords
        Those of `~ccdproc_echelle.combine.CombineSettings` and, for files, of ``CCDData.read``.

    Returns
    -------
    `MasterFlat`
        The uncertainty contains the noise of the flats and, with ``gain`` and ``read_noise``,
        that of bias and dark.

    Raises
    ------
    TypeError, ValueError, OSError
        As `two_pass_flat_combine`, `~ccdproc_echelle.detrending.detrend`, `trace_orders` and
        `detect_order_edges`.

    References
    ----------
    SOXS pipeline documentation, recipe ``soxs-mflat``.

    Examples
    --------
    >>> from ccdproc_echelle import make_master_flat
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> simulation = EchelleSimulation(shape=(256, 256), n_orders=4).with_bias(300)
    >>> master = make_master_flat(simulation.flats(3, raw=True), simulation.truth.orders,
    ...                           dark=simulation.darks(3, raw=True), gain=1, read_noise=4)
    >>> master.flat.shape, len(master.orders), len(master.levels)
    ((256, 256), 4, 3)
    """
    clipping = dict(
        sigma_clip=sigma_clip,
        sigma_clip_low_thresh=sigma_clip_low_thresh,
        sigma_clip_high_thresh=sigma_clip_high_thresh,
    )
    settings, reading = CombineSettings.from_keywords(keywords | clipping)
    raw = open_frames(img_list, **reading)
    # Asked for their errors, before any frame is read.
    settings.weights_of(raw)
    if orders is not None:
        orders = orders.on_detector(raw[0].shape)
        orders.inner_mask(window)
    flats, shared, _ = detrend(
        raw,
        bias=[] if bias is None else open_frames(bias, **reading),
        dark=[] if dark is None else open_frames(dark, **reading),
        gain=gain,
        read_noise=read_noise,
    )
    if orders is None:
        orders = trace_orders(combine_frames([f.ccddata() for f in flats], method="median"))
    flat, levels, _ = combine_with_levels(flats, orders, settings, window=window, n_passes=n_passes)
    flat = _with_shared_noise(flat, shared, levels, settings.weights)
    no_data = flat.mask
    orders = detect_order_edges(flat, orders, **(edge_keywords or {}))
    flat = mask_low_sensitivity(flat, orders, **(sensitivity_keywords or {}))
    low = flat.mask & ~no_data
    flat = mask_interorder(flat, orders, mask=interorder)
    return MasterFlat(flat, orders, levels, _flags(orders, low, no_data))


def _with_shared_noise(flat, shared, levels, weights) -> CCDData:
    """The flat with the noise of the calibration frames added to its own."""
    if shared is None:
        return flat
    kind = type(flat.uncertainty)
    if isinstance(weights, str):
        weights = None  # of the pixels of a frame; the frames weigh nearly alike
    added = shared.of_average(1 / levels["level"].value, weights)
    variance = variance_array(flat.uncertainty.array, kind) + added.astype(flat.data.dtype)
    result = flat.copy()
    result.uncertainty = kind(uncertainty_array(variance, kind))
    return result


def _flags(orders: EchelleOrderTable, low: np.ndarray, no_data: np.ndarray) -> np.ndarray:
    flags = np.zeros(orders.shape, dtype=np.int16)
    order_map = orders.order_map()
    flags[order_map == 0] |= FlatFlag.INTERORDER
    flags[low] |= FlatFlag.LOW_SENSITIVITY
    flags[no_data] |= FlatFlag.NO_DATA
    uncertain = orders.order_numbers[poorly_measured(orders)]
    flags[np.isin(order_map, uncertain)] |= FlatFlag.EXTRAPOLATED_EDGE
    return flags


# ---------------------------------------------------------------------- FITS extensions


def _orders_hdu(orders: EchelleOrderTable) -> fits.BinTableHDU:
    """The order table; its meta become keywords, as FITS cannot hold a tuple."""
    table = orders.table
    table.meta.clear()
    hdu = fits.table_to_hdu(table)
    hdu.name = "ORDERS"
    hdu.header["DETROWS"] = (orders.shape[0], "rows of the detector")
    hdu.header["DETCOLS"] = (orders.shape[1], "columns of the detector")
    hdu.header["DISPAXIS"] = (orders.dispersion_axis, "NumPy axis along which the orders run")
    return hdu


def _read_orders(hdu: fits.BinTableHDU) -> EchelleOrderTable:
    table = QTable.read(hdu)
    header = hdu.header
    table.meta.clear()
    table.meta["shape"] = (header["DETROWS"], header["DETCOLS"])
    table.meta["dispersion_axis"] = header["DISPAXIS"]
    return EchelleOrderTable(table)


def _levels_hdu(levels: QTable) -> fits.BinTableHDU:
    hdu = fits.table_to_hdu(levels)
    hdu.name = "LEVELS"
    return hdu
