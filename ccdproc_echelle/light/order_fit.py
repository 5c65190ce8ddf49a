# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The light of one order as blaze times slit profile.

Pure arrays: an order is cut out of the image with one column per dispersion pixel and as many
rows as it is wide, counted from its lower edge, so that it lies straight.
"""

from typing import NamedTuple

import numpy as np
from scipy.interpolate import BSpline
from scipy.ndimage import median_filter

__all__ = ["OrderFit", "fit_order"]

# Of a Gaussian: 1 / norm.ppf(0.75), in the digits of astropy.stats.mad_std.
_MAD_TO_SIGMA = 1.482602218505602

_DEGREE = 3
_N_ROUNDS = 3
_CLIP = 5  # sigma
_LEAST_SCATTER = 1e-4  # relative; of a flat without noise

# In pixel. A blurred slit edge rises over two pixels and more; half a pixel resolves it.
_BLAZE_STEP = 25
_PROFILE_STEP = 1024
_EDGE_STEP, _EDGE_LENGTH, _SLIT_STEP = 0.5, 3, 1.0

# The slit profile is taken as constant along a section in the normal equations.
_SECTION = 32

# The scatter at one place of the slit is that of a stretch of so many lengths.
_LENGTHS_PER_STRETCH = 10


class OrderFit(NamedTuple):
    """The fit of one order; the variances of the two factors are relative to them squared."""

    blaze: np.ndarray  # (n_pixels,)
    blaze_variance: np.ndarray  # (n_pixels,)
    profile: np.ndarray  # (n_rows, n_pixels)
    profile_variance: np.ndarray  # (n_rows, n_pixels)
    scatter: np.ndarray  # (n_rows, n_pixels), of the data about the fit
    used: np.ndarray  # bool (n_rows, n_pixels)


def fit_order(
    values: np.ndarray, good: np.ndarray, place: np.ndarray, width: float, length: int
) -> OrderFit:
    """
    Fit the light of an order; ``values``, ``good`` and ``place`` have shape (n_rows, n_pixels).

    ``place`` is the relative slit position, 0 at the lower edge and 1 at the upper one.
    """
    place = np.clip(place, 0, 1)
    scale = np.median(np.abs(values[good])) or 1.0
    values = np.where(good, values, 0) / scale
    blaze, profile = _start(values, good, place, width, length)
    blaze_fit = _BlazeFit(values.shape[1])
    profile_fit = _ProfileFit(place, width)
    for _ in range(_N_ROUNDS):
        expected = blaze * profile
        scatter = _scatter(values - expected, expected, good, length)
        used = good & (np.abs(values - expected) < _CLIP * scatter)
        weights = used / scatter**2
        profile, profile_variance = profile_fit(values, weights, blaze)
        blaze, blaze_variance = blaze_fit(values, weights, profile)
    # Nothing is gained from an error relative to no light.
    light = np.maximum(np.abs(blaze), 1e-12)
    profile_variance = profile_variance / np.maximum(np.abs(profile), 1e-12) ** 2
    return OrderFit(
        blaze * scale, blaze_variance / light**2, profile, profile_variance,
        scatter * scale, used,
    )


# ---------------------------------------------------------------------- the start


def _start(values, good, place, width, length) -> tuple[np.ndarray, np.ndarray]:
    """Medians: of the middle half of the slit along the order, then of each place in the slit."""
    middle = good & (np.abs(place - 0.5) <= 0.25)
    known = np.flatnonzero(middle.any(axis=0))
    columns = np.arange(values.shape[1])
    if len(known) == 0:
        known, middle = np.flatnonzero(good.any(axis=0)), good
    brightness = _median(values.T[known], middle.T[known])
    blaze = median_filter(np.interp(columns, known, brightness), length, mode="reflect")
    lit = good & (blaze > 0)
    if not lit.any():
        return blaze, np.ones_like(values)
    bins = (place * (4 * width)).astype(int)  # a quarter of a pixel
    every = max(1, values.shape[1] // 500)
    some = lit[:, ::every]
    ratios = (values[:, ::every] / np.where(blaze > 0, blaze, 1)[::every])[some]
    labels, medians = _median_of_labels(ratios, bins[:, ::every][some])
    return blaze, np.interp(bins, labels, medians)


def _median(values: np.ndarray, good: np.ndarray) -> np.ndarray:
    """Median of the good values along the last axis; NaN where there is none."""
    ranked = np.sort(np.where(good, values, np.inf), axis=-1)
    count = good.sum(axis=-1)
    pick = np.stack([np.maximum(count - 1, 0) // 2, np.minimum(count // 2, values.shape[-1] - 1)])
    pair = np.take_along_axis(ranked, np.moveaxis(pick, 0, -1), axis=-1)
    return np.where(count > 0, np.where(np.isfinite(pair), pair, 0).mean(axis=-1), np.nan)


def _median_of_labels(values, labels) -> tuple[np.ndarray, np.ndarray]:
    """The different labels, and the median of the values of each."""
    rank = np.lexsort((values, labels))
    found, start, count = np.unique(labels[rank], return_index=True, return_counts=True)
    pair = values[rank[start + (count - 1) // 2]] + values[rank[start + count // 2]]
    return found, 0.5 * pair


# ---------------------------------------------------------------------- the scatter


def _scatter(residual, expected, good, length) -> np.ndarray:
    """
    Standard deviation of the data about the fit, from the median absolute deviation.

    That of the whole slit nearby, which knows the brightness there, times its ratio at this place
    in the slit, which knows how it depends on the light, and how well the fit is known there.
    """
    deviation = np.abs(residual)
    n_pixels = deviation.shape[1]
    near = _parts(n_pixels, length)
    nearby = _median(*(_stacked(x, near, across=True) for x in (deviation, good)))
    floor = _LEAST_SCATTER * max(np.median(np.abs(expected[good])), 1e-9)
    nearby = _filled(nearby, floor)[near]
    far = _parts(n_pixels, _LENGTHS_PER_STRETCH * length)
    ratio = _median(*(_stacked(x, far, across=False) for x in (deviation / nearby, good)))
    ratio = np.where(np.isfinite(ratio), np.maximum(ratio, 1e-3), 1).T[:, far]
    least = np.maximum(_LEAST_SCATTER * expected, 1e-2 * floor)
    return np.maximum(_MAD_TO_SIGMA * nearby * ratio, least)


def _filled(values, least) -> np.ndarray:
    known = np.flatnonzero(np.isfinite(values))
    return np.maximum(np.interp(np.arange(len(values)), known, values[known]), least)


def _parts(n: int, length: int) -> np.ndarray:
    """In which of equal parts, none shorter than length if it can be, each of n pixels lies."""
    n_parts = max(1, n // length)
    return np.arange(n) * n_parts // n


def _stacked(image, parts, *, across: bool) -> np.ndarray:
    """An image cut into parts, False or 0 where one lacks a pixel; (n_parts[, n_rows], n)."""
    start = np.flatnonzero(np.diff(parts, prepend=-1))
    size = np.diff(np.append(start, len(parts)))
    columns = start[:, None] + np.arange(size.max())
    inside = columns < (start + size)[:, None]
    cut = image[:, np.minimum(columns, len(parts) - 1)] * inside
    return np.moveaxis(cut, 0, 1).reshape(len(start), -1 if across else len(image), *(
        () if across else (size.max(),)
    ))


# ---------------------------------------------------------------------- penalised splines


def _knots(breaks: np.ndarray) -> np.ndarray:
    """Knots of a cubic spline, the outer ones repeated."""
    return np.pad(breaks, _DEGREE, mode="edge")


def _uniform_breaks(n_pixels: int, step: float) -> np.ndarray:
    return np.linspace(0, n_pixels - 1, max(1, round(n_pixels / step)) + 1)


def _slit_breaks(width: float) -> np.ndarray:
    """From 0 to 1: close together near the edges of the slit."""
    edge = np.arange(0, min(_EDGE_LENGTH, width / 2) - 1e-9, _EDGE_STEP) / width
    n_inner = max(1, round(width * (1 - 2 * (edge[-1] + _EDGE_STEP / width)) / _SLIT_STEP))
    first = min(edge[-1] + _EDGE_STEP / width, 0.5)
    inner = np.linspace(first, 1 - first, n_inner + 1) if first < 0.5 else np.array([0.5])
    return np.concatenate([edge, inner, 1 - edge[::-1]])


def _penalty_basis(knots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and -vectors of the roughness: second differences of the coefficients."""
    n = len(knots) - _DEGREE - 1
    sites = np.array([knots[i + 1 : i + 1 + _DEGREE].mean() for i in range(n)])
    slopes = np.diff(np.eye(n), axis=0) / np.diff(sites)[:, None] * np.diff(sites).mean()
    difference = np.diff(slopes, axis=0)
    values, vectors = np.linalg.eigh(difference.T @ difference)
    values[:2] = 0  # straight lines are not penalised
    return values, vectors


