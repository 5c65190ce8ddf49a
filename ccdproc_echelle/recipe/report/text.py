# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Text without the folders, addresses and names of the one who wrote it."""

import getpass
import platform
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

__all__ = ["anonymous_text", "names_of_this_machine"]

_ADDRESS = re.compile(r"\w[\w+.-]*://[^\s'\"<>]+|[\w.+-]+@[\w.-]+|\b\d{1,3}(?:\.\d{1,3}){3}\b")

# Names of files are kept by their endings: the last part of a folder may be that of its owner.
_FILE = (
    r"[^\s'\",:;()<>\[\]/\\]+\.(?:fits?|fts|fz|gz|bz2|xz|ecsv|csv|txt|log|toml|ya?ml|npz|png|pdf"
    r"|html|reg|dat|py|so|pyd)(?![\w/\\])"
)
_START = r"(?:~\w*|\b[A-Za-z]:|\.{1,2})?[/\\]"
_PATH = re.compile(
    # within quotation marks, where it may have blanks
    rf"(?<!\w)(?P<quote>[\"'])(?:{_START}[^\"'\n]*|[^\"'\n]*[/\\]{_FILE})(?P=quote)"
    # to a file: blanks are those of a folder, if another slash and no option follows
    rf"|(?<![\w/\\.~<>-]){_START}(?:(?:(?!\s-)[^\n'\",:;()/\\~])*[^\s'\",:;()/\\~][/\\])*?{_FILE}"
    rf"|(?:[^\s'\",:;()<>\[\]/\\]+[/\\])+{_FILE}"
    # to a folder
    rf"|(?<![\w/\\.~<>-]){_START}(?:\\.|[^\s'\",:;()<>\[\]])+",
    re.IGNORECASE,
)
_LAST = re.compile(rf"{_FILE}\Z", re.IGNORECASE)
_INSTALLED = re.compile(r"(?<=-packages[/\\]).*\.py\Z")  # many modules are called core.py

# Names that are words, and shorter ones that are parts of words.
_WORDS = {"root", "user", "admin", "home", "localhost"}
_SHORTEST = 3


def anonymous_text(text: str, names: Mapping[str, str], secrets: Iterable[str] = ()) -> str:
    """
    Text in which paths are file names, and files and people have no names.

    Parameters
    ----------
    text : str
        A log, or a message.
    names : dict
        What to call files: names or paths, and what takes their place.
    secrets : iterable of str
        Names that are taken out. Those of fewer than three letters are not looked for.

    Returns
    -------
    str
        Paths are the names of their files, or ``<folder>``; addresses are ``<address>``, and
        secrets ``<name>``.

    Examples
    --------
    >>> from ccdproc_echelle.recipe.report.text import anonymous_text
    >>> anonymous_text(
    ...     "jane@desk:~/night$ flat /data/Jane Doe/flat_07.fits --dark ../d.fits -o /data/out",
    ...     {"flat_07.fits": "frame_01.fits"}, ["Jane Doe"])
    '<address>:<folder> flat frame_01.fits --dark d.fits -o <folder>'
    """
    for name in sorted(names, key=len, reverse=True):
        text = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", names[name], text)
    text = _PATH.sub(_shortened, _ADDRESS.sub("<address>", text))
    for secret in sorted(set(secrets), key=len, reverse=True):
        if len(secret) >= _SHORTEST and secret.lower() not in _WORDS:
            word = rf"(?<!\w){re.escape(secret)}(?!\w)"
            text = re.sub(word, "<name>", text, flags=re.IGNORECASE)
    return text


def _shortened(found: re.Match) -> str:
    quote = found["quote"] or ""
    path = found[0].strip(quote)
    last = _INSTALLED.search(path) or _LAST.search(path)
    return f"{quote}{last[0] if last else '<folder>'}{quote}"


def names_of_this_machine() -> set[str]:
    """
    The names of user and machine.

    Returns
    -------
    set of str
    """
    host = platform.node()
    names = {Path.home().name, host, host.partition(".")[0]}
    try:
        names.add(getpass.getuser())
    except (OSError, KeyError, ImportError):  # a user without a name
        pass
    return names - {""}
