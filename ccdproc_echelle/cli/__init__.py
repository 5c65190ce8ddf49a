# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The command ``ccdproc-echelle``."""

from ccdproc_echelle.cli.commands import main

__all__ = [
    "main",
]
