# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Output files: checked early, written under a temporary name, renamed when complete."""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from ccdproc_echelle.frames.paths import user_path
from ccdproc_echelle.frames.scratch import scratch_folder

__all__ = [
    "FITS_ENDINGS", "FOREIGN_ENDINGS", "TEXT_ENDINGS", "check_fits_name", "check_output",
    "replacing",
]

#: Extensions of FITS files.
FITS_ENDINGS = (".fits", ".fit", ".fts", ".fits.gz", ".fit.gz", ".fts.gz", ".fits.bz2")

#: Extensions of text files.
TEXT_ENDINGS = (".ecsv", ".csv", ".txt", ".reg")

#: Extensions of pictures, arrays, archives and others, which no product should have by mistake.
FOREIGN_ENDINGS = (
    ".png", ".pdf", ".svg", ".eps", ".ps", ".jpg", ".jpeg", ".tif", ".tiff", ".gif", ".npy", ".npz",
    ".h5", ".hdf5", ".asdf", ".pkl", ".json", ".yaml", ".yml", ".toml", ".xml", ".html", ".zip",
    ".z", ".tar", ".tgz",
)


def check_fits_name(path: str | os.PathLike, what: str) -> None:
    """
    Check that a FITS file will not have the name of a picture, a text file, an array or an archive.

    Parameters
    ----------
    path : path-like
        The file to write.
    what : str
        What it holds, used in the message.

    Raises
    ------
    ValueError
        If it has.

    Examples
    --------
    >>> from ccdproc_echelle.frames import check_fits_name
    >>> check_fits_name("master.fits.gz", "a master flat")
    """
    if os.fspath(path).lower().endswith((*TEXT_ENDINGS, *FOREIGN_ENDINGS)):
        raise ValueError(
            f"cannot write {path}: {what} is a FITS file, expected a name such as "
            f"{Path(path).stem.removesuffix('.fits')}.fits"
        )


def check_output(
    path: str | os.PathLike,
    *,
    overwrite: bool = False,
    keyword: str = "overwrite",
    inputs: Iterable[str | os.PathLike] = (),
) -> Path:
    """
    Check that a file can be written, before any work is done.

    Parameters
    ----------
    path : path-like
        The file to write; ``~`` is the home folder.
    overwrite : bool, optional
        Whether an existing file may be replaced.
    keyword : str, optional
        Name of the user's keyword for this, used in messages.
    inputs : iterable of path-like, optional
        Files from which the output is made, which are never replaced; names that are not files are
        ignored.

    Returns
    -------
    `pathlib.Path`
        The path.

    Raises
    ------
    ValueError
        If the file may be replaced but is one of the inputs, under whatever name or link.
    FileExistsError
        If the file exists and ``overwrite`` is false, or it is not a regular file.
    FileNotFoundError
        If its folder does not exist, or it is a link to something that does not exist.
    IsADirectoryError
        If the path is a folder, or ends like one.
    OSError
        If no file can be written to its folder: `PermissionError`, or the error of a full disk.

    Examples
    --------
    >>> from ccdproc_echelle.frames import check_output
    >>> check_output("no_such_folder/master.fits")
    Traceback (most recent call last):
    ...
    FileNotFoundError: cannot write no_such_folder/master.fits: folder no_such_folder does not exist
    """
    means_folder = os.fsdecode(path).endswith("/")
    path = user_path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: folder {path.parent} does not exist")
    if path.is_dir() or means_folder:
        raise IsADirectoryError(f"cannot write {path}: it is a folder, expected a file name")
    if path.is_symlink() and not path.exists():
        raise FileNotFoundError(
            f"cannot write {path}: it is a link to {os.readlink(path)}, which does not exist"
        )
    if path.exists():
        _check_replacement(path, overwrite, keyword, inputs)
    _check_folder(path)
    return path


def _check_folder(path: Path) -> None:
    """Raise unless a file can be made in the folder of the output, by making one without a name."""
    try:
        with TemporaryFile(dir=path.parent, prefix=".writing_"):
            pass
    except OSError as error:
        raise type(error)(
            f"cannot write {path}: no file can be written to folder {path.parent} "
            f"({error.strerror})"
        ) from error


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
    Context manager that yields a temporary file, which replaces ``path`` when it is complete.

    The temporary file has the final name, in a temporary folder next to the destination, so that
    writers see the correct suffix and the final rename is atomic. Without ``overwrite``, it fails
    if another process has created the file in the meantime. A file that is replaced passes on its
    permissions. After an error, nothing is left on disk and an old file is unchanged.

    Parameters
    ----------
    path, overwrite, keyword
        See `check_output`.

    Yields
    ------
    `pathlib.Path`
        Path to write to.

    Raises
    ------
    FileExistsError, FileNotFoundError, IsADirectoryError
        Under the same conditions as in `check_output`.
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
        check_output(path)  # gives a better error message
        raise


def _put_where_nothing_is(temporary: Path, path: Path) -> None:
    """If several processes do this at the same time, one succeeds and the others fail."""
    try:
        os.link(temporary, path)
    except (FileExistsError, FileNotFoundError):
        raise
    except (OSError, NotImplementedError):  # the file system has no hard links
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
        os.replace(temporary, path)
