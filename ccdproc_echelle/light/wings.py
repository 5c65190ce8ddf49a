# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Wings of the orders: light in the adjacent gap, from the blurred edge of a slit or from a fibre.

The edge of a slit is where its light has fallen to one half, that of a fibre where only its faint
wing remains. This wing falls off more slowly than that of any blurred step of the same steepness.
"""

from functools import cache

import numpy as np

from ccdproc_echelle._numeric.gaussians import blurred_ramp, blurred_step, gaussian
from ccdproc_echelle._numeric.roots import inverse_root, slab_product

__all__ = ["WingShapes", "chosen_shapes"]

# Standard deviations of the Gaussians that blur a slit, and of fibres, in pixels. Wider blurs would
# take other light that is not smooth for that of the orders.
_BLURS = np.geomspace(0.3, 3, 26)
_FIBRES = np.geomspace(0.5, 4, 54)

# Distance from the middle of a fibre to its edge, at one hundredth of the peak, in standard
# deviations.
_FIBRE_EDGE = np.sqrt(2 * np.log(100))

# A further shape must improve the sum of squares, in units of the noise, by at least this much.
_SIGNIFICANT = 25.0

# Strength of the penalty, relative to the weight of the pixels, when shapes are compared.
_STRENGTH = 1e-3

# The shapes are tabulated out to this distance from the edge of an order, with this step, in
# pixels.
_REACH = 6 * _BLURS[-1]
_STEP = 1 / 128

# The shapes are so similar that a few functions span them all, to this fraction of the largest;
# every n-th value of the table is enough to find these functions.
_ALIKE = 1e-7
_COARSE = 16


class WingShapes:
    """
    Steps blurred by Gaussians, and fibres, integrated over pixels, at given distances.

    Parameters
    ----------
    distance : array, shape (2, n)
        Outward distance from the edges of the orders below and above; non-negative, may be
        infinite.
    fibres : bool, optional
        Whether the light may be that of fibres.

    Attributes
    ----------
    mixture : array, shape (n_shapes, n_common)
        Coefficients of the shapes in terms of common functions.
    """

    def __init__(self, distance: np.ndarray, *, fibres: bool = True):
        places = np.minimum(distance, _REACH) / _STEP
        self._left = places.astype(np.intp)
        self._part = places - self._left
        self._shapes, self._slopes, self._common, self.mixture = _tables(fibres)

    def common(self) -> np.ndarray:
        """The common functions: (n_common, 2, n)."""
        return np.array([[self._at(side, table) for side in (0, 1)] for table in self._common])

    def shape(self, index: int, side: int) -> np.ndarray:
        """One of the shapes on one side."""
        return self._at(side, self._shapes[index])

    def slopes(self, amplitudes: np.ndarray) -> np.ndarray:
        """
        Growth of the sum of all shapes when the edge moves outwards, (2, n).

        ``amplitudes``, shape (n_shapes, 2), are those of the shapes on both sides.
        """
        tables = amplitudes.T @ self._slopes
        return np.array([self._at(side, table) for side, table in enumerate(tables)])

    def _at(self, side: int, table: np.ndarray) -> np.ndarray:
        below = table[self._left[side]]
        return below + self._part[side] * (table[self._left[side] + 1] - below)


@cache
def _tables(fibres: bool) -> tuple[np.ndarray, ...]:
    """The shapes, their slopes, the functions common to them, and how these are mixed."""
    grid = np.arange(int(_REACH / _STEP) + 2) * _STEP
    kinds = [_slits(grid), _fibres(grid)] if fibres else [_slits(grid)]
    shapes, slopes = (np.vstack(tables) for tables in zip(*kinds, strict=True))
    mixture, size, _ = np.linalg.svd(shapes[:, ::_COARSE], full_matrices=False)
    mixture = mixture[:, size > _ALIKE * size[0]]
    tables = shapes, slopes, np.einsum("sc,sn->cn", mixture, shapes), mixture
    for table in tables:
        table.flags.writeable = False
    return tables


def _slits(distance) -> tuple[np.ndarray, np.ndarray]:
    """Blurred steps of height 1, and their growth when the edge moves outwards."""
    blurs = _BLURS[:, None]
    near, far = (0.5 - distance) / blurs, (-0.5 - distance) / blurs
    return blurs * (_ramp(near) - _ramp(far)), blurred_step(near) - blurred_step(far)


def _fibres(distance) -> tuple[np.ndarray, np.ndarray]:
    """Gaussians of half the height 1 at their edge, and their growth as that moves outwards."""
    sigmas = _FIBRES[:, None]
    near, far = (_FIBRE_EDGE + (distance + side) / sigmas for side in (-0.5, 0.5))
    height = 0.5 / gaussian(_FIBRE_EDGE)
    shapes = height * sigmas * (blurred_step(-near) - blurred_step(-far))
    return shapes, height * (gaussian(near) - gaussian(far))


def _ramp(x) -> np.ndarray:
    """Integral of the normal distribution function."""
    x = np.maximum(x, -40)
    return np.maximum(blurred_ramp(x), 0)


def chosen_shapes(
    normal: np.ndarray, right: np.ndarray, penalty: np.ndarray, most: int
) -> np.ndarray:
    """
    Select as many shapes as the pixels require, adding the best one each time.

    Wide shapes resemble the surface; if all were used at once, they would share the scattered
    light.

    Parameters
    ----------
    normal, right
        Matrix and right-hand side of the normal equations: first those of the surface, then two for
        each shape, for the lower and the upper side.
    penalty
        Penalty matrix of the surface.
    most
        Number of shapes beyond which none is added.

    Returns
    -------
    int array
        Twice the index of the shape for each chosen column, plus 1 on the upper side.
    """
    n_smooth = len(penalty)
    surface, wings = normal[:n_smooth, :n_smooth], normal[n_smooth:, n_smooth:]
    strength = _STRENGTH * np.trace(surface) / np.trace(penalty)
    root = inverse_root(surface + strength * penalty + np.diag(1e-9 * np.diag(surface)))
    # What remains of the normal equations for the wings after eliminating the surface.
    mixed = slab_product(root, normal[:n_smooth, n_smooth:])
    left = wings - slab_product(mixed.T, mixed) + np.diag(1e-9 * np.diag(wings))
    wanted = right[n_smooth:] - mixed.T @ (root @ right[:n_smooth])
    free = np.diag(wings) > 0
    chosen, gain = np.array([], int), 0.0
    for _ in range(most):
        best = gain + _SIGNIFICANT, None
        for columns, light in _with_another(left, wanted, chosen, free):
            if light @ wanted[columns] > best[0]:
                best = light @ wanted[columns], columns
        if best[1] is None:
            break
        gain, chosen = best
        free[chosen] = False
    return chosen


def _with_another(left, wanted, chosen, free):
    """Columns and light of the chosen shapes and each further one, where no light is negative."""
    pairs = np.arange(len(wanted)).reshape(-1, 2)
    found = []
    for n_sides in (1, 2):
        new = pairs[free[pairs].sum(axis=1) == n_sides]
        new = new[free[new]].reshape(-1, n_sides)
        columns = np.hstack([np.tile(chosen, (len(new), 1)), new])
        matrices = left[columns[:, :, None], columns[:, None, :]]
        light = np.linalg.solve(matrices, wanted[columns][..., None])[..., 0]
        possible = (light >= 0).all(axis=1)
        found += zip(columns[possible], light[possible], strict=True)
    return sorted(found, key=lambda each: each[0][-1])
