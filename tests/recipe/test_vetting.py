# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Frame vetting: each fault is found by its name, and good sets raise no alarm."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, block_reduce
from astropy.table import QTable
from astropy.utils.exceptions import AstropyUserWarning
from scipy.ndimage import shift as spline_shift

from ccdproc_echelle import make_master_flat
from ccdproc_echelle.frames import MemoryFrame, open_frames
from ccdproc_echelle.orders import EchelleOrderTable
from ccdproc_echelle.recipe.acceptance import accepted_frames, of_one_setup
from ccdproc_echelle.recipe.calibration import calibrate_frames
from ccdproc_echelle.recipe.setups import vet_setup
from ccdproc_echelle.recipe.vetting import vet_frames
from ccdproc_echelle.simulation import EchelleSimulation

SATURATION = 60_000


def simulation(**kwargs) -> EchelleSimulation:
    sim = EchelleSimulation(**({"shape": (300, 360), "n_orders": 4} | kwargs))
    return sim.with_level_spread(0.35).with_drift(0.03).with_cosmic_rays(70).with_bias(300)


def moved(image, sim, shift):
    """The image with its orders at higher pixels, as the detector writes it."""
    shifts = np.zeros(2)
    shifts[1 - sim.dispersion_axis] = shift
    moved = spline_shift(image.astype(float), shifts, mode="nearest")
    return np.clip(np.rint(moved), 0, 65535).astype(np.uint16)


def calibrated(raw, sim):
    frames = [MemoryFrame(ccd, f"flat {i}") for i, ccd in enumerate(raw)]
    return calibrate_frames(frames, dark=open_frames(sim.darks(3, raw=True)), gain=1, read_noise=4,
                   saturation=SATURATION).flats


def reasons(table) -> list[str]:
    return [verdict.split(":")[0] for verdict in table["verdict"]]


# ---------------------------------------------------------------------- frames


@pytest.mark.parametrize("keyword", ["FILTER1", "FIL1NAME", "LAMPFILT", "INSTMODE"])
def test_keywords_of_other_telescopes(keyword):
    flats = simulation(shape=(96, 128), n_orders=2).flats(3)
    for flat, value in zip(flats, ("ug5", "ug5", "bg24a"), strict=True):
        flat.header[keyword] = value
    verdicts = vet_setup(flats)["verdict"].tolist()
    assert verdicts == ["", "", f"another set-up: {keyword} is bg24a, but ug5 for the others"]


@pytest.mark.parametrize(("shape", "axis"), [((300, 360), 1), ((360, 300), 0)])
def test_each_fault_is_found_by_its_name(shape, axis):
    sim = simulation(shape=shape, dispersion_axis=axis)
    raw = sim.flats(8, raw=True)
    raw[0] = sim.darks(1, raw=True)[0]
    raw[3].data = moved(raw[3].data, sim, 0.7)
    raw[5].data = np.clip(20.0 * raw[5].data, 0, 65535).astype(np.uint16)
    raw[6] = CCDData(block_reduce(raw[6].data, 2), unit="adu", header=raw[6].header)

    setup = vet_setup(open_frames(raw[:6]) + open_frames(raw[6:7]) + open_frames(raw[7:]))
    assert reasons(setup) == ["another set-up"] + [""] * 5 + ["another set-up", ""]
    assert "type is dark" in setup["verdict"][0]
    assert "shape is (" in setup["verdict"][6]

    del raw[6]
    table = vet_frames(calibrated(raw, sim), sim.truth.orders)
    assert reasons(table) == ["lamp off or failing", "", "", "shifted", "", "saturated", ""]
    good = [not verdict for verdict in table["verdict"]]
    assert abs(table["shift"][3].value - 0.7) < 0.05
    assert abs(table["shift"][good].value).max() < 0.02
    assert table["masked_fraction"][5] > 0.5
    assert table["residual"][good].max() < 0.06


@pytest.fixture(scope="module", params=[0, 2, 8, 12, 16, 20, 22, 24, 27, 32, 36, 44, 52])
def good_set(request):
    """Eight flats of a spectrograph drawn at random, its orders and the true levels."""
    sim = EchelleSimulation.random(request.param).with_level_spread(0.35).with_drift(0.03)
    sim = sim.with_cosmic_rays(200).with_bad_pixels(300)
    flats = sim.flats(8, uncertainty=request.param % 8 == 0)
    inner = sim.truth.orders.inner_mask(10)
    levels = [frame[inner].mean() for frame in sim.truth.noiseless_flats(8)]
    return flats, sim.truth.orders, levels