def _restricted_likelihood_fit(gram, right, penalties, strength, n_steps):
    """
    Coefficients, their covariance and the strength of each penalty, all diagonal.

    Fellner and Schall: each strength becomes what is left of its degrees of freedom, divided by
    the roughness of the solution.
    """
    ridge = 1e-12 * np.trace(gram) / len(gram) + 1e-30
    for step in range(n_steps + 1):
        total = strength @ penalties
        matrix = gram + np.diag(total + ridge)
        # Strengths differ by many powers of ten; scaled to a unit diagonal the inverse is safe.
        size = np.sqrt(np.diag(matrix))
        size = np.outer(size, size)
        covariance = np.linalg.inv(matrix / size) / size
        coefficients = covariance @ right
        if step == n_steps:
            break
        free = np.divide(penalties, total, out=np.zeros_like(penalties), where=total > 0).sum(1)
        freedom = strength * (free - penalties @ np.diag(covariance))
        roughness = penalties @ coefficients**2
        strength = np.maximum(freedom, 1e-3) / np.maximum(roughness, 1e-12)
    return coefficients, covariance, strength


class _BlazeFit:
    """A smooth function of the dispersion pixel."""

    def __init__(self, n_pixels: int):
        knots = _knots(_uniform_breaks(n_pixels, _BLAZE_STEP) if n_pixels > 1 else [0.0, 1.0])
        penalty, vectors = _penalty_basis(knots)
        pixels = np.arange(n_pixels, dtype=float)
        self._basis = BSpline.design_matrix(pixels, knots, _DEGREE).toarray() @ vectors
        self._penalties = penalty[None]
        self._strength = np.ones(1)

    def __call__(self, values, weights, profile) -> tuple[np.ndarray, np.ndarray]:
        weight = (weights * profile**2).sum(axis=0)
        right = self._basis.T @ (weights * profile * values).sum(axis=0)
        gram = self._basis.T @ (weight[:, None] * self._basis)
        coefficients, covariance, self._strength = _restricted_likelihood_fit(
            gram, right, self._penalties, self._strength, 4
        )
        variance = ((self._basis @ covariance) * self._basis).sum(axis=1)
        return self._basis @ coefficients, variance


