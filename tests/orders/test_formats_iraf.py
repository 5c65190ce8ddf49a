# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""IRAF aperture databases: curves as IRAF evaluates them, records as IRAF takes them."""

import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.utils.exceptions import AstropyUserWarning
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.polynomial.chebyshev import chebval
from numpy.polynomial.legendre import legval
from numpy.testing import assert_allclose, assert_array_equal

from ccdproc_echelle import EchelleOrderTable

read = EchelleOrderTable.read


# ---------------------------------------------------------------------- curves, the slow way


def legendre(x, low, high, coefficients):
    return legval((2 * x - low - high) / (high - low), coefficients)


def chebyshev(x, low, high, coefficients):
    return chebval((2 * x - low - high) / (high - low), coefficients)


def spline1(x, low, high, coefficients):
    """Straight lines between the coefficients."""
    return np.interp(x, np.linspace(low, high, len(coefficients)), coefficients)


def spline3(x, low, high, coefficients):
    """The four cubic pieces of the basis, as in IRAF's cv_evspline3, for one x after another."""
    n_pieces = len(coefficients) - 3
    values = []
    for position in (np.asarray(x) - low) / (high - low) * n_pieces:
        first = min(int(position), n_pieces - 1)
        s = position - first
        t = 1 - s
        basis = [t**3, 1 + t * (3 + t * (3 - 3 * t)), 1 + s * (3 + s * (3 - 3 * s)), s**3]
        values.append(np.dot(basis, coefficients[first : first + 4]))
    return np.array(values)


CURVES = {1: chebyshev, 2: legendre, 3: spline3, 4: spline1}
EXTRA = {1: 0, 2: 0, 3: 3, 4: 1}


# ---------------------------------------------------------------------- texts to read


def record(number=1, *, kind=2, curve=(5.0, -2.0, 3.0), low=11, high=190, center=40.5, axis=2,
           limits=(-6.0, 7.5), image="flat"):
    """One aperture as IRAF writes it; its dispersion center is pixel 100 of 200."""
    pairs = [(center, 100), (limits[0], -99), (limits[1], 100)]
    centers, lows, highs = (f"{b:g} {a:g}" if axis == 2 else f"{a:g} {b:g}" for a, b in pairs)
    values = [kind, len(curve) - EXTRA.get(kind, 0), low, high, *curve]
    return (
        "# Thu 10:49:22 10-Jun-2021\n"
        f"begin\taperture {image} {number} {centers}\n"
        f"\timage\t{image}\n\taperture\t{number}\n\tbeam\t{number + 70}\n"
        f"\tcenter\t{centers}\n\tlow\t{lows}\n\thigh\t{highs}\n"
        "\tbackground\n\t\txmin -10.\n\t\txmax 10.\n\t\tfunction chebyshev\n\t\torder 1\n"
        "\t\tsample -10:-6,6:10\n\t\tnaverage -3\n\t\tniterate 0\n\t\tlow_reject 3.\n"
        "\t\thigh_reject 3.\n\t\tgrow 0.\n"
        f"\taxis\t{axis}\n\tcurve\t{len(values)}\n"
        + "".join(f"\t\t{value:.9g}\n" for value in values) + "\n"
    )


def table_of(text, folder, **kwargs) -> EchelleOrderTable:
    path = Path(folder) / "apflat"
    path.write_text(text)
    return read(path, **kwargs)


# ---------------------------------------------------------------------- reading


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("kind", [1, 2])
def test_polynomials(kind, axis, tmp_path):
    orders = table_of(record(kind=kind, axis=axis), tmp_path)
    assert orders.dispersion_axis == axis - 1 and orders.shape is None
    assert orders.order_numbers.tolist() == [1]
    pixels = np.arange(200)
    expected = 40.5 + CURVES[kind](pixels + 1, 11, 190, (5.0, -2.0, 3.0)) - 1
    expected[(pixels < 10) | (pixels > 189)] = np.nan
    for curve, offset in ((orders.center, 0), (orders.lower, -6), (orders.upper, 7.5)):
        assert_allclose(curve(pixels)[0], expected + offset, rtol=0, atol=1e-10)


