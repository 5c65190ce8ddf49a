# Licensed under a 3-clause BSD style license - see LICENSE.rst
import itertools
import warnings

import numpy as np
import pytest
from astropy import stats
from hypothesis import given
from hypothesis import strategies as st

from ccdproc_echelle._numeric import spread
from ccdproc_echelle._numeric.medians import median_variance_factors
from ccdproc_echelle.combining.clipping import (
    ExtremaClipping,
    MinMaxClipping,
    Rejection,
    SigmaClipping,
    StackCombiner,
)
from ccdproc_echelle.combining.clipping import stack as stack_module


def random_stack(seed, n_frames, n_pixels, *, masked=0.1, outliers=0.1, dtype=float):
    """Gaussian values, some of them far off, some masked."""
    rng = np.random.default_rng(seed)
    values = rng.normal(100, 3, (n_frames, n_pixels))
    values += 200 * (rng.random(values.shape) < outliers) * rng.choice([-1, 1], values.shape)
    return values.astype(dtype), rng.random(values.shape) >= masked


def rejected_by_astropy(values, good, **keywords):
    with warnings.catch_warnings():
        # no limit times no width
        warnings.filterwarnings("ignore", "invalid value", RuntimeWarning)
        clipped = stats.sigma_clip(np.ma.array(values, mask=~good), axis=0, **keywords)
    return np.ma.getmaskarray(clipped) & good


def column_by_column(statistic, values, good):
    """A statistic of the good values of each column, NaN where there is none."""
    return np.array([
        statistic(column[g]) if g.any() else np.nan
        for column, g in zip(values.T, good.T, strict=True)
    ])


stacks = {
    "seed": st.integers(0, 2**32 - 1),
    "n_frames": st.integers(1, 70),
    "masked": st.sampled_from([0, 0.05, 0.5, 1]),
}

# ------------------------------------------------------------------------------- rejection


@pytest.mark.parametrize("center", ["mean", "median"])
@pytest.mark.parametrize("deviation", ["std", "mad_std"])
@given(**stacks, low=st.sampled_from([1.5, 3, 5]), high=st.sampled_from([1.5, 3, np.inf]))
def test_one_iteration_rejects_what_astropy_rejects(
    center, deviation, seed, n_frames, masked, low, high
):
    values, good = random_stack(seed, n_frames, 20, masked=masked)
    if center == "mean" and deviation == "mad_std":
        # of two values the mean is the median and both lie exactly one MAD from it
        values, good = values[:, good.sum(axis=0) != 2], good[:, good.sum(axis=0) != 2]
    expected = rejected_by_astropy(
        values, good, sigma_lower=low, sigma_upper=high, maxiters=1,
        cenfunc=center, stdfunc=deviation,
    )
    rejected = SigmaClipping(low, high, center, deviation).rejects(values, good, None)
    np.testing.assert_array_equal(rejected, expected)


@given(**stacks)
def test_a_value_on_the_limit_stays_as_with_astropy(seed, n_frames, masked):
    # whole numbers: centre and MAD are exact, and values lie on the limit by the dozen
    rng = np.random.default_rng(seed)
    values = 2.0 * rng.integers(-4, 5, (n_frames, 20))
    good = rng.random(values.shape) >= masked
    threshold = 2 / spread.MAD_TO_SIGMA
    expected = rejected_by_astropy(
        values, good, sigma=threshold, maxiters=1, cenfunc="median", stdfunc="mad_std"
    )
    mine = SigmaClipping(threshold, threshold, "median", "mad_std").rejects(values, good, None)
    np.testing.assert_array_equal(mine, expected)


@pytest.mark.parametrize("center", ["mean", "median"])
@given(**stacks, iterations=st.integers(2, 6))
def test_more_iterations_reject_what_astropy_rejects(center, seed, n_frames, masked, iterations):
    # astropy's loop over callables: its compiled one takes values back that lie within the
    # final limits.
    values, good = random_stack(seed, n_frames, 20, masked=masked)
    functions = {"mean": np.nanmean, "median": np.nanmedian}
    expected = rejected_by_astropy(
        values, good, sigma=2, maxiters=iterations,
        cenfunc=lambda x, axis: functions[center](x, axis=axis),
        stdfunc=lambda x, axis: np.nanstd(x, axis=axis),
    )
    rejected = SigmaClipping(2, 2, center, "std", iterations).rejects(values, good, None)
    np.testing.assert_array_equal(rejected, expected)


