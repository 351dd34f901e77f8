"""Each privileged request leaves exactly one line in the audit log.

A route that changes something declares its action beside its policy (`audit=AuditAction.…`), or
is named in NOT_PRIVILEGED with the reason. So does a route that hands out a file.
"""

from collections.abc import Iterator

import pytest
from django.db import transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import path, reverse

from finetune_app.accounts.access import account
from finetune_app.audit.models import AuditEntry
from finetune_app.core import logs
from finetune_app.core.audit import AuditAction
from tests.role_clients import Person, role_clients_fixture  # noqa: F401
from tests.routes import DECLARED, ROUTES, Route, ids_of, walk

pytestmark = pytest.mark.django_db

CONTENT = "work on what a goal holds, which keeps its own history or can be made again"
JOB = "starts, stops or continues a job, which says so itself"
ASKS = "asks a model, and changes nothing"
REQUESTS = "counted in the request log"
VIEW = "changes only what this person sees"
SIGNALS = "Django's signals of signing in and out leave the line (test_sign_in.py)"

CONFIRMS = "asks who is there, and changes nothing; a failure leaves the line of a failed sign-in"
SECOND_FACTOR = "allauth's signals leave the line (tests/accounts/test_totp.py, test_passkeys.py)"

NOT_PRIVILEGED = {
    "account_login": SIGNALS,
    "mfa_authenticate": SIGNALS,
    "mfa_login_webauthn": SIGNALS,
    "mfa_reauthenticate": CONFIRMS,
    "mfa_reauthenticate_webauthn": CONFIRMS,
    "mfa_activate_totp": SECOND_FACTOR,
    "mfa_deactivate_totp": SECOND_FACTOR,
    "mfa_generate_recovery_codes": SECOND_FACTOR,
    "mfa_add_webauthn": SECOND_FACTOR,
    "mfa_remove_webauthn": SECOND_FACTOR,
    "account_reauthenticate": CONFIRMS,
    "accounts:sign_in": SIGNALS,
    "accounts:sign_out": SIGNALS,
    "accounts:switch_team": VIEW,
    "accounts:theme": VIEW,
    "alerts:recheck": JOB,
    "alerts:send_test": "sends a notice to addresses that are already chosen",
    "basemodels:cancel": JOB,
    "basemodels:choose": CONTENT,
    "basemodels:continue": JOB,
    "basemodels:stop": JOB,
    "openai_import:bring": CONTENT,
    "openai_import:fetch_job": CONTENT,
    "openai_import:jobs": "reads a platform, and changes nothing",
    "candidates:apply_hint": CONTENT,
    "candidates:ask_prompts": ASKS,
    "candidates:change_shots": CONTENT,
    "candidates:chat": ASKS,
    "candidates:chat_stream": ASKS,
    "candidates:improve": ASKS,
    "candidates:prefer": CONTENT,
    "candidates:remove_version": CONTENT,
    "candidates:restore_version": CONTENT,
    "candidates:save_draft": CONTENT,
    "candidates:save_version": CONTENT,
    "candidates:stop_suggestions": JOB,
    "candidates:suggestions": JOB,
    "checks:choose": CONTENT,
    "batches:batch_list": JOB,
    "batches:cancel": JOB,
    "checks:fix": CONTENT,
    "checks:start": JOB,
    "checks:stop": JOB,
    "datasets:bulk": CONTENT,
    "datasets:change": CONTENT,
    "datasets:edit": JOB,
    "datasets:example": CONTENT,
    "datasets:undo": CONTENT,
    "datasets:write": CONTENT,
    "evaluation:continue": JOB,
    "evaluation:note": CONTENT,
    "evaluation:reveal": VIEW,
    "evaluation:start": JOB,
    "evaluation:stop": JOB,
    "evaluation:vote": CONTENT,
    "fine_tuning_api:file_list": "an upload; the file names its team",
    "fine_tuning_api:add_part": "an upload; the file names its team",
    "fine_tuning_api:cancel_upload": "an upload; the file names its team",
    "fine_tuning_api:complete_upload": "an upload; the file names its team",
    "fine_tuning_api:start_upload": "an upload; the file names its team",
    "fine_tuning_api:job_action": JOB,
    "fine_tuning_api:job_list": JOB,
    "fine_tuning_api:run_grader": "grades a text, and changes nothing",
    "fine_tuning_api:validate_grader": "reads a grader, and changes nothing",
    "gateway:chat_completions": REQUESTS,
    "gateway:completions": REQUESTS,
    "gateway:count_input_tokens": ASKS,
    "gateway:create_response": REQUESTS,
    "gateway:embeddings": REQUESTS,
    "gateway:feedback": REQUESTS,
    "gateway:response_detail": "deletes the text of an answer; its request stays in the log",
    "gateway:unknown_url": "there is nothing at this address",
    "goals:edit": CONTENT,
    "goals:measure": CONTENT,
    "goals:run_next": JOB,
    "guide:advise_again": CONTENT,
    "guide:question": CONTENT,
    "guide:skip": CONTENT,
    "guide:take": CONTENT,
    "hub_training:continue": JOB,
    "hub_training:stop": JOB,
    "imports:cancel": JOB,
    "imports:confirm": JOB,
    "imports:decide": CONTENT,
    "imports:inspect_again": JOB,
    "imports:upload": "the import names who brought the file",
    "imports:upload_chunks": "the import names who brought the file",
    "imports:uploads": "the import names who brought the file",
    "judging:continue": JOB,
    "judging:stop": JOB,
    "knowledge:add": CONTENT,
    "knowledge:again": JOB,
    "knowledge:stop": JOB,
    "labelling:assign": CONTENT,
    "labelling:ideas": CONTENT,
    "labelling:row": CONTENT,
    "labelling:save_draft": CONTENT,
    "labelling:save_guidelines": CONTENT,
    "labelling:save_labels": CONTENT,
    "labelling:save_share": CONTENT,
    "labelling:undo_last": CONTENT,
    "model_export:stop": JOB,
    "model_export:stop_push": JOB,
    "monitoring:drift": JOB,
    "playground:code": "writes an example program, and changes nothing",
    "playground:page": REQUESTS,
    "preferences:choose": CONTENT,
    "preferences:continue": JOB,
    "preferences:freeze": CONTENT,
    "preferences:page": JOB,
    "preferences:stop": JOB,
    "preferences:undo": CONTENT,
    "preferences:write": CONTENT,
    "prompt_sheets:continue": JOB,
    "prompt_sheets:mark": CONTENT,
    "prompt_sheets:new": JOB,
    "prompt_sheets:note": CONTENT,
    "prompt_sheets:show_names": VIEW,
    "prompt_sheets:stop": JOB,
    "providers:try_it": ASKS,
    "public_chat:page": REQUESTS,
    "public_vote:page": "a vote, which names its voter",
    "request_log:add_to_queue": CONTENT,
    "request_log:queue_all": CONTENT,
    "request_log:rate": CONTENT,
    "request_log:rate_reply": CONTENT,
    "request_log:replay": ASKS,
    "hyperparameter_search:continue": JOB,
    "hyperparameter_search:start": JOB,
    "hyperparameter_search:stop": JOB,
    "hyperparameter_search:train": JOB,
    "remote_training:continue": JOB,
    "remote_training:stop": JOB,
    "training:continue": JOB,
    "training:start": JOB,
    "training:stop": JOB,
    "versions:freeze": CONTENT,
    "versions:rename": CONTENT,
}


