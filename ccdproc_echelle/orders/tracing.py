# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Where the orders lie, from a flat alone: order centres found and followed without a guess."""

from itertools import pairwise

import numpy as np
from astropy import units as u
from astropy.nddata import CCDData
from astropy.stats import mad_std
from numpy.polynomial.chebyshev import chebval, chebvander, chebvander2d
from scipy.ndimage import (
    gaussian_filter1d,
    maximum_filter1d,
    median_filter,
    minimum_filter1d,
    uniform_filter1d,
)

from ccdproc_echelle._numeric.medians import column_median
from ccdproc_echelle._numeric.robust import soft_fit, weighted_fit
from ccdproc_echelle._numeric.spread import scatter_about_zero
from ccdproc_echelle.orders.bad_rows import without_bad_rows
from ccdproc_echelle.orders.bundles import check_numbers, grouped
from ccdproc_echelle.orders.fibres import fibre_traces
from ccdproc_echelle.orders.lit import around, in_middle, lit_sections
from ccdproc_echelle.orders.slices import as_raster, bridged, checked_image
from ccdproc_echelle.orders.table import EchelleOrderTable

__all__ = ["trace_orders"]

# Slices over which one flank of an order is followed to measure its slope, and how far from a
# straight line, in pixel RMS, it may be.
_FOLLOWED, _STRAIGHT = 8, 0.4

# Degrees of the smooth functions of (cross-dispersion, dispersion): slope, and its correction.
_SLOPE_DEGREES, _CORRECTION_DEGREES = (3, 3), (3, 4)

# An order stands out from the valleys beside it by this fraction of its height.
_LEAST_PROMINENCE = 0.3

# Of the brightest light; what is less is no structure and no noise.
_ROUNDING = 1e-15

# Orders are looked for in so many sections of the dispersion axis, and then measured in so many.
_N_SECTIONS, _N_MEASURED = 16, 100

# Sections at least in which an order is seen.
_LEAST_SECTIONS = 2

# And the sum of its signal-to-noise ratios there, in units of the least one.
_LEAST_EVIDENCE = 4

# Where an order is too faint to be measured in one section, wider ones are tried.
_WIDENINGS = (1, 3, 9)

# The width of an order is within this factor of what its neighbours suggest.
_WIDTH_TOLERANCE = 1.6

# From the middle of an order to its edge its level changes at most by this fraction.
_STEEPEST = 0.4

# Where an order was not measured its path counts so much of a measurement.
_MODEL_WEIGHT = 0.03


