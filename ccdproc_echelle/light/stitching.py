# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Stitch flats of several lamps into one: each lamp is used for the orders in which it is bright.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from astropy import units as u
from astropy.nddata import CCDData
from astropy.stats import mad_std

from ccdproc_echelle._numeric.ranges import lit_range
from ccdproc_echelle.frames import (
    MemoryFrame,
    Section,
    check_alike,
    list_frames,
    printable,
    record_cards,
    uncertainty_array,
    warn_of_missing_uncertainties,
    without_file_cards,
)
from ccdproc_echelle.orders import EchelleOrderTable, check_window, checked_orders, rasters

__all__ = ["stitch_flats"]

# Pixels that deviate from the ratio of two lamps by more than this many sigma are excluded from it.
_CLIP = 5
_ITERATIONS = 10

# A lamp that lights more of an order, by this fraction of its length, is preferred for it.
_LONGER = 0.05

# A larger error at a seam would be visible as a step in every spectrum.
_LARGEST_ERROR = 0.05


def stitch_flats(
    flats: Mapping[str, CCDData] | Sequence[CCDData],
    orders: EchelleOrderTable,
    *,
    overlap: int | Sequence[int] | None = None,
    window: float = 10,
    provenance: bool = False,
) -> CCDData | tuple[CCDData, np.ndarray]:
    """
    Stitch the master flats of several lamps into one.

    Between two lamps there is a seam, midway between two orders, which follows their curves. It is
    next to the overlap order, in which both lamps have signal. This order is used to scale one lamp
    to the other. It is taken from the lamp that lights more of it or, if both light it completely,
    from the one with the better signal-to-noise ratio.

    Parameters
    ----------
    flats : dict of `~astropy.nddata.CCDData`, or sequence of them or of file names
        The master flats, in any order, as `~astropy.nddata.CCDData` objects or file names. The keys
        of a dict are the names of the lamps. The inter-order area should be as observed; use
        `mask_interorder` afterwards.
    orders : `EchelleOrderTable`
        The orders. If they have edges, the seam is midway between these, otherwise midway between
        order centres.
    overlap : int or sequence of int, optional
        Number of the overlap order, or several for more than two lamps, in any order. Default: for
        each pair of neighbouring lamps, the order in which their ratio is known best.
    window : float, optional
        Full width of the window on the order centre, in pixels along the cross-dispersion axis.
    provenance : bool, optional
        Whether to return the lamp from which each pixel was taken.

    Returns
    -------
    flat : `~astropy.nddata.CCDData`
        The stitched flat, dimensionless and with a mean of 1 over the inner-order pixels. Mask and
        uncertainty are those of each pixel's lamp. The uncertainty has the type of that of the
        first flat and includes the error of the scaling, which is common to all pixels of a lamp;
        there is none unless all flats have one. The header is that of the first flat with
        ``NCOMBINE`` summed and ``LEVEL001`` and so on removed. For each flat it records the name
        (``LAMP001``), the orders taken from it (``LAMPO001``, from low to high on the detector),
        the factor by which it was multiplied (``LAMPF001``) and the relative uncertainty of the
        factor (``LAMPE001``).
    provenance : int array, shape (rows, columns)
        Only if ``provenance=True``: 1 for pixels of the first flat, 2 for those of the second one,
        and so on, as in the header keywords ``LAMP001``, ``LAMP002``.

    Raises
    ------
    TypeError
        If an item is neither a `~astropy.nddata.CCDData` nor a file name.
    ValueError
        If there are fewer than two flats or fewer orders than flats, the flats and the order table
        do not match, an overlap order is not in the table, a lamp is too faint, two lamps have no
        order with signal in common, or a lamp would not be used for any order.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If only some flats have uncertainties; none is used in that case.

    Notes
    -----
    Neighbours on the detector are found from the signal-to-noise ratio in each order. The lamps are
    sorted by the mean position of the orders, each weighted by the share of the lamp in the sum
    over all lamps.

    The ratio of two lamps is the ratio of their sums over those inner-order pixels of the overlap
    order that are good in both, within the part of the order that both light. This is the mean
    ratio weighted by brightness, which is optimal for photon noise; weights derived from the noise
    of each pixel would bias it. Pixels are rejected if their difference deviates by more than 5
    sigma, where sigma is the uncertainty, or the scatter if that is larger because the spectra of
    the lamps differ. If they differ, a single ratio per order is used nevertheless.

    According to its documentation, the SOXS pipeline does the same with the median in a square
    window of an order selected by the number of its edge positions, and a seam 5 pixels above that
    order [1]_.

    References
    ----------
    .. [1] soxspipe documentation, recipe ``soxs_mflat``, UV master flat frame stitching,
       https://soxspipe.readthedocs.io

    Examples
    --------
    >>> from ccdproc_echelle import two_pass_flat_combine
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> from ccdproc_echelle import stitch_flats
    >>> lamps = {"D2": 0.1, "QTH": 10}
    >>> simulations = {name: EchelleSimulation(shape=(128, 128), n_orders=4, brightness_ratio=ratio)
    ...                for name, ratio in lamps.items()}
    >>> orders = simulations["D2"].truth.orders
    >>> flats = {name: two_pass_flat_combine(simulation.flats(3), orders)
    ...          for name, simulation in simulations.items()}
    >>> flat, lamp = stitch_flats(flats, orders, provenance=True)
    >>> flat.header["LAMP001"], flat.header["LAMPO001"]
    ('D2', '12-14')
    >>> lamp[[0, -1], 64].tolist()
    [2, 1]
    """
    frames = _opened(flats)
    orders = _by_position(checked_orders(orders).on_detector(frames[0].shape))
    if len(orders) < len(frames):
        raise ValueError(f"there are {len(frames)} flats for {len(orders)} orders")
    overlap = _overlap_rows(overlap, orders, len(frames) - 1)
    images = _sections(frames)
    inner = _inner_pixels(orders, window)

    noise = _signal_to_noise(images, inner)
    _check_signal(frames, noise, orders)
    lamps = _arranged(noise)
    if overlap is None:
        overlap = [_best_overlap(noise[pair]) for pair in _pairs(lamps)]
    parts = np.array([
        [_lit_part(images[lamp], where, orders) for where in inner] for lamp in lamps
    ])
    seams = _seams(noise[lamps], np.ptp(parts, axis=-1), overlap)
    names = [frames[lamp].name for lamp in lamps]
    _check_seams(names, seams, len(orders))
    ratios, errors = _ratios(
        names, [images[lamp] for lamp in lamps], orders, inner, parts, overlap
    )

    source = _sources(orders, seams)
    stitched, factors, errors = _stitched([images[i] for i in lamps], source, ratios, errors, inner)
    cards = _cards(lamps, names, orders, seams, factors, errors)
    flat = _as_ccddata(frames, stitched, cards)
    return (flat, (np.array(lamps, dtype=np.uint8) + 1)[source]) if provenance else flat


