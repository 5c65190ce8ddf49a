# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Scattered light: the smooth light that the inter-order area shows and the orders hide."""

import itertools
import warnings
from typing import NamedTuple

import numpy as np
from astropy.nddata import CCDData, StdDevUncertainty
from numpy.polynomial.chebyshev import chebvander
from scipy.interpolate import BSpline, RegularGridInterpolator
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import nnls
from scipy.special import ndtr

from ccdproc_echelle._warnings import warn
from ccdproc_echelle.frames import standard_deviation
from ccdproc_echelle.orders import EchelleOrderTable

__all__ = ["fit_scattered_light", "has_interorder_pixels", "subtract_scattered_light"]

# Fewer pixels than this between the orders say nothing about a surface.
_LEAST_PIXELS = 100

# Whose fourth power is still a number.
_LARGEST_VALUE = 1e75

# So many pixels, drawn at random, determine a smooth surface far better than the noise of a pixel.
_MOST_PIXELS = 30_000

# Intervals between the knots of the surface along each axis; the penalty makes it smoother.
_INTERVALS = 8

# The blur is a sum of Gaussians of these standard deviations, in pixel.
_BLURS = np.append(np.geomspace(0.3, 3, 26), [4, 6, 9])

# Another blur has to improve the sum of squares, in units of the noise, by this much.
_SIGNIFICANT = 25.0

# Strengths of the penalty that are tried, relative to the weight of the pixels, and the first.
_STRENGTHS = 10.0 ** np.arange(-2.25, 3.1, 0.75)
_START = 1e-3

# The wings of the orders are known to this fraction of themselves: the brightness of an order to
# some percent, the blur varies over the detector.
_WING_ERROR = 0.1

# The edges may be off: each by a polynomial of this degree along the order, whose coefficients have
# this standard deviation, in pixel. Most are off by far less, those of orders cut by the border by
# more, as are those of narrow orders.
_EDGE_DEGREE = 4
_EDGE_ERROR = 0.1

# Fits, each with the weights from the one before.
_ITERATIONS = 6

# Residuals further out than this, in units of the noise, are cosmic rays or hot pixels.
_OUTLIER = 5.0

# From so many standard deviations below zero on a surface is negative.
_NEGATIVE = 5.0

# Columns that are taken together to measure the brightness of an order.
_STRETCH = 16

# Where across an order its brightness is measured, in units of its width.
_SLIT_PLACES = np.array([-0.2, -0.1, 0.0, 0.1, 0.2])

# Steps of the grid on which the error of the surface, itself smooth, is computed.
_ERROR_STEPS = 32


def fit_scattered_light(
    frame: CCDData, orders: EchelleOrderTable, *, margin: float = 1.0
) -> CCDData:
    """
    Scattered light of a flat: a smooth surface through the inter-order pixels.

    The surface is a bicubic spline whose roughness is penalised; how much is chosen by generalised
    cross-validation [1]_. What the orders next to a gap blur into it is fitted at the same time:
    their brightness times a function of the distance from the edge which is the same everywhere,
    a sum of blurred steps; and the edges themselves may be off by some tenth of a pixel, each along
    its order by another amount. So no pixel is free of the wings by decree, but the nearer to an
    order the less it counts, and where the gaps are wide only their middles matter.
    Pixels that cosmic rays hit and hot ones are rejected.

    Parameters
    ----------
    frame : `~astropy.nddata.CCDData`, shape (rows, columns)
        A flat or master flat, bias and dark subtracted, in any unit. Masked and non-finite pixels
        are ignored.
    orders : `EchelleOrderTable`
        The orders, with edges.
    margin : float, optional
        Pixels nearer to an order edge than this are not used.

    Returns
    -------
    `~astropy.nddata.CCDData`
        The scattered light in every pixel, in the unit of the frame, without mask. Its
        uncertainty, of the type of that of the frame or else a
        `~astropy.nddata.StdDevUncertainty`, has two parts: the error of the surface, which
        neighbouring pixels share, and, where the frame has an uncertainty, the scatter of the
        pixel response times the surface, which they do not. The latter is what the inter-order
        pixels scatter beyond their uncertainty.

    Raises
    ------
    TypeError
        If ``frame`` is not a `~astropy.nddata.CCDData` or its uncertainty is of an unknown type.
    ValueError
        If ``margin`` is negative, the orders have no edges or are for a detector of another shape,
        or fewer than 100 usable pixels lie between the orders.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If the inter-order area is negative by more than its noise, as after subtracting too high
        a bias; the surface is negative there as well. If the surface had to be cut off at zero
        elsewhere, far from inter-order pixels.

    See Also
    --------
    subtract_scattered_light, has_interorder_pixels

    Notes
    -----
    Light that reaches further than some ten pixels from an order cannot be told from scattered
    light, and is part of it. In gaps narrower than some 5 standard deviations of the blur there is
    no pixel without light of the neighbours: the surface then rests on the wider gaps, on the
    area beyond the outermost orders, and on the wings that are modelled. Light of orders that are
    not in the table is taken for scattered light.

    References
    ----------
    .. [1] P. H. C. Eilers & B. D. Marx 1996, Statistical Science 11, 89, "Flexible smoothing with
       B-splines and penalties".

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle.light.scattered_light import fit_scattered_light
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> sim = EchelleSimulation(shape=(256, 300), n_orders=4).with_scattered_light(0.05)
    >>> scattered = fit_scattered_light(sim.flats(1)[0], sim.truth.orders)
    >>> expected = sim.truth.scattered_light * sim.truth.levels(1)
    >>> bool(np.allclose(scattered.data, expected, rtol=0.05))
    True
    """
    return _measured(frame, orders, margin)[0]


