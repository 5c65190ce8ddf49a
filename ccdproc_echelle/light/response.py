# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Blaze, slit profile and pixel response of a master flat; dead, low and hot pixels."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.table import QTable

from ccdproc_echelle._numeric.arguments import expect, is_finite, is_whole
from ccdproc_echelle.frames import (
    check_real,
    completed_keywords,
    standard_deviation,
    without_file_cards,
)
from ccdproc_echelle.light.fringes import fringe_pattern
from ccdproc_echelle.light.order_fit import (
    OrderFit,
    OrderSketch,
    fit_order,
    scatter_about,
    sketch_order,
)
from ccdproc_echelle.light.sharp_ends import in_the_dark
from ccdproc_echelle.orders import (
    EchelleOrderTable,
    bad_row_pixels,
    checked_orders,
    warn_of_misplaced_edges,
)

__all__ = [
    "BadResponse",
    "NormalizedFlat",
    "check_sensitivity_keywords",
    "find_bad_response",
    "mask_low_sensitivity",
    "normalize_flat",
]


@dataclass(frozen=True, eq=False, repr=False)
class NormalizedFlat:
    """
    A flat separated into blaze, slit profile and pixel response.

    Attributes
    ----------
    blaze : `~astropy.nddata.CCDData`
        Light along the order, including the spectrum of the lamp, in the unit of the flat. Constant
        across the slit.
    slit_profile : `~astropy.nddata.CCDData`
        Light across the slit, dimensionless; its mean over the middle half of the slit is 1.
    pixel_response : `~astropy.nddata.CCDData`
        Remaining response of each pixel, dimensionless and close to 1.
    table : `~astropy.table.QTable`
        One row per order: ``order``, ``blaze`` and ``blaze_uncertainty``, of shape (n_pixels,), NaN
        where the order is not valid.

    See Also
    --------
    normalize_flat : Separate a flat into these components, with an example.
    """

    blaze: CCDData
    slit_profile: CCDData
    pixel_response: CCDData
    table: QTable

    def __repr__(self) -> str:
        rows, columns = self.blaze.shape
        return f"<NormalizedFlat: {rows} x {columns} pixels, {len(self.table)} orders>"


class BadResponse(NamedTuple):
    """
    Images of bad pixels, by kind; no pixel is of two kinds.

    Attributes
    ----------
    dead, low, hot : bool array, shape of the detector
    """

    dead: np.ndarray
    low: np.ndarray
    hot: np.ndarray


