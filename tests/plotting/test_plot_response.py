# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.table import QTable

pytest.importorskip("matplotlib", reason="figures need matplotlib")

from ccdproc_echelle.plotting import plot_blaze, plot_pixel_response


def test_blaze_of_each_order_is_on_a_logarithmic_axis():
    blaze = np.array([[1.0, 2, 3, 4], [0.01, np.nan, 0.02, -1]])

    ax = plot_blaze(QTable({"order": [7, 9], "blaze": blaze * u.adu}))

    assert [line.get_label() for line in ax.lines] == ["7", "9"]
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), blaze[0])
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), [0.01, np.nan, 0.02, np.nan])
    assert ax.get_yscale() == "log" and ax.get_ylabel() == "blaze (adu)"
    assert ax.lines[0].get_color() != ax.lines[1].get_color()
    with pytest.raises(ValueError, match="no order has a positive blaze"):
        plot_blaze(QTable({"order": [7], "blaze": -np.ones((1, 5))}))


def test_pixel_responses_of_noise_alone_are_as_expected():
    rng = np.random.default_rng(3)
    sigma = rng.uniform(0.005, 0.03, (300, 300))
    response = CCDData(rng.normal(1, sigma), unit="", uncertainty=StdDevUncertainty(sigma))
    response.mask = np.zeros(sigma.shape, bool)
    response.mask[:100], response.data[:100] = True, 0.5

    ax = plot_pixel_response(response)

    measured = np.array([patch.get_height() for patch in ax.patches])
    expected = ax.lines[0].get_ydata()
    assert measured.sum() == 200 * 300
    np.testing.assert_allclose(expected.sum(), 200 * 300)
    assert (np.abs(measured - expected) < 5 * np.sqrt(expected) + 2).all()
    assert ax.get_xlabel() == "pixel response (relative)" and ax.get_yscale() == "log"


def test_pixel_response_without_uncertainty_or_pixels():
    response = CCDData(1 + 0.01 * np.arange(-8, 8).reshape(4, 4), unit="")

    assert len(plot_pixel_response(response).lines) == 0
    response.mask = np.ones((4, 4), bool)
    with pytest.raises(ValueError, match="no good pixel"):
        plot_pixel_response(response)
