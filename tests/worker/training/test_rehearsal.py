"""Memory that is too small is found before the first step, and the run goes on with less."""

import json

import pytest
import torch

from tests.worker.training.recording_channel import RecordingChannel
from worker.channel import UserError
from worker.template import TokenizedExample
from worker.training import memory_choice, run
from worker.training.data import collate
from worker.training.killed_attempts import NOTE, note_attempt, oom_kills
from worker.training.losses import CausalLMLoss
from worker.training.shortening import shorten_rows, shortened

FULL = "DefaultCPUAllocator: can't allocate memory"


def warnings(channel: RecordingChannel) -> list[str]:
    return [event["text"] for event in channel.of("warning")]


def points_before(channel: RecordingChannel, warning: str) -> int:
    """How many steps were taken before this warning."""
    names = [name for name, fields in channel.events if name == "point" or _is(fields, warning)]
    return names.index("warning")


def _is(fields: dict, warning: str) -> bool:
    return warning in fields.get("text", "")


@pytest.fixture
def memory_for(monkeypatch):
    """A machine on which a batch fits only if a test says so: (examples, longest) -> bool."""

    def limit(fits) -> None:
        monkeypatch.setattr("worker.training.rehearsal.has_ample_room", lambda *training: False)

        def collate_what_fits(examples, device, replay_rows):
            if not fits(len(examples), max(len(one.input_ids) for one in examples)):
                raise RuntimeError(FULL)
            return collate(examples, device, replay_rows=replay_rows)

        monkeypatch.setattr("worker.training.objectives.collate", collate_what_fits)

    return limit


def test_too_many_rows_at_once_are_found_before_the_first_step(job, memory_for):
    whole = run(job(folder="whole"), RecordingChannel())
    memory_for(lambda rows, longest: rows <= 2)
    channel = RecordingChannel()
    parts = run(job(folder="parts"), channel)
    assert points_before(channel, "smaller parts") == 0
    assert parts["validation_loss"] == pytest.approx(whole["validation_loss"], abs=1e-3)


def test_a_rehearsal_changes_no_weight(job, monkeypatch):
    monkeypatch.setattr("worker.training.rehearsal.has_ample_room", lambda *training: False)
    once = run(job(folder="once"), RecordingChannel())
    monkeypatch.setattr("worker.training.loop.rehearse", lambda training, state: training)
    never = run(job(folder="never"), RecordingChannel())
    assert once["train_loss"] == never["train_loss"]
    assert once["validation_loss"] == never["validation_loss"]


def test_where_the_plan_leaves_plenty_of_room_nothing_is_tried(job, monkeypatch):
    tried = []

    def fits(*training) -> bool:
        tried.append(training)
        return True

    monkeypatch.setattr("worker.training.rehearsal.fits", fits)
    run(job(folder="plenty"), RecordingChannel())
    assert not tried
    needed = 100 * 1024**2  # more than a tiny model's weights, less than twice what it takes
    monkeypatch.setattr(memory_choice, "free_bytes", lambda: needed)
    run(job(folder="little"), RecordingChannel())
    assert len(tried) == 1


def test_gradient_checkpointing_is_next(job, monkeypatch):
    """On this machine not even one row fits, unless results are computed again."""
    kept_all = run(job(folder="kept"), RecordingChannel())
    real = CausalLMLoss.__call__

    def only_with_checkpointing(self, batch, probabilities=None):
        if not self._model.get_base_model().is_activation_checkpointing:
            raise RuntimeError(FULL)
        return real(self, batch, probabilities)

    def never(self, batch, probabilities=None):
        raise RuntimeError(FULL)

    monkeypatch.setattr("worker.training.rehearsal.has_ample_room", lambda *training: False)
    # The probe's few tokens fit.
    monkeypatch.setattr("worker.training.prepare.difference", lambda *losses: 0.0)
    monkeypatch.setattr(CausalLMLoss, "__call__", only_with_checkpointing)
    monkeypatch.setattr("worker.training.llama_loss.LlamaLoss.__call__", never)
    channel = RecordingChannel()
    again = run(job(folder="again"), channel)
    assert any("gradient checkpointing" in text for text in warnings(channel))
    assert again["validation_loss"] == pytest.approx(kept_all["validation_loss"], abs=1e-3)

    with pytest.raises(UserError, match="single row"):
        run(job(folder="off", gradient_checkpointing="off"), RecordingChannel())


