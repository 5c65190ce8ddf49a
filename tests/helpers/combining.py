# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What the tests of combining share: frames, and helpers as fixtures that are functions."""

import numpy as np
import pytest
from astropy.nddata import CCDData

from ccdproc_echelle.combining.levels import measure_exposure_levels
from ccdproc_echelle.combining.two_pass import two_pass_flat_combine
from ccdproc_echelle.frames import uncertainty_array
from ccdproc_echelle.simulation import EchelleSimulation

SMALL = EchelleSimulation(shape=(256, 240), n_orders=5, seed=3).with_level_spread(0.35)
ORDERS = SMALL.truth.orders
CLIP_5 = {"sigma_clip": True, "sigma_clip_low_thresh": 5, "sigma_clip_high_thresh": 5}


@pytest.fixture(scope="session")
def random_frames():
    """Frames of Gaussian noise about 1000 adu."""

    def made(n=6, shape=(20, 15), *, masked=0.0, uncertainty=None, seed=0):
        rng = np.random.default_rng(seed)
        frames = []
        for _ in range(n):
            data = rng.normal(1000, 30, shape).astype(np.float32)
            mask = rng.random(shape) < masked if masked else None
            sigma = None
            if uncertainty is not None:
                variances = rng.uniform(500, 1500, shape)
                sigma = uncertainty(uncertainty_array(variances, uncertainty))
            frames.append(CCDData(data, unit="adu", mask=mask, uncertainty=sigma))
        return frames

    return made


@pytest.fixture(scope="session")
def assert_identical():
    """Two frames are the same, bit by bit."""

    def check(found: CCDData, expected: CCDData):
        assert found.data.tobytes() == expected.data.tobytes()
        assert found.mask.tobytes() == expected.mask.tobytes()
        assert type(found.uncertainty) is type(expected.uncertainty)
        assert found.uncertainty.array.tobytes() == expected.uncertainty.array.tobytes()
        assert found.unit == expected.unit

    return check


@pytest.fixture(scope="session")
def order_levels():
    """Levels of the flats of a simulation, per order as well."""

    def measured(simulation, n=5, *, uncertainty=True, **keywords):
        flats = simulation.flats(n, uncertainty=uncertainty)
        return measure_exposure_levels(flats, simulation.truth.orders, per_order=True, **keywords)

    return measured


@pytest.fixture(scope="session")
def true_colors():
    """Relative level of each order, with mean 1 over the frames, (n_frames, n_orders)."""

    def measured(simulation, n):
        color, orders = simulation.truth.color(n), simulation.truth.orders
        columns = [[orders.select(m).inner_mask(1)] for m in orders.order_numbers]
        values = np.array([color[:, inner[0]].mean(axis=1) for inner in columns]).T
        return values / values.mean(axis=0)

    return measured


@pytest.fixture(scope="module")
def small_frames():
    return SMALL.with_cosmic_rays(100).with_bad_pixels(100).flats(5)


@pytest.fixture(scope="module")
def small_flat(small_frames):
    return two_pass_flat_combine(small_frames, ORDERS, **CLIP_5)


@pytest.fixture
def small_files(tmp_path):
    return SMALL.write(tmp_path, 4)[0]
