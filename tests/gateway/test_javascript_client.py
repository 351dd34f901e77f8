"""OpenAI's JavaScript client: what client.cjs does with it, and what it got."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from finetune_app.api_keys import services as api_keys
from finetune_app.fine_tuning_api.models import FineTuningJob
from tests import node
from tests.worker.conftest import wait_for

pytestmark = [node.needs_node, pytest.mark.timeout(900)]
SCRIPT = Path(__file__).with_name("client.cjs")


@pytest.fixture
def told(address, live, key, team, owner) -> dict[str, Any]:
    """What each step got, by its name. All in one process of Node: starting one takes longest."""
    _key, narrow = api_keys.create_key(
        team=team, by=owner, name="x", deployment=live, requests_per_minute=4
    )
    names = {
        "MODULES": str(node.MODULES),
        "ADDRESS": address,
        "KEY": key[1],
        "NARROW": narrow,
        "MODEL": live.name,
    }
    done = subprocess.run(
        ["node", str(SCRIPT)], env=os.environ | names, capture_output=True, text=True, timeout=600
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    broke = {row["name"]: row["broke"] for row in rows if "broke" in row}
    assert broke == {}
    return {row["name"]: row["got"] for row in rows}


def test_openais_javascript_client_works(told, engine_process):
    assert len(told) > 30
    models(told)
    answers(told)
    streams(told)
    refusals(told)
    files(told)
    jobs(told)
    wait_for(
        lambda: engine_process.get("/health").json()["queue"] == 0, seconds=60
    )  # also for who left


def models(told):
    assert told["models"][0] == "starter"
    assert "sort-shop-emails" in told["models"]
    assert told["one_model"] == "model"
    assert told["no_model"]["kind"] == "NotFoundError"


def answers(told):
    reply = told["answer"]
    assert reply["choices"][0]["message"]["role"] == "assistant"
    assert reply["usage"]["completion_tokens"] <= 12
    for same in ("parts", "developer", "helper"):
        one, other = told[same]
        assert one == other, same
    assert told["several"] == [0, 1, 2]
    assert told["length"] == "length"
    assert told["older"]["object"] == "text_completion"
    assert told["older"]["choices"][0]["text"]
    assert told["request_id"]


def streams(told):
    assert told["stream"]["same"]
    assert told["stream"]["ids"] == 1
    assert told["stream"]["end"] in ("stop", "length")
    assert told["usage"]["choices"] == []
    assert told["usage"]["usage"]["completion_tokens"] > 0
    assert told["left"]
    assert told["aborted"]["kind"] == "APIUserAbortError"


def refusals(told):
    """Each becomes the error that a program catches."""
    assert told["bad"]["kind"] == "BadRequestError"
    assert told["bad"]["param"] == "temperature"
    assert told["too_long"]["code"] == "context_length_exceeded"
    assert told["no_key"]["kind"] == "AuthenticationError"
    assert told["narrow"]["kind"] == "PermissionDeniedError"
    assert told["narrow_other"]["kind"] == "NotFoundError"
    assert told["busy"]["kind"] == "RateLimitError"
    assert 1 <= int(told["busy"]["wait"]) <= 60
    assert told["not_served"]["code"] == "unknown_url"


def files(told):
    assert told["upload"]["id"].startswith("file-")
    assert (told["file"], told["processed"], told["content"]) == ("shop.jsonl", "processed", True)
    assert told["files"] == 1
    assert told["no_file"]["kind"] == "BadRequestError"
    assert told["gone"]["kind"] == "NotFoundError"


def jobs(told):
    job = told["job"]
    assert (job["object"], job["status"]) == ("fine_tuning.job", "queued")
    assert job["hyperparameters"]["n_epochs"] == 1
    assert told["job_again"] == "queued"
    assert told["job_list"] == [True]
    assert told["events"][-1] == "The job was created."
    assert told["checkpoints"] == 0
    assert (told["pause"], told["resume"], told["cancel"]) == ("paused", "queued", "cancelled")
    assert told["twice"]["kind"] == "ConflictError"
    assert told["no_job"]["param"] == "model"
    assert "Line 1" in told["bad_file"]["message"]
    assert FineTuningJob.objects.count() == 2
