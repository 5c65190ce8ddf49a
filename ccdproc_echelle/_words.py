# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Words of messages: numbers of things, suggestions, and errors as a single line."""

import difflib
from collections.abc import Iterable, Sized

__all__ = ["and_others", "counted", "did_you_mean", "meant_or_expected", "one_line"]


def counted(n: int, noun: str, plural: str | None = None) -> str:
    """
    Number of things, in words.

    Parameters
    ----------
    n : int
        Their number.
    noun : str
        The word for one of them.
    plural : str, optional
        The word for several. Default: with an s.

    Returns
    -------
    str

    Examples
    --------
    >>> from ccdproc_echelle._words import counted
    >>> counted(1, "frame"), counted(3, "frame"), counted(2, "needs", "need")
    ('1 frame', '3 frames', '2 need')
    """
    return f"{n} {noun if n == 1 else plural or f'{noun}s'}"


def and_others(items: Sized, noun: str = "others") -> str:
    """
    Text to append to the name of the first of several things.

    Parameters
    ----------
    items : sized
        All of them.
    noun : str, optional
        The word for the rest, a plural in -s.

    Returns
    -------
    str
        Empty if there is only one.

    Examples
    --------
    >>> from ccdproc_echelle._words import and_others
    >>> "a.fits" + and_others(["a.fits", "b.fits", "c.fits"])
    'a.fits and 2 others'
    >>> "a.fits" + and_others(["a.fits", "b.fits"])
    'a.fits and 1 other'
    """
    n_others = len(items) - 1
    if n_others < 1:
        return ""
    return f" and {n_others} {noun if n_others > 1 else noun.removesuffix('s')}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """
    Suggestion to append to an error message about an unknown name.

    Parameters
    ----------
    name : str
        The unknown name.
    known : iterable of str
        The valid names.

    Returns
    -------
    str
        Empty if none of them is similar.

    Examples
    --------
    >>> from ccdproc_echelle._words import did_you_mean
    >>> did_you_mean("hdu_mark", ["hdu_mask", "hdu_flags"])
    "; did you mean 'hdu_mask'?"
    """
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def meant_or_expected(name: str, known: Iterable[str], others: Iterable[str] = ()) -> str:
    """
    Like `did_you_mean`, but with all valid names if none is similar.

    Parameters
    ----------
    name : str
        The unknown name.
    known : iterable of str
        The valid names.
    others : iterable of str, optional
        Other names that may have been meant.

    Returns
    -------
    str

    Examples
    --------
    >>> from ccdproc_echelle._words import meant_or_expected
    >>> meant_or_expected("speed", ["hdu_mask", "hdu_flags"])
    "; expected one of ['hdu_flags', 'hdu_mask']"
    """
    known = sorted(set(known))
    return did_you_mean(name, [*known, *others]) or f"; expected one of {known}"


def one_line(message: Warning | Exception | str) -> str:
    """
    Text of a message, as a single line.

    Parameters
    ----------
    message : Exception, Warning or str
        The message.

    Returns
    -------
    str
        The type of an error without text. Errors of the operating system lose their number.

    Examples
    --------
    >>> from ccdproc_echelle._words import one_line
    >>> one_line(ValueError("the table\\n  is empty")), one_line(MemoryError())
    ('the table is empty', 'MemoryError')
    >>> one_line(FileNotFoundError(2, "No such file or directory", "flat.fits"))
    'no such file or directory: flat.fits'
    >>> one_line(OSError(18, "Invalid cross-device link", "new.fits", None, "flat.fits"))
    'invalid cross-device link: new.fits -> flat.fits'
    """
    text = str(message)
    if isinstance(message, OSError) and message.strerror and message.filename is not None:
        names = [name for name in (message.filename, message.filename2) if name is not None]
        reason = f"{message.strerror[0].lower()}{message.strerror[1:]}"
        text = f"{reason}: {' -> '.join(map(str, names))}"
    return " ".join(text.split()) or type(message).__name__