def trace_orders(
    flat: CCDData,
    *,
    dispersion_axis: int | None = None,
    first_order: int = 1,
    degree: int = 4,
    slice_width: int | None = None,
    min_signal_to_noise: float = 6.0,
    n_fibres: int = 1,
    n_slices: int = 1,
) -> EchelleOrderTable:
    """
    Find the orders on a flat and trace their centres.

    No starting guess is needed. The frame is reduced to slices, medians of a few dispersion
    pixels. The flanks of the orders, followed from slice to slice wherever they are clear, give
    the slope of the orders as a smooth function of the place on the detector. Its integral curves
    are the paths that an order takes, or would take: along them the frame is straightened, so that
    an order is a straight band. It is found in the mean of many slices, however faint it is in
    each, and is one order even where it is interrupted. What does not run along such a path - a
    ghost, a hot column - is smeared out. The paths are corrected by the orders found
    and the search is repeated.

    The order centre is the middle between the half-maximum edges, not the centroid of the light:
    neither an uneven slit illumination nor the light of a neighbour moves it. Where one edge
    is off the detector, the width of the neighbouring orders gives the centre.

    Parameters
    ----------
    flat : `~astropy.nddata.CCDData` or array, shape (rows, columns)
        A flat frame, any unit or level. Masked and non-finite pixels are ignored. The uncertainty
        is not needed: the noise is measured between neighbouring slices.
    dispersion_axis : int, optional
        1 when orders run along image rows, 0 when along columns. Default: the axis along which
        the frame changes less.
    first_order : int, optional
        Order number of the lowest order; the others count up from there.
    degree : int, optional
        Degree of the Chebyshev series of each order centre.
    slice_width : int, optional
        Dispersion pixels combined to one slice. Default: a 250th of the dispersion axis, but from
        5 to 15.
    min_signal_to_noise : float, optional
        An order is seen where its light exceeds the background so many times the noise.
    n_fibres : int, optional
        Fibres of an order, each of which is traced. The table then has the columns ``fibre``, 1
        for the lowest, and ``bundle``, the order, which its fibres share; ``order`` numbers the
        traces.
    n_slices : int, optional
        Slices, or fibres, of an order that are one order: its centre is the middle between the
        outermost ones. Give `detect_order_edges` the same number.

    Returns
    -------
    `EchelleOrderTable`
        From the lowest cross-dispersion position up. The valid range of an order is where it was
        followed and its centre is on the detector; ``center_rms`` is the residual of the
        measured centres.

    Raises
    ------
    ValueError
        If a parameter is out of range, the frame is not 2-D or too small, no orders are found, or
        what is found does not lie in bundles of ``n_fibres`` or ``n_slices``.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If a bundle has less traces than the others.

    See Also
    --------
    detect_order_edges

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle import trace_orders
    >>> flat = np.random.default_rng(1).normal(0, 0.1, (60, 200))
    >>> flat[10:21] += 10
    >>> flat[35:46] += 20
    >>> orders = trace_orders(flat)
    >>> orders
    <EchelleOrderTable: 2 orders (1 to 2), shape (60, 200), dispersion_axis 1, no edges>
    >>> print(orders.center([100])[:, 0].round(1))
    [15. 40.]
    """
    _check_options(dispersion_axis, first_order, degree, slice_width, min_signal_to_noise)
    check_numbers(n_fibres, n_slices)
    checked_image(flat, "flat")
    raster = as_raster(flat, 0)
    if min(raster.shape) < 20:
        raise ValueError(f"flat has shape {raster.shape}, expected at least 20 pixels each way")
    if dispersion_axis is None:
        dispersion_axis = _steadier_axis(raster)
    shape = raster.shape
    if dispersion_axis == 1:
        raster = np.ascontiguousarray(raster.T)
    pixels, slices = _slices(raster, slice_width)
    slices = _without_hot_columns(without_bad_rows(slices, pixels[1] - pixels[0]))
    found = _find_orders(pixels, slices, min_signal_to_noise)
    if found is not None:
        traces, residuals = _traces(
            pixels, slices, *found, len(raster), degree, min_signal_to_noise
        )
    if found is None or len(traces) == 0:
        raise ValueError(
            f"no orders found: the flat shows no bands of light along axis {dispersion_axis}"
        )
    if n_fibres > 1:
        traces = fibre_traces(raster, traces, degree)
    traces, residuals, columns = grouped(traces, residuals, n_fibres, n_slices, first_order)
    table = EchelleOrderTable.from_traces(
        first_order + np.arange(len(traces)), traces, shape=shape,
        dispersion_axis=dispersion_axis, degree=degree,
    ).table
    table["center_rms"] = residuals * u.pix
    for name, values in columns.items():
        table[name] = values
    return EchelleOrderTable(table)


def _check_options(dispersion_axis, first_order, degree, slice_width, min_signal_to_noise) -> None:
    if dispersion_axis not in (None, 0, 1):
        raise ValueError(f"dispersion_axis is {dispersion_axis!r}, expected 0, 1 or None")
    for name, value, least in (
        ("first_order", first_order, 1), ("degree", degree, 0), ("slice_width", slice_width, 1)
    ):
        if value is None and name == "slice_width":
            continue
        if not isinstance(value, (int, np.integer)) or value < least:
            raise ValueError(f"{name} is {value!r}, expected an integer of at least {least}")
    if not 0 < min_signal_to_noise < np.inf:
        raise ValueError(f"min_signal_to_noise is {min_signal_to_noise!r}, expected more than 0")


# ---------------------------------------------------------------------- slices
#
# From here on the dispersion is along the first axis and the cross-dispersion along the last.


def _steadier_axis(image: np.ndarray) -> int:
    """The axis along which an image changes less once noise is taken out along it."""
    changes = []
    for raster in (image, image.T):
        _, slices = _slices(raster, None)
        steps = np.abs(np.diff(slices, axis=1))
        steps = steps[np.isfinite(steps)]
        # A few steps are hot columns.
        limit = np.percentile(steps, 98) if len(steps) else 0
        changes.append(np.minimum(steps, limit).mean() if len(steps) else 0)
    return int(np.argmax(changes))


