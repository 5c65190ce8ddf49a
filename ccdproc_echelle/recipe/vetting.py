# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Frame vetting: find frames that do not belong to a set of flats, and the reason.

Every frame is compared with the majority: the most common set-up, and the median of all frames that
have light. Any single frame may therefore be the bad one, including the first.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from astropy import units as u
from astropy.table import QTable, vstack

from ccdproc_echelle._numeric.medians import finite_median
from ccdproc_echelle._warnings import warn
from ccdproc_echelle.combining import (
    MAX_RESIDUAL,
    MAX_SHIFT,
    InnerPixels,
    ThinnedStack,
    compared,
    inner_order_pixels,
    refuse_frames_without_light,
    thinned,
)
from ccdproc_echelle.frames import (
    Frame,
    check_alike,
    is_of_master_flat,
    keyword_name,
    list_frames,
    open_frames,
    twins_of,
)
from ccdproc_echelle.orders import EchelleOrderTable
from ccdproc_echelle.recipe.calibration import Calibration

__all__ = [
    "SETUP_KEYWORDS",
    "accepted_frames",
    "all_vetted",
    "comparable",
    "is_sound",
    "of_one_setup",
    "vet_frames",
    "vet_setup",
    "vetted",
    "without_copies",
]

#: Header keywords in which the flats of a set must agree: instrument and arm, binning, slit, lamp,
#: filter and disperser, read-out mode and gain.
SETUP_KEYWORDS = (
    "INSTRUME", "DETECTOR", "ESO SEQ ARM",
    "CCDSUM", "CCDBIN1", "CCDBIN2", "XBINNING", "YBINNING", "BINNING",
    "ESO DET WIN1 BINX", "ESO DET WIN1 BINY", "ESO DET BINX", "ESO DET BINY",
    "SLIT", "SLITNAME", "SLITMSKN", "DECKER", "DECKNAME",
    "ESO INS SLIT1 NAME", "ESO INS SLIT2 NAME", "ESO INS SLIT3 NAME",
    "ESO INS OPTI3 NAME", "ESO INS OPTI4 NAME", "ESO INS OPTI5 NAME",
    "LAMP", "LAMPNAME", "FILTER", "FILTER2", "GRATING", "GRATNAME", "ECHNAME", "ECHANGL",
    "XDISPERS", "GRISM", "DISPERSR", "OBSMODE", "ESO INS MODE",
    "READMODE", "RDMODE", "READSPD", "ESO DET READ MODE", "ESO DET READ SPEED",
    "ESO DET READ CURNAME", "GAIN", "EGAIN", "ESO DET OUT1 CONAD",
)

# Measured numbers in headers, such as a gain or a slit width, agree if they do to this many digits.
_DIGITS = 3

# A subset of evenly spaced pixels along the dispersion axis is enough; `frame_shift` uses 200.
_LEAST_COLUMNS = 200

# For all frames together; with very many frames, fewer columns of each are used.
_THINNED_PIXELS = 8_000_000

# Start of the verdict on a frame that is in the list twice.
_COPY = "a copy of"

# Verdict on a frame that is not a raw frame.
_MASTER = "it is a master flat, not a raw one"

# Number of standard deviations by which a difference must exceed its limit.
_SIGNIFICANT = 5

# For a typical inner-order pixel: flats have about a hundred, frames without light about 0.
_LEAST_SIGNAL_TO_NOISE = 1


def vet_setup(
    frames: Any, *, keywords: Iterable[str] = SETUP_KEYWORDS, **reading: Any
) -> QTable:
    """
    Find frames taken with a different set-up, from shape, unit and headers alone.

    The values of the majority are considered correct. If there is no most frequent value, as with
    two frames that differ, all frames get the same verdict, which lists the number of frames with
    each value. A master flat, which belongs to no set of raw frames, also gets a verdict.

    Parameters
    ----------
    frames : list, str or `ccdproc.ImageFileCollection`
        Raw flats, as for `ccdproc.combine`; only the headers of files are read.
    keywords : iterable of str, optional
        Header keywords that must agree, without ``HIERARCH``. Frames that lack a keyword are not
        compared by it. Fractional numbers that agree to three digits are equal.
    **reading
        Passed to ``CCDData.read``.

    Returns
    -------
    `~astropy.table.QTable`
        One row per frame: ``frame`` (name) and ``verdict``, which is empty or states what is wrong.

    See Also
    --------
    vet_frames, accepted_frames

    Examples
    --------
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> from ccdproc_echelle import vet_setup
    >>> flats = EchelleSimulation(shape=(256, 300), n_orders=5).flats(3)
    >>> flats[0].header["GAIN"] = 2.5
    >>> vet_setup(flats)["verdict"].tolist()
    ['another set-up: GAIN is 2.5, that of the others 1', '', '']
    """
    frames, keywords = list_frames(frames, **reading), tuple(keywords)
    headers = [frame.header for frame in frames]
    masters = [is_of_master_flat(header) for header in headers]
    setups = [
        {} if master else _setup(frame, header, keywords)
        for frame, header, master in zip(frames, headers, masters, strict=True)
    ]
    reasons = [[] for _ in frames]
    for name in ("shape", "unit", *keywords):
        having = [i for i, setup in enumerate(setups) if name in setup]
        values = [setups[i][name] for i in having]
        usual = _commonest(values)
        for i, value in zip(having, values, strict=True):
            if usual is None:
                reasons[i].append(f"{name} is {_counted(values)}")
            elif value != usual:
                reasons[i].append(f"{name} is {value}, that of the others {usual}")
    verdicts = [
        _MASTER if master else "another set-up: " + "; ".join(found) if found else ""
        for found, master in zip(reasons, masters, strict=True)
    ]
    return QTable({"frame": [frame.name for frame in frames], "verdict": verdicts})


