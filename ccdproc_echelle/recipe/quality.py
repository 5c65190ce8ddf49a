# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Quality control: parameters that describe a master flat, and limits for them."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from astropy import units as u
from astropy.nddata import CCDData
from astropy.table import QTable
from numpy.typing import ArrayLike

from ccdproc_echelle._hints import did_you_mean
from ccdproc_echelle._numeric.medians import finite_median, label_medians
from ccdproc_echelle.combining import NOISE_KEYWORDS, CombineDiagnostics
from ccdproc_echelle.frames import (
    LONGEST_COMMENT,
    gather_pixels,
    open_frames,
    user_path,
    variance_array,
)
from ccdproc_echelle.light import UNUSABLE, FlatFlag, faint_fractions, usable_ranges
from ccdproc_echelle.orders import width_jumps
from ccdproc_echelle.recipe.product import MasterFlat

__all__ = [
    "METRICS",
    "Metric",
    "bright_enough",
    "checked_limits",
    "flat_quality",
    "order_quality",
    "quality_cards",
    "quality_table",
    "reduced_chi_square",
    "sound_pixels",
    "with_limits",
]

# Chi-square uses pixels above this fraction of the mean: the uncertainty of fainter ones, derived
# from their own counts, correlates with their value.
_FAINTEST = 0.1

# This many pixels of each frame give chi-square to half a percent, even for two frames.
_ENOUGH_PIXELS = 100_000


class Metric(NamedTuple):
    """
    Quantity of the quality table.

    Attributes
    ----------
    keyword : str
        FITS keyword, at most 8 characters.
    unit : str or None
        Unit, with that of the exposure levels in place of ``{level}``; `None` stands for the unit
        of the levels itself.
    comment : str
        Description.
    lower, upper : float
        Default limits; NaN if there is none.
    """

    keyword: str
    unit: str | None
    comment: str
    lower: float = np.nan
    upper: float = np.nan


_GAIN, _, _READ_NOISE, _ = NOISE_KEYWORDS

# The quantities by name, in the order of the rows of the table.
METRICS = {
    "frames_used": Metric("NFRAMES", "", "frames combined"),
    "frames_refused": Metric("NREFUSED", "", "frames left out before combining"),
    "level_median": Metric("LEVMED", None, "median exposure level"),
    "level_spread": Metric("LEVSPRD", "", "range of the levels over their mean"),
    "level_trend": Metric("LEVTREND", "1 / h", "relative change of the level with time"),
    "order_flux_10": Metric("ORDEXP10", None, "10th percentile inner-order flux"),
    "order_flux_50": Metric("ORDEXP50", None, "50th percentile inner-order flux"),
    "order_flux_90": Metric("ORDEXP90", None, "90th percentile inner-order flux"),
    "counts_min": Metric("CNTMIN", None, "median flux of the faintest order"),
    "counts_median": Metric("CNTMED", None, "median flux of the median order"),
    "counts_max": Metric("CNTMAX", None, "median flux of the brightest order"),
    "signal_to_noise_min": Metric("SNRMIN", "", "signal-to-noise of the noisiest order"),
    "signal_to_noise_median": Metric("SNRMED", "", "signal-to-noise of the median order"),
    "signal_to_noise_max": Metric("SNRMAX", "", "signal-to-noise of the best order"),
    "relative_uncertainty": Metric("RELUNC", "", "median relative uncertainty", upper=0.05),
    "reduced_chi_square": Metric("CHI2RED", "", "reduced chi-square of frames", 0.5, 2.0),
    "clipped_fraction": Metric("CLIPMAX", "", "clipped fraction of the worst frame", upper=0.05),
    "saturated_fraction": Metric("SATFRAC", "", "in-order pixels ever saturated", upper=0.01),
    "unusable_fraction": Metric("BADFRAC", "", "unusable in-order pixels", upper=0.05),
    "faint_fraction": Metric("FAINTFRC", "", "in-order pixels too faint"),
    "faint_fraction_max": Metric("FAINTMAX", "", "too faint in the worst order", upper=0.5),
    "low_sensitivity_pixels": Metric("NLOWSENS", "", "pixels of low sensitivity"),
    "dead_pixels": Metric("NDEAD", "", "dead pixels"),
    "hot_pixels": Metric("NHOT", "", "hot pixels"),
    "edge_rms_median": Metric("EDGERMS", "pix", "edge residual, median edge", upper=0.25),
    "edge_rms_max": Metric("EDGEMAX", "pix", "edge residual, worst edge", upper=0.5),
    "edge_measured_min": Metric("EDGEFRAC", "", "measured part of the worst edge"),
    "order_width": Metric("ORDWIDTH", "pix", "median order width"),
    "order_width_scatter": Metric("ORDWSTD", "pix", "standard deviation of order widths"),
    "order_width_jump": Metric("ORDWJUMP", "", "worst order width against others", upper=0.25),
    "fibre_orders": Metric("NFIBRE", "", "orders treated as images of fibres"),
    "sliced_orders": Metric("NSLICED", "", "orders treated as several slices"),
    "scattered_light_fraction": Metric("SCATFRAC", "", "scattered light in orders"),
    "measured_gain": Metric(_GAIN, "electron / {level}", "gain measured"),
    "measured_read_noise": Metric(_READ_NOISE, "electron", "read noise measured"),
    "inner_mean": Metric("INNMEAN", "", "mean of inner-order pixels", 0.9, 1.1),
    "inner_rms": Metric("INNRMS", "", "standard deviation of inner-order pixels"),
}

