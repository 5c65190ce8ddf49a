# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Fits of the profiles of orders with models in which the shift is a parameter.

Each fit is weighted by its own residuals, with a floor, so that bright orders count more than noisy
ones without dominating.
"""

import numpy as np

from ccdproc_echelle._numeric.gaussians import blurred_step, gaussian
from ccdproc_echelle._numeric.medians import finite_median
from ccdproc_echelle._numeric.spread import scatter_about_zero
from ccdproc_echelle.orders.coarse_shift import dark_places
from ccdproc_echelle.orders.fibres import are_fibres, fit_fibres
from ccdproc_echelle.orders.profile_slices import (
    REACH,
    ProfileSlices,
    medians_of,
    profile_noise,
    profiles_at,
    samples_at,
    with_neighbours,
)
from ccdproc_echelle.orders.slicers import band_offsets, number_of_bands, order_profiles

__all__ = ["TOLERATED_SHIFT", "equivalent_widths", "fine_shift", "shift_from_reference"]

#: Order centres that are off by more than this, in pixels, are moved.
TOLERATED_SHIFT = 1.0

# Initial standard deviation, in pixels, of the blur of the order edges.
_FIRST_BLUR = 0.9

# A fit has converged when a step is smaller than this, in pixels.
_TOLERANCE = 1e-3

_MAX_ITERATIONS = 30

# Systematic error, in pixels, of the fits to simulated spectrographs: a resampled order is not
# exactly a box blurred by a Gaussian.
_MODEL_ERROR = 4e-3

# Images with a standard deviation below this, in pixels, are fitted as Gaussians where boxes do not
# fit.
_NARROW = 1.5

# Likewise for the middles between bands, which are not fitted.
_BAND_ERROR = 0.05

# If the bands of an order differ in brightness, the coarse shift is off, by less than this fraction
# of their spacing.
_OFF_CENTRE = 0.8

# Fits that deviate from the others by more than this many standard deviations are outliers.
_SIGMA_CLIP = 5.0

_NO_ORDERS = (
    "the order table does not belong to this frame: the profiles at its order centres do not "
    "look like orders, and no shift could be fitted to them"
)


def fine_shift(raster, slices, shift) -> tuple[float, float]:
    """Shift of the light, starting from a good guess, and its uncertainty."""
    samples = samples_at(raster, slices, shift)
    profiles, slice_noise = medians_of(samples), profile_noise(samples)
    profiles[dark_places(profiles, slices, slice_noise)] = np.nan
    noise = np.broadcast_to(slice_noise[..., None], profiles.shape)
    found = _middles_of_bands(profiles, slices) or _fit_fibres(profiles, noise, slices)
    if not found:
        try:
            return _fit_boxes(raster, slices, slice_noise, shift)
        except ValueError:  # orders two pixels wide hardly resemble boxes
            found = _fit_fibres(profiles, noise, slices, narrow=True)
            if not found:
                raise
    return shift + found[0], np.hypot(found[1], _MODEL_ERROR)


def _middles_of_bands(profiles, slices) -> tuple[float, float] | None:
    """Shift of the middles of orders that consist of several bands; None for single bands."""
    profiles = order_profiles(profiles)
    spacing = finite_median(slices.spacing)
    middle, extent = (finite_median(part[:, 1]) for part in slices.boxes)
    half = np.where(np.isfinite(extent), (extent + spacing) / 2, spacing) / 2
    limits = np.stack([middle - half, middle + half])
    known = np.isfinite(profiles).any(axis=1) & np.isfinite(limits).all(axis=0)
    if not known.any():
        return None
    number = number_of_bands(profiles[known], limits[:, known], off_centre=_OFF_CENTRE)
    if number == 1:
        return None
    offsets = band_offsets(profiles[known], limits[:, known], number)
    shifts = 0.5 * (offsets[:, 0] + offsets[:, -1]) - middle[known]
    return _common(shifts[:, None], np.full((len(shifts), 1), _BAND_ERROR))


def _fit_fibres(profiles, noise, slices, *, narrow=False) -> tuple[float, float] | None:
    """
    Shift of the light from Gaussians and its uncertainty; None if the orders are not fibres.

    With ``narrow``, orders too narrow to be distinguished from fibres are treated as fibres.
    """
    origin = slices.center[..., slices.center.shape[2] // 2]
    shown = origin[..., None] + slices.offsets, profiles, noise, finite_median(slices.spacing) / 4
    if not narrow and not are_fibres(*shown):
        return None
    fibres = fit_fibres(*shown)
    if narrow and not np.nanmedian(np.append(fibres.sigma, np.inf)) < _NARROW:
        return None
    off, uncertainty = _common(
        fibres.center - origin - slices.boxes[0, :, 1], fibres.center_error
    )
    return None if narrow and abs(off) > TOLERATED_SHIFT else (off, uncertainty)


def _fit_boxes(raster, slices, noise, shift) -> tuple[float, float]:
    """Shift of the light from boxes, starting from a good guess, and its uncertainty."""
    profiles = profiles_at(raster, slices, shift)
    profiles[dark_places(profiles, slices, noise)] = np.nan
    use = _fit_window(profiles, slices)
    middle, extent = slices.boxes
    free_width = not np.isfinite(extent).any()
    if free_width:
        extent = equivalent_widths(profiles, slices)
    blur, start = _FIRST_BLUR, shift
    for _ in range(_MAX_ITERATIONS):
        design = _box_design(slices.offsets, middle + (shift - start), extent, blur, profiles, use)
        values, errors = _least_squares(design, profiles, use)
        step, uncertainty = _common(values[..., -3], errors[..., -3])
        shift += step
        if abs(step) < _TOLERANCE:
            brightness = values[..., 3]
            if not np.nanmedian(brightness) > 0:
                break
            return shift, np.hypot(uncertainty, _MODEL_ERROR)
        if free_width:
            wider = with_neighbours(np.clip(values[..., -2], -1, 1))
            extent = np.maximum(extent + np.nan_to_num(wider), 1)
        blur = np.clip(blur + np.nanmedian(np.clip(values[..., -1], -0.5, 0.5)), 0.3, 5)
    raise ValueError(_NO_ORDERS)


def shift_from_reference(raster, reference, slices, origin, shift) -> tuple[float, float]:
    """Shift of one frame against another, starting from a good guess, and its uncertainty."""
    template = profiles_at(reference, slices, origin)
    slope = np.gradient(template, axis=-1)
    offsets = np.broadcast_to(slices.offsets, template.shape)
    design = np.stack([np.ones_like(template), offsets, template, -slope], axis=-1)
    for _ in range(_MAX_ITERATIONS):
        # The frame is resampled afresh, so that it is interpolated once, like the reference.
        profiles = profiles_at(raster, slices, origin + shift)
        use = _fit_window(profiles + slope, slices)
        values, errors = _least_squares(design, profiles, use)
        brightness = np.where(values[..., 2] > 0, values[..., 2], np.nan)
        step, uncertainty = _common(values[..., 3] / brightness, errors[..., 3] / brightness)
        shift += step
        if abs(step) < _TOLERANCE:
            return shift, uncertainty
    raise ValueError(_NO_ORDERS)


def _fit_window(profiles: np.ndarray, slices: ProfileSlices) -> np.ndarray:
    """Which samples of a profile are fitted; none where an order is cut."""
    within = np.abs(slices.offsets) <= REACH * slices.spacing[..., None]
    core = np.abs(slices.offsets) <= 0.5 * slices.spacing[..., None]
    complete = (np.isfinite(profiles) | ~core).all(axis=-1, keepdims=True)
    return within & np.isfinite(profiles) & complete


def equivalent_widths(profiles: np.ndarray, slices: ProfileSlices) -> np.ndarray:
    """Width of a box of the same height and area, (n_orders, 3, n_slices), one for each order."""
    core = np.abs(slices.offsets) <= 0.5 * slices.spacing[..., None]
    light = np.where(core, profiles, np.nan)
    usable = (np.isfinite(light) | ~core).all(axis=-1) & core.any(axis=-1)
    light = np.where(core & usable[..., None], profiles, 0)
    low = np.where(core, light, np.inf).min(axis=-1, keepdims=True, initial=np.inf)
    high = np.where(core, light, -np.inf).max(axis=-1, keepdims=True, initial=-np.inf)
    with np.errstate(invalid="ignore", divide="ignore"):
        widths = (np.where(core, light - low, 0) / (high - low)).sum(axis=-1)
    widths[~usable] = np.nan
    typical = finite_median(widths)
    typical = np.where(np.isfinite(typical), typical, finite_median(typical[None]))
    return with_neighbours(np.broadcast_to(typical[:, None], widths.shape))


def _box_design(offsets, middle, extent, blur, profiles, use) -> np.ndarray:
    """
    Model of the profiles: background, slope and three boxes, and the derivatives by their common
    tilt, shift, width and blur; shape (n_orders, n_slices, n_offsets, 9).
    """
    away = offsets - np.moveaxis(middle, 1, -1)[..., None]  # n_orders, n_slices, 3, n_offsets
    half = 0.5 * np.moveaxis(extent, 1, -1)[..., None]
    lower, upper = (away + half) / blur, (away - half) / blur
    boxes = blurred_step(lower) - blurred_step(upper)
    bells = [gaussian(lower) / blur, gaussian(upper) / blur]
    derivatives = [
        boxes * away / half, bells[1] - bells[0], 0.5 * (bells[0] + bells[1]),
        upper * bells[1] - lower * bells[0],
    ]
    boxes, *derivatives = (np.nan_to_num(a) for a in (boxes, *derivatives))
    constant = np.ones_like(boxes[:, :, 0])
    design = np.stack(
        [constant, constant * offsets / offsets[-1], *np.moveaxis(boxes, 2, 0)], axis=-1
    )
    light = _least_squares(design, profiles, use)[0][..., -3:]
    light = np.where(np.isfinite(light), light, 0)
    moved = [np.einsum("osk,oskn->osn", light, d) for d in derivatives]
    return np.concatenate([design, np.stack(moved, axis=-1)], axis=-1)


def _least_squares(design, profiles, use) -> tuple[np.ndarray, np.ndarray]:
    """Parameters of each profile and their standard deviations from the residuals, or NaN."""
    design = np.where(use[..., None], design, 0)
    data = np.where(use, profiles, 0)
    scale = np.sqrt((design**2).sum(axis=-2))
    usable = use.sum(axis=-1) > design.shape[-1]
    # A missing neighbour has an empty column: any value will do and has no effect.
    scale = np.where(scale > 0, scale, 1)
    design = design / scale[..., None, :]
    normal = np.swapaxes(design, -1, -2) @ design
    inverse = np.linalg.pinv(normal, rcond=1e-9, hermitian=True)
    values = (inverse @ (np.swapaxes(design, -1, -2) @ data[..., None]))[..., 0]
    residual = data - (design @ values[..., None])[..., 0]
    freedom = np.maximum(use.sum(axis=-1) - design.shape[-1], 1)
    variance = (residual**2).sum(axis=-1) / freedom
    errors = np.sqrt(variance[..., None] * np.diagonal(inverse, axis1=-2, axis2=-1))
    values, errors = values / scale, errors / scale
    return tuple(np.where(usable[..., None], a, np.nan) for a in (values, errors))


def _common(shifts: np.ndarray, errors: np.ndarray) -> tuple[float, float]:
    """Mean shift of all orders and slices without outliers, and its uncertainty."""
    good = np.isfinite(shifts) & np.isfinite(errors)
    if not good.any():
        raise ValueError("no order could be fitted: all are cut by the border or masked")
    center = np.median(shifts[good])
    spread = scatter_about_zero(shifts[good] - center) + 1e-9
    good &= np.abs(shifts - center) <= _SIGMA_CLIP * np.hypot(spread, np.nan_to_num(errors))
    weights = np.where(good, 1 / (np.nan_to_num(errors) ** 2 + spread**2), 0)
    shifts = np.where(good, shifts, 0)
    mean = (weights * shifts).sum() / weights.sum()
    if np.count_nonzero(good.any(axis=1)) == 1:  # no other order to compare it with
        return mean, weights.sum() ** -0.5
    # The slices of an order share its errors; the orders are the independent measurements.
    per_order = (weights * (shifts - mean)).sum(axis=1)
    return mean, np.sqrt((per_order**2).sum()) / weights.sum()