def test_further_iterations_find_what_the_first_outlier_hid():
    column = np.array([1.0, 1.1, 0.9, 1.0, 1.05, 0.95, 1.0, 1.0, 1.1, 0.9, 3.0, 100.0])[:, None]
    good = np.isfinite(column)
    once = SigmaClipping(3, 3, deviation="std").rejects(column, good, None)
    often = SigmaClipping(3, 3, deviation="std", max_iterations=5).rejects(column, good, None)
    assert np.flatnonzero(once).tolist() == [11]
    assert np.flatnonzero(often).tolist() == [10, 11]


def test_thresholds_below_and_above_differ():
    column = np.array([0.0, -1, 1, -1, 1, -9, 9])[:, None]
    good = np.isfinite(column)
    low_only = SigmaClipping(low=3, high=np.inf).rejects(column, good, None)
    high_only = SigmaClipping(low=np.inf, high=3).rejects(column, good, None)
    assert np.flatnonzero(low_only).tolist() == [5]
    assert np.flatnonzero(high_only).tolist() == [6]


@pytest.mark.parametrize("masked_value", [np.nan, np.inf, 1e30])
def test_masked_values_have_no_say(masked_value):
    values, good = random_stack(1, 9, 500, masked=0.2)
    values[~good] = masked_value
    variances = np.where(good, 9.0, masked_value)
    combiner = StackCombiner(rejections=(SigmaClipping(3, 3),))
    found = combiner.combine(values, good, variances)
    expected = combiner.combine(np.where(good, values, 0), good, np.where(good, 9.0, 1))
    for part, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(part, other)
    assert not found.kept[~good].any()


@pytest.mark.parametrize(
    ("center", "deviation"),
    [
        (np.ma.median, stats.mad_std),
        (np.nanmedian, "mad_std"),
        (np.median, stats.mad_std),
        (np.ma.mean, np.ma.std),
        (np.mean, np.std),
        ("mean", np.nanstd),
    ],
)
def test_the_usual_functions_are_recognised(center, deviation):
    settings = SigmaClipping(center=center, deviation=deviation)
    assert isinstance(settings.center, str)
    assert isinstance(settings.deviation, str)


@pytest.mark.parametrize(
    ("center", "deviation"),
    [
        (lambda x, axis: np.nanmedian(x, axis=axis), "std"),
        ("median", lambda x, axis: np.nanstd(x, axis=axis, ddof=1)),
        (lambda x, axis: np.nanmean(x, axis=axis), None),
        (stats.biweight_location, stats.biweight_scale),
    ],
)
def test_any_other_function_is_astropys_business(center, deviation):
    values, good = random_stack(2, 11, 200)
    expected = rejected_by_astropy(
        values, good, sigma=3, maxiters=1, cenfunc=center, stdfunc=deviation or "mad_std"
    )
    assert expected.any()
    rejected = SigmaClipping(center=center, deviation=deviation).rejects(values, good, None)
    np.testing.assert_array_equal(rejected, expected)


def test_noise_model_rejects_by_each_values_own_sigma():
    sigmas = np.array([1.0, 1, 1, 10, 1])[:, None]
    column = np.array([0.0, 1, -1, 20, 20])[:, None]  # 1.9 sigma and 19 sigma above the median
    rejected = SigmaClipping(5, 5).rejects(column, np.isfinite(column), sigmas**2)
    assert np.flatnonzero(rejected).tolist() == [4]


def test_the_factor_for_few_frames_rejects_fewer_good_values():
    values = np.random.default_rng(3).normal(size=(7, 20000))
    good = np.ones(values.shape, dtype=bool)
    plain = SigmaClipping(5, 5, deviation="mad_std").rejects(values, good, None).mean()
    corrected = SigmaClipping(5, 5).rejects(values, good, None).mean()
    assert plain == pytest.approx(0.014, abs=0.002)
    assert corrected == pytest.approx(0.010, abs=0.002)


def test_identical_values_are_kept():
    values = np.full((4, 3), 0.1)
    for center, deviation in itertools.product(["median", "mean"], ["std", None]):
        settings = SigmaClipping(3, np.inf, center, deviation)
        combined = StackCombiner(rejections=(settings,)).combine(values, values > 0)
        assert combined.kept.all()


