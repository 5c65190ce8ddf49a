# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The command ``ccdproc-echelle flat``: make a master flat from raw flats."""

import argparse
import importlib.util
import sys
from pathlib import Path

from ccdproc_echelle.cli.options import (
    add_command,
    add_instrument,
    add_order_format,
    add_output,
    add_raw,
    add_reading,
    add_tracing,
    assignment,
    given,
    opened_frame,
    raw_keywords,
    read_orders_of,
    reading_keywords,
    tracing_keywords,
)
from ccdproc_echelle.cli.products import broken_limits, check_master_name, check_plot, write_product
from ccdproc_echelle.cli.workers import add_workers, executor_of
from ccdproc_echelle.frames import check_output, matching_paths
from ccdproc_echelle.light import UNUSABLE, FlatFlag
from ccdproc_echelle.recipe import Instrument, MasterFlat, make_master_flat, read_config

__all__ = ["add", "run"]

_EXAMPLE = """\
  ccdproc-echelle flat flat_*.fits --dark dark_*.fits --orders orders.ecsv \\
      --gain 1.2 --read-noise 4 --output master.fits --plot master.png"""

# Options that are passed on unchanged as keywords of `make_master_flat`.
_AS_THEY_ARE = (
    "instrument", "bias", "dark", "exposure_key", "scale_dark", "setup_keywords", "bad_pixel_mask",
    "per_order", "reject", "limits", "window", "n_passes", "sigma_clip", "min_signal_to_noise",
    "margin",
)

# Options that a configuration may replace: files, which are checked, and how they are read.
_FILES = ("orders", "instrument", "bias", "dark", "bad_pixel_mask", "limits")
_READING = ("hdu", "unit", "oscan", "trim")


def add(commands) -> None:
    flat = add_command(
        commands, "flat", run,
        help="make a master flat from raw flats",
        description="Make a master flat from raw flats: check each frame, subtract bias, dark "
        "and scattered light, combine in two passes, find the order edges, set the inter-order "
        "area to 1, mask unusable pixels, and measure the quality.",
        example=_EXAMPLE,
    )
    flat.add_argument("flats", nargs="*", metavar="FLAT", help="raw flats (FITS)")
    for title, add_options in (
        ("product", _add_product), ("calibration", _add_calibration), ("raw frames", _add_frames),
        ("orders", _add_orders), ("combination", _add_combination), ("flat field", _add_flat_field),
        ("run", _add_work),
    ):
        add_options(flat.add_argument_group(title))


def _add_product(group) -> None:
    add_output(group, "master flat to write (FITS)")
    group.add_argument("--plot", metavar="FILE", help="summary figure to write (PNG or PDF)")
    group.add_argument("--limits", metavar="FILE", help="quality limits (YAML, see inspect)")


def _add_work(group) -> None:
    add_workers(group)
    group.add_argument("--quiet", action="store_true",
        help="do not show a progress bar (shown by default on a terminal if tqdm is installed)")


def _add_orders(group) -> None:
    option = group.add_argument
    option("--orders", metavar="FILE", help="order table (default: trace the orders)")
    add_order_format(group, "--orders-format")
    add_tracing(group, signal_to_noise="--trace-signal-to-noise")
    option("--first-order", type=int, metavar="M",
        help="number of the lowest order on the detector, if the orders are traced (default: 1)")
    option("--degree", type=int, metavar="N",
        help="degree of the polynomials for the traced order centres (default: 4)")


def _add_calibration(group) -> None:
    option = group.add_argument
    option("--bias", nargs="+", default=None, metavar="FILE", help="bias frames")
    option("--dark", nargs="+", default=None, metavar="FILE", help="dark or lamp-off frames")
    option("--exposure-key", metavar="KEYWORD",
        help="header keyword of the exposure time (default: EXPTIME)")
    option("--no-scale-dark", dest="scale_dark", action="store_false", default=None,
        help="do not scale darks to the exposure time of the flats")
    option("--bad-pixel-mask", metavar="FILE",
        help="image of the detector (FITS) in which known bad pixels are not 0")


