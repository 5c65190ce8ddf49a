# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Traces that a series of the degree asked for does not follow."""

import numpy as np
import pytest
from astropy.utils.exceptions import AstropyUserWarning

from ccdproc_echelle import EchelleOrderTable

u = np.linspace(-1, 1, 800)
TRACES = np.array([60 + 90 * k + 30 * u**2 + 12 * u**4 for k in range(3)])


def table(traces, degree):
    return EchelleOrderTable.from_traces(
        [7, 8, 9], traces, shape=(400, 800), dispersion_axis=1, degree=degree
    )


def test_degree_too_low():
    bent = TRACES.copy()
    bent[[0, 2]] -= 12 * u**4
    deviates = r"in orders \[8\] the order centre deviates .* degree 2: use"
    with pytest.warns(AstropyUserWarning, match=deviates):
        table(bent, 2)


def test_noise_and_rounding_are_no_reason():
    noise = np.random.default_rng(1).normal(0, 0.5, TRACES.shape)
    for traces in (TRACES, TRACES + noise, np.rint(TRACES), np.where(u < 0, TRACES, np.nan)):
        table(traces, 4)
