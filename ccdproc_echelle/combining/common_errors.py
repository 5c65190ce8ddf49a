# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Errors of the levels that the pixels of a frame have in common, as that of a smooth surface."""

from collections.abc import Callable

import numpy as np
from astropy.nddata import CCDData
from astropy.table import QTable

from ccdproc_echelle.combining.ratios import FAINTEST
from ccdproc_echelle.orders import EchelleOrderTable

__all__ = ["with_common_errors"]


def with_common_errors(
    levels: QTable,
    errors_of: Callable[[np.ndarray], np.ndarray],
    flat: CCDData,
    orders: EchelleOrderTable,
    *,
    window: float,
) -> QTable:
    """
    Levels whose uncertainties hold errors that the pixels of a frame have in common.

    The uncertainty of a level is that of so many independent pixels. A smooth surface that was
    subtracted from a frame is wrong in neighbouring pixels alike.

    Parameters
    ----------
    levels : `~astropy.table.QTable`
        From `measure_levels`, with the statistic ``"mean"``.
    errors_of : callable
        From weights, shape (rows, columns), to the standard deviations of the sums over the surface
        of each frame with these weights, shape (n_frames,).
    flat : `~astropy.nddata.CCDData`
        The master flat.
    orders : `EchelleOrderTable`
        The order centres, on the detector of the flat.
    window : float
        Width of the window of the inner-order pixels.

    Returns
    -------
    `~astropy.table.QTable`
        A copy with other ``level_uncertainty`` and, if there is one, ``order_level_uncertainty``.
        ``pass_uncertainty`` remains that of the noise.
    """
    levels, unit = levels.copy(), levels["level"].unit
    used = orders.inner_mask(window) & ~flat.mask & (flat.data > FAINTEST)
    weights = np.zeros(flat.shape)
    weights[used] = 1 / flat.data[used].astype(float) / np.count_nonzero(used)
    errors = errors_of(weights)
    levels["level_uncertainty"] = np.hypot(levels["level_uncertainty"], errors * unit)
    if "order_level" in levels.colnames:
        order, master = orders.inner_index(window), np.where(used, flat.data, 1)
        chosen = [used & (order == i) for i in range(len(orders))]
        errors = [errors_of(here / max(master[here].sum(dtype=float), 1)) for here in chosen]
        levels["order_level_uncertainty"] = np.hypot(
            levels["order_level_uncertainty"], np.transpose(errors) * unit
        )
    return levels