def _add_frames(group) -> None:
    option = group.add_argument
    add_instrument(group)
    option("--config", metavar="FILE",
        help="TOML file with keywords of make_master_flat, used unless an option overrides them; "
        "they take precedence over those of the instrument")
    add_raw(group)
    add_reading(group)
    option("--setup-keyword", dest="setup_keywords", action="append", metavar="KEYWORD",
        help="additional header keyword that must agree in all flats; may be repeated")


def _add_combination(group) -> None:
    option = group.add_argument
    option("--window", type=float, metavar="PIXELS",
        help="full width of the window on the order centres, in pixels (default: 10)")
    option("--passes", dest="n_passes", type=int, metavar="N",
        help="number of times the levels are measured (default: 2)")
    clipping = group.add_mutually_exclusive_group()
    clipping.add_argument("--sigma-clip", nargs=2, type=float, metavar=("LOW", "HIGH"),
        dest="clip_thresholds",
        help="reject values this many standard deviations below and above the others "
        "(default: 5 5)")
    clipping.add_argument("--no-sigma-clip", action="store_false", default=None, dest="sigma_clip",
        help="do not reject values that deviate from the others")
    option("--scattered-light", choices=("frames", "master", "none"),
        help="where to subtract the scattered light (default: frames)")
    option("--per-order", action="store_true", default=None,
        help="use a separate exposure level for each order of a frame")
    option("--reject", choices=("warn", "drop", "error"),
        help="how to handle frames that do not match the others (default: warn)")


def _add_flat_field(group) -> None:
    option = group.add_argument
    option("--min-signal-to-noise", type=float, metavar="RATIO",
        help="mask pixels of the master flat below this many times their uncertainty (default: 3)")
    option("--edge", dest="edge_keywords", action="append", type=assignment,
        metavar="KEYWORD=VALUE",
        help="a keyword of detect_order_edges, such as profile=fibre; may be repeated")
    option("--sensitivity", dest="sensitivity_keywords", action="append", type=assignment,
        metavar="KEYWORD=VALUE",
        help="a keyword of find_bad_response, such as low=0.7; may be repeated")
    option("--margin", type=float, metavar="PIXELS",
        help="number of pixels beyond the order edges that keep their values (default: 0)")
    option("--mask-interorder", action="store_true", help="mask the inter-order area as well")


def run(options: argparse.Namespace) -> int:
    config = {} if options.config is None else read_config(options.config)
    _take_options(options, config)
    _check_usage(options)
    _expand_patterns(options)
    outputs = _checked_outputs(options)
    keywords = _merged(config, _keywords(options))
    orders = None
    if options.orders is not None:
        orders = read_orders_of(options, *opened_frame(options, options.flats[0], shape_only=True))
    with executor_of(options) as executor:
        master = make_master_flat(
            options.flats,
            orders,
            executor=executor,
            progress_bar=_is_watched(options),
            **keywords,
        )
    written = write_product(master, options.output, options.plot, overwrite=options.overwrite)
    print_levels(master)
    print(f"{len(master.orders)} orders, {master.flat.mask.sum()} pixels masked")
    for broken in broken_limits(master.quality):
        print(f"beyond its limits: {broken}")
    for path in written:
        print(f"wrote {path}")
    return 0 if written == outputs else 1


def _check_usage(options: argparse.Namespace) -> None:
    """Stop if options do not go together."""
    if options.orders is None:
        for name in ("orders_format", "dispersion_axis"):
            if getattr(options, name) is not None:
                option = f"--{name.replace('_', '-')}"
                options.wrong_usage(f"argument {option}: can only be used with --orders")
    elif _tracing_keywords(options):
        options.wrong_usage(
            "arguments --n-orders, --min-width, --max-width, --trace-signal-to-noise, "
            "--first-order, --degree: can only be used without --orders"
        )
    if not options.flats:
        options.wrong_usage(
            "no FLAT: --bias and --dark take all file names after them; put the flats first"
        )


