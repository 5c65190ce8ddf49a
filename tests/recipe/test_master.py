# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The whole recipe against the truth of a simulation, and what it writes."""

import inspect
import re
import warnings
from dataclasses import replace

import ccdproc
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, InverseVariance, StdDevUncertainty, VarianceUncertainty
from astropy.utils.exceptions import AstropyUserWarning
from astropy.wcs import FITSFixedWarning

import ccdproc_echelle
from ccdproc_echelle import (
    EchelleOrderTable,
    FlatFlag,
    MasterFlat,
    make_master_flat,
    normalize_flat,
)
from ccdproc_echelle.light.flags import UNUSABLE
from ccdproc_echelle.orders import WrongOrderTableError
from ccdproc_echelle.simulation import EchelleSimulation
from helpers.orders import centers_only

GAIN, READ_NOISE = 1.5, 4.0
N_FLATS, N_DARKS = 7, 5


def simulated(dispersion_axis=1):
    shape = (260, 360) if dispersion_axis == 1 else (360, 260)
    return (
        EchelleSimulation(shape=shape, n_orders=4, seed=3, dispersion_axis=dispersion_axis)
        .with_noise(gain=GAIN, read_noise=READ_NOISE)
        .with_bias(300)
        .with_level_spread(0.35)
        .with_cosmic_rays(60)
        .with_dead_pixels(40)
    )


SMALL = EchelleSimulation(shape=(128, 160), n_orders=3, seed=5).with_bias(200)


def reduced(simulation=SMALL, n_flats=3, **options):
    """A master flat from frames in memory, which have no scattered light."""
    noise = {"gain": 1, "read_noise": 4, "scattered_light": None}
    options = noise | {"dark": simulation.darks(2, raw=True)} | options
    return make_master_flat(
        simulation.flats(n_flats, raw=True), centers_only(simulation.truth.orders), **options
    )


@pytest.fixture(scope="module", params=[1, 0], ids=["orders along rows", "along columns"])
def files(request, tmp_path_factory):
    """A simulation, its raw flats and darks as files, and its order table."""
    simulation = simulated(request.param)
    folder = tmp_path_factory.mktemp(f"axis{request.param}")
    flats, darks = simulation.write(folder, N_FLATS, N_DARKS)
    return simulation, flats, darks, centers_only(simulation.truth.orders)


@pytest.fixture(scope="module")
def result(files):
    simulation, flats, darks, orders = files
    return simulation, make_master_flat(flats, orders, dark=darks, gain=GAIN, read_noise=READ_NOISE)


@pytest.fixture(scope="module")
def small_master():
    return reduced()


# ---------------------------------------------------------------------- against the truth


def test_orders_are_traced_where_none_are_given(files, result):
    simulation, flats, darks, _ = files
    given = result[1]
    traced = make_master_flat(
        flats, dark=darks, gain=GAIN, read_noise=READ_NOISE, scattered_light=None
    )
    assert traced.orders.order_numbers.tolist() == [1, 2, 3, 4]
    np.testing.assert_allclose(
        traced.orders.center(), simulation.truth.orders.center(), atol=0.1
    )
    ratios = traced.levels["level"] / given.levels["level"]
    assert np.ptp(ratios) < 2e-3 * ratios.mean()


def test_levels_agree_with_truth(result):
    simulation, master = result
    ratio = master.levels["level"].value / simulation.truth.levels(N_FLATS)
    assert np.abs(ratio / ratio.mean() - 1).max() < 3e-4
    # The dead pixels are in the measured mean and not in the true one.
    assert ratio.mean() == pytest.approx(1, abs=2e-3)


def test_levels_name_the_files(result, files):
    names = [str(path) for path in files[1]]
    assert list(result[1].levels["frame"]) == names


def test_edges_agree_with_truth(result):
    simulation, master = result
    truth = simulation.truth.orders
    for side in ("lower", "upper"):
        errors = getattr(master.orders, side)() - getattr(truth, side)()
        assert np.sqrt(np.nanmean(errors**2, axis=1)).max() < 0.08
        assert np.abs(np.nanmean(errors, axis=1)).max() < 0.04
    np.testing.assert_array_equal(master.orders.order_numbers, truth.order_numbers)


def test_order_centers_stay(result, files):
    np.testing.assert_array_equal(result[1].orders.center(), files[3].center())


def test_pixels_agree_with_truth_within_their_uncertainty(result):
    simulation, master = result
    inside = (master.orders.order_map() > 0) & ~master.flat.mask
    data, sigma = master.flat.data[inside], master.flat.uncertainty.array[inside]
    norm = np.average(data / simulation.truth.flat[inside], weights=(data / sigma) ** 2)
    pulls = (data / norm - simulation.truth.flat[inside]) / sigma
    assert np.std(pulls) == pytest.approx(1, abs=0.03)
    assert np.abs(pulls).max() < 6


def test_dead_pixels_are_masked_and_hardly_any_other(result):
    simulation, master = result
    dead = simulation.truth.dead_pixels
    # One may lie on the edge of an order, where half a pixel of light is not its response.
    assert (dead & master.flat.mask).sum() >= 39
    assert (~dead & master.flat.mask).sum() <= 2


def test_interorder_area_is_one_and_exact_and_flagged_but_not_masked(result):
    _, master = result
    between = master.orders.order_map() == 0
    assert between.any()
    assert (master.flat.data[between] == 1).all()
    assert (master.flat.uncertainty.array[between] == 0).all()
    assert not master.flat.mask[between].any()
    np.testing.assert_array_equal((master.flags & FlatFlag.INTERORDER) > 0, between)


def test_flags_say_why_a_pixel_is_masked(result):
    _, master = result
    np.testing.assert_array_equal((master.flags & int(UNUSABLE)) > 0, master.flat.mask)
    assert master.flags.dtype == np.int16