@pytest.mark.parametrize("low", [0, -5, np.nan])
def test_thresholds_must_be_positive(low):
    with pytest.raises(ValueError, match=r"sigma_clip_low_thresh is .*, expected a positive"):
        SigmaClipping(low=low)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match=r"center is 'mode'; expected \['median', 'mean'\]"):
        SigmaClipping(center="mode")
    with pytest.raises(ValueError, match=r"deviation is 'mad'; expected \['std', 'mad_std'"):
        SigmaClipping(deviation="mad")
    with pytest.raises(ValueError, match=r"method is 'mean'; expected 'average', 'median' or"):
        StackCombiner(method="mean")


# ------------------------------------------------------- extrema, limits, others, and weights


@given(**stacks, n_low=st.integers(0, 4), n_high=st.integers(0, 4), ties=st.booleans())
def test_extremes_against_a_slow_loop(seed, n_frames, masked, n_low, n_high, ties):
    values, good = random_stack(seed, n_frames, 10, masked=masked)
    if ties:
        values = np.round(values / 50)
    kept = StackCombiner(rejections=(ExtremaClipping(n_low, n_high),)).combine(values, good).kept
    for column, mine, known in zip(values.T, kept.T, good.T, strict=True):
        expected = np.sort(column[known])[n_low : max(known.sum() - n_high, n_low)]
        np.testing.assert_array_equal(np.sort(column[mine]), expected)
        assert not (mine & ~known).any()


def test_limits_are_inclusive():
    column = np.array([0.0, 1, 2, 3, 4])[:, None]
    combiner = StackCombiner(rejections=(MinMaxClipping(1, 3),))
    combined = combiner.combine(column, np.isfinite(column))
    assert combined.kept.ravel().tolist() == [False, True, True, True, False]
    assert combined.value[0] == 2


class SevenClipping(Rejection):
    """Nobody likes sevens. It says `may_reject` of no column in particular, hence of all."""

    def rejects(self, values, good, variances):
        return values == 7


class QuickSevenClipping(SevenClipping):
    def may_reject(self, values, variances):
        return (values == 7).any(axis=0)


@pytest.mark.parametrize("kind", [SevenClipping, QuickSevenClipping])
@pytest.mark.parametrize("method", ["average", "median", "sum"])
def test_a_rejection_of_ones_own(kind, method):
    values = np.random.default_rng(14).integers(5, 10, (6, 400)).astype(float)
    good = np.random.default_rng(15).random(values.shape) > 0.1
    variances = np.random.default_rng(16).uniform(1, 2, values.shape)
    found = StackCombiner(method, (kind(),)).combine(values, good, variances)
    expected = StackCombiner(method).combine(values, good & (values != 7), variances)
    for part, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(part, other)


def test_each_rejection_sees_what_the_earlier_ones_left():
    column = np.array([1.0, 2, 3, 7, 7, 9])[:, None]
    good = np.isfinite(column)

    def kept(*rejections):
        return column[StackCombiner(rejections=rejections).combine(column, good).kept].tolist()

    assert kept(SevenClipping(), ExtremaClipping(1, 1)) == [2, 3]
    assert kept(MinMaxClipping(high=8), ExtremaClipping(1, 1)) == [2, 3, 7]
    assert kept(ExtremaClipping(1, 1), MinMaxClipping(high=8)) == [2, 3, 7, 7]


def test_rejections_without_a_job_take_no_column():
    values, _ = random_stack(17, 5, 20)
    for idle in (ExtremaClipping(0, 0), MinMaxClipping()):
        assert not idle.may_reject(values, None).any()
        assert not idle.rejects(values, np.isfinite(values), None).any()


@given(**stacks, low=st.sampled_from([-np.inf, 90, 99]), high=st.sampled_from([101, np.inf]))
def test_no_value_beyond_the_limits_escapes_the_quick_test(seed, n_frames, masked, low, high):
    values, good = random_stack(seed, n_frames, 60, masked=0)
    clipping = MinMaxClipping(low, high)
    rejected = clipping.rejects(values, good, None).any(axis=0)
    np.testing.assert_array_equal(clipping.may_reject(values, None), rejected)