# ---------------------------------------------------------------------- which lamp serves what


def _signal_to_noise(images: Sequence[Section], inner: Sequence[tuple]) -> np.ndarray:
    """
    Signal-to-noise ratio of the sum of the good inner-order pixels, shape (n_lamps, n_orders).

    Without uncertainties it is estimated from the photon noise, up to a factor.
    """
    noise = np.zeros((len(images), len(inner)))
    for i, image in enumerate(images):
        for k, where in enumerate(inner):
            good = image.good[where]
            signal = max(image.data[where][good].sum(dtype=float), 0)
            variance = signal if image.variance is None else image.variance[where][good].sum()
            if signal > 0:
                noise[i, k] = signal / np.sqrt(variance) if variance > 0 else np.inf
    return noise


def _arranged(noise: np.ndarray) -> list[int]:
    """The lamps, sorted from the one for the lowest orders to the one for the highest."""
    largest = np.max(noise, where=np.isfinite(noise), initial=1)
    finite = np.minimum(noise, largest)
    share = finite / np.maximum(finite.sum(axis=0), np.finfo(float).tiny)
    position = share @ np.arange(noise.shape[1]) / share.sum(axis=1)
    return np.argsort(position, kind="stable").tolist()


def _inner_pixels(orders: EchelleOrderTable, window: float) -> list[tuple]:
    """Rows and columns of the inner-order pixels of each order, row by row."""
    check_window(window)
    across, inside = rasters.window_rows(
        orders.center(), window, orders.shape[1 - orders.dispersion_axis]
    )
    found = []
    for rows, real in zip(across, inside, strict=True):
        along = np.broadcast_to(np.arange(len(rows))[:, None], rows.shape)
        where = (rows, along) if orders.dispersion_axis == 1 else (along, rows)
        pixels = np.sort(np.ravel_multi_index([index[real] for index in where], orders.shape))
        found.append(np.unravel_index(pixels, orders.shape))
    return found


