"""What only Vertex AI needs: a project, a bucket, a service account. It answers as Gemini does."""

import json

import pytest
from django.urls import reverse

from finetune_app.core.encryption import decrypt
from finetune_app.core.errors import PlainError
from finetune_app.jobs.models import State
from finetune_app.providers import gemini, service_account
from finetune_app.providers.models import Endpoint
from finetune_app.providers.services import try_it
from finetune_app.remote_training import platform_kinds, training_files
from finetune_app.remote_training.models import PlatformAccount
from tests.remote_training.conftest import step
from tests.remote_training.loopback import KEY
from tests.remote_training.stub_vertex import BUCKET, MODEL, PLACE, PROJECT, REGION

pytestmark = pytest.mark.parametrize("platform", ["vertex"], indirect=True)
ADD = f"{reverse('remote_training:add_account')}?platform=vertex"


@pytest.fixture(autouse=True)
def known_address(platform, monkeypatch) -> None:
    """Google Cloud is where the stub is."""
    kind = platform_kinds.BY_NAME["vertex"]
    monkeypatch.setitem(kind.__dict__, "address", platform.url)
    monkeypatch.setattr(service_account, "TOKEN_ADDRESS", f"{platform.url}/token")
    monkeypatch.setattr("finetune_app.remote_training.platforms.vertex.STORAGE", platform.url)
    service_account._tokens.clear()


def given(platform, **fields) -> dict[str, str]:
    form = {"project": PROJECT, "region": REGION, "bucket": BUCKET}
    return form | {"name": "Google", "key": platform.secret} | fields


def test_it_is_connected_with_all_that_it_needs(as_owner, platform):
    answer = as_owner.post(ADD, given(platform), follow=True)
    assert "Connected: the key works." in answer.text
    account = PlatformAccount.objects.get()
    assert account.options == {"project": PROJECT, "region": REGION, "bucket": BUCKET}
    assert "private_key" not in account.secret
    assert json.loads(decrypt(account.secret))["client_email"].startswith("tuner@")
    for page in ("accounts", "change_account"):
        ids = [account.pk] if page == "change_account" else []
        shown = as_owner.get(reverse(f"remote_training:{page}", args=ids)).text
        assert "PRIVATE" not in shown
        assert KEY not in shown


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"type": "authorized_user"}, "not the key of a service account"),
        ({"type": "external_account"}, "not the key of a service account"),
        ({"private_key": ""}, "not complete"),
        ({"private_key": "-----BEGIN PRIVATE KEY-----\nno\n"}, "cannot be read"),
        ({"private_key": ["a"]}, "not complete"),
        ({"token_uri": "https://evil.example/token"}, "names another address"),
        ({"token_uri": "http://169.254.169.254/token"}, "names another address"),
        ({"client_email": "a b"}, "names no service account"),
    ],
)
def test_a_key_that_is_none_is_said(as_owner, platform, change, words):
    key = json.dumps(json.loads(platform.secret) | change)
    answer = as_owner.post(ADD, given(platform, key=key))
    assert answer.status_code == 422
    assert words in answer.text
    assert not platform.asked


@pytest.mark.parametrize("key", ["sk-1234", "[]", "[" * 5000, "{}", '"a"', "\x00"])
def test_a_text_that_is_no_key_is_said(as_owner, platform, key):
    answer = as_owner.post(ADD, given(platform, key=key))
    assert answer.status_code == 422
    assert not PlatformAccount.objects.exists()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"region": "evil.example/#"}, "A region looks like us-central1."),
        ({"project": "../../other"}, "The id of a project"),
        ({"bucket": "a/b"}, "The name of a bucket"),
        ({"bucket": ""}, "The name of a bucket"),
    ],
)
def test_what_would_lead_elsewhere_is_refused(as_owner, platform, fields, words):
    answer = as_owner.post(ADD, given(platform, **fields))
    assert words in answer.text
    assert not platform.asked
    assert "PRIVATE KEY" not in answer.text  # the form does not come back with it


def test_a_bucket_that_the_key_may_not_write_is_said(as_owner, platform):
    platform.permissions = ["storage.objects.get"]
    answer = as_owner.post(ADD, given(platform))
    assert "may not create, delete files in the bucket" in answer.text
    assert "Storage Object Admin" in answer.text


def test_a_bucket_that_is_not_there_is_said(as_owner, platform):
    answer = as_owner.post(ADD, given(platform, bucket="another-bucket"))
    assert "The specified bucket does not exist." in answer.text


def test_a_service_account_that_was_deleted_is_said(as_owner, platform):
    platform.key = "another"
    answer = as_owner.post(ADD, given(platform))
    assert "does not accept the key" in answer.text


def test_it_is_started_as_it_was_agreed(start, platform):
    training = step(start(epochs=2))
    [body] = platform.posted
    assert body["baseModel"] == MODEL
    assert body["labels"] == {"finetune-order": training.mark}
    spec = body["supervisedTuningSpec"]
    assert spec["hyperParameters"] == {"epochCount": 2}
    folder = f"gs://{BUCKET}/finetune/{training.mark}"
    assert spec["trainingDatasetUri"] == f"{folder}-train.jsonl"
    assert spec["validationDatasetUri"] == f"{folder}-validation.jsonl"


def test_options_have_gemini_s_names():
    options = {"max_tokens": 5, "temperature": 0.3, "top_p": 0.5, "stop": ["END"], "seed": 3}
    assert gemini.body([{"role": "user", "content": "Hello"}], options)["generationConfig"] == {
        "maxOutputTokens": 5,
        "temperature": 0.3,
        "topP": 0.5,
        "stopSequences": ["END"],
        "seed": 3,
    }


