# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``python -m ccdproc_echelle`` is the command ``ccdproc-echelle``."""

import sys

from ccdproc_echelle.cli import main

sys.exit(main())