def vet_frames(
    frames: Any,
    orders: EchelleOrderTable,
    *,
    window: float = 10,
    max_masked: float = 0.5,
    min_level: float = 0.2,
    max_shift: float = MAX_SHIFT,
    max_residual: float = MAX_RESIDUAL,
    **reading: Any,
) -> QTable:
    """
    Find frames that are saturated, shifted, without light, of a different shape, or copies.

    Each frame is compared with the median of the frames, divided by their levels: at the
    inner-order pixels for level and shape, and at the flanks of the orders for the shift. Frames
    without light, saturated frames and copies do not contribute to the median. Faults of a minority
    of the frames are found; of two frames, each deviates by half of the difference between them.

    Parameters
    ----------
    frames : list, str or `ccdproc.ImageFileCollection`
        Flats from which bias and dark have been subtracted, with saturated pixels masked, as for
        `ccdproc.combine`.
    orders : `EchelleOrderTable`
        The order centres.
    window : float, optional
        Full width of the window on the order centre, in pixels along the cross-dispersion axis.
    max_masked : float, optional
        Maximum fraction of the inner-order pixels that may be masked or not finite.
    min_level : float, optional
        Minimum level, as a fraction of the median of all frames. With the default, exposure times
        may be a factor of five shorter than the typical one.
    max_shift : float, optional
        Maximum shift across the dispersion, in pixels, to be exceeded by five standard deviations.
    max_residual : float, optional
        Maximum relative deviation of a part of an order (an eighth of it) from the other frames.
        The default allows for drifts of the illumination: 3 per cent in a frame add up to 6 per
        cent between two. Parts fainter than a tenth of the mean are ignored.
    **reading
        Passed to ``CCDData.read``.

    Returns
    -------
    `~astropy.table.QTable`
        One row per frame: ``frame`` (name), ``level`` (in the unit of the frames, accurate to about
        a per cent), ``masked_fraction``, ``shift`` and ``shift_uncertainty`` (positive if the
        orders lie at higher pixels), ``residual`` (largest relative deviation of a part of an
        order, minus five standard deviations) and ``verdict``, which is empty or states what is
        wrong. Values that cannot be measured are NaN.

    Raises
    ------
    ValueError
        If there are no frames, the frames and the order table do not match, no order centre is on
        the detector, or a limit is not positive.

    See Also
    --------
    vet_setup, accepted_frames, ccdproc_echelle.frame_shift

    References
    ----------
    Small shifts are derived from the slope of the light: Lucas & Kanade 1981, Proc. IJCAI, 674.

    Examples
    --------
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> from ccdproc_echelle import vet_frames
    >>> simulation = EchelleSimulation(shape=(256, 300), n_orders=5)
    >>> flats = simulation.flats(4)
    >>> flats[0].data *= 0.01
    >>> table = vet_frames(flats, simulation.truth.orders)
    >>> table["verdict"].tolist()
    ['lamp off or failing: the level is 0.01 of the typical one', '', '', '']
    """
    frames = open_frames(frames, **reading)
    limits = _Limits(max_masked, min_level, max_shift, max_residual)
    _check(dict(limits._asdict(), window=window))
    orders = orders.on_detector(frames[0].shape)
    stack = thinned(frames, orders, _n_columns(frames, orders))
    inner = inner_order_pixels(stack.orders, window)
    masked = 1 - stack.good[:, *inner.where].mean(axis=1)
    usable = masked <= max_masked
    twins = _twins_of_usable(frames, usable)
    levels, noise = _first_levels(stack, inner, usable)
    darkness = _darkness(levels, noise, usable, min_level)
    lit = usable & (darkness == "") & np.array([twin is None for twin in twins])
    found = _Measured.nothing(masked, levels)
    if lit.any():
        found = _Measured(masked, *compared(stack, inner, levels, lit, max_residual))
    return QTable({
        "frame": [frame.name for frame in frames],
        "level": found.level * frames[0].unit,
        "masked_fraction": masked,
        "shift": found.shift * u.pix,
        "shift_uncertainty": found.shift_uncertainty * u.pix,
        "residual": found.residual,
        "verdict": [
            _verdict(_Measured(*values), dark, limits) if twin is None
            else _verdict_on_copy(frames[twin])
            for twin, dark, *values in zip(twins, darkness, *found, strict=True)
        ],
    })


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
        If ``reject`` is not one of these; if it is ``"error"`` and a frame has a verdict; or if it
        is ``"drop"`` and more than half of the frames (not counting copies) have a verdict, in
        which case the set as a whole is questionable.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        For each frame with a verdict.

    Examples
    --------
    >>> from astropy.table import QTable, vstack
    >>> from ccdproc_echelle import accepted_frames
    >>> accepted_frames(QTable({"frame": ["a.fits", "b.fits"], "verdict": ["", ""]}), "drop")
    array([ True,  True])
    """
    if reject not in ("warn", "drop", "error"):
        raise ValueError(f"reject is {reject!r}, expected 'warn', 'drop' or 'error'")
    good = np.array([not verdict for verdict in table["verdict"]], dtype=bool)
    reasons = _reasons(table)
    if reasons and reject == "error":
        raise ValueError("; ".join(reasons))
    # Any number of copies can be left out, as nothing is lost with them.
    n_copies = sum(verdict.startswith(_COPY) for verdict in table["verdict"])
    n_bad = np.count_nonzero(~good)
    if reject == "drop" and 2 * (n_bad - n_copies) > len(table) - n_copies:
        raise ValueError(
            f"{n_bad} of {len(table)} frames would be left out, expected at most half: "
            + "; ".join(reasons)
        )
    for reason in reasons:
        it_is, it = ("it is", "it") if " does not belong " in reason else ("they are", "them")
        if reject == "drop":
            warn(f"{reason}; {it_is} left out")
        else:
            warn(f"{reason}; {it_is} used anyway; reject='drop' leaves {it} out")
    return good if reject == "drop" else np.ones(len(table), dtype=bool)


def _reasons(table: QTable) -> list[str]:
    """Each verdict once, with the frames that have it."""
    frames: dict[str, list[str]] = {}
    for row in table:
        if row["verdict"]:
            frames.setdefault(row["verdict"], []).append(row["frame"])
    return [
        f"the {len(table)} frames do not belong together: {verdict}" if len(names) == len(table) > 1
        else f"{', '.join(names)} {'does' if len(names) == 1 else 'do'} not belong to the set: "
             f"{verdict}"
        for verdict, names in frames.items()
    ]


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
        If ``keywords`` is a single string, or contains anything but strings.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If a frame lacks one of the keywords.
    """
    own = _own_keywords(frames, keywords)
    setup = vet_setup(frames, keywords=dict.fromkeys((*SETUP_KEYWORDS, *own)))
    if reject == "warn":
        _refuse_masters(setup)
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
    verdicts = ["" if twin is None else _verdict_on_copy(frames[twin]) for twin in twins]
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


