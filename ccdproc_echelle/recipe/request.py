# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a call of the recipe requests: its options, checked before any frame is opened."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from ccdproc_echelle._numeric.arguments import expect, is_finite
from ccdproc_echelle.combining import CombineSettings, check_two_passes
from ccdproc_echelle.frames import Readout
from ccdproc_echelle.light import (
    FlatFlag,
    check_min_signal_to_noise,
    check_sensitivity_keywords,
)
from ccdproc_echelle.orders import check_edge_keywords, check_trace_keywords, check_window
from ccdproc_echelle.recipe.instruments import Instrument
from ccdproc_echelle.recipe.limits import checked_limits
from ccdproc_echelle.recipe.scattered import check_choice
from ccdproc_echelle.recipe.setups import own_keywords
from ccdproc_echelle.recipe.step_keywords import step_hint
from ccdproc_echelle.recipe.values import check_values

__all__ = ["Request", "checked_request"]

_OF_CLIPPING = ("sigma_clip", "sigma_clip_low_thresh", "sigma_clip_high_thresh")
_OF_READOUT = (
    "oscan", "trim", "oscan_median", "oscan_model", "gain", "read_noise", "saturation",
)
_OF_STEPS = ("trace_keywords", "edge_keywords", "sensitivity_keywords")
_CHECKS_OF_STEPS = (check_trace_keywords, check_edge_keywords, check_sensitivity_keywords)


@dataclass(frozen=True, kw_only=True)
class Request:
    """
    The options of `make_master_flat` in the form in which its steps take them.

    Attributes
    ----------
    arguments : dict
        All arguments as they were given, by name, but ``setup_keywords`` as a list of names; those
        in ``**keywords`` are in ``settings`` and ``reading``.
    settings : `~ccdproc_echelle.combining.CombineSettings`
        How frames are combined.
    reading : dict
        Keywords of ``CCDData.read``.
    readout : `~ccdproc_echelle.frames.Readout`
        How the detector was read out.
    limits : dict
        Lower and upper limits of the quality, by name.
    trace_keywords, edge_keywords, sensitivity_keywords : dict
        Keywords of the single steps.
    """

    arguments: Mapping[str, Any]
    settings: CombineSettings
    reading: Mapping[str, Any]
    readout: Readout
    limits: Mapping[str, tuple[float, float]]
    trace_keywords: Mapping[str, Any]
    edge_keywords: Mapping[str, Any]
    sensitivity_keywords: Mapping[str, Any]


def checked_request(
    arguments: Mapping[str, Any], instrument: Instrument | None, function: Callable
) -> Request:
    """
    Check the options of a call as far as possible without its frames.

    Parameters
    ----------
    arguments : dict
        All arguments of the function by name, as in ``locals()`` when it begins.
    instrument : `Instrument` or None
        The instrument, whose keywords are among the arguments.
    function : callable
        The function, whose arguments are suggested for misspelt keywords.

    Returns
    -------
    `Request`

    Raises
    ------
    TypeError, ValueError, OSError
        If an option is unknown or invalid; the message names it.
    """
    given, described = arguments["keywords"], {} if instrument is None else instrument.keywords
    check_values({**arguments, **given})
    _check_places(given)
    clipping = {name: arguments[name] for name in _OF_CLIPPING}
    settings, reading = CombineSettings.from_keywords(given | clipping, function)
    settings.check_executor(arguments["executor"])
    limits = checked_limits(arguments["limits"])
    steps = {name: dict(arguments[name] or {}) for name in _OF_STEPS}
    _check_steps(steps)
    _check_result(*(arguments[name] for name in ("min_signal_to_noise", "mask_flags", "margin")))
    # An instrument may specify how its orders are traced, whether or not they are.
    traced, usual = steps["trace_keywords"], described.get("trace_keywords")
    if arguments["orders"] is not None and traced and traced != usual:
        raise TypeError("trace_keywords apply only to orders that are traced, but orders is given")
    if "dispersion_axis" in described:
        traced.setdefault("dispersion_axis", described["dispersion_axis"])
    check_choice(arguments["scattered_light"])
    check_window(arguments["window"])
    check_two_passes(settings, arguments["n_passes"], arguments["per_order"])
    readout = Readout(**{name: arguments[name] for name in _OF_READOUT})
    arguments = {**arguments, "setup_keywords": own_keywords(arguments["setup_keywords"])}
    return Request(
        arguments=arguments, settings=settings, reading=reading, readout=readout, limits=limits,
        **steps,
    )


def _check_places(keywords) -> None:
    """Raise if a keyword of a single step is given to the recipe itself."""
    for name in keywords:
        if hint := step_hint(name):
            raise TypeError(f"unknown keyword {name!r}{hint}")


def _check_steps(steps: Mapping[str, dict]) -> None:
    """Raise if a keyword of a step is wrong, with an error that tells of which one."""
    for check, (name, keywords) in zip(_CHECKS_OF_STEPS, steps.items(), strict=True):
        try:
            check(keywords)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{name}: {error}") from error


def _check_result(min_signal_to_noise, mask_flags, margin) -> None:
    check_min_signal_to_noise(min_signal_to_noise)
    if not isinstance(mask_flags, Integral):
        raise TypeError(f"mask_flags is {mask_flags!r}, expected flags such as FlatFlag.DEAD")
    known = 0 <= int(mask_flags) <= sum(FlatFlag)
    expect(known, "mask_flags", mask_flags, "a combination of the flags in FlatFlag")
    expect(is_finite(margin), "margin", margin, "a number of pixels")
