# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Order numbers for traced orders; gaps in the regular spacing leave their numbers unused."""

import numpy as np
from numpy.polynomial.chebyshev import chebvander

from ccdproc_echelle._numeric.medians import finite_median
from ccdproc_echelle._numeric.robust import soft_fit
from ccdproc_echelle._warnings import warn
from ccdproc_echelle.orders.neighbours import warn_of_uneven_spacing

__all__ = ["numbered"]

# A spacing that is a multiple of the expected one, to within this fraction of it, is a gap if the
# other spacings are as regular as that.
_HOLE, _REGULAR = 0.15, 0.08

# Minimum number of spacings needed to judge what is regular.
_LEAST_SPACINGS = 4


def numbered(traces: np.ndarray, first_order: int) -> np.ndarray:
    """
    Assign order numbers that count up from the first one, (n_orders,).

    Gaps in the spacing, and any other sudden change of it, cause a warning.

    Parameters
    ----------
    traces : array, shape (n_orders, n_pixels)
        Cross-dispersion positions of the orders, lowest first; NaN where undefined.
    first_order : int
        Number of the lowest order.

    Returns
    -------
    int array, shape (n_orders,)

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle.orders.numbering import numbered
    >>> places = np.array([10, 20, 31, 43, 56, 70])
    >>> numbered(np.repeat(places[:, None], 50, axis=1), 7)
    array([ 7,  8,  9, 10, 11, 12])
    """
    spacings = finite_median(np.diff(traces, axis=0))
    steps = _steps(spacings)
    numbers = first_order + np.append(0, np.cumsum(steps))
    for k in np.flatnonzero(steps > 1):
        missing = list(range(numbers[k] + 1, numbers[k + 1]))
        warn(
            f"gap in the spacing of the orders: {_orders(missing)} between orders {numbers[k]} "
            f"and {numbers[k + 1]} may be missing, and the corresponding numbers are not assigned"
        )
    warn_of_uneven_spacing(spacings / steps, numbers)
    return numbers


def _orders(numbers: list[int]) -> str:
    return f"order {numbers[0]}" if len(numbers) == 1 else f"orders {numbers}"


def _steps(spacings: np.ndarray) -> np.ndarray:
    """Difference in order number between neighbours, int (n_spacings,)."""
    steps = np.ones(len(spacings), dtype=int)
    known = np.isfinite(spacings) & (spacings > 0)
    if known.sum() < _LEAST_SPACINGS:
        return steps
    place = np.linspace(-1, 1, len(spacings))
    basis, logs = chebvander(place, min(2, (known.sum() - 1) // 3)), np.log(spacings[known])
    start = np.median(logs)
    coefficients = soft_fit(basis[known], logs - start, least_scatter=0.02)
    ratio = np.ones(len(spacings))
    ratio[known] = np.exp(logs - start - basis[known] @ coefficients)
    whole = np.maximum(np.rint(ratio), 1)
    irregular = np.abs(ratio / whole - 1)
    holes = (whole > 1) & (irregular < _HOLE)
    if np.percentile(irregular[known & ~holes], 90) < _REGULAR and holes.sum() < known.sum() / 3:
        steps[holes] = whole[holes]
    return steps
