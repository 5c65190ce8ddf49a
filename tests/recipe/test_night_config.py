# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The configuration of a night, and the parameters of the SOXS recipe in it."""

import re

import pytest
from astropy.utils.exceptions import AstropyUserWarning

from ccdproc_echelle.light import FlatFlag
from ccdproc_echelle.recipe import CONFIG_EXAMPLE, NightConfig, from_soxs_names


def written(tmp_path, text):
    path = tmp_path / "night.toml"
    path.write_text(text)
    return path


def test_what_is_said_of_some_setups_wins(tmp_path):
    config = NightConfig.read(written(tmp_path, """
window = 10
[edge_keywords]
degree = 3
[setup."*-2x2"]
window = 6
[setup."blue*"]
scattered_light = "none"
mask_flags = ["DEAD", "HOT"]
"""))
    assert config.of("red-1x1") == {"window": 10, "edge_keywords": {"degree": 3}}
    assert config.of("blue-2x2") == {
        "window": 6, "edge_keywords": {"degree": 3}, "scattered_light": None,
        "mask_flags": FlatFlag.DEAD | FlatFlag.HOT,
    }


def test_files_are_meant_from_where_the_configuration_lies(tmp_path):
    config = NightConfig.read(written(tmp_path, 'limits = "l.yaml"\norders = ["a.ecsv", "/b"]'))
    assert config.common == {
        "limits": str(tmp_path / "l.yaml"), "orders": [str(tmp_path / "a.ecsv"), "/b"]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("windows = 3", "unknown key 'windows' in .*night.toml; did you mean 'window'?"),
        ('[setup."a"]\nwindows = 3', "unknown key 'windows'"),
        ("first_order = 84", "unknown key 'first_order' in .*; .* put it in trace_keywords"),
        ("centre-order-windw = 3", "did you mean 'centre-order-window'?"),
        ("bias = 'b.fits'", "unknown key 'bias'"),
        ("setup = 3", r"setup in .* is 3, expected tables \[setup"),
        ("window = ", "night.toml is not a TOML file"),
        ("mask_flags = ['DAED']", r"mask_flags in .* is \['DAED'\]"),
    ],
)
def test_what_a_configuration_cannot_say(tmp_path, text, said):
    with pytest.raises(ValueError, match=said):
        NightConfig.read(written(tmp_path, text))


def test_every_line_of_the_example_can_be_said(tmp_path):
    assert NightConfig.read(written(tmp_path, CONFIG_EXAMPLE)) == NightConfig()
    commented = re.sub(r"^# (?=\[|[a-z_-]+ = )", "", CONFIG_EXAMPLE, flags=re.M)
    config = NightConfig.read(written(tmp_path, commented.replace("[edge_keywords]", "")))
    assert config.common["margin"] == 0 and config.of("spec-2x2-r")["window"] == 6


def test_a_pattern_that_matches_nothing_is_warned_of():
    config = NightConfig({}, {"grene*": {"window": 3}})
    with pytest.warns(AstropyUserWarning, match=r"no set-up matches 'grene\*'.*red, green"):
        config.warn_of_unmatched(["red", "green"])


def test_the_soxs_recipe_by_its_own_names():
    found = from_soxs_names({
        "subtract_background": True, "stacked-clipping-sigma": 15, "centre-order-window": 10,
        "slice-length-for-edge-detection": 70, "slice-width-for-edge-detection": 5,
        "min-percentage-threshold-for-edge-detection": 20,
        "max-percentage-threshold-for-edge-detection": 50, "disp-axis-deg": 5,
        "poly-fitting-residual-clipping-sigma": 3, "poly-clipping-iteration-limit": 2,
    })
    assert found == {
        "scattered_light": "master", "sigma_clip_low_thresh": 15, "sigma_clip_high_thresh": 15,
        "window": 10,
        "edge_keywords": {
            "slice_length": 70, "slice_width": 5, "threshold": (0.2, 0.5), "degree": 5, "sigma": 3,
            "maxiters": 2,
        },
    }
    assert from_soxs_names({"subtract_background": False}) == {"scattered_light": None}


def test_soxs_parameters_without_counterpart_and_with_half_of_a_pair():
    with pytest.warns(AstropyUserWarning, match=r"no counterpart here: order-deg \(each edge"):
        assert from_soxs_names({"order-deg": 6, "window": 8}) == {"window": 8}
    with pytest.raises(ValueError, match="given without max-percentage"):
        from_soxs_names({"min-percentage-threshold-for-edge-detection": 20})
    with pytest.raises(ValueError, match="did you mean 'disp-axis-deg'"):
        from_soxs_names({"disp-axs-deg": 5})