def _pairs(items: list) -> list[list]:
    return [list(pair) for pair in pairwise(items)]


def _best_overlap(noise: np.ndarray) -> int:
    """The order in which the ratio of two lamps has the smallest relative error."""
    with np.errstate(divide="ignore"):
        return int(np.argmin((1 / noise**2).sum(axis=0)))


def _lit_part(image: Section, where: tuple, orders: EchelleOrderTable) -> tuple[int, int]:
    """First and last dispersion pixel with light in an order; the whole order if it has none."""
    n_pixels = orders.shape[orders.dispersion_axis]
    good = image.good[where]
    pixel = where[orders.dispersion_axis][good]
    light = np.bincount(pixel, image.data[where][good], n_pixels)
    known = np.bincount(pixel, minlength=n_pixels) > 0
    if image.variance is None:
        variance = np.full(n_pixels, 0.5 * mad_std(np.diff(light)) ** 2)
    else:
        variance = np.bincount(pixel, image.variance[where][good], n_pixels)
    tiny = np.finfo(float).tiny
    return lit_range(np.where(known, light / np.sqrt(np.maximum(variance, tiny)), np.nan)) or (
        0, n_pixels - 1
    )


def _seams(noise: np.ndarray, length: np.ndarray, overlap: Sequence[int]) -> list[int]:
    """
    Index of the first order above each seam.

    The overlap order goes to the better lamp, provided that every lamp keeps at least one order.
    """
    n_orders, n_seams = noise.shape[1], len(overlap)
    seams = []
    for j, k in enumerate(overlap):
        longer = length[j + 1, k] - length[j, k]
        enough = _LONGER * length[j : j + 2, k].max()
        better = longer > 0 if abs(longer) > enough else noise[j + 1, k] > noise[j, k]
        seam = k if better else k + 1
        seams.append(min(max(seam, j + 1), n_orders - n_seams + j))
    return seams


def _sources(orders: EchelleOrderTable, seams: Sequence[int]) -> np.ndarray:
    """Image of the number of seams below each pixel."""
    centers = orders.center()
    low, high = (orders.lower(), orders.upper()) if orders.has_edges else (centers, centers)
    row = np.arange(orders.shape[1 - orders.dispersion_axis])[:, np.newaxis]
    source = np.zeros((len(row), centers.shape[1]), dtype=np.intp)
    for seam in seams:
        # If no order on one side is valid, the other side takes the whole line of pixels.
        below = np.nan_to_num(np.fmax.reduce(high[:seam]), nan=-np.inf)
        above = np.nan_to_num(np.fmin.reduce(low[seam:]), nan=np.inf)
        with np.errstate(invalid="ignore"):  # where there is no order on either side
            source += row > 0.5 * (below + above)
    return source if orders.dispersion_axis == 1 else np.ascontiguousarray(source.T)


# ---------------------------------------------------------------------- scaling


