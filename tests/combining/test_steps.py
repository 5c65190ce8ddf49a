# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData, InverseVariance, StdDevUncertainty, VarianceUncertainty

from ccdproc_echelle.combining.combine import combine_frames
from ccdproc_echelle.combining.two_pass import two_pass_flat_combine
from ccdproc_echelle.orders import EchelleOrderTable
from ccdproc_echelle.simulation import EchelleSimulation

SMALL = EchelleSimulation(shape=(256, 240), n_orders=5, seed=3).with_level_spread(0.35)
ORDERS = SMALL.truth.orders
UNCERTAINTIES = [StdDevUncertainty, VarianceUncertainty, InverseVariance]


def test_header_of_combined_frames(small_files):
    combined = combine_frames(small_files)
    assert combined.unit == u.adu
    assert combined.header["BUNIT"] == "adu"
    assert combined.header["NCOMBINE"] == 4
    assert "LEVEL001" not in combined.header


def test_the_wcs_is_that_of_the_first_frame(tmp_path):
    header = fits.Header([
        ("BUNIT", "adu"), ("CTYPE1", "LINEAR"), ("CTYPE2", "LINEAR"), ("CRVAL1", 7.0),
        ("CRPIX1", 1.0), ("CDELT1", 2.0), ("CRVAL2", 1.0), ("CRPIX2", 1.0), ("CDELT2", 1.0),
    ])
    paths = [tmp_path / "frame_0.fits", tmp_path / "frame_1.fits"]
    for path in paths:
        fits.writeto(path, np.ones((5, 4)), header)
    combined = combine_frames(paths)
    assert combined.wcs.wcs_pix2world([[1, 0]], 0).tolist() == [[9, 1]]


@pytest.mark.parametrize("kind", UNCERTAINTIES)
def test_output_file(random_frames, tmp_path, kind):
    frames = random_frames(4, (20, 15), masked=0.5, uncertainty=kind)
    orders = EchelleOrderTable.from_polynomials([1], [[10]], shape=(20, 15), dispersion_axis=1)
    flat = two_pass_flat_combine(frames, orders, tmp_path / "flat.fits", window=20)
    assert flat.mask.any()
    back = CCDData.read(tmp_path / "flat.fits")
    np.testing.assert_array_equal(back.data, flat.data)
    np.testing.assert_array_equal(back.mask, flat.mask)
    np.testing.assert_array_equal(back.uncertainty.array, flat.uncertainty.array)
    assert type(back.uncertainty) is kind
    assert back.unit == u.dimensionless_unscaled
    assert [path.name for path in tmp_path.iterdir()] == ["flat.fits"]


@pytest.mark.parametrize("from_files", [True, False])
def test_the_unit_of_the_inputs_is_not_that_of_the_flat(tmp_path, small_files, from_files):
    frames = small_files if from_files else [
        CCDData(f.data, unit="adu", header=fits.Header([("BUNIT", "adu")])) for f in SMALL.flats(2)
    ]
    two_pass_flat_combine(frames, ORDERS, tmp_path / "master.fits")
    assert fits.getheader(tmp_path / "master.fits")["BUNIT"] == ""
    # and the master can be an input again
    again = combine_frames([tmp_path / "master.fits"], unit=None)
    assert again.unit == u.dimensionless_unscaled


def test_output_of_raw_integers_is_in_floating_point(tmp_path):
    paths = [tmp_path / f"raw_{i}.fits" for i in range(3)]
    for path in paths:
        data = np.full((6, 5), 40001, np.uint16)
        fits.writeto(path, data, fits.Header([("BUNIT", "adu")]))
    combined = combine_frames(paths, tmp_path / "out.fits", scale=[0.5, 0.5, 0.5])
    header = fits.getheader(tmp_path / "out.fits")
    assert header["BITPIX"] == -32
    assert "BZERO" not in header
    np.testing.assert_array_equal(CCDData.read(tmp_path / "out.fits").data, combined.data)
    assert combined.data[0, 0] == 20000.5


@pytest.mark.parametrize("combine", [combine_frames, two_pass_flat_combine])
def test_an_existing_output_is_refused_before_anything_is_read(tmp_path, combine):
    path = tmp_path / "flat.fits"
    path.write_text("precious")
    arguments = (["missing.fits"], ORDERS) if combine is two_pass_flat_combine else (["x.fits"],)
    message = r"flat\.fits already exists; give overwrite_output=True"
    with pytest.raises(FileExistsError, match=message):
        combine(*arguments, output_file=path)
    assert path.read_text() == "precious"


def test_an_existing_output_is_replaced_on_demand(random_frames, tmp_path):
    path = tmp_path / "flat.fits"
    path.write_text("old")
    combined = combine_frames(random_frames(3), path, overwrite_output=True)
    np.testing.assert_array_equal(CCDData.read(path).data, combined.data)


def test_an_error_in_the_middle_leaves_nothing_on_disk(tmp_path):
    # the second file can be opened but not read to its end
    paths = [tmp_path / f"frame_{i}.fits.gz" for i in range(3)]
    for i, path in enumerate(paths):
        data = np.random.default_rng(i).normal(100, 1, (200, 200))
        fits.writeto(path, data, fits.Header([("BUNIT", "adu")]))
    content = paths[1].read_bytes()
    paths[1].write_bytes(content[: len(content) // 2])
    output = tmp_path / "output"
    output.mkdir()
    with pytest.raises(OSError, match=r"frame_1\.fits\.gz cannot be read"):
        combine_frames(paths, output / "out.fits")
    assert list(output.iterdir()) == []


def test_an_error_of_the_writer_leaves_nothing_on_disk(random_frames, tmp_path, monkeypatch):
    def half(hdus, path):
        path.write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr("ccdproc_echelle.combining.steps.write_fits", half)
    with pytest.raises(OSError, match="disk full"):
        combine_frames(random_frames(3), tmp_path / "out.fits")
    assert list(tmp_path.iterdir()) == []
