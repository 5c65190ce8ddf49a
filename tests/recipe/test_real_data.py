# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The command on real frames: three flats and three darks of a laboratory echelle spectrometer."""

import contextlib
import io
import re
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.utils.exceptions import AstropyUserWarning

from ccdproc_echelle import FlatFlag, MasterFlat
from ccdproc_echelle.cli import main
from ccdproc_echelle.light.flags import UNUSABLE

GAIN, READ_NOISE = 0.462, 3.07  # electron/adu and electron, measured by photon transfer
N_ORDERS = 29


@pytest.fixture(scope="module")
def run(data_dir, tmp_path_factory):
    """What one run of the command prints and writes."""
    zyla = data_dir / "zyla"
    folder = tmp_path_factory.mktemp("real")
    printed, warned = io.StringIO(), io.StringIO()
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(warned),
    ):
        warnings.simplefilter("always", AstropyUserWarning)
        status = main([
            "flat", *map(str, sorted(zyla.glob("zyla_flat_0?.fits.gz"))),
            "--dark", *map(str, sorted(zyla.glob("zyla_dark_0?.fits.gz"))),
            "--orders", str(zyla / "order_centres.txt"),
            "--gain", str(GAIN), "--read-noise", str(READ_NOISE),
            # so that the raw frames can be compared with the master
            "--scattered-light", "none",
            "-o", str(folder / "master.fits"), "--plot", str(folder / "master.png"),
        ])
    assert status == 0
    return SimpleNamespace(folder=folder, printed=printed.getvalue(), warned=warned.getvalue())


@pytest.fixture(scope="module")
def master(run):
    return MasterFlat.read(run.folder / "master.fits")


@pytest.fixture(scope="module")
def order_map(master):
    return master.orders.order_map()


def images(frames):
    return np.array([frame.data for frame in frames], dtype=np.float32)


@pytest.fixture(scope="module")
def darks(zyla):
    return images(zyla("dark"))


@pytest.fixture(scope="module")
def signals(zyla, darks):
    """The flats in adu without the mean of the darks, (3, rows, columns)."""
    return images(zyla("flat")) - darks.mean(axis=0)


@pytest.fixture(scope="module")
def frames(signals, master):
    """The flats, each divided by its level."""
    return signals / master.levels["level"].value.astype(np.float32)[:, None, None]


@pytest.fixture(scope="module")
def sigma(signals, master):
    """Noise of one of the frames, from their mean: an outlier does not raise its own noise."""
    counts = np.maximum(signals.mean(axis=0), 0) * GAIN
    return np.sqrt(counts + READ_NOISE**2) / GAIN / master.levels["level"].value.mean()


@pytest.fixture(scope="module")
def bright_orders(signals, order_map):
    """Numbers of the orders of more than 500 electrons."""
    counts = signals[0] * GAIN
    return [m for m in range(1, N_ORDERS + 1) if np.median(counts[order_map == m]) > 500]


# ---------------------------------------------------------------------- what is written


def test_files_are_written(run):
    assert {path.name for path in run.folder.iterdir()} == {"master.fits", "master.png"}
    assert (run.folder / "master.png").read_bytes().startswith(b"\x89PNG")
    assert "29 orders" in run.printed


def test_only_the_faintest_orders_are_warned_about(run):
    assert run.warned.count("\n") == 3
    # The hand-made order centres are that far from the middle between the edges.
    shift = float(re.search(r"the orders are ([-.\d]+) pixels off", run.warned)[1])
    assert shift == pytest.approx(-5, abs=0.1)
    numbers = re.search(r"edges of orders \[([\d, ]+)\]", run.warned)[1]
    assert {int(number) for number in numbers.split(",")} <= set(range(26, 30))
    numbers = re.search(r"orders \[([\d, ]+)\] have too little light", run.warned)[1]
    assert {int(number) for number in numbers.split(",")} <= set(range(26, 30))


def test_levels_agree_to_two_permille(run, master):
    levels = master.levels["level"].value
    assert np.ptp(levels) / levels.mean() < 2e-3
    assert (master.levels["level_uncertainty"].value < 2e-4 * levels).all()
    printed = re.findall(r"  zyla_flat_0\d\.fits\.gz  ([\d.]+) \+-", run.printed)
    np.testing.assert_allclose(np.array(printed, float), levels / levels.mean(), atol=6e-6)


def test_mean_is_one(master, frames):
    inner = master.orders.inner_mask(10)
    # Nothing is clipped here, so there is a small difference.
    assert frames.mean(axis=0)[inner].mean(dtype=float) == pytest.approx(1, abs=1e-4)
    # At some ends of orders the hand-made order centres run outside, where the flat is set to 1.
    assert master.flat.data[inner].mean(dtype=float) == pytest.approx(1, abs=1e-2)
    assert master.flat.unit == ""


def test_few_pixels_are_masked(master, order_map):
    reasons = int(UNUSABLE)
    np.testing.assert_array_equal((master.flags & reasons) > 0, master.flat.mask)
    # The lamp hardly lights the last orders, least of all their ends.
    faint = (master.flags & FlatFlag.FAINT) > 0
    bad = (master.flags & (UNUSABLE & ~FlatFlag.FAINT)) > 0
    assert bad[order_map > 0].mean() < 1e-4
    assert faint[(order_map > 0) & (order_map < 18)].mean() < 1e-3
    assert not master.flat.mask[order_map == 0].any()


# ---------------------------------------------------------------------- edges


def test_the_faintest_orders_are_flagged(master, order_map):
    uncertain = (master.flags & FlatFlag.EXTRAPOLATED_EDGE) > 0
    assert uncertain[np.isin(order_map, np.arange(1, 18))].mean() < 0.01
    assert uncertain[np.isin(order_map, [28, 29])].all()

