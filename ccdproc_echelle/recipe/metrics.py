# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The quantities that describe a master flat, and their FITS cards."""

from typing import NamedTuple

import numpy as np
from astropy.table import QTable

from ccdproc_echelle.combining import NOISE_KEYWORDS
from ccdproc_echelle.frames import LONGEST_COMMENT

__all__ = ["METRICS", "Metric", "quality_cards"]


class Metric(NamedTuple):
    """
    Quantity of the quality table.

    Attributes
    ----------
    keyword : str
        FITS keyword, at most 8 characters.
    unit : str or None
        Unit, with that of the exposure levels in place of ``{level}``; `None` stands for the unit
        of the levels itself.
    comment : str
        Description.
    lower, upper : float
        Default limits; NaN if there is none.
    """

    keyword: str
    unit: str | None
    comment: str
    lower: float = np.nan
    upper: float = np.nan

    def unit_for(self, level: str | None) -> str:
        """
        Unit of the quantity.

        Parameters
        ----------
        level : str or None
            Unit of the exposure levels, empty if they have none; `None` if it is not known.

        Returns
        -------
        str
            Empty if it has none, or it is not known.

        Examples
        --------
        >>> from ccdproc_echelle.recipe import METRICS
        >>> METRICS["level_median"].unit_for("adu"), METRICS["measured_gain"].unit_for("adu")
        ('adu', 'electron / adu')
        """
        unit = "{level}" if self.unit is None else self.unit
        if level is None and "{level}" in unit:
            return ""
        return unit.format(level=level).removesuffix(" / ")


_GAIN, _, _READ_NOISE, _ = NOISE_KEYWORDS

# The quantities by name, in the order of the rows of the table.
METRICS = {
    "frames_used": Metric("NFRAMES", "", "frames combined"),
    "frames_refused": Metric("NREFUSED", "", "frames left out before combining"),
    "level_median": Metric("LEVMED", None, "median exposure level"),
    "level_spread": Metric("LEVSPRD", "", "range of the levels over their mean"),
    "level_trend": Metric("LEVTREND", "1 / h", "relative change of the level with time"),
    "order_flux_10": Metric("ORDEXP10", None, "10th percentile inner-order flux"),
    "order_flux_50": Metric("ORDEXP50", None, "50th percentile inner-order flux"),
    "order_flux_90": Metric("ORDEXP90", None, "90th percentile inner-order flux"),
    "counts_min": Metric("CNTMIN", None, "median flux of the faintest order"),
    "counts_median": Metric("CNTMED", None, "median flux of the median order"),
    "counts_max": Metric("CNTMAX", None, "median flux of the brightest order"),
    "signal_to_noise_min": Metric("SNRMIN", "", "signal-to-noise of the noisiest order"),
    "signal_to_noise_median": Metric("SNRMED", "", "signal-to-noise of the median order"),
    "signal_to_noise_max": Metric("SNRMAX", "", "signal-to-noise of the best order"),
    "relative_uncertainty": Metric("RELUNC", "", "median relative uncertainty", upper=0.05),
    "reduced_chi_square": Metric("CHI2RED", "", "reduced chi-square of frames", 0.5, 2.0),
    "clipped_fraction": Metric("CLIPMAX", "", "clipped fraction of the worst frame", upper=0.05),
    "saturated_fraction": Metric("SATFRAC", "", "in-order pixels ever saturated", upper=0.01),
    "unusable_fraction": Metric("BADFRAC", "", "unusable in-order pixels", upper=0.05),
    "faint_fraction": Metric("FAINTFRC", "", "in-order pixels too faint"),
    "faint_fraction_max": Metric("FAINTMAX", "", "too faint in the worst order", upper=0.5),
    "low_sensitivity_pixels": Metric("NLOWSENS", "", "pixels of low sensitivity"),
    "dead_pixels": Metric("NDEAD", "", "dead pixels"),
    "hot_pixels": Metric("NHOT", "", "hot pixels"),
    "edge_rms_median": Metric("EDGERMS", "pix", "edge residual, median edge", upper=0.25),
    "edge_rms_max": Metric("EDGEMAX", "pix", "edge residual, worst edge", upper=0.5),
    "edge_measured_min": Metric("EDGEFRAC", "", "measured part of the worst edge"),
    "order_width": Metric("ORDWIDTH", "pix", "median order width"),
    "order_width_scatter": Metric("ORDWSTD", "pix", "standard deviation of order widths"),
    "order_width_jump": Metric("ORDWJUMP", "", "worst order width against others", upper=0.25),
    "fibre_orders": Metric("NFIBRE", "", "orders treated as images of fibres"),
    "sliced_orders": Metric("NSLICED", "", "orders treated as several slices"),
    "scattered_light_fraction": Metric("SCATFRAC", "", "scattered light in orders"),
    "measured_gain": Metric(_GAIN, "electron / {level}", "gain measured"),
    "measured_read_noise": Metric(_READ_NOISE, "electron", "read noise measured"),
    "inner_mean": Metric("INNMEAN", "", "mean of inner-order pixels", 0.9, 1.1),
    "inner_rms": Metric("INNRMS", "", "standard deviation of inner-order pixels"),
}

_COUNTS = {
    "frames_used", "frames_refused", "low_sensitivity_pixels", "dead_pixels", "hot_pixels",
    "fibre_orders", "sliced_orders",
}


def quality_cards(quality: QTable) -> list[tuple[str, float | int, str]]:
    """
    Convert a quality table to FITS header cards.

    Parameters
    ----------
    quality : `~astropy.table.QTable`
        Table returned by `flat_quality`.

    Returns
    -------
    list of (str, float or int, str)
        Keyword, value, and comment with the unit. Unknown values have no card, since a FITS header
        cannot hold NaN.

    Examples
    --------
    >>> from astropy.table import QTable
    >>> from ccdproc_echelle.recipe import quality_cards
    >>> quality = QTable({"name": ["order_width"], "keyword": ["ORDWIDTH"], "value": [21.5],
    ...                   "unit": ["pix"], "comment": ["median order width"]})
    >>> quality_cards(quality)
    [('ORDWIDTH', 21.5, '[pix] median order width')]
    """
    cards = []
    for row in quality:
        if np.isfinite(row["value"]):
            value = int(row["value"]) if row["name"] in _COUNTS else float(row["value"])
            comment = f"[{row['unit']}] {row['comment']}" if row["unit"] else row["comment"]
            cards.append((str(row["keyword"]), value, str(comment)[:LONGEST_COMMENT]))
    return cards
