"""What only Together does: it reads files before it trains, and keeps one of each."""

import pytest
from django.urls import reverse

from finetune_app.core.encryption import decrypt
from finetune_app.jobs.models import State
from finetune_app.providers import guarded_client
from finetune_app.remote_training import platform_kinds, services
from finetune_app.remote_training.models import PlatformAccount
from finetune_app.remote_training.platforms.contract import PlatformError
from finetune_app.remote_training.platforms.together import TogetherPlatform
from tests.remote_training.conftest import step
from tests.remote_training.loopback import KEY
from tests.remote_training.test_never_twice import settle

pytestmark = pytest.mark.parametrize("platform", ["together"], indirect=True)
ADD = f"{reverse('remote_training:add_account')}?platform=together"


@pytest.fixture
def known_address(platform, monkeypatch) -> None:
    """Together is where the stub is."""
    kind = platform_kinds.BY_NAME["together"]
    monkeypatch.setitem(kind.__dict__, "address", platform.url)


def test_it_is_connected_with_a_key_alone(as_owner, platform, known_address):
    asked = as_owner.get(ADD).text
    assert "Address of its API" not in asked
    answer = as_owner.post(ADD, {"name": "Together", "key": KEY}, follow=True)
    assert "Connected: the key works." in answer.text
    account = PlatformAccount.objects.get()
    assert (account.platform, account.url, account.options) == ("together", platform.url, {})
    assert decrypt(account.secret) == KEY


def test_it_is_started_as_it_was_agreed(start, platform):
    training = step(start(epochs=2))
    [body] = platform.posted
    assert body["n_epochs"] == body["n_evals"] == 2
    assert body["suffix"] == training.mark
    assert body["training_method"] == {"method": "sft", "train_on_inputs": "auto"}
    assert body["random_seed"] == training.spec["seed"]


def test_files_that_it_still_reads_are_waited_for(start, platform):
    platform.reading = True
    training = step(start())
    assert training.job.state == State.QUEUED
    assert training.job.message == "Together reads the examples."
    assert training.start_tried_at is None
    platform.reading = False
    assert step(training).remote_id == "ft-1"
    assert len(platform.uploads) == 2


def test_files_that_it_cannot_use_end_it_with_its_reason(start, platform):
    platform.reports["file-1"] = "Line 2 has no answer."
    training = step(start())
    assert training.job.state == State.FAILED
    assert "Together cannot use the examples: Line 2 has no answer." in training.job.message
    assert not platform.jobs
    assert not platform.files


def test_without_credit_nothing_starts(start, platform):
    platform.credit = False
    training = step(start())
    assert training.job.state == State.FAILED
    assert "not enough credit" in training.job.message
    assert not platform.jobs


def test_its_own_price_is_asked_for_what_will_be_started(start, platform):
    training = step(start(epochs=2))
    asked, _by_the_client_itself = platform.priced
    [body] = platform.posted
    for field in ("model", "training_file", "validation_file", "n_epochs", "n_evals"):
        assert asked[field] == body[field]
    assert asked["training_method"] == body["training_method"]
    assert training.remote_id


def test_what_costs_more_than_was_agreed_is_not_started(start, platform):
    platform.price = 4.0
    training = step(start())
    assert training.job.state == State.FAILED
    assert "Together would ask 4.00 $ for this, and at most 0.0" in training.job.message
    assert not platform.posted
    assert not platform.files


def test_while_its_price_is_not_known_nothing_was_started(start, platform):
    platform.faults.append(platform.fault("price", status=503))
    training = step(start())
    assert (training.job.state, training.start_tried_at) == (State.QUEUED, None)
    assert step(training).remote_id == "ft-1"


def test_more_passes_than_the_model_takes_are_said(start, platform):
    training = step(start(epochs=21))
    assert "at most 20 times" in training.job.message
    assert not platform.jobs


def test_a_file_that_was_there_before_is_used_and_left_there(start, platform):
    platform.faults.append(platform.fault("start", status=400))
    before = step(start())  # only to see what it sends
    services.resume(training=before)
    step(before)
    file, (_name, content) = next(iter(platform.files.items()))
    platform.files[file] = ("by-hand.jsonl", content)
    platform.succeed()
    training = step(before)
    assert [name for name, _content in platform.files.values()] == ["by-hand.jsonl"]
    assert "was left there" in training.events.get(event_id="finetune-train").message
    platform.jobs.clear()
    again = step(start())
    assert again.files["train"] == file
    assert len(platform.uploads) == 5  # two that were refused, two, and the other one of these


def test_a_job_is_found_by_the_name_of_its_model_where_the_suffix_is_not_told(start, platform):
    platform.faults.append(platform.fault("start", late=True))
    training = step(start())
    del platform.job["suffix"]
    platform.job["model_output_name"] = f"team/Qwen3-8B-{training.mark}-9"
    settle(training)
    assert step(training).remote_id == "ft-1"
    assert len(platform.posted) == 1


def test_its_curve_is_drawn_whatever_the_losses_are_called(start, platform):
    training = step(start())
    platform.become("running")
    platform.metrics += [
        {"global_step": 1.0, "train/loss": 2.5},
        {"global_step": 1.0, "eval/loss": 2.75},
        {"step": 2.0, "loss": 1.5, "learning_rate": 1e-5},
        {"epoch": 1.0},
    ]
    training = step(training)
    assert [event.metrics for event in training.events.all()] == [
        {"step": 1, "train_loss": 2.5},
        {"step": 1, "valid_loss": 2.75},
        {"step": 2, "train_loss": 1.5},
    ]


def test_a_list_that_is_none_does_not_start_it_again(start, platform):
    platform.faults.append(platform.fault("start", late=True))
    training = step(start())
    settle(training)
    platform.faults.append(platform.fault("find", status=200))
    training = step(training)
    assert "is not Together's format" in training.job.message
    assert len(platform.posted) == 1


def test_a_name_of_this_network_is_not_called(monkeypatch, platform):
    monkeypatch.setattr(guarded_client, "_resolve", lambda host, port: ["10.1.2.3"])
    with pytest.raises(PlatformError, match="which Finetune does not call"):
        TogetherPlatform("https://platform.example/v1", KEY, allowed=()).check()


def test_a_storage_in_this_network_gets_no_examples(start, platform):
    """It answers with an address to send the file to; that one is checked, too."""
    platform.storage = "http://169.254.169.254"
    training = step(start())
    assert training.job.state == State.FAILED
    assert "Only https" in training.job.message


def test_the_environment_of_the_installation_is_sent_to_no_platform(platform, monkeypatch):
    monkeypatch.setenv("TOGETHER_PROJECT_ID", "project-of-the-operator")
    monkeypatch.setenv("TOGETHER_CUSTOM_HEADERS", "X-Secret: operator\nAuthorization: operator")
    TogetherPlatform(platform.url, KEY, allowed={platform.place}).check()
    assert platform.headers["authorization"] == f"Bearer {KEY}"
    assert "operator" not in str(platform.headers)


def test_its_page_says_what_is_left_to_do_there(start, platform, as_viewer):
    training = step(start())
    page = reverse("remote_training:detail", args=[training.goal_id, training.number])
    assert "dedicated endpoint" not in as_viewer.get(page).text
    platform.succeed()
    step(training)
    assert "dedicated endpoint" in as_viewer.get(page).text
