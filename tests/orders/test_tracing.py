# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Order tables traced from a flat alone, against the truth of simulated flats and on real ones."""

import numpy as np
import pytest
from astropy.nddata import CCDData
from scipy.special import erf

from ccdproc_echelle.orders.profiles import median_slices, without_hot_columns
from ccdproc_echelle.orders.tracing import trace_orders
from ccdproc_echelle.simulation import EchelleSimulation

# Narrow and wide orders, both axes, cut or not, faint ones, small gaps, steep ones.
SEEDS = (0, 8, 15, 22, 27, 29, 44, 52)


def rms_of_orders(found, truth):
    """RMS error of each order, by position: the n-th found one is the n-th true one."""
    assert len(found) == len(truth)
    return np.sqrt(np.nanmean((found.center() - truth.center()) ** 2, axis=1))


def bands(places, *, shape=(300, 700), half_width=8.0, slope=0.05, light=1000.0, seed=0):
    """Straight orders on a noisy background of 10."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    image = np.random.default_rng(seed).normal(10, 3, shape)
    for place in places:
        image += light * (np.abs(rows - place - slope * columns) < half_width)
    return image


@pytest.fixture(scope="module", params=SEEDS)
def spectrograph(request):
    simulation = EchelleSimulation.random(request.param)
    return simulation, trace_orders(simulation.flats(1)[0])


# ---------------------------------------------------------------------- against the truth


def test_all_orders_and_no_others(spectrograph):
    simulation, found = spectrograph
    assert found.dispersion_axis == simulation.dispersion_axis
    assert found.shape == simulation.shape
    assert found.order_numbers.tolist() == list(range(1, simulation.n_orders + 1))
    errors = rms_of_orders(found, simulation.truth.orders)
    assert np.median(errors) < 0.1
    assert errors.max() < 0.25


def test_valid_where_the_center_is_on_the_detector(spectrograph):
    simulation, found = spectrograph
    n_cross = simulation.shape[1 - simulation.dispersion_axis]
    truth = simulation.truth.orders.center()
    # The border is crossed at a shallow angle.
    inside = (truth > 0.5) & (truth < n_cross - 1.5)
    outside = (truth < -1.5) | (truth > n_cross + 0.5)
    valid = np.isfinite(found.center())
    assert valid[inside].all()
    assert not valid[outside].any()


@pytest.mark.parametrize("size", [1e-17, 1e12])
def test_fluxes_in_any_unit(size):
    image = bands([60, 130, 210])
    found, expected = trace_orders(CCDData(image * size, unit="W")), trace_orders(image)
    np.testing.assert_allclose(found.center(), expected.center(), atol=1e-6)


def test_median_error():
    errors = []
    for seed in (3, 6, 20, 25, 30, 32, 38):
        simulation = EchelleSimulation.random(seed)
        found = trace_orders(simulation.flats(1)[0])
        errors.extend(rms_of_orders(found, simulation.truth.orders))
    assert np.median(errors) < 0.05


def test_uneven_slit_illumination_does_not_move_the_center():
    simulation = EchelleSimulation(
        shape=(300, 600), n_orders=5, order_width=20, slit_slope=0.3, seed=2
    )
    found = trace_orders(simulation.flats(1)[0])
    # The centroid of the light is off by slope * width / 6 = 1 pixel.
    assert rms_of_orders(found, simulation.truth.orders).max() < 0.1


def test_a_round_top_that_leans_ever_more_does_not_move_the_center():
    rows, columns = np.mgrid[:160, :400]
    image = np.random.default_rng(0).normal(10, 3, rows.shape)
    for place in (30, 80, 130):
        away = (rows - place) / 13
        lean = 0.6 * (columns / 400 - 0.3) * away * np.clip(1 - 1.5 * away**2, 0, None)
        image += 1000 * (1 - erf(3 * (np.abs(away) - 1))) / 2 * (1 + lean)
    centers = trace_orders(image).center()
    assert np.abs(centers - [[30], [80], [130]]).max() < 0.1


def test_the_width_of_a_cut_order_goes_on_from_its_neighbour():
    places = np.array([8, 76, 160, 260, 376, 508])  # the widths are no smooth function of these
    rows = np.arange(600)[:, None]
    image = np.random.default_rng(0).normal(10, 3, (600, 300))
    for k, place in enumerate(places):
        image += 1000 * (np.abs(rows - place) < 25.25 + 3.5 * k)
    off = trace_orders(image).center([150])[:, 0] - places
    assert np.abs(off[1:]).max() < 0.1
    assert np.abs(off[0]) < 1


def test_other_light_in_a_few_sections_does_not_hide_how_the_slit_is_lit():
    rows, columns = np.mgrid[:160, :400]
    image = np.random.default_rng(0).normal(10, 3, rows.shape)
    for place in (30, 80, 130):
        away = (rows - place) / 13
        lean = np.where(columns < 360, 0.1, -0.6) * away
        image += 1000 * (1 - erf(3 * (np.abs(away) - 1))) / 2 * (1 + lean)
    centers = trace_orders(image).center()[:, :350]
    assert np.abs(centers - [[30], [80], [130]]).max() < 0.1


def test_residual_of_each_order():
    simulation = EchelleSimulation.random(20)
    table = trace_orders(simulation.flats(1)[0]).table
    rms = table["center_rms"].to_value("pix")
    assert rms.shape == (simulation.n_orders,)
    assert ((rms > 0) & (rms < 0.1)).all()


def test_an_order_that_is_on_the_detector_in_part_of_its_length():
    found = trace_orders(bands([-12, 40, 90, 140, 190, 240], slope=0.06))
    assert len(found) == 6
    pixels = np.flatnonzero(np.isfinite(found.center()[0]))
    # Its centre is on the detector from 0.06 x = 12 - 0.5 on.
    assert pixels[0] == pytest.approx(11.5 / 0.06, abs=20)
    assert pixels[-1] == 699
    assert np.nanmax(np.abs(found.center()[0] - (-12 + 0.06 * np.arange(700)))) < 0.5


# ---------------------------------------------------------------------- defects


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("seed", [0, 6, 24])
def test_hot_columns(seed, axis):
    simulation = EchelleSimulation.random(seed)
    image = simulation.flats(1)[0].data.copy()
    n = image.shape[axis]
    np.moveaxis(image, axis, 0)[[7, 33, 34, n // 2, n - 20]] = 60_000
    found = trace_orders(image)
    assert found.dispersion_axis == simulation.dispersion_axis
    errors = rms_of_orders(found, simulation.truth.orders)
    assert np.median(errors) < 0.05
    assert errors.max() < 0.2


@pytest.mark.parametrize(("n_orders", "gap"), [(10, 6), (7, 12)])
def test_noise_between_steep_orders_is_no_hot_column(n_orders, gap):
    """On the flanks of orders a pixel is the median of those beside it, as without noise."""
    simulation = EchelleSimulation(
        shape=(200, 400), n_orders=n_orders, seed=1, tilt=0.02, order_width=7, smallest_gap=gap,
        psf_sigma=1.2,
    )
    _, slices = median_slices(simulation.flats(1)[0].data.T.astype(float), None)
    assert np.isfinite(without_hot_columns(slices)).mean() > 0.999


def test_hot_pixels():
    simulation = EchelleSimulation.random(20)
    image = simulation.flats(1)[0].data.copy()
    image[np.random.default_rng(5).random(image.shape) < 0.005] = 60_000
    assert rms_of_orders(trace_orders(image), simulation.truth.orders).max() < 0.1


@pytest.mark.parametrize("as_nan", [True, False])
def test_masked_bands(as_nan):
    simulation = EchelleSimulation.random(20)
    flat = simulation.flats(1)[0]
    bad = np.zeros(flat.shape, dtype=bool)
    bad[:, 200:220] = bad[130:136] = True
    data = np.where(bad, np.nan if as_nan else 60_000, flat.data)
    found = trace_orders(data if as_nan else CCDData(data, unit="adu", mask=bad))
    assert rms_of_orders(found, simulation.truth.orders).max() < 0.1
    assert np.isfinite(found.center()).all()


def test_an_order_that_is_dark_in_the_middle_is_one_order():
    image = bands([40, 100, 160, 220])
    rows, columns = np.mgrid[:300, :700]
    gap = (columns > 250) & (columns < 420) & (np.abs(rows - 100 - 0.05 * columns) < 9)
    image[gap] -= 1000
    found = trace_orders(image)
    expected = np.array([40, 100, 160, 220])[:, None] + 0.05 * np.arange(700)
    np.testing.assert_allclose(found.center(), expected, atol=0.6)


@pytest.mark.parametrize("light, half_width, slope", [(150, 4, -0.3), (300, 3, 0.25)])
def test_a_ghost_across_the_orders_is_rejected(light, half_width, slope):
    image = bands([30, 75, 120, 165, 210, 255], slope=0.02)
    rows, columns = np.mgrid[:300, :700]
    start = 280 if slope < 0 else 60
    image += light * (np.abs(rows - start - slope * columns) < half_width)
    found = trace_orders(image)
    expected = np.array([30, 75, 120, 165, 210, 255])[:, None] + 0.02 * np.arange(700)
    np.testing.assert_allclose(found.center(), expected, atol=0.7)


def test_a_narrow_ghost_along_the_orders_is_rejected():
    image = bands([30, 75, 120, 165, 210])
    image += bands([97], half_width=2, light=60) - 10
    assert len(trace_orders(image)) == 5


@pytest.mark.parametrize(
    "parts",
    [
        [(0, 20, 1), (-offset, 2, 0.8), (offset, 2, 0.8)] for offset in (12, 14, 16, 18, 20, 22)
    ] + [
        [(0, 20, 1), (-16, 2, 0.03), (16, 2, 0.03)],
        [(0, 20, 1), (20, 4, 0.2)],
        [(0, 20, 1), (20, 8, 1)],
        [(0, 12, 1), (16, 4, 1)],
    ],
)
def test_narrow_bands_beside_the_orders_take_none_from_them(parts, capfd):
    along = np.linspace(-1, 1, 512)
    centers = np.linspace(30, 450, 9)[:, None] + 10 * (along**2 - 0.5) + 8 * along
    image = np.zeros((512, 512))
    for shift, width, light in parts:
        for center in centers + shift:
            first = max(int(center.min()) - 25, 0)  # there is no light farther away
            near = image[first : int(center.max()) + 25]
            rows = first + np.arange(len(near))[:, None]
            upper, lower = (erf((rows - center + side * width / 2) / 1.4) for side in (1, -1))
            near += 2500 * light * np.sinc(along / 2) ** 2 * (upper - lower)
    rng = np.random.default_rng(3)
    found = trace_orders(rng.poisson(image) + rng.normal(0, 4, image.shape), dispersion_axis=1)

    middle = found.center([256])[:, 0]
    for center in centers[:, 256]:
        assert np.abs(middle - center).min() < 0.3
    bands_of_light = np.add.outer(centers[:, 256], [shift for shift, *_ in parts])
    assert all(np.abs(bands_of_light - place).min() < 2 for place in middle)
    assert capfd.readouterr() == ("", "")


# ---------------------------------------------------------------------- the door


def test_a_single_order():
    found = trace_orders(bands([100]))
    np.testing.assert_allclose(found.center()[0], 100 + 0.05 * np.arange(700), atol=0.6)


def test_transposed_frame_gives_the_transposed_table():
    flat = EchelleSimulation.random(3).flats(1)[0].data
    found, turned = trace_orders(flat), trace_orders(flat.T)
    assert found.dispersion_axis == 1 - turned.dispersion_axis
    np.testing.assert_array_equal(found.center(), turned.center())


def test_first_order_and_degree():
    found = trace_orders(bands([100, 200]), first_order=71, degree=2, dispersion_axis=1)
    assert found.order_numbers.tolist() == [71, 72]
    assert found.table["center"].shape == (2, 3)


def test_the_flat_is_left_alone():
    flat = EchelleSimulation.random(3).flats(1)[0]
    before = flat.copy()
    trace_orders(flat)
    np.testing.assert_array_equal(flat.data, before.data)


@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("hot", [False, True])
def test_noise_has_no_orders(axis, hot):
    image = np.random.default_rng(4).normal(100, 5, (400, 500))
    if hot:
        image[:, [50, 200, 201]] = 60_000
    with pytest.raises(ValueError, match="no orders found"):
        trace_orders(image, dispersion_axis=axis)


@pytest.mark.parametrize("value", [0.0, 5.0, np.nan])
def test_a_constant_has_no_orders(value):
    with pytest.raises(ValueError, match="no orders found"):
        trace_orders(np.full((200, 300), value))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"dispersion_axis": 2}, "dispersion_axis is 2"),
        ({"first_order": 0}, "first_order is 0"),
        ({"degree": 1.5}, "degree is 1.5"),
        ({"slice_width": 0}, "slice_width is 0"),
        ({"min_signal_to_noise": -1}, "min_signal_to_noise is -1"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        trace_orders(bands([100]), **options)


def test_not_an_image():
    with pytest.raises(ValueError, match="3 dimensions"):
        trace_orders(np.zeros((2, 30, 30)))
    with pytest.raises(ValueError, match="at least 20 pixels"):
        trace_orders(np.zeros((10, 300)))


# ---------------------------------------------------------------------- real frames


@pytest.mark.parametrize("dark_subtracted", [True, False])
def test_orders_of_a_real_flat(data_dir, zyla, dark_subtracted):
    flat = zyla("flat")[0].data.astype(float)
    if dark_subtracted:
        flat -= zyla("dark")[0].data
    found = trace_orders(flat)
    other = np.load(data_dir / "order_tables" / "pyreduce_zyla.npz")
    pixels = np.arange(flat.shape[1])
    theirs = np.array([
        np.where((pixels >= first) & (pixels < last), np.polyval(row, pixels), np.nan)
        for row, (first, last) in zip(other["orders"], other["column_range"], strict=True)
    ])
    assert found.dispersion_axis == 1
    assert len(found) == len(theirs) == 30
    off = np.nanmedian(np.abs(found.center() - theirs), axis=1)
    # Theirs are centroids: of the part on the detector of the first order, and of a slit that is
    # lit unevenly, in the last ones most.
    assert off[1:21].max() < 0.8
    assert off.max() < 2.5
    rms = found.table["center_rms"].to_value("pix")
    assert rms[:20].max() < 0.15
    assert rms.max() < 1.5


@pytest.mark.parametrize("n_columns", [24, 64, 110, 240])
def test_one_order_alone(n_columns):
    simulation = EchelleSimulation(shape=(60, n_columns), n_orders=1, seed=1)
    found = trace_orders(simulation.flats(1)[0], dispersion_axis=1)
    assert rms_of_orders(found, simulation.truth.orders).max() < 0.05


def test_half_an_order_alone_is_refused():
    """Cut by the detector, it does not tell how wide orders are."""
    simulation = EchelleSimulation(shape=(60, 240), n_orders=1, seed=1)
    flat, middle = simulation.flats(1)[0], int(simulation.truth.orders.center().mean())
    with pytest.raises(ValueError, match="no orders found"):
        trace_orders(flat.data[middle:], dispersion_axis=1)


@pytest.mark.parametrize("n_pixels", [60, 100])
def test_slices_are_narrow_enough_for_the_degree(n_pixels):
    sim = EchelleSimulation(shape=(60, n_pixels), n_orders=2, seed=1)
    found = trace_orders(sim.flats(1)[0], degree=7, dispersion_axis=1)
    assert rms_of_orders(found, sim.truth.orders).max() < 0.1


def test_slice_width_hardly_matters():
    simulation = EchelleSimulation(shape=(300, 700), n_orders=6, seed=2)
    flat, truth = simulation.flats(1)[0], simulation.truth.orders
    for width in (3, 12):
        assert rms_of_orders(trace_orders(flat, slice_width=width), truth).max() < 0.1


# ---------------------------------------------------------------------- where the light ends


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dark", [0.15, 0.5])
def test_orders_end_where_their_light_does(seed, dark):
    simulation = EchelleSimulation(shape=(500, 1000), n_orders=8, seed=seed)
    found = trace_orders(simulation.with_dark_end(dark, fade=0.01).flats(1)[0])
    assert (found.table["pixel_min"].value == -0.5).all()
    assert np.abs(found.table["pixel_max"].value - (1 - dark) * 1000).max() < 25
    assert rms_of_orders(found, simulation.truth.orders).max() < 0.25


def test_a_gap_within_an_order_is_bridged_where_its_end_is_dark():
    simulation = EchelleSimulation(shape=(400, 1000), n_orders=5, seed=2).with_dark_end(0.2)
    flat = simulation.flats(1)[0]
    rng = np.random.default_rng(3)
    flat.data[:, 300:450] = rng.normal(0, 4, (400, 150))
    found = trace_orders(flat)
    assert len(found) == 5
    assert (found.table["pixel_min"].value == -0.5).all()
    assert np.abs(found.table["pixel_max"].value - 780).max() < 30


def test_the_name_of_a_file_is_not_an_image():
    with pytest.raises(TypeError, match="flat is the name of a file, expected a CCDData or an arr"):
        trace_orders("flat.fits")
