# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from astropy.nddata import CCDData, StdDevUncertainty, VarianceUncertainty
from astropy.utils.exceptions import AstropyUserWarning

from ccdproc_echelle.combining import two_pass_flat_combine
from ccdproc_echelle.light.stitching import stitch_flats
from ccdproc_echelle.simulation import EchelleSimulation
from helpers.orders import centers_only

N_FRAMES = 5
WINDOW = 10


def lamp(ratio, **keywords):
    """The same instrument and pixels with a lamp that falls off by this ratio over the orders."""
    parameters = dict(shape=(400, 500), n_orders=8, seed=1, peak=20000 / max(1, 1 / ratio))
    return EchelleSimulation(**(parameters | keywords), brightness_ratio=ratio)


def master(simulation):
    return two_pass_flat_combine(simulation.flats(N_FRAMES), simulation.truth.orders)


RED, BLUE = lamp(10), lamp(0.1)
ORDERS = RED.truth.orders


@pytest.fixture(scope="module")
def flats():
    return {"red": master(RED), "blue": master(BLUE)}


def stitched_truth(first, second, provenance, overlap):
    """Exactly scaled in the overlap order, exactly normalised; the first lamp lies below."""
    below, above = first.truth.flat, second.truth.flat
    orders = first.truth.orders
    here = orders.select(overlap).inner_mask(WINDOW)
    truth = np.where(provenance == 1, below, above * below[here].sum() / above[here].sum())
    return truth / truth[orders.inner_mask(WINDOW)].mean()


def pulls(flat, truth, where):
    return ((flat.data - truth) / flat.uncertainty.array)[where]


def test_both_lamps_see_the_same_pixels():
    np.testing.assert_array_equal(RED.truth.pixel_response, BLUE.truth.pixel_response)


def test_each_side_agrees_with_the_truth_and_its_uncertainty(flats):
    flat, provenance = stitch_flats(flats, ORDERS, provenance=True)
    truth = stitched_truth(RED, BLUE, provenance, 14)
    for number in (1, 2):
        side = ORDERS.inner_mask(WINDOW) & (provenance == number)
        found = pulls(flat, truth, side)
        assert abs(found.mean()) < 0.05
        assert found.std() == pytest.approx(1, abs=0.03)


def test_step_at_the_seam_is_within_its_error_and_below_the_noise(flats):
    flat, provenance = stitch_flats(flats, ORDERS, provenance=True)
    truth = stitched_truth(RED, BLUE, provenance, 14)
    truth[~ORDERS.inner_mask(WINDOW)] = 1
    ratio, sigma = flat.data / truth, flat.uncertainty.array / truth
    sides = [ORDERS.select(m).inner_mask(WINDOW) for m in (14, 15)]
    assert [set(provenance[side]) for side in sides] == [{1}, {2}]
    step = ratio[sides[1]].mean() - ratio[sides[0]].mean()
    photon = np.hypot(*(np.sqrt((sigma[s] ** 2).sum()) / s.sum() for s in sides))
    error = np.hypot(flat.header["LAMPE001"], flat.header["LAMPE002"])
    assert abs(step) < 3 * np.hypot(photon, error)
    assert abs(step) < 0.1 * sigma[sides[0]].mean()


def test_error_of_the_scaling_is_that_of_many_trials():
    factors, errors = [], []
    for seed in range(30):
        lamps = [lamp(r, seed=seed, shape=(100, 120), n_orders=4, peak=300) for r in (10, 0.1)]
        exact = [simulation.truth.flat for simulation in lamps]
        orders = lamps[0].truth.orders
        frames = [simulation.flats(1)[0].divide(200.0) for simulation in lamps]
        flat = stitch_flats(frames, orders, overlap=12)
        here = orders.select(12).inner_mask(WINDOW)
        true_ratio = (exact[0][here].sum() * lamps[0].truth.levels(1)[0]) / (
            exact[1][here].sum() * lamps[1].truth.levels(1)[0])
        found = flat.header["LAMPF002"] / flat.header["LAMPF001"]
        factors.append(found / true_ratio - 1)
        errors.append(flat.header["LAMPE001"] + flat.header["LAMPE002"])
    # The normalisation shares the error of the ratio out among the two lamps.
    assert abs(np.mean(factors)) < 3 * np.mean(errors) / np.sqrt(len(errors))
    assert np.std(factors) == pytest.approx(np.mean(errors), rel=0.35)


def test_uncertainty_contains_the_common_error_of_the_scaling(flats):
    noisy = {name: flat.copy() for name, flat in flats.items()}
    for flat in noisy.values():
        flat.uncertainty.array[ORDERS.select(14).inner_mask(WINDOW)] = 1.0
    flat, provenance = stitch_flats(noisy, ORDERS, overlap=14, provenance=True)
    for number, one in enumerate(noisy.values(), start=1):
        side = provenance == number
        factor, error = flat.header[f"LAMPF00{number}"], flat.header[f"LAMPE00{number}"]
        assert error > 1e-3
        expected = np.hypot(one.uncertainty.array * factor, flat.data * error)[side]
        np.testing.assert_allclose(flat.uncertainty.array[side], expected, rtol=1e-4)