@pytest.mark.parametrize("n", [2, 3, 8])
def test_good_sets_raise_no_alarm(good_set, n):
    flats, orders, levels = good_set
    table = vet_frames(open_frames(flats[:n]), orders)
    assert reasons(table) == [""] * n
    assert abs(table["shift"].value).max() < 0.02
    relative = table["level"].value / levels[:n]
    assert abs(relative / np.median(relative) - 1).max() < 0.03


@pytest.mark.parametrize("shift", [-6.0, -0.45, 0.5, 2.3])
@pytest.mark.parametrize(("n", "place"), [(3, 0), (5, 4)])
def test_shifts_of_all_sizes_are_measured(shift, n, place):
    sim = simulation()
    raw = sim.flats(n, raw=True)
    raw[place].data = moved(raw[place].data, sim, shift)
    table = vet_frames(calibrated(raw, sim), sim.truth.orders)
    assert [i for i, reason in enumerate(reasons(table)) if reason == "shifted"] == [place]
    assert abs(table["shift"][place].value - shift) < 0.05
    assert sum(bool(reason) for reason in reasons(table)) == 1


def test_a_tolerable_shift_is_measured_and_passes():
    sim = simulation()
    raw = sim.flats(4, raw=True)
    raw[1].data = moved(raw[1].data, sim, 0.2)
    frames = calibrated(raw, sim)
    table = vet_frames(frames, sim.truth.orders)
    assert reasons(table) == [""] * 4
    assert abs(table["shift"][1].value - 0.2) < 0.02
    assert reasons(vet_frames(frames, sim.truth.orders, max_shift=0.1))[1] == "shifted"


def test_a_frame_of_another_shape():
    sim = simulation()
    raw = sim.flats(3, raw=True)
    raw[0].data[:, 240:] = 300 + 0.8 * (raw[0].data[:, 240:] - 300.0)
    frames = calibrated(raw, sim)
    table = vet_frames(frames, sim.truth.orders)
    assert reasons(table) == ["of another shape", "", ""]
    assert 0.15 < table["residual"][0] < 0.3
    assert reasons(vet_frames(frames, sim.truth.orders, max_residual=0.4)) == [""] * 3


def test_saturation_that_is_not_masked_is_another_shape():
    sim = simulation().with_level_spread(0)
    flats = sim.flats(4, raw=True)
    flats[2].data = np.minimum(5.0 * flats[2].data, 65535).astype(np.uint16)
    frames = calibrate_frames(open_frames(flats), dark=open_frames(sim.darks(3, raw=True))).flats
    assert reasons(vet_frames(frames, sim.truth.orders)) == ["", "", "of another shape", ""]


@pytest.mark.parametrize(("uncertainty", "all_dark"), [(True, False), (False, False), (True, True)])
def test_frames_without_light(uncertainty, all_dark):
    sim = replace(simulation(), bias=0.0)
    frames = sim.flats(3, uncertainty=uncertainty)
    frames[0] = sim.darks(1, uncertainty=uncertainty)[0]
    if all_dark:
        frames = sim.darks(3)
    table = vet_frames(open_frames(frames), sim.truth.orders)
    dark = "lamp off or failing"
    assert reasons(table) == ([dark] * 3 if all_dark else [dark, "", ""])


def test_a_fully_masked_frame_and_masked_sets():
    sim = simulation()
    frames = sim.flats(4)
    frames[1].mask = np.ones(sim.shape, dtype=bool)
    table = vet_frames(open_frames(frames), sim.truth.orders)
    assert reasons(table) == ["", "saturated", "", ""]
    assert np.isnan(table["level"][1].value)
    for frame in frames:
        frame.mask = np.ones(sim.shape, dtype=bool)
    assert reasons(vet_frames(open_frames(frames), sim.truth.orders)) == ["saturated"] * 4


def test_two_frames_have_no_majority():
    sim = simulation()
    raw = sim.flats(2, raw=True)
    raw[1].data = moved(raw[1].data, sim, 1.0)
    table = vet_frames(calibrated(raw, sim), sim.truth.orders)
    assert reasons(table) == ["shifted", "shifted"]
    np.testing.assert_allclose(table["shift"].value, [-0.5, 0.5], atol=0.05)