def trace(x, amplitude=30.0):
    """A smooth order, counted from the middle of 1000 pixels."""
    p = (np.asarray(x) - 500) / 500
    return amplitude * (p + 0.4 * p**2 - 0.15 * p**3 + 0.05 * np.sin(3 * p))


@pytest.mark.parametrize("n_pieces", [1, 2, 5, 20, 60])
def test_cubic_splines(n_pieces, tmp_path):
    # Coefficients on the curve itself, a sixth each, make a spline close to it.
    knots = np.linspace(3, 998, n_pieces + 1)
    step = knots[1] - knots[0]
    positions = np.concatenate([[knots[0] - step], knots, [knots[-1] + step]])
    coefficients = trace(positions) / 6
    orders = table_of(record(kind=3, curve=coefficients, low=3, high=998), tmp_path)
    pixels = np.arange(2, 998)
    expected = 39.5 + spline3(pixels + 1, 3, 998, coefficients)
    assert_allclose(orders.center(pixels)[0], expected, rtol=0, atol=1e-3)
    assert orders.table["center"].shape[1] < 60


def test_linear_splines(tmp_path):
    curve = [0, 10, 20, 30]  # without a kink, so a straight line
    orders = table_of(record(kind=4, curve=curve, low=1, high=31), tmp_path)
    assert_allclose(orders.center(np.arange(31))[0], 39.5 + np.arange(31), rtol=0, atol=1e-9)
    assert_allclose(orders.table["center"].shape, (1, 2))


def test_kinks_are_warned_about(tmp_path):
    curve = [0, 10, 0, 15, 0]
    text = record(1) + record(2, kind=4, curve=curve, low=1, high=401, center=100)
    with pytest.warns(AstropyUserWarning, match=r"1 of 2 .*aperture 2 \(line 31\) by") as caught:
        orders = table_of(text, tmp_path)
    said = float(str(caught[0].message).rsplit(" by ")[1].split()[0])
    pixels = np.arange(401)
    expected = 99 + spline1(pixels + 1, 1, 401, curve)
    found = np.abs(orders.center(pixels)[1] - expected).max()
    assert 1e-3 < said < 0.3
    assert found == pytest.approx(said, rel=0.1)


def test_orders_of_different_degree_share_a_table(tmp_path):
    curves = [(2.0,), (1.0, 5.0, 3.0, 2.0), (1.0, 5.0)]
    text = "".join(record(m, curve=c, center=30 * m) for m, c in enumerate(curves, start=4))
    orders = table_of(text, tmp_path)
    assert orders.order_numbers.tolist() == [4, 5, 6]
    pixels = np.arange(10, 190)
    for m, curve, row in zip((4, 5, 6), curves, orders.center(pixels), strict=True):
        assert_allclose(row, 30 * m - 1 + legendre(pixels + 1, 11, 190, curve), atol=1e-10)


def test_zero_widths_are_no_edges(tmp_path):
    assert not table_of(record(1, limits=(0, 0)) + record(2, limits=(0, 0), center=80),
                        tmp_path).has_edges
    with pytest.raises(ValueError, match=r"at line 31 has low 0\.0 and high 0\.0, expected low"):
        table_of(record(1) + record(2, limits=(0, 0), center=80), tmp_path)


def test_a_later_record_of_the_same_name_replaces_the_earlier_one(tmp_path):
    text = record(1) + record(2, center=80) + record(1, curve=(8.0, 1.0))
    orders = table_of(text, tmp_path)
    assert orders.order_numbers.tolist() == [1, 2]
    pixels = np.arange(10, 190)
    expected = 39.5 + legendre(pixels + 1, 11, 190, (8.0, 1.0))
    assert_allclose(orders.center(pixels)[0], expected, atol=1e-10)


