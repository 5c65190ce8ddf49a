# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Scattered light of a set of flats: a model common to the set, used to measure each frame."""

from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from ccdproc_echelle.light.interorder import LEAST_PIXELS
from ccdproc_echelle.light.scattered_equations import Factor, Normal, State, cross_validated
from ccdproc_echelle.light.scattered_noise import (
    OUTLIER,
    WING_ERROR,
    first_variance,
    noise_variance,
)
from ccdproc_echelle.light.scattered_sample import FrameSample, ScatteredLightSample
from ccdproc_echelle.light.stray_light import crossed_orders, displaced_orders, stray_pixels
from ccdproc_echelle.light.surface import ScatteredLight, SurfaceError
from ccdproc_echelle.light.wings import WingShapes, chosen_shapes

__all__ = ["ScatteredLightModel"]

# Standard deviation of the coefficients of the polynomials by which edges may be off, in pixels.
# Most edges are much more accurate; those of narrow orders and of orders cut by the border are less
# accurate.
_EDGE_ERROR = 0.1

# Relative error of the width of the wings of fibres on either side of a gap: fibres vary over the
# detector. It is not fitted, but what it does to the surface is part of the error of the surface.
_WIDTH_ERROR = 0.1

# Largest number of fits of the typical frame, each with the weights of the previous one, and how
# many of them select the shapes again. The selection could alternate for ever between a few sets of
# shapes, which leave light that looks like noise, or more of it. In that case the larger set is
# kept. The fits end once the same shapes are selected again and the light in a pixel changes by
# less than this, in standard deviations.
_ITERATIONS = 6
_CHOICES = 4
_SETTLED = 3e-3

# Number of times that the fit is repeated without the stray light found by the previous one.
_SEARCHES = 10

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

# A surface is negative if it is this many standard deviations below zero, in at least this fraction
# of the pixels. Without any noise and light there is still rounding, relative to the typical frame.
_NEGATIVE, _NEGATIVE_PART = 5.0, 0.01
_ROUNDING = 1e-30