def normalize_flat(
    flat: CCDData, orders: EchelleOrderTable, *, length: int = 51
) -> NormalizedFlat:
    """
    Separate a flat into blaze, slit profile and pixel response.

    In each order the flat is fitted by a smooth function of the dispersion pixel, the blaze, times
    a function of the relative slit position that changes slowly along the order, the slit profile.
    Both are penalised B-splines [1]_ whose smoothness is determined from the data by restricted
    maximum likelihood [2]_. Pixels that differ from the fit by more than 5 times the scatter around
    it, such as dead and hot pixels, dust and residual cosmic rays, are excluded. The pixel response
    is the flat divided by both functions.

    Parameters
    ----------
    flat : `~astropy.nddata.CCDData`
        Master flat, in any unit and with any normalisation.
    orders : `EchelleOrderTable`
        The orders, with edges.
    length : int, optional
        Length along the order, in pixels, of which almost half may be filled with bad pixels. It
        should be longer than any cluster of bad pixels or columns, and shorter than the features of
        the blaze.

    Returns
    -------
    `NormalizedFlat`
        Inside the orders the product of the three images is the flat. Between the orders, where the
        fit finds no light, and for one ``length`` beyond a place where the light of an order ends
        within a few pixels, all three are 1 and masked. Masked pixels of the flat are masked in
        the pixel response; they are excluded from the fit, while blaze and slit profile have values
        there. The uncertainty of the pixel response is present if the flat has one; it includes
        that of the flat, that of the fit, and their covariance. The uncertainty of blaze and slit
        profile is that of the fit, including the effect of the scatter of the pixel responses.

    Raises
    ------
    TypeError
        If ``flat`` is not a `~astropy.nddata.CCDData` or its uncertainty is of an unknown type.
    ValueError
        If ``length`` is not a positive integer, the orders have no edges or are for a detector of a
        different shape, or the flat has no light in any of them.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If most edges are not where the light of the flat ends, as with those of another binning.

    Notes
    -----
    The slit profile is fitted up to the order edges. Its knots are half a pixel apart near the
    edges, which resolves the blurred edge of a slit. The relative slit position is exact there, so
    no extrapolation to partly lit pixels is needed.

    A smooth change of the pixel response along an order cannot be distinguished from the blaze, nor
    one that is common to the slits of all orders from the slit profile; they are included in those.

    References
    ----------
    .. [1] Eilers & Marx 1996, Statistical Science 11, 89, doi:10.1214/ss/1038425655
    .. [2] Wood & Fasiolo 2017, Biometrics 73, 1071, doi:10.1111/biom.12666

    Examples
    --------
    >>> from astropy.nddata import CCDData
    >>> from ccdproc_echelle import normalize_flat
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> simulation = EchelleSimulation(shape=(128, 256), n_orders=2)
    >>> flat = CCDData(simulation.truth.flat.copy(), unit="")
    >>> parts = normalize_flat(flat, simulation.truth.orders)
    >>> parts.table.colnames
    ['order', 'blaze', 'blaze_uncertainty']
    >>> good = ~parts.pixel_response.mask
    >>> product = (parts.blaze.data * parts.slit_profile.data * parts.pixel_response.data)[good]
    >>> bool(abs(product / flat.data[good] - 1).max() < 1e-12)
    True
    """
    orders = _checked(flat, orders, length)
    sigma = _noise(flat)
    curves = np.full((2, len(orders), flat.shape[orders.dispersion_axis]), np.nan)
    values, deviations = np.ones((3, *flat.shape)), np.zeros((3, *flat.shape))
    outside = np.ones(flat.shape, bool)
    for i, cut, fit in _fits(_fit, flat, orders, length):
        curves[:, i, cut.first : cut.first + len(fit.blaze)] = (
            fit.blaze, np.abs(fit.blaze) * np.sqrt(fit.blaze_variance)
        )
        lit = cut.inside & (fit.blaze * fit.profile > 0)
        indices = cut.indices[lit]
        blaze, profile = np.broadcast_to(fit.blaze, lit.shape)[lit], fit.profile[lit]
        response = cut.values[lit] / (blaze * profile)
        variances = _variances(fit, lit, blaze, profile, response, sigma.take(indices))
        for images, parts in (
            (values, (blaze, profile, response)), (deviations, np.sqrt(variances))
        ):
            for image, part in zip(images, parts, strict=True):
                image.ravel()[indices] = part
        outside.ravel()[indices] = False
    if outside.all():
        raise ValueError("the flat has no light in any of the orders; do the orders belong to it?")
    images = [
        CCDData(data, unit=unit, mask=mask, uncertainty=StdDevUncertainty(deviation, copy=False))
        for data, unit, mask, deviation in zip(
            values, (flat.unit, "", ""), (outside, outside.copy(), outside | _masked(flat)),
            deviations, strict=True,
        )
    ]
    if flat.uncertainty is None:
        images[2].uncertainty = None
    table = QTable([orders.order_numbers], names=["order"])
    table["blaze"], table["blaze_uncertainty"] = curves * flat.unit
    return NormalizedFlat(*images, table)


