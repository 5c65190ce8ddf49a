# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Check that flats, order table and window are consistent, using a few columns of a few frames."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from astropy.table import QTable

from ccdproc_echelle._numeric.medians import MEDIAN_OVER_MEAN, finite_median
from ccdproc_echelle._numeric.spread import MAD_TO_SIGMA
from ccdproc_echelle._warnings import warn
from ccdproc_echelle.combining.likeness import turned_frames, warn_of_unlike_frames
from ccdproc_echelle.combining.pedestal import pedestal_of
from ccdproc_echelle.combining.pixels import Pixels, gather
from ccdproc_echelle.combining.thinned import (
    ThinnedStack,
    stacked,
    thinned_indices,
    thinned_section,
    thinning,
)
from ccdproc_echelle.frames import CalibratedFrame, Frame, Section, parse_slices
from ccdproc_echelle.orders import (
    EchelleOrderTable,
    UnmatchedOrdersError,
    check_in_place,
    places_of,
    rasters,
    typical_width,
)

__all__ = [
    "Survey", "check_flats", "check_image", "gathered_and_surveyed", "refuse_frames_without_light",
    "warn_of_lost_orders",
]

# Number of frames that are examined where vetting has compared all of them, and number of columns.
# Of more frames than this, fewer columns are examined, but not fewer than some.
_N_FRAMES = 5
_N_COLUMNS, _MANY_FRAMES, _LEAST_COLUMNS = 60, 10, 15

# In an evenly lit frame the dark pixels have more than this fraction of the light of bright ones.
_EVEN = 0.5

# Number of rows on the order centres whose mean has little noise, and no light beside the orders.
_CORE = 3

# The default window may be wider than the orders: the dark pixels that it then includes on either
# side are excluded from the levels. Windows wider than this reach the next order.
_HARMLESS_WINDOW = 10

# Less than this fraction of the level of the brightest frame is not light of a lamp.
_NO_LIGHT = 1e-3

# An order is dark if it has less than this fraction of the light of the others, and if its light
# does not exceed that beside it by this many standard deviations.
_DARK_ORDER = 0.05

# The zero point is off if the light between the orders does not extrapolate to zero along with the
# light on them, by more than this fraction of it and by this many standard deviations. The light
# between the orders may drift by a few per cent relative to that on them.
_RELEVANT_OFFSET = 0.002
_SIGNIFICANT = 5
_DRIFT = 0.03


@dataclass(frozen=True)
class Survey:
    """
    Consistency check of flats, order table and window, using a few columns of the flats.

    Attributes
    ----------
    frames : sequence of `Frame`
        The flats.
    window : float
        Full width of the window on the order centre.
    slices : tuple of slice
        The pixels that are examined.
    orders : `EchelleOrderTable`
        The order table for these pixels.
    """

    frames: Sequence[Frame]
    window: float
    slices: tuple[slice, slice]
    orders: EchelleOrderTable

    @classmethod
    def planned(
        cls, frames: Sequence[Frame], orders: EchelleOrderTable, window: float
    ) -> "Survey":
        """
        Plan a survey without reading anything yet.

        Parameters
        ----------
        frames : sequence of `Frame`
            The flats.
        orders : `EchelleOrderTable`
            The order centres, on the detector of the frames.
        window : float
            Full width of the window on the order centre.

        Returns
        -------
        `Survey`
        """
        n_columns = _N_COLUMNS * min(1, _MANY_FRAMES / len(frames))
        n_columns = max(_LEAST_COLUMNS, int(n_columns))
        return cls(frames, window, *thinning(frames[0].shape, orders, n_columns))

    @cached_property
    def indices(self) -> np.ndarray:
        """Indices, in ascending order, of the examined pixels in the flattened image."""
        return thinned_indices(self.frames[0].shape, self.slices)

    def check(self, sections: Sequence[Section], *, check_table: bool = True) -> None:
        """
        Raise if the order table belongs to other flats, and warn of anything that biases the
        levels.

        Parameters
        ----------
        sections : sequence of `Section`
            The pixels ``indices`` of the frames.
        check_table : bool, optional
            Whether to check that the orders are at their positions in the table, and in the same
            place on all frames.

        Raises
        ------
        WrongOrderTableError
            A subclass of `ValueError`, raised if the orders are not at, or near, their positions in
            the table.

        Warns
        -----
        `~astropy.utils.exceptions.AstropyUserWarning`
            If the orders are a few pixels off, in all frames or in some, an order is dark, the
            window is wider than the orders, or the frames still contain a bias or their overscan.
        """
        data, good = (np.array([section[i] for section in sections]) for i in range(2))
        stack = stacked(
            Pixels(data, good, None), self.frames[0].shape, self.slices, self.orders
        )
        stack, names = self._without_turned(stack)
        light = np.ma.masked_array(stack.data, ~stack.good).mean(axis=0)
        _check_light(light, stack.orders, self.window, check_table=check_table)
        _warn_of_overscan(self.frames[0])
        in_doubt = _warn_of_offset(stack, self.frames[0].unit)
        if check_table and not in_doubt and _shows_orders(light):
            warn_of_unlike_frames(stack, self.window, _levels(stack), names)

    def _without_turned(self, stack: ThinnedStack) -> tuple[ThinnedStack, list[str]]:
        """The frames whose light is in the same pixels, and their names, with a warning if any."""
        names = np.array([frame.name for frame in self.frames])
        turned = turned_frames(stack)
        if not turned.any():
            return stack, names.tolist()
        warn(
            f"the orders of {', '.join(names[turned])} are elsewhere than those of the other "
            "frames, as if turned, mirrored or of another set-up; leave them out"
        )
        data, good, variance = (part if part is None else part[~turned] for part in stack[:3])
        return ThinnedStack(data, good, variance, stack.orders), names[~turned].tolist()