def subtract_scattered_light(
    frame: CCDData, orders: EchelleOrderTable, *, margin: float = 1.0
) -> CCDData:
    """
    A flat without its scattered light.

    Parameters
    ----------
    frame, orders, margin
        As for `fit_scattered_light`.

    Returns
    -------
    `~astropy.nddata.CCDData`
        A copy with the same mask, unit, header and WCS. The uncertainty of the surface is added
        to that of the frame, if it has one; to a flat without uncertainty none is given.

    Raises
    ------
    TypeError, ValueError
        As `fit_scattered_light`.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        As `fit_scattered_light`.

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle.light.scattered_light import subtract_scattered_light
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> sim = EchelleSimulation(shape=(256, 300), n_orders=4).with_scattered_light(0.05)
    >>> flat, = sim.flats(1)
    >>> corrected = subtract_scattered_light(flat, sim.truth.orders)
    >>> between = sim.truth.orders.interorder_mask(margin=8)
    >>> bool(abs(corrected.data[between].mean()) < 0.1 * flat.data[between].mean())
    True
    """
    return less_scattered_light(frame, orders, margin=margin)[0]


def less_scattered_light(
    frame: CCDData, orders: EchelleOrderTable, *, margin: float = 1.0
) -> tuple[CCDData, "SurfaceError"]:
    """
    `subtract_scattered_light`, and the error that the pixels of the result have in common.

    Parameters
    ----------
    frame, orders, margin
        As for `fit_scattered_light`.

    Returns
    -------
    `~astropy.nddata.CCDData`, `SurfaceError`
        The flat without its scattered light, and the error of the surface.
    """
    scattered, error = _measured(frame, orders, margin)
    difference = frame.subtract(scattered)
    result = frame.copy()
    dtype = frame.data.dtype if frame.data.dtype.kind == "f" else float
    result.data = difference.data.astype(dtype)
    if frame.uncertainty is not None:
        result.uncertainty = type(frame.uncertainty)(difference.uncertainty.array.astype(dtype))
    return result, error


def has_interorder_pixels(orders: EchelleOrderTable, *, margin: float = 1.0) -> bool:
    """
    Whether the orders leave enough room between them to measure scattered light.

    Parameters
    ----------
    orders : `EchelleOrderTable`
        The orders, with edges and the shape of the detector.
    margin : float, optional
        As for `fit_scattered_light`.

    Returns
    -------
    bool
        Whether at least 100 pixels lie further than ``margin`` from all orders.

    Raises
    ------
    ValueError
        If the edges or the detector shape are not known.

    Examples
    --------
    >>> from ccdproc_echelle import EchelleOrderTable
    >>> from ccdproc_echelle.light.scattered_light import has_interorder_pixels
    >>> orders = EchelleOrderTable.from_polynomials(
    ...     [1], [[20]], lower=[[10]], upper=[[30]], shape=(40, 200), dispersion_axis=1)
    >>> has_interorder_pixels(orders), has_interorder_pixels(orders, margin=10)
    (True, False)
    """
    if orders.dispersion_axis == 0:
        orders = orders.transposed()
    lower, upper = _edges(orders)
    return sum(
        len(rows) for rows, _ in _gaps(lower, upper, orders.shape[0], margin)
    ) >= _LEAST_PIXELS