@pytest.mark.parametrize("method", ["average", "sum"])
@pytest.mark.parametrize("per_pixel", [False, True])
def test_weights(method, per_pixel):
    values, good = random_stack(4, 6, 300)
    weights = np.random.default_rng(5).uniform(0.5, 2, (6, 300 if per_pixel else 1))
    combined = StackCombiner(method).combine(values, good, weights=weights)
    full = np.broadcast_to(weights, values.shape) * good
    expected = (full * values).sum(axis=0)
    if method == "average":
        expected /= full.sum(axis=0)
    np.testing.assert_allclose(combined.value, expected, rtol=1e-12)


def test_weight_zero_is_the_same_as_a_mask():
    values, good = random_stack(6, 5, 200)
    weights = np.ones((5, 200))
    weights[1] = 0
    weights[:, 7] = 0
    variances = np.full(values.shape, 4.0)
    found = StackCombiner().combine(values, good, variances, weights)
    expected = StackCombiner().combine(values, good & (weights > 0), variances)
    for part, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(part, other)
    assert np.isnan(found.value[7])


# ------------------------------------------------------------------------ averages and sorting


@given(**stacks, center=st.sampled_from(["median", "mean"]),
       deviation=st.sampled_from([None, "mad_std", "std", "uncertainty"]),
       low=st.sampled_from([0.5, 1.5, 3, 5]), high=st.sampled_from([1.5, 3, np.inf]))
def test_no_rejection_escapes_the_quick_test(
    seed, n_frames, masked, center, deviation, low, high
):
    values, good = random_stack(seed, n_frames, 60, masked=0)
    variances = np.random.default_rng(seed).uniform(0.2, 2, values.shape)
    clipping = SigmaClipping(low, high, center=center, deviation=deviation)
    for known in ([variances] if deviation == "uncertainty" else [None, variances]):
        rejected = clipping.rejects(values, good, known).any(axis=0)
        assert clipping.may_reject(values, known)[rejected].all()


@given(**stacks, dtype=st.sampled_from([np.float32, np.float64]))
def test_median_is_numpys(seed, n_frames, masked, dtype):
    values, good = random_stack(seed, n_frames, 20, masked=masked, dtype=dtype)
    combined = StackCombiner("median").combine(values, good)
    assert combined.value.dtype == dtype
    np.testing.assert_array_equal(combined.value, column_by_column(np.median, values, good))


@given(**stacks, dtype=st.sampled_from([np.float32, np.float64]))
def test_mean_and_sum_are_numpys(seed, n_frames, masked, dtype):
    values, good = random_stack(seed, n_frames, 20, masked=masked, dtype=dtype)
    rtol = 4 * np.finfo(dtype).eps
    for method, function in [("average", np.mean), ("sum", np.sum)]:
        combined = StackCombiner(method).combine(values, good)
        assert combined.value.dtype == dtype
        expected = column_by_column(lambda x: function(x, dtype=float), values, good)  # noqa: B023
        np.testing.assert_allclose(combined.value, expected, rtol=rtol, atol=1e-10)


@pytest.mark.parametrize("method", ["average", "median", "sum"])
def test_how_pixels_are_divided_changes_no_bit(method, monkeypatch):
    values, good = random_stack(7, 9, 317, dtype=np.float32)
    variances = np.abs(values) + 1
    combiner = StackCombiner(method, (ExtremaClipping(1, 0), SigmaClipping(3, 3)))
    whole = combiner.combine(values, good, variances)
    for block in (1, 10, 150):
        monkeypatch.setattr(stack_module, "block_size", lambda n_frames, block=block: block)
        for part, expected in zip(
            combiner.combine(values, good, variances), whole, strict=True
        ):
            assert part.tobytes() == expected.tobytes()
    for part, expected in zip(
        combiner.combine(values[:, 100:217], good[:, 100:217], variances[:, 100:217]),
        whole,
        strict=True,
    ):
        np.testing.assert_array_equal(part, expected[..., 100:217])


def test_the_inputs_are_left_alone():
    values, good = random_stack(8, 7, 100)
    variances = np.ones(values.shape)
    before = [array.copy() for array in (values, good, variances)]
    rejections = (ExtremaClipping(1, 1), MinMaxClipping(0, 1e9), SigmaClipping())
    StackCombiner("median", rejections).combine(values, good, variances)
    for array, old in zip((values, good, variances), before, strict=True):
        np.testing.assert_array_equal(array, old)