def find_bad_response(
    flat: CCDData,
    orders: EchelleOrderTable,
    *,
    dead: float = 0.2,
    low: float = 0.5,
    hot: float = 1.5,
    n_sigma: float = 2.5,
    length: int = 51,
) -> BadResponse:
    """
    Find the in-order pixels that respond much less or more than their surroundings.

    The response is that of `normalize_flat`, except that in wide orders blaze and slit profile are
    fitted to every third or fifth dispersion pixel only. With its standard deviation sigma, a pixel
    is

    - low if ``max(response, 0) + n_sigma * sigma < low``, and dead instead if its response is also
      below ``dead``;
    - hot if ``response - n_sigma * sigma > hot`` and ``response - 2 * n_sigma * sigma > 1``.

    With the defaults, a good pixel is only reported if noise changes it by at least 5 sigma, and a
    pixel dimmed by a quarter by dust, which the flat corrects, only if noise changes it by at least
    3.75 sigma. In an order too faint to distinguish dead pixels from good ones, none are reported.

    Parameters
    ----------
    flat : `~astropy.nddata.CCDData`
        Master flat, in any unit and with any normalisation.
    orders : `EchelleOrderTable`
        The orders, with edges.
    dead, low : float, optional
        Response below which a pixel is dead or of low sensitivity; ``0 < dead <= low < 1``.
    hot : float, optional
        Response, above 1, above which a pixel is hot.
    n_sigma : float, optional
        Number of sigma by which a response must be beyond the threshold.
    length : int, optional
        Length along the order, in pixels, of which almost half may be filled with bad pixels; see
        `normalize_flat`.

    Returns
    -------
    `BadResponse`
        Masked or non-finite pixels of the flat are not included.

    Raises
    ------
    TypeError, ValueError
        Under the same conditions as in `normalize_flat`, or if a threshold is out of range.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        Under the same conditions as in `normalize_flat`.

    Notes
    -----
    Sigma, in units of the response, is the larger of the uncertainty of the pixel and the scatter
    (from the median absolute deviation) of the responses around it. The scatter is needed in
    addition to the uncertainty, since a pixel that is low by chance also has too low a photon
    noise, and the uncertainty derived from few frames is often too small. If there is no
    uncertainty, only the scatter is used. Where the fit finds no light, no pixel can be judged.

    One or two adjacent bad detector rows that run straight along an order are excluded from the
    fit, since they would look like a dark line in the slit. Three adjacent ones are not excluded.

    Where the light of an order ends within a few pixels, which no smooth blaze can follow, nothing
    is fitted or reported for one ``length`` beyond it.

    Fringes are not a defect. Where neighbouring pixels predict a large part of the deviation from
    blaze times slit profile, as they do for a wave, a pixel is compared with that prediction.

    Examples
    --------
    >>> from astropy.nddata import CCDData
    >>> from ccdproc_echelle import find_bad_response
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> simulation = EchelleSimulation(shape=(128, 256), n_orders=2).with_dead_pixels(9)
    >>> flat = CCDData(simulation.truth.flat.copy(), unit="")
    >>> dead, low, hot = find_bad_response(flat, simulation.truth.orders)
    >>> int(dead.sum()), int(low.sum()), int(hot.sum())
    (9, 0, 0)
    """
    _check_thresholds(dead, low, hot, n_sigma)
    orders = _checked(flat, orders, length)
    sigma = _noise(flat)
    found = np.zeros((3, *flat.shape), bool)
    judged = partial(_bad_pixels, sigma=sigma, dead=dead, low=low, hot=hot, n_sigma=n_sigma)
    for _, _, kinds in _fits(judged, flat, orders, length):
        for image, indices in zip(found, kinds, strict=True):
            image.ravel()[indices] = True
    return BadResponse(*found)


def mask_low_sensitivity(
    flat: CCDData,
    orders: EchelleOrderTable,
    *,
    threshold: float = 0.5,
    n_sigma: float = 2.5,
    length: int = 51,
) -> CCDData:
    """
    Mask the in-order pixels that respond much less than their surroundings.

    These are the pixels that `find_bad_response` reports as low or dead. The response of a pixel is
    its value divided by blaze and slit profile, so that it is not lowered by the curvature of an
    order or by its sub-pixel phase, on which the light in pixels at the edge depends.

    Parameters
    ----------
    flat : `~astropy.nddata.CCDData`
        Master flat, in any unit and with any normalisation.
    orders : `EchelleOrderTable`
        The orders, with edges.
    threshold : float, optional
        Response, between 0 and 1, below which a pixel has low sensitivity.
    n_sigma : float, optional
        Number of sigma by which a response must be below the threshold.
    length : int, optional
        Length along the order, in pixels, of which almost half may be filled with bad pixels; see
        `normalize_flat`.

    Returns
    -------
    `~astropy.nddata.CCDData`
        A copy of the flat with the low-sensitivity pixels added to its mask. The pixels found are
        those masked here but not in ``flat``. Data and uncertainty are unchanged.

    Raises
    ------
    TypeError
        If ``flat`` is not a `~astropy.nddata.CCDData` or its uncertainty is of an unknown type.
    ValueError
        If ``threshold`` is not between 0 and 1, ``n_sigma`` is not positive, ``length`` is not a
        positive integer, or the orders have no edges or are for a detector of a different shape.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If most edges are not where the light of the flat ends, as with those of another binning.

    Notes
    -----
    The SOXS pipeline also clips low-sensitivity pixels [1]_, but at a number of sigma below the
    median of all orders together, where the spread is that of the blaze and no dead pixel stands
    out.

    References
    ----------
    .. [1] soxspipe documentation, recipe ``soxs_mflat``, parameter
       ``low-sensitivity-clipping-sigma``, https://soxspipe.readthedocs.io

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.nddata import CCDData
    >>> from ccdproc_echelle import EchelleOrderTable
    >>> from ccdproc_echelle import mask_low_sensitivity
    >>> orders = EchelleOrderTable.from_polynomials(
    ...     [7], [[10]], lower=[[4.5]], upper=[[15.5]], shape=(20, 200), dispersion_axis=1)
    >>> flat = CCDData(orders.coverage(), unit="")
    >>> flat.data[12, 50:53] = [0.1, 0.2, 0.75]
    >>> np.argwhere(mask_low_sensitivity(flat, orders).mask)
    array([[12, 50],
           [12, 51]])
    """
    between = is_finite(threshold, above=0, below=1)
    expect(between, "threshold", threshold, "a number between 0 and 1")
    bad = find_bad_response(
        flat, orders, dead=threshold, low=threshold, n_sigma=n_sigma, length=length
    )
    result = flat.copy()
    result.header = without_file_cards(flat.header)
    result.mask = _masked(flat) | bad.dead | bad.low
    return result