# ---------------------------------------------------------------------- the door


def _measured(frame, orders, margin) -> tuple[CCDData, "SurfaceError"]:
    """The scattered light as the public functions give it, and the error of its surface."""
    if not isinstance(frame, CCDData):
        raise TypeError(f"frame is a {type(frame).__name__}, expected a CCDData")
    if not 0 <= margin < np.inf:
        raise ValueError(f"margin is {margin!r}, expected a number of pixels from 0 on")
    orders = orders.on_detector(frame.shape)
    sigma = standard_deviation(frame, "frame")
    usable = np.isfinite(frame.data)
    if frame.mask is not None:
        usable &= ~np.asarray(frame.mask, bool)
    largest = float(np.abs(frame.data[usable]).max(initial=0))
    if largest > _LARGEST_VALUE:
        raise ValueError(f"frame has values of {largest:.3g}, expected at most {_LARGEST_VALUE:g}")
    turned = (lambda image: image) if orders.dispersion_axis == 1 else np.transpose
    surface, error, *fitted = _scattered_light(
        turned(frame.data), None if sigma is None else turned(sigma), turned(usable),
        orders if orders.dispersion_axis == 1 else orders.transposed(), margin,
    )
    surface, error = (np.ascontiguousarray(turned(image)) for image in (surface, error))
    uncertainty = StdDevUncertainty(error)
    if frame.uncertainty is not None:
        uncertainty = uncertainty.represent_as(type(frame.uncertainty))
    scattered = CCDData(surface, unit=frame.unit, uncertainty=uncertainty)
    return scattered, SurfaceError(*fitted, orders.dispersion_axis)


# ---------------------------------------------------------------------- orders along the rows


def _scattered_light(data, sigma, usable, orders, margin):
    """The surface, its standard deviation, its functions and the covariance of these."""
    lower, upper = _edges(orders)
    sample = _sampled(usable, lower, upper, margin)
    values = data[sample.rows, sample.columns].astype(float)
    basis = _SurfaceBasis(data.shape)
    brightness = _brightness(data, usable, lower, upper)
    fit = _robust_fit(values, sample, brightness, basis, data.shape[1])
    surface, error = basis.image(fit.surface), basis.error_image(fit.covariance)
    surface = _without_negatives(surface, error, fit, basis, sample)
    if sigma is not None:
        response = _response_scatter(fit, sigma[sample.rows, sample.columns])
        error = np.hypot(error, response * surface)
    return surface, error, basis, fit.covariance


def _edges(orders) -> tuple[np.ndarray, np.ndarray]:
    """
    Edges from the lowest order up; beyond its valid range an order is continued straight.

    What light there is beyond the range is not known: better not to use these pixels.
    """
    edges = np.stack([orders.lower(), orders.upper()])
    columns = np.arange(edges.shape[2])
    known = np.isfinite(edges).all(axis=0)
    edges, known = edges[:, known.any(axis=1)], known[known.any(axis=1)]
    for one_order, valid in zip(edges.swapaxes(0, 1), known, strict=True):
        for edge in one_order:
            edge[:] = np.interp(columns, columns[valid], edge[valid])
    return tuple(edges[:, np.argsort(edges.mean(axis=(0, 2)))])


class _Sample(NamedTuple):
    """Inter-order pixels, and for each side the order next to them and how far its edge is."""

    rows: np.ndarray
    columns: np.ndarray
    gap: np.ndarray  # ascending
    order: np.ndarray  # (2, n): of the order below and above; any where the distance is infinite
    distance: np.ndarray  # (2, n)