def test_rows_are_sent_in_gemini_s_format(start, platform):
    step(start())
    content = next(iter(platform.files.values()))[1]
    first = json.loads(content.splitlines()[0])
    assert [turn["role"] for turn in first["contents"]] == ["user", "model"]


def test_a_large_file_is_sent_in_the_platform_s_other_way(start, platform, monkeypatch):
    monkeypatch.setattr("google.cloud.storage.blob._MAX_MULTIPART_SIZE", 100)
    training = step(start())
    assert training.remote_id, training.job.message
    assert any(path.startswith("/resumable/") for path in platform.asked)
    assert len(platform.uploads) == 2


def test_both_models_are_asked_through_google_s_names(start, platform, team):
    training = step(start())
    platform.succeed()
    training = step(training)
    untuned = Endpoint.objects.get(team=team, name=MODEL)
    assert untuned.model == f"{PLACE}/publishers/google/models/{MODEL}"
    assert (training.endpoint.api, training.endpoint.url) == ("gemini", f"{platform.url}/v1")
    answer = try_it(endpoint=training.endpoint)
    assert answer.text.startswith(f"{PLACE}/endpoints/9:")
    assert (answer.tokens_in, answer.tokens_out, answer.finish_reason) == (
        9,
        43,
        "stop",
    )  # with its thoughts


def test_an_endpoint_that_comes_later_is_waited_for(start, platform):
    training = step(start())
    platform.become("succeeded", tunedModel={"model": f"{PLACE}/models/9@1"})
    training = step(training)
    assert training.job.state == State.QUEUED
    platform.succeed()
    assert step(training).endpoint


def test_a_part_of_it_is_a_model_too(start, platform):
    training = step(start())
    platform.succeed()
    platform.job["state"] = "JOB_STATE_PARTIALLY_SUCCEEDED"
    assert step(training).job.state == State.SUCCEEDED


def test_waiting_for_quota_is_said(start, platform):
    training = step(start())
    platform.become("pending")
    platform.job["tuningJobState"] = "TUNING_JOB_STATE_WAITING_FOR_QUOTA"
    assert step(training).job.message == "It runs there: pending · waiting for quota"


def test_rows_that_were_cut_or_left_out_are_said(start, platform):
    training = step(start())
    stats = {"totalTruncatedExampleCount": "3", "droppedExampleReasons": ["Too long", "Too long"]}
    platform.become("running", tuningDataStats={"supervisedTuningDataStats": stats})
    said = [event.message for event in step(training).events.all()]
    assert "3 examples were longer than it takes, and were cut." in said
    assert said.count("Examples were left out: Too long") == 1


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"tools": []}, "call tools"),
        ({"weight": 0}, "read and not learned"),
        ({"role": "system"}, "instructions in the middle"),
    ],
)
def test_rows_that_it_cannot_learn_are_said_before_anything_is_sent(
    start, platform, monkeypatch, row, words
):
    training = start()
    monkeypatch.setattr(training_files, "rows_in", lambda path: lambda: iter([odd_row(row)]))
    training = step(training)
    assert training.job.state == State.FAILED
    assert words in training.job.message
    assert not platform.uploads


def odd_row(change: dict) -> dict:
    weight = {"weight": 0} if "weight" in change else {}
    turns = [
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "Yes."} | weight,
        {"role": change.get("role", "user"), "content": "Two?"},
        {"role": "assistant", "content": "No."},
    ]
    tool = {"type": "function", "function": {"name": "f"}}
    return {"split": "train", "messages": turns} | ({"tools": [tool]} if "tools" in change else {})


def test_a_new_key_is_that_of_its_models_too(as_owner, account, start, platform):
    training = step(start())
    platform.succeed()
    training = step(training)
    page = reverse("remote_training:change_account", args=[account.pk])
    renewed = json.dumps(json.loads(platform.secret) | {"private_key_id": "renewed"})
    assert "not the key of a service account" in as_owner.post(page, {"key": "sk-new"}).text
    as_owner.post(page, {"key": renewed})
    training.endpoint.refresh_from_db()
    assert json.loads(decrypt(training.endpoint.secret))["private_key_id"] == "renewed"


def test_a_key_that_google_does_not_accept_any_more_is_said_by_the_model(start, platform):
    training = step(start())
    platform.succeed()
    endpoint = step(training).endpoint
    service_account._tokens.clear()
    platform.key = "another"
    with pytest.raises(PlainError, match="Google gives no token"):
        try_it(endpoint=endpoint)


def test_a_token_is_asked_for_once(start, platform):
    training = step(start())
    platform.succeed()
    try_it(endpoint=step(training).endpoint)
    assert platform.asked.count("/token") == 1


@pytest.mark.parametrize(
    ("chunk", "finish"),
    [
        ({"promptFeedback": {"blockReason": "SAFETY"}}, "content_filter"),
        ({"candidates": [{"finishReason": "SAFETY"}]}, "safety"),
        ({"candidates": [{"finishReason": "MAX_TOKENS", "content": {}}]}, "length"),
    ],
)
def test_an_answer_that_is_none_says_why(platform, chunk, finish):
    [choice] = gemini.as_openai_chunk(chunk)["choices"]
    assert choice["finish_reason"] == finish


@pytest.mark.parametrize(
    "chunk",
    [
        None,
        [],
        "text",
        {"candidates": {}},
        {"candidates": [7]},
        {"candidates": [{"content": {"parts": [None, {"text": 3}]}}]},
        {"usageMetadata": 5},
    ],
    ids=str,
)
def test_a_chunk_that_is_none_breaks_nothing(platform, chunk):
    gemini.as_openai_chunk(chunk)
