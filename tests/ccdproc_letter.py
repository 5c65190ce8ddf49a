# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
ccdproc's own tests of `ccdproc.combine`, run on `combine_frames`.

The installed ccdproc is copied to a temporary folder, where `combine_frames` takes the place of
`combine`, and its ``tests/test_combiner.py`` is run there; the installed one is left alone. All
tests have to pass but those of `DIFFERENCES`, which have to fail::

    python tests/ccdproc_letter.py [arguments of pytest]

The exit status is that of pytest: not 0 if another test fails, if one of `DIFFERENCES` passes, or
if there is no such test.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

#: The tests that combine_frames is meant to fail, and why.
DIFFERENCES = {
    "test_combine_bad_input": "a number in place of the list of images is a TypeError here",
    "test_combiner_result_dtype": (
        "float32 holds these integers and is the result; a mean rounded to integers is refused"
    ),
} | {
    f"test_{method}_combine_uncertainty": (
        "the 'uncertainty' of this test, a sum, is below zero; a standard deviation is not"
    )
    for method in ("average", "median", "sum")
}

# Appended to the conftest.py of the copy, which pytest imports before the tests.
REPLACEMENT = """

import ccdproc.combiner
import pytest
from ccdproc_echelle import combine_frames

ccdproc.combiner.combine = combine_frames
_DIFFERENCES = {differences!r}


def pytest_collection_modifyitems(items):
    names = {{item.originalname for item in items}}
    missing = sorted(set(_DIFFERENCES) - names)
    if missing:
        raise pytest.UsageError(f"no such test of ccdproc: {{', '.join(missing)}}")
    for item in items:
        if item.originalname in _DIFFERENCES:
            reason = _DIFFERENCES[item.originalname]
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
"""


def run(differences: dict[str, str], arguments: list[str]) -> subprocess.CompletedProcess:
    """The tests in a copy of ccdproc, where those that differ have to fail."""
    with tempfile.TemporaryDirectory(prefix="ccdproc_letter_") as folder:
        tests = copy_with_replacement(Path(folder), differences) / "tests" / "test_combiner.py"
        command = [
            sys.executable, "-m", "pytest", "-c", f"{folder}/pytest.ini", "-p", "no:cacheprovider",
            "-rfEx", str(tests), *arguments,
        ]
        return subprocess.run(command, cwd=folder, env=environment(folder), check=False)


def copy_with_replacement(folder: Path, differences: dict[str, str]) -> Path:
    """A copy of the installed ccdproc, in which combine_frames is combine."""
    installed = Path(importlib.util.find_spec("ccdproc").origin).parent
    copy = folder / "ccdproc"
    shutil.copytree(installed, copy, ignore=shutil.ignore_patterns("__pycache__"))
    with (copy / "conftest.py").open("a", encoding="utf-8") as conftest:
        conftest.write(REPLACEMENT.format(differences=differences))
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    return copy


def environment(folder: str) -> dict[str, str]:
    """That of this process, with the copy before the installed ccdproc, without idle plugins."""
    paths = [folder, *filter(None, [os.environ.get("PYTHONPATH")])]
    # Options meant for this process ("-n 2") may belong to plugins that the child does not load.
    kept = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    return kept | {"PYTHONPATH": os.pathsep.join(paths), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


if __name__ == "__main__":
    sys.exit(run(DIFFERENCES, sys.argv[1:]).returncode)