def _gaps(lower, upper, n_rows: int, margin: float):
    """For each gap between orders, from below the first on, the rows and columns of its pixels."""
    floor = np.maximum.accumulate(upper, axis=0)  # where orders overlap, the highest counts
    bottom = np.vstack([np.full((1, lower.shape[1]), -1.0), floor + margin])
    top = np.vstack([lower - margin, np.full((1, lower.shape[1]), float(n_rows))])
    for low, high in zip(bottom, top, strict=True):
        first = int(np.clip(np.floor(low.min()), 0, n_rows))
        last = int(np.clip(np.ceil(high.max()) + 1, first, n_rows))
        positions = np.arange(first, last)[:, None]
        rows, columns = np.nonzero((positions > low) & (positions < high))
        yield rows + first, columns


def _sampled(usable, lower, upper, margin) -> _Sample:
    rows, columns, gaps = [], [], []
    for gap, (gap_rows, gap_columns) in enumerate(_gaps(lower, upper, len(usable), margin)):
        good = usable[gap_rows, gap_columns]
        rows.append(gap_rows[good])
        columns.append(gap_columns[good])
        gaps.append(np.full(len(rows[-1]), gap))
    rows, columns, gaps = (np.concatenate(parts) for parts in (rows, columns, gaps))
    if len(rows) < _LEAST_PIXELS:
        raise ValueError(
            f"{len(rows)} usable pixels lie further than {margin} pixels from all orders, expected "
            f"at least {_LEAST_PIXELS} to measure scattered light"
        )
    if len(rows) > _MOST_PIXELS:
        rng = np.random.default_rng(0)
        chosen = np.sort(rng.choice(len(rows), _MOST_PIXELS, replace=False, shuffle=False))
        rows, columns, gaps = rows[chosen], columns[chosen], gaps[chosen]
    below, above = np.maximum(gaps - 1, 0), np.minimum(gaps, len(lower) - 1)
    floor = np.maximum.accumulate(upper, axis=0)
    distance = np.stack([
        np.where(gaps > 0, rows - floor[below, columns], np.inf),
        np.where(gaps < len(lower), lower[above, columns] - rows, np.inf),
    ])
    return _Sample(rows, columns, gaps, np.stack([below, above]), distance)


class _Brightness(NamedTuple):
    """Of each order in each stretch, (n_orders, n_stretches), and where that is."""

    values: np.ndarray
    rows: np.ndarray
    columns: np.ndarray  # (n_stretches,)


