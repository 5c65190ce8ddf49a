# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Orders that are no slits: fibres, bundles of them, and the slices of image slicers."""

import logging

import numpy as np
import pytest
from astropy.utils.exceptions import AstropyUserWarning
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import ndtr

from ccdproc_echelle import (
    EchelleOrderTable,
    detect_order_edges,
    fit_order_edges,
    measure_order_edges,
    measure_shift,
)
from ccdproc_echelle.orders import fibres
from ccdproc_echelle.simulation import EchelleSimulation
from helpers.orders import centers_only


def simulation(**kwargs) -> EchelleSimulation:
    return EchelleSimulation(**({"shape": (180, 240), "n_orders": 3, "seed": 2} | kwargs))


FIVE_ORDERS = {"shape": (300, 320), "n_orders": 5}


def centers_of(sim) -> EchelleOrderTable:
    return centers_only(sim.truth.orders, degree=2)


def light_inside(sim, orders) -> float:
    """The part of the light of a flat between the edges."""
    return sim.truth.flat[orders.order_map() > 0].sum() / sim.truth.flat.sum()


def test_slits_are_told_from_fibres_before_fibres_are_fitted_to_all_slices(monkeypatch):
    def not_fitted(*ignored):
        raise AssertionError("fibres were fitted to slits")

    sim = simulation(order_width=8, psf_sigma=2)  # so blurred that they might be fibres
    monkeypatch.setattr("ccdproc_echelle.orders.profile_kinds.fit_fibres", not_fitted)
    edges = detect_order_edges(sim.flats(1)[0], centers_of(sim))
    assert_allclose(edges.upper(), sim.truth.orders.upper(), atol=0.1)


def test_slits_that_no_gaussian_resembles_are_told_after_a_few_steps(monkeypatch):
    steps = []

    def counted(*args, **kwargs):
        steps.append(kwargs)
        return improved(*args, **kwargs)

    improved = fibres._improved
    monkeypatch.setattr(fibres, "_improved", counted)
    sim = simulation(order_width=12, psf_sigma=1)
    detect_order_edges(sim.flats(1)[0], centers_of(sim))
    assert len(steps) < 10


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("sigma", [0.8, 1.5, 3.5])
def test_fibres_are_told_from_slits_and_hold_their_light(sigma, axis):
    shape = (180, 240) if axis == 1 else (240, 180)
    sim = simulation(shape=shape, dispersion_axis=axis).with_fibres(sigma=sigma)
    edges = detect_order_edges(sim.flats(1)[0], centers_of(sim))
    assert set(edges.table["profile"]) == {"fibre"}
    assert light_inside(sim, edges) > 0.99
    assert_allclose(edges.lower(), sim.truth.orders.lower(), atol=0.35 + 0.05 * sigma)
    assert_allclose(edges.upper(), sim.truth.orders.upper(), atol=0.35 + 0.05 * sigma)


@pytest.mark.parametrize("before, after", [("slit", "fibre"), ("fibre", "slit")])
def test_a_profile_measured_before_is_replaced(before, after):
    sim = simulation(**FIVE_ORDERS).with_fibres(sigma=1.5)
    orders = detect_order_edges(sim.flats(1)[0], sim.truth.orders, profile=before)
    found = detect_order_edges(sim.flats(1)[0], orders, profile=after)
    assert set(found.table["profile"]) == {after}


def test_threshold_of_fibres_is_a_fraction_of_their_height():
    sim = simulation(pixel_response=0).with_fibres(sigma=2.0)
    edges = detect_order_edges(sim.flats(1)[0], centers_of(sim), profile="fibre", threshold=0.2)
    half = 0.5 * (edges.upper() - edges.lower())
    full = 0.5 * (sim.truth.orders.upper() - sim.truth.orders.lower())
    expected = full * np.sqrt(np.log(0.2) / np.log(0.01))
    assert_allclose(half, expected, atol=0.15)


def test_wings_stronger_than_those_of_a_gaussian():
    rows, centers = np.arange(300)[:, None], 30.0 + 48 * np.arange(6)
    light = sum((1 + ((rows - c) / 3.9) ** 2) ** -3.0 for c in centers)
    flat = np.random.default_rng(1).poisson(20 + 2e4 * np.broadcast_to(light, (300, 250)))
    orders = EchelleOrderTable.from_polynomials(
        np.arange(1, 7), centers[:, None], shape=flat.shape, dispersion_axis=1)
    inside = detect_order_edges(flat, orders, profile="fibre").order_map() > 0
    light = np.broadcast_to(light, flat.shape)
    assert light[inside].sum() > 0.99 * light.sum()


