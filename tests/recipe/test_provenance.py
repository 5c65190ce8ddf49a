# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""How a master flat was made, as it tells in memory, in its file and in its header."""

import gzip
import hashlib
import inspect
from collections import OrderedDict
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

import ccdproc
import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.stats import mad_std
from astropy.utils.exceptions import AstropyUserWarning

import ccdproc_echelle
from ccdproc_echelle import EchelleOrderTable, FlatFlag, MasterFlat, make_master_flat, vet_setup
from ccdproc_echelle.combining import CombineSettings
from ccdproc_echelle.recipe import Provenance
from ccdproc_echelle.simulation import EchelleSimulation

SIMULATION = (
    EchelleSimulation(shape=(128, 160), n_orders=3, seed=5)
    .with_noise(gain=1.25, read_noise=4.75)
    .with_bias(200)
)
ORDERS = SIMULATION.truth.orders
USUAL = dict(gain=1.25, read_noise=4.75, scattered_light=None)


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """All that can be an input, as files."""
    folder = tmp_path_factory.mktemp("night")
    flats, darks = SIMULATION.write(folder, 3, 2)
    biases = [folder / "bias_01.fits", folder / "bias_02.fits"]
    for frame, path in zip(SIMULATION.biases(2, raw=True), biases, strict=True):
        frame.write(path)
    ORDERS.write(folder / "orders.ecsv")
    (folder / "limits.yaml").write_text("frames_used: [2, null]\n")
    fits.writeto(folder / "bpm.fits", np.eye(*SIMULATION.shape, dtype="u1"))
    return folder, flats, darks, biases


@pytest.fixture(scope="module")
def master(night):
    folder, flats, darks, biases = night
    return make_master_flat(
        flats, EchelleOrderTable.read(folder / "orders.ecsv"), dark=darks, bias=biases, window=8.5,
        limits=folder / "limits.yaml", bad_pixel_mask=folder / "bpm.fits", **USUAL,
    )


@pytest.fixture(scope="module")
def small():
    return in_memory()


def in_memory(flats=None, **keywords):
    flats = SIMULATION.flats(3, raw=True) if flats is None else flats
    options = dict(dark=SIMULATION.darks(2, raw=True)) | USUAL | keywords
    return make_master_flat(flats, ORDERS, **options)


def with_cards(flats, cards):
    for flat in flats:
        flat.header.update(cards)
    return flats


# ---------------------------------------------------------------------- parameters and versions


def test_every_parameter_is_recorded_whether_given_or_not(small):
    names = set(small.provenance.record["name"])
    call = set(inspect.signature(make_master_flat).parameters) - {"keywords"}
    assert names >= call | {field.name for field in fields(CombineSettings)}
    assert len(names) == len(small.provenance.record)


def test_values_are_those_of_the_call(master):
    found = {name: master.provenance[name] for name in ("gain", "read_noise", "window", "n_passes")}
    assert found == {"gain": "1.25", "read_noise": "4.75", "window": "8.5", "n_passes": "2"}
    assert master.provenance["dark"] == master.provenance["img_list"] == "see INPUTS"


def test_values_of_any_kind():
    given = {
        "gain": (1.25 * u.electron / u.adu, "1.25 electron / adu"),
        "mask_flags": (FlatFlag.DEAD, "DEAD"),
        "edge_keywords": ({"threshold": np.float64(0.4)}, "{threshold: 0.4}"),
        "limits": ({"frames_used": (2, None)}, "{frames_used: [2, None]}"),
        "weights": (np.array([1.0, 2.0, 1.0]), "[1.0, 2.0, 1.0]"),
        "sigma_clip_dev_func": (mad_std, f"{mad_std.__module__}.mad_std"),
        "unit": (u.adu, "adu"),
        "exposure_key": (ccdproc.Keyword("EXPTIME"), "EXPTIME"),
    }
    told = in_memory(**{name: value for name, (value, _) in given.items()}).provenance
    assert {name: told[name] for name in given} == {name: text for name, (_, text) in given.items()}


