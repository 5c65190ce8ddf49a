# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Suggestions for misspelt names."""

import difflib
from collections.abc import Iterable

__all__ = ["did_you_mean"]


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
    >>> from ccdproc_echelle._hints import did_you_mean
    >>> did_you_mean("hdu_mark", ["hdu_mask", "hdu_flags"])
    "; did you mean 'hdu_mask'?"
    """
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