def _slices(raster: np.ndarray, width: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Middle dispersion pixel and median of each slice, (n_slices,) and (n_slices, n_cross)."""
    n_pixels, n_cross = raster.shape
    if width is None:
        width = max(1, min(int(np.clip(n_pixels // 250, 5, 15)), n_pixels // 20))
    n_slices = n_pixels // width
    first = (n_pixels - n_slices * width) // 2
    blocks = raster[first : first + n_slices * width].reshape(n_slices, width, n_cross)
    values = blocks.swapaxes(0, 1).reshape(width, -1)
    good = np.isfinite(values)
    slices = column_median(values, None if good.all() else good).reshape(n_slices, n_cross)
    pixels = first + width * np.arange(n_slices) + 0.5 * (width - 1)
    return pixels, slices


def _without_hot_columns(slices: np.ndarray) -> np.ndarray:
    """NaN where one or two cross-dispersion pixels stick out in slice after slice."""
    filled = np.nan_to_num(bridged(slices))
    usual = median_filter(filled, size=(1, 5), mode="nearest")
    excess = filled - usual
    noise = mad_std(excess)
    contrast = usual - minimum_filter1d(usual, 15, axis=1)
    hot = (excess > 0.5 * contrast + 6 * noise).astype(float)
    reach = max(3, len(slices) // 10)
    often = uniform_filter1d(hot, reach, axis=0, mode="nearest") > 0.5
    return np.where(maximum_filter1d(often, reach, axis=0) & (hot > 0), np.nan, slices)


# ---------------------------------------------------------------------- paths


def _slopes_of_flanks(pixels: np.ndarray, slices: np.ndarray) -> np.ndarray:
    """Samples (position, pixel, slope) of the clear flanks of orders, shape (3, n_samples)."""
    gradient = gaussian_filter1d(np.nan_to_num(bridged(slices)), 1.0, axis=1, order=1)
    gradient[np.isnan(slices)] = 0
    window = max(40, slices.shape[1] // 8)
    strong = 0.25 * maximum_filter1d(np.abs(gradient), window, axis=1)
    samples = []
    for flank in (gradient, -gradient):
        peaks = [_maxima(row, least) for row, least in zip(flank, strong, strict=True)]
        samples += _slopes_of_tracks(pixels, peaks)
    return np.concatenate(samples, axis=1) if samples else np.empty((3, 0))


def _maxima(row: np.ndarray, least: np.ndarray) -> np.ndarray:
    """Positions of the maxima of a profile that exceed a limit, from the parabola at the top."""
    left, here, right = row[:-2], row[1:-1], row[2:]
    top = np.flatnonzero((here > left) & (here >= right) & (here > least[1:-1]))
    left, here, right = left[top], here[top], right[top]
    return top + 1 + 0.5 * (right - left) / (2 * here - left - right)


def _slopes_of_tracks(pixels: np.ndarray, peaks: list[np.ndarray]) -> list[np.ndarray]:
    """The slope of each flank that is followed straight through some slices."""
    samples = []
    n = min(_FOLLOWED, len(peaks))
    for k in range(0, len(peaks) - n + 1, max(1, n // 2)):
        track = [peaks[k]]
        for following in peaks[k + 1 : k + n]:
            track.append(_nearest(track[-1], following))
        track = np.array(track)
        x = pixels[k : k + n] - pixels[k : k + n].mean()
        slope = x @ track / (x @ x)
        off = track - track.mean(axis=0) - x[:, None] * slope
        straight = np.sqrt(np.mean(off**2, axis=0)) < _STRAIGHT
        middle = np.full(track.shape[1], pixels[k : k + n].mean())
        samples.append(np.stack([track.mean(axis=0), middle, slope])[:, straight])
    return samples


def _nearest(places: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """The candidate nearest to each place; NaN where there is none."""
    if len(candidates) == 0:
        return np.full(len(places), np.nan)
    at = np.clip(np.searchsorted(candidates, places), 1, max(len(candidates) - 1, 1))
    above = candidates[np.minimum(at, len(candidates) - 1)]
    below = candidates[at - 1]
    return np.where(places - below < above - places, below, above)


def _unit(values: np.ndarray, size: float) -> np.ndarray:
    """From 0 ... size - 1 to -1 ... 1."""
    return 2 * values / (size - 1) - 1


def _paths(pixels: np.ndarray, slices: np.ndarray):
    """
    Cross-dispersion position of the paths at each slice, (n_slices, n_paths), or None.

    Adjacent paths are a pixel apart at the middle slice; the first and last ones are off the
    detector there. The label of a path is its index; it may be a fraction.
    """
    position, pixel, slope = _slopes_of_flanks(pixels, slices)
    n_cross, length = slices.shape[1], pixels[-1] + pixels[0] + 1
    if len(slope) == 0:
        return None
    degrees = _SLOPE_DEGREES if len(slope) > 200 else (1, 2) if len(slope) >= 10 else (0, 0)
    basis = chebvander2d(_unit(position, n_cross), _unit(pixel, length), degrees)
    coefficients = soft_fit(basis, slope, least_scatter=1e-4)

    def slopes(positions, pixel):
        inside = _unit(np.clip(positions, 0, n_cross - 1), n_cross)
        return chebval(inside, grid @ chebvander(_unit(pixel, length), degrees[1])[0])

    grid = coefficients.reshape(degrees[0] + 1, -1)
    borders = _integrated(slopes, pixels, np.array([0.0, n_cross - 1.0])) - [0, n_cross - 1]
    reach = min(int(np.abs(borders).max()) + 10, 2 * n_cross)
    labels = np.arange(-reach, n_cross + reach, dtype=float)
    return _refined(_integrated(slopes, pixels, labels[_coarse(len(labels))]), len(labels))


def _integrated(slopes, pixels: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Integral curves of the slopes from the middle slice on, by the midpoint method."""
    paths = np.empty((len(pixels), len(labels)))
    middle = len(pixels) // 2
    paths[middle] = labels
    for step in (1, -1):
        last = len(pixels) - 1 if step == 1 else 0
        for k in range(middle, last, step):
            dx = pixels[k + step] - pixels[k]
            half = paths[k] + 0.5 * dx * slopes(paths[k], pixels[k])
            paths[k + step] = paths[k] + dx * slopes(half, pixels[k] + 0.5 * dx)
    return paths


def _coarse(n_paths: int) -> np.ndarray:
    """The paths that are enough to interpolate all of them."""
    return np.unique(np.append(np.arange(0, n_paths, 8), n_paths - 1))


def _refined(coarse: np.ndarray, n_paths: int) -> np.ndarray:
    """All paths, linear between the coarse ones."""
    paths, index = np.arange(n_paths), _coarse(n_paths)
    return np.array([np.interp(paths, index, row) for row in coarse])


def _straightened(slices: np.ndarray, paths: np.ndarray) -> np.ndarray:
    """The slices along the paths, linear between pixels, NaN off the detector."""
    n_cross = slices.shape[1]
    whole = np.floor(paths).astype(int)
    fraction = paths - whole
    outside = (whole < 0) | (whole >= n_cross - 1)
    whole[outside] = 0
    here = np.take_along_axis(slices, whole, axis=1)
    above = np.take_along_axis(slices, whole + 1, axis=1)
    return np.where(outside, np.nan, here + fraction * (above - here))


def _sections(straight: np.ndarray, n: int, widening: int = 1):
    """
    Mean of the slices of each section and its noise, (n_sections, n_paths), and where they start.

    The noise is that between neighbouring slices. Paths that are off the detector, or masked, in
    half of a section are NaN.
    """
    starts = _section_starts(len(straight), n)
    good = np.isfinite(straight)
    total = _sums(np.where(good, straight, 0), starts, widening)
    count = _sums(good.astype(float), starts, widening)
    steps = np.diff(straight, axis=0, append=straight[-2:-1]) ** 2 / 2
    known = np.isfinite(steps)
    scatter = _sums(np.where(known, steps, 0), starts, widening)
    n_steps = _sums(known.astype(float), starts, widening)
    scatter, n_steps = (uniform_filter1d(a, 9, axis=1) for a in (scatter, n_steps))
    variance = np.maximum(scatter, 0) / np.maximum(n_steps, 1e-3)
    mean = total / np.maximum(count, 1)
    mean[count <= 0.5 * count.max(axis=1, keepdims=True)] = np.nan
    return mean, np.sqrt(variance / np.maximum(count, 1)), starts


def _section_starts(n_slices: int, n: int) -> np.ndarray:
    return np.linspace(0, n_slices, min(n, n_slices) + 1).astype(int)


def _sums(values: np.ndarray, starts: np.ndarray, widening: int) -> np.ndarray:
    """Sums of the rows of each section, each section widened to both sides."""
    sums = np.add.reduceat(values, starts[:-1], axis=0)
    if widening == 1:
        return sums
    running = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(sums, axis=0)])
    extra = (widening - 1) // 2
    index = np.arange(len(sums))
    return (running[np.minimum(index + 1 + extra, len(sums))]
            - running[np.maximum(index - extra, 0)])


