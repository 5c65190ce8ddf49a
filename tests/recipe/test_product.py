# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The product as it shows itself: in a line, in a notebook, on a page."""

import re
from dataclasses import replace

import numpy as np
import pytest
from astropy.table import QTable

from ccdproc_echelle import MasterFlat, make_master_flat, with_limits
from ccdproc_echelle.simulation import EchelleSimulation

SIMULATION = EchelleSimulation(shape=(128, 144), n_orders=3)


@pytest.fixture(scope="module")
def master():
    return make_master_flat(SIMULATION.flats(3), SIMULATION.truth.orders)


def quality_rows(master):
    """The cells of the quality table in the page for notebooks, row by row."""
    html = master._repr_html_()
    return [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(<td>.*?)</tr>", html)]


# ---------------------------------------------------------------------- in a line


def test_repr_is_one_line(master):
    expected = "<MasterFlat: 3 frames, 128 x 144 pixels, 3 orders, quality pass>"
    assert repr(master) == str(master) == expected


@pytest.mark.parametrize("limits, verdict", [
    ({"frames_used": (5, None)}, "fail (1 limit)"),
    ({"frames_used": (5, None), "order_width": (None, 1)}, "fail (2 limits)"),
])
def test_repr_counts_the_limits_that_fail(master, limits, verdict):
    judged = replace(master, quality=with_limits(master.quality, limits))
    assert repr(judged).endswith(f", quality {verdict}>")


def test_repr_of_a_master_that_nobody_judged(master):
    unlimited = master.quality.copy()
    unlimited["verdict"] = ""
    for quality in (QTable(), unlimited):
        assert repr(replace(master, quality=quality)).endswith(", quality not judged>")


def test_repr_of_one_frame_and_one_order(master):
    one = replace(master, levels=master.levels[:1], orders=next(iter(master.orders)))
    assert "1 frame, 128 x 144 pixels, 1 order, " in repr(one)


def test_a_master_read_from_a_file_looks_the_same(master, tmp_path):
    master.write(tmp_path / "master.fits")
    found = MasterFlat.read(tmp_path / "master.fits")
    assert repr(found) == repr(master)
    assert quality_rows(found) == quality_rows(master)


# ---------------------------------------------------------------------- in a notebook


def test_html_begins_with_the_line(master):
    assert master._repr_html_().startswith(f"<p>{repr(master)[1:-1]}</p><img ")


def test_html_has_all_rows_of_the_quality(master):
    assert [row[0] for row in quality_rows(master)] == list(master.quality["name"])


def test_html_has_numbers_of_four_digits(master):
    for row, (_, value, *_) in zip(master.quality, quality_rows(master), strict=True):
        if np.isfinite(row["value"]):
            assert float(value) == pytest.approx(row["value"], rel=5e-4)
            assert len(re.sub(r"e.*|^-?[0.]*|\.", "", value)) <= 4
        else:
            assert value == ""


def test_html_leaves_limits_empty_that_are_not_set(master):
    limits = {row[0]: row[3] for row in quality_rows(master)}
    assert limits["level_median"] == ""
    assert limits["edge_rms_median"] == "≤ 0.25"
    assert limits["inner_mean"] == "0.99 to 1.01"
    assert not any("nan" in cell for row in quality_rows(master) for cell in row)


def test_html_of_a_master_without_quality_ends_with_the_picture(master):
    html = replace(master, quality=QTable())._repr_html_()
    assert html.endswith('alt="master flat">')


# ---------------------------------------------------------------------- on a page


def test_plot_is_the_summary_page(master):
    pytest.importorskip("matplotlib", reason="figures need matplotlib")
    figure = master.plot()
    assert figure.get_suptitle().endswith("master flat of 3 frames")
    texts = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert "inner mean" in texts
