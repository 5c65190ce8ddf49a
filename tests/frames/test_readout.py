# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Raw frames: overscan, trim, amplifiers, and numbers from headers."""

import logging
import pickle

import ccdproc
import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.modeling.models import Chebyshev1D, Gaussian1D, Polynomial1D, Polynomial2D
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.utils.exceptions import AstropyUserWarning
from astropy.wcs import WCS

from ccdproc_echelle.frames import Readout, Regions, open_frames
from ccdproc_echelle.frames.sections import Box, parse_place, parse_section

LIGHT, OVERSCAN = "[3:22,1:30]", "[23:34,1:30]"


def raw(shape=(30, 34), seed=0, **header):
    """Noise and a slope, so that no two pixels, rows or columns are alike."""
    rows, columns = np.indices(shape)
    data = np.random.default_rng(seed).normal(300 + rows + 2 * columns, 5)
    return CCDData(data.astype("f4"), unit="adu", header={k.upper(): v for k, v in header.items()})


def opened(*frames, reading=None, **how):
    return Readout(**how).open(list(frames), **(reading or {}))


def pixels(frame):
    return frame.ccddata().data


# ---------------------------------------------------------------------- sections


@pytest.mark.parametrize(
    ("text", "rows", "columns"),
    [
        ("[3:10,1:5]", (0, 5), (2, 10)),
        (" [ 3:10 , 2:5 ] ", (1, 5), (2, 10)),
        ("[*,2:5]", (1, 5), (0, 12)),
        ("[3:10,:]", (0, 6), (2, 10)),
        ("[12:12,6:6]", (5, 6), (11, 12)),
    ],
)
def test_sections(text, rows, columns):
    assert parse_section(text, (6, 12), "trim") == Box(slice(*rows), slice(*columns))


@pytest.mark.parametrize("text", ["", "  ", "[]", "[0:0,0:0]", "none"])
def test_empty_sections(text):
    assert parse_section(text, (6, 12), "trim") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3:10,1:5", "expected a FITS section"),
        ("[3:10]", "expected a FITS section"),
        ("[3:10,1:5,1:2]", "expected a FITS section"),
        ("[a:b,1:5]", "expected a FITS section"),
        ("[0:10,1:5]", "expected a FITS section"),
        ("[3:10:2,1:5]", "expected a FITS section"),
        ("[10:3,1:5]", "in ascending order"),
        ("[3:13,1:5]", "within the image of 12 columns and 6 rows"),
        ("[3:10,1:7]", "within the image"),
    ],
)
def test_wrong_sections(text, message):
    with pytest.raises(ValueError, match="^TRIMSEC of flat.fits is .*" + message):
        parse_section(text, (6, 12), "TRIMSEC of flat.fits")


@pytest.mark.parametrize(
    ("text", "binning", "box", "flipped"),
    [
        ("[1:100,1:50]", (1, 1), "[1:100,1:50]", (False, False)),
        ("[200:101,1:50]", (1, 1), "[101:200,1:50]", (False, True)),
        ("[100:1,50:1]", (1, 1), "[1:100,1:50]", (True, True)),
        ("[201:400,1:50]", (1, 2), "[101:200,1:50]", (False, False)),
        ("[1:100,51:100]", (2, 1), "[1:100,26:50]", (False, False)),
    ],
)
def test_places(text, binning, box, flipped):
    place = parse_place(text, binning, "DETSEC")
    assert (str(place.box), place.flipped) == (box, flipped)


# ---------------------------------------------------------------------- overscan and trim


@pytest.mark.parametrize("median", [True, False])
@pytest.mark.parametrize("model", [None, Polynomial1D(2), Chebyshev1D(3)])
@pytest.mark.parametrize(
    ("light", "overscan"),
    [(LIGHT, OVERSCAN), ("[3:22,1:20]", "[1:34,25:30]"), ("[3:22,:]", "[23:34,:]")],
)
def test_as_ccdproc_does_it(light, overscan, median, model):
    ccd = raw(trimsec=light, biassec=overscan)
    expected = ccdproc.subtract_overscan(
        ccd, fits_section=overscan, overscan_axis=None, median=median, model=model
    )
    expected = ccdproc.trim_image(expected, fits_section=light)
    given = raw(), dict(trim=light, oscan=overscan)
    for frame, how in ((ccd, {}), given):
        found, = opened(frame, oscan_median=median, oscan_model=model, **how)
        np.testing.assert_allclose(pixels(found), expected.data, rtol=0, atol=1e-3)


