# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Fit the light of one order by blaze times slit profile.

Plain arrays: an order is cut out of the image with one column per dispersion pixel and as many
rows as it is wide, counted from its lower edge, so that it is straight.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigvals_banded
from scipy.ndimage import median_filter

from ccdproc_echelle._numeric.medians import label_medians, ranked_median
from ccdproc_echelle._numeric.penalised import Penalty, block_band, restricted_likelihood_fit
from ccdproc_echelle._numeric.roots import slab_product
from ccdproc_echelle._numeric.splines import CubicSplines
from ccdproc_echelle._numeric.spread import MAD_TO_SIGMA

__all__ = ["OrderFit", "OrderSketch", "fit_order", "scatter_about", "sketch_order"]

_CLIP = 5  # sigma
_LEAST_SCATTER = 1e-4  # of the median light; of a flat without noise

# A sketch uses every fifth or third dispersion pixel, not every second, as amplifiers may
# alternate. Number of dispersion pixels per length, and of values, needed to estimate the scatter.
_STEPS, _LEAST_COLUMNS, _LEAST_VALUES = (5, 3), 10, 250

# Number of rounds; one more is done while the scatter falls below this fraction of its last value.
_MAX_ROUNDS, _STILL_FALLING = 4, 0.6

# In pixels. A blurred slit edge rises over two or more pixels, which steps of half a pixel resolve.
_BLAZE_STEP = 25
_PROFILE_STEP = 1024
_EDGE_STEP, _EDGE_LENGTH, _SLIT_STEP = 0.5, 3, 1.0

# For each step along the order. The slit profile is treated as constant along a section in the
# normal equations.
_SECTIONS = 16

# Initial values for the search of the penalties, near which most searches end. The curvature of a
# blaze that spans the detector, and with it the roughness, falls with the length of the detector.
_BLAZE_STRENGTH = 4e-5  # for each cubed pixel of this length
_PROFILE_STRENGTH = (300.0, 1e4)  # across the slit, along the order

# The scatter at one place in the slit is that of a stretch of this many lengths.
_LENGTHS_PER_STRETCH = 10


class OrderSketch(NamedTuple):
    """The light of one order, known well enough to identify bad pixels."""

    blaze: np.ndarray  # (n_pixels,)
    profile: np.ndarray  # (n_rows, n_pixels)
    scatter: np.ndarray  # (n_rows, n_pixels), of the data about the sketch


class OrderFit(NamedTuple):
    """Fit of one order; the variances of the two factors are relative to their squares."""

    blaze: np.ndarray  # (n_pixels,)
    blaze_variance: np.ndarray  # (n_pixels,)
    profile: np.ndarray  # (n_rows, n_pixels)
    profile_variance: np.ndarray  # (n_rows, n_pixels)
    scatter: np.ndarray  # (n_rows, n_pixels), of the data about the fit
    used: np.ndarray  # bool (n_rows, n_pixels)


def sketch_order(
    values: np.ndarray, good: np.ndarray, place: np.ndarray, width: float, length: int
) -> OrderSketch:
    """Fit a subset of the pixels of an order; see `fit_order` for the arguments."""
    order = _Order(values, good, place, width, length)
    blaze, profile = order.sketch()
    scatter = order.scatter.at(order.pixels.columns, blaze * profile)
    return OrderSketch(blaze * order.scale, profile, scatter * order.scale)


def fit_order(
    values: np.ndarray, good: np.ndarray, place: np.ndarray, width: float, length: int
) -> OrderFit:
    """
    Fit the light of an order; ``values``, ``good`` and ``place`` have shape (n_rows, n_pixels).

    ``place`` is the relative slit position, 0 at the lower edge and 1 at the upper one.
    """
    order = _Order(values, good, place, width, length)
    blaze, profile, scatter, used = order.improved(order.pixels, *order.sketch())
    # A relative error is meaningless without light.
    blaze_variance = order.blaze_fit.variance(order.pixels) / np.maximum(blaze**2, 1e-24)
    profile_variance = order.profile_fit.variance(order.pixels) / np.maximum(profile**2, 1e-24)
    return OrderFit(
        blaze * order.scale, blaze_variance, profile, profile_variance,
        scatter * order.scale, used,
    )