@pytest.mark.parametrize(("value", "text"), [
    ((name for name in ["INSTRUME"]), "[INSTRUME]"),
    ([ccdproc.Keyword("INSTRUME")], "[INSTRUME]"),
    (None, "[]"),
])
def test_setup_keywords_of_any_kind(value, text):
    assert in_memory(setup_keywords=value).provenance["setup_keywords"] == text


def test_large_arrays_are_told_by_checksum():
    weights = np.ones((3, *SIMULATION.shape))
    expected = hashlib.sha256(weights.tobytes()).hexdigest()
    found = in_memory(weights=weights).provenance["weights"]
    assert found == f"array of shape (3, 128, 160), sha256:{expected}"


def test_versions_and_date(small):
    provenance = small.provenance
    assert provenance["ccdproc_echelle"] == ccdproc_echelle.__version__
    assert provenance["ccdproc"] == version("ccdproc")
    assert provenance["numpy"] == np.__version__
    age = datetime.now(UTC) - datetime.fromisoformat(provenance["date"])
    assert timedelta(seconds=-1) < age < timedelta(hours=1)


def test_all_of_it_is_printed(master):
    text = str(master.provenance)
    for row in [*master.provenance.record, *master.provenance.inputs]:
        assert str(row[-1]) in text
    assert len(text.splitlines()) == len(master.provenance.record) + len(master.provenance.inputs)
    with pytest.raises(KeyError, match="'gian' is not in the provenance"):
        master.provenance["gian"]


# ---------------------------------------------------------------------- inputs


def test_every_input_has_its_role_and_checksum(master, night):
    folder, flats, darks, biases = night
    expected = [
        *(("flat", path) for path in flats), *(("bias", path) for path in biases),
        *(("dark", path) for path in darks), ("orders", folder / "orders.ecsv"),
        ("limits", folder / "limits.yaml"), ("mask", folder / "bpm.fits"),
    ]
    inputs = master.provenance.inputs
    assert list(zip(inputs["role"], inputs["file"], strict=True)) == [
        (role, str(path)) for role, path in expected]
    for row, (_, path) in zip(inputs, expected, strict=True):
        assert row["checksum"] == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def test_exposures_and_dates_are_those_of_the_headers(master, night):
    inputs = master.provenance.inputs
    for row in inputs[:7]:
        header = fits.getheader(row["file"])
        assert row["exposure"] == header["EXPTIME"] * u.s
        assert row["date"] == header["DATE-OBS"]
    assert np.isnan(inputs["exposure"][7:]).all()
    assert set(inputs["date"][7:]) == {""}


def test_compressed_files_count_as_they_are(night, tmp_path):
    packed = []
    for path in night[1]:
        packed.append(tmp_path / f"{path.name}.gz")
        packed[-1].write_bytes(gzip.compress(path.read_bytes()))
    row = in_memory(packed).provenance.inputs[0]
    assert row["file"] == str(packed[0])
    assert row["checksum"] == f"sha256:{hashlib.sha256(packed[0].read_bytes()).hexdigest()}"


def test_frames_that_were_left_out_are_no_inputs():
    flats = SIMULATION.flats(4, raw=True)
    flats[1].data[:] = 200
    with pytest.warns(AstropyUserWarning, match="frame 1 does not belong to the set"):
        inputs = in_memory(flats, reject="drop").provenance.inputs
    assert list(inputs["file"][inputs["role"] == "flat"]) == ["frame 0", "frame 2", "frame 3"]


def test_what_is_in_memory_has_a_checksum_of_its_values(small):
    inputs = small.provenance.inputs
    assert list(inputs["role"]) == ["flat"] * 3 + ["dark"] * 2 + ["orders"]
    assert len(set(inputs["checksum"])) == 6
    other = in_memory(with_cards(SIMULATION.flats(3, raw=True), {"OBSERVER": "me"}))
    assert list(inputs["checksum"]) == list(other.provenance.inputs["checksum"])


def test_calibration_frames_may_be_an_iterator(small):
    found = in_memory(dark=iter(SIMULATION.darks(2, raw=True)))
    np.testing.assert_array_equal(found.flat.data, small.flat.data)
    assert np.count_nonzero(found.provenance.inputs["role"] == "dark") == 2