def test_a_short_window_of_wide_overscan_has_a_zero_point_of_each_row():
    """More columns than rows: the overscan lies beside the light all the same."""
    frame, = opened(raw((8, 50), trimsec="[1:38,1:8]", biassec="[39:50,1:8]"))
    ccd = raw((8, 50))
    expected = ccd.data[:, :38] - np.median(ccd.data[:, 38:], axis=1, keepdims=True)
    np.testing.assert_allclose(pixels(frame), expected, atol=1e-3)


def test_overscan_that_does_not_span_the_light():
    """Beyond its ends, the zero point there is taken."""
    frame, = opened(raw(trimsec=LIGHT, biassec="[23:34,6:25]"))
    data = raw().data
    zero = np.median(data[:, 22:], axis=1)
    zero[:5], zero[25:] = zero[5], zero[24]
    np.testing.assert_allclose(pixels(frame), data[:, 2:22] - zero[:, None], atol=1e-3)


def test_overscan_in_the_corner():
    frame, = opened(raw(trimsec="[3:22,1:20]", biassec="[23:30,21:30]"))
    data = raw().data
    zero = np.median(data[20:, 22:30], axis=1).mean()
    np.testing.assert_allclose(pixels(frame), data[:20, 2:22] - zero, atol=1e-3)


def test_masked_pixels_of_the_overscan_do_not_count():
    ccd = raw(trimsec=LIGHT, biassec=OVERSCAN)
    ccd.mask = np.zeros(ccd.shape, dtype=bool)
    ccd.mask[4, 25:30] = ccd.mask[7, 22:] = True
    ccd.data[ccd.mask] = 60000
    found = pixels(*opened(ccd))
    data = raw().data
    expected = data[4, 2:22] - np.median(np.delete(data[4, 22:], slice(3, 8)))
    np.testing.assert_allclose(found[4], expected, atol=1e-3)
    zero = np.median(data[[6, 8], 22:], axis=1).mean()  # a row without any: between its neighbours
    np.testing.assert_allclose(found[7], data[7, 2:22] - zero, atol=1e-3)


def test_an_overscan_without_a_good_pixel():
    ccd = raw(biassec=OVERSCAN)
    ccd.mask = np.ones(ccd.shape, dtype=bool)
    with pytest.raises(ValueError, match=r"frame 0 has no good pixel in its overscan \[23:34,1:30"):
        opened(ccd)


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"trimsec": "", "biassec": "[]"},
        {"trimsec": "[1:34,1:30]", "biassec": "[1:34,1:30]"},
        {"trimsec": "[1:34,1:30]", "biassec": "[35:66,1:30]"},  # cut off on the right
        {"trimsec": "[33:66,1:30]", "biassec": "[1:32,1:30]"},  # cut off on the left
        {"datasec": "[5:38,1:30]", "biassec": "[1:4,1:30]"},
    ],
)
def test_frames_that_are_trimmed_already_stay_as_they_are(header):
    frame, = opened(raw(**header))
    assert frame.shape == (30, 34)
    np.testing.assert_array_equal(pixels(frame), raw().data)


def test_false_means_not_at_all():
    ccd = raw(trimsec=LIGHT, biassec=OVERSCAN)
    np.testing.assert_array_equal(pixels(*opened(ccd, trim=False, oscan=False)), ccd.data)
    np.testing.assert_array_equal(pixels(*opened(ccd, oscan=False)), ccd.data[:, 2:22])
    assert opened(ccd, trim=False)[0].shape == ccd.shape


def test_what_is_given_takes_the_place_of_what_the_header_says():
    ccd = raw(trimsec=LIGHT, biassec=OVERSCAN)
    assert opened(ccd, trim="[5:10,1:8]")[0].shape == (8, 6)
    assert opened(raw(datasec=LIGHT))[0].shape == (30, 20)
    assert opened(raw(datasec="[1:9,1:9]", trimsec=LIGHT))[0].shape == (30, 20)


def test_sections_that_are_not_used_may_be_wrong():
    ccd = raw(trimsec="[1:", biassec="[1:400,1:30]")
    frame, = opened(ccd, trim=LIGHT, oscan=OVERSCAN)
    np.testing.assert_array_equal(pixels(frame), pixels(*opened(raw(), trim=LIGHT, oscan=OVERSCAN)))
    assert opened(ccd, trim=False, oscan=False)[0].shape == ccd.shape


def test_a_prescan_that_was_cut_off_is_not_looked_for_in_the_light():
    """Though its BIASSEC lies within the frame; whatever is asked for the trim."""
    ccd = raw(trimsec="[5:38,1:30]", biassec="[1:4,1:30]")
    np.testing.assert_array_equal(pixels(*opened(ccd, trim=False)), ccd.data)


