# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Master flats from raw frames as telescopes write them, against the truth."""

import logging
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData

from ccdproc_echelle import EchelleOrderTable, MasterFlat, make_master_flat
from ccdproc_echelle.recipe import calibrate_frames
from ccdproc_echelle.simulation import EchelleSimulation, RawLayout

SHAPE = (160, 160)
BY_KEYWORD = dict(gain="GAIN", read_noise="RDNOISE")
HALVES = {"[1:80,1:160]": 1.0, "[81:160,1:160]": 1.5}
APART = {"[5:84,1:160]": "[85:100,1:160]", "[117:196,1:160]": "[101:116,1:160]"}
GAINS = {"[5:84,1:160]": 1.0, "[117:196,1:160]": 1.5}


def simulated():
    return (
        EchelleSimulation(shape=SHAPE, n_orders=4, seed=3)
        .with_level_spread(0.3).with_bias(300).with_noise(gain=1.0, read_noise=5)
    )


def master_of(folder, layout, *, n_flats=4, orders=None, **keywords):
    simulation = simulated()
    flats, darks, biases = simulation.write(folder, n_flats, 2, 5, layout=layout)
    orders = simulation.truth.orders if orders is None else orders
    return make_master_flat(
        flats, orders, dark=darks, bias=biases, scattered_light=None, **keywords
    )


def check_against_truth(master):
    """Levels, orders, seam in the middle and pulls."""
    truth = simulated().truth
    orders, n = truth.orders, len(master.levels)
    ratios = master.levels["level"].value / truth.levels(n)
    assert np.ptp(ratios) / ratios.mean() < 1e-3
    inner, number = orders.inner_mask(10), orders.order_map()

    def ratio(where):
        return master.flat.data[where].sum() / truth.flat[where].sum()

    of_orders = [ratio(inner & (number == k)) for k in orders.order_numbers]
    assert min(of_orders) > 0.995 * max(of_orders)
    columns = np.arange(SHAPE[1])
    left, right = (ratio(inner & (abs(columns - middle) < 12)) for middle in (67.5, 91.5))
    assert left == pytest.approx(right, rel=3e-3)
    data, expected = master.flat.data[inner].astype(float), truth.flat[inner]
    expected = expected * (data * expected).sum() / (expected**2).sum()
    pulls = (data - expected) / master.flat.uncertainty.array[inner]
    assert pulls.std() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("layout", "keywords"),
    [
        ("overscan", BY_KEYWORD | {"saturation": 60000}),
        ("mef", {}),
        ("fz", BY_KEYWORD),
        ("extension", BY_KEYWORD),
        ("amplifiers", {"gain": HALVES, "read_noise": "RDNOISE"}),
        (RawLayout(amplifier_sections=APART, bias_drift=5, gains=(1, 1.5)),
         {"oscan": APART, "gain": GAINS, "read_noise": "RDNOISE"}),
        ("reference pixels", BY_KEYWORD | {"trim": "[5:164,5:164]"}),
        ("eso", {"trim": "[11:170,:]", "oscan": "[171:218,:]",
                 "gain": "ESO DET OUT1 CONAD", "read_noise": "HIERARCH ESO DET OUT1 RON"}),
        (RawLayout(prescan=5, overscan=16, overscan_rows=7, bias_drift=5, compressed=True,
                   gains=((1, 1.5), (1.2, 0.8)), extensions=True, binning=(2, 1)), {}),
    ],
)
def test_any_layout_gives_the_truth(tmp_path, layout, keywords):
    check_against_truth(master_of(tmp_path, layout, **keywords))


@pytest.mark.filterwarnings("ignore:.*still has its overscan", "ignore:the frames have an offset")
def test_the_overscan_makes_the_difference(tmp_path):
    """What the test above would not see, were the drift too small."""
    layout = RawLayout(overscan=32, bias_drift=60)
    with pytest.raises(AssertionError):
        check_against_truth(master_of(tmp_path, layout, oscan=False, **BY_KEYWORD))


def test_one_gain_for_amplifiers_of_one_image_that_differ_is_warned_of(tmp_path):
    layout = RawLayout(amplifier_sections=APART, gains=(1, 1.5))
    with pytest.warns(UserWarning, match="light of the orders jumps by -3.% at column 81"):
        master_of(tmp_path, layout, oscan=APART)


def test_bit_identical_whatever_the_memory_and_the_executor(tmp_path, forkserver):
    simulation = simulated()
    flats, _, biases = simulation.write(tmp_path, 3, 0, 3, layout="mef")

    def made(**resources):
        return make_master_flat(
            flats, simulation.truth.orders, bias=biases, scattered_light=None, **resources
        ).flat

    expected = made()
    processes = ProcessPoolExecutor(1, mp_context=forkserver)
    with ThreadPoolExecutor(2) as threads, processes:
        for resources in (dict(mem_limit=2e5), dict(executor=threads), dict(executor=processes)):
            found = made(**resources)
            np.testing.assert_array_equal(found.data, expected.data)
            np.testing.assert_array_equal(found.uncertainty.array, expected.uncertainty.array)


