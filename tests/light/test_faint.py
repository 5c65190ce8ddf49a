# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What is too faint to divide by, pixel by pixel and order by order."""

import numpy as np
import pytest
from astropy.nddata import CCDData, InverseVariance, StdDevUncertainty, VarianceUncertainty

from ccdproc_echelle import EchelleOrderTable, FlatFlag
from ccdproc_echelle.light import faint_fractions, faint_pixels, usable_ranges

SHAPE = (20, 60)
VALUES = np.tile([1.0, 0.31, 0.29, 0.1, 0.0, -0.5], 10)


def orders(dispersion_axis=1):
    return EchelleOrderTable.from_polynomials(
        [7, 9], [[4], [14]], lower=[[1.5], [11.5]], upper=[[6.5], [16.5]],
        shape=SHAPE if dispersion_axis == 1 else SHAPE[::-1], dispersion_axis=dispersion_axis,
    )


def flat(uncertainty=StdDevUncertainty, sigma=0.1, **parts):
    array = {StdDevUncertainty: sigma, VarianceUncertainty: sigma**2, InverseVariance: sigma**-2}
    given = None if uncertainty is None else uncertainty(np.full(SHAPE, array[uncertainty]))
    return CCDData(np.tile(VALUES, (20, 1)), unit="", uncertainty=given, **parts)


INSIDE = orders().order_index() >= 0


@pytest.mark.parametrize("kind", [StdDevUncertainty, VarianceUncertainty, InverseVariance])
@pytest.mark.parametrize(("least", "limit"), [(3, 0.3), (5, 0.5), (0, 0.0)])
def test_values_below_their_noise_or_zero_are_faint(kind, least, limit):
    found = faint_pixels(flat(kind), orders(), min_signal_to_noise=least)
    np.testing.assert_array_equal(found, INSIDE & ((VALUES <= 0) | (VALUES < limit)))


def test_where_the_uncertainty_is_not_known_only_values_up_to_zero_are_faint():
    expected = INSIDE & (VALUES <= 0)
    np.testing.assert_array_equal(faint_pixels(flat(None), orders()), expected)
    np.testing.assert_array_equal(faint_pixels(flat(sigma=np.nan), orders()), expected)


def test_what_has_no_value_is_not_faint():
    masked, nothing = np.zeros(SHAPE, bool), flat()
    masked[4] = True
    nothing.data[4] = np.nan
    for image in (flat(mask=masked), nothing):
        found = faint_pixels(image, orders())
        assert not found[4].any()
        np.testing.assert_array_equal(found[14], faint_pixels(flat(), orders())[14])


@pytest.mark.parametrize("least", [-1, np.nan, np.inf, True, "3", None])
def test_a_least_ratio_that_makes_no_sense_is_refused(least):
    with pytest.raises(ValueError, match=r"min_signal_to_noise is .*, expected a number"):
        faint_pixels(flat(), orders(), min_signal_to_noise=least)


@pytest.mark.parametrize("axis", [0, 1])
def test_fraction_and_usable_range_of_each_order(axis):
    flags = np.zeros(SHAPE, dtype=np.int16)
    flags[:10, 45:] |= FlatFlag.FAINT
    flags[:10, [20, 21]] |= FlatFlag.DEAD
    flags[:10, 50] = 0
    flags[11:] |= FlatFlag.FAINT | FlatFlag.SATURATED
    if axis == 0:
        flags = flags.T
    np.testing.assert_allclose(faint_fractions(flags, orders(axis)), [14 / 60, 1])
    np.testing.assert_array_equal(usable_ranges(flags, orders(axis)), [[0, 44], [np.nan] * 2])


def test_half_of_the_slit_is_enough():
    flags = np.zeros(SHAPE, dtype=np.int16)
    flags[2:4, 30:] |= FlatFlag.FAINT  # two of five pixels
    flags[2:5, 40:] |= FlatFlag.FAINT
    assert usable_ranges(flags, orders())[0].tolist() == [0, 39]