@pytest.mark.parametrize(
    ("header", "how", "message"),
    [
        ({"trimsec": "[1:20"}, {}, "TRIMSEC of frame 0 is '.1:20', expected a FITS section"),
        ({"trimsec": "[1:20"}, {}, "; give oscan= and trim= .False for none.$"),
        ({"biassec": "[30:40,1:30]"}, {}, "BIASSEC of frame 0 is .*within the image of 34 columns"),
        ({"biassec": "[1:4,1:30],[25:34,1:30]"}, {}, "; give oscan= and trim= .False for none.$"),
        ({"trimsec": LIGHT, "biassec": "[30:40,1:30]"}, {}, "BIASSEC of frame 0 is .*within"),
        ({}, {"trim": "[5:260,5:260]"}, "trim for frame 0 is .*within the image"),
        ({}, {"trim": ""}, "trim for frame 0 is '', expected a section that is not empty"),
        ({}, {"oscan": "[40:50,1:30]"}, "oscan for frame 0 is .*within the image"),
        ({}, {"oscan": "[1:34,1:30]"}, "oscan is .* the whole image of frame 0, expected the part"),
    ],
)
def test_wrong_sections_of_frames(header, how, message):
    with pytest.raises(ValueError, match=message):
        opened(raw(**header), **how)


@pytest.mark.parametrize("how", [{"oscan": True}, {"trim": (1, 2)}, {"oscan_model": "poly"}])
def test_other_kinds_of_arguments(how):
    with pytest.raises(TypeError, match=f"{next(iter(how))} is a "):
        Readout(**how)


@pytest.mark.parametrize("model", [Gaussian1D(), Polynomial2D(1)])
def test_models_that_cannot_be_fitted(model):
    with pytest.raises(ValueError, match="oscan_model is a .*expected a model of one variable"):
        Readout(oscan_model=model)


@pytest.mark.parametrize("other", [{}, {"trimsec": LIGHT}, {"trimsec": "[4:23,1:30]"}])
def test_sections_that_differ_within_a_set(other):
    with pytest.raises(ValueError, match="sections differ: frame 1 has .*, but frame 0"):
        opened(raw(trimsec=LIGHT, biassec=OVERSCAN), raw(**other))


def test_an_overscan_in_the_light_is_warned_of():
    with pytest.warns(UserWarning, match=r"overscan \[20:34,1:30\] of frame 0 overlaps the part"):
        opened(*[raw(trimsec=LIGHT, biassec="[20:34,1:30]")] * 2)


def test_mask_uncertainty_and_wcs_are_trimmed():
    ccd = raw(trimsec=LIGHT, biassec=OVERSCAN)
    ccd.mask = ccd.data > 340
    ccd.uncertainty = StdDevUncertainty(np.sqrt(ccd.data))
    ccd.wcs = WCS(naxis=2)
    ccd.wcs.wcs.crpix = 10, 10
    found = opened(ccd)[0].ccddata()
    np.testing.assert_array_equal(found.mask, ccd.mask[:, 2:22])
    np.testing.assert_allclose(found.uncertainty.array, np.sqrt(ccd.data)[:, 2:22], rtol=1e-6)
    assert found.wcs.wcs.crpix.tolist() == [8, 10]


@pytest.mark.parametrize("n_axes", [2, 3])
def test_the_wcs_of_a_file_may_have_more_axes_than_the_frame(tmp_path, n_axes):
    ccd, path = raw(trimsec=LIGHT, biassec=OVERSCAN), tmp_path / "raw.fits"
    cards = {"BUNIT": "adu", "WCSAXES": n_axes, "CTYPE1": "LINEAR", "CRPIX1": 10, "CRPIX2": 10}
    fits.writeto(path, ccd.data, fits.Header(dict(ccd.header) | cards))
    n_rows, n_columns = ccd.shape
    assert open_frames([path])[0].metadata().wcs.pixel_shape[:2] == (n_columns, n_rows)
    wcs = opened(path)[0].metadata().wcs
    assert wcs.pixel_shape[:2] == (20, n_rows)
    assert wcs.wcs.crpix.tolist() == [8, 10, 0][:n_axes]


def test_log_and_header_say_what_was_done(caplog):
    with caplog.at_level(logging.INFO, logger="ccdproc_echelle"):
        frame, _ = opened(*[raw(trimsec=LIGHT, biassec=OVERSCAN, object="flat")] * 2)
    assert "2 frames: SUBOSCAN [23:34,1:30] median of rows; TRIMIM [3:22,1:30]" in caplog.text
    header = frame.metadata().header
    assert header["SUBOSCAN"] == "[23:34,1:30] median of rows"
    assert header["TRIMIM"] == LIGHT
    assert "TRIMSEC" not in header and "BIASSEC" not in header and header["OBJECT"] == "flat"


