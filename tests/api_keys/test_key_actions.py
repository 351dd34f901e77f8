"""Actions of a key, on every URL of the API."""

import pytest

from finetune_app.api_keys.models import ACTIONS, ApiKey
from tests.api_keys.api import ask
from tests.routes import DECLARED

ADDRESSES = {
    "gateway:model_list": "/v1/models",
    "gateway:model_detail": "/v1/models/x",
    "gateway:chat_completions": "/v1/chat/completions",
    "batches:batch_list": "/v1/batches",
    "batches:batch_detail": "/v1/batches/batch_0",
    "batches:cancel": "/v1/batches/batch_0/cancel",
    "fine_tuning_api:file_list": "/v1/files",
    "fine_tuning_api:file_detail": "/v1/files/file-0",
    "fine_tuning_api:file_content": "/v1/files/file-0/content",
    "fine_tuning_api:start_upload": "/v1/uploads",
    "fine_tuning_api:add_part": "/v1/uploads/upload_0/parts",
    "fine_tuning_api:complete_upload": "/v1/uploads/upload_0/complete",
    "fine_tuning_api:cancel_upload": "/v1/uploads/upload_0/cancel",
    "fine_tuning_api:run_grader": "/v1/fine_tuning/alpha/graders/run",
    "fine_tuning_api:validate_grader": "/v1/fine_tuning/alpha/graders/validate",
    "fine_tuning_api:job_list": "/v1/fine_tuning/jobs",
    "fine_tuning_api:job_detail": "/v1/fine_tuning/jobs/x",
    "fine_tuning_api:job_events": "/v1/fine_tuning/jobs/x/events",
    "fine_tuning_api:job_checkpoints": "/v1/fine_tuning/jobs/x/checkpoints",
    "fine_tuning_api:job_action": "/v1/fine_tuning/jobs/x/pause",
    "gateway:unknown_url": "/v1/assistants",
    "gateway:feedback": "/v1/feedback",
    "gateway:completions": "/v1/completions",
    "gateway:embeddings": "/v1/embeddings",
    "gateway:create_response": "/v1/responses",
    "gateway:count_input_tokens": "/v1/responses/input_tokens",
    "gateway:response_detail": "/v1/responses/resp_0",
    "gateway:input_items": "/v1/responses/resp_0/input_items",
}
ROOMS = ("gateway:", "fine_tuning_api:", "batches:")
V1 = [route for route in DECLARED if route.name.startswith(ROOMS)]


def test_every_api_address_is_covered():
    assert {route.name for route in V1} <= set(ADDRESSES)
    assert {route.view.action for route in V1} <= {None, *ACTIONS}


@pytest.mark.parametrize("route", [r for r in V1 if r.view.action], ids=str)
def test_a_key_without_the_action_is_refused(route, live, made):
    _key, text = made(actions=[one for one in ACTIONS if one != route.view.action])
    for method in route.policy.methods:
        reply = ask(text, ADDRESSES[route.name], method)
        assert reply.status_code == 403
        error = reply.json()["error"]
        assert (error["code"], error["type"]) == ("key_not_allowed", "permission_error")
        assert live.name not in error["message"]


# Requests that are logged need a transaction of their own: see tests/gateway/.
NOT_LOGGED = [route for route in V1 if route.view.action not in ("chat", "embeddings", None)]


@pytest.mark.parametrize("route", NOT_LOGGED, ids=str)
def test_a_key_with_only_that_action_is_accepted(route, live, made):
    _key, text = made(actions=[route.view.action])
    for method in route.policy.methods:
        assert ask(text, ADDRESSES[route.name], method).status_code in (200, 400, 404)


def test_a_deployment_key_may_ask_but_not_train(live, as_editor, url):
    as_editor.post(
        url("deployment_keys:new"), {"name": "x", "days": "30", "requests_per_minute": "60"}
    )
    assert ApiKey.objects.get().actions == ["chat", "models"]