def _brightness(data, usable, lower, upper) -> _Brightness:
    n_rows, n_columns = data.shape
    starts = np.arange(0, n_columns, _STRETCH)
    columns = np.minimum(starts + _STRETCH // 2, n_columns - 1)
    middle, width = 0.5 * (lower + upper), upper - lower
    rows = np.rint(middle[:, None] + width[:, None] * _SLIT_PLACES[:, None]).astype(int)
    on_detector = (rows >= 0) & (rows < n_rows)
    rows = np.clip(rows, 0, n_rows - 1)
    everywhere = np.arange(n_columns)
    good = on_detector & usable[rows, everywhere]
    light = np.where(good, data[rows, everywhere], np.nan)
    missing = -n_columns % _STRETCH
    light = np.pad(light, ((0, 0), (0, 0), (0, missing)), constant_values=np.nan)
    light = light.reshape(*light.shape[:2], len(starts), _STRETCH)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice")  # stretches without any pixel
        medians = np.nanmedian(light, axis=(1, 3))
    for row in medians:
        known = np.isfinite(row)
        row[:] = np.interp(columns, columns[known], row[known]) if known.any() else 0
    return _Brightness(medians, np.clip(middle[:, columns], 0, n_rows - 1), columns)


# ---------------------------------------------------------------------- the surface


class _SurfaceBasis:
    """Bicubic B-splines over the detector, their second differences penalised."""

    def __init__(self, shape: tuple[int, int]):
        self._shape = shape
        n = _INTERVALS + 3
        self._knots = [
            np.linspace(-0.5, size - 0.5, _INTERVALS + 1)[0]
            + np.arange(-3, _INTERVALS + 4) * size / _INTERVALS
            for size in shape
        ]
        differences = np.diff(np.eye(n), 2, axis=0)
        along_one_axis = differences.T @ differences
        self.penalty = np.kron(along_one_axis, np.eye(n)) + np.kron(np.eye(n), along_one_axis)

    def _one_axis(self, axis: int, positions) -> np.ndarray:
        return BSpline.design_matrix(np.ravel(positions), self._knots[axis], 3).toarray()

    def at(self, rows, columns) -> np.ndarray:
        """Design matrix for scattered pixels."""
        across, along = self._one_axis(0, rows), self._one_axis(1, columns)
        return (across[:, :, None] * along[:, None, :]).reshape(len(across), -1)

    def image(self, coefficients) -> np.ndarray:
        across, along = (self._one_axis(axis, np.arange(n)) for axis, n in enumerate(self._shape))
        return across @ coefficients.reshape(across.shape[1], -1) @ along.T

    def sums(self, weights) -> np.ndarray:
        """Weighted sum of each function over the pixels."""
        across, along = (self._one_axis(axis, np.arange(n)) for axis, n in enumerate(self._shape))
        return (across.T @ weights @ along).ravel()

    def error_image(self, covariance) -> np.ndarray:
        """Standard deviation, interpolated between the nodes of a grid."""
        nodes = [np.linspace(0, size - 1, _ERROR_STEPS + 1) for size in self._shape]
        rows, columns = np.meshgrid(*nodes, indexing="ij")
        design = self.at(rows, columns)
        errors = _standard_errors(design, covariance).reshape(rows.shape)
        weights = [
            RegularGridInterpolator((node,), np.eye(len(node)))(np.arange(size))
            for node, size in zip(nodes, self._shape, strict=True)
        ]
        return weights[0] @ errors @ weights[1].T


def _standard_errors(design, covariance) -> np.ndarray:
    return np.sqrt(np.maximum(np.einsum("ij,ij->i", design @ covariance, design), 0))


class SurfaceError(NamedTuple):
    """
    The error of a fitted surface, which neighbouring pixels share.

    Attributes
    ----------
    basis : object
        The functions that the surface is made of.
    covariance : array, shape (n, n)
        Of their coefficients.
    dispersion_axis : int
        0 if rows and columns were exchanged for the fit.
    """

    basis: _SurfaceBasis
    covariance: np.ndarray
    dispersion_axis: int

    def of_sum(self, weights: np.ndarray) -> float:
        """
        Standard deviation of a weighted sum over the pixels of the surface.

        Parameters
        ----------
        weights : array, shape (rows, columns)
            The weight of each pixel.

        Returns
        -------
        float
            In the unit of the frame times that of the weights.
        """
        sums = self.basis.sums(weights if self.dispersion_axis == 1 else weights.T)
        return float(np.sqrt(max(sums @ self.covariance @ sums, 0)))


class _Fit(NamedTuple):
    surface: np.ndarray  # coefficients
    covariance: np.ndarray  # of these
    residuals: np.ndarray  # of each pixel of the sample
    scattered: np.ndarray  # the surface there
    wings: np.ndarray  # the light of the orders there
    good: np.ndarray  # no outlier


def _robust_fit(values, sample, brightness, basis, n_columns) -> _Fit:
    """Surface and wings, reweighted: noise, what is not known of the wings, and outliers."""
    at_orders = basis.at(
        brightness.rows, np.broadcast_to(brightness.columns, brightness.rows.shape)
    )
    n, n_smooth = len(values), len(basis.penalty)
    design = np.empty((n, n_smooth + 2 * len(_BLURS)))
    smooth = design[:, :n_smooth]
    smooth[:] = basis.at(sample.rows, sample.columns)
    shapes, slopes = _wing_shapes(sample.distance)
    along = chebvander(2 * sample.columns / max(n_columns - 1, 1) - 1, _EDGE_DEGREE).T
    shifts = np.zeros((n, 0))
    light = _light_of_neighbours(brightness, 0, sample, n_columns)
    wings = (light * ndtr(-sample.distance)).sum(axis=0)
    variance, outlying = _first_variance(values), 0
    for _ in range(_ITERATIONS):
        weights = 1 / ((variance + (_WING_ERROR * wings) ** 2) * (1 + outlying**2) ** 2)
        # One column for each blur and side: the two ends of a slit may differ in brightness.
        design[:, n_smooth:] = (shapes * light).reshape(-1, n).T
        surface, covariance, blurs, wings = _penalised(
            values, design, shifts, sample.gap, weights, basis.penalty
        )
        scattered = smooth @ surface
        residuals = values - scattered - wings
        variance = _noise_variance(residuals, scattered, wings)
        outlying = residuals / np.sqrt(variance + (_WING_ERROR * wings) ** 2) / _OUTLIER
        in_orders = (at_orders @ surface).reshape(brightness.values.shape)
        light = _light_of_neighbours(brightness, in_orders, sample, n_columns)
        slope = (blurs[..., None] * slopes).sum(axis=0)
        shifts = _EDGE_ERROR * (light * slope * along[:, None]).reshape(-1, n).T
    return _Fit(surface, covariance, residuals, scattered, wings, np.abs(outlying) < 1)


def _first_variance(values) -> np.ndarray:
    """From the darker half of the pixels, which the wings do not reach."""
    below = np.median(values) - values
    scatter = _scatter(below[below >= 0]) or np.abs(values).max() or 1.0
    return np.full(len(values), scatter**2)


def _wing_shapes(distance) -> tuple[np.ndarray, np.ndarray]:
    """
    Steps blurred by each of the Gaussians and integrated over pixels: (n_blurs, 2, n).

    And how they grow when the edge moves outwards.
    """
    blurs = _BLURS[:, None, None]
    near, far = (0.5 - distance) / blurs, (-0.5 - distance) / blurs
    return blurs * (_ramp(near) - _ramp(far)), ndtr(near) - ndtr(far)


def _ramp(x) -> np.ndarray:
    """Integral of the normal distribution function."""
    x = np.maximum(x, -40)
    return np.maximum(x * ndtr(x) + np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi), 0)


