"""Which folders the engine reads: those of the data folder, wherever its disks are."""

import pytest

from worker.engine.model_manager import ModelManager, PathNotAllowed


@pytest.fixture
def data(tmp_path):
    """Its models are on another disk."""
    (tmp_path / "disk" / "tiny").mkdir(parents=True)
    (tmp_path / "data" / "runs" / "1").mkdir(parents=True)
    (tmp_path / "data" / "models").symlink_to(tmp_path / "disk")
    return tmp_path / "data"


def test_a_folder_that_is_a_link_to_another_disk_is_read(data, tmp_path):
    manager = ModelManager(data)
    for name in ("models/tiny", str(data / "models" / "tiny"), "runs/../models/tiny"):
        assert manager.folder(name) == tmp_path / "disk" / "tiny"


@pytest.mark.parametrize("name", ["models/elsewhere", "models/../../disk/tiny", "runs/1/up", ""])
def test_any_other_link_leads_nowhere(data, tmp_path, name):
    (data / "models" / "elsewhere").symlink_to("/etc")
    (data / "runs" / "1" / "up").symlink_to(tmp_path)
    with pytest.raises(PathNotAllowed):
        ModelManager(data).folder(name)
