"""What is sent: the same bytes each time, and all that a training imports."""

import subprocess
import sys
import tarfile
from contextlib import nullcontext
from importlib.metadata import PackageNotFoundError, distribution, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from finetune_app.core.errors import PlainError
from finetune_app.hub_training import packing
from tests.hub_training.conftest import step
from worker import hub_job

PROGRAM = """
import sys
import worker.hub_job, worker.training.loop, worker.child
assert "finetune_app.settings" not in sys.modules
"""


def needed(names: list[str]) -> set[str]:
    """These distributions, and all that pip installs for them."""
    found, waiting = set(), [canonicalize_name(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            listed = [Requirement(one) for one in requires(name) or []]
        except PackageNotFoundError:
            continue  # for another platform
        found.add(name)
        waiting += [
            canonicalize_name(one.name)
            for one in listed
            if one.marker is None or one.marker.evaluate({"extra": ""})
        ]
    return found


def linked(names: set[str], folder: Path) -> Path:
    """A folder with these distributions and no others, as pip would make it."""
    folder.mkdir()
    for name in names:
        found = distribution(name)
        tops = {file.parts[0] for file in found.files or [] if file.parts[0] != ".."}
        for top in tops - {"__pycache__"}:
            link = folder / top
            if not link.exists():
                link.symlink_to(found.locate_file(top))
    return folder


@pytest.mark.no_database
def test_a_training_imports_nothing_that_is_not_installed_there(tmp_path):
    (tmp_path / "worker.tar.gz").write_bytes(packing.worker_archive())
    with tarfile.open(tmp_path / "worker.tar.gz") as archive:
        archive.extractall(tmp_path / "code", filter="data")
    names = [line.split("==")[0] for line in packing.requirements("lora").split()]
    libraries = linked(needed(names), tmp_path / "libraries")
    done = subprocess.run(
        [sys.executable, "-S", "-c", PROGRAM],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{tmp_path / 'code'}:{libraries}"},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.no_database
def test_pinned_to_what_is_here():
    lines = packing.requirements("lora").split()
    assert all(line.count("==") == 1 and "+" not in line for line in lines)
    assert "bitsandbytes" not in packing.requirements("lora")
    assert "bitsandbytes" in packing.requirements("qlora")


def test_the_same_packing_gives_the_same_bytes(start, tmp_path):
    training = start()
    first = {n: p.read_bytes() for n, p in packing.pack(training, tmp_path / "a").items()}
    second = {n: p.read_bytes() for n, p in packing.pack(training, tmp_path / "b").items()}
    assert first == second
    assert len(first["worker.tar.gz"]) < 3_000_000


def test_a_model_without_a_commit_of_the_hub_goes_along(hub, stub, start, base):
    base.revision = ""
    base.save()
    training = step(start())
    sent = hub.repositories["dataset", training.data_repository]
    assert "base/model.safetensors" in sent.files


def test_a_base_model_that_is_gone_is_said(start, base, data_dir):
    training = start()
    (data_dir / base.folder / "tokenizer.json").unlink()
    with pytest.raises(PlainError, match="Install it again"):
        packing.pack(training, data_dir / training.folder)


@pytest.mark.parametrize(("failures", "arrives"), [(0, True), (12, True), (20, False)])
def test_a_result_that_was_paid_for_is_not_given_up_soon(monkeypatch, failures, arrives):
    """20 tries with pauses of at most a minute: about a quarter of an hour."""
    tries, pauses = [], []

    def create_commit(self, *args, **given):
        tries.append(given)
        if len(tries) <= failures:
            raise OSError("the hub does not answer")

    monkeypatch.setattr("huggingface_hub.HfApi.create_commit", create_commit)
    monkeypatch.setattr(hub_job.time, "sleep", pauses.append)
    with nullcontext() if arrives else pytest.raises(OSError, match="does not answer"):
        hub_job.send("kettle/x", {"a": b"b"}, tries=hub_job.MAX_RESULT_TRIES)
    assert len(tries) == min(failures + 1, hub_job.MAX_RESULT_TRIES)
    assert max(pauses, default=0) <= 60
    assert arrives or 600 < sum(pauses) < 1200