class _ProfileFit:
    """A smooth function of the place in the slit that changes slowly along the order."""

    def __init__(self, place: np.ndarray, width: float):
        self._knots = _knots(_slit_breaks(width))
        n_pixels = place.shape[1]
        along = _knots(_uniform_breaks(max(n_pixels, 2), _PROFILE_STEP))
        penalty_slit, self._vectors = _penalty_basis(self._knots)
        penalty_along, vectors = _penalty_basis(along)
        self._penalties = np.stack([
            np.repeat(penalty_slit, len(penalty_along)),
            np.tile(penalty_along, len(penalty_slit)),
        ])
        self._strength = np.ones(2)
        pixels = np.arange(n_pixels, dtype=float)
        self._along = BSpline.design_matrix(pixels, along, _DEGREE).toarray() @ vectors
        design = BSpline.design_matrix(place.ravel(), self._knots, _DEGREE)
        self._values = design.data.reshape(*place.shape, _DEGREE + 1)
        self._first = design.indices.reshape(*place.shape, _DEGREE + 1)[..., 0]
        self._place = place
        self._coefficients = None

    def __call__(self, values, weights, blaze) -> tuple[np.ndarray, np.ndarray]:
        gram, right = self._normal_equations(weights * blaze**2, weights * blaze * values)
        coefficients, covariance, self._strength = _restricted_likelihood_fit(
            gram, right, self._penalties, self._strength, 2 if self._coefficients is not None else 6
        )
        shape = len(self._vectors), self._along.shape[1]
        self._coefficients = self._vectors @ coefficients.reshape(shape) @ self._along.T
        profile = np.zeros(self._place.shape)
        columns = np.arange(profile.shape[1])
        for k in range(_DEGREE + 1):
            profile += self._values[..., k] * self._coefficients[self._first + k, columns]
        # What is common to the whole slit belongs to the blaze, or each could undo the other.
        level = self._level()
        return profile / level, self._variance(covariance)

    def _level(self) -> np.ndarray:
        """Mean over the middle half of the slit at each dispersion pixel; 1 if not positive."""
        places = np.linspace(0.25, 0.75, 101)
        design = BSpline.design_matrix(places, self._knots, _DEGREE)
        level = np.asarray(design.mean(axis=0)).ravel() @ self._coefficients
        return np.where(level > 0, level, 1)

    def _normal_equations(self, weights, weighted) -> tuple[np.ndarray, np.ndarray]:
        section = _parts(self._place.shape[1], _SECTION)
        n, n_sections = len(self._vectors), section[-1] + 1
        slit_gram = np.zeros((n_sections, n, n))
        slit_right = np.zeros((n_sections, n))
        label = section * n + self._first

        def summed(terms, k):
            flat = np.bincount((label + k).ravel(), terms.ravel(), minlength=n_sections * n)
            return flat.reshape(n_sections, n)

        for a in range(_DEGREE + 1):
            weighted_basis = weights * self._values[..., a]
            slit_right += summed(weighted * self._values[..., a], a)
            for b in range(a, _DEGREE + 1):
                i = np.arange(n - b + a)
                band = summed(weighted_basis * self._values[..., b], a)[:, : n - b + a]
                slit_gram[:, i, i + b - a] += band
                if b > a:
                    slit_gram[:, i + b - a, i] += band
        middle = np.searchsorted(section, np.arange(n_sections), side="right") - 1
        middle = (np.searchsorted(section, np.arange(n_sections)) + middle) // 2
        along = self._along[middle]
        n_along = along.shape[1]
        pairs = (along[:, :, None] * along[:, None, :]).reshape(n_sections, -1)
        gram = (pairs.T @ slit_gram.reshape(n_sections, -1)).reshape(n_along, n_along, n, n)
        gram = self._vectors.T @ gram @ self._vectors
        right = self._vectors.T @ (slit_right.T @ along)
        size = n * n_along
        return gram.transpose(2, 0, 3, 1).reshape(size, size), right.ravel()

    def _variance(self, covariance) -> np.ndarray:
        """Of the profile, from a grid on which it hardly changes."""
        n_pixels = self._place.shape[1]
        coarse = np.linspace(0, n_pixels - 1, min(n_pixels, 9)).round().astype(int)
        places = np.unique(np.concatenate([self._knots, (self._knots[1:] + self._knots[:-1]) / 2]))
        slit = BSpline.design_matrix(places, self._knots, _DEGREE).toarray() @ self._vectors
        basis = np.einsum("ia,jb->ijab", slit, self._along[coarse]).reshape(
            len(places) * len(coarse), -1
        )
        variance = ((basis @ covariance) * basis).sum(axis=1).reshape(len(places), len(coarse))
        nearest = np.rint(np.linspace(0, len(coarse) - 1, n_pixels)).astype(int)
        between = np.searchsorted(0.5 * (places[1:] + places[:-1]), self._place)
        return variance[between, nearest]