def test_slits_are_not_taken_for_fibres():
    sim = simulation(order_width=4.0, psf_sigma=1.3, smallest_gap=3.0)
    for profile in ("auto", "slit"):
        edges = detect_order_edges(sim.flats(1)[0], sim.truth.orders, profile=profile)
        assert set(edges.table["profile"]) == {"slit"}
        assert_allclose(edges.lower(), sim.truth.orders.lower(), atol=0.15)


def test_crowded_orders_that_may_be_slits_are_named():
    sim = simulation(
        shape=(110, 400), n_orders=12, order_width=2.1, psf_sigma=1.1, smallest_gap=3.0)
    with pytest.warns(AstropyUserWarning, match="may be those of a slit"):
        detect_order_edges(sim.flats(1)[0], centers_of(sim))


def narrow_slits(width, blur) -> EchelleSimulation:
    return simulation(n_orders=7, order_width=width, psf_sigma=blur, brightness_ratio=3)


@pytest.mark.parametrize(("width", "blur"), [(2.4, 1.2), (2.0, 1.0), (3.0, 1.5)])
def test_slits_twice_as_wide_as_their_blur(width, blur):
    sim = narrow_slits(width, blur)
    edges = detect_order_edges(sim.flats(1)[0], centers_of(sim), profile="slit")
    assert_allclose(edges.lower(), sim.truth.orders.lower(), atol=0.2)
    assert_allclose(edges.upper(), sim.truth.orders.upper(), atol=0.2)


@pytest.mark.parametrize(("width", "blur"), [(2.4, 1.6), (2.0, 1.5)])
def test_slits_that_their_blur_hides_are_named(width, blur):
    sim = narrow_slits(width, blur)
    with pytest.warns(AstropyUserWarning, match=r"orders \[11, .* hardly wider than their bl"):
        detect_order_edges(sim.flats(1)[0], centers_of(sim), profile="slit")


@pytest.mark.parametrize(("width", "blur"), [(2.4, 1.3), (2.2, 1.3), (1.95, 1.3), (1.7, 1.0)])
def test_slits_that_may_be_fibres_are_named(width, blur):
    sim = narrow_slits(width, blur)
    with pytest.warns(AstropyUserWarning, match="may be those of a slit"):
        detect_order_edges(sim.flats(1)[0], centers_of(sim))


def test_fibres_with_other_light_beside_them_are_named():
    sim = EchelleSimulation.random(54016, flaws=True)  # secondary bands and ghosts
    with pytest.warns(AstropyUserWarning, match="may be those of fibres"):
        detect_order_edges(sim.flats(1)[0], centers_of(sim))


def test_crowded_slits_are_slits():
    sim = EchelleSimulation(
        shape=(256, 256), n_orders=16, order_width=6, smallest_gap=6, psf_sigma=2, seed=1
    )
    with pytest.warns(AstropyUserWarning, match="slits and of fibres look alike"):
        edges = detect_order_edges(sim.flats(1)[0], centers_of(sim))
    assert_allclose(edges.upper(), sim.truth.orders.upper(), atol=0.2)


def test_edges_of_fibres_that_overlap_meet_in_the_middle():
    sim = simulation(**FIVE_ORDERS).with_fibres(3, sigma=1.5, pitch=6.0)
    bundles = sim.truth.orders
    offsets = 6.0 * np.array([-1, 0, 1])
    traces = (bundles.center()[:, None] + offsets[:, None]).reshape(15, -1)
    table = EchelleOrderTable.from_traces(
        np.arange(1, 16), traces, shape=sim.shape, dispersion_axis=1, degree=2)
    edges = detect_order_edges(sim.flats(1)[0], table)
    gaps = edges.lower()[1:] - edges.upper()[:-1]
    inner = np.arange(14) % 3 < 2
    assert_allclose(gaps[inner], 0, atol=0.1)
    assert light_inside(sim, edges) > 0.99


@pytest.mark.parametrize("apart", [False, True])
def test_slices_of_orders_far_from_each_other_are_not_confused(apart):
    """Also if each slice is an order of its own."""
    sim = simulation(
        shape=(450, 200), n_orders=3, tilt=0.02, order_width=30, smallest_gap=60
    ).with_slicer(3, gap=3)
    orders, n_slices = sim.truth.orders, 3
    lower, upper = orders.lower(), orders.upper()
    if apart:
        step, n_slices = (upper - lower + 3) / 3, 1
        lower = np.concatenate([lower + k * step for k in range(3)])
        upper = lower + np.tile(step, (3, 1)) - 3
    centers = EchelleOrderTable.from_traces(
        range(1, len(lower) + 1), (lower + upper) / 2, shape=sim.shape, dispersion_axis=1
    )
    edges = detect_order_edges(sim.flats(1)[0], centers, n_slices=n_slices)
    assert_allclose(edges.lower(), lower, atol=0.2)
    assert_allclose(edges.upper(), upper, atol=0.2)


