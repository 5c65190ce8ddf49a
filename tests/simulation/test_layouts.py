# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Raw files as telescopes write them."""

import numpy as np
import pytest
from astropy.io import fits

from ccdproc_echelle.simulation import LAYOUTS, EchelleSimulation, RawLayout

SHAPE = (64, 80)


def simulated(**options):
    return EchelleSimulation(shape=SHAPE, n_orders=2, order_width=8, **options).with_bias(300)


def written(folder, layout, simulation=None):
    (flat,), _ = (simulation or simulated()).write(folder, 1, layout=layout)
    return fits.open(flat)


def test_the_light_is_that_of_a_plain_frame(tmp_path):
    """In each amplifier, as it would be with its gain."""
    plain = simulated().flats(1, uncertainty=False)[0].data - 300
    layout = RawLayout(overscan=6, gains=(1.0, 2.0), extensions=True)
    with written(tmp_path, layout) as hdus:
        left, right = hdus[1].data[:, :40], hdus[2].data[:, 39::-1]
        assert [h.header["GAIN"] for h in hdus[1:]] == [1, 2]
        zeros = [np.median(h.data[:, 40:]) for h in hdus[1:]]
    np.testing.assert_allclose(left - zeros[0], plain[:, :40], atol=3)
    np.testing.assert_allclose(2 * (right - zeros[1]), plain[:, 40:], atol=6)


def test_dispersion_axis_and_layout_know_each_other(tmp_path):
    simulation = EchelleSimulation(shape=(80, 64), n_orders=2, order_width=8, dispersion_axis=0)
    with written(tmp_path, RawLayout(overscan=6), simulation) as hdus:
        assert hdus[0].data.shape == (80, 70)
        plain = simulation.flats(1, uncertainty=False)[0].data
        np.testing.assert_allclose(hdus[0].data[:, :64], np.clip(plain, 0, None), atol=0.51)


def test_zero_points_drift_from_frame_to_frame(tmp_path):
    layout = RawLayout(overscan=16, bias_drift=20)
    _, _, biases = simulated().write(tmp_path, 0, 0, 6, layout=layout)
    for path in biases:
        data = fits.getdata(path).astype(float)
        assert np.median(data[:, 80:]) == pytest.approx(np.median(data[:, :80]), abs=2)
    assert np.ptp([np.median(fits.getdata(path)) for path in biases]) > 10


def test_sections_of_a_frame_with_everything_around_it(tmp_path):
    with written(tmp_path, RawLayout(prescan=3, overscan=5, overscan_rows=2)) as hdus:
        header, data = hdus[0].header, hdus[0].data
    assert data.shape == (66, 88)
    assert header["TRIMSEC"] == header["DATASEC"] == "[4:83,1:64]"
    assert header["BIASSEC"] == "[84:88,1:66]"


def test_cards_and_their_names(tmp_path):
    layout = RawLayout(keywords={"EXPTIME": "ELAPTIME", "GAIN": "ESO DET OUT1 CONAD"},
                       cards={"ESO SEQ ARM": "VIS"}, extensions=True)
    with written(tmp_path, layout) as hdus:
        assert hdus[0].data is None
        assert hdus[0].header["ELAPTIME"] == 10 and hdus[0].header["ESO SEQ ARM"] == "VIS"
        assert "EXPTIME" not in hdus[0].header and "ELAPTIME" not in hdus[1].header
        assert hdus[1].header["ESO DET OUT1 CONAD"] == 1


def test_detectors_side_by_side_see_the_same_light(tmp_path):
    layout = RawLayout(overscan=6, gains=(1, 2), extensions=True, detectors=True,
                       sections=["DATASEC", "DETSEC"])
    with written(tmp_path, layout) as hdus:
        one, other = (hdu.data[:, :80] - np.median(hdu.data[:, 80:]) for hdu in hdus[1:])
        cards = [(h.name, h.header["GAIN"], h.header["DATASEC"], h.header["DETSEC"])
                 for h in hdus[1:]]
        assert not {"BIASSEC", "TRIMSEC", "CCDSUM"} & {*hdus[1].header}
    np.testing.assert_allclose(one, 2 * other, atol=4)
    assert cards == [("CCD1", 1, "[1:80,1:64]", "[1:80,1:64]"),
                     ("CCD2", 2, "[1:80,1:64]", "[81:160,1:64]")]


def test_amplifiers_of_one_image_with_an_overscan_each(tmp_path):
    sections = {"[3:42,1:64]": "[43:50,1:64]", "[61:100,1:64]": "[51:58,1:64]"}
    other = RawLayout(amplifier_sections={"[1:40,1:64]": "[41:42,1:64]"})
    with pytest.raises(ValueError, match=r"light of shape \(64, 40\), but .*\(64, 80\)"):
        written(tmp_path, other)
    layout = RawLayout(amplifier_sections=sections, gains=(1, 2), bias_drift=20)
    plain = simulated().flats(1, uncertainty=False)[0].data - 300
    with written(tmp_path, layout) as hdus:
        data = hdus[0].data.astype(float)
    assert data.shape == (64, 100)
    zeros = np.median(data[:, 42:50]), np.median(data[:, 50:58])
    np.testing.assert_allclose(data[:, 2:42] - zeros[0], plain[:, :40], atol=3)
    np.testing.assert_allclose(2 * (data[:, 60:] - zeros[1]), plain[:, 40:], atol=6)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_by_name(tmp_path, layout):
    with written(tmp_path, layout) as hdus:
        kinds = {type(hdu) for hdu in hdus[1:]}
        assert sum(hdu.data is not None for hdu in hdus) >= 1
        assert (fits.CompImageHDU in kinds) == (layout == "fz")
        if layout == "reference pixels":
            assert np.median(hdus[0].data[:4]) == pytest.approx(300, abs=2)


def test_frames_do_not_depend_on_their_number(tmp_path):
    for n in (1, 2):
        (tmp_path / str(n)).mkdir()
        simulated().write(tmp_path / str(n), n, layout="mef")
    first, again = (fits.getdata(tmp_path / n / "flat_01.fits", 2) for n in "12")
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"overscan": -1}, "overscan is -1"), ({"gains": (1, 0)}, "gains is 0"),
     ({"bias_drift": -1}, "bias_drift is -1"), ({"binning": (1, 0)}, "binning is 0"),
     ({"detectors": True}, "detectors is True, but extensions is False"),
     ({"amplifier_sections": {"[1:2,1:2]": "[3:4,1:2]"}, "extensions": True}, "of one image")],
)
def test_wrong_layouts(options, message):
    with pytest.raises(ValueError, match=message):
        RawLayout(**options)


def test_an_unknown_layout(tmp_path):
    with pytest.raises(ValueError, match="layout is 'meff', expected a RawLayout or one of"):
        simulated().write(tmp_path, 1, layout="meff")
    assert not list(tmp_path.iterdir())