_COUNTS = {
    "frames_used", "frames_refused", "low_sensitivity_pixels", "dead_pixels", "hot_pixels",
    "fibre_orders", "sliced_orders",
}


def flat_quality(
    master: MasterFlat,
    *,
    window: float = 10,
    frames: Any = None,
    diagnostics: CombineDiagnostics | None = None,
    times: Sequence[float | None] | None = None,
    n_refused: float = np.nan,
    scattered_light: float = np.nan,
    limits: Mapping[str, Any] | str | os.PathLike | None = None,
    **reading: Any,
) -> QTable:
    """
    Measure the quality of a master flat.

    Parameters
    ----------
    master : `MasterFlat`
        The master flat, with measured order edges.
    window : float, optional
        Full width in pixels of the window on the order centre with which the levels were measured.
    frames : list, str or `ccdproc.ImageFileCollection`, optional
        The calibrated frames that were combined, in the order of the levels, with their
        uncertainties. Needed for chi-square.
    diagnostics : `~ccdproc_echelle.combining.CombineDiagnostics`, optional
        The rejected values. If not given, chi-square includes cosmic rays.
    times : list of float, optional
        MJD of each frame; `None` for frames with unknown times.
    n_refused : int, optional
        Number of frames that were left out before combining.
    scattered_light : float, optional
        Scattered light as a fraction of all light in the inner-order pixels.
    limits : dict or path-like, optional
        Limits that replace the defaults; see `with_limits`.
    **reading
        Passed to ``CCDData.read``, for frames in files.

    Returns
    -------
    `~astropy.table.QTable`
        One row per quantity of ``METRICS``, with the columns ``name``, ``keyword`` (for a FITS
        header), ``value``, ``unit``, ``lower``, ``upper`` (NaN if there is no limit), ``verdict``
        ("pass", "fail", or "" if there is no limit) and ``comment``. Unknown values are NaN and get
        no verdict from a default limit.

    Raises
    ------
    ValueError
        If limits are malformed, the orders have no edges, or the number of frames, diagnostics or
        times differs from that of the levels.
    OSError
        If the file with limits cannot be read.

    See Also
    --------
    order_quality : Measure the quality of each order.

    Notes
    -----
    Unless noted otherwise, quantities refer to the sound inner-order pixels: those within ``window
    / 2`` of an order centre and between the edges, excluding masked and flagged ones. Pixels that
    are merely too faint are included, as otherwise a dark order would appear brighter than it is.

    - ``order_flux_10``, ``_50`` and ``_90`` are percentiles for a frame of median level, the
      ORDEXP10, ORDEXP50 and ORDEXP90 of the SOXS pipeline, in the unit of the levels.
    - ``level_spread`` is the range of the levels divided by their mean; ``level_trend`` is the
      slope of a straight line fitted to level over mean level.
    - ``counts`` and ``signal_to_noise`` are those of the orders with the smallest, median and
      largest median; counts are for a frame of median level, signal-to-noise ratios for the master.
    - ``clipped_fraction`` is the fraction of in-order pixels in which the worst frame was rejected.
    - ``relative_uncertainty`` is infinite if most pixels are not above zero.
    - ``faint_fraction_max`` is the fraction of pixels that are too faint to divide by, in the order
      with the largest fraction.
    - ``order_width`` is the median over the orders of their median widths, ``order_width_scatter``
      the standard deviation over the orders.
    - ``order_width_jump`` is the largest relative deviation of the width of an order from that
      suggested by the other orders.
    - ``measured_gain`` and ``measured_read_noise`` are results of `measure_noise`, if
      `make_master_flat` has measured the noise.
    - ``reduced_chi_square`` is 1 if the frames, divided by their levels, differ as expected from
      their uncertainties; see `reduced_chi_square`. Only pixels above a tenth of the mean are used.

    References
    ----------
    SOXS pipeline documentation, recipe ``soxs-mflat``, quality control.

    Examples
    --------
    >>> from ccdproc_echelle import make_master_flat
    >>> from ccdproc_echelle import flat_quality
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> simulation = EchelleSimulation(shape=(256, 256), n_orders=4).with_dead_pixels(9)
    >>> master = make_master_flat(simulation.flats(3), simulation.truth.orders)
    >>> quality = flat_quality(master, limits={"frames_used": (5, None)})
    >>> print(quality["value", "lower", "verdict"][quality["name"] == "frames_used"])
    value lower verdict
    ----- ----- -------
      3.0   5.0    fail
    """
    limits = checked_limits(limits)
    if frames is not None:
        frames = open_frames(frames, **reading)
    _check_fit(len(master.levels), frames=frames, times=times, diagnostics=diagnostics)
    rejected = None if diagnostics is None else diagnostics.rejected
    return quality_table(
        master,
        window=window,
        chi_square=_chi_square_of(frames, master, window, rejected),
        clipped_fraction=_largest_fraction(rejected, master.flags),
        times=times,
        n_refused=n_refused,
        scattered_light=scattered_light,
        limits=limits,
    )