class ScatteredLightModel:
    """
    Model of the scattered light that is common to the frames of a set.

    The model is built once from a typical frame. It determines how the wings of the orders fall
    off, how smooth the surface is, the weights of the pixels, and the factor of the normal matrix.
    Measuring a frame then only takes a few products with the columns of a sparse matrix.

    Parameters
    ----------
    sample : `~ccdproc_echelle.light.ScatteredLightSample`
        The pixels in which it is measured, and the typical frame there.

    Attributes
    ----------
    remarks : list of str
        Warnings of light that crosses orders, and of wings that are not where the edges are.

    See Also
    --------
    ccdproc_echelle.fit_scattered_light : Fit the scattered light of a single frame.

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle.light import ScatteredLightModel, ScatteredLightSample
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> sim = EchelleSimulation(shape=(256, 300), n_orders=4).with_scattered_light(0.05)
    >>> flats = sim.flats(3)
    >>> typical = np.median([flat.data for flat in flats], axis=0)
    >>> sample = ScatteredLightSample(typical, np.isfinite(typical), sim.truth.orders)
    >>> values = flats[0].data.ravel()[sample.pixels]
    >>> frame = sample.of_frame(values, np.isfinite(values))
    >>> surface, error = ScatteredLightModel(sample).measure(frame).rows(slice(100, 120))
    >>> expected = sim.truth.scattered_light * sim.truth.levels(3)[0]
    >>> bool(np.allclose(surface, expected[100:120], rtol=0.05))
    True
    """

    def __init__(self, sample: ScatteredLightSample):
        self._dispersion_axis = sample.dispersion_axis
        self._of_fibres = "fibre" in sample.profiles
        scene = self._scene = sample.scene
        frame = sample.typical
        self._brightness = frame.brightness
        shapes = WingShapes(scene.sample.distance, fibres=sample.profiles != {"slit"})
        self._smooth, typical = _fit_of_smooth_light(scene, frame, shapes)
        self._start = typical.state
        self._shapes = np.array([
            shapes.shape(*divmod(column, 2)) for column in typical.chosen
        ]).reshape(-1, len(frame.values))
        self._side = typical.chosen % 2
        self._slopes, self._precision = typical.slopes, typical.precision
        self._factor = Factor(typical.normal, scene.penalty, typical.strength)
        # Edges that are off by more than was assumed make the surface more uncertain in proportion.
        self._excess = max(1.0, float(np.mean(self._start.shifts**2)))
        self._error = self._error_of(self._factor)
        # For each function of the surface: the weight from its pixels, and from the penalty.
        self._weight = (
            scene.smooth.T @ self._precision + typical.strength * np.diag(scene.penalty)
        )
        crossed, displaced = (
            sorted(sample.order_numbers[orders].tolist())
            for orders in (self._crossed(frame), self._displaced())
        )
        self.remarks = _remarks_on(crossed, displaced)

    def measure(self, frame: FrameSample) -> ScatteredLight:
        """
        Measure the scattered light of a frame.

        Parameters
        ----------
        frame : `~ccdproc_echelle.light.FrameSample`
            The frame in the pixels of the sample.

        Returns
        -------
        `ScatteredLight`
            The surface and its error.

        Raises
        ------
        ValueError
            If fewer than 100 of the pixels between the orders are good.
        """
        frame = frame.without(~self._smooth)
        level = self._level(frame)
        frame = frame.divided_by(level)
        fit = self._fit(frame, own=False) if self._lost(~frame.good) < _MOST_LOST else None
        if fit is None or not self._like_typical(fit):
            fit = self._fit(frame, own=True)
        error = self._error if fit.factor is self._factor else self._error_of(fit.factor)
        return self._described(fit, error, level, frame.sigma)

    def _crossed(self, frame) -> np.ndarray:
        """Positions of orders that stray light crosses, from the lowest up."""
        return crossed_orders(
            self._scene.sample, frame.good & ~self._smooth,
            self._viewed(frame, self._start).residuals, np.median(self._brightness, axis=1),
            self._scene.shape[1],
        )

    def _displaced(self) -> np.ndarray:
        """Positions of orders whose wings are not where their edges are, from the lowest up."""
        shifts = _EDGE_ERROR * self._scene.shifts(self._start.shifts)
        light = self._scene.light(self._brightness, self._start.surface)
        return displaced_orders(self._scene.sample, shifts, light, len(self._brightness))

    # ------------------------------------------------------------------ the frame

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
        variance = noise_variance(residuals, scattered, wings, frame.good)
        variance += (WING_ERROR * wings) ** 2
        outlying = np.abs(residuals) / np.sqrt(variance) / OUTLIER
        return _View(light, slopes, scattered, wings, residuals, variance, outlying)

    def _gradient(self, state, view, weights, strength) -> State:
        pull = self._pull(view.light, view.slopes, weights * view.residuals)
        return State(
            pull.surface - strength * (self._scene.penalty @ state.surface),
            pull.shapes,
            pull.shifts - state.shifts,
        )

    def _pull(self, light, slopes, pull) -> State:
        """How weighted residuals of the pixels pull on the unknowns."""
        lit = light * pull
        return State(
            self._scene.smooth.T @ pull,
            np.einsum("kn,kn->k", self._shapes, lit[self._side]),
            self._scene.pull_on_shifts(slopes * pull),
        )

    def _own_factor(self, frame, view, weights) -> Factor:
        columns = self._shapes * view.light[self._side]
        normal = self._scene.normal(columns, view.slopes, frame.values, weights)
        matrix, _ = normal.without_shifts()
        _, strength = cross_validated(
            matrix[:-1, :-1], matrix[:-1, -1], self._scene.penalty, matrix[-1, -1],
            np.count_nonzero(weights),
        )
        return Factor(normal, self._scene.penalty, strength)

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
        covariance = self._excess * factor.covariance(self._scene.basis.size)
        if self._of_fibres:
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
            changes.append(factor.solve(self._pull(light, slopes, pull)).surface)
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
        if below.mean() > _NEGATIVE_PART:
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


