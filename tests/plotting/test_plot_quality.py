# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="figures need matplotlib")

from ccdproc_echelle.plotting import plot_quality
from ccdproc_echelle.plotting.quality import quality_lines
from helpers.figures import some_quality


def test_quality_is_a_table_of_what_is_known():
    ax = plot_quality(some_quality())

    words = np.reshape([text.get_text() for text in ax.texts], (-1, 5)).tolist()
    assert words == [
        ["quantity", "value", "unit", "limits", "verdict"],
        ["edge rms max", "0.5", "pix", "", ""],
        ["inner mean", "1.2", "", "0.99 to 1.01", "fail"],
        ["frames used", "3", "", "\N{GREATER-THAN OR EQUAL TO} 2", "pass"],
    ]
    bold = [text.get_text() for text in ax.texts[5:] if text.get_fontweight() == "bold"]
    assert bold == words[2]


def test_lines_have_every_row_and_leave_empty_what_is_not_known():
    quality = some_quality()
    quality["value"][0], quality["upper"][0] = 0.123456, 0.25

    assert quality_lines(quality) == [
        ("edge_rms_max", "0.1235", "pix", "\N{LESS-THAN OR EQUAL TO} 0.25", ""),
        ("level_trend", "", "1 / h", "", ""),
        ("inner_mean", "1.2", "", "0.99 to 1.01", "fail"),
        ("frames_used", "3", "", "\N{GREATER-THAN OR EQUAL TO} 2", "pass"),
    ]