@pytest.mark.parametrize("profile", ["auto", "slicer"])
def test_slices_are_counted(profile, caplog):
    sim = simulation(order_width=27.0).with_slicer(3, gap=3.0)
    with caplog.at_level(logging.INFO, logger="ccdproc_echelle"):
        edges = detect_order_edges(sim.flats(1)[0], centers_of(sim), profile=profile)
    assert set(edges.table["profile"]) == {"slicer"}
    assert ("images of 3 slices each" in caplog.text) == (profile == "auto")
    assert_allclose(edges.lower(), sim.truth.orders.lower(), atol=0.2)
    assert_allclose(edges.upper(), sim.truth.orders.upper(), atol=0.2)


def test_number_of_slices_that_is_given():
    sim = simulation(order_width=27.0, brightness_ratio=50).with_slicer(4, gap=2.0)
    edges = detect_order_edges(sim.flats(1)[0], centers_of(sim), n_slices=4)
    assert_allclose(edges.lower(), sim.truth.orders.lower(), atol=0.3)
    assert_allclose(edges.upper(), sim.truth.orders.upper(), atol=0.3)
    with pytest.raises(ValueError, match="no order shows 9 slices"):
        detect_order_edges(sim.flats(1)[0], centers_of(sim), n_slices=9)


def test_edges_of_a_bundle_enclose_its_fibres():
    sim = simulation().with_fibres(3, sigma=1.5, pitch=6.0)
    edges = detect_order_edges(sim.flats(1)[0], centers_of(sim), n_slices=3)
    assert light_inside(sim, edges) > 0.99


@pytest.mark.parametrize(("n", "sigma"), [(3, 1.1), (3, 1.3), (5, 1.3)])
def test_fibres_of_a_bundle_whose_wings_overlap_are_told_from_slices(n, sigma):
    sim = simulation(**FIVE_ORDERS).with_fibres(n, sigma=sigma, pitch=4 * sigma)
    edges = detect_order_edges(sim.flats(1)[0], centers_of(sim), n_slices=n)
    assert light_inside(sim, edges) > 0.99
    assert_allclose(edges.lower(), sim.truth.orders.lower(), atol=0.7)
    assert_allclose(edges.upper(), sim.truth.orders.upper(), atol=0.7)


@pytest.mark.parametrize("pitch", [4.8, 5.0, 5.2])
def test_fibres_of_a_bundle_with_hardly_a_dip_between_them(pitch):
    sim = simulation().with_fibres(2, sigma=1.6, pitch=pitch)
    edges = detect_order_edges(sim.flats(1)[0], centers_of(sim), n_slices=2)
    assert light_inside(sim, edges) > 0.99


def test_fibres_of_a_tight_bundle_are_not_taken_for_slits():
    sim = simulation(shape=(300, 600)).with_fibres(5, sigma=0.91, pitch=4.86)
    edges = detect_order_edges(sim.flats(1)[0], centers_of(sim), n_slices=5)
    assert_allclose(edges.lower(), sim.truth.orders.lower(), atol=0.25)
    assert_allclose(edges.upper(), sim.truth.orders.upper(), atol=0.25)


@pytest.mark.parametrize(("n", "sigma", "pitch"), [(1, 0.9, 6.0), (1, 2.0, 6.0), (5, 1.5, 10.0)])
def test_points_on_edges_of_fibres_err_as_little_as_their_uncertainties_say(n, sigma, pitch):
    sim = simulation(shape=(600, 600), n_orders=7).with_fibres(n, sigma=sigma, pitch=pitch)
    points = measure_order_edges(sim.flats(1)[0], centers_of(sim), n_slices=n, profile="fibre")
    truth, pixels = sim.truth.orders, points["pixel"].value.astype(int)
    row = np.searchsorted(truth.order_numbers, points["order"])
    lower = points["edge"] == "lower"
    expected = np.where(lower, truth.lower()[row, pixels], truth.upper()[row, pixels])
    outwards = (points["position"].value - expected)[points["used"]]
    outwards *= np.where(lower, -1, 1)[points["used"]]
    pulls = outwards / points["uncertainty"].value[points["used"]]
    assert abs(np.median(outwards)) < 0.05
    assert 0.7 < np.sqrt(np.mean(pulls**2)) < 1.5


