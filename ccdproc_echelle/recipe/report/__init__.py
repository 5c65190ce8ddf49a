# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Collect what a bug report needs to know about files, without people, places and programmes.

The modules, in order: ``cards`` (of headers), ``pixels``, ``text`` (of logs and messages), ``look``
(at a single file), ``bundle``.
"""

from ccdproc_echelle.recipe.report.bundle import report_on, write_report

__all__ = ["report_on", "write_report"]
