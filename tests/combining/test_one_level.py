# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import CCDData
from scipy.stats import kstest

from ccdproc_echelle.combining.levels import measure_exposure_levels
from ccdproc_echelle.combining.one_level import one_level_test
from ccdproc_echelle.simulation import EchelleSimulation

SMALL = EchelleSimulation(shape=(256, 256), n_orders=5, seed=3).with_level_spread(0.35)


@pytest.fixture(scope="module")
def small_frames():
    return SMALL.flats(5)


@pytest.fixture(scope="module")
def fifty_stacks():
    """Orders and four flats of fifty simulations."""
    stacks = []
    for seed in range(50):
        simulation = EchelleSimulation(shape=(128, 128), n_orders=4, seed=seed)
        simulation = simulation.with_level_spread(0.35)
        stacks.append((simulation.truth.orders, simulation.flats(4)))
    return stacks


# 50 stacks: by chance p < 0.05 happens more than eight times in 0.1 % of such tests.
@pytest.mark.parametrize("uncertainty", [True, False])
def test_false_alarms_are_as_rare_as_the_significance_says(fifty_stacks, uncertainty):
    p_values = []
    for orders, flats in fifty_stacks:
        if not uncertainty:
            flats = [CCDData(flat.data, unit="adu") for flat in flats]
        test = one_level_test(measure_exposure_levels(flats, orders, per_order=True))
        assert test.dof == 9
        assert test.suffices
        p_values.append(test.p_value)
    assert np.sum(np.array(p_values) < 0.05) <= 8
    assert kstest(p_values, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("seed", range(5))
def test_a_drift_of_the_colour_is_detected_and_its_size_measured(order_levels, true_colors, seed):
    simulation = EchelleSimulation(shape=(256, 256), n_orders=5, seed=seed)
    simulation = simulation.with_level_spread(0.35).with_color_drift(0.025)
    test = one_level_test(order_levels(simulation))
    colors = np.log(true_colors(simulation, 5))
    colors -= colors.mean(axis=1, keepdims=True)
    expected = np.sqrt((colors**2).sum() / test.dof)
    assert test.p_value < 1e-9
    assert expected > 1e-3
    # orders weigh by their precision, so the slope counts a little less
    assert 0.6 * expected < test.excess < 1.2 * expected
    assert not test.suffices


def test_a_significant_difference_need_not_be_relevant(order_levels):
    simulation = EchelleSimulation(seed=1).with_color_drift(0.001)
    test = one_level_test(order_levels(simulation))
    assert test.p_value < 1e-6
    assert test.excess < 1e-3
    assert test.suffices


def test_chi_square_is_that_of_a_fit_of_all_numbers_at_once(order_levels):
    table = order_levels(SMALL.with_color_drift(0.025))
    values = np.log(table["order_level"].value)
    sigmas = (table["order_level_uncertainty"] / table["order_level"]).value
    frame, order = (index.ravel() for index in np.indices(values.shape))
    design = np.hstack([frame[:, None] == np.arange(5), order[:, None] == np.arange(5)])
    scaled = design / sigmas.reshape(-1, 1)
    target = (values / sigmas).ravel()
    fit = np.linalg.lstsq(scaled, target, rcond=None)[0]
    expected = ((target - scaled @ fit) ** 2).sum()
    np.testing.assert_allclose(one_level_test(table).chi2, expected, rtol=1e-6)


@pytest.mark.parametrize("n_frames, n_orders", [(1, 3), (4, 1), (1, 1)])
def test_nothing_to_compare(order_levels, n_frames, n_orders):
    simulation = EchelleSimulation(shape=(128, 128), n_orders=n_orders)
    table = order_levels(simulation, n_frames)
    assert table["order_level"].shape == (n_frames, n_orders)
    assert (table["order_level"] > 0 * u.adu).all()
    test = one_level_test(table)
    assert test.dof == 0 and np.isnan(test.p_value) and test.suffices


def test_levels_without_those_of_the_orders(small_frames):
    table = measure_exposure_levels(small_frames, SMALL.truth.orders)
    with pytest.raises(ValueError, match="no column order_level; measure them with per_order=True"):
        one_level_test(table)