def _light_of_neighbours(brightness, scattered, sample, n_columns) -> np.ndarray:
    """Brightness of the orders below and above each pixel of the sample, (2, n)."""
    light = np.maximum(brightness.values - scattered, 0)
    everywhere = np.arange(n_columns)
    light = np.array([np.interp(everywhere, brightness.columns, row) for row in light])
    return light[sample.order, sample.columns]


def _penalised(values, design, shifts, gaps, weights, penalty):
    """
    Coefficients of the surface, their covariance, light of each blur and side, light of the wings.

    The shifts of the edges are those of their own gap: they are eliminated gap by gap.
    """
    n_smooth, root = len(penalty), np.sqrt(weights)[:, None]
    weighted, shifted, target = design * root, shifts * root, values * root[:, 0]
    normal, right, total = weighted.T @ weighted, weighted.T @ target, target @ target
    eliminated = []
    starts = np.flatnonzero(np.diff(gaps, prepend=-1))
    for first, last in itertools.pairwise([*starts, len(gaps)]):
        here, shift = slice(first, last), shifted[first:last]
        own = shift.T @ shift + np.eye(shift.shape[1])
        mixed, wanted = shift.T @ weighted[here], shift.T @ target[here]
        by_others, alone = np.split(
            np.linalg.solve(own, np.column_stack([mixed, wanted])), [len(normal)], axis=1
        )
        normal -= mixed.T @ by_others
        right -= mixed.T @ alone[:, 0]
        total -= wanted @ alone[:, 0]
        eliminated.append((shifts[here], by_others, alone[:, 0]))
    columns = _chosen_columns(normal, right, penalty)
    solution = np.zeros(len(normal))
    solution[columns], covariance = _cross_validated(
        normal[np.ix_(columns, columns)], right[columns], penalty, total, len(values)
    )
    moved = [shift @ (alone - by_others @ solution) for shift, by_others, alone in eliminated]
    surface, blurs = np.split(solution, [n_smooth])
    wings = design[:, n_smooth:] @ blurs + np.concatenate(moved)
    return surface, covariance[:n_smooth, :n_smooth], blurs.reshape(-1, 2), wings


