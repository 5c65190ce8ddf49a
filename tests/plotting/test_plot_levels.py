# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable

pytest.importorskip("matplotlib", reason="figures need matplotlib")

from ccdproc_echelle.plotting import plot_levels
from helpers.figures import labels_of, some_levels


def drawn_levels(ax):
    """x, y and half length of the error bars, each (n_passes, n_frames)."""
    x, y, half = [], [], []
    for container in ax.containers:
        line, _, (bars,) = container
        x.append(line.get_xdata())
        y.append(line.get_ydata())
        half.append([
            0.5 * np.ptp(segment[:, 1]) if len(segment) else np.nan
            for segment in bars.get_segments()
        ])
    return np.array(x), np.array(y), np.array(half)


def test_levels_are_in_per_cent_of_the_mean_of_the_final_pass():
    levels = QTable({
        "frame": ["a", "b"],
        "pass_level": [[80, 90], [130, 110]] * u.adu,
        "pass_uncertainty": [[3, 1], [4, 2]] * u.adu,
    })

    ax = plot_levels(levels)

    x, y, half = drawn_levels(ax)
    np.testing.assert_allclose(y, [[-20, 30], [-10, 10]])
    np.testing.assert_allclose(half, [[3, 4], [1, 2]])
    np.testing.assert_array_equal(np.round(x), [[1, 2], [1, 2]])
    assert (x[0] < x[1]).all()
    assert ax.get_ylabel().endswith("(%)")


def test_legend_says_by_how_much_the_passes_differ():
    levels = some_levels(n_frames=2, n_passes=1)
    levels["pass_level"] = [[103, 100], [96, 100]] * u.adu
    levels["pass_uncertainty"] = np.ones((2, 2)) * u.adu

    labels = labels_of(plot_levels(levels))

    assert labels == ["pass 1 (differs by 3.5 % rms)", "pass 2 (final)"]


@pytest.mark.parametrize("n_passes", [1, 2, 3, 6])
def test_passes_are_told_apart_and_the_final_one_always_looks_the_same(n_passes):
    ax = plot_levels(some_levels(n_frames=4, n_passes=n_passes))

    lines = [container[0] for container in ax.containers]
    assert len(lines) == n_passes
    is_open = [line.get_markerfacecolor() == "white" for line in lines]
    assert is_open == [True] * (n_passes - 1) + [False]
    looks = [(line.get_color(), line.get_marker()) for line in lines]
    assert len(set(looks[-4:])) == min(n_passes, 4)
    final = plot_levels(some_levels(n_frames=4, n_passes=2)).containers[-1][0]
    assert looks[-1] == (final.get_color(), final.get_marker())


def test_few_frames_are_named_many_are_numbered():
    few, many = plot_levels(some_levels(3)), plot_levels(some_levels(30))

    assert [tick.get_text() for tick in few.get_xticklabels()] == ["flat_0", "flat_1", "flat_2"]
    assert few.get_xlabel() == "frame"
    assert many.get_xlabel() == "frame number"
    assert many.get_xlim() == (0.5, 30.5)


def test_long_names_keep_their_end():
    levels = some_levels(2)
    levels["frame"] = ["SOXS.2024-06-01T12:00:00.0001.fits", "SOXS.2024-06-01T12:00:00.0002.fits"]

    first, second = (tick.get_text() for tick in plot_levels(levels).get_xticklabels())

    assert len(first) < 28
    assert first.endswith("12:00:00.0001") and second.endswith("12:00:00.0002")


def test_frame_without_level_is_left_out():
    levels = some_levels(3)
    levels["pass_level"][1] = np.nan * u.adu

    _, y, _ = drawn_levels(plot_levels(levels))

    np.testing.assert_array_equal(np.isnan(y), [[False, True, False]] * 2)
    assert y[1, [0, 2]].sum() == pytest.approx(0)


def test_bad_levels_are_refused():
    levels = some_levels()

    with pytest.raises(ValueError, match="no row"):
        plot_levels(levels[:0])
    levels.remove_column("pass_level")
    with pytest.raises(ValueError, match=r"no column \['pass_level'\]"):
        plot_levels(levels)


def test_anything_but_a_table():
    with pytest.raises(TypeError, match="levels is a str, expected a table"):
        plot_levels("levels.ecsv")


def test_frames_without_any_level_are_refused():
    levels = some_levels()
    levels["pass_level"][:, -1] = np.nan * u.adu

    with pytest.raises(ValueError, match="no frame has a level in the final pass"):
        plot_levels(levels)
