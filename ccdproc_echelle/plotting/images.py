# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Images of flats: pixel values, blank areas, stretch, and how to draw them."""

from typing import NamedTuple

import numpy as np
from astropy import units as u
from astropy.nddata import NDData

from ccdproc_echelle.orders import EchelleOrderTable, checked_orders
from ccdproc_echelle.plotting.drawing import NothingToShowError, show_pixels, signal_label

__all__ = [
    "BLANK",
    "CENTER_WIDTH",
    "Picture",
    "along_rows",
    "as_xy",
    "draw_colorbar",
    "draw_image",
    "picture_of",
    "unmasked",
]

BLANK = "#d7ebf5"  # pale blue, which is not the colour of any value
CENTER_WIDTH = 5  # pixels; assumed width of an order if its edges are not known


class Picture(NamedTuple):
    """Everything that a figure needs to show an image."""

    values: np.ndarray  # NaN where blank
    unit: u.UnitBase | None
    orders: EchelleOrderTable
    stretch: dict[str, float]


def picture_of(image, orders: EchelleOrderTable) -> Picture:
    """Prepare an image for a figure: blank areas, stretch, and the orders on it."""
    values = unmasked(image)
    orders = checked_orders(orders).on_detector(values.shape)
    inside = orders.order_map() > 0 if orders.has_edges else orders.inner_mask(CENTER_WIDTH)
    values[_filled(values, inside)] = np.nan
    return Picture(values, getattr(image, "unit", None), orders, _stretch(values, inside))


def unmasked(image) -> np.ndarray:
    """The image as floats, NaN where masked."""
    data = image.data if isinstance(image, NDData) else np.ma.getdata(image)
    if data.ndim == 0:
        raise TypeError(f"image is a {type(image).__name__}, expected a CCDData or an array")
    if data.ndim != 2:
        raise ValueError(f"image has {data.ndim} dimensions, expected 2")
    mask = getattr(image, "mask", None)
    return np.where(False if mask is None else mask, np.nan, np.asarray(data, dtype=float))


def _filled(values, inside) -> np.ndarray:
    """Inter-order pixels that were set to a constant: a single value that most of them share."""
    outside = ~inside & np.isfinite(values)
    if not outside.any():
        return outside
    same = outside & (values == np.median(values[outside]))
    return same if 2 * same.sum() > outside.sum() else np.zeros_like(same)


def _stretch(values, inside) -> dict[str, float]:
    """Limits and linear range of an asinh stretch, from the signal inside the orders."""
    good = np.isfinite(values)
    signal, background = values[inside & good], values[~inside & good]
    faint, bright = np.percentile(signal, [5, 99.5]) if signal.size else (0, 0)
    if not bright > 0:
        raise NothingToShowError(
            "image has no good pixel with a positive signal inside the orders"
        )
    base = np.clip(np.percentile(background, 1), 0, bright / 2) if background.size else 0.0
    linear_width = np.clip(faint - base, bright / 300, bright / 3)
    return {"linear_width": float(linear_width), "vmin": float(base), "vmax": float(bright)}


def along_rows(image: np.ndarray, orders: EchelleOrderTable) -> np.ndarray:
    """Orient an image so that the orders run along its rows."""
    return image if orders.dispersion_axis == 1 else image.T


def as_xy(orders: EchelleOrderTable, along, across) -> tuple:
    """Dispersion and cross-dispersion positions as x and y of the image."""
    return (along, across) if orders.dispersion_axis == 1 else (across, along)


def draw_image(ax, picture: Picture, norm, part: tuple[slice, slice] = np.s_[:, :]) -> None:
    """Draw an image, or only a part of it, which takes less time."""
    from matplotlib import colormaps

    grey = colormaps["gray_r"].with_extremes(bad=BLANK)
    rows, columns = (range(n)[along] for n, along in zip(picture.values.shape, part, strict=True))
    extent = (columns[0] - 0.5, columns[-1] + 0.5, rows[0] - 0.5, rows[-1] + 0.5)
    ax.imshow(
        picture.values[part], norm=norm, cmap=grey, origin="lower", aspect="auto", extent=extent
    )
    show_pixels(ax, picture.values.shape)


def draw_colorbar(ax, picture: Picture, *, gap: float):
    """Add a colour bar as high as the image, whatever its aspect; the gap is in points."""
    from matplotlib.transforms import offset_copy

    beside = offset_copy(ax.transAxes, ax.figure, x=gap, units="points")
    return ax.figure.colorbar(
        ax.images[-1], cax=ax.inset_axes((1, 0, 0.03, 1), transform=beside), extend="max",
        extendfrac=0.03, label=signal_label(picture.unit),
    )