@pytest.mark.parametrize("method", ["average", "median", "sum"])
def test_one_frame(method):
    values = np.array([[1.0, 2, 3]])
    good = np.array([[True, True, False]])
    combiner = StackCombiner(method, (SigmaClipping(),))
    with_variance = combiner.combine(values, good, np.full((1, 3), 4.0))
    np.testing.assert_array_equal(with_variance.value, [1, 2, np.nan])
    np.testing.assert_allclose(with_variance.variance, [4, 4, np.nan], rtol=1e-12)
    # a single value has no scatter
    assert np.isnan(combiner.combine(values, good).variance).all()


@pytest.mark.parametrize("method", ["average", "median", "sum"])
@pytest.mark.parametrize("variances", [None, np.ones((4, 3))])
def test_nothing_good_gives_nan(method, variances):
    nothing = np.zeros((4, 3), dtype=bool)
    combiner = StackCombiner(
        method, (ExtremaClipping(1, 1), MinMaxClipping(0, 5), SigmaClipping())
    )
    combined = combiner.combine(np.ones((4, 3)), nothing, variances)
    assert np.isnan(combined.value).all()
    assert np.isnan(combined.variance).all()
    assert not combined.kept.any()


# ----------------------------------------------------------------------------------- variances


def pulls(method, n_frames, *, known, weights=None, masked=0.0):
    """Error over claimed error of stacks of standard normal values times a known sigma."""
    rng = np.random.default_rng(n_frames)
    shape = (n_frames, 30000)
    sigmas = np.full(shape, 3.0)
    good = rng.random(shape) >= masked
    combined = StackCombiner(method).combine(
        sigmas * rng.normal(size=shape), good, sigmas**2 if known else None, weights
    )
    if known:
        return combined.value / np.sqrt(combined.variance)
    # the scatter of few frames is itself uncertain: compare variances, which have no bias
    return combined.value / np.sqrt(np.nanmean(combined.variance))


@pytest.mark.parametrize("method", ["average", "median", "sum"])
@pytest.mark.parametrize("n_frames", [2, 3, 4, 7, 12])
@pytest.mark.parametrize("known", [True, False])
def test_claimed_variance_is_the_true_one(method, n_frames, known):
    assert np.std(pulls(method, n_frames, known=known)) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("method", ["average", "median", "sum"])
def test_claimed_variance_counts_the_frames_that_are_left(method):
    found = pulls(method, 6, known=True, masked=0.4)
    assert np.isnan(found).mean() == pytest.approx(0.4**6, abs=0.002)  # no frame left
    assert np.nanstd(found) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("method", ["average", "sum"])
@pytest.mark.parametrize("known", [True, False])
def test_claimed_variance_of_weighted_frames(method, known):
    weights = np.array([0.2, 1, 3, 0.5])[:, None]
    found = pulls(method, 4, known=known, weights=weights)
    assert np.std(found) == pytest.approx(1, abs=0.02)


def test_unequal_variances_add_up():
    variances = np.array([[1.0], [4], [16]])
    combined = StackCombiner().combine(np.ones((3, 1)), np.ones((3, 1), dtype=bool), variances)
    assert combined.variance[0] == pytest.approx(21 / 9)


@pytest.mark.parametrize("method", ["average", "median", "sum"])
def test_uncertainty_function_replaces_the_scatter(method):
    values, good = random_stack(9, 8, 50)
    combined = StackCombiner(method, uncertainty_function=np.ma.std).combine(values, good)
    count = good.sum(axis=0)
    expected = column_by_column(np.var, values, good) / count
    if method == "sum":
        expected *= count**2
    np.testing.assert_allclose(combined.variance, expected, rtol=1e-12)


@pytest.mark.parametrize("n_frames", [3, 5, 10, 20])
@pytest.mark.parametrize("method", ["average", "median"])
@pytest.mark.parametrize("threshold", [None, 3, 5])
def test_pulls_of_flats_with_photon_and_read_noise(n_frames, method, threshold):
    # levels +-35 %, so that the frames differ in noise; the noise is that of the counts themselves
    rng = np.random.default_rng(n_frames)
    counts = 20_000 * np.linspace(0.65, 1.35, n_frames)[:, None]
    observed = rng.poisson(counts, (n_frames, 100_000)) + rng.normal(0, 4, (n_frames, 100_000))
    variances = (observed + 16) / counts**2
    rejections = (SigmaClipping(threshold, threshold),) if threshold else ()
    combined = StackCombiner(method, rejections).combine(
        observed / counts, np.ones(observed.shape, dtype=bool), variances
    )
    pull = (combined.value - 1) / np.sqrt(combined.variance)
    assert np.std(pull) == pytest.approx(1, abs=0.02)
    assert np.mean(pull) == pytest.approx(0, abs=0.03)