def check_flats(
    frames: Sequence[Frame],
    orders: EchelleOrderTable,
    window: float,
    *,
    check_table: bool = True,
) -> None:
    """
    Run a `Survey` of up to five flats.

    Parameters
    ----------
    frames, orders, window
        See `Survey.planned`.
    check_table
        See `Survey.check`; not needed if the table has already been checked, or was traced from the
        flats.

    Raises
    ------
    WrongOrderTableError
        Under the same conditions as in `Survey.check`, which also issues warnings.
    """
    places = np.linspace(0, len(frames) - 1, _N_FRAMES).round().astype(int)
    frames = [frames[i] for i in np.unique(places)]
    survey = Survey.planned(frames, orders, window)
    sections = [thinned_section(frame.without_uncertainty(), survey.slices) for frame in frames]
    survey.check(sections, check_table=check_table)


def check_image(image: np.ma.MaskedArray, orders: EchelleOrderTable, window: float) -> None:
    """
    Check that a single frame, order table and window are consistent, as `Survey.check` does.

    Parameters
    ----------
    image : masked array, shape (rows, columns)
        The frame.
    orders : `EchelleOrderTable`
        The order centres, on the detector of the frame.
    window : float
        Full width of the window on the order centre.

    Raises
    ------
    WrongOrderTableError
        Under the same conditions as in `Survey.check`, which also issues warnings.
    """
    slices, thin = thinning(image.shape, orders, _N_COLUMNS)
    light = np.ma.masked_invalid(image[slices].astype(float))
    if thin.dispersion_axis == 0:
        light, thin = light.T, thin.transposed()
    _check_light(light, thin, window, check_table=True)


def gathered_and_surveyed(
    frames: Sequence[Frame],
    indices: np.ndarray,
    executor: Executor | None,
    survey: Survey | None,
) -> Pixels:
    """
    Gather pixels of all frames and, while reading them, run a survey.

    Parameters
    ----------
    frames : sequence of `Frame`
        The frames.
    indices : int array, shape (n_pixels,)
        Pixels to gather, as indices into the flattened image, in ascending order.
    executor : `concurrent.futures.Executor` or None
        Executor that reads the frames; `None` stands for one thread per core.
    survey : `Survey` or None
        The survey to run.

    Returns
    -------
    `Pixels`
        The pixels at the indices.
    """
    more = {} if survey is None else dict(more=survey.indices)
    pixels, seen = gather(frames, indices, executor, **more)
    if survey is not None:
        survey.check(seen)
    return pixels


def warn_of_lost_orders(mask: np.ndarray, orders: EchelleOrderTable, window: float) -> None:
    """
    Warn of orders without any good pixel.

    Parameters
    ----------
    mask : bool array, shape (rows, columns)
        Pixels of the master that have no good value in any frame.
    orders : `EchelleOrderTable`
        The order centres, on the detector of the mask.
    window : float
        Full width of the window on the order centre.
    """
    if orders.dispersion_axis == 0:
        mask = mask.T
    rows, inside = rasters.window_rows(orders.center(), window, len(mask))
    good = inside & ~mask[rows, np.arange(mask.shape[1])[:, None]]
    lost = inside.any(axis=(1, 2)) & ~good.any(axis=(1, 2))
    if lost.any():
        numbers = ", ".join(str(number) for number in orders.order_numbers[lost])
        warn(
            f"no frame has a good pixel in the window of order {numbers}: it is masked in the "
            "master; check the masks of the frames, or remove it from the order table"
        )


