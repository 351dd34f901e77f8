"""One example exactly as the model will see it: what is learned, what is only read, what is cut."""

from itertools import groupby
from typing import Any

from asgiref.sync import async_to_sync
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Role
from finetune_app.core import engine_client
from finetune_app.core.files import local_folder
from finetune_app.core.requests import HttpRequest, render_page
from finetune_app.datasets.models import Example
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.training.token_limits import ruler_of

MOST_CHARACTERS = 60_000  # of a conversation that is drawn, token by token
Piece = dict[str, Any]


@goal_page(Role.VIEWER, "GET")
def show(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    example = get_object_or_404(Example.objects.kept(), dataset__goal=goal, number=number)
    context = {"goal": goal, "example": example, **view_of(goal, example)}
    return render_page(request, "training/tokens.html", context)


def view_of(goal: Goal, example: Example) -> dict[str, Any]:
    """{"runs", "counts", "ruler"} or {"problem"} in a sentence."""
    ruler = ruler_of(goal)
    if ruler is None:
        return {"no_model": True}
    if sum(len(one["content"]) for one in example.messages) > MOST_CHARACTERS:
        return {"ruler": ruler, "problem": _("This example is too long to be drawn.")}
    folder = str(local_folder(ruler.folder))
    try:
        pieces = async_to_sync(engine_client.token_view)(
            folder, example.messages, max_tokens=ruler.most
        )
    except engine_client.EngineUnavailable as problem:
        return {"ruler": ruler, "problem": str(problem)}
    return {"ruler": ruler, "runs": runs_of(pieces), "counts": _counts(pieces)}


def runs_of(pieces: list[Piece]) -> list[dict[str, Any]]:
    """Neighbours that fare alike: {"kind": cut, learned or read, "pieces"}. A line's end, which
    is a token too, is drawn."""
    runs = []
    for kind, some in groupby(pieces, _kind):
        drawn = [
            {"text": one["text"].replace("\n", "↵\n"), "special": one["special"]} for one in some
        ]
        runs.append({"kind": kind, "pieces": drawn})
    return runs


def _kind(piece: Piece) -> str:
    return "cut" if piece["cut"] else "learned" if piece["learned"] else "read"


def _counts(pieces: list[Piece]) -> dict[str, int]:
    kinds = [_kind(piece) for piece in pieces]
    return {"all": len(kinds)} | {kind: kinds.count(kind) for kind in ("read", "learned", "cut")}
