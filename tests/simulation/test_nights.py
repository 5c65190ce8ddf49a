# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A simulated night on disk."""

import numpy as np
import pytest
from astropy.io import fits

from ccdproc_echelle.simulation import LAYOUTS, EchelleSimulation

SIMULATION = EchelleSimulation(shape=(128, 96), n_orders=2, seed=4).with_bias(300)


def test_a_night_has_three_setups_and_what_goes_wrong(tmp_path):
    night = SIMULATION.write_night(tmp_path, n_flats=2, n_biases=2)

    assert {name: s.shape for name, s in night.setups.items()} == {
        "red 1x1": (128, 96), "blue 1x1": (128, 96), "red 2x2": (64, 48)}
    for name, paths in night.flats.items():
        assert len(paths) == 2
        for path in paths:
            header = fits.getheader(path)
            assert f"{header['FILTER']} {header['CCDSUM'].replace(' ', 'x')}" == name
    times = [fits.getheader(p)["MJD-OBS"] for paths in night.flats.values() for p in paths]
    assert (np.diff(times) > 0).all()
    assert set(night.left_out) < set(tmp_path.iterdir())
    truncated, = (p for p, why in night.left_out.items() if "ends" in why)
    assert truncated.stat().st_size < night.flats["red 1x1"][0].stat().st_size


def test_the_flats_of_a_setup_are_those_of_its_simulation(tmp_path):
    night = SIMULATION.write_night(tmp_path, n_flats=2, n_biases=1, layout=LAYOUTS["overscan"])
    for name, simulation in night.setups.items():
        written = fits.getdata(night.flats[name][1])[:, :simulation.shape[1]].astype(float)
        difference = written - simulation.flats(2, raw=True)[1].data
        assert abs(difference - np.median(difference)).max() <= 1  # the zero point has drifted


@pytest.mark.parametrize("layout", ["eso", "mef", "fz"])
def test_a_night_in_other_layouts(tmp_path, layout):
    night = SIMULATION.write_night(tmp_path, n_flats=2, n_biases=1, layout=layout)
    keyword = "ESO DPR TYPE" if layout == "eso" else "IMAGETYP"
    raw = [path for path in tmp_path.iterdir() if path not in night.left_out]
    headers = [fits.getheader(path, 1 if layout == "fz" else 0) for path in raw]
    assert {header[keyword] for header in headers} == {"FLAT", "Lamp Off", "Bias Frame"}


def test_a_night_is_refused_before_anything_is_written(tmp_path):
    (tmp_path / "observing_log.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="observing_log"):
        SIMULATION.write_night(tmp_path)
    with pytest.raises(ValueError, match="n_flats"):
        SIMULATION.write_night(tmp_path, n_flats=1)
    assert [path.name for path in tmp_path.iterdir()] == ["observing_log.txt"]
