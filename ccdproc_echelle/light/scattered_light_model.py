# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Scattered light of a set of flats: a model common to the set, used to measure each frame."""

from typing import NamedTuple

import numpy as np
from numpy.polynomial.chebyshev import chebvander
from scipy.sparse import csr_array
from scipy.special import ndtr

from ccdproc_echelle._numeric.roots import inverse_root, slab_product
from ccdproc_echelle._numeric.spread import scatter_about_zero
from ccdproc_echelle.light.interorder import (
    LEAST_PIXELS,
    OrderPixels,
    Sample,
    are_fibres,
    known_edges,
    profiles_of,
)
from ccdproc_echelle.light.surface import ScatteredLight, SurfaceBasis, SurfaceError
from ccdproc_echelle.light.wings import WingShapes, chosen_shapes
from ccdproc_echelle.orders import EchelleOrderTable

__all__ = ["ScatteredLightModel", "check_values"]

# Largest value whose fourth power can be represented.
_LARGEST_VALUE = 1e75

# Strengths of the penalty to try, relative to the weight of the pixels.
_STRENGTHS = 10.0 ** np.arange(-2.25, 3.1, 0.75)

# Least variance of a pixel, relative to the mean: dark pixels have read noise as well.
_LEAST_NOISE = 0.01

# Relative error of the wings of the orders: the brightness of an order is known to a few per cent,
# and the blur varies over the detector.
_WING_ERROR = 0.1

# Errors of the edges: a polynomial of this degree along each order, whose coefficients have this
# standard deviation, in pixels. Most edges are much more accurate; those of narrow orders and of
# orders cut by the border are less accurate.
_EDGE_DEGREE = 4
_EDGE_ERROR = 0.1

# Relative error of the width of the wings of fibres on either side of a gap: fibres vary over the
# detector. It is not fitted, but what it does to the surface is part of the error of the surface.
_WIDTH_ERROR = 0.1

# Number of fits of the typical frame, each with the weights of the previous one, and how many of
# them select the shapes again. The selection could alternate for ever between a few sets of shapes,
# which leave light that looks like noise, or more of it. In that case the larger set is kept.
_ITERATIONS = 6
_CHOICES = 4

# Number of steps of a frame towards its fit. Before outliers are ignored, their weight is only
# reduced as long as the frame may still differ from the typical one.
_MOST_STEPS = 12
_CAUTIOUS_STEPS = 2

# The steps diverge once the noise exceeds the least so far by this factor. This happens where the
# light of the orders is not proportional to that of the typical frame, as in saturated frames.
_DIVERGED = 100.0

# The fit has converged when a step is shorter than this, in standard deviations of the fit.
_ARRIVED = 0.1

# A frame is unlike the typical one if a function of the surface has lost this fraction of its
# weight, because its pixels are masked or do not fit, or if the surface differs from the typical
# one by something this rough, in units of what the smoothness permits. Such a frame gets its own
# normal equations and smoothness.
_MOST_LOST = 0.2
_ROUGHEST = 2.0

# The level of a frame, relative to the typical one, is assumed to be at least this.
_FAINTEST = 0.01

# Residuals larger than this, in units of the noise, are cosmic rays or hot pixels.
_OUTLIER = 5.0

# A surface is negative if it is this many standard deviations below zero. Without any noise and
# light there is still rounding, relative to the typical frame.
_NEGATIVE = 5.0
_ROUNDING = 1e-30


