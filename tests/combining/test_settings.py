# Licensed under a 3-clause BSD style license - see LICENSE.rst
import re
from concurrent.futures import ProcessPoolExecutor

import ccdproc
import numpy as np
import pytest
from astropy.stats import mad_std
from astropy.utils.exceptions import AstropyUserWarning

from ccdproc_echelle.combining.combine import combine_frames
from ccdproc_echelle.combining.two_pass import two_pass_flat_combine
from ccdproc_echelle.orders import EchelleOrderTable
from ccdproc_echelle.simulation import EchelleSimulation

SMALL = EchelleSimulation(shape=(256, 240), n_orders=5, seed=3).with_level_spread(0.35)
ORDERS = SMALL.truth.orders


@pytest.mark.parametrize(
    "keywords",
    [
        {"weights": np.array([1.0, 2, 3, 4, 5, 6])},
        {"weights": np.array([1.0, 2, 3, 4, 5, 6]), "method": "sum"},
        {"weights": np.random.default_rng(1).uniform(1, 2, (6, 20, 15))},
        {"minmax_clip": True, "minmax_clip_min": 970, "minmax_clip_max": 1050},
        {"minmax_clip": True, "minmax_clip_max": 1010, "method": "median"},
        {"clip_extrema": True},
        {"clip_extrema": True, "nlow": 0, "nhigh": 2, "method": "median"},
        {"clip_extrema": True, "nlow": None, "nhigh": 1},
        {"sigma_clip": True, "sigma_clip_low_thresh": 1.2, "sigma_clip_high_thresh": 1.1,
         "sigma_clip_func": np.ma.median, "sigma_clip_dev_func": mad_std},
        {"sigma_clip": True, "sigma_clip_low_thresh": None, "sigma_clip_high_thresh": 1.4,
         "sigma_clip_func": np.ma.mean, "sigma_clip_dev_func": np.ma.std},
    ],
)
def test_keywords_mean_what_they_mean_to_ccdproc(random_frames, keywords):
    frames = random_frames()
    found = combine_frames(frames, **keywords)
    expected = ccdproc.combine(frames, **keywords)
    good = ~found.mask
    np.testing.assert_allclose(found.data[good], expected.data[good], rtol=3e-7)
    if expected.mask is not None:
        np.testing.assert_array_equal(found.mask, expected.mask)
    plain = combine_frames(frames, method=keywords.get("method", "average"))
    assert (found.data != plain.data).any()


def test_unknown_keywords(random_frames):
    for combine in (
        lambda **keywords: combine_frames(random_frames(2), **keywords),
        lambda **keywords: two_pass_flat_combine(random_frames(2), ORDERS, **keywords),
    ):
        message = "unknown keyword 'signma_clip_dev_func'; did you mean 'sigma_clip_dev_func'"
        with pytest.raises(TypeError, match=message):
            combine(signma_clip_dev_func=mad_std)
        with pytest.raises(TypeError, match="keyword 'xyzzy'; expected one of .*'clip_extrema'"):
            combine(xyzzy=1)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"method": "mean"}, "method is 'mean'; expected 'average', 'median' or 'sum'"),
        ({"dtype": "int16"}, "dtype is 'int16', expected float32 or float64"),
        ({"mem_limit": 0}, "mem_limit is 0, expected a number of bytes > 0"),
        ({"weights": [1, 2]}, r"weights have shape \(2,\), expected \(3,\) or \(3, 20, 15\)"),
        ({"weights": [1, 2, -1]}, "weights must be finite and not negative"),
        ({"weights": [1, 2, np.nan]}, "weights must be finite and not negative"),
        ({"weights": [1, 2, 3], "method": "median"}, "weights have no effect on a median"),
        ({"weights": "variance"}, "weights is 'variance', expected an array or 'inverse_variance'"),
        ({"weights": "inverse_variance"},
         "weights is 'inverse_variance', but frame 0 has no uncertainty"),
        ({"nlow": -1}, "nlow is -1, expected a number of frames"),
        ({"nhigh": 1.5}, r"nhigh is 1\.5, expected a number of frames"),
        ({"clip_extrema": True, "nlow": 2}, "nlow [+] nhigh is 3, expected less than .* frames, 3"),
        ({"sigma_clip_low_thresh": -3}, "sigma_clip_low_thresh is -3, expected a positive"),
        ({"sigma_clip_func": "mode"}, "clipping center is 'mode'; expected"),
        ({"sigma_clip": True, "sigma_clip_dev_func": "uncertainty"},
         "sigma_clip_dev_func is 'uncertainty', but frame 0 has no uncertainty"),
    ],
)
def test_settings_that_make_no_sense(random_frames, keywords, message):
    orders = EchelleOrderTable.from_polynomials([1], [[10]], shape=(20, 15), dispersion_axis=1)
    with pytest.raises(ValueError, match=message):
        combine_frames(random_frames(3), **keywords)
    with pytest.raises(ValueError, match=message):
        two_pass_flat_combine(random_frames(3), orders, **keywords)


