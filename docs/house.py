# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The plan of the house for the page on contributing, drawn from the imports in the source.

``conf.py`` calls `write_plan` at each build, so that picture and table are never out of date. On
its own, ``python docs/house.py`` prints the picture.
"""

import ast
from functools import cache
from pathlib import Path

HOUSE = Path(__file__).parents[1] / "ccdproc_echelle"

# Pixels: a box, the distance between two columns and between two floors, the border.
_WIDTH, _HEIGHT, _COLUMN, _FLOOR, _BORDER = 150, 46, 180, 92, 12


def modules_of(wing: str) -> list[Path]:
    """The source files of a wing, which is a folder or a single module."""
    folder = HOUSE / wing
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


@cache
def wings() -> tuple[str, ...]:
    """All wings; the version that is written by the build is none."""
    folders = [path.parent.name for path in HOUSE.glob("*/__init__.py")]
    modules = [path.stem for path in HOUSE.glob("_[a-z]*.py") if path.stem != "_version"]
    return tuple(sorted(folders + modules))


@cache
def imports_of(wing: str) -> frozenset[str]:
    """The other wings that a wing imports anything from, also inside functions."""
    found = set()
    for path in modules_of(wing):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            parts = [name.split(".") for name in names]
            found |= {p[1] for p in parts if p[0] == HOUSE.name and len(p) > 1}
    return frozenset(found & set(wings()) - {wing})


@cache
def floor_of(wing: str) -> int:
    """A wing lies one floor above the highest that it imports."""
    return max((floor_of(other) + 1 for other in imports_of(wing)), default=0)


@cache
def reached_from(wing: str) -> frozenset[str]:
    """All wings that a wing depends on, also through others."""
    return imports_of(wing).union(*map(reached_from, imports_of(wing)))


def arrows() -> list[tuple[str, str]]:
    """Imports (from, to), without those that others imply."""
    return [
        (wing, other)
        for wing in wings()
        for other in sorted(imports_of(wing))
        if not any(other in reached_from(between) for between in imports_of(wing))
    ]


def purpose_of(wing: str) -> str:
    """The first line of a wing's docstring."""
    path = next(path for path in modules_of(wing) if path.stem in ("__init__", wing))
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))).splitlines()[0]


def _columns() -> dict[str, float]:
    """Where each wing stands: those of a floor side by side, a single one amid its neighbours."""
    floors = {}
    for wing in wings():
        floors.setdefault(floor_of(wing), []).append(wing)
    column = {
        wing: k - (len(floor) - 1) / 2 for floor in floors.values() for k, wing in enumerate(floor)
    }
    for floor in (floors[k] for k in sorted(floors)):
        if len(floor) == 1:
            below = [column[other] for wing, other in arrows() if wing == floor[0]]
            column[floor[0]] = sum(below) / max(1, len(below))
    return column


def picture() -> str:
    """The house as SVG: a box for each wing, an arrow for each import that no others imply."""
    column, top = _columns(), max(map(floor_of, wings()))
    left = min(column.values())
    middle = {
        wing: (
            _BORDER + _WIDTH / 2 + (column[wing] - left) * _COLUMN,
            _BORDER + _HEIGHT / 2 + (top - floor_of(wing)) * _FLOOR,
        )
        for wing in wings()
    }
    width = max(x for x, _ in middle.values()) + _WIDTH / 2 + _BORDER
    height = max(y for _, y in middle.values()) + _HEIGHT / 2 + _BORDER
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="sans-serif" text-anchor="middle">',
        "<title>Which wing imports which</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" '
        'markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z" fill="#777"/></marker></defs>',
    ]
    for wing, other in arrows():
        (x, y), (u, v) = middle[wing], middle[other]
        lines.append(
            f'<line x1="{x:.1f}" y1="{y + _HEIGHT / 2:.1f}" x2="{u:.1f}" '
            f'y2="{v - _HEIGHT / 2 - 2:.1f}" stroke="#777" stroke-width="1.5" '
            'marker-end="url(#tip)"/>'
        )
    for wing, (x, y) in middle.items():
        n = len([path for path in modules_of(wing) if path.stem != "__init__"])
        lines += [
            f'<rect x="{x - _WIDTH / 2:.1f}" y="{y - _HEIGHT / 2:.1f}" width="{_WIDTH}" '
            f'height="{_HEIGHT}" rx="4" fill="#eef3f8" stroke="#0072b2"/>',
            f'<text x="{x:.1f}" y="{y - 2:.1f}" font-size="15" fill="#111">{wing}</text>',
            f'<text x="{x:.1f}" y="{y + 15:.1f}" font-size="11" fill="#555">'
            f"{n} module{'s' * (n != 1)}</text>",
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"


def table() -> str:
    """The wings as a table of reStructuredText: what each is for, and what it imports."""
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: 16 50 34", ""]
    rows = [("Wing", "What it is for", "Imports")]
    for wing in sorted(wings(), key=lambda wing: (-floor_of(wing), wing)):
        others = sorted(imports_of(wing), key=lambda other: (-floor_of(other), other))
        imports = ", ".join(f"``{other}``" for other in others) or "none of the others"
        rows.append((f"``{wing}``", purpose_of(wing), imports))
    for wing, purpose, imports in rows:
        lines += [f"   * - {wing}", f"     - {purpose}", f"     - {imports}"]
    return "\n".join(lines) + "\n"


def write_plan(folder: Path) -> None:
    """Write ``house.svg`` and ``house.txt`` to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "house.svg").write_text(picture(), encoding="utf-8")
    (folder / "house.txt").write_text(table(), encoding="utf-8")


if __name__ == "__main__":
    print(picture(), end="")