def quality_table(
    master: MasterFlat,
    *,
    window: float,
    chi_square: float,
    clipped_fraction: float,
    times: Sequence[float | None] | None,
    n_refused: float,
    scattered_light: float,
    limits: Mapping[str, tuple[float, float]],
) -> QTable:
    """
    Compute `flat_quality` if everything it needs from the frames is already known.

    Parameters
    ----------
    master, window, times, n_refused, scattered_light
        See `flat_quality`.
    chi_square : float
        Result of `reduced_chi_square`; NaN if unknown.
    clipped_fraction : float
        Largest fraction of the in-order pixels that was rejected in a frame.
    limits : dict
        Limits returned by `checked_limits`.

    Returns
    -------
    `~astropy.table.QTable`
    """
    values = {
        "frames_used": len(master.levels),
        "frames_refused": n_refused,
        "scattered_light_fraction": scattered_light,
        "reduced_chi_square": chi_square,
        "clipped_fraction": clipped_fraction,
        **_level_values(master.levels["level"].value, times),
        **_flux_values(master, sound_pixels(master, window)),
        **_flag_values(master.flags[master.orders.order_index() >= 0]),
        **_order_values(order_quality(master, window=window)),
        **_edge_values(master.orders.table),
        "order_width_jump": np.fmax.reduce(np.abs(width_jumps(master.orders))),
        **_profile_values(master.orders.table),
        "measured_gain": master.flat.header.get(_GAIN, np.nan),
        "measured_read_noise": master.flat.header.get(_READ_NOISE, np.nan),
    }
    return _limited(_as_table(values, master.levels["level"].unit), limits)