class ScatteredLightModel:
    """
    Model of the scattered light that is common to the frames of a set.

    The model is built once from a typical frame. It determines which pixels are needed, how the
    wings of the orders fall off, how smooth the surface is, the weights of the pixels, and the
    factor of the normal matrix. Measuring a frame then only takes a few products with the columns
    of a sparse matrix.

    Parameters
    ----------
    data : array, shape (rows, columns)
        The typical frame, such as the median of the set, with bias and dark subtracted.
    usable : bool array, of the same shape
        False where ``data`` is bad.
    orders : `EchelleOrderTable`
        The orders, with edges, on this detector.
    margin : float, optional
        Pixels closer to an order edge than this are not used.

    Attributes
    ----------
    pixels : int array
        Pixels of a frame required by `measure`, as ascending indices into the flattened frame.

    Raises
    ------
    ValueError
        If fewer than 100 usable pixels lie between the orders, or values are too large to be
        squared.

    See Also
    --------
    ccdproc_echelle.fit_scattered_light : Fit the scattered light of a single frame.

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle.light import ScatteredLightModel
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> sim = EchelleSimulation(shape=(256, 300), n_orders=4).with_scattered_light(0.05)
    >>> flats = sim.flats(3)
    >>> typical = np.median([flat.data for flat in flats], axis=0)
    >>> model = ScatteredLightModel(typical, np.isfinite(typical), sim.truth.orders)
    >>> values = flats[0].data.ravel()[model.pixels]
    >>> scattered = model.measure(values, np.isfinite(values))
    >>> surface, error = scattered.rows(slice(100, 120))
    >>> expected = sim.truth.scattered_light * sim.truth.levels(3)[0]
    >>> bool(np.allclose(surface, expected[100:120], rtol=0.05))
    True
    """

    def __init__(
        self,
        data: np.ndarray,
        usable: np.ndarray,
        orders: EchelleOrderTable,
        margin: float = 1.0,
    ):
        self._dispersion_axis = orders.dispersion_axis
        if orders.dispersion_axis == 0:
            data, usable, orders = data.T, usable.T, orders.transposed()
        scene = self._scene = _Scene(usable, orders, margin)
        self.pixels, self._of_sample, self._of_orders = _wanted(scene, self._dispersion_axis)
        values, good = (
            (image if self._dispersion_axis == 1 else image.T).ravel()[self.pixels]
            for image in (data, usable)
        )
        frame = self._seen(values, good)
        self._brightness = frame.brightness
        shapes = WingShapes(scene.sample.distance, fibres=profiles_of(orders) != {"slit"})
        typical = _typical_fit(scene, frame, shapes)
        self._start = typical.state
        self._shapes = np.array([
            shapes.shape(*divmod(column, 2)) for column in typical.chosen
        ]).reshape(-1, len(frame.values))
        self._side = typical.chosen % 2
        self._slopes, self._precision = typical.slopes, typical.precision
        self._factor = _Factor(typical.normal, scene.penalty, typical.strength)
        self._error = self._error_of(self._factor)
        # For each function of the surface: the weight from its pixels, and from the penalty.
        self._weight = (
            scene.smooth.T @ self._precision + typical.strength * np.diag(scene.penalty)
        )

    def measure(
        self, values: np.ndarray, good: np.ndarray, sigma: np.ndarray | None = None
    ) -> ScatteredLight:
        """
        Measure the scattered light of a frame.

        Parameters
        ----------
        values : array
            Values of the frame at ``pixels``.
        good : bool array
            Which of the values are good.
        sigma : array, optional
            Standard deviations of the values.

        Returns
        -------
        `ScatteredLight`
            The surface and its error.

        Raises
        ------
        ValueError
            If fewer than 100 of the pixels between the orders are good, or values are too large to
            be squared.
        """
        frame = self._seen(values, good)
        level = self._level(frame)
        frame = frame.divided_by(level)
        fit = self._fit(frame, own=False) if self._lost(~frame.good) < _MOST_LOST else None
        if fit is None or not self._like_typical(fit):
            fit = self._fit(frame, own=True)
        error = self._error if fit.factor is self._factor else self._error_of(fit.factor)
        sigma = None if sigma is None else sigma[self._of_sample] / level
        return self._described(fit, error, level, sigma)

    # ------------------------------------------------------------------ the frame

    def _seen(self, values, good) -> "_Frame":
        check_values(values, good)
        light = np.append(np.where(good, values, np.nan).astype(float), np.nan)
        brightness = self._scene.order_pixels.brightness(light[self._of_orders])
        good = good[self._of_sample]
        if np.count_nonzero(good) < LEAST_PIXELS:
            raise ValueError(
                f"{np.count_nonzero(good)} pixels between the orders are good, expected at least "
                f"{LEAST_PIXELS} to measure scattered light"
            )
        return _Frame(np.where(good, light[self._of_sample], 0), good, brightness)

    def _level(self, frame) -> float:
        """Brightness of the orders, relative to the typical frame."""
        bright = (self._brightness >= np.median(self._brightness)) & (self._brightness > 0)
        if not bright.any():
            return 1.0
        return max(float(np.median(frame.brightness[bright] / self._brightness[bright])), _FAINTEST)

    # ------------------------------------------------------------------ the fit

    def _fit(self, frame, *, own: bool) -> "_Fit | None":
        """
        Fit a frame iteratively; None if the iteration with the shared factor does not converge.

        Each step is a Newton step for the current weights of the pixels, except that it uses the
        shared factor: pixels missing from the frame only make the steps shorter.
        """
        state, factor, noise = self._start, self._factor, np.inf
        for step in range(_ITERATIONS if own else _MOST_STEPS):
            view = self._viewed(frame, state)
            early = step < (1 if own else _CAUTIOUS_STEPS)
            weights = self._precision * frame.good * self._trust(view, early=early, own=own)
            if own:
                factor = self._own_factor(frame, view, weights)
            gradient = self._gradient(state, view, weights, factor.strength)
            change = factor.solve(gradient)
            state = state.moved(change)
            kept = frame.good & (view.outlying < 1)
            fit = _Fit(state, factor, view, kept, self._noise(view, kept))
            saved = change.dot(gradient)
            if not early and saved < (_ARRIVED * fit.noise) ** 2:
                return fit
            if not own and not fit.noise < _DIVERGED * noise:
                return None
            noise = min(noise, fit.noise)
        return fit if own else None

    @staticmethod
    def _trust(view, *, early: bool, own: bool) -> np.ndarray | float:
        """Factors for the weights of the pixels, according to their residuals."""
        if not early:
            return 1 / (1 + view.outlying**2) ** 2
        return 1.0 if own else 1 / np.maximum(view.outlying, 1)

    def _like_typical(self, fit) -> bool:
        """Whether the shared factor is suitable for the frame."""
        penalty, difference = self._scene.penalty, fit.state.surface - self._start.surface
        roughness = fit.factor.strength * difference @ penalty @ difference / fit.noise**2
        return self._lost(~fit.kept) < _MOST_LOST and roughness < _ROUGHEST * len(difference)

    def _viewed(self, frame, state) -> "_View":
        """View of a frame according to the current fit."""
        scene = self._scene
        light = scene.light(frame.brightness, state.surface)
        slopes = _EDGE_ERROR * light * self._slopes
        wings = (slopes * scene.shifts(state.shifts)).sum(axis=0)
        for amplitude, shape, side in zip(state.shapes, self._shapes, self._side, strict=True):
            wings += amplitude * shape * light[side]
        scattered = scene.smooth @ state.surface
        residuals = np.where(frame.good, frame.values - scattered - wings, 0)
        variance = _noise_variance(residuals, scattered, wings, frame.good)
        variance += (_WING_ERROR * wings) ** 2
        outlying = np.abs(residuals) / np.sqrt(variance) / _OUTLIER
        return _View(light, slopes, scattered, wings, residuals, variance, outlying)

    def _gradient(self, state, view, weights, strength) -> "_State":
        scene = self._scene
        pull = weights * view.residuals
        lit = view.light * pull
        return _State(
            scene.smooth.T @ pull - strength * (scene.penalty @ state.surface),
            np.einsum("kn,kn->k", self._shapes, lit[self._side]),
            scene.pull_on_shifts(view.slopes * pull) - state.shifts,
        )

    def _own_factor(self, frame, view, weights) -> "_Factor":
        columns = self._shapes * view.light[self._side]
        normal = self._scene.normal(columns, view.slopes, frame.values, weights)
        matrix, _ = normal.without_shifts()
        _, strength = _cross_validated(
            matrix[:-1, :-1], matrix[:-1, -1], self._scene.penalty, matrix[-1, -1],
            np.count_nonzero(weights),
        )
        return _Factor(normal, self._scene.penalty, strength)

    def _noise(self, view, kept) -> float:
        """Noise of the pixels relative to those of the typical frame."""
        precision = self._precision * kept
        return float(np.sqrt((precision**2 * view.variance).sum() / precision.sum()))

    def _lost(self, lost) -> float:
        """Largest fraction of its weight that a function of the surface has lost."""
        weight = self._scene.smooth.T @ (self._precision * lost)
        return float((weight / self._weight).max())

    # ------------------------------------------------------------------ the result

    def _error_of(self, factor) -> SurfaceError:
        """
        Error of the surface from noise and, for fibres, from wings of a different width.

        The latter is as large, relative to the noise, as in the typical frame. It is thus larger
        than it is in a noisier frame, but right in the average of the frames, which all share it.
        """
        covariance = factor.covariance(self._scene.basis.size)
        if self._scene.of_fibres:
            wider = self._of_wider_wings(factor)
            covariance = covariance + wider.T @ wider
        return SurfaceError(self._scene.basis, covariance)

    def _of_wider_wings(self, factor) -> np.ndarray:
        """Change of the surface by wider wings, on either side of each gap; (2 n_gaps, n)."""
        scene = self._scene
        light = scene.light(self._brightness, self._start.surface)
        slopes = _EDGE_ERROR * light * self._slopes
        distance = np.where(np.isfinite(scene.sample.distance), scene.sample.distance, 0)
        wider = self._precision * _WIDTH_ERROR / _EDGE_ERROR * slopes * distance
        changes = []
        for side, gap in np.ndindex(2, scene.n_gaps):
            pull = np.where(scene.gap == gap, wider[side], 0)
            lit = light * pull
            changes.append(factor.solve(_State(
                scene.smooth.T @ pull, np.einsum("kn,kn->k", self._shapes, lit[self._side]),
                scene.pull_on_shifts(slopes * pull),
            )).surface)
        return np.array(changes)

    def _described(self, fit, error, level, sigma) -> ScatteredLight:
        response = 0.0 if sigma is None else _response_scatter(fit, sigma)
        negative, remark = self._judged(fit, error, level)
        return ScatteredLight(
            level * fit.state.surface, error, level * fit.noise, response, negative, remark,
            self._dispersion_axis,
        )

    def _judged(self, fit, error, level) -> tuple[bool, str]:
        """Check the sign: scattered light is not negative, unless the pixels themselves are."""
        rows, columns, deviation = error.nodes()
        surface = error.basis.on_grid(fit.state.surface, rows, columns)
        if not (surface < 0).any():
            return False, ""
        sample, scattered = self._scene.sample, fit.view.scattered
        limit = _NEGATIVE * fit.noise * error.at(sample.rows, sample.columns)
        below = scattered < -limit - _ROUNDING
        if below.mean() > 0.01:
            return True, (
                f"{below.mean():.0%} of the inter-order area is negative by more than its noise, "
                f"down to {level * scattered.min():.3g}; too much bias or dark may have been "
                "subtracted"
            )
        cut = surface < -_NEGATIVE * fit.noise * deviation
        if cut.any():
            return False, (
                f"the scattered light was negative, down to {level * surface.min():.3g}, in "
                f"{cut.mean():.1%} of the detector, where it had to be extrapolated; it was set to "
                "0 there"
            )
        return False, ""


