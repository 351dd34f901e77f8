"""The chat page: one question to one or two candidates, with the answers side by side."""

from dataclasses import dataclass
from urllib.parse import urlencode

from asgiref.sync import async_to_sync
from django.http import Http404, HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from finetune_app.accounts.access import may_edit
from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.candidates import conversation, inference, selection
from finetune_app.candidates.selection import CandidateOption, ChatColumn
from finetune_app.candidates.specs import Citation
from finetune_app.core.chat_messages import Message
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import render_page, whole_number
from finetune_app.datasets import services as datasets
from finetune_app.datasets.events import examples_changed
from finetune_app.datasets.models import Dataset
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal


@dataclass(frozen=True)
class ShownAnswer:
    """An answer in a chat column. `cited` is None for a candidate without documents."""

    column: ChatColumn
    text: str
    cited: list[Citation] | None
    error: str


@dataclass(frozen=True)
class ShownTurn:
    question: str
    sides: list[ShownAnswer]


@goal_page(Role.VIEWER, "GET", "POST")
def chat(request: HttpRequest, goal: Goal) -> HttpResponse:
    """The page. A POST answers without JavaScript; "reveal" and "guess" show hidden names."""
    if request.GET.get("hide") == "new":
        return redirect(f"{request.path}?{_query(request, hide=selection.new_seed())}")
    options = selection.candidate_options(goal)
    selected = _selected(request, goal, options)
    columns = selection.chat_columns(selected, _seed(request))
    turns = conversation.read_history(request.POST.get("history", ""), _names(columns))
    hidden, guess = "hide" in request.GET and len(columns) == 2, request.POST.get("guess", "")
    error = ""
    if guess or "reveal" in request.POST:
        hidden = False
    elif request.method == "POST" and columns:
        try:
            question = conversation.clean_question(request.POST.get("question", ""))
            batch = conversation.next_batch(columns, turns, question)
            turns.append(async_to_sync(conversation.answer_turn)(batch))
        except conversation.ConversationError as problem:
            error = str(problem)
    context = {
        "goal": goal,
        "columns": columns,
        "options": options,
        "hidden": hidden,
        "first": selected[0].key if selected else "",
        "second": selected[1].key if selected[1:] else "",
        "turns": [_shown(turn, columns) for turn in turns],
        "error": error,
        "can_prefer": may_edit(request) and len(columns) == 2,
        "guess": guess,
        "history": conversation.write_history(turns),
        "question": request.POST.get("question", "") if error else "",
        "examples": [pair["prompt"] for pair in goal.pairs][:3],
        **_links(request, hidden, selected),
    }
    return render_page(request, "candidates/chat.html", context, status=422 if error else 200)


@goal_page(Role.VIEWER, "POST")
def stream(request: HttpRequest, goal: Goal) -> HttpResponseBase:
    """The answers as they are generated, in JSON lines; see inference.stream_events."""
    selected = _selected(request, goal, selection.candidate_options(goal))
    columns = selection.chat_columns(selected, _seed(request))
    if not columns:
        raise Http404("no candidate yet")
    try:
        question = conversation.clean_question(request.POST.get("question", ""))
        turns = conversation.read_history(request.POST.get("history", ""), _names(columns))
        batch = conversation.next_batch(columns, turns, question)
    except conversation.ConversationError as problem:
        return JsonResponse({"error": str(problem)}, status=422)
    return StreamingHttpResponse(
        inference.stream_ndjson(batch),
        content_type="application/x-ndjson",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@goal_page(Role.EDITOR, "POST")
def prefer(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Add both first answers of the conversation as a pair; `better` is the preferred column.

    Later answers follow different conversations, so they cannot be compared.
    """
    selected = _selected(request, goal, selection.candidate_options(goal))
    columns = selection.chat_columns(selected, _seed(request))
    turns = conversation.read_history(request.POST.get("history", ""), _names(columns))
    try:
        messages, rejected, source = _pair(columns, turns, request.POST.get("better", ""))
        example = datasets.prefer(
            dataset=datasets.dataset_of(goal),
            by=request.user,
            messages=messages,
            rejected=rejected,
            source=source,
        )
    except PlainError as problem:
        if not request.htmx:
            raise
        return render_page(request, "candidates/_preferred.html", {"problem": problem.message})
    examples_changed.send(Dataset, dataset=example.dataset)
    if not request.htmx:
        return redirect("datasets:example", goal_id=goal.pk, number=example.number)
    context = {"goal": goal, "example": example}
    return render_page(request, "candidates/_preferred.html", context)


def _pair(
    columns: list[ChatColumn], turns: list[conversation.Turn], name: str
) -> tuple[list[Message], str, str]:
    """(conversation with the better answer, worse answer, source). Raises PlainError."""
    better = next((column for column in columns if column.name == name), None)
    worse = next((column for column in columns if column != better), None)
    if better is None or worse is None or not turns or len(turns) >= conversation.MAX_TURNS:
        raise PlainError(_("There are no two answers to compare here. Ask again, then choose."))
    first = turns[0]
    answers = [first.answers.get(column.name, "") for column in (better, worse)]
    if not all(answer.strip() for answer in answers):
        raise PlainError(_("One of the two gave no answer, so there is nothing to compare."))
    words = {"better": better.option.label, "worse": worse.option.label}
    messages: list[Message] = [
        {"role": "user", "content": first.question},
        {"role": "assistant", "content": answers[0]},
    ]
    return messages, answers[1], _("chat: %(better)s preferred to %(worse)s") % words


def _selected(
    request: HttpRequest, goal: Goal, options: list[CandidateOption]
) -> list[CandidateOption]:
    """The options named by ?a= and ?b=, or by ?training=."""
    return selection.selected_options(
        goal,
        options,
        request.GET.get("a", ""),
        request.GET.get("b", ""),
        whole_number(request.GET.get("training")),
    )


def _seed(request: HttpRequest) -> str:
    """Decides the order of the columns: `hide` while names are hidden, `seed` afterwards."""
    return (request.GET.get("hide") or request.GET.get("seed") or "")[:40]


def _names(columns: list[ChatColumn]) -> list[str]:
    return [column.name for column in columns]


def _shown(turn: conversation.Turn, columns: list[ChatColumn]) -> ShownTurn:
    sides = [
        ShownAnswer(
            column=column,
            text=turn.answers.get(column.name, ""),
            cited=turn.citations.get(column.name),
            error=turn.errors.get(column.name, ""),
        )
        for column in columns
    ]
    return ShownTurn(turn.question, sides)


def _links(request: HttpRequest, hidden: bool, selected: list[CandidateOption]) -> dict[str, str]:
    """Query strings of this conversation, and of one with hidden names. Both name who answers: a
    training that ends meanwhile would be the default of the next question."""
    seed = _seed(request)
    order = {"hide" if hidden else "seed": seed} if seed else {}
    who = {"a": selected[0].key, "b": selected[-1].key} if selected else {}
    if "training" in request.GET:
        who = {}
    return {"here": _query(request, **who, **order), "hide": _query(request, **who, hide="new")}


def _query(request: HttpRequest, **more: str) -> str:
    kept = {name: request.GET[name] for name in ("a", "b", "training") if name in request.GET}
    return urlencode(kept | more)
