"""A training that the kernel killed for its memory continues in smaller parts."""

import json
import shutil
from dataclasses import replace

import pytest

from tests.worker.training.conftest import make_job, write_version
from tests.worker.training.recording_channel import RecordingChannel
from tests.worker.training.test_resume import train_until_killed, updates
from worker.channel import Job, UserError
from worker.training import killed_attempts, run
from worker.training.killed_attempts import NOTE, note_attempt, oom_kills
from worker.training.out_of_memory import need_less
from worker.training.state import State


@pytest.fixture(scope="module")
def killed_run(tmp_path_factory, base_model) -> Job:
    """A training that was killed at its third step, to be copied."""
    folder = tmp_path_factory.mktemp("killed")
    version = write_version(folder / "version.jsonl")
    work = make_job(folder / "run", base_model(), version, save_seconds=0.001)
    train_until_killed(work, 3)
    return work


@pytest.fixture
def killed(killed_run, tmp_path) -> Job:
    """A copy of it, which a test may go on with."""
    folder = tmp_path / "killed"
    shutil.copytree(killed_run.folder, folder)
    return replace(killed_run, folder=folder)


def seen_by_the_kernel(folder) -> dict:
    """The note of a killed attempt, changed as if the kernel had killed it for its memory."""
    noted = json.loads((folder / NOTE).read_text())
    (folder / NOTE).write_text(json.dumps(noted | {"oom_kills": oom_kills() - 1}))
    return noted


def test_after_such_a_kill_the_parts_are_half_as_large(job, killed):
    whole = run(job(folder="whole"), RecordingChannel())
    assert seen_by_the_kernel(killed.folder)["token_budget"] > 200

    channel = RecordingChannel()
    finished = run(killed, channel)
    assert any("because the memory was full" in event["text"] for event in channel.of("warning"))
    assert updates(channel)[0]["step"] > 1  # continued, not begun again
    assert finished["steps"] == whole["steps"]
    assert finished["validation_loss"] == pytest.approx(whole["validation_loss"], abs=1e-3)


def test_a_kill_for_another_reason_changes_nothing(killed):
    channel = RecordingChannel()
    run(killed, channel)
    assert channel.of("warning") == []


def test_a_run_that_ends_by_itself_leaves_no_note(job):
    work = job()
    run(work, RecordingChannel(stop_after=3))
    assert not (work.folder / NOTE).exists()
    run(work, RecordingChannel())
    assert not (work.folder / NOTE).exists()


def test_memory_that_is_too_small_for_the_model_is_said_at_once(job):
    work = job()
    note_attempt(work.folder)
    seen_by_the_kernel(work.folder)
    with pytest.raises(UserError, match="while the model was loaded") as raised:
        run(work, RecordingChannel())
    assert raised.value.code == "out_of_memory"


def test_memory_that_is_too_small_for_one_row_is_said():
    state = State("fp32", token_budget=80)
    with pytest.raises(UserError, match="a single row of 100 tokens"):
        need_less(state, used=80, longest=100, checkpoint=False, shorten=True)


@pytest.mark.parametrize("text", ["", "[]", '{"oom_kills": 1, "more": 2}', "null"])
def test_a_damaged_note_is_no_note(tmp_path, text):
    (tmp_path / NOTE).write_text(text)
    assert killed_attempts.killed_attempt(tmp_path) is None


def test_a_kernel_that_does_not_count_is_believed_to_have_killed_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(killed_attempts, "COUNTER", tmp_path / "missing")
    note_attempt(tmp_path, 100)
    assert oom_kills() == 0
    assert killed_attempts.killed_attempt(tmp_path) is None
