# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Decide which frames of a set are used, given what the vetting has found."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from astropy.table import QTable, vstack

from ccdproc_echelle._warnings import warn
from ccdproc_echelle._words import and_others
from ccdproc_echelle.combining import refuse_frames_without_light
from ccdproc_echelle.frames import Frame, check_alike, open_frames, twins_of
from ccdproc_echelle.orders import EchelleOrderTable
from ccdproc_echelle.recipe.calibration import Calibration
from ccdproc_echelle.recipe.setups import NOT_RAW, SETUP_KEYWORDS, own_keywords, vet_setup
from ccdproc_echelle.recipe.vetting import COPY, verdict_on_copy, vet_frames

__all__ = [
    "accepted_frames", "all_vetted", "is_sound", "of_one_setup", "vetted", "without_copies",
]


def accepted_frames(table: QTable, reject: str = "warn") -> np.ndarray:
    """
    Decide which frames to use, based on their verdicts.

    Parameters
    ----------
    table : `~astropy.table.QTable`
        Table returned by `vet_setup` or `vet_frames`.
    reject : {"warn", "drop", "error"}, optional
        ``"warn"``: use all frames, with a warning; ``"drop"``: leave out frames with a verdict,
        with a warning; ``"error"``: raise an error if any frame has a verdict. Copies that are used
        count as independent measurements, so it is best to leave them out.

    Returns
    -------
    bool array, shape (n_frames,)
        True for frames to use.

    Raises
    ------
    ValueError
        If ``reject`` is not one of these, or there are no verdicts; if it is ``"error"`` and a
        frame has a verdict; or if it is ``"drop"`` and more than half of the frames (not counting
        copies) have a verdict, in which case the set as a whole is questionable.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        For each frame with a verdict.

    Examples
    --------
    >>> from astropy.table import QTable
    >>> from ccdproc_echelle import accepted_frames
    >>> accepted_frames(QTable({"frame": ["a.fits", "b.fits"], "verdict": ["", ""]}), "drop")
    array([ True,  True])
    """
    if reject not in ("warn", "drop", "error"):
        raise ValueError(f"reject is {reject!r}, expected 'warn', 'drop' or 'error'")
    if "verdict" not in table.colnames:
        raise ValueError(f"table has no column verdict; found {table.colnames}")
    good = np.array([not verdict for verdict in table["verdict"]], dtype=bool)
    reasons = _reasons(table)
    if reasons and reject == "error":
        raise ValueError("; ".join(reasons))
    # Any number of copies can be left out, as nothing is lost with them.
    n_copies = sum(verdict.startswith(COPY) for verdict in table["verdict"])
    n_bad = np.count_nonzero(~good)
    if reject == "drop" and 2 * (n_bad - n_copies) > len(table) - n_copies:
        raise ValueError(
            f"{n_bad} of {len(table)} frames would be left out, expected at most half: "
            + "; ".join(reasons)
        )
    for reason, n_frames in reasons.items():
        it_is, it = ("it is", "it") if n_frames == 1 else ("they are", "them")
        if reject == "drop":
            warn(f"{reason}; {it_is} left out")
        else:
            warn(f"{reason}; {it_is} used anyway; reject='drop' leaves {it} out")
    return good if reject == "drop" else np.ones(len(table), dtype=bool)


def of_one_setup(
    frames: list[Frame], reject: str, keywords: Iterable[str] = ()
) -> tuple[list[Frame], QTable]:
    """
    Select the frames that belong to a set according to their headers.

    Parameters
    ----------
    frames : list of `~ccdproc_echelle.frames.Frame`
        Raw flats.
    reject : str
        See `accepted_frames`.
    keywords : iterable of str, optional
        Header keywords that must agree, in addition to `SETUP_KEYWORDS`.

    Returns
    -------
    frames : list of `~ccdproc_echelle.frames.Frame`
        The frames that are used.
    setup : `~astropy.table.QTable`
        Table from `vet_setup`, with the column ``used``.

    Raises
    ------
    ValueError
        Under the same conditions as in `accepted_frames`, or if the frames that are used differ in
        shape or unit, or include a master flat.
    TypeError
        If ``keywords`` is a single string, or contains anything but keywords.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If a frame lacks one of the keywords.
    """
    own = own_keywords(keywords)
    _warn_of_lacking(own, frames)
    setup = vet_setup(frames, keywords=dict.fromkeys((*SETUP_KEYWORDS, *own)))
    if reject == "warn":
        _refuse_products(setup)
    setup["used"] = accepted_frames(setup, reject)
    frames = [frame for frame, used in zip(frames, setup["used"], strict=True) if used]
    check_alike(frames)
    return frames, setup