def test_user_may_give_the_shape_but_no_other_axis(tmp_path):
    assert table_of(record(), tmp_path, shape=(100, 200)).shape == (100, 200)
    with pytest.raises(ValueError, match="for dispersion_axis 1, but dispersion_axis=0"):
        table_of(record(), tmp_path, dispersion_axis=0)


def test_other_records_are_passed_over(tmp_path):
    other = "begin\tidentify flat - Ap 1\n\tid\tflat\n\taperture\t9\n\tcurve\t3\n"
    title = record().replace("\timage\t", "\ttitle\tlow high curve 3\n\timage\t")
    assert table_of(other + title + other, tmp_path).order_numbers.tolist() == [1]
    with pytest.raises(ValueError, match="none of the known"):
        table_of(other, tmp_path)


@pytest.mark.parametrize(("old", "new", "message"), [
    ("center\t100 40.5", "center\t100 INDEF", "line 6, center: 'INDEF' is not a number"),
    ("center\t100 40.5", "center\t100", "line 6: center has 1 values, expected 2"),
    ("low\t-99 -6", "low\t-99 nan", "line 7, low: 'nan', expected a finite number"),
    ("high\t100 7.5", "high\t100 -8", "at line 2 has low -6.0 and high -8.0, expected low below"),
    ("\thigh\t100 7.5\n", "", "line 2: the record that begins here has no 'high'"),
    ("\timage\tflat\n", "", "line 2: the record that begins here has no 'image'"),
    ("axis\t2", "axis\t3", "line 20: axis is 3, expected 1 or 2"),
    ("aperture\t1", "aperture\t1.5", "line 4, aperture: '1.5', expected an integer"),
    ("aperture\t1", "aperture\t0", "order number 0 is reserved"),
    ("curve\t7", "curve\tmany", "line 21, curve: 'many' is not a number"),
    ("curve\t7", "curve\t8", "line 21: curve is 8, but 7 values follow"),
    ("curve\t7", "curve\t6", "line 21: the curve has 2 coefficients, expected 3 for type 2"),
    ("curve\t7", "curve\t2", "line 21: curve has 2 values, expected at least 5"),
    ("\t\t2\n\t\t3\n", "\t\t5\n\t\t3\n", "line 21: the curve is of type 5, expected 1"),
    ("\t\t2\n\t\t3\n", "\t\t3\n\t\t3\n", "3 coefficients, expected 6 for type 3 and order 3"),
    ("\t\t2\n\t\t3\n", "\t\t2\n\t\t0\n", "line 21: the curve has order 0 from pixel 11 to 190"),
    ("\t\t190\n", "\t\t11\n", "line 21: the curve has order 3 from pixel 11 to 11"),
    ("\t\t-2\n", "\t\t-2x\n", "line 27, curve: '-2x' is not a number"),
])
def test_malformed_records(old, new, message, tmp_path):
    text = record()
    assert text.count(old) == 1
    with pytest.raises(ValueError, match=rf"apflat as .* in format 'iraf': .*{message}"):
        table_of(text.replace(old, new), tmp_path)


@pytest.mark.parametrize(("other", "message"), [
    ({"axis": 1}, "at line 31 has axis 1, expected 2 as at line 2"),
    ({"image": "arc"}, "at line 31 has image arc, expected flat as at line 2"),
    ({"number": 1}, "line 31: aperture 1 is also at line 2, with another centre"),
])
def test_records_that_do_not_belong_together(other, message, tmp_path):
    other = {"number": 2, "center": 80} | other
    with pytest.raises(ValueError, match=message):
        table_of(record() + record(**other), tmp_path)


# ---------------------------------------------------------------------- round trips


