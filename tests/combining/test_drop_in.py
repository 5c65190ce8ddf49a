# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Scripts that were written for `ccdproc.combine` find all that it has."""

import inspect
import types

import ccdproc
import numpy as np
import pytest
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.stats import mad_std
from astropy.utils.exceptions import AstropyUserWarning

from ccdproc_echelle.combining import combine_frames, inner_order_scale, two_pass_flat_combine
from ccdproc_echelle.orders import EchelleOrderTable
from ccdproc_echelle.recipe import MasterFlat, make_master_flat
from ccdproc_echelle.simulation import EchelleSimulation

SMALL = EchelleSimulation(shape=(128, 140), n_orders=3, seed=10)
ORDERS = SMALL.truth.orders


def test_every_keyword_of_ccdproc_with_its_default(random_frames):
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(ccdproc.combine).parameters.items()
        if parameter.default is not parameter.empty
    }
    frames = random_frames(masked=0.1)
    found, expected = combine_frames(frames, **defaults), ccdproc.combine(frames, **defaults)
    good = ~expected.mask
    np.testing.assert_allclose(found.data[good], expected.data[good], rtol=3e-7)
    np.testing.assert_array_equal(found.mask, expected.mask)


@pytest.mark.parametrize("uncertainty", [None, StdDevUncertainty])
def test_functions_that_are_none(random_frames, assert_identical, uncertainty):
    frames = random_frames(uncertainty=uncertainty)
    clip = {"sigma_clip": True, "sigma_clip_low_thresh": 1.5, "sigma_clip_high_thresh": 1.5}
    none = combine_frames(frames, sigma_clip_func=None, sigma_clip_dev_func=None, **clip)
    assert_identical(none, combine_frames(frames, **clip))


def test_array_package(random_frames, assert_identical):
    frames = random_frames(3)
    assert_identical(combine_frames(frames, array_package=np), combine_frames(frames))
    other = types.ModuleType("another_package")
    with pytest.warns(AstropyUserWarning, match="array_package is another_package, but the result"):
        assert_identical(combine_frames(frames, array_package=other), combine_frames(frames))


# ---------------------------------------------------------------------- an uncertainty function


def nan_std(stack, axis):
    """As bottleneck does it: whatever it gets, it looks at the array only."""
    return np.nanstd(np.asarray(stack), axis=axis)


def wasteful_std(stack, axis):
    """It sorts its argument in place and leaves it like that."""
    found = np.std(stack, axis=axis)
    np.asarray(stack).sort(axis=axis)
    return found


@pytest.mark.parametrize("function", [np.std, np.ma.std, np.nanstd, nan_std, wasteful_std])
@pytest.mark.parametrize(("method", "factor"), [("average", 1), ("median", 1), ("sum", 4)])
@pytest.mark.parametrize("bad", ["none", "clipped", "masked", "nan"])
@pytest.mark.parametrize("own", [False, True])
def test_an_uncertainty_function_sees_the_values_that_are_used(function, method, factor, bad, own):
    values = [99.0, 103.0, 98.0, 100.0] + ([] if bad == "none" else [9000.0])
    frames = [CCDData(np.full((3, 2), value), unit="adu") for value in values]
    if bad == "masked":
        frames[-1].mask = np.ones((3, 2), dtype=bool)
    if bad == "nan":
        frames[-1].data[:] = np.nan
    if own:
        for frame in frames:
            frame.uncertainty = StdDevUncertainty(np.full((3, 2), 2.0))
    combined = combine_frames(
        frames, method=method, combine_uncertainty_function=function, sigma_clip=bad == "clipped",
        sigma_clip_low_thresh=5, sigma_clip_high_thresh=5,
    )
    expected = factor * np.std(values[:4]) / 2
    np.testing.assert_allclose(combined.uncertainty.array, expected, rtol=1e-12)
    np.testing.assert_allclose(combined.data, {"average": 100, "median": 99.5, "sum": 400}[method])


@pytest.mark.parametrize("method", ["average", "median", "sum"])
@pytest.mark.parametrize("function", [mad_std, nan_std])
def test_an_uncertainty_function_as_in_ccdproc(random_frames, method, function):
    frames = random_frames(7)
    keywords = {"method": method, "combine_uncertainty_function": function}
    found, expected = combine_frames(frames, **keywords), ccdproc.combine(frames, **keywords)
    np.testing.assert_allclose(found.uncertainty.array, expected.uncertainty.array, rtol=1e-5)


# ---------------------------------------------------------------------- what the first frame has


class LabelledData(CCDData):
    """A class of the user's own."""


