# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Sort flats into set-ups, and find the bias and dark frames for each."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from astropy.time import Time

from ccdproc_echelle.frames import number_of
from ccdproc_echelle.recipe.calibration_masters import nearest_series
from ccdproc_echelle.recipe.exposures import SAME_EXPOSURE
from ccdproc_echelle.recipe.night.frames import NightFrame
from ccdproc_echelle.recipe.setups import READOUT_KEYWORDS, SETUP_KEYWORDS

__all__ = ["NightSetup", "disagreement", "slug_of", "sorted_into_setups"]

# Keywords that are of no use in a name.
_NOT_IN_NAMES = ("shape", "GAIN", "EGAIN", "ESO DET OUT1 CONAD")

_LONGEST_NAME = 60

# Fewer flats do not make a set: cosmic rays could not be distinguished from light.
_FEWEST_FLATS = 2

# Maximum number of files named in a note.
_MOST_NAMED = 3


@dataclass(frozen=True)
class NightSetup:
    """
    Flats of one set-up, and their calibration frames.

    Attributes
    ----------
    name : str
        Made of the values of its keywords, and the same every night.
    values : dict
        Values of its keywords.
    flats, bias, dark : tuple of `NightFrame`
        The selected frames; lamp-off frames are darks.
    notes : tuple of str
        Missing calibrations, and the reason.
    """

    name: str
    values: Mapping[str, str]
    flats: tuple[NightFrame, ...]
    bias: tuple[NightFrame, ...] = ()
    dark: tuple[NightFrame, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def date(self) -> str:
        """Date of the first flat (UTC); empty if unknown."""
        times = [flat.time for flat in self.flats if flat.time is not None]
        return Time(min(times), format="mjd").isot if times else ""


def sorted_into_setups(
    frames: Sequence[NightFrame], *, scale_dark: bool = True
) -> tuple[list[NightSetup], list[tuple[Path, str]]]:
    """
    Sort frames into set-ups, each with its calibration frames.

    Flats belong to the same set-up if their headers agree in all keywords. Flats that lack a
    keyword are assigned to the set-up with which they agree otherwise, if there is only one.

    Parameters
    ----------
    frames : sequence of `NightFrame`
        All frames.
    scale_dark : bool, optional
        Whether darks may be scaled to the exposure time of the flats if there is a bias.

    Returns
    -------
    setups : list of `NightSetup`
        The set-ups, sorted by name.
    left_out : list of (`~pathlib.Path`, str)
        Frames that belong to no set-up, and the reason.
    """
    kinds = {
        kind: [frame for frame in frames if frame.kind == kind]
        for kind in ("flat", "bias", "dark", "off")
    }
    groups, left_out = _groups(kinds.pop("flat"))
    setups = [_calibrated(values, flats, kinds, scale_dark) for values, flats in groups]
    used = {frame.path for setup in setups for frame in (*setup.bias, *setup.dark)}
    for frame in (frame for some in kinds.values() for frame in some if frame.path not in used):
        left_out.append((frame.path, _why_unused(frame, setups)))
    return sorted(setups, key=lambda setup: setup.name), left_out


def disagreement(
    setup: Mapping[str, str], other: Mapping[str, str], keywords: Iterable[str] | None = None
) -> list[str]:
    """
    Find keywords that two set-ups both have, with different values.

    Parameters
    ----------
    setup, other : dict
        Values by keyword.
    keywords : iterable of str, optional
        Keywords to compare. Default: all.

    Returns
    -------
    list of str

    Examples
    --------
    >>> from ccdproc_echelle.recipe.night import disagreement
    >>> disagreement({"FILTER": "r", "CCDSUM": "1 1"}, {"FILTER": "g", "SLIT": "1.0"})
    ['FILTER']
    """
    names = setup if keywords is None else keywords
    return [name for name in names if name in setup and setup[name] != other.get(name, setup[name])]


# ---------------------------------------------------------------------- flats


def _groups(flats: Sequence[NightFrame]) -> tuple[list[tuple], list[tuple[Path, str]]]:
    """Values and flats of each set-up, and the flats that belong to none."""
    exact: dict[tuple, list[NightFrame]] = {}
    for flat in flats:
        exact.setdefault(tuple(sorted(flat.setup.items())), []).append(flat)
    full = [key for key in exact if not any(set(key) < set(other) for other in exact)]
    groups, left_out = {key: exact[key] for key in full}, []
    for key in exact.keys() - set(full):
        fitting = [other for other in full if not disagreement(dict(key), dict(other))]
        if len(fitting) == 1:
            groups[fitting[0]] = groups[fitting[0]] + exact[key]
        else:
            left_out += [(flat.path, _fits_several(fitting)) for flat in exact[key]]
    for key in full:
        if len(groups[key]) < _FEWEST_FLATS:
            left_out += [(flat.path, _lone(flat, full)) for flat in groups.pop(key)]
    in_time = [
        (dict(key), sorted(some, key=lambda flat: (flat.time or 0, flat.path)))
        for key, some in groups.items()
    ]
    return in_time, left_out


def _fits_several(fitting: Sequence[tuple]) -> str:
    names = [_name(dict(key)) for key in fitting]
    missing = sorted({
        name for key in fitting for name, value in key
        if any(dict(other).get(name) != value for other in fitting)
    })
    return f"it fits {len(names)} set-ups, {' and '.join(names)}, as it has no {', '.join(missing)}"


def _lone(flat: NightFrame, others: Sequence[tuple]) -> str:
    differing = [disagreement(flat.setup, dict(key)) for key in others]
    nearest = min((some for some in differing if some), key=len, default=[])
    about = ", ".join(f"{name} is {flat.setup[name]}" for name in nearest)
    return "the only flat of its set-up" + (f": {about}" if about else "")


def slug_of(values: Mapping[str, str]) -> str:
    """
    Turn the values of a set-up into part of a file name.

    Parameters
    ----------
    values : dict
        Values by keyword.

    Returns
    -------
    str

    Examples
    --------
    >>> from ccdproc_echelle.recipe.night.setups import slug_of
    >>> slug_of({"FILTER": "Red 2", "CCDSUM": "2 2", "INSTRUME": "SPEC", "type": "skyflat"})
    'spec-2x2-red-2-sky'
    """
    order = (*SETUP_KEYWORDS, *sorted(values.keys() - {*SETUP_KEYWORDS, "type"}))
    shown = [values[n] for n in order if n in values and n not in _NOT_IN_NAMES]
    shown = "-".join([*shown, values.get("type", "").replace("flat", "")])
    slug = re.sub(r"[^a-z0-9.]+", "-", re.sub(r"\b(\d) (\d)\b", r"\1x\2", shown.lower()))
    return slug.strip("-.")[:_LONGEST_NAME]


def _name(values: Mapping[str, str]) -> str:
    whole = repr(sorted(values.items())).encode()
    return f"{slug_of(values) or 'flat'}-{hashlib.sha256(whole).hexdigest()[:6]}"


# ---------------------------------------------------------------------- bias and dark


def _calibrated(values, flats, kinds, scale_dark: bool) -> NightSetup:
    notes: list[str] = []
    bias = _nearest_in_time(_agreeing("bias", values, kinds["bias"], notes), flats)
    agreeing = _agreeing("dark", values, [*kinds["dark"], *kinds["off"]], notes)
    dark = _nearest_in_time(_of_exposure(agreeing, flats, bool(bias and scale_dark), notes), flats)
    if not (bias or dark):
        notes.append("neither bias nor dark is subtracted, only the overscan where there is one")
    return NightSetup(
        _name(values), values, tuple(flats), tuple(bias), tuple(dark), tuple(notes)
    )


def _agreeing(
    kind: str, values: Mapping[str, str], frames: Sequence[NightFrame], notes: list[str]
) -> list[NightFrame]:
    fitting = [f for f in frames if not disagreement(f.setup, values, READOUT_KEYWORDS)]
    if frames and not fitting:
        found = {}
        for frame in frames:
            found.setdefault(_difference(frame, values, READOUT_KEYWORDS), []).append(frame)
        reasons = [f"{_named(some)}: {difference}" for difference, some in found.items()]
        notes.append(f"no {kind} matches: {'; '.join(reasons)}")
    return fitting


def _difference(frame: NightFrame, values: Mapping[str, str], keywords) -> str:
    """If both have the binning, the shape adds no information."""
    names = disagreement(frame.setup, values, keywords)
    names = [name for name in names if name != "shape"] or names
    return ", ".join(f"{n} is {frame.setup[n]}, but {values[n]} for the flats" for n in names)


def _named(frames: Sequence[NightFrame]) -> str:
    names = [frame.path.name for frame in frames[:_MOST_NAMED]]
    more = f" and {len(frames) - len(names)} more" if len(frames) > len(names) else ""
    return ", ".join(names) + more


def _of_exposure(darks, flats, may_scale: bool, notes: list[str]) -> list[NightFrame]:
    """Darks with the exposure time of the flats, lamp-off frames first; others only if scalable."""
    known = [flat.exposure for flat in flats if number_of(flat.exposure)]
    if not (darks and known):
        return list(darks)
    wanted = float(np.median(known))
    for kind in ("off", "dark"):
        equal = [d for d in darks if d.kind == kind and _distance(d, wanted) <= SAME_EXPOSURE]
        if equal:
            return equal
    if not may_scale:
        found = ", ".join(f"{t:g}" for t in sorted({d.exposure for d in darks if d.exposure}))
        notes.append(
            f"no dark matches: {_named(darks)}: exposed for {found} s, the flats for {wanted:g} s, "
            "and darks are scaled only if there is a bias"
        )
        return []
    nearest = min(darks, key=lambda dark: _distance(dark, wanted)).exposure
    return [dark for dark in darks if nearest and _distance(dark, nearest) <= SAME_EXPOSURE]


def _distance(dark: NightFrame, exposure: float) -> float:
    """Difference of exposure times, in e-folds; darks with unknown times come last."""
    return abs(np.log(dark.exposure / exposure)) if dark.exposure else np.inf


def _nearest_in_time(frames: list[NightFrame], flats) -> list[NightFrame]:
    """The series that the recipe would select, for any of the flats."""
    times = [frame.time for frame in frames]
    if not frames:
        return []
    chosen = set().union(*(nearest_series(times, flat.time) for flat in flats))
    return [frames[i] for i in sorted(chosen)]


def _why_unused(frame: NightFrame, setups: Sequence[NightSetup]) -> str:
    kind = "lamp-off frame" if frame.kind == "off" else frame.kind
    differing = [(_difference(frame, s.values, READOUT_KEYWORDS), s) for s in setups]
    if any(not difference for difference, _ in differing):
        return f"{kind}: others are nearer in time or exposure"
    if not differing:
        return f"{kind}: there are no flats"
    return f"{kind}: no set-up matches: " + min((d for d, _ in differing), key=len)
