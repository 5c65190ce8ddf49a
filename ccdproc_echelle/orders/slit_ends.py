# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Light that is not that of an evenly lit slit: shadows and spots at its ends, and bands beside it.

Dust on a slit moves the edges of all orders alike, and a second slice that is not in the order
table counts as inter-order area. Both only show in the shape of the light.
"""

import numpy as np
from scipy.special import ndtr

from ccdproc_echelle._numeric.medians import finite_median
from ccdproc_echelle.orders.crossings import RISING, Crossings, blur_variance
from ccdproc_echelle.orders.slices import Slices, bridged, places_of

__all__ = ["bands_beside", "uneven_ends"]

# The light around an edge is compared with a blurred step at these distances, outwards, in standard
# deviations of the blur. It may differ by this fraction of the step.
_AROUND, _LARGEST_MISFIT = np.linspace(-3, 1.5, 10), 0.15

# The light of an order ends this many standard deviations of the blur, plus this many pixels, from
# its edge. About so many slices of each order are looked at.
_BLURS, _PIXELS, _N_SLICES = 3.5, 1.0, 16

# All orders share one slit: what at most this fraction of them shows, or a single one, is not due
# to the slit. An order with edges in at most the second fraction of its slices is not judged.
_MOST_ORDERS, _MOST_SLICES = 0.5, 0.5


def uneven_ends(slices: Slices, crossings: Crossings, blended: np.ndarray) -> np.ndarray:
    """
    Orders whose light does not fall at an end of the slit as a blurred step does, (n_orders,).

    Parameters
    ----------
    slices : `~ccdproc_echelle.orders.slices.Slices`
        The slices.
    crossings : `~ccdproc_echelle.orders.crossings.Crossings`
        What was measured in them, with edges at half the step.
    blended : bool array, shape (n_orders,)
        Orders without a plateau or a background of their own, of which nothing is said.
    """
    slices, crossings = _some(slices, crossings)
    variance = min(  # a shadow makes only one of the two sides less steep
        blur_variance(slices, Crossings(*(part[[side]] for part in crossings))) for side in (0, 1)
    )
    light, distances = _light_beside(slices, crossings, _AROUND * np.sqrt(variance))
    sigma = np.sqrt(variance + slices.smear)[..., None]
    top = 1 + _slopes(crossings)[..., None] * distances
    misfit = _typical(light - top * ndtr(-distances / sigma))
    uneven = (np.abs(misfit) > _LARGEST_MISFIT).any(axis=-1) & ~blended
    return _of_most(uneven, ~blended).any(axis=0)


def bands_beside(slices: Slices, crossings: Crossings, blur: float) -> np.ndarray:
    """
    Orders between which and their neighbours there is a band of light of its own, (n_orders,).

    Parameters
    ----------
    slices, crossings
        See `uneven_ends`.
    blur : float
        Variance of the blur.
    """
    slices, crossings = _some(slices, crossings)
    reach = slices.profiles.shape[-1] // 2
    margin = _BLURS * np.sqrt(blur) + _PIXELS
    light, distances = _light_beside(slices, crossings, np.arange(margin, 2 * reach + 1))
    room = _gaps(crossings.edges + slices.origins)[..., None] - margin
    light = _typical(np.where(distances < room, light, np.nan))
    known = np.isfinite(light).any(axis=-1)
    known &= np.isfinite(crossings.edges).mean(axis=-1) > _MOST_SLICES
    return _of_most(known & (light > RISING).any(axis=-1), known).any(axis=0)


def _some(slices: Slices, crossings: Crossings) -> tuple[Slices, Crossings]:
    """A few slices of each order."""
    step = max(1, slices.profiles.shape[1] // _N_SLICES)
    return (Slices(*(part[:, ::step] for part in slices)),
            Crossings(*(part[..., ::step] for part in crossings)))


def _light_beside(slices, crossings, distances) -> tuple[np.ndarray, np.ndarray]:
    """
    Light beside the edges as a fraction of their step, and its distance from them, outwards.

    At the samples nearest to the given distances; both (2, n_orders, n_slices, n_distances).
    """
    outwards = np.array([-1.0, 1.0])[:, None, None, None]
    edges, n_samples = crossings.edges[..., None], slices.profiles.shape[-1]
    places = np.rint(edges + outwards * distances)
    inside = (places >= 0) & (places < n_samples)
    index = np.where(inside, places, 0).astype(int)
    light = np.stack([np.take_along_axis(slices.profiles, side, axis=-1) for side in index])
    steps = crossings.plateaus - crossings.backgrounds
    steps = np.where(inside & (steps > 0)[..., None], steps[..., None], np.nan)
    return (light - crossings.backgrounds[..., None]) / steps, (places - edges) * outwards


def _slopes(crossings: Crossings) -> np.ndarray:
    """Outward slope of the plateau as a fraction of the step, (2, n_orders, n_slices)."""
    edges, plateaus, backgrounds = crossings
    slopes = (plateaus - plateaus[::-1]) / (edges[1] - edges[0])
    return slopes / np.where(plateaus > backgrounds, plateaus - backgrounds, np.nan)


def _gaps(edges: np.ndarray) -> np.ndarray:
    """Distance of each edge from the nearest edge of the next order, infinite if there is none."""
    rank = np.argsort(places_of(edges.mean(axis=0)))
    lower, upper = (bridged(edge)[rank] for edge in edges)
    between = np.nan_to_num(lower[1:] - upper[:-1], nan=-np.inf)
    gaps = np.full(edges.shape, np.inf)
    gaps[0, rank[1:]], gaps[1, rank[:-1]] = between, between
    return gaps


def _typical(light: np.ndarray) -> np.ndarray:
    """Median over the slices."""
    return finite_median(light.swapaxes(-1, -2))


def _of_most(found: np.ndarray, known: np.ndarray) -> np.ndarray:
    """What was found on the same side of most orders."""
    number, of_known = found.sum(axis=1), np.broadcast_to(known, found.shape).sum(axis=1)
    return found & ((number > 1) & (number > _MOST_ORDERS * of_known))[:, None]