# ---------------------------------------------------------------------- setup


def _setup(frame: Frame, header: Mapping, keywords: Sequence[str]) -> dict[str, Any]:
    found = {name: comparable(header[name]) for name in keywords if name in header}
    return {"shape": frame.shape, "unit": str(frame.unit)} | found


def _own_keywords(frames: Sequence[Frame], keywords: Iterable[str]) -> list[str]:
    """Keywords given by the user, which the frames are expected to have."""
    if isinstance(keywords, str):
        raise TypeError(f"setup_keywords is {keywords!r}, expected a list of header keywords")
    names = [keyword_name(keyword) for keyword in keywords]
    for name in names:
        lacking = [frame.name for frame in frames if name not in frame.header]
        if lacking:
            others = f" and {len(lacking) - 1} others" if len(lacking) > 1 else ""
            warn(
                f"setup_keywords names {name}, which is not in the header of {lacking[0]}{others}: "
                "they are not compared by it"
            )
    return names


def _refuse_masters(setup: QTable) -> None:
    """Master flats are never used as raw flats."""
    found = [f"{row['frame']} is a master flat" for row in setup if row["verdict"] == _MASTER]
    if found:
        raise ValueError(
            f"{', '.join(found)}, expected raw flats: leave it out, as reject='drop' does"
        )


def comparable(value: Any) -> str:
    """
    Format a header value for comparison with that of another frame.

    Parameters
    ----------
    value : object
        The value.

    Returns
    -------
    str
        Fractional numbers are rounded to three digits.

    Examples
    --------
    >>> from ccdproc_echelle.recipe.vetting import comparable
    >>> comparable(2.0), comparable(1.2345), comparable(" slow ")
    ('2', '1.23', 'slow')
    """
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else f"{value:.{_DIGITS}g}"
    return str(value).strip()