def test_real_flats_raise_no_alarm(zyla, zyla_orders):
    flats, darks = (open_frames(zyla(kind)) for kind in ("flat", "dark"))
    frames = calibrate_frames(flats, dark=darks, gain=0.462, read_noise=3.07).flats
    assert reasons(vet_setup(flats)) == reasons(vet_setup(darks)) == [""] * 3
    table = vet_frames(frames, zyla_orders)
    assert reasons(table) == [""] * 3
    assert abs(table["shift"].value).max() < 0.01
    dark = calibrate_frames(darks[:1], dark=darks[1:], gain=0.462, read_noise=3.07).flats
    assert reasons(vet_frames(dark + frames, zyla_orders)) == ["lamp off or failing", "", "", ""]


def test_evenly_lit_frames_have_no_shift():
    """Nothing in them tells where the orders are: neither rows nor columns differ."""
    orders = EchelleOrderTable.from_polynomials(
        [1, 2], [[20], [60]], shape=(90, 300), dispersion_axis=1)
    frames = [CCDData(np.full(orders.shape, value), unit="adu") for value in (100.0, 120.0, 90.0)]
    table = vet_frames(open_frames(frames), orders)
    assert np.isnan(table["shift"]).all() and np.isnan(table["shift_uncertainty"]).all()
    np.testing.assert_allclose(table["level"].value, [100, 120, 90])
    assert reasons(table) == ["", "", ""]


def test_orders_in_none_of_the_columns_that_are_looked_at():
    """Of 1000 columns every fifth is, from the third on; there the centre has left the detector."""
    orders = EchelleOrderTable.from_polynomials(
        [1], [[39.3, 0.3]], lower=[[30]], upper=[[50, 0.3]], shape=(40, 1000), dispersion_axis=1)
    frames = [CCDData(np.ones(orders.shape), unit="adu") for _ in range(3)]
    with pytest.raises(ValueError, match="no order centre of the order table is on the detector"):
        vet_frames(open_frames(frames), orders, window=1)


def test_files_and_ccddata_are_vetted_like_opened_frames(tmp_path):
    sim = EchelleSimulation(shape=(200, 220), n_orders=3, seed=13)
    paths = sim.write(tmp_path, 3)[0]
    ccds = [CCDData.read(path) for path in paths]
    for vet in (vet_setup, lambda frames: vet_frames(frames, sim.truth.orders)):
        expected = vet(open_frames(paths))
        for given in (paths, [str(path) for path in paths], ccds):
            found = vet(given)
            assert found.colnames == expected.colnames
            for name in set(expected.colnames) - {"frame"}:
                np.testing.assert_array_equal(found[name], expected[name])


def test_bad_arguments_of_vet_frames():
    sim = simulation(shape=(256, 300), n_orders=4)
    orders = sim.truth.orders
    frames = open_frames(sim.flats(2))
    with pytest.raises(ValueError, match="no frame"):
        vet_frames([], orders)
    with pytest.raises(ValueError, match=r"frame 0 has shape \(300, 256\), but frame 0 has"):
        vet_frames(frames + open_frames([CCDData(np.ones((300, 256)), unit="adu")]), orders)
    for option in ("window", "max_masked", "min_level", "max_shift", "max_residual"):
        with pytest.raises(ValueError, match=f"{option} is 0, expected a positive number"):
            vet_frames(frames, orders, **{option: 0})


def test_that_the_first_of_several_images_is_looked_at_is_told(tmp_path):
    sim = simulation(shape=(96, 128), n_orders=2)
    for i, flat in enumerate(sim.flats(3)):
        images = [fits.ImageHDU(flat.data, flat.header, name=name) for name in ("BLUE", "RED")]
        fits.HDUList([fits.PrimaryHDU(), *images]).writeto(tmp_path / f"{i}.fits")
    paths = sorted(tmp_path.glob("*.fits"))
    with pytest.warns(AstropyUserWarning, match="extensions 1 BLUE, 2 RED, of which the first"):
        vet_frames(paths, sim.truth.orders)
    vet_frames(paths, sim.truth.orders, hdu="RED")


# ---------------------------------------------------------------------- setup


def setup_verdicts(headers, **kwargs) -> list[str]:
    frames = [CCDData(np.ones((4, 5)), unit="adu", header=dict(header)) for header in headers]
    return vet_setup(open_frames(frames), **kwargs)["verdict"].tolist()


