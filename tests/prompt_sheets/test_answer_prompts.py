"""The job: every candidate answers every prompt; stopped, killed and continued, nothing is lost."""

import time

import pytest

from finetune_app.core.files import sha256_of
from finetune_app.jobs.models import Job, State
from finetune_app.prompt_sheets.models import PromptSheet, SheetAnswer
from finetune_app.training.models import Training
from tests import fake_provider, journey
from tests.prompt_sheets.conftest import PROMPTS, attempt, record, started
from tests.worker.conftest import supervise
from tests.worker.engine.tiny_models import make_adapter, make_base
from worker.channel import UserError
from worker.engine.adapters import BadAdapter
from worker.engine.requests import PromptTooLong
from worker.prompt_sheets.run import answer_event

MANY = [f"Question {n}?" for n in range(20)]


@pytest.fixture
def remote(trained, owner, platform, endpoint) -> PromptSheet:
    """Two remote models, about to be asked 20 prompts each."""
    platform.reply_to = lambda messages: f"To {messages[-1]['content']}"
    second = platform.endpoint(trained.team, owner, model="another", name="Another")
    sheet = started(
        trained, owner, f"endpoint-{endpoint.pk}", f"endpoint-{second.pk}", prompts=MANY
    )
    sheet.candidates.remove(*sheet.candidates.filter(kind="base"))
    return sheet


def answers_of(sheet: PromptSheet):
    return SheetAnswer.objects.filter(prompt__sheet=sheet)


def requests_at_rest(platform) -> int:
    """The number of requests, once those that were under way have arrived."""
    count = -1
    while count != len(platform.requests):
        count = len(platform.requests)
        time.sleep(0.5)
    return count


def test_remote_models_answer_every_prompt_with_their_instructions(remote, platform):
    attempt(remote)
    assert answers_of(remote).count() == len(platform.requests) == 40
    answer = answers_of(remote).filter(prompt__index=3).first()
    assert (answer.text.strip(), answer.refused) == ("To Question 3?", False)
    assert platform.requests[0]["body"]["messages"][0]["content"] == "Sort it."
    assert fake_provider.KEY not in f"{remote.job.spec}{remote.job.result}"


def test_a_killed_job_repeats_no_finished_answer(remote, platform):
    with pytest.raises(KeyboardInterrupt):
        attempt(remote, die_after=15)
    assert answers_of(remote).count() == 15
    before = requests_at_rest(platform)
    channel = attempt(remote)
    assert len(channel.answers) == 25
    assert answers_of(remote).count() == 40
    assert len(platform.requests) - before == 25


def test_stop_keeps_the_answers_and_continue_asks_the_rest(remote, as_editor, url):
    attempt(remote, stop_after=5)
    assert 5 <= answers_of(remote).count() < 40
    page = as_editor.get(url("detail", remote.pk)).content.decode()
    assert "Stopped" in page
    as_editor.post(url("continue", remote.pk))
    assert Job.objects.get(pk=remote.job_id).state == State.QUEUED
    attempt(remote)
    assert answers_of(remote).count() == 40
    assert "Prompt 1 of 20" in as_editor.get(url("detail", remote.pk)).content.decode()


def test_a_waiting_sheet_is_stopped_at_once_and_only_a_stopped_one_continues(
    remote, as_editor, url
):
    assert as_editor.post(url("continue", remote.pk)).status_code == 400
    as_editor.post(url("stop", remote.pk))
    assert Job.objects.get(pk=remote.job_id).state == State.STOPPED


def test_a_wrong_key_fails_the_job_and_is_not_told(trained, owner, platform, endpoint):
    endpoint.model = "wrong key"
    endpoint.save()
    sheet = started(trained, owner, f"endpoint-{endpoint.pk}")
    sheet.candidates.remove(*sheet.candidates.filter(kind="base"))
    with pytest.raises(UserError, match="did not accept the key") as caught:
        attempt(sheet)
    assert fake_provider.KEY not in caught.value.message
    assert not answers_of(sheet).exists()


def test_a_failed_job_says_why_and_can_be_continued(remote, as_editor, url):
    journey.set_state(remote.job, State.FAILED, message="The key was not accepted.")
    page = as_editor.get(url("detail", remote.pk)).content.decode()
    assert "It could not continue" in page
    assert "The key was not accepted." in page


def test_whoever_watches_gets_the_progress_alone_and_then_the_answers(
    sheet, as_editor, url, remote
):
    watching = {"HX-Request": "true", "HX-Target": "live"}
    live = as_editor.get(url("detail", remote.pk), headers=watching).content.decode()
    assert "<html" not in live
    assert "About to start" in live or "Waiting" in live
    done = as_editor.get(url("detail", sheet.pk), headers=watching)
    assert done["HX-Refresh"] == "true"


def test_an_event_that_arrives_twice_counts_once(trained, owner):
    sheet = started(trained, owner, "tuned")
    for text in ("first", "second"):
        record(sheet, sheet.ordered_candidates()[0], 0, text)
    assert answers_of(sheet).get().text == "second"


def test_a_prompt_that_is_too_long_is_an_answer_and_a_broken_adapter_is_an_error():
    event = answer_event(1, 0, PromptTooLong("It is too long."))
    assert (event["refused"], event["why"], event["text"]) == (True, "It is too long.", "")
    with pytest.raises(UserError, match="broken"):
        answer_event(1, 0, BadAdapter("broken"))
    with pytest.raises(RuntimeError):
        answer_event(1, 0, RuntimeError("out of memory"))


@pytest.mark.one_database
def test_models_of_this_machine_answer_in_a_child_process(
    transactional_db, goal, owner, data_dir, tmp_path
):
    training = journey.trained(journey.ready(goal, owner), owner)
    make_base(data_dir / training.base_model.folder, "llama")
    adapter = make_adapter(data_dir / training.base_model.folder, tmp_path / "adapter", 1)
    for file in adapter.iterdir():
        (data_dir / training.adapter_folder / file.name).write_bytes(file.read_bytes())
    weights = data_dir / training.adapter_folder / "adapter_model.safetensors"
    Training.objects.update(adapter_sha256=sha256_of(weights))
    sheet = started(goal, owner, "prompt", "tuned")
    job = supervise(sheet.job)
    assert job.state == State.SUCCEEDED, (job.message, job.detail)
    assert answers_of(sheet).count() == 3 * len(PROMPTS)
    assert not answers_of(sheet).filter(refused=True).exists()
    assert answers_of(sheet).filter(tokens__gt=0).exists()
