# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import find_peaks

from ccdproc_echelle._numeric.peaks import prominent_tops

FEW_LEVELS = st.lists(st.integers(0, 4), min_size=1, max_size=30)  # many flat tops, equal heights


def assert_as_scipy(profile, least):
    tops, prominences = prominent_tops(profile, least)
    expected, properties = find_peaks(profile, prominence=least)
    np.testing.assert_array_equal(tops, expected)
    np.testing.assert_array_equal(prominences, properties["prominences"])


@given(FEW_LEVELS, st.sampled_from([0.5, 1.0, 3.0]))
def test_tops_and_prominences_are_those_of_scipy(levels, least):
    assert_as_scipy(np.array(levels, dtype=float), least)


@pytest.mark.parametrize("seed", range(3))
def test_noise(seed):
    assert_as_scipy(np.random.default_rng(seed).normal(size=2048), 1e-15)