def test_in_order_uncertainties_are_positive(result):
    _, master = result
    inside = (master.orders.order_map() > 0) & ~master.flat.mask
    assert (master.flat.uncertainty.array[inside] > 0).all()


def test_flat_is_dimensionless_with_mean_one(result):
    _, master = result
    assert master.flat.unit == ""
    assert master.flat.data.dtype == np.float32
    inner = master.orders.inner_mask(10)
    assert master.flat.data[inner].mean(dtype=float) == pytest.approx(1, abs=1e-5)


def test_header_tells_what_was_done(result):
    _, master = result
    assert master.flat.header["NCOMBINE"] == N_FLATS
    assert master.flat.header["INSTRUME"] == "EchelleSimulation"
    for i, level in enumerate(master.levels["level"].value, start=1):
        assert master.flat.header[f"LEVEL{i:03d}"] == level


@pytest.mark.parametrize("seed", range(3))
def test_noise_of_a_single_dark_is_in_the_uncertainty(seed):
    # Faint flats, a noisy detector and one dark for all of them: its noise does not average down.
    simulation = (
        EchelleSimulation(shape=(256, 300), n_orders=3, peak=4000, brightness_ratio=2, seed=seed)
        .with_noise(gain=1, read_noise=40).with_bias(1000)
    )
    master = reduced(simulation, 7, dark=simulation.darks(1, raw=True), read_noise=40)
    inside = (master.orders.order_map() > 0) & ~master.flat.mask
    difference = (master.flat.data - simulation.truth.flat)[inside]
    sigma = master.flat.uncertainty.array[inside]
    assert np.std(difference / sigma) == pytest.approx(1, abs=0.03)
    shared = 40**2 * np.mean(1 / master.levels["level"].value) ** 2
    assert np.std(difference / np.sqrt(sigma**2 - shared)) > 1.3


# ---------------------------------------------------------------------- options


def test_the_user_chooses_the_flags_that_are_masked(small_master):
    master = reduced(mask_flags=UNUSABLE | FlatFlag.INTERORDER)
    between = master.orders.order_map() == 0
    np.testing.assert_array_equal(master.flat.mask, small_master.flat.mask | between)
    np.testing.assert_array_equal(master.flags, small_master.flags)
    np.testing.assert_array_equal(master.flat.data, small_master.flat.data)


def test_frames_in_memory_give_what_files_give(tmp_path, small_master):
    flats, darks = SMALL.write(tmp_path, 3, 2)
    orders = centers_only(SMALL.truth.orders)
    master = make_master_flat(
        flats, orders, dark=darks, gain=1, read_noise=4, scattered_light=None
    )
    np.testing.assert_array_equal(master.flat.data, small_master.flat.data)
    np.testing.assert_array_equal(
        master.flat.uncertainty.array, small_master.flat.uncertainty.array
    )
    np.testing.assert_array_equal(master.flags, small_master.flags)
    assert list(small_master.levels["frame"]) == ["frame 0", "frame 1", "frame 2"]


def test_inputs_are_not_modified():
    flats, darks = SMALL.flats(3, raw=True), SMALL.darks(2, raw=True)
    orders = centers_only(SMALL.truth.orders)
    make_master_flat(flats, orders, dark=darks, gain=1, read_noise=4)
    for given, fresh in zip(flats + darks, SMALL.flats(3, raw=True) + SMALL.darks(2, raw=True),
                            strict=True):
        np.testing.assert_array_equal(given.data, fresh.data)
        assert given.header == fresh.header
        assert given.mask is None and given.uncertainty is None
    assert not orders.has_edges


def test_pixel_bad_in_all_frames_has_no_data():
    flats = SMALL.flats(3)
    row, column = np.argwhere(SMALL.truth.orders.inner_mask(4))[100]
    for flat in flats:
        flat.mask = np.zeros(flat.shape, dtype=bool)
        flat.mask[row, column] = flat.mask[0, 0] = True
    master = make_master_flat(flats, SMALL.truth.orders, bias=SMALL.biases(3), scattered_light=None)
    assert master.flags[row, column] == FlatFlag.NO_DATA
    assert master.flags[0, 0] == FlatFlag.NO_DATA | FlatFlag.INTERORDER
    assert np.isnan(master.flat.data[row, column])
    assert master.flat.mask[row, column] and master.flat.mask[0, 0]


@pytest.mark.parametrize("kind", [VarianceUncertainty, InverseVariance])
def test_uncertainties_of_another_type(kind):
    bias = SMALL.biases(3)
    flats = SMALL.flats(3)
    expected = make_master_flat(flats, SMALL.truth.orders, bias=bias, scattered_light=None)
    for flat in flats:
        flat.uncertainty = flat.uncertainty.represent_as(kind)
    master = make_master_flat(flats, SMALL.truth.orders, bias=bias, scattered_light=None)
    assert isinstance(master.flat.uncertainty, kind)
    inside = (master.orders.order_map() > 0) & ~master.flat.mask
    found = master.flat.uncertainty.represent_as(type(expected.flat.uncertainty)).array
    np.testing.assert_allclose(
        found[inside], expected.flat.uncertainty.array[inside], rtol=1e-5
    )


def test_without_noise_model_the_scatter_is_taken():
    master = make_master_flat(
        SMALL.flats(5, raw=True), SMALL.truth.orders, dark=SMALL.darks(3, raw=True),
        scattered_light=None,
    )
    inside = (master.orders.order_map() > 0) & ~master.flat.mask
    pulls = (master.flat.data - SMALL.truth.flat)[inside] / master.flat.uncertainty.array[inside]
    # Of few values the scatter is only roughly known: Student's distribution.
    assert np.median(np.abs(pulls)) == pytest.approx(0.74, abs=0.1)


