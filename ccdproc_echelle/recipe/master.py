# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The whole recipe: raw flats in, master flat out."""

import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from astropy import units as u
from astropy.nddata import CCDData
from astropy.table import QTable, vstack

from ccdproc_echelle._warnings import warn
from ccdproc_echelle.combining import (
    CombineSettings,
    combine_frames,
    combine_with_levels,
    with_common_errors,
)
from ccdproc_echelle.frames import (
    Frame,
    MemoryFrame,
    check_alike,
    list_frames,
    open_frames,
    uncertainty_array,
    variance_array,
)
from ccdproc_echelle.light import (
    UNUSABLE,
    FlatFlag,
    SurfaceError,
    find_bad_response,
    has_interorder_pixels,
    less_scattered_light,
    subtract_scattered_light,
)
from ccdproc_echelle.orders import (
    EchelleOrderTable,
    WrongOrderTableError,
    checked_orders,
    detect_order_edges,
    mask_interorder,
    measure_shift,
    poorly_measured,
    trace_orders,
)
from ccdproc_echelle.recipe.calibration import Detrended, detrend, observation_time
from ccdproc_echelle.recipe.product import MasterFlat
from ccdproc_echelle.recipe.quality import checked_limits, flat_quality, quality_cards
from ccdproc_echelle.recipe.vetting import accepted_frames, vet_frames, vet_setup

__all__ = ["make_master_flat"]

_log = logging.getLogger(__name__)

# Order centres further off than this, in pixel, are put in place.
_TOLERATED_SHIFT = 1.0


