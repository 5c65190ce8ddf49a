# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The ideal instrument: order traces, blaze and slit image. Plain arrays."""

import numpy as np

from ccdproc_echelle._numeric.gaussians import blurred_ramp

__all__ = ["blaze_functions", "order_traces", "plane_axes", "slit_image"]


def order_traces(shape, n_orders, *, width, gap, tilt, curvature, cut):
    """Centre and width of each order at each pixel, both (n_orders, n_pixels)."""
    n_rows, n_pixels = shape
    u = np.linspace(-1, 1, n_pixels)
    place = np.linspace(0, 1, n_orders) if n_orders > 1 or cut else np.array([0.5])
    place = place[:, np.newaxis]
    side = 2 * place - 1
    bend = n_rows * (tilt * (1 + 0.3 * side) * u + curvature * (1 + 0.2 * side) * (u**2 - 0.5))
    margin = 0.55 * width + gap
    first = (0.2 * width if cut else margin) - bend[0].min()
    last = n_rows - 1 - margin - bend[-1].max()
    # the spacing grows by half from the first pair of orders to the last one
    centers = first + (last - first) * (place + 0.2 * place * (place - 1)) + bend
    return centers, width * (1 + 0.05 * side + 0.03 * u)


def blaze_functions(n_orders, n_pixels, brightness_ratio):
    """Blaze of each order, (n_orders, n_pixels); the first order is the brightest, with peak 1."""
    place = np.linspace(0, 1, n_orders)[:, np.newaxis]
    u = np.linspace(-1, 1, n_pixels)
    return brightness_ratio**-place * np.sinc(0.55 * (u - 0.3 * (place - 0.5))) ** 2


def _ramp_of_step(z, sigma):
    """Integral up to z of a step at 0 that is blurred by a Gaussian."""
    if sigma == 0:
        return np.maximum(z, 0)
    return sigma * blurred_ramp(z / sigma)


def slit_image(n_rows, lower, upper, brightness, *, sigma, slope, tilt=0.0):
    """Orders as top-hats from lower to upper, blurred, integrated exactly over each pixel.

    Inputs are (n_orders, n_pixels). Integrated twice, a top-hat becomes a difference of ramps; the
    difference between the two sides of a pixel is the light in it. For a tilted slit, the same
    light is shifted by ``tilt`` dispersion pixels per pixel across.
    """
    pixel = np.arange(lower.shape[1])
    image = np.zeros((n_rows, lower.shape[1]))
    reach = 8 * sigma + 1
    for low, high, light in zip(lower, upper, brightness, strict=True):
        first = np.floor(low - reach).astype(int)
        rows = first + np.arange(int(np.max(high - low) + 2 * reach) + 3)[:, np.newaxis]
        sides = np.vstack([rows, rows[-1:] + 1]) - 0.5
        below = _ramp_of_step(sides - low, sigma) - _ramp_of_step(sides - high, sigma)
        profile = np.diff(below, axis=0)
        if tilt:
            light = np.interp(pixel - tilt * (rows - 0.5 * (low + high)), pixel, light)
        profile *= light * (1 + slope * (2 * rows - low - high) / (high - low))
        step, column = np.nonzero((rows >= 0) & (rows < n_rows))
        # far from the order, rounding makes the differences slightly negative
        image[rows[step, column], column] += np.maximum(profile, 0)[step, column]
    return image


def plane_axes(shape):
    """Row and column coordinates, broadcastable, from -1 to 1 over the image."""
    rows, columns = (np.linspace(-1, 1, size) for size in shape)
    return rows[:, np.newaxis], columns