def order_quality(master: MasterFlat, *, window: float = 10) -> QTable:
    """
    Measure the quality of each order of a master flat.

    Parameters
    ----------
    master : `MasterFlat`
        The master flat, with measured order edges.
    window : float, optional
        Full width of the window on the order centre, in pixels.

    Returns
    -------
    `~astropy.table.QTable`
        One row per order: ``order``; ``n_pixels``, the number of sound inner-order pixels; their
        median ``counts`` in a frame of median level and their median ``signal_to_noise`` in the
        master; ``width``, the median distance between the edges along the order, and
        ``width_scatter``, its standard deviation; ``dead_pixels``, ``low_sensitivity_pixels`` and
        ``hot_pixels``; ``faint_fraction``, the fraction of all its pixels that are too faint to
        divide by; and ``usable_min`` and ``usable_max``, the first and last dispersion pixel of the
        range in which at least half of the slit is usable, see
        `~ccdproc_echelle.light.usable_ranges`. NaN if an order has no pixels, or the flat has no
        uncertainty.

    Raises
    ------
    ValueError
        If the orders have no edges or ``window`` is not positive.

    Examples
    --------
    >>> from ccdproc_echelle import make_master_flat
    >>> from ccdproc_echelle import order_quality
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> simulation = EchelleSimulation(shape=(256, 256), n_orders=4).with_dead_pixels(9)
    >>> master = make_master_flat(simulation.flats(3), simulation.truth.orders)
    >>> order_quality(master)["counts"].round(-3)
    <Quantity [15000.,  7000.,  3000.,  2000.] adu>
    """
    orders, flags = master.orders, master.flags.ravel()
    order_of = orders.order_index().ravel()
    inner = sound_pixels(master, window)
    order, data = order_of[inner], master.flat.data.ravel()[inner]
    snr = 1 / _relative_uncertainty(master.flat, inner)
    level = np.median(master.levels["level"])
    widths = orders.upper() - orders.lower()
    table = QTable({"order": orders.order_numbers})
    table["n_pixels"] = np.bincount(order, minlength=len(orders))
    table["counts"] = label_medians(data, order, len(orders)) * level
    table["signal_to_noise"] = label_medians(snr, order, len(orders))
    table["width"] = np.nanmedian(widths, axis=1) * u.pix
    table["width_scatter"] = np.nanstd(widths, axis=1) * u.pix
    for name, flag in _FLAGGED.items():
        flagged = np.flatnonzero((flags & int(flag) != 0) & (order_of >= 0))
        table[name] = np.bincount(order_of[flagged], minlength=len(orders))
    table["faint_fraction"] = faint_fractions(master.flags, orders)
    table["usable_min"], table["usable_max"] = usable_ranges(master.flags, orders).T * u.pix
    return table


def with_limits(quality: QTable, limits: Mapping[str, Any] | str | os.PathLike | None) -> QTable:
    """
    Apply different limits to a quality table.

    Parameters
    ----------
    quality : `~astropy.table.QTable`
        Table returned by `flat_quality`.
    limits : dict or path-like, optional
        Maps the name of a quantity to a pair ``(lower, upper)``, in the unit of the table, with
        `None` for no limit; or the name of a YAML file with lines such as ``level_spread: [null,
        0.5]``.

    Returns
    -------
    `~astropy.table.QTable`
        A copy with the given limits and the resulting verdicts; other rows are unchanged. A value
        equal to a limit passes. An unknown value fails, since it cannot be shown to be within the
        requested limits.

    Raises
    ------
    ValueError
        If a name is unknown (the message suggests the closest known name), or an entry is not a
        pair of numbers in ascending order.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> from ccdproc_echelle import with_limits
    >>> with_limits([], {"levelspread": (0, 1)})
    Traceback (most recent call last):
    ...
    ValueError: unknown quantity 'levelspread' in limits; did you mean 'level_spread'?
    """
    return _limited(quality, checked_limits(limits))


def quality_cards(quality: QTable) -> list[tuple[str, float | int, str]]:
    """
    Convert a quality table to FITS header cards.

    Parameters
    ----------
    quality : `~astropy.table.QTable`
        Table returned by `flat_quality`.

    Returns
    -------
    list of (str, float or int, str)
        Keyword, value, and comment with the unit. Unknown values have no card, since a FITS header
        cannot hold NaN.

    Examples
    --------
    >>> from astropy.table import QTable
    >>> from ccdproc_echelle.recipe import quality_cards
    >>> quality = QTable({"name": ["order_width"], "keyword": ["ORDWIDTH"], "value": [21.5],
    ...                   "unit": ["pix"], "comment": ["median order width"]})
    >>> quality_cards(quality)
    [('ORDWIDTH', 21.5, '[pix] median order width')]
    """
    cards = []
    for row in quality:
        if np.isfinite(row["value"]):
            value = int(row["value"]) if row["name"] in _COUNTS else float(row["value"])
            comment = f"[{row['unit']}] {row['comment']}" if row["unit"] else row["comment"]
            cards.append((str(row["keyword"]), value, str(comment)[:LONGEST_COMMENT]))
    return cards