def make_master_flat(
    img_list: Any,
    orders: EchelleOrderTable | None = None,
    *,
    bias: Any = None,
    dark: Any = None,
    gain: float | u.Quantity | None = None,
    read_noise: float | u.Quantity | None = None,
    saturation: float | u.Quantity | None = None,
    scattered_light: str | None = "frames",
    per_order: bool | str = False,
    reject: str = "warn",
    limits: Mapping[str, Any] | str | os.PathLike | None = None,
    window: float = 10,
    n_passes: int = 2,
    edge_keywords: Mapping[str, Any] | None = None,
    sensitivity_keywords: Mapping[str, Any] | None = None,
    mask_flags: FlatFlag = UNUSABLE,
    progress_bar: bool = False,
    sigma_clip: bool = True,
    sigma_clip_low_thresh: float = 5,
    sigma_clip_high_thresh: float = 5,
    **keywords: Any,
) -> MasterFlat:
    """
    Make a master flat from raw flats: the SOXS recipe from start to end.

    Frames that do not belong to the set are found, bias and dark subtracted, the orders traced if
    they are not given, the scattered light subtracted, the flats combined in two passes, the order
    edges found, dead, hot and low-sensitivity pixels flagged, the inter-order area set to 1, and
    the quality measured.

    Parameters
    ----------
    img_list : list, str or `ccdproc.ImageFileCollection`
        Raw flats, as for `ccdproc.combine`.
    orders : `EchelleOrderTable`, optional
        The order centres; edges it has are replaced by those of the flat, and a table that is
        off by a pixel or more is shifted. Default: the orders that `trace_orders` finds,
        numbered from 1.
    bias, dark : as ``img_list``, optional
        Bias and dark frames. Lamp-off frames are darks. The series nearest in time to each flat
        is taken; see `~ccdproc_echelle.recipe.calibration.detrend`.
    gain : float or `~astropy.units.Quantity`, optional
        Electrons per unit of the data.
    read_noise : float or `~astropy.units.Quantity`, optional
        Read noise in electrons. With ``gain``, it makes the uncertainty of the flats. Without,
        the flats keep theirs; if they have none, the scatter of the frames is taken.
    saturation : float or `~astropy.units.Quantity`, optional
        Raw values of this and above do not enter anything.
    scattered_light : {"frames", "master"} or None, optional
        Whether the scattered light is subtracted from each frame, before its level is measured,
        or from the master, or not at all. Where the orders leave no room to measure it, none is.
    per_order : bool or "auto", optional
        Whether each order of a frame is scaled by a level of its own; see
        `two_pass_flat_combine`.
    reject : {"warn", "drop", "error"}, optional
        What happens with frames of another set-up, without light, saturated, shifted or of
        another shape than the others.
    limits : dict or path-like, optional
        Limits of the quality; see `flat_quality`.
    window, n_passes
        As `two_pass_flat_combine`.
    edge_keywords : dict, optional
        Keywords of `detect_order_edges`.
    sensitivity_keywords : dict, optional
        Keywords of `mask_low_sensitivity`.
    mask_flags : `FlatFlag`, optional
        Pixels with one of these flags are masked. The inter-order area is 1 with no uncertainty;
        unless it is masked, science frames keep their background there.
    progress_bar : bool, optional
        Show the progress of the combination with tqdm.
    sigma_clip, sigma_clip_low_thresh, sigma_clip_high_thresh
        As `ccdproc.combine`, but on by default.
    **keywords
        Those of `~ccdproc_echelle.combining.combine.CombineSettings` and, for files, of ``CCDData.read``.

    Returns
    -------
    `MasterFlat`
        The uncertainty contains the noise of the flats and, with ``gain`` and ``read_noise``,
        that of bias and dark.

    Raises
    ------
    TypeError, ValueError, OSError
        As `two_pass_flat_combine`, `~ccdproc_echelle.recipe.calibration.detrend`, `trace_orders` and
        `detect_order_edges`; if ``orders`` is not the table of these flats.

    References
    ----------
    SOXS pipeline documentation, recipe ``soxs-mflat``.

    Examples
    --------
    >>> from ccdproc_echelle import make_master_flat
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> simulation = EchelleSimulation(shape=(256, 256), n_orders=4).with_bias(300)
    >>> master = make_master_flat(simulation.flats(3, raw=True), simulation.truth.orders,
    ...                           dark=simulation.darks(3, raw=True), gain=1, read_noise=4)
    >>> master.flat.shape, len(master.orders), len(master.levels)
    ((256, 256), 4, 3)
    """
    clipping = dict(
        sigma_clip=sigma_clip,
        sigma_clip_low_thresh=sigma_clip_low_thresh,
        sigma_clip_high_thresh=sigma_clip_high_thresh,
    )
    settings, reading = CombineSettings.from_keywords(keywords | clipping)
    checked_limits(limits)  # asked for its errors, before any frame is read
    raw, setup = _of_one_setup(list_frames(img_list, **reading), reject)
    _check_options(raw, orders, settings, window, scattered_light, noise_is_known=gain is not None)
    _log.info("%d frames of shape %s", len(raw), raw[0].shape)
    detrended = detrend(
        raw,
        bias=[] if bias is None else open_frames(bias, **reading),
        dark=[] if dark is None else open_frames(dark, **reading),
        gain=gain,
        read_noise=read_noise,
        saturation=saturation,
    )
    typical = combine_frames(detrended.flats, method="median")
    orders = trace_orders(typical) if orders is None else _in_place(orders, typical)
    _log.info("%d orders", len(orders))
    detrended, vetting = _vetted(detrended, orders, window, reject)
    flats, scattered, surface_errors = detrended.flats, 0.0, []
    if scattered_light == "frames":
        flats, scattered, surface_errors = _without_scattered_light(
            flats, orders, typical, window, edge_keywords
        )
    flat, levels, diagnostics = combine_with_levels(
        flats,
        orders,
        settings,
        window=window,
        n_passes=n_passes,
        per_order=per_order,
        progress_bar=progress_bar,
        diagnostics=True,
    )
    if surface_errors:
        of_sums = [error.of_sum for error in surface_errors]
        levels = with_common_errors(levels, of_sums, flat, orders, window=window)
    _log.info("levels %s", levels["level"].round(3))
    flat = _with_shared_noise(flat, detrended.shared, levels, settings.weights)
    orders = _with_edges(flat, orders, edge_keywords)
    if scattered_light == "master":
        flat, scattered = _master_without_scattered_light(flat, orders, window)
    bad = find_bad_response(flat, orders, **(sensitivity_keywords or {}))
    flags = _flags(flats, flat, orders, bad, detrended.saturated.any(axis=0))
    _log.info("%d dead, %d low, %d hot pixels", *(np.count_nonzero(kind) for kind in bad))
    flat = mask_interorder(flat, orders, mask=False)
    flat.mask = (flags & mask_flags) > 0
    master = MasterFlat(flat, orders, levels, flags, QTable(), _all_vetted(setup, vetting))
    return _judged(
        master,
        flats,
        window=window,
        diagnostics=diagnostics,
        n_refused=len(setup) - len(flats),
        scattered_light=scattered,
        limits=limits,
    )