def test_weights_for_frames_or_for_pixels_agree():
    weights = np.array([1.0, 2.0, 0.5])
    images = np.broadcast_to(weights[:, None, None], (3, *SMALL.shape))
    for_frames, for_pixels = (reduced(weights=w) for w in (weights, images))
    np.testing.assert_allclose(for_pixels.flat.data, for_frames.flat.data, rtol=1e-6)
    np.testing.assert_allclose(
        for_pixels.flat.uncertainty.array, for_frames.flat.uncertainty.array, rtol=1e-6
    )


def test_pixel_without_any_weight_is_rejected_in_all_frames():
    weights = np.ones((3, *SMALL.shape))
    row, column = np.argwhere(SMALL.truth.orders.inner_mask(4))[300]
    weights[:, row, column] = 0
    master = reduced(weights=weights)
    assert master.flags[row, column] == FlatFlag.ALL_REJECTED
    assert master.flat.mask[row, column]


def test_inverse_variance_weights_of_raw_frames_whose_noise_is_known(small_master):
    plain, weighted = small_master, reduced(weights="inverse_variance")
    inner = SMALL.truth.orders.inner_mask(10)
    difference = (weighted.flat.data - plain.flat.data)[inner]
    assert 0 < np.abs(difference).max() < 5 * plain.flat.uncertainty.array[inner].max()
    with pytest.raises(ValueError, match="weights is 'variance', expected an array or"):
        reduced(weights="variance")
    with pytest.raises(ValueError, match="'inverse_variance', but frame 0 has no uncertainty"):
        reduced(weights="inverse_variance", gain=None, read_noise=None)


def test_strong_dark_current_is_in_the_uncertainty():
    simulation = EchelleSimulation(shape=(200, 240), n_orders=4, seed=8).with_bias(300)
    simulation = simulation.with_dark_current(100.0)
    master = reduced(
        simulation, 4, dark=simulation.darks(20, raw=True), bias=simulation.biases(20, raw=True),
    )
    inside = (simulation.truth.orders.order_map() > 0) & (master.orders.order_map() > 0)
    inside &= ~master.flat.mask
    errors = (master.flat.data - simulation.truth.flat)[inside]
    assert (errors / master.flat.uncertainty.array[inside]).std() == pytest.approx(1, abs=0.03)


def test_the_table_of_another_spectrograph_is_refused():
    flats = SMALL.flats(2)
    other = EchelleSimulation(shape=SMALL.shape, n_orders=5, seed=1).truth.orders
    with pytest.raises(WrongOrderTableError, match="does not belong|more than the"):
        make_master_flat(flats, centers_only(other))


def test_the_level_uncertainty_holds_the_error_of_the_scattered_light():
    # narrow gaps: the scattered light is known to some percent of itself
    simulation = EchelleSimulation.random(89)
    orders, truth = centers_only(simulation.truth.orders), simulation.truth.levels(4)
    flats = simulation.flats(4)
    found = [
        make_master_flat(flats, orders, scattered_light=where).levels
        for where in ("frames", "master")
    ]
    ratio, noise = (levels["level_uncertainty"] / levels["level"] for levels in found)
    assert (ratio > 2 * noise).all()
    ratios = found[0]["level"].value / truth
    assert np.std(ratios / ratios.mean()) < 3 * ratio.mean()


def test_keywords_reach_edges_and_sensitivity(small_master):
    master = reduced(
        edge_keywords={"threshold": 0.2}, sensitivity_keywords={"dead": 0.01, "low": 0.01}
    )
    usual = small_master
    assert (np.nanmean(master.orders.lower() - usual.orders.lower(), axis=1) < -0.2).all()
    assert (np.nanmean(master.orders.upper() - usual.orders.upper(), axis=1) > 0.2).all()
    assert not master.flat.mask.any()


def test_a_single_order_whose_slices_are_given_a_length():
    simulation = EchelleSimulation(shape=(100, 200), n_orders=1, seed=4)
    orders = centers_only(simulation.truth.orders)
    with pytest.warns(AstropyUserWarning, match="single order"):  # nothing to compare its place to
        master = make_master_flat(simulation.flats(3), orders, edge_keywords={"slice_length": 80},
                                  scattered_light=None)
    np.testing.assert_allclose(master.orders.lower(), simulation.truth.orders.lower(), atol=0.1)


def test_orders_whose_table_does_not_know_the_detector(tmp_path, small_master):
    path = tmp_path / "orders.fits"
    SMALL.truth.orders.write(path, format="soxspipe")
    orders = EchelleOrderTable.read(path)
    assert orders.shape is None
    master = make_master_flat(
        SMALL.flats(3, raw=True), orders, dark=SMALL.darks(2, raw=True), gain=1, read_noise=4,
        scattered_light=None,
    )
    assert master.orders.shape == SMALL.shape
    np.testing.assert_allclose(master.orders.lower(), small_master.orders.lower(), atol=0.02)


def test_one_flat_alone_works_with_a_warning():
    with pytest.warns(AstropyUserWarning, match="frame 0 is the only frame"):
        master = reduced(n_flats=1)
    assert len(master.levels) == 1


# ---------------------------------------------------------------------- errors