@pytest.mark.parametrize(("sigma", "gap"), [(1.5, 0.5), (2.5, 0.0)])
def test_uncertainties_of_crowded_fibres(sigma, gap):
    """Of which only the outermost two show how far their light extends."""
    reach, n_rows, rng = np.sqrt(2 * np.log(100)) * sigma, 290, np.random.default_rng(2)
    u = np.linspace(-1, 1, 600)
    centers = np.arange(40, n_rows - 40, 2 * reach + gap)[:, None] + 3 * u - 4 * u**2
    sides = np.arange(n_rows + 1)[:, None] - 0.5
    blaze = 20_000 * np.sinc(0.75 * u) ** 2 * np.sqrt(2 * np.pi) * sigma
    light = sum(blaze * np.diff(ndtr((sides - c) / sigma), axis=0) for c in centers)
    flat = rng.poisson(200 + light * rng.normal(1, 0.01, light.shape)) + 4 * rng.normal(
        size=light.shape)
    orders = EchelleOrderTable.from_traces(
        np.arange(1, len(centers) + 1), centers, shape=flat.shape, dispersion_axis=1)
    points = measure_order_edges(flat, orders, profile="fibre")
    pixels, place = np.unique(points["pixel"].value, return_inverse=True)
    outwards = points["position"].value - orders.center(pixels)[points["order"] - 1, place]
    outwards *= np.where(points["edge"] == "lower", -1, 1)
    pulls = (outwards - reach) / points["uncertainty"].value
    assert 0.7 < np.sqrt(np.mean(pulls[points["used"]] ** 2)) < 1.5


def test_points_remember_what_they_were_taken_for():
    sim = simulation().with_fibres(sigma=1.5)
    flat = sim.flats(1)[0]
    points = measure_order_edges(flat, centers_of(sim))
    assert points.meta["profile"] == "fibre"
    edges = fit_order_edges(points, centers_of(sim))
    assert_array_equal(edges.lower(), detect_order_edges(flat, centers_of(sim)).lower())
    assert set(edges.table["profile"]) == {"fibre"}


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"profile": "fiber"}, "profile is 'fiber', expected one of"),
        ({"n_slices": 0}, "n_slices is 0, expected an integer of at least 1"),
        ({"n_slices": 2.5}, "n_slices is 2.5"),
        ({"profile": "slit", "n_slices": 3}, "n_slices is 3, expected 1 for profile='slit'"),
    ],
)
def test_what_no_order_can_be(keywords, message):
    sim = simulation()
    with pytest.raises(ValueError, match=message):
        detect_order_edges(sim.flats(1)[0], sim.truth.orders, **keywords)


# ---------------------------------------------------------------------- shifts


FORMS = {
    "narrow fibres": simulation().with_fibres(sigma=0.7),
    "fibres": simulation().with_fibres(sigma=2.5),
    "pairs": simulation().with_fibres(2, sigma=1.5, pitch=8.0),
    "bundles": simulation().with_fibres(5, sigma=1.5, pitch=6.0),
    "slices": simulation(order_width=27.0).with_slicer(3),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("with_edges", [False, True])
def test_shift_of_orders_that_are_no_slits(form, with_edges):
    sim = FORMS[form]
    orders = sim.truth.orders if with_edges else centers_of(sim)
    for shift in (0.0, 2.4):
        found = measure_shift(sim.flats(1)[0], orders.shifted(-shift))
        assert abs(found.shift - shift) < 0.05


# Faint fibres are measured in some of the slices only, which is said.
@pytest.mark.filterwarnings("ignore:edges of orders .* could be measured in less than")
@pytest.mark.parametrize("seed", [5022, 5052])
def test_edges_of_faint_fibres_are_those_of_the_others(seed):
    sim = EchelleSimulation.random(seed, flaws=True)
    edges = detect_order_edges(sim.flats(1)[0], sim.truth.orders)
    assert set(edges.table["profile"]) == {"fibre"}
    for name in ("lower", "upper"):
        off = getattr(edges, name)() - getattr(sim.truth.orders, name)()
        assert np.nanmax(np.abs(np.nanmedian(off, axis=1))) < 1


def test_a_slice_without_neighbours_does_not_say_where_fibres_end():
    sigma, centers = 1.5, np.add.outer(30 + 15 * np.arange(4), np.linspace(0, 3, 30))
    offsets, noise = np.arange(-20, 21), np.random.default_rng(0).normal(0, 1e-4, (4, 30, 41))
    positions = np.rint(centers)[..., None] + offsets
    light = np.zeros(positions.shape)
    for center in centers:
        light += np.exp(-0.5 * ((positions - center[None, :, None]) / sigma) ** 2)
    light += noise
    light[:, -1] -= 0.1 * (np.abs(offsets) > 9)  # the background of the faintest slice
    found = fibres.fit_fibres(positions, light, np.full(light.shape, 1e-4), np.full(4, 5.0))
    for part in found:
        part[::2, -1] = np.nan
    edges, _ = fibres.fibre_edges(positions, light, np.zeros(centers.shape), found, 0.01)
    reach = np.abs(edges - found.center)[:, :, 1:-1]
    expected = np.sqrt(-2 * np.log(0.01) * (sigma**2 - 1 / 12))
    assert np.abs(reach - expected).max() < 0.1
