# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from astropy.table import QTable

pytest.importorskip("matplotlib", reason="figures need matplotlib")

from ccdproc_echelle.plotting import plot_trends

TRENDS = QTable({
    "setup": ["red", "blue", "red", "red"], "date": [60310.0, 60310.5, 60311.0, 60311.0],
    "name": ["order_width", "order_width", "order_width", "inner_mean"],
    "value": [21.5, 20.5, 24.5, 1.0], "unit": ["pix", "pix", "pix", ""],
    "lower": [20.0, 20.0, 20.0, np.nan], "upper": [23.0, 23.0, 23.0, np.nan],
    "verdict": ["pass", "pass", "fail", ""],
})


def test_each_quantity_has_a_panel_with_its_limits_and_what_is_beyond():
    width, mean = plot_trends(TRENDS).axes
    assert [ax.get_title(loc="left") for ax in (width, mean)] == ["order width (pix)", "inner mean"]
    lines = {line.get_label(): line for line in width.lines}
    assert lines["red"].get_ydata().tolist() == [21.5, 24.5]
    assert lines["blue"].get_ydata().tolist() == [20.5]
    assert lines["beyond its limits"].get_ydata().tolist() == [24.5]
    assert lines["red"].get_marker() != lines["blue"].get_marker()
    dashed = [line.get_ydata()[0] for line in width.lines if line.get_linestyle() == "--"]
    assert dashed == [20, 23]
    assert not any(line.get_linestyle() == "--" for line in mean.lines)


@pytest.mark.parametrize("days", [0, 0.15, 3, 1000])
def test_no_span_of_time_is_warned_of(days):
    trends = TRENDS.copy()
    trends["date"] = np.linspace(60310, 60310 + days, len(trends))
    plot_trends(trends).canvas.draw()


def test_without_a_date_there_is_nothing_to_draw():
    trends = TRENDS.copy()
    trends["date"] = np.nan
    with pytest.raises(ValueError, match="no master flat has a date"):
        plot_trends(trends)
    trends.remove_column("date")
    with pytest.raises(ValueError, match="no column.*date"):
        plot_trends(trends)
