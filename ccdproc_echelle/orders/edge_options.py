# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Options with which order edges are measured, checked before any long work."""

import numpy as np

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
        if not isinstance(value, (int, np.integer)) or value < least:
            raise ValueError(f"{name} is {value!r}, expected an integer of at least {least}")
    if slice_length is not None and not 4 <= slice_length < np.inf:
        raise ValueError(f"slice_length is {slice_length!r}, expected at least 4 pixels")
    if not sigma > 0:
        raise ValueError(f"sigma is {sigma!r}, expected a positive number")