def _ratios(names, images, orders, inner, parts, overlap) -> tuple[np.ndarray, np.ndarray]:
    """Ratio of each lamp to the next one, and the relative errors."""
    ratios, errors = [], []
    for j, (pair, names_of_pair, k) in enumerate(
        zip(_pairs(images), _pairs(names), overlap, strict=True)
    ):
        pixel = inner[k][orders.dispersion_axis]
        first, last = parts[j : j + 2, k, 0].max(), parts[j : j + 2, k, 1].min()
        both = (pixel >= first) & (pixel <= last)
        ratio, error = _ratio(*pair, tuple(index[both] for index in inner[k]))
        if not error < _LARGEST_ERROR:
            raise ValueError(
                f"{' and '.join(names_of_pair)} have too little signal in common: the relative "
                f"error of their ratio in order {orders.order_numbers[k]} is {error:.2g}, expected "
                f"less than {_LARGEST_ERROR}"
            )
        ratios.append(ratio)
        errors.append(error)
    return np.array(ratios), np.array(errors)


def _ratio(one: Section, other: Section, where: tuple) -> tuple[float, float]:
    """Robust ratio of the sums of two images over some pixels, and its relative error."""
    good = one.good[where] & other.good[where]
    a, b = (image.data[where][good].astype(float) for image in (one, other))
    if len(a) == 0 or not min(np.median(a), np.median(b)) > 0:
        return np.nan, np.inf
    known = one.variance is not None
    va, vb = (
        image.variance[where][good].astype(float) if known else np.zeros(len(a))
        for image in (one, other)
    )
    ratio, kept = np.median(a) / np.median(b), None
    for _ in range(_ITERATIONS):
        difference = a - ratio * b
        sigma = np.maximum(np.sqrt(va + ratio**2 * vb), mad_std(difference))
        before, kept = kept, np.abs(difference - np.median(difference)) <= _CLIP * sigma
        if before is not None and np.array_equal(before, kept):
            break
        ratio = a[kept].sum() / b[kept].sum()
    squares = va + ratio**2 * vb if known else (a - ratio * b) ** 2
    error = np.sqrt(squares[kept].sum()) / a[kept].sum()
    return ratio, error if ratio > 0 else np.inf


def _stitched(images, source, ratios, errors, inner) -> tuple[Section, np.ndarray, np.ndarray]:
    """The lamps scaled and joined, the factor of each lamp and its relative error."""
    factors = np.concatenate([[1], np.cumprod(ratios)])
    data = np.choose(source, [image.data for image in images])
    good = np.choose(source, [image.good for image in images])
    used = np.zeros(data.shape, dtype=bool)
    for where in inner:
        used[where] = True
    used &= good
    light = np.bincount(source[used], data[used], minlength=len(factors)) * factors
    factors *= used.sum() / light.sum()
    # A seam scales all lamps above it; the normalisation rescales everything by their light.
    above = np.tri(len(factors), len(errors), -1)
    errors = np.sqrt((above - light @ above / light.sum()) ** 2 @ errors**2)
    scale = factors.astype(data.dtype)[source]
    data = data * scale
    variance = None
    if images[0].variance is not None:
        variance = np.choose(source, [image.variance for image in images]) * scale**2
        variance += (data * errors.astype(data.dtype)[source]) ** 2
    return Section(data, good, variance), factors, errors


# ---------------------------------------------------------------------- at the door


def _opened(flats: Any) -> list[MemoryFrame]:
    if isinstance(flats, CCDData):
        raise ValueError("flats is a single flat, expected at least two")
    named = isinstance(flats, Mapping)
    given = list_frames(list(flats.values()) if named else flats, argument="flats")
    frames = [frame.load() for frame in given]
    check_alike(frames)
    if named:
        frames = [replace(f, name=str(name)) for f, name in zip(frames, flats, strict=True)]
    if len(frames) < 2:
        raise ValueError(f"flats has {len(frames)} flat, expected at least two")
    warn_of_missing_uncertainties(frames, "flats")
    return frames


