# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Warnings that point at the line of the user's script that led to them."""

import os
import sys
import warnings
from pathlib import Path

from astropy.utils.exceptions import AstropyUserWarning

__all__ = ["warn"]

_PACKAGE = str(Path(__file__).parent) + os.sep


def warn(message: str, category: type[Warning] = AstropyUserWarning) -> None:
    """
    Warn at the line outside the package from which it was called.

    Python shows each warning once per line: at a line within the package, that of one call would
    hide those of all others.

    Parameters
    ----------
    message : str
        What is suspicious, and what to do about it.
    category : type, optional
        Kind of warning.
    """
    frame, level = sys._getframe(1), 2
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
