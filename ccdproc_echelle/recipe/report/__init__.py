# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What a bug report needs to know of files, and nothing of people, places and programmes.

The modules in order: ``cards`` (of headers), ``pixels``, ``text`` (of logs and messages), ``look``
(at one file), ``bundle``.
"""

from ccdproc_echelle.recipe.report.bundle import report_on, write_report

__all__ = ["report_on", "write_report"]
