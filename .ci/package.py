"""
Install each archive in a folder, wheel and source, alone in an empty environment, and try it.

The public names are imported, the demo makes a master flat, without anything that is optional;
versions and seconds are printed. ``python .ci/package.py dist``, after ``python -m build``.
"""

import os
import subprocess
import sys
import time
import venv
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

# What an archive must find by itself.
ENVIRONMENT = {name: os.environ[name] for name in os.environ if not name.startswith("PYTHON")}

SMOKE = """\
import platform
from importlib.metadata import version
import ccdproc_echelle
for name in ccdproc_echelle.__all__:
    getattr(ccdproc_echelle, name)
import ccdproc_echelle.cli.commands, ccdproc_echelle.plotting, ccdproc_echelle.simulation
names = ("ccdproc_echelle", "astropy", "ccdproc", "numpy", "scipy")
print("  python", platform.python_version(), *(f"{name} {version(name)}" for name in names))
"""


def main(folder: Path) -> None:
    wheels, sources = sorted(folder.glob("*.whl")), sorted(folder.glob("*.tar.gz"))
    if not (wheels and sources):
        sys.exit(f"{folder} has {len(wheels)} wheels and {len(sources)} source archives, "
                 "expected both: run python -m build")
    for archive in (*wheels, *sources):
        with TemporaryDirectory() as place:
            check(archive.resolve(), Path(place))


def check(archive: Path, place: Path) -> None:
    print(archive.name, flush=True)
    venv.create(place / "venv", with_pip=True, symlinks=os.name != "nt")
    scripts = place / "venv" / ("Scripts" if os.name == "nt" else "bin")

    def run(program: str, *arguments: str) -> None:
        command = [scripts / program, *arguments]
        subprocess.run(command, cwd=place, env=ENVIRONMENT, check=True)

    with seconds("install"):
        run("python", "-m", "pip", "install", "--quiet", str(archive))
    run("python", "-m", "pip", "check")
    with seconds("import"):
        run("python", "-W", "error", "-c", SMOKE)
    with seconds("demo"):
        run("ccdproc-echelle", "demo")


@contextmanager
def seconds(what: str):
    start = time.perf_counter()
    yield
    print(f"  {what}: {time.perf_counter() - start:.1f} s", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