def without_a_word(routes: list[Route]) -> list[str]:
    return [
        str(route)
        for route in routes
        if route.policy
        and set(route.policy.methods) - {"GET"}
        and route.policy.audit is None
        and route.name not in NOT_PRIVILEGED
    ]


def test_every_route_that_changes_something_is_audited_or_says_why_not():
    missing = without_a_word(ROUTES)
    assert not missing, (
        "Declare what the audit log says about these (audit=AuditAction.… beside the policy), or "
        f"name them in NOT_PRIVILEGED with the reason: {missing}"
    )


def test_a_forgotten_route_would_be_found():
    @account("GET", "POST")
    def forgotten(request):
        return HttpResponse("done")

    assert without_a_word(list(walk([path("a/", forgotten, name="a")]))) == ["a"]


def test_no_reason_is_left_over():
    audited = {route.name for route in DECLARED if route.policy.audit}
    names = {route.name for route in ROUTES}
    assert not audited & NOT_PRIVILEGED.keys()
    assert not NOT_PRIVILEGED.keys() - names


def audited_requests() -> Iterator[tuple[Route, str]]:
    for route in DECLARED:
        if route.policy.audit and route.policy.scope not in ("public", "key"):
            for method in route.policy.methods:
                yield route, method


@pytest.mark.parametrize(("route", "method"), list(audited_requests()), ids=str)
def test_one_line_for_each_privileged_request(route, method, role_clients):
    address = reverse(route.name, kwargs=ids_of(route, role_clients.world))
    expected = int(route.policy.is_audited(method))
    for somebody in role_clients.people:
        lines = lines_of(somebody, method, address)
        known = somebody.client is not None
        assert len(lines) == (expected if known else 0), f"{method} {route} as {somebody.word}"
        for line in lines:
            assert line.action == route.policy.audit
            assert line.actor_id is not None
            assert line.request_id == "request-7"


def lines_of(somebody: Person, method: str, address: str) -> list[AuditEntry]:
    """What one request adds to the log; then all of it is rolled back."""
    browser = Client(raise_request_exception=False)
    if somebody.client:
        browser.cookies = somebody.client.cookies.copy()
    before = set(AuditEntry.objects.values_list("pk", flat=True))
    savepoint = transaction.savepoint()
    try:
        with logs.context(request="request-7", job=None):
            browser.generic(method, address, content_type="application/x-www-form-urlencoded")
        return list(AuditEntry.objects.exclude(pk__in=before))
    finally:
        transaction.savepoint_rollback(savepoint)


def downloads() -> list[Route]:
    return [r for r in DECLARED if "GET" in r.policy.methods and r.policy.scope == "goal"]


def test_every_download_is_audited(role_clients):
    owner = role_clients.people[-1]
    unsaid = []
    for route in downloads():
        address = reverse(route.name, kwargs=ids_of(route, role_clients.world))
        response = owner.ask("GET", address)
        if response.has_header("Content-Disposition") and route.policy.audit is None:
            unsaid.append(str(route))
    assert not unsaid, f"These hand out a file and leave no line: {unsaid}"


def test_every_action_is_used_or_written_by_a_signal_or_command():
    declared = {route.policy.audit for route in DECLARED if route.policy.audit}
    by_signals = ("account.sign", "account.second_factor", "account.recovery_codes")
    by_others = {a for a in AuditAction if a.value.startswith(("command.", *by_signals))}
    assert set(AuditAction) - declared - by_others == set()
