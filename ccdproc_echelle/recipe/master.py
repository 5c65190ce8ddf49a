# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The whole recipe: from raw flats to a master flat."""

import logging
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from functools import partial
from typing import Any

from astropy.modeling import Model
from astropy.table import QTable
from ccdproc import Keyword

from ccdproc_echelle._tasks import ahead
from ccdproc_echelle.combining import PixelPairs, Progress, check_flats, combine_with_levels
from ccdproc_echelle.frames import uncompressed
from ccdproc_echelle.light import UNUSABLE, FlatFlag
from ccdproc_echelle.orders import (
    EchelleOrderTable,
    detect_order_edges,
    in_place,
    mask_interorder,
    trace_orders,
)
from ccdproc_echelle.recipe.acceptance import all_vetted, is_sound, vetted
from ccdproc_echelle.recipe.calibration import calibrate_frames
from ccdproc_echelle.recipe.flagging import pixel_flags
from ccdproc_echelle.recipe.header import label_as_master
from ccdproc_echelle.recipe.inputs import opened_inputs
from ccdproc_echelle.recipe.instruments import Instrument, with_instrument
from ccdproc_echelle.recipe.lit_calibrations import warn_of_lit_calibrations
from ccdproc_echelle.recipe.noise import with_noise_of_set
from ccdproc_echelle.recipe.product import MasterFlat
from ccdproc_echelle.recipe.provenance import provenance_of
from ccdproc_echelle.recipe.request import checked_request
from ccdproc_echelle.recipe.scattered import (
    ScatteredLightOfSet,
    edges_and_scattered_light,
    lit_part,
)
from ccdproc_echelle.recipe.seams import warn_of_steps
from ccdproc_echelle.recipe.typical import typical_frame
from ccdproc_echelle.recipe.verdict import judged, watched

__all__ = ["make_master_flat"]

_log = logging.getLogger(__name__)

# Approximate percentage of the time for each step, for ten flats and five darks of 2048 x 2048.
_STEPS = {
    "bias and dark": 5,
    "typical frame": 10,
    "orders": 4,
    "vetting": 4,
    "scattered light": 22,
    "levels and combination": 25,
    "order edges": 12,
    "bad pixels": 8,
    "quality": 10,
}


