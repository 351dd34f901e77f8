"""The playground: ask a deployment as a program would, and show the same request as code."""

import json

from asgiref.sync import async_to_sync
from django.http import HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.candidates.answer_length import MAX_NEW_TOKENS
from finetune_app.core.chat_messages import Message
from finetune_app.core.requests import render_page
from finetune_app.deployment import code_snippets
from finetune_app.deployment.models import Deployment
from finetune_app.gateway.errors import ApiError
from finetune_app.gateway.schemas import parse_chat_request
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.playground import page_client

JSON_LINES = "application/x-ndjson"
DEFAULTS = {"temperature": "0", "max_tokens": str(MAX_NEW_TOKENS)}


@goal_page(Role.VIEWER, "GET", "POST")
def page(request: HttpRequest, goal: Goal) -> HttpResponseBase:
    """A POST answers: as JSON lines if the page's script asks, otherwise with the whole page."""
    deployment = get_object_or_404(Deployment, goal=goal)
    streams = request.headers.get("Accept") == JSON_LINES
    context: dict[str, object] = {
        "deployment": deployment,
        "given": DEFAULTS,
        "turns": [],
        "examples": [pair["prompt"] for pair in goal.pairs][:3],
    }
    if request.method == "POST":
        history = page_client.read_history(request.POST.get("history", ""))
        kept = json.dumps(history, ensure_ascii=False)  # also where this question gets no answer
        context |= {"given": request.POST, "turns": history, "history": kept}
        try:
            if not request.POST.get("question", "").strip():
                raise ApiError(400, _("Type something first."))
            visitor = f"page:{request.user.pk}"
            generation = page_client.prepare(deployment, visitor, _api_request(request))
        except ApiError as error:
            if streams:
                return JsonResponse({"error": error.message}, status=422)
            context |= {"error": error.message, "question": request.POST.get("question", "")}
            return render_page(request, "playground/playground.html", context, status=422)
        if streams:
            return StreamingHttpResponse(
                page_client.json_lines(generation),
                content_type=JSON_LINES,
                headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
            )
        answer = async_to_sync(page_client.complete)(generation)
        context |= _answered(_api_request(request)["messages"], answer)
    return render_page(request, "playground/playground.html", context)


@goal_page(Role.VIEWER, "POST")
def code(request: HttpRequest, goal: Goal) -> HttpResponse:
    """The request in the form as code: a partial for htmx."""
    deployment = get_object_or_404(Deployment, goal=goal)
    if not request.htmx:
        return redirect("playground:page", goal_id=goal.pk)
    given = _api_request(request)
    if not request.POST.get("question", "").strip():
        messages = [
            m for m in given["messages"] if m["content"]
        ]  # the request that was answered last
        while messages and messages[-1]["role"] == "assistant":
            messages.pop()
        given["messages"] = messages or [*code_snippets.EXAMPLE_MESSAGES]
    try:
        parse_chat_request(json.dumps({**given, "model": deployment.name}).encode())
    except ApiError as error:
        return render_page(request, "playground/code.html", {"error": error.message}, status=422)
    snippets = code_snippets.snippets_for(deployment.name, **given)
    return render_page(request, "playground/code.html", {"snippets": snippets})


def _api_request(request: HttpRequest) -> page_client.ChatBody:
    """The form as the body of a request, without empty fields."""
    post = request.POST
    system, question = post.get("system", "").strip(), post.get("question", "").strip()
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    messages += page_client.read_history(post.get("history", ""))
    messages.append({"role": "user", "content": question})
    body: page_client.ChatBody = {"messages": messages}
    if (temperature := _number(post.get("temperature", ""))) is not None:
        body["temperature"] = temperature
    if (max_tokens := _number(post.get("max_tokens", ""))) is not None:
        body["max_tokens"] = max_tokens
    return body


def _number(text: str) -> float | int | str | None:
    """None if empty. Text that is no number is returned as it is; the API refuses it by name."""
    text = text.strip()
    try:
        value = float(text) if text else None
    except ValueError:
        return text
    return int(value) if value is not None and value.is_integer() else value


def _answered(messages: list[Message], answer: page_client.PageEvent) -> dict[str, object]:
    if answer.get("error"):
        return {"error": answer["error"], "question": messages[-1]["content"]}
    answered: Message = {"role": "assistant", "content": answer["text"]}
    history = [*(m for m in messages if m["role"] != "system"), answered]
    turns = [*history[:-1], answered | {"facts": answer}]
    return {"turns": turns, "history": json.dumps(history, ensure_ascii=False)}
