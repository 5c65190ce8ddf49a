# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest

from ccdproc_echelle._numeric.ranges import best_range, lit_range


@pytest.mark.parametrize("seed", range(20))
def test_best_range_has_the_largest_sum_of_all(seed):
    scores = np.random.default_rng(seed).integers(-3, 4, 30)
    first, last = best_range(scores)
    sums = [scores[i : j + 1].sum() for i in range(30) for j in range(i, 30)]
    assert scores[first : last + 1].sum() == max(sums)
    assert scores[first] > 0 and scores[last] > 0


def test_nothing_above_zero_has_no_range():
    assert best_range(np.array([0, -1, 0])) is None
    assert lit_range(np.full(5, np.nan)) is None


def test_noise_in_the_dark_does_not_extend_what_is_lit():
    noise = np.random.default_rng(0).normal(size=200)
    noise[150] = 8
    noise[50:100] += 20
    first, last = lit_range(noise)
    assert abs(first - 50) < 5 and abs(last - 99) < 5


def test_a_gap_is_bridged():
    light = np.full(100, 20.0)
    light[40:60] = 0
    light[:10] = 0
    assert lit_range(light) == (10, 99)
