"""The public chat page, for people who may have no account (docs/decisions/0023).

It is rendered without the request, so that no session, cookie or name of a person, team or goal can
be in it. Strangers see no versions, no counts and no text of internal errors.
"""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from urllib.parse import urlsplit

from asgiref.sync import async_to_sync
from django.http import HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from finetune_app.accounts.access import public, require_second_factor
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.chat_messages import Message
from finetune_app.core.requests import client_ip
from finetune_app.gateway.errors import ApiError
from finetune_app.gateway.generation import Generation
from finetune_app.playground import page_client, visitor_limits
from finetune_app.playground.models import PublicChat
from finetune_app.playground.visitor_limits import (
    MAX_ANSWER_TOKENS,
    MAX_MESSAGES_REMEMBERED,
    MAX_QUESTION_CHARACTERS,
)
from finetune_app.request_log.models import Retention

JSON_LINES = "application/x-ndjson"


class QuestionRefused(Exception):
    """Its message is shown to the visitor."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@public("GET", "POST")
@csrf_exempt  # no session is used; the link and the Origin decide who may ask
def page(request: HttpRequest, link: str) -> HttpResponseBase:
    """A POST answers: as JSON lines if the page's script asks, otherwise with the whole page."""
    chat = _visible_chat(request, link)
    if chat is None:
        return _closed_page(404)
    if chat.deployment.paused_at:
        return _closed_page(503, chat)
    if request.method != "POST":
        return _chat_page(chat, {})
    streams = request.headers.get("Accept") == JSON_LINES
    unanswered: dict[str, object] = {}  # another site's page may put no words on this one
    try:
        _require_own_page(request, chat)
        history = _history(request)
        unanswered = _conversation(history) | {"question": request.POST.get("question", "")}
        generation = _prepare(request, chat, history)
    except QuestionRefused as refused:
        if streams:
            body = {"error": str(refused)}
            return _with_headers(JsonResponse(body, status=refused.status), chat)
        return _chat_page(chat, unanswered | {"error": str(refused)}, refused.status)
    if streams:
        lines = StreamingHttpResponse(_json_lines(generation), content_type=JSON_LINES)
        return _with_headers(lines, chat)
    return _chat_page(chat, unanswered | async_to_sync(_answered)(generation))


def _visible_chat(request: HttpRequest, link: str) -> PublicChat | None:
    """The page with this link, if it is on and this person may open it."""
    chats = PublicChat.objects.switched_on().select_related("deployment__goal")
    chat = chats.filter(link=link[:40]).first()
    if chat is None or chat.audience == PublicChat.Audience.LINK:
        return chat
    memberships = {one.team_id: one for one in request.memberships}
    membership = memberships.get(chat.deployment.team_id)
    require_second_factor(request, membership)
    return chat if membership else None


def _require_own_page(request: HttpRequest, chat: PublicChat) -> None:
    """Raises QuestionRefused where another site's page asks."""
    origin = urlsplit(request.headers.get("Origin", "")).netloc
    for_everybody = chat.audience == PublicChat.Audience.LINK
    if origin != request.get_host() and (origin or not for_everybody):
        raise QuestionRefused(_("Ask on the page itself."), 403)


def _prepare(request: HttpRequest, chat: PublicChat, history: list[Message]) -> Generation:
    """Raises QuestionRefused."""
    question = request.POST.get("question", "").strip()
    if not question:
        raise QuestionRefused(_("Type something first."), 400)
    if len(question) > MAX_QUESTION_CHARACTERS:
        raise QuestionRefused(
            _("That is longer than %(n)d characters. Ask something shorter.")
            % {"n": MAX_QUESTION_CHARACTERS},
            400,
        )
    try:
        visitor_limits.count_question(chat, client_ip(request))
    except visitor_limits.VisitorLimitExceeded as exceeded:
        messages = {
            "minute": _("That was a lot in one minute. Wait a little and ask again."),
            "day": _("It has answered all the questions it may today. Come back later."),
        }
        status = 429 if exceeded.reason in messages else 503
        raise QuestionRefused(messages.get(exceeded.reason, _unavailable()), status) from exceeded
    body: page_client.ChatBody = {
        "messages": [*history, {"role": "user", "content": question}],
        "max_tokens": MAX_ANSWER_TOKENS,
    }
    try:
        return page_client.prepare(chat.deployment, f"chat page {chat.pk}", body)
    except ApiError as error:
        raise QuestionRefused(_unavailable(), 503) from error


def _history(request: HttpRequest) -> list[Message]:
    history = page_client.read_history(request.POST.get("history", ""), MAX_MESSAGES_REMEMBERED)
    longest = 2 * MAX_QUESTION_CHARACTERS
    return [{"role": one["role"], "content": one["content"][:longest]} for one in history]


async def _json_lines(generation: Generation) -> AsyncGenerator[bytes, None]:
    async with aclosing(page_client.events(generation)) as events:
        async for event in events:
            shown: page_client.PageEvent = (
                {"text": event["text"]} if event.get("text") else {"done": True}
            )
            if event.get("error"):
                shown = {"error": _unavailable()}
            yield json.dumps(shown, ensure_ascii=False).encode() + b"\n"


async def _answered(generation: Generation) -> dict[str, object]:
    answer = await page_client.complete(generation)
    if answer.get("error"):
        return {"error": _unavailable()}
    said: Message = {"role": "assistant", "content": answer["text"]}
    return _conversation([*generation.request.messages, said]) | {"question": ""}


def _conversation(turns: list[Message]) -> dict[str, object]:
    """What the page shows of it, and its form sends with the next question."""
    return {"turns": turns, "history": json.dumps(turns, ensure_ascii=False)}


def _unavailable() -> str:
    """Shown for every error, since the message itself may name documents, models or people."""
    return _("It cannot answer now. Try again in a few minutes.")


def _chat_page(chat: PublicChat, more: dict[str, object], status: int = 200) -> HttpResponse:
    keeps = Retention.objects.filter(deployment=chat.deployment_id, on=True).exists()
    context = {"chat": chat, "longest": MAX_QUESTION_CHARACTERS, "keeps": keeps} | more
    response = HttpResponse(render_to_string("public_chat/page.html", context), status=status)
    _with_headers(response, chat)
    return response


def _closed_page(status: int, chat: PublicChat | None = None) -> HttpResponse:
    html = render_to_string("public_chat/closed.html", {"chat": chat})
    response = HttpResponse(html, status=status)
    _with_headers(response, chat)
    return response


def _with_headers(response: HttpResponseBase, chat: PublicChat | None) -> HttpResponseBase:
    """Not cached, not indexed, and framed only by the sites that the team has named."""
    response["Cache-Control"] = "no-store"
    response["X-Robots-Tag"] = "noindex"
    response["X-Accel-Buffering"] = "no"
    if chat and chat.origins:
        response._csp_replace = {"frame-ancestors": chat.origins}  # type: ignore[attr-defined]
        response.xframe_options_exempt = True  # type: ignore[attr-defined]
    return response
