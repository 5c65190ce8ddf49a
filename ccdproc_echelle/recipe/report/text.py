# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Remove folders, addresses and names of the author from a text."""

import getpass
import platform
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

__all__ = ["anonymous_text", "names_of_this_machine"]

# Repetitions are limited, and parts begin at the start of a word: a log may have very long lines.
_ADDRESS = re.compile(
    r"(?<!\w)\w[\w+.-]{0,20}://[^\s'\"<>]+|(?<![\w.+-])[\w.+-]{1,99}@[\w.-]+"
    r"|\b\d{1,3}(?:\.\d{1,3}){3}\b"
)

# File names are recognised by their extensions: the last part of a folder may be its owner's name.
_FILE = (
    r"[^\s'\",:;()<>\[\]/\\]{1,255}\.(?:fits?|fts|fz|gz|bz2|xz|ecsv|csv|txt|log|toml|ya?ml|npz|png"
    r"|pdf|html|reg|dat|py|so|pyd)(?![\w/\\])"
)
_START = r"(?:~\w*|\b[A-Za-z]:|\.{1,2})?[/\\]"
_ABSOLUTE = rf"(?<![\w/\\.~<>-]){_START}"
# Within a path that is not quoted, a folder may contain blanks, but not at its end, nor options.
_FOLDER = r"(?:(?!\s-)[^\n'\",:;()/\\~]){0,255}[^\s'\",:;()/\\~][/\\]"
_PATH = re.compile(
    rf"(?<!\w)(?P<quote>[\"'])(?:{_START}[^\"'\n]*|[^\"'\n]*[/\\]{_FILE})(?P=quote)"
    rf"|{_ABSOLUTE}(?:{_FOLDER}){{0,30}}?{_FILE}"
    rf"|(?<![^\s'\",:;()<>\[\]=])(?:[^\s'\",:;()<>\[\]/\\]+[/\\])+{_FILE}"
    rf"|{_ABSOLUTE}(?:\\.|[^\s'\",:;()<>\[\]])+",
    re.IGNORECASE,
)
_LAST = re.compile(rf"{_FILE}\Z", re.IGNORECASE)
_INSTALLED = re.compile(r"(?<=-packages[/\\]).*\.py\Z")  # many modules are called core.py

# Names that are words without which a log could not be read; shorter names are ignored as well.
_WORDS = {
    "root", "user", "admin", "home", "localhost", "observer", "staff", "service", "unknown", "none",
    "the", "and", "for", "from", "not", "with", "night", "flat", "flats", "bias", "dark", "lamp",
    "arc", "sky", "star", "test", "object", "frame", "frames", "science", "calibration", "echelle",
}
_SHORTEST = 3


def anonymous_text(text: str, names: Mapping[str, str], secrets: Iterable[str] = ()) -> str:
    """
    Remove folders and names of people from a text, and rename files.

    Parameters
    ----------
    text : str
        A log or a message.
    names : dict
        Maps names or paths of files to their replacements.
    secrets : iterable of str
        Names to remove. Those with fewer than three letters, and those that are words of the field,
        are ignored.

    Returns
    -------
    str
        Paths are replaced by the names of their files, or by ``<folder>``, addresses by
        ``<address>``, and secrets by ``<name>``.

    Examples
    --------
    >>> from ccdproc_echelle.recipe.report.text import anonymous_text
    >>> anonymous_text(
    ...     "jane@desk:~/night$ flat /data/Jane Doe/flat_07.fits --dark ../d.fits -o /data/out",
    ...     {"flat_07.fits": "frame_01.fits"}, ["Jane Doe"])
    '<address>:<folder> flat frame_01.fits --dark d.fits -o <folder>'
    """
    if names:
        text = re.sub(rf"(?<![\w.-]){_one_of(names)}(?![\w-])", lambda found: names[found[0]], text)
    text = _PATH.sub(_shortened, _ADDRESS.sub("<address>", text))
    known = [s for s in secrets if len(s) >= _SHORTEST and s.lower() not in _WORDS]
    if known:
        text = re.sub(rf"(?<!\w){_one_of(known)}(?!\w)", "<name>", text, flags=re.IGNORECASE)
    return text


def _one_of(names: Iterable[str]) -> str:
    """Regular expression for any of these names, the longest first."""
    return f"(?:{'|'.join(map(re.escape, sorted(names, key=len, reverse=True)))})"


def _shortened(found: re.Match) -> str:
    quote = found["quote"] or ""
    path = found[0].strip(quote)
    last = _INSTALLED.search(path) or _LAST.search(path)
    return f"{quote}{last[0] if last else '<folder>'}{quote}"


def names_of_this_machine() -> set[str]:
    """
    Names of the user and of the machine.

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