def refuse_frames_without_light(levels: QTable, advice: str = "Leave them out") -> None:
    """
    Raise if there are frames without light, which are pure noise when scaled to the others.

    Parameters
    ----------
    levels : `~astropy.table.QTable`
        Table with the columns ``frame`` and ``level``.
    advice : str, optional
        Advice to the user, appended to the message.

    Raises
    ------
    ValueError
        If there are any such frames.
    """
    values = levels["level"].value
    dark = np.flatnonzero(values < _NO_LIGHT * np.nanmax(values, initial=0))
    if len(dark):
        names = ", ".join(levels["frame"][dark])
        raise ValueError(
            f"{names} {'has' if len(dark) == 1 else 'have'} no light on the orders, a level below "
            f"{_NO_LIGHT:g} of that of the brightest flat: are there bias or dark frames among the "
            f"flats, or frames turned the other way? {advice}"
        )


def _check_light(light, orders, window: float, *, check_table: bool) -> None:
    """Check that orders and window match the light of a thinned image, if it shows orders."""
    if not _shows_orders(light):
        return
    if check_table:
        try:
            check_in_place(orders, light)
        except UnmatchedOrdersError:
            if _is_even_on(orders, light):
                return  # a flat divided by a master: there is only noise between the orders
            raise
        _warn_of_dark_orders(light, orders)
    _warn_of_wide_window(light, orders, window)


def _shows_orders(light: np.ma.MaskedArray) -> bool:
    """
    Whether there are bright and dark parts; in an evenly lit frame no order table can be wrong.
    """
    dark, bright = _dark_and_bright(light.compressed())
    return bool(bright > 0 and dark < _EVEN * bright)


def _is_even_on(orders: EchelleOrderTable, light: np.ma.MaskedArray) -> bool:
    """Whether all orders are about equally bright, which they are not where the table is wrong."""
    rows, inside = rasters.window_rows(orders.center(), _CORE, len(light))
    values = light.filled(np.nan)[rows, np.arange(light.shape[1])[:, None]]
    known = inside & np.isfinite(values)
    total, count = np.where(known, values, 0).sum(axis=-1), known.sum(axis=-1)
    dark, bright = _dark_and_bright(total[count > 0] / count[count > 0])
    return bool(bright > 0 and dark >= _EVEN * bright)


def _dark_and_bright(values: np.ndarray) -> np.ndarray:
    return np.quantile(values, (0.05, 0.95)) if len(values) else np.zeros(2)


def _warn_of_dark_orders(light: np.ma.MaskedArray, orders: EchelleOrderTable) -> None:
    """Warn of orders without light on their centre: the table may have an order too many."""
    on, below, above = (_values_at(light, rows) for rows in _on_and_beside(orders.center()))
    contrast = on - np.fmax(below, above)
    level, middle = finite_median(on), finite_median(contrast)
    spread = MAD_TO_SIGMA * finite_median(np.abs(contrast - middle[:, None]))
    error = MEDIAN_OVER_MEAN * spread / np.sqrt(np.isfinite(contrast).sum(axis=1).clip(1))
    dark = (level < _DARK_ORDER * np.nanmedian(level)) & ~(middle > _SIGNIFICANT * error)
    if dark.any():
        numbers = ", ".join(str(number) for number in orders.order_numbers[dark])
        warn(
            f"order {numbers} of the table has no light, but its pixels count in the mean that is "
            "normalised to 1: remove it from the order table"
        )