def test_a_median_with_gaps_has_the_variance_of_those_that_are_left():
    values, good = random_stack(10, 7, 300, masked=0.4)
    variances = np.random.default_rng(11).uniform(1, 9, values.shape)
    variances[~good] = np.random.default_rng(12).choice([0, np.nan, 5], (~good).sum())
    found = StackCombiner("median").combine(values, good, variances).variance
    for pixel, (column, known) in enumerate(zip(variances.T, good.T, strict=True)):
        n = known.sum()
        if n > 2:
            effective = n / (1 / np.sqrt(column[known])).sum() ** 2
            expected = median_variance_factors(7)[n] * effective
        else:
            expected = column[known].sum() / n**2 if n else np.nan
        np.testing.assert_allclose(found[pixel], expected, rtol=1e-12)


def test_a_rejected_value_without_uncertainty_leaves_the_median_its_variance():
    values, variances = np.array([[1.0], [1.1], [0.9], [9]]), np.array([[1.0], [1], [1], [0]])
    combiner = StackCombiner("median", (SigmaClipping(5, 5),))
    found = combiner.combine(values, values > 0, variances)
    assert found.kept.ravel().tolist() == [True, True, True, False]
    factor = median_variance_factors(3)[3]
    assert found.variance[0] == pytest.approx(factor / 3)


@pytest.fixture(scope="module")
def many_gaussians():
    return np.random.default_rng(13).normal(size=(300, 10_000))


@pytest.mark.parametrize("center", ["median", "mean"])
@pytest.mark.parametrize(("low", "high"), [(2, 2), (3, 3), (5, 5), (2, 4), (3, np.inf)])
def test_inflation_of_the_variance_by_clipping(many_gaussians, center, low, high):
    values, clipping = many_gaussians, SigmaClipping(low, high, center)
    kept = ~clipping.rejects(values, np.ones(values.shape, bool), np.ones(values.shape))
    count = kept.sum(axis=0)
    means = (values * kept).sum(axis=0) / count
    scatter = ((values - means) ** 2 * kept).sum(axis=0) / (count - 1)
    # over the same samples not clipped, whose chance deviation is much the same
    true = means.var() / values.mean(axis=0).var() / len(values)
    known = true * count.mean()
    assert clipping.inflation(300, known_variance=True) == pytest.approx(known, rel=0.01)
    estimated = true / (scatter / count).mean()
    assert clipping.inflation(300, known_variance=False) == pytest.approx(estimated, rel=0.015)


class WithoutInflation(SigmaClipping):
    def inflation(self, count, *, known_variance, of_median=False):
        return 1.0


def test_clipping_at_3_sigma_needs_the_inflation():
    values = np.random.default_rng(18).normal(size=(20, 100_000))
    good, variances = np.ones(values.shape, dtype=bool), np.ones(values.shape)

    def excess(*rejections):
        """Of the variance of the pulls, over that of the same values not clipped."""
        found = StackCombiner(rejections=rejections).combine(values, good, variances)
        return (found.value**2 / found.variance).mean() - 20 * (values.mean(axis=0) ** 2).mean()

    assert excess(WithoutInflation(3, 3)) == pytest.approx(0.029, abs=0.006)
    assert excess(SigmaClipping(3, 3)) == pytest.approx(0, abs=0.006)
    # at 5 sigma nobody would notice
    assert excess(WithoutInflation(5, 5)) == pytest.approx(0, abs=0.001)


@pytest.mark.parametrize("method", ["average", "median"])
@pytest.mark.parametrize(("n", "low", "high"), [(4, 1, 1), (5, 0, 1), (7, 2, 2), (20, 1, 3)])
def test_uncertainties_after_rejection_of_extremes(method, n, low, high):
    values = np.random.default_rng(19).normal(size=(n, 60_000))
    combiner = StackCombiner(method, [ExtremaClipping(low, high)])
    for variances in (np.ones(values.shape), None):
        found = combiner.combine(values, np.ones(values.shape, bool), variances)
        assert found.value.var() / found.variance.mean() == pytest.approx(1, abs=0.03)


