"""An example as the tokens that the model reads: learned, only read, or cut off."""

from dataclasses import dataclass
from itertools import groupby
from typing import Any

from asgiref.sync import async_to_sync
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.basemodels.models import BaseModelChoice
from finetune_app.core import engine_client
from finetune_app.core.chat_messages import is_learned
from finetune_app.core.engine_protocol import TokenSpan
from finetune_app.core.files import engine_folder
from finetune_app.core.requests import render_page
from finetune_app.core.thinking import NO
from finetune_app.core.tool_calls import message_text
from finetune_app.datasets.models import Example
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.training.longest_example import token_limit_of

MAX_CHARACTERS = 60_000  # of a conversation whose tokens are shown


@goal_page(Role.VIEWER, "GET")
def show(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    example = get_object_or_404(Example.objects.kept(), dataset__goal=goal, number=number)
    context = {"goal": goal, "example": example, **token_context(goal, example)}
    return render_page(request, "training/tokens.html", context)


def token_context(goal: Goal, example: Example) -> dict[str, Any]:
    """{"runs", "counts", "calls_apart", "limit"}, or {"problem"} in a sentence, or {"no_model"}."""
    limit = token_limit_of(goal)
    if limit is None:
        return {"no_model": True}
    if sum(len(message_text(one)) for one in example.messages) > MAX_CHARACTERS:
        return {"limit": limit, "problem": _("This example is too long to be shown as tokens.")}
    folder = str(engine_folder(limit.folder))
    try:
        spans = async_to_sync(engine_client.token_view)(
            folder,
            example.messages,
            max_tokens=limit.max_tokens,
            tools=example.tools,
            thinking=thinks(goal),
        )
    except engine_client.EngineUnavailable as problem:
        return {"limit": limit, "problem": str(problem)}
    runs = runs_of(spans)
    return {
        "limit": limit,
        "runs": runs,
        "counts": _counts(spans),
        "calls_apart": _has_calls_apart(example, runs),
    }


def thinks(goal: Goal) -> bool:
    """Whether its base model is to think before it answers."""
    choice = BaseModelChoice.objects.filter(goal=goal).first()
    return choice is not None and choice.thinking != NO


@dataclass(frozen=True)
class TokenRun:
    """Adjacent tokens of one kind (cut, learned or read), as (text, whether it is special)."""

    kind: str
    tokens: list[tuple[str, bool]]


def runs_of(spans: list[TokenSpan]) -> list[TokenRun]:
    """The tokens by kind. Line breaks, which are tokens too, are made visible."""
    return [
        TokenRun(kind, [(one["text"].replace("\n", "↵\n"), one["special"]) for one in some])
        for kind, some in groupby(spans, _kind)
    ]


def _has_calls_apart(example: Example, runs: list["TokenRun"]) -> bool:
    """Whether earlier calls are learned as examples of their own (worker/template.py)."""
    earlier = [one for one in example.messages[:-1] if "tool_calls" in one and is_learned(one)]
    return len(earlier) >= sum(run.kind == "learned" for run in runs) > 0


def _kind(span: TokenSpan) -> str:
    return "cut" if span["cut"] else "learned" if span["learned"] else "read"


def _counts(spans: list[TokenSpan]) -> dict[str, int]:
    kinds = [_kind(span) for span in spans]
    return {"all": len(kinds)} | {kind: kinds.count(kind) for kind in ("read", "learned", "cut")}
