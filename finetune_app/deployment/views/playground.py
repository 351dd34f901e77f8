"""Step 6: ask what is live as a program would, and see the lines that do the same."""

import json
from typing import Any

from asgiref.sync import async_to_sync
from django.http import HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Role
from finetune_app.core.requests import HttpRequest, render_page
from finetune_app.deployment import page_client, snippets
from finetune_app.deployment.api.errors import ApiError
from finetune_app.deployment.api.schemas import read_chat
from finetune_app.deployment.models import Deployment
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal

LINES = "application/x-ndjson"
USUAL = {"temperature": "0", "max_tokens": "400"}


@goal_page(Role.VIEWER, "GET", "POST")
def page(request: HttpRequest, goal: Goal) -> HttpResponseBase:
    """A POST answers: line by line where the page's script asks, else whole on the page."""
    deployment = get_object_or_404(Deployment, goal=goal)
    streams = request.headers.get("Accept") == LINES
    examples = [pair["prompt"] for pair in goal.pairs][:3]
    context: dict[str, Any] = {
        "deployment": deployment,
        "given": USUAL,
        "turns": [],
        "examples": examples,
    }
    if request.method == "POST":
        said = page_client.read_history(request.POST.get("history", ""))
        context |= {"given": request.POST, "turns": said}
        try:
            if not request.POST.get("question", "").strip():
                raise ApiError(400, _("Type something first."))
            call = page_client.prepare(deployment, f"page:{request.user.pk}", _given(request))
        except ApiError as error:
            if streams:
                return JsonResponse({"error": error.message}, status=422)
            context |= {"error": error.message, "question": request.POST.get("question", "")}
            return render_page(request, "deployment/playground.html", context, status=422)
        if streams:
            return StreamingHttpResponse(
                page_client.lines(call),
                content_type=LINES,
                headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
            )
        context |= _after(_given(request)["messages"], async_to_sync(page_client.whole)(call))
    return render_page(request, "deployment/playground.html", context)


@goal_page(Role.VIEWER, "POST")
def code(request: HttpRequest, goal: Goal) -> HttpResponse:
    """The lines of exactly the request that stands in the form: a part of the playground."""
    deployment = get_object_or_404(Deployment, goal=goal)
    if not request.htmx:
        return redirect("deployment:playground", goal_id=goal.pk)
    given = _given(request)
    if not request.POST.get("question", "").strip():
        asked = [m for m in given["messages"] if m["content"]]  # as it was asked last
        while asked and asked[-1]["role"] == "assistant":
            asked.pop()
        given["messages"] = asked or [*snippets.EXAMPLE]
    try:
        read_chat(json.dumps(given | {"model": deployment.name}).encode())
    except ApiError as error:
        return render_page(request, "deployment/code.html", {"error": error.message}, status=422)
    found = snippets.of(deployment.name, **given)
    return render_page(request, "deployment/code.html", {"snippets": found})


def _given(request: HttpRequest) -> dict[str, Any]:
    """The request of the form, as the API takes it; only what is said."""
    post = request.POST
    system, question = post.get("system", "").strip(), post.get("question", "").strip()
    messages = [{"role": "system", "content": system}] if system else []
    messages += page_client.read_history(post.get("history", ""))
    messages.append({"role": "user", "content": question})
    numbers = {name: _number(post.get(name, "")) for name in USUAL}
    return {"messages": messages} | {n: v for n, v in numbers.items() if v is not None}


def _number(text: str) -> float | int | str | None:
    """A number where it is one; else what was written, which the API refuses by name."""
    text = text.strip()
    try:
        value = float(text) if text else None
    except ValueError:
        return text
    return int(value) if value is not None and value.is_integer() else value


def _after(messages: list[dict[str, str]], answer: dict[str, Any]) -> dict[str, Any]:
    if answer.get("error"):
        return {"error": answer["error"], "question": messages[-1]["content"]}
    said = [m for m in messages if m["role"] != "system"]
    turns = [*said, {"role": "assistant", "content": answer["text"], "facts": answer}]
    kept = [{"role": one["role"], "content": one["content"]} for one in turns]
    return {"turns": turns, "history": json.dumps(kept, ensure_ascii=False)}
