# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="figures need matplotlib")

from ccdproc_echelle.combining.combine import CombineDiagnostics
from ccdproc_echelle.light.flags import FlatFlag
from ccdproc_echelle.plotting import plot_flags, plot_rejections
from helpers.figures import labels_of, shown_image


def test_rejections_are_counted_in_blocks():
    rejected = np.zeros((2, 40, 50), bool)
    rejected[0, :16, 16:32] = True
    rejected[:, 32:, 48:] = True

    ax = plot_rejections(CombineDiagnostics(2 - rejected.sum(axis=0), rejected))

    np.testing.assert_allclose(shown_image(ax), [[0, 50, 0, 0], [0, 0, 0, 0], [0, 0, 0, 100]])
    assert ax.get_xlim() == (-0.5, 49.5) and ax.get_ylim() == (-0.5, 39.5)
    assert ax.images[0].get_extent() == [-0.5, 63.5, -0.5, 47.5]
    assert ax.get_title(loc="left") == "7.2 % of all values rejected"


def test_flags_are_areas_or_markers():
    flags = np.zeros((30, 40), dtype=np.int16)
    flags[:10] |= FlatFlag.INTERORDER
    flags[20, 5] |= FlatFlag.DEAD
    flags[21, 6] |= FlatFlag.HOT | FlatFlag.SATURATED

    ax = plot_flags(flags)

    assert sorted(labels_of(ax)) == ["dead (1)", "hot (1)", "interorder (400)", "saturated (1)"]
    np.testing.assert_array_equal(shown_image(ax) > 0, flags & 1 > 0)
    marks = {line.get_label(): line for line in ax.lines}
    assert marks["dead (1)"].get_xydata().tolist() == [[5, 20]]
    assert marks["hot (1)"].get_xydata().tolist() == [[6, 21]]
    assert marks["hot (1)"].get_marker() != marks["saturated (1)"].get_marker()


@pytest.mark.parametrize("flag", FlatFlag)
def test_every_flag_is_shown(flag):
    assert labels_of(plot_flags(np.full((4, 5), int(flag))))[0].endswith(" (20)")


def test_no_flag_at_all_needs_no_legend():
    ax = plot_flags(np.zeros((30, 40), dtype=np.int16))

    assert labels_of(ax) == [] and ax.get_legend() is None
    assert ax.get_xlim() == (-0.5, 39.5) and ax.get_ylim() == (-0.5, 29.5)


@pytest.mark.parametrize("flags", [np.zeros((3, 3)), np.zeros(3, int)])
def test_flags_are_integers_in_two_dimensions(flags):
    with pytest.raises(ValueError, match="expected integers with 2"):
        plot_flags(flags)