def _on_and_beside(centers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of the order centres, and midway to their neighbours on either side; NaN if none."""
    rank = np.argsort(places_of(centers))
    ordered = np.pad(centers[rank], ((1, 1), (0, 0)), constant_values=np.nan)
    own = np.argsort(rank)
    midway = 0.5 * (ordered[1:] + ordered[:-1])
    return centers, midway[:-1][own], midway[1:][own]


def _values_at(image: np.ma.MaskedArray, rows: np.ndarray) -> np.ndarray:
    """The values in these rows of each column; NaN if there are none."""
    return rasters.values_at(image.filled(np.nan), rows)


def _warn_of_wide_window(
    light: np.ma.MaskedArray, orders: EchelleOrderTable, window: float
) -> None:
    width = typical_width(light, orders)
    if window > max(width, _HARMLESS_WINDOW):
        warn(
            f"the window of {window:g} pixels is wider than the orders, which are {width:.3g} "
            "pixels wide: the levels include the light between the orders; use a narrower window"
        )


# ---------------------------------------------------------------------- zero point


def _warn_of_offset(stack: ThinnedStack, unit) -> bool:
    """Warn of a zero point that is off, and tell whether it is."""
    found = _light_between_and_on(stack)
    if found is None:
        return False
    offset, sigma, level = _offset(*found)
    if abs(offset) > max(_SIGNIFICANT * sigma, _RELEVANT_OFFSET * level):
        warn(
            f"the frames have an offset of about {offset:.3g} {unit} that does not scale with "
            "their light, which makes their levels wrong: subtract bias and dark exactly once"
        )
        return True
    # The levels may be too similar to tell.
    levels = _levels(stack)
    pedestal = pedestal_of(stack, levels) if (levels > 0).all() else None
    if pedestal is not None:
        warn(
            f"the frames have {pedestal.light:.3g} {unit} between the orders, but not the noise "
            f"that so much light would have: at least {pedestal.least:.3g} {unit} of it seems to "
            "be a bias; subtract bias and dark"
        )
    return pedestal is not None


def _levels(stack: ThinnedStack) -> np.ndarray:
    """Rough levels of the frames: the median light on the orders."""
    images = [np.ma.masked_array(*pair) for pair in zip(stack.data, ~stack.good, strict=True)]
    on = np.array([_values_at(image, stack.orders.center()).ravel() for image in images])
    common = np.isfinite(on).all(axis=0)
    return np.nan_to_num(finite_median(on[:, common] if common.any() else on))


def _light_between_and_on(stack: ThinnedStack) -> tuple | None:
    """
    Median light midway between neighbouring orders, and on them, and the errors of the former.

    Each has shape (n_frames,), using pixels that are good in all frames; `None` if there are none.
    """
    centers = stack.orders.center()
    centers = centers[np.argsort(np.nanmedian(centers, axis=1))]
    places = np.stack([0.5 * (centers[1:] + centers[:-1]), centers[1:], centers[:-1]])
    columns = np.arange(centers.shape[1])
    usable = ((places >= 0) & (places <= stack.data.shape[1] - 1)).all(axis=0)
    rows = np.where(usable, places, 0).round().astype(int)
    usable &= stack.good[:, rows, columns].all(axis=(0, 1))
    if len(stack.data) == 1 or not usable.any():
        return None
    between, *on = np.moveaxis(stack.data[:, rows, columns][..., usable], 1, 0)
    dark = np.median(between, axis=1)
    spread = MAD_TO_SIGMA * np.median(np.abs(between - dark[:, None]), axis=1)
    errors = np.hypot(MEDIAN_OVER_MEAN * spread / np.sqrt(between.shape[1]), _DRIFT * dark)
    return dark, np.median(0.5 * (on[0] + on[1]), axis=1), errors


def _offset(dark, bright, errors) -> tuple[float, float, float]:
    """Intercept of the straight line of dark against bright, its error, and the mean of bright."""
    level = bright.mean()
    lever = ((bright - level) ** 2).sum()
    if not lever > 0:
        return 0.0, np.inf, level
    slope = ((bright - level) * dark).sum() / lever
    error = np.sqrt(np.mean(errors**2) * (1 / len(dark) + level**2 / lever))
    return dark.mean() - slope * level, error, level


# ---------------------------------------------------------------------- overscan


def _warn_of_overscan(frame: Frame) -> None:
    header, shape = frame.header, frame.shape
    # Written by ccdproc.trim_image.
    if any(str(key).upper() == "TRIMIM" for key in header):
        return
    card = "TRIMSEC" if header.get("TRIMSEC") else "DATASEC"
    overscan, image = _extent(header.get("BIASSEC")), _extent(header.get(card))
    trimmed = image is not None and tuple(part.stop - part.start for part in image) == shape
    if trimmed:
        return
    if overscan is not None and _lies_within(overscan, shape):
        warn(
            f"{frame.name} still has its overscan, BIASSEC {header['BIASSEC']}: subtract it with "
            "ccdproc.subtract_overscan and remove it with ccdproc.trim_image"
        )
    elif image is not None and _lies_within(image, shape) and not isinstance(
        frame, CalibratedFrame  # of which the user has said what to keep
    ):
        warn(
            f"{frame.name} has pixels outside {card} {header[card]}, which is the part exposed to "
            "light: remove them with ccdproc.trim_image"
        )


def _lies_within(section: tuple[slice, slice], shape: tuple[int, int]) -> bool:
    return all(part.stop <= n for part, n in zip(section, shape, strict=True))


def _extent(section) -> tuple[slice, slice] | None:
    """Rows and columns of a FITS section; `None` if it is not valid."""
    try:
        slices = parse_slices(section, "section")
    except ValueError:
        return None
    known = all(None not in (part.start, part.stop) for part in slices)
    return slices if known else None
