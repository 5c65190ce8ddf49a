# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Output files: refused early, written under a temporary name, renamed when whole."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from ccdproc_echelle.frames.paths import user_path

__all__ = ["check_output", "replacing"]


def check_output(
    path: str | os.PathLike, *, overwrite: bool = False, keyword: str = "overwrite"
) -> Path:
    """
    Make sure that a file can be written, before any work is done for it.

    Parameters
    ----------
    path : path-like
        The file to be written; ``~`` is the home folder.
    overwrite : bool, optional
        Whether an existing file may be replaced.
    keyword : str, optional
        By what name users say so.

    Returns
    -------
    `pathlib.Path`
        The path.

    Raises
    ------
    FileExistsError
        If the file exists and ``overwrite`` is false.
    FileNotFoundError
        If its folder does not exist.
    IsADirectoryError
        If the path is a folder.

    Examples
    --------
    >>> from ccdproc_echelle.frames import check_output
    >>> check_output("no_such_folder/master.fits")
    Traceback (most recent call last):
    ...
    FileNotFoundError: cannot write no_such_folder/master.fits: folder no_such_folder does not exist
    """
    path = user_path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: folder {path.parent} does not exist")
    if path.is_dir():
        raise IsADirectoryError(f"cannot write {path}: it is a folder, expected a file name")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} already exists; give {keyword}=True to replace it")
    return path


@contextmanager
def replacing(
    path: str | os.PathLike, *, overwrite: bool = False, keyword: str = "overwrite"
) -> Iterator[Path]:
    """
    Context manager: a temporary file that takes the place of ``path`` when it is complete.

    The temporary file carries the final name in a temporary folder next to it, so that writers
    which look at the suffix see the right one and the final rename is atomic. After an error
    nothing is left on disk and an old file is untouched.

    Parameters
    ----------
    path, overwrite, keyword
        As `check_output`.

    Yields
    ------
    `pathlib.Path`
        Where to write.

    Raises
    ------
    FileExistsError, FileNotFoundError, IsADirectoryError
        As `check_output`.
    """
    path = check_output(path, overwrite=overwrite, keyword=keyword)
    with TemporaryDirectory(dir=path.parent, prefix=".writing_") as folder:
        temporary = Path(folder) / path.name
        try:
            yield temporary
            os.replace(temporary, path)
        except OSError as error:
            if type(error) is not OSError or error.filename or "cannot write" in str(error):
                raise
            raise OSError(f"cannot write {path}: {error}") from error  # a full disk has no name