@pytest.mark.parametrize("combine", [ccdproc.combine, combine_frames])
def test_class_psf_and_flags_are_those_of_the_first_frame(combine):
    first = LabelledData(
        np.ones((3, 4)), unit="adu", psf=np.eye(3), flags=np.arange(12).reshape(3, 4)
    )
    combined = combine([first, CCDData(np.ones((3, 4)), unit="adu")])
    assert type(combined) is LabelledData
    assert combined.unit == "adu"
    np.testing.assert_array_equal(combined.psf, np.eye(3))
    np.testing.assert_array_equal(combined.flags, first.flags)


@pytest.mark.parametrize("combine", [ccdproc.combine, combine_frames])
def test_the_psf_of_a_file(tmp_path, combine):
    paths = [tmp_path / f"frame_{i}.fits" for i in range(2)]
    for i, path in enumerate(paths):
        CCDData(np.full((3, 4), 1.0 + i), unit="adu", psf=np.eye(3)).write(path)
    np.testing.assert_array_equal(combine(list(map(str, paths))).psf, np.eye(3))


# ---------------------------------------------------------------------- names of files


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return tmp_path


def test_the_home_folder(home, random_frames, assert_identical):
    frames = random_frames(2)
    for i, frame in enumerate(frames):
        frame.write(home / f"f{i}.fits")
    for names in (["~/f0.fits", "~/f1.fits"], "~/f0.fits,~/f1.fits"):
        combined = combine_frames(names, "~/combined.fits", overwrite_output=True)
        assert_identical(combined, combine_frames(frames))
        np.testing.assert_array_equal(CCDData.read(home / "combined.fits").data, combined.data)
    with pytest.raises(FileExistsError, match=r"combined\.fits already exists; give overwrite_out"):
        combine_frames(frames, "~/combined.fits")


def test_the_home_folder_of_the_recipe(home):
    flats, _ = SMALL.write("~", 2)
    assert flats[0].parent == home
    ORDERS.write("~/orders.ecsv")
    (home / "limits.yaml").write_text("frames_used: [1, 9]\n", encoding="utf-8")
    make_master_flat(
        ["~/flat_01.fits", "~/flat_02.fits"], EchelleOrderTable.read("~/orders.ecsv"),
        gain=1, read_noise=4, scattered_light=None, limits="~/limits.yaml",
    ).write("~/master.fits")
    assert MasterFlat.read("~/master.fits").flat.shape == (128, 140)


def test_a_tilde_without_a_home(tmp_path, monkeypatch, random_frames):
    monkeypatch.chdir(tmp_path)
    random_frames(1)[0].write("~no_such_user.fits")
    assert combine_frames(["~no_such_user.fits"]).shape == (20, 15)


# ---------------------------------------------------------------------- misspelt keywords


@pytest.mark.parametrize(
    ("call", "misspelt", "meant"),
    [
        (lambda **k: combine_frames([], **k), "scales", "scale"),
        (lambda **k: combine_frames([], **k), "diagnostic", "diagnostics"),
        (lambda **k: two_pass_flat_combine([], ORDERS, **k), "n_pass", "n_passes"),
        (lambda **k: two_pass_flat_combine([], ORDERS, **k), "overwrite", "overwrite_output"),
        (lambda **k: make_master_flat([], **k), "readnoise", "read_noise"),
        (lambda **k: make_master_flat([], **k), "scatterd_light", "scattered_light"),
        (lambda **k: make_master_flat([], **k), "satuation", "saturation"),
        (lambda **k: make_master_flat([], **k), "sigma_clip_lo_thresh", "sigma_clip_low_thresh"),
    ],
)
def test_a_misspelt_argument_is_named(call, misspelt, meant):
    with pytest.raises(TypeError, match=f"unknown keyword '{misspelt}'; did you mean '{meant}'"):
        call(**{misspelt: None})


@pytest.mark.parametrize("call", [
    lambda frames, orders: ccdproc.combine(frames, scale=inner_order_scale(orders.shifted(3))),
    lambda frames, orders: combine_frames(frames, array_package=types),
    lambda frames, orders: combine_frames(frames, nlow=2),
])
def test_warnings_point_at_the_line_of_the_user(call):
    """Not into ccdproc, which calls the scale, nor at a method that a dataclass has generated."""
    simulation = EchelleSimulation(shape=(128, 144), n_orders=3)
    with pytest.warns(AstropyUserWarning) as told:
        call(simulation.flats(2), simulation.truth.orders)
    assert {one.filename for one in told} == {__file__}


def test_uncertainties_that_only_some_flats_have_are_told_by_the_recipe():
    simulation = EchelleSimulation(shape=(128, 144), n_orders=3)
    flats, orders = simulation.flats(4), simulation.truth.orders
    flats[3].uncertainty = None
    with pytest.warns(AstropyUserWarning, match="no uncertainty in frame 3: those of the other fl"):
        make_master_flat(flats, orders, scattered_light=None)
    make_master_flat(flats, orders, scattered_light=None, gain=1, read_noise=4)
