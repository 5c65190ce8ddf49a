# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The row pattern of a detector: offsets that are the same all along each row.

It is measured between the orders and apart from the photon noise, which differs from slice to
slice. Used by the tracer.
"""

import numpy as np

from ccdproc_echelle._numeric.spread import MAD_TO_SIGMA

__all__ = ["row_pattern"]

# The light of an order reaches this many pixels beyond its edges.
_FOOT = 4

# A row counts if it is dark in this fraction of the slices; at least this many rows are needed.
_LEAST_DARK, _LEAST_ROWS = 0.3, 10


def row_pattern(slices: np.ndarray, paths: np.ndarray, orders: list[dict]) -> float:
    """
    Standard deviation of the offsets of the rows from each other; 0 where too few are dark.

    The second difference across three rows is free of smooth scattered light. Its product in two
    neighbouring slices has the variance of the pattern as its mean, whatever the photon noise.

    Parameters
    ----------
    slices : array, shape (n_slices, n_rows)
        A flat with the dispersion along axis 0, NaN where unknown.
    paths : array, shape (n_slices, n_paths)
        Positions of the paths in each slice.
    orders : list of dict
        Orders, with the ``label`` of their path and their ``width``.
    """
    labels, rows = np.arange(paths.shape[1]), np.arange(slices.shape[1])
    lit = np.zeros(len(labels))
    for order in orders:
        lit[np.abs(labels - order["label"]) <= 0.5 * order["width"] + _FOOT] = 1
    lit = np.array([np.interp(rows, path, lit) for path in paths])
    steps = np.diff(np.where(lit > 0, np.nan, slices), n=2, axis=1)
    shared = steps[1:] * steps[:-1] / 6  # the square of (1, -2, 1)
    known = np.isfinite(shared)
    dark = known.sum(axis=0) >= max(_LEAST_DARK * len(shared), 1)
    if dark.sum() < _LEAST_ROWS:
        return 0.0
    variance = np.where(known, shared, 0).sum(axis=0)[dark] / known.sum(axis=0)[dark]
    # The median of a squared deviation is the square of the median deviation.
    return MAD_TO_SIGMA * np.sqrt(max(np.median(variance), 0.0))