@pytest.mark.parametrize("keywords", [
    {"mem_limit": "1 GB"}, {"mem_limit": None}, {"sigma_clip_low_thresh": "3"},
    {"sigma_clip_high_thresh": [3, 3]}, {"minmax_clip_min": {}},
    {"combine_uncertainty_function": "std"}, {"scale": "mean"}, {"scale": {}},
])
def test_what_is_no_number_or_function(random_frames, keywords):
    (name, value), = keywords.items()
    with pytest.raises(TypeError, match=f"{name} is {re.escape(repr(value))}, expected"):
        combine_frames(random_frames(3), **keywords)


def test_masked_weights_are_not_used_as_if_they_were_good(random_frames):
    weights = np.ma.array([1.0, 2.0, 3.0], mask=[True, False, False])
    with pytest.raises(ValueError, match="weights are masked, expected a weight of 0"):
        combine_frames(random_frames(3), weights=weights)


@pytest.mark.parametrize("function", [
    lambda values, axis: [1.0, 2.0], lambda values, axis: -np.ma.std(values, axis=axis),
])
def test_an_uncertainty_function_that_returns_none(random_frames, function):
    with pytest.raises(ValueError, match="combine_uncertainty_function returned .* expected one"):
        combine_frames(random_frames(3), combine_uncertainty_function=function)


@pytest.mark.parametrize("limits", [(102, 98), (np.nan, 98), (98, np.nan)])
def test_limits_that_leave_nothing(random_frames, limits):
    keywords = dict(zip(("minmax_clip_min", "minmax_clip_max"), limits, strict=True))
    with pytest.raises(ValueError, match="minmax_clip_min is .* expected a minimum that is not"):
        combine_frames(random_frames(), minmax_clip=True, **keywords)


@pytest.mark.parametrize("keywords, switch", [
    ({"nhigh": 2}, "clip_extrema"),
    ({"minmax_clip_max": 1010}, "minmax_clip"),
    ({"sigma_clip_low_thresh": 5}, "sigma_clip"),
])
def test_a_limit_without_its_clipping(random_frames, keywords, switch):
    with pytest.warns(AstropyUserWarning, match=f"no effect without {switch}=True"):
        combine_frames(random_frames(), **keywords)
    combine_frames(random_frames(), **keywords, **{switch: False})  # said, so meant


@pytest.mark.parametrize(
    "name", ["sigma_clip_func", "sigma_clip_dev_func", "combine_uncertainty_function"]
)
def test_a_function_that_processes_cannot_get_is_refused_before_any_work(name):
    given = {name: lambda values, axis=None: np.ma.median(values, axis=axis)}
    with ProcessPoolExecutor(1) as executor, pytest.raises(TypeError, match=f"{name} is .*lambda"):
        combine_frames("no_such_file.fits", executor=executor, sigma_clip=True, **given)
