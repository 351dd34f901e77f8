"""The starter model from the hub: which of its files are fetched."""

import huggingface_hub
from huggingface_hub.utils import filter_repo_objects

from worker.installs import starter

THERE = [
    "model.safetensors",
    "pytorch_model.bin",
    "config.json",
    "tokenizer.json",
    "LICENSE",
    "NOTICE.txt",
    "USE_POLICY.md",
    "README.md",
]


def test_licences_come_along_where_there_are_any(tmp_path, monkeypatch):
    def fetch(hub_id, *, local_dir, allow_patterns):
        for name in filter_repo_objects(THERE, allow_patterns=allow_patterns):
            (local_dir / name).write_text("x")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    starter.from_hub(tmp_path, lambda _words: None)
    fetched = {path.name for path in tmp_path.iterdir()}
    assert fetched == set(THERE) - {"pytorch_model.bin", "README.md"}
