# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Translate parameters of the SOXS recipe into keywords of `make_master_flat`."""

from collections.abc import Mapping
from typing import Any

from ccdproc_echelle._warnings import warn
from ccdproc_echelle._words import meant_or_expected

__all__ = ["SOXS_NAMES", "from_soxs_names"]

_EDGES = {
    "slice-length-for-edge-detection": "slice_length",
    "slice-width-for-edge-detection": "slice_width",
    "disp-axis-deg": "degree",
    "poly-fitting-residual-clipping-sigma": "sigma",
    "poly-clipping-iteration-limit": "maxiters",
}

_THRESHOLDS = tuple(f"{end}-percentage-threshold-for-edge-detection" for end in ("min", "max"))

# Parameters without a counterpart, and the reason.
_NOTHING_HERE = {
    "stacked-clipping-iterations": "values are clipped once",
    "order-deg": "each edge is fitted separately",
    "low-sensitivity-clipping-sigma": "pixels are compared with their surroundings",
    "background-subtraction": "the surface is determined from the data",
    "scale-d2-to-qth": "stitch_flats always scales",
    "qc-acceptable-ranges": "limits= has different quantities",
}

#: The parameters of ``soxs-mflat`` that `from_soxs_names` knows.
SOXS_NAMES = (
    "centre-order-window", "stacked-clipping-sigma", "subtract_background", *_THRESHOLDS, *_EDGES,
    *_NOTHING_HERE,
)


def from_soxs_names(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """
    Translate parameters of the SOXS recipe, among keywords of `make_master_flat`.

    Parameters
    ----------
    keywords : dict
        Names may be of either kind. If both specify the same thing, the keyword of this package
        takes precedence.

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        If only one of the two thresholds is given, or a parameter with a dash is unknown.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If a parameter has no counterpart.

    References
    ----------
    SOXS pipeline documentation, recipe ``soxs-mflat``.

    Examples
    --------
    >>> from ccdproc_echelle.recipe import from_soxs_names
    >>> from_soxs_names({"centre-order-window": 20, "disp-axis-deg": 5, "margin": 1})
    {'window': 20, 'edge_keywords': {'degree': 5}, 'margin': 1}
    """
    theirs = {name: keywords[name] for name in keywords if name in SOXS_NAMES}
    ours = {name: value for name, value in keywords.items() if name not in SOXS_NAMES}
    for name in ours:
        if "-" in name:
            hint = meant_or_expected(name, SOXS_NAMES)
            raise ValueError(f"the SOXS recipe has no parameter {name!r}{hint}")
    ignored = [f"{name} ({_NOTHING_HERE[name]})" for name in theirs if name in _NOTHING_HERE]
    if ignored:
        warn(f"parameters of the SOXS recipe that have no counterpart here: {', '.join(ignored)}")
    found = _keywords(theirs)
    edges = _edge_keywords(theirs)
    if edges:
        found["edge_keywords"] = edges | dict(ours.pop("edge_keywords", None) or {})
    return found | ours


def _keywords(theirs: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    if "centre-order-window" in theirs:
        found["window"] = theirs["centre-order-window"]
    if "stacked-clipping-sigma" in theirs:
        sigma = theirs["stacked-clipping-sigma"]
        found |= {"sigma_clip_low_thresh": sigma, "sigma_clip_high_thresh": sigma}
    if "subtract_background" in theirs:
        found["scattered_light"] = "master" if theirs["subtract_background"] else None
    return found


def _edge_keywords(theirs: Mapping[str, Any]) -> dict[str, Any]:
    found = {_EDGES[name]: value for name, value in theirs.items() if name in _EDGES}
    given = [name for name in _THRESHOLDS if name in theirs]
    if len(given) == 1:
        missing, = set(_THRESHOLDS) - set(given)
        raise ValueError(f"{given[0]} is given without {missing}, expected both")
    if given:
        found["threshold"] = tuple(theirs[name] / 100 for name in _THRESHOLDS)
    return found