def _counted(values: Sequence[Any]) -> str:
    """Each value, and the number of frames that have it."""
    return " or ".join(
        f"{value} ({number} frame{'s' if number > 1 else ''})"
        for value, number in Counter(values).most_common()
    )


def _commonest(values: Sequence[Any]) -> Any:
    """The most frequent value; `None` if there are several."""
    ranked = Counter(values).most_common(2)
    tied = len(ranked) == 2 and ranked[0][1] == ranked[1][1]
    return ranked[0][0] if ranked and not tied else None


# ---------------------------------------------------------------------- pixels of all frames


class _Limits(NamedTuple):
    max_masked: float
    min_level: float
    max_shift: float
    max_residual: float


def _check(options: dict[str, float]) -> None:
    for name, value in options.items():
        if not 0 < value < np.inf:
            raise ValueError(f"{name} is {value!r}, expected a positive number")


def _n_columns(frames: Sequence[Frame], orders: EchelleOrderTable) -> int:
    n_cross = frames[0].shape[1 - orders.dispersion_axis]
    return min(_LEAST_COLUMNS, _THINNED_PIXELS // (len(frames) * n_cross))


def _first_levels(stack: ThinnedStack, inner: InnerPixels, usable) -> tuple:
    """
    Median of the inner-order pixels of each frame, and of their standard deviations, if known.

    Pixels that are good in all usable frames are used, if there are any; otherwise the levels of
    frames with different masks could not be compared.
    """
    good = stack.good[:, *inner.where]
    common = good[usable].all(axis=0)
    levels, noise = np.full(len(good), np.nan), np.zeros(len(good))
    for i, image in enumerate(stack.data):
        chosen = good[i] & common if (good[i] & common).any() else good[i]
        if chosen.any():
            levels[i] = np.median(image[inner.where][chosen])
            if stack.variance is not None:
                variance = finite_median(stack.variance[i][inner.where][chosen])
                noise[i] = np.sqrt(np.nan_to_num(variance))
    return levels, noise


def _darkness(levels, noise, usable, min_level: float) -> np.ndarray:
    """Why a frame has no light or too little; empty if it has enough."""
    typical = np.median(levels[usable]) if usable.any() else np.nan
    reasons = []
    for level, sigma in zip(levels, noise, strict=True):
        reason = ""
        if level <= 0:
            reason = f"the level is {level:.3g}, expected > 0"
        elif level < min_level * typical:
            reason = f"the level is {level / typical:.2g} of the typical one"
        elif level < _LEAST_SIGNAL_TO_NOISE * sigma:
            reason = f"the signal-to-noise ratio of a pixel is {level / sigma:.2g}"
        reasons.append(f"lamp off or failing: {reason}" if reason else "")
    return np.array(reasons, dtype=object)


# ---------------------------------------------------------------------- comparison with the others


class _Measured(NamedTuple):
    """Measurements of each frame, as arrays; or of one frame."""

    masked: np.ndarray
    level: np.ndarray
    shift: np.ndarray
    shift_uncertainty: np.ndarray
    residual: np.ndarray

    @classmethod
    def nothing(cls, masked: np.ndarray, levels: np.ndarray) -> "_Measured":
        return cls(masked, levels, *np.full((3, len(levels)), np.nan))


# ---------------------------------------------------------------------- verdict


def _twins_of_usable(frames: Sequence[Frame], usable: np.ndarray) -> list[int | None]:
    """Like `twins_of`, but a frame is not a copy of one that is unusable anyway."""
    twins, places = [None] * len(frames), np.flatnonzero(usable)
    for place, twin in zip(places, twins_of([frames[i] for i in places]), strict=True):
        twins[place] = None if twin is None else int(places[twin])
    return twins


def _verdict_on_copy(twin: Frame) -> str:
    return (
        f"{_COPY} {twin.name}: counting it as an independent measurement makes the uncertainty "
        "too small"
    )


def _verdict(frame: _Measured, darkness: str, limits: _Limits) -> str:
    """What is wrong with a frame: the cause if one fault leads to another."""
    if frame.masked > limits.max_masked:
        return f"saturated: {100 * frame.masked:.0f} % of its inner-order pixels are masked"
    if abs(frame.shift) > limits.max_shift + _SIGNIFICANT * frame.shift_uncertainty:
        return (
            f"shifted: its orders lie {frame.shift:+.2f} pixels from those of the others, "
            f"expected at most {limits.max_shift:g}"
        )
    if darkness:
        return darkness
    if frame.residual > limits.max_residual:
        return (
            f"of another shape: parts of its orders differ by {100 * frame.residual:.0f} % "
            f"from those of the others, expected at most {100 * limits.max_residual:g} %"
        )
    return ""
