# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Descriptions of instruments: each that is shipped reduces raw frames of its instrument."""

import inspect
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from ccdproc_echelle import (
    EchelleOrderTable,
    Instrument,
    MasterFlat,
    instrument_names,
    make_master_flat,
    reduce_night,
)
from ccdproc_echelle.cli import main
from ccdproc_echelle.combining import CombineSettings
from ccdproc_echelle.frames import Readout
from ccdproc_echelle.simulation import EchelleSimulation, RawLayout

SIZE = 128
READ_NOISE = 4.0


def ends(section):
    """x1, x2, y1, y2 of a FITS section."""
    return [int(number) for number in re.findall(r"\d+", section)]


# ---------------------------------------------------------------------- frames as they are written


def amplifiers_of(instrument):
    """Sections of the light and of the overscan of each, if they are in one image."""
    oscan = instrument.keywords.get("oscan")
    return oscan if isinstance(oscan, dict) else {}


def layout_of(instrument):
    """
    What its description says of its files, around an image of SIZE x SIZE.

    Infrared detectors have a border of reference pixels, as wide as the rows that are cut off below
    the light; others have the columns before and after it. Where the headers give the sections, the
    file does not, and any numbers will do. Other detectors in the file have twice the gain.
    """
    told, facts = instrument.keywords, instrument.facts
    names = {"EXPTIME": told["exposure_key"]}
    names |= {
        card: told[key] for card, key in (("GAIN", "gain"), ("RDNOISE", "read_noise"))
        if isinstance(told.get(key), str)
    }
    cards = {name: "same" for name in told["setup_keywords"]} if "setup_keywords" in told else {}
    options = dict(keywords=names, cards=cards, sections=False, bias_drift=20 * has_overscan(told))
    if told.get("hdu", 0) > 0:
        gain = gain_of(instrument)
        gains = [gain if hdu == told["hdu"] else 2 * gain for hdu in facts["hdus"]]
        options |= dict(extensions=True, detectors=True, gains=gains)
    if amplifiers_of(instrument):
        return RawLayout(amplifier_sections=small_sections(instrument)["oscan"], **options)
    if "section_keywords" in facts:
        options["sections"] = facts["section_keywords"]
        return RawLayout(prescan=6, overscan=32, **options)
    x1, x2, y1, y2 = ends(told.get("trim", f"[1:{SIZE},1:{SIZE}]"))
    if y1 > 1:
        return RawLayout(reference_pixels=y1 - 1, **options)
    last = max(ends(told["oscan"])[1], x2) if has_overscan(told) else x2
    last = facts.get("raw_shape", [None, last])[1]
    return RawLayout(prescan=x1 - 1, overscan=last - x2, **options)


def has_overscan(keywords):
    return bool(keywords.get("oscan"))


def small_sections(instrument):
    """Its sections around the small image: where they begin and how wide the overscan is, stay."""
    told = instrument.keywords
    if amplifiers := amplifiers_of(instrument):
        return {"oscan": shrunk(amplifiers)}
    if "trim" not in told:
        return {}
    x1, x2, y1, _ = ends(told["trim"])
    x1 = y1 if y1 > 1 else x1
    found = {"trim": f"[{x1}:{x1 + SIZE - 1},{y1}:{y1 + SIZE - 1}]"}
    if has_overscan(told):
        first, last, *_ = ends(told["oscan"])
        shift = x1 + SIZE - 1 - x2 if first > x2 else 0
        found["oscan"] = f"[{first + shift}:{last + shift},1:{SIZE}]"
    return found


