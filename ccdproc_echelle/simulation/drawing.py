# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Random spectrographs.

Numbers are drawn in a fixed order, so that a given seed always produces the same spectrograph.
"""

import numpy as np

from ccdproc_echelle.simulation.flaws import ShortOrders
from ccdproc_echelle.simulation.layers import MAX_RAW

__all__ = ["random_simulation"]

# Approximate number of pixels across the orders.
_ROOM = 1500

# Fraction of the spectrographs that have each of the flaws.
_LIKELY = 0.25


def random_simulation(cls, seed: int, *, flaws: bool):
    """Implementation of `EchelleSimulation.random` for this class."""
    if flaws:
        return _with_flaws(cls, seed)
    rng = np.random.default_rng(seed)
    n_orders = _log_uniform(rng, 5, 61)
    psf_sigma = rng.uniform(0.5, 1.3)
    gap = 3 + rng.exponential(6)
    widest = min(60, _ROOM / int(n_orders) / 1.3 - gap)
    width = _log_uniform(rng, 4, max(4.5, widest))
    return _spectrograph(cls, seed, rng, int(n_orders), psf_sigma, width, gap)


def _with_flaws(cls, seed):
    rng = np.random.default_rng([seed, 2])
    with_profile, width, gap = _profile(rng)
    n_orders = int(_log_uniform(rng, 5, np.clip(_ROOM / (width + gap), 6, 61)))
    simulation = _spectrograph(cls, seed, rng, n_orders, rng.uniform(0.5, 1.3), width, gap)
    simulation = with_profile(simulation)
    for flaw in _FLAWS:
        changed = flaw(simulation, rng)
        if rng.random() < _LIKELY:
            simulation = changed
    return simulation


def _log_uniform(rng, low, high):
    return np.exp(rng.uniform(np.log(low), np.log(high)))


def _spectrograph(cls, seed, rng, n_orders, psf_sigma, width, gap):
    """Orders of the given width and minimum gap, on a detector that they fill."""
    n_pixels = int(rng.integers(500, 1000))
    tilt, curvature = rng.uniform(-0.03, 0.03, 2)
    parameters = dict(
        n_orders=n_orders, order_width=width, smallest_gap=3.0, psf_sigma=psf_sigma,
        tilt=tilt, curvature=curvature, cut_orders=bool(rng.integers(2)),
    )
    # Start with too much room, then remove what exceeds the gap.
    n_rows = int(2 * n_orders * (width + gap)) + 100
    for _ in range(3):
        gaps = cls(shape=(n_rows, n_pixels), **parameters)._gaps()[1:-1]
        n_rows -= int((n_orders - 1) * (gaps.min() - gap))
    shape = (n_rows, n_pixels)
    axis = int(rng.integers(2))
    simulation = cls(
        shape=shape if axis == 1 else shape[::-1], dispersion_axis=axis, seed=seed,
        slit_slope=rng.uniform(-0.1, 0.1), peak=rng.uniform(10_000, 40_000),
        brightness_ratio=_log_uniform(rng, 1, 100), **parameters,
    )
    return simulation.with_scattered_light(rng.uniform(0, 0.08))


# --------------------------------------------------------------- what the orders are images of


def _profile(rng):
    """A function that sets the profile, the width of an order, and the gap between two orders."""
    kinds = (_slit, _tilted_slit, _fibre, _bundle, _slicer)
    return rng.choice(kinds, p=(0.4, 0.15, 0.15, 0.15, 0.15))(rng)


def _slit(rng):
    return (lambda simulation: simulation), _log_uniform(rng, 2, 150), 3 + rng.exponential(6)


def _tilted_slit(rng):
    tilt = rng.uniform(-0.3, 0.3)
    return (lambda s: s.with_tilted_slit(tilt)), _log_uniform(rng, 8, 60), 3 + rng.exponential(6)


def _fibre(rng):
    sigma = rng.uniform(0.9, 3)
    width = 2 * np.sqrt(2 * np.log(100)) * sigma
    return (lambda s: s.with_fibres(1, sigma=sigma)), width, 3 + rng.exponential(6)


def _bundle(rng):
    n, sigma = int(rng.integers(2, 6)), rng.uniform(0.9, 2)
    pitch = sigma * rng.uniform(5, 8)
    reach = 2 * np.sqrt(2 * np.log(100)) * sigma
    return (
        lambda s: s.with_fibres(n, sigma=sigma, pitch=pitch), (n - 1) * pitch + reach,
        max(1.5 * pitch - reach, 3) + rng.exponential(6),
    )


def _slicer(rng):
    n, gap, width = int(rng.integers(2, 5)), rng.uniform(3, 5), rng.uniform(6, 20)
    return (
        lambda s: s.with_slicer(n, gap=gap), n * (width + gap) - gap, 2 * gap + rng.exponential(6)
    )


# ------------------------------------------------------------------------------------- the flaws


def _fixed_pattern(simulation, rng):
    rows, columns, ripple = 6e-4 * simulation.peak * rng.random(3)
    return simulation.with_fixed_pattern(
        rows=rows, columns=columns, ripple=ripple, period=rng.uniform(4, 40)
    )


def _bias_step(simulation, rng):
    rows, columns = rng.uniform(-20, 20, 2)
    return simulation.with_bias_step(rows=rows, columns=columns)


def _dark_border(simulation, rng):
    return simulation.with_dark_border(int(rng.integers(1, 6)))


def _bad_lines(simulation, rng):
    n_rows, n_columns = simulation._row_shape
    rows, columns = (rng.integers(n, size=k).tolist()
                     for n, k in zip((n_rows, n_columns), rng.integers(1, 4, 2), strict=True))
    return simulation.with_bad_lines(
        rows=tuple(rows), columns=tuple(columns), value=float(rng.choice([0, MAX_RAW]))
    )


def _partial_order(simulation, rng):
    centers, widths = simulation._traces()
    spacing = np.median(centers[-1] - centers[-2])
    return simulation.with_partial_order(
        spacing * rng.uniform(1, 1.2), np.median(widths),
        fraction=simulation.brightness_ratio**-1.0 * rng.uniform(0.5, 1.5),
    )


def _dark_end(simulation, rng):
    return simulation.with_dark_end(rng.uniform(0.05, 0.4), fade=rng.uniform(0.02, 0.3))


def _vignetting(simulation, rng):
    return simulation.with_vignetting(rng.uniform(0.2, 1))


def _short_orders(simulation, rng):
    n_pixels, ranges = simulation._row_shape[1], {}
    for number in rng.choice(simulation.n_orders, int(rng.integers(1, 4)), replace=False):
        first, length = (float(x) for x in rng.uniform((0, 0.25), (0.5, 0.9)))
        last = min(n_pixels - 1, int(n_pixels * (first + length)))
        ranges[simulation.first_order + int(number)] = (int(n_pixels * first), last)
    return simulation.with_short_orders(ranges)


def _secondary_bands(simulation, rng):
    """Narrower and fainter than the orders, and only where there is room between the orders."""
    if simulation.dark_end.fraction > 0 or any(type(x) is ShortOrders for x in simulation.layers):
        return simulation  # the bands would end with the orders
    _, widths = simulation._traces()
    width, gap = np.median(widths), simulation._gaps()[1:-1].min()
    band = min(0.3 * width, 0.3 * gap)
    offset = 0.5 * (width + gap) * rng.choice([-1, 1])
    return simulation.with_secondary_bands(
        offset, band, fraction=simulation.brightness_ratio**-0.5 * rng.uniform(0.02, 0.3)
    )


def _fringes(simulation, rng):
    return simulation.with_fringes(
        rng.uniform(0.02, 0.15), period=rng.uniform(5, 15), slope=rng.uniform(-0.5, 0.5)
    )


def _ghosts(simulation, rng):
    return simulation.with_ghosts(
        int(rng.integers(1, 4)), width=rng.uniform(5, 30), fraction=rng.uniform(0.002, 0.02)
    )


_FLAWS = (
    _fixed_pattern, _bias_step, _dark_border, _bad_lines, _partial_order, _dark_end, _vignetting,
    _short_orders, _secondary_bands, _fringes, _ghosts,
)
