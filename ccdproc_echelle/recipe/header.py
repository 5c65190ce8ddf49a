# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Header of a master flat: identify it as one, and record what was done."""

from collections.abc import Mapping, MutableMapping
from typing import Any

import numpy as np
from astropy.io import fits

from ccdproc_echelle.combining import MeasuredNoise, noise_cards
from ccdproc_echelle.frames import IMAGE_TYPE_OF_MASTER, record_cards
from ccdproc_echelle.recipe.provenance import Provenance

__all__ = ["label_as_master"]

# Comment of the cards in which ccdproc logs its functions; their values are not readable text.
_CCDPROC_LOG = "Shortened name for ccdproc command"


def label_as_master(
    header: MutableMapping,
    provenance: Provenance,
    noise: MeasuredNoise | None,
    scattered_light: float,
) -> None:
    """
    Label a header, copied from the first raw flat, as that of a master flat.

    Parameters
    ----------
    header : dict-like
        Updated with the measured noise, ``IMAGETYP``, ``HISTORY`` (a `~astropy.io.fits.Header`
        only) and, if it has ESO cards, ``ESO PRO CATG``.
    provenance : `~ccdproc_echelle.recipe.Provenance`
        How the flat was made.
    noise : `~ccdproc_echelle.combining.MeasuredNoise` or None
        Measured noise of the flats.
    scattered_light : float
        Fraction of the light that was subtracted as scattered light; NaN if none was.
    """
    record_cards(header, noise_cards(noise) if noise else ())
    history = _history(provenance, scattered_light)
    header["IMAGETYP"] = IMAGE_TYPE_OF_MASTER
    is_fits = isinstance(header, fits.Header)
    if any(str(keyword).startswith("ESO ") for keyword in header):
        header["HIERARCH ESO PRO CATG" if is_fits else "ESO PRO CATG"] = "MASTER_FLAT"
    if is_fits:
        for line in [*_done_before(header), *history]:
            header.add_history(line)


def _history(provenance: Provenance, scattered_light: float) -> list[str]:
    number = {
        role: np.count_nonzero(provenance.inputs["role"] == role)
        for role in ("flat", "bias", "dark", "mask")
    }
    scattered = provenance["scattered_light"]
    if np.isnan(scattered_light):
        scattered = "None, as there is no room between the orders"
    clipping = f"{provenance['sigma_clip_low_thresh']} and {provenance['sigma_clip_high_thresh']}"
    return [
        "master flat by make_master_flat of",
        f"ccdproc_echelle {provenance['ccdproc_echelle']}",
        f"raw flats combined: {number['flat']}, method {provenance['method']}",
        *(
            f"{kind} frames combined and subtracted: {number[kind]}"
            for kind in ("bias", "dark") if number[kind]
        ),
        *(["known bad pixels left out"] if number["mask"] else []),
        f"scattered light subtracted from: {scattered}",
        f"levels on the order centres: window {provenance['window']} pixels, "
        f"{provenance['n_passes']} passes",
        *([f"clipped at {clipping} sigma"] if provenance["sigma_clip"] == "True" else []),
        "the inter-order area is 1",
        "all parameters: extension PROVENANCE; all files: extension INPUTS",
    ]


def _done_before(header: fits.Header) -> list[str]:
    """
    History lines for what ccdproc has logged about a flat: its cards refer to objects in memory.
    """
    logged: Mapping[str, Any] = {
        card.keyword: card.value for card in header.cards if card.comment == _CCDPROC_LOG
    }
    for function, short in logged.items():
        del header[function]
        header.remove(str(short), ignore_missing=True)
    return [f"before, by ccdproc: {function.lower()}" for function in logged]