def check_values(values: np.ndarray, good: np.ndarray) -> None:
    """Raise if powers of the values would overflow."""
    ends = (end(values, where=good, initial=0) for end in (np.max, np.min))
    largest = max(abs(float(value)) for value in ends)
    if largest > _LARGEST_VALUE:
        raise ValueError(f"frame has values of {largest:.3g}, expected at most {_LARGEST_VALUE:g}")


class _Frame(NamedTuple):
    values: np.ndarray  # of the sample, 0 where not good
    good: np.ndarray
    brightness: np.ndarray  # of each order in each stretch

    def divided_by(self, level: float) -> "_Frame":
        return _Frame(self.values / level, self.good, self.brightness / level)


class _State(NamedTuple):
    """Unknowns of the fit, their changes, or a gradient."""

    surface: np.ndarray  # coefficients
    shapes: np.ndarray  # amplitudes of the chosen ones
    shifts: np.ndarray  # of the edges: (n_gaps, 2, n_polynomials)

    def moved(self, change: "_State") -> "_State":
        return _State(*(a + b for a, b in zip(self, change, strict=True)))

    def dot(self, other: "_State") -> float:
        return sum(float(np.vdot(a, b)) for a, b in zip(self, other, strict=True))


class _View(NamedTuple):
    """A frame compared with its fit, for each pixel of the sample."""

    light: np.ndarray  # (2, n): of the orders below and above
    slopes: np.ndarray  # (2, n): light added per pixel of error in the edge position
    scattered: np.ndarray  # the surface
    wings: np.ndarray  # the light of the orders
    residuals: np.ndarray  # 0 where the frame is bad
    variance: np.ndarray  # noise, and the uncertainty of the wings
    outlying: np.ndarray  # size of the residuals, 1 for the smallest outlier