@pytest.fixture
def no_reading(monkeypatch):
    """An error if pixels of any frame are read."""
    def fail(*args, **kwargs):
        raise AssertionError("a frame was read before the input was checked")

    monkeypatch.setattr("ccdproc_echelle.frames.FileFrame.load", fail)
    monkeypatch.setattr("ccdproc_echelle.frames.FileFrame.ccddata", fail)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"gain": 1}, ValueError, "read_noise is missing"),
        ({"gain": -1, "read_noise": 4}, ValueError, "gain is -1"),
        ({"trace_keywords": {"n_order": 3}}, TypeError, "'n_order'; did you mean 'n_orders'"),
        ({"trace_keywords": {"n_orders": 3}}, TypeError, "trace_keywords apply only to orders"),
        ({"trace_keywords": {"min_width": -1}}, ValueError, "min_width is -1"),
        ({"edge_keywords": {"thresold": 0.5}}, TypeError, "'thresold'; did you mean 'threshold'"),
        ({"edge_keywords": {"degree": -1}}, ValueError, "degree is -1"),
        ({"sensitivity_keywords": {"deed": 0.1}}, TypeError, "'deed'; did you mean 'dead'"),
        ({"sensitivity_keywords": {"low": 2}}, ValueError, "low is 2"),
        ({"sensitivity_keywords": {"length": 0}}, ValueError, "length is 0"),
        ({"window": 0}, ValueError, "window is 0"),
        ({"window": -3}, ValueError, "window is -3"),
        ({"weights": [1, 2]}, ValueError, r"weights have shape \(2,\)"),
        ({"scale": [1, 1, 1]}, TypeError, "unknown keyword 'scale'"),
        ({"first_order": 84}, TypeError, "'first_order'; .* trace_orders: put it in trace_keyw"),
        ({"degree": 5}, TypeError, "'degree'; .* put it in trace_keywords or edge_keywords"),
        ({"dead": 0.1}, TypeError, "'dead'; .* find_bad_response: put it in sensitivity_keywords"),
        ({"signma_clip_dev_func": "std"}, TypeError, "did you mean 'sigma_clip_dev_func'"),
        ({"bias": []}, ValueError, "no frames"),
        ({"dark": ["no_such_dark.fits"]}, FileNotFoundError, "no_such_dark.fits"),
    ],
)
def test_bad_options_are_refused_before_any_frame_is_read(
    tmp_path, no_reading, options, error, message
):
    flats, _ = SMALL.write(tmp_path, 3)
    with pytest.raises(error, match=message):
        make_master_flat(flats, SMALL.truth.orders, **options)


@pytest.mark.parametrize(("table", "keyword"), [
    ("trace_keywords", "first_order"), ("edge_keywords", "order_degree"),
    ("sensitivity_keywords", "dead"),
])
def test_functions_named_for_keywords_of_steps_have_these_keywords(table, keyword):
    described = rf"{table} : dict, optional\s+Keywords of `(\w+)`"
    function = getattr(ccdproc_echelle, re.search(described, make_master_flat.__doc__)[1])
    assert keyword in inspect.signature(function).parameters