def reduced_chi_square(values: ArrayLike, variances: ArrayLike, used: ArrayLike) -> float:
    """
    Compare the scatter of values about their mean in each pixel with their variances.

    Parameters
    ----------
    values, variances : float array, shape (n_frames, n_pixels)
        Values with independent errors, and their variances.
    used : bool array, shape (n_frames, n_pixels)
        Values to use; at least two per pixel.

    Returns
    -------
    float
        Sum of the squared differences from the mean of the pixel, each divided by its variance,
        relative to the expected sum: 1 if the variances are correct, 4 if the standard deviations
        are half of what they should be. NaN if nothing can be compared.

    Notes
    -----
    Each of n values contributes to their mean: the variance of the difference of value i is ``(1 -
    2 / n) * variances[i] + sum(variances) / n**2``. For equal variances, the expected sum is the
    number of degrees of freedom, n - 1 in each pixel.

    Examples
    --------
    >>> from ccdproc_echelle.recipe import reduced_chi_square
    >>> reduced_chi_square([[9.0], [11.0]], [[2.0], [2.0]], [[True], [True]])
    1.0
    """
    values, variances = np.asarray(values, dtype=float), np.asarray(variances, dtype=float)
    used = used & (variances > 0)
    used = used & (used.sum(axis=0) > 1)
    n = np.maximum(used.sum(axis=0), 1)
    weights = np.divide(1.0, variances, where=used, out=np.zeros(used.shape))
    mean = np.where(used, values, 0).sum(axis=0) / n
    squares = np.where(used, values - mean, 0) ** 2
    of_mean = np.where(used, variances, 0).sum(axis=0) / n**2
    expected = (used * (1 - 2 / n) + of_mean * weights).sum()
    return float((squares * weights).sum() / expected) if expected > 0 else np.nan


# ---------------------------------------------------------------------- pixels

_FLAGGED = {
    "low_sensitivity_pixels": FlatFlag.LOW_SENSITIVITY,
    "dead_pixels": FlatFlag.DEAD,
    "hot_pixels": FlatFlag.HOT,
}

_SIDES = ("lower", "upper")


def sound_pixels(master: MasterFlat, window: float) -> np.ndarray:
    """
    Inner-order pixels used to assess a flat: all except bad ones, however faint.

    Parameters
    ----------
    master : `MasterFlat`
        The master flat, with order edges.
    window : float
        Full width of the window on the order centre, in pixels.

    Returns
    -------
    int array
        Indices into the flattened image.
    """
    unsound = master.flags & int(UNUSABLE & ~FlatFlag.FAINT | FlatFlag.INTERORDER) != 0
    if master.flat.mask is not None:
        # Pixels masked only because they are faint are included.
        unsound |= master.flat.mask & (master.flags & int(FlatFlag.FAINT) == 0)
    sound = master.orders.inner_mask(window) & np.isfinite(master.flat.data) & ~unsound
    return np.flatnonzero(sound)


def _relative_uncertainty(flat: CCDData, pixels: np.ndarray) -> np.ndarray:
    """Standard deviation over value, negative for negative values; NaN if unknown."""
    if flat.uncertainty is None:
        return np.full(len(pixels), np.nan)
    variance = variance_array(flat.uncertainty.array.take(pixels), type(flat.uncertainty))
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.sqrt(variance) / flat.data.take(pixels)
    relative[~(np.isfinite(variance) & (variance > 0))] = np.nan
    return relative


# ---------------------------------------------------------------------- quantities


def _level_values(levels: np.ndarray, times) -> dict[str, float]:
    trend = np.nan
    if times is not None and None not in times and np.ptp(times) > 0:
        hours = 24 * (np.asarray(times, dtype=float) - np.mean(times))
        trend = (hours * levels).sum() / (hours**2).sum() / levels.mean()
    return {
        "level_median": np.median(levels),
        "level_spread": np.ptp(levels) / levels.mean(),
        "level_trend": trend,
    }


def _flux_values(master, inner: np.ndarray) -> dict[str, float]:
    data = master.flat.data.ravel()[inner].astype(float)
    if len(data) == 0:
        data = np.array([np.nan])
    flux = np.percentile(data, (10, 50, 90)) * np.median(master.levels["level"].value)
    return {
        "order_flux_10": flux[0],
        "order_flux_50": flux[1],
        "order_flux_90": flux[2],
        "inner_mean": data.mean(),
        "inner_rms": data.std(),
        "relative_uncertainty": _typical(_relative_uncertainty(master.flat, inner)),
    }


