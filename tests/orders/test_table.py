# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Order tables against plain loops over the pixels of the detector."""

import sys
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import (
    CCDData,
    NDData,
    StdDevUncertainty,
    VarianceUncertainty,
    block_reduce,
)
from astropy.utils.exceptions import AstropyUserWarning
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm

from ccdproc_echelle import EchelleOrderTable
from ccdproc_echelle.orders.rasters import window_rows

AREA_ERROR = 1e-3  # of `coverage`, as promised

# ---------------------------------------------------------------------- slow and simple


@dataclass
class Curves:
    """What an order table was made of: plain powers, and loops that evaluate them."""

    numbers: list
    ranges: np.ndarray
    powers: dict
    shape: tuple
    axis: int

    def table(self) -> EchelleOrderTable:
        return EchelleOrderTable.from_polynomials(
            self.numbers,
            self.powers["center"],
            lower=self.powers["lower"],
            upper=self.powers["upper"],
            shape=self.shape,
            dispersion_axis=self.axis,
            pixel_range=self.ranges,
        )

    def at(self, name, row, pixel):
        first, last = self.ranges[row]
        inside = (first - 0.5 <= pixel) & (pixel <= last + 0.5)
        value = sum(c * pixel**j for j, c in enumerate(self.powers[name][row]))
        return np.where(inside, value, np.nan)

    def image(self, value):
        """An image from ``value(cross, pixel)``."""
        rows, columns = self.shape
        return np.array([
            [value(y, x) if self.axis == 1 else value(x, y) for x in range(columns)]
            for y in range(rows)
        ])

    def inner(self, window):
        def value(cross, pixel):
            return any(
                abs(cross - self.at("center", k, pixel)) <= window / 2
                for k in range(len(self.numbers))
            )

        return self.image(value)

    def order_map(self, margin=0):
        def value(cross, pixel):
            found = [
                (abs(cross - self.at("center", k, pixel)), number)
                for k, number in enumerate(self.numbers)
                if self.at("lower", k, pixel) - margin <= cross
                and cross <= self.at("upper", k, pixel) + margin
            ]
            return min(found)[1] if found else 0

        return self.image(value)

    def coverage(self, n_sub=50):
        """Thin strips of each pixel, each cut at its own edge positions."""
        offsets = (np.arange(n_sub) + 0.5) / n_sub - 0.5

        def value(cross, pixel):
            inside = np.zeros(n_sub)
            for k in range(len(self.numbers)):
                top = np.minimum(self.at("upper", k, pixel + offsets), cross + 0.5)
                bottom = np.maximum(self.at("lower", k, pixel + offsets), cross - 0.5)
                inside += np.nan_to_num(np.maximum(top - bottom, 0))
            return inside.mean()

        return self.image(value)


