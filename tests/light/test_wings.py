# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Which shapes of wings the pixels of a gap require."""

import numpy as np
import pytest

from ccdproc_echelle.light.wings import chosen_shapes

WIDTHS = (1, 3, 8)


def equations(light, *, seen=(True, True)):
    """
    Of a constant surface of 10 and wings of these amplitudes, (n_shapes, 2), with a noise of 0.1.

    A side that is not seen has no pixels.
    """
    distance = np.arange(60)
    shapes = [np.exp(-((distance[::way] / width) ** 2)) for width in WIDTHS for way in (1, -1)]
    shapes = np.array(shapes) * np.tile(seen, len(WIDTHS))[:, None]
    noise = np.random.default_rng(1).normal(0, 0.1, len(distance))
    columns = np.vstack([np.ones(len(distance)), shapes]) / 0.1
    values = (10 + np.ravel(light) @ shapes + noise) / 0.1
    return columns @ columns.T, columns @ values, np.eye(1)


@pytest.mark.parametrize(("light", "expected"), [
    ([(0, 0), (5, 4), (0, 0)], [2, 3]),
    ([(0, 0), (0, 0), (0, 0)], []),
    ([(-5, -5), (0, 0), (0, 0)], []),
    ([(0, 0), (5, -4), (0, 0)], []),  # both sides of a shape are added at once
])
def test_shapes_that_take_light_are_chosen(light, expected):
    assert chosen_shapes(*equations(light), 3).tolist() == expected


def test_a_side_without_pixels_is_not_chosen():
    light = [(0, 0), (5, 4), (0, 0)]
    assert chosen_shapes(*equations(light, seen=(True, False)), 3).tolist() == [2]


def test_no_more_shapes_than_allowed_the_best_one_first():
    light = [(3, 3), (0, 0), (9, 9)]
    first = chosen_shapes(*equations(light), 1).tolist()
    both = chosen_shapes(*equations(light), 2).tolist()
    assert len(first) == 2 and both[:2] == first and sorted(both) == [0, 1, 4, 5]
