# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Traces that belong together: the fibres of a bundle, or the slices of an image slicer."""

from itertools import combinations

import numpy as np

from ccdproc_echelle._numeric.arguments import expect, is_whole
from ccdproc_echelle._numeric.medians import finite_median
from ccdproc_echelle._warnings import warn
from ccdproc_echelle.orders.slices import bridged, places_of

__all__ = ["bundled", "check_numbers", "group_size", "grouped", "warn_of_single_bundle"]

# Gaps between bundles must be wider than gaps within them by this factor to be told apart.
_WIDER = 1.15

# How many gaps beyond the minimum number are considered, for bundles that lack members.
_MOST_GAPS = 3

# Traces that nobody called bundles are groups if each gap between groups is wider than the adjacent
# gaps within them by this factor, or, if it is the only one, by the second factor.
_CLEARLY_WIDER, _SINGLE_GAP = 1.1, 1.5


def check_numbers(n_fibres: int, n_slices: int) -> None:
    """Check the number of traces per order."""
    for name, value in (("n_fibres", n_fibres), ("n_slices", n_slices)):
        expect(is_whole(value, least=1), name, value, "an integer of at least 1")
    if n_fibres > 1 and n_slices > 1:
        raise ValueError(
            f"n_fibres is {n_fibres} and n_slices is {n_slices}; expected at most one of them "
            "above 1: n_fibres to trace each fibre, n_slices to trace whole orders"
        )


def grouped(traces, residuals, n_fibres: int, n_slices: int, first_order: int):
    """
    Return the traces of single fibres, or a single trace for each order.

    Parameters
    ----------
    traces : array, shape (n_traces, n_pixels)
        Cross-dispersion positions, lowest trace first; NaN where the trace is not defined.
    residuals : array, shape (n_traces, n_kinds)
        RMS residuals of each trace.
    n_fibres, n_slices : int
        Traces per order. For slices only the middle between the outermost ones is kept.
    first_order : int
        Number of the lowest order.

    Returns
    -------
    traces, residuals : array
        As given, or one per order.
    columns : dict
        For the order table: ``fibre``, counted from 1, and ``bundle``, the order of each trace.

    Raises
    ------
    ValueError
        If the traces do not form bundles of that size.
    """
    if n_fibres == n_slices == 1:
        return traces, residuals, {}
    number = max(n_fibres, n_slices)
    bundle, member = bundled(traces, number)
    if n_fibres > 1:
        return traces, residuals, {"fibre": member + 1, "bundle": bundle + first_order}
    groups = [bundle == one for one in range(bundle.max() + 1)]
    residuals = np.array([np.sqrt(np.mean(residuals[group] ** 2, axis=0)) for group in groups])
    return _middles(traces, groups, member, number), residuals, {}


