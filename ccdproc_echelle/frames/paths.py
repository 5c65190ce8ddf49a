# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""File names as users write them."""

import os
from pathlib import Path

__all__ = ["user_path"]


def user_path(path: str | os.PathLike) -> Path:
    """
    Expand a path given by a user, in which ``~`` is the home folder as in a shell.

    Parameters
    ----------
    path : path-like
        Name of a file or folder.

    Returns
    -------
    `pathlib.Path`

    Examples
    --------
    >>> from pathlib import Path
    >>> from ccdproc_echelle.frames import user_path
    >>> user_path("~/flat.fits") == Path.home() / "flat.fits"
    True
    """
    return Path(os.path.expanduser(path))
