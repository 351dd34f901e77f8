"""Runs installs in this process, from a fake hub, with a channel that records."""

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.worker.engine.tiny_models import make_base
from tests.worker.installs.hub import FakeHub
from worker.channel import Job, UserError
from worker.installs import run as installs
from worker.training.memory_plan import count_saved_tensors

HUB_ID = "kettle/tiny"


class Recorder:
    """A channel that records events; `stopping` is true after `stop_after` bytes."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.events: list[dict[str, Any]] = []
        self._stop_after = stop_after

    def emit(self, event: str, **fields: Any) -> None:
        self.events.append({"event": event, **fields})

    def stopping(self) -> bool:
        done = max((e["done"] for e in self.of("progress")), default=0)
        return self._stop_after is not None and done >= self._stop_after

    def check(self) -> None:
        """The lease is never lost here."""

    def of(self, event: str) -> list[dict[str, Any]]:
        return [one for one in self.events if one["event"] == event]


@pytest.fixture(scope="session")
def pristine(tmp_path_factory) -> Path:
    return make_base(tmp_path_factory.mktemp("pristine") / "tiny-qwen2", "qwen2")


@pytest.fixture
def model(pristine, tmp_path) -> Path:
    """A copy of a tiny Qwen2 that a test may change."""
    return Path(shutil.copytree(pristine, tmp_path / "tiny-qwen2"))


@pytest.fixture
def hub(monkeypatch, model) -> Iterator[FakeHub]:
    with FakeHub() as made:
        monkeypatch.setenv("HF_ENDPOINT", made.address)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        made.add(HUB_ID, model)
        yield made


@pytest.fixture
def data_dir(tmp_path) -> Path:
    return tmp_path / "data"


@pytest.fixture(autouse=True)
def _layers_counted_once(monkeypatch) -> None:
    """What a layer saves is counted once for each configuration: it takes longer than all else."""
    monkeypatch.setattr(
        installs, "_saved_tensors", lambda folder: counted((folder / "config.json").read_text())
    )


@cache
def counted(config: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "config.json").write_text(config)
        return count_saved_tensors(path)


@pytest.fixture
def install(data_dir, monkeypatch) -> Callable[..., dict[str, Any]]:
    """Run the install; a second call resumes the first."""
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(installs, "REPORT_SECONDS", 0)

    def start(
        source: Any = HUB_ID,
        channel: Any = None,
        token: str = "",
        revision: str = "",
        number: int = 1,
    ) -> dict[str, Any]:
        spec = {
            "source": str(source),
            "from_folder": str(source).startswith("/"),
            "target": str(data_dir / "models" / "tiny"),
            "token": token or None,
            "revision": revision,
        }
        job = Job("install", data_dir / "installs" / f"tiny-{number}", spec)
        job.folder.mkdir(parents=True, exist_ok=True)
        return installs.run(job, channel or Recorder())

    return start


@pytest.fixture
def install_error(install, data_dir) -> Callable[..., UserError]:
    """Run an install that must fail and leave nothing behind; returns its UserError."""

    def ask(source: Any = HUB_ID, token: str = "") -> UserError:
        with pytest.raises(UserError) as caught:
            install(source, token=token)
        assert not (data_dir / "models" / "tiny").exists()
        return caught.value

    return ask


@pytest.fixture
def change(model) -> Callable[..., None]:
    """Alter one of the model's JSON files."""

    def alter(name: str, **fields: Any) -> None:
        path = model / name
        found = json.loads(path.read_text()) | fields
        found = {key: value for key, value in found.items() if value is not None}
        path.write_text(json.dumps(found))

    return alter