def test_the_commonest_setup_is_right_wherever_it_is():
    slits = [{"SLIT": "wide"}, {"SLIT": "narrow "}, {"SLIT": "narrow"}, {}]
    assert setup_verdicts(slits) == [
        "another set-up: SLIT is wide, but narrow for the others", "", "", ""]
    numbers = [{"GAIN": 1.5}, {"GAIN": 1.5001}, {"GAIN": 2.5, "LAMP": "Xe"}, {"LAMP": "QTH"},
               {"LAMP": "QTH"}]
    found = setup_verdicts(numbers)
    assert found.pop(2) == (
        "another set-up: LAMP is Xe, but QTH for the others; GAIN is 2.5, but 1.5 for the others")
    assert found == [""] * 4


def test_without_a_commonest_setup_each_frame_has_a_verdict():
    found = setup_verdicts([{"CCDSUM": "1 1"}, {"CCDSUM": "2 2"}])
    assert found == ["another set-up: CCDSUM is 1 1 (1 frame) or 2 2 (1 frame)"] * 2


@pytest.mark.parametrize(("own", "other"), [("FLAT", "BIAS"), ("Dome Flat", "Sky Flat")])
def test_frames_of_another_type_do_not_belong_to_the_set(own, other):
    assert setup_verdicts([{"IMAGETYP": kind} for kind in (own, own, other)]) == [
        "", "", f"another set-up: type is {other.lower()}, but {own.lower()} for the others"]


def test_bias_frames_do_not_outvote_flats():
    found = setup_verdicts([{"IMAGETYP": kind} for kind in ("flat", "Bias Frame", "Bias Frame")])
    assert found == ["", *["another set-up: type is bias, but flat for the others"] * 2]


def test_two_setups_of_as_many_frames_are_one_message():
    table = QTable({"frame": list("abcd"), "verdict": setup_verdicts(
        [{"FILTER": name} for name in ("BG38", "BG38", "RG610", "RG610")])})
    with pytest.warns(AstropyUserWarning) as caught:
        assert accepted_frames(table).all()
    (message,) = (str(warning.message) for warning in caught)
    assert message == (
        "the 4 frames do not belong together: another set-up: FILTER is BG38 (2 frames) or RG610 "
        "(2 frames); they are used anyway; reject='drop' leaves them out"
    )


def test_numbers_in_headers():
    same = [{"GAIN": value} for value in (2, 2.0, 2.0004)]
    assert setup_verdicts(same) == [""] * 3
    labels = [{"GRATING": value} for value in (1201, 1201, 1203)]
    assert [bool(verdict) for verdict in setup_verdicts(labels)] == [False, False, True]


def test_keywords_can_be_chosen():
    headers = [{"SLIT": "wide", "HUMOUR": "dry"}, {"SLIT": "narrow", "HUMOUR": "dry"},
               {"SLIT": "narrow", "HUMOUR": "wet"}]
    found = setup_verdicts(headers, keywords=["HUMOUR"])
    assert [bool(verdict) for verdict in found] == [False, False, True]
    assert setup_verdicts(headers, keywords=[]) == [""] * 3


def test_headers_of_files_and_their_extensions(tmp_path):
    paths = []
    for i, (arm, binning) in enumerate([("VIS", 1), ("NIR", 1), ("VIS", 1), ("VIS", 2)]):
        primary, image = fits.PrimaryHDU(), fits.ImageHDU(np.ones((4, 5), dtype="f4"))
        primary.header["HIERARCH ESO SEQ ARM"] = arm
        image.header["XBINNING"] = binning
        paths.append(tmp_path / f"flat_{i}.fits")
        fits.HDUList([primary, image]).writeto(paths[-1])
    found = vet_setup(open_frames(paths, unit="adu"))
    assert found["frame"].tolist() == [str(path) for path in paths]
    assert found["verdict"].tolist() == [
        "", "another set-up: ESO SEQ ARM is NIR, but VIS for the others", "",
        "another set-up: XBINNING is 2, but 1 for the others"]


# ---------------------------------------------------------------------- what is done about it


def verdicts(*found) -> QTable:
    return QTable({"frame": [f"flat_{i}" for i in range(len(found))], "verdict": list(found)})


def test_warn_uses_all_frames():
    with pytest.warns(AstropyUserWarning, match="flat_1 does not .*: too dark; it is used any"):
        assert accepted_frames(verdicts("", "too dark", "")).tolist() == [True] * 3


def test_drop_leaves_frames_out():
    with pytest.warns(AstropyUserWarning, match="flat_1 does not .*: too dark; it is left out"):
        found = accepted_frames(verdicts("", "too dark", ""), "drop")
    assert found.tolist() == [True, False, True]