def spectrograph(seed, varying=True) -> EchelleOrderTable:
    """Orders that end at different pixels, with edges or without, along rows or columns."""
    rng = np.random.default_rng(seed)
    axis, n_orders, n_pixels = int(rng.integers(2)), int(rng.integers(1, 13)), 500
    k = np.arange(n_orders)[:, None]
    p = 2 * np.arange(n_pixels) / n_pixels - 1
    centers = 60 + 50 * k + k**2 + 20 * (1 + 0.03 * k) * p + 15 * (1 - 0.02 * k) * p**2
    half = 8 + 0.3 * k + varying * (rng.uniform(0.7, 1) * p + 2 * p**2)
    first = rng.integers(0, n_pixels // 3, (n_orders, 1))
    last = rng.integers(n_pixels // 2, n_pixels, (n_orders, 1))
    centers[(np.arange(n_pixels) < first) | (np.arange(n_pixels) > last)] = np.nan
    edges = {"lower": centers - half, "upper": centers + 0.9 * half} if rng.integers(2) else {}
    return EchelleOrderTable.from_traces(
        rng.integers(1, 100) + np.arange(n_orders), centers, degree=int(rng.integers(2, 9)),
        shape=(n_pixels, 900) if axis == 0 else (900, n_pixels), dispersion_axis=axis, **edges,
    )


def written(orders, name="apflat") -> str:
    with tempfile.TemporaryDirectory() as folder:
        orders.write(Path(folder) / name, format="iraf")
        return (Path(folder) / name).read_text()


def again(orders) -> EchelleOrderTable:
    with tempfile.TemporaryDirectory() as folder:
        orders.write(Path(folder) / "apflat", format="iraf")
        return read(Path(folder) / "apflat", shape=orders.shape)


@given(st.integers(0, 10**6).map(lambda seed: spectrograph(seed, varying=False)))
def test_round_trip(orders):
    found = again(orders)
    assert found.has_edges == orders.has_edges
    assert found.dispersion_axis == orders.dispersion_axis
    assert_array_equal(found.order_numbers, orders.order_numbers)
    for name in ("center", "lower", "upper") if orders.has_edges else ("center",):
        assert_allclose(getattr(found, name)(), getattr(orders, name)(), rtol=0, atol=1e-6)


@given(st.integers(0, 10**6).map(spectrograph).filter(lambda orders: orders.has_edges))
def test_varying_edges_become_their_mean(orders):
    widths = orders.upper() - orders.lower()
    assume((np.nanmax(widths, axis=1) - np.nanmin(widths, axis=1)).max() > 2.5)
    with pytest.warns(AstropyUserWarning, match="the mean is written for orders"):
        found = again(orders)
    assert_allclose(found.center(), orders.center(), rtol=0, atol=1e-6)
    for name in ("lower", "upper"):
        distance = np.nanmean(getattr(orders, name)() - orders.center(), axis=1, keepdims=True)
        constant = getattr(found, name)() - found.center()
        assert_allclose(constant, np.where(np.isnan(constant), np.nan, distance), atol=0.01)


def test_small_changes_of_the_edges_are_not_mentioned():
    center = np.array([[20, 0.1], [60, 0.1]])
    kwargs = {"shape": (80, 51), "dispersion_axis": 1, "upper": center + [5, 0]}
    # over 51 pixels, from border to border
    quiet = EchelleOrderTable.from_polynomials([4, 5], center, lower=center - [5, 0.0097], **kwargs)
    loud = EchelleOrderTable.from_polynomials(
        [4, 5], center, lower=center - [[5, 0], [5, 0.0099]], **kwargs)
    assert again(quiet).has_edges
    with pytest.warns(AstropyUserWarning, match=r"orders \[5\], whose edges change by up to 0\.5"):
        again(loud)


# ---------------------------------------------------------------------- writing


@pytest.mark.parametrize(("axis", "pairs"), [
    (1, ("26 22.5", "-25 -5", "24 6")), (0, ("22.5 26", "-5 -25", "6 24")),
])
def test_what_is_written(axis, pairs):
    center = np.array([[19.0, 0.1]])
    orders = EchelleOrderTable.from_polynomials(
        [71], center, lower=center - [5, 0], upper=center + [6, 0], dispersion_axis=axis,
        shape=(80, 50) if axis == 1 else (50, 80))
    assert written(orders) == (
        "# Written by ccdproc_echelle\n"
        f"begin\taperture flat 71 {pairs[0]}\n"
        "\timage\tflat\n\taperture\t71\n\tbeam\t71\n"
        f"\tcenter\t{pairs[0]}\n\tlow\t{pairs[1]}\n\thigh\t{pairs[2]}\n"
        "\tbackground\n\t\txmin -10.\n\t\txmax 10.\n\t\tfunction chebyshev\n\t\torder 1\n"
        "\t\tsample -10:-6,6:10\n\t\tnaverage -3\n\t\tniterate 0\n\t\tlow_reject 3.\n"
        "\t\thigh_reject 3.\n\t\tgrow 0.\n"
        f"\taxis\t{axis + 1}\n\tcurve\t6\n"
        "\t\t1\n\t\t2\n\t\t1\n\t\t50\n\t\t-0.05\n\t\t2.45\n\n"
    )


def test_image_name_and_length_without_a_shape():
    orders = EchelleOrderTable.from_polynomials(
        [3], [[10]], shape=None, dispersion_axis=1, pixel_range=(4, 39))
    text = written(orders, "myflat.txt")
    assert "begin\taperture myflat.txt 3 22 11\n\timage\tmyflat.txt\n" in text
    assert "\tlow\t-21 0\n\thigh\t18 0\n" in text


def test_an_order_of_one_pixel_has_no_curve():
    orders = EchelleOrderTable.from_polynomials(
        [3, 4], [[10], [20]], shape=None, dispersion_axis=1, pixel_range=[(4, 4), (4, 9)])
    with pytest.raises(ValueError, match=r"orders \[3\] are no longer than one pixel"):
        written(orders)


# ---------------------------------------------------------------------- real files


def parsed(path):
    """Center, low and high across, axis and curve of each aperture, from the text alone."""
    for text in path.read_text().split("begin\t")[1:]:
        head, tail = text.split("\tcurve\t")
        fields = {w[0]: w[1:] for w in map(str.split, head.splitlines()) if w}
        axis = int(fields["axis"][0])
        values = [float(word) for word in tail.split("#")[0].split()[1:]]
        across = [float(fields[name][axis - 1]) for name in ("center", "low", "high")]
        yield int(fields["aperture"][0]), axis, across, values


@pytest.mark.parametrize(("name", "n_apertures", "axis", "n_pixels"), [
    ("iraf_arces_apechtrace130522", 107, 1, 2048), ("iraf_ird_aprefA", 21, 0, 2048),
])
def test_real_files(name, n_apertures, axis, n_pixels, data_dir):
    path = data_dir / "order_tables" / name
    orders = read(path)
    assert len(orders) == n_apertures and orders.dispersion_axis == axis
    pixels = np.arange(n_pixels)
    found = [orders.lower(pixels), orders.center(pixels), orders.upper(pixels)]
    largest = 0.0
    for row, (number, file_axis, (center, below, above), curve) in enumerate(parsed(path)):
        kind, n_coefficients, low, high, *coefficients = curve
        assert (kind, len(coefficients), file_axis - 1) == (2, n_coefficients, axis)
        assert orders.order_numbers[row] == number
        x = (2 * (pixels + 1) - low - high) / (high - low)
        expected = center + legval(x, coefficients) - 1
        inside = (pixels + 1.5 >= low) & (pixels + 0.5 <= high)  # some curves end between pixels
        for curve, offset in zip(found, (below, 0, above), strict=True):
            assert_array_equal(np.isfinite(curve[row]), inside)
            misses = np.abs(curve[row] - expected - offset)[inside]
            largest = max(largest, misses.max())
    assert row == n_apertures - 1
    assert largest < 1e-9


def test_real_files_survive_a_round_trip(data_dir):
    for name in ("iraf_arces_apechtrace130522", "iraf_ird_aprefA"):
        orders = read(data_dir / "order_tables" / name)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = again(orders)
        for curve in ("center", "lower", "upper"):
            expected = getattr(orders, curve)(np.arange(2048))
            assert_allclose(getattr(found, curve)(np.arange(2048)), expected, rtol=0, atol=1e-6)