def test_mean_over_the_inner_order_pixels_is_1(flats):
    flat = stitch_flats(flats, ORDERS)
    assert flat.data[ORDERS.inner_mask(WINDOW)].mean(dtype=float) == pytest.approx(1, abs=1e-6)
    assert flat.unit == ""


def test_each_pixel_is_its_lamp_times_its_factor(flats):
    flat, provenance = stitch_flats(flats, ORDERS, provenance=True)
    for number, one in enumerate(flats.values(), start=1):
        side = provenance == number
        factor = flat.header[f"LAMPF{number:03d}"]
        np.testing.assert_allclose(flat.data[side], one.data[side] * factor, rtol=1e-5)
    assert [flat.header[f"LAMP00{i}"] for i in (1, 2)] == ["red", "blue"]
    assert [flat.header[f"LAMPO00{i}"] for i in (1, 2)] == ["11-14", "15-18"]
    assert flat.header["NCOMBINE"] == 2 * N_FRAMES
    assert "LEVEL001" not in flat.header


@pytest.mark.parametrize("edges", [True, False])
def test_seam_runs_midway_between_two_orders(flats, edges):
    orders = ORDERS if edges else centers_only(ORDERS)
    _, provenance = stitch_flats(flats, orders, provenance=True)
    low, high = (ORDERS.upper()[3], ORDERS.lower()[4]) if edges else ORDERS.center()[3:5]
    rows = np.arange(400)[:, np.newaxis]
    np.testing.assert_array_equal(provenance, 1 + (rows > (low + high) / 2))


def test_sequence_of_the_flats_does_not_matter(flats):
    one, other = list(flats.values()), list(flats.values())[::-1]
    (a, lamp_a), (b, lamp_b) = (stitch_flats(f, ORDERS, provenance=True) for f in (one, other))
    np.testing.assert_array_equal(a.data, b.data)
    np.testing.assert_array_equal(lamp_a, 3 - lamp_b)


def test_transposed(flats):
    turned = {
        name: CCDData(f.data.T, unit="", mask=f.mask.T,
                      uncertainty=StdDevUncertainty(f.uncertainty.array.T))
        for name, f in flats.items()
    }
    flat, provenance = stitch_flats(flats, ORDERS, provenance=True)
    flat_turned, provenance_turned = stitch_flats(turned, ORDERS.transposed(), provenance=True)
    np.testing.assert_array_equal(provenance_turned, provenance.T)
    np.testing.assert_allclose(flat_turned.data, flat.data.T, rtol=1e-5)


def test_three_lamps(flats):
    # 1 to 10 from the middle outwards: half of each of the other two
    middle = np.sqrt(RED.truth.flat * BLUE.truth.flat) * 3
    middle = CCDData(middle, unit="", uncertainty=StdDevUncertainty(0.001 * np.ones(middle.shape)))
    lamps = flats | {"middle": middle}
    flat, provenance = stitch_flats(lamps, ORDERS, overlap=[16, 13], provenance=True)
    assert sorted(set(provenance.ravel())) == [1, 2, 3]
    served = [flat.header[f"LAMPO00{i}"] for i in (1, 2, 3)]
    assert served[0].startswith("11-") and served[1].endswith("-18")
    below, mid, above = (flat.header[f"LAMPF00{i}"] for i in (1, 3, 2))
    for factors, first, second, m in (
        ((below, mid), RED.truth.flat, middle.data, 13),
        ((mid, above), middle.data, BLUE.truth.flat, 16),
    ):
        here = ORDERS.select(m).inner_mask(WINDOW)
        exact = first[here].sum() / second[here].sum()
        assert factors[1] / factors[0] == pytest.approx(exact, rel=2e-3)


def test_a_lamp_between_two_seams_in_the_same_order_is_refused(flats):
    """It is noisier than both, so that neither leaves it their common order."""
    middle = np.sqrt(RED.truth.flat * BLUE.truth.flat) * 3
    middle = CCDData(middle, unit="", uncertainty=StdDevUncertainty(0.1 * np.ones(middle.shape)))
    unused = "middle would not be used for any order; give other overlap orders"
    with pytest.raises(ValueError, match=unused):
        stitch_flats(flats | {"middle": middle}, ORDERS, overlap=[14, 14])


