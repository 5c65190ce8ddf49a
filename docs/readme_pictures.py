# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Draw the pictures of README.rst and of the pages again: ``python docs/readme_pictures.py``."""

import doctest
import runpy
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib
import matplotlib.pyplot as plt
from PIL import Image

from ccdproc_echelle import MasterFlat
from ccdproc_echelle.cli import main as ccdproc_echelle
from ccdproc_echelle.plotting import plot_summary

DOCS = Path(__file__).parent


def main() -> None:
    """Draw all of them."""
    matplotlib.use("Agg")
    runpy.run_path(str(DOCS / "recipes" / "plot_drop_in.py"))
    _save(plt.figure(2), "drop_in.png")
    for name, found in _run_page(DOCS / "tutorial.rst").items():
        if name.endswith("_figure"):
            _save(found, f"tutorial_{name.removesuffix('_figure')}.png")
    with TemporaryDirectory() as folder:
        ccdproc_echelle(["demo", "--folder", folder, "--overwrite"])
        _save(plot_summary(MasterFlat.read(Path(folder, "master.fits"))), "summary.png", dpi=110)


def _run_page(path: Path) -> dict:
    """Run the examples of a page and return what they have named."""
    names = {}
    for example in doctest.DocTestParser().get_examples(path.read_text(encoding="utf-8")):
        exec(compile(example.source, str(path), "single"), names)
    return names


def _save(figure, name: str, dpi: int = 80) -> None:
    """As a small PNG: 256 colours are enough."""
    buffer = BytesIO()
    figure.savefig(buffer, dpi=dpi)
    picture = Image.open(buffer).convert("RGB").quantize(256, kmeans=2)
    picture.save(DOCS / "_static" / name, optimize=True)


if __name__ == "__main__":
    main()