# ---------------------------------------------------------------------- frames that do not belong


def _of_one_setup(frames: list[Frame], reject: str) -> tuple[list[Frame], QTable]:
    setup = vet_setup(frames)
    setup["used"] = accepted_frames(setup, reject)
    frames = [frame for frame, used in zip(frames, setup["used"], strict=True) if used]
    check_alike(frames)
    return frames, setup


def _vetted(
    detrended: Detrended, orders: EchelleOrderTable, window: float, reject: str
) -> tuple[Detrended, QTable]:
    vetting = vet_frames(detrended.flats, orders, window=window)
    vetting["used"] = accepted_frames(vetting, reject)
    return detrended.only(vetting["used"]), vetting


def _all_vetted(setup: QTable, vetting: QTable) -> QTable:
    """One row per frame; those of another set-up were not measured."""
    rest = setup[~setup["used"]]
    if len(rest) == 0:
        return vetting
    rows = QTable({
        name: rest[name] if name in rest.colnames else _unknown(vetting[name], len(rest))
        for name in vetting.colnames
    })
    return vstack([vetting, rows])


def _unknown(column, n: int):
    return np.full(n, np.nan) * (column.unit or 1)


# ---------------------------------------------------------------------- steps


def _check_options(frames, orders, settings, window, scattered_light, *, noise_is_known) -> None:
    """Refuse what cannot be done before any frame is read."""
    if scattered_light not in ("frames", "master", None):
        raise ValueError(
            f"scattered_light is {scattered_light!r}, expected 'frames', 'master' or None"
        )
    if not (noise_is_known and isinstance(settings.weights, str)):
        settings.weights_of(frames)
    if orders is not None:
        checked_orders(orders).on_detector(frames[0].shape).inner_mask(window)


def _in_place(orders: EchelleOrderTable, flat: CCDData) -> EchelleOrderTable:
    """The order table where the orders are on this flat."""
    orders = orders.on_detector(flat.shape)
    try:
        shift = measure_shift(flat, orders).shift
    except WrongOrderTableError:
        raise
    except ValueError as error:
        warn(f"whether the order centres are in place could not be found: {error}")
        return orders
    if abs(shift) < _TOLERATED_SHIFT:
        return orders
    warn(f"the orders are {shift:+.2f} pixels off the order table, which is shifted")
    return orders.shifted(shift)


def _with_edges(flat, orders, edge_keywords) -> EchelleOrderTable:
    """One place for both detections: Python shows a warning that they share once."""
    return detect_order_edges(flat, orders, **(edge_keywords or {}))


def _without_scattered_light(
    flats, orders, typical, window, edge_keywords
) -> tuple[list[Frame], float, list[SurfaceError]]:
    """
    Each flat less its scattered light, where there is room to measure it.

    Also the fraction of the light that this was, and the error of each surface.
    """
    orders = _with_edges(typical, orders, edge_keywords)
    if not has_interorder_pixels(orders):
        warn("no room between the orders: the scattered light is not subtracted")
        return flats, np.nan, []
    darker, errors = zip(*(_less_scattered_light(frame, orders) for frame in flats), strict=True)
    inner = orders.inner_mask(window)
    fraction = np.mean([
        _lost_fraction(before.ccddata(), after.ccddata(), inner)
        for before, after in zip(flats, darker, strict=True)
    ])
    _log.info("scattered light %.2f %% of the light on the order centres", 100 * fraction)
    return list(darker), float(fraction), list(errors)