def test_widths_are_a_smooth_function_of_the_order(master):
    widths = master.orders.upper() - master.orders.lower()
    typical = np.nanmedian(widths, axis=1)
    smooth = np.polynomial.Polynomial.fit(master.orders.order_numbers, typical, 3)
    off = np.abs(typical - smooth(master.orders.order_numbers))
    assert ((typical > 25) & (typical < 28)).all()
    assert off[:20].max() < 0.25
    assert off.max() < 0.5
    # Along an order the width hardly changes, but where the light fails.
    assert np.nanmax(np.abs(widths[:20] - typical[:20, None])) < 1
    assert np.nanmax(np.abs(widths - typical[:, None])) < 3


def test_orders_lie_inside_the_image_and_apart(master):
    lower, upper = master.orders.lower(), master.orders.upper()
    assert len(master.orders) == N_ORDERS
    assert lower.min() > 0
    assert upper[:-1].max() < 2160  # the last order runs off the detector
    assert (lower[1:] > upper[:-1] + 5).all()


def test_residuals_of_the_edges(master):
    table = master.orders.table
    for side in ("lower_rms", "upper_rms"):
        rms = table[side].value
        assert rms[:12].max() < 0.1
        assert rms[:20].max() < 0.25
        assert rms.max() < 1.2


def half_way_down(light, rows):
    """Where the light has fallen to the middle between its first value and its smallest."""
    half = 0.5 * (light[0] + light.min())
    k = np.argmax(light < half)
    step = (light[k - 1] - half) / (light[k - 1] - light[k])
    return rows[k - 1] + step * (rows[k] - rows[k - 1])


def test_edges_are_where_the_light_has_fallen_to_half(master, signals, bright_orders):
    """Half of the brightest light of the slit, found slowly, one slice after the other."""
    image = np.median(signals, axis=0)
    pixels = np.arange(100, 2500, 120)
    for number in bright_orders:
        order = master.orders.select(number)
        differences = []
        for pixel, low, high in zip(
            pixels, order.lower(pixels)[0], order.upper(pixels)[0], strict=True
        ):
            rows = np.arange(max(int(low) - 12, 0), int(high) + 13)
            light = np.median(image[rows, pixel - 2 : pixel + 3], axis=1)
            peak = np.argmax(light)
            differences.append((
                half_way_down(light[peak::-1], rows[peak::-1]) - low,
                half_way_down(light[peak:], rows[peak:]) - high,
            ))
        # The slit is lit like a dome: half of its peak lies a little further in than the edge,
        # which is half of what the light is on the way to it.
        assert np.abs(np.median(differences, axis=0)).max() < 0.7, f"order {number}"
        assert np.abs(differences).max() < 2, f"order {number}"


# ---------------------------------------------------------------------- noise


def test_frames_differ_as_their_noise_lets_expect(frames, sigma, order_map, bright_orders):
    assert len(bright_orders) >= 12
    for number in bright_orders:
        inside = order_map == number
        pulls = (frames[0] - frames[1])[inside] / (np.sqrt(2) * sigma[inside])
        assert np.std(pulls) == pytest.approx(1, abs=0.1), f"order {number}"


def test_reduced_chi_square_of_each_frame_against_the_master(
    frames, sigma, master, order_map, bright_orders
):
    for number in bright_orders:
        inside = (order_map == number) & ~master.flat.mask
        for frame in frames:
            chi_square = np.mean(((frame - master.flat.data)[inside] / sigma[inside]) ** 2)
            # A frame is a third of the master.
            assert chi_square / (1 - 1 / 3) == pytest.approx(1, abs=0.1), f"order {number}"


def test_uncertainty_of_the_master(frames, sigma, master, order_map, bright_orders):
    # The mean of three frames, and the noise of three darks that all of them share.
    inside = np.isin(order_map, bright_orders) & ~master.flat.mask
    dark = READ_NOISE / GAIN / master.levels["level"].value.mean()
    expected = np.sqrt((sigma[inside] ** 2 + dark**2) / 3)
    ratio = master.flat.uncertainty.array[inside] / expected
    assert np.median(ratio) == pytest.approx(1, abs=0.01)
    # Where one frame was rejected two are left.
    assert np.percentile(ratio, 99.9) < 1.05


def test_no_outlier_of_one_frame_is_left_in_the_master(
    signals, darks, frames, sigma, master, order_map
):
    counts = np.maximum(signals[:2].mean(axis=0), 0) * GAIN
    noise = np.sqrt(2 * (counts + READ_NOISE**2)) / GAIN
    # So many are known to be there.
    assert (np.abs(signals[0] - signals[1]) > 6 * noise).sum() == pytest.approx(321, abs=5)

    # Where a dark is an outlier, the mean of the darks is not what the recipe subtracts.
    in_question = (order_map > 0) & (np.ptp(darks, axis=0) < 5 * READ_NOISE / GAIN)
    n_outliers = 0
    for i in range(3):
        others = [frames[j] for j in range(3) if j != i]
        limit = np.sqrt(2) * sigma
        outlier = in_question & (np.abs(others[0] - others[1]) < 3 * limit)
        for other in others:
            outlier &= np.abs(frames[i] - other) > 6 * limit
        n_outliers += outlier.sum()
        kept = outlier & ~master.flat.mask
        np.testing.assert_allclose(
            master.flat.data[kept], np.mean(others, axis=0)[kept], rtol=1e-3, atol=1e-5
        )
    assert n_outliers > 10