def scatter_about(
    expected: np.ndarray, values: np.ndarray, good: np.ndarray, length: int
) -> np.ndarray:
    """
    Scatter, as in `OrderSketch`, about any expected light, which may include more than a sketch.
    """
    scale = _typical(values[good])
    expected, values = expected / scale, np.where(good, values, 0) / scale
    scatter = _Scatter(values.shape[1], length)
    columns = np.arange(values.shape[1])
    return scatter.measured(columns, good, expected, values - expected) * scale


class _Pixels(NamedTuple):
    """Pixels of an order, (n_rows, n_columns), and the dispersion pixel of each column."""

    values: np.ndarray
    good: np.ndarray
    place: np.ndarray
    piece: np.ndarray  # of the splines across the slit
    position: np.ndarray  # in the piece, from -1 to 1
    columns: np.ndarray

    def every(self, step: int) -> "_Pixels":
        return _Pixels(*(np.ascontiguousarray(part[..., ::step]) for part in self))


class _Order:
    """An order being fitted, with its values scaled to about 1."""

    def __init__(self, values, good, place, width, length):
        n_pixels = values.shape[1]
        self._width, self._length = width, length
        self._every = _every(good, length)
        self.scale = _typical(values[:, :: self._every][good[:, :: self._every]])
        values = np.where(good, values, 0).astype(float) / self.scale
        place = np.clip(place, 0, 1)
        self.blaze_fit, self.profile_fit = _BlazeFit(n_pixels), _ProfileFit(width, n_pixels)
        self.pixels = _Pixels(
            values, good, place, *self.profile_fit.slit.locate(place), np.arange(n_pixels)
        )
        self.scatter = _Scatter(n_pixels, length)

    def sketch(self) -> tuple[np.ndarray, np.ndarray]:
        """Blaze and slit profile, fitted to a subset of the pixels."""
        some = self.pixels.every(self._every)
        blaze, profile = _start(some, self._width, self._length // self._every)
        before = np.inf
        for n_rounds in range(1, _MAX_ROUNDS + 1):
            blaze, profile, *_ = self.improved(some, blaze, profile)
            falling = self.scatter.level < _STILL_FALLING * before
            if n_rounds > 1 and not falling:
                break
            before = self.scatter.level
        return self.blaze_fit.at(self.pixels), self.profile_fit.at(self.pixels)

    def improved(self, pixels, blaze, profile) -> tuple[np.ndarray, ...]:
        """Blaze and profile fitted to these pixels, their previous scatter, and which were used."""
        expected = blaze * profile
        residual = pixels.values - expected
        scatter = self.scatter.measured(pixels.columns, pixels.good, expected, residual)
        used = pixels.good & (np.abs(residual) < _CLIP * scatter)
        weights = used / scatter**2
        profile = self.profile_fit(pixels, weights, blaze)
        return self.blaze_fit(pixels, weights, profile), profile, scatter, used


def _every(good: np.ndarray, length: int) -> int:
    """Step between the dispersion pixels of a sketch: 1 for a short order with few good pixels."""
    count = good.sum(axis=0)
    least = max(_LEAST_COLUMNS, _LEAST_VALUES / max(count.mean(), 1))
    for step in _STEPS:
        if length // step >= least and len(count) > 2 * length and (count[::step] > 0).mean() > 0.5:
            return step
    return 1


def _typical(values: np.ndarray) -> float:
    size = np.abs(values)
    return float(np.median(size) or size.mean() or 1)


# ---------------------------------------------------------------------- the start


def _start(pixels: _Pixels, width: float, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Medians of the middle half of the slit along the order, then of each position in the slit."""
    values, good, place, *_ = pixels
    middle = good & (np.abs(place - 0.5) <= 0.25)
    known = np.flatnonzero(middle.any(axis=0))
    columns = np.arange(values.shape[1])
    if len(known) == 0:
        known, middle = np.flatnonzero(good.any(axis=0)), good
    brightness = ranked_median(values.T[known], middle.T[known])[0]
    length = min(length, 2 * len(columns))  # a reflected order repeats itself after that
    blaze = median_filter(np.interp(columns, known, brightness), length, mode="reflect")
    lit = good & (blaze > 0)
    if not lit.any():
        return blaze, np.ones_like(values)
    bins = (place * (4 * width)).astype(int)  # a quarter of a pixel
    # A subset of the columns is enough, as long as some of them are lit.
    every = max(1, np.count_nonzero(lit.any(axis=0)) // 350)
    some = np.flatnonzero(lit.any(axis=0))[::every]
    ratios = np.where(lit[:, some], values[:, some] / np.where(blaze > 0, blaze, 1)[some], np.nan)
    medians = label_medians(ratios.ravel(), bins[:, some].ravel(), bins.max() + 1)
    seen = np.flatnonzero(np.isfinite(medians))
    return blaze, np.interp(np.arange(len(medians)), seen, medians[seen])[bins]


# ---------------------------------------------------------------------- the scatter


class _Scatter:
    """
    Standard deviation of the data about the fit, from the median absolute deviation.

    It is the product of the scatter of the whole nearby slit, which reflects the local brightness,
    and the ratio at this position in the slit, which reflects its dependence on the light and the
    quality of the fit there.
    """

    def __init__(self, n_pixels: int, length: int):
        self._near = _parts(n_pixels, length)
        self._far = _parts(n_pixels, _LENGTHS_PER_STRETCH * length)

    def measured(self, columns, good, expected, residual) -> np.ndarray:
        """Measure the scatter in some columns, from their good pixels."""
        deviation = np.abs(residual)
        near, far = self._near[columns], self._far[columns]
        nearby = _part_medians(deviation, good, near, across=True)
        self._nearby = _filled(nearby, _LEAST_SCATTER)
        self.level = np.median(self._nearby)
        ratio = _part_medians(deviation / self._nearby[near], good, far, across=False)
        self._ratio = np.where(np.isfinite(ratio), np.maximum(ratio, 1e-3), 1).T
        return self.at(columns, expected)

    def at(self, columns: np.ndarray, expected: np.ndarray) -> np.ndarray:
        """Scatter in some columns, as last measured."""
        nearby = MAD_TO_SIGMA * self._nearby[self._near[columns]]
        least = np.maximum(_LEAST_SCATTER * expected, 1e-2 * _LEAST_SCATTER)
        return np.maximum(nearby * self._ratio[:, self._far[columns]], least)


def _filled(values, least) -> np.ndarray:
    known = np.flatnonzero(np.isfinite(values))
    return np.maximum(np.interp(np.arange(len(values)), known, values[known]), least)


def _parts(n: int, length: int) -> np.ndarray:
    """Assign n pixels to equal parts, none of them shorter than length if possible."""
    n_parts = max(1, n // length)
    return np.arange(n) * n_parts // n


def _part_medians(image, good, parts, *, across: bool) -> np.ndarray:
    """Medians of parts of an image: one per part, (n_parts,), or per row, (n_parts, n_rows)."""
    start = np.flatnonzero(np.diff(parts, prepend=-1))
    size = np.diff(np.append(start, len(parts)))
    columns = start[:, None] + np.arange(size.max())
    inside = columns < (start + size)[:, None]
    columns = np.minimum(columns, len(parts) - 1)
    image, good = (np.moveaxis(x[:, columns], 0, 1) for x in (image, good))
    good = good & inside[:, None]
    if across:
        image, good = (x.reshape(len(start), -1) for x in (image, good))
    return ranked_median(image, good)[0]


# ---------------------------------------------------------------------- penalised splines


def _uniform_breaks(n_pixels: int, step: float) -> np.ndarray:
    return np.linspace(0, max(n_pixels, 2) - 1, max(1, round(n_pixels / step)) + 1)


def _slit_breaks(width: float) -> np.ndarray:
    """From 0 to 1: closely spaced near the edges of the slit."""
    edge = np.arange(0, min(_EDGE_LENGTH, width / 2) - 1e-9, _EDGE_STEP) / width
    n_inner = max(1, round(width * (1 - 2 * (edge[-1] + _EDGE_STEP / width)) / _SLIT_STEP))
    first = min(edge[-1] + _EDGE_STEP / width, 0.5)
    inner = np.linspace(first, 1 - first, n_inner + 1) if first < 0.5 else np.array([0.5])
    return np.concatenate([edge, inner, 1 - edge[::-1]])


def _roughness(splines: CubicSplines) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Second differences, their square, and its eigenvalues."""
    differences = splines.second_differences()
    square = slab_product(differences.T, differences)
    diagonals = [np.pad(np.diagonal(square, -k), (0, k)) for k in range(3)]
    eigenvalues = eigvals_banded(diagonals, lower=True)
    eigenvalues[:2] = 0  # straight lines are not penalised
    return differences, square, eigenvalues


@lru_cache(maxsize=4)
def _along_order(n_pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """
    Functions of the dispersion pixel, (n_pixels, n_functions), and the roughness of each.

    They are splines transformed to the basis in which their penalty is diagonal; in that basis a
    slope is a separate unknown, which the data may leave undetermined.
    """
    splines = CubicSplines(_uniform_breaks(n_pixels, _PROFILE_STEP))
    _, square, roughness = _roughness(splines)
    return splines.design(np.arange(n_pixels)) @ np.linalg.eigh(square)[1], roughness


class _BlazeBasis:
    """The splines of a blaze and their penalty."""

    def __init__(self, n_pixels: int):
        splines = CubicSplines(_uniform_breaks(n_pixels, _BLAZE_STEP))
        self.band = block_band(splines.n)
        differences, square, eigenvalues = _roughness(splines)
        self.penalties = [
            Penalty(differences, np.eye(1), self.band.blocks(square), eigenvalues)
        ]
        self.n = splines.n
        self.piece, self.values = splines.values(np.arange(n_pixels))
        self.which = self.piece[:, None] + np.arange(4)


class _ProfileBasis:
    """The splines of a slit profile and their penalties: across the slit, and along the order."""

    def __init__(self, width: float, n_pixels: int):
        self.slit = CubicSplines(_slit_breaks(width))
        self.along, along = _along_order(n_pixels)
        n, m = self.shape = self.slit.n, len(along)
        self.band = block_band(n, m)
        differences, square, across = _roughness(self.slit)
        self.penalties = [
            Penalty(a, b, self.band.blocks(np.kron(aa, bb)), np.kron(of_a, of_b))
            for (a, aa, of_a), (b, bb, of_b) in (
                ((differences, square, across), (np.eye(m), np.eye(m), np.ones(m))),
                ((np.eye(n), np.eye(n), np.ones(n)), (np.diag(along**0.5), np.diag(along), along)),
            )
        ]
        self.n_sections = _SECTIONS * (m - 3)
        # Mean over the middle half of the slit.
        self.middle = self.slit.design(np.linspace(0.25, 0.75, 101)).mean(axis=0)
        self.squares = _products(self.slit.polynomials)


def _products(polynomials: np.ndarray) -> np.ndarray:
    """Products of all pairs of four cubic polynomials, (n_pieces, 4, 4), by power and pair."""
    products = np.zeros((len(polynomials), 7, 4, 4))
    for a in range(4):
        for b in range(4):
            products[:, a + b] += polynomials[:, a, :, None] * polynomials[:, b, None]
    return products.reshape(len(polynomials), 7, 16)


_blaze_basis = lru_cache(maxsize=4)(_BlazeBasis)
_profile_basis = lru_cache(maxsize=32)(_ProfileBasis)


class _BlazeFit:
    """A smooth function of the dispersion pixel."""

    def __init__(self, n_pixels: int):
        self._basis = _blaze_basis(n_pixels)
        self._strength = np.array([_BLAZE_STRENGTH * n_pixels**3])

    def __call__(self, pixels: _Pixels, weights, profile) -> np.ndarray:
        """Fit some pixels and return the blaze there."""
        basis, columns = self._basis, pixels.columns
        which, splines = basis.which[columns], basis.values[columns]
        weighted = weights * profile
        weight, right = (
            np.einsum("ij,ij->j", weighted, factor) for factor in (profile, pixels.values)
        )
        piece, start = np.unique(basis.piece[columns], return_index=True)
        products = (weight[:, None] * splines)[:, :, None] * splines[:, None]
        parts = np.zeros((basis.n - 3, 4, 1, 4, 1))
        parts[piece, :, 0, :, 0] = np.add.reduceat(products, start)
        right = np.bincount(which.ravel(), (right[:, None] * splines).ravel(), basis.n)
        self._coefficients, self._covariance, self._strength = restricted_likelihood_fit(
            basis.band, basis.band.summed(parts), right, basis.penalties, self._strength
        )
        return self.at(pixels)

    def at(self, pixels: _Pixels) -> np.ndarray:
        coefficients = self._coefficients[self._basis.which[pixels.columns]]
        return np.einsum("pk,pk->p", self._basis.values[pixels.columns], coefficients)

    def variance(self, pixels: _Pixels) -> np.ndarray:
        covariance = self._basis.band.parts(self._covariance)[:, :, 0, :, 0]
        splines = self._basis.values[pixels.columns]
        covariance = covariance[self._basis.piece[pixels.columns]]
        return np.maximum(np.einsum("pa,pab,pb->p", splines, covariance, splines), 0)


class _ProfileFit:
    """A smooth function of the position in the slit that changes slowly along the order."""

    def __init__(self, width: float, n_pixels: int):
        # Orders of nearly equal width share their splines.
        self._basis = _profile_basis(max(round(2 * width), 1) / 2, n_pixels)
        self._strength = np.array(_PROFILE_STRENGTH)

    @property
    def slit(self) -> CubicSplines:
        return self._basis.slit

    def __call__(self, pixels: _Pixels, weights, blaze) -> np.ndarray:
        """Fit some pixels and return the profile there."""
        weighted = weights * blaze
        gram, right = self._normal_equations(pixels, weighted * blaze, weighted * pixels.values)
        coefficients, self._covariance, self._strength = restricted_likelihood_fit(
            self._basis.band, gram, right, self._basis.penalties, self._strength
        )
        self._coefficients = coefficients.reshape(self._basis.shape)
        return self.at(pixels)

    def at(self, pixels: _Pixels) -> np.ndarray:
        along = self._basis.along[pixels.columns]
        # A factor common to the whole slit belongs to the blaze; otherwise they would be
        # degenerate.
        level = along @ (self._basis.middle @ self._coefficients)
        along = along / np.where(level > 0, level, 1)[:, None]
        four = np.arange(self.slit.n - 3)[:, None] + np.arange(4)
        table = self.slit.polynomials @ self._coefficients[four] @ along.T
        place = pixels.piece * (4 * len(along)) + np.arange(3 * len(along), 4 * len(along))
        profile = table.take(place)
        for _ in range(3):
            place -= len(along)  # of the next lower power
            profile *= pixels.position
            profile += table.take(place)
        return profile

    def _normal_equations(self, pixels, weights, weighted) -> tuple[np.ndarray, np.ndarray]:
        basis, n_columns = self._basis, len(pixels.columns)
        section = _parts(n_columns, max(1, n_columns // basis.n_sections))
        first, count = np.unique(section, return_index=True, return_counts=True)[1:]
        along = basis.along[pixels.columns[first + (count - 1) // 2]]
        shape = n_pieces, n_sections = self.slit.n - 3, len(along)
        label = (pixels.piece * n_sections + section).ravel()
        position = pixels.position.ravel()
        m = along.shape[1]
        pairs = (along[:, :, None] * along[:, None]).reshape(n_sections, -1)
        gram = pairs.T @ _moments(weights, position, label, shape, 7) @ basis.squares
        gram = gram.reshape(n_pieces, m, m, 4, 4).transpose(0, 3, 1, 4, 2)
        parts = along.T @ _moments(weighted, position, label, shape, 4) @ self.slit.polynomials
        right = np.zeros(basis.shape)
        for k in range(4):
            right[k : k + n_pieces] += parts[:, :, k]
        return basis.band.summed(gram), right.ravel()

    def variance(self, pixels: _Pixels) -> np.ndarray:
        """Variance of the profile, from a grid on which it hardly changes."""
        n_pixels = len(pixels.columns)
        coarse = np.linspace(0, n_pixels - 1, min(n_pixels, 9)).round().astype(int)
        along = self._basis.along[pixels.columns[coarse]]
        covariance = self._basis.band.parts(self._covariance)
        covariance = np.einsum("jaxby,px,py->jpab", covariance, along, along, optimize=True)
        # At the start, middle and end of each piece.
        slit = np.array([-1.0, 0, 1])[:, None] ** np.arange(4) @ self.slit.polynomials
        variance = np.einsum("jka,jpab,jkb->jkp", slit, covariance, slit, optimize=True)
        variance = np.maximum(variance, 0)  # digits are lost where the data give no constraint
        nearest = np.rint(np.linspace(0, len(coarse) - 1, n_pixels)).astype(int)
        return variance[pixels.piece, np.rint(pixels.position).astype(int) + 1, nearest]


def _moments(values, position, label, shape, n: int) -> np.ndarray:
    """Sums by label of the values times powers of the position below n, in a new last axis."""
    values = values.ravel()
    sums = np.empty((n, *shape))
    for power in range(n):
        if power > 0:
            values = values * position
        sums[power] = np.bincount(label, values, np.prod(shape)).reshape(shape)
    return np.moveaxis(sums, 0, -1)