def shrunk(amplifiers):
    """The sections of amplifiers with less light; all that is between them stays as wide."""
    spans = [
        sorted({tuple(ends(light)[i:i + 2]) for light in amplifiers}) for i in (0, 2)
    ]

    def moved(place, axis):
        lost = 0
        for first, last in spans[axis]:
            too_long = last - first + 1 - SIZE // len(spans[axis])
            lost += max(0, min(place - first, too_long))
        return place - lost

    def section(text):
        x1, x2, y1, y2 = (moved(place, i // 2) for i, place in enumerate(ends(text)))
        return f"[{x1}:{x2},{y1}:{y2}]"

    return {section(light): section(overscan) for light, overscan in amplifiers.items()}


def gain_of(instrument):
    gain = instrument.keywords.get("gain", "in the header, or unknown")
    return 1.5 if isinstance(gain, str) else gain


def simulated(instrument):
    axis = instrument.keywords.get("dispersion_axis", 1)
    return (
        EchelleSimulation(shape=(SIZE, SIZE), n_orders=3, seed=3, dispersion_axis=axis)
        .with_level_spread(0.3).with_bias(300)
        .with_noise(gain=gain_of(instrument), read_noise=READ_NOISE)
    )


def of_small_frames(name):
    """The description with sections for a small image, and the read noise of the simulation."""
    instrument = Instrument.read(name)
    told = dict(instrument.keywords) | small_sections(instrument)
    if not isinstance(told.get("read_noise", ""), str):
        told["read_noise"] = READ_NOISE
    return replace(instrument, keywords=told)


@pytest.mark.parametrize("name", instrument_names())
def test_master_of_its_raw_frames_is_the_truth(tmp_path, name):
    simulation = simulated(Instrument.read(name))
    layout = layout_of(Instrument.read(name))
    flats, darks, biases = simulation.write(tmp_path, 4, 2, 3, layout=layout)

    master = make_master_flat(
        flats, bias=biases, dark=darks, instrument=of_small_frames(name), scattered_light=None
    )

    truth, told = simulation.truth, Instrument.read(name).keywords
    sections = {"oscan", "trim", "section_keywords"} & {*told, *Instrument.read(name).facts}
    raw_shape = fits.getdata(flats[0], told.get("hdu", 0)).shape
    assert (raw_shape != (SIZE, SIZE)) == bool(sections)
    assert master.flat.shape == (SIZE, SIZE)
    assert ("SUBOSCAN" in master.flat.header) == has_overscan(told)
    assert master.orders.dispersion_axis == truth.orders.dispersion_axis
    assert np.nanmax(abs(master.orders.center() - truth.orders.center())) < 0.5
    ratios = master.levels["level"].value / truth.levels(len(flats))
    assert np.ptp(ratios) / ratios.mean() < 1e-3
    inner = truth.orders.inner_mask(8)
    data, expected = master.flat.data[inner].astype(float), truth.flat[inner]
    expected = expected * (data * expected).sum() / (expected**2).sum()
    pulls = (data - expected) / master.flat.uncertainty.array[inner]
    assert pulls.std() == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("name", instrument_names())
def test_what_is_shipped_fits_together(name):
    instrument = Instrument.read(name)
    assert instrument.name == name
    assert instrument.text.startswith("# source: ")
    told = instrument.keywords
    assert "exposure_key" in told
    unsettled = {"gain_by_read_mode", "read_noise_variance"} & instrument.facts.keys()
    assert {"gain", "read_noise"} <= told.keys() or unsettled
    assert told.get("hdu", 0) in instrument.facts.get("hdus", [0])
    parts = amplifiers_of(instrument)
    if has_overscan(told) and not parts:
        parts = {told["trim"]: told["oscan"]}
    for light, overscan in parts.items():
        (x1, x2, *rows), (o1, o2, *others) = ends(light), ends(overscan)
        assert o2 < x1 or o1 > x2
        assert rows == others or (len(parts) > 1 and others[0] <= rows[0] < rows[1] <= others[1])
    shape = instrument.facts.get("raw_shape")
    for section in (*parts, *parts.values(), told.get("trim")):
        if shape is not None and section is not None:
            assert ends(section)[1] <= shape[1] and ends(section)[3] <= shape[0]


@pytest.mark.parametrize(
    "name", [n for n in instrument_names() if "raw_shape" in Instrument.read(n).facts]
)
def test_sections_as_shipped_leave_the_light_of_a_frame_of_full_size(tmp_path, name):
    """Columns count up, so that those that are kept and those of the zero point are known."""
    instrument, path = Instrument.read(name), tmp_path / "flat.fits"
    told, raw_shape = instrument.keywords, instrument.facts["raw_shape"]
    columns = np.arange(raw_shape[1], dtype=np.int16)
    fits.writeto(path, np.broadcast_to(columns, raw_shape))
    frame, = Readout(oscan=told.get("oscan"), trim=told.get("trim")).open([path], unit="adu")
    parts = amplifiers_of(instrument) or {told["trim"]: told.get("oscan")}
    expected = {}  # in each of the rows of amplifiers
    for (x1, x2, y1, y2), overscan in sorted((ends(p), o) for p, o in parts.items()):
        zero = np.mean(ends(overscan)[:2]) - 1 if overscan else 0
        expected.setdefault((y1, y2), []).append(columns[x1 - 1:x2] - zero)
    rows = [last - first + 1 for first, last in sorted(expected)]
    of_rows = [np.concatenate(expected[key]) for key in sorted(expected)]
    assert frame.shape == (sum(rows), len(of_rows[0]))
    for i, values in zip((0, -1), (of_rows[0], of_rows[-1]), strict=True):
        found = frame.part(slice(i % frame.shape[0], i % frame.shape[0] + 1)).load()
        np.testing.assert_array_equal(found.section(slice(0, 1)).data[0], values)


def test_frames_of_full_size_are_trimmed_as_shipped(tmp_path):
    """The sections as they are, on bands of light beside an overscan."""
    path = tmp_path / "flat.fits"
    image = np.full((1024, 2176), 100, dtype=np.int16)
    image[:, :2048] += 1000 * (np.arange(1024, dtype=np.int16)[:, None] // 100 % 2)
    fits.writeto(path, image)
    output = tmp_path / "orders.ecsv"
    assert main(["trace", str(path), "--instrument", "magellan-mage", "-o", str(output)]) == 0
    orders = EchelleOrderTable.read(output)
    assert orders.shape == (1024, 2048)
    assert orders.dispersion_axis == 1


# ---------------------------------------------------------------------- what wins


OWN = """\
hdu = 1
dispersion_axis = 1
window = 8
gain = 1.5
read_noise = 4
scattered_light = "master"
setup_keywords = ["LAMP"]

[facts]
telescope = "mine"
"""

OF_OWN = (
    EchelleSimulation(shape=(SIZE, SIZE), n_orders=3, seed=3)
    .with_bias(300).with_noise(gain=1.5, read_noise=4)
)


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(OWN)
    return path


@pytest.fixture
def raw(tmp_path):
    """Flats and bias frames, with the image in an extension."""
    layout = RawLayout(extensions=True, sections=False, cards={"LAMP": "QTH"})
    flats, _, biases = OF_OWN.write(tmp_path, 3, 0, 3, layout=layout)
    return {"img_list": flats, "bias": biases}


@pytest.fixture
def command(raw, own):
    """The arguments of a command that makes a master of them, but for the output."""
    flats, biases = (list(map(str, paths)) for paths in raw.values())
    return ["flat", *flats, "--bias", *biases, "-o"]


def test_a_file_is_read_with_its_facts(own):
    instrument = Instrument.read(own)
    assert (instrument.name, instrument.facts) == ("mine", {"telescope": "mine"})
    assert instrument.keywords["window"] == 8 and "facts" not in instrument.keywords
    assert instrument.text == OWN
    assert Instrument.read(str(own)) == instrument


@pytest.mark.parametrize("kind", [str, Path, Instrument.read])
def test_all_its_keywords_are_taken(own, raw, kind):
    told = make_master_flat(**raw, instrument=kind(own)).provenance
    assert told["instrument"] == "mine"
    assert (told["window"], told["gain"], told["hdu"]) == ("8", "1.5", "1")
    assert (told["scattered_light"], told["setup_keywords"]) == ("master", "[LAMP]")


def test_keywords_of_the_call_win_also_defaults(own, raw):
    given = dict(window=10, gain=None, read_noise=None, scattered_light=None)
    told = make_master_flat(**raw, instrument=own, **given).provenance
    assert (told["window"], told["gain"], told["scattered_light"]) == ("10", "None", "None")
    assert told["setup_keywords"] == "[LAMP]"


def test_options_win(own, command, tmp_path, capsys):
    path, instrument = tmp_path / "m.fits", ["--instrument", str(own)]
    options = ["--window", "10", "--scattered-light", "none"]
    assert main([*command, str(path), *instrument, *options]) == 0
    told = MasterFlat.read(path).provenance
    assert (told["window"], told["scattered_light"]) == ("10.0", "None")
    assert (told["gain"], told["hdu"], told["reject"]) == ("1.5", "1", "warn")
    assert main([*command, str(tmp_path / "n.fits"), *instrument, "--hdu", "7"]) == 1
    assert "flat_01.fits" in capsys.readouterr().err


def test_dispersion_axis_is_that_of_tables_that_do_not_tell(own, command, tmp_path):
    table = tmp_path / "samples.txt"
    OF_OWN.truth.orders.write(table, format="samples")
    arguments = [*command, str(tmp_path / "m.fits"), "--orders", str(table)]
    assert main([*arguments, "--hdu", "1"]) == 1
    assert main([*arguments, "--instrument", str(own)]) == 0


def test_order_tables_are_for_amplifiers_put_together(own, tmp_path, monkeypatch):
    """In the command, which finds the shape of a table that does not tell, and in a night."""
    monkeypatch.setattr("ccdproc_echelle.recipe.night.work._draw", lambda *ignored: None)
    sections = {"[1:64,1:128]": "[65:80,1:128]", "[97:160,1:128]": "[81:96,1:128]"}
    layout = RawLayout(amplifier_sections=sections, bias_drift=3)
    (raw := tmp_path / "raw").mkdir()
    flats, _, biases = OF_OWN.write(raw, 3, 0, 3, layout=layout)
    oscan = "".join(f'"{light}" = "{overscan}"\n' for light, overscan in sections.items())
    own.write_text(f"dispersion_axis = 1\nscattered_light = 'none'\n[oscan]\n{oscan}")
    table = tmp_path / "samples.txt"
    OF_OWN.truth.orders.write(table, format="samples")
    arguments = [*map(str, flats), "--bias", *map(str, biases), "--instrument", str(own)]
    output = str(tmp_path / "m.fits")
    assert main(["flat", *arguments, "--orders", str(table), "-o", output]) == 0
    setups = reduce_night(raw, tmp_path / "night", instrument=own, orders=OF_OWN.truth.orders)
    master = MasterFlat.read(next((tmp_path / "night").rglob("*.fits")))
    assert MasterFlat.read(output).orders.shape == master.orders.shape == (SIZE, SIZE)
    assert list(master.orders.order_numbers) == list(OF_OWN.truth.orders.order_numbers)
    assert list(setups["status"]) == ["made"]


def test_files_that_it_names_lie_beside_it(own):
    own.write_text('hdu = 1\nbad_pixel_mask = "bad.fits"\n')
    fits.writeto(own.parent / "bad.fits", np.eye(SIZE, dtype=np.uint8))
    assert Instrument.read(own).keywords["bad_pixel_mask"] == str(own.parent / "bad.fits")


def test_how_orders_are_traced_is_of_no_matter_where_they_are_given(own):
    simulation = EchelleSimulation(shape=(128, 144), n_orders=3)
    own.write_text("trace_keywords = {n_orders = 1}\nscattered_light = 'none'\n")
    flats, orders = simulation.flats(3), simulation.truth.orders
    assert len(make_master_flat(flats, orders, instrument=own).orders) == 3
    with pytest.raises(TypeError, match="only to orders that are traced"):
        make_master_flat(flats, orders, instrument=own, trace_keywords={"n_orders": 2})


# ---------------------------------------------------------------------- what may be told


def test_every_keyword_of_the_recipe_is_known_or_no_matter_of_an_instrument(own):
    """Frames, orders and how the work is done are not; a model and flags cannot be written."""
    others = {
        "img_list", "orders", "instrument", "bias", "dark", "oscan_model", "mask_flags",
        "executor", "progress_bar", "keywords", "mem_limit",
        "combine_uncertainty_function", "overwrite_output", "array_package",
    }
    values = {name: "{}" for name in ("trace_keywords", "edge_keywords", "sensitivity_keywords")}
    values |= {name: "{rows = 1}" for name in ("limits",)} | {"bad_pixel_mask": '"/bad.fits"'}
    names = {*inspect.signature(make_master_flat).parameters, *CombineSettings.__annotations__}
    assert others <= names
    for name in {*names, "hdu", "unit"} - {"setup_keywords", "dispersion_axis"}:
        own.write_text(f"{name} = {values.get(name, 1)}\n")
        if name in others:
            with pytest.raises(ValueError, match=f"unknown key '{name}'"):
                Instrument.read(own)
        else:
            assert list(Instrument.read(own).keywords) == [name]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gian = 1", r"unknown key 'gian' in .*mine.toml; did you mean 'gain'\?"),
        ("colour = 1", r"unknown key 'colour' in .*mine.toml"),
        ("gain 1", "mine.toml is not a TOML file"),
        ("facts = 1", r"facts in .*mine.toml is 1, expected a table"),
        ("dispersion_axis = 2", r"dispersion_axis in .*mine.toml is 2, expected 0 or 1"),
        ("dispersion_axis = true", r"dispersion_axis in .*mine.toml is True, expected 0 or 1"),
        ('setup_keywords = "LAMP"', r"setup_keywords in .*mine.toml is 'LAMP', expected a list"),
    ],
)
def test_a_file_that_is_wrong_is_refused_by_name(own, text, message):
    own.write_text(text)
    with pytest.raises(ValueError, match=message):
        make_master_flat([], instrument=own)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('window = "wide"', "window in .*mine.toml is 'wide', expected a number"),
        ("window = true", "window in .*mine.toml is True, expected a number"),
        ('check_table = "no"', "check_table in .*mine.toml is 'no', expected True or False"),
        ("edge_keywords = 3", "edge_keywords in .*mine.toml is 3, expected keywords with"),
        ("bad_pixel_mask = 3", "bad_pixel_mask in .*mine.toml is 3, expected a file name"),
    ],
)
def test_a_value_of_another_kind_is_refused_by_name(own, text, message):
    own.write_text(text)
    with pytest.raises(TypeError, match=message):
        make_master_flat([], instrument=own)


