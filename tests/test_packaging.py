# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What is said twice about the package is said alike: tox.ini, the workflow, pyproject.toml."""

import configparser
import itertools
import re
import runpy
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
WEEKLY = {"py313-test-devdeps", "linkcheck"}
OTHER_SYSTEMS = {("macos-latest", "py313-test"), ("windows-latest", "py313-test")}


def in_root(name) -> str:
    path = ROOT / name
    if not path.is_file():
        pytest.skip(f"not in a copy of the repository: there is no {path}")
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tox_ini():
    parser = configparser.RawConfigParser()
    parser.read_string(in_root("tox.ini"))
    return parser


@pytest.fixture(scope="module")
def workflow():
    return yaml.safe_load(in_root(".github/workflows/tests.yml"))


@pytest.fixture(scope="module")
def project():
    return tomllib.loads(in_root("pyproject.toml"))["project"]


def expanded(names) -> list[str]:
    """The environments that a list with alternatives in braces names, as tox expands it."""
    alternatives = [
        [part.split(",") for part in re.split(r"[{}]", name)] for name in names.split()
    ]
    return ["".join(parts) for each in alternatives for parts in itertools.product(*each)]


def environments(job) -> set:
    """(system, environment) of each run of a job."""
    matrix = job["strategy"]["matrix"]
    systems = matrix.get("os", [job["runs-on"]])
    runs = {*itertools.product(systems, matrix["toxenv"])}
    return runs | {(run["os"], run["toxenv"]) for run in matrix.get("include", [])}


def minimum_versions(requirements) -> dict:
    pattern = re.compile(r"([\w-]+)(?:\[.*\])?>=([\d.]+)")
    return dict(match.groups() for text in requirements if (match := pattern.match(text)))


def pinned_versions(lines, factor) -> dict:
    pattern = re.compile(rf"{factor}: *([\w-]+)==([\d.]+?)(?:\.\*)?$")
    return dict(match.groups() for text in lines if (match := pattern.match(text.strip())))


def test_expansion_of_environments():
    assert expanded("py{311,312}-a{1,2}\ncov") == [
        "py311-a1", "py311-a2", "py312-a1", "py312-a2", "cov"
    ]


def test_the_workflow_runs_every_environment(tox_ini, workflow):
    named = expanded(tox_ini["tox"]["envlist"])
    assert len(named) == len(set(named))
    runs = set.union(*map(environments, workflow["jobs"].values()))
    assert {env for system, env in runs if system == "ubuntu-latest"} == set(named)
    assert {run for run in runs if run[0] != "ubuntu-latest"} == OTHER_SYSTEMS


def test_pre_releases_and_links_are_checked_weekly(workflow):
    triggers = workflow[True]  # YAML takes the word "on" for a boolean
    assert triggers["schedule"]
    weekly = {name: job for name, job in workflow["jobs"].items() if "== 'schedule'" in job["if"]}
    assert {env for job in weekly.values() for _, env in environments(job)} == WEEKLY
    for name in workflow["jobs"].keys() - weekly.keys():
        assert workflow["jobs"][name]["if"] == "github.event_name != 'schedule'"


def test_the_workflow_has_every_python(tox_ini, workflow):
    pythons = set(re.findall(r"py3(\d+)-", " ".join(expanded(tox_ini["tox"]["envlist"]))))
    setups = [
        step["with"]["python-version"].split()
        for step in workflow["jobs"]["tests"]["steps"]
        if "setup-python" in step.get("uses", "")
    ]
    assert [sorted(versions) for versions in setups] == [sorted(f"3.{n}" for n in pythons)]


def test_the_pythons_are_those_of_the_classifiers(tox_ini, project):
    pythons = set(re.findall(r"py3(\d+)-", " ".join(expanded(tox_ini["tox"]["envlist"]))))
    classified = re.findall(r"Python :: 3\.(\d+)", " ".join(project["classifiers"]))
    assert pythons == set(classified)
    assert project["requires-python"] == f">=3.{min(map(int, pythons))}"


def test_the_oldest_versions_are_tested(tox_ini, project):
    extras = project["optional-dependencies"]
    tested = minimum_versions(
        project["dependencies"] + extras["plot"] + extras["progress"] + extras["test"]
    )
    pins = pinned_versions(tox_ini["testenv"]["deps"].splitlines(), "oldestdeps")
    assert {"astropy", "ccdproc", "numpy", "scipy", "matplotlib", "pytest"} <= tested.keys()
    assert {name: pins.get(name) for name in tested} == tested


def test_the_next_version_is_everywhere_the_same():
    cited = yaml.safe_load(in_root("CITATION.cff"))["version"]
    assert re.search(r"^(\d[\d.]*) ", in_root("CHANGES.rst"), re.MULTILINE)[1] == cited
    scm = tomllib.loads(in_root("pyproject.toml"))["tool"]["setuptools_scm"]
    assert scm["fallback_version"] == f"{cited}.dev0"


def test_version_of_a_source_tree_that_was_never_built(monkeypatch):
    path = str(ROOT / "ccdproc_echelle" / "__init__.py")
    assert runpy.run_path(path)["__version__"] != "unknown"
    monkeypatch.setitem(sys.modules, "ccdproc_echelle._version", None)
    assert runpy.run_path(path)["__version__"] == "unknown"


def test_test_files_have_names_of_their_own():
    """pytest 7 with ``--import-mode=append`` takes two files of one name for one module."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
