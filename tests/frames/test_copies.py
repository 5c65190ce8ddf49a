# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Copies of a frame are found, whatever they are called, and nothing else is."""

import gzip
import os
import shutil

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData

from ccdproc_echelle import combine_frames, two_pass_flat_combine
from ccdproc_echelle.frames import CalibratedFrame, Plane, Subtraction, open_frames, twins_of
from ccdproc_echelle.simulation import EchelleSimulation

SIM = EchelleSimulation(shape=(80, 90), n_orders=2, seed=3)
FLATS = SIM.flats(3)
ORDERS = SIM.truth.orders


def twins(frames) -> list:
    return twins_of(open_frames(frames))


@pytest.fixture
def files(tmp_path) -> list:
    names = [tmp_path / f"f{i}.fits" for i in range(3)]
    for ccd, name in zip(FLATS, names, strict=True):
        fits.writeto(name, ccd.data, fits.Header({"BUNIT": "adu"}))
    return names


def test_frames_that_only_look_alike_are_no_copies():
    same_level = [CCDData(f.data + np.float32(0), unit="adu", header={"A": 1}) for f in FLATS]
    scaled = CCDData(FLATS[0].data * 2, unit="adu")
    almost = FLATS[0].copy()
    almost.data[70, 80] += 1
    assert twins([*same_level, scaled, almost]) == [None] * 5


def test_frames_of_one_value_may_be_equal_by_chance():
    assert twins([CCDData(np.full((80, 90), 7.0), unit="adu") for _ in range(2)]) == [None, None]


def test_the_same_object_is_a_copy_whatever_it_holds():
    frame = CCDData(np.full((80, 90), 7.0), unit="adu")
    shared = CCDData(frame.data, unit="adu", mask=frame.data > 8)
    assert twins([frame, frame, shared]) == [None, 0, 0]


def test_copies_in_memory_have_the_first_for_a_twin():
    other_type = CCDData(FLATS[1].data.astype(float), unit="adu", header={"OBJECT": "lamp"})
    frames = [*FLATS, FLATS[0].copy(), other_type, FLATS[0].copy()]
    assert twins(frames) == [None, None, None, 0, 1, 0]


def test_bad_values_do_not_hide_a_copy():
    frame = FLATS[0].copy()
    frame.data[40, ::7] = np.nan
    assert twins([FLATS[1], frame, frame.copy()]) == [None, None, 1]


@pytest.mark.parametrize("kind", ["path", "symlink", "hard link", "copy", "gzip"])
def test_copies_in_files(files, tmp_path, kind):
    other = tmp_path / "other.fits"
    if kind == "path":
        other = tmp_path / "." / "f1.fits"
    elif kind == "symlink":
        other.symlink_to(files[1])
    elif kind == "hard link":
        os.link(files[1], other)
    elif kind == "copy":
        shutil.copy(files[1], other)
    else:
        other = tmp_path / "f1.fits.gz"
        other.write_bytes(gzip.compress(files[1].read_bytes()))
    assert twins([*files, other]) == [None, None, None, 1]


def test_one_frame_in_memory_and_in_a_file(files):
    assert twins([*files, FLATS[2]]) == [None, None, None, 2]


def test_calibration_does_not_hide_a_copy():
    plane = Plane(np.full((80, 90), 3.0, dtype="f4"))
    first, other = open_frames([FLATS[0], FLATS[0].copy()])
    other = CalibratedFrame(other, [Subtraction(plane, 1.0, is_charge=False)])
    assert twins_of([first, other]) == [None, 0]


@pytest.mark.parametrize("combine", [
    combine_frames, lambda frames: two_pass_flat_combine(frames, ORDERS)])
def test_who_combines_copies_is_warned(combine):
    with pytest.warns(UserWarning, match="frame 3 is a copy of frame 1: .*leave them out"):
        combine([*FLATS, FLATS[1].copy()])


def test_the_warning_names_all_pairs(files, tmp_path):
    shutil.copy(files[0], tmp_path / "g.fits")
    with pytest.warns(UserWarning) as found:
        combine_frames([*files, tmp_path / "g.fits", files[2]], unit=u.adu)
    message, = (str(one.message) for one in found)
    assert f"g.fits is a copy of {files[0]}, {files[2]} is a copy of {files[2]}:" in message
