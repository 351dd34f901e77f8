"""Every route of the URL configuration, and ids to open it with."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.http import HttpResponse
from django.urls import URLPattern, URLResolver, get_resolver

from finetune_app.accounts.access import Policy
from tests.factories import World

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


# How to get each id in a route from the test data.
BUILD: dict[str, Callable[[World], Any]] = {
    "goal_id": lambda world: world.goal.pk,
    "check_name": lambda world: world.finding.check_name,
    "form": lambda world: "jsonl",  # of a downloaded version
    "other": lambda world: 1,  # a version to hold against another
    "number": lambda world: 1,  # of the example, version or training: the world's first
    "example_id": lambda world: world.example.pk,
    "edit_id": lambda world: world.edit.pk,
    "finding_id": lambda world: world.finding.pk,
    "import_id": lambda world: world.file.pk,
    "upload_id": lambda world: world.upload.pk,
    "version_id": lambda world: world.version.pk,
    "install_id": lambda world: world.install.pk,
    "base_model_id": lambda world: world.base_model.pk,
    "slug": lambda world: world.base_model.slug,
    "training_id": lambda world: world.training.pk,
    "candidate_id": lambda world: world.candidates[1].pk,
    "evaluation_id": lambda world: world.evaluation.pk,
    "judge_run_id": lambda world: world.judge_run.pk,
    "sheet_id": lambda world: world.prompt_sheet.pk,
    "pair_id": lambda world: world.answer_pair.pk,
    "side": lambda world: "a",  # of its two answers
    "vote_link_id": lambda world: world.vote_link.pk,
    "vote_secret": lambda world: world.vote_secret,
    "index": lambda world: 0,  # of the first test prompt
    "job_id": lambda world: world.training.job.pk,
    "public_id": lambda world: world.training.job.public_id,
    "provider_id": lambda world: "oidc",
    "passkey_id": lambda world: world.passkey.pk,
    "session_id": lambda world: world.session.pk,
    "membership_id": lambda world: world.member.pk,
    "invitation_id": lambda world: world.invitation.pk,
    "secret": lambda world: world.secret,
    "question": lambda world: "improve",  # of the wizard
    "advice_id": lambda world: world.advice.pk,
    "endpoint_id": lambda world: world.endpoint.pk,
    "account_id": lambda world: world.platform_account.pk,
    "openai_import_id": lambda world: world.openai_import.pk,
    "saved_id": lambda world: world.kept.pk,
    "document_id": lambda world: world.document.pk,
    "key_id": lambda world: world.api_key.pk,
    "alias_id": lambda world: world.goal.deployment.aliases.get().pk,
    "request_id": lambda world: world.asked.pk,
    "reply_id": lambda world: world.asked.reply_id,
    "export_id": lambda world: world.export.pk,
    "push_id": lambda world: world.hub_push.pk,
    "link": lambda world: world.public_chat.link,  # of a chat page for others
    "name": lambda world: world.base_model.slug,  # of a model, in the API
    "rest": lambda world: "assistants",
    "file_id": lambda world: "file-0",
    "response_id": lambda world: "resp_0",
    "batch_id": lambda world: "batch_0",
    "team_id": lambda world: world.goal.team_id,
    "action": lambda world: "pause",
}


# Not ids of rows: the same in two goals.
COUNTED_IN_THE_GOAL = {
    "goal_id",
    "number",
    "other",
    "index",
    "slug",
    "check_name",
    "form",
    "side",
    "question",
}


@dataclass(frozen=True)
class Route:
    name: str
    pattern: str
    view: Callable[..., HttpResponse]
    ids: tuple[str, ...]

    @property
    def policy(self) -> Policy | None:
        return getattr(self.view, "policy", None)

    def __str__(self) -> str:
        return self.name


def walk(patterns: list, prefix: str = "", spaces: str = "", ids: tuple = ()) -> Iterator[Route]:
    for entry in patterns:
        found = (*ids, *entry.pattern.converters)
        if isinstance(entry, URLResolver):
            inner = f"{spaces}{entry.namespace}:" if entry.namespace else spaces
            yield from walk(entry.url_patterns, prefix + str(entry.pattern), inner, found)
        elif isinstance(entry, URLPattern):
            where = prefix + str(entry.pattern)
            yield Route(f"{spaces}{entry.name or where}", where, entry.callback, found)


ROUTES = list(walk(get_resolver().url_patterns))


def ids_of(route: Route, world: World) -> dict[str, Any]:
    unknown = [name for name in route.ids if name not in BUILD]
    if unknown:
        pytest.fail(
            f"{route.name} has <{', '.join(unknown)}> in its address /{route.pattern}. "
            f"Tell this test how to make it: add it to BUILD in {__file__} "
            "(and to tests/factories.py, if the world has none yet)."
        )
    return {name: BUILD[name](world) for name in route.ids}


DECLARED = [route for route in ROUTES if route.policy]
