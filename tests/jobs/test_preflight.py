"""Problems before the start are reported with what to do."""

import socket

import pytest

from finetune_app.core.sockets import LONGEST_PATH, run_folder
from finetune_app.jobs import preflight


def test_a_port_in_use_is_said_with_another_to_take():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(preflight.NotReady, match=f"PORT={port + 1} make run"):
            preflight.check_port("127.0.0.1", port)
    preflight.check_port("127.0.0.1", port)


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(preflight.NotReady, match="set DATA_DIR to another folder"):
        preflight.check_folder(blocked)


def test_a_disk_that_is_nearly_full_is_said(tmp_path):
    with pytest.raises(preflight.NotReady, match="Free some space"):
        preflight.check_disk(tmp_path, needed=10**18)
    preflight.check_disk(tmp_path, needed=1)


def test_one_installation_runs_once(tmp_path):
    first = preflight.only_one(tmp_path)
    with pytest.raises(preflight.NotReady, match="already running"):
        preflight.only_one(tmp_path)
    assert first > 2


def test_sockets_of_a_long_data_dir_lie_where_their_path_is_short(tmp_path):
    deep = tmp_path / ("x" * 100)
    folder = run_folder(deep)
    try:
        assert len(str(folder / "broker.sock")) <= LONGEST_PATH
        assert folder == run_folder(deep), "always the same one"
        assert folder.stat().st_mode & 0o777 == 0o700
    finally:
        folder.rmdir()