class _Fit(NamedTuple):
    state: _State
    factor: "_Factor"
    view: _View
    kept: np.ndarray  # good, and not an outlier
    noise: float


# ---------------------------------------------------------------------- where the pixels lie


class _Scene:
    """Pixels between the orders, and those columns of the fit that are always the same."""

    def __init__(self, usable, orders, margin):
        lower, upper = known_edges(orders)
        self.of_fibres = are_fibres(orders)
        n_rows, n_columns = usable.shape
        self.shape = usable.shape
        self.order_pixels = OrderPixels(lower, upper, n_rows)
        self.basis = SurfaceBasis(usable.shape)
        self.penalty = self.basis.penalty
        sample = Sample.drawn(usable, lower, upper, margin)
        # Neighbours in a gap share the same non-zero functions; they are kept together.
        first = self.basis.at(sample.rows, sample.columns).indices[:: self.basis.n_local]
        self.sample = sample.take(np.lexsort((first, sample.gap)))
        self.smooth = self.basis.at(self.sample.rows, self.sample.columns)
        self._groups = _Groups(
            self.sample.gap, self.smooth.indices.reshape(len(first), -1), self.basis.size
        )
        middle = self.order_pixels.middle_rows
        self._at_orders = self.basis.at(
            middle, np.broadcast_to(self.order_pixels.middle_columns, middle.shape)
        )
        self._along = chebvander(np.linspace(-1, 1, n_columns), _EDGE_DEGREE).T
        self._gap_and_column = self._groups.gap * n_columns + self.sample.columns

    @property
    def n_gaps(self) -> int:
        return self._groups.n_gaps

    @property
    def gap(self) -> np.ndarray:
        """The gap of each pixel of the sample, counted from 0 without empty ones."""
        return self._groups.gap

    def light(self, brightness, surface) -> np.ndarray:
        """Brightness of the orders below and above each pixel of the sample, (2, n)."""
        scattered = (self._at_orders @ surface).reshape(brightness.shape)
        light = self.order_pixels.along_orders(np.maximum(brightness - scattered, 0))
        return light[self.sample.order, self.sample.columns]

    def shifts(self, coefficients) -> np.ndarray:
        """Polynomials along the orders in each pixel of the sample, (2, n)."""
        curves = np.moveaxis(coefficients @ self._along, 1, 0).reshape(2, -1)
        return curves[:, self._gap_and_column]

    def pull_on_shifts(self, pulls) -> np.ndarray:
        """Gradient with respect to the shifts, from that of each pixel."""
        n_columns = self.shape[1]
        sums = np.array([
            np.bincount(self._gap_and_column, pull, self.n_gaps * n_columns) for pull in pulls
        ]).reshape(2, self.n_gaps, n_columns)
        return np.moveaxis(sums @ self._along.T, 0, 1)

    def normal(self, columns, slopes, values, weights) -> "_Normal":
        """Normal equations for the surface, these columns and the shifts of the edges."""
        along = self._along[:, self.sample.columns]
        shifts = (slopes[:, None] * along).reshape(-1, len(values))
        smooth = self.smooth.data.reshape(len(values), -1)
        design = np.concatenate([smooth, columns.T, values[:, None], shifts.T], axis=1)
        design *= np.sqrt(weights)[:, None]
        return self._groups.normal(design, len(shifts))