def _chosen_columns(normal, right, penalty) -> np.ndarray:
    """
    Those of the surface, and of as many blurs as the pixels call for: each the best one to add.

    Wide blurs and the surface are alike; all at once they would share the scattered light.
    """
    n_smooth = len(penalty)
    surface, wings = normal[:n_smooth, :n_smooth], normal[n_smooth:, n_smooth:]
    strength = _START * np.trace(surface) / np.trace(penalty)
    factor = cho_factor(surface + strength * penalty + np.diag(1e-9 * np.diag(surface)))
    # What is left of the normal equations for the wings when the surface is eliminated.
    mixed = normal[n_smooth:, :n_smooth]
    left = wings - mixed @ cho_solve(factor, mixed.T) + np.diag(1e-9 * np.diag(wings))
    wanted = right[n_smooth:] - mixed @ cho_solve(factor, right[:n_smooth])
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
            return np.append(np.arange(n_smooth), n_smooth + chosen)
        gain, chosen = best


def _padded(penalty, size) -> np.ndarray:
    return np.pad(penalty, (0, size - len(penalty)))


def _cross_validated(normal, right, penalty, total, n) -> tuple[np.ndarray, np.ndarray]:
    """Solution, as smooth as generalised cross-validation finds best, and its covariance."""
    n_smooth = len(penalty)
    scale = np.trace(normal[:n_smooth, :n_smooth]) / np.trace(penalty)
    penalty = _padded(penalty, len(normal))
    ridge = np.diag(1e-9 * np.diag(normal))
    best = None
    for strength in scale * _STRENGTHS:
        factor = cho_factor(normal + strength * penalty + ridge)
        solution = cho_solve(factor, right)
        inverse = cho_solve(factor, np.eye(len(normal)))
        squares = total - 2 * solution @ right + solution @ normal @ solution
        score = max(squares, 0) / (n - np.einsum("ij,ji->", inverse, normal)) ** 2
        if best is None or score < best[0]:
            best = score, solution, inverse
    return best[1], best[2]


def _noise_variance(residuals, scattered, wings) -> np.ndarray:
    """Variance of the pixels as they scatter: a constant plus a multiple of the light."""
    clipped = residuals**2
    clipped = np.minimum(clipped, (_OUTLIER * _scatter(residuals)) ** 2)
    light = np.maximum(scattered + wings, 0)
    apart = wings < _WING_ERROR * np.abs(scattered)
    if np.count_nonzero(apart) < _LEAST_PIXELS:
        apart = wings <= np.quantile(wings, 0.2)
    scale = max(light[apart].mean(), np.finfo(float).tiny)
    constant, slope = nnls(
        np.stack([np.ones(apart.sum()), light[apart] / scale], axis=1), clipped[apart]
    )[0]
    variance = constant + slope * light / scale
    # Without any noise, as in a frame of zeros, all pixels weigh alike.
    least = 1e-12 * np.mean((residuals + scattered + wings) ** 2)
    return np.maximum(variance, least or 1.0)


def _scatter(residuals) -> float:
    return 1.4826 * float(np.median(np.abs(residuals)))


def _response_scatter(fit, sigma) -> float:
    """Standard deviation of the pixel response: what pixels scatter beyond their uncertainty."""
    apart = fit.good & np.isfinite(sigma) & (fit.wings < _WING_ERROR * np.abs(fit.scattered))
    if not apart.any():
        return 0.0
    excess = np.sum(fit.residuals[apart] ** 2 - sigma[apart].astype(float) ** 2)
    return float(np.sqrt(max(excess, 0) / np.sum(fit.scattered[apart] ** 2)))


def _without_negatives(surface, error, fit, basis, sample) -> np.ndarray:
    """Scattered light is not negative, unless the pixels themselves are."""
    if not (surface < 0).any():
        return surface
    below = fit.scattered < -_NEGATIVE * error[sample.rows, sample.columns]
    if below.mean() > 0.01:
        warn(
            f"{below.mean():.0%} of the inter-order area is negative by more than its noise, down "
            f"to {fit.scattered.min():.3g}; too much bias or dark may have been subtracted",
        )
        return surface
    cut = surface < -_NEGATIVE * error
    if cut.any():
        warn(
            f"the scattered light was negative, down to {surface.min():.3g}, in {cut.mean():.1%} "
            "of the detector, where it had to be extrapolated; it was set to 0 there",
        )
    return np.maximum(surface, 0)
