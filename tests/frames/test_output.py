# Licensed under a 3-clause BSD style license - see LICENSE.rst
import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ccdproc_echelle.frames.output import check_fits_name, check_output, replacing


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


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_takes_no_file(tmp_path, monkeypatch, overwrite):
    """Without permission, or on a full disk: that is said before any work."""
    def refuse(**where):
        raise PermissionError(13, "Permission denied", str(where["dir"]))

    monkeypatch.setattr("ccdproc_echelle.frames.output.TemporaryFile", refuse)
    said = r"cannot write .*flat\.fits: no file can be written to folder .* \(Permission denied\)"
    with pytest.raises(PermissionError, match=said):
        check_output(tmp_path / "flat.fits", overwrite=overwrite)


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
    with pytest.raises(IsADirectoryError, match="it is a folder, expected a file name"):
        check_output(f"{tmp_path}/products/", overwrite=overwrite)


@pytest.mark.parametrize("name", ["master.hdf5", "master.json", "master.png"])
def test_the_name_of_another_kind_of_file(name):
    with pytest.raises(ValueError, match="expected a name such as master.fits"):
        check_fits_name(name, "a master flat")


# ---------------------------------------------------------------------- what is there already


@pytest.fixture
def raw(tmp_path):
    path = tmp_path / "raw.fits"
    path.write_text("raw")
    return path


@pytest.mark.parametrize("link", [None, os.symlink, os.link], ids=["path", "symbolic", "hard"])
def test_an_input_is_never_replaced(raw, link):
    output = raw.parent / "folder" / ".." / raw.name
    (raw.parent / "folder").mkdir()
    if link is not None:
        output = raw.parent / "link.fits"
        link(raw, output)
    with pytest.raises(ValueError, match=rf"cannot write {output}: it is the input .*raw\.fits"):
        check_output(output, overwrite=True, inputs=["frame 0", raw])
    check_output(raw.parent / "other.fits", overwrite=True, inputs=[raw])


def all_but_access_time(path):
    """Of the link itself; following it, which may be in the next second, changes that time."""
    found = path.lstat()
    return found[: stat.ST_ATIME] + found[stat.ST_ATIME + 1 :]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("make, error, words", [
    (lambda path: path.symlink_to("nowhere"), FileNotFoundError, "link to nowhere"),
    (lambda path: path.symlink_to(path.name), FileNotFoundError, "link to flat"),
    (lambda path: os.mkfifo(path), FileExistsError, "not a regular file"),
    (lambda path: path.symlink_to(os.devnull), FileExistsError, "not a regular file"),
    (lambda path: path.symlink_to("."), IsADirectoryError, "it is a folder"),
], ids=["dangling link", "link to itself", "FIFO", "device", "link to a folder"])
def test_what_is_no_file_is_not_replaced(tmp_path, make, error, words, overwrite):
    path = tmp_path / "flat.fits"
    make(path)
    before = all_but_access_time(path)
    with pytest.raises(error, match=f"cannot write {path}.*{words}"):
        with replacing(path, overwrite=overwrite):
            pytest.fail("refused too late")
    assert all_but_access_time(path) == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o664])
def test_a_file_that_is_replaced_hands_on_its_permissions(raw, mode):
    raw.chmod(mode)
    with replacing(raw, overwrite=True) as temporary:
        temporary.write_text("new")
    assert raw.read_text() == "new"
    assert stat.S_IMODE(raw.stat().st_mode) == mode


def test_a_new_file_has_the_usual_permissions(tmp_path):
    (tmp_path / "usual").touch()
    with replacing(tmp_path / "new") as temporary:
        temporary.touch()
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "usual").stat().st_mode


# ---------------------------------------------------------------------- two at the same time


def no_links(source, target):
    raise PermissionError("this file system has no hard links")


@pytest.mark.parametrize("link", [os.link, no_links])
def test_a_file_written_meanwhile_is_not_replaced(tmp_path, monkeypatch, link):
    monkeypatch.setattr(os, "link", link)
    path = tmp_path / "flat.fits"
    with pytest.raises(FileExistsError, match=r"flat\.fits already exists; give overwrite=True"):
        with replacing(path) as temporary:
            temporary.write_text("mine")
            path.write_text("somebody else's")
    assert path.read_text() == "somebody else's"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("link", [os.link, no_links])
def test_of_many_writers_one_wins(tmp_path, monkeypatch, link):
    monkeypatch.setattr(os, "link", link)
    path, gate = tmp_path / "flat.fits", threading.Barrier(8)

    def write(number):
        try:
            with replacing(path) as temporary:
                temporary.write_text(str(number))
                gate.wait()
        except FileExistsError:
            return None
        return number

    with ThreadPoolExecutor(8) as threads:
        winners = [number for number in threads.map(write, range(8)) if number is not None]
    assert [path.read_text()] == [str(number) for number in winners]
    assert list(tmp_path.iterdir()) == [path]