def vetted(
    calibration: Calibration, orders: EchelleOrderTable, window: float, reject: str
) -> tuple[Calibration, QTable]:
    """
    Select the calibrated flats that belong to the set according to their pixel values.

    Parameters
    ----------
    calibration : `~ccdproc_echelle.recipe.Calibration`
        The flats.
    orders, window
        See `vet_frames`.
    reject : str
        See `accepted_frames`.

    Returns
    -------
    calibration : `~ccdproc_echelle.recipe.Calibration`
        The flats that are used.
    vetting : `~astropy.table.QTable`
        Table from `vet_frames`, with the column ``used``.

    Raises
    ------
    ValueError
        Under the same conditions as in `accepted_frames`, or if frames that are used have no light.
    """
    vetting = vet_frames(calibration.flats, orders, window=window)
    if reject == "warn":
        refuse_frames_without_light(vetting, "Leave them out, as reject='drop' does")
    vetting["used"] = accepted_frames(vetting, reject)
    return calibration.selected(vetting["used"]), vetting


def without_copies(frames: Any, reject: str, **reading: Any) -> Any:
    """
    Open calibration frames, each of which is an independent measurement.

    Parameters
    ----------
    frames : list, str, `ccdproc.ImageFileCollection` or None
        Bias or dark frames.
    reject : str
        See `accepted_frames`. With ``"warn"`` all are used, with a warning when they are combined.
    **reading
        Passed to ``CCDData.read``.

    Returns
    -------
    list of `~ccdproc_echelle.frames.Frame`, or None

    Raises
    ------
    ValueError
        If ``reject`` is ``"error"`` and there is a copy.
    """
    if frames is None:
        return None
    frames = open_frames(frames, **reading)
    if reject == "warn":
        return frames
    twins = twins_of(frames)
    verdicts = ["" if twin is None else verdict_on_copy(frames[twin]) for twin in twins]
    table = QTable({"frame": [frame.name for frame in frames], "verdict": verdicts})
    used = accepted_frames(table, reject)
    return [frame for frame, good in zip(frames, used, strict=True) if good]


def is_sound(vetting: QTable) -> np.ndarray:
    """
    Which of the flats in use have no fault; all of them if each has one.

    Parameters
    ----------
    vetting : `~astropy.table.QTable`
        Table from `vetted`.

    Returns
    -------
    bool array, shape (n_used,)
    """
    sound = np.array([not verdict for verdict in vetting["verdict"][vetting["used"]]], dtype=bool)
    return sound if sound.any() else ~sound


def all_vetted(setup: QTable, vetting: QTable) -> QTable:
    """
    Combine the results of the vetting of all frames.

    Parameters
    ----------
    setup : `~astropy.table.QTable`
        Table from `vet_setup`, with the column ``used``.
    vetting : `~astropy.table.QTable`
        Table from `vet_frames`, for the frames used.

    Returns
    -------
    `~astropy.table.QTable`
        One row per frame; frames with a different set-up were not measured.
    """
    rest = setup[~setup["used"]]
    if len(rest) == 0:
        return vetting
    rows = QTable({
        name: rest[name] if name in rest.colnames
        else np.full(len(rest), np.nan) * (vetting[name].unit or 1)
        for name in vetting.colnames
    })
    return vstack([vetting, rows])


def _reasons(table: QTable) -> dict[str, int]:
    """Each verdict once, with the frames that have it, and their number."""
    frames: dict[str, list[str]] = {}
    for row in table:
        if row["verdict"]:
            frames.setdefault(row["verdict"], []).append(row["frame"])
    return {
        f"{_who_does_not_belong(names, len(table))}: {verdict}": len(names)
        for verdict, names in frames.items()
    }


def _who_does_not_belong(names: Sequence[str], n_frames: int) -> str:
    if len(names) == n_frames > 1:
        return f"the {n_frames} frames do not belong together"
    return f"{', '.join(names)} {'does' if len(names) == 1 else 'do'} not belong to the set"


def _warn_of_lacking(keywords: Sequence[str], frames: Sequence[Frame]) -> None:
    for name in keywords:
        lacking = [frame.name for frame in frames if name not in frame.header]
        if lacking:
            warn(
                f"setup_keywords names {name}, which is not in the header of {lacking[0]}"
                f"{and_others(lacking)}: frames are compared without it"
            )


def _refuse_products(setup: QTable) -> None:
    """Master flats are never used as raw flats."""
    products = setup[[verdict.endswith(NOT_RAW) for verdict in setup["verdict"]]]
    found = [
        f"{row['frame']} is {row['verdict'].removeprefix('it is ').removesuffix(NOT_RAW)}"
        for row in products
    ]
    if found:
        raise ValueError(
            f"{', '.join(found)}, expected raw flats: leave it out, as reject='drop' does"
        )