def _typical(relative: np.ndarray) -> float:
    """Median of the known relative uncertainties; values at or below zero count as the largest."""
    known = relative[~np.isnan(relative)]
    return np.median(np.where(known < 0, np.inf, known)) if len(known) else np.nan


def _flag_values(in_order: np.ndarray) -> dict[str, float]:
    n = max(1, len(in_order))
    return {
        "saturated_fraction": _number_of(in_order, FlatFlag.SATURATED) / n,
        "unusable_fraction": _number_of(in_order, UNUSABLE) / n,
        "faint_fraction": _number_of(in_order, FlatFlag.FAINT) / n,
        **{name: _number_of(in_order, flag) for name, flag in _FLAGGED.items()},
    }


def _order_values(by_order: QTable) -> dict[str, float]:
    widths = by_order["width"].value
    values = {
        "order_width": finite_median(widths),
        "order_width_scatter": np.nanstd(widths),
        "faint_fraction_max": np.fmax.reduce(by_order["faint_fraction"]),
    }
    for name in ("counts", "signal_to_noise"):
        column = by_order[name].value
        values |= {
            f"{name}_min": np.fmin.reduce(column),
            f"{name}_median": finite_median(column),
            f"{name}_max": np.fmax.reduce(column),
        }
    return values


def _edge_values(table: QTable) -> dict[str, float]:
    """Only edges that were measured have residuals."""
    values = dict.fromkeys(("edge_rms_median", "edge_rms_max", "edge_measured_min"), np.nan)
    if "lower_rms" in table.colnames:
        rms = np.concatenate([u.Quantity(table[f"{s}_rms"], u.pix).value for s in _SIDES])
        values["edge_rms_median"] = finite_median(rms)
        values["edge_rms_max"] = np.fmax.reduce(rms)
    if "lower_measured" in table.colnames:
        values["edge_measured_min"] = np.fmin.reduce(
            np.concatenate([table[f"{side}_measured"] for side in _SIDES])
        )
    return values



def _profile_values(table: QTable) -> dict[str, float]:
    """Assumed profile of the orders, if their edges were measured."""
    if "profile" not in table.colnames:
        return {"fibre_orders": np.nan, "sliced_orders": np.nan}
    return {
        f"{name}_orders": np.count_nonzero(table["profile"] == profile)
        for name, profile in (("fibre", "fibre"), ("sliced", "slicer"))
    }


def _largest_fraction(rejected: np.ndarray | None, flags: np.ndarray) -> float:
    """Largest fraction of the in-order pixels that was rejected in a frame."""
    if rejected is None:
        return np.nan
    in_order = flags & int(FlatFlag.INTERORDER) == 0
    return max(int((lost & in_order).sum()) for lost in rejected) / max(1, int(in_order.sum()))