def random_curves(seed, axis=None, full=False) -> Curves:
    """One to three orders that do not overlap, steep or not, on a small detector."""
    rng = np.random.default_rng(seed)
    axis = int(rng.integers(2)) if axis is None else axis
    n_cross, n_pixels, n_orders = rng.integers(26, 33), rng.integers(10, 15), rng.integers(1, 4)
    slope, bend = rng.uniform(-0.8, 0.8), rng.uniform(-0.003, 0.003)
    center = np.array([
        (c + rng.uniform(-1, 1) - slope * n_pixels / 2, slope, bend)
        for c in np.arange(n_orders) * 12 + rng.uniform(2, 8)
    ])
    lower = center - [(rng.uniform(1, 4), rng.uniform(-0.02, 0.02), 0) for _ in center]
    upper = center + [(rng.uniform(1, 4), rng.uniform(-0.02, 0.02), 0) for _ in center]
    first = rng.integers(0, n_pixels // 2, n_orders)
    last = rng.integers(n_pixels // 2 + 1, n_pixels, n_orders)
    if full:
        first, last = np.zeros(n_orders), np.full(n_orders, n_pixels - 1)
    return Curves(
        numbers=(rng.permutation(n_orders) + rng.integers(1, 100)).tolist(),
        ranges=np.stack([first, last], axis=1),
        powers={"center": center, "lower": lower, "upper": upper},
        shape=(int(n_cross), int(n_pixels)) if axis == 1 else (int(n_pixels), int(n_cross)),
        axis=axis,
    )


curves = st.integers(0, 10**6).map(random_curves)
few = settings(max_examples=15)  # the loops are slow


def flat_orders(positions=(20, 60), shape=(80, 50), **kwargs):
    """Horizontal orders without edges."""
    kwargs = {"dispersion_axis": 1} | kwargs
    numbers = np.arange(len(positions)) + 1
    return EchelleOrderTable.from_polynomials(
        numbers, [[p] for p in positions], shape=shape, **kwargs
    )


# ---------------------------------------------------------------------- evaluation


@few
@given(curves)
def test_curves_are_the_polynomials_within_the_range_and_nan_outside(truth):
    orders = truth.table()
    pixels = np.array([-3.0, 0.0, 2.5, 7.0, 11.49, 30.0])
    for name in ("center", "lower", "upper"):
        everywhere = getattr(orders, name)()
        assert everywhere.shape == (len(truth.numbers), truth.shape[truth.axis])
        for k in range(len(truth.numbers)):
            expected = [truth.at(name, k, p) for p in range(truth.shape[truth.axis])]
            assert_allclose(everywhere[k], expected, atol=1e-11)
            expected = [truth.at(name, k, p) for p in pixels]
            assert_allclose(getattr(orders, name)(pixels)[k], expected, atol=1e-11)


def test_each_order_at_its_own_pixels():
    orders = flat_orders(pixel_range=[(0, 20), (30, 49)])
    assert_allclose(orders.center([[0, 30], [0, 30]]), [[20, np.nan], [np.nan, 60]])
    assert_allclose(orders.center([[3, 5], [33, 35]]), [[20, 20], [60, 60]])


@few
@given(curves, st.floats(0.3, 9))
def test_inner_mask(truth, window):
    assert_array_equal(truth.table().inner_mask(window), truth.inner(window))


@few
@given(curves, st.floats(0.3, 30))
def test_inner_index_is_the_nearest_order_of_each_inner_order_pixel(truth, window):
    orders = truth.table()
    index = orders.inner_index(window)
    assert_array_equal(index >= 0, orders.inner_mask(window))
    for place in np.argwhere(index >= 0):
        pixel, row = place[truth.axis], place[1 - truth.axis]
        distance = np.abs(orders.center([pixel])[:, 0] - row)
        assert distance[index[tuple(place)]] == np.nanmin(distance)


@few
@given(curves, st.sampled_from([0, 1.5, -0.7]))
def test_order_map(truth, margin):
    assert_array_equal(truth.table().order_map(margin), truth.order_map(margin))


@few
@given(curves, st.floats(3, 12))
def test_order_map_where_orders_overlap(truth, margin):
    found = truth.table().order_map(margin)
    assert_array_equal(found, truth.order_map(margin))


def test_overlap_belongs_to_the_nearest_centre():
    orders = EchelleOrderTable.from_polynomials(
        [7, 3], [[4.0], [9.0]], lower=[[0.0], [5.0]], upper=[[8.0], [13.0]],
        shape=(15, 2), dispersion_axis=1,
    )
    assert orders.order_map()[:, 0].tolist() == [7] * 7 + [3] * 7 + [0]


@few
@given(curves)
def test_coverage(truth):
    assert_allclose(truth.table().coverage(), truth.coverage(), atol=1e-3)


def brute_force_coverage(truth, n_sub=50):
    """Points of a fine grid in each pixel, counted."""
    rows, columns = (((np.arange(n * n_sub) + 0.5) / n_sub - 0.5) for n in truth.shape)
    cross, pixels = (rows[:, None], columns) if truth.axis == 1 else (columns, rows[:, None])
    inside = np.zeros((len(rows), len(columns)), dtype=bool)
    for k in range(len(truth.numbers)):
        inside |= (truth.at("lower", k, pixels) <= cross) & (cross <= truth.at("upper", k, pixels))
    return block_reduce(inside.astype(float), n_sub, func=np.mean)


@few
@given(
    st.floats(-6, 6), st.floats(-0.2, 0.2), st.floats(2.5, 11), st.sampled_from([0, 1]),
    st.integers(0, 4), st.floats(-10, 10),
)
def test_coverage_of_steep_and_bent_edges_that_leave_the_detector(
    slope, bend, width, axis, first, height
):
    """Also of an order that begins within the detector, and ends in the middle of a pixel."""
    center = [10 + height - 6 * slope - 36 * bend, slope, bend]
    powers = {
        "center": [center], "lower": [np.subtract(center, (width / 2, 0, 0))],
        "upper": [np.add(center, (width / 2, 0.03, 0))],
    }
    shape = (20, 12) if axis == 1 else (12, 20)
    truth = Curves([1], np.array([[first, 8.3]]), powers, shape, axis)
    # the grid itself is exact to the part of an edge's length that one point stands for
    n_sub = 50
    coverage = truth.table().coverage()
    assert_edges_are_partly_covered(truth.table())
    assert_allclose(coverage, brute_force_coverage(truth, n_sub), atol=2 / n_sub)
    assert_allclose(coverage.sum(), brute_force_coverage(truth, n_sub).sum(), rtol=2e-2, atol=0.1)
    assert_allclose(coverage, truth.coverage(n_sub=1000), atol=AREA_ERROR)


def assert_edges_are_partly_covered(orders):
    coverage, on_edge = orders.coverage(), orders.edge_mask()
    assert on_edge[(coverage > AREA_ERROR) & (coverage < 1 - AREA_ERROR)].all()
    assert (coverage[~on_edge] * (1 - coverage[~on_edge]) < AREA_ERROR).all()
    barely = coverage * (1 - coverage) < 1e-9  # which rounding may make nothing
    assert np.count_nonzero(on_edge & barely) <= 2


@few
@given(curves)
def test_pixels_on_an_edge_are_those_partly_covered(truth):
    assert_edges_are_partly_covered(truth.table())


def test_an_edge_within_another_order_or_between_two_pixels():
    orders = EchelleOrderTable.from_polynomials(
        [1, 2], [[4.0], [6.0]], lower=[[1.5], [3.2]], upper=[[7.0], [9.25]],
        shape=(12, 3), dispersion_axis=1,
    )
    assert np.flatnonzero(orders.edge_mask()[:, 1]).tolist() == [3, 7, 9]


def test_coverage_is_never_more_than_the_whole_pixel():
    orders = EchelleOrderTable.from_polynomials(
        [1, 2], [[4.0], [6.0]], lower=[[1.25], [3.0]], upper=[[7.0], [9.25]],
        shape=(12, 3), dispersion_axis=1,
    )
    expected = [0, 0.25, 1, 1, 1, 1, 1, 1, 1, 0.75, 0, 0]
    assert_allclose(orders.coverage(), np.repeat(np.array(expected)[:, None], 3, axis=1))


@few
@given(curves, st.sampled_from([0, 1.5, -0.7, 8]))
def test_interorder_and_overlap_masks_count_the_orders_at_each_pixel(truth, margin):
    n_orders = truth.image(lambda cross, pixel: sum(
        truth.at("lower", k, pixel) - margin <= cross <= truth.at("upper", k, pixel) + margin
        for k in range(len(truth.numbers))
    ))
    orders = truth.table()
    assert_array_equal(orders.interorder_mask(margin), n_orders == 0)
    assert_array_equal(orders.overlap_mask(margin), n_orders > 1)
    assert_array_equal(orders.interorder_mask(margin), orders.order_map(margin) == 0)


@given(curves)
def test_coverage_agrees_with_the_interorder_mask(truth):
    """Pixels far from any edge are wholly covered, or not at all; others follow their centre."""
    orders = truth.table()
    coverage, outside = orders.coverage(), orders.interorder_mask()
    far_outside, deep_inside = orders.order_map(margin=2) == 0, orders.order_map(margin=-2) > 0
    assert (coverage[far_outside] == 0).all()
    assert_allclose(coverage[deep_inside], 1, atol=1e-9)
    assert (coverage[~outside] > 0).all()
    assert (coverage[outside] < 1).all()


def test_coverage_of_a_steep_order_of_few_pixels():
    """Three sides of pixels within an order do not show how much it is bent."""
    curve = [20.0, -6.0, 1.5]
    orders = EchelleOrderTable.from_polynomials(
        [1], [curve], lower=[np.subtract(curve, [2, 0, 0])], upper=[np.add(curve, [2, 0, 0])],
        shape=(40, 6), dispersion_axis=1, pixel_range=[[2, 3]],
    )
    along, across = (np.arange(400) + 0.5) / 400 - 0.5, (np.arange(40 * 400) + 0.5) / 400 - 0.5
    center = np.polynomial.Polynomial(curve)(3 + along)
    expected = np.abs(across[:, None] - center) < 2
    expected = expected.reshape(40, 400, 400).mean(axis=(1, 2))
    assert_allclose(orders.coverage()[:, 3], expected, atol=AREA_ERROR)


# ---------------------------------------------------------------------- new tables


@example(random_curves(908035), 3, 2)  # an order of three binned pixels
@given(curves, st.integers(2, 3), st.integers(2, 3))
def test_rebinned_commutes_with_binning_the_image(truth, f_rows, f_columns):
    orders, factors = truth.table(), (f_rows, f_columns)
    binned = orders.rebinned(factors)
    expected = block_reduce(orders.coverage(), factors, func=np.mean)
    assert binned.shape == expected.shape
    assert_allclose(binned.coverage(), expected, atol=AREA_ERROR)


@given(curves, st.integers(2, 4))
def test_rebinned_and_back(truth, factor):
    truth.shape = tuple(factor * n for n in truth.shape)
    orders = truth.table()
    back = orders.rebinned(factor).rebinned(1 / factor)
    assert back.shape == orders.shape
    assert_allclose(back.center(), orders.center(), atol=1e-9)


@pytest.mark.parametrize("factor", [0.1, 1 / 3, 1 / 7, 1 / 49])
def test_unbinning_gives_whole_pixels(factor):
    assert flat_orders(shape=(80, 49)).rebinned(factor).shape == (
        round(80 / factor), round(49 / factor)
    )


@given(curves, st.data())
def test_cropped_commutes_with_cutting_the_image(truth, data):
    starts = [data.draw(st.integers(0, n - 2)) for n in truth.shape]
    stops = [
        data.draw(st.integers(start + 1, n))
        for start, n in zip(starts, truth.shape, strict=True)
    ]
    slices = tuple(slice(*ends) for ends in zip(starts, stops, strict=True))
    orders = truth.table()
    try:
        cropped = orders.cropped(slices)
    except ValueError:
        assert not orders.order_map()[slices].any()
        return
    assert cropped.shape == orders.order_map()[slices].shape
    assert_array_equal(cropped.order_map(), orders.order_map()[slices])
    kept = orders.select(cropped.order_numbers)  # one that only touches the border is dropped
    assert_allclose(cropped.coverage(), kept.coverage()[slices], atol=AREA_ERROR)


def test_cropped_takes_slices_as_numpy_does():
    orders = flat_orders()
    assert orders.cropped(np.s_[10:-5, :]).shape == (65, 50)
    assert_allclose(orders.cropped(np.s_[10:-5, :]).center([0]), [[10], [50]])
    assert orders.cropped(np.s_[:40, :]).order_numbers.tolist() == [1]


@given(curves)
def test_transposed_commutes_with_transposing_the_image(truth):
    orders = truth.table()
    turned = orders.transposed()
    assert turned.shape == orders.shape[::-1]
    assert turned.dispersion_axis == 1 - orders.dispersion_axis
    assert_array_equal(turned.order_map(), orders.order_map().T)
    assert_array_equal(turned.inner_mask(3), orders.inner_mask(3).T)
    assert_allclose(turned.coverage(), orders.coverage().T)
    assert_array_equal(turned.transposed().center(), orders.center())


@given(curves, st.sampled_from([0, 1]))
def test_flipped_commutes_with_flipping_the_image(truth, axis):
    orders = truth.table()
    flipped = orders.flipped(axis)
    assert_array_equal(flipped.order_map(), np.flip(orders.order_map(), axis))
    assert_array_equal(flipped.inner_mask(3.1), np.flip(orders.inner_mask(3.1), axis))
    assert_allclose(flipped.coverage(), np.flip(orders.coverage(), axis), atol=AREA_ERROR)
    for name in ("center", "lower", "upper"):
        assert_allclose(getattr(flipped.flipped(axis), name)(), getattr(orders, name)(), atol=1e-9)


def test_flipped_swaps_what_is_known_of_the_edges():
    table = random_curves(3, axis=1).table().table
    table["lower_rms"], table["upper_rms"] = 0.1 * u.pix, 0.2 * u.pix
    table["lower_measured"], table["upper_measured"] = 0.3, 0.4
    table["lowermost"] = 5
    orders = EchelleOrderTable(table)
    across, along = orders.flipped(0).table, orders.flipped(1).table
    assert across.colnames == along.colnames == table.colnames
    assert (across["lower_rms"] == 0.2 * u.pix).all() and (across["upper_measured"] == 0.3).all()
    assert (along["lower_rms"] == 0.1 * u.pix).all() and (along["upper_measured"] == 0.4).all()
    assert (across["lowermost"] == 5).all()


def with_measured_ranges(orders, seed):
    """The order table with edges measured in random ranges; some at one pixel, some nowhere."""
    rng = np.random.default_rng(seed)
    table = orders.table
    n_pixels = orders.shape[orders.dispersion_axis]
    for edge in ("lower", "upper"):
        ends = np.sort(rng.integers(0, n_pixels, (len(orders), 2)), axis=1) + [-0.3, 0.3]
        ends[rng.random(len(orders)) < 0.2] = np.nan
        ends = np.clip(ends, table["pixel_min"][:, None].value, table["pixel_max"][:, None].value)
        table[f"{edge}_measured_min"], table[f"{edge}_measured_max"] = ends.T * u.pix
    return EchelleOrderTable(table)


def measured_at(orders, edge, pixels):
    """At which pixels an edge was measured: the set of (order number, pixel's index)."""
    table = orders.table
    ends = zip(*(table[f"{edge}_measured_{end}"].value for end in ("min", "max")), strict=True)
    return {
        (number, index)
        for number, (first, last) in zip(orders.order_numbers.tolist(), ends, strict=True)
        for index, pixel in enumerate(pixels)
        if first <= pixel <= last
    }


@given(curves, st.integers(0, 10**6))
def test_measured_ranges_are_flipped(truth, seed):
    orders = with_measured_ranges(truth.table(), seed)
    pixels = np.arange(orders.shape[truth.axis])
    along, across = orders.flipped(truth.axis), orders.flipped(1 - truth.axis)
    for edge, other in (("lower", "upper"), ("upper", "lower")):
        expected = measured_at(orders, edge, pixels)
        assert measured_at(along, edge, pixels[::-1]) == expected
        assert measured_at(across, other, pixels) == expected
        assert measured_at(orders.transposed(), edge, pixels) == expected


@given(curves, st.integers(0, 10**6), st.data())
def test_measured_ranges_are_cropped(truth, seed, data):
    orders = with_measured_ranges(truth.table(), seed)
    n_pixels = orders.shape[truth.axis]
    start = data.draw(st.integers(0, n_pixels - 2))
    stop = data.draw(st.integers(start + 1, n_pixels))
    slices = [slice(None)] * 2
    slices[truth.axis] = slice(start, stop)
    try:
        cropped = orders.cropped(tuple(slices))
    except ValueError:
        return  # none is left
    kept = orders.select(cropped.order_numbers)
    for edge in ("lower", "upper"):
        found = measured_at(cropped, edge, np.arange(-n_pixels, 2 * n_pixels))
        inside = measured_at(kept, edge, np.arange(start, stop))
        assert found == {(number, index + n_pixels) for number, index in inside}


@given(curves, st.integers(0, 10**6), st.integers(2, 3))
def test_measured_ranges_are_rebinned(truth, seed, factor):
    orders = with_measured_ranges(truth.table(), seed)
    binned = orders.rebinned(factor)
    kept = orders.select(binned.order_numbers)
    pixels = np.arange(binned.shape[truth.axis])
    before = (pixels + 0.5) * factor - 0.5  # their centres on the detector that is not binned
    for edge in ("lower", "upper"):
        assert measured_at(binned, edge, pixels) == measured_at(kept, edge, before)
        back = binned.rebinned(1 / factor)
        whole = np.arange(len(pixels) * factor)  # the last pixels may not fill a new one
        assert measured_at(back, edge, whole) == measured_at(kept, edge, whole)


@given(curves, st.integers(1, 3), st.integers(1, 3))
def test_residuals_are_rebinned_across_the_dispersion(truth, f_rows, f_columns):
    table = truth.table().table
    table["center_rms"], table["lower_rms"], table["upper_rms"] = [0.3, 0.6, np.nan] * u.pix
    orders = EchelleOrderTable(table)
    across = (f_columns, f_rows)[truth.axis]
    for changed, factor in (
        (orders.rebinned((f_rows, f_columns)), across),
        (orders.flipped(truth.axis), 1),
        (orders.transposed(), 1),
    ):
        for name, rms in (("center_rms", 0.3), ("lower_rms", 0.6), ("upper_rms", np.nan)):
            assert_allclose(changed.table[name].value, rms / factor)


@given(curves, st.integers(0, 10**6), st.integers(-4, 4))
def test_measured_ranges_stay_when_orders_are_shifted(truth, seed, delta):
    orders = with_measured_ranges(truth.table(), seed)
    try:
        shifted = orders.shifted(delta)
    except ValueError:
        return  # none is left
    kept = orders.select(shifted.order_numbers)
    pixels = np.arange(orders.shape[truth.axis])
    for edge in ("lower", "upper"):
        assert measured_at(shifted, edge, pixels) == measured_at(kept, edge, pixels)


@pytest.mark.parametrize("axis", [2, -1, None, True])
def test_flipped_needs_an_axis(axis):
    with pytest.raises(ValueError, match="axis is .*, expected 0"):
        flat_orders().flipped(axis)


def assert_same_orders(one, two):
    assert (one.shape, one.dispersion_axis) == (two.shape, two.dispersion_axis)
    assert_array_equal(one.order_numbers, two.order_numbers)
    for name in ("center", "lower", "upper"):
        assert_allclose(getattr(one, name)(), getattr(two, name)(), atol=1e-9)


@given(curves, st.sampled_from([0, 1]), st.integers(2, 3))
def test_geometry_composes(truth, axis, factor):
    truth.shape = tuple(factor * n for n in truth.shape)  # so that binning leaves no rest
    orders, other = truth.table(), 1 - axis
    assert_same_orders(orders.flipped(axis).transposed(), orders.transposed().flipped(other))
    assert_same_orders(
        orders.flipped(axis).rebinned(factor), orders.rebinned(factor).flipped(axis)
    )
    factors = (factor, 1)
    assert_same_orders(
        orders.transposed().rebinned(factors[::-1]), orders.rebinned(factors).transposed()
    )
    assert_same_orders(orders.flipped(0).flipped(1), orders.flipped(1).flipped(0))


@given(curves, st.data())
def test_cropping_composes(truth, data):
    orders = truth.table()
    slices = tuple(
        slice(2 * data.draw(st.integers(0, n // 5)), n // 2 * 2 - 2 * data.draw(st.integers(0, 2)))
        for n in truth.shape
    )
    try:
        cropped = orders.cropped(slices)
    except ValueError:
        return
    mirrored = tuple(slice(n - s.stop, n - s.start)
                     for s, n in zip(slices, truth.shape, strict=True))
    assert_same_orders(cropped.transposed(), orders.transposed().cropped(slices[::-1]))
    assert_same_orders(cropped.flipped(0), orders.flipped(0).cropped((mirrored[0], slices[1])))
    assert_same_orders(cropped.flipped(1), orders.flipped(1).cropped((slices[0], mirrored[1])))
    # What only touches the border may be dropped on the coarser pixels; more than that must not.
    deep = np.unique(cropped.order_map(margin=-2))
    deep = deep[deep > 0]
    if len(deep):
        halves = tuple(slice(s.start // 2, s.stop // 2) for s in slices)
        assert_same_orders(
            cropped.rebinned(2).select(deep), orders.rebinned(2).cropped(halves).select(deep)
        )


@given(curves, st.integers(1, 4))
def test_shifted_commutes_with_shifting_the_image(truth, delta):
    orders = truth.table()
    cross = 1 - truth.axis
    for sign in (1, -1):
        try:
            shifted = orders.shifted(sign * delta)
        except ValueError:
            continue
        old, new = (np.moveaxis(o.coverage(), cross, 0) for o in (orders, shifted))
        if sign < 0:
            old, new = new, old
        assert_allclose(new[delta:], old[:-delta], atol=AREA_ERROR)


def test_shifted_by_a_fraction_moves_centres_and_edges():
    truth = random_curves(3, axis=0, full=True)
    orders = truth.table()
    moved = orders.shifted(0.37)
    for name in ("center", "lower", "upper"):
        assert_allclose(getattr(moved, name)(), getattr(orders, name)() + 0.37)


def test_shifted_off_the_detector():
    assert flat_orders().shifted(30).order_numbers.tolist() == [1]
    with pytest.raises(ValueError, match="no order is left"):
        flat_orders().shifted(100)


@given(curves)
def test_select_and_iteration(truth):
    orders = truth.table()
    chosen = truth.numbers[::-1]
    selected = orders.select(chosen)
    assert selected.order_numbers.tolist() == chosen
    assert_array_equal(selected.center(), orders.center()[::-1])
    assert orders.select(chosen[0]).order_numbers.tolist() == [chosen[0]]
    assert len(orders) == len(truth.numbers)
    for k, order in enumerate(orders):
        assert order.order_numbers.tolist() == [truth.numbers[k]]
        assert_array_equal(order.upper(), orders.upper()[k : k + 1])


@pytest.mark.parametrize("n_pixels", [1, 150])
def test_with_edges_needs_a_position_at_every_pixel(n_pixels):
    orders = EchelleOrderTable.from_polynomials([1], [[20]], shape=(40, 200), dispersion_axis=1)
    edges = np.full((1, n_pixels), 10.0)
    with pytest.raises(ValueError, match=f"lower has {n_pixels} pixels, expected 200"):
        orders.with_edges(edges, edges + 20)


def test_with_edges_fits_the_positions_within_the_range():
    truth = random_curves(11)
    full = truth.table()
    bare = EchelleOrderTable.from_polynomials(
        truth.numbers, truth.powers["center"], shape=truth.shape, dispersion_axis=truth.axis,
        pixel_range=truth.ranges,
    )
    n_pixels = truth.shape[truth.axis]
    lower, upper = (
        np.array([[sum(c * p**j for j, c in enumerate(row)) for p in range(n_pixels)]
                  for row in truth.powers[name]])
        for name in ("lower", "upper")
    )
    outside = np.isnan(bare.center())
    lower[outside] = -1e6
    edged = bare.with_edges(lower, upper, degree=2)
    assert not bare.has_edges and edged.has_edges
    assert_allclose(edged.lower(), full.lower(), atol=1e-9)
    assert_allclose(edged.upper(), full.upper(), atol=1e-9)
    assert_array_equal(edged.center(), bare.center())


# ---------------------------------------------------------------------- specreduce


def test_to_specreduce_names_the_missing_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "specreduce.tracing", None)
    with pytest.raises(ImportError, match="pip install specreduce"):
        flat_orders().to_specreduce(np.zeros((80, 50)))


@pytest.mark.parametrize("axis", [0, 1])
def test_specreduce_extracts_along_the_traces(axis):
    tracing = pytest.importorskip("specreduce.tracing")
    extract = pytest.importorskip("specreduce.extract")
    orders = EchelleOrderTable.from_polynomials(
        [5, 4], [[20, 0.1], [40, 0.05]], shape=(60, 80), dispersion_axis=1,
        pixel_range=[(0, 79), (10, 69)],
    )
    image = np.where(orders.inner_mask(7), 3.0, 0.0)
    image = CCDData(image, unit="adu", mask=np.zeros(image.shape, dtype=bool))
    if axis == 0:
        orders = orders.transposed()
        image = CCDData(image.data.T, unit="adu", mask=image.mask.T)
    traces = orders.to_specreduce(image)
    assert all(isinstance(trace, tracing.ArrayTrace) for trace in traces)
    for trace, center in zip(traces, orders.center(), strict=True):
        found = np.ma.filled(trace.trace, np.nan)
        assert_allclose(found, center)
        assert_array_equal(np.ma.getmaskarray((trace + 1).trace), np.isnan(center))
        with np.errstate(invalid="ignore"):  # 0 / 0 where there is no trace
            flux = extract.BoxcarExtract(trace.image, trace, width=3).spectrum.flux
        assert_allclose(flux.to_value("adu"), np.where(np.isnan(center), np.nan, 9.0))


def test_specreduce_traces_of_another_detector():
    pytest.importorskip("specreduce.tracing")
    with pytest.raises(ValueError, match="for a detector of shape"):
        flat_orders().to_specreduce(np.zeros((50, 80)))


@pytest.fixture
def tracing(monkeypatch):
    """What `to_specreduce` needs of specreduce, which need not be installed."""
    stand_in = SimpleNamespace(
        ArrayTrace=lambda image, trace: SimpleNamespace(image=image, trace=trace),
        FlatTrace=lambda image, position: SimpleNamespace(image=image, trace_pos=position),
    )
    monkeypatch.setitem(sys.modules, "specreduce", SimpleNamespace(tracing=stand_in))
    monkeypatch.setitem(sys.modules, "specreduce.tracing", stand_in)


def curved_orders():
    """Two orders with edges, of which one leaves the detector and one begins late."""
    return EchelleOrderTable.from_polynomials(
        [5, 4], [[8, 0.11], [54.3, 0.06]], lower=[[2, 0.11], [49.1, 0.06]],
        upper=[[13.2, 0.11], [60.6, 0.06]], shape=(60, 80), dispersion_axis=1,
        pixel_range=[(0, 79), (10, 69)],
    )


@pytest.mark.parametrize("axis", [0, 1])
def test_straightened_orders_hold_the_pixels_of_the_order(tracing, axis):
    orders = curved_orders()
    values = np.arange(60.0 * 80).reshape(60, 80)
    bad = np.random.default_rng(1).random(values.shape) < 0.1
    frame, mask = (values, bad) if axis == 1 else (values.T, bad.T)
    orders = orders if axis == 1 else orders.transposed()
    image = NDData(frame, unit="adu", mask=mask, uncertainty=VarianceUncertainty(2 * frame))
    traces = orders.to_specreduce(image, straighten=True)
    for trace, center, lower, upper in zip(
        traces, orders.center(), orders.lower(), orders.upper(), strict=True
    ):
        strip = trace.image
        assert strip.unit == "adu" and strip.data.shape == (2 * trace.trace_pos + 1, 80)
        assert_array_equal(strip.uncertainty.array[~strip.mask], 2 * strip.data[~strip.mask])
        for column in range(80):
            rows = [r for r in range(60) if lower[column] <= r <= upper[column]]
            good = [values[r, column] for r in rows if not bad[r, column]]
            kept = ~strip.mask[:, column]
            assert_array_equal(strip.data[kept, column], good)
            if good:
                row = strip.data[trace.trace_pos, column] // 80
                assert strip.mask[trace.trace_pos, column] or abs(row - center[column]) <= 0.5


def test_straightening_needs_edges(tracing):
    with pytest.raises(ValueError, match="no edges"):
        flat_orders().to_specreduce(np.zeros((80, 50)), straighten=True)


def test_an_array_is_straightened_with_a_mask(tracing):
    strip = curved_orders().to_specreduce(np.ones((60, 80)), straighten=True)[1].image
    assert strip.unit == "DN" and strip.mask[:, :10].all() and not strip.mask.all()


@pytest.mark.parametrize("straighten", [False, True])
def test_to_specreduce_takes_a_master_flat(tracing, straighten):
    orders = curved_orders()
    flat = CCDData(np.random.default_rng(2).random((60, 80)), unit="")
    master = SimpleNamespace(flat=flat, orders=orders)
    of_master, of_flat = (orders.to_specreduce(x, straighten=straighten) for x in (master, flat))
    for one, other in zip(of_master, of_flat, strict=True):
        assert_array_equal(one.image.data, other.image.data)


def test_horne_extracts_straightened_orders():
    pytest.importorskip("specreduce.tracing")
    extract = pytest.importorskip("specreduce.extract")
    orders, rows = curved_orders(), np.arange(60)[:, np.newaxis]
    light = [flux * norm.pdf(rows, center, 1.5)
             for flux, center in zip((1000, 3000), orders.center(), strict=True)]
    image = CCDData(np.nansum(light, axis=0), unit="adu", mask=np.zeros((60, 80), dtype=bool),
                    uncertainty=StdDevUncertainty(np.ones((60, 80))))
    center = np.rint(orders.center()[0]).astype(int)
    image.data[center[30:40], np.arange(30, 40)] = 1e6
    image.mask[center[30:40], np.arange(30, 40)] = True
    for trace, flux in zip(orders.to_specreduce(image, straighten=True), (1000, 3000), strict=True):
        found = extract.HorneExtract(trace.image, trace).spectrum.flux.value
        assert_allclose(found[15:65], flux, rtol=0.03)


# ---------------------------------------------------------------------- construction


@given(curves)
def test_from_traces_recovers_polynomials_and_their_range(truth):
    made = truth.table()
    traced = EchelleOrderTable.from_traces(
        truth.numbers, made.center(), lower=made.lower(), upper=made.upper(),
        shape=truth.shape, dispersion_axis=truth.axis, degree=2,
    )
    for name in ("center", "lower", "upper"):
        assert_allclose(getattr(traced, name)(), getattr(made, name)(), atol=1e-9)
        assert (traced.table[f"{name}_rms"] < 1e-9 * u.pix).all()


def test_from_traces_bridges_gaps_and_takes_masked_arrays():
    pixels = np.arange(30.0)
    trace = np.ma.masked_array([10 + 0.1 * pixels], mask=[(pixels < 4) | (pixels == 12)])
    orders = EchelleOrderTable.from_traces([5], trace, shape=(20, 30), dispersion_axis=1, degree=1)
    assert np.flatnonzero(np.isnan(orders.center()[0])).tolist() == [0, 1, 2, 3]
    assert_allclose(orders.center([12]), [[11.2]])


def test_from_traces_measures_the_residual():
    trace = 10 + 0.5 * (-1.0) ** np.arange(100)
    orders = EchelleOrderTable.from_traces(
        [1], [trace], shape=None, dispersion_axis=0, degree=0)
    assert_allclose(orders.table["center_rms"].to_value("pix"), 0.5, rtol=1e-3)


def test_high_degrees_are_well_conditioned():
    pixels = np.arange(4096.0)
    trace = 500 + 300 * np.cos(pixels / 800)
    orders = EchelleOrderTable.from_traces(
        [1], [trace], shape=(1000, 4096), dispersion_axis=1, degree=20)
    assert_allclose(orders.center()[0], trace, atol=1e-6)


def test_tables_cannot_be_changed_from_outside():
    truth = random_curves(5)
    source = truth.table().table
    orders = EchelleOrderTable(source)
    before = orders.center()
    source["center"][:] = 0 * u.pix
    source.meta["dispersion_axis"] = 5
    copy = orders.table
    copy["center"][:] = 0 * u.pix
    copy.meta["shape"] = (1, 1)
    orders.order_numbers[:] = 99
    orders.center()[:] = 0
    orders.shifted(1)
    orders.transposed()
    assert_array_equal(orders.center(), before)
    assert orders.order_numbers.tolist() == truth.numbers
    assert (orders.shape, orders.dispersion_axis) == (truth.shape, truth.axis)


def test_meta_travels_along():
    table = flat_orders().table
    table.meta["instrument"] = "SOXS"
    orders = EchelleOrderTable(table)
    for made in (orders.shifted(1), orders.transposed(), orders.rebinned(2), orders.select(1)):
        assert made.table.meta["instrument"] == "SOXS"


def test_repr_tells_what_is_inside():
    assert repr(flat_orders()) == (
        "<EchelleOrderTable: 2 orders (1 to 2), shape (80, 50), dispersion_axis 1, no edges>"
    )


# ---------------------------------------------------------------------- an unknown detector


def test_without_a_shape_only_named_pixels_can_be_evaluated():
    orders = flat_orders(shape=None, pixel_range=(0, 49))
    assert_allclose(orders.center([0, 49]), [[20, 20], [60, 60]])
    for call in (orders.center, lambda: orders.inner_mask(3), lambda: orders.cropped(np.s_[:, :])):
        with pytest.raises(ValueError, match="detector shape of this order table is unknown"):
            call()


def test_on_detector_binds_an_unknown_shape():
    orders = flat_orders(shape=None, pixel_range=(0, 49))
    assert orders.on_detector((80, 50)).shape == (80, 50)
    assert orders.shape is None
    bound = flat_orders()
    assert bound.on_detector((80, 50)).shape == (80, 50)


def test_on_detector_refuses_another_detector():
    with pytest.raises(ValueError, match=r"shape \(80, 50\), the frame has \(40, 50\)"):
        flat_orders().on_detector((40, 50))
    with pytest.raises(ValueError, match="no order centre lies on a detector"):
        flat_orders(shape=None, pixel_range=(0, 49)).on_detector((10, 50))


def test_on_detector_warns_of_orders_that_run_past_its_end():
    orders = flat_orders(shape=None, pixel_range=(0, 49))
    with pytest.warns(AstropyUserWarning, match=r"run to dispersion pixel 49.*ends at 24"):
        orders.on_detector((80, 25))


# ---------------------------------------------------------------------- errors


@pytest.mark.parametrize(("kwargs", "message"), [
    ({"dispersion_axis": 2}, "dispersion_axis is 2"),
    ({"dispersion_axis": True}, "dispersion_axis is True"),
    ({"shape": (80,)}, r"shape is \(80,\)"),
    ({"shape": (80, 0)}, r"shape is \(80, 0\)"),
    ({"shape": (80.5, 50)}, r"shape is \(80.5, 50\)"),
    ({"shape": None}, "pixel_range is needed"),
    ({"pixel_range": (30, 10)}, "empty pixel range"),
    ({"pixel_range": (30, 29)}, "empty pixel range"),
    ({"positions": (20, np.nan)}, r"orders \[2\] have center coefficients"),
    ({"pixel_range": (0, np.inf)}, "not finite"),
    ({"lower": [[1], [2]]}, "one edge"),
    ({"lower": [[1], [2], [3]], "upper": [[1], [2], [3]]}, "lower has shape"),
    ({"lower": [[1], [2, 3]], "upper": [[1], [2]]}, "lower .* rows of one length"),
    ({"lower": [[25], [55]], "upper": [[15], [65]]}, r"orders \[1\].*upper edge not above"),
])
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        flat_orders(**kwargs)


@pytest.mark.parametrize(("numbers", "message"), [
    ([1, 1], "unique"),
    ([0, 1], "order number 0 is reserved"),
    ([1.5, 2.0], "expected integers"),
    (["a", "b"], "order numbers are .'a', 'b'., expected integers"),
    ([1], "center has shape"),
    ([], "center has shape"),
])
def test_bad_order_numbers(numbers, message):
    with pytest.raises(ValueError, match=message):
        EchelleOrderTable.from_polynomials(
            numbers, [[20], [60]], shape=(80, 50), dispersion_axis=1)


def test_bad_tables():
    good = flat_orders().table
    for name in ("order", "pixel_min", "pixel_max", "center"):
        table = good.copy()
        del table[name]
        with pytest.raises(ValueError, match=f"no column '{name}'"):
            EchelleOrderTable(table)
    table = good.copy()
    table["center"] = [20, 60] * u.pix
    with pytest.raises(ValueError, match="column 'center' has shape"):
        EchelleOrderTable(table)
    table = good.copy()
    table["center"][1] = np.nan * u.pix
    with pytest.raises(ValueError, match=r"orders \[2\] have coefficients"):
        EchelleOrderTable(table)
    table = good.copy()
    del table.meta["dispersion_axis"]
    with pytest.raises(ValueError, match="dispersion_axis is None"):
        EchelleOrderTable(table)
    with pytest.raises(ValueError, match="empty"):
        EchelleOrderTable(good[:0])
    table = good.copy()
    table["center"] = [[20], [60]] * u.s
    with pytest.raises(u.UnitConversionError):
        EchelleOrderTable(table)


def test_bad_traces():
    traces = np.full((2, 50), 20.0)
    arguments = {"shape": (80, 50), "dispersion_axis": 1}
    with pytest.raises(ValueError, match=r"have 40 pixels.*expected 50"):
        EchelleOrderTable.from_traces([1, 2], traces[:, :40], **arguments)
    traces[1] = np.nan
    with pytest.raises(ValueError, match="order 2 has no finite centre"):
        EchelleOrderTable.from_traces([1, 2], traces, **arguments)
    traces[1, 10:14] = 60
    with pytest.raises(ValueError, match=r"order 2 has 4 finite center.*at least 5"):
        EchelleOrderTable.from_traces([1, 2], traces, **arguments)


@pytest.mark.parametrize("method", [
    "lower", "upper", "order_map", "interorder_mask", "overlap_mask", "edge_mask", "coverage",
])
def test_without_edges(method):
    with pytest.raises(ValueError, match="no edges"):
        getattr(flat_orders(), method)()


@pytest.mark.parametrize("window", [0, -3, np.nan])
def test_bad_window(window):
    for method in (flat_orders().inner_mask, flat_orders().inner_index):
        with pytest.raises(ValueError, match="window is"):
            method(window)


def test_bad_selection():
    with pytest.raises(ValueError, match=r"orders \[5\] are not in the table, which has \[1, 2\]"):
        flat_orders().select([1, 5])
    with pytest.raises(ValueError, match="unique"):
        flat_orders().select([1, 1])


@pytest.mark.parametrize("slices", [np.s_[::2, :], np.s_[40:10, :], np.s_[90:, :]])
def test_bad_slices(slices):
    with pytest.raises(ValueError, match="slices are"):
        flat_orders().cropped(slices)


@pytest.mark.parametrize("slices", [(5, 6), np.s_[5:6], np.s_[5:6, 2], 5, np.s_[:, :, :], "ab"])
def test_slices_that_are_none(slices):
    with pytest.raises(TypeError, match="slices is .*, expected a slice of rows and one of"):
        flat_orders().cropped(slices)


@pytest.mark.parametrize("factors", [0, -2, (2, 0)])
def test_bad_factors(factors):
    with pytest.raises(ValueError, match="factors are"):
        flat_orders().rebinned(factors)


def test_binning_larger_than_the_detector():
    with pytest.raises(ValueError, match="shape is"):
        flat_orders().rebinned(100)


def test_html_shows_the_table():
    orders = EchelleOrderTable.from_polynomials(
        [10, 11], [[20, 0.1], [60, 0.1]], shape=(100, 120), dispersion_axis=1)
    html = orders._repr_html_()
    assert "2 orders (10 to 11)" in html and "<table" in html and "pixel_min" in html


def test_an_order_beyond_the_end_of_the_detector_covers_nothing():
    lower, center, upper = [[12], [52], [72]], [[20], [60], [80]], [[28], [68], [88]]
    orders = EchelleOrderTable.from_polynomials(
        [1, 2, 3], center, lower=lower, upper=upper, shape=(92, 200), dispersion_axis=1,
        pixel_range=[[0, 199], [0, 199], [250, 300]],
    )
    others = orders.select([1, 2])
    assert np.isnan(orders.center()[2]).all()
    assert_array_equal(orders.order_map(), others.order_map())
    assert_array_equal(orders.overlap_mask(), others.overlap_mask())
    assert_allclose(orders.coverage(), others.coverage(), atol=1e-12)


@pytest.mark.parametrize("margin", [np.nan, np.inf])
def test_a_margin_that_is_no_number_of_pixels(margin):
    orders = EchelleOrderTable.from_polynomials(
        [1], [[5]], lower=[[3]], upper=[[7]], shape=(10, 30), dispersion_axis=1)
    for method in (orders.order_map, orders.interorder_mask, orders.overlap_mask):
        with pytest.raises(ValueError, match="margin is (nan|inf), expected a number of pixels"):
            method(margin)


@pytest.mark.parametrize("degree", [-1, 1.5, None])
def test_a_degree_that_is_none(degree):
    with pytest.raises(ValueError, match="degree is .*, expected an integer of at least 0"):
        EchelleOrderTable.from_traces(
            [1], np.full((1, 30), 5.0), shape=(10, 30), dispersion_axis=1, degree=degree)


def test_a_window_wider_than_the_detector_needs_no_more_memory():
    centers = np.array([[-4.0, 10.0, 21.5, np.nan]])
    rows, inside = window_rows(centers, 1e12, 20)
    assert rows.shape == (1, 4, 21)
    assert [sorted(r[i]) for r, i in zip(rows[0], inside[0], strict=True)] == [
        *[list(range(20))] * 3, []]