def test_gradient_checkpointing_gives_the_same_result(job):
    kept = run(job(folder="kept"), RecordingChannel())
    again = run(job(folder="again", gradient_checkpointing="on"), RecordingChannel())
    assert again["train_loss"] == pytest.approx(kept["train_loss"], abs=1e-3)


def test_the_last_resort_is_to_shorten_the_longest_rows(job, version, memory_for):
    long = " ".join(["red"] * 400)
    messages = [{"role": "user", "content": long}, {"role": "assistant", "content": "[red]"}]
    with version.open("a") as file:
        file.write(json.dumps({"id": 77, "split": "train", "messages": messages}) + "\n")
    memory_for(lambda rows, longest: longest < 300)
    channel = RecordingChannel()
    result = run(job(max_tokens=1024), channel)
    assert result["adapter"]
    assert any("left out of row 77" in text for text in warnings(channel))


def test_a_shorter_row_keeps_its_beginning_its_end_and_its_answer():
    example = TokenizedExample(list(range(20)), [False] * 15 + [True] * 5)
    found = shortened(example, 12)
    assert found.input_ids == [0, 1, 2, *range(11, 20)]
    assert found.loss_mask == [False] * 7 + [True] * 5
    assert shortened(example, 20) is example
    assert shortened(example, 5) is example  # the answer alone fills it


def test_the_rows_that_are_shortened_are_named():
    examples = [TokenizedExample(list(range(size)), [False] * size) for size in (5, 30, 40)]
    found, warning = shorten_rows(examples, [3, 8, 9], 20)
    assert [len(one.input_ids) for one in found] == [5, 20, 20]
    assert "row 8, 9" in warning
    assert shorten_rows(examples, [3, 8, 9], 50)[1] == ""


def test_the_plan_chooses_before_anything_is_tried(job, monkeypatch):
    """A machine with room for the model and little more."""
    monkeypatch.setattr(memory_choice, "free_bytes", lambda: 10_000)
    channel = RecordingChannel()
    run(job(), channel)
    assert any("gradient checkpointing" in text for text in warnings(channel))
    assert points_before(channel, "gradient checkpointing") == 0


def test_where_there_is_room_nothing_is_said(job):
    channel = RecordingChannel()
    run(job(), channel)
    assert warnings(channel) == []


def test_a_kill_at_a_single_row_turns_checkpointing_on(job):
    work = job()
    note_attempt(work.folder, 4)
    seen_by_the_kernel(work.folder)
    channel = RecordingChannel()
    run(work, channel)
    assert any("gradient checkpointing" in text for text in warnings(channel))


def seen_by_the_kernel(folder) -> None:
    noted = json.loads((folder / NOTE).read_text())
    (folder / NOTE).write_text(json.dumps(noted | {"oom_kills": oom_kills() - 1}))


def test_a_full_memory_while_loading_is_said(job, monkeypatch):
    def full(*args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("worker.training.prepare.load", full)
    monkeypatch.setattr(memory_choice, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="while the model was loaded") as raised:
        run(job(folder="one"), RecordingChannel())
    assert raised.value.code == "out_of_memory"
    assert "4-bit" not in raised.value.message

    monkeypatch.setattr(memory_choice, "find_spec", lambda name: name)
    with pytest.raises(UserError, match="With its weights in 4-bit"):
        run(job(folder="two"), RecordingChannel())