# ---------------------------------------------------------------------- orders
#
# An order is seen in a section as an interval between half-maximum edges. All positions are labels
# of paths. ``cut`` says that an interval ends, below or above, where the detector does.


def _find_orders(pixels, slices, min_signal_to_noise):
    """Paths, orders, and window for the background; None where there are no orders."""
    paths = _paths(pixels, slices)
    if paths is None:
        return None
    window = max(80, slices.shape[1] // 8)
    for _ in range(3):
        straight = _straightened(slices, paths)
        mean, noise, starts = _sections(straight, _N_SECTIONS)
        seen = _intervals(mean, noise, window, min_signal_to_noise)
        orders = _grouped(*seen, min_signal_to_noise)
        if len(orders) == 0:
            return None
        middles = 0.5 * (pixels[starts[:-1]] + pixels[starts[1:] - 1])
        paths = _corrected(paths, pixels, orders, middles)
        centers = np.array([order["label"] for order in orders])
        if len(orders) > 1:
            window = int(2.5 * np.median(np.diff(centers))) + 3
    return paths, orders, window


def _background(profiles: np.ndarray, window: int) -> np.ndarray:
    """Lower envelope of profiles; NaN where they are."""
    smooth = uniform_filter1d(np.nan_to_num(bridged(profiles)), 3, axis=1)
    smooth = np.where(np.isfinite(profiles), smooth, np.inf)
    lowest = minimum_filter1d(smooth, window, axis=1, mode="nearest")
    finite = np.isfinite(lowest)
    weight = uniform_filter1d(finite.astype(float), window, axis=1)
    level = uniform_filter1d(np.where(finite, lowest, 0), window, axis=1)
    return np.where(np.isfinite(profiles), level / np.maximum(weight, 1e-9), np.nan)


def _intervals(profiles, noise, window, min_signal_to_noise):
    """Section, centre, width, cut and signal-to-noise of each interval, arrays (n_intervals,)."""
    light = profiles - _background(profiles, window)
    seen = [
        _intervals_of_profile(k, *row, min_signal_to_noise)
        for k, row in enumerate(zip(light, noise, strict=True))
    ]
    return tuple(np.concatenate(parts) for parts in zip(*seen, strict=True))


def _intervals_of_profile(section, light, noise, min_signal_to_noise):
    from scipy.signal import find_peaks  # half a second, which all but the tracing can do without

    finite = np.isfinite(light)
    filled = np.where(finite, light, 0.0)
    smooth = np.where(finite, uniform_filter1d(filled, 3), 0.0)
    rounding = _ROUNDING * np.abs(smooth).max(initial=0) or 1.0
    peaks, found = find_peaks(smooth, prominence=rounding)
    prominence = found["prominences"]
    clear = (prominence > min_signal_to_noise * noise[peaks] / np.sqrt(2)) & (
        prominence > _LEAST_PROMINENCE * smooth[peaks]
    )
    peaks = peaks[clear]
    valleys = [a + int(np.argmin(smooth[a:b])) for a, b in pairwise(peaks)]
    limits = [0, *valleys, len(light) - 1]
    strength = prominence[clear] / np.maximum(noise[peaks], rounding)
    centers, widths, cuts = [], [], []
    for k, peak in enumerate(peaks):
        level = 0.5 * smooth[peak]
        lower, low_cut = _fall(filled, finite, peak, limits[k], level)
        upper, high_cut = _fall(filled, finite, peak, limits[k + 1], level)
        centers.append(0.5 * (lower + upper))
        widths.append(upper - lower)
        cuts.append(low_cut + 2 * high_cut)
    number, widths = np.full(len(centers), section), np.array(widths)
    seen = number, np.array(centers), widths, np.array(cuts, dtype=int), strength
    # Between two bands a pixel or two apart the smoothed profile has a peak that the light has not.
    return tuple(part[widths > 0] for part in seen)


def _fall(light, finite, peak, limit, level) -> tuple[float, bool]:
    """Where the light falls to a level on the way from the peak, and whether it ends before."""
    step = 1 if limit > peak else -1
    way = np.arange(peak, limit + step, step)
    below = np.flatnonzero(light[way] <= level)
    last = below[0] if len(below) else len(way) - 1
    if not finite[way[: last + 1]].all():
        return float(way[np.argmin(finite[way])] - 0.5 * step), True
    if len(below) == 0 or last == 0:
        return float(way[last]), False
    before, after = light[way[last - 1]], light[way[last]]
    return way[last - 1] + step * (before - level) / (before - after), False


def _grouped(section, center, width, cut, strength, min_signal_to_noise) -> list[dict]:
    """
    The orders: intervals of different sections on the same path.

    Those that are cut, or of another width than the others nearby, have no say in where.
    """
    whole = cut == 0
    if not whole.any():
        return []
    expected = _expected_widths(center[whole], width[whole], center)
    fit = whole & (np.abs(np.log(np.maximum(width, 0.1) / expected)) < np.log(_WIDTH_TOLERANCE))
    middle = np.where(cut == 1, center + 0.5 * (width - expected),
                      np.where(cut == 2, center - 0.5 * (width - expected), center))
    usable = fit | (((cut == 1) | (cut == 2)) & (width > 0.25 * expected))
    rank = np.flatnonzero(usable)[np.argsort(middle[usable])]
    ends = np.flatnonzero(np.diff(middle[rank]) > 0.4 * expected[rank][1:]) + 1
    orders = []
    for members in np.split(rank, ends):
        enough = strength[members].sum() > _LEAST_EVIDENCE * min_signal_to_noise
        if enough and len(np.unique(section[members])) >= _LEAST_SECTIONS:
            best = members[fit[members]] if fit[members].any() else members
            orders.append({
                "label": np.median(middle[best]), "width": np.median(expected[best]),
                "sections": section[best], "centers": middle[best],
                "seen": np.unique(section[members]),
            })
    return orders


def _expected_widths(places: np.ndarray, widths: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Width of an order at a place: a smooth function, fitted robustly to those measured."""
    low, high = places.min(), places.max()
    degree = 1 if high - low > 5 * np.median(widths) else 0
    scaled = [2 * (np.clip(x, low, high) - low) / max(high - low, 1) - 1 for x in (places, where)]
    logs = np.log(np.maximum(widths, 0.1))
    # Of narrow bands beside the orders there may be more than of orders; they hold less light.
    rank = np.argsort(widths)
    start = logs[rank][np.searchsorted(np.cumsum(widths[rank]), 0.5 * widths.sum())]
    coefficients = soft_fit(
        chebvander(scaled[0], degree), logs - start, weights=widths, least_scatter=0.05
    )
    return np.exp(start + chebvander(scaled[1], degree) @ coefficients)


def _corrected(paths, pixels, orders, middles):
    """The paths moved to where the orders were seen."""
    place = np.concatenate([np.full(len(o["centers"]), o["label"]) for o in orders])
    pixel = np.concatenate([middles[o["sections"]] for o in orders])
    off = np.concatenate([o["centers"] - o["label"] for o in orders])
    labels = np.arange(paths.shape[1], dtype=float)
    length, low, high = pixels[-1] + pixels[0] + 1, place.min(), place.max()
    degrees = (min(_CORRECTION_DEGREES[0], len(orders) // 3), _CORRECTION_DEGREES[1])
    if len(off) < 3 * (degrees[0] + 1) * (degrees[1] + 1):
        degrees = (0, 2)

    def basis(place, pixel):
        inside = 2 * (np.clip(place, low, high) - low) / max(high - low, 1) - 1
        return chebvander2d(inside, _unit(pixel, length), degrees)

    coefficients = soft_fit(basis(place, pixel), off, least_scatter=1e-3)
    index = _coarse(paths.shape[1])
    shifted = np.empty((len(pixels), len(index)))
    for k, pixel in enumerate(pixels):
        moved = index + basis(index, np.full(len(index), pixel)) @ coefficients
        shifted[k] = _interpolated(paths[k], labels, moved)
    return _refined(shifted, len(labels))


def _interpolated(values: np.ndarray, labels: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Values at other labels; beyond the ends by the step that the labels are off there."""
    return np.interp(at, labels, values) + at - np.clip(at, labels[0], labels[-1])


# ---------------------------------------------------------------------- centres


def _traces(pixels, slices, paths, orders, window, n_pixels, degree, min_signal_to_noise):
    """Order centre at every dispersion pixel, (n_orders, n_pixels), and residual of each order."""
    straight = _straightened(slices, paths)
    starts = _section_starts(len(straight), _N_MEASURED)
    lower, upper = _measured_edges(straight, orders, window, min_signal_to_noise)
    labels = np.array([order["label"] for order in orders])
    middles = np.add.reduceat(pixels, starts[:-1]) / np.diff(starts)
    widths = _smooth_widths(labels, middles, upper - lower, n_pixels, orders)
    centers = 0.5 * (lower + upper)
    centers = np.where(np.isnan(lower), upper - 0.5 * widths, centers)
    centers = np.where(np.isnan(upper), lower + 0.5 * widths, centers)
    section_paths = np.add.reduceat(paths, starts[:-1], axis=0) / np.diff(starts)[:, None]
    traces, residuals = [], []
    for label, offsets, width in zip(labels, centers, widths, strict=True):
        known = np.isfinite(offsets)
        if known.sum() < 3:
            continue
        at = label + np.where(known, offsets, np.median(offsets[known]))
        places = np.array([
            np.interp(x, np.arange(len(path)), path)
            for x, path in zip(at, section_paths, strict=True)
        ])
        trace, rms = _fitted(middles, places, known, n_pixels, degree)
        inside = _followed(middles, known, trace, np.median(width) / 2, slices.shape[1])
        if inside.sum() > degree:
            traces.append(np.where(inside, trace, np.nan))
            residuals.append(rms)
    return np.array(traces), np.array(residuals)


def _measured_edges(straight, orders, window, min_signal_to_noise):
    """
    Half-maximum edges relative to the label of each order in each section, (n_orders, n_sections).

    NaN where the order is too faint or the edge is not on the detector.
    """
    edges = None
    mean, noise, _ = _sections(straight, _N_MEASURED)
    lit = np.array([
        lit_sections(mean, noise, order["label"], order["width"] / 2) for order in orders
    ])
    for widening in _WIDENINGS:
        mean, noise, _ = _sections(straight, _N_MEASURED, widening)
        light = mean - _background(mean, window)
        found = [
            _edges_of_order(light, noise, order["label"], order["width"] / 2, min_signal_to_noise)
            for order in orders
        ]
        found = np.array(found).swapaxes(0, 1)
        if edges is None:
            edges = found
        missing = np.isnan(edges).all(axis=0)
        edges[:, missing] = found[:, missing]
    edges[:, ~lit] = np.nan
    return edges


def _edges_of_order(light, noise, label, half, min_signal_to_noise) -> np.ndarray:
    """Both edges of one order relative to its label, (2, n_sections)."""
    light, noise, away = around(light, noise, label, half)
    level, slope, sigma = _plateau(light, noise, away, half)
    level[~(level > 0.5 * min_signal_to_noise * sigma)] = np.nan
    edges = []
    for side in (-1, 1):
        outward = np.flatnonzero(side * away > 0.4 * half - 0.5)[::side]
        at_edge = level * (1 + side * slope * half)
        edges.append(side * _first_fall(light[:, outward] / at_edge[:, None], side * away[outward]))
    edges = np.array(edges)
    width = edges[1] - edges[0]
    strange = (width < 2 * half / _WIDTH_TOLERANCE) | (width > 2 * half * _WIDTH_TOLERANCE)
    edges[:, strange] = np.nan
    return edges


def _plateau(light, noise, away, half):
    """
    Level in the middle of an order in each section, and the noise of one sample there.

    Between them the slope, as a fraction of the level per pixel: that of the slit illumination,
    one for the whole order.
    """
    middle = in_middle(away, half)
    light, noise, away = light[:, middle], noise[:, middle], away[middle]
    seen = np.isfinite(light)
    count = np.maximum(seen.sum(axis=1), 1)
    sigma = np.sqrt(np.where(seen, noise**2, 0).sum(axis=1) / count)
    mean = np.where(seen, light, 0).sum(axis=1) / count
    slope = 0.0
    whole = seen.all(axis=1) & (mean > 3 * sigma)
    if whole.any():
        slope = np.median((light[whole] @ away) / (away @ away) / mean[whole])
        slope = np.clip(slope, -_STEEPEST / half, _STEEPEST / half)
    place = (seen * away).sum(axis=1) / count
    mean[seen.sum(axis=1) < 0.3 * len(away)] = np.nan
    return mean / (1 + slope * place), slope, sigma


def _first_fall(relative: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Distance at which profiles first fall through one half; NaN where they do not."""
    below = relative <= 0.5
    last = np.clip(below.argmax(axis=1), 1, relative.shape[1] - 1)[:, None]
    before, after = (np.take_along_axis(relative, last - k, axis=1)[:, 0] for k in (1, 0))
    unbroken = np.cumsum(np.isnan(relative), axis=1)
    fallen = below.any(axis=1) & (np.take_along_axis(unbroken, last, axis=1)[:, 0] == 0)
    fallen &= before > after
    drop = np.where(fallen, before - after, 1)
    at = distance[last[:, 0] - 1] + (before - 0.5) / drop * (distance[1] - distance[0])
    return np.where(fallen, at, np.nan)


def _smooth_widths(labels, pixels, widths, n_pixels, orders):
    """Width of each order in each section: a smooth function of both."""
    known = np.isfinite(widths)
    expected = np.array([order["width"] for order in orders])[:, None] + np.zeros(len(pixels))
    if known.sum() < 30:
        return expected
    low, high = labels[known.any(axis=1)].min(), labels[known.any(axis=1)].max()
    place = 2 * (np.clip(labels, low, high) - low) / max(high - low, 1) - 1
    degrees = (min(2, (known.sum(axis=1) > 5).sum() // 3), 2)
    place, pixel = np.broadcast_arrays(place[:, None], _unit(pixels, n_pixels))
    basis = chebvander2d(place, pixel, degrees)
    return basis @ soft_fit(basis[known], widths[known], least_scatter=0.01)


def _fitted(middles, places, known, n_pixels, degree) -> tuple[np.ndarray, float]:
    """Polynomial through the measured centres, held by the path where there are none."""
    basis = chebvander(_unit(middles, n_pixels), degree)
    weights = np.where(known, 1.0, _MODEL_WEIGHT)
    for _ in range(10):
        coefficients = weighted_fit(basis, places, weights)
        off = np.abs(places - basis @ coefficients)
        scatter = max(scatter_about_zero(off[known]), 1e-3)
        weights = np.where(known, (off < 5 * scatter) / (1 + (off / (3 * scatter)) ** 2),
                           _MODEL_WEIGHT)
    used = known & (off < 5 * scatter)
    trace = chebvander(_unit(np.arange(n_pixels), n_pixels), degree) @ coefficients
    return trace, np.sqrt(np.mean(off[used] ** 2))


def _followed(middles, known, trace, half, n_cross) -> np.ndarray:
    """Where an order was followed: between its outermost measured sections, and to the border."""
    every = np.arange(len(trace))
    step = np.diff(middles).mean()
    first, last = middles[known][[0, -1]]
    # The ends of the detector are less than a section away from the last one.
    low = 0 if first - middles[0] < 2.5 * step else first - 0.5 * step
    high = len(trace) - 1 if middles[-1] - last < 2.5 * step else last + 0.5 * step
    inside = (every >= low) & (every <= high)
    border = (trace < half + 2) | (trace > n_cross - 3 - half)
    first, last = np.flatnonzero(inside)[[0, -1]]
    inside[:first] = np.logical_and.accumulate(border[:first][::-1])[::-1]
    inside[last + 1 :] = np.logical_and.accumulate(border[last + 1 :])
    return inside & (trace >= -0.5) & (trace <= n_cross - 0.5)
