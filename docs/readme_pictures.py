# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Draw the pictures of README.rst and of the pages again: ``python docs/readme_pictures.py``.

It runs the tutorial, which needs specreduce, and the page on tracing.
"""

import doctest
import runpy
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from ccdproc_echelle import MasterFlat
from ccdproc_echelle.cli import main as ccdproc_echelle
from ccdproc_echelle.plotting import plot_orders, plot_summary

DOCS = Path(__file__).parent


def main() -> None:
    """Draw all of them."""
    matplotlib.use("Agg")
    recipe = runpy.run_path(str(DOCS / "recipes" / "plot_drop_in.py"))
    _save(_errors(recipe["results"], recipe["inside"]), "drop_in.png", dpi=130)
    for page in (DOCS / "tutorial.rst", DOCS / "guide" / "tracing.rst"):
        for name, found in _run_page(page).items():
            if name.endswith("_figure"):
                _save(found, f"{page.stem}_{name.removesuffix('_figure')}.png")
    with TemporaryDirectory() as folder:
        ccdproc_echelle(["demo", "--folder", folder, "--overwrite"])
        master = MasterFlat.read(Path(folder, "master.fits"))
        _save(_orders(master), "master.png", dpi=130)
        _save(plot_summary(master), "summary.png", dpi=130)


def _errors(results: dict, inside: np.ndarray):
    """The errors of both versions of a script, large enough for a phone."""
    figure, axes = plt.subplots(1, 2, figsize=(6.5, 3.4), sharey=True, layout="constrained")
    for ax, (name, (error, _)) in zip(axes, results.items(), strict=True):
        shown = np.where(inside, 100 * error, np.nan)
        image = ax.imshow(shown, vmin=-5, vmax=5, cmap="RdBu_r", origin="lower")
        ax.set(
            title=name.split(": ")[1], xlabel="column (pixel)", xlim=(640, 790), ylim=(560, 710),
            facecolor="0.75",
        )
    axes[0].set_ylabel("row (pixel)")
    figure.colorbar(image, ax=axes, label="master / truth \N{MINUS SIGN} 1 (%)", extend="both")
    return figure


def _orders(master: MasterFlat):
    """The flat with its orders, wide rather than high."""
    figure, ax = plt.subplots(figsize=(6.5, 3.8), layout="constrained")
    plot_orders(master.flat, master.orders, ax=ax)
    return figure


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