def _remarks_on(crossed: list[int], displaced: list[int]) -> list[str]:
    """Warnings of light that crosses orders, and of wings that are not where the edges are."""
    remarks = []
    if crossed:
        remarks.append(
            f"light on both sides of orders {crossed} is not theirs, but that of a ghost or of "
            "other orders; within the orders it cannot be told from their own light, so the flat "
            "may be wrong there by more than its uncertainty; find its source and block it"
        )
    if displaced:
        remarks.append(
            f"the light beside orders {displaced} does not fall off from their edges: the edges "
            "are misplaced, the orders fall off more slowly on one side than on the other, or "
            "other light lies in the gaps, where it cannot be told from scattered light; check the "
            "edges with plot_orders; if they are right, block the other light, or specify "
            "scattered_light=None if little light is scattered"
        )
    return remarks


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
    state: State
    factor: Factor
    view: _View
    kept: np.ndarray  # good, and not an outlier
    noise: float


def _response_scatter(fit, sigma) -> float:
    """
    Standard deviation of the pixel response: scatter of pixels in excess of their uncertainty.
    """
    view = fit.view
    apart = fit.kept & np.isfinite(sigma) & (view.wings < WING_ERROR * np.abs(view.scattered))
    if not apart.any():
        return 0.0
    excess = np.sum(view.residuals[apart] ** 2 - sigma[apart].astype(float) ** 2)
    return float(np.sqrt(max(excess, 0) / np.sum(view.scattered[apart] ** 2)))


# ---------------------------------------------------------------------- the typical frame


class _Typical(NamedTuple):
    state: State
    chosen: np.ndarray  # shapes: twice the index, plus 1 on the upper side
    slopes: np.ndarray  # (2, n): growth of the wings when an edge moves outwards
    strength: float  # of the penalty
    precision: np.ndarray  # inverse variance of each pixel, 0 for outliers
    normal: Normal
    stray: np.ndarray  # pixels with light that is not smooth


def _fit_of_smooth_light(scene, frame, shapes) -> tuple[np.ndarray, _Typical]:
    """
    Pixels of the sample without light of other kinds, and the fit to them.

    In narrow gaps, several shapes together may take more light than there is, so that the surface
    is negative. If it is not with a single shape, that is used.
    """
    found = _fit_without_stray(scene, frame, shapes, len(shapes.mixture))
    if _is_negative(scene, found[1]):
        simple = _fit_without_stray(scene, frame, shapes, 1)
        if not _is_negative(scene, simple[1]):
            return simple
    return found


def _is_negative(scene, typical) -> bool:
    """Whether the surface is negative by more than its error, in the pixels of the sample."""
    scattered = scene.smooth @ typical.state.surface
    if (scattered < 0).mean() <= _NEGATIVE_PART:
        return False
    factor = Factor(typical.normal, scene.penalty, typical.strength)
    error = SurfaceError(scene.basis, factor.covariance(scene.basis.size))
    limit = _NEGATIVE * error.at(scene.sample.rows, scene.sample.columns)
    return bool((scattered < -limit).mean() > _NEGATIVE_PART)


def _fit_without_stray(scene, frame, shapes, most_shapes) -> tuple[np.ndarray, _Typical]:
    """Pixels of the sample without stray light, and the fit to them."""
    for _ in range(_SEARCHES):
        typical = _typical_fit(scene, frame, shapes, most_shapes)
        smooth = frame.good & ~typical.stray
        if not typical.stray.any() or np.count_nonzero(smooth) < LEAST_PIXELS:
            break
        frame = frame._replace(good=smooth)
    return frame.good, typical