def test_masks_follow_and_bad_pixels_do_not_enter(flats):
    damaged = {name: flat.copy() for name, flat in flats.items()}
    here = ORDERS.select(14).inner_mask(WINDOW)
    rows, columns = (x[::7] for x in np.nonzero(here))
    damaged["red"].mask[rows, columns] = True
    damaged["red"].data[rows, columns] = 1e6
    damaged["blue"].mask[rows[:50] + 1, columns[:50]] = True
    clean, provenance = stitch_flats(flats, ORDERS, overlap=14, provenance=True)
    flat = stitch_flats(damaged, ORDERS, overlap=14)
    expected = np.where(provenance == 1, damaged["red"].mask, damaged["blue"].mask)
    np.testing.assert_array_equal(flat.mask, expected)
    ratio, ratio_clean = (f.header["LAMPF002"] / f.header["LAMPF001"] for f in (flat, clean))
    assert ratio == pytest.approx(ratio_clean, rel=1e-3)


def test_outliers_do_not_enter_the_ratio(flats):
    damaged = {name: flat.copy() for name, flat in flats.items()}
    rows, columns = (x[::20] for x in np.nonzero(ORDERS.select(14).inner_mask(WINDOW)))
    damaged["blue"].data[rows, columns] *= 3
    clean, flat = (stitch_flats(f, ORDERS, overlap=14) for f in (flats, damaged))
    ratio, ratio_clean = (f.header["LAMPF002"] / f.header["LAMPF001"] for f in (flat, clean))
    assert ratio == pytest.approx(ratio_clean, rel=1e-3)


def test_type_of_the_uncertainty_is_that_of_the_first_flat(flats):
    first = flats["red"].copy()
    first.uncertainty = VarianceUncertainty(first.uncertainty.array**2)
    flat = stitch_flats([first, flats["blue"]], ORDERS)
    expected = stitch_flats(flats, ORDERS)
    assert isinstance(flat.uncertainty, VarianceUncertainty)
    np.testing.assert_allclose(flat.uncertainty.array, expected.uncertainty.array**2, rtol=1e-4)


def test_flats_without_uncertainty(flats):
    bare = {name: flat.copy() for name, flat in flats.items()}
    for flat in bare.values():
        flat.uncertainty = None
    flat, provenance = stitch_flats(bare, ORDERS, provenance=True)
    expected = stitch_flats(flats, ORDERS)
    assert flat.uncertainty is None
    np.testing.assert_allclose(flat.data, expected.data, rtol=1e-3)
    with pytest.warns(AstropyUserWarning, match="no uncertainty in red"):
        mixed = stitch_flats({"red": bare["red"], "blue": flats["blue"]}, ORDERS)
    assert mixed.uncertainty is None


def test_errors(flats):
    red, blue = flats.values()
    with pytest.raises(ValueError, match="flats has 1 flat, expected at least two"):
        stitch_flats([red], ORDERS)
    with pytest.raises(ValueError, match="single flat"):
        stitch_flats(red, ORDERS)
    with pytest.raises(ValueError, match="shape"):
        stitch_flats([red, CCDData(np.ones((400, 400)), unit="")], ORDERS)
    with pytest.raises(ValueError, match=r"overlap orders \[99\] are not in the table"):
        stitch_flats(flats, ORDERS, overlap=99)
    with pytest.raises(ValueError, match="expected 1 orders for 2 flats"):
        stitch_flats(flats, ORDERS, overlap=[13, 14])
    with pytest.raises(ValueError, match="2 flats for 1 orders"):
        stitch_flats(flats, ORDERS.select([14]))
    dark = blue.copy()
    dark.data = dark.data * 1e-7
    with pytest.raises(ValueError, match="dark is too faint"):
        stitch_flats({"red": red, "dark": dark}, ORDERS)


def test_lamps_without_a_common_order_are_refused(flats):
    place = ORDERS.order_map()
    red, blue = (flat.copy() for flat in flats.values())
    red.data[place > 14] = 0
    blue.data[place <= 14] = 0
    with pytest.raises(ValueError, match="red and blue have too little signal in common"):
        stitch_flats({"red": red, "blue": blue}, ORDERS)


@pytest.mark.parametrize("with_uncertainty", [True, False])
def test_a_lamp_without_light_at_one_end_of_the_overlap_order_does_not_win_it(with_uncertainty):
    whole, other = lamp(100), lamp(0.01, peak=150)
    short = whole.with_dark_end(0.3, fade=0.01)
    lamps = {"whole": whole, "short": short, "other": other}
    flats = {name: master(simulation) for name, simulation in lamps.items()}
    if not with_uncertainty:
        for flat in flats.values():
            flat.uncertainty = None
    served, ratios = {}, {}
    for name in ("whole", "short"):
        flat = stitch_flats({name: flats[name], "other": flats["other"]}, ORDERS, overlap=14)
        served[name] = flat.header["LAMPO001"]
        ratios[name] = flat.header["LAMPF002"] / flat.header["LAMPF001"]
    assert served == {"whole": "11-14", "short": "11-13"}
    # Where both have light, their ratio is the true one: the dark does not count as a faint lamp.
    lit = ORDERS.select(14).inner_mask(WINDOW) & (np.arange(500) < 340)
    expected = short.truth.flat[lit].sum() / other.truth.flat[lit].sum()
    assert ratios["short"] == pytest.approx(expected, rel=5e-3)