def check_sensitivity_keywords(keywords: Mapping[str, Any]) -> None:
    """
    Check keywords of `find_bad_response` before there is a flat.

    Parameters
    ----------
    keywords : dict
        Keywords for `find_bad_response`.

    Raises
    ------
    TypeError
        If a keyword is unknown; the message suggests the closest known name.
    ValueError
        If a value is out of range.
    """
    values = completed_keywords(find_bad_response, keywords)
    _check_length(values.pop("length"))
    _check_thresholds(**values)


# ---------------------------------------------------------------------- checks


def _check_thresholds(dead, low, hot, n_sigma) -> None:
    expect(is_finite(low, above=0, below=1), "low", low, "a number between 0 and 1")
    below_low = is_finite(dead, above=0) and dead <= low
    expect(below_low, "dead", dead, f"a positive number not above low, {low!r}")
    expect(is_finite(hot, above=1), "hot", hot, "a number above 1")
    expect(is_finite(n_sigma, above=0), "n_sigma", n_sigma, "a positive number")


def _check_length(length) -> None:
    expect(is_whole(length, least=1), "length", length, "a positive integer")


def _checked(flat, orders, length) -> EchelleOrderTable:
    """The orders, bound to the detector of the flat."""
    _check_length(length)
    if not isinstance(flat, CCDData):
        raise TypeError(f"flat is a {type(flat).__name__}, expected a CCDData")
    check_real(flat.data, "flat")
    orders = checked_orders(orders).on_detector(flat.shape)
    warn_of_misplaced_edges(flat, orders)
    return orders


def _noise(flat: CCDData) -> np.ndarray:
    """The standard deviation; 0 if there is none."""
    sigma = standard_deviation(flat, "flat")
    return np.zeros(flat.shape) if sigma is None else sigma


def _masked(flat: CCDData) -> np.ndarray:
    return np.zeros(flat.shape, bool) if flat.mask is None else np.array(flat.mask, bool)


# ---------------------------------------------------------------------- orders along the rows


class _Cut(NamedTuple):
    """Pixels of an order, straightened; arrays of shape (n_rows, n_pixels)."""

    first: int  # dispersion pixel
    indices: np.ndarray  # of the pixels in the flattened image
    inside: np.ndarray
    place: np.ndarray  # relative slit position
    width: float
    values: np.ndarray  # of the flat
    usable: np.ndarray  # inside, and good
    fitted: np.ndarray  # usable, and not in a bad row of the detector
    lowest: np.ndarray  # detector row of the first row, (n_pixels,)