def _typical_fit(scene, frame, shapes, most_shapes) -> _Typical:
    """Iteratively reweighted surface and wings: noise, uncertainty of the wings, and outliers."""
    values, n_smooth = frame.values, scene.basis.size
    common = shapes.common()
    mixture = _mixture(shapes.mixture)
    light = scene.light(frame.brightness, np.zeros(n_smooth))
    wings = (light * ndtr(-scene.sample.distance)).sum(axis=0)
    variance, outlying, slopes = first_variance(values), 0, np.zeros_like(light)
    choices, residuals = [], np.inf
    for step in range(_ITERATIONS):
        weights = frame.good / ((variance + (WING_ERROR * wings) ** 2) * (1 + outlying**2) ** 2)
        moving = _EDGE_ERROR * light * slopes
        columns = (common * light).reshape(-1, len(values))
        normal = scene.normal(columns, moving, values, weights).transformed(n_smooth, mixture)
        solution, chosen, strength, shifts = _solved(
            normal, scene.penalty, np.count_nonzero(weights), most_shapes,
            None if step < _CHOICES else max(choices[_CHOICES - 2 : _CHOICES], key=len),
        )
        choices.append(chosen)
        surface, amplitudes = np.split(solution, [n_smooth])
        scattered = scene.smooth @ surface
        of_common = mixture[:-1, :-1] @ amplitudes
        wings = np.einsum("k,kn->n", of_common, columns) + (moving * scene.shifts(shifts)).sum(0)
        before, residuals = residuals, values - scattered - wings
        variance = noise_variance(residuals, scattered, wings, frame.good)
        outlying = residuals / np.sqrt(variance + (WING_ERROR * wings) ** 2) / OUTLIER
        light = scene.light(frame.brightness, surface)
        slopes = shapes.slopes(amplitudes.reshape(-1, 2))
        change = np.mean(((residuals - before) ** 2 / variance)[frame.good])
        if change < _SETTLED**2 and np.array_equal(*choices[-2:]):
            break
    precision = frame.good * (np.abs(outlying) < 1) / (variance + (WING_ERROR * wings) ** 2)
    stray = frame.good & stray_pixels(
        scene.sample, residuals, variance, WING_ERROR * np.abs(wings), scene.shape[1]
    )
    kept = np.eye(len(amplitudes) + 1)[:, np.append(chosen, len(amplitudes))]
    return _Typical(
        State(surface, amplitudes[chosen], shifts), chosen, slopes, strength, precision,
        normal.transformed(n_smooth, kept), stray,
    )


def _mixture(of_shapes) -> np.ndarray:
    """Map from the common functions on both sides, and the values, to the shapes and the values."""
    n_shapes, n_common = of_shapes.shape
    mixture = np.zeros((2 * n_common + 1, 2 * n_shapes + 1))
    mixture[:-1, :-1] = np.kron(of_shapes.T, np.eye(2))
    mixture[-1, -1] = 1
    return mixture


def _solved(
    normal, penalty, n, most_shapes, chosen
) -> tuple[np.ndarray, np.ndarray, float, np.ndarray]:
    """Coefficients, chosen shapes, strength of the penalty, and shifts of the edges."""
    n_smooth = len(penalty)
    matrix, following = normal.without_shifts()
    matrix, right, total = matrix[:-1, :-1], matrix[:-1, -1], matrix[-1, -1]
    if chosen is None:
        chosen = chosen_shapes(matrix, right, penalty, most_shapes)
    columns = np.append(np.arange(n_smooth), n_smooth + chosen)
    solution = np.zeros(len(matrix))
    solution[columns], strength = cross_validated(
        matrix[np.ix_(columns, columns)], right[columns], penalty, total, n
    )
    shifts = following[:, :, -1] - following[:, :, :-1] @ solution
    return solution, chosen, strength, shifts.reshape(len(shifts), 2, -1)


