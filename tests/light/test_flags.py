# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata.bitmask import bitfield_to_boolean_mask

from ccdproc_echelle.light.flags import FlatFlag, flag_cards


def test_bits_are_what_files_already_written_say():
    assert {flag.name: int(flag) for flag in FlatFlag} == {
        "INTERORDER": 1, "LOW_SENSITIVITY": 2, "NO_DATA": 4, "EXTRAPOLATED_EDGE": 8,
        "PARTLY_COVERED": 16, "DEAD": 32, "HOT": 64, "ALL_REJECTED": 128, "SATURATED": 256,
        "OVERLAP": 512, "FAINT": 1024, "KNOWN_BAD": 2048,
    }


@pytest.mark.parametrize("flag", FlatFlag)
def test_ignoring_a_flag_frees_its_pixels_only(flag):
    flags = np.array([0, *FlatFlag], dtype=np.int16)
    mask = bitfield_to_boolean_mask(flags, ignore_flags=flag)
    np.testing.assert_array_equal(mask, (flags != 0) & (flags != flag))


def test_complement_keeps_one_flag_only():
    flags = np.array([0, *FlatFlag], dtype=np.int16)
    mask = bitfield_to_boolean_mask(flags, ignore_flags=~FlatFlag.NO_DATA)
    np.testing.assert_array_equal(mask, flags == FlatFlag.NO_DATA)


def test_cards_name_every_flag_and_survive_a_file(tmp_path):
    path = tmp_path / "flags.fits"
    header = fits.Header(flag_cards())
    fits.PrimaryHDU(header=header).writeto(path)
    written = fits.getheader(path)
    for flag in FlatFlag:
        keyword = f"BIT{int(np.log2(flag))}"
        assert written[keyword] == flag.name
        assert written.comments[keyword]
    assert len(flag_cards()) == len(FlatFlag)