def test_any_rows_are_those_of_the_whole_frame(tmp_path):
    """From a file too, of which only these rows are read; and such a part is small."""
    raw(trimsec="[3:22,4:30]", biassec=OVERSCAN).write(tmp_path / "flat.fits")
    boxes = {"[1:12,1:30]": 1.0, "[13:34,1:14]": 1.5, "[13:34,15:30]": 2.0}
    how = dict(gain=boxes, read_noise=boxes, saturation=boxes | {"[1:12,1:30]": 330})
    frame, = opened(tmp_path / "flat.fits", **how)
    whole = frame.load().section(slice(None))
    for rows in (slice(0, 1), slice(5, 20), slice(10, 27)):
        part = pickle.loads(pickle.dumps(frame.part(rows)))
        for found, expected in zip(part.load().section(slice(None)), whole, strict=True):
            if expected is not None:
                np.testing.assert_array_equal(found, expected[rows])
        expected = frame.noise.read_noise.image()[rows]
        np.testing.assert_array_equal(part.noise.read_noise.image(), expected)
    assert len(pickle.dumps(frame.part(slice(0, 9)))) < 10_000


# ---------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("gain", "header"),
    [
        (1.6, {}),
        (1.6 * u.electron / u.adu, {}),
        ("GAIN", {"GAIN": 1.6}),
        ("gain", {"GAIN": " 1.6 "}),
        ("HIERARCH ESO DET OUT1 CONAD", {"ESO DET OUT1 CONAD": 1.6}),
        ("ESO DET OUT1 CONAD", {"ESO DET OUT1 CONAD": 1.6}),
        (ccdproc.Keyword("GAIN"), {"GAIN": 1.6}),
        (ccdproc.Keyword("GAIN", unit=u.electron / u.adu), {"GAIN": 1.6}),
        (ccdproc.Keyword("GAIN", unit="electron / adu"), {"GAIN": 1.6}),
        (ccdproc.Keyword("GAIN", value=1.6 * u.electron / u.adu), {}),
    ],
)
@pytest.mark.filterwarnings("ignore:Keyword name .* is greater than 8")
def test_gains(gain, header, tmp_path):
    ccd = CCDData(np.ones((3, 4)), unit="adu", header=fits.Header(list(header.items())))
    ccd.write(tmp_path / "flat.fits")
    for item in (ccd, tmp_path / "flat.fits"):
        frame, = opened(item, gain=gain, read_noise=4)
        assert frame.noise == (1.6, 4.0)
        assert frame.unit == u.adu


@pytest.mark.parametrize(
    ("how", "header", "message"),
    [
        ({"gain": "GIAN"}, {"GAIN": 1}, "gain is 'GIAN'.*in the header of frame 0.*mean 'GAIN'"),
        ({"gain": "GAIN"}, {"GAIN": "low"}, "frame 0 has GAIN = 'low', which gain names"),
        ({"gain": "GAIN"}, {"GAIN": True}, "frame 0 has GAIN = True"),
        ({"gain": "GAIN"}, {"GAIN": 0}, "GAIN of frame 0, which gain names, is 0.*positive"),
        ({"read_noise": "RN"}, {"RN": -1}, "RN of frame 0, which read_noise names, is -1"),
        ({"saturation": "SAT"}, {"SAT": 0}, "SAT of frame 0, which saturation names, is 0"),
        ({"gain": {"[1:2,1:3]": 1}}, {}, r"gain for frame 0: \[1:2,1:3\] leave out 6 pixels"),
        ({"gain": {"[1:3,1:3]": 1, "[3:4,1:3]": 2}}, {}, r"\[1:3,1:3\] and \[3:4,1:3\] overlap"),
        ({"gain": {"[1:5,1:3]": 1}}, {}, "section of gain for frame 0 is .*within"),
        ({"gain": {"[1:4,1:3]": 0}}, {}, r"gain of \[1:4,1:3\] is 0, expected a positive number"),
    ],
)
def test_wrong_numbers(how, header, message):
    ccd = CCDData(np.ones((3, 4)), unit="adu", header=header)
    with pytest.raises(ValueError, match=message):
        opened(ccd, **{"gain": 1, "read_noise": 1} | how)


def test_gains_that_differ():
    frames = [CCDData(np.ones((3, 4)), unit="adu", header={"GAIN": g}) for g in (1.5, 1.6)]
    with pytest.raises(ValueError, match="frame 1 has gain 1.6, but frame 0 1.5"):
        opened(*frames, gain="GAIN", read_noise=3)