def test_a_file_that_is_gone_does_not_cost_the_master(tmp_path):
    ORDERS.write(tmp_path / "orders.ecsv")
    orders = EchelleOrderTable.read(tmp_path / "orders.ecsv")
    (tmp_path / "orders.ecsv").unlink()
    flats, darks = SIMULATION.flats(3, raw=True), SIMULATION.darks(2, raw=True)
    row = make_master_flat(flats, orders, dark=darks, **USUAL).provenance.inputs[-1]
    assert (row["file"], row["checksum"]) == (str(tmp_path / "orders.ecsv"), "")


def test_a_table_knows_its_file_until_it_is_changed(night):
    orders = EchelleOrderTable.read(night[0] / "orders.ecsv")
    assert orders.source == night[0] / "orders.ecsv"
    assert orders.shifted(1).source is ORDERS.source is None


# ---------------------------------------------------------------------- in a file


def test_it_is_read_as_it_was_written(master, tmp_path):
    master.write(tmp_path / "master.fits")
    found = MasterFlat.read(tmp_path / "master.fits")
    assert isinstance(found.provenance, Provenance)
    assert str(found.provenance) == str(master.provenance)
    assert found.provenance.inputs["exposure"].unit == u.s


def test_a_file_from_before_is_read(small, tmp_path):
    small.write(tmp_path / "master.fits")
    with fits.open(tmp_path / "master.fits") as hdus:
        older = fits.HDUList([hdu.copy() for hdu in hdus if hdu.name not in (
            "PROVENANCE", "INPUTS")])
    older.writeto(tmp_path / "older.fits", checksum=True)
    found = MasterFlat.read(tmp_path / "older.fits")
    assert found.provenance is None
    found.write(tmp_path / "again.fits")
    assert MasterFlat.read(tmp_path / "again.fits").provenance is None


@pytest.mark.parametrize("executor", [None, "serial"])
def test_made_again_only_the_run_differs(small, executors, executor, tmp_path):
    again = in_memory(executor=executor and executors(executor), mem_limit=1e7)
    small.write(tmp_path / "a.fits")
    again.write(tmp_path / "b.fits")
    with fits.open(tmp_path / "a.fits") as a, fits.open(tmp_path / "b.fits") as b:
        differing = [x.name for x, y in zip(a, b, strict=True) if
                     x.header.get("CHECKSUM") != y.header.get("CHECKSUM")]
    assert differing == ["PROVENANCE"]
    lasting = [
        one.provenance.record[one.provenance.record["kind"] != "run"] for one in (small, again)
    ]
    assert (lasting[0] == lasting[1]).all()


@pytest.mark.parametrize("name", ["dark_01.fits", "bpm.fits", "limits.yaml", "orders.ecsv"])
def test_no_input_is_overwritten(master, night, name):
    before = (night[0] / name).read_bytes()
    with pytest.raises(ValueError, match=f"{name}: it is the input"):
        master.write(night[0] / name, overwrite=True)
    assert (night[0] / name).read_bytes() == before


# ---------------------------------------------------------------------- the header


def test_history_tells_what_was_done(master):
    history = "\n".join(master.flat.header["HISTORY"])
    for line in (
        ccdproc_echelle.__version__, "raw flats combined: 3, method average",
        "bias frames combined and subtracted: 2", "dark frames combined and subtracted: 2",
        "known bad pixels left out", "scattered light subtracted from: None",
        "window 8.5 pixels, 2 passes", "clipped at 5 and 5 sigma",
    ):
        assert line in history


def test_history_does_not_tell_what_was_not_done():
    flats = SIMULATION.with_bias(0).flats(3)
    master = in_memory(flats, dark=None, scattered_light="frames", sigma_clip=False)
    history = "\n".join(master.flat.header["HISTORY"])
    assert "scattered light subtracted from: frames" in history
    for word in ("bias", "dark", "known bad", "clipped"):
        assert word not in history


def test_what_ccdproc_did_before_is_told_in_words():
    flats, (dark,) = SIMULATION.flats(3, raw=True), SIMULATION.darks(1, raw=True)
    for frame in (*flats, dark):
        frame.data = frame.data.astype(float)
    flats = [
        ccdproc.subtract_dark(flat, dark, exposure_time="EXPTIME", exposure_unit=u.s)
        for flat in flats
    ]
    header = in_memory(flats, dark=None).flat.header
    assert "before, by ccdproc: subtract_dark" in list(header["HISTORY"])
    assert "CCDData" not in repr(header)
    assert "SUBDARK" in flats[0].header