def _sections(frames: Sequence[MemoryFrame]) -> list[Section]:
    """All pixels of each frame, without variances unless all frames have them."""
    images = [frame.section(slice(None)) for frame in frames]
    if any(image.variance is None for image in images):
        images = [image._replace(variance=None) for image in images]
    return images


def _by_position(orders: EchelleOrderTable) -> EchelleOrderTable:
    """The orders that are valid on the detector, from low to high."""
    centers = orders.center()
    rows = np.flatnonzero(np.isfinite(centers).any(axis=1))
    rows = rows[np.argsort(np.nanmean(centers[rows], axis=1))]
    return orders.select(orders.order_numbers[rows])


def _overlap_rows(overlap, orders: EchelleOrderTable, n_seams: int) -> list[int] | None:
    if overlap is None:
        return None
    numbers = orders.order_numbers.tolist()
    overlap = np.atleast_1d(overlap).tolist()
    if len(overlap) != n_seams:
        raise ValueError(f"overlap is {overlap}, expected {n_seams} orders for {n_seams + 1} flats")
    missing = [number for number in overlap if number not in numbers]
    if missing:
        raise ValueError(f"overlap orders {missing} are not in the table, which has {numbers}")
    return sorted(numbers.index(number) for number in overlap)


def _check_signal(frames, noise: np.ndarray, orders: EchelleOrderTable) -> None:
    known = all(frame.uncertainty_type is not None for frame in frames)
    for frame, row in zip(frames, noise, strict=True):
        best = row.max()
        if best == 0 or (known and best < 1 / _LARGEST_ERROR):
            raise ValueError(
                f"{frame.name} is too faint: its signal-to-noise in its best order, "
                f"{orders.order_numbers[row.argmax()]}, is {best:.2g}, expected at least "
                f"{1 / _LARGEST_ERROR:g}"
            )


def _check_seams(names: Sequence[str], seams: Sequence[int], n_orders: int) -> None:
    ends = [0, *seams, n_orders]
    for name, (first, last) in zip(names, pairwise(ends), strict=True):
        if first >= last:
            raise ValueError(
                f"{name} would not be used for any order; give other overlap orders or leave it out"
            )


# ---------------------------------------------------------------------- result


def _cards(lamps, names, orders, seams, factors, errors) -> list[tuple]:
    """Header cards of each lamp, in the order of the flats."""
    ends = [0, *seams, len(orders)]
    numbers, cards = orders.order_numbers, []
    for i in np.argsort(lamps):
        n = lamps[i] + 1
        name = printable(os.path.basename(names[i]))
        served = f"{numbers[ends[i]]}-{numbers[ends[i + 1] - 1]}"
        cards += [
            (f"LAMP{n:03d}", name, "name of the flat"),
            (f"LAMPO{n:03d}", served, "orders taken from it"),
            (f"LAMPF{n:03d}", float(factors[i]), "factor by which it was multiplied"),
            (f"LAMPE{n:03d}", float(errors[i]), "relative uncertainty of the factor"),
        ]
    return cards


def _as_ccddata(frames, stitched: Section, cards: list[tuple]) -> CCDData:
    first = frames[0].ccddata()
    header = without_file_cards(first.header)
    for key in [key for key in header if re.fullmatch(r"LEV[EL]*\d+", key)]:
        del header[key]
    numbers = [frame.ccddata().header.get("NCOMBINE") for frame in frames]
    if None not in numbers:
        header["NCOMBINE"] = sum(numbers)
    header["BUNIT"] = ""
    record_cards(header, cards)
    uncertainty = None
    if stitched.variance is not None:
        kind = frames[0].uncertainty_type
        uncertainty = kind(uncertainty_array(stitched.variance, kind))
    return CCDData(
        stitched.data,
        unit=u.dimensionless_unscaled,
        uncertainty=uncertainty,
        mask=~stitched.good,
        header=header,
        wcs=first.wcs,
    )