@with_instrument
def make_master_flat(
    img_list: Any,
    orders: EchelleOrderTable | None = None,
    *,
    instrument: str | os.PathLike | Instrument | None = None,
    check_table: bool = True,
    bias: Any = None,
    dark: Any = None,
    gain: Any = None,
    read_noise: Any = None,
    saturation: Any = None,
    bad_pixel_mask: Any = None,
    oscan: str | Mapping[str, str] | bool | None = None,
    trim: str | bool | None = None,
    oscan_median: bool = True,
    oscan_model: "Model | None" = None,
    exposure_key: str | Keyword | None = None,
    scale_dark: bool = True,
    setup_keywords: Iterable[str] = (),
    scattered_light: str | None = "frames",
    per_order: bool | str = False,
    reject: str = "warn",
    limits: Mapping[str, Any] | str | os.PathLike | None = None,
    window: float = 10,
    n_passes: int = 2,
    trace_keywords: Mapping[str, Any] | None = None,
    edge_keywords: Mapping[str, Any] | None = None,
    sensitivity_keywords: Mapping[str, Any] | None = None,
    min_signal_to_noise: float = 3,
    mask_flags: FlatFlag = UNUSABLE,
    margin: float = 0,
    executor: Executor | None = None,
    progress_bar: bool = False,
    sigma_clip: bool = True,
    sigma_clip_low_thresh: float = 5,
    sigma_clip_high_thresh: float = 5,
    **keywords: Any,
) -> MasterFlat:
    """
    Make a master flat from raw flats, following the complete SOXS recipe.

    The steps are: find frames that do not belong to the set; subtract bias and dark; trace the
    orders if they are not given; subtract the scattered light; combine the flats in two passes;
    find the order edges; flag dead, hot, low-sensitivity and faint pixels; set the inter-order area
    to 1; and measure the quality.

    Frames are read and calibrated in sections of rows: however many there are, only sections are
    held in memory, and any executor can do the work.

    Parameters
    ----------
    img_list : list, str or `ccdproc.ImageFileCollection`
        Raw flats: names of FITS files or `~astropy.nddata.CCDData` objects, as for
        `ccdproc.combine`.
    orders : `EchelleOrderTable`, optional
        The order centres. Existing edges are replaced by those measured on the flat, and a table
        that is off by a pixel or more is shifted. A table for the untrimmed detector is cropped
        like the frames. Default: trace the orders with `trace_orders` and number them from 1.
    instrument : str, path-like or `Instrument`, optional
        One of `instrument_names`, or the path of a TOML file, that supplies keywords of this
        function, ``hdu``, ``unit``, and the axis along which orders are traced. Keywords given in
        the call take precedence, even if they are equal to the default.
    check_table : bool, optional
        Whether to compare ``orders`` with the light of the flats, and to shift the table, or raise
        an error if it belongs to other flats. If False, the table is used as it is.
    bias, dark : list, str or `ccdproc.ImageFileCollection`, optional
        Bias and dark frames; lamp-off frames are darks. For each flat, the series nearest in time
        is used; see `~ccdproc_echelle.recipe.calibrate_frames`.
    gain : float, `~astropy.units.Quantity`, str, `ccdproc.Keyword` or dict, optional
        Electrons per unit of the data: a number, or the name of a header keyword such as
        ``"GAIN"``. For several amplifiers in one image, a dict that maps the FITS section of each
        to one of these: ``{"[1:240,1:352]": 1.0, "[241:480,1:352]": 1.5}``. For amplifiers in
        separate extensions the values are read from their headers. With gains per amplifier, frames
        and levels are in electrons.
    read_noise : float, `~astropy.units.Quantity`, str, `ccdproc.Keyword` or dict, optional
        Read noise in electrons, given like ``gain``. Together with ``gain`` it defines the
        uncertainty of the flats. Otherwise the flats keep their uncertainties; if they have none,
        gain and read noise are measured on the flats (`measure_noise`), and if that is not possible
        the uncertainty is derived from the scatter of the frames.
    saturation : float, `~astropy.units.Quantity`, str, `ccdproc.Keyword` or dict, optional
        Saturation level, given like ``gain``: pixels with raw values at or above it are masked.
    bad_pixel_mask : array, `~astropy.nddata.CCDData` or path-like, optional
        Known bad pixels of the detector: non-zero (True) or masked in an image with the shape of
        the frames, trimmed or not. They are excluded from levels, fits and edges, and get the flag
        ``KNOWN_BAD``. If a FITS file has several images, the one in ``hdu`` is used.
    oscan : str, dict or False, optional
        FITS section of the overscan to subtract, for flats, bias and darks, as in
        `ccdproc.ccd_process`; False to skip the step. For several amplifiers in one image, a dict
        that maps the light-sensitive section of each to its overscan section:
        ``{"[1:240,:]": "[481:512,:]", "[241:480,:]": "[513:544,:]"}``. Default: ``BIASSEC`` of
        each header.
    trim : str or False, optional
        FITS section to keep, given like ``oscan``; False to keep the whole frame. Default:
        ``TRIMSEC`` (or ``DATASEC``) of each header.
    oscan_median : bool, optional
        Whether each row (or column) of the overscan is represented by its median or its mean.
    oscan_model : `~astropy.modeling.Model`, optional
        Model fitted to these medians or means, as in `ccdproc.ccd_process`. Default: no fit.
    exposure_key : str or `ccdproc.Keyword`, optional
        Header keyword of the exposure time in seconds. Default: ``EXPTIME``.
    scale_dark : bool, optional
        Whether to scale darks to the exposure time of the flats if there is a bias. Counts per
        second are never scaled.
    setup_keywords : iterable of str, optional
        Header keywords that must agree in all flats, in addition to
        `~ccdproc_echelle.recipe.SETUP_KEYWORDS`.
    scattered_light : {"frames", "master"} or None, optional
        Whether to subtract the scattered light from each frame before its level is measured, from
        the master, or not at all. If the orders leave no room to measure it, nothing is subtracted.
    per_order : bool or "auto", optional
        Whether to scale each order of a frame by its own level, for a lamp whose colour drifts;
        ``"auto"`` does so if the levels require it. See `two_pass_flat_combine`.
    reject : {"warn", "drop", "error"}, optional
        How to handle frames that have a different set-up or shape, no light, are saturated or
        shifted, or are copies of another frame: use them with a warning ("warn"), leave them out
        with a warning ("drop"), or raise an error ("error"). Copies of bias and dark frames are
        handled in the same way. A master flat is never used as a raw flat, nor is a frame with less
        than 1/1000 of the light of the brightest one: with "warn" these raise an error.
    limits : dict or path-like, optional
        Quality limits, as a dict or a YAML file; see `flat_quality`.
    window : float, optional
        Full width of the window on the order centre, in pixels along the cross-dispersion axis.
    n_passes : int, optional
        Number of times the levels are measured; 2 is the SOXS method.
    trace_keywords : dict, optional
        Keywords of `trace_orders`, such as ``n_orders``; only if ``orders`` is not given.
    edge_keywords : dict, optional
        Keywords of `detect_order_edges`.
    sensitivity_keywords : dict, optional
        Keywords of `find_bad_response`.
    min_signal_to_noise : float, optional
        In-order pixels of the master whose value is less than this many times its uncertainty, or
        not above zero, get the flag ``FAINT``: dividing by them would turn any science frame into
        noise. Not to be confused with the detection threshold of `trace_orders`, which belongs in
        ``trace_keywords``.
    mask_flags : `FlatFlag`, optional
        Pixels with any of these flags are masked. The inter-order area is 1 with no uncertainty;
        unless it is masked, science frames keep their background there.
    margin : float, optional
        Number of pixels beyond the order edges that keep their values, for the wings of fibres or
        to allow for flexure.
    executor : `concurrent.futures.Executor`, optional
        Executor that does the work: threads, processes, or a dask cluster. Default: one thread per
        core. The result is bit-identical in all cases.
    progress_bar : bool, optional
        Whether to show the progress of each step (requires tqdm).
    sigma_clip : bool, optional
        Whether to reject values that deviate from the other frames; unlike in `ccdproc.combine`,
        the default is True.
    sigma_clip_low_thresh, sigma_clip_high_thresh : float, optional
        Number of deviations below and above the centre beyond which values are rejected.
    **keywords
        Keywords of `~ccdproc_echelle.combining.CombineSettings` and, for files, of
        ``CCDData.read``. ``hdu`` may be a list of extensions, the amplifiers of one detector.
        Default: all extensions with ``DETSEC`` or ``CCDSEC`` if the primary HDU is empty.

    Returns
    -------
    `MasterFlat`
        The master flat with its order table and quality. The uncertainty includes the noise of the
        flats and, if ``gain`` and ``read_noise`` are given, that of bias and dark.

    Raises
    ------
    TypeError, ValueError, OSError
        Under the same conditions as in `Instrument.read`, `two_pass_flat_combine`,
        `~ccdproc_echelle.recipe.calibrate_frames`, `trace_orders` and `detect_order_edges`; and if
        ``orders`` belongs to other flats, unless ``check_table`` is False.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If frames do not belong to the set, unless ``reject`` is "error"; if the data of a file do
        not match their ``DATASUM``; if the light jumps where amplifiers meet; if bias or dark
        frames show the orders; if most of an order is too faint to divide by; if ``gain`` or
        ``read_noise`` disagrees with the noise of the flats as measured by `measure_noise`; and
        under the same conditions as in the functions named above.

    References
    ----------
    SOXS pipeline documentation, recipe ``soxs-mflat``.

    Examples
    --------
    >>> from ccdproc_echelle import make_master_flat
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> simulation = EchelleSimulation(shape=(128, 160), n_orders=3).with_bias(300)
    >>> master = make_master_flat(simulation.flats(3, raw=True), simulation.truth.orders,
    ...                           dark=simulation.darks(3, raw=True), gain=1, read_noise=4)
    >>> master.flat.shape, len(master.orders), len(master.levels)
    ((128, 160), 3, 3)
    """
    arguments = locals() | {"instrument": None if instrument is None else instrument.name}
    request = checked_request(arguments, instrument, make_master_flat)
    inputs = opened_inputs(request)
    settings, edge_keywords = request.settings, request.edge_keywords
    calibrating = dict(
        bias=inputs.bias, dark=inputs.dark, known_bad=inputs.known_bad, exposure_key=exposure_key,
        scale_dark=scale_dark, mem_limit=settings.mem_limit, executor=executor,
    )

    with Progress(_STEPS, shown=progress_bar) as progress, uncompressed(inputs.flats) as raw:
        progress.begin("bias and dark")
        calibration = calibrate_frames(raw, **calibrating)
        progress.begin("typical frame")
        pairs = PixelPairs.gathered(calibration.flats, executor)
        typical = typical_frame(calibration.flats, pairs.pixels, settings.mem_limit, executor)
        progress.begin("orders")
        orders = _orders_of(typical, inputs.orders, check_table, request.trace_keywords)

        progress.begin("vetting")
        with ahead(partial(
            edges_and_scattered_light, typical, orders, edge_keywords, scattered_light
        )) as found:
            warn_of_steps(raw[0], typical, orders)
            warn_of_lit_calibrations(calibration.flats[0], inputs.subtracted, typical, orders)
            calibration, vetting = vetted(calibration, orders, window, reject)
            sound = is_sound(vetting)
            check_flats(calibration.selected(sound).flats, orders, window, check_table=False)
            calibration, noise = with_noise_of_set(
                calibration, orders, sound, pairs.of_frames(vetting["used"]),
                per_order=per_order, **calibrating,
            )
            progress.begin("scattered light")
            orders, sample, unlit = found()
        scattered = ScatteredLightOfSet.measured(
            scattered_light, sample, calibration, progress, executor
        )
        del typical, found, sample  # planes that are no longer needed
        progress.begin("levels and combination")
        flat, levels, images = combine_with_levels(
            scattered.subtracted_from(calibration.flats), orders, settings, window=window,
            n_passes=n_passes, per_order=per_order, executor=executor, progress=progress,
            watch=watched(orders, window, len(calibration.flats)),
        )
        _log.info("levels %s", levels["level"].round(3))
        noted = images.noted

        progress.begin("order edges")
        flat = calibration.with_shared_noise(flat, levels, settings.weights)
        flat, lost = scattered.accounted_for(flat, levels, orders, window)
        del images
        with ahead(partial(scattered.with_errors, levels, flat, orders, window)) as with_errors:
            orders = detect_order_edges(lit_part(flat, unlit), orders, **edge_keywords)
            levels = with_errors()
        del scattered
        progress.begin("bad pixels")
        used = {"flat": calibration.flats, "bias": inputs.bias, "dark": inputs.dark}
        recording = partial(provenance_of, request.arguments, settings, request.reading, used)
        masking = partial(mask_interorder, flat, orders, margin=margin, mask=False)
        with ahead(recording) as recorded, ahead(masking) as masked:
            flags = pixel_flags(
                flat, orders, noted, inputs.known_bad, unlit, margin=margin,
                min_signal_to_noise=min_signal_to_noise,
                sensitivity_keywords=request.sensitivity_keywords,
            )
            flat, provenance = masked(), recorded()

        progress.begin("quality")
        flat.mask = (flags & int(mask_flags)) > 0
        label_as_master(flat.header, provenance, noise, lost)
        vetting = all_vetted(inputs.setup, vetting)
        master = MasterFlat(flat, orders, levels, flags, QTable(), vetting, provenance)
        return judged(
            master, calibration.flats, noted, window=window,
            n_refused=len(inputs.setup) - len(calibration.flats),
            scattered_light=lost, limits=request.limits,
        )


def _orders_of(typical, orders, check_table: bool, trace_keywords) -> EchelleOrderTable:
    if orders is None:
        orders = trace_orders(typical, **trace_keywords)
    else:
        orders = in_place(orders, typical) if check_table else orders.on_detector(typical.shape)
    _log.info("%d orders", len(orders))
    return orders
