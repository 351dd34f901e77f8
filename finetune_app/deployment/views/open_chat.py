"""The chat page for people, some of whom nobody here knows (docs/decisions/0023).

It is rendered without the request, so that no session, cookie or name of a person, team or goal
can come into it; strangers get neither versions, nor counts, nor what exactly went wrong.
"""

import hashlib
import hmac
import ipaddress
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any
from urllib.parse import urlsplit

from asgiref.sync import async_to_sync
from django.conf import settings
from django.http import HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from finetune_app.accounts.access import public
from finetune_app.core.requests import HttpRequest, client_ip
from finetune_app.deployment import limits, page_client
from finetune_app.deployment.api.chat import Call
from finetune_app.deployment.api.errors import ApiError
from finetune_app.deployment.models import Keeping, PublicChat

LINES = "application/x-ndjson"
LONGEST = 2_000  # characters of a question
MOST_TURNS = 20
MOST_TOKENS = 400


@public("GET", "POST")
@csrf_exempt  # nothing of a visitor's is at stake; who may ask is decided by the link and Origin
def page(request: HttpRequest, link: str) -> HttpResponseBase:
    """A POST answers: line by line where the page's script asks, else whole on the page."""
    chat = _opened(request, link)
    if chat is None:
        return _closed(404)
    if chat.deployment.paused_at:
        return _closed(503, chat)
    if request.method != "POST":
        return _page(chat, {})
    streams = request.headers.get("Accept") == LINES
    try:
        call = _call(request, chat)
    except _Refused as no:
        if streams:
            return _dressed(JsonResponse({"error": str(no)}, status=no.status), chat)
        return _page(chat, {"error": str(no)}, no.status)
    if streams:
        return _dressed(StreamingHttpResponse(_lines(call), content_type=LINES), chat)
    return _page(chat, async_to_sync(_whole)(call))


class _Refused(Exception):
    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def _opened(request: HttpRequest, link: str) -> PublicChat | None:
    """The page, where it is on and for them. For everybody else it does not exist."""
    found = PublicChat.objects.select_related("deployment__goal")
    chat = found.filter(link=link[:40], on=True).first()
    if chat is None or chat.audience == PublicChat.Audience.LINK:
        return chat
    person, team = request.user, chat.deployment.team_id
    inside = person.is_authenticated and person.memberships.filter(team=team).exists()
    return chat if inside else None


def _call(request: HttpRequest, chat: PublicChat) -> Call:
    """Raises _Refused, in words for a visitor."""
    origin = urlsplit(request.headers.get("Origin", "")).netloc
    for_all = chat.audience == PublicChat.Audience.LINK
    if origin != request.get_host() and (origin or not for_all):
        raise _Refused(_("Ask on the page itself."), 403)
    question = request.POST.get("question", "").strip()
    if not question:
        raise _Refused(_("Type something first."), 400)
    if len(question) > LONGEST:
        raise _Refused(
            _("That is longer than %(n)d letters. Ask something shorter.") % {"n": LONGEST}, 400
        )
    try:
        limits.take_visit(
            chat=str(chat.pk),
            visitor=_visitor(request, chat),
            a_minute=chat.a_minute,
            a_day=chat.a_day,
        )
    except limits.TooMuch as much:
        words = {
            "minute": _("That was a lot in one minute. Wait a little and ask again."),
            "day": _("It has no time left today. Come back later."),
        }
        status = 429 if much.what in words else 503
        raise _Refused(words.get(much.what, _away()), status) from much
    said = page_client.read_history(request.POST.get("history", ""), MOST_TURNS)
    said = [one | {"content": one["content"][: 2 * LONGEST]} for one in said]
    given = {"messages": [*said, {"role": "user", "content": question}], "max_tokens": MOST_TOKENS}
    try:
        return page_client.prepare(chat.deployment, f"chat page {chat.pk}", given)
    except ApiError as error:
        raise _Refused(_away(), 503) from error


def _visitor(request: HttpRequest, chat: PublicChat) -> str:
    """Tells visitors apart for a minute's count, and can be led back to nobody's address."""
    address = ipaddress.ip_address(client_ip(request).partition("%")[0])
    if address.version == 6:  # a household has a whole /64 of them
        address = ipaddress.ip_network((address, 64), strict=False).network_address
    said = f"{chat.pk}:{address}".encode()
    return hmac.new(settings.KEY_PEPPER.encode(), said, hashlib.sha256).hexdigest()[:24]


async def _lines(call: Call) -> AsyncGenerator[bytes, None]:
    async with aclosing(page_client.events(call)) as found:
        async for event in found:
            told = {"text": event["text"]} if event.get("text") else {"done": True}
            told = {"error": _away()} if event.get("error") else told
            yield json.dumps(told, ensure_ascii=False).encode() + b"\n"


async def _whole(call: Call) -> dict[str, Any]:
    answer = await page_client.whole(call)
    if answer.get("error"):
        return {"error": _away()}
    said = {"role": "assistant", "content": answer["text"]}
    turns = [*call.asked.messages, said]
    return {"turns": turns, "history": json.dumps(turns, ensure_ascii=False)}


def _away() -> str:
    """Whatever went wrong: the real words may name documents, models and people."""
    return _("It cannot answer now. Try again in a few minutes.")


def _page(chat: PublicChat, more: dict[str, Any], status: int = 200) -> HttpResponse:
    keeps = Keeping.objects.filter(deployment=chat.deployment_id, on=True).exists()
    context = {"chat": chat, "longest": LONGEST, "keeps": keeps} | more
    html = render_to_string("open/page.html", context)
    response = HttpResponse(html, status=status)
    _dressed(response, chat)
    return response


def _closed(status: int, chat: PublicChat | None = None) -> HttpResponse:
    response = HttpResponse(render_to_string("open/closed.html", {"chat": chat}), status=status)
    _dressed(response, chat)
    return response


def _dressed(response: HttpResponseBase, chat: PublicChat | None) -> HttpResponseBase:
    """Shown in a frame by exactly the sites that were named; kept by nobody, found by nobody."""
    response["Cache-Control"] = "no-store"
    response["X-Robots-Tag"] = "noindex"
    response["X-Accel-Buffering"] = "no"
    if chat and chat.origins:
        response._csp_replace = {"frame-ancestors": chat.origins}  # type: ignore[attr-defined]
        response.xframe_options_exempt = True  # type: ignore[attr-defined]
    return response
