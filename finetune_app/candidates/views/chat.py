"""Chat: the same question to one or two candidates, answers side by side."""

from typing import Any
from urllib.parse import urlencode

from asgiref.sync import async_to_sync
from django.http import Http404, HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect

from finetune_app.accounts.models import Role
from finetune_app.candidates import speakers, talk
from finetune_app.candidates.speakers import Speaker, Voice
from finetune_app.core.requests import HttpRequest, render_page, whole_number
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal


@goal_page(Role.VIEWER, "GET", "POST")
def chat(request: HttpRequest, goal: Goal) -> HttpResponse:
    """The page; a POST without script answers it whole. "reveal" and "guess" show the names."""
    if request.GET.get("hide") == "new":
        return redirect(f"{request.path}?{_query(request, hide=speakers.new_seed())}")
    everybody = speakers.available(goal)
    pair = _pair(request, goal, everybody)
    voices = speakers.voices(pair, _seed(request))
    turns = talk.read_history(request.POST.get("history", ""), _lanes(voices))
    hidden, guess = "hide" in request.GET and len(voices) == 2, request.POST.get("guess", "")
    error = ""
    if guess or "reveal" in request.POST:
        hidden = False
    elif request.method == "POST" and voices:
        try:
            question = talk.check_question(request.POST.get("question", ""))
            turns.append(async_to_sync(talk.whole)(talk.ask(voices, turns, question)))
        except talk.TalkError as problem:
            error = str(problem)
    context = {
        "goal": goal,
        "voices": voices,
        "everybody": everybody,
        "hidden": hidden,
        "first": pair[0].key if pair else "",
        "second": pair[1].key if pair[1:] else "",
        "turns": turns,
        "shown": [_shown(turn, voices) for turn in turns],
        "error": error,
        "guess": guess,
        "history": talk.write_history(turns),
        "question": request.POST.get("question", "") if error else "",
        "examples": [pair["prompt"] for pair in goal.pairs][:3],
        **_addresses(request, hidden),
    }
    return render_page(request, "candidates/chat.html", context, status=422 if error else 200)


@goal_page(Role.VIEWER, "POST")
def stream(request: HttpRequest, goal: Goal) -> HttpResponseBase:
    """All answers as they are written: JSON lines, see talk.answers."""
    pair = _pair(request, goal, speakers.available(goal))
    voices = speakers.voices(pair, _seed(request))
    if not voices:
        raise Http404("nobody to talk to yet")
    try:
        question = talk.check_question(request.POST.get("question", ""))
        turns = talk.read_history(request.POST.get("history", ""), _lanes(voices))
        asked = talk.ask(voices, turns, question)
    except talk.TalkError as problem:
        return JsonResponse({"error": str(problem)}, status=422)
    return StreamingHttpResponse(
        talk.lines(asked),
        content_type="application/x-ndjson",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


def _pair(request: HttpRequest, goal: Goal, everybody: list[Speaker]) -> list[Speaker]:
    """Who the address names: ?a=&b=, or ?training=."""
    asked = request.GET
    return speakers.chosen(
        goal,
        everybody,
        asked.get("a", ""),
        asked.get("b", ""),
        whole_number(asked.get("training")),
    )


def _seed(request: HttpRequest) -> str:
    """Of the shuffle: `hide` while names are hidden; `seed` once they are shown, so that the
    sides stay where they are."""
    return (request.GET.get("hide") or request.GET.get("seed") or "")[:40]


def _lanes(voices: list[Voice]) -> list[str]:
    return [voice.lane for voice in voices]


def _shown(turn: talk.Turn, voices: list[Voice]) -> dict[str, Any]:
    return {
        "asked": turn.asked,
        "sides": [
            {
                "voice": voice,
                "text": turn.said.get(voice.lane, ""),
                "cited": turn.cited.get(voice.lane),
                "trouble": turn.trouble.get(voice.lane, ""),
            }
            for voice in voices
        ],
    }


def _addresses(request: HttpRequest, hidden: bool) -> dict[str, str]:
    """Of this conversation, which goes on there, and of a new one without names."""
    seed = _seed(request)
    named = {"hide" if hidden else "seed": seed} if seed else {}
    return {"here": _query(request, **named), "hide": _query(request, hide="new")}


def _query(request: HttpRequest, **more: str) -> str:
    kept = {name: request.GET[name] for name in ("a", "b", "training") if name in request.GET}
    return urlencode(kept | more)
