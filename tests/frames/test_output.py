# Licensed under a 3-clause BSD style license - see LICENSE.rst
import pytest

from ccdproc_echelle.frames.output import check_output, replacing


def test_a_new_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "flat.fits.gz"
    with replacing(path) as temporary:
        assert temporary.name == path.name
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_after_an_error_nothing_is_left(tmp_path):
    with pytest.raises(RuntimeError, match="in the middle"):
        with replacing(tmp_path / "flat.fits") as temporary:
            temporary.write_text("half")
            raise RuntimeError("in the middle")
    assert list(tmp_path.iterdir()) == []


def test_after_an_error_the_old_file_is_untouched(tmp_path):
    path = tmp_path / "flat.fits"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="in the middle"):
        with replacing(path, overwrite=True) as temporary:
            temporary.write_text("half")
            raise RuntimeError("in the middle")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_old_file_is_replaced_only_on_demand(tmp_path):
    path = tmp_path / "flat.fits"
    path.write_text("old")
    with pytest.raises(FileExistsError, match=r"flat\.fits already exists; give overwrite=True"):
        with replacing(path):
            pytest.fail("refused too late")
    with replacing(str(path), overwrite=True) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"


def test_check_output_writes_nothing(tmp_path):
    path = tmp_path / "flat.fits"
    assert check_output(str(path)) == path
    assert list(tmp_path.iterdir()) == []


def test_a_bare_name_goes_to_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with replacing("flat.fits") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "flat.fits").read_text() == "new"


@pytest.mark.parametrize("overwrite", [False, True])
def test_missing_folder(tmp_path, overwrite):
    with pytest.raises(FileNotFoundError, match=r"cannot write .*flat\.fits: folder .*nowhere"):
        check_output(tmp_path / "nowhere" / "flat.fits", overwrite=overwrite)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_is_not_a_file(tmp_path, overwrite):
    with pytest.raises(IsADirectoryError, match=f"cannot write {tmp_path}: it is a folder"):
        check_output(tmp_path, overwrite=overwrite)