def test_the_type_is_that_of_a_master(small):
    assert small.flat.header["IMAGETYP"] == "master flat"
    assert "ESO PRO CATG" not in small.flat.header


def test_eso_frames_make_an_eso_product(tmp_path):
    flats = with_cards(SIMULATION.flats(3, raw=True), {"HIERARCH ESO DPR CATG": "CALIB"})
    master = in_memory(flats)
    master.write(tmp_path / "master.fits")
    assert fits.getheader(tmp_path / "master.fits")["ESO PRO CATG"] == "MASTER_FLAT"


def test_headers_that_are_plain_dictionaries():
    flats = SIMULATION.flats(3, raw=True)
    for flat in flats:
        flat.header = OrderedDict(flat.header) | {"ESO DPR CATG": "CALIB"}
    header = in_memory(flats).flat.header
    assert header["IMAGETYP"] == "master flat"
    assert header["ESO PRO CATG"] == "MASTER_FLAT"
    assert not any(isinstance(value, tuple) for value in header.values())


# ---------------------------------------------------------------------- taken for a raw flat


@pytest.fixture
def folder_with_master(small, tmp_path):
    flats, darks = SIMULATION.write(tmp_path, 3, 2)
    small.write(tmp_path / "flat_master.fits")
    return tmp_path, flats, darks


@pytest.mark.parametrize("reject", ["warn", "error"])
@pytest.mark.parametrize("as_collection", [True, False])
@pytest.mark.parametrize("reading", [{}, {"unit": "adu"}])
def test_a_master_is_no_raw_flat(folder_with_master, reject, as_collection, reading):
    folder, _, darks = folder_with_master
    flats = (
        ccdproc.ImageFileCollection(folder, glob_include="flat_*") if as_collection
        else sorted(folder.glob("flat_*"))
    )
    with pytest.raises(ValueError, match="flat_master.fits.* is a master flat"):
        in_memory(flats, dark=darks, reject=reject, **reading)


def test_a_master_can_be_dropped(folder_with_master):
    folder, flats, darks = folder_with_master
    with pytest.warns(AstropyUserWarning, match="flat_master.fits .*is a master flat.*left out"):
        found = in_memory(sorted(folder.glob("flat_*")), dark=darks, reject="drop")
    assert list(found.levels["frame"]) == [str(path) for path in flats]


def test_a_master_is_known_where_the_raw_frames_are_in_an_extension(folder_with_master):
    with pytest.raises(ValueError, match="flat_master.fits is a master flat"):
        in_memory([folder_with_master[0] / "flat_master.fits"], hdu="RED")


@pytest.mark.parametrize("cards", [
    {"IMAGETYP": "Master Flat"}, {"IMAGETYP": "MASTERFLAT"}, {"FLATVERS": 1},
    {"HIERARCH ESO PRO CATG": "MASTER_FLAT_NIR"},
])
def test_masters_of_other_programs(cards):
    flats = SIMULATION.flats(3, raw=True)
    with_cards(flats[1:2], cards)
    assert vet_setup(flats)["verdict"].tolist() == ["", "it is a master flat, not a raw one", ""]
    with pytest.raises(ValueError, match="frame 1 is a master flat"):
        in_memory(flats)


@pytest.mark.parametrize("cards", [{"NCOMBINE": 5}, {"COMBINED": True}])
def test_a_combined_frame_among_raw_ones(cards):
    flats = SIMULATION.flats(3, raw=True)
    flats[1].header.update(cards)
    verdict = vet_setup(flats)["verdict"].tolist()
    assert verdict[::2] == ["", ""] and "such as a master flat, not a raw one" in verdict[1]
    with pytest.raises(ValueError, match="frame 1 is a combination of . frames, such as a master"):
        make_master_flat(flats, SIMULATION.truth.orders)
    for flat in flats:  # a set of combined frames is the user's choice
        flat.header.update(cards)
    assert vet_setup(flats)["verdict"].tolist() == [""] * 3