def _chi_square_of(frames, master, window: float, rejected: np.ndarray | None) -> float:
    if frames is None or any(frame.uncertainty_type is None for frame in frames):
        return np.nan
    pixels = bright_enough(master, sound_pixels(master, window))
    pixels = pixels[:: len(pixels) // _ENOUGH_PIXELS + 1]
    where = np.unravel_index(pixels, master.flat.shape)
    scales = 1 / _levels_at(where, master)
    sections = [gather_pixels(frame, pixels) for frame in frames]
    used = np.array([section.good for section in sections]) & np.isfinite(scales)
    if rejected is not None:
        used &= ~rejected[(slice(None), *where)]
    return reduced_chi_square(
        np.array([section.data for section in sections]) * scales,
        np.array([section.variance for section in sections]) * scales**2,
        used,
    )


def bright_enough(master: MasterFlat, pixels: np.ndarray) -> np.ndarray:
    """
    Select pixels whose uncertainty does not correlate with their value.

    Parameters
    ----------
    master : `MasterFlat`
        The flat.
    pixels : int array
        Indices into the flattened image.

    Returns
    -------
    int array
        The selected indices.
    """
    data = master.flat.data.ravel()[pixels]
    return pixels[data > _FAINTEST * data.mean()] if len(pixels) else pixels


def _levels_at(where, master) -> np.ndarray:
    """The level by which each frame was divided: that of the frame, or those of its orders."""
    if not master.flat.header.get("PERORDER", False):
        return master.levels["level"].value[:, None]
    return master.levels["order_level"].value[:, master.orders.order_index()[where]]


def _number_of(flags: np.ndarray, wanted: FlatFlag) -> int:
    return int(np.count_nonzero(flags & int(wanted)))


# ---------------------------------------------------------------------- table and limits


def _check_fit(n_levels: int, *, frames, times, diagnostics) -> None:
    rejected = None if diagnostics is None else diagnostics.rejected
    for name, given in (("frames", frames), ("times", times), ("diagnostics", rejected)):
        if given is not None and len(given) != n_levels:
            raise ValueError(f"{name} are of {len(given)} frames, but there are {n_levels} levels")


def _as_table(values: Mapping[str, float], unit_of_levels: u.UnitBase) -> QTable:
    """Rows in order, with the default limits."""
    table = QTable()
    table["name"] = list(METRICS)
    table["keyword"] = [metric.keyword for metric in METRICS.values()]
    table["value"] = [float(values[name]) for name in METRICS]
    level = unit_of_levels.to_string()
    table["unit"] = [
        level if m.unit is None else m.unit.format(level=level) for m in METRICS.values()
    ]
    table["lower"] = [metric.lower for metric in METRICS.values()]
    table["upper"] = [metric.upper for metric in METRICS.values()]
    table["verdict"] = [
        "" if np.isnan(row["value"]) else _verdict(row["value"], row["lower"], row["upper"])
        for row in table
    ]
    table["comment"] = [metric.comment for metric in METRICS.values()]
    return table


def _limited(quality: QTable, limits: Mapping[str, tuple[float, float]]) -> QTable:
    result = quality.copy()
    names = list(result["name"])
    verdicts = [str(verdict) for verdict in result["verdict"]]
    for name, (lower, upper) in limits.items():
        row = names.index(name)
        result["lower"][row], result["upper"][row] = lower, upper
        verdicts[row] = _verdict(result["value"][row], lower, upper)
    result["verdict"] = verdicts
    return result


def _verdict(value: float, lower: float, upper: float) -> str:
    """A limit of NaN is no limit; a value of NaN is never within limits."""
    if np.isnan(lower) and np.isnan(upper):
        return ""
    within = (np.isnan(lower) or value >= lower) and (np.isnan(upper) or value <= upper)
    return "pass" if within else "fail"


def checked_limits(limits) -> dict[str, tuple[float, float]]:
    """
    Convert limits to pairs of numbers.

    Parameters
    ----------
    limits : dict, path-like or None
        See `with_limits`.

    Returns
    -------
    dict
        Lower and upper limit by name; NaN if there is none.

    Raises
    ------
    ValueError
        If a limit is malformed or for an unknown quantity.
    OSError
        If the file with limits cannot be read.
    """
    if limits is None:
        return {}
    source = "limits"
    if isinstance(limits, (str, os.PathLike)):
        source, limits = str(limits), _loaded(user_path(limits))
    if not isinstance(limits, Mapping):
        raise ValueError(
            f"{source} holds a {type(limits).__name__}, expected pairs (lower, upper) by name"
        )
    for name in limits:
        if name not in METRICS:
            raise ValueError(
                f"unknown quantity {name!r} in {source}{did_you_mean(str(name), METRICS)}"
            )
    return {name: _pair(pair, f"{name} in {source}") for name, pair in limits.items()}


def _loaded(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a YAML file: {error}") from error


def _pair(pair: Any, name: str) -> tuple[float, float]:
    if not isinstance(pair, (list, tuple)) or len(pair) != 2:
        raise ValueError(f"{name} is {pair!r}, expected a pair (lower, upper)")
    lower, upper = (_limit(value, name) for value in pair)
    if lower > upper:
        raise ValueError(f"{name} is {pair!r}, expected lower <= upper")
    return lower, upper


def _limit(value: Any, name: str) -> float:
    """YAML reads 1e-3 as text."""
    if value is None:
        return np.nan
    try:
        number = np.nan if isinstance(value, (bool, np.bool_)) else float(value)
    except (TypeError, ValueError):
        number = np.nan
    if np.isnan(number):
        raise ValueError(f"{name} has the limit {value!r}, expected a number or None")
    return number