def _wanted(scene, dispersion_axis) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    Pixels of a frame that are needed, and the positions of the sample and of the orders in these.
    """

    def flattened(rows, columns):
        if dispersion_axis == 1:
            return rows * scene.shape[1] + columns
        return columns * scene.shape[0] + rows

    of_sample = flattened(scene.sample.rows, scene.sample.columns)
    orders = scene.order_pixels
    of_orders = flattened(orders.rows, orders.columns)
    place = np.zeros(scene.shape[0] * scene.shape[1], np.int32)
    place[of_sample] = place[of_orders[orders.exist]] = 1
    pixels = np.flatnonzero(place)
    place[pixels] = np.arange(len(pixels))
    return pixels, place[of_sample], np.where(orders.exist, place[of_orders], len(pixels))


# ---------------------------------------------------------------------- normal equations


class _Normal(NamedTuple):
    """
    Normal equations, with those for the shifts of the edges kept separate.

    The last column is that of the values, so that matrix, right-hand side and the sum of squares
    are combined in one.
    """

    matrix: np.ndarray  # of the surface, further columns and the values: (m, m)
    mixed: np.ndarray  # between these and the shifts of each gap: (n_gaps, m, n_shifts)
    own: np.ndarray  # of the shifts of each gap: (n_gaps, n_shifts, n_shifts)

    def transformed(self, n_same: int, mixture: np.ndarray) -> "_Normal":
        """Equations for the first columns and for mixtures of the others."""
        same, others = slice(n_same), slice(n_same, None)
        mixed = self.matrix[same, others] @ mixture
        matrix = np.block([
            [self.matrix[same, same], mixed],
            [mixed.T, mixture.T @ self.matrix[others, others] @ mixture],
        ])
        shifts = np.concatenate([self.mixed[:, same], mixture.T @ self.mixed[:, others]], axis=1)
        return _Normal(matrix, shifts, self.own)

    def without_shifts(self) -> tuple[np.ndarray, np.ndarray]:
        """Matrix after eliminating the shifts, and the dependence of the shifts on the rest."""
        following = np.linalg.inv(self.own) @ self.mixed.swapaxes(1, 2)
        return self.matrix - (self.mixed @ following).sum(axis=0), following


class _Groups:
    """
    Pixels of one gap and one cell of the knots, whose products are summed as a small dense matrix.

    Parameters
    ----------
    gap : array, shape (n,)
        The gap of each pixel, ascending.
    which : array, shape (n, 16)
        Functions of each pixel, equal within a group.
    size : int
        Total number of functions.
    """

    def __init__(self, gap, which, size):
        self._size, n_local = size, which.shape[1]
        changes = (np.diff(gap, prepend=-1) != 0) | (np.diff(which[:, 0], prepend=-1) != 0)
        starts = np.flatnonzero(changes)
        self._sections = [
            slice(*ends) for ends in zip(starts, np.append(starts[1:], len(gap)), strict=True)
        ]
        _, self._first, of_group = np.unique(gap[starts], return_index=True, return_inverse=True)
        self.n_gaps = len(self._first)
        self.gap = np.repeat(of_group, np.diff(starts, append=len(gap)))
        which = which[starts]
        # Maps from sums over groups to the functions, and to those of each gap.
        n_terms = which.size
        ones, terms = np.ones(n_terms), np.arange(n_terms)
        self._into = csr_array((ones, (which.ravel(), terms)), shape=(size, n_terms))
        of_gap = (of_group[:, None] * size + which).ravel()
        self._into_gaps = csr_array((ones, (of_gap, terms)), shape=(self.n_gaps * size, n_terms))
        which = which.astype(np.intp)
        self._pairs = (which[:, :, None] * size + which[:, None, :]).ravel()
        self._n_local = n_local

    def normal(self, design: np.ndarray, n_shifts: int) -> _Normal:
        """
        Normal equations of a weighted design.

        Its columns are the local functions, further common ones, and those that each gap has for
        itself.
        """
        n, last, size = self._n_local, design.shape[1] - n_shifts, self._size
        products = np.array([design[section].T @ design[section] for section in self._sections])
        matrix = np.empty((size + last - n,) * 2)
        local = products[:, :n, :n].ravel()
        matrix[:size, :size] = np.bincount(self._pairs, local, size**2).reshape(size, size)
        matrix[:size, size:] = self._into @ products[:, :n, n:last].reshape(-1, last - n)
        matrix[size:, :size] = matrix[:size, size:].T
        matrix[size:, size:] = products[:, n:last, n:last].sum(axis=0)
        shifts = self._into_gaps @ products[:, :n, last:].reshape(-1, n_shifts)
        others = np.add.reduceat(products[:, n:last, last:], self._first)
        mixed = np.concatenate([shifts.reshape(self.n_gaps, size, n_shifts), others], axis=1)
        own = np.add.reduceat(products[:, last:, last:], self._first) + np.eye(n_shifts)
        return _Normal(matrix, mixed, own)


class _Factor:
    """Factor of a normal matrix, without its last column, the values."""

    def __init__(self, normal: _Normal, penalty: np.ndarray, strength: float):
        self.strength = strength
        matrix, following = normal.without_shifts()
        matrix, self._following = matrix[:-1, :-1], following[:, :, :-1]
        self._own = normal.own
        matrix = matrix + strength * _padded(penalty, len(matrix)) + _ridge(matrix)
        self._root = inverse_root(matrix)

    def solve(self, gradient: _State) -> _State:
        """Unknowns that satisfy the normal equations with this right-hand side."""
        n_gaps, n_shifts = len(self._own), self._own.shape[1]
        apart = gradient.shifts.reshape(n_gaps, n_shifts)
        others = np.concatenate([gradient.surface, gradient.shapes])
        others = others - np.tensordot(apart, self._following, 2)
        others = self._root.T @ (self._root @ others)
        shifts = np.linalg.solve(self._own, apart[..., None])[..., 0] - self._following @ others
        surface, shapes = np.split(others, [len(gradient.surface)])
        return _State(surface, shapes, shifts.reshape(gradient.shifts.shape))

    def covariance(self, n_smooth: int) -> np.ndarray:
        """Covariance of the coefficients of the surface."""
        root = self._root[:, :n_smooth]
        return slab_product(root.T, root)


def _padded(penalty, size) -> np.ndarray:
    return np.pad(penalty, (0, size - len(penalty)))


def _ridge(normal) -> np.ndarray:
    """A ridge so small that it only matters where there is no constraint."""
    return np.diag(np.maximum(1e-9 * np.diag(normal), np.finfo(float).tiny))


# ---------------------------------------------------------------------- the typical frame


class _Typical(NamedTuple):
    state: _State
    chosen: np.ndarray  # shapes: twice the index, plus 1 on the upper side
    slopes: np.ndarray  # (2, n): growth of the wings when an edge moves outwards
    strength: float  # of the penalty
    precision: np.ndarray  # inverse variance of each pixel, 0 for outliers
    normal: _Normal


def _typical_fit(scene, frame, shapes) -> _Typical:
    """Iteratively reweighted surface and wings: noise, uncertainty of the wings, and outliers."""
    values, n_smooth = frame.values, scene.basis.size
    common = shapes.common()
    mixture = _mixture(shapes.mixture)
    light = scene.light(frame.brightness, np.zeros(n_smooth))
    wings = (light * ndtr(-scene.sample.distance)).sum(axis=0)
    variance, outlying, slopes = _first_variance(values), 0, np.zeros_like(light)
    choices = []
    for step in range(_ITERATIONS):
        weights = 1 / ((variance + (_WING_ERROR * wings) ** 2) * (1 + outlying**2) ** 2)
        moving = _EDGE_ERROR * light * slopes
        columns = (common * light).reshape(-1, len(values))
        normal = scene.normal(columns, moving, values, weights).transformed(n_smooth, mixture)
        solution, chosen, strength, shifts = _solved(
            normal, scene.penalty, len(values),
            None if step < _CHOICES else max(choices[_CHOICES - 2 : _CHOICES], key=len),
        )
        choices.append(chosen)
        surface, amplitudes = np.split(solution, [n_smooth])
        scattered = scene.smooth @ surface
        of_common = mixture[:-1, :-1] @ amplitudes
        wings = np.einsum("k,kn->n", of_common, columns) + (moving * scene.shifts(shifts)).sum(0)
        residuals = values - scattered - wings
        variance = _noise_variance(residuals, scattered, wings, frame.good)
        outlying = residuals / np.sqrt(variance + (_WING_ERROR * wings) ** 2) / _OUTLIER
        light = scene.light(frame.brightness, surface)
        slopes = shapes.slopes(amplitudes.reshape(-1, 2))
    precision = (np.abs(outlying) < 1) / (variance + (_WING_ERROR * wings) ** 2)
    kept = np.eye(len(amplitudes) + 1)[:, np.append(chosen, len(amplitudes))]
    return _Typical(
        _State(surface, amplitudes[chosen], shifts), chosen, slopes, strength, precision,
        normal.transformed(n_smooth, kept),
    )


def _mixture(of_shapes) -> np.ndarray:
    """Map from the common functions on both sides, and the values, to the shapes and the values."""
    n_shapes, n_common = of_shapes.shape
    mixture = np.zeros((2 * n_common + 1, 2 * n_shapes + 1))
    mixture[:-1, :-1] = np.kron(of_shapes.T, np.eye(2))
    mixture[-1, -1] = 1
    return mixture


def _solved(normal, penalty, n, chosen) -> tuple[np.ndarray, np.ndarray, float, np.ndarray]:
    """Coefficients, chosen shapes, strength of the penalty, and shifts of the edges."""
    n_smooth = len(penalty)
    matrix, following = normal.without_shifts()
    matrix, right, total = matrix[:-1, :-1], matrix[:-1, -1], matrix[-1, -1]
    if chosen is None:
        chosen = chosen_shapes(matrix, right, penalty)
    columns = np.append(np.arange(n_smooth), n_smooth + chosen)
    solution = np.zeros(len(matrix))
    solution[columns], strength = _cross_validated(
        matrix[np.ix_(columns, columns)], right[columns], penalty, total, n
    )
    shifts = following[:, :, -1] - following[:, :, :-1] @ solution
    return solution, chosen, strength, shifts.reshape(len(shifts), 2, -1)


def _cross_validated(normal, right, penalty, total, n) -> tuple[np.ndarray, float]:
    """Solution with the smoothness from generalised cross-validation, and the penalty strength."""
    n_smooth = len(penalty)
    scale = np.trace(normal[:n_smooth, :n_smooth]) / np.trace(penalty)
    padded, ridge = csr_array(_padded(penalty, len(normal))), _ridge(normal)
    best = None
    for strength in scale * _STRENGTHS:
        root = inverse_root(normal + strength * padded + ridge)
        solution = root.T @ (root @ right)
        squares = total - 2 * solution @ right + solution @ normal @ solution
        trace = len(normal) - strength * ((padded @ root.T) * root.T).sum()
        score = max(squares, 0) / (n - trace) ** 2
        if best is None or score < best[0]:
            best = score, solution, strength
    return best[1], best[2]


# ---------------------------------------------------------------------- noise


def _first_variance(values) -> np.ndarray:
    """Variance of the darker half of the pixels, which the wings do not reach."""
    below = np.median(values) - values
    scatter = scatter_about_zero(below[below >= 0]) or np.abs(values).max() or 1.0
    return np.full(len(values), scatter**2)


def _noise_variance(residuals, scattered, wings, good) -> np.ndarray:
    """Variance of the pixels from their scatter: a constant plus a multiple of the light."""
    light = np.maximum(scattered + wings, 0)
    apart = (wings < _WING_ERROR * np.abs(scattered)) & good
    if np.count_nonzero(apart) < LEAST_PIXELS:
        apart = (wings <= np.quantile(wings[good], 0.2)) & good
    limit = (_OUTLIER * scatter_about_zero(residuals[good])) ** 2
    clipped, of_apart = np.minimum(residuals[apart] ** 2, limit), light[apart]
    constant, slope = _line_from_zero_on(of_apart, clipped)
    variance = constant + slope * light
    # Without any noise, as in a frame of zeros, all pixels have the same weight; no few pixels,
    # where the fit falls to zero, may have all of it.
    least = max(1e-12 * np.mean((residuals + scattered + wings) ** 2),
                _LEAST_NOISE * clipped.mean())
    return np.maximum(variance, least or 1.0)


def _line_from_zero_on(x, y) -> tuple[float, float]:
    """Constant and slope of the best line through positive values, neither of them negative."""
    mean, scale = y.mean(), max(float(x.max()), np.finfo(float).tiny)
    x = x / scale
    spread = x - x.mean()
    slope = (spread * y).sum() / max((spread**2).sum(), np.finfo(float).tiny)
    if slope <= 0:
        return mean, 0.0
    constant = mean - slope * x.mean()
    if constant < 0:
        constant, slope = 0.0, (x * y).sum() / (x**2).sum()
    return constant, slope / scale


def _response_scatter(fit, sigma) -> float:
    """
    Standard deviation of the pixel response: scatter of pixels in excess of their uncertainty.
    """
    view = fit.view
    apart = fit.kept & np.isfinite(sigma) & (view.wings < _WING_ERROR * np.abs(view.scattered))
    if not apart.any():
        return 0.0
    excess = np.sum(view.residuals[apart] ** 2 - sigma[apart].astype(float) ** 2)
    return float(np.sqrt(max(excess, 0) / np.sum(view.scattered[apart] ** 2)))