class _Image(NamedTuple):
    """A flat with its orders along the rows; arrays are flattened."""

    data: np.ndarray
    masked: np.ndarray
    in_bad_row: np.ndarray
    order_index: np.ndarray
    n_cross: int
    steps: tuple[int, int]  # in the flattened arrays, across and along the orders

    @classmethod
    def of(cls, flat: CCDData, orders: EchelleOrderTable) -> "_Image":
        axis = orders.dispersion_axis
        images = flat.data, _masked(flat), bad_row_pixels(flat, axis), orders.order_index()
        steps = (flat.shape[1], 1) if axis == 1 else (1, flat.shape[1])
        return cls(*(image.ravel() for image in images), flat.shape[1 - axis], steps)

    def cut(self, i: int, lower: np.ndarray, upper: np.ndarray, length: int) -> _Cut:
        """Pixels of the order in table row ``i``, which has these edges, without its dark ends."""
        valid = np.flatnonzero(np.isfinite(lower))
        pixels = np.arange(valid[0], valid[-1] + 1)
        lower, widths = lower[pixels], (upper - lower)[pixels]
        lowest = np.floor(lower).astype(int)
        rows = lowest + np.arange(int(np.ceil(widths.max())) + 2)[:, None]
        indices = np.clip(rows, 0, self.n_cross - 1) * self.steps[0] + pixels * self.steps[1]
        inside = (rows >= 0) & (rows < self.n_cross) & (self.order_index.take(indices) == i)
        values = self.data.take(indices)
        usable = inside & np.isfinite(values) & ~self.masked.take(indices)
        fitted = usable & ~self.in_bad_row.take(indices)
        lit = ~in_the_dark(values, fitted, length)
        inside, usable, fitted = inside & lit, usable & lit, fitted & lit
        place, width = (rows - lower) / widths, float(np.median(widths))
        return _Cut(pixels[0], indices, inside, place, width, values, usable, fitted, lowest)


def _fits(fit_cut: Callable[[_Cut, int], Any], flat, orders, length: int) -> Iterator[tuple]:
    """
    Table row, pixels and fit of each order that can be fitted.

    One after the other: they consist of so many small steps that threads would only wait for each
    other.
    """
    image = _Image.of(flat, orders)
    for i, (lower, upper) in enumerate(zip(orders.lower(), orders.upper(), strict=True)):
        if np.isfinite(lower).any():
            cut = image.cut(i, lower, upper, length)
            if cut.values[cut.fitted].any():
                yield i, cut, fit_cut(cut, length)


def _fit(cut: _Cut, length: int) -> OrderFit:
    return fit_order(cut.values, cut.fitted, cut.place, cut.width, length)


def _bad_pixels(
    cut: _Cut, length: int, *, sigma, dead: float, low: float, hot: float, n_sigma: float
) -> tuple[np.ndarray, ...]:
    """Indices of the dead, low and hot pixels of an order."""
    light = sketch_order(cut.values, cut.fitted, cut.place, cut.width, length)
    expected, scatter = _with_fringes(light, cut, length)
    # No other pixel can qualify, whatever its noise.
    odd = (cut.values < low * expected) | (cut.values > hot * expected)
    odd &= cut.usable & (expected > 0)
    indices, expected = cut.indices[odd], expected[odd]
    response = cut.values[odd] / expected
    noise = n_sigma * np.fmax(sigma.take(indices), scatter[odd]) / expected
    is_low = np.maximum(response, 0) + noise < low
    is_hot = (response - noise > hot) & (response - 2 * noise > 1)
    kinds = is_low & (response < dead), is_low & (response >= dead), is_hot
    return tuple(indices[kind] for kind in kinds)


def _with_fringes(light: OrderSketch, cut: _Cut, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Expected light in each pixel of an order, including fringes, and its scatter."""
    expected = light.blaze * light.profile
    lit = cut.fitted & (expected > 0)
    excess = np.where(lit, cut.values, 0) / np.where(lit, expected, 1) - 1
    pattern = fringe_pattern(excess, lit, cut.lowest)
    if pattern is None:
        return expected, light.scatter
    known = np.isfinite(pattern)
    expected = np.where(known, expected * (1 + np.nan_to_num(pattern)), expected)
    scatter = scatter_about(expected, cut.values, cut.fitted, length)
    return expected, np.where(known, scatter, light.scatter)


def _variances(fit, lit, blaze, profile, response, sigma) -> tuple[np.ndarray, ...]:
    """
    Variances of blaze, slit profile and pixel response at the lit pixels.

    A fitted pixel pulls the fit towards itself: the response lacks the leverage of the pixel's own
    noise, while the fit includes the noise and the responses of all other pixels.
    """
    of_blaze = np.broadcast_to(fit.blaze_variance, lit.shape)[lit]
    of_profile = fit.profile_variance[lit]
    of_fit = of_blaze + of_profile
    noise = (sigma / (blaze * profile)) ** 2
    leverage = fit.used[lit] * of_fit * (blaze * profile / fit.scatter[lit]) ** 2
    of_response = noise * np.maximum(1 - 2 * leverage, 0) + response**2 * of_fit
    return of_blaze * blaze**2, of_profile * profile**2, of_response