@pytest.mark.parametrize(
    ("options", "message"), [({"n_passes": 0}, "n_passes is 0"), ({"method": "sum"}, "is 'sum'")]
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        reduced(**options)


def test_order_table_of_another_detector_is_refused_before_any_frame_is_read(
    tmp_path, no_reading
):
    flats, _ = SMALL.write(tmp_path, 2)
    other = EchelleSimulation(shape=(300, 160), n_orders=3).truth.orders
    with pytest.raises(ValueError, match=r"detector of shape \(300, 160\), .* \(128, 160\)"):
        make_master_flat(flats, other)


def test_dark_of_another_detector_is_named(tmp_path, no_reading):
    flats, _ = SMALL.write(tmp_path, 2)
    path = tmp_path / "other_dark.fits"
    CCDData(np.zeros((5, 5)), unit="adu").write(path)
    with pytest.raises(ValueError, match=r"other_dark\.fits has shape \(5, 5\), .* the dark is"):
        make_master_flat(flats, SMALL.truth.orders, dark=path)


def test_truncated_flat_is_named(tmp_path):
    flats, _ = SMALL.write(tmp_path, 2)
    flats[1].write_bytes(flats[1].read_bytes()[:20000])
    with pytest.raises(OSError, match=r"flat_02\.fits"):
        make_master_flat(flats, SMALL.truth.orders)


# ---------------------------------------------------------------------- the file


def quiet_read(path):
    """`MasterFlat.read`, where no warning is expected; any would be an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return MasterFlat.read(path)


def assert_same_table(found, expected):
    assert found.colnames == expected.colnames
    for name in expected.colnames:
        np.testing.assert_array_equal(found[name], expected[name])
        assert getattr(found[name], "unit", None) == getattr(expected[name], "unit", None)


def test_round_trip_is_exact(result, tmp_path):
    _, master = result
    path = tmp_path / "master.fits"
    master.write(path)
    found = quiet_read(path)
    for part in ("data", "mask"):
        given, back = getattr(master.flat, part), getattr(found.flat, part)
        np.testing.assert_array_equal(back, given)
        assert back.dtype.newbyteorder("=") == given.dtype
    np.testing.assert_array_equal(found.flat.uncertainty.array, master.flat.uncertainty.array)
    assert type(found.flat.uncertainty) is type(master.flat.uncertainty)
    assert found.flat.unit == master.flat.unit
    for key in ("NCOMBINE", "combined", "LEVEL001", "LEVEL007", "INSTRUME", "DATE-OBS", "EXPTIME"):
        assert found.flat.header[key] == master.flat.header[key]
    np.testing.assert_array_equal(found.flags, master.flags)
    assert found.flags.dtype == master.flags.dtype
    assert_same_table(found.orders.table, master.orders.table)
    assert found.orders.table.meta == master.orders.table.meta
    assert_same_table(found.levels, master.levels)
    assert found.levels.meta == master.levels.meta
    assert_same_table(found.quality, master.quality)
    assert_same_table(found.vetting, master.vetting)


def test_a_damaged_file_is_refused_by_name(small_master, tmp_path):
    path = tmp_path / "master.fits"
    small_master.write(path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"EXTNAME = 'FLAGS   '", b"EXTNAME = 'BLAGS   '"))
    with pytest.raises(ValueError, match=r"master\.fits as a master flat: it has no .* FLAGS"):
        MasterFlat.read(path)
    path.write_bytes(content.replace(b"DETROWS =", b"NOTROWS ="))
    with pytest.raises(ValueError, match=r"master\.fits as a master flat: .*DETROWS"):
        MasterFlat.read(path)


def test_what_was_read_can_be_written_again(small_master, tmp_path):
    first, second = tmp_path / "first.fits", tmp_path / "second.fits"
    small_master.write(first)
    quiet_read(first).write(second)
    assert fits.FITSDiff(str(first), str(second)).identical


@pytest.mark.parametrize("kind", [VarianceUncertainty, InverseVariance])
def test_round_trip_of_other_uncertainties(small_master, tmp_path, kind):
    flat = small_master.flat.copy()
    inside = flat.uncertainty.array > 0
    flat.uncertainty = kind(np.where(inside, 4.0, np.inf if kind is InverseVariance else 0))
    path = tmp_path / "master.fits"
    replace(small_master, flat=flat).write(path)
    found = quiet_read(path).flat.uncertainty
    assert type(found) is kind
    np.testing.assert_array_equal(found.array, flat.uncertainty.array)


def test_ccddata_opens_the_file(small_master, tmp_path):
    path = tmp_path / "master.fits"
    small_master.write(path)
    flat = CCDData.read(path)
    np.testing.assert_array_equal(flat.data, small_master.flat.data)
    np.testing.assert_array_equal(flat.mask, small_master.flat.mask)
    np.testing.assert_array_equal(flat.uncertainty.array, small_master.flat.uncertainty.array)
    assert flat.unit == ""


def test_flags_extension_explains_its_bits(small_master, tmp_path):
    path = tmp_path / "master.fits"
    small_master.write(path)
    header = fits.getheader(path, "FLAGS")
    for flag in FlatFlag:
        assert header[f"BIT{int(flag).bit_length() - 1}"] == flag.name


def test_writing_does_not_change_the_master(small_master, tmp_path):
    before = small_master.orders.table.meta
    header = small_master.flat.header.copy()
    small_master.write(tmp_path / "master.fits")
    assert small_master.orders.table.meta == before
    assert small_master.flat.header == header


def test_master_of_frames_with_a_plain_dict_header(tmp_path):
    flats = SMALL.with_bias(0).flats(3)
    for flat in flats:
        flat.meta = {"OBJECT": "lamp"}
    master = make_master_flat(flats, SMALL.truth.orders, scattered_light=None)
    path = tmp_path / "master.fits"
    master.write(path)
    assert quiet_read(path).flat.header["OBJECT"] == "lamp"


def test_existing_file_is_refused_and_kept(small_master, tmp_path):
    path = tmp_path / "master.fits"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match=r"master\.fits already exists"):
        small_master.write(path)
    assert path.read_text() == "precious"
    small_master.write(path, overwrite=True)
    assert len(quiet_read(path).orders) == 3


@pytest.mark.parametrize("old", [None, "precious"])
def test_nothing_is_left_after_a_failure(small_master, tmp_path, monkeypatch, old):
    path = tmp_path / "master.fits"
    if old is not None:
        path.write_text(old)

    def fail_after_some_bytes(self, name, *args, **kwargs):
        with open(name, "wb") as file:
            file.write(b"SIMPLE")
        raise OSError("disk full")

    monkeypatch.setattr(fits.HDUList, "writeto", fail_after_some_bytes)
    with pytest.raises(OSError, match="disk full"):
        small_master.write(path, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ([] if old is None else ["master.fits"])
    assert old is None or path.read_text() == old


def test_date_without_mjd_does_not_make_reading_warn(small_master, tmp_path):
    path = tmp_path / "master.fits"
    flat = small_master.flat.copy()
    flat.header["DATE-OBS"] = "2019-03-14T00:37:21"
    replace(small_master, flat=flat).write(path)
    with pytest.warns(FITSFixedWarning):
        CCDData.read(path)
    quiet_read(path)


def test_folder_that_does_not_exist(small_master, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        small_master.write(tmp_path / "nowhere" / "master.fits")


def test_other_fits_file_is_no_master_flat(tmp_path):
    path = tmp_path / "image.fits"
    CCDData(np.zeros((5, 5)), unit="adu").write(path)
    with pytest.raises(ValueError, match=r"cannot read .*image\.fits as a master flat: .* FLAGS"):
        MasterFlat.read(path)


def test_master_that_does_not_exist(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.fits"):
        MasterFlat.read(tmp_path / "nothing.fits")


# ---------------------------------------------------------------------- frames that do not belong


def spoiled_set():
    """Six raw flats: one without light, one of another binning, one saturated, one shifted."""
    simulation = EchelleSimulation(shape=(256, 300), n_orders=4, seed=8).with_level_spread(0.2)
    flats = simulation.flats(8, raw=True)
    flats[2].data = np.rint(flats[2].data * 0.001).astype(np.uint16)
    flats[3].data = flats[3].data[::2, ::2]
    flats[5].data = np.maximum(flats[5].data, 60000 * (flats[5].data > 300)).astype(np.uint16)
    rows = np.roll(flats[6].data, 1, axis=0).astype(float)
    flats[6].data = np.rint(0.3 * flats[6].data + 0.7 * rows).astype(np.uint16)
    return simulation, flats


def test_frames_that_do_not_belong_are_dropped_and_named():
    simulation, flats = spoiled_set()
    with pytest.warns(AstropyUserWarning) as said:
        master = make_master_flat(
            flats, centers_only(simulation.truth.orders), gain=1, read_noise=4, reject="drop",
            saturation=60000, scattered_light=None,
        )
    dropped = [str(w.message) for w in said if "left out" in str(w.message)]
    assert [message.split(" does")[0] for message in sorted(dropped)] == [
        "frame 2", "frame 3", "frame 5", "frame 6",
    ]
    reasons = {row["frame"]: row["verdict"] for row in master.vetting if not row["used"]}
    assert "lamp" in reasons["frame 2"]
    assert "shape" in reasons["frame 3"]
    assert "saturated" in reasons["frame 5"]
    assert "shifted" in reasons["frame 6"]
    shift = master.vetting["shift"][master.vetting["frame"] == "frame 6"]
    assert shift.value == pytest.approx(0.7, abs=0.05)
    assert master.levels["frame"].tolist() == ["frame 0", "frame 1", "frame 4", "frame 7"]
    quality = {row["name"]: row["value"] for row in master.quality}
    assert quality["frames_used"] == 4 and quality["frames_refused"] == 4


def test_frames_that_do_not_belong_can_be_an_error():
    simulation, flats = spoiled_set()
    with pytest.raises(ValueError, match="frame 3 does not belong to the set"):
        make_master_flat(flats, simulation.truth.orders, reject="error")


# -------------------------------------------------------------- scattered light, order tables


SCATTERING = EchelleSimulation(shape=(300, 320), n_orders=5, seed=2).with_scattered_light(0.05)


@pytest.fixture(scope="module")
def with_its_scattered_light():
    orders = centers_only(SCATTERING.truth.orders)
    return make_master_flat(SCATTERING.flats(4), orders, scattered_light=None)


@pytest.mark.parametrize("where", ["frames", "master"])
def test_scattered_light_is_subtracted(with_its_scattered_light, where):
    simulation, plain = SCATTERING, with_its_scattered_light
    orders = centers_only(simulation.truth.orders)
    master = make_master_flat(simulation.flats(4), orders, scattered_light=where)
    truth = simulation.truth.flat
    inner = simulation.truth.orders.inner_mask(10) & ~master.flat.mask & ~plain.flat.mask
    faint = inner & (truth < 0.3)

    def bias(flat):
        return abs(np.mean(flat.data[faint] / truth[faint]) - 1)

    assert bias(master.flat) < 0.005 < 0.05 < bias(plain.flat)
    assert master.flat.data[inner].mean(dtype=float) == pytest.approx(1, abs=1e-3)
    value = {row["name"]: row["value"] for row in master.quality}["scattered_light_fraction"]
    assert value == pytest.approx(0.05 / 1.05, rel=0.1)


def test_a_stale_order_table_is_put_in_place():
    simulation = EchelleSimulation(shape=(300, 320), n_orders=5, seed=2)
    stale = centers_only(simulation.truth.orders).shifted(-6)
    with pytest.warns(AstropyUserWarning, match=r"orders are \+6\.0. pixels off the order table"):
        master = make_master_flat(simulation.flats(3), stale, scattered_light=None)
    np.testing.assert_allclose(master.orders.center(), simulation.truth.orders.center(), atol=0.1)


def test_html_has_a_picture_and_the_quality(small_master):
    html = small_master._repr_html_()
    assert "data:image/png;base64," in html and "level_spread" in html
    assert "3 orders" in html


def test_each_step_is_logged(caplog):
    with caplog.at_level("INFO", logger="ccdproc_echelle"):
        reduced(scattered_light="frames")
    text = caplog.text
    for words in ("3 frames", "3 orders", "levels", "scattered light", "dead"):
        assert words in text


# ---------------------------------------------------------------------- the proof: a science frame


def test_a_science_frame_is_flattened():
    simulation = EchelleSimulation(shape=(300, 400), n_orders=4, seed=6, pixel_response=0.02)
    truth = simulation.truth
    master = make_master_flat(
        simulation.flats(10), centers_only(truth.orders), scattered_light=None
    )
    response = normalize_flat(master.flat, master.orders).pixel_response
    # A smooth source in the same slit; its noise is left out, that of the flat remains.
    smooth = 1 + 0.3 * np.sin(np.arange(400) / 40)
    science = CCDData(5000 * smooth * truth.flat, unit="electron")
    inside = (truth.orders.inner_mask(10)) & ~master.flat.mask & (truth.flat > 0.3)

    source = (5000 * np.broadcast_to(smooth, science.shape))[inside]
    light = source * (truth.flat / truth.pixel_response)[inside]

    flattened = ccdproc.flat_correct(science, master.flat, norm_value=1)
    assert scatter(flattened.data[inside] / source) < 1.05 * expected_noise(master, inside)
    by_response = ccdproc.flat_correct(science, response, norm_value=1)
    assert scatter(by_response.data[inside] / light) < 1.1 * expected_noise(master, inside)
    assert scatter(science.data[inside] / light) > 0.018


def scatter(values):
    return np.std(values) / np.mean(values)


def expected_noise(master, where):
    relative = master.flat.uncertainty.array[where] / master.flat.data[where]
    return np.sqrt(np.mean(relative**2))


@pytest.mark.parametrize("step", ["trace_keywords", "edge_keywords", "sensitivity_keywords"])
def test_errors_in_keywords_of_a_step_name_it(step):
    orders = None if step == "trace_keywords" else SMALL.truth.orders
    with pytest.raises(TypeError, match=f"^{step}: unknown keyword 'fo'"):
        make_master_flat(SMALL.flats(3), orders, **{step: {"fo": 1}})


def test_a_file_whose_images_are_of_different_shapes_is_refused(small_master, tmp_path):
    path = tmp_path / "master.fits"
    small_master.write(path)
    with fits.open(path, mode="update") as hdus:
        hdus["FLAGS"].data = hdus["FLAGS"].data[:100]
    message = r"master\.fits as a master flat: FLAGS has shape \(100, 160\), expected that of"
    with pytest.raises(ValueError, match=message):
        MasterFlat.read(path)


@pytest.mark.parametrize("where", ["master ", True])
def test_unknown_ways_to_scattered_light_are_refused_before_any_frame_is_read(
    tmp_path, no_reading, where
):
    flats, _ = SMALL.write(tmp_path, 3)
    with pytest.raises(ValueError, match=f"scattered_light is {where!r}, expected 'frames'"):
        make_master_flat(flats, SMALL.truth.orders, scattered_light=where)


def test_without_room_between_the_orders_no_scattered_light_is_subtracted():
    """Orders of 32 rows with 2 rows between them and 1 at the ends, none of which is apart."""
    light = np.zeros((102, 200))
    for row in (1, 35, 69):
        light[row : row + 32] = 1000
    noise = np.random.default_rng(1).normal(0, 3, (3, *light.shape))
    flats = [
        CCDData(level * light + error, unit="adu", uncertainty=StdDevUncertainty(0 * light + 3))
        for level, error in zip((1, 1.2, 0.9), noise, strict=True)
    ]
    orders = EchelleOrderTable.from_polynomials(
        [1, 2, 3], [[16.5], [50.5], [84.5]], shape=light.shape, dispersion_axis=1)
    plain = make_master_flat(flats, orders, scattered_light=None)
    for where in ("frames", "master"):
        with pytest.warns(AstropyUserWarning, match="no room between the orders"):
            found = make_master_flat(flats, orders, scattered_light=where)
        np.testing.assert_array_equal(found.flat.data, plain.flat.data, err_msg=where)
        value = {row["name"]: row["value"] for row in found.quality}["scattered_light_fraction"]
        assert np.isnan(value), where


def test_noise_of_a_single_dark_with_weights_by_variance():
    simulation = (
        EchelleSimulation(shape=(256, 300), n_orders=3, peak=4000, brightness_ratio=2, seed=1)
        .with_noise(gain=1, read_noise=40).with_bias(1000)
    )
    flats = simulation.flats(7, raw=True)
    for flat in flats:
        flat.uncertainty = StdDevUncertainty(np.sqrt(np.maximum(flat.data - 1000.0, 0) + 40**2))
    master = make_master_flat(
        flats, centers_only(simulation.truth.orders), dark=simulation.darks(1, raw=True), gain=1,
        read_noise=40, weights="inverse_variance", scattered_light=None,
    )
    inside = (master.orders.order_map() > 0) & ~master.flat.mask
    difference = (master.flat.data - simulation.truth.flat)[inside]
    assert np.std(difference / master.flat.uncertainty.array[inside]) == pytest.approx(1, abs=0.03)


# ------------------------------------------------------------------------ the noise of the set


NOISY = (
    EchelleSimulation(shape=(256, 256), n_orders=4, seed=2)
    .with_noise(gain=GAIN, read_noise=READ_NOISE)
    .with_level_spread(0.3)
    .with_bias(300)
)


def made_of_noisy(**options):
    return make_master_flat(
        NOISY.flats(3, raw=True, uncertainty=False),
        NOISY.truth.orders,
        bias=NOISY.biases(4, raw=True, uncertainty=False),
        scattered_light=None,
        **options,
    )


def test_the_noise_measured_serves_as_that_given():
    given = made_of_noisy(gain=GAIN, read_noise=READ_NOISE)
    measured = made_of_noisy()
    inside = NOISY.truth.orders.order_map(margin=-3) > 0
    ratio = measured.flat.uncertainty.array[inside] / given.flat.uncertainty.array[inside]
    np.testing.assert_allclose(ratio, 1, atol=0.06)
    for master in (given, measured):
        assert master.flat.header["GAINMEAS"] == pytest.approx(GAIN, rel=0.05)
        assert master.flat.header["RONMEAS"] == pytest.approx(READ_NOISE, rel=0.07)
        rows = {row["name"]: row for row in master.quality}
        assert rows["measured_gain"]["value"] == master.flat.header["GAINMEAS"]
        assert rows["measured_read_noise"]["value"] == master.flat.header["RONMEAS"]
        assert rows["measured_gain"]["unit"] == "electron / adu"
        assert "[electron / adu]" in master.flat.header.comments["GAINMEAS"]
    chi_square = measured.quality["value"][measured.quality["name"] == "reduced_chi_square"][0]
    assert chi_square == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(("wrong", "found"), [
    (dict(gain=1 / GAIN, read_noise=READ_NOISE), "gain is 0.666667, but .* gives gain 1[.]"),
    (dict(gain=GAIN, read_noise=20), "read_noise is 20, but .* tells .* read noise 4|3[.]9"),
])
def test_a_gain_or_read_noise_that_is_not_that_of_the_frames(wrong, found):
    with pytest.warns(AstropyUserWarning, match=found):
        made_of_noisy(**wrong)


def test_flats_of_unknown_uncertainty():
    flats, orders = NOISY.with_bias(0).flats(3), NOISY.truth.orders
    expected = make_master_flat(
        [CCDData(flat.data, unit="adu") for flat in flats], orders, scattered_light=None
    )
    for flat in flats:
        flat.uncertainty.array[:] = np.nan
    with pytest.warns(AstropyUserWarning, match="most uncertainties are NaN. They are not used"):
        master = make_master_flat(flats, orders, scattered_light=None)
    np.testing.assert_array_equal(master.flat.mask, expected.flat.mask)
    inside = orders.order_map(margin=-3) > 0
    ratio = master.flat.uncertainty.array[inside] / expected.flat.uncertainty.array[inside]
    assert np.median(ratio) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("off, response", [(-4, 0.0), (2, 0.3), (5, 0.02)])
def test_dead_row_along_an_order_is_flagged_and_no_edge(axis, off, response):
    simulation = EchelleSimulation(shape=(160, 160), n_orders=3, seed=2, dispersion_axis=axis)
    true, row = simulation.truth.orders, np.zeros((160, 160), dtype=bool)
    number = int(np.median(true.center()[1])) + off
    (row if axis == 1 else row.T)[number] = True
    flats = simulation.flats(3)
    for flat in flats:
        flat.data[row] *= response
    master = make_master_flat(flats, centers_only(true), scattered_light=None)
    found = master.orders
    edges = [found.lower() - true.lower(), found.upper() - true.upper()]
    assert np.nanmax(np.abs(edges)) < 0.2
    bad = master.flags & int(FlatFlag.DEAD | FlatFlag.LOW_SENSITIVITY) > 0
    assert bad[row & (true.order_map(margin=-1) > 0)].mean() > 0.9
    assert "inner_mean" not in master.quality["name"][master.quality["verdict"] == "fail"]


def test_table_is_taken_as_it_is_on_request():
    orders = centers_only(SMALL.truth.orders)
    options = dict(dark=SMALL.darks(2, raw=True), gain=1, read_noise=4, scattered_light=None)
    flats = SMALL.flats(3, raw=True)
    shifted = "pixels off the order table, which has been shifted"
    with pytest.warns(AstropyUserWarning, match=shifted):
        moved = make_master_flat(flats, orders.shifted(3), **options)
    kept = make_master_flat(flats, orders.shifted(3), check_table=False, **options)
    np.testing.assert_allclose(kept.orders.center(), orders.center() + 3)
    np.testing.assert_allclose(kept.orders.lower(), moved.orders.lower(), atol=0.2)


def test_quality_of_a_flat_with_fringes():
    simulation = EchelleSimulation(shape=(256, 300), n_orders=4, seed=1).with_level_spread(0.3)
    rows, columns = np.indices((256, 300))
    fringes = 1 + 0.15 * np.sin(2 * np.pi * (columns + 0.3 * rows) / 9)
    flats = simulation.flats(4)
    for flat in flats:
        flat.data *= fringes
        flat.uncertainty.array *= np.sqrt(fringes)
    master = make_master_flat(flats, simulation.truth.orders, scattered_light=None)
    assert "fail" not in master.quality["verdict"]
    inside = simulation.truth.orders.order_map(margin=-2) > 0
    assert not (master.flags & int(UNUSABLE) > 0)[inside].any()


def test_order_half_in_the_dark_fails():
    simulation = EchelleSimulation(shape=(256, 300), n_orders=6, seed=5)
    center, rows = simulation.truth.orders.center()[2], np.arange(256)[:, None]
    flats = simulation.flats(3)
    for flat in flats:
        flat.data *= np.where((rows > center) & (rows < center + 12), 0.01, 1)
    orders = centers_only(simulation.truth.orders)
    with pytest.warns(AstropyUserWarning, match="doubtful: the width"):
        master = make_master_flat(flats, orders, scattered_light=None)
    assert list(master.quality["name"][master.quality["verdict"] == "fail"]) == ["order_width_jump"]


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"window": "wide"}, TypeError, "window is 'wide', expected a number"),
        ({"sigma_clip": "yes"}, TypeError, "sigma_clip is 'yes', expected True or False"),
        ({"edge_keywords": 3}, TypeError, "edge_keywords is 3, expected keywords with"),
        ({"combine_uncertainty_function": "std"}, TypeError, "is 'std', expected a function"),
        ({"executor": "threads"}, TypeError, "executor is 'threads', expected an executor"),
        ({"mask_flags": "DEAD"}, TypeError, "mask_flags is 'DEAD', expected flags"),
        ({"mask_flags": 1 << 12}, ValueError, "mask_flags is 4096, expected a combination"),
        ({"exposure_key": 30}, TypeError, "30 is not a header keyword, expected its name"),
        ({"bias": []}, ValueError, r"bias is \[\], which has no frames; expected frames or None"),
        ({"dark": ""}, ValueError, "dark is '', which has no frames; expected frames or None"),
        ({"n_passes": 0}, ValueError, "n_passes is 0, expected a positive integer"),
        ({"per_order": "yes"}, ValueError, "per_order is 'yes', expected False, True or 'auto'"),
        ({"clip_extrema": True, "nhigh": 2}, ValueError, "nlow \\+ nhigh is 3, expected less"),
    ],
)
def test_values_of_the_wrong_kind_are_refused_before_any_work(keywords, error, message, no_reading):
    with pytest.raises(error, match=message):
        make_master_flat(SMALL.flats(3), SMALL.truth.orders, **keywords)


def test_a_fit_of_scattered_light_that_diverges_is_replaced():
    sim = EchelleSimulation(shape=(300, 300), n_orders=5, order_width=22, seed=11)
    sim = sim.with_level_spread(0.3)
    flats = sim.flats(2)
    for flat in flats:
        flat.uncertainty = StdDevUncertainty(flat.uncertainty.array * 3)
    with pytest.warns(AstropyUserWarning, match="too large") as found:
        flat = make_master_flat(flats, sim.truth.orders).flat
    assert {warning.category for warning in found} == {AstropyUserWarning}  # nothing overflows
    used = ~flat.mask & (sim.truth.orders.order_map(margin=-3) > 0)
    assert np.std(flat.data[used] / sim.truth.flat[used]) < 0.03
