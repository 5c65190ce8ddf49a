# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The scripts of the documentation page on the CCD guide run, and differ by three lines."""

import difflib
import runpy

import ccdproc as ccdp
import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import CCDData

from ccdproc_echelle.simulation import EchelleSimulation

GAIN, READ_NOISE = 1.5 * u.electron / u.adu, 4 * u.electron

SIMULATION = (
    EchelleSimulation(shape=(192, 192), n_orders=3, seed=1)
    .with_noise(gain=GAIN.value, read_noise=READ_NOISE.value)
    .with_bias(300)
    .with_level_spread(0.35)
    .with_scattered_light(0.02)
    .with_cosmic_rays(60)
)
N_FLATS = 7


@pytest.fixture(scope="module")
def scripts(pytestconfig):
    folder = pytestconfig.rootpath / "docs" / "scripts"
    if not folder.is_dir():
        pytest.skip(f"no scripts of the documentation: {folder} is not a folder")
    return {when: folder / f"flat_{when}.py" for when in ("before", "after")}


def code_lines(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


@pytest.fixture
def night(tmp_path, monkeypatch):
    """A folder with an order table and the flats in ``reduced``, with the noise that is theirs."""
    monkeypatch.chdir(tmp_path)
    SIMULATION.truth.orders.write("orders.ecsv")
    calibrate(tmp_path, own_noise=True)
    return tmp_path


def calibrate(night, *, own_noise):
    """Subtract the combined dark, as the guide does, and write the flats to ``reduced``."""
    reduced = night / "reduced"
    reduced.mkdir(exist_ok=True)
    dark = ccdp.combine(SIMULATION.darks(3, raw=True), method="average")
    for i, flat in enumerate(SIMULATION.flats(N_FLATS, raw=True)):
        flat = ccdp.subtract_dark(flat, dark, exposure_time="EXPTIME", exposure_unit=u.s)
        if own_noise:
            flat = ccdp.create_deviation(flat, gain=GAIN, readnoise=READ_NOISE, disregard_nan=True)
        flat.write(reduced / f"flat_{i}.fits", overwrite=True)


def fraction_of_rays_left(flat):
    """Of the pixels in orders that a cosmic ray hit, how many are more than 5 % too bright."""
    truth = SIMULATION.truth
    levels = truth.levels(N_FLATS)[:, None, None]
    expected = np.mean((truth.noiseless_flats(N_FLATS) - SIMULATION.bias) / levels, axis=0)
    hit = truth.cosmic_rays(N_FLATS).any(axis=0) & (truth.orders.order_map() > 0)
    assert hit.sum() > 50
    error = flat.data / expected
    return np.mean(error[hit] / np.median(error[truth.orders.inner_mask(10)]) > 1.05)


def test_three_of_fifteen_lines_differ(scripts):
    before, after = code_lines(scripts["before"]), code_lines(scripts["after"])
    difference = list(difflib.ndiff(before, after))
    assert len(before) == len(after) == 15
    assert sum(line.startswith("- ") for line in difference) <= 3
    assert sum(line.startswith("+ ") for line in difference) <= 3


def test_both_scripts_run_and_only_one_rejects_the_cosmic_rays(scripts, night):
    left = {}
    for when, script in scripts.items():
        runpy.run_path(str(script))
        output = night / "reduced" / "combined_flat.fits"
        flat = CCDData.read(output, unit="adu" if when == "before" else None)
        assert flat.header["combined"]
        left[when] = fraction_of_rays_left(flat)
        output.unlink()
    assert left["before"] > 0.5
    assert left["after"] == 0


def test_misspelt_keyword_of_the_guide_is_named(scripts, night, tmp_path):
    text = scripts["after"].read_text(encoding="utf-8")
    assert "signma_clip_dev_func" in scripts["before"].read_text(encoding="utf-8")
    misspelt = tmp_path / "misspelt.py"
    misspelt.write_text(text.replace("sigma_clip_dev_func", "signma_clip_dev_func"))
    with pytest.raises(TypeError, match="'signma_clip_dev_func'; did you mean 'sigma_clip_dev_"):
        runpy.run_path(str(misspelt))


def test_flats_with_the_uncertainty_of_the_dark_are_noticed(scripts, night):
    calibrate(night, own_noise=False)
    with pytest.warns(UserWarning, match="create its own with ccdproc.create_deviation"):
        runpy.run_path(str(scripts["after"]))
