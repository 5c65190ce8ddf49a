# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A night: what becomes of each frame, what is made, made again, and said."""

import logging
import os
import re
import shutil
import warnings
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from ccdproc import ImageFileCollection

from ccdproc_echelle import MasterFlat, make_master_flat, reduce_night
from ccdproc_echelle.orders import EchelleOrderTable
from ccdproc_echelle.recipe import plan_night, quality_trends
from ccdproc_echelle.recipe.night import kind_of, work
from ccdproc_echelle.simulation import EchelleSimulation
from helpers.executors import SerialExecutor
from helpers.orders import centers_only

SIMULATION = EchelleSimulation(
    shape=(200, 160), n_orders=3, order_width=28, smallest_gap=10, seed=5
).with_bias(300).with_level_spread(0.1)
QUICK = dict(scattered_light=None, window=6)


draw = work._draw


@pytest.fixture(scope="module", autouse=True)
def no_summary():
    """Figures cost more than all the rest, and have tests of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "_draw", lambda master, path, lines: path.touch())
        yield


@pytest.fixture(scope="module")
def raw_night(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw_night")
    return folder, SIMULATION.write_night(folder, n_flats=3, n_biases=2)


@pytest.fixture(scope="module")
def reduced(raw_night, tmp_path_factory):
    """The night, reduced once: raw folder, output, table."""
    output = tmp_path_factory.mktemp("reduced") / "out"
    return raw_night[0], output, reduce_night(raw_night[0], output, **QUICK)


@pytest.fixture
def own(reduced, tmp_path):
    """Copies of raw frames and products, for the test to change."""
    raw, output, _ = reduced
    shutil.copytree(raw, tmp_path / "raw")
    shutil.copytree(output, tmp_path / "out")
    return tmp_path / "raw", tmp_path / "out"


def leave_one_setup(raw, night):
    """Where what becomes of one set-up tells all: the flats of the others are gone."""
    for name, paths in night.flats.items():
        for path in paths if name != "red 2x2" else ():
            (raw / path.name).unlink()


def write_frame(path, kind, shape=(8, 8), value=1, **cards):
    header = fits.Header({"IMAGETYP": kind} | cards)
    fits.PrimaryHDU(np.full(shape, value, dtype=np.uint16), header).writeto(path, overwrite=True)


def files_and_times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def planned(folder, **keywords):
    return plan_night(folder, folder / "out", **keywords)


def names(frames):
    return [frame.path.name for frame in frames]


# ---------------------------------------------------------------------- kinds


@pytest.mark.parametrize(
    ("cards", "kind"),
    [
        *(({"IMAGETYP": word}, "flat") for word in ("FLAT", "Flat Field", "flatlamp", "domeflat")),
        *(({"IMAGETYP": word}, "bias") for word in ("Bias Frame", "BIAS", "zero")),
        *(({"IMAGETYP": word}, "dark") for word in ("DARK", "Dark Frame")),
        ({"ESO DPR TYPE": "LAMP,FLAT"}, "flat"),
        ({"ESO DPR TYPE": "LAMP,FLAT", "ESO DPR TECH": "IMAGE"}, "off"),
        ({"ESO DPR TYPE": "FLAT,LAMP"}, "flat"),
        ({"ESO DPR TYPE": "LAMP,LAMP,TUN"}, "flat"),
        ({"IMTYPE": "flatlamp"}, "flat"),
        ({"IMTYPE": "flatlampoff"}, "off"),
        ({"DATA-TYP": "BIAS"}, "bias"),
        ({"OBJTYPE": "DARK"}, "dark"),
        # one fibre of two or three is lit: no dark, and no lamp-off frame, of the others
        *(({"ESO DPR TYPE": word}, None) for word in ("LAMP,DARK,TUN", "DARK,LAMP,TUN")),
        *(({"ESO DPR TYPE": word}, None) for word in ("FLAT,DARK,LAMP", "FLAT,OFF,LAMP,OFF")),
        *(({"ESO DPR TYPE": word}, "off") for word in ("LAMP,FLAT,OFF", "FLAT,OFF", "LAMP,OFF")),
        ({"IMAGETYP": "Lamp Off"}, "off"),
        ({"IMAGETYP": "flat", "LAMP": "Off"}, "off"),
        ({"OBSTYPE": "FLAT"}, "flat"),
        ({"OBJECT": "flat field"}, "flat"),
        ({"ESO DPR TYPE": "OBJECT", "OBJECT": "flat"}, None),
        ({"ESO DPR TYPE": "LAMP,ORDERDEF"}, None),
        ({"IMAGETYP": "master bias"}, None),
        ({"IMAGETYP": "arc flat"}, None),
        ({"IMAGETYP": "FLAT", "FLATVERS": 1}, None),
        ({}, None),
    ],
)
def test_what_a_frame_is(cards, kind):
    found, reason = kind_of(cards)
    assert found == kind
    assert bool(reason) == (kind is None)


# ---------------------------------------------------------------------- set-ups


def test_the_plan_finds_each_setup_and_says_why_the_rest_is_left_out(raw_night):
    folder, night = raw_night
    plan = planned(folder)

    flats = {tuple(names(job.setup.flats)) for job in plan.jobs}
    failed, = (p.name for p, why in night.left_out.items() if why == "a flat without light")
    assert flats == {
        (*[p.name for p in paths], *([failed] if name == "blue 1x1" else []))
        for name, paths in night.flats.items()
    }
    assert {p for p, _ in plan.left_out} == {p for p in night.left_out if p.name != failed}
    text = str(plan)
    for said in ("is truncated", "INSTRUME is imager", "'object'", "not a FITS file"):
        assert said in text
    for job in plan.jobs:
        assert all(b.setup["CCDSUM"] == job.setup.values["CCDSUM"] for b in job.setup.bias)
        assert job.state == "to do"


def test_lamp_off_frames_of_another_binning_are_no_dark_and_it_is_said(raw_night):
    plan = planned(raw_night[0])
    by_binning = {job.setup.values["CCDSUM"]: job.setup for job in plan.jobs}
    assert {frame.kind for frame in by_binning["1 1"].dark} == {"off"}
    assert by_binning["2 2"].dark == ()
    assert re.search("no dark matches: night_.*: CCDSUM is 1 1, but 2 2 for the flats",
                     by_binning["2 2"].notes[0])


def test_a_collection_is_a_night_too(raw_night):
    collection = ImageFileCollection(raw_night[0], glob_include="night_00*")
    assert len(plan_night(collection, "out").jobs) == 3


@pytest.mark.parametrize(
    ("keyword", "values"),
    [("OBSTYPE", ("DmFlat", "SkyFlat")), ("IMAGETYP", ("Flat Field", "Twilight Flat")),
     ("ESO DPR TYPE", ("LAMP,DFLAT", "LAMP,QFLAT"))],
)
def test_flats_of_another_source_of_light_are_another_setup(keyword, values, tmp_path):
    for i, value in enumerate([*values, *values]):
        fits.PrimaryHDU(np.ones((8, 8)), fits.Header({f"HIERARCH {keyword}": value})).writeto(
            tmp_path / f"f{i}.fits")
    setups = [job.setup for job in planned(tmp_path).jobs]
    found = sorted(tuple(names(setup.flats)) for setup in setups)
    assert found == [("f0.fits", "f2.fits"), ("f1.fits", "f3.fits")]
    assert len({setup.name[:-7] for setup in setups}) == 2  # not told apart by the hash alone


def test_spellings_of_a_plain_flat_and_titles_are_one_setup(tmp_path):
    for i, cards in enumerate([
        {"IMAGETYP": "FLAT"}, {"IMAGETYP": "Flat Field"}, {"OBJECT": "flat 3"}, {"OBSTYPE": "flat"},
    ]):
        fits.PrimaryHDU(np.ones((8, 8)), fits.Header(cards)).writeto(tmp_path / f"f{i}.fits")
    job, = planned(tmp_path).jobs
    assert len(job.setup.flats) == 4


def test_a_name_does_not_depend_on_the_other_setups(raw_night, tmp_path):
    folder, night = raw_night
    before = {job.name for job in planned(folder).jobs}
    for path in night.flats["red 2x2"]:
        shutil.copy(path, tmp_path)
    after = {job.name for job in planned(tmp_path).jobs}
    assert after < before and len(after) == 1


def test_darks_of_the_exposure_of_the_flats_and_the_nearest_series_are_chosen(tmp_path):
    for i, (kind, time, exposure) in enumerate([
        ("flat", 0.5, 10), ("flat", 0.501, 10), ("dark", 0.4, 10), ("dark", 0.45, 10),
        ("dark", 0.5, 300), ("bias", 0.1, 0), ("bias", 0.9, 0), ("bias", 0.52, 0),
    ]):
        write_frame(tmp_path / f"f{i}.fits", kind, EXPTIME=exposure, **{"MJD-OBS": 60000 + time})
    setup = planned(tmp_path).jobs[0].setup
    assert (names(setup.bias), names(setup.dark)) == (["f7.fits"], ["f3.fits"])


def test_a_dark_of_another_exposure_needs_a_bias(tmp_path):
    for i, (kind, exposure) in enumerate([("flat", 10), ("flat", 10), ("dark", 30)]):
        write_frame(tmp_path / f"f{i}.fits", kind, EXPTIME=exposure)
    setup = planned(tmp_path).jobs[0].setup
    assert setup.dark == () and "f2.fits: exposed for 30 s, the flats for 10 s" in setup.notes[0]
    write_frame(tmp_path / "bias.fits", "bias")
    assert names(planned(tmp_path).jobs[0].setup.dark) == ["f2.fits"]


def test_bias_of_another_binning_only(tmp_path):
    for i in range(2):
        write_frame(tmp_path / f"flat{i}.fits", "flat", CCDSUM="1 1")
    write_frame(tmp_path / "bias.fits", "bias", CCDSUM="2 2", shape=(4, 4))
    plan = planned(tmp_path)
    assert plan.jobs[0].setup.bias == ()
    assert plan.jobs[0].setup.notes == (
        "no bias matches: bias.fits: CCDSUM is 2 2, but 1 1 for the flats",
        "neither bias nor dark is subtracted, only the overscan where there is one",
    )
    assert [path.name for path, _ in plan.left_out] == ["bias.fits"]


def test_a_flat_that_fits_two_setups_goes_with_neither(tmp_path):
    for i, colour in enumerate("rrgg"):
        write_frame(tmp_path / f"flat{i}.fits", "flat", FILTER=colour)
    write_frame(tmp_path / "lost.fits", "flat")
    plan = planned(tmp_path)
    assert [len(job.setup.flats) for job in plan.jobs] == [2, 2]
    (path, reason), = plan.left_out
    assert path.name == "lost.fits"
    assert all(job.name in reason for job in plan.jobs) and "it has no FILTER" in reason


def test_a_flat_without_a_keyword_goes_with_the_one_setup_that_it_fits(tmp_path):
    for i in range(2):
        write_frame(tmp_path / f"flat{i}.fits", "flat", FILTER="r")
    write_frame(tmp_path / "lost.fits", "flat")
    assert len(planned(tmp_path).jobs[0].setup.flats) == 3


def test_a_folder_without_flats(tmp_path):
    write_frame(tmp_path / "bias.fits", "bias")
    (tmp_path / "notes.txt").write_text("clouds")
    expected = r"no set-up in .* has flats to combine: found 1 bias; notes\.txt"
    with pytest.raises(ValueError, match=expected):
        planned(tmp_path)
    with pytest.raises(NotADirectoryError, match="nowhere is not a folder"):
        plan_night(tmp_path / "nowhere", tmp_path)


# ---------------------------------------------------------------------- order tables


def test_one_table_of_the_detector_serves_all_binnings(raw_night, tmp_path):
    path = tmp_path / "orders.ecsv"
    centers_only(SIMULATION.truth.orders).write(path)
    jobs = planned(raw_night[0], orders=path).jobs
    assert {job.orders.shape for job in jobs} == {(200, 160), (100, 80)}
    assert {job.orders_from for job in jobs} == {str(path)}


def test_tables_that_fit_nothing_or_both_fit(raw_night, tmp_path):
    orders = centers_only(SIMULATION.truth.orders)
    jobs = planned(raw_night[0], orders=orders.cropped((slice(0, 190), slice(None)))).jobs
    assert all(job.orders is None and "none of the 1 order tables" in job.orders_from
               for job in jobs)
    jobs = planned(raw_night[0], orders=[orders, orders.shifted(1)]).jobs
    assert all("several order tables fit" in job.problem for job in jobs)


def test_orders_of_the_master_flats_of_another_night(reduced):
    raw, output, table = reduced
    paths = [output / path for path in table["master"]]
    jobs = planned(raw, orders=paths).jobs
    assert [job.orders_from for job in jobs] == [str(path) for path in paths]


# ---------------------------------------------------------------------- products


def test_every_setup_against_its_truth(raw_night, reduced):
    _, night = raw_night
    _, output, table = reduced
    assert table["status"].tolist() == ["made"] * 3
    for name, simulation in night.setups.items():
        colour, binning = name.split()
        row, = [r for r in table if f"{binning}-{colour}" in r["setup"]]
        master = MasterFlat.read(output / row["master"])
        inside = simulation.truth.orders.inner_mask(6) & ~master.flat.mask
        truth = simulation.truth.flat / simulation.truth.flat[inside].mean()
        pulls = (master.flat.data - truth)[inside] / master.flat.uncertainty.array[inside]
        assert abs(np.median(pulls)) < 0.1 and 0.85 < pulls.std() < 1.15
        levels = master.levels["level"].value / simulation.truth.levels(3)
        np.testing.assert_allclose(levels / levels.mean(), 1, atol=2e-3)


def test_a_product_is_what_the_recipe_makes_of_these_files(reduced):
    raw, output, table = reduced
    job = next(job for job in planned(raw).jobs if "2x2" in job.name)
    files = {role: [str(f.path) for f in getattr(job.setup, role)] for role in ("flats", "bias")}
    by_hand = make_master_flat(files["flats"], bias=files["bias"], reject="drop", **QUICK)
    master = MasterFlat.read(output / job.name / "master.fits")
    np.testing.assert_array_equal(master.flat.data, by_hand.flat.data)
    np.testing.assert_array_equal(master.flags, by_hand.flags)
    assert {p.name for p in (output / job.name).iterdir()} >= {
        "master.fits", "orders.ecsv", "log.txt", "summary.png"}
    assert len(EchelleOrderTable.read(output / job.name / "orders.ecsv")) == 3


def test_the_quality_table_has_a_row_for_each_setup(reduced):
    _, output, table = reduced
    read = QTable.read(output / "qc.ecsv")
    assert read["setup"].tolist() == table["setup"].tolist()
    assert read["frames_used"].tolist() == [3, 3, 3]
    assert read.meta["limits"][read["setup"][0]]["inner_mean"] == [0.9, 1.1]
    assert all(date.startswith("2024-01-01T20:") for date in read["date"])


def test_trends_have_the_units_of_the_master_flats(reduced):
    _, output, table = reduced
    of_table = quality_trends([output / "qc.ecsv"])
    of_masters = quality_trends(output / master for master in table["master"])
    assert (set(zip(of_table["name"], of_table["unit"], strict=True))
            == set(zip(of_masters["name"], of_masters["unit"], strict=True)))


def test_trends_of_a_table_that_does_not_tell_its_units(reduced, tmp_path):
    table = QTable.read(reduced[1] / "qc.ecsv")
    table.meta["units"] = {}
    table["measured_gain"] = 1.0
    table.write(tmp_path / "qc.ecsv")
    units = dict(quality_trends([tmp_path / "qc.ecsv"])["name", "unit"].iterrows())
    assert units["measured_gain"] == units["level_median"] == ""
    assert units["order_width"] == "pix"


def test_the_page_stands_alone(reduced):
    _, output, table = reduced
    page = (output / "index.html").read_text(encoding="utf-8")
    assert "<script" not in page and "http" not in page and "@import" not in page
    assert page.count('src="data:image/png;base64,') == page.count("<img ") == 3
    for link in re.findall('href="([^"]+)"', page):
        assert (output / link).is_file(), link
    for said in (*table["setup"], "lamp off or failing", "is truncated", "no dark matches"):
        assert said in page


@pytest.mark.parametrize("name", ["serial", "2 threads", "processes", "dask"])
def test_the_bits_do_not_depend_on_who_works(name, reduced, tmp_path, executors):
    raw, output, _ = reduced
    reduce_night(raw, tmp_path, executor=executors(name), **QUICK)
    for path in output.glob("*/master.fits"):
        with fits.open(path) as one, fits.open(tmp_path / path.relative_to(output)) as other:
            for hdu, same in zip(one, other, strict=True):
                if hdu.name != "PROVENANCE":
                    assert hdu.header["DATASUM"] == same.header["DATASUM"], hdu.name
    assert (tmp_path / "qc.ecsv").read_bytes() == (output / "qc.ecsv").read_bytes()


def test_a_master_has_a_summary(reduced, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib", reason="figures need matplotlib")
    _, output, table = reduced
    master = MasterFlat.read(output / table["setup"][0] / "master.fits")
    lines, path = [], tmp_path / "summary.png"
    draw(master, path, lines)
    assert path.read_bytes().startswith(b"\x89PNG") and lines == []

    def failing(self):
        raise RuntimeError("no ink")

    monkeypatch.setattr(MasterFlat, "plot", failing)
    draw(master, tmp_path / "another.png", lines)
    assert lines == ["no summary: RuntimeError: no ink"]
    assert [file.name for file in tmp_path.iterdir()] == ["summary.png"]


# ---------------------------------------------------------------------- again


def test_a_second_run_touches_nothing(own):
    raw, output = own
    reduce_night(raw, output, **QUICK)  # the page names the folder, which is another one
    before = files_and_times(output)
    assert set(reduce_night(raw, output, **QUICK)["status"]) == {"up to date"}
    assert files_and_times(output) == before
    assert {job.state for job in plan_night(raw, output, **QUICK).jobs} == {"up to date"}


def test_a_new_flat_redoes_its_own_setup(own):
    raw, output = own
    new = SIMULATION.write_night(raw, n_flats=4, n_biases=2, overwrite=True).flats["red 1x1"][3]
    kept = new.read_bytes()
    for path in raw.iterdir():
        path.unlink()
    SIMULATION.write_night(raw, n_flats=3, n_biases=2)
    (raw / "night_099.fits").write_bytes(kept)
    states = {job.name: job.state for job in plan_night(raw, output, **QUICK).jobs}
    assert {name: state for name, state in states.items() if state != "up to date"} == {
        name: "to do" for name in states if "1x1-red" in name}


@pytest.mark.parametrize("change", [dict(window=5), dict(config={"margin": 1})])
def test_another_keyword_redoes_all(own, change):
    raw, output = own
    assert {job.state for job in plan_night(raw, output, **QUICK | change).jobs} == {"to do"}


def test_how_the_work_is_done_redoes_nothing(own):
    raw, output = own
    jobs = plan_night(raw, output, mem_limit=1e8, **QUICK).jobs
    assert {job.state for job in jobs} == {"up to date"}


def test_a_limit_in_a_file_that_changes_redoes_all(own, raw_night, tmp_path):
    raw, output = own
    leave_one_setup(raw, raw_night[1])
    limits = tmp_path / "limits.yaml"
    states = []
    for text in ("frames_used: [1, null]", "frames_used: [5, null]"):
        limits.write_text(text)
        table = reduce_night(raw, output, limits=limits, **QUICK)
        states.append((set(table["status"]), set(table["verdict"])))
    assert states == [({"made"}, {"pass"}), ({"made"}, {"fail"})]
    assert "beyond its limits: frames_used = 3" in (output / "index.html").read_text()


def test_a_damaged_product_and_what_a_killed_run_left_are_made_again(own):
    raw, output = own
    folders = sorted(path for path in output.iterdir() if path.is_dir())
    master = folders[0] / "master.fits"
    content = bytearray(master.read_bytes())
    content[len(content) // 4] ^= 255
    master.write_bytes(content)
    (folders[1] / "master.fits").unlink()
    (folders[1] / ".writing_x").mkdir()
    (folders[1] / ".writing_x" / "master.fits").write_text("half")
    table = reduce_night(raw, output, **QUICK)
    assert table["status"].tolist() == ["made", "made", "up to date"]
    assert not list(output.rglob(".writing_*"))


# ---------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"widnow": 6}, TypeError, "unknown keyword 'widnow'; did you mean 'window'?"),
        ({"bias": "bias_*.fits"}, TypeError, "bias is found by the headers of the frames"),
        ({"window": -1}, ValueError, "window is -1"),
        ({"edge_keywords": {"foo": 1}}, TypeError, "edge_keywords: unknown keyword 'foo'"),
    ],
)
def test_wrong_keywords_are_told_before_any_work(own, keywords, error, message):
    raw, output = own
    before = files_and_times(output)
    with pytest.raises(error, match=re.escape(message)):
        reduce_night(raw, output, **QUICK | keywords)
    assert files_and_times(output) == before


def test_a_list_of_files_is_no_folder(tmp_path):
    with pytest.raises(TypeError, match="folder is a list, expected a folder or an Image"):
        reduce_night([tmp_path / "flat.fits"], tmp_path)


def test_products_of_another_night_are_not_replaced(own):
    raw, output = own
    for path in raw.glob("*.fits"):
        content = path.read_bytes().replace(b"DATE-OBS= '2024", b"DATE-OBS= '2025")
        path.write_bytes(content.replace(b"MJD-OBS =", b"NO-MJD  ="))
    before = files_and_times(output)
    with pytest.raises(FileExistsError, match="made from flats of another night, 2024-.* 2025-"):
        reduce_night(raw, output, **QUICK)
    assert files_and_times(output) == before


def test_a_broken_setup_stops_no_other_and_is_tried_again(own):
    raw, output = own
    for path in (*output.glob("*1x1-red*"), *output.glob("*2x2*")):
        shutil.rmtree(path)
    wrong = {"setup": {"*2x2*": {"gain": "NOGAIN", "read_noise": 4}}}
    for _ in range(2):
        table = reduce_night(raw, output, config=wrong, **QUICK)
    assert table["status"].tolist() == ["up to date", "up to date", "failed"]
    assert "NOGAIN" in table["message"][2]
    log = (output / table["setup"][2] / "log.txt").read_text()
    assert "failed: " in log and "Traceback" in log
    assert [p.name for p in (output / table["setup"][2]).iterdir()] == ["log.txt"]
    assert "NOGAIN" in (output / "index.html").read_text()


class Dying(SerialExecutor):
    """Its workers are killed by what they do, as for want of memory."""

    def __init__(self, n_workers):
        self._max_workers = n_workers

    def submit(self, *args, **kwargs):
        raise BrokenExecutor("a worker was killed")


@pytest.mark.parametrize("n_workers", [1, 100])  # set-ups are its tasks, or frames
def test_setups_whose_workers_are_lost_get_one_of_their_own(
    own, n_workers, forkserver, monkeypatch
):
    raw, output = own
    shutil.rmtree(next(path for path in output.glob("*2x2*")))
    monkeypatch.setattr(
        "ccdproc_echelle.recipe.night.work.processes",
        partial(ProcessPoolExecutor, mp_context=forkserver),
    )
    table = reduce_night(raw, output, executor=Dying(n_workers), **QUICK)
    assert table["status"].tolist() == ["up to date", "up to date", "made"]


def test_a_setup_that_kills_every_worker_fails_alone(own, monkeypatch):
    raw, output = own
    shutil.rmtree(next(path for path in output.glob("*2x2*")))
    monkeypatch.setattr("ccdproc_echelle.recipe.night.work.processes", Dying)
    table = reduce_night(raw, output, executor=Dying(1), **QUICK)
    assert table["status"].tolist() == ["up to date", "up to date", "failed"]
    assert "was killed, perhaps for lack of memory" in table["message"][2]


def test_names_of_files_may_have_any_bytes(tmp_path, monkeypatch):
    # pytest-xdist cannot send what was logged from one process to another
    monkeypatch.setattr(logging.getLogger("ccdproc_echelle"), "propagate", False)
    for i in (1, 2):
        write_frame(tmp_path / f"f{i}.fits", "flat", value=i)
        (tmp_path / f"f{i}.fits").rename(tmp_path / os.fsdecode(b"fl\xe4t%d.fits" % i))
    table = reduce_night(tmp_path, tmp_path / "out")
    assert table["status"].tolist() == ["failed"]  # they show no order
    assert "surrogates" not in table["message"][0]
    assert "fl\\udce4t1.fits" in (tmp_path / "out" / "index.html").read_text()


def test_trace_keywords_are_for_set_ups_without_a_table(raw_night):
    orders = centers_only(SIMULATION.truth.orders)
    keywords = dict(trace_keywords={"n_orders": 3})
    assert all(j.keywords["trace_keywords"] is None
               for j in planned(raw_night[0], orders=orders, **keywords).jobs)
    assert all(j.keywords["trace_keywords"] == {"n_orders": 3}
               for j in planned(raw_night[0], **keywords).jobs)


def test_the_logger_is_left_as_it_was(reduced):
    logger = logging.getLogger("ccdproc_echelle")
    assert (logger.level, logger.handlers) == (logging.NOTSET, [])
    _, output, table = reduced
    for name in table["setup"]:
        assert "3 orders\n" in (output / name / "log.txt").read_text()


def test_the_filters_of_warnings_are_left_as_they_were(own, monkeypatch):
    raw, output = own
    before = list(warnings.filters)
    monkeypatch.setattr(
        "ccdproc_echelle.recipe.night.work._make", lambda *_: warnings.simplefilter("ignore")
    )
    shutil.rmtree(next(path for path in output.glob("*2x2*")))
    with ThreadPoolExecutor(1) as executor:
        reduce_night(raw, output, executor=executor, **QUICK)
    assert warnings.filters == before


def test_the_raw_folder_as_output(own, raw_night):
    raw, _ = own
    leave_one_setup(raw, raw_night[1])
    for status in ("made", "up to date"):
        table = reduce_night(raw, raw, **QUICK)
        assert set(table["status"]) == {status}
    product = next(raw.glob("*/master.fits"))
    shutil.copy(product, raw / "master.fits")
    plan = plan_night(raw, raw, **QUICK)
    assert (raw / "master.fits", "it is a master flat, not a raw frame") in plan.left_out
    assert {job.state for job in plan.jobs} == {"up to date"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_right_to_write(own, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(PermissionError, match="locked"):
        reduce_night(own[0], tmp_path / "locked", **QUICK)


def test_an_output_that_is_a_file(own, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotADirectoryError, match="file: it is a file, expected a folder"):
        reduce_night(own[0], tmp_path / "file", **QUICK)


def test_a_folder_of_a_setup_that_cannot_be_written_fails_that_setup(own):
    raw, output = own
    name = sorted(path.name for path in output.iterdir() if path.is_dir())[0]
    shutil.rmtree(output / name)
    (output / name).write_text("in the way")
    table = reduce_night(raw, output, **QUICK)
    assert table["status"].tolist() == ["failed", "up to date", "up to date"]
    assert name in table["message"][0]
