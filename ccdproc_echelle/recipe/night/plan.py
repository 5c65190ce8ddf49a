# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Plan a night: which set-ups there are, from which frames, and what remains to be done."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable
from ccdproc import ImageFileCollection

from ccdproc_echelle import __version__
from ccdproc_echelle._tasks import results_of
from ccdproc_echelle._words import counted, one_line
from ccdproc_echelle.frames import user_path
from ccdproc_echelle.orders import EchelleOrderTable
from ccdproc_echelle.recipe.instruments import Instrument
from ccdproc_echelle.recipe.night.config import NightConfig, check_night_keywords
from ccdproc_echelle.recipe.night.frames import NightFrame, read_frames
from ccdproc_echelle.recipe.night.product import FILES, NightProduct
from ccdproc_echelle.recipe.night.setups import NightSetup, sorted_into_setups
from ccdproc_echelle.recipe.night.tables import orders_of_setup
from ccdproc_echelle.recipe.provenance import (
    OF_THE_RUN,
    checksum_of_file,
    checksum_of_values,
    date_text,
    text_of,
)

__all__ = ["NightJob", "NightPlan", "plan_night"]

# Without supervision, frames that do not belong to their set are left out.
_DEFAULTS = {"reject": "drop"}

# Keywords that name files, whose contents matter.
_FILES = ("bad_pixel_mask", "limits")


@dataclass(frozen=True)
class NightJob:
    """
    Plan for one set-up: inputs, output, and whether it is up to date.

    Attributes
    ----------
    setup : `NightSetup`
        The frames of the set-up.
    folder : `~pathlib.Path`
        Output folder.
    orders : `EchelleOrderTable` or None
        The order table; `None` if the orders are traced.
    orders_from : str
        File of the order table, or the reason why there is none.
    instrument : `Instrument` or None
        The instrument description.
    keywords : dict
        Keywords of `make_master_flat`.
    problem : str
        Reason why the set-up cannot be reduced; otherwise empty.
    request : str
        Checksum of everything that the product depends on.
    product : `NightProduct` or None
        Product of an earlier run, if it has the same ``request``.
    """

    setup: NightSetup
    folder: Path
    orders: EchelleOrderTable | None
    orders_from: str
    instrument: Instrument | None
    keywords: Mapping[str, Any]
    problem: str
    request: str
    product: NightProduct | None

    @property
    def name(self) -> str:
        """Name of the set-up."""
        return self.setup.name

    @property
    def files(self) -> list[Path]:
        """Raw files of the set-up."""
        setup = self.setup
        return [frame.path for frame in (*setup.flats, *setup.bias, *setup.dark)]

    @property
    def state(self) -> str:
        """Whether it is up to date, to do, or cannot be done, with the reason."""
        if self.problem:
            return f"cannot be done: {self.problem}"
        if self.product is not None:
            return "up to date"
        return "to do"


@dataclass(frozen=True)
class NightPlan:
    """
    Plan of a night; ``print`` shows it.

    Attributes
    ----------
    source : str
        Folder of the raw frames.
    output : `~pathlib.Path`
        Output folder.
    jobs : list of `NightJob`
        The set-ups, sorted by name.
    left_out : list of (`~pathlib.Path`, str)
        Files that are not used, and the reason.

    See Also
    --------
    plan_night, reduce_night
    """

    source: str
    output: Path
    jobs: Sequence[NightJob]
    left_out: Sequence[tuple[Path, str]]

    @property
    def table(self) -> QTable:
        """One row per set-up: its name, the files selected, and its ``state``."""
        rows = [
            (
                job.name, *(_names(some) for some in (s.flats, s.bias, s.dark)), job.orders_from,
                job.state,
            )
            for job in self.jobs for s in [job.setup]
        ]
        return QTable(rows=rows, names=("setup", "flats", "bias", "dark", "orders", "state"))

    def __str__(self) -> str:
        lines = [f"{counted(len(self.jobs), 'set-up')} in {self.source}"]
        for job, row in zip(self.jobs, self.table, strict=True):
            lines += ["", f"{job.name}: {job.state}"]
            lines += [f"  {name:<7}{row[name]}" for name in ("flats", "bias", "dark", "orders")]
            lines += [f"  note   {note}" for note in job.setup.notes]
        if self.left_out:
            lines += ["", "left out:"]
            lines += [f"  {path.name}: {reason}" for path, reason in self.left_out]
        return "\n".join(lines)


def plan_night(
    folder: str | os.PathLike | ImageFileCollection,
    output: str | os.PathLike,
    *,
    instrument: str | os.PathLike | Instrument | None = None,
    orders: Any = None,
    config: str | os.PathLike | Mapping[str, Any] | NightConfig | None = None,
    **keywords: Any,
) -> NightPlan:
    """
    Sort a night into set-ups and determine what needs to be done, without writing anything.

    Parameters
    ----------
    folder, output, instrument, orders, config, **keywords
        See `reduce_night`.

    Returns
    -------
    `NightPlan`

    Raises
    ------
    ValueError, TypeError, OSError
        Under the same conditions as in `reduce_night`.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from ccdproc_echelle.recipe import plan_night
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> simulation = EchelleSimulation(shape=(128, 128), n_orders=3).with_bias(300)
    >>> with TemporaryDirectory() as folder:
    ...     _ = simulation.write(folder, 3, 0, 2)
    ...     plan = plan_night(folder, folder)
    ...
    >>> print(plan.table["flats", "bias", "dark", "state"])
                 flats                            bias                dark state
    -------------------------------- -------------------------------- ---- -----
    flat_01.fits to flat_03.fits (3) bias_01.fits to bias_02.fits (2)    - to do
    """
    check_night_keywords(keywords)
    config = NightConfig.read(config)
    if instrument is not None and not isinstance(instrument, Instrument):
        instrument = Instrument.read(instrument)
    of_instrument = {} if instrument is None else dict(instrument.keywords)
    common = _DEFAULTS | of_instrument | keywords | config.common
    frames, left_out = read_frames(folder, common)
    scale_dark = common.get("scale_dark", True)
    setups, unused = sorted_into_setups(frames, scale_dark=scale_dark)
    source = str(getattr(folder, "location", folder) or "a collection")
    if not setups:
        found = _found(frames, left_out, unused)
        raise ValueError(f"no set-up in {source} has flats to combine: {found}")
    config.warn_of_unmatched(setup.name for setup in setups)
    planning = _Planning(user_path(output), instrument, of_instrument, orders, keywords, config)
    jobs = list(results_of((partial(planning.job, setup) for setup in setups), None))
    return NightPlan(source, planning.output, jobs, sorted(left_out + unused))