def test_regions_make_electrons_and_saturation_is_that_of_what_was_written():
    ccd = raw(trimsec=LIGHT, biassec=OVERSCAN)
    gain = {"[1:12,1:30]": 1.0, "[13:34,1:30]": "RIGHT"}
    ccd.header["RIGHT"] = 1.5
    frame, = opened(ccd, gain=gain, read_noise={"[1:12,:]": 3, "[13:34,:]": 4}, saturation=340)
    section = frame.load().section(slice(None))
    factor = np.where(np.arange(20) < 10, 1, 1.5)
    zero = np.median(ccd.data[:, 22:], axis=1, keepdims=True)
    np.testing.assert_allclose(section.data, (ccd.data[:, 2:22] - zero) * factor, atol=1e-3)
    np.testing.assert_array_equal(section.saturated, ccd.data[:, 2:22] >= 340)
    np.testing.assert_array_equal(section.good, ~section.saturated)
    assert frame.unit == u.electron and frame.noise.gain == 1
    np.testing.assert_array_equal(frame.noise.read_noise.image()[0], [3] * 10 + [4] * 10)


def test_regions_of_rows():
    boxes = Box(slice(0, 2), slice(0, 2)), Box(slice(2, 4), slice(0, 2))
    regions = Regions((4, 2), boxes, (1, 2))
    assert regions.part(slice(1, 3)).image().tolist() == [[1, 1], [2, 2]]
    assert regions.part(slice(2, 4)).image().tolist() == [[2, 2], [2, 2]]


# ---------------------------------------------------------------------- amplifiers


def mef(path, amplifiers, **primary):
    """A file of extensions: pixels and cards of each."""
    hdus = fits.HDUList([fits.PrimaryHDU(header=fits.Header(list(primary.items())))])
    for i, (data, cards) in enumerate(amplifiers, start=1):
        header = fits.Header({"BUNIT": "adu"} | cards)
        hdus.append(fits.ImageHDU(np.asarray(data, dtype="f4"), header, name=f"AMP{i}"))
    hdus.writeto(path)
    return path


def halves(left="[1:4,1:3]", right="[8:5,1:3]", **cards):
    """Left half, and right half as it is read from the other end; each has its own gain."""
    image = np.arange(24.0).reshape(3, 8)
    return [
        (image[:, :4], {"DETSEC": left, "GAIN": 1.0, "RDNOISE": 3.0} | cards),
        (image[:, :3:-1] / 2, {"DETSEC": right, "GAIN": 2.0, "RDNOISE": 4.0} | cards),
    ]


def changed(amplifiers, keyword, value=None):
    """The second amplifier with another card, or without it."""
    _, cards = amplifiers[1]
    cards.pop(keyword, None)
    if value is not None:
        cards[keyword] = value
    return amplifiers


def test_extensions_may_be_in_another_order_in_each_file(tmp_path):
    """A frame is the same, and its header that of the first amplifier on the detector."""
    one, = opened(mef(tmp_path / "one.fits", halves()))
    other, = opened(mef(tmp_path / "other.fits", halves()[::-1]))
    np.testing.assert_array_equal(pixels(other), pixels(one))
    assert other.header["GAIN"] == one.header["GAIN"] == 1
    Readout().open([tmp_path / "one.fits", tmp_path / "other.fits"])


def test_single_pixels_are_those_of_the_whole_frame(tmp_path):
    frame, = opened(mef(tmp_path / "flat.fits", halves()), saturation=9)
    loaded = frame.load()
    whole = loaded.section(slice(None))
    rows, columns = np.array([0, 1, 2, 2]), np.array([7, 4, 3, 0])
    for where in ((rows, columns), (slice(0, 3, 2), slice(1, 8, 3))):
        for found, expected in zip(loaded.section(where), whole, strict=True):
            if expected is not None:
                np.testing.assert_array_equal(found, expected[where])


@pytest.mark.parametrize("reading", [{}, {"hdu": [1, 2]}, {"hdu": ["AMP2", "AMP1"]}])
def test_amplifiers_are_assembled(tmp_path, reading):
    path = mef(tmp_path / "flat.fits", halves(), EXPTIME=3.0)
    frame, = opened(path, reading=reading)
    found = frame.ccddata()
    np.testing.assert_array_equal(found.data, np.arange(24.0).reshape(3, 8))
    assert found.unit == u.electron and found.header["AMPLIFS"] == 2
    assert frame.header["EXPTIME"] == 3 and "DETSEC" not in found.header
    assert frame.name == str(path)
    assert frame.noise.gain == 1
    assert frame.noise.read_noise.image()[0].tolist() == [3] * 4 + [4] * 4


