# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What the orders are images of: slits, fibres, or the slices of an image slicer."""

import logging
from typing import NamedTuple

import numpy as np

from ccdproc_echelle._numeric.arguments import expect, is_whole
from ccdproc_echelle._numeric.medians import finite_median
from ccdproc_echelle._warnings import warn
from ccdproc_echelle.orders.fibres import (
    LEAST_KURTOSIS,
    POSSIBLE_KURTOSIS,
    clear_kurtosis,
    fibre_edges,
    fit_fibres,
    kurtosis_of,
)
from ccdproc_echelle.orders.slicers import band_offsets, looked_at, number_of_bands, order_profiles

__all__ = ["PROFILES", "OrderProfile", "checked_profile", "edges_of_fibres", "split_into_bands"]

_log = logging.getLogger(__name__)

# Orders closer than this, in units of their standard deviation, overlap so much that background and
# wings cannot be told apart.
_CROWDED = 6.5

PROFILES = ("auto", "slit", "fibre", "slicer")


class OrderProfile(NamedTuple):
    """The expected kind of order: one of `PROFILES`, and the number of slices."""

    name: str
    n_slices: int

    def found(self, n_slices: int, of_fibres: bool) -> str:
        """The kind that was found; logged if the user did not specify it."""
        name = "slicer" if n_slices > 1 else "fibre" if of_fibres else "slit"
        if self.name == "auto" and name != "slit":
            kind = "fibres" if of_fibres else "slices"
            number = f"{n_slices} {kind} each" if n_slices > 1 else kind
            _log.info("the orders are treated as images of %s", number)
        return name


def checked_profile(profile: str, n_slices: int) -> OrderProfile:
    """Validate the kind of order."""
    if profile not in PROFILES:
        raise ValueError(f"profile is {profile!r}, expected one of {PROFILES}")
    expect(is_whole(n_slices, least=1), "n_slices", n_slices, "an integer of at least 1")
    if profile == "slit" and n_slices > 1:
        raise ValueError(f"n_slices is {n_slices!r}, expected 1 for profile='slit'")
    return OrderProfile(profile, int(n_slices))


def split_into_bands(raster, centers, lengths, edges, profile: OrderProfile):
    """
    Find the centres of the bands of all orders, and the number of bands in an order.

    Parameters
    ----------
    raster : array, shape (n_pixels, n_cross)
        The light, NaN where there is none.
    centers : array, shape (n_orders, n_pixels)
        Order centres.
    lengths : array, shape (n_orders,)
        One and a half times the space available to each order.
    edges : array, shape (2, n_orders, n_pixels), or None
        Edges in the order table, which limit what belongs to an order.
    profile : `OrderProfile`
        The expected kind of order.

    Returns
    -------
    centers : array, shape (n_orders * n_slices, n_pixels)
        The bands of the first order come first.
    n_slices : int
    """
    if profile.name in ("slit", "fibre") and profile.n_slices == 1:
        return centers, 1
    limits = np.array([-lengths, lengths]) / 3
    if edges is not None:
        limits = finite_median(edges - centers)
    profiles = order_profiles(looked_at(raster, centers, int(np.ceil(lengths.max() / 2))))
    number = profile.n_slices
    if number == 1:
        number = number_of_bands(profiles, limits)
        if number == 1:
            return centers, 1
    offsets = band_offsets(profiles, limits, number)
    return (centers[:, None] + offsets[..., None]).reshape(-1, centers.shape[1]), number


def edges_of_fibres(slices, lengths, level: float, *, certain: bool, in_bundles: bool):
    """
    Edges of fibres as positions on the detector, and their errors, both (2, n_orders, n_slices).

    None if the orders are not fibres, unless ``certain`` is set, or if they are so close that they
    may as well be slits, unless they are ``in_bundles``.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If they may be slits as well.
    """
    samples = np.arange(slices.profiles.shape[-1])
    shown = slices.origins[..., None] + samples, slices.profiles, slices.noise
    kurtosis = np.inf if certain else kurtosis_of(*shown, lengths / 6)
    if not kurtosis > POSSIBLE_KURTOSIS:
        return None
    fibres = fit_fibres(*shown, lengths / 6)
    if not certain:
        typical = finite_median(fibres.sigma.reshape(1, -1))[0]
        crowded = np.median(lengths) / 1.5 < _CROWDED * typical
        if not _are_fibres(kurtosis, typical, crowded and not in_bundles):
            return None
    return fibre_edges(*shown[:2], slices.smear, fibres, level)


def _are_fibres(kurtosis: float, sigma: float, crowded: bool) -> bool:
    """Whether to treat what may be fibres as such; with a warning, as far as it is uncertain."""
    if crowded and kurtosis > LEAST_KURTOSIS:
        warn("the orders are so close that images of slits and of fibres look alike; they are "
             "treated as slits: specify profile='fibre' or profile='slit'")
        return False
    if kurtosis <= LEAST_KURTOSIS:
        warn("the orders are treated as images of a slit, but may be those of fibres with other "
             "light beside them, whose edges would be a few pixels further out: specify "
             "profile='fibre' or profile='slit'")
        return False
    if kurtosis < clear_kurtosis(sigma):
        warn("the orders are treated as images of fibres, but may be those of a slit hardly wider "
             "than its blur, whose edges would be a few pixels further in: specify "
             "profile='fibre' or profile='slit'")
    return True