def group_size(traces: np.ndarray) -> int:
    """
    Number of traces in each of the groups that they form; 1 if they are spaced like orders.

    The spacing of orders changes smoothly, that of the slices or fibres of several orders
    alternates between narrow and wide gaps. The first and the last group may be incomplete.

    Parameters
    ----------
    traces : array, shape (n_traces, n_pixels)
        Cross-dispersion positions, lowest trace first; NaN where the trace is not defined.

    Returns
    -------
    int

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle.orders.bundles import group_size
    >>> places = np.array([10.0, 25, 70, 86, 133, 150])
    >>> group_size(places[:, None]), group_size(places[::2, None])
    (2, 1)
    """
    steps = finite_median(np.diff(traces, axis=0))
    if not (steps > 0).all():
        return 1
    for number in range(2, len(traces) // 2 + 1):
        for first in range(number):
            wide = np.arange(len(steps)) % number == first
            if _are_wider(steps, wide):
                return number
    return 1


def _are_wider(steps: np.ndarray, wide: np.ndarray) -> bool:
    """Whether each of the wide steps, some of which have two neighbours, exceeds them."""
    beside = np.pad(np.where(wide, 0, steps), 1)
    factor = _CLEARLY_WIDER
    if wide.sum() == 1:
        if not wide[len(wide) // 2] or len(wide) % 2 == 0:
            return False
        factor = _SINGLE_GAP
    exceeds = steps > factor * np.maximum(beside[:-2], beside[2:])
    return bool(wide[1:-1].any() and exceeds[wide].all())


def bundled(traces: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """
    Assign each trace to a bundle and to a position within it.

    Parameters
    ----------
    traces : array, shape (n_traces, n_pixels)
        Cross-dispersion positions, lowest trace first; NaN where the trace is not defined.
    number : int
        Number of traces in a bundle.

    Returns
    -------
    bundle, member : int arrays, shape (n_traces,)
        Bundle and position within it, both counted from 0, lowest first.

    Raises
    ------
    ValueError
        If the traces do not form bundles of that size.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If a bundle is incomplete: it may be cut by the border, or too faint.
    """
    steps = finite_median(np.diff(traces, axis=0))
    steps = np.where(np.isnan(steps), np.diff(places_of(traces)), steps)
    if np.isnan(steps).any() or len(steps) + 1 < number:
        raise ValueError(f"found {len(traces)} traces, which do not form bundles of {number}")
    bundle = np.append(0, np.cumsum(_between(steps, number)))
    sizes = np.bincount(bundle)
    if (sizes > number).any() or not (sizes == number).any():
        raise ValueError(
            f"the traces found form bundles of {sizes.tolist()}, expected {number} in each; trace "
            "without n_fibres and n_slices to inspect them"
        )
    member = np.arange(len(traces)) - np.append(0, np.cumsum(sizes))[bundle]
    lacking = np.flatnonzero(sizes < number)
    if len(lacking):
        groups = [bundle == one for one in range(len(sizes))]
        for one in lacking:
            member[groups[one]] = _likely_members(traces, groups, one, number)
        places = [f"{finite_median(traces[groups[one]].ravel()):.0f}" for one in lacking]
        warn(
            f"{len(lacking)} of {len(sizes)} bundles, at position {', '.join(places)}, have fewer "
            f"than {number} traces: cut by the border of the detector, or too faint"
        )
    return bundle, member


def warn_of_single_bundle(traces: np.ndarray, n_cross: int) -> None:
    """
    Warn of traces that form a single bundle but fill the detector as orders do.

    Parameters
    ----------
    traces : array, shape (n_traces, n_pixels)
        Cross-dispersion positions, lowest trace first; NaN where the trace is not defined.
    n_cross : int
        Size of the detector, or of the region searched, across the dispersion.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If there is no room for another trace at either border.
    """
    places = finite_median(traces)
    margin = max(places[0], n_cross - 1 - places[-1])
    if margin < np.diff(places).mean():
        warn(
            f"the {len(traces)} traces found fill the detector, and were taken for the parts of a "
            "single order: if each of them is an order, whose slices or fibres are not seen apart, "
            "trace without n_fibres and n_slices"
        )


def _between(steps: np.ndarray, number: int) -> np.ndarray:
    """
    Which steps lead from one bundle to the next: those above where the sorted steps jump the most.

    Steps that grow from order to order may hide the jump. Then every n-th one must be wider than
    those beside it.
    """
    least = -(-(len(steps) + 1) // number) - 1
    if least == 0:
        return np.zeros(len(steps), dtype=bool)
    ranked = np.sort(steps)[::-1]
    ratios = (ranked[:-1] / ranked[1:])[least - 1 : least + _MOST_GAPS]
    if len(ratios) and ratios.max() >= _WIDER:
        return steps > ranked[least + np.argmax(ratios)]
    for first in range(number):
        wide = np.arange(len(steps)) % number == first
        if _are_wider(steps, wide):
            return wide
    raise ValueError(
        f"the {len(steps) + 1} traces found do not form bundles of {number}: no matching number of "
        "gaps stands out; trace without n_fibres and n_slices to inspect them: exclude other bands "
        "of light with n_orders, min_width, region or a mask; if slices or fibres are not seen "
        "apart, each trace is an order"
    )


def _middles(traces, groups, member, number) -> np.ndarray:
    """
    Middle between the outermost members of each bundle, inferred from others if one is missing.
    """
    offsets = _typical_offsets(traces, groups, number)
    middles = []
    for group in groups:
        own = traces[group] - offsets[member[group]]
        middle = finite_median(own.T)
        if group.sum() == number:
            outer = 0.5 * (traces[group][0] + traces[group][-1])
            own -= np.nan_to_num(finite_median(own - outer))[:, None]
            middle = np.where(np.isfinite(outer), outer, finite_median(own.T))
        middles.append(middle)
    return np.array(middles)


def _typical_offsets(traces, groups, number) -> np.ndarray:
    """Typical position of each member relative to the middle of its bundle, (number, n_pixels)."""
    whole = [traces[group] for group in groups if group.sum() == number]
    offsets = np.array([own - 0.5 * (own[0] + own[-1]) for own in whole])
    if np.isnan(offsets).all():
        raise ValueError(
            f"the outermost of the {number} traces of an order nowhere run side by side, so they "
            "do not form an order; trace without n_slices to inspect them"
        )
    return bridged(finite_median(offsets.transpose(1, 2, 0)))


def _likely_members(traces, groups, lacking: int, number: int) -> np.ndarray:
    """Which members an incomplete bundle has, judging by where the other bundles lie."""
    whole = np.array([k for k, group in enumerate(groups) if group.sum() == number])
    places = [finite_median(traces[groups[k]]) for k in whole]
    degree = min(2, len(whole) - 1)
    expected = [
        np.polyval(np.polyfit(whole, column, degree), lacking) for column in np.transpose(places)
    ]
    own = finite_median(traces[groups[lacking]])
    possible = [list(members) for members in combinations(range(number), len(own))]
    best = min(possible, key=lambda members: np.abs(np.take(expected, members) - own).sum())
    return np.array(best)