def test_amplifiers_above_each_other_binned_and_with_overscan(tmp_path):
    image = np.arange(48.0).reshape(6, 8)
    tiles = []
    for rows, y in ((image[:3], "1:3"), (image[:2:-1], "6:4")):
        zero = np.full((3, 2), 100.0)
        cards = {"CCDSEC": f"[101:116,{y}]", "CCDSUM": "2 1", "DATASEC": "[1:8,1:3]",
                 "BIASSEC": "[9:10,1:3]", "TRIMSEC": "[1:8,1:3]", "GAIN": 1}
        tiles.append((np.hstack([rows + 100, zero]), cards))
    frame, = opened(mef(tmp_path / "flat.fits", tiles))
    np.testing.assert_array_equal(pixels(frame), image)
    for rows in (slice(0, 2), slice(1, 5), slice(4, 6)):
        np.testing.assert_array_equal(pixels(frame.part(rows)), image[rows])
    assert frame.noise is None  # without RDNOISE


def test_one_amplifier_may_be_chosen(tmp_path):
    frame, = opened(mef(tmp_path / "flat.fits", halves()), reading={"hdu": 2})
    assert frame.shape == (3, 4) and frame.unit == u.adu


def test_one_gain_of_all_amplifiers(tmp_path):
    with pytest.warns(UserWarning, match="gain is 1.5, but the amplifiers .* have GAIN 1.0, 2.0"):
        frame, = opened(mef(tmp_path / "flat.fits", halves()), gain=1.5, read_noise=3)
    assert frame.unit == u.adu and frame.noise.gain == 1.5


@pytest.mark.parametrize(
    ("amplifiers", "reading", "message"),
    [
        (halves(right="[7:4,1:3]"), {}, "amplifiers: .*HDU 1 and .*HDU 2 overlap"),
        (halves(right="[9:6,1:3]"), {}, "leave out 3 pixels"),
        (halves(right="[9:5,1:3]"), {}, r"flat.fits HDU 2 has 3 rows and 4 columns of light"),
        (halves(right="[8:5]"), {}, r"DETSEC of .*flat.fits HDU 2 is '\[8:5\]', expected a FITS"),
        (halves(right=""), {}, "HDU 2 has neither DETSEC nor CCDSEC"),
        (changed(halves(), "GAIN"), {}, "gain is 'GAIN', .* header of .*flat.fits HDU 2, which"),
        (changed(halves(), "RDNOISE"), {}, "read_noise is 'RDNOISE', .*flat.fits HDU 2"),
        (changed(halves(), "GAIN", "high"), {}, "flat.fits HDU 2 has GAIN = 'high'"),
        (changed(halves(), "BUNIT", "electron"), {}, "HDU 2 has unit electron, but .*HDU 1 adu"),
        (halves(), {"hdu": [1, "AMP3"]}, "'AMP3' not found among .*did you mean 'AMP2'"),
        (halves(), {"hdu": (1, 2)}, r"extension \(1, 2\) not found among .*several with a list"),
        (halves(CCDSUM="two"), {}, "CCDSUM of .*flat.fits HDU 1 is 'two', expected two numbers"),
        ([(np.ones((3, 4)), {})] * 2, {}, "holds several detectors, in the extensions 1 AMP1, 2"),
        ([(np.ones((3, 4)), {})] * 2, {"hdu": [1, 2]}, "HDU 1 has neither DETSEC nor CCDSEC"),
        (halves(), {"hdu": [1, 7]}, "flat.fits"),
    ],
)
def test_wrong_amplifiers(tmp_path, amplifiers, reading, message):
    with pytest.raises((ValueError, OSError), match=message):
        opened(mef(tmp_path / "flat.fits", amplifiers), reading=reading)


LEFT, RIGHT = ("[3:12,2:29]", "[1:2,1:30]"), ("[17:26,2:29]", "[29:34,1:30]")


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("numbers", [{}, {"gain": {LEFT[0]: 1, RIGHT[0]: 2}, "read_noise": 3}])
def test_amplifiers_of_one_image_have_an_overscan_each(tmp_path, order, numbers):
    ccd = raw()
    ccd.write(tmp_path / "flat.fits")
    oscan = dict([LEFT, RIGHT][::order])
    expected = np.hstack([
        ccd.data[1:29, 2:12] - np.median(ccd.data[1:29, :2], axis=1, keepdims=True),
        ccd.data[1:29, 16:26] - np.median(ccd.data[1:29, 28:], axis=1, keepdims=True),
    ])
    if numbers:
        expected[:, 10:] *= 2
    for one in (ccd, tmp_path / "flat.fits"):
        frame, = opened(one, oscan=oscan, **numbers)
        found = frame.ccddata()
        np.testing.assert_allclose(found.data, expected, atol=1e-3)
        assert found.unit == (u.electron if numbers else u.adu)
        assert found.header["AMPLIFS"] == 2
        assert found.header["SUBOSCAN"] == "[1:2,1:30] median of rows"
        assert found.header["TRIMIM"] == "[3:12,2:29]"


