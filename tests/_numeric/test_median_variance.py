# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest

from ccdproc_echelle._numeric.medians import median_variance_factors


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 15, 64])
def test_median_variance_factor(n):
    medians = np.median(np.random.default_rng(n).normal(size=(100_000, n)), axis=1)
    assert median_variance_factors(n)[n] == pytest.approx(n * medians.var(), rel=0.02)


def test_factors_that_calls_share_are_read_only():
    with pytest.raises(ValueError, match="read-only"):
        median_variance_factors(3)[3] = 1


def test_median_variance_factors_of_many_frames_approach_pi_over_two():
    factors = median_variance_factors(201)
    assert np.isnan(factors[0])
    assert factors[201] == pytest.approx(np.pi / 2, rel=0.01)
