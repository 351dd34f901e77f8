"""An interrupted install continues with the files it has."""

import json

import pytest

from finetune_app.basemodels import services
from finetune_app.basemodels.models import BaseModel
from finetune_app.core.errors import PlainError
from finetune_app.jobs.models import Job, State
from tests.basemodels.conftest import HUB_ID, laid
from tests.worker.training.recording_channel import RecordingChannel

WEIGHTS = "model.safetensors"


@pytest.mark.one_database
@pytest.mark.django_db(transaction=True)
def test_from_a_broken_download_to_a_trained_model_that_answers(
    install, work, hub, tiny_model, as_editor, url, data_dir, tmp_path
):
    """A second architecture: resumed download, training, answers."""
    hub.add(HUB_ID, tiny_model)
    hub.down_after = WEIGHTS
    made = install()
    job = work(made)
    assert (job.state, job.error_code) == (State.FAILED, "no_network")
    assert "press Continue" in job.message
    kept = (data_dir / made.folder / "model" / f"{WEIGHTS}.part").stat().st_size
    assert 0 < kept < (tiny_model / WEIGHTS).stat().st_size
    assert not BaseModel.objects.exists()

    hub.down, hub.down_after = False, ""
    hub.requests.clear()
    assert as_editor.post(url("continue", made.pk)).url == url("page")
    job = work(made)
    assert (job.state, job.message) == (State.SUCCEEDED, "Done.")
    assert [path for path, _, _ in hub.requests] == [f"/{HUB_ID}/resolve/{'5' * 40}/{WEIGHTS}"]
    assert hub.ranges_of(WEIGHTS) == [f"bytes={kept}-"]

    model = BaseModel.objects.get()
    folder = data_dir / model.folder
    assert (folder / WEIGHTS).read_bytes() == (tiny_model / WEIGHTS).read_bytes()
    dimensions = ("layers", "hidden", "vocabulary", "model_type")
    assert [model.shape[name] for name in dimensions] == [3, 48, 258, "qwen2"]
    assert model.shape["saved"]["bf16"]["token"] > 0
    result = train(folder, tmp_path)
    assert result["validation_loss"] < result["first_loss"]
    assert answers_differ(folder, tmp_path / result["adapter"])


def train(base, folder) -> dict:
    """A short real training on four colours."""
    from worker.channel import Job as Work
    from worker.training import run

    rows = []
    for number in range(24):
        word = ["red", "green", "blue", "gold"][number % 4]
        split = "train" if number < 20 else "validation"
        asked, answered = ("user", word), ("assistant", f"[{word}]")
        messages = [{"role": role, "content": text} for role, text in (asked, answered)]
        rows.append({"id": number, "split": split, "messages": messages})
    version = folder / "version.jsonl"
    version.write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = {
        "base_model": str(base),
        "version": str(version),
        "epochs": 8,
        "batch_size": 4,
        "rank": 4,
        "alpha": 8,
        "learning_rate": 1e-2,
        "number_format": "fp32",
        "measure": {"kind": "exact", "settings": {}},
        "sample_prompts": 1,
        "max_new_tokens": 4,
    }
    channel = RecordingChannel()
    result = run(Work("training", folder, spec), channel)
    losses = [p["validation_loss"] for p in channel.of("point") if p["validation_loss"]]
    return result | {"first_loss": losses[0]}


def answers_differ(base, adapter) -> bool:
    """Whether the adapter changes the engine's answers."""
    from worker.engine.engine import Engine
    from worker.engine.requests import GenerationRequest

    asked = [{"role": "user", "content": "red"}]
    with Engine(base, number_format="fp32") as engine:
        plain, tuned = engine.generate(
            [
                GenerationRequest(asked, None, max_new_tokens=8),
                GenerationRequest(asked, adapter, max_new_tokens=8),
            ]
        )
    return plain.text != tuned.text


@pytest.mark.parametrize("state", [State.STOPPED, State.FAILED])
def test_an_editor_presses_continue(install, as_editor, url, state):
    made = install()
    Job.objects.update(state=state, error_code="no_disk")
    assert as_editor.post(url("continue", made.pk)).status_code == 302
    assert Job.objects.get().state == State.QUEUED


def test_continuing_a_running_install_changes_nothing(install, as_owner, url):
    made = install()
    Job.objects.update(state=State.RUNNING)
    as_owner.post(url("continue", made.pk))
    assert Job.objects.get().state == State.RUNNING


def test_an_install_that_another_team_has_finished_cannot_continue(
    install, stranger, as_owner, url
):
    """Two downloads of one model never run at the same time."""
    hub_id = "Qwen/Qwen2.5-0.5B-Instruct"
    made = install(hub_id)
    Job.objects.update(state=State.FAILED)
    theirs = services.install(
        team=stranger.memberships.get().team, user=stranger, source=hub_id, licence_accepted=True
    )
    assert theirs != made
    made.refresh_from_db()
    with pytest.raises(PlainError, match="being installed already"):
        services.resume(made)
    laid(made.slug)
    assert as_owner.post(url("continue", made.pk)).status_code == 400
    assert Job.objects.get(pk=made.job_id).state == State.FAILED


def test_viewers_and_strangers_may_not(install, as_viewer, as_stranger, as_owner, url):
    made = install()
    Job.objects.update(state=State.FAILED)
    assert as_viewer.post(url("continue", made.pk)).status_code == 403
    assert as_stranger.post(url("continue", made.pk)).status_code == 404
    assert as_owner.get(url("continue", made.pk)).status_code == 405
    assert Job.objects.get().state == State.FAILED
