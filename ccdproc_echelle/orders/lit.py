# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Find where an order has light along the dispersion. Works on the sections of the tracer."""

import numpy as np

from ccdproc_echelle._numeric.ranges import lit_range

__all__ = ["around", "in_middle", "lit_sections"]

# The level of an order is measured this far from its middle, in units of its half-width.
_PLATEAU = 0.6

# Anything below this fraction of the brightest section of an order is as good as noise.
_LEAST_CONTRAST = 2e-3


def lit_sections(mean, noise, label, half, faintest) -> tuple[np.ndarray, np.ndarray]:
    """
    Sections between which an order stands out from the valleys beside it, and by how much.

    Both have shape (n_sections,). Gaps are bridged. Where an order stands out by less than
    ``faintest``, a pattern of the detector may pass for its edge: it does not begin or end there.
    """
    light, noise, away = around(mean, noise, label, half)
    middle, beside = in_middle(away, half), np.zeros(len(away), dtype=bool)
    valley = np.where(np.isfinite(light), light, 0).sum(axis=0)
    valley /= np.maximum(np.isfinite(light).sum(axis=0), 1)
    for side in (-1, 1):
        outside = np.flatnonzero(side * away > max(half, 1))
        beside |= np.abs(away - away[outside[np.argmin(valley[outside])]]) <= 1
    (top, top_noise), (bottom, bottom_noise) = (
        _mean_and_noise(light[:, part], noise[:, part]) for part in (middle, beside)
    )
    contrast = top - bottom
    sigma = np.hypot(top_noise, bottom_noise)
    least = _LEAST_CONTRAST * np.nanmax(contrast, initial=0)
    ratio = contrast / np.maximum(np.maximum(sigma, least), np.finfo(float).tiny)
    ratio = np.where(contrast < faintest, np.minimum(ratio, 0), ratio)
    found, index = lit_range(ratio), np.arange(len(ratio))
    first, last = found or (len(ratio), -1)
    return (index >= first) & (index <= last), contrast


def _mean_and_noise(light, noise) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the finite samples of each section, and its noise."""
    seen = np.isfinite(light)
    count = seen.sum(axis=1)
    known = np.where(count > 0, count, np.nan)
    return (np.where(seen, light, 0).sum(axis=1) / known,
            np.sqrt(np.where(seen, noise**2, 0).sum(axis=1)) / known)


def around(light, noise, label, half):
    """Light and noise of each section around an order, and the distance of each sample from it."""
    reach = int(np.ceil(1.5 * half + 4))
    away = np.arange(-reach, reach + 1)
    whole = int(np.floor(label))
    columns = np.clip(whole + away, 0, light.shape[1] - 2)
    # Samples symmetric about the label; otherwise the curved top of a narrow order mimics a slope.
    light = (1 - label + whole) * light[:, columns] + (label - whole) * light[:, columns + 1]
    return light, noise[:, columns], away


def in_middle(away, half) -> np.ndarray:
    return np.abs(away) <= max(_PLATEAU * half, 0.5)