def test_each_amplifier_of_one_image_has_one_read_noise():
    numbers = dict(gain=1, read_noise={"[1:14,:]": 3, "[15:34,:]": 4})
    frame, = opened(raw(), oscan=dict([LEFT, RIGHT]), **numbers)
    np.testing.assert_array_equal(frame.noise.read_noise.image()[0], [3] * 10 + [4] * 10)
    numbers["read_noise"] = {"[1:6,:]": 3, "[7:34,:]": 4}
    with pytest.raises(ValueError, match=r"read_noise has several sections in \[3:12,2:29\] of fr"):
        opened(raw(), oscan=dict([LEFT, RIGHT]), **numbers)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ([("[3:12,2:29]", "[1:2,1:40]")], r"oscan for frame 0 is '\[1:2,1:40\]', .*within"),
        ([LEFT, ("[17:26,:]", "[29:34,:]")], "oscan for frame 0 has sections that overlap in part"),
        ([LEFT, ("[17:26,30:30]", "[29:34,:]")], r"amplifiers: .* leave out"),
        ([LEFT, ("[3:12,2:29] ", "[1:2,:]")], r"amplifiers: .* overlap"),
        ([("left", "[1:2,:]")], "oscan for frame 0 is 'left', expected a FITS section"),
    ],
)
def test_wrong_sections_of_amplifiers(sections, message):
    with pytest.raises(ValueError, match=message):
        opened(raw(), oscan=dict(sections))


@pytest.mark.parametrize("sections", [{}, {"[1:2,:]": 300}, {1: "[1:2,:]"}])
def test_sections_of_amplifiers_are_texts(sections):
    with pytest.raises(TypeError, match="expected pairs of FITS sections: for each amplifier"):
        Readout(oscan=sections)


def test_the_light_of_amplifiers_is_told_once(tmp_path):
    with pytest.raises(ValueError, match=r"trim is '\[:,:\]', but oscan already gives the part"):
        Readout(oscan=dict([LEFT]), trim="[:,:]")
    with pytest.raises(ValueError, match="oscan has sections, but the amplifiers of .* are ext"):
        opened(mef(tmp_path / "flat.fits", halves()), oscan=dict([LEFT]))


def test_sections_of_gain_are_those_of_one_image(tmp_path):
    with pytest.raises(ValueError, match="gain has sections, but the amplifiers of .* are ext"):
        opened(mef(tmp_path / "flat.fits", halves()), gain={"[1:4,1:3]": 1}, read_noise=3)


def test_amplifiers_without_gain_are_warned_of(tmp_path):
    amplifiers = halves()
    for _, cards in amplifiers:
        del cards["GAIN"]
    with pytest.warns(UserWarning, match="amplifiers of .*flat.fits have no GAIN"):
        frame, = opened(mef(tmp_path / "flat.fits", amplifiers))
    assert frame.unit == u.adu


def test_amplifiers_without_a_name(tmp_path):
    """As Gemini writes them."""
    path = tmp_path / "flat.fits"
    hdus = [fits.PrimaryHDU()]
    for i in range(2):
        header = fits.Header([("DETSEC", f"[{4 * i + 1}:{4 * i + 4},1:3]"), ("GAIN", 1.0)])
        hdus.append(fits.ImageHDU(np.full((3, 4), i, dtype="f4"), header))
    fits.HDUList(hdus).writeto(path)
    frame, = opened(path, gain="GAIN", read_noise=4)
    np.testing.assert_array_equal(pixels(frame), np.repeat([[0] * 4 + [1] * 4], 3, axis=0))


def test_detectors_without_a_name(tmp_path):
    path = tmp_path / "flat.fits"
    images = [fits.ImageHDU(np.ones((3, 4), dtype="f4")) for _ in range(2)]
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(path)
    with pytest.raises(ValueError, match="several detectors, in the extensions 1, 2; select one"):
        opened(path)


def test_overscan_of_hds():
    ccd = raw()
    ccd.header.update({"H_OSMIN1": 23, "H_OSMAX1": 34})
    with pytest.warns(AstropyUserWarning, match="has H_OSMIN1 23, H_OSMAX1 34, but no BIASSEC"):
        opened(ccd)


def test_companions_of_an_image_are_no_detectors(tmp_path):
    data = np.ones((3, 4), dtype="f4")
    fits.HDUList([
        fits.PrimaryHDU(), fits.ImageHDU(data, fits.Header([("BUNIT", "adu")]), name="SCI"),
        fits.ImageHDU(data, name="ERR"), fits.ImageHDU(data.astype("u1"), name="MASK"),
    ]).writeto(tmp_path / "flat.fits")
    assert opened(tmp_path / "flat.fits")[0].shape == (3, 4)


# ---------------------------------------------------------------------- what contradicts itself