def _less_scattered_light(frame: Frame, orders) -> tuple[Frame, SurfaceError]:
    try:
        darker, error = less_scattered_light(frame.ccddata(), orders)
        return MemoryFrame(darker, frame.name), error
    except ValueError as error:
        raise ValueError(f"scattered light of {frame.name}: {error}") from error


def _master_without_scattered_light(flat, orders, window) -> tuple[CCDData, float]:
    """The master less its scattered light, with mean 1 over the inner-order pixels again."""
    if not has_interorder_pixels(orders):
        warn("no room between the orders: the scattered light is not subtracted")
        return flat, np.nan
    inner = orders.inner_mask(window)
    darker = subtract_scattered_light(flat, orders)
    fraction = _lost_fraction(flat, darker, inner)
    mean = np.mean(darker.data[inner & ~flat.mask], dtype=float)
    result = darker.divide(mean * u.dimensionless_unscaled, handle_meta="first_found")
    result.data = result.data.astype(flat.data.dtype)
    return result, fraction


def _lost_fraction(before: CCDData, after: CCDData, inner: np.ndarray) -> float:
    """The part of the inner-order light that a subtraction took."""
    good = inner & np.isfinite(before.data) & np.isfinite(after.data)
    if before.mask is not None:
        good &= ~before.mask
    total = before.data[good].sum(dtype=float)
    return float(1 - after.data[good].sum(dtype=float) / total) if total > 0 else np.nan


def _with_shared_noise(flat, shared, levels, weights) -> CCDData:
    """The flat with the noise of the calibration frames added to its own."""
    if shared is None:
        return flat
    kind = type(flat.uncertainty)
    if isinstance(weights, str):
        weights = None  # of the pixels of a frame; the frames weigh nearly alike
    added = shared.of_average(1 / levels["level"].value, weights)
    variance = variance_array(flat.uncertainty.array, kind) + added.astype(flat.data.dtype)
    result = flat.copy()
    result.uncertainty = kind(uncertainty_array(variance, kind))
    return result


def _judged(master: MasterFlat, flats: list[Frame], **measured) -> MasterFlat:
    """The master with its quality, also in the header."""
    times = [observation_time(frame.ccddata().header) for frame in flats]
    quality = flat_quality(master, frames=flats, times=times, **measured)
    master.flat.header.update({key: (value, note) for key, value, note in quality_cards(quality)})
    return replace(master, quality=quality)


def _flags(flats, flat, orders, bad, saturated) -> np.ndarray:
    """The flags of each pixel; ``flat.mask`` still says where no frame was left."""
    bad_in_all = np.all([~frame.section(slice(None)).good for frame in flats], axis=0)
    coverage = orders.coverage()
    flags = np.zeros(flat.shape, dtype=np.int16)
    for flag, where in (
        (FlatFlag.INTERORDER, orders.interorder_mask()),
        (FlatFlag.PARTLY_COVERED, (coverage > 0) & (coverage < 1)),
        (FlatFlag.OVERLAP, orders.overlap_mask()),
        (FlatFlag.EXTRAPOLATED_EDGE, _beyond_measured_edges(orders)),
        (FlatFlag.LOW_SENSITIVITY, bad.low),
        (FlatFlag.DEAD, bad.dead),
        (FlatFlag.HOT, bad.hot),
        (FlatFlag.NO_DATA, bad_in_all),
        (FlatFlag.ALL_REJECTED, flat.mask & ~bad_in_all),
        (FlatFlag.SATURATED, saturated),
    ):
        flags[where] |= flag
    return flags


def _beyond_measured_edges(orders: EchelleOrderTable) -> np.ndarray:
    """Pixels of an order beyond the range in which its edges were measured, or poorly were."""
    table = orders.table
    first = np.fmax(table["lower_measured_min"], table["upper_measured_min"]).value
    last = np.fmin(table["lower_measured_max"], table["upper_measured_max"]).value
    first[poorly_measured(orders)] = np.inf
    index = orders.order_index()
    pixels = np.arange(orders.shape[orders.dispersion_axis])
    if orders.dispersion_axis == 0:
        pixels = pixels[:, None]
    return (index >= 0) & ~((pixels >= first[index]) & (pixels <= last[index]))