def test_a_single_value_after_rejection_of_extremes():
    values = np.random.default_rng(20).normal(size=(3, 60_000))
    combiner = StackCombiner(rejections=[ExtremaClipping(1, 1)])
    found = combiner.combine(values, np.ones(values.shape, bool), np.ones(values.shape))
    assert found.value.var() == pytest.approx(found.variance.mean(), rel=0.06)
    assert np.isnan(combiner.combine(values, np.ones(values.shape, bool), None).variance).all()


# ---------------------------------------------------------------------------------- symmetries


COMBINERS = [
    StackCombiner(method, rejections)
    for method in ("average", "median", "sum")
    for rejections in [
        (),
        (ExtremaClipping(1, 0), SigmaClipping(3, 3)),
        (SigmaClipping(3, 4, deviation="mad_std"),),
        (SigmaClipping(2, 2, "mean", "std", 3),),
    ]
]


@given(**stacks, combiner=st.sampled_from(COMBINERS), known=st.booleans())
def test_a_frame_without_a_good_pixel_changes_no_bit(seed, n_frames, masked, combiner, known):
    values, good = random_stack(seed, n_frames, 20, masked=masked, dtype=np.float32)
    variances = np.abs(values) if known else None
    where = seed % (n_frames + 1)

    def with_another(rows, filling):
        return None if rows is None else np.insert(rows, where, filling, axis=0)

    expected = combiner.combine(values, good, variances)
    found = combiner.combine(
        with_another(values, np.nan), with_another(good, False), with_another(variances, 0)
    )
    for part in ("value", "variance", "count"):
        np.testing.assert_array_equal(getattr(found, part), getattr(expected, part))
    np.testing.assert_array_equal(np.delete(found.kept, where, axis=0), expected.kept)


@given(**stacks, combiner=st.sampled_from(COMBINERS), known=st.booleans())
def test_the_order_of_the_frames_does_not_matter(seed, n_frames, masked, combiner, known):
    values, good = random_stack(seed, n_frames, 20, masked=masked)
    variances = np.abs(values) if known else None
    order = np.random.default_rng(seed).permutation(n_frames)
    expected = combiner.combine(values, good, variances)
    found = combiner.combine(values[order], good[order], variances[order] if known else None)
    np.testing.assert_array_equal(found.kept, expected.kept[order])
    np.testing.assert_allclose(found.value, expected.value, rtol=1e-12, atol=1e-10)
    np.testing.assert_allclose(found.variance, expected.variance, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("per_pixel", [False, True])
def test_equal_values_of_unlike_weights_in_any_order(per_pixel):
    combiner = StackCombiner(rejections=(ExtremaClipping(n_low=1, n_high=2),))
    rng = np.random.default_rng(7)
    values, good = rng.integers(1, 3, (6, 40)).astype(float), np.ones((6, 40), dtype=bool)
    weights = rng.permuted(np.tile(np.arange(1.0, 7), (40 if per_pixel else 1, 1)), axis=1).T
    expected = combiner.combine(values, good, values, weights)
    for _ in range(5):
        order = rng.permutation(6)
        found = combiner.combine(values[order], good, values[order], weights[order])
        np.testing.assert_array_equal(found.kept, expected.kept[order])
        np.testing.assert_allclose(found.value, expected.value, rtol=1e-12)
        np.testing.assert_allclose(found.variance, expected.variance, rtol=1e-12)


@given(**stacks, combiner=st.sampled_from(COMBINERS), known=st.booleans(),
       power=st.integers(-12, 12))
def test_a_power_of_two_changes_nothing_but_the_scale(
    seed, n_frames, masked, combiner, known, power
):
    values, good = random_stack(seed, n_frames, 20, masked=masked, dtype=np.float32)
    variances = np.abs(values) if known else None
    factor = np.float32(2.0) ** power
    expected = combiner.combine(values, good, variances)
    found = combiner.combine(values * factor, good, variances * factor**2 if known else None)
    assert found.kept.tobytes() == expected.kept.tobytes()
    np.testing.assert_array_equal(found.value, expected.value * factor)
    np.testing.assert_array_equal(found.variance, expected.variance * factor**2)
