"""What only Fireworks does: ids are Finetune's own, and datasets are read before a training."""

import pytest
from django.urls import reverse

from finetune_app.jobs.models import State
from finetune_app.providers.models import Endpoint
from finetune_app.remote_training import platform_kinds
from finetune_app.remote_training.models import PlatformAccount
from finetune_app.remote_training.platforms import fireworks as backend
from finetune_app.remote_training.platforms.fireworks import FireworksPlatform
from tests.remote_training.conftest import step
from tests.remote_training.loopback import KEY
from tests.remote_training.stub_fireworks import ACCOUNT, MODEL
from tests.remote_training.test_never_twice import settle

pytestmark = pytest.mark.parametrize("platform", ["fireworks"], indirect=True)
ADD = f"{reverse('remote_training:add_account')}?platform=fireworks"


@pytest.fixture
def known_address(platform, monkeypatch) -> None:
    """Fireworks is where the stub is."""
    monkeypatch.setitem(platform_kinds.BY_NAME["fireworks"].__dict__, "address", platform.url)


def test_it_is_connected_with_an_account_and_a_key(as_owner, platform, known_address):
    form = {"name": "Fireworks", "account": ACCOUNT, "key": KEY}
    assert "Connected: the key works." in as_owner.post(ADD, form, follow=True).text
    assert PlatformAccount.objects.get().options == {"account": ACCOUNT}


@pytest.mark.parametrize("account", ["", "../other", "a b", "Kettle/Lane", "x" * 80])
def test_an_account_that_is_none_is_said(as_owner, platform, known_address, account):
    answer = as_owner.post(ADD, {"name": "Fireworks", "account": account, "key": KEY})
    assert "as its page shows it" in answer.text
    assert not platform.asked


def test_a_key_of_another_account_is_said(as_owner, platform, known_address):
    form = {"name": "Fireworks", "account": "somebody-else", "key": KEY}
    assert "does not accept the key" in as_owner.post(ADD, form).text
    assert not PlatformAccount.objects.exists()


def test_it_is_started_as_it_was_agreed_under_our_own_id(start, platform):
    training = step(start(epochs=2))
    [body] = platform.posted
    assert body["baseModel"] == MODEL
    assert body["epochs"] == 2
    folder = f"accounts/{ACCOUNT}/datasets/{training.mark}"
    assert body["dataset"] == f"{folder}-train"
    assert body["evaluationDataset"] == f"{folder}-validation"
    assert training.remote_id.endswith(f"/supervisedFineTuningJobs/{training.mark}")


def test_an_id_that_is_taken_is_our_own_job(start, platform):
    """The start was carried out, and the platform says for a while that it knows nothing of it."""
    platform.faults.append(platform.fault("start", late=True))
    training = step(start())
    settle(training)
    platform.faults.append(platform.fault("find", status=404))
    training = step(training)
    assert not training.remote_id
    settle(training)
    assert step(training).remote_id
    assert len(platform.jobs) == 1


def test_a_dataset_that_was_begun_is_filled(start, platform):
    platform.faults.append(platform.fault("create dataset", late=True))
    training = step(start())
    assert platform.datasets
    assert step(training).remote_id


def test_datasets_that_it_still_reads_are_waited_for(start, platform):
    platform.reading = True
    training = step(start())
    assert training.job.message == "Fireworks reads the examples."
    assert training.start_tried_at is None
    platform.reading = False
    assert step(training).remote_id


def test_datasets_that_it_cannot_use_end_it_with_its_reason(start, platform):
    platform.refused = "Row 2 has no answer."
    training = step(start())
    assert training.job.state == State.FAILED
    assert "cannot use the examples: Row 2 has no answer." in training.job.message
    assert not platform.datasets


def test_a_file_that_is_too_large_is_said(start, platform, monkeypatch):
    monkeypatch.setattr(backend, "MAX_FILE_BYTES", 10)
    assert "no file of more than 150 MB" in step(start()).job.message


@pytest.mark.parametrize("state", ["early stopped", "completed"])
def test_its_model_is_asked_at_the_address_for_that(start, platform, team, state):
    training = step(start())
    platform.succeed()
    platform.become(state)
    training = step(training)
    assert training.endpoint.url == f"{platform.url}/inference/v1"
    assert Endpoint.objects.get(team=team, name=MODEL[:80]).url == training.endpoint.url


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("re queueing", "re queueing"),
        ("paused", "paused"),
        ("writing results", "writing results"),
        ("deleting cleaning up", "deleting cleaning up"),
    ],
)
def test_each_state_is_said_in_words(start, platform, state, words):
    training = step(start())
    platform.become(state)
    assert step(training).job.message == f"It runs there: {words}"


def test_a_file_that_arrived_in_part_does_not_stay_there(start, platform):
    platform.faults.append(platform.fault("upload", status=400))
    training = step(start())
    assert training.job.state == State.FAILED
    assert not platform.datasets


def test_how_far_it_is_is_said(start, platform):
    training = step(start())
    platform.become("running")
    platform.say("", step=1, train_loss=2.0)
    assert [one.message for one in step(training).events.all()] == ["40 % done, pass 2"]


def test_the_environment_of_the_installation_is_sent_to_no_platform(platform, monkeypatch):
    monkeypatch.setenv("FIREWORKS_ACCOUNT_ID", "operator")
    monkeypatch.setenv("FIREWORKS_CUSTOM_HEADERS", "X-Secret: operator\nAuthorization: operator")
    given = {"allowed": {platform.place}, "account": ACCOUNT}
    FireworksPlatform(platform.url, KEY, **given).check()
    assert platform.headers["authorization"] == f"Bearer {KEY}"
    assert "operator" not in str(platform.headers) + str(platform.asked)
