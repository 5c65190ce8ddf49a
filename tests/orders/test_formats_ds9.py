# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""DS9 regions: what DS9 would draw lies on the orders."""

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose

from ccdproc_echelle import EchelleOrderTable

NUMBER = r"-?\d+(?:\.\d+)?"
SEGMENT = re.compile(rf"# segment\(({NUMBER}(?:,{NUMBER})*)\) color=(\w+)")
TEXT = re.compile(rf"# text\(({NUMBER}),({NUMBER})\) color=(\w+) text=\{{(-?\d+)\}}")
COLORS = {"center": "green", "lower": "cyan", "upper": "magenta"}


def curved_orders(axis, edges=True) -> EchelleOrderTable:
    """Orders 7 and 9, the second from dispersion pixel 100 to 299 only."""
    center = np.array([[50, 0.1, -1e-4], [120, 0.1, -1e-4]])
    kwargs = {"lower": center - [6, 0, 0], "upper": center + [8, 0.01, 0]} if edges else {}
    return EchelleOrderTable.from_polynomials(
        [7, 9], center, shape=(300, 200) if axis == 0 else (200, 300), dispersion_axis=axis,
        pixel_range=[(0, 299), (100, 299)], **kwargs,
    )


def regions(orders, folder):
    """Header lines, polylines (colour, x, y) and texts (x, y, colour, number) of the file."""
    path = folder / "orders.reg"
    orders.write(path, format="ds9")
    lines = path.read_text().splitlines()
    header, lines = lines[:3], lines[3:]
    segments, texts = [], []
    for line in lines:
        if match := SEGMENT.fullmatch(line):
            points = np.array(match[1].split(","), float).reshape(-1, 2)
            segments.append((match[2], *points.T))
        else:
            x, y, color, number = TEXT.fullmatch(line).groups()
            texts.append((float(x), float(y), color, int(number)))
    return header, segments, texts


def test_header_says_image_coordinates(tmp_path):
    header, _, _ = regions(curved_orders(1), tmp_path)
    assert header == ["# Region file format: DS9 version 4.1", "global width=1", "image"]


@pytest.mark.parametrize("axis", [0, 1])
def test_polylines_lie_on_the_curves(axis, tmp_path):
    orders = curved_orders(axis)
    _, segments, _ = regions(orders, tmp_path)
    assert [color for color, _, _ in segments] == [*COLORS.values()] * 2
    for (_, x, y), (order, name) in zip(
        segments, [(order, name) for order in orders for name in COLORS], strict=True
    ):
        along, across = (x - 1, y - 1) if axis == 1 else (y - 1, x - 1)
        first = 0 if order.order_numbers[0] == 7 else 100
        assert (along[0], along[-1]) == (first - 0.5, 299.5)
        assert (np.diff(along) > 0).all()
        pixels = np.arange(first, 300)
        drawn = np.interp(pixels, along, across)
        assert_allclose(drawn, getattr(order, name)(pixels)[0], atol=0.01)


@pytest.mark.parametrize("axis", [0, 1])
def test_order_numbers_stand_on_the_order_centres(axis, tmp_path):
    orders = curved_orders(axis)
    _, _, texts = regions(orders, tmp_path)
    assert [number for *_, number in texts] == [7, 9]
    for (x, y, color, _), order in zip(texts, orders, strict=True):
        along, across = (x - 1, y - 1) if axis == 1 else (y - 1, x - 1)
        assert across == pytest.approx(order.center(along).item(), abs=2e-3)
        assert color == COLORS["center"]


def test_without_edges_only_centres_are_drawn(tmp_path):
    _, segments, texts = regions(curved_orders(1, edges=False), tmp_path)
    assert [color for color, _, _ in segments] == ["green"] * 2
    assert len(texts) == 2


def test_regions_need_no_detector_shape(tmp_path):
    orders = EchelleOrderTable.from_polynomials(
        [3], [[10.25, 0.5]], shape=None, dispersion_axis=1, pixel_range=(4, 5))
    _, [(_, x, y)], _ = regions(orders, tmp_path)
    assert_allclose(x, [4.5, 6.5])
    assert_allclose(y, [13, 14])
