# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Compare the exposure times of flats and darks."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

import numpy as np
from ccdproc import Keyword

from ccdproc_echelle._warnings import warn
from ccdproc_echelle._words import and_others
from ccdproc_echelle.frames import EXPOSURE_KEY, Frame, exposure_time, keyword_name

__all__ = ["SAME_EXPOSURE", "Exposures"]

#: Exposure times that differ by a smaller fraction are equal.
SAME_EXPOSURE = 0.01

# Keywords under which the exposure time may be instead; only to tell that it differs.
_ELSEWHERE = (
    "EXPOSURE", "ELAPTIME", "ELAPSED", "ITIME", "TRUITIME", "ESO DET DIT", "ESO DET SEQ1 DIT",
)


class Exposures:
    """
    Exposure times of flats and darks, and the scaling derived from them.

    Parameters
    ----------
    keyword : str, `ccdproc.Keyword` or None
        Header keyword of the exposure time.
    scale : bool
        Whether to scale darks.
    """

    def __init__(self, keyword: str | Keyword | None, *, scale: bool):
        self._keyword = keyword_name(keyword or EXPOSURE_KEY)
        self._given = keyword is not None
        self._scale = scale

    def _time(self, header: Mapping) -> float | None:
        return _positive_time(header, self._keyword)

    def check(self, flats: Sequence[Frame], darks: Sequence[Frame]) -> None:
        """Warn of darks that cannot be scaled to the exposure time of the flats."""
        if not darks:
            return
        headers = [[frame.header for frame in frames] for frames in (flats, darks)]
        times = [list(map(self._time, some)) for some in headers]
        unknown = [
            frame.name for frame, time in zip((*flats, *darks), chain(*times), strict=True)
            if time is None
        ]
        one_kind = any(times[0]) != any(times[1])  # which cannot be compared with the other
        elsewhere = unknown and _key_of_different_times(*headers)
        if unknown and (self._scale or self._given or one_kind or elsewhere):
            hint = f" ({elsewhere} differs between dark and flats)" if elsewhere else ""
            warn(
                f"the exposure time of {unknown[0]}{and_others(unknown)} is unknown (no positive "
                f"number in the header under {self._keyword}): the dark is subtracted without "
                f"scaling; give its keyword as exposure_key={hint}, or scale_dark=False if dark "
                "and flats have the same exposure time",
            )
        of_flats, of_darks = (sorted(set(known) - {None}) for known in times)
        if not self._scale and not _has_each(of_darks, of_flats):
            warn(
                f"the flats were exposed for {_seconds(of_flats)} s, the dark for "
                f"{_seconds(of_darks)} s; the dark is subtracted without scaling, as scaling "
                "requires a bias",
            )

    def check_one(self, kind: str, headers: Sequence[Mapping]) -> None:
        """Raise unless all frames have the same exposure time; only these can be averaged."""
        known = [time for time in map(self._time, headers) if time is not None]
        if known and not np.allclose(known, known[0], rtol=SAME_EXPOSURE, atol=0):
            raise ValueError(
                f"{kind} frames of one series were exposed for [{_seconds(sorted(set(known)))}] s; "
                "expected a single exposure time"
            )

    def ratio(self, flat: Mapping, dark: Mapping) -> float:
        """Factor that scales a dark to the exposure time of a flat."""
        times = self._time(flat), self._time(dark)
        return times[0] / times[1] if self._scale and None not in times else 1.0


def _positive_time(header: Mapping, keyword: str) -> float | None:
    time = exposure_time(header, keyword)
    return time if time is not None and time > 0 else None


def _key_of_different_times(flats: Sequence[Mapping], darks: Sequence[Mapping]) -> str:
    """The other keyword under which the darks lack a time of the flats; empty if there is none."""
    for keyword in _ELSEWHERE:
        of_flats, of_darks = (
            {_positive_time(header, keyword) for header in headers} - {None}
            for headers in (flats, darks)
        )
        if not _has_each(of_darks, of_flats):
            return keyword
    return ""


def _has_each(of_darks: Iterable[float], of_flats: Iterable[float]) -> bool:
    """Whether there is a dark with each exposure time of the flats, if any is known."""
    return all(
        any(np.isclose(flat, dark, rtol=SAME_EXPOSURE, atol=0) for dark in of_darks)
        for flat in of_flats if of_darks
    )


def _seconds(times: Sequence[float]) -> str:
    return ", ".join(f"{time:g}" for time in times)
