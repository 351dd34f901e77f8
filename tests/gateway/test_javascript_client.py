"""OpenAI's JavaScript client, run by client.cjs."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from finetune_app.api_keys import services as api_keys
from finetune_app.fine_tuning_api.models import FineTuningJob
from finetune_app.request_log import retention
from tests import node
from tests.worker.conftest import wait_for

pytestmark = [node.needs_node, pytest.mark.timeout(900), pytest.mark.one_database]
SCRIPT = Path(__file__).with_name("client.cjs")


@pytest.fixture
def results(address, live, key, team, owner) -> dict[str, Any]:
    """The result of each step, by its name. One Node process for all, since starting it is slow."""
    _key, narrow = api_keys.create_key(
        team=team, by=owner, name="x", deployment=live, requests_per_minute=4
    )
    retention.change(deployment=live, by=owner, on=True)  # stored responses need it
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


def test_openais_javascript_client_works(results, engine_process):
    assert len(results) > 30
    models(results)
    answers(results)
    streams(results)
    refusals(results)
    files(results)
    jobs(results)
    responses(results)
    batches(results)
    wait_for(
        lambda: engine_process.get("/health").json()["queue"] == 0, seconds=60
    )  # also for who left


def models(results):
    assert results["models"][0] == "starter"
    assert "sort-shop-emails" in results["models"]
    assert results["one_model"] == "model"
    assert results["no_model"]["kind"] == "NotFoundError"


def answers(results):
    reply = results["answer"]
    assert reply["choices"][0]["message"]["role"] == "assistant"
    assert reply["usage"]["completion_tokens"] <= 12
    for same in ("parts", "developer", "helper"):
        one, other = results[same]
        assert one == other, same
    assert results["several"] == [0, 1, 2]
    assert results["length"] == "length"
    assert results["older"]["object"] == "text_completion"
    assert results["older"]["choices"][0]["text"]
    assert results["request_id"]


def streams(results):
    assert results["stream"]["same"]
    assert results["stream"]["ids"] == 1
    assert results["stream"]["end"] in ("stop", "length")
    assert results["usage"]["choices"] == []
    assert results["usage"]["usage"]["completion_tokens"] > 0
    assert results["left"]
    assert results["aborted"]["kind"] == "APIUserAbortError"


def refusals(results):
    """Each is the exception that a program catches."""
    assert results["bad"]["kind"] == "BadRequestError"
    assert results["bad"]["param"] == "temperature"
    assert results["too_long"]["code"] == "context_length_exceeded"
    assert results["no_key"]["kind"] == "AuthenticationError"
    assert results["narrow"]["kind"] == "PermissionDeniedError"
    assert results["narrow_other"]["kind"] == "NotFoundError"
    assert results["busy"]["kind"] == "RateLimitError"
    assert 1 <= int(results["busy"]["wait"]) <= 60
    assert results["not_served"]["code"] == "unknown_url"


def files(results):
    assert results["upload"]["id"].startswith("file-")
    assert (results["file"], results["processed"], results["content"]) == (
        "shop.jsonl",
        "processed",
        True,
    )
    assert results["files"] == 1
    assert (results["in_parts"], results["of_purpose"]) == (True, 0)
    assert results["no_file"]["kind"] == "BadRequestError"
    assert results["gone"]["kind"] == "NotFoundError"


def jobs(results):
    job = results["job"]
    assert (job["object"], job["status"]) == ("fine_tuning.job", "queued")
    assert job["hyperparameters"]["n_epochs"] == 1
    assert results["job_again"] == "queued"
    assert results["job_list"] == [True]
    assert results["events"][-1] == "The job was created."
    assert results["checkpoints"] == 0
    assert results["grade"] == 1
    assert (results["pause"], results["resume"], results["cancel"]) == (
        "paused",
        "queued",
        "cancelled",
    )
    assert results["twice"]["kind"] == "ConflictError"
    assert results["no_job"]["param"] == "model"
    assert "Line 1" in results["bad_file"]["message"]
    assert FineTuningJob.objects.count() == 2


def responses(results):
    assert results["response"]["same"]
    assert results["response"]["status"] in ("completed", "incomplete")
    assert results["response"]["stored"]
    assert results["response_stream"]["same"]
    assert results["response_stream"]["first"] == "response.created"
    assert results["response_stream"]["last"] in ("response.completed", "response.incomplete")
    assert results["response_form"] == "boolean"
    assert results["response_goes_on"] == {"before": True, "again": True, "items": ["And now?"]}
    assert "has no tools" in results["no_tools"]["message"]


def batches(results):
    assert results["batch"]["object"] == "batch"
    assert results["batch"]["who"] == "node"
    assert results["batch"]["status"] == "validating"
    assert results["batch"]["listed"] == [True]
    assert results["batch"]["cancel"] in ("cancelling", "cancelled")
    assert results["bad_batch"]["param"] == "input_file_id"