def _checked_outputs(options: argparse.Namespace) -> list[Path]:
    """The files to write: the master flat and, if wanted, its figure."""
    outputs = [Path(path) for path in (options.output, options.plot) if path is not None]
    for path in outputs:
        check_output(path, overwrite=options.overwrite, inputs=_inputs(options))
    check_master_name(options.output)
    if options.plot is not None:
        check_plot(options.plot)
        if Path(options.plot).resolve() == Path(options.output).resolve():
            raise ValueError(f"--plot and --output are the same file, {options.plot}")
    return outputs


def _keywords(options: argparse.Namespace) -> dict:
    """The keywords of `make_master_flat` for which an option was given."""
    keywords = raw_keywords(options) | reading_keywords(options) | given(options, _AS_THEY_ARE)
    if options.scattered_light is not None:
        chosen = options.scattered_light
        keywords["scattered_light"] = None if chosen == "none" else chosen
    if options.mask_interorder:
        keywords["mask_flags"] = UNUSABLE | FlatFlag.INTERORDER
    if options.clip_thresholds is not None:
        low, high = options.clip_thresholds
        keywords |= dict(
            sigma_clip=True, sigma_clip_low_thresh=low, sigma_clip_high_thresh=high
        )
    for name in ("edge_keywords", "sensitivity_keywords"):
        if getattr(options, name) is not None:
            keywords[name] = dict(getattr(options, name))
    if _tracing_keywords(options):
        keywords["trace_keywords"] = _tracing_keywords(options)
    return keywords


def _tracing_keywords(options: argparse.Namespace) -> dict:
    return tracing_keywords(options) | given(options, ("first_order", "degree"))


def _take_options(options: argparse.Namespace, config: dict) -> None:
    """Take options from the configuration, unless they are given on the command line."""
    if options.orders is not None:
        config.pop("trace_keywords", None)
    for name in (*_FILES, *_READING):
        told = config.pop(name, None)
        if getattr(options, name) is None and told is not None:
            setattr(options, name, told)


def _expand_patterns(options: argparse.Namespace) -> None:
    """Expand patterns that the shell has left: an output must not be one of their files."""
    for name in ("flats", "bias", "dark"):
        given = getattr(options, name)
        if given is not None:
            setattr(options, name, [str(path) for item in given for path in matching_paths(item)])


def _merged(config: dict, keywords: dict) -> dict:
    """Options take precedence, even within a keyword that is a dict."""
    merged = config | keywords
    for name in ("trace_keywords", "edge_keywords", "sensitivity_keywords"):
        if name in config and name in keywords:
            merged[name] = config[name] | keywords[name]
    return merged


def _inputs(options: argparse.Namespace) -> list[str]:
    """All files from which the master flat is made."""
    single = [
        options.orders, options.instrument, options.config, options.limits, options.bad_pixel_mask
    ]
    if options.instrument is not None:
        described = Instrument.read(options.instrument).keywords
        single += [described.get("bad_pixel_mask"), described.get("limits")]
    frames = [*options.flats, *(options.bias or ()), *(options.dark or ())]
    return [*frames, *(path for path in single if isinstance(path, str))]


def _is_watched(options: argparse.Namespace) -> bool:
    """Whether somebody can see a progress bar."""
    has_tqdm = importlib.util.find_spec("tqdm") is not None
    return has_tqdm and sys.stderr.isatty() and not options.quiet


def print_levels(master: MasterFlat) -> None:
    levels = master.levels
    mean = levels["level"].mean()
    print(f"exposure levels, mean {mean:.6g}:")
    for row in levels:
        relative = float(row["level"] / mean)
        sigma = float(row["level_uncertainty"] / mean)
        print(f"  {Path(row['frame']).name}  {relative:.5f} +- {sigma:.5f}")
