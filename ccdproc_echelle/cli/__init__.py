# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The command line: one module per command, a thin layer over what scripts call."""

from ccdproc_echelle.cli.main import main

__all__ = ["main"]
