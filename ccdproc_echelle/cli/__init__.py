# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The command line: a module for each command, a thin layer on what scripts call."""

from ccdproc_echelle.cli.main import main

__all__ = ["main"]