@pytest.mark.parametrize("found", [("a", "b", ""), ("a",)])
def test_drop_refuses_to_leave_out_the_majority(found):
    with pytest.raises(ValueError, match=f"of {len(found)} frames would be left out.*flat_0 .*: a"):
        accepted_frames(verdicts(*found), "drop")


def test_error_names_every_frame():
    with pytest.raises(ValueError, match=r"flat_0 .* set: too dark; flat_2 .* set: shifted"):
        accepted_frames(verdicts("too dark", "", "shifted"), "error")


def test_good_sets_pass_in_silence():
    for reject in ("warn", "drop", "error"):
        assert accepted_frames(verdicts("", ""), reject).all()


def test_unknown_reject():
    with pytest.raises(ValueError, match="reject is 'maybe', expected 'warn', 'drop' or 'error'"):
        accepted_frames(verdicts(""), "maybe")


def test_keywords_of_ones_own_are_compared_and_missed():
    frames = EchelleSimulation(shape=(64, 64), n_orders=2).flats(3)
    for frame, mode in zip(frames, "aab", strict=True):
        frame.header["MODE"] = mode
    with pytest.raises(ValueError, match="MODE is b, but a for the others"):
        of_one_setup(open_frames(frames), "error", ["HIERARCH MODE"])
    del frames[2].header["MODE"]
    with pytest.warns(AstropyUserWarning, match="MODE, which is not in the header of frame 2:"):
        of_one_setup(open_frames(frames), "error", ["MODE"])
    for names in ("MODE", 5):
        with pytest.raises(TypeError, match=f"setup_keywords is {names!r}, expected a list"):
            of_one_setup(open_frames(frames), "error", names)


def test_blanks_within_values_do_not_count():
    frames = EchelleSimulation(shape=(64, 64), n_orders=2).flats(2)
    for frame, binning in zip(frames, ("1 1", "1  1 "), strict=True):
        frame.header["CCDSUM"] = binning
    assert vet_setup(frames)["verdict"].tolist() == ["", ""]


@pytest.mark.parametrize("kind", ["bias", "dark"])
def test_calibration_frames_that_were_read_out_otherwise_are_told_in_one_warning(kind):
    sim = EchelleSimulation(shape=(128, 144), n_orders=3).with_bias(300)
    flats = sim.flats(3, raw=True)
    others = (sim.biases if kind == "bias" else sim.darks)(3, raw=True)
    making = dict(gain=1, read_noise=4, scattered_light=None)
    for frame in flats:
        frame.header["READMODE"], frame.header["GAIN"] = "slow", 1.5
    for frame, gain in zip(others, (None, " ", "1.50"), strict=True):
        frame.header["GAIN"] = gain  # no value, or the same
    make_master_flat(flats, sim.truth.orders, **{kind: others}, **making)  # nothing is known
    for frame in others[1:]:
        frame.header["READMODE"] = "fast"
    with pytest.warns(AstropyUserWarning) as told:
        make_master_flat(flats, sim.truth.orders, **{kind: others}, **making)
    assert [str(one.message) for one in told] == [
        f"the {kind} frames have a different set-up from the flats: {kind} frame 1 and 1 other: "
        f"READMODE is fast, but slow for the flats; they are used anyway: give {kind} frames that "
        "were read out like the flats"
    ]


@pytest.mark.parametrize("n_dark", [1, 5])
def test_bias_and_dark_frames_among_the_flats_are_refused(n_dark):
    """Also where they are in the majority, as with all files of a folder."""
    sim = EchelleSimulation(shape=(128, 144), n_orders=3).with_bias(300)
    frames = [*sim.flats(3, raw=True), *sim.biases(n_dark, raw=True)]
    message = r"frame 3.* ha.* no light on the orders, a level below 0\.001 of .*reject='drop'"
    with (pytest.warns(AstropyUserWarning, match="type is bias, but flat"),
          pytest.raises(ValueError, match=message)):
        make_master_flat(frames, sim.truth.orders, bias=sim.biases(7, raw=True)[n_dark:])


def test_a_single_keyword_is_no_list_of_its_letters():
    with pytest.raises(TypeError, match="keywords is 'GAIN', expected a list of header keywords"):
        vet_setup(["a.fits"], keywords="GAIN")


def test_a_table_without_verdicts():
    with pytest.raises(ValueError, match="table has no column verdict; found .'frame'."):
        accepted_frames(QTable({"frame": ["a.fits"]}))
