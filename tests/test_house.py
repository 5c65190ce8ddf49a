# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The house: which wing may import which, and what crosses between them."""

import ast
import importlib
from functools import cache
from pathlib import Path

import pytest

import ccdproc_echelle

HOUSE = Path(ccdproc_echelle.__file__).parent

# Each wing imports from those before it. The simulation knows frames and orders only, so that it
# can judge what the others do.
TOOLS = ["_numeric", "_warnings", "_words", "_tasks"]
WINGS = [
    *TOOLS, "frames", "orders", "combining", "light", "plotting", "recipe", "simulation", "cli",
]
MAY_IMPORT = {wing: set(WINGS[:i]) for i, wing in enumerate(WINGS)} | {
    "light": {*TOOLS, "frames", "orders"},
    "simulation": {*TOOLS, "frames", "orders"},
}
MODULES = sorted(HOUSE.rglob("*.py"))
LONGEST = 800


def wing_of(path) -> str:
    return path.relative_to(HOUSE).parts[0].removesuffix(".py")


@cache
def imports_of(path) -> list:
    """(wing, module, name) of all that a module imports, late and for type checking included."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == HOUSE.name:
            names = [(node.module, alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [(a.name, None) for a in node.names if a.name.split(".")[0] == HOUSE.name]
        for module, name in names:
            parts = module.split(".")[1:]
            wing = parts[0] if parts else name if name in WINGS else None
            found.append((wing, module, name))
    return found


def test_there_are_no_other_doors():
    doors = {path.name.removesuffix(".py") for path in HOUSE.iterdir()} - {"__pycache__"}
    assert doors - {"_version"} == {*WINGS, "__init__", "__main__"}


@pytest.mark.parametrize("wing", WINGS)
def test_imports_run_one_way(wing):
    for path in MODULES:
        if wing_of(path) == wing:
            others = {found for found, _, _ in imports_of(path)} - {wing, None}
            assert others <= MAY_IMPORT[wing], path


def test_modules_of_a_wing_import_each_other_one_way():
    modules = {
        ".".join(["ccdproc_echelle", *path.relative_to(HOUSE).with_suffix("").parts]): path
        for path in MODULES
    }
    uses = {}
    for module, path in modules.items():
        named = {(m, f"{m}.{name}") for _, m, name in imports_of(path)}
        uses[module] = {n for pair in named for n in pair if n in modules} - {module}

    def check(module, path_to_it):
        assert module not in path_to_it, f"a circle: {[*path_to_it, module]}"
        if module not in checked:
            for used in uses[module]:
                check(used, [*path_to_it, module])
            checked.add(module)

    checked = set()
    for module in modules:
        check(module, [])


def test_no_private_name_crosses_a_wing():
    for path in MODULES:
        for wing, module, name in imports_of(path):
            if wing != wing_of(path) and wing in WINGS and name is not None:
                inner = module.split(".")[2:] if wing != "_numeric" else []
                assert not name.startswith("_"), (path, module, name)
                assert not any(part.startswith("_") for part in inner), (path, module)


@pytest.mark.parametrize("wing", [w for w in WINGS if not w.startswith("_")])
def test_other_wings_are_entered_by_their_door(wing):
    """What a wing hands on is listed; nothing else of it is imported elsewhere."""
    door = importlib.import_module(f"ccdproc_echelle.{wing}")
    assert sorted(set(door.__all__)) == sorted(door.__all__)
    for path in MODULES:
        if wing_of(path) in (wing, "__init__"):
            continue
        for found, module, name in imports_of(path):
            if found == wing:
                assert module == f"ccdproc_echelle.{wing}", (path, module)
                assert name in door.__all__, (path, name)


def test_the_package_shows_its_public_names_only():
    assert dir(ccdproc_echelle) == sorted(ccdproc_echelle.__all__)
    for name in ccdproc_echelle.__all__:
        assert getattr(ccdproc_echelle, name) is not None


def test_the_pages_list_every_public_name_once(pytestconfig):
    """What is on the pages of users is left out of that of building blocks."""
    pages = pytestconfig.rootpath / "docs"
    tasks = [pages / "api.rst", *pages.glob("api/*.rst")]
    api = [word for page in tasks for word in page.read_text(encoding="utf-8").split()]
    blocks = (pages / "building_blocks.rst").read_text(encoding="utf-8").split()
    assert {name: api.count(name) for name in ccdproc_echelle.__all__} == dict.fromkeys(
        ccdproc_echelle.__all__, 1)
    formats = (pages / "order_formats.rst").read_text(encoding="utf-8").splitlines()
    assert sorted(ccdproc_echelle.orders.formats.__all__) == sorted(
        line.split(".")[-1] for line in formats if line.startswith(".. automodule::"))
    for wing in [*WINGS[len(TOOLS):], "orders.rasters"]:
        door = importlib.import_module(f"ccdproc_echelle.{wing}")
        names = set(door.__all__) - {"formats", "rasters"}
        users = {name for name in names if {name, f"{wing}.{name}"} & {*api, "recentre"}}
        counts = {name: blocks.count(f"{wing}.{name}") for name in names}
        assert counts == {name: int(name not in users) for name in names}, wing


def test_what_checkers_see_is_what_there_is():
    """Names are imported when asked for; type checkers and editors read the imports instead."""
    init = HOUSE / "__init__.py"
    seen = [(name, module) for _, module, name in imports_of(init) if "_version" not in module]
    assert sorted(name for name, _ in seen) == sorted([*ccdproc_echelle.__all__, "recentre"])
    for name, module in seen:
        assert getattr(ccdproc_echelle, name) is getattr(importlib.import_module(module), name)


def test_what_takes_long_to_import_is_imported_late():
    """Half a second each, and optional or needed by few."""
    slow = {"scipy.stats", "scipy.signal", "matplotlib", "tqdm", "specreduce"}
    for path in MODULES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [getattr(node, "module", None)] if isinstance(node, ast.ImportFrom) else [
                alias.name for alias in getattr(node, "names", []) if isinstance(node, ast.Import)
            ]
            for name in names:
                assert not any(f"{name}.".startswith(f"{each}.") for each in slow), (path, name)


def test_only_one_place_warns():
    for path in MODULES:
        if path.name != "_warnings.py":
            text = path.read_text(encoding="utf-8")
            assert "warnings.warn(" not in text and "stacklevel" not in text, path


def test_rooms_are_small():
    for path in MODULES:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST, path
