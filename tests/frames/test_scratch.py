# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Temporary folders are gone afterwards; tests/test_faults.py kills processes."""

import signal
import threading

import pytest

from ccdproc_echelle.frames.scratch import scratch_folder


def handler():
    return signal.getsignal(signal.SIGTERM)


@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt])
def test_the_folder_and_the_handler_are_there_only_inside(tmp_path, error):
    before = handler()
    try:
        with scratch_folder(dir=tmp_path, prefix="x_") as folder:
            (folder / "file").touch()
            assert folder.parent == tmp_path and folder.name.startswith("x_")
            assert handler() != before
            if error is not None:
                raise error
    except BaseException as raised:
        assert type(raised) is error
    assert list(tmp_path.iterdir()) == []
    assert handler() == before


def test_one_folder_within_another(tmp_path):
    with scratch_folder(dir=tmp_path):
        outside = handler()
        with scratch_folder(dir=tmp_path):
            assert handler() == outside
        assert handler() == outside
    assert handler() == signal.SIG_DFL


def test_a_handler_of_somebody_else_is_left_alone(tmp_path):
    def mine(number, frame):
        raise SystemExit(3)

    signal.signal(signal.SIGTERM, mine)
    try:
        with pytest.raises(SystemExit), scratch_folder(dir=tmp_path):
            signal.raise_signal(signal.SIGTERM)
        assert handler() == mine
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    assert list(tmp_path.iterdir()) == []


def test_threads_set_no_handler(tmp_path):
    found = []

    def work():
        with scratch_folder(dir=tmp_path) as folder:
            found.extend([handler(), folder.is_dir()])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.SIG_DFL, True]
    assert list(tmp_path.iterdir()) == []
