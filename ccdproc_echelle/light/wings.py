# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Wings of the orders: light that a blurred edge spills into the adjacent gap."""

import numpy as np
from scipy.special import ndtr

from ccdproc_echelle._numeric.gaussians import blurred_ramp
from ccdproc_echelle._numeric.roots import inverse_root, slab_product

__all__ = ["BLURS", "WingShapes", "chosen_blurs"]

# The blur is a sum of Gaussians with these standard deviations, in pixels.
BLURS = np.append(np.geomspace(0.3, 3, 26), [4, 6, 9])

# A further blur must improve the sum of squares, in units of the noise, by at least this much.
_SIGNIFICANT = 25.0

# Strength of the penalty, relative to the weight of the pixels, when blurs are compared.
_STRENGTH = 1e-3

# The shapes are tabulated out to this distance from the edge of an order, with this step, in
# pixels.
_REACH = 6 * BLURS[-1]
_STEP = 1 / 128

# The shapes are so similar that a few functions span them all, to this fraction of the largest;
# every n-th value of the table is enough to find these functions.
_ALIKE = 1e-7
_COARSE = 16


class WingShapes:
    """
    Steps blurred by each of the Gaussians and integrated over pixels, at given distances.

    Parameters
    ----------
    distance : array, shape (2, n)
        Outward distance from the edges of the orders below and above; non-negative, may be
        infinite.

    Attributes
    ----------
    mixture : array, shape (n_blurs, n_common)
        Coefficients of the shapes in terms of common functions.
    """

    def __init__(self, distance: np.ndarray):
        places = np.minimum(distance, _REACH) / _STEP
        self._left = places.astype(np.intp)
        self._part = places - self._left
        grid = np.arange(int(_REACH / _STEP) + 2) * _STEP
        blurs = BLURS[:, None]
        near, far = (0.5 - grid) / blurs, (-0.5 - grid) / blurs
        self._shapes = blurs * (_ramp(near) - _ramp(far))
        self._slopes = ndtr(near) - ndtr(far)
        mixture, size, _ = np.linalg.svd(self._shapes[:, ::_COARSE], full_matrices=False)
        self.mixture = mixture[:, size > _ALIKE * size[0]]
        self._common = np.einsum("bc,bn->cn", self.mixture, self._shapes)

    def common(self) -> np.ndarray:
        """The common functions: (n_common, 2, n)."""
        return np.array([[self._at(side, table) for side in (0, 1)] for table in self._common])

    def shape(self, blur: int, side: int) -> np.ndarray:
        """One of the shapes on one side."""
        return self._at(side, self._shapes[blur])

    def slopes(self, amplitudes: np.ndarray) -> np.ndarray:
        """
        Growth of the sum of all shapes when the edge moves outwards, (2, n).

        ``amplitudes``, shape (n_blurs, 2), are those of the shapes on both sides.
        """
        tables = np.einsum("bs,bn->sn", amplitudes, self._slopes)
        return np.array([self._at(side, table) for side, table in enumerate(tables)])

    def _at(self, side: int, table: np.ndarray) -> np.ndarray:
        below = table[self._left[side]]
        return below + self._part[side] * (table[self._left[side] + 1] - below)


def _ramp(x) -> np.ndarray:
    """Integral of the normal distribution function."""
    x = np.maximum(x, -40)
    return np.maximum(blurred_ramp(x), 0)


def chosen_blurs(normal: np.ndarray, right: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    """
    Select as many blurs as the pixels require, adding the best one each time.

    Wide blurs resemble the surface; if all were used at once, they would share the scattered light.

    Parameters
    ----------
    normal, right
        Matrix and right-hand side of the normal equations: first those of the surface, then two for
        each blur, for the lower and the upper side.
    penalty
        Penalty matrix of the surface.

    Returns
    -------
    int array
        Twice the index of the blur for each chosen column, plus 1 on the upper side.
    """
    n_smooth = len(penalty)
    surface, wings = normal[:n_smooth, :n_smooth], normal[n_smooth:, n_smooth:]
    strength = _STRENGTH * np.trace(surface) / np.trace(penalty)
    root = inverse_root(surface + strength * penalty + np.diag(1e-9 * np.diag(surface)))
    # What remains of the normal equations for the wings after eliminating the surface.
    mixed = slab_product(root, normal[:n_smooth, n_smooth:])
    left = wings - slab_product(mixed.T, mixed) + np.diag(1e-9 * np.diag(wings))
    wanted = right[n_smooth:] - mixed.T @ (root @ right[:n_smooth])
    n_blurs, lit = len(wings) // 2, np.diag(wings) > 0
    chosen, gain = np.array([], int), 0.0
    while True:
        best = gain + _SIGNIFICANT, None
        for pair in np.arange(2 * n_blurs).reshape(-1, 2):
            new = pair[lit[pair] & ~np.isin(pair, chosen)]
            if len(new):
                columns = np.append(chosen, new)
                light = np.linalg.solve(left[np.ix_(columns, columns)], wanted[columns])
                if (light >= 0).all() and light @ wanted[columns] > best[0]:
                    best = light @ wanted[columns], columns
        if best[1] is None:
            return chosen
        gain, chosen = best
