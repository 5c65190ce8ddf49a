# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Measure the quality of a master flat."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import QTable

from ccdproc_echelle._numeric.medians import finite_median
from ccdproc_echelle.combining import NOISE_KEYWORDS, CombineDiagnostics
from ccdproc_echelle.frames import Frame, open_frames
from ccdproc_echelle.light import UNUSABLE, FlatFlag
from ccdproc_echelle.orders import width_jumps
from ccdproc_echelle.recipe.chi_square import chi_square_of_frames, sound_pixels
from ccdproc_echelle.recipe.limits import checked_limits, limited, verdict_on
from ccdproc_echelle.recipe.metrics import METRICS
from ccdproc_echelle.recipe.product import MasterFlat, checked_master
from ccdproc_echelle.recipe.quality_by_order import FLAGGED, quality_of_orders, relative_uncertainty

__all__ = ["flat_quality", "quality_table"]

_GAIN, _, _READ_NOISE, _ = NOISE_KEYWORDS


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
    - ``inner_mean`` is NaN if the window is wider than the orders by more than a pixel.
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
    >>> simulation = EchelleSimulation(shape=(128, 160), n_orders=3).with_dead_pixels(9)
    >>> master = make_master_flat(simulation.flats(3), simulation.truth.orders)
    >>> quality = flat_quality(master, limits={"frames_used": (5, None)})
    >>> print(quality["value", "lower", "verdict"][quality["name"] == "frames_used"])
    value lower verdict
    ----- ----- -------
      3.0   5.0    fail
    """
    checked_master(master)
    limits = checked_limits(limits)
    if frames is not None:
        frames = open_frames(frames, argument="frames", **reading)
    _check_fit(len(master.levels), frames=frames, times=times, diagnostics=diagnostics)
    rejected = None if diagnostics is None else diagnostics.rejected
    sound, chi_square = sound_pixels(master, window), np.nan
    if frames is not None:
        _check_frames(frames, master)
        chi_square = chi_square_of_frames(frames, master, sound, rejected)
    return quality_table(
        master,
        quality_of_orders(master, sound),
        window=window,
        sound=sound,
        chi_square=chi_square,
        clipped_fraction=_largest_fraction(rejected, master.flags),
        times=times,
        n_refused=n_refused,
        scattered_light=scattered_light,
        limits=limits,
    )


def quality_table(
    master: MasterFlat,
    by_order: QTable,
    *,
    window: float,
    sound: np.ndarray,
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
    sound : int array
        Pixels to use, as found by `~ccdproc_echelle.recipe.chi_square.sound_pixels`.
    by_order : `~astropy.table.QTable`
        The quality of each order, from `order_quality`.
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
    orders = master.orders.table
    values = {
        "frames_used": len(master.levels),
        "frames_refused": n_refused,
        "scattered_light_fraction": scattered_light,
        "reduced_chi_square": chi_square,
        "clipped_fraction": clipped_fraction,
        **_level_values(master.levels["level"].value, times),
        **_flux_values(master, sound),
        **_flag_values(master.flags[master.orders.order_index() >= 0]),
        **_order_values(by_order),
        **_edge_values(orders),
        "order_width_jump": np.fmax.reduce(np.abs(width_jumps(master.orders))),
        **_profile_values(orders),
        "measured_gain": master.flat.header.get(_GAIN, np.nan),
        "measured_read_noise": master.flat.header.get(_READ_NOISE, np.nan),
    }
    if window > values["order_width"] + _HARMLESS:
        # Between the orders, where the rest of the inner-order pixels are, the light was replaced.
        values["inner_mean"] = np.nan
    return limited(_as_table(values, master.levels["level"].unit), limits)


# ---------------------------------------------------------------------- quantities

_SIDES = ("lower", "upper")

# In pixels: a window wider than the orders by no more than this includes few dark pixels.
_HARMLESS = 1.0


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
        "relative_uncertainty": _typical(relative_uncertainty(master.flat, inner)),
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
        **{name: _number_of(in_order, flag) for name, flag in FLAGGED.items()},
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


def _number_of(flags: np.ndarray, wanted: FlatFlag) -> int:
    return int(np.count_nonzero(flags & int(wanted)))


# ---------------------------------------------------------------------- table and limits


def _check_fit(n_levels: int, *, frames, times, diagnostics) -> None:
    rejected = None if diagnostics is None else diagnostics.rejected
    for name, given in (("frames", frames), ("times", times), ("diagnostics", rejected)):
        if given is not None and len(given) != n_levels:
            raise ValueError(f"{name} has length {len(given)}, expected that of levels, {n_levels}")


def _check_frames(frames: Sequence[Frame], master: MasterFlat) -> None:
    """Raise if frames are not those of the levels, or not in their order."""
    for quality, expected in (
        ("shape", master.flat.shape), ("unit", master.levels["level"].unit)
    ):
        found = getattr(frames[0], quality)
        if found != expected:
            raise ValueError(
                f"{frames[0].name} has {quality} {found}, but the master flat was made from "
                f"calibrated frames with {expected}; expected these"
            )
    names, expected = [frame.name for frame in frames], master.levels["frame"].tolist()
    if names != expected and sorted(names) == sorted(expected):
        raise ValueError(f"frames are {names}, expected the order of the levels, {expected}")


def _as_table(values: Mapping[str, float], unit_of_levels: u.UnitBase) -> QTable:
    """Rows in order, with the default limits."""
    table = QTable()
    table["name"] = list(METRICS)
    table["keyword"] = [metric.keyword for metric in METRICS.values()]
    table["value"] = [float(values[name]) for name in METRICS]
    level = unit_of_levels.to_string()
    table["unit"] = [metric.unit_for(level) for metric in METRICS.values()]
    table["lower"] = [metric.lower for metric in METRICS.values()]
    table["upper"] = [metric.upper for metric in METRICS.values()]
    table["verdict"] = [
        "" if np.isnan(row["value"]) else verdict_on(row["value"], row["lower"], row["upper"])
        for row in table
    ]
    table["comment"] = [metric.comment for metric in METRICS.values()]
    return table