def test_what_is_no_text_is_no_description(own):
    own.write_bytes(b"window = 3 # \xff")
    with pytest.raises(ValueError, match="mine.toml is not a TOML file"):
        Instrument.read(own)


def test_an_unknown_name_is_refused_with_the_near_miss():
    with pytest.raises(ValueError, match=r"'SOXS_NIR'; did you mean 'soxs-nir'\?"):
        Instrument.read("SOXS_NIR")
    with pytest.raises(FileNotFoundError):
        Instrument.read("nothing.toml")


# ---------------------------------------------------------------------- the command


def test_the_command_lists_and_shows(capsys, own):
    assert main(["instruments"]) == 0
    assert capsys.readouterr().out.split() == instrument_names()
    for name in ("soxs-nir", str(own)):
        assert main(["instruments", name]) == 0
        assert capsys.readouterr().out == Instrument.read(name).text
    assert main(["instruments", "soxs"]) == 1
    assert f"expected one of {instrument_names()}" in capsys.readouterr().err


def test_the_description_is_not_overwritten(own, raw, capsys):
    flat = str(raw["img_list"][0])
    arguments = ["trace", flat, "--instrument", str(own), "-o", str(own), "--overwrite"]
    assert main(arguments) == 1
    assert "mine.toml" in capsys.readouterr().err
    assert own.read_text() == OWN


def test_descriptions_are_data_of_the_package(pytestconfig):
    found = (pytestconfig.rootpath / "pyproject.toml").read_text(encoding="utf-8")
    assert '"ccdproc_echelle.recipe" = ["descriptions/*.toml"]' in found