def _found(frames: Sequence[NightFrame], left_out, unused) -> str:
    """Describe what was found instead."""
    kinds = ("flat", "bias", "dark", "off")
    counts = {kind: sum(frame.kind == kind for frame in frames) for kind in kinds}
    text = ", ".join(f"{n} {kind}" for kind, n in counts.items() if n) or "no raw frame"
    others = [(path, why) for path, why in (*unused, *left_out) if not why.startswith("bias:")]
    reasons = "; ".join(f"{path.name}: {reason}" for path, reason in others[:5])
    more = f"; and {len(others) - 5} more" if len(others) > 5 else ""
    return f"found {text}" + (f"; {reasons}{more}" if reasons else "")


# ---------------------------------------------------------------------- jobs


@dataclass(frozen=True)
class _Planning:
    """What all set-ups have in common."""

    output: Path
    instrument: Instrument | None
    of_instrument: Mapping[str, Any]
    orders: Any
    keywords: Mapping[str, Any]
    config: NightConfig

    def job(self, setup: NightSetup) -> NightJob:
        keywords = dict(self.keywords) | self.config.of(setup.name)
        given = keywords.pop("orders", self.orders)
        if "reject" not in self.of_instrument:
            keywords = _DEFAULTS | keywords
        problem, orders, source = "", None, ""
        try:
            orders, source = orders_of_setup(setup, given, self.of_instrument | keywords)
        except (ValueError, OSError) as error:
            problem = one_line(error)
        if orders is not None:
            keywords["trace_keywords"] = None  # from the instrument, or for other set-ups
        folder = self.output / setup.name
        request = self._request(setup, orders, keywords)
        product = NightProduct.found_in(folder)
        if product is not None and product.request != request:
            _check_same_night(product, setup, folder)
            product = None
        return NightJob(
            setup, folder, orders, source, self.instrument, keywords, problem, request, product
        )

    def _request(self, setup: NightSetup, orders, keywords: Mapping[str, Any]) -> str:
        """Checksum of everything that the product depends on."""
        parts = [f"version {__version__}"]
        if self.instrument is not None:
            parts.append(f"instrument {self.instrument.name} {text_of(self.of_instrument)}")
        if orders is not None:
            parts.append(f"orders {_checksum_of_orders(orders)}")
        parts += [
            f"{name} {text_of(value)}"
            for name, value in sorted(keywords.items()) if name not in OF_THE_RUN
        ]
        parts += [
            f"{name} {checksum_of_file(value)}"
            for name, value in sorted((dict(self.of_instrument) | keywords).items())
            if name in _FILES and isinstance(value, (str, os.PathLike))
        ]
        for role in ("flats", "bias", "dark"):
            parts += [
                f"{role} {frame.path.name} {checksum_of_file(frame.path)}"
                for frame in getattr(setup, role)
            ]
        return checksum_of_values(np.array(parts))


def _check_same_night(product: NightProduct, setup: NightSetup, folder: Path) -> None:
    """Raise if a product was made from other exposures, rather than from some of these."""
    dates = {date_text(frame.time) for frame in setup.flats} - {""}
    if dates and product.dates and dates.isdisjoint(product.dates):
        raise FileExistsError(
            f"{folder / FILES['master']} was made from flats of another night, {min(product.dates)}"
            f" to {max(product.dates)}, not from those of {min(dates)} to {max(dates)}: choose a "
            "folder of its own for each night, or remove it"
        )


def _checksum_of_orders(orders: EchelleOrderTable) -> str:
    table = orders.table
    return checksum_of_values(
        np.array([str(orders.shape), str(orders.dispersion_axis)]),
        *(np.asarray(table[name]) for name in table.colnames),
    )


# ---------------------------------------------------------------------- words


def _names(frames: Sequence[NightFrame]) -> str:
    """File names; only the first and last of consecutively numbered files."""
    names = [frame.path.name for frame in frames]
    if len(names) < 2:
        return names[0] if names else "-"
    listed = f"{names[0]} to {names[-1]}" if _in_turn(names) else ", ".join(names)
    return f"{listed} ({len(names)})"


def _in_turn(names: Sequence[str]) -> bool:
    """Whether names differ by a number that increases by one."""
    parts = [re.fullmatch(r"(.*?)(\d+)(\D*)", name.split(".fit")[0]) for name in names]
    if None in parts or len({part[1] + "/" + part[3] for part in parts}) > 1:
        return False
    numbers = [int(part[2]) for part in parts]
    return numbers == list(range(numbers[0], numbers[0] + len(numbers)))
