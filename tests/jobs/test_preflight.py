"""Each problem that prevents a start is reported with what to do."""

import socket

import pytest

from finetune_app.core.sockets import MAX_PATH_BYTES, run_folder
from finetune_app.jobs import preflight


def test_a_port_in_use_is_reported_with_an_alternative():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(preflight.NotReady, match=f"PORT={port + 1} make run"):
            preflight.check_port("127.0.0.1", port)
    preflight.check_port("127.0.0.1", port)


def test_a_read_only_folder_is_reported(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(preflight.NotReady, match="set DATA_DIR to another folder"):
        preflight.check_folder(blocked)


def test_a_nearly_full_disk_is_reported(tmp_path):
    with pytest.raises(preflight.NotReady, match="Free some space"):
        preflight.check_disk(tmp_path, needed=10**18)
    preflight.check_disk(tmp_path, needed=1)


def test_an_installation_cannot_be_started_twice(tmp_path):
    first = preflight.lock_installation(tmp_path)
    with pytest.raises(preflight.NotReady, match="already running"):
        preflight.lock_installation(tmp_path)
    assert first > 2


def test_sockets_of_a_long_data_dir_get_a_short_path(tmp_path):
    deep = tmp_path / ("x" * 100)
    folder = run_folder(deep)
    try:
        assert len(str(folder / "broker.sock")) <= MAX_PATH_BYTES
        assert folder == run_folder(deep), "always the same one"
        assert folder.stat().st_mode & 0o777 == 0o700
    finally:
        folder.rmdir()
