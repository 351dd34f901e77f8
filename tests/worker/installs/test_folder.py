"""Install a model from a folder."""

import os

import pytest

from tests.worker.installs.conftest import Recorder
from worker.installs import folder as folders

WEIGHTS = "model.safetensors"


def test_a_model_is_copied_and_its_folder_is_unchanged(install, model, data_dir):
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    channel = Recorder()
    found = install(model, channel)
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before
    target = data_dir / "models" / "tiny"
    assert (target / WEIGHTS).read_bytes() == before[WEIGHTS]
    assert not (target / WEIGHTS).samefile(model / WEIGHTS)
    assert found["revision"] == ""
    last = channel.of("progress")[-1]
    assert last["done"] == last["total"] == found["size"]


@pytest.fixture
def interrupted(install, model, monkeypatch):
    """Stop in the middle of the weights; returns the complete files."""
    monkeypatch.setattr(folders, "BLOCK", 4096)
    small = sum(path.stat().st_size for path in model.iterdir() if path.name != WEIGHTS)
    assert install(model, Recorder(stop_after=small + 8192)) == {"stopped": True}
    return model


def copied_again(install, model, monkeypatch) -> list[str]:
    """The files that a second attempt copies."""
    names = []
    copy = folders.Folder.fetch

    def fetch(self, plan, file, path, tell):
        names.append(file.name)
        copy(self, plan, file, path, tell)

    monkeypatch.setattr(folders.Folder, "fetch", fetch)
    install(model)
    return names


def test_continue_copies_only_what_is_missing(interrupted, install, monkeypatch):
    assert copied_again(install, interrupted, monkeypatch) == [WEIGHTS]


def test_continue_copies_a_changed_folder_again(interrupted, install, monkeypatch):
    config = interrupted / "config.json"
    os.utime(config, (1, 1))
    assert {"config.json", WEIGHTS} <= set(copied_again(install, interrupted, monkeypatch))