@pytest.mark.parametrize("trim", ["[3:44,1:60]", "[1:60,3:22]"])
def test_a_section_that_is_of_neither_the_frame_nor_its_light_is_warned_of(trim):
    """As where the frame is binned, or columns and rows are exchanged."""
    frame = raw(trimsec=trim, biassec=OVERSCAN)
    with pytest.warns(UserWarning, match=rf"TRIMSEC of frame 0 is \{trim}, which neither lies"):
        found, = opened(frame)
    np.testing.assert_array_equal(pixels(found), frame.data)
    found, = opened(frame, trim=False, oscan=False)  # as the warning says
    assert found.shape == frame.shape


def test_frames_of_another_read_noise_are_refused():
    frames = [raw(gain=1, rdnoise=noise) for noise in (4, 4.1, 12)]
    opened(*frames[:2], gain="GAIN", read_noise="RDNOISE")
    message = "frame 2 has read_noise 12, but frame 0 4; expected the same"
    with pytest.raises(ValueError, match=message):
        opened(*frames, gain="GAIN", read_noise="RDNOISE")


def test_sections_of_gain_are_texts():
    with pytest.raises(TypeError, match="section of gain for frame 0 is 1, expected"):
        opened(raw(), gain={1: 1.0, 2: 1.5}, read_noise=3)


@pytest.mark.parametrize(("axis", "n"), [("X", 34), ("Y", 30)])
def test_a_prescan_whose_place_is_not_told_is_warned_of(axis, n):
    frame = raw()
    frame.header[f"ESO DET OUT1 PRSC{axis}"] = 2
    frame.header[f"ESO DET OUT1 OVSC{axis}"] = 12
    with pytest.warns(UserWarning, match="2 pixels of prescan and 12 of overscan .*give oscan="):
        opened(frame)
    opened(frame, trim=False, oscan=False)
    opened(frame, trim=LIGHT, oscan=OVERSCAN)
    frame.header[f"ESO DET OUT1 N{axis}"] = n  # all of it is light
    opened(frame)


# ---------------------------------------------------------------------- other headers


@pytest.mark.parametrize(("cards", "said"), [
    ({"PREPIX": 2, "POSTPIX": 10}, r"2 pixels of prescan and 10 of overscan \(PREPIX, POSTPIX\)"),
    ({"COVER": 12, "ROVER": 0}, r"0 pixels of prescan and 12 of overscan \(COVER\)"),
    ({"PRELINE": 0, "POSTLINE": 10}, r"10 of overscan \(POSTLINE\)"),
])
def test_widths_of_the_overscan_at_keck_and_lick(cards, said):
    ccd = raw()
    ccd.header.update(cards)
    with pytest.warns(AstropyUserWarning, match=said):
        opened(ccd)
    ccd.header["TRIMIM"] = True  # by ccdproc.trim_image
    opened(ccd)


@pytest.mark.parametrize("trimsec", ["UNKNOWN", "[0:0,0:0]", "[1:34,1:30]"])
def test_datasec_counts_where_trimsec_tells_nothing(trimsec):
    frame, = opened(raw(trimsec=trimsec, datasec=LIGHT, biassec=OVERSCAN))
    expected, = opened(raw(trimsec=LIGHT, biassec=OVERSCAN))
    np.testing.assert_array_equal(pixels(frame), pixels(expected))


@pytest.mark.parametrize("trimsec", [{}, {"trimsec": "[1:34,1:30]"}])
def test_an_overscan_that_is_not_cut_off_is_warned_of(trimsec):
    with pytest.warns(AstropyUserWarning, match=r"\[23:34,1:30\] of frame 0 is .* not cut off"):
        opened(raw(biassec=OVERSCAN, **trimsec))
    opened(raw(biassec=OVERSCAN, **trimsec), trim=False)  # said, so meant


@pytest.mark.parametrize("light", [{}, {"datasec": "[3:22,1:30]"}])
@pytest.mark.parametrize("card", ["BIASSEC1", "BSEC11", "BIASSECA", "OVERSCAN", "AMP BIASSEC"])
def test_an_overscan_by_another_name_is_warned_of(card, light):
    frame = raw(**light, **{card: OVERSCAN})
    with pytest.warns(AstropyUserWarning, match=f"{card} .* no overscan is subtracted"):
        opened(frame)
    opened(frame, oscan=False)  # said, so meant


@pytest.mark.parametrize("header", [
    {"biassec1": OVERSCAN, "trimsec": "[13:46,1:30]"},  # trimmed already
    {"biassec1": "[35:40,1:30]"},
    {"biassec1": OVERSCAN, "trimim": "ccd=<CCDData>"},
    {"overscan": "median", "biassec2": "UNKNOWN"},
])
def test_an_overscan_that_was_cut_off_or_is_none_is_not_warned_of(header):
    opened(raw(**header))  # warnings are errors
