# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Options with which order edges are measured, checked before any long work."""

import numpy as np

from ccdproc_echelle._numeric.arguments import expect, is_finite, is_whole

__all__ = ["check_edge_options", "checked_levels"]


def checked_levels(threshold) -> np.ndarray | None:
    """
    Validate the threshold of an edge.

    Parameters
    ----------
    threshold : float, tuple of float, or None
        The level of an edge, or the first and the last of several.

    Returns
    -------
    array or None
        Levels to try, in order; None if they depend on the profile.
    """
    if threshold is None:
        return None
    ends = np.atleast_1d(np.asarray(threshold, dtype=float))
    if ends.shape not in ((1,), (2,)) or not ((ends > 0) & (ends < 1)).all() or ends[0] > ends[-1]:
        raise ValueError(
            f"threshold is {threshold!r}, expected a number between 0 and 1 or a rising pair"
        )
    return ends if len(ends) == 1 else np.linspace(*ends, 11)


def check_edge_options(slice_length, slice_width, degree, order_degree, sigma, maxiters) -> None:
    """Validate the other options of `detect_order_edges`."""
    for name, value, least in (
        ("slice_width", slice_width, 1),
        ("degree", degree, 0),
        ("order_degree", order_degree, 0),
        ("maxiters", maxiters, 0),
    ):
        if value is None and name == "slice_width":
            continue
        expect(is_whole(value, least=least), name, value, f"an integer of at least {least}")
    if slice_length is not None:
        long_enough = is_finite(slice_length, least=4)
        expect(long_enough, "slice_length", slice_length, "at least 4 pixels")
    expect(is_finite(sigma, above=0), "sigma", sigma, "a positive number")