def untrimmed(orders, columns):
    """The table of a detector with so many columns more on the right."""
    centers = np.pad(
        orders.center(), ((0, 0), (0, columns)), mode="reflect", reflect_type="odd"
    )
    shape = (SHAPE[0], SHAPE[1] + columns)
    return EchelleOrderTable.from_traces(
        orders.order_numbers, centers, shape=shape, dispersion_axis=1
    )


def test_the_order_table_of_the_untrimmed_detector_is_cropped(tmp_path):
    orders = simulated().truth.orders
    master = master_of(
        tmp_path, "overscan", n_flats=3, orders=untrimmed(orders, 32), **BY_KEYWORD
    )
    assert master.orders.shape == SHAPE
    np.testing.assert_allclose(master.orders.center(), orders.center(), atol=0.2)


def test_a_table_of_neither_shape_is_refused(tmp_path):
    orders = untrimmed(simulated().truth.orders, 10)
    with pytest.raises(ValueError, match=r"\(160, 170\), but .*\(160, 192\), trimmed \(160, 160\)"):
        master_of(tmp_path, "overscan", n_flats=1, orders=orders, **BY_KEYWORD)


def test_log_and_product_say_what_was_done(tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="ccdproc_echelle"):
        master = master_of(tmp_path, "mef", n_flats=3)
    for kind in ("3 frames", "5 frames"):
        assert f"{kind}: AMPLIFS 2; SUBOSCAN [81:112,1:160] median of rows" in caplog.text
    master.write(tmp_path / "master.fits")
    again = MasterFlat.read(tmp_path / "master.fits")
    assert again.levels["level"].unit == master.levels["level"].unit == u.electron
    header = again.flat.header
    assert header["SUBOSCAN"] == "[81:112,1:160] median of rows"
    assert header["TRIMIM"] == "[1:80,1:160]"
    assert header["GAINCOR"] == "to electrons"
    assert not {"TRIMSEC", "BIASSEC", "DATASEC", "DETSEC"} & set(header)


def test_calibration_frames_without_the_sections_of_the_flats_are_refused(tmp_path):
    flats, _, biases = simulated().write(tmp_path, 2, 0, 1, layout="overscan")
    del (header := fits.getheader(biases[0]))["TRIMSEC"], header["DATASEC"]
    data = fits.getdata(biases[0])
    fits.writeto(biases[0], data, header, overwrite=True)
    with (
        pytest.warns(UserWarning, match="overscan .*bias_01.fits is subtracted but not cut off"),
        pytest.raises(ValueError, match=r"sections differ: .*bias_01.fits has the light .* None"),
    ):
        calibrate_frames(flats, bias=biases, **BY_KEYWORD)


def test_a_bias_that_kept_its_zero_point_is_warned_of(tmp_path):
    """Trimmed, but its overscan was not subtracted, as that of the flats is."""
    flats, _, biases = simulated().write(tmp_path, 2, 0, 1, layout="overscan")
    bias = CCDData(fits.getdata(biases[0])[:, :160], unit="adu")
    with pytest.warns(UserWarning, match="frame 0 has a zero point of 30.*subtract the overscan"):
        calibrate_frames(flats, bias=[bias], gain=1, read_noise=5)
    calibrate_frames(flats, bias=[bias], oscan=False, gain=1, read_noise=5)


def test_a_bias_that_is_trimmed_already(tmp_path):
    """As a master bias of ccdproc, whose header still has the sections."""
    flats, _, biases = simulated().write(tmp_path, 2, 0, 1, layout="overscan")
    bias, = calibrate_frames(biases, **BY_KEYWORD).flats
    bias = bias.ccddata()
    bias.header.update({"TRIMSEC": "[1:160,1:160]", "BIASSEC": "[161:192,1:160]"})
    expected = calibrate_frames(flats, bias=biases, **BY_KEYWORD).flats[0].ccddata()
    bias = CCDData(bias.data, unit="adu", header=bias.header)
    found = calibrate_frames(flats, bias=[bias], **BY_KEYWORD).flats[0].ccddata()
    np.testing.assert_allclose(found.data, expected.data, atol=1e-3)


def test_raw_files_that_do_not_match_their_datasum_are_named(tmp_path):
    simulation = simulated()
    flats, _, biases = simulation.write(tmp_path, 3, 0, 2, layout="overscan")
    with fits.open(flats[1]) as hdus:
        hdus.writeto(flats[1], checksum=True, overwrite=True)

    def master():
        return make_master_flat(
            flats, simulation.truth.orders, bias=biases, scattered_light=None, **BY_KEYWORD
        )

    master()  # sums that match
    content = bytearray(flats[1].read_bytes())
    content[-5000] ^= 1
    flats[1].write_bytes(content)
    with pytest.warns(UserWarning, match=r"flat_02.fits: the data do not match DATASUM in"):
        master()
