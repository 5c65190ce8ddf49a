# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Output files: refused early, written under a temporary name, renamed when whole."""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ccdproc_echelle.frames.paths import user_path
from ccdproc_echelle.frames.scratch import scratch_folder

__all__ = ["FITS_ENDINGS", "check_output", "replacing"]

#: How the names of FITS files end.
FITS_ENDINGS = (".fits", ".fit", ".fts", ".fits.gz")


def check_output(
    path: str | os.PathLike,
    *,
    overwrite: bool = False,
    keyword: str = "overwrite",
    inputs: Iterable[str | os.PathLike] = (),
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
    inputs : iterable of path-like, optional
        Files that the output is made from, which are never replaced; other names of inputs,
        that are no files, do no harm.

    Returns
    -------
    `pathlib.Path`
        The path.

    Raises
    ------
    ValueError
        If the file, which may be replaced, is one of the inputs, by whatever name or link.
    FileExistsError
        If the file exists and ``overwrite`` is false, or what exists is not a regular file.
    FileNotFoundError
        If its folder does not exist, or it is a link to what does not exist.
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
    if path.is_symlink() and not path.exists():
        raise FileNotFoundError(
            f"cannot write {path}: it is a link to {os.readlink(path)}, which does not exist"
        )
    if path.exists():
        _check_replacement(path, overwrite, keyword, inputs)
    return path


def _check_replacement(
    path: Path, overwrite: bool, keyword: str, inputs: Iterable[str | os.PathLike]
) -> None:
    if not path.is_file():
        raise FileExistsError(f"cannot write {path}: what exists there is not a regular file")
    if not overwrite:
        raise FileExistsError(f"{path} already exists; give {keyword}=True to replace it")
    for name in inputs:
        if os.path.exists(name) and os.path.samefile(name, path):
            raise ValueError(f"cannot write {path}: it is the input {name}, expected another file")


@contextmanager
def replacing(
    path: str | os.PathLike, *, overwrite: bool = False, keyword: str = "overwrite"
) -> Iterator[Path]:
    """
    Context manager: a temporary file that takes the place of ``path`` when it is complete.

    The temporary file carries the final name in a temporary folder next to it, so that writers
    which look at the suffix see the right one and the final rename is atomic. Without
    ``overwrite`` it fails where somebody else has written the file meanwhile. A file that is
    replaced hands on its permissions. After an error nothing is left on disk and an old file is
    untouched.

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
    with scratch_folder(dir=path.parent, prefix=".writing_") as folder:
        temporary = folder / path.name
        try:
            yield temporary
            _put(temporary, path, overwrite)
        except OSError as error:
            if type(error) is not OSError or error.filename or "cannot write" in str(error):
                raise
            raise OSError(f"cannot write {path}: {error}") from error  # a full disk has no name


def _put(temporary: Path, path: Path, overwrite: bool) -> None:
    if overwrite:
        if path.exists():
            shutil.copymode(path, temporary)
        os.replace(temporary, path)
        return
    try:
        _put_where_nothing_is(temporary, path)
    except FileExistsError:
        check_output(path)  # which says it better
        raise


def _put_where_nothing_is(temporary: Path, path: Path) -> None:
    """Of several who do this at the same time one succeeds, the others get a FileExistsError."""
    try:
        os.link(temporary, path)
    except (FileExistsError, FileNotFoundError):
        raise
    except (OSError, NotImplementedError):  # the file system has no hard links
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
        os.replace(temporary, path)
