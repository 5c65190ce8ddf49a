# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The script that runs ccdproc's own tests sees what it is meant to see."""

import importlib.util
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import ccdproc
import ccdproc_letter
import pytest

BAD_INPUT = "test_combine_bad_input"
EXTREMA = "test_clip_extrema_via_combine"


@pytest.mark.parametrize(
    ("differences", "good"),
    [
        ([BAD_INPUT], True),
        ([EXTREMA], False),  # one that is declared does not differ, and one that is not does
    ],
)
def test_differences_are_those_that_are_declared(differences, good, capfd, monkeypatch):
    monkeypatch.setenv("PYTEST_ADDOPTS", "-n 2")  # as on a machine that runs tests in parallel
    arguments = ["-q", "-k", f"{BAD_INPUT} or {EXTREMA}"]
    done = ccdproc_letter.run(dict.fromkeys(differences, "on trial"), arguments)
    said = capfd.readouterr()
    assert (done.returncode == 0) == good, said.out + said.err
    assert ("1 passed" in said.out and "1 xfailed" in said.out) == good
    for name in (BAD_INPUT, EXTREMA):
        assert bool(re.search(f"(?m)^FAILED .*{name}", said.out)) != good


def test_a_difference_that_is_not_there_is_an_error(monkeypatch):
    monkeypatch.setattr(ccdproc.combiner, "combine", ccdproc.combiner.combine)  # is put back
    added = {}
    differences = {"test_of_yesterday": "on trial"}
    exec(ccdproc_letter.REPLACEMENT.format(differences=differences), added)
    with pytest.raises(pytest.UsageError, match="no such test of ccdproc: test_of_yesterday"):
        added["pytest_collection_modifyitems"]([SimpleNamespace(originalname=BAD_INPUT)])


def test_the_installed_ccdproc_is_left_alone(tmp_path):
    conftest = Path(importlib.util.find_spec("ccdproc").origin).with_name("conftest.py")
    before = conftest.read_bytes()
    copy = ccdproc_letter.copy_with_replacement(tmp_path, {})
    assert copy.parent == tmp_path and b"combine_frames" in (copy / "conftest.py").read_bytes()
    assert conftest.read_bytes() == before and b"combine_frames" not in before
    assert "ccdproc.tests.test_combiner" not in sys.modules
